// debug.ts: DEBUG: what test suites need to look inside and to provoke. Refused unless enable-debug-command allows it.
//
// It walks and writes shards one at a time, under their locks (Scope.None). As in Redis a wrong number of arguments is
// an unknown subcommand. Cold. Neighbours: server-commands.ts has the row.
import { createHash } from "node:crypto";
import { debugSubcommand, Errors } from "../../protocol/errors.ts";
import { Key } from "../memory/key.ts";
import { Encoding, Type } from "../memory/record.ts";
import { need, Region } from "../memory/region.ts";
import { DATABASES, type Shard } from "../shard/shard.ts";
import { parseInteger, writeLatin1 } from "../types/integer.ts";
import type { Call } from "./call.ts";
import { encodingName, replyHelp } from "./keyspace.ts";

interface Subcommand {
  /** Fewest and most arguments, DEBUG and the name included. */
  readonly least: number;
  readonly most: number;
  readonly run: (call: Call) => void;
}

const ok = (call: Call): void => call.reply.ok();

const subcommands: Readonly<Record<string, Subcommand>> = {
  sleep: { least: 3, most: 3, run: sleep },
  "set-active-expire": { least: 3, most: 3, run: setActiveExpire },
  object: { least: 3, most: 4, run: object },
  protocol: { least: 3, most: 3, run: protocol },
  digest: { least: 2, most: 2, run: digest },
  "digest-value": { least: 2, most: Number.POSITIVE_INFINITY, run: digestValue },
  populate: { least: 3, most: 5, run: populate },
  error: { least: 3, most: 3, run: (call) => call.reply.error(call.text(2)) },
  help: { least: 2, most: 2, run: (call) => replyHelp(call, "DEBUG", help) },
  // Switches and marks of machinery that does not exist here: accepted, so that suites run.
  log: { least: 3, most: 3, run: ok },
  "pause-cron": { least: 3, most: 3, run: ok },
  "dict-resizing": { least: 3, most: 3, run: ok },
  replybuffer: { least: 4, most: 4, run: replyBuffer },
  "quicklist-packed-threshold": { least: 3, most: 3, run: ok },
  "set-skip-checksum-validation": { least: 3, most: 3, run: ok },
  "change-repl-id": { least: 2, most: 2, run: ok },
};

/** DEBUG subcommand [argument ...] */
export function debug(call: Call): void {
  const { reply, server, session } = call;
  if (!server.debugAllowed(session)) return reply.error(Errors.debugRefused);
  const name = call.text(1);
  const subcommand = Object.hasOwn(subcommands, name.toLowerCase())
    ? subcommands[name.toLowerCase()]
    : undefined;
  if (subcommand === undefined || call.argc < subcommand.least || call.argc > subcommand.most)
    return reply.error(debugSubcommand(name));
  subcommand.run(call);
}

/** DEBUG SLEEP seconds: what is no number is 0. */
function sleep(call: Call): void {
  const seconds = Number.parseFloat(call.text(2));
  if (seconds > 0) call.server.sleep(Math.min(seconds, 86400));
  call.reply.ok();
}

/** DEBUG SET-ACTIVE-EXPIRE <0 | 1> */
function setActiveExpire(call: Call): void {
  call.server.setActiveExpire((Number.parseInt(call.text(2), 10) || 0) !== 0);
  call.reply.ok();
}

/** DEBUG REPLYBUFFER <PEAK-RESET-TIME time | RESIZING 0 | 1> */
function replyBuffer(call: Call): void {
  if (call.is(2, "peak-reset-time") || call.is(2, "resizing")) return call.reply.ok();
  call.reply.error(debugSubcommand(call.text(1)));
}

/** Runs `look` with the record of argument `i` at its shard's cursor; false when there is no such key. */
function withRecord(call: Call, i: number, look: (shard: Shard, handle: number) => void): boolean {
  const shard = call.locate(i);
  shard.lock();
  try {
    const handle = shard.find(call.session.db, call.key);
    if (handle !== 0) look(shard, handle);
    return handle !== 0;
  } finally {
    shard.unlock();
  }
}

