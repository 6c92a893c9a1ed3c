// Blocking commands: served at once, served later and by what, in which order, given up, and cut short.

import { blocks, type Case, type Command, on, type Step, stream, wakes } from "../harness.ts";
import type { Normaliser } from "../normalise.ts";
import { join, seal, text } from "../rdb-fixtures.ts";
import { textOf } from "../resp.ts";

/** Every blocking command on `k`, its timeout at "T". */
const onLists = [
  "BLPOP k T",
  "BRPOP k T",
  "BLMOVE k d LEFT RIGHT T",
  "BRPOPLPUSH k d T",
  "BLMPOP T 1 k RIGHT",
];
const onSortedSets = ["BZPOPMIN k T", "BZPOPMAX k T", "BZMPOP T 1 k MAX"];
const all = [...onLists, ...onSortedSets];
const feed = (waiter: string): string => (waiter.startsWith("BZ") ? "ZADD k 1.5 m 2 n" : "RPUSH k a b");
const within = (waiter: string, timeout: string): string => waiter.replace(/\bT\b/, () => timeout);
const nameOf = (waiter: string): string => waiter.slice(0, waiter.indexOf(" "));

const atOnce: Case[] = [
  ...all.map((waiter) =>
    stream(
      `${waiter} with something there`,
      feed(waiter),
      within(waiter, "0"),
      within(waiter, "0.5"),
      feed(waiter),
      within(waiter, "9"),
      "EXISTS k d",
    ),
  ),
  ...all.map((waiter) =>
    stream(
      `${waiter} on another type`,
      "SET k v",
      within(waiter, "0"),
      "DEL k",
      "SADD k m",
      within(waiter, "1"),
      "DEL k",
      waiter.startsWith("BZ") ? "RPUSH k a" : "ZADD k 1 a",
      within(waiter, "0"),
    ),
  ),
  stream(
    "the first key with something serves",
    "RPUSH k2 x",
    "RPUSH k3 y z",
    "BLPOP k1 k2 k3 0",
    "BLPOP k1 k2 k3 0",
    "BRPOP k3 k1 0",
    "EXISTS k2 k3",
  ),
  stream(
    "a key of another type before one that serves",
    "SET s v",
    "RPUSH l x y",
    "BLPOP none s l 0",
    "BLPOP l s 0",
    "BRPOP s 0",
    "BRPOP none l s 0",
  ),
  stream(
    "a key of another type before one that serves, sorted sets",
    "SET s v",
    "ZADD z 1 x 2 y 3 w",
    "BZPOPMIN none s z 0",
    "BZPOPMIN z s 0",
    "BZPOPMAX s 0",
    "BZMPOP 0 3 none s z MIN",
    "BZMPOP 0 2 none z MAX COUNT 5",
  ),
  stream("a key twice", "RPUSH k a b", "BLPOP k k 0", "BLPOP k k 0", "ZADD z 1 a", "BZPOPMIN z z z 0"),
  stream(
    "BLMPOP with COUNT",
    "RPUSH k a b c d e",
    "BLMPOP 0 2 none k LEFT COUNT 2",
    "BLMPOP 0 1 k right count 1",
    "BLMPOP 0 1 k LEFT COUNT 100",
    "EXISTS k",
  ),
  stream(
    "BZMPOP with COUNT",
    "ZADD k 1 a 2 b 3 c 4 d 5 e",
    "BZMPOP 0 2 none k MIN COUNT 2",
    "BZMPOP 0 1 k max count 1",
    "BZMPOP 0 1 k MIN COUNT 100",
    "EXISTS k",
  ),
  stream(
    "BLMOVE each way",
    "RPUSH k a b c d",
    "BLMOVE k d LEFT LEFT 0",
    "BLMOVE k d left right 0",
    "BLMOVE k d RIGHT LEFT 0",
    "BLMOVE k d Right Right 0",
    "LRANGE d 0 -1",
    "BLMOVE d d LEFT RIGHT 0",
    "BRPOPLPUSH d d 0",
    "LRANGE d 0 -1",
  ),
  stream(
    "BLMOVE to another type",
    "RPUSH k a",
    "SET d v",
    "BLMOVE k d LEFT RIGHT 0",
    "BRPOPLPUSH k d 0",
    "LRANGE k 0 -1",
  ),
  {
    ...stream(
      "scores of every kind",
      "ZADD k 1 a 1.5 b inf c -inf d 100000000000000000 e 0 f",
      ...Array.from({ length: 6 }, () => "BZPOPMIN k 0"),
    ),
    oracle: "8",
  },
];

