// Expiry: the EXPIRE family with every condition, TTL readings, deadlines past and out of range.

import { type Case, type Command, lines, stream } from "../harness.ts";
import { exact } from "../normalise.ts";

/** Per command: a time nearer than 500 s, one farther, one in the past, and times out of range. */
const families: Record<string, { near: string; far: string; past: string[] }> = {
  EXPIRE: { near: "100", far: "1000000000", past: ["0", "-1", "-100"] },
  PEXPIRE: { near: "100000", far: "1000000000000", past: ["0", "-1", "-100000"] },
  EXPIREAT: { near: "4102444800", far: "4202444800", past: ["0", "-1", "1", "1000000000"] },
  PEXPIREAT: { near: "4102444800123", far: "4202444800123", past: ["0", "-1", "1", "1000000000000"] },
};
const flags = ["NX", "XX", "GT", "LT"];
const flagLists = [
  "",
  ...flags,
  ...flags.flatMap((one) => flags.map((two) => `${one} ${two}`)),
  "NX XX GT",
  "XX GT LT",
  "NX XX GT LT",
  "XX XX XX",
  "nosuch",
  "NX nosuch",
  "nx",
  "xX gT",
  "KEEPTTL",
  "100",
];

/** The command with these flags on keys: absent, without deadline, with an earlier, an equal and a later one. */
function conditionRows(name: string, time: string, options: string): Command[] {
  const call = (key: string) => `${name} ${key} ${time} ${options}`.trim();
  return lines(
    "SET plain v",
    "SET early v",
    "PEXPIREAT early 4002444800000",
    "SET late v",
    "PEXPIREAT late 4302444800000",
    "SET soon v EX 50",
    call("none"),
    "EXISTS none",
    call("plain"),
    "PTTL plain",
    call("early"),
    "PTTL early",
    call("late"),
    "PTTL late",
    call("soon"),
    "PTTL soon",
    "DBSIZE",
  );
}

const conditions: Case[] = Object.entries(families).flatMap(([name, { near, far, past }]) =>
  [near, far, past[1]].flatMap((time) =>
    flagLists.map((options) => ({
      name: `${name} ${time} ${options}`.trim(),
      commands: conditionRows(name, time, options),
    })),
  ),
);

const times = [
  "9223372036854775807",
  "9223372036854775808",
  "-9223372036854775808",
  "-9223372036854775809",
  "9223372036854775",
  "9223372036854776",
  "-9223372036854775",
  "-9223372036854776",
  "9223370000000000",
  "92233720368547758",
  "x",
  "",
  "1.5",
  "1e3",
  "+5",
  " 5",
  "05",
  "-0",
  "0x10",
  "99999999999999999999",
];
const extremes: Case[] = Object.entries(families).flatMap(([name, { past }]) =>
  [...times, ...past].map((time) => ({
    name: `${name} with the time ${JSON.stringify(time)}`,
    commands: [
      ["SET", "a", "v"],
      [name, "a", time],
      ["PTTL", "a"],
      ["EXISTS", "a"],
      [name, "none", time],
      ["SET", "b", "v", "EX", "100"],
      [name, "b", time, "GT"],
      ["PTTL", "b"],
      [name, "b", time, "LT"],
      ["EXISTS", "b"],
      [name, "none", time, "nosuch"],
      [name, "a", time, "NX", "XX"],
    ] as Command[],
  })),
);

