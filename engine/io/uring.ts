// uring.ts: the driver for Linux with io_uring: multishot accept and receive into a ring of provided buffers, and all
// sends of a turn submitted by the same call that waits for the next one: one system call a turn.
//
// ABI: linux/io_uring.h. Submission entry (64 bytes, i32 words): 0 opcode | flags << 8 | ioprio << 16, 1 fd, 2-3 offset,
// 4-5 address, 6 length, 7 operation flags, 8-9 user data, 10 buffer group. Completion (16 bytes): 0-1 user data,
// 2 result, 3 flags (bit 1: more to come; high half: buffer number).
// User data: low word kind | slot << 4, high word the connection's generation, so that a late completion of a closed
// connection finds nobody.
//
// Sends ask the socket once (MSG_DONTWAIT) and for everything (MSG_WAITALL) and post a completion only when they fall
// short (CQE_SKIP_SUCCESS). So when the submitting call returns, every send has either gone out whole or its completion
// is there to be read, and the send region can start over: nothing is ever in flight between turns, and a turn is not
// woken by its own sends. Completions of sends are read before all others of a turn, while their bytes still stand.
// The longest wait is an argument of that call (EXT_ARG), so that a deadline set in a turn holds for the wait after it.
// Invariants: at most one send a connection in a submission; a socket is closed only after its receive has ended.
// On the data path: no allocation in a turn. Neighbours: blocking-driver.ts.
import { assert } from "../memory/assert.ts";
import { need, Region } from "../memory/region.ts";
import { BlockingDriver, setAddress } from "./blocking-driver.ts";
import type { Connection } from "./connection.ts";
import type { DriverOptions } from "./driver.ts";
import { Errno, libc, outcome } from "./native.ts";

const enum Sys {
  Setup = 425,
  Enter = 426,
  Register = 427,
}

const enum Op {
  Nop = 0,
  PollAdd = 6,
  Timeout = 11,
  Accept = 13,
  AsyncCancel = 14,
  Read = 22,
  Send = 26,
  Receive = 27,
}

const enum Setup {
  CqSize = 1 << 3,
  CoopTaskrun = 1 << 8,
  SingleIssuer = 1 << 12,
  DeferTaskrun = 1 << 13,
  NoSqArray = 1 << 16,
}

const enum Enter {
  GetEvents = 1,
  ExtArg = 8,
}

const enum Feature {
  At = 20, // in struct io_uring_params
  ExtArg = 1 << 8,
}

/** Where in the argument region things lie that the kernel reads or writes. */
const enum Argument {
  /** The eventfd's count. */
  Wake = 256,
  /** struct __kernel_timespec of the pause after a failed accept. */
  Pause = 384,
  /** struct io_uring_getevents_arg (24 bytes), and the struct __kernel_timespec it points to. */
  Wait = 512,
  WaitBytes = 24,
  WaitTime = 544,
}

/** How long accept rests after it failed, ms. */
const PAUSE_MS = 100;

const enum Sqe {
  BufferSelect = 1 << 5,
  SkipSuccess = 1 << 6,
  Multishot = 1, // ioprio of accept
  ReceiveMultishot = 2, // ioprio of receive
}

const enum Cqe {
  More = 2,
}

const enum Kind {
  Ignore = 0,
  Accept = 1,
  Receive = 2,
  Send = 3,
  Wake = 4,
  Pause = 5,
  Writable = 6,
}

const enum Ring {
  Entries = 1024,
  Completions = 4096,
  Buffers = 32,
  BufferBytes = 131072,
  BufferGroup = 1,
}

const SEND_FLAGS = 0x40 | 0x100 | 0x4000; // DONTWAIT | WAITALL | NOSIGNAL
/** Replies of this size are sent at once, so that a turn of large ones does not pile up in memory. */
const DIRECT_BYTES = 64 * 1024;

export class UringDriver extends BlockingDriver {
  readonly name = "uring";
  private readonly fd: number;
  private readonly ring: Int32Array;
  private readonly entries: Int32Array;
  private readonly entryMask: number;
  private readonly entryCount: number;
  private readonly tailWord: number;
  private readonly headWord: number;
  private readonly cqHeadWord: number;
  private readonly cqTailWord: number;
  private readonly cqMask: number;
  private readonly cqesWord: number;
  private readonly buffers: Region;
  private readonly bufferRing: Region;
  private readonly argument = need(Region.private(4096), "io_uring arguments");
  private bufferTail = 0;
  private tail = 0;
  private pending = 0;
  private epoch = 1;
  private generations = new Int32Array(1024);
  private readonly queuedEpoch: number[] = [];
  private readonly closing: (Connection | null)[] = [];

