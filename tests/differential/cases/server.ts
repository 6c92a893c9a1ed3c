// The server itself: COMMAND, CONFIG, INFO, TIME, DEBUG, arities of every command, and what must be unknown.

import { commands, notYet, refused, subcommands } from "../commands.ts";
import { type Case, type Command, golden, lines, stream, unknownCommand } from "../harness.ts";
import { canonical, exact, integerFrom, kindOnly } from "../normalise.ts";
import { parseReply } from "../resp.ts";

/** Numbers of arguments an arity refuses: all below it, and two above it when it is exact. */
function wrongCounts(arity: number, least: number): number[] {
  const below = Array.from({ length: Math.abs(arity) - least }, (_, i) => least + i);
  return arity > 0 ? [...below, arity + 1, arity + 5] : below;
}

const filler = (count: number): string[] => Array.from({ length: count }, (_, i) => `arg${i}`);

/** Subcommands that 7.0 lacks or counts otherwise; asked of the newer oracle. */
const newer = new Set(["client setinfo", "client no-touch", "command getkeys", "command getkeysandflags"]);

const arities: Case[] = [
  ...Object.entries(commands).map(([name, arity]) => ({
    name: `wrong arity of ${name.toUpperCase()}`,
    commands: [
      ...wrongCounts(arity, 1).flatMap((count): Command[] => [
        [name, ...filler(count - 1)],
        [name.toUpperCase(), ...filler(count - 1)],
      ]),
      ["PING"],
    ],
  })),
  ...Object.entries(subcommands).flatMap(([container, all]) =>
    Object.entries(all).map(
      ([name, arity]): Case => ({
        name: `wrong arity of ${container.toUpperCase()} ${name.toUpperCase()}`,
        commands: [
          ...wrongCounts(arity, 2).flatMap((count): Command[] => [
            [container, name, ...filler(count - 2)],
            [container.toUpperCase(), name.toUpperCase(), ...filler(count - 2)],
          ]),
          ["PING"],
        ],
        ...(newer.has(`${container} ${name}`) ? { oracle: "8" } : {}),
      }),
    ),
  ),
  ...["command", "config", "object", "debug"].map((name) =>
    stream(
      `${name.toUpperCase()} with an unknown subcommand`,
      `${name} nosuch`,
      `${name} nosuch a`,
      `${name} NoSuch a b c`,
      [name, ""],
      [name, "a\r\nb"],
      [name, "x".repeat(200)],
    ),
  ),
];

/** After these the oracle's connection queues or answers only some commands, or they answer once for each argument. */
const changesMode = new Set(
  ["multi"].concat(
    ["subscribe", "psubscribe", "ssubscribe"].flatMap((name) => [name, name.replace("sub", "unsub")]),
  ),
);

const nonsense: Command[] = [
  ["nosuch"],
  ["NoSuch"],
  ["nosuch", "a"],
  ["nosuch", "a", "b c", ""],
  [""],
  ["", "a"],
  ["a\r\nb", "c\r\nd"],
  ["no\x00such", "\x00"],
  ["n".repeat(127)],
  ["n".repeat(128), "a"],
  ["n".repeat(129), "a"],
  ["n".repeat(300), "a".repeat(300)],
  ["nosuch", "a".repeat(124)],
  ["nosuch", "a".repeat(125), "b"],
  ["nosuch", "a".repeat(126), "b"],
  ["nosuch", "a".repeat(127), "b"],
  ["nosuch", "a".repeat(128), "b"],
  ["nosuch", "a".repeat(129)],
  ["nosuch", ...filler(40)],
  ["nosuch", "a".repeat(60), "b".repeat(60), "c".repeat(60)],
  ["nosuch", "\xff\xfe"],
  ["get "],
  [" get", "a"],
  ["ge", "a"],
  ["getx", "a"],
  ["client|id"],
  ["config|get", "x"],
  ["get\x00", "a"],
];

