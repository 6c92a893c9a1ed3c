// dispatcher.ts: from bytes to replies: parses requests, finds rows, checks them, locks what a command needs, runs it.
//
// Order of checks as in Redis: unknown command, arity, memory, what the connection may send, pause, queue, run. A
// connection with nothing special about it (Session.mode, Gate) pays one test for all of that. Every reply is complete or,
// when its connection is to be closed for its size, absent. A handler that throws has met a bug or a torn read: torn reads are repeated under
// the lock; a bug is logged, answered as an internal error, and its locks are released.
// On the data path: no allocation, no string, no closure but in the cold branches. Neighbours: worker.ts calls `run`.
import { Flag, Scope } from "../../protocol/command-row.ts";
import {
  Errors,
  execAbort,
  subscribedOnly,
  unknownCommand,
  unknownSubcommand,
  wrongArity,
} from "../../protocol/errors.ts";
import { Parsed, RequestParser } from "../../protocol/request-parser.ts";
import type { Call } from "../commands/call.ts";
import { Mode, ReplyMode, Suspended } from "../commands/session.ts";
import { KeyIndex, LookAhead } from "../index/key-index.ts";
import { hashBytes, hashHigh, hashLow } from "../memory/hash.ts";
import type { Region } from "../memory/region.ts";
import { Attention } from "../shard/events.ts";
import type { Keyspace } from "../shard/keyspace.ts";
import { samples } from "../shard/samples.ts";
import { MemoryError } from "../shard/shard.ts";
import type { Client } from "./client.ts";
import type { CommandTable, Entry } from "./command-table.ts";
import { Gate, Word } from "./control.ts";
import type { Locks } from "./locks.ts";

const OPTIMISTIC_TRIES = 3;

/** How many commands of a pipeline are parsed before the first of them runs. While they are, the cache lines that their
 *  keys lead to are fetched all at once, instead of one after the other when each command needs them. */
const AHEAD = 16;

/** What the dispatcher asks of its worker. */
export interface DispatchHost {
  /** The words all workers share (Word): Gate is looked at before every command. */
  readonly words: Int32Array;
  readonly locks: Locks;
  /** Clients that wait for keys: `ready` is not 0 when some of these have something now. */
  readonly waiters: { readonly ready: number; serve(): void };
  /** Queues the command in the call for EXEC. False when there is no memory for it. */
  queue(client: Client, entry: Entry): boolean;
  /** Whether EXEC of what the client has queued needs memory. */
  queueNeedsMemory(client: Client): boolean;
  /** EXEC is refused: the transaction is over. */
  abandon(client: Client): void;
  /** A client that tracks what it reads is about to read the keys of the command in the call; their shards are locked. */
  tracked(client: Client, entry: Entry): void;
  /** A command of a client that tracks is done. */
  trackedDone(client: Client, entry: Entry): void;
  /** The command in the call has run, and somebody monitors. */
  monitored(client: Client, entry: Entry): void;
  /** Takes what has come for this worker's clients. */
  drainMail(): void;
  /** Whether `maxmemory` was reached, or nearly, when the turn began: then makeRoom lets keys go, and says whether a command
   *  that needs memory may run. No lock is held when it is called. */
  readonly memoryFull: boolean;
  makeRoom(): boolean;
  /** A handler threw: a bug. */
  failed(entry: Entry, error: unknown): void;
  /** A command was run, failed or rejected (reply began with an error). */
  countError(entry: Entry | null, text: number): void;
  crossProtocol(client: Client): void;
  /** Hands the driver the replies so far. */
  handOver(client: Client): void;
}

/** Replies of one connection are handed over once they pass this many bytes. */
const SPILL_BYTES = 256 * 1024;

