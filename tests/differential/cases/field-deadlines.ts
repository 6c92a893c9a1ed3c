// Deadlines of fields: HEXPIRE and its kin, HGETEX, HSETEX, HGETDEL against 8.0, which orders a packed hash by deadline:
// those replies are compared byte for byte.
// A field past its deadline is absent to us at once. 8.0 goes on answering some writes as if it were there until it has
// removed it; what we say there is hand-written.

import { fieldCommands } from "../commands.ts";
import { type Case, type Command, lines, stream } from "../harness.ts";
import { exact } from "../normalise.ts";

const settings = ["hash-max-listpack-entries", "hash-max-listpack-value"];
const few = ["a", "1", "b", "two", "c", "3.5", "d", ""];
const long = "x".repeat(65);

const forms: Record<string, Command[]> = {
  none: [],
  text: [["SET", "k", "v"]],
  packed: [["HSET", "k", ...few]],
  timed: [
    ["HSET", "k", ...few],
    ["HPEXPIREAT", "k", "4102444800000", "FIELDS", "1", "b"],
    ["HPEXPIREAT", "k", "4102444700000", "FIELDS", "1", "d"],
  ],
  pages: [["HSET", "k", ...few, "long", long]],
  timedPages: [
    ["HSET", "k", ...few, "long", long],
    ["HPEXPIREAT", "k", "4102444800000", "FIELDS", "2", "b", "long"],
    ["HPEXPIREAT", "k", "4102444700000", "FIELDS", "1", "d"],
  ],
};
const ordered = ["none", "text", "packed", "timed"];

const look = lines(
  "TYPE k",
  "OBJECT ENCODING k",
  "HLEN k",
  "HGETALL k",
  "HPEXPIRETIME k FIELDS 7 a b c d e long z",
);

