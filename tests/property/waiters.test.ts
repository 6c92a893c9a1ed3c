// waiters.test.ts: clients that wait on two workers, against the model in tests/support/blocking-model.ts. The workers take
// turns as chance has it: commands and transactions, deadlines, CLIENT UNBLOCK, connections that end, and inboxes that are
// read late. Afterwards nobody has left anything behind.
// Threads that do this at once, over sockets: blocked.test.ts.
import { describe, expect, test } from "bun:test";
import { Call } from "../../engine/commands/call.ts";
import type { Hub } from "../../engine/commands/hub.ts";
import { allCommands } from "../../engine/commands/index.ts";
import { Reply } from "../../engine/commands/reply.ts";
import type { Server } from "../../engine/commands/server.ts";
import { Session, Suspended } from "../../engine/commands/session.ts";
import type { Type } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Clock } from "../../engine/shard/clock.ts";
import { Attention } from "../../engine/shard/events.ts";
import { Keyspace } from "../../engine/shard/keyspace.ts";
import { Client } from "../../engine/worker/client.ts";
import { CommandTable, type Entry } from "../../engine/worker/command-table.ts";
import { Entry as ClientEntry, Control, Word } from "../../engine/worker/control.ts";
import { Deadlines } from "../../engine/worker/deadlines.ts";
import type { Exchange } from "../../engine/worker/exchange.ts";
import { Mail } from "../../engine/worker/inbox.ts";
import { Unblock } from "../../engine/worker/interests.ts";
import { Locks } from "../../engine/worker/locks.ts";
import { Signals } from "../../engine/worker/signals.ts";
import type { Tracker } from "../../engine/worker/tracker.ts";
import { Waiters } from "../../engine/worker/waiters.ts";
import { Model, type Words } from "../support/blocking-model.ts";
import { random } from "../support/random.ts";

const next = random("waiters");
const below = (bound: number): number => Math.floor(next() * bound);
const pick = <Item>(items: readonly Item[]): Item => items[below(items.length)]!;

const CLIENTS = 6;
const IO_BYTES = 1 << 20;

/** One worker: what worker.ts makes of it, without a network. */
class Side {
  readonly waiters: Waiters;
  readonly mail: Mail;
  readonly clients: Client[] = [];
  readonly failures: unknown[] = [];
  private current: Client | null = null;
  private readonly call: Call;
  private readonly locks: Locks;
  private readonly table: CommandTable;
  private readonly input = need(Region.private(IO_BYTES), "arguments");
  private readonly output = need(Region.private(IO_BYTES), "replies");

  constructor(
    readonly index: number,
    private readonly control: Control,
    keyspace: Keyspace,
    mail: Mail,
  ) {
    const entries: Entry[] = [];
    this.table = CommandTable.of(allCommands, entries);
    const hub = {
      flushing: () => {},
      swapping: () => {},
      swapped: (a: number, b: number) => this.waiters.swapped(a, b),
      block: (call: Call, type: Type, first: number, count: number, destination: number, timeoutMs: number) =>
        this.waiters.block(this.current!, call, type, first, count, destination, timeoutMs),
      reachable: (call: Call, i: number) => call.locate(i).exclusive,
    };
    Object.defineProperty(hub, "serving", { get: () => this.waiters.serving });
    const server = { setting: () => "16" };
    this.call = new Call(
      this.input,
      new Reply(this.output, IO_BYTES),
      keyspace,
      server as unknown as Server, // what SWAPDB and MOVE ask for
      hub as unknown as Hub, // and what commands on keys ask for
    );
    this.locks = new Locks(keyspace, this.call);
    this.mail = mail;
    this.waiters = new Waiters(this.call, keyspace, control, mail, entries, {
      failed: (_entry, error) => this.failures.push(error),
      countError: () => {},
    });
    const nobody = {} as unknown; // nobody tracks, and nothing is published
    new Signals(keyspace, control, nobody as Exchange, this.waiters, nobody as Tracker);
  }

  /** A new connection with an entry that was free. */
  connect(index: number, id: number): Client {
    const client = new Client(-1, new Session(id, -1, "", "", 0));
    client.entryIndex = index;
    client.entry = this.control.entryOf(this.index, index);
    this.control.region.f64[(client.entry >> 3) + ClientEntry.IdF64] = id;
    client.session.resp3 = next() < 0.5;
    client.session.db = below(2);
    this.clients[index] = client;
    return client;
  }

