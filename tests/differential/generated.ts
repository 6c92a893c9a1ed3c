// Random streams from an argument grammar over 8 keys and edge values. One seed gives the same streams every time; a
// failing stream is halved until it no longer shrinks and printed as a redis-cli script (the reads of `probe` follow
// it).
// Neighbours: differential.test.ts runs them on every cell of the matrix, harness.ts compares.

import { type Command, type Protocol, report, runCase, type Server } from "./harness.ts";
import { intset, join, seal, text } from "./rdb-fixtures.ts";
import { showCommand, textOf } from "./resp.ts";

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
const bitOffsets = ["0", "1", "7", "8", "100", "351", "5000", "-1", "x", "#2"];
const bitIndexes = ["0", "1", "2", "7", "9", "44", "-1", "-2", "-9", "300", "-300", "9223372036854775807"];
const units = ["BYTE", "bit", "x"];
const fieldTypes = ["u1", "i1", "u8", "i8", "u13", "i31", "u33", "i52", "u53", "i64", "u63", "u64", "i0"];
const elements = ["a", "b", "c", "", "\x00\r\n\xff", "element of more than eight bytes", "1", "2", "3"];
const fields = ["f", "g", "1", "01", "-70000", "", "\x00\r\n\xff", "n".repeat(64), "n".repeat(300)];
/** Short in any layout, and so are their sums; none from which a -0 could come. */
const scores = ["0", "1", "-1", "2", "1.5", "-2.5", "1e3", "100", "inf", "-inf", "x", ""];
const scoreBounds = ["0", "(1", "1", "2", "(1.5", "-3", "100", "-inf", "+inf", "x"];
const databases = ["0", "1", "1", "2", "16", "-1", "x"];
const globs = ["*", "a*", "?", "key:[0-9]", "*[^a]", "k*"];

/** A value of each type, and two that are none. */
const payloads = [
  seal(join(0, text("value"))),
  seal(join(0, 0xc0, 42)),
  seal(join(1, 3, text("a"), text("1"), text(""))),
  seal(join(4, 2, text("a"), text("1"), text("b"), text("x"))),
  seal(join(3, 2, text("a"), 1, "7", text("b"), 2, "-3")),
  seal(join(11, text(intset(2, [1, 2, 3])))),
  seal(join(2, 0)),
  join(0, text("value")),
].map(textOf);

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
const members = (pick: Pick): string[] =>
  Array.from({ length: pick.of([1, 2, 3, 5]) }, () => pick.of([...values, ...integers]));
const twoMembers = (pick: Pick): string[] => [...members(pick).slice(0, 1), ...members(pick).slice(0, 1)];
const ends = ["LEFT", "RIGHT", "left", "Right", "x"];
const fieldPairs = (pick: Pick): string[] =>
  Array.from({ length: pick.of([1, 2, 3]) }, () => [pick.of(fields), pick.of(values)]).flat();
const scored = (pick: Pick): string[] =>
  Array.from({ length: pick.of([1, 1, 2, 3]) }, () => [
    pick.of(scores),
    pick.of([...values, ...integers]),
  ]).flat();
const addFlags = (): (() => string[])[] => ["NX", "XX", "GT", "lt", "CH", "INCR"].map((flag) => () => [flag]);
const counted = (pick: Pick): string[] => {
  const names = several(pick).slice(0, 3);
  return [pick.chance(0.9) ? String(names.length) : pick.of(["0", "9", "x"]), ...names];
};
const several = (pick: Pick): string[] => Array.from({ length: pick.of([1, 2, 3, 5]) }, () => pick.key());

/** Few enough places that distances and scores repeat, and all far from where areas begin. */
const degrees = ["1", "10.5", "-33.125", "60", "85", "x", "200"];
const located = (pick: Pick): string[] =>
  Array.from({ length: pick.of([1, 2, 3]) }, () => [
    ...[pick.of(degrees), pick.of(degrees), pick.of([...values, ...integers])],
  ]).flat();
const centre = (pick: Pick): string[] =>
  pick.chance(0.5)
    ? ["FROMMEMBER", ...members(pick).slice(0, 1)]
    : ["FROMLONLAT", pick.of(degrees), pick.of(degrees)];
