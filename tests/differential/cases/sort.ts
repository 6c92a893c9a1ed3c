// SORT: every type in every form, every option, patterns of keys and fields, what becomes of equal weights, and storing.
// Where BY and LIMIT cut equal weights off Redis sorts only a part, and which of equal texts stays is its luck: no case has
// such.

import { randomFrom } from "../generated.ts";
import { type Case, type Command, lines, stream } from "../harness.ts";
import { multiset } from "../normalise.ts";

const settings = ["list-max-listpack-size", "set-max-intset-entries", "set-max-listpack-entries"];

/** Numbers and words, in no order. */
const numbers = ["5", "3", "-1", "10", "2.5", "100", "-7.25", "0", "1e3", "42"];
const integers = ["5", "3", "-1", "10", "9223372036854775807", "100", "-70000", "0", "1000", "42"];
const words = ["pear", "apple", "fig", "Banana", "kiwi", "date", "", "apples", "\xff\xfe", "7"];

/** Ways to make what is sorted, with how many elements. */
const sources: Record<string, Command[]> = {
  "a list of numbers": [["RPUSH", "k", ...numbers]],
  "a list of integers": [["RPUSH", "k", ...integers]],
  "a set of integers": [["SADD", "k", ...integers]],
  "a set of numbers": [["SADD", "k", ...numbers]],
  "a sorted set": [["ZADD", "k", ...numbers.flatMap((number, i) => [String((i * 7) % 5), number])]],
  "a long list": [["RPUSH", "k", ...Array.from({ length: 3000 }, (_, i) => String((i * 7919) % 3001))]],
  "a large set": [["SADD", "k", ...Array.from({ length: 700 }, (_, i) => String((i * 7919) % 3001))]],
  "a large sorted set": [
    [
      "ZADD",
      "k",
      ...Array.from({ length: 700 }, (_, i) => [String(i % 13), String((i * 7919) % 3001)]).flat(),
    ],
  ],
  nothing: [],
};

const texts: Record<string, Command[]> = {
  "a list": [["RPUSH", "k", ...words]],
  "a set": [["SADD", "k", ...words]],
  "a sorted set": [["ZADD", "k", ...words.flatMap((word, i) => [String((i * 3) % 4), word])]],
  "a large set": [
    ["SADD", "k", ...words, ...Array.from({ length: 300 }, (_, i) => `word:${(i * 77) % 301}`)],
  ],
  "a list of long texts": [
    [
      "RPUSH",
      "k",
      ...Array.from({ length: 200 }, (_, i) => `${"same beginning ".repeat(6)}${(i * 77) % 201}`),
    ],
  ],
};

/** Weights and what GET finds, for elements of `numbers`, `integers` and `words`. */
const others: Command[] = [
  ...[...new Set([...numbers, ...integers, ...words])].flatMap((element, i): Command[] => [
    ...(i % 5 === 4 ? [] : [["SET", `w_${element}`, String((i * 37) % 23)] as Command]),
    ...(i % 4 === 3
      ? []
      : [["HSET", `h_${element}`, "weight", String((i * 11) % 17), "name", `name${(i * 3) % 19}`]]),
    ["SET", `t_${element}`, `text${(i * 13) % 29}`],
  ]),
  ["SADD", "w_set", "x"],
];

const orders = ["", "ASC", "DESC", "asc desc", "DESC asc"];
const limits = [
  "",
  "LIMIT 0 5",
  "LIMIT 2 3",
  "LIMIT 8 100",
  "LIMIT -3 4",
  "LIMIT 3 -1",
  "LIMIT 100 5",
  "LIMIT 0 0",
];

const spaced = (...parts: string[]): string => parts.filter((part) => part !== "").join(" ");

function on(setup: readonly Command[], name: string, ...commands: (string | Command)[]): Case {
  return { name, commands: [...setup, ...lines(...commands)] };
}

