// transactions.ts: what transactions cost, a CPU-second of the server.   bun run bench:transactions [options]
//
// 1. MULTI, SET, GET, SET, GET, EXEC over four keys of 100,000 with values of 64 bytes, which lie in four different shards of
//    a server with four workers: transactions per CPU-second, one at a time and sixteen in a pipeline.
// 2. GET and SET alone, 25 commands in a pipeline, and with such a transaction in place of every hundredth command:
//    commands per CPU-second, a transaction counted as one; the share is the second over the first.
// All threads of a server are bound to one core. 50 connections, driven by closed-loop.ts, in the turns that rates.ts
// describes.
//
//   --rounds N       3                     --shards 1,4          ours
//   --only uring,redis                     names or their beginnings
//   --cpu N          1.0, CPU seconds aimed at per measurement
//   --server NAME=COMMAND, repeatable      --quick   1 round, a tenth of the requests: to see that it works
//   --write          puts the figures into docs/claims.toml
// Neighbours: closed-loop.ts generates, rates.ts and lib.ts below it, claims.ts for --write.

import { parseArgs } from "node:util";
import { hashBytes, hashLow } from "../../engine/memory/hash.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { SHARDS_PER_WORKER } from "../../engine/shard/keyspace.ts";
import { type Claim, writeClaims } from "./claims.ts";
import { type Batch, generate } from "./closed-loop.ts";
import {
  commandLine,
  encode,
  loadKeys,
  machine,
  numbers,
  RandomBytes,
  type Server,
  saveRaw,
  subjectsFor,
  table,
  versionOf,
} from "./lib.ts";
import { cpuOf, Rates, type Sample, sampleOf, slugOf, whatOf } from "./rates.ts";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    shards: { type: "string", default: "1,4" },
    only: { type: "string" },
    cpu: { type: "string", default: "1.0" },
    server: { type: "string", multiple: true },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});

const connections = 50;
const keyCount = 100_000;
const valueBytes = 64;
const keysOfTransaction = 4;
const shards = 4 * SHARDS_PER_WORKER; // of a server with four workers
const batchCount = 1024;
const mixedPipeline = 25;
const every = 100; // of that many commands one is a transaction, in a mixed cell
const rounds = options.quick ? 1 : Number(options.rounds);
const cpuTarget = Number(options.cpu) * (options.quick ? 0.1 : 1);

interface Cell {
  name: string;
  /** Commands or transactions of a batch. */
  pipeline: number;
  batches: readonly Batch[];
  /** A guess of what one costs, microseconds. */
  costUs: number;
}

const random = new RandomBytes(11);
const value = random.text(valueBytes);
const keyOf = (number: number) => `key:${String(number).padStart(12, "0")}`;
const anyKey = () => keyOf(random.next() % keyCount);
const named = need(Region.private(4096), "the name of a key");

/** Number of the shard of a key in a server with four workers. */
function shardOf(key: string): number {
  named.u8.set(Buffer.from(key));
  hashBytes(named, 0, key.length);
  return ((hashLow >>> 20) * shards) >>> 12;
}

function keysInDifferentShards(): string[] {
  const keys: string[] = [];
  while (keys.length < keysOfTransaction) {
    const key = anyKey();
    if (!keys.some((other) => shardOf(other) === shardOf(key))) keys.push(key);
  }
  return keys;
}

const bulk = `$${valueBytes}\r\n${value}\r\n`;
const set = (key: string): Batch => ({ request: encode(["SET", key, value]), reply: "+OK\r\n" });
const get = (key: string): Batch => ({ request: encode(["GET", key]), reply: bulk });

function transaction(): Batch {
  const parts = keysInDifferentShards().map((key, i) => (i % 2 === 0 ? set(key) : get(key)));
  return {
    request: [encode(["MULTI"]), ...parts.map(({ request }) => request), encode(["EXEC"])].join(""),
    reply: [
      "+OK\r\n",
      "+QUEUED\r\n".repeat(parts.length),
      `*${parts.length}\r\n`,
      ...parts.map(({ reply }) => reply),
    ].join(""),
  };
}

/** Batches of `pipeline` commands each, the one of number n made by `make(n)`. */
function batchesOf(pipeline: number, make: (number: number) => Batch): Batch[] {
  return Array.from({ length: batchCount }, (_, batch) => {
    const parts = Array.from({ length: pipeline }, (_, i) => make(batch * pipeline + i));
    return {
      request: parts.map(({ request }) => request).join(""),
      reply: parts.map(({ reply }) => reply).join(""),
    };
  });
}

const mixed = (make: (key: string) => Batch, number: number) =>
  number % every === 0 ? transaction() : make(anyKey());
