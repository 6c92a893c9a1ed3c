// sorted-set-algebra.ts: union, intersection and difference of sorted sets and sets, whose members count as of score 1.
//
// Every result but ZINTERCARD's is built first, as a sorted set of no key (sorted-sets.ts), then replied or stored: the
// destination may be a source, and an out-of-memory error means that nothing changed.
// Invariants: keys are opened, and their types checked, before options are read; scores are added in the order in which
// Redis adds them (the smallest source first, equals as they were given), since sums of floats depend on it.
// A source is a shard and a handle; two objects serve all sources, one that is walked and one that is asked.
// Not a hot path: a call sorts its sources, for which it makes one object.
// Neighbours: sorted-sets.ts; engine/types/sorted-set.ts and set.ts.
import { Flag, type KeySpec } from "../../protocol/command-row.ts";
import { atLeastOneKey, Errors } from "../../protocol/errors.ts";
import { Type } from "../memory/record.ts";
import type { Region } from "../memory/region.ts";
import { Event } from "../shard/events.ts";
import { Place } from "../shard/place.ts";
import { parseDouble } from "../types/double.ts";
import { parseInteger } from "../types/integer.ts";
import { MemberSet } from "../types/set.ts";
import { SortedSet } from "../types/sorted-set.ts";
import type { Call, Row } from "./call.ts";
import {
  beginResult,
  dropResult,
  family,
  readCount,
  readSlow,
  refuseResult,
  replyElements,
  replyHeader,
  result,
  storeResult,
} from "./sorted-sets.ts";

const enum Operation {
  Union = 0,
  Intersection = 1,
  Difference = 2,
  /** How many elements the intersection has. */
  Cardinality = 3,
}

const enum Aggregate {
  Sum = 0,
  Least = 1,
  Greatest = 2,
}

/** A source that is read: a sorted set, a set, or nothing. */
class Source {
  private place: Place | null = null;
  private readonly sorted = new SortedSet();
  private readonly members = new MemberSet();
  private type = 0;
  private begun = false;
  /** The element under the cursor. */
  region: Region = this.sorted.region;
  start = 0;
  bytes = 0;
  score = 1;

  /** Opens source `number`. False when it is of another type. */
  open(call: Call, number: number): boolean {
    this.type = 0;
    const handle = handles[number]!;
    if (handle === 0) return true;
    const shard = call.keyspace.shards[shards[number]!]!;
    if (this.place === null) this.place = new Place(shard);
    const { place } = this;
    place.openHandle(shard, handle);
    this.type = place.type;
    this.begun = false;
    if (this.type === Type.SortedSet) this.sorted.open(place);
    else if (this.type === Type.Set) this.members.open(place);
    else return false;
    return true;
  }

  get count(): number {
    if (this.type === 0) return 0;
    return this.type === Type.SortedSet ? this.sorted.count : this.members.count;
  }

  /** Moves to the next element; the first time after `open` to the first. */
  next(): boolean {
    if (this.type === 0) return false;
    const { begun } = this;
    this.begun = true;
    if (this.type === Type.SortedSet) {
      const { sorted } = this;
      if (!(begun ? sorted.next() : sorted.seekRank(0))) return false;
      this.region = sorted.region;
      this.start = sorted.start;
      this.bytes = sorted.bytes;
      this.score = sorted.score;
      return true;
    }
    const { members } = this;
    if (!begun) members.walk();
    if (!members.next()) return false;
    this.region = members.region;
    this.start = members.start;
    this.bytes = members.bytes;
    this.score = 1;
    return true;
  }

  /** Whether the source has the member; `score` is then its. */
  find(region: Region, start: number, bytes: number): boolean {
    if (this.type === Type.SortedSet) {
      if (!this.sorted.find(region, start, bytes)) return false;
      this.score = this.sorted.score;
      return true;
    }
    this.score = 1;
    return this.type === Type.Set && this.members.find(region, start, bytes);
  }
}

const walked = new Source();
const asked = new Source();
/** The source that `asked` is open at, -1 for none of this call's. */
let asking = -1;

// The sources of the call, by number.
let handles = new Uint32Array(16);
let shards = new Uint32Array(16);
let weights = new Float64Array(16);
let counts = new Float64Array(16);
/** Their numbers in the order in which they are taken. */
let order = new Uint32Array(16);

let aggregate: Aggregate = Aggregate.Sum;
let withScores = false;
let limit = 0;

