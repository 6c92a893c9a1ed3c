// The real executable gives memory back by itself: what deletions and overwrites leave half empty comes back from the system's
// point of view, while others go on asking; and the settings and commands around that do what they say.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Pipeline, textOf } from "./support/pipeline.ts";
import { random } from "./support/random.ts";
import { type RawSocket, until } from "./support/raw-socket.ts";
import { infoField, killLeftovers, Server } from "./support/server.ts";

setDefaultTimeout(300_000);
afterAll(killLeftovers);

const PATIENCE_MS = 60_000;
/** What the process itself takes beside its data, in more than it took when it was empty. */
const FLOOR = 24 << 20;
const next = random("defrag server");

/** Bytes of a line of /proc/<pid>/status. RssShmem is the data's. */
function status(server: Server, line: string): number {
  const text = readFileSync(`/proc/${server.pid}/status`, "latin1");
  return Number(new RegExp(`^${line}:\\s+(\\d+) kB$`, "m").exec(text)![1]) * 1024;
}

async function inBatches(pipeline: Pipeline, commands: Iterable<readonly string[]>): Promise<void> {
  let batch: (readonly string[])[] = [];
  for (const words of commands) {
    batch.push(words);
    if (batch.length < 500) continue;
    for (const reply of await pipeline.run(batch)) expect(reply.type).not.toBe("error");
    batch = [];
  }
  await pipeline.run(batch);
}

const memory = async (socket: RawSocket, field: string) => infoField(socket, "memory", field);

/** Fills a server with strings of all sizes and removes most of them. Returns how many are left. */
async function shred(pipeline: Pipeline, keys: number, share: number): Promise<number> {
  const size = () => 40 + Math.floor(next() * 1200);
  await inBatches(
    pipeline,
    (function* () {
      for (let i = 0; i < keys; i++) yield ["SET", `key:${i}`, "v".repeat(size())];
    })(),
  );
  let left = keys;
  await inBatches(
    pipeline,
    (function* () {
      for (let i = 0; i < keys; i++) {
        if (next() >= share) continue;
        left--;
        yield ["DEL", `key:${i}`];
      }
    })(),
  );
  return left;
}

for (const workers of [1, 2])
  test(`defrag: after most of the data is gone RSS comes back by itself, ${workers} workers`, async () => {
    const server = await Server.start({ workers, args: ["--maxmemory", "0"] });
    const socket = server.connect();
    const pipeline = new Pipeline(server.connect());
    await inBatches(
      pipeline,
      Array.from({ length: 20_000 }, (_, i) => ["GET", `key:${i}`]),
    );
    const empty = status(server, "VmRSS");
    const left = await shred(pipeline, 150_000, 0.7);
    const shredded = status(server, "RssShmem");
    const begun = performance.now();
    let asked = 0;
    let slowest = 0;
    // Half a span of each of 160 sizes, in each shard.
    const spans = (workers === 1 ? 1 : workers * 4) * 1.2e6;
    const isBack = async () => {
      // Somebody asks all the time, and INFO, which makes garbage, seldom.
      for (let i = 0; i < 200; i++, asked++) {
        const before = performance.now();
        await socket.ask("EXISTS", `key:${i}`);
        slowest = Math.max(slowest, performance.now() - before);
        await Bun.sleep(1);
      }
      const live = await memory(socket, "allocator_allocated");
      return (
        status(server, "RssShmem") < live * 1.15 + spans &&
        status(server, "VmRSS") < empty + live * 1.15 + spans + FLOOR
      );
    };
    await until("the memory to come back", isBack, PATIENCE_MS);
    const ms = performance.now() - begun;
    const live = await memory(socket, "allocator_allocated");
    console.log(
      `defrag, ${workers} workers: ${shredded >> 20} MiB shredded, ${status(server, "RssShmem") >> 20} after ` +
        `${(ms / 1000).toFixed(1)} s, ${(live / 2 ** 20).toFixed(0)} live; the slowest of ${asked} commands ${slowest.toFixed(1)} ms`,
    );
    expect(shredded).toBeGreaterThan(live * 1.8);
    expect(await infoField(socket, "stats", "active_defrag_hits")).toBeGreaterThan(10_000);
    expect(await infoField(socket, "stats", "active_defrag_key_hits")).toBeGreaterThan(10_000);
    expect(await infoField(socket, "stats", "total_active_defrag_time")).toBeGreaterThan(0);
    await until("the cycles to end", async () => (await memory(socket, "active_defrag_running")) === 0);
    expect(await memory(socket, "allocator_frag_ratio")).toBeLessThan(1.15 + spans / live);
    expect(await memory(socket, "allocator_active")).toBeGreaterThanOrEqual(live);
    expect(await socket.ask("DBSIZE")).toBe(`:${left}`);
    expect(await server.stop()).toBe(0);
  });

