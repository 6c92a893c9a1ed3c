// Sets: every command over every form of a set, the thresholds between forms, set algebra, chance, SSCAN.
// The forms are 8.0's (7.0 knows no packed sets of text), so what asks for an encoding or an order asks 8.0.

import { type Case, type Command, lines, type Program, stream } from "../harness.ts";
import { exact, kindOnly, multiset } from "../normalise.ts";
import { parseReply, textOf } from "../resp.ts";

const settings = ["set-max-intset-entries", "set-max-listpack-entries", "set-max-listpack-value"];

function range(from: number, to: number, name = ""): string[] {
  return Array.from({ length: to - from }, (_, i) => `${name}${from + i}`);
}

function words(text: string): string[] {
  return text.split(" ");
}

/** Ways to make a set that is in a certain form, "none" and "text" being no set. */
const forms: Record<string, Command[]> = {
  none: [],
  text: [["SET", "{key}", "v"]],
  integers: [["SADD", "{key}", ...range(1, 8)]],
  long: [["SADD", "{key}", "1", "2", "-70000", "9007199254740993", "-9223372036854775808"]],
  packed: [["SADD", "{key}", ...words("a b c 1 2 d")]],
  pages: [["SADD", "{key}", ...range(0, 150, "m"), ...words("a b 1 2 3 70000")]],
  manyIntegers: [["SADD", "{key}", ...range(0, 600)]],
};

function made(form: string, key: string): Command[] {
  return forms[form]!.map((command) => command.map((word) => (word === "{key}" ? key : word)));
}

/** What is there afterwards, in order where there is one. */
function look(...keys: string[]): Command[] {
  return keys.flatMap((key) =>
    lines(`TYPE ${key}`, `OBJECT ENCODING ${key}`, `SCARD ${key}`, `SMEMBERS ${key}`),
  );
}

/** A case that asks 8.0. */
function newer(name: string, ...commands: (string | Command)[]): Case {
  return { ...stream(name, ...commands), oracle: "8", config: settings };
}

const arguments_: Record<string, string[]> = {
  SADD: ["", "k", "k x", "k 1", "k x y x", "k 1 1 2"],
  SREM: ["", "k", "k x", "k a", "k a b 1 a", "k 1 2 3 4 5 6 7"],
  SMEMBERS: ["", "k", "k k"],
  SISMEMBER: ["", "k", "k x", "k a", "k 1", "k 70000", "k a b"],
  SMISMEMBER: ["", "k", "k x", "k a 1 x a 70000"],
  SCARD: ["", "k", "k k"],
  SPOP: [
    "",
    "k 0",
    "k -1",
    "k x",
    "k 1.5",
    "k 9223372036854775808",
    "k 1000",
    "k 1 2",
    "k 9223372036854775807",
  ],
  SRANDMEMBER: [
    ...[
      "",
      "k 0",
      "k x",
      "k 1.5",
      "k 9223372036854775808",
      "k -9223372036854775808",
      "k 1 2",
      "k 1000",
      "k -5",
    ],
    ...["k 3", "k", "k 9223372036854775807"],
  ],
  SMOVE: ["", "k", "k k2", "k k2 a", "k k2 x", "k k2 1", "k k a", "k k x", "k k2 a b"],
  SINTER: ["", "k", "k k", "k none", "none k"],
  SUNION: ["", "k", "k k", "k none", "none k"],
  SDIFF: ["", "k", "k k", "k none", "none k"],
  SINTERSTORE: ["", "d", "d k", "d k none", "d none k", "k k", "k none"],
  SUNIONSTORE: ["", "d", "d k", "d k none", "d none k", "k k", "k none"],
  SDIFFSTORE: ["", "d", "d k", "d k none", "d none k", "k k", "k none", "k none k"],
  SINTERCARD: [
    ...[
      "",
      "1",
      "0 k",
      "-1 k",
      "x k",
      "2 k",
      "1 k",
      "1 k k",
      "2 k k",
      "1 k LIMIT",
      "1 k LIMIT 0",
      "1 k LIMIT 2",
    ],
    ...["1 k LIMIT -1", "1 k LIMIT x", "1 k limit 2 LIMIT 3", "1 k nosuch 1", "2 k none LIMIT 1"],
    ...["9223372036854775808 k", "1 k LIMIT 9223372036854775808", "3 k k"],
  ],
  SSCAN: [
    ...[
      "",
      "k",
      "k x",
      "k -1",
      "k 0 COUNT",
      "k 0 COUNT 0",
      "k 0 COUNT x",
      "k 0 MATCH",
      "k 0 nosuch",
      "k 0 TYPE set",
    ],
    ...[
      "k 0 COUNT 1000",
      "k 0 COUNT 1000 MATCH a*",
      "k 0 match [0-9]* count 1000",
      "none 0 COUNT",
      "none x",
      "k 0 0",
    ],
  ],
};

