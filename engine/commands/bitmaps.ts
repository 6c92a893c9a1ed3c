// bitmaps.ts: the commands on strings as arrays of bits and of small integers.
//
// What they write is marked Encoding.Edited, as by SETRANGE, even where no bit changes. A string grows with zeros up to
// the bit that is written; the bit's offset is limited by proto-max-bulk-len and not the length that follows from it.
// Ours: BITCOUNT takes a start without an end and refuses bad arguments also where there is no key; `#` offsets beyond
// int64 are refused and do not wrap.
// On the data path: fields wider than 52 bits and integers beyond 2^52 use BigInt; nothing else allocates. BITOP builds
// a result of more than a scratch region in memory of the destination's shard before it is stored, so that the
// destination may be a source and a refusal changes nothing.
// Neighbours: engine/types/bits.ts and bitfield.ts do the arithmetic; strings.ts; the dispatcher runs the rows below.
import { Flag, type KeySpec, Scope, Tier } from "../../protocol/command-row.ts";
import { bitopSources, Errors } from "../../protocol/errors.ts";
import { Handle } from "../memory/allocator.ts";
import { Encoding, Type } from "../memory/record.ts";
import { clearBytes, need, Region } from "../memory/region.ts";
import { Event } from "../shard/events.ts";
import {
  fit,
  fitBig,
  NUMBER_BITS,
  NUMBER_LIMIT,
  Overflow,
  readBigField,
  readField,
  writeBigField,
  writeField,
} from "../types/bitfield.ts";
import { Combine, Combiner, countBitRange, findBit } from "../types/bits.ts";
import { parseBigInteger, parseInteger } from "../types/integer.ts";
import type { Call, Row } from "./call.ts";
import { crossed, makeEditable } from "./strings.ts";

/** proto-max-bulk-len cannot be set lower, so bits before this one need not ask for it. */
const LEAST_LIMIT_BITS = 8 * (1 << 20);

/** Results of BITOP up to this size are built here. */
const scratch = need(Region.private(64 * 1024), "results of BITOP");
const combiner = new Combiner();

// Helpers

/** Argument `i` as a bit offset, for fields of `width` bits also as `#index`; 0 where there are none. -1 after replying
 *  that it is refused. */
function offsetAt(call: Call, i: number, width: number): number {
  const { u8 } = call.input;
  const start = call.start[i]!;
  const hash = width > 0 && call.length[i]! > 0 && u8[start] === 35 ? 1 : 0;
  const value = parseInteger(u8, start + hash, call.length[i]! - hash) * (hash === 1 ? width : 1);
  const taken =
    value >= 0 && // not NaN
    value <= Number.MAX_SAFE_INTEGER &&
    (value < LEAST_LIMIT_BITS || value / 8 < Number(call.server.setting("proto-max-bulk-len")));
  if (taken) return value;
  call.reply.error(Errors.bitOffset);
  return -1;
}

/** Argument `i` as an integer, NaN after replying that it is none. */
function integerAt(call: Call, i: number): number {
  const value = parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
  if (Number.isNaN(value)) call.reply.error(Errors.notAnInteger);
  return value;
}

/** Looks up argument 1 for reading: the handle, 0 when absent, -1 after replying that it is no string. */
function findString(call: Call): number {
  const handle = call.findRead(1);
  if (handle === 0 || call.shard.type() === Type.String) return handle;
  call.reply.error(Errors.wrongType);
  return -1;
}

/** Makes the string at argument 1 at least `bytes` long, with zeros, and leaves the cursor at it. 1 when it was made or
 *  has grown, 0 when it was that long; -1 after replying why not, and then nothing changed. */
function openForBits(call: Call, bytes: number): number {
  const { reply } = call;
  const found = call.find(1);
  const { shard } = call;
  if (found !== 0 && shard.type() !== Type.String) {
    reply.error(Errors.wrongType);
    return -1;
  }
  const old = found === 0 ? 0 : shard.valueBytes();
  if (old >= bytes) {
    shard.setEncoding(Encoding.Edited);
    return 0;
  }
  if (!makeEditable(call, found, bytes)) {
    reply.error(Errors.outOfMemory);
    return -1;
  }
  clearBytes(shard.region, shard.valueStart() + old, bytes - old);
  return 1;
}

