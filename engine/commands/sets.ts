// sets.ts: the commands on sets.
//
// Set algebra replies as it goes: a member is replied when a look into the other sets has told that it belongs, and the
// header is put in front at the end. Only a union or difference of very many sets, and what is stored, is built first: as
// a set of no key (engine/types/temporary.ts) in the memory of the shard that is to keep it, so that the destination
// may be a source and stays as it is when memory is out. What is stored takes the form that Redis 8.0 gives it.
// Invariants: a set that becomes empty is removed with its key; an out-of-memory error in the middle of SADD leaves what
// was added, everywhere else it means that nothing changed.
// On the data path: nothing allocates but SSCAN, whose cursor is text.
// Neighbours: engine/types/set.ts; paging.ts; the dispatcher has locked the shards of all keys.
import { Flag, type KeySpec, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors } from "../../protocol/errors.ts";
import type { Allocator } from "../memory/allocator.ts";
import { Form, Type } from "../memory/record.ts";
import { Event } from "../shard/events.ts";
import type { Place } from "../shard/place.ts";
import { MIN_INTEGER, parseBigInteger, parseInteger } from "../types/integer.ts";
import { MemberSet } from "../types/set.ts";
import { Temporary } from "../types/temporary.ts";
import type { Call, Row } from "./call.ts";
import { finishPage, moveToFront, page, pageTakes, readCursor, readPageOptions } from "./paging.ts";

/** The set of the command, or the one that set algebra walks. */
const members = new MemberSet();
/** Where SMOVE puts, and the sets that members are looked up in: the last stands for all from its number on. */
const others: readonly MemberSet[] = [new MemberSet(), new MemberSet(), new MemberSet()];
/** A set that belongs to no key. */
const temporary = new Temporary();
const result = new MemberSet();

/** Opens the set at argument 1 for a command that reads: 1 when it is there, 0 when it is absent, -1 after replying that the
 *  key holds another type. */
function openRead(call: Call): number {
  const opened = call.openPlaceRead(1, Type.Set, call.place);
  if (opened === 1) members.open(call.place);
  return opened;
}

function openWrite(call: Call): number {
  const opened = call.openPlace(1, Type.Set, call.place);
  if (opened === 1) members.open(call.place);
  return opened;
}

/** Whether argument `i` is a member of a set. */
function has(call: Call, set: MemberSet, i: number): boolean {
  return set.find(call.input, call.start[i]!, call.length[i]!);
}

/** Makes an empty set at a place, for about `count` members of which argument `i` is the first. False when memory is out. */
function create(call: Call, place: Place, set: MemberSet, count: number, i: number): boolean {
  const form = MemberSet.formFor(count, call.input, call.start[i]!, call.length[i]!);
  if (!place.create(Type.Set, form, MemberSet.initialBytes(form))) return false;
  set.clear(place);
  return true;
}

/** Removes the member that find or draw led to, and with the last one the key. Whether the set is still there. */
function remove(set: MemberSet, place: Place): boolean {
  if (set.count === 1) {
    place.remove();
    return false;
  }
  set.remove();
  return true;
}

/** Tells of what was taken from the collection at a place, and of the key if it went with the last element. */
export function tellTaken(place: Place, event: Event): void {
  place.notify(event);
  if (place.handle === 0) place.notify(Event.Del);
}

function replyMember(call: Call, set: MemberSet): void {
  call.reply.bulk(set.region, set.start, set.bytes);
}

/** Replies with the members of a set, without a header. */
function replyMembers(call: Call, set: MemberSet): void {
  set.walk();
  while (set.next()) replyMember(call, set);
}

// One set

/** SADD key member [member ...] */
function sadd(call: Call): void {
  const { argc, input, place, reply } = call;
  const opened = openWrite(call);
  if (opened === -1) return;
  if (opened === 1 ? !members.reserve(argc - 2) : !create(call, place, members, argc - 2, 2))
    return reply.error(Errors.outOfMemory);
  let count = 0;
  for (let i = 2; i < argc; i++) {
    const added = members.add(input, call.start[i]!, call.length[i]!);
    if (added < 0) {
      if (members.count === 0) place.remove();
      else if (count > 0) place.notify(Event.SAdd);
      return reply.error(Errors.outOfMemory);
    }
    count += added;
  }
  if (count > 0) place.notify(Event.SAdd);
  reply.integer(count);
}

