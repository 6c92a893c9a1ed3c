// blocking-driver.ts: what `uring` and `epoll` share: the table of connections, sending without waiting, the backlog of a
// slow reader, closing. The two differ only in how they wait and receive.
// On the data path. Neighbours: driver.ts (the seam), uring.ts, epoll.ts.
import { need, Region } from "../memory/region.ts";
import type { BufferPool } from "./buffer-pool.ts";
import type { Connection } from "./connection.ts";
import type { Driver, DriverOptions, Events } from "./driver.ts";
import { Errno, libc, outcome, scratch } from "./native.ts";
import { localAddress, peerAddress, tuneConnection } from "./socket.ts";

const enum Send {
  DontWait = 0x40,
  NoSignal = 0x4000,
}

/** Where the end of a bulk string lies in the message region. */
const enum Message {
  CrlfAt = 128,
  CrlfBytes = 2,
}

/** Writes an address as 64 bits. */
export function setAddress(view: DataView, at: number, address: number): void {
  view.setUint32(at, address % 4294967296, true);
  view.setUint32(at + 4, Math.floor(address / 4294967296), true);
}

export abstract class BlockingDriver implements Driver {
  abstract readonly name: "uring" | "epoll";
  protected readonly events: Events;
  protected readonly send: Region;
  protected readonly pool: BufferPool;
  protected readonly connections: (Connection | null)[] = [];
  private readonly freeSlots: number[] = [];
  protected readonly c = libc();
  protected accepting = true;
  private readonly message = need(Region.private(4096), "a message header");

  constructor(protected readonly options: DriverOptions) {
    this.events = options.events;
    this.send = options.send;
    this.pool = options.pool;
    this.message.view.setUint16(Message.CrlfAt, 0x0d0a, false);
  }

  abstract run(): void;
  abstract transmit(connection: Connection, start: number, end: number): number;
  abstract stopAccepting(): void;
  /** Asks to be told when the connection's socket takes bytes again; `writable` is then called. */
  protected abstract watchWritable(connection: Connection): void;
  /** Sends what is queued for this turn, so that a close does not overtake it. */
  protected abstract flushQueued(connection: Connection): void;
  /** Moves what is queued for this turn to the backlog: something goes behind it that is not in the send region. */
  protected abstract holdQueued(connection: Connection): void;
  /** Lets go of the socket. */
  protected abstract release(connection: Connection): void;
  /** Begins to receive. */
  protected abstract watchReadable(connection: Connection): void;

  /** Takes an accepted socket into the table. */
  protected admit(fd: number, isTcp: boolean): void {
    if (isTcp) tuneConnection(fd, this.options.keepaliveSeconds);
    const connection = this.events.accepted(fd, isTcp ? peerAddress(fd) : "", isTcp ? localAddress(fd) : "");
    if (connection === null) {
      const { view, address } = scratch();
      const { refusal } = this.options;
      for (let i = 0; i < refusal.length; i++) view.setUint8(i, refusal.charCodeAt(i));
      this.c.send(fd, address, refusal.length, Send.DontWait | Send.NoSignal);
      this.c.close(fd);
      return;
    }
    const slot = this.freeSlots.pop() ?? this.connections.length;
    connection.slot = slot;
    this.connections[slot] = connection;
    this.watchReadable(connection);
  }

  /** Forgets a connection whose socket is closed. */
  protected forget(connection: Connection): void {
    this.connections[connection.slot] = null;
    this.freeSlots.push(connection.slot);
  }

  /** Sends [start, end) of the send region as far as the socket takes it; the rest becomes backlog. */
  protected sendNow(connection: Connection, start: number, end: number): void {
    const sent = this.push(connection, this.send, start, end);
    if (sent < 0 || start + sent === end) return;
    this.keepUnsent(connection, start + sent, end);
  }

  transmitWith(
    connection: Connection,
    start: number,
    end: number,
    source: Region,
    sourceStart: number,
    bytes: number,
  ): void {
    if (connection.closed) return;
    this.flushQueued(connection);
    if (connection.closed) return;
    const head = end - start;
    let sent = 0;
    if (connection.backlog === null) {
      sent = this.pushAll(connection, start, head, source, sourceStart, bytes);
      if (sent < 0 || sent === head + bytes + Message.CrlfBytes) return;
    }
    // What did not go: of each of the three pieces, what is beyond the bytes sent.
    if (sent < head) this.keepUnsent(connection, start + sent, end);
    sent = Math.max(0, sent - head);
    if (sent < bytes && !connection.closed)
      this.keep(connection, source, sourceStart + sent, sourceStart + bytes);
    sent = Math.max(0, sent - bytes);
    if (!connection.closed)
      this.keep(connection, this.message, Message.CrlfAt + sent, Message.CrlfAt + Message.CrlfBytes);
  }