// Single bits

/** SETBIT key offset value */
function setbit(call: Call): void {
  const { input, reply } = call;
  const offset = offsetAt(call, 2, 0);
  if (offset < 0) return;
  const bit = parseInteger(input.u8, call.start[3]!, call.length[3]!);
  if (bit !== 0 && bit !== 1) return reply.error(Errors.bitNotAnInteger);
  const byte = Math.floor(offset / 8);
  const grown = openForBits(call, byte + 1);
  if (grown < 0) return;
  const { u8 } = call.shard.region;
  const at = call.shard.valueStart() + byte;
  const mask = 0x80 >>> (offset % 8);
  const old = u8[at]!;
  const was = (old & mask) === 0 ? 0 : 1;
  if (grown === 1 || was !== bit) {
    u8[at] = bit === 1 ? old | mask : old & ~mask;
    call.notify(Event.SetBit);
  }
  reply.integer(was);
}

/** GETBIT key offset */
function getbit(call: Call): void {
  const { reply } = call;
  const offset = offsetAt(call, 2, 0);
  if (offset < 0) return;
  const handle = findString(call);
  if (handle < 0) return;
  const { shard } = call;
  const byte = Math.floor(offset / 8);
  if (handle === 0 || byte >= shard.valueBytes()) return reply.integer(0);
  reply.integer((shard.region.u8[shard.valueStart() + byte]! & (0x80 >>> (offset % 8))) === 0 ? 0 : 1);
}

// Ranges

/** The bits that `cut` found, both ends included; empty when they are crossed. */
let firstBit = 0;
let lastBit = 0;

/** Cuts start .. end, in bits or bytes from either end, to a string of `bytes` bytes. */
function cut(start: number, end: number, bytes: number, inBits: boolean): void {
  const units = inBits ? bytes * 8 : bytes;
  const from = Math.max(0, start < 0 ? units + start : start);
  const to = Math.min(units - 1, Math.max(0, end < 0 ? units + end : end));
  firstBit = inBits ? from : from * 8;
  lastBit = inBits ? to : to * 8 + 7;
}

/** Argument `i` as BYTE (0) or BIT (1), -1 after replying that it is neither. */
function unitAt(call: Call, i: number): number {
  if (call.is(i, "bit")) return 1;
  if (call.is(i, "byte")) return 0;
  call.reply.error(Errors.syntax);
  return -1;
}

/** BITCOUNT key [start [end [BYTE|BIT]]] */
function bitcount(call: Call): void {
  const { argc, reply } = call;
  const handle = findString(call);
  if (handle < 0) return;
  if (argc > 5) return reply.error(Errors.syntax);
  const start = argc > 2 ? integerAt(call, 2) : 0;
  if (Number.isNaN(start)) return;
  const end = argc > 3 ? integerAt(call, 3) : -1;
  if (Number.isNaN(end)) return;
  const unit = argc > 4 ? unitAt(call, 4) : 0;
  if (unit < 0) return;
  if (handle === 0) return reply.integer(0);
  // Both from the end and crossed: nothing. Otherwise what points before the first means the first.
  if (argc > 3 && start < 0 && end < 0 && crossed(call, start, end)) return reply.integer(0);
  const { shard } = call;
  cut(start, end, shard.valueBytes(), unit === 1);
  if (firstBit > lastBit) return reply.integer(0);
  reply.integer(countBitRange(shard.region, shard.valueStart(), firstBit, lastBit));
}

/** BITPOS key bit [start [end [BYTE|BIT]]] */
function bitpos(call: Call): void {
  const { argc, reply } = call;
  const bit = integerAt(call, 2);
  if (Number.isNaN(bit)) return;
  if (bit !== 0 && bit !== 1) return reply.error(Errors.bitArgument);
  const handle = findString(call);
  if (handle < 0) return;
  if (handle === 0) return reply.integer(-bit);
  if (argc > 6) return reply.error(Errors.syntax);
  const start = argc > 3 ? integerAt(call, 3) : 0;
  if (Number.isNaN(start)) return;
  const unit = argc > 5 ? unitAt(call, 5) : 0;
  if (unit < 0) return;
  const end = argc > 4 ? integerAt(call, 4) : -1;
  if (Number.isNaN(end)) return;
  const { shard } = call;
  const bytes = shard.valueBytes();
  cut(start, end, bytes, unit === 1);
  if (firstBit > lastBit) return reply.integer(-1);
  const found = findBit(shard.region, shard.valueStart(), firstBit, lastBit, bit);
  // Without an end the string goes on in zeros.
  reply.integer(found < 0 && bit === 0 && argc < 5 ? bytes * 8 : found);
}