  /** Runs commands as one transaction, or one as it is; their replies. */
  run(client: Client, commands: readonly Words[], transaction: boolean): string[] {
    const { call, locks } = this;
    this.current = client;
    const entries = commands.map(([name]) => this.table.find(Buffer.from(name!), 0, name!.length)!);
    call.session = client.session;
    call.reply.resp3 = client.session.resp3;
    for (const [i, entry] of entries.entries()) {
      this.lay(commands[i]!);
      locks.mark(entry, transaction);
    }
    locks.lock();
    const replies = entries.map((entry, i) => {
      this.lay(commands[i]!);
      call.row = entry.row;
      call.inTransaction = transaction;
      call.reply.at = 0;
      entry.handler!(call);
      return this.text(this.output, 0, call.reply.at);
    });
    if (this.waiters.ready > 0) this.waiters.serve();
    locks.unlock();
    expect(call.session).toBe(client.session);
    expect(call.inTransaction).toBe(transaction);
    expect(call.reply.resp3).toBe(client.session.resp3);
    return replies;
  }

  private lay(words: Words): void {
    const { call } = this;
    call.input = this.input;
    call.located = 0;
    call.argc = words.length;
    if (call.start.length < words.length || call.start.length < 32) {
      call.start = new Int32Array(64);
      call.length = new Int32Array(64);
    }
    let at = 0;
    for (const [i, word] of words.entries()) {
      this.input.u8.set(Buffer.from(word, "latin1"), at);
      call.start[i] = at;
      call.length[i] = word.length;
      at += word.length;
    }
  }

  text(region: Region, start: number, end: number): string {
    return Buffer.from(region.u8.slice(start, end)).toString("latin1");
  }

  /** Whether every shard is free. */
  get unlocked(): boolean {
    return this.call.keyspace.shards.every((shard) => !shard.exclusive);
  }
}

const keys = ["a", "b", "c", "d", "e", "f"];
const timeout = (): string => pick(["0", "0", "0.05", "1"]);
const several = (most: number): string[] => Array.from({ length: 1 + below(most) }, () => pick(keys));

/** A command that never waits. */
function plain(value: () => string): Words {
  const key = pick(keys);
  const chance = next();
  if (chance < 0.45) return [pick(["LPUSH", "RPUSH"]), key, ...Array.from({ length: 1 + below(3) }, value)];
  if (chance < 0.7) return ["ZADD", key, `${below(5)}`, value()];
  if (chance < 0.85) return ["DEL", key];
  if (chance < 0.88) return ["SET", key, "text"];
  return chance < 0.95 ? ["RENAME", key, pick(keys)] : ["MOVE", key, pick(["0", "1"])];
}

/** A command that may wait. */
function waiting(): Words {
  const chance = next();
  if (chance < 0.4) return [pick(["BLPOP", "BRPOP"]), ...several(3), timeout()];
  if (chance < 0.65)
    return ["BLMOVE", pick(keys), pick(keys), pick(["LEFT", "RIGHT"]), pick(["LEFT", "RIGHT"]), timeout()];
  if (chance < 0.68) return ["WAIT", "1", pick(["0", "50"])];
  if (chance < 0.8) return [pick(["BZPOPMIN", "BZPOPMAX"]), ...several(3), timeout()];
  const wanted = several(3);
  const [name, ends] =
    chance < 0.9 ? (["BLMPOP", ["LEFT", "RIGHT"]] as const) : (["BZMPOP", ["MIN", "MAX"]] as const);
  return [name, timeout(), `${wanted.length}`, ...wanted, pick(ends), "COUNT", `${1 + below(3)}`];
}

function timeoutOf(words: Words): number {
  const [name, first] = words;
  return Number(name!.endsWith("MPOP") ? first : words.at(-1)) * (name === "WAIT" ? 1 : 1000);
}

/** How the waiting of a client was ended. */
type End = { readonly reason: Unblock; readonly reply: string };

