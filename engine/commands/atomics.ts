// atomics.ts: what people write scripts for, as commands: compare and delete, compare and expire, count within bounds,
// several keys with one deadline, and a rate limit. SET's comparisons are in strings.ts.
//
// Sources: DELIFEQ is Valkey's; DELEX, DIGEST, MSETEX (8.4) and INCREX (8.8) are Redis's; CL.THROTTLE is redis-cell's;
// the names with IC. are ours. Checks come in Redis's order: arity and options, then the key, its type, then its value.
// Invariant: a command that refuses, or whose memory is refused, has changed nothing (MSETEX: as MSET, see strings.ts).
// On the data path: nothing is allocated but by INCREX BYFLOAT and by integers beyond 2^53, as in strings.ts.
// Neighbours: strings.ts has the options, the comparisons and the text of numbers; engine/types the arithmetic.
import { Flag, type KeySpec, Scope, Tier } from "../../protocol/command-row.ts";
import { badBound, Errors, wrongArity } from "../../protocol/errors.ts";
import { Encoding, Type } from "../memory/record.ts";
import { Event } from "../shard/events.ts";
import { addFloat80, type Float80, formatFloat80, isFinite80, ZERO } from "../types/float80.ts";
import {
  MAX_INTEGER,
  MIN_INTEGER,
  parseBigInteger,
  parseInteger,
  writeInteger,
  writeLatin1,
} from "../types/integer.ts";
import { xxh3, xxh3High, xxh3Low } from "../types/xxh3.ts";
import type { Call, Row } from "./call.ts";
import { deadlineFrom, refuseDeadline, Unit } from "./expiry-options.ts";
import {
  compares,
  equalsArgument,
  expiryArgument,
  floatIn,
  notifySet,
  Option,
  optionAt,
  optionDeadline,
  options,
  scratch,
  storePairs,
  storeScratch,
} from "./strings.ts";

// Comparing

/** Whether argument 1 holds a string equal to argument 2, -1 after replying that it is no string. */
function holdsArgument(call: Call): number {
  if (call.find(1) === 0) return 0;
  if (call.shard.type() === Type.String) return equalsArgument(call, 2) ? 1 : 0;
  call.reply.error(Errors.wrongType);
  return -1;
}

/** DELIFEQ key value */
function delifeq(call: Call): void {
  const holds = holdsArgument(call);
  if (holds < 0) return;
  if (holds === 1) {
    call.shard.remove(call.session.db, call.key);
    call.notify(Event.Del);
  }
  call.reply.integer(holds);
}

/** DELEX key [IFEQ value|IFNE value|IFDEQ digest|IFDNE digest] */
function delex(call: Call): void {
  const { argc, reply, session } = call;
  if (argc !== 2 && argc !== 4) return reply.error(wrongArity(call.row.name));
  if (call.find(1) === 0) return reply.integer(0);
  const { shard } = call;
  if (argc === 4) {
    if (shard.type() !== Type.String) return reply.error(Errors.wrongType);
    const comparison = optionAt(call, 2) & Option.AnyComparison;
    if (comparison === 0) return reply.error(Errors.deleteCondition);
    const holds = compares(call, comparison, 3);
    if (holds < 0) return;
    if (holds === 0) return reply.integer(0);
  }
  shard.remove(session.db, call.key);
  call.notify(Event.Del);
  reply.integer(1);
}

/** IC.EXPIREIFEQ key value seconds, and IC.PEXPIREIFEQ key value milliseconds. */
function expireIfEqual(call: Call, unit: Unit): void {
  const { reply, session } = call;
  const deadlineMs = deadlineFrom(call, 3, unit, false, false);
  if (!Number.isFinite(deadlineMs)) return refuseDeadline(call, deadlineMs);
  const holds = holdsArgument(call);
  if (holds < 0) return;
  if (holds === 1) {
    const { key, shard } = call;
    const past = deadlineMs <= call.nowMs;
    if (past) shard.remove(session.db, key);
    else if (!shard.setDeadline(session.db, key, shard.find(session.db, key), deadlineMs))
      return reply.error(Errors.outOfMemory);
    call.notify(past ? Event.Del : Event.Expire);
  }
  reply.integer(holds);
}

