// Memory is moved together while commands run: between any two of them steps of all sizes may come, and no reply, no content
// and no invariant tells; and what is shredded comes back.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { allCommands } from "../../engine/commands/index.ts";
import { Allocator } from "../../engine/memory/allocator.ts";
import { Evacuation } from "../../engine/memory/evacuation.ts";
import { Key } from "../../engine/memory/key.ts";
import { Mover } from "../../engine/memory/mover.ts";
import { Type } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Segments } from "../../engine/memory/segments.ts";
import { Place } from "../../engine/shard/place.ts";
import type { Shard } from "../../engine/shard/shard.ts";
import { Hash } from "../../engine/types/hash.ts";
import { limits } from "../../engine/types/limits.ts";
import { List } from "../../engine/types/list.ts";
import { MemberSet } from "../../engine/types/set.ts";
import { SortedSet } from "../../engine/types/sorted-set.ts";
import { Engine } from "../support/engine.ts";
import { random } from "../support/random.ts";
import { shake } from "../support/shake.ts";

setDefaultTimeout(300_000);

const usual = { ...limits };
beforeAll(() => {
  // Collections change their form all the time.
  Object.assign(limits, {
    hashEntries: 12,
    setEntries: 10,
    setIntegers: 20,
    sortedSetEntries: 10,
    listSize: 24,
  });
});
afterAll(() => {
  Object.assign(limits, usual);
});

/** What a step may do beyond its budget: a leaf of the index is joined or made smaller in one piece. */
const OVERSHOOT = 120_000;

function step(shard: Shard, budget: number): boolean {
  const more = shard.defrag.step(budget);
  expect(shard.defrag.mover.budget).toBeGreaterThan(-OVERSHOOT);
  return more;
}

/** A whole cycle. Returns how many steps it took. */
function cycle(shard: Shard, budget = 120_000): number {
  shard.defrag.begin();
  let steps = 1;
  for (; step(shard, budget); steps++) if (steps > 1e6) throw new Error("a cycle has no end");
  return steps;
}

function reclaim(shard: Shard): void {
  while (shard.reclaimable) shard.reclaimStep(1000);
}

test("allocator: spans leave and stay, free runs are given back and large ones made shorter, against a shadow map", () => {
  const next = random("defrag allocator");
  const segments = Segments.create(4 << 20);
  const allocator = new Allocator(segments, true);
  const evacuation = new Evacuation(allocator, new Mover(allocator));
  const live = new Map<number, { bytes: number; stamp: number }>();
  const handles: number[] = [];
  const at = (handle: number) => (handle & 0x07ffffff) * 2;
  const write = (handle: number, bytes: number, stamp: number) => {
    const { u32 } = allocator.regionOf(handle);
    u32[at(handle)] = stamp;
    u32[at(handle) + ((bytes + 3) >> 2) - 1] = stamp;
    live.set(handle, { bytes, stamp });
  };
  const drop = (index: number) => {
    const handle = handles[index]!;
    const { bytes, stamp } = live.get(handle)!;
    const { u32 } = allocator.regionOf(handle);
    expect(u32[at(handle)]).toBe(stamp);
    expect(u32[at(handle) + ((bytes + 3) >> 2) - 1]).toBe(stamp);
    live.delete(handle);
    allocator.free(handle);
  };
  let left = 0;
  let given = 0;
  let shortened = 0;
  let choosing = false;
  for (let i = 0; i < 150_000; i++) {
    const kind = next();
    if (kind < (i % 20_000 < 9_000 ? 0.55 : 0.35)) {
      const size = next();
      const bytes = 1 + Math.floor(next() * (size < 0.8 ? 500 : size < 0.98 ? 32768 : 300_000));
      const handle = allocator.allocate(bytes);
      expect(handle).not.toBe(0);
      expect(live.has(handle)).toBe(false);
      expect(allocator.leaving(handle)).toBe(false);
      handles.push(handle);
      write(handle, bytes, i + 1);
    } else if (kind < 0.9 && handles.length > 0) {
      const index = Math.floor(next() * handles.length);
      drop(index);
      handles[index] = handles[handles.length - 1]!;
      handles.pop();
    } else if (kind < 0.96) {
      // A choice in steps, between which the map changes.
      if (!choosing) evacuation.begin();
      choosing = !evacuation.step(1 + Math.floor(next() * 300));
      left += allocator.leavingSpans;
    } else if (kind < 0.97 && next() < 0.2) allocator.stay(Math.floor(next() * 30));
    else if (kind < 0.985) {
      const before = allocator.backedBytes;
      allocator.giveBack(1 + Math.floor(next() * 200));
      given += before - allocator.backedBytes;
    } else if (handles.length > 0) {
      const index = Math.floor(next() * handles.length);
      const handle = handles[index]!;
      const { bytes, stamp } = live.get(handle)!;
      if (allocator.slotBytes(handle) > 32768) {
        const fewer = Math.max(32769, Math.floor(bytes * (0.4 + next() * 0.6)));
        if (fewer >= bytes) continue;
        allocator.shorten(handle, fewer);
        shortened++;
        expect(allocator.slotBytes(handle)).toBe(Math.ceil(fewer / 4096) * 4096);
        write(handle, fewer, stamp);
      } else if (allocator.leaving(handle)) {
        // Moved, as what lies in a leaving span is.
        drop(index);
        const created = allocator.allocate(bytes);
        expect(allocator.leaving(created)).toBe(false);
        handles[index] = created;
        write(created, bytes, stamp);
      }
    }
    if (i % 3_000 === 0) allocator.check();
  }
  expect(left).toBeGreaterThan(1_000);
  expect(given).toBeGreaterThan(1 << 20);
  expect(shortened).toBeGreaterThan(10);
  allocator.check();
  for (let i = handles.length - 1; i >= 0; i--) drop(i);
  allocator.check();
  expect(allocator.liveBytes).toBe(0);
  expect(allocator.leavingSpans).toBe(0);
  allocator.giveBack(1e9);
  expect(allocator.backedBytes).toBe(0);
  allocator.check();
});

