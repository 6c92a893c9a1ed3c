// defrag.ts: how fast, and how far, memory comes back after deletions and overwrites that leave every page half empty, and
// what that costs those who go on asking.   bun run bench:defrag [options]
//
// Each scenario starts a server, loads it, shreds it and watches for --seconds: RssShmem, which is what data takes of RSS,
// and the live bytes: what INFO says that values, keys and index take (allocator_allocated). Times are from the end of the
// shredding until RssShmem is within 15 % and 8 % of that. The payload is what keys and elements that are left have as sent;
// the rest is by how much other resident memory (code, the JS heap) has grown since the server was empty and warm.
//   deleted 40 %, deleted 70 %   strings of 50 to 1,000 random bytes, random ones deleted
//   overwritten                  all of those strings set to other lengths of the same kind
//   other sizes                  70 % deleted, then as many new ones of 1,000 to 4,000 bytes as were left
//   shorter                      strings of 200 bytes, all set to 120: in place
//   collections                  hashes, sets, sorted sets and lists of 20,000 elements, of which 70 % go at random
//   one large set                2,000,000 members of 16 bytes, and nothing is shredded: its leaves grow all together
// Meanwhile one connection asks for keys that stay, one GET a millisecond; its latency before and while memory comes back is
// told, as is the CPU time that the server took.
// --steps does without servers: one shard in this process, the scenario "deleted 70 %", and how long each step took (wall
// time: what else the machine does is in the longest ones).
//
//   --items N      1000000 strings; collections accordingly      --seconds 60
//   --only deleted,shorter    scenarios by the beginning of their names
//   --io uring     --shards 1       --quick   a twentieth of the items, 15 seconds
// Neighbours: lib.ts below it, histogram.ts.

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Histogram } from "./histogram.ts";
import {
  cpuSeconds,
  encode,
  info,
  ironcache,
  machine,
  RandomBytes,
  Resp,
  residentBytes,
  type Server,
  saveRaw,
  start,
  table,
  urgent,
  warmUp,
} from "./lib.ts";

const { values: options } = parseArgs({
  options: {
    items: { type: "string", default: "1000000" },
    seconds: { type: "string", default: "60" },
    only: { type: "string", default: "" },
    io: { type: "string", default: "uring" },
    shards: { type: "string", default: "1" },
    steps: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
  },
});
const items = options.quick ? Number(options.items) / 20 : Number(options.items);
const seconds = options.quick ? 15 : Number(options.seconds);
/** Keys that no scenario touches, for the probe. */
const PROBED = 1000;
const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);

/** Commands that answer a line each, in batches. */
class Stream {
  private batch: string[] = [];
  private bytes = 0;

  constructor(private readonly connection: Resp) {}

  async send(...words: string[]): Promise<void> {
    const text = encode(words);
    this.batch.push(text);
    this.bytes += text.length;
    if (this.bytes > 1 << 18) await this.flush();
  }

  async flush(): Promise<void> {
    const { batch } = this;
    this.batch = [];
    this.bytes = 0;
    if (batch.length > 0) await this.connection.sendAll(Buffer.from(batch.join(""), "latin1"), batch.length);
  }
}

const random = new RandomBytes(11);
const chance = () => random.next() / 2 ** 32;
const mixed = () => 50 + Math.floor(chance() * 950);
const keyOf = (number: number) => `key:${`${number}`.padStart(12, "0")}`;

interface Scenario {
  name: string;
  /** Loads and shreds; gives the payload that is left. */
  run: (stream: Stream, shredding: () => void) => Promise<number>;
}

/** Strings by number with their lengths, 0 for those that went. */
async function strings(stream: Stream, sizes: Int32Array, bytes: () => number): Promise<void> {
  for (let i = 0; i < sizes.length; i++) {
    sizes[i] = bytes();
    await stream.send("SET", keyOf(i), random.text(sizes[i]!));
  }
  await stream.flush();
}

async function deleted(stream: Stream, sizes: Int32Array, share: number): Promise<void> {
  for (let i = 0; i < sizes.length; i++) {
    if (chance() >= share) continue;
    sizes[i] = 0;
    await stream.send("DEL", keyOf(i));
  }
  await stream.flush();
}

const payloadOf = (sizes: Int32Array) => sizes.reduce((sum, bytes) => sum + (bytes > 0 ? 16 + bytes : 0), 0);

const ELEMENTS = 20_000;
const member = (key: number, i: number) => `m${key}:${i}`.padEnd(16 + ((key * 7 + i) % 40), "x");

