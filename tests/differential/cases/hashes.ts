// Hashes: every command over every form of a hash, the thresholds between forms, numbers, chance, HSCAN, and IC.HSETIFEQ,
// which no oracle has. What has deadlines is in field-deadlines.ts.
// In the packed forms the order of fields counts too: those cases are compared byte for byte.

import { type Case, type Command, golden, lines, type Program, stream } from "../harness.ts";
import { exact } from "../normalise.ts";
import { parseReply } from "../resp.ts";

const settings = ["hash-max-listpack-entries", "hash-max-listpack-value"];
const long = "x".repeat(65);
const few = ["a", "1", "b", "two", "c", "3.5", "d", "", "10", "20", "e", "-9223372036854775808"];

/** Ways to make a hash that is in a certain form, "none" and "text" being no hash. */
const forms: Record<string, Command[]> = {
  none: [],
  text: [["SET", "k", "v"]],
  packed: [["HSET", "k", ...few]],
  long: [["HSET", "k", ...few, "long", long]],
  pages: [["HSET", "k", ...few, ...Array.from({ length: 700 }, (_, i) => [`f${i}`, `v${i}`]).flat()]],
};
const small = ["none", "text", "packed"];

const look = lines("TYPE k", "OBJECT ENCODING k", "HLEN k", "HGETALL k");

/** Arguments after the key, one case each; "" alone is an empty argument, {long} is longer than what stays packed. */
const tried: Record<string, string[]> = {
  HSET: [
    "a",
    "a 2",
    "z 1",
    "a 2 z 1 a 3",
    "a 1 b",
    "z 1 y 2 x 3 w 4",
    "a {long}",
    "{long} 1",
    `"" ""`,
    "10 007 11 -0",
  ],
  HMSET: ["a", "a 2", "z 1 z 2", "a 1 b", "z {long} a 5", "a 2 b 3 c 4 d 5"],
  HSETNX: ["a 2", "z 1", "z {long}", "a {long}", "{long} 1", `"" ""`, "a", "a 1 2"],
  HGET: ["a", "b", "c", "d", "10", "010", "z", "long", `""`, "f699", "a b"],
  HMGET: ["a", "z", "a z b z a", "d 10 e", "f0 f1 f700", `""`],
  HGETALL: ["", "a"],
  HKEYS: ["", "a"],
  HVALS: ["", "a"],
  HDEL: ["a", "z", "a a", "a z b", "a b c d 10 e", "a b c d 10 e long", "10 010", "f0 f1 f2 f2"],
  HLEN: ["", "a"],
  HEXISTS: ["a", "d", "z", "10", "f5", "a b"],
  HSTRLEN: ["a", "b", "d", "e", "10", "z", "long", "f5"],
  HINCRBY: [
    ...["a 1", "a -2", "a 0", "z 5", "10 -30", "b 1", "c 1", "d 1", "a x", "a 1.5", "a", `a ""`],
    ...["e -1", "e 1", "e 9223372036854775807", "a 9223372036854775807", "z 9223372036854775808"],
    ...["z -9223372036854775808", "a 9007199254740991", "a 9007199254740993", "a 00", "a +1", "{long} 3"],
  ],
  HINCRBYFLOAT: [
    ...[
      "a 1",
      "a 0.1",
      "c 0.1",
      "c -3.5",
      "z 1e3",
      "z 5.0e-3",
      "b 1",
      "d 1",
      "a x",
      "a inf",
      "a nan",
      "z -inf",
    ],
    ...["10 1.5", "e 0.5", "a 1e17", "z 3.0", "a", `a ""`, "z 1e300", "z -0", "{long} 2.5"],
  ],
  HRANDFIELD: [
    ...["", "1", "0", "-1", "3", "-9", "1000", "x", "1.5", "2 WITHVALUES", "-3 withvalues", "0 withvalues"],
    ...[
      "1000 withvalues",
      "1 foo",
      "1 withvalues foo",
      "9223372036854775808",
      "-9223372036854775808",
      "x foo",
    ],
    ...[
      "4611686018427387904 withvalues",
      "-4611686018427387905 withvalues",
      "4611686018427387903 withvalues",
    ],
  ],
};