/** SREM key member [member ...] */
function srem(call: Call): void {
  const opened = openWrite(call);
  if (opened === -1) return;
  let removed = 0;
  for (let i = 2; opened === 1 && i < call.argc; i++) {
    if (!has(call, members, i)) continue;
    removed++;
    if (!remove(members, call.place)) break;
  }
  if (removed > 0) tellTaken(call.place, Event.SRem);
  call.reply.integer(removed);
}

/** SCARD key */
function scard(call: Call): void {
  const opened = openRead(call);
  if (opened !== -1) call.reply.integer(opened === 0 ? 0 : members.count);
}

/** SISMEMBER key member */
function sismember(call: Call): void {
  const opened = openRead(call);
  if (opened !== -1) call.reply.integer(opened === 1 && has(call, members, 2) ? 1 : 0);
}

/** SMISMEMBER key member [member ...] */
function smismember(call: Call): void {
  const opened = openRead(call);
  if (opened === -1) return;
  call.reply.array(call.argc - 2);
  for (let i = 2; i < call.argc; i++) call.reply.integer(opened === 1 && has(call, members, i) ? 1 : 0);
}

/** SMEMBERS key */
function smembers(call: Call): void {
  const opened = openRead(call);
  if (opened === -1) return;
  call.reply.set(opened === 0 ? 0 : members.count);
  if (opened === 1) replyMembers(call, members);
}

/** SSCAN key cursor [MATCH pattern] [COUNT count] */
function sscan(call: Call): void {
  const { reply } = call;
  const cursor = readCursor(call, 2);
  if (cursor < 0) return reply.error(Errors.invalidCursor);
  const opened = openRead(call);
  if (opened === -1) return;
  if (opened === 0) return finishPage(call, reply.at, 0, 0);
  if (!readPageOptions(call, 3, false, "")) return;
  const from = reply.at;
  let next = 0;
  let count = 0;
  if (members.large) {
    let picked = 0;
    next = cursor;
    do {
      if (!members.scanPage(next, page.wanted - picked)) {
        next = 0;
        break;
      }
      while (members.scanNext()) {
        picked++;
        if (!pageTakes(call, members.region, members.start, members.bytes)) continue;
        replyMember(call, members);
        count++;
      }
      next = members.scanCursor;
    } while (next !== 0 && picked < page.wanted);
  } else {
    members.walk();
    while (members.next()) {
      if (!pageTakes(call, members.region, members.start, members.bytes)) continue;
      replyMember(call, members);
      count++;
    }
  }
  finishPage(call, from, next, count);
}

/** SMOVE source destination member */
function smove(call: Call): void {
  const { input, reply } = call;
  const source = call.placeAt(0);
  const target = call.placeAt(1);
  const opened = openWrite(call);
  if (opened === -1) return;
  if (opened === 0) return reply.integer(0);
  const there = call.openPlace(2, Type.Set, target);
  if (there === -1) return;
  const found = has(call, members, 3);
  if (!found || (there === 1 && target.handle === source.handle && target.shard === source.shard))
    return reply.integer(found ? 1 : 0);
  const moved = others[0]!;
  if (there === 1) moved.open(target);
  else if (!createUntold(call, target, moved)) return reply.error(Errors.outOfMemory);
  const added = moved.add(input, call.start[3]!, call.length[3]!);
  if (added < 0) {
    if (there === 0) target.remove();
    return reply.error(Errors.outOfMemory);
  }
  remove(members, source);
  tellTaken(source, Event.SRem);
  if (there === 0) target.notify(Event.New);
  if (added > 0) target.notify(Event.SAdd);
  reply.integer(1);
}