const far = "4102444750000";
const tried: Record<string, string[]> = {
  HPEXPIREAT: [
    ...["", "X NX", "X XX", "X GT", "X LT"].map((flag) =>
      `${far} ${flag.slice(2)} FIELDS 5 a b c d z`.replace("  ", " "),
    ),
    ...["1 FIELDS 3 a b z", "0 FIELDS 4 a b c d", "1 FIELDS 5 a b c d long", "1 XX FIELDS 2 a b"],
    ...[
      "70368744177663 FIELDS 2 a d",
      "70368744177664 FIELDS 1 a",
      "-1 FIELDS 1 a",
      "x FIELDS 1 a",
      " FIELDS 1 a",
    ],
    ...[
      `${far} FIELDS 0 a`,
      `${far} FIELDS x a`,
      `${far} FIELDS 2 a`,
      `${far} FIELDS 1 a b`,
      `${far} FIELD 1 a`,
    ],
    ...[`${far} NX XX FIELDS 1 a`, `${far} FIELDS 3 a a a`, `${far} nx fields 2 a a`, `${far} GT FIELDS 1`],
    ...[
      "4102444700000 FIELDS 1 c",
      "4102444800000 FIELDS 1 c",
      "4102444900000 FIELDS 2 c a",
      "4102444600000 LT FIELDS 1 b",
    ],
    ...[
      `${far} FIELDS 1 long`,
      `${far} FIELDS 9223372036854775808 a`,
      `${far} FIELDS 4294967297 a`,
      `${far} FIELDS`,
    ],
  ],
  HEXPIREAT: [
    ...[
      "4102444750 FIELDS 2 a z",
      "70368744177 FIELDS 1 a",
      "70368744178 FIELDS 1 a",
      "0 FIELDS 2 a b",
      "-1 FIELDS 1 a",
    ],
    ...["9223372036854775807 FIELDS 1 a", "9223372036854775808 FIELDS 1 a", "4102444750 GT FIELDS 2 d b"],
  ],
  HEXPIRE: [
    "0 FIELDS 2 a z",
    "-1 FIELDS 1 a",
    "70368744178 FIELDS 1 a",
    "x NX FIELDS 1 a",
    "10 ZZ FIELDS 1 a",
  ],
  HPEXPIRE: [
    "0 FIELDS 2 a z",
    "-1 FIELDS 1 a",
    "70368744177663 FIELDS 1 a",
    "9223372036854775807 FIELDS 1 a",
  ],
  HEXPIRETIME: [
    "FIELDS 3 a b z",
    "FIELDS 1 d",
    "FIELDS 0 a",
    "FIELDS 2 a",
    "FOO 1 a",
    "1 FIELDS a",
    "FIELDS x a",
    "FIELDS 2 b b",
  ],
  HPEXPIRETIME: ["FIELDS 5 a b c d z", "fields 1 long", "FIELDS 1 a b", "FIELDS -1 a", "FIELDS 1"],
  HTTL: ["FIELDS 2 a z", "FIELDS 0 a", "FIELDS 3 a", "FOO 1 a"],
  HPTTL: ["FIELDS 2 a z", "FIELDS 0 a", "FIELDS 3 a", "FOO 1 a"],
  HPERSIST: [
    "FIELDS 4 a b z d",
    "FIELDS 1 b",
    "FIELDS 2 b b",
    "FIELDS 0 a",
    "FIELDS 2 a",
    "FOO 1 a",
    "FIELDS 1 long",
    "FIELDS 1",
  ],
  HGETEX: [
    ...[
      "FIELDS 3 a b z",
      `PXAT ${far} FIELDS 3 a b z`,
      "PERSIST FIELDS 4 a b d z",
      "EXAT 1 FIELDS 2 a a",
      "PXAT 0 FIELDS 1 b",
    ],
    ...[
      "EXAT 4102444750 FIELDS 1 c",
      "EX 0 FIELDS 4 a b c d",
      "PX 0 FIELDS 5 a b c d long",
      "EX -1 FIELDS 1 a",
      "EX x FIELDS 1 a",
    ],
    ...[
      "EX 10 PX 10 FIELDS 1 a",
      "KEEPTTL FIELDS 1 a",
      "FIELDS 0 a",
      "FIELDS 2 a",
      "FIELDS 1 a EX 10",
      "EX 10 FIELDS",
      "EX 10 a",
    ],
    ...[
      "PXAT 70368744177664 FIELDS 1 a",
      "PXAT 70368744177663 FIELDS 1 a",
      "EX FIELDS 1 a",
      "PERSIST PERSIST FIELDS 1 a",
      "a b c",
    ],
    ...[
      "PERSIST FIELDS 1 z",
      `PXAT ${far} FIELDS 1 z`,
      "PERSIST FIELDS 1 a",
      "PERSIST FIELDS 1",
      "NX FIELDS 1 a",
    ],
  ],
  HSETEX: [
    ...[
      "FIELDS 1 a 9",
      "FIELDS 2 z 1 b 2",
      `PXAT ${far} FIELDS 2 z 1 b 2`,
      "KEEPTTL FIELDS 3 b 7 z 8 a 9",
      "EXAT 1 FIELDS 2 a 1 z 2",
    ],
    ...[
      "FNX FIELDS 1 a 9",
      "FNX FIELDS 2 y 1 z 2",
      "FNX FIELDS 2 z 1 a 2",
      "FXX FIELDS 1 z 9",
      "FXX FIELDS 2 a 1 b 2",
      "FXX FIELDS 2 a 1 z 2",
    ],
    ...[
      `FXX PXAT ${far} FIELDS 2 a 1 d 2`,
      `PXAT ${far} FNX FIELDS 1 z 5`,
      `FNX PXAT ${far} FIELDS 1 a 5`,
      "FXX KEEPTTL FIELDS 1 b 5",
    ],
    ...[
      "EX 0 FIELDS 1 a 1",
      "PXAT 1 FIELDS 4 a 1 b 1 c 1 d 1",
      "FXX EXAT 1 FIELDS 1 a 1",
      "FNX EXAT 1 FIELDS 1 z 1",
      "KEEPTTL FIELDS 1 z 1",
    ],
    ...[
      "FNX FXX FIELDS 1 a 1",
      "FNX FNX FIELDS 1 a 1",
      "EX 10 PX 10 FIELDS 1 a 1",
      "KEEPTTL EX 10 FIELDS 1 a 1",
      "EX 10 KEEPTTL FIELDS 1 a 1",
    ],
    ...[
      "EX -1 FIELDS 1 a 1",
      "EX x FIELDS 1 a 1",
      "EX 70368744178 FIELDS 1 a 1",
      "PERSIST FIELDS 1 a 1",
      "NX FIELDS 1 a 1",
      "FOO FIELDS 1 a 1",
    ],
    ...[
      "FIELDS 0 a 1",
      "FIELDS x a 1",
      "FIELDS -1 a 1",
      "FIELDS 2 a 1",
      "FIELDS 1 a 1 b 2",
      "FIELDS 1 a",
      "FIELDS 1 a 1 EX 10",
      "a b c d",
    ],
    ...[
      "FIELDS 2147483648 a 1",
      "FIELDS 2147483647 a 1",
      "FIELDS 3 z 1 z 2 z 3",
      `PXAT ${far} FIELDS 3 z 1 z 2 a 3`,
      "FIELDS 1 z {long}",
    ],
    ...[
      `PXAT ${far} FIELDS 1 z {long}`,
      `PXAT ${far} FIELDS 1 {long} 5`,
      "FXX FIELDS 1 z {long}",
      "EX 10 FIELDS",
      "FNX EX 10 EX",
    ],
  ],
  HGETDEL: [
    "FIELDS 1 a",
    "FIELDS 3 a z a",
    "FIELDS 4 a b c d",
    "FIELDS 5 a b c d long",
    "FIELDS 0 a",
    "FIELDS 2 a",
    "FIELDS 1 a b",
    "FOO 1 a",
    "FIELDS 1",
  ],
  HSET: ["b 2", "b 2 d 3 z 4", "d 3", "a 5 b 6"],
  HSETNX: ["b 2", "z 2"],
  HINCRBY: ["a 5", "z 5", "b 1"],
  HINCRBYFLOAT: ["a 0.5", "c 1", "z 1"],
  HDEL: ["b", "a b c d", "d z"],
  COPY: ["l", "k"],
};

