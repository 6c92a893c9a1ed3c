// DUMP and RESTORE. Payloads of ours are not Redis's bytes, by design: so what is compared is what RESTORE makes of
// payloads written here, of every type byte, at every threshold, malformed in every way, and what each server makes of
// its own DUMPs; `exchange` takes the dumps of one server to the other, both ways.

import { type Case, type Command, type Server, stream } from "../harness.ts";
import {
  collect,
  contentOf,
  type Fixture,
  integers,
  intset,
  join,
  length,
  listpack,
  little,
  seal,
  text,
  ziplist,
  zipmap,
} from "../rdb-fixtures.ts";
import { type Bytes, bytesOf, parseReply, show, textOf } from "../resp.ts";

/** Everything there is to see of a key. Scores are such that 7.0 prints them as 8.0 does. */
function look(key: string, encoding = true): Command[] {
  return [
    ["EXISTS", key],
    ["TYPE", key],
    ...(encoding ? [["OBJECT", "ENCODING", key]] : []),
    ["EXPIRETIME", key],
    ["STRLEN", key],
    ["LRANGE", key, "0", "-1"],
    ["SCARD", key],
    ["HLEN", key],
    ["ZRANGE", key, "0", "-1", "WITHSCORES"],
    ["DEBUG", "DIGEST-VALUE", key],
    ["DEBUG", "DIGEST"],
  ];
}

function float64(value: number): Bytes {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}

const plainList = (...elements: string[]): Bytes => join(1, length(elements.length), ...elements.map(text));
const plainSet = (...members: string[]): Bytes => join(2, length(members.length), ...members.map(text));
const plainHash = (...pairs: string[]): Bytes => join(4, length(pairs.length / 2), ...pairs.map(text));
const plainZset = (...members: [string, number][]): Bytes =>
  join(5, length(members.length), ...members.map(([member, score]) => join(text(member), float64(score))));
const timedHash = (earliest: bigint, ...fields: [number, string, string][]): Bytes =>
  join(
    24,
    little(earliest, 8),
    length(fields.length),
    ...fields.map(([due, field, value]) => join(length(due), text(field), text(value))),
  );

const words = ["a", "12", "-5", "b".repeat(64), "70000", "9007199254740993", "z\r\n\0\xff", ""];
const pairs = words.flatMap((word, i) => [word, words[(i * 3) % words.length]]);
const far = 4_102_444_800_000n;
const timed = ["a", "1", "4102444800000", "b", "2", "4202444800000", "c", "3", "0"];

