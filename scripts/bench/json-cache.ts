// json-cache.ts: resident bytes that a hit ratio of 95 % costs with JSON as applications store it.   bun run bench:json [options]
//
// Values: package metadata, made of the package.json files installed here, under node_modules at any depth. Each key has one
// of them with another name, version, description, keywords, dependencies (names of the pool, other ranges), and with ids,
// a date and hashes of its own, as the registry adds them; so keys differ as packages do, but share what these few hundred
// sources share, which the figures lean on. Key: pkg:<name>:<version>.
// Load: cache-aside, keys by Zipf 0.99: GETs in batches of 50, then SETs of those not found. A cache starts with the
// keys that were asked for last in a long sequence before, so LRU starts as it would be; a part is not counted, the rest is.
// The smallest maxmemory is found by secants, since the hit ratio is close to linear in the logarithm of the size: each
// step is a fresh server, and the one nearest to 95 % is the figure. What is told: VmRSS at its end, and that less
// VmRSS of the same server empty and warm, which does not grow with the keys.
// With compression on a server is filled as compression makes room, not faster than that; then requests come at a steady
// rate, slow enough that what was set long ago is compressed and what is new is little, as it is in a cache that lives
// for days: at full rate most of the cache would be new within seconds.
//
//   --keys 600000        --hits 0.95           --tolerance 0.002
//   --warm 300000        --count 300000        requests not counted, and counted
//   --rate 30000         requests a second with compression        --age       compression-age, seconds; the default if not
//   --mode auto          compression of the compressed run         --io uring  ours
//   --only off,compressing,redis           --quick  a fiftieth   --write  puts the figures into docs/claims.toml
// Server on core 0; this process is the load, on core 1. Neighbours: sockets.ts talks to the kernel, lib.ts below it.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Claim, writeClaims } from "./claims.ts";
import {
  commandLine,
  encode,
  info,
  ironcache,
  loadCore,
  machine,
  peer,
  RandomBytes,
  Resp,
  residentBytes,
  root,
  type Subject,
  saveRaw,
  start,
  table,
  versionOf,
  warmUp,
} from "./lib.ts";
import { zipf } from "./request-mixes.ts";
import { Outgoing, Sockets } from "./sockets.ts";

