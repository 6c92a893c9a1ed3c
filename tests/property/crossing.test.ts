// crossing.test.ts: any worker runs any command, so what two workers do to one key at once must look as if one of them
// had come first. The real executable with four workers; many connections pipeline at the same time.
//
// Values describe themselves: a run of blocks, each with its length, one byte repeated and a mark at both ends. A value
// in which a block does not add up was read while it was being written.
// The last test does without the network and the executable: threads over the same shards, collections instead of
// strings (tests/support/crossing-thread.ts). IRONCACHE_CROSSING is for how many seconds (4).
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Key } from "../../engine/memory/key.ts";
import { Type } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Clock } from "../../engine/shard/clock.ts";
import { Keyspace } from "../../engine/shard/keyspace.ts";
import { Place } from "../../engine/shard/place.ts";
import type { Shard } from "../../engine/shard/shard.ts";
import { Hash } from "../../engine/types/hash.ts";
import { MemberSet } from "../../engine/types/set.ts";
import { SortedSet } from "../../engine/types/sorted-set.ts";
import { HOT_KEYS, type ThreadPlan, type ThreadReport } from "../support/crossing-thread.ts";
import { Pipeline, textOf } from "../support/pipeline.ts";
import { random } from "../support/random.ts";
import { infoField, killLeftovers, Server } from "../support/server.ts";

setDefaultTimeout(120_000);

const WORKERS = 4;
const next = random("crossing");
const below = (bound: number): number => Math.floor(next() * bound);
const letters = "abcdefghijklmnopqrstuvwxyz";
let server: Server;

beforeAll(async () => {
  server = await Server.start({ workers: WORKERS });
});

afterAll(async () => {
  const socket = server.connect();
  const retries = await infoField(socket, "ironcache", "seqlock_retries").catch(() => "?");
  const waits = await infoField(socket, "ironcache", "lock_waits").catch(() => "?");
  console.log(`crossing: ${retries} reads repeated, ${waits} waits for a lock`);
  socket.close();
  expect(await server.stop()).toBe(0);
  expect(server.log).not.toContain("failed inside");
});
afterAll(killLeftovers);

function pipelines(count: number): Pipeline[] {
  return Array.from({ length: count }, () => new Pipeline(server.connect()));
}

function close(all: readonly Pipeline[]): void {
  for (const each of all) each.socket.close();
}

function block(): string {
  // Mostly short, so that lengths and places change; often enough so long that copying it takes a while.
  const length = next() < 0.4 ? 5_000 + below(60_000) : next() < 0.5 ? below(40) : below(3000);
  return `<${length}:${letters[below(26)]!.repeat(length)}>`;
}

/** What is wrong with a value, "" when it consists of whole blocks. */
function tornness(value: string): string {
  let at = 0;
  while (at < value.length) {
    const colon = value.indexOf(":", at);
    const length = Number(value.slice(at + 1, colon));
    if (value[at] !== "<" || colon < 0 || !Number.isInteger(length)) return `no block at ${at}`;
    const body = value.slice(colon + 1, colon + 1 + length);
    if (body.length !== length || body !== (body[0] ?? "").repeat(length))
      return `block at ${at} is not of one kind`;
    if (value[colon + 1 + length] !== ">") return `block at ${at} does not end`;
    at = colon + 2 + length;
  }
  return "";
}

