// The commands that stand for scripts: SET's comparisons, DELIFEQ, DELEX, DIGEST, MSETEX, INCREX, CL.THROTTLE and the
// conditional deadlines. The oracle has none of them, so every answer here is written by hand: SET, DELIFEQ, MSETEX and
// COMMAND INFO as Valkey 9.1 gives them, DELEX, DIGEST and INCREX as the suites of Redis 8.4 and 8.8 expect them.

import { type Case, type Command, lines, type Protocol } from "../harness.ts";

/** A command and its reply in RESP2, or in either protocol. */
type Line = readonly [string | Command, string | ((protocol: Protocol) => string)];

const OK = "+OK\r\n";
const NIL = (protocol: Protocol) => (protocol === 2 ? "$-1\r\n" : "_\r\n");
const SYNTAX = "-ERR syntax error\r\n";

function int(value: number | string): string {
  return `:${value}\r\n`;
}

function bulk(value: string): string {
  return `$${value.length}\r\n${value}\r\n`;
}

function fail(text: string): string {
  return `-ERR ${text}\r\n`;
}

/** INCREX's answer by integer. */
function counted(value: number | string, applied: number | string): string {
  return `*2\r\n${int(value)}${int(applied)}`;
}

/** And by float. */
function measured(...values: string[]): (protocol: Protocol) => string {
  return (protocol) =>
    `*2\r\n${values.map((value) => (protocol === 2 ? bulk(value) : `,${value}\r\n`)).join("")}`;
}

function five(...values: number[]): string {
  return `*5\r\n${values.map(int).join("")}`;
}

/** The case in both protocols. */
function answers(name: string, ...script: Line[]): Case[] {
  return ([2, 3] as const).map((protocol) => ({
    name: `${name}, protocol ${protocol}`,
    why: "the oracle has no such command",
    unasked: true,
    protocols: [protocol],
    commands: lines(...script.map(([command]) => command)),
    expect: Object.fromEntries(
      script.map(([, reply], i) => [i, typeof reply === "string" ? reply : reply(protocol)]),
    ),
  }));
}

const far = "4102444800000";
const farther = "4202444800000";

/** XXH3 of "old" and of "new", as Bun's own implementation gives them. */
const digestOf = (value: string) => Bun.hash.xxHash3(value).toString(16).padStart(16, "0");

/** SET with every comparison against every state, with and without GET and a deadline: the table of the contract. */
const matrix: Case[] = ["absent", "equal", "different"].flatMap((state) =>
  ["IFEQ", "IFNE", "IFDEQ", "IFDNE"].flatMap((condition) =>
    ["", "GET"].flatMap((get) =>
      ["", `PXAT ${farther}`, "KEEPTTL"].flatMap((expiry) => {
        const against = state === "different" ? "other" : "old";
        const operand = condition.startsWith("IFD") ? digestOf(against) : against;
        const sets = condition.endsWith("NE") ? state !== "equal" : state === "equal";
        const was = state === "absent" ? NIL : bulk("old");
        const due = sets
          ? expiry === "KEEPTTL"
            ? state === "absent"
              ? "-1"
              : far
            : expiry === ""
              ? "-1"
              : farther
          : state === "absent"
            ? "-2"
            : far;
        const options = [get, condition, operand, ...expiry.split(" ")].filter((word) => word !== "");
        return answers(
          `SET ${[get, condition, expiry].filter((word) => word !== "").join(" ")}, ${state}`,
          ...(state === "absent" ? [] : ([[`SET k old PXAT ${far}`, OK]] as Line[])),
          [["SET", "k", "new", ...options], get === "GET" ? was : sets ? OK : NIL],
          ["GET k", sets ? bulk("new") : was],
          ["PEXPIRETIME k", int(due)],
        );
      }),
    ),
  ),
);

const badDigest = fail("digest must be exactly 16 hexadecimal characters");

