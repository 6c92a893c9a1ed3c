// rdb-fixtures.ts: DUMP payloads for the tests of engine/rdb: what the oracles make of values of every type, size and
// setting, with what they say is in them; and the packed forms of older versions, built here byte by byte by code that
// shares nothing with the reader. Neighbours: harness.ts, tests/property/rdb.test.ts.
import type { Server } from "./harness.ts";
import { type Bytes, bytesOf, parseReply, type Reply, textOf } from "./resp.ts";

/** A value as plain data; texts are Latin-1. Everything but lists is sorted. */
export interface Content {
  type: string;
  /** A string or element, a field and its value and deadline, a member and its score. */
  rows: (string | number)[][];
}

export interface Fixture {
  name: string;
  /** Footer included. */
  payload: Bytes;
  content: Content;
}

async function items(server: Server, ...command: string[]): Promise<Reply[]> {
  const reply = parseReply(await server.ask(...command));
  if (reply.items === undefined) throw new Error(`${command.join(" ")}: ${reply.text}`);
  return reply.items;
}

function score(text: string): number {
  return /inf/.test(text) ? (text.startsWith("-") ? -Infinity : Infinity) : Number(text);
}

/** What the server says is in a key. */
export async function contentOf(server: Server, key: string, deadlines: boolean): Promise<Content> {
  const type = parseReply(await server.ask("TYPE", key)).text;
  const texts = async (...command: string[]) => (await items(server, ...command)).map(({ text }) => text);
  if (type === "string") return { type, rows: [[parseReply(await server.ask("GET", key)).text]] };
  if (type === "list") return { type, rows: (await texts("LRANGE", key, "0", "-1")).map((text) => [text]) };
  if (type === "set") return sorted({ type, rows: (await texts("SMEMBERS", key)).map((text) => [text]) });
  if (type === "zset") {
    const flat = await texts("ZRANGE", key, "0", "-1", "WITHSCORES");
    return sorted({ type, rows: pairs(flat).map(([member, text]) => [member, score(text)]) });
  }
  if (type !== "hash") throw new Error(`${key} is a ${type}`);
  const rows: (string | number)[][] = pairs(await texts("HGETALL", key)).map(([f, v]) => [f, v, 0]);
  if (deadlines && rows.length > 0) {
    const fields = rows.map(([field]) => field as string);
    const due = await items(server, "HPEXPIRETIME", key, "FIELDS", String(fields.length), ...fields);
    rows.forEach((row, i) => {
      row[2] = Math.max(0, Number(due[i].text));
    });
  }
  return sorted({ type, rows });
}

function pairs(flat: string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[i * 2], flat[i * 2 + 1]]);
}

/** The order of elements counts in lists only. */
export function sorted(content: Content): Content {
  if (content.type !== "list") content.rows.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return content;
}

/** Integers at the edge of every width of every form. */
export const integers = [
  ...["0", "1", "12", "13", "63", "64", "127", "128", "-1", "-128", "-129", "4095", "4096", "-4096", "-4097"],
  ...["8191", "-8192", "32767", "32768", "-32768", "-32769", "8388607", "8388608", "-8388608", "-8388609"],
  ...["2147483647", "2147483648", "-2147483648", "-2147483649", "9007199254740991", "9007199254740993"],
  ...["-9007199254740993", "9223372036854775807", "-9223372036854775808", "1000000000000000000"],
];

const noise = (bytes: number, salt = 1): string => {
  let text = "";
  for (let state = salt | 0; text.length < bytes; ) {
    state = Math.imul(state, 1664525) + 1013904223;
    text += String.fromCharCode((state >>> 16) & 255);
  }
  return text;
};

/** Texts at the edge of every length of every form; some of them compress. */
const texts = [
  ...["", "a", "01", "-0", "+1", "1.5", "9223372036854775808", noise(62), noise(63), noise(64), noise(126)],
  ...[
    noise(127),
    noise(128),
    noise(252),
    noise(253),
    noise(254),
    noise(255),
    "abc".repeat(40),
    "x".repeat(300),
  ],
];
const longTexts = [noise(4095), noise(4096), noise(16380), noise(16384), "long ".repeat(5000), noise(70_000)];

/** Every setting that decides on a form. "" leaves a server at its defaults. */
const settings: Record<string, Record<string, string>> = {
  "": {},
  "all packed": {
    "hash-max-listpack-entries": "10000",
    "hash-max-listpack-value": "100000",
    "zset-max-listpack-entries": "10000",
    "zset-max-listpack-value": "100000",
    "set-max-listpack-entries": "10000",
    "set-max-listpack-value": "100000",
    "list-max-listpack-size": "-5",
  },
  "none packed": {
    "hash-max-listpack-entries": "0",
    "zset-max-listpack-entries": "0",
    "set-max-listpack-entries": "0",
    "set-max-intset-entries": "0",
    "list-max-listpack-size": "1",
  },
  compressed: { "list-compress-depth": "1", "list-max-listpack-size": "-1" },
  "not compressed": { rdbcompression: "no" },
};

