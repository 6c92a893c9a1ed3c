// worker.ts: one core's loop: takes what the driver receives, runs it, hands back the replies; between turns it hears
// what other workers ordered and does its share of the background work.
//
// States of a connection here: open; suspended (it is in a blocking command or paused: what it sends is kept); closing (its
// replies go out, nothing more is read); closed.
// Invariants: input of a connection that is not a whole command lies at the front of its input region; the send region
// starts over every turn; connections are resumed between the commands of others, never within.
// On the data path: `received` and `turn` allocate nothing; `accepted`, `closed` and orders may.
// Neighbours: dispatcher.ts below, engine/io behind the seam, server-view.ts answers the handlers' questions.
import { heapSize } from "bun:jsc";
import { Flag } from "../../protocol/command-row.ts";
import { Errors } from "../../protocol/errors.ts";
import { RequestParser } from "../../protocol/request-parser.ts";
import { Call } from "../commands/call.ts";
import { allCommands } from "../commands/index.ts";
import { Space } from "../commands/pubsub.ts";
import { type DirectSink, Reply } from "../commands/reply.ts";
import { Mode, ReplyMode, Session, Suspended } from "../commands/session.ts";
import { Settings } from "../config/settings.ts";
import { BufferPool } from "../io/buffer-pool.ts";
import { BunDriver } from "../io/bun.ts";
import type { Connection } from "../io/connection.ts";
import type { Driver, DriverOptions, Events } from "../io/driver.ts";
import { EpollDriver } from "../io/epoll.ts";
import { pinThread, ringEventFd } from "../io/native.ts";
import { UringDriver } from "../io/uring.ts";
import { seedHash } from "../memory/hash.ts";
import { lockWaits } from "../memory/lock.ts";
import { copyBytes, need, Region, viewedBytes } from "../memory/region.ts";
import { Clock } from "../shard/clock.ts";
import { notifyFlags } from "../shard/events.ts";
import { Keyspace } from "../shard/keyspace.ts";
import { samples } from "../shard/samples.ts";
import { writeLatin1 } from "../types/integer.ts";
import { limits } from "../types/limits.ts";
import { Client } from "./client.ts";
import { CommandTable, type Entry } from "./command-table.ts";
import { Entry as ClientEntry, ClientFlag, Control, ERRORS_MAX, Figure, Gate, Word } from "./control.ts";
import { Defragmenter } from "./defragmenter.ts";
import { Dispatcher, type DispatchHost } from "./dispatcher.ts";
import { Evictor } from "./evictor.ts";
import { Exchange } from "./exchange.ts";
import { WorkerHub } from "./hub.ts";
import { Mail, Message } from "./inbox.ts";
import { Unblock } from "./interests.ts";
import { Locks } from "./locks.ts";
import { logLine } from "./log.ts";
import { MemoryLedger } from "./memory-ledger.ts";
import { Monitors } from "./monitors.ts";
import type { WorkerPlan } from "./plan.ts";
import { Pushes } from "./pushes.ts";
import { collectGarbage } from "./resident.ts";
import { ServerView } from "./server-view.ts";
import { Signals } from "./signals.ts";
import { Swaps } from "./swaps.ts";
import { Sweeper, Swept, sweepOptions } from "./sweeper.ts";
import { Tracker } from "./tracker.ts";
import { Transactions } from "./transactions.ts";
import { Waiters } from "./waiters.ts";

const SEND_BYTES = 2 ** 30;
/** The send region gives pages beyond this back after a turn that used more. */
const SEND_KEEP_BYTES = 8 * 1024 * 1024;
const TICK_MS = 100;
/** Compressed values that a turn puts in place, and about of how many bytes: some 30 us of work. */
const SWAPS = 64;
const SWAP_BYTES = 128 * 1024;
/** The tick of a worker with nothing to expire, time out or finish. */
const IDLE_TICK_MS = 1_000;
/** How long a stop may take: half of it for commands that still come, the rest for replies that are slow to go. */
const STOP_MS = 2_000;
/** Leaves of the index whose earliest deadline a step looks at, a shard. */
const EXPIRE_LEAVES = 4096;
/** Pages of removed collections that a step frees, or gives back to the system after a flush: under a millisecond. */
const RECLAIM_BLOCKS = 1000;
/** Keys a step reclaims before it stops, at the end of a leaf: a third of a millisecond's work, where all are due. */
const EXPIRE_KEYS = 400;

