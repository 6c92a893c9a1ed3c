// Keyspace: DEL ... SCAN, COPY, MOVE, SWAPDB, OBJECT, globs.

import { type Case, type Command, lines, type Program, stream } from "../harness.ts";
import { kindOnly, oneOf } from "../normalise.ts";
import { parseReply, showCommand, textOf } from "../resp.ts";

const plain: Case[] = [
  ...["DEL", "UNLINK", "EXISTS", "TOUCH"].map((name) =>
    stream(
      `${name} counts`,
      `${name} a`,
      "MSET a 1 b 2 c 3",
      `${name} a none b`,
      `${name} c c`,
      `${name} a b c`,
      [name, ""],
      ["SET", "", "v"],
      [name, ""],
      [name, "", ""],
      "DBSIZE",
      "KEYS *",
    ),
  ),
  stream("TYPE", "TYPE none", "SET a 1", "TYPE a", ["SET", "", "v"], ["TYPE", ""], "DEL a", "TYPE a"),
  stream(
    "RENAME",
    "RENAME none a",
    "SET a 1",
    "RENAME a b",
    "GET a",
    "GET b",
    "RENAME b b",
    "GET b",
    "RENAME none none",
    "SET c 3",
    "RENAME b c",
    "GET c",
    "DBSIZE",
    "SET d v EX 100",
    "RENAME d e",
    "TTL e",
    "SET f w",
    "RENAME e f",
    "TTL f",
    "SET g x EX 100",
    "SET h y",
    "RENAME h g",
    "TTL g",
    ["RENAME", "g", ""],
    ["GET", ""],
  ),
  stream(
    "RENAMENX",
    "RENAMENX none a",
    "SET a 1",
    "RENAMENX a b",
    "RENAMENX b b",
    "SET c 3",
    "RENAMENX b c",
    "MGET b c",
    "RENAMENX none none",
    "SET d v EX 100",
    "RENAMENX d e",
    "TTL e",
  ),
  stream(
    "COPY",
    "COPY none a",
    "SET a 1 EX 100",
    "COPY a b",
    "GET b",
    "TTL b",
    "COPY a b",
    "COPY a b REPLACE",
    "SET a 2",
    "GET b",
    "COPY a b replace",
    "GET b",
    "TTL b",
    "COPY a a",
    "COPY a a REPLACE",
    "COPY none none",
    "COPY none b REPLACE",
    "GET b",
  ),
  stream(
    "COPY DB",
    "SET a 1 EX 100",
    "COPY a a DB 1",
    "COPY a a DB 1",
    "COPY a a DB 1 REPLACE",
    "COPY a b DB 0",
    "COPY a a DB 0",
    "COPY a a DB 15",
    "COPY a a DB 16",
    "COPY a a DB -1",
    "COPY a a DB x",
    "COPY a b DB",
    "COPY a b nosuch",
    "COPY a b REPLACE REPLACE",
    "COPY a c DB 1 DB 2",
    "COPY a c REPLACE DB 2 REPLACE",
    "COPY none x DB 99",
    "COPY none x DB abc",
    "SELECT 1",
    "KEYS *",
    "GET a",
    "TTL a",
    "SELECT 2",
    "KEYS *",
    "SELECT 15",
    "KEYS *",
    "COPY a d DB 9223372036854775808",
    "COPY a d DB 1.0",
  ),
  stream(
    "MOVE",
    "MOVE none 1",
    "SET a 1 EX 100",
    "MOVE a 1",
    "GET a",
    "SELECT 1",
    "GET a",
    "TTL a",
    "MOVE a 1",
    "MOVE a 0",
    "MOVE a 16",
    "MOVE a -1",
    "MOVE a x",
    "MOVE none 16",
    "MOVE none 1",
    "SET a 2",
    "MOVE a 0",
    "GET a",
    "SELECT 0",
    "GET a",
    "MOVE a 0",
    "MOVE a 00",
    "MOVE a 1.5",
    "MOVE a 9223372036854775808",
  ),
  stream(
    "SELECT",
    "SET a zero",
    "SELECT 1",
    "GET a",
    "SET a one",
    "SELECT 15",
    "DBSIZE",
    "SELECT 16",
    "SELECT -1",
    "SELECT x",
    "SELECT 1.0",
    "SELECT 01",
    ["SELECT", ""],
    "SELECT 9223372036854775808",
    "SELECT 2147483648",
    "SELECT 4294967296",
    "DBSIZE",
    "SELECT 0",
    "GET a",
    "select 1",
    "GET a",
  ),
  stream(
    "SWAPDB",
    "SET a zero",
    "SELECT 1",
    "SET a one",
    "SET b one EX 100",
    "SWAPDB 0 1",
    "GET a",
    "GET b",
    "SELECT 0",
    "GET a",
    "TTL b",
    "SWAPDB 0 0",
    "SWAPDB 0 15",
    "DBSIZE",
    "SELECT 15",
    "DBSIZE",
    "SWAPDB 15 0",
    "SWAPDB 0 16",
    "SWAPDB 16 0",
    "SWAPDB -1 0",
    "SWAPDB 0 -1",
    "SWAPDB x 0",
    "SWAPDB 0 x",
    "SWAPDB x y",
    "SWAPDB 1.0 0",
    "SWAPDB 9223372036854775808 0",
    "SWAPDB 4294967296 0",
  ),
  stream(
    "DBSIZE and FLUSHDB",
    "DBSIZE",
    "MSET a 1 b 2",
    "DBSIZE",
    "SELECT 1",
    "SET c 3",
    "FLUSHDB",
    "DBSIZE",
    "SELECT 0",
    "DBSIZE",
    "FLUSHDB ASYNC",
    "DBSIZE",
    "SET a 1",
    "FLUSHDB SYNC",
    "DBSIZE",
    "SET a 1",
    "flushdb async",
    "DBSIZE",
  ),
  stream(
    "FLUSHALL",
    "SET a 1",
    "SELECT 3",
    "SET b 2",
    "FLUSHALL",
    "DBSIZE",
    "SELECT 0",
    "DBSIZE",
    "SET a 1",
    "FLUSHALL ASYNC",
    "DBSIZE",
    "SET a 1",
    "FLUSHALL SYNC",
    "DBSIZE",
    "SET a 1 EX 100",
    "FLUSHALL",
    "TTL a",
  ),
  ...["FLUSHDB", "FLUSHALL"].map((name) =>
    stream(
      `${name} with bad options`,
      "SET a 1",
      `${name} nosuch`,
      `${name} ASYNC SYNC`,
      `${name} SYNC SYNC`,
      [name, ""],
      `${name} ASYNC nosuch`,
      "DBSIZE",
    ),
  ),
  stream("RANDOMKEY", "RANDOMKEY", "SET only 1", "RANDOMKEY", "RANDOMKEY", "SELECT 1", "RANDOMKEY"),
  {
    ...stream("RANDOMKEY of several", "MSET a 1 b 2 c 3", ...Array.from({ length: 20 }, () => "RANDOMKEY")),
    normalise: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [i + 1, oneOf("a", "b", "c")])),
  },
  stream(
    "OBJECT of an absent key",
    ...["ENCODING", "REFCOUNT", "IDLETIME", "FREQ"].map((sub) => `OBJECT ${sub} none`),
  ),
  stream(
    "OBJECT of a key",
    "SET a hello",
    "OBJECT ENCODING a",
    "OBJECT REFCOUNT a",
    "OBJECT IDLETIME a",
    "OBJECT FREQ a",
    "object encoding a",
    "OBJECT eNCODing a",
    "OBJECT nosuch a",
    "OBJECT ENCODING a b",
  ),
  stream("OBJECT HELP", "OBJECT HELP", "OBJECT help"),
  stream(
    "a key past its deadline is absent to every command",
    "SET a 1 PXAT 1",
    "SET b 1",
    "PEXPIREAT b 1",
    "EXISTS a b",
    "TYPE b",
    "GET b",
    "STRLEN b",
    "TTL b",
    "PTTL b",
    "RENAME b c",
    "COPY b c",
    "MOVE b 1",
    "OBJECT ENCODING b",
    "TOUCH b",
    "KEYS *",
    "DBSIZE",
    "RANDOMKEY",
    "SCAN 0",
    "INCR b",
    "TTL b",
    "PERSIST b",
    "GETDEL b",
    "SETNX b 2",
    "APPEND b 3",
  ),
];