test("crossing: no value is ever seen half written", async () => {
  const keys = ["hot:0", "hot:1", "hot:2", "hot:3"];
  const key = () => keys[below(keys.length)]!;
  const write = (): string[] => {
    const kind = below(16);
    if (kind < 6) return ["SET", key(), block()];
    if (kind < 8) return ["APPEND", key(), block()];
    if (kind < 9) return ["DEL", key()];
    if (kind < 10) return ["SET", key(), block(), "PX", "1"];
    if (kind < 12) return ["RENAME", key(), key()];
    if (kind < 14) return ["COPY", key(), key(), "REPLACE"];
    if (kind < 15) return ["GETSET", key(), block()];
    return ["MSET", keys[0]!, block(), keys[3]!, block()];
  };
  const read = (): string[] =>
    below(8) === 0 ? ["MGET", ...keys] : below(8) === 0 ? ["GETEX", key(), "PERSIST"] : ["GET", key()];
  const writers = pipelines(5);
  const readers = pipelines(8);
  let seen = 0;
  let torn = "";
  const look = (value: string | null) => {
    if (value === null || value === "OK" || value[0] === "-") return;
    seen++;
    const wrong = tornness(value);
    if (wrong !== "") torn ||= `${wrong}: ${value.slice(0, 200)} (${value.length})`;
  };
  for (let round = 0; round < 120 && torn === ""; round++) {
    const work = [
      // Values stop growing: each round begins with some that are new.
      ...writers.map(async (each) => {
        await each.run([...keys.map((name) => ["SET", name, block()]), ...Array.from({ length: 30 }, write)]);
      }),
      ...readers.map(async (each) => {
        for (const reply of await each.run(Array.from({ length: 30 }, read))) {
          const value = textOf(reply);
          if (Array.isArray(value)) value.forEach(look);
          else look(value);
        }
      }),
    ];
    await Promise.all(work);
  }
  expect(torn).toBe("");
  expect(seen).toBeGreaterThan(10_000);
  close([...writers, ...readers]);
});

test("crossing: MSET and DEL of keys in several shards are seen whole or not at all", async () => {
  const keys = Array.from({ length: 8 }, (_, i) => `whole:${i}`);
  const writers = pipelines(4);
  const readers = pipelines(4);
  const broken: string[] = [];
  let seen = 0;
  for (let round = 0; round < 200 && broken.length === 0; round++) {
    await Promise.all([
      ...writers.map((each, writer) =>
        each.run(
          Array.from({ length: 40 }, (_, i) => {
            if (below(10) === 0) return ["DEL", ...keys];
            const order = next() < 0.5 ? keys : [...keys].reverse();
            const value = `${writer}.${round}.${i}`.repeat(1 + below(60));
            return ["MSET", ...order.flatMap((name) => [name, value])];
          }),
        ),
      ),
      ...readers.map(async (each) => {
        for (const reply of await each.run(Array.from({ length: 60 }, () => ["MGET", ...keys]))) {
          const values = textOf(reply) as (string | null)[];
          seen++;
          if (values.some((value) => value !== values[0])) broken.push(JSON.stringify(values));
        }
      }),
    ]);
  }
  expect(broken).toEqual([]);
  expect(seen).toBeGreaterThan(10_000);
  close([...writers, ...readers]);
});

test("crossing: INCR, INCRBY and APPEND from eight connections lose nothing", async () => {
  const all = pipelines(8);
  const rounds = 60;
  await all[0]!.run([["DEL", "count", "sum", "long"]]);
  await Promise.all(
    all.map(async (each) => {
      for (let round = 0; round < rounds; round++)
        await each.run(
          Array.from({ length: 300 }, (_, i) =>
            i % 3 === 0 ? ["INCR", "count"] : i % 3 === 1 ? ["INCRBY", "sum", "7"] : ["APPEND", "long", "x"],
          ),
        );
    }),
  );
  const [count, sum, long] = (
    await all[0]!.run([
      ["GET", "count"],
      ["GET", "sum"],
      ["STRLEN", "long"],
    ])
  ).map(textOf);
  expect(count).toBe(`${8 * rounds * 100}`);
  expect(sum).toBe(`${8 * rounds * 700}`);
  expect(long).toBe(`${8 * rounds * 100}`);
  close(all);
});

