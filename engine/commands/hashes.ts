// hashes.ts: the commands on hashes, but for the deadlines of fields (field-deadlines.ts).
//
// Every command opens the one `hash` of this worker over the record of its key. A command that writes makes an absent key
// an empty hash first, when nothing can refuse it any more but memory; a hash that is or becomes empty is removed. Checks
// come in Redis's order: arguments, then the key, its type, then its values.
// A field past its deadline is absent to all of them, those that write too: it is new again, and without a deadline.
// On the data path: nothing allocates but HINCRBYFLOAT, integers beyond 2^53, and HRANDFIELD with a count, which keeps the
// numbers of the fields it has drawn from a large hash. HGETALL, HKEYS, HVALS and HRANDFIELD with a count are O(N).
// Neighbours: engine/types/hash.ts; paging.ts; strings.ts lends the text of numbers.
import { Flag, type KeySpec, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors, wrongArity } from "../../protocol/errors.ts";
import { Form, Type } from "../memory/record.ts";
import { equalBytes, type Region } from "../memory/region.ts";
import { Event } from "../shard/events.ts";
import { addFloat80, formatFloat80, isFinite80, ZERO } from "../types/float80.ts";
import { Hash, KEEP } from "../types/hash.ts";
import {
  MAX_INTEGER,
  MIN_INTEGER,
  parseBigInteger,
  parseInteger,
  writeInteger,
  writeLatin1,
} from "../types/integer.ts";
import type { Call, Row } from "./call.ts";
import { finishPage, page, pageTakes, readCursor, readPageOptions } from "./paging.ts";
import { floatIn, scratch } from "./strings.ts";

/** The hash of the running command. */
export const hash = new Hash();

// Helpers

/** Opens the hash at argument 1 for a command that reads: 1, 0 when there is none, -1 after replying that it is of another
 *  type. */
export function openRead(call: Call): number {
  const found = call.openPlaceRead(1, Type.Hash, call.place);
  if (found === 1) hash.open(call.place, call.nowMs);
  return found;
}

/** The same for a command that writes. */
export function openWrite(call: Call): number {
  const found = call.openPlace(1, Type.Hash, call.place);
  if (found === 1) hash.open(call.place, call.nowMs);
  return found;
}

/** Makes the absent key of openWrite an empty hash. False after replying that memory is out. */
export function createHash(call: Call): boolean {
  const { place } = call;
  if (!place.create(Type.Hash, Form.Packed, Hash.initialBytes)) {
    call.reply.error(Errors.outOfMemory);
    return false;
  }
  Hash.clear(place);
  hash.open(place, call.nowMs);
  return true;
}

/** Both of them. False after replying why not. */
function openOrCreate(call: Call): boolean {
  const found = openWrite(call);
  return found > 0 || (found === 0 && createHash(call));
}

/** Removes the key when its hash is empty. */
export function removeEmpty(call: Call): void {
  if (hash.count > 0) return;
  call.place.remove();
  call.place.notify(Event.Del);
}

/** Says that memory is out, instead of what was replied since `from`. A hash that has just been made goes. */
export function refuseMemory(call: Call, from: number): void {
  call.reply.at = from;
  if (hash.count === 0) call.place.remove();
  call.reply.error(Errors.outOfMemory);
}

/** Finds the field in argument `i`. */
export function findField(call: Call, i: number): boolean {
  return hash.find(call.input, call.start[i]!, call.length[i]!);
}

/** Puts the field and value in arguments `i` and `i + 1`: as Hash.put. */
export function putPair(call: Call, i: number, deadlineMs: number): number {
  const { input, start, length } = call;
  return hash.put(input, start[i]!, length[i]!, input, start[i + 1]!, length[i + 1]!, deadlineMs);
}

/** Puts the first `bytes` bytes of scratch as the value of the field in argument 2, which keeps its deadline and, if the key
 *  was found, has just been looked for, and tells of `event`. False after replying that memory is out. */
function putScratch(call: Call, found: number, there: boolean, bytes: number, event: Event): boolean {
  const expired = found === 1 && !there && metExpired();
  if (found === 0 && !createHash(call)) return false;
  if (hash.put(call.input, call.start[2]!, call.length[2]!, scratch, 0, bytes, KEEP) < 0) {
    refuseMemory(call, call.reply.at);
    return false;
  }
  if (expired) call.place.notify(Event.HExpired);
  call.place.notify(event);
  return true;
}

