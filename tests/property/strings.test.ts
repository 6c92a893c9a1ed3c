import { expect, test } from "bun:test";
import { stringCommands } from "../../engine/commands/strings.ts";
import { Encoding, setKindAt, Type } from "../../engine/memory/record.ts";
import { addFloat80, formatFloat80, isFinite80, parseFloat80 } from "../../engine/types/float80.ts";
import { integerBytes, parseBigInteger, parseInteger, writeInteger } from "../../engine/types/integer.ts";
import { Lcs } from "../../engine/types/lcs.ts";
import { Errors } from "../../protocol/errors.ts";
import { Engine } from "../support/engine.ts";
import { random } from "../support/random.ts";

const NIL = "$-1\r\n";
const OK = "+OK\r\n";

function bulk(value: string | undefined): string {
  return value === undefined ? NIL : `$${value.length}\r\n${value}\r\n`;
}

function error(text: string): string {
  return `-${text}\r\n`;
}

function int64(text: string): bigint | null {
  if (!/^(0|-?[1-9]\d*)$/.test(text)) return null;
  const value = BigInt(text);
  return value >= -(2n ** 63n) && value < 2n ** 63n ? value : null;
}

/** The commands again, over a Map of strings: what SET, GET and the rest mean, with nothing clever. */
class Model {
  readonly entries = new Map<string, { value: string; deadline: number; encoding: number }>();
  nowMs = 0;

  entry(key: string) {
    const entry = this.entries.get(key);
    if (entry === undefined || entry.deadline === 0 || entry.deadline > this.nowMs) return entry;
    this.entries.delete(key);
    return undefined;
  }

  value(key: string): string | undefined {
    return this.entry(key)?.value;
  }

  put(key: string, value: string, deadline = 0, encoding?: number): string {
    encoding ??= int64(value) === null ? Encoding.Bytes : Encoding.Integer;
    if (deadline !== 0 && deadline <= this.nowMs) this.entries.delete(key);
    else this.entries.set(key, { value, deadline, encoding });
    return OK;
  }

  /** Keeps the deadline. */
  edit(key: string, value: string, encoding?: number): void {
    this.put(key, value, this.entry(key)?.deadline ?? 0, encoding);
  }

  /** ms since the epoch, or the error. */
  due(name: string, option: string, text: string): number | string {
    const value = int64(text);
    if (value === null) return error(Errors.notAnInteger);
    const ms =
      (option.startsWith("ex") ? value * 1000n : value) + (option.endsWith("at") ? 0n : BigInt(this.nowMs));
    if (value <= 0n || ms >= 2n ** 63n) return error(`ERR invalid expire time in '${name}' command`);
    return Number(ms);
  }

  add(key: string, delta: bigint): string {
    const old = int64(this.value(key) ?? "0");
    if (old === null) return error(Errors.notAnInteger);
    const sum = old + delta;
    if (int64(sum.toString()) === null) return error(Errors.overflow);
    this.edit(key, sum.toString());
    return `:${sum}\r\n`;
  }