const wrongTimeouts = ["x", "", "-1", "-0.1", "1x", "0x", "nan", "-inf", " 1", "1 ", "1,5", "--1"];
/** Taken by all: the key has something, so that nobody waits. */
const rightTimeouts = ["0", "0.0", "00", "+1", "1e-3", ".5", "5.", "1000000", "0.000001", "-0", "1e9"];
const argumentsCases: Case[] = [
  ...all.map((waiter): Case => {
    const words = waiter.split(" ");
    const timed = (timeout: string): Command => words.map((word) => (word === "T" ? timeout : word));
    return {
      name: `${nameOf(waiter)} with every timeout`,
      commands: [
        ...wrongTimeouts.map(timed),
        ["SET", "k", "v"],
        ...wrongTimeouts.map(timed),
        ["DEL", "k"],
        ...rightTimeouts.flatMap((timeout): Command[] => [
          ["DEL", "k", "d"],
          feed(waiter).split(" "),
          timed(timeout),
        ]),
      ],
    };
  }),
  ...all.map(
    (waiter): Case => ({
      ...stream(
        `${nameOf(waiter)} with a timeout that is too long`,
        feed(waiter),
        ...[
          "inf",
          "1e400",
          "1e16",
          "9223372036854775807",
          "9223372036854775808",
          "9223372036854776",
          "1e300",
        ].map((timeout) => within(waiter, timeout)),
      ),
      oracle: "8",
    }),
  ),
  stream(
    "arity",
    ...[
      "BLPOP",
      "BLPOP k",
      "BRPOP",
      "BRPOP k",
      "BLMOVE k d LEFT RIGHT",
      "BLMOVE k d LEFT RIGHT 0 x",
      "BLMOVE",
    ],
    ...[
      "BRPOPLPUSH k d",
      "BRPOPLPUSH k d 0 x",
      "BLMPOP 0 1 k",
      "BLMPOP 0 1",
      "BLMPOP",
      "BZPOPMIN k",
      "BZPOPMAX k",
    ],
    ...["BZPOPMIN", "BZMPOP 0 1 k", "BZMPOP 0 1", "BZMPOP"],
  ),
  ...["BLMPOP T N k l SIDE", "BZMPOP T N k l SIDE"].map((form): Case => {
    const sides = form.startsWith("BL") ? ["LEFT", "MIN", "x", ""] : ["MIN", "LEFT", "x", ""];
    const of = (timeout: string, count: string, side: string, ...more: string[]): Command => [
      ...form
        .split(" ")
        .map((word) => (word === "T" ? timeout : word === "N" ? count : word === "SIDE" ? side : word)),
      ...more,
    ];
    return {
      name: `${form} with every argument wrong`,
      commands: [
        form.startsWith("BL")
          ? ["RPUSH", "k", "a", "b", "c", "d", "e", "f"]
          : "ZADD k 1 a 2 b 3 c 4 d 5 e 6 f".split(" "),
        ...["0", "-1", "x", "", "3", "4", "1", "9223372036854775807", "9223372036854775808", "1.5"].map(
          (count) => of("0", count, sides[0]!),
        ),
        ...sides.map((side) => of("0", "2", side)),
        ...["0", "-1", "x", "", "1", "9223372036854775807", "9223372036854775808"].map((count) =>
          of("0", "2", sides[0]!, "COUNT", count),
        ),
        of("0", "2", sides[0]!, "COUNT"),
        of("0", "2", sides[0]!, "COUNT", "1", "COUNT", "1"),
        of("0", "2", sides[0]!, "x", "1"),
        of("0", "2", sides[0]!, "COUNT", "1", "x"),
        of("x", "0", "x"),
        of("-1", "0", "x"),
        of("x", "2", "x"),
        of("x", "x", sides[0]!),
      ],
    };
  }),
  stream(
    "BLMOVE and BRPOPLPUSH with wrong arguments",
    ...[
      "BLMOVE k d x RIGHT 0",
      "BLMOVE k d LEFT x 0",
      "BLMOVE k d x x x",
      "BLMOVE k d LEFT RIGHT x",
      "BLMOVE k d LEFT RIGHT -1",
    ],
    ...[
      "SET k v",
      "BLMOVE k d x RIGHT 0",
      "BLMOVE k d LEFT RIGHT x",
      "BRPOPLPUSH k d x",
      "BRPOPLPUSH k d -1",
      "BRPOPLPUSH k d 0",
    ],
  ),
];

const timeouts: Case[] = [
  ...all.map((waiter) =>
    stream(
      `${waiter} times out`,
      "PING",
      within(waiter, "0.02"),
      "PING",
      within(waiter, "0.0001"),
      "EXISTS k d",
    ),
  ),
  stream(
    "several keys time out",
    "BLPOP a b c 0.03",
    "BZPOPMAX a b c 0.03",
    "BLMPOP 0.03 3 a b c LEFT",
    "BZMPOP 0.03 3 a b c MIN",
  ),
  {
    name: "one of several gives up, and the next is served",
    steps: [
      blocks("b", "BLPOP k 0"),
      on("a", "BLPOP k 0.05"),
      wakes("b", on("c", "RPUSH k 1 2", "LRANGE k 0 -1")),
      on("a", "BLPOP k 0.05"),
    ],
  },
  {
    name: "the first in line gives up",
    steps: [
      blocks("a", "BRPOP k 0.4"),
      blocks("b", "BRPOP k 0"),
      wakes("a", { waitMs: 350 }),
      wakes("b", on("c", "RPUSH k 1 2")),
      on("a", "BRPOP k 0.4"),
    ],
  },
  {
    name: "who gave up can wait again",
    steps: [
      on("a", "BLPOP k 0.02", "BLPOP k j 0.02"),
      blocks("a", "BLPOP j k 0"),
      wakes("a", on("b", "RPUSH k 1")),
      on("b", "RPUSH j 1", "LRANGE j 0 -1"),
    ],
  },
  {
    name: "many give up",
    steps: [
      ...Array.from({ length: 6 }, (_, i) => blocks(`w${i}`, i < 3 ? "BLPOP k j 0.4" : "BZPOPMIN k 0.4")),
      wakes("w0 w1 w2 w3 w4 w5", { waitMs: 350 }),
      on("b", "RPUSH k 1", "LLEN k"),
    ],
  },
];

const waking: Case[] = all.map((waiter) => ({
  name: `${waiter} waits and is served`,
  steps: [
    blocks("a", within(waiter, "0")),
    wakes("a", on("b", feed(waiter), "EXISTS k d", "DEL k d")),
    blocks("a", "SET x 1", within(waiter, "100"), "GET x"),
    wakes("a", on("b", feed(waiter), "EXISTS k d")),
  ],
}));

