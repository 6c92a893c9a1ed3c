import { expect, test } from "bun:test";
import { hyperloglogCommands } from "../../engine/commands/hyperloglog.ts";
import { stringCommands } from "../../engine/commands/strings.ts";
import { setKindAt, Type } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { locate, rank, register, selfTest } from "../../engine/types/hyperloglog.ts";
import { Errors } from "../../protocol/errors.ts";
import { Engine } from "../support/engine.ts";
import { random } from "../support/random.ts";

const rows = [...stringCommands, ...hyperloglogCommands];
const REGISTERS = 16384;
const error = (text: string) => `-${text}\r\n`;

function engineWith(mostBytes: string, segmentBytes?: number): Engine {
  const engine = new Engine(rows, 8 << 20, segmentBytes);
  engine.settings.set("hll-sparse-max-bytes", mostBytes);
  return engine;
}

/** MurmurHash64A as it is defined, in 64-bit arithmetic. */
function murmur(bytes: Uint8Array): bigint {
  const m = 0xc6a4a7935bd1e995n;
  const cut = (n: bigint) => BigInt.asUintN(64, n);
  let hash = cut(0xadc83b19n ^ (BigInt(bytes.length) * m));
  let at = 0;
  for (; at + 8 <= bytes.length; at += 8) {
    let word = 0n;
    for (let i = 7; i >= 0; i--) word = (word << 8n) | BigInt(bytes[at + i]!);
    word = cut(word * m);
    word ^= word >> 47n;
    word = cut(word * m);
    hash = cut((hash ^ word) * m);
  }
  if (at < bytes.length) {
    for (let i = bytes.length - 1; i >= at; i--) hash ^= BigInt(bytes[i]!) << BigInt((i - at) * 8);
    hash = cut(hash * m);
  }
  hash ^= hash >> 47n;
  hash = cut(hash * m);
  return hash ^ (hash >> 47n);
}

function place(bytes: Uint8Array): [number, number] {
  const hash = murmur(bytes);
  const rest = (hash >> 14n) | (1n << 50n);
  let zeros = 0;
  while (((rest >> BigInt(zeros)) & 1n) === 0n) zeros++;
  return [Number(hash & 0x3fffn), zeros + 1];
}

/** The registers of a string; throws when it is not exactly one. */
function registersOf(value: string): Uint8Array {
  const bytes = Buffer.from(value, "latin1");
  const registers = new Uint8Array(REGISTERS);
  expect(value.slice(0, 4)).toBe("HYLL");
  if (bytes[4] === 0) {
    expect(bytes.length).toBe(12304);
    for (let i = 0; i < REGISTERS; i++) {
      const bit = i * 6;
      const two = bytes[16 + (bit >> 3)]! | ((bytes[17 + (bit >> 3)] ?? 0) << 8);
      registers[i] = (two >> (bit & 7)) & 63;
    }
    return registers;
  }
  expect(bytes[4]).toBe(1);
  let i = 0;
  for (let at = 16; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte < 64) i += byte + 1;
    else if (byte < 128) i += (((byte & 63) << 8) | bytes[++at]!) + 1;
    else for (let run = (byte & 3) + 1; run > 0; run--) registers[i++] = ((byte >> 2) & 31) + 1;
  }
  expect(i).toBe(REGISTERS);
  return registers;
}

/** Each register's greatest value. */
function unionOf(all: readonly (Uint8Array | undefined)[]): Uint8Array {
  const union = new Uint8Array(REGISTERS);
  for (const registers of all)
    for (let i = 0; i < REGISTERS && registers !== undefined; i++)
      if (registers[i]! > union[i]!) union[i] = registers[i]!;
  return union;
}

/** Ertl's estimate from registers, sums written out. */
function estimate(registers: Uint8Array): number {
  const counts = new Array<number>(64).fill(0);
  for (const value of registers) counts[value]!++;
  let sum = 0;
  for (let k = 1; k <= 50; k++) sum += counts[k]! * 2 ** -k;
  const x = counts[0]! / REGISTERS;
  let sigma = x;
  if (x < 1) for (let k = 1; k < 60; k++) sigma += x ** (2 ** k) * 2 ** (k - 1);
  else sigma = Number.POSITIVE_INFINITY;
  return Math.round((0.7213475204444817 * REGISTERS * REGISTERS) / (sum + REGISTERS * sigma));
}

const sameRegisters = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;
const textOf = (reply: string) => reply.slice(reply.indexOf("\r\n") + 2, -2);