  /** Throws, saying why, when the kernel does not offer what this needs. */
  constructor(
    options: DriverOptions,
    private readonly tcpListeners: number,
  ) {
    super(options);
    const { view, u8, address } = this.argument;
    const wanted = Setup.SingleIssuer | Setup.DeferTaskrun | Setup.CoopTaskrun | Setup.CqSize;
    const setup = (flags: number) => {
      u8.fill(0, 0, 120);
      view.setUint32(4, Ring.Completions, true);
      view.setUint32(8, flags, true);
      return outcome(this.c.syscall(Sys.Setup, Ring.Entries, address, 0, 0, 0, 0));
    };
    let fd = setup(wanted | Setup.NoSqArray);
    const array = fd === -Errno.Inval;
    if (array) fd = setup(wanted);
    if (fd < 0) throw new Error(`io_uring_setup: errno ${-fd}`);
    this.fd = fd;
    if ((view.getUint32(Feature.At, true) & Feature.ExtArg) === 0) {
      this.c.close(fd);
      throw new Error("io_uring_enter takes no timeout");
    }
    const sqEntries = view.getUint32(0, true);
    const cqEntries = view.getUint32(4, true);
    const sqArray = view.getUint32(64, true);
    const cqes = view.getUint32(100, true);
    const bytes = Math.max(array ? sqArray + sqEntries * 4 : 0, cqes + cqEntries * 16);
    const ring = this.map(bytes, 0);
    this.ring = ring.i32;
    this.entries = this.map(sqEntries * 64, 0x10000000).i32;
    this.headWord = view.getUint32(40, true) >> 2;
    this.tailWord = view.getUint32(44, true) >> 2;
    this.entryMask = sqEntries - 1;
    this.entryCount = sqEntries;
    this.cqHeadWord = view.getUint32(80, true) >> 2;
    this.cqTailWord = view.getUint32(84, true) >> 2;
    this.cqMask = cqEntries - 1;
    this.cqesWord = cqes >> 2;
    if (array) for (let i = 0; i < sqEntries; i++) ring.i32[(sqArray >> 2) + i] = i;
    this.tail = this.ring[this.tailWord]!;

    this.bufferRing = need(Region.private(4096), "the buffer ring");
    this.buffers = need(Region.private(Ring.Buffers * Ring.BufferBytes), "receive buffers");
    u8.fill(0, 0, 40);
    setAddress(view, 0, this.bufferRing.address);
    view.setUint32(8, Ring.Buffers, true);
    view.setUint16(12, Ring.BufferGroup, true);
    const registered = outcome(
      this.c.syscall(Sys.Register, this.fd, 22 /* REGISTER_PBUF_RING */, address, 1, 0, 0),
    );
    if (registered < 0) {
      this.c.close(this.fd);
      throw new Error(`provided buffer rings: errno ${-registered}`);
    }
    for (let id = 0; id < Ring.Buffers; id++) this.provide(id);
    this.publishBuffers();

    options.listeners.forEach((_, index) => {
      this.armAccept(index);
    });
    this.armWake();
    view.setUint32(Argument.Pause + 8, PAUSE_MS * 1_000_000, true);
    setAddress(view, Argument.Wait + 16, address + Argument.WaitTime);
  }

  private map(bytes: number, offset: number): Region {
    const whole = (bytes + 4095) & ~4095;
    const address = libc().mmap(null, whole, 3, 0x8001 /* SHARED | POPULATE */, this.fd, offset);
    if (address <= 0 || address >= 2 ** 47) throw new Error("mapping the ring failed");
    return Region.attach(address, whole);
  }

  private provide(id: number): void {
    const { view } = this.bufferRing;
    const entry = (this.bufferTail & (Ring.Buffers - 1)) * 16;
    setAddress(view, entry, this.buffers.address + id * Ring.BufferBytes);
    view.setUint32(entry + 8, Ring.BufferBytes, true);
    view.setUint16(entry + 12, id, true);
    this.bufferTail = (this.bufferTail + 1) & 0xffff;
  }

  private publishBuffers(): void {
    this.bufferRing.view.setUint16(14, this.bufferTail, true);
  }

