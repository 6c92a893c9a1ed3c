// strings.ts: the commands on string values.
//
// A value that is canonical int64 text is stored as that text and only marked Encoding.Integer; what APPEND and SETRANGE
// made is marked Encoding.Edited; all else is Encoding.Bytes. Checks come in Redis's order: options, then the key, then
// its type, then what depends on the value.
// Invariants: region and offset of a record are read again after every write; a reply that was begun before a write
// that memory refused is taken back, so an out-of-memory error always means that nothing changed (MSET: see there).
// On the data path: everything but LCS, INCRBYFLOAT and integers beyond 2^53 allocates nothing.
// Neighbours: expiry-options.ts; atomics.ts shares the helpers and the options; engine/types does the arithmetic; the
// dispatcher runs the rows at the foot.
import { Flag, type KeySpec, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors, wrongArity } from "../../protocol/errors.ts";
import { Encoding, Type } from "../memory/record.ts";
import { clearBytes, copyBytes, equalBytes, need, Region } from "../memory/region.ts";
import { Size } from "../memory/size-classes.ts";
import { Event } from "../shard/events.ts";
import type { Shard } from "../shard/shard.ts";
import {
  addFloat80,
  FLOAT_TEXT_LIMIT,
  type Float80,
  formatFloat80,
  isFinite80,
  parseFloat80,
  ZERO,
} from "../types/float80.ts";
import {
  MAX_INTEGER,
  MIN_INTEGER,
  parseBigInteger,
  parseInteger,
  writeInteger,
  writeLatin1,
} from "../types/integer.ts";
import { Lcs } from "../types/lcs.ts";
import { xxh3, xxh3High, xxh3Low } from "../types/xxh3.ts";
import type { Call, Row } from "./call.ts";
import { deadlineFrom, refuseDeadline, Unit } from "./expiry-options.ts";

/** proto-max-bulk-len cannot be set lower, so shorter values need not ask for it. */
const LEAST_LIMIT = 1 << 20;
const DEFAULT_LIMIT = 512 * (1 << 20);

/** Text of a number on its way into a record: at most the 328 bytes of the longest float. */
export const scratch = need(Region.private(4096), "the text of numbers");

// Helpers

/** How argument `i` is stored as a value. */
function encodingOf(call: Call, i: number): Encoding {
  const value = parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
  return Number.isNaN(value) ? Encoding.Bytes : Encoding.Integer;
}

/** Stores argument `i` under the current key. False when memory is out. */
function storeArgument(call: Call, i: number, deadlineMs: number): boolean {
  return call.shard.setString(
    call.session.db,
    call.key,
    call.input,
    call.start[i]!,
    call.length[i]!,
    encodingOf(call, i),
    deadlineMs,
  );
}

/** Tells that the current key was set, and with `timed` that it was given a deadline. */
export function notifySet(call: Call, timed: boolean): void {
  call.notify(Event.Set);
  if (timed) call.notify(Event.Expire);
}

/** Stores the first `bytes` bytes of scratch under the current key, which `handle` (0: absent) was found for, and keeps
 *  its deadline. False when memory is out. */
export function storeScratch(call: Call, handle: number, bytes: number, encoding: Encoding): boolean {
  const { shard } = call;
  if (handle !== 0 && shard.valueBytes() === bytes) {
    // Common: a counter whose digits are as many as before.
    copyBytes(shard.region, shard.valueStart(), scratch, 0, bytes);
    shard.setEncoding(encoding);
    return true;
  }
  const deadlineMs = handle === 0 ? 0 : shard.deadline();
  return shard.setString(call.session.db, call.key, scratch, 0, bytes, encoding, deadlineMs);
}

/** Replies with the value at the shard's cursor. */
function replyValue(call: Call): void {
  const { shard } = call;
  call.reply.bulk(shard.region, shard.valueStart(), shard.valueBytes());
}

/** Takes back what was replied since `at` and says that memory is out. */
function outOfMemory(call: Call, at: number): void {
  call.reply.at = at;
  call.reply.error(Errors.outOfMemory);
}

/** Looks up argument 1 and replies with the string there, or null. The handle, 0 when absent; -1 after replying that
 *  it is another type. */
function replyOld(call: Call): number {
  const handle = call.findRead(1);
  if (handle === 0) {
    call.reply.nil();
    return 0;
  }
  if (call.shard.type() !== Type.String) {
    call.reply.error(Errors.wrongType);
    return -1;
  }
  replyValue(call);
  return handle;
}

/** The most bytes one string may grow to. Cold. */
function lengthLimit(call: Call): number {
  return Number(call.server.setting("proto-max-bulk-len") ?? DEFAULT_LIMIT);
}

