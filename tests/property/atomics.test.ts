import { expect, test } from "bun:test";
import { atomicCommands } from "../../engine/commands/atomics.ts";
import { stringCommands } from "../../engine/commands/strings.ts";
import { setKindAt, Type } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { xxh3, xxh3High, xxh3Low } from "../../engine/types/xxh3.ts";
import { badBound, Errors } from "../../protocol/errors.ts";
import { Engine } from "../support/engine.ts";
import { random } from "../support/random.ts";

const NIL = "$-1\r\n";
const OK = "+OK\r\n";
const MAX = 2n ** 63n - 1n;
const MIN = -(2n ** 63n);

function bulk(value: string | undefined): string {
  return value === undefined ? NIL : `$${value.length}\r\n${value}\r\n`;
}

function error(text: string): string {
  return `-${text}\r\n`;
}

function int(value: number | bigint): string {
  return `:${value}\r\n`;
}

function int64(text: string): bigint | null {
  if (!/^(0|-?[1-9]\d*)$/.test(text)) return null;
  const value = BigInt(text);
  return value >= MIN && value <= MAX ? value : null;
}

/** A decimal of at most four places, in units of 1/10000; null for any other text. */
function tenThousandths(text: string): bigint | null {
  const parts = /^(-?)(\d+)(?:\.(\d{1,4}))?$/.exec(text);
  if (parts === null) return null;
  const units = BigInt(parts[2]!) * 10_000n + BigInt((parts[3] ?? "").padEnd(4, "0"));
  return parts[1] === "-" ? -units : units;
}

function decimal(units: bigint): string {
  const digits = (units < 0n ? -units : units).toString().padStart(5, "0");
  const text = `${digits.slice(0, -4)}.${digits.slice(-4)}`.replace(/\.?0+$/, "");
  return units < 0n ? `-${text}` : text;
}

function digestOf(value: string): string {
  return Bun.hash.xxHash3(Buffer.from(value, "latin1")).toString(16).padStart(16, "0");
}

/** The commands again, over a Map of strings and exact arithmetic. */
class Model {
  readonly entries = new Map<string, { value: string; deadline: number }>();
  nowMs = 0;

  entry(key: string) {
    const entry = this.entries.get(key);
    if (entry === undefined || entry.deadline === 0 || entry.deadline > this.nowMs) return entry;
    this.entries.delete(key);
    return undefined;
  }

  put(key: string, value: string, deadline: number): void {
    if (deadline !== 0 && deadline <= this.nowMs) this.entries.delete(key);
    else this.entries.set(key, { value, deadline });
  }

  /** ms since the epoch, or the error. */
  due(name: string, option: string, text: string): number | string {
    const value = int64(text);
    if (value === null) return error(Errors.notAnInteger);
    const ms =
      (option.startsWith("ex") ? value * 1000n : value) + (option.endsWith("at") ? 0n : BigInt(this.nowMs));
    if (value <= 0n || ms > MAX) return error(`ERR invalid expire time in '${name}' command`);
    return Number(ms);
  }

  /** Whether the comparison holds for a value that is there; undefined for a bad digest. */
  holds(condition: string, value: string, operand: string): boolean | undefined {
    if (condition.startsWith("ifd") && !/^[0-9a-fA-F]{16}$/.test(operand)) return undefined;
    const equal = condition.startsWith("ifd") ? digestOf(value) === operand.toLowerCase() : value === operand;
    return equal === condition.endsWith("eq");
  }

  run(args: readonly string[]): string {
    const [name, key, a, b] = args as [string, string, string, string];
    const old = this.entry(key);
    if (name === "get") return bulk(old?.value);
    if (name === "digest") return old === undefined ? NIL : bulk(digestOf(old.value));
    if (name === "delifeq" || (name === "delex" && args.length === 4)) {
      if (old === undefined) return int(0);
      const holds = name === "delifeq" ? old.value === a : this.holds(a, old.value, b);
      if (holds === undefined) return error(Errors.badDigest);
      if (holds) this.entries.delete(key);
      return int(holds ? 1 : 0);
    }
    if (name === "delex") return int(this.entries.delete(key) ? 1 : 0);
    if (name === "ic.expireifeq" || name === "ic.pexpireifeq") {
      const value = int64(b);
      if (value === null) return error(Errors.notAnInteger);
      const ms = value * (name === "ic.expireifeq" ? 1000n : 1n) + BigInt(this.nowMs);
      if (ms > MAX || ms < MIN) return error(`ERR invalid expire time in '${name}' command`);
      if (old?.value !== a) return int(0);
      this.put(key, old.value, Number(ms) === 0 ? -1 : Number(ms));
      return int(1);
    }
    if (name === "set") return this.set(args);
    if (name === "msetex") return this.msetex(args);
    if (name === "increx") return this.increx(args);
    if (name === "cl.throttle") return this.throttle(args);
    throw new Error(`the model lacks ${name}`);
  }