export class Dispatcher {
  /** Commands run, and calls, failures and rejections a row (index * 3). */
  commands = 0;
  readonly calls: Float64Array;
  readRetries = 0;
  private readonly alone: boolean;
  private readonly words: Int32Array;
  private readonly locks: Locks;
  private readonly waiters: DispatchHost["waiters"];
  /** Where each command of the batch ends. */
  private readonly ends = new Int32Array(AHEAD);
  /** The command that made its connection wait before it ran, to be kept and run again; null: none did. */
  held: RequestParser | null = null;
  /** First byte that `run` still needs when it returns, and the parser that stopped there; of a connection that has to
   *  wait (Session.suspended) all is unread from there on. */
  begin = 0;
  stopped: RequestParser;
  private readonly ahead = Array.from({ length: AHEAD }, () => new RequestParser());
  private readonly batch: RequestParser[];
  private readonly entries: (Entry | null)[] = new Array<Entry | null>(AHEAD).fill(null);
  private readonly keys: LookAhead;
  /** Keeps the compiler from dropping reads whose only use is to have been made. */
  touched = 0;
  /** Text of the protocol error that ended the connection, or "". */
  protocolError = "";

  constructor(
    private readonly call: Call,
    private readonly table: CommandTable,
    private readonly keyspace: Keyspace,
    private readonly host: DispatchHost,
    rows: number,
  ) {
    this.calls = new Float64Array(rows * 3);
    this.alone = keyspace.shards.length === 1;
    this.keys = new LookAhead(AHEAD, call.input);
    this.words = host.words;
    this.locks = host.locks;
    this.waiters = host.waiters;
    this.batch = [...this.ahead, this.ahead[0]!]; // one more: where reading stopped
    this.stopped = this.ahead[0]!;
  }

  /** Runs the commands in `region` up to `end`, beginning with the one half read in `parser` if there is one, else at
   *  `start` with a parser of its own. Replies go to call.reply from where it stands. Afterwards `begin` is the first byte still needed and `stopped` the parser that holds the
   *  command there; the client's session may be closing. */
  run(client: Client, held: RequestParser | null, region: Region, start: number, end: number): void {
    const { call, ahead } = this;
    const { reply } = call;
    const { session } = client;
    call.input = region;
    call.session = session;
    reply.resp3 = session.resp3;
    this.protocolError = "";
    const { u8 } = region;
    reply.begin = reply.at;
    let at = start;
    let parser = held;
    for (;;) {
      // Read a batch.
      let count = 0;
      let outcome = 0;
      while (count < AHEAD) {
        if (parser === null) {
          parser = ahead[count]!;
          parser.begin(at);
        }
        outcome = parser.parse(u8, end);
        this.batch[count] = parser;
        if (outcome < 0) break;
        at = outcome;
        const read = parser;
        parser = null;
        if (read.argc > 0) {
          this.ends[count++] = at;
          // What follows an inline line may have to be read again, and reading one may change it.
          if (read.inline) break;
        } else if (read === held) held = null;
      }
      if (count > 1) this.fetch(count);
      // Run it.
      for (let i = 0; i < count; i++) {
        const ready = this.batch[i]!;
        call.argc = ready.argc;
        call.start = ready.start;
        call.length = ready.length;
        const before = reply.at;
        const mode = session.replyMode;
        reply.kept = mode === ReplyMode.On ? -1 : before;
        this.execute(client, count > 1 ? i : -1);
        // A command that has to wait has its reply, or none, later.
        if (session.replyMode !== ReplyMode.On && session.suspended === Suspended.No)
          this.applyReplyMode(client, mode);
        if ((session.mode & Mode.Receives) !== 0) this.host.drainMail();
        if (session.closing || client.closed) {
          this.begin = end;
          this.stopped = ready;
          return;
        }
        if (reply.at - reply.begin > SPILL_BYTES) this.host.handOver(client);
        if (session.suspended !== Suspended.No) {
          this.begin = this.ends[i]!;
          this.held = session.suspended === Suspended.Paused ? ready : null;
          return;
        }
      }
      if (outcome < 0) {
        const last = this.batch[count]!;
        this.stopped = last;
        this.begin = last === held && count === 0 ? 0 : at; // a half-read command stands at the front of its input
        if (outcome === Parsed.Failed) {
          this.protocolError = last.error;
          session.closing = true;
        }
        return;
      }
    }
  }

  /** Every parser of the look-ahead, for limits to be set. */
  get parsers(): readonly RequestParser[] {
    return this.ahead;
  }

  /** Takes the parser `run` stopped in out of the look-ahead, another in its place. */
  exchange(taken: RequestParser, other: RequestParser): void {
    const index = this.ahead.indexOf(taken);
    if (index >= 0) this.ahead[index] = other;
  }

