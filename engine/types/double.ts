// double.ts: float64 as text: the layouts in which scores are printed, and what is accepted as one.
//
// Layout: inf, -inf, nan; what is integral and at most 2^62 in magnitude as an integer; of everything else the shortest
// digits that read back as the same number. With n digits d and value = d * 10^k, e = k + n - 1: plain with k zeros
// behind when k >= 0 and |e| < n + 7; with a point when k < 0 and (k > -7 or |e| < 4); else d.ddde+e. -0 is 0.
// The shortest digits are Number.toString's, so that string is the one thing allocated, and only for what is not
// integral. Callers: engine/commands and engine/types; on the data path except writeDouble17.

import { writeInteger, writeLatin1 } from "./integer.ts";

/** The most bytes that a text of this file takes. */
export const DOUBLE_TEXT_BYTES = 32;

const EXACT_INTEGERS = 2 ** 62;
const digits = new Uint8Array(32);

/** Writes `value` as Redis prints scores since 7.2 and returns how many bytes it took. */
export function writeDouble(u8: Uint8Array, at: number, value: number): number {
  if (Number.isSafeInteger(value)) return writeInteger(u8, at, value === 0 ? 0 : value);
  if (!Number.isFinite(value)) return writeNotFinite(u8, at, value);
  if (Number.isInteger(value) && Math.abs(value) <= EXACT_INTEGERS) return writeLargeInteger(u8, at, value);
  return writeShortest(u8, at, value);
}

function writeNotFinite(u8: Uint8Array, at: number, value: number): number {
  if (Number.isNaN(value)) return writeLatin1(u8, at, "nan");
  return writeLatin1(u8, at, value < 0 ? "-inf" : "inf");
}

/** An integral value between 2^53 and 2^62, every digit of it. */
function writeLargeInteger(u8: Uint8Array, at: number, value: number): number {
  const rest = Math.abs(value % 1e9); // exact
  const head = Math.round((Math.abs(value) - rest) / 1e9);
  let end = at;
  if (value < 0) u8[end++] = 45;
  end += writeInteger(u8, end, head);
  let left = rest;
  for (let i = end + 8; i >= end; i--) {
    const next = Math.floor(left / 10);
    u8[i] = 48 + (left - next * 10);
    left = next;
  }
  return end + 9 - at;
}

function writeShortest(u8: Uint8Array, at: number, value: number): number {
  const text = String(value);
  // The digits without zeros at either end, and the power of ten of the last.
  let count = 0;
  let power = 0;
  let fraction = false;
  let i = value < 0 ? 1 : 0;
  for (; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 101) break; // e
    if (code === 46) {
      fraction = true;
      continue;
    }
    if (fraction) power--;
    if (count > 0 || code !== 48) digits[count++] = code;
  }
  if (i < text.length) {
    const negative = text.charCodeAt(i + 1) === 45;
    let exponent = 0;
    for (i += 2; i < text.length; i++) exponent = exponent * 10 + text.charCodeAt(i) - 48;
    power += negative ? -exponent : exponent;
  }
  for (; digits[count - 1] === 48; count--) power++;

  let end = at;
  if (value < 0) u8[end++] = 45;
  const exponent = power + count - 1;
  if (power >= 0 && Math.abs(exponent) < count + 7) {
    end = copyDigits(u8, end, 0, count);
    for (let zeros = power; zeros > 0; zeros--) u8[end++] = 48;
    return end - at;
  }
  if (power < 0 && (power > -7 || Math.abs(exponent) < 4)) {
    const whole = count + power;
    if (whole > 0) {
      end = copyDigits(u8, end, 0, whole);
      u8[end++] = 46;
      return copyDigits(u8, end, whole, count) - at;
    }
    u8[end++] = 48;
    u8[end++] = 46;
    for (let zeros = whole; zeros < 0; zeros++) u8[end++] = 48;
    return copyDigits(u8, end, 0, count) - at;
  }
  end = copyDigits(u8, end, 0, 1);
  if (count > 1) {
    u8[end++] = 46;
    end = copyDigits(u8, end, 1, count);
  }
  u8[end++] = 101;
  u8[end++] = exponent < 0 ? 45 : 43;
  return end + writeInteger(u8, end, Math.abs(exponent)) - at;
}

function copyDigits(u8: Uint8Array, at: number, from: number, to: number): number {
  for (let i = from; i < to; i++) u8[at++] = digits[i]!;
  return at;
}

/** Writes `value` as C's "%.17g" does, which is how Redis 7.0 prints scores. Cold: makes strings. */
export function writeDouble17(u8: Uint8Array, at: number, value: number): number {
  if (!Number.isFinite(value)) return writeNotFinite(u8, at, value);
  return writeLatin1(u8, at, value === 0 ? "0" : text17(value));
}

