// sorted-sets.ts: the commands on one sorted set: its members and scores, ranks of members, popping, draws, ZSCAN. Those on
// ranges are in sorted-set-ranges.ts, those on several sets in sorted-set-algebra.ts; what they share is here.
//
// A result (of algebra, ZRANGESTORE, a sample) is built as a sorted set of no key (engine/types/temporary.ts) in the
// memory of the shard that is to keep it, so a destination may be a source and stays as it is when memory is out.
// Invariants: a sorted set that becomes empty is removed with its key; every score of ZADD is parsed before anything
// changes; an out-of-memory error in the middle of ZADD leaves what was added, everywhere else nothing changed.
// On the data path: nothing allocates in the steady state but ZSCAN, whose cursor is text.
// Neighbours: engine/types/sorted-set.ts; paging.ts; the dispatcher has locked the shards of all keys.
import { Flag, type KeySpec, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors, wrongArity } from "../../protocol/errors.ts";
import type { Allocator } from "../memory/allocator.ts";
import { Form, Type } from "../memory/record.ts";
import { Event } from "../shard/events.ts";
import type { Place } from "../shard/place.ts";
import { parseDouble, writeDouble } from "../types/double.ts";
import { MAX_INTEGER, MIN_INTEGER, parseBigInteger, parseInteger } from "../types/integer.ts";
import { SortedSet } from "../types/sorted-set.ts";
import { Temporary } from "../types/temporary.ts";
import type { Call, Row } from "./call.ts";
import { finishPage, page, pageTakes, readCursor, readPageOptions } from "./paging.ts";
import { tellTaken } from "./sets.ts";
import { scratch } from "./strings.ts";
import { timeoutArgument } from "./timeout.ts";

/** The sorted set of the command. */
export const sorted = new SortedSet();
/** A sorted set that belongs to no key. */
export const result = new SortedSet();
const temporary = new Temporary();

/** Scores of the ZADD or GEOADD that runs. */
let scores = new Float64Array(64);

/** Room for the scores of that many members, for `addScored`. */
export function scoresFor(count: number): Float64Array {
  if (count > scores.length) scores = new Float64Array(2 ** Math.ceil(Math.log2(count)));
  return scores;
}

// Shared

/** Opens the sorted set at argument `i` for a command that reads: 1 when it is there, 0 when it is absent, -1 after
 *  replying that the key holds another type. */
export function openRead(call: Call, i = 1): number {
  const opened = call.openPlaceRead(i, Type.SortedSet, call.place);
  if (opened === 1) sorted.open(call.place);
  return opened;
}

/** The same for a command that writes. */
export function openWrite(call: Call): number {
  const opened = call.openPlace(1, Type.SortedSet, call.place);
  if (opened === 1) sorted.open(call.place);
  return opened;
}

/** Finds argument `i` in `sorted`. */
function findArgument(call: Call, i: number): boolean {
  return sorted.find(call.input, call.start[i]!, call.length[i]!);
}

/** Argument `i` as an integer of at least `least` (Infinity when it is beyond 2^53); -1 after replying with `refusal`. */
export function readCount(call: Call, i: number, least: number, refusal: string): number {
  const value = parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
  if (value >= least) return value;
  call.reply.error(refusal);
  return -1;
}

/** Header of `count` elements, which follow by replyElement. With scores they are flat in RESP2 and pairs in RESP3. */
export function replyHeader(call: Call, count: number, withScores: boolean): void {
  call.reply.array(withScores && !call.reply.resp3 ? count * 2 : count);
}

/** Replies with the element under the cursor of a sorted set. */
export function replyElement(call: Call, set: SortedSet, withScores: boolean, nested: boolean): void {
  const { reply } = call;
  if (withScores && nested) reply.array(2);
  reply.bulk(set.region, set.start, set.bytes);
  if (withScores) reply.double(set.score);
}

/** Replies with `count` elements of a sorted set from rank `first` on, with `down` towards lower ranks. */
export function replyElements(
  call: Call,
  set: SortedSet,
  first: number,
  count: number,
  down: boolean,
  withScores: boolean,
  nested: boolean,
): void {
  if (count === 0) return;
  set.seekRank(first);
  for (let left = count; ; ) {
    replyElement(call, set, withScores, nested);
    if (--left === 0) return;
    if (down) set.previous();
    else set.next();
  }
}