/** Every way of asking over every form: errors in Redis's order, replies, and what is left. */
const asked: Case[] = Object.entries(arguments_).flatMap(([name, ways]) =>
  Object.keys(forms).map((form) => ({
    ...newer(
      `${name} over ${form}`,
      ...ways.flatMap((way) => [
        "DEL k k2 d",
        ...made(form, "k"),
        [name, ...(way === "" ? [] : words(way))],
        ...(name === "SMOVE" || name === "SREM" || name.endsWith("STORE") || name === "SADD"
          ? look("k", "k2", "d")
          : []),
        "EXISTS k",
      ]),
    ),
  })),
);

/** The same commands as 7.0 answers them, whose sets of text are all hash tables; a negative cursor is somewhere in them
 *  for it, and an error since 7.2. */
const older: Case[] = Object.entries(arguments_).map(([name, ways]) =>
  stream(
    `${name} as 7.0 has it`,
    ...Object.keys(forms).flatMap((form) =>
      ways
        .filter((way) => name !== "SSCAN" || way !== "k -1")
        .flatMap((way): Command[] => [
          ["DEL", "k", "k2", "d"],
          ...made(form, "k"),
          [name, ...(way === "" ? [] : words(way))],
          ["SMEMBERS", "k"],
          ["SMEMBERS", "k2"],
          ["SMEMBERS", "d"],
        ]),
    ),
  ),
);

/** Members at the edges of what is an integer, and of the widths that integers are kept in. */
const edges = [
  ...[7, 8, 15, 16, 31, 32, 52, 53, 54, 62, 63].flatMap((power) =>
    [-1n, 0n, 1n].flatMap((offset) => [
      String(2n ** BigInt(power) + offset),
      String(-(2n ** BigInt(power)) + offset),
    ]),
  ),
  ...["0", "-0", "", "+1", "01", " 1", "1 ", "1.0", "1e3", "99999999999999999999", "-", "a\0b", "\xff\r\n"],
];

function isInteger(text: string): boolean {
  return /^(0|-?[1-9][0-9]*)$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
}

const edgeCases: Case[] = edges.map((edge) =>
  newer(
    `the member "${edge}"`,
    ...[[], ["1"], ["1", "-40000"], ["-1", "5000000000"], ["a"]].flatMap((before): Command[] => [
      ["DEL", "s"],
      ...(before.length === 0 ? [] : [["SADD", "s", ...before]]),
      ["SISMEMBER", "s", edge],
      ["SADD", "s", edge],
      ["SADD", "s", edge, "7"],
      ["SISMEMBER", "s", edge],
      ["SMISMEMBER", "s", "1", edge, "-40000", "5000000000", "5000000001", "-1"],
      ...look("s"),
      ["SREM", "s", edge],
      ["SISMEMBER", "s", edge],
      ...look("s"),
    ]),
  ),
);

const allEdges: Case[] = [
  {
    ...newer(
      "integers of every width are in order",
      ...edges.flatMap((edge): Command[] =>
        isInteger(edge)
          ? [
              ["SADD", "s", edge],
              ["SMEMBERS", "s"],
            ]
          : [],
      ),
      "SRANDMEMBER s 1000",
      "SSCAN s 0",
      "SUNION s none",
    ),
    normalise: exact,
  },
  {
    ...newer(
      "text is in the order in which it came",
      "SADD s c a b",
      "SADD s 10 9 a d",
      "SMEMBERS s",
      "SREM s a",
      "SMEMBERS s",
      "SADD s a",
      "SMEMBERS s",
      "SRANDMEMBER s 10",
      "SINTER s s",
    ),
    normalise: exact,
  },
  {
    ...newer(
      "integers come before the text that joins them",
      "SADD s 5 3 1000000 -7",
      "SADD s text",
      "SMEMBERS s",
      "SADD s 4",
      "SMEMBERS s",
    ),
    normalise: exact,
  },
];