const sorting: Case[] = [
  ...Object.entries(sources).flatMap(([name, setup]) =>
    orders.map((order) =>
      on(
        setup,
        `${name}, sorted by number, ${order || "no order"}`,
        ...limits.flatMap((limit) => [spaced("SORT k", order, limit), spaced("SORT_RO k", limit, order)]),
      ),
    ),
  ),
  ...Object.entries({ ...sources, ...texts }).flatMap(([name, setup]) =>
    ["", "DESC"].map((order) =>
      on(
        setup,
        `${name}, sorted by text, ${order || "no order"}`,
        ...limits.flatMap((limit) => [
          spaced("SORT k ALPHA", order, limit),
          spaced("SORT_RO k", limit, order, "alpha"),
        ]),
      ),
    ),
  ),
  ...Object.entries(texts).map(([name, setup]) =>
    on(
      setup,
      `${name} is no numbers`,
      "SORT k",
      "SORT k LIMIT 0 0",
      "SORT k STORE d",
      "EXISTS d",
      "SORT_RO k DESC",
    ),
  ),
];

const patterns = ["w_*", "h_*->weight", "*", "t_*", "h_*->name", "h_*->none", "none_*", "w_*->weight", "h_*"];
const numeric = ["w_*", "h_*->weight", "h_*->none", "none_*", "w_*->weight", "h_*"];

const by: Case[] = [
  ...["a list of numbers", "a list of integers", "a set of integers", "a sorted set"].flatMap((name) =>
    numeric.map((pattern) =>
      on(
        [...others, ...sources[name]!],
        `${name} BY ${pattern}`,
        `SORT k BY ${pattern}`,
        `SORT k BY ${pattern} DESC`,
        `SORT_RO k BY ${pattern} ASC GET # GET ${pattern}`,
        `SORT k BY ${pattern} LIMIT 0 100`,
      ),
    ),
  ),
  ...["a list", "a set", "a sorted set"].flatMap((name) =>
    numeric.map((pattern) =>
      on(
        [...others, ...texts[name]!],
        `${name} of words BY ${pattern}`,
        `SORT k BY ${pattern}`,
        `SORT k BY ${pattern} DESC GET # GET t_*`,
      ),
    ),
  ),
  // Texts of equal weight stay as they came, so only lists and sorted sets say in which order.
  ...["t_*", "h_*->name", "none_*", "*"].map((pattern) =>
    on(
      [...others, ...texts["a list"]!],
      `a list of words BY ${pattern} ALPHA`,
      `SORT k BY ${pattern} ALPHA`,
      `SORT k BY ${pattern} ALPHA DESC`,
      `SORT k ALPHA BY ${pattern} GET # GET ${pattern}`,
    ),
  ),
  on(
    [...others, ...texts["a list"]!],
    "weights that are no numbers",
    "SORT k BY t_*",
    "SORT k BY h_*->name",
    "SORT k BY *",
  ),
  ...["nosort", "x", "", "h_->weight", "w_?", "#"].flatMap((pattern) =>
    ["a list of numbers", "a long list", "a sorted set", "a large sorted set"]
      .map((name) => ({
        name: `${name} BY ${pattern || "nothing"}, which sorts nothing`,
        commands: orders.flatMap((order) =>
          limits.map(
            (limit): Command => [
              "SORT",
              "k",
              "BY",
              pattern,
              ...spaced(order, limit).split(" ").filter(Boolean),
            ],
          ),
        ),
      }))
      .map(({ name, commands }) => ({
        name,
        commands: [...sources[name.split(" BY ")[0]!]!, ...commands],
      })),
  ),
  ...["a set of integers", "a large set"].map((name) => ({
    ...on(sources[name]!, `${name} BY nosort`, "SCARD k"),
    commands: [...sources[name]!, ...lines("SORT k BY nosort", "SORT_RO k BY nosort DESC ALPHA")],
    normalise: multiset,
  })),
  on(
    [...others, ...sources["a list of numbers"]!],
    "BY twice",
    "SORT k BY nosort BY w_*",
    "SORT k BY w_* BY nosort",
    "SORT k BY w_* BY h_*->weight",
    "SORT k BY nosort BY w_* DESC GET # GET w_*",
  ),
];