const HEX = "0123456789abcdef";

/** DIGEST key */
function digest(call: Call): void {
  const { reply } = call;
  if (call.findRead(1) === 0) return reply.nil();
  const { shard } = call;
  if (shard.type() !== Type.String) return reply.error(Errors.wrongType);
  xxh3(shard.region, shard.valueStart(), shard.valueBytes());
  for (let i = 0; i < 8; i++) {
    scratch.u8[i] = HEX.charCodeAt((xxh3High >>> (28 - i * 4)) & 15);
    scratch.u8[8 + i] = HEX.charCodeAt((xxh3Low >>> (28 - i * 4)) & 15);
  }
  reply.bulk(scratch, 0, 16);
}

// Several keys

/** MSETEX numkeys key value [key value ...] [NX|XX] [EX|PX|EXAT|PXAT when|KEEPTTL] */
function msetex(call: Call): void {
  const { argc, reply } = call;
  const pairs = parseInteger(call.input.u8, call.start[1]!, call.length[1]!);
  if (!(pairs >= 1 && pairs <= 0x7fffffff)) return reply.error(Errors.pairCount);
  const end = 2 + pairs * 2;
  if (end > argc) return reply.error(Errors.pairs);
  const found = options(call, end, Option.OfMsetex);
  if (found < 0) return;
  let deadlineMs = 0;
  if ((found & Option.AnyExpiry) !== 0) {
    deadlineMs = optionDeadline(call, found, expiryArgument);
    if (!Number.isFinite(deadlineMs)) return refuseDeadline(call, deadlineMs);
  }
  if ((found & (Option.Nx | Option.Xx)) !== 0) {
    const there = (found & Option.Xx) !== 0;
    for (let i = 2; i < end; i += 2) if ((call.look(i) !== 0) !== there) return reply.integer(0);
  }
  if (!storePairs(call, 2, end, deadlineMs, (found & Option.KeepTtl) !== 0))
    return reply.error(Errors.outOfMemory);
  reply.integer(1);
}

// Counting

/** INCREX's own options, next to those of Option. */
const enum Count {
  ByInt = 1 << 16,
  ByFloat = 1 << 17,
  Lower = 1 << 18,
  Upper = 1 << 19,
  Saturate = 1 << 20,
  Enx = 1 << 21,
  /** All but these two and PERSIST take a value. */
  Bare = 3145744,
  Increments = 196608,
}

/** The deadline that a key keeps. */
const KEPT = -1;

// Arguments of INCREX's options, 0 where absent; set by readCount.
let byArgument = 0;
let lowerArgument = 0;
let upperArgument = 0;
let whenArgument = 0;

/** INCREX's options as bits of Count and Option; -1 after replying an error. */
function readCount(call: Call): number {
  const { argc, reply } = call;
  let found = 0;
  byArgument = 0;
  lowerArgument = 0;
  upperArgument = 0;
  whenArgument = 0;
  for (let i = 2; i < argc; i++) {
    const option = countOption(call, i);
    const takesValue = (option & Count.Bare) === 0;
    const ttl = (found | option) & Option.AnyTtl;
    if (
      option === 0 ||
      (found & option) !== 0 ||
      (takesValue && i + 1 === argc) ||
      ((found | option) & Count.Increments) === Count.Increments ||
      (ttl & (ttl - 1)) !== 0
    ) {
      reply.error(Errors.syntax);
      return -1;
    }
    found |= option;
    if (!takesValue) continue;
    i++;
    if ((option & Count.Increments) !== 0) byArgument = i;
    else if (option === Count.Lower) lowerArgument = i;
    else if (option === Count.Upper) upperArgument = i;
    else whenArgument = i;
  }
  if ((found & Count.Enx) !== 0 && whenArgument === 0) {
    reply.error((found & Option.Persist) !== 0 ? Errors.syntax : Errors.enxWithoutExpiry);
    return -1;
  }
  return found;
}

