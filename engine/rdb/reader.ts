// reader.ts: a value in Redis's RDB format, checked in full before anything of it is handed out, then element by
// element. For DUMP payloads, which anybody may have written.
//
//   if (!reader.validate(region, start, bytes)) refuse;
//   while (reader.next()) use reader.element, .value, .score, .deadline;
//   reader.forget();
// validate() is one walk of the same next() that hands elements out, so what it promised is what comes. It checks every
// length, count and offset against the bytes there are, the chains inside listpacks and ziplists, the order of intsets,
// that scores are numbers, that no set, hash or sorted set names an element twice, and that the value is not empty.
// It never throws, and no loop takes more steps than the payload has bytes (times lzf.MAX_EXPANSION, compressed).
//
// Memory: three texts (piece.ts) and one container may be decompressed at a time; an announced length above what the
// compressed bytes can make, or above MAX_TEXT_BYTES, is refused unread. The table of seen.ts is up to 22 bytes an
// element that really came. forget() gives all of it back. What memory does not suffice for is refused as if malformed.
// Where Redis, trusting by default, takes more: duplicates and scores that are no number in packed forms, a count
// written as a coded string, a string that runs into the footer, fields twice in a hash. As in Redis, bytes after the
// value are not looked at (`end` says where they begin) and deadlines in packed hashes need not be in order.
//
// Containers that are one string in the payload, little endian:
//   listpack  [u32 bytes][u16 entries, 65535 unknown][code, data, length of both backwards ...][255]
//   ziplist   [u32 bytes][u32 offset of the last entry][u16 entries, 65535 unknown][length of the entry before, code,
//             data ...][255]
//   intset    [u32 width, 2 4 8][u32 count][integers, ascending]
//   zipmap    [u8 pairs, 254 unknown][length, key, length, u8 free, value, free bytes ...][255]
// Cold: RESTORE. Allocates the table of seen.ts, and strings for scores that are text.
// Neighbours: format.ts, lzf.ts, piece.ts, seen.ts.
import { hashBytes, hashLow } from "../memory/hash.ts";
import { Type } from "../memory/record.ts";
import { equalBytes, type Region } from "../memory/region.ts";
import { parseInteger } from "../types/integer.ts";
import { Coded, MAX_FIELD_DEADLINE, RdbType } from "./format.ts";
import { decompress, MAX_EXPANSION } from "./lzf.ts";
import { Piece } from "./piece.ts";
import { Seen } from "./seen.ts";

/** Longest text taken, Redis's own limit of a string. */
const MAX_TEXT_BYTES = 512 * 1024 * 1024;

/** Count of entries in a listpack's or ziplist's header that says nothing. */
const UNKNOWN_COUNT = 65535;

const enum Container {
  /** The payload itself: strings one after the other. */
  None = 0,
  Listpack = 1,
  Ziplist = 2,
  Intset = 3,
  Zipmap = 4,
}

/** What a node of a Quicklist2 holds. */
const enum Node {
  Plain = 1,
  Packed = 2,
}

/** Text as a score. NaN when it is no number as Redis would write one. */
function scoreOf({ region, start, bytes }: Piece): number {
  if (bytes > 255) return Number.NaN;
  const text = String.fromCharCode(...region.u8.slice(start, start + bytes));
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text);
  if (!/^[+-]?inf(inity)?$/i.test(text)) return Number.NaN;
  return text.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

/** Bytes of a listpack entry's backward length, for entries of `bytes` bytes; the bounds are Redis's. */
function backwardBytes(bytes: number): number {
  return bytes <= 127 ? 1 : bytes < 16383 ? 2 : bytes < 2097151 ? 3 : bytes < 268435455 ? 4 : 5;
}

export class ValueReader {
  // What validate() found.
  type: Type = Type.String;
  /** Elements: fields of a hash, members of a set; 1 for a string. */
  count = 0;
  /** Byte after the value. */
  end = 0;

  // What next() found.
  /** The string, element, member or field. */
  readonly element = new Piece();
  /** Of a field. */
  readonly value = new Piece();
  /** Of a member. */
  score = 0;
  /** Of a field: ms since the epoch, 0 for none. */
  deadline = 0;

