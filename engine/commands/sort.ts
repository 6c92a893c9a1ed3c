// sort.ts: SORT and SORT_RO: the elements of a list, set or sorted set, ordered by themselves or by what keys named after
// them hold, and replied, with what other such keys hold, or stored as a list.
//
// What is to be sorted is read into an Ordering of weights (engine/types/ordering.ts), numbers or the first bytes of texts,
// with the elements as Texts (but for integers sorted as numbers, which their weights say): equal weights are in the order
// of elements' bytes, equal texts in the order they came. With BY a pattern without "*" nothing is sorted, and elements go
// to the reply as they are met.
// Patterns are Redis's, which are C strings: what follows a NUL counts for no "*" and no "->". Texts are compared as
// bytes, NULs included, where Redis uses strcoll unless it stores.
// A result that is stored is built as a list of no key, so the destination may be any key that is read, and stays as it
// is when memory is out. Its form is 8.0's.
// Runs under the lock of all shards. Allocates O(elements) of typed memory, and for weights that are no integers.
// Neighbours: engine/types has the collections; debug.ts and dump.ts walk collections too.
import { Flag, type KeySpec, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors } from "../../protocol/errors.ts";
import { Key } from "../memory/key.ts";
import { Form, Type } from "../memory/record.ts";
import { copyBytes, need, Region } from "../memory/region.ts";
import { Event } from "../shard/events.ts";
import type { Place } from "../shard/place.ts";
import { entryBytes } from "../types/chunk-list.ts";
import { parseDouble } from "../types/double.ts";
import { Hash } from "../types/hash.ts";
import { parseInteger, writeInteger } from "../types/integer.ts";
import { List } from "../types/list.ts";
import { Ordering, Texts } from "../types/ordering.ts";
import { MemberSet } from "../types/set.ts";
import { SortedSet } from "../types/sorted-set.ts";
import { Temporary } from "../types/temporary.ts";
import type { Call, Row } from "./call.ts";
import { scratch } from "./strings.ts";

const list = new List();
const members = new MemberSet();
const sorted = new SortedSet();
const hash = new Hash();

/** The result that is being stored. */
const temporary = new Temporary();
const result = new List();

/** The elements, and the texts that ALPHA with BY compares instead of them. */
const elements = new Texts();
const weights = new Texts();
const ordering = new Ordering();

const enum Bytes {
  /** What Redis reckons that an entry of a quicklist node costs beside its text. */
  Overhead = 8,
  /** Of a name made from a pattern: those that are kept, and the longest that there can be. */
  KeptName = 65536,
  LongestName = 1073741824,
}

/** Bytes of a text that ALPHA's key is made of. */
const KEYED = 6;

// Options

/** What the arguments ask for. */
const options = {
  descending: false,
  alpha: false,
  /** Whether a BY has no "*". */
  unsorted: false,
  /** Arguments that hold the last BY's pattern and the destination, 0 for none. */
  by: 0,
  store: 0,
  start: 0,
  count: -1,
};
/** Arguments that hold the patterns of GET. */
const gets: number[] = [];

/** Byte offset of the first NUL of argument `i`, or of its end. */
function textEnd(call: Call, i: number): number {
  const end = call.start[i]! + call.length[i]!;
  const nul = indexOf(call, 0, call.start[i]!, end);
  return nul < 0 ? end : nul;
}

/** Byte offset of the first `byte` in [from, end) of the arguments, -1 for none. */
function indexOf(call: Call, byte: number, from: number, end: number): number {
  const { u8 } = call.input;
  for (let at = from; at < end; at++) if (u8[at] === byte) return at;
  return -1;
}

const STAR = 42;

/** Byte offset of the "*" of pattern `i`, -1 when it has none. */
function starOf(call: Call, i: number): number {
  return indexOf(call, STAR, call.start[i]!, textEnd(call, i));
}

/** Reads the arguments. False after replying with an error. */
function readOptions(call: Call, mayStore: boolean): boolean {
  const { argc, input, reply } = call;
  options.descending = false;
  options.alpha = false;
  options.unsorted = false;
  options.by = 0;
  options.store = 0;
  options.start = 0;
  options.count = -1;
  gets.length = 0;
  for (let i = 2; i < argc; i++) {
    const left = argc - i - 1;
    if (call.is(i, "asc")) options.descending = false;
    else if (call.is(i, "desc")) options.descending = true;
    else if (call.is(i, "alpha")) options.alpha = true;
    else if (left >= 2 && call.is(i, "limit")) {
      options.start = parseInteger(input.u8, call.start[++i]!, call.length[i]!);
      options.count = parseInteger(input.u8, call.start[++i]!, call.length[i]!);
      if (Number.isNaN(options.start) || Number.isNaN(options.count)) {
        reply.error(Errors.notAnInteger);
        return false;
      }
    } else if (left >= 1 && mayStore && call.is(i, "store")) options.store = ++i;
    else if (left >= 1 && call.is(i, "by")) {
      options.by = ++i;
      if (starOf(call, i) < 0) options.unsorted = true;
    } else if (left >= 1 && call.is(i, "get")) gets.push(++i);
    else {
      reply.error(Errors.syntax);
      return false;
    }
  }
  return true;
}

