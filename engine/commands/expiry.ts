// expiry.ts: the commands about deadlines: the EXPIRE family with its conditions, the TTL readings, PERSIST.
//
// A deadline in the past deletes the key at once. A deadline of 0 in a record means never, so what is stored here is
// always above the clock and thus never 0. On the data path: no allocation but for an unknown option's text.
// Neighbours: expiry-options.ts reads the times.
import { type CommandRow, Flag, type KeySpec, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors, unsupportedOption } from "../../protocol/errors.ts";
import { Event } from "../shard/events.ts";
import type { Call, Row } from "./call.ts";
import { deadlineFrom, refuseDeadline, Unit } from "./expiry-options.ts";

const enum Condition {
  OnlyNew = 1,
  OnlyExisting = 2,
  OnlyGreater = 4,
  OnlyLess = 8,
}

/** EXPIRE key seconds [NX | XX | GT | LT], and the other three. */
function expireWith(call: Call, unit: Unit, absolute: boolean): void {
  const { reply, session } = call;
  const conditions = readConditions(call);
  if (conditions < 0) return;
  const deadlineMs = deadlineFrom(call, 2, unit, absolute, false);
  if (!Number.isFinite(deadlineMs)) return refuseDeadline(call, deadlineMs);
  const handle = call.look(1);
  if (handle === 0) return reply.integer(0);
  const { shard } = call;
  if (conditions !== 0 && !allowed(conditions, shard.deadline(), deadlineMs)) return reply.integer(0);
  if (deadlineMs <= call.nowMs) {
    shard.remove(session.db, call.key);
    call.notify(Event.Del);
    return reply.integer(1);
  }
  if (!shard.setDeadline(session.db, call.key, handle, deadlineMs)) return reply.error(Errors.outOfMemory);
  call.notify(Event.Expire);
  reply.integer(1);
}

/** The options after the time as Condition bits; -1 when an error was replied. */
function readConditions(call: Call): number {
  const { reply } = call;
  let conditions = 0;
  for (let i = 3; i < call.argc; i++) {
    if (call.is(i, "nx")) conditions |= Condition.OnlyNew;
    else if (call.is(i, "xx")) conditions |= Condition.OnlyExisting;
    else if (call.is(i, "gt")) conditions |= Condition.OnlyGreater;
    else if (call.is(i, "lt")) conditions |= Condition.OnlyLess;
    else {
      reply.error(unsupportedOption(call.text(i)));
      return -1;
    }
  }
  if ((conditions & Condition.OnlyNew) !== 0 && conditions !== Condition.OnlyNew) {
    reply.error(Errors.expireFlags);
    return -1;
  }
  const both = Condition.OnlyGreater | Condition.OnlyLess;
  if ((conditions & both) === both) {
    reply.error(Errors.expireGtLt);
    return -1;
  }
  return conditions;
}

/** Whether the conditions let a deadline of `old` (0: none, later than any) become `next`. */
function allowed(conditions: number, old: number, next: number): boolean {
  if ((conditions & Condition.OnlyNew) !== 0 && old !== 0) return false;
  if ((conditions & Condition.OnlyExisting) !== 0 && old === 0) return false;
  if ((conditions & Condition.OnlyGreater) !== 0 && (old === 0 || next <= old)) return false;
  if ((conditions & Condition.OnlyLess) !== 0 && old !== 0 && next >= old) return false;
  return true;
}

/** TTL key, and the other three: -2 without key, -1 without deadline. Seconds are rounded to the nearest. */
function readDeadline(call: Call, unit: Unit, absolute: boolean): void {
  const { reply } = call;
  if (call.lookRead(1) === 0) return reply.integer(-2);
  const deadline = call.shard.deadline();
  if (deadline === 0) return reply.integer(-1);
  const ms = absolute ? deadline : Math.max(0, deadline - call.nowMs);
  reply.integer(unit === Unit.Milliseconds ? Math.floor(ms) : Math.floor((ms + 500) / 1000));
}

/** PERSIST key */
function persist(call: Call): void {
  const { reply, session } = call;
  const handle = call.look(1);
  if (handle === 0 || call.shard.deadline() === 0) return reply.integer(0);
  if (!call.shard.setDeadline(session.db, call.key, handle, 0)) return reply.error(Errors.outOfMemory);
  call.notify(Event.Persist);
  reply.integer(1);
}

const updated: readonly KeySpec[] = [{ first: 1, last: 0, step: 1, flags: ["RW", "update"] }];
const read: readonly KeySpec[] = [{ first: 1, last: 0, step: 1, flags: ["RO", "access"] }];

const common = { scope: Scope.Keys, tier: Tier.Core, group: "generic", complexity: "O(1)" } as const;

const writes = {
  ...common,
  flags: Flag.Write | Flag.Fast,
  keys: updated,
  acl: ["keyspace", "write", "fast"],
} as const;

const reads = {
  ...common,
  arity: 2,
  flags: Flag.ReadOnly | Flag.Fast,
  keys: read,
  acl: ["keyspace", "read", "fast"],
  syntax: "key",
  optimistic: true,
} as const satisfies Partial<CommandRow<Call>>;

export const expiryCommands: readonly Row[] = [
  {
    ...writes,
    name: "expire",
    arity: -3,
    since: "1.0.0",
    summary: "Lets a key expire after a number of seconds.",
    syntax: "key seconds [NX | XX | GT | LT]",
    handler: (call) => expireWith(call, Unit.Seconds, false),
  },
  {
    ...writes,
    name: "pexpire",
    arity: -3,
    since: "2.6.0",
    summary: "Lets a key expire after a number of milliseconds.",
    syntax: "key milliseconds [NX | XX | GT | LT]",
    handler: (call) => expireWith(call, Unit.Milliseconds, false),
  },
  {
    ...writes,
    name: "expireat",
    arity: -3,
    since: "1.2.0",
    summary: "Lets a key expire at a Unix time in seconds.",
    syntax: "key unix-time-seconds [NX | XX | GT | LT]",
    handler: (call) => expireWith(call, Unit.Seconds, true),
  },
  {
    ...writes,
    name: "pexpireat",
    arity: -3,
    since: "2.6.0",
    summary: "Lets a key expire at a Unix time in milliseconds.",
    syntax: "key unix-time-milliseconds [NX | XX | GT | LT]",
    handler: (call) => expireWith(call, Unit.Milliseconds, true),
  },
  {
    ...reads,
    name: "expiretime",
    since: "7.0.0",
    summary: "Returns the Unix time in seconds at which a key expires.",
    handler: (call) => readDeadline(call, Unit.Seconds, true),
  },
  {
    ...reads,
    name: "pexpiretime",
    since: "7.0.0",
    summary: "Returns the Unix time in milliseconds at which a key expires.",
    handler: (call) => readDeadline(call, Unit.Milliseconds, true),
  },
  {
    ...reads,
    name: "ttl",
    since: "1.0.0",
    summary: "Returns how many seconds a key has left.",
    handler: (call) => readDeadline(call, Unit.Seconds, false),
  },
  {
    ...reads,
    name: "pttl",
    since: "2.6.0",
    summary: "Returns how many milliseconds a key has left.",
    handler: (call) => readDeadline(call, Unit.Milliseconds, false),
  },
  {
    ...writes,
    name: "persist",
    arity: 2,
    since: "2.2.0",
    summary: "Removes the deadline of a key.",
    syntax: "key",
    handler: persist,
  },
];
