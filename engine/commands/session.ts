// session.ts: what the server knows of one connection beside its bytes: the state that commands read and change.
// Owned by the worker that accepted it. Neighbours: engine/worker/connection.ts holds one; CLIENT's rows print it.

export const enum ReplyMode {
  On = 0,
  Off = 1,
  /** CLIENT REPLY SKIP was just answered with silence: the next command is silent too. */
  SkipNext = 2,
  /** This command is the silent one. */
  Skipping = 3,
}

export class Session {
  db = 0;
  resp3 = false;
  name = "";
  libraryName = "";
  libraryVersion = "";
  replyMode = ReplyMode.On;
  noEvict = false;
  noTouch = false;
  /** Close once everything written so far is sent; nothing more is read. */
  closing = false;
  commands = 0;
  lastMs: number;

  constructor(
    /** Unique in the process, counted from 1. */
    readonly id: number,
    readonly fd: number,
    readonly address: string,
    readonly localAddress: string,
    readonly createdMs: number,
  ) {
    this.lastMs = createdMs;
  }

  /** What RESET restores. */
  reset(): void {
    this.db = 0;
    this.resp3 = false;
    this.name = "";
    // A RESET that CLIENT REPLY SKIP silenced stays silent.
    if (this.replyMode !== ReplyMode.Skipping) this.replyMode = ReplyMode.On;
    this.noEvict = false;
    this.noTouch = false;
  }
}
