// reuse.ts: what other sizes of memory, and the best of all policies, would make of the accesses that workers sample: an
// estimate of the hit ratio at any size (`Curve`), made from reuse distances in bytes, and of the gap to Belady's MIN.
//
// Distances: the keys that are sampled form an LRU stack, ordered by last access; a read's distance is the bytes of
// everything more recent, and its own, divided by the share of keys that are sampled. An LRU of so many bytes or more hits.
// A histogram over distances is the whole curve (Mattson, 1970). Of the sampling: Waldspurger et al., SHARDS, FAST 2015,
// with a bounded number of keys: when there are more, the threshold falls, what is above it is forgotten, and the counts
// are scaled. As there (SHARDS-adj), the difference between the lookups that were expected in the sample and those that
// came is put down to keys that are hit at every size, for it comes from the few that are asked for most. The number
// expected is exact: workers count all lookups.
//   A read that misses is no use by itself: the key is in memory again when it is written. Until then, whoever is asked
//   for it has it only where the first of these reads would have hit (`floor`).
//   A read that hits a key of which nothing is known was in the memory there is: its distance is taken to be all of that.
//   Counts are halved every minute once there are enough, so that the curve is of the last minutes.
// The live policy is not LRU. The hit ratio that was counted says at which multiple of the present memory an LRU would be
// as good (`factor`), and the curve is read at that multiple everywhere. With a factor of 1 it is LRU's own. While memory
// is not full nothing had to go: then more of it gives nothing, whatever the sample says.
//
// MIN: the last 65,536 sampled accesses are replayed with the future known, at the memory there was times the sampled
// share, beginning with what was in memory then, and never keeping what is written or removed before it is read. With
// values of one size that is the optimum; with others it is what furthest-next-use reaches, and the optimum is a little
// above. What was counted is what the live policy made of the same accesses. The interval is a jackknife over 8 parts of
// the keys.
//
// Findings (f64 words from `findingsAt`): 0 version (odd while written), then Finding below, from 64 on the histogram.
// Who writes: the control plane, which reads the rings; workers only read it.
// Control plane: bounded work a call, arrays of fixed length. Neighbours: samples.ts; engine/worker/host.ts calls `tick`;
// engine/commands/memory.ts shows a Curve.
import type { Region } from "../memory/region.ts";
import {
  Access,
  attachFindings,
  findingsAt,
  MOST_SAMPLED,
  type SampleReader,
  type SamplesPlan,
} from "./samples.ts";

const enum Finding {
  Version = 0,
  /** Lookups that were to be expected in the sample, and how many came and were counted. */
  Expected = 1,
  Counted = 2,
  /** Of the expected ones: hits of the live policy. */
  Hits = 3,
  Keys = 4,
  Rate = 5,
  /** Gap to MIN as a share of lookups, half of its interval, the lookups it is of; Gap is NaN before the first. */
  Gap = 6,
  GapInterval = 7,
  GapLookups = 8,
  /** Hit ratio of the sample minus the counted one. */
  Difference = 9,
  Histogram = 64,
}

/** Buckets of the histogram: 16 for each doubling, from 64 bytes on. */
const BUCKETS = 640;
const FIRST_BYTES = 64;
const PER_DOUBLING = 16;

function bucketOf(bytes: number): number {
  const bucket = Math.floor(Math.log2(Math.max(bytes, FIRST_BYTES) / FIRST_BYTES) * PER_DOUBLING);
  return Math.min(bucket, BUCKETS - 1);
}

/** Positions of the stack before it is packed anew. */
const POSITIONS = 131072;
/** Keys followed at most. What is told of a size rests on those of them that it would hold: a thousand give a point or so
 *  of error where popularity is as skewed as Zipf's, a hundred several. */
const MOST_KEYS = 32768;
/** Distances beyond so many times the present memory are of no interest. */
const REACH = 5;
const HALVE_MS = 60_000;
const HALVE_FROM = 20_000;
const LOG = 65536;
const REPLAY_MS = 60_000;
const PARTS = 8;
/** Student's t for 95 % with 7 degrees of freedom. */
const T95 = 2.365;