/** Finds the sources at `keys` arguments from `from` on. False after replying that one is of another type. */
function load(call: Call, from: number, keys: number): boolean {
  asking = -1;
  if (keys > handles.length) {
    const room = 2 ** Math.ceil(Math.log2(keys));
    handles = new Uint32Array(room);
    shards = new Uint32Array(room);
    weights = new Float64Array(room);
    counts = new Float64Array(room);
    order = new Uint32Array(room);
  }
  for (let i = 0; i < keys; i++) {
    handles[i] = call.findRead(from + i);
    shards[i] = call.keyspace.numberOf(call.key.low);
    weights[i] = 1;
    order[i] = i;
    if (!walked.open(call, i)) {
      call.reply.error(Errors.wrongType);
      return false;
    }
    counts[i] = walked.count;
  }
  return true;
}

/** Reads the options from argument `i` on. False after replying with an error. */
function readOptions(call: Call, i: number, operation: Operation, keys: number, store: boolean): boolean {
  const { argc, input, length, reply, start } = call;
  const scored = operation === Operation.Union || operation === Operation.Intersection;
  aggregate = Aggregate.Sum;
  withScores = false;
  limit = 0;
  while (i < argc) {
    if (scored && i + keys < argc && call.is(i, "weights")) {
      i++;
      for (let source = 0; source < keys; source++, i++) {
        const weight = parseDouble(input.u8, start[i]!, length[i]!);
        if (Number.isNaN(weight)) {
          reply.error(Errors.weightNotAFloat);
          return false;
        }
        weights[source] = weight;
      }
    } else if (scored && i + 1 < argc && call.is(i, "aggregate") && readAggregate(call, i + 1)) i += 2;
    else if (operation !== Operation.Cardinality && !store && call.is(i, "withscores")) {
      withScores = true;
      i++;
    } else if (operation === Operation.Cardinality && i + 1 < argc && call.is(i, "limit")) {
      limit = readCount(call, i + 1, 0, Errors.negativeLimit);
      if (limit < 0) return false;
      i += 2;
    } else {
      reply.error(Errors.syntax);
      return false;
    }
  }
  return true;
}

function readAggregate(call: Call, i: number): boolean {
  if (call.is(i, "sum")) aggregate = Aggregate.Sum;
  else if (call.is(i, "min")) aggregate = Aggregate.Least;
  else if (call.is(i, "max")) aggregate = Aggregate.Greatest;
  else return false;
  return true;
}

/** Two scores of a member as one. The sum of the infinities is 0, and so is every sum with what is no number. */
function aggregated(score: number, other: number): number {
  if (aggregate === Aggregate.Sum) return orZero(score + other);
  // Not Math.min and Math.max: what is no number loses.
  const taken = aggregate === Aggregate.Least ? other < score : other > score;
  return taken ? other : score;
}

function orZero(score: number): number {
  return Number.isNaN(score) ? 0 : score;
}

/** ZUNION, ZINTER, ZDIFF and ZINTERCARD, whose number of keys is argument 1; with `store` it is argument 2, and what comes of
 *  it is stored under the key in argument 1. */
function combine(call: Call, operation: Operation, store: boolean): void {
  const { argc, reply } = call;
  const from = store ? 3 : 2;
  const keys = parseInteger(call.input.u8, call.start[from - 1]!, call.length[from - 1]!);
  if (Number.isNaN(keys)) return reply.error(Errors.notAnInteger);
  if (keys < 1) return reply.error(atLeastOneKey(call.row.name));
  if (keys > argc - from) return reply.error(Errors.syntax);
  if (!load(call, from, keys)) return;
  if (!readOptions(call, from + keys, operation, keys, store)) return;
  if (operation !== Operation.Difference)
    order.subarray(0, keys).sort((a, b) => counts[a]! - counts[b]! || a - b);
  if (operation === Operation.Cardinality) return reply.integer(intersect(call, keys, false));

  beginResult(call.locate(store ? 1 : from).allocator);
  const enough =
    operation === Operation.Union
      ? unite(call, keys)
      : operation === Operation.Difference
        ? subtract(call, keys)
        : intersect(call, keys, true) >= 0;
  if (!enough) return refuseResult(call);
  if (store) return storeResult(call, 1, call.placeAt(1), storeEvent(operation));
  replyHeader(call, result.count, withScores);
  replyElements(call, result, 0, result.count, false, withScores, reply.resp3);
  dropResult();
}

function storeEvent(operation: Operation): Event {
  if (operation === Operation.Union) return Event.ZUnionStore;
  return operation === Operation.Difference ? Event.ZDiffStore : Event.ZInterStore;
}

/** Builds the union. False when memory is out. */
function unite(call: Call, keys: number): boolean {
  for (let i = 0; i < keys; i++) {
    const number = order[i]!;
    walked.open(call, number);
    while (walked.next()) {
      const { region, start, bytes } = walked;
      const score = orZero(walked.score * weights[number]!);
      const enough = result.find(region, start, bytes)
        ? result.update(aggregated(result.score, score), region, start, bytes)
        : result.insert(score, region, start, bytes);
      if (!enough) return false;
    }
  }
  return true;
}

