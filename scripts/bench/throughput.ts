// throughput.ts: operations per CPU-second of the server.   bun run bench:throughput [options]
//
// SET and GET of 64-byte values over 100,000 keys that exist, 50 connections, pipelines of 1, 16 and 64, driven by the
// peers' own redis-benchmark. Each round starts every server afresh and loads it; then cell by cell the servers take
// turns, A B C, those not being measured stopped (SIGSTOP), so that a change of the machine's mood meets all of them. A
// cell is the median over the rounds; a ratio is ours over a peer's; cells below 1.00 are marked.
//
//   --rounds N       3                       --sizes 64,4096,65536   64     value bytes; keys fewer above 5 KB
//   --shards 1,2     1                       --pipelines 1,16,64
//   --tests set,get                          --only uring,redis      names or their beginnings
//   --bun            also the driver `bun`   --server NAME=COMMAND   another server of ours, {port} in it; repeatable
//   --cpu N          2.0, CPU seconds aimed at per measurement
//   --quick          1 round, a tenth of the requests: to see that it works
//   --write          puts the figures into docs/claims.toml
// Neighbours: lib.ts below it, claims.ts for --write.

import { parseArgs } from "node:util";
import { type Claim, writeClaims } from "./claims.ts";
import {
  commandLine,
  cpuSeconds,
  geometricMean,
  info,
  loadCore,
  loadKeys,
  machine,
  median,
  numbers,
  peerTool,
  pinned,
  type Server,
  saveRaw,
  short,
  start,
  subjectsFor,
  table,
  versionOf,
} from "./lib.ts";

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
const maxPayload = 512 * 2 ** 20; // 100,000 values of 64 KiB would need 6 GiB in each server at once
const rounds = options.quick ? 1 : Number(options.rounds);
const cpuTarget = Number(options.cpu) * (options.quick ? 0.1 : 1);

interface Cell {
  test: string;
  pipeline: number;
  valueBytes: number;
}
/** One measurement: operations per CPU-second of the server, and a second on the wall. */
interface Sample {
  perCpuSecond: number;
  perSecond: number;
}

const cells: Cell[] = numbers(options.sizes).flatMap((valueBytes) =>
  options.tests
    .split(",")
    .flatMap((test) => numbers(options.pipelines).map((pipeline) => ({ test, pipeline, valueBytes }))),
);
const cellName = ({ test, pipeline, valueBytes }: Cell) =>
  `${test.toUpperCase()} ${valueBytes} B, P ${pipeline}`;
const keysFor = (valueBytes: number) => Math.min(maxKeys, Math.floor(maxPayload / valueBytes));

const subjects = subjectsFor({
  shards: numbers(options.shards),
  drivers: options.bun ? ["uring", "epoll", "bun"] : ["uring", "epoll"],
  extra: options.server,
  only: options.only?.split(","),
});
const samples = new Map<string, Sample[]>(); // by key()
const key = (cell: Cell, name: string) => `${cellName(cell)} | ${name}`;

/** Requests for about `cpuTarget` seconds of CPU, from a guess of the cost of one: the kernel's share, then the bytes. */
function firstGuess({ pipeline, valueBytes }: Cell): number {
  const seconds = 0.4e-6 + 6e-6 / pipeline + valueBytes * 0.3e-9;
  return Math.ceil(cpuTarget / seconds);
}

