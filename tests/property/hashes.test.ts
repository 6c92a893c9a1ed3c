import { expect, test } from "bun:test";
import { fieldDeadlineCommands } from "../../engine/commands/field-deadlines.ts";
import { hashCommands } from "../../engine/commands/hashes.ts";
import { keyspaceCommands } from "../../engine/commands/keyspace.ts";
import { Form } from "../../engine/memory/record.ts";
import { Place } from "../../engine/shard/place.ts";
import { Hash } from "../../engine/types/hash.ts";
import { limits } from "../../engine/types/limits.ts";
import { Errors } from "../../protocol/errors.ts";
import { Engine } from "../support/engine.ts";
import { random } from "../support/random.ts";

const NIL = "$-1\r\n";
const rows = [...hashCommands, ...fieldDeadlineCommands, ...keyspaceCommands];

function bulk(value: string | undefined): string {
  return value === undefined ? NIL : `$${value.length}\r\n${value}\r\n`;
}

function array(items: readonly string[]): string {
  return `*${items.length}\r\n${items.join("")}`;
}

function integer(value: number | bigint): string {
  return `:${value}\r\n`;
}

function int64(text: string): bigint | null {
  if (!/^(0|-?[1-9]\d*)$/.test(text)) return null;
  const value = BigInt(text);
  return value >= -(2n ** 63n) && value < 2n ** 63n ? value : null;
}

/** The texts of a reply's bulk strings, in order. */
function texts(reply: string): string[] {
  const found: string[] = [];
  for (let at = reply.indexOf("\r\n") + 2; at < reply.length; ) {
    const end = reply.indexOf("\r\n", at);
    if (reply[at] !== "$") {
      at = end + 2;
      continue;
    }
    const bytes = Number(reply.slice(at + 1, end));
    found.push(reply.slice(end + 2, end + 2 + bytes));
    at = end + 2 + bytes + 2;
  }
  return found;
}

interface Field {
  value: string;
  deadline: number;
}

/** Hashes as maps of maps. A field past its deadline is removed before every command. */
class Model {
  readonly hashes = new Map<string, Map<string, Field>>();
  nowMs = 0;

  reap(): void {
    for (const [key, fields] of this.hashes) {
      for (const [name, field] of fields)
        if (field.deadline !== 0 && field.deadline <= this.nowMs) fields.delete(name);
      if (fields.size === 0) this.hashes.delete(key);
    }
  }

  set(key: string, name: string, value: string, deadline: number): number {
    const fields = this.hashes.get(key) ?? new Map<string, Field>();
    this.hashes.set(key, fields);
    const added = fields.has(name) ? 0 : 1;
    fields.set(name, { value, deadline });
    return added;
  }

  drop(key: string, name: string): boolean {
    const fields = this.hashes.get(key);
    const gone = fields?.delete(name) ?? false;
    if (fields?.size === 0) this.hashes.delete(key);
    return gone;
  }

