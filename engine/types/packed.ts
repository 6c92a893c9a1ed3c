// packed.ts: a run of elements in one piece: small hashes, sets, sorted sets and lists, and the chunks of large lists.
//
//   [u16 count][data of entry 0, 1, ...][descriptors, the last byte being entry 0's]
// A descriptor says what its entry's data is:
//   0..199    text of so many bytes
//   200       text of up to 65,535 bytes: u16 length, text, u16 length (so that it can be met from either side)
//   201..206  integer of 1, 2, 3, 4, 6, 7 bytes, little endian, two's complement
//   207       float64, little endian
//   208..255  integer 0..47, no data
// Text that is the canonical decimal of a safe integer is always kept as the smallest integer, so two entries are equal
// exactly when descriptor and data are. One byte an entry beside its data, where a listpack spends two; and descriptors
// in a row are summed faster than entries are hopped over.
// Invariants: count <= Limit.Entries; value bytes = 2 + data + count.
// On the data path: nothing allocates. Cursor style: `index` and the private offset stand at an entry; edits keep the
// cursor where they say. Every offset derives from the value's own bounds; a torn value leads to a RangeError or a wrong
// answer that its reader discards, never to a write.
// Neighbours: holder.ts, integer.ts; used by hash.ts, set.ts, sorted-set.ts, list.ts.
import { assert } from "../memory/assert.ts";
import { copyBytes, equalBytes, need, Region } from "../memory/region.ts";
import type { Holder } from "./holder.ts";
import { parseInteger, writeInteger } from "./integer.ts";

export const enum PackedLimit {
  HeaderBytes = 2,
  Entries = 65535,
  /** Longest text of an entry. */
  EntryBytes = 65535,
  /** Past this a value is moved to pages whatever the settings say: edits move all of it. */
  Bytes = 1048576,
}

const enum Descriptor {
  LongestShort = 199,
  Long = 200,
  Integer1 = 201,
  Integer7 = 206,
  Double = 207,
  Tiny = 208,
  TinyLargest = 47,
}

/** Bytes of data by descriptor; Long is marked, as it says its own. */
const LONG_MARK = 255;
const widthOf = new Uint8Array(256);
for (let descriptor = 0; descriptor < 256; descriptor++)
  widthOf[descriptor] =
    descriptor <= 199
      ? descriptor
      : descriptor === 200
        ? LONG_MARK
        : descriptor < 207
          ? [1, 2, 3, 4, 6, 7][descriptor - 201]!
          : descriptor === 207
            ? 8
            : 0;

/** The smallest descriptor of an integer. */
function integerDescriptor(value: number): number {
  if (value >= 0 && value <= Descriptor.TinyLargest) return Descriptor.Tiny + value;
  if (value >= -0x80 && value < 0x80) return 201;
  if (value >= -0x8000 && value < 0x8000) return 202;
  if (value >= -0x800000 && value < 0x800000) return 203;
  if (value >= -0x80000000 && value < 0x80000000) return 204;
  if (value >= -0x800000000000 && value < 0x800000000000) return 205;
  return 206;
}

export class Packed {
  private holder: Holder | null = null;
  private home: Region;
  private skip = 0;
  private begin = 0;
  /** Byte after the last descriptor. */
  private end = 0;
  count = 0;
  /** Entry of the cursor, `count` past the last. */
  index = 0;
  private at = 0;

  // What read() found.
  /** Text of the entry: in the record, or digits in a scratch of this object's. */
  region: Region;
  start = 0;
  bytes = 0;
  /** Whether the entry is kept as a number, and which. */
  numeric = false;
  number = 0;

  // What take() was given: the entry to look for or to write.
  private takenRegion: Region;
  private takenStart = 0;
  private takenBytes = 0;
  private takenNumber = 0;
  private takenDescriptor = 0;
  private takenData = 0;

  private readonly scratch = need(Region.private(4096), "the text of numbers");

  constructor() {
    this.home = this.scratch;
    this.region = this.scratch;
    this.takenRegion = this.scratch;
  }