function tooLong(call: Call, bytes: number): boolean {
  return bytes > LEAST_LIMIT && bytes > lengthLimit(call);
}

/** The decimal number that bytes of a region say, null for none. Never makes a long string. */
export function floatIn(region: Region, start: number, bytes: number): Float80 | null {
  if (bytes > FLOAT_TEXT_LIMIT) return null;
  let text = "";
  for (let i = 0; i < bytes; i++) text += String.fromCharCode(region.u8[start + i]!);
  return parseFloat80(text);
}

// Reading

/** GET key */
function get(call: Call): void {
  replyOld(call);
}

/** STRLEN key */
function strlen(call: Call): void {
  const { reply } = call;
  if (call.touchRead(1) === 0) return reply.integer(0);
  if (call.shard.type() !== Type.String) return reply.error(Errors.wrongType);
  reply.integer(call.shard.stringBytes());
}

/** GETRANGE key start end; SUBSTR likewise. */
function getrange(call: Call): void {
  const { input, reply } = call;
  let start = parseInteger(input.u8, call.start[2]!, call.length[2]!);
  let end = parseInteger(input.u8, call.start[3]!, call.length[3]!);
  if (Number.isNaN(start) || Number.isNaN(end)) return reply.error(Errors.notAnInteger);
  if (call.findRead(1) === 0) return reply.text("");
  const { shard } = call;
  if (shard.type() !== Type.String) return reply.error(Errors.wrongType);

  // Both from the end and crossed: empty. Otherwise what points before the first byte means the first byte.
  if (start < 0 && end < 0 && crossed(call, start, end)) return reply.text("");
  const bytes = shard.valueBytes();
  if (start < 0) start = Math.max(0, bytes + start);
  if (end < 0) end = Math.max(0, bytes + end);
  end = Math.min(end, bytes - 1);
  if (start > end) return reply.text("");
  reply.bulk(shard.region, shard.valueStart() + start, end - start + 1);
}

/** Whether arguments 2 and 3, the start and end of a range, are crossed, even where both are beyond 2^53. */
export function crossed(call: Call, start: number, end: number): boolean {
  if (Number.isFinite(start) || Number.isFinite(end)) return start > end;
  const { u8 } = call.input;
  return (
    parseBigInteger(u8, call.start[2]!, call.length[2]!) >
    parseBigInteger(u8, call.start[3]!, call.length[3]!)
  );
}

/** MGET key [key ...] */
function mget(call: Call): void {
  const { argc, reply } = call;
  reply.array(argc - 1);
  for (let i = 1; i < argc; i++) {
    if (call.findRead(i) === 0 || call.shard.type() !== Type.String) reply.nil();
    else replyValue(call);
  }
}

// Setting

export const enum Option {
  None = 0,
  Nx = 1,
  Xx = 2,
  Get = 4,
  KeepTtl = 8,
  Persist = 16,
  Ex = 32,
  Px = 64,
  ExAt = 128,
  PxAt = 256,
  AnyExpiry = 480,
  Absolute = 384,
  InSeconds = 160,
  /** Two different ones of these together are a syntax error. */
  AnyTtl = 504,
  IfEq = 512,
  IfNe = 1024,
  IfDeq = 2048,
  IfDne = 4096,
  AnyComparison = 7680,
  /** True of what differs and of an absent key. */
  Unequal = 5120,
  OfDigests = 6144,
  /** Likewise of these; a comparison may not even be repeated. */
  AnyCondition = 7683,
  /** What each command takes. */
  OfSet = 8175,
  OfGetex = 496,
  OfMsetex = 491,
}

/** Argument that the expiry option found last takes, and the one that the comparison takes; set by `options`. */
export let expiryArgument = 0;
let comparedArgument = 0;

/** The options from argument `from` on as bits of Option, `taken` those that the command knows; -1 after a syntax error.
 *  The same option may be repeated, the last expiry wins; `expiryArgument` and `comparedArgument` are left at their
 *  values. */
export function options(call: Call, from: number, taken: number): number {
  let found: number = Option.None;
  for (let i = from; i < call.argc; i++) {
    const option = optionAt(call, i) & taken;
    const ttl = (found | option) & Option.AnyTtl;
    const conditions = (found | option) & Option.AnyCondition;
    const takesValue = (option & (Option.AnyExpiry | Option.AnyComparison)) !== 0;
    if (
      option === Option.None ||
      (ttl & (ttl - 1)) !== 0 || // two different ones
      (conditions & (conditions - 1)) !== 0 ||
      (found & option & Option.AnyComparison) !== 0 ||
      (takesValue && i + 1 === call.argc)
    ) {
      call.reply.error(Errors.syntax);
      return -1;
    }
    found |= option;
    if ((option & Option.AnyExpiry) !== 0) expiryArgument = ++i;
    else if (takesValue) comparedArgument = ++i;
  }
  return found;
}

