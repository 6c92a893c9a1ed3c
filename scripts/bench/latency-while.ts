// latency-while.ts: how long a GET takes while the server works in the background.   bun run bench:latency-while [options]
//
// GET of values of 200 bytes at uniformly random of 100,000 keys, in an open loop (open-loop.ts) at a moderate rate. Each
// server starts afresh for each cell, and the cells take turns, so that the machine's noise meets all of them:
//   nothing     the keys alone: what the machine takes away by itself
//   evicting    maxmemory 100mb, full; a connection SETs new keys at a steady rate all the time
//   expiring    a million keys that all expire at one moment; 3 s, from one before it. As many as a twentieth went before
//   defrag      200 MB in values of 400 bytes, 70 % deleted at random; activedefrag begins with the recording, and only what
//               lies in the time in which it ran is counted
//   training    compressible values under many prefixes; compression begins with the recording, and only what lies in the
//               time until the last dictionary was made is counted. The GETs read such values, too
// Requests that were due while the server answered a poll of INFO do not count: that is not what is asked here.
// The peers have the first three. Server on core 0, generator on core 1, at nice -20 where that is allowed and this process
// has not been made nicer itself. Beside each figure stands the least of its rounds: what noise cannot have added to.
//
//   --while evicting,expiring,defrag,training    --rounds 5      --seconds 5   recorded of the cells that have no end
//   --rate 20000   --new-rate 10000              --only uring,redis            --io uring,epoll
//   --pauses       tells the longest pauses of each turn
//   --quick        a twentieth, once             --write         puts the figures into docs/claims.toml
// Neighbours: open-loop.ts generates, lib.ts below it, claims.ts for --write.

import { readFileSync, rmSync } from "node:fs";
import { getPriority } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Claim, writeClaims } from "./claims.ts";
import { Histogram } from "./histogram.ts";
import {
  commandLine,
  encode,
  info,
  ironcache,
  loadCore,
  loadKeys,
  machine,
  median,
  peer,
  pinned,
  RandomBytes,
  Resp,
  type Server,
  type Subject,
  saveRaw,
  scratch,
  serverCore,
  short,
  start,
  table,
  urgent,
  versionOf,
  warmUp,
} from "./lib.ts";
import type { Beside, Told } from "./open-loop.ts";
import type { Stalls } from "./stalls.ts";

const { values: options } = parseArgs({
  options: {
    while: { type: "string", default: "evicting,expiring,defrag,training" },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "5" },
    rate: { type: "string", default: "20000" },
    "new-rate": { type: "string", default: "10000" },
    io: { type: "string", default: "uring" },
    only: { type: "string", default: "" },
    pauses: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});
const connections = 50;
const part = options.quick ? 20 : 1;
const keyCount = 100_000 / part;
const valueBytes = 200;
const rate = Number(options.rate) / (options.quick ? 4 : 1);
const seconds = options.quick ? 1 : Number(options.seconds);
const rounds = options.quick ? 1 : Number(options.rounds);
const newPerSecond = Number(options["new-rate"]);
const barUs = 2000;
const pollMs = 200;
const pauseUs = 500;
/** What is made ready must be so by then, ms before the moment at which it happens. */
const leadMs = 4000;
const wrap = getPriority() > 0 ? (command: string[]) => command : urgent;

/** A part of the recorded time, ms. */
interface Span {
  from: number;
  to: number;
  /** What the server did in it. */
  did: string;
}

interface Activity {
  name: string;
  /** Peers do it, too. */
  peers: boolean;
  /** Options of ours. */
  words?: string[];
  seconds: number;
  /** Makes a server that holds the keys ready; gives what the generator does beside its GETs. */
  prepare: (port: number) => Promise<Beside>;
  /** Which part of the time counts. Throws when it did not happen. */
  span: (told: Told, before: Map<string, string>, after: Map<string, string>) => Span;
}

const growth = (before: Map<string, string>, after: Map<string, string>, field: string) =>
  Number(after.get(field) ?? 0) - Number(before.get(field) ?? 0);

/** Sends `count` commands that answer a line each. */
async function sendMany(port: number, count: number, command: (index: number) => string[]): Promise<void> {
  const connection = await Resp.connect(port);
  for (let done = 0; done < count; ) {
    const batch = Math.min(500, count - done);
    let text = "";
    for (let i = 0; i < batch; i++) text += encode(command(done + i));
    await connection.sendAll(Buffer.from(text, "latin1"), batch);
    done += batch;
  }
  connection.close();
}

async function call(port: number, ...words: string[]): Promise<void> {
  const connection = await Resp.connect(port);
  await connection.call(...words);
  connection.close();
}

