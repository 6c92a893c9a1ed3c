// dump.ts: DUMP and RESTORE: a value as bytes of Redis's RDB format, and back.
//
// DUMP writes the plain types, whatever form a value has: they are what every Redis since 5 reads, and puts into the form
// it prefers. RESTORE takes every type of engine/rdb/format.ts from whoever sends it: the payload is read through once
// before anything is done, then the value is made beside the key, and only when all of it is there the key is its. So an
// error, memory that is out included, changes nothing.
// The form that a restored collection gets is Redis's 8.0: by today's limits, not by those it was dumped under; a set in
// a listpack stays one though all its members are integers. Fields of a hash that are past their deadline come along, as
// there, and are reaped like any others.
// Not on the data path: O(value); a payload and a value that is being made are in memory together.
// Neighbours: engine/rdb reads and writes payloads; temporary.ts holds the value until it has a key.
import { Flag, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors } from "../../protocol/errors.ts";
import { Encoding, Form, Type } from "../memory/record.ts";
import { checkFooter, FOOTER_BYTES, RdbType, Version } from "../rdb/format.ts";
import { ValueReader } from "../rdb/reader.ts";
import { ValueWriter } from "../rdb/writer.ts";
import { Event } from "../shard/events.ts";
import type { Place } from "../shard/place.ts";
import { Hash } from "../types/hash.ts";
import { parseInteger } from "../types/integer.ts";
import { limits } from "../types/limits.ts";
import { List } from "../types/list.ts";
import { MemberSet } from "../types/set.ts";
import { SortedSet } from "../types/sorted-set.ts";
import { Temporary } from "../types/temporary.ts";
import type { Call, Row } from "./call.ts";
import type { Session } from "./session.ts";

/** Largest payload made: twice what one argument may be by default. */
const MOST_BYTES = 1 << 30;

/** What Redis adds to an element's bytes when it asks whether a node of a list has room for it. */
const NODE_OVERHEAD = 8;

const writer = new ValueWriter(MOST_BYTES);
const reader = new ValueReader();
const list = new List();
const members = new MemberSet();
const sortedSet = new SortedSet();
const hash = new Hash();
/** The value on its way to its key. */
const made = new Temporary();

/** Connections that asked for payloads to be taken whatever their checksum says (DEBUG). */
const trusting = new WeakSet<Session>();

/** DEBUG SET-SKIP-CHECKSUM-VALIDATION: for the RESTOREs of one connection. */
export function skipChecksum(session: Session, skip: boolean): void {
  if (skip) trusting.add(session);
  else trusting.delete(session);
}

/** Writes the value at a place, type byte first and without a footer. The version that knows how to read it; 0 when
 *  nothing is left of the value but fields that are due. */
function writeValue(place: Place, nowMs: number): Version | 0 {
  switch (place.type) {
    case Type.String:
      writer.begin(RdbType.String);
      writer.string(place.region, place.valueStart, place.valueBytes);
      break;
    case Type.List:
      list.open(place);
      writer.begin(RdbType.List);
      writer.length(list.count);
      for (list.walk(); list.next(); ) writer.string(list.region, list.start, list.bytes);
      break;
    case Type.Set:
      members.open(place);
      writer.begin(RdbType.Set);
      writer.length(members.count);
      for (members.walk(); members.next(); ) writer.string(members.region, members.start, members.bytes);
      break;
    case Type.SortedSet:
      sortedSet.open(place);
      writer.begin(RdbType.SortedSet);
      writer.length(sortedSet.count);
      for (let more = sortedSet.seekRank(0); more; more = sortedSet.next()) {
        writer.string(sortedSet.region, sortedSet.start, sortedSet.bytes);
        writer.double(sortedSet.score);
      }
      break;
    case Type.Hash:
      return writeHash(place, nowMs);
  }
  return Version.Plain;
}

function writeHash(place: Place, nowMs: number): Version | 0 {
  hash.open(place, nowMs);
  let count = 0;
  let earliestMs = Number.POSITIVE_INFINITY;
  for (hash.walk(); hash.next(); count++)
    if (hash.deadlineMs !== 0 && hash.deadlineMs < earliestMs) earliestMs = hash.deadlineMs;
  if (count === 0) return 0;
  const timed = earliestMs !== Number.POSITIVE_INFINITY;
  writer.begin(timed ? RdbType.HashDeadlines : RdbType.Hash);
  if (timed) writer.millis(earliestMs);
  writer.length(count);
  for (hash.walk(); hash.next(); ) {
    if (timed) writer.length(hash.deadlineMs === 0 ? 0 : hash.deadlineMs - earliestMs + 1);
    writer.string(hash.region, hash.start, hash.bytes);
    writer.string(hash.valueRegion, hash.valueStart, hash.valueBytes);
  }
  return timed ? Version.FieldDeadlines : Version.Plain;
}

