// eviction.test.ts: what is followed survives everything that can happen to a shard (insertions, deletions, growth, merges,
// databases exchanged and flushed, a second worker, hits without the lock), victims are keys that may go, and the policy
// keeps what it is meant to keep: a hot set under a scan, a part of a loop, what is recent, what is not due soon.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allCommands } from "../../engine/commands/index.ts";
import { Key } from "../../engine/memory/key.ts";
import { Mover } from "../../engine/memory/mover.ts";
import { Encoding } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Segments } from "../../engine/memory/segments.ts";
import { Clock } from "../../engine/shard/clock.ts";
import { type Eviction, evictionRules } from "../../engine/shard/eviction.ts";
import { Shard } from "../../engine/shard/shard.ts";
import { Engine } from "../support/engine.ts";
import { random, seeded } from "../support/random.ts";

type PolicyName = keyof typeof evictionRules;

const SEGMENT = 64 << 20;

/** A shard of one worker, or another worker's view of it. */
class Driver {
  readonly shard: Shard;
  readonly eviction: Eviction;
  readonly segments: Segments;
  readonly register: Segments;
  readonly input = need(Region.private(1 << 16), "test input");
  readonly key = new Key(this.input);

  constructor(
    policy: PolicyName,
    chance: () => number,
    readonly clock = new Clock(1_000_000),
    like: Driver | null = null,
  ) {
    const view = (segments: Segments) => Segments.attach(segments.at(0).address, segments.segmentBytes);
    this.segments = like === null ? Segments.create(SEGMENT) : view(like.segments);
    this.register = like === null ? Segments.create(1 << 20) : view(like.register);
    this.shard = new Shard(this.segments, this.register, clock, true, undefined, 0, chance);
    this.eviction = this.shard.eviction;
    this.eviction.configure(evictionRules[policy]);
  }

  at(name: number): Key {
    this.input.u32[0] = name;
    this.key.set(this.input, 0, 4);
    return this.key;
  }

  get(db: number, name: number, exclusive = true): boolean {
    const key = this.at(name);
    if (this.shard.find(db, key) === 0) return false;
    this.eviction.hit(db, key, exclusive);
    return true;
  }

  /** Stores a key that is not there. */
  add(db: number, name: number, deadlineMs = 0): void {
    const key = this.at(name);
    expect(this.shard.setString(db, key, this.input, 64, 8, Encoding.Bytes, deadlineMs)).toBe(true);
    // The index still stands at the key.
    const { foundRegion, foundWord } = this.shard.index;
    expect(foundRegion.u32[foundWord]).toBe(this.shard.handle);
  }

  /** Evicts one key; its name, or -1. */
  evict(): number {
    const { eviction, shard } = this;
    const handle = eviction.victim();
    if (handle === 0) return -1;
    shard.open(handle);
    const name = shard.region.view.getUint32(shard.keyStart(), true);
    expect(this.at(name).low).toBe(eviction.victimKey.low);
    shard.removeHandle(eviction.victimDb, eviction.victimKey);
    return name;
  }

  /** A request to a cache of `capacity` keys. */
  request(name: number, capacity: number): boolean {
    if (this.get(0, name)) return true;
    while (this.shard.keys(0) >= capacity) expect(this.evict()).not.toBe(-1);
    this.add(0, name);
    return false;
  }

  check(): void {
    this.shard.check();
  }
}

