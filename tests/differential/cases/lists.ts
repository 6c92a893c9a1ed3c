// Lists: every command with every kind of argument, small and large lists, and what OBJECT ENCODING calls them (asked of
// redis 8, as 7.0 has no packed lists).

import { type Case, type Command, lines, stream } from "../harness.ts";

const binary = "\x00\r\n\xff\xfe $5\r\n\x80";
const names =
  "lpush rpush lpushx rpushx lpop rpop llen lrange lindex lset linsert lrem ltrim lpos lmove rpoplpush lmpop".split(
    " ",
  );
const integers = ["0", "1", "2", "5", "6", "100", "-1", "-2", "-6", "-7", "-100"];
const notIntegers = ["x", "", "1.5", "01", "+1", "-0", " 1", "9223372036854775808", "1e3"];
const huge = ["9223372036854775807", "-9223372036854775807", "-9223372036854775808", "9007199254740993"];
/** What listpacks and we keep as integers of every width, and what looks like one and is text. */
const numbers = [
  ...[
    "0",
    "1",
    "-1",
    "47",
    "48",
    "127",
    "128",
    "-128",
    "-129",
    "4095",
    "4096",
    "-4096",
    "-4097",
    "32767",
    "32768",
  ],
  ...[
    "-32768",
    "-32769",
    "8388607",
    "8388608",
    "-8388608",
    "-8388609",
    "2147483647",
    "2147483648",
    "-2147483648",
  ],
  ...["-2147483649", "140737488355327", "140737488355328", "-140737488355329", "9007199254740991"],
  ...["9007199254740992", "-9007199254740992", "9223372036854775807", "-9223372036854775808"],
  ...[
    "9223372036854775808",
    "-9223372036854775809",
    "00",
    "01",
    "-0",
    "+1",
    " 1",
    "1 ",
    "",
    "-",
    "1.0",
    "1e3",
  ],
];
const six = "RPUSH l a b c a b a";
const whole = "LRANGE l 0 -1";

/** A push of `count` elements, distinct for every `from`. */
function filled(name: string, key: string, count: number, bytes: number, from = 0): Command {
  return [name, key, ...Array.from({ length: count }, (_, i) => `${from + i}:`.padEnd(bytes, "x"))];
}

/** The same commands on a list of six elements each time. */
function each(name: string, commands: readonly (string | Command)[]): Case {
  return { name, commands: commands.flatMap((command) => lines("DEL l", six, command, whole)) };
}

/** A case for redis 8 with another list-max-listpack-size. */
function sized(size: string, name: string, ...commands: (string | Command)[]): Case {
  return {
    name: `${name}, list-max-listpack-size ${size}`,
    commands: lines(`CONFIG SET list-max-listpack-size ${size}`, ...commands),
    config: ["list-max-listpack-size"],
    oracle: "8",
  };
}

const pushing: Case[] = [
  ...["LPUSH", "RPUSH", "LPUSHX", "RPUSHX"].flatMap((name): Case[] => [
    stream(`${name} on an absent key`, `${name} l a b c`, whole, `${name} l d`, whole, "LLEN l", "TYPE l"),
    stream(
      `${name} on a list`,
      six,
      `${name} l 1`,
      `${name} l 2 3 x`,
      whole,
      `${name} l ${"y ".repeat(200).trim()}`,
      whole,
    ),
    stream(`${name} arity`, name, `${name} l`, `${name} l a`, "EXISTS l"),
    stream(`${name} on a string`, "SET l x", `${name} l a`, `${name} l a b c`, "GET l"),
    {
      name: `${name} numbers`,
      commands: [
        ["RPUSH", "l", "first"],
        [name, "l", ...numbers],
        ["LRANGE", "l", "0", "-1"],
      ],
    },
    {
      name: `${name} numbers one by one`,
      commands: numbers.flatMap((number): Command[] => [
        ["DEL", "l"],
        ["RPUSH", "l", "x"],
        [name, "l", number],
        ["LRANGE", "l", "0", "-1"],
        ["LPOS", "l", number],
      ]),
    },
    stream(
      `${name} binary`,
      ["RPUSH", "l", ""],
      [name, "l", binary, "", "\x00"],
      whole,
      [name, "", "v"],
      ["LRANGE", "", "0", "-1"],
    ),
    stream(
      `${name} keeps the TTL`,
      six,
      "EXPIRE l 100",
      `${name} l z`,
      "TTL l",
      "PERSIST l",
      `${name} l z`,
      "TTL l",
    ),
    ...[10, 199, 200, 255, 256, 3945, 3946, 4096, 20000, 70000].map((bytes) =>
      stream(
        `${name} elements of ${bytes} bytes`,
        "RPUSH l first",
        filled(name, "l", 3, bytes),
        whole,
        filled(name, "l", 3, bytes, 3),
        "LPOP l",
        "RPOP l",
        whole,
      ),
    ),
    stream(
      `${name} 3,000 elements`,
      "RPUSH l first",
      filled(name, "l", 3000, 12),
      "LLEN l",
      whole,
      "LINDEX l 1500",
      "LINDEX l -1400",
    ),
  ]),
];

