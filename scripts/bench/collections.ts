// collections.ts: operations per CPU-second of the server on lists, hashes, sets and sorted sets.
//   bun run bench:collections [options]
//
// Driven by the peers' redis-benchmark, 50 connections, pipelines of 1 and 16, in the turns that rates.ts describes. The
// same number of requests goes to every server in a cell, so that all do the same work. The tests:
//   lpush rpush hset sadd zadd   redis-benchmark's own (-t), each from an absent key on; the members of the last three
//                                are drawn from 1,000,000, so that most are new
//   lpop rpop spop zpopmin       its own, on a key that is filled up to --stock elements before each measurement (on top
//                                of what is there), which are more than it pops; it fails if none are left
//   mset                         its own: 10 keys of 100,000
//   lrange_100                   its command, LRANGE of 100 elements; its -t would first push and count that in
//   hget zrange zrank sismember  on collections of 10,000, members drawn among them, so that all hit; ZRANGE is 0 9,
//                                10 members
// Values are of --size bytes, 3 as redis-benchmark's own default.
//
//   --rounds N       3                      --pipelines 1,16      --tests lpush,hget
//   --only uring,redis                      names or their beginnings
//   --stock N        600000, elements that pops start from       --size 3
//   --shards 1       ours                   --server NAME=COMMAND, repeatable
//   --cpu N          0.5, CPU seconds aimed at per measurement
//   --quick          1 round, a fiftieth of the requests and of the stock: to see that it works
//   --write          puts the figures into docs/claims.toml
// Neighbours: rates.ts and lib.ts below it, claims.ts for --write.

import { parseArgs } from "node:util";
import { writeClaims } from "./claims.ts";
import {
  cardinality,
  commandLine,
  type Filling,
  fill,
  loadKeys,
  machine,
  numbers,
  RandomBytes,
  Resp,
  redisBenchmark,
  type Server,
  saveRaw,
  subjectsFor,
  versionOf,
} from "./lib.ts";
import { Rates, type Sample, sampleOf, slugOf, whatOf } from "./rates.ts";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    pipelines: { type: "string", default: "1,16" },
    tests: { type: "string" },
    only: { type: "string" },
    stock: { type: "string", default: "600000" },
    size: { type: "string", default: "3" },
    shards: { type: "string", default: "1" },
    server: { type: "string", multiple: true },
    cpu: { type: "string", default: "0.5" },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});

const connections = 50;
const members = 10_000; // of the collections that are only read
const newMembers = 1_000_000; // that SADD, HSET and ZADD draw from
const stringKeys = 100_000;
const portion = options.quick ? 0.02 : 1;
const rounds = options.quick ? 1 : Number(options.rounds);
const stock = Math.ceil(Number(options.stock) * portion);
const cpuTarget = Number(options.cpu) * portion;
const valueBytes = Number(options.size);

interface Test {
  name: string;
  /** What one request costs a server beyond a request that does nothing, microseconds: a guess, for the number of them. */
  costUs: number;
  /** Arguments of redis-benchmark: -r, then -t or the command, which must come last. */
  words: readonly string[];
  /** The key that is deleted before each measurement. */
  fresh?: string;
  /** How the key that pops take from is filled again. */
  stock?: { key: string; command: Filling["command"] };
}

const own = (name: string, range: number) => ["-r", `${range}`, "-t", name];
const onMembers = (...command: string[]) => ["-r", `${members}`, ...command];
/** What redis-benchmark makes of this is `memberOf(number)`. */
const randomMember = "element:__rand_int__";
const memberOf = (index: number) => `element:${String(index).padStart(12, "0")}`;

