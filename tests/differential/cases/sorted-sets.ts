// Sorted sets: every command, option, bound and error, packed and in pages, with the forms that results take.
// A case of `both` runs twice: with the settings as they are, and with every new sorted set in pages.
// Scores that 7.0 prints with seventeen digits are compared with 8.

import { type Case, type Command, golden, lines, stream } from "../harness.ts";
import { commandInfo, multiset } from "../normalise.ts";

const entries = "zset-max-listpack-entries";
const bytes = "zset-max-listpack-value";

function both(one: Case): Case[] {
  return [
    { ...one, name: `${one.name}, packed` },
    {
      ...one,
      name: `${one.name}, in pages`,
      commands: [["CONFIG", "SET", entries, "0"], ...one.commands!],
      config: [entries, ...(one.config ?? [])],
    },
  ];
}

const all = (key: string): string => `ZRANGE ${key} 0 -1 WITHSCORES`;
const look = (key: string): Command[] =>
  lines(all(key), `ZCARD ${key}`, `OBJECT ENCODING ${key}`, `PTTL ${key}`);
const members = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => [String((i * 7) % 13), `m:${from + i}`]).flat();

// ZADD

const flags = ["NX", "XX", "GT", "LT", "CH", "INCR"];
const flagged: Case[] = Array.from({ length: 64 }, (_, bits) =>
  flags.filter((_, i) => ((bits >> i) & 1) === 1),
).flatMap((chosen) =>
  both({
    name: `ZADD with ${chosen.join(" ") || "no flag"}`,
    commands: [
      ["ZADD", "absent", ...chosen, "1", "a"],
      ["ZADD", "z", "5", "a", "3", "b", "-inf", "low", "+inf", "high"],
      ...["4", "5", "6", "inf", "-inf", "0", "1.5", "x", "nan"].flatMap((score): Command[] => [
        ["ZADD", "z", ...chosen, score, "a"],
        ["ZADD", "z", ...[...chosen].reverse().map((flag) => flag.toLowerCase()), score, `new ${score}`],
        ["ZADD", "z", ...chosen, score, "low", "7", "high"],
        ["ZADD", "z", ...chosen, score, "high"],
        ["ZADD", "z", ...chosen, "2", "b", score, "b", "1", "c"],
        ["ZSCORE", "z", "a"],
      ]),
      ["ZADD", "z", ...chosen],
      ["ZADD", "z", ...chosen, "1"],
      ["ZADD", "z", ...chosen, "1", "a", "2"],
      ["SET", "text", "v"],
      ["ZADD", "text", ...chosen, "1", "a"],
      ["ZADD", "text", ...chosen, "x", "a"],
      ...look("z"),
      ...look("absent"),
    ],
  }),
);

const increments: Case[] = [
  ...both(
    stream(
      "ZINCRBY",
      "ZINCRBY z 1 a",
      "ZINCRBY z -1 a",
      "ZINCRBY z -0 a",
      "ZINCRBY z 0.5 a",
      "ZINCRBY z inf a",
      "ZINCRBY z inf a",
      "ZINCRBY z -inf a",
      "ZINCRBY z -inf b",
      "ZINCRBY z +inf b",
      "ZINCRBY z x a",
      "ZINCRBY z nan a",
      "ZINCRBY z nx a",
      "ZINCRBY z nx xx",
      "ZINCRBY z 1 nx",
      "ZINCRBY z 1",
      "ZINCRBY z 1 a 2",
      ["ZINCRBY", "z", "", "a"],
      ["ZINCRBY", "z", "1", ""],
      "ZADD z INCR 1 c",
      "ZADD z INCR XX 1 d",
      "ZADD z NX INCR 1 c",
      "ZADD z INCR GT -1 c",
      "ZADD z INCR LT -1 c",
      "ZADD z INCR CH 1 c",
      "ZADD z INCR -inf a",
      all("z"),
    ),
  ),
  ...both(
    stream(
      "ZADD keeps the order of members with equal scores",
      ["ZADD", "z", "1", "b", "1", "a", "1", "", "1", "\xff", "1", "\x00", "1", "ab", "1", "10", "1", "9"],
      all("z"),
      "ZREVRANGE z 0 -1",
      "ZADD z 0 b 2 a",
      all("z"),
      "ZADD z 1 x 2 x 3 x",
      "ZADD z CH 3 x 4 x 4 x",
      "ZADD z NX 9 x 9 y 8 y",
      all("z"),
    ),
  ),
  ...both({
    name: "members that look like numbers stay what they are",
    commands: [
      ...[
        "0",
        "-0",
        "00",
        "1",
        "+1",
        "1.0",
        "-1",
        "9007199254740993",
        "9223372036854775807",
        "1e3",
        " 1",
        "0x1",
      ].map((member, i): Command => ["ZADD", "z", String(i % 3), member]),
      ...lines(all("z"), "ZSCORE z 1", "ZSCORE z +1", "ZRANK z 9007199254740993", "ZREM z 00 1.0", all("z")),
    ],
  }),
];

// Where a sorted set goes over to pages

