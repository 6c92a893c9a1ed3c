// client.ts: a connection and its session, and the half-read command it may hold.
import type { RequestParser } from "../../protocol/request-parser.ts";
import type { Session } from "../commands/session.ts";
import { Connection } from "../io/connection.ts";
import type { Waiting } from "./waiters.ts";

export class Client extends Connection {
  /** Holds the state of a command that has arrived in part; null between commands. */
  parser: RequestParser | null = null;
  /** Byte offset of its entry in the control region. */
  entry = 0;
  entryIndex = 0;
  /** Index of the row run last, -1 before the first. */
  lastEntry = -1;
  /** What its entry in the control region says of lastEntry and of the database. */
  shownEntry = -1;
  shownDb = 0;
  /** How it waits; null before its first blocking command. */
  waiting: Waiting | null = null;
  /** What tells its nodes of tracked keys from those of who had its entry before; 0 before it first tracks. */
  trackingToken = 0;
  /** Whether bytes were posted to it that the end of the turn sends. */
  posted = false;
  /** Since when its unsent replies are over the soft limit; 0: they are not. */
  overSinceMs = 0;

  constructor(
    fd: number,
    readonly session: Session,
  ) {
    super(fd);
  }
}
