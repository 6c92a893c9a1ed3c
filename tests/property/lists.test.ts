// Lists against arrays: replies, contents, the form Redis would name, and every invariant of the pages.
import { afterAll, expect, test } from "bun:test";
import { keyspaceCommands } from "../../engine/commands/keyspace.ts";
import { listCommands } from "../../engine/commands/lists.ts";
import { stringCommands } from "../../engine/commands/strings.ts";
import { Form, Type } from "../../engine/memory/record.ts";
import { limits } from "../../engine/types/limits.ts";
import { List } from "../../engine/types/list.ts";
import { pageBytes } from "../../engine/types/pages.ts";
import { Errors } from "../../protocol/errors.ts";
import { Engine } from "../support/engine.ts";
import { random } from "../support/random.ts";

const rows = [...listCommands, ...keyspaceCommands, ...stringCommands];
const NIL = "$-1\r\n";
const OK = "+OK\r\n";

afterAll(() => {
  limits.listSize = -2;
});

function bulk(value: string | undefined): string {
  return value === undefined ? NIL : `$${value.length}\r\n${value}\r\n`;
}

function array(values: readonly string[]): string {
  return `*${values.length}\r\n${values.map(bulk).join("")}`;
}

/** Bytes of an entry of a listpack, written from its description and not from ours. */
function entryBytes(text: string): number {
  let body: number;
  if (/^(0|-?[1-9]\d{0,18})$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text)) {
    const value = BigInt(text);
    const bits = (n: number) => BigInt.asIntN(n, value) === value;
    if (value >= 0n && value < 128n) body = 1;
    else body = bits(13) ? 2 : bits(16) ? 3 : bits(24) ? 4 : bits(32) ? 5 : 9;
  } else body = text.length + (text.length < 64 ? 1 : text.length < 4096 ? 2 : 5);
  return body + (body < 128 ? 1 : body < 16383 ? 2 : 3);
}

interface Entry {
  values: string[];
  large: boolean;
}

/** The commands again, over arrays. */
class Model {
  readonly entries = new Map<string, Entry>();

  private size(entry: Entry): number {
    return entry.values.reduce((sum, value) => sum + entryBytes(value), 7);
  }

  private entry(key: string): Entry {
    let entry = this.entries.get(key);
    if (entry === undefined) {
      entry = { values: [], large: false };
      this.entries.set(key, entry);
    }
    return entry;
  }

  values(key: string): string[] {
    return this.entries.get(key)?.values ?? [];
  }

  private expect(entry: Entry, bytes: number, count: number): void {
    if (entry.large) return;
    const { listSize } = limits;
    const size = this.size(entry) + bytes;
    if (listSize < 0) entry.large = size > [4096, 8192, 16384, 32768, 65536][-listSize - 1]!;
    else entry.large = size > 8192 || entry.values.length + count > Math.max(1, listSize);
  }

  /** After a removal. */
  private settle(key: string): void {
    const entry = this.entries.get(key)!;
    const { listSize } = limits;
    if (entry.values.length === 0) this.entries.delete(key);
    else if (entry.large && listSize < 0)
      entry.large = this.size(entry) > [4096, 8192, 16384, 32768, 65536][-listSize - 1]! / 2;
    else if (entry.large)
      entry.large = this.size(entry) > 8192 || entry.values.length > Math.max(1, listSize) >> 1;
  }

  private add(key: string, tail: boolean, values: readonly string[]): void {
    const entry = this.entry(key);
    this.expect(
      entry,
      values.reduce((sum, value) => sum + value.length, 0),
      values.length,
    );
    for (const value of values) {
      if (value.length > 65535) entry.large = true;
      if (tail) entry.values.push(value);
      else entry.values.unshift(value);
    }
  }

  private take(key: string, tail: boolean, count: number): string[] {
    const { values } = this.entries.get(key)!;
    const taken = tail
      ? values.splice(Math.max(0, values.length - count)).reverse()
      : values.splice(0, count);
    this.settle(key);
    return taken;
  }

  private move(from: string, to: string, fromTail: boolean, toTail: boolean): string {
    const source = this.values(from);
    if (source.length === 0) return NIL;
    const value = fromTail ? source[source.length - 1]! : source[0]!;
    if (from === to && (fromTail === toTail || source.length === 1)) return bulk(value);
    const integer =
      entryBytes(value) !== entryBytes(`x${value}`.slice(0, value.length)) || /^\d$/.test(value);
    if (from === to) {
      if (fromTail) source.pop();
      else source.shift();
      if (toTail) source.push(value);
      else source.unshift(value);
      this.settle(from);
      return bulk(value);
    }
    const entry = this.entry(to);
    this.expect(entry, integer ? 0 : value.length, 1);
    if (value.length > 65535) entry.large = true;
    if (toTail) entry.values.push(value);
    else entry.values.unshift(value);
    this.take(from, fromTail, 1);
    return bulk(value);
  }