const word = (length: number): string => "w".repeat(length);
const forms: Case[] = [
  ...[126, 127, 128, 129, 130].flatMap((count): Case[] => [
    {
      name: `${count} members one by one`,
      commands: [
        ...Array.from({ length: count }, (_, i): Command => ["ZADD", "z", String(i % 10), `m:${i}`]),
        ...look("z"),
        ...lines("ZREM z m:0 m:1 m:2 m:3", "OBJECT ENCODING z", "ZADD z 1 m:0", "OBJECT ENCODING z"),
      ],
    },
    { name: `${count} members at once`, commands: [["ZADD", "z", ...members(0, count)], ...look("z")] },
    {
      name: `${count} members at once, of which few differ`,
      oracle: "8",
      commands: [
        ["ZADD", "z", ...members(0, count).map((word, i) => (i % 2 === 1 ? `m:${i % 5}` : word))],
        ...look("z"),
      ],
    },
    {
      name: `${count} members at once for a sorted set there is`,
      oracle: "8",
      commands: [
        ["ZADD", "z", "1", "a"],
        ["ZADD", "z", "XX", ...members(0, count)],
        ...look("z"),
        ["ZADD", "absent", "XX", ...members(0, count)],
        ...look("absent"),
      ],
    },
    {
      name: `ZRANGESTORE of ${count} members`,
      commands: [
        ["ZADD", "z", ...members(0, 200)],
        ["ZRANGESTORE", "d", "z", "0", String(count - 1)],
        ...look("d"),
        ["ZRANGESTORE", "d", "z", "-inf", "+inf", "BYSCORE", "LIMIT", "0", String(count)],
        ...look("d"),
        ["ZRANGESTORE", "d", "z", "0", String(count - 1), "REV"],
        ...look("d"),
      ],
    },
    {
      name: `unions of ${count} members`,
      commands: [
        ["ZADD", "a", ...members(0, 100)],
        ["ZADD", "b", ...members(50, count)],
        ...lines("ZUNIONSTORE d 2 a b"),
        ...look("d"),
        ...lines("ZINTERSTORE d 2 a b"),
        ...look("d"),
        ...lines("ZDIFFSTORE d 2 a b"),
        ...look("d"),
      ],
    },
  ]),
  ...[0, 1, 63, 64, 65, 128, 129, 250, 300, 5000, 70000].map((length) => ({
    name: `a member of ${length} bytes`,
    commands: [
      ["ZADD", "z", "1", word(length)],
      ...look("z"),
      ["ZADD", "y", "1", "a"],
      ["ZADD", "y", "XX", "1", word(length)],
      ...look("y"),
      ["ZADD", "y", "0", word(length), "5", "b"],
      ...look("y"),
      ["ZRANK", "y", word(length)],
      ["ZINCRBY", "y", "3", word(length)],
      ["ZRANGESTORE", "d", "y", "0", "-1"],
      ...look("d"),
      ["ZRANGESTORE", "d", "y", "0", "0"],
      ...look("d"),
      ["ZUNIONSTORE", "d", "2", "y", "z"],
      ...look("d"),
      ["ZREM", "y", word(length)],
      ...look("y"),
      ["ZPOPMAX", "z"],
      ...look("z"),
    ],
  })),
  ...["0", "1", "2", "5"].map((most) => ({
    name: `at most ${most} members packed`,
    oracle: "8" as const,
    config: [entries],
    commands: [
      ["CONFIG", "SET", entries, most],
      ...[1, 2, 3, 4, 5, 6].flatMap((count): Command[] => [
        ["ZADD", `k${count}`, ...members(0, count)],
        ...look(`k${count}`),
        ["ZUNIONSTORE", "d", "1", `k${count}`],
        ...look("d"),
        ["ZADD", `k${count}`, "1", "m:0", "1", "m:0"],
        ["ZADD", `k${count}`, "NX", "1", "new"],
        ...look(`k${count}`),
      ]),
    ],
  })),
  ...["0", "1", "3"].map((most) => ({
    name: `members of at most ${most} bytes packed`,
    config: [bytes],
    commands: [
      ["CONFIG", "SET", bytes, most],
      ...["", "a", "ab", "abc", "abcd", "1", "12", "123", "1234"].flatMap((member): Command[] => [
        ["ZADD", `k${member}`, "1", member],
        ...look(`k${member}`),
        ["ZADD", `k${member}`, "1", "", "2", "abcd"],
        ...look(`k${member}`),
      ]),
    ],
  })),
];

// Reading single members

const reading: Case[] = [
  ...both(
    stream(
      "ZSCORE, ZMSCORE, ZCARD",
      "ZADD z 1 a 2.5 b -3 c inf d -inf e",
      ...["a", "b", "c", "d", "e", "f", ""].map((member): Command => ["ZSCORE", "z", member]),
      "ZMSCORE z a",
      "ZMSCORE z f",
      "ZMSCORE z a f b a",
      "ZMSCORE absent a b",
      "ZSCORE absent a",
      "ZCARD z",
      "ZCARD absent",
      "ZREM z a f a",
      "ZREM z f",
      "ZREM absent a",
      "ZCARD z",
      "ZREM z b c d e a",
      "EXISTS z",
    ),
  ),
  ...both({
    name: "ZRANK and ZREVRANK of every member",
    oracle: "8",
    commands: [
      ["ZADD", "z", ...members(0, 40)],
      ...Array.from({ length: 42 }, (_, i) =>
        lines(
          `ZRANK z m:${i}`,
          `ZREVRANK z m:${i}`,
          `ZRANK z m:${i} WITHSCORE`,
          `zrevrank z m:${i} withscore`,
        ),
      ).flat(),
      ...lines(
        "ZRANK absent a",
        "ZRANK absent a WITHSCORE",
        "ZREVRANK absent a WITHSCORE",
        "ZRANK z m:1 x",
        "ZRANK absent a x",
        "ZRANK z m:1 WITHSCORES",
        "ZRANK z m:1 WITHSCORE x",
        "ZREVRANK z m:1 WITHSCORE WITHSCORE",
        "ZRANK z",
        "ZREVRANK z",
      ),
    ],
  }),
  {
    name: "COMMAND INFO of ZRANK and ZREVRANK",
    oracle: "8",
    commands: lines("COMMAND INFO zrank zrevrank"),
    normalise: commandInfo,
  },
];

// Ranges

const ranks = [
  "0",
  "1",
  "-1",
  "2",
  "-2",
  "5",
  "-7",
  "9",
  "-100",
  "100",
  "9223372036854775807",
  "-9223372036854775808",
];
const badRanks = ["x", "", "1.5", "+1", "9223372036854775808", "(1"];
const scoreBounds = [
  ...[
    "-inf",
    "+inf",
    "inf",
    "INFINITY",
    "(-inf",
    "(+inf",
    "0",
    "(0",
    "1",
    "(1",
    "+1",
    "2.5",
    "(2.5",
    "2.75",
    "3",
  ],
  ...["(3", "5", "(5", "-1", "", "(", "1e1", "1e400", "-1e400", "(1e400", "1e-400", ".5", "1.", "1\x00x"],
];
const badScores = ["x", "((1", "1 ", "nan", "(nan", "-", ".", "1_0", "infx", "[1", "1e", "e1", "--1"];
const memberBounds = [
  "-",
  "+",
  "[",
  "(",
  "[a",
  "(a",
  "[b",
  "(b",
  "[bb",
  "(bb",
  "[c",
  "(z",
  "[\xff",
  "-\x00x",
  "+\x00x",
];
const badMembers = ["", "a", "x", "-a", "+a", "--", "{a"];

