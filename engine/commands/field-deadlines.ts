// field-deadlines.ts: the commands on the deadlines of fields in hashes: HEXPIRE and its kin, HGETEX, HSETEX, HGETDEL.
//
// Texts, codes and the order of checks are Redis 8.0's. A deadline is at most 2^46 - 1 ms, as there; one that is not after
// now removes the field at once. Fields may be named twice and are then met twice, in turn.
// A command that may give or take a deadline puts the hash into a form with deadlines first, whatever becomes of its
// fields, as Redis does; when one has been given, the shard's sweep is told. Should memory run out in the middle, what was done stays.
// On the data path: nothing allocates.
// Neighbours: hashes.ts has the one hash of this worker and how it is opened; engine/types/hash.ts.
import { Flag } from "../../protocol/command-row.ts";
import { Errors, invalidExpire, unknownArgument, wrongArity } from "../../protocol/errors.ts";
import { Event } from "../shard/events.ts";
import { KEEP } from "../types/hash.ts";
import { parseInteger } from "../types/integer.ts";
import type { Call, Row } from "./call.ts";
import { Unit } from "./expiry-options.ts";
import {
  createHash,
  findField,
  hash,
  hashFamily,
  hashKey,
  metExpired,
  openRead,
  openWrite,
  putPair,
  readFast,
  refuseMemory,
  removeEmpty,
  replyValue,
  writeFast,
} from "./hashes.ts";
import { Option, optionAt } from "./strings.ts";

/** The latest deadline of a field. */
const LATEST_MS = 2 ** 46 - 1;

/** What is said of a field. */
const enum Code {
  NoField = -2,
  NoDeadline = -1,
  Unmet = 0,
  Done = 1,
  Deleted = 2,
}

// Arguments

/** The deadline that argument `i` asks for, in ms since the epoch; -1 after replying why it is refused. */
function deadlineArgument(call: Call, i: number, unit: Unit, absolute: boolean): number {
  const { reply } = call;
  const value = parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
  const deadlineMs = value * unit + (absolute ? 0 : call.nowMs);
  if (Number.isNaN(value)) reply.error(Errors.notAnInteger);
  else if (value < 0) reply.error(Errors.fieldExpiry);
  else if (deadlineMs > LATEST_MS) reply.error(invalidExpire(call.row.name));
  else return deadlineMs;
  return -1;
}

/** The same for an expiry option. */
function optionDeadline(call: Call, option: number, i: number): number {
  const unit = (option & Option.InSeconds) !== 0 ? Unit.Seconds : Unit.Milliseconds;
  return deadlineArgument(call, i, unit, (option & Option.Absolute) !== 0);
}

/** Reads `FIELDS count field ...` from argument `at` to the last: the first field, or -1 after replying what is wrong with
 *  it, `text` where it is the count. */
function fieldsFrom(call: Call, at: number, text: string): number {
  const { argc, reply } = call;
  if (at + 1 >= argc) reply.error(wrongArity(call.row.name));
  else if (!call.is(at, "fields")) reply.error(Errors.fieldsMissing);
  else {
    const count = parseInteger(call.input.u8, call.start[at + 1]!, call.length[at + 1]!);
    if (!(count >= 1)) reply.error(text);
    else if (count !== argc - at - 2) reply.error(Errors.fieldCountMismatch);
    else return at + 2;
  }
  return -1;
}

/** Replies with the same code for all fields from argument `from` on. */
function replyCodes(call: Call, from: number, code: Code): void {
  for (let i = from; i < call.argc; i++) call.reply.integer(code);
}

// Deadlines

/** Conditions of HEXPIRE on the deadline that a field has. */
const enum When {
  Always = 0,
  Nx = 1,
  Xx = 2,
  Gt = 3,
  Lt = 4,
}

function conditionAt(call: Call, i: number): When {
  if (call.is(i, "nx")) return When.Nx;
  if (call.is(i, "xx")) return When.Xx;
  if (call.is(i, "gt")) return When.Gt;
  return call.is(i, "lt") ? When.Lt : When.Always;
}

/** Whether a field due at `old` (0 for never) may become due at `deadlineMs`. A field without deadline meets only NX and LT
 *  counts it as the latest there is. */
function conditionHolds(condition: When, old: number, deadlineMs: number): boolean {
  switch (condition) {
    case When.Nx:
      return old === 0;
    case When.Xx:
      return old !== 0;
    case When.Gt:
      return old !== 0 && deadlineMs > old;
    case When.Lt:
      return old === 0 || deadlineMs < old;
    default:
      return true;
  }
}

/** HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT key time [NX|XX|GT|LT] FIELDS count field [field ...] */
function expire(call: Call, unit: Unit, absolute: boolean): void {
  const { argc, input, reply } = call;
  const found = openWrite(call);
  if (found < 0) return;
  const deadlineMs = deadlineArgument(call, 2, unit, absolute);
  if (deadlineMs < 0) return;
  const condition = conditionAt(call, 3);
  const first = fieldsFrom(call, condition === When.Always ? 3 : 4, Errors.numFields);
  if (first < 0) return;
  const from = reply.at;
  if (found === 1 && !hash.makeTimed()) return refuseMemory(call, from);
  reply.array(argc - first);
  if (found === 0) return replyCodes(call, first, Code.NoField);
  const past = deadlineMs <= call.nowMs;
  let set = false;
  let removed = false;
  for (let i = first; i < argc; i++) {
    const start = call.start[i]!;
    const bytes = call.length[i]!;
    if (!findField(call, i)) reply.integer(Code.NoField);
    else if (!conditionHolds(condition, hash.deadlineMs, deadlineMs)) reply.integer(Code.Unmet);
    else if (past) {
      hash.remove(input, start, bytes);
      removed = true;
      reply.integer(Code.Deleted);
    } else {
      if (!hash.expire(input, start, bytes, deadlineMs)) {
        if (set) tellSet(call, deadlineMs);
        return refuseMemory(call, from);
      }
      set = true;
      reply.integer(Code.Done);
    }
  }
  if (set) tellSet(call, deadlineMs);
  else if (removed) tellRemoved(call);
}

/** Tells of fields that have been given a deadline. */
function tellSet(call: Call, deadlineMs: number): void {
  call.place.noteDue(deadlineMs);
  call.place.notify(Event.HExpire);
}

/** Tells of fields that have been removed, and of the key if it goes with the last. */
function tellRemoved(call: Call): void {
  call.place.notify(Event.HDel);
  removeEmpty(call);
}

/** HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME key FIELDS count field [field ...] */
function deadlines(call: Call, unit: Unit, absolute: boolean): void {
  const { argc, reply } = call;
  const found = openRead(call);
  if (found < 0) return;
  const first = fieldsFrom(call, 2, Errors.fieldCount);
  if (first < 0) return;
  reply.array(argc - first);
  if (found === 0) return replyCodes(call, first, Code.NoField);
  const from = absolute ? 0 : call.nowMs;
  for (let i = first; i < argc; i++) {
    if (!findField(call, i)) reply.integer(Code.NoField);
    else if (hash.deadlineMs === 0) reply.integer(Code.NoDeadline);
    else reply.integer(Math.ceil((hash.deadlineMs - from) / unit));
  }
}

/** HPERSIST key FIELDS count field [field ...] */
function hpersist(call: Call): void {
  const { argc, input, place, reply } = call;
  const found = openWrite(call);
  if (found < 0) return;
  const first = fieldsFrom(call, 2, Errors.fieldCount);
  if (first < 0) return;
  const from = reply.at;
  reply.array(argc - first);
  if (found === 0) return replyCodes(call, first, Code.NoField);
  let kept = false;
  for (let i = first; i < argc; i++) {
    if (!findField(call, i)) reply.integer(Code.NoField);
    else if (hash.deadlineMs === 0) reply.integer(Code.NoDeadline);
    else if (!hash.expire(input, call.start[i]!, call.length[i]!, 0)) {
      if (kept) place.notify(Event.HPersist);
      return refuseMemory(call, from);
    } else {
      kept = true;
      reply.integer(Code.Done);
    }
  }
  if (kept) place.notify(Event.HPersist);
}

// Values with deadlines

/** HGETEX key [EX|PX|EXAT|PXAT when|PERSIST] FIELDS count field [field ...] */
function hgetex(call: Call): void {
  const { argc, input, reply } = call;
  const found = openWrite(call);
  if (found < 0) return;
  const option = optionAt(call, 2) & Option.OfGetex;
  let at = 2;
  // What the fields get: KEEP, 0, or a time.
  let deadlineMs = KEEP;
  if (option === Option.Persist) {
    deadlineMs = 0;
    at = 3;
  } else if (option !== Option.None) {
    deadlineMs = optionDeadline(call, option, 3);
    if (deadlineMs < 0) return;
    at = 4;
  }
  const first = fieldsFrom(call, at, Errors.fieldCount);
  if (first < 0) return;
  const from = reply.at;
  const timed = (option & Option.AnyExpiry) !== 0;
  if (found === 1 && option !== Option.None && !hash.makeTimed()) return refuseMemory(call, from);
  reply.array(argc - first);
  const past = timed && deadlineMs <= call.nowMs;
  let changed = false;
  for (let i = first; i < argc; i++) {
    if (found === 0 || !findField(call, i)) {
      reply.nil();
      continue;
    }
    replyValue(call);
    const start = call.start[i]!;
    const bytes = call.length[i]!;
    if (past) hash.remove(input, start, bytes);
    else if (timed || (deadlineMs === 0 && hash.deadlineMs !== 0)) {
      if (!hash.expire(input, start, bytes, deadlineMs)) {
        if (changed) tellGiven(call, deadlineMs);
        return refuseMemory(call, from);
      }
    } else continue;
    changed = true;
  }
  if (!changed) return;
  if (past) tellRemoved(call);
  else tellGiven(call, deadlineMs);
}