const plain = (name: string, make: (key: string) => Batch): Cell => ({
  name,
  pipeline: mixedPipeline,
  batches: batchesOf(mixedPipeline, () => make(anyKey())),
  costUs: 0.8,
});
const withTransactions = (name: string, make: (key: string) => Batch): Cell => ({
  name: `${name} and 1 % transactions`,
  pipeline: mixedPipeline,
  batches: batchesOf(mixedPipeline, (number) => mixed(make, number)),
  costUs: 0.9,
});

const alone: Cell[] = [1, 16].map((pipeline) => ({
  name: `transactions, P ${pipeline}`,
  pipeline,
  batches: batchesOf(pipeline, transaction),
  costUs: 4 + 6 / pipeline,
}));
const mixes: [plain: Cell, mixed: Cell][] = [
  [plain("GET", get), withTransactions("GET", get)],
  [plain("SET", set), withTransactions("SET", set)],
];
const cells = [...alone, ...mixes.flat()];

const subjects = subjectsFor({
  shards: numbers(options.shards),
  drivers: ["uring", "epoll"],
  extra: options.server,
  only: options.only?.split(","),
});
const rates = new Rates<Cell>(subjects, ({ name }) => name);

async function drive(server: Server, { batches, pipeline }: Cell, requests: number): Promise<void> {
  await generate(server, { connections, count: Math.ceil(requests / pipeline), batches });
}

async function measure(server: Server, cell: Cell): Promise<Sample> {
  const warmUp = Math.ceil(cpuTarget / 5 / (cell.costUs * 1e-6));
  const cost = Math.max(await cpuOf(server, () => drive(server, cell, warmUp)), 0.01) / warmUp;
  const batches = Math.ceil(Math.min(cpuTarget / cost, 20 * warmUp) / cell.pipeline);
  const requests = batches * cell.pipeline;
  return sampleOf(server, requests, () => drive(server, cell, requests));
}

/** Every cell once, so that the code of all is compiled before the first is measured. */
async function prepare(server: Server): Promise<void> {
  await loadKeys(server.port, keyCount, valueBytes);
  // All keys with the value that replies are checked against.
  const fill = batchesOf(100, (number) => set(keyOf(number % keyCount)));
  await generate(server, { connections: 1, count: Math.ceil(keyCount / 100), batches: fill });
  const seconds = options.quick ? 0.06 : 0.6;
  for (const cell of cells) await drive(server, cell, Math.ceil(seconds / (cell.costUs * 1e-6)));
}

const began = performance.now();
console.log(
  `${machine()}\nserver on core 0, load on core 1, ${connections} connections, ${rounds} round(s); ` +
    `transactions of ${keysOfTransaction} commands on keys of as many shards`,
);
for (const subject of subjects) console.log(`${subject.name}: ${versionOf(subject)}`);
for (let turn = 1; turn <= rounds; turn++) {
  console.error(`round ${turn} of ${rounds}`);
  await rates.round(cells, prepare, measure);
}
rates.print(cells);

const shareOf = ([before, after]: (typeof mixes)[number], name: string): number =>
  rates.medianOf(after, name) / rates.medianOf(before, name);
const shareRows = mixes.map((pair) => [
  pair[1].name,
  ...subjects.map(({ name }) => shareOf(pair, name).toFixed(2)),
]);
console.log(`\n${table(["over the same without", ...subjects.map(({ name }) => name)], shareRows)}`);
const artifact = saveRaw("transactions", rates.raw());
console.log(`raw figures in ${artifact}; ${((performance.now() - began) / 1000).toFixed(0)} s`);

if (options.write) {
  if (!subjects.some((subject) => subject.ours)) throw new Error("no server of ours: nothing to claim");
  const common = {
    command: commandLine("bun run bench:transactions"),
    runs: rounds,
    unit: "ratio",
    kind: "ours" as const,
  };
  const ratios: Claim[] = rates.pairs.flatMap(([name, other]) =>
    alone.map((cell) => ({
      ...common,
      id: `transactions-p${cell.pipeline}-${slugOf(name, other)}`,
      text: `MULTI, ${keysOfTransaction} commands on ${keysOfTransaction} keys, EXEC, P ${cell.pipeline}: ${whatOf(name, other)}.`,
      value: rates.ratio(cell, name, other),
      // Several workers take a lock a key, and none of them has more than one core here.
      accept: name.includes(" x") ? ">= 0.7" : ">= 1.2",
    })),
  );
  const shares: Claim[] = subjects
    .filter((subject) => subject.ours)
    .flatMap(({ name }) =>
      mixes.map((pair) => ({
        ...common,
        id: `transactions-share-${pair[0].name.toLowerCase()}-${name.replaceAll(" ", "-")}`,
        text: `${pair[1].name}, across shards: commands per CPU-second of the server over the same without, ironcache on ${name}.`,
        value: shareOf(pair, name),
        accept: ">= 0.7",
      })),
    );
  writeClaims([...ratios, ...shares], !options.quick && rounds >= 3);
}
process.exit(0);