  run(args: readonly string[]): string {
    const [name, key, a, b, c, d] = args as [string, string, string, string, string, string];
    const old = this.values(key);
    const there = old.length > 0;
    if (/^[lr]pushx?$/.test(name)) {
      if (name.endsWith("x") && !there) return ":0\r\n";
      this.add(key, name[0] === "r", args.slice(2));
      return `:${this.values(key).length}\r\n`;
    }
    if (name === "lpop" || name === "rpop") {
      if (!there) return a === undefined ? NIL : "*-1\r\n";
      if (a === "0") return "*0\r\n";
      const taken = this.take(key, name === "rpop", Number(a ?? 1));
      return a === undefined ? bulk(taken[0]) : array(taken);
    }
    if (name === "llen") return `:${old.length}\r\n`;
    if (name === "lindex") return bulk(old.at(Number(a)));
    if (name === "lrange" || name === "ltrim") {
      const from = Math.max(0, Number(a) < 0 ? old.length + Number(a) : Number(a));
      const to = Number(b) < 0 ? old.length + Number(b) : Number(b);
      const part = old.slice(from, Math.max(0, to + 1));
      if (name === "lrange") return array(part);
      if (there) {
        this.entries.get(key)!.values = part;
        this.settle(key);
      }
      return OK;
    }
    if (name === "lset") {
      if (!there) return `-${Errors.noSuchKey}\r\n`;
      const entry = this.entries.get(key)!;
      this.expect(entry, b.length, 1);
      const index = Number(a) < 0 ? old.length + Number(a) : Number(a);
      if (index < 0 || index >= old.length) return `-${Errors.indexOutOfRange}\r\n`;
      if (b.length > 65535) entry.large = true;
      old[index] = b;
      this.settle(key);
      return OK;
    }
    if (name === "linsert") {
      if (!there) return ":0\r\n";
      const entry = this.entries.get(key)!;
      this.expect(entry, c.length, 1);
      const index = old.indexOf(b);
      if (index < 0) return ":-1\r\n";
      if (c.length > 65535) entry.large = true;
      old.splice(index + (a === "after" ? 1 : 0), 0, c);
      return `:${old.length}\r\n`;
    }
    if (name === "lrem") {
      let left = Number(a) === 0 ? old.length : Math.abs(Number(a));
      const before = old.length;
      if (Number(a) < 0) old.reverse();
      const kept = old.filter((value) => value !== b || left-- <= 0);
      if (Number(a) < 0) kept.reverse();
      if (Number(a) < 0) old.reverse();
      if (kept.length === before) return ":0\r\n";
      this.entries.get(key)!.values = kept;
      this.settle(key);
      return `:${before - kept.length}\r\n`;
    }
    if (name === "lpos") {
      const options = Object.fromEntries(
        Array.from({ length: (args.length - 3) / 2 }, (_, i) => [args[3 + i * 2], Number(args[4 + i * 2])]),
      );
      const rank = options.rank ?? 1;
      const indexes = old.map((_, i) => (rank < 0 ? old.length - 1 - i : i));
      const found = indexes
        .slice(0, options.maxlen || old.length)
        .filter((i) => old[i] === a)
        .slice(Math.abs(rank) - 1);
      if (options.count === undefined) return found.length === 0 ? NIL : `:${found[0]}\r\n`;
      const most = options.count || old.length;
      return `*${found.slice(0, most).length}\r\n${found
        .slice(0, most)
        .map((i) => `:${i}\r\n`)
        .join("")}`;
    }
    if (name === "rpoplpush") return this.move(key, a, true, false);
    if (name === "lmove") return this.move(key, a, b === "right", c === "right");
    if (name === "lmpop") {
      const from = [a, b].find((one) => this.values(one).length > 0);
      if (from === undefined) return "*-1\r\n";
      return `*2\r\n${bulk(from)}${array(this.take(from, c === "right", Number(args[6] ?? 1)))}`;
    }
    if (name === "copy") {
      if (key === a) return `-${Errors.sameObject}\r\n`;
      if (!there) return ":0\r\n";
      this.entries.set(a, { values: [...old], large: this.entries.get(key)!.large });
      return ":1\r\n";
    }
    if (name === "rename") {
      if (!there) return `-${Errors.noSuchKey}\r\n`;
      const entry = this.entries.get(key)!;
      this.entries.delete(key);
      this.entries.set(a, entry);
      return OK;
    }
    if (name === "del") return this.entries.delete(key) ? ":1\r\n" : ":0\r\n";
    throw new Error(`the model lacks ${name} ${d}`);
  }
}

