// sorted-set-ranges.ts: the commands on a range of a sorted set: by rank, by score, by member.
//
// Whatever a range is given by, it is reckoned as ranks first: so the number of elements is known before the first of
// them is replied, LIMIT is arithmetic, and a reply, a copy and a removal share one description.
// Invariants: options are checked before bounds, bounds before the key. By member is defined where all scores are equal;
// elsewhere some range is the answer.
// On the data path: nothing allocates; bounds that overflow or vanish make a string.
// Neighbours: sorted-sets.ts, whose cursors these commands share; engine/types/sorted-set.ts.
import { Flag, Tier } from "../../protocol/command-row.ts";
import { Errors } from "../../protocol/errors.ts";
import type { Region } from "../memory/region.ts";
import { Event } from "../shard/events.ts";
import { parseDouble } from "../types/double.ts";
import { parseInteger } from "../types/integer.ts";
import type { SortedSet } from "../types/sorted-set.ts";
import type { Call, Row } from "./call.ts";
import { tellTaken } from "./sets.ts";
import {
  addResult,
  beginResult,
  family,
  keyed,
  openRead,
  openWrite,
  popElements,
  readCount,
  readSlow,
  refuseResult,
  replyElements,
  replyHeader,
  sorted,
  storeResult,
} from "./sorted-sets.ts";

/** What a range is given by. */
const enum By {
  /** As the options say, Rank without any. */
  Any = 0,
  Rank = 1,
  Score = 2,
  Member = 3,
}

const enum Edge {
  None = 0,
  /** "-": before all members. */
  Least = 1,
  /** "+": behind all members. */
  Greatest = 2,
}

/** One end of a range. */
class Bound {
  /** A rank, negative from the end, or a score. */
  value = 0;
  /** Whether what is equal lies outside. */
  private open = false;
  private edge = Edge.None;
  private start = 0;
  private bytes = 0;

  readRank(call: Call, i: number): boolean {
    this.value = parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
    return !Number.isNaN(this.value);
  }

  readScore(call: Call, i: number): boolean {
    const { u8 } = call.input;
    let start = call.start[i]!;
    const end = start + call.length[i]!;
    this.open = start < end && u8[start] === 40;
    if (this.open) start++;
    this.value = parseDouble(u8, start, end - start);
    if (Number.isNaN(this.value)) this.value = readAsC(call, start, end);
    return !Number.isNaN(this.value);
  }

  readMember(call: Call, i: number): boolean {
    const { u8 } = call.input;
    const start = call.start[i]!;
    const bytes = call.length[i]!;
    const first = bytes === 0 ? 0 : u8[start];
    this.edge = first === 45 ? Edge.Least : first === 43 ? Edge.Greatest : Edge.None;
    if (this.edge !== Edge.None) return bytes === 1 || u8[start + 1] === 0;
    this.open = first === 40;
    this.start = start + 1;
    this.bytes = bytes - 1;
    return this.open || first === 91;
  }

  /** Rank of the first element inside, of a lower bound, or of the first behind, of an upper one. */
  rankIn(set: SortedSet, by: By, input: Region, upper: boolean): number {
    const after = this.open !== upper;
    if (by === By.Score) return set.rankOfScore(this.value, after);
    if (this.edge === Edge.Least) return 0;
    if (this.edge === Edge.Greatest) return set.count;
    return set.rankOfMember(input, this.start, this.bytes, after);
  }
}

/** A bound that is no score, as strtod reads it: up to a NUL byte, nothing is 0, and what overflows or vanishes is infinite
 *  or 0. */