/** What puts a list or a sorted set at `k`: setup, act. */
const listFeeds: readonly (readonly [string, string])[] = [
  ["", "LPUSH k a b c"],
  ["", "RPUSH k a b c"],
  ["RPUSH j x y", "RPOPLPUSH j k"],
  ["RPUSH j x y", "LMOVE j k LEFT LEFT"],
  ["RPUSH j x y", "BLMOVE j k RIGHT LEFT 0"],
  ["RPUSH j x y", "RENAME j k"],
  ["RPUSH j x y", "RENAMENX j k"],
  ["RPUSH j x y", "COPY j k"],
  ["SELECT 1; RPUSH k x y; SELECT 0", "SELECT 1; MOVE k 0"],
  ["SELECT 1; RPUSH k x y; SELECT 0", "SELECT 1; COPY k k DB 0"],
  ["RPUSH j 2 1 3", "SORT j STORE k"],
  ["SELECT 1; RPUSH k x y; SELECT 0", "SWAPDB 0 1"],
  ["SELECT 1; RPUSH k x y; SELECT 0", "SWAPDB 1 0"],
  ["", "MULTI; RPUSH k a; RPUSH k b; LLEN k; EXEC"],
  ["", "MULTI; RPUSH k a; DEL k; RPUSH k b; EXEC"],
  ["RPUSH j x y", "MULTI; RENAME j k; RPUSH k z; EXEC"],
  ["", "RPUSH k a; LLEN k; RPUSH k b; LLEN k"],
];
const sortedSetFeeds: readonly (readonly [string, string])[] = [
  ["", "ZADD k 2 b 1 a"],
  ["", "ZADD k INCR 2 b"],
  ["", "ZINCRBY k 3 c"],
  ["ZADD j 1 x 2 y", "ZUNIONSTORE k 1 j"],
  ["ZADD j 1 x 2 y", "ZINTERSTORE k 2 j j"],
  ["ZADD j 1 x 2 y", "ZDIFFSTORE k 2 j none"],
  ["SADD j x y", "ZUNIONSTORE k 1 j"],
  ["ZADD j 1 x 2 y", "ZRANGESTORE k j 0 -1"],
  ["ZADD j 1 x 2 y", "RENAME j k"],
  ["ZADD j 1 x 2 y", "RENAMENX j k"],
  ["ZADD j 1 x 2 y", "COPY j k"],
  ["SELECT 1; ZADD k 1 x 2 y; SELECT 0", "SELECT 1; MOVE k 0"],
  ["SELECT 1; ZADD k 1 x 2 y; SELECT 0", "SWAPDB 0 1"],
  ["", "GEOADD k 1 1 a"],
  ["GEOADD j 1 1 a 1.001 1 b", "GEOSEARCHSTORE k j FROMLONLAT 1 1 BYRADIUS 5 km"],
  ["GEOADD j 1 1 a 1.001 1 b", "GEORADIUS j 1 1 5 km STORE k"],
  ["", "MULTI; ZADD k 5 a; ZADD k 1 b; ZCARD k; EXEC"],
  ["", "ZADD k 1 a; ZCARD k; ZADD k 2 b"],
];

const commandsOf = (text: string): string[] => (text === "" ? [] : text.split("; "));

function fed(waiter: string, feeds: readonly (readonly [string, string])[]): Case {
  return {
    name: `what wakes ${waiter}`,
    steps: feeds.flatMap(([setup, act]): Step[] => [
      on("b", "FLUSHALL", ...commandsOf(setup)),
      blocks("a", waiter),
      wakes("a", on("b", ...commandsOf(act), "SELECT 0", "EXISTS k j")),
    ]),
  };
}

const wakers: Case[] = [
  fed("BLPOP k 0", listFeeds),
  fed("BLMOVE k d RIGHT LEFT 0", listFeeds),
  fed("BLMPOP 0 2 i k LEFT COUNT 2", listFeeds),
  fed("BZPOPMIN k 0", sortedSetFeeds),
  fed("BZMPOP 0 2 i k MAX COUNT 2", sortedSetFeeds),
  {
    name: "RESTORE wakes",
    steps: [
      blocks("a", "BLPOP k 0"),
      blocks("z", "BZPOPMAX k y 0"),
      wakes(
        "a",
        on(
          "b",
          ["RESTORE", "k", "0", textOf(seal(join(1, 2, text("x"), text("y"))))],
          "LRANGE k 0 -1",
          "DEL k",
        ),
      ),
      wakes(
        "z",
        on(
          "b",
          ["RESTORE", "k", "0", textOf(seal(join(3, 2, text("a"), 1, "7", text("b"), 2, "-3")))],
          "ZCARD k",
        ),
      ),
    ],
  },
  {
    name: "what does not wake",
    steps: [
      blocks("a", "BLPOP k 0"),
      blocks("z", "BZPOPMIN k 0"),
      on(
        "b",
        "SET k v",
        "APPEND k w",
        "DEL k",
        "LPUSHX k a",
        "RPUSHX k a",
        "HSET k f v",
        "DEL k",
        "SADD k m",
        "DEL k",
      ),
      on(
        "b",
        "ZADD k XX 1 a",
        "LINSERT k BEFORE a b",
        "SORT none STORE k",
        "ZUNIONSTORE k 1 none",
        "ZRANGESTORE k none 0 -1",
      ),
      on(
        "b",
        "RPUSH other a",
        "ZADD zother 1 a",
        "RENAME other k2",
        "SELECT 1",
        "RPUSH k a",
        "ZADD z 1 a",
        "FLUSHALL",
      ),
      on("b", "SELECT 0", "MULTI", "RPUSH k a", "DEL k", "EXEC", "MULTI", "RPUSH k a", "LPOP k", "EXEC"),
      on(
        "b",
        "MULTI",
        "ZADD k 1 a",
        "ZREM k a",
        "EXEC",
        "MULTI",
        "RPUSH k a",
        "DISCARD",
        "SWAPDB 0 1",
        "SWAPDB 2 3",
      ),
      on("b", "MULTI", "RPUSH k a", "DEL k", "SET k v", "EXEC", "DEL k"),
      on("b", "MULTI", "RPUSH k a", "RENAME k other", "EXEC", "MULTI", "RPUSH k a", "PEXPIREAT k 1", "EXEC"),
      on("b", "MULTI", "RPUSH k a", "MOVE k 1", "EXEC", "FLUSHDB", "FLUSHALL", "EXISTS k"),
      wakes("a", on("b", "RPUSH k x y", "DEL k")),
      wakes("z", on("b", "ZADD k 1 x 2 y", "DEL k")),
    ],
  },
  {
    name: "a list wakes who waits for lists, a sorted set who waits for sorted sets",
    steps: [
      blocks("z1", "BZPOPMIN k 0"),
      blocks("l1", "BLPOP k 0"),
      blocks("z2", "BZMPOP 0 1 k MAX"),
      blocks("l2", "BRPOP k 0"),
      wakes("l1", on("b", "RPUSH k 1")),
      wakes("z1 z2", on("b", "ZADD k 1 a 2 b 3 c", "DEL k")),
      wakes("l2", on("b", "RPUSH k 1 2", "LRANGE k 0 -1")),
    ],
  },
  {
    name: "both kinds wait, and a transaction leaves the other type",
    steps: [
      blocks("z", "BZPOPMIN k 0"),
      blocks("l", "BLPOP k 0"),
      wakes("z", on("b", "MULTI", "RPUSH k 1", "DEL k", "ZADD k 1 a", "EXEC", "EXISTS k")),
      wakes("l", on("b", "MULTI", "ZADD k 1 a", "DEL k", "RPUSH k 1", "EXEC", "EXISTS k")),
    ],
  },
];