export class Worker implements Events, DispatchHost, DirectSink {
  readonly clock = new Clock();
  readonly control: Control;
  readonly keyspace: Keyspace;
  readonly pool = new BufferPool();
  readonly entries: Entry[] = [];
  readonly clients = new Set<Client>();
  readonly errorCounts = new Map<string, number>();
  readonly dispatcher: Dispatcher;
  readonly driver: Driver;
  readonly words: Int32Array;
  readonly locks: Locks;
  readonly mail: Mail;
  readonly pushes: Pushes;
  readonly waiters: Waiters;
  readonly exchange: Exchange;
  readonly tracker: Tracker;
  readonly transactions: Transactions;
  readonly signals: Signals;
  private readonly swaps: Swaps;
  /** With compression `always`, which is for tests: between turns every string is compressed. */
  private everything: Sweeper | null = null;
  readonly monitors: Monitors;
  readonly ledger: MemoryLedger;
  readonly defragmenter: Defragmenter;
  readonly evictor: Evictor;
  settings: Settings;
  /** Connections by the number of their entry in the control region. */
  private readonly byEntry: (Client | null)[] = [];
  /** Connections that had to wait and may go on, and those that CLIENT PAUSE holds. */
  private readonly resumable: Client[] = [];
  private readonly paused: Client[] = [];
  private readonly call: Call;
  private readonly reply: Reply;
  private readonly spareParsers: RequestParser[] = [];
  private readonly freeEntries: number[] = [];
  private nextEntry = 0;
  private readonly page: number;
  private orders = 0;
  private settingsVersion = -1;
  private statisticsEpoch = 0;
  private nextTickMs = 0;
  private nextSampleMs = 0;
  private queryLimit = 2 ** 30;
  private outputLimit = 2 ** 30;
  private maxClients = 10_000;
  private idleSeconds = 0;
  private keepalive = 300;
  private turns = 0;
  private lastReceivedMs = 0;
  private sleep = TICK_MS;
  /** Something has come since the turn ended: there is no sleep before the next. */
  private awake = false;
  private notify = 0;
  /** DEBUG SLEEP was called by EXEC, within which time stands still. */
  private slept = false;
  private sendHigh = 0;
  private stopping = false;
  private stopDeadlineMs = 0;
  /** While stopping: whether anything was received since the last turn; whether all connections were told to end. */
  private heard = false;
  private quietTurns = 0;
  private drained = false;
  private received_ = 0;
  private rejected = 0;
  private bytesIn = 0;
  private bytesOut = 0;
  private errors = 0;
  private inputDisconnections = 0;
  private outputDisconnections = 0;

  constructor(readonly plan: WorkerPlan) {
    if (plan.cpu >= 0) pinThread(plan.cpu);
    seedHash(plan.hashSeed[0], plan.hashSeed[1]);
    this.control = Control.attach(plan.control);
    samples.attach(plan.samples, plan.index);
    this.keyspace = Keyspace.attach(plan.keyspace, this.clock);
    this.page = this.control.pageOf(plan.index);
    this.settingsVersion = this.control.word(Word.SettingsVersion);
    this.settings = Settings.from(JSON.parse(this.control.readSettings()));
    const send = need(Region.private(SEND_BYTES), "the send region");
    this.reply = new Reply(send, SEND_BYTES);
    this.reply.sink = this;
    const table = CommandTable.of(allCommands, this.entries);
    const { control, keyspace, entries, pool } = this;
    this.words = control.region.i32;
    this.mail = Mail.attach(plan.mail, plan.index);
    this.pushes = new Pushes(this.reply);
    const hub = new WorkerHub(
      this.pushes,
      (client) => this.forget(client),
      () => {
        if (this.slept) this.clock.nowMs = Date.now();
        this.slept = false;
      },
    );
    this.call = new Call(send, this.reply, keyspace, new ServerView(this), hub);
    this.locks = new Locks(keyspace, this.call);
    this.swaps = Swaps.attach(plan.swaps);
    this.waiters = new Waiters(this.call, keyspace, control, this.mail, entries, this);
    this.exchange = new Exchange(plan.exchange, plan.index, this.mail, this.pushes);
    this.defragmenter = new Defragmenter(keyspace.shards, plan.index, plan.workers);
    this.ledger = new MemoryLedger(
      keyspace,
      this.exchange,
      control,
      this.mail,
      pool,
      this.page,
      plan.workers,
    );
    this.evictor = new Evictor(keyspace, this.ledger, this.defragmenter, plan.index, plan.workers);
    this.tracker = new Tracker(this.call, keyspace, control, this.mail, this.pushes, (entry) =>
      this.clientAt(entry),
    );
    this.monitors = new Monitors(control, this.mail, this.pushes, plan.index);
    this.signals = new Signals(keyspace, control, this.exchange, this.waiters, this.tracker);
    this.dispatcher = new Dispatcher(this.call, table, keyspace, this, entries.length);
    const { dispatcher, locks, call } = this;
    this.transactions = new Transactions(call, keyspace, control, pool, entries, locks, dispatcher);
    hub.pubsub = this.exchange;
    hub.tracking = this.tracker;
    hub.transactions = this.transactions;
    hub.waiters = this.waiters;
    hub.signals = this.signals;
    this.applySettings();
    const options: DriverOptions = {
      events: this,
      send,
      pool: this.pool,
      listeners: plan.listeners,
      refusal: `-${Errors.maxClients}\r\n`,
      wakeFd: plan.wakeFd,
      keepaliveSeconds: this.keepalive,
    };
    this.driver =
      plan.driver === "uring"
        ? new UringDriver(options, plan.tcpListeners)
        : plan.driver === "epoll"
          ? new EpollDriver(options, plan.tcpListeners)
          : new BunDriver(options, plan.addresses, plan.mail.bells[plan.index]!, () => this.ended());
    this.pushes.attach(this.driver);
  }

  /** Serves until told to stop. Returns then under the blocking drivers, at once under `bun`. */
  run(): void {
    if (this.driver.name === "bun") {
      this.driver.run(); // listens, and returns
      this.control.add(Word.Started, 1);
      return;
    }
    this.control.add(Word.Started, 1);
    this.driver.run();
    this.ended();
  }

