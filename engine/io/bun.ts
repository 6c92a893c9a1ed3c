// bun.ts: the driver on Bun.listen: for systems without epoll or io_uring. Event-driven: `run` returns at once and the
// worker lives on its event loop. Each callback is a turn; so is a ring of the bell, a broadcast channel by which other
// threads wake this one (there is no eventfd to wait for), and a timer, as not everything that is said is rung for.
// Copies each chunk into a region before it is parsed, and allocates a view a send: the portable path, not the fast one.
// Neighbours: driver.ts.
import type { Socket, TCPSocketListener, UnixSocketListener } from "bun";
import { need, Region } from "../memory/region.ts";
import type { Connection } from "./connection.ts";
import type { Driver, DriverOptions } from "./driver.ts";

interface Attached {
  connection: Connection | null;
}

type Listener = TCPSocketListener<Attached> | UnixSocketListener<Attached>;

/** Where to listen; the sockets of the blocking drivers cannot be handed to Bun. */
export interface BunAddress {
  readonly hostname?: string;
  readonly port?: number;
  readonly unix?: string;
}

/** How often at least a worker that nobody speaks to looks at what the others ordered. */
const TURN_MS = 100;

const CHUNK_BYTES = 1 << 20;

export class BunDriver implements Driver {
  readonly name = "bun";
  private readonly listeners: Listener[] = [];
  private readonly sockets: (Socket<Attached> | null)[] = [];
  private readonly freeSlots: number[] = [];
  private readonly receive = need(Region.private(CHUNK_BYTES), "a receive buffer");
  private readonly crlf = need(Region.private(4096), "the end of a bulk string");
  private readonly bell: BroadcastChannel;
  private interval: Timer | undefined;
  /** For what is due before the next turn of the interval, and what it was set to. While it is set it ends before any
   *  longer sleep that is asked for later, so it is only set again for shorter ones. */
  private timer: Timer | undefined;
  private timerMs = TURN_MS;
  /** A turn that is to follow at once. */
  private immediate: NodeJS.Immediate | undefined;
  private inTurn = false;
  private over = false;
  private accepting = true;

  constructor(
    private readonly options: DriverOptions,
    private readonly addresses: readonly BunAddress[],
    /** Name of the channel that wakes this worker. */
    bell: string,
    private readonly ended: () => void,
  ) {
    this.bell = new BroadcastChannel(bell);
  }

  run(): void {
    this.crlf.u8.set([13, 10], 0);
    const { events } = this.options;
    const driver = this;
    const socket = {
      open(socket: Socket<Attached>) {
        driver.begin();
        driver.opened(socket);
        driver.end();
      },
      data(socket: Socket<Attached>, chunk: Uint8Array) {
        const { connection } = socket.data;
        if (connection === null) return;
        connection.bytesIn += chunk.length;
        for (let at = 0; at < chunk.length && !connection.closed && !connection.draining; at += CHUNK_BYTES) {
          const piece = chunk.subarray(at, at + CHUNK_BYTES);
          driver.begin();
          driver.receive.u8.set(piece, 0);
          events.received(connection, driver.receive, 0, piece.length);
          driver.end();
        }
      },
      drain(socket: Socket<Attached>) {
        const { connection } = socket.data;
        if (connection !== null) driver.within(() => driver.writable(connection));
      },
      close(socket: Socket<Attached>) {
        driver.within(() => driver.lost(socket));
      },
      error(socket: Socket<Attached>) {
        driver.within(() => driver.lost(socket));
      },
    };
    for (const { unix, hostname = "", port = 0 } of this.addresses)
      if (unix !== undefined)
        this.listeners.push(Bun.listen<Attached>({ unix, socket, data: { connection: null } }));
      else {
        const shared = { hostname, port, reusePort: true, socket, data: { connection: null } };
        this.listeners.push(Bun.listen<Attached>(shared));
      }
    this.bell.onmessage = () => this.turn();
    this.interval = setInterval(() => this.turn(), TURN_MS);
  }

  private opened(socket: Socket<Attached>): void {
    const local = socket.localAddress === undefined ? "" : `${socket.localAddress}:${socket.localPort}`;
    const peer = socket.remoteAddress === undefined ? "" : `${socket.remoteAddress}:${socket.remotePort}`;
    const { events, refusal, keepaliveSeconds } = this.options;
    const connection = this.accepting ? events.accepted(this.fdOf(socket), peer, local) : null;
    socket.data = { connection };
    if (connection === null) {
      socket.end(refusal);
      return;
    }
    if (peer !== "") {
      socket.setNoDelay(true);
      socket.setKeepAlive(true, keepaliveSeconds * 1000);
    }
    const slot = this.freeSlots.pop() ?? this.sockets.length;
    connection.slot = slot;
    this.sockets[slot] = socket;
  }

