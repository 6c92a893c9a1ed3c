// dump.test.ts: DUMP and RESTORE in process: every form of every type there and back, what memory that is out leaves,
// and payloads that somebody has tampered with.
//
//   IRONCACHE_DUMP   hostile payloads (100,000)
import { expect, test } from "bun:test";
import { allCommands } from "../../engine/commands/index.ts";
import { encodingName } from "../../engine/commands/keyspace.ts";
import { memoryCommands } from "../../engine/commands/memory.ts";
import { Type } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { crc64, crcHigh, crcLow } from "../../engine/rdb/crc64.ts";
import { Place } from "../../engine/shard/place.ts";
import { Hash } from "../../engine/types/hash.ts";
import { limits } from "../../engine/types/limits.ts";
import { List } from "../../engine/types/list.ts";
import { MemberSet } from "../../engine/types/set.ts";
import { SortedSet } from "../../engine/types/sorted-set.ts";
import { Errors } from "../../protocol/errors.ts";
import {
  integers,
  intset,
  join,
  length,
  listpack,
  little,
  seal,
  text,
  ziplist,
  zipmap,
} from "../differential/rdb-fixtures.ts";
import { type Bytes, bytesOf, parseReply } from "../differential/resp.ts";
import { Engine } from "../support/engine.ts";
import { random } from "../support/random.ts";

const OK = "+OK\r\n";
const NIL = "$-1\r\n";

function error(text: string): string {
  return `-${text}\r\n`;
}

/** The engine of the tests knows no containers. */
const usageRow = memoryCommands[0]!.subcommands!.filter(({ name }) => name === "memory|usage");

function start(segmentBytes?: number): Engine {
  const engine = new Engine([...allCommands, ...usageRow], 8 << 20, segmentBytes);
  Object.assign(engine.call.server, { debugAllowed: () => true });
  return engine;
}

function bulk(engine: Engine, ...args: string[]): string {
  const reply = parseReply(bytesOf(engine.run(...args)));
  if (reply.kind !== "$") throw new Error(`${args.join(" ").slice(0, 100)}: ${reply.kind}${reply.text}`);
  return reply.text;
}

function digestOf(engine: Engine, key: string): string {
  return parseReply(bytesOf(engine.run("DEBUG", "DIGEST-VALUE", key))).items![0]!.text;
}

const place = (engine: Engine): Place => new Place(engine.keyspace.shards[0]!);
const list = new List();
const members = new MemberSet();
const sortedSet = new SortedSet();
const hash = new Hash();

/** Every invariant of the collection at a key. */
function check(engine: Engine, key: string, at: Place): void {
  engine.run("EXISTS", key); // lays the key out as argument 1
  if (!engine.call.findPlace(1, at)) throw new Error("the key is not there");
  if (at.type === Type.List) {
    list.open(at);
    list.check();
  } else if (at.type === Type.Set) {
    members.open(at);
    members.check();
  } else if (at.type === Type.SortedSet) {
    sortedSet.open(at);
    sortedSet.check();
  } else if (at.type === Type.Hash) {
    hash.open(at, engine.clock.nowMs);
    hash.check();
  }
}

function liveBytes(engine: Engine): number {
  const shard = engine.keyspace.shards[0]!;
  while (shard.reclaimable) shard.reclaimStep(1 << 16);
  return shard.allocator.liveBytes;
}

/** Commands that make a value of each type at `key`, of `count` elements of up to `bytes` bytes. */
function values(key: string, count: number, bytes: number): string[][][] {
  const words = Array.from({ length: count }, (_, i) =>
    i % 5 === 0
      ? integers[(i / 5) % integers.length]! + (i >= integers.length * 5 ? String(i) : "")
      : `${i}\r\n\0\xff`.padEnd(bytes, "x"),
  );
  const numbers = Array.from({ length: count }, (_, i) => String(i * 3 - count));
  const fields = words.flatMap((word, i) => [word, words[(i * 7) % count]!]);
  const scores = ["0", "1.5", "-inf", "inf", "1e300", "5e-324", "0.1", "-77"];
  const far = "HPEXPIREAT";
  return [
    [["RPUSH", key, ...words]],
    [["SADD", key, ...words]],
    [["SADD", key, ...numbers]],
    [["ZADD", key, ...words.flatMap((word, i) => [scores[i % scores.length]!, word])]],
    [["HSET", key, ...fields]],
    [
      ["HSET", key, ...fields],
      [far, key, "70368744177663", "FIELDS", "1", words[0]!],
    ],
    [
      ["HSET", key, ...fields],
      [
        far,
        key,
        "1800000000000",
        "FIELDS",
        String(Math.ceil(count / 2)),
        ...words.slice(0, Math.ceil(count / 2)),
      ],
    ],
  ];
}

