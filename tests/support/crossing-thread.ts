// crossing-thread.ts: a thread of the crossing test: one of several that run commands on the same shards, each through a
// dispatcher of its own, with no network between them, so that they meet as often as two cores allow.
//
// What is stored describes itself, whatever key it lies under (RENAME and COPY move it about):
//   hashes       field f<n>: "<field>:<length>:<as many letters that the length tells>"; field i<n>: n + 1000 * k
//   sets         m<n>, 7 * n and huge integers; never "n<n>", never 7 * n + 3
//   sorted sets  m<n> with the score n or n + 0.5
//   lists        each element twice in a row, "l:<length>:<letters>"
//   strings      blocks of "s:<length>:<letters>;", or of junk
// and pa and pb, and the two integers of PAIR, come, change, become due and go together. Some fields and members are so
// long that they are compared by memcmp and lie outside of their leaf.
// Strings of digits, of high bytes and of float64 infinities take the memory that collections give back, so that a
// reader without lock meets lengths, handles and deadlines of every kind.
// Neighbours: tests/property/crossing.test.ts starts it.
import type { Row } from "../../engine/commands/call.ts";
import { Call } from "../../engine/commands/call.ts";
import { allCommands } from "../../engine/commands/index.ts";
import { Reply } from "../../engine/commands/reply.ts";
import type { Server } from "../../engine/commands/server.ts";
import { Session } from "../../engine/commands/session.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Clock } from "../../engine/shard/clock.ts";
import { Keyspace, type KeyspacePlan } from "../../engine/shard/keyspace.ts";
import { limits } from "../../engine/types/limits.ts";
import { Client } from "../../engine/worker/client.ts";
import { CommandTable, type Entry } from "../../engine/worker/command-table.ts";
import { Dispatcher } from "../../engine/worker/dispatcher.ts";
import { ReplyDecoder } from "../../protocol/reply-decoder.ts";
import { textOf } from "./pipeline.ts";
import { quietHost, quietHub } from "./quiet-host.ts";
import { shake } from "./shake.ts";

export interface ThreadPlan {
  readonly plan: KeyspacePlan;
  readonly writes: boolean;
  readonly seed: number;
  readonly seconds: number;
  readonly index: number;
}

export interface ThreadReport {
  readonly commands: number;
  readonly retries: number;
  /** Replies of readers that told of something. */
  readonly seen: number;
  /** Blocks that a writer moved in between. */
  readonly moved: number;
  readonly wrong: readonly string[];
}

export const HOT_KEYS = 10;
/** Keys keep to a type, mostly, so that they grow: key number n to type n % TYPES. */
const TYPES = 5;
const POOL = 700;
const BATCH = 24;
const IO_BYTES = 4 << 20;
const PAIR = ["700007", "-7000000000007"];

type Answer = ReturnType<typeof textOf>;
type Judge = (answer: Answer) => string;
type Question = readonly [words: string[], judge: Judge];

let state = 0;
const next = (): number => {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const below = (bound: number): number => Math.floor(next() * bound);
const some = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);

const long = (n: number): string => (n % 5 === 0 ? "x".repeat(70 + (n % 90)) : "");
const fieldOf = (n: number): string => (n % 4 === 1 ? `i${n}` : `f${n}${long(n)}`);
const memberOf = (n: number): string => `m${n}${long(n)}`;
const integerOf = (n: number): string => (n % 50 === 7 ? `${9007199254740993000n + BigInt(n)}` : `${n * 7}`);
const filled = (field: string, bytes: number): string =>
  `${field}:${bytes}:${String.fromCharCode(97 + (bytes % 26)).repeat(bytes)}`;
const someBytes = (): number => (next() < 0.01 ? below(6000) : next() < 0.2 ? below(300) : below(50));
const valueFor = (field: string): string =>
  field[0] === "i" ? `${Number(field.slice(1)) + 1000 * below(1e6)}` : filled(field, someBytes());

// Writing

const hot = (): string => `hot:${below(HOT_KEYS)}`;

function pairValue(): string[] {
  const bytes = someBytes();
  return ["pa", filled("p", bytes), "pb", filled("p", bytes)];
}

