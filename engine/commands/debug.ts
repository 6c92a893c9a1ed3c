// debug.ts: DEBUG: what test suites need to look inside and to provoke. Refused unless enable-debug-command allows it.
//
// It walks and writes shards one at a time, under their locks (Scope.Each). As in Redis a wrong number of arguments is
// an unknown subcommand. Cold. Neighbours: server-commands.ts has the row; digest.ts computes DIGEST and DIGEST-VALUE.
import { Errors, subcommandOrArity } from "../../protocol/errors.ts";
import { Key } from "../memory/key.ts";
import { Encoding, hasPages, RecordLimit, Type } from "../memory/record.ts";
import { need, Region } from "../memory/region.ts";
import { Event } from "../shard/events.ts";
import type { Place } from "../shard/place.ts";
import { ChunkList } from "../types/chunk-list.ts";
import { globMatch } from "../types/glob.ts";
import { parseInteger, writeLatin1 } from "../types/integer.ts";
import { limits } from "../types/limits.ts";
import { Table, TableKind } from "../types/table.ts";
import type { Call } from "./call.ts";
import { digest, digestValue } from "./digest.ts";
import { serializedBytes, skipChecksum } from "./dump.ts";
import { databases, encodingName, replyHelp } from "./keyspace.ts";

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
  listpack: { least: 3, most: 3, run: listpack },
  quicklist: { least: 3, most: 4, run: quicklist },
  htstats: { least: 3, most: 3, run: tableStats },
  "htstats-key": { least: 3, most: 3, run: keyTableStats },
  sdslen: { least: 3, most: 3, run: sdsLength },
  structsize: { least: 2, most: 2, run: structSize },
  "stringmatch-test": { least: 2, most: 2, run: matchTest },
  "quicklist-packed-threshold": { least: 3, most: 3, run: packedThreshold },
  "set-skip-checksum-validation": { least: 3, most: 3, run: setSkipChecksum },
  populate: { least: 3, most: 5, run: populate },
  error: { least: 3, most: 3, run: (call) => call.reply.error(call.text(2)) },
  help: { least: 2, most: 2, run: (call) => replyHelp(call, "DEBUG", help) },
  // Switches and marks of machinery that does not exist here: accepted, so that suites run.
  log: { least: 3, most: 3, run: ok },
  "pause-cron": { least: 3, most: 3, run: ok },
  "dict-resizing": { least: 3, most: 3, run: ok },
  replybuffer: { least: 4, most: 4, run: replyBuffer },
  "change-repl-id": { least: 2, most: 2, run: ok },
  "config-rewrite-force-all": { least: 2, most: 2, run: ok },
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
    return reply.error(subcommandOrArity(name, "DEBUG"));
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
  if (call.is(2, "resizing")) return call.reply.ok();
  if (call.is(2, "peak-reset-time")) {
    const time = parseInteger(call.input.u8, call.start[3]!, call.length[3]!);
    if (!Number.isNaN(time) || call.is(3, "never") || call.is(3, "reset")) return call.reply.ok();
    return call.reply.error(Errors.notAnInteger);
  }
  call.reply.error(subcommandOrArity(call.text(1), "DEBUG"));
}

/** DEBUG SET-SKIP-CHECKSUM-VALIDATION <0 | 1>: for the connection that asks. */
function setSkipChecksum(call: Call): void {
  skipChecksum(call.session, (Number.parseInt(call.text(2), 10) || 0) !== 0);
  call.reply.ok();
}

/** DEBUG QUICKLIST-PACKED-THRESHOLD size: only checked. */
function packedThreshold(call: Call): void {
  const size = /^(\d+)(b|kb?|mb?|gb?)?$/i.exec(call.text(2));
  const unit = (size?.[2] ?? "b").toLowerCase();
  const base = unit.length === 2 ? 1024 : 1000;
  const bytes = Number(size?.[1]) * base ** "bkmg".indexOf(unit[0]!);
  if (bytes <= 2 ** 32 - 2 ** 20) call.reply.ok();
  else call.reply.error(Errors.packedThreshold);
}

/** Runs `look` with the key of argument 2 at a place, or replies that there is none. */
function withKey(call: Call, look: (place: Place) => void): void {
  const shard = call.locate(2);
  shard.lock();
  try {
    if (call.findPlace(2, call.place)) look(call.place);
    else call.reply.error(Errors.noSuchKey);
  } finally {
    shard.unlock();
  }
}

const chunks = new ChunkList();
/** Of any kind: the count stands at one place. */
const table = new Table(TableKind.Set);

/** DEBUG OBJECT key [FAST] */
function object(call: Call): void {
  const { reply } = call;
  if (call.argc === 4 && !call.is(3, "fast")) return reply.error(subcommandOrArity(call.text(1), "DEBUG"));
  withKey(call, (place) => {
    const clock = Math.floor(call.nowMs / 1000) % (1 << 24);
    const encoding = encodingName(call.shard);
    let text =
      `Value at:0x${place.handle.toString(16)} refcount:1 encoding:${encoding} ` +
      `serializedlength:${serializedBytes(place, call.nowMs)} lru:${clock} lru_seconds_idle:0`;
    if (encoding === "quicklist") {
      chunks.open(place);
      const { count, listpackBytes } = chunks;
      const { listSize } = limits;
      // Nodes as Redis fills them: how many pages there are is nobody else's business.
      const nodes = Math.ceil(listSize > 0 ? count / listSize : listpackBytes / (2048 << -listSize));
      text +=
        ` ql_nodes:${nodes} ql_avg_node:${(count / nodes).toFixed(2)}` +
        ` ql_listpack_max:${listSize} ql_compressed:0 ql_uncompressed_size:${listpackBytes}`;
    }
    reply.simple(text);
  });
}