/** The option that argument `i` names, of whatever command it is one. */
export function optionAt(call: Call, i: number): number {
  if (call.is(i, "ex")) return Option.Ex;
  if (call.is(i, "px")) return Option.Px;
  if (call.is(i, "exat")) return Option.ExAt;
  if (call.is(i, "pxat")) return Option.PxAt;
  if (call.is(i, "nx")) return Option.Nx;
  if (call.is(i, "xx")) return Option.Xx;
  if (call.is(i, "get")) return Option.Get;
  if (call.is(i, "keepttl")) return Option.KeepTtl;
  if (call.is(i, "persist")) return Option.Persist;
  if (call.is(i, "ifeq")) return Option.IfEq;
  if (call.is(i, "ifne")) return Option.IfNe;
  if (call.is(i, "ifdeq")) return Option.IfDeq;
  return call.is(i, "ifdne") ? Option.IfDne : Option.None;
}

/** The deadline that an expiry option of `found` asks for with argument `i`; NaN or Infinity when it is refused. */
export function optionDeadline(call: Call, found: number, i: number): number {
  const unit = (found & Option.InSeconds) !== 0 ? Unit.Seconds : Unit.Milliseconds;
  return deadlineFrom(call, i, unit, (found & Option.Absolute) !== 0, true);
}

/** Whether the string at the shard's cursor is argument `i`. */
export function equalsArgument(call: Call, i: number): boolean {
  const { shard } = call;
  const bytes = call.length[i]!;
  return (
    shard.valueBytes() === bytes &&
    equalBytes(shard.region, shard.valueStart(), call.input, call.start[i]!, bytes)
  );
}

/** What argument `i` says of the string at the shard's cursor: 1 where the comparison in `option` holds, 0 where it does
 *  not, -1 after replying that it is no digest. */
export function compares(call: Call, option: number, i: number): number {
  const { reply, shard } = call;
  let equal: boolean;
  if ((option & Option.OfDigests) === 0) equal = equalsArgument(call, i);
  else {
    const high = hexWord(call, i, 0);
    const low = hexWord(call, i, 8);
    if (call.length[i] !== 16 || high < 0 || low < 0) {
      reply.error(Errors.badDigest);
      return -1;
    }
    xxh3(shard.region, shard.valueStart(), shard.valueBytes());
    equal = xxh3High === high && xxh3Low === low;
  }
  return equal === ((option & Option.Unequal) === 0) ? 1 : 0;
}

/** Eight hexadecimal digits of argument `i`, in either case, from its byte `from` on; -1 for what is none. */
function hexWord(call: Call, i: number, from: number): number {
  const { u8 } = call.input;
  const start = call.start[i]! + from;
  if (call.length[i]! < from + 8) return -1;
  let word = 0;
  for (let at = start; at < start + 8; at++) {
    const byte = u8[at]!;
    const letter = byte | 32;
    if (byte >= 48 && byte <= 57) word = word * 16 + byte - 48;
    else if (letter >= 97 && letter <= 102) word = word * 16 + letter - 87;
    else return -1;
  }
  return word;
}

/** SET key value [NX|XX|IFEQ|IFNE|IFDEQ|IFDNE] [GET] [EX|PX|EXAT|PXAT when|KEEPTTL] */
function set(call: Call): void {
  if (call.argc !== 3) return setWithOptions(call);
  call.locate(1);
  if (!storeArgument(call, 2, 0)) return call.reply.error(Errors.outOfMemory);
  call.notify(Event.Set);
  call.reply.ok();
}

function setWithOptions(call: Call): void {
  const { reply } = call;
  const found = options(call, 3, Option.OfSet);
  if (found < 0) return;
  let deadline = 0;
  if ((found & Option.AnyExpiry) !== 0) {
    deadline = optionDeadline(call, found, expiryArgument);
    if (!Number.isFinite(deadline)) return refuseDeadline(call, deadline);
  }

  // With GET the answer is the old value, whatever becomes of the key.
  const begun = reply.at;
  const replied = (found & Option.Get) !== 0;
  const comparison = found & Option.AnyComparison;
  // A comparison first: it may be refused, and what it may be about must be a string.
  const holds = comparison === 0 ? 1 : compareOld(call, comparison);
  if (holds < 0) return;
  const handle = replied ? replyOld(call) : call.look(1);
  if (handle < 0) return;
  const wanted =
    holds === 1 && ((found & Option.Nx) !== 0 ? handle === 0 : (found & Option.Xx) === 0 || handle !== 0);
  if (!wanted) {
    if (!replied) reply.nil();
    return;
  }

  if ((found & Option.KeepTtl) !== 0 && handle !== 0) deadline = call.shard.deadline();
  // One that is past is stored as well: the key expires when somebody looks.
  if (!storeArgument(call, 2, deadline)) return outOfMemory(call, begun);
  notifySet(call, (found & Option.AnyExpiry) !== 0);
  if (!replied) reply.ok();
}

