// The wire: framing, inline requests, protocol errors and where the connection closes after each.

import type { Case, Word } from "../harness.ts";
import { bytesOf, encodeRequest } from "../resp.ts";

function raw(name: string, ...chunks: Word[]): Case {
  return { name, raw: chunks };
}

/** A case that ends with the server's close. */
function closing(name: string, ...chunks: Word[]): Case {
  return { name, raw: chunks, end: "close" };
}

/** A case whose last request is unfinished: our side half-closes. */
function unfinished(name: string, ...chunks: Word[]): Case {
  return { name, raw: chunks, end: "eof" };
}

const ping = "*1\r\n$4\r\nPING\r\n";
const get = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
const set = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nhello\r\n";

const counts = [
  "0",
  "-1",
  "-10",
  "x",
  "",
  "1x",
  " 1",
  "1 ",
  "+1",
  "01",
  "1.0",
  "2147483647",
  "2147483648",
  "9223372036854775807",
  "9223372036854775808",
  "-9223372036854775808",
  "-9223372036854775809",
  "99999999999999999999",
  "-0",
  "--1",
  "0x1",
  "-",
];
const bulkLengths = [
  "-1",
  "-2",
  "x",
  "",
  "4x",
  " 4",
  "4 ",
  "+4",
  "04",
  "4.0",
  "536870913",
  "2147483648",
  "9223372036854775807",
  "9223372036854775808",
  "99999999999999999999",
  "-0",
  "0x4",
  "-",
];

/** Counts that the contract limits below the oracle: they are not compared. */
const huge = new Set(["2147483647"]);

const errors: Case[] = [
  ...counts
    .filter((count) => !huge.has(count))
    .map((count) => raw(`the array count ${JSON.stringify(count)}`, `${set}*${count}\r\n${get}${ping}`)),
  ...bulkLengths.map((length) =>
    raw(`the bulk length ${JSON.stringify(length)}`, `${set}*2\r\n$3\r\nGET\r\n$${length}\r\n${get}`),
  ),
  ...[
    ":1\r\n",
    "+a\r\n",
    "-a\r\n",
    "*1\r\n$4\r\nPING\r\n",
    "a\r\n",
    "\r\n",
    " $1\r\n",
    "%1\r\n",
    "_\r\n",
    "\xff\r\n",
    "\n",
    "'\r\n",
  ].map((element) =>
    raw(
      `an element that begins with ${JSON.stringify(element[0])}`,
      `${set}*2\r\n$3\r\nGET\r\n${element}${ping}`,
    ),
  ),
  raw("an error in the middle of a pipeline", `${ping}${set}${get}*1\r\n:5\r\n${ping}${ping}`),
  raw("bytes after a protocol error are dropped", `${ping}*x\r\nSET a 1\r\n${ping}QUIT\r\n`),
  // What is written after the server has closed meets a reset, which may take the reply with it: nothing to compare.
  raw("the bytes after a bulk are not looked at", "*1\r\n$4\r\nPINGxx*2\r\n$3\r\nGETyy$1\r\nazz"),
  raw("an empty bulk as a command", "*1\r\n$0\r\n\r\n*2\r\n$0\r\n\r\n$1\r\na\r\n"),
  raw("counts of nothing are ignored", `*0\r\n*-1\r\n*-5\r\n${ping}*0\r\n${ping}`),
  raw("LF alone does not end an array's line", `*1\n${ping}`),
  raw("CR without LF after a count", `*1\rx$4\r\nPING\r\n`),
  closing("a count line of 70,000 digits", `${ping}*${"1".repeat(70_000)}`),
  closing("a bulk length line of 70,000 digits", `${ping}*1\r\n$${"1".repeat(70_000)}`),
  raw("a count line of 60,000 digits that ends", `*${"1".repeat(60_000)}\r\n`),
  raw("a count with 40 leading zeroes", `*${"0".repeat(40)}1\r\n$4\r\nPING\r\n`),
  {
    name: "HELLO without the protocol it names stays usable",
    raw: [`*2\r\n$5\r\nHELLO\r\n$1\r\n9\r\n${ping}`],
  },
];

