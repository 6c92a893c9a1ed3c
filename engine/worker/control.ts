// control.ts: what workers and the control plane tell each other, as bytes they all map: settings, orders, figures and
// the list of connections. Nobody waits for anybody: every part has one writer, or a lock of its own, and readers look.
//
// Layout (bytes)            WHO WRITES IT
//      0  header words      Word below: anyone, by Atomics
//   4096  settings, JSON    whoever holds the settings lock; the version in the header counts changes
//  69632  worker pages      16 KiB each: the worker itself, plain stores: Figure below, then calls a row; from byte
//                           8192 the codes of error replies, 40 bytes each: count (f64), text; count 0 ends them
//  then   client entries    1 KiB each, `clientsPerWorker` a worker: the worker that owns the connection;
//                           its kill word by anyone
// Read without a lock, a figure is one aligned 8-byte store old at most; a client's text may be torn for a moment.
// Neighbours: worker.ts, server-view.ts, host.ts.
import { lock, unlock } from "../memory/lock.ts";
import { need, Region } from "../memory/region.ts";

export const enum Word {
  /** Counts orders of any kind; a worker compares it once a turn. */
  Orders = 0,
  /** 1: stop. */
  Stop = 1,
  SettingsLock = 2, // and 3
  SettingsVersion = 4,
  SettingsBytes = 5,
  NextClient = 6,
  Clients = 7,
  ActiveExpireOff = 8,
  StatisticsEpoch = 9,
  PeakPages = 10,
  /** Bits of Gate: what every command has to be held against. */
  Gate = 11,
  /** Counts what tells two trackings, or two waits, of one client apart. */
  Tokens = 12,
  /** Names tracked for client-side caching, in all shards. */
  TrackedNames = 13,
  /** Clients in a blocking command. */
  Blocked = 14,
  /** Counts changes to the prefixes of broadcasting clients. */
  PrefixVersion = 15,
  /** notify-keyspace-events: bits of Notify. */
  Notify = 48,
  /** f64 index: nobody runs a command before this time, ms. */
  StallUntilF64 = 16,
  /** f64 index: commands that CLIENT PAUSE holds run again at this time, ms. */
  PausedUntilF64 = 17,
  /** Workers that have started, and that have ended. */
  Started = 40,
  Ended = 41,
  WakeFds = 64, // one word a worker
  /** One word a worker: how many of its clients monitor. */
  Monitors = 512,
  /** One word a worker: how many of its clients track by prefix. */
  Broadcasters = 640,
}

/** Why commands are looked at more closely than by their own connection's mode. */
export const enum Gate {
  /** Somebody monitors. */
  Monitored = 1 << 16,
  /** CLIENT PAUSE holds writes, and with PausedAll everything. */
  Paused = 1 << 17,
  PausedAll = 1 << 18,
}

/** f64 indexes in a worker's page. */
export const enum Figure {
  ConnectionsReceived = 0,
  ConnectionsRejected = 1,
  Connections = 2,
  Commands = 3,
  NetworkIn = 4,
  NetworkOut = 5,
  Hits = 6,
  Misses = 7,
  Errors = 8,
  InputDisconnections = 9,
  OutputDisconnections = 10,
  Turns = 11,
  ReadRetries = 12,
  LockWaits = 13,
  BufferBytes = 14,
  HeapBytes = 15,
  CollectorSeconds = 16,
  /** Client entries from the first that were ever in use. */
  Entries = 17,
  /** Bytes of buffers that are kept for the next taker. */
  SpareBytes = 19,
  /** The statistics epoch that the counters of this page belong to. */
  Epoch = 18,
  /** Of moving values together: blocks moved and looked at, keys moved and looked at, percent of a core, ms of all cycles and
   *  of the one that is on, and of the longest step. */
  DefragHits = 20,
  DefragMisses = 21,
  DefragKeyHits = 22,
  DefragKeyMisses = 23,
  DefragPercent = 24,
  DefragMs = 25,
  DefragCurrentMs = 26,
  DefragLongestMs = 27,
  /** Three a row of the table: calls, failed, rejected. */
  Calls = 32,
}

