// waiters.ts: clients in blocking commands: what they wait for, who serves them, and how their waiting ends.
//
// A client that waits has a node of kind Interest.Wait at each of its keys, in the registers of their shards and a space
// for them alone, and a record of its command. Who makes a key ready serves its waiters, in the order in which they began to wait: by running the
// command again from the record, under the locks it holds anyway, and sending the reply to the waiter's worker. Where a
// move goes to another shard than it comes from, whoever writes to the source locks all shards (Shard.movers, locks.ts).
//
// THE CLAIM is the word Entry.BlockedI32 of the client: the token of this waiting; Claim.Serving while somebody runs its
// command; 0 when it is decided or the client does not wait. Who changes the token by compare-and-exchange, and only
// it, ends the waiting: who serves, its deadline, CLIENT UNBLOCK, the end of the connection. A claim is never given back:
// who serves holds a key of the right type, so the command will reply.
// THE RECORD belongs to the client's worker, but while Claim.Serving to who serves. It reads it, and takes the nodes of
// shards that it holds out of their registers. All other nodes are left to the client's worker, the only one to free the
// record; until then they are met and passed over, as claiming fails.
//
//   RECORD (from the register's allocator of the first key's shard), i32 words
//     0 argc   1 number of its row   2 database | RESP3 << 8   3 keys   4 1 when the shard counts it as a mover
//     5 on     length of each argument; then two words a key: number of its shard, node there or 0; then the arguments
//
// A client that waits for nothing but the time (WAIT) has neither nodes nor record.
// On the data path of blocking commands: no allocation once a client has waited once.
// Neighbours: engine/commands/blocking.ts asks; dispatcher.ts and transactions.ts call `serve` before they unlock; signals.ts
// calls `keyReady`; worker.ts asks for what is due, takes messages and resumes clients.

import { Errors } from "../../protocol/errors.ts";
import type { Call } from "../commands/call.ts";
import { Session, Suspended } from "../commands/session.ts";
import { Handle } from "../memory/allocator.ts";
import { Key } from "../memory/key.ts";
import type { Type } from "../memory/record.ts";
import { copyBytes } from "../memory/region.ts";
import { Event } from "../shard/events.ts";
import type { Keyspace } from "../shard/keyspace.ts";
import type { Shard } from "../shard/shard.ts";
import type { Client } from "./client.ts";
import type { Entry } from "./command-table.ts";
import { Entry as ClientEntry, type Control, Word } from "./control.ts";
import { Deadlines, type Due } from "./deadlines.ts";
import { type Mail, Message } from "./inbox.ts";
import { Interest, Unblock, WAITED_SPACE } from "./interests.ts";

const enum Claim {
  Decided = 0,
  /** No token is this. */
  Serving = -1,
}

const enum Record {
  Argc = 0,
  Row = 1,
  Session = 2,
  Keys = 3,
  Mover = 4,
  Lengths = 5,
}

/** `d` of a node: type waited for, and from this bit on the number of the shard that has the record. */
const HOME_SHIFT = 8;

/** Chains of the keys that are ready, a power of two. */
const CHAINS = 64;

const bringing = new Uint8Array(64);
for (const event of [
  ...[Event.LPush, Event.RPush, Event.SortStore, Event.RenameTo, Event.CopyTo, Event.MoveTo, Event.Restore],
  ...[Event.ZAdd, Event.ZIncr, Event.ZUnionStore, Event.ZInterStore, Event.ZDiffStore, Event.ZRangeStore],
  ...[Event.GeoSearchStore, Event.GeoRadiusStore],
])
  bringing[event] = 1;

/** Whether a list or a sorted set may be there after an event that was not before. */
export function brings(event: Event): boolean {
  return bringing[event] === 1;
}

function wordOf(handle: number): number {
  return (handle & Handle.GranuleMask) << (Handle.GranuleShift - 2);
}