/** What has other answers in 8.0 than in 7.0, or in a table than where fields have an order. */
const chancy = new Set(["HRANDFIELD"]);

function argumentsOf(text: string): string[] {
  if (text === "") return [];
  return text.split(" ").map((word) => (word === `""` ? "" : word.replace("{long}", long)));
}

const matrix: Case[] = Object.entries(tried).flatMap(([name, list]) =>
  list.flatMap((text) =>
    Object.keys(forms).map((form): Case => {
      const ordered = small.includes(form) && !chancy.has(name) && !/\{long\}|1e300/.test(text);
      return {
        name: `${name} k ${text} on ${form}`,
        commands: [...forms[form]!, [name, "k", ...argumentsOf(text)], ...look],
        ...(ordered ? { normalise: exact } : {}),
      };
    }),
  ),
);

const plain: Case[] = [
  stream(
    "a packed hash keeps the order of its fields",
    "HSET k c 1 b 2 a 3",
    "HGETALL k",
    "HSET k b 20 d 4",
    "HGETALL k",
    "HDEL k c",
    "HSET k c 5",
    "HKEYS k",
    "HVALS k",
    "HINCRBY k a 100000",
    "HINCRBYFLOAT k b 0.5",
    "HGETALL k",
    "HSETNX k e 1",
    "HGETALL k",
  ),
  stream(
    "fields that look like numbers",
    "HSET k 1 one 01 two 1.0 three +1 four -1 five -0 six 0 seven",
    "HMGET k 1 01 1.0 +1 -1 -0 0 2",
    "HSET k 9007199254740991 a 9007199254740992 b 9223372036854775807 c 9223372036854775808 d",
    "HMGET k 9007199254740991 9007199254740992 9223372036854775807 9223372036854775808",
    "HDEL k 01 9007199254740992",
    "HGETALL k",
  ),
  stream(
    "values of every width of an integer",
    ...[0, 47, 48, -1, 127, -128, 128, 32767, -32769, 8388607, -8388609, 2147483647, -2147483649].map(
      (value) => `HSET k v${value} ${value}`,
    ),
    ...["140737488355327", "-140737488355329", "9007199254740991", "-9007199254740992"].map(
      (value) => `HSET k v${value} ${value}`,
    ),
    "HVALS k",
    ...[46, 47, 126, 127, 32766, 32767, 8388606, 2147483646].flatMap((value) => [
      `HSET k n ${value}`,
      "HINCRBY k n 1",
      "HINCRBY k n 1",
      "HGET k n",
      "HSTRLEN k n",
    ]),
    "HGETALL k",
  ),
  stream(
    "bytes",
    ["HSET", "k", "\x00\r\n\xff", "\xff\x00", "", "empty"],
    ["HGET", "k", "\x00\r\n\xff"],
    ["HGET", "k", ""],
    "HGETALL k",
    ["HDEL", "k", "", "\x00\r\n\xff"],
    "EXISTS k",
  ),
  stream(
    "the last field takes the key along",
    "HSET k a 1 b 2",
    "HDEL k a",
    "EXISTS k",
    "HDEL k b b",
    "EXISTS k",
    "TYPE k",
    "HDEL k b",
    "HSET k a 1",
    "EXPIRE k 100",
    "HDEL k a",
    "HSET k a 1",
    "TTL k",
  ),
  stream(
    "a hash under other names",
    "HSET k a 1 b 2",
    "EXPIREAT k 4102444800",
    "COPY k l",
    "HSET l a 9",
    "HGETALL k",
    "HGETALL l",
    "RENAME l m",
    "HGETALL m",
    "EXPIRETIME m",
    "MOVE m 1",
    "SELECT 1",
    "HGETALL m",
    "SELECT 0",
    "SWAPDB 0 1",
    "HGETALL m",
    "SET m v",
    "HGET m a",
    "TYPE m",
  ),
  {
    name: "a large hash under other names",
    commands: [
      ...forms.pages!,
      ...lines("COPY k l", "HDEL k f0 f1", "HLEN k", "HLEN l", "HGETALL l", "RENAME l m", "HSET m f0 other"),
      ...lines("HGETALL m", "HGETALL k", "COPY m k REPLACE", "HGETALL k", "DEL m k", "EXISTS m k"),
    ],
  },
  ...[100, 600, 3000].map(
    (count): Case => ({
      name: `${count} fields come, change and go`,
      commands: [
        ...Array.from({ length: count }, (_, i): Command => ["HSET", "k", `f${i}`, `value ${i * i}`]),
        ...lines("HLEN k", "OBJECT ENCODING k", "HGETALL k"),
        ...Array.from({ length: count }, (_, i): Command => ["HSET", "k", `f${i * 3}`, "v".repeat(i % 200)]),
        ...lines("HLEN k", "HGETALL k"),
        ...Array.from({ length: count }, (_, i): Command => ["HDEL", "k", `f${i * 2}`]),
        ...lines("HLEN k", "HGETALL k", "HKEYS k", "HVALS k"),
        ...Array.from({ length: count * 3 }, (_, i): Command => ["HDEL", "k", `f${i}`]),
        ["EXISTS", "k"],
      ],
    }),
  ),
  ...["255", "256", "4000", "70000"].map(
    (bytes): Case =>
      stream(
        `values of ${bytes} bytes`,
        ["HSET", "k", "a", "x".repeat(Number(bytes)), "b", "short"],
        "HGETALL k",
        "HSTRLEN k a",
        ["HSET", "k", "y".repeat(Number(bytes)), "v"],
        ["HGET", "k", "y".repeat(Number(bytes))],
        "HSET k a s",
        "HGETALL k",
        ["HSET", "k", "b", "z".repeat(Number(bytes))],
        "HGETALL k",
        ["HDEL", "k", "y".repeat(Number(bytes)), "a", "b"],
        "EXISTS k",
      ),
  ),
  {
    ...stream(
      "nothing in every reply of RESP3",
      "HGETALL n",
      "HKEYS n",
      "HVALS n",
      "HRANDFIELD n",
      "HRANDFIELD n 5",
    ),
    protocols: [3],
  },
];