test("eviction: counts and states are right after any history, of two workers", () => {
  const chance = random("eviction");
  const one = new Driver("allkeys-lru", chance);
  const two = new Driver("allkeys-lru", chance, one.clock, one);
  expect(one.eviction.follow(3_000)).toBe(true);
  expect(two.eviction.following).toBe(true);
  const model = Array.from({ length: 3 }, () => new Map<number, number>()); // name to deadline
  const size = () => model.reduce((sum, each) => sum + each.size, 0);
  let cleared = 0;
  for (let step = 0; step < 120_000; step++) {
    const d = chance() < 0.5 ? one : two;
    const db = Math.floor(chance() * 3);
    const name = Math.floor(chance() * 6_000);
    const kind = chance();
    const there = model[db]!.has(name);
    if (kind < 0.5) expect(d.get(db, name, chance() < 0.5)).toBe(there);
    else if (kind < 0.8 && !there) {
      const limit = step < 60_000 ? 3_000 : 5_000;
      while (size() >= limit) {
        const gone = d.evict();
        const from = model[d.eviction.victimDb]!;
        expect(from.delete(gone)).toBe(true);
      }
      const deadline = chance() < 0.2 ? 1e12 : 0;
      d.add(db, name, deadline);
      model[db]!.set(name, deadline);
    } else if (kind < 0.85) {
      expect(d.shard.remove(db, d.at(name))).toBe(there);
      model[db]!.delete(name);
    } else if (kind < 0.9 && there) {
      // A longer value: another record.
      d.shard.find(db, d.at(name));
      expect(d.shard.resizeValue(db, d.key, d.shard.handle, 20 + Math.floor(chance() * 200), false)).toBe(
        true,
      );
    } else if (kind > 0.9995) {
      const other = Math.floor(chance() * 3);
      d.shard.swap(db, other);
      const kept = model[db]!;
      model[db] = model[other]!;
      model[other] = kept;
    } else if (kind > 0.9993 && model.filter((each) => each.size > 0).length > 1) {
      d.shard.flush(db);
      model[db]!.clear();
    } else if (kind > 0.999) {
      // What defragmentation does with leaves: joins, shrinks, moves.
      const mover = new Mover(d.shard.allocator);
      for (let position = 0; position < 2 ** 32 && d.shard.keys(db) > 0; ) {
        d.shard.index.relocateLeaf(db, position, mover);
        position = d.shard.index.endOf(d.shard.index.leafOn(db, position));
      }
    } else if (kind > 0.998) {
      if (chance() < 0.5) d.shard.clearing.clearStretch();
      else d.shard.clearing.clearSparse(chance() < 0.5);
      for (let each = 0; each < 3; each++)
        for (const name of model[each]!.keys())
          if (d.shard.look(each, d.at(name)) === 0) {
            model[each]!.delete(name);
            cleared++;
          }
    }
    if (step % 5_000 === 0) {
      one.check();
      two.check();
      for (let each = 0; each < 3; each++) expect(one.shard.keys(each)).toBe(model[each]!.size);
    }
  }
  one.check();
  expect(cleared).toBeGreaterThan(1_000);
  expect(one.eviction.heldBytes).toBeLessThan(10_240 + 0.6 * 5_000);
  one.shard.flushAll();
  one.eviction.reset();
  expect(one.eviction.following).toBe(false);
  expect(two.get(0, 1)).toBe(false);
  expect(two.eviction.heldBytes).toBe(0);
  expect(two.eviction.follow(100)).toBe(true);
  two.add(0, 1);
  expect(one.get(0, 1)).toBe(true);
  two.check();
});

test("eviction: the same seed gives the same victims", () => {
  const run = (seed: number) => {
    const chance = seeded(seed);
    const names = seeded(seed + 1);
    const d = new Driver("allkeys-lru", chance);
    d.eviction.follow(500);
    const victims: number[] = [];
    for (let i = 0; i < 20_000; i++) {
      const name = Math.floor(2_000 * names() ** 3);
      if (d.get(0, name)) continue;
      if (d.shard.keys(0) >= 500) victims.push(d.evict());
      d.add(0, name);
    }
    return victims;
  };
  expect(run(5)).toEqual(run(5));
  expect(run(5)).not.toEqual(run(6));
});

test("eviction: keys that were there before anything was followed go before those asked for since", () => {
  const chance = random("unknown");
  const d = new Driver("allkeys-lfu", chance);
  for (let name = 0; name < 2_000; name++) {
    const key = d.at(name);
    d.shard.setString(0, key, d.input, 64, 8, Encoding.Bytes, 0);
  }
  expect(d.evict()).not.toBe(-1); // at random: nothing is followed
  d.eviction.follow(2_000);
  for (let i = 0; i < 60_000; i++) d.request(10_000 + Math.floor(1_200 * chance()), 2_000);
  let kept = 0;
  for (let name = 10_000; name < 11_200; name++) if (d.get(0, name)) kept++;
  expect(kept).toBeGreaterThan(1_150);
  d.check();
});

