// memory.ts: resident bytes per item, or with --collections per collection.   bun run bench:memory [options]
//
// Each server starts afresh for each cell, runs commands that store nothing (with --collections then also a twentieth of
// the load, which it flushes), and is loaded. The figure is growth of VmRSS
// over the load, divided by the items; what exceeds the payload (key and value) is overhead. A pause before the reading
// lets the server give back what it can. INFO's used_memory over the same load stands beside it: a server that tells less
// than it takes, or more, shows here.
// Strings: 1,000,000 keys of 16 bytes whose values are random, so that no compression can hide them.
// Collections: keys of 16 bytes, as many of a shape as make --payload bytes; every shape with small and with large elements:
//   hash, 5 and 1,000 fields        fields `field:0001`, random values of 10 to 20 bytes; of 100
//   list, 20 and 10,000 elements    `job:000012345:ab`, 16 bytes; the same and random text, 64 bytes
//   set, 20 integers                random, below 2^31; below 2^53
//   set, 10,000 strings             random text of 16 bytes; of 64
//   sorted set, 20 and 10,000       members `player:12345`, 12 to 16 bytes, scores integers below 1,000,000; members with
//                                   random text behind, 40 bytes, scores of two decimals
// The payload is all words as sent, scores as text.
//
//   --items N     1000000        --sizes 16,64,128,256
//   --collections instead of strings               --payload 100000000   --shapes hash,list
//   --shards 1    ours           --only uring,redis     names or their beginnings
//   --epoll       also the driver `epoll` (the keyspace is the same)
//   --server NAME=COMMAND        another server of ours, {port} in it; repeatable
//   --quick       a tenth        --write      puts the figures into docs/claims.toml
// Neighbours: lib.ts below it, claims.ts for --write.

import { parseArgs } from "node:util";
import { type Claim, writeClaims } from "./claims.ts";
import {
  commandLine,
  type Filling,
  fill,
  geometricMean,
  info,
  loadKeys,
  machine,
  numbers,
  RandomBytes,
  Resp,
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
    collections: { type: "boolean", default: false },
    payload: { type: "string", default: "100000000" },
    shapes: { type: "string", default: "" },
    epoll: { type: "boolean", default: false },
    only: { type: "string" },
    server: { type: "string", multiple: true },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});
const keyBytes = 16;
const stringCount = options.quick ? 100_000 : Number(options.items);
const sizes = numbers(options.sizes);
const payloadAimed = Number(options.payload) * (options.quick ? 0.1 : 1);
/** The part of a shape that is loaded and flushed before: what code and buffers take once is no collection's. */
const WARM_PART = 20;
const settleMs = options.quick ? 200 : 1500;

/** One thing to load and measure. */
interface Cell {
  /** In a claim's id. */
  id: string;
  name: string;
  /** For a claim's text. */
  text: string;
  items: number;
  /** Loads so many of the items; gives their bytes as sent, keys included. */
  load: (port: number, items: number) => Promise<number>;
}

const stringCells = (): Cell[] =>
  sizes.map((valueBytes) => ({
    id: `${valueBytes}b`,
    name: `${valueBytes} B`,
    text: `item, ${keyBytes}-byte keys, random ${valueBytes}-byte values, ${stringCount} items`,
    items: stringCount,
    load: async (port, items) => {
      await loadKeys(port, items, valueBytes);
      return items * (keyBytes + valueBytes);
    },
  }));

interface Shape {
  command: Filling["command"];
  name: string;
  elements: number;
  /** Small elements, then large ones; `number` counts through all elements of all keys. */
  words: readonly ((number: number, index: number, random: RandomBytes) => readonly string[])[];
}

const digits = (value: number, count: number) => `${value}`.padStart(count, "0");
const field = (index: number) => `field:${digits(index, 4)}`;
const job = (number: number, random: RandomBytes) => `job:${digits(number % 1e9, 9)}:${random.text(2)}`;
const player = (number: number) => `player:${digits(number, 5)}`;