/** How a client waits; kept for the next time. */
export class Waiting implements Due {
  /** 0 while it does not. */
  token = 0;
  dueMs = 0;
  place = -1;
  /** Its record, 0 for none, and the number of the shard where that is. */
  record = 0;
  home = 0;
  /** It is WAIT: what it gets when its time is over is a number. */
  counts = false;

  constructor(readonly client: Client) {}
}

/** What is told of a command that failed inside. */
interface Failures {
  /** The handler threw: a bug. */
  failed(entry: Entry, error: unknown): void;
  /** The reply that begins at `text` is an error. */
  countError(entry: Entry, text: number): void;
}

export class Waiters {
  /** How many entries the list of ready keys has. */
  ready = 0;
  /** Whether a command runs for a client that waits. */
  serving = false;
  private readonly words: Int32Array;
  private readonly rows: ReadonlyMap<Call["row"], number>;
  private readonly deadlines = new Deadlines<Waiting>();
  /** Who waits, to the commands that run for it. */
  private readonly standIn = new Session(0, -1, "", "", 0);
  private readonly key: Key;
  private start = new Int32Array(16);
  private length = new Int32Array(16);
  // The list of ready keys: shard and name, 0 once it was looked at; the chain of each, as place in the list + 1.
  private readonly readyShards: Shard[] = [];
  private readonly readyNames: number[] = [];
  private readonly readyNext: number[] = [];
  private readonly chains = new Int32Array(CHAINS);

  constructor(
    private readonly call: Call,
    private readonly keyspace: Keyspace,
    private readonly control: Control,
    private readonly mail: Mail,
    private readonly entries: readonly Entry[],
    private readonly host: Failures,
  ) {
    this.words = control.region.i32;
    this.key = new Key(control.region);
    this.rows = new Map(entries.map((entry) => [entry.row, entry.index]));
  }

  // Beginning to wait

  /** Hub.block. */
  block(
    client: Client,
    call: Call,
    type: Type,
    first: number,
    count: number,
    destination: number,
    timeoutMs: number,
  ): void {
    if (this.serving) return;
    const { reply } = call;
    if (call.inTransaction) {
      if (destination === 0) reply.nilArray();
      else reply.nil();
      return;
    }
    const { control, words } = this;
    client.waiting ??= new Waiting(client);
    const { waiting } = client;
    let token = 0;
    while (token === Claim.Decided || token === Claim.Serving) token = (control.add(Word.Tokens, 1) + 1) | 0;
    waiting.token = token;
    waiting.record = 0;
    waiting.counts = count === 0;
    if (count > 0 && !this.register(waiting, type, first, count, destination)) {
      waiting.token = 0;
      return reply.error(Errors.outOfMemory);
    }
    Atomics.store(words, (client.entry >> 2) + ClientEntry.BlockedI32, token);
    control.add(Word.Blocked, 1);
    client.session.suspended = Suspended.Blocked;
    if (timeoutMs === 0) return;
    waiting.dueMs = call.nowMs + timeoutMs;
    this.deadlines.add(waiting);
  }