test("allocator: what leaves is taken back when there is no other memory", () => {
  const allocator = new Allocator(Segments.create(1 << 20), true);
  const handles: number[] = [];
  for (let handle = allocator.allocate(1000); handle !== 0; handle = allocator.allocate(1000))
    handles.push(handle);
  const kept = handles.filter((_, i) => i % 10 === 0);
  for (const [i, handle] of handles.entries()) if (i % 10 !== 0) allocator.free(handle);
  const evacuation = new Evacuation(allocator, new Mover(allocator));
  evacuation.begin();
  while (!evacuation.step(100));
  expect(allocator.leavingSpans).toBeGreaterThan(100);
  let again = 0;
  while (allocator.allocate(1000) !== 0) again++;
  expect(again + kept.length).toBe(handles.length);
  expect(allocator.leavingSpans).toBe(0);
  allocator.check();
});

// Two engines run the same program, one of them with steps in between.

/** Every invariant of all keys. */
function checkAll(engine: Engine): void {
  engine.keyspace.check();
  const input = need(Region.private(4096), "names of keys");
  const key = new Key(input);
  for (let db = 0; db < 3; db++)
    for (const shard of engine.keyspace.shards) {
      const handles: number[] = [];
      shard.collect(db, handles);
      for (const handle of handles) {
        shard.open(handle);
        const bytes = shard.keyBytes();
        input.u8.set(shard.region.u8.subarray(shard.keyStart(), shard.keyStart() + bytes));
        key.set(input, 0, bytes);
        const place = new Place(shard);
        if (!place.find(shard, db, key)) continue;
        const { type } = place;
        if (type === Type.Hash) {
          const hash = new Hash();
          hash.open(place, 0);
          hash.check();
        } else if (type !== Type.String) {
          const value =
            type === Type.Set ? new MemberSet() : type === Type.List ? new List() : new SortedSet();
          value.open(place);
          value.check();
        }
      }
    }
}

/** The bulk strings and numbers of a reply, for those whose order depends on where things lie. */
const sorted = (reply: string): string => reply.split("\r\n").sort().join("\r\n");

