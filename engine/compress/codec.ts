// codec.ts: compressed values: their form in a record, and the one seam to the codecs. One Codec a thread.
//
//   OFFSET  SIZE  FIELD
//    0       1    codec: CodecId in bits 0-3 | version of this form (0) in bits 4-7
//    1       1    bit 0: the string was edited (Encoding.Edited) | bits 1-7: pass in which it was last read
//    2       2    number of its dictionary, 0 for none
//    4      1-3   length of the string, 7 bits a byte, lowest first, bit 7: more follow
//    +       ..   payload: a zstd frame without magic number, or a block of LZ4
// `open` takes bytes from anywhere; what is no such value throws StoredError, as does a payload that does not give
// exactly the string's length. Nothing is read or written outside the ranges given.
// zstd is the system's libzstd; where there is none, LZ4, which is our own, does its work: `node:zlib` takes 10 to 100
// times as long for a small value and makes garbage with each.
// On the data path: reading allocates nothing. Neighbours: lz4.ts, zstd.ts, dictionaries.ts; engine/shard reads values
// through it, engine/worker/sweeper.ts writes them.
import { need, Region } from "../memory/region.ts";
import { type Dictionaries, DictionaryLimit } from "./dictionaries.ts";
import { Lz4Encoder, lz4Decompress } from "./lz4.ts";
import {
  freeCompressDictionary,
  freeDecompressDictionary,
  makeCompressDictionary,
  makeDecompressDictionary,
  zstdAvailable,
  zstdCompress,
  zstdDecompress,
  zstdReason,
} from "./zstd.ts";

export const enum CodecId {
  Zstd = 1,
  Lz4 = 2,
}

export const enum StoredLimit {
  /** Longest string that is compressed: more would keep its shard's lock for too long with each read. */
  RawBytes = 65536,
  /** Longest key beside it. */
  KeyBytes = 1024,
  /** Longest header of the form. */
  HeaderBytes = 7,
}

const enum Flags {
  Edited = 1,
  PassShift = 1,
  PassMask = 127,
}

const ZSTD_LEVEL = 6;

/** A stored value that cannot be read: never what this server wrote. */
export class StoredError extends Error {}

export { zstdAvailable, zstdReason };

export class Codec {
  /** A record of the layout of those in segments, for a value that is read and stays compressed; valid until the next. */
  readonly scratch = need(Region.private(StoredLimit.RawBytes + 8192), "values that are read");
  // Of the value opened last.
  edited = false;
  codec = 0;
  dictionary = 0;
  rawBytes = 0;
  private region: Region;
  private start = 0;
  private payload = 0;
  private payloadBytes = 0;
  /** By number: dictionaries of libzstd to decompress with, and the generations they were made for. */
  private readonly readers = new Float64Array(DictionaryLimit.Count);
  private readonly generations = new Int32Array(DictionaryLimit.Count);
  // Of the thread that compresses.
  private encoder: Lz4Encoder | null = null;
  private encoderFor = -1;
  private writer = 0;
  private writerFor = -1;

  constructor(readonly dictionaries: Dictionaries) {
    this.region = this.scratch;
  }

  // Reading

  /** Reads the header of a stored value. Throws StoredError. */
  open(region: Region, start: number, bytes: number): void {
    const { u8 } = region;
    if (!(bytes > 5 && start >= 0 && start + bytes <= region.bytes)) throw new StoredError("too short");
    const codec = u8[start]!;
    const flags = u8[start + 1]!;
    const dictionary = u8[start + 2]! | (u8[start + 3]! << 8);
    const a = u8[start + 4]!;
    let raw = a & 127;
    let payload = start + 5;
    if (a > 127) {
      const b = u8[payload++]!;
      raw |= (b & 127) << 7;
      if (b > 127) raw |= u8[payload++]! << 14;
    }
    const payloadBytes = start + bytes - payload;
    if (
      (codec !== CodecId.Lz4 && codec !== CodecId.Zstd) ||
      payloadBytes <= 0 ||
      raw > StoredLimit.RawBytes ||
      dictionary >= DictionaryLimit.Count
    )
      throw new StoredError("not a stored value");
    this.region = region;
    this.start = start;
    this.codec = codec;
    this.edited = (flags & Flags.Edited) !== 0;
    this.dictionary = dictionary;
    this.rawBytes = raw;
    this.payload = payload;
    this.payloadBytes = payloadBytes;
  }

  /** Whether the value opened last was read before in this pass; now it was. Under its shard's lock. */
  touch(): boolean {
    const { u8 } = this.region;
    const at = this.start + 1;
    const flags = u8[at]!;
    const pass = this.dictionaries.pass & Flags.PassMask;
    if (flags >> Flags.PassShift === pass) return true;
    u8[at] = (flags & Flags.Edited) | (pass << Flags.PassShift);
    return false;
  }