  /** Writes a submission entry and returns its number in the ring. */
  private submit(
    op: number,
    flags: number,
    priority: number,
    fd: number,
    address: number,
    length: number,
    opFlags: number,
    kind: number,
    slot: number,
  ): number {
    if (this.pending >= this.entryCount - 1) {
      this.flushSubmissions();
      assert(this.pending < this.entryCount, "the kernel takes submissions");
    }
    const { entries } = this;
    const index = this.tail & this.entryMask;
    const at = index << 4;
    entries[at] = op | (flags << 8) | (priority << 16);
    entries[at + 1] = fd;
    entries[at + 2] = 0;
    entries[at + 3] = 0;
    entries[at + 4] = address | 0;
    entries[at + 5] = (address / 4294967296) | 0;
    entries[at + 6] = length;
    entries[at + 7] = opFlags;
    entries[at + 8] = kind | (slot << 4);
    entries[at + 9] = this.generations[slot]!;
    entries[at + 10] = (flags & Sqe.BufferSelect) !== 0 ? Ring.BufferGroup : 0;
    entries[at + 11] = 0;
    entries[at + 12] = 0;
    entries[at + 13] = 0;
    entries[at + 14] = 0;
    entries[at + 15] = 0;
    this.tail = (this.tail + 1) | 0;
    this.pending++;
    return index;
  }

  /** Submits everything and goes on at once. */
  private enter(): void {
    this.submitAll(0, 0, 0, 0);
  }

  /** Submits everything and sleeps until there is a completion or the worker's time is up. */
  private enterAndWait(): void {
    const sleepMs = this.events.sleepMs();
    if (sleepMs <= 0) {
      // Asking for none still runs what the kernel has put off.
      this.submitAll(0, Enter.GetEvents, 0, 0);
      return;
    }
    const { view, address } = this.argument;
    const seconds = Math.floor(sleepMs / 1000);
    view.setUint32(Argument.WaitTime, seconds, true);
    view.setUint32(Argument.WaitTime + 8, Math.floor((sleepMs - seconds * 1000) * 1_000_000), true);
    const flags = Enter.GetEvents | Enter.ExtArg;
    this.submitAll(1, flags, address + Argument.Wait, Argument.WaitBytes);
  }

  private submitAll(wait: number, flags: number, argument: number, argumentBytes: number): void {
    const { ring } = this;
    ring[this.tailWord] = this.tail;
    this.epoch++;
    for (;;) {
      const result = outcome(
        this.c.syscall(Sys.Enter, this.fd, this.pending, wait, flags, argument, argumentBytes),
      );
      if (result >= 0) {
        this.pending -= result;
        // Less than all: an entry failed at submission and has its completion; the rest goes with the next call.
        if (this.pending > 0 && wait === 0) continue;
        return;
      }
      if (result === -Errno.Time) return; // nothing was to be submitted, else that would be the result
      if (result === -Errno.Intr) {
        this.pending = (this.tail - ring[this.headWord]!) | 0;
        if (wait !== 0) return;
        continue;
      }
      // No room for completions: what is there must be read first.
      if (result === -Errno.Busy || result === -Errno.Again) return;
      throw new Error(`io_uring_enter: errno ${-result}`);
    }
  }

  /** The submission ring is full in the middle of a turn: submit, and settle failed sends while their bytes stand. */
  private flushSubmissions(): void {
    const from = this.ring[this.cqTailWord]!;
    this.enter();
    this.settleSends(from, this.ring[this.cqTailWord]!);
  }

  run(): void {
    while (this.step());
  }

  /** Lets go of a ring that never ran. */
  dispose(): void {
    this.c.close(this.fd);
  }

  private step(): boolean {
    this.enterAndWait();
    const { ring } = this;
    let head = ring[this.cqHeadWord]!;
    const tail = ring[this.cqTailWord]!;
    this.settleSends(head, tail);
    if (!this.events.turn()) return false;
    while (head !== tail) {
      const at = this.cqesWord + ((head & this.cqMask) << 2);
      const low = ring[at]!;
      const generation = ring[at + 1]!;
      const result = ring[at + 2]!;
      const flags = ring[at + 3]!;
      head = (head + 1) | 0;
      const kind = low & 15;
      if (kind === Kind.Receive) this.receivedInto(low >>> 4, generation, result, flags);
      else if (kind !== Kind.Ignore) this.rare(kind, low >>> 4, generation, result, flags);
    }
    ring[this.cqHeadWord] = head;
    this.publishBuffers();
    this.events.endTurn();
    return true;
  }