  // The payload.
  private region: Region;
  private begin = 0;
  private limit = 0;
  private at = 0;
  private rdbType = 0;
  private failed = false;
  /** Elements or containers not yet begun. */
  private left = 0;
  /** Whether fields have deadlines. */
  private timed = false;
  /** Of HashDeadlines: what its deadlines count from. */
  private earliest = 0;

  // The container.
  private container = Container.None;
  private readonly packed = new Piece();
  private inside = false;
  private packedAt = 0;
  /** Its terminator, or where its integers end. */
  private packedEnd = 0;
  private packedCount = 0;
  /** Where the entry before began, 0 for none. */
  private packedPrevious = 0;

  /** Deadlines in packed hashes, and what an element is compared with. */
  private readonly other = new Piece();
  private readonly seen = new Seen();
  /** Where `element` was read from. */
  private place = 0;

  constructor() {
    this.region = this.element.region;
  }

  /** Bytes of all that was allocated for the payload so far. */
  get scratchBytes(): number {
    const { element, value, other, packed, seen } = this;
    return element.scratchBytes + value.scratchBytes + other.scratchBytes + packed.scratchBytes + seen.bytes;
  }

  /** Whether [start, start + bytes), type byte first and without footer, begins with a value that is right in all its
   *  parts. Afterwards next() stands before the first element. */
  validate(region: Region, start: number, bytes: number): boolean {
    this.region = region;
    this.begin = start;
    this.limit = start + bytes;
    this.count = 0;
    if (start >= 0 && bytes > 0 && this.limit <= region.bytes && this.open()) {
      const keyed = this.type === Type.Set || this.type === Type.Hash || this.type === Type.SortedSet;
      while (this.next() && !(keyed && !this.isNew())) this.count++;
      if (!this.failed && this.count > 0) {
        this.end = this.at;
        this.seen.clear();
        return this.open();
      }
    }
    this.forget();
    return false;
  }

  /** Gives memory back and forgets the payload. next() is false from now on. */
  forget(): void {
    this.element.forget();
    this.value.forget();
    this.other.forget();
    this.packed.forget();
    this.seen.clear();
    this.region = this.element.region;
    this.failed = true;
  }

  /** Moves to the next element. False after the last one. */
  next(): boolean {
    if (this.failed) return false;
    return this.container === Container.None ? this.nextString() : this.nextEntry();
  }

  // The payload

  private fail(): false {
    this.failed = true;
    return false;
  }

  /** Reads the type and what comes before the first element. */
  private open(): boolean {
    this.at = this.begin + 1;
    this.failed = false;
    this.inside = false;
    this.container = Container.None;
    this.left = 1;
    this.timed = false;
    this.earliest = 0;
    this.deadline = 0;
    this.rdbType = this.region.u8[this.begin]!;
    switch (this.rdbType) {
      case RdbType.String:
        this.type = Type.String;
        return true;
      case RdbType.List:
        this.type = Type.List;
        return this.readCount(1);
      case RdbType.Set:
        this.type = Type.Set;
        return this.readCount(1);
      case RdbType.SortedSetText:
        this.type = Type.SortedSet;
        return this.readCount(2);
      case RdbType.SortedSet:
        this.type = Type.SortedSet;
        return this.readCount(9);
      case RdbType.Hash:
        this.type = Type.Hash;
        return this.readCount(2);
      case RdbType.HashDeadlines:
        this.type = Type.Hash;
        this.timed = true;
        return this.readEarliest() && this.readCount(3);
      case RdbType.HashDeadlinesEarly:
        this.type = Type.Hash;
        this.timed = true;
        return this.readCount(3);
      case RdbType.ListZiplist:
        return this.holds(Type.List, Container.Ziplist);
      case RdbType.HashZiplist:
        return this.holds(Type.Hash, Container.Ziplist);
      case RdbType.SortedSetZiplist:
        return this.holds(Type.SortedSet, Container.Ziplist);
      case RdbType.HashZipmap:
        return this.holds(Type.Hash, Container.Zipmap);
      case RdbType.SetIntset:
        return this.holds(Type.Set, Container.Intset);
      case RdbType.SetListpack:
        return this.holds(Type.Set, Container.Listpack);
      case RdbType.HashListpack:
        return this.holds(Type.Hash, Container.Listpack);
      case RdbType.SortedSetListpack:
        return this.holds(Type.SortedSet, Container.Listpack);
      case RdbType.HashListpackDeadlines:
        this.timed = true;
        return this.readEarliest() && this.holds(Type.Hash, Container.Listpack);
      case RdbType.HashListpackDeadlinesEarly:
        this.timed = true;
        return this.holds(Type.Hash, Container.Listpack);
      case RdbType.Quicklist:
        return this.holds(Type.List, Container.Ziplist) && this.readCount(1);
      case RdbType.Quicklist2:
        return this.holds(Type.List, Container.Listpack) && this.readCount(2);
    }
    return this.fail();
  }

