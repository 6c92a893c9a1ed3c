// latency.ts: how long a request takes at half load, and two figures of the same kind: start and idle.
//   bun run bench:latency [options]
//
// 1. Saturation: 50 connections, one GET outstanding on each, against each server.
// 2. Latency: GET in an open loop (open-loop.ts) at half of the LOWEST saturation rate found, so that every server
//    carries the same load and none more than half of its own. The servers take turns, A B C A B C.
// 3. Start: from spawning the process to the first GET answered, median of 10.
// 4. Idle: CPU of ironcache with 8 shards and no client, share of one core.
// Server on core 0, generator on core 1, both at nice -20 where that is allowed; idle and start run unbound. The last
// column says how late the generator itself was, and the first lines what the idle machine takes away (stalls.ts): a
// tail no longer than those is the machine's, not the server's.
//
//   --seconds 60   recorded per turn     --rounds 1       turns
//   --rate N       instead of half load  --test get|set
//   --shards 1     ours                  --only uring,redis
//   --bun          also driver `bun`     --server NAME=COMMAND, repeatable
//   --skip latency,start,idle            --quick          5 seconds, 3 starts
//   --write        puts the figures into docs/claims.toml
// Neighbours: open-loop.ts generates, lib.ts below it, claims.ts for --write.

import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Claim, writeClaims } from "./claims.ts";
import {
  commandLine,
  cpuSeconds,
  freePort,
  ironcache,
  loadCore,
  loadKeys,
  machine,
  median,
  numbers,
  pinned,
  Resp,
  type Server,
  type Subject,
  saveRaw,
  scratch,
  serverCore,
  short,
  start,
  subjectsFor,
  table,
  threadCount,
  urgent,
  versionOf,
} from "./lib.ts";
import type { Report } from "./open-loop.ts";
import type { Stalls } from "./stalls.ts";

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    rounds: { type: "string", default: "1" },
    rate: { type: "string" },
    test: { type: "string", default: "get" },
    shards: { type: "string", default: "1" },
    bun: { type: "boolean", default: false },
    only: { type: "string" },
    server: { type: "string", multiple: true },
    skip: { type: "string", default: "" },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});
const connections = 50;
const keyCount = 100_000;
const valueBytes = 64;
const seconds = options.quick ? 5 : Number(options.seconds);
const rounds = Number(options.rounds);
const saturationSeconds = options.quick ? 2 : 5;
const starts = options.quick ? 3 : 10;
const idleShards = 8;
const idleSeconds = options.quick ? 3 : 10;
const skipped = options.skip.split(",");
if (options.test !== "get" && options.test !== "set") throw new Error("--test takes get or set");

const subjects = subjectsFor({
  shards: numbers(options.shards),
  drivers: options.bun ? ["uring", "epoll", "bun"] : ["uring", "epoll"],
  extra: options.server,
  only: options.only?.split(","),
});
const ours = subjects.filter((subject) => subject.ours);
const claims: Claim[] = [];
const common = {
  kind: "ours" as const,
  command: commandLine("bun run bench:latency"),
};
const raw: Record<string, unknown> = {};

async function generate(server: Server, forSeconds: number, rate: number): Promise<Report> {
  const words = [server.port, connections, forSeconds, rate, options.test, keyCount, valueBytes].map(String);
  const child = Bun.spawn(
    urgent(pinned(loadCore, [process.execPath, join(import.meta.dir, "open-loop.ts"), ...words])),
    { stdout: "pipe", stderr: "pipe" },
  );
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (child.exitCode !== 0) throw new Error(`generator against ${server.subject.name}: ${errors}`);
  return JSON.parse(output) as Report;
}

/** Starts every subject loaded and stopped; `turn` runs with one of them awake at a time. */
async function inTurns(turns: number, turn: (server: Server) => Promise<void>): Promise<void> {
  const servers: Server[] = [];
  try {
    for (const subject of subjects) {
      const server = await start(subject, serverCore, urgent);
      servers.push(server);
      await loadKeys(server.port, keyCount, valueBytes);
      process.kill(server.pid, "SIGSTOP");
    }
    for (let count = 0; count < turns; count++) {
      for (const server of servers) {
        process.kill(server.pid, "SIGCONT");
        await turn(server);
        process.kill(server.pid, "SIGSTOP");
      }
    }
  } finally {
    for (const server of servers) await server.stop();
  }
}