  private ended(): void {
    this.publishFigures();
    this.control.add(Word.Ended, 1);
  }

  // Turns

  turn(): boolean {
    const now = Date.now();
    this.clock.nowMs = now;
    this.turns++;
    this.reply.at = 0;
    if (this.sendHigh > SEND_KEEP_BYTES) {
      this.reply.region.release(SEND_KEEP_BYTES, this.sendHigh);
      this.sendHigh = 0;
    }
    this.mail.rouse();
    if (this.control.word(Word.Orders) !== this.orders) this.obey(null);
    if (this.mail.pending) this.drainMail();
    if (now >= this.waiters.nextDeadlineMs) this.waiters.expire(now, this.timedOut);
    if (this.swaps.pending(this.plan.index))
      this.swaps.apply(this.plan.index, this.keyspace, SWAPS, SWAP_BYTES);
    if (this.everything !== null) this.compressEverything(this.everything);
    if (now >= this.nextTickMs) this.tick(now);
    if (now >= this.defragmenter.nextMs) this.defragmenter.step(now, this.dispatcher.commands);
    if (this.paused.length > 0) this.checkPause(now);
    this.ledger.beginTurn(now);
    this.evictor.beginTurn(this.pausing);
    if (!this.stopping) return true;
    if (!this.drained) this.drain(now);
    return this.clients.size > 0 && now <= this.stopDeadlineMs;
  }

  endTurn(): void {
    for (;;) {
      if (this.resumable.length > 0) this.resumeAll();
      this.tracker.sendWritten();
      if (this.mail.pending) this.drainMail();
      else if (this.resumable.length === 0) break;
    }
    this.pushes.flush();
    this.control.region.f64[this.page + Figure.BufferBytes] = this.pool.usedBytes;
    samples.publish(this.call.hits + this.call.misses, this.call.hits);
    this.awake = !this.mail.drowse();
  }

  sleepMs(): number {
    if (this.awake || this.evictor.busy) return 0;
    const { nowMs } = this.clock;
    let until = Math.min(nowMs + this.sleep, this.waiters.nextDeadlineMs, this.defragmenter.nextMs);
    if (this.paused.length > 0) until = Math.min(until, this.control.pausedUntilMs);
    return Math.max(0, Math.ceil(until - nowMs));
  }

  // What has come from other workers

  /** Takes what has come for this worker's connections. Nothing is run here: who may go on is remembered. */
  drainMail(): void {
    const { mail, exchange } = this;
    for (;;) {
      if (mail.atEnd && exchange.holds) exchange.settle();
      if (!mail.take()) break;
      const { kind, a, b, c, region, start, bytes } = mail;
      if (kind === Message.Published) {
        exchange.deliver(a, b, region, start, bytes);
        continue;
      }
      if (exchange.holds) exchange.settle();
      if (kind === Message.Unblocked) this.unblocked(a, b, c, region, start, bytes);
      else if (kind === Message.Monitored) this.monitors.deliver(region, start, bytes);
      else this.tracker.received(kind, a, b, c, region, start, bytes);
    }
    if (mail.takeLost() > 0) this.cutReceivers();
  }

  /** The connection whose entry in the control region is at that offset, null when it is gone. */
  clientAt(entry: number): Client | null {
    return this.byEntry[this.control.indexOf(entry, this.plan.index)] ?? null;
  }

  private unblocked(
    entry: number,
    token: number,
    reason: number,
    region: Region,
    start: number,
    bytes: number,
  ) {
    const client = this.clientAt(entry);
    if (client === null || !this.waiters.unblocked(client, token)) return;
    if (client.session.replyMode === ReplyMode.On) {
      if (reason === Unblock.Served) this.pushes.send(client, region, start, bytes);
      else if (reason === Unblock.Failed) this.pushes.sendText(client, `-${Errors.unblocked}\r\n`);
      else this.pushes.sendText(client, this.waiters.timeoutReply(client));
    }
    this.goOn(client);
  }

  private readonly timedOut = (client: Client): void => {
    if (client.session.replyMode === ReplyMode.On)
      this.pushes.sendText(client, this.waiters.timeoutReply(client));
    this.goOn(client);
  };

  /** A client that waited has been answered. */
  private goOn(client: Client): void {
    const { session } = client;
    if (session.replyMode === ReplyMode.Skipping) session.replyMode = ReplyMode.On;
    this.resumable.push(client);
  }

  /** Messages were lost: whoever they may have been for is cut off, as a reader too slow for what it asked for. */
  private cutReceivers(): void {
    for (const client of [...this.clients])
      if ((client.session.mode & Mode.Receives) !== 0 || client.session.suspended === Suspended.Blocked) {
        this.outputDisconnections++;
        this.driver.close(client, true);
      }
  }

  // Connections that had to wait

  private resumeAll(): void {
    const { resumable } = this;
    for (let i = 0; i < resumable.length; i++) this.resume(resumable[i]!);
    resumable.length = 0;
  }

  /** Runs what a connection has sent while it had to wait. */
  private resume(client: Client): void {
    const { session, input, inputEnd } = client;
    if (client.closed || session.suspended !== Suspended.No) return;
    if (inputEnd > 0 && input !== null && !session.closing) this.process(client, null, input, 0, inputEnd);
  }

