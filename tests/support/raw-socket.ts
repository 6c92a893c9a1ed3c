// raw-socket.ts: a client's socket without a library around it: for tests that must stop reading, send half a command,
// reset a connection or hold ten thousand of them. Linux only.
//
// Every call returns at once; what has to wait does so between turns of the test's own event loop, up to a deadline.
// Neighbours: server.ts starts what these connect to.
import { dlopen, FFIType, type Pointer, read as peek } from "bun:ffi";
import { need, Region } from "../../engine/memory/region.ts";

const { ptr, i32, u32, u64: usize, i64_fast: long } = FFIType;

const libc = dlopen("libc.so.6", {
  socket: { args: [i32, i32, i32], returns: i32 },
  connect: { args: [i32, ptr, u32], returns: i32 },
  setsockopt: { args: [i32, i32, i32, ptr, u32], returns: i32 },
  send: { args: [i32, ptr, usize, i32], returns: long },
  recv: { args: [i32, ptr, usize, i32], returns: long },
  shutdown: { args: [i32, i32], returns: i32 },
  close: { args: [i32], returns: i32 },
  __errno_location: { args: [], returns: ptr },
}).symbols;

const DONT_WAIT = 0x40 | 0x4000; // and no signal
const SCRATCH_BYTES = 1 << 20;
const EAGAIN = 11;
const argument = need(Region.private(4096), "addresses");
const scratch = need(Region.private(SCRATCH_BYTES), "bytes of a socket");
const addressOf = (region: Region) => region.address as Pointer;

function errno(): number {
  return peek.i32(libc.__errno_location() as Pointer, 0);
}

export interface SocketOptions {
  /** SO_RCVBUF: a small one fills soon when nobody reads. */
  readonly receiveBytes?: number;
}

/** How long anything may take before the test fails rather than hangs. */
export const PATIENCE_MS = 30_000;

