// hyperloglog.ts: Redis's HyperLogLog strings: how many different elements were added, within 0.81 %, byte for byte.
//
//   OFFSET  SIZE  FIELD
//    0       4    "HYLL"
//    4       1    0 dense, 1 sparse
//    5       3    unused
//    8       8    the last estimate, little-endian; stale when the top bit of its last byte is set
//   16      ..    16384 registers of 0 .. 51
//   dense         6 bits a register, from the low bits of each byte on: 12288 bytes
//   sparse        runs: 00xxxxxx            x + 1 zeros
//                       01xxxxxx yyyyyyyy   14 bits + 1 zeros
//                       1vvvvvxx            x + 1 times v + 1
// An element's hash names a register (14 bits) and a rank (1 + trailing zeros of the other 50); a register is the
// greatest rank it met. Runs are split and joined exactly as Redis does it, because DUMP, GET and replicas show them.
//
// A string may be anything a client has SET. Nothing is believed: runs that do not cover 16384 registers are an error,
// a run cut off by the end reads a zero, and reading stops where the registers do. A valid sparse string has at most
// 32784 bytes, one run of two bytes a register; longer ones are corrupt without being read.
// On the data path; allocates nothing. Neighbours: engine/commands/hyperloglog.ts.
import { clearBytes, copyBytes, need, Region } from "../memory/region.ts";

export const enum Layout {
  Encoding = 4,
  Count = 8,
  /** The byte whose top bit says that the estimate is stale. */
  Stale = 15,
  Registers = 16,
  DenseBytes = 12304,
  /** Of a new, empty string: one run. */
  EmptyBytes = 18,
  MostSparseBytes = 32784,
}

const enum Limit {
  Registers = 16384,
  Zero = 64,
  Value = 32,
  ValueRun = 4,
  /** Greatest rank. */
  Rank = 51,
}

const SPARSE = 1;
const DENSE = 0;

// Hash

let low = 0;
let high = 0;

/** Multiplies (high, low) by 0xc6a4a7935bd1e995. */
function multiply(): void {
  const a0 = low & 0xffff;
  const a1 = low >>> 16;
  const p00 = Math.imul(a0, 0xe995);
  const p01 = Math.imul(a0, 0x5bd1);
  const p10 = Math.imul(a1, 0xe995);
  const middle = (p00 >>> 16) + (p01 & 0xffff) + (p10 & 0xffff);
  const carried = Math.imul(a1, 0x5bd1) + (p01 >>> 16) + (p10 >>> 16) + (middle >>> 16);
  high = (carried + Math.imul(low, 0xc6a4a793) + Math.imul(high, 0x5bd1e995)) | 0;
  low = (p00 & 0xffff) | (middle << 16);
}

/** MurmurHash64A of Appleby with Redis's seed, into `high` and `low`. */
function hash(region: Region, start: number, bytes: number): void {
  const { u8, view } = region;
  low = bytes;
  high = 0;
  multiply();
  let hashLow = low ^ 0xadc83b19;
  let hashHigh = high;
  const whole = start + (bytes & ~7);
  let at = start;
  for (; at < whole; at += 8) {
    low = view.getInt32(at, true);
    high = view.getInt32(at + 4, true);
    multiply();
    low ^= high >>> 15; // the word shifted right by 47
    multiply();
    low ^= hashLow;
    high ^= hashHigh;
    multiply();
    hashLow = low;
    hashHigh = high;
  }
  low = hashLow;
  high = hashHigh;
  const rest = bytes & 7;
  if (rest > 0) {
    for (let i = 0; i < rest; i++) {
      const byte = u8[at + i]! << ((i & 3) << 3);
      if (i < 4) low ^= byte;
      else high ^= byte;
    }
    multiply();
  }
  low ^= high >>> 15;
  multiply();
  low ^= high >>> 15;
}

/** What `locate` found for an element. */
export let register = 0;
export let rank = 0;

/** Sets `register` and `rank` for the element region[start, start + bytes). */
export function locate(region: Region, start: number, bytes: number): void {
  hash(region, start, bytes);
  register = low & (Limit.Registers - 1);
  const first = low >>> 14;
  if (first !== 0) rank = 32 - Math.clz32(first & -first);
  else if (high !== 0) rank = 50 - Math.clz32(high & -high);
  else rank = Limit.Rank;
}

