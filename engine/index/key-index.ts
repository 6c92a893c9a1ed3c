// key-index.ts: the keys of one shard, 16 databases, as an extendible hash of small leaves. One leaf grows or splits at a
// time (some 600 keys, well under a millisecond), so no insert ever waits for the whole table.
// The shape follows Dash (Lu et al., VLDB 2020) and Dragonfly's docs/dashtable.md: fingerprinted buckets of one cache
// line, balanced between a home bucket and its neighbour, with a stash for what fits neither.
//
// Directory, one a database: 2^depth u32 entries, indexed by the top `depth` bits of key.high: the handle of a leaf, with
// bit 0 set when it is a large one (leaves start on a cache line, so the bit is free, and a lookup need not read the
// leaf's header).
// Leaf: 64-byte blocks. Block 0 is the header, then R = blocks - 5 regular buckets, then 4 stash buckets.
//   sizes: 46 blocks (540 slots) and 64 blocks (756 slots)
//   header  0 u32 depth in bits 0-7, blocks in bits 8-15, bit 16: it has states
//           4 u32 prefix (the top `depth` bits of every key's high)
//           8 u32 live slots                                16 f64 no record here is due before this (Infinity: none)
// Bucket: 0 u32 header, bit 29: a key at home here is in the stash
//         4 u8[12] tags, 0 = empty                         16 u32[12] handles
// States, for who chooses what to evict: one byte a slot, in the order of the slots, behind the blocks of a leaf that has
// them (9 or 12 blocks more). 0 in an empty slot and for a new key; a state goes where its key goes.
// Home of a key: position = (low >>> 8) & 4095, bucket = (position * R) >>> 12. The map is monotone in position, so the
// order of a scan survives growth. Tag: low & 255, with 0 read as 1.
//
// Invariants: every key is in its home bucket, the next one (cyclic) or the stash; a key in the stash has bit 29 set at
// its home; live equals the tags that are not 0; a leaf of depth d stands in 2^(D-d) directory entries in a row.
// Who writes: whoever holds the shard's lock. Readers without it validate afterwards: every loop here is bounded and
// every handle leads into a mapped segment or throws RangeError.
// Leaves become smaller and fewer again only when somebody walks them to that end (`relocateLeaf`): a removal leaves them.
// On the data path: find, insert and remove allocate nothing. Neighbours: record.ts, allocator.ts; used by shard.ts.
import { type Allocator, Handle } from "../memory/allocator.ts";
import { assert } from "../memory/assert.ts";
import { hashBytes, hashHigh, hashLow } from "../memory/hash.ts";
import type { Key } from "../memory/key.ts";
import { Cost, type Mover } from "../memory/mover.ts";
import { dueAt, keyBytesAt, keyMatches, keyStartAt } from "../memory/record.ts";
import type { Region } from "../memory/region.ts";

const enum Leaf {
  SmallBlocks = 46,
  LargeBlocks = 64,
  SmallRegular = 41,
  LargeRegular = 59,
  LargeMark = 1,
  BlockBytes = 64,
  StashBuckets = 4,
  Overhead = 5, // header and stash blocks
  Slots = 12,
  /** A large leaf with no more keys than this becomes a small one, and two buddies one: it is then three quarters full, or
   *  three fifths. */
  Shrink = 400,
  Merge = 324,
  /** A home bucket with more empty slots than this takes a key without a look at its neighbour. */
  Spare = 1,
  StashBit = 1 << 29,
  StatesBit = 1 << 16,
  SmallStates = 9, // blocks
  LargeStates = 12,
  PrefixWord = 1,
  LiveWord = 2,
  DeadlineF64 = 2,
  TagWords = 1, // u32 offset of the tags in a bucket
  HandleWords = 4,
}

/** i32 words of one database's root, in the shard's superblock. */
export const enum Root {
  Directory = 0,
  Depth = 1,
  Keys = 2,
  Deadlines = 3,
  Words = 4,
}

export const DATABASES = 16;
const MAX_DEPTH = 22;
export const POSITIONS = 4096;

/** What looking ahead learned of a batch of keys, place by place. */
export class LookAhead {
  readonly highs: Int32Array;
  readonly lows: Int32Array;
  readonly handles: Int32Array;
  readonly words: Int32Array;
  readonly leaves: Int32Array;
  readonly changes: Int32Array;
  /** Where each key is at home: region and u32 word of its bucket, 0 for nowhere. */
  readonly regions: Region[];
  readonly buckets: Int32Array;
  /** The database that was looked in. */
  db = 0;

  /** `region`: any, to begin with. */
  constructor(keys: number, region: Region) {
    this.regions = new Array<Region>(keys).fill(region);
    this.buckets = new Int32Array(keys);
    this.highs = new Int32Array(keys);
    this.lows = new Int32Array(keys);
    this.handles = new Int32Array(keys);
    this.words = new Int32Array(keys);
    this.leaves = new Int32Array(keys);
    this.changes = new Int32Array(keys);
  }
}

/** Who keeps count of states. */
export interface StateKeeper {
  /** A key with this state, not 0, was removed. */
  stateGone(state: number): void;
  /** A database was forgotten, with all its states. */
  statesForgotten(): void;
}

/** Bytes of a leaf whose first header word is this. */
function leafBytes(word: number): number {
  const blocks = (word >>> 8) & 255;
  const states = blocks === Leaf.SmallBlocks ? Leaf.SmallStates : Leaf.LargeStates;
  return (blocks + ((word & Leaf.StatesBit) === 0 ? 0 : states)) * Leaf.BlockBytes;
}

