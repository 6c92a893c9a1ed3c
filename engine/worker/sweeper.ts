// sweeper.ts: walks the keyspace for strings that have grown cold, compresses them, makes the dictionaries for it.
//
// A pass goes over all shards, databases and leaves of the index, and begins no sooner than `ageMs` after the last one did.
// A string is cold when a pass finds it where and as the one before did: kept of each is one byte, a checksum, by the
// place of its record (one byte for 128 of data). It is read without any lock; what was torn by a write is noticed where
// the work is put in place (swaps.ts), or with several workers by the shard's version before that.
//
// Keys fall into classes by what stands before their first colon. A class has samples, of which a dictionary is made
// (cover.ts) with the codec that does best on samples kept aside; it is made again when values come out a good deal
// larger than those did, and kept if that is any better. What does not pay is left alone for some passes.
// Each compressed value is decompressed once here and compared, so nothing is put in place that cannot be read.
// A dictionary that was replaced keeps its number until no value refers to it (dictionaries.ts).
// Off the data path: in a thread of its own (compressor.ts); allocates. Takes the time from its caller.
// Neighbours: engine/compress; swaps.ts.
import { type Codec, CodecId, StoredLimit, zstdAvailable } from "../compress/codec.ts";
import { chooseContent } from "../compress/cover.ts";
import { type Dictionaries, DictionaryLimit, Figure, Of, State } from "../compress/dictionaries.ts";
import type { Settings } from "../config/settings.ts";
import { Handle } from "../memory/allocator.ts";
import { hashBytes, hashHigh, hashLow } from "../memory/hash.ts";
import {
  deadlineAt,
  Encoding,
  flagsFor,
  headerBytes,
  keyBytesAt,
  keyStartAt,
  Type,
  valueBytesAt,
} from "../memory/record.ts";
import { copyBytes, equalBytes, need, Region } from "../memory/region.ts";
import { classOf, Size, slotBytesOf } from "../memory/size-classes.ts";
import type { Keyspace } from "../shard/keyspace.ts";
import { DATABASES, type Shard } from "../shard/shard.ts";
import type { Swaps } from "./swaps.ts";

export interface SweepOptions {
  /** 0: for each class the one that does better. */
  codec: CodecId | 0;
  /** Shortest string that is compressed. */
  floor: number;
  /** How long a value must lie untouched; 0: it need not. */
  ageMs: number;
  /** For tests: whatever can be compressed is, whether it pays or not. */
  always: boolean;
  /** By the prefix of keys: the codec, 0 for none. */
  rules: ReadonlyMap<string, CodecId | 0>;
}

export const enum Swept {
  /** There is more to do at once. */
  More = 0,
  /** The workers have to take what was made first. */
  Full = 1,
  /** The pass is over. */
  Rest = 2,
}

const enum Limit {
  Classes = 256,
  Samples = 4000,
  SampleBytes = 524288,
  /** Of one value. */
  PieceBytes = 8192,
  /** Fewer say nothing. */
  LeastSamples = 32,
  LeastSampleBytes = 8192,
  /** Bytes of a class for each byte of its dictionary, at least. */
  Share = 4,
  /** Passes for which a class that does not pay is left alone. */
  Patience = 6,
  /** Values after which a class's ratio is believed. */
  Recent = 512,
  /** Versions of a class's dictionary that values may refer to. */
  Versions = 4,
  PrefixBytes = 64,
  /** Bytes of data for a byte of checksums, as a shift. */
  CheckShift = 7,
}

/** A class whose values come out this much worse than its samples did gets a new dictionary, and keeps it if it is that
 *  much better than the old one. */
const DECAY = 0.85;
const BETTER = 0.95;
/** A pass that met nothing to compress is followed by the next after so long at least, if values have to lie at all. */
const FRUITLESS_MS = 30_000;
/** Share of the memory that compressing must save. */
const PAYS = 0.125;
const PAYS_BYTES = 16;

