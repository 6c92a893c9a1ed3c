// large-values.ts: what a command on a large collection does to other clients.   bun run bench:large [options]
//
// A probe (probe.ts), one connection that sends GETs of small keys one at a time, is recorded while another connection does
// one thing to the same server, and for --tail seconds after its reply, because memory may be given back later:
//   hash       a hash of --fields fields is read by HSCAN COUNT 1000 (to its end or for 10 seconds), is UNLINKed, expires
//              (PEXPIRE), is overwritten by SET, is DELeted; filled again in between
//   set        SUNION of two sets of --members that share a half, SORT of a list of --members integers, SMEMBERS
//   flush      FLUSHALL of --gigabytes of strings of 1,000 bytes
//   workers    the three of `set` on one of ours with 2 workers, their keys all in one shard, the probe on a connection of
//              the other worker and on keys of the other shard; then on keys of both shards
// `nothing` is the probe alone: what the machine does by itself. The longest GET is the figure to read: the probe sends no
// more while it waits, so that a pause counts once in p99.9, however long it is. Server on core 0, the rest on core 1,
// server and probe before all else where that is allowed; the server with two workers is bound to no core, shares them
// with the probe and goes behind it. Which keys are of another shard is found out by asking: those that can be written
// while a long SINTERCARD runs.
//
//   --fields 10000000   --members 1000000   --gigabytes 3   --tail 3
//   --only uring,redis  names or their beginnings; default uring and redis
//   --parts hash,set,flush,workers
//   --server NAME=COMMAND, repeatable       --quick   a hundredth of all sizes, a tenth of the tail
//   --write             puts the figures into docs/claims.toml
// Neighbours: probe.ts, lib.ts below it, claims.ts for --write.

import { cpus, setPriority } from "node:os";
import { parseArgs } from "node:util";
import { type Claim, writeClaims } from "./claims.ts";
import {
  commandLine,
  type Filling,
  fill,
  ironcache,
  loadCore,
  loadKeys,
  machine,
  Resp,
  type Server,
  saveRaw,
  serverCore,
  short,
  start,
  subjectsFor,
  table,
  urgent,
  versionOf,
} from "./lib.ts";
import { Probe, type Seen } from "./probe.ts";