function ctz(word: number): number {
  return 31 - Math.clz32(word & -word);
}

export class KeyIndex {
  /** Where `find` found or `insert` put the key: region and u32 word of its handle. Valid until the next change. */
  foundRegion: Region;
  foundWord = 0;
  private foundLeaf = 0; // u32 word of the leaf's header, in foundRegion
  /** Hears of states that go; set by whoever sets them. */
  keeper: StateKeeper | null = null;
  /** Counts what can make a place found earlier wrong: removals, replacements, leaves that grew. In the superblock,
   *  so that every worker sees it. */
  private readonly changes: number;

  /** `roots`: i32 word in `superblock` where the roots of the databases begin. */
  constructor(
    private readonly allocator: Allocator,
    private readonly superblock: Region,
    private readonly roots: number,
  ) {
    this.foundRegion = superblock;
    this.changes = roots + DATABASES * Root.Words;
  }

  /** To be called after the change and before anything it let go of is freed: whoever guessed from what was there before
   *  then holds an older count. */
  private changed(): void {
    const { i32 } = this.superblock;
    i32[this.changes] = (i32[this.changes]! + 1) | 0;
  }

  keys(db: number): number {
    return this.superblock.i32[this.roots + db * Root.Words + Root.Keys]!;
  }

  /** How many keys of a database have a deadline. */
  deadlines(db: number): number {
    return this.superblock.i32[this.roots + db * Root.Words + Root.Deadlines]!;
  }

  addDeadlines(db: number, change: number): void {
    const word = this.roots + db * Root.Words + Root.Deadlines;
    this.superblock.i32[word] = this.superblock.i32[word]! + change;
  }

  swap(a: number, b: number): void {
    const { i32 } = this.superblock;
    for (let i = 0; i < Root.Words; i++) {
      const left = this.roots + a * Root.Words + i;
      const right = this.roots + b * Root.Words + i;
      const kept = i32[left]!;
      i32[left] = i32[right]!;
      i32[right] = kept;
    }
    this.changed();
  }

  /** Forgets a database without freeing anything: for a shard whose allocator was reset. */
  forget(db: number): void {
    const root = this.roots + db * Root.Words;
    this.superblock.i32.fill(0, root, root + Root.Words);
    this.changed();
    this.keeper?.statesForgotten();
  }

  /** The handle of the key's record, 0 when absent. */
  find(db: number, key: Key): number {
    if (key.hint !== 0 && key.hintDb === db && key.hintChanges === this.superblock.i32[this.changes]) {
      // Its place was found when its pipeline was read, and nothing has moved since. Another database is looked in by
      // MOVE, by COPY, and after a SELECT in the same pipeline.
      const handle = key.hint;
      const record = this.allocator.regionOf(handle);
      const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
      if (keyMatches(record, at, key.region, key.start, key.bytes)) {
        this.foundRegion = this.allocator.regionOf(key.hintLeaf);
        this.foundLeaf = (key.hintLeaf & Handle.GranuleMask) * 2;
        this.foundWord = key.hintWord;
        return handle;
      }
    }
    const marked = this.leafOf(db, key.high);
    if (marked === 0) return 0;
    const leaf = (marked & ~Leaf.LargeMark) >>> 0;
    const region = this.allocator.regionOf(leaf);
    const header = (leaf & Handle.GranuleMask) * 2;
    const regular = (marked & Leaf.LargeMark) === 0 ? Leaf.SmallRegular : Leaf.LargeRegular;
    const home = (((key.low >>> 8) & 4095) * regular) >>> 12;
    const tag = key.low & 255 || 1;
    const bucket = header + ((1 + home) << 4);
    let found = this.probe(region, bucket, tag, key, header);
    if (found !== 0) return found;
    const next = header + ((home + 1 === regular ? 1 : 2 + home) << 4);
    found = this.probe(region, next, tag, key, header);
    if (found !== 0 || (region.i32[bucket]! & Leaf.StashBit) === 0) return found;
    for (let i = 1; i <= Leaf.StashBuckets; i++) {
      found = this.probe(region, header + ((regular + i) << 4), tag, key, header);
      if (found !== 0) return found;
    }
    return 0;
  }

  // Looking ahead: three passes over the hashes of a pipeline's keys, each a few instructions a key, so that
  // the processor has many of their reads in flight. Safe without the lock; torn, they throw RangeError or guess wrong.

  /** Finds the bucket where each key is at home and reads a word of it, so that its cache line comes. The result means
   *  nothing. */
  touchBuckets(ahead: LookAhead, from: number, to: number): number {
    const { db, highs, lows, leaves, changes, regions, buckets } = ahead;
    const now = this.superblock.i32[this.changes]!;
    let touched = 0;
    for (let i = from; i < to; i++) {
      changes[i] = now;
      buckets[i] = 0;
      const marked = this.leafOf(db, highs[i]!);
      if (marked === 0) continue;
      const region = this.allocator.regionOf(marked);
      const bucket = this.homeBucket(marked, lows[i]!);
      leaves[i] = marked & ~Leaf.LargeMark;
      regions[i] = region;
      buckets[i] = bucket;
      touched ^= region.i32[bucket + Leaf.TagWords]!;
    }
    return touched;
  }