/** What `compares` says of the string at argument 1; where there is none, that it differs. */
function compareOld(call: Call, comparison: number): number {
  if (call.find(1) === 0) return (comparison & Option.Unequal) !== 0 ? 1 : 0;
  if (call.shard.type() === Type.String) return compares(call, comparison, comparedArgument);
  call.reply.error(Errors.wrongType);
  return -1;
}

/** SETEX key seconds value */
function setex(call: Call): void {
  setDue(call, Unit.Seconds);
}

/** PSETEX key milliseconds value */
function psetex(call: Call): void {
  setDue(call, Unit.Milliseconds);
}

function setDue(call: Call, unit: Unit): void {
  const deadline = deadlineFrom(call, 2, unit, false, true);
  if (!Number.isFinite(deadline)) return refuseDeadline(call, deadline);
  call.locate(1);
  if (!storeArgument(call, 3, deadline)) return call.reply.error(Errors.outOfMemory);
  notifySet(call, true);
  call.reply.ok();
}

/** SETNX key value */
function setnx(call: Call): void {
  const { reply } = call;
  if (call.look(1) !== 0) return reply.integer(0);
  if (!storeArgument(call, 2, 0)) return reply.error(Errors.outOfMemory);
  call.notify(Event.Set);
  reply.integer(1);
}

/** GETSET key value */
function getset(call: Call): void {
  const begun = call.reply.at;
  if (replyOld(call) < 0) return;
  if (storeArgument(call, 2, 0)) call.notify(Event.Set);
  else outOfMemory(call, begun);
}

/** GETDEL key */
function getdel(call: Call): void {
  if (replyOld(call) <= 0) return;
  call.shard.remove(call.session.db, call.key);
  call.notify(Event.Del);
}

/** GETEX key [EX|PX|EXAT|PXAT when|PERSIST] */
function getex(call: Call): void {
  const { reply } = call;
  const found = options(call, 2, Option.OfGetex);
  if (found < 0) return;
  const handle = call.findHeld(1);
  if (handle === 0) return reply.nil();
  const { key, session, shard } = call;
  if (shard.type() !== Type.String) return reply.error(Errors.wrongType);
  let deadline = 0;
  if ((found & Option.AnyExpiry) !== 0) {
    deadline = optionDeadline(call, found, expiryArgument);
    if (!Number.isFinite(deadline)) return refuseDeadline(call, deadline);
  }

  const begun = reply.at;
  replyValue(call);
  if (found === Option.None) return;
  if (deadline !== 0 && deadline <= call.nowMs) {
    shard.remove(session.db, key);
    return call.notify(Event.Del);
  }
  const old = shard.deadline();
  if (!shard.setDeadline(session.db, key, handle, deadline)) return outOfMemory(call, begun);
  if (deadline !== 0) call.notify(Event.Expire);
  else if (old !== 0) call.notify(Event.Persist);
}

/** MSET key value [key value ...]. All or nothing as far as the large values go, which are the ones memory can refuse
 *  while it still serves others: room for them is tried first. Should a small one be refused after all, the pairs
 *  before it are set and the reply is the error. */
function mset(call: Call): void {
  if ((call.argc & 1) === 0) return call.reply.error(wrongArity(call.row.name));
  if (storePairs(call, 1, call.argc, 0, false)) call.reply.ok();
  else call.reply.error(Errors.outOfMemory);
}

/** MSETNX key value [key value ...] */
function msetnx(call: Call): void {
  const { argc, reply } = call;
  if ((argc & 1) === 0) return reply.error(wrongArity(call.row.name));
  for (let i = 1; i < argc; i += 2) if (call.look(i) !== 0) return reply.integer(0);
  if (storePairs(call, 1, argc, 0, false)) reply.integer(1);
  else reply.error(Errors.outOfMemory);
}

/** Stores the pairs in arguments [from, end), each with `deadlineMs` or, with `keep`, the deadline its key has. False when
 *  memory is out. */
export function storePairs(
  call: Call,
  from: number,
  end: number,
  deadlineMs: number,
  keep: boolean,
): boolean {
  let large = 0;
  for (let i = from + 1; i < end; i += 2) if (call.length[i]! > Size.MaxSlotBytes) large++;
  if (large > 0 && !roomForLarge(call, from, end)) return false;
  for (let i = from; i < end; i += 2) {
    call.locate(i);
    const kept = keep && call.look(i) !== 0 ? call.shard.deadline() : deadlineMs;
    if (!storeArgument(call, i + 1, kept)) return false;
    notifySet(call, deadlineMs !== 0);
  }
  return true;
}