/** Bytes of the value at a place in a payload, without type and footer. */
export function serializedBytes(place: Place, nowMs: number): number {
  const version = writeValue(place, nowMs);
  const bytes = version === 0 ? 0 : writer.at - 1;
  writer.forget();
  return bytes;
}

/** DUMP key */
function dump(call: Call): void {
  const { reply, place } = call;
  if (!call.findPlaceRead(1, place)) return reply.nil();
  const version = writeValue(place, call.nowMs);
  if (version === 0) return reply.nil();
  writer.finish(version);
  if (writer.full) reply.error(Errors.outOfMemory);
  else reply.bulk(writer.region, 0, writer.at);
  writer.forget();
}

/** RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency] */
function restore(call: Call): void {
  const { reply, input, start, length, place } = call;
  let replace = false;
  let absolute = false;
  let idle = false;
  let frequent = false;
  for (let i = 4; i < call.argc; i++) {
    if (call.is(i, "replace")) replace = true;
    else if (call.is(i, "absttl")) absolute = true;
    else if (call.is(i, "idletime") && i + 1 < call.argc && !frequent) {
      if (!readAtMost(call, ++i, Number.POSITIVE_INFINITY, Errors.invalidIdletime)) return;
      idle = true;
    } else if (call.is(i, "freq") && i + 1 < call.argc && !idle) {
      if (!readAtMost(call, ++i, 255, Errors.invalidFrequency)) return;
      frequent = true;
    } else return reply.error(Errors.syntax);
  }
  const there = place.look(call.locate(1), call.session.db, call.key);
  if (there && !replace) return reply.error(Errors.busyKey);
  if (!readAtMost(call, 2, Number.POSITIVE_INFINITY, Errors.invalidTtl)) return;
  const ttl = parseInteger(input.u8, start[2]!, length[2]!);
  const body = bodyBytes(call);
  if (body < 0) return reply.error(Errors.badPayload);
  if (!reader.validate(input, start[3]!, body)) return reply.error(Errors.badFormat);
  const deadlineMs = ttl === 0 ? 0 : Math.min(absolute ? ttl : call.nowMs + ttl, Number.MAX_SAFE_INTEGER);
  if (deadlineMs !== 0 && deadlineMs <= call.nowMs) {
    if (there) {
      place.remove();
      place.notify(Event.Del);
    }
    reply.ok();
  } else if (store(call, place, deadlineMs)) {
    // What was there is deleted first, to Redis, without a word.
    if (there) place.notify(Event.New);
    place.notify(Event.Restore);
    reply.ok();
  } else reply.error(Errors.outOfMemory);
  reader.forget();
}

/** Whether argument `i` is an integer of 0 to `most`; replies if not, with `error` when it is another integer. */
function readAtMost(call: Call, i: number, most: number, error: string): boolean {
  const value = parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
  if (value >= 0 && value <= most) return true;
  call.reply.error(Number.isNaN(value) ? Errors.notAnInteger : error);
  return false;
}

/** Bytes of the payload in argument 3 without its footer; -1 when the footer is not right. */
function bodyBytes(call: Call): number {
  const { input } = call;
  const start = call.start[3]!;
  const bytes = call.length[3]!;
  if (!trusting.has(call.session)) return checkFooter(input, start, bytes);
  const body = bytes - FOOTER_BYTES;
  return body >= 0 && input.view.getUint16(start + body, true) <= Version.Newest ? body : -1;
}

/** Makes the value that the reader stands before that of the key at a place, which need not exist. False, and nothing
 *  changed, when memory is out. */
function store(call: Call, place: Place, deadlineMs: number): boolean {
  const { shard, key, session } = call;
  if (reader.type === Type.String) {
    const { element } = reader;
    reader.next();
    const integer = !Number.isNaN(parseInteger(element.region.u8, element.start, element.bytes));
    const encoding = integer ? Encoding.Integer : Encoding.Bytes;
    return shard.setString(
      session.db,
      key,
      element.region,
      element.start,
      element.bytes,
      encoding,
      deadlineMs,
    );
  }
  const rdbType: RdbType = call.input.u8[call.start[3]!]!;
  const earliestMs = make(place, rdbType, call.nowMs);
  if (earliestMs < 0 || !place.create(reader.type, made.form, made.valueBytes, deadlineMs)) {
    made.drop();
    return false;
  }
  made.put(place); // has the room that was just made
  if (earliestMs !== 0) place.noteDue(earliestMs);
  return true;
}