const scored: Command = [
  "ZADD",
  "z",
  "0",
  "a",
  "1",
  "b",
  "1",
  "c",
  "2.5",
  "d",
  "3",
  "e",
  "5",
  "f",
  "-1",
  "g",
];
const equal: Command = [
  "ZADD",
  "z",
  "0",
  "",
  "0",
  "a",
  "0",
  "aa",
  "0",
  "b",
  "0",
  "bb",
  "0",
  "c",
  "0",
  "\xff",
];

const ranging: Case[] = [
  ...ranks.flatMap((start) =>
    both({
      name: `ranges of ranks from ${start}`,
      commands: [
        scored,
        ...ranks.flatMap((stop): Command[] => [
          ["ZRANGE", "z", start, stop],
          ["ZRANGE", "z", start, stop, "REV", "WITHSCORES"],
          ["ZREVRANGE", "z", start, stop, "withscores"],
          ["ZRANGESTORE", "d", "z", start, stop],
          ["ZRANGE", "d", "0", "-1", "WITHSCORES"],
          ["ZRANGESTORE", "d", "z", start, stop, "REV"],
          ["ZRANGE", "d", "0", "-1", "WITHSCORES"],
          ["ZRANGE", "absent", start, stop],
          ["ZREMRANGEBYRANK", "d", start, stop],
          ["ZRANGE", "d", "0", "-1", "WITHSCORES"],
        ]),
      ],
    }),
  ),
  ...scoreBounds.flatMap((min) =>
    both({
      name: `ranges of scores from "${min.replace("\x00", "\\0")}"`,
      commands: [
        scored,
        ...scoreBounds.flatMap((max): Command[] => [
          ["ZCOUNT", "z", min, max],
          ["ZRANGEBYSCORE", "z", min, max, "WITHSCORES"],
          ["ZREVRANGEBYSCORE", "z", max, min],
          ["ZRANGE", "z", min, max, "BYSCORE", "LIMIT", "1", "2"],
          ["ZRANGE", "z", max, min, "BYSCORE", "REV", "WITHSCORES", "LIMIT", "1", "-1"],
          ["ZRANGESTORE", "d", "z", min, max, "BYSCORE"],
          ["ZREMRANGEBYSCORE", "d", max, min],
          ["ZRANGE", "d", "0", "-1", "WITHSCORES"],
          ["ZREMRANGEBYSCORE", "d", min, max],
          ["EXISTS", "d"],
        ]),
      ],
    }),
  ),
  ...memberBounds.flatMap((min) =>
    both({
      name: `ranges of members from "${min.replace("\x00", "\\0")}"`,
      commands: [
        equal,
        ...memberBounds.flatMap((max): Command[] => [
          ["ZLEXCOUNT", "z", min, max],
          ["ZRANGEBYLEX", "z", min, max],
          ["ZREVRANGEBYLEX", "z", max, min],
          ["ZRANGE", "z", min, max, "BYLEX", "LIMIT", "1", "2"],
          ["ZRANGE", "z", max, min, "BYLEX", "REV", "LIMIT", "2", "-1"],
          ["ZRANGESTORE", "d", "z", min, max, "BYLEX"],
          ["ZRANGE", "d", "0", "-1", "WITHSCORES"],
          ["ZREMRANGEBYLEX", "d", max, min],
          ["ZREMRANGEBYLEX", "d", min, max],
          ["EXISTS", "d"],
        ]),
      ],
    }),
  ),
  ...["0", "1", "3", "7", "100", "-1", "-5", "9223372036854775807", "-9223372036854775808", "x"].flatMap(
    (offset) =>
      both({
        name: `LIMIT ${offset}`,
        commands: [
          scored,
          ...[
            "0",
            "1",
            "2",
            "7",
            "100",
            "-1",
            "-5",
            "9223372036854775807",
            "-9223372036854775808",
            "x",
          ].flatMap((count): Command[] => [
            ["ZRANGEBYSCORE", "z", "-inf", "+inf", "LIMIT", offset, count],
            ["ZRANGEBYSCORE", "z", "(0", "4", "LIMIT", offset, count, "WITHSCORES"],
            ["ZREVRANGEBYSCORE", "z", "4", "(0", "WITHSCORES", "LIMIT", offset, count],
            ["ZRANGEBYLEX", "z", "-", "+", "LIMIT", offset, count],
            ["ZREVRANGEBYLEX", "z", "+", "-", "limit", offset, count],
            ["ZRANGE", "z", "0", "-1", "LIMIT", offset, count],
            ["ZRANGE", "z", "4", "(0", "REV", "LIMIT", offset, count, "BYSCORE"],
            ["ZRANGESTORE", "d", "z", "4", "(0", "REV", "LIMIT", offset, count, "BYSCORE"],
            ["ZRANGE", "d", "0", "-1", "WITHSCORES"],
          ]),
        ],
      }),
  ),
];