/** DEBUG LISTPACK key */
function listpack(call: Call): void {
  const { reply } = call;
  withKey(call, () => {
    if (!encodingName(call.shard).startsWith("listpack")) reply.error(Errors.notListpack);
    else reply.simple("Listpack structure printed on stdout");
  });
}

/** DEBUG QUICKLIST key [0 | 1] */
function quicklist(call: Call): void {
  const { reply } = call;
  withKey(call, () => {
    if (encodingName(call.shard) !== "quicklist") reply.error(Errors.notQuicklist);
    else reply.simple("Quicklist structure printed on stdout");
  });
}

/** What HTSTATS says of a table. */
function tableText(elements: number): string {
  const head = "Hash table 0 stats (main hash table):\n";
  return elements === 0
    ? `${head}No stats available for empty dictionaries\n`
    : `${head} number of elements: ${elements}\n`;
}

/** DEBUG HTSTATS db */
function tableStats(call: Call): void {
  const { reply, input, start, length, keyspace } = call;
  const db = parseInteger(input.u8, start[2]!, length[2]!);
  if (Number.isNaN(db)) return reply.error(Errors.notAnInteger);
  if (db < 0 || db >= databases(call)) return reply.error(Errors.debugDatabase);
  reply.verbatim(
    `[Dictionary HT]\n${tableText(keyspace.keys(db))}[Expires HT]\n${tableText(keyspace.deadlines(db))}`,
  );
}

/** DEBUG HTSTATS-KEY key */
function keyTableStats(call: Call): void {
  const { reply } = call;
  withKey(call, (place) => {
    if (place.type === Type.String || place.type === Type.List || !hasPages(place.type, place.form))
      return reply.error(Errors.notHashTable);
    table.open(place);
    reply.verbatim(tableText(table.count));
  });
}

/** DEBUG SDSLEN key */
function sdsLength(call: Call): void {
  const { reply } = call;
  withKey(call, (place) => {
    if (place.type !== Type.String || place.form === Encoding.Integer) return reply.error(Errors.notSds);
    const { key, valueBytes } = place;
    const slot = place.allocator.slotBytes(place.handle);
    const spare = place.shard.at + slot - place.valueStart - valueBytes;
    reply.simple(
      `key_sds_len:${key.bytes}, key_sds_avail:0, key_zmalloc: ${key.bytes}, ` +
        `val_sds_len:${valueBytes}, val_sds_avail:${spare}, val_zmalloc: ${slot}`,
    );
  });
}

const enum Fuzz {
  Runs = 20_000,
  Bytes = 16,
}

/** DEBUG STRINGMATCH-TEST: globs and texts of a few letters that mean something; it must come back. */
function matchTest(call: Call): void {
  const letters = new TextEncoder().encode("*?[]^-\\a\xff");
  const pattern = new Uint8Array(Fuzz.Bytes);
  const text = new Uint8Array(Fuzz.Bytes);
  let state = 1;
  const draw = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (let run = 0; run < Fuzz.Runs; run++) {
    for (let i = 0; i < Fuzz.Bytes; i++) {
      pattern[i] = letters[draw(letters.length)]!;
      text[i] = letters[draw(letters.length)]!;
    }
    globMatch(pattern, 0, draw(Fuzz.Bytes + 1), text, 0, draw(Fuzz.Bytes + 1));
  }
  call.reply.simple("Apparently Redis did not crash: test passed");
}

/** DEBUG STRUCTSIZE: in the names of Redis; a key's record has a header, and no string one of its own. */
function structSize(call: Call): void {
  call.reply.text(
    `bits:64 robj:${RecordLimit.HeaderBytes} dictentry:8 ` +
      "sdshdr5:0 sdshdr8:0 sdshdr16:0 sdshdr32:0 sdshdr64:0 ",
  );
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
      if (shard.find(session.db, key) !== 0) continue;
      const stored = size === 0 ? valueBytes : size;
      if (!shard.setString(session.db, key, region, valueAt, stored, Encoding.Bytes, 0))
        return reply.error(Errors.outOfMemory);
      shard.notify(Event.Silent, session.db, key);
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
  "CONFIG-REWRITE-FORCE-ALL",
  "    Accepted without effect.",
  "ERROR <string>",
  "    Return a protocol error with <string> as message. Useful for clients' tests.",
  "HTSTATS <dbid>",
  "    Return how many keys and deadlines a database has.",
  "HTSTATS-KEY <key>",
  "    Return how many elements the hash table at a key has.",
  "LISTPACK <key>",
  "    Say whether the value is encoded as a listpack.",
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
  "QUICKLIST <key> [<0|1>]",
  "    Say whether the value is encoded as a quicklist.",
  "QUICKLIST-PACKED-THRESHOLD <size>",
  "    Accepted without effect.",
  "REPLYBUFFER <PEAK-RESET-TIME|RESIZING> <value>",
  "    Accepted without effect.",
  "SDSLEN <key>",
  "    Show the lengths of a key and its string, and the room they have.",
  "SET-ACTIVE-EXPIRE <0|1>",
  "    Setting it to 0 disables expiring keys in background when they are not",
  "    accessed. Setting it to 1 reenables it.",
  "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
  "    Whether this connection's RESTORE looks at checksums.",
  "SLEEP <seconds>",
  "    Stop the server for <seconds>. Decimals allowed.",
  "STRINGMATCH-TEST",
  "    Run a fuzz tester against the matching of globs.",
  "STRUCTSIZE",
  "    Return the size of different structures.",
];
