// transactions.ts: queues the commands of a MULTI and runs them: marks and locks the shards of all queued commands and
// watched keys, looks whether one of these was touched, runs, unlocks.
//
// A watched key is a node of kind Watch in its shard's register; whoever touches the key sets the Dirty word of the
// watcher's entry in the control region, under the shard's lock. A deadline that has passed is found by looking again.
// On the data path of connections that use MULTI: no allocation but the growth of arrays and buffers.
// Neighbours: engine/commands/transactions.ts (rows, queue layout); dispatcher.ts queues and runs single commands.
import { Flag } from "../../protocol/command-row.ts";
import type { Call } from "../commands/call.ts";
import type { Session } from "../commands/session.ts";
import { Mode } from "../commands/session.ts";
import type { Transaction } from "../commands/transactions.ts";
import type { BufferPool } from "../io/buffer-pool.ts";
import { Key } from "../memory/key.ts";
import { copyBytes } from "../memory/region.ts";
import type { Keyspace } from "../shard/keyspace.ts";
import type { Client } from "./client.ts";
import type { Entry } from "./command-table.ts";
import { Entry as ClientEntry, type Control } from "./control.ts";
import { Interest } from "./interests.ts";
import type { Locks } from "./locks.ts";

/** What running needs of the dispatcher. */
export interface Runner {
  /** Runs the command in `call`, its locks held, and counts it. */
  runQueued(client: Client, entry: Entry): void;
  /** Serves clients that wait for keys which have something now; the locks are still held. */
  serveWaiting(): void;
}

export class Transactions {
  private start = new Int32Array(16);
  private length = new Int32Array(16);
  private readonly key: Key;

  constructor(
    private readonly call: Call,
    private readonly keyspace: Keyspace,
    private readonly control: Control,
    private readonly pool: BufferPool,
    private readonly entries: readonly Entry[],
    private readonly locks: Locks,
    private readonly runner: Runner,
  ) {
    this.key = new Key(call.input);
  }

  /** Queues the command in `call`. False when there is no memory for it. */
  queue(client: Client, entry: Entry): boolean {
    const transaction = client.session.transaction!;
    // It will not run: no memory is spent on what follows.
    if (transaction.doomed || this.control.region.i32[(client.entry >> 2) + ClientEntry.DirtyI32] !== 0)
      return true;
    const { call } = this;
    const { argc, start, length, input } = call;
    let bytes = 8 + argc * 4;
    for (let i = 0; i < argc; i++) bytes += length[i]!;
    bytes = (bytes + 3) & ~3;
    const end = transaction.queueBytes + bytes;
    if (!this.reserve(transaction, end)) return false;
    const region = transaction.queue!;
    const { i32 } = region;
    let word = transaction.queueBytes >> 2;
    i32[word++] = entry.index;
    i32[word++] = argc;
    for (let i = 0; i < argc; i++) i32[word++] = length[i]!;
    let at = word << 2;
    for (let i = 0; i < argc; i++) {
      copyBytes(region, at, input, start[i]!, length[i]!);
      at += length[i]!;
    }
    transaction.queueBytes = end;
    transaction.commands++;
    transaction.flags |= entry.flags;
    return true;
  }

  private reserve(transaction: Transaction, bytes: number): boolean {
    const { queue } = transaction;
    if (queue !== null && queue.bytes >= bytes) return true;
    const larger = this.pool.take(queue === null ? bytes : bytes * 2);
    if (larger === null) return false;
    if (queue !== null) {
      copyBytes(larger, 0, queue, 0, transaction.queueBytes);
      this.pool.give(queue);
    }
    transaction.queue = larger;
    return true;
  }

  /** Puts the queued command at `at` into the call; returns where the next one begins. */
  private point(transaction: Transaction, at: number): number {
    const { call } = this;
    const region = transaction.queue!;
    const { i32 } = region;
    let word = (at >> 2) + 1;
    const argc = i32[word++]!;
    if (argc > this.start.length) {
      this.start = new Int32Array(argc * 2);
      this.length = new Int32Array(argc * 2);
    }
    const { start, length } = this;
    let text = (word + argc) << 2;
    for (let i = 0; i < argc; i++) {
      const bytes = i32[word + i]!;
      start[i] = text;
      length[i] = bytes;
      text += bytes;
    }
    call.input = region;
    call.argc = argc;
    call.start = start;
    call.length = length;
    call.located = 0;
    return (text + 3) & ~3;
  }