const unknown: Case[] = [
  { name: "names nobody knows", commands: nonsense },
  stream(
    "errors quote text up to its first NUL",
    ["nosuch", "a\x00b", "\x00", "c"],
    ["CONFIG", "a\x00b"],
    ["CONFIG", "SET", "a\x00b", "1"],
    ["CONFIG", "SET", "timeout", "a\x00b"],
    ["DEBUG", "a\x00b"],
    ["HELLO", "2", "a\x00b"],
    ["EXPIRE", "none", "1", "a\x00b"],
    ["CLIENT", "KILL", "TYPE", "a\x00b"],
    ["CLIENT", "KILL", "USER", "a\x00b"],
    ["OBJECT", "a\x00b", "c"],
    ["CLIENT", "a\x00b"],
    ["COMMAND", "GETKEYS", "a\x00b", "c"],
  ),
  { name: "SENTINEL is unknown", commands: lines("sentinel", "SENTINEL masters") },
  ...[...refused, ...notYet].map((name): Case => {
    const asked: Command[] = [[name], [name.toUpperCase(), "key", "a"], [name, "a\r\nb", "x".repeat(200)]];
    const why = refused.includes(name)
      ? "refused for good (tier 4): drivers detect support by this text"
      : "its family has not arrived";
    const expect = Object.fromEntries(asked.map((words, i) => [i, unknownCommand(words)]));
    return {
      ...golden(`${name.toUpperCase()} is unknown`, why, expect, ...asked),
      unasked: changesMode.has(name),
    };
  }),
];

const info: Case[] = [
  stream(
    "INFO of each section",
    ...["server", "clients", "memory", "persistence", "stats", "replication", "cpu", "cluster"].flatMap(
      (section) => [`INFO ${section}`, `info ${section.toUpperCase()}`],
    ),
  ),
  {
    ...stream(
      "INFO with unknown and empty sections",
      "INFO nosuch",
      ["INFO", ""],
      "INFO nosuch nosuch2",
      "INFO server nosuch",
    ),
  },
  stream("INFO of several sections", "INFO server clients", "INFO keyspace cluster", "INFO cpu cpu"),
  stream("INFO of everything", "CONFIG RESETSTAT", "INFO", "INFO default", "INFO all", "INFO everything"),
  stream(
    "INFO keyspace counts keys and deadlines",
    "INFO keyspace",
    "MSET a 1 b 2",
    "SET c 3 EX 1000",
    "SELECT 5",
    "SET d 4",
    "INFO keyspace",
    "DEL d",
    "INFO keyspace",
    "SELECT 0",
    "SWAPDB 0 5",
    "INFO keyspace",
    "FLUSHALL",
    "INFO keyspace",
  ),
  stream(
    "INFO commandstats and errorstats",
    "CONFIG RESETSTAT",
    "SET a 1",
    "GET a",
    "GET a",
    "GET",
    "nosuch",
    "INCR a",
    "SET b x",
    "INCR b",
    "INFO commandstats",
    "INFO errorstats",
    "CONFIG RESETSTAT",
    "INFO errorstats",
  ),
  stream("TIME", "TIME", "time"),
  stream(
    "DEBUG SLEEP",
    "DEBUG SLEEP 0",
    "debug sleep 0.001",
    "DEBUG SLEEP",
    "DEBUG SLEEP x",
    "DEBUG SLEEP 0 1",
    "DEBUG nosuch",
    "PING",
  ),
];

const names = Object.keys(commands);

/** Commands to find keys in, right and wrong. */
const keyed = [
  "GET a",
  "SET a b",
  "SET a b NX GET",
  "SET a b GET EX 10",
  "SET a b XX",
  "GETSET a b",
  "GETDEL a",
  "GETEX a",
  "GETEX a EX 10",
  "SETEX a 1 b",
  "PSETEX a 1 b",
  "SETNX a b",
  "APPEND a b",
  "STRLEN a",
  "GETRANGE a 0 1",
  "SUBSTR a 0 1",
  "SETRANGE a 0 b",
  "INCR a",
  "DECR a",
  "INCRBY a 1",
  "DECRBY a 1",
  "INCRBYFLOAT a 1",
  "MGET a b c",
  "MGET a a",
  "MSET a 1 b 2",
  "MSETNX a 1 b 2",
  "LCS a b",
  "LCS a b LEN",
  "DEL a b",
  "UNLINK a b",
  "EXISTS a b",
  "TYPE a",
  "TOUCH a b",
  "RENAME a b",
  "RENAMENX a b",
  "COPY a b",
  "COPY a b DB 1 REPLACE",
  "MOVE a 1",
  "OBJECT ENCODING a",
  "OBJECT FREQ a",
  "EXPIRE a 1",
  "PEXPIRE a 1",
  "EXPIREAT a 1",
  "PEXPIREAT a 1",
  "EXPIRETIME a",
  "PEXPIRETIME a",
  "TTL a",
  "PTTL a",
  "PERSIST a",
];
const unkeyed = [
  "PING",
  "PING a",
  "ECHO a",
  "SELECT 1",
  "DBSIZE",
  "SWAPDB 0 1",
  "KEYS *",
  "SCAN 0",
  "RANDOMKEY",
  "FLUSHALL",
  "CONFIG GET x",
  "CLIENT ID",
  "COMMAND",
  "OBJECT HELP",
  "TIME",
  "INFO",
];
const badlyCounted = [
  "GET",
  "GET a b",
  "SET a",
  "MGET",
  "RENAME a",
  "OBJECT ENCODING",
  "nosuch",
  "nosuch a",
  "get",
  "client nosuch",
  "object nosuch a",
  "MSET a",
];