  /** Guesses each key's place in the bucket that was touched: the first slot whose tag is the key's. Sets handle (0 for none)
   *  and slot word of the guess; `hintChanges` of the key completes it. */
  static guess(ahead: LookAhead, count: number): void {
    const { lows, handles, words, regions, buckets } = ahead;
    for (let i = 0; i < count; i++) {
      handles[i] = 0;
      const bucket = buckets[i]!;
      if (bucket === 0) continue;
      const { i32 } = regions[i]!;
      const low = lows[i]!;
      const pattern = Math.imul(low & 255 || 1, 0x01010101);
      for (let word = 0; word < 3; word++) {
        const difference = i32[bucket + Leaf.TagWords + word]! ^ pattern;
        const matches = (difference - 0x01010101) & ~difference & 0x80808080;
        if (matches === 0) continue;
        const slot = bucket + Leaf.HandleWords + (word << 2) + (ctz(matches) >> 3);
        handles[i] = i32[slot]!;
        words[i] = slot;
        break;
      }
    }
  }

  /** u32 word of the bucket where a key of this low hash word is at home in a marked leaf. */
  private homeBucket(marked: number, low: number): number {
    const regular = (marked & Leaf.LargeMark) === 0 ? Leaf.SmallRegular : Leaf.LargeRegular;
    const home = (((low >>> 8) & 4095) * regular) >>> 12;
    return (marked & (Handle.GranuleMask & ~Leaf.LargeMark)) * 2 + ((1 + home) << 4);
  }

  /** The directory's entry for a hash: a leaf's handle and its mark, 0 in an empty database. */
  private leafOf(db: number, high: number): number {
    const root = this.roots + db * Root.Words;
    const { i32 } = this.superblock;
    const directory = i32[root + Root.Directory]!;
    if (directory === 0) return 0;
    const depth = i32[root + Root.Depth]!;
    const entry = depth === 0 ? 0 : high >>> (32 - depth);
    return this.allocator.regionOf(directory).u32[(directory & Handle.GranuleMask) * 2 + entry]!;
  }

  private probe(region: Region, bucket: number, tag: number, key: Key, leaf: number): number {
    const { i32 } = region;
    const pattern = Math.imul(tag, 0x01010101);
    for (let word = 0; word < 3; word++) {
      // Bytes equal to the tag become 0; the classic test marks zero bytes (and may mark a false one above a true one).
      const difference = i32[bucket + Leaf.TagWords + word]! ^ pattern;
      let matches = (difference - 0x01010101) & ~difference & 0x80808080;
      while (matches !== 0) {
        const slot = bucket + Leaf.HandleWords + (word << 2) + (ctz(matches) >> 3);
        const handle = i32[slot]! >>> 0;
        if (handle !== 0) {
          const record = this.allocator.regionOf(handle);
          const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
          if (keyMatches(record, at, key.region, key.start, key.bytes)) {
            this.foundRegion = region;
            this.foundWord = slot;
            this.foundLeaf = leaf;
            return handle;
          }
        }
        matches &= matches - 1;
      }
    }
    return 0;
  }

  /** Points what `find` just found at another record of the same key. */
  replaceFound(handle: number): void {
    this.foundRegion.u32[this.foundWord] = handle;
    this.changed();
  }

  /** Tells the leaf of what was just found or inserted that a record there is due at `deadlineMs`. */
  noteDeadline(deadlineMs: number): void {
    const { f64 } = this.foundRegion;
    const word = (this.foundLeaf >> 1) + Leaf.DeadlineF64;
    if (deadlineMs < f64[word]!) f64[word] = deadlineMs;
  }

  /** Removes what `find` just found. The record itself is the caller's to free. */
  removeFound(db: number): void {
    const { foundRegion, foundLeaf, foundWord } = this;
    const state = this.foundState;
    if (state > 0) {
      this.foundState = 0;
      this.keeper?.stateGone(state);
    }
    // Buckets are 16 words from a multiple of 16 on, which gives the slot and its tag.
    foundRegion.u8[(((foundWord & ~15) + Leaf.TagWords) << 2) + (foundWord & 15) - Leaf.HandleWords] = 0;
    foundRegion.u32[foundWord] = 0;
    foundRegion.u32[foundLeaf + Leaf.LiveWord] = foundRegion.u32[foundLeaf + Leaf.LiveWord]! - 1;
    const keys = this.roots + db * Root.Words + Root.Keys;
    this.superblock.i32[keys] = this.superblock.i32[keys]! - 1;
    this.changed();
  }

  /** Adds a key known to be absent. False, and nothing changed, when there is no memory to grow into. */
  insert(db: number, key: Key, handle: number): boolean {
    const root = this.roots + db * Root.Words;
    const { u32: heads } = this.superblock;
    if (heads[root + Root.Directory] === 0 && !this.createRoot(root)) return false;
    for (;;) {
      const leaf = (this.leafOf(db, key.high) & ~Leaf.LargeMark) >>> 0;
      if (this.place(leaf, key.low, handle)) {
        heads[root + Root.Keys] = heads[root + Root.Keys]! + 1;
        return true;
      }
      if (!this.growLeaf(root, leaf)) return false;
    }
  }

  private createRoot(root: number): boolean {
    const directory = this.allocator.allocate(16);
    if (directory === 0) return false;
    const leaf = this.newLeaf(Leaf.SmallBlocks, 0, 0, 0);
    if (leaf === 0) {
      this.allocator.free(directory);
      return false;
    }
    this.allocator.regionOf(directory).u32[(directory & Handle.GranuleMask) * 2] = leaf;
    const { u32 } = this.superblock;
    u32[root + Root.Directory] = directory;
    u32[root + Root.Depth] = 0;
    return true;
  }

