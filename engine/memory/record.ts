// record.ts: one key and its value as bytes in a segment. Its shape is written here and nowhere else.
//
//   OFFSET  SIZE  FIELD
//    0       1    kind        type in bits 0-3 | encoding in bits 4-7; never 0
//    1       1    flags       RecordFlag
//    2       1    keyBytes    when not LongKey
//    3       1    valueBytes  when not Wide
//    4       4    valueBytes  when Wide (values above 255 bytes)
//    +       4    keyBytes    when LongKey (keys above 255 bytes)
//    +       8    deadlineMs  when Deadline: float64, ms since the epoch, unaligned
//    +       ..   key, then value
// A small string costs 4 bytes beside its key and value. Integers stay the decimal text they arrived as and are only
// marked: GET copies them, INCR rewrites them in place, and no reply ever converts.
// Who writes: whoever holds the shard's lock. Any worker may read between two equal versions of that lock; every
// length read so is checked by copyBytes and equalBytes before it is used.
// Neighbours: allocator.ts makes the room, engine/index stores the handles, engine/shard writes records.
import { copyBytes, equalBytes, type Region } from "./region.ts";

export const enum Type {
  String = 1,
  List = 2,
  Set = 3,
  SortedSet = 4,
  Hash = 5,
}

/** Encodings of a string. */
export const enum Encoding {
  /** Bytes as they were set: embstr up to 44 bytes, else raw. */
  Bytes = 0,
  /** Bytes edited in place by APPEND or SETRANGE: raw at any length. */
  Edited = 1,
  /** Canonical decimal text of an int64. */
  Integer = 2,
  /** Bytes or Edited, compressed while it lay cold (engine/compress/codec.ts). Handlers never see it. */
  Compressed = 3,
}

/** Kind of a record whose value is compressed: Type.String | Encoding.Compressed << 4. */
export const COMPRESSED = 0x31;

/** Forms of a collection, kept where strings keep their encoding. */
export const enum Form {
  /** Elements packed into the value (engine/types/packed.ts). */
  Packed = 0,
  /** Sets: sorted integers in the value (engine/types/integer-set.ts). */
  Integers = 1,
  /** Hashes: a float64, the earliest deadline, then packed triples of field, value and deadline. */
  PackedDeadlines = 2,
  /** From here on the value is a root (PagesRoot) and the elements lie in pages of their own. */
  Pages = 3,
  /** Hashes: the same, and a field may have a deadline. */
  PagesDeadlines = 4,
}

/** What every root begins with. Byte offsets in the value. */
export const enum PagesRoot {
  /** float64, ms since the epoch: no field is due before this; Infinity for none. Hashes only. */
  Deadline = 0,
  /** u32: the next record whose pages wait to be freed. */
  Next = 8,
  Bytes = 16,
}

export const enum RecordFlag {
  Deadline = 1,
  Wide = 2,
  LongKey = 4,
}

export const enum RecordLimit {
  SmallBytes = 255,
  HeaderBytes = 4,
}

/** Flags of a record that holds such a key, value and deadline. */
export function flagsFor(keyBytes: number, valueBytes: number, deadlineMs: number): number {
  return (
    (deadlineMs !== 0 ? RecordFlag.Deadline : 0) |
    (valueBytes > RecordLimit.SmallBytes ? RecordFlag.Wide : 0) |
    (keyBytes > RecordLimit.SmallBytes ? RecordFlag.LongKey : 0)
  );
}

/** Bytes before the key. */
export function headerBytes(flags: number): number {
  return (
    RecordLimit.HeaderBytes +
    ((flags & RecordFlag.Wide) !== 0 ? 4 : 0) +
    ((flags & RecordFlag.LongKey) !== 0 ? 4 : 0) +
    ((flags & RecordFlag.Deadline) !== 0 ? 8 : 0)
  );
}

/** In all of the following `at` is the record's byte offset in its region, a multiple of 8. */
export function typeAt(region: Region, at: number): number {
  return region.u8[at]! & 15;
}

export function encodingAt(region: Region, at: number): number {
  return region.u8[at]! >> 4;
}

export function flagsAt(region: Region, at: number): number {
  return region.u8[at + 1]!;
}

export function keyStartAt(region: Region, at: number): number {
  return at + headerBytes(region.u8[at + 1]!);
}

