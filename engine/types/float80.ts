// float80.ts: the arithmetic of INCRBYFLOAT and HINCRBYFLOAT, which Redis does in x87 extended precision: a mantissa of
// 64 bits, round to nearest even, printed as "%.17Lf" without trailing zeros.
//
// A value is mantissa * 2^exponent, exact, with |mantissa| < 2^64. Decimals become the nearest such value by exact
// rationals on BigInt, a sum is formed exactly and rounded once, and printing rounds the exact value to 17 places.
// The exponent range is that of float64, not x87's: text beyond it is refused as strtod would refuse it, and a sum
// beyond it is infinite.
// Pure. Callers: engine/commands. Off the hot path: allocates BigInts and strings.

export interface Float80 {
  readonly mantissa: bigint;
  readonly exponent: number;
}

/** Longest text Redis looks at. */
export const FLOAT_TEXT_LIMIT = 5 * 1024 - 1;

export const ZERO: Float80 = { mantissa: 0n, exponent: 0 };
const DECIMAL = /^([+-]?)(?:(\d+)\.?(\d*)|\.(\d+))(?:[eE]([+-]?\d+))?$/;
const INFINITE = /^([+-]?)inf(?:inity)?$/i;

/** The value that `text`, all of it, says in decimal or exponent form or as inf; null for anything else: NaN, hex,
 *  spaces, and what overflows a float64 or vanishes in one. */
export function parseFloat80(text: string): Float80 | null {
  if (text.length > FLOAT_TEXT_LIMIT) return null;
  const parts = DECIMAL.exec(text);
  if (parts === null) {
    const infinite = INFINITE.exec(text);
    return infinite === null ? null : infinity(infinite[1] === "-");
  }
  const fraction = parts[3] ?? parts[4] ?? "";
  const digits = BigInt((parts[2] ?? "") + fraction);
  if (digits === 0n) return ZERO;
  const nearest = Number(text);
  if (nearest === 0 || !Number.isFinite(nearest)) return null;
  // Here the decimal exponent is bounded: the value is within float64 and the text within the limit.
  const power = Number(parts[5] ?? 0) - fraction.length;
  const value =
    power >= 0 ? rounded(digits * 10n ** BigInt(power), 1n) : rounded(digits, 10n ** BigInt(-power));
  return parts[1] === "-" ? { mantissa: -value.mantissa, exponent: value.exponent } : value;
}

/** The sum, rounded to 64 bits; infinite where an operand is or the range ends. Opposite infinities give one too,
 *  where x87 gives NaN: Redis refuses both alike. */
export function addFloat80(a: Float80, b: Float80): Float80 {
  if (!isFinite80(a)) return a;
  if (!isFinite80(b)) return b;
  const exponent = Math.min(a.exponent, b.exponent);
  const sum = (a.mantissa << BigInt(a.exponent - exponent)) + (b.mantissa << BigInt(b.exponent - exponent));
  if (sum === 0n) return ZERO;
  const negative = sum < 0n;
  const value = rounded(negative ? -sum : sum, 1n);
  const result = {
    mantissa: negative ? -value.mantissa : value.mantissa,
    exponent: value.exponent + exponent,
  };
  return bitLength(value.mantissa) + result.exponent > 1024 ? infinity(negative) : result;
}

export function isFinite80(value: Float80): boolean {
  return Number.isFinite(value.exponent);
}

/** A finite value as "%.17Lf" prints it, trailing zeros and a trailing dot removed, "-0" as "0". */
export function formatFloat80(value: Float80): string {
  const negative = value.mantissa < 0n;
  const scaled = (negative ? -value.mantissa : value.mantissa) * 10n ** 17n;
  const units =
    value.exponent >= 0
      ? scaled << BigInt(value.exponent)
      : roundedQuotient(scaled, 1n << BigInt(-value.exponent));
  const digits = units.toString().padStart(18, "0");
  const text = `${digits.slice(0, -17)}.${digits.slice(-17)}`.replace(/\.?0+$/, "");
  return negative && text !== "0" ? `-${text}` : text;
}

function infinity(negative: boolean): Float80 {
  return { mantissa: negative ? -1n : 1n, exponent: Number.POSITIVE_INFINITY };
}

function bitLength(value: bigint): number {
  const hex = value.toString(16);
  return (hex.length - 1) * 4 + 32 - Math.clz32(Number.parseInt(hex[0]!, 16));
}

/** numerator / denominator, both positive, to the nearest 64-bit mantissa, ties to even. */
function rounded(numerator: bigint, denominator: bigint): Float80 {
  // So shifted, the quotient has 64 or 65 bits; with 65 it is one too many.
  let exponent = bitLength(numerator) - bitLength(denominator) - 64;
  if (quotientBits(numerator, denominator, exponent) > 64) exponent++;
  const mantissa =
    exponent >= 0
      ? roundedQuotient(numerator, denominator << BigInt(exponent))
      : roundedQuotient(numerator << BigInt(-exponent), denominator);
  // Rounding up from all ones gives 2^64, which is 2^63 one exponent higher.
  return mantissa === 1n << 64n ? { mantissa: 1n << 63n, exponent: exponent + 1 } : { mantissa, exponent };
}

/** Bits of floor(numerator / denominator / 2^exponent). */
function quotientBits(numerator: bigint, denominator: bigint, exponent: number): number {
  return exponent >= 0
    ? bitLength(numerator / (denominator << BigInt(exponent)))
    : bitLength((numerator << BigInt(-exponent)) / denominator);
}

/** The nearest integer to numerator / denominator, ties to even. */
function roundedQuotient(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twice = (numerator - quotient * denominator) * 2n;
  if (twice > denominator || (twice === denominator && (quotient & 1n) === 1n)) return quotient + 1n;
  return quotient;
}