const command: Case[] = [
  ...names.map(
    (name): Case => ({
      ...stream(
        `COMMAND INFO ${name.toUpperCase()}`,
        `COMMAND INFO ${name}`,
        `command info ${name.toUpperCase()}`,
      ),
      // GETKEYS takes a name without arguments since 7.2.
      ...(name === "command" ? { oracle: "8" } : {}),
    }),
  ),
  ...Object.entries(subcommands).flatMap(([container, all]) =>
    Object.keys(all).map(
      (sub): Case => ({
        ...stream(`COMMAND INFO ${container}|${sub}`, `COMMAND INFO ${container}|${sub}`),
        ...(newer.has(`${container} ${sub}`) ? { oracle: "8" } : {}),
      }),
    ),
  ),
  stream(
    "COMMAND INFO of several and of nothing",
    "COMMAND INFO get set",
    "COMMAND INFO nosuch",
    "COMMAND INFO get nosuch set",
    ["COMMAND", "INFO", ""],
    "COMMAND INFO get|x",
    "COMMAND INFO get get",
  ),
  stream("COMMAND DOCS", ...names.map((name) => `COMMAND DOCS ${name}`)),
  stream("COMMAND DOCS of several and of nothing", "COMMAND DOCS nosuch", "COMMAND DOCS nosuch nosuch2", [
    "COMMAND",
    "DOCS",
    "",
  ]),
  ...[...keyed, ...unkeyed].flatMap((text): Case[] => [
    { ...stream(`COMMAND GETKEYS ${text}`, `COMMAND GETKEYS ${text}`), oracle: "8" },
    { ...stream(`COMMAND GETKEYSANDFLAGS ${text}`, `COMMAND GETKEYSANDFLAGS ${text}`), oracle: "8" },
  ]),
  {
    ...stream(
      "COMMAND GETKEYS of what cannot be",
      ...badlyCounted.flatMap((text) => [`COMMAND GETKEYS ${text}`, `command getkeysandflags ${text}`]),
    ),
    oracle: "8",
  },
  {
    name: "COMMAND LIST has our names",
    program: async (server) => {
      const [reply] = await server.ask("one", ["COMMAND", "LIST"]);
      const known = new Set([
        ...names,
        ...Object.entries(subcommands).flatMap(([name, all]) =>
          Object.keys(all).map((sub) => `${name}|${sub}`),
        ),
      ]);
      const { kind, items } = parseReply(reply);
      const got = items!.map((item) => item.text).filter((name) => known.has(name) && !newerNames.has(name));
      return [kind, got.sort().join(" ")];
    },
  },
  {
    name: "COMMAND LIST FILTERBY of our names",
    program: async (server) => {
      const lists: string[] = [];
      for (const filter of [
        "PATTERN get*",
        "PATTERN GET*",
        "PATTERN *expire*",
        "PATTERN nosuch*",
        "ACLCAT string",
        "ACLCAT keyspace",
        "ACLCAT connection",
        "ACLCAT nosuch",
        "MODULE nosuch",
        "pattern [sg]et",
        "aclcat STRING",
      ]) {
        const [reply] = await server.ask("one", ["COMMAND", "LIST", "FILTERBY", ...filter.split(" ")]);
        const parsed = parseReply(reply);
        const got = (parsed.items ?? []).map((item) => item.text).filter((name) => name in commands);
        lists.push(`${filter}: ${parsed.kind} ${parsed.text} ${got.sort().join(" ")}`);
      }
      return lists;
    },
  },
  stream(
    "COMMAND LIST with bad filters",
    "COMMAND LIST FILTERBY",
    "COMMAND LIST FILTERBY PATTERN",
    "COMMAND LIST FILTERBY nosuch x",
    "COMMAND LIST nosuch",
    "COMMAND LIST FILTERBY PATTERN a b",
    "COMMAND LIST FILTERBY ACLCAT",
    "COMMAND LIST nosuch PATTERN x",
  ),
  stream("HELP of every container", "COMMAND HELP", "CONFIG HELP", "OBJECT HELP", "CLIENT HELP"),
  {
    name: "bare COMMAND lists our names with their entries",
    program: async (server) => {
      const [reply, info] = await server.ask("one", ["COMMAND"], ["COMMAND", "INFO", ...names]);
      const { kind, items } = parseReply(reply);
      const byName = new Map(items!.map((entry) => [entry.items![0].text, canonical(entry)]));
      const wrong = parseReply(info).items!.filter(
        (entry) => byName.get(entry.items![0].text) !== canonical(entry),
      );
      return [
        kind,
        `${wrong.length} entries differ from COMMAND INFO`,
        `${names.filter((name) => !byName.has(name)).join(" ")} missing`,
      ];
    },
  },
];