const globKeys = [
  "",
  "a",
  "b",
  "abc",
  "abd",
  "aXc",
  "a-c",
  "a^c",
  "a]c",
  "a[c",
  "a\\c",
  "a*c",
  "a?c",
  "hello",
  "hallo",
  "hxllo",
  "heello",
  "hllo",
  "key:1",
  "key:10",
  "key:100",
  "user{1}",
  "\xff\xfe",
  "a\x00c",
  "a\nc",
  "A",
  "ABC",
  "0",
  "9",
  "-",
];
const globs = [
  "*",
  "**",
  "?",
  "??",
  "a*",
  "*c",
  "a?c",
  "a*c",
  "h[ae]llo",
  "h[^e]llo",
  "h[a-x]llo",
  "h[x-a]llo",
  "h*llo",
  "h?llo",
  "[a-b]",
  "[^a]",
  "[^a-b]*",
  "a[^b]c",
  "a\\*c",
  "a\\?c",
  "a\\[c",
  "a\\\\c",
  "a\\]c",
  "\\a",
  "a[",
  "a[b",
  "a[b-",
  "a[^",
  "a[X",
  "a[]c",
  "a[]]c",
  "a[\\]]c",
  "a[\\^]c",
  "a[^^]c",
  "a[-]c",
  "a[X-]c",
  "a[--]c",
  "[",
  "]",
  "[]",
  "[^]",
  "\\",
  "a\\",
  "*\\",
  "a**c",
  "*a*b*c*",
  "key:*",
  "key:1?",
  "key:[0-9]",
  "key:1[0-9]*",
  "user{*}",
  "\xff*",
  "a\x00c",
  "a\x00*",
  "a[\x00]c",
  "A*",
  "[A-z]",
  "[a-Z]",
  "",
  "a[b-d]",
  "ab[b-d]",
  "ab[d-b]",
  "[0-9]",
  "[9-0]",
  "[a-",
  "[a-]",
  "[\\a-\\b]",
  "h[ae",
  "h[^ae",
  "*******************a",
  "a*a*a*a*a*a*a*a*a*b",
];