  /** Hashes the keys of `count` parsed commands and touches what looking them up will touch: every bucket, then every
   *  record. Each pass is a few instructions a key, so that the processor has many of these reads in flight at a time;
   *  measured with 100,000 keys, a record read so costs 5 ns and one met on the way of its command 140. Only a hint: a
   *  key that is gone by the time its command runs, or a torn read, costs nothing but the hint. */
  private fetch(count: number): void {
    const { call, batch, entries, keyspace, keys } = this;
    const { highs, lows, handles } = keys;
    const { shards } = keyspace;
    const { u8 } = call.input;
    keys.db = call.session.db;
    let touched = 0;
    for (let i = 0; i < count; i++) {
      const { start, length, argc } = batch[i]!;
      const entry = this.table.find(u8, start[0]!, length[0]!);
      entries[i] = entry;
      const first = entry === null ? 0 : entry.firstKey;
      const key = first < argc ? first : 0; // the name, where there is no key: its hash is not used
      hashBytes(call.input, start[key]!, length[key]!);
      highs[i] = hashHigh;
      lows[i] = hashLow;
    }
    try {
      if (this.alone) {
        const shard = shards[0]!;
        touched = shard.index.touchBuckets(keys, 0, count);
        KeyIndex.guess(keys, count);
        touched ^= shard.touchRecords(handles, 0, count);
      } else {
        for (let i = 0; i < count; i++)
          touched ^= keyspace.shardOf(lows[i]!).index.touchBuckets(keys, i, i + 1);
        KeyIndex.guess(keys, count);
        for (let i = 0; i < count; i++) touched ^= keyspace.shardOf(lows[i]!).touchRecords(handles, i, i + 1);
      }
    } catch {
      handles.fill(0); // torn while another worker changed the index
    }
    this.touched = touched;
  }

  /** Drops the reply of a command that was to be silent when it began, by `mode`. */
  private applyReplyMode(client: Client, mode: ReplyMode): void {
    const { session } = client;
    if (session.replyMode === ReplyMode.SkipNext) session.replyMode = ReplyMode.Skipping;
    else if (session.replyMode === ReplyMode.Skipping) session.replyMode = ReplyMode.On;
    if (mode !== ReplyMode.On) this.call.reply.at = this.call.reply.kept;
  }

  /** Runs the command in `call`; `fetched` is its place in the batch, -1 when nothing was fetched. */
  private execute(client: Client, fetched: number): void {
    const { call } = this;
    const { reply } = call;
    let entry =
      fetched >= 0 ? this.entries[fetched]! : this.table.find(call.input.u8, call.start[0]!, call.length[0]!);
    call.located = 0;
    this.commands++;
    client.session.commands++;
    if (entry === null) {
      this.unknown(client);
      return;
    }
    if (entry.children !== null && call.argc > 1) {
      const child = entry.children.find(call.input.u8, call.start[1]!, call.length[1]!);
      if (child === null) {
        this.reject(client, entry, unknownSubcommand(call.text(1), entry.row.name));
        return;
      }
      entry = child;
    }
    client.lastEntry = entry.index;
    if (
      entry.handler === undefined ||
      (entry.arity > 0 ? call.argc !== entry.arity : call.argc < -entry.arity)
    ) {
      this.reject(client, entry, wrongArity(entry.row.name));
      return;
    }
    // A command before this one in its pipeline may have made room.
    if ((entry.flags & Flag.DenyOom) !== 0 && this.host.memoryFull && !this.host.makeRoom()) {
      this.reject(client, entry, Errors.outOfMemory);
      return;
    }
    const gate = this.words[Word.Gate]!;
    const special = client.session.mode | gate;
    if (special !== 0 && this.intercepted(client, entry, gate)) return;
    call.row = entry.row;
    const from = reply.at;
    if (fetched >= 0 && entry.firstKey > 0 && entry.firstKey < call.argc && this.entries[fetched] === entry)
      call.adopt(entry.firstKey, this.keys, fetched);
    // What large strings may be sent straight from: shards that are this worker's for the time of the call, by a
    // connection that hears its replies.
    reply.direct = client.session.replyMode === ReplyMode.On && (this.alone || !entry.optimistic);
    if (special !== 0 && (client.session.mode & Mode.Tracking) !== 0) this.invokeTracked(client, entry, from);
    else if (this.alone) {
      this.invoke(entry, from);
      if (this.waiters.ready !== 0) this.waiters.serve();
    } else if (!entry.locks) this.invoke(entry, from);
    else if (entry.optimistic) this.readOptimistic(entry, from);
    else this.lockAndInvoke(entry, from);
    this.count(entry, from);
    if (special !== 0) this.ran(client, entry, gate);
  }