test("DUMP, then RESTORE: the same value, in the same form, with the deadline asked for", () => {
  const engine = start();
  const at = place(engine);
  const before = liveBytes(engine);
  const forms = new Set<string>();
  const compare = (name: string): void => {
    const payload = bulk(engine, "DUMP", "k");
    expect(engine.run("RESTORE", "copy", "0", payload), name).toBe(OK);
    expect(digestOf(engine, "copy"), name).toBe(digestOf(engine, "k"));
    check(engine, "copy", at);
    const form = encodingName(at.shard);
    check(engine, "k", at);
    expect(encodingName(at.shard), name).toBe(form);
    forms.add(`${at.type} ${form} ${at.form}`);
    expect(engine.run("RESTORE", "copy", "0", payload), name).toBe(error(Errors.busyKey));
    expect(engine.run("RESTORE", "copy", "5000", payload, "REPLACE"), name).toBe(OK);
    expect(engine.run("PTTL", "copy"), name).toBe(":5000\r\n");
    expect(bulk(engine, "DUMP", "copy").length, name).toBe(payload.length);
    engine.run("DEL", "k", "copy");
    engine.keyspace.check();
  };
  const texts = ["", "a", "01", "x".repeat(44), "y".repeat(45), "\0\xff\r\n", "z".repeat(100_000)];
  for (const value of [...integers, ...texts]) {
    engine.run("SET", "k", value);
    compare(`string ${value.slice(0, 30)}`);
  }
  for (const [count, bytes] of [
    [1, 3],
    [30, 20],
    [128, 64],
    [129, 20],
    [512, 20],
    [513, 20],
    [20, 65],
    [2000, 10],
    [40, 5000],
  ] as const)
    for (const [i, commands] of values("k", count, bytes).entries()) {
      for (const command of commands)
        expect(engine.run(...command).startsWith("-"), command.slice(0, 3).join(" ")).toBe(false);
      compare(`${count} of ${bytes} bytes, number ${i}`);
    }
  expect([...forms].sort()).toEqual([
    "1 embstr 0",
    "1 int 2",
    "1 raw 0",
    "2 listpack 0",
    "2 quicklist 3",
    "3 hashtable 3",
    "3 intset 1",
    "3 listpack 0",
    "4 listpack 0",
    "4 skiplist 3",
    "5 hashtable 3",
    "5 hashtable 4",
    "5 listpack 0",
    "5 listpackex 2",
  ]);
  expect(engine.run("DUMP", "k")).toBe(NIL);
  expect(liveBytes(engine)).toBeLessThanOrEqual(before + 4096); // the index keeps its leaf
});

test("MEMORY USAGE is what the allocator gave for the key, and eight bytes", () => {
  const engine = start();
  engine.run("SET", "other", "v"); // the index has its leaf
  for (const [count, bytes] of [
    [1, 3],
    [100, 20],
    [700, 30],
    [5000, 200],
  ] as const)
    for (const [i, commands] of [
      [["SET", "k", "s".repeat(count * bytes)]],
      ...values("k", count, bytes),
    ].entries()) {
      const before = liveBytes(engine);
      for (const command of commands) engine.run(...command);
      const usage = engine.run("memory|usage", "usage", "k");
      expect(usage, `${count} of ${bytes} bytes, number ${i}`).toBe(`:${liveBytes(engine) - before + 8}\r\n`);
      engine.run("DEL", "k");
      expect(liveBytes(engine)).toBe(before);
    }
  expect(engine.run("memory|usage", "usage", "k")).toBe(NIL);
});