/** Fields of a client's entry. */
export const enum Entry {
  StateI32 = 0, // 0 free, 1 in use
  /** Id of the connection that is to be closed: never that of a later one in the same entry. */
  KillI32 = 1,
  FdI32 = 2,
  DbI32 = 3,
  FlagsI32 = 4, // ClientFlag
  LastRowI32 = 5,
  QueryI32 = 6,
  QueryFreeI32 = 7,
  OutputI32 = 8,
  /** 1 when a key it watches was touched. */
  DirtyI32 = 9,
  /** Token of the command it is blocked in, 0 while it is not: who exchanges it for 0 answers it. */
  BlockedI32 = 10,
  /** Token of its tracking, 0 while that is off. */
  TrackingI32 = 11,
  IdF64 = 6,
  CreatedF64 = 7,
  LastF64 = 8,
  InF64 = 9,
  OutF64 = 10,
  CommandsF64 = 11,
  /** i32 words again. */
  RedirectI32 = 24,
  WatchedI32 = 25,
  /** Commands queued since MULTI, -1 outside. */
  QueuedI32 = 26,
  ChannelsI32 = 27,
  PatternsI32 = 28,
  ShardChannelsI32 = 29,
  TransactionBytesI32 = 30,
  /** Byte offset of the entry of whom RedirectI32 names. */
  RedirectEntryI32 = 31,
  Text = 128, // from this byte: fields of a length byte and text
  AddressText = 128,
  LocalText = 192,
  NameText = 256,
  LibraryText = 512,
  VersionText = 768,
  Bytes = 1024,
}

/** Bits of Entry.FlagsI32; from ModeShift on those of the session's mode. */
export const enum ClientFlag {
  Resp3 = 1,
  NoEvict = 2,
  NoTouch = 4,
  ModeShift = 4,
}

const SETTINGS_AT = 4096;
const SETTINGS_BYTES = 65536;
const PAGES_AT = SETTINGS_AT + SETTINGS_BYTES;
const PAGE_BYTES = 16384;
/** Where a page's error codes begin, and how large and how many they are. */
const ERRORS_AT = 8192;
const ERROR_BYTES = 40;
export const ERRORS_MAX = 128;

/** What another thread needs to attach. */
export interface ControlPlan {
  readonly address: number;
  readonly bytes: number;
  readonly workers: number;
  readonly clientsPerWorker: number;
}

export class Control {
  private constructor(
    readonly region: Region,
    readonly plan: ControlPlan,
  ) {}

  static create(workers: number, clientsPerWorker: number): Control {
    const clients = workers * clientsPerWorker * Entry.Bytes;
    const bytes = (PAGES_AT + workers * PAGE_BYTES + clients + 4095) & ~4095;
    const region = need(Region.shared(bytes), "the control region");
    return new Control(region, { address: region.address, bytes, workers, clientsPerWorker });
  }

  static attach(plan: ControlPlan): Control {
    return new Control(Region.attach(plan.address, plan.bytes), plan);
  }

  word(word: number): number {
    return Atomics.load(this.region.i32, word);
  }

  add(word: number, amount: number): number {
    return Atomics.add(this.region.i32, word, amount);
  }

  setWord(word: number, value: number): void {
    Atomics.store(this.region.i32, word, value);
  }

  get stallUntilMs(): number {
    return this.region.f64[Word.StallUntilF64]!;
  }

  set stallUntilMs(value: number) {
    this.region.f64[Word.StallUntilF64] = value;
  }

  /** Until when CLIENT PAUSE holds commands, ms since the epoch. */
  get pausedUntilMs(): number {
    return this.region.f64[Word.PausedUntilF64]!;
  }

  set pausedUntilMs(value: number) {
    this.region.f64[Word.PausedUntilF64] = value;
  }

  setGate(bits: number): void {
    Atomics.or(this.region.i32, Word.Gate, bits);
  }

  clearGate(bits: number): void {
    Atomics.and(this.region.i32, Word.Gate, ~bits);
  }

  /** The worker that a client's entry belongs to. */
  workerOf(entry: number): number {
    const { workers, clientsPerWorker } = this.plan;
    return Math.floor((entry - PAGES_AT - workers * PAGE_BYTES) / (clientsPerWorker * Entry.Bytes));
  }

  /** A number that tells two trackings, or two waits, of one client apart: never 0. */
  token(): number {
    for (;;) {
      const token = (this.add(Word.Tokens, 1) + 1) | 0;
      if (token !== 0) return token;
    }
  }

  idOf(entry: number): number {
    return this.region.f64[(entry >> 3) + Entry.IdF64]!;
  }

  /** Whether the entry is that of the connection of this id. */
  isClient(entry: number, id: number): boolean {
    return entry !== 0 && this.region.i32[(entry >> 2) + Entry.StateI32] === 1 && this.idOf(entry) === id;
  }

  /** The entry of the connection of this id, 0 when there is none. O(connections). */
  findClient(id: number): number {
    for (let worker = 0; worker < this.plan.workers; worker++) {
      const used = this.region.f64[this.pageOf(worker) + Figure.Entries]!;
      for (let index = 0; index < used; index++) {
        const entry = this.entryOf(worker, index);
        if (this.isClient(entry, id)) return entry;
      }
    }
    return 0;
  }