/** Runs the load of a cell once against a running server. */
async function drive(server: Server, cell: Cell, requests: number): Promise<void> {
  const { test, pipeline, valueBytes } = cell;
  const load = Bun.spawn(
    pinned(loadCore, [
      peerTool("redis-benchmark"),
      ...[
        "-p",
        `${server.port}`,
        "-t",
        test,
        "-n",
        `${requests}`,
        "-c",
        `${connections}`,
        "-P",
        `${pipeline}`,
      ],
      ...["-r", `${keysFor(valueBytes)}`, "-d", `${valueBytes}`, "-q", "--seed", "1"],
    ]),
    { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const [output, errors, status] = await Promise.all([
    new Response(load.stdout).text(),
    new Response(load.stderr).text(),
    load.exited,
  ]);
  if (status !== 0 || /error/i.test(output + errors)) {
    throw new Error(`redis-benchmark against ${server.subject.name}, ${cellName(cell)}: ${output}${errors}`);
  }
}

/** One measurement, after a short warm-up that also tells how many requests fill the aimed CPU time. */
async function measure(server: Server, cell: Cell): Promise<Sample> {
  const warmUp = Math.ceil(firstGuess(cell) / 5);
  const warmUpCpu = await cpuOf(server, () => drive(server, cell, warmUp));
  const cost = Math.max(warmUpCpu, 0.01) / warmUp;
  const requests = Math.min(Math.ceil(cpuTarget / cost), 20 * warmUp);
  const began = performance.now();
  const cpu = await cpuOf(server, () => drive(server, cell, requests));
  return { perCpuSecond: requests / cpu, perSecond: requests / ((performance.now() - began) / 1000) };
}

async function cpuOf(server: Server, work: () => Promise<void>): Promise<number> {
  const before = cpuSeconds(server.pid);
  await work();
  return cpuSeconds(server.pid) - before;
}

/** Runs each test over all connections long enough that every worker's code is compiled before the first cell. */
async function warm(server: Server, valueBytes: number): Promise<void> {
  const requests = options.quick ? 50_000 : Math.min(1_000_000, Math.ceil(2 ** 30 / valueBytes));
  for (const test of options.tests.split(","))
    await drive(server, { test, pipeline: 16, valueBytes }, requests);
}

async function round(valueBytes: number): Promise<void> {
  const servers: Server[] = [];
  try {
    for (const subject of subjects) {
      const server = await start(subject);
      servers.push(server);
      await loadKeys(server.port, keysFor(valueBytes), valueBytes);
      await warm(server, valueBytes);
      process.kill(server.pid, "SIGSTOP");
    }
    for (const cell of cells.filter((cell) => cell.valueBytes === valueBytes)) {
      for (const server of servers) {
        process.kill(server.pid, "SIGCONT");
        const sample = await measure(server, cell);
        process.kill(server.pid, "SIGSTOP");
        const name = key(cell, server.subject.name);
        samples.set(name, [...(samples.get(name) ?? []), sample]);
        console.error(
          `  ${name}: ${short(sample.perCpuSecond)} per CPU-second, ${short(sample.perSecond)}/s`,
        );
      }
    }
    for (const server of servers) await refuseMisses(server);
  } finally {
    for (const server of servers) await server.stop();
  }
}

/** A GET that misses is a cheaper command: a run with misses measures nothing. */
async function refuseMisses(server: Server): Promise<void> {
  process.kill(server.pid, "SIGCONT");
  const misses = (await info(server.port)).get("keyspace_misses");
  if (misses !== undefined && misses !== "0") throw new Error(`${server.subject.name}: ${misses} misses`);
}

function medianOf(cell: Cell, name: string): number {
  return median((samples.get(key(cell, name)) ?? []).map(({ perCpuSecond }) => perCpuSecond));
}

/** How far the rounds of a cell lie apart: (max - min) / median. */
function spreadOf(cell: Cell, name: string): number {
  const all = (samples.get(key(cell, name)) ?? []).map(({ perCpuSecond }) => perCpuSecond);
  return (Math.max(...all) - Math.min(...all)) / median(all);
}

const began = performance.now();
console.log(`${machine()}\nserver on core 0, load on core 1, ${connections} connections, ${rounds} round(s)`);
for (const subject of subjects) console.log(`${subject.name}: ${versionOf(subject)}`);
for (let turn = 1; turn <= rounds; turn++) {
  console.error(`round ${turn} of ${rounds}`);
  for (const valueBytes of numbers(options.sizes)) await round(valueBytes);
}

const ours = subjects.filter((subject) => subject.ours).map(({ name }) => name);
const peers = subjects.filter((subject) => !subject.ours).map(({ name }) => name);
// Without a server of ours the peers are held against each other, so that the harness itself can be tried.
const pairs =
  ours.length > 0
    ? ours.flatMap((name) => peers.map((other) => [name, other] as const))
    : peers.slice(1).map((other) => [peers[0], other] as const);
const marked = (ratio: number) => `${ratio < 1 ? "! " : ""}${ratio.toFixed(2)}`;

const header = [
  "operations per CPU-second",
  ...subjects.map(({ name }) => name),
  ...pairs.map(([name, other]) => `${name} / ${other}`),
  "spread",
];
const rows = cells.map((cell) => [
  cellName(cell),
  ...subjects.map(({ name }) => short(medianOf(cell, name))),
  ...pairs.map(([name, other]) => marked(medianOf(cell, name) / medianOf(cell, other))),
  `${(100 * Math.max(...subjects.map(({ name }) => spreadOf(cell, name)))).toFixed(0)} %`,
]);
const meanOf = (name: string, other: string, among: Cell[] = cells) =>
  geometricMean(among.map((cell) => medianOf(cell, name) / medianOf(cell, other)));
rows.push([
  "geometric mean",
  ...subjects.map(({ name }) => short(geometricMean(cells.map((cell) => medianOf(cell, name))))),
  ...pairs.map(([name, other]) => marked(meanOf(name, other))),
  "",
]);
console.log(`\n${table(header, rows)}`);
const below = pairs.flatMap(([name, other]) =>
  cells
    .filter((cell) => medianOf(cell, name) < medianOf(cell, other))
    .map((cell) => `${cellName(cell)}, ${name} / ${other}`),
);
console.log(below.length === 0 ? "no cell below 1.00" : `below 1.00 (!): ${below.join("; ")}`);
const artifact = saveRaw("throughput", Object.fromEntries(samples));
console.log(`raw figures in ${artifact}; ${((performance.now() - began) / 1000).toFixed(0)} s`);

if (options.write) {
  const command = commandLine("bun run bench:throughput");
  const claims: Claim[] = [];
  for (const [name, other] of pairs.filter(([name]) => ours.includes(name))) {
    const slug = `${name}-${other}`.replaceAll(" ", "-");
    const common = { unit: "ratio", kind: "ours" as const, command, runs: rounds };
    const what = `operations per CPU-second of the server, ironcache on ${name} over ${other}`;
    for (const valueBytes of numbers(options.sizes)) {
      const among = cells.filter((cell) => cell.valueBytes === valueBytes);
      claims.push({
        ...common,
        id: `rate-${valueBytes}b-${slug}`,
        text: `Geometric mean of ${among.length} cells (${options.tests}; pipelines ${options.pipelines}), ${valueBytes}-byte values: ${what}.`,
        value: meanOf(name, other, among),
        accept: valueBytes === 64 && name === "uring" ? ">= 1.5" : ">= 1",
      });
    }
    for (const cell of cells) {
      claims.push({
        ...common,
        id: `rate-${cell.test}-${cell.valueBytes}b-p${cell.pipeline}-${slug}`,
        text: `${cellName(cell)}: ${what}.`,
        value: medianOf(cell, name) / medianOf(cell, other),
        accept: ">= 1",
      });
    }
  }
  writeClaims(claims, !options.quick && rounds >= 3);
}
process.exit(0);
