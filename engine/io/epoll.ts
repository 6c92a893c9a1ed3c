// epoll.ts: the driver for Linux where io_uring is denied (container runtimes often do). Edge-triggered epoll, one
// receive and one send a ready connection a turn.
// On the data path: no allocation in a turn. Neighbours: blocking-driver.ts has all but the waiting and receiving.
import { need, Region } from "../memory/region.ts";
import { BlockingDriver } from "./blocking-driver.ts";
import type { Connection } from "./connection.ts";
import type { DriverOptions } from "./driver.ts";
import { Errno, outcome } from "./native.ts";

const enum Epoll {
  In = 1,
  Out = 4,
  /** ERR | HUP | RDHUP */
  HungUp = 0x2018,
  /** What a connection is watched for, once for all: IN | OUT | RDHUP | ET. OUT rises only after a send fell short. */
  Connection = 0x80002005,
  ReadsPerTurn = 4,
  Add = 1,
  Delete = 2,
  Modify = 3,
  MaxEvents = 256,
  ReceiveBytes = 262144,
}

/** Kind of what an event is about, in the low 32 bits of its data; slots of connections are 0 and up. */
const enum Token {
  Wake = -1,
  FirstListener = -2,
}

const eventBytes = process.arch === "x64" ? 12 : 16;
const dataAt = process.arch === "x64" ? 4 : 8;

export class EpollDriver extends BlockingDriver {
  readonly name = "epoll";
  private readonly fd: number;
  private readonly ready = need(Region.private(8192), "epoll events");
  private readonly argument = need(Region.private(4096), "epoll arguments");
  private readonly receive = need(Region.private(Epoll.ReceiveBytes), "a receive buffer");
  private readonly tcp: boolean[];

  constructor(options: DriverOptions, tcpListeners: number) {
    super(options);
    this.tcp = options.listeners.map((_, index) => index < tcpListeners);
    this.fd = outcome(this.c.epoll_create1(0x80000));
    if (this.fd < 0) throw new Error(`epoll_create1 answered ${this.fd}`);
    this.control(Epoll.Add, options.wakeFd, Epoll.In, Token.Wake);
    options.listeners.forEach((listener, index) => {
      this.c.fcntl(listener, 4 /* F_SETFL */, 0x800 /* O_NONBLOCK */);
      this.control(Epoll.Add, listener, Epoll.In, Token.FirstListener - index);
    });
  }

  private control(operation: number, fd: number, events: number, token: number): void {
    const { view, address } = this.argument;
    view.setUint32(0, events, true);
    view.setInt32(dataAt, token, true);
    view.setInt32(dataAt + 4, token < 0 ? -1 : 0, true);
    this.c.epoll_ctl(this.fd, operation, fd, address);
  }

  run(): void {
    while (this.step());
  }

  private step(): boolean {
    const { ready } = this;
    const count = this.c.epoll_wait(this.fd, ready.address, Epoll.MaxEvents, this.events.sleepMs());
    if (!this.events.turn()) return false;
    for (let i = 0; i < count; i++) {
      const token = ready.view.getInt32(i * eventBytes + dataAt, true);
      const events = ready.view.getUint32(i * eventBytes, true);
      if (token >= 0) {
        const connection = this.connections[token];
        if (connection === null || connection === undefined) continue; // closed earlier in this turn
        if ((events & Epoll.Out) !== 0) this.writable(connection);
        if ((events & ~Epoll.Out) !== 0 && !connection.closed)
          this.readable(connection, (events & Epoll.HungUp) !== 0);
      } else if (token === Token.Wake) this.c.read(this.options.wakeFd, this.argument.address + 64, 8);
      else this.acceptAll(Token.FirstListener - token);
    }
    this.events.endTurn();
    return true;
  }

  private acceptAll(index: number): void {
    if (!this.accepting) return;
    // A bounded batch: level-triggered, so the rest is announced again next turn.
    for (let i = 0; i < 64; i++) {
      const fd = this.c.accept4(this.options.listeners[index]!, null, null, 0x80800 /* NONBLOCK | CLOEXEC */);
      if (fd < 0) return;
      this.admit(fd, this.tcp[index]!);
    }
  }

  /** Reads what has come. Edge-triggered: a read that leaves room has emptied the socket, and more bytes are a new edge;
   *  only an end that came with the last bytes has to be looked for (`hungUp`). */
  private readable(connection: Connection, hungUp: boolean): void {
    for (let reads = 0; reads < Epoll.ReadsPerTurn; reads++) {
      const { input } = connection;
      // A command in pieces is received straight behind what is already there.
      const direct = input !== null && input.bytes - connection.inputEnd >= 4096;
      const region = direct ? input : this.receive;
      const start = direct ? connection.inputEnd : 0;
      const room = Math.min(region.bytes - start, 1 << 20);
      const bytes = outcome(this.c.recv(connection.fd, region.address + start, room, 0));
      if (bytes > 0) {
        connection.bytesIn += bytes;
        if (!connection.draining) this.events.received(connection, region, start, start + bytes);
        if (connection.closed || (bytes < room && !hungUp)) return;
      } else {
        if (bytes === -Errno.Intr) continue;
        if (bytes === -Errno.Again) return;
        this.flush(connection); // replies may wait behind what was posted
        this.close(connection, true);
        return;
      }
    }
    // A flood: the others are served first, then the edge is raised again.
    this.control(Epoll.Modify, connection.fd, Epoll.Connection, connection.slot);
  }

  transmit(connection: Connection, start: number, end: number): number {
    if (end === start || connection.closed) return start;
    if (connection.backlog !== null) this.keepUnsent(connection, start, end);
    else this.sendNow(connection, start, end);
    return start;
  }

  stopAccepting(): void {
    if (!this.accepting) return;
    this.accepting = false;
    for (const listener of this.options.listeners) this.control(Epoll.Delete, listener, 0, 0);
  }

  protected watchReadable(connection: Connection): void {
    this.control(Epoll.Add, connection.fd, Epoll.Connection, connection.slot);
  }

  protected watchWritable(): void {
    // Always watched: the edge comes when the socket has room again.
  }

  protected flushQueued(): void {
    // Nothing is ever queued: transmit sends at once.
  }

  protected holdQueued(): void {
    // Nor here.
  }

  protected release(connection: Connection): void {
    this.c.close(connection.fd);
    this.forget(connection);
  }
}
