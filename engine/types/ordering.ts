// ordering.ts: sorting by numbers without an object an element: what SORT and the geo searches order their results with.
//
// An Ordering is pairs of a key (float64) and a number that says what it belongs to; it is sorted by key, ascending, and
// pairs of equal keys by the texts of their numbers or else in the order in which they came: a few by merging, many by the
// digits of their keys (radix 2048) and then each run of equal keys by merging. Texts are numbered texts:
// one that lies in a segment is referred to where it lies, as nothing there changes while a command reads, any other (the
// digits of an integer) is copied. What both hold is kept for the next command up to a bound.
// Allocates O(elements) of typed memory, never objects. Neighbours: engine/commands/sort.ts, engine/commands/geo.ts.
import { assert } from "../memory/assert.ts";
import { compareBytes, copyBytes, need, Region } from "../memory/region.ts";

const enum Kept {
  /** Pairs or texts whose arrays are kept. */
  Count = 65536,
  /** Bytes of copied texts that are kept. */
  Bytes = 1048576,
}

const enum Sort {
  /** Pairs that are sorted by insertion before runs are merged. */
  Run = 12,
  /** From so many pairs on they are sorted by digits. */
  Many = 2048,
  /** A key is six digits of 11 bits, three in each of its words. */
  Digits = 6,
  DigitBits = 11,
  Radix = 2048,
}

/** Bytes of a piece for copied texts: digits mostly, and never more than the scratch of a packed value. */
const PIECE_BYTES = 16 * 1024 * 1024;

/** Elements in an array that is to hold `count`. */
function roomFor(count: number): number {
  return Math.max(1024, 2 ** Math.ceil(Math.log2(count)));
}

export class Texts {
  count = 0;
  /** Of each text three words, which are met together: the number of its region, byte offset and bytes. */
  private places = new Uint32Array(3072);
  private readonly regions: Region[] = [];
  private readonly pieces: Region[] = [];
  /** Bytes of `pieces` that are taken, from the first on. */
  private used = 0;
  /** The region met last, and its number. */
  private last: Region;
  private lastNumber = 0;

  // The text that take() came to.
  region: Region;
  start = 0;
  bytes = 0;

  constructor() {
    const first = need(Region.private(PIECE_BYTES), "texts to sort");
    this.pieces.push(first);
    this.regions.push(first);
    this.last = first;
    this.region = first;
  }

  /** Adds a text. False when the system has no memory for it. */
  add(region: Region, start: number, bytes: number): boolean {
    const number = this.count;
    if (number * 3 === this.places.length) this.grow();
    if (!region.shared) {
      const at = this.copied(region, start, bytes);
      if (at < 0) return false;
      region = this.pieces[Math.floor(at / PIECE_BYTES)]!;
      start = at % PIECE_BYTES;
    }
    this.places[number * 3] = this.numberOf(region);
    this.places[number * 3 + 1] = start;
    this.places[number * 3 + 2] = bytes;
    this.count = number + 1;
    return true;
  }

  /** Where in the pieces a text has been copied to; -1 when the system has no memory. */
  private copied(region: Region, start: number, bytes: number): number {
    assert(bytes <= PIECE_BYTES, "a text that is not in a segment is short");
    const { pieces } = this;
    const into = this.used % PIECE_BYTES;
    const at = into + bytes > PIECE_BYTES ? this.used - into + PIECE_BYTES : this.used;
    const number = Math.floor(at / PIECE_BYTES);
    if (number === pieces.length) {
      const piece = Region.private(PIECE_BYTES);
      if (piece === null) return -1;
      pieces.push(piece);
    }
    copyBytes(pieces[number]!, at % PIECE_BYTES, region, start, bytes);
    this.used = at + bytes;
    return at;
  }

  private numberOf(region: Region): number {
    if (region === this.last) return this.lastNumber;
    const { regions } = this;
    let number = regions.indexOf(region);
    if (number < 0) number = regions.push(region) - 1;
    this.last = region;
    this.lastNumber = number;
    return number;
  }