/** Bodies that are right. `from` is the oracle that knows the type. */
const right: { name: string; body: Bytes; from: "7" | "8" }[] = [
  ...["", "a", "0", "-1", "01", "x".repeat(44), "x".repeat(45), "x".repeat(20_000), "\0\xff\r\n"].map(
    (value) => ({ name: `string ${show(value, 20)}`, body: join(0, text(value)), from: "7" as const }),
  ),
  { name: "string, int8", body: join(0, 0xc0, 0x80), from: "7" },
  { name: "string, int16", body: join(0, 0xc1, 0xff, 0x7f), from: "7" },
  { name: "string, int32", body: join(0, 0xc2, 0, 0, 0, 0x80), from: "7" },
  { name: "string, compressed", body: join(0, 0xc3, length(5), length(10), 0, "x", 0xe0, 0, 0), from: "7" },
  { name: "string, long length", body: join(0, length(3, 9), "abc"), from: "7" },
  { name: "string, 5 byte length", body: join(0, length(3, 5), "abc"), from: "7" },
  { name: "string, bytes behind", body: join(0, text("abc"), "behind"), from: "7" },
  { name: "list", body: plainList(...words), from: "7" },
  { name: "list, a long element", body: plainList("a", "l".repeat(9000), "b"), from: "7" },
  { name: "set", body: plainSet(...words), from: "7" },
  { name: "set of integers", body: plainSet("3", "-1", "9223372036854775807", "100000"), from: "7" },
  { name: "hash", body: plainHash(...pairs), from: "7" },
  { name: "hash, a long value", body: plainHash("a", "v".repeat(65)), from: "7" },
  { name: "hash, a long field", body: plainHash("f".repeat(65), ""), from: "7" },
  {
    name: "zset",
    body: plainZset(["b", 2], ["a", 2], ["c", -1], ["d", Infinity], ["e", -Infinity]),
    from: "7",
  },
  { name: "zset, -0", body: plainZset(["b", -0], ["a", 0]), from: "7" },
  { name: "zset, a long member", body: plainZset(["m".repeat(65), 2]), from: "7" },
  {
    name: "zset of text scores",
    body: join(3, 3, text("a"), 1, "7", text("b"), 254, text("c"), 255),
    from: "7",
  },
  { name: "zipmap", body: join(9, text(zipmap(["a", "1", "bb", "22"], 3))), from: "7" },
  { name: "list, ziplist", body: join(10, text(ziplist(words))), from: "7" },
  { name: "intset, 2 bytes", body: join(11, text(intset(2, [-3, 1, 2, 300]))), from: "7" },
  { name: "intset, 4 bytes", body: join(11, text(intset(4, [-3, 1, 2, 300_000]))), from: "7" },
  { name: "intset, 8 bytes", body: join(11, text(intset(8, [-3n, 1n, 1n << 62n]))), from: "7" },
  { name: "zset, ziplist", body: join(12, text(ziplist(["a", "1", "b", "2"]))), from: "7" },
  { name: "hash, ziplist", body: join(13, text(ziplist(pairs))), from: "7" },
  { name: "quicklist", body: join(14, 2, text(ziplist(["a", "1"])), text(ziplist(["b"]))), from: "7" },
  { name: "hash, listpack", body: join(16, text(listpack(pairs))), from: "7" },
  { name: "zset, listpack", body: join(17, text(listpack(["a", "1", "b", "2"]))), from: "7" },
  { name: "quicklist 2", body: join(18, 2, 2, text(listpack(["a", "1"])), 1, text("plain")), from: "7" },
  { name: "quicklist 2, one node", body: join(18, 1, 2, text(listpack(words))), from: "7" },
  { name: "set, listpack", body: join(20, text(listpack(["a", "b", "1"]))), from: "8" },
  { name: "set, listpack of integers", body: join(20, text(listpack(["1", "2", "3"]))), from: "8" },
  {
    name: "hash, deadlines",
    body: timedHash(far, [1, "a", "1"], [0, "b", "2"], [1000, "c", "3"]),
    from: "8",
  },
  { name: "hash, deadlines, none", body: timedHash(0n, [0, "a", "1"], [0, "b", "2"]), from: "8" },
  {
    name: "hash, deadlines, large",
    body: timedHash(
      far,
      ...Array.from({ length: 600 }, (_, i): [number, string, string] => [i % 3, `f${i}`, "v"]),
    ),
    from: "8",
  },
  { name: "hash, deadlines, listpack", body: join(25, little(far, 8), text(listpack(timed))), from: "8" },
];

/** What 7.0 calls otherwise: lists that are small are quicklists, sets of words hash tables. */
const otherNames = /^(list|set|quicklist)/;

function restores({ name, body, from }: (typeof right)[number]): Case[] {
  const oracles = from === "7" ? (["7", "8"] as const) : (["8"] as const);
  return oracles.map(
    (oracle): Case => ({
      name: `RESTORE of ${name}, as ${oracle === "7" ? "7.0" : "8.0"} has it`,
      oracle,
      commands: [
        ["RESTORE", "k", "0", seal(body)],
        ...look("k", oracle === "8" || !otherNames.test(name)),
        ["RESTORE", "k", "0", seal(body)],
        ["RESTORE", "k", "100000", seal(body), "REPLACE"],
        ["TTL", "k"],
        ["RPUSH", "l", "old", "value"],
        ["RESTORE", "l", "4102444800000", seal(body, 6), "ABSTTL", "REPLACE"],
        ...look("l", oracle === "8" || !otherNames.test(name)),
        ["PEXPIRETIME", "l"],
        ["COPY", "k", "copy"],
        ["DEBUG", "DIGEST-VALUE", "k", "copy", "l"],
        ["DEL", "k", "l", "copy"],
        ["DBSIZE"],
      ],
    }),
  );
}

