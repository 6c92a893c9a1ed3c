// expiry-options.ts: when a key is due, from an argument: shared by SET, SETEX, PSETEX, GETEX and the EXPIRE family.
//
// Checks and texts are Redis's: the argument must be an int64, its milliseconds must be one too, and where a value is
// stored together with its deadline it must be above zero. A deadline past 2^53 - 1 ms (the year 287396) is taken as
// that, and one before -(2^53 - 1) likewise, so that every later sum and reply is exact.
// Callers: strings.ts, expiry.ts. On the data path; allocates nothing below 2^53.
import { Errors, invalidExpire } from "../../protocol/errors.ts";
import { MAX_INTEGER, MIN_INTEGER, parseBigInteger, parseInteger } from "../types/integer.ts";
import type { Call } from "./call.ts";

/** Milliseconds in one unit of the argument. */
export const enum Unit {
  Milliseconds = 1,
  Seconds = 1000,
}

/** The deadline that argument `i` asks for, in ms since the epoch: from now, or `absolute`. NaN when it is not an
 *  integer, Infinity when it is out of range; refuseDeadline replies for both. With `positive` (SET, GETEX and their
 *  kin) zero and below are out of range; without (EXPIRE and its kin) they give a deadline in the past, possibly zero
 *  or negative, which the caller must not store. */
export function deadlineFrom(
  call: Call,
  i: number,
  unit: Unit,
  absolute: boolean,
  positive: boolean,
): number {
  const value = parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
  if (Number.isNaN(value)) return value;
  if (positive && value <= 0) return Number.POSITIVE_INFINITY;
  const from = absolute ? 0 : call.nowMs;
  // A safe number of seconds, even in ms and counted from now, stays within int64.
  if (Number.isFinite(value)) return clamp(value * unit + from);
  const ms = parseBigInteger(call.input.u8, call.start[i]!, call.length[i]!) * BigInt(unit);
  if (ms > MAX_INTEGER - BigInt(Math.floor(from)) || ms < MIN_INTEGER) return Number.POSITIVE_INFINITY;
  return clamp(Number(ms));
}

/** Replies why deadlineFrom refused: `deadline` is what it returned. */
export function refuseDeadline(call: Call, deadline: number): void {
  call.reply.error(Number.isNaN(deadline) ? Errors.notAnInteger : invalidExpire(call.row.name));
}

function clamp(ms: number): number {
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, ms));
}
