// integer.ts: int64 as decimal text: what is canonical, its value, and its digits.
//
// Canonical is what Redis's string2ll takes: an optional '-', no '+', no leading zero, no "-0", no space, within int64.
// A value up to 2^53 - 1 in magnitude is an exact number here; beyond it only BigInt is exact, and callers that meet
// +-Infinity from parseInteger ask parseBigInteger for the rest.
// Callers: engine/commands and engine/types. On the data path: parseInteger, integerBytes and writeInteger allocate
// nothing.

export const MIN_INTEGER = -(2n ** 63n);
export const MAX_INTEGER = 2n ** 63n - 1n;

const LIMIT = "9223372036854775807";

/** The value of u8[start, start + bytes): exact up to 2^53 - 1 in magnitude, Infinity or -Infinity for an int64 beyond
 *  it, NaN for what is no canonical int64. */
export function parseInteger(u8: Uint8Array, start: number, bytes: number): number {
  if (bytes === 0 || bytes > 20) return Number.NaN;
  const end = start + bytes;
  let at = start;
  let byte = u8[at]!;
  const negative = byte === 45;
  if (negative) {
    if (bytes === 1) return Number.NaN;
    byte = u8[++at]!;
  }
  if (byte === 48) return bytes === 1 ? 0 : Number.NaN;
  if (byte < 48 || byte > 57) return Number.NaN;
  const first = at;
  // Nine digits fit 31 bits; the rest go on as a double.
  let small = byte - 48;
  const middle = Math.min(end, at + 9);
  for (at++; at < middle; at++) {
    const digit = u8[at]! - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    small = (Math.imul(small, 10) + digit) | 0;
  }
  if (at === end) return negative ? -small : small;
  let value = small;
  for (; at < end; at++) {
    const digit = u8[at]! - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  if (value > Number.MAX_SAFE_INTEGER) {
    if (!withinLimit(u8, first, end - first, negative)) return Number.NaN;
    value = Number.POSITIVE_INFINITY;
  }
  return negative ? -value : value;
}

/** Whether a run of digits without leading zero stays within int64. */
function withinLimit(u8: Uint8Array, first: number, digits: number, negative: boolean): boolean {
  if (digits !== LIMIT.length) return digits < LIMIT.length;
  for (let i = 0; i < digits; i++) {
    const difference = u8[first + i]! - LIMIT.charCodeAt(i);
    if (difference === 0) continue;
    // The minimum ends in 8 where the maximum ends in 7.
    return difference < 0 || (negative && i === digits - 1 && difference === 1);
  }
  return true;
}

/** The value of text for which parseInteger did not say NaN. Cold: makes a string. */
export function parseBigInteger(u8: Uint8Array, start: number, bytes: number): bigint {
  let text = "";
  for (let i = 0; i < bytes; i++) text += String.fromCharCode(u8[start + i]!);
  return BigInt(text);
}

/** Bytes of a safe integer's decimal text. */
export function integerBytes(value: number): number {
  let bytes = 1;
  if (value < 0) {
    bytes = 2;
    value = -value;
  }
  for (let bound = 10; bound <= value; bound *= 10) bytes++;
  return bytes;
}

/** Writes a safe integer's decimal text to u8[at ..) and returns how many bytes it took. */
export function writeInteger(u8: Uint8Array, at: number, value: number): number {
  const bytes = integerBytes(value);
  let rest = value;
  if (value < 0) {
    u8[at] = 45;
    rest = -value;
  }
  let i = at + bytes - 1;
  for (; rest > 0x7fffffff; i--) {
    const next = Math.floor(rest / 10);
    u8[i] = 48 + (rest - next * 10);
    rest = next;
  }
  let small = rest | 0;
  do {
    const next = (small / 10) | 0;
    u8[i--] = 48 + small - next * 10;
    small = next;
  } while (small !== 0);
  return bytes;
}

/** Writes Latin-1 text to u8[at ..) and returns how many bytes it took. */
export function writeLatin1(u8: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) u8[at + i] = text.charCodeAt(i);
  return text.length;
}
