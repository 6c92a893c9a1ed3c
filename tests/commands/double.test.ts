// The text of float64s: how scores are printed, compared with what redis-server 8.0.6 and 7.0.15 print for them, and
// what is accepted as one, compared with what they do with ZADD.
import { expect, test } from "bun:test";
import { Reply } from "../../engine/commands/reply.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { DOUBLE_TEXT_BYTES, parseDouble, writeDouble, writeDouble17 } from "../../engine/types/double.ts";
import { random } from "../support/random.ts";

const buffer = new Uint8Array(64);

function written(write: typeof writeDouble, value: number): string {
  buffer.fill(0);
  const bytes = write(buffer, 7, value);
  expect(bytes).toBeLessThanOrEqual(DOUBLE_TEXT_BYTES);
  expect(buffer[7 + bytes]).toBe(0);
  return Buffer.from(buffer.slice(7, 7 + bytes)).toString("latin1");
}

function parsed(text: string): number {
  const bytes = Buffer.from(`9${text}9`, "latin1");
  return parseDouble(bytes, 1, text.length);
}

/** Value, text of 8.0.6, text of 7.0.15. */
const vectors: readonly (readonly [number, string, string])[] = [
  [0, "0", "0"],
  [-0, "0", "0"], // the references print -0 of some encodings
  [1, "1", "1"],
  [-1, "-1", "-1"],
  [2 ** 53, "9007199254740992", "9007199254740992"],
  [-(2 ** 53) - 2, "-9007199254740994", "-9007199254740994"],
  [2 ** 60, "1152921504606846976", "1.152921504606847e+18"],
  [2 ** 62, "4611686018427387904", "4.6116860184273879e+18"],
  [-(2 ** 62), "-4611686018427387904", "-4.6116860184273879e+18"],
  [2 ** 62 + 1024, "4611686018427389000", "4.6116860184273889e+18"],
  [1e17, "100000000000000000", "1e+17"],
  [1e18, "1000000000000000000", "1e+18"],
  [10 ** 18 + 128, "1000000000000000128", "1.0000000000000001e+18"],
  [1e19, "1e+19", "1e+19"],
  [1e20, "1e+20", "1e+20"],
  [123456789012345680000, "123456789012345680000", "1.2345678901234568e+20"],
  [1.2345678901234568e29, "1.2345678901234568e+29", "1.2345678901234568e+29"],
  [12345e20, "1.2345e+24", "1.2345e+24"],
  [0.1, "0.1", "0.10000000000000001"],
  [-0.1, "-0.1", "-0.10000000000000001"],
  [1 / 3, "0.3333333333333333", "0.33333333333333331"],
  [123456.789, "123456.789", "123456.789"],
  [0.0001, "0.0001", "0.0001"],
  [1.5e-6, "1.5e-6", "1.5e-06"],
  [1e-6, "0.000001", "9.9999999999999995e-07"],
  [1e-7, "1e-7", "9.9999999999999995e-08"],
  [1.234e-5, "1.234e-5", "1.234e-05"],
  [0.0012345678901234567, "0.0012345678901234567", "0.0012345678901234567"],
  [0.00012345678901234567, "1.2345678901234567e-4", "0.00012345678901234567"],
  [2 ** 50 + 0.75, "1125899906842624.8", "1125899906842624.8"],
  [5e-324, "5e-324", "4.9406564584124654e-324"],
  [1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308"],
  [2.2250738585072014e-308, "2.2250738585072014e-308", "2.2250738585072014e-308"],
  [Number.POSITIVE_INFINITY, "inf", "inf"],
  [Number.NEGATIVE_INFINITY, "-inf", "-inf"],
  [Number.NaN, "nan", "nan"],
];

test("doubles: printed as 8.0.6 and as 7.0.15 print scores", () => {
  for (const [value, text, text17] of vectors) {
    expect(written(writeDouble, value)).toBe(text);
    expect(written(writeDouble17, value)).toBe(text17);
  }
});

test("doubles: the references' digits are not always the shortest, ours are", () => {
  // 8.0.6: 99999999999999990000000, -4.2964230546538915e+133, 1640473457875530.3, 1125899906842624.3.
  expect(written(writeDouble, 1e23)).toBe("1e+23");
  expect(written(writeDouble, -4.2964230546538916e133)).toBe("-4.2964230546538916e+133");
  expect(written(writeDouble, 1640473457875530.2)).toBe("1640473457875530.2");
  // Halfway between two of 17 digits: the even one, as in C.
  expect(written(writeDouble, 2 ** 50 + 0.25)).toBe("1125899906842624.2");
  expect(written(writeDouble17, 2 ** 50 + 0.25)).toBe("1125899906842624.2");
});

test("doubles: what is printed reads back as the same number, whatever its bits", () => {
  const next = random("doubles");
  const value = new Float64Array(1);
  const words = new Uint32Array(value.buffer);
  for (let round = 0; round < 50_000; round++) {
    words[0] = next() * 2 ** 32;
    words[1] = next() * 2 ** 32;
    const candidates = [value[0]!, Math.round(next() * 1e6) / 100, Math.floor((next() - 0.5) * 2 ** 64)];
    for (const number of candidates) {
      if (!Number.isFinite(number)) continue;
      for (const write of [writeDouble, writeDouble17]) {
        const text = written(write, number);
        if (parsed(text) !== number || Number(text) !== number)
          expect({ number, text, read: parsed(text) }).toEqual({ number, text, read: number });
      }
    }
  }
});

test("doubles: accepted is what the references accept, but for hexadecimal", () => {
  const accepted: Record<string, number> = {
    "0": 0,
    "-0": 0,
    "-0.0": 0,
    "00": 0,
    "0e-400": 0,
    "0e400": 0,
    "0.0e-999": 0,
    "+5": 5,
    "-5": -5,
    "00012": 12,
    "5.": 5,
    ".5": 0.5,
    "-.5": -0.5,
    "+.5e1": 5,
    "1e5": 1e5,
    "1E5": 1e5,
    "1e+05": 1e5,
    "1e0000000000000000000001": 10,
    "123456789012345": 123456789012345,
    "1234567890123456": 1234567890123456,
    "-999999999999999": -999999999999999,
    "9007199254740993": 9007199254740992,
    "12345678901234567890": Number(12345678901234567890n),
    "1e-320": 1e-320,
    "4.9e-324": 5e-324,
    "1e308": 1e308,
    "2.2250738585072014e-308": 2.2250738585072014e-308,
    inf: Number.POSITIVE_INFINITY,
    "+iNf": Number.POSITIVE_INFINITY,
    "-inf": Number.NEGATIVE_INFINITY,
    Infinity: Number.POSITIVE_INFINITY,
    "-INFINITY": Number.NEGATIVE_INFINITY,
  };
  for (const [text, value] of Object.entries(accepted)) expect([text, parsed(text)]).toEqual([text, value]);
  const refused = [
    "",
    " ",
    "+",
    "-",
    ".",
    "+.",
    "e5",
    ".e5",
    "5e",
    "5e+",
    "1ee5",
    "1e5.5",
    "1.2.3",
    "1,5",
    "1_0",
    "5n",
  ];
  refused.push(
    "0b1",
    "0x10",
    " 5",
    "5 ",
    "\t5",
    "5\0",
    "+-5",
    "--5",
    "nan",
    "-nan",
    "infin",
    "infinity1",
    "inf ",
    "in",
  );
  refused.push(
    "1e400",
    "-1e400",
    "1.8e308",
    "1e-400",
    "2e-324",
    "-2e-324",
    `1${"0".repeat(400)}`,
    "0e",
    "\xb2",
  );
  for (const text of refused) expect([text, parsed(text)]).toEqual([text, Number.NaN]);
});

test("doubles: a reply is a double in RESP3 and a bulk string in RESP2", () => {
  const region = need(Region.private(4096), "replies");
  const reply = new Reply(region, 4096);
  const answer = (resp3: boolean, write: () => void) => {
    reply.at = 0;
    reply.resp3 = resp3;
    write();
    return Buffer.from(region.u8.slice(0, reply.at)).toString("latin1");
  };
  for (const [value, text] of vectors) {
    expect(answer(true, () => reply.double(value))).toBe(`,${text}\r\n`);
    expect(answer(false, () => reply.double(value))).toBe(`$${text.length}\r\n${text}\r\n`);
    expect(answer(true, () => reply.doubleText(text))).toBe(`,${text}\r\n`);
    expect(answer(false, () => reply.doubleText(text))).toBe(`$${text.length}\r\n${text}\r\n`);
  }
  const short = new Reply(region, 20);
  short.resp3 = true;
  short.double(1);
  expect([short.at, short.overflow]).toEqual([0, true]);
});