const keys = ["a", "b", "c"];

/** Runs a history of commands on both. `scale` is how many elements a push of many has. */
function history(seed: string, steps: number, listSize: number, scale: number, longest: number): void {
  limits.listSize = listSize;
  const next = random(seed);
  const engine = new Engine(rows);
  const model = new Model();
  const list = new List();
  const pick = <Value>(from: readonly Value[]): Value => from[Math.floor(next() * from.length)]!;
  const key = () => pick(keys);
  const words = [
    "",
    "x",
    "0",
    "-1",
    "47",
    "48",
    "127",
    "128",
    "-4097",
    "32768",
    "-8388609",
    "2147483648",
    "01",
  ];
  words.push(
    "9007199254740991",
    "9007199254740993",
    "-9223372036854775808",
    "9223372036854775808",
    "\xff\0\r\n",
  );
  const value = () => {
    const kind = next();
    if (kind < 0.5) return pick(words);
    if (kind < 0.7) return String(Math.floor((next() - 0.5) * 10 ** Math.floor(next() * 17)));
    if (kind < 0.97) return String.fromCharCode(97 + next() * 3).repeat(Math.floor(next() * 30));
    return "w".repeat(Math.floor(next() * (next() < 0.2 ? longest : 300)));
  };
  const many = () => Array.from({ length: 1 + Math.floor(next() * next() * scale) }, value);
  const index = () => String(Math.floor((next() - 0.5) * scale * (next() < 0.3 ? 8 : 1)));
  const count = () => String(Math.floor(next() * next() * scale));
  const side = () => pick(["left", "right"]);
  const maybe = (chance: number, options: readonly string[]) => (next() < chance ? options : []);
  const commands: (() => string[])[] = [
    () => [pick(["lpush", "rpush"]), key(), ...many()],
    () => [pick(["lpush", "rpush"]), key(), value()],
    () => [pick(["lpushx", "rpushx"]), key(), ...many()],
    () => [pick(["lpop", "rpop"]), key()],
    () => [pick(["lpop", "rpop"]), key(), count()],
    () => ["llen", key()],
    () => ["lindex", key(), index()],
    () => ["lrange", key(), index(), index()],
    () => ["lset", key(), index(), value()],
    () => ["linsert", key(), pick(["before", "after"]), value(), value()],
    () => ["lrem", key(), pick(["0", "1", "-1", "3", "-3"]), value()],
    () => [
      ...["lpos", key(), value(), ...maybe(0.5, ["rank", pick(["1", "2", "-1", "-2"])])],
      ...[...maybe(0.5, ["count", pick(["0", "1", "3"])]), ...maybe(0.3, ["maxlen", count()])],
    ],
    () => ["lmove", key(), key(), side(), side()],
    () => ["rpoplpush", key(), key()],
    () => ["lmpop", "2", key(), key(), side(), ...maybe(0.5, ["count", String(1 + Number(count()))])],
    () => ["lpop", key(), pick(["1", "2", "30", "1000"])],
    () =>
      next() < 0.2
        ? ["ltrim", key(), index(), index()]
        : ["ltrim", key(), count(), `-${1 + Number(count())}`],
    () => (next() < 0.3 ? ["copy", key(), key(), "replace"] : ["llen", key()]),
    () => (next() < 0.3 ? ["del", key()] : ["llen", key()]),
  ];
  for (let step = 0; step < steps; step++) {
    const command = pick(commands)();
    const expected = model.run(command);
    const answer = engine.run(...command);
    if (answer !== expected) expect({ step, command, answer }).toEqual({ step, command, answer: expected });
    for (const name of step % 7 === 0 ? keys : []) {
      const { call } = engine;
      engine.run("llen", name);
      const entry = model.entries.get(name);
      expect(call.findPlace(1, call.place)).toBe(entry !== undefined);
      if (entry === undefined) continue;
      expect(call.place.type).toBe(Type.List);
      // With a limit that counts, a list of several chunks stays large for a while.
      const { form } = call.place;
      const expectedForm =
        entry.large || (limits.listSize > 0 && form === Form.Pages) ? Form.Pages : Form.Packed;
      expect({ step, command, form }).toEqual({ step, command, form: expectedForm });
      list.open(call.place);
      list.check();
      if (step % 49 === 0) expect(engine.run("lrange", name, "0", "-1")).toBe(array(entry.values));
    }
    if (step % 5_000 === 0) engine.keyspace.check();
  }
  for (const name of keys) engine.run("del", name);
  while (engine.keyspace.shards[0]!.reclaimable) engine.keyspace.shards[0]!.reclaimStep(1000);
  engine.keyspace.check();
  expect(engine.keyspace.shards[0]!.allocator.liveBytes).toBeLessThan(16384);
}