test("hyperloglog: an element's register and rank are those of the defined hash", () => {
  const next = random("hyperloglog hash");
  const region = need(Region.private(4096), "elements");
  for (let round = 0; round < 20_000; round++) {
    const start = Math.floor(next() * 16);
    const bytes = Math.floor(next() * 40);
    for (let i = 0; i < bytes; i++) region.u8[start + i] = next() < 0.2 ? 255 : Math.floor(next() * 256);
    locate(region, start, bytes);
    expect([register, rank]).toEqual(place(region.u8.slice(start, start + bytes)));
  }
  for (const [element, expected] of [
    ["a", [12711, 2]],
    ["b", [15780, 1]],
    ["c", [8436, 1]],
  ] as const) {
    region.u8.set(Buffer.from(element));
    locate(region, 0, element.length);
    expect([register, rank]).toEqual([...expected]);
  }
});

for (const most of ["3000", "200", "0", "20000"])
  test(`hyperloglog: 25,000 commands give the answers of plain registers, hll-sparse-max-bytes ${most}`, () => {
    const next = random(`hyperloglog ${most}`);
    const engine = engineWith(most);
    const model = new Map<string, Uint8Array>();
    const pick = <T>(choices: readonly T[]): T => choices[Math.floor(next() * choices.length)]!;
    const keys = ["a", "b", "c", "d"];
    let dense = 0;
    for (let count = 0; count < 25_000; count++) {
      const kind = next();
      let command: string[];
      let expected: string;
      if (kind < 0.8) {
        const key = pick(keys);
        const elements = Array.from({ length: Math.floor(next() * 6) }, () =>
          next() < 0.5 ? String(Math.floor(next() * 1e9)) : `element ${Math.floor(next() * 500)}`,
        );
        command = ["pfadd", key, ...elements];
        let changed = !model.has(key);
        const registers = model.get(key) ?? new Uint8Array(REGISTERS);
        for (const element of elements) {
          const [at, value] = place(Buffer.from(element));
          if (value <= registers[at]!) continue;
          registers[at] = value;
          changed = true;
        }
        model.set(key, registers);
        expected = changed ? ":1\r\n" : ":0\r\n";
      } else if (kind < 0.93) {
        const chosen = Array.from({ length: next() < 0.7 ? 1 : 3 }, () => pick(keys));
        command = ["pfcount", ...chosen];
        const union = unionOf(chosen.map((key) => model.get(key)));
        expected = `:${estimate(union)}\r\n`;
      } else if (kind < 0.98) {
        const chosen = [pick(keys), pick(keys), pick(keys)];
        command = ["pfmerge", ...chosen];
        const union = unionOf(chosen.map((key) => model.get(key)));
        model.set(chosen[0]!, union);
        expected = "+OK\r\n";
      } else {
        const key = pick(keys);
        command = ["getdel", key];
        const value = engine.run("get", key);
        if (model.has(key)) expect(sameRegisters(registersOf(textOf(value)), model.get(key)!)).toBe(true);
        model.delete(key);
        expected = value;
      }
      const answer = engine.run(...command);
      if (answer !== expected)
        expect({ count, command, answer }).toEqual({ count, command, answer: expected });
      if (count % 500 !== 0) continue;
      for (const key of model.keys()) {
        const value = textOf(engine.run("get", key));
        expect(sameRegisters(registersOf(value), model.get(key)!)).toBe(true);
        if (value[4] === "\x00") dense++;
        else expect(value.length).toBeLessThanOrEqual(Math.max(18, Number(most)));
      }
      engine.keyspace.check();
    }
    // A sparse string of 16384 registers has at most 16400 bytes.
    expect(dense > 0).toBe(Number(most) < 16_400);
  }, 60_000);