// Strings

/** Whether region[start, start + bytes) looks like one: the header, and the length where it is fixed. */
export function isSketch(region: Region, start: number, bytes: number): boolean {
  const { u8 } = region;
  if (bytes < Layout.Registers) return false;
  if (u8[start] !== 72 || u8[start + 1] !== 89 || u8[start + 2] !== 76 || u8[start + 3] !== 76) return false;
  const encoding = u8[start + Layout.Encoding]!;
  return encoding === SPARSE || (encoding === DENSE && bytes === Layout.DenseBytes);
}

/** Whether a string that isSketch is dense. */
export function isDense(region: Region, start: number): boolean {
  return region.u8[start + Layout.Encoding] === DENSE;
}

export function isStale(region: Region, start: number): boolean {
  return (region.u8[start + Layout.Stale]! & 0x80) !== 0;
}

export function makeStale(region: Region, start: number): void {
  region.u8[start + Layout.Stale]! |= 0x80;
}

/** The estimate that a string remembers; beyond 2^53 rounded. */
export function rememberedCount(region: Region, start: number): number {
  const { view } = region;
  return view.getUint32(start + 12, true) * 2 ** 32 + view.getUint32(start + 8, true);
}

/** Remembers an estimate. The one of -2^63 stays stale. */
export function rememberCount(region: Region, start: number, count: number): void {
  const { view } = region;
  view.setUint32(start + 8, count < 0 ? 0 : count % 2 ** 32, true);
  view.setUint32(start + 12, count < 0 ? 0x80000000 : Math.floor(count / 2 ** 32), true);
}

/** Register `at` of a dense string. */
function denseRegister(region: Region, start: number, at: number): number {
  const { u8 } = region;
  const byte = start + Layout.Registers + ((at * 6) >> 3);
  const shift = (at * 6) & 7;
  const next = shift > 2 ? u8[byte + 1]! : 0;
  return ((u8[byte]! | (next << 8)) >> shift) & 63;
}

/** Raises register `at` of a dense string to `value`. False when it is not below. */
export function raiseDense(region: Region, start: number, at: number, value: number): boolean {
  if (denseRegister(region, start, at) >= value) return false;
  const { u8 } = region;
  const byte = start + Layout.Registers + ((at * 6) >> 3);
  const shift = (at * 6) & 7;
  u8[byte] = (u8[byte]! & ~(63 << shift)) | (value << shift);
  if (shift > 2) u8[byte + 1] = (u8[byte + 1]! & ~(63 >> (8 - shift))) | (value >> (8 - shift));
  return true;
}

/** Registers, one a byte. */
export class Registers {
  readonly values = new Uint8Array(Limit.Registers);

  clear(): void {
    this.values.fill(0);
  }

  /** Raises each to that of the string, where it is below. False when the string is corrupt; some may be raised. */
  merge(region: Region, start: number, bytes: number): boolean {
    const { u8 } = region;
    const { values } = this;
    if (!isDense(region, start)) return this.mergeSparse(u8, start + Layout.Registers, start + bytes);
    let at = start + Layout.Registers;
    for (let i = 0; i < Limit.Registers; i += 4, at += 3) {
      const four = u8[at]! | (u8[at + 1]! << 8) | (u8[at + 2]! << 16);
      if (four === 0) continue;
      if ((four & 63) > values[i]!) values[i] = four & 63;
      if (((four >> 6) & 63) > values[i + 1]!) values[i + 1] = (four >> 6) & 63;
      if (((four >> 12) & 63) > values[i + 2]!) values[i + 2] = (four >> 12) & 63;
      if (four >> 18 > values[i + 3]!) values[i + 3] = four >> 18;
    }
    return true;
  }

  private mergeSparse(u8: Uint8Array, from: number, end: number): boolean {
    const { values } = this;
    let i = 0;
    let at = from;
    while (at < end && i <= Limit.Registers) {
      const byte = u8[at]!;
      if (byte < 64) i += byte + 1;
      else if (byte < 128) i += longRun(u8, at++, end);
      else {
        const stop = i + (byte & 3) + 1;
        if (stop > Limit.Registers) return false;
        const value = ((byte >> 2) & 31) + 1;
        for (; i < stop; i++) if (value > values[i]!) values[i] = value;
      }
      at++;
    }
    return at >= end && i === Limit.Registers;
  }