for (const workers of [1, 2])
  test(`defrag: a program with steps in between is answered as without, ${workers === 1 ? "one shard" : "eight"}`, () => {
    const next = random("defrag program");
    const below = (bound: number) => Math.floor(next() * bound);
    const plain = new Engine(allCommands, 8 << 20, 8 << 20, workers);
    const moved = new Engine(allCommands, 8 << 20, 8 << 20, workers);
    const text = (n: number, long: number) => `${n}:${"x".repeat(next() < 0.03 ? below(long) : below(60))}`;
    const fields = new Map<number, string>();
    // The same field has the same text for ever, some of them long: those lie outside of their leaves.
    const field = () => {
      const n = below(900);
      if (!fields.has(n)) fields.set(n, n % 3 === 0 ? `${n * 1001}` : text(n, n % 2 === 0 ? 5_000 : 200));
      return fields.get(n)!;
    };
    const many = <T>(make: () => T): T[] => Array.from({ length: next() < 0.15 ? 60 : 1 + below(4) }, make);
    const ends = () => [`${below(400) - 200}`, `${below(400) - 200}`];
    const key = (kind: string) => `${kind}${below(6)}`.padEnd(next() < 0.1 ? 300 : 1, "+");
    const anyKey = () => key("hsztl"[below(5)]!);
    const program: (() => string[])[] = [
      () => ["HSET", key("h"), ...many(() => [field(), text(below(9), 40_000)]).flat()],
      () => ["HSET", key("h"), ...many(() => [field(), text(below(9), 400)]).flat()],
      () => ["HDEL", key("h"), ...many(field)],
      () => ["HGET", key("h"), field()],
      () => ["HINCRBY", key("h"), `n${below(9)}`, `${below(1e6)}`],
      () => ["HPEXPIRE", key("h"), `${1 + below(400)}`, "FIELDS", "2", field(), field()],
      () => ["SADD", key("s"), ...many(field)],
      () => ["SADD", key("s"), ...many(() => `${below(5000)}`)],
      () => ["SREM", key("s"), ...many(field)],
      () => ["SISMEMBER", key("s"), field()],
      () => [["SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"][below(3)]!, key("s"), key("s"), key("s")],
      () => ["ZADD", key("z"), ...many(() => [`${below(300)}`, field()]).flat()],
      () => ["ZADD", key("z"), ...many(() => [`${below(1e6) / 7}`, field()]).flat()],
      () => ["ZREM", key("z"), ...many(field)],
      () => ["ZRANGE", key("z"), ...ends(), "WITHSCORES"],
      () => ["ZRANK", key("z"), field()],
      () => ["ZREMRANGEBYRANK", key("z"), `${below(300)}`, `${below(300)}`],
      () => ["ZINCRBY", key("z"), `${below(9)}`, field()],
      () => [
        next() < 0.5 ? "RPUSH" : "LPUSH",
        key("l"),
        ...many(() => text(below(99), next() < 0.2 ? 30_000 : 3_000)),
      ],
      () => [next() < 0.5 ? "RPUSH" : "LPUSH", key("l"), ...many(() => text(below(99), 300))],
      () => [next() < 0.5 ? "RPOP" : "LPOP", key("l"), `${below(9)}`],
      () => ["LRANGE", key("l"), ...ends()],
      () => ["LSET", key("l"), `${below(200)}`, text(below(99), 9_000)],
      () => ["LREM", key("l"), `${below(5) - 2}`, `${below(99)}:`],
      () => ["LTRIM", key("l"), `${below(20)}`, `${below(400) - 20}`],
      () => [
        "LINSERT",
        key("l"),
        next() < 0.5 ? "BEFORE" : "AFTER",
        `${below(99)}:xxx`,
        text(below(99), 200),
      ],
      () => ["SET", key("t"), text(below(9), 90_000)],
      () => ["SET", `many:${below(3000)}`, text(below(9), 900)],
      () => ["SET", `many:${below(3000)}`, text(below(9), 900), "PX", `${1 + below(900)}`],
      () => ["DEL", ...many(() => `many:${below(3000)}`)],
      () => ["APPEND", key("t"), text(below(9), 300)],
      () => ["SETRANGE", key("t"), `${below(3000)}`, text(below(9), 300)],
      () => ["GET", key("t")],
      () => ["DEL", anyKey()],
      () => ["RENAME", anyKey(), anyKey()],
      () => ["COPY", anyKey(), anyKey(), "REPLACE"],
      () => ["MOVE", anyKey(), `${below(3)}`],
      () => ["PEXPIRE", anyKey(), `${1 + below(2000)}`],
      () => ["PERSIST", anyKey()],
      () => ["OBJECT", "ENCODING", anyKey()],
      () => ["DEBUG", "DIGEST"],
      () => ["DBSIZE"],
      () => ["KEYS", "*"],
      () => ["HGETALL", key("h")],
      () => ["SMEMBERS", key("s")],
    ];
    const rare = new Set(["DEL", "RENAME", "COPY", "MOVE", "KEYS", "DEBUG"]);
    let cycles = 0;
    let hits = 0;
    let cleared = 0;
    for (let i = 0; i < 40_000; i++) {
      const words = program[below(program.length)]!();
      if (rare.has(words[0]!) && next() < (words[0] === "DEL" && words[1]!.startsWith("many") ? 0 : 0.8))
        continue;
      if (next() < 0.003) {
        const db = below(3);
        plain.session.db = db;
        moved.session.db = db;
      }
      if (next() < 0.0003) words.splice(0, words.length, next() < 0.5 ? "FLUSHDB" : "FLUSHALL");
      if (next() < 0.0005) words.splice(0, words.length, "SWAPDB", "0", `${below(3)}`);
      const expected = plain.run(...words);
      const reply = moved.run(...words);
      if (reply !== expected && sorted(reply) !== sorted(expected))
        throw new Error(
          `step ${i}: ${words.join(" ").slice(0, 300)}: ${reply.slice(0, 300)}, not ${expected.slice(0, 300)}`,
        );
      if (next() < 0.02) {
        const ms = below(60);
        for (const engine of [plain, moved]) {
          engine.clock.nowMs += ms;
          for (const shard of engine.keyspace.shards) {
            shard.expireStep(8);
            shard.reclaimStep(64);
          }
        }
      }
      for (const shard of moved.keyspace.shards) {
        if (next() < 0.4 / moved.keyspace.shards.length) continue;
        if (!shard.defrag.running) {
          if (next() < 0.9) continue;
          shake(shard, next(), next);
          shard.defrag.begin();
          cycles++;
        }
        step(shard, next() < 0.3 ? 1 : below(20_000));
        if (next() < 0.02) shard.allocator.giveBack(below(200));
        // Where nothing may be evicted, clearing moves keys or leaves them.
        if (next() < 0.5) {
          const { moved: before } = shard.defrag.mover;
          if (next() < 0.5) shard.clearing.clearSparse(next() < 0.5);
          else shard.clearing.clearStretch();
          cleared += shard.defrag.mover.moved - before;
        }
      }
      if (i % 2_000 === 0) checkAll(moved);
    }
    for (const { defrag } of moved.keyspace.shards) hits += defrag.mover.moved;
    console.log(`defrag: ${cycles} cycles, ${hits} blocks moved, ${cleared} of them by clearing`);
    expect(cleared).toBeGreaterThan(20);
    expect(cycles).toBeGreaterThan(20);
    expect(hits).toBeGreaterThan(5_000);
    checkAll(moved);
    for (const shard of moved.keyspace.shards) {
      reclaim(shard);
      cycle(shard);
      shard.allocator.giveBack(1e9);
      expect(shard.allocator.leavingSpans).toBe(0);
    }
    checkAll(moved);
    plain.session.db = moved.session.db = 0;
    expect(moved.run("DEBUG", "DIGEST")).toBe(plain.run("DEBUG", "DIGEST"));
  });