const allTests: readonly Test[] = [
  { name: "lpush", costUs: 0.5, words: own("lpush", newMembers), fresh: "mylist" },
  { name: "rpush", costUs: 0.5, words: own("rpush", newMembers), fresh: "mylist" },
  { name: "hset", costUs: 0.8, words: own("hset", newMembers), fresh: "myhash" },
  { name: "sadd", costUs: 0.8, words: own("sadd", newMembers), fresh: "myset" },
  { name: "zadd", costUs: 1.5, words: own("zadd", newMembers), fresh: "myzset" },
  { name: "mset", costUs: 4, words: own("mset", stringKeys) },
  { name: "lpop", costUs: 0.5, words: own("lpop", members), stock: { key: "mylist", command: "RPUSH" } },
  { name: "rpop", costUs: 0.5, words: own("rpop", members), stock: { key: "mylist", command: "RPUSH" } },
  { name: "spop", costUs: 0.8, words: own("spop", members), stock: { key: "myset", command: "SADD" } },
  { name: "zpopmin", costUs: 1, words: own("zpopmin", members), stock: { key: "myzset", command: "ZADD" } },
  { name: "lrange_100", costUs: 6, words: onMembers("LRANGE", "read:list", "0", "99") },
  { name: "hget", costUs: 0.5, words: onMembers("HGET", "read:hash", randomMember) },
  { name: "zrange", costUs: 1.5, words: onMembers("ZRANGE", "read:zset", "0", "9") },
  { name: "zrank", costUs: 1, words: onMembers("ZRANK", "read:zset", randomMember) },
  { name: "sismember", costUs: 0.5, words: onMembers("SISMEMBER", "read:set", randomMember) },
];

const chosen = options.tests?.split(",") ?? allTests.map(({ name }) => name);
for (const name of chosen) {
  if (!allTests.some((test) => test.name === name)) throw new Error(`no test ${name}`);
}
const tests = allTests.filter(({ name }) => chosen.includes(name));

interface Cell {
  test: Test;
  pipeline: number;
}
const cells: Cell[] = tests.flatMap((test) =>
  numbers(options.pipelines).map((pipeline) => ({ test, pipeline })),
);
const cellName = ({ test, pipeline }: Cell) => `${test.name.toUpperCase()}, P ${pipeline}`;

const subjects = subjectsFor({
  shards: numbers(options.shards),
  drivers: ["uring", "epoll"],
  extra: options.server,
  only: options.only?.split(","),
});
const rates = new Rates(subjects, cellName);

/** Requests for about `cpuTarget` seconds of CPU; never more than a pop finds elements for, warm-up included. */
function requestsOf({ test, pipeline }: Cell): number {
  const guess = Math.ceil(cpuTarget / (0.4e-6 + 6e-6 / pipeline + test.costUs * 1e-6));
  return test.stock === undefined ? guess : Math.min(guess, Math.floor(stock / 1.2));
}

/** The words of an element of a stock or of a read collection, the first member being number `first`. */
function wordsOf(command: Filling["command"], first: number): Filling["words"] {
  const value = "x".repeat(valueBytes);
  const random = new RandomBytes(3);
  if (command === "HSET") return (_key, index) => [memberOf(first + index), value];
  if (command === "ZADD") return (_key, index) => [`${random.next() % newMembers}`, memberOf(first + index)];
  if (command === "SADD") return (_key, index) => [memberOf(first + index)];
  return () => [value];
}

async function fillOne(
  server: Server,
  command: Filling["command"],
  key: string,
  elements: number,
  first = 0,
): Promise<void> {
  await fill(server.port, { command, keys: 1, key: () => key, elements, words: wordsOf(command, first) });
}

async function prepare(server: Server): Promise<void> {
  const wanted = (name: string) => tests.some(({ words }) => words.includes(name));
  if (wanted("read:list")) await fillOne(server, "RPUSH", "read:list", members);
  if (wanted("read:hash")) await fillOne(server, "HSET", "read:hash", members);
  if (wanted("read:set")) await fillOne(server, "SADD", "read:set", members);
  if (wanted("read:zset")) await fillOne(server, "ZADD", "read:zset", members);
  if (tests.some(({ name }) => name === "mset")) await loadKeys(server.port, stringKeys, valueBytes);
  // Every test once, pipelined, so that the code of all is compiled before the first cell is measured.
  for (const test of tests) {
    const requests = Math.min(requestsOf({ test, pipeline: 16 }), 100_000);
    await ready(server, test, requests + 1);
    await drive(server, { test, pipeline: 16 }, requests);
  }
  await refuseMisses(server);
}