const shape = (pick: Pick): string[] =>
  pick.chance(0.5)
    ? ["BYRADIUS", pick.of(["0", "1", "1500", "4000", "x"]), pick.of(["km", "MI", "x"])]
    : ["BYBOX", pick.of(["1", "2000", "-1"]), pick.of(["10", "6000"]), "km"];

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
  [3, (pick) => ["SETBIT", pick.key(), pick.of(bitOffsets), pick.of(["0", "1", "1", "2"])]],
  [2, (pick) => ["GETBIT", pick.key(), pick.of(bitOffsets)]],
  // Not what 7.0 takes otherwise: a start without an end, and what it does not look at where there is no key.
  [1, (pick) => ["BITCOUNT", pick.key()]],
  [2, (pick) => ["BITCOUNT", pick.key(), pick.of(bitIndexes), pick.of(bitIndexes)]],
  [1, (pick) => ["BITCOUNT", pick.key(), pick.of(bitIndexes), pick.of(bitIndexes), pick.of(["byte", "BIT"])]],
  [
    3,
    (pick) => [
      "BITPOS",
      pick.key(),
      pick.of(["0", "1"]),
      ...[pick.of(bitIndexes), pick.of(bitIndexes), pick.of(units)].slice(pick.of([0, 1, 2, 3])),
    ],
  ],
  [3, (pick) => ["BITOP", pick.of(["AND", "or", "XOR"]), pick.key(), ...several(pick)]],
  [1, (pick) => ["BITOP", "NOT", pick.key(), pick.key()]],
  [
    3,
    (pick) => [
      pick.of(["BITFIELD", "BITFIELD", "BITFIELD_RO"]),
      pick.key(),
      ...pick.some([
        () => ["GET", pick.of(fieldTypes), pick.of(bitOffsets)],
        () => ["SET", pick.of(fieldTypes), pick.of(bitOffsets), pick.of(integers)],
        () => ["INCRBY", pick.of(fieldTypes), pick.of(bitOffsets), pick.of(integers)],
        () => ["OVERFLOW", pick.of(["WRAP", "SAT", "FAIL"])],
      ]),
    ],
  ],
  [3, (pick) => ["PFADD", pick.key(), ...pick.some([() => [pick.of(elements)]])]],
  [2, (pick) => ["PFCOUNT", ...several(pick)]],
  [2, (pick) => ["PFMERGE", ...several(pick)]],
  [1, (pick) => ["PFDEBUG", pick.of(["ENCODING", "DECODE", "x"]), pick.key()]],
  [6, (pick) => [pick.of(["LPUSH", "RPUSH", "LPUSHX", "RPUSHX"]), pick.key(), ...members(pick)]],
  [4, (pick) => [pick.of(["LPOP", "RPOP"]), pick.key(), ...pick.of([[], [], ["2"], ["0"], ["-1"], ["x"]])]],
  [1, (pick) => ["LLEN", pick.key()]],
  [2, (pick) => ["LRANGE", pick.key(), pick.of(indexes), pick.of(indexes)]],
  [2, (pick) => ["LINDEX", pick.key(), pick.of(indexes)]],
  [2, (pick) => ["LSET", pick.key(), pick.of(indexes), pick.of(values)]],
  [2, (pick) => ["LINSERT", pick.key(), pick.of(["BEFORE", "after", "x"]), ...twoMembers(pick)]],
  [
    2,
    (pick) => ["LREM", pick.key(), pick.of(["0", "1", "-1", "2", "-2", "x"]), ...members(pick).slice(0, 1)],
  ],
  [1, (pick) => ["LTRIM", pick.key(), pick.of(indexes), pick.of(indexes)]],
  [
    2,
    (pick) => [
      ...["LPOS", pick.key(), ...members(pick).slice(0, 1)],
      ...pick.some([
        () => ["RANK", pick.of(["1", "2", "-1", "-2", "0", "x"])],
        () => ["COUNT", pick.of(["0", "1", "2", "-1"])],
        () => ["MAXLEN", pick.of(["0", "1", "3", "-1"])],
      ]),
    ],
  ],
  [3, (pick) => ["LMOVE", pick.key(), pick.key(), pick.of(ends), pick.of(ends)]],
  [2, (pick) => ["RPOPLPUSH", pick.key(), pick.key()]],
  [
    2,
    (pick) => [
      ...["LMPOP", pick.of(["1", "2", "3", "0", "x"]), ...several(pick), pick.of(ends)],
      ...pick.some([() => ["COUNT", pick.of(["1", "2", "10", "0"])]]),
    ],
  ],
  [6, (pick) => ["SADD", pick.key(), ...members(pick)]],
  [4, (pick) => ["SREM", pick.key(), ...members(pick)]],
  [2, (pick) => ["SMEMBERS", pick.key()]],
  [2, (pick) => ["SISMEMBER", pick.key(), ...members(pick).slice(0, 1)]],
  [1, (pick) => ["SMISMEMBER", pick.key(), ...members(pick)]],
  [1, (pick) => ["SCARD", pick.key()]],
  [3, (pick) => ["SMOVE", pick.key(), pick.key(), ...members(pick).slice(0, 1)]],
  [3, (pick) => [pick.of(["SINTER", "SUNION", "SDIFF"]), ...several(pick)]],
  [4, (pick) => [pick.of(["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"]), pick.key(), ...several(pick)]],
  [
    1,
    (pick) => [
      ...["SINTERCARD", pick.of(["1", "2", "3", "0", "x"]), ...several(pick)],
      ...pick.some([() => ["LIMIT", pick.of(["0", "1", "2", "-1"])]]),
    ],
  ],
  // What chance leaves would differ: all of it, or none.
  [0.5, (pick) => ["SPOP", pick.key(), pick.of(["0", "1000", "-1", "x"])]],
  [1, (pick) => ["SRANDMEMBER", pick.key(), pick.of(["0", "1", "2", "-3", "1000", "x"])]],
  [
    1,
    (pick) => [
      "SSCAN",
      pick.key(),
      pick.of(["0", "0", "x"]),
      "COUNT",
      "1000",
      ...pick.some([() => ["MATCH", "1*"]]),
    ],
  ],
  [6, (pick) => ["HSET", pick.key(), ...fieldPairs(pick)]],
  [1, (pick) => ["HMSET", pick.key(), ...fieldPairs(pick)]],
  [2, (pick) => ["HSETNX", pick.key(), ...fieldPairs(pick).slice(0, 2)]],
  [3, (pick) => ["HGET", pick.key(), pick.of(fields)]],
  [2, (pick) => ["HMGET", pick.key(), pick.of(fields), pick.of(fields), pick.of(fields)]],
  [1, (pick) => [pick.of(["HGETALL", "HKEYS", "HVALS", "HLEN"]), pick.key()]],
  [1, (pick) => [pick.of(["HEXISTS", "HSTRLEN"]), pick.key(), pick.of(fields)]],
  [4, (pick) => ["HDEL", pick.key(), pick.of(fields), pick.of(fields), pick.of(fields)]],
  [4, (pick) => ["HINCRBY", pick.key(), pick.of(fields), pick.of(integers)]],
  [2, (pick) => ["HINCRBYFLOAT", pick.key(), pick.of(fields), pick.of(floats)]],
  [1, (pick) => ["HRANDFIELD", pick.key(), pick.of(["0", "1", "2", "-3", "1000", "x"])]],
  [
    1,
    (pick) => [
      ...["HSCAN", pick.key(), pick.of(["0", "0", "x"]), "COUNT", "1000"],
      ...pick.some([() => ["MATCH", "1*"]]),
    ],
  ],
  [6, (pick) => ["ZADD", pick.key(), ...scored(pick)]],
  [4, (pick) => ["ZADD", pick.key(), ...pick.some(addFlags()), ...scored(pick)]],
  [2, (pick) => ["ZINCRBY", pick.key(), ...scored(pick).slice(0, 2)]],
  [2, (pick) => ["ZREM", pick.key(), ...members(pick)]],
  [1, (pick) => [pick.of(["ZMSCORE", "ZSCORE", "ZCARD"]), pick.key(), ...members(pick)]],
  [1, (pick) => [pick.of(["ZRANK", "ZREVRANK"]), pick.key(), ...members(pick).slice(0, 1)]],
  [1, (pick) => ["ZCOUNT", pick.key(), pick.of(scoreBounds), pick.of(scoreBounds)]],
  [
    2,
    (pick) => [
      pick.of(["ZRANGE", "ZREVRANGE"]),
      pick.key(),
      pick.of(indexes),
      pick.of(indexes),
      "WITHSCORES",
    ],
  ],
  [
    2,
    (pick) => [
      ...[
        pick.of(["ZRANGEBYSCORE", "ZREVRANGEBYSCORE"]),
        pick.key(),
        pick.of(scoreBounds),
        pick.of(scoreBounds),
      ],
      ...pick.some([() => ["LIMIT", pick.of(indexes), pick.of(indexes)], () => ["WITHSCORES"]]),
    ],
  ],
  [
    2,
    (pick) => [
      ...["ZRANGESTORE", pick.key(), pick.key(), pick.of(scoreBounds), pick.of(scoreBounds)],
      ...pick.some([() => ["BYSCORE"], () => ["REV"], () => ["LIMIT", pick.of(indexes), pick.of(indexes)]]),
    ],
  ],
  [1, (pick) => ["ZREMRANGEBYSCORE", pick.key(), pick.of(scoreBounds), pick.of(scoreBounds)]],
  [1, (pick) => ["ZREMRANGEBYRANK", pick.key(), pick.of(indexes), pick.of(indexes)]],
  [
    2,
    (pick) => [
      ...[pick.of(["ZPOPMIN", "ZPOPMAX"]), pick.key()],
      ...pick.some([() => [pick.of(["0", "1", "2", "100", "-1", "x"])]]),
    ],
  ],
  [1, (pick) => ["ZMPOP", ...counted(pick), pick.of(["MIN", "MAX"]), "COUNT", pick.of(["1", "2", "0"])]],
  [
    3,
    (pick) => {
      const store = pick.chance(0.5);
      const sources = counted(pick);
      return [
        ...(store ? [pick.of(["ZUNIONSTORE", "ZINTERSTORE"]), pick.key()] : [pick.of(["ZUNION", "ZINTER"])]),
        ...sources,
        ...pick.some([
          () => ["WEIGHTS", ...sources.slice(1).map(() => pick.of(["1", "2", "3"]))],
          () => ["AGGREGATE", pick.of(["SUM", "min", "MAX"])],
          () => (store ? [] : ["WITHSCORES"]),
        ]),
      ];
    },
  ],
  [1, (pick) => ["ZDIFF", ...counted(pick), "WITHSCORES"]],
  [1, (pick) => ["ZDIFFSTORE", pick.key(), ...counted(pick)]],
  [1, (pick) => ["ZINTERCARD", ...counted(pick), "LIMIT", pick.of(["0", "1", "5", "-1"])]],
  [1, (pick) => ["ZRANDMEMBER", pick.key(), pick.of(["0", "1", "2", "-3", "1000", "x"])]],
  [1, (pick) => ["ZSCAN", pick.key(), "0", "COUNT", "1000"]],
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
  [
    2,
    (pick) => [
      "RESTORE",
      pick.key(),
      pick.of(["0", "0", "0", "~000", "-1", "x"]),
      pick.of(payloads),
      ...pick.some([() => ["REPLACE"], () => ["replace"], () => ["IDLETIME", "1"], () => ["x"]]),
    ],
  ],
  [1, (pick) => ["DEBUG", "DIGEST-VALUE", ...several(pick)]],
  [1, (pick) => ["MEMORY", "USAGE", pick.key()]],
  [2, (pick) => ["OBJECT", "ENCODING", pick.key()]],
  [3, (pick) => ["EXPIRE", pick.key(), pick.of(seconds), ...pick.some(flags())]],
  [3, (pick) => ["PEXPIRE", pick.key(), pick.of(millis), ...pick.some(flags())]],
  [3, (pick) => ["EXPIREAT", pick.key(), pick.of(secondsAt), ...pick.some(flags())]],
  [3, (pick) => ["PEXPIREAT", pick.key(), pick.of(millisAt), ...pick.some(flags())]],
  [4, (pick) => [pick.of(["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"]), pick.key()]],
  [2, (pick) => ["PERSIST", pick.key()]],
  [0.2, (pick) => [pick.of(["FLUSHDB", "FLUSHALL"])]],
  [0.5, (pick) => [pick.of(["get", "nosuch", "mset", "incrby"]), pick.key()]],
  [3, (pick) => ["GEOADD", pick.key(), ...pick.some(addFlags()).slice(0, 2), ...located(pick)]],
  [1, (pick) => [pick.of(["GEOHASH", "GEODIST"]), pick.key(), ...twoMembers(pick)]],
  [
    3,
    (pick) => [
      ...["GEOSEARCH", pick.key(), ...centre(pick), ...shape(pick), ...pick.of([["ASC"], [], ["DESC"]])],
      ...pick.some([() => ["WITHDIST"], () => ["WITHHASH"]]),
    ],
  ],
  [2, (pick) => [...["GEOSEARCHSTORE", pick.key(), pick.key(), ...centre(pick), ...shape(pick)]]],
  // Where elements are words, or weights are, it is an error; LIMIT with BY leaves to luck which of equal texts stay.
  [
    4,
    (pick) => [
      ...[pick.of(["SORT", "SORT_RO"]), pick.key()],
      ...pick.of([[], [], ["ALPHA"], ["ALPHA", "DESC"], ["ALPHA", "LIMIT", "1", "2"], ["x"]]),
      ...pick.some([() => ["GET", pick.of(["#", "*", "key:*", "*->1", "x"])]]),
      ...pick.of([[], [], ["STORE", pick.key()]]),
    ],
  ],
  [2, (pick) => ["SORT", pick.key(), "BY", pick.of(["key:*", "*->f", "*->1"]), "STORE", pick.key()]],
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
    ["SMEMBERS", key],
    ["LRANGE", key, "0", "-1"],
    ["ZRANGE", key, "0", "-1", "WITHSCORES"],
    ["HGETALL", key],
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

/** Runs one generated stream on all; null, or what differs with the shortest stream that shows it, as a script. */
export async function runGenerated(
  seed: number,
  number: number,
  length: number,
  protocol: Protocol,
  oracle: Server,
  subjects: readonly Server[],
): Promise<string | null> {
  let commands = streamOf(seed, number, length);
  const all = await runCase(caseOf(commands), protocol, oracle, subjects);
  let why = report(subjects, all);
  if (why === null) return null;
  const failing = subjects.filter((_, i) => all[i] !== null).slice(0, 1);
  const differs = async (shorter: Command[]) =>
    report(failing, await runCase(caseOf(shorter), protocol, oracle, failing));
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