test("defrag: a scan meets every key that stays, once, while leaves join and move under it", () => {
  const next = random("defrag scan");
  const engine = new Engine(allCommands);
  const [shard] = engine.keyspace.shards;
  const COUNT = 60_000;
  const stays = (i: number) => i % 37 === 0;
  for (let i = 0; i < COUNT; i++) engine.run("SET", `key:${i}`, "v".repeat(i % 90));
  const leaves = () => {
    let count = 0;
    const { index } = shard!;
    for (let entry = 0; entry < index.directorySize(0); entry += index.leafSpan(0, entry)) count++;
    return count;
  };
  const before = leaves();
  const doomed = Array.from({ length: COUNT }, (_, i) => i).filter((i) => !stays(i));
  for (let i = doomed.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [doomed[i], doomed[j]] = [doomed[j]!, doomed[i]!];
  }
  const seen = new Map<string, number>();
  let cursor = "0";
  let pages = 0;
  do {
    const reply = engine.run("SCAN", cursor, "COUNT", "20");
    const lines = reply.split("\r\n");
    cursor = lines[2]!;
    for (let i = 5; i < lines.length; i += 2) seen.set(lines[i]!, (seen.get(lines[i]!) ?? 0) + 1);
    pages++;
    for (let i = 0; i < 150 && doomed.length > 0; i++) engine.run("DEL", `key:${doomed.pop()}`);
    // Some are made anew: leaves grow and split again too.
    if (next() < 0.3)
      for (let i = 0; i < 20; i++) engine.run("SET", `churn:${Math.floor(next() * 500)}`, "v");
    if (!shard!.defrag.running) shard!.defrag.begin();
    step(shard!, 60_000);
  } while (cursor !== "0");
  while (doomed.length > 0) engine.run("DEL", `key:${doomed.pop()}`);
  for (let i = 0; i < COUNT; i++) if (stays(i)) expect([i, seen.get(`key:${i}`)]).toEqual([i, 1]);
  expect(pages).toBeGreaterThan(100);
  cycle(shard!);
  console.log(`defrag: ${before} leaves of the index, ${leaves()} in the end`);
  expect(leaves()).toBeLessThan(before / 8);
  engine.keyspace.check();
  for (let i = 0; i < COUNT; i++)
    expect(engine.run("EXISTS", `key:${i}`)).toBe(stays(i) ? ":1\r\n" : ":0\r\n");
});