export function keyBytesAt(region: Region, at: number): number {
  const word = region.u32[at >> 2]!;
  if ((word & (RecordFlag.LongKey << 8)) === 0) return (word >>> 16) & 255;
  return region.u32[(at >> 2) + ((word & (RecordFlag.Wide << 8)) !== 0 ? 2 : 1)]!;
}

export function valueBytesAt(region: Region, at: number): number {
  const word = region.u32[at >> 2]!;
  return (word & (RecordFlag.Wide << 8)) === 0 ? word >>> 24 : region.u32[(at >> 2) + 1]!;
}

export function valueStartAt(region: Region, at: number): number {
  return keyStartAt(region, at) + keyBytesAt(region, at);
}

/** Bytes of the whole record. */
export function recordBytesAt(region: Region, at: number): number {
  return headerBytes(region.u8[at + 1]!) + keyBytesAt(region, at) + valueBytesAt(region, at);
}

/** ms since the epoch, 0 when the record never expires. */
export function deadlineAt(region: Region, at: number): number {
  const flags = region.u8[at + 1]!;
  if ((flags & RecordFlag.Deadline) === 0) return 0;
  return region.view.getFloat64(at + headerBytes(flags) - 8, true);
}

/** Whether the value of a record of that type and form is a root with pages of its own. */
export function hasPages(type: number, form: number): boolean {
  return form >= Form.Pages && type !== Type.String;
}

export function hasPagesAt(region: Region, at: number): boolean {
  const kind = region.u8[at]!;
  return hasPages(kind & 15, kind >>> 4);
}

/** Whether fields of the record have deadlines of their own. */
export function hasFieldDeadlinesAt(region: Region, at: number): boolean {
  const kind = region.u8[at]!;
  return (
    kind === (Type.Hash | (Form.PackedDeadlines << 4)) || kind === (Type.Hash | (Form.PagesDeadlines << 4))
  );
}

/** The earliest time at which something of the record is due, itself or a field: ms since the epoch, 0 for never. */
export function dueAt(region: Region, at: number): number {
  const deadlineMs = deadlineAt(region, at);
  if (!hasFieldDeadlinesAt(region, at)) return deadlineMs;
  const fieldMs = region.view.getFloat64(valueStartAt(region, at) + PagesRoot.Deadline, true);
  if (fieldMs === Number.POSITIVE_INFINITY) return deadlineMs;
  return deadlineMs === 0 || fieldMs < deadlineMs ? fieldMs : deadlineMs;
}

/** Moves the deadline of a record that has one. */
export function setDeadlineAt(region: Region, at: number, deadlineMs: number): void {
  region.view.setFloat64(at + headerBytes(region.u8[at + 1]!) - 8, deadlineMs, true);
}

export function setKindAt(region: Region, at: number, type: number, encoding: number): void {
  region.u8[at] = type | (encoding << 4);
}

/** Changes the value's length in place. Only within the same width: the caller has compared flagsFor(). */
export function setValueBytesAt(region: Region, at: number, valueBytes: number): void {
  if ((region.u8[at + 1]! & RecordFlag.Wide) === 0) region.u8[at + 3] = valueBytes;
  else region.u32[(at >> 2) + 1] = valueBytes;
}

/** Writes header and key; the value is the caller's to write at the offset that comes back. */
export function writeHeader(
  region: Region,
  at: number,
  kind: number,
  source: Region,
  keyStart: number,
  keyBytes: number,
  valueBytes: number,
  deadlineMs: number,
): number {
  const flags = flagsFor(keyBytes, valueBytes, deadlineMs);
  const small = flags & RecordFlag.LongKey ? 0 : keyBytes;
  const value = flags & RecordFlag.Wide ? 0 : valueBytes;
  region.u32[at >> 2] = kind | (flags << 8) | (small << 16) | (value << 24);
  let word = (at >> 2) + 1;
  if ((flags & RecordFlag.Wide) !== 0) region.u32[word++] = valueBytes;
  if ((flags & RecordFlag.LongKey) !== 0) region.u32[word++] = keyBytes;
  let key = word << 2;
  if ((flags & RecordFlag.Deadline) !== 0) {
    region.view.setFloat64(key, deadlineMs, true);
    key += 8;
  }
  copyBytes(region, key, source, keyStart, keyBytes);
  return key + keyBytes;
}

/** Whether the record's key is the given bytes. */
export function keyMatches(
  region: Region,
  at: number,
  source: Region,
  start: number,
  bytes: number,
): boolean {
  return keyBytesAt(region, at) === bytes && equalBytes(region, keyStartAt(region, at), source, start, bytes);
}