const hashWords: Shape["words"] = [
  (_number, index, random) => [field(index), random.text(10 + (random.next() % 11))],
  (_number, index, random) => [field(index), random.text(100)],
];
const listWords: Shape["words"] = [
  (number, _index, random) => [job(number, random)],
  (number, _index, random) => [`${job(number, random)}:${random.text(47)}`],
];
const integerWords: Shape["words"] = [
  (_number, _index, random) => [`${random.next() >>> 1}`],
  (_number, _index, random) => [`${(random.next() >>> 11) * 2 ** 32 + random.next()}`],
];
const stringWords: Shape["words"] = [16, 64].map((bytes) => (_number, _index, random) => [
  random.text(bytes),
]);
const scoreWords: Shape["words"] = [
  (number, _index, random) => [`${random.next() % 1_000_000}`, player(number)],
  (number, _index, random) => [
    `${(random.next() % 100_000_000) / 100}`,
    `${player(number)}:${random.text(40)}`.slice(0, 40),
  ],
];
const shapes: readonly Shape[] = [
  { command: "HSET", name: "hash", elements: 5, words: hashWords },
  { command: "HSET", name: "hash", elements: 1000, words: hashWords },
  { command: "RPUSH", name: "list", elements: 20, words: listWords },
  { command: "RPUSH", name: "list", elements: 10_000, words: listWords },
  { command: "SADD", name: "set of integers", elements: 20, words: integerWords },
  { command: "SADD", name: "set of strings", elements: 10_000, words: stringWords },
  { command: "ZADD", name: "sorted set", elements: 20, words: scoreWords },
  { command: "ZADD", name: "sorted set", elements: 10_000, words: scoreWords },
];

function collectionCells(): Cell[] {
  const wanted = options.shapes.split(",");
  return shapes
    .filter(({ name }) => wanted.some((word) => name.startsWith(word)))
    .flatMap(({ command, name, elements, words }) =>
      words.map((wordsOf, size) => {
        const random = new RandomBytes(5);
        const sample = Array.from(
          { length: 100 },
          (_, index) => wordsOf(index, index, random).join("").length,
        );
        const bytes = sample.reduce((sum, one) => sum + one, 0) / sample.length;
        const keys = Math.ceil(payloadAimed / (keyBytes + elements * bytes));
        const kind = size === 0 ? "small" : "large";
        return {
          id: `${name.replaceAll(" ", "-")}-${elements}-${kind}`,
          name: `${name}, ${elements}, ${kind}`,
          text: `${name} of ${elements} ${kind} elements (some ${bytes.toFixed(0)} bytes each), ${keys} keys`,
          items: keys,
          load: (port: number, items: number) => {
            const drawn = new RandomBytes(5);
            return fill(port, {
              command,
              keys: items,
              key: (key) => `key:${digits(key, 12)}`,
              elements,
              words: (key, index) => wordsOf(key * elements + index, index, drawn),
            });
          },
        };
      }),
    );
}

const cells = options.collections ? collectionCells() : stringCells();
if (cells.length === 0) throw new Error(`no shape begins with ${options.shapes}`);