  /** EXEC of a client whose queue is sound. Replies. */
  exec(client: Client): void {
    const { call, entries, locks, keyspace, runner } = this;
    const { session } = client;
    const { input, argc, start, length, row, reply } = call;
    const transaction = session.transaction!;
    const { commands, shards } = transaction;
    if (keyspace.shards.length > 1) {
      for (let i = 0, at = 0; i < commands; i++) {
        const entry = entries[transaction.queue!.i32[at >> 2]!]!;
        at = this.point(transaction, at);
        locks.mark(entry, true);
      }
      for (let i = 0; i < shards.length; i++) locks.markShard(shards[i]!);
    }
    locks.lock();
    if (this.touched(client, transaction)) reply.nilArray();
    else {
      reply.array(commands);
      call.inTransaction = true;
      for (let i = 0, at = 0; i < commands; i++) {
        const entry = entries[transaction.queue!.i32[at >> 2]!]!;
        at = this.point(transaction, at);
        runner.runQueued(client, entry);
      }
      call.inTransaction = false;
      runner.serveWaiting();
    }
    session.mode &= ~Mode.Multi;
    this.unwatch(session, client.entry);
    locks.unlock();
    this.drop(transaction);
    call.input = input;
    call.argc = argc;
    call.start = start;
    call.length = length;
    call.row = row;
    call.located = 0;
  }

  /** Whether something a client watches was touched since, deadlines that have passed included. */
  private touched(client: Client, transaction: Transaction): boolean {
    const { nodes, shards, alive } = transaction;
    if (nodes.length === 0) return false;
    const { i32 } = this.control.region;
    const dirty = (client.entry >> 2) + ClientEntry.DirtyI32;
    for (let i = 0; i < nodes.length && i32[dirty] === 0; i++) {
      if (alive[i] === 0) continue;
      const shard = this.keyspace.shards[shards[i]!]!;
      const { register } = shard;
      register.open(register.nameOf(nodes[i]!));
      this.key.set(register.region, register.start, register.bytes);
      // Looking removes what is past its deadline, which touches it.
      if (shard.look(register.space, this.key) === 0) i32[dirty] = 1;
    }
    return i32[dirty] !== 0;
  }

  /** Watches argument `i` of the call, whose shard is locked. False when memory is out. */
  watch(client: Client, i: number): boolean {
    const { call } = this;
    const transaction = client.session.transaction!;
    const { db } = client.session;
    const alive = call.look(i) !== 0 ? 1 : 0;
    const { shard, key } = call;
    const { register } = shard;
    const name = register.ensure(db, key);
    if (name === 0) return false;
    if (register.findNode(name, Interest.Watch, client.entry) !== 0) return true;
    const node = register.add(name, Interest.Watch, client.entry, 0, 0, 0);
    if (node === 0) return false;
    transaction.shards.push(this.keyspace.numberOf(key.low));
    transaction.nodes.push(node);
    transaction.alive.push(alive);
    return true;
  }

  /** Forgets what a session watches, and that it was touched. */
  unwatch(session: Session, entry: number): void {
    const { transaction } = session;
    if (transaction === null) return;
    const { nodes, shards, alive } = transaction;
    for (let i = 0; i < nodes.length; i++) {
      const shard = this.keyspace.shards[shards[i]!]!;
      shard.lock();
      shard.register.remove(nodes[i]!);
      shard.unlock();
    }
    nodes.length = 0;
    shards.length = 0;
    alive.length = 0;
    this.control.region.i32[(entry >> 2) + ClientEntry.DirtyI32] = 0;
  }

  /** Ends the state between MULTI and EXEC. */
  discard(session: Session, entry: number): void {
    session.mode &= ~Mode.Multi;
    if (session.transaction === null) return;
    this.drop(session.transaction);
    this.unwatch(session, entry);
  }

  private drop(transaction: Transaction): void {
    if (transaction.queue !== null) this.pool.give(transaction.queue);
    transaction.queue = null;
    transaction.queueBytes = 0;
    transaction.commands = 0;
    transaction.flags = 0;
    transaction.doomed = false;
  }

  /** Whether EXEC of the session needs memory. */
  needsMemory(session: Session): boolean {
    return session.transaction !== null && (session.transaction.flags & Flag.DenyOom) !== 0;
  }
}
