import { expect, test } from "bun:test";
import { bitmapCommands } from "../../engine/commands/bitmaps.ts";
import { stringCommands } from "../../engine/commands/strings.ts";
import { Encoding, setKindAt, Type } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { countBitRange, countBits, findBit } from "../../engine/types/bits.ts";
import { bitopSources, Errors } from "../../protocol/errors.ts";
import { Engine } from "../support/engine.ts";
import { random } from "../support/random.ts";

const rows = [...stringCommands, ...bitmapCommands];
const NIL = "$-1\r\n";
const integer = (value: number | bigint) => `:${value}\r\n`;
const bulk = (value: string) => `$${value.length}\r\n${value}\r\n`;
const error = (text: string) => `-${text}\r\n`;

/** Strings as text of zeros and ones. */
const bitsOf = (value: string) =>
  [...value].map((char) => char.charCodeAt(0).toString(2).padStart(8, "0")).join("");
const bytesOf = (bits: string) =>
  (bits.match(/.{8}/g) ?? []).map((byte) => String.fromCharCode(parseInt(byte, 2))).join("");

/** The commands again, over a Map from keys to text of zeros and ones. */
class Model {
  readonly bits = new Map<string, string>();

  /** The string, made long enough to hold bits up to `end`. */
  grown(key: string, end: number): string {
    const bits = (this.bits.get(key) ?? "").padEnd(Math.ceil(end / 8) * 8, "0");
    this.bits.set(key, bits);
    return bits;
  }

  put(key: string, offset: number, field: string): void {
    const bits = this.grown(key, offset + field.length);
    this.bits.set(key, bits.slice(0, offset) + field + bits.slice(offset + field.length));
  }

  /** The part that start .. end cut out, and where it begins. */
  cut(bits: string, start: string, end: string, inBits: boolean): { part: string; from: number } {
    const unit = inBits ? 1 : 8;
    const units = bits.length / unit;
    const at = (index: string) => Math.max(0, Number(index) < 0 ? units + Number(index) : Number(index));
    return { part: bits.slice(at(start) * unit, (at(end) + 1) * unit), from: at(start) * unit };
  }

  bitop(operation: string, keys: readonly string[]): string {
    const all = keys.map((key) => this.bits.get(key) ?? "");
    const length = Math.max(...all.map((bits) => bits.length));
    let result = "";
    for (let i = 0; i < length; i++) {
      const [first, ...others] = all.map((bits) => bits[i] === "1") as [boolean, ...boolean[]];
      const any = others.includes(true);
      const ones = Number(first) + others.filter((bit) => bit).length;
      const bit = {
        and: first && !others.includes(false),
        or: first || any,
        xor: ones % 2 === 1,
        not: !first,
        diff: first && !any,
        diff1: !first && any,
        andor: first && any,
        one: ones === 1,
      }[operation]!;
      result += bit ? "1" : "0";
    }
    return result;
  }

  field(key: string, steps: readonly string[]): string {
    let overflow = "wrap";
    const replies: string[] = [];
    let reach = 0;
    const plan: { step: string; overflow: string; type: string; offset: number; value: bigint }[] = [];
    for (let i = 0; i < steps.length; ) {
      if (steps[i] === "overflow") {
        overflow = steps[i + 1]!;
        i += 2;
        continue;
      }
      const [step, type, at, value] = steps.slice(i) as [string, string, string, string];
      const width = Number(type.slice(1));
      const offset = at.startsWith("#") ? Number(at.slice(1)) * width : Number(at);
      if (step !== "get") reach = Math.max(reach, offset + width);
      plan.push({ step, overflow, type, offset, value: step === "get" ? 0n : BigInt(value) });
      i += step === "get" ? 3 : 4;
    }
    if (reach > 0) this.grown(key, reach);
    for (const { step, overflow, type, offset, value } of plan) {
      const width = Number(type.slice(1));
      const size = 1n << BigInt(width);
      const [least, most] = type[0] === "i" ? [-size / 2n, size / 2n - 1n] : [0n, size - 1n];
      const text = (this.bits.get(key) ?? "").slice(offset).padEnd(width, "0").slice(0, width);
      const raw = BigInt(`0b${text}`);
      const old = raw > most ? raw - size : raw;
      if (step === "get") {
        replies.push(integer(old));
        continue;
      }
      let next = step === "set" ? value : old + value;
      if (next < least || next > most) {
        if (overflow === "fail") {
          replies.push(NIL);
          continue;
        }
        const above = next > most || (step === "set" && (type[0] === "u" || most - next >= 1n << 63n));
        if (overflow === "sat") next = above ? most : least;
        else next = type[0] === "i" ? BigInt.asIntN(width, next) : BigInt.asUintN(width, next);
      }
      this.put(key, offset, BigInt.asUintN(width, next).toString(2).padStart(width, "0"));
      replies.push(integer(step === "set" ? old : next));
    }
    return `*${replies.length}\r\n${replies.join("")}`;
  }