const popping: Case[] = [
  ...["LPOP", "RPOP"].flatMap((name): Case[] => [
    stream(
      `${name} to the end`,
      six,
      ...Array.from({ length: 7 }, () => [name, "l"] as Command),
      "EXISTS l",
      "TYPE l",
    ),
    each(
      `${name} counts`,
      [...integers, ...notIntegers, ...huge].map((count) => [name, "l", count]),
    ),
    stream(
      `${name} of an absent key`,
      `${name} l`,
      ...[...integers, ...notIntegers].map((count): Command => [name, "l", count]),
      `${name} l 1 2`,
      name,
    ),
    stream(
      `${name} of a string`,
      "SET l x",
      `${name} l`,
      ...[...integers, ...notIntegers].map((count): Command => [name, "l", count]),
      `${name} l 1 2`,
    ),
    stream(
      `${name} numbers`,
      ["RPUSH", "l", ...numbers],
      ...numbers.map((): Command => [name, "l"]),
      "EXISTS l",
    ),
    stream(`${name} keeps the TTL`, six, "EXPIRE l 100", `${name} l`, `${name} l 2`, "TTL l"),
    ...[1, 7, 100, 999, 1000, 1001, 2999, 3000, 5000].map((count) =>
      stream(
        `${name} ${count} of 3,000`,
        filled("RPUSH", "l", 3000, 12),
        `${name} l ${count}`,
        "LLEN l",
        whole,
      ),
    ),
  ]),
];

const reading: Case[] = [
  stream("LLEN", "LLEN l", six, "LLEN l", "SET s x", "LLEN s", "LLEN", "LLEN l l", "DEL l", "LLEN l"),
  stream(
    "LINDEX",
    six,
    ...[...integers, ...notIntegers, ...huge].map((index): Command => ["LINDEX", "l", index]),
    "LINDEX none 0",
    "LINDEX none x",
    "SET s x",
    "LINDEX s 0",
    "LINDEX s x",
    "LINDEX l",
    "LINDEX l 0 1",
  ),
  ...integers.map((start) =>
    stream(`LRANGE from ${start}`, six, ...integers.map((stop) => `LRANGE l ${start} ${stop}`)),
  ),
  ...[...notIntegers, ...huge].map((odd) =>
    stream(
      `LRANGE with ${JSON.stringify(odd)}`,
      six,
      ["LRANGE", "l", odd, "1"],
      ["LRANGE", "l", "1", odd],
      ["LRANGE", "none", odd, "1"],
      ["LRANGE", "none", "1", odd],
      ["LRANGE", "l", odd, odd],
      ["LTRIM", "none", odd, "1"],
      ["LTRIM", "l", "1", odd],
      whole,
      ["LTRIM", "l", odd, "2"],
      whole,
    ),
  ),
  stream(
    "LRANGE elsewhere",
    "LRANGE none 0 -1",
    "SET s x",
    "LRANGE s 0 -1",
    "LRANGE s x 1",
    "LRANGE l",
    "LRANGE l 0",
    "LRANGE l 0 1 2",
  ),
  ...[
    ["0", "-1"],
    ["0", "99"],
    ["0", "599"],
    ["1000", "1100"],
    ["-100", "-1"],
    ["1990", "2100"],
    ["985", "990"],
    ["2999", "2999"],
    ["3000", "3000"],
  ].map(([start, stop]) =>
    stream(
      `LRANGE ${start} ${stop} of 3,000`,
      filled("RPUSH", "l", 3000, 12),
      `LRANGE l ${start} ${stop}`,
      filled("LPUSH", "m", 3000, 3),
      `LRANGE m ${start} ${stop}`,
    ),
  ),
  stream(
    "LINDEX of 3,000",
    filled("RPUSH", "l", 3000, 12),
    ...Array.from({ length: 61 }, (_, i) => `LINDEX l ${i * 100 - 3001}`),
  ),
];