/** Whether all values too large for a slot find memory at once: takes it and gives it back. Cold: makes a list. */
function roomForLarge(call: Call, from: number, end: number): boolean {
  const taken: { shard: Shard; handle: number }[] = [];
  let enough = true;
  for (let i = from; i < end && enough; i += 2) {
    const bytes = call.length[i + 1]!;
    if (bytes <= Size.MaxSlotBytes) continue;
    const shard = call.locate(i);
    const handle = shard.allocator.allocate(bytes + call.length[i]! + 24);
    if (handle === 0) enough = false;
    else taken.push({ shard, handle });
  }
  for (const { shard, handle } of taken) shard.allocator.free(handle);
  return enough;
}

// Editing

/** Makes the string at `handle` (0: absent), at the shard's cursor, `bytes` long and Encoding.Edited. What is added to it
 *  is undefined. False, and nothing changed, when memory is out. */
export function makeEditable(call: Call, handle: number, bytes: number): boolean {
  const { key, session, shard } = call;
  if (handle === 0) return shard.create(session.db, key, Type.String | (Encoding.Edited << 4), bytes, 0);
  if (!shard.resizeValue(session.db, key, handle, bytes, true)) return false;
  shard.setEncoding(Encoding.Edited);
  return true;
}

/** APPEND key value */
function append(call: Call): void {
  const { input, reply } = call;
  const bytes = call.length[2]!;
  const handle = call.find(1);
  if (handle === 0) {
    if (!storeArgument(call, 2, 0)) return reply.error(Errors.outOfMemory);
    call.notify(Event.Append);
    return reply.integer(bytes);
  }
  const { shard } = call;
  if (shard.type() !== Type.String) return reply.error(Errors.wrongType);
  const old = shard.valueBytes();
  if (tooLong(call, old + bytes)) return reply.error(Errors.stringTooLong);
  if (!makeEditable(call, handle, old + bytes)) return reply.error(Errors.outOfMemory);
  copyBytes(shard.region, shard.valueStart() + old, input, call.start[2]!, bytes);
  call.notify(Event.Append);
  reply.integer(old + bytes);
}

/** SETRANGE key offset value */
function setrange(call: Call): void {
  const { input, reply } = call;
  const bytes = call.length[3]!;
  const offset = parseInteger(input.u8, call.start[2]!, call.length[2]!);
  if (Number.isNaN(offset)) return reply.error(Errors.notAnInteger);
  if (offset < 0) return reply.error(Errors.offsetOutOfRange);

  const found = call.find(1);
  const { shard } = call;
  if (found !== 0 && shard.type() !== Type.String) return reply.error(Errors.wrongType);
  const old = found === 0 ? 0 : shard.valueBytes();
  // An empty value neither creates nor changes.
  if (bytes === 0) return reply.integer(old);
  if (tooLong(call, offset + bytes)) return reply.error(Errors.stringTooLong);

  const total = Math.max(old, offset + bytes);
  if (!makeEditable(call, found, total)) return reply.error(Errors.outOfMemory);
  const start = shard.valueStart();
  if (offset > old) clearBytes(shard.region, start + old, offset - old);
  copyBytes(shard.region, start + offset, input, call.start[3]!, bytes);
  call.notify(Event.SetRange);
  reply.integer(total);
}

// Counting

/** INCR key */
function incr(call: Call): void {
  add(call, 1, 0);
}

/** DECR key */
function decr(call: Call): void {
  add(call, -1, 0);
}

/** INCRBY key increment */
function incrby(call: Call): void {
  const delta = parseInteger(call.input.u8, call.start[2]!, call.length[2]!);
  if (Number.isNaN(delta)) return call.reply.error(Errors.notAnInteger);
  add(call, delta, 1);
}

/** DECRBY key decrement */
function decrby(call: Call): void {
  const { reply } = call;
  const delta = parseInteger(call.input.u8, call.start[2]!, call.length[2]!);
  if (Number.isNaN(delta)) return reply.error(Errors.notAnInteger);
  if (delta === Number.NEGATIVE_INFINITY && bigDelta(call, 1) === MIN_INTEGER)
    return reply.error(Errors.decrementOverflow);
  add(call, -delta, -1);
}