function countOption(call: Call, i: number): number {
  if (call.is(i, "byint")) return Count.ByInt;
  if (call.is(i, "byfloat")) return Count.ByFloat;
  if (call.is(i, "lbound")) return Count.Lower;
  if (call.is(i, "ubound")) return Count.Upper;
  if (call.is(i, "saturate")) return Count.Saturate;
  if (call.is(i, "enx")) return Count.Enx;
  return optionAt(call, i) & Option.OfGetex;
}

/** INCREX key [BYINT n|BYFLOAT f] [LBOUND l] [UBOUND u] [SATURATE] [EX|PX|EXAT|PXAT when|PERSIST] [ENX] */
function increx(call: Call): void {
  const found = readCount(call);
  if (found < 0) return;
  if ((found & Count.ByFloat) !== 0) countFloat(call, found);
  else countInteger(call, found);
}

/** The deadline that the options ask for, KEPT without one; NaN or Infinity after replying why it is refused. */
function countDeadline(call: Call, found: number): number {
  if ((found & Option.Persist) !== 0) return 0;
  if (whenArgument === 0) return KEPT;
  const deadlineMs = optionDeadline(call, found, whenArgument);
  if (!Number.isFinite(deadlineMs)) refuseDeadline(call, deadlineMs);
  return deadlineMs;
}

/** An integer argument, 0 for none: as parseInteger. */
function integerArgument(call: Call, i: number): number {
  return i === 0 ? 0 : parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
}

function countInteger(call: Call, found: number): void {
  const { reply } = call;
  const by = byArgument === 0 ? 1 : integerArgument(call, byArgument);
  const lower = integerArgument(call, lowerArgument);
  const upper = integerArgument(call, upperArgument);
  if (Number.isNaN(by)) return reply.error(Errors.incrementNotAnInteger);
  if (Number.isNaN(lower)) return reply.error(badBound("LBOUND", false));
  if (Number.isNaN(upper)) return reply.error(badBound("UBOUND", false));
  const small = Number.isFinite(by) && Number.isFinite(lower) && Number.isFinite(upper);
  if (lowerArgument !== 0 && upperArgument !== 0) {
    if (small ? lower > upper : bigArgument(call, lowerArgument) > bigArgument(call, upperArgument))
      return reply.error(Errors.boundsCrossed);
  }
  const deadlineMs = countDeadline(call, found);
  if (!Number.isFinite(deadlineMs)) return;

  const handle = call.find(1);
  const { shard } = call;
  let value = 0;
  if (handle !== 0) {
    if (shard.type() !== Type.String) return reply.error(Errors.wrongType);
    value = parseInteger(shard.region.u8, shard.valueStart(), shard.valueBytes());
    if (Number.isNaN(value)) return reply.error(Errors.notAnInteger);
  }
  let sum = value + by;
  let applied = by;
  const outside = (lowerArgument !== 0 && sum < lower) || (upperArgument !== 0 && sum > upper);
  if (outside) {
    sum = upperArgument !== 0 && sum > upper ? upper : lower;
    applied = sum - value;
  }
  // Rare: beyond 2^53 somewhere.
  if (!small || !Number.isSafeInteger(value + by) || !Number.isSafeInteger(applied))
    return countBig(call, found, handle, deadlineMs);
  if (outside && (found & Count.Saturate) === 0) {
    reply.array(2);
    reply.integer(value);
    return reply.integer(0);
  }
  const bytes = writeInteger(scratch.u8, 0, sum);
  if (!storeCount(call, found, handle, bytes, Encoding.Integer, deadlineMs))
    return reply.error(Errors.outOfMemory);
  reply.array(2);
  reply.integer(sum);
  reply.integer(applied);
}

function bigArgument(call: Call, i: number): bigint {
  return parseBigInteger(call.input.u8, call.start[i]!, call.length[i]!);
}