  run(args: readonly string[]): string {
    const [name, key, a, b] = args as [string, string, string, string];
    const old = this.value(key);
    if (name === "get") return bulk(old);
    if (name === "strlen") return `:${old?.length ?? 0}\r\n`;
    if (name === "mget")
      return `*${args.length - 1}\r\n${args
        .slice(1)
        .map((k) => bulk(this.value(k)))
        .join("")}`;
    if (name === "getset") {
      this.put(key, a);
      return bulk(old);
    }
    if (name === "getdel") {
      this.entries.delete(key);
      return bulk(old);
    }
    if (name === "setnx") {
      if (old === undefined) this.put(key, a);
      return old === undefined ? ":1\r\n" : ":0\r\n";
    }
    if (name === "mset" || name === "msetnx") {
      const pairs = Array.from({ length: (args.length - 1) / 2 }, (_, i) => [
        args[1 + i * 2]!,
        args[2 + i * 2]!,
      ]);
      if (name === "msetnx" && pairs.some(([k]) => this.value(k!) !== undefined)) return ":0\r\n";
      for (const [k, v] of pairs) this.put(k!, v!);
      return name === "mset" ? OK : ":1\r\n";
    }
    if (name === "append") {
      this.edit(key, (old ?? "") + a, old === undefined ? undefined : Encoding.Edited);
      return `:${(old ?? "").length + a.length}\r\n`;
    }
    if (name === "setrange") {
      if (b === "") return `:${old?.length ?? 0}\r\n`;
      const from = Number(a);
      const value = (old ?? "").slice(0, from).padEnd(from, "\0") + b + (old ?? "").slice(from + b.length);
      this.edit(key, value, Encoding.Edited);
      return `:${value.length}\r\n`;
    }
    if (name === "getrange") {
      const start = Number(a);
      const end = Number(b);
      if (start < 0 && end < 0 && start > end) return bulk("");
      const length = (old ?? "").length;
      const at = (index: number) => Math.max(0, index < 0 ? length + index : index);
      return bulk((old ?? "").slice(at(start), at(end) + 1));
    }
    if (name === "incr") return this.add(key, 1n);
    if (name === "decr") return this.add(key, -1n);
    if (name === "incrby" || name === "decrby") {
      const delta = int64(a);
      if (delta === null) return error(Errors.notAnInteger);
      if (name === "incrby") return this.add(key, delta);
      return delta === -(2n ** 63n) ? error(Errors.decrementOverflow) : this.add(key, -delta);
    }
    if (name === "setex" || name === "psetex") {
      const due = this.due(name, name === "setex" ? "ex" : "px", a);
      return typeof due === "string" ? due : this.put(key, b, due);
    }
    if (name === "getex") {
      if (old === undefined || args.length === 2) return bulk(old);
      const due = a === "persist" ? 0 : this.due(name, a, b);
      if (typeof due === "string") return due;
      this.put(key, old, due, this.entry(key)!.encoding);
      return bulk(old);
    }
    if (name === "set") return this.set(args);
    throw new Error(`the model lacks ${name}`);
  }

  /** Options come in a fixed order here: condition, get, expiry. */
  private set(args: readonly string[]): string {
    const [, key, value, ...options] = args as [string, string, string, ...string[]];
    const old = this.entry(key);
    const expiry = options.findIndex((option) => /^(ex|px)/.test(option));
    let due: number | string = expiry < 0 ? 0 : this.due("set", options[expiry]!, options[expiry + 1]!);
    if (typeof due === "string") return due;
    if (options.includes("keepttl")) due = old?.deadline ?? 0;
    const refused = options.includes("nx") ? old !== undefined : options.includes("xx") && old === undefined;
    if (!refused) this.put(key, value, due);
    if (options.includes("get")) return bulk(old?.value);
    return refused ? NIL : OK;
  }
}