/** Tells of fields whose deadline HGETEX has set, or with 0 has taken away. */
function tellGiven(call: Call, deadlineMs: number): void {
  if (deadlineMs === 0) call.place.notify(Event.HPersist);
  else tellSet(call, deadlineMs);
}

/** HGETDEL key FIELDS count field [field ...] */
function hgetdel(call: Call): void {
  const { argc, input, reply } = call;
  const found = openWrite(call);
  if (found < 0) return;
  const first = fieldsFrom(call, 2, Errors.fieldCount);
  if (first < 0) return;
  reply.array(argc - first);
  let removed = false;
  for (let i = first; i < argc; i++) {
    if (found === 1 && findField(call, i)) {
      replyValue(call);
      hash.remove(input, call.start[i]!, call.length[i]!);
      removed = true;
    } else reply.nil();
  }
  if (removed) tellRemoved(call);
}

/** HSETEX's own options, next to those of Option. */
const enum Field {
  Fnx = 1 << 16,
  Fxx = 1 << 17,
  Condition = 196608,
}

// What readSet found: the first field, the argument after the last value, and the deadline of the values.
let setFirst = 0;
let setEnd = 0;
let setDeadlineMs = 0;

/** Reads the arguments of HSETEX: its options as bits of Field and Option, -1 after replying with an error. */
function readSet(call: Call): number {
  const { argc, reply } = call;
  let found = 0;
  setDeadlineMs = 0;
  for (let i = 2; i < argc; i++) {
    if (call.is(i, "fields")) return readPairs(call, i) ? found : -1;
    const condition = call.is(i, "fnx") ? Field.Fnx : call.is(i, "fxx") ? Field.Fxx : 0;
    const option = condition !== 0 ? 0 : optionAt(call, i) & (Option.AnyExpiry | Option.KeepTtl);
    if (condition === 0 && option === 0) {
      reply.error(unknownArgument(call.text(i)));
      return -1;
    }
    if (condition !== 0 ? (found & Field.Condition) !== 0 : (found & Option.AnyTtl) !== 0) {
      reply.error(condition !== 0 ? Errors.fieldConditions : Errors.fieldExpiries);
      return -1;
    }
    found |= condition | option;
    if (option === Option.KeepTtl) setDeadlineMs = KEEP;
    else if (option !== 0) {
      // At most FNX or FXX came before, and the arity lets nothing pass that ends here.
      setDeadlineMs = optionDeadline(call, option, ++i);
      if (setDeadlineMs < 0) return -1;
    }
  }
  reply.error(Errors.fieldsMissing);
  return -1;
}

/** Reads `FIELDS count field value ...` from argument `at` to the last. */
function readPairs(call: Call, at: number): boolean {
  const { argc, reply } = call;
  if (at + 3 >= argc) {
    reply.error(wrongArity(call.row.name));
    return false;
  }
  const count = parseInteger(call.input.u8, call.start[at + 1]!, call.length[at + 1]!);
  if (!(count >= 1 && count <= 0x7fffffff)) {
    reply.error(Errors.invalidFieldCount);
    return false;
  }
  setFirst = at + 2;
  setEnd = setFirst + count * 2;
  if (setEnd === argc) return true;
  reply.error(wrongArity(call.row.name));
  return false;
}

/** HSETEX key [FNX|FXX] [EX|PX|EXAT|PXAT when|KEEPTTL] FIELDS count field value [field value ...] */
function hsetex(call: Call): void {
  const { input, place, reply } = call;
  const options = readSet(call);
  if (options < 0) return;
  const found = openWrite(call);
  if (found < 0) return;
  const timed = (options & Option.AnyExpiry) !== 0;
  const past = timed && setDeadlineMs <= call.nowMs;
  if (found === 0) {
    if ((options & Field.Fxx) !== 0) return reply.integer(0);
    if (!createHash(call)) return;
  }
  let expired = false;
  if ((options & Field.Condition) !== 0) {
    const there = (options & Field.Fxx) !== 0;
    for (let i = setFirst; i < setEnd; i += 2) {
      if (findField(call, i) !== there) return reply.integer(0);
      expired ||= !there && metExpired();
    }
  }
  if (!hash.makeReadyFor((setEnd - setFirst) / 2) || (timed && !hash.makeTimed()))
    return refuseMemory(call, reply.at);
  let set = false;
  for (let i = setFirst; i < setEnd; i += 2) {
    if (past) hash.remove(input, call.start[i]!, call.length[i]!);
    else if (putPair(call, i, setDeadlineMs) >= 0) set = true;
    else {
      if (set) tellPut(call, timed);
      return refuseMemory(call, reply.at);
    }
  }
  if (expired) place.notify(Event.HExpired);
  if (past) {
    place.notify(Event.HSet);
    tellRemoved(call);
  } else tellPut(call, timed);
  reply.integer(1);
}