  run(args: readonly string[]): string {
    const [name, key, a, b, c] = args as [string, string, string, string, string];
    const bits = this.bits.get(key);
    if (name === "get") return bits === undefined ? NIL : bulk(bytesOf(bits));
    if (name === "set") {
      this.bits.set(key, bitsOf(a));
      return "+OK\r\n";
    }
    if (name === "getdel") {
      this.bits.delete(key);
      return bits === undefined ? NIL : bulk(bytesOf(bits));
    }
    if (name === "getbit") return integer(Number(bits?.[Number(a)] ?? 0));
    if (name === "setbit") {
      const old = bits?.[Number(a)] ?? "0";
      this.put(key, Number(a), b);
      return integer(Number(old));
    }
    if (name === "bitcount") {
      if (bits === undefined) return integer(0);
      if (Number(a) < 0 && Number(b) < 0 && Number(a) > Number(b)) return integer(0);
      const { part } = this.cut(bits, a ?? "0", b ?? "-1", c === "bit");
      return integer(part.replaceAll("0", "").length);
    }
    if (name === "bitpos") {
      if (bits === undefined) return integer(a === "1" ? -1 : 0);
      const { part, from } = this.cut(bits, b ?? "0", c ?? "-1", args[5] === "bit");
      const at = part.indexOf(a);
      if (at < 0 && a === "0" && c === undefined && part !== "") return integer(bits.length);
      return integer(at < 0 ? -1 : from + at);
    }
    if (name === "bitop") {
      const result = this.bitop(key, args.slice(3));
      if (result === "") this.bits.delete(a);
      else this.bits.set(a, result);
      return integer(result.length / 8);
    }
    return this.field(key, args.slice(2));
  }
}