test("strings: every command answers as a Map would, after any history of commands and waiting", () => {
  const next = random("strings");
  const engine = new Engine(stringCommands);
  const model = new Model();
  const pick = <Value>(from: readonly Value[]): Value => from[Math.floor(next() * from.length)]!;
  const keys = ["a", "b", "c", "counter", "k".repeat(300)];
  const key = () => pick(keys);
  const integers = [
    "0",
    "1",
    "-1",
    "7",
    "99",
    "-100",
    "9007199254740991",
    "9007199254740992",
    "-9007199254740993",
  ];
  integers.push(
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-0",
    "+1",
    "01",
    "",
    " 1",
  );
  const value = () => {
    const kind = next();
    if (kind < 0.4) return pick(integers);
    if (kind < 0.5) return String(Math.floor((next() - 0.5) * 10 ** Math.floor(next() * 16)));
    if (kind < 0.6) return "v".repeat(245 + Math.floor(next() * 20));
    if (kind < 0.61) return "w".repeat(Math.floor(next() * 100_000));
    return "\xff\0\r\nxyz".repeat(4).slice(0, Math.floor(next() * 24));
  };
  const when = () => {
    const unit = pick(["ex", "px", "exat", "pxat"]);
    if (next() < 0.2) return [unit, pick(["0", "-1", "x", "9223372036854775807", "9223372036854776"])];
    const ms = Math.floor(next() * 5_000) - (unit.endsWith("at") ? 1_000 : -1);
    const at = unit.endsWith("at") ? model.nowMs + ms : ms;
    return [unit, String(unit.startsWith("ex") ? Math.ceil(at / 1000) : at)];
  };
  const index = () => String(Math.floor(next() * 40) - 20);
  const maybe = (chance: number, words: readonly string[]) => (next() < chance ? words : []);
  const pairs = () => Array.from({ length: 1 + Math.floor(next() * 3) }, () => [key(), value()]).flat();
  const commands: (() => string[])[] = [
    () => ["get", key()],
    () => ["set", key(), value()],
    () => [
      ...["set", key(), value(), ...maybe(0.6, [pick(["nx", "xx"])]), ...maybe(0.4, ["get"])],
      ...maybe(0.7, next() < 0.3 ? ["keepttl"] : when()),
    ],
    () => ["getset", key(), value()],
    () => ["getdel", key()],
    () => ["getex", key(), ...maybe(0.8, next() < 0.3 ? ["persist"] : when())],
    () => ["setex", key(), pick(["1", "5", "0", "x"]), value()],
    () => ["psetex", key(), pick(["1", "500", "-1", "x"]), value()],
    () => ["setnx", key(), value()],
    () => ["append", key(), value()],
    () => ["strlen", key()],
    () => ["setrange", key(), String(Math.floor(next() * 300)), value()],
    () => ["getrange", key(), index(), index()],
    () => ["incr", key()],
    () => ["decr", key()],
    () => ["set", "counter", pick(integers)],
    () => ["setrange", "counter", "0", "5"],
    () => ["incrby", next() < 0.5 ? "counter" : key(), pick(integers)],
    () => ["decrby", next() < 0.5 ? "counter" : key(), pick(integers)],
    () => ["mget", key(), key(), "absent", key()],
    () => ["mset", ...pairs()],
    () => ["msetnx", ...pairs()],
  ];
  for (let step = 0; step < 60_000; step++) {
    if (next() < 0.1) engine.clock.nowMs += Math.floor(next() * 1_000);
    model.nowMs = engine.clock.nowMs;
    const command = pick(commands)();
    const expected = model.run(command);
    const answer = engine.run(...command);
    if (answer !== expected) expect({ step, command, answer }).toEqual({ step, command, answer: expected });
    for (const name of step % 10 === 0 ? keys : []) {
      const entry = model.entry(name);
      const found = engine.call.shard.find(0, keyOf(engine, name)) !== 0;
      expect(found).toBe(entry !== undefined);
      if (!found) continue;
      const { shard } = engine.call;
      expect(shard.deadline()).toBe(Math.min(entry!.deadline, Number.MAX_SAFE_INTEGER));
      expect(shard.encoding()).toBe(entry!.encoding);
    }
    if (step % 10_000 === 0) engine.keyspace.check();
  }
  engine.keyspace.check();
});

/** The key as a lookup wants it; the arguments of the last command are gone afterwards. */
function keyOf(engine: Engine, name: string) {
  engine.run("strlen", name);
  return engine.call.key;
}

test("strings: a key of another type is refused where Redis refuses it, and after the same checks", () => {
  const engine = new Engine(stringCommands);
  engine.run("set", "list", "abc", "px", "5000");
  engine.run("set", "string", "abc");
  const { shard } = engine.call;
  shard.find(0, keyOf(engine, "list"));
  setKindAt(shard.region, shard.at, Type.List, 0);
  const refused = [
    ["get", "list"],
    ["getset", "list", "v"],
    ["getdel", "list"],
    ["getex", "list"],
    ["getex", "list", "ex", "0"],
    ["strlen", "list"],
    ["getrange", "list", "0", "1"],
    ["append", "list", "x"],
    ["setrange", "list", "0", ""],
    ["incr", "list"],
    ["incrbyfloat", "list", "x"],
    ["set", "list", "v", "get"],
    ["set", "list", "v", "nx", "get"],
  ];
  for (const command of refused) expect(engine.run(...command)).toBe(error(Errors.wrongType));
  expect(engine.run("incrby", "list", "x")).toBe(error(Errors.notAnInteger));
  expect(engine.run("getrange", "list", "x", "1")).toBe(error(Errors.notAnInteger));
  expect(engine.run("setrange", "list", "-1", "")).toBe(error(Errors.offsetOutOfRange));
  expect(engine.run("getex", "list", "keepttl")).toBe(error(Errors.syntax));
  expect(engine.run("lcs", "list", "string", "bad")).toBe(error(Errors.lcsTypes));
  expect(engine.run("lcs", "string", "string", "bad")).toBe(error(Errors.syntax));
  expect(engine.run("mget", "list", "string")).toBe(`*2\r\n${NIL}${bulk("abc")}`);
  expect(engine.run("setnx", "list", "v")).toBe(":0\r\n");
  expect(engine.run("set", "list", "v", "nx")).toBe(NIL);
  expect(engine.run("set", "list", "v", "keepttl")).toBe(OK);
  engine.clock.nowMs += 5_000;
  expect(engine.run("get", "list")).toBe(NIL);
});