/** An LRU stack of weights: positions in the order of access, and a Fenwick tree that sums what lies above one. */
class Stack {
  keys = 0;
  bytes = 0;
  private readonly slots = new Map<number, number>();
  private readonly idOf = new Float64Array(MOST_KEYS + 1);
  readonly sizeOf = new Float64Array(MOST_KEYS + 1);
  /** The longest distance of the reads that have missed since the key was written. */
  readonly floorOf = new Float64Array(MOST_KEYS + 1);
  private readonly hashOf = new Uint16Array(MOST_KEYS + 1);
  private readonly dbOf = new Uint8Array(MOST_KEYS + 1);
  private readonly positionOf = new Int32Array(MOST_KEYS + 1);
  private readonly free: number[] = Array.from({ length: MOST_KEYS + 1 }, (_, i) => MOST_KEYS - i);
  /** Slot + 1 at a position, 0 for none; positions below `oldest` and from `top` on are empty. */
  private readonly at = new Int32Array(POSITIONS);
  private readonly tree = new Float64Array(POSITIONS + 1);
  private oldest = 0;
  private top = 0;

  find(id: number): number {
    return this.slots.get(id) ?? -1;
  }

  private add(position: number, bytes: number): void {
    const { tree } = this;
    for (let i = position + 1; i <= POSITIONS; i += i & -i) tree[i] = tree[i]! + bytes;
    this.bytes += bytes;
  }

  /** Bytes above a slot and its own. */
  depth(slot: number): number {
    const { tree } = this;
    let below = 0;
    for (let i = this.positionOf[slot]!; i > 0; i -= i & -i) below += tree[i]!;
    return this.bytes - below;
  }

  /** Moves a slot to the top, with that many bytes from now on. */
  raise(slot: number, bytes: number): void {
    const position = this.positionOf[slot]!;
    this.add(position, -this.sizeOf[slot]!);
    this.at[position] = 0;
    this.push(slot, bytes);
  }

  private push(slot: number, bytes: number): void {
    if (this.top === POSITIONS) this.pack();
    const position = this.top++;
    this.at[position] = slot + 1;
    this.positionOf[slot] = position;
    this.sizeOf[slot] = bytes;
    this.add(position, bytes);
  }

  insert(id: number, hash: number, db: number, bytes: number): void {
    const slot = this.free.pop()!;
    this.slots.set(id, slot);
    this.idOf[slot] = id;
    this.hashOf[slot] = hash;
    this.dbOf[slot] = db;
    this.floorOf[slot] = 0;
    this.push(slot, bytes);
    this.keys++;
  }

  remove(slot: number): void {
    const position = this.positionOf[slot]!;
    this.add(position, -this.sizeOf[slot]!);
    this.at[position] = 0;
    this.slots.delete(this.idOf[slot]!);
    this.free.push(slot);
    this.keys--;
  }

  private removeWhere(which: (slot: number) => boolean): void {
    for (let position = this.oldest; position < this.top; position++) {
      const slot = this.at[position]! - 1;
      if (slot >= 0 && which(slot)) this.remove(slot);
    }
  }

  removeDb(db: number): void {
    this.removeWhere((slot) => this.dbOf[slot] === db);
  }

  removeFrom(hash: number): void {
    this.removeWhere((slot) => this.hashOf[slot]! >= hash);
  }

  /** Forgets what lies deeper than so many bytes. */
  prune(bytes: number): void {
    for (; this.oldest < this.top && this.bytes > bytes; this.oldest++) {
      const slot = this.at[this.oldest]! - 1;
      if (slot < 0) continue;
      if (this.bytes - this.sizeOf[slot]! < bytes) return;
      this.remove(slot);
    }
  }