  /** An empty leaf, with states if StatesBit is set in `like`. 0 when memory is out. */
  private newLeaf(blocks: number, depth: number, prefix: number, like: number): number {
    const word = depth | (blocks << 8) | (like & Leaf.StatesBit);
    const bytes = leafBytes(word);
    const leaf = this.allocator.allocate(bytes);
    if (leaf === 0) return 0;
    const { u32, f64 } = this.allocator.regionOf(leaf);
    const header = (leaf & Handle.GranuleMask) * 2;
    u32.fill(0, header, header + (bytes >> 2));
    u32[header] = word;
    u32[header + Leaf.PrefixWord] = prefix;
    f64[(header >> 1) + Leaf.DeadlineF64] = Number.POSITIVE_INFINITY;
    return leaf;
  }

  /** Index of an empty slot of a bucket, -1 when it is full. */
  private emptySlot(u32: Uint32Array, bucket: number): number {
    for (let word = 0; word < 3; word++) {
      const tags = u32[bucket + Leaf.TagWords + word]!;
      const empty = (tags - 0x01010101) & ~tags & 0x80808080;
      if (empty !== 0) return (word << 2) + (ctz(empty) >> 3); // the lowest mark is never a false one
    }
    return -1;
  }

  private emptyCount(u32: Uint32Array, bucket: number): number {
    let count = 0;
    for (let slot = 0; slot < Leaf.Slots; slot++) if (u32[bucket + Leaf.HandleWords + slot] === 0) count++;
    return count;
  }

  private place(leaf: number, low: number, handle: number): boolean {
    const region = this.allocator.regionOf(leaf);
    const { u32 } = region;
    const header = (leaf & Handle.GranuleMask) * 2;
    const regular = ((u32[header]! >>> 8) & 255) - Leaf.Overhead;
    const home = (((low >>> 8) & 4095) * regular) >>> 12;
    const homeBucket = header + ((1 + home) << 4);
    const nextBucket = header + ((home + 1 === regular ? 1 : 2 + home) << 4);
    // At home while it has room to spare, so that most lookups read one cache line; else where there is more room.
    const room = this.emptyCount(u32, homeBucket);
    let bucket = room > Leaf.Spare || room >= this.emptyCount(u32, nextBucket) ? homeBucket : nextBucket;
    let slot = this.emptySlot(u32, bucket);
    for (let i = 1; slot < 0 && i <= Leaf.StashBuckets; i++) {
      bucket = header + ((regular + i) << 4);
      slot = this.emptySlot(u32, bucket);
      if (slot >= 0) u32[homeBucket] = u32[homeBucket]! | Leaf.StashBit;
    }
    if (slot < 0) return false;
    const tagAt = ((bucket + Leaf.TagWords) << 2) + slot;
    region.u8[tagAt] = low & 255 || 1;
    u32[bucket + Leaf.HandleWords + slot] = handle;
    u32[header + Leaf.LiveWord] = u32[header + Leaf.LiveWord]! + 1;
    this.foundRegion = region;
    this.foundWord = bucket + Leaf.HandleWords + slot;
    this.foundLeaf = header;
    return true;
  }

  /** Makes room where `leaf` is: the larger size first, then two of the smaller. False when memory is out. */
  private growLeaf(root: number, leaf: number): boolean {
    const { allocator } = this;
    const { u32: heads } = this.superblock;
    const { u32, f64 } = allocator.regionOf(leaf);
    const header = (leaf & Handle.GranuleMask) * 2;
    const depth = u32[header]! & 255;
    const blocks = (u32[header]! >>> 8) & 255;
    const prefix = u32[header + Leaf.PrefixWord]!;
    const deadline = f64[(header >> 1) + Leaf.DeadlineF64]!;
    if (blocks === Leaf.SmallBlocks) {
      const larger = this.newLeaf(Leaf.LargeBlocks, depth, prefix, u32[header]!);
      if (larger === 0) return false;
      this.setDeadline(larger, deadline);
      const moved = this.redistribute(leaf, larger, larger, 0);
      assert(moved, "a leaf's keys fit a larger one");
      this.pointDirectory(root, depth, prefix, larger);
      this.changed();
      allocator.free(leaf);
      return true;
    }
    if (depth >= MAX_DEPTH) return false;
    if (depth === heads[root + Root.Depth]! && !this.doubleDirectory(root)) return false;
    // Most of its keys may share one half: where two leaves became one, of which one was nearly empty.
    return this.splitLeaf(root, leaf, Leaf.SmallBlocks) || this.splitLeaf(root, leaf, Leaf.LargeBlocks);
  }

  /** Puts two leaves of `blocks` blocks in the place of one. False, and nothing is changed, when they are too small or memory
   *  is out. */
  private splitLeaf(root: number, leaf: number, blocks: number): boolean {
    const { allocator } = this;
    const { u32, f64 } = allocator.regionOf(leaf);
    const header = (leaf & Handle.GranuleMask) * 2;
    const depth = u32[header]! & 255;
    const prefix = u32[header + Leaf.PrefixWord]!;
    const deadline = f64[(header >> 1) + Leaf.DeadlineF64]!;
    const low = this.newLeaf(blocks, depth + 1, prefix << 1, u32[header]!);
    if (low === 0) return false;
    const high = this.newLeaf(blocks, depth + 1, (prefix << 1) | 1, u32[header]!);
    if (high === 0 || !this.redistribute(leaf, low, high, depth)) {
      allocator.free(low);
      if (high !== 0) allocator.free(high);
      return false;
    }
    this.setDeadline(low, deadline);
    this.setDeadline(high, deadline);
    this.pointDirectory(root, depth + 1, prefix << 1, low);
    this.pointDirectory(root, depth + 1, (prefix << 1) | 1, high);
    this.changed();
    allocator.free(leaf);
    return true;
  }

