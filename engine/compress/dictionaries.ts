// dictionaries.ts: what compression shares between threads: the dictionaries, what refers to each, and figures.
//
// Layout (bytes)             WHO WRITES IT
//      0  header words, then header figures (Word, Figure)    the compressor
//   4096  a record of 64 bytes a dictionary (Slot)            the compressor
//  36864  16 KiB a shard (Row, then 3 figures a dictionary)   whoever holds that shard's lock
//   then  32 KiB of content a dictionary                      the compressor, before its number is used
// A dictionary's number is its place, 1 to 511; 0 stands for none. Its content never changes while the number is in use,
// and a number is used again only when no stored value refers to it: each shard counts its own, under its lock, so
// nothing is ever approximate. The generation tells two dictionaries of one number apart.
// Neighbours: codec.ts reads with them; engine/shard counts; engine/worker/sweeper.ts makes and frees them.
import { need, Region } from "../memory/region.ts";

export const enum DictionaryLimit {
  Count = 512,
  Bytes = 32768,
  PrefixBytes = 32,
}

/** i32 words of the header. */
const enum Word {
  /** Passes over the keyspace so far: what tells whether a value was read since the last one. */
  Pass = 0,
  Live = 1,
  Made = 2,
  ContentBytes = 3,
  /** Bytes of the text that names the codec, from byte TextAt on. */
  TextBytes = 4,
}

const TEXT_AT = 1024;
const TEXT_BYTES = 512;

/** f64 indexes of the header: what the compressor counts. */
export const enum Figure {
  Compressed = 16,
  CompressSeconds = 17,
  TrainSeconds = 18,
  /** Of the decompressions that prove each compressed value right. */
  Proven = 19,
  ProveSeconds = 20,
  /** Values that did not pay. */
  Refused = 21,
}

const enum Slot {
  State = 0, // i32 words
  Bytes = 1,
  Generation = 2,
  Codec = 3,
  Version = 4,
  PrefixBytes = 5,
  Prefix = 24, // from this byte
  Size = 64,
}

export const enum State {
  Free = 0,
  /** Values are compressed with it. */
  Live = 1,
  /** Another took its place: what refers to it is still read. */
  Retired = 2,
  /** Nothing does any more, said under all locks: the compressor may make it free. */
  Unreferenced = 3,
}

/** f64 indexes of a shard's row. */
export const enum Row {
  Decompressed = 0,
  /** Values made plain again because they were read or edited. */
  Thawed = 1,
  Swapped = 2,
  /** Finished work that came too late: the value had changed. */
  Rejected = 3,
  /** Three a dictionary: values, their raw and their stored bytes. */
  First = 8,
}

export const enum Of {
  Values = 0,
  RawBytes = 1,
  StoredBytes = 2,
  Width = 3,
}

const SLOTS_AT = 4096;
const ROWS_AT = SLOTS_AT + DictionaryLimit.Count * Slot.Size;
const ROW_BYTES = 16384;

/** What another thread needs to attach. */
export interface DictionariesPlan {
  readonly address: number;
  readonly bytes: number;
  readonly shards: number;
}

export class Dictionaries {
  private readonly contents: number;

  private constructor(
    readonly region: Region,
    readonly plan: DictionariesPlan,
  ) {
    this.contents = ROWS_AT + plan.shards * ROW_BYTES;
  }

  static create(shards: number): Dictionaries {
    const bytes = ROWS_AT + shards * ROW_BYTES + DictionaryLimit.Count * DictionaryLimit.Bytes;
    const region = need(Region.shared(bytes), "dictionaries");
    return new Dictionaries(region, { address: region.address, bytes, shards });
  }

  static attach(plan: DictionariesPlan): Dictionaries {
    return new Dictionaries(Region.attach(plan.address, plan.bytes), plan);
  }

  // Figures

  get pass(): number {
    return this.region.i32[Word.Pass]!;
  }

  set pass(value: number) {
    this.region.i32[Word.Pass] = value;
  }

  /** Dictionaries that are or may be referred to. */
  get live(): number {
    return this.region.i32[Word.Live]!;
  }

  /** How many were ever made. */
  get made(): number {
    return this.region.i32[Word.Made]!;
  }

  /** Bytes of their contents. */
  get usedBytes(): number {
    return this.region.i32[Word.ContentBytes]!;
  }

  /** What codec is in use and why. */
  get codecText(): string {
    const bytes = this.region.i32[Word.TextBytes]!;
    return new TextDecoder().decode(this.region.u8.slice(TEXT_AT, TEXT_AT + bytes));
  }

