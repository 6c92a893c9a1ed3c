// keyspace.ts: the commands about keys whatever they hold: deleting, naming, copying, walking, OBJECT, databases.
//
// A record may move at any write, so a handler that writes between two looks finds its record again.
// A SCAN cursor is where the next page begins in hash order, as shard, path and position (shard.ts, key-index.ts):
//   cursor = shard * 2^35 + path * 2^12 + position, below 2^45. Path 0 begins a shard. 0 begins and ends the scan:
//   shard 0 is entered only by it, so no page in between has that number.
// On the data path: DEL, UNLINK, EXISTS, TOUCH and TYPE allocate nothing. KEYS and SCAN allocate handles.
import { Flag, type KeySpec, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors, unknownTypeName } from "../../protocol/errors.ts";
import { Encoding, Form, Type } from "../memory/record.ts";
import { equalBytes } from "../memory/region.ts";
import { Event } from "../shard/events.ts";
import { DATABASES, type Shard } from "../shard/shard.ts";
import { globMatch } from "../types/glob.ts";
import { parseInteger } from "../types/integer.ts";
import type { Call, Row } from "./call.ts";
import { finishPage, isStar, page, pageTakes, readCursor, readPageOptions } from "./paging.ts";

const PATH_UNIT = 4096;
const SHARD_UNIT = 2 ** 35;

const enum ScanLimit {
  /** Steps a page takes at least before it may come back short. */
  Steps = 128,
}

/** DEL key [key ...] */
function del(call: Call): void {
  const { db } = call.session;
  let deleted = 0;
  for (let i = 1; i < call.argc; i++) {
    if (!call.locate(i).remove(db, call.key)) continue;
    call.notify(Event.Del);
    deleted++;
  }
  call.reply.integer(deleted);
}

/** EXISTS key [key ...] */
function exists(call: Call): void {
  let found = 0;
  for (let i = 1; i < call.argc; i++) if (call.lookRead(i) !== 0) found++;
  call.reply.integer(found);
}

/** TOUCH key [key ...] */
function touch(call: Call): void {
  let found = 0;
  for (let i = 1; i < call.argc; i++) if (call.touchRead(i, true) !== 0) found++;
  call.reply.integer(found);
}

/** TYPE key */
function type(call: Call): void {
  call.reply.simple(call.lookRead(1) === 0 ? "none" : typeName(call.shard.type()));
}

function typeName(type: number): string {
  switch (type) {
    case Type.String:
      return "string";
    case Type.List:
      return "list";
    case Type.Set:
      return "set";
    case Type.SortedSet:
      return "zset";
    case Type.Hash:
      return "hash";
    default:
      return "none";
  }
}

/** RENAME key newkey */
function rename(call: Call): void {
  if (moveName(call, false) === 1) call.reply.ok();
}

/** RENAMENX key newkey */
function renamenx(call: Call): void {
  const moved = moveName(call, true);
  if (moved >= 0) call.reply.integer(moved);
}

/** Gives the record of argument 1 the name of argument 2. 1 when done, 0 when `onlyNew` forbade it, -1 when an error
 *  was replied. */
function moveName(call: Call, onlyNew: boolean): number {
  const { reply, session } = call;
  if (call.look(1) === 0) {
    reply.error(Errors.noSuchKey);
    return -1;
  }
  if (sameKey(call)) return onlyNew ? 0 : 1;
  const there = call.look(2) !== 0;
  if (onlyNew && there) return 0;
  const handle = call.look(1);
  const source = call.shard;
  const target = call.locate(2);
  if (!target.adopt(session.db, call.key, source, handle, true)) {
    reply.error(Errors.outOfMemory);
    return -1;
  }
  // What had the name is deleted first, to Redis, without a word.
  if (there) call.notify(Event.New);
  call.locate(1).release(session.db, call.key, source !== target);
  call.notify(Event.RenameFrom);
  call.locate(2);
  call.notify(Event.RenameTo);
  return 1;
}