/** The gaps in the time of both cores, before any server runs: what no tail below can be shorter than. */
async function measureStalls(): Promise<void> {
  const stalls: Record<string, Stalls> = {};
  for (const core of [serverCore, loadCore]) {
    const script = join(import.meta.dir, "stalls.ts");
    const { stdout } = Bun.spawnSync(
      urgent(pinned(core, [process.execPath, script, options.quick ? "1" : "5"])),
    );
    const found = JSON.parse(stdout.toString()) as Stalls;
    stalls[`core ${core}`] = found;
    const share = `${(100 * found.lost).toFixed(2)} % of its time`;
    console.log(
      `core ${core}, idle: ${share} in gaps above 0.3 ms, longest ${(found.longestUs / 1000).toFixed(1)} ms`,
    );
  }
  raw.stalls = stalls;
}

async function measureLatency(): Promise<void> {
  const saturation = new Map<string, number>();
  await inTurns(1, async (server) => {
    const { perSecond } = await generate(server, saturationSeconds, 0);
    saturation.set(server.subject.name, perSecond);
    console.error(`  saturation of ${server.subject.name}: ${short(perSecond)}/s`);
  });
  const rate = options.rate ? Number(options.rate) : Math.floor(Math.min(...saturation.values()) / 2);
  const reports = new Map<string, (Report & { cpuShare: number })[]>();
  await inTurns(rounds, async (server) => {
    const cpuBefore = cpuSeconds(server.pid);
    const began = performance.now();
    const report = await generate(server, seconds, rate);
    const cpuShare = (cpuSeconds(server.pid) - cpuBefore) / ((performance.now() - began) / 1000);
    const { name } = server.subject;
    reports.set(name, [...(reports.get(name) ?? []), { ...report, cpuShare }]);
    console.error(`  ${name}: p99.9 ${report.p999Us.toFixed(0)} us, max ${report.maxUs.toFixed(0)} us`);
  });
  raw.latency = { rate, saturation: Object.fromEntries(saturation), reports: Object.fromEntries(reports) };

  const middle = (name: string, field: keyof Report | "cpuShare") =>
    median(reports.get(name)!.map((report) => report[field]));
  console.log(
    `\n${options.test.toUpperCase()} of ${valueBytes} bytes, open loop at ${short(rate)}/s over ${connections} connections, ${seconds} s, median of ${rounds} turn(s), microseconds:\n`,
  );
  const us = (name: string, field: keyof Report) => middle(name, field).toFixed(0);
  console.log(
    table(
      ["server", "saturation/s", "p50", "p99", "p99.9", "p99.99", "max", "CPU", "generator late p99, max"],
      subjects.map(({ name }) => [
        name,
        short(saturation.get(name)!),
        us(name, "p50Us"),
        us(name, "p99Us"),
        us(name, "p999Us"),
        us(name, "p9999Us"),
        Math.max(...reports.get(name)!.map(({ maxUs }) => maxUs)).toFixed(0),
        `${(100 * middle(name, "cpuShare")).toFixed(0)} %`,
        `${us(name, "lagP99Us")}, ${Math.max(...reports.get(name)!.map(({ lagMaxUs }) => lagMaxUs)).toFixed(0)}`,
      ]),
    ),
  );
  for (const { name } of ours) {
    claims.push({
      ...common,
      id: `tail-${options.test}-${name}`.replaceAll(" ", "-"),
      text: `p99.9 of ${options.test.toUpperCase()}, open loop at ${rate} a second, ${connections} connections, ${seconds} s, ironcache on ${name}.`,
      value: middle(name, "p999Us") / 1000,
      unit: "ms",
      runs: rounds,
      accept: "<= 1 ms",
    });
    for (const { name: other } of subjects.filter((subject) => !subject.ours)) {
      claims.push({
        ...common,
        id: `tail-${options.test}-${name}-${other}`.replaceAll(" ", "-"),
        text: `p99.9 of ${options.test.toUpperCase()}, ironcache on ${name} over ${other}, same open loop at ${rate} a second.`,
        value: middle(name, "p999Us") / middle(other, "p999Us"),
        unit: "ratio",
        runs: rounds,
        accept: "<= 1",
      });
    }
  }
}