const order: Case[] = [
  {
    name: "first come, first served",
    steps: [
      ...["a", "b", "c", "d"].map((name) => blocks(name, "BLPOP k 0")),
      wakes("a", on("p", "RPUSH k 1")),
      wakes("b c", on("p", "RPUSH k 2 3", "LLEN k")),
      wakes("d", on("p", "RPUSH k 4 5 6", "LRANGE k 0 -1")),
    ],
  },
  {
    name: "LPUSH a b c serves with c",
    steps: [blocks("a", "BLPOP k 0"), wakes("a", on("p", "LPUSH k a b c", "LRANGE k 0 -1"))],
  },
  {
    name: "who waits with different commands is served in turn",
    steps: [
      blocks("a", "BRPOP k 0"),
      blocks("b", "BLMPOP 0 1 k LEFT COUNT 2"),
      blocks("c", "BLMOVE k d LEFT RIGHT 0"),
      blocks("e", "BRPOPLPUSH k d 0"),
      blocks("f", "BLPOP k 0"),
      wakes("a b c e f", on("p", "RPUSH k 1 2 3 4 5 6 7", "LRANGE k 0 -1", "LRANGE d 0 -1")),
    ],
  },
  {
    name: "who waits for sorted sets with different commands is served in turn",
    steps: [
      blocks("a", "BZPOPMAX k 0"),
      blocks("b", "BZMPOP 0 1 k MIN COUNT 2"),
      blocks("c", "BZPOPMIN k 0"),
      wakes("a b c", on("p", "ZADD k 1 a 2 b 3 c 4 d 5 e", "ZRANGE k 0 -1 WITHSCORES")),
    ],
  },
  {
    name: "who takes all leaves nothing to the next",
    steps: [
      blocks("a", "BLMPOP 0 1 k LEFT COUNT 10"),
      blocks("b", "BLPOP k 0"),
      wakes("a", on("p", "RPUSH k 1 2 3", "EXISTS k")),
      wakes("b", on("p", "RPUSH k 4 5")),
    ],
  },
  {
    name: "several keys, one push each",
    steps: ["k1", "k2", "k3"].flatMap((key) => [
      blocks("a", "BLPOP k1 k2 k3 0"),
      blocks("b", "BRPOP k3 k2 k1 0"),
      wakes("a", on("p", `RPUSH ${key} 1`)),
      wakes("b", on("p", `RPUSH ${key} 2 3`)),
      on("p", "FLUSHALL"),
    ]),
  },
  {
    name: "served by one key, forgotten by the others",
    steps: [
      blocks("a", "BLPOP k1 k2 k3 0"),
      wakes("a", on("p", "RPUSH k2 x")),
      on("p", "RPUSH k1 y", "RPUSH k3 z", "LRANGE k1 0 -1", "LRANGE k3 0 -1"),
    ],
  },
  {
    name: "the same key twice",
    steps: [
      blocks("a", "BLPOP k k 0"),
      blocks("b", "BLPOP k j k 0"),
      wakes("a", on("p", "RPUSH k 1")),
      wakes("b", on("p", "RPUSH k 2 3", "LRANGE k 0 -1")),
    ],
  },
  {
    name: "two keys readied in one transaction, in the order of arguments",
    steps: [
      blocks("a", "BLPOP k1 k2 0"),
      wakes("a", on("p", "MULTI", "RPUSH k2 two", "RPUSH k1 one", "EXEC", "EXISTS k1 k2", "FLUSHALL")),
      blocks("a", "BLPOP k1 k2 0"),
      wakes(
        "a",
        on(
          "p",
          "MULTI",
          "RPUSH k1 one",
          "RPUSH k2 two",
          "EXEC",
          "LRANGE k1 0 -1",
          "LRANGE k2 0 -1",
          "FLUSHALL",
        ),
      ),
      blocks("z", "BZPOPMIN z1 z2 0"),
      wakes("z", on("p", "MULTI", "ZADD z2 1 two", "ZADD z1 1 one", "EXEC", "EXISTS z1 z2")),
    ],
    oracle: "8",
  },
  {
    name: "two keys readied in one transaction, and two who wait",
    steps: [
      blocks("a", "BLPOP k1 k2 0"),
      blocks("b", "BLPOP k2 0"),
      wakes("a b", on("p", "MULTI", "RPUSH k2 two", "RPUSH k1 one", "EXEC", "EXISTS k1 k2")),
      blocks("a", "BLPOP k1 0"),
      blocks("b", "BLPOP k2 k1 0"),
      wakes("a b", on("p", "MULTI", "RPUSH k1 one", "RPUSH k2 two", "EXEC", "EXISTS k1 k2")),
    ],
    oracle: "8",
  },
  {
    name: "a place in line is kept when there was nothing left",
    steps: [
      blocks("a", "BLPOP k 0"),
      blocks("b", "BLPOP k 0"),
      on("p", "MULTI", "RPUSH k 1", "LPOP k", "EXEC"),
      on("p", "MULTI", "RPUSH k 1", "DEL k", "SET k v", "EXEC", "DEL k"),
      wakes("a", on("p", "RPUSH k 2")),
      wakes("b", on("p", "RPUSH k 3")),
    ],
  },
  {
    name: "a hundred wait for one key",
    steps: [
      ...Array.from({ length: 100 }, (_, i) => blocks(`w${i}`, "BLPOP k 0")),
      wakes(
        Array.from({ length: 60 }, (_, i) => `w${i}`).join(" "),
        on("p", ["RPUSH", "k", ...Array.from({ length: 60 }, (_, i) => `${i}`)]),
      ),
      wakes(
        Array.from({ length: 40 }, (_, i) => `w${60 + i}`).join(" "),
        on("p", ["LPUSH", "k", ...Array.from({ length: 50 }, (_, i) => `${i}`)], "LRANGE k 0 -1"),
      ),
    ],
    protocols: [2],
  },
];

