// reply-decoder.test.ts: the decoder against a naive encoder of its own, against cut streams and against
// noise.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MalformedReply, type Reply, ReplyDecoder, textOf } from "../../protocol/reply-decoder.ts";
import { encodeCommand, encodeCommands } from "../../protocol/request-encoder.ts";

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "latin1"));

/** Every reply in `text`; the stream must end between two. */
function decoded(text: string): Reply[] {
  const decoder = new ReplyDecoder();
  const replies = decoder.decode(bytesOf(text));
  expect(decoder.idle).toBe(true);
  return replies;
}

/** What a stream came to: its replies, then how it failed, if it did. */
function outcome(
  stream: Uint8Array,
  cuts: readonly number[],
  limits = {},
): { replies: Reply[]; error: string | null } {
  const decoder = new ReplyDecoder(limits);
  const replies: Reply[] = [];
  try {
    const edges = [0, ...cuts, stream.length];
    for (let i = 1; i < edges.length; i++) {
      decoder.feed(stream.subarray(edges[i - 1], edges[i]));
      for (let reply = decoder.next(); reply !== undefined; reply = decoder.next()) replies.push(reply);
    }
    return { replies, error: null };
  } catch (error) {
    if (!(error instanceof MalformedReply)) throw error;
    return { replies, error: error.message };
  }
}

const everyByte = (stream: Uint8Array): number[] => Array.from(stream.keys()).slice(1);

const one = { type: "integer", value: 1n } as const;
const kinds: readonly (readonly [name: string, wire: string, reply: Reply])[] = [
  ["a simple string", "+OK\r\n", { type: "simple", bytes: bytesOf("OK") }],
  ["an empty simple string", "+\r\n", { type: "simple", bytes: bytesOf("") }],
  ["an error", "-ERR no\r\n", { type: "error", bytes: bytesOf("ERR no") }],
  ["an integer", ":-42\r\n", { type: "integer", value: -42n }],
  ["the least integer", ":-9223372036854775808\r\n", { type: "integer", value: -(2n ** 63n) }],
  ["a bulk string", "$5\r\na\r\n\xffb\r\n", { type: "bulk", bytes: bytesOf("a\r\n\xffb") }],
  ["an empty bulk string", "$0\r\n\r\n", { type: "bulk", bytes: bytesOf("") }],
  ["the null bulk", "$-1\r\n", { type: "null", form: "bulk" }],
  ["the null array", "*-1\r\n", { type: "null", form: "array" }],
  ["the RESP3 null", "_\r\n", { type: "null", form: "resp3" }],
  ["a double", ",3.140\r\n", { type: "double", value: 3.14, text: "3.140" }],
  ["a double with an exponent", ",-1E-5\r\n", { type: "double", value: -1e-5, text: "-1E-5" }],
  ["minus infinity", ",-inf\r\n", { type: "double", value: Number.NEGATIVE_INFINITY, text: "-inf" }],
  ["not a number", ",nan\r\n", { type: "double", value: Number.NaN, text: "nan" }],
  [
    "a big number",
    "(-123456789012345678901234567890\r\n",
    { type: "big-number", value: -123456789012345678901234567890n, text: "-123456789012345678901234567890" },
  ],
  ["true", "#t\r\n", { type: "boolean", value: true }],
  ["false", "#f\r\n", { type: "boolean", value: false }],
  ["a verbatim string", "=6\r\ntxt:ab\r\n", { type: "verbatim", format: "txt", bytes: bytesOf("ab") }],
  ["a bulk error", "!5\r\nERR\r\n\r\n", { type: "error", bytes: bytesOf("ERR\r\n") }],
  ["an empty array", "*0\r\n", { type: "array", items: [] }],
  [
    "a nested array",
    "*2\r\n:1\r\n*1\r\n*0\r\n",
    { type: "array", items: [one, { type: "array", items: [{ type: "array", items: [] }] }] },
  ],
  ["a set", "~1\r\n:1\r\n", { type: "set", items: [one] }],
  ["a push", ">1\r\n:1\r\n", { type: "push", items: [one] }],
  [
    "a map with an aggregate as key",
    "%1\r\n*1\r\n:1\r\n%0\r\n",
    {
      type: "map",
      pairs: [
        [
          { type: "array", items: [one] },
          { type: "map", pairs: [] },
        ],
      ],
    },
  ],
  [
    "an attribute on a reply",
    "|1\r\n+ttl\r\n:1\r\n_\r\n",
    { type: "null", form: "resp3", attributes: [[{ type: "simple", bytes: bytesOf("ttl") }, one]] },
  ],
  [
    "an attribute inside an array fills no place in it",
    "*2\r\n:1\r\n|1\r\n:1\r\n:1\r\n*1\r\n:1\r\n",
    { type: "array", items: [one, { type: "array", items: [one], attributes: [[one, one]] }] },
  ],
  [
    "two attributes in a row, joined",
    "|1\r\n:1\r\n:1\r\n|1\r\n:1\r\n:1\r\n:1\r\n",
    {
      ...one,
      attributes: [
        [one, one],
        [one, one],
      ],
    },
  ],
  [
    "an attribute in an attribute",
    "|1\r\n|1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n",
    { ...one, attributes: [[{ ...one, attributes: [[one, one]] }, one]] },
  ],
  ["an empty attribute", "|0\r\n:1\r\n", { ...one, attributes: [] }],
];