const scenarios: Scenario[] = [
  ...[40, 70].map((percent) => ({
    name: `deleted ${percent} %`,
    run: async (stream: Stream, shredding: () => void) => {
      const sizes = new Int32Array(items);
      await strings(stream, sizes, mixed);
      shredding();
      await deleted(stream, sizes, percent / 100);
      return payloadOf(sizes);
    },
  })),
  {
    name: "overwritten",
    run: async (stream, shredding) => {
      const sizes = new Int32Array(items);
      await strings(stream, sizes, mixed);
      shredding();
      await strings(stream, sizes, mixed);
      return payloadOf(sizes);
    },
  },
  {
    name: "other sizes",
    run: async (stream, shredding) => {
      const sizes = new Int32Array(items);
      await strings(stream, sizes, mixed);
      shredding();
      await deleted(stream, sizes, 0.7);
      let payload = payloadOf(sizes);
      for (let i = 0; i < items / 8; i++) {
        const bytes = 1000 + Math.floor(chance() * 3000);
        payload += 16 + bytes;
        await stream.send("SET", `new:${`${i}`.padStart(12, "0")}`, random.text(bytes));
      }
      await stream.flush();
      return payload;
    },
  },
  {
    name: "shorter",
    run: async (stream, shredding) => {
      const sizes = new Int32Array(items);
      await strings(stream, sizes, () => 200);
      shredding();
      await strings(stream, sizes, () => 120);
      return payloadOf(sizes);
    },
  },
  {
    name: "collections",
    run: async (stream, shredding) => {
      const keys = Math.max(2, Math.ceil(items / 20_000));
      const value = "v".repeat(20);
      let payload = 0;
      for (let key = 0; key < keys; key++)
        for (let i = 0; i < ELEMENTS; i += 100) {
          const words = Array.from({ length: 100 }, (_, n) => member(key, i + n));
          await stream.send("HSET", `hash:${key}`, ...words.flatMap((word) => [word, value]));
          await stream.send("SADD", `set:${key}`, ...words);
          await stream.send("ZADD", `zset:${key}`, ...words.flatMap((word, n) => [`${(i + n) * 7}`, word]));
          await stream.send("RPUSH", `list:${key}`, ...words);
        }
      await stream.flush();
      shredding();
      for (let key = 0; key < keys; key++) {
        for (let i = 0; i < ELEMENTS; i++) {
          const word = member(key, i);
          if (chance() >= 0.7) {
            payload += 3 * word.length + value.length + 8;
            continue;
          }
          await stream.send("HDEL", `hash:${key}`, word);
          await stream.send("SREM", `set:${key}`, word);
          await stream.send("ZREM", `zset:${key}`, word);
        }
        await stream.send("LTRIM", `list:${key}`, "0", `${Math.floor(ELEMENTS * 0.3)}`);
        payload += ELEMENTS * 0.3 * 36;
      }
      await stream.flush();
      return payload;
    },
  },
  {
    name: "one large set",
    run: async (stream, shredding) => {
      for (let i = 0; i < items * 2; i += 100)
        await stream.send(
          "SADD",
          "set",
          ...Array.from({ length: 100 }, (_, n) => `${i + n}`.padStart(16, "m")),
        );
      await stream.flush();
      shredding();
      return items * 2 * 16;
    },
  },
];

/** One GET a millisecond, until told to stop. */
class Probe {
  histogram = new Histogram();
  private stopped = false;
  private readonly done: Promise<void>;

  constructor(connection: Resp) {
    this.done = this.ask(connection);
  }

  private async ask(connection: Resp): Promise<void> {
    for (let i = 0; !this.stopped; i++) {
      const begun = performance.now();
      await connection.call("GET", `probe:${i % PROBED}`);
      const took = performance.now() - begun;
      this.histogram.record(took * 1000);
      await Bun.sleep(Math.max(0, 1 - took));
    }
    connection.close();
  }

  /** Begins anew; what was measured so far. */
  take(): string {
    const { histogram } = this;
    this.histogram = new Histogram();
    const at = (percent: number) => (histogram.percentileUs(percent) / 1000).toFixed(2);
    return `${at(50)}, ${at(99.9)}, ${(histogram.maxUs / 1000).toFixed(2)}`;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.done;
  }
}

/** Resident bytes of the segments. */
function dataBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(/^RssShmem:\s+(\d+) kB$/m.exec(text)?.[1]) * 1024;
}

interface Sample {
  second: number;
  resident: number;
  live: number;
}