  private holds(type: Type, container: Container): true {
    this.type = type;
    this.container = container;
    return true;
  }

  /** The count of elements or nodes, each of at least `least` bytes. */
  private readCount(least: number): boolean {
    const count = this.readLength();
    if (count <= 0 || count * least > this.limit - this.at) return this.fail();
    this.left = count;
    return true;
  }

  /** Eight bytes that the deadlines of HashDeadlines count from. Beyond 2^53 only its size matters. */
  private readEarliest(): boolean {
    if (this.at + 8 > this.limit) return this.fail();
    const { view } = this.region;
    this.earliest = view.getUint32(this.at + 4, true) * 0x100000000 + view.getUint32(this.at, true);
    this.at += 8;
    return true;
  }

  /** A length: exact up to 2^53, some larger number beyond. -1 when it is none. */
  private readLength(): number {
    const { at, limit } = this;
    const { u8, view } = this.region;
    if (at >= limit) return -1;
    const first = u8[at]!;
    if (first < 0x40) {
      this.at = at + 1;
      return first;
    }
    if (first < 0x80) {
      if (at + 2 > limit) return -1;
      this.at = at + 2;
      return ((first & 0x3f) << 8) | u8[at + 1]!;
    }
    if (first === 0x80) {
      if (at + 5 > limit) return -1;
      this.at = at + 5;
      return view.getUint32(at + 1, false);
    }
    if (first !== 0x81 || at + 9 > limit) return -1;
    this.at = at + 9;
    return view.getUint32(at + 1, false) * 0x100000000 + view.getUint32(at + 5, false);
  }

  /** A string into `piece`. */
  private readString(piece: Piece): boolean {
    const { at, limit, region } = this;
    if (at >= limit) return false;
    const first = region.u8[at]!;
    if (first < Coded.Int8) {
      const bytes = this.readLength();
      if (bytes < 0 || bytes > limit - this.at) return false;
      piece.set(region, this.at, bytes);
      this.at += bytes;
      return true;
    }
    if (first === Coded.Lzf) return this.readCompressed(piece);
    const width = first === Coded.Int8 ? 1 : first === Coded.Int16 ? 2 : first === Coded.Int32 ? 4 : 0;
    if (width === 0 || at + 1 + width > limit) return false;
    const { view } = region;
    const value =
      width === 1
        ? view.getInt8(at + 1)
        : width === 2
          ? view.getInt16(at + 1, true)
          : view.getInt32(at + 1, true);
    piece.setInteger(value, value >> 31);
    this.at = at + 1 + width;
    return true;
  }

  private readCompressed(piece: Piece): boolean {
    this.at++;
    const compressed = this.readLength();
    const bytes = this.readLength();
    const { at, region } = this;
    if (compressed <= 0 || compressed > this.limit - at) return false;
    if (bytes <= 0 || bytes > compressed * MAX_EXPANSION || bytes > MAX_TEXT_BYTES) return false;
    if (!piece.make(bytes)) return false;
    this.at = at + compressed;
    return decompress(region, at, compressed, piece.region, piece.start, bytes);
  }