test("eviction: a hot set survives a scan, a part of a loop is kept, and what is recent when that is what counts", () => {
  const chance = random("workloads");
  const capacity = 1_000;
  const ratio = (next: (i: number) => number, requests: number) => {
    const d = new Driver("allkeys-lru", chance);
    d.eviction.follow(capacity);
    let hits = 0;
    for (let i = 0; i < requests; i++) if (d.request(next(i), capacity) && i >= requests / 2) hits++;
    d.check();
    return hits / (requests / 2);
  };
  // Every third request is for one of 700 keys, the others are for new ones: LRU would keep half of those keys.
  expect(ratio((i) => (i % 3 === 0 ? Math.floor(700 * chance()) : 1_000 + i), 60_000)).toBeGreaterThan(0.31);
  // LRU never hits here.
  expect(ratio((i) => i % 1_500, 30_000)).toBeGreaterThan(0.6);
  // A loop of 600 begins after another: half of the requests are for it, the others for new keys. Each of its keys comes
  // back after more new ones than the window holds: only what is remembered of those that went brings them in.
  const loop = (i: number) => (i % 2 === 0 ? i / 2 : 1_000_000 + (i < 6_000 ? 0 : 10_000) + ((i >> 1) % 600));
  expect(ratio(loop, 24_000)).toBeGreaterThan(0.3);
  // Each key is asked for five times soon after it first appears, and never again: keeping the old is worth nothing.
  expect(ratio((i) => Math.floor(i / 5) - Math.floor(300 * chance()) + 1_000, 100_000)).toBeGreaterThan(0.75);
});

test("eviction: where sizes differ, more is hit than with LRU in the same bytes, and about as many bytes", () => {
  const chance = random("sizes");
  const NAMES = 30_000;
  const sums = new Float64Array(NAMES);
  for (let i = 0; i < NAMES; i++) sums[i] = (i === 0 ? 0 : sums[i - 1]!) + 1 / (i + 1) ** 0.9;
  const draw = () => {
    const drawn = chance() * sums[NAMES - 1]!;
    let [from, to] = [0, NAMES - 1];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (sums[middle]! < drawn) from = middle + 1;
      else to = middle;
    }
    return from;
  };
  const sizes = Array.from({ length: NAMES }, () => Math.floor(20 * 100 ** chance()));
  const d = new Driver("allkeys-lru", chance);
  const { shard, eviction, key, input } = d;
  eviction.follow(1_000);
  const room = 3 << 20;
  const ours = { hits: 0, bytes: 0 };
  const lru = { hits: 0, bytes: 0 };
  let [all, allBytes, used] = [0, 0, 0];
  const recent = new Map<number, number>();
  for (let i = 0; i < 400_000; i++) {
    const name = draw();
    const size = sizes[name]!;
    const counts = i >= 200_000;
    if (counts) all++;
    if (counts) allBytes += size;
    if (d.get(0, name)) {
      if (counts) ours.hits++;
      if (counts) ours.bytes += size;
    } else {
      while (shard.allocator.liveBytes > room) expect(d.evict()).not.toBe(-1);
      d.at(name);
      expect(shard.setString(0, key, input, 64, size, Encoding.Bytes, 0)).toBe(true);
    }
    const slot = recent.get(name);
    if (slot !== undefined) {
      recent.delete(name);
      recent.set(name, slot);
      if (counts) lru.hits++;
      if (counts) lru.bytes += size;
      continue;
    }
    recent.set(name, size + 12);
    used += size + 12;
    for (const [oldest, bytes] of recent) {
      if (used <= room) break;
      used -= bytes;
      recent.delete(oldest);
    }
  }
  const shares = [ours.hits / all, lru.hits / all, ours.bytes / allBytes, lru.bytes / allBytes];
  console.log(
    `eviction: sizes of 20 to 2,000 B: hits, of LRU, bytes, of LRU: ${shares.map((one) => one.toFixed(3))}`,
  );
  expect(shares[0]!).toBeGreaterThan(shares[1]! + 0.08);
  expect(shares[2]!).toBeGreaterThan(shares[3]! - 0.03);
  d.check();
});