  /** Options come in a fixed order here: comparison, get, expiry. */
  private set(args: readonly string[]): string {
    const [, key, value, ...options] = args as [string, string, string, ...string[]];
    const old = this.entry(key);
    const expiry = options.findIndex((option) => /^(ex|px)(at)?$/.test(option));
    let due: number | string = expiry < 0 ? 0 : this.due("set", options[expiry]!, options[expiry + 1]!);
    if (typeof due === "string") return due;
    if (options.includes("keepttl")) due = old?.deadline ?? 0;
    let holds: boolean | undefined = true;
    if (/^ifd?[en][qe]$/.test(options[0] ?? "")) {
      holds =
        old === undefined ? options[0]!.endsWith("ne") : this.holds(options[0]!, old.value, options[1]!);
      if (holds === undefined) return error(Errors.badDigest);
    }
    if (holds) this.put(key, value, due);
    if (options.includes("get")) return bulk(old?.value);
    return holds ? OK : NIL;
  }

  /** Options: condition, expiry. */
  private msetex(args: readonly string[]): string {
    const count = Number(args[1]);
    const pairs = Array.from({ length: count }, (_, i) => [args[2 + i * 2]!, args[3 + i * 2]!] as const);
    const options = args.slice(2 + count * 2);
    const expiry = options.findIndex((option) => /^(ex|px)(at)?$/.test(option));
    const due = expiry < 0 ? 0 : this.due("msetex", options[expiry]!, options[expiry + 1]!);
    if (typeof due === "string") return due;
    const there = pairs.map(([key]) => this.entry(key) !== undefined);
    if (options.includes("nx") && there.includes(true)) return int(0);
    if (options.includes("xx") && there.includes(false)) return int(0);
    for (const [key, value] of pairs)
      this.put(key, value, options.includes("keepttl") ? (this.entry(key)?.deadline ?? 0) : due);
    return int(1);
  }

  /** Floats have at most four places here, where 80 bits are exact enough to print them. */
  private increx(args: readonly string[]): string {
    const key = args[1]!;
    const option = (name: string) => {
      const at = args.indexOf(name, 2);
      return at < 0 ? undefined : args[at + 1]!;
    };
    const float = args.includes("byfloat");
    const read = float ? tenThousandths : int64;
    const by = read(option("byfloat") ?? option("byint") ?? "1");
    const lowerText = option("lbound");
    const upperText = option("ubound");
    const lower = lowerText === undefined ? (float ? -(10n ** 400n) : MIN) : read(lowerText);
    const upper = upperText === undefined ? (float ? 10n ** 400n : MAX) : read(upperText);
    if (by === null) return error(float ? Errors.incrementNotAFloat : Errors.incrementNotAnInteger);
    if (lower === null) return error(badBound("LBOUND", float));
    if (upper === null) return error(badBound("UBOUND", float));
    if (lower > upper) return error(Errors.boundsCrossed);
    const unit = ["ex", "px", "exat", "pxat"].find((each) => args.includes(each));
    const due = unit === undefined ? undefined : this.due("increx", unit, option(unit)!);
    if (typeof due === "string") return due;

    const old = this.entry(key);
    const value = read(old?.value ?? "0");
    if (value === null) return error(float ? Errors.notAFloat : Errors.notAnInteger);
    const clamped = value + by < lower ? lower : value + by > upper ? upper : value + by;
    const applied = clamped - value;
    const show = (number: bigint) => (float ? bulk(decimal(number)) : int(number));
    if (clamped !== value + by) {
      if (!args.includes("saturate")) return `*2\r\n${show(value)}${show(0n)}`;
      if (!float && (applied > MAX || applied < MIN)) return error(Errors.appliedOverflow);
    }
    let deadline = old?.deadline ?? 0;
    if (args.includes("persist")) deadline = 0;
    else if (due !== undefined && !(args.includes("enx") && deadline !== 0)) deadline = due;
    this.put(key, float ? decimal(clamped) : String(clamped), deadline);
    return `*2\r\n${show(clamped)}${show(applied)}`;
  }