/** Replies with `count` elements of `sorted`, which is the one at `place`, from rank `first` on, with `down` towards lower
 *  ranks; each is two replies, or with `nested` a pair. Then removes them, and the key when none is left, which is
 *  `event`. */
export function popElements(
  call: Call,
  place: Place,
  first: number,
  count: number,
  down: boolean,
  nested: boolean,
  event: Event,
): void {
  if (count === 0) return;
  replyElements(call, sorted, first, count, down, true, nested);
  if (count === sorted.count) place.remove();
  else sorted.removeRange(down ? first - count + 1 : first, count);
  tellTaken(place, event);
}

export function popEvent(highest: boolean): Event {
  return highest ? Event.ZPopMax : Event.ZPopMin;
}

// Results

/** Makes `result` an empty sorted set whose pages will lie with that allocator. dropResult or storeResult must follow. */
export function beginResult(allocator: Allocator): void {
  temporary.begin(allocator, Type.SortedSet, Form.Packed, SortedSet.initialBytes);
  result.clear(temporary);
}

/** Adds an element whose member `result` may have already: false, and nothing changed, when memory is out. The text must
 *  not lie in the result. */
export function addResult(set: SortedSet): boolean {
  const { region, start, bytes } = set;
  return result.find(region, start, bytes) || result.insert(set.score, region, start, bytes);
}

export function dropResult(): void {
  temporary.drop();
}

/** Gives up a result for which there is no memory. */
export function refuseResult(call: Call): void {
  temporary.drop();
  call.reply.error(Errors.outOfMemory);
}

/** Stores the result under the key in argument `i`, which is `event`, or removes the key when it is empty, and replies with
 *  its size. */
export function storeResult(call: Call, i: number, place: Place, event: Event): void {
  const { count } = result;
  const there = call.findPlace(i, place);
  if (count === 0) {
    temporary.drop();
    if (there) {
      place.remove();
      place.notify(Event.Del);
    }
  } else {
    if (!place.create(Type.SortedSet, temporary.form, temporary.valueBytes)) return refuseResult(call);
    temporary.put(place);
    place.notify(event);
  }
  call.reply.integer(count);
}

// Adding and removing

export const enum Option {
  None = 0,
  Nx = 1,
  Xx = 2,
  Gt = 4,
  Lt = 8,
  Ch = 16,
  Incr = 32,
}

/** The option that argument `i` names. */
function addOption(call: Call, i: number): Option {
  if (call.is(i, "nx")) return Option.Nx;
  if (call.is(i, "xx")) return Option.Xx;
  if (call.is(i, "gt")) return Option.Gt;
  if (call.is(i, "lt")) return Option.Lt;
  if (call.is(i, "ch")) return Option.Ch;
  return call.is(i, "incr") ? Option.Incr : Option.None;
}

/** What is wrong with options and a number of pairs together, "" for nothing. */
function conflict(options: number, pairs: number): string {
  const only = options & (Option.Nx | Option.Gt | Option.Lt);
  if ((options & Option.Nx) !== 0 && (options & Option.Xx) !== 0) return Errors.addNxXx;
  if ((only & (only - 1)) !== 0) return Errors.addGtLtNx;
  return (options & Option.Incr) !== 0 && pairs > 1 ? Errors.addOnePair : "";
}

/** ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member ... and ZINCRBY key increment member, whose `options` are given and
 *  which takes those of ZADD as well, in Redis too: all that can come of it is a syntax error. */
function add(call: Call, options: number): void {
  const { argc, input, length, reply, start } = call;
  let from = 2;
  for (; from < argc; from++) {
    const option = addOption(call, from);
    if (option === Option.None) break;
    options |= option;
  }
  const pairs = (argc - from) / 2;
  if (pairs === 0 || !Number.isInteger(pairs)) return reply.error(Errors.syntax);
  const wrong = conflict(options, pairs);
  if (wrong !== "") return reply.error(wrong);
  const scores = scoresFor(pairs);
  for (let pair = 0, i = from; pair < pairs; pair++, i += 2) {
    const score = parseDouble(input.u8, start[i]!, length[i]!);
    if (Number.isNaN(score)) return reply.error(Errors.notAFloat);
    scores[pair] = score;
  }
  addScored(call, options, from + 1, 2, pairs);
}