const globCases: Case[] = globs.map((glob) => ({
  name: `the glob ${JSON.stringify(glob)}`,
  program: async (server) => {
    await server.ask("one", ["MSET", ...globKeys.flatMap((key) => [key, "v"])]);
    const [keys] = await server.ask("one", ["KEYS", glob]);
    const scanned = await scanAll(server, ["MATCH", glob]);
    return [
      (parseReply(keys).items ?? [])
        .map((key) => key.text)
        .sort()
        .join("|"),
      scanned.join("|"),
    ];
  },
}));

/** Every key a SCAN to cursor 0 yields, each once, sorted. */
async function scanAll(server: Parameters<Program>[0], options: string[]): Promise<string[]> {
  const seen = new Set<string>();
  let cursor = "0";
  for (let pages = 0; pages < 20_000; pages++) {
    const [page] = await server.ask("one", ["SCAN", cursor, ...options]);
    const { items } = parseReply(page);
    if (items === undefined) return [textOf(page)];
    cursor = items[0].text;
    if (items[0].kind !== "$" || !/^[0-9]+$/.test(cursor)) return [`cursor ${cursor}`];
    for (const key of items[1].items!) seen.add(key.text);
    if (cursor === "0") return [...seen].sort();
  }
  return ["the cursor never came back to 0"];
}

const scanOptions = [
  "",
  "COUNT 1",
  "COUNT 7",
  "COUNT 100",
  "COUNT 5000",
  "MATCH key:1*",
  "MATCH none*",
  "MATCH key:?5 COUNT 50",
  "MATCH *9",
  "TYPE string",
  "TYPE list",
  "TYPE hash COUNT 300",
  "TYPE STRING",
  "MATCH key:*0 TYPE string COUNT 33",
  "COUNT 10 COUNT 200",
  "MATCH a* MATCH key:2*",
  "count 17 match key:3* type string",
  "MATCH key:77",
  "MATCH * COUNT 9223372036854775807",
];