/** Tells of fields that HSETEX has set, and of their deadline if they got one. */
function tellPut(call: Call, timed: boolean): void {
  call.place.notify(Event.HSet);
  if (timed) tellSet(call, setDeadlineMs);
}

// Rows

const reads = {
  ...hashFamily,
  arity: -5,
  flags: Flag.ReadOnly | Flag.Fast,
  keys: hashKey(["RO", "access"]),
  acl: readFast,
  since: "7.4.0",
  complexity: "O(N) in the number of fields given",
  optimistic: true,
};
const writes = {
  ...hashFamily,
  flags: Flag.Write | Flag.Fast,
  keys: hashKey(["RW", "update"]),
  acl: writeFast,
  since: "7.4.0",
  complexity: "O(N) in the number of fields given; times the size of the hash where it is a listpackex",
};
const named = "FIELDS numfields field [field ...]";
const conditions = "[NX|XX|GT|LT]";

export const fieldDeadlineCommands: readonly Row[] = [
  {
    ...writes,
    name: "hexpire",
    arity: -6,
    summary: "Sets after how many seconds fields of a hash are due.",
    syntax: `key seconds ${conditions} ${named}`,
    handler: (call) => expire(call, Unit.Seconds, false),
  },
  {
    ...writes,
    name: "hpexpire",
    arity: -6,
    summary: "Sets after how many milliseconds fields of a hash are due.",
    syntax: `key milliseconds ${conditions} ${named}`,
    handler: (call) => expire(call, Unit.Milliseconds, false),
  },
  {
    ...writes,
    name: "hexpireat",
    arity: -6,
    summary: "Sets the Unix time in seconds at which fields of a hash are due.",
    syntax: `key unix-time-seconds ${conditions} ${named}`,
    handler: (call) => expire(call, Unit.Seconds, true),
  },
  {
    ...writes,
    name: "hpexpireat",
    arity: -6,
    summary: "Sets the Unix time in milliseconds at which fields of a hash are due.",
    syntax: `key unix-time-milliseconds ${conditions} ${named}`,
    handler: (call) => expire(call, Unit.Milliseconds, true),
  },
  {
    ...reads,
    name: "httl",
    summary: "Returns in how many seconds fields of a hash are due.",
    syntax: `key ${named}`,
    handler: (call) => deadlines(call, Unit.Seconds, false),
  },
  {
    ...reads,
    name: "hpttl",
    summary: "Returns in how many milliseconds fields of a hash are due.",
    syntax: `key ${named}`,
    handler: (call) => deadlines(call, Unit.Milliseconds, false),
  },
  {
    ...reads,
    name: "hexpiretime",
    summary: "Returns the Unix time in seconds at which fields of a hash are due.",
    syntax: `key ${named}`,
    handler: (call) => deadlines(call, Unit.Seconds, true),
  },
  {
    ...reads,
    name: "hpexpiretime",
    summary: "Returns the Unix time in milliseconds at which fields of a hash are due.",
    syntax: `key ${named}`,
    handler: (call) => deadlines(call, Unit.Milliseconds, true),
  },
  {
    ...writes,
    name: "hpersist",
    arity: -5,
    summary: "Takes the deadlines of fields of a hash away.",
    syntax: `key ${named}`,
    handler: hpersist,
  },
  {
    ...writes,
    name: "hgetex",
    arity: -5,
    keys: hashKey(["RW", "access", "update"], "RW and UPDATE because it changes the TTL"),
    since: "8.0.0",
    summary: "Returns the values of fields and sets or removes the time they are due.",
    syntax: `key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST] ${named}`,
    handler: hgetex,
  },
  {
    ...writes,
    name: "hsetex",
    arity: -6,
    flags: Flag.Write | Flag.DenyOom | Flag.Fast,
    since: "8.0.0",
    summary: "Sets fields of a hash and the time they are due, all of them or none.",
    syntax:
      "key [FNX|FXX] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL] FIELDS numfields field value [field value ...]",
    handler: hsetex,
  },
  {
    ...writes,
    name: "hgetdel",
    arity: -5,
    keys: hashKey(["RW", "access", "delete"]),
    since: "8.0.0",
    summary: "Returns the values of fields and removes them.",
    syntax: `key ${named}`,
    handler: hgetdel,
  },
];