const moves: Case[] = [
  {
    name: "a chain of moves",
    steps: [
      blocks("c", "BLPOP k3 0"),
      blocks("b", "BLMOVE k2 k3 LEFT RIGHT 0"),
      blocks("a", "BRPOPLPUSH k1 k2 0"),
      wakes("a b c", on("p", "RPUSH k1 x y", "LRANGE k1 0 -1", "EXISTS k2 k3")),
    ],
  },
  {
    name: "a chain of moves, the other way round",
    steps: [
      blocks("a", "BLMOVE k1 k2 LEFT RIGHT 0"),
      blocks("b", "BLMOVE k2 k3 LEFT RIGHT 0"),
      blocks("c", "BLMOVE k3 k4 LEFT RIGHT 0"),
      blocks("d", "BLMPOP 0 1 k4 LEFT COUNT 9"),
      wakes("a b c d", on("p", "RPUSH k1 x y z", "LRANGE k1 0 -1", "EXISTS k2 k3 k4")),
    ],
  },
  {
    name: "moves in a ring",
    steps: [
      blocks("a", "BRPOPLPUSH k1 k2 0"),
      blocks("b", "BRPOPLPUSH k2 k1 0"),
      wakes("a b", on("p", "RPUSH k1 x", "LRANGE k1 0 -1", "LRANGE k2 0 -1")),
    ],
  },
  {
    name: "a move to where it came from",
    steps: [
      blocks("a", "BLMOVE k k LEFT RIGHT 0"),
      blocks("b", "BRPOPLPUSH k k 0"),
      wakes("a b", on("p", "RPUSH k 1 2 3", "LRANGE k 0 -1")),
      blocks("a", "BLMOVE e e RIGHT LEFT 0"),
      wakes("a", on("p", "RPUSH e 1", "LRANGE e 0 -1")),
    ],
  },
  {
    name: "several move to one place",
    steps: [
      blocks("a", "BLMOVE k1 d LEFT RIGHT 0"),
      blocks("b", "BLMOVE k2 d LEFT RIGHT 0"),
      blocks("c", "BRPOP d 0"),
      wakes("b c", on("p", "RPUSH k2 x")),
      wakes("a", on("p", "RPUSH k1 y", "LRANGE d 0 -1")),
    ],
  },
  {
    name: "a transaction feeds both ends of a chain",
    steps: [
      blocks("a", "BLMOVE k1 k2 LEFT RIGHT 0"),
      blocks("b", "BLPOP k2 0"),
      wakes(
        "a b",
        on("p", "MULTI", "RPUSH k1 one", "RPUSH k2 two", "EXEC", "LRANGE k1 0 -1", "LRANGE k2 0 -1"),
      ),
    ],
  },
  {
    name: "a move to another type, when it is served",
    steps: [
      on("p", "SET d v"),
      blocks("a", "BLMOVE k d LEFT RIGHT 0"),
      blocks("b", "BRPOPLPUSH k d 0"),
      blocks("c", "BLPOP k 0"),
      wakes("a b c", on("p", "RPUSH k x y", "LRANGE k 0 -1", "GET d")),
    ],
  },
  {
    name: "a move whose place takes another type while it waits",
    steps: [
      blocks("a", "BLMOVE k d LEFT RIGHT 0"),
      on("p", "SET d v"),
      wakes("a", on("p", "RPUSH k x y", "LRANGE k 0 -1")),
      blocks("a", "BLMOVE j d LEFT RIGHT 0"),
      wakes("a", on("p", "MULTI", "RPUSH j x", "DEL d", "EXEC", "LRANGE d 0 -1")),
    ],
  },
];

const databases: Case[] = [
  {
    name: "blocked in one database, pushed in another",
    steps: [
      on("a", "SELECT 1"),
      blocks("a", "BLPOP k 0"),
      blocks("b", "BLPOP k 0"),
      wakes("b", on("p", "RPUSH k zero")),
      on("p", "RPUSH k zero", "DEL k", "SELECT 1"),
      wakes("a", on("p", "RPUSH k one")),
      on("a", "SET x 1", "SELECT 0", "EXISTS x"),
    ],
  },
  {
    name: "SWAPDB brings both databases what they waited for",
    steps: [
      on("p", "SELECT 1", "RPUSH k one", "SELECT 0", "ZADD z 1 zero"),
      blocks("a", "BLPOP k 0"),
      on("b", "SELECT 1"),
      blocks("b", "BZPOPMIN z 0"),
      wakes("a b", on("p", "SWAPDB 0 1", "DBSIZE", "SELECT 1", "DBSIZE")),
    ],
  },
  {
    name: "who waits stays in its database when they are swapped",
    steps: [
      blocks("a", "BLPOP k 0"),
      on("p", "SWAPDB 0 1", "SELECT 1", "RPUSH k one", "SELECT 0"),
      wakes("a", on("p", "RPUSH k zero", "DBSIZE")),
    ],
  },
  {
    name: "MOVE to where somebody waits",
    steps: [
      on("a", "SELECT 9"),
      blocks("a", "BRPOP k j 0"),
      wakes("a", on("p", "RPUSH j 1 2", "MOVE j 9", "SELECT 9", "LRANGE j 0 -1")),
    ],
  },
];