  /** Opens the packed value of a record, which begins `skip` bytes into it; the cursor stands at the first entry. */
  open(holder: Holder, skip = 0): void {
    this.holder = holder;
    this.skip = skip;
    this.refresh();
    this.index = 0;
    this.at = this.begin + PackedLimit.HeaderBytes;
  }

  private refresh(): void {
    const { region, valueStart, valueBytes } = this.holder!;
    this.home = region;
    this.begin = valueStart + this.skip;
    this.end = valueStart + valueBytes;
    this.count = region.u8[this.begin]! | (region.u8[this.begin + 1]! << 8);
  }

  /** Makes a value that `create` left undefined an empty one. The record must be skip + 2 bytes. */
  clear(): void {
    this.home.u8[this.begin] = 0;
    this.home.u8[this.begin + 1] = 0;
    this.count = 0;
    this.index = 0;
  }

  /** Bytes of the packed value. */
  get packedBytes(): number {
    return this.end - this.begin;
  }

  private setCount(count: number): void {
    this.count = count;
    this.home.u8[this.begin] = count & 255;
    this.home.u8[this.begin + 1] = count >>> 8;
  }

  private dataBytes(descriptor: number, at: number): number {
    const width = widthOf[descriptor]!;
    return width !== LONG_MARK ? width : this.home.view.getUint16(at, true) + 4;
  }

  // Cursor

  /** Moves the cursor to entry `index` (0..count). */
  seek(index: number): void {
    const { home, end } = this;
    const { u8 } = home;
    if (index < this.index) {
      if (this.index - index > index) {
        this.index = 0;
        this.at = this.begin + PackedLimit.HeaderBytes;
      }
    } else if (this.count - index < index - this.index) {
      this.index = this.count;
      this.at = end - this.count;
    }
    let { at } = this;
    for (let i = this.index; i < index; i++) at += this.dataBytes(u8[end - 1 - i]!, at);
    for (let i = this.index - 1; i >= index; i--) {
      const width = widthOf[u8[end - 1 - i]!]!;
      at -= width !== LONG_MARK ? width : home.view.getUint16(at - 2, true) + 4;
    }
    this.index = index;
    this.at = at;
  }

  /** Moves the cursor to the following entry. */
  next(): void {
    this.at += this.dataBytes(this.home.u8[this.end - 1 - this.index]!, this.at);
    this.index++;
  }

  /** Reads the entry under the cursor into region, start, bytes, numeric and number. */
  read(): void {
    const { home, at } = this;
    const descriptor = home.u8[this.end - 1 - this.index]!;
    if (descriptor <= Descriptor.Long) {
      this.numeric = false;
      this.region = home;
      if (descriptor === Descriptor.Long) {
        this.start = at + 2;
        this.bytes = home.view.getUint16(at, true);
      } else {
        this.start = at;
        this.bytes = descriptor;
      }
      return;
    }
    this.numeric = true;
    this.number = this.numberAt(descriptor, at);
    if (descriptor === Descriptor.Double) return;
    this.region = this.scratch;
    this.start = 0;
    this.bytes = writeInteger(this.scratch.u8, 0, this.number);
  }

  /** The entry under the cursor, known to be a number (scores, deadlines). */
  readNumber(): number {
    return this.numberAt(this.home.u8[this.end - 1 - this.index]!, this.at);
  }

  private numberAt(descriptor: number, at: number): number {
    if (descriptor >= Descriptor.Tiny) return descriptor - Descriptor.Tiny;
    const { view } = this.home;
    switch (descriptor) {
      case 201:
        return view.getInt8(at);
      case 202:
        return view.getInt16(at, true);
      case 203:
        return view.getUint16(at, true) + view.getInt8(at + 2) * 0x10000;
      case 204:
        return view.getInt32(at, true);
      case 205:
        return view.getUint32(at, true) + view.getInt16(at + 4, true) * 0x100000000;
      case 206:
        return (
          view.getUint32(at, true) +
          view.getUint16(at + 4, true) * 0x100000000 +
          view.getInt8(at + 6) * 0x1000000000000
        );
      case Descriptor.Double:
        return view.getFloat64(at, true);
      default:
        throw new RangeError("a number is wanted where there is none"); // a torn read
    }
  }