interface Class {
  readonly prefix: Uint8Array;
  /** 0 while there is none, or none is needed. */
  dictionary: number;
  /** 0: its values are left alone. */
  codec: CodecId | 0;
  fixed: CodecId | 0 | -1;
  version: number;
  samples: Uint8Array | null;
  sampleBytes: number;
  ends: number[];
  /** Bytes that its values had in the pass so far, and the pass in which there was any. */
  bytes: number;
  seenIn: number;
  retryIn: number;
  /** Stored for raw bytes: what samples promised, and what became of them. */
  expected: number;
  recent: number;
  recentRaw: number;
  recentStored: number;
}

/** What the settings say of it. */
export function sweepOptions(settings: Settings): SweepOptions {
  const idOf = (name: string | undefined) =>
    name === "zstd" ? CodecId.Zstd : name === "lz4" ? CodecId.Lz4 : (0 as const);
  const always = settings.get("compression") === "always";
  const rules = new Map<string, CodecId | 0>();
  const words = settings.get("compression-rule")!.split(/\s+/);
  for (let i = 0; i + 1 < words.length; i += 2) rules.set(words[i]!.replace(/:.*$/, ""), idOf(words[i + 1]));
  return {
    codec: idOf(settings.get("compression-codec")),
    floor: always ? 1 : settings.number("compression-floor"),
    ageMs: always ? 0 : settings.number("compression-age") * 1000,
    always,
    rules,
  };
}

/** Where in `work` what lies. */
const RAW_AT = 2048;
const STORED_AT = RAW_AT + StoredLimit.RawBytes;
const PROOF_AT = STORED_AT + StoredLimit.RawBytes + 64;
const WORK_BYTES = PROOF_AT + StoredLimit.RawBytes + 4096;

/** Bytes of the slot or pages of a record. */
function slotBytes(bytes: number): number {
  return bytes <= Size.MaxSlotBytes ? slotBytesOf[classOf(bytes)]! : (bytes + 4095) & ~4095;
}

export class Sweeper {
  options: SweepOptions = { codec: 0, floor: 96, ageMs: 600_000, always: false, rules: new Map() };
  private readonly codec: Codec;
  private readonly dictionaries: Dictionaries;
  private readonly work = need(Region.private((WORK_BYTES + 4095) & ~4095), "what is compressed");
  private readonly classes = new Map<number, Class>();
  /** Checksums of what the last pass saw, by shard and segment. */
  private readonly checks = new Map<number, Region>();
  private readonly handles: number[] = [];
  private shard = 0;
  private db = 0;
  private entry = 0;
  private passBegunMs = Number.NEGATIVE_INFINITY;
  private resting = true;
  /** The pass has met values that might be compressed. */
  private fruitful = true;
  private full = false;
  /** One key in so many gives a sample. */
  private stride = 1;
  /** Where the value after the key in `work` is. */
  private region = this.work;
  private valueStart = 0;
  /** Of the value in `work`. */
  private keyBytes = 0;
  private rawBytes = 0;
  private edited = false;
  private deadline = false;
  private keyLow = 0;

  constructor(
    private readonly keyspace: Keyspace,
    private readonly swaps: Swaps,
    /** Milliseconds that only go forward. */
    private readonly now: () => number,
  ) {
    this.codec = keyspace.codec;
    this.dictionaries = keyspace.codec.dictionaries;
  }