/** The first and the last poll of which `is` is true; throws when there is none. */
function spanOf({ polled }: Told, is: (text: string, before: string) => boolean): [number, number] {
  const times = polled
    .filter(({ text }, i) => is(text, polled[Math.max(0, i - 1)]!.text))
    .map(({ ms }) => ms);
  if (times.length === 0) throw new Error("what was to be measured did not happen");
  return [times[0]!, times.at(-1)!];
}

const digits = (value: number) => `${value}`.padStart(12, "0");

const random = new RandomBytes(3);
const pick = (words: readonly string[]) => words[random.next() % words.length]!;

/** An application's value, of exactly `valueBytes`. */
function json(id: number): string {
  const text = JSON.stringify({
    id,
    email: `${pick(["anna", "ben", "carla", "dmitri", "eve"])}.${random.next() % 1e4}@example.com`,
    role: pick(["admin", "member", "guest"]),
    created: 1_700_000_000_000 + random.next(),
    address: `10.${random.next() & 255}.${random.next() & 255}.${random.next() & 255}`,
    note: "",
  });
  return `${text.slice(0, -2)}${random.text(16).padEnd(valueBytes - text.length, " .")}"}`.slice(-valueBytes);
}

const evictingBytes = 100e6 / (options.quick ? 5 : 1);
const expiringKeys = 1_000_000 / part;
const defragKeys = 500_000 / (options.quick ? 10 : 1);
const classes = options.quick ? 8 : 40;
const classKeys = 4000;