const set: Case[] = [
  ...matrix,
  ...answers(
    "SET takes one comparison and no other condition beside it",
    ["SET k v", OK],
    ["SET k w IFEQ", SYNTAX],
    ["SET k w NX IFEQ v", SYNTAX],
    ["SET k w IFEQ v XX", SYNTAX],
    ["SET k w IFEQ v IFNE x", SYNTAX],
    ["SET k w IFEQ v IFEQ v", SYNTAX],
    ["SET k w IFDEQ 0 IFDNE 0", SYNTAX],
    ["SET k w IFEQ v EX 1 PX 1", SYNTAX],
    ["GETEX k IFEQ v", SYNTAX],
    ["GET k", bulk("v")],
    ["SET k w ifEq v gEt", bulk("v")],
    ["GET k", bulk("w")],
  ),
  ...answers(
    "SET IFEQ checks the expiry before it looks",
    ["SET k v", OK],
    ["SET k w IFEQ no EX 0", fail("invalid expire time in 'set' command")],
    ["SET k w IFEQ no EX x", fail("value is not an integer or out of range")],
    ["SET k w IFEQ v EXAT 1", OK],
    ["GET k", NIL],
  ),
  ...answers(
    "SET IFDEQ wants sixteen hexadecimal digits in either case",
    [`SET absent v IFDEQ zz`, NIL],
    [`SET absent v IFDNE zz`, OK],
    ["SET k test", OK],
    [`SET k new IFDEQ ${digestOf("test").slice(1)}`, badDigest],
    [`SET k new IFDNE 0${digestOf("test")}`, badDigest],
    [["SET", "k", "new", "IFDNE", ""], badDigest],
    [`SET k new GET IFDNE ${digestOf("test").slice(0, 15)}g`, badDigest],
    [`SET k new IFDNE ${digestOf("test").slice(0, 15)}/`, badDigest],
    [`SET k new IFDNE ${digestOf("test").toUpperCase()}`, NIL],
    [`SET k new IFDEQ ${digestOf("test").toUpperCase()}`, OK],
    ["GET k", bulk("new")],
  ),
  ...answers(
    "SET IFEQ compares bytes, not numbers",
    ["SET k 1.0", OK],
    ["SET k 2 IFEQ 1", NIL],
    ["SET k 2 IFEQ 01.0", NIL],
    [["SET", "k", "\x00\r\n\xff", "IFEQ", "1.0"], OK],
    [["SET", "k", "", "IFEQ", "\x00\r\n\xff"], OK],
    [["SET", "k", "12", "IFEQ", ""], OK],
    ["SET k x IFEQ 12", OK],
  ),
];

const values = ["", "a", "abc", "abcd", "123456789", "x".repeat(17), "y".repeat(129), "z".repeat(1000)];

const deleting: Case[] = [
  ...values.flatMap((value) =>
    answers(
      `compare, hash and delete ${value.length} bytes`,
      [["SET", "k", value], OK],
      ["DIGEST k", bulk(digestOf(value))],
      [["DELIFEQ", "k", `${value}x`], int(0)],
      [["DELIFEQ", "k", value], int(1)],
      ["EXISTS k", int(0)],
      [["SET", "k", value], OK],
      [["DELEX", "k", "IFNE", value], int(0)],
      [["DELEX", "k", "IFEQ", `${value}x`], int(0)],
      [["DELEX", "k", "IFDEQ", digestOf(`${value}x`)], int(0)],
      [["DELEX", "k", "IFDNE", digestOf(value)], int(0)],
      [["DELEX", "k", "IFDEQ", digestOf(value)], int(1)],
      ["EXISTS k", int(0)],
    ),
  ),
  ...answers(
    "DELIFEQ",
    ["DELIFEQ absent v", int(0)],
    ["DELIFEQ a", fail("wrong number of arguments for 'delifeq' command")],
    ["DELIFEQ a b c", fail("wrong number of arguments for 'delifeq' command")],
    [`SET k 5 PXAT ${far}`, OK],
    ["DELIFEQ k 05", int(0)],
    ["DELIFEQ k 5", int(1)],
    ["DBSIZE", int(0)],
  ),
  ...answers(
    "DELEX",
    ["DELEX absent", int(0)],
    ["DELEX absent IFEQ v", int(0)],
    ["DELEX absent IFNE v", int(0)],
    ["DELEX absent IFDEQ 1234567890", int(0)],
    ["DELEX absent IFDNE 1234567890", int(0)],
    ["DELEX", fail("wrong number of arguments for 'delex' command")],
    ["DELEX k IFEQ", fail("wrong number of arguments for 'delex' command")],
    ["DELEX k IFEQ v w", fail("wrong number of arguments for 'delex' command")],
    ["SET k v", OK],
    ["DELEX k IFEQ", fail("wrong number of arguments for 'delex' command")],
    ["DELEX k NX v", fail("Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE")],
    ["DELEX k IF v", fail("Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE")],
    ["DELEX k IFDEQ v", badDigest],
    ["DELEX k ifne w", int(1)],
    ["SET k v", OK],
    ["DELEX k", int(1)],
    ["SET k v", OK],
    [`DELEX k IFDNE ${"0".repeat(16)}`, int(1)],
  ),
  ...answers(
    "DIGEST",
    ["DIGEST absent", NIL],
    ["DIGEST", fail("wrong number of arguments for 'digest' command")],
    ["DIGEST a b", fail("wrong number of arguments for 'digest' command")],
    [["SET", "k", "Hello world"], OK],
    ["DIGEST k", bulk("b6acb9d84a38ff74")],
    [["SET", "k", ""], OK],
    ["DIGEST k", bulk("2d06800538d394c2")],
    [
      "SET k v8lf0c11xh8ymlqztfd3eeq16kfn4sspw7fqmnuuq3k3t75em5wdizgcdw7uc26nnf961u2jkfzkjytls2kwlj7626sd",
      OK,
    ],
    ["DIGEST k", bulk("00006c38adf31777")],
    ["SET k 12345", OK],
    ["DIGEST k", bulk(digestOf("12345"))],
  ),
];