function limits(integers: number, entries: number, value: number): Command[] {
  return [integers, entries, value].map((number, i) => ["CONFIG", "SET", settings[i]!, String(number)]);
}

/** Ways of coming to a threshold: one member a command, or several at once. */
const growth: Record<string, Command[]> = {
  "integers one by one": range(0, 7).map((member) => ["SADD", "s", member]),
  "text one by one": range(0, 7, "m").map((member) => ["SADD", "s", member]),
  "text, then integers": ["a", "b", ...range(0, 5)].map((member) => ["SADD", "s", member]),
  "integers, then text": [...range(0, 3), "a", "b", "c", "d"].map((member) => ["SADD", "s", member]),
  "integers, then long text": [...range(0, 3), "long text", "b"].map((member) => ["SADD", "s", member]),
  "long integers, then text": ["1", "-1234567", "a", "b"].map((member) => ["SADD", "s", member]),
  "integers at once": [["SADD", "s", ...range(0, 5)]],
  "an integer four times": [["SADD", "s", "1", "1", "1", "1"]],
  "text at once": [["SADD", "s", ...range(0, 5, "m")]],
  "text first at once": [["SADD", "s", "a", "1", "2", "3"]],
  "text last at once": [["SADD", "s", "1", "2", "a"]],
  "the same to a set of integers": [
    ["SADD", "s", "1"],
    ["SADD", "s", "1", "1", "1", "1", "1"],
  ],
  "the same to a set of text": [
    ["SADD", "s", "a"],
    ["SADD", "s", "a", "a", "a", "a", "a"],
  ],
  "moved members": [
    ["SADD", "from", ...range(0, 4), "a", "b", "long text"],
    ...["0", "1", "2", "3", "a", "b", "long text"].map((member) => ["SMOVE", "from", "s", member]),
  ],
};

const thresholds: Case[] = Object.entries(growth).flatMap(([name, commands]) =>
  [
    [3, 2, 64],
    [2, 4, 5],
    [4, 4, 3],
    [0, 3, 64],
    [3, 0, 64],
    [5, 6, 0],
  ].map(([integers, entries, value]) =>
    newer(
      `${name}, with the limits ${integers} ${entries} ${value}`,
      ...limits(integers!, entries!, value!),
      ...commands.flatMap((command) => [command, ...look("s")]),
      // Back below, and with another limit: the form stays.
      "SREM s 0 m0 m1 a",
      ...look("s"),
      ...limits(512, 128, 64),
      "SADD s 9",
      ...look("s"),
      ...limits(1, 1, 1),
      "SADD s 9",
      ...look("s"),
      "SADD s 10",
      ...look("s"),
    ),
  ),
);

const atTheLimits: Case[] = [
  newer(
    "512 integers and one more",
    ["SADD", "s", ...range(0, 511)],
    ...look("s"),
    "SADD s 511",
    ...look("s"),
    "SADD s 511",
    ...look("s"),
    "SADD s 512",
    ...look("s"),
  ),
  newer("513 integers at once", ["SADD", "s", ...range(0, 513)], ...look("s")),
  newer("513 integers at once to a few", "SADD s 1", ["SADD", "s", ...range(0, 513)], ...look("s")),
  newer("600 times the same integer at once", ["SADD", "s", ...range(0, 600).map(() => "1")], ...look("s")),
  newer(
    "128 members and one more",
    ["SADD", "s", ...range(0, 128, "m")],
    ...look("s"),
    "SADD s m1",
    ...look("s"),
    "SADD s more",
    ...look("s"),
  ),
  newer("129 members at once", ["SADD", "s", ...range(0, 129, "m")], ...look("s")),
  newer(
    "127 and 128 integers and then text",
    ["SADD", "s", ...range(0, 127)],
    ["SADD", "t", ...range(0, 128)],
    "SADD s a",
    "SADD t a",
    ...look("s", "t"),
  ),
  ...[63, 64, 65, 126, 127, 128, 199, 200, 4096].map((bytes) =>
    newer(
      `a member of ${bytes} bytes`,
      ["SADD", "s", "x".repeat(bytes)],
      ...look("s"),
      ["SADD", "t", "1", "2"],
      ["SADD", "t", "x".repeat(bytes)],
      ...look("t"),
      ["SMOVE", "s", "t", "x".repeat(bytes)],
      ["SISMEMBER", "t", "x".repeat(bytes)],
      ["SMOVE", "t", "u", "x".repeat(bytes)],
      ...look("s", "t", "u"),
    ),
  ),
  newer(
    "forms travel with COPY, RENAME and MOVE",
    ...Object.keys(forms).flatMap((form): Command[] => [
      ["FLUSHALL"],
      ...made(form, "k"),
      ["COPY", "k", "c"],
      ...look("c"),
      ["SADD", "c", "other"],
      ...look("c", "k"),
      ["RENAME", "k", "r"],
      ...look("r"),
      ["MOVE", "r", "1"],
      ["SELECT", "1"],
      ...look("r"),
      ["SELECT", "0"],
    ]),
  ),
];

