// integer-set.ts: the smallest form of a set: distinct 64-bit integers in ascending order, as Redis's intset has them.
//
//   0 u32 width of a member: 2, 4 or 8 bytes   4 u32 members   8 the members, little endian, two's complement
// The width is that of the widest member there ever was. A member is compared as a number up to 4 bytes of width and as
// two halves of 32 bits beyond, so members past 2^53 are exact without a BigInt.
// Invariants: members ascend strictly; value bytes = 8 + members * width.
// On the data path: nothing allocates. Cursor style: `take` says which integer find and insert mean, `read` leaves a
// member's digits in region, start and bytes. A torn value leads to a RangeError or a wrong answer that its reader
// discards.
// Neighbours: holder.ts, integer.ts; used by set.ts.
import { assert } from "../memory/assert.ts";
import { copyBytes, need, Region } from "../memory/region.ts";
import type { Holder } from "./holder.ts";
import { integerBytes, parseInteger, writeInteger } from "./integer.ts";

const enum At {
  Width = 0,
  Count = 4,
  Members = 8,
}

const TWO_32 = 0x100000000;
const BILLION = 1_000_000_000;

export class IntegerSet {
  private holder: Holder | null = null;
  private home: Region;
  private begin = 0;
  private width = 2;
  count = 0;
  /** Where the member that find looked for is, or belongs. */
  index = 0;

  // The integer that `take` was given: its value is high * 2^32 + low, low unsigned.
  private takenHigh = 0;
  private takenLow = 0;
  private takenWidth = 2;

  // The member that `load` read.
  private high = 0;
  private low = 0;

  /** Digits of the member that `read` read. */
  readonly region = need(Region.private(4096), "the digits of integers");
  readonly start = 0;
  bytes = 0;

  static readonly initialBytes = At.Members;

  constructor() {
    this.home = this.region;
  }

  /** Opens a new record of initialBytes as an empty set. */
  clear(holder: Holder): void {
    const { region, valueStart } = holder;
    region.view.setUint32(valueStart + At.Width, 2, true);
    region.view.setUint32(valueStart + At.Count, 0, true);
    this.open(holder);
  }

  open(holder: Holder): void {
    this.holder = holder;
    this.refresh();
  }

  private refresh(): void {
    const { region, valueStart } = this.holder!;
    this.home = region;
    this.begin = valueStart;
    this.width = region.view.getUint32(valueStart + At.Width, true);
    this.count = region.view.getUint32(valueStart + At.Count, true);
  }

  /** Value bytes after inserting what was taken. */
  get takenBytes(): number {
    return At.Members + (this.count + 1) * Math.max(this.width, this.takenWidth);
  }

  /** The integer that find and insert mean. False when the text is no canonical int64. */
  take(region: Region, start: number, bytes: number): boolean {
    const value = parseInteger(region.u8, start, bytes);
    if (Number.isNaN(value)) return false;
    if (value - value === 0) {
      this.takenHigh = Math.floor(value / TWO_32);
      this.takenLow = value - this.takenHigh * TWO_32;
    } else this.takeLong(region, start, bytes, value < 0);
    this.takenWidth = widthOf(this.takenHigh, this.takenLow);
    return true;
  }

  /** `take` of 16 to 19 digits, which a float64 does not hold: ten at most and then nine. */
  private takeLong(region: Region, start: number, bytes: number, negative: boolean): void {
    const { u8 } = region;
    const end = start + bytes;
    let upper = 0;
    for (let at = negative ? start + 1 : start; at < end - 9; at++) upper = upper * 10 + u8[at]! - 48;
    let lower = 0;
    for (let at = end - 9; at < end; at++) lower = lower * 10 + u8[at]! - 48;
    // upper * 10^9 + lower, with `upper` in two parts so that every product is exact.
    const part = Math.floor(upper / 65536);
    const middle = part * BILLION;
    const small = (middle % 65536) * 65536 + (upper - part * 65536) * BILLION + lower;
    const carry = Math.floor(small / TWO_32);
    this.takenHigh = Math.floor(middle / 65536) + carry;
    this.takenLow = small - carry * TWO_32;
    if (!negative) return;
    this.takenHigh = this.takenLow === 0 ? -this.takenHigh : -this.takenHigh - 1;
    if (this.takenLow !== 0) this.takenLow = TWO_32 - this.takenLow;
  }

  /** Whether what was taken is a member; `index` is where it is or belongs. */
  find(): boolean {
    const { width, takenHigh, takenLow, count } = this;
    if (this.takenWidth > width) {
      // Below or above all that are narrower.
      this.index = takenHigh < 0 ? 0 : count;
      return false;
    }
    const { view } = this.home;
    const first = this.begin + At.Members;
    let from = 0;
    let to = count;
    if (width === 8) {
      while (from < to) {
        const middle = (from + to) >>> 1;
        const high = view.getInt32(first + middle * 8 + 4, true);
        const order =
          high !== takenHigh ? high - takenHigh : view.getUint32(first + middle * 8, true) - takenLow;
        if (order === 0) {
          this.index = middle;
          return true;
        }
        if (order < 0) from = middle + 1;
        else to = middle;
      }
    } else {
      const taken = takenLow | 0; // the whole of it, as it is no wider
      while (from < to) {
        const middle = (from + to) >>> 1;
        const order =
          (width === 2 ? view.getInt16(first + middle * 2, true) : view.getInt32(first + middle * 4, true)) -
          taken;
        if (order === 0) {
          this.index = middle;
          return true;
        }
        if (order < 0) from = middle + 1;
        else to = middle;
      }
    }
    this.index = from;
    return false;
  }