  /** Counts a command that has run. */
  private count(entry: Entry, from: number): void {
    const { reply } = this.call;
    const count = entry.index * 3;
    this.calls[count] = this.calls[count]! + 1; // afterwards: a command does not see itself in the figures
    if (reply.at > from && reply.u8[from] === 45 && reply.begin <= from) {
      this.calls[count + 1] = this.calls[count + 1]! + 1;
      this.host.countError(entry, from);
    }
  }

  /** Refuses a command before it runs: it makes a transaction fail later, and is its end when it is EXEC. */
  private reject(client: Client, entry: Entry, text: string): void {
    const count = entry.index * 3 + 2;
    this.calls[count] = this.calls[count]! + 1;
    const { reply } = this.call;
    const from = reply.at;
    if (entry.isExec) {
      this.host.abandon(client);
      reply.error(execAbort(text));
    } else {
      this.doom(client);
      reply.error(text);
    }
    this.host.countError(entry, from);
  }

  private doom(client: Client): void {
    if ((client.session.mode & Mode.Multi) !== 0) client.session.transaction!.doomed = true;
  }

  // Connections that something is special about

  /** Whether the command in `call` is not to run now: it was refused, queued, or has to wait. */
  private intercepted(client: Client, entry: Entry, gate: number): boolean {
    const { session } = client;
    const { mode } = session;
    const multi = (mode & Mode.Multi) !== 0;
    if (multi && (entry.flags & Flag.NoMulti) !== 0) {
      this.reject(client, entry, Errors.notInTransaction);
      return true;
    }
    if (entry.isExec && this.host.memoryFull && this.host.queueNeedsMemory(client) && !this.host.makeRoom()) {
      this.reject(client, entry, Errors.outOfMemory);
      return true;
    }
    if ((mode & Mode.Subscribed) !== 0 && !session.resp3 && !entry.whileSubscribed) {
      this.reject(client, entry, subscribedOnly(entry.row.name));
      return true;
    }
    if ((gate & (Gate.Paused | Gate.PausedAll)) !== 0 && this.waits(client, entry, gate)) return true;
    if (!multi || entry.immediate) return false;
    if (this.host.queue(client, entry)) this.call.reply.simple("QUEUED");
    else this.reject(client, entry, Errors.outOfMemory);
    return true;
  }

  /** Whether CLIENT PAUSE holds the command: then it is kept, to run when the pause is over. */
  private waits(client: Client, entry: Entry, gate: number): boolean {
    if ((gate & Gate.PausedAll) === 0) {
      const { transaction } = client.session;
      const flags = entry.isExec && transaction !== null ? transaction.flags : entry.flags;
      if ((flags & (Flag.Write | Flag.MayReplicate)) === 0) return false;
    }
    client.session.suspended = Suspended.Paused;
    this.commands--;
    client.session.commands--;
    return true;
  }

  /** Runs a command of a client that tracks keys: what it reads is remembered before anybody can change it. */
  private invokeTracked(client: Client, entry: Entry, from: number): void {
    const { locks } = this;
    if (!this.alone && entry.locks) {
      locks.mark(entry, false);
      locks.lock();
    }
    if ((entry.flags & Flag.ReadOnly) !== 0) this.host.tracked(client, entry);
    this.invoke(entry, from);
    if (this.waiters.ready !== 0) this.waiters.serve();
    if (!this.alone && entry.locks) locks.unlock();
  }

  /** A command has run of a connection, or before others, that something is special about. */
  private ran(client: Client, entry: Entry, gate: number): void {
    if ((gate & Gate.Monitored) !== 0) this.host.monitored(client, entry);
    if ((client.session.mode & Mode.Tracking) !== 0) this.host.trackedDone(client, entry);
  }

