// lists.ts: the commands on lists, those that wait excepted.
//
// Every command that takes elements from an end ends in popElements, every one that moves an element from list to list in
// moveElement, and they tell of it. A list that becomes empty is removed with its key; one that shrinks asks List.shrunk
// for its form.
// Invariants: an out-of-memory error in the middle of a push of many to a list that was there leaves what was pushed,
// everywhere else it means that no element changed.
// On the data path: nothing allocates; LPOS, LREM, LINSERT, LTRIM and LRANGE are O(elements walked).
// Neighbours: engine/types/list.ts; the dispatcher has locked the shards of all keys.
import { Flag, type KeySpec, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors, wrongArity } from "../../protocol/errors.ts";
import { Handle } from "../memory/allocator.ts";
import { assert } from "../memory/assert.ts";
import { Form, Type } from "../memory/record.ts";
import { copyBytes, equalBytes, need, Region } from "../memory/region.ts";
import { Event } from "../shard/events.ts";
import type { Place } from "../shard/place.ts";
import { MIN_INTEGER, parseBigInteger, parseInteger } from "../types/integer.ts";
import { List, movedBytes } from "../types/list.ts";
import { Temporary } from "../types/temporary.ts";
import type { Call, Row } from "./call.ts";
import { moveToFront } from "./paging.ts";
import { tellTaken } from "./sets.ts";
import { timeoutArgument } from "./timeout.ts";

/** The list of the command, and the one that an element is moved to. */
export const list = new List();
const target = new List();

/** The list of an absent key until it is stored. */
const created = new Temporary();

const SCRATCH_BYTES = 4096;
/** A short element on its way from one end of a list to the other. */
const scratch = need(Region.private(SCRATCH_BYTES), "an element of a list");

// Helpers

/** Opens the list at argument 1 for a command that reads: 1 when it is there, 0 when it is absent, -1 after replying that
 *  the key holds another type. */
function openRead(call: Call): number {
  const opened = call.openPlaceRead(1, Type.List, call.place);
  if (opened === 1) list.open(call.place);
  return opened;
}

function openWrite(call: Call): number {
  const opened = call.openPlace(1, Type.List, call.place);
  if (opened === 1) list.open(call.place);
  return opened;
}

/** Argument `i` as an integer, beyond 2^53 as an infinity; NaN after replying that it is none. */
function integerArgument(call: Call, i: number): number {
  const value = parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
  if (Number.isNaN(value)) call.reply.error(Errors.notAnInteger);
  return value;
}

/** The same where the lowest int64 is out of range because its sign cannot be turned. */
function directedArgument(call: Call, i: number): number {
  const value = integerArgument(call, i);
  if (value !== Number.NEGATIVE_INFINITY) return value;
  if (parseBigInteger(call.input.u8, call.start[i]!, call.length[i]!) !== MIN_INTEGER) return value;
  call.reply.error(Errors.countOutOfRange);
  return Number.NaN;
}

/** Argument `i` as an integer of at least `least`; NaN after replying `error`. */
function countArgument(call: Call, i: number, least: number, error: string): number {
  const value = parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
  if (value >= least) return value;
  call.reply.error(error);
  return Number.NaN;
}

/** Whether argument `i` names the tail: 1, the head: 0, neither: -1 after replying so. */
export function endArgument(call: Call, i: number): number {
  if (call.is(i, "left")) return 0;
  if (call.is(i, "right")) return 1;
  call.reply.error(Errors.syntax);
  return -1;
}

/** The element that an index means, which counts from the end when negative; below 0 or from `count` on there is none. */
function indexFrom(index: number, count: number): number {
  return index < 0 ? count + index : index;
}

/** Opens an empty list for an absent key, to be filled and stored: so its record is made once, at its size. */
function begin(place: Place, into: List): void {
  created.begin(place.allocator, Type.List, Form.Packed, List.initialBytes);
  List.clear(created);
  into.open(created);
}

/** Makes what `begin` opened the value of the key. False, and the key still absent, when memory is out. */
function store(place: Place): boolean {
  if (!place.create(Type.List, created.form, created.valueBytes)) {
    created.drop();
    return false;
  }
  const stored = created.put(place);
  assert(stored, "a record of the value's size takes it");
  return true;
}

