// cache.ts: a server whose memory is full, beside redis as a cache.   bun run bench:cache [options]
//
// hits     cache-aside: GET, and SET of what was not there, over keys drawn by Zipf's law; every key has a
//          value size of its own, log-uniform from 20 to 2,000 bytes. 16 connections take the next
//          --pipeline requests of one seeded sequence in turn, send them as GETs, then SETs of the misses.
//          Hits count after warming up: until keys and values of what was asked for exceed maxmemory, and
//          as many requests again, the same for all servers. Told: the hit ratio, and our misses over
//          redis's.
// rate     SETs of new keys only, values of 100 bytes, 50 connections, into memory that has been full for
//          long: CPU time of the server an operation, median of the rounds, in the turns that rates.ts
//          describes.
// flood    --bytes of values of 20 bytes to 64 KiB from 50 connections; sizes are drawn otherwise in each
//          phase, a quarter of the keys are overwritten. Every 100 ms used_memory and the resident memory
//          are looked at, both told as what they are over maxmemory, as is the kernel's own highest mark of
//          the latter (VmHWM). Errors are counted.
// Values are slices of one random buffer: nothing compresses them. Server on core 0, load on core 1.
//
//   --only hits,rate,flood               --maxmemory MB   512 for hits, 128 for rate, 1024 for flood
//   --keys 5000000   --skew 0.9          hits: keys, and how unlike they are
//   --requests N     20000000            hits: counted     --pipeline 50
//   --rounds N       5                   --pipelines 16,1     16     rate
//   --cpu N          2.0, CPU seconds aimed at per measurement of the rate
//   --bytes N        50e9                --cycles 4        flood: in all, and how often all phases come
//   --io uring       --shards 1          ours; --server PATH or IRONCACHE_BIN is the executable
//   --compression    hits: also ours with compression on, of what has lain for 10 seconds
//   --alone          without redis       --quick           seconds in all: to see that it works
// This file is the load generator, too, as a process of its own: `cache.ts generate` with a Plan as JSON on its input.
// It prints marks, a line each, and a Report at last.
// Neighbours: sockets.ts talks to the kernel, rates.ts and lib.ts below it, request-mixes.ts gives chance.