function writeHash(key: string): string[] {
  const kind = below(20);
  const many = next() < 0.15 ? 150 : 1 + below(6);
  const fields = some(many, () => fieldOf(below(POOL)));
  if (kind < 6) return ["HSET", key, ...fields.flatMap((field) => [field, valueFor(field)])];
  if (kind < 9) return ["HDEL", key, ...fields];
  if (kind < 11) return ["HSET", key, ...pairValue()];
  if (kind < 12) return ["HDEL", key, "pb", "pa"];
  if (kind < 13) return ["HPEXPIRE", key, `${1 + below(3)}`, "FIELDS", "2", "pa", "pb"];
  if (kind < 15) return ["HPEXPIRE", key, `${1 + below(5)}`, "FIELDS", `${many}`, ...fields];
  if (kind < 17) return ["HPEXPIRE", key, "90000", "FIELDS", `${many}`, ...fields];
  if (kind < 18) return ["HPERSIST", key, "FIELDS", `${many}`, ...fields];
  const counter = 4 * below(POOL / 4) + 1;
  return ["HSET", key, `i${counter}`, `${counter + 1000 * below(10)}`];
}

function writeSet(key: string): string[] {
  const kind = below(12);
  const many = next() < 0.15 ? 200 : 1 + below(6);
  const integers = next() < 0.6;
  const members = some(many, () => (integers ? integerOf(below(POOL)) : memberOf(below(POOL))));
  if (kind < 4) return ["SADD", key, ...members];
  if (kind < 7) return ["SREM", key, ...members];
  if (kind < 9) return ["SADD", key, ...(integers ? PAIR : ["pa", "pb"])];
  if (kind < 10) return ["SREM", key, ...(integers ? PAIR : ["pb", "pa"])];
  const other = (): string => (next() < 0.1 ? hot() : `hot:${1 + TYPES * below(HOT_KEYS / TYPES)}`);
  return [["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"][below(3)]!, key, other(), other()];
}

function writeSortedSet(key: string): string[] {
  const kind = below(10);
  const numbers = some(next() < 0.15 ? 150 : 1 + below(6), () => below(POOL));
  if (kind < 5) return ["ZADD", key, ...numbers.flatMap((n) => [`${n + below(2) / 2}`, memberOf(n)])];
  if (kind < 7) return ["ZREM", key, ...numbers.map(memberOf)];
  const score = `${below(1000) / 4}`;
  return kind < 9 ? ["ZADD", key, score, "pa", score, "pb"] : ["ZREM", key, "pa", "pb"];
}

function writeList(key: string): string[] {
  const kind = below(10);
  const many = next() < 0.15 ? 60 : 1 + below(4);
  if (kind < 5) {
    const elements = some(many, () => filled("l", someBytes())).flatMap((element) => [element, element]);
    return [kind < 3 ? "RPUSH" : "LPUSH", key, ...elements];
  }
  if (kind < 8) return [kind < 7 ? "LPOP" : "RPOP", key, `${2 * many}`];
  return kind === 8 ? ["LREM", key, "0", filled("l", someBytes())] : ["LTRIM", key, `${2 * below(4)}`, "399"];
}

function writeString(key: string): string[] {
  const kind = below(10);
  const block = `${filled("s", someBytes())};`;
  if (kind < 5) return ["SET", key, block];
  return kind < 7
    ? ["APPEND", key, block]
    : kind < 9
      ? ["SET", key, block, "PX", `${1 + below(3)}`]
      : ["GETDEL", key];
}

/** What takes the place of collections that went. */
function junk(): string {
  const unit = ["7", "\xff", "\0\0\0\0\0\0\xf0\x7f", "\x35", "\xc9\x01\x00"][below(5)]!;
  return unit.repeat(Math.ceil((next() < 0.2 ? below(5000) : below(400)) / unit.length));
}