const { values: options } = parseArgs({
  options: {
    keys: { type: "string", default: "600000" },
    hits: { type: "string", default: "0.95" },
    tolerance: { type: "string", default: "0.002" },
    warm: { type: "string", default: "300000" },
    count: { type: "string", default: "300000" },
    rate: { type: "string", default: "30000" },
    age: { type: "string", default: "" },
    mode: { type: "string", default: "auto" },
    io: { type: "string", default: "uring" },
    only: { type: "string", default: "" },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});
const part = options.quick ? 50 : 1;
const keyCount = Number(options.keys) / part;
const wantedHits = Number(options.hits);
const tolerance = Number(options.tolerance) * (options.quick ? 10 : 1);
const warm = Number(options.warm) / part;
const counted = Number(options.count) / part;
const rate = Number(options.rate);
const skew = 0.99;
const batch = 50;
const mostSteps = options.quick ? 2 : 6;
const settleMs = options.quick ? 500 : 1500;
const mostSourceBytes = 16_384;
const fullShare = 0.97;

// Values -----------------------------------------------------------------------------------------------------------

type Json = string | number | boolean | null | Json[] | { [field: string]: Json };

/** The distinct package.json files under the folders of packages that there are, by their text. */
function readSources(): { [field: string]: Json }[] {
  const found = new Map<string, { [field: string]: Json }>();
  for (const folder of [join(root, "node_modules"), "/usr/lib/node_modules", "/usr/share/nodejs"]) {
    if (!existsSync(folder)) continue;
    for (const path of new Bun.Glob("**/package.json").scanSync({ cwd: folder, dot: true })) {
      try {
        const value = JSON.parse(readFileSync(join(folder, path), "utf8"));
        const text = JSON.stringify(value);
        if (typeof value.name === "string" && text.length <= mostSourceBytes) found.set(text, value);
      } catch {
        // no JSON: a test's bad example
      }
    }
  }
  return [...found.keys()].sort().map((text) => found.get(text)!);
}

const sources = readSources();
const words = vocabulary((source) => String(source.description ?? "").split(/\s+/));
const terms = vocabulary(({ keywords }) => (Array.isArray(keywords) ? keywords.map(String) : []));
const names = vocabulary(({ name, dependencies, devDependencies }) => [
  String(name),
  ...Object.keys({ ...(dependencies as object), ...(devDependencies as object) }),
]);

function vocabulary(of: (source: { [field: string]: Json }) => string[]): string[] {
  return [...new Set(sources.flatMap(of))].filter(Boolean).sort();
}

/** Key and value of a number. */
function entry(number: number): [string, string] {
  const random = new RandomBytes(number + 1);
  for (let i = 0; i < 4; i++) random.next();
  const below = (most: number) => Math.floor((random.next() / 2 ** 32) * most);
  const pick = <T>(all: readonly T[]) => all[below(all.length)]!;
  const hex = (count: number) =>
    Array.from({ length: count / 8 }, () => random.next().toString(16).padStart(8, "0")).join("");
  const bytes64 = () => Buffer.from(hex(128), "hex").toString("base64");
  const version = () => `${below(12)}.${below(30)}.${below(20)}`;
  const source = pick(sources);
  const old = source.name as string;
  const name = `${pick(names)}-${pick(terms)}`.replaceAll(" ", "-").toLowerCase();
  const own = version();
  const mutate = (value: Json, field: string): Json => {
    if (typeof value === "string") {
      if (field === "name") return name;
      if (field === "version") return own;
      if (field === "description")
        return value
          .split(/\s+/)
          .map(() => pick(words))
          .join(" ");
      return value
        .replaceAll(old, name)
        .replace(/\b[0-9a-f]{32,}\b/g, (digits) => hex(128).slice(0, digits.length))
        .replace(/\b\d+\.\d+\.\d+\b/g, version)
        .replace(/\b\d{4}-\d\d-\d\d/g, () => `20${10 + below(16)}-0${1 + below(9)}-${10 + below(19)}`);
    }
    if (Array.isArray(value))
      return value.map((one) => (field === "keywords" ? pick(terms) : mutate(one, "")));
    if (typeof value !== "object" || value === null) return value;
    const dependencies = field.toLowerCase().endsWith("dependencies");
    const fields: [string, Json][] = Object.entries(value).map(([key, one]) =>
      dependencies ? [pick(names), mutate(one, "")] : [key, mutate(one, key)],
    );
    return Object.fromEntries(dependencies ? fields.sort(([a], [b]) => (a < b ? -1 : 1)) : fields);
  };
  const tarball = `https://registry.npmjs.org/${name}/-/${name.replace(/^.*\//, "")}-${own}.tgz`;
  const time = new Date(1.3e12 + below(4e11)).toISOString();
  const value = JSON.stringify({
    ...(mutate(source, "") as object),
    _id: `${name}@${own}`,
    gitHead: hex(40),
    dist: {
      integrity: `sha512-${bytes64()}`,
      shasum: hex(40),
      tarball,
      fileCount: below(300),
      unpackedSize: below(2e6),
    },
    time,
  });
  return [`pkg:${name}:${own}.${number}`, value];
}

/** All SETs one after the other, and where each begins; the same of the GETs. */
interface Requests {
  sets: Uint8Array;
  setAt: Float64Array;
  gets: Uint8Array;
  getAt: Float64Array;
  valueBytes: number;
}

function requests(): Requests {
  const setAt = new Float64Array(keyCount + 1);
  const getAt = new Float64Array(keyCount + 1);
  const sets: Buffer[] = [];
  const gets: Buffer[] = [];
  let valueBytes = 0;
  for (let number = 0; number < keyCount; number++) {
    const [key, value] = entry(number);
    valueBytes += Buffer.byteLength(value);
    const set = Buffer.from(encode(["SET", key, value]));
    const get = Buffer.from(encode(["GET", key]));
    sets.push(set);
    gets.push(get);
    setAt[number + 1] = setAt[number]! + set.length;
    getAt[number + 1] = getAt[number]! + get.length;
  }
  return {
    sets: Buffer.concat(sets),
    setAt,
    gets: Buffer.concat(gets),
    getAt,
    valueBytes: valueBytes / keyCount,
  };
}

// Load -------------------------------------------------------------------------------------------------------------

/** The keys that were asked for in a long sequence, the last one last. */
function recent(draw: () => number): number[] {
  const last = new Int32Array(keyCount);
  for (let i = 1; i <= keyCount * 30; i++) last[draw()] = i;
  return Array.from(last.keys())
    .filter((number) => last[number]! > 0)
    .sort((a, b) => last[a]! - last[b]!);
}

/** One connection: sends what was put together, then reads replies. */
class Client {
  private readonly sockets: Sockets;
  private readonly out = new Outgoing(" ".repeat(batch * (mostSourceBytes + 8192)));
  private used = 0;
  readonly found = new Uint8Array(batch);

  constructor(port: number) {
    this.sockets = new Sockets(port, 1);
  }

  put(bytes: Uint8Array, from: number, to: number): void {
    if (this.used + to - from > this.out.bytes.length) throw new Error("a batch is too large");
    this.out.bytes.set(bytes.subarray(from, to), this.used);
    this.used += to - from;
  }

  /** Sends it and takes `count` replies: a status, null, or a bulk string. `found` says which were bulk strings. */
  exchange(count: number): void {
    const { sockets, out, found } = this;
    for (let sent = 0; sent < this.used; ) {
      const took = sockets.send(0, out.address + sent, this.used - sent);
      if (took > 0) sent += took;
    }
    this.used = 0;
    let kind = 0;
    let number = 0;
    let skip = 0;
    let missed = false;
    for (let done = 0; done < count; ) {
      sockets.poll(10);
      const got = sockets.receive(0);
      const { input } = sockets;
      for (let at = 0; at < got; ) {
        if (skip > 0) {
          const taken = Math.min(skip, got - at);
          at += taken;
          skip -= taken;
          if (skip === 0) found[done++] = 1;
          continue;
        }
        const byte = input[at++]!;
        if (kind === 0) {
          kind = byte;
          number = 0;
          missed = false;
          if (byte !== 36 && byte !== 43) {
            throw new Error(
              `unexpected reply ${Buffer.from(input.subarray(at - 1, got)).toString("latin1")}`,
            );
          }
        } else if (byte === 45) missed = true;
        else if (byte === 10) {
          if (kind === 36 && !missed) skip = number + 2;
          else found[done++] = 0;
          kind = 0;
        } else if (kind === 36 && byte !== 13) number = number * 10 + byte - 48;
      }
    }
  }
}

interface Outcome {
  maxmemory: number;
  hits: number;
  keys: number;
  /** VmRSS at the end, and before anything was put. */
  resident: number;
  empty: number;
  /** INFO's used_memory at the end. */
  used: number;
  /** Share of the keys whose values are compressed then, and raw bytes over stored ones. */
  compressed: string;
}

const all = requests();
const random = new RandomBytes(11);
const draw = zipf(keyCount, skew, () => random.next() / 2 ** 32);
const asked = recent(draw);
const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);