/** Whether the field that findField has last not found is one past its deadline. */
export function metExpired(): boolean {
  return hash.deadlineMs !== 0;
}

/** Replies with the value of the field found last. */
export function replyValue(call: Call): void {
  call.reply.bulk(hash.valueRegion, hash.valueStart, hash.valueBytes);
}

// Reading

/** HGET key field */
function hget(call: Call): void {
  const found = openRead(call);
  if (found < 0) return;
  if (found === 1 && findField(call, 2)) replyValue(call);
  else call.reply.nil();
}

/** HMGET key field [field ...] */
function hmget(call: Call): void {
  const { argc, reply } = call;
  const found = openRead(call);
  if (found < 0) return;
  reply.array(argc - 2);
  for (let i = 2; i < argc; i++) {
    if (found === 1 && findField(call, i)) replyValue(call);
    else reply.nil();
  }
}

/** HEXISTS key field */
function hexists(call: Call): void {
  const found = openRead(call);
  if (found >= 0) call.reply.integer(found === 1 && findField(call, 2) ? 1 : 0);
}

/** HSTRLEN key field */
function hstrlen(call: Call): void {
  const found = openRead(call);
  if (found >= 0) call.reply.integer(found === 1 && findField(call, 2) ? hash.valueBytes : 0);
}

/** HLEN key: fields past their deadline count until they are removed. */
function hlen(call: Call): void {
  const found = openRead(call);
  if (found >= 0) call.reply.integer(found === 1 ? hash.count : 0);
}

const enum Part {
  Fields = 1,
  Values = 2,
  Both = 3,
}

/** HGETALL, HKEYS and HVALS key */
function replyAll(call: Call, parts: Part): void {
  const { reply } = call;
  const found = openRead(call);
  if (found < 0) return;
  const count = found === 1 ? hash.live() : 0;
  if (parts === Part.Both) reply.map(count);
  else reply.array(count);
  if (count === 0) return;
  hash.walk();
  while (!reply.overflow && hash.next()) replyParts(call, parts);
}

/** Replies with the current field, its value, or both. */
function replyParts(call: Call, parts: Part): void {
  if ((parts & Part.Fields) !== 0) call.reply.bulk(hash.region, hash.start, hash.bytes);
  if ((parts & Part.Values) !== 0) replyValue(call);
}

/** HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES] */
function hscan(call: Call): void {
  const { reply } = call;
  const cursor = readCursor(call, 2);
  if (cursor < 0) return reply.error(Errors.invalidCursor);
  const found = openRead(call);
  if (found < 0) return;
  const from = reply.at;
  if (found === 0) return finishPage(call, from, 0, 0);
  if (!readPageOptions(call, 3, false, "novalues")) return;
  const parts = page.bare ? Part.Fields : Part.Both;
  let count = 0;
  if (hash.scan(cursor, page.wanted))
    while (hash.scanNext()) {
      if (!pageTakes(call, hash.region, hash.start, hash.bytes)) continue;
      replyParts(call, parts);
      count += page.bare ? 1 : 2;
    }
  finishPage(call, from, hash.scanCursor, count);
}

// Chance

/** Counts with values are half as large at most, as Redis counts elements in a long. */
const MOST_PAIRS = 2n ** 62n - 1n;

/** HRANDFIELD key [count [WITHVALUES]] */
function hrandfield(call: Call): void {
  const { argc, input, reply } = call;
  if (argc === 2) {
    const found = openRead(call);
    if (found < 0) return;
    if (found === 1 && hash.draw(Math.random)) replyParts(call, Part.Fields);
    else reply.nil();
    return;
  }
  const count = parseInteger(input.u8, call.start[2]!, call.length[2]!);
  if (Number.isNaN(count)) return reply.error(Errors.notAnInteger);
  const big = Number.isFinite(count) ? 0n : parseBigInteger(input.u8, call.start[2]!, call.length[2]!);
  if (big === MIN_INTEGER) return reply.error(Errors.countOutOfRange);
  if (argc > 4 || (argc === 4 && !call.is(3, "withvalues"))) return reply.error(Errors.syntax);
  if (argc === 4 && (big > MOST_PAIRS || big < -MOST_PAIRS)) return reply.error(Errors.pairCountOutOfRange);
  const found = openRead(call);
  if (found < 0) return;
  const live = found === 1 && count !== 0 ? hash.live() : 0;
  if (live === 0) return reply.array(0);
  const parts = argc === 4 ? Part.Both : Part.Fields;
  if (count < 0) drawRepeatedly(call, -count, parts);
  else drawDistinct(call, Math.min(count, live), live, parts);
}

