// hub.ts: what handlers ask of the worker around them, given to whom it concerns: transactions, waiters, exchange,
// tracker, signals. Neighbours: engine/commands/hub.ts is the interface; worker.ts makes one.
import type { Call } from "../commands/call.ts";
import type { Hub } from "../commands/hub.ts";
import type { Session } from "../commands/session.ts";
import type { Type } from "../memory/record.ts";
import type { Client } from "./client.ts";
import type { Exchange } from "./exchange.ts";
import type { Pushes } from "./pushes.ts";
import type { Signals } from "./signals.ts";
import type { Tracker } from "./tracker.ts";
import type { Transactions } from "./transactions.ts";
import type { Waiters } from "./waiters.ts";

export class WorkerHub implements Hub {
  // Set by the worker as it makes them: some of them need the call, which needs this.
  pubsub!: Exchange;
  tracking!: Tracker;
  transactions!: Transactions;
  waiters!: Waiters;
  signals!: Signals;

  /** `pushes` knows whose command runs; `forget` ends all that a client takes part in; `executed` hears of each EXEC. */
  constructor(
    private readonly pushes: Pushes,
    private readonly forget: (client: Client) => void,
    private readonly executed: () => void,
  ) {}

  get serving(): boolean {
    return this.waiters.serving;
  }

  exec(_call: Call): void {
    this.transactions.exec(this.pushes.current!);
    this.executed();
  }

  watch(_call: Call, i: number): boolean {
    return this.transactions.watch(this.pushes.current!, i);
  }

  unwatch(session: Session): void {
    this.transactions.unwatch(session, this.pushes.current!.entry);
  }

  discard(session: Session): void {
    this.transactions.discard(session, this.pushes.current!.entry);
  }

  reset(_session: Session): void {
    this.forget(this.pushes.current!);
  }

  flushing(db: number): void {
    this.signals.flushing(db);
  }

  swapping(a: number, b: number): void {
    this.signals.swapping(a, b);
  }

  swapped(a: number, b: number): void {
    this.waiters.swapped(a, b);
  }

  block(call: Call, type: Type, first: number, count: number, destination: number, timeoutMs: number): void {
    this.waiters.block(this.pushes.current!, call, type, first, count, destination, timeoutMs);
  }

  reachable(call: Call, i: number): boolean {
    return call.locate(i).exclusive;
  }
}
