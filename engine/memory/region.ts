// region.ts: a mapped run of bytes with every view the engine reads it through, and the one copy between two of them.
//
// Everything that holds user bytes is a region: the segments of a shard, receive and send buffers, the words that
// workers share. Views are made once, here; nothing on a command path makes another.
// Invariants: address and bytes never change; the mapping is never unmapped, so a stale offset can read wrong bytes
// but never fault; every copy is checked against both regions first.
// Used by all of engine/. Raw addresses leave this folder only for engine/io.
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { mapPrivate, mapShared, memcmp, memmove, memset, releasePrivate, releaseShared } from "./native.ts";

let viewed = 0;
/** Bytes of all regions this thread has views of, which the JS engine counts as its heap's though they are not in it. */
export function viewedBytes(): number {
  return viewed;
}

export class Region {
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  readonly view: DataView;

  private constructor(
    readonly address: number,
    readonly bytes: number,
    readonly shared: boolean,
  ) {
    const buffer = toArrayBuffer(address as Pointer, 0, bytes);
    viewed += bytes;
    this.u8 = new Uint8Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.view = new DataView(buffer);
  }

  /** `bytes` (a multiple of 4096) fresh zeroed bytes for all workers, or null when the system has none. */
  static shared(bytes: number): Region | null {
    const address = mapShared(bytes);
    return address === 0 ? null : new Region(address, bytes, true);
  }

  /** The same for one worker. Pages are committed as they are touched. */
  static private(bytes: number): Region | null {
    const address = mapPrivate(bytes);
    return address === 0 ? null : new Region(address, bytes, false);
  }

  /** Another worker's view of a shared region, from the numbers that worker published. */
  static attach(address: number, bytes: number): Region {
    return new Region(address, bytes, true);
  }

  /** Gives the pages wholly inside [start, end) back to the system; they read as zero afterwards. */
  release(start: number, end: number): void {
    const first = (start + 4095) & ~4095;
    const last = end & ~4095;
    if (last <= first) return;
    if (this.shared) releaseShared(this.address + first, last - first);
    else releasePrivate(this.address + first, last - first);
  }
}

/** A region or a start-up error: for what the process cannot run without. */
export function need(region: Region | null, what: string): Region {
  if (region === null) throw new Error(`the system refused memory for ${what}`);
  return region;
}

/** Copies `bytes` between regions; the ranges may overlap. Throws RangeError before touching anything if either
 *  range leaves its region, so a torn or hostile length is an error and never a wild write. The conditions of this file
 *  are those of a good range, so that NaN, which a torn read can lead to, is in none. */
export function copyBytes(
  target: Region,
  targetStart: number,
  source: Region,
  sourceStart: number,
  bytes: number,
): void {
  if (
    !(
      bytes >= 0 &&
      targetStart >= 0 &&
      sourceStart >= 0 &&
      targetStart + bytes <= target.bytes &&
      sourceStart + bytes <= source.bytes
    )
  )
    throw new RangeError(`copy of ${bytes} bytes from ${sourceStart} to ${targetStart} leaves its region`);
  if (bytes <= 16) {
    // Short copies inline; a byte at a time below 4 so that nothing past the end is touched.
    const { u8 } = target;
    const from = source.u8;
    if (source === target && sourceStart < targetStart) {
      for (let i = bytes - 1; i >= 0; i--) u8[targetStart + i] = from[sourceStart + i]!;
      return;
    }
    let i = 0;
    for (; i + 4 <= bytes; i += 4)
      target.view.setInt32(targetStart + i, source.view.getInt32(sourceStart + i, true), true);
    for (; i < bytes; i++) u8[targetStart + i] = from[sourceStart + i]!;
    return;
  }
  memmove(target.address + targetStart, source.address + sourceStart, bytes);
}

/** Whether two ranges of equal length hold the same bytes. False when either leaves its region. */
export function equalBytes(a: Region, aStart: number, b: Region, bStart: number, bytes: number): boolean {
  if (!(aStart >= 0 && bStart >= 0 && aStart + bytes <= a.bytes && bStart + bytes <= b.bytes)) return false;
  if (bytes > 64) return memcmp(a.address + aStart, b.address + bStart, bytes) === 0;
  let i = 0;
  for (; i + 4 <= bytes; i += 4)
    if (a.view.getInt32(aStart + i, true) !== b.view.getInt32(bStart + i, true)) return false;
  for (; i < bytes; i++) if (a.u8[aStart + i] !== b.u8[bStart + i]) return false;
  return true;
}

/** Order of two ranges, by their bytes as memcmp has it and then the shorter first: negative, 0 or positive. Throws
 *  RangeError when either leaves its region. */
export function compareBytes(
  a: Region,
  aStart: number,
  aBytes: number,
  b: Region,
  bStart: number,
  bBytes: number,
): number {
  if (!(aStart >= 0 && bStart >= 0 && aStart + aBytes <= a.bytes && bStart + bBytes <= b.bytes))
    throw new RangeError("a range to compare leaves its region");
  const common = Math.min(aBytes, bBytes);
  if (common > 64) {
    const order = memcmp(a.address + aStart, b.address + bStart, common);
    return order !== 0 ? order : aBytes - bBytes;
  }
  let i = 0;
  for (; i + 4 <= common; i += 4) {
    const x = a.view.getUint32(aStart + i);
    const y = b.view.getUint32(bStart + i);
    if (x !== y) return x < y ? -1 : 1;
  }
  for (; i < common; i++) {
    const order = a.u8[aStart + i]! - b.u8[bStart + i]!;
    if (order !== 0) return order;
  }
  return aBytes - bBytes;
}

/** Zeroes [start, start + bytes). */
export function clearBytes(target: Region, start: number, bytes: number): void {
  if (!(start >= 0 && bytes >= 0 && start + bytes <= target.bytes))
    throw new RangeError("clear leaves its region");
  memset(target.address + start, 0, bytes);
}