const got: Case[] = [
  ...patterns.map((pattern) =>
    on(
      [...others, ...sources["a list of integers"]!],
      `GET ${pattern}`,
      `SORT k GET ${pattern}`,
      `SORT k GET ${pattern} GET # DESC`,
      `SORT_RO k GET # GET # GET ${pattern} LIMIT 2 3`,
      `SORT k BY nosort GET ${pattern}`,
      `SORT k GET ${pattern} STORE d`,
      "LRANGE d 0 -1",
    ),
  ),
  ...[
    "#",
    "##",
    "nostar",
    "",
    "#*",
    "*#",
    "**",
    "*->",
    "*->*",
    "h_*->weight->x",
    "h_*-> weight",
    "h_*->weight*",
    "->*",
  ].map(
    (pattern): Case => ({
      name: `GET ${pattern || "nothing"}, a pattern of a strange form`,
      commands: [
        ...others,
        ["HSET", "*5", "a", "b"],
        ["SET", "5#", "five#"],
        ["SET", "5*", "five*"],
        ["SET", "5->", "five->"],
        ["SET", "#5", "#five"],
        ["SET", "->5", "->five"],
        ["HSET", "5", "*", "star", "", "nothing"],
        ["HSET", "h_5", " weight", "spaced", "weight->x", "arrows", "weight*", "weight star"],
        ["RPUSH", "k", "5", "3"],
        ["SORT", "k", "GET", pattern],
        ["SORT", "k", "BY", pattern, "ALPHA", "GET", "#"],
        ["SORT", "k", "BY", pattern, "GET", pattern, "STORE", "d"],
        ["LRANGE", "d", "0", "-1"],
      ],
    }),
  ),
  ...["*\x00->a", "\x00*", "w_\x00*", "#\x00x", "h_*->a\x00b", "h_*\x00"].map(
    (pattern): Case => ({
      name: `GET of a pattern with a NUL, ${JSON.stringify(pattern)}`,
      commands: [
        ["RPUSH", "k", "2", "1"],
        ["SET", "1\x00->a", "one"],
        ["SET", "\x001", "nul one"],
        ["HSET", "h_1", "a\x00b", "field"],
        ["SET", "h_1\x00", "string"],
        ["SORT", "k", "GET", pattern],
        ["SORT", "k", "BY", pattern, "ALPHA"],
      ],
    }),
  ),
  stream(
    "GET reads the database of the connection, and no key past its deadline",
    "RPUSH k 1 2",
    "SET w_1 a",
    "SET w_2 b PX 1",
    "SELECT 1",
    "RPUSH k 1 2",
    "SET w_1 other",
    "SORT k GET w_*",
    "SELECT 0",
    "SORT k GET w_1 GET #",
  ),
  {
    name: "elements and values of any bytes and lengths",
    commands: [
      ["RPUSH", "k", "\xff", "\x01\r\n", "x".repeat(300), "", "y".repeat(70_000)],
      ["SET", "w_\xff", "\xff\r\n"],
      ["SET", `w_${"x".repeat(300)}`, "long".repeat(1000)],
      ["HSET", `w_${"y".repeat(70_000)}:h`, "f\r\n", "of a long key"],
      ["SET", "w_", "of nothing"],
      ...lines("SORT k ALPHA GET # GET w_*", "SORT k BY nosort DESC GET #"),
      ["SORT", "k", "ALPHA", "DESC", "GET", "w_*:h->f\r\n"],
      ...lines("SORT k ALPHA STORE d", "LRANGE d 0 -1", "SORT d BY w_* ALPHA DESC"),
    ],
  },
];

/** strcoll ends at a NUL, so texts that differ behind one are equal to Redis, but not when it stores. */
const withNul: Case = {
  name: "texts with a NUL",
  commands: [
    ["RPUSH", "k", "b", "a\x00c", "a\x00b", "a", "a\x00"],
    ...lines(
      "SORT k ALPHA",
      "SORT k ALPHA STORE d",
      "LRANGE d 0 -1",
      "SORT k ALPHA DESC STORE d",
      "LRANGE d 0 -1",
    ),
  ],
};

const weighed: [string, string[]][] = [
  [
    "integers beyond 2^53",
    ["9223372036854775807", "9223372036854775806", "-9223372036854775808", "9007199254740993"],
  ],
  ["beyond 64 bits", ["9223372036854775808", "99999999999999999999", "-99999999999999999999", "1e30"]],
  ["infinities", ["inf", "-inf", "3", "+Infinity", "-INF", "0"]],
  ["signs", ["+3", "-3", "-0", "0", "+0", "00", "-00"]],
  ["decimal forms", ["1.", ".5", "0.5", "5e-1", "1e1", "1E+1", "10", "-.5"]],
  ["hexadecimal", ["0x10", "3"]],
  ["leading space", [" 5", "\t6", "\n4", "3", "\x0b2", "\r\n1"]],
  ["trailing space", ["5 ", "3"]],
  ["only space", [" ", "3"]],
  ["nothing", ["", "3", "-3"]],
  ["a NUL behind", ["5\x00abc", "3\x00", "\x00x", "4"]],
  ["NaN", ["nan", "3"]],
  ["an empty exponent", ["1e", "3"]],
  ["a sign alone", ["-", "3"]],
  ["overflow", ["1e400", "3"]],
  ["underflow", ["1e-400", "3"]],
  ["equal numbers of other texts", ["1", "1.0", "1.00", "01", "+1", "1e0", "10e-1", "001"]],
];