class Simulation {
  private readonly clock = new Clock(1_700_000_000_000);
  private readonly keyspace: Keyspace;
  private readonly control: Control;
  private readonly sides: Side[];
  private readonly model = new Model();
  /** Of clients whose waiting is decided: what their worker is to hear, by id. */
  private readonly ends = new Map<number, End>();
  /** Deadlines of those who wait, by id. */
  private readonly due = new Map<number, number>();
  /** Those who wait for nothing but the time, by id. */
  private readonly counting = new Set<number>();
  private ids = 0;
  private values = 0;

  constructor(workers: number) {
    this.keyspace = Keyspace.create(workers, 4 << 20, this.clock);
    this.control = Control.create(workers, CLIENTS);
    const plan = Mail.create(
      workers,
      Array.from({ length: workers }, () => -1),
    );
    this.sides = Array.from({ length: workers }, (_, index) => {
      const mail = Mail.attach(plan, index);
      mail.rouse();
      return new Side(index, this.control, Keyspace.attach(this.keyspace.plan, this.clock), mail);
    });
    for (const side of this.sides) for (let i = 0; i < CLIENTS; i++) side.connect(i, ++this.ids);
  }

  private value = (): string => `v${this.values++}`;

  step(): void {
    const side = pick(this.sides);
    const chance = next();
    if (chance < 0.35) this.command(side, [waiting()], false);
    else if (chance < 0.62) this.command(side, [plain(this.value)], false);
    else if (chance < 0.72) {
      const commands = Array.from({ length: 1 + below(5) }, () =>
        next() < 0.8 ? plain(this.value) : waiting(),
      );
      this.command(side, commands, true);
    } else if (chance < 0.74) {
      if (this.model.swappable) this.command(side, [["SWAPDB", "0", "1"]], false);
    } else if (chance < 0.86) this.drain(side);
    else if (chance < 0.91) this.expire(side);
    else if (chance < 0.95) this.unblock(side);
    else this.close(side, pick(side.clients));
    for (const each of this.sides) expect(each.unlocked || this.sides.length === 1).toBe(true);
  }

  private command(side: Side, commands: readonly Words[], transaction: boolean): void {
    const free = side.clients.filter(({ session }) => session.suspended === Suspended.No);
    if (free.length === 0) return;
    const client = pick(free);
    const { id, db, resp3 } = client.session;
    const expected = commands.map((words) =>
      transaction ? this.model.runQueued(db, resp3, words) : this.model.run(id, db, resp3, words),
    );
    this.model.serve();
    for (const [who, reply] of this.model.served) this.ends.set(who, { reason: Unblock.Served, reply });
    this.model.served.clear();
    const replies = side.run(client, commands, transaction);
    const what = JSON.stringify(commands);
    expect(`${what} ${JSON.stringify(replies)}`).toBe(
      `${what} ${JSON.stringify(expected.map((reply) => reply ?? ""))}`,
    );
    expect(client.session.suspended).toBe(expected[0] === null ? Suspended.Blocked : Suspended.No);
    if (expected[0] !== null) return;
    if (commands[0]![0] === "WAIT") this.counting.add(id);
    const ms = timeoutOf(commands[0]!);
    this.due.set(id, ms === 0 ? Number.POSITIVE_INFINITY : this.clock.nowMs + ms);
  }

  /** A worker reads its inbox. */
  private drain(side: Side): void {
    const { mail, waiters } = side;
    while (mail.take()) {
      const client = side.clients[this.control.indexOf(mail.a, side.index)]!;
      if (!waiters.unblocked(client, mail.b)) continue; // an earlier connection's
      const end = this.ends.get(client.session.id);
      expect(end).toBeDefined();
      expect(mail.c).toBe(end!.reason);
      expect(side.text(mail.region, mail.start, mail.start + mail.bytes)).toBe(end!.reply);
      this.over(client);
    }
    expect(mail.takeLost()).toBe(0);
  }

  /** The waiting of a client has ended. */
  private over(client: Client): void {
    const { id } = client.session;
    this.ends.delete(id);
    this.due.delete(id);
    this.counting.delete(id);
    expect(client.session.suspended).toBe(Suspended.No);
  }

