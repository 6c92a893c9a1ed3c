// bun.ts: the driver on Bun.listen: for systems without epoll or io_uring. Event-driven: `run` returns at once and the
// worker lives on its event loop, woken by a timer to look at what other workers said.
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

/** How often a worker that nobody speaks to looks at what the others ordered. */
const TURN_MS = 50;

const CHUNK_BYTES = 1 << 20;

export class BunDriver implements Driver {
  readonly name = "bun";
  private readonly listeners: Listener[] = [];
  private readonly sockets: (Socket<Attached> | null)[] = [];
  private readonly freeSlots: number[] = [];
  private readonly receive = need(Region.private(CHUNK_BYTES), "a receive buffer");
  private readonly crlf = need(Region.private(4096), "the end of a bulk string");
  private timer: ReturnType<typeof setInterval> | undefined;
  private accepting = true;

  constructor(
    private readonly options: DriverOptions,
    private readonly addresses: readonly BunAddress[],
    private readonly ended: () => void,
  ) {}

  run(): void {
    this.crlf.u8.set([13, 10], 0);
    const { events } = this.options;
    const driver = this;
    const socket = {
      open(socket: Socket<Attached>) {
        driver.begin();
        const local = socket.localAddress === undefined ? "" : `${socket.localAddress}:${socket.localPort}`;
        const peer = socket.remoteAddress === undefined ? "" : `${socket.remoteAddress}:${socket.remotePort}`;
        const connection = driver.accepting ? events.accepted(driver.fdOf(socket), peer, local) : null;
        socket.data = { connection };
        if (connection === null) {
          socket.end(driver.options.refusal);
          return;
        }
        if (peer !== "") {
          socket.setNoDelay(true);
          socket.setKeepAlive(true, driver.options.keepaliveSeconds * 1000);
        }
        const slot = driver.freeSlots.pop() ?? driver.sockets.length;
        connection.slot = slot;
        driver.sockets[slot] = socket;
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
        }
      },
      drain(socket: Socket<Attached>) {
        const { connection } = socket.data;
        if (connection !== null) driver.drain(connection, socket);
      },
      close(socket: Socket<Attached>) {
        driver.lost(socket);
      },
      error(socket: Socket<Attached>) {
        driver.lost(socket);
      },
    };
    for (const { unix, hostname = "", port = 0 } of this.addresses)
      if (unix !== undefined)
        this.listeners.push(Bun.listen<Attached>({ unix, socket, data: { connection: null } }));
      else {
        const shared = { hostname, port, reusePort: true, socket, data: { connection: null } };
        this.listeners.push(Bun.listen<Attached>(shared));
      }
    this.timer = setInterval(() => this.begin(), TURN_MS);
  }

  private fdOf(socket: Socket<Attached>): number {
    return (socket as unknown as { fd?: number }).fd ?? -1;
  }

  /** A turn begins; or the worker says it is over. */
  private begin(): void {
    if (this.options.events.turn()) return;
    clearInterval(this.timer);
    for (const listener of this.listeners) listener.stop(true);
    this.ended();
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
    if (connection.backlog === null) at += Math.max(0, socket.write(source.u8.subarray(start, end)));
    connection.bytesOut += at - start;
    if (at < end && !connection.appendBacklog(this.options.pool, source, at, end - at))
      this.close(connection, true);
  }

  private drain(connection: Connection, socket: Socket<Attached>): void {
    const { backlog } = connection;
    if (connection.closed || backlog === null) return;
    const wrote = socket.write(backlog.u8.subarray(connection.backlogStart, connection.backlogEnd));
    const sent = Math.max(0, wrote);
    connection.bytesOut += sent;
    connection.backlogStart += sent;
    if (connection.backlogBytes > 0) return;
    connection.releaseBacklog(this.options.pool);
    if (connection.draining) this.close(connection, true);
  }

  close(connection: Connection, now: boolean): void {
    if (connection.closed) return;
    if (!now && connection.backlogBytes > 0) {
      connection.draining = true;
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
