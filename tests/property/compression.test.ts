// compression.test.ts: that compression changes what memory holds and nothing else: codecs give back what they took,
// stored forms from anywhere are an error or a string and never a wild write, and any program of commands gives the same
// answers whether everything is compressed between its steps or nothing is.
import { expect, test } from "bun:test";
import { atomicCommands } from "../../engine/commands/atomics.ts";
import { bitmapCommands } from "../../engine/commands/bitmaps.ts";
import { dumpCommands } from "../../engine/commands/dump.ts";
import { expiryCommands } from "../../engine/commands/expiry.ts";
import { hashCommands } from "../../engine/commands/hashes.ts";
import { hyperloglogCommands } from "../../engine/commands/hyperloglog.ts";
import { keyspaceCommands } from "../../engine/commands/keyspace.ts";
import { listCommands } from "../../engine/commands/lists.ts";
import { setCommands } from "../../engine/commands/sets.ts";
import { sortCommands } from "../../engine/commands/sort.ts";
import { stringCommands } from "../../engine/commands/strings.ts";
import { Codec, CodecId, StoredError, zstdAvailable } from "../../engine/compress/codec.ts";
import { chooseContent } from "../../engine/compress/cover.ts";
import { Dictionaries, Of, Row, State } from "../../engine/compress/dictionaries.ts";
import { COMPRESSED } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { DATABASES } from "../../engine/shard/shard.ts";
import { Swaps } from "../../engine/worker/swaps.ts";
import { Sweeper, Swept } from "../../engine/worker/sweeper.ts";
import { Engine } from "../support/engine.ts";
import { random } from "../support/random.ts";

const codecs = zstdAvailable ? [CodecId.Lz4, CodecId.Zstd] : [CodecId.Lz4];
const encoder = new TextEncoder();

/** A value as applications have them: the same field names, some values that differ. */
function json(next: () => number, bytes: number): string {
  const hex = (digits: number) =>
    Array.from({ length: digits }, () => "0123456789abcdef"[Math.floor(next() * 16)]);
  let text = `{"id":"${hex(16).join("")}","user":${Math.floor(next() * 1e6)},"roles":["reader"],"items":[`;
  while (text.length < bytes)
    text += `{"sku":"${hex(6).join("")}","quantity":${Math.floor(next() * 9)},"note":"left at the door"},`;
  return `${text}{}]}`;
}

/** Strings of every kind and length that codecs may meet. */
function sample(next: () => number): Uint8Array {
  const kind = next();
  const bytes = Math.floor(next() ** 3 * 20_000);
  if (kind < 0.4) return encoder.encode(json(next, bytes));
  if (kind < 0.6) return Uint8Array.from({ length: bytes }, () => Math.floor(next() * 256));
  if (kind < 0.8) return new Uint8Array(bytes).fill(Math.floor(next() * 256));
  const few = 2 + Math.floor(next() * 6);
  return Uint8Array.from({ length: bytes }, () => Math.floor(next() * few));
}

test("codecs: every value comes back, with a dictionary and without", () => {
  const next = random("codecs");
  const dictionaries = Dictionaries.create(1);
  const codec = new Codec(dictionaries);
  const reader = new Codec(Dictionaries.attach(dictionaries.plan));
  const pieces = Array.from({ length: 200 }, () => encoder.encode(json(next, 150)));
  let end = 0;
  const ends = pieces.map((piece) => (end += piece.length));
  const content = chooseContent(Buffer.concat(pieces), ends, 4096);
  expect(content.length).toBeGreaterThan(200);
  const number = dictionaries.add(content, CodecId.Lz4, 1, encoder.encode("session"));
  const work = need(Region.private(1 << 20), "work");
  let smaller = 0;
  let withDictionary = 0;
  for (let i = 0; i < 4000; i++) {
    const value = sample(next);
    if (value.length === 0) continue;
    work.u8.set(value, 1000);
    for (const id of codecs)
      for (const chosen of [0, number]) {
        const edited = i % 2 === 0;
        const room = value.length + 7 + (value.length >> 7) + 64;
        const stored = codec.compress(id, chosen, edited, work, 1000, value.length, work, 200_000, room);
        expect(stored).toBeGreaterThan(0);
        expect(stored).toBeLessThanOrEqual(room);
        if (stored < value.length) smaller++;
        if (chosen !== 0) withDictionary += stored < 0.6 * value.length ? 1 : 0;
        reader.open(work, 200_000, stored);
        expect([reader.codec, reader.edited, reader.dictionary, reader.rawBytes]).toEqual([
          id,
          edited,
          chosen,
          value.length,
        ]);
        reader.decompress(work, 400_000);
        if (Buffer.compare(work.u8.subarray(400_000, 400_000 + value.length), value) !== 0)
          throw new Error(`codec ${id} with ${chosen} does not give back ${value.length} bytes`);
        // What does not fit is refused and written nowhere else.
        const guard = work.u8[200_000 + (stored >> 1)];
        expect(codec.compress(id, chosen, edited, work, 1000, value.length, work, 190_000, 8)).toBe(0);
        expect(work.u8[200_000 + (stored >> 1)]).toBe(guard!);
      }
  }
  expect(smaller).toBeGreaterThan(1000);
  expect(withDictionary).toBeGreaterThan(500);
}, 120_000);