const rangeOptions = [
  "BYSCORE",
  "BYLEX",
  "REV",
  "WITHSCORES",
  "LIMIT 0 1",
  "LIMIT 0 -1",
  "LIMIT 0",
  "LIMIT",
  "x",
];
const rangeErrors: Case[] = [
  ...rangeOptions.map((first) => ({
    name: `options of ranges beginning with ${first}`,
    commands: [
      scored,
      ...rangeOptions
        .flatMap((second) => ["", ...rangeOptions.slice(0, 5)].map((third) => `${first} ${second} ${third}`))
        .flatMap((options) => {
          const words = options.trim().split(" ");
          return [
            ...[
              "ZRANGE z 0 -1",
              "ZRANGE z - +",
              "ZRANGE z (0 +inf",
              "ZRANGE absent 5 1",
              "ZRANGESTORE d z 0 1",
            ],
            ...["ZREVRANGE z 0 -1", "ZRANGEBYSCORE z 0 1", "ZRANGEBYLEX z - +", "ZREVRANGEBYLEX z - +"],
          ].map((command): Command => [...command.split(" "), ...words]);
        }),
    ],
  })),
  {
    name: "bounds that are none",
    commands: [
      scored,
      ["SET", "text", "v"],
      ...["z", "absent", "text"].flatMap((key): Command[] => [
        ...badRanks.flatMap((bad): Command[] => [
          ["ZRANGE", key, bad, "1"],
          ["ZRANGE", key, "1", bad, "REV"],
          ["ZREVRANGE", key, bad, bad],
          ["ZREMRANGEBYRANK", key, bad, "1"],
          ["ZREMRANGEBYRANK", key, "1", bad],
          ["ZRANGESTORE", "d", key, bad, "1"],
          ["ZRANGEBYSCORE", key, "0", "1", "LIMIT", bad, "1"],
          ["ZRANGEBYSCORE", key, "x", "1", "LIMIT", "1", bad],
        ]),
        ...badScores.flatMap((bad): Command[] => [
          ["ZCOUNT", key, bad, "1"],
          ["ZCOUNT", key, "1", bad],
          ["ZRANGEBYSCORE", key, bad, "1"],
          ["ZREVRANGEBYSCORE", key, bad, "1"],
          ["ZRANGE", key, "1", bad, "BYSCORE"],
          ["ZREMRANGEBYSCORE", key, "1", bad],
          ["ZRANGESTORE", "d", key, bad, "1", "BYSCORE"],
        ]),
        ...badMembers.flatMap((bad): Command[] => [
          ["ZLEXCOUNT", key, bad, "+"],
          ["ZLEXCOUNT", key, "-", bad],
          ["ZRANGEBYLEX", key, bad, "+"],
          ["ZREVRANGEBYLEX", key, bad, "-"],
          ["ZRANGE", key, "-", bad, "BYLEX", "REV"],
          ["ZREMRANGEBYLEX", key, "-", bad],
          ["ZRANGESTORE", "d", key, bad, "+", "BYLEX"],
        ]),
      ]),
      ["ZRANGE", "z", "0", "-1", "WITHSCORES"],
    ],
  },
  {
    name: "bounds that 7.0 reads otherwise",
    oracle: "8",
    commands: [
      scored,
      ...[" 1", "0x1", "( 1", "(0x1", "1 ", "\t1"].flatMap((bound): Command[] => [
        ["ZCOUNT", "z", bound, "5"],
        ["ZRANGEBYSCORE", "z", "-inf", bound],
      ]),
    ],
  },
];

// Popping

const popping: Case[] = [
  ...["ZPOPMIN", "ZPOPMAX"].flatMap((name) =>
    ["0", "1", "2", "3", "4", "5", "100", "9223372036854775807", "-1", "x", "", "1.5"].flatMap((count) =>
      both({
        name: `${name} "${count}"`,
        commands: [
          ["ZADD", "z", "1", "a", "1", "b", "3", "c", "2.5", "d"],
          [name, "z", count],
          ["ZRANGE", "z", "0", "-1", "WITHSCORES"],
          [name, "z"],
          [name, "z", count],
          [name, "z", count],
          [name, "z"],
          [name, "z", count, "x"],
          ["EXISTS", "z"],
          [name, "absent", count],
          ["SET", "text", "v"],
          [name, "text"],
          [name, "text", count],
        ],
      }),
    ),
  ),
  ...["MIN", "max"].flatMap((where) =>
    [
      "",
      "COUNT 1",
      "COUNT 2",
      "count 100",
      "COUNT 0",
      "COUNT -1",
      "COUNT x",
      "COUNT",
      "COUNT 1 COUNT 1",
      "x",
    ].flatMap((options) =>
      both({
        name: `ZMPOP ${where} ${options}`,
        commands: [
          ["ZADD", "z", "1", "a", "1", "b", "3", "c", "2.5", "d"],
          ["ZADD", "y", "7", "x"],
          ["SET", "text", "v"],
          ...["1 z", "2 absent z", "3 absent y z", "2 z text", "2 text z", "2 absent none", "1 text"].map(
            (keys): Command => [
              "ZMPOP",
              ...keys.split(" "),
              where,
              ...(options === "" ? [] : options.split(" ")),
            ],
          ),
          ...look("z"),
          ...look("y"),
        ],
      }),
    ),
  ),
  stream(
    "ZMPOP refuses",
    "ZADD z 1 a",
    ...["0", "-1", "x", "", "1.5", "2", "3", "9223372036854775807", "9223372036854775808"].map(
      (keys): Command => ["ZMPOP", keys, "z", "MIN"],
    ),
    "ZMPOP 1 z",
    "ZMPOP 1 z x",
    "ZMPOP 1 z MIN MAX",
    "ZMPOP 2 z MIN",
    "ZMPOP 0 z x",
    "ZMPOP",
    all("z"),
  ),
];

// Draws

/** What is to be said of a draw without its chance: how many, whether distinct, whether all are members. */
function drawn(name: string, count: number, ...args: string[]): Case {
  const [wanted] = args;
  return {
    name: `${name}: ZRANDMEMBER ${args.join(" ")}`,
    program: async ({ ask }) => {
      const values = Array.from({ length: count }, (_, i) => [String(i), `member ${i}`]).flat();
      await ask("a", ["ZADD", "z", ...values]);
      const facts: string[] = [];
      const [reply] = await ask("a", ["ZRANDMEMBER", "z", ...args]);
      const text = Buffer.from(reply).toString("latin1");
      const found = [...text.matchAll(/member (\d+)\r\n(?:,(\d+)\r\n|\$\d+\r\n(\d+)\r\n)?/g)];
      facts.push(text.slice(0, text.indexOf("\r\n")));
      facts.push(`${found.length} members`);
      facts.push(`${found.filter(([, number]) => Number(number) < count).length} of them members`);
      if (Number(wanted) > 0) facts.push(`${new Set(found.map(([, number]) => number)).size} distinct`);
      if (args.length > 1)
        facts.push(`${found.filter(([, number, a, b]) => number === (a ?? b)).length} with their scores`);
      return facts;
    },
  };
}