/** Adds `delta` to the integer at argument 1. Where `delta` is infinite, it is argument 2 times `sign`. */
function add(call: Call, delta: number, sign: number): void {
  const { reply } = call;
  const handle = call.find(1);
  let value = 0;
  if (handle !== 0) {
    const { shard } = call;
    if (shard.type() !== Type.String) return reply.error(Errors.wrongType);
    value = parseInteger(shard.region.u8, shard.valueStart(), shard.valueBytes());
    if (Number.isNaN(value)) return reply.error(Errors.notAnInteger);
  }
  const sum = value + delta;
  // Rare: beyond 2^53, or NaN from two infinities.
  if (!Number.isSafeInteger(sum)) return addBig(call, handle, delta, sign);
  const bytes = writeInteger(scratch.u8, 0, sum);
  if (!storeScratch(call, handle, bytes, Encoding.Integer)) return reply.error(Errors.outOfMemory);
  call.notify(Event.IncrBy);
  reply.integer(sum);
}

/** The same in exact arithmetic; the record at the cursor has been checked. */
function addBig(call: Call, handle: number, delta: number, sign: number): void {
  const { reply, shard } = call;
  const value = handle === 0 ? 0n : parseBigInteger(shard.region.u8, shard.valueStart(), shard.valueBytes());
  const sum = value + (Number.isFinite(delta) ? BigInt(delta) : bigDelta(call, sign));
  if (sum < MIN_INTEGER || sum > MAX_INTEGER) return reply.error(Errors.overflow);
  const bytes = writeLatin1(scratch.u8, 0, sum.toString());
  if (!storeScratch(call, handle, bytes, Encoding.Integer)) return reply.error(Errors.outOfMemory);
  call.notify(Event.IncrBy);
  reply.bigInteger(sum);
}

function bigDelta(call: Call, sign: number): bigint {
  return parseBigInteger(call.input.u8, call.start[2]!, call.length[2]!) * BigInt(sign);
}

/** INCRBYFLOAT key increment */
function incrbyfloat(call: Call): void {
  const { reply } = call;
  const handle = call.find(1);
  const { shard } = call;
  if (handle !== 0 && shard.type() !== Type.String) return reply.error(Errors.wrongType);
  const value = handle === 0 ? ZERO : floatIn(shard.region, shard.valueStart(), shard.valueBytes());
  const delta = floatIn(call.input, call.start[2]!, call.length[2]!);
  if (value === null || delta === null) return reply.error(Errors.notAFloat);
  const sum = addFloat80(value, delta);
  if (!isFinite80(sum)) return reply.error(Errors.nanOrInfinity);
  const text = formatFloat80(sum);
  const bytes = writeLatin1(scratch.u8, 0, text);
  if (!storeScratch(call, handle, bytes, Encoding.Bytes)) return reply.error(Errors.outOfMemory);
  call.notify(Event.IncrByFloat);
  reply.text(text);
}

// Comparing

/** LCS key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN] */
function lcs(call: Call): void {
  const { reply } = call;
  // The second lookup may remove the second key if it is due; that moves no other record.
  const one = call.findHeld(1);
  const a = call.shard.region;
  const aStart = one === 0 ? 0 : call.shard.valueStart();
  const aBytes = one === 0 ? 0 : call.shard.valueBytes();
  const aString = one === 0 || call.shard.type() === Type.String;
  const two = call.findHeld(2);
  const b = call.shard.region;
  const bStart = two === 0 ? 0 : call.shard.valueStart();
  const bBytes = two === 0 ? 0 : call.shard.valueBytes();
  const bString = two === 0 || call.shard.type() === Type.String;
  if (!aString || !bString) return reply.error(Errors.lcsTypes);

  let length = false;
  let indexes = false;
  let withMatchBytes = false;
  let leastBytes = 0;
  for (let i = 3; i < call.argc; i++) {
    if (call.is(i, "idx")) indexes = true;
    else if (call.is(i, "len")) length = true;
    else if (call.is(i, "withmatchlen")) withMatchBytes = true;
    else if (call.is(i, "minmatchlen") && i + 1 < call.argc) {
      i++;
      leastBytes = parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
      if (Number.isNaN(leastBytes)) return reply.error(Errors.notAnInteger);
    } else return reply.error(Errors.syntax);
  }
  if (length && indexes) return reply.error(Errors.lcsBoth);
  // Redis's limit, by the table it would make; and ours by the bits we can count.
  if ((aBytes + 1) * (bBytes + 1) * 4 > Math.min(lengthLimit(call), 2 ** 33))
    return reply.error(Errors.lcsMemory);

  const found = new Lcs(a.u8, aStart, aBytes, b.u8, bStart, bBytes, !length);
  if (length) return reply.integer(found.length);
  if (!indexes) return reply.bytes(found.bytes());
  const matches = found.matches(leastBytes);
  reply.map(2);
  reply.text("matches");
  reply.array(matches.length);
  for (const match of matches) {
    reply.array(withMatchBytes ? 3 : 2);
    reply.array(2);
    reply.integer(match.aStart);
    reply.integer(match.aEnd);
    reply.array(2);
    reply.integer(match.bStart);
    reply.integer(match.bEnd);
    if (withMatchBytes) reply.integer(match.aEnd - match.aStart + 1);
  }
  reply.text("len");
  reply.integer(found.length);
}