const deadlines: Case[] = ["EXPIRE", "PEXPIRE"].flatMap((stem) => {
  const name = `IC.${stem}IFEQ`;
  const invalid = fail(`invalid expire time in '${name.toLowerCase()}' command`);
  return answers(
    name,
    [`${name} absent v 100`, int(0)],
    [`${name} k v`, fail(`wrong number of arguments for '${name.toLowerCase()}' command`)],
    [`${name} k v x`, fail("value is not an integer or out of range")],
    [`${name} absent v 9223372036854775807`, invalid],
    [`${name} absent v 9223372036854775808`, fail("value is not an integer or out of range")],
    ["SET k v", OK],
    [`${name} k w 100000`, int(0)],
    ["PTTL k", int(-1)],
    [`${name} k v 9999999999999`, int(1)],
    ["PERSIST k", int(1)],
    [`${name} k v 0`, int(1)],
    ["EXISTS k", int(0)],
    ["SET k v", OK],
    [`${name} k w -1`, int(0)],
    [`${name.toLowerCase()} k v -1`, int(1)],
    ["EXISTS k", int(0)],
  );
});

const pairCount = fail("invalid numkeys value");
const pairs = fail("wrong number of key-value pairs");

const several: Case[] = [
  ...answers(
    "MSETEX sets all and clears deadlines",
    [`SET a old PXAT ${far}`, OK],
    ["MSETEX 2 a 1 b 2", int(1)],
    ["MGET a b", `*2\r\n${bulk("1")}${bulk("2")}`],
    ["PEXPIRETIME a", int(-1)],
    ["MSETEX 3 a 1 b 2 a 3", int(1)],
    ["GET a", bulk("3")],
  ),
  ...["EXAT 4102444800", `PXAT ${far}`].flatMap((expiry) =>
    answers(
      `MSETEX ${expiry}`,
      [`MSETEX 3 a 1 b 2 c 3 ${expiry}`, int(1)],
      ["PEXPIRETIME a", int(far)],
      ["PEXPIRETIME b", int(far)],
      ["PEXPIRETIME c", int(far)],
      [`MSETEX 2 b 2 d 3 KEEPTTL`, int(1)],
      ["PEXPIRETIME b", int(far)],
      ["PEXPIRETIME d", int(-1)],
    ),
  ),
  ...answers(
    "MSETEX NX",
    ["SET b old", OK],
    ["MSETEX 2 a 1 b 2 NX", int(0)],
    ["MGET a b", (protocol) => `*2\r\n${NIL(protocol)}${bulk("old")}`],
    [`MSETEX 2 a 1 c 2 nx PXAT ${far}`, int(1)],
    ["MGET a c", `*2\r\n${bulk("1")}${bulk("2")}`],
    ["PEXPIRETIME c", int(far)],
    ["MSETEX 2 d 1 d 2 NX NX", int(1)],
    ["GET d", bulk("2")],
  ),
  ...answers(
    "MSETEX XX",
    ["SET b old", OK],
    ["MSETEX 2 a 1 b 2 XX", int(0)],
    ["MGET a b", (protocol) => `*2\r\n${NIL(protocol)}${bulk("old")}`],
    ["SET a old", OK],
    [`MSETEX 2 a 1 b 2 PXAT ${far} XX`, int(1)],
    ["MGET a b", `*2\r\n${bulk("1")}${bulk("2")}`],
    ["PEXPIRETIME b", int(far)],
  ),
  ...answers(
    "MSETEX with a deadline in the past removes",
    ["MSET a 1 b 2", OK],
    ["MSETEX 3 a 3 b 4 c 5 EXAT 1", int(1)],
    ["EXISTS a b c", int(0)],
    ["SET a 1", OK],
    ["MSETEX 2 a 3 b 4 NX EXAT 1", int(0)],
    ["EXISTS a b", int(1)],
  ),
  ...answers(
    "MSETEX refuses what is no number of pairs",
    ["MSETEX 1 a", fail("wrong number of arguments for 'msetex' command")],
    ...["0", "-1", "x", "01", "1.0", "", "2147483648", "9223372036854775807", "4611686018427387905"].map(
      (count): Line => [["MSETEX", count, "a", "1"], pairCount],
    ),
    ["MSETEX 2 a 1", pairs],
    ["MSETEX 2 a 1 b", pairs],
    ["MSETEX 2147483647 a 1 EX 10", pairs],
    ["MSETEX 1000 a 1", pairs],
    ["EXISTS a b", int(0)],
  ),
  ...answers(
    "MSETEX refuses other options",
    ...["b 2", "NX XX", "EX 1 PX 1", "KEEPTTL EX 5", "EX", "PERSIST", "GET", "IFEQ 1", "nosuch"].map(
      (options): Line => [`MSETEX 1 a 1 ${options}`, SYNTAX],
    ),
    ["MSETEX 1 a 1 EX 0", fail("invalid expire time in 'msetex' command")],
    ["MSETEX 1 a 1 PX -5", fail("invalid expire time in 'msetex' command")],
    ["MSETEX 1 a 1 EX 9223372036854775", fail("invalid expire time in 'msetex' command")],
    ["MSETEX 1 a 1 EX x", fail("value is not an integer or out of range")],
    ["EXISTS a", int(0)],
  ),
  ...answers(
    "the keys of MSETEX",
    ["COMMAND GETKEYS MSETEX 2 a 1 b 2", `*2\r\n${bulk("a")}${bulk("b")}`],
    ["COMMAND GETKEYS MSETEX 2 a 1 b 2 EX 10", `*2\r\n${bulk("a")}${bulk("b")}`],
    ["COMMAND GETKEYS MSETEX 1 a 1 b 2", `*1\r\n${bulk("a")}`],
    ["COMMAND GETKEYS MSETEX 3 a 1 b 2", fail("Invalid arguments specified for command")],
    ["COMMAND GETKEYS MSETEX 0 a 1", fail("Invalid arguments specified for command")],
    ["COMMAND GETKEYS MSETEX x a 1", fail("Invalid arguments specified for command")],
    ["COMMAND GETKEYS MSETEX -1 a 1", fail("Invalid arguments specified for command")],
    ["COMMAND GETKEYS MSETEX 9223372036854775807 a 1", fail("Invalid arguments specified for command")],
  ),
];