test("eviction: a collection with pages counts as large, however small its record is", () => {
  const engine = new Engine(allCommands);
  const shard = engine.keyspace.shards[0]!;
  const { eviction } = shard;
  const chance = random("pages");
  eviction.configure(evictionRules["allkeys-lru"]);
  eviction.follow(4_000);
  const name = (i: number) => `${i % 10 === 0 ? "h" : "s"}${i}`;
  const ask = (i: number) => {
    const input = need(Region.private(4096), "a key");
    const text = Buffer.from(name(i));
    input.u8.set(text);
    const key = new Key(input);
    key.set(input, 0, text.length);
    expect(shard.find(0, key)).not.toBe(0);
    shard.touch(0, key);
  };
  const count = (letter: string) =>
    engine
      .run("KEYS", `${letter}*`)
      .split("\r\n")
      .filter((line) => line.startsWith(letter)).length;
  for (let i = 0; i < 4_000; i++)
    if (i % 10 === 0) {
      const fields = Array.from({ length: 100 }, (_, n) => [`field:${n}`, "v".repeat(80)]).flat();
      engine.run("HSET", name(i), ...fields);
    } else engine.run("SET", name(i), "v".repeat(Math.floor(50 * 20 ** chance())));
  // All are asked for alike, long enough after they came that it brings them into the main part.
  for (let round = 0; round < 3; round++) for (let i = 0; i < 4_000; i++) ask(i);
  for (let gone = 0; gone < 2_000; gone++) expect(shard.evict()).toBe(true);
  console.log(`eviction: of 400 large hashes ${count("h")} are left, of 3,600 strings ${count("s")}`);
  expect(count("h")).toBeLessThan(80);
});

test("eviction: where spans are emptied in a hurry, what is worth little goes and the rest is moved", () => {
  const chance = random("shed");
  for (const policy of ["allkeys-lru", "allkeys-random", "volatile-lru", "noeviction"] as const) {
    const d = new Driver(policy, chance);
    const { shard } = d;
    d.eviction.follow(20_000);
    const asked = (name: number) => name % 10 === 0;
    for (let name = 0; name < 20_000; name++) d.add(0, name, name % 2 === 0 ? 1e12 : 0);
    // Hits of several epochs, as far as those go without insertions.
    for (let round = 0; round < 6; round++) {
      for (let name = 0; name < 20_000; name += 10) d.get(0, name); // one or the other has gone
      for (let name = 0; name < 500; name++) d.add(1, round * 500 + name, 1e12);
      if (policy !== "noeviction") expect(d.evict()).not.toBe(-1);
    }
    for (let name = 0; name < 20_000; name++) if (!asked(name) && chance() < 0.5) shard.remove(0, d.at(name));
    const there = (name: number) => shard.look(0, d.at(name)) !== 0;
    const all = Array.from({ length: 20_000 }, (_, name) => name).filter(there);
    const evicted = shard.evictedKeys;
    const { committedBytes } = shard.allocator;
    for (let step = 0; step < 6; step++) {
      shard.clearing.clearStretch();
      shard.allocator.check();
    }
    d.check();
    const left = all.filter(there);
    const gone = all.length - left.length;
    console.log(
      `eviction: ${policy}: of ${all.length} keys ${gone} went, ${committedBytes} bytes became ${shard.allocator.committedBytes}`,
    );
    expect(shard.allocator.committedBytes).toBeLessThan(committedBytes);
    if (policy === "noeviction") expect(gone).toBe(0);
    else expect(gone).toBeGreaterThan(100);
    expect(shard.evictedKeys - evicted).toBeGreaterThanOrEqual(gone);
    if (policy === "allkeys-lru") expect(left.filter(asked).length).toBe(all.filter(asked).length);
    if (policy === "volatile-lru")
      expect(left.filter((name) => name % 2 === 1).length).toBe(all.filter((name) => name % 2 === 1).length);
  }
});