  private settleSends(head: number, tail: number): void {
    const { ring } = this;
    for (; head !== tail; head = (head + 1) | 0) {
      const at = this.cqesWord + ((head & this.cqMask) << 2);
      const low = ring[at]!;
      if ((low & 15) !== Kind.Send) continue;
      ring[at] = Kind.Ignore;
      const slot = low >>> 4;
      const connection = this.connections[slot];
      if (connection === null || connection === undefined || connection.closed) continue;
      if (this.generations[slot] !== ring[at + 1]) continue;
      const result = ring[at + 2]!;
      if (result < 0 && result !== -Errno.Again && result !== -Errno.Intr) {
        this.close(connection, true);
        continue;
      }
      const unsent = connection.queuedStart + Math.max(0, result);
      connection.bytesOut -= connection.queuedEnd - unsent;
      if (unsent < connection.queuedEnd) this.keepUnsent(connection, unsent, connection.queuedEnd);
    }
  }

  private receivedInto(slot: number, generation: number, result: number, flags: number): void {
    const connection = this.generations[slot] === generation ? this.connections[slot] : this.closing[slot];
    const more = (flags & Cqe.More) !== 0;
    if (result > 0) {
      const id = flags >>> 16;
      if (connection !== null && connection !== undefined && !connection.closed) {
        connection.bytesIn += result;
        const start = id * Ring.BufferBytes;
        if (!connection.draining) this.events.received(connection, this.buffers, start, start + result);
      }
      this.provide(id);
      if (!more && connection !== null && connection !== undefined) this.receiveEnded(connection, true);
      return;
    }
    if (connection === null || connection === undefined || more) return;
    this.receiveEnded(connection, result === -Errno.NoBufs || result === -Errno.Intr);
  }

  /** The multishot receive of a connection is over: go on, or finish closing. */
  private receiveEnded(connection: Connection, again: boolean): void {
    if (connection.closed) {
      this.closing[connection.slot] = null;
      this.c.close(connection.fd);
      this.forget(connection);
    } else if (again) this.watchReadable(connection);
    else {
      // The other end is gone, or has sent all it had to say and reads on: it gets this turn's replies first. Then
      // nothing of ours is pending on the socket, so it can be closed at once.
      this.ended = connection;
      this.flushQueued(connection);
      this.flush(connection); // they may wait behind what was posted
      this.close(connection, true);
      this.ended = null;
    }
  }

  private ended: Connection | null = null;

  private rare(kind: number, slot: number, generation: number, result: number, flags: number): void {
    const more = (flags & Cqe.More) !== 0;
    if (kind === Kind.Accept) {
      if (result >= 0) {
        if (this.accepting) this.admit(result, slot < this.tcpListeners);
        else this.c.close(result);
      }
      // Out of descriptors, say: try again a little later rather than at once.
      if (!more && this.accepting) {
        if (result >= 0) this.armAccept(slot);
        else this.pauseAccept(slot);
      }
    } else if (kind === Kind.Wake) this.armWake();
    else if (kind === Kind.Pause) this.armAccept(slot);
    else if (kind === Kind.Writable && this.generations[slot] === generation) {
      const connection = this.connections[slot];
      if (connection !== null && connection !== undefined) this.writable(connection);
    }
  }

  private armAccept(index: number): void {
    if (!this.accepting) return;
    const fd = this.options.listeners[index]!;
    this.submit(Op.Accept, 0, Sqe.Multishot, fd, 0, 0, 0x80000 /* CLOEXEC */, Kind.Accept, index);
  }

  private armWake(): void {
    const { address } = this.argument;
    this.submit(Op.Read, 0, 0, this.options.wakeFd, address + Argument.Wake, 8, 0, Kind.Wake, 0);
  }

  /** An operation and not the wait's own timeout: a busy worker never waits that long. */
  private pauseAccept(index: number): void {
    const { address } = this.argument;
    this.submit(Op.Timeout, 0, 0, -1, address + Argument.Pause, 1, 0, Kind.Pause, index);
  }

  override follows(connection: Connection, at: number): boolean {
    if (!super.follows(connection, at)) return false;
    const queued = this.queuedEpoch[connection.slot] === this.epoch && connection.queuedEntry >= 0;
    return !queued || connection.queuedEnd === at;
  }