test("crossing: a key that is renamed to and fro is always in exactly one place", async () => {
  const names = Array.from({ length: 6 }, (_, i) => `token:${i}`);
  const movers = pipelines(4);
  const readers = pipelines(4);
  await movers[0]!.run([
    ["DEL", ...names],
    ["SET", names[0]!, "the token"],
  ]);
  const broken: string[] = [];
  for (let round = 0; round < 200 && broken.length === 0; round++) {
    await Promise.all([
      ...movers.map((each) =>
        each.run(Array.from({ length: 60 }, () => ["RENAME", names[below(6)]!, names[below(6)]!])),
      ),
      ...readers.map(async (each) => {
        const asked = Array.from({ length: 30 }, (_, i) => [i % 2 === 0 ? "EXISTS" : "MGET", ...names]);
        for (const reply of await each.run(asked)) {
          const seen = textOf(reply);
          const places = Array.isArray(seen)
            ? seen.filter((value) => value === "the token").length
            : Number(seen);
          if (places !== 1) broken.push(JSON.stringify(seen));
        }
      }),
    ]);
  }
  expect(broken).toEqual([]);
  close([...movers, ...readers]);
});

test("crossing: every connection reads what it wrote, and nobody sees a state older than one he has seen", async () => {
  const writers = pipelines(8);
  const readers = pipelines(4);
  // A key of each kind a writer, which only it writes, in any shard; written in step n, all say n.
  const kinds = ["string", "hash", "sorted", "list", "set", "counter"];
  const nameOf = (writer: number, kind: string): string => `own:${kind}:${writer}`;
  const pad = (n: number): string => `${n}:${"x".repeat((n * 37) % (n % 50 === 0 ? 20_000 : 60))}`;
  const write = (writer: number, kind: string, n: number): string[][] => {
    const key = nameOf(writer, kind);
    // Another key takes its place for a moment, or it grows and shrinks, moves and is freed.
    if (kind === "string")
      return n % 3 === 0
        ? [
            ["SET", `${key}:next`, pad(n)],
            ["RENAME", `${key}:next`, key],
          ]
        : [["SET", key, pad(n), ...(n % 3 === 1 ? ["PX", "500000"] : [])]];
    if (kind === "hash") return [["HSET", key, "one", pad(n), `f${n % 40}`, "", "two", pad(n)]];
    if (kind === "sorted") return [["ZADD", key, `${n}`, "member", `${n}`, `m${n % 40}`]];
    if (kind === "list")
      return [
        ["DEL", key],
        ["RPUSH", key, ...Array.from({ length: 1 + (n % 5) }, () => `${n}`)],
      ];
    if (kind === "set")
      return [
        ["SADD", key, `s${n}`],
        ["SREM", key, `s${n - 1}`],
      ];
    return [["INCR", key]];
  };
  type Question = [words: string[], judge: (answer: ReturnType<typeof textOf>) => boolean];
  /** What the writer itself asks after step n. */
  const own = (writer: number, kind: string, n: number): Question[] => {
    const key = nameOf(writer, kind);
    const is = (expected: unknown) => (answer: unknown) => Bun.deepEquals(answer, expected);
    const exists: Question = [["EXISTS", key], is("1")];
    if (kind === "string")
      return [
        [["GET", key], is(pad(n))],
        [["STRLEN", key], is(`${pad(n).length}`)],
        [["TTL", key], (answer) => (n % 3 === 1 ? Number(answer) > 400 : answer === "-1")],
        [["MGET", key, key], is([pad(n), pad(n)])],
        [["EXISTS", `${key}:next`, key], is("1")],
      ];
    if (kind === "hash")
      return [
        [["HGET", key, "two"], is(pad(n))],
        [["HMGET", key, "one", `f${n % 40}`, "two"], is([pad(n), "", pad(n)])],
        [["HEXISTS", key, `f${n % 40}`], is("1")],
        [["HLEN", key], is(`${2 + Math.min(n, 40)}`)],
      ];
    if (kind === "sorted")
      return [
        [["ZSCORE", key, "member"], is(`${n}`)],
        [["ZMSCORE", key, `m${n % 40}`, "none"], is([`${n}`, null])],
        [["ZCARD", key], is(`${1 + Math.min(n, 40)}`)],
      ];
    if (kind === "list")
      return [
        [["LLEN", key], is(`${1 + (n % 5)}`)],
        [["LRANGE", key, "0", "-1"], is(Array.from({ length: 1 + (n % 5) }, () => `${n}`))],
      ];
    if (kind === "set")
      return [
        [["SISMEMBER", key, `s${n}`], is("1")],
        [["SMISMEMBER", key, `s${n - 1}`, `s${n}`], is(["0", "1"])],
        [["SCARD", key], is("1")],
        [["TYPE", key], is("set")],
      ];
    return [[["GET", key], is(`${n}`)], exists];
  };
  const wrong: string[] = [];
  const steps = 40;
  let ended = false;
  const writing = Promise.all(
    writers.map(async (each, writer) => {
      for (let n = 1; n <= steps * 30 && wrong.length === 0; n += 30) {
        // Reads right behind the writes, and so one by one every step.
        const batch: [string[], Question[1] | null][] = [];
        for (let step = n; step < n + 30; step++) {
          const kind = kinds[below(kinds.length)]!;
          for (const each of kinds) for (const words of write(writer, each, step)) batch.push([words, null]);
          batch.push(...own(writer, kind, step));
        }
        const answers = await each.run(batch.map(([words]) => words));
        for (const [i, [words, judge]] of batch.entries()) {
          const answer = textOf(answers[i]!);
          if (judge !== null && !judge(answer))
            wrong.push(`${words} -> ${JSON.stringify(answer).slice(0, 200)}`);
        }
      }
    }),
  ).finally(() => (ended = true));
  let seen = 0;
  const reading = readers.map(async (each) => {
    const newest = new Map<string, number>();
    while (!ended) {
      const asked = Array.from({ length: 60 }, (): string[] => {
        const writer = below(writers.length);
        const key = (kind: string) => nameOf(writer, kind);
        const kind = below(6);
        if (kind === 0) return ["GET", key("string")];
        if (kind === 1) return ["HGET", key("hash"), "one"];
        if (kind === 2) return ["HMGET", key("hash"), "one", "two"];
        if (kind === 3) return ["ZSCORE", key("sorted"), "member"];
        return kind === 4 ? ["GET", key("counter")] : ["MGET", key("counter"), key("string")];
      });
      for (const [i, reply] of (await each.run(asked)).entries()) {
        const words = asked[i]!;
        const answer = textOf(reply);
        const names =
          words[0] === "MGET" ? words.slice(1) : words[0] === "HMGET" ? [words[1]!, words[1]!] : [words[1]!];
        const values = Array.isArray(answer) ? answer : [answer];
        if (words[0] === "HMGET" && values[0] !== values[1]) wrong.push(`${words} -> two times`);
        for (const [place, name] of names.entries()) {
          const value = values[place] ?? null;
          const n = Number.parseInt(value ?? "0", 10);
          seen++;
          if (value?.includes(":") && value !== pad(n)) wrong.push(`${words} -> torn`);
          if (n < (newest.get(name) ?? 0)) wrong.push(`${words} -> ${n} after ${newest.get(name)}`);
          newest.set(name, n);
        }
      }
    }
  });
  await Promise.all([writing, ...reading]);
  expect(wrong).toEqual([]);
  expect(seen).toBeGreaterThan(1000);
  close([...writers, ...readers]);
});