const draws: Case[] = [
  ...[1, 5, 100, 300, 2000].flatMap((size) =>
    ["1", "2", "5", "50", "299", "300", "5000", "-1", "-5", "-300"].flatMap((count) => [
      drawn(`of ${size}`, size, count),
      drawn(`of ${size}`, size, count, "WITHSCORES"),
    ]),
  ),
  drawn("of one", 1),
  {
    name: "ZRANDMEMBER of everything",
    normalise: { 2: multiset, 3: multiset },
    commands: lines(
      "ZADD z 1 a 2 b 3 c",
      "ZRANDMEMBER z 0",
      "ZRANDMEMBER z 3",
      "ZRANDMEMBER z 100",
      "ZRANDMEMBER z 0 WITHSCORES",
      "ZRANDMEMBER absent",
      "ZRANDMEMBER absent 1",
      "ZRANDMEMBER absent -1",
      "ZRANDMEMBER absent 1 WITHSCORES",
    ),
  },
  {
    name: "ZRANDMEMBER refuses",
    commands: [
      ["ZADD", "z", "1", "a"],
      ["SET", "text", "v"],
      ...["z", "absent", "text"].flatMap((key): Command[] => [
        ...["x", "", "1.5", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"].flatMap(
          (count): Command[] => [
            ["ZRANDMEMBER", key, count],
            ["ZRANDMEMBER", key, count, "WITHSCORES"],
            ["ZRANDMEMBER", key, count, "x"],
          ],
        ),
        ...["4611686018427387904", "-4611686018427387904", "9223372036854775807", "-9223372036854775807"].map(
          (count): Command => ["ZRANDMEMBER", key, count, "WITHSCORES"],
        ),
        ["ZRANDMEMBER", key, "1", "x"],
        ["ZRANDMEMBER", key, "1", "WITHSCORES", "x"],
        ["ZRANDMEMBER", key, "1", "WITHSCORE"],
      ]),
      ["ZRANDMEMBER", "text"],
      ["ZRANDMEMBER", "text", "1"],
      ["ZRANDMEMBER", "absent", "4611686018427387903", "WITHSCORES"],
      ["ZRANDMEMBER", "absent", "9223372036854775807"],
      ["ZRANDMEMBER", "z", "9223372036854775807"],
      ["ZRANDMEMBER", "z", "4611686018427387903", "WITHSCORES"],
    ],
  },
];

// Algebra

/** Sets and sorted sets of every form, and what is neither. */
const sources: Command[] = [
  ["ZADD", "z", "1", "a", "2", "b", "3", "c", "4", "1", "5", "2"],
  ["ZADD", "y", "10", "b", "20", "c", "30", "d", "inf", "1"],
  ["ZADD", "infinite", "inf", "a", "-inf", "b", "6", "1", "inf", "c"],
  ["ZADD", "negative", "-inf", "a", "-1", "b", "-inf", "1", "-2.5", "c", "7", "e"],
  ["SADD", "integers", "1", "2", "3"],
  ["SADD", "texts", "a", "b", "1", "x"],
  ["SADD", "long", "a", "c", "l".repeat(100), "1"],
  ["ZADD", "wide", "1", "l".repeat(100), "2", "a"],
  ["SET", "text", "v"],
  ["EXPIRE", "z", "5000"],
];
const combinations = [
  ...[
    "1 z",
    "1 integers",
    "1 texts",
    "1 long",
    "1 absent",
    "2 z z",
    "2 z y",
    "2 y z",
    "2 z absent",
    "2 absent z",
  ],
  ...[
    "2 integers z",
    "2 z integers",
    "3 z y texts",
    "3 texts integers z",
    "2 z long",
    "2 wide long",
    "2 infinite negative",
  ],
  ...[
    "2 negative infinite",
    "3 z infinite negative",
    "4 z y infinite negative",
    "2 texts integers",
    "3 z z y",
  ],
];
const scoring = [
  ...["", "WEIGHTS", "AGGREGATE SUM", "AGGREGATE min", "aggregate MAX", "WEIGHTS+ AGGREGATE MIN"],
  ...["WEIGHTS- AGGREGATE MAX", "WEIGHTS0", "AGGREGATE MIN WEIGHTS0", "AGGREGATE MAX WEIGHTS0", "WEIGHTSinf"],
];

function weighted(options: string, keys: number): string[] {
  const kinds: Record<string, string[]> = {
    WEIGHTS: ["2", "3", "0.5", "1"],
    "WEIGHTS+": ["1", "2", "3", "4"],
    "WEIGHTS-": ["-1", "2", "-2", "0.5"],
    WEIGHTS0: ["0", "0", "1", "0"],
    WEIGHTSinf: ["inf", "-inf", "1", "+inf"],
  };
  return options
    .split(" ")
    .flatMap((word) =>
      word in kinds ? ["WEIGHTS", ...kinds[word]!.slice(0, keys)] : word === "" ? [] : [word],
    );
}