import { ptr } from "bun:ffi";
import { readFileSync, writeSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { seeded } from "../../tests/support/random.ts";
import {
  cpuSeconds,
  info,
  ironcache,
  ironcacheBin,
  loadCore,
  machine,
  numbers,
  peer,
  pinned,
  RandomBytes,
  Resp,
  residentBytes,
  type Server,
  type Subject,
  saveRaw,
  short,
  start,
  table,
  versionOf,
} from "./lib.ts";
import { cpuOf, Rates, type Sample, sampleOf } from "./rates.ts";
import { Sockets } from "./sockets.ts";

// What is generated ------------------------------------------------------------------------------------------------

interface HitsLoad {
  kind: "hits";
  keys: number;
  skew: number;
  /** Bytes of memory to exceed before the warm-up is half done, and requests counted after it. */
  memory: number;
  count: number;
}

interface NewKeysLoad {
  kind: "new";
  first: number;
  count: number;
  valueBytes: number;
}

interface FloodLoad {
  kind: "flood";
  bytes: number;
  cycles: number;
}

interface Plan {
  port: number;
  connections: number;
  pipeline: number;
  load: HitsLoad | NewKeysLoad | FloodLoad;
}

interface Report {
  /** Hits in each quarter of the requests counted, and how many those are and went before. */
  quarters: number[];
  counted: number;
  warmUp: number;
  /** Error replies, and the first. */
  errors: number;
  firstError: string;
}

interface Phase {
  name: string;
  /** Of the bytes of a cycle. */
  share: number;
  /** Size of a value from a random number in [0, 1) and from how much of the phase is over. */
  size: (drawn: number, over: number) => number;
}

const LEAST = 20;
const MOST = 65_536;
const between = (least: number, most: number, drawn: number) => Math.floor(least * (most / least) ** drawn);
/** Phases of small values have fewer bytes: they take the longest. */
const phases: readonly Phase[] = [
  { name: "20 B to 64 KiB", share: 0.2, size: (drawn) => between(LEAST, MOST, drawn) },
  { name: "20 to 200 B", share: 0.08, size: (drawn) => between(LEAST, 200, drawn) },
  { name: "16 to 64 KiB", share: 0.2, size: (drawn) => between(16_384, MOST, drawn) },
  { name: "200 to 2,000 B", share: 0.12, size: (drawn) => between(200, 2000, drawn) },
  { name: "1,000 to 1,100 B", share: 0.1, size: (drawn) => between(1000, 1100, drawn) },
  {
    name: "90 % to 100 B, 10 % from 32 KiB",
    share: 0.1,
    size: (drawn) => (drawn < 0.9 ? between(LEAST, 100, drawn / 0.9) : between(32_768, MOST, drawn * 10 - 9)),
  },
  {
    name: "growing",
    share: 0.1,
    size: (drawn, over) => between(LEAST, MOST, Math.min(1, over * 0.9 + drawn * 0.1)),
  },
  {
    name: "shrinking",
    share: 0.1,
    size: (drawn, over) => between(LEAST, MOST, Math.max(0, (1 - over) * 0.9 + drawn * 0.1)),
  },
];

// The generator ----------------------------------------------------------------------------------------------------

const POOL_BYTES = 1 << 24;
const getHead = Buffer.from("*2\r\n$3\r\nGET\r\n$16\r\nkey:");
const setHead = Buffer.from("*3\r\n$3\r\nSET\r\n$16\r\nkey:");
const keyDigits = 12;
/** Bytes of a SET beyond its value, at most. */
const FRAME = 64;
const patienceMs = 30_000;

/** A key's number, mixed: all bits depend on all. */
function mixed(key: number): number {
  let bits = Math.imul(key ^ (key >>> 16), 0x45d9f3b);
  bits = Math.imul(bits ^ (bits >>> 16), 0x45d9f3b);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/** A connection's batch: commands are appended, and sent from a fixed address. */
class Batch {
  readonly bytes: Buffer;
  readonly address: number;
  end = 0;
  sent = 0;

  constructor(
    room: number,
    private readonly pool: Buffer,
  ) {
    this.bytes = Buffer.from(new ArrayBuffer(room));
    this.address = Number(ptr(this.bytes));
  }

  get(key: number): void {
    this.head(getHead, key);
  }

  /** The value depends on key and size. */
  set(key: number, size: number): void {
    const { bytes, pool } = this;
    this.head(setHead, key);
    bytes[this.end++] = 36; // '$'
    let digits = 1;
    for (let rest = size; rest >= 10; rest = Math.floor(rest / 10)) digits++;
    this.digits(size, digits);
    const from = (mixed(key) + size) % (POOL_BYTES - size);
    this.end += pool.copy(bytes, this.end, from, from + size);
    this.line();
  }

  private head(head: Buffer, key: number): void {
    this.bytes.set(head, this.end);
    this.end += head.length;
    this.digits(key, keyDigits);
  }

  private digits(value: number, count: number): void {
    const { bytes, end } = this;
    for (let digit = count - 1, rest = value; digit >= 0; digit--, rest = Math.floor(rest / 10))
      bytes[end + digit] = 48 + (rest % 10);
    this.end += count;
    this.line();
  }

  private line(): void {
    this.bytes[this.end++] = 13;
    this.bytes[this.end++] = 10;
  }
}

/** What is sent next, and what becomes of the replies. */
interface Load {
  /** Bytes of the largest batch. */
  readonly room: number;
  /** Appends a connection's next batch. How many commands that are, 0 when nothing is left to send. */
  next(connection: number, batch: Batch): number;
  /** A reply came, in the order of the commands: bytes of a string, -1 for none, 0 for a line. */
  replied(connection: number, bytes: number): void;
}

const mark = (name: string) => writeSync(1, `${name}\n`);

/** Ranks 0 .. n - 1 with frequencies 1 / (rank + 1) ^ skew, skew not 1: rejection-inversion (Hoermann and
 *  Derflinger 1996), which needs no table: one of millions of keys would be a cache miss a step. */
function zipf(n: number, skew: number, chance: () => number): () => number {
  const power = 1 - skew;
  const integral = (x: number) => (x ** power - 1) / power;
  const inverse = (y: number) => (1 + y * power) ** (1 / power);
  const first = integral(1.5) - 1;
  const last = integral(n + 0.5);
  const close = 2 - inverse(integral(2.5) - 2 ** -skew);
  return () => {
    for (;;) {
      const y = last + chance() * (first - last);
      const x = inverse(y);
      const rank = Math.min(n, Math.max(1, Math.floor(x + 0.5)));
      if (rank - x <= close || y >= integral(rank + 0.5) - rank ** -skew) return rank - 1;
    }
  };
}

function hitsLoad(plan: Plan, { keys, skew, memory, count }: HitsLoad, report: Report): Load {
  const { connections, pipeline } = plan;
  const sizes = Uint16Array.from({ length: keys }, (_, key) => between(20, 2000, mixed(key) / 2 ** 32));
  const sequence = () => zipf(keys, skew, seeded(1));
  const wholeBatches = (requests: number) => Math.ceil(requests / pipeline) * pipeline;

  // How many requests it takes until what they are for exceeds the memory.
  const seen = new Uint8Array(keys);
  let filling = 0;
  let missing = keys;
  const rehearsed = sequence();
  for (let bytes = 0; bytes < memory && missing > 0; filling++) {
    const key = rehearsed();
    if (seen[key] === 1) continue;
    seen[key] = 1;
    missing--;
    bytes += sizes[key] + keyDigits + 4;
  }
  if (missing === 0) throw new Error("all keys fit into the memory");
  const from = wholeBatches(2 * filling);
  const total = from + wholeBatches(count);
  report.warmUp = from;
  report.counted = total - from;
  report.quarters = [0, 0, 0, 0];

  const draw = sequence();
  let position = 0;
  const asked = new Uint32Array(connections * pipeline);
  const missed = new Uint32Array(connections * pipeline);
  const replies = new Uint32Array(connections);
  const misses = new Uint32Array(connections);
  const setting = new Uint8Array(connections);
  const quarterOf = new Int8Array(connections);
  return {
    room: pipeline * (2000 + FRAME),
    next(connection, batch) {
      const base = connection * pipeline;
      const toSet = setting[connection] === 0 ? misses[connection] : 0;
      if (toSet > 0) {
        setting[connection] = 1;
        for (let i = 0; i < toSet; i++) batch.set(missed[base + i], sizes[missed[base + i]]);
        return toSet;
      }
      if (position === total) return 0;
      if (position === from) mark("counted");
      setting[connection] = 0;
      misses[connection] = 0;
      replies[connection] = 0;
      quarterOf[connection] = position < from ? -1 : Math.floor((4 * (position - from)) / (total - from));
      for (let i = 0; i < pipeline; i++) {
        const key = draw();
        asked[base + i] = key;
        batch.get(key);
      }
      position += pipeline;
      return pipeline;
    },
    replied(connection, bytes) {
      if (setting[connection] === 1) return;
      const base = connection * pipeline;
      const key = asked[base + replies[connection]++];
      if (bytes < 0) missed[base + misses[connection]++] = key;
      else if (bytes !== sizes[key]) throw new Error(`a value of ${bytes} bytes, not ${sizes[key]}`);
      else if (quarterOf[connection] >= 0) report.quarters[quarterOf[connection]]++;
    },
  };
}

function newKeysLoad({ pipeline }: Plan, { first, count, valueBytes }: NewKeysLoad): Load {
  let key = first;
  return {
    room: pipeline * (valueBytes + FRAME),
    next(_connection, batch) {
      const commands = Math.min(pipeline, first + count - key);
      for (let i = 0; i < commands; i++) batch.set(key++, valueBytes);
      return commands;
    },
    replied() {},
  };
}

/** Of every so many keys one is overwritten that was written among the last `recent`. */
const OVERWRITTEN = 4;
const RECENT = 100_000;

function floodLoad({ pipeline }: Plan, { bytes, cycles }: FloodLoad): Load {
  const chance = seeded(1);
  let keys = 0;
  let sent = 0;
  let number = -1; // of the phase, through all cycles
  let begins = 0;
  let ends = 0;
  return {
    room: pipeline * (MOST + FRAME),
    next(_connection, batch) {
      if (sent >= ends) {
        if (number + 1 === cycles * phases.length) return 0;
        number++;
        begins = ends;
        ends += (bytes / cycles) * phases[number % phases.length].share;
        mark(`${number % phases.length}`);
      }
      const { size } = phases[number % phases.length];
      for (let i = 0; i < pipeline; i++) {
        const again = keys > 0 && chance() < 1 / OVERWRITTEN;
        const key = again ? keys - 1 - Math.floor(chance() * Math.min(keys, RECENT)) : keys++;
        const valueBytes = size(chance(), Math.min(1, (sent - begins) / (ends - begins)));
        batch.set(key, valueBytes);
        sent += valueBytes + keyDigits + 4;
      }
      return pipeline;
    },
    replied() {},
  };
}

function run(plan: Plan): Report {
  const { port, connections } = plan;
  const report: Report = { quarters: [], counted: 0, warmUp: 0, errors: 0, firstError: "" };
  const load =
    plan.load.kind === "hits"
      ? hitsLoad(plan, plan.load, report)
      : plan.load.kind === "new"
        ? newKeysLoad(plan, plan.load)
        : floodLoad(plan, plan.load);
  const pool = Buffer.alloc(POOL_BYTES);
  new RandomBytes(1).fill(pool, 0, POOL_BYTES);
  const sockets = new Sockets(port, connections);
  const { input } = sockets;
  const batches = Array.from({ length: connections }, () => new Batch(load.room, pool));

  // Replies, a connection each: the line under way (its first byte, its number or -1, an error's text), what is
  // left of a string, its length, and how many replies of the batch are to come.
  const kinds = new Uint8Array(connections);
  const lines = new Int32Array(connections);
  const strings = new Int32Array(connections);
  const lengths = new Int32Array(connections);
  const awaited = new Uint32Array(connections);
  const texts = new Array<string>(connections).fill("");
  let active = 0;

  const push = (connection: number): void => {
    const batch = batches[connection];
    const took = sockets.send(connection, batch.address + batch.sent, batch.end - batch.sent);
    if (took > 0) batch.sent += took;
  };
  const begin = (connection: number): void => {
    const batch = batches[connection];
    batch.end = 0;
    batch.sent = 0;
    awaited[connection] = load.next(connection, batch);
    if (awaited[connection] === 0) active--;
    else push(connection);
  };
  const replied = (connection: number, bytes: number): void => {
    if (awaited[connection] === 0) throw new Error("more was replied than asked for");
    load.replied(connection, bytes);
    awaited[connection]--;
  };
  const parse = (connection: number, got: number): void => {
    for (let at = 0; at < got; ) {
      if (strings[connection] > 0) {
        const bytes = Math.min(strings[connection], got - at);
        at += bytes;
        strings[connection] -= bytes;
        if (strings[connection] === 0) replied(connection, lengths[connection]);
        continue;
      }
      const byte = input[at++];
      const kind = kinds[connection];
      if (kind === 0) {
        kinds[connection] = byte;
        lines[connection] = 0;
      } else if (byte === 10) {
        kinds[connection] = 0;
        if (kind === 36 && lines[connection] >= 0) {
          lengths[connection] = lines[connection];
          strings[connection] = lines[connection] + 2;
          continue;
        }
        if (kind === 45) {
          if (report.errors++ === 0) report.firstError = texts[connection];
          texts[connection] = "";
        } else if (kind !== 36 && kind !== 43) throw new Error(`unexpected reply of kind ${kind}`);
        replied(connection, kind === 36 ? -1 : 0);
      } else if (kind === 36) {
        if (byte === 45) lines[connection] = -1;
        else if (byte !== 13 && lines[connection] >= 0)
          lines[connection] = lines[connection] * 10 + byte - 48;
      } else if (kind === 45) texts[connection] += String.fromCharCode(byte);
    }
  };

  active = connections;
  for (let connection = 0; connection < connections; connection++) begin(connection);
  for (let lastMs = performance.now(); active > 0; ) {
    const ready = sockets.poll();
    if (ready > 0) lastMs = performance.now();
    else if (performance.now() - lastMs > patienceMs) throw new Error("waited in vain for replies");
    for (let place = 0; place < ready; place++) {
      const connection = sockets.ready(place);
      parse(connection, sockets.receive(connection));
      if (awaited[connection] === 0) begin(connection);
    }
    for (let connection = 0; connection < connections; connection++) {
      const batch = batches[connection];
      if (awaited[connection] > 0 && batch.sent < batch.end) push(connection);
    }
  }
  return report;
}

if (process.argv[2] === "generate") {
  writeSync(1, `${JSON.stringify(run((await Bun.stdin.json()) as Plan))}\n`);
  process.exit(0);
}

/** Runs the generator on the load core against a server. Throws when it fails. */
async function generate(
  server: Server,
  plan: Omit<Plan, "port">,
  marked: (name: string) => void = () => {},
): Promise<Report> {
  const child = Bun.spawn(pinned(loadCore, [process.execPath, import.meta.path, "generate"]), {
    stdin: new Blob([JSON.stringify({ ...plan, port: server.port } satisfies Plan)]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const errors = new Response(child.stderr).text();
  let rest = "";
  let report: Report | undefined;
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const read = (rest + text).split("\n");
    rest = read.pop()!;
    for (const line of read)
      if (line.startsWith("{")) report = JSON.parse(line) as Report;
      else marked(line);
  }
  const status = await child.exited;
  if (status !== 0 || report === undefined)
    throw new Error(`generator against ${server.subject.name}: ${await errors}`);
  return report;
}

// What is measured -------------------------------------------------------------------------------------------------

const { values: options } = parseArgs({
  options: {
    only: { type: "string", default: "hits,rate,flood" },
    maxmemory: { type: "string" },
    keys: { type: "string" },
    skew: { type: "string", default: "0.9" },
    requests: { type: "string" },
    pipeline: { type: "string", default: "50" },
    rounds: { type: "string", default: "5" },
    pipelines: { type: "string", default: "16" },
    cpu: { type: "string", default: "2.0" },
    bytes: { type: "string" },
    cycles: { type: "string" },
    io: { type: "string", default: "uring" },
    shards: { type: "string", default: "1" },
    server: { type: "string", default: ironcacheBin },
    compression: { type: "boolean", default: false },
    alone: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
  },
});
const MiB = 2 ** 20;
const parts = options.only.split(",");
const { quick } = options;
const io = options.io;
if (io !== "uring" && io !== "epoll" && io !== "bun") throw new Error("--io takes uring, epoll or bun");
if (parts.some((part) => !["hits", "rate", "flood"].includes(part)))
  throw new Error("--only takes hits, rate and flood");
const connections = 50;

/** Bytes of memory of a part: as told, or the part's own. */
const memoryOf = (whole: number, small: number) =>
  Math.round(Number(options.maxmemory ?? (quick ? small : whole)) * MiB);

/** A subject that evicts above so many bytes. */
function capped(subject: Subject, memory: number, name = subject.name, extra: string[] = []): Subject {
  const words = ["--maxmemory", `${memory}`, "--maxmemory-policy", "allkeys-lru", ...extra];
  return {
    name,
    ours: subject.ours,
    command: (port) => {
      const command = [...subject.command(port), ...words];
      return subject.ours ? [resolve(options.server), ...command.slice(1)] : command;
    },
  };
}

function subjectsOf(memory: number): Subject[] {
  const subjects = [capped(ironcache(io as "uring", Number(options.shards)), memory)];
  if (!options.alone) subjects.push(capped(peer("redis"), memory));
  return subjects;
}

const percent = (share: number, digits = 2) => `${(100 * share).toFixed(digits)} %`;
const over = (bytes: number, memory: number) =>
  `${bytes > memory ? "+" : ""}${percent(bytes / memory - 1, 1)}`;
const inMiB = (bytes: number) => (bytes / MiB).toFixed(0);
const raw: Record<string, unknown> = {};

/** A figure against its bar, which --quick cannot meet. */
const verdict = (what: string, value: number, most: number) =>
  console.log(
    `${what}: ${value.toFixed(3)}${quick ? "" : `, ${value <= most ? "within" : "ABOVE (!)"} ${most}`}`,
  );

/** Whether any key has gone: else memory was not full. */
async function evictedKeys(server: Server): Promise<number> {
  const evicted = Number((await info(server.port)).get("evicted_keys"));
  if (!(evicted > 0)) throw new Error(`${server.subject.name}: memory was not full`);
  return evicted;
}

/** A report without errors. */
function sound(server: Server, report: Report): Report {
  if (report.errors > 0)
    throw new Error(`${server.subject.name}: ${report.errors} errors, the first ${report.firstError}`);
  return report;
}

async function measureHits(): Promise<void> {
  const memory = memoryOf(512, 24);
  const load: HitsLoad = {
    kind: "hits",
    keys: Number(options.keys ?? (quick ? 200_000 : 5_000_000)),
    skew: Number(options.skew),
    memory,
    count: Number(options.requests ?? (quick ? 300_000 : 20_000_000)),
  };
  const subjects = subjectsOf(memory);
  const [ours] = subjects;
  if (options.compression)
    subjects.splice(
      1,
      0,
      capped(ours, memory, `${ours.name} compressing`, ["--compression", "on", "--compression-age", "10"]),
    );
  const hits = new Map<string, number>();
  const rows: string[][] = [];
  const told: Record<string, unknown> = {};
  let counts = "";
  for (const subject of subjects) {
    const server = await start(subject);
    try {
      let cpu = 0;
      let began = 0;
      const plan = { connections: 16, pipeline: Number(options.pipeline), load };
      const report = await generate(server, plan, () => {
        cpu = cpuSeconds(server.pid);
        began = performance.now();
      });
      const seconds = (performance.now() - began) / 1000;
      cpu = cpuSeconds(server.pid) - cpu;
      sound(server, report);
      const { counted, quarters, warmUp } = report;
      const ratio = quarters.reduce((sum, one) => sum + one, 0) / counted;
      hits.set(subject.name, ratio);
      const fields = await info(server.port);
      const evicted = await evictedKeys(server);
      told[subject.name] = { ...report, ratio, seconds, cpu, info: Object.fromEntries(fields) };
      counts = `${short(counted)} requests counted after ${short(warmUp)}`;
      rows.push([
        subject.name,
        percent(ratio),
        percent(1 - ratio),
        quarters.map((one) => ((400 * one) / counted).toFixed(2)).join(", "),
        fields.get("db0")?.match(/keys=(\d+)/)?.[1] ?? "-",
        short(evicted),
        over(Number(fields.get("used_memory")), memory),
        over(residentBytes(server.pid), memory),
        short(counted / seconds),
        ((1e6 * cpu) / counted).toFixed(2),
      ]);
      console.error(`  ${rows.at(-1)!.join(" | ")}`);
    } finally {
      await server.stop();
    }
  }
  raw.hits = told;
  const what = `GET, and SET of misses: ${short(load.keys)} keys, Zipf ${load.skew}, maxmemory ${inMiB(memory)} MiB`;
  console.log(`\n${what}, ${counts}:\n`);
  const header = ["server", "hits", "misses", "hits by quarters, %", "keys", "evicted"];
  header.push("used / maxmemory", "resident", "requests/s", "CPU us a request");
  console.log(table(header, rows));
  const theirs = hits.get("redis");
  if (theirs === undefined) return;
  for (const { name } of subjects.filter((subject) => subject.ours))
    verdict(`misses, ${name} / redis`, (1 - hits.get(name)!) / (1 - theirs), 0.75);
  if (theirs < 0.6 || theirs > 0.9) console.log("redis's hit ratio is not within 60 and 90 %: other --keys");
}

async function measureRate(): Promise<void> {
  const memory = memoryOf(128, 24);
  const valueBytes = 100;
  const cells = numbers(options.pipelines).map((pipeline) => ({ pipeline }));
  const cellName = ({ pipeline }: { pipeline: number }) => `SET of new keys, P ${pipeline}`;
  const subjects = subjectsOf(memory);
  const rates = new Rates(subjects, cellName);
  const rounds = quick ? 1 : Number(options.rounds);
  const cpuTarget = Number(options.cpu) * (quick ? 0.1 : 1);
  const next = new Map<number, number>(); // by pid: how many keys there have been
  const drive = async (server: Server, pipeline: number, count: number) => {
    const first = next.get(server.pid) ?? 0;
    next.set(server.pid, first + count);
    sound(
      server,
      await generate(server, { connections, pipeline, load: { kind: "new", first, count, valueBytes } }),
    );
  };
  const prepare = async (server: Server) => {
    // Thrice what fits if there were no overhead: full for long, and warm.
    await drive(server, 16, Math.ceil((3 * memory) / (keyDigits + 4 + valueBytes)));
    await evictedKeys(server);
  };
  const measure = async (server: Server, { pipeline }: { pipeline: number }): Promise<Sample> => {
    const warmUp = Math.ceil(cpuTarget / 5 / (2e-6 + 8e-6 / pipeline));
    const cost = Math.max(await cpuOf(server, () => drive(server, pipeline, warmUp)), 0.01) / warmUp;
    const requests = Math.ceil(Math.min(cpuTarget / cost, 20 * warmUp));
    const before = await evictedKeys(server);
    const sample = await sampleOf(server, requests, () => drive(server, pipeline, requests));
    const gone = (await evictedKeys(server)) - before;
    if (Math.abs(gone / requests - 1) > 0.2)
      console.error(`  ${server.subject.name}: ${gone} keys evicted by ${requests} SETs`);
    return sample;
  };
  for (let turn = 1; turn <= rounds; turn++) {
    console.error(`round ${turn} of ${rounds}`);
    await rates.round(cells, prepare, measure);
  }
  raw.rate = rates.raw();
  console.log(
    `\nEvicting, maxmemory ${inMiB(memory)} MiB, values of ${valueBytes} B, ${connections} connections; CPU us an operation, median of ${rounds}:\n`,
  );
  const samples = rates.raw();
  const costs = (cell: (typeof cells)[number], name: string) =>
    samples[`${cellName(cell)} | ${name}`].map(({ perCpuSecond }) => 1e6 / perCpuSecond);
  const header = [
    "operation",
    ...subjects.map(({ name }) => name),
    ...rates.pairs.map((pair) => pair.join(" / ")),
  ];
  const ratioOf = (cell: (typeof cells)[number], [name, other]: readonly [string, string]) =>
    rates.ratio(cell, other, name); // of costs: the other way round
  const rows = cells.map((cell) => [
    cellName(cell),
    ...subjects.map(({ name }) => {
      const all = costs(cell, name);
      const [least, most] = [Math.min(...all), Math.max(...all)];
      return `${(1e6 / rates.medianOf(cell, name)).toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})`;
    }),
    ...rates.pairs.map((pair) => ratioOf(cell, pair).toFixed(2)),
  ]);
  console.log(table(header, rows));
  for (const pair of rates.pairs)
    for (const cell of cells)
      verdict(`CPU time an operation, ${pair.join(" / ")}, P ${cell.pipeline}`, ratioOf(cell, pair), 0.6);
}

/** Bytes by a line of /proc/PID/status: VmHWM is the highest resident memory there ever was. */
function statusBytes(pid: number, line: "VmHWM" | "RssAnon" | "RssShmem"): number {
  const text = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(new RegExp(`^${line}:\\s+(\\d+) kB$`, "m").exec(text)?.[1]) * 1024;
}

interface Watched {
  used: number;
  resident: number;
  bytes: number;
  seconds: number;
  /** Longest that INFO took. */
  longestMs: number;
}

async function measureFlood(): Promise<void> {
  const memory = memoryOf(1024, 64);
  const bytes = Number(options.bytes ?? (quick ? 2e8 : 50e9));
  const cycles = Number(options.cycles ?? (quick ? 1 : 4));
  const intervalMs = 100;
  const rows: string[][] = [];
  const byPhase: string[][] = phases.map(({ name }) => [name]);
  const told: Record<string, unknown> = {};
  const subjects = subjectsOf(memory);
  let highest = 0;
  let failed = false;
  for (const subject of subjects) {
    const server = await start(subject);
    const connection = await Resp.connect(server.port);
    try {
      const empty = residentBytes(server.pid);
      const watched: Watched[] = phases.map(() => ({
        used: 0,
        resident: 0,
        bytes: 0,
        seconds: 0,
        longestMs: 0,
      }));
      const series: [ms: number, phase: number, used: number, resident: number][] = [];
      let phase = 0;
      let phaseBegan = 0;
      let [anonymous, shared] = [0, 0];
      let done = false;
      const began = performance.now();
      const endPhase = () => {
        const now = performance.now();
        if (phaseBegan > 0) {
          const seconds = (now - phaseBegan) / 1000;
          const { used, resident } = watched[phase];
          watched[phase].seconds += seconds;
          console.error(
            `  ${subject.name}, ${phases[phase].name}: ${seconds.toFixed(1)} s, at most ${over(used, memory)} used, ${over(resident, memory)} resident`,
          );
        }
        phaseBegan = now;
      };
      const look = async () => {
        while (!done) {
          const asked = performance.now();
          const text = `${await connection.call("INFO", "memory")}`;
          const answered = performance.now();
          const used = Number(/^used_memory:(\d+)/m.exec(text)?.[1]);
          const resident = residentBytes(server.pid);
          anonymous = Math.max(anonymous, statusBytes(server.pid, "RssAnon"));
          shared = Math.max(shared, statusBytes(server.pid, "RssShmem"));
          const now = watched[phase];
          now.longestMs = Math.max(now.longestMs, answered - asked);
          now.used = Math.max(now.used, used);
          now.resident = Math.max(now.resident, resident);
          series.push([Math.round(answered - began), phase, used, resident]);
          await Bun.sleep(Math.max(0, intervalMs - (performance.now() - asked)));
        }
      };
      const load: FloodLoad = { kind: "flood", bytes, cycles };
      const looking = look();
      const report = await generate(server, { connections, pipeline: 16, load }, (name) => {
        endPhase();
        phase = Number(name);
        watched[phase].bytes += (bytes / cycles) * phases[phase].share;
      }).finally(() => {
        endPhase();
        done = true;
      });
      await looking;
      const seconds = watched.reduce((sum, one) => sum + one.seconds, 0);
      const fields = await info(server.port);
      const peak = statusBytes(server.pid, "VmHWM");
      const mostResident = Math.max(...watched.map(({ resident }) => resident));
      told[subject.name] = { report, empty, peak, seconds, watched, series };
      if (subject.ours) {
        highest = Math.max(highest, peak);
        failed ||= report.errors > 0;
      }
      rows.push([
        subject.name,
        over(Math.max(...watched.map(({ used }) => used)), memory),
        over(Number(fields.get("used_memory_peak")), memory),
        over(mostResident, memory),
        over(peak, memory),
        `${inMiB(empty)}, ${inMiB(anonymous)}, ${inMiB(shared)}`,
        `${report.errors}`,
        short(Number(fields.get("evicted_keys"))),
        (bytes / 1e6 / seconds).toFixed(0),
        ((cpuSeconds(server.pid) * 1e9) / bytes).toFixed(2),
      ]);
      if (report.errors > 0) console.log(`${subject.name}: ${report.errors} errors: ${report.firstError}`);
      for (const [i, one] of watched.entries())
        byPhase[i].push(
          over(one.used, memory),
          over(one.resident, memory),
          one.longestMs.toFixed(0),
          (one.bytes / 1e6 / one.seconds).toFixed(0),
        );
      console.error(`  ${rows.at(-1)!.join(" | ")}`);
    } finally {
      connection.close();
      await server.stop();
    }
  }
  raw.flood = told;
  console.log(
    `\n${(bytes / 1e9).toFixed(1)} GB written in ${cycles} cycle(s), maxmemory ${inMiB(memory)} MiB; highest of used_memory and of resident memory over maxmemory, looked at every ${intervalMs} ms:\n`,
  );
  const header = [
    "server",
    "used",
    "used_memory_peak",
    "resident",
    "VmHWM",
    "MiB empty, RssAnon, RssShmem",
    "errors",
  ];
  header.push("evicted", "MB/s", "CPU s a GB");
  console.log(table(header, rows));
  const perPhase = subjects.flatMap(({ name }) => [`${name}: used`, "resident", "longest INFO, ms", "MB/s"]);
  console.log(`\n${table(["values", ...perPhase], byPhase)}`);
  verdict(`highest resident memory of ${subjects[0].name} over maxmemory`, highest / memory, 1.15);
  console.log(failed ? "errors (!)" : "no errors");
}

const begun = performance.now();
console.log(`${machine()}\nserver on core 0, load on core 1`);
for (const subject of subjectsOf(0)) console.log(`${subject.name}: ${versionOf(subject)}`);
if (parts.includes("hits")) await measureHits();
if (parts.includes("rate")) await measureRate();
if (parts.includes("flood")) await measureFlood();
const seconds = ((performance.now() - begun) / 1000).toFixed(0);
console.log(`\nraw figures in ${saveRaw("cache", raw)}; ${seconds} s`);
process.exit(0);