function argumentsOf(text: string): string[] {
  return text.split(" ").map((word) => word.replace("{long}", long));
}

const matrix: Case[] = Object.entries(tried).flatMap(([name, list]) =>
  list.flatMap((text) =>
    Object.keys(forms).map(
      (form): Case => ({
        name: `${name} k ${text} on ${form}`,
        commands: [...forms[form]!, [name, "k", ...argumentsOf(text)], ...look],
        oracle: "8",
        ...(ordered.includes(form) && !text.includes("{long}") ? { normalise: exact } : {}),
      }),
    ),
  ),
);

function newer(name: string, ...list: (string | Command)[]): Case {
  return { ...stream(name, ...list), oracle: "8", config: settings };
}

const plain: Case[] = [
  newer(
    "relative times",
    "HSET k a 1 b 2 c 3 d 4 e 5",
    "HEXPIRE k 1000 FIELDS 1 a",
    "HPEXPIRE k 2000000 FIELDS 1 b",
    "HGETEX k EX 3000 FIELDS 1 c",
    "HSETEX k PX 4000000 FIELDS 1 d 5",
    "HTTL k FIELDS 6 a b c d e z",
    "HPTTL k FIELDS 6 a b c d e z",
    "HEXPIRETIME k FIELDS 6 a b c d e z",
    "HPEXPIRETIME k FIELDS 6 a b c d e z",
    "HEXPIRE k 500 GT FIELDS 2 a e",
    "HEXPIRE k 500 LT FIELDS 2 a e",
    "HEXPIRE k 700 XX FIELDS 2 a e",
    "HEXPIRE k 900 NX FIELDS 2 a e",
    "HTTL k FIELDS 6 a b c d e z",
    "HGETALL k",
  ),
  {
    ...newer(
      "a packed hash is in the order of its deadlines",
      "HSET k a 1 b 2 c 3 d 4",
      "HPEXPIREAT k 4102444800000 FIELDS 1 b",
      "HPEXPIREAT k 4102444800000 FIELDS 1 d",
      "HGETALL k",
      "HPEXPIREAT k 4102444800001 FIELDS 1 a",
      "HPEXPIREAT k 4102444700001 FIELDS 1 c",
      "HGETALL k",
      "HPERSIST k FIELDS 1 d",
      "HSET k e 5",
      "HSET k b 9",
      "HGETALL k",
      "HINCRBY k a 5",
      "HSETEX k KEEPTTL FIELDS 1 c 7",
      "HGETALL k",
      "HSETEX k PXAT 4102444800000 FIELDS 2 e 1 f 7",
      "HGETALL k",
      "HGETEX k PXAT 4102444600000 FIELDS 1 f",
      "HGETEX k PERSIST FIELDS 1 c",
      "HSCAN k 0",
      "HSCAN k 0 NOVALUES",
      "HKEYS k",
      "HVALS k",
      "HDEL k f e",
      "HGETALL k",
    ),
    normalise: exact,
  },
  ...["packed", "timed", "pages", "timedPages"].map(
    (form): Case => ({
      name: `deadlines go where the hash goes: ${form}`,
      oracle: "8",
      commands: [
        ...forms[form]!,
        ...lines(`HPEXPIREAT k ${far} FIELDS 2 a c`, "COPY k l", "HPERSIST k FIELDS 1 a", "HSET k c 5"),
        ...lines("HPEXPIRETIME k FIELDS 4 a b c d", "HPEXPIRETIME l FIELDS 4 a b c d", "RENAME l m"),
        ...lines("HPEXPIRETIME m FIELDS 4 a b c d", "OBJECT ENCODING m", "MOVE m 1", "SELECT 1", "HGETALL m"),
        ...lines(
          "HPEXPIRETIME m FIELDS 4 a b c d",
          "SELECT 0",
          "EXPIREAT k 4102444800",
          "HPEXPIRETIME k FIELDS 2 a b",
        ),
        ...lines("PERSIST k", "HPEXPIRETIME k FIELDS 2 a b", "HGETALL k"),
      ],
    }),
  ),
  ...[
    ["HEXPIREAT k 4102444800 FIELDS 1 zz"],
    ["HEXPIREAT k 4102444800 XX FIELDS 1 a"],
    ["HGETEX k EXAT 4102444800 FIELDS 1 zz"],
    ["HGETEX k PERSIST FIELDS 1 a"],
    ["HGETEX k FIELDS 1 a"],
    ["HPERSIST k FIELDS 1 a"],
    ["HTTL k FIELDS 1 a"],
    ["HEXPIREAT k 0 FIELDS 1 zz"],
    ["HSETEX k FIELDS 1 a 2"],
    ["HSETEX k KEEPTTL FIELDS 1 a 2"],
    ["HSETEX k EXAT 4102444800 FIELDS 1 a 2"],
    ["HSETEX k EXAT 1 FIELDS 1 zz 2"],
    ["HSETEX k FXX EXAT 4102444800 FIELDS 1 zz 2"],
    ["HSETEX k FNX EXAT 4102444800 FIELDS 1 a 2"],
    ["HSETEX k FIELDS 4 x 1 x 2 x 3 x 4"],
    ["HSETEX k EXAT 4102444800 FIELDS 4 x 1 x 2 x 3 x 4"],
    ["HSETEX k FXX FIELDS 4 x 1 x 2 x 3 x 4"],
    ["HEXPIREAT k 4102444800 FIELDS 1 a", "HSET k c 1", "HSET k d 1"],
    ["CONFIG SET hash-max-listpack-entries 1", "HEXPIREAT k 4102444800 FIELDS 1 a", "HSET k a 1"],
    ["HEXPIREAT k 4102444800 FIELDS 1 a", "HSET k c 123456789"],
    ["HEXPIREAT k 4102444800 FIELDS 1 a", "HINCRBY k b 100000000"],
    ["CONFIG SET hash-max-listpack-value 1", "HSET k e 1", "HEXPIREAT k 4102444800 FIELDS 1 e"],
    ["HEXPIREAT k 4102444800 FIELDS 2 a b", "HPERSIST k FIELDS 2 a b"],
    ["HEXPIREAT k 4102444800 FIELDS 2 a b", "HGETDEL k FIELDS 2 a b"],
    ["HEXPIREAT k 4102444800 FIELDS 1 a", "HGETDEL k FIELDS 1 a", "HDEL k b"],
  ].map((list, number) =>
    newer(
      `form ${number}: ${list.join("; ")}`,
      "CONFIG SET hash-max-listpack-entries 3",
      "CONFIG SET hash-max-listpack-value 8",
      "HSET k a 1 b 2",
      ...list.flatMap((command) => [command, "OBJECT ENCODING k"]),
      "HGETALL k",
      "HPEXPIRETIME k FIELDS 5 a b c d x",
    ),
  ),
  ...[600, 2000].map(
    (count): Case => ({
      name: `${count} fields with deadlines`,
      oracle: "8",
      commands: [
        ...Array.from({ length: count }, (_, i): Command => ["HSET", "k", `f${i}`, `v${i}`]),
        ...Array.from({ length: count }, (_, i): Command => {
          const at = String(4102444800000 + ((i * 7919) % count));
          return ["HPEXPIREAT", "k", at, "FIELDS", "2", `f${i}`, `f${(i * 31) % count}`];
        }),
        ["HPEXPIRETIME", "k", "FIELDS", String(count), ...Array.from({ length: count }, (_, i) => `f${i}`)],
        ...Array.from(
          { length: count },
          (_, i): Command => ["HSETEX", "k", "KEEPTTL", "FIELDS", "1", `f${i * 3}`, `w${i}`],
        ),
        ...Array.from({ length: count }, (_, i): Command => ["HPERSIST", "k", "FIELDS", "1", `f${i * 5}`]),
        ["HPEXPIRETIME", "k", "FIELDS", String(count), ...Array.from({ length: count }, (_, i) => `f${i}`)],
        ["HGETALL", "k"],
        ...Array.from({ length: count }, (_, i): Command => ["HDEL", "k", `f${i * 2}`]),
        ["HGETALL", "k"],
      ],
    }),
  ),
  {
    ...stream("what COMMAND INFO says of them", `COMMAND INFO ${Object.keys(fieldCommands).join(" ")}`),
    oracle: "8",
  },
  ...Object.entries(fieldCommands).map(
    ([name, arity]): Case => ({
      ...stream(
        `wrong arity of ${name.toUpperCase()}`,
        ...Array.from({ length: Math.abs(arity) - 1 }, (_, i): Command => [name, ...new Array(i).fill("a")]),
      ),
      oracle: "8",
    }),
  ),
];