  // Looking for and writing an entry

  /** The text that find, insert and replace mean. At most PackedLimit.EntryBytes. */
  take(region: Region, start: number, bytes: number): void {
    if (bytes <= 17) {
      const value = parseInteger(region.u8, start, bytes);
      // NaN and what lies beyond 2^53 stay text.
      if (value - value === 0) return this.takeInteger(value);
    }
    this.takenRegion = region;
    this.takenStart = start;
    this.takenBytes = bytes;
    if (bytes <= Descriptor.LongestShort) {
      this.takenDescriptor = bytes;
      this.takenData = bytes;
    } else {
      this.takenDescriptor = Descriptor.Long;
      this.takenData = bytes + 4;
    }
  }

  /** The same for a safe integer. */
  takeInteger(value: number): void {
    this.takenNumber = value;
    this.takenDescriptor = integerDescriptor(value);
    this.takenData = widthOf[this.takenDescriptor]!;
  }

  /** The same for a float64 that is read back with readNumber. */
  takeNumber(value: number): void {
    if (Number.isSafeInteger(value)) return this.takeInteger(value);
    this.takenNumber = value;
    this.takenDescriptor = Descriptor.Double;
    this.takenData = 8;
  }

  /** Moves the cursor on to the first entry at `index`, `index + step`, ... that equals what was taken. False, and the
   *  cursor past the last, when there is none. */
  find(step: number): boolean {
    const { home, end, count, takenDescriptor } = this;
    const { u8 } = home;
    let { at, index } = this;
    while (index < count) {
      const descriptor = u8[end - 1 - index]!;
      if (descriptor === takenDescriptor && this.equals(at)) {
        this.index = index;
        this.at = at;
        return true;
      }
      at += this.dataBytes(descriptor, at);
      for (let skipped = ++index + step - 1; index < skipped; index++)
        at += this.dataBytes(u8[end - 1 - index]!, at);
    }
    this.index = count;
    this.at = end - count;
    return false;
  }

  /** Whether the data at `at`, whose descriptor is the taken one, is the taken entry's. */
  private equals(at: number): boolean {
    const { takenDescriptor, takenBytes } = this;
    if (takenDescriptor > Descriptor.Long) return this.numberAt(takenDescriptor, at) === this.takenNumber;
    if (takenDescriptor === Descriptor.Long) {
      if (this.home.view.getUint16(at, true) !== takenBytes) return false;
      at += 2;
    }
    return equalBytes(this.home, at, this.takenRegion, this.takenStart, takenBytes);
  }

  /** Bytes by which insert() makes the value longer. */
  get takenCost(): number {
    return this.takenData + 1;
  }

  /** Inserts what was taken before the entry under the cursor, where the cursor stays, on the new entry. False, and
   *  nothing changed, when memory is out. The taken text must not lie in this record. */
  insert(): boolean {
    const { index, takenData } = this;
    const offset = this.at - this.begin;
    const { count } = this;
    assert(count < PackedLimit.Entries, "a packed value has room for another entry");
    const before = this.end - this.begin;
    if (!this.holder!.resize(this.skip + before + takenData + 1)) return false;
    this.refresh();
    const { home, begin, end } = this;
    const oldEnd = begin + before;
    // From the back: descriptors of what comes before, of what comes after, then the data that comes after.
    if (index > 0) copyBytes(home, end - index, home, oldEnd - index, index);
    if (index < count) {
      copyBytes(home, end - count - 1, home, oldEnd - count, count - index);
      copyBytes(home, begin + offset + takenData, home, begin + offset, oldEnd - count - begin - offset);
    }
    this.at = begin + offset;
    home.u8[end - 1 - index] = this.takenDescriptor;
    this.writeTaken(this.at);
    this.setCount(count + 1);
    return true;
  }