test("lists: every command answers as an array would, small and large, after any history", () => {
  history("lists of default size", 40_000, -2, 60, 12_000);
  history("lists of 4 KiB", 20_000, -1, 400, 12_000);
  history("long lists", 3_000, -2, 6_000, 20_000);
}, 120_000);

test("lists: the same with few elements in a small list", () => {
  history("lists of 4 elements", 30_000, 4, 12, 5_000);
  history("lists of 1 element", 5_000, 1, 12, 5_000);
  history("lists of 200 elements", 10_000, 200, 300, 70_000);
}, 120_000);

test("lists: when memory is out a command changes no element and says so", () => {
  limits.listSize = -2;
  const next = random("lists without memory");
  const engine = new Engine(rows, 8 << 20, 1 << 20);
  for (const key of ["a", "b"])
    for (let i = 0; i < 900; i++) engine.run("rpush", key, `${key}${i}`, "x".repeat(i % 50));
  engine.run("rpush", "b", "y".repeat(40_000), "z".repeat(9_000));
  for (let bytes = 400_000; bytes > 8; bytes = bytes >> 1)
    for (let i = 0; engine.run("set", `fill${bytes}:${i}`, "f".repeat(bytes)) === OK; i++);
  const error = `-${Errors.outOfMemory}\r\n`;
  const list = new List();
  let refused = 0;
  for (let step = 0; step < 6_000; step++) {
    const kind = next();
    const value = "v".repeat(Math.floor(next() * (kind < 0.1 ? 20_000 : 60)));
    const at = String(Math.floor(next() * 1000));
    const key = next() < 0.5 ? "a" : "b";
    const before = ["a", "b", "c"].map((one) => engine.run("lrange", one, "0", "-1"));
    const command =
      kind < 0.5
        ? [next() < 0.5 ? "lpush" : "rpush", key, value]
        : kind < 0.6
          ? ["linsert", key, "before", `${key}${at}`, value]
          : kind < 0.7
            ? ["lset", key, at, value]
            : kind < 0.8
              ? ["lmove", key, "c", "left", "right"]
              : kind < 0.9
                ? ["lmove", key, key, "left", "right"]
                : ["copy", key, "c", "replace"];
    const answer = engine.run(...command);
    if (answer === error) {
      refused++;
      expect(["a", "b", "c"].map((one) => engine.run("lrange", one, "0", "-1"))).toEqual(before);
    } else expect(answer.startsWith("-ERR index out of range") || !answer.startsWith("-")).toBe(true);
    for (const name of step % 20 === 0 ? ["a", "b", "c"] : []) {
      engine.run("llen", name);
      if (!engine.call.findPlace(1, engine.call.place)) continue;
      list.open(engine.call.place);
      list.check();
    }
    // Now and then some room again.
    if (step % 50 === 0) engine.run("lpop", key, "40");
    if (step % 500 === 0) engine.run("del", "c", `fill${400_000 >> (step % 7)}:0`);
  }
  expect(refused).toBeGreaterThan(300);
  engine.keyspace.check();
}, 120_000);

test("lists: ten thousand elements waste less than 3 % of their chunks", () => {
  limits.listSize = -2;
  for (const [bytes, push] of [
    [3, "rpush"],
    [3, "lpush"],
    [20, "rpush"],
    [20, "lpush"],
    [100, "rpush"],
    [500, "lpush"],
  ] as const) {
    const engine = new Engine(rows);
    for (let i = 0; i < 10_000; i++) engine.run(push, "l", "e".repeat(bytes));
    engine.run("llen", "l");
    expect(engine.call.findPlace(1, engine.call.place)).toBe(true);
    // A byte of descriptor an element, four more where its length does not fit that.
    const needed = 10_000 * (bytes + 1 + (bytes > 199 ? 4 : 0));
    expect(pageBytes(Type.List, engine.call.place) / needed).toBeLessThan(1.03);
  }
});