test("strings: the options of SET may come in any order and case, and repeat, but not contradict", () => {
  const engine = new Engine(stringCommands);
  for (const options of [
    "nx xx",
    "xx nx",
    "ex 1 px 1",
    "ex 1 keepttl",
    "keepttl pxat 5",
    "ex",
    "persist",
    "nx get bad",
  ])
    expect(engine.run("set", "k", "v", ...options.split(" "))).toBe(error(Errors.syntax));
  for (const options of ["ex 1 px", "persist ex 1", "ex 1 persist", "get", "nx", "keepttl"])
    expect(engine.run("getex", "k", ...options.split(" "))).toBe(error(Errors.syntax));
  expect(engine.run("set", "k", "v", "EX", "5", "Nx", "GET", "ex", "9", "nx")).toBe(NIL);
  engine.clock.nowMs += 8_999;
  expect(engine.run("get", "k")).toBe(bulk("v"));
  engine.clock.nowMs += 1;
  expect(engine.run("get", "k")).toBe(NIL);
  expect(engine.run("mset", "a", "1", "b")).toBe(error("ERR wrong number of arguments for 'mset' command"));
  expect(engine.run("msetnx", "a", "1", "b")).toBe(
    error("ERR wrong number of arguments for 'msetnx' command"),
  );
});

test("strings: growing past proto-max-bulk-len is refused and changes nothing", () => {
  const engine = new Engine(stringCommands);
  engine.run("set", "k", "abc");
  const refusal = error(Errors.stringTooLong);
  for (const offset of ["536870910", "536870912", "9007199254740993", "9223372036854775807"])
    expect(engine.run("setrange", "k", offset, "xyz")).toBe(refusal);
  expect(engine.run("setrange", "absent", "536870910", "xyz")).toBe(refusal);
  engine.settings.set("proto-max-bulk-len", "1048576");
  expect(engine.run("setrange", "k", "1048575", "x")).toBe(":1048576\r\n");
  expect(engine.run("append", "k", "x")).toBe(refusal);
  expect(engine.run("strlen", "k")).toBe(":1048576\r\n");
  expect(engine.run("strlen", "absent")).toBe(":0\r\n");
});

test("strings: a write that memory refuses changes nothing and takes back what it had replied", () => {
  const engine = new Engine(stringCommands, 8 << 20, 1 << 20);
  const refusal = error(Errors.outOfMemory);
  const huge = "h".repeat(2 << 20);
  expect(engine.run("mset", "a", "one", "b", "two")).toBe(OK);
  expect(engine.run("set", "a", huge)).toBe(refusal);
  expect(engine.run("set", "a", huge, "get")).toBe(refusal);
  expect(engine.run("getset", "a", huge)).toBe(refusal);
  expect(engine.run("mset", "a", "three", "b", huge)).toBe(refusal);
  expect(engine.run("append", "a", huge)).toBe(refusal);
  expect(engine.run("setrange", "a", "2097152", "x")).toBe(refusal);
  expect(engine.run("setrange", "c", "2097152", "x")).toBe(refusal);
  expect(engine.run("msetnx", "c", "three", "d", huge)).toBe(refusal);
  expect(engine.run("mget", "a", "b", "c", "d")).toBe(`*4\r\n${bulk("one")}${bulk("two")}${NIL}${NIL}`);
  engine.keyspace.check();
});

