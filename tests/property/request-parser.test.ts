// request-parser.test.ts: the incremental parser against a naive one that sees the whole input at once, as text.
//
// Whatever the bytes and wherever they are cut, both find the same commands and end the same way. The buffer around
// the bytes is filled with digits, marks and line ends that differ from run to run: a parser that looked past the end
// would answer differently, one that wrote there is caught.
// 300,000 inputs in `bun test`; IRONCACHE_FUZZ sets another number.
import { expect, test } from "bun:test";
import { Parsed, RequestParser } from "../../protocol/request-parser.ts";
import { random } from "../support/random.ts";

const LINE_LIMIT = 65536;
const next = random("request-parser");
const below = (bound: number): number => Math.floor(next() * bound);

interface Limits {
  readonly bulk: number;
  readonly args: number;
}

interface Outcome {
  readonly commands: string[][];
  /** The error's text, or "more". */
  end: string;
  /** Where the command that is not complete begins; -1 after an error. */
  begin: number;
}

// The naive parser

function whole(input: string, limits: Limits): Outcome {
  const outcome: Outcome = { commands: [], end: "", begin: 0 };
  const fail = (text: string): Outcome => {
    outcome.end = `Protocol error: ${text}`;
    outcome.begin = -1;
    return outcome;
  };
  const more = (): Outcome => {
    outcome.end = "more";
    return outcome;
  };
  let at = 0;
  for (;;) {
    outcome.begin = at;
    if (at >= input.length) return more();
    if (input[at] !== "*") {
      const lf = input.indexOf("\n", at);
      if (lf < 0 || lf - at > LINE_LIMIT)
        return input.length - at > LINE_LIMIT ? fail("too big inline request") : more();
      const words = splitWords(input.slice(at, input[lf - 1] === "\r" && lf > at ? lf - 1 : lf));
      if (words === null) return fail("unbalanced quotes in request");
      if (words.length > 0) outcome.commands.push(words);
      at = lf + 1;
      continue;
    }
    const head = lineAt(input, at);
    if (head === null) return input.length - at > LINE_LIMIT ? fail("too big mbulk count string") : more();
    const count = integer(head.slice(1));
    if (count === null || count > limits.args) return fail("invalid multibulk length");
    at += head.length + 2;
    const words: string[] = [];
    while (words.length < count) {
      const line = lineAt(input, at);
      if (line === null) return input.length - at > LINE_LIMIT ? fail("too big bulk count string") : more();
      if (line[0] !== "$") return fail(`expected '$', got '${input[at]}'`);
      const bytes = integer(line.slice(1));
      if (bytes === null || bytes < 0 || bytes > limits.bulk) return fail("invalid bulk length");
      at += line.length + 2;
      if (input.length < at + bytes + 2) return more();
      words.push(input.slice(at, at + bytes));
      at += bytes + 2;
    }
    if (words.length > 0) outcome.commands.push(words);
  }
}

/** The line at `at` without its CR, null when the CR and the byte after it have not both come within the limit. */
function lineAt(input: string, at: number): string | null {
  const cr = input.indexOf("\r", at);
  return cr < 0 || cr + 1 >= input.length || cr - at >= LINE_LIMIT ? null : input.slice(at, cr);
}

function integer(text: string): number | null {
  if (!/^(0|-?[1-9][0-9]{0,18})$/.test(text)) return null;
  const exact = BigInt(text);
  return exact >= -(2n ** 63n) && exact < 2n ** 63n ? Number(text) : null;
}

const escapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };
/** C's isspace; a word without quotes goes on over two of them. */
const isSpace = (char: string): boolean => /[\t-\r ]/.test(char);
const endsWord = (char: string): boolean => /[\t\n\r ]/.test(char);

/** The words of an inline line, null when quotes do not balance. */
function splitWords(line: string): string[] | null {
  const words: string[] = [];
  let at = 0;
  const ended = () => at >= line.length;
  for (;;) {
    while (at < line.length && isSpace(line[at]!)) at++;
    if (ended()) return words;
    let word = "";
    let quote = "";
    for (;;) {
      if (quote === "") {
        if (ended() || endsWord(line[at]!)) break;
        if (line[at] === '"' || line[at] === "'") quote = line[at]!;
        else word += line[at];
        at++;
        continue;
      }
      if (ended()) return null;
      const char = line[at]!;
      const hex = /^\\x([0-9a-fA-F]{2})/.exec(line.slice(at, at + 4));
      if (quote === '"' && hex !== null) {
        word += String.fromCharCode(Number.parseInt(hex[1]!, 16));
        at += 4;
      } else if (quote === '"' && char === "\\" && at + 1 < line.length) {
        word += escapes[line[at + 1]!] ?? line[at + 1];
        at += 2;
      } else if (quote === "'" && line.startsWith("\\'", at)) {
        word += "'";
        at += 2;
      } else if (char === quote) {
        at++;
        if (at < line.length && !isSpace(line[at]!)) return null;
        break;
      } else {
        word += char;
        at++;
      }
    }
    words.push(word);
  }
}