const inlines = [
  "PING",
  "ping",
  "  PING  ",
  "PING\t",
  "\tPING",
  "PING hello",
  "SET a b",
  'SET a "b c"',
  "SET a 'b c'",
  'SET a "\\x41\\n\\r\\t\\b\\a\\\\\\""',
  'SET a "\\xzz\\x4"',
  'SET a "\\q"',
  "SET a 'it\\'s'",
  "SET a 'a\\nb'",
  'SET a ""',
  "SET a ''",
  '""',
  "'' a",
  'SET a b"c"',
  'SET a "b"c',
  "SET a 'b'c",
  'SET a "b',
  "SET a 'b",
  'SET a "b\\',
  'SET a "b\\"',
  '"SET" \'a\' "b"',
  'GET "\\x61"',
  "SET a b\\x20c",
  "SET a \xff\xfe",
  "SET a \x01b",
  "SET a b\vc",
  "SET a b\fc",
  "$4",
  ":1",
  "+OK",
  "-ERR x",
  "~1",
  "_",
  ">1",
  "%1",
  "#t",
  "nosuch",
  "nosuch 'a b' \"c\\r\\nd\"",
  "GET",
  "GET a b c",
  'SET a """"',
  'SET a "b" "c',
  'SET "a" \'b',
  "'",
  '"',
  'PING "',
  'ECHO "\\"',
  "ECHO \\",
  "ECHO a\rb",
  "QUIT",
  "quit now",
];

const inline: Case[] = [
  ...inlines.map((line) => raw(`the inline request ${JSON.stringify(line)}`, `${line}\r\nGET a\r\n`)),
  raw("inline requests ended by LF alone", "PING\nSET a 1\nGET a\n"),
  {
    ...raw("a NUL inside an inline request", "SET a\x00b c\r\nGET a\r\nGET a\x00b\r\n"),
    expect: { 0: "+OK\r\n", 1: "$-1\r\n", 2: "$1\r\nc\r\n" },
    protocols: [2],
    unasked: true,
    why: "the oracle looks for the LF as C strings end, so it waits for ever; a line ends at its LF",
  },
  raw("blank inline lines", "\r\n\n\r\n   \r\n\t\nPING\r\n\r\n"),
  raw("inline and array requests mixed", `PING\r\n${set}GET a\r\n${get}\r\nPING x\r\n`),
  raw("two CRs before the LF", "PING\r\r\nPING\r\n"),
  raw("an inline request of 60,000 bytes", `ECHO ${"x".repeat(60_000)}\r\nPING\r\n`),
  closing("an inline request of 70,000 bytes without its end", `PING\r\nECHO ${"x".repeat(70_000)}`),
  closing("65,537 bytes without a LF", "x".repeat(65_537)),
  raw(
    "an inline request of 65,000 bytes in two writes",
    "ECHO ".padEnd(40_000, "x"),
    `${"y".repeat(25_000)}\r\nPING\r\n`,
  ),
  unfinished("65,536 bytes without a LF are waited for", "x".repeat(65_536)),
  raw("unbalanced quotes close", `PING\r\nSET a "b\r\n${ping}`),
  raw("an inline request of many words", `MGET ${"a ".repeat(2000)}\r\nPING\r\n`),
];

const crossProtocol: Case[] = [
  "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
  "post / HTTP/1.1\r\n\r\n",
  "Host: x\r\n",
  "host: x\r\n",
  "HOST:\r\n",
  "POST\r\n",
]
  .map((text) => closing(`cross-protocol: ${JSON.stringify(text)}`, text))
  .concat([
    raw("cross-protocol: POST as an array", "*1\r\n$4\r\nPOST\r\n"),
    raw("names that only begin like them", "POSTX a\r\nHost a\r\nGET / HTTP/1.1\r\nHostname: x\r\nPING\r\n"),
  ]);