  /** Works for about `budgetMs`. */
  step(budgetMs: number): Swept {
    const begun = this.now();
    // The leaf is looked at again: what was made of it should be in place by then.
    if (this.full && !this.swaps.idle) return Swept.Full;
    this.full = false;
    if (this.resting) {
      const { ageMs } = this.options;
      const pauseMs = this.fruitful || ageMs === 0 ? ageMs : Math.max(ageMs, FRUITLESS_MS);
      if (begun - this.passBegunMs < pauseMs) return Swept.Rest;
      this.beginPass(begun);
    }
    do {
      const shard = this.keyspace.shards[this.shard]!;
      if (this.db === DATABASES) {
        this.db = 0;
        if (++this.shard < this.keyspace.shards.length) continue;
        this.endPass();
        return Swept.Rest;
      }
      let done = true;
      try {
        if (this.entry >= shard.index.directorySize(this.db)) {
          this.db++;
          this.entry = 0;
          continue;
        }
        done = this.sweepLeaf(shard);
        if (done) {
          const span = shard.index.leafSpan(this.db, this.entry);
          this.entry += Math.max(1, span - (this.entry % span));
        }
      } catch {
        this.entry++; // a torn read led nowhere
      }
      if (!done) {
        this.full = true;
        return Swept.Full;
      }
    } while (this.now() - begun < budgetMs);
    return Swept.More;
  }

  private beginPass(now: number): void {
    this.passBegunMs = now;
    this.resting = false;
    this.fruitful = false;
    this.shard = 0;
    this.db = 0;
    this.entry = 0;
    let keys = 0;
    for (let db = 0; db < DATABASES; db++) keys += this.keyspace.keys(db);
    this.stride = Math.max(1, Math.floor(keys / (2 * Limit.Samples)));
    for (const each of this.classes.values()) each.bytes = 0;
  }

  private endPass(): void {
    const { dictionaries, classes } = this;
    this.resting = true;
    dictionaries.pass = (dictionaries.pass + 1) & 0x3fffffff;
    for (const [hash, each] of classes) {
      if (each.samples !== null) this.train(each);
      else if (
        each.recent >= Limit.Recent &&
        each.recentStored > (each.recentRaw * each.expected) / DECAY &&
        this.versionsOf(each) < Limit.Versions
      )
        this.gather(each);
      else if (each.codec === 0 && each.fixed !== 0 && dictionaries.pass >= each.retryIn) this.gather(each);
      if (
        each.seenIn < dictionaries.pass - 2 &&
        (each.dictionary === 0 || this.referred(each.dictionary) === 0)
      ) {
        this.retire(each);
        classes.delete(hash);
      }
    }
    this.freeUnreferenced();
  }

  /** Dictionaries made for a class that values may still refer to. */
  private versionsOf(each: Class): number {
    const { dictionaries } = this;
    const prefix = Buffer.from(each.prefix.subarray(0, DictionaryLimit.PrefixBytes)).toString("latin1");
    let versions = 0;
    for (let number = 1; number < DictionaryLimit.Count; number++)
      if (dictionaries.state(number) !== State.Free && dictionaries.prefix(number) === prefix) versions++;
    return versions;
  }

  private referred(number: number): number {
    return this.dictionaries.sumOf(number, Of.Values);
  }

  private freeUnreferenced(): void {
    const { dictionaries } = this;
    for (let number = 1; number < DictionaryLimit.Count; number++)
      if (dictionaries.state(number) === State.Unreferenced) dictionaries.free(number);
  }

  private retire(each: Class): void {
    if (each.dictionary !== 0) this.dictionaries.retire(each.dictionary);
    each.dictionary = 0;
  }

  /** Begins to take samples of a class. */
  private gather(each: Class): void {
    each.samples = new Uint8Array(Limit.SampleBytes);
    each.sampleBytes = 0;
    each.ends = [];
  }

  // Values

  /** Looks at the values of the leaf at the cursor. False when a ring is full: then it is to be looked at again. */
  private sweepLeaf(shard: Shard): boolean {
    const { handles, keyspace } = this;
    const alone = keyspace.shards.length === 1;
    const version = alone ? 0 : shard.readBegin();
    if (version === -1) return true; // somebody writes: with the next pass
    const leaf = shard.index.leafAt(this.db, this.entry);
    handles.length = 0;
    shard.index.collectLeaf(leaf, handles);
    if (!alone && !shard.readValid(version)) return true;
    for (const handle of handles) if (!this.visit(shard, handle, alone)) return false;
    return true;
  }