/** countInteger in exact arithmetic; arguments and the record at the cursor have been checked. */
function countBig(call: Call, found: number, handle: number, deadlineMs: number): void {
  const { reply, shard } = call;
  const value = handle === 0 ? 0n : parseBigInteger(shard.region.u8, shard.valueStart(), shard.valueBytes());
  const lower = lowerArgument === 0 ? MIN_INTEGER : bigArgument(call, lowerArgument);
  const upper = upperArgument === 0 ? MAX_INTEGER : bigArgument(call, upperArgument);
  let sum = value + (byArgument === 0 ? 1n : bigArgument(call, byArgument));
  if (sum < lower || sum > upper) {
    if ((found & Count.Saturate) === 0) {
      reply.array(2);
      reply.bigInteger(value);
      return reply.integer(0);
    }
    sum = sum < lower ? lower : upper;
  }
  const applied = sum - value;
  if (applied < MIN_INTEGER || applied > MAX_INTEGER) return reply.error(Errors.appliedOverflow);
  const bytes = writeLatin1(scratch.u8, 0, sum.toString());
  if (!storeCount(call, found, handle, bytes, Encoding.Integer, deadlineMs))
    return reply.error(Errors.outOfMemory);
  reply.array(2);
  reply.bigInteger(sum);
  reply.bigInteger(applied);
}

/** The largest number that float64's range, which ours is, holds. */
const LARGEST: Float80 = { mantissa: 2n ** 53n - 1n, exponent: 971 };

function negated({ mantissa, exponent }: Float80): Float80 {
  return { mantissa: -mantissa, exponent };
}

function isLess(a: Float80, b: Float80): boolean {
  return addFloat80(a, negated(b)).mantissa < 0n;
}

function floatArgument(call: Call, i: number): Float80 | null {
  return floatIn(call.input, call.start[i]!, call.length[i]!);
}

/** A bound, `otherwise` where it is absent or infinite to its own side; null when it is no number, or none that a value
 *  could meet. */
function floatBound(call: Call, i: number, otherwise: Float80): Float80 | null {
  if (i === 0) return otherwise;
  const bound = floatArgument(call, i);
  if (bound === null || isFinite80(bound)) return bound;
  return bound.mantissa < 0n === otherwise.mantissa < 0n ? otherwise : null;
}

function countFloat(call: Call, found: number): void {
  const { reply } = call;
  const by = floatArgument(call, byArgument);
  if (by === null) return reply.error(Errors.incrementNotAFloat);
  if (!isFinite80(by)) return reply.error(Errors.incrementInfinite);
  const lower = floatBound(call, lowerArgument, negated(LARGEST));
  if (lower === null) return reply.error(badBound("LBOUND", true));
  const upper = floatBound(call, upperArgument, LARGEST);
  if (upper === null) return reply.error(badBound("UBOUND", true));
  if (isLess(upper, lower)) return reply.error(Errors.boundsCrossed);
  const deadlineMs = countDeadline(call, found);
  if (!Number.isFinite(deadlineMs)) return;

  const handle = call.find(1);
  const { shard } = call;
  if (handle !== 0 && shard.type() !== Type.String) return reply.error(Errors.wrongType);
  const value = handle === 0 ? ZERO : floatIn(shard.region, shard.valueStart(), shard.valueBytes());
  if (value === null) return reply.error(Errors.notAFloat);
  if (!isFinite80(value)) return reply.error(Errors.valueInfinite);

  let sum = addFloat80(value, by);
  let applied = by;
  const below = isLess(sum, lower);
  const outside = below || isLess(upper, sum);
  const refused = outside && (found & Count.Saturate) === 0;
  if (refused) {
    sum = value;
    applied = ZERO;
  } else if (outside) {
    sum = below ? lower : upper;
    applied = addFloat80(sum, negated(value));
    if (!isFinite80(applied)) return reply.error(Errors.appliedOverflow);
  }
  const text = formatFloat80(sum);
  if (!refused) {
    const bytes = writeLatin1(scratch.u8, 0, text);
    if (!storeCount(call, found, handle, bytes, Encoding.Bytes, deadlineMs))
      return reply.error(Errors.outOfMemory);
  }
  reply.array(2);
  reply.doubleText(text);
  reply.doubleText(formatFloat80(applied));
}

/** Stores the first `bytes` bytes of scratch as storeScratch does, with the deadline that was asked for, and tells of it.
 *  False when memory is out. */