const operations = ["SINTER", "SUNION", "SDIFF"];

/** Two and three sets of every form. */
const algebra: Case[] = operations.flatMap((operation) => {
  const names = Object.keys(forms);
  const pairs = names.flatMap((a) => names.map((b) => [a, b] as const));
  return pairs.map(([a, b]) =>
    newer(
      `${operation} of ${a} and ${b}`,
      ...made(a, "a"),
      ...made(b, "b"),
      "SADD c 1 2 a x",
      `${operation} a b`,
      `${operation} b a c`,
      `${operation} c a b`,
      `${operation}STORE d a b`,
      ...look("d"),
      `${operation}STORE d c a none b`,
      ...look("d"),
      `${operation}STORE a a b c`,
      ...look("a"),
      `${operation}STORE c b b b`,
      ...look("c"),
      ...(operation === "SINTER" ? lines("SINTERCARD 2 a b", "SINTERCARD 3 c b a LIMIT 2") : []),
    ),
  );
});

const stored: Case[] = operations.flatMap((operation) => [
  newer(
    `${operation}STORE replaces anything and its deadline`,
    "SADD a 1 2",
    ...["SET d v EX 100", "SADD d x", "none"].flatMap((before) => [
      ...(before === "none" ? ["DEL d"] : [before, "EXPIRE d 100"]),
      `${operation}STORE d a a2`,
      "TTL d",
      ...look("d"),
      `${operation}STORE d a`,
      "TTL d",
      ...look("d"),
    ]),
    "SET t v",
    `${operation}STORE d a t`,
    `${operation}STORE d t a`,
    `${operation}STORE d none t`,
    `${operation} none none2 t`,
    `${operation} t none`,
    ...look("d", "t"),
  ),
  ...[
    [3, 2, 64],
    [2, 4, 5],
    [4, 4, 3],
    [0, 3, 64],
    [3, 0, 64],
  ].map(([integers, entries, value]) =>
    newer(
      `${operation}STORE with the limits ${integers} ${entries} ${value}`,
      "SADD i 1 2 3 4 5",
      "SADD j 4 5 6 7",
      "SADD p a b 1 2 3 4",
      ["SADD", "q", "long text", "a", "1", "2"],
      ["SADD", "h", ...range(0, 130, "m"), "1", "2", "a", "4"],
      ...limits(integers!, entries!, value!),
      ...["i", "j", "p", "q", "h"].flatMap((first) =>
        ["", "i", "j", "p", "q", "h", "i p", "i h", "i j p q h"].flatMap((rest): Command[] => [
          [`${operation}STORE`, "d", first, ...(rest === "" ? [] : words(rest))],
          ["OBJECT", "ENCODING", "d"],
          ["SMEMBERS", "d"],
        ]),
      ),
    ),
  ),
  newer(
    `${operation} of many sets`,
    ...range(0, 20).map(
      (number): Command => ["SADD", `s${number}`, ...range(0, 30 - Number(number)), "a", `m${number}`],
    ),
    [operation, ...range(0, 20, "s")],
    [operation, ...range(0, 9, "s")],
    [operation, "s3", ...range(4, 20, "s"), "none"],
    [operation, "s0", "s19", "s19", "s19", "s19", "s19", "s19", "s19", "s19", "s19", "s19"],
    [`${operation}STORE`, "d", ...range(0, 20, "s")],
    ...look("d"),
    [`${operation}STORE`, "d", "s0", "s19", "s19", "s19", "s18", "s19", "s19", "s19", "s19", "s19", "s17"],
    ...look("d"),
    ["SADD", "big", ...range(0, 700)],
    [`${operation}STORE`, "d", "big", ...range(0, 20, "s")],
    ...look("d"),
    ["SADD", "bigger", ...range(0, 600), "text"],
    [`${operation}STORE`, "d", "big", "bigger", "s1"],
    ...look("d"),
    [`${operation}STORE`, "d", "big", "bigger"],
    ["SCARD", "d"],
    ["OBJECT", "ENCODING", "d"],
  ),
]);