  /** Writes the string of the value opened last. Throws StoredError. */
  decompress(target: Region, targetStart: number): void {
    const { region, payload, payloadBytes, dictionary, dictionaries, rawBytes } = this;
    if (!(targetStart >= 0 && targetStart + rawBytes <= target.bytes)) throw new StoredError("no room");
    const dictionaryBytes = dictionary === 0 ? 0 : dictionaries.bytes(dictionary);
    if (dictionary !== 0 && dictionaries.state(dictionary) === 0) throw new StoredError("no such dictionary");
    const done =
      this.codec === CodecId.Lz4
        ? lz4Decompress(
            region,
            payload,
            payloadBytes,
            target,
            targetStart,
            rawBytes,
            dictionaries.region,
            dictionaries.start(dictionary),
            dictionaryBytes,
          )
        : zstdAvailable &&
          zstdDecompress(
            region.address + payload,
            payloadBytes,
            target.address + targetStart,
            rawBytes,
            dictionary === 0 ? 0 : this.readerOf(dictionary, dictionaryBytes),
          );
    if (!done) throw new StoredError("the stored bytes do not give the value");
  }

  private readerOf(number: number, bytes: number): number {
    const { dictionaries, readers, generations } = this;
    const generation = dictionaries.generation(number);
    const known = readers[number]!;
    if (known !== 0) {
      if (generations[number] === generation) return known;
      freeDecompressDictionary(known);
    }
    const made = makeDecompressDictionary(dictionaries.region.address + dictionaries.start(number), bytes);
    if (made === 0) throw new StoredError("no memory for a dictionary");
    readers[number] = made;
    generations[number] = generation;
    return made;
  }

  // Writing

  /** Writes the stored form of `bytes` bytes, of which `room` are there; its bytes, 0 when it does not fit or the codec is
   *  not to be had. */
  compress(
    codec: CodecId,
    number: number,
    edited: boolean,
    source: Region,
    start: number,
    bytes: number,
    target: Region,
    targetStart: number,
    room: number,
  ): number {
    const { u8 } = target;
    if (bytes > StoredLimit.RawBytes || !(targetStart >= 0 && targetStart + room <= target.bytes)) return 0;
    if (!(start >= 0 && start + bytes <= source.bytes) || room <= StoredLimit.HeaderBytes) return 0;
    let at = targetStart;
    u8[at++] = codec;
    // As if read in the pass before the last: not since it was found cold.
    const pass = (this.dictionaries.pass - 2) & Flags.PassMask;
    u8[at++] = (edited ? Flags.Edited : 0) | (pass << Flags.PassShift);
    u8[at++] = number & 255;
    u8[at++] = number >> 8;
    let rest = bytes;
    for (; rest > 127; rest >>>= 7) u8[at++] = (rest & 127) | 128;
    u8[at++] = rest;
    const left = targetStart + room - at;
    const payload =
      codec === CodecId.Lz4
        ? this.compressLz4(number, source, start, bytes, target, at, left)
        : this.compressZstd(number, source.address + start, bytes, target.address + at, left);
    return payload === 0 ? 0 : at + payload - targetStart;
  }

  private compressLz4(
    number: number,
    source: Region,
    start: number,
    bytes: number,
    target: Region,
    at: number,
    room: number,
  ): number {
    const { dictionaries } = this;
    this.encoder ??= new Lz4Encoder(
      need(Region.private(StoredLimit.RawBytes + DictionaryLimit.Bytes + 4096), "what is compressed"),
    );
    const key = number * 0x10000 + (dictionaries.generation(number) & 0xffff);
    if (this.encoderFor !== key) {
      const content = number === 0 ? 0 : dictionaries.bytes(number);
      this.encoder.setDictionary(dictionaries.region, dictionaries.start(number), content);
      this.encoderFor = key;
    }
    return this.encoder.compress(source, start, bytes, target, at, room);
  }

  private compressZstd(number: number, source: number, bytes: number, target: number, room: number): number {
    if (!zstdAvailable) return 0;
    const { dictionaries } = this;
    const key = number * 0x10000 + (dictionaries.generation(number) & 0xffff);
    if (this.writerFor !== key) {
      if (this.writer !== 0) freeCompressDictionary(this.writer);
      this.writer = 0;
      if (number !== 0) {
        const address = dictionaries.region.address + dictionaries.start(number);
        this.writer = makeCompressDictionary(address, dictionaries.bytes(number), ZSTD_LEVEL);
        if (this.writer === 0) return 0;
      }
      this.writerFor = key;
    }
    return zstdCompress(source, bytes, target, room, this.writer, ZSTD_LEVEL);
  }
}