  /** The next element where elements are strings of the payload. */
  private nextString(): boolean {
    if (this.left === 0) return false;
    this.left--;
    let offset = 0;
    if (this.timed) {
      offset = this.readLength();
      if (offset < 0) return this.fail();
    }
    this.place = this.at;
    if (!this.readString(this.element)) return this.fail();
    if (this.type === Type.Hash) {
      if (!this.readString(this.value)) return this.fail();
      if (this.timed && !this.setDeadline(offset)) return this.fail();
    }
    if (this.type === Type.SortedSet && !this.readScore()) return this.fail();
    return true;
  }

  /** The deadline that `offset` stands for. */
  private setDeadline(offset: number): boolean {
    this.deadline = 0;
    if (offset === 0) return true;
    this.deadline = this.rdbType === RdbType.HashDeadlines ? this.earliest + offset - 1 : offset;
    return this.deadline <= MAX_FIELD_DEADLINE;
  }

  private readScore(): boolean {
    const { at, limit, region } = this;
    if (this.rdbType === RdbType.SortedSet) {
      if (at + 8 > limit) return false;
      this.score = region.view.getFloat64(at, true);
      this.at = at + 8;
      return !Number.isNaN(this.score);
    }
    if (at >= limit) return false;
    const bytes = region.u8[at]!;
    this.at = at + 1;
    if (bytes >= 254) {
      this.score = bytes === 255 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
      return true;
    }
    // 253 is NaN.
    if (bytes === 253 || at + 1 + bytes > limit) return false;
    this.other.set(region, at + 1, bytes);
    this.at = at + 1 + bytes;
    this.score = scoreOf(this.other);
    return !Number.isNaN(this.score);
  }

  // Containers

  /** The next element where elements are entries of containers. */
  private nextEntry(): boolean {
    while (!this.readEntry(this.element)) {
      if (this.failed || this.left === 0) return false;
      this.left--;
      if (this.rdbType === RdbType.Quicklist2) {
        const node = this.readLength();
        if (node === Node.Plain)
          return (this.readString(this.element) && this.element.bytes > 0) || this.fail();
        if (node !== Node.Packed) return this.fail();
      }
      if (!this.openContainer()) return this.fail();
    }
    const { type, value, other } = this;
    if (type !== Type.Hash && type !== Type.SortedSet) return true;
    const { place } = this;
    if (!this.readEntry(value)) return this.fail();
    if (type === Type.SortedSet) {
      this.score = scoreOf(value);
      if (Number.isNaN(this.score)) return this.fail();
    } else if (this.timed) {
      if (!this.readEntry(other)) return this.fail();
      this.deadline = parseInteger(other.region.u8, other.start, other.bytes);
      if (!(this.deadline >= 0 && this.deadline <= MAX_FIELD_DEADLINE)) return this.fail();
    }
    this.place = place;
    return true;
  }

  /** Reads the string that a container is and checks its header. */
  private openContainer(): boolean {
    const { packed } = this;
    if (!this.readString(packed)) return false;
    const { start, bytes } = packed;
    const { u8, view } = packed.region;
    const last = start + bytes - 1;
    this.inside = true;
    this.packedCount = 0;
    this.packedPrevious = 0;
    this.packedEnd = last;
    switch (this.container) {
      case Container.Listpack:
        this.packedAt = start + 6;
        return bytes >= 7 && view.getUint32(start, true) === bytes && u8[last] === 255;
      case Container.Ziplist:
        this.packedAt = start + 10;
        return bytes >= 11 && view.getUint32(start, true) === bytes && u8[last] === 255;
      case Container.Zipmap:
        this.packedAt = start + 1;
        return bytes >= 2 && u8[last] === 255;
    }
    if (bytes < 8) return false;
    const width = view.getUint32(start, true);
    if (width !== 2 && width !== 4 && width !== 8) return false;
    this.packedAt = start + 8;
    this.packedEnd = start + bytes;
    return view.getUint32(start + 4, true) * width === bytes - 8;
  }

  /** The next entry of the open container into `piece`. False at its end, or when something is wrong with it. */
  private readEntry(piece: Piece): boolean {
    if (!this.inside) return false;
    const at = this.packedAt;
    if (at === this.packedEnd) {
      this.inside = false;
      return this.endsWell() ? false : this.fail();
    }
    const next = this.decode(at, piece);
    if (next < 0 || !this.follows(at)) return this.fail();
    this.place = at;
    this.packedPrevious = at;
    this.packedAt = next;
    this.packedCount++;
    return true;
  }