const numbersRead: Case[] = weighed.flatMap(([name, list]) => [
  {
    name: `numbers as elements: ${name}`,
    commands: [
      ["RPUSH", "k", ...list],
      ...lines("SORT k", "SORT k DESC", "SORT k DESC LIMIT 1 2", "SORT k STORE d", "EXISTS d"),
    ],
  },
  {
    name: `numbers as weights: ${name}`,
    commands: [
      ...list.flatMap((value, i): Command[] => [
        ["RPUSH", "k", `e${i}`],
        ["SET", `w_e${i}`, value],
        ["HSET", `h_e${i}`, "w", value],
      ]),
      ...lines(
        "SORT k BY w_*",
        "SORT k BY h_*->w DESC",
        "SORT k BY w_* GET w_* GET #",
        "SORT k ALPHA BY h_*->w STORE d",
      ),
      ...lines("LRANGE d 0 -1"),
    ],
  },
]);

const arguments_ = [
  "",
  "k BY",
  "k GET",
  "k LIMIT",
  "k LIMIT 1",
  "k LIMIT x y",
  "k LIMIT 1 y",
  "k LIMIT 1.5 2",
  "k LIMIT 9223372036854775808 1",
  "k LIMIT 0 9223372036854775808",
  "k LIMIT 0 9223372036854775807",
  "k LIMIT -9223372036854775808 -9223372036854775808",
  "k LIMIT 1 1 LIMIT 0 2",
  "k LIMIT 1 1 LIMIT 0",
  "k STORE",
  "k nonsense",
  "k ASC nonsense",
  "k ALPHA ALPHA",
  "k STORE d STORE e",
  "k store k",
  "k BY GET GET #",
  "k GET GET",
  "k BY LIMIT",
  "k BY LIMIT 0 1",
  "k LIMIT 0 1 BY w_* GET # DESC ASC",
  "none",
  "none GET # ALPHA",
  "none STORE d",
  "none BY nosort LIMIT 0 1",
  "none nonsense",
  "text",
  "text nonsense",
  "text STORE d",
  "hash BY nosort GET #",
];

const argued: Case[] = arguments_.map((text) =>
  on(
    [
      ...sources["a list of integers"]!,
      ["SET", "text", "v"],
      ["HSET", "hash", "f", "v"],
      ["SET", "d", "old"],
    ],
    `SORT ${text}`,
    spaced("SORT", text),
    spaced("SORT_RO", text),
    "TYPE d",
    "EXISTS d e",
    "LRANGE k 0 -1",
  ),
);

/** The form of a stored list is 8.0's: 7.0 knows no lists in one listpack. */
function newer(setup: readonly Command[], name: string, ...commands: (string | Command)[]): Case {
  return { ...on(setup, name, ...commands), oracle: "8", config: settings };
}

