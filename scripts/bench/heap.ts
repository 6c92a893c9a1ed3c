// heap.ts: does the JavaScript heap grow with the commands served, or with what is stored?
//   bun scripts/bench/heap.ts [options]
//
// One ironcache serves a mix of commands (redis-benchmark's set, get, incr, mset and ping at pipeline 16, keys below
// 100,000) until 5 million and then 50 million have been answered. At the start and at both marks it is asked for INFO:
// used_memory_js_heap, gc_seconds, and every other field that begins with gc_. A data path that allocates nothing shows
// the same heap at both marks, and no more collector time.
// With --collections it is another run: a server that has served the same commands on collections and holds nothing (what is
// compiled once is compiled then) is filled with 10 million elements, a quarter each hash fields, list elements, set
// members and members of sorted sets, half of each in one key and half in keys of 20; the marks are its start, that empty
// server, the full one, and the one that was emptied again.
//
//   --marks 5,50     millions of commands       --io uring    driver       --shards 1
//   --collections    --elements 10000000
//   --server NAME=COMMAND   instead of ironcache; a server without those fields shows "-"
//   --quick          a tenth of the commands and elements
//   --write          puts the growth between the marks into docs/claims.toml
// Neighbours: lib.ts below it, claims.ts for --write.

import { parseArgs } from "node:util";
import { writeClaims } from "./claims.ts";
import {
  commandLine,
  cpuSeconds,
  type Filling,
  fill,
  info,
  ironcache,
  machine,
  numbers,
  Resp,
  redisBenchmark,
  residentBytes,
  type Server,
  saveRaw,
  start,
  table,
} from "./lib.ts";

