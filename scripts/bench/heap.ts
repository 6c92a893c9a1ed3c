// heap.ts: does the JavaScript heap grow with the commands served?   bun scripts/bench/heap.ts [options]
//
// One ironcache serves a mix of commands (redis-benchmark's set, get, incr, lists, hash, set and sorted set at pipeline
// 16, keys below 100,000) until 5 million and then 50 million have been answered. At the start and at both marks it is
// asked for INFO: used_memory_js_heap, gc_seconds, and every other field that begins with gc_. A data path that
// allocates nothing shows the same heap at both marks, and no more collector time.
//
//   --marks 5,50     millions of commands       --io uring    driver       --shards 1
//   --server NAME=COMMAND   instead of ironcache; a server without those fields shows "-"
//   --quick          a tenth of the commands    --write       puts the growth between the marks into docs/claims.toml
// Neighbours: lib.ts below it, claims.ts for --write.

import { parseArgs } from "node:util";
import { writeClaims } from "./claims.ts";
import {
  commandLine,
  cpuSeconds,
  info,
  ironcache,
  loadCore,
  machine,
  numbers,
  peerTool,
  pinned,
  residentBytes,
  type Server,
  saveRaw,
  start,
  table,
} from "./lib.ts";

const { values: options } = parseArgs({
  options: {
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

interface Mark {
  commands: number;
  heapBytes: number;
  gcSeconds: number;
  residentBytes: number;
  cpuSeconds: number;
  collector: Record<string, string>;
}

async function read(server: Server, commands: number): Promise<Mark> {
  const fields = await info(server.port);
  return {
    commands,
    heapBytes: Number(fields.get("used_memory_js_heap") ?? Number.NaN),
    gcSeconds: Number(fields.get("gc_seconds") ?? Number.NaN),
    residentBytes: residentBytes(server.pid),
    cpuSeconds: cpuSeconds(server.pid),
    collector: Object.fromEntries([...fields].filter(([name]) => name.startsWith("gc_"))),
  };
}

async function serve(server: Server, test: string, commands: number): Promise<void> {
  const words = ["-p", `${server.port}`, "-t", test, "-n", `${commands}`, "-c", "50", "-P", "16"];
  const load = Bun.spawn(
    pinned(loadCore, [peerTool("redis-benchmark"), ...words, "-r", "100000", "-d", "64", "-q"]),
    { stdin: "ignore", stdout: "ignore", stderr: "pipe" },
  );
  const [errors, status] = await Promise.all([new Response(load.stderr).text(), load.exited]);
  if (status !== 0) throw new Error(`redis-benchmark -t ${test}: ${errors}`);
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
await server.stop();

const mib = (bytes: number) => (Number.isFinite(bytes) ? `${(bytes / 2 ** 20).toFixed(2)}` : "-");
const seconds = (value: number) => (Number.isFinite(value) ? value.toFixed(3) : "-");
console.log(`\n${server.subject.name}, mixed commands, pipeline 16:\n`);
console.log(
  table(
    ["commands", "JS heap, MiB", "collector, s", "RSS, MiB", "CPU, s", "other collector fields"],
    readings.map((reading) => [
      `${reading.commands}`,
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
console.log(`\nraw figures in ${saveRaw("heap", readings)}`);

if (options.write) {
  const [first, last] = [readings[1], readings[readings.length - 1]];
  const growth = (last.heapBytes - first.heapBytes) / 2 ** 20;
  const collected = last.gcSeconds - first.gcSeconds;
  const between = `between ${first.commands} and ${last.commands} mixed commands, ironcache on ${options.io}`;
  const common = {
    kind: "ours" as const,
    command: commandLine("bun scripts/bench/heap.ts"),
    runs: 1,
  };
  const rows = [
    {
      id: "js-heap-growth",
      text: `Growth of the JavaScript heap ${between}.`,
      value: growth,
      unit: "MiB",
      accept: "< 1",
    },
    { id: "gc-seconds", text: `Collector time ${between}.`, value: collected, unit: "s", accept: "present" },
  ];
  const told = rows.filter(({ value }) => Number.isFinite(value));
  if (told.length < rows.length) console.error("INFO lacks used_memory_js_heap or gc_seconds: no row for it");
  writeClaims(
    told.map((row) => ({ ...common, ...row })),
    !options.quick,
  );
}
process.exit(0);
