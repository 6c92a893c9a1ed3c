// lzf.ts: LZF, the compression of strings in RDB (Lehmann's liblzf).
//
//   000lllll                     l + 1 literal bytes follow
//   lllooooo oooooooo            copy l + 2 bytes (l 1..6) from o + 1 bytes back
//   111ooooo llllllll oooooooo   copy l + 9 bytes from o + 1 bytes back
// So three bytes make at most 264: MAX_EXPANSION bounds what an announced length may claim.
// Cold: a payload is decompressed when it arrives. Every offset is checked; nothing is thrown and nothing allocated but
// the table of `compress`, once. Neighbours: reader.ts.
import type { Region } from "../memory/region.ts";

/** Plain bytes a compressed byte can stand for, at most. */
export const MAX_EXPANSION = 88;

/** Decompresses [start, start + bytes) of `source` to exactly `targetBytes` bytes at `targetStart`. False when the
 *  input is malformed, makes more or makes less. The ranges must lie in their regions and not overlap. */
export function decompress(
  source: Region,
  start: number,
  bytes: number,
  target: Region,
  targetStart: number,
  targetBytes: number,
): boolean {
  const from = source.u8;
  const to = target.u8;
  const end = start + bytes;
  const targetEnd = targetStart + targetBytes;
  let at = start;
  let out = targetStart;
  while (at < end) {
    const control = from[at++]!;
    if (control < 32) {
      const run = control + 1;
      if (at + run > end || out + run > targetEnd) return false;
      for (let i = 0; i < run; i++) to[out++] = from[at++]!;
      continue;
    }
    let run = (control >>> 5) + 2;
    if (run === 9) {
      if (at >= end) return false;
      run += from[at++]!;
    }
    if (at >= end) return false;
    let back = out - ((control & 31) << 8) - from[at++]! - 1;
    if (back < targetStart || out + run > targetEnd) return false;
    for (let i = 0; i < run; i++) to[out++] = to[back++]!; // may overlap: byte by byte is the meaning
  }
  return out === targetEnd;
}

const enum Match {
  HashBits = 14,
  Farthest = 8192,
  Longest = 264,
}

let heads: Int32Array | null = null;

/** Compresses to at most `targetBytes` bytes at `targetStart`; how many it took, 0 when they do not suffice. */
export function compress(
  source: Region,
  start: number,
  bytes: number,
  target: Region,
  targetStart: number,
  targetBytes: number,
): number {
  heads ??= new Int32Array(1 << Match.HashBits);
  heads.fill(-1);
  const from = source.u8;
  const to = target.u8;
  const end = start + bytes;
  const targetEnd = targetStart + targetBytes;
  let at = start;
  let out = targetStart;
  let literals = at; // [literals, at) is not written yet
  while (at < end) {
    let run = 0;
    let distance = 0;
    if (at + 3 <= end) {
      const three = (from[at]! << 16) | (from[at + 1]! << 8) | from[at + 2]!;
      const slot = Math.imul(three, 0x9e3779b1) >>> (32 - Match.HashBits);
      const earlier = heads[slot]!;
      heads[slot] = at;
      distance = at - earlier - 1;
      if (earlier >= 0 && distance < Match.Farthest) {
        const most = Math.min(Match.Longest, end - at);
        while (run < most && from[earlier + run] === from[at + run]) run++;
      }
    }
    if (run < 3) at++;
    if (run >= 3 || at - literals === 32 || at === end) {
      const count = at - literals;
      if (count > 0) {
        if (out + 1 + count > targetEnd) return 0;
        to[out++] = count - 1;
        while (literals < at) to[out++] = from[literals++]!;
      }
    }
    if (run < 3) continue;
    if (out + 3 > targetEnd) return 0;
    const length = run - 2;
    if (length < 7) to[out++] = (length << 5) | (distance >>> 8);
    else {
      to[out++] = 0xe0 | (distance >>> 8);
      to[out++] = length - 7;
    }
    to[out++] = distance & 255;
    at += run;
    literals = at;
  }
  return out - targetStart;
}