  /** Writes them as a dense string's, behind a header at `start`. */
  pack(region: Region, start: number): void {
    const { u8 } = region;
    const { values } = this;
    let at = start + Layout.Registers;
    for (let i = 0; i < Limit.Registers; i += 4, at += 3) {
      const four = values[i]! | (values[i + 1]! << 6) | (values[i + 2]! << 12) | (values[i + 3]! << 18);
      u8[at] = four;
      u8[at + 1] = four >> 8;
      u8[at + 2] = four >> 16;
    }
    u8[start + Layout.Encoding] = DENSE;
  }

  count(): number {
    histogram.fill(0);
    const { values } = this;
    for (let i = 0; i < Limit.Registers; i++) histogram[values[i]!]!++;
    return estimate();
  }
}

/** Zeros of the two-byte run at `at`; a second byte past the end is zero. */
function longRun(u8: Uint8Array, at: number, end: number): number {
  return (((u8[at]! & 63) << 8) | (at + 1 < end ? u8[at + 1]! : 0)) + 1;
}

// Counting

/** How many registers have each value. */
const histogram = new Int32Array(64);

/** The estimate of a string that isSketch: an integer, -2^63 where Redis's leaves int64, NaN when it is corrupt. */
export function countSketch(region: Region, start: number, bytes: number): number {
  const { u8 } = region;
  histogram.fill(0);
  let at = start + Layout.Registers;
  if (isDense(region, start)) {
    for (const end = start + bytes; at < end; at += 3) {
      const four = u8[at]! | (u8[at + 1]! << 8) | (u8[at + 2]! << 16);
      histogram[four & 63]!++;
      histogram[(four >> 6) & 63]!++;
      histogram[(four >> 12) & 63]!++;
      histogram[four >> 18]!++;
    }
    return estimate();
  }
  const end = start + bytes;
  let registers = 0;
  while (at < end && registers <= Limit.Registers) {
    const byte = u8[at]!;
    const value = byte < 128 ? 0 : ((byte >> 2) & 31) + 1;
    let run = byte < 128 ? byte + 1 : (byte & 3) + 1;
    if (byte >= 64 && byte < 128) run = longRun(u8, at++, end);
    histogram[value]! += run;
    registers += run;
    at++;
  }
  return at >= end && registers === Limit.Registers ? estimate() : Number.NaN;
}

/** Ertl's estimator over the histogram (New cardinality estimation algorithms for HyperLogLog sketches, 2017), in the
 *  order of operations that Redis has. */
function estimate(): number {
  const m = Limit.Registers;
  let z = m * tau((m - histogram[Limit.Rank]!) / m);
  for (let i = Limit.Rank - 1; i >= 1; i--) {
    z += histogram[i]!;
    z *= 0.5;
  }
  z += m * sigma(histogram[0]! / m);
  const count = Math.round((0.7213475204444817 * m * m) / z);
  return count < 2 ** 63 ? count : -(2 ** 63);
}

function sigma(x: number): number {
  if (x === 1) return Number.POSITIVE_INFINITY;
  let y = 1;
  let z = x;
  let before: number;
  do {
    x *= x;
    before = z;
    z += x * y;
    y += y;
  } while (before !== z);
  return z;
}

function tau(x: number): number {
  if (x === 0 || x === 1) return 0;
  let y = 1;
  let z = 1 - x;
  let before: number;
  do {
    x = Math.sqrt(x);
    before = z;
    y *= 0.5;
    z -= (1 - x) * (1 - x) * y;
  } while (before !== z);
  return z / 3;
}

// Changing

/** What raising a register came to. */
export const enum Raised {
  No = 0,
  Yes = 1,
  Corrupt = -1,
}

/** Room for the longest sparse string, and for what splitting every register's run adds to a corrupt one. */
const WORK_BYTES = 128 * 1024;

/** A string being changed, outside its record: it grows and shrinks freely, and is stored once at the end. */
export class Work {
  readonly region = need(Region.private(WORK_BYTES), "a HyperLogLog being changed");
  bytes = 0;
  /** Where the next walk may begin: a run and its first register. Only ascending registers may use it. */
  private resumeAt = 0;
  private resumeFirst = 0;
  private readonly registers = new Registers();

