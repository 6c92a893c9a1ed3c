// piece.ts: one text out of a payload: where it lies, or, for an integer or compressed text, a place of its own that
// the text is written to. Holds until the piece is set again.
// Cold: RESTORE only. Neighbours: reader.ts.
import { need, Region } from "../memory/region.ts";
import { writeInteger } from "../types/integer.ts";

const SMALL_BYTES = 4096;

/** Writes an int64, given as two halves, in decimal to u8[at ..) and returns how many bytes it took. */
export function writeInteger64(u8: Uint8Array, at: number, low: number, high: number): number {
  const value = high * 0x100000000 + (low >>> 0);
  if (Number.isSafeInteger(value)) return writeInteger(u8, at, value);
  let sign = 0;
  if (high < 0) {
    u8[at++] = 45;
    sign = 1;
    high = ~high + (low === 0 ? 1 : 0);
    low = -low;
  }
  // Six digits go off at the end: what is left is exact in a double, and so is every step.
  const top = high >>> 0;
  const rest = (top % 1_000_000) * 0x100000000 + (low >>> 0);
  const front = Math.floor(top / 1_000_000) * 0x100000000 + Math.floor(rest / 1_000_000);
  const bytes = writeInteger(u8, at, front);
  let six = rest % 1_000_000;
  for (let i = at + bytes + 5; i >= at + bytes; i--) {
    const next = Math.floor(six / 10);
    u8[i] = 48 + six - next * 10;
    six = next;
  }
  return sign + bytes + 6;
}

export class Piece {
  region: Region;
  start = 0;
  bytes = 0;
  /** Grows to the longest compressed text; its first page also takes digits. */
  private scratch: Region;

  constructor() {
    this.scratch = need(Region.private(SMALL_BYTES), "the text of a payload");
    this.region = this.scratch;
  }

  get scratchBytes(): number {
    return this.scratch.bytes;
  }

  set(region: Region, start: number, bytes: number): void {
    this.region = region;
    this.start = start;
    this.bytes = bytes;
  }

  /** The decimal text of an int64. */
  setInteger(low: number, high: number): void {
    this.set(this.scratch, 0, writeInteger64(this.scratch.u8, 0, low, high));
  }

  /** Room for `bytes` bytes of the caller's making as the piece's text. False when the system has no memory. */
  make(bytes: number): boolean {
    if (bytes > this.scratch.bytes) {
      let size = this.scratch.bytes;
      while (size < bytes) size *= 2;
      const larger = Region.private(size);
      if (larger === null) return false;
      this.scratch.release(0, this.scratch.bytes);
      this.scratch = larger;
    }
    this.set(this.scratch, 0, bytes);
    return true;
  }

  /** Gives the memory of long texts back to the system, and forgets the payload. */
  forget(): void {
    if (this.scratch.bytes > SMALL_BYTES) this.scratch.release(SMALL_BYTES, this.scratch.bytes);
    this.set(this.scratch, 0, 0);
  }
}