test("fields past their deadline come along and are gone to readers; a hash of nothing else dumps as nothing", () => {
  const engine = start();
  const at = place(engine);
  const due = String(engine.clock.nowMs + 1000);
  for (const count of [4, 700]) {
    const names = Array.from({ length: count }, (_, i) => `f${i}`);
    engine.run("HSET", "k", ...names.flatMap((name) => [name, "v"]));
    engine.run("HPEXPIREAT", "k", due, "FIELDS", "2", "f1", "f3");
    const some = bulk(engine, "DUMP", "k");
    engine.run("HPEXPIREAT", "k", due, "FIELDS", String(count), ...names);
    const all = bulk(engine, "DUMP", "k");
    engine.clock.nowMs += 2000;
    expect(engine.run("DUMP", "k")).toBe(NIL);
    expect(engine.run("RESTORE", "r", "0", some)).toBe(OK);
    check(engine, "r", at);
    expect(engine.run("HMGET", "r", "f0", "f1", "f2", "f3")).toBe(`*4\r\n$1\r\nv\r\n${NIL}$1\r\nv\r\n${NIL}`);
    const left = parseReply(bytesOf(engine.run("HGETALL", "r"))).items!;
    expect(left.length).toBe((count - 2) * 2);
    expect(engine.run("RESTORE", "r", "0", all, "REPLACE")).toBe(OK);
    check(engine, "r", at);
    expect(engine.run("EXISTS", "r")).toBe(":1\r\n"); // until it is reaped, as in Redis 8
    expect(parseReply(bytesOf(engine.run("HGETALL", "r"))).items).toEqual([]);
    engine.run("DEL", "k", "r");
    engine.clock.nowMs -= 2000;
  }
  engine.keyspace.check();
});

test("deadlines: none, relative, absolute, past", () => {
  const engine = start();
  const now = engine.clock.nowMs;
  engine.run("SET", "k", "v");
  const payload = bulk(engine, "DUMP", "k");
  const restore = (...args: string[]) => engine.run("RESTORE", "r", args[0]!, payload, ...args.slice(1));
  expect(restore("0")).toBe(OK);
  expect(engine.run("PTTL", "r")).toBe(":-1\r\n");
  expect(restore("1", "REPLACE")).toBe(OK);
  expect(engine.run("PTTL", "r")).toBe(":1\r\n");
  expect(restore(String(now + 77), "REPLACE", "ABSTTL")).toBe(OK);
  expect(engine.run("PEXPIRETIME", "r")).toBe(`:${now + 77}\r\n`);
  expect(restore("9223372036854775807", "ABSTTL", "REPLACE")).toBe(OK);
  expect(engine.run("PEXPIRETIME", "r")).toBe(`:${Number.MAX_SAFE_INTEGER}\r\n`);
  expect(restore(String(now), "ABSTTL", "REPLACE")).toBe(OK);
  expect(engine.run("EXISTS", "r")).toBe(":0\r\n");
  expect(restore("1", "ABSTTL")).toBe(OK);
  expect(engine.run("EXISTS", "r")).toBe(":0\r\n");
  // A payload that is wrong is told so, and nothing is deleted, however late it is.
  engine.run("SET", "r", "old");
  expect(engine.run("RESTORE", "r", "1", `${payload}x`, "ABSTTL", "REPLACE")).toBe(error(Errors.badPayload));
  expect(engine.run("RESTORE", "r", "1", latin1(seal(bytesOf("\x01\x00"))), "ABSTTL", "REPLACE")).toBe(
    error(Errors.badFormat),
  );
  expect(engine.run("GET", "r")).toBe("$3\r\nold\r\n");
  engine.keyspace.check();
});

function latin1(bytes: Bytes): string {
  return Buffer.from(bytes).toString("latin1");
}