test("integer: what Redis takes as int64 is taken, all else refused, and digits come back as they were", () => {
  const next = random("integer");
  const u8 = new Uint8Array(64);
  const edges = [
    "0",
    "-0",
    "",
    "-",
    "+1",
    "01",
    "-01",
    "1 ",
    " 1",
    "1a",
    "a1",
    "9".repeat(20),
    "9".repeat(64),
  ];
  for (const power of [31n, 32n, 53n, 63n])
    for (let offset = -2n; offset <= 2n; offset++)
      for (const sign of [1n, -1n]) edges.push(String(sign * (2n ** power + offset)));
  for (let digits = 1; digits <= 20; digits++)
    edges.push("9".repeat(digits), `-${"9".repeat(digits)}`, `1${"0".repeat(digits)}`);
  for (let i = 0; i < 20_000; i++) {
    const digits = Array.from({ length: Math.floor(next() * 21) }, () => Math.floor(next() * 10)).join("");
    edges.push(next() < 0.5 ? digits : `-${digits}`);
  }
  for (const text of edges) {
    for (let i = 0; i < text.length; i++) u8[i] = text.charCodeAt(i);
    const value = parseInteger(u8, 0, text.length);
    const expected = int64(text);
    if (expected === null) expect(value).toBeNaN();
    else {
      expect(parseBigInteger(u8, 0, text.length)).toBe(expected);
      const safe = Number.isSafeInteger(Number(expected));
      expect(value).toBe(safe ? Number(expected) : Number(expected) < 0 ? -Infinity : Infinity);
      if (!safe) continue;
      u8.fill(0);
      expect(integerBytes(value)).toBe(text.length);
      expect(writeInteger(u8, 0, value)).toBe(text.length);
      expect(Buffer.from(u8.slice(0, text.length)).toString("latin1")).toBe(text);
    }
  }
});

/** Measured with redis-server 7.0.15 on x86-64: value, increment, result. */
const sums: readonly (readonly [string, string, string])[] = [
  ["5", "0.1", "5.1"],
  ["5.1", "5e3", "5005.10000000000000009"],
  ["0.1", "0.2", "0.3"],
  ["1", "1e-18", "1"],
  ["0", "-0", "0"],
  ["0", "-1e-20", "0"],
  ["3.0", "1", "4"],
  ["-1.5", "0.25", "-1.25"],
  ["0", ".5", "0.5"],
  ["0", "5.", "5"],
  ["0", "+1E2", "100"],
  ["0", "1e22", "10000000000000000000000"],
];

test("float80: sums print as Redis prints them on x86-64", () => {
  for (const [value, delta, expected] of sums)
    expect(formatFloat80(addFloat80(parseFloat80(value)!, parseFloat80(delta)!))).toBe(expected);
  const long = formatFloat80(addFloat80(parseFloat80("0")!, parseFloat80("1e300")!));
  expect(long.length).toBe(301);
  expect(long.startsWith("1000000000000000000")).toBe(true);
});

test("float80: a mantissa has 64 bits, and ties go to even", () => {
  const two64 = 2n ** 64n;
  const printed = (text: string) => formatFloat80(parseFloat80(text)!);
  expect(printed(String(two64 - 1n))).toBe(String(two64 - 1n));
  expect(printed(String(two64 + 1n))).toBe(String(two64)); // halfway, even below
  expect(printed(String(two64 + 3n))).toBe(String(two64 + 4n)); // halfway, even above
  expect(printed(String(two64 * 2n - 1n))).toBe(String(two64 * 2n)); // carries into a new bit
  for (let shift = 0; shift < 200; shift++)
    expect(printed(String(2n ** BigInt(shift)))).toBe(String(2n ** BigInt(shift)));
});

test("float80: text that is no number is refused, and so is what a float64 cannot hold", () => {
  const refused = [
    "",
    " 1",
    "1 ",
    "nan",
    "0x10",
    "1e",
    "e5",
    ".",
    "-",
    "+",
    "1e400",
    "-1e400",
    "1e-400",
    "1,5",
    "1\0",
  ];
  refused.push("infinit", "1e5.5", "--1", "1".repeat(5120));
  for (const text of refused) expect(parseFloat80(text)).toBeNull();
  for (const text of ["inf", "-inf", "+Infinity", "INF"]) expect(isFinite80(parseFloat80(text)!)).toBe(false);
  expect(formatFloat80(parseFloat80("0e99999")!)).toBe("0");
  const most = parseFloat80("1.7976931348623157e308")!;
  expect(isFinite80(addFloat80(most, most))).toBe(false);
  const engine = new Engine(stringCommands);
  expect(engine.run("incrbyfloat", "k", "inf")).toBe(error(Errors.nanOrInfinity));
  expect(engine.run("incrbyfloat", "k", "nan")).toBe(error(Errors.notAFloat));
  expect(engine.run("get", "k")).toBe(NIL);
  engine.session.resp3 = true;
  expect(engine.run("incrbyfloat", "k", "10.50")).toBe(bulk("10.5"));
});

