// transactions.ts: MULTI, EXEC, DISCARD, WATCH and UNWATCH, and what a session keeps between them.
//
// Commands are queued by the dispatcher (engine/worker/dispatcher.ts) and run by EXEC (engine/worker/transactions.ts) with
// the shards of all of them locked, so nobody sees a state in between. Nothing is rolled back, as in Redis.
// Queue: a region off the heap with, for each command, i32 words: number of its row, argc, the length of each
// argument; then the arguments, one behind the other, up to a multiple of 4.
// On the data path of connections that use MULTI: no allocation once a session has had its first.
import { Flag, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors } from "../../protocol/errors.ts";
import type { Region } from "../memory/region.ts";
import type { Call, Row } from "./call.ts";
import { Mode } from "./session.ts";

/** What one session has queued and watches. */
export class Transaction {
  queue: Region | null = null;
  queueBytes = 0;
  /** How many commands are queued. */
  commands = 0;
  /** Some command was refused: EXEC will refuse too. */
  doomed = false;
  /** Flags of all queued commands together. */
  flags = 0;
  /** Watched keys: shard number, node in its register, and 1 when the key was there. */
  readonly shards: number[] = [];
  readonly nodes: number[] = [];
  readonly alive: number[] = [];
}

/** MULTI */
function multi(call: Call): void {
  const { session, reply } = call;
  if ((session.mode & Mode.Multi) !== 0) return reply.error(Errors.nestedMulti);
  session.mode |= Mode.Multi;
  session.transaction ??= new Transaction();
  reply.ok();
}

/** EXEC */
function exec(call: Call): void {
  const { session, reply } = call;
  if ((session.mode & Mode.Multi) === 0) return reply.error(Errors.execWithoutMulti);
  if (session.transaction!.doomed) {
    call.hub.discard(session);
    return reply.error(Errors.execAbort);
  }
  call.hub.exec(call);
}

/** DISCARD */
function discard(call: Call): void {
  const { session, reply } = call;
  if ((session.mode & Mode.Multi) === 0) return reply.error(Errors.discardWithoutMulti);
  call.hub.discard(session);
  reply.ok();
}

/** WATCH key [key ...] */
function watch(call: Call): void {
  const { session, reply } = call;
  if ((session.mode & Mode.Multi) !== 0) return reply.error(Errors.watchInMulti);
  session.transaction ??= new Transaction();
  for (let i = 1; i < call.argc; i++) if (!call.hub.watch(call, i)) return reply.error(Errors.outOfMemory);
  reply.ok();
}

/** UNWATCH */
function unwatch(call: Call): void {
  call.hub.unwatch(call.session);
  call.reply.ok();
}

const common = {
  arity: 1,
  flags: Flag.NoScript | Flag.Loading | Flag.Stale | Flag.Fast | Flag.AllowBusy,
  keys: [],
  scope: Scope.None,
  acl: ["fast", "transaction"],
  tier: Tier.Core,
  group: "transactions",
  syntax: "",
} as const;

export const transactionCommands: readonly Row[] = [
  {
    ...common,
    name: "multi",
    since: "1.2.0",
    complexity: "O(1)",
    summary: "Begins a transaction: the commands that follow are queued.",
    handler: multi,
  },
  {
    ...common,
    name: "exec",
    flags: Flag.NoScript | Flag.Loading | Flag.Stale | Flag.SkipSlowlog,
    acl: ["slow", "transaction"],
    since: "1.2.0",
    complexity: "That of the queued commands.",
    summary: "Runs the queued commands, unless a watched key was touched.",
    handler: exec,
  },
  {
    ...common,
    name: "discard",
    since: "2.0.0",
    complexity: "O(N) where N is the number of queued commands.",
    summary: "Forgets the queued commands and ends the transaction.",
    handler: discard,
  },
  {
    ...common,
    name: "watch",
    arity: -2,
    keys: [{ first: 1, last: -1, step: 1, flags: ["RO"] }],
    scope: Scope.Keys,
    since: "2.2.0",
    complexity: "O(1) for each key.",
    summary: "Makes the next EXEC depend on nobody touching the keys until then.",
    syntax: "key [key ...]",
    handler: watch,
  },
  {
    ...common,
    name: "unwatch",
    since: "2.2.0",
    complexity: "O(N) where N is the number of watched keys.",
    summary: "Forgets what the connection watches.",
    handler: unwatch,
  },
];