/** Values of every type, dumped by the server under every setting. */
export async function collect(server: Server, which: "7" | "8"): Promise<Fixture[]> {
  const found: Fixture[] = [];
  for (const [setting, table] of Object.entries(settings)) {
    const kept: [string, string][] = [];
    for (const [name, value] of Object.entries(table)) {
      const [, old] = await items(server, "CONFIG", "GET", name);
      if (old === undefined) continue; // 7.0 knows no packed sets
      kept.push([name, old.text]);
      await server.ask("CONFIG", "SET", name, value);
    }
    await server.ask("FLUSHALL");
    for (const [name, commands] of values(which)) {
      for (const command of commands) {
        const said = textOf(await server.ask(...command));
        if (said.startsWith("-")) throw new Error(`${command.slice(0, 3).join(" ")}: ${said}`);
      }
      const dump = await server.ask("DUMP", name);
      found.push({
        name: `redis ${which}, ${setting || "as it comes"}: ${name}`,
        payload: bytesOf(parseReply(dump).text),
        content: await contentOf(server, name, which === "8"),
      });
    }
    for (const [name, value] of kept) await server.ask("CONFIG", "SET", name, value);
  }
  return found;
}

function* values(which: "7" | "8"): Generator<[string, string[][]]> {
  const all = [...integers, ...texts, ...longTexts];
  const many = Array.from({ length: 700 }, (_, i) => `element ${i * 7919}`);
  for (const [i, text] of all.entries()) yield [`string ${i}`, [["SET", `string ${i}`, text]]];
  const elements = { integers, texts, all, many, one: ["a"], repeated: Array<string>(300).fill("again") };
  for (const [name, list] of Object.entries(elements)) {
    yield [`list of ${name}`, [["RPUSH", `list of ${name}`, ...list]]];
    yield [`set of ${name}`, [["SADD", `set of ${name}`, ...list]]];
    const distinct = [...new Set(list)];
    const fields = distinct.flatMap((field, i) => [field, all[(i * 31) % all.length]]);
    yield [`hash of ${name}`, [["HSET", `hash of ${name}`, ...fields]]];
    const scores = [
      "0",
      "-0",
      "1",
      "1.5",
      "-inf",
      "inf",
      "1e300",
      "5e-324",
      "0.1",
      "9007199254740993",
      "-77",
    ];
    const members = distinct.flatMap((member, i) => [scores[i % scores.length], member]);
    yield [`zset of ${name}`, [["ZADD", `zset of ${name}`, ...members]]];
    if (which !== "8") continue;
    const due = `due ${name}`;
    const some = distinct.filter((_, i) => i % 3 === 0);
    const later = distinct.filter((_, i) => i % 3 === 1);
    const commands = [
      ["HSET", due, ...fields],
      ["HPEXPIREAT", due, "70368744177663", "FIELDS", String(some.length), ...some],
    ];
    if (later.length > 0)
      commands.push(["HPEXPIREAT", due, "33333333333333", "FIELDS", String(later.length), ...later]);
    yield [due, commands];
  }
  for (const width of ["100", "100000", "10000000000"])
    yield [`intset ${width}`, [["SADD", `intset ${width}`, "-5", "0", "7", width, `-${width}`]]];
}

// Payloads by hand

const polynomial = 0x95ac9329ac4bc9b5n;

/** The checksum as its definition says it. */
export function slowCrc(bytes: Bytes): bigint {
  let crc = 0n;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1n) === 1n ? (crc >> 1n) ^ polynomial : crc >> 1n;
  }
  return crc;
}

/** Puts a footer behind a type byte and a value. */
export function seal(body: Bytes, version = 9): Bytes {
  const payload = Buffer.alloc(body.length + 10);
  payload.set(body);
  payload.writeUInt16LE(version, body.length);
  payload.writeBigUInt64LE(slowCrc(payload.subarray(0, body.length + 2)), body.length + 2);
  return payload;
}

export function join(...parts: (Bytes | number | string)[]): Bytes {
  return Buffer.concat(
    parts.map((part) =>
      typeof part === "number" ? Buffer.of(part) : typeof part === "string" ? bytesOf(part) : part,
    ),
  );
}

/** Little-endian bytes of an integer. */
export function little(value: bigint | number, width: number): Bytes {
  const bytes = Buffer.alloc(width);
  let rest = BigInt.asUintN(width * 8, BigInt(value));
  for (let i = 0; i < width; i++, rest >>= 8n) bytes[i] = Number(rest & 255n);
  return bytes;
}