async function watch(server: Server, scenario: Scenario): Promise<string[]> {
  const connection = await Resp.connect(server.port);
  const stream = new Stream(connection);
  for (let i = 0; i < PROBED; i++) await stream.send("SET", `probe:${i}`, "a value that stays".repeat(4));
  await stream.flush();
  await warmUp(server.port, options.quick ? 50 : 300);
  await Bun.sleep(500);
  const empty = residentBytes(server.pid) - dataBytes(server.pid);
  let loaded = 0;
  const payload = await scenario.run(stream, () => {
    loaded = dataBytes(server.pid);
  });
  const look = async (second: number): Promise<Sample> => {
    const fields = await info(server.port);
    return { second, resident: dataBytes(server.pid), live: Number(fields.get("allocator_allocated")) };
  };
  const shredded = await look(0);
  const cpu = cpuSeconds(server.pid);
  const probe = new Probe(await Resp.connect(server.port));
  const begun = performance.now();
  const samples: Sample[] = [];
  for (let at = 0; at < seconds; at = (performance.now() - begun) / 1000) {
    await Bun.sleep(500);
    samples.push(await look((performance.now() - begun) / 1000));
  }
  const during = probe.take();
  const spent = cpuSeconds(server.pid) - cpu;
  await Bun.sleep(10_000);
  const quiet = probe.take();
  await probe.stop();
  const last = samples.at(-1)!;
  const fields = await info(server.port);
  connection.close();
  /** The first second from which on the growth was within `share` of the live bytes. */
  const since = (share: number): string => {
    const late = samples.findLastIndex(({ resident, live }) => resident > live * (1 + share));
    return late === samples.length - 1 ? "never" : late < 0 ? "0" : samples[late + 1]!.second.toFixed(1);
  };
  saveRaw(`defrag-${scenario.name.replaceAll(/[ %]+/g, "-")}`, { payload, loaded, shredded, samples });
  return [
    scenario.name,
    mib(loaded),
    mib(shredded.resident),
    mib(last.resident),
    mib(last.live),
    mib(payload),
    (last.resident / last.live).toFixed(3),
    mib(residentBytes(server.pid) - dataBytes(server.pid) - empty),
    since(0.15),
    since(0.08),
    during,
    quiet,
    spent.toFixed(1),
    fields.get("active_defrag_hits") ?? "",
    fields.get("defrag_longest_step_ms") ?? "",
  ];
}

/** Fills a shard of this process, removes most of it and moves the rest together: how long each step takes. */
async function measureSteps(): Promise<void> {
  const { Segments } = await import("../../engine/memory/segments.ts");
  const { Shard } = await import("../../engine/shard/shard.ts");
  const { Clock } = await import("../../engine/shard/clock.ts");
  const { Key } = await import("../../engine/memory/key.ts");
  const { need, Region } = await import("../../engine/memory/region.ts");
  const shard = new Shard(Segments.create(2 ** 30), Segments.create(1 << 20), new Clock(1), true);
  const { allocator, defrag } = shard;
  const input = need(Region.private(1 << 20), "keys and values");
  const key = new Key(input);
  const at = (i: number) => {
    input.view.setUint32(0, i, true);
    key.set(input, 0, 16);
    return key;
  };
  for (let i = 0; i < items; i++) shard.setString(0, at(i), input, 4096, mixed(), 0, 0);
  for (let i = 0; i < items; i++) if (chance() < 0.7) shard.remove(0, at(i));
  const rows: string[][] = [];
  const timed = (name: string, step: () => boolean) => {
    const histogram = new Histogram();
    const begun = performance.now();
    for (let more = true; more; ) {
      const from = performance.now();
      more = step();
      histogram.record((performance.now() - from) * 1000);
    }
    const percentiles = [50, 99, 99.9].map((percent) => (histogram.percentileUs(percent) / 1000).toFixed(3));
    const longest = (histogram.maxUs / 1000).toFixed(3);
    const total = (performance.now() - begun).toFixed(0);
    rows.push([name, `${histogram.count}`, ...percentiles, longest, total, mib(allocator.committedBytes)]);
  };
  for (const name of ["first cycle", "second cycle"]) {
    defrag.begin();
    timed(name, () => defrag.step(80_000));
    timed("giving pages back", () => {
      allocator.giveBack(160);
      return allocator.hoards;
    });
    for (let i = items; i < items * 1.3; i++) shard.setString(0, at(i), input, 4096, mixed(), 0, 0);
    for (let i = 0; i < items * 1.3; i++) if (chance() < 0.4) shard.remove(0, at(i));
  }
  const names = ["steps of", "steps", "p50 ms", "p99", "p99.9", "longest", "all, ms", "committed, MiB"];
  console.log(`\n${table(names, rows)}`);
}

if (options.steps) {
  await measureSteps();
  process.exit(0);
}

console.log(`${machine()}\n${items} strings, ${options.io} x${options.shards}\n`);
const wanted = options.only.split(",");
const rows: string[][] = [];
for (const scenario of scenarios.filter(({ name }) => wanted.some((word) => name.startsWith(word)))) {
  const subject = ironcache(options.io as "uring", Number(options.shards));
  const server = await start(subject, null, urgent);
  try {
    rows.push(await watch(server, scenario));
    console.error(`  ${rows.at(-1)!.join(" | ")}`);
  } finally {
    await server.stop();
  }
}
console.log(
  table(
    [
      "scenario, MiB",
      "resident, loaded",
      "shredded",
      "then",
      "live",
      "payload",
      "then / live",
      "rest",
      "s to 15 %",
      "s to 8 %",
      "GET ms p50, p99.9, most",
      "later",
      "CPU s",
      "moved",
      "longest step, ms",
    ],
    rows,
  ),
);
process.exit(0);