/** Fields past their deadline, which no reader meets; nothing is swept meanwhile. */
const due: Case[] = ["packed", "timed", "pages", "timedPages"].flatMap((form) =>
  [
    ["HGET k a", "HGET k b"],
    ["HMGET k a b c"],
    ["HEXISTS k a", "HSTRLEN k a", "HSTRLEN k b"],
    ["HGETALL k"],
    ["HKEYS k", "HVALS k"],
    ["HSCAN k 0 COUNT 1000"],
    ["HSCAN k 0 COUNT 1000 NOVALUES"],
    ["HTTL k FIELDS 2 a c"],
    ["HPEXPIRETIME k FIELDS 2 a c"],
    ["HPERSIST k FIELDS 1 a", "HGETALL k"],
    ["HSETNX k a 5", "HPEXPIRETIME k FIELDS 1 a", "HGETALL k"],
    ["HINCRBY k a 5", "HPEXPIRETIME k FIELDS 1 a", "HGETALL k"],
    ["HINCRBYFLOAT k a 0.5", "HPEXPIRETIME k FIELDS 1 a", "HGETALL k"],
    ["HGETEX k FIELDS 2 a c"],
    ["HGETEX k PERSIST FIELDS 2 a c", "HGETALL k"],
    ["HGETDEL k FIELDS 2 a c", "HGETALL k"],
    ["HSETEX k FXX FIELDS 1 a 5", "HGETALL k"],
    ["HSETEX k FNX FIELDS 1 a 5", "HGETALL k"],
    ["HLEN k"],
    ["EXISTS k", "TYPE k"],
  ].map(
    (list): Case => ({
      name: `fields that are due on ${form}: ${list.join("; ")}`,
      oracle: "8",
      commands: [
        ...lines("DEBUG SET-ACTIVE-EXPIRE 0"),
        ...forms[form]!,
        ...lines("HPEXPIRE k 1 FIELDS 2 a b", "DEBUG SLEEP 0.01", ...list, "DEBUG SET-ACTIVE-EXPIRE 1"),
      ],
      pipelined: false,
      protocols: [3],
    }),
  ),
);