describe("reply-decoder: each kind of reply", () => {
  for (const [name, wire, reply] of kinds) {
    test(`${name} is read whole and byte by byte`, () => {
      expect(decoded(wire)).toEqual([reply]);
      const stream = bytesOf(wire);
      expect(outcome(stream, everyByte(stream))).toEqual({ replies: [reply], error: null });
    });
  }

  test("no proper prefix of a reply yields a reply", () => {
    for (const [name, wire] of kinds) {
      for (let bytes = 0; bytes < wire.length; bytes++) {
        const decoder = new ReplyDecoder();
        expect(`${name} ${decoder.decode(bytesOf(wire.slice(0, bytes))).length}`).toBe(`${name} 0`);
        expect(decoder.idle).toBe(bytes === 0);
      }
    }
  });

  test("a reply owns its bytes: the chunk may be overwritten", () => {
    const chunk = bytesOf("$3\r\nabc\r\n+xyz\r\n");
    const replies = new ReplyDecoder().decode(chunk);
    chunk.fill(0);
    expect(replies.map(textOf)).toEqual(["abc", "xyz"]);
  });
});

describe("reply-decoder: malformed input", () => {
  const refused: readonly (readonly [wire: string, message: string])[] = [
    ["xyz\r\n", 'Protocol error, got "x" as reply type byte'],
    ["\r\n", 'Protocol error, got "\\r" as reply type byte'],
    ["\x00\r\n", 'Protocol error, got "\\x00" as reply type byte'],
    ["+a\rb\r\n", "Bad simple string value"],
    ["-a\nb\r\n", "Bad simple string value"],
    [":abc\r\n", "Bad integer value"],
    [":\r\n", "Bad integer value"],
    [":9223372036854775808\r\n", "Bad integer value"],
    [`:${"1".repeat(40)}`, "Line longer than 32 bytes"],
    ["$5x\r\n", "Bad bulk string length"],
    ["$\r\n", "Bad bulk string length"],
    ["$?\r\n", "Bad bulk string length"],
    ["$-2\r\n", "Bulk string length out of range"],
    ["$536870913\r\n", "Bulk string length out of range"],
    ["=-1\r\n", "Bulk string length out of range"],
    ["$3\r\nabcde\r\n", "Bad bulk string, no line end after its last byte"],
    ["=2\r\nab\r\n", "Verbatim string 4 bytes of content type are missing or incorrectly encoded."],
    ["*x\r\n", "Bad multi-bulk length"],
    ["*-2\r\n", "Multi-bulk length out of range"],
    ["~-1\r\n", "Multi-bulk length out of range"],
    ["*2147483648\r\n", "Multi-bulk length out of range"],
    ["%1073741824\r\n", "Multi-bulk length out of range"],
    ["*1\r\n*1\r\n:x\r\n", "Bad integer value"],
    ["#y\r\n", "Bad bool value"],
    ["_x\r\n", "Bad nil value"],
    ["(1.5\r\n", "Bad bignum value"],
    [",1.5.2\r\n", "Bad double value"],
    [",\r\n", "Bad double value"],
    ["*1\r\n".repeat(1025), "Reply nested deeper than 1024"],
  ];
  for (const [wire, message] of refused) {
    test(`${JSON.stringify(wire.slice(0, 24))} is refused: ${message}`, () => {
      const stream = bytesOf(wire);
      expect(outcome(stream, [])).toEqual({ replies: [], error: message });
      expect(outcome(stream, everyByte(stream))).toEqual({ replies: [], error: message });
    });
  }

  test("replies ahead of the fault are given out, and the fault stays", () => {
    const decoder = new ReplyDecoder();
    decoder.feed(bytesOf(":1\r\n:x\r\n:2\r\n"));
    expect(decoder.next()).toEqual(one);
    expect(() => decoder.next()).toThrow("Bad integer value");
    decoder.feed(bytesOf(":3\r\n"));
    expect(() => decoder.next()).toThrow("Bad integer value");
  });

  test("limits hold: bulk bytes, line bytes, items, depth", () => {
    const limits = { bulkBytes: 3, lineBytes: 3, items: 2, depth: 1 };
    const fails = (wire: string): string | null => outcome(bytesOf(wire), [], limits).error;
    expect(fails("$3\r\nabc\r\n+abc\r\n*2\r\n:1\r\n:1\r\n%1\r\n:1\r\n:1\r\n")).toBeNull();
    expect(fails("$4\r\n")).toBe("Bulk string length out of range");
    expect(fails("+abcd\r\n")).toBe("Line longer than 3 bytes");
    expect(fails("+abcdefgh")).toBe("Line longer than 3 bytes");
    expect(fails("*3\r\n")).toBe("Multi-bulk length out of range");
    expect(fails("%2\r\n")).toBe("Multi-bulk length out of range");
    expect(fails("*1\r\n*1\r\n")).toBe("Reply nested deeper than 1");
  });

  test("an announced length takes no memory: 512 MiB and two billion items are cheap to hear of", () => {
    const before = process.memoryUsage().arrayBuffers;
    const decoders = Array.from({ length: 50 }, () => new ReplyDecoder());
    for (const decoder of decoders)
      expect(decoder.decode(bytesOf("*2147483647\r\n$536870912\r\nab"))).toEqual([]);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
  });
});