  /** Inserts what `find` has just not found. False, and nothing changed, when memory is out. */
  insert(): boolean {
    const { count, index, width: had, takenWidth } = this;
    const width = Math.max(had, takenWidth);
    if (!this.holder!.resize(this.takenBytes)) return false;
    this.refresh();
    const first = this.begin + At.Members;
    if (width === had)
      copyBytes(
        this.home,
        first + (index + 1) * width,
        this.home,
        first + index * width,
        (count - index) * width,
      );
    else {
      // Wider, from the back: the new one is the first or the last.
      const shift = index === 0 ? 1 : 0;
      for (let i = count - 1; i >= 0; i--) {
        this.load(i);
        this.write(i + shift, width, this.high, this.low);
      }
      this.width = width;
      this.home.view.setUint32(this.begin + At.Width, width, true);
    }
    this.write(index, width, this.takenHigh, this.takenLow);
    this.setCount(count + 1);
    return true;
  }

  /** Removes the member at `index`. */
  remove(index: number): void {
    this.close(index, index + 1);
  }

  /** Removes the members from `from` up to `to`. */
  private close(from: number, to: number): void {
    const { home, width, count } = this;
    const first = this.begin + At.Members;
    copyBytes(home, first + from * width, home, first + to * width, (count - to) * width);
    this.setCount(count - (to - from));
    this.holder!.resize(At.Members + this.count * width);
    this.refresh();
  }

  /** Removal of many in one pass: `keep` moves a member down to where the next of those that stay belongs, and `keepOnly`
   *  says at last how many have been kept. */
  keep(index: number, kept: number): void {
    if (index === kept) return;
    this.load(index);
    this.write(kept, this.width, this.high, this.low);
  }

  keepOnly(kept: number): void {
    this.close(kept, this.count);
  }

  private setCount(count: number): void {
    this.count = count;
    this.home.view.setUint32(this.begin + At.Count, count, true);
  }

  /** Reads member `index` into region, start and bytes. */
  read(index: number): void {
    this.load(index);
    this.bytes = writeHalves(this.region.u8, this.high, this.low);
  }

  /** Bytes of the longest member as text. */
  longestBytes(): number {
    if (this.count === 0) return 0;
    this.read(this.count - 1);
    const last = this.bytes;
    this.read(0);
    return Math.max(last, this.bytes);
  }

  private load(index: number): void {
    const { width } = this;
    const { view } = this.home;
    const at = this.begin + At.Members + index * width;
    if (width === 8) {
      this.high = view.getInt32(at + 4, true);
      this.low = view.getUint32(at, true);
      return;
    }
    const value = width === 2 ? view.getInt16(at, true) : view.getInt32(at, true);
    this.high = value >> 31;
    this.low = value >>> 0;
  }

  private write(index: number, width: number, high: number, low: number): void {
    const { view } = this.home;
    const at = this.begin + At.Members + index * width;
    if (width === 2) return view.setInt16(at, low, true);
    view.setUint32(at, low, true);
    if (width === 8) view.setInt32(at + 4, high, true);
  }

  /** Every invariant: for tests. */
  check(): void {
    const { width, count, holder } = this;
    assert(width === 2 || width === 4 || width === 8, "members have a width");
    assert(holder!.valueBytes === At.Members + count * width, "members fill the value");
    let high = 0;
    let low = 0;
    for (let i = 0; i < count; i++) {
      this.load(i);
      assert(
        i === 0 || this.high > high || (this.high === high && this.low > low),
        "members ascend and differ",
      );
      high = this.high;
      low = this.low;
    }
  }
}

/** Bytes that the integer needs. */
function widthOf(high: number, low: number): number {
  if (high !== (low | 0) >> 31) return 8;
  return low < 0x8000 || low >= 0xffff8000 ? 2 : 4;
}

/** Writes high * 2^32 + low as decimal text to the beginning of `u8` and returns how many bytes it took. */
function writeHalves(u8: Uint8Array, high: number, low: number): number {
  if (high >= -0x200000 && high < 0x200000) return writeInteger(u8, 0, high * TWO_32 + low);
  const negative = high < 0;
  if (negative) {
    high = (low === 0 ? -high : ~high) >>> 0;
    low = -low >>> 0;
  }
  // Divided by 10^9, sixteen bits at a time.
  const first = Math.floor(high / BILLION);
  let rest = (high - first * BILLION) * 65536 + (low >>> 16);
  const second = Math.floor(rest / BILLION);
  rest = (rest - second * BILLION) * 65536 + (low & 0xffff);
  const third = Math.floor(rest / BILLION);
  rest -= third * BILLION;
  const upper = first * TWO_32 + second * 65536 + third;
  if (negative) u8[0] = 45;
  const at = (negative ? 1 : 0) + writeInteger(u8, negative ? 1 : 0, upper);
  const digits = integerBytes(rest);
  for (let i = 0; i < 9 - digits; i++) u8[at + i] = 48;
  writeInteger(u8, at + 9 - digits, rest);
  return at + 9;
}