/** Makes the collection that the reader stands before in `made`. The earliest deadline of a field, 0 for none; -1 when
 *  memory is out, and then there is something to drop. */
function make(place: Place, rdbType: RdbType, nowMs: number): number {
  switch (reader.type) {
    case Type.List:
      return makeList(place, rdbType);
    case Type.Set:
      return makeSet(place, rdbType);
    case Type.SortedSet:
      return makeSortedSet(place);
    default:
      return makeHash(place, rdbType, nowMs);
  }
}

function makeList(place: Place, rdbType: RdbType): number {
  const { element } = reader;
  made.begin(place.allocator, Type.List, Form.Packed, List.initialBytes);
  List.clear(made);
  list.open(made);
  // Elements one by one are added to nodes, which packed ones are already.
  const overhead = rdbType === RdbType.List ? NODE_OVERHEAD : 0;
  while (reader.next()) {
    if (!list.expect(element.bytes + overhead, 1)) return -1;
    if (!list.push(true, element.region, element.start, element.bytes)) return -1;
  }
  return 0;
}

function makeSet(place: Place, rdbType: RdbType): number {
  const { element, count } = reader;
  const packed = rdbType === RdbType.SetListpack;
  const most = packed ? limits.setEntries : limits.setIntegers;
  const form = count > most ? Form.Pages : packed ? Form.Packed : Form.Integers;
  made.begin(place.allocator, Type.Set, form, MemberSet.initialBytes(form));
  members.clear(made);
  while (reader.next()) if (members.add(element.region, element.start, element.bytes) < 0) return -1;
  return 0;
}

function makeSortedSet(place: Place): number {
  const { element } = reader;
  made.begin(place.allocator, Type.SortedSet, Form.Packed, SortedSet.initialBytes);
  sortedSet.clear(made);
  while (reader.next()) {
    sortedSet.find(element.region, element.start, element.bytes);
    if (!sortedSet.insert(reader.score, element.region, element.start, element.bytes)) return -1;
  }
  return 0;
}

function makeHash(place: Place, rdbType: RdbType, nowMs: number): number {
  const { element, value } = reader;
  made.begin(place.allocator, Type.Hash, Form.Packed, Hash.initialBytes);
  Hash.clear(made);
  hash.open(made, nowMs);
  if (!hash.makeReadyFor(reader.count)) return -1;
  if (rdbType >= RdbType.HashDeadlinesEarly && !hash.makeTimed()) return -1;
  let earliestMs = 0;
  while (reader.next()) {
    const { deadline } = reader;
    const put = hash.put(
      element.region,
      element.start,
      element.bytes,
      value.region,
      value.start,
      value.bytes,
      deadline,
    );
    if (put < 0) return -1;
    if (deadline !== 0 && (earliestMs === 0 || deadline < earliestMs)) earliestMs = deadline;
  }
  return earliestMs;
}

export const dumpCommands: readonly Row[] = [
  {
    name: "dump",
    arity: 2,
    flags: Flag.ReadOnly,
    keys: [{ first: 1, last: 0, step: 1, flags: ["RO", "access"] }],
    scope: Scope.Keys,
    acl: ["keyspace", "read", "slow"],
    tier: Tier.Core,
    group: "generic",
    since: "2.6.0",
    complexity: "O(N) where N is the size of the value.",
    summary: "Returns a value as bytes that RESTORE makes the value of.",
    syntax: "key",
    handler: dump,
  },
  {
    name: "restore",
    arity: -4,
    flags: Flag.Write | Flag.DenyOom,
    keys: [{ first: 1, last: 0, step: 1, flags: ["OW", "update"] }],
    scope: Scope.Keys,
    acl: ["keyspace", "write", "slow", "dangerous"],
    tier: Tier.Core,
    group: "generic",
    since: "2.6.0",
    complexity: "O(N*log(N)) where N is the number of elements; O(N) for what is no sorted set.",
    summary: "Makes a key of the bytes that DUMP returned.",
    syntax: "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
    handler: restore,
  },
];