  /** An empty string. */
  create(): void {
    const { u8 } = this.region;
    clearBytes(this.region, 0, Layout.EmptyBytes + 1);
    u8[0] = 72;
    u8[1] = 89;
    u8[2] = u8[3] = 76;
    u8[Layout.Encoding] = SPARSE;
    u8[16] = 0x7f; // one run of 16384 zeros
    u8[17] = 0xff;
    this.bytes = Layout.EmptyBytes;
    this.restart();
  }

  /** A copy of a string that isSketch. False when it is too long to be valid. */
  load(region: Region, start: number, bytes: number): boolean {
    if (bytes > Layout.MostSparseBytes) return false;
    copyBytes(this.region, 0, region, start, bytes);
    this.region.u8[bytes] = 0; // what a run cut off by the end reads
    this.bytes = bytes;
    this.restart();
    return true;
  }

  private restart(): void {
    this.resumeAt = Layout.Registers;
    this.resumeFirst = 0;
  }

  get dense(): boolean {
    return isDense(this.region, 0);
  }

  /** Makes it dense. False, and nothing changed, when it is corrupt. */
  toDense(): boolean {
    if (this.dense) return true;
    const { registers } = this;
    registers.clear();
    if (!registers.merge(this.region, 0, this.bytes)) return false;
    this.pack(registers);
    return true;
  }

  /** Makes it dense with these registers. */
  pack(registers: Registers): void {
    registers.pack(this.region, 0);
    this.bytes = Layout.DenseBytes;
  }

  /** Raises register `index` to `value`; it becomes dense when a run cannot hold the value or when it would grow beyond
   *  `mostBytes`. With `ascending`, every register since create or load was asked for in ascending order. */
  raise(index: number, value: number, mostBytes: number, ascending: boolean): Raised {
    const { region } = this;
    if (this.dense) return raiseDense(region, 0, index, value) ? Raised.Yes : Raised.No;
    if (value > Limit.Value) return this.promote(index, value);
    const { u8 } = region;
    const end = this.bytes;

    // The run that covers the register, and the two before it.
    let at = ascending ? this.resumeAt : Layout.Registers;
    let first = ascending ? this.resumeFirst : 0;
    let before = -1;
    let beforeFirst = 0;
    let second = -1;
    let secondFirst = 0;
    let run = 0;
    let size = 1;
    while (at < end) {
      const byte = u8[at]!;
      size = 1;
      if (byte < 64) run = byte + 1;
      else if (byte >= 128) run = (byte & 3) + 1;
      else {
        run = longRun(u8, at, end);
        size = 2;
      }
      if (index < first + run) break;
      second = before;
      secondFirst = beforeFirst;
      before = at;
      beforeFirst = first;
      at += size;
      first += run;
    }
    if (at >= end) return Raised.Corrupt;
    // Joining changes runs from `before` on, so the one before that stays where it is.
    this.resumeAt = second < 0 ? Layout.Registers : second;
    this.resumeFirst = second < 0 ? 0 : secondFirst;

    const byte = u8[at]!;
    const old = byte < 128 ? 0 : ((byte >> 2) & 31) + 1;
    if (old >= value) return Raised.No;
    if (run === 1 && size === 1) u8[at] = valueRun(value, 1);
    else {
      // Split: what is left of the run before the register, the register, what is left after it.
      const left = index - first;
      const right = first + run - 1 - index;
      const grown = partBytes(left, old) + 1 + partBytes(right, old) - size;
      if (grown > 0 && this.bytes + grown > mostBytes) return this.promote(index, value);
      const next = Math.min(at + size, end);
      copyBytes(region, next + grown, region, next, end - next);
      let into = writePart(u8, at, left, old);
      u8[into++] = valueRun(value, 1);
      writePart(u8, into, right, old);
      this.bytes = end + grown;
    }
    this.join(before < 0 ? at : before);
    u8[this.bytes] = 0;
    makeStale(region, 0);
    return Raised.Yes;
  }