// The parser under test, driven as a connection drives it

const GUARD = 64;
const guardBytes = Buffer.from("\r\n1\r\n$1\r\n*1\r\n0\n\"' \\", "latin1");
const space = new Uint8Array(2 * 1024 * 1024);
const parser = new RequestParser();

/** Lays input [from, to) at `at` in `space`, with guards on both sides. Returns the guards' first byte's number. */
function lay(input: Buffer, from: number, to: number, at: number): number {
  const turn = below(guardBytes.length);
  for (let i = 0; i < GUARD; i++) {
    space[at - GUARD + i] = guardBytes[(turn + i) % guardBytes.length]!;
    space[at + to - from + i] = guardBytes[(turn + i) % guardBytes.length]!;
  }
  input.copy(space, at, from, to);
  return turn;
}

function checkGuards(turn: number, at: number, end: number): void {
  for (let i = 0; i < GUARD; i++) {
    const due = guardBytes[(turn + i) % guardBytes.length];
    if (space[at - GUARD + i] !== due || space[end + i] !== due)
      throw new Error("wrote outside of the input");
  }
}

/** Feeds `input` up to each of `cuts` in turn, then to its end, moving the bytes about in between. */
function inPieces(input: Buffer, cuts: readonly number[], limits: Limits, exact: boolean): Outcome {
  const outcome: Outcome = { commands: [], end: "more", begin: 0 };
  parser.maxBulkBytes = limits.bulk;
  parser.maxArguments = limits.args;
  let at = GUARD + below(100); // where the byte `begin` of the input lies
  parser.begin(at);
  for (const cut of [...cuts, input.length]) {
    const moved = GUARD + below(100);
    parser.shift(moved - at);
    at = moved;
    const end = at + cut - outcome.begin;
    const turn = lay(input, outcome.begin, cut, at);
    if (end - parser.at < parser.wanted) continue;
    const view = exact ? space.subarray(0, end) : space;
    for (;;) {
      const after = parser.parse(view, end);
      if (after === Parsed.Incomplete) break;
      if (after === Parsed.Failed) {
        outcome.end = parser.error;
        outcome.begin = -1;
        checkGuards(turn, at, end);
        return outcome;
      }
      if (after > end || after < parser.at) throw new Error(`position ${after} of ${end}`);
      if (parser.argc > 0) outcome.commands.push(words(view, end));
      outcome.begin = cut - (end - after);
      parser.begin(after);
    }
    checkGuards(turn, at, end);
    at = end - (cut - outcome.begin);
    checkGrowth(cut);
  }
  return outcome;
}

function words(view: Uint8Array, end: number): string[] {
  const found: string[] = [];
  for (let i = 0; i < parser.argc; i++) {
    const start = parser.start[i]!;
    const bytes = parser.length[i]!;
    if (start < 0 || bytes < 0 || start + bytes > end)
      throw new Error(`argument [${start}, +${bytes}) of ${end}`);
    let word = "";
    for (let j = start; j < start + bytes; j++) word += String.fromCharCode(view[j]!);
    found.push(word);
  }
  return found;
}

let mostBytes = 0;
/** An argument takes two bytes at least, so the arrays cannot be longer than what arrived allows. */
function checkGrowth(arrived: number): void {
  mostBytes = Math.max(mostBytes, arrived);
  if (parser.start.length > Math.max(16, mostBytes)) throw new Error("the arrays grew with an announcement");
}

// Inputs

const marks = [
  "*",
  "$",
  "\r\n",
  "\r",
  "\n",
  "0",
  "1",
  "2",
  "9",
  "-",
  " ",
  '"',
  "'",
  "\\",
  "\\x",
  "x41",
  "a",
  "\0",
  "\v",
  "\xff",
];
const numbers = [
  ...[
    "0",
    "1",
    "2",
    "3",
    "9",
    "10",
    "11",
    "16",
    "17",
    "-1",
    "-0",
    "-9",
    "00",
    "01",
    "+1",
    "",
    " 1",
    "1 ",
    "1a",
    "1.0",
  ],
  ...["50", "51", "1000", "1001", "1048576", "1048577", "536870912", "536870913", "2147483647", "2147483648"],
  ...[
    "4294967297",
    "9223372036854775807",
    "9999999999999999999",
    "10000000000000000000",
    "-2147483649",
    "0x10",
  ],
  ...["-9223372036854775808", "-9223372036854775809", "-9999999999999999999"],
];

function pick<T>(from: readonly T[]): T {
  return from[below(from.length)]!;
}

function bytesOf(length: number): string {
  let text = "";
  const plain = next() < 0.5;
  for (let i = 0; i < length; i++)
    text += plain ? "k" : next() < 0.3 ? pick(marks)[0] : String.fromCharCode(below(256));
  return text;
}

