// HyperLogLog: the bytes of the strings after every kind of change, estimates, and every error text. `PFADD` of chosen
// registers is a PFMERGE with a string made by hand that holds just those.

import { type Case, type Command, stream } from "../harness.ts";
import { kindOnly } from "../normalise.ts";

const header = `HYLL\x01${"\x00".repeat(11)}`;
const stale = `HYLL\x01${"\x00".repeat(10)}\x80`;

const zeros = (run: number): string =>
  run <= 64 ? String.fromCharCode(run - 1) : String.fromCharCode(0x40 | ((run - 1) >> 8), (run - 1) & 255);
const longZeros = (run: number): string => String.fromCharCode(0x40 | ((run - 1) >> 8), (run - 1) & 255);
const value = (rank: number, run = 1): string => String.fromCharCode(0x80 | ((rank - 1) << 2) | (run - 1));

/** A sparse string in which one register has a value. */
function single(register: number, rank: number): string {
  const before = register === 0 ? "" : zeros(register);
  return header + before + value(rank) + (register === 16383 ? "" : zeros(16383 - register));
}

/** A dense string with these registers, all others 0. */
function dense(registers: Readonly<Record<number, number>>): string {
  const bytes = new Uint8Array(12304);
  bytes.set(Buffer.from("HYLL\x00", "latin1"));
  bytes[15] = 0x80;
  for (const [register, rank] of Object.entries(registers)) {
    const bit = Number(register) * 6;
    for (let i = 0; i < 6; i++)
      if (((rank >> i) & 1) === 1) bytes[16 + ((bit + i) >> 3)] |= 1 << ((bit + i) & 7);
  }
  return Buffer.from(bytes).toString("latin1");
}

const elements = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `element:${from + i}`);

/** Everything there is to see of a string. */
const look = (key: string): Command[] => [
  ["GET", key],
  ["PFCOUNT", key],
  ["GET", key],
  ["PFDEBUG", "ENCODING", key],
  ["PFDEBUG", "DECODE", key],
];