const ranks = ["", "RANK 1", "RANK 2", "RANK 3", "RANK 4", "RANK -1", "RANK -2", "RANK -4", "rank 100"];
const counts = ["", "COUNT 0", "COUNT 1", "COUNT 2", "COUNT 100", "count 0 COUNT 1"];
const lengths = ["", "MAXLEN 0", "MAXLEN 1", "MAXLEN 3", "MAXLEN 6", "maxlen 100"];
const finding: Case[] = [
  ...ranks.flatMap((rank) =>
    counts.map((count) =>
      stream(
        `LPOS ${rank} ${count}`,
        six,
        ...lengths.flatMap((length) =>
          ["a", "b", "c", "none"].map((element) =>
            `LPOS l ${element} ${rank} ${count} ${length}`.trim().replace(/ +/g, " "),
          ),
        ),
        `LPOS none a ${rank} ${count}`.trim().replace(/ +/g, " "),
      ),
    ),
  ),
  ...["RANK", "COUNT", "MAXLEN"].flatMap((option) => [
    stream(
      `LPOS ${option} arguments`,
      six,
      ...[
        "x",
        "",
        "1.5",
        "-1",
        "-5",
        "0",
        "9223372036854775807",
        "-9223372036854775807",
        "9223372036854775808",
      ].map((value): Command => ["LPOS", "l", "a", option, value]),
      `LPOS l a ${option}`,
      `LPOS none a ${option} 0`,
      `LPOS none a ${option} x`,
      `LPOS l a ${option} 1 nosuch`,
      `LPOS l a nosuch 1 ${option} x`,
    ),
  ]),
  {
    ...stream(
      "the least integer cannot be turned round",
      six,
      "LPOS l a RANK -9223372036854775808",
      "LREM l -9223372036854775808 a",
      "LREM none -9223372036854775808 a",
      whole,
    ),
    oracle: "8",
  },
  stream(
    "LPOS elsewhere",
    "SET s x",
    "LPOS s a",
    "LPOS s a RANK 0",
    "LPOS s a COUNT 1",
    "LPOS",
    "LPOS s",
    "LPOS s a b",
    "LPOS s a b c",
  ),
  stream(
    "LPOS of numbers",
    ["RPUSH", "l", ...numbers, ...numbers],
    ...numbers.map((number): Command => ["LPOS", "l", number, "COUNT", "0"]),
  ),
  stream(
    "LPOS of 3,000",
    filled("RPUSH", "l", 3000, 12),
    ...[0, 1, 987, 988, 1500, 2999, 3000].flatMap((i) => [
      `LPOS l ${`${i}:`.padEnd(12, "x")}`,
      `LPOS l ${`${i}:`.padEnd(12, "x")} RANK -1`,
      `LPOS l ${`${i}:`.padEnd(12, "x")} MAXLEN 1500`,
    ]),
  ),
  ...[
    "0",
    "1",
    "2",
    "3",
    "7",
    "-1",
    "-2",
    "-3",
    "-7",
    ...notIntegers,
    "9223372036854775807",
    "-9223372036854775807",
  ].map((count) =>
    each(
      `LREM ${JSON.stringify(count)}`,
      ["a", "b", "c", "none", "1"].map((element): Command => ["LREM", "l", count, element]),
    ),
  ),
  stream(
    "LREM elsewhere",
    "LREM none 0 a",
    "LREM none x a",
    "SET s x",
    "LREM s 0 a",
    "LREM s x a",
    "LREM l 0",
    "LREM l 0 a b",
  ),
  stream(
    "LREM of all",
    "RPUSH l a a a",
    "LREM l 0 a",
    "EXISTS l",
    "RPUSH l a a a",
    "LREM l -3 a",
    "EXISTS l",
    "RPUSH l a b",
    "EXPIRE l 100",
    "LREM l 1 a",
    "TTL l",
  ),
  stream(
    "LREM of numbers",
    ["RPUSH", "l", ...numbers, ...numbers],
    ...numbers.map((number, i): Command => ["LREM", "l", ["1", "-1", "0"][i % 3]!, number]),
    whole,
  ),
  ...["0", "500", "-500"].map((count) =>
    stream(
      `LREM ${count} of 4,000`,
      [
        "RPUSH",
        "l",
        ...Array.from({ length: 4000 }, (_, i) => (i % 3 === 0 ? "every third" : `${i}:`.padEnd(9, "x"))),
      ],
      `LREM l ${count} every`,
      ["LREM", "l", count, "every third"],
      whole,
      ["LPOS", "l", "every third", "COUNT", "0"],
      ["LREM", "l", count, "every third"],
      whole,
    ),
  ),
];