/** Adds `count` members, the first of which is argument `from` and the others every `step` arguments, with the scores in
 *  `scoresFor(count)`, as the options have it, and replies. */
export function addScored(call: Call, options: number, from: number, step: number, count: number): void {
  const { input, length, place, reply, start } = call;
  const opened = openWrite(call);
  if (opened < 0) return;
  const incr = (options & Option.Incr) !== 0;
  if (opened === 0) {
    if ((options & Option.Xx) !== 0) return incr ? reply.nil() : reply.integer(0);
    if (!place.create(Type.SortedSet, Form.Packed, SortedSet.initialBytes))
      return reply.error(Errors.outOfMemory);
    sorted.clear(place);
  }
  if (!sorted.reserve(count)) return refuseAdd(call, options, 0);
  let added = 0;
  let changed = 0;
  let now = Number.NaN; // the score of INCR, when no flag prevented it
  for (let member = 0, i = from; member < count; member++, i += step) {
    let score = scores[member]!;
    if (!findArgument(call, i)) {
      if ((options & Option.Xx) !== 0) continue;
      if (!sorted.insert(score, input, start[i]!, length[i]!))
        return refuseAdd(call, options, added + changed);
      added++;
    } else {
      if ((options & Option.Nx) !== 0) continue;
      const old = sorted.score;
      if (incr) {
        score += old;
        if (Number.isNaN(score)) return reply.error(Errors.scoreNotANumber);
      }
      if (((options & Option.Gt) !== 0 && score <= old) || ((options & Option.Lt) !== 0 && score >= old))
        continue;
      if (score !== old) {
        if (!sorted.update(score, input, start[i]!, length[i]!))
          return refuseAdd(call, options, added + changed);
        changed++;
      }
    }
    now = score;
  }
  tellAdded(call, options, added + changed);
  if (!incr) reply.integer((options & Option.Ch) !== 0 ? added + changed : added);
  else if (Number.isNaN(now)) reply.nil();
  else reply.double(now);
}

/** Tells that so many elements were added or changed, if any. */
function tellAdded(call: Call, options: number, changes: number): void {
  if (changes > 0) call.place.notify((options & Option.Incr) !== 0 ? Event.ZIncr : Event.ZAdd);
}

/** Says that memory is out after so many changes; a sorted set that has just been made and got nothing goes. */
function refuseAdd(call: Call, options: number, changes: number): void {
  if (sorted.count === 0) call.place.remove();
  tellAdded(call, options, changes);
  call.reply.error(Errors.outOfMemory);
}

/** ZREM key member [member ...] */
function zrem(call: Call): void {
  const { argc, input, reply } = call;
  const opened = openWrite(call);
  if (opened < 0) return;
  let removed = 0;
  for (let i = 2; opened === 1 && i < argc; i++) {
    if (!findArgument(call, i)) continue;
    sorted.remove(input, call.start[i]!, call.length[i]!);
    removed++;
    if (sorted.count > 0) continue;
    call.place.remove();
    break;
  }
  if (removed > 0) tellTaken(call.place, Event.ZRem);
  reply.integer(removed);
}

// Looking up

/** ZCARD key */
function zcard(call: Call): void {
  const opened = openRead(call);
  if (opened >= 0) call.reply.integer(opened === 0 ? 0 : sorted.count);
}

/** ZSCORE key member */
function zscore(call: Call): void {
  const opened = openRead(call);
  if (opened >= 0) replyScore(call, opened, 2);
}

/** ZMSCORE key member [member ...] */
function zmscore(call: Call): void {
  const opened = openRead(call);
  if (opened < 0) return;
  call.reply.array(call.argc - 2);
  for (let i = 2; i < call.argc; i++) replyScore(call, opened, i);
}

function replyScore(call: Call, opened: number, i: number): void {
  if (opened === 1 && findArgument(call, i)) call.reply.double(sorted.score);
  else call.reply.nil();
}

