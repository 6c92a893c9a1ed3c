// samples.ts: what a worker writes down of the accesses to keys whose hash is below a threshold, so that somebody else can
// tell, later, what other sizes of memory and other policies would have made of them (reuse.ts).
//
// Keys are chosen and not accesses: of a key that is chosen every access is seen, so the distances between them stay what
// they are (Waldspurger et al., SHARDS, FAST 2015). `below` of 65,536 keys are chosen, by the low 16 bits of the high word
// of their hash, which leaves of the index and shards do not depend on.
//
// Region, who writes it
//   line 0            i32 0 threshold that workers are to sample at                           the reader
//   line 1 + worker   i32 0 records written (wraps)   2 records lost       f64 2 lookups, 3 hits  the worker, at a turn's end
//                     i32 1 records read (wraps)                                              the reader
//   from page 1       `Ring.Records` records of 24 bytes a worker:                            the worker
//                     i32 0 high, 1 low (of the key's hash), 2 granules of 8 bytes, 3 kind (bits 0-3) and database (from 4),
//                     4 ms (low 32 bits), 5 how often
//   after the rings   what the reader found out (reuse.ts)                          the reader
// Invariants: records below `written` are complete; nothing below `read` is needed any more; a record is repeated only
// while it is not published.
// On the data path, of one access in many: `note`; of every one: a comparison. Nothing allocates. One a thread, as its
// counterpart is one for each worker. Neighbours: shard.ts and engine/commands/call.ts note accesses.
import { need, Region } from "../memory/region.ts";

/** What an access was. */
export const enum Access {
  Hit = 1,
  Miss = 2,
  /** The key was given a value. */
  Write = 3,
  /** The key was removed, or fell due. Not: it had to make room. */
  Remove = 4,
  /** All keys of the database were removed. */
  Flush = 5,
}

export const enum Ring {
  Records = 32768,
  Words = 6,
  Bytes = 786432,
}

const enum Field {
  LineWords = 16,
  LineNumbers = 8,
  Written = 0,
  Read = 1,
  Lost = 2,
  LookupsF64 = 2,
  HitsF64 = 3,
}

/** One key in so many is sampled at most. */
export const MOST_SAMPLED = 65536 / 16;

const HEAD_BYTES = 16384;
export const FINDINGS_BYTES = 16384;

/** What another thread needs to attach. */
export interface SamplesPlan {
  readonly address: number;
  readonly workers: number;
}

function regionBytes(workers: number): number {
  return HEAD_BYTES + workers * Ring.Bytes + FINDINGS_BYTES;
}

class Samples {
  /** A key is sampled when the low 16 bits of its high word are less; 0: none is. */
  below = 0;
  /** Records written by this thread; those after `published` are its own still. */
  written = 0;
  private published = 0;
  private read = 0;
  private lost = 0;
  private i32: Int32Array = new Int32Array(0);
  private f64: Float64Array = new Float64Array(0);
  private line = 0;
  private ring = 0;

  /** Makes this thread write to the ring of a worker. */
  attach(plan: SamplesPlan, worker: number): void {
    const region = Region.attach(plan.address, regionBytes(plan.workers));
    this.i32 = region.i32;
    this.f64 = region.f64;
    this.line = (1 + worker) * Field.LineWords;
    this.ring = (HEAD_BYTES + worker * Ring.Bytes) >> 2;
    this.written = this.i32[this.line + Field.Written]!;
    this.published = this.written;
    this.read = Atomics.load(this.i32, this.line + Field.Read);
  }

  /** Notes an access to a sampled key by its hash: `bytes` it takes, 0 where that is not known. */
  note(access: Access, db: number, high: number, low: number, bytes: number, nowMs: number): void {
    const { i32 } = this;
    const kind = access | (db << 4);
    const granules = (bytes / 8) | 0;
    if (this.written !== this.published) {
      // The same once more, as with a key that everybody asks for.
      const last = this.ring + ((this.written - 1) & (Ring.Records - 1)) * Ring.Words;
      if (
        i32[last] === high &&
        i32[last + 1] === low &&
        i32[last + 3] === kind &&
        i32[last + 2] === granules
      ) {
        i32[last + 5] = i32[last + 5]! + 1;
        return;
      }
    }
    if (((this.written - this.read) | 0) >= Ring.Records) {
      this.read = Atomics.load(i32, this.line + Field.Read);
      if (((this.written - this.read) | 0) >= Ring.Records) {
        this.lost++;
        return;
      }
    }
    const at = this.ring + (this.written & (Ring.Records - 1)) * Ring.Words;
    i32[at] = high;
    i32[at + 1] = low;
    i32[at + 2] = granules;
    i32[at + 3] = kind;
    i32[at + 4] = nowMs | 0;
    i32[at + 5] = 1;
    this.written = (this.written + 1) | 0;
  }