const algebra: Case[] = [
  ...combinations.flatMap((keys) =>
    both({
      name: `union and intersection of ${keys}`,
      commands: [
        ...sources,
        ...["ZUNION", "ZINTER"].flatMap((name) =>
          scoring.flatMap((options): Command[] => {
            const words = weighted(options, Number(keys[0]));
            const from = keys.split(" ");
            return [
              [name, ...from, ...words, "WITHSCORES"],
              [name, ...from, ...words],
              [`${name}STORE`, "d", ...from, ...words],
              ["ZRANGE", "d", "0", "-1", "WITHSCORES"],
              ["OBJECT", "ENCODING", "d"],
            ];
          }),
        ),
        ...["", "LIMIT 0", "LIMIT 1", "LIMIT 2", "LIMIT 100"].map(
          (limit): Command => ["ZINTERCARD", ...keys.split(" "), ...(limit === "" ? [] : limit.split(" "))],
        ),
      ],
    }),
  ),
  ...both({
    name: "differences",
    commands: [
      ...sources,
      ...combinations.flatMap((keys): Command[] => [
        ["ZDIFF", ...keys.split(" ")],
        ["ZDIFF", ...keys.split(" "), "withscores"],
        ["ZDIFFSTORE", "d", ...keys.split(" ")],
        ["ZRANGE", "d", "0", "-1", "WITHSCORES"],
        ["OBJECT", "ENCODING", "d"],
      ]),
    ],
  }),
  ...both({
    name: "a destination that is a source, of another type, or due",
    commands: [
      ...sources,
      ...lines(
        "EXPIRE z 5000",
        "ZUNIONSTORE z 2 z y",
        "TTL z",
        all("z"),
        "ZINTERSTORE y 3 y z y WEIGHTS 1 2 3",
        all("y"),
        "ZDIFFSTORE z 2 z y",
        all("z"),
        "ZUNIONSTORE text 2 z integers",
        all("text"),
        "TYPE text",
        "ZUNIONSTORE integers 2 integers texts",
        all("integers"),
        "ZINTERSTORE texts 2 z absent",
        "EXISTS texts",
        "ZDIFFSTORE long 1 absent",
        "EXISTS long",
        "ZDIFFSTORE absent 1 absent",
        "EXPIRE z 5000",
        "ZRANGESTORE z z 0 1",
        "TTL z",
        all("z"),
        "ZRANGESTORE z z 5 1",
        "EXISTS z",
        "ZRANGESTORE wide absent 0 1",
        "EXISTS wide",
        "SET text v",
        "ZRANGESTORE text y 0 -1",
        all("text"),
        "SET text v",
        "ZRANGESTORE d text 0 1",
        "ZRANGESTORE text text 0 1",
        "GET text",
      ),
    ],
  }),
  ...["ZUNION", "ZINTER", "ZDIFF", "ZUNIONSTORE d", "ZINTERSTORE d", "ZDIFFSTORE d", "ZINTERCARD"].map(
    (name) => ({
      name: `${name} refuses`,
      commands: [
        ...sources,
        ...[
          ...[
            "0 z",
            "-1 z",
            "x z",
            "1.5 z",
            "2 z",
            "9223372036854775807 z",
            "9223372036854775808 z",
            "1 text",
            "2 z text",
          ],
          ...[
            "2 text z",
            "2 absent text",
            "1 text x",
            "1 z x",
            "1 z WITHSCORES",
            "1 z WITHSCORES WITHSCORES",
            "1 z WEIGHTS",
          ],
          ...[
            "1 z WEIGHTS x",
            "1 z WEIGHTS nan",
            "2 z y WEIGHTS 1",
            "2 z y WEIGHTS 1 x",
            "1 z WEIGHTS 1 2",
            "1 z AGGREGATE",
          ],
          ...[
            "1 z AGGREGATE x",
            "1 z AGGREGATE sum min",
            "1 z AGGREGATE MIN AGGREGATE MAX",
            "1 z WEIGHTS 1 WEIGHTS 2",
          ],
          ...[
            "1 z LIMIT",
            "1 z LIMIT 1",
            "1 z LIMIT -1",
            "1 z LIMIT x",
            "1 z LIMIT 1 LIMIT 2",
            "1 z LIMIT 1 x",
            "1 z x LIMIT 1",
          ],
          ...[
            "1 z WEIGHTS 1 WITHSCORES AGGREGATE MAX",
            "1 z weights 2 aggregate max",
            "1 text WEIGHTS x",
            "0",
            "1",
            "0 WEIGHTS",
          ],
          ...["1 z LIMIT 9223372036854775807", "1 z LIMIT 9223372036854775808", "1 z LIMIT 1.5"],
        ].map((rest): Command => [...name.split(" "), ...rest.split(" ")]),
        [...name.split(" ")],
        [...name.split(" "), "", "z"],
      ],
    }),
  ),
];

// Scanning

/** All elements of a scan by pages, sorted, and whether every page but the last had some. */
function scanned(count: number, ...args: string[]): Case {
  return {
    name: `ZSCAN of ${count} by pages: ${args.join(" ")}`,
    program: async ({ ask }) => {
      for (let from = 0; from < count; from += 1000)
        await ask("a", ["ZADD", "z", ...members(from, Math.min(count, from + 1000))]);
      const found: string[] = [];
      let cursor = "0";
      do {
        const [reply] = await ask("a", ["ZSCAN", "z", cursor, ...args]);
        const parts = Buffer.from(reply).toString("latin1").split("\r\n");
        cursor = parts[2]!;
        const elements = parts.slice(5).filter((_, i) => i % 2 === 0);
        for (let i = 0; i + 1 < elements.length; i += 2) found.push(`${elements[i]}=${elements[i + 1]}`);
      } while (cursor !== "0");
      return [...new Set(found)].sort();
    },
  };
}

const scanning: Case[] = [
  ...[1, 100, 200, 3000].flatMap((count) => [
    scanned(count),
    scanned(count, "COUNT", "1"),
    scanned(count, "COUNT", "100"),
    scanned(count, "MATCH", "m:*7", "COUNT", "37"),
    scanned(count, "COUNT", "1000000"),
  ]),
  stream(
    "ZSCAN of a packed one",
    "ZADD z 2 b 1 a 3 1 4 2 2.5 c inf d -inf e",
    "ZSCAN z 0",
    "ZSCAN z 7",
    "ZSCAN z 18446744073709551615",
    "ZSCAN z 0 COUNT 1",
    "ZSCAN z 0 MATCH ?",
    "ZSCAN z 0 MATCH [ab] COUNT 5",
    "ZSCAN z 0 MATCH x*",
    "ZSCAN z 0 MATCH a MATCH b",
  ),
  stream(
    "ZSCAN refuses",
    "ZADD z 1 a",
    "SET text v",
    ...["z", "absent", "text"].flatMap((key) => [
      ...[`ZSCAN ${key} x`, `ZSCAN ${key} 0 COUNT 0`, `ZSCAN ${key} 0 COUNT x`, `ZSCAN ${key} 0 COUNT`],
      ...[`ZSCAN ${key} 0 MATCH`, `ZSCAN ${key} 0 x`, `ZSCAN ${key} 0 TYPE zset`, `ZSCAN ${key} x COUNT x`],
      `ZSCAN ${key}`,
    ]),
  ),
  {
    name: "ZSCAN of a negative cursor",
    oracle: "8",
    commands: lines("ZADD z 1 a", "ZSCAN z -1", "ZSCAN none -1"),
  },
  golden(
    "ZSCAN NOSCORES",
    "ZSCAN NOSCORES is Valkey 8's; neither oracle has it",
    { 1: "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", 2: "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n" },
    "ZADD z 1 a 2 b",
    "ZSCAN z 0 NOSCORES",
    "ZSCAN z 0 noscores MATCH b COUNT 5",
  ),
];