// Patterns

/** The key that a pattern names, and its bytes. */
const key = new Key(need(Region.private(Bytes.KeptName), "names of keys to sort by"));
let name = key.region;

// What `lookUp` found.
let foundRegion = name;
let foundStart = 0;
let foundBytes = 0;

/** Room for a name of so many bytes in `name`. */
function roomForName(bytes: number): boolean {
  if (bytes <= name.bytes) return true;
  if (bytes > Bytes.LongestName) return false;
  const region = Region.private(2 ** Math.ceil(Math.log2(bytes)));
  if (region === null) return false;
  name.release(0, name.bytes);
  name = region;
  return true;
}

/** Looks up what pattern `i` names for an element. False when there is none: no such key or field, another type. */
function lookUp(call: Call, i: number, region: Region, start: number, bytes: number): boolean {
  const { input, keyspace, session } = call;
  const from = call.start[i]!;
  const end = from + call.length[i]!;
  const seen = textEnd(call, i);
  if (seen === from + 1 && input.u8[from] === 35) {
    foundRegion = region;
    foundStart = start;
    foundBytes = bytes;
    return true;
  }
  const star = indexOf(call, STAR, from, seen);
  if (star < 0) return false;
  // A field's name follows the first "->" behind the star, unless it is empty.
  let arrow = star + 1;
  while (arrow + 1 < seen && (input.u8[arrow] !== 45 || input.u8[arrow + 1] !== 62)) arrow++;
  const hasField = arrow + 2 < seen;
  const keyEnd = hasField ? arrow : end;

  const before = star - from;
  const after = keyEnd - star - 1;
  const total = before + bytes + after;
  if (!roomForName(total)) return false;
  copyBytes(name, 0, input, from, before);
  copyBytes(name, before, region, start, bytes);
  copyBytes(name, before + bytes, input, star + 1, after);
  key.set(name, 0, total);
  const shard = keyspace.shardOf(key.low);
  const place = call.placeAt(2);
  if (!place.find(shard, session.db, key)) {
    call.misses++;
    place.notify(Event.KeyMiss);
    return false;
  }
  call.hits++;
  if (!hasField) {
    if (place.type !== Type.String) return false;
    foundRegion = place.region;
    foundStart = place.valueStart;
    foundBytes = place.valueBytes;
    return true;
  }
  if (place.type !== Type.Hash) return false;
  hash.open(place, call.nowMs);
  if (!hash.find(input, arrow + 2, end - arrow - 2)) return false;
  foundRegion = hash.valueRegion;
  foundStart = hash.valueStart;
  foundBytes = hash.valueBytes;
  return true;
}

/** A text as a number, as strtod reads it: white space before it, nothing but a NUL behind it, and nothing at all is 0. NaN
 *  when it is none. */
function weightOf(region: Region, start: number, bytes: number): number {
  const { u8 } = region;
  const direct = parseDouble(u8, start, bytes);
  if (!Number.isNaN(direct)) return direct;
  let end = start;
  while (end < start + bytes && u8[end] !== 0) end++;
  if (end === start) return 0;
  let from = start;
  while (from < end && (u8[from] === 32 || (u8[from]! >= 9 && u8[from]! <= 13))) from++;
  return parseDouble(u8, from, end - from);
}

// The source: one of the three collections, as elements one after the other.

let sourceType: number = Type.List;
/** The element under the cursor. */
let region = name;
let start = 0;
let bytes = 0;

function openSource(place: Place): number {
  sourceType = place.type;
  if (sourceType === Type.List) {
    list.open(place);
    return list.count;
  }
  if (sourceType === Type.Set) {
    members.open(place);
    return members.count;
  }
  sorted.open(place);
  return sorted.count;
}

function adopt(from: List | MemberSet | SortedSet): boolean {
  region = from.region;
  start = from.start;
  bytes = from.bytes;
  return true;
}