test("defrag: off it leaves things alone, PURGE and turning it on do not; DOCTOR knows", async () => {
  const server = await Server.start({ args: ["--maxmemory", "0"] });
  const socket = server.connect();
  const pipeline = new Pipeline(server.connect());
  expect(await socket.ask("CONFIG", "SET", "activedefrag", "no")).toBe("+OK");
  await shred(pipeline, 60_000, 0.75);
  const shredded = await memory(socket, "allocator_active");
  const live = await memory(socket, "allocator_allocated");
  expect(shredded).toBeGreaterThan(live * 2);
  await Bun.sleep(3_000);
  expect(await memory(socket, "allocator_active")).toBeGreaterThan(shredded * 0.95);
  expect(await infoField(socket, "stats", "active_defrag_hits")).toBe(0);
  expect(await socket.ask("MEMORY", "DOCTOR")).toContain("High fragmentation");
  expect(await socket.ask("MEMORY", "PURGE")).toBe("+OK");
  await until(
    "PURGE to move values together",
    async () => (await memory(socket, "allocator_active")) < live * 1.15,
  );
  expect(await socket.ask("MEMORY", "DOCTOR")).not.toContain("fragmentation");
  expect(await socket.ask("CONFIG", "RESETSTAT")).toBe("+OK");
  expect(await infoField(socket, "stats", "active_defrag_hits")).toBe(0);
  await shred(pipeline, 60_000, 0.75);
  expect(await memory(socket, "allocator_active")).toBeGreaterThan(live * 2);
  expect(await socket.ask("CONFIG", "SET", "activedefrag", "yes")).toBe("+OK");
  await until("it to come back", async () => (await memory(socket, "allocator_active")) < live * 1.2);
  const stats = new Map<string, number>();
  const [reply] = await pipeline.run([["MEMORY", "STATS"]]);
  const items = reply!.type === "array" ? reply!.items : [];
  for (let i = 0; i + 1 < items.length; i += 2)
    stats.set(`${textOf(items[i]!)}`, Number(textOf(items[i + 1]!)));
  const {
    "allocator.allocated": allocated,
    "allocator.active": active,
    "allocator.resident": resident,
  } = Object.fromEntries(stats);
  expect(allocated!).toBeLessThanOrEqual(active!);
  expect(active!).toBeLessThanOrEqual(resident!);
  expect(stats.get("allocator-fragmentation.bytes")).toBe(active! - allocated!);
  expect(await server.stop()).toBe(0);
});

test("defrag: a flush's memory comes back, and CONFIG has Redis's names and limits", async () => {
  const server = await Server.start({ args: ["--maxmemory", "0"] });
  const socket = server.connect();
  const pipeline = new Pipeline(server.connect());
  await shred(pipeline, 60_000, 0.01);
  expect(status(server, "RssShmem")).toBeGreaterThan(30 << 20);
  expect(await socket.ask("FLUSHALL")).toBe("+OK");
  await until("the flushed memory", () => status(server, "RssShmem") < 3 << 20, 20_000);
  const wanted: [string, string][] = [
    ["activedefrag", "yes"],
    ["active-defrag-ignore-bytes", "104857600"],
    ["active-defrag-threshold-lower", "10"],
    ["active-defrag-threshold-upper", "100"],
    ["active-defrag-cycle-min", "1"],
    ["active-defrag-cycle-max", "25"],
    ["active-defrag-max-scan-fields", "1000"],
  ];
  for (const [name, value] of wanted) {
    const [reply] = await pipeline.run([["CONFIG", "GET", name]]);
    expect(textOf(reply!)).toEqual([name, value]);
  }
  for (const [name, value] of [
    ["active-defrag-cycle-min", "0"],
    ["active-defrag-cycle-max", "100"],
    ["active-defrag-threshold-lower", "1001"],
    ["active-defrag-threshold-upper", "-1"],
    ["active-defrag-ignore-bytes", "0"],
    ["activedefrag", "perhaps"],
  ])
    expect(await socket.ask("CONFIG", "SET", name!, value!)).toStartWith(
      `-ERR CONFIG SET failed (possibly related to`,
    );
  expect(await server.stop()).toBe(0);
});