const cutShort: Case[] = [
  ...all.map(
    (waiter): Case => ({
      name: `CLIENT UNBLOCK of ${nameOf(waiter)}`,
      steps: [
        blocks("a", within(waiter, "0")),
        wakes("a", on("b", "CLIENT UNBLOCK {id:a}")),
        blocks("a", within(waiter, "0")),
        wakes("a", on("b", "CLIENT UNBLOCK {id:a} TIMEOUT")),
        blocks("a", within(waiter, "0")),
        wakes("a", on("b", "client unblock {id:a} error", "CLIENT UNBLOCK {id:a} ERROR")),
        on("b", feed(waiter), "EXISTS k"),
        on("a", within(waiter, "0")),
      ],
    }),
  ),
  {
    name: "CLIENT UNBLOCK with wrong arguments, and of who is not blocked",
    steps: [
      on(
        "b",
        "CLIENT UNBLOCK",
        "CLIENT UNBLOCK x",
        "CLIENT UNBLOCK 0",
        "CLIENT UNBLOCK -1",
        "CLIENT UNBLOCK 999999",
      ),
      on(
        "b",
        "CLIENT UNBLOCK {id:a}",
        "CLIENT UNBLOCK {id:b}",
        "CLIENT UNBLOCK {id:a} ERROR",
        "CLIENT UNBLOCK {id:a} x",
      ),
      on("b", "CLIENT UNBLOCK {id:a} ERROR x", "CLIENT UNBLOCK 9223372036854775808", "CLIENT UNBLOCK 1.5"),
      on("a", "PING"),
    ],
  },
  {
    name: "CLIENT UNBLOCK of one in the middle",
    steps: [
      ...["a", "b", "c"].map((name) => blocks(name, "BLPOP k j 0")),
      wakes("b", on("p", "CLIENT UNBLOCK {id:b}")),
      wakes("a c", on("p", "RPUSH k 1 2 3", "LRANGE k 0 -1")),
    ],
  },
  {
    name: "a push and CLIENT UNBLOCK in one transaction",
    steps: [
      blocks("a", "BLPOP k 0"),
      wakes("a", on("b", "MULTI", "RPUSH k 1", "CLIENT UNBLOCK {id:a}", "EXEC", "LRANGE k 0 -1", "DEL k")),
      blocks("a", "BLPOP k 0"),
      wakes("a", on("b", "MULTI", "CLIENT UNBLOCK {id:a} ERROR", "RPUSH k 1", "EXEC", "LRANGE k 0 -1")),
    ],
  },
  {
    name: "a push and CLIENT UNBLOCK in one write",
    steps: [
      blocks("a", "BLPOP k 0"),
      wakes("a", on("b", "RPUSH k 1", "CLIENT UNBLOCK {id:a}", "LRANGE k 0 -1")),
    ],
  },
  {
    name: "CLIENT KILL of who is blocked",
    steps: [
      blocks("a", "BLPOP k 0"),
      blocks("b", "BLPOP k 0"),
      { ...on("p", "CLIENT KILL ID {id:a}"), closes: ["a"] },
      wakes("b", on("p", "RPUSH k 1 2", "LRANGE k 0 -1")),
      blocks("b", "BZPOPMIN z 0"),
      { ...on("p", "CLIENT KILL {addr:b}"), closes: ["b"] },
      on("p", "ZADD z 1 a", "ZCARD z"),
    ],
  },
  {
    name: "a push and CLIENT KILL in one transaction",
    steps: [
      blocks("a", "BLPOP k 0"),
      { ...on("b", "MULTI", "RPUSH k 1", "CLIENT KILL ID {id:a}", "EXEC", "LRANGE k 0 -1"), closes: ["a"] },
    ],
  },
  {
    name: "who is blocked goes",
    steps: [
      blocks("a", "BLPOP k 0"),
      blocks("b", "BLMOVE k d LEFT RIGHT 0"),
      blocks("c", "BLPOP k 0"),
      { drops: ["a", "b"] },
      wakes("c", on("p", "RPUSH k 1 2", "LRANGE k 0 -1", "EXISTS d")),
    ],
  },
  {
    name: "all who are blocked go",
    steps: [
      blocks("a", "BLPOP k1 k2 0"),
      blocks("b", "BZPOPMIN k2 k1 0"),
      { drops: ["a", "b"] },
      on("p", "RPUSH k1 1", "ZADD k2 1 a", "LRANGE k1 0 -1", "ZCARD k2"),
    ],
  },
  {
    name: "who is blocked goes with commands behind",
    steps: [
      blocks("a", "BLPOP k 0", "SET x 1"),
      { drops: ["a"] },
      on("p", "RPUSH k 1", "LRANGE k 0 -1", "EXISTS x"),
    ],
  },
];