function big(value: number, width: number): Bytes {
  return Buffer.from(little(value, width)).reverse();
}

/** A length, in the shortest form or one of `width` bytes: 1, 2, 5, 9. */
export function length(value: number, width = value < 64 ? 1 : value < 16384 ? 2 : 5): Bytes {
  if (width === 1) return Buffer.of(value);
  if (width === 2) return Buffer.of(0x40 | (value >> 8), value & 255);
  return join(width === 5 ? 0x80 : 0x81, big(value, width - 1));
}

export function text(bytes: Bytes | string): Bytes {
  return join(length(bytes.length), bytes);
}

/** [name, lowest, highest, code, width] of the integers of ziplists and listpacks. */
type Width = readonly [bigint, number, number];

function entryInteger(value: string, widths: readonly Width[]): Bytes {
  const number = BigInt(value);
  const [, code, width] = widths.find(([bound]) => number >= -bound && number < bound)!;
  return join(code, little(number, width));
}

const isInteger = (entry: string): boolean =>
  /^(0|-?[1-9]\d{0,18})$/.test(entry) && BigInt.asIntN(64, BigInt(entry)) === BigInt(entry);

const ziplistWidths: readonly Width[] = [
  [2n ** 7n, 0xfe, 1],
  [2n ** 15n, 0xc0, 2],
  [2n ** 23n, 0xf0, 3],
  [2n ** 31n, 0xd0, 4],
  [2n ** 63n, 0xe0, 8],
];

/** A ziplist as Redis up to 6.2 wrote it. `wide` writes every length of the entry before in five bytes. */
export function ziplist(entries: readonly string[], wide = false): Bytes {
  const parts: Bytes[] = [];
  let before = 0;
  let at = 10;
  let last = 10;
  for (const entry of entries) {
    const head = before < 254 && !wide ? Buffer.of(before) : join(254, little(before, 4));
    const small = isInteger(entry) && Number(entry) >= 0 && Number(entry) <= 12;
    const body = small
      ? Buffer.of(0xf1 + Number(entry))
      : isInteger(entry)
        ? entryInteger(entry, ziplistWidths)
        : entry.length < 64
          ? join(entry.length, entry)
          : entry.length < 16384
            ? join(0x40 | (entry.length >> 8), entry.length & 255, entry)
            : join(0x80, big(entry.length, 4), entry);
    parts.push(head, body);
    before = head.length + body.length;
    last = at;
    at += before;
  }
  return join(little(at + 1, 4), little(last, 4), little(entries.length, 2), ...parts, 255);
}

const listpackWidths: readonly Width[] = [
  [2n ** 15n, 0xf1, 2],
  [2n ** 23n, 0xf2, 3],
  [2n ** 31n, 0xf3, 4],
  [2n ** 63n, 0xf4, 8],
];

export function listpackEntry(entry: string): Bytes {
  const number = isInteger(entry) ? Number(entry) : Number.NaN;
  if (number >= 0 && number < 128) return Buffer.of(number);
  if (number >= -4096 && number < 4096) return Buffer.of(0xc0 | ((number >> 8) & 31), number & 255);
  if (!Number.isNaN(number)) return entryInteger(entry, listpackWidths);
  if (entry.length < 64) return join(0x80 | entry.length, entry);
  if (entry.length < 4096) return join(0xe0 | (entry.length >> 8), entry.length & 255, entry);
  return join(0xf0, little(entry.length, 4), entry);
}

export function backward(bytes: number): Bytes {
  const count = bytes <= 127 ? 1 : bytes < 16383 ? 2 : bytes < 2097151 ? 3 : 4;
  return Buffer.from(
    Array.from({ length: count }, (_, i) => ((bytes >> (7 * (count - 1 - i))) & 127) | (i === 0 ? 0 : 128)),
  );
}

export function listpack(entries: readonly string[], count = entries.length): Bytes {
  const parts = entries.flatMap((entry) => {
    const body = listpackEntry(entry);
    return [body, backward(body.length)];
  });
  const bytes = 7 + parts.reduce((sum, part) => sum + part.length, 0);
  return join(little(bytes, 4), little(count, 2), ...parts, 255);
}

export function intset(width: number, values: readonly (bigint | number)[]): Bytes {
  return join(little(width, 4), little(values.length, 4), ...values.map((value) => little(value, width)));
}

/** Key and value in turn; `free` bytes behind each value. */
export function zipmap(entries: readonly string[], free = 0): Bytes {
  const size = (entry: string): Bytes =>
    entry.length < 254 ? Buffer.of(entry.length) : join(254, little(entry.length, 4));
  const parts = entries.flatMap((entry, i) =>
    i % 2 === 0 ? [size(entry), entry] : [size(entry), free, entry, "f".repeat(free)],
  );
  return join(Math.min(entries.length / 2, 254), ...parts, 255);
}