  transmit(connection: Connection, start: number, end: number): number {
    if (end === start || connection.closed) return start;
    if (connection.backlog !== null) {
      this.keepUnsent(connection, start, end);
      return start;
    }
    const { slot } = connection;
    if (this.queuedEpoch[slot] === this.epoch && connection.queuedEntry >= 0) {
      if (connection.queuedEnd === start && end - connection.queuedStart < DIRECT_BYTES) {
        // More replies right behind the first: one longer send.
        connection.queuedEnd = end;
        connection.bytesOut += end - start;
        this.entries[(connection.queuedEntry << 4) + 6] = end - connection.queuedStart;
        return end;
      }
      this.flushQueued(connection);
      if (connection.closed) return start;
      if (connection.backlog !== null) this.keepUnsent(connection, start, end);
      else this.sendNow(connection, start, end);
      return start;
    }
    if (end - start >= DIRECT_BYTES) {
      this.sendNow(connection, start, end);
      return start;
    }
    connection.queuedStart = start;
    connection.queuedEnd = end;
    connection.bytesOut += end - start;
    const entry = this.submit(
      Op.Send,
      Sqe.SkipSuccess,
      0,
      connection.fd,
      this.send.address + start,
      end - start,
      SEND_FLAGS,
      Kind.Send,
      slot,
    );
    connection.queuedEntry = entry;
    this.queuedEpoch[slot] = this.epoch; // after submit: it may have begun a new epoch
    return end;
  }

  protected flushQueued(connection: Connection): void {
    if (this.queuedEpoch[connection.slot] !== this.epoch || connection.queuedEntry < 0) return;
    this.dropQueued(connection);
    this.sendNow(connection, connection.queuedStart, connection.queuedEnd);
  }

  protected holdQueued(connection: Connection): void {
    if (this.queuedEpoch[connection.slot] !== this.epoch || connection.queuedEntry < 0) return;
    this.dropQueued(connection);
    this.hold(connection, this.send, connection.queuedStart, connection.queuedEnd - connection.queuedStart);
  }

  /** Turns the connection's send of this turn, if any, into a no-op. */
  private dropQueued(connection: Connection): void {
    if (this.queuedEpoch[connection.slot] !== this.epoch || connection.queuedEntry < 0) return;
    const at = connection.queuedEntry << 4;
    this.entries[at] = Op.Nop | (Sqe.SkipSuccess << 8); // its completion would end the next wait
    this.entries[at + 7] = 0;
    this.entries[at + 8] = Kind.Ignore;
    connection.queuedEntry = -1;
    connection.bytesOut -= connection.queuedEnd - connection.queuedStart;
  }

  stopAccepting(): void {
    if (!this.accepting) return;
    this.accepting = false;
    for (const listener of this.options.listeners)
      this.submit(Op.AsyncCancel, 0, 0, listener, 0, 0, 3 /* CANCEL_ALL | CANCEL_FD */, Kind.Ignore, 0);
  }

  protected watchReadable(connection: Connection): void {
    const { slot } = connection;
    if (slot >= this.generations.length) {
      const larger = new Int32Array(this.generations.length * 2);
      larger.set(this.generations);
      this.generations = larger;
    }
    this.submit(
      Op.Receive,
      Sqe.BufferSelect,
      Sqe.ReceiveMultishot,
      connection.fd,
      0,
      0,
      0,
      Kind.Receive,
      slot,
    );
  }

  protected watchWritable(connection: Connection): void {
    this.submit(Op.PollAdd, 0, 0, connection.fd, 0, 0, 4 /* POLLOUT */, Kind.Writable, connection.slot);
  }

  protected release(connection: Connection): void {
    const { slot } = connection;
    this.dropQueued(connection); // its descriptor may soon be somebody else's
    this.generations[slot] = (this.generations[slot]! + 1) | 0;
    if (this.ended === connection) {
      // Wakes a wait for room in the socket, which would keep it alive.
      this.c.shutdown(connection.fd, 2);
      this.c.close(connection.fd);
      this.forget(connection);
      return;
    }
    // The receive still holds the socket: shutting it down ends the receive, whose last completion closes it.
    this.closing[slot] = connection;
    this.connections[slot] = null;
    this.c.shutdown(connection.fd, 2);
  }
}
