// driver.ts: the seam between a worker and the kernel. A driver accepts, receives, sends and wakes; it knows nothing of
// commands. Three stand behind it: uring.ts, epoll.ts and bun.ts.
//
// A turn: the driver waits, calls `turn` once, then `received` for every connection with new bytes, then `endTurn`.
// Replies are written by the worker to `send` and handed over by `transmit`; at the end of a turn the send region starts
// over. What others than a connection's own commands have for it (pushes, replies to a blocked command) is put behind
// them by `post`, any number of times, and goes out with one `flush`.
// Neighbours: connection.ts; engine/worker/worker.ts implements Events.
import type { Region } from "../memory/region.ts";
import type { BufferPool } from "./buffer-pool.ts";
import type { Connection } from "./connection.ts";

/** What a driver tells its worker. */
export interface Events {
  /** A turn begins: read the clock, look at what other workers said. False ends the driver's loop. */
  turn(): boolean;
  /** Longest sleep without an event from now on, ms: until the worker's background work is due. Asked anew for every wait.
   *  0: look for events without sleeping. */
  sleepMs(): number;
  /** A new connection, or null to refuse it (the worker has answered and the driver closes). */
  accepted(fd: number, peer: string, local: string): Connection | null;
  /** Bytes [start, end) of `region`, new to the connection and valid during the call. The worker keeps what is not a
   *  whole command in the connection's input. */
  received(connection: Connection, region: Region, start: number, end: number): void;
  /** The turn is over, nothing more is received before the next: flush what was posted. Not after the turn in which `turn`
   *  said false. */
  endTurn(): void;
  /** The connection is gone: its session ends. Called once. */
  closed(connection: Connection): void;
}

export interface Driver {
  readonly name: "uring" | "epoll" | "bun";
  /** Runs until `Events.turn` says false. The blocking drivers return then; `bun` returns at once and goes on. */
  run(): void;
  /** Sends bytes [start, end) of the send region to a connection, behind whatever waits for it. Returns the start of
   *  the send region still in use: the caller may write from the returned offset on. */
  transmit(connection: Connection, start: number, end: number): number;
  /** The same for [start, end) of the send region, then `bytes` bytes of another one and CRLF, at once: nothing of them
   *  is needed afterwards. */
  transmitWith(
    connection: Connection,
    start: number,
    end: number,
    source: Region,
    sourceStart: number,
    bytes: number,
  ): void;
  /** Whether bytes that begin at `at` of the send region can be transmitted to a connection without a call of their own, or
   *  with the only one of this turn: nothing waits for it, and what this turn has for it so far ends there. */
  follows(connection: Connection, at: number): boolean;
  /** Queues bytes behind everything transmitted to a connection so far, without sending them: that takes `flush`, in the
   *  same turn. Nothing of them is needed afterwards. A connection that is ending takes none. */
  post(connection: Connection, source: Region, start: number, bytes: number): void;
  /** Sends what was posted as far as the socket takes it; the rest goes when it has room again. */
  flush(connection: Connection): void;
  /** Ends a connection after what was transmitted and posted has gone (at once when `now`). */
  close(connection: Connection, now: boolean): void;
  /** Stops accepting. */
  stopAccepting(): void;
}

export interface DriverOptions {
  readonly events: Events;
  /** The worker's send region. */
  readonly send: Region;
  readonly pool: BufferPool;
  /** Listening sockets, already bound. */
  readonly listeners: readonly number[];
  /** What a refused connection is told. */
  readonly refusal: string;
  /** The eventfd by which others wake this worker; -1 under `bun`. */
  readonly wakeFd: number;
  readonly keepaliveSeconds: number;
}