test("memory that is out changes nothing", () => {
  const big = start();
  const payloads: string[] = [];
  for (const commands of values("k", 20_000, 40)) {
    for (const command of commands) big.run(...command);
    payloads.push(bulk(big, "DUMP", "k"));
    big.run("DEL", "k");
  }
  big.run("SET", "k", "s".repeat(100_000));
  payloads.push(bulk(big, "DUMP", "k"));
  const engine = start(1 << 20);
  let filled = 0;
  while (engine.run("SET", `fill:${filled}`, "f".repeat(1000)) === OK) filled++;
  expect(filled).toBeGreaterThan(100);
  // Ever more room: each payload is refused at every stage of its making, and at last taken.
  let refused = 0;
  for (const [i, payload] of payloads.entries()) {
    let freed = 0;
    engine.run("DEL", "fill:0");
    engine.run("SADD", "old", "a", "b");
    const old = digestOf(engine, "old");
    const before = liveBytes(engine);
    let said = engine.run("RESTORE", "old", "0", payload, "REPLACE");
    for (
      ;
      said !== OK && freed < filled - 200;
      said = engine.run("RESTORE", "old", "0", payload, "REPLACE")
    ) {
      expect(said, `payload ${i}`).toBe(error(Errors.outOfMemory));
      refused++;
      expect(digestOf(engine, "old")).toBe(old);
      expect(liveBytes(engine)).toBeLessThanOrEqual(before);
      for (let more = 0; more < 200; more++) engine.run("DEL", `fill:${++freed}`);
      if (refused % 10 === 0) engine.keyspace.check();
    }
    expect(said, `payload ${i}`).toBe(OK);
    engine.keyspace.check();
    engine.run("DEL", "old");
    for (let at = 0; at < filled; at++) engine.run("SET", `fill:${at}`, "f".repeat(1000));
  }
  expect(refused).toBeGreaterThan(payloads.length);
}, 120_000);

const region = need(Region.private(1 << 20), "a payload that is sealed");

/** As `seal` of the fixtures, by the engine's own checksum, which is a thousand times faster. */
function sealFast(body: Bytes): string {
  region.u8.set(body);
  region.view.setUint16(body.length, 11, true);
  crc64(region, 0, body.length + 2);
  region.view.setInt32(body.length + 2, crcLow, true);
  region.view.setInt32(body.length + 6, crcHigh, true);
  return latin1(region.u8.subarray(0, body.length + 10));
}

/** Bodies of every type byte to begin with. */
function bodies(engine: Engine): Bytes[] {
  const found: Bytes[] = [];
  for (const [count, bytes] of [
    [3, 4],
    [12, 20],
    [40, 70],
  ] as const)
    for (const commands of values("k", count, bytes)) {
      for (const command of commands) engine.run(...command);
      found.push(bytesOf(bulk(engine, "DUMP", "k")).subarray(0, -10));
      engine.run("DEL", "k");
    }
  const words = ["a", "12", "-5", "b".repeat(70), "70000", "9007199254740993", "z"];
  const pairs = words.flatMap((word, i) => [word, String(i * 1.5)]);
  const timed = ["a", "b", "0", "c", "d", "1800000000000"];
  return [
    ...found,
    join(0, 0xc1, 5, 5),
    join(10, text(ziplist(words))),
    join(12, text(ziplist(pairs))),
    join(13, text(ziplist(pairs))),
    join(14, 2, text(ziplist(words)), text(ziplist(words))),
    join(9, text(zipmap(pairs, 2))),
    join(16, text(listpack(pairs))),
    join(17, text(listpack(pairs))),
    join(18, 3, 2, text(listpack(words)), 1, text("plain"), 2, text(listpack(words))),
    join(20, text(listpack(words))),
    join(11, text(intset(2, [1, 2, 3, 4]))),
    join(11, text(intset(8, [-5, 2, 3, 1n << 60n]))),
    join(22, 2, 0, 1, "a", 1, "b", 5, 1, "c", 1, "d"),
    join(23, text(listpack(timed))),
    join(25, little(1_800_000_000_000, 8), text(listpack(timed))),
    join(24, little(1_800_000_000_000, 8), 2, 0, 1, "a", 1, "b", 5, 1, "c", 1, "d"),
    join(3, 2, 1, "b", 254, 1, "a", 3, "1.5"),
    join(2, length(3), text("a"), text("n"), 0xc1, 5, 5),
  ];
}

const edges = [0, 1, 5, 6, 11, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xbf, 0xc0, 0xc3, 0xe0, 0xf0, 0xf4, 0xfe, 0xff];