/** Each on a key of its own, so that what differs stays there. */
const ends: Case = stream(
  "HINCRBYFLOAT where float64 ends",
  "HINCRBYFLOAT a f 0x10",
  "HINCRBYFLOAT b f 1e400",
  "HINCRBYFLOAT c f -1e400",
  "HINCRBYFLOAT d f 1e308",
  "HINCRBYFLOAT d f 1.7e308",
  "HINCRBYFLOAT e f inf",
  "HSET g f inf",
  "HINCRBYFLOAT g f 1",
  "HINCRBYFLOAT g f -inf",
  "EXISTS e",
);

/** Where a hash goes to pages. */
const thresholds: Case[] = [
  ["HSET k a 1 b 2", "HSET k c 3", "HSET k d 4"],
  ["HSET k a 1 b 2 c 3", "HDEL k c", "HSET k c 3", "HDEL k a b c", "HSET k a 1"],
  ["HSET k a 1 b 2 c 3 d 4"],
  ["HSET k a 1 a 2 a 3 a 4"],
  ["HSET k a 1 b 2 c 3", "CONFIG SET hash-max-listpack-entries 2", "HGET k a", "HSET k a 2"],
  ["HSET k a 1 b 2 c 3", "CONFIG SET hash-max-listpack-entries 2", "HDEL k a", "HSET k b 2"],
  ["HSET k a 1 b 2 c 3", "CONFIG SET hash-max-listpack-entries 2", "HINCRBY k a 2"],
  ["HSET k a 1 b 2 c 3", "CONFIG SET hash-max-listpack-entries 2", "HSETNX k a 2", "HSETNX k z 2"],
  ["HSET k a 12345678", "HSET k a 123456789", "HSET k a 1"],
  ["HSET k 12345678 a", "HSET k 123456789 a"],
  ["HMSET k a 1 b 123456789"],
  ["HSETNX k a 123456789"],
  ["HSET k a 1", "HSETNX k a 123456789", "HSETNX k b 123456789"],
  ["HSET k a 99999999", "HINCRBY k a 1"],
  ["HSET k a 1", "HINCRBY k abcdefghi 1"],
  ["HSET k a 1", "HINCRBYFLOAT k a 0.1234567", "HINCRBYFLOAT k a 0.00000001"],
  ["HSET k a 123456789", "CONFIG SET hash-max-listpack-value 64", "HSET k b 1"],
  ["HSET k a 1", "CONFIG SET hash-max-listpack-value 0", "HGET k a", "HSET k b 1"],
  ["CONFIG SET hash-max-listpack-entries 0", "HSET k a 1"],
  ["CONFIG SET hash-max-listpack-entries 1", "HSET k a 1", "HINCRBY k b 1"],
  ["CONFIG SET hash-max-ziplist-entries 1", "HSET k a 1", "HSET k b 1"],
].map(
  (commands, number): Case => ({
    name: `threshold ${number}: ${commands.join("; ").slice(0, 70)}`,
    commands: [
      ...lines("CONFIG SET hash-max-listpack-entries 3", "CONFIG SET hash-max-listpack-value 8"),
      ...commands.flatMap((command) => lines(command, "OBJECT ENCODING k", "HLEN k")),
      ...lines("HGETALL k", "COPY k l", "OBJECT ENCODING l"),
    ],
    config: settings,
  }),
);