// Scores as text

const doubles = [
  ...[
    "0.1",
    "1.1",
    "-1.1",
    "3.14159",
    "1e20",
    "1e21",
    "1e22",
    "123456789012345680",
    "1.5e-6",
    "0.0001",
    "1.234e-5",
  ],
  ...[
    "1e-7",
    "5e-324",
    "1.7976931348623157e308",
    "4611686018427387904",
    "4611686018427387905",
    "9007199254740993",
  ],
  ...[
    "9223372036854775807",
    "-9223372036854775808",
    "1e15",
    "1e16",
    "1e17",
    "1e18",
    "1e19",
    "100000000000000000000",
  ],
  ...[
    "0.3",
    "0.30000000000000004",
    "2.5",
    "1000000.5",
    "12345.678",
    "1e300",
    "-1e300",
    "1e-300",
    ".5",
    "5.",
    "+1",
  ],
  ...["1E5", "inf", "-Infinity", "0e0", "0.000001", "0.0000001", "123456.789e3", "1.0", "100", "1e2"],
];
const texts: Case[] = [
  ...both({
    name: "scores as text",
    oracle: "8",
    commands: doubles.flatMap((score): Command[] => [
      ["ZADD", "z", score, "a"],
      ["ZSCORE", "z", "a"],
      ["ZADD", "z", "INCR", "0", "a"],
      ["ZMSCORE", "z", "a", "b"],
      ["ZRANGE", "z", "0", "-1", "WITHSCORES"],
      ["ZRANK", "z", "a", "WITHSCORE"],
      ["DEL", "y"],
      ["ZINCRBY", "y", score, "sum"],
      ["ZUNION", "2", "z", "y", "WITHSCORES"],
      ["ZPOPMIN", "z"],
    ]),
  }),
  {
    name: "ZSCAN of packed scores",
    oracle: "8",
    commands: [
      ["ZADD", "z", ...["1.1", "0.0001", "1e20", "3.14159", "1e-7"].flatMap((score, i) => [score, `m${i}`])],
      ["ZSCAN", "z", "0"],
      ["DEL", "z"], // our DEBUG DIGEST prints scores as 7.0 does
    ],
  },
  {
    name: "ZSCAN of scores in pages",
    why: "scores have one text everywhere; the references print long doubles here",
    expect: { 2: "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$3\r\n1.1\r\n" },
    config: [entries],
    commands: lines(`CONFIG SET ${entries} 0`, "ZADD z 1.1 a", "ZSCAN z 0"),
  },
  golden(
    "hexadecimal scores",
    "hexadecimal floats are refused everywhere",
    { 0: "-ERR value is not a valid float\r\n" },
    "ZADD z 0x10 a",
  ),
  {
    name: "a score of -0",
    why: "-0 is kept as 0; the references print -0 of what is in pages",
    protocols: [2],
    expect: { 2: "$1\r\n0\r\n", 4: "*2\r\n$1\r\na\r\n$1\r\n0\r\n", 8: "*2\r\n$1\r\nb\r\n$1\r\n0\r\n" },
    config: [entries],
    commands: lines(
      `CONFIG SET ${entries} 0`,
      "ZADD z -0 a",
      "ZSCORE z a",
      "ZADD z CH 0 a",
      all("z"),
      "ZRANGEBYSCORE z -0 (0",
      "ZCOUNT z -0 -0",
      "ZADD y 7 b",
      "ZUNION 1 y WEIGHTS -0 WITHSCORES",
    ),
  },
  stream(
    "scores that are none",
    ...[
      "x",
      "",
      " 1",
      "1 ",
      "nan",
      "-nan",
      "1e400",
      "-1e400",
      "1e-400",
      "1_0",
      "1,5",
      "--1",
      "inf1",
      "e5",
    ].map((score): Command => ["ZADD", "z", score, "a"]),
    "ZADD z 1 a x b",
    "ZADD z 1 a 2 b x",
    "EXISTS z",
  ),
];

// Types, deadlines, arity