  /** Joins neighbouring runs of one value, looking at five runs or joins from `from` on, as far as Redis looks. */
  private join(from: number): void {
    const { region } = this;
    const { u8 } = region;
    let at = from;
    for (let looks = 0; looks < 5 && at < this.bytes; looks++) {
      const byte = u8[at]!;
      if (byte < 128) {
        at += byte < 64 ? 1 : 2;
        continue;
      }
      if (at + 1 < this.bytes) {
        const next = u8[at + 1]!;
        const run = (byte & 3) + (next & 3) + 2;
        if (next >= 128 && next >> 2 === byte >> 2 && run <= Limit.ValueRun) {
          u8[at + 1] = valueRun(((byte >> 2) & 31) + 1, run);
          copyBytes(region, at, region, at + 1, this.bytes - at - 1);
          this.bytes--;
          continue;
        }
      }
      at++;
    }
  }

  private promote(index: number, value: number): Raised {
    if (!this.toDense()) return Raised.Corrupt;
    return raiseDense(this.region, 0, index, value) ? Raised.Yes : Raised.No;
  }
}

function valueRun(value: number, run: number): number {
  return 0x80 | ((value - 1) << 2) | (run - 1);
}

/** Bytes of a part of `run` registers of value `old` that a split leaves. */
function partBytes(run: number, old: number): number {
  if (run === 0) return 0;
  return old === 0 && run > Limit.Zero ? 2 : 1;
}

/** Writes such a part at `at` and returns where it ends. */
function writePart(u8: Uint8Array, at: number, run: number, old: number): number {
  if (run === 0) return at;
  if (old !== 0) u8[at] = valueRun(old, run);
  else if (run <= Limit.Zero) u8[at] = run - 1;
  else {
    u8[at++] = 0x40 | ((run - 1) >> 8);
    u8[at] = run - 1;
  }
  return at + 1;
}

// Describing and testing: cold

/** The runs of a sparse string as PFDEBUG DECODE prints them. */
export function describeRuns(region: Region, start: number, bytes: number): string {
  const { u8 } = region;
  const end = start + bytes;
  const runs: string[] = [];
  for (let at = start + Layout.Registers; at < end; at++) {
    const byte = u8[at]!;
    if (byte < 64) runs.push(`z:${byte + 1}`);
    else if (byte < 128) runs.push(`Z:${longRun(u8, at++, end)}`);
    else runs.push(`v:${((byte >> 2) & 31) + 1},${(byte & 3) + 1}`);
  }
  return runs.join(" ");
}

/** Calls `visit` with every register of a dense string, in order. */
export function eachRegister(region: Region, start: number, visit: (value: number) => void): void {
  for (let i = 0; i < Limit.Registers; i++) visit(denseRegister(region, start, i));
}

/** Tests registers, both encodings and the estimator against each other over `elements` elements. What is wrong, as the
 *  rest of Redis's TESTFAILED line, or null. */
export function selfTest(elements: number, chance: () => number): string | null {
  const dense = new Work();
  const sparse = new Work();
  dense.create();
  dense.toDense();
  const expected = new Uint8Array(Limit.Registers);
  for (let cycle = 0; cycle < 10; cycle++) {
    clearBytes(dense.region, Layout.Registers, Layout.DenseBytes - Layout.Registers);
    for (let i = 0; i < Limit.Registers; i++) {
      expected[i] = Math.floor(chance() * 64);
      raiseDense(dense.region, 0, i, expected[i]!);
    }
    for (let i = 0; i < Limit.Registers; i++) {
      const value = denseRegister(dense.region, 0, i);
      if (value !== expected[i]) return `Register ${i} should be ${expected[i]} but is ${value}`;
    }
  }

  clearBytes(dense.region, Layout.Registers, Layout.DenseBytes - Layout.Registers);
  sparse.create();
  const element = need(Region.private(4096), "an element");
  const salt = Math.floor(chance() * 2 ** 32);
  for (let added = 1, check = 1; added <= elements; added++) {
    element.u32[0] = added;
    element.u32[1] = salt;
    locate(element, 0, 8);
    dense.raise(register, rank, 0, false);
    sparse.raise(register, rank, 3000, false);
    if (added !== check) continue;
    check *= 10;
    const count = countSketch(dense.region, 0, dense.bytes);
    if (countSketch(sparse.region, 0, sparse.bytes) !== count) return "dense/sparse disagree";
    const error = Math.abs(count - added);
    const most = added === 10 ? 1 : Math.ceil((1.04 / 128) * 6 * added);
    if (error > most) return `Too big error. card:${added} abserr:${error}`;
  }
  return null;
}