/** Fields that come out of HRANDFIELD, over and over, until all have; then how many that were. */
function drawn(form: string, ...command: string[]): Program {
  return async (server) => {
    await server.ask("a", ...forms[form]!);
    const all = parseReply((await server.ask("a", ["HKEYS", "k"]))[0]!).items!.map((item) => item.text);
    const seen = new Set<string>();
    for (let round = 0; round < 2_000 && seen.size < all.length; round++) {
      const [reply] = await server.ask("a", ["HRANDFIELD", "k", ...command]);
      const parsed = parseReply(reply!);
      for (const item of parsed.items ?? [parsed]) seen.add((item.items?.[0] ?? item).text);
    }
    return [`${[...seen].filter((name) => all.includes(name)).length} of ${all.length}, ${seen.size} in all`];
  };
}

/** Fields and values of a whole scan, in order of their names. */
function scanned(form: string, ...options: string[]): Program {
  return async (server) => {
    await server.ask("a", ...forms[form]!);
    const found: string[] = [];
    let cursor = "0";
    let pages = 0;
    do {
      const [reply] = await server.ask("a", ["HSCAN", "k", cursor, ...options]);
      const [next, items] = parseReply(reply!).items!;
      cursor = next!.text;
      const step = options.includes("NOVALUES") ? 1 : 2;
      for (let i = 0; i < items!.items!.length; i += step)
        found.push(
          items!
            .items!.slice(i, i + step)
            .map((item) => item.text)
            .join(" = "),
        );
      if (++pages > 10_000) return ["the scan does not end"];
    } while (cursor !== "0");
    return [...new Set(found)].sort();
  };
}

const chance: Case[] = ["packed", "long", "pages"].flatMap((form): Case[] => [
  ...(form === "pages" ? ["30", "-30", "300"] : ["", "1", "3", "-5", "200"]).map(
    (count): Case => ({
      name: `HRANDFIELD ${count} draws all of ${form}`,
      program: drawn(form, ...(count === "" ? [] : [count])),
    }),
  ),
  {
    name: `HRANDFIELD of all with values is a hash: ${form}`,
    program: async (server) => {
      await server.ask("a", ...forms[form]!);
      const [reply] = await server.ask("a", ["HRANDFIELD", "k", "10000", "WITHVALUES"]);
      const items = parseReply(reply!).items!.flatMap((item) => item.items ?? [item]);
      return items.flatMap((item, i) => (i % 2 === 0 ? [`${item.text} = ${items[i + 1]!.text}`] : [])).sort();
    },
  },
]);