/** ZRANK key member [WITHSCORE] and ZREVRANK */
function rank(call: Call, down: boolean): void {
  const { argc, input, reply } = call;
  const withScore = argc === 4;
  if (argc > 4) return reply.error(wrongArity(call.row.name));
  if (withScore && !call.is(3, "withscore")) return reply.error(Errors.syntax);
  const opened = openRead(call);
  if (opened < 0) return;
  if (opened === 0 || !findArgument(call, 2)) {
    if (withScore) reply.nilArray();
    else reply.nil();
    return;
  }
  const { score } = sorted;
  const before = sorted.rankOf(input, call.start[2]!, call.length[2]!);
  if (withScore) reply.array(2);
  reply.integer(down ? sorted.count - 1 - before : before);
  if (withScore) reply.double(score);
}

// Popping

/** ZPOPMIN key [count] and ZPOPMAX. Without a count the reply is flat in RESP3 too. */
function pop(call: Call, highest: boolean): void {
  const { argc, reply } = call;
  if (argc > 3) return reply.error(Errors.syntax);
  const wanted = argc === 2 ? 1 : readCount(call, 2, 0, Errors.notPositive);
  if (wanted < 0) return;
  const opened = openWrite(call);
  if (opened < 0) return;
  if (opened === 0 || wanted === 0) return reply.array(0);
  const count = Math.min(wanted, sorted.count);
  if (argc === 2) reply.array(2);
  else replyHeader(call, count, true);
  const first = highest ? sorted.count - 1 : 0;
  popElements(call, call.place, first, count, highest, argc === 3 && reply.resp3, popEvent(highest));
}

/** What stands from argument `from` on: numkeys key [key ...] MIN|MAX [COUNT count]. That is ZMPOP, or from 2 on, where the
 *  timeout stands before it, BZMPOP. */
export function popOfFirst(call: Call, from: number): void {
  const { argc, place, reply } = call;
  const keys = readCount(call, from, 1, Errors.numkeysPositive);
  if (keys < 0) return;
  const where = from + 1 + keys;
  if (where >= argc) return reply.error(Errors.syntax);
  const highest = call.is(where, "max");
  if (!highest && !call.is(where, "min")) return reply.error(Errors.syntax);
  let wanted = 1;
  if (where + 1 < argc) {
    if (!call.is(where + 1, "count") || where + 2 >= argc) return reply.error(Errors.syntax);
    wanted = readCount(call, where + 2, 1, Errors.countPositive);
    if (wanted < 0) return;
    if (where + 3 < argc) return reply.error(Errors.syntax);
  }
  const waits = from === 2;
  const timeoutMs = waits ? timeoutArgument(call, 1) : 0;
  if (Number.isNaN(timeoutMs)) return;
  for (let i = from + 1; i < where; i++) {
    const opened = call.openAwaited(i, Type.SortedSet, place);
    if (opened < 0) return;
    if (opened === 0) continue;
    sorted.open(place);
    const count = Math.min(wanted, sorted.count);
    reply.array(2);
    reply.bulk(call.input, call.start[i]!, call.length[i]!);
    reply.array(count);
    popElements(call, place, highest ? sorted.count - 1 : 0, count, highest, true, popEvent(highest));
    return;
  }
  if (waits) call.hub.block(call, Type.SortedSet, from + 1, keys, 0, timeoutMs);
  else reply.nilArray();
}

// Draws

/** ZRANDMEMBER key [count [WITHSCORES]]: with a positive count distinct elements, with a negative one any. */
function zrandmember(call: Call): void {
  const { argc, reply } = call;
  if (argc === 2) {
    const opened = openRead(call);
    if (opened < 0) return;
    if (opened === 0) return reply.nil();
    sorted.seekRank(Math.floor(Math.random() * sorted.count));
    return replyElement(call, sorted, false, false);
  }
  const count = parseInteger(call.input.u8, call.start[2]!, call.length[2]!);
  if (Number.isNaN(count)) return reply.error(Errors.notAnInteger);
  const beyond = Number.isFinite(count)
    ? 0n
    : parseBigInteger(call.input.u8, call.start[2]!, call.length[2]!);
  if (beyond === MIN_INTEGER) return reply.error(Errors.countOutOfRange);
  const withScores = argc === 4;
  if (argc > 4 || (withScores && !call.is(3, "withscores"))) return reply.error(Errors.syntax);
  if (withScores && (beyond > MAX_INTEGER / 2n || beyond < -MAX_INTEGER / 2n))
    return reply.error(Errors.pairCountOutOfRange);
  const opened = openRead(call);
  if (opened < 0) return;
  if (opened === 0 || count === 0) return reply.array(0);

  const size = sorted.count;
  const nested = reply.resp3;
  if (count < 0) {
    // More than fits any reply ends the connection before it ends the loop.
    const draws = Math.min(-count, 2 ** 52);
    replyHeader(call, draws, withScores);
    for (let i = 0; i < draws && !reply.overflow; i++) {
      sorted.seekRank(Math.floor(Math.random() * size));
      replyElement(call, sorted, withScores, nested);
    }
    return;
  }
  replyHeader(call, Math.min(count, size), withScores);
  if (count >= size) return replyElements(call, sorted, 0, size, false, withScores, nested);
  // A sample is one pass over all, so a few of many are drawn, and drawn again when they were drawn before.
  if (count * 8 > size || !drawDistinct(call, count, withScores)) sample(call, count, withScores);
}