/** Moves to element `index`, counted from the end with `down`. A set's are met in its own order. */
function seek(index: number, down: boolean): boolean {
  if (sourceType === Type.List) {
    list.seek(down ? list.count - 1 - index : index);
    return list.next() && adopt(list);
  }
  if (sourceType === Type.SortedSet)
    return sorted.seekRank(down ? sorted.count - 1 - index : index) && adopt(sorted);
  members.walk();
  for (let i = 0; i <= index; i++) if (!members.next()) return false;
  return adopt(members);
}

/** Moves to the element behind, with `down` to the one before. The caller counts. */
function step(down: boolean): boolean {
  if (sourceType === Type.List) return (down ? list.previous() : list.next()) && adopt(list);
  if (sourceType === Type.SortedSet) return (down ? sorted.previous() : sorted.next()) && adopt(sorted);
  return members.next() && adopt(members);
}

// The result

/** Adds a text to the list that will be stored. False when memory is out. */
function keep(from: Region, at: number, length: number): boolean {
  // Redis pushes to a quicklist, which a list stays that needed a second node.
  const cost = result.count === 0 ? entryBytes(from, at, length) : length + Bytes.Overhead;
  return result.expect(cost, 1) && result.push(true, from, at, length);
}

/** Replies or keeps what the options ask for of an element. False when memory is out. */
function put(call: Call, from: Region, at: number, length: number): boolean {
  const { reply } = call;
  const storing = options.store !== 0;
  if (gets.length === 0) {
    if (storing) return keep(from, at, length);
    reply.bulk(from, at, length);
    return true;
  }
  for (let i = 0; i < gets.length; i++) {
    const found = lookUp(call, gets[i]!, from, at, length);
    if (!storing) {
      if (found) reply.bulk(foundRegion, foundStart, foundBytes);
      else reply.nil();
    } else if (!keep(found ? foundRegion : from, found ? foundStart : at, found ? foundBytes : 0))
      return false;
  }
  return true;
}

/** Puts `count` elements from `first` on as they are met. */
function putUnsorted(call: Call, first: number, count: number): boolean {
  const down = options.descending && sourceType !== Type.Set;
  if (count === 0) return true;
  for (let more = seek(first, down), left = count; more; more = step(down)) {
    if (!put(call, region, start, bytes)) return false;
    if (--left === 0) break;
  }
  return true;
}

const enum Sorted {
  Done = 0,
  NoMemory = 1,
  NoNumber = 2,
}

/** Whether the elements that were sorted are in `ordering` as keys, and not in `elements`. */
let integral = false;

/** Sorts all elements into `ordering` if every one is the text of its number. False, and nothing done, when one is not. */
function sortIntegers(wanted: number): boolean {
  const sign = options.descending ? -1 : 1;
  ordering.begin(Math.max(1, wanted), null, 0, false);
  for (let more = seek(0, false); more; more = step(false)) {
    const value = parseInteger(region.u8, start, bytes);
    if (!Number.isSafeInteger(value)) return false;
    ordering.add(value * sign, 0);
  }
  ordering.sort();
  return true;
}

/** Sorts all elements into `elements` and `ordering`, of which the first `wanted` will be looked at. */
function sortAll(call: Call, wanted: number): Sorted {
  const { alpha, by, descending } = options;
  const sign = descending ? -1 : 1;
  const compared = alpha && by !== 0 ? weights : elements;
  ordering.begin(Math.max(1, wanted), compared, alpha ? KEYED : 0, descending);
  let number = 0;
  let numeric = true;
  for (let more = seek(0, false); more; more = step(false)) {
    if (!elements.add(region, start, bytes)) return Sorted.NoMemory;
    const found = by === 0 || lookUp(call, by, region, start, bytes);
    if (by === 0) {
      foundRegion = region;
      foundStart = start;
      foundBytes = bytes;
    }
    let key = 0;
    if (alpha) {
      if (by !== 0 && !weights.add(foundRegion, found ? foundStart : 0, found ? foundBytes : 0))
        return Sorted.NoMemory;
      key = found ? compared.sixBytes(number, 0) : -1;
    } else if (found) {
      key = weightOf(foundRegion, foundStart, foundBytes);
      if (Number.isNaN(key)) numeric = false;
    }
    ordering.add(key * sign, number++);
  }
  if (!numeric) return Sorted.NoNumber;
  ordering.sort();
  return Sorted.Done;
}