const adding: Case[] = [
  ...[1, 2, 3, 5, 10, 30, 100, 200, 400, 600, 800, 900, 1000, 1200, 1500, 2000, 5000, 20000].map((count) => ({
    name: `PFADD of ${count} elements`,
    commands: [
      ...Array.from(
        { length: Math.ceil(count / 500) },
        (_, i): Command => ["PFADD", "a", ...elements(i * 500, Math.min(count, i * 500 + 500))],
      ),
      ...look("a"),
      ["PFADD", "a", ...elements(0, Math.min(count, 20))],
      ["GET", "a"],
      ["PFADD", "a", "one more"],
      ...look("a"),
    ],
  })),
  {
    name: "PFADD one by one, the bytes each time",
    commands: elements(0, 150).flatMap((element): Command[] => [
      ["PFADD", "a", element],
      ["GET", "a"],
    ]),
  },
  {
    name: "PFADD one by one until it is dense",
    commands: elements(0, 1800).flatMap((element, i): Command[] =>
      i % 50 === 0
        ? [
            ["PFADD", "a", element],
            ["GET", "a"],
          ]
        : [["PFADD", "a", element]],
    ),
  },
  ...Array.from({ length: 36 }, (_, bytes) => ({
    name: `PFADD of elements of ${bytes} bytes`,
    commands: [
      ["PFADD", "a", "x".repeat(bytes)],
      ["PFADD", "a", "\xff".repeat(bytes), "\x00".repeat(bytes), "\x80".repeat(bytes)],
      ["PFADD", "a", ...Array.from({ length: 12 }, (_, i) => Buffer.alloc(bytes, i * 37 + bytes))],
      ["PFADD", "a", ...Array.from({ length: 12 }, (_, i) => "abcdefghijklm".repeat(4).slice(i, i + bytes))],
      ["GET", "a"],
      ["PFDEBUG", "DECODE", "a"],
    ],
  })),
  ...[
    "0",
    "15",
    "16",
    "17",
    "18",
    "19",
    "20",
    "21",
    "22",
    "25",
    "40",
    "100",
    "255",
    "256",
    "1000",
    "12304",
    "20000",
  ].map(
    (most): Case => ({
      name: `PFADD and PFMERGE with hll-sparse-max-bytes ${most}`,
      commands: [
        ["CONFIG", "SET", "hll-sparse-max-bytes", most],
        ["CONFIG", "GET", "hll-sparse-max-bytes"],
        ["PFADD", "empty"],
        ...look("empty"),
        ...elements(0, 12).flatMap((element): Command[] => [
          ["PFADD", "a", element],
          ["GET", "a"],
        ]),
        ["PFADD", "b", ...elements(10, 300)],
        ...look("b"),
        ["PFADD", "c", ...elements(300, 3000)],
        ...look("c"),
        ["PFMERGE", "d", "a", "b"],
        ["GET", "d"],
        ["PFMERGE", "a", "b"],
        ["GET", "a"],
      ],
      config: ["hll-sparse-max-bytes"],
    }),
  ),
  ...["3000", "3kb", "0", "-1", "x", "", "9223372036854775807", "9223372036854775808", "12 304"].map(
    (most): Case => ({
      name: `CONFIG SET hll-sparse-max-bytes ${JSON.stringify(most)}`,
      commands: [
        ["CONFIG", "SET", "hll-sparse-max-bytes", most],
        ["CONFIG", "GET", "hll-sparse-max-bytes"],
      ],
      config: ["hll-sparse-max-bytes"],
    }),
  ),
  stream(
    "PFADD without elements creates, and changes nothing afterwards",
    "PFADD a",
    "GET a",
    "STRLEN a",
    "OBJECT ENCODING a",
    "TYPE a",
    "PFADD a",
    "PFCOUNT a",
    "GET a",
    "PFADD a",
    "GET a",
  ),
  stream(
    "PFADD of the same and of nothing new keeps the estimate",
    "PFADD a x y z",
    "PFCOUNT a",
    "GET a",
    "PFADD a x",
    "GET a",
    "PFADD a w",
    "GET a",
    "PFCOUNT a",
    "PFADD a x x x",
  ),
  stream(
    "HyperLogLogs keep their deadline and become raw",
    "PFADD a x EX",
    "EXPIREAT a 4102444800",
    "PFADD a y",
    "EXPIRETIME a",
    "PFCOUNT a",
    "EXPIRETIME a",
    "PFMERGE a b",
    "EXPIRETIME a",
    "PFDEBUG TODENSE a",
    "EXPIRETIME a",
    "PFADD a z",
    "EXPIRETIME a",
    "OBJECT ENCODING a",
  ),
  ...(["PFADD a", "PFADD a x", "PFCOUNT a", "PFMERGE a", "PFDEBUG ENCODING a", "PFCOUNT a b"] as const).map(
    (command): Case => ({
      name: `a string that was SET is raw after ${command}, or not`,
      commands: [
        ["SET", "a", single(5, 3)],
        ["OBJECT", "ENCODING", "a"],
        command.split(" "),
        ["OBJECT", "ENCODING", "a"],
        ["GET", "a"],
      ],
    }),
  ),
];