const scanCases: Case[] = [
  ...[0, 1, 5, 1000].flatMap((count) =>
    scanOptions.map(
      (options): Case => ({
        name: `SCAN ${options || "bare"} over ${count} keys`,
        program: async (server) => {
          if (count > 0)
            await server.ask("one", [
              "MSET",
              ...Array.from({ length: count }, (_, i) => [`key:${i}`, "v"]).flat(),
            ]);
          return scanAll(server, options === "" ? [] : options.split(" "));
        },
      }),
    ),
  ),
  {
    name: "SCAN sees what stays while other keys come and go",
    program: async (server) => {
      await server.ask("one", ["MSET", ...Array.from({ length: 500 }, (_, i) => [`stay:${i}`, "v"]).flat()]);
      const seen = new Set<string>();
      let cursor = "0";
      let turn = 0;
      do {
        const [page] = await server.ask("one", ["SCAN", cursor, "COUNT", "20"]);
        const { items } = parseReply(page);
        cursor = items![0].text;
        for (const key of items![1].items!) if (key.text.startsWith("stay:")) seen.add(key.text);
        await server.ask(
          "two",
          ["MSET", ...Array.from({ length: 60 }, (_, i) => [`go:${turn}:${i}`, "v"]).flat()],
          ["DEL", `go:${turn - 1}:1`, `go:${turn - 1}:2`],
        );
        turn++;
      } while (cursor !== "0" && turn < 2000);
      return [String(seen.size), cursor];
    },
  },
  {
    name: "SCAN is of the selected database",
    program: async (server) => {
      await server.ask("one", ...lines("SET a 1", "SELECT 3", "SET b 2"));
      return scanAll(server, []);
    },
  },
  ...lines(
    "SCAN x",
    ["SCAN", ""],
    "SCAN 0 COUNT",
    "SCAN 0 COUNT 0",
    "SCAN 0 COUNT -1",
    "SCAN 0 COUNT x",
    "SCAN 0 MATCH",
    "SCAN 0 TYPE",
    "SCAN 0 nosuch",
    "SCAN 0 nosuch 1",
    "SCAN 0 COUNT 9223372036854775808",
    "SCAN 1.0",
    "SCAN 0 COUNT 1.5",
    "SCAN 0x",
    "SCAN 18446744073709551616",
    "SCAN 99999999999999999999999",
    "SCAN 0 NOVALUES",
    ["SCAN", "0 "],
    ["SCAN", " 0"],
  ).map((command): Case => ({ name: `bad arguments: ${showCommand(command)}`, commands: [command] })),
  stream("SCAN with the type of nothing", "SCAN 0 TYPE nosuch", "SCAN 0 COUNT 5 TYPE nosuch"),
  stream("SCAN with a negative cursor", "SCAN -1"),
  {
    ...stream(
      "SCAN from cursors nobody gave",
      "MSET a 1 b 2",
      "SCAN 18446744073709551615",
      "SCAN 9223372036854775807",
      "SCAN 12345",
    ),
    normalise: { 1: kindOnly, 2: kindOnly, 3: kindOnly },
  },
  {
    ...stream("SCAN of a few keys in one page", "MSET a 1 b 2", "SCAN 0 COUNT 100", "SCAN 000 COUNT 100"),
    normalise: { 1: pageOf(), 2: pageOf() },
  },
];

/** A whole SCAN answer: cursor exactly, keys in any order. */
function pageOf() {
  return {
    name: "page",
    differs: (a: Uint8Array, b: Uint8Array) => {
      const page = (bytes: Uint8Array) => {
        const { items } = parseReply(bytes);
        return JSON.stringify([items?.[0], items?.[1]?.items?.map((key) => key.text).sort()]);
      };
      return page(a) === page(b) ? null : "pages differ";
    },
  };
}