  private grow(): void {
    const places = new Uint32Array(roomFor(this.count + 1) * 3);
    places.set(this.places);
    this.places = places;
  }

  /** Moves the cursor to a text. */
  take(number: number): void {
    const { places } = this;
    this.region = this.regions[places[number * 3]!]!;
    this.start = places[number * 3 + 1]!;
    this.bytes = places[number * 3 + 2]!;
  }

  /** Order of two texts by their bytes. */
  compare(a: number, b: number): number {
    const { places, regions } = this;
    const left = regions[places[a * 3]!]!;
    const right = regions[places[b * 3]!]!;
    const leftStart = places[a * 3 + 1]!;
    const rightStart = places[b * 3 + 1]!;
    return compareBytes(left, leftStart, places[a * 3 + 2]!, right, rightStart, places[b * 3 + 2]!);
  }

  /** The six bytes of a text from byte `from` on as a number, zeros past its end: of texts that are equal before them those
   *  with different ones have their order. */
  sixBytes(number: number, from: number): number {
    const { places } = this;
    const { u8 } = this.regions[places[number * 3]!]!;
    const start = places[number * 3 + 1]! + from;
    const most = Math.min(places[number * 3 + 2]! - from, 6);
    let high = 0;
    for (let i = 0; i < 3; i++) high = (high << 8) | (i < most ? u8[start + i]! : 0);
    let low = 0;
    for (let i = 3; i < 6; i++) low = (low << 8) | (i < most ? u8[start + i]! : 0);
    return high * 2 ** 24 + low;
  }

  /** Forgets all texts, and what memory is more than is kept. */
  clear(): void {
    this.count = 0;
    if (this.places.length > Kept.Count * 3) this.places = new Uint32Array(3072);
    for (let from = 0, i = 0; from < this.used; from += PIECE_BYTES, i++) {
      const end = Math.min(PIECE_BYTES, this.used - from);
      const kept = i === 0 ? Kept.Bytes : 0;
      // release() takes whole pages only: all of them when it is told to go to the end of the last.
      if (end > kept) this.pieces[i]!.release(kept, (end + 4095) & ~4095);
    }
    this.used = 0;
  }
}

export class Ordering {
  count = 0;
  keys = new Float64Array(1024);
  numbers = new Uint32Array(1024);
  private otherKeys = new Float64Array(1024);
  private otherNumbers = new Uint32Array(1024);
  private readonly digits = new Uint32Array(Sort.Digits * Sort.Radix);
  private texts: Texts | null = null;
  /** Bytes of the texts that the keys are made of. */
  private keyed = 0;
  private descending = false;
  /** Pairs that will be asked for, and how many may come before the others are dropped. */
  private wanted = 0;
  private most = 0;
  /** The last pair of those asked for: what does not come before it is not among them. */
  private limit = Number.POSITIVE_INFINITY;
  private limitNumber = 0;

  /** Begins with no pairs, of which the first `wanted` (1 or more) will be asked for. Equal keys are in the order of their
   *  texts, whose first `keyed` bytes they are made of, with `descending` the other way round. */
  begin(wanted: number, texts: Texts | null, keyed: number, descending: boolean): void {
    this.count = 0;
    this.texts = texts;
    this.keyed = keyed;
    this.descending = descending;
    this.wanted = wanted;
    this.most = Math.max(1024, wanted * 2);
    this.limit = Number.POSITIVE_INFINITY;
    this.limitNumber = -1;
  }

  /** Adds a pair; its key is no NaN. */
  add(key: number, number: number): void {
    if (key > this.limit) return;
    if (key === this.limit && this.limitNumber >= 0 && this.inOrder(this.limitNumber, number)) return;
    if (this.count === this.keys.length || this.count >= this.most) this.makeRoom();
    this.keys[this.count] = key + 0; // no -0
    this.numbers[this.count] = number;
    this.count++;
  }

