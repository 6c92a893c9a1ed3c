// sockets.ts: connections of the load generators: epoll and sockets through bun:ffi, with buffers made once, so that a
// generator allocates nothing and has no collections of its own in the measured time.
//
// A connection is known by its index. Off the data path of any server. Linux only.
// Neighbours: open-loop.ts and closed-loop.ts, processes of their own, send and receive.

import { dlopen, FFIType, type Pointer, ptr } from "bun:ffi";

const libc = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  send: { args: ["i32", "ptr", "usize", "i32"], returns: FFIType.i64_fast },
  recv: { args: ["i32", "ptr", "usize", "i32"], returns: FFIType.i64_fast },
  epoll_create1: { args: ["i32"], returns: "i32" },
  epoll_ctl: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  epoll_wait: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" },
}).symbols;

const flags = 0x40 | 0x4000; // MSG_DONTWAIT, MSG_NOSIGNAL
const eventWords = process.arch === "x64" ? 3 : 4; // struct epoll_event: packed on x86-64 only; events, then our index
const eventData = process.arch === "x64" ? 1 : 2;
const inputBytes = 1 << 20;

/** Bytes that sockets send from: at a fixed address as long as this lives. */
export class Outgoing {
  readonly bytes: Uint8Array;
  readonly address: number;

  constructor(text: string) {
    this.bytes = new Uint8Array(new ArrayBuffer(text.length));
    this.bytes.set(Buffer.from(text, "latin1"));
    this.address = Number(ptr(this.bytes));
  }
}

export class Sockets {
  /** What `receive` received last lies at its beginning. */
  readonly input = new Uint8Array(new ArrayBuffer(inputBytes));
  private readonly inputAt = Number(ptr(this.input));
  private readonly events: Uint32Array;
  private readonly eventsAt: number;
  private readonly fds: Int32Array;
  private readonly epoll: number;

  /** Connects `count` sockets to 127.0.0.1:port. */
  constructor(
    port: number,
    readonly count: number,
  ) {
    this.events = new Uint32Array(new ArrayBuffer(4 * eventWords * count));
    this.eventsAt = Number(ptr(this.events));
    this.fds = new Int32Array(new ArrayBuffer(4 * count));
    this.epoll = libc.epoll_create1(0);
    const address = new Uint8Array(new ArrayBuffer(16));
    address.set([2, 0, port >> 8, port & 255, 127, 0, 0, 1]); // sockaddr_in: AF_INET, port, 127.0.0.1
    const one = new Int32Array(new ArrayBuffer(4)).fill(1);
    const event = new Uint32Array(new ArrayBuffer(4 * eventWords));
    for (let index = 0; index < count; index++) {
      const fd = libc.socket(2, 1, 0);
      if (fd < 0 || libc.connect(fd, ptr(address), 16) !== 0)
        throw new Error(`cannot connect to port ${port}`);
      libc.setsockopt(fd, 6, 1, ptr(one), 4); // TCP_NODELAY
      event[0] = 1; // EPOLLIN
      event[eventData] = index;
      if (libc.epoll_ctl(this.epoll, 1, fd, ptr(event)) !== 0) throw new Error("epoll_ctl failed");
      this.fds[index] = fd;
    }
  }

  /** How many sockets have something to read now, or within `waitMs`; `ready` tells which. */
  poll(waitMs = 0): number {
    return libc.epoll_wait(this.epoll, this.eventsAt as Pointer, this.count, waitMs);
  }

  /** The socket at place `place` of the last poll. */
  ready(place: number): number {
    return this.events[place * eventWords + eventData];
  }

  /** Hands bytes from `address` on to the kernel. How many it took, -1 for none now. */
  send(index: number, address: number, bytes: number): number {
    return Number(libc.send(this.fds[index], address as Pointer, bytes, flags));
  }

  /** Reads what has come into `input`. How many bytes, 0 for none now. Throws when the server has closed. */
  receive(index: number): number {
    const got = Number(libc.recv(this.fds[index], this.inputAt as Pointer, inputBytes, flags));
    if (got === 0) throw new Error("the server closed a connection");
    return Math.max(got, 0);
  }
}