/** Bodies that nobody may take, whatever the footer says. */
const wrong: Record<string, Bytes> = {
  "nothing behind the type": join(1),
  "an unknown type": join(99, text("a")),
  "a module": join(7, text("a")),
  "a stream": join(15, 1, text("a")),
  "an opcode": join(255),
  "a length that is cut": join(0, 0x80, 0, 0),
  "an unknown coding": join(0, 0xc4, 1),
  "compressed bytes that are cut": join(0, 0xc3, length(9), length(10), 0, "x"),
  "compressed bytes that make less": join(0, 0xc3, length(2), length(10), 0, "x"),
  "no elements in a list": join(1, 0),
  "no elements in a set": join(2, 0),
  "no elements in a hash": join(4, 0),
  "no elements in a zset": join(5, 0),
  "a member twice": plainSet("a", "b", "a"),
  "an integer twice": plainSet("1", "2", "1"),
  "a zset member twice": plainZset(["a", 1], ["a", 2]),
  "a score that is no number": plainZset(["a", Number.NaN]),
  "an intset of no width": join(11, text(join(little(3, 4), little(1, 4), 1, 0))),
  "an intset that is cut": join(11, text(intset(4, [1, 2, 3]).subarray(0, 15))),
  "a listpack that is cut": join(16, text(listpack(["a", "b"]).subarray(0, 8))),
  "a listpack of other size": join(16, text(join(little(100, 4), listpack(["a", "b"]).subarray(4)))),
  "an empty listpack": join(16, text(listpack([]))),
  "an empty ziplist": join(13, text(ziplist([]))),
  "a quicklist of no nodes": join(14, 0),
  "an unknown container": join(18, 1, 3, text(listpack(["a"]))),
};

/** Redis reads on into the footer for what is missing. */
const cut: Record<string, Bytes> = {
  "a string that is cut": join(0, length(5), "abc"),
  "an integer that is cut": join(0, 0xc2, 1, 2),
  "fewer elements than counted": join(1, 3, text("a"), text("b")),
  "a score that is cut": join(5, 1, text("a"), 0, 0, 0),
  "a hash without a last value": join(4, 1, text("a")),
};

const badFormat = "-ERR Bad data format\r\n";

const intoFooter: Case[] = Object.entries(cut).map(([name, body]) => ({
  name: `RESTORE refuses ${name}`,
  commands: [
    ["RESTORE", "k", "0", seal(body)],
    ["EXISTS", "k"],
    ["SET", "k", "old"],
    ["RESTORE", "k", "0", seal(body), "REPLACE"],
    ["GET", "k"],
  ],
  expect: { 0: badFormat, 1: ":0\r\n", 2: "+OK\r\n", 3: badFormat, 4: "$3\r\nold\r\n" },
  unasked: true,
  why: "the oracle takes bytes of the footer for those that are missing",
}));

const malformed: Case[] = Object.entries(wrong).map(([name, body]) => ({
  name: `RESTORE refuses ${name}`,
  oracle: "8",
  commands: [
    ["RESTORE", "k", "0", seal(body)],
    ["EXISTS", "k"],
    ["SET", "k", "old"],
    ["RESTORE", "k", "0", seal(body)],
    ["RESTORE", "k", "0", seal(body), "REPLACE"],
    ["RESTORE", "k", "1", seal(body), "REPLACE", "ABSTTL"],
    ["GET", "k"],
    ["DBSIZE"],
  ],
}));

const limited = [
  "hash-max-listpack-entries",
  "set-max-listpack-entries",
  "set-max-intset-entries",
  "zset-max-listpack-entries",
];

/** Plain payloads on both sides of every threshold: the names of the forms are 8.0's. */
const thresholds: Case[] = [];
for (const [count, bytes] of [
  ...[1, 2, 127, 128, 129, 511, 512, 513, 700].map((count) => [count, 5] as const),
  ...[63, 64, 65, 100, 5000].map((bytes) => [3, bytes] as const),
]) {
  const texts = Array.from({ length: count }, (_, i) => `${i}`.padEnd(bytes, "x"));
  const numbers = Array.from({ length: count }, (_, i) => String(i * 1000 - 5));
  const bodies: Record<string, Bytes> = {
    list: plainList(...texts),
    set: plainSet(...texts),
    "set of integers": plainSet(...numbers),
    "set of integers and a word": plainSet(...numbers, texts[0]),
    hash: plainHash(...texts.flatMap((word) => [word, "v"])),
    "hash of long values": plainHash(...texts.flatMap((word) => [word.slice(0, 5), word])),
    zset: plainZset(...texts.map((word, i): [string, number] => [word, i % 7])),
  };
  if (bytes > 5) delete bodies["hash of long values"];
  for (const [name, body] of Object.entries(bodies))
    thresholds.push({
      name: `RESTORE of a ${name}, ${count} elements of ${bytes} bytes`,
      oracle: "8",
      commands: [["RESTORE", "k", "0", seal(body)], ...look("k"), ["DEL", "k"], ["DEBUG", "DIGEST"]],
    });
}
for (const setting of ["3", "0", "1000"])
  for (const { name, body } of right.filter(
    ({ name, body }) => [1, 2, 4, 5, 24].includes(body[0]) && body.length < 3000 && !name.includes("-0"),
  ))
    thresholds.push({
      name: `RESTORE of ${name} with limits of ${setting}`,
      oracle: "8",
      commands: [
        ...limited.map((parameter): Command => ["CONFIG", "SET", parameter, setting]),
        ["RESTORE", "k", "0", seal(body)],
        ...look("k"),
      ],
      config: limited,
    });

