// connection.ts: one connection's bytes in both directions, as drivers see it.
//
// Input: what has arrived and is not a whole command yet, [0, inputEnd) of `input`; no region while there is none.
// Output: replies are written to the worker's send region and go out from there within the turn. What the kernel does
// not take then waits in `backlog` [backlogStart, backlogEnd), and later replies queue behind it. What is posted waits
// there, too, until it is flushed.
// Invariants: while backlog is not null nothing of this connection is sent from the send region; the driver is asked to
// tell when the socket has room (`awaiting`) exactly while something was sent and not taken whole.
// Owned by one worker. Neighbours: driver.ts moves the bytes, engine/worker/client.ts gives them meaning.
import { copyBytes, type Region } from "../memory/region.ts";
import type { BufferPool } from "./buffer-pool.ts";

export class Connection {
  input: Region | null = null;
  inputEnd = 0;
  backlog: Region | null = null;
  backlogStart = 0;
  backlogEnd = 0;
  /** The backlog waits for room in the socket, and not only for a flush. */
  awaiting = false;
  /** The driver's number for it, reused after it is gone. */
  slot = -1;
  /** No more is read; closes when what is queued is sent. */
  draining = false;
  /** Gone as far as the worker is concerned. */
  closed = false;
  /** Where its replies of this turn lie in the send region, and the submission that sends them; -1: none yet. */
  queuedStart = 0;
  queuedEnd = 0;
  queuedEntry = -1;
  bytesIn = 0;
  bytesOut = 0;

  constructor(readonly fd: number) {}

  /** Bytes that wait to be sent. */
  get backlogBytes(): number {
    return this.backlogEnd - this.backlogStart;
  }

  /** Makes room for `bytes` of input in all, keeping what is there. False when that cannot be had. */
  reserveInput(pool: BufferPool, bytes: number): boolean {
    const { input } = this;
    if (input !== null && input.bytes >= bytes) return true;
    const larger = pool.take(bytes);
    if (larger === null) return false;
    if (input !== null) {
      copyBytes(larger, 0, input, 0, this.inputEnd);
      pool.give(input);
    }
    this.input = larger;
    return true;
  }

  /** Queues bytes behind what waits. False when there is no memory for them. */
  appendBacklog(pool: BufferPool, source: Region, start: number, bytes: number): boolean {
    let { backlog } = this;
    if (backlog === null || this.backlogEnd + bytes > backlog.bytes) {
      const waiting = this.backlogBytes;
      const larger =
        backlog !== null && waiting + bytes <= backlog.bytes
          ? backlog
          : (pool.take((waiting + bytes) * 2) ?? pool.take(waiting + bytes));
      if (larger === null) return false;
      if (backlog !== null) {
        copyBytes(larger, 0, backlog, this.backlogStart, waiting);
        if (larger !== backlog) pool.give(backlog);
      }
      backlog = larger;
      this.backlog = larger;
      this.backlogStart = 0;
      this.backlogEnd = waiting;
    }
    copyBytes(backlog, this.backlogEnd, source, start, bytes);
    this.backlogEnd += bytes;
    return true;
  }

  releaseInput(pool: BufferPool): void {
    if (this.input !== null) pool.give(this.input);
    this.input = null;
    this.inputEnd = 0;
  }

  releaseBacklog(pool: BufferPool): void {
    if (this.backlog !== null) pool.give(this.backlog);
    this.backlog = null;
    this.backlogStart = 0;
    this.backlogEnd = 0;
    this.awaiting = false;
  }
}