function write(): string[] {
  const chance = next();
  const number = below(HOT_KEYS);
  const key = `hot:${number}`;
  if (chance < 0.18) return ["SET", `junk:${below(200)}`, junk()];
  if (chance < 0.24) return ["DEL", ...some(10, () => `junk:${below(200)}`)];
  if (chance < 0.255) return [next() < 0.5 ? "DEL" : "UNLINK", key];
  if (chance < 0.265) return ["RENAME", key, hot()];
  if (chance < 0.275) return ["COPY", key, `hot:${(number + 1 + below(HOT_KEYS - 1)) % HOT_KEYS}`, "REPLACE"];
  if (chance < 0.285) return ["PEXPIRE", key, `${1 + below(3)}`];
  if (chance < 0.29) return ["PEXPIRE", key, "90000"];
  if (chance < 0.295) return ["PERSIST", key];
  if (chance < 0.3) return ["SET", key, junk()];
  const writers = [writeHash, writeSet, writeSortedSet, writeList, writeString];
  return writers[next() < 0.02 ? below(TYPES) : number % TYPES]!(key);
}

// Reading

const wrongType = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const isOneOf =
  (...answers: (string | null)[]): Judge =>
  (answer) =>
    answers.includes(answer as string | null) ? "" : "impossible";
const within =
  (least: number, most: number): Judge =>
  (answer) => {
    const number = Number(answer);
    return Number.isInteger(number) && number >= least && number <= most ? "" : "out of range";
  };

const MOST_STRING = 1 << 20;

/** Junk or nothing, then blocks as writeString has them, each whole. */
const judgeString: Judge = (answer) => {
  const text = `${answer ?? ""}`;
  let at = Math.max(text.indexOf("s:"), 0);
  const before = at === 0 && text[0] !== "s" ? text : text.slice(0, at);
  if (!/^(7*|5*|\xff*|(\0{6}\xf0\x7f)*|(\xc9\x01\0)*)$/.test(before)) return "torn";
  for (at = before.length; at < text.length; ) {
    const bytes = Number(/^s:(\d+):/.exec(text.slice(at, at + 12))?.[1] ?? 0);
    const block = `${filled("s", bytes)};`;
    if (text.slice(at, at + block.length) !== block) return "torn";
    at += block.length;
  }
  return "";
};

function judgeValue(field: string, value: string | null): string {
  if (value === null) return "";
  if (field[0] === "i")
    return /^[0-9]+$/.test(value) && Number(value) % 1000 === Number(field.slice(1)) ? "" : "not its number";
  const bytes = Number(value.split(":")[1]);
  return value === filled(field, bytes) ? "" : "torn";
}

/** Each item by the judge, and the last two, which came together, the same. */
const items =
  (count: number, judge: (item: string | null, i: number) => string): Judge =>
  (answer) => {
    if (!Array.isArray(answer) || answer.length !== count) return "no list, or not of its length";
    if (answer[count - 2] !== answer[count - 1]) return "the pair differs";
    return answer.map(judge).find((wrong) => wrong !== "") ?? "";
  };

const orWrongType =
  (judge: Judge): Judge =>
  (answer) =>
    answer === wrongType ? "" : judge(answer);

function read(): Question {
  const number = below(HOT_KEYS);
  const key = `hot:${number}`;
  const readers = [readHash, readSet, readSorted, readList, readString];
  const reader = next() < 0.06 ? readAny : readers[next() < 0.05 ? below(TYPES) : number % TYPES]!;
  const [words, judge] = reader(key);
  return [words, orWrongType(judge)];
}

function readAny(key: string): Question {
  const kind = below(9);
  if (kind === 0) return [["TYPE", key], isOneOf("none", "string", "hash", "set", "zset", "list")];
  if (kind === 1) return [["PTTL", key], within(-2, 150_000)];
  if (kind === 2)
    return [
      ["OBJECT", "ENCODING", key],
      isOneOf(
        ...[null, "listpack", "listpackex", "hashtable", "intset", "skiplist", "quicklist"],
        ...["raw", "embstr", "int"],
      ),
    ];
  if (kind === 3) return [["STRLEN", key], within(0, MOST_STRING)];
  if (kind === 4) return [["BITCOUNT", key], within(0, MOST_STRING * 8)];
  if (kind === 5) return [["TTL", key], within(-2, 150)];
  if (kind === 6) return [["EXISTS", key, key, hot()], isOneOf("0", "1", "2", "3")];
  if (kind === 7) return [["EXPIRETIME", key], within(-2, 4e9)];
  return [["GET", key], judgeString];
}