/** SORT and SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA] [STORE destination] */
function sort(call: Call, mayStore: boolean): void {
  const { place, reply } = call;
  if (!readOptions(call, mayStore)) return;
  const there = call.findPlaceRead(1, place);
  if (there && (place.type === Type.String || place.type === Type.Hash)) return reply.error(Errors.wrongType);
  const size = there ? openSource(place) : 0;
  // A set has no order of its own that could be stored.
  if (options.unsorted && there && sourceType === Type.Set && options.store !== 0) {
    options.unsorted = false;
    options.alpha = true;
    options.by = 0;
  }
  const first = Math.min(Math.max(options.start, 0), size);
  const count = options.count < 0 ? size - first : Math.min(options.count, size - first);

  const sorting = size > 0 && !options.unsorted;
  if (sorting) {
    integral = options.by === 0 && !options.alpha && sortIntegers(first + count);
    const outcome = integral ? Sorted.Done : sortAll(call, first + count);
    if (outcome !== Sorted.Done) {
      reply.error(outcome === Sorted.NoMemory ? Errors.outOfMemory : Errors.sortWeights);
      return finish();
    }
  }
  if (options.store === 0) reply.array(count * Math.max(1, gets.length));
  else {
    temporary.begin(call.locate(options.store).allocator, Type.List, Form.Packed, List.initialBytes);
    List.clear(temporary);
    result.open(temporary);
  }
  let whole = true;
  if (!sorting) whole = putUnsorted(call, first, count);
  else for (let i = first; whole && i < first + count; i++) whole = putSorted(call, i);
  if (options.store !== 0) store(call, whole);
  finish();
}

/** Puts element `i` of those that were sorted. */
function putSorted(call: Call, i: number): boolean {
  if (integral) {
    const value = ordering.keys[i]! * (options.descending ? -1 : 1);
    return put(call, scratch, 0, writeInteger(scratch.u8, 0, value));
  }
  elements.take(ordering.numbers[i]!);
  return put(call, elements.region, elements.start, elements.bytes);
}

/** Puts the result, if it is `whole`, under the destination, whatever is there, and replies with its length. */
function store(call: Call, whole: boolean): void {
  const { reply } = call;
  const place = call.placeAt(1);
  const found = call.findPlace(options.store, place);
  const { count } = result;
  if (!whole) {
    temporary.drop();
    return reply.error(Errors.outOfMemory);
  }
  if (count === 0) {
    temporary.drop();
    if (found) {
      place.remove();
      place.notify(Event.Del);
    }
  } else {
    if (!place.create(Type.List, temporary.form, temporary.valueBytes)) {
      temporary.drop();
      return reply.error(Errors.outOfMemory);
    }
    temporary.put(place);
    place.notify(Event.SortStore);
  }
  reply.integer(count);
}

/** Gives back what was made, but for what the next SORT will need too. */
function finish(): void {
  elements.clear();
  weights.clear();
  ordering.clear();
  if (name.bytes > Bytes.KeptName) name.release(Bytes.KeptName, name.bytes);
}

// Rows

const derived: KeySpec = {
  find: "unknown",
  flags: ["RO", "access"],
  notes:
    "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort",
};
const target: KeySpec = {
  find: "unknown",
  keyword: "STORE",
  flags: ["OW", "update"],
  notes:
    "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the argument array",
};
const source: KeySpec = { first: 1, last: 0, step: 1, flags: ["RO", "access"] };

/** Whether a call neither looks other keys up nor stores. */
function sortsOnly(call: Call): boolean {
  for (let i = 2; i < call.argc; i++)
    if (call.is(i, "by") || call.is(i, "get") || call.is(i, "store")) return false;
  return true;
}

const family = {
  arity: -2,
  scope: Scope.All,
  keysOnly: sortsOnly,
  tier: Tier.Collections,
  group: "generic",
  complexity: "O(N+M*log(M)) in all elements and those that are returned",
} as const;
const types = ["set", "sortedset", "list", "slow", "dangerous"];
const reading = "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]";

export const sortCommands: readonly Row[] = [
  {
    ...family,
    name: "sort",
    flags: Flag.Write | Flag.DenyOom | Flag.MovableKeys,
    keys: [source, derived, target],
    acl: ["write", ...types],
    since: "1.0.0",
    summary: "Sorts a list, set or sorted set, by its elements or by other keys, and returns or stores it.",
    syntax: `${reading} [STORE destination]`,
    handler: (call) => sort(call, true),
  },
  {
    ...family,
    name: "sort_ro",
    flags: Flag.ReadOnly | Flag.MovableKeys,
    keys: [source, derived],
    acl: ["read", ...types],
    since: "7.0.0",
    summary: "Sorts a list, set or sorted set, by its elements or by other keys, and returns it.",
    syntax: reading,
    handler: (call) => sort(call, false),
  },
];