const changing: Case[] = [
  each(
    "LSET indexes",
    [...integers, ...notIntegers, ...huge].map((index): Command => ["LSET", "l", index, "new"]),
  ),
  stream(
    "LSET elsewhere",
    "LSET none 0 a",
    "LSET none x a",
    "SET s x",
    "LSET s 0 a",
    "LSET s x a",
    "LSET l 0",
    "LSET l 0 a b",
  ),
  stream(
    "LSET numbers",
    six,
    ...numbers.flatMap((number): Command[] => [
      ["LSET", "l", "2", number],
      ["LRANGE", "l", "0", "-1"],
    ]),
  ),
  stream("LSET keeps the TTL", six, "EXPIRE l 100", "LSET l 0 z", "TTL l"),
  ...[0, 1, 63, 64, 199, 200, 3945, 3946, 8192, 70000].map((bytes) =>
    stream(
      `LSET to ${bytes} bytes`,
      filled("RPUSH", "l", 2500, 10),
      ...[0, 1, 700, 1250, 2000, 2499].flatMap((index): Command[] => [
        ["LSET", "l", `${index}`, "v".repeat(bytes)],
        ["LRANGE", "l", `${Math.max(0, index - 2)}`, `${index + 2}`],
      ]),
      ["LLEN", "l"],
      ...[0, 1, 700, 1250, 2000, 2499].map((index): Command => ["LSET", "l", `${index}`, "short"]),
      whole,
    ),
  ),
  ...["BEFORE", "AFTER", "before", "aFter"].flatMap((where) => [
    each(
      `LINSERT ${where}`,
      ["a", "b", "c", "none", "1"].map((pivot) => `LINSERT l ${where} ${pivot} new`),
    ),
    stream(
      `LINSERT ${where} elsewhere`,
      `LINSERT none ${where} a b`,
      "SET s x",
      `LINSERT s ${where} a b`,
      "EXISTS none",
      `LINSERT l ${where} a`,
      `LINSERT l ${where} a b c`,
    ),
    stream(
      `LINSERT ${where} of numbers`,
      ["RPUSH", "l", ...numbers],
      ...numbers.map((number): Command => ["LINSERT", "l", where, number, `by ${number}`]),
      whole,
    ),
    ...[5, 300, 3946, 9000].map((bytes) =>
      stream(
        `LINSERT ${where} of ${bytes} bytes in 2,500`,
        filled("RPUSH", "l", 2500, 10),
        ...[0, 1, 700, 701, 702, 1250, 2000, 2499].flatMap((index): Command[] => [
          ["LINSERT", "l", where, `${index}:`.padEnd(10, "x"), "v".repeat(bytes)],
          ["LINSERT", "l", where, `${index}:`.padEnd(10, "x"), `second of ${index}`],
        ]),
        "LLEN l",
        whole,
      ),
    ),
  ]),
  stream(
    "LINSERT with another word",
    six,
    "LINSERT l x a b",
    ["LINSERT", "l", "", "a", "b"],
    "LINSERT none x a b",
    "SET s x",
    "LINSERT s x a b",
    "EXPIRE l 100",
    "LINSERT l BEFORE a b",
    "TTL l",
  ),
  ...integers.map((start) =>
    each(
      `LTRIM from ${start}`,
      integers.map((stop) => `LTRIM l ${start} ${stop}`),
    ),
  ),
  stream(
    "LTRIM elsewhere",
    "LTRIM none 0 1",
    "LTRIM none x 1",
    "SET s x",
    "LTRIM s 0 1",
    "LTRIM s x 1",
    "LTRIM l 0",
    "LTRIM l 0 1 2",
    six,
    "EXPIRE l 100",
    "LTRIM l 1 -2",
    "TTL l",
    "LTRIM l 5 1",
    "EXISTS l",
  ),
  ...[
    ["0", "0"],
    ["0", "1500"],
    ["100", "-100"],
    ["987", "988"],
    ["1500", "-1"],
    ["2999", "2999"],
    ["3000", "-1"],
  ].map(([start, stop]) =>
    stream(
      `LTRIM ${start} ${stop} of 3,000`,
      filled("RPUSH", "l", 3000, 12),
      `LTRIM l ${start} ${stop}`,
      "LLEN l",
      whole,
      "RPUSH l z",
      "LPUSH l a",
      whole,
    ),
  ),
];