/** A look-up that misses is a cheaper command: members must be spelt as the generator spells them. */
async function refuseMisses(server: Server): Promise<void> {
  const connection = await Resp.connect(server.port);
  for (const { name, words } of tests.filter(({ words }) => words.includes(randomMember))) {
    for (const index of [0, members - 1]) {
      const command = words.slice(2).map((word) => (word === randomMember ? memberOf(index) : word));
      const reply = await connection.call(...command);
      if (reply === null || (reply === 0 && name === "sismember")) throw new Error(`${name} misses`);
    }
  }
  connection.close();
}

let nextMember = newMembers; // beyond all that redis-benchmark adds

/** Brings a test's key to where each measurement of it begins: absent, or `count` elements for pops. */
async function ready(server: Server, test: Test, count: number): Promise<void> {
  const connection = await Resp.connect(server.port);
  if (test.fresh !== undefined) await connection.call("DEL", test.fresh);
  if (test.stock !== undefined) {
    const { key, command } = test.stock;
    let have = Number(await connection.call(cardinality[command], key));
    if (have > count) {
      await connection.call("DEL", key);
      have = 0;
    }
    if (have < count) await fillOne(server, command, key, count - have, nextMember);
    nextMember += count - have;
  }
  connection.close();
}

async function drive(server: Server, { test, pipeline }: Cell, requests: number): Promise<void> {
  await redisBenchmark(server, [
    ...["-n", `${requests}`, "-c", `${connections}`, "-P", `${pipeline}`, "-d", `${valueBytes}`],
    ...test.words,
  ]);
}

async function measure(server: Server, cell: Cell): Promise<Sample> {
  await ready(server, cell.test, stock);
  const requests = requestsOf(cell);
  await drive(server, cell, Math.ceil(requests / 10));
  const sample = await sampleOf(server, requests, () => drive(server, cell, requests));
  if (cell.test.stock !== undefined) await refuseEmpty(server, cell.test.stock.key);
  return sample;
}

/** A pop that finds nothing is a cheaper command. */
async function refuseEmpty(server: Server, key: string): Promise<void> {
  const connection = await Resp.connect(server.port);
  const left = await connection.call("EXISTS", key);
  connection.close();
  if (left !== 1) throw new Error(`${server.subject.name}: ${key} ran empty`);
}

const began = performance.now();
console.log(
  `${machine()}\nserver on core 0, load on core 1, ${connections} connections, ${rounds} round(s), ` +
    `values of ${valueBytes} bytes, pops from ${stock} elements`,
);
for (const subject of subjects) console.log(`${subject.name}: ${versionOf(subject)}`);
for (let turn = 1; turn <= rounds; turn++) {
  console.error(`round ${turn} of ${rounds}`);
  await rates.round(cells, prepare, measure);
}
rates.print(cells);
const artifact = saveRaw("collections", rates.raw());
console.log(`raw figures in ${artifact}; ${((performance.now() - began) / 1000).toFixed(0)} s`);

if (options.write) {
  if (!subjects.some((subject) => subject.ours)) throw new Error("no server of ours: nothing to claim");
  const common = { command: commandLine("bun run bench:collections"), runs: rounds };
  const shared = { ...common, unit: "ratio", kind: "ours" as const, accept: ">= 1" };
  const among = `${cells.length} cells on collections (${tests.map(({ name }) => name).join(", ")}; pipelines ${options.pipelines})`;
  const sums = rates.pairs.flatMap(([name, other]) => {
    const least = rates.leastOf(cells, name, other);
    return [
      {
        ...shared,
        id: `rate-collections-${slugOf(name, other)}`,
        text: `Geometric mean of ${among}: ${whatOf(name, other)}.`,
        value: rates.meanOf(cells, name, other),
      },
      {
        ...shared,
        id: `rate-collections-least-${slugOf(name, other)}`,
        text: `Least of ${among}: ${whatOf(name, other)}.`,
        value: least.ratio,
      },
    ];
  });
  const idOf = ({ test, pipeline }: Cell) => `${test.name}-p${pipeline}`;
  writeClaims([...sums, ...rates.claims(cells, idOf, common)], !options.quick && rounds >= 3);
}
process.exit(0);