  /** Looks at a value. False when it was compressed and there is no room for it in the ring. */
  private visit(shard: Shard, handle: number, alone: boolean): boolean {
    const { options } = this;
    const version = alone ? 0 : shard.readBegin();
    if (version === -1 || !this.takeKey(shard, handle, version, alone)) return true;
    const each = this.classOf();
    if (each === null) return true;
    each.bytes += this.rawBytes;
    each.seenIn = this.dictionaries.pass;
    // A class that does not pay costs its keys.
    if (each.codec === 0 && each.samples === null) return true;
    this.fruitful = true;
    if (!this.takeValue(shard, version, alone)) return true;
    if (each.samples !== null && (this.keyLow >>> 0) % this.stride === 0) this.sample(each);
    const cold = this.isCold(shard, handle) || options.ageMs === 0 || options.always;
    if (!cold || each.codec === 0) return true;
    const stored = this.compress(each);
    if (stored === 0) return true;
    const number = this.shard;
    return this.swaps.append(
      number % this.swaps.plan.workers,
      number,
      this.db,
      handle,
      this.work,
      0,
      this.keyBytes,
      RAW_AT,
      this.rawBytes,
      STORED_AT,
      stored,
    );
  }

  /** Copies the key of a record to `work`. False when its value is none to compress. */
  private takeKey(shard: Shard, handle: number, version: number, alone: boolean): boolean {
    const { work, options } = this;
    const region = shard.segments.at(handle >>> Handle.SegmentShift);
    const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
    const kind = region.u8[at]!;
    this.edited = kind === (Type.String | (Encoding.Edited << 4));
    if (!this.edited && kind !== (Type.String | (Encoding.Bytes << 4))) return false;
    const keyBytes = keyBytesAt(region, at);
    const rawBytes = valueBytesAt(region, at);
    if (!(rawBytes >= Math.max(1, options.floor) && rawBytes <= StoredLimit.RawBytes)) return false;
    if (!(keyBytes <= StoredLimit.KeyBytes)) return false;
    this.deadline = deadlineAt(region, at) !== 0;
    this.region = region;
    this.valueStart = keyStartAt(region, at) + keyBytes;
    copyBytes(work, 0, region, this.valueStart - keyBytes, keyBytes);
    if (!alone && !shard.readValid(version)) return false;
    this.keyBytes = keyBytes;
    this.rawBytes = rawBytes;
    return options.always || this.recordBytes(rawBytes) > 120;
  }

  /** Copies the value after that key to `work`. False when it is none to compress. */
  private takeValue(shard: Shard, version: number, alone: boolean): boolean {
    const { work } = this;
    copyBytes(work, RAW_AT, this.region, this.valueStart, this.rawBytes);
    if (!alone && !shard.readValid(version)) return false;
    const { u8 } = work;
    // A HyperLogLog is written to by every look at it.
    const sketch =
      u8[RAW_AT] === 72 && u8[RAW_AT + 1] === 89 && u8[RAW_AT + 2] === 76 && u8[RAW_AT + 3] === 76;
    return this.options.always || !sketch;
  }

  /** Bytes of the record in `work` with a value of `bytes` bytes. */
  private recordBytes(bytes: number): number {
    const { keyBytes } = this;
    return headerBytes(flagsFor(keyBytes, bytes, this.deadline ? 1 : 0)) + keyBytes + bytes;
  }

  /** Whether the last pass saw the value as it is; now this one has. */
  private isCold(shard: Shard, handle: number): boolean {
    const segment = handle >>> Handle.SegmentShift;
    const number = this.shard * 32 + segment;
    let checks = this.checks.get(number);
    if (checks === undefined) {
      const bytes = Math.max(4096, shard.segments.segmentBytes >> Limit.CheckShift);
      checks = need(Region.private(bytes), "checksums of values");
      this.checks.set(number, checks);
    }
    const { view } = this.work;
    const { rawBytes } = this;
    let sum = handle ^ Math.imul(rawBytes, -1640531535);
    for (let at = 0; at + 4 <= rawBytes; at += 4)
      sum = Math.imul(sum ^ view.getInt32(RAW_AT + at, true), 0x01000193) ^ (sum >>> 17);
    const check = 1 + ((sum >>> 0) % 255);
    const at = (handle & Handle.GranuleMask) >>> (Limit.CheckShift - Handle.GranuleShift);
    const same = checks.u8[at] === check;
    checks.u8[at] = check;
    return same;
  }

