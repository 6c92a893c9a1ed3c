// timeout.ts: how long a blocking command waits at most, as its argument says. On the data path: numbers allocate nothing.
// Neighbours: blocking.ts, lists.ts, sorted-sets.ts.
import { Errors } from "../../protocol/errors.ts";
import { parseDouble } from "../types/double.ts";
import type { Call } from "./call.ts";

/** Deadlines are int64 milliseconds. */
const LAST_MS = 2 ** 63;

/** A number that is too large for a float64. */
const large = /^[+-]?[0-9.]+e\+?[0-9]+$/i;

/** Argument `i`, seconds, as whole milliseconds, 0 for ever; NaN after replying that it is none. */
export function timeoutArgument(call: Call, i: number): number {
  let seconds = parseDouble(call.input.u8, call.start[i]!, call.length[i]!);
  if (Number.isNaN(seconds) && large.test(call.text(i))) seconds = Number(call.text(i));
  const timeoutMs = Math.ceil(seconds * 1000);
  if (timeoutMs >= 0 && timeoutMs <= LAST_MS - call.nowMs) return timeoutMs;
  if (Number.isNaN(timeoutMs)) call.reply.error(Errors.timeoutNotAFloat);
  else if (timeoutMs < 0) call.reply.error(Errors.timeoutNegative);
  else call.reply.error(Errors.timeoutOutOfRange);
  return Number.NaN;
}