/** Fields and values in turn, each value its field's, and pa and pb alike. */
const judgeHash: Judge = (answer) => {
  if (!Array.isArray(answer) || answer.length % 2 !== 0) return "no fields and values";
  const values = new Map<string | null, string | null>();
  for (let i = 0; i < answer.length; i += 2) {
    if (values.has(answer[i]!)) return "a field twice";
    values.set(answer[i]!, answer[i + 1]!);
    const wrong = judgeValue(answer[i]!.replace(/^p.$/, "p"), answer[i + 1]!);
    if (wrong !== "") return wrong;
  }
  return values.get("pa") === values.get("pb") ? "" : "the pair differs";
};

function readHash(key: string): Question {
  const kind = below(8);
  const field = fieldOf(below(POOL));
  if (kind < 2) return [["HGET", key, field], (answer) => judgeValue(field, answer as string | null)];
  const fields = [...some(1 + below(5), () => fieldOf(below(POOL))), "pa", "pb"];
  const judged = items(fields.length, (value, i) => judgeValue(fields[i]!.replace(/^p.$/, "p"), value));
  if (kind < 4) return [["HMGET", key, ...fields], judged];
  if (kind === 4) return [["HEXISTS", key, `n${field}`], isOneOf("0")];
  if (kind === 5) return [["HSTRLEN", key, field], within(0, 6200)];
  if (kind === 6) return [["HLEN", key], within(0, POOL + 2)];
  if (next() < 0.5) return [["HGETALL", key], judgeHash];
  return [
    ["HPTTL", key, "FIELDS", `${fields.length}`, ...fields],
    items(fields.length, (value) => within(-2, 150_000)(value)),
  ];
}

function readSet(key: string): Question {
  const kind = below(8);
  const n = below(POOL);
  if (kind < 2) return [["SISMEMBER", key, n % 50 === 7 ? memberOf(n) : integerOf(n)], isOneOf("0", "1")];
  if (kind < 4) return [["SISMEMBER", key, next() < 0.5 ? `n${memberOf(n)}` : `${n * 7 + 3}`], isOneOf("0")];
  if (kind === 4) return [["SCARD", key], within(0, 2 * POOL + 4)];
  const pair = next() < 0.5 ? PAIR : ["pa", "pb"];
  const asked = [`${7 * n + 3}`, `n${memberOf(n)}`, memberOf(n), integerOf(n), ...pair];
  return [
    ["SMISMEMBER", key, ...asked],
    items(asked.length, (value, i) => isOneOf("0", i < 2 ? "0" : "1")(value)),
  ];
}

function readSorted(key: string): Question {
  const kind = below(5);
  const n = below(POOL);
  const judgeScore = (value: string | null): string =>
    value === null || Math.floor(Number(value)) === n ? "" : "not its score";
  if (kind < 2) return [["ZSCORE", key, memberOf(n)], (answer) => judgeScore(answer as string | null)];
  if (kind < 4)
    return [
      ["ZMSCORE", key, memberOf(n), `n${n}`, "pa", "pb"],
      items(4, (value, i) => (i === 0 ? judgeScore(value) : i === 1 && value !== null ? "never there" : "")),
    ];
  return [["ZCARD", key], within(0, POOL + 2)];
}

function readList(key: string): Question {
  const kind = below(8);
  const judgeElement = (value: string | null): string => (value === null ? "" : judgeValue("l", value));
  if (kind < 2)
    return [["LLEN", key], (answer) => (Number(answer) % 2 === 0 ? within(0, 1e5)(answer) : "half a pair")];
  if (kind === 2)
    return [["LINDEX", key, `${below(60) - 30}`], (answer) => judgeElement(answer as string | null)];
  const last = kind < 6 ? -1 : 1 + 2 * below(20);
  return [
    ["LRANGE", key, "0", `${last}`],
    (answer) => {
      if (!Array.isArray(answer) || answer.length % 2 !== 0) return "no pairs";
      if (answer.some((element, i) => element !== answer[i ^ 1])) return "a pair differs";
      return answer.map(judgeElement).find((wrong) => wrong !== "") ?? "";
    },
  ];
}

function readString(key: string): Question {
  const kind = below(6);
  if (kind < 3) return [["GET", key], judgeString];
  if (kind === 3) return [["STRLEN", key], within(0, MOST_STRING)];
  const other = hot();
  return [
    ["MGET", key, other, key],
    (answer) => {
      if (!Array.isArray(answer) || answer.length !== 3) return "no list of three";
      return answer[0] === answer[2] ? judgeString(answer[0]!) || judgeString(answer[1]!) : "two answers";
    },
  ];
}