test("crossing: commands over many shards in opposite orders never wait for each other for ever", async () => {
  const all = pipelines(10);
  const keys = Array.from({ length: 24 }, (_, i) => `order:${i}`);
  const backwards = [...keys].reverse();
  const shapes: (() => string[])[] = [
    () => ["MSET", ...keys.flatMap((name) => [name, "1"])],
    () => ["MSET", ...backwards.flatMap((name) => [name, "2"])],
    () => ["DEL", ...(below(2) === 0 ? keys : backwards)],
    () => ["EXISTS", ...backwards],
    () => ["RENAME", keys[below(24)]!, keys[below(24)]!],
    () => ["COPY", keys[below(24)]!, keys[below(24)]!, "REPLACE"],
    () => ["MGET", ...keys],
    () => ["DBSIZE"],
    () => ["SCAN", "0", "COUNT", "50"],
    () => ["RANDOMKEY"],
    () => ["FLUSHDB"],
    () => ["SET", keys[below(24)]!, "3", "PX", "1"],
  ];
  for (let round = 0; round < 50; round++)
    await Promise.all(
      all.map((each) => each.run(Array.from({ length: 60 }, () => shapes[below(shapes.length)]!()))),
    );
  expect(await server.connect().ask("PING")).toBe("+PONG");
  close(all);
});