function request(): string {
  const count = next() < 0.9 ? 1 + below(5) : below(40);
  let text = `*${count}\r\n`;
  for (let i = 0; i < count; i++) {
    const word = bytesOf(next() < 0.9 ? below(12) : below(120));
    text += `$${word.length}\r\n${word}\r\n`;
  }
  return text;
}

function inline(): string {
  let text = "";
  for (let i = below(8); i > 0; i--)
    text += next() < 0.6 ? pick(marks) : next() < 0.5 ? ` "${bytesOf(4)}" ` : ` ${bytesOf(5)}`;
  return `${text}${next() < 0.7 ? "\r\n" : "\n"}`;
}

function soup(): string {
  let text = "";
  for (let i = below(30); i > 0; i--) text += pick(marks);
  return text;
}

function odd(): string {
  const text = `*${pick(numbers)}\r\n$${pick(numbers)}\r\n`;
  return next() < 0.5 ? text : `*2\r\n$1\r\na\r\n$${pick(numbers)}\r\n${bytesOf(3)}\r\n`;
}

/** A line about as long as the limit. */
function longLine(): string {
  const digits = pick(["7", "a", "0"]).repeat(LINE_LIMIT - 3 + below(6));
  return `${pick(["*", "*1\r\n$", "", "$"])}${digits}${pick(["\r\n", "\n", ""])}${pick(["", "x", "*0\r\n"])}`;
}

function mutated(text: string): string {
  for (let i = 1 + below(3); i > 0; i--) {
    const at = below(text.length + 1);
    const kind = below(5);
    if (kind === 0) text = text.slice(0, at) + pick(marks) + text.slice(at + 1);
    else if (kind === 1) text = text.slice(0, at) + text.slice(at + 1 + below(3));
    else if (kind === 2) text = text.slice(0, at) + pick(marks) + text.slice(at);
    else if (kind === 3) text = text.slice(0, at) + text.slice(below(at + 1));
    else text = text.slice(0, at);
  }
  return text;
}

function anInput(): string {
  const kind = next();
  if (kind < 0.0002) return longLine();
  let text = "";
  for (let i = 1 + below(3); i > 0; i--) {
    const part = next();
    text += part < 0.55 ? request() : part < 0.75 ? inline() : part < 0.88 ? odd() : soup();
  }
  return kind < 0.6 ? mutated(text) : text;
}

function cutsOf(length: number): number[] {
  const kind = next();
  if (kind < 0.1 && length < 300) return Array.from({ length }, (_, i) => i); // byte by byte
  const cuts = Array.from({ length: 1 + below(kind < 0.5 ? 1 : 6) }, () => below(length + 1));
  return cuts.sort((a, b) => a - b);
}

function same(a: Outcome, b: Outcome): boolean {
  if (a.end !== b.end || a.begin !== b.begin || a.commands.length !== b.commands.length) return false;
  for (let i = 0; i < a.commands.length; i++) {
    const x = a.commands[i]!;
    const y = b.commands[i]!;
    if (x.length !== y.length) return false;
    for (let j = 0; j < x.length; j++) if (x[j] !== y[j]) return false;
  }
  return true;
}

test(
  "request parser: agrees with a naive one on any bytes, however they are cut",
  () => {
    const inputs = Number(process.env.IRONCACHE_FUZZ ?? 300_000);
    const counts = { commands: 0, errors: 0 };
    for (let i = 0; i < inputs; i++) {
      const text = anInput();
      const input = Buffer.from(text, "latin1");
      const limits = next() < 0.5 ? { bulk: 1000, args: 50 } : { bulk: 512 * 1024 * 1024, args: 1024 * 1024 };
      const due = whole(text, limits);
      counts.commands += due.commands.length;
      if (due.end !== "more") counts.errors++;
      const cuts = cutsOf(input.length);
      const exact = (i & 7) === 0;
      const atOnce = inPieces(input, [], limits, exact);
      const cut = inPieces(input, cuts, limits, exact);
      if (same(atOnce, due) && same(cut, due)) continue;
      const shown = text.length > 500 ? `${text.slice(0, 500)}... (${text.length})` : text;
      console.log(`input ${i}: ${JSON.stringify(shown)}\ncut at ${cuts}`);
      expect(atOnce).toEqual(due);
      expect(cut).toEqual(due);
    }
    // The inputs are worth something: many commands are found, many inputs break a rule.
    expect(counts.commands).toBeGreaterThan(inputs);
    expect(counts.errors).toBeGreaterThan(inputs / 5);
  },
  { timeout: 3_600_000 },
);

test("request parser: an announced count makes no room", () => {
  const fresh = new RequestParser();
  const bytes = Buffer.from("*1048576\r\n$536870912\r\nabc", "latin1");
  fresh.begin(0);
  expect(fresh.parse(bytes, bytes.length)).toBe(Parsed.Incomplete);
  expect(fresh.start.length).toBe(16);
  expect(fresh.wanted).toBe(536870914);
});