  /** How often the last record stands, for `takeBack`. */
  get repeats(): number {
    if (this.written === this.published) return 0;
    return this.i32[this.ring + ((this.written - 1) & (Ring.Records - 1)) * Ring.Words + 5]!;
  }

  /** Undoes what was noted since `written` and `repeats` were these. */
  takeBack(written: number, repeats: number): void {
    this.written = written;
    if (repeats > 0) this.i32[this.ring + ((written - 1) & (Ring.Records - 1)) * Ring.Words + 5] = repeats;
  }

  /** Hands over what was noted, and hears of the threshold: to be called when a turn ends. The counts are of all lookups
   *  of this worker so far, sampled or not. */
  publish(lookups: number, hits: number): void {
    const { i32, f64, line } = this;
    if (line === 0) return;
    f64[(line >> 1) + Field.LookupsF64] = lookups;
    f64[(line >> 1) + Field.HitsF64] = hits;
    i32[line + Field.Lost] = this.lost;
    if (this.written !== this.published) {
      Atomics.store(i32, line + Field.Written, this.written);
      this.published = this.written;
    }
    this.below = i32[0]!;
  }
}

/** This thread's. */
export const samples = new Samples();

/** Takes one record after the other out of the rings of all workers, in the order of their time. */
export class SampleReader {
  readonly plan: SamplesPlan;
  readonly findings: Region;
  // The record last taken.
  high = 0;
  low = 0;
  bytes = 0;
  access = 0;
  db = 0;
  times = 0;
  private readonly region: Region;
  /** What each worker had published when `begin` was called, and what has been read of it. */
  private readonly written: Int32Array;
  private readonly read: Int32Array;

  private constructor(workers: number) {
    this.region = need(Region.shared(regionBytes(workers)), "samples of accesses");
    this.plan = { address: this.region.address, workers };
    this.findings = this.region;
    this.written = new Int32Array(workers);
    this.read = new Int32Array(workers);
  }

  static create(workers: number): SampleReader {
    return new SampleReader(workers);
  }

  /** What workers are to sample at from the end of their turn on. */
  set below(threshold: number) {
    Atomics.store(this.region.i32, 0, threshold);
  }

  private sum(read: (line: number) => number): number {
    let sum = 0;
    for (let worker = 0; worker < this.plan.workers; worker++) sum += read((1 + worker) * Field.LineWords);
    return sum;
  }

  /** Lookups, and hits among them, of all workers so far; less than before after CONFIG RESETSTAT. */
  get lookups(): number {
    return this.sum((line) => this.region.f64[(line >> 1) + Field.LookupsF64]!);
  }

  get hits(): number {
    return this.sum((line) => this.region.f64[(line >> 1) + Field.HitsF64]!);
  }

  /** Records that found no room in a ring. */
  get lost(): number {
    return this.sum((line) => this.region.i32[line + Field.Lost]!);
  }

  /** Looks what there is to read. */
  begin(): void {
    const { region, written, read } = this;
    for (let worker = 0; worker < this.plan.workers; worker++) {
      const line = (1 + worker) * Field.LineWords;
      written[worker] = Atomics.load(region.i32, line + Field.Written);
      read[worker] = region.i32[line + Field.Read]!;
    }
  }

  /** The earliest record that was there at `begin`; false when there is none left. */
  take(): boolean {
    const { region, written, read } = this;
    const { i32 } = region;
    let first = -1;
    let firstAt = 0;
    for (let worker = 0; worker < written.length; worker++) {
      if (read[worker] === written[worker]) continue;
      const at =
        ((HEAD_BYTES + worker * Ring.Bytes) >> 2) + (read[worker]! & (Ring.Records - 1)) * Ring.Words;
      if (first >= 0 && ((i32[at + 4]! - i32[firstAt + 4]!) | 0) >= 0) continue;
      first = worker;
      firstAt = at;
    }
    if (first < 0) return false;
    this.high = i32[firstAt]!;
    this.low = i32[firstAt + 1]!;
    this.bytes = i32[firstAt + 2]! * 8;
    this.access = i32[firstAt + 3]! & 15;
    this.db = i32[firstAt + 3]! >>> 4;
    this.times = i32[firstAt + 5]!;
    read[first] = (read[first]! + 1) | 0;
    return true;
  }

  /** Gives the room of what was taken back to the workers. */
  end(): void {
    const { region, read } = this;
    for (let worker = 0; worker < read.length; worker++)
      Atomics.store(region.i32, (1 + worker) * Field.LineWords + Field.Read, read[worker]!);
  }
}

/** Byte offset of the findings in the region, and the region as workers see it. */
export function findingsAt(plan: SamplesPlan): number {
  return HEAD_BYTES + plan.workers * Ring.Bytes;
}

export function attachFindings(plan: SamplesPlan): Region {
  return Region.attach(plan.address, regionBytes(plan.workers));
}