test("bits: 100,000 commands give the answers of a plain model", () => {
  const next = random("bits");
  const engine = new Engine(rows);
  const model = new Model();
  const pick = <T>(choices: readonly T[]): T => choices[Math.floor(next() * choices.length)]!;
  const below = (limit: number) => Math.floor(next() * limit);
  const keys = ["a", "bb", "ccc", "k".repeat(300), "e"];
  const key = () => pick(keys);
  const value = () => {
    const kind = next();
    const length = kind < 0.1 ? 0 : kind < 0.8 ? below(40) : below(300);
    const fill = pick([0, 255, -1]);
    return Array.from({ length }, () =>
      String.fromCharCode(fill < 0 || next() < 0.05 ? below(256) : fill),
    ).join("");
  };
  const index = () => String(below(60) - 25);
  const bitIndex = () => String(below(700) - 300);
  const offset = () => String(next() < 0.02 ? below(4_000) : below(300));
  const edges = [0n, 1n, -1n, 2n ** 31n, 2n ** 52n, -(2n ** 52n), 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)];
  const step = (): string[] => {
    const width = 1 + below(64);
    const type = `${width === 64 || next() < 0.5 ? "i" : "u"}${width}`;
    const at = next() < 0.3 ? `#${below(6)}` : String(below(250));
    const size = 1n << BigInt(width - 1);
    const around = pick([...edges, size, size - 1n, -size, size / 2n]) + BigInt(below(3) - 1);
    const number = String(BigInt.asIntN(64, around));
    const kind = next();
    if (kind < 0.3) return ["get", type, at];
    if (kind < 0.45) return ["overflow", pick(["wrap", "sat", "fail"])];
    return [pick(["set", "incrby"]), type, at, number];
  };
  const steps = () => Array.from({ length: 1 + below(4) }, step).flat();
  const operation = () => pick(["and", "or", "xor", "diff", "diff1", "andor", "one"]);
  const several = (least: number) =>
    Array.from({ length: least + below(3) }, () => pick([...keys, "absent"]));
  const commands: readonly (() => string[])[] = [
    () => ["set", key(), value()],
    () => ["setbit", key(), offset(), pick(["0", "1"])],
    () => ["setbit", key(), offset(), pick(["0", "1"])],
    () => ["getbit", key(), offset()],
    () => ["bitcount", key()],
    () => ["bitcount", key(), index(), index()],
    () => ["bitcount", key(), bitIndex(), bitIndex(), "bit"],
    () => ["bitpos", key(), pick(["0", "1"])],
    () => ["bitpos", key(), pick(["0", "1"]), index()],
    () => ["bitpos", key(), pick(["0", "1"]), index(), index()],
    () => ["bitpos", key(), pick(["0", "1"]), bitIndex(), bitIndex(), "bit"],
    () => ["bitop", operation(), key(), ...several(2)],
    () => ["bitop", "not", key(), pick([...keys, "absent"])],
    () => ["bitfield", key(), ...steps()],
    () => ["bitfield", key(), ...steps()],
    () => ["bitfield_ro", key(), "get", `u${1 + below(63)}`, offset(), "get", `i${1 + below(64)}`, offset()],
    () => ["getdel", key()],
    () => ["get", key()],
  ];
  for (let count = 0; count < 100_000; count++) {
    const command = pick(commands)();
    const expected = model.run(command);
    const answer = engine.run(...command);
    if (answer !== expected) expect({ count, command, answer }).toEqual({ count, command, answer: expected });
    const key = command[0] === "bitop" ? command[2]! : command[1]!;
    const value = engine.run("get", key);
    if (value !== model.run(["get", key]))
      expect({ count, command, value }).toEqual({ count, command, value: model.run(["get", key]) });
    if (count % 10_000 === 0) engine.keyspace.check();
  }
  engine.keyspace.check();
});

test("bits: counting and searching at every alignment", () => {
  const next = random("bits alignment");
  const region = need(Region.private(8192), "bits");
  for (let round = 0; round < 2_000; round++) {
    const fill = round % 3 === 0 ? 0 : round % 3 === 1 ? 255 : -1;
    for (let i = 0; i < 600; i++) region.u8[i] = fill < 0 || next() < 0.003 ? Math.floor(next() * 256) : fill;
    const start = Math.floor(next() * 40);
    const bytes = 1 + Math.floor(next() * (next() < 0.5 ? 12 : 500));
    const text = bitsOf(Buffer.from(region.u8.slice(start, start + bytes)).toString("latin1"));
    expect(countBits(region, start, bytes)).toBe(text.replaceAll("0", "").length);
    const first = Math.floor(next() * bytes * 8);
    const last = first + Math.floor(next() * (bytes * 8 - first));
    const part = text.slice(first, last + 1);
    expect(countBitRange(region, start, first, last)).toBe(part.replaceAll("0", "").length);
    for (const bit of [0, 1]) {
      const at = part.indexOf(String(bit));
      expect(findBit(region, start, first, last, bit)).toBe(at < 0 ? -1 : first + at);
    }
  }
  expect(countBits(region, 5, 0)).toBe(0);
  expect(() => countBits(region, 8000, 200)).toThrow(RangeError);
  expect(() => findBit(region, 8000, 0, 1_600, 1)).toThrow(RangeError);
});