const storing: Case[] = [
  ...Object.entries(sources).map(([name, setup]) =>
    newer(
      [...others, ...setup],
      `${name} stored`,
      ...[
        "SORT k STORE d",
        "SORT k DESC LIMIT 2 4 STORE d",
        "SORT k ALPHA STORE d",
        "SORT k BY w_* GET # GET t_* STORE d",
      ].flatMap((text) => [text, "TYPE d", "OBJECT ENCODING d", "LRANGE d 0 -1", "TTL d"]),
    ),
  ),
  ...["a set of integers", "a large set", "a sorted set", "a list of integers"].map((name) =>
    newer(
      sources[name]!,
      `${name} BY nosort, stored`,
      ...[
        "SORT k BY nosort STORE d",
        "SORT k BY nosort DESC STORE d",
        "SORT k STORE d BY x LIMIT 1 3",
      ].flatMap((text) => [text, "OBJECT ENCODING d", "LRANGE d 0 -1"]),
    ),
  ),
  ...["SET d v", "SADD d a", "HSET d f v", "ZADD d 1 a", "RPUSH d a b c"].map((old) =>
    on(
      sources["a list of numbers"]!,
      `stored over ${old}`,
      old,
      "PEXPIREAT d 4102444800000",
      "SORT k STORE d",
      "TYPE d",
      "TTL d",
    ),
  ),
  on(
    sources["a list of numbers"]!,
    "nothing stored",
    "SET d v",
    "SORT k LIMIT 0 0 STORE d",
    "EXISTS d",
    "SORT none STORE k",
    "EXISTS k",
  ),
  on(
    sources["a set of integers"]!,
    "stored over its source",
    "SORT k STORE k",
    "LRANGE k 0 -1",
    "SORT k DESC GET # GET # STORE k",
    "LRANGE k 0 -1",
    "SORT k GET k STORE k LIMIT 0 2",
    "LRANGE k 0 -1",
  ),
  ...["-2", "-1", "5", "1", "128"].flatMap((size) =>
    [1, 5, 6, 128, 129, 2000].map((count) =>
      newer(
        [["CONFIG", "SET", "list-max-listpack-size", size]],
        `${count} elements stored with list-max-listpack-size ${size}`,
        ["RPUSH", "k", ...Array.from({ length: count }, (_, i) => `element:${(i * 7919) % 9973}`)],
        "SORT k ALPHA STORE d",
        "OBJECT ENCODING d",
        "LLEN d",
        "LINDEX d -1",
        "SORT k BY none_* GET none_* STORE d",
        "OBJECT ENCODING d",
      ),
    ),
  ),
  ...[4000, 8160, 8170, 8175, 8176, 8177, 8178, 8179, 8180, 8185, 8192, 8193, 20_000].map((bytes) =>
    newer(
      [],
      `an element of ${bytes} bytes stored, alone and behind another`,
      ["RPUSH", "k", "y".repeat(bytes)],
      "SORT k ALPHA STORE d",
      "OBJECT ENCODING d",
      "RPUSH k a",
      "SORT k ALPHA STORE d",
      "OBJECT ENCODING d",
      "SORT k ALPHA DESC STORE d",
      "OBJECT ENCODING d",
    ),
  ),
];

const random: Case[] = Array.from({ length: 12 }, (_, seed): Case => {
  const next = randomFrom(seed + 1);
  const below = (most: number) => Math.floor(next() * most);
  const count = [10, 60, 300, 2500][seed % 4]!;
  const value = (): string =>
    [String(below(count)), String(below(50) / 4), String(below(2 ** 31) * 2 ** 22), String(-below(9))][
      below(4)
    ]!;
  return {
    name: `random numbers, seed ${seed}`,
    commands: [
      ["RPUSH", "l", ...Array.from({ length: count }, value)],
      ["SADD", "s", ...Array.from({ length: count }, value)],
      ["ZADD", "z", ...Array.from({ length: count }, () => [String(below(20)), value()]).flat()],
      ...["l", "s", "z"].flatMap((key) =>
        lines(
          `SORT ${key}`,
          `SORT ${key} DESC`,
          `SORT ${key} ALPHA`,
          `SORT ${key} DESC ALPHA LIMIT ${below(20)} ${below(count)}`,
          `SORT ${key} LIMIT ${below(count)} ${below(20)}`,
          `SORT ${key} STORE d`,
          "LRANGE d 0 -1",
        ),
      ),
    ],
  };
});

const keys: Case[] = [
  "SORT k",
  "SORT k STORE d",
  "SORT k STORE d STORE e",
  "SORT k BY store GET store LIMIT store x STORE d",
  "SORT k STORE",
  "SORT k GET store d",
  "SORT k BY w_* GET h_*->f DESC store d ALPHA",
  "SORT_RO k",
  "SORT_RO k STORE d",
].map((text) => stream(`COMMAND GETKEYS ${text}`, `COMMAND GETKEYS ${text}`));

const kept = stream(
  "a sorted set keeps its form when it is sorted",
  "ZADD k 1 3 2 1 3 2",
  "OBJECT ENCODING k",
  "SORT_RO k",
  "OBJECT ENCODING k",
  "ZRANGE k 0 -1 WITHSCORES",
);

export const sortCases: Case[] = [
  ...sorting,
  ...by,
  ...got,
  withNul,
  kept,
  ...numbersRead,
  ...argued,
  ...storing,
  ...random,
  ...keys,
];