  /** One sendmsg of the three pieces. Bytes the socket took, or -1 when the connection was closed on an error. */
  private pushAll(
    connection: Connection,
    start: number,
    head: number,
    source: Region,
    sourceStart: number,
    bytes: number,
  ): number {
    const { view, address } = this.message;
    // struct msghdr at 0 (its iovec pointer and count at 16 and 24), three struct iovec at 64.
    setAddress(view, 16, address + 64);
    view.setUint32(24, 3, true);
    setAddress(view, 64, this.send.address + start);
    view.setUint32(72, head, true);
    setAddress(view, 80, source.address + sourceStart);
    view.setUint32(88, bytes, true);
    setAddress(view, 96, address + Message.CrlfAt);
    view.setUint32(104, Message.CrlfBytes, true);
    const sent = outcome(this.c.sendmsg(connection.fd, address, Send.DontWait | Send.NoSignal));
    if (sent >= 0) {
      connection.bytesOut += sent;
      return sent;
    }
    if (sent === -Errno.Again || sent === -Errno.Intr) return 0;
    this.close(connection, true);
    return -1;
  }

  /** Puts [start, end) of the send region into the backlog. */
  protected keepUnsent(connection: Connection, start: number, end: number): void {
    this.keep(connection, this.send, start, end);
  }

  /** The first bytes of a backlog are here because the socket did not take them; behind others they wait as those do. */
  private keep(connection: Connection, source: Region, start: number, end: number): void {
    const fresh = connection.backlog === null;
    if (!connection.appendBacklog(this.pool, source, start, end - start)) this.close(connection, true);
    else if (fresh) this.awaitRoom(connection);
  }

  private awaitRoom(connection: Connection): void {
    connection.awaiting = true;
    this.watchWritable(connection);
  }

  follows(connection: Connection, _at: number): boolean {
    return connection.backlog === null && !connection.closed && !connection.draining;
  }

  post(connection: Connection, source: Region, start: number, bytes: number): void {
    if (bytes === 0 || connection.closed || connection.draining) return;
    this.holdQueued(connection);
    if (!connection.closed) this.hold(connection, source, start, bytes);
  }

  /** Appends to the backlog what a flush will send. */
  protected hold(connection: Connection, source: Region, start: number, bytes: number): void {
    if (!connection.appendBacklog(this.pool, source, start, bytes)) this.close(connection, true);
  }

  flush(connection: Connection): void {
    if (!connection.awaiting) this.writable(connection);
  }

  /** Bytes the socket took, 0 when it is full, -1 when the connection was closed on an error. */
  private push(connection: Connection, region: Region, start: number, end: number): number {
    let at = start;
    while (at < end) {
      const sent = outcome(
        this.c.send(connection.fd, region.address + at, end - at, Send.DontWait | Send.NoSignal),
      );
      if (sent > 0) at += sent;
      else if (sent === -Errno.Intr) continue;
      else if (sent === -Errno.Again || sent === 0) break;
      else {
        this.close(connection, true);
        return -1;
      }
    }
    connection.bytesOut += at - start;
    return at - start;
  }

  /** The socket takes bytes again, as far as is known. */
  protected writable(connection: Connection): void {
    const { backlog } = connection;
    if (connection.closed || backlog === null) return;
    connection.awaiting = false;
    const sent = this.push(connection, backlog, connection.backlogStart, connection.backlogEnd);
    if (sent < 0) return;
    connection.backlogStart += sent;
    if (connection.backlogBytes > 0) {
      this.awaitRoom(connection);
      return;
    }
    connection.releaseBacklog(this.pool);
    if (connection.draining) this.close(connection, true);
  }

  close(connection: Connection, now: boolean): void {
    if (connection.closed) return;
    if (!now) {
      this.flushQueued(connection);
      if (connection.closed) return;
      if (connection.backlogBytes > 0) {
        connection.draining = true;
        this.flush(connection);
        return;
      }
    }
    connection.closed = true;
    this.events.closed(connection);
    connection.releaseInput(this.pool);
    connection.releaseBacklog(this.pool);
    this.release(connection);
  }
}