/** A reply and its bytes, written by a second, simpler program than the decoder. */
type Sample = { readonly wire: string; readonly reply: Reply };

const text = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) });
const line = text.map((value) => value.replaceAll(/[\r\n]/g, "."));
const scalar: fc.Arbitrary<Sample> = fc.oneof(
  line.map((value): Sample => ({ wire: `+${value}\r\n`, reply: { type: "simple", bytes: bytesOf(value) } })),
  line.map((value): Sample => ({ wire: `-${value}\r\n`, reply: { type: "error", bytes: bytesOf(value) } })),
  text.map(
    (value): Sample => ({
      wire: `$${value.length}\r\n${value}\r\n`,
      reply: { type: "bulk", bytes: bytesOf(value) },
    }),
  ),
  text.map(
    (value): Sample => ({
      wire: `=${value.length + 4}\r\nmkd:${value}\r\n`,
      reply: { type: "verbatim", format: "mkd", bytes: bytesOf(value) },
    }),
  ),
  fc
    .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    .map((value): Sample => ({ wire: `:${value}\r\n`, reply: { type: "integer", value } })),
  fc
    .bigInt()
    .map(
      (value): Sample => ({ wire: `(${value}\r\n`, reply: { type: "big-number", value, text: `${value}` } }),
    ),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(
    (value): Sample => ({
      wire: `,${value}\r\n`,
      reply: { type: "double", value: Number(`${value}`), text: `${value}` },
    }),
  ),
  fc
    .boolean()
    .map((value): Sample => ({ wire: value ? "#t\r\n" : "#f\r\n", reply: { type: "boolean", value } })),
  fc.constantFrom<Sample>(
    { wire: "$-1\r\n", reply: { type: "null", form: "bulk" } },
    { wire: "*-1\r\n", reply: { type: "null", form: "array" } },
    { wire: "_\r\n", reply: { type: "null", form: "resp3" } },
  ),
);
const { sample } = fc.letrec<{ sample: Sample }>((tie) => ({
  sample: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalar,
    fc.tuple(fc.constantFrom("array", "set", "push"), fc.array(tie("sample"), { maxLength: 5 })).map(
      ([type, items]): Sample => ({
        wire: `${{ array: "*", set: "~", push: ">" }[type]}${items.length}\r\n${items.map((item) => item.wire).join("")}`,
        reply: { type, items: items.map((item) => item.reply) } as Reply,
      }),
    ),
    fc.array(fc.tuple(tie("sample"), tie("sample")), { maxLength: 4 }).map(
      (pairs): Sample => ({
        wire: `%${pairs.length}\r\n${pairs.map(([key, value]) => key.wire + value.wire).join("")}`,
        reply: { type: "map", pairs: pairs.map(([key, value]) => [key.reply, value.reply]) },
      }),
    ),
    fc.tuple(tie("sample"), tie("sample"), scalar).map(
      ([key, value, described]): Sample => ({
        wire: `|1\r\n${key.wire}${value.wire}${described.wire}`,
        reply: { ...described.reply, attributes: [[key.reply, value.reply]] },
      }),
    ),
  ),
}));

