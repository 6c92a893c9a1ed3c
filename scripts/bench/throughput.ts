// throughput.ts: operations per CPU-second of the server.   bun run bench:throughput [options]
//
// SET and GET of 64-byte values over 100,000 keys that exist, 50 connections, pipelines of 1, 16 and 64, driven by the
// peers' own redis-benchmark, in the turns that rates.ts describes, after a load and a warm-up. HGET (--tests) is over as
// many hashes of four fields. With several numbers of --shards, what each server of ours makes of one core is told as a
// share of the same server's with the first number.
//
//   --rounds N       3                       --sizes 64,4096,65536   64     value bytes; keys fewer above 5 KB
//   --shards 1,2     1                       --pipelines 1,16,64
//   --tests set,get,hget    set,get          --only uring,redis      names or their beginnings
//   --bun            also the driver `bun`   --server NAME=COMMAND   another server of ours, {port} in it; repeatable
//   --cpu N          2.0, CPU seconds aimed at per measurement
//   --quick          1 round, a tenth of the requests: to see that it works
//   --write          puts the figures into docs/claims.toml
// Neighbours: rates.ts and lib.ts below it, claims.ts for --write.

import { parseArgs } from "node:util";
import { type Claim, writeClaims } from "./claims.ts";
import {
  commandLine,
  fill,
  info,
  ironcache,
  loadKeys,
  machine,
  numbers,
  Resp,
  redisBenchmark,
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
    sizes: { type: "string", default: "64" },
    shards: { type: "string", default: "1" },
    pipelines: { type: "string", default: "1,16,64" },
    tests: { type: "string", default: "set,get" },
    only: { type: "string" },
    bun: { type: "boolean", default: false },
    server: { type: "string", multiple: true },
    cpu: { type: "string", default: "2.0" },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});

const connections = 50;
const maxKeys = 100_000;
const hashFields = 4;
const maxPayload = 512 * 2 ** 20; // 100,000 values of 64 KiB would need 6 GiB in each server at once
const rounds = options.quick ? 1 : Number(options.rounds);
const cpuTarget = Number(options.cpu) * (options.quick ? 0.1 : 1);

interface Cell {
  test: string;
  pipeline: number;
  valueBytes: number;
}

const cells: Cell[] = numbers(options.sizes).flatMap((valueBytes) =>
  options.tests
    .split(",")
    .flatMap((test) => numbers(options.pipelines).map((pipeline) => ({ test, pipeline, valueBytes }))),
);
const cellName = ({ test, pipeline, valueBytes }: Cell) =>
  `${test.toUpperCase()} ${valueBytes} B, P ${pipeline}`;
const keysFor = (valueBytes: number) => Math.min(maxKeys, Math.floor(maxPayload / valueBytes));

const drivers: ("uring" | "epoll" | "bun")[] = options.bun ? ["uring", "epoll", "bun"] : ["uring", "epoll"];
const subjects = subjectsFor({
  shards: numbers(options.shards),
  drivers,
  extra: options.server,
  only: options.only?.split(","),
});
const rates = new Rates(subjects, cellName);

/** Requests for about `cpuTarget` seconds of CPU, from a guess of the cost of one: the kernel's share, then the bytes. */
function firstGuess({ pipeline, valueBytes }: Cell): number {
  const seconds = 0.4e-6 + 6e-6 / pipeline + valueBytes * 0.3e-9;
  return Math.ceil(cpuTarget / seconds);
}

/** Runs the load of a cell once against a running server. */
async function drive(server: Server, cell: Cell, requests: number): Promise<void> {
  const { test, pipeline, valueBytes } = cell;
  const what = test === "hget" ? ["HGET", "hash:__rand_int__", "field:2"] : [];
  await redisBenchmark(server, [
    ...(test === "hget" ? [] : ["-t", test]),
    ...["-n", `${requests}`, "-c", `${connections}`, "-P", `${pipeline}`],
    ...["-r", `${keysFor(valueBytes)}`, "-d", `${valueBytes}`],
    ...what,
  ]);
}

/** One measurement, after a short warm-up that also tells how many requests fill the aimed CPU time. */
async function measure(server: Server, cell: Cell): Promise<Sample> {
  const warmUp = Math.ceil(firstGuess(cell) / 5);
  const warmUpCpu = await cpuOf(server, () => drive(server, cell, warmUp));
  const cost = Math.max(warmUpCpu, 0.01) / warmUp;
  const requests = Math.min(Math.ceil(cpuTarget / cost), 20 * warmUp);
  return sampleOf(server, requests, () => drive(server, cell, requests));
}

