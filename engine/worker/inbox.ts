// inbox.ts: messages between workers through shared memory: one inbox a worker, which any worker fills (its own too) and
// only that worker reads. `Mail` is all of them as one worker sees them.
//
// An inbox has two sides, regions of which one is being filled and one being read. Producers append under the inbox's
// lock; the consumer swaps the sides under it, when it has read its own to the end, and reads without it.
//
//   HEADER (128 bytes an inbox, i32 words)   WHO WRITES IT
//    0-1  lock (memory/lock.ts)
//    2    side that is being filled, 0 or 1  the consumer, under the lock
//    3    bytes in it                        producers and the consumer, under the lock; read by the consumer without
//    4    messages that found no room        producers; the consumer takes them
//   16    1: asleep, ring to wake            set by the consumer, cleared by whoever wakes it (a line of its own)
//
//   MESSAGE (at a multiple of 8)   i32 kind, a, b, c, length; 4 bytes unused; the payload, padded to a multiple of 8
//
// Order: messages of one producer are taken in the order they were committed; between producers, in that of the lock.
// Cap: a side takes messages up to `capBytes`, and one message of any size that the region holds when it is empty, so
// that a long reply is late rather than lost. What finds no room is counted, never waited for.
// Sleep: the consumer sets its word and then looks for messages; a producer commits and then looks at the word. Both are
// sequentially consistent, so one of them sees the other, and a worker that is awake costs no system call. Every inbox
// begins asleep.
// On the data path: no allocation but in the first message to a worker, and in waking one under the `bun` driver.
// Neighbours: memory/lock.ts; io/bun.ts listens to what is rung where there is no eventfd; host.ts creates, worker.ts uses.
import { ringEventFd } from "../io/native.ts";
import { lock, unlock } from "../memory/lock.ts";
import { need, Region } from "../memory/region.ts";

/** What a message tells. Its words a, b, c and its bytes are a matter between who sends and who takes the kind. */
export const enum Message {
  Published = 1,
  Invalidated = 2,
  Unblocked = 3,
  /** A line for clients that monitor. */
  Monitored = 4,
  RedirectBroken = 5,
  Written = 6,
}

const enum Header {
  Words = 32,
  Lock = 0,
  Side = 2,
  Bytes = 3,
  Lost = 4,
  Asleep = 16,
}

const enum Field {
  Kind = 0,
  A = 1,
  B = 2,
  C = 3,
  Length = 4,
  Bytes = 24,
}

const SIDE_BYTES = 2 ** 30;
const CAP_BYTES = 256 * 1024 * 1024;
/** The consumer gives pages of a side beyond this back when it has read it. */
const KEEP_BYTES = 1024 * 1024;

/** What another thread needs to attach. */
export interface MailPlan {
  readonly workers: number;
  readonly header: number;
  readonly headerBytes: number;
  /** Two a worker. */
  readonly sides: readonly number[];
  readonly capBytes: number;
  /** Eventfds, one a worker; -1 for a worker with an event loop, which listens to `bells` instead. */
  readonly wakeFds: readonly number[];
  /** Names of the broadcast channels by which a worker without eventfd is woken. */
  readonly bells: readonly string[];
}

export class Mail {
  /** Between begin and commit: where the payload is written. */
  target: Region;

  // The message last taken. Its bytes are valid until the next take().
  kind = 0;
  a = 0;
  b = 0;
  c = 0;
  region: Region;
  start = 0;
  bytes = 0;

  private readonly header: Region;
  private readonly words: Int32Array;
  private readonly sides: (Region | null)[];
  private readonly channels: (BroadcastChannel | null)[];
  private readonly ownWord: number;
  /** What is left of the side being read: [at, end). */
  private at = 0;
  private end = 0;
  // The message that is being written.
  private openWorker = -1;
  private openVersion = 0;
  private openAt = 0;
  private openRoom = 0;

  private constructor(
    private readonly plan: MailPlan,
    readonly own: number,
  ) {
    this.header = Region.attach(plan.header, plan.headerBytes);
    this.words = this.header.i32;
    this.sides = plan.sides.map(() => null);
    this.channels = plan.bells.map(() => null);
    this.ownWord = own * Header.Words;
    this.region = this.sideOf(own, 0);
    this.target = this.region;
  }

  /** `wakeFds`: one a worker, -1 for none. */
  static create(workers: number, wakeFds: readonly number[], capBytes = CAP_BYTES): MailPlan {
    const headerBytes = (workers * Header.Words * 4 + 4095) & ~4095;
    const header = need(Region.shared(headerBytes), "inboxes");
    const sides: number[] = [];
    const bells: string[] = [];
    for (let worker = 0; worker < workers; worker++) {
      for (let side = 0; side < 2; side++) sides.push(need(Region.shared(SIDE_BYTES), "an inbox").address);
      bells.push(`ironcache inbox ${process.pid} ${header.address} ${worker}`);
      header.i32[worker * Header.Words + Header.Asleep] = 1;
    }
    return { workers, header: header.address, headerBytes, sides, capBytes, wakeFds, bells };
  }

  static attach(plan: MailPlan, own: number): Mail {
    return new Mail(plan, own);
  }

  private sideOf(worker: number, side: number): Region {
    const index = worker * 2 + side;
    let region = this.sides[index]!;
    if (region === null) {
      region = Region.attach(this.plan.sides[index]!, SIDE_BYTES);
      this.sides[index] = region;
    }
    return region;
  }

  // Producing

