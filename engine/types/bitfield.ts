// bitfield.ts: integers of 1 to 64 bits at any bit of a byte range, the top bit first, and what becomes of a number that
// such an integer cannot hold.
//
// A field of up to 52 bits with an argument of at most 2^52 is computed in doubles, exactly; all else in BigInt. Bytes
// past the end of a range read as zero.
// Pure. On the data path: the functions on numbers allocate nothing. Neighbours: bits.ts. Caller:
// engine/commands/bitmaps.ts.
import type { Region } from "../memory/region.ts";
import { MAX_INTEGER } from "./integer.ts";

/** What to do with a value that does not fit. */
export const enum Overflow {
  Wrap = 0,
  Saturate = 1,
  Fail = 2,
}

/** Widest field, and largest argument, of the functions on numbers. */
export const NUMBER_BITS = 52;
export const NUMBER_LIMIT = 2 ** 52;

/** Reads `width` (1 .. 32) bits at bit `offset` of the `bytes` bytes at `start`. */
function readBits(region: Region, start: number, bytes: number, offset: number, width: number): number {
  const { u8 } = region;
  const first = Math.floor(offset / 8);
  const shift = offset % 8;
  const last = Math.floor((offset + width - 1) / 8);
  let value = first < bytes ? u8[start + first]! & (0xff >>> shift) : 0;
  for (let i = first + 1; i <= last; i++) value = value * 256 + (i < bytes ? u8[start + i]! : 0);
  return Math.floor(value / 2 ** (7 - ((offset + width - 1) % 8)));
}

/** Writes `width` (1 .. 32) bits at bit `offset`. The range must hold them. */
function writeBits(region: Region, start: number, offset: number, width: number, value: number): void {
  const { u8 } = region;
  let rest = value;
  let end = offset + width;
  // From the last byte to the first, each with the bits of the field that fall into it.
  while (end > offset) {
    const byte = Math.floor((end - 1) / 8);
    const low = 7 - ((end - 1) % 8);
    const count = Math.min(8 - low, end - offset);
    const mask = ((1 << count) - 1) << low;
    const at = start + byte;
    u8[at] = (u8[at]! & ~mask) | ((rest << low) & mask);
    rest = Math.floor(rest / 2 ** count);
    end -= count;
  }
}

/** A field's bits as an unsigned number; `width` at most 52. */
function readUnsigned(region: Region, start: number, bytes: number, offset: number, width: number): number {
  if (width <= 32) return readBits(region, start, bytes, offset, width);
  const high = readBits(region, start, bytes, offset, width - 32);
  return high * 2 ** 32 + readBits(region, start, bytes, offset + width - 32, 32);
}

/** A field's value; `width` at most 52. */
export function readField(
  region: Region,
  start: number,
  bytes: number,
  offset: number,
  width: number,
  signed: boolean,
): number {
  const value = readUnsigned(region, start, bytes, offset, width);
  return signed && value >= 2 ** (width - 1) ? value - 2 ** width : value;
}

/** The same for any width. */
export function readBigField(
  region: Region,
  start: number,
  bytes: number,
  offset: number,
  width: number,
  signed: boolean,
): bigint {
  if (width <= 32) return BigInt(readField(region, start, bytes, offset, width, signed));
  const high = readBits(region, start, bytes, offset, width - 32);
  const low = readBits(region, start, bytes, offset + width - 32, 32);
  const value = (BigInt(high) << 32n) | BigInt(low);
  return signed ? BigInt.asIntN(width, value) : value;
}

/** Stores what `fit` returned; `width` at most 52. The range must hold the field. */
export function writeField(
  region: Region,
  start: number,
  offset: number,
  width: number,
  value: number,
): void {
  const bits = value < 0 ? value + 2 ** width : value;
  if (width > 32) {
    writeBits(region, start, offset, width - 32, Math.floor(bits / 2 ** 32));
    writeBits(region, start, offset + width - 32, 32, bits % 2 ** 32);
  } else writeBits(region, start, offset, width, bits);
}

/** The same for any width. */
export function writeBigField(
  region: Region,
  start: number,
  offset: number,
  width: number,
  value: bigint,
): void {
  const bits = BigInt.asUintN(width, value);
  if (width > 32) {
    writeBits(region, start, offset, width - 32, Number(bits >> 32n));
    writeBits(region, start, offset + width - 32, 32, Number(bits & 0xffffffffn));
  } else writeBits(region, start, offset, width, Number(bits));
}

/** What a field of at most 52 bits stores when it should become `value` (at most 2^53 in magnitude): NaN where it fails.
 *  `setting`: as Redis does, an unsigned field that is set to a negative number is too large, not too small. */
export function fit(
  value: number,
  width: number,
  signed: boolean,
  overflow: Overflow,
  setting: boolean,
): number {
  const size = 2 ** width;
  const most = signed ? size / 2 - 1 : size - 1;
  const least = signed ? -size / 2 : 0;
  if (value >= least && value <= most) return value;
  if (overflow === Overflow.Fail) return Number.NaN;
  if (overflow === Overflow.Saturate) return value > most || (setting && !signed) ? most : least;
  const wrapped = value - Math.floor(value / size) * size;
  return wrapped > most ? wrapped - size : wrapped;
}

/** The same for any width: null where it fails. Also too large, because Redis's own test of it wraps, is what a signed
 *  field is set to when it lies more than int64's greatest below the field's. */
export function fitBig(
  value: bigint,
  width: number,
  signed: boolean,
  overflow: Overflow,
  setting: boolean,
): bigint | null {
  const size = 1n << BigInt(width);
  const most = signed ? size / 2n - 1n : size - 1n;
  const least = signed ? -size / 2n : 0n;
  if (value >= least && value <= most) return value;
  if (overflow === Overflow.Fail) return null;
  const wraps = setting && (!signed || most - value > MAX_INTEGER);
  if (overflow === Overflow.Saturate) return value > most || wraps ? most : least;
  return signed ? BigInt.asIntN(width, value) : BigInt.asUintN(width, value);
}