/** Fills a server that compresses, the keys asked for last first, as far as there is room, again and again when
 *  compression has made some: nothing is pushed out by what is not compressed yet. */
async function fill(
  port: number,
  maxmemory: number,
  lookUp: (numbers: readonly number[]) => number,
): Promise<void> {
  const patienceMs = options.quick ? 1500 : 15_000;
  let left = asked.length;
  let least = Number.POSITIVE_INFINITY;
  for (let last = performance.now(); performance.now() - last < patienceMs; ) {
    const used = Number((await info(port)).get("used_memory"));
    if (used < least - maxmemory * 0.005) {
      least = used;
      last = performance.now();
    }
    const room = Math.floor((maxmemory * fullShare - used) / (all.valueBytes + 150));
    if (room * all.valueBytes > maxmemory * 0.05 && left > 0) {
      for (const end = Math.max(0, left - room); left > end; left -= Math.min(batch, left))
        lookUp(asked.slice(Math.max(0, left - batch), left));
      least = Number.POSITIVE_INFINITY;
      last = performance.now();
    }
    await Bun.sleep(200);
  }
}

/** A run of a fresh server with so much memory. */
async function run(subject: Subject, maxmemory: number, paced: boolean): Promise<Outcome> {
  const server = await start(subject);
  try {
    const { port, pid } = server;
    await warmUp(port, options.quick ? 30 : 300);
    const control = await Resp.connect(port);
    await control.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
    await control.call("CONFIG", "SET", "maxmemory", `${Math.floor(maxmemory)}`);
    await Bun.sleep(settleMs);
    const empty = residentBytes(pid);
    const client = new Client(port);
    /** Looks keys up and puts those that were not there. How many those were. */
    const lookUp = (numbers: readonly number[]): number => {
      for (const number of numbers) client.put(all.gets, all.getAt[number]!, all.getAt[number + 1]!);
      client.exchange(numbers.length);
      const missed = numbers.filter((_, i) => client.found[i] === 0);
      for (const number of missed) client.put(all.sets, all.setAt[number]!, all.setAt[number + 1]!);
      if (missed.length > 0) client.exchange(missed.length);
      return missed.length;
    };
    const keepPace = async (requests: number, from: number) => {
      const ahead = (requests / rate) * 1000 - (performance.now() - from);
      if (paced && ahead > 1) await Bun.sleep(ahead);
    };
    if (paced) await fill(port, maxmemory, lookUp);
    else for (let done = 0; done < asked.length; done += batch) lookUp(asked.slice(done, done + batch));
    let hits = 0;
    const from = performance.now();
    for (let request = 0; request < warm + counted; request += batch) {
      const missed = lookUp(Array.from({ length: batch }, () => draw()));
      if (request >= warm) hits += batch - missed;
      await keepPace(request, from);
    }
    const resident = residentBytes(pid);
    const told = await info(port);
    const field = (name: string) => Number(told.get(name) ?? 0);
    const keys = Number(await control.call("DBSIZE"));
    control.close();
    const values = field("compression_values");
    const outcome: Outcome = {
      maxmemory,
      hits: hits / (Math.ceil(counted / batch) * batch),
      keys,
      resident,
      empty,
      used: field("used_memory"),
      compressed:
        values === 0
          ? "-"
          : `${((100 * values) / keys).toFixed(0)} % of keys, ${(field("compression_raw_bytes") / field("compression_stored_bytes")).toFixed(2)}`,
    };
    console.error(
      `  ${subject.name}: ${megabytes(maxmemory)} MB: ${(100 * outcome.hits).toFixed(2)} % hits, ${keys} keys, ` +
        `resident ${megabytes(resident)} MB, empty ${megabytes(empty)} MB, used ${megabytes(outcome.used)} MB, compressed ${outcome.compressed}`,
    );
    return outcome;
  } finally {
    await server.stop();
  }
}