  /** Writes the record of the command in the call and its nodes. False, and nothing is there, when memory is out. */
  private register(waiting: Waiting, type: Type, first: number, count: number, destination: number): boolean {
    const { call, keyspace } = this;
    const { argc, start, length, input, session } = call;
    let textBytes = 0;
    for (let i = 0; i < argc; i++) textBytes += length[i]!;
    const { allocator } = call.locate(first).register;
    const home = keyspace.numberOf(call.key.low);
    const record = allocator.allocate((Record.Lengths + argc + count * 2) * 4 + textBytes);
    if (record === 0) return false;
    const region = allocator.regionOf(record);
    const { i32 } = region;
    const word = wordOf(record);
    i32[word + Record.Argc] = argc;
    i32[word + Record.Row] = this.rows.get(call.row)!;
    i32[word + Record.Session] = session.db | (session.resp3 ? 256 : 0);
    i32[word + Record.Keys] = 0;
    i32[word + Record.Mover] = 0;
    let text = (word + Record.Lengths + argc + count * 2) << 2;
    for (let i = 0; i < argc; i++) {
      i32[word + Record.Lengths + i] = length[i]!;
      copyBytes(region, text, input, start[i]!, length[i]!);
      text += length[i]!;
    }
    waiting.record = record;
    waiting.home = home;
    const { token } = waiting;
    const { entry } = waiting.client;
    for (let i = 0; i < count; i++) {
      const { register } = call.locate(first + i);
      const name = register.ensure(WAITED_SPACE + session.db, call.key);
      let node = 0;
      // A key may be named twice.
      if (name === 0 || register.findNode(name, Interest.Wait, entry) === 0) {
        const d = type | (home << HOME_SHIFT);
        if (name !== 0) node = register.add(name, Interest.Wait, entry, token, record, d);
        if (node === 0) {
          this.dropRecord(waiting);
          return false;
        }
      }
      const at = word + Record.Lengths + argc + i * 2;
      i32[at] = keyspace.numberOf(call.key.low);
      i32[at + 1] = node;
      i32[word + Record.Keys] = i + 1;
    }
    if (destination === 0) return true;
    call.locate(destination);
    if (keyspace.numberOf(call.key.low) !== home) {
      i32[word + Record.Mover] = 1;
      keyspace.shards[home]!.movers++;
    }
    return true;
  }

  // Serving

  /** A key that is waited for, by this name, may have something now: who waits is served when the command is done. Under the
   *  lock. */
  keyReady(shard: Shard, name: number): void {
    if (this.placeOf(shard, name) >= 0) return;
    const { chains, ready } = this;
    const chain = name & (CHAINS - 1);
    this.readyShards[ready] = shard;
    this.readyNames[ready] = name;
    this.readyNext[ready] = chains[chain]!;
    this.ready = ready + 1;
    chains[chain] = this.ready;
  }

  /** Where a name stands in the list of ready keys, -1 when it does not. */
  private placeOf(shard: Shard, name: number): number {
    if (this.ready === 0) return -1;
    const { readyShards, readyNames, readyNext } = this;
    let at = this.chains[name & (CHAINS - 1)]! - 1;
    while (at >= 0 && (readyNames[at] !== name || readyShards[at] !== shard)) at = readyNext[at]! - 1;
    return at;
  }

  /** Two databases have changed places: keys of both may be ready. All shards are locked. */
  swapped(a: number, b: number): void {
    for (const shard of this.keyspace.shards) {
      const { register } = shard;
      for (let name = register.firstName(); name !== 0; name = register.nextName(name)) {
        register.open(name);
        const db = register.space - WAITED_SPACE;
        if (db === a || db === b) this.keyReady(shard, name);
      }
    }
  }

  /** Serves who waits for the keys that are ready, and for those that become ready by that, until none is. The command that
   *  made them so is done, its locks are held still. */
  serve(): void {
    const { call } = this;
    const { input, argc, start, length, session, row, inTransaction, reply } = call;
    const { resp3, direct } = reply;
    this.serving = true;
    call.session = this.standIn;
    call.inTransaction = false;
    reply.direct = false;
    for (let at = 0; at < this.ready; at++) {
      const name = this.readyNames[at]!;
      this.readyNames[at] = 0; // if it becomes ready again, that is at the end of the list
      if (name !== 0) this.serveKey(this.readyShards[at]!, name);
    }
    this.ready = 0;
    this.chains.fill(0);
    this.serving = false;
    call.input = input;
    call.argc = argc;
    call.start = start;
    call.length = length;
    call.session = session;
    call.row = row;
    call.inTransaction = inTransaction;
    call.located = 0;
    reply.resp3 = resp3;
    reply.direct = direct;
  }