  private makeRoom(): void {
    if (this.count >= this.most) {
      this.sort();
      this.count = this.wanted;
      this.limit = this.keys[this.wanted - 1]!;
      this.limitNumber = this.numbers[this.wanted - 1]!;
      return;
    }
    const room = roomFor(this.count + 1);
    const keys = new Float64Array(room);
    keys.set(this.keys);
    this.keys = keys;
    const numbers = new Uint32Array(room);
    numbers.set(this.numbers);
    this.numbers = numbers;
  }

  /** Sorts the pairs, of which more than were wanted may be there. */
  sort(): void {
    const { count } = this;
    if (this.otherKeys.length < count) {
      this.otherKeys = new Float64Array(this.keys.length);
      this.otherNumbers = new Uint32Array(this.keys.length);
    }
    if (count < Sort.Many) {
      this.sortRange(0, count);
      return;
    }
    this.sortByDigits();
    if (this.texts !== null) this.sortEqual(this.texts);
  }

  // Many: least digit first, so that each step keeps the order of the one before.

  private sortByDigits(): void {
    const { count, digits } = this;
    const words = new Uint32Array(this.keys.buffer);
    digits.fill(0);
    // Words whose order as integers is that of the keys; a float64 could not hold them, as some would be NaN.
    for (let i = 0; i < count * 2; i += 2) {
      let low = words[i]!;
      let high = words[i + 1]!;
      if (high >= 0x80000000) {
        low = ~low >>> 0;
        high = ~high >>> 0;
      } else high = (high | 0x80000000) >>> 0;
      words[i] = low;
      words[i + 1] = high;
      digits[low & 2047]!++;
      digits[2048 + ((low >>> 11) & 2047)]!++;
      digits[4096 + (low >>> 22)]!++;
      digits[6144 + (high & 2047)]!++;
      digits[8192 + ((high >>> 11) & 2047)]!++;
      digits[10240 + (high >>> 22)]!++;
    }
    for (let digit = 0; digit < Sort.Digits; digit++) {
      const word = digit < 3 ? 0 : 1;
      const shift = (digit % 3) * Sort.DigitBits;
      const from = new Uint32Array(this.keys.buffer);
      const first = (from[word]! >>> shift) & (Sort.Radix - 1);
      if (digits[digit * Sort.Radix + first] !== count) this.scatter(from, word, shift, digit * Sort.Radix);
    }
    const sorted = new Uint32Array(this.keys.buffer);
    for (let i = 0; i < count * 2; i += 2) {
      const high = sorted[i + 1]!;
      if (high >= 0x80000000) sorted[i + 1] = high & 0x7fffffff;
      else {
        sorted[i] = ~sorted[i]!;
        sorted[i + 1] = ~high;
      }
    }
  }

  /** Moves all pairs to the other arrays, by one digit, whose counts are in `digits` from `base` on. */
  private scatter(from: Uint32Array, word: number, shift: number, base: number): void {
    const { count, digits, numbers, otherNumbers } = this;
    const to = new Uint32Array(this.otherKeys.buffer);
    let place = 0;
    for (let i = base; i < base + Sort.Radix; i++) {
      const here = digits[i]!;
      digits[i] = place;
      place += here;
    }
    for (let i = 0; i < count; i++) {
      const low = from[i * 2]!;
      const high = from[i * 2 + 1]!;
      const digit = base + (((word === 0 ? low : high) >>> shift) & (Sort.Radix - 1));
      const at = digits[digit]!;
      digits[digit] = at + 1;
      to[at * 2] = low;
      to[at * 2 + 1] = high;
      otherNumbers[at] = numbers[i]!;
    }
    const { keys } = this;
    this.keys = this.otherKeys;
    this.numbers = otherNumbers;
    this.otherKeys = keys;
    this.otherNumbers = numbers;
  }