/** Waits until `condition` holds. Throws, naming `what`, when it does not in time. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${patienceMs} ms in vain for: ${what}`);
    await Bun.sleep(2);
  }
}

export class RawSocket {
  /** Why nothing more comes: "" while open, "end" after the peer's end, "reset" after an error. */
  ended = "";
  received = 0;
  private held: Buffer = Buffer.alloc(0);
  private pieces: Uint8Array[] = [];
  private pendingBytes = 0;

  private constructor(readonly fd: number) {}

  /** A connection to 127.0.0.1:port or to a Unix socket's path. */
  static open(target: number | string, options: SocketOptions = {}): RawSocket {
    const fd = libc.socket(typeof target === "number" ? 2 : 1, 0x80001, 0);
    if (fd < 0) throw new Error(`socket: errno ${errno()}`);
    const { view, u8 } = argument;
    if (options.receiveBytes !== undefined) {
      view.setInt32(0, options.receiveBytes, true);
      libc.setsockopt(fd, 1, 8, addressOf(argument), 4);
    }
    u8.fill(0, 0, 128);
    let bytes = 16;
    if (typeof target === "number") {
      view.setUint16(0, 2, true);
      view.setUint16(2, target, false);
      u8.set([127, 0, 0, 1], 4);
    } else {
      const path = new TextEncoder().encode(target);
      view.setUint16(0, 1, true);
      u8.set(path, 2);
      bytes = 3 + path.length;
    }
    if (libc.connect(fd, addressOf(argument), bytes) !== 0) {
      const reason = errno();
      libc.close(fd);
      throw new Error(`connect to ${target}: errno ${reason}`);
    }
    return new RawSocket(fd);
  }

  /** Hands bytes to the kernel. Returns how many it took. */
  offer(bytes: Uint8Array): number {
    let at = 0;
    while (at < bytes.length) {
      const piece = bytes.subarray(at, at + SCRATCH_BYTES);
      scratch.u8.set(piece, 0);
      const sent = Number(libc.send(this.fd, addressOf(scratch), piece.length, DONT_WAIT));
      if (sent < 0) {
        if (errno() !== EAGAIN) this.ended ||= "reset";
        break;
      }
      at += sent;
      if (sent < piece.length) break;
    }
    return at;
  }

  /** Sends everything, waiting for room; false when the connection broke first. What arrives meanwhile is kept, unless
   *  `deaf`: then nothing is read. */
  async send(bytes: Uint8Array | string, deaf = false): Promise<boolean> {
    let rest = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      rest = rest.subarray(this.offer(rest));
      if (rest.length === 0) return true;
      if (this.ended !== "") return false;
      if (!deaf) this.pump();
      if (performance.now() > deadline) throw new Error("the peer takes no more bytes");
      await Bun.sleep(0);
    }
  }

  /** Takes what has arrived, at most `most` bytes. Returns how many came now. */
  pump(most = Number.POSITIVE_INFINITY): number {
    let taken = 0;
    while (this.ended === "" && taken < most) {
      const room = Math.min(SCRATCH_BYTES, most - taken);
      const got = Number(libc.recv(this.fd, addressOf(scratch), room, DONT_WAIT));
      if (got === 0) this.ended = "end";
      else if (got < 0) {
        if (errno() === EAGAIN) break;
        this.ended = "reset";
      } else {
        this.pieces.push(scratch.u8.slice(0, got));
        this.pendingBytes += got;
        taken += got;
        if (got < room) break;
      }
    }
    this.received += taken;
    return taken;
  }

  /** What has arrived so far, or its first `bytes` bytes, taken off. */
  take(bytes = this.pendingBytes): Buffer {
    if (this.pieces.length > 0) this.held = Buffer.concat([this.held, ...this.pieces]);
    this.pieces = [];
    const taken = this.held.subarray(0, bytes);
    this.held = this.held.subarray(taken.length);
    this.pendingBytes = this.held.length;
    return taken;
  }

  /** The next `bytes` bytes. Throws when the connection ends or time runs out before. */
  async read(bytes: number): Promise<Buffer> {
    const deadline = performance.now() + PATIENCE_MS;
    while (this.pendingBytes < bytes) {
      if (this.pump() > 0) continue;
      if (this.pendingBytes >= bytes) break;
      if (this.ended !== "" || performance.now() > deadline)
        throw new Error(
          `${this.pendingBytes} of ${bytes} bytes came, then ${this.ended || "nothing"}: ${show(this.take())}`,
        );
      await Bun.sleep(0);
    }
    return this.take(bytes);
  }

  /** Asserts, in effect: the next bytes are exactly `text`. Throws with both when they are not. */
  async expect(text: string): Promise<void> {
    const got = (await this.read(text.length)).toString("latin1");
    if (got !== text) throw new Error(`expected ${show(text)}, got ${show(got)}`);
  }

  /** Everything until the peer closes. */
  async readToEnd(): Promise<string> {
    await until("the peer's end", () => {
      this.pump();
      return this.ended !== "";
    });
    return this.take().toString("latin1");
  }

  /** One reply of a single line or bulk string, as text without its frame; null for a null. */
  async reply(): Promise<string | null> {
    let line = "";
    while (!line.endsWith("\r\n")) line += (await this.read(1)).toString("latin1");
    if (line[0] !== "$") return line.slice(0, -2);
    const bytes = Number(line.slice(1, -2));
    if (bytes < 0) return null;
    return (await this.read(bytes + 2)).toString("latin1").slice(0, -2);
  }

  /** Sends one command and returns its reply: for replies of a line or a bulk string. */
  async ask(...words: string[]): Promise<string | null> {
    await this.send(command(...words));
    return this.reply();
  }

  /** Sends no more; still reads. */
  finish(): void {
    libc.shutdown(this.fd, 1);
  }

  close(): void {
    this.ended ||= "closed";
    libc.close(this.fd);
  }

  /** Closes with a reset instead of an orderly end. */
  reset(): void {
    argument.view.setInt32(0, 1, true);
    argument.view.setInt32(4, 0, true);
    libc.setsockopt(this.fd, 1, 13, addressOf(argument), 8); // SO_LINGER, 0 s
    this.close();
  }
}

/** A command as an array of bulk strings; words are Latin-1. */
export function command(...words: string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
}

export function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`;
}

function show(bytes: string | Buffer): string {
  const text = JSON.stringify(bytes.toString("latin1"));
  return text.length > 300 ? `${text.slice(0, 300)}... (${text.length})` : text;
}