/** Where 8.0 still sees such a field. */
const stillThere: Case[] = [
  { command: "HSET k a 9", ours: ":1\r\n", after: "HGET k a", value: undefined },
  { command: "HDEL k a", ours: ":0\r\n", after: "HEXISTS k a", value: undefined },
  { command: "HEXPIRE k 100 FIELDS 1 a", ours: "*1\r\n:-2\r\n", after: "HGET k a", value: "_\r\n" },
  { command: "HSETEX k KEEPTTL FIELDS 1 a 9", ours: undefined, after: "HGET k a", value: "$1\r\n9\r\n" },
].map(({ command, ours, after, value }): Case => {
  const expect: Record<number, string> = {};
  if (ours !== undefined) expect[4] = ours;
  if (value !== undefined) expect[5] = value;
  return {
    name: `a field that is due is no field: ${command}`,
    why: "a field past its deadline is absent to every command of ours; 8.0 writes to it until it is removed",
    oracle: "8",
    protocols: [3],
    commands: lines(
      "DEBUG SET-ACTIVE-EXPIRE 0",
      "HSET k a 1 b 2",
      "HPEXPIRE k 1 FIELDS 1 a",
      "DEBUG SLEEP 0.01",
      command,
      after,
      "DEBUG SET-ACTIVE-EXPIRE 1",
    ),
    expect,
  };
});