/** Makes an empty set for argument 3 at a place, and does not tell of the new key: Redis does after the member has left its
 *  old set, and here the member has to stay there as long as memory for the new one may be out. */
function createUntold(call: Call, place: Place, set: MemberSet): boolean {
  const { shard } = place;
  const { sink } = shard;
  shard.sink = null;
  const created = create(call, place, set, 1, 3);
  shard.sink = sink;
  return created;
}

// Chance

/** SPOP key [count] */
function spop(call: Call): void {
  const { argc, place, reply } = call;
  if (argc > 3) return reply.error(Errors.syntax);
  const count = argc === 3 ? parseInteger(call.input.u8, call.start[2]!, call.length[2]!) : 1;
  if (!(count >= 0)) return reply.error(Errors.notPositive);
  const opened = openWrite(call);
  if (opened === -1) return;
  if (argc === 2) {
    if (opened === 0) return reply.nil();
    popOne(call);
    return tellTaken(place, Event.SPop);
  }
  if (opened === 0 || count === 0) return reply.set(0);
  const size = members.count;
  reply.set(Math.min(count, size));
  if (count >= size) {
    replyMembers(call, members);
    place.remove();
  } else if (!members.large) popSample(call, count);
  else if ((size - count) * 5 > count || !popMost(call, size - count))
    for (let i = 0; i < count; i++) popOne(call);
  tellTaken(place, Event.SPop);
}

function popOne(call: Call): void {
  members.draw(Math.random(), Math.random());
  replyMember(call, members);
  remove(members, call.place);
}

/** Takes `count` members out of a small set in one pass: each with the chance that is left to it. */
function popSample(call: Call, count: number): void {
  let wanted = count;
  let left = members.count;
  members.sweep();
  while (members.next()) {
    if (Math.random() * left-- < wanted) {
      wanted--;
      replyMember(call, members);
      members.dropMember();
    } else members.keepMember();
  }
  members.endSweep();
}

/** Takes all but a few members out of a large set: draws those that stay, and makes a new set of them, which is small again
 *  if it can be, as in Redis. False, and nothing done, when there is no memory for them. */
function popMost(call: Call, remaining: number): boolean {
  const { place } = call;
  begin(place.allocator, Form.Packed);
  while (result.count < remaining) {
    members.draw(Math.random(), Math.random());
    if (result.add(members.region, members.start, members.bytes) >= 0) continue;
    temporary.drop();
    return false;
  }
  members.walk();
  while (members.next())
    if (!result.find(members.region, members.start, members.bytes)) replyMember(call, members);
  if (place.create(Type.Set, temporary.form, temporary.valueBytes, place.deadlineMs)) {
    temporary.put(place);
    return true;
  }
  // Without memory for another record the set keeps its form.
  members.sweep();
  while (members.next()) if (!result.find(members.region, members.start, members.bytes)) members.dropMember();
  members.endSweep();
  temporary.drop();
  return true;
}

/** SRANDMEMBER key [count] */
function srandmember(call: Call): void {
  const { argc, reply } = call;
  if (argc > 3) return reply.error(Errors.syntax);
  if (argc === 2) {
    const opened = openRead(call);
    if (opened === -1) return;
    if (opened === 0) return reply.nil();
    members.draw(Math.random(), Math.random());
    return replyMember(call, members);
  }
  const count = parseInteger(call.input.u8, call.start[2]!, call.length[2]!);
  if (Number.isNaN(count)) return reply.error(Errors.notAnInteger);
  if (count === Number.NEGATIVE_INFINITY && isLeast(call, 2)) return reply.error(Errors.countOutOfRange);
  const opened = openRead(call);
  if (opened === -1) return;
  if (opened === 0 || count === 0) return reply.array(0);
  if (count < 0) {
    const draws = Math.min(-count, Number.MAX_SAFE_INTEGER);
    reply.array(draws);
    for (let i = 0; i < draws && !reply.overflow; i++) {
      members.draw(Math.random(), Math.random());
      replyMember(call, members);
    }
    return;
  }
  const size = members.count;
  reply.array(Math.min(count, size));
  if (count >= size) return replyMembers(call, members);
  // A sample is one pass over the set, so a few of many members are drawn, and drawn again when they were drawn before.
  if (!members.large || count * 3 > size || !drawDistinct(call, count)) replySample(call, count);
}