/** The header of `count` fields or pairs: pairs stand in arrays of their own in RESP3. */
function replyDrawCount(call: Call, count: number, parts: Part): void {
  call.reply.array(parts === Part.Both && !call.reply.resp3 ? count * 2 : count);
}

function replyDrawn(call: Call, parts: Part): void {
  if (parts === Part.Both && call.reply.resp3) call.reply.array(2);
  replyParts(call, parts);
}

/** Bytes of the reply of an empty field. */
const LEAST_REPLY = 6;

/** `count` fields of a hash that has some, each drawn from all. A count too large for any reply overflows at once. */
function drawRepeatedly(call: Call, count: number, parts: Part): void {
  if (!call.reply.room(count * LEAST_REPLY)) return;
  replyDrawCount(call, count, parts);
  for (let i = 0; i < count && !call.reply.overflow; i++) {
    hash.draw(Math.random);
    replyDrawn(call, parts);
  }
}

/** Few of many are drawn until they are distinct; below this share of the fields. */
const FEW = 3;

/** `count` different fields of the `live` ones. */
function drawDistinct(call: Call, count: number, live: number, parts: Part): void {
  const { reply } = call;
  replyDrawCount(call, count, parts);
  if (hash.drawsCheaply && count * FEW < live) {
    const drawn = new Set<number>();
    while (drawn.size < count && !reply.overflow) {
      hash.draw(Math.random);
      if (drawn.has(hash.identity)) continue;
      drawn.add(hash.identity);
      replyDrawn(call, parts);
    }
    return;
  }
  // One walk that takes each field with the chance of what is wanted among what is left.
  let wanted = count;
  let left = live;
  hash.walk();
  while (wanted > 0 && !reply.overflow && hash.next()) {
    if (Math.random() * left-- >= wanted) continue;
    wanted--;
    replyDrawn(call, parts);
  }
}

// Writing

/** HSET key field value [field value ...]. Should memory run out, the pairs before are set. */
function hset(call: Call): void {
  const added = setPairs(call);
  if (added >= 0) call.reply.integer(added);
}

/** HMSET key field value [field value ...] */
function hmset(call: Call): void {
  if (setPairs(call) >= 0) call.reply.ok();
}

/** How many fields were new; -1 after replying why not. */
function setPairs(call: Call): number {
  const { argc, reply } = call;
  if ((argc & 1) !== 0) {
    reply.error(wrongArity(call.row.name));
    return -1;
  }
  if (!openOrCreate(call)) return -1;
  let added = 0;
  for (let i = 2; i < argc; i += 2) {
    const put = putPair(call, i, 0);
    if (put < 0) {
      if (i > 2) call.place.notify(Event.HSet);
      refuseMemory(call, reply.at);
      return -1;
    }
    added += put;
  }
  call.place.notify(Event.HSet);
  return added;
}

/** HSETNX key field value */
function hsetnx(call: Call): void {
  const { reply } = call;
  if (!openOrCreate(call)) return;
  if (findField(call, 2)) return reply.integer(0);
  const expired = metExpired();
  if (putPair(call, 2, 0) < 0) return refuseMemory(call, reply.at);
  if (expired) call.place.notify(Event.HExpired);
  call.place.notify(Event.HSet);
  reply.integer(1);
}

/** HDEL key field [field ...] */
function hdel(call: Call): void {
  const { argc, input, place } = call;
  const found = openWrite(call);
  if (found < 0) return;
  let removed = 0;
  if (found === 1) {
    const had = hash.count;
    for (let i = 2; i < argc && hash.count > 0; i++)
      if (hash.remove(input, call.start[i]!, call.length[i]!)) removed++;
    // What went beside was past its deadline.
    if (had - hash.count > removed) place.notify(Event.HExpired);
    if (removed > 0) place.notify(Event.HDel);
    removeEmpty(call);
  }
  call.reply.integer(removed);
}

/** HINCRBY key field increment */
function hincrby(call: Call): void {
  const { input, reply } = call;
  const delta = parseInteger(input.u8, call.start[3]!, call.length[3]!);
  if (Number.isNaN(delta)) return reply.error(Errors.notAnInteger);
  const found = openWrite(call);
  if (found < 0) return;
  const there = found === 1 && findField(call, 2);
  const value = there ? parseInteger(hash.valueRegion.u8, hash.valueStart, hash.valueBytes) : 0;
  if (Number.isNaN(value)) return reply.error(Errors.hashNotAnInteger);
  const sum = value + delta;
  // Rare: beyond 2^53, or NaN from two infinities.
  if (!Number.isSafeInteger(sum)) return addBig(call, found, there);
  const bytes = writeInteger(scratch.u8, 0, sum);
  if (putScratch(call, found, there, bytes, Event.HIncrBy)) reply.integer(sum);
}