/** What the sweep leaves. */
const swept: Case[] = [
  {
    name: "the sweep removes fields, and a hash with its last one",
    oracle: "8",
    program: async (server) => {
      const ask = async (command: string) =>
        Buffer.from((await server.ask("a", command.split(" ")))[0]!).toString();
      await ask("HSET k a 1 b 2 c 3");
      await ask("HSET l a 1");
      await ask(`HSET m ${Array.from({ length: 700 }, (_, i) => `f${i} v`).join(" ")}`);
      await ask("HPEXPIRE k 20 FIELDS 2 a b");
      await ask("HPEXPIRE l 20 FIELDS 1 a");
      await ask(`HPEXPIRE m 20 FIELDS 699 ${Array.from({ length: 699 }, (_, i) => `f${i}`).join(" ")}`);
      for (let i = 0; i < 100 && (await ask("EXISTS l")) !== ":0\r\n"; i++) await Bun.sleep(50);
      for (let i = 0; i < 100 && (await ask("HLEN k")) !== ":1\r\n"; i++) await Bun.sleep(50);
      for (let i = 0; i < 100 && (await ask("HLEN m")) !== ":1\r\n"; i++) await Bun.sleep(50);
      return [await ask("HGETALL k"), await ask("EXISTS l"), await ask("HGETALL m"), await ask("DBSIZE")];
    },
  },
];

export const fieldDeadlineCases: Case[] = [...matrix, ...plain, ...due, ...stillThere, ...swept];