/** Whether arguments 1 and 2 are the same bytes. */
function sameKey(call: Call): boolean {
  const { input, start, length } = call;
  return length[1] === length[2] && equalBytes(input, start[1]!, input, start[2]!, length[1]!);
}

/** COPY source destination [DB index] [REPLACE] */
function copy(call: Call): void {
  const { reply, session } = call;
  let db = session.db;
  let replace = false;
  for (let i = 3; i < call.argc; i++) {
    if (call.is(i, "replace")) replace = true;
    else if (call.is(i, "db") && i + 1 < call.argc) {
      db = readDatabase(call, ++i);
      if (db < 0) return;
    } else return reply.error(Errors.syntax);
  }
  if (db === session.db && sameKey(call)) return reply.error(Errors.sameObject);
  if (call.touchRead(1) === 0) return reply.integer(0);
  const there = call.locate(2).look(db, call.key) !== 0;
  if (there && !replace) return reply.integer(0);
  const handle = call.look(1);
  const source = call.shard;
  const target = call.locate(2);
  if (!target.adopt(db, call.key, source, handle, false)) return reply.error(Errors.outOfMemory);
  if (there) target.notify(Event.New, db, call.key);
  target.notify(Event.CopyTo, db, call.key);
  reply.integer(1);
}

/** MOVE key db */
function move(call: Call): void {
  const { reply, session } = call;
  const db = readDatabase(call, 2);
  if (db < 0) return;
  if (db === session.db) return reply.error(Errors.sameObject);
  if (call.look(1) === 0) return reply.integer(0);
  const { shard, key } = call;
  if (shard.look(db, key) !== 0) return reply.integer(0);
  const handle = shard.look(session.db, key);
  if (!shard.adopt(db, key, shard, handle, true)) return reply.error(Errors.outOfMemory);
  shard.release(session.db, key, false);
  shard.notify(Event.MoveFrom, session.db, key);
  shard.notify(Event.MoveTo, db, key);
  reply.integer(1);
}

/** How many databases clients may select. */
export function databases(call: Call): number {
  return Math.min(DATABASES, Number(call.server.setting("databases") ?? DATABASES));
}

/** The database that argument `i` names; -1 when an error was replied. */
export function readDatabase(call: Call, i: number): number {
  const db = parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
  if (Number.isNaN(db)) call.reply.error(Errors.notAnInteger);
  else if (db !== (db | 0)) call.reply.error(Errors.intOutOfRange);
  else if (db >= 0 && db < databases(call)) return db;
  else call.reply.error(Errors.dbOutOfRange);
  return -1;
}

/** SWAPDB index1 index2 */
function swapdb(call: Call): void {
  const { reply, input, start, length } = call;
  const first = parseInteger(input.u8, start[1]!, length[1]!);
  if (first !== (first | 0)) return reply.error(Errors.invalidFirstDb);
  const second = parseInteger(input.u8, start[2]!, length[2]!);
  if (second !== (second | 0)) return reply.error(Errors.invalidSecondDb);
  const limit = databases(call);
  if (first < 0 || first >= limit || second < 0 || second >= limit) return reply.error(Errors.dbOutOfRange);
  if (first !== second) {
    call.hub.swapping(first, second);
    for (const shard of call.keyspace.shards) shard.swap(first, second);
    call.hub.swapped(first, second);
  }
  reply.ok();
}

/** DBSIZE */
function dbsize(call: Call): void {
  call.reply.integer(call.keyspace.keys(call.session.db));
}

/** FLUSHDB [ASYNC | SYNC]: both forms empty it before the reply. */
function flushdb(call: Call): void {
  if (!flushOptions(call)) return;
  call.hub.flushing(call.session.db);
  for (const shard of call.keyspace.shards) shard.flush(call.session.db);
  call.reply.ok();
}

/** FLUSHALL [ASYNC | SYNC] */
function flushall(call: Call): void {
  if (!flushOptions(call)) return;
  call.hub.flushing(-1);
  for (const shard of call.keyspace.shards) shard.flushAll();
  call.reply.ok();
}