/** Redis's own walk over a full table, as plainly as it can be said. */
function slowLcs(a: string, b: string, least: number) {
  const table = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  for (let i = 1; i <= a.length; i++)
    for (let j = 1; j <= b.length; j++)
      table[i]![j] =
        a[i - 1] === b[j - 1] ? table[i - 1]![j - 1]! + 1 : Math.max(table[i - 1]![j]!, table[i]![j - 1]!);
  let text = "";
  const runs: [number, number, number, number][] = [];
  let i = a.length;
  let j = b.length;
  let open = false;
  while (i > 0 && j > 0) {
    if (a[i - 1] === b[j - 1]) {
      text = a[i - 1] + text;
      i--;
      j--;
      if (open) [runs.at(-1)![0], runs.at(-1)![2]] = [i, j];
      else runs.push([i, i, j, j]);
      open = true;
    } else {
      open = false;
      if (table[i - 1]![j]! > table[i]![j - 1]!) i--;
      else j--;
    }
  }
  return {
    length: table[a.length]![b.length]!,
    text,
    runs: runs.filter((run) => run[1] - run[0] + 1 >= least),
  };
}

test("lcs: length, bytes and ranges are those of the full table", () => {
  const next = random("lcs");
  const word = () =>
    Array.from({ length: Math.floor(next() * 30) }, () => "abcd"[Math.floor(next() * 4)]).join("");
  for (let round = 0; round < 3_000; round++) {
    const [a, b, least] = [word(), word(), Math.floor(next() * 4)];
    const expected = slowLcs(a, b, least);
    const lcs = new Lcs(Buffer.from(`..${a}`), 2, a.length, Buffer.from(`.${b}.`), 1, b.length, true);
    expect(lcs.length).toBe(expected.length);
    expect(Buffer.from(lcs.bytes()).toString()).toBe(expected.text);
    expect(lcs.matches(least).map((m) => [m.aStart, m.aEnd, m.bStart, m.bEnd])).toEqual(expected.runs);
  }
});

test("lcs: the replies of each form, and the limit by the size of Redis's table", () => {
  const engine = new Engine(stringCommands);
  engine.run("mset", "a", "ohmytext", "b", "mynewtext");
  expect(engine.run("lcs", "a", "b")).toBe(bulk("mytext"));
  expect(engine.run("lcs", "a", "b", "LEN")).toBe(":6\r\n");
  expect(engine.run("lcs", "a", "absent")).toBe(bulk(""));
  expect(engine.run("lcs", "a", "b", "len", "idx")).toBe(error(Errors.lcsBoth));
  const pair = (from: number, to: number) => `*2\r\n:${from}\r\n:${to}\r\n`;
  const matches = `*1\r\n*3\r\n${pair(4, 7)}${pair(5, 8)}:4\r\n`;
  const indexed = `${bulk("matches")}${matches}${bulk("len")}:6\r\n`;
  expect(engine.run("lcs", "a", "b", "idx", "minmatchlen", "4", "withmatchlen")).toBe(`*4\r\n${indexed}`);
  engine.session.resp3 = true;
  expect(engine.run("lcs", "a", "b", "idx", "minmatchlen", "4", "withmatchlen")).toBe(`%2\r\n${indexed}`);
  engine.settings.set("proto-max-bulk-len", "1048576");
  engine.run("mset", "a", "x".repeat(511), "b", "x".repeat(512));
  expect(engine.run("lcs", "a", "b", "len")).toBe(error(Errors.lcsMemory));
  expect(engine.run("lcs", "a", "a", "len")).toBe(":511\r\n");
});