/** Places to cut a stream of `bytes` bytes, ascending; places may repeat, so empty chunks are fed too. */
const cutsOf = (fractions: readonly number[], bytes: number): number[] =>
  fractions.map((fraction) => Math.floor(fraction * (bytes + 1))).sort((a, b) => a - b);
const fractions = fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { maxLength: 20 });

describe("reply-decoder: any stream", () => {
  test("cut anywhere, a stream of replies gives the replies that were written", () => {
    fc.assert(
      fc.property(fc.array(sample, { minLength: 1, maxLength: 6 }), fractions, (samples, where) => {
        const stream = bytesOf(samples.map(({ wire }) => wire).join(""));
        const expected = { replies: samples.map(({ reply }) => reply), error: null };
        expect(outcome(stream, cutsOf(where, stream.length))).toEqual(expected);
        expect(outcome(stream, everyByte(stream))).toEqual(expected);
      }),
    );
  });

  // Noise made of the protocol's own pieces gets deeper than bytes drawn evenly.
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc
      .array(
        fc.constantFrom(
          "*2",
          "*",
          "$3",
          "%1",
          "|1",
          "~1",
          ">1",
          "abc",
          "\r\n",
          "\r\n",
          "\r",
          ":1",
          ",1.5",
          "(9",
          "#t",
          "_",
          "-1",
          "=5",
          "txt:a",
        ),
        { maxLength: 60 },
      )
      .map((pieces) => bytesOf(pieces.join(""))),
  );

  test("noise ends in replies, in waiting or in one MalformedReply, wherever it is cut", () => {
    fc.assert(
      fc.property(noise, fractions, (stream, where) => {
        const whole = outcome(stream, []);
        expect(outcome(stream, cutsOf(where, stream.length))).toEqual(whole);
        expect(outcome(stream, everyByte(stream))).toEqual(whole);
      }),
      { numRuns: 500 },
    );
  });

  test("a long line and a big bulk fed a byte at a time cost time in proportion to their length", () => {
    const timeFor = (bytes: number): number => {
      const stream = bytesOf(`+${"a".repeat(bytes)}\r\n$${bytes}\r\n${"b".repeat(bytes)}\r\n`);
      const startedMs = performance.now();
      const { replies } = outcome(stream, everyByte(stream));
      expect(replies.length).toBe(2);
      return performance.now() - startedMs;
    };
    timeFor(20_000);
    // 16 times the bytes: in proportion is 16 times the time, a search from the start each time is 256 times.
    const small = Math.max(1, timeFor(20_000));
    expect(timeFor(320_000)).toBeLessThan(small * 100);
  });

  test("a deep reply and a long flat one are read without recursion", () => {
    const deep = `${"*1\r\n".repeat(1024)}:1\r\n`;
    expect(outcome(bytesOf(deep), []).error).toBeNull();
    const [flat] = decoded(`*200000\r\n${":1\r\n".repeat(200_000)}`);
    expect("items" in flat && flat.items.length).toBe(200_000);
  });
});

describe("request-encoder", () => {
  test("a command is an array of bulk strings, text as UTF-8 and bytes as they are", () => {
    const encoded = encodeCommand(["SET", "\u00e9", Uint8Array.of(0, 255, 13, 10), ""]);
    expect(Buffer.from(encoded).toString("latin1")).toBe(
      "*4\r\n$3\r\nSET\r\n$2\r\n\xc3\xa9\r\n$4\r\n\x00\xff\r\n\r\n$0\r\n\r\n",
    );
  });

  test("commands follow one another, and read back as the arrays they are", () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.uint8Array(), { minLength: 1 }), { maxLength: 5 }), (commands) => {
        const replies = new ReplyDecoder().decode(encodeCommands(commands));
        expect(replies).toEqual(
          commands.map(
            (args): Reply => ({ type: "array", items: args.map((bytes) => ({ type: "bulk", bytes })) }),
          ),
        );
      }),
    );
  });

  test("a command without a name is refused", () => {
    expect(() => encodeCommand([])).toThrow(RangeError);
  });
});