function flushOptions(call: Call): boolean {
  if (call.argc === 1) return true;
  if (call.argc === 2 && (call.is(1, "async") || call.is(1, "sync"))) return true;
  call.reply.error(Errors.syntax);
  return false;
}

/** RANDOMKEY */
function randomkey(call: Call): void {
  const { reply, keyspace, session } = call;
  const { shards } = keyspace;
  let skip = Math.floor(Math.random() * keyspace.keys(session.db));
  let first = 0;
  while (first < shards.length - 1 && skip >= shards[first]!.keys(session.db))
    skip -= shards[first++]!.keys(session.db);
  // A shard may hold nothing but keys past their deadline: then the next one.
  for (let i = 0; i < shards.length; i++) {
    const shard = shards[(first + i) % shards.length]!;
    if (shard.draw(session.db, Math.random) !== 0)
      return reply.bulk(shard.region, shard.keyStart(), shard.keyBytes());
  }
  reply.nil();
}

/** KEYS pattern */
function keys(call: Call): void {
  const { reply, keyspace, session } = call;
  const all = isStar(call, 1);
  const found = keyspace.shards.map((shard) => {
    const handles: number[] = [];
    shard.collect(session.db, handles);
    return all ? handles : handles.filter((handle) => keyMatches(call, 1, shard, handle));
  });
  reply.array(found.reduce((sum, handles) => sum + handles.length, 0));
  for (const [number, shard] of keyspace.shards.entries())
    for (const handle of found[number]!) {
      shard.open(handle);
      reply.bulk(shard.region, shard.keyStart(), shard.keyBytes());
    }
}

/** Whether the key of a record, at which the shard's cursor is left, matches the pattern in argument `i`. */
function keyMatches(call: Call, i: number, shard: Shard, handle: number): boolean {
  shard.open(handle);
  const { start, length, input } = call;
  return globMatch(input.u8, start[i]!, length[i]!, shard.region.u8, shard.keyStart(), shard.keyBytes());
}

/** SCAN cursor [MATCH pattern] [COUNT count] [TYPE type] */
function scan(call: Call): void {
  const { reply } = call;
  const cursor = readCursor(call, 1);
  if (cursor < 0) return reply.error(Errors.invalidCursor);
  if (!readPageOptions(call, 2, true, "")) return;
  const type = page.type === 0 ? 0 : readType(call, page.type);
  if (page.type !== 0 && type === 0) return reply.error(unknownTypeName(call.text(page.type)));
  scanPage(call, cursor, type);
}

/** The type that argument `i` names, 0 for no type. Streams are a type that no key has. */
function readType(call: Call, i: number): number {
  if (call.is(i, "string")) return Type.String;
  if (call.is(i, "list")) return Type.List;
  if (call.is(i, "set")) return Type.Set;
  if (call.is(i, "zset")) return Type.SortedSet;
  if (call.is(i, "hash")) return Type.Hash;
  return call.is(i, "stream") ? 15 : 0;
}

/** Replies with a page of keys of `type` (0 for any), and the cursor after it. Takes one shard's lock at a
 *  time, for some 10 * `wanted` steps at most in all. */
function scanPage(call: Call, cursor: number, type: number): void {
  const { reply } = call;
  const { wanted } = page;
  const { shards } = call.keyspace;
  const { db } = call.session;
  const handles: number[] = [];
  let number = Math.floor(cursor / SHARD_UNIT);
  let path = Math.floor(cursor / PATH_UNIT) % (SHARD_UNIT / PATH_UNIT);
  let position = cursor % PATH_UNIT;
  let steps = Math.max(ScanLimit.Steps, wanted * 10);
  let picked = 0;
  let count = 0;
  // Keys are written while their shard is locked, the header when their number is known: it is then put in front.
  const start = reply.at;
  while (number < shards.length && picked < wanted && steps > 0) {
    const shard = shards[number]!;
    shard.lock();
    try {
      do {
        handles.length = 0;
        position = shard.scan(db, path, position, handles);
        path = shard.scanPath;
        picked += handles.length;
        for (const handle of handles) {
          shard.open(handle);
          if (type !== 0 && shard.type() !== type) continue;
          if (!pageTakes(call, shard.region, shard.keyStart(), shard.keyBytes())) continue;
          reply.bulk(shard.region, shard.keyStart(), shard.keyBytes());
          count++;
        }
      } while (path !== 0 && picked < wanted && --steps > 0);
    } finally {
      shard.unlock();
    }
    if (path !== 0) break;
    number++;
    position = 0;
  }
  const next = number < shards.length ? number * SHARD_UNIT + path * PATH_UNIT + position : 0;
  finishPage(call, start, next, count);
}