  private setDeadline(leaf: number, deadline: number): void {
    this.allocator.regionOf(leaf).f64[(leaf & Handle.GranuleMask) + Leaf.DeadlineF64] = deadline;
  }

  /** Puts every key of `leaf` into `low` too, or into `high` where the bit after the first `depth` of its hash is set. False
   *  when they do not fit. */
  private redistribute(leaf: number, low: number, high: number, depth: number): boolean {
    const { allocator } = this;
    const { u32, u8 } = allocator.regionOf(leaf);
    const header = (leaf & Handle.GranuleMask) * 2;
    const blocks = (u32[header]! >>> 8) & 255;
    let stateAt = this.statesAt(leaf);
    for (let block = 1; block < blocks; block++)
      for (let slot = 0; slot < Leaf.Slots; slot++) {
        const handle = u32[header + (block << 4) + Leaf.HandleWords + slot]!;
        const state = stateAt === 0 ? 0 : u8[stateAt++]!;
        if (handle === 0) continue;
        this.hashRecord(handle);
        const target = low !== high && ((hashHigh >>> (31 - depth)) & 1) === 1 ? high : low;
        if (!this.place(target, hashLow, handle)) return false;
        if (state !== 0) this.foundState = state;
      }
    return true;
  }

  private hashRecord(handle: number): void {
    const region = this.allocator.regionOf(handle);
    const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
    hashBytes(region, keyStartAt(region, at), keyBytesAt(region, at));
  }

  private doubleDirectory(root: number): boolean {
    const { allocator } = this;
    const { u32: heads } = this.superblock;
    const depth = heads[root + Root.Depth]!;
    const larger = allocator.allocate(8 << depth);
    if (larger === 0) return false;
    const old = heads[root + Root.Directory]!;
    const from = allocator.regionOf(old).u32;
    const to = allocator.regionOf(larger).u32;
    const source = (old & Handle.GranuleMask) * 2;
    const target = (larger & Handle.GranuleMask) * 2;
    for (let i = (1 << depth) - 1; i >= 0; i--) {
      to[target + 2 * i] = from[source + i]!;
      to[target + 2 * i + 1] = from[source + i]!;
    }
    heads[root + Root.Directory] = larger;
    heads[root + Root.Depth] = depth + 1;
    allocator.free(old);
    return true;
  }

  private pointDirectory(root: number, depth: number, prefix: number, leaf: number): void {
    const { u32: heads } = this.superblock;
    const directory = heads[root + Root.Directory]!;
    const spread = heads[root + Root.Depth]! - depth;
    const start = (directory & Handle.GranuleMask) * 2 + (prefix << spread);
    const blocks = (this.allocator.regionOf(leaf).u32[(leaf & Handle.GranuleMask) * 2]! >>> 8) & 255;
    const marked = blocks === Leaf.LargeBlocks ? leaf | Leaf.LargeMark : leaf;
    this.allocator.regionOf(directory).u32.fill(marked, start, start + (1 << spread));
  }

  /** How many directory entries a database has: 0 when it is empty. */
  directorySize(db: number): number {
    const { u32 } = this.superblock;
    const root = this.roots + db * Root.Words;
    return u32[root + Root.Directory] === 0 ? 0 : 1 << u32[root + Root.Depth]!;
  }

  /** Handle of the leaf at a directory entry. */
  leafAt(db: number, entry: number): number {
    const directory = this.superblock.u32[this.roots + db * Root.Words + Root.Directory]!;
    const marked = this.allocator.regionOf(directory).u32[(directory & Handle.GranuleMask) * 2 + entry]!;
    return (marked & ~Leaf.LargeMark) >>> 0;
  }

  /** Directory entries from `entry` on that lead to the same leaf, `entry` being its first. */
  leafSpan(db: number, entry: number): number {
    const leaf = this.leafAt(db, entry);
    const depth = this.allocator.regionOf(leaf).u32[(leaf & Handle.GranuleMask) * 2]! & 255;
    return 1 << (this.superblock.u32[this.roots + db * Root.Words + Root.Depth]! - depth);
  }

  /** Frees the directory of a database whose leaves are freed. */
  freeDirectory(db: number): void {
    const directory = this.superblock.u32[this.roots + db * Root.Words + Root.Directory]!;
    if (directory !== 0) this.allocator.free(directory);
  }

  /** Appends the handles of a leaf to `into`. */
  collectLeaf(leaf: number, into: number[]): void {
    const { u32 } = this.allocator.regionOf(leaf);
    const header = (leaf & Handle.GranuleMask) * 2;
    const blocks = (u32[header]! >>> 8) & 255;
    for (let block = 1; block < blocks; block++)
      for (let slot = 0; slot < Leaf.Slots; slot++) {
        const handle = u32[header + (block << 4) + Leaf.HandleWords + slot]!;
        if (handle !== 0) into.push(handle);
      }
  }

  /** The handle in a slot drawn uniformly, 0 when it is empty. `chance1` and `chance2` are in [0, 1). */
  drawSlot(db: number, chance1: number, chance2: number): number {
    const leaf = this.leafAt(db, Math.floor(chance1 * this.directorySize(db)));
    const { u32 } = this.allocator.regionOf(leaf);
    const header = (leaf & Handle.GranuleMask) * 2;
    // Over the larger size for both, or keys of small leaves would be drawn more often.
    const slot = Math.floor(chance2 * (Leaf.LargeBlocks - 1) * Leaf.Slots);
    const block = 1 + Math.floor(slot / Leaf.Slots);
    if (block >= ((u32[header]! >>> 8) & 255)) return 0;
    return u32[header + (block << 4) + Leaf.HandleWords + (slot % Leaf.Slots)]!;
  }