test("eviction: volatile policies take keys with a deadline only, and none when there are none", () => {
  for (const policy of ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] as const) {
    const chance = random(policy);
    const d = new Driver(policy, chance);
    d.eviction.follow(4_000);
    for (let name = 0; name < 4_000; name++)
      d.add(0, name, name % 4 === 0 ? 1e12 + ((name * 7919) % 4_000) : 0);
    const gone: number[] = [];
    for (let i = 0; i < 600; i++) gone.push(d.evict());
    expect(gone.every((name) => name % 4 === 0)).toBe(true);
    expect(new Set(gone).size).toBe(600);
    if (policy === "volatile-ttl") {
      // Of 1,000 deadlines spread evenly the 600 that went are clearly the earlier ones.
      const mean = gone.reduce((sum, name) => sum + ((name * 7919) % 4_000), 0) / 600;
      expect(mean).toBeLessThan(1_700);
    }
    // A key gets its deadline later.
    const handle = d.shard.find(0, d.at(1));
    expect(d.shard.setDeadline(0, d.key, handle, 1e12)).toBe(true);
    for (let i = 0; i < 401; i++) gone.push(d.evict());
    expect(gone).toContain(1);
    expect(d.shard.keys(0)).toBe(2_999);
    expect(d.evict()).toBe(-1);
    d.check();
  }
});

test("eviction: volatile-ttl takes what is due soon, also where few keys are due at all", () => {
  const chance = random("ttl");
  for (const every of [1, 100]) {
    const d = new Driver("volatile-ttl", chance);
    const due = (name: number) => (name * 7919) % 30_000;
    for (let name = 0; name < 30_000; name++) d.add(0, name, name % every === 0 ? 1e12 + due(name) : 0);
    let sum = 0;
    for (let i = 0; i < 100; i++) sum += due(d.evict());
    // At random it were a half.
    expect(sum / 100 / 30_000).toBeLessThan(every === 1 ? 0.2 : 0.35);
  }
});

test("eviction: the benchmark gives the same ratio for a trace from a file, alone on its last line", async () => {
  const folder = mkdtempSync(join(tmpdir(), "eviction-"));
  const next = seeded(11);
  const keys = Uint32Array.from({ length: 5_000 }, () => Math.floor(800 * next() ** 2));
  const file = join(folder, "squares.u32.gz");
  writeFileSync(file, Bun.gzipSync(new Uint8Array(keys.buffer)));
  const run = async (...words: string[]) => {
    const script = join(import.meta.dir, "../../scripts/bench/eviction.ts");
    const child = Bun.spawn([process.execPath, script, ...words], { stdout: "pipe", stderr: "pipe" });
    const output = await new Response(child.stdout).text();
    expect(await child.exited).toBe(0);
    return output.trim().split("\n");
  };
  const alone = (await run("--trace", file, "--capacity", "80")).at(-1)!;
  expect(alone).toMatch(/^\d+\.\d\d$/);
  const rows = await run("--traces", folder);
  expect(rows).toHaveLength(2 + 3 + 1);
  const cells = rows[3]!.split("|").map((cell) => cell.trim());
  expect(cells[2]).toBe(`${Math.floor((Math.max(...keys) + 1) / 10)}`);
  const [min, lru, redis, s3fifo, ours] = cells.slice(3, 8).map(Number);
  for (const other of [lru, redis, s3fifo, ours]) expect(other).toBeLessThan(min!);
  expect(ours).toBeGreaterThan(lru!);
  if (cells[2] === "80") expect(Number(alone)).toBeCloseTo(ours!, 0);
  const mixed = await run("--scale", "2000", "--mix", "block");
  expect(mixed).toHaveLength(2 + 2 + 1);
  rmSync(folder, { recursive: true });
});

