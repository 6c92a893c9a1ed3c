// dispatcher.ts: from bytes to replies: parses requests, finds rows, checks them, locks what a command needs, runs it.
//
// Order of checks as in Redis: unknown command, arity, memory, run. Every reply is complete or, when its connection is
// to be closed for its size, absent. A handler that throws has met a bug or a torn read: torn reads are repeated under
// the lock; a bug is logged, answered as an internal error, and its locks are released.
// On the data path: no allocation, no string, no closure but in the cold branches. Neighbours: worker.ts calls `run`.
import { Flag, Scope } from "../../protocol/command-row.ts";
import { Errors, unknownCommand, unknownSubcommand, wrongArity } from "../../protocol/errors.ts";
import { Parsed, RequestParser } from "../../protocol/request-parser.ts";
import type { Call } from "../commands/call.ts";
import { ReplyMode } from "../commands/session.ts";
import { LookAhead } from "../index/key-index.ts";
import { hashBytes, hashHigh, hashLow } from "../memory/hash.ts";
import type { Region } from "../memory/region.ts";
import type { Keyspace } from "../shard/keyspace.ts";
import { parseInteger } from "../types/integer.ts";
import type { Client } from "./client.ts";
import type { CommandTable, Entry } from "./command-table.ts";

const OPTIMISTIC_TRIES = 3;

/** How many commands of a pipeline are parsed before the first of them runs. While they are, the cache lines that their
 *  keys lead to are fetched all at once, instead of one after the other when each command needs them. */
const AHEAD = 16;