  /** The earliest time at which a record of the leaf may be due. Infinity when none has a deadline. */
  leafDeadline(leaf: number): number {
    return this.allocator.regionOf(leaf).f64[(leaf & Handle.GranuleMask) + Leaf.DeadlineF64]!;
  }

  /** Recomputes leafDeadline from the records that are there. */
  refreshLeafDeadline(leaf: number): void {
    const handles: number[] = [];
    this.collectLeaf(leaf, handles);
    let earliest = Number.POSITIVE_INFINITY;
    for (const handle of handles) {
      const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
      const deadline = dueAt(this.allocator.regionOf(handle), at);
      if (deadline !== 0 && deadline < earliest) earliest = deadline;
    }
    this.setDeadline(leaf, earliest);
  }

  /** One step of a scan: appends the handles of all keys whose hash lies under `path` (1 << depth | prefix) and whose
   *  position lies in [position, the position that comes back). A key's place in this order depends on its hash alone,
   *  so a key present throughout a scan is met however leaves grow meanwhile. POSITIONS means the path is done. */
  scanStep(db: number, path: number, position: number, into: number[]): number {
    const size = this.directorySize(db);
    if (size === 0) return POSITIONS;
    const globalDepth = 31 - Math.clz32(size);
    const pathDepth = 31 - Math.clz32(path);
    const prefix = path - (1 << pathDepth);
    let entry =
      pathDepth <= globalDepth ? prefix << (globalDepth - pathDepth) : prefix >>> (pathDepth - globalDepth);
    const end = pathDepth <= globalDepth ? (prefix + 1) << (globalDepth - pathDepth) : entry + 1;
    let until = 0;
    while (entry < end) {
      const leaf = this.leafAt(db, entry);
      const { u32 } = this.allocator.regionOf(leaf);
      const header = (leaf & Handle.GranuleMask) * 2;
      const depth = u32[header]! & 255;
      const regular = ((u32[header]! >>> 8) & 255) - Leaf.Overhead;
      const first = (position * regular) >>> 12;
      if (until === 0) until = Math.ceil(((first + 1) * POSITIONS) / regular);
      const last = ((until - 1) * regular) >>> 12;
      for (let home = first; home <= last + 1; home++)
        this.scanBucket(header + ((1 + (home % regular)) << 4), u32, path, position, until, into);
      for (let i = 1; i <= Leaf.StashBuckets; i++)
        this.scanBucket(header + ((regular + i) << 4), u32, path, position, until, into);
      entry = ((entry >>> (globalDepth - depth)) + 1) << (globalDepth - depth);
    }
    return Math.min(until, POSITIONS);
  }

  private scanBucket(
    bucket: number,
    u32: Uint32Array,
    path: number,
    from: number,
    until: number,
    into: number[],
  ): void {
    const depth = 31 - Math.clz32(path);
    for (let slot = 0; slot < Leaf.Slots; slot++) {
      const handle = u32[bucket + Leaf.HandleWords + slot]!;
      if (handle === 0) continue;
      this.hashRecord(handle);
      const position = (hashLow >>> 8) & 4095;
      if (position < from || position >= until) continue;
      if (depth > 0 && ((1 << depth) | (hashHigh >>> (32 - depth))) !== path) continue;
      into.push(handle);
    }
  }

  /** The path after `path` in a scan, 0 when it was the last. */
  nextPath(db: number, path: number): number {
    const depth = 31 - Math.clz32(path);
    const next = path + 1;
    if (next === 2 << depth) return 0;
    return this.pathFrom(db, (next - (1 << depth)) * 2 ** (32 - depth));
  }

  /** The path of the leaf that holds the hash `high` (0 .. 2^32 - 1). */
  pathFrom(db: number, high: number): number {
    const size = this.directorySize(db);
    if (size === 0) return 1;
    const globalDepth = 31 - Math.clz32(size);
    const leaf = this.leafAt(db, globalDepth === 0 ? 0 : high >>> (32 - globalDepth));
    const { u32 } = this.allocator.regionOf(leaf);
    const leafDepth = u32[(leaf & Handle.GranuleMask) * 2]! & 255;
    const depth = high === 0 ? leafDepth : Math.max(leafDepth, Math.clz32(high & -high) + 1);
    return depth === 0 ? 1 : (1 << depth) | (high >>> (32 - depth));
  }

  // Relocating: what a walk over all leaves does to give memory back. Positions are hashes: a number from 0 to 2^32, the
  // end, that the directory's growth does not change.

  /** The leaf of the hash `position`, 0 in an empty database. */
  leafOn(db: number, position: number): number {
    return (this.leafOf(db, position) & ~Leaf.LargeMark) >>> 0;
  }

  /** The first position behind a leaf. */
  endOf(leaf: number): number {
    const { u32 } = this.allocator.regionOf(leaf);
    const header = (leaf & Handle.GranuleMask) * 2;
    return (u32[header + Leaf.PrefixWord]! + 1) * 2 ** (32 - (u32[header]! & 255));
  }

  /** Slots of a leaf, used or not. */
  slotsOf(leaf: number): number {
    const { u32 } = this.allocator.regionOf(leaf);
    return (((u32[(leaf & Handle.GranuleMask) * 2]! >>> 8) & 255) - 1) * Leaf.Slots;
  }

