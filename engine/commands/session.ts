// session.ts: what the server knows of one connection beside its bytes: the state that commands read and change.
// Owned by the worker that accepted it. Neighbours: engine/worker/connection.ts holds one; CLIENT's rows print it.

import type { Subscriptions } from "./pubsub.ts";
import type { Tracking } from "./tracking.ts";
import type { Transaction } from "./transactions.ts";

export const enum ReplyMode {
  On = 0,
  Off = 1,
  /** CLIENT REPLY SKIP was just answered with silence: the next command is silent too. */
  SkipNext = 2,
  /** This command is the silent one. */
  Skipping = 3,
}

/** What is special about a connection: bits of Session.mode. 0 for most, whose commands pay nothing for the rest. */
export const enum Mode {
  /** Between MULTI and EXEC: commands are queued. */
  Multi = 1,
  /** Subscribed to something: pushes come, and in RESP2 few commands may be sent. */
  Subscribed = 2,
  /** Client-side caching is on: keys it reads are remembered, or it hears of all by prefix. */
  Tracking = 4,
  /** It is shown the commands of all others. */
  Monitor = 8,
  /** Another connection's invalidations come here. */
  Redirected = 16,
  /** Modes in which something may come that no command of its own asked for. */
  Receives = 30,
  /** Client-side caching by prefix instead of by what was read. */
  Broadcast = 32,
  /** Whom its invalidations went to is gone. */
  BrokenRedirect = 64,
}

/** Why a connection's next command has to wait. */
export const enum Suspended {
  No = 0,
  /** In a blocking command. */
  Blocked = 1,
  /** By CLIENT PAUSE. */
  Paused = 2,
}

export class Session {
  db = 0;
  /** Bits of Mode. */
  mode = 0;
  suspended = Suspended.No;
  /** Commands queued since MULTI, and watched keys; null before the first of either. */
  transaction: Transaction | null = null;
  /** How it tracks keys; null before the first CLIENT TRACKING ON. */
  tracking: Tracking | null = null;
  /** What it subscribes to; null before the first of it. */
  subscriptions: Subscriptions | null = null;
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