const ends: Case[] = [
  raw(
    "QUIT in the middle of a pipeline",
    `${set}${get}*1\r\n$4\r\nQUIT\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nx\r\n${get}`,
  ),
  raw("QUIT then an error", "QUIT\r\n*x\r\n"),
  closing("QUIT closes by itself", "*1\r\n$4\r\nQUIT\r\n"),
  unfinished("nothing at all", ""),
  unfinished("an unfinished count", `${ping}*`),
  unfinished("an unfinished count with a digit", `${ping}*1`),
  unfinished("an unfinished CRLF", `${ping}*1\r`),
  unfinished("an unfinished bulk header", `${ping}*1\r\n$4`),
  unfinished("an unfinished bulk", `${ping}*1\r\n$4\r\nPIN`),
  unfinished("a bulk without its CRLF", `${ping}*1\r\n$4\r\nPING`),
  unfinished("a bulk with half its CRLF", `${ping}*1\r\n$4\r\nPING\r`),
  unfinished("an unfinished inline request", `${ping}SET a b`),
  unfinished("a count whose elements never come", `${ping}*3\r\n$3\r\nSET\r\n$1\r\na\r\n`),
  unfinished(
    "a big bulk that stops halfway",
    `${ping}*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100000\r\n${"x".repeat(50_000)}`,
  ),
  unfinished("a pipeline and a half", `${set}${get}${set.slice(0, 20)}`),
];

/** The same bytes, cut at every place of a small pipeline. */
const small = `${set}\r\nGET a\r\n*0\r\n${get}SET b 'x y'\r\nGET b\r\n`;
const cuts: Case[] = [
  raw("a pipeline byte by byte", ...small),
  ...Array.from({ length: small.length - 1 }, (_, i) =>
    raw(`a pipeline cut after byte ${i + 1}`, small.slice(0, i + 1), small.slice(i + 1)),
  ),
  raw("a protocol error cut in its middle", `${ping}*1\r\n:`, "5\r\n"),
  raw("a bad count byte by byte", ..."*12x\r\nPING\r\n"),
];

/** Big bulks, cut at awkward places. */
const sizes = [16_383, 16_384, 16_385, 32_767, 32_768, 65_535, 65_536, 70_000, 262_144, 1_048_576];
const big: Case[] = sizes.flatMap((size) => {
  const request = encodeRequest(["SET", "big", "ab".repeat(size).slice(0, size)]);
  const read = bytesOf("GET big\r\nSTRLEN big\r\n");
  const all = Buffer.concat([request, read]);
  return [
    raw(`a bulk of ${size} bytes in one write`, all),
    raw(
      `a bulk of ${size} bytes cut before its CRLF`,
      request.subarray(0, request.length - 2),
      Buffer.concat([request.subarray(request.length - 2), read]),
    ),
    raw(
      `a bulk of ${size} bytes cut in four`,
      ...[0, 1, 2, 3].map((i) =>
        all.subarray(Math.floor((i * all.length) / 4), Math.floor(((i + 1) * all.length) / 4)),
      ),
    ),
    raw(
      `a bulk of ${size} bytes echoed twice in a pipeline`,
      Buffer.concat([
        encodeRequest(["ECHO", "z".repeat(size)]),
        bytesOf(ping),
        encodeRequest(["ECHO", "y".repeat(size)]),
        bytesOf(ping),
      ]),
    ),
  ];
});

const deep: Case[] = [
  raw(
    "an array of 1,000 elements",
    encodeRequest(["DEL", ...Array.from({ length: 1000 }, (_, i) => `k${i}`)]),
  ),
  raw(
    "an array of 20,000 elements",
    encodeRequest(["EXISTS", ...Array.from({ length: 20_000 }, (_, i) => `k${i}`)]),
    ping,
  ),
  raw("5,000 PINGs", ping.repeat(5000)),
  raw("5,000 inline PINGs", "PING\r\n".repeat(5000)),
  {
    name: "a megabyte of replies in one pipeline",
    raw: [Buffer.concat([encodeRequest(["SET", "a", "v".repeat(20_000)]), bytesOf(get.repeat(60))])],
  },
];

export const wireCases: Case[] = [...errors, ...inline, ...crossProtocol, ...ends, ...cuts, ...big, ...deep];