// Combining

/** The operation that argument 1 names, -1 for none. */
function operation(call: Call): number {
  if (call.is(1, "and")) return Combine.And;
  if (call.is(1, "or")) return Combine.Or;
  if (call.is(1, "xor")) return Combine.Xor;
  if (call.is(1, "not")) return Combine.Not;
  if (call.is(1, "diff")) return Combine.Diff;
  if (call.is(1, "diff1")) return Combine.Diff1;
  if (call.is(1, "andor")) return Combine.AndOr;
  return call.is(1, "one") ? Combine.One : -1;
}

/** BITOP operation destination key [key ...] */
function bitop(call: Call): void {
  const { argc, reply, session } = call;
  const combine = operation(call);
  if (combine < 0) return reply.error(Errors.syntax);
  if (combine === Combine.Not && argc !== 4) return reply.error(Errors.bitopNot);
  const needsTwo = combine === Combine.Diff || combine === Combine.Diff1 || combine === Combine.AndOr;
  if (needsTwo && argc < 5) return reply.error(bitopSources(call.text(1)));

  // A lookup may remove a key that is due, and room for the result is made next to the sources: neither moves them.
  combiner.clear();
  for (let i = 3; i < argc; i++) {
    if (call.findHeld(i) === 0) {
      combiner.add(call.input, 0, 0);
      continue;
    }
    const { shard } = call;
    if (shard.type() !== Type.String) return reply.error(Errors.wrongType);
    combiner.add(shard.region, shard.valueStart(), shard.valueBytes());
  }
  const bytes = combiner.longest;
  const shard = call.locate(2);
  if (bytes === 0) {
    if (shard.remove(session.db, call.key)) call.notify(Event.Del);
    return reply.integer(0);
  }
  if (bytes <= scratch.bytes) {
    combiner.write(combine, scratch, 0);
    if (!shard.setString(session.db, call.key, scratch, 0, bytes, Encoding.Edited, 0))
      return reply.error(Errors.outOfMemory);
    call.notify(Event.Set);
    return reply.integer(bytes);
  }
  const room = shard.allocator.allocate(bytes);
  if (room === 0) return reply.error(Errors.outOfMemory);
  const region = shard.allocator.regionOf(room);
  const at = (room & Handle.GranuleMask) << Handle.GranuleShift;
  combiner.write(combine, region, at);
  const stored = shard.setString(session.db, call.key, region, at, bytes, Encoding.Edited, 0);
  shard.allocator.free(room);
  if (!stored) return reply.error(Errors.outOfMemory);
  call.notify(Event.Set);
  reply.integer(bytes);
}

// Fields

const enum Step {
  Get = 0,
  Set = 1,
  Add = 2,
  Overflow = 3,
}

/** The step of BITFIELD that was read last. */
const field = {
  step: Step.Get as Step,
  /** Of the steps from here on. */
  overflow: Overflow.Wrap as Overflow,
  signed: false,
  width: 0,
  offset: 0,
  /** What is set or added; infinite beyond 2^53, then `argument` says it. */
  value: 0,
  argument: 0,
  /** Of all steps: whether the string was made or has grown for them, and whether a write then changed anything. */
  grown: false,
  changed: false,
};