/** 1e308 as the nearest number with a mantissa of 64 bits, in full. */
const LARGE =
  "99999999999999999996685879655845645660560099847415567207797047994921734868838061872100126921888539320446747225054013223152134749593960583597420814430196418767959100019603190778663109604507106667939153395788938914560543563061268364901618630217086589253444881623791300855757318142424510452728255046343928578048";
const MAX = "9223372036854775807";
const MIN = "-9223372036854775808";

const counting: Case[] = [
  ...answers(
    "INCREX counts",
    ["INCREX k", counted(1, 1)],
    ["INCREX k", counted(2, 1)],
    ["INCREX k BYINT 98", counted(100, 98)],
    ["INCREX k BYINT -10", counted(90, -10)],
    ["INCREX k byint 0", counted(90, 0)],
    ["GET k", bulk("90")],
    ["OBJECT ENCODING k", bulk("int")],
    ["INCREX new BYINT 0", counted(0, 0)],
    ["GET new", bulk("0")],
  ),
  ...answers(
    "INCREX within bounds",
    ["SET k 10", OK],
    ["INCREX k BYINT 10 UBOUND 15", counted(10, 0)],
    ["INCREX k BYINT 5 UBOUND 15", counted(15, 5)],
    ["INCREX k BYINT -11 LBOUND 5", counted(15, 0)],
    ["INCREX k BYINT -10 LBOUND 5", counted(5, -10)],
    ["INCREX k BYINT 2 LBOUND 0 UBOUND 10", counted(7, 2)],
    ["INCREX k BYINT 10 LBOUND 0 UBOUND 10", counted(7, 0)],
    ["INCREX k BYINT -20 LBOUND 0 UBOUND 10", counted(7, 0)],
    ["INCREX k BYINT 10 LBOUND 0 UBOUND 10 SATURATE", counted(10, 3)],
    ["INCREX k BYINT -20 SATURATE LBOUND 0 UBOUND 10", counted(0, -10)],
    ["GET k", bulk("0")],
  ),
  ...answers(
    "INCREX of an absent key within bounds",
    ["INCREX k UBOUND 0", counted(0, 0)],
    ["INCREX k LBOUND 5", counted(0, 0)],
    ["INCREX k BYINT 5 LBOUND 10", counted(0, 0)],
    ["EXISTS k", int(0)],
    ["INCREX k LBOUND 5 SATURATE", counted(5, 5)],
    ["DEL k", int(1)],
    ["INCREX k UBOUND 0 SATURATE", counted(0, 0)],
    ["EXISTS k", int(1)],
    ["DEL k", int(1)],
    ["INCREX k BYFLOAT -0.5 UBOUND -1.5", measured("0", "0")],
    ["EXISTS k", int(0)],
    ["INCREX k BYFLOAT 5.5 UBOUND 10", measured("5.5", "5.5")],
  ),
  ...answers(
    "INCREX of a value already out of bounds",
    ["SET k 50", OK],
    ["INCREX k BYINT 5 UBOUND 30", counted(50, 0)],
    ["INCREX k BYINT 5 UBOUND 30 SATURATE", counted(30, -20)],
    ["SET k -50", OK],
    ["INCREX k BYINT -5 LBOUND -30 SATURATE", counted(-30, 20)],
    ["SET k 50", OK],
    ["INCREX k BYINT -25 UBOUND 30", counted(25, -25)],
    ["SET k 50.5", OK],
    ["INCREX k BYFLOAT 5.5 UBOUND 30", measured("50.5", "0")],
    ["INCREX k BYFLOAT 5.5 UBOUND 30 SATURATE", measured("30", "-20.5")],
    ["SET k -50.5", OK],
    ["INCREX k BYFLOAT -5.5 LBOUND -30 SATURATE", measured("-30", "20.5")],
  ),
  ...answers(
    "INCREX at the ends of int64",
    ["SET k 9223372036854775800", OK],
    [`INCREX k BYINT 9223372036854775800`, counted("9223372036854775800", 0)],
    [`INCREX k BYINT 9223372036854775800 UBOUND ${MAX}`, counted("9223372036854775800", 0)],
    ["GET k", bulk("9223372036854775800")],
    [`INCREX k BYINT 9223372036854775800 SATURATE`, counted(MAX, 7)],
    ["INCREX k", counted(MAX, 0)],
    [`INCREX k BYINT ${MIN}`, counted(-1, MIN)],
    [`INCREX k BYINT ${MIN} UBOUND 5 SATURATE`, counted(MIN, "-9223372036854775807")],
    [`INCREX k BYINT -1`, counted(MIN, 0)],
    [`INCREX k BYINT -1 SATURATE LBOUND ${MIN}`, counted(MIN, 0)],
    [`INCREX k BYINT 1 SATURATE LBOUND 0`, fail("applied increment would overflow")],
    ["SET k 9223372036854775800", OK],
    [`INCREX k BYINT 1 SATURATE UBOUND ${MIN}`, fail("applied increment would overflow")],
    ["GET k", bulk("9223372036854775800")],
  ),
  ...answers(
    "INCREX around 2^53",
    ["SET k 9007199254740991", OK],
    ["INCREX k", counted("9007199254740992", 1)],
    ["INCREX k", counted("9007199254740993", 1)],
    ["INCREX k BYINT -2", counted("9007199254740991", -2)],
    ["SET k -9007199254740990", OK],
    ["INCREX k BYINT 1 LBOUND 9007199254740991 SATURATE", counted("9007199254740991", "18014398509481981")],
    ["INCREX k UBOUND 9007199254740991", counted("9007199254740991", 0)],
    ["INCREX k UBOUND 9007199254740992", counted("9007199254740992", 1)],
  ),
  ...answers(
    "INCREX BYFLOAT",
    ["SET k 1.5", OK],
    ["INCREX k BYFLOAT 0.25", measured("1.75", "0.25")],
    ["INCREX k BYFLOAT 1", measured("2.75", "1")],
    ["INCREX k BYFLOAT 0.25", measured("3", "0.25")],
    ["GET k", bulk("3")],
    ["INCREX k", counted(4, 1)],
    ["INCREX k BYFLOAT 1e2", measured("104", "100")],
    ["SET k 10", OK],
    ["INCREX k BYFLOAT 100 UBOUND 42.5 SATURATE", measured("42.5", "32.5")],
    ["INCREX k BYFLOAT -100 LBOUND -5.5 SATURATE", measured("-5.5", "-48")],
    ["INCREX k BYFLOAT 0.1 LBOUND -inf UBOUND +inf", measured("-5.4", "0.1")],
    ["INCREX k BYFLOAT 0", measured("-5.4", "0")],
    [`INCREX k BYFLOAT 0 PXAT ${far}`, measured("-5.4", "0")],
    ["PEXPIRETIME k", int(far)],
  ),
  ...answers(
    "INCREX BYFLOAT beyond the range",
    ["SET k 1e308", OK],
    ["STRLEN k", int(5)],
    ["INCREX k BYFLOAT 1.7e308 UBOUND 5", measured(LARGE, "0")],
    ["SET k -1", OK],
    ["INCREX k BYFLOAT inf", fail("BYFLOAT increment cannot be Infinity")],
    ["INCREX k BYFLOAT -inf", fail("BYFLOAT increment cannot be Infinity")],
    ["INCREX k BYFLOAT 1 LBOUND inf", fail("LBOUND is not a valid float")],
    ["INCREX k BYFLOAT 1 UBOUND -inf", fail("UBOUND is not a valid float")],
    ["SET k inf", OK],
    ["INCREX k BYFLOAT 1", fail("value cannot be Infinity")],
    ["GET k", bulk("inf")],
  ),
  ...answers(
    "INCREX and deadlines",
    [`INCREX k PXAT ${far}`, counted(1, 1)],
    ["PEXPIRETIME k", int(far)],
    ["INCREX k", counted(2, 1)],
    ["PEXPIRETIME k", int(far)],
    [`INCREX k BYINT 98 PXAT ${farther}`, counted(100, 98)],
    ["PEXPIRETIME k", int(farther)],
    [`INCREX k UBOUND 100 PXAT ${far}`, counted(100, 0)],
    ["PEXPIRETIME k", int(farther)],
    [`INCREX k UBOUND 100 PXAT ${far} SATURATE`, counted(100, 0)],
    ["PEXPIRETIME k", int(far)],
    ["INCREX k PERSIST", counted(101, 1)],
    ["PEXPIRETIME k", int(-1)],
    ["INCREX k PERSIST", counted(102, 1)],
    ["INCREX k EXAT 4102444800 BYINT 1", counted(103, 1)],
    ["PEXPIRETIME k", int(far)],
  ),
  ...answers(
    "INCREX ENX sets a deadline only where there is none",
    [`INCREX k PXAT ${far} ENX`, counted(1, 1)],
    ["PEXPIRETIME k", int(far)],
    [`INCREX k ENX PXAT ${farther}`, counted(2, 1)],
    ["PEXPIRETIME k", int(far)],
    ["INCREX k EXAT 1 ENX", counted(3, 1)],
    ["GET k", bulk("3")],
    ["PEXPIRETIME k", int(far)],
    ["PERSIST k", int(1)],
    [`INCREX k BYINT 7 ENX PXAT ${farther}`, counted(10, 7)],
    ["PEXPIRETIME k", int(farther)],
    ["INCREX k ENX", fail("ENX flag requires an expiration")],
    ["INCREX k BYINT x ENX", fail("ENX flag requires an expiration")],
  ),
  ...answers(
    "INCREX with a deadline in the past removes",
    ["SET k 10", OK],
    ["INCREX k EXAT 1", counted(11, 1)],
    ["EXISTS k", int(0)],
    ["INCREX k PXAT 1", counted(1, 1)],
    ["EXISTS k", int(0)],
    ["SET k 10", OK],
    ["INCREX k BYFLOAT 0.5 PXAT 1", measured("10.5", "0.5")],
    ["EXISTS k", int(0)],
  ),
  ...answers(
    "INCREX options that are wrong together or twice",
    ["INCREX", fail("wrong number of arguments for 'increx' command")],
    ...[
      ...[
        "FOO",
        "BYINT 1 FOO",
        "BYINT",
        "LBOUND",
        "UBOUND",
        "BYFLOAT",
        "EX",
        "SAT LBOUND 0",
        "NX",
        "KEEPTTL",
      ],
      ...["BYINT 1 BYFLOAT 1.5", "BYFLOAT 1.5 BYINT 1", "EX 10 PX 5000", "EX 10 EXAT 9999999999"],
      ...["EX 10 PERSIST", "PERSIST EX 10", "PERSIST ENX", "ENX PERSIST", "BYINT 1 BYINT 2"],
      ...["BYFLOAT 1.0 BYFLOAT 2.0", "LBOUND 0 LBOUND 1", "UBOUND 9 UBOUND 8", "SATURATE SATURATE LBOUND 0"],
      ...["ENX ENX EX 10", "PERSIST PERSIST", "EX 10 EX 20", "PX 10 PX 20", "PXAT 9 PXAT 9"],
    ].map((options): Line => [`INCREX k ${options}`, SYNTAX]),
    ["EXISTS k", int(0)],
  ),
  ...answers(
    "INCREX refuses what is no number",
    ["INCREX k BYINT abc", fail("Increment is not an integer or out of range")],
    ["INCREX k BYINT 1.5", fail("Increment is not an integer or out of range")],
    ["INCREX k BYINT 9223372036854775808", fail("Increment is not an integer or out of range")],
    ["INCREX k BYFLOAT abc", fail("Increment is not a valid float")],
    ["INCREX k BYFLOAT nan", fail("Increment is not a valid float")],
    ["INCREX k LBOUND 1.5", fail("LBOUND is not an integer or out of range")],
    ["INCREX k UBOUND x", fail("UBOUND is not an integer or out of range")],
    ["INCREX k BYFLOAT 1 LBOUND x", fail("LBOUND is not a valid float")],
    ["INCREX k BYFLOAT 1 UBOUND x", fail("UBOUND is not a valid float")],
    ["INCREX k LBOUND 10 UBOUND 5", fail("LBOUND can't be greater than UBOUND")],
    [`INCREX k LBOUND ${MAX} UBOUND ${MIN}`, fail("LBOUND can't be greater than UBOUND")],
    ["INCREX k BYFLOAT 0.5 LBOUND 10.5 UBOUND 1.5", fail("LBOUND can't be greater than UBOUND")],
    ["INCREX k LBOUND 5 UBOUND 5 SATURATE", counted(5, 5)],
    ["INCREX k EX 0", fail("invalid expire time in 'increx' command")],
    ["INCREX k EX -1", fail("invalid expire time in 'increx' command")],
    ["INCREX k PX x", fail("value is not an integer or out of range")],
    ["SET k hello", OK],
    ["INCREX k", fail("value is not an integer or out of range")],
    ["INCREX k BYFLOAT 1.5", fail("value is not a valid float")],
    ["SET k 1.5", OK],
    ["INCREX k", fail("value is not an integer or out of range")],
  ),
  ...answers(
    "the scripts that INCREX replaces: a window and a stock",
    [`INCREX hits UBOUND 2 PXAT ${far} ENX`, counted(1, 1)],
    [`INCREX hits UBOUND 2 PXAT ${farther} ENX`, counted(2, 1)],
    [`INCREX hits UBOUND 2 PXAT ${farther} ENX`, counted(2, 0)],
    ["PEXPIRETIME hits", int(far)],
    ["SET stock 3", OK],
    ["INCREX stock BYINT -2 LBOUND 0", counted(1, -2)],
    ["INCREX stock BYINT -2 LBOUND 0", counted(1, 0)],
    ["INCREX stock BYINT -2 LBOUND 0 SATURATE", counted(0, -1)],
  ),
];