  /** Locks a worker's inbox for one message. Returns the offset in `target` where up to `room` bytes of payload may be
   *  written, or -1 when there is no room: then nothing is locked, and the worker will hear that it missed something.
   *  Between begin and commit nothing else may be locked. */
  begin(worker: number, kind: number, a: number, b: number, c: number, room: number): number {
    const { words } = this;
    const word = worker * Header.Words;
    // Another's sides are attached outside the lock.
    const first = this.sideOf(worker, 0);
    const second = this.sideOf(worker, 1);
    const version = lock(this.header, word + Header.Lock);
    const at = words[word + Header.Bytes]!;
    const end = at + Field.Bytes + room;
    if (!(room >= 0 && end + 8 <= SIDE_BYTES && (end <= this.plan.capBytes || at === 0))) {
      unlock(this.header, word + Header.Lock, version);
      Atomics.add(words, word + Header.Lost, 1);
      this.wake(worker);
      return -1;
    }
    const region = words[word + Header.Side] === 0 ? first : second;
    const { i32 } = region;
    const message = at >> 2;
    i32[message + Field.Kind] = kind;
    i32[message + Field.A] = a;
    i32[message + Field.B] = b;
    i32[message + Field.C] = c;
    this.target = region;
    this.openWorker = worker;
    this.openVersion = version;
    this.openAt = at;
    this.openRoom = room;
    return at + Field.Bytes;
  }

  /** Ends the message begun, with the first `bytes` bytes of its room as its payload, and wakes the worker if it sleeps. */
  commit(bytes: number): void {
    const { openWorker: worker, openAt: at } = this;
    const word = worker * Header.Words;
    const fits = bytes >= 0 && bytes <= this.openRoom;
    if (fits) {
      this.target.i32[(at >> 2) + Field.Length] = bytes;
      Atomics.store(this.words, word + Header.Bytes, (at + Field.Bytes + bytes + 7) & ~7);
    }
    this.openWorker = -1;
    unlock(this.header, word + Header.Lock, this.openVersion);
    if (!fits) throw new RangeError(`${bytes} bytes in a message with room for ${this.openRoom}`);
    this.wake(worker);
  }

  private wake(worker: number): void {
    const word = worker * Header.Words + Header.Asleep;
    // Looked at before it is written: a worker that is awake keeps its line.
    if (Atomics.load(this.words, word) === 0 || Atomics.exchange(this.words, word, 0) === 0) return;
    const fd = this.plan.wakeFds[worker]!;
    if (fd >= 0) {
      ringEventFd(fd);
      return;
    }
    let channel = this.channels[worker]!;
    if (channel === null) {
      channel = new BroadcastChannel(this.plan.bells[worker]!);
      channel.unref();
      this.channels[worker] = channel;
    }
    channel.postMessage(0);
  }

  // Consuming

  /** Whether there is a message to take. */
  get pending(): boolean {
    return Atomics.load(this.words, this.ownWord + Header.Bytes) !== 0 || this.at !== this.end;
  }

  /** Bytes of messages to all workers that their readers have not begun with. */
  get pendingBytes(): number {
    let bytes = 0;
    for (let worker = 0; worker < this.plan.workers; worker++)
      bytes += this.words[worker * Header.Words + Header.Bytes]!;
    return bytes;
  }

  /** Whether the next `take` gives up the bytes of all messages taken so far, and not only of the last. */
  get atEnd(): boolean {
    return this.at === this.end;
  }

  /** Moves on to the next message of the own inbox, the fields above; false when there is none. */
  take(): boolean {
    if (this.at === this.end && !this.swap()) return false;
    const { region, at } = this;
    const message = at >> 2;
    const { i32 } = region;
    this.kind = i32[message + Field.Kind]!;
    this.a = i32[message + Field.A]!;
    this.b = i32[message + Field.B]!;
    this.c = i32[message + Field.C]!;
    const bytes = i32[message + Field.Length]!;
    this.bytes = bytes;
    this.start = at + Field.Bytes;
    this.at = (at + Field.Bytes + bytes + 7) & ~7;
    return true;
  }

  /** The side that was read to its end is filled next, the other is read. False when that is empty too. */
  private swap(): boolean {
    const { words, ownWord, header } = this;
    if (this.end > KEEP_BYTES) this.region.release(KEEP_BYTES, this.end);
    this.at = 0;
    this.end = 0;
    if (Atomics.load(words, ownWord + Header.Bytes) === 0) return false;
    const version = lock(header, ownWord + Header.Lock);
    const side = words[ownWord + Header.Side]!;
    this.end = words[ownWord + Header.Bytes]!;
    words[ownWord + Header.Side] = 1 - side;
    Atomics.store(words, ownWord + Header.Bytes, 0);
    unlock(header, ownWord + Header.Lock, version);
    this.region = this.sideOf(this.own, side);
    return true;
  }

  /** Messages to this worker that found no room since this was last asked. */
  takeLost(): number {
    const word = this.ownWord + Header.Lost;
    return Atomics.load(this.words, word) === 0 ? 0 : Atomics.exchange(this.words, word, 0);
  }

  /** To be called last before the worker waits: from now on whoever sends it a message wakes it. False when there is
   *  something to take, or to hear of (takeLost): then it must not sleep, and is not taken to. */
  drowse(): boolean {
    const { words, ownWord } = this;
    Atomics.store(words, ownWord + Header.Asleep, 1);
    if (!this.pending && Atomics.load(words, ownWord + Header.Lost) === 0) return true;
    Atomics.store(words, ownWord + Header.Asleep, 0);
    return false;
  }

  /** To be called first when the worker is awake again. */
  rouse(): void {
    const word = this.ownWord + Header.Asleep;
    if (Atomics.load(this.words, word) !== 0) Atomics.store(this.words, word, 0);
  }
}