  /** Runs a queued command, in the call, for EXEC, which holds its locks. */
  runQueued(client: Client, entry: Entry): void {
    const { call } = this;
    const { reply } = call;
    const { session } = client;
    this.commands++;
    session.commands++;
    call.row = entry.row;
    const from = reply.at;
    reply.direct = false; // nothing goes out before the end: a connection that breaks must not end among these locks
    // What comes after a command that ends the connection or silences it is run, and not heard.
    const silent = reply.kept < 0 && (session.closing || session.replyMode === ReplyMode.Off);
    if (silent) reply.kept = from;
    const tracking = (session.mode & Mode.Tracking) !== 0;
    if (tracking && (entry.flags & Flag.ReadOnly) !== 0) this.host.tracked(client, entry);
    this.invoke(entry, from);
    this.count(entry, from);
    if (silent) {
      if (session.closing || session.replyMode === ReplyMode.Off) reply.at = reply.kept;
      reply.kept = -1;
    }
    const gate = this.words[Word.Gate]!;
    if ((gate & Gate.Monitored) !== 0) this.host.monitored(client, entry);
  }

  serveWaiting(): void {
    if (this.waiters.ready !== 0) this.waiters.serve();
  }

  private invoke(entry: Entry, from: number): void {
    try {
      entry.handler!(this.call);
    } catch (error) {
      this.bug(entry, from, error);
    }
  }

  private bug(entry: Entry, from: number, error: unknown): void {
    const { reply } = this.call;
    reply.at = Math.max(from, reply.begin);
    if (error instanceof MemoryError) {
      reply.error(Errors.outOfMemory);
      return;
    }
    this.host.failed(entry, error);
    reply.error(Errors.internal);
  }

  /** Reads without the lock, and again with it when somebody wrote meanwhile. */
  private readOptimistic(entry: Entry, from: number): void {
    const { call } = this;
    const shard = call.locateFor(entry.firstKey);
    const { hits, misses } = call;
    const { written, repeats } = samples;
    // A miss that is to be told of is told once: under the lock.
    const most = (shard.attention & Attention.Misses) === 0 ? OPTIMISTIC_TRIES : 0;
    for (let tries = 0; tries < most; tries++) {
      const version = shard.readBegin();
      if (version !== -1) {
        try {
          entry.handler!(call);
          if (!shard.needsLock && shard.readValid(version)) return;
        } catch {
          // A torn read led nowhere: nothing was written, so it can be repeated.
        }
        if (shard.needsLock) tries = most;
        shard.needsLock = false;
        call.reply.at = from;
        call.reply.overflow = false;
        call.hits = hits;
        call.misses = misses;
        samples.takeBack(written, repeats);
      }
      this.readRetries++;
    }
    shard.lock();
    try {
      entry.handler!(call);
    } catch (error) {
      this.bug(entry, from, error);
    }
    shard.unlock();
  }

  private lockAndInvoke(entry: Entry, from: number): void {
    const { call, locks, waiters } = this;
    if (entry.scope === Scope.Keys && entry.oneKey) {
      const shard = call.locateFor(entry.firstKey);
      shard.lock();
      if (shard.movers === 0 || (entry.flags & Flag.Write) === 0) {
        this.invoke(entry, from);
        if (waiters.ready !== 0) waiters.serve();
        shard.unlock();
        return;
      }
      shard.unlock(); // Locks sees the same, and takes all
    }
    locks.mark(entry, false);
    locks.lock();
    this.invoke(entry, from);
    if (waiters.ready !== 0) waiters.serve();
    locks.unlock();
  }

  private unknown(client: Client): void {
    const { call } = this;
    this.doom(client);
    const name = call.text(0);
    const lower = name.toLowerCase();
    if (lower === "post" || lower === "host:") {
      this.host.crossProtocol(client);
      client.session.closing = true;
      return;
    }
    const args: string[] = [];
    let length = 0;
    for (let i = 1; i < call.argc && length < 128; i++) {
      const bytes = call.length[i]!;
      const kept = call.length[i]! > 160;
      if (kept) call.length[i] = 160;
      const text = call.text(i);
      call.length[i] = bytes;
      args.push(text);
      length += text.length + 3;
    }
    call.reply.error(unknownCommand(name, args));
    this.host.countError(null, -1);
  }
}