/** Bytes in pages over those in live slots. */
const ratio = ({ allocator }: Shard) => allocator.committedBytes / allocator.liveBytes;

test("defrag: what is shredded comes back: strings of all sizes, deleted and overwritten", () => {
  Object.assign(limits, usual);
  const next = random("defrag shred");
  const engine = new Engine(allCommands);
  const shard = engine.keyspace.shards[0]!;
  const { allocator } = shard;
  const value = (bytes: number) => "v".repeat(bytes);
  const size = () => 20 + Math.floor(next() ** 2 * 1500);
  const COUNT = 60_000;
  const sizes = new Map<number, number>();
  const set = (i: number) => {
    sizes.set(i, size());
    engine.run("SET", `key:${i}`, value(sizes.get(i)!));
  };
  for (let i = 0; i < COUNT; i++) set(i);
  const settle = (name: string) => {
    const before = allocator.committedBytes;
    const steps = cycle(shard);
    while (allocator.hoards) allocator.giveBack(200);
    const payload = [...sizes].reduce((sum, [i, bytes]) => sum + `key:${i}`.length + bytes, 0);
    const resident = allocator.committedBytes + allocator.backedBytes;
    console.log(
      `defrag: ${name}: ${before} bytes, then ${resident}, ${(resident / allocator.liveBytes).toFixed(3)} of what lives, ` +
        `${(resident / payload).toFixed(3)} of what was put in, in ${steps} steps`,
    );
    // Of each size a span may be half empty; there are some 150 sizes of 4 to 64 KiB.
    const floor = 1.2e6;
    expect(resident).toBeLessThan(allocator.liveBytes * 1.05 + floor);
    expect(resident).toBeLessThan(payload * 1.12 + floor);
    shard.check();
  };
  for (let i = 0; i < COUNT; i++)
    if (next() < 0.7) {
      engine.run("DEL", `key:${i}`);
      sizes.delete(i);
    }
  expect(ratio(shard)).toBeGreaterThan(2);
  settle("70 % deleted");
  for (const i of sizes.keys()) set(i);
  settle("the rest overwritten");
  for (let i = 0; i < COUNT / 2; i++) set(i + COUNT);
  for (const i of [...sizes.keys()])
    if (next() < 0.4) {
      engine.run("DEL", `key:${i}`);
      sizes.delete(i);
    }
  settle("more, and 40 % deleted");
  for (const i of sizes.keys()) {
    const bytes = Math.ceil(sizes.get(i)! * 0.55);
    engine.run("SET", `key:${i}`, value(bytes));
    sizes.set(i, bytes);
  }
  expect(allocator.loosened).toBeGreaterThan(allocator.liveBytes / 4);
  settle("shorter, in place");
  for (const [i, bytes] of sizes) expect(engine.run("STRLEN", `key:${i}`)).toBe(`:${bytes}\r\n`);
  for (const i of sizes.keys()) engine.run("DEL", `key:${i}`);
  sizes.clear();
  cycle(shard);
  expect(allocator.committedBytes).toBeLessThan(100_000);
});