/** The same in exact arithmetic; both numbers have been checked. */
function addBig(call: Call, found: number, there: boolean): void {
  const { input, reply } = call;
  const value = there ? parseBigInteger(hash.valueRegion.u8, hash.valueStart, hash.valueBytes) : 0n;
  const sum = value + parseBigInteger(input.u8, call.start[3]!, call.length[3]!);
  if (sum < MIN_INTEGER || sum > MAX_INTEGER) return reply.error(Errors.overflow);
  const bytes = writeLatin1(scratch.u8, 0, sum.toString());
  if (putScratch(call, found, there, bytes, Event.HIncrBy)) reply.bigInteger(sum);
}

/** HINCRBYFLOAT key field increment */
function hincrbyfloat(call: Call): void {
  const { reply } = call;
  const delta = floatIn(call.input, call.start[3]!, call.length[3]!);
  if (delta === null) return reply.error(Errors.notAFloat);
  if (!isFinite80(delta)) return reply.error(Errors.argumentInfinite);
  const found = openWrite(call);
  if (found < 0) return;
  const there = found === 1 && findField(call, 2);
  const value = there ? floatIn(hash.valueRegion, hash.valueStart, hash.valueBytes) : ZERO;
  if (value === null) return reply.error(Errors.hashNotAFloat);
  const sum = addFloat80(value, delta);
  if (!isFinite80(sum)) return reply.error(Errors.nanOrInfinity);
  const text = formatFloat80(sum);
  const bytes = writeLatin1(scratch.u8, 0, text);
  if (putScratch(call, found, there, bytes, Event.HIncrByFloat)) reply.text(text);
}

/** Whether the value found last is these bytes. */
function valueIs(region: Region, start: number, bytes: number): boolean {
  return hash.valueBytes === bytes && equalBytes(hash.valueRegion, hash.valueStart, region, start, bytes);
}

/** IC.HSETIFEQ key field expected value */
function hsetifeq(call: Call): void {
  const { input, start, length, reply } = call;
  const found = openWrite(call);
  if (found < 0) return;
  if (found === 0 || !findField(call, 2) || !valueIs(input, start[3]!, length[3]!)) return reply.integer(0);
  if (hash.put(input, start[2]!, length[2]!, input, start[4]!, length[4]!, KEEP) < 0)
    return reply.error(Errors.outOfMemory);
  call.place.notify(Event.HSet);
  reply.integer(1);
}

// Rows

/** The one key of every command on hashes. */
export function hashKey(flags: readonly string[], notes?: string): readonly KeySpec[] {
  const key = { first: 1, last: 0, step: 1, flags };
  return [notes === undefined ? key : { ...key, notes }];
}

export const readFast = ["read", "hash", "fast"];
const readSlow = ["read", "hash", "slow"];
export const writeFast = ["write", "hash", "fast"];
export const hashFamily = { scope: Scope.Keys, tier: Tier.Collections, group: "hash" };
const reads = { ...hashFamily, flags: Flag.ReadOnly | Flag.Fast, acl: readFast, optimistic: true };
const walks = { ...hashFamily, flags: Flag.ReadOnly, acl: readSlow, keys: hashKey(["RO", "access"]) };
const writes = { ...hashFamily, flags: Flag.Write | Flag.DenyOom | Flag.Fast, acl: writeFast };
const constant = "O(1)";
const inFields = "O(N) in the number of fields given";
const inHash = "O(N) in the size of the hash";

