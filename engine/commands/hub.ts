// hub.ts: what handlers ask of the worker around them when a command concerns other commands or other connections:
// transactions, waiting, publishing, tracking, and what is done to connections. Implemented by engine/worker.
// Neighbours: transactions.ts, blocking.ts, pubsub.ts, tracking.ts, clients.ts of this folder.
import type { Type } from "../memory/record.ts";
import type { Call } from "./call.ts";
import type { PubSub } from "./pubsub.ts";
import type { Session } from "./session.ts";
import type { TrackingHub } from "./tracking.ts";

export interface Hub {
  readonly pubsub: PubSub;
  readonly tracking: TrackingHub;

  /** EXEC: runs what the session has queued, if nothing it watches was touched, and replies. */
  exec(call: Call): void;
  /** Watches argument `i`, whose shard is locked. False when memory is out. */
  watch(call: Call, i: number): boolean;
  /** Forgets everything the session watches. Takes locks of its own, or uses those held. */
  unwatch(session: Session): void;
  /** Ends the state between MULTI and EXEC: queue and watches. */
  discard(session: Session): void;

  /** Ends all that a session takes part in beyond its own commands: transaction, subscriptions, tracking, MONITOR. */
  reset(session: Session): void;

  /** Every key of the database, -1 for all, is about to be removed; all shards are locked. */
  flushing(db: number): void;
  /** Two databases are about to change places; all shards are locked. */
  swapping(a: number, b: number): void;
  /** After that: clients that wait for keys are served. */
  swapped(a: number, b: number): void;

  /** The command in `call` found nothing: its client waits until one of its keys, arguments `first` on (`count` of
   *  them), holds a `type`, or `timeoutMs` have passed (0: for ever). `destination`: the argument that is the key a move
   *  goes to, else 0. With a `count` of 0 it waits for nothing but the time. The locks of all these keys are held. Inside a
   *  transaction it replies null instead; run for a client that waits already it does nothing. */
  block(call: Call, type: Type, first: number, count: number, destination: number, timeoutMs: number): void;
  /** Whether argument `i` may be looked at now: always, but for a client being served, whose other keys may lie in shards
   *  that are not locked and hold nothing for it. Locates the argument. */
  reachable(call: Call, i: number): boolean;
  /** Whether the command runs for a client that waits: what is of the wrong type is then passed over. */
  readonly serving: boolean;
}