const sides = ["LEFT", "RIGHT"];
const both = ["LRANGE l 0 -1", "LRANGE m 0 -1"];
const moving: Case[] = [
  ...sides.flatMap((from) =>
    sides.flatMap((to): Case[] => [
      stream(
        `LMOVE ${from} ${to}`,
        "RPUSH l a b c 1 2 3",
        `LMOVE l m ${from} ${to}`,
        `LMOVE l m ${from} ${to}`,
        ...both,
        ...Array.from({ length: 5 }, () => `LMOVE l m ${from} ${to}`),
        ...both,
        "EXISTS l m",
      ),
      stream(
        `LMOVE ${from} ${to} in one list`,
        "RPUSH l a b c",
        ...Array.from({ length: 4 }, () => [`LMOVE l l ${from} ${to}`, whole]).flat(),
        "RPUSH m one",
        `LMOVE m m ${from} ${to}`,
        "LRANGE m 0 -1",
      ),
      stream(
        `LMOVE ${from} ${to} of numbers`,
        ["RPUSH", "l", ...numbers],
        ...numbers.map((): Command => ["LMOVE", "l", "m", from, to]),
        ...both,
      ),
      ...[200, 3946, 5000, 40000].map((bytes) =>
        stream(
          `LMOVE ${from} ${to} of ${bytes} bytes`,
          filled("RPUSH", "l", 4, bytes),
          `LMOVE l m ${from} ${to}`,
          `LMOVE l l ${from} ${to}`,
          `LMOVE l l ${from} ${to}`,
          `LMOVE l m ${from} ${to}`,
          ...both,
        ),
      ),
      stream(
        `LMOVE ${from} ${to} between large lists`,
        filled("RPUSH", "l", 2500, 10),
        filled("RPUSH", "m", 1500, 10, 5000),
        ...Array.from({ length: 50 }, () => `LMOVE l m ${from} ${to}`),
        ...Array.from({ length: 50 }, () => `LMOVE m m ${from} ${to}`),
        ...both,
      ),
    ]),
  ),
  ...["LMOVE l m LEFT RIGHT", "RPOPLPUSH l m"].map((move) =>
    stream(
      `${move}: what is checked`,
      move,
      "EXISTS m",
      "SET m x",
      move,
      "RPUSH l a",
      move,
      whole,
      "DEL m",
      "EXPIRE l 100",
      "RPUSH m z",
      "EXPIRE m 200",
      "RPUSH l b",
      move,
      "TTL l",
      "TTL m",
      "DEL l m",
      "SET l x",
      move,
      "SET m x",
      move,
    ),
  ),
  stream(
    "LMOVE words",
    "RPUSH l a b",
    "LMOVE l m x LEFT",
    "LMOVE l m LEFT x",
    "LMOVE l m left Right",
    "LMOVE none m x LEFT",
    "SET s x",
    "LMOVE s m LEFT x",
    "LMOVE l m LEFT",
    "LMOVE l m LEFT LEFT LEFT",
    ["LMOVE", "l", "m", "", "LEFT"],
  ),
  stream(
    "RPOPLPUSH",
    "RPUSH l a b c",
    "RPOPLPUSH l m",
    "RPOPLPUSH l m",
    ...both,
    "RPOPLPUSH l l",
    "RPOPLPUSH m m",
    ...both,
    "RPOPLPUSH l m",
    "EXISTS l",
    "RPOPLPUSH l",
    "RPOPLPUSH l m n",
  ),
  stream(
    "moving between keys of all shards",
    ...Array.from({ length: 40 }, (_, i) => [
      `RPUSH k${i} ${i}`,
      `LMOVE k${i} k${(i * 7 + 3) % 40} LEFT RIGHT`,
    ]).flat(),
    ...Array.from({ length: 40 }, (_, i) => `LRANGE k${i} 0 -1`),
  ),
  ...sides.flatMap((side) => [
    stream(
      `LMPOP ${side}`,
      "RPUSH l a b c",
      "RPUSH m d e f",
      `LMPOP 2 l m ${side}`,
      `LMPOP 2 none m ${side} COUNT 2`,
      `LMPOP 3 none l m ${side} count 10`,
      `LMPOP 2 l m ${side} COUNT 10`,
      `LMPOP 2 l m ${side}`,
      "EXISTS l m",
    ),
    stream(
      `LMPOP ${side} of a key twice`,
      "RPUSH l a b c",
      `LMPOP 2 l l ${side} COUNT 2`,
      `LMPOP 2 l l ${side} COUNT 2`,
      `LMPOP 2 l l ${side} COUNT 2`,
    ),
    stream(
      `LMPOP ${side} and other types`,
      "SET s x",
      "RPUSH l a b",
      `LMPOP 2 s l ${side}`,
      `LMPOP 2 l s ${side}`,
      `LMPOP 2 none s ${side}`,
      `LMPOP 1 s ${side}`,
    ),
    ...[1, 900, 2999, 3000, 4000].map((count) =>
      stream(
        `LMPOP ${side} ${count} of 3,000`,
        filled("RPUSH", "l", 3000, 12),
        `LMPOP 1 l ${side} COUNT ${count}`,
        "LLEN l",
        whole,
      ),
    ),
    stream(
      `LMPOP ${side} counts`,
      ...[...integers, ...notIntegers, ...huge].flatMap((count): Command[] => [
        ["DEL", "l"],
        ["RPUSH", "l", "a", "b", "c"],
        ["LMPOP", "1", "l", side, "COUNT", count],
      ]),
    ),
  ]),
  stream(
    "LMPOP numkeys",
    "RPUSH l a b c",
    ...[...integers, ...notIntegers, ...huge].map((count): Command => ["LMPOP", count, "l", "LEFT"]),
    ...[...integers, ...notIntegers].map((count): Command => ["LMPOP", count, "l", "m", "x"]),
  ),
  stream(
    "LMPOP syntax",
    "RPUSH l a b c",
    "LMPOP 1 l",
    "LMPOP 1 l x",
    "LMPOP 1 l LEFT COUNT",
    "LMPOP 1 l LEFT x 1",
    "LMPOP 1 l LEFT COUNT 1 COUNT 1",
    "LMPOP 1 l LEFT COUNT 1 x",
    "LMPOP 2 l LEFT",
    "LMPOP 2 l LEFT COUNT 1",
    "LMPOP 1 LEFT LEFT",
    "LMPOP 3 l m LEFT",
    "LMPOP",
  ),
];