const movedForms: Case[] = Object.keys(forms).map((from) =>
  newer(
    `SMOVE from ${from}`,
    ...Object.keys(forms).flatMap((to) =>
      ["a", "1", "70000", "absent"].flatMap((member): Command[] => [
        ["FLUSHALL"],
        ...made(from, "a"),
        ...made(to, "b"),
        ["SMOVE", "a", "b", member],
        ["SMOVE", "a", "b", member],
        ["SMOVE", "b", "b", member],
        ...look("a", "b"),
      ]),
    ),
    "FLUSHALL",
    "SADD one x",
    "EXPIRE one 100",
    "SMOVE one two x",
    "EXISTS one",
    "TTL two",
  ),
);

/** Takes and puts together again: no member is lost, and what is left has Redis's form. */
function popped(form: string, command: string): Program {
  return async (server) => {
    await server.ask("one", ["FLUSHALL"], ...made(form, "k"), ["EXPIRE", "k", "100"]);
    const before = await elements(server, "k");
    const [reply] = await server.ask("one", words(command));
    const taken = parseReply(reply!);
    const gone = taken.items === undefined ? [taken.text] : taken.items.map((item) => item.text);
    const left = await elements(server, "k");
    const [encoding, ttl] = await server.ask("one", ["OBJECT", "ENCODING", "k"], ["TTL", "k"]);
    const together = command.startsWith("SPOP") ? [...gone, ...left].sort() : left;
    return [
      taken.kind,
      String(gone.length),
      String(new Set(gone).size === gone.length || command.includes("-")),
      String(gone.every((member) => before.includes(member))),
      together.join() === before.join() ? "all there" : `${together} instead of ${before}`,
      textOf(encoding!),
      textOf(ttl!),
    ];
  };
}

async function elements(server: Parameters<Program>[0], key: string): Promise<string[]> {
  const [reply] = await server.ask("one", ["SMEMBERS", key]);
  return parseReply(reply!)
    .items!.map((item) => item.text)
    .sort();
}

const chance: Case[] = ["integers", "long", "packed", "pages", "manyIntegers"].flatMap((form) =>
  [
    "SPOP k",
    ...["1", "2", "5", "100", "140", "150", "155", "500", "590", "599"].map((count) => `SPOP k ${count}`),
  ]
    .concat(["1", "2", "4", "100", "155", "-1", "-20", "-700"].map((count) => `SRANDMEMBER k ${count}`))
    .map((command) => ({
      name: `${command} of ${form}`,
      oracle: "8" as const,
      program: popped(form, command),
    })),
);

const chanceReplies: Case[] = [
  newer(
    "SPOP and SRANDMEMBER where there is nothing",
    "SPOP k",
    "SPOP k 0",
    "SPOP k 3",
    "SRANDMEMBER k",
    "SRANDMEMBER k 0",
    "SRANDMEMBER k 3",
    "SRANDMEMBER k -3",
  ),
  newer(
    "SPOP of the last member",
    "SADD k a",
    "SPOP k",
    "EXISTS k",
    "SADD k 1",
    "SPOP k 1",
    "EXISTS k",
    "SADD k 1 2",
    "SPOP k 2",
    "EXISTS k",
  ),
  {
    ...newer(
      "SPOP and SRANDMEMBER of everything",
      "SADD k 1 2 3 x",
      "SRANDMEMBER k 4",
      "SRANDMEMBER k 5",
      "SPOP k 5",
      "SADD k 1 2",
      "SRANDMEMBER k 2",
      "SPOP k 2",
    ),
    normalise: multiset,
  },
  {
    ...newer("SRANDMEMBER's reply", "SADD k 1 2 3 x", "SRANDMEMBER k", "SRANDMEMBER k 2", "SRANDMEMBER k -2"),
    normalise: kindOnly,
  },
];