  /** Puts what was taken in place of the entry under the cursor. False, and nothing changed, when memory is out. */
  replace(): boolean {
    const { index, count, takenData } = this;
    const offset = this.at - this.begin;
    const had = this.dataBytes(this.home.u8[this.end - 1 - index]!, this.at);
    const before = this.end - this.begin;
    if (takenData > had && !this.holder!.resize(this.skip + before + takenData - had)) return false;
    if (takenData !== had) {
      this.refresh();
      const { home, begin } = this;
      const from = begin + offset + had;
      if (takenData > had) {
        copyBytes(home, this.end - count, home, begin + before - count, count);
        copyBytes(home, from + takenData - had, home, from, begin + before - count - from);
      } else {
        copyBytes(home, from + takenData - had, home, from, begin + before - from);
        this.holder!.resize(this.skip + before + takenData - had);
        this.refresh();
      }
    }
    this.at = this.begin + offset;
    this.home.u8[this.end - 1 - index] = this.takenDescriptor;
    this.writeTaken(this.at);
    return true;
  }

  private writeTaken(at: number): void {
    const { home, takenDescriptor, takenNumber } = this;
    const { view } = home;
    if (takenDescriptor < Descriptor.Long) {
      copyBytes(home, at, this.takenRegion, this.takenStart, this.takenBytes);
      return;
    }
    switch (takenDescriptor) {
      case Descriptor.Long:
        view.setUint16(at, this.takenBytes, true);
        copyBytes(home, at + 2, this.takenRegion, this.takenStart, this.takenBytes);
        view.setUint16(at + 2 + this.takenBytes, this.takenBytes, true);
        return;
      case 201:
        return view.setInt8(at, takenNumber);
      case 202:
        return view.setInt16(at, takenNumber, true);
      case 203:
        view.setUint16(at, takenNumber & 0xffff, true);
        return view.setInt8(at + 2, takenNumber >> 16);
      case 204:
        return view.setInt32(at, takenNumber, true);
      case 205:
      case 206: {
        const high = Math.floor(takenNumber / 0x100000000);
        view.setUint32(at, takenNumber - high * 0x100000000, true);
        view.setInt16(at + 4, (high << 16) >> 16, true);
        if (takenDescriptor === 206) view.setInt8(at + 6, high >> 16);
        return;
      }
      case Descriptor.Double:
        return view.setFloat64(at, takenNumber, true);
    }
  }

  /** Removes `howMany` entries from the cursor on, which stays on what follows them. */
  remove(howMany: number): void {
    const { index, count, home, begin, end } = this;
    const { u8 } = home;
    let after = this.at;
    for (let i = index; i < index + howMany; i++) after += this.dataBytes(u8[end - 1 - i]!, after);
    const offset = this.at - begin;
    const gone = after - this.at;
    // The data that follows, the descriptors of what follows, then those of what comes before.
    const shorter = end - gone - howMany;
    if (index + howMany < count) {
      copyBytes(home, this.at, home, after, end - count - after);
      copyBytes(home, shorter - (count - howMany), home, end - count, count - index - howMany);
    }
    if (index > 0) copyBytes(home, shorter - index, home, end - index, index);
    this.setCount(count - howMany);
    this.holder!.resize(this.skip + shorter - begin);
    this.refresh();
    this.at = this.begin + offset;
  }

  /** Every invariant: for tests. */
  check(): void {
    let at = this.begin + PackedLimit.HeaderBytes;
    for (let i = 0; i < this.count; i++) {
      const descriptor = this.home.u8[this.end - 1 - i]!;
      const bytes = this.dataBytes(descriptor, at);
      if (descriptor === Descriptor.Long)
        assert(
          this.home.view.getUint16(at + bytes - 2, true) === bytes - 4,
          "a long entry says its length twice",
        );
      if (descriptor > Descriptor.Long && descriptor !== Descriptor.Double)
        assert(integerDescriptor(this.numberAt(descriptor, at)) === descriptor, "integers are kept smallest");
      at += bytes;
    }
    assert(at + this.count === this.end, "data and descriptors fill the value");
  }
}