/** What the dispatcher asks of its worker. */
export interface DispatchHost {
  /** Whether `maxmemory` was reached when the turn began; checkMemory looks again. */
  readonly memoryFull: boolean;
  checkMemory(): boolean;
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
  private readonly marks: Int32Array;
  /** First byte that `run` still needs when it returns, and the parser that stopped there. */
  begin = 0;
  stopped: RequestParser;
  private readonly ahead = Array.from({ length: AHEAD }, () => new RequestParser());
  private readonly batch: RequestParser[];
  private readonly entries: (Entry | null)[] = new Array<Entry | null>(AHEAD).fill(null);
  private readonly keys = new LookAhead(AHEAD);
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
    this.marks = new Int32Array(keyspace.shards.length);
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
        parser = null;
        if (this.batch[count]!.argc > 0) count++;
        else if (this.batch[count] === held) held = null;
      }
      if (count > 1) this.fetch(count);
      // Run it.
      for (let i = 0; i < count; i++) {
        const ready = this.batch[i]!;
        call.argc = ready.argc;
        call.start = ready.start;
        call.length = ready.length;
        const before = reply.at;
        this.execute(client, count > 1 ? i : -1);
        if (session.replyMode !== ReplyMode.On) this.applyReplyMode(client, before);
        if (session.closing || client.closed) {
          this.begin = end;
          this.stopped = ready;
          return;
        }
        if (reply.at - reply.begin > SPILL_BYTES) this.host.handOver(client);
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
    const { db } = call.session;
    keys.db = db;
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
        touched = shard.index.touchBuckets(db, highs, lows, 0, count);
        shard.index.guess(db, keys, 0, count);
        touched ^= shard.touchRecords(handles, 0, count);
      } else {
        for (let i = 0; i < count; i++)
          touched ^= keyspace.shardOf(lows[i]!).index.touchBuckets(db, highs, lows, i, i + 1);
        for (let i = 0; i < count; i++) keyspace.shardOf(lows[i]!).index.guess(db, keys, i, i + 1);
        for (let i = 0; i < count; i++) touched ^= keyspace.shardOf(lows[i]!).touchRecords(handles, i, i + 1);
      }
    } catch {
      handles.fill(0); // torn while another worker changed the index
    }
    this.touched = touched;
  }

  private applyReplyMode(client: Client, from: number): void {
    const { session } = client;
    if (session.replyMode === ReplyMode.SkipNext) session.replyMode = ReplyMode.Skipping;
    else if (session.replyMode === ReplyMode.Skipping) session.replyMode = ReplyMode.On;
    this.call.reply.at = from;
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
        this.reject(entry, unknownSubcommand(call.text(1), entry.row.name));
        return;
      }
      entry = child;
    }
    client.lastEntry = entry.index;
    if (
      entry.handler === undefined ||
      (entry.arity > 0 ? call.argc !== entry.arity : call.argc < -entry.arity)
    ) {
      this.reject(entry, wrongArity(entry.row.name));
      return;
    }
    // A command before this one in its pipeline may have made room.
    if ((entry.flags & Flag.DenyOom) !== 0 && this.host.memoryFull && this.host.checkMemory()) {
      this.reject(entry, Errors.outOfMemory);
      return;
    }
    call.row = entry.row;
    const from = reply.at;
    if (fetched >= 0 && entry.firstKey > 0 && entry.firstKey < call.argc && this.entries[fetched] === entry)
      call.adopt(entry.firstKey, this.keys, fetched);
    // What large strings may be sent straight from: shards that are this worker's for the time of the call, by a
    // connection that hears its replies.
    reply.direct = client.session.replyMode === ReplyMode.On && (this.alone || !entry.optimistic);
    if (this.alone || entry.scope === Scope.None) this.invoke(entry, from);
    else if (entry.optimistic) this.readOptimistic(entry, from);
    else this.lockAndInvoke(entry, from);
    const count = entry.index * 3;
    this.calls[count] = this.calls[count]! + 1; // afterwards: a command does not see itself in the figures
    if (reply.at > from && reply.u8[from] === 45 && reply.begin <= from) {
      this.calls[count + 1] = this.calls[count + 1]! + 1;
      this.host.countError(entry, from);
    }
  }

  private reject(entry: Entry, text: string): void {
    const count = entry.index * 3 + 2;
    this.calls[count] = this.calls[count]! + 1;
    const { reply } = this.call;
    const from = reply.at;
    reply.error(text);
    this.host.countError(entry, from);
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
    this.host.failed(entry, error);
    reply.at = Math.max(from, reply.begin);
    reply.error("ERR internal error");
  }

  /** Reads without the lock, and again with it when somebody wrote meanwhile. */
  private readOptimistic(entry: Entry, from: number): void {
    const { call } = this;
    const shard = call.locateFor(entry.firstKey);
    const { hits, misses } = call;
    for (let tries = 0; tries < OPTIMISTIC_TRIES; tries++) {
      const version = shard.readBegin();
      if (version !== -1) {
        try {
          entry.handler!(call);
          if (shard.readValid(version)) return;
        } catch {
          // A torn read led nowhere: nothing was written, so it can be repeated.
        }
        call.reply.at = from;
        call.reply.overflow = false;
        call.hits = hits;
        call.misses = misses;
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
    const { call, keyspace } = this;
    if (entry.scope === Scope.All && (entry.keysOnly === undefined || !entry.keysOnly(call))) {
      keyspace.lockAll();
      this.invoke(entry, from);
      keyspace.unlockAll();
      return;
    }
    const last = entry.lastKey < 0 ? call.argc + entry.lastKey : entry.lastKey;
    if (last <= entry.firstKey) {
      const shard = call.locateFor(entry.firstKey);
      shard.lock();
      this.invoke(entry, from);
      shard.unlock();
      return;
    }
    // Several keys: their shards, each once, in ascending order, so that no two workers wait for each other.
    const { marks } = this;
    const { shards } = keyspace;
    if (entry.keyCount > 0) this.markCounted(entry);
    else for (let i = entry.firstKey; i <= last; i += entry.keyStep) this.mark(i);
    for (let i = 0; i < shards.length; i++) if (marks[i] === 1) shards[i]!.lock();
    this.invoke(entry, from);
    for (let i = 0; i < shards.length; i++)
      if (marks[i] === 1) {
        shards[i]!.unlock();
        marks[i] = 0;
      }
  }

  /** Marks the shard of the key in argument `i`. */
  private mark(i: number): void {
    const { call } = this;
    call.locate(i);
    this.marks[this.keyspace.numberOf(call.key.low)] = 1;
  }

  /** Marks the shards of the first key and of as many as the arguments tell; of all there can be where they tell no
   *  such number, which the handler will refuse. */
  private markCounted(entry: Entry): void {
    const { call } = this;
    const count = parseInteger(call.input.u8, call.start[entry.keyCount]!, call.length[entry.keyCount]!);
    const told = entry.countedKey + count * entry.keyStep;
    const end = count >= 0 && told < call.argc ? told : call.argc;
    if (entry.firstKey < entry.countedKey) this.mark(entry.firstKey);
    for (let i = entry.countedKey; i < end; i += entry.keyStep) this.mark(i);
  }

  private unknown(client: Client): void {
    const { call } = this;
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