export const hashCommands: readonly Row[] = [
  {
    ...writes,
    name: "hset",
    arity: -4,
    keys: hashKey(["RW", "update"]),
    since: "2.0.0",
    complexity: inFields,
    summary: "Sets fields of a hash, and says how many were new.",
    syntax: "key field value [field value ...]",
    handler: hset,
  },
  {
    ...writes,
    name: "hmset",
    arity: -4,
    keys: hashKey(["RW", "update"]),
    since: "2.0.0",
    complexity: inFields,
    summary: "HSET with OK for an answer.",
    syntax: "key field value [field value ...]",
    handler: hmset,
  },
  {
    ...writes,
    name: "hsetnx",
    arity: 4,
    keys: hashKey(["RW", "insert"]),
    since: "2.0.0",
    complexity: constant,
    summary: "Sets a field of a hash only where there is none yet.",
    syntax: "key field value",
    handler: hsetnx,
  },
  {
    ...reads,
    name: "hget",
    arity: 3,
    keys: hashKey(["RO", "access"]),
    since: "2.0.0",
    complexity: constant,
    summary: "Returns the value of a field.",
    syntax: "key field",
    handler: hget,
  },
  {
    ...reads,
    name: "hmget",
    arity: -3,
    keys: hashKey(["RO", "access"]),
    since: "2.0.0",
    complexity: inFields,
    summary: "Returns the values of several fields, null where there is none.",
    syntax: "key field [field ...]",
    handler: hmget,
  },
  {
    ...walks,
    name: "hgetall",
    arity: 2,
    since: "2.0.0",
    complexity: inHash,
    summary: "Returns all fields and values of a hash.",
    syntax: "key",
    handler: (call) => replyAll(call, Part.Both),
  },
  {
    ...walks,
    name: "hkeys",
    arity: 2,
    since: "2.0.0",
    complexity: inHash,
    summary: "Returns all fields of a hash.",
    syntax: "key",
    handler: (call) => replyAll(call, Part.Fields),
  },
  {
    ...walks,
    name: "hvals",
    arity: 2,
    since: "2.0.0",
    complexity: inHash,
    summary: "Returns all values of a hash.",
    syntax: "key",
    handler: (call) => replyAll(call, Part.Values),
  },
  {
    ...hashFamily,
    name: "hdel",
    arity: -3,
    flags: Flag.Write | Flag.Fast,
    keys: hashKey(["RW", "delete"]),
    acl: writeFast,
    since: "2.0.0",
    complexity: inFields,
    summary: "Removes fields of a hash, and the hash with its last one.",
    syntax: "key field [field ...]",
    handler: hdel,
  },
  {
    ...reads,
    name: "hlen",
    arity: 2,
    keys: hashKey(["RO"]),
    since: "2.0.0",
    complexity: constant,
    summary: "Returns how many fields a hash has.",
    syntax: "key",
    handler: hlen,
  },
  {
    ...reads,
    name: "hexists",
    arity: 3,
    keys: hashKey(["RO"]),
    since: "2.0.0",
    complexity: constant,
    summary: "Says whether a hash has a field.",
    syntax: "key field",
    handler: hexists,
  },
  {
    ...reads,
    name: "hstrlen",
    arity: 3,
    keys: hashKey(["RO"]),
    since: "3.2.0",
    complexity: constant,
    summary: "Returns how many bytes the value of a field has.",
    syntax: "key field",
    handler: hstrlen,
  },
  {
    ...writes,
    name: "hincrby",
    arity: 4,
    keys: hashKey(["RW", "access", "update"]),
    since: "2.0.0",
    complexity: constant,
    summary: "Adds an integer to the one in a field.",
    syntax: "key field increment",
    handler: hincrby,
  },
  {
    ...writes,
    name: "hincrbyfloat",
    arity: 4,
    keys: hashKey(["RW", "access", "update"]),
    since: "2.6.0",
    complexity: constant,
    summary: "Adds a decimal number to the one in a field.",
    syntax: "key field increment",
    handler: hincrbyfloat,
  },
  {
    ...walks,
    name: "hrandfield",
    arity: -2,
    since: "6.2.0",
    complexity:
      "O(N) in the number of fields returned, or in the size of the hash where that is a third of it or more",
    summary: "Returns fields of a hash at random.",
    syntax: "key [count [WITHVALUES]]",
    handler: hrandfield,
  },
  {
    ...walks,
    name: "hscan",
    arity: -3,
    since: "2.8.0",
    complexity: "O(1) a call, O(N) for all of them in the size of the hash",
    summary: "Goes through the fields of a hash page by page.",
    syntax: "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
    handler: hscan,
  },
  {
    ...writes,
    name: "ic.hsetifeq",
    tier: Tier.Extended,
    arity: 5,
    keys: hashKey(["RW", "access", "update"]),
    since: "0.1.0",
    complexity: constant,
    summary: "Sets a field of a hash only if it has a given value.",
    replaces: "Compare-and-set in a hash: a script that compares a field with HGET and then calls HSET.",
    syntax: "key field expected value",
    handler: hsetifeq,
  },
];