  /** Ends the pause when its time has come, and lets go on whom it held. */
  private checkPause(now: number): void {
    const { control, paused } = this;
    const gates = Gate.Paused | Gate.PausedAll;
    if ((control.word(Word.Gate) & gates) !== 0) {
      if (now < control.pausedUntilMs) return;
      control.clearGate(gates);
    }
    for (const client of paused) {
      if (client.closed) continue;
      client.session.suspended = Suspended.No;
      this.resumable.push(client);
    }
    paused.length = 0;
  }

  /** Whether there is background work that cannot wait for the idle tick. */
  private busy(now: number): boolean {
    if (this.idleSeconds > 0 || now - this.lastReceivedMs < IDLE_TICK_MS) return true;
    const { shards } = this.keyspace;
    for (let i = this.plan.index; i < shards.length; i += this.plan.workers)
      if (shards[i]!.mayExpire || shards[i]!.reclaimable) return true;
    return false;
  }

  /** Somebody ordered something: settings, a kill, a stall, the end. `running`: whose command gave the order, if it runs
   *  here now; it ends by itself. */
  private obey(running: Session | null): void {
    const { control } = this;
    this.orders = control.word(Word.Orders);
    if (control.word(Word.SettingsVersion) !== this.settingsVersion) {
      // The version first: a change that comes while this one is read is then seen as the next.
      this.settingsVersion = control.word(Word.SettingsVersion);
      this.settings = Settings.from(JSON.parse(control.readSettings()));
      this.applySettings();
    }
    if (control.word(Word.StatisticsEpoch) !== this.statisticsEpoch) this.resetFigures();
    const stall = control.stallUntilMs - Date.now();
    if (stall > 0) {
      Bun.sleepSync(stall);
      this.clock.nowMs = Date.now();
    }
    for (const client of this.clients)
      if (Atomics.load(control.region.i32, (client.entry >> 2) + ClientEntry.KillI32) === client.session.id) {
        if (client.session !== running) this.driver.close(client, true);
        else client.session.closing = true;
      }
    if (control.word(Word.Stop) === 1 && !this.stopping) this.stop();
  }

  private stop(): void {
    this.stopping = true;
    this.stopDeadlineMs = this.clock.nowMs + STOP_MS;
    this.driver.stopAccepting();
    this.heard = true;
    this.sleep = TICK_MS;
  }

  /** Commands that were sent before the stop are still run: connections end after turns in which nothing came. */
  private drain(now: number): void {
    this.quietTurns = this.heard ? 0 : this.quietTurns + 1;
    this.heard = false;
    // Two, as a driver's turn may begin before or after it receives.
    if (this.quietTurns < 2 && now <= this.stopDeadlineMs - STOP_MS / 2) {
      if (this.plan.wakeFd >= 0) ringEventFd(this.plan.wakeFd); // the next turn comes at once
      return;
    }
    this.drained = true;
    for (const client of [...this.clients]) this.driver.close(client, false);
  }

  private tick(now: number): void {
    const last = this.nextTickMs - TICK_MS;
    this.nextTickMs = now + TICK_MS;
    this.sleep = this.busy(now) ? TICK_MS : IDLE_TICK_MS;
    this.expire();
    this.reclaim();
    this.defragmenter.look(now);
    for (const client of this.clients) if (client.session.lastMs >= last) this.publishNumbers(client);
    if (this.idleSeconds > 0)
      for (const client of this.clients)
        if (
          now - client.session.lastMs > this.idleSeconds * 1000 &&
          client.session.suspended !== Suspended.Blocked &&
          (client.session.mode & (Mode.Subscribed | Mode.Monitor)) === 0
        )
          this.driver.close(client, true);
    if (now < this.nextSampleMs) return;
    this.nextSampleMs = now + 1_000;
    for (const client of this.clients)
      if (client.backlogBytes > 0 || client.overSinceMs > 0) this.pushes.checkSoft(client, now);
    this.defragmenter.consider(now, this.ledger.near, this.ledger.overBytes() > 0);
    this.evictor.follow();
    if (this.plan.index === 0) this.swaps.releaseRetired(this.keyspace);
    collectGarbage();
    this.publishFigures();
  }

  /** Whether CLIENT PAUSE holds commands that write: then nothing expires and nothing is evicted. */
  private get pausing(): boolean {
    return (this.control.word(Word.Gate) & (Gate.Paused | Gate.PausedAll)) !== 0;
  }

  /** Each worker sweeps the shards of its number: a bounded step, and the next one with the next turn while there is more
   *  to reclaim, so that a million keys due at once delay nobody by more than a step. */
  private expire(): void {
    if (this.control.word(Word.ActiveExpireOff) === 1) return;
    if (this.pausing) return;
    const { shards } = this.keyspace;
    let removed = 0;
    for (let i = this.plan.index; i < shards.length && removed < EXPIRE_KEYS; i += this.plan.workers) {
      const shard = shards[i]!;
      if (!shard.mayExpire) continue;
      shard.lock();
      removed += shard.expireStep(EXPIRE_LEAVES, EXPIRE_KEYS - removed);
      shard.unlock();
    }
    if (removed >= EXPIRE_KEYS) this.tickSoon();
  }