  /** Whether the header of the container told the truth about what it holds. */
  private endsWell(): boolean {
    const { start, region } = this.packed;
    const { packedCount: count } = this;
    if (this.container === Container.Listpack) {
      const said = region.view.getUint16(start + 4, true);
      return said === UNKNOWN_COUNT || said === count;
    }
    if (this.container === Container.Ziplist) {
      const said = region.view.getUint16(start + 8, true);
      const last = count === 0 ? 10 : this.packedPrevious - start;
      return (said === UNKNOWN_COUNT || said === count) && region.view.getUint32(start + 4, true) === last;
    }
    if (this.container === Container.Zipmap) {
      const said = region.u8[start]!;
      return said >= 254 || said * 2 === count;
    }
    return true;
  }

  /** Whether the entry at `at` may come after the one before it. */
  private follows(at: number): boolean {
    const { view, u8 } = this.packed.region;
    const previous = this.packedPrevious;
    if (this.container === Container.Ziplist) {
      const said = u8[at]! < 254 ? u8[at]! : view.getUint32(at + 1, true);
      return said === (previous === 0 ? 0 : at - previous);
    }
    if (this.container !== Container.Intset || previous === 0) return true;
    if (at - previous === 2) return view.getInt16(previous, true) < view.getInt16(at, true);
    if (at - previous === 4) return view.getInt32(previous, true) < view.getInt32(at, true);
    const [before, after] = [view.getInt32(previous + 4, true), view.getInt32(at + 4, true)];
    if (before !== after) return before < after;
    return view.getUint32(previous, true) < view.getUint32(at, true);
  }

  /** The entry at `at` of the open container into `piece`, checked but for what came before it. The byte after it,
   *  -1 when it is malformed. */
  private decode(at: number, piece: Piece): number {
    const end = this.packedEnd;
    switch (this.container) {
      case Container.Listpack:
        return decodeListpack(this.packed.region, at, end, piece);
      case Container.Ziplist:
        return decodeZiplist(this.packed.region, at, end, piece);
      case Container.Zipmap:
        return decodeZipmap(this.packed.region, at, end, (this.packedCount & 1) === 1, piece);
    }
    const width = this.packed.region.view.getUint32(this.packed.start, true);
    decodeInteger(this.packed.region, at, width, piece);
    return at + width;
  }

  // Duplicates

  /** Whether `element` has not come before; it has from now on. */
  private isNew(): boolean {
    if (this.container === Container.Intset) return true; // ascending
    const { element, seen } = this;
    hashBytes(element.region, element.start, element.bytes);
    seen.seek(hashLow);
    for (let place = seen.next(); place >= 0; place = seen.next()) if (this.isAt(place)) return this.fail();
    return seen.add(this.place) || this.fail();
  }

  /** Whether the element that was read from `place` is the same text as `element`. */
  private isAt(place: number): boolean {
    const { element, other, at } = this;
    if (this.container === Container.None) {
      this.at = place;
      this.readString(other); // it could be read before
      this.at = at;
    } else if (this.container === Container.Zipmap)
      decodeZipmap(this.packed.region, place, this.packedEnd, false, other);
    else this.decode(place, other);
    if (other.bytes !== element.bytes) return false;
    return equalBytes(other.region, other.start, element.region, element.start, element.bytes);
  }
}

/** An integer of 1, 2, 3, 4 or 8 bytes, little endian, which must lie in the region. */
function decodeInteger(region: Region, at: number, width: number, piece: Piece): void {
  const { view } = region;
  if (width === 8) return piece.setInteger(view.getInt32(at, true), view.getInt32(at + 4, true));
  const value =
    width === 1
      ? view.getInt8(at)
      : width === 2
        ? view.getInt16(at, true)
        : width === 3
          ? view.getUint16(at, true) | (view.getInt8(at + 2) << 16)
          : view.getInt32(at, true);
  piece.setInteger(value, value >> 31);
}