/** Replies with `count` of the elements, each as likely as any, in their order. */
function sample(call: Call, count: number, withScores: boolean): void {
  let wanted = count;
  let left = sorted.count;
  for (let more = sorted.seekRank(0); more && wanted > 0; more = sorted.next())
    if (Math.random() * left-- < wanted) {
      wanted--;
      replyElement(call, sorted, withScores, call.reply.resp3);
    }
}

/** The same for few of many. False, and nothing replied, when there is no memory to remember them. */
function drawDistinct(call: Call, count: number, withScores: boolean): boolean {
  const size = sorted.count;
  beginResult(call.place.allocator);
  let enough = true;
  while (enough && result.count < count) {
    sorted.seekRank(Math.floor(Math.random() * size));
    enough = addResult(sorted);
  }
  if (enough) replyElements(call, result, 0, count, false, withScores, call.reply.resp3);
  temporary.drop();
  return enough;
}

// Scanning

/** ZSCAN key cursor [MATCH pattern] [COUNT count] [NOSCORES] */
function zscan(call: Call): void {
  const { reply } = call;
  const cursor = readCursor(call, 2);
  if (cursor < 0) return reply.error(Errors.invalidCursor);
  const opened = openRead(call);
  if (opened < 0) return;
  if (opened === 0) return finishPage(call, reply.at, 0, 0);
  if (!readPageOptions(call, 3, false, "noscores")) return;
  const from = reply.at;
  let next = cursor;
  let picked = 0;
  let count = 0;
  do {
    sorted.scanPage(next, page.wanted - picked);
    for (; sorted.scanNext(); picked++) count += replyScanned(call);
    next = sorted.scanCursor;
  } while (next !== 0 && picked < page.wanted);
  finishPage(call, from, next, count);
}

/** Replies with the element under the cursor if the page takes it; how many replies it became. Its score is a bulk string
 *  in RESP3 too. */
function replyScanned(call: Call): number {
  const { reply } = call;
  if (!pageTakes(call, sorted.region, sorted.start, sorted.bytes)) return 0;
  reply.bulk(sorted.region, sorted.start, sorted.bytes);
  if (page.bare) return 1;
  reply.bulk(scratch, 0, writeDouble(scratch.u8, 0, sorted.score));
  return 2;
}

// Rows

export function keyed(...flags: readonly string[]): readonly KeySpec[] {
  return [{ first: 1, last: 0, step: 1, flags }];
}

export const family = {
  scope: Scope.Keys,
  tier: Tier.Collections,
  group: "sorted-set",
  since: "1.2.0",
} as const;
const readFast = {
  ...family,
  flags: Flag.ReadOnly | Flag.Fast,
  keys: keyed("RO", "access"),
  acl: ["read", "sortedset", "fast"],
} as const;
export const readSlow = {
  ...family,
  flags: Flag.ReadOnly,
  keys: keyed("RO", "access"),
  acl: ["read", "sortedset", "slow"],
} as const;
const writeFast = { ...family, flags: Flag.Write | Flag.Fast, acl: ["write", "sortedset", "fast"] } as const;
const addFast = { ...writeFast, flags: Flag.Write | Flag.DenyOom | Flag.Fast } as const;
const perMember = "O(log N) a member, N the elements of the sorted set";

