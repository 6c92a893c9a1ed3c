// memory.ts: resident bytes per item.   bun run bench:memory [options]
//
// Each server starts afresh for each value size, runs commands that store nothing, and is loaded with 1,000,000 keys of 16 bytes whose values are random,
// so that no compression can hide them. The figure is growth of VmRSS over the load, divided by the items; what
// exceeds key and value is overhead. A pause before the reading lets the server give back what it can. INFO's used_memory over
// the same load stands beside it: a server that tells less than it takes, or more, shows here.
//
//   --items N     1000000        --sizes 16,64,128,256
//   --shards 1    ours           --only uring,redis     names or their beginnings
//   --epoll       also the driver `epoll` (the keyspace is the same)
//   --server NAME=COMMAND        another server of ours, {port} in it; repeatable
//   --quick       100,000 items  --write      puts the figures into docs/claims.toml
// Neighbours: lib.ts below it, claims.ts for --write.

import { parseArgs } from "node:util";
import { type Claim, writeClaims } from "./claims.ts";
import {
  commandLine,
  geometricMean,
  info,
  loadKeys,
  machine,
  numbers,
  residentBytes,
  type Subject,
  saveRaw,
  start,
  subjectsFor,
  table,
  versionOf,
  warmUp,
} from "./lib.ts";

const { values: options } = parseArgs({
  options: {
    items: { type: "string", default: "1000000" },
    sizes: { type: "string", default: "16,64,128,256" },
    shards: { type: "string", default: "1" },
    epoll: { type: "boolean", default: false },
    only: { type: "string" },
    server: { type: "string", multiple: true },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});
const keyBytes = 16;
const items = options.quick ? 100_000 : Number(options.items);
const sizes = numbers(options.sizes);
const settleMs = 1500;

interface Sample {
  emptyBytes: number;
  loadedBytes: number;
  /** Growth of RSS and of INFO's used_memory, bytes an item. */
  perItem: number;
  usedPerItem: number;
}

const subjects = subjectsFor({
  shards: numbers(options.shards),
  drivers: options.epoll ? ["uring", "epoll"] : ["uring"],
  extra: options.server,
  only: options.only?.split(","),
});
const samples = new Map<string, Sample>(); // by `${name} ${valueBytes}`

async function measure(subject: Subject, valueBytes: number): Promise<Sample> {
  const server = await start(subject);
  try {
    await warmUp(server.port);
    await Bun.sleep(settleMs);
    const usedBefore = Number((await info(server.port)).get("used_memory"));
    const emptyBytes = residentBytes(server.pid);
    await loadKeys(server.port, items, valueBytes);
    await Bun.sleep(settleMs);
    const loadedBytes = residentBytes(server.pid);
    const usedAfter = Number((await info(server.port)).get("used_memory"));
    return {
      emptyBytes,
      loadedBytes,
      perItem: (loadedBytes - emptyBytes) / items,
      usedPerItem: (usedAfter - usedBefore) / items,
    };
  } finally {
    await server.stop();
  }
}

console.log(`${machine()}\n${items} items, keys of ${keyBytes} bytes, random values`);
for (const subject of subjects) console.log(`${subject.name}: ${versionOf(subject)}`);
for (const valueBytes of sizes) {
  for (const subject of subjects) {
    const sample = await measure(subject, valueBytes);
    samples.set(`${subject.name} ${valueBytes}`, sample);
    console.error(`  ${valueBytes} B | ${subject.name}: ${sample.perItem.toFixed(1)} bytes an item`);
  }
}

const at = (name: string, valueBytes: number) => samples.get(`${name} ${valueBytes}`)!;
const names = subjects.map(({ name }) => name);
const ours = subjects.filter((subject) => subject.ours).map(({ name }) => name);
const peers = subjects.filter((subject) => !subject.ours).map(({ name }) => name);
const pairs =
  ours.length > 0
    ? ours.flatMap((name) => peers.map((other) => [name, other] as const))
    : peers.slice(1).map((other) => [peers[0], other] as const);
const marked = (ratio: number) => `${ratio > 1 ? "! " : ""}${ratio.toFixed(2)}`;
const ratioAt = (name: string, other: string, valueBytes: number) =>
  at(name, valueBytes).perItem / at(other, valueBytes).perItem;
const meanOf = (name: string, other: string) =>
  geometricMean(sizes.map((valueBytes) => ratioAt(name, other, valueBytes)));

console.log("\nResident bytes per item (growth of VmRSS), and the overhead beyond key and value:\n");
console.log(
  table(
    ["value, payload", ...names, ...pairs.map(([name, other]) => `${name} / ${other}`)],
    [
      ...sizes.map((valueBytes) => [
        `${valueBytes} B, ${valueBytes + keyBytes} B`,
        ...names.map((name) => {
          const { perItem } = at(name, valueBytes);
          return `${perItem.toFixed(0)} (+${(perItem - valueBytes - keyBytes).toFixed(0)})`;
        }),
        ...pairs.map(([name, other]) => marked(ratioAt(name, other, valueBytes))),
      ]),
      [
        "geometric mean",
        ...names.map(() => ""),
        ...pairs.map(([name, other]) => marked(meanOf(name, other))),
      ],
    ],
  ),
);
console.log("\nused_memory's growth per item, and its share of the growth of RSS:\n");
console.log(
  table(
    ["value", ...names],
    sizes.map((valueBytes) => [
      `${valueBytes} B`,
      ...names.map((name) => {
        const { perItem, usedPerItem } = at(name, valueBytes);
        return Number.isFinite(usedPerItem)
          ? `${usedPerItem.toFixed(0)} (${((100 * usedPerItem) / perItem).toFixed(0)} %)`
          : "-";
      }),
    ]),
  ),
);
console.log("\nRSS of the whole process, empty and loaded, MiB:\n");
const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(0);
console.log(
  table(
    ["value", ...names],
    sizes.map((valueBytes) => [
      `${valueBytes} B`,
      ...names.map(
        (name) => `${mib(at(name, valueBytes).emptyBytes)}, ${mib(at(name, valueBytes).loadedBytes)}`,
      ),
    ]),
  ),
);
console.log(`\nraw figures in ${saveRaw("memory", Object.fromEntries(samples))}`);

if (options.write) {
  const command = commandLine("bun run bench:memory");
  const common = { kind: "ours" as const, command, runs: 1 };
  const claims: Claim[] = [];
  for (const name of ours) {
    const slug = name.replaceAll(" ", "-");
    for (const valueBytes of sizes) {
      claims.push({
        ...common,
        id: `bytes-per-item-${valueBytes}b-${slug}`,
        text: `Resident bytes per item, ${keyBytes}-byte keys, random ${valueBytes}-byte values, ${items} items, ironcache on ${name}.`,
        value: at(name, valueBytes).perItem,
        unit: "bytes",
        accept: "present",
      });
    }
    for (const other of peers) {
      claims.push({
        ...common,
        id: `bytes-per-item-${slug}-${other}`.replaceAll(" ", "-"),
        text: `Resident bytes per item of ironcache over ${other}, geometric mean of values of ${options.sizes} bytes.`,
        value: meanOf(name, other),
        unit: "ratio",
        accept: other === "redis" ? "<= 0.7" : "<= 1",
      });
    }
  }
  writeClaims(claims, !options.quick);
}
process.exit(0);