/** Names 7.0 does not have. */
const newerNames = new Set(["client|setinfo", "client|no-touch"]);

/** Settings that tune what is not there yet: refused, never accepted without effect. A setting that arrives moves to
 *  `config`. */
const laterSettings: readonly (readonly [string, string])[] = [
  ["active-expire-effort", "1"],
  ["slowlog-max-len", "128"],
  ["slowlog-log-slower-than", "10000"],
  ["latency-tracking", "yes"],
];
const later: Case[] = [
  ...laterSettings.flatMap(([name, value]) =>
    ([2, 3] as const).map(
      (protocol): Case => ({
        ...golden(
          `CONFIG SET ${name} is refused, protocol ${protocol}`,
          "what it tunes does not exist yet",
          {
            0: `-ERR Unknown option or number of arguments for CONFIG SET - '${name}'\r\n`,
            1: protocol === 2 ? "*0\r\n" : "%0\r\n",
          },
          `CONFIG SET ${name} ${value}`,
          `CONFIG GET ${name}`,
        ),
        protocols: [protocol],
        config: [name],
      }),
    ),
  ),
];

const policies = [
  "allkeys-lru",
  "allkeys-lfu",
  "allkeys-random",
  "volatile-lru",
  "volatile-lfu",
  "volatile-random",
  "volatile-ttl",
  "noeviction",
];

const sizesOfMemory = [
  "0",
  "100mb",
  "1gb",
  "100k",
  "100kb",
  "1m",
  "104857600",
  "1GB",
  "2Mb",
  "500000b",
  "x",
  "",
  "-1",
  "1.5gb",
  "1tb",
  "100 mb",
  "18446744073709551616",
];