  /** In exact fractions of a microsecond: everything is multiplied by `count`. */
  private throttle(args: readonly string[]): string {
    const [key, burst, count, period, quantity] = [args[1]!, ...args.slice(2).map(BigInt)] as [
      string,
      ...bigint[],
    ] as [string, bigint, bigint, bigint, bigint];
    const limit = burst + 1n;
    const interval = period * 1_000_000n; // times count
    const now = BigInt(this.nowMs) * 1000n;
    const kept = int64(this.entry(key)?.value ?? "0");
    if (kept === null) return error(Errors.notAnInteger);
    let ahead = kept > now ? kept - now : 0n;
    const next = ahead * count + interval * quantity;
    const excess = next - interval * limit;
    const up = (a: bigint, over: bigint) => (a + over - 1n) / over;
    if (excess <= 0n && quantity > 0n) {
      ahead = next / count;
      if (ahead > 0n) this.put(key, String(now + ahead), Number(up(now + ahead, 1000n)));
      else this.entries.delete(key);
    }
    const left = limit - up(ahead * count, interval);
    const retry = excess > 0n && quantity <= limit ? up(excess, count * 1_000_000n) : -1n;
    const answer = [excess > 0n ? 1n : 0n, limit, left < 0n ? 0n : left, retry, up(ahead, 1_000_000n)];
    return `*5\r\n${answer.map(int).join("")}`;
  }
}

test("atomics: every command answers as the model, after any history of commands and waiting", () => {
  const next = random("atomics");
  const engine = new Engine([...stringCommands, ...atomicCommands]);
  const model = new Model();
  const pick = <Value>(from: readonly Value[]): Value => from[Math.floor(next() * from.length)]!;
  const below = (bound: number) => Math.floor(next() * bound);
  const maybe = (chance: number, words: () => readonly string[]) => (next() < chance ? words() : []);
  const keys = ["a", "b", "c", "k".repeat(300)];
  const counters = ["n", "m", "f"]; // the last counts in quarters, and never beyond what 80 bits hold exactly
  const buckets = ["t", "u", "v"];
  const values = ["", "x", "12", "token", "v".repeat(120), "w".repeat(250), "y".repeat(2000)];
  const value = () => pick(values);
  const operand = (condition: string) => {
    const guess = value();
    if (!condition.startsWith("ifd")) return guess;
    if (next() < 0.05) return pick(["", "zz", `${digestOf(guess)}0`, digestOf(guess).slice(1)]);
    return next() < 0.3 ? digestOf(guess).toUpperCase() : digestOf(guess);
  };
  const comparison = () => {
    const condition = pick(["ifeq", "ifne", "ifdeq", "ifdne"]);
    return [condition, operand(condition)];
  };
  const when = () => {
    const unit = pick(["ex", "px", "exat", "pxat"]);
    if (next() < 0.1) return [unit, pick(["0", "-1", "x", "9223372036854775807"])];
    const ms = below(5_000) - (unit.endsWith("at") ? 1_000 : -1);
    const at = unit.endsWith("at") ? model.nowMs + ms : ms;
    return [unit, String(unit.startsWith("ex") ? Math.ceil(at / 1000) : at)];
  };
  const edges = [MAX, MAX - 5n, MIN, MIN + 5n, 2n ** 53n, -(2n ** 53n) + 1n, 2n ** 53n - 1n].map(String);
  const small = () => String(below(200) - 100);
  const integer = () => (next() < 0.25 ? pick(edges) : small());
  const quarter = () => String((below(2_000) - 1_000) / 4);
  const counting = () => {
    const key = pick(counters);
    const float = key === "f" && next() < 0.8;
    const number = float ? quarter : key === "f" ? small : integer;
    const expiry = next();
    return [
      ...["increx", key],
      ...(float ? ["byfloat", number()] : maybe(0.8, () => ["byint", number()])),
      ...maybe(0.4, () => ["lbound", number()]),
      ...maybe(0.4, () => ["ubound", next() < 0.02 ? "x" : number()]),
      ...maybe(0.4, () => ["saturate"]),
      ...(expiry < 0.3 ? [...when(), ...maybe(0.5, () => ["enx"])] : expiry < 0.4 ? ["persist"] : []),
    ];
  };
  const pairs = () => {
    const count = 1 + below(3);
    return [String(count), ...Array.from({ length: count }, () => [pick(keys), value()]).flat()];
  };
  const bucket = (key: string): string[] => {
    const shape = { t: ["2", "3", "1"], u: ["0", "1000", "7"], v: ["9", "7", "3"] }[key]!;
    return ["cl.throttle", key, ...shape, String(next() < 0.7 ? 1 : below(12))];
  };
  const commands: (() => string[])[] = [
    () => ["get", pick([...keys, ...counters, ...buckets])],
    () => ["digest", pick(keys)],
    () => [
      ...["set", pick(keys), value(), ...maybe(0.8, comparison), ...maybe(0.4, () => ["get"])],
      ...maybe(0.6, () => (next() < 0.3 ? ["keepttl"] : when())),
    ],
    () => ["set", pick(keys), value()],
    () => (next() < 0.5 ? ["set", "f", quarter()] : ["set", pick(["n", "m"]), integer()]),
    () => ["delifeq", pick(keys), value()],
    () => ["delex", pick([...keys, ...counters]), ...maybe(0.8, comparison)],
    () => [
      pick(["ic.expireifeq", "ic.pexpireifeq"]),
      pick(keys),
      value(),
      pick(["1", "500", "0", "-7", "x"]),
    ],
    () => ["ic.pexpireifeq", pick(keys), value(), pick([...edges, String(-model.nowMs)])],
    () => [
      ...["msetex", ...pairs(), ...maybe(0.5, () => [pick(["nx", "xx"])])],
      ...maybe(0.7, () => (next() < 0.3 ? ["keepttl"] : when())),
    ],
    ...Array.from({ length: 6 }, () => counting),
    ...Array.from({ length: 3 }, () => () => bucket(pick(buckets))),
  ];
  for (let step = 0; step < 50_000; step++) {
    if (next() < 0.2) engine.clock.nowMs += below(600);
    model.nowMs = engine.clock.nowMs;
    const command = pick(commands)();
    const expected = model.run(command);
    const answer = engine.run(...command);
    if (answer !== expected) expect({ step, command, answer }).toEqual({ step, command, answer: expected });
    for (const name of step % 5 === 0 ? [...keys, ...counters, ...buckets] : []) {
      const entry = model.entry(name);
      expect([name, engine.run("get", name)]).toEqual([name, bulk(entry?.value)]);
      if (entry !== undefined)
        expect(engine.call.shard.deadline()).toBe(Math.min(entry.deadline, Number.MAX_SAFE_INTEGER));
    }
    if (step % 10_000 === 0) engine.keyspace.check();
  }
  engine.keyspace.check();
});