/** Whether argument `i`, an integer, is the smallest of 64 bits. */
function isLeast(call: Call, i: number): boolean {
  return parseBigInteger(call.input.u8, call.start[i]!, call.length[i]!) === MIN_INTEGER;
}

function replySample(call: Call, count: number): void {
  let wanted = count;
  let left = members.count;
  members.walk();
  while (wanted > 0 && members.next())
    if (Math.random() * left-- < wanted) {
      wanted--;
      replyMember(call, members);
    }
}

/** Replies with distinct members of a large set. False, and nothing replied, when there is no memory to remember them. */
function drawDistinct(call: Call, count: number): boolean {
  begin(call.place.allocator, Form.Pages);
  let enough = true;
  while (enough && result.count < count) {
    members.draw(Math.random(), Math.random());
    enough = result.add(members.region, members.start, members.bytes) >= 0;
  }
  if (enough) replyMembers(call, result);
  temporary.drop();
  return enough;
}

// Several sets

/** Sets that argument `load` has found, at places 1 .. sources; place 0 is the destination's. */
let sources = 0;
let absent = 0;
/** Whether the first key is absent. */
let firstAbsent = false;

/** Finds the sets at `keys` arguments from `first` on. False after replying that one is of another type. */
function load(call: Call, first: number, keys: number): boolean {
  sources = 0;
  absent = 0;
  firstAbsent = false;
  for (let i = 0; i < keys; i++) {
    const opened = call.openPlaceRead(first + i, Type.Set, call.placeAt(sources + 1));
    if (opened === -1) return false;
    if (opened === 1) sources++;
    else {
      absent++;
      if (i === 0) firstAbsent = true;
    }
  }
  for (let i = 1; i <= sources && i < others.length; i++) others[i - 1]!.open(call.placeAt(i));
  return true;
}

/** The set at place `i`, for looking members up. */
function source(call: Call, i: number): MemberSet {
  if (i < others.length) return others[i - 1]!;
  const set = others[others.length - 1]!;
  set.open(call.placeAt(i));
  return set;
}

/** The number of the places [from, to) whose set first says `found` of the member under the cursor of `members`; `to` when
 *  none does. */
function firstOf(call: Call, from: number, to: number, found: boolean, but: number): number {
  for (let i = from; i < to; i++)
    if (i !== but && source(call, i).find(members.region, members.start, members.bytes) === found) return i;
  return to;
}

/** Begins a set of no key. */
function begin(allocator: Allocator, form: Form): void {
  temporary.begin(allocator, Type.Set, form, MemberSet.initialBytes(form));
  result.clear(temporary);
}

/** Puts the set of no key under argument 1, whatever is there, tells of it and replies with its size. */
function store(call: Call, event: Event): void {
  const { reply } = call;
  const place = call.placeAt(0);
  const found = call.findPlace(1, place);
  const { count } = result;
  if (count === 0) {
    temporary.drop();
    if (found) {
      place.remove();
      place.notify(Event.Del);
    }
  } else {
    if (!place.create(Type.Set, temporary.form, temporary.valueBytes)) return refuse(call);
    temporary.put(place);
    place.notify(event);
  }
  reply.integer(count);
}

/** Memory is out: what was made is given back, and nothing has changed. */
function refuse(call: Call): void {
  temporary.drop();
  call.reply.error(Errors.outOfMemory);
}

/** Begins a reply of members whose number is not known yet: where it begins. */
function beginMembers(call: Call): number {
  call.reply.direct = false; // it is moved at the end
  return call.reply.at;
}

function endMembers(call: Call, from: number, count: number): void {
  const body = call.reply.at;
  call.reply.set(count);
  moveToFront(call.reply, from, body);
}