  /** The reply, or the multiset of bulk strings that it must have. */
  run(args: readonly string[]): string | string[] {
    const [name, key] = args as [string, string];
    const rest = args.slice(2);
    const fields = this.hashes.get(key);
    const value = (field: string) => fields?.get(field)?.value;
    switch (name) {
      case "hset":
      case "hmset": {
        let added = 0;
        for (let i = 0; i < rest.length; i += 2) added += this.set(key, rest[i]!, rest[i + 1]!, 0);
        return name === "hset" ? integer(added) : "+OK\r\n";
      }
      case "hsetnx":
        if (value(rest[0]!) !== undefined) return integer(0);
        return integer(this.set(key, rest[0]!, rest[1]!, 0));
      case "ic.hsetifeq":
        if (value(rest[0]!) !== rest[1]) return integer(0);
        this.set(key, rest[0]!, rest[2]!, fields!.get(rest[0]!)!.deadline);
        return integer(1);
      case "hget":
        return bulk(value(rest[0]!));
      case "hmget":
        return array(rest.map((field) => bulk(value(field))));
      case "hexists":
        return integer(value(rest[0]!) === undefined ? 0 : 1);
      case "hstrlen":
        return integer(value(rest[0]!)?.length ?? 0);
      case "hgetall":
        return [...(fields ?? [])].flatMap(([field, { value }]) => [field, value]);
      case "hkeys":
        return [...(fields ?? new Map()).keys()];
      case "hvals":
        return [...(fields ?? new Map()).values()].map((field) => field.value);
      case "hdel":
        return integer(rest.filter((field) => this.drop(key, field)).length);
      case "hincrby": {
        const old = int64(value(rest[0]!) ?? "0");
        const delta = int64(rest[1]!);
        if (delta === null) return `-${Errors.notAnInteger}\r\n`;
        if (old === null) return `-${Errors.hashNotAnInteger}\r\n`;
        if (int64(String(old + delta)) === null) return `-${Errors.overflow}\r\n`;
        this.set(key, rest[0]!, String(old + delta), fields?.get(rest[0]!)?.deadline ?? 0);
        return integer(old + delta);
      }
      case "hexpireat":
      case "hpexpireat":
      case "hexpire":
      case "hpexpire":
        return this.expire(name, key, rest);
      case "hpexpiretime":
        return this.codes(key, rest.slice(2), (field) => field.deadline || -1);
      case "hpttl":
        return this.codes(key, rest.slice(2), (field) =>
          field.deadline === 0 ? -1 : field.deadline - this.nowMs,
        );
      case "hpersist":
        return this.codes(key, rest.slice(2), (field) => {
          const had = field.deadline;
          field.deadline = 0;
          return had === 0 ? -1 : 1;
        });
      case "hgetdel":
        return array(
          rest.slice(2).map((field) => {
            const found = bulk(this.hashes.get(key)?.get(field)?.value);
            this.drop(key, field);
            return found;
          }),
        );
      case "hgetex": {
        const at = rest.indexOf("fields");
        const deadline = at === 0 ? -1 : at === 1 ? 0 : this.due(rest[0]!, rest[1]!);
        return array(
          rest.slice(at + 2).map((name) => {
            const field = this.hashes.get(key)?.get(name);
            if (field !== undefined && deadline >= 0) {
              field.deadline = deadline;
              if (deadline !== 0 && deadline <= this.nowMs) this.drop(key, name);
            }
            return bulk(field?.value);
          }),
        );
      }
      case "hsetex":
        return this.setex(key, rest);
      case "del":
        return integer(this.hashes.delete(key) ? 1 : 0);
      case "rename":
        if (fields === undefined) return `-${Errors.noSuchKey}\r\n`;
        this.hashes.delete(key);
        this.hashes.set(rest[0]!, fields);
        return "+OK\r\n";
      case "copy": {
        if (fields === undefined) return integer(0);
        if (key === rest[0]) return `-${Errors.sameObject}\r\n`;
        this.hashes.set(rest[0]!, new Map([...fields].map(([field, entry]) => [field, { ...entry }])));
        return integer(1);
      }
    }
    throw new Error(`the model lacks ${name}`);
  }

  private codes(key: string, names: readonly string[], code: (field: Field) => number): string {
    return array(
      names.map((name) => {
        const field = this.hashes.get(key)?.get(name);
        return integer(field === undefined ? -2 : code(field));
      }),
    );
  }

  private due(unit: string, text: string): number {
    const ms = Number(text) * (unit.startsWith("e") || unit.startsWith("hexpire") ? 1000 : 1);
    return ms + (unit.endsWith("at") ? 0 : this.nowMs);
  }

  private expire(name: string, key: string, rest: readonly string[]): string {
    const deadline = this.due(name, rest[0]!);
    const condition = rest[1] === "fields" ? "" : rest[1];
    return this.codes(key, rest.slice(condition === "" ? 3 : 4), (field) => {
      const old = field.deadline;
      const holds =
        condition === "nx"
          ? old === 0
          : condition === "xx"
            ? old !== 0
            : condition === "gt"
              ? old !== 0 && deadline > old
              : condition === "lt"
                ? old === 0 || deadline < old
                : true;
      if (!holds) return 0;
      field.deadline = deadline;
      if (deadline > this.nowMs) return 1;
      for (const [field_, entry] of this.hashes.get(key)!) if (entry === field) this.drop(key, field_);
      return 2;
    });
  }