/** DEBUG OBJECT key [FAST] */
function object(call: Call): void {
  const { reply } = call;
  if (call.argc === 4 && !call.is(3, "fast")) return reply.error(debugSubcommand(call.text(1)));
  const found = withRecord(call, 2, (shard, handle) => {
    const clock = Math.floor(call.nowMs / 1000) % (1 << 24);
    reply.simple(
      `Value at:0x${handle.toString(16)} refcount:1 encoding:${encodingName(shard)} ` +
        `serializedlength:${serializedBytes(shard)} lru:${clock} lru_seconds_idle:0`,
    );
  });
  if (!found) reply.error(Errors.noSuchKey);
}

/** Bytes of the string at the cursor in a dump, uncompressed. */
function serializedBytes(shard: Shard): number {
  const bytes = shard.valueBytes();
  const value = bytes <= 11 ? parseInteger(shard.region.u8, shard.valueStart(), bytes) : Number.NaN;
  if (value >= -128 && value <= 127) return 2;
  if (value >= -32768 && value <= 32767) return 3;
  if (value >= -2147483648 && value <= 2147483647) return 5;
  return bytes + (bytes < 64 ? 1 : bytes < 16384 ? 2 : 5);
}

// Digests, as DEBUG DIGEST of Redis computes them: d starts as 20 zero bytes, X(d, p) = d xor SHA1(p) takes parts in
// any order, M(d, p) = SHA1(X(d, p)) takes them in theirs.

function sha1(bytes: Uint8Array): Uint8Array {
  return createHash("sha1").update(bytes).digest();
}

function xorPart(digest: Uint8Array, part: Uint8Array): void {
  const hash = sha1(part);
  for (let i = 0; i < 20; i++) digest[i] = digest[i]! ^ hash[i]!;
}

function mixPart(digest: Uint8Array, part: Uint8Array): void {
  xorPart(digest, part);
  digest.set(sha1(digest));
}

/** A number as 4 bytes, the highest first. */
function word(value: number): Uint8Array {
  return new Uint8Array([value >>> 24, value >>> 16, value >>> 8, value]);
}

const expires = new TextEncoder().encode("!!expire!!");

/** Mixes the value at the cursor into a digest. */
function mixValue(shard: Shard, digest: Uint8Array): void {
  if (shard.type() === Type.String) {
    const start = shard.valueStart();
    mixPart(digest, word(0));
    mixPart(digest, shard.region.u8.slice(start, start + shard.valueBytes()));
  }
  if (shard.deadline() !== 0) xorPart(digest, expires);
}

function hex(digest: Uint8Array): string {
  return Buffer.from(digest).toString("hex");
}

/** DEBUG DIGEST */
function digest(call: Call): void {
  const all = new Uint8Array(20);
  for (let db = 0; db < DATABASES; db++) {
    if (call.keyspace.keys(db) === 0) continue;
    mixPart(all, word(db));
    for (const shard of call.keyspace.shards) {
      shard.lock();
      try {
        const handles: number[] = [];
        shard.collect(db, handles);
        for (const handle of handles) {
          shard.open(handle);
          const key = new Uint8Array(20);
          mixPart(key, shard.region.u8.slice(shard.keyStart(), shard.keyStart() + shard.keyBytes()));
          mixValue(shard, key);
          xorPart(all, key);
        }
      } finally {
        shard.unlock();
      }
    }
  }
  call.reply.simple(hex(all));
}

/** DEBUG DIGEST-VALUE key [key ...] */
function digestValue(call: Call): void {
  const { reply } = call;
  reply.array(call.argc - 2);
  for (let i = 2; i < call.argc; i++) {
    const value = new Uint8Array(20);
    withRecord(call, i, (shard) => mixValue(shard, value));
    reply.simple(hex(value));
  }
}

/** Keys and values of POPULATE on their way into a shard; made on first use, grown when a value needs more. */
let scratch: Region | null = null;