/** After elements of the list at a place were removed: an empty list goes, a short one is packed, and it is told. */
function removed(place: Place, event: Event): void {
  if (list.count === 0) place.remove();
  else list.shrunk();
  tellTaken(place, event);
}

function pushEvent(atTail: boolean): Event {
  return atTail ? Event.RPush : Event.LPush;
}

function popEvent(fromTail: boolean): Event {
  return fromTail ? Event.RPop : Event.LPop;
}

// Adding

/** LPUSH and RPUSH key element [element ...]; LPUSHX and RPUSHX only to a list that is there. */
function push(call: Call, atTail: boolean, onlyThere: boolean): void {
  const { argc, input, length, place, reply, start } = call;
  const opened = openWrite(call);
  if (opened < 0) return;
  if (opened === 0) {
    if (onlyThere) return reply.integer(0);
    begin(place, list);
  }
  const had = list.count;
  let bytes = 0;
  for (let i = 2; i < argc; i++) bytes += length[i]!;
  let pushed = list.expect(bytes, argc - 2);
  for (let i = 2; i < argc && pushed; i++) pushed = list.push(atTail, input, start[i]!, length[i]!);
  const { count } = list;
  if (opened === 0) {
    if (!pushed) created.drop();
    else pushed = store(place);
  }
  if (pushed || (opened === 1 && count > had)) place.notify(pushEvent(atTail));
  if (pushed) reply.integer(count);
  else reply.error(Errors.outOfMemory);
}

/** LINSERT key BEFORE|AFTER pivot element */
function linsert(call: Call): void {
  const { input, length, reply, start } = call;
  const after = call.is(2, "after");
  if (!after && !call.is(2, "before")) return reply.error(Errors.syntax);
  const opened = openWrite(call);
  if (opened < 0) return;
  if (opened === 0) return reply.integer(0);
  if (!list.expect(length[4]!, 1)) return reply.error(Errors.outOfMemory);
  list.walk();
  if (!list.find(input, start[3]!, length[3]!)) return reply.integer(-1);
  if (!list.insertHere(after, input, start[4]!, length[4]!)) return reply.error(Errors.outOfMemory);
  call.place.notify(Event.LInsert);
  reply.integer(list.count);
}

/** LSET key index element */
function lset(call: Call): void {
  const { input, length, reply, start } = call;
  const opened = openWrite(call);
  if (opened < 0) return;
  if (opened === 0) return reply.error(Errors.noSuchKey);
  const index = indexFrom(integerArgument(call, 2), list.count);
  if (Number.isNaN(index)) return;
  if (!list.expect(length[3]!, 1)) return reply.error(Errors.outOfMemory);
  if (index < 0 || index >= list.count) return reply.error(Errors.indexOutOfRange);
  if (!list.replace(index, input, start[3]!, length[3]!)) return reply.error(Errors.outOfMemory);
  list.shrunk();
  call.place.notify(Event.LSet);
  reply.ok();
}

// Reading

/** LLEN key */
function llen(call: Call): void {
  const opened = openRead(call);
  if (opened >= 0) call.reply.integer(opened === 0 ? 0 : list.count);
}

/** LINDEX key index */
function lindex(call: Call): void {
  const { reply } = call;
  const opened = openRead(call);
  if (opened < 0) return;
  if (opened === 0) return reply.nil();
  const index = indexFrom(integerArgument(call, 2), list.count);
  if (Number.isNaN(index)) return;
  if (index < 0 || index >= list.count) return reply.nil();
  list.seek(index);
  list.next();
  reply.bulk(list.region, list.start, list.bytes);
}

/** LRANGE key start stop */
function lrange(call: Call): void {
  const { reply } = call;
  const first = integerArgument(call, 2);
  if (Number.isNaN(first)) return;
  const last = integerArgument(call, 3);
  if (Number.isNaN(last)) return;
  const opened = openRead(call);
  if (opened < 0) return;
  if (opened === 0) return reply.array(0);
  const { count } = list;
  const from = Math.max(0, indexFrom(first, count));
  const to = Math.min(count - 1, indexFrom(last, count));
  if (from > to) return reply.array(0);
  reply.array(to - from + 1);
  list.seek(from);
  replyElements(call, to - from + 1, false);
}