test("stored forms: torn or hostile bytes are an error or a string, and nothing else is written", () => {
  const next = random("hostile stored forms");
  const below = (most: number) => Math.floor(next() * most);
  const dictionaries = Dictionaries.create(1);
  const codec = new Codec(dictionaries);
  const number = dictionaries.add(encoder.encode(json(next, 3000)), CodecId.Lz4, 1, encoder.encode("a"));
  const stored = need(Region.private(1 << 18), "stored");
  const target = need(Region.private(1 << 18), "target");
  const GUARD = 0xa5;
  const AT = 4096;
  let errors = 0;
  let strings = 0;
  for (let i = 0; i < 12_000; i++) {
    const value = i % 50 === 0 ? sample(next) : encoder.encode(json(next, below(400)));
    if (value.length === 0) continue;
    target.u8.set(value, 100_000);
    const id = codecs[i % codecs.length]!;
    const form = codec.compress(
      id,
      next() < 0.7 ? number : 0,
      false,
      target,
      100_000,
      value.length,
      stored,
      64,
      value.length + 400,
    );
    let bytes = form;
    const kind = below(6);
    if (kind === 0) bytes = below(form + 1);
    else if (kind === 1)
      for (let cut = 1 + below(4); cut > 0; cut--) stored.u8[64 + below(form)] = below(256);
    else if (kind === 2) stored.u8.fill(255, 64 + below(form), 64 + form);
    else if (kind === 3) for (let at = 64; at < 64 + form; at++) stored.u8[at] = below(256);
    else if (kind === 4) stored.u8[64 + below(Math.min(form, 9))] = below(256);
    else stored.u8.copyWithin(64 + below(form), 64, 64 + below(form));
    target.u8.fill(GUARD, 0, AT);
    target.u8.fill(GUARD, AT, AT + 65536 + 64);
    let most = 0;
    try {
      codec.open(stored, 64, bytes);
      expect(codec.rawBytes).toBeLessThanOrEqual(65536);
      most = codec.rawBytes;
      codec.decompress(target, AT);
      strings++;
    } catch (error) {
      expect(error).toBeInstanceOf(StoredError);
      errors++;
    }
    // Nothing outside where the string was to go.
    expect(target.u8.subarray(0, AT).every((byte) => byte === GUARD)).toBe(true);
    expect(target.u8.subarray(AT + most, AT + most + 64).every((byte) => byte === GUARD)).toBe(true);
  }
  expect(errors).toBeGreaterThan(2000);
  expect(strings).toBeGreaterThan(200);
}, 120_000);

const rows = [
  ...[...stringCommands, ...bitmapCommands, ...hyperloglogCommands, ...keyspaceCommands, ...atomicCommands],
  ...[...expiryCommands, ...dumpCommands, ...hashCommands, ...listCommands, ...setCommands, ...sortCommands],
];