test("atomics: a key of another type is refused, but deleted by a DELEX that asks nothing", () => {
  const engine = new Engine([...stringCommands, ...atomicCommands]);
  const list = () => {
    engine.run("set", "list", "abc");
    engine.run("strlen", "list");
    const { shard } = engine.call;
    shard.find(0, engine.call.key);
    setKindAt(shard.region, shard.at, Type.List, 0);
  };
  list();
  const refused = [
    ["set", "list", "v", "ifeq", "abc"],
    ["set", "list", "v", "ifne", "x"],
    ["set", "list", "v", "ifdeq", "x"],
    ["set", "list", "v", "get", "ifdne", digestOf("abc")],
    ["delifeq", "list", "abc"],
    ["delex", "list", "ifeq", "abc"],
    ["delex", "list", "nosuch", "abc"],
    ["digest", "list"],
    ["increx", "list"],
    ["increx", "list", "byfloat", "1.5"],
    ["increx", "list", "exat", "1"],
    ["cl.throttle", "list", "1", "1", "1"],
    ["ic.expireifeq", "list", "abc", "5"],
    ["ic.pexpireifeq", "list", "abc", "-5"],
  ];
  for (const command of refused) expect(engine.run(...command)).toBe(error(Errors.wrongType));
  expect(engine.run("increx", "list", "byint", "x")).toBe(error(Errors.incrementNotAnInteger));
  expect(engine.run("ic.expireifeq", "list", "abc", "x")).toBe(error(Errors.notAnInteger));
  expect(engine.run("cl.throttle", "list", "-1", "1", "1")).toBe(error(Errors.throttleArguments));
  expect(engine.run("msetex", "1", "list", "v", "nx")).toBe(int(0));
  expect(engine.run("msetex", "1", "list", "v", "xx", "keepttl")).toBe(int(1));
  expect(engine.run("get", "list")).toBe(bulk("v"));
  list();
  expect(engine.run("delex", "list")).toBe(int(1));
  expect(engine.run("get", "list")).toBe(NIL);
});