test("defrag: what is shredded comes back: large collections that shrink, and values of megabytes", () => {
  Object.assign(limits, usual);
  const next = random("defrag collections");
  const engine = new Engine(allCommands);
  const shard = engine.keyspace.shards[0]!;
  const { allocator } = shard;
  const ELEMENTS = 12_000;
  const KEYS = 6;
  const member = (i: number) => `member:${i}`.padEnd(16 + (i % 30) + (i % 50 === 0 ? 300 : 0), "m");
  for (let i = 0; i < ELEMENTS; i += 50)
    for (let key = 0; key < KEYS; key++) {
      const members = Array.from({ length: 50 }, (_, n) => member(i + n));
      engine.run("HSET", `h${key}`, ...members.flatMap((text) => [text, "v".repeat(20)]));
      engine.run("SADD", `s${key}`, ...members);
      engine.run("ZADD", `z${key}`, ...members.flatMap((text, n) => [`${(i + n) * 3}`, text]));
      engine.run("RPUSH", `l${key}`, ...members);
    }
  for (let i = 0; i < 10; i++) engine.run("SET", `large:${i}`, "x".repeat(1_000_000));
  const kept: number[] = [];
  for (let i = 0; i < ELEMENTS; i++) {
    if (next() < 0.35) {
      kept.push(i);
      continue;
    }
    for (let key = 0; key < KEYS; key++) {
      engine.run("HDEL", `h${key}`, member(i));
      engine.run("SREM", `s${key}`, member(i));
      engine.run("ZREM", `z${key}`, member(i));
    }
  }
  for (let key = 0; key < KEYS; key++) engine.run("LTRIM", `l${key}`, "100", `${ELEMENTS / 3}`);
  for (let i = 0; i < 10; i++) engine.run("SET", `large:${i}`, "x".repeat(600_000));
  const digest = engine.run("DEBUG", "DIGEST");
  const shredded = allocator.committedBytes;
  const steps = cycle(shard);
  while (allocator.hoards) allocator.giveBack(200);
  console.log(
    `defrag: collections: ${shredded} bytes, then ${allocator.committedBytes}, ${ratio(shard).toFixed(3)} of what lives, in ` +
      `${steps} steps`,
  );
  expect(engine.run("DEBUG", "DIGEST")).toBe(digest);
  checkAll(engine);
  const large = 10 * Math.ceil(600_100 / 4096) * 4096;
  const resident = allocator.committedBytes + allocator.backedBytes - large;
  expect(resident).toBeLessThan((allocator.liveBytes - large) * 1.05 + 800_000);
  // As it would be if only what is left had ever been put in.
  const fresh = new Engine(allCommands);
  for (let key = 0; key < KEYS; key++) {
    for (let i = 0; i < kept.length; i += 50) {
      const part = kept.slice(i, i + 50);
      fresh.run("HSET", `h${key}`, ...part.flatMap((n) => [member(n), "v".repeat(20)]));
      fresh.run("SADD", `s${key}`, ...part.map(member));
      fresh.run("ZADD", `z${key}`, ...part.flatMap((n) => [`${n * 3}`, member(n)]));
    }
    for (let i = 100; i <= ELEMENTS / 3; i += 50)
      fresh.run(
        "RPUSH",
        `l${key}`,
        ...Array.from({ length: Math.min(50, ELEMENTS / 3 - i + 1) }, (_, n) => member(i + n)),
      );
  }
  for (let i = 0; i < 10; i++) fresh.run("SET", `large:${i}`, "x".repeat(600_000));
  expect(fresh.run("DEBUG", "DIGEST")).toBe(digest);
  const due = fresh.keyspace.shards[0]!.allocator.liveBytes;
  console.log(
    `defrag: collections: ${(allocator.liveBytes / due).toFixed(3)} of what lives when they are new`,
  );
  expect(allocator.liveBytes).toBeLessThan(due * 1.1);
});

