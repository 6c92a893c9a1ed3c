// blocking.ts: commands that wait: for an element of a list or a sorted set, and WAIT for replicas.
//
// The first key in the order of the arguments that holds something serves, as in the forms that do not wait; if none does,
// Hub.block makes the client wait, and whoever makes a key ready runs the handler again for it. So a handler either
// replies or blocks, and must not care which time it runs.
// On the data path: nothing allocates.
// Neighbours: lists.ts, sorted-sets.ts take elements; engine/worker/waiters.ts keeps and serves who waits.
import { Flag, type KeySpec, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors } from "../../protocol/errors.ts";
import { Type } from "../memory/record.ts";
import { MAX_INTEGER, parseBigInteger, parseInteger } from "../types/integer.ts";
import type { Call, Row } from "./call.ts";
import {
  endArgument,
  list,
  moveElement,
  popElements as popListElements,
  popOfFirst as popOfFirstList,
} from "./lists.ts";
import { popElements, popEvent, popOfFirst, sorted } from "./sorted-sets.ts";
import { timeoutArgument } from "./timeout.ts";

/** BLPOP and BRPOP key [key ...] timeout */
function popList(call: Call, fromTail: boolean): void {
  const { argc, input, length, place, reply, start } = call;
  const timeoutMs = timeoutArgument(call, argc - 1);
  if (Number.isNaN(timeoutMs)) return;
  for (let i = 1; i < argc - 1; i++) {
    const opened = call.openAwaited(i, Type.List, place);
    if (opened < 0) return;
    if (opened === 0) continue;
    list.open(place);
    reply.array(2);
    reply.bulk(input, start[i]!, length[i]!);
    return popListElements(call, place, fromTail, 1);
  }
  call.hub.block(call, Type.List, 1, argc - 2, 0, timeoutMs);
}

/** BZPOPMIN and BZPOPMAX key [key ...] timeout */
function popSortedSet(call: Call, highest: boolean): void {
  const { argc, input, length, place, reply, start } = call;
  const timeoutMs = timeoutArgument(call, argc - 1);
  if (Number.isNaN(timeoutMs)) return;
  for (let i = 1; i < argc - 1; i++) {
    const opened = call.openAwaited(i, Type.SortedSet, place);
    if (opened < 0) return;
    if (opened === 0) continue;
    sorted.open(place);
    reply.array(3);
    reply.bulk(input, start[i]!, length[i]!);
    return popElements(call, place, highest ? sorted.count - 1 : 0, 1, highest, false, popEvent(highest));
  }
  call.hub.block(call, Type.SortedSet, 1, argc - 2, 0, timeoutMs);
}

/** BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout */
function blmove(call: Call): void {
  const from = endArgument(call, 3);
  if (from < 0) return;
  const to = endArgument(call, 4);
  if (to >= 0) move(call, from === 1, to === 1, 5);
}

/** BLMOVE and BRPOPLPUSH, whose timeout is argument `i`. Only the source is waited for. */
function move(call: Call, fromTail: boolean, toTail: boolean, i: number): void {
  const timeoutMs = timeoutArgument(call, i);
  if (Number.isNaN(timeoutMs)) return;
  const opened = call.openAwaited(1, Type.List, call.place);
  if (opened > 0) moveElement(call, 1, 2, fromTail, toTail);
  else if (opened === 0) call.hub.block(call, Type.List, 1, 1, 2, timeoutMs);
}

/** WAIT numreplicas timeout. There are no replicas. */
function wait(call: Call): void {
  const { input, length, reply, start } = call;
  const wanted = parseInteger(input.u8, start[1]!, length[1]!);
  if (Number.isNaN(wanted)) return reply.error(Errors.notAnInteger);
  let timeoutMs = parseInteger(input.u8, start[2]!, length[2]!);
  if (Number.isNaN(timeoutMs)) return reply.error(Errors.timeoutNotAnInteger);
  if (timeoutMs < 0) return reply.error(Errors.timeoutNegative);
  if (timeoutMs === Number.POSITIVE_INFINITY) {
    const beyond = parseBigInteger(input.u8, start[2]!, length[2]!);
    if (beyond > MAX_INTEGER - BigInt(call.nowMs)) return reply.error(Errors.timeoutOutOfRange);
    timeoutMs = Number(beyond);
  }
  if (wanted <= 0 || call.inTransaction) return reply.integer(0);
  call.hub.block(call, Type.List, 0, 0, 0, timeoutMs);
}

