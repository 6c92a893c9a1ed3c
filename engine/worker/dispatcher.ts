// dispatcher.ts: from bytes to replies: parses requests, finds rows, checks them, locks what a command needs, runs it.
//
// Order of checks as in Redis: unknown command, arity, memory, run. Every reply is complete or, when its connection is
// to be closed for its size, absent. A handler that throws has met a bug or a torn read: torn reads are repeated under
// the lock; a bug is logged, answered as an internal error, and its locks are released.
// On the data path: no allocation, no string, no closure but in the cold branches. Neighbours: worker.ts calls `run`.
import { Flag, Scope } from "../../protocol/command-row.ts";
import { Errors, unknownCommand, unknownSubcommand, wrongArity } from "../../protocol/errors.ts";
import { Parsed, type RequestParser } from "../../protocol/request-parser.ts";
import type { Call } from "../commands/call.ts";
import { ReplyMode } from "../commands/session.ts";
import type { Region } from "../memory/region.ts";
import type { Keyspace } from "../shard/keyspace.ts";
import type { Client } from "./client.ts";
import type { CommandTable, Entry } from "./command-table.ts";

const OPTIMISTIC_TRIES = 3;

/** What the dispatcher asks of its worker. */
export interface DispatchHost {
  /** Whether `maxmemory` is reached. */
  readonly memoryFull: boolean;
  /** A handler threw: a bug. */
  failed(entry: Entry, error: unknown): void;
  /** A command was run, failed or rejected (reply began with an error). */
  countError(entry: Entry | null, text: number): void;
  crossProtocol(client: Client): void;
  /** Replies have grown past what the send region should hold in one piece: send them now; returns the new start. */
  spill(client: Client, start: number): number;
}

/** Replies of one connection are handed over once they pass this many bytes. */
const SPILL_BYTES = 1 << 20;

export class Dispatcher {
  /** Commands run, and calls, failures and rejections a row (index * 3). */
  commands = 0;
  readonly calls: Float64Array;
  readRetries = 0;
  private readonly alone: boolean;
  private readonly marks: Int32Array;
  /** Where the command that `run` stopped in begins. */
  begin = 0;
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
  }

  /** Runs the commands in `region` up to `end`, from where `parser` stands. Replies go to call.reply from `start`;
   *  returns where the replies not yet handed over begin. Afterwards `begin` is the first byte still needed; the
   *  client's session may be closing. */
  run(client: Client, parser: RequestParser, region: Region, end: number, start: number): number {
    const { call } = this;
    const { reply } = call;
    const { session } = client;
    call.input = region;
    call.session = session;
    reply.resp3 = session.resp3;
    this.protocolError = "";
    this.begin = parser.inside ? 0 : parser.at; // a half-read command stands at the front of its connection's input
    const { u8 } = region;
    for (;;) {
      const after = parser.parse(u8, end);
      if (after < 0) {
        if (after === Parsed.Failed) {
          this.protocolError = parser.error;
          session.closing = true;
        }
        return start;
      }
      if (parser.argc > 0) {
        call.argc = parser.argc;
        call.start = parser.start;
        call.length = parser.length;
        const from = reply.at;
        this.execute(client);
        if (session.replyMode !== ReplyMode.On) this.applyReplyMode(client, from);
        if (session.closing) {
          this.begin = after;
          return start;
        }
        if (reply.at - start > SPILL_BYTES) start = this.host.spill(client, start);
        if (client.closed) {
          this.begin = end;
          return start;
        }
      }
      this.begin = after;
      parser.begin(after);
    }
  }

  private applyReplyMode(client: Client, from: number): void {
    const { session } = client;
    if (session.replyMode === ReplyMode.SkipNext) session.replyMode = ReplyMode.Skipping;
    else if (session.replyMode === ReplyMode.Skipping) session.replyMode = ReplyMode.On;
    this.call.reply.at = from;
  }

  private execute(client: Client): void {
    const { call } = this;
    const { reply } = call;
    const start = call.start[0]!;
    const bytes = call.length[0]!;
    let entry = this.table.find(call.input.u8, start, bytes);
    this.commands++;
    client.session.commands++;
    if (entry === null) {
      this.unknown(client);
      return;
    }
    if (entry.children !== null && call.argc > 1) {
      const child = entry.children.find(call.input.u8, call.start[1]!, call.length[1]!);
      if (child === null) {
        this.reject(entry);
        reply.error(unknownSubcommand(call.text(1), entry.row.name));
        return;
      }
      entry = child;
    }
    client.lastEntry = entry.index;
    if (entry.handler === undefined || (entry.arity > 0 ? call.argc !== entry.arity : call.argc < -entry.arity)) {
      this.reject(entry);
      reply.error(wrongArity(entry.row.name));
      return;
    }
    if ((entry.flags & Flag.DenyOom) !== 0 && this.host.memoryFull) {
      this.reject(entry);
      reply.error(Errors.outOfMemory);
      return;
    }
    const count = entry.index * 3;
    this.calls[count] = this.calls[count]! + 1;
    call.row = entry.row;
    const from = reply.at;
    if (this.alone || entry.scope === Scope.None) this.invoke(entry, from);
    else if (entry.optimistic) this.readOptimistic(entry, from);
    else this.lockAndInvoke(entry, from);
    if (reply.u8[from] === 45 && reply.at > from) {
      this.calls[count + 1] = this.calls[count + 1]! + 1;
      this.host.countError(entry, from);
    }
  }

  private reject(entry: Entry): void {
    const count = entry.index * 3 + 2;
    this.calls[count] = this.calls[count]! + 1;
    this.host.countError(entry, -1);
  }

  private invoke(entry: Entry, from: number): void {
    try {
      entry.handler!(this.call);
    } catch (error) {
      this.bug(entry, from, error);
    }
  }

  private bug(entry: Entry, from: number, error: unknown): void {
    this.host.failed(entry, error);
    this.call.reply.at = from;
    this.call.reply.error("ERR internal error");
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
          if (shard.readValid(version)) {
            call.located = 0;
            return;
          }
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
    call.located = 0;
  }

  private lockAndInvoke(entry: Entry, from: number): void {
    const { call, keyspace } = this;
    if (entry.scope === Scope.All) {
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
      call.located = 0;
      return;
    }
    // Several keys: their shards, each once, in ascending order, so that no two workers wait for each other.
    const { marks } = this;
    const { shards } = keyspace;
    for (let i = entry.firstKey; i <= last; i += entry.keyStep) {
      call.locate(i);
      marks[keyspace.numberOf(call.key.low)] = 1;
    }
    for (let i = 0; i < shards.length; i++) if (marks[i] === 1) shards[i]!.lock();
    this.invoke(entry, from);
    for (let i = 0; i < shards.length; i++)
      if (marks[i] === 1) {
        shards[i]!.unlock();
        marks[i] = 0;
      }
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