interface Sample {
  emptyBytes: number;
  loadedBytes: number;
  /** Bytes an item as sent. */
  payload: number;
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
const samples = new Map<string, Sample>(); // by `${name} ${id}`

async function measure(subject: Subject, { items, load }: Cell): Promise<Sample> {
  const server = await start(subject);
  try {
    await warmUp(server.port, options.quick ? 30 : 300);
    if (options.collections) {
      await load(server.port, Math.ceil(items / WARM_PART));
      const connection = await Resp.connect(server.port);
      await connection.call("FLUSHALL");
      connection.close();
    }
    await Bun.sleep(settleMs);
    const usedBefore = Number((await info(server.port)).get("used_memory"));
    const emptyBytes = residentBytes(server.pid);
    const payload = (await load(server.port, items)) / items;
    await Bun.sleep(settleMs);
    const loadedBytes = residentBytes(server.pid);
    const usedAfter = Number((await info(server.port)).get("used_memory"));
    return {
      emptyBytes,
      loadedBytes,
      payload,
      perItem: (loadedBytes - emptyBytes) / items,
      usedPerItem: (usedAfter - usedBefore) / items,
    };
  } finally {
    await server.stop();
  }
}

const unit = options.collections ? "collection" : "item";
console.log(
  `${machine()}\nkeys of ${keyBytes} bytes, ` +
    (options.collections ? `${payloadAimed / 1e6} MB of each shape` : `${stringCount} random values`),
);
for (const subject of subjects) console.log(`${subject.name}: ${versionOf(subject)}`);
for (const cell of cells) {
  for (const subject of subjects) {
    const sample = await measure(subject, cell);
    samples.set(`${subject.name} ${cell.id}`, sample);
    console.error(`  ${cell.name} | ${subject.name}: ${sample.perItem.toFixed(1)} bytes a ${unit}`);
  }
}

const at = (name: string, { id }: Cell) => samples.get(`${name} ${id}`)!;
const names = subjects.map(({ name }) => name);
const ours = subjects.filter((subject) => subject.ours).map(({ name }) => name);
const peers = subjects.filter((subject) => !subject.ours).map(({ name }) => name);
const pairs =
  ours.length > 0
    ? ours.flatMap((name) => peers.map((other) => [name, other] as const))
    : peers.slice(1).map((other) => [peers[0], other] as const);
const marked = (ratio: number) => `${ratio > 1 ? "! " : ""}${ratio.toFixed(2)}`;
const ratioAt = (name: string, other: string, cell: Cell) => at(name, cell).perItem / at(other, cell).perItem;
const meanOf = (name: string, other: string) =>
  geometricMean(cells.map((cell) => ratioAt(name, other, cell)));

console.log(`\nResident bytes per ${unit} (growth of VmRSS), and the overhead beyond the payload:\n`);
console.log(
  table(
    [
      options.collections ? "shape, payload" : "value, payload",
      ...names,
      ...pairs.map(([name, other]) => `${name} / ${other}`),
    ],
    [
      ...cells.map((cell) => [
        `${cell.name}, ${at(names[0], cell).payload.toFixed(0)} B`,
        ...names.map((name) => {
          const { perItem, payload } = at(name, cell);
          return `${perItem.toFixed(0)} (${perItem < payload ? "" : "+"}${(perItem - payload).toFixed(0)})`;
        }),
        ...pairs.map(([name, other]) => marked(ratioAt(name, other, cell))),
      ]),
      [
        "geometric mean",
        ...names.map(() => ""),
        ...pairs.map(([name, other]) => marked(meanOf(name, other))),
      ],
    ],
  ),
);
console.log(`\nused_memory's growth per ${unit}, and its share of the growth of RSS:\n`);
console.log(
  table(
    [options.collections ? "shape" : "value", ...names],
    cells.map((cell) => [
      cell.name,
      ...names.map((name) => {
        const { perItem, usedPerItem } = at(name, cell);
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
    [options.collections ? "shape" : "value", ...names],
    cells.map((cell) => [
      cell.name,
      ...names.map((name) => `${mib(at(name, cell).emptyBytes)}, ${mib(at(name, cell).loadedBytes)}`),
    ]),
  ),
);
console.log(
  `\nraw figures in ${saveRaw(options.collections ? "memory-collections" : "memory", Object.fromEntries(samples))}`,
);

if (options.write) {
  const command = commandLine("bun run bench:memory");
  const common = { kind: "ours" as const, command, runs: 1 };
  const claims: Claim[] = [];
  for (const name of ours) {
    const slug = name.replaceAll(" ", "-");
    for (const cell of cells) {
      claims.push({
        ...common,
        id: `bytes-per-${unit}-${cell.id}-${slug}`,
        text: `Resident bytes per ${cell.text}, ironcache on ${name}.`,
        value: at(name, cell).perItem,
        unit: "bytes",
        accept: "present",
      });
    }
    for (const other of peers) {
      const among = options.collections
        ? `${cells.length} shapes of collections`
        : `values of ${options.sizes} bytes`;
      claims.push({
        ...common,
        id: `bytes-per-${unit}-${slug}-${other}`.replaceAll(" ", "-"),
        text: `Resident bytes per ${unit} of ironcache over ${other}, geometric mean of ${among}.`,
        value: meanOf(name, other),
        unit: "ratio",
        accept: other === "redis" && !options.collections ? "<= 0.7" : "<= 1",
      });
      for (const cell of options.collections ? cells : []) {
        claims.push({
          ...common,
          id: `bytes-per-collection-${cell.id}-${slug}-${other}`.replaceAll(" ", "-"),
          text: `Resident bytes per ${cell.text}, ironcache over ${other}.`,
          value: ratioAt(name, other, cell),
          unit: "ratio",
          accept: "<= 1",
        });
      }
    }
  }
  writeClaims(claims, !options.quick);
}
process.exit(0);