/** Runs each test over all connections long enough that every worker's code is compiled before the first cell. */
async function warm(server: Server, valueBytes: number): Promise<void> {
  const requests = options.quick ? 50_000 : Math.min(1_000_000, Math.ceil(2 ** 30 / valueBytes));
  for (const test of options.tests.split(","))
    await drive(server, { test, pipeline: 16, valueBytes }, requests);
}

/** The hashes of HGET, named as redis-benchmark draws them. */
async function loadHashes(server: Server, valueBytes: number): Promise<void> {
  const value = "x".repeat(valueBytes);
  await fill(server.port, {
    command: "HSET",
    keys: keysFor(valueBytes),
    key: (number) => `hash:${String(number).padStart(12, "0")}`,
    elements: hashFields,
    words: (_key, index) => [`field:${index}`, value],
  });
  const connection = await Resp.connect(server.port);
  await connection.call("CONFIG", "RESETSTAT"); // loading asked for hashes that were not there yet
  connection.close();
}

/** A GET that misses is a cheaper command: a run with misses measures nothing. */
async function refuseMisses(server: Server): Promise<void> {
  const misses = (await info(server.port)).get("keyspace_misses");
  if (misses !== undefined && misses !== "0") throw new Error(`${server.subject.name}: ${misses} misses`);
}

const began = performance.now();
console.log(`${machine()}\nserver on core 0, load on core 1, ${connections} connections, ${rounds} round(s)`);
for (const subject of subjects) console.log(`${subject.name}: ${versionOf(subject)}`);
for (let turn = 1; turn <= rounds; turn++) {
  console.error(`round ${turn} of ${rounds}`);
  for (const valueBytes of numbers(options.sizes)) {
    const prepare = async (server: Server) => {
      await loadKeys(server.port, keysFor(valueBytes), valueBytes);
      if (options.tests.split(",").includes("hget")) await loadHashes(server, valueBytes);
      await warm(server, valueBytes);
    };
    const among = cells.filter((cell) => cell.valueBytes === valueBytes);
    await rates.round(among, prepare, measure, refuseMisses);
  }
}

rates.print(cells);
/** Servers of ours that have more workers than the first number of them, and that one's name. */
const sharing = drivers.flatMap((driver) => {
  const [first, ...more] = numbers(options.shards).map((count) => ironcache(driver, count).name);
  return more.map((name) => [name, first] as const);
});
const shared = sharing.filter((pair) =>
  pair.every((name) => subjects.some((subject) => subject.name === name)),
);
const shareOf = (cell: Cell, [name, first]: (typeof shared)[number]): number =>
  rates.medianOf(cell, name) / rates.medianOf(cell, first);
if (shared.length > 0) {
  const rows = cells.map((cell) => [cellName(cell), ...shared.map((pair) => shareOf(cell, pair).toFixed(2))]);
  console.log(`\n${table(["on one core", ...shared.map(([name, first]) => `${name} / ${first}`)], rows)}`);
}
const artifact = saveRaw("throughput", rates.raw());
console.log(`raw figures in ${artifact}; ${((performance.now() - began) / 1000).toFixed(0)} s`);

if (options.write) {
  const common = { command: commandLine("bun run bench:throughput"), runs: rounds };
  const means: Claim[] = rates.pairs.flatMap(([name, other]) =>
    numbers(options.sizes).map((valueBytes) => {
      const among = cells.filter((cell) => cell.valueBytes === valueBytes);
      return {
        ...common,
        id: `rate-${valueBytes}b-${slugOf(name, other)}`,
        text: `Geometric mean of ${among.length} cells (${options.tests}; pipelines ${options.pipelines}), ${valueBytes}-byte values: ${whatOf(name, other)}.`,
        value: rates.meanOf(among, name, other),
        unit: "ratio",
        kind: "ours" as const,
        accept: valueBytes === 64 && name === "uring" ? ">= 1.5" : ">= 1",
      };
    }),
  );
  const idOf = ({ test, pipeline, valueBytes }: Cell) => `${test}-${valueBytes}b-p${pipeline}`;
  if (!subjects.some((subject) => subject.ours)) throw new Error("no server of ours: nothing to claim");
  const shares: Claim[] = shared.flatMap((pair) =>
    cells.map((cell) => ({
      ...common,
      id: `share-${idOf(cell)}-${slugOf(...pair)}`,
      text: `${cellName(cell)}, all on one core: operations per CPU-second of the server, ironcache on ${pair[0]} over ${pair[1]}.`,
      value: shareOf(cell, pair),
      unit: "ratio",
      kind: "ours" as const,
      accept: "present",
    })),
  );
  writeClaims([...means, ...rates.claims(cells, idOf, common), ...shares], !options.quick && rounds >= 3);
}
process.exit(0);