const { values: options } = parseArgs({
  options: {
    fields: { type: "string", default: "10000000" },
    members: { type: "string", default: "1000000" },
    gigabytes: { type: "string", default: "3" },
    tail: { type: "string", default: "3" },
    only: { type: "string", default: "uring,redis" },
    parts: { type: "string", default: "hash,set,flush,workers" },
    server: { type: "string", multiple: true },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});
const portion = options.quick ? 0.01 : 1;
const fields = Math.ceil(Number(options.fields) * portion);
const members = Math.ceil(Number(options.members) * portion);
const flushedBytes = Number(options.gigabytes) * 1e9 * portion;
const tailMs = Number(options.tail) * (options.quick ? 100 : 1000);
const parts = options.parts.split(",");
const smallKeys = 64;
const valueBytes = 1000; // of the strings that FLUSHALL meets
const scanMs = 10_000;
const leastToTell = 300_000; // members that keep a shard long enough to tell it from the other

/** What one thing did to the probe. */
interface Row {
  server: string;
  what: string;
  /** Until the reply of what was done, milliseconds. */
  replyMs: number;
  seen: Seen;
}
const rows: Row[] = [];

const number = (index: number, digits: number) => `${index}`.padStart(digits, "0");
const smallKey = (index: number) => `prob${number(index, 12)}`;

async function fillOne(
  server: Server,
  key: string,
  command: Filling["command"],
  elements: number,
  words: Filling["words"],
) {
  await fill(server.port, { command, keys: 1, key: () => key, elements, words });
}

/** Does one thing under the probe's eyes and keeps what it saw. */
async function record(
  probe: Probe,
  server: Server,
  what: string,
  work: () => Promise<unknown>,
): Promise<void> {
  let replyMs = 0;
  const seen = await probe.during(tailMs, async () => {
    const began = performance.now();
    await work();
    replyMs = performance.now() - began;
  });
  rows.push({ server: server.subject.name, what, replyMs, seen });
  console.error(
    `  ${server.subject.name}, ${what}: longest ${(seen.longestUs / 1000).toFixed(2)} ms, reply after ${replyMs.toFixed(0)} ms`,
  );
}

async function onHash(probe: Probe, server: Server, other: Resp): Promise<void> {
  const key = "large:hash";
  const fillIt = () =>
    fillOne(server, key, "HSET", fields, (_key, index) => [
      `field:${number(index, 9)}`,
      `value:${number(index, 10)}`,
    ]);
  await fillIt();
  await record(probe, server, "HSCAN COUNT 1000 in a loop", async () => {
    const end = performance.now() + scanMs;
    let cursor = "0";
    do cursor = await other.discard("HSCAN", key, cursor, "COUNT", "1000");
    while (cursor !== "0" && performance.now() < end);
  });
  const ends: readonly (readonly [string, readonly string[]])[] = [
    ["UNLINK of the hash", ["UNLINK", key]],
    ["expiry of the hash", ["PEXPIRE", key, "100"]],
    ["SET over the hash", ["SET", key, "small"]],
    ["DEL of the hash", ["DEL", key]],
  ];
  for (const [what, words] of ends) {
    await other.call("DEL", key);
    await fillIt();
    await record(probe, server, what, () => other.call(...words));
  }
}

/** Keys of the two sets and the list. */
type Names = readonly [a: string, b: string, list: string];
const largeKeys: Names = ["large:set:a", "large:set:b", "large:list"];

async function fillSets(server: Server, [a, b, list]: Names, members: number): Promise<void> {
  const member = (index: number) => [`member:${number(index, 9)}`];
  await fillOne(server, a, "SADD", members, (_key, index) => member(index));
  await fillOne(server, b, "SADD", members, (_key, index) => member(index + (members >> 1)));
  // Every number below the count once, in an order that looks like none: 7919 is prime and does not divide the counts used.
  await fillOne(server, list, "RPUSH", members, (_key, index) => [`${(index * 7919) % members}`]);
}

async function onSets(
  probe: Probe,
  server: Server,
  other: Resp,
  [a, b, list]: Names,
  where: string,
): Promise<void> {
  await record(probe, server, `SUNION${where}`, () => other.discard("SUNION", a, b));
  await record(probe, server, `SORT${where}`, () => other.discard("SORT", list));
  await record(probe, server, `SMEMBERS${where}`, () => other.discard("SMEMBERS", a));
}

async function onFlush(probe: Probe, server: Server, other: Resp): Promise<void> {
  await loadKeys(server.port, Math.ceil(flushedBytes / valueBytes), valueBytes);
  await record(probe, server, "FLUSHALL", () => other.call("FLUSHALL"));
}

/** Whether a key, which may be overwritten, lies in the shard of a large set: whether another worker's connection can
 *  write it only after what keeps that shard. */
async function inShardOf(set: string, key: string, other: Resp, elsewhere: Resp): Promise<boolean> {
  const began = performance.now();
  const elapsed = () => performance.now() - began;
  const kept = other.call("SINTERCARD", "2", set, set).then(elapsed);
  await Bun.sleep(3);
  const wroteMs = await elsewhere.call("SET", key, "v".repeat(valueBytes)).then(elapsed);
  const keptMs = await kept;
  if (keptMs < 10)
    throw new Error(`SINTERCARD took ${keptMs.toFixed(1)} ms: too few members to tell shards apart`);
  return wroteMs > (3 + keptMs) / 2;
}

/** The first names of `names` that lie, or do not, in the shard of the set. */
async function pick(
  count: number,
  inside: boolean,
  name: (index: number) => string,
  set: string,
  other: Resp,
  elsewhere: Resp,
): Promise<string[]> {
  const found: string[] = [];
  // Three times alike: a write may wait for a busy machine, or come before the shard is kept.
  const agreed = async (key: string) => {
    for (let tries = 0; tries < 3; tries++) {
      if ((await inShardOf(set, key, other, elsewhere)) !== inside) return false;
    }
    return true;
  };
  for (let index = 0; index < smallKeys && found.length < count; index++) {
    if (await agreed(name(index))) found.push(name(index));
  }
  if (found.length < count) throw new Error(`no ${name(0)} ${inside ? "in" : "outside"} the shard of ${set}`);
  return found;
}

async function workerOf(connection: Resp): Promise<number> {
  const text = await connection.discard("CLIENT", "INFO");
  return Number(/\bio-thread=(\d+)/.exec(text)?.[1] ?? Number.NaN);
}

async function onAnotherWorker(server: Server, other: Resp): Promise<Resp> {
  const taken = await workerOf(other);
  for (let tries = 0; tries < 200; tries++) {
    const connection = await Resp.connect(server.port);
    if ((await workerOf(connection)) !== taken) return connection;
    connection.close();
  }
  throw new Error("every connection came to the same worker");
}

async function withServer(server: Server, work: (other: Resp) => Promise<void>): Promise<void> {
  try {
    await loadKeys(server.port, smallKeys, valueBytes, "prob");
    const other = await Resp.connect(server.port);
    await work(other);
    other.close();
  } finally {
    await server.stop();
  }
}

/** `command` on all cores, not on that of this process alone. */
const everywhere = (command: string[]) => ["taskset", "-c", `0-${cpus().length - 1}`, ...command];

const allSmallKeys = Array.from({ length: smallKeys }, (_, index) => smallKey(index));

// All threads of this process, those to come included. Without the tool, or with one core, everything runs everywhere.
Bun.spawnSync(["taskset", "-acp", `${loadCore}`, `${process.pid}`], { stdout: "ignore", stderr: "ignore" });
// The probe goes before this thread, which reads megabytes on the same core, but must not starve it.
try {
  setPriority(-10);
} catch {
  // not root: everything runs alike
}
console.log(
  `${machine()}\nserver on core 0, probe on core 1; ${short(fields)} fields, ${short(members)} members, ` +
    `${(flushedBytes / 1e9).toFixed(2)} GB of strings, ${tailMs} ms after each reply`,
);
const subjects = subjectsFor({
  shards: [1],
  drivers: ["uring", "epoll"],
  extra: options.server,
  only: options.only.split(","),
});
for (const subject of subjects) console.log(`${subject.name}: ${versionOf(subject)}`);
for (const subject of subjects) {
  const server = await start(subject, serverCore, urgent);
  await withServer(server, async (other) => {
    const probe = await Probe.start(server.port, allSmallKeys);
    await record(probe, server, "nothing", async () => {});
    if (parts.includes("hash")) await onHash(probe, server, other);
    if (parts.includes("set")) {
      await fillSets(server, largeKeys, members);
      await onSets(probe, server, other, largeKeys, "");
      for (const key of largeKeys) await other.call("DEL", key);
    }
    if (parts.includes("flush")) await onFlush(probe, server, other);
    await probe.stop();
  });
}
const ours = subjects.filter((subject) => subject.ours);
if (parts.includes("workers")) {
  for (const { name } of ours.filter((subject) => subject.name === "uring" || subject.name === "epoll")) {
    const server = await start(ironcache(name as "uring" | "epoll", 2), null, everywhere);
    await withServer(server, async (other) => {
      const count = Math.max(members, leastToTell);
      const [first] = largeKeys;
      await fillSets(server, largeKeys, count);
      const elsewhere = await onAnotherWorker(server, other);
      const [b] = await pick(1, true, (index) => `large:b:${index}`, first, other, elsewhere);
      const [list] = await pick(1, true, (index) => `large:list:${index}`, first, other, elsewhere);
      const apart = await pick(4, false, smallKey, first, other, elsewhere);
      elsewhere.close();
      for (const key of [...largeKeys, b, list]) await other.call("DEL", key);
      const names: Names = [first, b, list];
      await fillSets(server, names, count);
      const worker = await workerOf(other);
      for (const [where, keys] of [
        [", key of another shard", apart],
        [", keys of both shards", allSmallKeys],
      ] as const) {
        const probe = await Probe.start(server.port, keys, worker);
        await record(probe, server, `nothing${where}`, async () => {});
        await onSets(probe, server, other, names, where);
        await probe.stop();
      }
    });
  }
}

const ms = (us: number) => (us / 1000).toFixed(2);
console.log("\nGET of another client, one at a time, milliseconds:\n");
console.log(
  table(
    ["server, what runs", "p50", "p99.9", "longest", "answers", "reply after"],
    rows.map(({ server, what, replyMs, seen }) => [
      `${server}, ${what}`,
      ms(seen.p50Us),
      ms(seen.p999Us),
      ms(seen.longestUs),
      `${seen.answers}`,
      replyMs.toFixed(1),
    ]),
  ),
);
console.log(`\nraw figures in ${saveRaw("large-values", rows)}`);

if (options.write) {
  const common = { command: commandLine("bun run bench:large"), runs: 1, kind: "ours" as const, unit: "ms" };
  const claims: Claim[] = rows.flatMap(({ server, what, seen }) => {
    const slug = `${what}-${server}`.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
    const when = `while another runs: ${what} (${fields} fields, ${members} members, ${(flushedBytes / 1e9).toFixed(2)} GB), ${server}`;
    return [
      {
        ...common,
        id: `large-longest-${slug}`,
        text: `Longest GET ${when}.`,
        value: seen.longestUs / 1000,
        accept: "present",
      },
      {
        ...common,
        id: `large-tail-${slug}`,
        text: `p99.9 of GET ${when}.`,
        value: seen.p999Us / 1000,
        accept: "present",
      },
    ];
  });
  writeClaims(claims, !options.quick);
}
process.exit(0);