/** Milliseconds from spawning a subject to its first answer to GET. */
async function startMs(subject: Subject): Promise<number> {
  const port = freePort();
  const began = performance.now();
  const child = Bun.spawn(subject.command(port), {
    cwd: scratch(),
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  try {
    for (;;) {
      const answered = await Resp.connect(port)
        .then(async (connection) => {
          const reply = await connection.call("GET", "absent");
          connection.close();
          return reply === null;
        })
        .catch(() => false);
      if (answered) return performance.now() - began;
      if (performance.now() - began > 20_000) throw new Error(`${subject.name} did not start`);
      await Bun.sleep(0);
    }
  } finally {
    child.kill(9);
    await child.exited;
  }
}

async function measureStart(): Promise<void> {
  const figures = new Map<string, number[]>();
  for (let turn = 0; turn < starts; turn++) {
    for (const subject of subjects) {
      figures.set(subject.name, [...(figures.get(subject.name) ?? []), await startMs(subject)]);
    }
  }
  raw.start = Object.fromEntries(figures);
  console.log(`\nFrom spawn to the first GET answered, milliseconds, ${starts} starts:\n`);
  console.log(
    table(
      ["server", "median", "least", "most"],
      [...figures].map(([name, all]) => [
        name,
        median(all).toFixed(1),
        Math.min(...all).toFixed(1),
        Math.max(...all).toFixed(1),
      ]),
    ),
  );
  for (const { name } of ours) {
    claims.push({
      ...common,
      id: `start-${name}`.replaceAll(" ", "-"),
      text: `From spawning the process to its first GET answered, median of ${starts}, ironcache on ${name}.`,
      value: median(figures.get(name)!),
      unit: "ms",
      runs: starts,
      accept: "present",
    });
  }
}

async function measureIdle(): Promise<void> {
  const drivers = new Set(ours.map(({ name }) => name.split(" ")[0]));
  const idle = [
    ...(["uring", "epoll", "bun"] as const)
      .filter((io) => drivers.has(io))
      .map((io) => ironcache(io, idleShards)),
    ...subjects.filter((subject) => !subject.ours),
  ];
  const rows: string[][] = [];
  for (const subject of idle) {
    const server = await start(subject, null);
    try {
      await Bun.sleep(2000);
      const before = cpuSeconds(server.pid);
      await Bun.sleep(idleSeconds * 1000);
      const percent = (100 * (cpuSeconds(server.pid) - before)) / idleSeconds;
      rows.push([subject.name, `${percent.toFixed(1)} %`, `${threadCount(server.pid)}`]);
      if (subject.ours) {
        claims.push({
          ...common,
          id: `idle-cpu-${subject.name}`.replaceAll(" ", "-"),
          text: `CPU of ironcache with ${idleShards} shards and no client over ${idleSeconds} s, driver ${subject.name.split(" ")[0]}.`,
          value: percent,
          unit: "% of a core",
          runs: 1,
          accept: "<= 1 %",
        });
      }
    } finally {
      await server.stop();
    }
  }
  raw.idle = rows;
  console.log(`\nNo client, ${idleSeconds} s, ours with ${idleShards} shards:\n`);
  console.log(table(["server", "share of a core", "threads"], rows));
}

console.log(`${machine()}\nserver on core 0, load on core 1`);
for (const subject of subjects) console.log(`${subject.name}: ${versionOf(subject)}`);
if (!skipped.includes("latency")) {
  await measureStalls();
  await measureLatency();
}
if (!skipped.includes("start")) await measureStart();
if (!skipped.includes("idle")) await measureIdle();
console.log(`\nraw figures in ${saveRaw("latency", raw)}`);
if (options.write) writeClaims(claims, !options.quick);
process.exit(0);