  /** Number of a client's entry among those of a worker. */
  indexOf(entry: number, worker: number): number {
    return (entry - this.entryOf(worker, 0)) / Entry.Bytes;
  }

  /** f64 index of a worker's page. */
  pageOf(worker: number): number {
    return (PAGES_AT + worker * PAGE_BYTES) >> 3;
  }

  /** Byte offset of a client's entry. */
  entryOf(worker: number, index: number): number {
    return (
      PAGES_AT + this.plan.workers * PAGE_BYTES + (worker * this.plan.clientsPerWorker + index) * Entry.Bytes
    );
  }

  /** A figure summed over all workers. */
  sum(figure: number): number {
    let sum = 0;
    for (let worker = 0; worker < this.plan.workers; worker++)
      sum += this.region.f64[this.pageOf(worker) + figure]!;
    return sum;
  }

  /** The greatest of all workers' figures. */
  most(figure: number): number {
    let most = Number.NEGATIVE_INFINITY;
    for (let worker = 0; worker < this.plan.workers; worker++)
      most = Math.max(most, this.region.f64[this.pageOf(worker) + figure]!);
    return most;
  }

  /** A counter summed over the workers that have begun anew since CONFIG RESETSTAT; the others' are of before. */
  sumCounter(figure: number): number {
    const epoch = this.word(Word.StatisticsEpoch);
    let sum = 0;
    for (let worker = 0; worker < this.plan.workers; worker++) {
      const page = this.pageOf(worker);
      if (this.region.f64[page + Figure.Epoch] === epoch) sum += this.region.f64[page + figure]!;
    }
    return sum;
  }

  /** Publishes a worker's counts of error replies, at most ERRORS_MAX. */
  writeErrors(worker: number, counts: ReadonlyMap<string, number>): void {
    let at = PAGES_AT + worker * PAGE_BYTES + ERRORS_AT;
    for (const [code, count] of counts) {
      this.writeText(at + 8, ERROR_BYTES - 8, code);
      this.region.f64[at >> 3] = count;
      at += ERROR_BYTES;
    }
    this.region.f64[at >> 3] = 0;
  }

  /** Error replies by code, summed as sumCounter does. */
  readErrors(): Map<string, number> {
    const counts = new Map<string, number>();
    const epoch = this.word(Word.StatisticsEpoch);
    for (let worker = 0; worker < this.plan.workers; worker++) {
      if (this.region.f64[this.pageOf(worker) + Figure.Epoch] !== epoch) continue;
      let at = PAGES_AT + worker * PAGE_BYTES + ERRORS_AT;
      for (let i = 0; i < ERRORS_MAX; i++, at += ERROR_BYTES) {
        const count = this.region.f64[at >> 3]!;
        if (count === 0) break;
        const code = this.readText(at + 8);
        counts.set(code, (counts.get(code) ?? 0) + count);
      }
    }
    return counts;
  }

  /** Writes text of at most `room` - 1 bytes (one a character) as a length byte and the bytes. */
  writeText(at: number, room: number, text: string): void {
    const { u8 } = this.region;
    const bytes = Math.min(text.length, room - 1, 255);
    for (let i = 0; i < bytes; i++) u8[at + 1 + i] = text.charCodeAt(i);
    u8[at] = bytes;
  }

  readText(at: number): string {
    const { u8 } = this.region;
    const bytes = u8[at]!;
    let text = "";
    for (let i = 0; i < bytes; i++) text += String.fromCharCode(u8[at + 1 + i]!);
    return text;
  }

  /** The settings block as text. */
  readSettings(): string {
    const version = lock(this.region, Word.SettingsLock);
    const bytes = this.region.i32[Word.SettingsBytes]!;
    const text = new TextDecoder().decode(this.region.u8.slice(SETTINGS_AT, SETTINGS_AT + bytes));
    unlock(this.region, Word.SettingsLock, version);
    return text;
  }

  /** Replaces the settings block by what `change` makes of it; null leaves it. Returns what `change` returned. */
  changeSettings(change: (text: string) => string | null): string | null {
    const version = lock(this.region, Word.SettingsLock);
    try {
      const old = this.region.i32[Word.SettingsBytes]!;
      const next = change(new TextDecoder().decode(this.region.u8.slice(SETTINGS_AT, SETTINGS_AT + old)));
      if (next === null) return null;
      const bytes = new TextEncoder().encode(next);
      if (bytes.length > SETTINGS_BYTES) throw new Error("the settings are larger than their block");
      this.region.u8.set(bytes, SETTINGS_AT);
      this.region.i32[Word.SettingsBytes] = bytes.length;
      this.add(Word.SettingsVersion, 1);
      return next;
    } finally {
      unlock(this.region, Word.SettingsLock, version);
    }
  }
}