test("hyperloglog: damaged strings give answers or errors, never anything else", () => {
  const next = random("hyperloglog damage");
  const engine = engineWith("3000", 4 << 20);
  const below = (limit: number) => Math.floor(next() * limit);
  const good: string[] = [];
  for (const count of [0, 1, 5, 60, 600, 4000]) {
    for (let i = 0; i < count; i += 100)
      engine.run(
        "pfadd",
        "good",
        ...Array.from({ length: Math.min(100, count - i) }, (_, j) => `${count}:${i + j}`),
      );
    engine.run("pfadd", "good");
    good.push(textOf(engine.run("getdel", "good")));
  }
  const damage = (value: string): string => {
    const bytes = [...Buffer.from(value, "latin1")];
    for (let n = 1 + below(4); n > 0; n--) {
      const at = next() < 0.7 ? Math.min(bytes.length, 16 + below(40)) : below(bytes.length + 1);
      const kind = next();
      if (kind < 0.4) bytes[at] = below(256);
      else if (kind < 0.6) bytes.splice(at, 1 + below(20));
      else if (kind < 0.8) bytes.splice(at, 0, ...Array.from({ length: below(20) }, () => below(256)));
      else if (kind < 0.9) bytes.length = at;
      else bytes.push(...bytes.slice(at, at + below(3000)));
    }
    return Buffer.from(bytes.map((byte) => byte ?? 0)).toString("latin1");
  };
  const answers = new RegExp(
    `^(:-?\\d+|\\+OK|\\+dense|\\+sparse|\\$\\d+\\r\\n[vzZ:,\\d ]*|\\*16384(\\r\\n:\\d+)+|-(${[Errors.notHyperLogLog, Errors.corruptHyperLogLog, Errors.notSparse].join("|")}))\\r\\n$`,
  );
  const seen = new Set<string>();
  for (let round = 0; round < 4_000; round++) {
    engine.run("set", "bad", damage(good[below(good.length)]!));
    for (const command of [
      ["pfdebug", "encoding", "bad"],
      ["pfdebug", "decode", "bad"],
      ["pfcount", "bad"],
      ["pfadd", "bad", String(round), `x${round}`, `y${round}`],
      ["pfcount", "bad", "other"],
      ["pfmerge", "other", "bad"],
      ["pfmerge", "bad", "other"],
      ["pfdebug", round % 50 === 0 ? "getreg" : "todense", "bad"],
      ["pfadd", "bad", `z${round}`],
      ["pfcount", "bad"],
    ]) {
      const answer = engine.run(...command);
      if (!answers.test(answer)) expect({ command, answer }).toEqual({ command, answer: "one of the known" });
      seen.add(answer.slice(0, 8));
    }
    if (round % 100 === 0) engine.run("getdel", "other");
    if (round % 500 === 0) engine.keyspace.check();
  }
  for (const kind of ["-WRONGTY", "-INVALID", "+OK\r\n", "+dense\r\n", "*16384\r\n"])
    expect(seen).toContain(kind);
  engine.keyspace.check();
});

test("hyperloglog: a string far too long to be sparse is corrupt to every command", () => {
  const engine = engineWith("3000");
  const long = `HYLL\x01${"\x00".repeat(10)}\x80${"\x7f\xff".repeat(500_000)}`;
  const refusal = error(Errors.corruptHyperLogLog);
  engine.run("set", "long", long);
  for (const command of ["pfadd long x", "pfcount long", "pfcount long x", "pfmerge long", "pfmerge d long"])
    expect(engine.run(...command.split(" "))).toBe(refusal);
  for (const command of ["decode", "todense", "getreg"])
    expect(engine.run("pfdebug", command, "long")).toBe(refusal);
  expect(textOf(engine.run("get", "long")) === long).toBe(true);
  expect(engine.run("get", "d")).toBe("$-1\r\n");
});

test("hyperloglog: another type is refused, and a change that memory refuses is none", () => {
  const engine = engineWith("3000", 1 << 20);
  engine.run("set", "list", "abc");
  engine.run("strlen", "list");
  const { key, shard } = engine.call;
  shard.find(0, key);
  setKindAt(shard.region, shard.at, Type.List, 0);
  for (const command of ["pfadd list", "pfcount list", "pfcount x list", "pfmerge list", "pfmerge d list"])
    expect(engine.run(...command.split(" "))).toBe(error(Errors.wrongType));
  expect(engine.run("pfdebug", "encoding", "list")).toBe(error(Errors.wrongType));
  engine.run("getdel", "list");

  const elements = (count: number) => Array.from({ length: count }, (_, i) => `e${i}`);
  engine.run("pfadd", "small", ...elements(10));
  engine.run("pfadd", "dense", ...elements(3000));
  const small = engine.run("get", "small");
  for (const bytes of [
    700_000, 30_000, 12_304, 12_000, 5_000, 3_000, 2_000, 1_000, 500, 200, 100, 60, 40, 30, 20,
  ]) {
    let stored = 0;
    while (engine.run("set", `fill ${bytes} ${stored}`, "x".repeat(bytes)) === "+OK\r\n") stored++;
  }
  const refusal = error(Errors.outOfMemory);
  expect(engine.run("pfadd", "small", ...elements(3000))).toBe(refusal);
  expect(engine.run("pfmerge", "small", "dense")).toBe(refusal);
  expect(engine.run("pfdebug", "todense", "small")).toBe(refusal);
  expect(engine.run("pfmerge", "absent", "dense")).toBe(refusal);
  expect(engine.run("get", "small")).toBe(small);
  expect(engine.run("get", "absent")).toBe("$-1\r\n");
  expect(engine.run("pfadd", "dense", "more", "and more")).toBe(":1\r\n");
  engine.keyspace.check();
});

test("hyperloglog: the self-test passes", () => {
  expect(selfTest(100_000, random("hyperloglog self-test"))).toBeNull();
  expect(engineWith("3000").run("pfselftest")).toBe("+OK\r\n");
});