const scans: Case[] = [
  ...["packed", "long", "pages"].flatMap((form) =>
    ["", "COUNT 1", "COUNT 1000", "MATCH f1*", "MATCH a COUNT 3", "match * count 7"].map(
      (options): Case => ({
        name: `HSCAN ${options} of ${form}`,
        program: scanned(form, ...(options === "" ? [] : options.split(" "))),
      }),
    ),
  ),
  ...["packed", "long", "pages"].flatMap((form) =>
    ["NOVALUES", "MATCH f1* NOVALUES", "NOVALUES COUNT 50"].map(
      (options): Case => ({
        name: `HSCAN ${options} of ${form}`,
        oracle: "8",
        program: scanned(form, ...options.split(" ")),
      }),
    ),
  ),
  {
    ...stream(
      "HSCAN of a packed hash is one page",
      ["HSET", "k", ...few],
      "HSCAN k 0",
      "HSCAN k 0 COUNT 1",
      "HSCAN k 17",
      "HSCAN k 0 MATCH ?",
      "HSCAN k 0 MATCH 1*",
      "HSCAN k 0 MATCH none",
      "HSCAN k 0 match [a-c] count 1",
    ),
    normalise: exact,
  },
  {
    ...stream(
      "HSCAN NOVALUES",
      ["HSET", "k", ...few],
      "HSCAN k 0 NOVALUES",
      "HSCAN k 0 novalues COUNT 1 MATCH ?",
      "HSCAN k 0 NOVALUES NOVALUES",
      "HSCAN n 0 NOVALUES",
      "HSCAN k 0 NOSCORES",
    ),
    oracle: "8",
    normalise: exact,
  },
  stream(
    "HSCAN's arguments",
    "HSET k a 1",
    "SET s v",
    "HSCAN k x",
    "HSCAN s x",
    "HSCAN s 0",
    "HSCAN n 0",
    "HSCAN n x",
    "HSCAN n 0 COUNT x",
    "HSCAN k 0 COUNT 0",
    "HSCAN k 0 COUNT -1",
    "HSCAN k 0 COUNT x",
    "HSCAN k 0 COUNT",
    "HSCAN k 0 MATCH",
    "HSCAN k 0 TYPE hash",
    "HSCAN k 0 foo",
    "HSCAN k 18446744073709551616",
    "HSCAN k -1",
    "HSCAN s -1",
    ["HSCAN", "k", ""],
    "HSCAN k",
  ),
];

const conditional: Case[] = [
  golden(
    "IC.HSETIFEQ",
    "ours alone",
    {
      1: ":1\r\n",
      3: ":0\r\n",
      4: ":0\r\n",
      5: ":0\r\n",
      7: ":1\r\n",
      9: ":1\r\n",
      11: "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
      12: "-ERR wrong number of arguments for 'ic.hsetifeq' command\r\n",
      13: ":1\r\n",
    },
    "HSET k v 1 w 2",
    "IC.HSETIFEQ k v 1 10",
    "HSET k v 10",
    "IC.HSETIFEQ k v 1 20",
    "IC.HSETIFEQ k none 1 20",
    "IC.HSETIFEQ none v 1 20",
    "EXISTS none",
    "IC.HSETIFEQ k v 10 text",
    "HSET k v text",
    ["IC.HSETIFEQ", "k", "v", "text", long],
    "SET s v",
    "IC.HSETIFEQ s v 1 2",
    "IC.HSETIFEQ k v 1",
    ["ic.hsetifeq", "k", "v", long, ""],
  ),
  {
    name: "IC.HSETIFEQ keeps the field's deadline",
    why: "ours alone",
    unasked: true,
    commands: lines(
      "HSET k v 1",
      "HPEXPIREAT k 4102444800000 FIELDS 1 v",
      "IC.HSETIFEQ k v 1 2",
      "HPEXPIRETIME k FIELDS 1 v",
      "HGET k v",
    ),
    expect: { 0: ":1\r\n", 1: "*1\r\n:1\r\n", 2: ":1\r\n", 3: "*1\r\n:4102444800000\r\n", 4: "$1\r\n2\r\n" },
  },
];

/** HSET and HGET of a hash that another connection reads. */
const several: Case[] = [
  {
    name: "two connections and one hash",
    steps: [
      { on: "a", commands: lines("HSET k a 1", "HINCRBY k n 5") },
      { on: "b", commands: lines("HGET k a", "HINCRBY k n 5", "HSET k b 2") },
      { on: "a", commands: lines("HGETALL k", "HDEL k a b n") },
      { on: "b", commands: lines("EXISTS k", "HGET k a") },
    ],
  },
];

export const hashCases: Case[] = [
  ...matrix,
  ...plain,
  ends,
  ...thresholds,
  ...chance,
  ...scans,
  ...conditional,
  ...several,
];