/** A few changes anywhere, most of them near the front, where counts and lengths stand. */
function mutate(body: Bytes, next: () => number, all: readonly Bytes[]): Bytes {
  let bytes = Buffer.from(body);
  for (let changes = 1 + Math.floor(next() ** 2 * 4); changes > 0; changes--) {
    const at = Math.floor(next() ** (next() < 0.5 ? 3 : 1) * bytes.length);
    const kind = next();
    if (kind < 0.25) bytes[at] = next() * 256;
    else if (kind < 0.45) bytes[at] = bytes[at]! + (next() < 0.5 ? 1 : 255);
    else if (kind < 0.65) bytes[at] = edges[Math.floor(next() * edges.length)]!;
    else if (kind < 0.75) bytes = bytes.subarray(0, at + 1);
    else if (kind < 0.85)
      bytes = Buffer.from(
        join(
          bytes.subarray(0, at),
          "\xff\0".slice(Math.floor(next() * 3)),
          bytes.subarray(at + Math.floor(next() * 3)),
        ),
      );
    else {
      const from = all[Math.floor(next() * all.length)]!;
      bytes.set(from.subarray(0, Math.min(from.length, bytes.length - at)), at);
    }
    if (bytes.length === 0) return Buffer.of(0);
  }
  return bytes;
}

test("hostile payloads: an error, or a value that is right in all its parts; and nothing stays", () => {
  const tries = Number(process.env.IRONCACHE_DUMP ?? 100_000);
  const next = random("dump");
  const engine = start();
  const at = place(engine);
  const all = bodies(engine);
  const kept = { ...limits };
  engine.run("SET", "k", "v");
  engine.run("DEL", "k");
  const before = liveBytes(engine);
  const seen = new Set<number>();
  let taken = 0;
  try {
    for (let i = 0; i < tries; i++) {
      // Low limits, so that small payloads meet the large forms too.
      if (i % 1000 === 0) {
        const low = (i / 1000) % 3;
        limits.hashEntries = limits.setEntries = limits.sortedSetEntries = [512, 4, 0][low]!;
        limits.setIntegers = [512, 3, 0][low]!;
        limits.listSize = [-2, 5, 1][low]!;
      }
      const body = i < all.length ? all[i]! : mutate(all[Math.floor(next() * all.length)]!, next, all);
      const payload = sealFast(body);
      try {
        const said = engine.run("RESTORE", "k", i % 2 === 0 ? "0" : "1000", payload);
        if (i < all.length && said !== OK) throw new Error(`${said} to a payload that is right`);
        if (said !== OK) {
          if (said !== error(Errors.badFormat)) throw new Error(said);
          if (engine.run("EXISTS", "k") !== ":0\r\n") throw new Error("a key after an error");
          continue;
        }
        taken++;
        check(engine, "k", at);
        seen.add(at.type * 16 + at.form);
        if (i % 8 === 0) {
          const digest = digestOf(engine, "k");
          const again = engine.run("DUMP", "k");
          if (again !== NIL) {
            engine.run("RESTORE", "j", "0", parseReply(bytesOf(again)).text);
            engine.run("PERSIST", "k");
            if (digestOf(engine, "j") !== digestOf(engine, "k"))
              throw new Error(`another value than ${digest}`);
            engine.run("DEL", "j");
          }
        }
        if (engine.run("DEL", "k") !== ":1\r\n") throw new Error("a key that cannot be deleted");
        if (liveBytes(engine) !== before) throw new Error(`${liveBytes(engine) - before} bytes stay`);
        if (taken % 5000 === 0) engine.keyspace.check();
      } catch (problem) {
        throw new Error(`try ${i}, ${Buffer.from(body).toString("hex")}: ${problem}`);
      }
    }
  } finally {
    Object.assign(limits, kept);
  }
  engine.keyspace.check();
  console.log(`dump: ${tries} hostile payloads, ${taken} times a value`);
  expect(taken).toBeGreaterThan(tries / 20);
  expect(taken).toBeLessThan(tries * 0.9);
  expect(seen.size).toBeGreaterThanOrEqual(12);
}, 900_000);