/** Every compressed value, counted by walking; and that the shards counted the same, and that all can be read. */
function checkCounts(engine: Engine): number {
  const { dictionaries } = engine.keyspace.codec;
  const counted = new Map<number, [number, number, number]>();
  let all = 0;
  for (const shard of engine.keyspace.shards) {
    shard.lock();
    for (let db = 0; db < DATABASES; db++) {
      const handles: number[] = [];
      for (let entry = 0; entry < shard.index.directorySize(db); entry += shard.index.leafSpan(db, entry))
        shard.index.collectLeaf(shard.index.leafAt(db, entry), handles);
      for (const handle of handles) {
        shard.open(handle);
        if (shard.region.u8[shard.at] !== COMPRESSED) continue;
        const bytes = shard.valueBytes();
        const raw = shard.stringBytes();
        const { dictionary } = engine.keyspace.codec;
        if (dictionary !== 0) expect(dictionaries.state(dictionary)).not.toBe(State.Free);
        const sums = counted.get(dictionary) ?? [0, 0, 0];
        counted.set(dictionary, [sums[0] + 1, sums[1] + raw, sums[2] + bytes]);
        shard.openPlain(handle);
        expect(shard.valueBytes()).toBe(raw);
        all++;
      }
    }
    shard.unlock();
  }
  for (let number = 0; number < 512; number++) {
    const figures = [Of.Values, Of.RawBytes, Of.StoredBytes].map((figure) =>
      dictionaries.sumOf(number, figure),
    );
    const expected: number[] = counted.get(number) ?? [0, 0, 0];
    if (figures.some((figure, i) => figure !== expected[i]))
      expect([number, ...figures]).toEqual([number, ...expected]);
  }
  return all;
}