  /** Sorts each run of equal keys by its texts. */
  private sortEqual(texts: Texts): void {
    const { count, keys, keyed, numbers } = this;
    const sign = this.descending ? -1 : 1;
    for (let from = 0, end = 1; from < count; from = end++) {
      const key = keys[from]!;
      while (end < count && keys[end] === key) end++;
      if (end === from + 1) continue;
      for (let i = from; i < end; i++) keys[i] = texts.sixBytes(numbers[i]!, keyed) * sign;
      this.sortRange(from, end);
      keys.fill(key, from, end);
    }
  }

  // Few, or equal: by merging.

  private sortRange(from: number, end: number): void {
    for (let run = from; run < end; run += Sort.Run) this.insertionSort(run, Math.min(run + Sort.Run, end));
    let moved = false;
    for (let width = Sort.Run as number; width < end - from; width *= 2) {
      const keys = moved ? this.otherKeys : this.keys;
      const numbers = moved ? this.otherNumbers : this.numbers;
      const toKeys = moved ? this.keys : this.otherKeys;
      const toNumbers = moved ? this.numbers : this.otherNumbers;
      for (let left = from; left < end; left += width * 2)
        this.merge(
          keys,
          numbers,
          toKeys,
          toNumbers,
          left,
          Math.min(left + width, end),
          Math.min(left + width * 2, end),
        );
      moved = !moved;
    }
    if (!moved) return;
    const { keys, numbers, otherKeys, otherNumbers } = this;
    for (let i = from; i < end; i++) {
      keys[i] = otherKeys[i]!;
      numbers[i] = otherNumbers[i]!;
    }
  }

  private insertionSort(from: number, end: number): void {
    const { keys, numbers } = this;
    for (let i = from + 1; i < end; i++) {
      const key = keys[i]!;
      const number = numbers[i]!;
      let at = i;
      for (; at > from; at--) {
        const before = keys[at - 1]!;
        if (before < key || (before === key && this.inOrder(numbers[at - 1]!, number))) break;
        keys[at] = before;
        numbers[at] = numbers[at - 1]!;
      }
      keys[at] = key;
      numbers[at] = number;
    }
  }

  /** Merges the sorted pairs [left, middle) and [middle, end) into other arrays. */
  private merge(
    keys: Float64Array,
    numbers: Uint32Array,
    toKeys: Float64Array,
    toNumbers: Uint32Array,
    left: number,
    middle: number,
    end: number,
  ): void {
    let right = middle;
    let to = left;
    while (left < middle && right < end) {
      const leftKey = keys[left]!;
      const rightKey = keys[right]!;
      if (leftKey < rightKey || (leftKey === rightKey && this.inOrder(numbers[left]!, numbers[right]!))) {
        toKeys[to] = leftKey;
        toNumbers[to++] = numbers[left++]!;
      } else {
        toKeys[to] = rightKey;
        toNumbers[to++] = numbers[right++]!;
      }
    }
    for (; left < middle; left++) {
      toKeys[to] = keys[left]!;
      toNumbers[to++] = numbers[left]!;
    }
    for (; right < end; right++) {
      toKeys[to] = keys[right]!;
      toNumbers[to++] = numbers[right]!;
    }
  }

  /** Whether of two with equal keys the one that came first may stay first. */
  private inOrder(first: number, second: number): boolean {
    const { texts } = this;
    if (texts === null) return true;
    const order = texts.compare(first, second);
    return this.descending ? order >= 0 : order <= 0;
  }

  /** Forgets all pairs, and what memory is more than is kept. */
  clear(): void {
    this.count = 0;
    this.texts = null;
    if (this.keys.length > Kept.Count) {
      this.keys = new Float64Array(1024);
      this.numbers = new Uint32Array(1024);
    }
    if (this.otherKeys.length > Kept.Count) {
      this.otherKeys = new Float64Array(1024);
      this.otherNumbers = new Uint32Array(1024);
    }
  }
}
