// reuse.test.ts: what is told of other sizes of memory against caches of those sizes, and of the gap to MIN against one that
// knows every access. Commands go through the engine; an LRU of the test's own makes room in it.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { allCommands } from "../../engine/commands/index.ts";
import { seedHash } from "../../engine/memory/hash.ts";
import { Key } from "../../engine/memory/key.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { type Curve, Findings, Reuse } from "../../engine/shard/reuse.ts";
import { Access, MOST_SAMPLED, Ring, SampleReader, samples } from "../../engine/shard/samples.ts";
import { Engine } from "../support/engine.ts";
import { random } from "../support/random.ts";

/** Draws ranks from 0 on, with probabilities as 1 / (rank + 1) ^ alpha. */
function zipf(keys: number, alpha: number, chance: () => number): () => number {
  const sums = new Float64Array(keys);
  let sum = 0;
  for (let i = 0; i < keys; i++) {
    sum += (i + 1) ** -alpha;
    sums[i] = sum;
  }
  return () => {
    const drawn = chance() * sum;
    let low = 0;
    for (let high = keys - 1; low < high; ) {
      const middle = (low + high) >> 1;
      if (sums[middle]! < drawn) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

/** An LRU of so many bytes, as a linked list. It tells what it drops. */
class Lru {
  hits = 0;
  private held = 0;
  private readonly newer: Int32Array;
  private readonly older: Int32Array;

  constructor(
    keys: number,
    readonly bytes: number,
    private readonly sizes: Int32Array,
    private readonly drop: (key: number) => void = () => {},
  ) {
    // Place `keys` is the end of both lists; -1 is not in.
    this.newer = new Int32Array(keys + 1).fill(-1);
    this.older = new Int32Array(keys + 1).fill(-1);
    this.newer[keys] = keys;
    this.older[keys] = keys;
  }

  private unlink(key: number): void {
    const { newer, older } = this;
    older[newer[key]!] = older[key]!;
    newer[older[key]!] = newer[key]!;
    newer[key] = -1;
  }

  ask(key: number): boolean {
    const { newer, older, sizes } = this;
    const end = newer.length - 1;
    const hit = newer[key] !== -1;
    if (hit) {
      this.hits++;
      this.unlink(key);
    } else this.held += sizes[key]!;
    const newest = older[end]!;
    newer[newest] = key;
    older[key] = newest;
    newer[key] = end;
    older[end] = key;
    while (this.held > this.bytes) {
      const oldest = newer[end]!;
      this.unlink(oldest);
      this.held -= sizes[oldest]!;
      this.drop(oldest);
    }
    return hit;
  }
}

/** Hits of MIN in so many bytes: whatever is asked for latest, or never again, goes. */
function best(accesses: Int32Array, sizes: Int32Array, bytes: number): number {
  const never = accesses.length;
  const next = new Int32Array(never);
  const seen = new Int32Array(sizes.length).fill(never);
  for (let i = never - 1; i >= 0; i--) {
    next[i] = seen[accesses[i]!]!;
    seen[accesses[i]!] = i;
  }
  // Kept keys by their next access, marked in a tree of maxima.
  const width = 2 ** Math.ceil(Math.log2(never));
  const furthest = new Int32Array(2 * width).fill(-1);
  const mark = (place: number, value: number) => {
    let at = width + place;
    furthest[at] = value;
    for (at >>= 1; at > 0; at >>= 1) furthest[at] = Math.max(furthest[2 * at]!, furthest[2 * at + 1]!);
  };
  let held = 0;
  let hits = 0;
  for (let i = 0; i < never; i++) {
    const size = sizes[accesses[i]!]!;
    if (furthest[width + i] === i) {
      hits++;
      held -= size;
      mark(i, -1);
    }
    if (next[i] === never) continue;
    mark(next[i]!, next[i]!);
    held += size;
    while (held > bytes) {
      const last = furthest[1]!;
      held -= sizes[accesses[last]!]!;
      mark(last, -1);
    }
  }
  return hits;
}

const shares = [0.25, 0.5, 1, 2, 4];

interface Outcome {
  readonly curve: Curve;
  /** Hit ratio of an LRU at each of the shares of the present size. */
  readonly real: ReadonlyMap<number, number>;
  /** What MIN would hit more than the present LRU. */
  readonly gap: number;
}

let reader: SampleReader;

beforeAll(() => {
  reader = SampleReader.create(1);
  samples.attach(reader.plan, 0);
});

afterAll(() => {
  samples.below = 0;
  seedHash(0, 0);
});

/** Plays accesses as a client would: GET, and SET where that missed. The memory holds `share` of all keys. Which keys are
 *  sampled is up to `seed`. */
function play(accesses: Int32Array, keys: number, share: number, seed: number): Outcome {
  seedHash(seed, ~seed);
  const engine = new Engine(allCommands);
  const { call, clock, keyspace } = engine;
  // A quarter of the keys: as many as one in sixteen of four times the keys, at a quarter of the time.
  const reuse = new Reuse(reader, 32768, 65536 / 4);
  reuse.on = true;
  samples.publish(0, 0);
  // Values of 40 to 440 bytes; with header, key, rounding and the index's share.
  const values = Int32Array.from({ length: keys }, (_, i) => 40 + ((i * 7919) % 401));
  const sizes = values.map((bytes) => ((bytes + (bytes > 255 ? 8 : 4) + 8 + 7) & ~7) + 8);
  const present = sizes.reduce((sum, bytes) => sum + bytes, 0) * share;
  const name = (which: number) => String(which).padStart(8, "0");
  const text = need(Region.private(4096), "a key");
  const key = new Key(text);
  const live = new Lru(keys, present, sizes, (which) => {
    text.u8.set(Buffer.from(name(which)));
    key.set(text, 0, 8);
    keyspace.shards[0]!.removeHandle(0, key);
  });
  const others = shares.map((each) => new Lru(keys, present * each, sizes));
  const value = "x".repeat(500);
  for (let i = 0; i < accesses.length; i++) {
    const which = accesses[i]!;
    const missed = engine.run("get", name(which)) === "$-1\r\n";
    if (missed) engine.run("set", name(which), value.slice(0, values[which]));
    if (live.ask(which) === missed) throw new Error("the engine's keys are not the LRU's");
    for (const lru of others) lru.ask(which);
    if (i % 1000 !== 999) continue;
    clock.nowMs += 10;
    samples.publish(call.hits + call.misses, call.hits);
    reuse.tick(20_000, present, clock.nowMs);
  }
  // The replay of what was logged begins a minute after the last, and takes a call for each of its parts.
  for (let i = 0; i < 20; i++) reuse.tick(20_000, present, clock.nowMs + 60_000);
  const curve = new Findings(reader.plan).read(present, true);
  reuse.on = false;
  samples.publish(0, 0);
  const { length } = accesses;
  return {
    curve,
    real: new Map(shares.map((each, i) => [each, others[i]!.hits / length])),
    gap: (best(accesses, sizes, present) - live.hits) / length,
  };
}

/** Holds what was told against what was. */
function judge({ curve, real, gap }: Outcome): void {
  expect(curve.known).toBe(true);
  for (const [share, ratio] of real) {
    console.log(
      `${share}: ${ratio.toFixed(4)}, told ${curve.lru(curve.presentBytes * share).toFixed(4)} and ` +
        `${curve.at(curve.presentBytes * share).toFixed(4)}`,
    );
    expect(Math.abs(curve.lru(curve.presentBytes * share) - ratio)).toBeLessThan(0.03);
    expect(Math.abs(curve.at(curve.presentBytes * share) - ratio)).toBeLessThan(0.03);
  }
  console.log(`gap ${gap.toFixed(4)}, told ${curve.gap.toFixed(4)} +- ${curve.gapInterval.toFixed(4)}`);
  expect(Math.abs(curve.gap - gap)).toBeLessThan(Math.max(0.02, curve.gapInterval));
}

describe("what memory buys", () => {
  test("Zipf 0.9", () => {
    const chance = random("zipf");
    const draw = zipf(60_000, 0.9, chance);
    judge(play(Int32Array.from({ length: 200_000 }, draw), 60_000, 0.1, (chance() * 2 ** 32) | 0));
  }, 120_000);

  test("half Zipf, half a loop of one and a half times the memory", () => {
    const chance = random("loop");
    const draw = zipf(30_000, 0.9, chance);
    let at = 0;
    const next = () => (chance() < 0.5 ? draw() : 30_000 + (at++ % 9_000));
    judge(play(Int32Array.from({ length: 200_000 }, next), 39_000, 0.15, (chance() * 2 ** 32) | 0));
  }, 120_000);
});

describe("samples", () => {
  const take = (from: SampleReader) => {
    const taken: string[] = [];
    from.begin();
    while (from.take())
      taken.push(`${from.high}:${from.low} ${from.access} db${from.db} ${from.bytes} x${from.times}`);
    from.end();
    return taken;
  };

  test("an access that repeats is one record, what is taken back is none", () => {
    const own = SampleReader.create(1);
    samples.attach(own.plan, 0);
    samples.note(Access.Hit, 3, 1, 2, 80, 5);
    samples.note(Access.Hit, 3, 1, 2, 80, 5);
    const { written, repeats } = samples;
    samples.note(Access.Hit, 3, 1, 2, 80, 6);
    samples.note(Access.Miss, 3, 9, 2, 0, 6);
    samples.takeBack(written, repeats);
    expect(take(own)).toEqual([]);
    samples.note(Access.Write, 0, 7, 8, 24, 6);
    samples.publish(4, 3);
    expect(take(own)).toEqual(["1:2 1 db3 80 x2", "7:8 3 db0 24 x1"]);
    expect([own.lookups, own.hits, own.lost]).toEqual([4, 3, 0]);
    // What is published is somebody else's: it is not repeated.
    samples.note(Access.Write, 0, 7, 8, 24, 6);
    samples.publish(4, 3);
    expect(take(own)).toEqual(["7:8 3 db0 24 x1"]);
    for (let i = 0; i < Ring.Records + 10; i++) samples.note(Access.Hit, 0, i, 0, 16, 7);
    samples.publish(4, 3);
    expect(own.lost).toBe(10);
    expect(take(own)).toHaveLength(Ring.Records);
    samples.attach(reader.plan, 0);
  });

  test("those of several workers come in the order of their time", () => {
    const own = SampleReader.create(3);
    const times = [
      [1, 4, 4, 9],
      [2, 3, 8],
      [0, 5, 6, 7],
    ];
    for (const [worker, all] of times.entries()) {
      samples.attach(own.plan, worker);
      for (const [i, at] of all.entries()) samples.note(Access.Hit, 0, at, i, 8, at);
      samples.publish(0, 0);
    }
    expect(take(own).map((line) => Number(line.split(":")[0]))).toEqual([0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9]);
    samples.attach(reader.plan, 0);
  });

  test("the threshold falls with the keys that are followed, and the curve stays", () => {
    const own = SampleReader.create(1);
    samples.attach(own.plan, 0);
    const reuse = new Reuse(own, 500);
    reuse.on = true;
    samples.publish(0, 0);
    expect(samples.below).toBe(MOST_SAMPLED);
    const chance = random("threshold");
    const keys = 100_000;
    const lru = new Lru(keys, 20_000 * 80, new Int32Array(keys).fill(80));
    const draw = zipf(keys, 0.8, chance);
    const low = Int32Array.from({ length: keys }, () => (chance() * 2 ** 32) | 0);
    const high = Int32Array.from({ length: keys }, () => (chance() * 2 ** 32) | 0);
    let hits = 0;
    for (let i = 1; i <= 300_000; i++) {
      const which = draw();
      const hit = lru.ask(which);
      if (hit) hits++;
      if ((high[which]! & 0xffff) < samples.below) {
        samples.note(hit ? Access.Hit : Access.Miss, 0, high[which]!, low[which]!, hit ? 80 : 0, i >> 10);
        if (!hit) samples.note(Access.Write, 0, high[which]!, low[which]!, 80, i >> 10);
      }
      if (i % 500 !== 0) continue;
      samples.publish(i, hits);
      reuse.tick(20_000, lru.bytes, i);
    }
    const curve = new Findings(own.plan).read(lru.bytes, true);
    expect(samples.below).toBeLessThan(MOST_SAMPLED / 4);
    expect(curve.keys).toBeLessThanOrEqual(500);
    expect(curve.hitRatio).toBeCloseTo(hits / 300_000, 2);
    console.log(
      `${curve.keys} keys: ${(hits / 300_000).toFixed(4)}, told ${curve.lru(lru.bytes).toFixed(4)}`,
    );
    expect(Math.abs(curve.lru(lru.bytes) - hits / 300_000)).toBeLessThan(0.1);
    reuse.on = false;
    samples.attach(reader.plan, 0);
    samples.publish(0, 0);
    expect(samples.below).toBe(0);
  });

  test("the engine tells reads, writes and removals, and of no key that is not sampled", () => {
    const own = SampleReader.create(1);
    samples.attach(own.plan, 0);
    const engine = new Engine(allCommands);
    const kinds = () => {
      samples.publish(0, 0);
      return take(own).map((line) => Number(line.split(" ")[1]));
    };
    engine.run("set", "a", "x");
    expect(kinds()).toEqual([]);
    own.below = 65536;
    samples.publish(0, 0);
    const of = (...args: string[]) => {
      engine.run(...args);
      return kinds();
    };
    expect(of("get", "a")).toEqual([Access.Hit]);
    expect(of("get", "b")).toEqual([Access.Miss]);
    expect(of("set", "b", "y")).toEqual([Access.Write]);
    expect(of("mget", "a", "c", "b")).toEqual([Access.Hit, Access.Miss, Access.Hit]);
    expect(of("hset", "h", "f", "v")).toEqual([Access.Write]);
    expect(of("hget", "h", "f")).toEqual([Access.Hit]);
    expect(of("hdel", "h", "f")).toEqual([Access.Remove]);
    expect(of("del", "a")).toEqual([Access.Remove]);
    expect(of("rename", "b", "d")).toEqual([Access.Write, Access.Remove]);
    engine.run("pexpire", "d", "10");
    kinds();
    engine.clock.nowMs += 11;
    expect(of("get", "d")).toEqual([Access.Remove, Access.Miss]);
    engine.run("set", "e", "1");
    kinds();
    expect(of("flushall")).toEqual([Access.Flush]);
    own.below = 0;
    samples.publish(0, 0);
    samples.attach(reader.plan, 0);
  });
});