/** DEBUG POPULATE count [prefix] [size]: keys that exist are left alone. */
function populate(call: Call): void {
  const { reply, keyspace, session } = call;
  const count = parseInteger(call.input.u8, call.start[2]!, call.length[2]!);
  if (!(count >= 0 && Number.isFinite(count))) return reply.error(Errors.notPositive);
  const prefix = call.argc > 3 ? call.text(3) : "key";
  const size = call.argc > 4 ? parseInteger(call.input.u8, call.start[4]!, call.length[4]!) : 0;
  if (!(size >= 0 && size <= 512 * (1 << 20))) return reply.error(Errors.notPositive);
  const valueAt = prefix.length + 32;
  const bytes = (valueAt + Math.max(size, 32) + 4095) & ~4095;
  if (scratch === null || scratch.bytes < bytes) scratch = need(Region.private(bytes), "DEBUG POPULATE");
  const region = scratch;
  const key = new Key(region);
  for (let i = 0; i < count; i++) {
    const keyBytes = writeLatin1(region.u8, 0, `${prefix}:${i}`);
    const valueBytes = writeLatin1(region.u8, valueAt, `value:${i}`);
    region.u8.fill(0, valueAt + valueBytes, valueAt + Math.max(size, valueBytes));
    key.set(region, 0, keyBytes);
    const shard = keyspace.shardOf(key.low);
    shard.lock();
    try {
      const stored =
        shard.find(session.db, key) !== 0 ||
        shard.setString(session.db, key, region, valueAt, size === 0 ? valueBytes : size, Encoding.Bytes, 0);
      if (!stored) return reply.error(Errors.outOfMemory);
    } finally {
      shard.unlock();
    }
  }
  reply.ok();
}

/** DEBUG PROTOCOL type: a value of each type of the protocol, most of which no command sends. */
function protocol(call: Call): void {
  const { reply } = call;
  const { resp3 } = reply;
  const digits = "1234567999999999999999999999999999999";
  switch (call.text(2).toLowerCase()) {
    case "string":
      return reply.text("Hello World");
    case "integer":
      return reply.integer(12345);
    case "double":
      return resp3 ? raw(call, ",3.141\r\n") : reply.text("3.141");
    case "null":
      return reply.nil();
    case "array":
      return raw(call, "*3\r\n:0\r\n:1\r\n:2\r\n");
    case "set":
      return raw(call, `${resp3 ? "~" : "*"}3\r\n:0\r\n:1\r\n:2\r\n`);
    case "map":
      if (resp3) return raw(call, "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n");
      return raw(call, "*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n");
    case "attrib":
      if (resp3) raw(call, "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n");
      return reply.text("Some real reply following the attribute");
    case "push":
      if (!resp3) return reply.error(Errors.resp3Only);
      raw(call, ">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n");
      return reply.text("Some real reply following the push reply");
    case "verbatim":
      return reply.verbatim("This is a verbatim\nstring");
    case "bignum":
      return resp3 ? raw(call, `(${digits}\r\n`) : reply.text(digits);
    case "true":
      return resp3 ? raw(call, "#t\r\n") : reply.integer(1);
    case "false":
      return resp3 ? raw(call, "#f\r\n") : reply.integer(0);
    default:
      reply.error(Errors.protocolType);
  }
}

/** Puts bytes into the reply as they are. */
function raw(call: Call, text: string): void {
  const { reply } = call;
  if (!reply.room(text.length)) return;
  reply.at += writeLatin1(reply.u8, reply.at, text);
}

const help = [
  "CHANGE-REPL-ID",
  "    Accepted without effect.",
  "DICT-RESIZING <0|1>",
  "    Accepted without effect.",
  "DIGEST",
  "    Output a hex signature representing the current content of all databases.",
  "DIGEST-VALUE <key> [<key> ...]",
  "    Output a hex signature of the values of all the specified keys.",
  "ERROR <string>",
  "    Return a protocol error with <string> as message. Useful for clients' tests.",
  "LOG <message>",
  "    Accepted without effect.",
  "OBJECT <key> [FAST]",
  "    Show low level info about `key` and associated value.",
  "PAUSE-CRON <0|1>",
  "    Accepted without effect.",
  "POPULATE <count> [<prefix>] [<size>]",
  "    Create <count> string keys named key:<num>. If <prefix> is specified then",
  "    it is used instead of the 'key' prefix.",
  "PROTOCOL <type>",
  "    Reply with a test value of the specified type. <type> can be: string,",
  "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
  "    true, false.",
  "QUICKLIST-PACKED-THRESHOLD <size>",
  "    Accepted without effect.",
  "REPLYBUFFER <PEAK-RESET-TIME|RESIZING> <value>",
  "    Accepted without effect.",
  "SET-ACTIVE-EXPIRE <0|1>",
  "    Setting it to 0 disables expiring keys in background when they are not",
  "    accessed. Setting it to 1 reenables it.",
  "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
  "    Accepted without effect.",
  "SLEEP <seconds>",
  "    Stop the server for <seconds>. Decimals allowed.",
];