  private setex(key: string, rest: readonly string[]): string {
    const at = rest.indexOf("fields");
    const options = rest.slice(0, at);
    const pairs = rest.slice(at + 2);
    const names = pairs.filter((_, i) => i % 2 === 0);
    const there = names.map((name) => this.hashes.get(key)?.has(name) === true);
    if (options[0] === "fnx" && there.includes(true)) return integer(0);
    if (options[0] === "fxx" && there.includes(false)) return integer(0);
    const unit = options.find((option) => /^(e|p)x/.test(option));
    const given = unit === undefined ? 0 : this.due(unit, options[options.indexOf(unit) + 1]!);
    for (const [i, name] of names.entries()) {
      const kept = this.hashes.get(key)?.get(name)?.deadline ?? 0;
      this.set(key, name, pairs[i * 2 + 1]!, options.includes("keepttl") ? kept : given);
      if (given !== 0 && given <= this.nowMs) this.drop(key, name);
    }
    return integer(1);
  }
}

/** The record of a key under a place of the engine's, null when there is none. */
function placeOf(engine: Engine, key: string): Place | null {
  engine.run("hlen", key);
  const { call } = engine;
  const place = new Place(call.shard);
  return place.find(call.shard, 0, call.key) ? place : null;
}

/** Random commands on hashes of up to `count` fields or some more, against the model; the forms that were met. */
function exercise(
  engine: Engine,
  seed: string,
  count: number,
  steps: number,
  sweeping: boolean,
): Set<number> {
  const next = random(seed);
  const model = new Model();
  const hash = new Hash();
  const forms = new Set<number>();
  const pick = <Value>(from: readonly Value[]): Value => from[Math.floor(next() * from.length)]!;
  const keys = ["a", "b", "c", "k".repeat(300)];
  const key = () => pick(keys);
  const names = Array.from({ length: count }, (_, i) => (i % 3 === 0 ? String(i * 37 - 90) : `field:${i}`));
  names.push("", "\0\r\n", "f".repeat(70), "f".repeat(130), "f".repeat(300), "01", "9007199254740993");
  const field = () => pick(names);
  const integers = ["0", "1", "-1", "47", "48", "-129", "70000", "9007199254740991", "-9007199254740993"];
  integers.push("9223372036854775807", "-9223372036854775808", "9223372036854775808", "01", "");
  const value = () => {
    const kind = next();
    if (kind < 0.4) return pick(integers);
    if (kind < 0.5) return "v".repeat(60 + Math.floor(next() * 80));
    if (kind < 0.51) return "w".repeat(Math.floor(next() * 70_000));
    return "\xff\0\r\nxyz".repeat(4).slice(0, Math.floor(next() * 24));
  };
  const some = (make: () => string) => Array.from({ length: 1 + Math.floor(next() * 4) }, make);
  const pairs = () => some(field).flatMap((name) => [name, value()]);
  const named = (list: readonly string[]) => ["fields", String(list.length), ...list];
  const maybe = (chance: number, words: readonly string[]) => (next() < chance ? words : []);
  const when = () => {
    const unit = pick(["ex", "px", "exat", "pxat"]);
    const ms = Math.floor(next() * 9_000);
    if (!unit.endsWith("at")) return [unit, String(unit === "ex" ? Math.floor(ms / 1000) : ms)];
    const at = model.nowMs + ms - 500;
    return [unit, String(unit === "exat" ? Math.floor(at / 1000) : at)];
  };
  const expireWhen = () => {
    const [unit, time] = when() as [string, string];
    const name = { ex: "hexpire", px: "hpexpire", exat: "hexpireat", pxat: "hpexpireat" }[unit]!;
    return [name, key(), time, ...maybe(0.5, [pick(["nx", "xx", "gt", "lt"])]), ...named(some(field))];
  };
  const commands: (() => string[])[] = [
    () => ["hset", key(), ...pairs()],
    () => ["hset", key(), ...pairs()],
    () => ["hmset", key(), ...pairs()],
    () => ["hsetnx", key(), field(), value()],
    () => ["ic.hsetifeq", key(), field(), pick(integers), value()],
    () => ["hget", key(), field()],
    () => ["hmget", key(), ...some(field)],
    () => ["hexists", key(), field()],
    () => ["hstrlen", key(), field()],
    () => ["hgetall", key()],
    () => ["hkeys", key()],
    () => ["hvals", key()],
    () => ["hdel", key(), ...some(field)],
    () => ["hdel", key(), ...some(field)],
    () => ["hincrby", key(), field(), pick(integers)],
    expireWhen,
    expireWhen,
    () => [pick(["hpexpiretime", "hpttl"]), key(), ...named(some(field))],
    () => ["hpersist", key(), ...named(some(field))],
    () => ["hgetdel", key(), ...named(some(field))],
    () => ["hgetex", key(), ...maybe(0.8, next() < 0.3 ? ["persist"] : when()), ...named(some(field))],
    () => {
      const list = pairs();
      return [
        ...["hsetex", key(), ...maybe(0.4, [pick(["fnx", "fxx"])])],
        ...maybe(0.7, next() < 0.3 ? ["keepttl"] : when()),
        ...["fields", String(list.length / 2), ...list],
      ];
    },
    () => (next() < 0.1 ? ["del", key()] : ["hget", key(), field()]),
    () => (next() < 0.2 ? [pick(["rename", "copy"]), key(), key(), "replace"] : ["hlen", key()]),
  ];
  for (let step = 0; step < steps; step++) {
    if (next() < 0.1) engine.clock.nowMs += Math.floor(next() * 1_500);
    // A step of one stops in the middle of a pass over a table.
    if (sweeping && next() < 0.05) engine.keyspace.shards[0]!.expireStep(64, pick([1, 1, 5, 1_000]));
    model.nowMs = engine.clock.nowMs;
    model.reap();
    let command = pick(commands)();
    if (command[0] === "rename") command = command.slice(0, 3);
    // A hash of fields past their deadline is still a key until it is swept.
    if (["rename", "copy", "del"].includes(command[0]!) && !model.hashes.has(command[1]!)) continue;
    const answer = engine.run(...command);
    if (command[0] === "hlen") {
      const live = model.hashes.get(command[1]!)?.size ?? 0;
      expect(Number(answer.slice(1))).toBeGreaterThanOrEqual(live);
      continue;
    }
    const expected = model.run(command);
    if (typeof expected !== "string") {
      const got = texts(answer).sort();
      const due = [...expected].sort();
      if (got.join("|") !== due.join("|"))
        expect({ step, command, got }).toEqual({ step, command, got: due });
    } else if (answer !== expected)
      expect({ step, command, answer }).toEqual({ step, command, answer: expected });
    if (step % 20 === 0)
      for (const name of keys) {
        const place = placeOf(engine, name);
        const fields = model.hashes.get(name);
        if (place === null) {
          expect(fields).toBeUndefined();
          continue;
        }
        forms.add(place.form);
        hash.open(place, engine.clock.nowMs);
        hash.check();
        expect(hash.live()).toBe(fields?.size ?? 0);
        expect(hash.count).toBeGreaterThanOrEqual(hash.live());
      }
    if (step % 5_000 === 0) engine.keyspace.check();
  }
  engine.keyspace.check();
  return forms;
}