/** Finds argument 2 for OBJECT: counted as a read, but that there is no such key is not told. */
function findObject(call: Call): boolean {
  const found = call.look(2) !== 0;
  if (found) call.hits++;
  else call.misses++;
  return found;
}

/** OBJECT ENCODING key */
function objectEncoding(call: Call): void {
  if (!findObject(call)) return call.reply.nil();
  call.reply.text(encodingName(call.shard));
}

/** What OBJECT ENCODING calls the form of the record at the shard's cursor. */
export function encodingName(shard: Shard): string {
  const form = shard.type() === Type.String ? shard.stringEncoding() : shard.encoding();
  switch (shard.type()) {
    case Type.List:
      return form === Form.Packed ? "listpack" : "quicklist";
    case Type.Set:
      return form === Form.Integers ? "intset" : form === Form.Packed ? "listpack" : "hashtable";
    case Type.SortedSet:
      return form === Form.Packed ? "listpack" : "skiplist";
    case Type.Hash:
      if (form === Form.PackedDeadlines) return "listpackex";
      return form === Form.Packed ? "listpack" : "hashtable";
  }
  if (form === Encoding.Integer) return "int";
  return form === Encoding.Bytes && shard.stringBytes() <= 44 ? "embstr" : "raw";
}

/** OBJECT REFCOUNT key: nothing is shared. */
function objectRefcount(call: Call): void {
  if (!findObject(call)) return call.reply.nil();
  call.reply.integer(1);
}

/** OBJECT IDLETIME key: at least as long it was not asked for. */
function objectIdletime(call: Call): void {
  if (!findObject(call)) return call.reply.nil();
  if (call.shard.eviction.byFrequency) return call.reply.error(Errors.noIdleTime);
  call.reply.integer(Math.floor(call.shard.eviction.idleMs / 1000));
}

/** OBJECT FREQ key */
function objectFreq(call: Call): void {
  if (!findObject(call)) return call.reply.nil();
  if (!call.shard.eviction.byFrequency) return call.reply.error(Errors.noFrequency);
  call.reply.integer(call.shard.eviction.frequency);
}

const objectHelp = [
  "ENCODING <key>",
  "    Return the kind of internal representation used in order to store the value",
  "    associated with a <key>.",
  "FREQ <key>",
  "    Return the access frequency index of the <key>. The returned integer is",
  "    proportional to the logarithm of the recent access frequency of the key.",
  "IDLETIME <key>",
  "    Return the idle time of the <key>, that is the approximated number of",
  "    seconds elapsed since the last access to the key.",
  "REFCOUNT <key>",
  "    Return the number of references of the value associated with the specified",
  "    <key>.",
];

/** A container's HELP: its lines between the sentence all begin with and HELP's own two. */
export function replyHelp(call: Call, container: string, lines: readonly string[]): void {
  const { reply } = call;
  reply.array(lines.length + 3);
  reply.simple(`${container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`);
  for (const line of lines) reply.simple(line);
  reply.simple("HELP");
  reply.simple("    Prints this help.");
}

function spec(first: number, last: number, ...flags: string[]): KeySpec {
  return { first, last, step: 1, flags };
}

const everyKey = (...flags: string[]) => [spec(1, -1, ...flags)];

const keyed = { scope: Scope.Keys, tier: Tier.Core, group: "generic" } as const;
const whole = { keys: [], scope: Scope.All, tier: Tier.Core } as const;