  set codecText(text: string) {
    const bytes = new TextEncoder().encode(text).subarray(0, TEXT_BYTES);
    this.region.u8.set(bytes, TEXT_AT);
    this.region.i32[Word.TextBytes] = bytes.length;
  }

  figure(figure: Figure): number {
    return this.region.f64[figure]!;
  }

  addFigure(figure: Figure, amount: number): void {
    this.region.f64[figure] = this.region.f64[figure]! + amount;
  }

  /** f64 index of a shard's row. */
  rowOf(shard: number): number {
    return (ROWS_AT + shard * ROW_BYTES) >> 3;
  }

  /** A figure of every shard's row. */
  sum(figure: number): number {
    let sum = 0;
    for (let shard = 0; shard < this.plan.shards; shard++)
      sum += this.region.f64[this.rowOf(shard) + figure]!;
    return sum;
  }

  /** A figure of all shards for one dictionary's values. */
  sumOf(number: number, figure: Of): number {
    return this.sum(Row.First + number * Of.Width + figure);
  }

  /** The same for all dictionaries and none. O(numbers). */
  sumOfAll(figure: Of): number {
    let sum = 0;
    for (let number = 0; number < DictionaryLimit.Count; number++) sum += this.sumOf(number, figure);
    return sum;
  }

  // Dictionaries

  private word(number: number, word: Slot): number {
    return ((SLOTS_AT + number * Slot.Size) >> 2) + word;
  }

  state(number: number): State {
    return this.region.i32[this.word(number, Slot.State)]!;
  }

  bytes(number: number): number {
    return this.region.i32[this.word(number, Slot.Bytes)]!;
  }

  generation(number: number): number {
    return this.region.i32[this.word(number, Slot.Generation)]!;
  }

  codec(number: number): number {
    return this.region.i32[this.word(number, Slot.Codec)]!;
  }

  version(number: number): number {
    return this.region.i32[this.word(number, Slot.Version)]!;
  }

  /** Byte at which the content begins. */
  start(number: number): number {
    return this.contents + number * DictionaryLimit.Bytes;
  }

  /** The prefix of the keys that it was made for, as Latin-1 text, the first of it where it is long. */
  prefix(number: number): string {
    const at = SLOTS_AT + number * Slot.Size + Slot.Prefix;
    const bytes = this.region.i32[this.word(number, Slot.PrefixBytes)]!;
    return Buffer.from(this.region.u8.slice(at, at + bytes)).toString("latin1");
  }

  /** Takes in a dictionary; its number, 0 when there are too many. By the compressor alone. */
  add(content: Uint8Array, codec: number, version: number, prefix: Uint8Array): number {
    const { region } = this;
    const { i32 } = region;
    if (content.length === 0 || content.length > DictionaryLimit.Bytes) return 0;
    for (let number = 1; number < DictionaryLimit.Count; number++) {
      if (this.state(number) !== State.Free) continue;
      region.u8.set(content, this.start(number));
      i32[this.word(number, Slot.Bytes)] = content.length;
      i32[this.word(number, Slot.Generation)] = this.generation(number) + 1;
      i32[this.word(number, Slot.Codec)] = codec;
      i32[this.word(number, Slot.Version)] = version;
      const shown = prefix.subarray(0, DictionaryLimit.PrefixBytes);
      i32[this.word(number, Slot.PrefixBytes)] = shown.length;
      region.u8.set(shown, SLOTS_AT + number * Slot.Size + Slot.Prefix);
      i32[Word.Live] = this.live + 1;
      i32[Word.Made] = this.made + 1;
      i32[Word.ContentBytes] = this.usedBytes + content.length;
      Atomics.store(i32, this.word(number, Slot.State), State.Live);
      return number;
    }
    return 0;
  }

  setCodec(number: number, codec: number): void {
    this.region.i32[this.word(number, Slot.Codec)] = codec;
  }

  retire(number: number): void {
    Atomics.store(this.region.i32, this.word(number, Slot.State), State.Retired);
  }

  /** Nothing refers to a retired dictionary any more. Under the locks of all shards. */
  release(number: number): void {
    Atomics.compareExchange(
      this.region.i32,
      this.word(number, Slot.State),
      State.Retired,
      State.Unreferenced,
    );
  }

  /** Makes the number of a dictionary, to which nothing refers, free. By the compressor alone. */
  free(number: number): void {
    const { i32 } = this.region;
    i32[Word.Live] = this.live - 1;
    i32[Word.ContentBytes] = this.usedBytes - this.bytes(number);
    Atomics.store(i32, this.word(number, Slot.State), State.Free);
    this.region.release(this.start(number), this.start(number) + DictionaryLimit.Bytes);
  }
}