/** Reads the step at argument `i` into `field`: the argument after it, or -1 after replying what is wrong. */
function readStep(call: Call, i: number): number {
  const { argc, reply } = call;
  const rest = argc - i - 1;
  if (call.is(i, "get") && rest >= 2) field.step = Step.Get;
  else if (call.is(i, "set") && rest >= 3) field.step = Step.Set;
  else if (call.is(i, "incrby") && rest >= 3) field.step = Step.Add;
  else if (call.is(i, "overflow") && rest >= 1) {
    field.step = Step.Overflow;
    if (call.is(i + 1, "wrap")) field.overflow = Overflow.Wrap;
    else if (call.is(i + 1, "sat")) field.overflow = Overflow.Saturate;
    else if (call.is(i + 1, "fail")) field.overflow = Overflow.Fail;
    else {
      reply.error(Errors.overflowType);
      return -1;
    }
    return i + 2;
  } else {
    reply.error(Errors.syntax);
    return -1;
  }
  if (!readType(call, i + 1)) return -1;
  field.offset = offsetAt(call, i + 2, field.width);
  if (field.offset < 0) return -1;
  if (field.step === Step.Get) return i + 3;
  field.argument = i + 3;
  field.value = integerAt(call, i + 3);
  return Number.isNaN(field.value) ? -1 : i + 4;
}

/** Reads argument `i` as a type: i1 .. i64, u1 .. u63. False after replying that it is none. */
function readType(call: Call, i: number): boolean {
  const { u8 } = call.input;
  const start = call.start[i]!;
  const bytes = call.length[i]!;
  const sign = bytes > 0 ? u8[start] : 0;
  const width = bytes > 0 ? parseInteger(u8, start + 1, bytes - 1) : Number.NaN;
  field.signed = sign === 105;
  field.width = width;
  if ((field.signed || sign === 117) && width >= 1 && width <= (field.signed ? 64 : 63)) return true;
  call.reply.error(Errors.fieldType);
  return false;
}

/** BITFIELD key [GET type offset | [OVERFLOW WRAP|SAT|FAIL] SET type offset value | INCRBY type offset increment ...] */
function bitfield(call: Call): void {
  runFields(call, false);
}

/** BITFIELD_RO key [GET type offset ...] */
function bitfieldRo(call: Call): void {
  runFields(call, true);
}

function runFields(call: Call, readOnly: boolean): void {
  const { argc, reply } = call;
  // Once to see that all is well and how far it reaches, once to do it.
  let count = 0;
  let reach = 0;
  for (let i = 2; i < argc; ) {
    i = readStep(call, i);
    if (i < 0) return;
    if (field.step === Step.Overflow) continue;
    count++;
    if (field.step !== Step.Get) reach = Math.max(reach, field.offset + field.width);
  }
  let present = true;
  if (reach === 0) {
    const handle = findString(call);
    if (handle < 0) return;
    present = handle !== 0;
  } else {
    if (readOnly) return reply.error(Errors.fieldReadOnly);
    const opened = openForBits(call, Math.ceil(reach / 8));
    if (opened < 0) return;
    field.grown = opened === 1;
  }

  const { shard } = call;
  const region = present ? shard.region : call.input;
  const start = present ? shard.valueStart() : 0;
  const bytes = present ? shard.valueBytes() : 0;
  reply.array(count);
  field.overflow = Overflow.Wrap;
  field.changed = false;
  for (let i = 2; i < argc; ) {
    i = readStep(call, i);
    if (field.step === Step.Overflow) continue;
    const plain = field.step === Step.Get || Math.abs(field.value) <= NUMBER_LIMIT;
    if (plain && field.width <= NUMBER_BITS) runField(call, region, start, bytes);
    else runBigField(call, region, start, bytes);
  }
  if (field.changed) call.notify(Event.SetBit);
}

/** Does what `field` says and replies. */
function runField(call: Call, region: Region, start: number, bytes: number): void {
  const { reply } = call;
  const { offset, overflow, signed, step, value, width } = field;
  const old = readField(region, start, bytes, offset, width, signed);
  if (step === Step.Get) return reply.integer(old);
  const setting = step === Step.Set;
  const next = fit(setting ? value : old + value, width, signed, overflow, setting);
  if (Number.isNaN(next)) return reply.nil();
  writeField(region, start, offset, width, next);
  if (field.grown || next !== old) field.changed = true;
  reply.integer(setting ? old : next);
}