/** Sizes around that at which a list is a quicklist. */
for (let bytes = 8100; bytes <= 8200; bytes += 5)
  thresholds.push({
    name: `RESTORE of a list of ${bytes} bytes`,
    oracle: "8",
    commands: [
      ["RESTORE", "k", "0", seal(plainList("a", "x".repeat(bytes - 300), "y".repeat(280), "1"))],
      ["OBJECT", "ENCODING", "k"],
      ["LLEN", "k"],
    ],
  });

const payload = seal(join(0, text("value")));

const options: Case[] = [
  stream(
    "RESTORE's arguments",
    ["RESTORE", "k", "0"],
    ["RESTORE", "k", "0", payload, "nosuch"],
    ["RESTORE", "k", "0", payload, "REPLACE", "nosuch"],
    ["RESTORE", "k", "x", payload, "nosuch"],
    ["RESTORE", "k", "x", payload],
    ["RESTORE", "k", "", payload],
    ["RESTORE", "k", "1.5", payload],
    ["RESTORE", "k", "-1", payload],
    ["RESTORE", "k", "-1", payload, "ABSTTL"],
    ["RESTORE", "k", "-9223372036854775808", payload],
    ["RESTORE", "k", "9223372036854775808", payload],
    ["RESTORE", "k", "0", payload, "IDLETIME"],
    ["RESTORE", "k", "0", payload, "IDLETIME", "x"],
    ["RESTORE", "k", "0", payload, "IDLETIME", "-1"],
    ["RESTORE", "k", "0", payload, "IDLETIME", "9223372036854775808"],
    ["RESTORE", "k", "0", payload, "FREQ"],
    ["RESTORE", "k", "0", payload, "FREQ", "x"],
    ["RESTORE", "k", "0", payload, "FREQ", "-1"],
    ["RESTORE", "k", "0", payload, "FREQ", "256"],
    ["RESTORE", "k", "0", payload, "FREQ", "9223372036854775807"],
    ["RESTORE", "k", "0", payload, "IDLETIME", "1", "FREQ", "1"],
    ["RESTORE", "k", "0", payload, "FREQ", "1", "IDLETIME", "1"],
    ["RESTORE", "k", "0", payload, "FREQ", "x", "nosuch"],
    ["RESTORE", "k", "x", payload, "IDLETIME", "-1"],
    ["EXISTS", "k"],
    ["RESTORE", "k", "0", payload, "freq", "255", "FREQ", "0", "absttl", "replace", "Replace"],
    ["GET", "k"],
    ["RESTORE", "k", "0", payload, "IDLETIME", "0", "idletime", "1", "REPLACE"],
    ["RESTORE", "i", "0", payload, "IDLETIME", "9223372036854775807", "REPLACE"],
    ["GET", "i"],
  ),
  stream(
    "RESTORE over a key: which error comes first",
    "SET k old",
    ["RESTORE", "k", "0", payload],
    ["RESTORE", "k", "x", payload],
    ["RESTORE", "k", "-1", payload],
    ["RESTORE", "k", "0", "rubbish"],
    ["RESTORE", "k", "0", payload, "nosuch"],
    ["RESTORE", "k", "0", payload, "FREQ", "256"],
    ["RESTORE", "k", "x", "rubbish", "REPLACE"],
    ["RESTORE", "k", "-1", "rubbish", "REPLACE"],
    ["RESTORE", "k", "0", "rubbish", "REPLACE"],
    ["RESTORE", "k", "0", seal(join(1, 0)), "REPLACE"],
    ["RESTORE", "none", "0", seal(join(1, 0))],
    ["RESTORE", "none", "x", seal(join(1, 0))],
    "GET k",
    "DBSIZE",
  ),
  stream(
    "RESTORE's time",
    ["RESTORE", "k", "1000", payload],
    "TTL k",
    ["RESTORE", "k", "0", payload, "REPLACE"],
    "TTL k",
    ["RESTORE", "k", "100000", payload, "REPLACE"],
    "PTTL k",
    ["RESTORE", "k", "0", payload, "REPLACE", "ABSTTL"],
    "PTTL k",
    ["RESTORE", "k", "4102444800123", payload, "REPLACE", "ABSTTL"],
    "PEXPIRETIME k",
    ["RESTORE", "k", "1", payload, "REPLACE", "ABSTTL"],
    "EXISTS k",
    ["RESTORE", "k", "1", payload, "ABSTTL"],
    "EXISTS k",
    "DBSIZE",
    "SET k v EX 100",
    ["RESTORE", "k", "0", payload, "REPLACE"],
    "TTL k",
    "EXPIRE k 50",
    ["RESTORE", "k", "1", seal(join(1, 0)), "REPLACE", "ABSTTL"],
    "GET k",
    "DEBUG DIGEST",
  ),
  {
    name: "RESTORE's time at int64's end",
    commands: [
      ["RESTORE", "k", "9223372036854775807", payload],
      ["EXISTS", "k"],
      ["PEXPIRETIME", "k"],
    ],
    expect: { 1: ":1\r\n", 2: ":9007199254740991\r\n" },
    why: "the oracle's sum passes int64 and comes out in the past; ours ends at 2^53 - 1",
  },
  {
    name: "RESTORE's footer: versions",
    oracle: "8",
    commands: [0, 1, 5, 6, 7, 8, 9, 10, 11, 12, 256, 65535].flatMap((version): Command[] => [
      ["RESTORE", "k", "0", seal(join(0, text("value")), version), "REPLACE"],
      ["GET", "k"],
      ["DEL", "k"],
    ]),
  },
  {
    name: "RESTORE's footer: every byte wrong",
    commands: [...payload.keys()].map((at): Command => {
      const bytes = Buffer.from(payload);
      bytes[at] ^= 1 << (at % 8);
      return ["RESTORE", "k", "0", bytes];
    }),
  },
  {
    name: "RESTORE's footer: every length",
    commands: [...payload.keys()].map((at): Command => ["RESTORE", "k", "0", payload.subarray(0, at)]),
  },
  {
    name: "RESTORE without looking at checksums",
    commands: [
      ["DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "1"],
      ["RESTORE", "k", "0", join(payload.subarray(0, -1), 0)],
      ["GET", "k"],
      ["RESTORE", "k", "0", "\x00\x01", "REPLACE"],
      ["RESTORE", "k", "0", "", "REPLACE"],
      ["RESTORE", "k", "0", join(1, 0, little(9, 2), little(0, 8)), "REPLACE"],
      ["DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "0"],
      ["RESTORE", "k", "0", join(payload.subarray(0, -1), 0), "REPLACE"],
      ["GET", "k"],
    ],
  },
  stream(
    "DUMP of nothing",
    "DUMP none",
    "DUMP",
    "DUMP a b",
    "SET k v PX 1",
    "DEBUG SLEEP 0.01",
    "DUMP k",
    "SELECT 1",
    "DUMP k",
  ),
  stream(
    "sanitize-dump-payload",
    "CONFIG GET sanitize-dump-payload",
    "CONFIG SET sanitize-dump-payload yes",
    "CONFIG GET sanitize-dump-payload",
    ["RESTORE", "k", "0", payload],
    "CONFIG SET sanitize-dump-payload clients",
    "CONFIG SET sanitize-dump-payload no",
    "GET k",
  ),
  {
    name: "RESTORE in other databases",
    commands: [
      ["SELECT", "3"],
      ["RESTORE", "k", "0", payload],
      ["SELECT", "0"],
      ["EXISTS", "k"],
      ["RESTORE", "k", "0", payload],
      ["SWAPDB", "0", "3"],
      ["GET", "k"],
      ["DEBUG", "DIGEST"],
    ],
  },
];

/** What each server makes of its own DUMP, told alike. */
function roundTrip(name: string, key: string, ...commands: Command[]): Case {
  return {
    name: `DUMP and RESTORE of ${name}`,
    oracle: "8",
    program: async (server) => {
      await server.ask("a", ...commands);
      const [dump] = await server.ask("a", ["DUMP", key]);
      const payload = bytesOf(parseReply(dump).text);
      const replies = await server.ask(
        "a",
        ["RESTORE", key, "0", payload],
        ["RESTORE", "copy", "0", payload],
        ...look("copy"),
        ["DEBUG", "DIGEST-VALUE", key],
        ["RESTORE", key, "4102444800000", payload, "REPLACE", "ABSTTL"],
        ...look(key),
        ["DEL", key, "copy"],
        ["DBSIZE"],
      );
      return replies.map(textOf);
    },
  };
}

const trips: Case[] = [];
for (const value of [...integers, "", "a", "x".repeat(44), "x".repeat(45), "\r\n\0\xff", "y".repeat(70_000)])
  trips.push(roundTrip(`the string ${show(value, 30)}`, "k", ["SET", "k", value]));
trips.push(roundTrip("an appended string", "k", ["SET", "k", "a"], ["APPEND", "k", "b"]));
trips.push(roundTrip("bits", "k", ["SETBIT", "k", "1000", "1"]));
trips.push(roundTrip("a HyperLogLog", "k", ["PFADD", "k", "a", "b", "c"]));
for (const count of [1, 20, 128, 129, 512, 513, 3000]) {
  const texts = Array.from({ length: count }, (_, i) => `element ${i}`);
  const numbers = Array.from({ length: count }, (_, i) => String(i * 7 - 40));
  const fields = texts.flatMap((word, i) => [word, numbers[i]]);
  const members = texts.flatMap((word, i) => [numbers[i], word]);
  const name = `${count} elements`;
  trips.push(
    roundTrip(`a list of ${name}`, "k", ["RPUSH", "k", ...texts, ...numbers]),
    roundTrip(`a set of ${name}`, "k", ["SADD", "k", ...texts]),
    roundTrip(`an intset of ${name}`, "k", ["SADD", "k", ...numbers]),
    roundTrip(`a hash of ${name}`, "k", ["HSET", "k", ...fields]),
    roundTrip(`a zset of ${name}`, "k", ["ZADD", "k", ...members]),
    roundTrip(
      `a hash with deadlines of ${name}`,
      "k",
      ["HSET", "k", ...fields],
      ["HPEXPIREAT", "k", "4102444800000", "FIELDS", "1", texts[0]],
      ["HPEXPIREAT", "k", "4202444800000", "FIELDS", "1", texts[count - 1]],
    ),
  );
}

export const dumpCases: Case[] = [
  ...options,
  ...right.flatMap(restores),
  ...malformed,
  ...intoFooter,
  ...thresholds,
  ...trips,
];

/** Takes the dumps of each subject, of all types under all settings, to the oracle, and the oracle's to each. A line for each
 *  that came differently. What a subject dumps as another did is not taken again. */
export async function exchange(
  oracle: Server,
  subjects: readonly Server[],
  which: "7" | "8",
): Promise<string[]> {
  const found: string[] = [];
  const [theirs, ...ours] = await Promise.all([oracle, ...subjects].map((server) => collect(server, which)));
  const take = async (from: Server, dumps: readonly Fixture[], to: Server): Promise<void> => {
    for (const { name, payload, content } of dumps) {
      await to.ask("FLUSHALL");
      const said = textOf(await to.ask("RESTORE", "k", "0", payload));
      if (said !== "+OK\r\n") {
        found.push(`${name}, from ${from.name} to ${to.name}: ${show(said)}`);
        continue;
      }
      const there = await contentOf(to, "k", which === "8");
      if (JSON.stringify(there) !== JSON.stringify(content))
        found.push(`${name}, from ${from.name} to ${to.name}: another value`);
    }
    await to.ask("FLUSHALL");
  };
  await Promise.all(subjects.map((subject) => take(oracle, theirs!, subject)));
  const taken = new Set<string>();
  for (const [i, subject] of subjects.entries()) {
    const fresh = ours[i]!.filter((dump) => {
      const told = `${textOf(dump.payload)} ${JSON.stringify(dump.content)}`;
      return !taken.has(told) && taken.add(told);
    });
    await take(subject, fresh, oracle);
  }
  return found;
}