function withLimits(entries: number, valueBytes: number, run: () => void): void {
  const had = { ...limits };
  limits.hashEntries = entries;
  limits.hashValueBytes = valueBytes;
  try {
    run();
  } finally {
    Object.assign(limits, had);
  }
}

test("hashes: every command answers as a map of maps would, packed and in pages", () => {
  for (const [entries, valueBytes, count, steps, sweeping] of [
    [512, 64, 60, 40_000, true],
    [512, 70_000, 60, 30_000, false],
    [8, 64, 60, 30_000, true],
    [0, 64, 400, 50_000, true],
    [0, 64, 60, 20_000, false],
  ] as const)
    withLimits(entries, valueBytes, () => {
      const engine = new Engine(rows);
      const forms = exercise(engine, `hashes ${entries} ${valueBytes} ${count}`, count, steps, sweeping);
      expect(forms.has(Form.PagesDeadlines)).toBe(true);
      expect(forms.has(Form.Packed)).toBe(entries > 0);
      expect(forms.has(Form.PackedDeadlines)).toBe(entries > 0);
    });
}, 240_000);

test("hashes: a scan meets what is there throughout, whatever else comes, goes and grows", () => {
  const next = random("hscan");
  for (let round = 0; round < 20; round++) {
    const engine = new Engine(rows);
    const stable = Array.from({ length: 1 + Math.floor(next() * 2_000) }, (_, i) => `stable:${i}`);
    for (const name of stable) engine.run("hset", "h", name, "v");
    const seen = new Set<string>();
    let cursor = "0";
    do {
      const [at, ...found] = texts(engine.run("hscan", "h", cursor, "novalues", "count", "40"));
      for (const name of found) seen.add(name);
      cursor = at!;
      for (let i = 0; i < 50; i++)
        engine.run(next() < 0.5 ? "hset" : "hdel", "h", `other:${Math.floor(next() * 5_000)}`, "v");
    } while (cursor !== "0");
    for (const name of stable) expect(seen.has(name)).toBe(true);
    engine.keyspace.check();
  }
});