test("atomics: a write that memory refuses changes nothing", () => {
  const engine = new Engine([...stringCommands, ...atomicCommands], 8 << 20, 1 << 20);
  const refusal = error(Errors.outOfMemory);
  const huge = "h".repeat(2 << 20);
  expect(engine.run("msetex", "2", "a", "one", "b", "two", "px", "5000")).toBe(int(1));
  expect(engine.run("msetex", "2", "a", "three", "b", huge)).toBe(refusal);
  expect(engine.run("msetex", "3", "a", "three", "c", huge, "b", "x", "keepttl")).toBe(refusal);
  expect(engine.run("set", "a", huge, "ifeq", "one")).toBe(refusal);
  expect(engine.run("set", "a", huge, "get", "ifne", "x", "px", "9")).toBe(refusal);
  expect(engine.run("mget", "a", "b", "c")).toBe(`*3\r\n${bulk("one")}${bulk("two")}${NIL}`);
  // What is due already needs no memory.
  expect(engine.run("msetex", "2", "a", "x", "b", "y", "pxat", "1")).toBe(int(1));
  expect(engine.run("mget", "a", "b", "c")).toBe(`*3\r\n${NIL}${NIL}${NIL}`);
  engine.keyspace.check();
});

test("atomics: a bucket gives its tokens back at its rate", () => {
  const engine = new Engine(atomicCommands);
  const take = (quantity: number) => engine.run("cl.throttle", "k", "4", "2", "1", String(quantity));
  const five = (...values: number[]) => `*5\r\n${values.map(int).join("")}`;
  expect(take(5)).toBe(five(0, 5, 0, -1, 3));
  expect(take(1)).toBe(five(1, 5, 0, 1, 3));
  engine.clock.nowMs += 499;
  expect(take(1)).toBe(five(1, 5, 0, 1, 3));
  engine.clock.nowMs += 1;
  expect(take(1)).toBe(five(0, 5, 0, -1, 3));
  engine.clock.nowMs += 1_250;
  expect(take(0)).toBe(five(0, 5, 2, -1, 2));
  expect(take(3)).toBe(five(1, 5, 2, 1, 2));
  expect(take(2)).toBe(five(0, 5, 0, -1, 3));
  engine.clock.nowMs += 60_000;
  expect(take(0)).toBe(five(0, 5, 5, -1, 0));
  expect(take(6)).toBe(five(1, 5, 5, -1, 0));
  // Rates and amounts at the ends of what is taken do not break the arithmetic.
  const most = String(Number.MAX_SAFE_INTEGER);
  expect(engine.run("cl.throttle", "fast", "0", most, "1")).toBe(five(0, 1, 1, -1, 0));
  expect(engine.run("cl.throttle", "slow", "0", "1", most)).toMatch(/^\*5\r\n:0\r\n:1\r\n/);
  expect(engine.run("cl.throttle", "slow", "0", "1", most)).toMatch(/^\*5\r\n:1\r\n:1\r\n/);
});

test("xxh3: equals Bun's for every length, at any offset", () => {
  const next = random("xxh3");
  const region = need(Region.private(1 << 18), "what is hashed");
  for (let i = 0; i < region.bytes; i++) region.u8[i] = next() * 256;
  const lengths = Array.from({ length: 2_200 }, (_, i) => i);
  for (let i = 0; i < 2_000; i++) lengths.push(Math.floor(next() * 20_000));
  for (const bytes of lengths) {
    const start = Math.floor(next() * 4096);
    xxh3(region, start, bytes);
    const hash = (BigInt(xxh3High) << 32n) | BigInt(xxh3Low);
    if (hash !== Bun.hash.xxHash3(region.u8.slice(start, start + bytes)))
      throw new Error(`${bytes} bytes at ${start}: ${hash.toString(16)}`);
  }
  xxh3(region, region.bytes, 0);
  expect([xxh3High, xxh3Low]).toEqual([0x2d068005, 0x38d394c2]);
  for (const [start, bytes] of [
    [region.bytes, 1],
    [region.bytes - 10, 11],
    [-1, 5],
    [0, -1],
  ] as const)
    expect(() => xxh3(region, start, bytes)).toThrow(RangeError);
});