  private fdOf(socket: Socket<Attached>): number {
    return (socket as unknown as { fd?: number }).fd ?? -1;
  }

  /** A turn begins; or the worker says it is over. */
  private begin(): void {
    if (this.over) return;
    this.inTurn = true;
    if (this.options.events.turn()) return;
    this.inTurn = false;
    this.over = true;
    clearInterval(this.interval);
    clearTimeout(this.timer);
    clearImmediate(this.immediate);
    this.bell.close();
    for (const listener of this.listeners) listener.stop(true);
    this.ended();
  }

  /** The turn ends; the timer is set if the worker is to be woken earlier than it says. */
  private end(): void {
    if (!this.inTurn) return;
    this.options.events.endTurn();
    this.inTurn = false;
    const sleepMs = this.options.events.sleepMs();
    if (sleepMs <= 0) this.immediate ??= setImmediate(() => this.turn());
    else if (sleepMs < this.timerMs) this.setTimer(sleepMs);
  }

  private setTimer(ms: number): void {
    clearTimeout(this.timer);
    this.timerMs = ms;
    this.timer = setTimeout(() => {
      this.timerMs = TURN_MS;
      this.turn();
    }, ms);
  }

  /** A turn in which nothing is received. */
  private turn(): void {
    clearImmediate(this.immediate);
    this.immediate = undefined;
    this.begin();
    this.end();
  }

  /** Runs what may be called for in a turn and between two. */
  private within(what: () => void): void {
    const nested = this.inTurn;
    if (!nested) this.begin();
    what();
    if (!nested) this.end();
  }

  private lost(socket: Socket<Attached>): void {
    const { connection } = socket.data;
    if (connection === null) return;
    socket.data.connection = null;
    this.finish(connection);
    this.sockets[connection.slot] = null;
    this.freeSlots.push(connection.slot);
  }

  private finish(connection: Connection): void {
    if (connection.closed) return;
    connection.closed = true;
    this.options.events.closed(connection);
    connection.releaseInput(this.options.pool);
    connection.releaseBacklog(this.options.pool);
  }

  transmit(connection: Connection, start: number, end: number): number {
    this.write(connection, this.options.send, start, end - start);
    return start;
  }

  transmitWith(
    connection: Connection,
    start: number,
    end: number,
    source: Region,
    sourceStart: number,
    bytes: number,
  ): void {
    this.write(connection, this.options.send, start, end - start);
    this.write(connection, source, sourceStart, bytes);
    this.write(connection, this.crlf, 0, 2);
  }

  private write(connection: Connection, source: Region, start: number, bytes: number): void {
    const socket = this.sockets[connection.slot];
    if (bytes === 0 || connection.closed || socket === null || socket === undefined) return;
    const end = start + bytes;
    let at = start;
    if (connection.backlog === null) {
      at += Math.max(0, socket.write(source.u8.subarray(start, end)));
      connection.bytesOut += at - start;
      connection.awaiting = at < end;
    }
    if (at < end) this.hold(connection, source, at, end - at);
  }

  private hold(connection: Connection, source: Region, start: number, bytes: number): void {
    if (!connection.appendBacklog(this.options.pool, source, start, bytes)) this.close(connection, true);
  }

  follows(connection: Connection): boolean {
    return connection.backlog === null && !connection.closed && !connection.draining;
  }

  post(connection: Connection, source: Region, start: number, bytes: number): void {
    if (bytes > 0 && !connection.closed && !connection.draining) this.hold(connection, source, start, bytes);
  }

  flush(connection: Connection): void {
    if (!connection.awaiting) this.writable(connection);
  }

  /** The socket takes bytes again, as far as is known. */
  private writable(connection: Connection): void {
    const { backlog } = connection;
    const socket = this.sockets[connection.slot];
    if (connection.closed || backlog === null || socket === null || socket === undefined) return;
    const wrote = socket.write(backlog.u8.subarray(connection.backlogStart, connection.backlogEnd));
    const sent = Math.max(0, wrote);
    connection.bytesOut += sent;
    connection.backlogStart += sent;
    connection.awaiting = connection.backlogBytes > 0;
    if (connection.awaiting) return;
    connection.releaseBacklog(this.options.pool);
    if (connection.draining) this.close(connection, true);
  }

  close(connection: Connection, now: boolean): void {
    if (connection.closed) return;
    if (!now && connection.backlogBytes > 0) {
      connection.draining = true;
      this.flush(connection);
      return;
    }
    const socket = this.sockets[connection.slot];
    this.finish(connection);
    if (now && connection.backlogBytes > 0) socket?.terminate();
    else socket?.end();
  }

  stopAccepting(): void {
    this.accepting = false;
    for (const listener of this.listeners) listener.stop(false);
  }
}