const names = [
  ...[
    "ZADD k 1 a",
    "ZINCRBY k 1 a",
    "ZREM k a",
    "ZSCORE k a",
    "ZMSCORE k a",
    "ZCARD k",
    "ZRANK k a",
    "ZREVRANK k a",
  ],
  ...["ZCOUNT k 0 1", "ZLEXCOUNT k - +", "ZRANGE k 0 1", "ZREVRANGE k 0 1", "ZRANGEBYSCORE k 0 1"],
  ...["ZREVRANGEBYSCORE k 1 0", "ZRANGEBYLEX k - +", "ZREVRANGEBYLEX k + -", "ZRANGESTORE d k 0 1"],
  ...["ZREMRANGEBYRANK k 0 1", "ZREMRANGEBYSCORE k 0 1", "ZREMRANGEBYLEX k - +", "ZPOPMIN k", "ZPOPMAX k"],
  ...["ZMPOP 1 k MIN", "ZRANDMEMBER k", "ZUNION 1 k", "ZINTER 1 k", "ZDIFF 1 k", "ZUNIONSTORE d 1 k"],
  ...["ZINTERSTORE d 1 k", "ZDIFFSTORE d 1 k", "ZINTERCARD 1 k", "ZSCAN k 0"],
];
const general: Case[] = [
  stream("sorted set commands on a string", "SET k v", ...names, "GET k"),
  stream(
    "sorted set commands on a set",
    "SADD k a",
    ...names.filter((name) => !/^Z(UNION|INTER|DIFF)/.test(name)),
  ),
  stream("sorted set commands on no key", ...names.filter((name) => !/^Z(ADD|INCRBY)/.test(name)), "DBSIZE"),
  stream(
    "keys of sorted set commands",
    ...names.map((name) => `COMMAND GETKEYS ${name}`),
    "COMMAND GETKEYS ZUNIONSTORE d 2 a b WEIGHTS 1 2",
    "COMMAND GETKEYS ZINTER 3 a b c WITHSCORES",
    "COMMAND GETKEYS ZMPOP 2 a b MAX COUNT 5",
    "COMMAND GETKEYSANDFLAGS ZDIFFSTORE d 2 a b",
    "COMMAND GETKEYSANDFLAGS ZRANGESTORE d a 0 1",
    "COMMAND GETKEYSANDFLAGS ZMPOP 1 a MIN",
  ),
  stream(
    "commands of other types on a sorted set",
    "ZADD k 1 a",
    "GET k",
    "SADD k a",
    "INCR k",
    "STRLEN k",
    "TYPE k",
  ),
  stream(
    "arity of sorted set commands",
    ...names
      .filter((name) => !/^Z(REV)?RANK/.test(name))
      .flatMap((name) => {
        const words = name.split(" ");
        return words.slice(0, -1).map((_, i) => words.slice(0, i + 1).join(" "));
      }),
    "ZSCORE k a b",
    "ZCARD k a",
    "ZINCRBY k 1 a b",
    "ZCOUNT k 0 1 2",
    "ZREMRANGEBYRANK k 0 1 2",
  ),
  ...both(
    stream(
      "deadlines of sorted sets",
      "ZADD z 1 a 2 b 3 c 4 d 5 e",
      "PEXPIREAT z 4102444800123",
      "ZADD z 9 a",
      "ZINCRBY z 1 b",
      "ZREM z c",
      "ZPOPMIN z",
      "ZREMRANGEBYRANK z 0 0",
      "PEXPIRETIME z",
      "COPY z y",
      "PEXPIRETIME y",
      all("y"),
      "RENAME y x",
      all("x"),
      "MOVE x 1",
      "SELECT 1",
      all("x"),
      "ZADD x 1 new",
      "SELECT 0",
      "ZUNIONSTORE z 1 z",
      "PEXPIRETIME z",
      all("z"),
      "DEL z",
      "ZCARD z",
      "PEXPIREAT z 1",
      "ZADD z 1 a",
      "PEXPIREAT z 1",
      "ZADD z XX 1 a",
      "EXISTS z",
    ),
  ),
  ...both({
    name: "many members come and go",
    commands: [
      ...Array.from({ length: 10 }, (_, i): Command => ["ZADD", "z", ...members(i * 300, i * 300 + 300)]),
      ...lines("ZCARD z", "ZRANGE z 100 140 WITHSCORES", "ZRANGEBYSCORE z (3 5 LIMIT 200 40", "ZCOUNT z 2 7"),
      ...Array.from({ length: 50 }, (_, i) => [`m:${i * 61}`]).flatMap(([member]) =>
        lines(`ZRANK z ${member}`, `ZREVRANK z ${member}`, `ZINCRBY z 2.5 ${member}`, `ZSCORE z ${member}`),
      ),
      ...lines(
        "ZREMRANGEBYSCORE z 4 (7",
        "ZREMRANGEBYRANK z 100 300",
        "ZRANGE z 0 -1 WITHSCORES",
        "ZPOPMAX z 500",
      ),
      ...lines(
        "ZPOPMIN z 500",
        "ZREMRANGEBYRANK z 1 -2",
        "ZRANGE z 0 -1 WITHSCORES",
        "ZPOPMIN z 5",
        "EXISTS z",
      ),
    ],
  }),
];

// Ours

const ours: Case[] = [
  {
    name: "IC.ZPOPBYSCORE",
    why: "no reference has it",
    protocols: [2],
    unasked: true,
    expect: {
      ...[
        ":5\r\n",
        "*2\r\n$1\r\na\r\n$1\r\n1\r\n",
        "*0\r\n",
        "*4\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$1\r\n3\r\n",
        "*0\r\n",
        "-ERR value is out of range, must be positive\r\n",
        "-ERR value is out of range, must be positive\r\n",
        "-ERR syntax error\r\n",
        "-ERR syntax error\r\n",
        "-ERR syntax error\r\n",
        "-ERR min or max is not a float\r\n",
        "*4\r\n$1\r\nd\r\n$1\r\n4\r\n$1\r\ne\r\n$1\r\n5\r\n",
        ":0\r\n",
        "*0\r\n",
        "+OK\r\n",
        "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        "-ERR wrong number of arguments for 'ic.zpopbyscore' command\r\n",
      ],
    },
    commands: lines(
      "ZADD z 1 a 2 b 3 c 4 d 5 e",
      "IC.ZPOPBYSCORE z -inf +inf",
      "IC.ZPOPBYSCORE z (4 (5",
      "ic.zpopbyscore z (1 3 LIMIT 5",
      "IC.ZPOPBYSCORE z -inf +inf LIMIT 0",
      "IC.ZPOPBYSCORE z -inf +inf LIMIT -1",
      "IC.ZPOPBYSCORE z -inf +inf LIMIT x",
      "IC.ZPOPBYSCORE z -inf +inf LIMIT",
      "IC.ZPOPBYSCORE z -inf +inf LIMIT 0 1",
      "IC.ZPOPBYSCORE z -inf +inf 5",
      "IC.ZPOPBYSCORE z x +inf",
      "IC.ZPOPBYSCORE z -inf inf limit 9223372036854775807",
      "EXISTS z",
      "IC.ZPOPBYSCORE z -inf +inf",
      "SET z v",
      "IC.ZPOPBYSCORE z -inf +inf",
      "IC.ZPOPBYSCORE z 1",
    ),
  },
  {
    name: "IC.ZPOPBYSCORE in RESP3",
    why: "no reference has it",
    protocols: [3],
    unasked: true,
    expect: {
      0: ":3\r\n",
      1: "*2\r\n*2\r\n$1\r\na\r\n,1\r\n*2\r\n$1\r\nb\r\n,2.5\r\n",
      2: "*1\r\n*2\r\n$1\r\nc\r\n,3\r\n",
      3: "*0\r\n",
    },
    commands: lines(
      "ZADD z 1 a 2.5 b 3 c",
      "IC.ZPOPBYSCORE z 0 3 LIMIT 2",
      "IC.ZPOPBYSCORE z 0 3",
      "IC.ZPOPBYSCORE z 0 3",
    ),
  },
];

export const sortedSetCases: Case[] = [
  ...flagged,
  ...increments,
  ...forms,
  ...reading,
  ...ranging,
  ...rangeErrors,
  ...popping,
  ...draws,
  ...algebra,
  ...scanning,
  ...texts,
  ...general,
  ...ours,
];