test("bits: a key of another type is refused where Redis refuses it", () => {
  const engine = new Engine(rows);
  engine.run("set", "string", "abc");
  engine.run("set", "list", "abc");
  engine.run("strlen", "list");
  const { key, shard } = engine.call;
  shard.find(0, key);
  setKindAt(shard.region, shard.at, Type.List, 0);
  for (const command of [
    "setbit list 0 1",
    "getbit list 0",
    "bitcount list",
    "bitcount list x y",
    "bitpos list 1",
    "bitpos list 1 x",
    "bitop or d list",
    "bitop or d string absent list",
    "bitop not d list",
    "bitfield list get u8 0",
    "bitfield list set u8 0 1",
    "bitfield_ro list get u8 0",
  ])
    expect(engine.run(...command.split(" "))).toBe(error(Errors.wrongType));
  expect(engine.run("setbit", "list", "x", "1")).toBe(error(Errors.bitOffset));
  expect(engine.run("setbit", "list", "0", "2")).toBe(error(Errors.bitNotAnInteger));
  expect(engine.run("bitpos", "list", "2")).toBe(error(Errors.bitArgument));
  expect(engine.run("bitop", "diff", "d", "list")).toBe(error(bitopSources("diff")));
  expect(engine.run("bitop", "nosuch", "d", "list")).toBe(error(Errors.syntax));
  expect(engine.run("bitfield", "list", "get", "u64", "0")).toBe(error(Errors.fieldType));
  expect(engine.run("bitfield_ro", "list", "set", "u8", "0", "1")).toBe(error(Errors.fieldReadOnly));
  // As a destination it is replaced.
  expect(engine.run("bitop", "or", "list", "string")).toBe(":3\r\n");
  expect(engine.run("get", "list")).toBe(bulk("abc"));
});

test("bits: what memory refuses changes nothing", () => {
  const engine = new Engine(rows, 8 << 20, 1 << 20);
  const refusal = error(Errors.outOfMemory);
  engine.settings.set("proto-max-bulk-len", String(2 ** 40));
  engine.run("set", "k", "12");
  for (const offset of ["16777216", "8796093022207"]) {
    expect(engine.run("setbit", "k", offset, "1")).toBe(refusal);
    expect(engine.run("setbit", "absent", offset, "1")).toBe(refusal);
    expect(engine.run("bitfield", "k", "set", "u8", offset, "1")).toBe(refusal);
    expect(engine.run("bitfield", "absent", "get", "u8", offset, "incrby", "u8", offset, "1")).toBe(refusal);
    expect(engine.run("getbit", "k", offset)).toBe(":0\r\n");
  }
  expect(engine.run("setbit", "k", "8796093022208", "1")).toBe(error(Errors.bitOffset));
  expect(engine.run("get", "absent")).toBe(NIL);
  expect(engine.run("get", "k")).toBe(bulk("12"));
  expect(engine.call.shard.encoding()).toBe(Encoding.Integer);

  // Memory full but for room for one more: enough to build a result, not enough to store it.
  const large = "x".repeat(700_000);
  let stored = 0;
  while (engine.run("set", `fill${stored}`, large) === "+OK\r\n") stored++;
  expect(stored).toBeGreaterThan(4);
  expect(engine.run("bitop", "xor", "d", "fill0", "fill1")).toBe(refusal);
  engine.run("getdel", "fill2");
  expect(engine.run("bitop", "xor", "d", "fill0", "fill1")).toBe(refusal);
  expect(engine.run("get", "d")).toBe(NIL);
  expect(engine.run("bitop", "not", "fill0", "fill1")).toBe(":700000\r\n");
  expect(engine.run("bitcount", "fill0")).toBe(integer(700_000 * 4));
  expect(engine.run("getrange", "fill0", "699998", "-1")).toBe(bulk("\x87\x87"));
  engine.keyspace.check();
});