const readings: Case[] = [
  stream(
    "TTL and friends of nothing and of a key without deadline",
    "TTL none",
    "PTTL none",
    "EXPIRETIME none",
    "PEXPIRETIME none",
    "SET a v",
    "TTL a",
    "PTTL a",
    "EXPIRETIME a",
    "PEXPIRETIME a",
    "PERSIST none",
    "PERSIST a",
  ),
  {
    ...stream(
      "EXPIRETIME rounds as TTL does",
      ...["4102444800000", "4102444800001", "4102444800499", "4102444800500", "4102444800999"].flatMap(
        (at) => ["SET a v", `PEXPIREAT a ${at}`, "EXPIRETIME a", "PEXPIRETIME a"],
      ),
    ),
    normalise: exact,
  },
  stream(
    "TTL rounds half up",
    "SET a v PX 100400",
    "TTL a",
    "PTTL a",
    "SET a v PX 100900",
    "TTL a",
    "PEXPIRE a 1200",
    "TTL a",
    "PEXPIRE a 1900",
    "TTL a",
  ),
  stream("PERSIST", "SET a v EX 100", "PERSIST a", "TTL a", "PERSIST a", "PERSIST none", "GET a"),
  {
    ...stream(
      "EXPIREAT reads back exactly",
      "SET a v",
      "EXPIREAT a 4102444800",
      "PEXPIRETIME a",
      "EXPIRETIME a",
      "PEXPIREAT a 4102444800777",
      "PEXPIRETIME a",
      "EXPIRETIME a",
      "EXPIREAT a 4102444801 GT",
      "PEXPIRETIME a",
      "PEXPIREAT a 4102444801000 GT",
      "PEXPIREAT a 4102444801000 LT",
      "PEXPIREAT a 4102444801001 GT",
      "PEXPIRETIME a",
    ),
    normalise: exact,
  },
  stream(
    "what keeps a deadline and what clears it",
    ...[
      "APPEND a x",
      "SETRANGE a 0 y",
      "GETSET a z",
      "SET a w",
      "SET a w KEEPTTL",
      "MSET a w",
      "SETNX a w",
      "GETEX a",
      "GETEX a PERSIST",
      "PERSIST a",
      "RENAME a b",
      "COPY a b",
      "TOUCH a",
      "GET a",
      "OBJECT ENCODING a",
    ].flatMap((write) => ["DEL a b", "SET a v EX 100", write, "TTL a", "TTL b"]),
  ),
  stream(
    "INCR family keeps a deadline",
    ...["INCR a", "DECR a", "INCRBY a 5", "DECRBY a 5", "INCRBYFLOAT a 0.5"].flatMap((write) => [
      "SET a 1 EX 100",
      write,
      "TTL a",
    ]),
  ),
  {
    ...stream(
      "a deadline passes",
      "SET a v PX 20",
      "SET b v",
      "PEXPIRE b 20",
      "EXISTS a b",
      "DEBUG SLEEP 0.06",
      "EXISTS a b",
      "GET a",
      "TTL a",
      "PTTL b",
      "DBSIZE",
      "KEYS *",
      "SET a w",
      "TTL a",
      "GET a",
    ),
  },
  {
    ...stream(
      "a deadline passes under each reader",
      ...[
        "GET a",
        "STRLEN a",
        "EXISTS a",
        "TYPE a",
        "TTL a",
        "GETRANGE a 0 -1",
        "MGET a",
        "OBJECT ENCODING a",
        "SETNX a w",
        "INCR a",
        "APPEND a w",
        "GETDEL a",
        "GETEX a",
        "SET a w XX",
        "SET a w GET",
        "RENAME a b",
        "COPY a b",
        "PERSIST a",
        "EXPIRE a 100",
        "TOUCH a",
        "DEL a",
        "UNLINK a",
        "MOVE a 1",
        "SETRANGE a 1 x",
        "GETSET a w",
        "LCS a a",
        "RANDOMKEY",
        "SCAN 0",
        "INCRBYFLOAT a 1",
        "MSETNX a 1",
      ].flatMap((reader) => ["FLUSHALL", "SET a v PX 1", "DEBUG SLEEP 0.003", reader]),
    ),
  },
];

/** A deadline moves with its key over connections. */
const together: Case[] = [
  {
    name: "a deadline set by one connection is seen by another",
    steps: [
      { on: "a", commands: lines("SET k v EX 100") },
      { on: "b", commands: lines("TTL k", "PERSIST k") },
      { on: "a", commands: lines("TTL k", "PEXPIREAT k 1") },
      { on: "b", commands: lines("EXISTS k", "SETNX k w", "TTL k") },
    ],
  },
];

export const expiryCases: Case[] = [...conditions, ...extremes, ...readings, ...together];