const objectReader = {
  ...keyed,
  arity: 3,
  flags: Flag.ReadOnly,
  keys: [spec(2, 0, "RO")],
  acl: ["keyspace", "read", "slow"],
  complexity: "O(1)",
  syntax: "key",
} as const;

export const keyspaceCommands: readonly Row[] = [
  {
    ...keyed,
    name: "del",
    arity: -2,
    flags: Flag.Write,
    keys: everyKey("RM", "delete"),
    acl: ["keyspace", "write", "slow"],
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys given.",
    summary: "Deletes keys and returns how many there were.",
    syntax: "key [key ...]",
    handler: del,
  },
  {
    ...keyed,
    name: "unlink",
    arity: -2,
    flags: Flag.Write | Flag.Fast,
    keys: everyKey("RM", "delete"),
    acl: ["keyspace", "write", "fast"],
    since: "4.0.0",
    complexity: "O(N) where N is the number of keys given.",
    summary: "Deletes keys as DEL does, without waiting for large values to be freed.",
    syntax: "key [key ...]",
    handler: del,
  },
  {
    ...keyed,
    name: "exists",
    arity: -2,
    flags: Flag.ReadOnly | Flag.Fast,
    keys: everyKey("RO"),
    acl: ["keyspace", "read", "fast"],
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys given.",
    summary: "Returns how many of the keys exist, counting repeats.",
    syntax: "key [key ...]",
    handler: exists,
  },
  {
    ...keyed,
    name: "type",
    arity: 2,
    flags: Flag.ReadOnly | Flag.Fast,
    keys: [spec(1, 0, "RO")],
    acl: ["keyspace", "read", "fast"],
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Returns the type of the value at a key.",
    syntax: "key",
    optimistic: true,
    handler: type,
  },
  {
    ...keyed,
    name: "touch",
    arity: -2,
    flags: Flag.ReadOnly | Flag.Fast,
    keys: everyKey("RO"),
    acl: ["keyspace", "read", "fast"],
    since: "3.2.1",
    complexity: "O(N) where N is the number of keys given.",
    summary: "Marks keys as just used and returns how many exist.",
    syntax: "key [key ...]",
    handler: touch,
  },
  {
    ...keyed,
    name: "rename",
    arity: 3,
    flags: Flag.Write,
    keys: [spec(1, 0, "RW", "access", "delete"), spec(2, 0, "OW", "update")],
    acl: ["keyspace", "write", "slow"],
    since: "1.0.0",
    complexity: "O(N) where N is the size of the value.",
    summary: "Gives a key another name, replacing what had that name.",
    syntax: "key newkey",
    handler: rename,
  },
  {
    ...keyed,
    name: "renamenx",
    arity: 3,
    flags: Flag.Write | Flag.Fast,
    keys: [spec(1, 0, "RW", "access", "delete"), spec(2, 0, "OW", "insert")],
    acl: ["keyspace", "write", "fast"],
    since: "1.0.0",
    complexity: "O(N) where N is the size of the value.",
    summary: "Gives a key another name unless that name is taken.",
    syntax: "key newkey",
    handler: renamenx,
  },
  {
    ...keyed,
    name: "copy",
    arity: -3,
    flags: Flag.Write | Flag.DenyOom,
    keys: [spec(1, 0, "RO", "access"), spec(2, 0, "OW", "update")],
    acl: ["keyspace", "write", "slow"],
    since: "6.2.0",
    complexity: "O(N) where N is the size of the value.",
    summary: "Copies a value and its deadline to another key.",
    syntax: "source destination [DB destination-db] [REPLACE]",
    handler: copy,
  },
  {
    ...whole,
    name: "randomkey",
    arity: 1,
    flags: Flag.ReadOnly,
    acl: ["keyspace", "read", "slow"],
    group: "generic",
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Returns a key drawn at random.",
    syntax: "",
    handler: randomkey,
  },
  {
    ...whole,
    name: "keys",
    arity: 2,
    flags: Flag.ReadOnly,
    acl: ["keyspace", "read", "slow", "dangerous"],
    group: "generic",
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys in the database.",
    summary: "Returns all keys whose names match a pattern.",
    syntax: "pattern",
    handler: keys,
  },
  {
    ...whole,
    scope: Scope.Each,
    name: "scan",
    arity: -2,
    flags: Flag.ReadOnly,
    acl: ["keyspace", "read", "slow"],
    group: "generic",
    since: "2.8.0",
    complexity: "O(1) a call, O(N) for a whole walk of N keys.",
    summary: "Walks the keys of a database a page at a time.",
    syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
    handler: scan,
  },
  {
    keys: [],
    scope: Scope.None,
    tier: Tier.Core,
    name: "object",
    arity: -2,
    flags: 0,
    acl: ["slow"],
    group: "generic",
    since: "2.2.3",
    complexity: "Depends on subcommand.",
    summary: "Tells about the value at a key.",
    syntax: "",
    subcommands: [
      {
        ...objectReader,
        name: "object|encoding",
        since: "2.2.3",
        summary: "Returns the name of the form a value is kept in.",
        optimistic: true,
        handler: objectEncoding,
      },
      {
        ...objectReader,
        name: "object|refcount",
        since: "2.2.3",
        summary: "Returns how many references a value has: one.",
        optimistic: true,
        handler: objectRefcount,
      },
      {
        ...objectReader,
        name: "object|idletime",
        since: "2.2.3",
        summary: "Returns how many seconds ago a value was last used.",
        optimistic: true,
        handler: objectIdletime,
      },
      {
        ...objectReader,
        name: "object|freq",
        since: "4.0.0",
        summary: "Returns how often a value is used, under an LFU policy.",
        optimistic: true,
        handler: objectFreq,
      },
      {
        keys: [],
        scope: Scope.None,
        tier: Tier.Core,
        name: "object|help",
        arity: 2,
        flags: Flag.Loading | Flag.Stale,
        acl: ["keyspace", "slow"],
        group: "generic",
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Lists the subcommands.",
        syntax: "",
        handler: (call) => replyHelp(call, "OBJECT", objectHelp),
      },
    ],
  },
  {
    ...keyed,
    name: "move",
    arity: 3,
    flags: Flag.Write | Flag.Fast,
    keys: [spec(1, 0, "RW", "access", "update")],
    acl: ["keyspace", "write", "fast"],
    since: "1.0.0",
    complexity: "O(N) where N is the size of the value.",
    summary: "Moves a key to another database unless it has one of that name.",
    syntax: "key db",
    handler: move,
  },
  {
    ...whole,
    name: "swapdb",
    arity: 3,
    flags: Flag.Write | Flag.Fast,
    acl: ["keyspace", "write", "fast", "dangerous"],
    group: "server",
    since: "4.0.0",
    complexity: "O(1)",
    summary: "Exchanges two databases.",
    syntax: "index1 index2",
    handler: swapdb,
  },
  {
    ...whole,
    name: "dbsize",
    arity: 1,
    flags: Flag.ReadOnly | Flag.Fast,
    acl: ["keyspace", "read", "fast"],
    group: "server",
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Returns the number of keys in the database.",
    syntax: "",
    handler: dbsize,
  },
  {
    ...whole,
    name: "flushdb",
    arity: -1,
    flags: Flag.Write,
    acl: ["keyspace", "write", "slow", "dangerous"],
    group: "server",
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys in the database.",
    summary: "Deletes all keys of the database.",
    syntax: "[ASYNC | SYNC]",
    handler: flushdb,
  },
  {
    ...whole,
    name: "flushall",
    arity: -1,
    flags: Flag.Write,
    acl: ["keyspace", "write", "slow", "dangerous"],
    group: "server",
    since: "1.0.0",
    complexity: "O(N) where N is the memory in use.",
    summary: "Deletes all keys of all databases.",
    syntax: "[ASYNC | SYNC]",
    handler: flushall,
  },
];