  /** The class of the key in `work`, null when there are too many. */
  private classOf(): Class | null {
    const { work, keyBytes, classes } = this;
    hashBytes(work, 0, keyBytes);
    this.keyLow = hashLow;
    let prefix = 0;
    const most = Math.min(keyBytes, Limit.PrefixBytes);
    while (prefix < most && work.u8[prefix] !== 58) prefix++;
    if (prefix === most) prefix = 0;
    hashBytes(work, 0, prefix);
    const hash = (hashHigh >>> 0) * 0x100000 + (hashLow & 0xfffff);
    const known = classes.get(hash);
    if (known !== undefined) return known;
    if (classes.size >= Limit.Classes) return null;
    const bytes = work.u8.slice(0, prefix);
    const made: Class = {
      prefix: bytes,
      dictionary: 0,
      codec: 0,
      fixed: this.options.rules.get(Buffer.from(bytes).toString("latin1")) ?? -1,
      version: 0,
      samples: null,
      sampleBytes: 0,
      ends: [],
      bytes: 0,
      seenIn: this.dictionaries.pass,
      retryIn: 0,
      expected: 1,
      recent: 0,
      recentRaw: 0,
      recentStored: 0,
    };
    if (made.fixed !== 0) this.gather(made);
    classes.set(hash, made);
    return made;
  }

  private sample(each: Class): void {
    const { samples } = each;
    const bytes = Math.min(this.rawBytes, Limit.PieceBytes);
    if (samples === null || each.ends.length >= Limit.Samples || each.sampleBytes + bytes > samples.length)
      return;
    samples.set(this.work.u8.subarray(RAW_AT, RAW_AT + bytes), each.sampleBytes);
    each.sampleBytes += bytes;
    each.ends.push(each.sampleBytes);
  }

  /** Compresses the value in `work` as its class does; its stored bytes, 0 when that does not pay. */
  private compress(each: Class): number {
    const { codec, dictionaries, work, rawBytes, options } = this;
    const begun = this.now();
    const id = each.codec === 0 ? CodecId.Lz4 : each.codec;
    const room = options.always ? rawBytes + 64 : rawBytes;
    const stored = codec.compress(
      id,
      each.dictionary,
      this.edited,
      work,
      RAW_AT,
      rawBytes,
      work,
      STORED_AT,
      room,
    );
    const done = this.now();
    dictionaries.addFigure(Figure.Compressed, 1);
    dictionaries.addFigure(Figure.CompressSeconds, (done - begun) / 1000);
    const good = stored !== 0 && (options.always || this.pays(stored)) && this.proven(stored);
    each.recent++;
    each.recentRaw += rawBytes;
    each.recentStored += good ? stored : rawBytes;
    dictionaries.addFigure(Figure.ProveSeconds, (this.now() - done) / 1000);
    dictionaries.addFigure(good ? Figure.Proven : Figure.Refused, 1);
    return good ? stored : 0;
  }

  private pays(stored: number): boolean {
    const before = slotBytes(this.recordBytes(this.rawBytes));
    return before - slotBytes(this.recordBytes(stored)) >= Math.max(PAYS_BYTES, before * PAYS);
  }

  /** Whether the stored form gives the value. */
  private proven(stored: number): boolean {
    const { codec, work, rawBytes } = this;
    try {
      codec.open(work, STORED_AT, stored);
      codec.decompress(work, PROOF_AT);
    } catch {
      return false;
    }
    return equalBytes(work, PROOF_AT, work, RAW_AT, rawBytes);
  }

  // Dictionaries