/** Replies with `count` elements from the fresh cursor on, in either direction. */
function replyElements(call: Call, count: number, backwards: boolean): void {
  const { reply } = call;
  for (let i = 0; i < count && !reply.overflow; i++) {
    if (backwards) list.previous();
    else list.next();
    reply.bulk(list.region, list.start, list.bytes);
  }
}

/** LPOS key element [RANK rank] [COUNT count] [MAXLEN length] */
function lpos(call: Call): void {
  const { argc, input, length, reply, start } = call;
  let rank = 1;
  let most = -1;
  let steps = 0;
  for (let i = 3; i < argc; i += 2) {
    if (i + 1 === argc) return reply.error(Errors.syntax);
    if (call.is(i, "rank")) {
      rank = directedArgument(call, i + 1);
      if (Number.isNaN(rank)) return;
      if (rank === 0) return reply.error(Errors.rankZero);
    } else if (call.is(i, "count")) {
      most = countArgument(call, i + 1, 0, Errors.countNegative);
      if (Number.isNaN(most)) return;
    } else if (call.is(i, "maxlen")) {
      steps = countArgument(call, i + 1, 0, Errors.maxlenNegative);
      if (Number.isNaN(steps)) return;
    } else return reply.error(Errors.syntax);
  }
  const opened = openRead(call);
  if (opened < 0) return;
  const single = most < 0;
  if (opened === 0) return single ? reply.nil() : reply.array(0);
  const { count } = list;
  if (most === 0) most = Number.POSITIVE_INFINITY;
  steps = steps === 0 ? count : Math.min(steps, count);
  const backwards = rank < 0;
  let toSkip = Math.abs(rank) - 1;
  let found = 0;
  const begun = reply.at;
  list.seek(backwards ? count - 1 : 0);
  for (let i = 0; i < steps && (single || found < most) && !reply.overflow; i++) {
    if (backwards) list.previous();
    else list.next();
    if (list.bytes !== length[2]! || !equalBytes(list.region, list.start, input, start[2]!, list.bytes))
      continue;
    if (toSkip > 0) {
      toSkip--;
      continue;
    }
    const index = backwards ? count - 1 - i : i;
    if (single) return reply.integer(index);
    reply.integer(index);
    found++;
  }
  if (single) return reply.nil();
  const end = reply.at;
  reply.array(found);
  moveToFront(reply, begun, end);
}

// Removing

/** LREM key count element */
function lrem(call: Call): void {
  const { input, length, place, reply, start } = call;
  const wanted = directedArgument(call, 2);
  if (Number.isNaN(wanted)) return;
  const opened = openWrite(call);
  if (opened < 0) return;
  if (opened === 0) return reply.integer(0);
  const most = wanted === 0 ? Number.POSITIVE_INFINITY : Math.abs(wanted);
  let gone = 0;
  if (wanted >= 0) {
    list.walk();
    while (gone < most && list.find(input, start[3]!, length[3]!)) {
      list.removeHere(false);
      gone++;
    }
  } else {
    const { count } = list;
    list.seek(count - 1);
    for (let i = 0; i < count && gone < most; i++) {
      list.previous();
      if (list.bytes !== length[3]! || !equalBytes(list.region, list.start, input, start[3]!, list.bytes))
        continue;
      list.removeHere(true);
      gone++;
    }
  }
  if (gone > 0) removed(place, Event.LRem);
  reply.integer(gone);
}

/** LTRIM key start stop */
function ltrim(call: Call): void {
  const { place, reply } = call;
  const first = integerArgument(call, 2);
  if (Number.isNaN(first)) return;
  const last = integerArgument(call, 3);
  if (Number.isNaN(last)) return;
  const opened = openWrite(call);
  if (opened < 0) return;
  if (opened === 0) return reply.ok();
  const { count } = list;
  const from = Math.max(0, indexFrom(first, count));
  const to = Math.min(count - 1, indexFrom(last, count));
  reply.ok();
  if (from > to) {
    place.remove();
    return tellTaken(place, Event.LTrim);
  }
  if (to < count - 1) {
    list.seek(to + 1);
    list.remove(count - 1 - to);
  }
  if (from > 0) {
    list.seek(0);
    list.remove(from);
  }
  removed(place, Event.LTrim);
}