  private pack(): void {
    const { at, tree } = this;
    let kept = 0;
    for (let position = this.oldest; position < this.top; position++) {
      const entry = at[position]!;
      if (entry === 0) continue;
      at[position] = 0;
      at[kept] = entry;
      this.positionOf[entry - 1] = kept++;
    }
    this.oldest = 0;
    this.top = kept;
    tree.fill(0);
    this.bytes = 0;
    for (let position = 0; position < kept; position++) this.add(position, this.sizeOf[at[position]! - 1]!);
  }
}

/** Accesses with the future known: what furthest-next-use makes of them. */
class Replay {
  count = 0;
  keys = 0;
  readonly key = new Int32Array(LOG);
  readonly access = new Uint8Array(LOG);
  readonly times = new Int32Array(LOG);
  readonly bytes = new Float64Array(LOG);
  /** Part of the keys that a key belongs to. */
  readonly part = new Uint8Array(LOG);
  /** Place of the read that comes next of the same key if nothing else comes before, else LOG. */
  private readonly next = new Int32Array(LOG);
  private readonly first = new Int32Array(LOG);
  private readonly heap = new Int32Array(2 * LOG);
  /** By key: place of the read it is kept for, -1 while it is not kept; and its bytes. */
  private readonly kept = new Int32Array(LOG);
  private readonly size = new Float64Array(LOG);

  /** Looks into the future of what is in the arrays. */
  prepare(): void {
    const { first, next, key, access } = this;
    first.fill(-1, 0, this.keys);
    for (let i = this.count - 1; i >= 0; i--) {
      const after = first[key[i]!]!;
      next[i] = after >= 0 && access[after]! <= Access.Miss ? after : LOG;
      first[key[i]!] = i;
    }
  }

  /** Hits that the live policy and MIN had of the keys outside of a part (-1: of all) in so many bytes. */
  run(without: number, bytes: number): { actual: number; best: number } {
    const { key, access, times, part, next, first, heap, kept, size } = this;
    let held = 0;
    let heaped = 0;
    let actual = 0;
    let best = 0;
    let room = bytes;

    const evict = () => {
      while (held > room) {
        // The furthest; what is kept for another read by now is passed over.
        const furthest = heap[0]!;
        let last = heap[--heaped]!;
        let at = 0;
        for (;;) {
          let child = 2 * at + 1;
          if (child >= heaped) break;
          if (child + 1 < heaped && heap[child + 1]! > heap[child]!) child++;
          if (heap[child]! <= last) break;
          heap[at] = heap[child]!;
          at = child;
        }
        heap[at] = last;
        last = key[furthest]!;
        if (kept[last] !== furthest) continue;
        kept[last] = -1;
        held -= size[last]!;
      }
    };
    const keep = (which: number, until: number, much: number) => {
      if (kept[which]! >= 0) held -= size[which]!;
      kept[which] = -1;
      if (until === LOG) return;
      kept[which] = until;
      size[which] = much;
      held += much;
      let at = heaped++;
      while (at > 0) {
        const above = (at - 1) >> 1;
        if (heap[above]! >= until) break;
        heap[at] = heap[above]!;
        at = above;
      }
      heap[at] = until;
    };

    kept.fill(-1, 0, this.keys);
    for (let each = 0; each < this.keys; each++) {
      const i = first[each]!;
      if (i >= 0 && part[each] !== without && access[i] === Access.Hit) keep(each, i, this.bytes[i]!);
    }
    room = Math.max(room, held);
    for (let i = 0; i < this.count; i++) {
      const which = key[i]!;
      if (part[which] === without) continue;
      const what = access[i]!;
      const inside = kept[which]! >= 0;
      if (what === Access.Remove) keep(which, LOG, 0);
      else if (what === Access.Write) keep(which, next[i]!, this.bytes[i]!);
      else {
        if (what === Access.Hit) actual += times[i]!;
        if (inside) best += times[i]!;
        else if (what === Access.Hit) best += times[i]! - 1; // it is fetched, and there for the next
        // What the live policy did not have is there only once it is written.
        if (what === Access.Hit) keep(which, next[i]!, this.bytes[i]!);
        else if (inside) keep(which, next[i]!, size[which]!);
      }
      if (held > room) evict();
    }
    return { actual, best };
  }
}