test("hashes: fields past their deadline are reaped a bounded number at a time, and the rest stay", () => {
  for (const total of [400, 150_000]) {
    const engine = new Engine(rows);
    const shard = engine.keyspace.shards[0]!;
    for (let i = 0; i < total; i++) engine.run("hset", "h", `f${i}`, `v${i}`);
    const base = engine.clock.nowMs;
    // Two in three are due in a second, one of them for ever after that in an hour.
    for (let i = 0; i < total; i++)
      if (i % 3 !== 0)
        engine.run(
          "hpexpireat",
          "h",
          String(base + (i % 3 === 1 ? 1_000 : 3_600_000)),
          "fields",
          "1",
          `f${i}`,
        );
    expect(shard.expireStep(64, 1_000)).toBe(0);
    engine.clock.nowMs += 1_000 + total;
    const due = Math.floor((total + 1) / 3);
    expect(engine.run("hexists", "h", "f1")).toBe(integer(0));
    expect(engine.run("hlen", "h")).toBe(integer(total));
    let removed = 0;
    let calls = 0;
    for (; removed < due; calls++) {
      const step = shard.expireStep(64, 1_000);
      expect(step).toBeLessThanOrEqual(2_000);
      removed += step;
      if (calls === 5) {
        // A field that comes while a pass is under way counts as well.
        engine.run("hset", "h", "late", "v");
        engine.run("hpexpireat", "h", String(base + 2_000_000), "fields", "1", "late");
      }
      if (calls > 1_000) throw new Error("the sweep does not come to its end");
    }
    expect(removed).toBe(due);
    if (total > 1_000) expect(calls).toBeGreaterThan(20);
    for (let i = 0; i < 30; i++) expect(shard.expireStep(64, 1_000)).toBe(0);
    const hash = new Hash();
    hash.open(placeOf(engine, "h")!, engine.clock.nowMs);
    hash.check();
    expect(hash.count).toBe(total - due + (calls > 5 ? 1 : 0));
    engine.clock.nowMs = base + 3_600_000 + total;
    for (let i = 0; i < 1_000; i++) shard.expireStep(64, 1_000);
    expect(engine.run("hlen", "h")).toBe(integer(Math.ceil(total / 3)));
    for (let i = 0; i < total; i += 3) engine.run("hpexpire", "h", "1", "fields", "1", `f${i}`);
    engine.clock.nowMs += total;
    for (let i = 0; i < 1_000; i++) shard.expireStep(64, 1_000);
    expect(engine.run("exists", "h")).toBe(integer(0));
    expect(shard.keys(0)).toBe(0);
    expect(shard.mayExpire).toBe(false);
    engine.keyspace.check();
  }
}, 60_000);

test("hashes: draws are of fields that are there, distinct where they must be, and of all alike", () => {
  for (const total of [1, 7, 100, 3_000]) {
    const engine = new Engine(rows);
    for (let i = 0; i < total; i++) engine.run("hset", "h", `f${i}`, `v${i}`);
    for (let i = total; i < total * 2; i++) {
      engine.run("hset", "h", `f${i}`, "gone");
      engine.run("hpexpire", "h", "1", "fields", "1", `f${i}`);
    }
    engine.clock.nowMs += 5;
    const alive = (name: string) => Number(name.slice(1)) < total;
    for (const count of [1, 2, 5, Math.ceil(total / 2), total - 1, total, total + 5]) {
      const drawn = texts(engine.run("hrandfield", "h", String(count), "withvalues"));
      const names = drawn.filter((_, i) => i % 2 === 0);
      expect(names.length).toBe(Math.min(count, total));
      expect(new Set(names).size).toBe(names.length);
      for (const [i, name] of names.entries()) expect(drawn[i * 2 + 1]).toBe(`v${name.slice(1)}`);
      const repeated = texts(engine.run("hrandfield", "h", String(-count - 1)));
      expect(repeated.length).toBe(count + 1);
      expect([...names, ...repeated].every(alive)).toBe(true);
    }
    if (total === 1 || total > 100) continue;
    const counts = new Map<string, number>();
    for (let i = 0; i < total * 200; i++) {
      const name = engine.run("hrandfield", "h");
      counts.set(name, (counts.get(name) ?? 0) + 1);
      for (const other of texts(engine.run("hrandfield", "h", "2")))
        counts.set(bulk(other), (counts.get(bulk(other)) ?? 0) + 1);
    }
    expect(counts.size).toBe(total);
    for (const count of counts.values()) expect(Math.abs(count - 600)).toBeLessThan(250);
  }
});

