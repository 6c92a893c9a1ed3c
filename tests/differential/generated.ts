// Random streams from an argument grammar over 8 keys and edge values. One seed gives the same streams every time; a
// failing stream is halved until it no longer shrinks and printed as a redis-cli script (the reads of `probe` follow
// it).
// Neighbours: differential.test.ts runs them on every cell of the matrix, harness.ts compares.

import { type Command, type Protocol, runCase, type Server } from "./harness.ts";
import { showCommand } from "./resp.ts";

/** Uniform numbers in [0, 1) from a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const keys = ["a", "b", "ab", "key:1", "key:2", "", "\x00\r\n\xff", "k".repeat(300)];

/** None with an exponent: APPEND would make it one beyond float64, where we differ and go on differing. None so long that
 *  an LCS of it takes tens of milliseconds: a turn has one clock here, and later deadlines would show it. */
const values = [
  "",
  "0",
  "1",
  "-1",
  "10",
  "42",
  "abc",
  "hello world",
  "9223372036854775807",
  "-9223372036854775808",
  "9007199254740993",
  "01",
  "+1",
  " 1",
  "1.5",
  "0.1",
  "3.05",
  "100000000000000000",
  "\x00\r\n\xff",
  "x".repeat(44),
  "x".repeat(45),
  "y".repeat(64),
  "z".repeat(500),
  "w".repeat(700),
];

const integers = [
  "0",
  "1",
  "-1",
  "2",
  "5",
  "-5",
  "100",
  "9223372036854775807",
  "-9223372036854775808",
  "9223372036854775808",
  "9007199254740992",
  "x",
  "",
  "1.5",
  "01",
];
const floats = ["0", "0.1", "-0.1", "1.5", "5e3", "1e-5", "3", "-0", "x", "", "1e17", "inf", "nan"];
const indexes = ["0", "1", "2", "-1", "-2", "5", "43", "44", "100", "-100", "300", "x"];
const offsets = ["0", "1", "3", "44", "45", "70", "600", "-1", "x"];
/** Far from now, or past, so that no deadline passes while a stream runs; "~" is made a different time at each use, so
 *  that GT and LT never depend on which millisecond it is. */
const seconds = ["~", "~", "~", "0", "-1", "x", "9223372036854775807"];
const millis = ["~000", "~000", "~000", "0", "-1", "x", "9223372036854775807"];
const secondsAt = ["4102444800", "4202444800", "1", "0", "-1", "x"];
const millisAt = ["4102444800123", "4202444800123", "1", "0", "-1", "x"];
const databases = ["0", "1", "1", "2", "16", "-1", "x"];
const globs = ["*", "a*", "?", "key:[0-9]", "*[^a]", "k*"];

type Make = (pick: Pick) => Command;
interface Pick {
  of<T>(choices: readonly T[]): T;
  key(): string;
  some(options: readonly (() => string[])[]): string[];
  chance(part: number): boolean;
}

const setOptions = (pick: Pick): (() => string[])[] => [
  () => ["NX"],
  () => ["XX"],
  () => ["GET"],
  () => ["KEEPTTL"],
  () => ["EX", pick.of(seconds)],
  () => ["PX", pick.of(millis)],
  () => ["EXAT", pick.of(secondsAt)],
  () => ["pxat", pick.of(millisAt)],
];
const flags = (): (() => string[])[] => ["NX", "XX", "GT", "lt"].map((flag) => () => [flag]);

const pairs = (pick: Pick): string[] =>
  Array.from({ length: pick.of([1, 2, 3, 4]) }, () => [pick.key(), pick.of(values)]).flat();
const several = (pick: Pick): string[] => Array.from({ length: pick.of([1, 2, 3, 5]) }, () => pick.key());