test("defrag: one large table's leaves, which grew together, come to lie together", () => {
  Object.assign(limits, usual);
  for (const [command, words] of [
    ["SADD", (text: string) => [text]],
    ["HSET", (text: string) => [text, "0123456789"]],
    ["ZADD", (text: string, n: number) => [`${(n * 7919) % 100_003}`, text]],
  ] as const) {
    const engine = new Engine(allCommands);
    const shard = engine.keyspace.shards[0]!;
    const COUNT = 200_000;
    for (let i = 0; i < COUNT; i += 100)
      engine.run(
        command,
        "k",
        ...Array.from({ length: 100 }, (_, n) => words(`${i + n}`.padStart(16, "m"), i + n)).flat(),
      );
    const grown = shard.allocator.committedBytes;
    cycle(shard);
    const { committedBytes, liveBytes } = shard.allocator;
    const each = (bytes: number) => (bytes / COUNT).toFixed(1);
    console.log(
      `defrag: ${command}: ${each(grown)} bytes an element, then ${each(committedBytes)}, ${each(liveBytes)} live`,
    );
    // Leaves are of some ten sizes, with spans of up to 128 KiB.
    expect(committedBytes).toBeLessThan(liveBytes * 1.05 + 800_000);
    expect(committedBytes).toBeLessThan(grown * 0.75);
    checkAll(engine);
  }
});

test("defrag: a walk through a list goes on where it was, whatever becomes of the chunk it was at", () => {
  Object.assign(limits, usual);
  const next = random("defrag list");
  const below = (bound: number) => Math.floor(next() * bound);
  const engine = new Engine(allCommands);
  const shard = engine.keyspace.shards[0]!;
  const model: string[] = [];
  const text = () => `${below(1e6)}`.padEnd(below(300), "e");
  for (let round = 0; round < 400; round++) {
    const texts = Array.from({ length: 60 }, text);
    model.push(...texts);
    engine.run("RPUSH", "l", ...texts);
    engine.run("RPUSH", "other", ...texts);
    if (next() < 0.5) engine.run("DEL", "other");
    if (!shard.defrag.running) {
      shake(shard, next(), next);
      shard.defrag.begin();
    }
    for (let i = below(4); i > 0; i--) step(shard, 1 + below(2_000));
    const from = below(model.length);
    const action = below(5);
    if (action === 0) {
      model.splice(0, Math.min(50, model.length - 1));
      engine.run("LTRIM", "l", "50", "-1");
      if (model.length !== Number(engine.run("LLEN", "l").slice(1))) throw new Error("LTRIM went wrong");
    } else if (action === 1) {
      const [value] = model.splice(from, 1);
      const twice = model.indexOf(value!);
      if (twice >= 0 && twice < from) model.splice(from, 0, ...model.splice(twice, 1));
      engine.run("LREM", "l", "1", value!);
      model.splice(0, model.length, ...bulks(engine.run("LRANGE", "l", "0", "-1")));
    } else if (action === 2) {
      const value = text();
      model[from] = value;
      engine.run("LSET", "l", `${from}`, value);
    } else if (action === 3) {
      const value = text();
      model.splice(model.indexOf(model[from]!), 0, value);
      engine.run("LINSERT", "l", "BEFORE", model[model.indexOf(value) + 1]!, value);
    } else if (model.length > 3_000) {
      model.splice(2_000);
      engine.run("LTRIM", "l", "0", "1999");
    }
    if (round % 20 === 0) {
      expect(bulks(engine.run("LRANGE", "l", "0", "-1"))).toEqual(model);
      checkAll(engine);
    }
  }
});

/** The bulk strings of an array of them. */
function bulks(reply: string): string[] {
  const lines = reply.split("\r\n");
  const items: string[] = [];
  for (let i = 1; i < lines.length - 1; i += 2) items.push(lines[i + 1]!);
  return items;
}