/** Follows the samples of all workers. */
export class Reuse {
  private below: number;
  private readonly stack = new Stack();
  private readonly histogram = new Float64Array(BUCKETS);
  /** Of sampled lookups: those expected, those that came, those that hit. All at the present rate, and halved at times. */
  private expected = 0;
  private counted = 0;
  private hits = 0;
  private lookupsBefore = 0;
  private hitsBefore = 0;
  private lostBefore = 0;
  private halvedMs = 0;
  // The last accesses.
  private readonly logId = new Float64Array(LOG);
  private readonly logBytes = new Float64Array(LOG);
  private readonly logAccess = new Uint8Array(LOG);
  private readonly logTimes = new Int32Array(LOG);
  private readonly logHash = new Uint16Array(LOG);
  private readonly logDb = new Uint8Array(LOG);
  /** Lookups of all keys so far, when the access was read. */
  private readonly logLookups = new Float64Array(LOG);
  private logged = 0;
  private allLookups = 0;
  private replay: Replay | null = null;
  private replayedMs = 0;
  /** The next part to be left out, -1 while nothing is replayed. */
  private part = PARTS;
  private replayBytes = 0;
  private replayLookups = 0;
  private readonly gaps = new Float64Array(PARTS + 1);
  private gap = Number.NaN;
  private gapInterval = Number.NaN;
  private difference = Number.NaN;
  private readonly findings: Float64Array;
  private readonly findingsWord: number;
  private readonly at: number;

  /** `mostKeys`: so many are followed at a time; `most` of 65,536 keys are sampled, less when that is too many. */
  constructor(
    private readonly reader: SampleReader,
    private readonly mostKeys = MOST_KEYS,
    private readonly most = MOST_SAMPLED,
  ) {
    this.findings = reader.findings.f64;
    this.at = findingsAt(reader.plan) >> 3;
    this.findingsWord = findingsAt(reader.plan) >> 2;
    this.below = most;
    reader.below = 0;
  }

  /** Begins or stops sampling. */
  set on(on: boolean) {
    this.reader.below = on ? this.below : 0;
    this.running = on;
  }

  private running = false;

  private get rate(): number {
    return this.below / 65536;
  }

  /** Reads at most `most` records. `itemBytes`: what live values take now, their share of the index included. */
  tick(most: number, itemBytes: number, nowMs: number): void {
    const { reader } = this;
    if (!this.running) return;
    if (this.halvedMs === 0) {
      this.halvedMs = nowMs;
      this.replayedMs = nowMs;
    }
    const { lookups, hits, lost } = reader;
    reader.begin();
    // After CONFIG RESETSTAT they begin at 0 again.
    const lookupsMore = lookups < this.lookupsBefore ? lookups : lookups - this.lookupsBefore;
    this.expected += lookupsMore * this.rate;
    this.hits += (hits < this.hitsBefore ? hits : hits - this.hitsBefore) * this.rate;
    this.allLookups += lookupsMore;
    this.lookupsBefore = lookups;
    this.hitsBefore = hits;

    let left = most;
    while (left > 0 && reader.take()) {
      left--;
      this.follow(itemBytes);
    }
    reader.end();
    this.stack.prune(REACH * Math.max(itemBytes, 1 << 20) * this.rate);
    // Too many for us, or for a ring: fewer keys.
    if (left === 0 || lost > this.lostBefore) this.scale(Math.max(1, Math.floor(this.below * 0.75)));
    else if (this.stack.keys < this.mostKeys / 4 && this.below < this.most)
      this.scale(Math.min(this.most, this.below * 2));
    this.lostBefore = lost;
    if (nowMs - this.halvedMs >= HALVE_MS && this.expected >= HALVE_FROM) {
      this.halvedMs = nowMs;
      this.multiply(0.5);
    }
    if (this.part < PARTS) this.replayPart();
    else if (nowMs - this.replayedMs >= REPLAY_MS && this.logged > 0) {
      this.replayedMs = nowMs;
      this.beginReplay(itemBytes);
    }
    this.publish();
  }