test("hashes: when memory comes and goes, what is there stays whole", () => {
  const next = random("hashes without memory");
  const refusal = `-${Errors.outOfMemory}\r\n`;
  for (const entries of [512, 8, 0])
    withLimits(entries, 300, () => {
      const engine = new Engine(rows, 1 << 20, 1 << 20);
      const hash = new Hash();
      let fillers = 0;
      let refused = 0;
      // The model of one hash: what was acknowledged, and nothing else.
      const model = new Map<string, Field>();
      for (let step = 0; step < 6_000; step++) {
        if (next() < 0.3)
          for (
            let i = 0;
            i < 20_000 && engine.run("hset", `x${fillers}`, "f", "x".repeat(1_000)) !== refusal;
            i++
          )
            fillers++;
        if (next() < 0.1) for (let i = 0; i < 3 && fillers > 0; i++) engine.run("del", `x${--fillers}`);
        const name = `f${Math.floor(next() * 150)}`;
        const value = "v".repeat(Math.floor(next() * 280));
        const at = engine.clock.nowMs + 1_000_000 + Math.floor(next() * 1_000);
        const field = model.get(name);
        switch (Math.floor(next() * 5)) {
          case 0:
          case 1:
            if (engine.run("hset", "h", name, value) === refusal) refused++;
            else model.set(name, { value, deadline: 0 });
            break;
          case 2:
            if (engine.run("hpexpireat", "h", String(at), "fields", "1", name) === refusal) refused++;
            else if (field !== undefined) field.deadline = at;
            break;
          case 3:
            if (engine.run("hpersist", "h", "fields", "1", name) === refusal) refused++;
            else if (field !== undefined) field.deadline = 0;
            break;
          default:
            engine.run("hdel", "h", name);
            model.delete(name);
        }
        expect(engine.run("hget", "h", name)).toBe(bulk(model.get(name)?.value));
        if (step % 50 !== 0 || model.size === 0) continue;
        hash.open(placeOf(engine, "h")!, engine.clock.nowMs);
        hash.check();
        hash.walk();
        let met = 0;
        while (hash.next()) {
          const { region, start, bytes, deadlineMs } = hash;
          const field = model.get(Buffer.from(region.u8.slice(start, start + bytes)).toString());
          expect(deadlineMs).toBe(field!.deadline);
          expect(hash.valueBytes).toBe(field!.value.length);
          met++;
        }
        expect(met).toBe(model.size);
      }
      expect(refused).toBeGreaterThan(10);
      engine.keyspace.check();
    });
}, 60_000);

test("hashes: what memory refuses is not done, and leaves no empty key", () => {
  const engine = new Engine(rows, 8 << 20, 1 << 20);
  const refusal = `-${Errors.outOfMemory}\r\n`;
  engine.run("hset", "h", "a", "one", "b", "two");
  // Fill what 32 segments of 1 MiB hold.
  for (let i = 0; engine.run("hset", `fill:${i}`, "f", "x".repeat(30_000)) !== refusal; i++);
  const huge = "h".repeat(900_000);
  expect(engine.run("hset", "h", "a", huge)).toBe(refusal);
  expect(engine.run("hset", "none", "a", huge)).toBe(refusal);
  expect(engine.run("exists", "none")).toBe(":0\r\n");
  expect(engine.run("hsetnx", "none", "a", huge)).toBe(refusal);
  expect(engine.run("hsetex", "none", "ex", "10", "fields", "1", "a", huge)).toBe(refusal);
  expect(engine.run("exists", "none")).toBe(":0\r\n");
  expect(engine.run("hget", "h", "a")).toBe(bulk("one"));
  const names = new Set<string>();
  for (let i = 0; ; i++) {
    if (engine.run("hset", "h", `field:${i}`, `value:${i}`) === refusal) break;
    names.add(`field:${i}`);
    if (i > 1_000_000) throw new Error("memory does not end");
  }
  const hash = new Hash();
  hash.open(placeOf(engine, "h")!, engine.clock.nowMs);
  hash.check();
  expect(hash.count).toBe(names.size + 2);
  expect(engine.run("hget", "h", "field:0")).toBe(names.size === 0 ? NIL : bulk("value:0"));
  engine.keyspace.check();
});