/** Replies with `count` elements of one end of the list open at a place, one by one and without a header, and removes them.
 *  There are so many, and `count` is not 0. */
export function popElements(call: Call, place: Place, fromTail: boolean, count: number): void {
  const all = list.count;
  list.seek(fromTail ? all - 1 : 0);
  replyElements(call, count, fromTail);
  if (count === all) place.remove();
  else {
    if (count > 1) list.seek(fromTail ? all - count : 0);
    list.remove(count);
    list.shrunk();
  }
  tellTaken(place, popEvent(fromTail));
}

/** LPOP and RPOP key [count] */
function pop(call: Call, fromTail: boolean): void {
  const { argc, place, reply } = call;
  if (argc > 3) return reply.error(wrongArity(call.row.name));
  const single = argc === 2;
  const wanted = single ? 1 : countArgument(call, 2, 0, Errors.notPositive);
  if (Number.isNaN(wanted)) return;
  const opened = openWrite(call);
  if (opened < 0) return;
  if (opened === 0) return single ? reply.nil() : reply.nilArray();
  const count = Math.min(wanted, list.count);
  if (!single) reply.array(count);
  if (count > 0) popElements(call, place, fromTail, count);
}

/** What stands from argument `from` on: numkeys key [key ...] LEFT|RIGHT [COUNT count]. That is LMPOP, or from 2 on, where
 *  the timeout stands before it, BLMPOP. */
export function popOfFirst(call: Call, from: number): void {
  const { argc, input, length, place, reply, start } = call;
  const keys = countArgument(call, from, 1, Errors.numkeysPositive);
  if (Number.isNaN(keys)) return;
  const where = from + 1 + keys;
  if (where >= argc) return reply.error(Errors.syntax);
  const end = endArgument(call, where);
  if (end < 0) return;
  let wanted = 1;
  if (argc > where + 1) {
    if (!call.is(where + 1, "count") || argc === where + 2) return reply.error(Errors.syntax);
    wanted = countArgument(call, where + 2, 1, Errors.countPositive);
    if (Number.isNaN(wanted)) return;
    if (argc > where + 3) return reply.error(Errors.syntax);
  }
  const waits = from === 2;
  const timeoutMs = waits ? timeoutArgument(call, 1) : 0;
  if (Number.isNaN(timeoutMs)) return;
  for (let i = from + 1; i < where; i++) {
    const opened = call.openAwaited(i, Type.List, place);
    if (opened < 0) return;
    if (opened === 0) continue;
    list.open(place);
    const count = Math.min(wanted, list.count);
    reply.array(2);
    reply.bulk(input, start[i]!, length[i]!);
    reply.array(count);
    return popElements(call, place, end === 1, count);
  }
  if (waits) call.hub.block(call, Type.List, from + 1, keys, 0, timeoutMs);
  else reply.nilArray();
}

// Moving

/** LMOVE source destination LEFT|RIGHT LEFT|RIGHT */
function lmove(call: Call): void {
  const from = endArgument(call, 3);
  if (from < 0) return;
  const to = endArgument(call, 4);
  if (to >= 0) moveElement(call, 1, 2, from === 1, to === 1);
}

/** Moves an element from an end of the list at argument `from` to one of the list at argument `to`, and replies with it. */
export function moveElement(call: Call, from: number, to: number, fromTail: boolean, toTail: boolean): void {
  const { input, length, place, reply, start } = call;
  const opened = call.openPlace(from, Type.List, place);
  if (opened < 0) return;
  if (opened === 0) return reply.nil();
  if (length[from] === length[to] && equalBytes(input, start[from]!, input, start[to]!, length[from]!)) {
    list.open(place);
    return rotate(call, place, fromTail, toTail);
  }
  const there = call.placeAt(1);
  const openedThere = call.openPlace(to, Type.List, there);
  if (openedThere < 0) return;
  if (openedThere === 1) target.open(there);
  else begin(there, target);
  list.open(place);
  list.seek(fromTail ? list.count - 1 : 0);
  list.next();
  const { region, start: at, bytes } = list;
  let moved = target.expect(movedBytes(region, at, bytes), 1) && target.push(toTail, region, at, bytes);
  if (openedThere === 0) {
    if (!moved) created.drop();
    else moved = store(there);
  }
  if (!moved) return reply.error(Errors.outOfMemory);
  reply.bulk(region, at, bytes);
  if (list.count === 1) place.remove();
  else {
    list.remove(1);
    list.shrunk();
  }
  there.notify(pushEvent(toTail));
  tellTaken(place, popEvent(fromTail));
}