/** The run whose hit ratio is the wanted one, about; the steps before it. */
async function search(subject: Subject, first: number, paced: boolean): Promise<Outcome[]> {
  const steps = [await run(subject, first, paced)];
  while (Math.abs(steps.at(-1)!.hits - wantedHits) > tolerance && steps.length < mostSteps) {
    const last = steps.at(-1)!;
    const near = steps
      .slice(0, -1)
      .sort((a, b) => Math.abs(a.hits - wantedHits) - Math.abs(b.hits - wantedHits))[0];
    // The slope of Zipf's own curve, until there are two points.
    let slope = 0.08;
    if (near !== undefined) {
      const found = (last.hits - near.hits) / Math.log(last.maxmemory / near.maxmemory);
      if (found > 0.02 && found < 0.5) slope = found;
    }
    const change = Math.min(0.7, Math.max(-0.7, (wantedHits - last.hits) / slope));
    steps.push(await run(subject, last.maxmemory * Math.exp(change), paced));
  }
  return steps.sort((a, b) => Math.abs(a.hits - wantedHits) - Math.abs(b.hits - wantedHits));
}

Bun.spawnSync(["taskset", "-cp", `${loadCore}`, `${process.pid}`], { stdout: "ignore", stderr: "ignore" });
const io = options.io as "uring" | "epoll" | "bun";
const named = (name: string, subject: Subject): Subject => ({ ...subject, name });
const compressing = ["--compression", options.mode];
if (options.age !== "") compressing.push("--compression-age", options.age);
const plan: { subject: Subject; share: number; paced: boolean }[] = [
  { subject: peer("redis"), share: 0.8, paced: false },
  { subject: named("off", ironcache(io, 1, ["--compression", "off"])), share: 0.7, paced: false },
  { subject: named("compressing", ironcache(io, 1, compressing)), share: 0.35, paced: true },
];
const subjects = plan.filter(({ subject }) =>
  options.only.split(",").some((word) => subject.name.startsWith(word)),
);