// Running

function start(given: ThreadPlan): ThreadReport {
  state = given.seed;
  if (given.writes && given.index % 2 === 1)
    Object.assign(limits, { hashEntries: 40, setEntries: 20, setIntegers: 300, sortedSetEntries: 20 });
  const clock = new Clock();
  const keyspace = Keyspace.attach(given.plan, clock);
  const input = need(Region.private(IO_BYTES), "arguments");
  const output = need(Region.private(IO_BYTES), "replies");
  const entries: Entry[] = [];
  const rows: readonly Row[] = allCommands;
  const table = CommandTable.of(rows, entries);
  const server = { rows, setting: () => "536870912" } as unknown as Server; // what these handlers ask for
  const call = new Call(input, new Reply(output, IO_BYTES), keyspace, server, quietHub);
  const client = new Client(-1, new Session(given.index + 1, 0, "a", "b", clock.nowMs));
  const wrong: string[] = [];
  const decoder = new ReplyDecoder();
  const answers: Answer[] = [];
  const takeReplies = (): void => {
    const { reply } = call;
    for (const one of decoder.decode(output.u8.slice(reply.begin, reply.at))) answers.push(textOf(one));
    reply.at = 0;
    reply.begin = 0;
  };
  const dispatcher = new Dispatcher(
    call,
    table,
    keyspace,
    {
      ...quietHost(keyspace, call),
      memoryFull: false,
      makeRoom: () => true,
      failed: (entry, error) => wrong.push(`${entry.row.name} failed inside: ${error}`),
      countError() {},
      crossProtocol() {},
      handOver: takeReplies,
    },
    entries.length,
  );
  const until = performance.now() + given.seconds * 1000;
  let seen = 0;
  for (let round = 0; performance.now() < until && wrong.length === 0; round++) {
    clock.nowMs = Date.now();
    const batch: Question[] = some(BATCH, () => (given.writes ? [write(), () => ""] : read()));
    const text = batch
      .map(
        ([words]) => `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`,
      )
      .join("");
    const bytes = Buffer.from(text, "latin1");
    input.u8.set(bytes);
    answers.length = 0;
    dispatcher.run(client, null, input, 0, bytes.length);
    takeReplies();
    if (answers.length !== BATCH) wrong.push(`${answers.length} replies to ${BATCH} commands`);
    for (let i = 0; i < BATCH && !given.writes; i++) {
      const answer = answers[i] ?? null;
      const [words, judge] = batch[i]!;
      const verdict = judge(answer);
      if (verdict !== "")
        wrong.push(`${verdict}: ${JSON.stringify(words)} ${JSON.stringify(answer).slice(0, 400)}`);
      if (answer !== null && answer !== "0" && answer !== wrongType) seen++;
    }
    if (given.writes)
      for (const answer of answers)
        if (typeof answer === "string" && answer.startsWith("-ERR") && answer !== "-ERR no such key")
          wrong.push(answer);
    // What every worker does in between.
    const shard = keyspace.shards[round % keyspace.shards.length]!;
    if (given.writes) {
      shard.lock();
      shard.expireStep(16, 256);
      shard.reclaimStep(64);
      if (!shard.defrag.running) {
        shake(shard, next(), next);
        shard.defrag.begin();
      }
      shard.defrag.step(30_000);
      shard.allocator.giveBack(16);
      shard.unlock();
    }
  }
  const moved = keyspace.shards.reduce((sum, { defrag }) => sum + defrag.mover.moved, 0);
  return { commands: dispatcher.commands, retries: dispatcher.readRetries, seen, moved, wrong };
}

declare const self: Worker;
if (!Bun.isMainThread)
  self.onmessage = (event: MessageEvent<ThreadPlan>) => {
    let report: ThreadReport;
    try {
      report = start(event.data);
    } catch (error) {
      report = {
        commands: 0,
        retries: 0,
        seen: 0,
        moved: 0,
        wrong: [`the thread ended: ${(error as Error).stack}`],
      };
    }
    postMessage(report);
  };