const behind: Case[] = [
  {
    name: "commands behind a blocked one wait",
    steps: [
      blocks("a", "SET x 1", "BLPOP k 0", "GET x", "INCR x"),
      on("b", "GET x", "SET x 5"),
      wakes("a", on("b", "RPUSH k 1")),
      on("b", "GET x"),
    ],
  },
  {
    name: "commands sent to a blocked one wait",
    steps: [
      blocks("a", "BLPOP k 0"),
      on("a", "GET x"),
      on("a", "INCR n", "PING"),
      on("b", "SET x 1", "GET n"),
      wakes("a", on("b", "RPUSH k 1")),
      on("b", "GET n"),
    ],
  },
  {
    name: "blocked again and again in one pipeline",
    steps: [
      blocks("a", "BLPOP k 0", "BLPOP k 0", "INCR n", "BZPOPMIN z 0", "PING"),
      { ...on("b", "RPUSH k 1"), answers: { a: 1 }, blocks: ["a"] },
      { ...on("b", "RPUSH k 2"), answers: { a: 2 }, blocks: ["a"] },
      wakes("a", on("b", "ZADD z 1 a")),
    ],
  },
  {
    name: "several of a pipeline are served by one push",
    steps: [
      blocks("a", "BLPOP k 0", "BLPOP k 0", "LLEN k", "BRPOP k 0", "PING"),
      wakes("a", on("b", "RPUSH k 1 2 3 4", "PING")),
      on("b", "LRANGE k 0 -1"),
    ],
  },
  {
    name: "a transaction behind a blocked one",
    steps: [
      blocks("a", "BLPOP k 0", "MULTI", "INCR n", "BLPOP k 0", "EXEC"),
      wakes("a", on("b", "RPUSH k 1 2")),
    ],
  },
  {
    name: "QUIT behind a blocked one",
    steps: [
      blocks("a", "BLPOP k 0", "QUIT", "PING"),
      { ...on("b", "RPUSH k 1 2"), closes: ["a"] },
      on("b", "LRANGE k 0 -1"),
    ],
  },
  {
    name: "RESET and HELLO behind a blocked one",
    steps: [
      on("a", "SELECT 2", "CLIENT SETNAME me"),
      blocks("a", "BLPOP k 0", "RESET", "GET x", "HELLO 3", "GET x", "CLIENT GETNAME"),
      wakes("a", on("b", "SELECT 2", "RPUSH k 1")),
    ],
  },
  {
    name: "a pipeline of the one who pushes",
    steps: [
      blocks("a", "BLPOP k 0"),
      wakes("a", on("b", "LLEN k", "RPUSH k 1", "LLEN k", "RPUSH k 2", "LLEN k", "LRANGE k 0 -1")),
    ],
  },
  {
    name: "timeouts and commands behind",
    steps: [on("a", "BLPOP k 0.02", "INCR n", "BRPOP k 0.02", "INCR n"), on("b", "GET n")],
  },
];

const spread = Array.from({ length: 48 }, (_, i) => `spread:${i}`);
const shards: Case[] = [
  {
    name: "waiting for many keys, fed by each in turn",
    steps: [0, 7, 15, 22, 31, 40, 47].flatMap((i) => [
      blocks("a", ["BLPOP", ...spread, "0"]),
      wakes("a", on("p", `RPUSH ${spread[i]} v${i}`, "DBSIZE")),
    ]),
  },
  {
    name: "many wait for a key each, and one transaction feeds them",
    steps: [
      ...spread.map((key, i) => blocks(`w${i}`, i % 2 === 0 ? `BLPOP ${key} 0` : `BZPOPMAX ${key} 0`)),
      wakes(
        spread.map((_, i) => `w${i}`).join(" "),
        on(
          "p",
          "MULTI",
          ...spread.map((key, i) => (i % 2 === 0 ? `RPUSH ${key} v` : `ZADD ${key} ${i} m`)),
          "EXEC",
          "DBSIZE",
        ),
      ),
    ],
    protocols: [3],
  },
  {
    name: "a chain over many keys",
    steps: [
      ...Array.from({ length: 20 }, (_, i) =>
        blocks(`w${i}`, `BLMOVE ${spread[i]} ${spread[i + 1]} LEFT RIGHT 0`),
      ),
      wakes(
        Array.from({ length: 20 }, (_, i) => `w${i}`).join(" "),
        on("p", `RPUSH ${spread[0]} x y`, "DBSIZE", `LRANGE ${spread[20]} 0 -1`),
      ),
    ],
  },
];

/** The number of clients that INFO calls blocked; other replies as bytes. */
const blockedCount: Normaliser = {
  name: "blocked_clients",
  differs: (a, b) => {
    const [left, right] = [a, b].map(
      (reply) => /\r\nblocked_clients:\d+/.exec(textOf(reply))?.[0] ?? textOf(reply),
    );
    return left === right ? null : `${left} became ${right}`;
  },
};

