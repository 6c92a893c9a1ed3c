// eviction.ts: hit ratios of the engine's own eviction: its shard, index and policy, with a capacity in keys, beside
// reference caches.   bun run bench:eviction [options]
//
// A request looks its key up; a key that is not there is stored, and when the cache is full a victim goes before. Values
// are 8 bytes; nothing has a deadline. The same seed gives the same figures.
//
//   (nothing)             the synthetic mixes, 100,000 keys, 1.2 million requests, the first quarter not counted
//   --scale N             the mixes with N keys          --mix WORD    those whose name holds it
//   --traces DIR          every *.u32.gz of a folder at 1, 10 and 30 % of its keys, all requests counted, and the mean
//   --trace FILE --capacity KEYS      one trace; the last line is the hit ratio in percent, alone
//   --policy allkeys-lru              by Redis's name
//   --seed 1              --seeds 1   runs of the engine, with as many seeds; the mean and the least are shown
//   --alone               without the references, with what a victim costs
// Neighbours: request-mixes.ts, reference-caches.ts; engine/shard/eviction.ts is what is judged.

import { parseArgs } from "node:util";
import { seedHash } from "../../engine/memory/hash.ts";
import { Key } from "../../engine/memory/key.ts";
import { Encoding } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Segments } from "../../engine/memory/segments.ts";
import { Clock } from "../../engine/shard/clock.ts";
import { evictionRules } from "../../engine/shard/eviction.ts";
import { Shard } from "../../engine/shard/shard.ts";
import { seeded } from "../../tests/support/random.ts";
import { table } from "./lib.ts";
import { lru, min, redisLru, type Simulation, s3fifo } from "./reference-caches.ts";
import { mixes, type Requests, readTrace, readTraces } from "./request-mixes.ts";

const { values: options } = parseArgs({
  options: {
    traces: { type: "string" },
    trace: { type: "string" },
    capacity: { type: "string" },
    policy: { type: "string", default: "allkeys-lru" },
    scale: { type: "string", default: "100000" },
    mix: { type: "string", default: "" },
    seed: { type: "string", default: "1" },
    seeds: { type: "string", default: "1" },
    alone: { type: "boolean", default: false },
  },
});
const rule = evictionRules[options.policy as keyof typeof evictionRules];
if (rule === undefined || rule.core === "none") throw new Error(`no policy that evicts: ${options.policy}`);
const firstSeed = Number(options.seed);
const seeds = Array.from({ length: Number(options.seeds) }, (_, i) => firstSeed + i);

const input = need(Region.private(4096), "keys");
let chance = seeded(firstSeed);
const clock = new Clock(1_700_000_000_000);
const segments = Segments.create(512 << 20);
const register = Segments.create(1 << 20);
const shard = new Shard(segments, register, clock, true, undefined, 0, () => chance());
const { eviction } = shard;
eviction.configure(rule);

interface Outcome {
  hits: number;
  victims: number;
  /** Bytes of states and ghosts a key at the end, and those of all memory. */
  policyBytes: number;
  bytes: number;
}

/** Runs the requests through the engine. */
function run({ keys, from }: Requests, capacity: number, seed: number): Outcome {
  shard.flushAll();
  eviction.reset();
  seedHash(seed * 7919, 0x5eed);
  chance = seeded(seed);
  eviction.follow(capacity);
  const key = new Key(input);
  let hits = 0;
  let victims = 0;
  for (let i = 0; i < keys.length; i++) {
    input.u32[0] = keys[i]!;
    key.set(input, 0, 4);
    if (shard.find(0, key) !== 0) {
      shard.touch(0, key);
      if (i >= from) hits++;
      continue;
    }
    while (shard.keys(0) >= capacity) {
      if (!shard.evict()) throw new Error("nothing to evict");
      victims++;
    }
    if (!shard.setString(0, key, input, 64, 8, Encoding.Bytes, 0)) throw new Error("memory is out");
  }
  const policyBytes = (eviction.heldBytes + eviction.stateBytes) / shard.keys(0);
  return { hits, victims, policyBytes, bytes: shard.usedBytes / shard.keys(0) };
}

const percent = (hits: number, { keys, from }: Requests) => (100 * hits) / (keys.length - from);
const fixed = (value: number) => value.toFixed(1);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

if (options.trace !== undefined) {
  if (options.capacity === undefined) throw new Error("--trace wants --capacity");
  const requests = readTrace(options.trace, [Number(options.capacity)]);
  const { hits } = run(requests, Number(options.capacity), firstSeed);
  console.log(
    `${requests.name}: ${requests.keys.length} requests, ${options.capacity} keys, ${options.policy}`,
  );
  console.log(percent(hits, requests).toFixed(2));
} else {
  const references: [string, Simulation][] = options.alone
    ? []
    : [
        ["MIN", min],
        ["LRU", lru],
        ["Redis LRU", redisLru],
        ["S3-FIFO", s3fifo],
      ];
  const rows: string[][] = [];
  const columns: number[][] = [];
  const all =
    options.traces !== undefined ? readTraces(options.traces) : mixes(Number(options.scale), options.mix);
  for (const requests of all)
    for (const capacity of requests.capacities) {
      const told = references.map(([, simulation]) =>
        percent(simulation(requests, capacity, seeded(firstSeed)), requests),
      );
      const began = performance.now();
      const outcomes = seeds.map((seed) => run(requests, capacity, seed));
      const seconds = (performance.now() - began) / 1000;
      const ratios = outcomes.map(({ hits }) => percent(hits, requests));
      const { victims, policyBytes, bytes } = outcomes[0]!;
      const figures = [...told, mean(ratios)];
      columns.push(figures);
      const row = [requests.name, `${capacity}`, ...figures.map(fixed)];
      if (seeds.length > 1) row.push(fixed(Math.min(...ratios)));
      if (options.alone) {
        row.push(`${victims}`, policyBytes.toFixed(2), fixed(bytes));
        row.push(((seconds * 1e9) / seeds.length / requests.keys.length).toFixed(0));
      }
      rows.push(row);
      console.error(`  ${row.join(" | ")}`);
    }
  const header = ["requests", "keys", ...references.map(([name]) => name), options.policy];
  if (seeds.length > 1) header.push("least");
  if (options.alone) header.push("victims", "policy B/key", "B/key", "ns/request");
  const means = columns[0]!.map((_, i) => mean(columns.map((figures) => figures[i]!)).toFixed(2));
  rows.push(["mean", "", ...means, ...header.slice(2 + means.length).map(() => "")]);
  console.log(table(header, rows));
}