const together: Case[] = [
  {
    name: "SWAPDB is seen by other connections",
    steps: [
      { on: "a", commands: lines("SET k zero") },
      { on: "b", commands: lines("SELECT 1", "SET k one") },
      { on: "a", commands: lines("GET k", "SWAPDB 0 1", "GET k") },
      { on: "b", commands: lines("GET k", "SELECT 0", "GET k") },
    ],
  },
  {
    name: "FLUSHDB and FLUSHALL are seen by other connections",
    steps: [
      { on: "a", commands: lines("MSET a 1 b 2 c 3 d 4") },
      { on: "b", commands: lines("DBSIZE", "SELECT 1", "SET x 1") },
      { on: "a", commands: lines("FLUSHDB", "DBSIZE") },
      { on: "b", commands: lines("DBSIZE", "SELECT 0", "DBSIZE", "FLUSHALL", "SELECT 1", "DBSIZE") },
    ],
  },
  {
    name: "connections have their own database",
    steps: [
      { on: "a", commands: lines("SELECT 2", "SET k two") },
      { on: "b", commands: lines("GET k", "SET k zero") },
      { on: "a", commands: lines("GET k", "RENAME k j") },
      { on: "b", commands: lines("GET k", "MOVE k 2") },
      { on: "a", commands: lines("GET k", "KEYS *") },
    ],
  },
  {
    name: "writes of one connection are read by others at once",
    steps: Array.from({ length: 40 }, (_, i) => [
      { on: `w${i % 4}`, commands: lines(`SET k${i} v${i}`, `INCR n`, `APPEND s ${i}`) },
      {
        on: `r${i % 3}`,
        commands: lines(`GET k${i}`, "GET n", "STRLEN s", `MGET k${i} k${i - 1}`, "DBSIZE"),
      },
    ]).flat(),
  },
];

/** Multi-key commands whose keys surely lie on different shards. */
const spread = Array.from({ length: 64 }, (_, i) => `spread:${i}`);
const acrossShards: Case[] = [
  {
    name: "multi-key commands over 64 keys",
    commands: [
      ["MSET", ...spread.flatMap((key, i) => [key, String(i)])],
      ["MGET", ...spread],
      ["EXISTS", ...spread, ...spread],
      ["TOUCH", ...spread, "none"],
      ["MSETNX", ...spread.flatMap((key) => [key, "x"])],
      ["MSETNX", "fresh", "1", ...spread.flatMap((key) => [key, "x"])],
      ["EXISTS", "fresh"],
      ...spread.slice(0, 32).map((key): Command => ["RENAME", key, `${key}:moved`]),
      ["MGET", ...spread],
      ["MGET", ...spread.map((key) => `${key}:moved`)],
      ...spread.slice(32).map((key): Command => ["COPY", key, `${key}:copy`]),
      ["MGET", ...spread.slice(32).map((key) => `${key}:copy`)],
      ...spread.slice(32).map((key): Command => ["RENAMENX", key, `${key}:copy`]),
      ["DBSIZE"],
      ["KEYS", "*"],
      ["DEL", ...spread, ...spread.map((key) => `${key}:moved`)],
      ["UNLINK", ...spread.map((key) => `${key}:copy`)],
      ["DBSIZE"],
    ],
  },
  {
    name: "LCS over pairs of shards",
    commands: [
      ["MSET", ...spread.flatMap((key, i) => [key, "abcdefghij".slice(i % 5, 5 + (i % 6))])],
      ...spread.slice(1).map((key, i): Command => ["LCS", spread[i], key, ...(i % 2 === 0 ? ["LEN"] : [])]),
    ],
  },
  {
    name: "MOVE and SWAPDB of 64 keys",
    commands: [
      ["MSET", ...spread.flatMap((key, i) => [key, String(i)])],
      ...spread.slice(0, 40).map((key): Command => ["MOVE", key, "5"]),
      ["DBSIZE"],
      ["SWAPDB", "0", "5"],
      ["DBSIZE"],
      ["MGET", ...spread],
      ["SELECT", "5"],
      ["MGET", ...spread],
      ["FLUSHDB"],
      ["DBSIZE"],
      ["SELECT", "0"],
      ["DBSIZE"],
    ],
  },
];

export const keyspaceCases: Case[] = [...plain, ...globCases, ...scanCases, ...together, ...acrossShards];