const config: Case[] = [
  {
    ...stream(
      "CONFIG SET maxmemory in every unit",
      ...sizesOfMemory.flatMap((size): Command[] => [
        ["CONFIG", "SET", "maxmemory", size],
        ["CONFIG", "GET", "maxmemory"],
      ]),
      "CONFIG SET maxmemory 0",
    ),
    config: ["maxmemory"],
  },
  {
    ...stream(
      "CONFIG SET maxmemory-policy",
      ...[...policies, "NoEviction", "Allkeys-LRU", "nosuch", "", "noeviction"].flatMap(
        (policy): Command[] => [
          ["CONFIG", "SET", "maxmemory-policy", policy],
          ["CONFIG", "GET", "maxmemory-policy"],
          ["DEL", "k"], // the counter of a new key is the same in both, that of one from before an LFU policy is not
          ["SET", "k", "v"],
          ["OBJECT", "IDLETIME", "k"],
          ["OBJECT", "FREQ", "k"],
          ["OBJECT", "FREQ", "none"],
          ["OBJECT", "IDLETIME", "none"],
        ],
      ),
    ),
    config: ["maxmemory-policy"],
  },
  ...[
    ["timeout", ["0", "100", "-1", "x", "1.5", ""]],
    ["tcp-keepalive", ["300", "0", "60", "-1", "x"]],
    ["maxmemory-samples", ["5", "10", "x"]],
    ["lfu-log-factor", ["0", "10", "-1", "x"]],
    ["lfu-decay-time", ["0", "1", "-1", "x"]],
    ["proto-max-bulk-len", ["512mb", "1mb", "2097152", "1", "x"]],
    ["lazyfree-lazy-expire", ["yes", "no", "YES", "maybe", "1", "x"]],
  ].map(([name, values]) => ({
    ...stream(
      `CONFIG SET ${name}`,
      ...(values as string[]).flatMap((value): Command[] => [
        ["CONFIG", "SET", name as string, value],
        ["CONFIG", "GET", name as string],
      ]),
    ),
    config: [name as string],
  })),
  {
    ...stream(
      "CONFIG SET of several at once is all or nothing",
      "CONFIG SET timeout 50 maxmemory-samples 7",
      "CONFIG GET timeout",
      "CONFIG SET maxmemory-samples 8 timeout 60 maxmemory-policy nosuch",
      "CONFIG GET timeout",
      "CONFIG GET maxmemory-samples",
      "CONFIG SET timeout 70 nosuch 1",
      "CONFIG GET timeout",
      "CONFIG SET timeout 1 timeout 2",
      "CONFIG GET timeout",
      "CONFIG SET timeout 80 maxmemory",
      "CONFIG SET nosuch 1",
      "CONFIG SET nosuch 1 nosuch2 2",
      "CONFIG SET TIMEOUT 90",
      "CONFIG GET TIMEOUT",
      ["CONFIG", "SET", "", "x"],
      "CONFIG SET a\tb x",
    ),
    config: ["timeout", "maxmemory-samples", "maxmemory-policy"],
  },
  {
    ...stream(
      "CONFIG GET with globs and several names",
      "CONFIG GET nosuch",
      "CONFIG SET maxmemory-samples 7",
      "CONFIG GET maxmemory-sample*",
      "CONFIG GET maxmemory-samples nosuch",
      "CONFIG GET maxmemory-samples maxmemory-samples",
      "CONFIG GET maxmemory-sample? MAXMEMORY-SAMPLES",
      ["CONFIG", "GET", ""],
      "CONFIG GET *",
      "config get nosuch*",
      "CONFIG GET maxmemory-samples *memory-samples",
    ),
    config: ["maxmemory-samples"],
    normalise: { 7: kindOnly },
  },
  {
    ...stream(
      "what is refused above maxmemory and what is not",
      "CONFIG RESETSTAT",
      ["SET", "a", "x".repeat(5000)],
      ["MSET", "b", "y", "c", "1"],
      "CONFIG SET maxmemory 1",
      ...[
        "SET n 1",
        "SET a 1 XX",
        "SETNX n 1",
        "SETEX n 1 1",
        "PSETEX n 1 1",
        "GETSET a 1",
        "MSET n 1",
        "MSETNX n 1",
        "APPEND a x",
        "SETRANGE a 0 x",
        "INCR c",
        "DECR c",
        "INCRBY c 1",
        "DECRBY c 1",
        "INCRBYFLOAT c 1",
        "COPY a n",
        "GET",
        "SET n",
        "GET c",
        "STRLEN a",
        "EXPIRE a 100",
        "PERSIST a",
        "RENAME b d",
        "RENAMENX d b",
        "MOVE b 1",
        "SWAPDB 1 2",
        "GETEX a EX 10",
        "TOUCH a c",
        "GETDEL c",
        "DEL a",
        "UNLINK b",
        "PING",
        "FLUSHALL",
        "INFO errorstats",
      ],
      "CONFIG SET maxmemory 0",
      "SET n 1",
    ),
    config: ["maxmemory"],
  },
  stream("CONFIG GET databases and save", "CONFIG GET databases"),
  stream("CONFIG RESETSTAT and REWRITE", "CONFIG RESETSTAT", "CONFIG REWRITE", "config resetstat"),
  stream("CONFIG SET of what cannot be set", "CONFIG SET databases 5", "CONFIG GET databases"),
  {
    name: "proto-max-bulk-len limits requests and growth",
    commands: [
      ["CONFIG", "SET", "proto-max-bulk-len", "1mb"],
      ["SET", "a", "x".repeat(1_048_576)],
      ["APPEND", "a", "y"],
      ["STRLEN", "a"],
      ["SETRANGE", "a", "1048576", "y"],
      ["SETRANGE", "a", "1048575", "y"],
      ["SETRANGE", "b", "2000000", "y"],
      ["EXISTS", "b"],
      ["APPEND", "a", ""],
      ["SETRANGE", "a", "5000000", ""],
    ],
    config: ["proto-max-bulk-len"],
  },
];

const generic: Case[] = [
  { ...stream("CLIENT ID is positive", "CLIENT ID"), normalise: integerFrom(1) },
  {
    ...stream(
      "names and options in any case",
      "gEt a",
      "SeT a 1",
      "iNcR a",
      "mGeT a b",
      "dBsIzE",
      "tYpE a",
      "oBjEcT eNcOdInG a",
      "sTrLeN a",
    ),
    normalise: exact,
  },
  {
    name: "a thousand commands in one write",
    commands: Array.from(
      { length: 1000 },
      (_, i): Command =>
        i % 3 === 0
          ? ["SET", `k${i % 50}`, `v${i}`]
          : i % 3 === 1
            ? ["GET", `k${(i - 1) % 50}`]
            : ["INCR", "n"],
    ),
    pipelined: true,
  },
  {
    name: "MGET of 2,000 absent keys",
    commands: [["MGET", ...filler(2000)], ["DEL", ...filler(2000)], ...lines("DBSIZE")],
  },
];

export const serverCases: Case[] = [
  ...arities,
  ...unknown,
  ...info,
  ...command,
  ...config,
  ...later,
  ...generic,
];