function storeCount(
  call: Call,
  found: number,
  handle: number,
  bytes: number,
  encoding: Encoding,
  deadlineMs: number,
): boolean {
  const { key, session, shard } = call;
  const old = handle === 0 ? 0 : shard.deadline();
  const kept = deadlineMs === KEPT || ((found & Count.Enx) !== 0 && old !== 0);
  const stored = kept
    ? storeScratch(call, handle, bytes, encoding)
    : shard.setString(session.db, key, scratch, 0, bytes, encoding, deadlineMs);
  if (!stored) return false;
  call.notify(encoding === Encoding.Integer ? Event.IncrBy : Event.IncrByFloat);
  if (!kept && deadlineMs !== 0) call.notify(Event.Expire);
  else if (!kept && old !== 0) call.notify(Event.Persist);
  return true;
}

// Limiting

const MICROSECONDS = 1_000_000;

/** CL.THROTTLE key max_burst count period [quantity]: a bucket of max_burst + 1 tokens that are given back at `count` in
 *  `period` seconds (the generic cell rate algorithm).
 *
 *  Kept is the theoretical arrival time: when the bucket will be full again, as microseconds since the epoch; the key is
 *  due then. It is rounded down, so that intervals of no whole microseconds never add up to a refusal. Reckoned is from
 *  now on, in microseconds, where float64 has digits to spare. */
function throttle(call: Call): void {
  const { argc, reply, session } = call;
  if (argc > 6) return reply.error(wrongArity(call.row.name));
  const burst = integerArgument(call, 2);
  const count = integerArgument(call, 3);
  const period = integerArgument(call, 4);
  const quantity = argc === 6 ? integerArgument(call, 5) : 1;
  if (Number.isNaN(burst + count + period + quantity)) return reply.error(Errors.notAnInteger);
  if (
    !(burst >= 0 && count > 0 && period > 0 && quantity >= 0) ||
    !Number.isFinite(burst + count + period + quantity)
  )
    return reply.error(Errors.throttleArguments);

  const nowUs = Math.floor(call.nowMs) * 1000;
  const handle = call.find(1);
  const { shard } = call;
  let ahead = 0;
  if (handle !== 0) {
    if (shard.type() !== Type.String) return reply.error(Errors.wrongType);
    const kept = parseInteger(shard.region.u8, shard.valueStart(), shard.valueBytes());
    if (!Number.isFinite(kept)) return reply.error(Errors.notAnInteger);
    ahead = Math.max(0, kept - nowUs);
  }
  const limit = burst + 1;
  const interval = (period * MICROSECONDS) / count;
  const next = ahead + interval * quantity;
  const excess = next - interval * limit;
  const limited = excess > 0;
  if (!limited && quantity > 0) {
    ahead = Math.min(Math.floor(next), Number.MAX_SAFE_INTEGER - nowUs);
    const bytes = writeInteger(scratch.u8, 0, nowUs + ahead);
    const deadlineMs = Math.ceil((nowUs + ahead) / 1000);
    if (!shard.setString(session.db, call.key, scratch, 0, bytes, Encoding.Integer, deadlineMs))
      return reply.error(Errors.outOfMemory);
    notifySet(call, true);
  }
  reply.array(5);
  reply.integer(limited ? 1 : 0);
  reply.integer(limit);
  // Not rounded up for the last bits of a division.
  reply.integer(Math.max(0, limit - Math.ceil(ahead / interval - 1e-9)));
  reply.integer(limited && quantity <= limit ? seconds(excess) : -1);
  reply.integer(seconds(ahead));
}

/** Microseconds in whole seconds, the last one begun counted. */
function seconds(us: number): number {
  return Math.min(Math.ceil(us / MICROSECONDS), Number.MAX_SAFE_INTEGER);
}

// Rows

function keyed(...flags: readonly string[]): readonly KeySpec[] {
  return [{ first: 1, last: 0, step: 1, flags }];
}

const family = {
  scope: Scope.Keys,
  tier: Tier.Extended,
  group: "string",
  acl: ["write", "string", "fast"],
  complexity: "O(1)",
} as const;
const linear = "O(N) in the bytes compared";