const enum To {
  Reply = 0,
  Destination = 1,
  Count = 2,
}

/** SINTER, SINTERSTORE and SINTERCARD of the sets at `keys` arguments from `first` on; at most `limit` members, 0 for all. */
function intersect(call: Call, first: number, keys: number, to: To, limit: number): void {
  const { reply } = call;
  if (!load(call, first, keys)) return;
  const storing = to === To.Destination;
  // The smallest set is walked, so that the least is looked up.
  let walked = 1;
  for (let i = 1, least = Number.POSITIVE_INFINITY; i <= sources; i++) {
    const { count } = source(call, i);
    if (count < least) {
      least = count;
      walked = i;
    }
  }
  if (storing) begin(call.locate(1).allocator, Form.Packed);
  const from = to === To.Reply ? beginMembers(call) : 0;
  let count = 0;
  if (absent === 0) {
    members.open(call.placeAt(walked));
    if (storing && members.integral) begin(temporary.allocator, Form.Integers);
    let integral = true;
    members.walk();
    while (members.next()) {
      if (firstOf(call, 1, sources + 1, false, walked) <= sources) continue;
      count++;
      if (to === To.Reply) replyMember(call, members);
      else if (to === To.Count) {
        if (count === limit) break;
      } else {
        const { region, start, bytes } = members;
        if (result.add(region, start, bytes) < 0) return refuse(call);
        integral &&= members.integral || !Number.isNaN(parseInteger(region.u8, start, bytes));
      }
    }
    if (storing && integral) result.toIntegers();
  }
  if (to === To.Reply) endMembers(call, from, count);
  else if (to === To.Count) reply.integer(count);
  else store(call, Event.SInterStore);
}

/** Up to so many sets a union looks each member up in those before its own, instead of collecting all. */
const FEW_SETS = 8;

/** Adds the members of place `i` to the set of no key, or (with `remove`) takes them out. False when memory is out. */
function merge(call: Call, i: number, remove: boolean): boolean {
  members.open(call.placeAt(i));
  members.walk();
  while (members.next()) {
    const { region, start, bytes } = members;
    if (!remove) {
      if (result.add(region, start, bytes) < 0) return false;
    } else if (result.find(region, start, bytes)) result.remove();
  }
  return true;
}

/** Ends a command that collected its members first: stores them, which is `event`, or replies with them. */
function finishCollected(call: Call, storing: boolean, event: Event): void {
  if (storing) return store(call, event);
  call.reply.set(result.count);
  replyMembers(call, result);
  temporary.drop();
}

/** SUNION and SUNIONSTORE of the sets at the arguments from `first` on. */
function unite(call: Call, first: number): void {
  if (!load(call, first, call.argc - first)) return;
  const storing = first > 1;
  if (storing || sources > FEW_SETS) {
    begin(call.locate(1).allocator, storing ? Form.Integers : Form.Pages);
    for (let i = 1; i <= sources; i++) if (!merge(call, i, false)) return refuse(call);
    return finishCollected(call, storing, Event.SUnionStore);
  }
  const from = beginMembers(call);
  let count = 0;
  for (let i = 1; i <= sources; i++) {
    members.open(call.placeAt(i));
    members.walk();
    while (members.next()) {
      if (firstOf(call, 1, i, true, 0) < i) continue;
      replyMember(call, members);
      count++;
    }
  }
  endMembers(call, from, count);
}