for (const workers of [1, 2])
  test(`commands answer the same whether values are compressed between them or not, ${workers} workers`, () => {
    const next = random(`compressed commands, ${workers} workers`);
    const plain = new Engine(rows, 4 << 20, 32 << 20, workers);
    const packed = new Engine(rows, 4 << 20, 32 << 20, workers);
    const swaps = Swaps.create(workers);
    const sweeper = new Sweeper(packed.keyspace, swaps, () => 0);
    sweeper.options = { codec: 0, floor: 1, ageMs: 0, always: true, rules: new Map() };
    const below = (most: number) => Math.floor(next() * most);
    const pick = <Value>(from: readonly Value[]): Value => from[below(from.length)]!;
    const maybe = (chance: number, words: readonly string[]) => (next() < chance ? words : []);
    const keys = ["s:1", "s:2", "s:3", "s:4", "t:1", "t:2", "plain", "counter", "h", `l:${"k".repeat(1100)}`];
    const key = () => pick(keys);
    const texts = Array.from({ length: 40 }, () => json(next, 40 + below(500)));
    let dumped = "";
    const value = () => {
      const kind = next();
      if (kind < 0.55) return pick(texts);
      if (kind < 0.65) return json(next, below(3000));
      if (kind < 0.67) return json(next, 30_000 + below(40_000));
      if (kind < 0.77) return String(below(1e6));
      if (kind < 0.8) return `${below(1000)}.25`;
      return "\xff\0\r\nxyz".repeat(40).slice(0, below(240));
    };
    const index = () => String(below(600) - 300);
    const option = () => pick([["ex", "100"], ["px", String(1 + below(3000))], ["keepttl"], []]);
    const commands: (() => string[])[] = [
      () => ["set", key(), value()],
      () => ["set", key(), value()],
      () => ["set", key(), value(), ...maybe(0.3, [pick(["nx", "xx"])]), ...maybe(0.3, ["get"]), ...option()],
      () => ["set", key(), value(), pick(["ifeq", "ifne"]), pick(texts)],
      () => ["mset", key(), value(), key(), value()],
      () => ["msetnx", key(), value(), key(), value()],
      () => [
        "msetex",
        "2",
        key(),
        value(),
        key(),
        value(),
        ...maybe(0.5, [pick(["nx", "xx"])]),
        ...maybe(0.5, ["keepttl"]),
      ],
      () => ["setnx", key(), value()],
      () => ["getset", key(), value()],
      () => ["psetex", key(), "900", value()],
      () => ["get", key()],
      () => ["get", key()],
      () => ["mget", key(), key(), key(), key()],
      () => ["strlen", key()],
      () => ["getrange", key(), index(), index()],
      () => ["getex", key(), ...pick([["ex", "9"], ["persist"], []])],
      () => ["getdel", key()],
      () => ["append", key(), value()],
      () => ["setrange", key(), String(below(700)), value()],
      () => ["incr", key()],
      () => ["incrby", key(), String(below(100) - 50)],
      () => ["incrbyfloat", key(), "1.5"],
      () => ["decr", "counter"],
      () => ["increx", "counter", "BYINT", "3"],
      () => ["lcs", key(), key(), ...maybe(0.5, ["len"])],
      () => ["digest", key()],
      () => ["delifeq", key(), pick(texts)],
      () => ["delex", key(), "ifne", pick(texts)],
      () => ["ic.pexpireifeq", key(), pick(texts), "700"],
      () => ["setbit", key(), String(below(3000)), String(below(2))],
      () => ["getbit", key(), String(below(3000))],
      () => ["bitcount", key()],
      () => ["bitpos", key(), String(below(2))],
      () => ["bitfield", key(), "get", "u8", "9", "incrby", "i16", String(below(999)), "5"],
      () => ["bitfield_ro", key(), "get", "i33", "100"],
      () => ["bitop", pick(["and", "or", "xor"]), key(), key(), key(), key()],
      () => ["bitop", "not", key(), key()],
      () => ["pfadd", key(), value().slice(0, 20)],
      () => ["pfadd", "h", value().slice(0, 20), String(below(1e9))],
      () => ["pfcount", "h", ...maybe(0.3, [key()])],
      () => ["pfcount", key()],
      () => ["pfmerge", key(), "h"],
      () => ["copy", key(), key(), ...maybe(0.7, ["replace"])],
      () => ["copy", key(), key(), "DB", "1", "replace"],
      () => ["rename", key(), key()],
      () => ["renamenx", key(), key()],
      () => ["move", key(), "1"],
      () => ["dump", key()],
      () => ["restore", key(), pick(["0", "800"]), dumped, "replace"],
      () => ["expire", key(), "2"],
      () => ["pexpire", key(), String(below(1500) - 100), ...maybe(0.5, [pick(["nx", "gt", "lt", "xx"])])],
      () => ["persist", key()],
      () => ["pttl", key()],
      () => ["type", key()],
      () => ["exists", key(), key()],
      () => ["touch", key()],
      () => ["object", "encoding", key()],
      () => ["del", key()],
      () => ["unlink", key()],
      () => ["lpush", key(), "1", "2", "3"],
      () => ["hset", key(), "f", "1"],
      () => ["sadd", key(), "1", "2", "3", "4"],
      () => ["sort", key(), "by", "s:*", "get", "s:*", "get", "t:*", "alpha"],
      () => ["sort", key(), "get", "s:*", "store", key()],
      () => ["swapdb", "0", "1"],
      () => ["scan", "0", "count", "100"],
      () => ["dbsize"],
      () => (next() < 0.05 ? ["flushall"] : ["get", key()]),
      () => (next() < 0.2 ? ["flushdb"] : ["get", key()]),
    ];
    let compressed = 0;
    let on = true;
    const steps = 40_000;
    for (let step = 0; step < steps; step++) {
      if (next() < 0.05) plain.clock.nowMs += below(400);
      packed.clock.nowMs = plain.clock.nowMs;
      if (next() < 0.01) on = !on;
      if (next() < 0.01) sweeper.options.codec = pick([0, ...codecs]);
      if (next() < 0.02) sweeper.retrain();
      if (next() < 0.05) swaps.releaseRetired(packed.keyspace);
      if (on && next() < 0.7) {
        // Some of the work is in place only after later commands, and then perhaps too late.
        const late = next() < 0.2;
        for (let swept = Swept.More; swept !== Swept.Rest; ) {
          swept = sweeper.step(1);
          if (late && swept !== Swept.Full) break;
          for (let worker = 0; worker < workers; worker++)
            swaps.apply(worker, packed.keyspace, 1000, 1 << 20);
        }
      } else if (next() < 0.2)
        for (let worker = 0; worker < workers; worker++) swaps.apply(worker, packed.keyspace, 2, 1 << 20);
      const command = pick(commands)();
      const expected = plain.run(...command);
      const answer = packed.run(...command);
      if (answer !== expected) expect({ step, command, answer }).toEqual({ step, command, answer: expected });
      if (command[0] === "dump" && expected.startsWith("$") && expected !== "$-1\r\n")
        dumped = expected.slice(expected.indexOf("\r\n") + 2, -2);
      if (step % 500 === 0) compressed += checkCounts(packed);
      if (step % 10_000 === 0) packed.keyspace.check();
    }
    checkCounts(packed);
    packed.keyspace.check();
    const { dictionaries } = packed.keyspace.codec;
    console.log(
      `compressed at the samples ${compressed}, swapped ${dictionaries.sum(Row.Swapped)}, too late ` +
        `${dictionaries.sum(Row.Rejected)}, thawed ${dictionaries.sum(Row.Thawed)}, dictionaries made ${dictionaries.made}, ` +
        `live ${dictionaries.live}`,
    );
    expect(compressed).toBeGreaterThan(50);
    expect(dictionaries.sum(Row.Swapped)).toBeGreaterThan(2000);
    expect(dictionaries.sum(Row.Rejected)).toBeGreaterThan(50);
    expect(dictionaries.made).toBeGreaterThan(100);
    // Those replaced are let go of once nothing refers to them.
    packed.run("flushall");
    for (let i = 0; i < 8; i++) {
      while (sweeper.step(1) !== Swept.Rest);
      for (let worker = 0; worker < workers; worker++) swaps.apply(worker, packed.keyspace, 1e9, 1e9);
      swaps.releaseRetired(packed.keyspace);
    }
    expect(dictionaries.live).toBe(0);
    expect(dictionaries.usedBytes).toBe(0);
  }, 300_000);