const throttleArguments = fail("CL.THROTTLE needs max_burst >= 0, count > 0, period > 0, quantity >= 0");
const notAnInteger = fail("value is not an integer or out of range");

const limiting: Case[] = [
  ...answers(
    "CL.THROTTLE gives a burst away and no more",
    // A token in 1000 seconds, so that none comes back while this runs.
    ["CL.THROTTLE k 2 1 1000", five(0, 3, 2, -1, 1000)],
    ["CL.THROTTLE k 2 1 1000 0", five(0, 3, 2, -1, 1000)],
    ["CL.THROTTLE k 2 1 1000 1", five(0, 3, 1, -1, 2000)],
    ["cl.throttle k 2 1 1000", five(0, 3, 0, -1, 3000)],
    ["CL.THROTTLE k 2 1 1000", five(1, 3, 0, 1000, 3000)],
    ["CL.THROTTLE k 2 1 1000 3", five(1, 3, 0, 3000, 3000)],
    ["CL.THROTTLE k 2 1 1000 4", five(1, 3, 0, -1, 3000)],
    ["CL.THROTTLE k 2 1 1000 0", five(0, 3, 0, -1, 3000)],
  ),
  ...answers(
    "CL.THROTTLE of an empty bucket",
    ["CL.THROTTLE k 0 1 1000 0", five(0, 1, 1, -1, 0)],
    ["CL.THROTTLE k 4 1 1000 6", five(1, 5, 5, -1, 0)],
    ["EXISTS k", int(0)],
    ["CL.THROTTLE k 4 1 1000 5", five(0, 5, 0, -1, 5000)],
    ["EXISTS k", int(1)],
    ["DEL k", int(1)],
    ["CL.THROTTLE k 0 1 1000", five(0, 1, 0, -1, 1000)],
    ["CL.THROTTLE k 0 1 1000", five(1, 1, 0, 1000, 1000)],
  ),
  ...answers(
    "CL.THROTTLE of intervals that are no whole microseconds",
    ["CL.THROTTLE k 2 3 1000", five(0, 3, 2, -1, 334)],
    ["CL.THROTTLE k 2 3 1000", five(0, 3, 1, -1, 667)],
    ["CL.THROTTLE k 2 3 1000", five(0, 3, 0, -1, 1000)],
    ["CL.THROTTLE k 2 3 1000", five(1, 3, 0, 334, 1000)],
  ),
  ...answers(
    "CL.THROTTLE refuses its arguments",
    ["CL.THROTTLE k 1 1", fail("wrong number of arguments for 'cl.throttle' command")],
    ["CL.THROTTLE k 1 1 1 1 1", fail("wrong number of arguments for 'cl.throttle' command")],
    ["CL.THROTTLE k -1 1 1", throttleArguments],
    ["CL.THROTTLE k 1 0 1", throttleArguments],
    ["CL.THROTTLE k 1 -5 1", throttleArguments],
    ["CL.THROTTLE k 1 1 0", throttleArguments],
    ["CL.THROTTLE k 1 1 1 -1", throttleArguments],
    [`CL.THROTTLE k ${MAX} 1 1`, throttleArguments],
    ["CL.THROTTLE k x 1 1", notAnInteger],
    ["CL.THROTTLE k 1 1.5 1", notAnInteger],
    ["CL.THROTTLE k 1 1 01", notAnInteger],
    ["CL.THROTTLE k 1 1 1 x", notAnInteger],
    ["SET k hello", OK],
    ["CL.THROTTLE k 1 1 1", notAnInteger],
    ["GET k", bulk("hello")],
  ),
];