const { values: options } = parseArgs({
  options: {
    collections: { type: "boolean", default: false },
    elements: { type: "string", default: "10000000" },
    marks: { type: "string", default: "5,50" },
    io: { type: "string", default: "uring" },
    shards: { type: "string", default: "1" },
    server: { type: "string" },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});
// All stay below the key range, so that the data does not grow without end.
const tests = ["set", "get", "incr", "mset", "ping_mbulk"];
const step = options.quick ? 50_000 : 500_000; // commands of one test before the next has its turn
const million = options.quick ? 100_000 : 1_000_000;
const marks = numbers(options.marks).map((mark) => mark * million);

const elements = Number(options.elements) * (options.quick ? 0.1 : 1);
const settleMs = 1500; // workers publish their figures once a second

interface Mark {
  name: string;
  commands: number;
  heapBytes: number;
  gcSeconds: number;
  residentBytes: number;
  cpuSeconds: number;
  collector: Record<string, string>;
}

async function read(server: Server, commands: number, name = `${commands}`): Promise<Mark> {
  const fields = await info(server.port);
  return {
    name,
    commands,
    heapBytes: Number(fields.get("used_memory_js_heap") ?? Number.NaN),
    gcSeconds: Number(fields.get("gc_seconds") ?? Number.NaN),
    residentBytes: residentBytes(server.pid),
    cpuSeconds: cpuSeconds(server.pid),
    collector: Object.fromEntries([...fields].filter(([name]) => name.startsWith("gc_"))),
  };
}

async function serve(server: Server, test: string, commands: number): Promise<void> {
  const words = ["-t", test, "-n", `${commands}`, "-c", "50", "-P", "16", "-r", "100000", "-d", "64"];
  await redisBenchmark(server, words);
}

const kinds: readonly [Filling["command"], Filling["words"]][] = [
  ["HSET", (key, index) => [`field:${key}:${index}`, `value:${index}`]],
  ["RPUSH", (key, index) => [`job:${key}:${index}`]],
  ["SADD", (key, index) => [`member:${key}:${index}`]],
  ["ZADD", (key, index) => [`${(index * 7919) % 1_000_003}`, `member:${key}:${index}`]],
];
const perSmallKey = 20;

/** Fills a server with so many elements of collections. */
async function fillCollections(server: Server, count: number): Promise<void> {
  for (const [command, words] of kinds) {
    const half = Math.ceil(count / kinds.length / 2);
    const common = { command, words };
    await fill(server.port, { ...common, keys: 1, key: () => `large:${command}`, elements: half });
    await fill(server.port, {
      ...common,
      keys: Math.ceil(half / perSmallKey),
      key: (key) => `small:${command}:${key}`,
      elements: perSmallKey,
    });
  }
}

async function empty(server: Server): Promise<void> {
  const connection = await Resp.connect(server.port);
  await connection.call("FLUSHALL");
  connection.close();
}

/** The marks of a run with collections. */
async function withCollections(server: Server): Promise<Mark[]> {
  const marks = [await read(server, 0, "started")];
  await fillCollections(server, Math.min(elements, 1_000_000));
  await empty(server);
  await Bun.sleep(settleMs);
  marks.push(await read(server, 0, "warm, empty"));
  await fillCollections(server, elements);
  await Bun.sleep(settleMs);
  marks.push(await read(server, elements, `${elements} elements`));
  await empty(server);
  await Bun.sleep(settleMs);
  marks.push(await read(server, elements, "emptied"));
  return marks;
}

/** The marks of a run of commands. */
async function withCommands(server: Server): Promise<Mark[]> {
  const readings = [await read(server, 0)];
  let done = 0;
  for (const mark of marks) {
    for (let turn = 0; done < mark; turn++) {
      const commands = Math.min(step, mark - done);
      await serve(server, tests[turn % tests.length], commands);
      done += commands;
    }
    readings.push(await read(server, done));
    console.error(`  ${done} commands`);
  }
  return readings;
}

function subjectOf(): ReturnType<typeof ironcache> {
  if (options.server === undefined) {
    return ironcache(options.io as "uring" | "epoll" | "bun", Number(options.shards));
  }
  const at = options.server.indexOf("=");
  const words = options.server.slice(at + 1).split(" ");
  const command = (port: number) => words.map((word) => word.replace("{port}", `${port}`));
  return { name: options.server.slice(0, at), command, ours: true };
}

console.log(machine());
const server = await start(subjectOf());
const readings = options.collections ? await withCollections(server) : await withCommands(server);
await server.stop();

const mib = (bytes: number) => (Number.isFinite(bytes) ? `${(bytes / 2 ** 20).toFixed(2)}` : "-");
const seconds = (value: number) => (Number.isFinite(value) ? value.toFixed(3) : "-");
console.log(
  `\n${server.subject.name}, ${options.collections ? "elements of collections" : "mixed commands, pipeline 16"}:\n`,
);
console.log(
  table(
    [
      options.collections ? "stored" : "commands",
      "JS heap, MiB",
      "collector, s",
      "RSS, MiB",
      "CPU, s",
      "other collector fields",
    ],
    readings.map((reading) => [
      reading.name,
      mib(reading.heapBytes),
      seconds(reading.gcSeconds),
      mib(reading.residentBytes),
      seconds(reading.cpuSeconds),
      Object.entries(reading.collector)
        .filter(([name]) => name !== "gc_seconds")
        .map(([name, value]) => `${name} ${value}`)
        .join(", ") || "-",
    ]),
  ),
);
console.log(`\nraw figures in ${saveRaw(options.collections ? "heap-collections" : "heap", readings)}`);

if (options.write) {
  const [first, last] = options.collections
    ? [readings[1], readings[2]]
    : [readings[1], readings[readings.length - 1]];
  const growth = (last.heapBytes - first.heapBytes) / 2 ** 20;
  const collected = last.gcSeconds - first.gcSeconds;
  const between = options.collections
    ? `from an empty, warm server to ${elements} elements of collections, ironcache on ${options.io}`
    : `between ${first.commands} and ${last.commands} mixed commands, ironcache on ${options.io}`;
  const suffix = options.collections ? "-collections" : "";
  const common = {
    kind: "ours" as const,
    command: commandLine("bun scripts/bench/heap.ts"),
    runs: 1,
  };
  const rows = [
    {
      id: `js-heap-growth${suffix}`,
      text: `Growth of the JavaScript heap ${between}.`,
      value: growth,
      unit: "MiB",
      accept: "< 1",
    },
    {
      id: `gc-seconds${suffix}`,
      text: `Collector time ${between}.`,
      value: collected,
      unit: "s",
      accept: "present",
    },
  ];
  const told = rows.filter(({ value }) => Number.isFinite(value));
  if (told.length < rows.length) console.error("INFO lacks used_memory_js_heap or gc_seconds: no row for it");
  writeClaims(
    told.map((row) => ({ ...common, ...row })),
    !options.quick,
  );
}
process.exit(0);