const others: Case[] = [
  ...names.map((name) =>
    stream(
      `arity of ${name}`,
      name,
      `${name} l`,
      `${name} l 1`,
      `${name} l 1 LEFT`,
      `${name} l 1 2 3 4 5 6 7`,
    ),
  ),
  stream("COMMAND INFO of lists", `COMMAND INFO ${names.join(" ")}`),
  stream(
    "COMMAND GETKEYS of lists",
    "COMMAND GETKEYS LMOVE a b LEFT RIGHT",
    "COMMAND GETKEYS LMPOP 2 a b LEFT",
    "COMMAND GETKEYS LPUSH a b c",
    "COMMAND GETKEYS RPOPLPUSH a b",
  ),
  ...[5, 2500].map((count) =>
    stream(
      `keyspace commands on a list of ${count}`,
      filled("RPUSH", "l", count, 12),
      "TYPE l",
      "GET l",
      "STRLEN l",
      "INCR l",
      "APPEND l x",
      "GETRANGE l 0 1",
      "MGET l l",
      "COPY l m",
      "LPUSH m z",
      "LLEN l",
      "LLEN m",
      "LRANGE m 0 -1",
      "COPY l m",
      "COPY l m REPLACE",
      "LRANGE m 0 -1",
      "RENAME l n",
      "LRANGE n 0 -1",
      "EXPIRE n 100",
      "TTL n",
      "LPUSH n z",
      "TTL n",
      "PERSIST n",
      "MOVE n 1",
      "SELECT 1",
      "LRANGE n 0 -1",
      "COPY n back DB 0",
      "SELECT 0",
      "LRANGE back 0 -1",
      "SET back string",
      "GET back",
      "SETNX m x",
      "GETSET m x",
      "SET m x GET",
      "GETDEL m",
      "DEL m",
      "EXISTS m n back",
      "RPUSH o a",
      "SET o b",
      "GET o",
      "SCAN 0 COUNT 1000 TYPE list",
      "DBSIZE",
      "EXPIRE back -1",
      "DBSIZE",
      "UNLINK m n back",
      "RPUSH o a",
    ),
  ),
];