// Rows

function keys(last: number, step: number, flags: readonly string[], notes?: string): readonly KeySpec[] {
  return [notes === undefined ? { first: 1, last, step, flags } : { first: 1, last, step, flags, notes }];
}

const readFast = ["read", "string", "fast"];
const readSlow = ["read", "string", "slow"];
const writeFast = ["write", "string", "fast"];
const writeSlow = ["write", "string", "slow"];
const family = { scope: Scope.Keys, tier: Tier.Core, group: "string" };

export const stringCommands: readonly Row[] = [
  {
    ...family,
    name: "get",
    arity: 2,
    flags: Flag.ReadOnly | Flag.Fast,
    keys: keys(0, 1, ["RO", "access"]),
    acl: readFast,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Returns the string stored at a key.",
    syntax: "key",
    optimistic: true,
    handler: get,
  },
  {
    ...family,
    name: "set",
    arity: -3,
    flags: Flag.Write | Flag.DenyOom,
    keys: keys(
      0,
      1,
      ["RW", "access", "update", "variable_flags"],
      "RW and ACCESS due to the optional `GET` argument",
    ),
    acl: writeSlow,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Stores a string at a key, replacing what was there.",
    syntax:
      "key value [NX|XX|IFEQ value|IFNE value|IFDEQ digest|IFDNE digest] [GET] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]",
    replaces: "Compare-and-set: a script that reads a string, compares it and stores another.",
    handler: set,
  },
  {
    ...family,
    name: "getset",
    arity: 3,
    flags: Flag.Write | Flag.DenyOom | Flag.Fast,
    keys: keys(0, 1, ["RW", "access", "update"]),
    acl: writeFast,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Stores a string and returns the one it replaces.",
    syntax: "key value",
    handler: getset,
  },
  {
    ...family,
    name: "getdel",
    arity: 2,
    flags: Flag.Write | Flag.Fast,
    keys: keys(0, 1, ["RW", "access", "delete"]),
    acl: writeFast,
    since: "6.2.0",
    complexity: "O(1)",
    summary: "Returns a string and deletes its key.",
    syntax: "key",
    handler: getdel,
  },
  {
    ...family,
    name: "getex",
    arity: -2,
    flags: Flag.Write | Flag.Fast,
    keys: keys(0, 1, ["RW", "access", "update"], "RW and UPDATE because it changes the TTL"),
    acl: writeFast,
    since: "6.2.0",
    complexity: "O(1)",
    summary: "Returns a string and sets or removes the time its key is due.",
    syntax: "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]",
    handler: getex,
  },
  {
    ...family,
    name: "setex",
    arity: 4,
    flags: Flag.Write | Flag.DenyOom,
    keys: keys(0, 1, ["OW", "update"]),
    acl: writeSlow,
    since: "2.0.0",
    complexity: "O(1)",
    summary: "Stores a string that is due after so many seconds.",
    syntax: "key seconds value",
    handler: setex,
  },
  {
    ...family,
    name: "psetex",
    arity: 4,
    flags: Flag.Write | Flag.DenyOom,
    keys: keys(0, 1, ["OW", "update"]),
    acl: writeSlow,
    since: "2.6.0",
    complexity: "O(1)",
    summary: "Stores a string that is due after so many milliseconds.",
    syntax: "key milliseconds value",
    handler: psetex,
  },
  {
    ...family,
    name: "setnx",
    arity: 3,
    flags: Flag.Write | Flag.DenyOom | Flag.Fast,
    keys: keys(0, 1, ["OW", "insert"]),
    acl: writeFast,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Stores a string only where there is no key yet.",
    syntax: "key value",
    handler: setnx,
  },
  {
    ...family,
    name: "append",
    arity: 3,
    flags: Flag.Write | Flag.DenyOom | Flag.Fast,
    keys: keys(0, 1, ["RW", "insert"]),
    acl: writeFast,
    since: "2.0.0",
    complexity: "O(N) in the bytes appended, amortised: a grown value is given room to grow further",
    summary: "Adds bytes to the end of a string, or creates it.",
    syntax: "key value",
    handler: append,
  },
  {
    ...family,
    name: "strlen",
    arity: 2,
    flags: Flag.ReadOnly | Flag.Fast,
    keys: keys(0, 1, ["RO"]),
    acl: readFast,
    since: "2.2.0",
    complexity: "O(1)",
    summary: "Returns how many bytes a string has.",
    syntax: "key",
    optimistic: true,
    handler: strlen,
  },
  {
    ...family,
    name: "getrange",
    arity: 4,
    flags: Flag.ReadOnly,
    keys: keys(0, 1, ["RO", "access"]),
    acl: readSlow,
    since: "2.4.0",
    complexity: "O(N) in the bytes returned",
    summary: "Returns a part of a string, both ends included.",
    syntax: "key start end",
    optimistic: true,
    handler: getrange,
  },
  {
    ...family,
    name: "setrange",
    arity: 4,
    flags: Flag.Write | Flag.DenyOom,
    keys: keys(0, 1, ["RW", "update"]),
    acl: writeSlow,
    since: "2.2.0",
    complexity: "O(N) in the bytes written; O(M) in the length of the string when it has to grow",
    summary: "Overwrites a part of a string, filling with zero bytes up to it.",
    syntax: "key offset value",
    handler: setrange,
  },
  {
    ...family,
    name: "substr",
    arity: 4,
    flags: Flag.ReadOnly,
    keys: keys(0, 1, ["RO", "access"]),
    acl: readSlow,
    since: "1.0.0",
    complexity: "O(N) in the bytes returned",
    summary: "GETRANGE by its old name.",
    syntax: "key start end",
    optimistic: true,
    handler: getrange,
  },
  {
    ...family,
    name: "incr",
    arity: 2,
    flags: Flag.Write | Flag.DenyOom | Flag.Fast,
    keys: keys(0, 1, ["RW", "access", "update"]),
    acl: writeFast,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Adds one to the integer at a key.",
    syntax: "key",
    handler: incr,
  },
  {
    ...family,
    name: "decr",
    arity: 2,
    flags: Flag.Write | Flag.DenyOom | Flag.Fast,
    keys: keys(0, 1, ["RW", "access", "update"]),
    acl: writeFast,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Takes one from the integer at a key.",
    syntax: "key",
    handler: decr,
  },
  {
    ...family,
    name: "incrby",
    arity: 3,
    flags: Flag.Write | Flag.DenyOom | Flag.Fast,
    keys: keys(0, 1, ["RW", "access", "update"]),
    acl: writeFast,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Adds an integer to the one at a key.",
    syntax: "key increment",
    handler: incrby,
  },
  {
    ...family,
    name: "decrby",
    arity: 3,
    flags: Flag.Write | Flag.DenyOom | Flag.Fast,
    keys: keys(0, 1, ["RW", "access", "update"]),
    acl: writeFast,
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Takes an integer from the one at a key.",
    syntax: "key decrement",
    handler: decrby,
  },
  {
    ...family,
    name: "incrbyfloat",
    arity: 3,
    flags: Flag.Write | Flag.DenyOom | Flag.Fast,
    keys: keys(0, 1, ["RW", "access", "update"]),
    acl: writeFast,
    since: "2.6.0",
    complexity: "O(1)",
    summary: "Adds a decimal number to the one at a key.",
    syntax: "key increment",
    handler: incrbyfloat,
  },
  {
    ...family,
    name: "mget",
    arity: -2,
    flags: Flag.ReadOnly | Flag.Fast,
    keys: keys(-1, 1, ["RO", "access"]),
    acl: readFast,
    since: "1.0.0",
    complexity: "O(N) in the number of keys",
    summary: "Returns the strings at several keys, null where there is none.",
    syntax: "key [key ...]",
    handler: mget,
  },
  {
    ...family,
    name: "mset",
    arity: -3,
    flags: Flag.Write | Flag.DenyOom,
    keys: keys(-1, 2, ["OW", "update"]),
    acl: writeSlow,
    since: "1.0.1",
    complexity: "O(N) in the number of keys",
    summary: "Stores several strings at once.",
    syntax: "key value [key value ...]",
    handler: mset,
  },
  {
    ...family,
    name: "msetnx",
    arity: -3,
    flags: Flag.Write | Flag.DenyOom,
    keys: keys(-1, 2, ["OW", "insert"]),
    acl: writeSlow,
    since: "1.0.1",
    complexity: "O(N) in the number of keys",
    summary: "Stores several strings, but only if none of their keys exists.",
    syntax: "key value [key value ...]",
    handler: msetnx,
  },
  {
    ...family,
    name: "lcs",
    arity: -3,
    flags: Flag.ReadOnly,
    keys: keys(1, 1, ["RO", "access"]),
    acl: readSlow,
    since: "7.0.0",
    complexity: "O(N*M) in the lengths of the two strings",
    summary: "Finds the longest common subsequence of two strings.",
    syntax: "key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]",
    handler: lcs,
  },
];