const deletes = { ...family, flags: Flag.Write | Flag.Fast, keys: keyed("RM", "delete") };
const changes = {
  ...family,
  flags: Flag.Write | Flag.DenyOom | Flag.Fast,
  keys: keyed("RW", "access", "update"),
};

export const atomicCommands: readonly Row[] = [
  {
    ...deletes,
    name: "delifeq",
    arity: 3,
    since: "9.0.0",
    complexity: linear,
    summary: "Deletes a key if it holds a given string.",
    replaces: "The release of a lock: a script that compares the token with GET and then calls DEL.",
    syntax: "key value",
    handler: delifeq,
  },
  {
    ...deletes,
    name: "delex",
    arity: -2,
    since: "8.4.0",
    complexity: linear,
    summary: "Deletes a key, if its string equals or differs from a given one or its digest.",
    replaces: "Compare and delete: a script that calls GET, compares and calls DEL.",
    syntax: "key [IFEQ value|IFNE value|IFDEQ digest|IFDNE digest]",
    handler: delex,
  },
  {
    ...family,
    name: "digest",
    arity: 2,
    flags: Flag.ReadOnly | Flag.Fast,
    keys: keyed("RO", "access"),
    acl: ["read", "string", "fast"],
    since: "8.4.0",
    complexity: "O(N) in the length of the string",
    summary: "Returns the XXH3 hash of a string as 16 hexadecimal digits.",
    replaces:
      "Compare and set of a big value: take the digest, then SET with IFDEQ, and send the value only once.",
    syntax: "key",
    optimistic: true,
    handler: digest,
  },
  {
    ...family,
    name: "msetex",
    arity: -4,
    flags: Flag.Write | Flag.DenyOom | Flag.MovableKeys,
    keys: [{ numkeys: 1, first: 2, step: 2, flags: ["OW", "update"] }],
    acl: ["write", "string", "slow"],
    since: "8.4.0",
    complexity: "O(N) in the number of keys",
    summary: "Stores several strings at once, with a deadline and only if none or all of their keys exist.",
    replaces: "Several keys with one deadline: a script or transaction of MSET and an EXPIRE for each key.",
    syntax:
      "numkeys key value [key value ...] [NX|XX] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]",
    handler: msetex,
  },
  {
    ...changes,
    name: "increx",
    arity: -2,
    since: "8.8.0",
    summary: "Adds to the number at a key within bounds, and sets or removes its deadline.",
    replaces:
      "A limit per window: a script of INCR, EXPIRE on the first and a comparison. A stock that stops at zero, a counter with a cap: a script of GET, a comparison and INCRBY.",
    syntax:
      "key [BYINT increment|BYFLOAT increment] [LBOUND lowerbound] [UBOUND upperbound] [SATURATE] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST] [ENX]",
    handler: increx,
  },
  {
    ...changes,
    name: "cl.throttle",
    arity: -5,
    since: "0.1.0",
    summary: "Takes tokens from a bucket that fills at a steady rate, or says when there will be enough.",
    replaces:
      "A token bucket or sliding limit: a script that keeps tokens and the time of the last refill in a hash.",
    syntax: "key max_burst count period [quantity]",
    handler: throttle,
  },
  {
    ...changes,
    name: "ic.expireifeq",
    arity: 4,
    since: "0.1.0",
    complexity: linear,
    summary: "Lets a key expire after a number of seconds if it holds a given string.",
    replaces: "The extension of a lock: a script that compares the token with GET and then calls EXPIRE.",
    syntax: "key value seconds",
    handler: (call) => expireIfEqual(call, Unit.Seconds),
  },
  {
    ...changes,
    name: "ic.pexpireifeq",
    arity: 4,
    since: "0.1.0",
    complexity: linear,
    summary: "Lets a key expire after a number of milliseconds if it holds a given string.",
    replaces: "The extension of a lock: a script that compares the token with GET and then calls PEXPIRE.",
    syntax: "key value milliseconds",
    handler: (call) => expireIfEqual(call, Unit.Milliseconds),
  },
];