/** Moves an element of the open list to its other end, or its own, and replies with it. */
function rotate(call: Call, place: Place, fromTail: boolean, toTail: boolean): void {
  const { reply } = call;
  list.seek(fromTail ? list.count - 1 : 0);
  list.next();
  const { bytes } = list;
  if (fromTail === toTail || list.count === 1) {
    reply.bulk(list.region, list.start, bytes);
    return tellRotated(place, fromTail, toTail);
  }
  // The list changes under the element: it waits elsewhere meanwhile.
  const { allocator } = place;
  const held = bytes > SCRATCH_BYTES ? allocator.allocate(bytes) : 0;
  if (bytes > SCRATCH_BYTES && held === 0) return reply.error(Errors.outOfMemory);
  const region = held === 0 ? scratch : allocator.regionOf(held);
  const at = (held & Handle.GranuleMask) << Handle.GranuleShift;
  copyBytes(region, at, list.region, list.start, bytes);
  if (list.push(toTail, region, at, bytes)) {
    reply.bulk(region, at, bytes);
    list.seek(fromTail ? list.count - 1 : 0);
    list.remove(1);
    list.shrunk();
    tellRotated(place, fromTail, toTail);
  } else reply.error(Errors.outOfMemory);
  if (held !== 0) allocator.free(held);
}

function tellRotated(place: Place, fromTail: boolean, toTail: boolean): void {
  place.notify(pushEvent(toTail));
  place.notify(popEvent(fromTail));
}

const popsOf = ["RW", "access", "delete"];

function keyAt(first: number, ...flags: string[]): KeySpec {
  return { first, last: 0, step: 1, flags };
}

const family = {
  scope: Scope.Keys,
  tier: Tier.Collections,
  group: "list",
} as const;
const writesFast = { ...family, acl: ["write", "list", "fast"] } as const;
const writesSlow = { ...family, acl: ["write", "list", "slow"] } as const;
const reads = { ...family, flags: Flag.ReadOnly, acl: ["read", "list", "slow"] } as const;
const pushes = {
  ...writesFast,
  arity: -3,
  flags: Flag.Write | Flag.DenyOom | Flag.Fast,
  keys: [keyAt(1, "RW", "insert")],
  complexity: "O(N) where N is the number of elements added.",
  syntax: "key element [element ...]",
} as const;
const pops = {
  ...writesFast,
  arity: -2,
  flags: Flag.Write | Flag.Fast,
  keys: [keyAt(1, ...popsOf)],
  since: "1.0.0",
  complexity: "O(N) where N is the number of elements returned.",
  syntax: "key [count]",
} as const;
const moves = {
  ...writesSlow,
  flags: Flag.Write | Flag.DenyOom,
  keys: [keyAt(1, ...popsOf), keyAt(2, "RW", "insert")],
  complexity: "O(1)",
} as const;