function readAsC(call: Call, start: number, end: number): number {
  let text = "";
  for (let at = start; at < end && call.input.u8[at] !== 0; at++)
    text += String.fromCharCode(call.input.u8[at]!);
  if (text === "") return 0;
  if (/^[+-]?inf(inity)?$/i.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  return /^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?$/i.test(text) ? Number(text) : Number.NaN;
}

const lower = new Bound();
const upper = new Bound();
/** The range that `measure` found: rank of its first element in the order of the reply, and the number of its elements. */
let first = 0;
let count = 0;

/** Reads the bounds at two arguments. False after replying that they are none. */
function readBounds(call: Call, by: By, least: number, greatest: number): boolean {
  const { reply } = call;
  if (by === By.Rank) {
    if (lower.readRank(call, least) && upper.readRank(call, greatest)) return true;
    reply.error(Errors.notAnInteger);
  } else if (by === By.Score) {
    if (lower.readScore(call, least) && upper.readScore(call, greatest)) return true;
    reply.error(Errors.boundNotAFloat);
  } else {
    if (lower.readMember(call, least) && upper.readMember(call, greatest)) return true;
    reply.error(Errors.boundNotAMember);
  }
  return false;
}

/** Finds the bounds in `sorted`. Of what lies between them, in ascending order or `down`, `offset` elements are left out
 *  and `most` (negative: all) are taken. */
function measure(call: Call, by: By, down: boolean, offset: number, most: number): void {
  const size = sorted.count;
  if (by === By.Rank) {
    const from = Math.max(0, lower.value < 0 ? size + lower.value : lower.value);
    const to = Math.min(size - 1, upper.value < 0 ? size + upper.value : upper.value);
    count = Math.max(0, to - from + 1);
    first = down ? size - 1 - from : from;
    return;
  }
  const low = lower.rankIn(sorted, by, call.input, false);
  const high = upper.rankIn(sorted, by, call.input, true);
  count = offset < 0 ? 0 : Math.max(0, high - low - offset);
  if (most >= 0) count = Math.min(count, most);
  first = down ? high - 1 - offset : low + offset;
}

/** ZCOUNT key min max and ZLEXCOUNT */
function countBetween(call: Call, by: By): void {
  if (!readBounds(call, by, 2, 3)) return;
  const opened = openRead(call);
  if (opened < 0) return;
  if (opened === 1) measure(call, by, false, 0, -1);
  call.reply.integer(opened === 0 ? 0 : count);
}

/** ZREMRANGEBYRANK key start stop and its like, which are `event` */
function removeBetween(call: Call, by: By, event: Event): void {
  if (!readBounds(call, by, 2, 3)) return;
  const opened = openWrite(call);
  if (opened < 0) return;
  if (opened === 0) return call.reply.integer(0);
  measure(call, by, false, 0, -1);
  if (count === sorted.count) call.place.remove();
  else if (count > 0) sorted.removeRange(first, count);
  if (count > 0) tellTaken(call.place, event);
  call.reply.integer(count);
}

/** IC.ZPOPBYSCORE key min max [LIMIT count] */
function popByScore(call: Call): void {
  const { argc, reply } = call;
  let most = 1;
  if (argc > 4) {
    if (argc !== 6 || !call.is(4, "limit")) return reply.error(Errors.syntax);
    most = readCount(call, 5, 0, Errors.notPositive);
    if (most < 0) return;
  }
  if (!readBounds(call, By.Score, 2, 3)) return;
  const opened = openWrite(call);
  if (opened < 0) return;
  if (opened === 0) return reply.array(0);
  measure(call, By.Score, false, 0, most);
  replyHeader(call, count, true);
  popElements(call, call.place, first, count, false, reply.resp3, Event.ZRem);
}

/** Whether the elements come in ascending order, in descending order, or as the options say. */
const enum Order {
  Any = 0,
  Up = 1,
  Down = 2,
}

/** ZRANGE and its older forms, with the key at argument `source` and the bounds behind it. With `store` the range is
 *  stored under the key in argument 1. */
function range(call: Call, source: number, by: By, order: Order, store: boolean): void {
  const { argc, reply } = call;
  let withScores = false;
  let offset = 0;
  let most = -1;
  for (let i = source + 3; i < argc; i++) {
    if (!store && call.is(i, "withscores")) withScores = true;
    else if (i + 2 < argc && call.is(i, "limit")) {
      offset = parseInteger(call.input.u8, call.start[i + 1]!, call.length[i + 1]!);
      most = parseInteger(call.input.u8, call.start[i + 2]!, call.length[i + 2]!);
      if (Number.isNaN(offset) || Number.isNaN(most)) return reply.error(Errors.notAnInteger);
      i += 2;
    } else if (order === Order.Any && call.is(i, "rev")) order = Order.Down;
    else if (by === By.Any && call.is(i, "bylex")) by = By.Member;
    else if (by === By.Any && call.is(i, "byscore")) by = By.Score;
    else return reply.error(Errors.syntax);
  }
  if (by === By.Any) by = By.Rank;
  const down = order === Order.Down;
  if (most !== -1 && by === By.Rank) return reply.error(Errors.limitByRank);
  if (withScores && by === By.Member) return reply.error(Errors.scoresByMember);
  const swapped = down && by !== By.Rank; // the greater bound comes first
  if (!readBounds(call, by, source + (swapped ? 2 : 1), source + (swapped ? 1 : 2))) return;

  const opened = openRead(call, source);
  if (opened < 0) return;
  count = 0;
  if (opened === 1) measure(call, by, down, offset, most);
  if (store) return storeRange(call, down);
  replyHeader(call, count, withScores);
  replyElements(call, sorted, first, count, down, withScores, reply.resp3);
}

/** Stores the range of `sorted` that was measured, and replies with the number of its elements. */
function storeRange(call: Call, down: boolean): void {
  beginResult(call.locate(1).allocator);
  let more = count > 0 && sorted.seekRank(first);
  for (let left = count; more && left > 0; left--) {
    if (!addResult(sorted)) return refuseResult(call);
    more = down ? sorted.previous() : sorted.next();
  }
  storeResult(call, 1, call.placeAt(1), Event.ZRangeStore);
}

// Rows

const writeSlow = {
  ...family,
  flags: Flag.Write,
  keys: keyed("RW", "delete"),
  acl: ["write", "sortedset", "slow"],
} as const;
const counts = {
  ...readSlow,
  arity: 4,
  flags: Flag.ReadOnly | Flag.Fast,
  acl: ["read", "sortedset", "fast"],
  complexity: "O(log N)",
} as const;
const reads = { ...readSlow, arity: -4, complexity: "O(log N + M), M the elements returned" } as const;
const removes = { ...writeSlow, arity: 4, complexity: "O(log N + M), M the elements removed" } as const;

export const sortedSetRangeCommands: readonly Row[] = [
  {
    ...counts,
    name: "zcount",
    since: "2.0.0",
    summary: "Counts the members whose scores lie in a range.",
    syntax: "key min max",
    handler: (call) => countBetween(call, By.Score),
  },
  {
    ...counts,
    name: "zlexcount",
    since: "2.8.9",
    summary: "Counts the members in a range of members that have equal scores.",
    syntax: "key min max",
    handler: (call) => countBetween(call, By.Member),
  },
  {
    ...reads,
    name: "zrange",
    summary: "Returns the members in a range of ranks, scores or members.",
    syntax: "key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
    handler: (call) => range(call, 1, By.Any, Order.Any, false),
  },
  {
    ...reads,
    name: "zrevrange",
    summary: "Returns the members in a range of ranks, by descending scores.",
    syntax: "key start stop [WITHSCORES]",
    handler: (call) => range(call, 1, By.Rank, Order.Down, false),
  },
  {
    ...reads,
    name: "zrangebyscore",
    since: "1.0.5",
    summary: "Returns the members whose scores lie in a range.",
    syntax: "key min max [WITHSCORES] [LIMIT offset count]",
    handler: (call) => range(call, 1, By.Score, Order.Up, false),
  },
  {
    ...reads,
    name: "zrevrangebyscore",
    since: "2.2.0",
    summary: "Returns the members whose scores lie in a range, by descending scores.",
    syntax: "key max min [WITHSCORES] [LIMIT offset count]",
    handler: (call) => range(call, 1, By.Score, Order.Down, false),
  },
  {
    ...reads,
    name: "zrangebylex",
    since: "2.8.9",
    summary: "Returns the members in a range of members that have equal scores.",
    syntax: "key min max [LIMIT offset count]",
    handler: (call) => range(call, 1, By.Member, Order.Up, false),
  },
  {
    ...reads,
    name: "zrevrangebylex",
    since: "2.8.9",
    summary: "Returns the members in a range of members that have equal scores, in reverse.",
    syntax: "key max min [LIMIT offset count]",
    handler: (call) => range(call, 1, By.Member, Order.Down, false),
  },
  {
    ...writeSlow,
    name: "zrangestore",
    arity: -5,
    flags: Flag.Write | Flag.DenyOom,
    keys: [
      { first: 1, last: 0, step: 1, flags: ["OW", "update"] },
      { first: 2, last: 0, step: 1, flags: ["RO", "access"] },
    ],
    since: "6.2.0",
    complexity: "O(log N + M), M the elements stored",
    summary: "Stores the members in a range of ranks, scores or members.",
    syntax: "destination source min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]",
    handler: (call) => range(call, 2, By.Any, Order.Any, true),
  },
  {
    ...removes,
    name: "zremrangebyrank",
    since: "2.0.0",
    summary: "Removes the members in a range of ranks.",
    syntax: "key start stop",
    handler: (call) => removeBetween(call, By.Rank, Event.ZRemRangeByRank),
  },
  {
    ...removes,
    name: "zremrangebyscore",
    summary: "Removes the members whose scores lie in a range.",
    syntax: "key min max",
    handler: (call) => removeBetween(call, By.Score, Event.ZRemRangeByScore),
  },
  {
    ...removes,
    name: "zremrangebylex",
    since: "2.8.9",
    summary: "Removes the members in a range of members that have equal scores.",
    syntax: "key min max",
    handler: (call) => removeBetween(call, By.Member, Event.ZRemRangeByLex),
  },
  {
    ...writeSlow,
    name: "ic.zpopbyscore",
    arity: -4,
    flags: Flag.Write | Flag.Fast,
    keys: keyed("RW", "access", "delete"),
    acl: ["write", "sortedset", "fast"],
    tier: Tier.Extended,
    since: "0.1.0",
    complexity: "O(log N + M), M the elements popped",
    summary: "Removes and returns the members with the lowest scores of a range.",
    replaces:
      "Due jobs of a delay queue: a script that calls ZRANGEBYSCORE with LIMIT and then ZREM for what it found.",
    syntax: "key min max [LIMIT count]",
    handler: popByScore,
  },
];