  private serveKey(shard: Shard, name: number): void {
    const { key, words } = this;
    const { register } = shard;
    register.open(name);
    const db = register.space - WAITED_SPACE;
    key.set(register.region, register.start, register.bytes);
    for (let node = register.firstNode(name), next = 0; node !== 0; node = next) {
      next = register.nextNode(node); // the name stays while there is one
      if (shard.find(db, key) === 0) return;
      const d = register.d(node);
      if (shard.type() !== (d & ((1 << HOME_SHIFT) - 1))) continue;
      const entry = register.a(node) >>> 0;
      const token = register.b(node);
      const claim = (entry >> 2) + ClientEntry.BlockedI32;
      if (Atomics.compareExchange(words, claim, token, Claim.Serving) === token)
        this.answer(entry, token, register.c(node) >>> 0, d >>> HOME_SHIFT);
    }
  }

  /** Runs the command of a client that was claimed, and sends its reply. */
  private answer(entry: number, token: number, record: number, home: number): void {
    const { call, control, keyspace, mail, standIn } = this;
    const { reply } = call;
    const { shards } = keyspace;
    const region = shards[home]!.register.allocator.regionOf(record);
    const { i32 } = region;
    const word = wordOf(record);
    const argc = i32[word + Record.Argc]!;
    const keys = i32[word + Record.Keys]!;
    if (argc > this.start.length) {
      this.start = new Int32Array(argc * 2);
      this.length = new Int32Array(argc * 2);
    }
    const { start, length } = this;
    const keysAt = word + Record.Lengths + argc;
    let text = (keysAt + keys * 2) << 2;
    for (let i = 0; i < argc; i++) {
      const bytes = i32[word + Record.Lengths + i]!;
      start[i] = text;
      length[i] = bytes;
      text += bytes;
    }
    for (let at = keysAt; at < keysAt + keys * 2; at += 2) {
      const shard = shards[i32[at]!]!;
      if (!shard.exclusive || i32[at + 1] === 0) continue;
      this.unlink(shard, i32[at + 1]! >>> 0);
      i32[at + 1] = 0;
    }
    const command = this.entries[i32[word + Record.Row]!]!;
    standIn.db = i32[word + Record.Session]! & 255;
    standIn.resp3 = (i32[word + Record.Session]! & 256) !== 0;
    call.input = region;
    call.argc = argc;
    call.start = start;
    call.length = length;
    call.row = command.row;
    call.located = 0;
    reply.resp3 = standIn.resp3;
    const from = reply.at;
    try {
      command.handler!(call);
    } catch (error) {
      this.host.failed(command, error);
      reply.at = from;
      reply.error(Errors.internal);
    }
    if (reply.at > from && reply.u8[from] === 45) this.host.countError(command, from);
    // What the send region did not take whole finds no room in any inbox either: the client is cut off.
    const bytes = reply.overflow ? Number.POSITIVE_INFINITY : reply.at - from;
    reply.overflow = false;
    reply.at = from;
    // From here on the record is its worker's again, and the client may be gone.
    Atomics.store(this.words, (entry >> 2) + ClientEntry.BlockedI32, Claim.Decided);
    const target = mail.begin(
      control.workerOf(entry),
      Message.Unblocked,
      entry,
      token,
      Unblock.Served,
      bytes,
    );
    if (target < 0) return; // its worker will hear that it missed something
    copyBytes(mail.target, target, reply.region, from, bytes);
    mail.commit(bytes);
  }

  /** Takes a node out of its name's list. */
  private unlink(shard: Shard, node: number): void {
    const { register } = shard;
    const name = register.nameOf(node);
    const at = this.placeOf(shard, name);
    if (at >= 0 && register.nodesOf(name) === 1) this.readyNames[at] = 0; // the name goes, too
    register.remove(node);
  }

  // Ceasing to wait

  get nextDeadlineMs(): number {
    return this.deadlines.nextMs;
  }