const popsOf = ["RW", "access", "delete"];

const family = { scope: Scope.Keys, tier: Tier.Collections } as const;
const lists = { ...family, group: "list", acl: ["write", "list", "slow", "blocking"] } as const;
const sortedSets = { ...family, group: "sorted-set" } as const;
const pops = {
  arity: -3,
  keys: [{ first: 1, last: -2, step: 1, flags: popsOf } satisfies KeySpec],
  syntax: "key [key ...] timeout",
} as const;
const manyPops = {
  arity: -5,
  flags: Flag.Write | Flag.Blocking | Flag.MovableKeys,
  keys: [{ numkeys: 2, first: 3, step: 1, flags: popsOf } satisfies KeySpec],
  since: "7.0.0",
} as const;
const listPops = {
  ...lists,
  ...pops,
  flags: Flag.Write | Flag.NoScript | Flag.Blocking,
  since: "2.0.0",
  complexity: "O(N) where N is the number of keys.",
} as const;
const moves = {
  ...lists,
  flags: Flag.Write | Flag.DenyOom | Flag.NoScript | Flag.Blocking,
  keys: [
    { first: 1, last: 0, step: 1, flags: popsOf } satisfies KeySpec,
    { first: 2, last: 0, step: 1, flags: ["RW", "insert"] } satisfies KeySpec,
  ],
  complexity: "O(1)",
} as const;
const sortedSetPops = {
  ...sortedSets,
  ...pops,
  flags: Flag.Write | Flag.NoScript | Flag.Blocking | Flag.Fast,
  acl: ["write", "sortedset", "fast", "blocking"],
  since: "5.0.0",
  complexity: "O(log(N)) where N is the number of elements of the sorted set.",
} as const;

export const blockingCommands: readonly Row[] = [
  {
    ...listPops,
    name: "blpop",
    summary: "Removes the first element of the first list that is there and returns it, or waits for one.",
    handler: (call) => popList(call, false),
  },
  {
    ...listPops,
    name: "brpop",
    summary: "Removes the last element of the first list that is there and returns it, or waits for one.",
    handler: (call) => popList(call, true),
  },
  {
    ...moves,
    name: "blmove",
    arity: 6,
    since: "6.2.0",
    summary:
      "Moves an element from an end of a list to an end of another one and returns it, or waits for one.",
    syntax: "source destination LEFT|RIGHT LEFT|RIGHT timeout",
    handler: blmove,
  },
  {
    ...moves,
    name: "brpoplpush",
    arity: 4,
    since: "2.2.0",
    summary: "Moves the last element of a list to the front of another one and returns it, or waits for one.",
    syntax: "source destination timeout",
    handler: (call) => move(call, true, false, 3),
  },
  {
    ...lists,
    ...manyPops,
    name: "blmpop",
    complexity: "O(N+M) where N is the number of keys and M the number of elements returned.",
    summary:
      "Removes elements from an end of the first list that is there and returns them, or waits for one.",
    syntax: "timeout numkeys key [key ...] LEFT|RIGHT [COUNT count]",
    handler: (call) => popOfFirstList(call, 2),
  },
  {
    ...sortedSetPops,
    name: "bzpopmin",
    summary:
      "Removes the lowest member of the first sorted set that is there and returns it, or waits for one.",
    handler: (call) => popSortedSet(call, false),
  },
  {
    ...sortedSetPops,
    name: "bzpopmax",
    summary:
      "Removes the highest member of the first sorted set that is there and returns it, or waits for one.",
    handler: (call) => popSortedSet(call, true),
  },
  {
    ...sortedSets,
    ...manyPops,
    name: "bzmpop",
    acl: ["write", "sortedset", "slow", "blocking"],
    complexity:
      "O(N+M*log(K)) where N is the number of keys, M that of elements returned and K that of the set.",
    summary:
      "Removes members from an end of the first sorted set that is there and returns them, or waits for one.",
    syntax: "timeout numkeys key [key ...] MIN|MAX [COUNT count]",
    handler: (call) => popOfFirst(call, 2),
  },
  {
    name: "wait",
    arity: 3,
    flags: Flag.NoScript,
    keys: [],
    scope: Scope.None,
    acl: ["slow", "connection"],
    tier: Tier.Extended,
    group: "generic",
    since: "3.0.0",
    complexity: "O(1)",
    summary: "Waits until replicas have taken what the connection has written, and returns how many have.",
    syntax: "numreplicas timeout",
    handler: wait,
  },
];