  /** The record that the reader took last. */
  private follow(itemBytes: number): void {
    const { reader, stack } = this;
    const { access, times, db } = reader;
    if (access === Access.Flush) {
      stack.removeDb(db);
      this.log(0, 0);
      return;
    }
    const hash = reader.high & 0xffff;
    if (hash >= this.below) return;
    // 53 bits of the hash tell keys apart, and their database.
    const id = (reader.high >>> 0) * 2 ** 21 + ((reader.low ^ Math.imul(db, 0x9e3779b1)) >>> 11);
    this.log(id, hash);
    const slot = stack.find(id);
    if (access === Access.Remove) {
      if (slot >= 0) stack.remove(slot);
      return;
    }
    const bytes = reader.bytes;
    if (access === Access.Write) {
      if (slot >= 0) {
        stack.raise(slot, bytes);
        stack.floorOf[slot] = 0;
      } else this.insert(id, hash, db, bytes);
      return;
    }
    this.counted += times;
    if (slot < 0) {
      if (access === Access.Miss) return; // at every size
      this.count(itemBytes, 1);
      if (times > 1) this.count(bytes / this.rate, times - 1);
      this.insert(id, hash, db, bytes);
      return;
    }
    let depth = stack.depth(slot);
    if (access === Access.Miss) {
      depth = Math.max(depth, stack.floorOf[slot]!);
      stack.floorOf[slot] = depth;
      this.count(depth / this.rate, times);
      stack.raise(slot, stack.sizeOf[slot]!);
      return;
    }
    stack.floorOf[slot] = 0;
    this.count(depth / this.rate, 1);
    // Right after itself it is hit where it fits.
    if (times > 1) this.count(bytes, times - 1);
    stack.raise(slot, bytes);
  }

  private insert(id: number, hash: number, db: number, bytes: number): void {
    if (this.stack.keys >= this.mostKeys) this.scale(Math.max(1, Math.floor(this.below * 0.875)));
    if (this.stack.keys < MOST_KEYS && hash < this.below) this.stack.insert(id, hash, db, bytes);
  }

  private count(bytes: number, times: number): void {
    const bucket = bucketOf(bytes);
    this.histogram[bucket] = this.histogram[bucket]! + times;
  }

  /** Samples at another threshold from now on. */
  private scale(below: number): void {
    if (below === this.below) return;
    this.multiply(below / this.below);
    if (below < this.below) this.stack.removeFrom(below);
    this.below = below;
    this.reader.below = below;
  }

  private multiply(factor: number): void {
    const { histogram } = this;
    for (let i = 0; i < BUCKETS; i++) histogram[i] = histogram[i]! * factor;
    this.expected *= factor;
    this.counted *= factor;
    this.hits *= factor;
  }

  // MIN

  private log(id: number, hash: number): void {
    const { reader } = this;
    const at = this.logged++ & (LOG - 1);
    this.logId[at] = id;
    this.logHash[at] = hash;
    this.logBytes[at] = reader.bytes;
    this.logAccess[at] = reader.access;
    this.logTimes[at] = reader.times;
    this.logDb[at] = reader.db;
    this.logLookups[at] = this.allLookups;
  }