/** The same in exact arithmetic. */
function runBigField(call: Call, region: Region, start: number, bytes: number): void {
  const { input, reply } = call;
  const { argument, offset, overflow, signed, step, width } = field;
  const old = readBigField(region, start, bytes, offset, width, signed);
  if (step === Step.Get) return reply.bigInteger(old);
  const setting = step === Step.Set;
  const value = parseBigInteger(input.u8, call.start[argument]!, call.length[argument]!);
  const next = fitBig(setting ? value : old + value, width, signed, overflow, setting);
  if (next === null) return reply.nil();
  writeBigField(region, start, offset, width, next);
  if (field.grown || next !== old) field.changed = true;
  reply.bigInteger(setting ? old : next);
}

// Rows

const readKey: readonly KeySpec[] = [{ first: 1, last: 0, step: 1, flags: ["RO", "access"] }];
const readSlow = ["read", "bitmap", "slow"];
const readFast = ["read", "bitmap", "fast"];
const writeSlow = ["write", "bitmap", "slow"];
const family = { scope: Scope.Keys, tier: Tier.Extended, group: "bitmap" };

export const bitmapCommands: readonly Row[] = [
  {
    ...family,
    name: "setbit",
    arity: 4,
    flags: Flag.Write | Flag.DenyOom,
    keys: [{ first: 1, last: 0, step: 1, flags: ["RW", "access", "update"] }],
    acl: writeSlow,
    since: "2.2.0",
    complexity: "O(1); O(N) in the length of the string when it has to grow",
    summary: "Writes a bit of a string and returns what it was.",
    syntax: "key offset value",
    handler: setbit,
  },
  {
    ...family,
    name: "getbit",
    arity: 3,
    flags: Flag.ReadOnly | Flag.Fast,
    keys: readKey,
    acl: readFast,
    since: "2.2.0",
    complexity: "O(1)",
    summary: "Returns a bit of a string.",
    syntax: "key offset",
    optimistic: true,
    handler: getbit,
  },
  {
    ...family,
    name: "bitcount",
    arity: -2,
    flags: Flag.ReadOnly,
    keys: readKey,
    acl: readSlow,
    since: "2.6.0",
    complexity: "O(N) in the bytes counted",
    summary: "Counts the ones in a string or in a part of it.",
    syntax: "key [start [end [BYTE|BIT]]]",
    optimistic: true,
    handler: bitcount,
  },
  {
    ...family,
    name: "bitpos",
    arity: -3,
    flags: Flag.ReadOnly,
    keys: readKey,
    acl: readSlow,
    since: "2.8.7",
    complexity: "O(N) in the bytes searched",
    summary: "Finds the first one or zero in a string or in a part of it.",
    syntax: "key bit [start [end [BYTE|BIT]]]",
    optimistic: true,
    handler: bitpos,
  },
  {
    ...family,
    name: "bitop",
    arity: -4,
    flags: Flag.Write | Flag.DenyOom,
    keys: [
      { first: 2, last: 0, step: 1, flags: ["OW", "update"] },
      { first: 3, last: -1, step: 1, flags: ["RO", "access"] },
    ],
    acl: writeSlow,
    since: "2.6.0",
    complexity: "O(N*M) in the number of strings and the length of the longest",
    summary: "Stores the bits of several strings combined.",
    syntax: "<AND|OR|XOR|NOT|DIFF|DIFF1|ANDOR|ONE> destination key [key ...]",
    handler: bitop,
  },
  {
    ...family,
    name: "bitfield",
    arity: -2,
    flags: Flag.Write | Flag.DenyOom,
    keys: [
      {
        first: 1,
        last: 0,
        step: 1,
        flags: ["RW", "access", "update", "variable_flags"],
        notes: "This command allows both access and modification of the key",
      },
    ],
    acl: writeSlow,
    since: "3.2.0",
    complexity: "O(1) for each step",
    summary: "Reads, writes and adds to integers of any width at any bit of a string.",
    syntax:
      "key [GET type offset|[OVERFLOW <WRAP|SAT|FAIL>] <SET type offset value|INCRBY type offset increment> ...]",
    handler: bitfield,
  },
  {
    ...family,
    name: "bitfield_ro",
    arity: -2,
    flags: Flag.ReadOnly | Flag.Fast,
    keys: readKey,
    acl: readFast,
    since: "6.0.0",
    complexity: "O(1) for each step",
    summary: "BITFIELD that only reads.",
    syntax: "key [GET type offset ...]",
    optimistic: true,
    handler: bitfieldRo,
  },
];