  /** Reads the handles of `count` slots of a leaf from slot `from` on, 0 for the empty ones. */
  readSlots(leaf: number, from: number, count: number, into: Uint32Array): void {
    const { u32 } = this.allocator.regionOf(leaf);
    const first = (leaf & Handle.GranuleMask) * 2 + 16 + Leaf.HandleWords;
    let block = Math.floor(from / Leaf.Slots);
    let slot = from - block * Leaf.Slots;
    for (let i = 0; i < count; i++) {
      into[i] = u32[first + (block << 4) + slot]!;
      if (++slot < Leaf.Slots) continue;
      slot = 0;
      block++;
    }
  }

  /** Points a slot of a leaf at another record of the same key. */
  replaceAt(leaf: number, slot: number, handle: number): void {
    const { u32 } = this.allocator.regionOf(leaf);
    const block = Math.floor(slot / Leaf.Slots);
    u32[(leaf & Handle.GranuleMask) * 2 + ((1 + block) << 4) + Leaf.HandleWords + slot - block * Leaf.Slots] =
      handle;
    this.changed();
  }

  /** Moves the directory of a database if its span is leaving. */
  relocateDirectory(db: number, mover: Mover): void {
    const root = this.roots + db * Root.Words;
    const { u32 } = this.superblock;
    const directory = u32[root + Root.Directory]!;
    if (directory === 0) return;
    const created = mover.copy(directory, Math.max(16, 4 << u32[root + Root.Depth]!));
    if (created === 0) return;
    u32[root + Root.Directory] = created;
    this.changed();
    this.allocator.free(directory);
  }

  /** Joins the leaf at a position with its buddy while both have few keys, makes it small if it has few, or moves it if its
   *  span is leaving. Its handle is then that of `leafOn`. */
  relocateLeaf(db: number, position: number, mover: Mover): void {
    const root = this.roots + db * Root.Words;
    while (this.mergeLeaf(root, this.leafOn(db, position), mover));
    const leaf = this.leafOn(db, position);
    const { u32 } = this.allocator.regionOf(leaf);
    const header = (leaf & Handle.GranuleMask) * 2;
    const depth = u32[header]! & 255;
    const blocks = (u32[header]! >>> 8) & 255;
    const live = u32[header + Leaf.LiveWord]!;
    const prefix = u32[header + Leaf.PrefixWord]!;
    let created = 0;
    if (blocks === Leaf.LargeBlocks && live <= Leaf.Shrink) {
      mover.budget -= live * Cost.Place;
      created = this.newLeaf(Leaf.SmallBlocks, depth, prefix, u32[header]!);
      if (created === 0) return;
      this.setDeadline(created, this.leafDeadline(leaf));
      if (!this.redistribute(leaf, created, created, 0)) {
        this.allocator.free(created);
        return;
      }
      mover.moved++;
    } else created = mover.copy(leaf, leafBytes(u32[header]!));
    if (created === 0) return;
    this.pointDirectory(root, depth, prefix, created);
    this.changed();
    this.allocator.free(leaf);
  }

  /** Joins a leaf with its buddy. False when there is none, or both have too many keys, or memory is out. */
  private mergeLeaf(root: number, leaf: number, mover: Mover): boolean {
    const { allocator } = this;
    const { u32: heads } = this.superblock;
    const { u32 } = allocator.regionOf(leaf);
    const header = (leaf & Handle.GranuleMask) * 2;
    const depth = u32[header]! & 255;
    const live = u32[header + Leaf.LiveWord]!;
    if (depth === 0 || live > Leaf.Merge) return false;
    const prefix = u32[header + Leaf.PrefixWord]!;
    const directory = heads[root + Root.Directory]!;
    const entry = (prefix ^ 1) << (heads[root + Root.Depth]! - depth);
    const marked = allocator.regionOf(directory).u32[(directory & Handle.GranuleMask) * 2 + entry]!;
    const buddy = (marked & ~Leaf.LargeMark) >>> 0;
    const other = allocator.regionOf(buddy).u32;
    const otherHeader = (buddy & Handle.GranuleMask) * 2;
    const both = live + other[otherHeader + Leaf.LiveWord]!;
    if ((other[otherHeader]! & 255) !== depth || both > Leaf.Merge) return false;
    const like = u32[header]! | other[otherHeader]!;
    const created = this.newLeaf(Leaf.SmallBlocks, depth - 1, prefix >>> 1, like);
    if (created === 0) return false;
    mover.budget -= both * Cost.Place;
    this.setDeadline(created, Math.min(this.leafDeadline(leaf), this.leafDeadline(buddy)));
    if (!this.redistribute(leaf, created, created, 0) || !this.redistribute(buddy, created, created, 0)) {
      allocator.free(created);
      return false;
    }
    this.pointDirectory(root, depth - 1, prefix >>> 1, created);
    this.changed();
    allocator.free(leaf);
    allocator.free(buddy);
    mover.moved++;
    return true;
  }

  // States

  /** Byte offset of the states of a leaf in its region, 0 when it has none. */
  statesAt(leaf: number): number {
    const header = (leaf & Handle.GranuleMask) * 2;
    const word = this.allocator.regionOf(leaf).u32[header]!;
    return (word & Leaf.StatesBit) === 0 ? 0 : (header + (((word >>> 8) & 255) << 4)) << 2;
  }

  /** Byte offset in foundRegion of the state of what was found, 0 when its leaf has none. */
  get foundStateAt(): number {
    const { foundLeaf } = this;
    const word = this.foundRegion.u32[foundLeaf]!;
    if ((word & Leaf.StatesBit) === 0) return 0;
    const offset = this.foundWord - foundLeaf; // blocks are 16 words, the first is the header
    const slot = (offset >> 4) * Leaf.Slots + (offset & 15) - Leaf.Slots - Leaf.HandleWords;
    return ((foundLeaf + (((word >>> 8) & 255) << 4)) << 2) + slot;
  }