  /** Copies what is still sampled of the last accesses, keys numbered. */
  private beginReplay(itemBytes: number): void {
    this.replay ??= new Replay();
    const { replay } = this;
    const numbers = new Map<number, number>();
    const dbs: number[] = [];
    replay.count = 0;
    const from = Math.max(0, this.logged - LOG);
    for (let n = from; n < this.logged; n++) {
      const at = n & (LOG - 1);
      const access = this.logAccess[at]!;
      if (access === Access.Flush) {
        // Everything that was there of the database is gone, as if key by key.
        for (const [id, number] of numbers)
          if (dbs[number] === this.logDb[at] && replay.count < LOG) {
            this.addAccess(replay, number, Access.Remove, 1, 0);
            numbers.delete(id);
          }
        continue;
      }
      if (this.logHash[at]! >= this.below || replay.count >= LOG) continue;
      const id = this.logId[at]!;
      let number = numbers.get(id);
      if (number === undefined) {
        number = dbs.length;
        numbers.set(id, number);
        dbs.push(this.logDb[at]!);
        replay.part[number] = id % PARTS;
      }
      this.addAccess(replay, number, access, this.logTimes[at]!, this.logBytes[at]!);
    }
    replay.keys = dbs.length;
    replay.prepare();
    this.replayBytes = itemBytes * this.rate;
    this.replayLookups = (this.allLookups - this.logLookups[from & (LOG - 1)]!) * this.rate;
    this.part = -1;
  }

  private addAccess(replay: Replay, key: number, access: Access, times: number, bytes: number): void {
    const at = replay.count++;
    replay.key[at] = key;
    replay.access[at] = access;
    replay.times[at] = times;
    replay.bytes[at] = bytes;
  }

  /** One run of the jackknife: all keys first, then all but a part. */
  private replayPart(): void {
    const { replay, gaps } = this;
    if (replay === null) return;
    const share = this.part < 0 ? 1 : (PARTS - 1) / PARTS;
    const { actual, best } = replay.run(this.part, this.replayBytes * share);
    const lookups = Math.max(1, this.replayLookups * share);
    gaps[++this.part] = (best - actual) / lookups;
    if (this.part === 0) this.difference = this.sampledDifference();
    if (this.part < PARTS) return;
    let mean = 0;
    for (let i = 1; i <= PARTS; i++) mean += gaps[i]! / PARTS;
    let squares = 0;
    for (let i = 1; i <= PARTS; i++) squares += (gaps[i]! - mean) ** 2;
    this.gap = gaps[0]!;
    this.gapInterval = T95 * Math.sqrt((squares * (PARTS - 1)) / PARTS);
  }

  /** How far the sample's hit ratio, put right by the lookups expected, is from the counted one. */
  private sampledDifference(): number {
    let hits = 0;
    let lookups = 0;
    const from = Math.max(0, this.logged - LOG);
    for (let n = from; n < this.logged; n++) {
      const at = n & (LOG - 1);
      if (this.logHash[at]! >= this.below || this.logAccess[at]! > Access.Miss) continue;
      lookups += this.logTimes[at]!;
      if (this.logAccess[at] === Access.Hit) hits += this.logTimes[at]!;
    }
    if (this.expected === 0 || this.replayLookups === 0) return Number.NaN;
    return (hits + this.replayLookups - lookups) / this.replayLookups - this.hits / this.expected;
  }

  private publish(): void {
    const { findings, at, findingsWord } = this;
    const words = this.reader.findings.i32;
    Atomics.add(words, findingsWord, 1);
    findings[at + Finding.Expected] = this.expected;
    findings[at + Finding.Counted] = this.counted;
    findings[at + Finding.Hits] = this.hits;
    findings[at + Finding.Keys] = this.stack.keys;
    findings[at + Finding.Rate] = this.rate;
    findings[at + Finding.Gap] = this.gap;
    findings[at + Finding.GapInterval] = this.gapInterval;
    findings[at + Finding.GapLookups] = this.replayLookups;
    findings[at + Finding.Difference] = this.difference;
    findings.set(this.histogram, at + Finding.Histogram);
    Atomics.add(words, findingsWord, 1);
  }
}

/** Lookups in the sample below which nothing is said. */
const ENOUGH = 500;
/** Differences between what LRU would have and what was counted that may be the sample's. */
const SLACK = 0.03;
const MOST_FACTOR = 16;