test("eviction: allkeys-random takes any key alike, in any database; noeviction takes none", () => {
  const chance = random("any");
  const d = new Driver("allkeys-random", chance);
  const drawn = new Float64Array(4);
  for (let round = 0; round < 400; round++) {
    for (let name = 0; name < 40; name++) if (!d.get(name % 2, name)) d.add(name % 2, name);
    for (let i = 0; i < 10; i++) {
      const name = d.evict();
      drawn[Math.floor(name / 10)] = drawn[Math.floor(name / 10)]! + 1;
    }
  }
  for (const count of drawn) expect(count).toBeGreaterThan(750);
  d.eviction.configure(evictionRules.noeviction);
  expect(d.evict()).toBe(-1);
});

test("eviction: idle times and frequencies, in the window and in the main part", () => {
  const d = new Driver("allkeys-lru", seeded(3));
  d.eviction.follow(100);
  const told = (name: number) => {
    expect(d.shard.find(0, d.at(name))).not.toBe(0);
    return { idle: d.eviction.idleMs, frequency: d.eviction.frequency };
  };
  // Every request takes a second. Key 0 is asked for every tenth time; its like come and go.
  for (let i = 0; i < 5_000; i++) {
    d.clock.nowMs += 1_000;
    d.request(i % 10 === 0 ? 0 : 1 + i, 100);
  }
  expect(told(0).idle).toBeLessThanOrEqual(200_000);
  const often = told(0).frequency;
  expect(often).toBeGreaterThan(10);
  expect(told(4_999)).toEqual({ idle: 0, frequency: 5 });
  for (let i = 5_000; i < 9_000; i++) {
    d.clock.nowMs += 1_000;
    d.request(i % 3 === 0 ? 100_000 + (i % 60) : i, 100);
  }
  if (d.shard.find(0, d.at(0)) !== 0) {
    expect(told(0).idle).toBeGreaterThan(1_000_000);
    expect(told(0).frequency).toBeLessThan(often);
  }
  expect(d.get(0, 5)).toBe(false);
});

test("eviction: hits seen without the lock count like others, and those of keys that have gone do no harm", () => {
  const chance = random("without the lock");
  const ratio = (exclusive: boolean) => {
    const d = new Driver("allkeys-lru", chance);
    d.eviction.follow(500);
    let hits = 0;
    for (let i = 0; i < 40_000; i++) {
      const name = i % 2 === 0 ? Math.floor(400 * chance()) : 1_000 + i;
      if (d.get(0, name, exclusive)) {
        if (i >= 20_000) hits++;
        continue;
      }
      while (d.shard.keys(0) >= 500) d.evict();
      d.add(0, name);
      if (chance() < 0.1) d.shard.remove(0, d.at(1_000 + Math.floor(i * chance())));
    }
    d.check();
    return hits / 20_000;
  };
  const under = ratio(true);
  expect(under).toBeGreaterThan(0.45);
  expect(Math.abs(ratio(false) - under)).toBeLessThan(0.02);
});

test("eviction: the block moves when its span leaves, and grows with the number of keys", () => {
  const chance = random("block");
  const d = new Driver("allkeys-lru", chance);
  d.eviction.follow(300);
  const small = d.eviction.heldBytes;
  for (let i = 0; i < 3_000; i++) d.request(Math.floor(600 * chance()), 300);
  const mover = new Mover(d.shard.allocator);
  mover.leaving = () => true; // every block is asked to move
  d.eviction.relocate(mover);
  d.check();
  for (let i = 0; i < 3_000; i++) d.request(Math.floor(600 * chance()), 300);
  d.check();
  // Values have become smaller: there is room for many more keys than there was.
  for (let i = 0; i < 60_000; i++) d.request(Math.floor(40_000 * chance()), 20_000);
  expect(d.eviction.heldBytes).toBeGreaterThan(small + 8_000);
  d.check();
});
