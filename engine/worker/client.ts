// client.ts: a connection and its session, and the half-read command it may hold.
import type { RequestParser } from "../../protocol/request-parser.ts";
import type { Session } from "../commands/session.ts";
import { Connection } from "../io/connection.ts";

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

  constructor(
    fd: number,
    readonly session: Session,
  ) {
    super(fd);
  }
}