export const sortedSetCommands: readonly Row[] = [
  {
    ...addFast,
    name: "zadd",
    arity: -4,
    keys: keyed("RW", "update"),
    complexity: perMember,
    summary: "Adds members to a sorted set, which is created if it is not there, or changes their scores.",
    syntax: "key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...]",
    handler: (call) => add(call, Option.None),
  },
  {
    ...addFast,
    name: "zincrby",
    arity: 4,
    keys: keyed("RW", "access", "update"),
    complexity: perMember,
    summary: "Adds to the score of a member, which is added if it is not there.",
    syntax: "key increment member",
    handler: (call) => add(call, Option.Incr),
  },
  {
    ...writeFast,
    name: "zrem",
    arity: -3,
    keys: keyed("RW", "delete"),
    complexity: perMember,
    summary: "Removes members from a sorted set.",
    syntax: "key member [member ...]",
    handler: zrem,
  },
  {
    ...readFast,
    name: "zcard",
    arity: 2,
    keys: keyed("RO"),
    complexity: "O(1)",
    summary: "Returns the number of members of a sorted set.",
    syntax: "key",
    optimistic: true,
    handler: zcard,
  },
  {
    ...readFast,
    name: "zscore",
    arity: 3,
    complexity: "O(1)",
    summary: "Returns the score of a member.",
    syntax: "key member",
    optimistic: true,
    handler: zscore,
  },
  {
    ...readFast,
    name: "zmscore",
    arity: -3,
    since: "6.2.0",
    complexity: "O(N) in the number of members given",
    summary: "Returns the scores of several members.",
    syntax: "key member [member ...]",
    optimistic: true,
    handler: zmscore,
  },
  {
    ...readFast,
    name: "zrank",
    arity: -3,
    since: "2.0.0",
    complexity: "O(log N)",
    summary: "Returns how many members stand before a member, by ascending scores.",
    syntax: "key member [WITHSCORE]",
    handler: (call) => rank(call, false),
  },
  {
    ...readFast,
    name: "zrevrank",
    arity: -3,
    since: "2.0.0",
    complexity: "O(log N)",
    summary: "Returns how many members stand before a member, by descending scores.",
    syntax: "key member [WITHSCORE]",
    handler: (call) => rank(call, true),
  },
  {
    ...writeFast,
    name: "zpopmin",
    arity: -2,
    keys: keyed("RW", "access", "delete"),
    since: "5.0.0",
    complexity: perMember,
    summary: "Removes and returns the members with the lowest scores.",
    syntax: "key [count]",
    handler: (call) => pop(call, false),
  },
  {
    ...writeFast,
    name: "zpopmax",
    arity: -2,
    keys: keyed("RW", "access", "delete"),
    since: "5.0.0",
    complexity: perMember,
    summary: "Removes and returns the members with the highest scores.",
    syntax: "key [count]",
    handler: (call) => pop(call, true),
  },
  {
    ...family,
    name: "zmpop",
    arity: -4,
    flags: Flag.Write | Flag.MovableKeys,
    keys: [{ numkeys: 1, first: 2, step: 1, flags: ["RW", "access", "delete"] }],
    acl: ["write", "sortedset", "slow"],
    since: "7.0.0",
    complexity: "O(K) in the keys and O(log N) a member",
    summary:
      "Removes and returns members with the lowest or highest scores, from the first sorted set there is.",
    syntax: "numkeys key [key ...] <MIN|MAX> [COUNT count]",
    handler: (call) => popOfFirst(call, 1),
  },
  {
    ...readSlow,
    name: "zrandmember",
    arity: -2,
    since: "6.2.0",
    complexity: "O(N) in the number of members asked for",
    summary: "Returns members drawn at random: distinct ones, or with a negative count any.",
    syntax: "key [count [WITHSCORES]]",
    handler: zrandmember,
  },
  {
    ...readSlow,
    name: "zscan",
    arity: -3,
    since: "2.8.0",
    complexity: "O(1) a call, O(N) a whole scan",
    summary: "Returns a page of a sorted set and the cursor of the next.",
    syntax: "key cursor [MATCH pattern] [COUNT count] [NOSCORES]",
    handler: zscan,
  },
];