const facts: Case[] = [
  [
    "msetex",
    "*10\r\n$6\r\nmsetex\r\n:-4\r\n*3\r\n+write\r\n+denyoom\r\n+movablekeys\r\n:0\r\n:0\r\n:0\r\n*3\r\n+@write\r\n+@string\r\n+@slow\r\n*2\r\n$26\r\nrequest_policy:multi_shard\r\n$29\r\nresponse_policy:all_succeeded\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+OW\r\n+update\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$6\r\nkeynum\r\n$4\r\nspec\r\n*6\r\n$9\r\nkeynumidx\r\n:0\r\n$8\r\nfirstkey\r\n:1\r\n$7\r\nkeystep\r\n:2\r\n*0\r\n",
  ],
  [
    "delifeq",
    "*10\r\n$7\r\ndelifeq\r\n:3\r\n*2\r\n+write\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@write\r\n+@string\r\n+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RM\r\n+delete\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n",
  ],
].flatMap(([name, entry]) =>
  answers(`COMMAND INFO ${name}`, [`COMMAND INFO ${name}`, `*1\r\n${entry}`]).slice(0, 1),
);

export const atomicCases: Case[] = [
  ...set,
  ...deleting,
  ...deadlines,
  ...several,
  ...counting,
  ...limiting,
  ...facts,
];