  private expire(side: Side): void {
    this.clock.nowMs += below(400);
    const { nowMs } = this.clock;
    const waiting = side.clients.filter(({ session }) => this.model.waits(session.id));
    const due = waiting.filter(({ session }) => this.due.get(session.id)! <= nowMs);
    const least = Math.min(...waiting.map(({ session }) => this.due.get(session.id)!));
    // The deadline of who was served already may still be known.
    expect(side.waiters.nextDeadlineMs).toBeLessThanOrEqual(least);
    const told: Client[] = [];
    side.waiters.expire(nowMs, (client) => told.push(client));
    expect(told.map(({ session }) => session.id).sort()).toEqual(due.map(({ session }) => session.id).sort());
    for (const client of told) {
      const { id, resp3 } = client.session;
      expect(side.waiters.timeoutReply(client)).toBe(
        this.counting.has(id) ? ":0\r\n" : resp3 ? "_\r\n" : "*-1\r\n",
      );
      this.model.forget(client.session.id);
      this.over(client);
    }
    expect(side.waiters.nextDeadlineMs).toBeGreaterThan(nowMs);
  }

  private unblock(side: Side): void {
    const { entry, session } = pick(pick(this.sides).clients);
    const failed = next() < 0.5;
    expect(side.waiters.unblock(entry, session.id + 1000, failed)).toBe(false); // another has the entry now
    const waits = this.model.forget(session.id);
    expect(side.waiters.unblock(entry, session.id, failed)).toBe(waits);
    if (waits) this.ends.set(session.id, { reason: failed ? Unblock.Failed : Unblock.TimedOut, reply: "" });
  }

  /** A connection ends, and another gets its entry. CLIENT KILL may have gone before. */
  private close(side: Side, client: Client): void {
    const { id, suspended } = client.session;
    const waits = this.model.forget(id);
    if (next() < 0.3) expect(pick(this.sides).waiters.revoke(client.entry, id) !== 0).toBe(waits);
    if (suspended === Suspended.Blocked) side.waiters.release(client);
    this.over(client);
    side.connect(client.entryIndex, ++this.ids);
  }

  /** Everybody leaves. */
  finish(): void {
    for (const side of this.sides) {
      for (const client of [...side.clients]) this.close(side, client);
      expect(side.waiters.nextDeadlineMs).toBe(Number.POSITIVE_INFINITY);
    }
    for (const side of this.sides) {
      this.drain(side);
      expect(side.failures).toEqual([]);
    }
    expect(this.ends.size).toBe(0);
    expect(this.control.word(Word.Blocked)).toBe(0);
    for (const shard of this.keyspace.shards) {
      shard.check();
      expect(shard.register.names).toBe(0);
      expect(shard.register.allocator.liveBytes).toBe(0);
      expect(shard.attention & Attention.Names).toBe(0);
      expect(shard.movers).toBe(0);
    }
  }
}

describe("waiters", () => {
  test.each([1, 2, 4])("of %d workers are served as the model says", (workers) => {
    for (let round = 0; round < 60; round++) {
      const simulation = new Simulation(workers);
      for (let step = 0; step < 250; step++) simulation.step();
      simulation.finish();
    }
  });
});

describe("deadlines", () => {
  test("come in order, whatever leaves before its time", () => {
    const deadlines = new Deadlines<{ dueMs: number; place: number }>();
    const all = Array.from({ length: 300 }, () => ({ dueMs: 0, place: -1 }));
    for (let step = 0; step < 20_000; step++) {
      const item = pick(all);
      if (item.place >= 0) deadlines.remove(item);
      else {
        item.dueMs = below(100);
        deadlines.add(item);
      }
      const inside = all.filter(({ place }) => place >= 0);
      const least = Math.min(...inside.map(({ dueMs }) => dueMs));
      expect(deadlines.nextMs).toBe(least);
      expect(deadlines.first?.dueMs ?? Number.POSITIVE_INFINITY).toBe(least);
    }
    let last = 0;
    for (let first = deadlines.first; first !== null; first = deadlines.first) {
      expect(first.dueMs).toBeGreaterThanOrEqual(last);
      last = first.dueMs;
      deadlines.remove(first);
      deadlines.remove(first); // once more does nothing
    }
    expect(all.every(({ place }) => place === -1)).toBe(true);
  });
});