/** A pseudo-random sequence, the same each time. */
function sequence(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Raises registers of a small window one at a time: every way of splitting and joining runs. */
function raising(window: number, from: number, ranks: number, seed: number): Case {
  const below = sequence(seed);
  return {
    name: `registers ${from} to ${from + window - 1} raised to ranks up to ${ranks}, sequence ${seed}`,
    commands: Array.from({ length: 70 }, (): Command[] => [
      ["SET", "one", single(from + below(window), 1 + below(ranks))],
      ["PFMERGE", "a", "one"],
      ["GET", "a"],
    ]).flat(),
  };
}

const runs: Case[] = [
  ...[0, 100, 16383 - 9].flatMap((from) => [1, 2, 3].map((seed) => raising(10, from, 2, seed + from))),
  ...[0, 4000, 16383 - 200].flatMap((from) => [4, 5].map((seed) => raising(200, from, 3, seed + from))),
  ...[6, 7, 8].map((seed) => raising(4, 50, 32, seed)),
  ...[9, 10].map((seed) => raising(16384, 0, 5, seed)),
  ...[63, 64, 65, 66, 128, 129, 130, 256, 257].map((at) => ({
    name: `runs of zeros split at ${at}`,
    commands: [at - 1, at, at + 1, 16383 - at, 2 * at].flatMap((register): Command[] => [
      ["SET", "one", single(register, 1)],
      ["PFMERGE", "a", "one"],
      ["GET", "a"],
      ["PFMERGE", "b", "b", "one"],
      ["GET", "b"],
      ["DEL", "b"],
    ]),
  })),
  ...[
    ["runs of one value that could be joined", value(1) + value(1) + value(1, 2) + value(1) + zeros(16379)],
    ["full runs", value(2, 4) + value(2, 4) + value(2, 3) + zeros(16373)],
    ["long runs of few zeros", longZeros(1) + longZeros(64) + longZeros(1) + zeros(16318)],
    ["single zeros", zeros(1).repeat(10) + zeros(16374)],
    ["zeros that are not joined", zeros(64).repeat(256)],
    ["nothing but values", value(7, 4).repeat(4096)],
  ].map(([name, bytes]) => ({
    name: `PFADD and PFMERGE into ${name}`,
    commands: [
      ["SET", "a", stale + bytes],
      ...look("a"),
      ...[0, 1, 2, 3, 4, 5, 6, 10, 11, 64, 65, 66, 67, 9000, 16383].flatMap((register): Command[] => [
        ["SET", "one", single(register, 2)],
        ["PFMERGE", "a", "one"],
        ["GET", "a"],
        ["SET", "one", single(register, 1)],
        ["PFMERGE", "a", "one"],
        ["GET", "a"],
      ]),
      ["PFADD", "a", ...elements(0, 30)],
      ...look("a"),
    ],
  })),
];

const sizes = [0, 1, 20, 300, 900, 3000];
const merging: Case[] = [
  ...sizes.flatMap((one) =>
    sizes.map((two) => ({
      name: `PFMERGE of ${one} and ${two} elements`,
      commands: [
        ["PFADD", "a", ...elements(0, one)],
        ["PFADD", "b", ...elements(Math.floor(one / 2), Math.floor(one / 2) + two)],
        ["PFCOUNT", "a", "b"],
        ["PFCOUNT", "b", "nosuch", "a", "b"],
        ["PFMERGE", "c", "a", "b"],
        ["GET", "c"],
        ["PFCOUNT", "c"],
        ["PFMERGE", "a", "b"],
        ["GET", "a"],
        ["OBJECT", "ENCODING", "a"],
        ["GET", "b"],
      ],
    })),
  ),
  stream(
    "PFMERGE of nothing",
    "PFMERGE a",
    "GET a",
    "PFMERGE b nosuch nosuch2",
    "GET b",
    "PFCOUNT b",
    "PFMERGE b",
    "GET b",
    "PFCOUNT nosuch",
    "PFCOUNT nosuch nosuch2",
    "EXISTS nosuch",
  ),
  stream("PFMERGE into itself", "PFADD a x y", "PFCOUNT a", "PFMERGE a a a", "GET a", "PFCOUNT a"),
  {
    name: "dense registers of every rank",
    commands: [
      ["SET", "a", dense(Object.fromEntries(Array.from({ length: 16384 }, (_, i) => [i, i % 64])))],
      ["PFCOUNT", "a"],
      ["GET", "a"],
      ["PFDEBUG", "GETREG", "a"],
      ["PFADD", "a", ...elements(0, 500)],
      ["GET", "a"],
      ["PFADD", "b", ...elements(0, 500)],
      ["PFCOUNT", "a", "b"],
      ["PFMERGE", "b", "a"],
      ["GET", "b"],
    ],
  },
  ...[1, 2, 10, 31, 40, 49, 50, 51, 52, 63].map((rank) => ({
    name: `estimates of registers of rank ${rank}`,
    commands: [
      ["SET", "a", dense({ 0: rank, 16383: rank })],
      ["PFCOUNT", "a"],
      ["GET", "a"],
      ["SET", "b", dense(Object.fromEntries(Array.from({ length: 16384 }, (_, i) => [i, rank])))],
      ["PFCOUNT", "b"],
      ["GET", "b"],
      ["PFCOUNT", "a", "b"],
      [
        "SET",
        "c",
        dense(Object.fromEntries(Array.from({ length: 16384 }, (_, i) => [i, i < 9000 ? rank : 12]))),
      ],
      ["PFCOUNT", "c"],
      ["PFCOUNT", "c", "a"],
      ["GET", "c"],
    ],
  })),
  {
    name: "estimates that are remembered are believed",
    commands: [
      "\x01\x00\x00\x00\x00\x00\x00\x00",
      "\xff\xff\xff\xff\xff\xff\xff\x7f",
      "\xff\xff\xff\xff\xff\xff\x1f\x00",
      "\x00\x00\x00\x00\x00\x00\x20\x00",
      "\x01\x00\x00\x00\x00\x00\x20\x00",
      "\x00\x00\x00\x00\x00\x00\x00\x80",
    ].flatMap((count): Command[] => [
      ["SET", "a", `HYLL\x01\x00\x00\x00${count}${zeros(16384)}`],
      ["PFCOUNT", "a"],
      ["GET", "a"],
    ]),
  },
];

/** Strings that are no HyperLogLogs, or bad ones. */
const corrupt: Readonly<Record<string, string>> = {
  empty: "",
  "a number": "123",
  "a long number": "1234567890123456789",
  "a short header": header.slice(0, 15),
  "another word": `HYLX${header.slice(4)}${zeros(16384)}`,
  "a header without runs": header,
  "encoding 2": `HYLL\x02${header.slice(5)}${zeros(16384)}`,
  "encoding 255": `HYLL\xff${header.slice(5)}${zeros(16384)}`,
  "a dense header and sparse length": `HYLL\x00${header.slice(5)}${zeros(16384)}`,
  "dense, one byte short": dense({}).slice(0, -1),
  "dense, one byte more": `${dense({})}\x00`,
  "one register short": stale + zeros(16383),
  "one register more": stale + zeros(16384) + zeros(1),
  "one value more": stale + zeros(16384) + value(3),
  "a value across the end": stale + zeros(16383) + value(3, 2),
  "twice the registers": stale + zeros(16384) + zeros(16384),
  "a long run cut off": `${stale}\x7f`,
  "a long run cut off after others": `${stale}${zeros(16383)}\x40`,
  "a long run cut off too short": `${stale}${zeros(16000)}\x40`,
  "a short run of zeros": `${stale}\x00`,
  "a short run of values": stale + value(32, 4),
  "values all over": stale + "\xff".repeat(200),
  "zeros all over": stale + "\x00".repeat(300),
  "unused bytes that are used": `HYLL\x01abc${header.slice(8)}${zeros(16384)}`,
  "registers short, estimate remembered": header + zeros(100),
};

const errors: Case[] = [
  ...Object.entries(corrupt).map(([name, bytes]) => ({
    name: `every command on ${name}`,
    commands: [
      ["PFADD", "good", "x", "y"],
      ...[
        ["PFADD", "bad"],
        ["PFCOUNT", "bad"],
        ["PFCOUNT", "good", "bad"],
        ["PFCOUNT", "nosuch", "bad"],
        ["PFMERGE", "bad"],
        ["PFMERGE", "bad", "good"],
        ["PFMERGE", "good", "bad"],
        ["PFMERGE", "new", "bad"],
        ["PFDEBUG", "ENCODING", "bad"],
        ["PFDEBUG", "DECODE", "bad"],
        ["PFDEBUG", "TODENSE", "bad"],
        ["PFDEBUG", "GETREG", "bad"],
        ["PFDEBUG", "nosuch", "bad"],
        ["PFADD", "bad", "c"],
        ["PFADD", "bad", "a", "b", "c", "d"],
        ["PFADD", "bad", ...elements(0, 60)],
      ].flatMap((command): Command[] => [["SET", "bad", bytes], command, ["GET", "bad"]]),
      ["GET", "good"],
      ["EXISTS", "new"],
    ],
  })),
  ...["GETREG", "getreg", "DECODE", "ENCODING", "TODENSE", "nosuch", "", "get reg"].map((subcommand) => ({
    name: `PFDEBUG ${JSON.stringify(subcommand)}`,
    commands: [
      ["PFDEBUG", subcommand, "nosuch"],
      ["PFADD", "a", "x", "y", "z"],
      ["PFDEBUG", subcommand, "a"],
      ["GET", "a"],
      ["PFDEBUG", subcommand, "a"],
      ["PFDEBUG", "TODENSE", "a"],
      ["PFDEBUG", subcommand, "a"],
      ["PFDEBUG", subcommand],
      ["PFDEBUG", subcommand, "a", "b"],
    ],
  })),
  { name: "PFSELFTEST", commands: [["PFSELFTEST"], ["PFSELFTEST", "x"]], normalise: kindOnly },
];

export const hyperloglogCases: Case[] = [...adding, ...runs, ...merging, ...errors];