test("a value that is read twice in a pass is plain again, one read once stays compressed", () => {
  const engine = new Engine(rows, 4 << 20, 32 << 20);
  const next = random("thaws");
  const swaps = Swaps.create(1);
  let nowMs = 0;
  const sweeper = new Sweeper(engine.keyspace, swaps, () => nowMs);
  sweeper.options = { codec: 0, floor: 96, ageMs: 1000, always: false, rules: new Map() };
  const pass = () => {
    nowMs += 1000;
    for (let swept = Swept.More; swept !== Swept.Rest; ) {
      swept = sweeper.step(1);
      while (swaps.pending(0)) swaps.apply(0, engine.keyspace, 1000, 1 << 30);
    }
  };
  const texts = Array.from({ length: 2000 }, () => json(next, 200));
  texts.forEach((text, i) => void engine.run("set", `session:${i}`, text));
  engine.run("set", "session:changing", texts[0]!);
  pass();
  expect(checkCounts(engine)).toBe(0); // seen once
  engine.run("set", "session:changing", texts[1]!);
  const before = engine.keyspace.shards[0]!.allocator.liveBytes;
  pass();
  expect(checkCounts(engine)).toBe(2000);
  const saved = before - engine.keyspace.shards[0]!.allocator.liveBytes;
  expect(saved).toBeGreaterThan(0.5 * texts.join("").length);
  const reply = `$${texts[7]!.length}\r\n${texts[7]}\r\n`;
  expect(engine.run("get", "session:7")).toBe(reply);
  expect(checkCounts(engine)).toBe(2000);
  expect(engine.run("get", "session:7")).toBe(reply);
  expect(checkCounts(engine)).toBe(1999);
  expect(engine.run("strlen", "session:8")).toBe(`:${texts[8]!.length}\r\n`);
  expect(engine.run("ttl", "session:8")).toBe(":-1\r\n");
  expect(checkCounts(engine)).toBe(1999);
  pass();
  pass();
  expect(checkCounts(engine)).toBe(2001);
});

test("what would not pay, is too short, or is named by a rule is left alone", () => {
  const engine = new Engine(rows, 4 << 20, 32 << 20);
  const next = random("what is left alone");
  const swaps = Swaps.create(1);
  const sweeper = new Sweeper(engine.keyspace, swaps, () => 0);
  sweeper.options = { codec: 0, floor: 96, ageMs: 0, always: false, rules: new Map([["kept", 0 as const]]) };
  const noise = (bytes: number) =>
    String.fromCharCode(...Array.from({ length: bytes }, () => Math.floor(next() * 256)));
  for (let i = 0; i < 500; i++) {
    engine.run("set", `noise:${i}`, noise(200));
    engine.run("set", `kept:${i}`, json(next, 200));
    engine.run("set", `short:${i}`, "the same text, but a short one ".slice(0, 30));
    engine.run("set", `long:${i}`, json(next, i < 5 ? 70_000 : 300));
  }
  for (let i = 0; i < 4; i++)
    for (let swept = Swept.More; swept !== Swept.Rest; ) {
      swept = sweeper.step(1);
      while (swaps.pending(0)) swaps.apply(0, engine.keyspace, 1000, 1 << 30);
    }
  expect(checkCounts(engine)).toBe(495);
});