/** SDIFF and SDIFFSTORE of the sets at the arguments from `first` on. */
function subtract(call: Call, first: number): void {
  if (!load(call, first, call.argc - first)) return;
  const storing = first > 1;
  if (storing) begin(call.locate(1).allocator, Form.Integers);
  if (firstAbsent) return storing ? store(call, Event.SDiffStore) : call.reply.set(0);
  // Each member of the first set looked up in all, or all taken out of the first: Redis's choice, because what is stored
  // may owe its form to it.
  const size = source(call, 1).count;
  let total = 0;
  for (let i = 1; i <= sources; i++) total += source(call, i).count;
  if (Math.floor((size * sources) / 2) > total) {
    if (!storing) begin(call.locate(1).allocator, Form.Pages);
    for (let i = 1; i <= sources; i++) if (!merge(call, i, i > 1)) return refuse(call);
    return finishCollected(call, storing, Event.SDiffStore);
  }
  const from = storing ? 0 : beginMembers(call);
  let count = 0;
  members.open(call.placeAt(1));
  members.walk();
  while (members.next()) {
    if (firstOf(call, 2, sources + 1, true, 0) <= sources) continue;
    count++;
    if (!storing) replyMember(call, members);
    else if (result.add(members.region, members.start, members.bytes) < 0) return refuse(call);
  }
  if (storing) store(call, Event.SDiffStore);
  else endMembers(call, from, count);
}

/** SINTERCARD numkeys key [key ...] [LIMIT limit] */
function sintercard(call: Call): void {
  const { argc, reply } = call;
  const keys = parseInteger(call.input.u8, call.start[1]!, call.length[1]!);
  if (!(keys >= 1)) return reply.error(Errors.numkeysPositive);
  if (keys > argc - 2) return reply.error(Errors.tooManyKeys);
  let limit = 0;
  for (let i = 2 + keys; i < argc; i++) {
    if (!call.is(i, "limit") || i + 1 === argc) return reply.error(Errors.syntax);
    limit = parseInteger(call.input.u8, call.start[++i]!, call.length[i]!);
    if (!(limit >= 0)) return reply.error(Errors.negativeLimit);
  }
  intersect(call, 2, keys, To.Count, limit);
}

// Rows

function one(...flags: readonly string[]): readonly KeySpec[] {
  return [{ first: 1, last: 0, step: 1, flags }];
}

/** A destination, and sources from the second argument on. */
function stored(...flags: readonly string[]): readonly KeySpec[] {
  return [
    { first: 1, last: 0, step: 1, flags },
    { first: 2, last: -1, step: 1, flags: ["RO", "access"] },
  ];
}

const all: readonly KeySpec[] = [{ first: 1, last: -1, step: 1, flags: ["RO", "access"] }];

const family = {
  scope: Scope.Keys,
  tier: Tier.Collections,
  group: "set",
  since: "1.0.0",
} as const;
const readFast = { ...family, flags: Flag.ReadOnly | Flag.Fast, acl: ["read", "set", "fast"] } as const;
const readSlow = { ...family, flags: Flag.ReadOnly, acl: ["read", "set", "slow"] } as const;
const writeFast = { ...family, flags: Flag.Write | Flag.Fast, acl: ["write", "set", "fast"] } as const;
const writeStored = {
  ...family,
  flags: Flag.Write | Flag.DenyOom,
  acl: ["write", "set", "slow"],
  arity: -3,
  syntax: "destination key [key ...]",
} as const;
const overAll = "O(N) in the members of all sets; looking up costs N*M with few sets";
const overSmallest = "O(N*M) in the members of the smallest set and the number of sets";