export const listCommands: readonly Row[] = [
  {
    ...pushes,
    name: "lpush",
    since: "1.0.0",
    summary: "Puts elements before the first one of a list, one after the other, and returns its length.",
    handler: (call) => push(call, false, false),
  },
  {
    ...pushes,
    name: "rpush",
    since: "1.0.0",
    summary: "Appends elements to a list and returns its length.",
    handler: (call) => push(call, true, false),
  },
  {
    ...pushes,
    name: "lpushx",
    since: "2.2.0",
    summary: "Puts elements before the first one of a list if the list exists, and returns its length.",
    handler: (call) => push(call, false, true),
  },
  {
    ...pushes,
    name: "rpushx",
    since: "2.2.0",
    summary: "Appends elements to a list if it exists, and returns its length.",
    handler: (call) => push(call, true, true),
  },
  {
    ...pops,
    name: "lpop",
    summary: "Removes the first elements of a list and returns them.",
    handler: (call) => pop(call, false),
  },
  {
    ...pops,
    name: "rpop",
    summary: "Removes the last elements of a list and returns them, the last one first.",
    handler: (call) => pop(call, true),
  },
  {
    ...reads,
    name: "llen",
    arity: 2,
    flags: Flag.ReadOnly | Flag.Fast,
    keys: [keyAt(1, "RO")],
    acl: ["read", "list", "fast"],
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Returns how many elements a list has.",
    syntax: "key",
    optimistic: true,
    handler: llen,
  },
  {
    ...reads,
    name: "lrange",
    arity: 4,
    keys: [keyAt(1, "RO", "access")],
    since: "1.0.0",
    complexity: "O(S+N) where S is the distance to the nearer end and N the number of elements returned.",
    summary: "Returns the elements of a list from one index to another.",
    syntax: "key start stop",
    handler: lrange,
  },
  {
    ...reads,
    name: "lindex",
    arity: 3,
    keys: [keyAt(1, "RO", "access")],
    since: "1.0.0",
    complexity: "O(N) where N is the distance to the nearer end. O(1) for the first and the last element.",
    summary: "Returns the element of a list at an index.",
    syntax: "key index",
    handler: lindex,
  },
  {
    ...writesSlow,
    name: "lset",
    arity: 4,
    flags: Flag.Write | Flag.DenyOom,
    keys: [keyAt(1, "RW", "update")],
    since: "1.0.0",
    complexity: "O(N) where N is the distance to the nearer end. O(1) for the first and the last element.",
    summary: "Replaces the element of a list at an index.",
    syntax: "key index element",
    handler: lset,
  },
  {
    ...writesSlow,
    name: "linsert",
    arity: 5,
    flags: Flag.Write | Flag.DenyOom,
    keys: [keyAt(1, "RW", "insert")],
    since: "2.2.0",
    complexity: "O(N) where N is the number of elements before the pivot.",
    summary: "Puts an element before or after another one of a list.",
    syntax: "key BEFORE|AFTER pivot element",
    handler: linsert,
  },
  {
    ...writesSlow,
    name: "lrem",
    arity: 4,
    flags: Flag.Write,
    keys: [keyAt(1, "RW", "delete")],
    since: "1.0.0",
    complexity: "O(N+M) where N is the length of the list and M the number of elements removed.",
    summary: "Removes elements equal to a value from a list and returns how many.",
    syntax: "key count element",
    handler: lrem,
  },
  {
    ...writesSlow,
    name: "ltrim",
    arity: 4,
    flags: Flag.Write,
    keys: [keyAt(1, "RW", "delete")],
    since: "1.0.0",
    complexity: "O(N) where N is the number of elements removed.",
    summary: "Removes all elements of a list but those from one index to another.",
    syntax: "key start stop",
    handler: ltrim,
  },
  {
    ...reads,
    name: "lpos",
    arity: -3,
    keys: [keyAt(1, "RO", "access")],
    since: "6.0.6",
    complexity: "O(N) where N is the number of elements compared.",
    summary: "Returns the indexes of the elements of a list that equal a value.",
    syntax: "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
    handler: lpos,
  },
  {
    ...moves,
    name: "lmove",
    arity: 5,
    since: "6.2.0",
    summary: "Moves an element from an end of a list to an end of another one and returns it.",
    syntax: "source destination LEFT|RIGHT LEFT|RIGHT",
    handler: lmove,
  },
  {
    ...moves,
    name: "rpoplpush",
    arity: 3,
    since: "1.2.0",
    summary: "Moves the last element of a list to the front of another one and returns it.",
    syntax: "source destination",
    handler: (call) => moveElement(call, 1, 2, true, false),
  },
  {
    ...writesSlow,
    name: "lmpop",
    arity: -4,
    flags: Flag.Write | Flag.MovableKeys,
    keys: [{ numkeys: 1, first: 2, step: 1, flags: popsOf }],
    since: "7.0.0",
    complexity: "O(N+M) where N is the number of keys and M the number of elements returned.",
    summary: "Removes elements from an end of the first list that is there and returns them.",
    syntax: "numkeys key [key ...] LEFT|RIGHT [COUNT count]",
    handler: (call) => popOfFirst(call, 1),
  },
];