  /** Decides on codec and dictionary of a class by the samples taken, and lets them go. */
  private train(each: Class): void {
    const { dictionaries, options } = this;
    const { samples, ends, sampleBytes } = each;
    if (samples === null) return;
    const few = ends.length < Limit.LeastSamples || sampleBytes < Limit.LeastSampleBytes;
    if (options.always ? sampleBytes < 200 && each.codec !== 0 : few) return; // with the next pass
    each.samples = null;
    const begun = this.now();
    // Every fourth is kept aside, to tell what the rest are good for.
    const kept: Uint8Array[] = [];
    const trained: Uint8Array[] = [];
    const trainedEnds: number[] = [];
    let start = 0;
    let total = 0;
    for (const [i, end] of ends.entries()) {
      const piece = samples.subarray(start, end);
      start = end;
      if ((i & 3) === 3 || ends.length === 1) kept.push(piece);
      else {
        trained.push(piece);
        total += piece.length;
        trainedEnds.push(total);
      }
    }
    const most = options.always
      ? DictionaryLimit.Bytes
      : Math.min(DictionaryLimit.Bytes, Math.floor(each.bytes / Limit.Share));
    const content = chooseContent(Buffer.concat(trained), trainedEnds, most);
    const wanted = each.fixed > 0 ? each.fixed : options.codec;
    const codecs = [CodecId.Lz4, CodecId.Zstd].filter(
      (id) => (wanted === 0 || id === wanted || !zstdAvailable) && (id === CodecId.Lz4 || zstdAvailable),
    );
    const number =
      content.length < 64 ? 0 : dictionaries.add(content, codecs[0]!, each.version + 1, each.prefix);
    let best = 0;
    let bestCodec: CodecId | 0 = 0;
    let bestRatio = options.always ? Number.POSITIVE_INFINITY : 1 - PAYS;
    for (const candidate of number === 0 ? [0] : [number, 0])
      for (const id of codecs) {
        // A dictionary has to be worth its own bytes, a second codec to be better.
        const ratio = this.ratioOf(kept, id, candidate);
        if (ratio >= bestRatio * (bestCodec === 0 ? 1 : 0.98)) continue;
        best = candidate;
        bestCodec = id;
        bestRatio = ratio;
      }
    const had = each.codec === 0 ? 1 : this.ratioOf(kept, each.codec, each.dictionary);
    if (bestCodec !== 0 && (options.always || each.codec === 0 || bestRatio < had * BETTER)) {
      if (number !== 0 && best === 0) {
        dictionaries.free(number);
      }
      this.retire(each);
      if (best !== 0) {
        dictionaries.setCodec(best, bestCodec);
        each.version++;
      }
      each.dictionary = best;
      each.codec = bestCodec;
      each.expected = bestRatio;
    } else {
      if (number !== 0) {
        dictionaries.free(number);
      }
      each.expected = each.codec === 0 ? 1 : had;
      each.retryIn = dictionaries.pass + Limit.Patience;
    }
    each.ends = [];
    each.recent = 0;
    each.recentRaw = 0;
    each.recentStored = 0;
    dictionaries.addFigure(Figure.TrainSeconds, (this.now() - begun) / 1000);
  }

  /** Stored for raw bytes of values that the dictionary was not made of, of which what does not shrink counts as it is. */
  private ratioOf(values: readonly Uint8Array[], id: CodecId, number: number): number {
    const { codec, work } = this;
    let raw = 0;
    let stored = 0;
    for (const value of values.slice(0, 400)) {
      work.u8.set(value, RAW_AT);
      const bytes = codec.compress(
        id,
        number,
        false,
        work,
        RAW_AT,
        value.length,
        work,
        STORED_AT,
        value.length,
      );
      raw += value.length;
      stored += bytes === 0 ? value.length : bytes;
    }
    return raw === 0 ? 1 : stored / raw;
  }

  /** For tests: all classes take samples again, and have other dictionaries after the pass. */
  retrain(): void {
    for (const each of this.classes.values()) if (each.samples === null) this.gather(each);
  }
}
