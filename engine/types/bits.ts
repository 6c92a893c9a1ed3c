// bits.ts: bit strings over byte ranges: counting, searching, and combining several into one. Bit 0 is the top bit of
// byte 0, so position p is bit 7 - p % 8 of byte p / 8.
//
// Ranges lie at any alignment; whole words are taken where they are aligned. Positions go to 2^33 and are doubles: they
// are divided, never shifted. What is asked of a range that leaves its region throws RangeError (a torn read).
// On the data path; allocates nothing but `Combiner`'s list of sources as it grows. Neighbours: bitfield.ts, region.ts.
// Caller: engine/commands/bitmaps.ts.
import { clearBytes, copyBytes, need, Region } from "../memory/region.ts";

function within(region: Region, start: number, bytes: number): void {
  if (start < 0 || bytes < 0 || start + bytes > region.bytes)
    throw new RangeError(`${bytes} bytes at ${start} leave their region`);
}

/** Ones in a 32-bit word. */
function ones(word: number): number {
  word -= (word >>> 1) & 0x55555555;
  word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Ones of each nibble. */
function nibbles(word: number): number {
  word = (word - ((word >>> 1) & 0x55555555)) | 0;
  return ((word & 0x33333333) + ((word >>> 2) & 0x33333333)) | 0;
}

/** How many bits of [start, start + bytes) are one. */
export function countBits(region: Region, start: number, bytes: number): number {
  within(region, start, bytes);
  const { u8, i32 } = region;
  const end = start + bytes;
  let count = 0;
  let at = start;
  for (; at < end && (at & 3) !== 0; at++) count += ones(u8[at]!);
  let word = at >> 2;
  const words = end >> 2;
  // Nibbles of three words together stay below 16, bytes of ten such sums below 256.
  while (word + 30 <= words) {
    let sum = 0;
    for (const stop = word + 30; word < stop; word += 3) {
      const three = (nibbles(i32[word]!) + nibbles(i32[word + 1]!) + nibbles(i32[word + 2]!)) | 0;
      sum = (sum + (three & 0x0f0f0f0f) + ((three >>> 4) & 0x0f0f0f0f)) | 0;
    }
    const pairs = (sum & 0x00ff00ff) + ((sum >>> 8) & 0x00ff00ff);
    count += (pairs & 0xffff) + (pairs >>> 16);
  }
  for (; word < words; word++) count += ones(i32[word]!);
  for (at = Math.max(at, words << 2); at < end; at++) count += ones(u8[at]!);
  return count;
}

/** How many of the bits first .. last (both included) of the string at `start` are one. */
export function countBitRange(region: Region, start: number, first: number, last: number): number {
  const from = Math.floor(first / 8);
  const to = Math.floor(last / 8);
  const before = region.u8[start + from]! & ~(0xff >>> (first % 8));
  const after = region.u8[start + to]! & (0x7f >>> (last % 8));
  return countBits(region, start + from, to - from + 1) - ones(before) - ones(after);
}

/** Position in the string at `start` of the first bit `bit` among first .. last (both included), -1 for none. */
export function findBit(region: Region, start: number, first: number, last: number, bit: number): number {
  const from = Math.floor(first / 8);
  const to = Math.floor(last / 8);
  within(region, start + from, to - from + 1);
  const { u8, i32 } = region;
  // Turned over where a zero is wanted, so that it is always a one; what is outside is then zero.
  const flip = bit === 1 ? 0 : -1;
  const mask = 0xff >>> (first % 8);
  const tail = ~(0x7f >>> (last % 8));
  if (from === to) return foundIn((u8[start + from]! ^ flip) & 0xff & mask & tail, from);
  const head = (u8[start + from]! ^ flip) & mask;
  if (head !== 0) return foundIn(head, from);
  let at = start + from + 1;
  const end = start + to;
  const skipped = flip & 0xff;
  while (at < end && (at & 3) !== 0 && u8[at] === skipped) at++;
  if ((at & 3) === 0) {
    let word = at >> 2;
    const words = end >> 2;
    while (word < words && i32[word] === flip) word++;
    at = Math.max(at, word << 2);
  }
  while (at < end && u8[at] === skipped) at++;
  const byte = (u8[at]! ^ flip) & 0xff;
  return foundIn(at === end ? byte & tail : byte, at - start);
}

function foundIn(byte: number, at: number): number {
  return byte === 0 ? -1 : at * 8 + Math.clz32(byte) - 24;
}

/** How several strings become one. */
export const enum Combine {
  And = 0,
  Or = 1,
  Xor = 2,
  Not = 3,
  /** In the first and in no other. */
  Diff = 4,
  /** In one of the others and not in the first. */
  Diff1 = 5,
  /** In the first and in one of the others. */
  AndOr = 6,
  /** In exactly one. */
  One = 7,
}

/** Bytes that are combined at a time: result and source stay in the first cache. */
const BLOCK_BYTES = 8192;
const BLOCK_WORDS = BLOCK_BYTES / 4;

/** The sources of one combination, and its result block by block. Sources may lie anywhere and may be of different
 *  lengths (they are as if zeros followed); the target must lie in none of them. One object is reused. */
export class Combiner {
  count = 0;
  /** Bytes of the longest source. */
  longest = 0;
  private readonly regions: Region[] = [];
  private readonly starts: number[] = [];
  private readonly lengths: number[] = [];
  private readonly result = need(Region.private(BLOCK_BYTES), "combined bits");
  private readonly source = need(Region.private(BLOCK_BYTES), "bits to combine");
  private readonly twice = need(Region.private(BLOCK_BYTES), "bits met twice");

  clear(): void {
    this.count = 0;
    this.longest = 0;
  }

  add(region: Region, start: number, bytes: number): void {
    const { count } = this;
    this.regions[count] = region;
    this.starts[count] = start;
    this.lengths[count] = bytes;
    this.count = count + 1;
    this.longest = Math.max(this.longest, bytes);
  }

  /** Writes the combination, `longest` bytes, to `at` of `target`. */
  write(combine: Combine, target: Region, at: number): void {
    for (let from = 0; from < this.longest; from += BLOCK_BYTES) {
      const bytes = Math.min(BLOCK_BYTES, this.longest - from);
      this.block(combine, from);
      copyBytes(target, at + from, this.result, 0, bytes);
    }
  }

  private block(combine: Combine, from: number): void {
    const result = this.result.i32;
    const { i32 } = this.source;
    const twice = this.twice.i32;
    const others = combine === Combine.Diff || combine === Combine.Diff1 || combine === Combine.AndOr;
    // The first source begins the result, or for `others` nothing does: those join first, and then meet the first.
    if (others) clearBytes(this.result, 0, BLOCK_BYTES);
    else this.load(this.result, 0, from);
    if (combine === Combine.One) clearBytes(this.twice, 0, BLOCK_BYTES);
    if (combine === Combine.Not) for (let i = 0; i < BLOCK_WORDS; i++) result[i] = ~result[i]!;
    for (let n = 1; n < this.count; n++) {
      if (this.lengths[n]! <= from) {
        // Only zeros from here on.
        if (combine === Combine.And) clearBytes(this.result, 0, BLOCK_BYTES);
        continue;
      }
      this.load(this.source, n, from);
      if (combine === Combine.And) for (let i = 0; i < BLOCK_WORDS; i++) result[i]! &= i32[i]!;
      else if (combine === Combine.Xor) for (let i = 0; i < BLOCK_WORDS; i++) result[i]! ^= i32[i]!;
      else if (combine === Combine.One)
        for (let i = 0; i < BLOCK_WORDS; i++) {
          twice[i]! |= result[i]! & i32[i]!;
          result[i]! |= i32[i]!;
        }
      else for (let i = 0; i < BLOCK_WORDS; i++) result[i]! |= i32[i]!;
    }
    if (combine === Combine.One) for (let i = 0; i < BLOCK_WORDS; i++) result[i]! &= ~twice[i]!;
    if (!others) return;
    this.load(this.source, 0, from);
    if (combine === Combine.Diff) for (let i = 0; i < BLOCK_WORDS; i++) result[i] = i32[i]! & ~result[i]!;
    else if (combine === Combine.Diff1) for (let i = 0; i < BLOCK_WORDS; i++) result[i]! &= ~i32[i]!;
    else for (let i = 0; i < BLOCK_WORDS; i++) result[i]! &= i32[i]!;
  }

  /** Source n's block at `from`, zeros after its end. */
  private load(into: Region, n: number, from: number): void {
    const bytes = Math.max(0, Math.min(BLOCK_BYTES, this.lengths[n]! - from));
    if (bytes > 0) copyBytes(into, 0, this.regions[n]!, this.starts[n]! + from, bytes);
    if (bytes < BLOCK_BYTES) clearBytes(into, bytes, BLOCK_BYTES - bytes);
  }
}