const encoding = "OBJECT ENCODING l";
/** Every removal that can make a list small again, on a list that the pushes before made large. */
const shrinking = [
  "LPOP l",
  "RPOP l",
  "LTRIM l 1 -1",
  "LTRIM l 0 -2",
  "LREM l 1 e",
  "LREM l -1 e",
  "LMPOP 1 l LEFT",
  "LMOVE l m LEFT LEFT",
];
const encodings: Case[] = [
  ...["1", "2", "3", "4", "5", "8", "128"].flatMap((size): Case[] => [
    ...["LPUSH", "RPUSH"].map((push) =>
      sized(
        size,
        `${push} until large`,
        ...Array.from({ length: Math.min(140, Number(size) + 2) }, () => [`${push} l e`, encoding]).flat(),
      ),
    ),
    sized(
      size,
      "a push of many",
      ["RPUSH", "l", ...Array.from({ length: Number(size) }, () => "e")],
      encoding,
      ["RPUSH", "l", "e", "e"],
      encoding,
      "DEL l",
      ["RPUSH", "l", ...Array.from({ length: Number(size) + 1 }, () => "e")],
      encoding,
    ),
    ...shrinking.map((one) =>
      sized(
        size,
        `${one} until small`,
        ["RPUSH", "l", ...Array.from({ length: Number(size) + 1 }, () => "e")],
        encoding,
        ...Array.from({ length: Number(size) + 1 }, () => [one, encoding, "LLEN l"]).flat(),
      ),
    ),
    sized(
      size,
      "LINSERT and LSET",
      ["RPUSH", "l", ...Array.from({ length: Number(size) }, () => "e")],
      "LSET l 0 f",
      encoding,
      "LSET l 100000 f",
      encoding,
      "LINSERT l BEFORE none x",
      encoding,
    ),
  ]),
  ...[
    ["-1", 4096],
    ["-2", 8192],
    ["-3", 16384],
    ["-4", 32768],
    ["-5", 65536],
    ["-9", 65536],
  ].flatMap(([size, limit]): Case[] => {
    const most = Number(limit);
    return [
      ...[-30, -12, -11, -10, -9, -8, -7, -6, -1, 0, 1].map((off) =>
        sized(
          `${size}`,
          `one element of ${most + off} bytes`,
          ["RPUSH", "l", "v".repeat(most + off)],
          encoding,
          "RPUSH l 1",
          encoding,
          "RPUSH l 127 128 -1 x",
          encoding,
          ["LPUSH", "l", "12345678901234567890"],
          encoding,
        ),
      ),
      ...[
        "7",
        "100",
        "-4096",
        "4097",
        "100000",
        "10000000",
        "9007199254740993",
        "abc",
        "v".repeat(63),
        "v".repeat(64),
        "v".repeat(125),
        "v".repeat(126),
      ].map((element) => {
        // Pushed one by one around where it becomes large: entries are 2 to 129 bytes.
        const entries = /^-?\d+$/.test(element)
          ? ({ "7": 2, "100": 2, "-4096": 3, "4097": 4, "100000": 5, "10000000": 6 }[element] ?? 10)
          : element.length + (element.length < 64 ? 2 : element.length < 126 ? 3 : 4);
        const near = Math.floor((most - 7) / entries) - 12;
        return sized(
          `${size}`,
          `elements like ${element.slice(0, 20)} (${element.length})`,
          ...Array.from(
            { length: Math.ceil(near / 200) },
            (_, i): Command => [
              "RPUSH",
              "l",
              ...Array.from({ length: Math.min(200, near - i * 200) }, () => element),
            ],
          ),
          encoding,
          ...Array.from({ length: 24 }, (): Command[] => [
            ["RPUSH", "l", element],
            ["OBJECT", "ENCODING", "l"],
          ]).flat(),
          "LLEN l",
        );
      }),
      sized(
        `${size}`,
        "back from the end",
        ...Array.from({ length: Math.ceil(most / 2000) + 1 }, () => filled("RPUSH", "l", 100, 20)),
        encoding,
        `LTRIM l 0 ${Math.floor((most / 2 - 7) / 22) + 3}`,
        encoding,
        ...Array.from({ length: 8 }, () => ["RPOP l", encoding]).flat(),
        "LLEN l",
      ),
      sized(
        `${size}`,
        "LSET of a large element and back",
        "RPUSH l a b c",
        ["LSET", "l", "1", "v".repeat(most)],
        encoding,
        "LSET l 1 b",
        encoding,
        ["LINSERT", "l", "BEFORE", "none", "v".repeat(most)],
        encoding,
        "LREM l 0 none",
        encoding,
        "LTRIM l 0 -1",
        encoding,
        whole,
      ),
      sized(
        `${size}`,
        "LMOVE of a large element",
        "RPUSH m a b c",
        ["RPUSH", "l", "v".repeat(most)],
        "LMOVE l m LEFT RIGHT",
        "OBJECT ENCODING m",
        "EXISTS l",
        "LMOVE m l RIGHT LEFT",
        "OBJECT ENCODING m",
        encoding,
        "LMOVE m l RIGHT LEFT",
        encoding,
      ),
    ];
  }),
];

const sooner: Case = {
  ...sized(
    "-2",
    "the front of a large list is removed",
    ...Array.from({ length: 5 }, () => filled("RPUSH", "l", 100, 20)),
    encoding,
    "LTRIM l 350 -1",
    encoding,
    "LTRIM l 100 -1",
    encoding,
  ),
  expect: { 8: "$8\r\nlistpack\r\n" },
  why: "of 150 elements redis 8 keeps 22 in a node of their own, and says quicklist until that node is gone; all of them are less than half of what a small list may have",
};

export const listCases: Case[] = [
  ...pushing,
  ...popping,
  ...reading,
  ...finding,
  ...changing,
  ...moving,
  ...others,
  ...encodings,
  sooner,
];