function text17(value: number): string {
  const sign = value < 0 ? "-" : "";
  // A value halfway between two of 17 digits goes to the even one in C, to the larger in JavaScript. It has 18 digits.
  const exact = /^(\d)\.(\d{17})(\d*)e(.*)$/.exec(Math.abs(value).toExponential(100))!;
  const seventeen = exact[1]! + exact[2]!.slice(0, 16);
  const halfway = exact[2]!.endsWith("5") && /^0*$/.test(exact[3]!);
  const down = halfway && Number(seventeen.at(-1)) % 2 === 0;
  const rounded = /^(\d)\.(\d{16})e(.*)$/.exec(Math.abs(value).toExponential(16))!;
  const all = down ? seventeen : rounded[1]! + rounded[2]!;
  const exponent = Number(down ? exact[4] : rounded[3]);
  const kept = all.replace(/0+$/, "");
  if (exponent < -4 || exponent >= 17) {
    const fraction = kept.length > 1 ? `.${kept.slice(1)}` : "";
    const power = String(Math.abs(exponent)).padStart(2, "0");
    return `${sign}${kept[0]}${fraction}e${exponent < 0 ? "-" : "+"}${power}`;
  }
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${kept}`;
  const whole = kept.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  const fraction = kept.slice(exponent + 1);
  return sign + whole + (fraction === "" ? "" : `.${fraction}`);
}

/** Exact powers of ten. */
const POWERS = Float64Array.from({ length: 16 }, (_, exponent) => 10 ** exponent);

/** The value of u8[start, start + bytes), which must be a number in decimal or exponent form, or [+-]inf or
 *  [+-]infinity in any case, and nothing else. NaN for all else: NaN itself, hexadecimal, spaces, and what overflows or
 *  vanishes. -0 is 0. Allocates nothing for numbers of up to 15 digits without an exponent. */
export function parseDouble(u8: Uint8Array, start: number, bytes: number): number {
  const end = start + bytes;
  let at = start;
  const sign = u8[at];
  if (bytes > 0 && (sign === 43 || sign === 45)) at++;
  const negative = at > start && sign === 45;
  if (end - at <= 15) {
    let value = 0;
    let i = at;
    for (; i < end; i++) {
      const digit = u8[i]! - 48;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (i === end) return i === at ? Number.NaN : negative && value !== 0 ? -value : value;
    if (u8[i] === 46) {
      // Up to 15 digits and a power of ten up to 10^15: both are exact, so their quotient is the nearest double (Clinger,
      // "How to Read Floating Point Numbers Accurately").
      const point = i;
      for (i++; i < end; i++) {
        const digit = u8[i]! - 48;
        if (digit < 0 || digit > 9) break;
        value = value * 10 + digit;
      }
      if (i === end && end - at > 1 && value !== 0) {
        const parsed = value / POWERS[end - point - 1]!;
        return negative ? -parsed : parsed;
      }
    }
  }
  if (isInfinity(u8, at, end)) return negative ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const kind = decimal(u8, at, end);
  if (kind === Decimal.No) return Number.NaN;
  if (kind === Decimal.Zero) return 0;
  let text = "";
  for (let i = at; i < end; i++) text += String.fromCharCode(u8[i]!);
  const value = Number(text);
  if (value === 0 || value === Number.POSITIVE_INFINITY) return Number.NaN;
  return negative ? -value : value;
}

const enum Decimal {
  No = 0,
  Zero = 1,
  Other = 2,
}

/** What digits with an optional point and an optional exponent say. */
function decimal(u8: Uint8Array, start: number, end: number): Decimal {
  let at = start;
  let count = 0;
  let zero = true;
  let point = false;
  for (; at < end; at++) {
    const byte = u8[at]!;
    if (byte === 46 && !point) point = true;
    else if (byte >= 48 && byte <= 57) {
      count++;
      if (byte !== 48) zero = false;
    } else break;
  }
  if (count === 0) return Decimal.No;
  if (at < end) {
    if ((u8[at]! | 32) !== 101) return Decimal.No;
    at++;
    if (at < end && (u8[at] === 43 || u8[at] === 45)) at++;
    if (at === end) return Decimal.No;
    for (; at < end; at++) if (u8[at]! < 48 || u8[at]! > 57) return Decimal.No;
  }
  return zero ? Decimal.Zero : Decimal.Other;
}

const INFINITY = "infinity";

function isInfinity(u8: Uint8Array, start: number, end: number): boolean {
  const bytes = end - start;
  if (bytes !== 3 && bytes !== 8) return false;
  for (let i = 0; i < bytes; i++) if ((u8[start + i]! | 32) !== INFINITY.charCodeAt(i)) return false;
  return true;
}