/** Every member an SSCAN to cursor 0 yields, each once, sorted. */
function scanned(form: string, ...options: string[]): Program {
  return async (server) => {
    await server.ask("one", ["FLUSHALL"], ...made(form, "k"));
    const found = new Set<string>();
    let cursor = "0";
    do {
      const [page] = await server.ask("one", ["SSCAN", "k", cursor, ...options]);
      const [next, items] = parseReply(page!).items!;
      for (const item of items!.items!) found.add(item.text);
      cursor = next!.text;
    } while (cursor !== "0");
    return [...found].sort();
  };
}

const scans: Case[] = [
  ...["integers", "long", "packed", "pages", "manyIntegers"].flatMap((form) =>
    ["", "COUNT 1", "COUNT 7", "COUNT 5000", "MATCH m1*", "MATCH * COUNT 3", "MATCH nosuch", "MATCH ?"].map(
      (options) => ({
        name: `SSCAN ${options || "bare"} of ${form}`,
        oracle: "8" as const,
        program: scanned(form, ...(options === "" ? [] : words(options))),
      }),
    ),
  ),
  newer(
    "SSCAN of a small set is one page from any cursor",
    "SADD i 1 2 3",
    "SADD p a b",
    "SSCAN i 5",
    "SSCAN p 17",
    "SSCAN p 18446744073709551615",
    "SSCAN p 18446744073709551616",
    "SSCAN i 0 COUNT 1",
  ),
];

const kinds: Case[] = [
  stream(
    "a set is no string",
    "SADD s a",
    "GET s",
    "APPEND s x",
    "INCR s",
    "SET s v GET",
    "GETSET s v",
    "SETRANGE s 0 x",
    "SMEMBERS s",
    "SET s v",
    "SADD s a",
    "TYPE s",
  ),
  stream(
    "a set expires",
    "SADD s a",
    "PEXPIRE s 0",
    "EXISTS s",
    "SADD s b",
    "TTL s",
    "SADD s a",
    "EXPIRE s 100",
    "SADD s c",
    "TTL s",
    "SREM s a b",
    "TTL s",
    "PERSIST s",
    "TTL s",
  ),
  stream(
    "a set without members is no key",
    "SADD s a b",
    "SREM s a b c",
    "EXISTS s",
    "TYPE s",
    "SADD s 1",
    "SREM s 1",
    "EXISTS s",
    "SREM s 1",
  ),
  stream(
    "sets of several databases",
    "SADD s a",
    "SELECT 1",
    "SADD s b",
    "SMEMBERS s",
    "SWAPDB 0 1",
    "SMEMBERS s",
    "SUNION s",
    "SELECT 0",
    "SMEMBERS s",
  ),
];

/** Replies that are sent from where they lie, and those that must not be. */
const large: Case[] = [
  stream(
    "members too large to be copied",
    ["SADD", "a", "x".repeat(40_000), "y".repeat(100_000), "z"],
    ["SADD", "b", "x".repeat(40_000), "w".repeat(50_000)],
    ...lines(
      "SMEMBERS a",
      "SINTER a b",
      "SUNION a b",
      "SDIFF a b",
      "SDIFF b a",
      "SSCAN a 0",
      "SINTERSTORE c a b",
    ),
    ...lines("SMEMBERS c", "SRANDMEMBER b 5", "SRANDMEMBER c", "SPOP c", "EXISTS c", "SPOP a 3", "EXISTS a"),
    ...lines("SUNIONSTORE b b none", "SMEMBERS b", "SSCAN b 0 MATCH w*"),
  ),
];

export const setCases: Case[] = [
  ...asked,
  ...older,
  ...edgeCases,
  ...allEdges,
  ...thresholds,
  ...atTheLimits,
  ...algebra,
  ...stored,
  ...movedForms,
  ...chance,
  ...chanceReplies,
  ...scans,
  ...large,
  ...kinds,
];