export const setCommands: readonly Row[] = [
  {
    ...writeFast,
    name: "sadd",
    arity: -3,
    flags: Flag.Write | Flag.DenyOom | Flag.Fast,
    keys: one("RW", "insert"),
    complexity: "O(N) in the number of members given",
    summary: "Adds members to a set, which is created if it is not there.",
    syntax: "key member [member ...]",
    handler: sadd,
  },
  {
    ...writeFast,
    name: "srem",
    arity: -3,
    keys: one("RW", "delete"),
    complexity: "O(N) in the number of members given",
    summary: "Removes members from a set, and the set with its last.",
    syntax: "key member [member ...]",
    handler: srem,
  },
  {
    ...readSlow,
    name: "smembers",
    arity: 2,
    keys: one("RO", "access"),
    complexity: "O(N) in the members of the set",
    summary: "Returns all members of a set.",
    syntax: "key",
    handler: smembers,
  },
  {
    ...readFast,
    name: "sismember",
    arity: 3,
    keys: one("RO"),
    complexity: "O(1)",
    summary: "Tells whether something is a member of a set.",
    syntax: "key member",
    optimistic: true,
    handler: sismember,
  },
  {
    ...readFast,
    name: "smismember",
    arity: -3,
    keys: one("RO", "access"),
    since: "6.2.0",
    complexity: "O(N) in the number of members asked for",
    summary: "Tells of several things whether they are members of a set.",
    syntax: "key member [member ...]",
    optimistic: true,
    handler: smismember,
  },
  {
    ...readFast,
    name: "scard",
    arity: 2,
    keys: one("RO"),
    complexity: "O(1)",
    summary: "Returns how many members a set has.",
    syntax: "key",
    optimistic: true,
    handler: scard,
  },
  {
    ...writeFast,
    name: "spop",
    arity: -2,
    keys: one("RW", "access", "delete"),
    complexity: "O(N) in the number of members taken",
    summary: "Removes members at random from a set and returns them.",
    syntax: "key [count]",
    handler: spop,
  },
  {
    ...readSlow,
    name: "srandmember",
    arity: -2,
    keys: one("RO", "access"),
    complexity: "O(N) in the number of members asked for",
    summary: "Returns members of a set at random: distinct ones, or with a negative count any.",
    syntax: "key [count]",
    handler: srandmember,
  },
  {
    ...writeFast,
    name: "smove",
    arity: 4,
    keys: [
      { first: 1, last: 0, step: 1, flags: ["RW", "access", "delete"] },
      { first: 2, last: 0, step: 1, flags: ["RW", "insert"] },
    ],
    complexity: "O(1)",
    summary: "Moves a member from one set to another.",
    syntax: "source destination member",
    handler: smove,
  },
  {
    ...readSlow,
    name: "sinter",
    arity: -2,
    keys: all,
    complexity: overSmallest,
    summary: "Returns the members that all of several sets have.",
    syntax: "key [key ...]",
    handler: (call) => intersect(call, 1, call.argc - 1, To.Reply, 0),
  },
  {
    ...readSlow,
    name: "sunion",
    arity: -2,
    keys: all,
    complexity: overAll,
    summary: "Returns the members that any of several sets has.",
    syntax: "key [key ...]",
    handler: (call) => unite(call, 1),
  },
  {
    ...readSlow,
    name: "sdiff",
    arity: -2,
    keys: all,
    complexity: overAll,
    summary: "Returns the members of the first set that no other has.",
    syntax: "key [key ...]",
    handler: (call) => subtract(call, 1),
  },
  {
    ...writeStored,
    name: "sinterstore",
    keys: stored("RW", "update"),
    complexity: overSmallest,
    summary: "Stores the members that all of several sets have.",
    handler: (call) => intersect(call, 2, call.argc - 2, To.Destination, 0),
  },
  {
    ...writeStored,
    name: "sunionstore",
    keys: stored("OW", "update"),
    complexity: overAll,
    summary: "Stores the members that any of several sets has.",
    handler: (call) => unite(call, 2),
  },
  {
    ...writeStored,
    name: "sdiffstore",
    keys: stored("OW", "update"),
    complexity: overAll,
    summary: "Stores the members of the first set that no other has.",
    handler: (call) => subtract(call, 2),
  },
  {
    ...readSlow,
    name: "sintercard",
    arity: -3,
    flags: Flag.ReadOnly | Flag.MovableKeys,
    keys: [{ numkeys: 1, first: 2, step: 1, flags: ["RO", "access"] }],
    since: "7.0.0",
    complexity: overSmallest,
    summary: "Counts the members that all of several sets have, up to a limit.",
    syntax: "numkeys key [key ...] [LIMIT limit]",
    handler: sintercard,
  },
  {
    ...readSlow,
    name: "sscan",
    arity: -3,
    keys: one("RO", "access"),
    since: "2.8.0",
    complexity: "O(1) a call, O(N) for the whole set",
    summary: "Walks the members of a set, a page a call.",
    syntax: "key cursor [MATCH pattern] [COUNT count]",
    handler: sscan,
  },
];