/** Builds the intersection, or with `build` false only counts it, up to `limit`. How many elements it has, -1 when memory
 *  is out. */
function intersect(call: Call, keys: number, build: boolean): number {
  let found = 0;
  walked.open(call, order[0]!);
  while (walked.next()) {
    let score = orZero(walked.score * weights[order[0]!]!);
    let i = 1;
    for (; i < keys; i++) {
      if (!inSource(call, order[i]!)) break;
      score = aggregated(score, asked.score * weights[order[i]!]!);
    }
    if (i < keys) continue;
    found++;
    if (build && !addElement(score)) return -1;
    if (found === limit) break;
  }
  return found;
}

/** Whether a source has the member of the walk; `asked` is then at it. */
function inSource(call: Call, number: number): boolean {
  if (number !== asking) asked.open(call, number);
  asking = number;
  return asked.find(walked.region, walked.start, walked.bytes);
}

/** Builds the difference. False when memory is out. */
function subtract(call: Call, keys: number): boolean {
  walked.open(call, 0);
  while (walked.next()) {
    let i = 1;
    for (; i < keys; i++) {
      if (inSource(call, i)) break;
    }
    if (i === keys && !addElement(walked.score)) return false;
  }
  return true;
}

/** Adds the member of the walk to the result, which does not have it. False when memory is out. */
function addElement(score: number): boolean {
  const { region, start, bytes } = walked;
  result.find(region, start, bytes);
  return result.insert(score, region, start, bytes);
}

// Rows

const sources: readonly KeySpec[] = [{ numkeys: 1, first: 2, step: 1, flags: ["RO", "access"] }];
const stored: readonly KeySpec[] = [
  { first: 1, last: 0, step: 1, flags: ["OW", "update"] },
  { numkeys: 2, first: 3, step: 1, flags: ["RO", "access"] },
];
const reads = {
  ...readSlow,
  arity: -3,
  flags: Flag.ReadOnly | Flag.MovableKeys,
  keys: sources,
  since: "6.2.0",
} as const;
const stores = {
  ...family,
  arity: -4,
  flags: Flag.Write | Flag.DenyOom | Flag.MovableKeys,
  keys: stored,
  acl: ["write", "sortedset", "slow"],
  since: "2.0.0",
} as const;
const overAll = "O(N) + O(M log M), N the elements of all sources and M those of the result";
const overSmallest =
  "O(N*K) + O(M log M), N the elements of the smallest of K sources and M those of the result";
const overFirst = "O(N*K) + O(M log M), N the elements of the first of K sources and M those of the result";
const scoring = "[WEIGHTS weight [weight ...]] [AGGREGATE <SUM|MIN|MAX>]";

export const sortedSetAlgebraCommands: readonly Row[] = [
  {
    ...reads,
    name: "zunion",
    complexity: overAll,
    summary: "Returns the members of several sorted sets, their scores added.",
    syntax: `numkeys key [key ...] ${scoring} [WITHSCORES]`,
    handler: (call) => combine(call, Operation.Union, false),
  },
  {
    ...reads,
    name: "zinter",
    complexity: overSmallest,
    summary: "Returns the members that all of several sorted sets have, their scores added.",
    syntax: `numkeys key [key ...] ${scoring} [WITHSCORES]`,
    handler: (call) => combine(call, Operation.Intersection, false),
  },
  {
    ...reads,
    name: "zdiff",
    complexity: overFirst,
    summary: "Returns the members of the first sorted set that no other has.",
    syntax: "numkeys key [key ...] [WITHSCORES]",
    handler: (call) => combine(call, Operation.Difference, false),
  },
  {
    ...stores,
    name: "zunionstore",
    complexity: overAll,
    summary: "Stores the members of several sorted sets, their scores added.",
    syntax: `destination numkeys key [key ...] ${scoring}`,
    handler: (call) => combine(call, Operation.Union, true),
  },
  {
    ...stores,
    name: "zinterstore",
    complexity: overSmallest,
    summary: "Stores the members that all of several sorted sets have, their scores added.",
    syntax: `destination numkeys key [key ...] ${scoring}`,
    handler: (call) => combine(call, Operation.Intersection, true),
  },
  {
    ...stores,
    name: "zdiffstore",
    since: "6.2.0",
    complexity: overFirst,
    summary: "Stores the members of the first sorted set that no other has.",
    syntax: "destination numkeys key [key ...]",
    handler: (call) => combine(call, Operation.Difference, true),
  },
  {
    ...reads,
    name: "zintercard",
    since: "7.0.0",
    complexity: "O(N*K), N the elements of the smallest of K sources",
    summary: "Counts the members that all of several sorted sets have.",
    syntax: "numkeys key [key ...] [LIMIT limit]",
    handler: (call) => combine(call, Operation.Cardinality, false),
  },
];