const beside: Case[] = [
  {
    name: "what is said of who is blocked",
    alone: true,
    steps: [
      blocks("a", "BLPOP k 0"),
      on("b", "SELECT 2"),
      blocks("b", "BZMPOP 0 2 x y MIN"),
      on("c", "CLIENT LIST"),
      wakes("a", on("c", "RPUSH k 1")),
      on("c", "CLIENT LIST"),
    ],
  },
  {
    name: "INFO counts who is blocked",
    alone: true,
    steps: [
      on("c", "INFO clients"),
      blocks("a", "BLPOP k j 0"),
      blocks("b", "BLPOP k 0"),
      on("c", "INFO clients"),
      wakes("a", on("c", "RPUSH k 1")),
      on("c", "INFO clients"),
      { drops: ["b"] },
      on("c", "INFO clients"),
      on("a", "BLPOP k 0.02"),
      on("c", "INFO clients"),
    ],
    normalise: blockedCount,
  },
  {
    name: "each in its own protocol",
    steps: [
      on("a", "HELLO 3"),
      on("b", "HELLO 2"),
      blocks("a", "BZPOPMIN z 0"),
      wakes("a", on("b", "ZADD z 1.5 m")),
      blocks("b", "BZPOPMIN z 0"),
      wakes("b", on("a", "ZADD z 1.5 m")),
      blocks("a", "BLMPOP 0 1 l LEFT"),
      wakes("a", on("b", "CLIENT UNBLOCK {id:a}")),
      blocks("b", "BLMPOP 0 1 l LEFT"),
      wakes("b", on("a", "CLIENT UNBLOCK {id:b}")),
      on("a", "BLPOP k 0.02", "BLMOVE k d LEFT LEFT 0.02"),
      on("b", "BLPOP k 0.02", "BLMOVE k d LEFT LEFT 0.02"),
    ],
    protocols: [2],
  },
  {
    name: "elements of any length and bytes",
    steps: ["", "\x00\r\n\xff", "x".repeat(5000), "y".repeat(100_000), "z".repeat(400_000)].flatMap(
      (element) => [
        blocks("a", "BLPOP k 0"),
        wakes("a", on("p", ["RPUSH", "k", element])),
        blocks("a", "BLMOVE k d LEFT RIGHT 0"),
        wakes("a", on("p", ["RPUSH", "k", element], "DEL d")),
      ],
    ),
  },
  {
    name: "many elements at once",
    steps: [
      blocks("a", "BLMPOP 0 1 k LEFT COUNT 5000"),
      wakes(
        "a",
        on("p", ["RPUSH", "k", ...Array.from({ length: 6000 }, (_, i) => `element ${i}`)], "LLEN k"),
      ),
      blocks("z", "BZMPOP 0 1 z MAX COUNT 5000"),
      wakes(
        "z",
        on(
          "p",
          ["ZADD", "z", ...Array.from({ length: 3000 }, (_, i) => [`${i}`, `m${i}`]).flat()],
          "ZCARD z",
        ),
      ),
    ],
  },
  {
    name: "keys with any bytes",
    steps: ["", "\x00\r\n\xff", "k".repeat(300), "k".repeat(70_000)].flatMap((key) => [
      blocks("a", ["BLPOP", "none", key, "0"]),
      wakes("a", on("p", ["RPUSH", key, "v"])),
    ]),
  },
  {
    name: "WATCH and who is blocked",
    steps: [
      on("a", "WATCH k"),
      blocks("a", "BLPOP k 0"),
      on("w", "WATCH k"),
      on("v", "WATCH d"),
      wakes("a", on("p", "RPUSH k 1")),
      on("a", "MULTI", "PING", "EXEC"),
      on("w", "MULTI", "PING", "EXEC", "WATCH k"),
      on("v", "MULTI", "PING", "EXEC", "WATCH d"),
      blocks("a", "BLMOVE k d LEFT RIGHT 0"),
      wakes("a", on("p", "RPUSH k 1")),
      on("v", "MULTI", "PING", "EXEC"),
      on("w", "MULTI", "PING", "EXEC"),
    ],
  },
  {
    name: "CLIENT REPLY OFF and blocked",
    steps: [
      on("a", "CLIENT REPLY OFF"),
      blocks("a", "BLPOP k 0"),
      on("b", "RPUSH k 1"),
      on("b", "LRANGE k 0 -1"),
      { ...on("a", "CLIENT REPLY ON", "PING"), answers: { a: 2 } },
    ],
    unmarked: ["a"],
  },
  {
    name: "out of memory and blocked",
    steps: [
      blocks("a", "BLPOP k 0"),
      blocks("b", "BLMOVE j d LEFT RIGHT 0"),
      on(
        "p",
        "RPUSH s 1",
        "CONFIG SET maxmemory 1",
        "RPUSH k 1",
        "BLPOP s 0",
        "BLMOVE s d LEFT RIGHT 0",
        "CONFIG SET maxmemory 0",
      ),
      wakes("a", on("p", "RPUSH k 2")),
      wakes("b", on("p", "RPUSH j 3")),
    ],
    config: ["maxmemory", "maxmemory-policy"],
  },
  {
    name: "messages while blocked",
    steps: [
      on("a", "SUBSCRIBE x"),
      blocks("a", "BLPOP k 0"),
      on("b", "PUBLISH x one", "PUBLISH x two"),
      wakes("a", on("b", "MULTI", "PUBLISH x three", "RPUSH k 1", "PUBLISH x four", "EXEC")),
      on("b", "PUBLISH x five"),
      on("a", "BLPOP k 0.02"),
    ],
    protocols: [3],
  },
  {
    name: "invalidations while blocked",
    steps: [
      on("a", "CLIENT TRACKING ON", "GET t", "LRANGE k 0 -1"),
      blocks("a", "BLPOP k 0"),
      on("b", "SET t 1"),
      wakes("a", on("b", "RPUSH k 1")),
      on("a", "GET t", "LRANGE k 0 -1"),
      blocks("a", "BLPOP k 0"),
      wakes("a", on("b", "MULTI", "SET t 2", "RPUSH k 1 2", "SET t 3", "EXEC")),
    ],
    protocols: [3],
  },
  {
    name: "MONITOR shows a blocked command once",
    steps: [
      on("m", "MONITOR"),
      blocks("a", "BLPOP k j 0"),
      wakes("a", on("b", "RPUSH j 1")),
      on("a", "BLPOP k 0.02"),
    ],
  },
  {
    name: "notifications of what is served",
    steps: [
      on("s", "CONFIG SET notify-keyspace-events KEA", "PSUBSCRIBE __key*"),
      blocks("a", "BLPOP k 0"),
      wakes("a", on("b", "RPUSH k 1 2", "RPUSH k 3")),
      on("b", "DEL k"),
      blocks("a", "BLMOVE k d LEFT RIGHT 0"),
      blocks("c", "BLMPOP 0 1 d LEFT"),
      wakes("a c", on("b", "RPUSH k 1")),
      blocks("a", "BZPOPMIN z 0"),
      blocks("c", "BZMPOP 0 1 z MAX COUNT 5"),
      wakes("a c", on("b", "ZADD z 1 x 2 y 3 w")),
      on("b", "RPUSH k 1", "BLPOP k 0", "BRPOPLPUSH k d 0.02"),
      blocks("a", "BLPOP k 0"),
      wakes("a", on("b", "MULTI", "RPUSH k 1", "SET x 1", "EXEC")),
    ],
    config: ["notify-keyspace-events"],
  },
  {
    name: "CLIENT PAUSE holds who pushes",
    steps: [
      blocks("a", "BLPOP k 0"),
      on("b", "CLIENT PAUSE 100 WRITE", "LLEN k"),
      wakes("a", on("b", "RPUSH k 1")),
    ],
  },
];

export const blockingCases: Case[] = [
  ...atOnce,
  ...argumentsCases,
  ...timeouts,
  ...waking,
  ...wakers,
  ...order,
  ...moves,
  ...databases,
  ...cutShort,
  ...behind,
  ...shards,
  ...beside,
];