  /** Ends the waiting of clients whose time is over, and tells of each. */
  expire(nowMs: number, timedOut: (client: Client) => void): void {
    for (;;) {
      const due = this.deadlines.first;
      if (due === null || due.dueMs > nowMs) return;
      const { client, token } = due;
      const claim = (client.entry >> 2) + ClientEntry.BlockedI32;
      if (Atomics.compareExchange(this.words, claim, token, Claim.Decided) === token) {
        this.finish(due);
        timedOut(client);
      } else this.deadlines.remove(due); // somebody was first, and has sent its answer or is about to
    }
  }

  /** The reply to a client that has waited in vain. */
  timeoutReply(client: Client): string {
    if (client.waiting!.counts) return ":0\r\n";
    return client.session.resp3 ? "_\r\n" : "*-1\r\n";
  }

  /** A message has come that ends the waiting that had this token. False when the client does not wait so any more, as it
   *  is another one. */
  unblocked(client: Client, token: number): boolean {
    const { waiting } = client;
    if (waiting === null || waiting.token !== token) return false;
    this.finish(waiting);
    return true;
  }

  /** The connection of a client that waits ends. */
  release(client: Client): void {
    const { waiting } = client;
    if (waiting === null || waiting.token === 0) return;
    const claim = (client.entry >> 2) + ClientEntry.BlockedI32;
    // Who serves it just now uses its record, and waits for nobody.
    while (Atomics.compareExchange(this.words, claim, waiting.token, Claim.Decided) === Claim.Serving);
    this.finish(waiting);
  }

  /** CLIENT UNBLOCK, whoever's client it is. Whether it ended a waiting. */
  unblock(entry: number, id: number, failed: boolean): boolean {
    const { control, mail } = this;
    const token = this.revoke(entry, id);
    if (token === 0) return false;
    const reason = failed ? Unblock.Failed : Unblock.TimedOut;
    // Without room its worker will hear that it missed something, and end the connection.
    if (mail.begin(control.workerOf(entry), Message.Unblocked, entry, token, reason, 0) >= 0) mail.commit(0);
    return true;
  }

  /** Decides that the connection of that number, whoever's it is, waits in vain: because it is to end, so that its worker will
   *  do the rest. Returns the token of its waiting, 0 when it does not wait. */
  revoke(entry: number, id: number): number {
    const { words } = this;
    const claim = (entry >> 2) + ClientEntry.BlockedI32;
    // The token first: if the entry has changed hands by the time the id is read, it is another's.
    const token = Atomics.load(words, claim);
    if (token === Claim.Decided || token === Claim.Serving) return 0;
    if (this.control.region.f64[(entry >> 3) + ClientEntry.IdF64] !== id) return 0;
    return Atomics.compareExchange(words, claim, token, Claim.Decided) === token ? token : 0;
  }

  /** Takes back all that is left of a waiting that was decided. */
  private finish(waiting: Waiting): void {
    if (waiting.record !== 0) this.dropRecord(waiting);
    waiting.token = 0;
    this.deadlines.remove(waiting);
    waiting.client.session.suspended = Suspended.No;
    this.control.add(Word.Blocked, -1);
  }

  /** Removes the nodes that are left, and the record. */
  private dropRecord(waiting: Waiting): void {
    const { shards } = this.keyspace;
    const { record } = waiting;
    const home = shards[waiting.home]!;
    const { allocator } = home.register;
    const { i32 } = allocator.regionOf(record);
    const word = wordOf(record);
    const keysAt = word + Record.Lengths + i32[word + Record.Argc]!;
    const end = keysAt + i32[word + Record.Keys]! * 2;
    for (let at = keysAt; at < end; at += 2) {
      const node = i32[at + 1]! >>> 0;
      if (node === 0) continue;
      const shard = shards[i32[at]!]!;
      shard.lock();
      this.unlink(shard, node);
      shard.unlock();
    }
    home.lock();
    if (i32[word + Record.Mover] === 1) home.movers--;
    allocator.free(record);
    home.unlock();
    waiting.record = 0;
  }
}