  /** State of what was just found or inserted: 0 for none yet, -1 when its leaf has none. */
  get foundState(): number {
    const at = this.foundStateAt;
    return at === 0 ? -1 : this.foundRegion.u8[at]!;
  }

  /** Only where the leaf has states. */
  set foundState(state: number) {
    this.foundRegion.u8[this.foundStateAt] = state;
  }

  /** Finds a record by its handle and the hash of its key, as `find` does by the key's bytes. False when it is not there. */
  findRecord(db: number, high: number, low: number, handle: number): boolean {
    const marked = this.leafOf(db, high);
    if (marked === 0) return false;
    const region = this.allocator.regionOf(marked);
    const header = (marked & (Handle.GranuleMask & ~Leaf.LargeMark)) * 2;
    const regular = (marked & Leaf.LargeMark) === 0 ? Leaf.SmallRegular : Leaf.LargeRegular;
    const home = (((low >>> 8) & 4095) * regular) >>> 12;
    for (let i = 0; i < 2 + Leaf.StashBuckets; i++) {
      const block = i === 0 ? home : i === 1 ? (home + 1) % regular : regular + i - 2;
      const first = header + ((1 + block) << 4) + Leaf.HandleWords;
      for (let at = first; at < first + Leaf.Slots; at++) {
        if (region.u32[at] !== handle) continue;
        this.foundRegion = region;
        this.foundLeaf = header;
        this.foundWord = at;
        return true;
      }
    }
    return false;
  }

  /** Makes a slot of a leaf what was found. Its handle, 0 when it is empty. */
  findSlot(leaf: number, slot: number): number {
    const block = Math.floor(slot / Leaf.Slots);
    this.foundRegion = this.allocator.regionOf(leaf);
    this.foundLeaf = (leaf & Handle.GranuleMask) * 2;
    this.foundWord = this.foundLeaf + ((1 + block) << 4) + Leaf.HandleWords + slot - block * Leaf.Slots;
    return this.foundRegion.u32[this.foundWord]!;
  }

  /** Gives the leaf of the hash `position` states, all 0, unless it has some. False when memory is out. What was found there
   *  is to be found again. */
  addStates(db: number, position: number): boolean {
    const { allocator } = this;
    const leaf = this.leafOn(db, position);
    if (this.statesAt(leaf) !== 0) return true;
    const from = allocator.regionOf(leaf).u32;
    const header = (leaf & Handle.GranuleMask) * 2;
    const word = from[header]! | Leaf.StatesBit;
    const created = allocator.allocate(leafBytes(word));
    if (created === 0) return false;
    const to = allocator.regionOf(created).u32;
    const target = (created & Handle.GranuleMask) * 2;
    const words = ((word >>> 8) & 255) << 4;
    for (let i = 0; i < words; i++) to[target + i] = from[header + i]!;
    to.fill(0, target + words, target + (leafBytes(word) >> 2));
    to[target] = word;
    this.pointDirectory(this.roots + db * Root.Words, word & 255, from[header + Leaf.PrefixWord]!, created);
    this.changed();
    allocator.free(leaf);
    return true;
  }

  /** Every invariant of this file for one database, O(keys): for tests. */
  check(db: number): void {
    let keys = 0;
    for (let entry = 0; entry < this.directorySize(db); entry += this.leafSpan(db, entry)) {
      const leaf = this.leafAt(db, entry);
      const { u32, u8 } = this.allocator.regionOf(leaf);
      const header = (leaf & Handle.GranuleMask) * 2;
      const depth = u32[header]! & 255;
      const blocks = (u32[header]! >>> 8) & 255;
      const regular = blocks - Leaf.Overhead;
      let live = 0;
      let stateAt = this.statesAt(leaf);
      for (let block = 1; block < blocks; block++)
        for (let slot = 0; slot < Leaf.Slots; slot++) {
          const bucket = header + (block << 4);
          const handle = u32[bucket + Leaf.HandleWords + slot]!;
          const tag = u8[((bucket + Leaf.TagWords) << 2) + slot]!;
          assert((handle === 0) === (tag === 0), "a slot has both handle and tag or neither");
          const state = stateAt === 0 ? 0 : u8[stateAt++]!;
          assert(state === 0 || handle !== 0, "only a key has a state");
          if (handle === 0) continue;
          live++;
          this.hashRecord(handle);
          assert(tag === (hashLow & 255 || 1), "the tag is the key's");
          assert(
            depth === 0 || hashHigh >>> (32 - depth) === u32[header + Leaf.PrefixWord],
            "the key belongs here",
          );
          const home = (((hashLow >>> 8) & 4095) * regular) >>> 12;
          if (block > regular)
            assert((u32[header + ((1 + home) << 4)]! & Leaf.StashBit) !== 0, "home knows of the stash");
          else assert(block - 1 === home || block - 1 === (home + 1) % regular, "home or neighbour");
          const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
          const deadline = dueAt(this.allocator.regionOf(handle), at);
          assert(
            deadline === 0 || this.leafDeadline(leaf) <= deadline,
            "the leaf knows its earliest deadline",
          );
        }
      assert(live === u32[header + Leaf.LiveWord], `live slots: counted ${live}`);
      keys += live;
    }
    assert(keys === this.keys(db), `keys of database ${db}: counted ${keys}, kept ${this.keys(db)}`);
  }
}