/** Every invariant of the collection under a key. */
function checkCollection(shard: Shard, key: Key): void {
  const place = new Place(shard);
  if (!place.find(shard, 0, key)) return;
  if (place.type === Type.Hash) {
    const hash = new Hash();
    hash.open(place, 0);
    hash.check();
  } else if (place.type === Type.Set) {
    const set = new MemberSet();
    set.open(place);
    set.check();
  } else if (place.type === Type.SortedSet) {
    const sorted = new SortedSet();
    sorted.open(place);
    sorted.check();
  }
}

const SECONDS = Number(process.env.IRONCACHE_CROSSING ?? 4);
/** A thread that is so late with its last batch is in a loop that does not end. */
const STUCK_MS = 20_000;

test(
  "crossing: collections read without a lock are never torn, and whole in the end",
  async () => {
    // Two shards only, of small segments: what leaves them is soon noticed.
    const clock = new Clock();
    const { plan } = Keyspace.create(2, 1 << 20, clock);
    const shared = { ...plan, addresses: plan.addresses.slice(0, 2) };
    const threads = 4;
    const workers: Worker[] = [];
    const reports = Array.from({ length: threads }, (_, index) => {
      const worker = new Worker(new URL("../support/crossing-thread.ts", import.meta.url).href);
      workers.push(worker);
      const given: ThreadPlan = {
        plan: shared,
        writes: index < 2,
        seed: below(2 ** 31),
        seconds: SECONDS,
        index,
      };
      worker.postMessage(given);
      return new Promise<ThreadReport>((resolve, reject) => {
        worker.onmessage = (event: MessageEvent<ThreadReport>) => resolve(event.data);
        worker.onerror = (event) => reject(new Error(event.message));
      });
    });
    const finished = new Set<number>();
    reports.forEach((report, i) => void report.then(() => finished.add(i)).catch(() => {}));
    let timer: Timer | undefined;
    const stuck = new Promise<never>((_, reject) => {
      const late = () =>
        reject(new Error(`in a loop without end: all threads but ${[...finished].join(", ") || "none"}`));
      timer = setTimeout(late, SECONDS * 1000 + STUCK_MS);
    });
    const done = await Promise.race([Promise.all(reports), stuck]).finally(() => {
      clearTimeout(timer);
      for (const worker of workers) worker.terminate();
    });
    expect(done.flatMap((report) => report.wrong)).toEqual([]);
    const readers = done.slice(2);
    const sum = (what: "commands" | "retries" | "seen") =>
      readers.reduce((total, report) => total + report[what], 0);
    const written = done[0]!.commands + done[1]!.commands;
    const moved = done[0]!.moved + done[1]!.moved;
    console.log(
      `crossing: ${sum("commands")} reads of collections, ${sum("seen")} found something, ` +
        `${sum("retries")} repeated, among ${written} writes and ${moved} blocks moved`,
    );
    expect(moved).toBeGreaterThan(SECONDS * 200);
    expect(sum("seen")).toBeGreaterThan(SECONDS * 200);
    expect(sum("retries")).toBeGreaterThan(0);

    const keyspace = Keyspace.attach(shared, clock);
    keyspace.check();
    const names = need(Region.private(4096), "names of keys");
    const key = new Key(names);
    for (let i = 0; i < HOT_KEYS; i++) {
      const bytes = Buffer.from(`hot:${i}`);
      names.u8.set(bytes);
      key.set(names, 0, bytes.length);
      checkCollection(keyspace.shardOf(key.low), key);
    }
  },
  (SECONDS + 60) * 1000,
);