console.log(`${machine()}\nserver on core 0, load on core ${loadCore}`);
console.log(
  `${sources.length} distinct sources; ${keyCount} keys, values of ${all.valueBytes.toFixed(0)} bytes on average, ` +
    `${asked.length} asked for before; Zipf ${skew}; compression ${options.mode}, age ${options.age || "as it is"}, ${rate} requests/s`,
);
for (const { subject } of subjects) console.log(`${subject.name}: ${versionOf(subject)}`);
const found = new Map<string, Outcome[]>();
for (const { subject, share, paced } of subjects)
  found.set(subject.name, await search(subject, share * keyCount * all.valueBytes, paced));

const best = (name: string) => found.get(name)![0]!;
const own = ({ resident, empty }: Outcome) => resident - empty;
const reference = found.has("redis") ? best("redis") : undefined;
const ratio = (of: (outcome: Outcome) => number, outcome: Outcome) =>
  reference === undefined ? "-" : (of(outcome) / of(reference)).toFixed(2);
console.log(`\nMB at ${100 * wantedHits} % hits; ratios to redis, 0.60 is the bar:\n`);
console.log(
  table(
    [
      "server",
      "maxmemory",
      "used",
      "hits",
      "keys",
      "resident",
      "ratio",
      "empty",
      "less empty",
      "ratio",
      "compressed",
    ],
    subjects.map(({ subject: { name } }) => {
      const outcome = best(name);
      return [
        name === "redis" ? name : `compression ${name === "off" ? name : options.mode}`,
        megabytes(outcome.maxmemory),
        megabytes(outcome.used),
        `${(100 * outcome.hits).toFixed(2)} %`,
        `${outcome.keys}`,
        megabytes(outcome.resident),
        ratio(({ resident }) => resident, outcome),
        megabytes(outcome.empty),
        megabytes(own(outcome)),
        ratio(own, outcome),
        outcome.compressed,
      ];
    }),
  ),
);
console.log(`\nraw figures in ${saveRaw("json-cache", Object.fromEntries(found))}`);
if (options.write && reference !== undefined && found.has("compressing")) {
  const outcome = best("compressing");
  const claims: Claim[] = [
    {
      kind: "ours",
      command: commandLine("bun run bench:json"),
      id: "json-95-resident-redis",
      text: `Resident bytes that ${100 * wantedHits} % hits cost with package metadata of ${all.valueBytes.toFixed(0)} bytes, ${keyCount} keys, Zipf ${skew}: ironcache with compression ${options.mode} over redis.`,
      value: outcome.resident / reference.resident,
      unit: "ratio",
      runs: 1,
      accept: "<= 0.6",
    },
  ];
  const near = [outcome, reference].every(({ hits }) => Math.abs(hits - wantedHits) <= tolerance);
  writeClaims(claims, !options.quick && near);
}
process.exit(0);