/** What was found out, as a worker reads it. Sizes are of items: what live values and their places in the index take. */
export class Curve {
  /** Whether there are enough samples to say something. */
  readonly known: boolean;
  readonly keys: number;
  readonly rate: number;
  readonly lookups: number;
  /** Counted hit ratio of the same time. */
  readonly hitRatio: number;
  /** Gap to MIN and half of its interval, as shares of lookups; NaN before the first. */
  readonly gap: number;
  readonly gapInterval: number;
  readonly gapReliable: boolean;
  /** How many times the present memory an LRU would need for the counted hit ratio. */
  readonly factor: number;
  private readonly shift: number;
  private readonly expected: number;
  private readonly counted: number;
  private readonly histogram: Float64Array;

  /** `presentBytes`: of items, now; `full`: there was no room for more. */
  constructor(
    values: Float64Array,
    readonly presentBytes: number,
    readonly full: boolean,
  ) {
    this.histogram = values.subarray(Finding.Histogram, Finding.Histogram + BUCKETS);
    this.expected = values[Finding.Expected]!;
    this.counted = values[Finding.Counted]!;
    this.keys = values[Finding.Keys]!;
    this.rate = values[Finding.Rate]!;
    this.lookups = this.counted;
    this.known = this.expected >= ENOUGH && this.counted > 0;
    this.hitRatio = this.expected === 0 ? 0 : values[Finding.Hits]! / this.expected;
    this.gap = values[Finding.GapLookups]! >= ENOUGH ? values[Finding.Gap]! : Number.NaN;
    this.gapInterval = values[Finding.GapInterval]!;
    this.gapReliable = Math.abs(values[Finding.Difference]!) <= 0.01 && this.gapInterval <= 0.03;
    this.factor = this.known ? this.findFactor() : 1;
    this.shift = this.known ? this.hitRatio - this.lru(this.factor * presentBytes) : 0;
  }

  /** Hit ratio of an LRU of so many bytes of items. */
  lru(bytes: number): number {
    const { histogram } = this;
    let hits = this.expected - this.counted;
    const exact = Math.log2(Math.max(bytes, FIRST_BYTES) / FIRST_BYTES) * PER_DOUBLING;
    const last = Math.min(Math.floor(exact), BUCKETS - 1);
    for (let i = 0; i < last; i++) hits += histogram[i]!;
    hits += histogram[last]! * Math.min(1, exact - last);
    return Math.min(1, Math.max(0, hits / this.expected));
  }

  private findFactor(): number {
    const { presentBytes, hitRatio } = this;
    if (Math.abs(hitRatio - this.lru(presentBytes)) <= SLACK) return 1;
    let low = 1 / MOST_FACTOR;
    let high = MOST_FACTOR;
    if (this.lru(high * presentBytes) <= hitRatio || this.lru(low * presentBytes) >= hitRatio) return 1;
    for (let i = 0; i < 40; i++) {
      const middle = Math.sqrt(low * high);
      if (this.lru(middle * presentBytes) < hitRatio) low = middle;
      else high = middle;
    }
    return high;
  }

  /** Hit ratio to be expected of the live policy with so many bytes of items; at the present size it is the counted one. */
  at(bytes: number): number {
    const most = this.full ? 1 : this.hitRatio;
    if (!this.full && bytes >= this.presentBytes) return most;
    return Math.min(most, Math.max(0, this.lru(this.factor * bytes) + this.shift));
  }
}

/** A worker's way to the findings. */
export class Findings {
  private readonly region: Region;
  private readonly at: number;

  constructor(plan: SamplesPlan) {
    this.region = attachFindings(plan);
    this.at = findingsAt(plan) >> 3;
  }

  read(presentBytes: number, full: boolean): Curve {
    const { f64, i32 } = this.region;
    for (let tries = 0; ; tries++) {
      const before = Atomics.load(i32, this.at * 2);
      const values = f64.slice(this.at, this.at + Finding.Histogram + BUCKETS);
      if (((before & 1) === 0 && Atomics.load(i32, this.at * 2) === before) || tries === 1000)
        return new Curve(values, presentBytes, full);
    }
  }
}