const activities: Activity[] = [
  {
    name: "nothing",
    peers: true,
    seconds,
    prepare: async () => ({}),
    span: () => ({ from: 0, to: Number.POSITIVE_INFINITY, did: "" }),
  },
  {
    name: "evicting",
    peers: true,
    seconds,
    prepare: async (port) => {
      await call(port, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
      await call(port, "CONFIG", "SET", "maxmemory", `${evictingBytes}`);
      const value = random.text(valueBytes);
      await sendMany(port, (1.5 * evictingBytes) / valueBytes, (i) => ["SET", `old:${digits(i)}`, value]);
      await loadAgain(port);
      return { newPerSecond, newBytes: valueBytes };
    },
    span: (told, before, after) => {
      const evicted = growth(before, after, "evicted_keys");
      if (evicted < newPerSecond * seconds * 0.5) throw new Error(`${evicted} keys were evicted`);
      return { from: 0, to: Number.POSITIVE_INFINITY, did: `${evicted} evicted, ${told.misses} misses` };
    },
  },
  {
    name: "expiring",
    peers: true,
    seconds: 3,
    prepare: async (port) => {
      const value = random.text(64);
      const expire = (count: number, at: number) =>
        sendMany(port, count, (i) => ["SET", `exp:${digits(i)}`, value, "PXAT", `${at}`]);
      await expire(expiringKeys / 20, Date.now() + 1000);
      await Bun.sleep(1500);
      // Long enough ahead that all are there before; how fast a server takes them is not known.
      const began = Date.now();
      await expire(expiringKeys / 10, began + 3_600_000);
      const at = Math.ceil(Date.now() + (Date.now() - began) * 15 + leadMs);
      await expire(expiringKeys, at);
      if (Date.now() > at - leadMs + 500) throw new Error("loading took too long");
      await Bun.sleep(at - leadMs - Date.now());
      return { recordAtMs: at - 1000 };
    },
    span: (_told, before, after) => {
      const expired = growth(before, after, "expired_keys");
      if (expired < expiringKeys * 0.02) throw new Error(`${expired} keys expired`);
      return { from: 0, to: Number.POSITIVE_INFINITY, did: `${expired} expired` };
    },
  },
  {
    name: "defrag",
    peers: false,
    seconds: seconds + 2,
    prepare: async (port) => {
      await call(port, "CONFIG", "SET", "activedefrag", "no");
      await loadKeys(port, defragKeys, 400, "old:");
      const gone = Array.from({ length: defragKeys }, (_, i) => i).filter(() => random.next() % 10 < 7);
      await sendMany(port, gone.length, (i) => ["DEL", `old:${digits(gone[i]!)}`]);
      await Bun.sleep(options.quick ? 200 : 1000);
      return { first: [["CONFIG", "SET", "activedefrag", "yes"]], poll: ["INFO", "memory"], pollMs };
    },
    span: (told, before, after) => {
      const [from, to] = spanOf(told, (text) => /active_defrag_running:[1-9]/.test(text));
      const moved = growth(before, after, "active_defrag_hits");
      return { from, to, did: `${((to - from) / 1000).toFixed(1)} s, ${moved} moved` };
    },
  },
  {
    name: "training",
    peers: false,
    words: ["--compression", "off", "--compression-age", "1"],
    seconds: seconds + 2,
    prepare: async (port) => {
      await sendMany(port, keyCount, (i) => ["SET", `key:${digits(i)}`, json(i)]);
      await sendMany(port, classes * classKeys, (i) => ["SET", `c${i % classes}:${digits(i)}`, json(i)]);
      await Bun.sleep(options.quick ? 0 : 500);
      return {
        first: [["CONFIG", "SET", "compression", "on"]],
        poll: ["INFO", "compression"],
        pollMs,
      };
    },
    span: (told, before, after) => {
      const made = (text: string) => Number(/compression_dictionaries_made:(\d+)/.exec(text)?.[1] ?? 0);
      const [, to] = spanOf(told, (text, last) => made(text) > made(last));
      const usec = growth(before, after, "compression_train_usec");
      const dictionaries = growth(before, after, "compression_dictionaries_made");
      return { from: 0, to, did: `${(usec / 1e6).toFixed(1)} s for ${dictionaries} dictionaries` };
    },
  },
];

/** Puts the keys that the GETs read, as far as they went when others came. */
async function loadAgain(port: number): Promise<void> {
  const value = random.text(valueBytes);
  await sendMany(port, keyCount, (i) => ["SET", `key:${digits(i)}`, value]);
}

const wanted = options.while.split(",");
for (const name of wanted)
  if (!activities.some((activity) => activity.name === name)) throw new Error(`no ${name} to measure`);
const chosen = activities.filter(({ name }) => name === "nothing" || wanted.includes(name));

interface Cell {
  subject: Subject;
  activity: Activity;
}

const drivers = options.io.split(",") as ("uring" | "epoll" | "bun")[];
const cells: Cell[] = chosen.flatMap((activity) =>
  [...drivers.map((io) => ironcache(io, 1, activity.words)), ...(activity.peers ? [peer("redis")] : [])]
    .filter(({ name }) => options.only.split(",").some((word) => name.startsWith(word)))
    .map((subject) => ({ subject, activity })),
);
const nameOf = ({ subject, activity }: Cell) => `${subject.name}, ${activity.name}`;

/** One turn of a cell. */
interface Turn {
  p50: number;
  p99: number;
  p999: number;
  max: number;
  late: number;
  did: string;
}

/** Times in which requests took longer than `pauseUs`, by when their first one was due. */
interface Pause {
  atMs: number;
  us: number;
  requests: number;
}

function pausesOf(samples: Float32Array, counts: (dueMs: number) => boolean): Pause[] {
  const slow: [number, number][] = [];
  for (let i = 0; i < samples.length; i += 2)
    if (samples[i + 1]! > pauseUs && counts(samples[i]!)) slow.push([samples[i]!, samples[i + 1]!]);
  slow.sort(([a], [b]) => a - b);
  const pauses: Pause[] = [];
  let end = Number.NEGATIVE_INFINITY;
  for (const [atMs, us] of slow) {
    const last = pauses.at(-1);
    if (last === undefined || atMs > end) pauses.push({ atMs, us, requests: 1 });
    else {
      last.us = Math.max(last.us, us);
      last.requests++;
    }
    end = Math.max(end, atMs + us / 1000);
  }
  return pauses.sort((a, b) => b.us - a.us);
}

async function generate(server: Server, forSeconds: number, beside: Beside): Promise<Told> {
  const words = [server.port, connections, forSeconds, rate, "get", keyCount, valueBytes].map(String);
  const script = join(import.meta.dir, "open-loop.ts");
  const command = [process.execPath, script, ...words, JSON.stringify(beside)];
  const child = Bun.spawn(wrap(pinned(loadCore, command)), { stdout: "pipe", stderr: "pipe" });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (child.exitCode !== 0) throw new Error(`generator against ${server.subject.name}: ${errors}`);
  return JSON.parse(output) as Told;
}

async function turn(cell: Cell): Promise<Turn> {
  const { activity } = cell;
  const server = await start(cell.subject, serverCore, wrap);
  const samples = join(scratch(), `latency-while-${server.port}.f32`);
  try {
    await warmUp(server.port, options.quick ? 30 : 300);
    await loadKeys(server.port, keyCount, valueBytes);
    const beside = await activity.prepare(server.port);
    const before = await info(server.port);
    const told = await generate(server, activity.seconds, { ...beside, samples });
    const after = await info(server.port);
    const { from, to, did } = activity.span(told, before, after);
    const pairs = new Float32Array(readFileSync(samples).buffer);
    const histogram = new Histogram();
    // In the quick form the activity may be over between two looks.
    const counts = (dueMs: number) =>
      (options.quick || (dueMs >= from && dueMs <= to)) &&
      !told.polled.some(({ sentMs, ms }) => dueMs >= sentMs && dueMs <= ms);
    for (let i = 0; i < pairs.length; i += 2) if (counts(pairs[i]!)) histogram.record(pairs[i + 1]!);
    if (histogram.count < (options.quick ? 1 : 1000))
      throw new Error(`${nameOf(cell)}: only ${histogram.count} requests count`);
    const pauses = pausesOf(pairs, counts);
    const figures = {
      p50: histogram.percentileUs(50),
      p99: histogram.percentileUs(99),
      p999: histogram.percentileUs(99.9),
      max: histogram.maxUs,
      late: told.lagMaxUs,
      did,
    };
    const words = pauses
      .slice(0, 8)
      .map(({ atMs, us, requests }) => `${(us / 1000).toFixed(1)} ms at ${atMs.toFixed(0)} (${requests})`);
    console.error(
      `  ${nameOf(cell)}: p99.9 ${figures.p999.toFixed(0)} us, longest ${figures.max.toFixed(0)} us; ${did}` +
        (options.pauses ? `\n    ${pauses.length} pauses: ${words.join(", ")}` : ""),
    );
    return figures;
  } finally {
    await server.stop();
    rmSync(samples, { force: true });
  }
}

/** The gaps in the time of the server's core while nothing runs: what no tail below can be shorter than. */
function stalls(): string {
  const script = join(import.meta.dir, "stalls.ts");
  const command = pinned(serverCore, [process.execPath, script, options.quick ? "0.2" : "3"]);
  const { stdout } = Bun.spawnSync(wrap(command));
  const { lost, longestUs } = JSON.parse(stdout.toString()) as Stalls;
  return `core ${serverCore}, idle: ${(100 * lost).toFixed(2)} % of its time in gaps above 0.3 ms, longest ${(longestUs / 1000).toFixed(1)} ms`;
}

console.log(`${machine()}\nserver on core ${serverCore}, load on core ${loadCore}\n${stalls()}`);
for (const subject of new Map(cells.map(({ subject }) => [subject.name, subject])).values())
  console.log(`${subject.name}: ${versionOf(subject)}`);
const turns = new Map<Cell, Turn[]>(cells.map((cell) => [cell, []]));
for (let round = 0; round < rounds; round++)
  for (const cell of cells) turns.get(cell)!.push(await turn(cell));

const all = (cell: Cell, field: "p50" | "p99" | "p999" | "max" | "late") =>
  turns.get(cell)!.map((one) => one[field]);
const both = (cell: Cell, field: "p50" | "p99" | "p999" | "max") =>
  `${median(all(cell, field)).toFixed(0)} (${Math.min(...all(cell, field)).toFixed(0)})`;
console.log(
  `\nGET of ${valueBytes} bytes, open loop at ${short(rate)}/s over ${connections} connections, microseconds, ` +
    `median (least) of ${rounds} turns; !: median above ${barUs} at p99.9:\n`,
);
console.log(
  table(
    ["server, meanwhile", "p50", "p99", "p99.9", "longest", "generator late", "in the last turn"],
    cells.map((cell) => [
      nameOf(cell),
      both(cell, "p50"),
      both(cell, "p99"),
      `${median(all(cell, "p999")) > barUs ? "! " : ""}${both(cell, "p999")}`,
      both(cell, "max"),
      Math.max(...all(cell, "late")).toFixed(0),
      turns.get(cell)!.at(-1)!.did,
    ]),
  ),
);
const raw = cells.map((cell) => ({ cell: nameOf(cell), turns: turns.get(cell) }));
console.log(`\nraw figures in ${saveRaw("latency-while", { rate, seconds, raw })}`);
if (options.write) {
  const claims: Claim[] = cells
    .filter(({ subject }) => subject.ours)
    .map((cell) => ({
      kind: "ours",
      command: commandLine("bun run bench:latency-while"),
      id: `tail-while-${cell.activity.name}-${cell.subject.name}`,
      text: `p99.9 of GET, open loop at ${rate} a second, while ${cell.activity.name}, ironcache on ${cell.subject.name}, median of ${rounds} turns.`,
      value: median(all(cell, "p999")) / 1000,
      unit: "ms",
      runs: rounds,
      accept: "<= 2 ms",
    }));
  writeClaims(claims, !options.quick);
}
process.exit(0);