/** Weight and form of each command. */
const grammar: [number, Make][] = [
  [8, (pick) => ["SET", pick.key(), pick.of(values)]],
  [8, (pick) => ["SET", pick.key(), pick.of(values), ...pick.some(setOptions(pick))]],
  [6, (pick) => ["GET", pick.key()]],
  [2, (pick) => ["GETSET", pick.key(), pick.of(values)]],
  [2, (pick) => ["GETDEL", pick.key()]],
  [3, (pick) => ["GETEX", pick.key(), ...pick.some([...setOptions(pick).slice(4), () => ["PERSIST"]])]],
  [1, (pick) => ["SETEX", pick.key(), pick.of(seconds), pick.of(values)]],
  [1, (pick) => ["PSETEX", pick.key(), pick.of(millis), pick.of(values)]],
  [2, (pick) => ["SETNX", pick.key(), pick.of(values)]],
  [4, (pick) => ["APPEND", pick.key(), pick.of(values)]],
  [2, (pick) => ["STRLEN", pick.key()]],
  [3, (pick) => ["GETRANGE", pick.key(), pick.of(indexes), pick.of(indexes)]],
  [1, (pick) => ["SUBSTR", pick.key(), pick.of(indexes), pick.of(indexes)]],
  [3, (pick) => ["SETRANGE", pick.key(), pick.of(offsets), pick.of(values)]],
  [3, (pick) => [pick.of(["INCR", "DECR"]), pick.key()]],
  [4, (pick) => [pick.of(["INCRBY", "DECRBY"]), pick.key(), pick.of(integers)]],
  [3, (pick) => ["INCRBYFLOAT", pick.key(), pick.of(floats)]],
  [3, (pick) => ["MGET", ...several(pick)]],
  [3, (pick) => ["MSET", ...pairs(pick)]],
  [2, (pick) => ["MSETNX", ...pairs(pick)]],
  [
    1,
    (pick) => [
      "LCS",
      pick.key(),
      pick.key(),
      ...pick.some([
        () => ["LEN"],
        () => ["IDX"],
        () => ["WITHMATCHLEN"],
        () => ["MINMATCHLEN", pick.of(["1", "3", "x"])],
      ]),
    ],
  ],
  [3, (pick) => [pick.of(["DEL", "UNLINK"]), ...several(pick)]],
  [2, (pick) => [pick.of(["EXISTS", "TOUCH"]), ...several(pick)]],
  [1, (pick) => ["TYPE", pick.key()]],
  [3, (pick) => [pick.of(["RENAME", "RENAMENX"]), pick.key(), pick.key()]],
  [
    3,
    (pick) => [
      "COPY",
      pick.key(),
      pick.key(),
      ...pick.some([() => ["REPLACE"], () => ["DB", pick.of(databases)]]),
    ],
  ],
  [2, (pick) => ["MOVE", pick.key(), pick.of(databases)]],
  [1, (pick) => ["SWAPDB", pick.of(databases), pick.of(databases)]],
  [1, (pick) => ["SELECT", pick.of(databases)]],
  [1, () => ["DBSIZE"]],
  [1, (pick) => ["KEYS", pick.of(globs)]],
  [2, (pick) => ["OBJECT", "ENCODING", pick.key()]],
  [3, (pick) => ["EXPIRE", pick.key(), pick.of(seconds), ...pick.some(flags())]],
  [3, (pick) => ["PEXPIRE", pick.key(), pick.of(millis), ...pick.some(flags())]],
  [3, (pick) => ["EXPIREAT", pick.key(), pick.of(secondsAt), ...pick.some(flags())]],
  [3, (pick) => ["PEXPIREAT", pick.key(), pick.of(millisAt), ...pick.some(flags())]],
  [4, (pick) => [pick.of(["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"]), pick.key()]],
  [2, (pick) => ["PERSIST", pick.key()]],
  [0.2, (pick) => [pick.of(["FLUSHDB", "FLUSHALL"])]],
  [0.5, (pick) => [pick.of(["get", "nosuch", "mset", "incrby"]), pick.key()]],
];
const weights = grammar.reduce((sum, [weight]) => sum + weight, 0);

/** Reads everything the stream can have left, in the databases it can have used. */
const probe: Command[] = ["0", "1", "2"].flatMap((db): Command[] => [
  ["SELECT", db],
  ["DBSIZE"],
  ["MGET", ...keys],
  ...keys.flatMap((key): Command[] => [
    ["PEXPIRETIME", key],
    ["OBJECT", "ENCODING", key],
  ]),
]);

/** The stream of that number for a seed. */
export function streamOf(seed: number, number: number, length: number): Command[] {
  const random = randomFrom(Math.imul(seed, 0x9e3779b1) ^ number);
  const pick: Pick = {
    of: (choices) => choices[Math.floor(random() * choices.length)],
    key: () => keys[Math.floor(random() * keys.length)],
    chance: (part) => random() < part,
    some: (options) => {
      const chosen: string[] = [];
      while (chosen.length < 8 && random() < 0.5)
        chosen.push(...options[Math.floor(random() * options.length)]());
      return chosen;
    },
  };
  return Array.from({ length }, () => {
    let at = random() * weights;
    const [, make] =
      grammar.find(([weight]) => {
        at -= weight;
        return at < 0;
      }) ?? grammar[0];
    return make(pick).map((word) =>
      word === "~" || word === "~000" ? word.replace("~", String(1000 + Math.floor(random() * 1e7))) : word,
    );
  });
}

/** The oracle counts a key past its deadline until somebody asks for it, so before DBSIZE somebody does. */
function caseOf(commands: Command[]): { name: string; commands: Command[] } {
  const all = [...commands, ...probe].flatMap((words): Command[] =>
    words[0] === "DBSIZE" ? [["EXISTS", ...keys], words] : [words],
  );
  return { name: "generated", commands: all };
}

/** Runs one generated stream; null, or what differs with the shortest stream that shows it, as a script. */
export async function runGenerated(
  seed: number,
  number: number,
  length: number,
  protocol: Protocol,
  oracle: Server,
  subject: Server,
): Promise<string | null> {
  const differs = (commands: Command[]) => runCase(caseOf(commands), protocol, oracle, subject);
  let commands = streamOf(seed, number, length);
  let why = await differs(commands);
  if (why === null) return null;
  // Leave out halves, quarters, ... as long as it still fails.
  for (let part = Math.ceil(commands.length / 2); part >= 1; part = part === 1 ? 0 : Math.ceil(part / 2)) {
    for (let at = 0; at < commands.length; ) {
      const shorter = [...commands.slice(0, at), ...commands.slice(at + part)];
      const still = await differs(shorter);
      if (still === null) at += part;
      else {
        commands = shorter;
        why = still;
      }
    }
  }
  const script = caseOf(commands)
    .commands.map((words) => showCommand(words, 10_000))
    .join("\n");
  return `DIFFERENTIAL_SEED=${seed}, stream ${number}, ${commands.length} commands left of ${length}:\n${why}\n\nredis-cli FLUSHALL; redis-cli ${protocol === 3 ? "-3 " : ""}<<'END'\n${script}\nEND`;
}