/** As ValueReader.decode. Codes: 0xxxxxxx integer | 10xxxxxx text | 110xxxxx + 1 integer of 13 bits |
 *  1110xxxx + 1 text of 12 bits | F0 + u32 text | F1 i16 | F2 i24 | F3 i32 | F4 i64. */
function decodeListpack(region: Region, at: number, end: number, piece: Piece): number {
  const { u8, view } = region;
  const code = u8[at]!;
  let head = 1;
  let data = 0;
  if (code >= 0xc0 && code < 0xf0) head = 2;
  else if (code === 0xf0) head = 5;
  else if (code > 0xf4) return -1;
  if (at + head > end) return -1;
  if (code < 0xc0) data = code < 0x80 ? 0 : code & 0x3f;
  else if (code >= 0xe0 && code < 0xf0) data = ((code & 0x0f) << 8) | u8[at + 1]!;
  else if (code === 0xf0) data = view.getUint32(at + 1, true);
  else if (code > 0xf0) data = code === 0xf1 ? 2 : code === 0xf2 ? 3 : code === 0xf3 ? 4 : 8;
  const bytes = head + data;
  const backward = backwardBytes(bytes);
  const next = at + bytes + backward;
  if (next > end) return -1;
  // Seven bits a byte, the most significant first; all but the first are marked.
  for (let i = 0, shift = 7 * (backward - 1); i < backward; i++, shift -= 7)
    if (u8[at + bytes + i] !== (((bytes >>> shift) & 127) | (i === 0 ? 0 : 128))) return -1;
  if (code < 0x80) piece.setInteger(code, 0);
  else if (code >= 0xc0 && code < 0xe0) {
    const value = ((((code & 0x1f) << 8) | u8[at + 1]!) << 19) >> 19;
    piece.setInteger(value, value >> 31);
  } else if (code > 0xf0) decodeInteger(region, at + 1, data, piece);
  else piece.set(region, at + head, data);
  return next;
}

/** As ValueReader.decode. Codes after the length of the entry before (1 byte below 254, else 254 and u32):
 *  00xxxxxx text | 01xxxxxx + 1 text of 14 bits | 10...... + u32 big endian text | C0 i16 | D0 i32 | E0 i64 | F0 i24 |
 *  FE i8 | F1..FD integers 0..12. */
function decodeZiplist(region: Region, at: number, end: number, piece: Piece): number {
  const { u8, view } = region;
  if (u8[at] === 255) return -1;
  const codeAt = u8[at]! < 254 ? at + 1 : at + 5;
  if (codeAt >= end) return -1;
  const code = u8[codeAt]!;
  if (code < 0xc0) {
    const head = code < 0x40 ? 1 : code < 0x80 ? 2 : 5;
    if (codeAt + head > end) return -1;
    const data =
      head === 1
        ? code
        : head === 2
          ? ((code & 0x3f) << 8) | u8[codeAt + 1]!
          : view.getUint32(codeAt + 1, false);
    const next = codeAt + head + data;
    if (next > end) return -1;
    piece.set(region, codeAt + head, data);
    return next;
  }
  if (code >= 0xf1 && code <= 0xfd) {
    piece.setInteger(code - 0xf1, 0);
    return codeAt + 1;
  }
  const width =
    code === 0xc0 ? 2 : code === 0xd0 ? 4 : code === 0xe0 ? 8 : code === 0xf0 ? 3 : code === 0xfe ? 1 : 0;
  const next = codeAt + 1 + width;
  if (width === 0 || next > end) return -1;
  decodeInteger(region, codeAt + 1, width, piece);
  return next;
}

/** As ValueReader.decode: a key, or a value with its free bytes. A length is 1 byte below 254, else 254 and u32. */
function decodeZipmap(region: Region, at: number, end: number, isValue: boolean, piece: Piece): number {
  const { u8, view } = region;
  const first = u8[at]!;
  if (first === 255) return -1;
  const head = (first < 254 ? 1 : 5) + (isValue ? 1 : 0);
  if (at + head > end) return -1;
  const data = first < 254 ? first : view.getUint32(at + 1, true);
  const free = isValue ? u8[at + head - 1]! : 0;
  const next = at + head + data + free;
  if (next > end) return -1;
  piece.set(region, at + head, data);
  return next;
}