  /** Frees a bounded number of pages of removed collections, and more with the next turn. */
  private reclaim(): void {
    const { shards } = this.keyspace;
    for (let i = this.plan.index; i < shards.length; i += this.plan.workers) {
      const shard = shards[i]!;
      if (!shard.reclaimable) continue;
      shard.lock();
      shard.reclaimStep(RECLAIM_BLOCKS);
      shard.unlock();
      if (shard.reclaimable) this.tickSoon();
    }
  }

  /** Makes the next turn come at once, and tick. */
  private tickSoon(): void {
    this.nextTickMs = this.clock.nowMs;
    if (this.plan.wakeFd >= 0) ringEventFd(this.plan.wakeFd);
  }

  /** Compresses whatever can be, and now and then makes other dictionaries. */
  private compressEverything(sweeper: Sweeper): void {
    const { swaps, keyspace, turns } = this;
    if (turns % 64 === 0) {
      swaps.releaseRetired(keyspace);
      sweeper.retrain();
    }
    do swaps.apply(0, keyspace, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
    while (sweeper.step(1) !== Swept.Rest || swaps.pending(0));
  }

  private applySettings(): void {
    const { settings } = this;
    const always = settings.get("compression") === "always" && this.plan.workers === 1;
    if (always) {
      this.everything ??= new Sweeper(this.keyspace, this.swaps, () => 0);
      this.everything.options = sweepOptions(settings);
    } else this.everything = null;
    this.pushes.limits(settings);
    this.tracker.mostNames = settings.number("tracking-table-max-keys") || Number.POSITIVE_INFINITY;
    const notify = notifyFlags(settings.get("notify-keyspace-events")!);
    if (notify !== this.notify) this.signals.notifyOf(notify);
    this.notify = notify;
    this.evictor.configure(settings);
    this.defragmenter.configure(settings);
    limits.hashEntries = settings.number("hash-max-listpack-entries");
    limits.hashValueBytes = settings.number("hash-max-listpack-value");
    limits.setIntegers = settings.number("set-max-intset-entries");
    limits.setEntries = settings.number("set-max-listpack-entries");
    limits.setValueBytes = settings.number("set-max-listpack-value");
    limits.sortedSetEntries = settings.number("zset-max-listpack-entries");
    limits.sortedSetValueBytes = settings.number("zset-max-listpack-value");
    limits.listSize = settings.number("list-max-listpack-size");
    this.queryLimit = settings.number("client-query-buffer-limit");
    this.maxClients = settings.number("maxclients");
    this.idleSeconds = settings.number("timeout");
    this.keepalive = settings.number("tcp-keepalive");
    this.parserLimits();
    const { hard } = settings.outputLimit("normal");
    this.outputLimit = hard === 0 ? Number.POSITIVE_INFINITY : hard;
  }

  get memoryFull(): boolean {
    return this.ledger.near;
  }

  makeRoom(): boolean {
    return this.evictor.makeRoom(this.clock.nowMs);
  }

  /** Bytes in use beyond `maxmemory`, 0 or less while there is room. */
  overBytes(): number {
    return this.ledger.overBytes();
  }

  private parserLimits(): void {
    for (const parser of this.dispatcher?.parsers ?? []) this.limitParser(parser);
    for (const parser of this.spareParsers) this.limitParser(parser);
  }

  private limitParser(parser: RequestParser): RequestParser {
    parser.maxBulkBytes = this.settings.number("proto-max-bulk-len");
    parser.maxInlineBytes = this.settings.number("proto-max-inline");
    parser.maxArguments = this.settings.number("proto-max-multibulk");
    return parser;
  }

  // Connections

  accepted(fd: number, peer: string, local: string): Connection | null {
    const { control, plan } = this;
    this.received_++;
    if (this.stopping) return null;
    // Entries are as many as maxclients was at the start, at least; CONFIG SET may have raised it since.
    const full = this.freeEntries.length === 0 && this.nextEntry === plan.control.clientsPerWorker;
    if (control.add(Word.Clients, 1) >= this.maxClients || full) {
      control.add(Word.Clients, -1);
      this.rejected++;
      return null;
    }
    const id = control.add(Word.NextClient, 1) + 1;
    const unix = this.settings.get("unixsocket") ?? "";
    const session = new Session(id, fd, peer || `${unix}:0`, local || `${unix}:0`, this.clock.nowMs);
    const client = new Client(fd, session);
    client.entryIndex = this.freeEntries.pop() ?? this.nextEntry++;
    control.region.f64[this.page + Figure.Entries] = this.nextEntry;
    client.entry = control.entryOf(plan.index, client.entryIndex);
    this.byEntry[client.entryIndex] = client;
    this.clients.add(client);
    const { region } = control;
    const word = client.entry >> 2;
    region.i32.fill(0, word, word + ClientEntry.Text / 4);
    const number = client.entry >> 3;
    region.f64[number + ClientEntry.IdF64] = id;
    region.f64[number + ClientEntry.CreatedF64] = session.createdMs;
    region.f64[number + ClientEntry.LastF64] = session.createdMs;
    region.i32[word + ClientEntry.FdI32] = fd;
    region.i32[word + ClientEntry.LastRowI32] = -1;
    this.publishTexts(client);
    Atomics.store(region.i32, word + ClientEntry.StateI32, 1);
    return client;
  }

  /** Writes what CLIENT LIST shows of a session and changes seldom. */
  publishTexts(client: Client): void {
    const { control } = this;
    const { session, entry } = client;
    control.writeText(entry + ClientEntry.AddressText, 64, session.address);
    control.writeText(entry + ClientEntry.LocalText, 64, session.localAddress);
    control.writeText(entry + ClientEntry.NameText, 256, session.name);
    control.writeText(entry + ClientEntry.LibraryText, 256, session.libraryName);
    control.writeText(entry + ClientEntry.VersionText, 256, session.libraryVersion);
  }

  /** Writes what CLIENT LIST shows of a session and changes with every command. */
  publishNumbers(client: Client): void {
    const { i32, f64 } = this.control.region;
    client.shownEntry = client.lastEntry;
    client.shownDb = client.session.db;
    const word = client.entry >> 2;
    const number = client.entry >> 3;
    const { session } = client;
    f64[number + ClientEntry.LastF64] = session.lastMs;
    f64[number + ClientEntry.InF64] = client.bytesIn;
    f64[number + ClientEntry.OutF64] = client.bytesOut;
    f64[number + ClientEntry.CommandsF64] = session.commands;
    i32[word + ClientEntry.DbI32] = session.db;
    i32[word + ClientEntry.FlagsI32] =
      (session.resp3 ? ClientFlag.Resp3 : 0) |
      (session.noEvict ? ClientFlag.NoEvict : 0) |
      (session.noTouch ? ClientFlag.NoTouch : 0) |
      (session.mode << ClientFlag.ModeShift);
    const { transaction, subscriptions } = session;
    i32[word + ClientEntry.RedirectI32] = session.tracking === null ? 0 : session.tracking.redirect;
    i32[word + ClientEntry.WatchedI32] = transaction === null ? 0 : transaction.nodes.length;
    i32[word + ClientEntry.QueuedI32] =
      transaction === null || (session.mode & Mode.Multi) === 0 ? -1 : transaction.commands;
    i32[word + ClientEntry.TransactionBytesI32] = transaction === null ? 0 : transaction.queueBytes;
    i32[word + ClientEntry.ChannelsI32] = subscriptions === null ? 0 : subscriptions.counts[Space.Channel];
    i32[word + ClientEntry.PatternsI32] = subscriptions === null ? 0 : subscriptions.counts[Space.Pattern];
    i32[word + ClientEntry.ShardChannelsI32] = subscriptions === null ? 0 : subscriptions.counts[Space.Shard];
    i32[word + ClientEntry.LastRowI32] = client.lastEntry;
    i32[word + ClientEntry.QueryI32] = client.inputEnd;
    i32[word + ClientEntry.QueryFreeI32] = client.input === null ? 0 : client.input.bytes - client.inputEnd;
    i32[word + ClientEntry.OutputI32] = client.backlogBytes;
  }

  received(connection: Connection, region: Region, start: number, end: number): void {
    const client = connection as Client;
    const { session } = client;
    if (session.closing) return;
    session.lastMs = this.clock.nowMs;
    this.heard = true;
    // What was kept unread before it is run first, also when the wait is over by now: at the end of the turn.
    if (session.suspended !== Suspended.No || (client.parser === null && client.inputEnd > 0))
      return this.keepUnread(client, region, start, end);
    if (this.mail.pending) {
      // What was sent before this command was is told before its reply.
      this.drainMail();
      if (client.closed) return;
    }
    const held = client.parser;
    if (held !== null) {
      if (region !== client.input) {
        const bytes = client.inputEnd + (end - start);
        if (bytes > this.queryLimit || !client.reserveInput(this.pool, bytes)) {
          this.inputDisconnections++;
          this.driver.close(client, true);
          return;
        }
        copyBytes(client.input!, client.inputEnd, region, start, end - start);
        region = client.input!;
        end = bytes;
      }
      client.inputEnd = end;
      if (end - held.at < held.wanted) return;
    }
    this.process(client, held, region, start, end);
  }

  /** Keeps what a connection sends while it has to wait. */
  private keepUnread(client: Client, region: Region, start: number, end: number): void {
    const bytes = client.inputEnd + (end - start);
    if (region !== client.input) {
      if (bytes > this.queryLimit || !client.reserveInput(this.pool, bytes)) {
        this.inputDisconnections++;
        this.driver.close(client, true);
        return;
      }
      copyBytes(client.input!, client.inputEnd, region, start, end - start);
    }
    client.inputEnd = bytes;
  }

  /** Runs the commands in [start, end) of `region`, of which a first part may have been read into `held`. */
  private process(
    client: Client,
    held: RequestParser | null,
    region: Region,
    start: number,
    end: number,
  ): void {
    const { session } = client;
    const { reply, dispatcher, pushes } = this;
    pushes.current = client;
    dispatcher.run(client, held, region, start, end);
    this.tracker.sendWritten();
    pushes.current = null;
    if (dispatcher.protocolError !== "") {
      if (session.replyMode === ReplyMode.On) reply.error(`ERR ${dispatcher.protocolError}`);
      this.countError(null, -1);
    }
    if (client.closed) {
      reply.at = reply.begin;
      this.recycle(client);
      return;
    }
    // What others see of a connection follows when it does something else than before, else with the tick: before its replies
    // go out, as who has them may ask at once.
    if (client.lastEntry !== client.shownEntry || session.db !== client.shownDb || session.mode !== 0)
      this.publishNumbers(client);
    this.handOver(client);
    if (session.closing) {
      this.recycle(client);
      this.driver.close(client, false);
      return;
    }
    if (client.closed) this.recycle(client);
    else if (session.suspended !== Suspended.No) this.keepWaiting(client, region, dispatcher.begin, end);
    else this.keepRest(client, region, dispatcher.begin, end);
  }

  /** Keeps [begin, end) of `region` unread, behind the command that was held before it ran, if one was. */
  private keepWaiting(client: Client, region: Region, begin: number, end: number): void {
    const { held } = this.dispatcher;
    let head = 0;
    if (held !== null) {
      this.paused.push(client);
      head = 16;
      for (let i = 0; i < held.argc; i++) head += 16 + held.length[i]!;
    }
    const rest = end - begin;
    const old = client.input;
    const { inputEnd } = client;
    client.input = null;
    client.inputEnd = 0;
    if (head + rest > 0) {
      if (head + rest > this.queryLimit || !client.reserveInput(this.pool, head + rest)) {
        client.input = old;
        client.inputEnd = inputEnd;
        this.inputDisconnections++;
        this.driver.close(client, true);
        this.recycle(client);
        return;
      }
      const input = client.input!;
      let at = held === null ? 0 : writeRequest(held, region, input);
      copyBytes(input, at, region, begin, rest);
      at += rest;
      client.inputEnd = at;
    }
    if (old !== null) this.pool.give(old);
    this.spare(client);
  }

  /** Gives the replies so far to the driver, or ends a connection that lets too many pile up. */
  handOver(client: Client): void {
    const { reply } = this;
    if (reply.at > this.sendHigh) this.sendHigh = reply.at;
    if (reply.overflow || client.backlogBytes + (reply.at - reply.begin) > this.outputLimit) {
      reply.overflow = false;
      reply.at = reply.begin;
      this.outputDisconnections++;
      this.driver.close(client, true);
      return;
    }
    reply.at = this.driver.transmit(client, reply.begin, reply.at);
    reply.begin = reply.at;
  }

  sendDirect(source: Region, start: number, bytes: number): void {
    const client = this.pushes.current!;
    const { reply } = this;
    if (reply.overflow || client.backlogBytes + (reply.at - reply.begin) + bytes > this.outputLimit) {
      reply.overflow = true; // handOver ends the connection
      return;
    }
    this.driver.transmitWith(client, reply.begin, reply.at, source, start, bytes);
    reply.at = reply.begin;
  }

  /** Keeps [begin, end) of `region` as the connection's input until more comes; nothing if that is empty. */
  private keepRest(client: Client, region: Region, begin: number, end: number): void {
    const rest = end - begin;
    if (rest === 0) {
      this.recycle(client);
      return;
    }
    const parser = this.dispatcher.stopped;
    if (client.parser !== parser) {
      // The command it held before is done, or it held none: this one's state is its own now.
      this.spare(client);
      client.parser = parser;
      this.dispatcher.exchange(parser, this.limitParser(this.spareParsers.pop() ?? new RequestParser()));
    }
    parser.shift(-begin);
    const wanted = Math.max(rest, parser.at + parser.wanted);
    const same = region === client.input;
    if (same) {
      if (begin > 0) copyBytes(region, 0, region, begin, rest);
      client.inputEnd = rest;
    }
    if (wanted > this.queryLimit || !client.reserveInput(this.pool, wanted)) {
      this.inputDisconnections++;
      this.driver.close(client, true);
      this.recycle(client);
      return;
    }
    if (!same) copyBytes(client.input!, 0, region, begin, rest);
    client.inputEnd = rest;
  }

  private spare(client: Client): void {
    // One that a command of very many arguments has stretched is not worth its memory.
    if (client.parser !== null && this.spareParsers.length < 64 && client.parser.start.length <= 4096)
      this.spareParsers.push(client.parser);
    client.parser = null;
  }

  /** The connection holds no half-read command any more. */
  private recycle(client: Client): void {
    this.spare(client);
    client.releaseInput(this.pool);
  }

  closed(connection: Connection): void {
    const client = connection as Client;
    if (!this.clients.delete(client)) return;
    this.byEntry[client.entryIndex] = null;
    this.forget(client);
    this.bytesIn += client.bytesIn;
    this.bytesOut += client.bytesOut;
    this.control.add(Word.Clients, -1);
    Atomics.store(this.control.region.i32, (client.entry >> 2) + ClientEntry.StateI32, 0);
    Atomics.store(this.control.region.i32, (client.entry >> 2) + ClientEntry.KillI32, 0);
    this.freeEntries.push(client.entryIndex);
  }

  /** Ends everything that a connection takes part in. */
  private forget(client: Client): void {
    const { session, entry } = client;
    if ((session.mode & Mode.Monitor) !== 0) this.monitors.remove(client);
    if (session.suspended === Suspended.Blocked) this.waiters.release(client);
    this.transactions.discard(session, entry);
    this.exchange.forget(session);
    this.tracker.forget(client);
  }

  // What the dispatcher asks for connections that something is special about

  queue(client: Client, entry: Entry): boolean {
    return this.transactions.queue(client, entry);
  }

  queueNeedsMemory(client: Client): boolean {
    return this.transactions.needsMemory(client.session);
  }

  abandon(client: Client): void {
    this.transactions.discard(client.session, client.entry);
  }

  tracked(client: Client, entry: Entry): void {
    this.tracker.read(client, entry);
  }

  trackedDone(client: Client, entry: Entry): void {
    this.tracker.done(client, entry);
  }

  monitored(client: Client, entry: Entry): void {
    if ((entry.flags & (Flag.SkipMonitor | Flag.Admin)) === 0) this.monitors.tell(client, this.call);
  }

  /** The client of a session of this worker. */
  clientOf(session: Session): Client | undefined {
    for (const client of this.clients) if (client.session === session) return client;
    return undefined;
  }

  crossProtocol(client: Client): void {
    logLine("warning", this.plan.index, "possible cross-protocol attack: POST or Host: as a command", {
      address: client.session.address,
    });
  }

  // Figures

  failed(entry: Entry, error: unknown): void {
    logLine("warning", this.plan.index, "a command failed inside", {
      command: entry.row.name,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  }

  countError(_entry: Entry | null, from: number): void {
    this.errors++;
    if (from < 0) {
      this.countCode("ERR");
      return;
    }
    const { u8, at } = this.reply;
    let code = "";
    for (let i = from + 1; i < at && code.length < 32; i++) {
      const byte = u8[i]!;
      if (byte === 32 || byte === 13) break;
      code += String.fromCharCode(byte);
    }
    this.countCode(code);
  }

  private countCode(code: string): void {
    const count = this.errorCounts.get(code);
    if (count !== undefined || this.errorCounts.size < ERRORS_MAX)
      this.errorCounts.set(code, (count ?? 0) + 1);
  }

  /** Writes this worker's figures where everybody can read them. */
  publishFigures(): void {
    const { f64 } = this.control.region;
    const { page, dispatcher, call } = this;
    let networkIn = this.bytesIn;
    let networkOut = this.bytesOut;
    for (const client of this.clients) {
      networkIn += client.bytesIn;
      networkOut += client.bytesOut;
    }
    f64[page + Figure.ConnectionsReceived] = this.received_;
    f64[page + Figure.ConnectionsRejected] = this.rejected;
    f64[page + Figure.Connections] = this.clients.size;
    f64[page + Figure.Commands] = dispatcher.commands;
    f64[page + Figure.NetworkIn] = networkIn;
    f64[page + Figure.NetworkOut] = networkOut;
    f64[page + Figure.Hits] = call.hits;
    f64[page + Figure.Misses] = call.misses;
    f64[page + Figure.Errors] = this.errors;
    f64[page + Figure.InputDisconnections] = this.inputDisconnections;
    f64[page + Figure.OutputDisconnections] = this.outputDisconnections + this.pushes.disconnections;
    f64[page + Figure.Turns] = this.turns;
    f64[page + Figure.ReadRetries] = dispatcher.readRetries;
    f64[page + Figure.LockWaits] = lockWaits();
    this.ledger.look();
    this.defragmenter.publish(f64, page, this.clock.nowMs);
    f64[page + Figure.HeapBytes] = Math.max(0, heapSize() - viewedBytes());
    f64[page + Figure.Epoch] = this.statisticsEpoch;
    this.control.writeErrors(this.plan.index, this.errorCounts);
    f64.set(dispatcher.calls, page + Figure.Calls);
  }

  private resetFigures(): void {
    this.statisticsEpoch = this.control.word(Word.StatisticsEpoch);
    this.received_ = 0;
    this.rejected = 0;
    this.dispatcher.commands = 0;
    this.dispatcher.calls.fill(0);
    this.dispatcher.readRetries = 0;
    this.call.hits = 0;
    this.call.misses = 0;
    this.errors = 0;
    this.errorCounts.clear();
    this.defragmenter.resetFigures();
    // Connections go on counting for CLIENT LIST: what they have so far is taken off.
    this.bytesIn = 0;
    this.bytesOut = 0;
    for (const client of this.clients) {
      this.bytesIn -= client.bytesIn;
      this.bytesOut -= client.bytesOut;
    }
    this.publishFigures();
  }

  /** Everybody waits for so long. */
  stall(seconds: number): void {
    const { nowMs } = this.clock;
    this.control.stallUntilMs = Date.now() + seconds * 1000;
    this.order();
    // What follows in this turn happens afterwards, however late the others heard.
    this.slept = this.call.inTransaction;
    this.clock.nowMs = this.slept ? nowMs : Date.now();
  }

  /** Tells all workers to look at their orders. */
  order(): void {
    const { control } = this;
    control.add(Word.Orders, 1);
    for (let worker = 0; worker < this.plan.workers; worker++) {
      const fd = control.word(Word.WakeFds + worker);
      if (worker !== this.plan.index && fd > 0) ringEventFd(fd);
    }
    this.obey(this.call.session);
  }
}

/** Writes a command that was read from `source` as an array of bulk strings; returns its bytes. Cold. */
function writeRequest(command: RequestParser, source: Region, target: Region): number {
  let at = writeLatin1(target.u8, 0, `*${command.argc}\r\n`);
  for (let i = 0; i < command.argc; i++) {
    const bytes = command.length[i]!;
    at += writeLatin1(target.u8, at, `$${bytes}\r\n`);
    copyBytes(target, at, source, command.start[i]!, bytes);
    at += bytes;
    at += writeLatin1(target.u8, at, "\r\n");
  }
  return at;
}
