// buckets.ts: a hash table of things chained off heap, by linear hashing (Litwin, VLDB 1980): it grows and shrinks by
// one bucket at a time, so that no insert or removal ever waits for the whole table.
//
// A thing is a handle whose first two u32 words are the table's: 0 its hash, 1 the next thing in its bucket.
// Root, u32 words of a superblock:
//   0 things   1 buckets n (0, or at least 64)   2.. handles of the pieces
// Piece 0 holds buckets 0..63, piece k > 0 the buckets [32 << k, 64 << k), each one u32, the first thing of its chain.
// With top the highest power of two in n, a hash belongs to bucket hash & (2 top - 1), or, where that is n or more, to
// hash & (top - 1).
// Invariants: n <= things + 64; n is more than 2 things only at 64; a piece is there exactly when n reaches into it; all of it
// is freed with the last thing.
// Who writes: whoever holds the lock of the superblock's owner. Readers without it validate afterwards, and bound the
// chains they follow by `things`.
// On the data path: no allocation in the JS sense. Neighbours: allocator.ts below; register.ts keeps two.
import { type Allocator, Handle } from "../memory/allocator.ts";
import { assert } from "../memory/assert.ts";

export const enum BucketsRoot {
  Things = 0,
  Buckets = 1,
  Pieces = 2,
  Words = 32,
}

export const enum Thing {
  Hash = 0,
  Chain = 1,
}

/** Buckets of the first piece. */
const FIRST = 64;
/** The last piece, of half a GiB, ends at this many buckets: beyond, chains only become longer. */
const MOST = 1 << 28;

function highestPower(n: number): number {
  return 1 << (31 - Math.clz32(n));
}

/** u32 word of a handle in its region. */
export function wordOf(handle: number): number {
  return (handle & Handle.GranuleMask) << 1;
}

export class Buckets {
  /** Where `seek` ended: the words that hold a bucket, and which of them it is. */
  private words: Uint32Array;
  private at = 0;

  /** `root`: u32 word in `head` where the root begins. */
  constructor(
    private readonly allocator: Allocator,
    private readonly head: Uint32Array,
    private readonly root: number,
  ) {
    this.words = head;
  }

  get things(): number {
    return this.head[this.root + BucketsRoot.Things]!;
  }

  get buckets(): number {
    return this.head[this.root + BucketsRoot.Buckets]!;
  }

  /** The first thing of the chain that a hash belongs to, 0 for none. */
  first(hash: number): number {
    const n = this.buckets;
    if (n === 0) return 0;
    this.seek(this.bucketOf(hash, n));
    return this.words[this.at]!;
  }

  /** The first thing of a bucket, 0 for none. */
  firstOf(bucket: number): number {
    this.seek(bucket);
    return this.words[this.at]!;
  }

  /** Puts a thing under its hash. False, and nothing changed, when memory is out. */
  insert(hash: number, thing: number): boolean {
    const { head, root } = this;
    let n = this.buckets;
    if (n === 0) {
      const piece = this.allocator.allocate(FIRST * 4);
      if (piece === 0) return false;
      const word = wordOf(piece);
      this.allocator.regionOf(piece).u32.fill(0, word, word + FIRST);
      head[root + BucketsRoot.Pieces] = piece;
      head[root + BucketsRoot.Buckets] = n = FIRST;
    }
    this.seek(this.bucketOf(hash, n));
    const words = this.allocator.regionOf(thing).u32;
    const word = wordOf(thing);
    words[word + Thing.Hash] = hash;
    words[word + Thing.Chain] = this.words[this.at]!;
    this.words[this.at] = thing;
    const things = this.things + 1;
    head[root + BucketsRoot.Things] = things;
    if (things > n) this.grow(n);
    return true;
  }

  /** Takes out a thing that is here. */
  remove(thing: number): void {
    const { allocator, head, root } = this;
    const words = allocator.regionOf(thing).u32;
    const word = wordOf(thing);
    const next = words[word + Thing.Chain]!;
    this.seek(this.bucketOf(words[word + Thing.Hash]!, this.buckets));
    let before = this.words[this.at]!;
    if (before === thing) this.words[this.at] = next;
    else
      for (;;) {
        assert(before !== 0, "a thing to remove is in its bucket");
        const link = allocator.regionOf(before).u32;
        const at = wordOf(before) + Thing.Chain;
        before = link[at]!;
        if (before !== thing) continue;
        link[at] = next;
        break;
      }
    const things = this.things - 1;
    head[root + BucketsRoot.Things] = things;
    if (things === 0) this.clear();
    else for (let n = this.buckets; n > FIRST && n > 2 * things; n--) this.shrink(n);
  }

  private bucketOf(hash: number, n: number): number {
    const top = highestPower(n);
    const bucket = hash & (2 * top - 1);
    return bucket < n ? bucket : bucket & (top - 1);
  }

  private seek(bucket: number): void {
    const number = bucket < FIRST ? 0 : 26 - Math.clz32(bucket);
    const piece = this.head[this.root + BucketsRoot.Pieces + number]!;
    this.words = this.allocator.regionOf(piece).u32;
    this.at = wordOf(piece) + bucket - (number === 0 ? 0 : (FIRST >> 1) << number);
  }

  /** Makes bucket n, of what the bucket half as far up holds. Without memory for its piece things stay as they are. */
  private grow(n: number): void {
    const { allocator, head, root } = this;
    const top = highestPower(n);
    if (n === top) {
      const piece = n < MOST ? allocator.allocate(n * 4) : 0;
      if (piece === 0) return;
      head[root + BucketsRoot.Pieces + 26 - Math.clz32(n)] = piece;
    }
    this.seek(n - top);
    let thing = this.words[this.at]!;
    let stays = 0;
    let goes = 0;
    while (thing !== 0) {
      const words = allocator.regionOf(thing).u32;
      const word = wordOf(thing);
      const next = words[word + Thing.Chain]!;
      if ((words[word + Thing.Hash]! & (2 * top - 1)) === n) {
        words[word + Thing.Chain] = goes;
        goes = thing;
      } else {
        words[word + Thing.Chain] = stays;
        stays = thing;
      }
      thing = next;
    }
    this.words[this.at] = stays;
    this.seek(n);
    this.words[this.at] = goes;
    head[root + BucketsRoot.Buckets] = n + 1;
  }

  /** Joins the last of n buckets to the one it was split from. */
  private shrink(n: number): void {
    const { allocator, head, root } = this;
    const last = n - 1;
    const top = highestPower(last);
    this.seek(last);
    const moved = this.words[this.at]!;
    if (moved !== 0) {
      this.seek(last - top);
      const there = this.words[this.at]!;
      this.words[this.at] = moved;
      if (there !== 0) {
        let end = moved;
        for (;;) {
          const { u32 } = allocator.regionOf(end);
          const at = wordOf(end) + Thing.Chain;
          if (u32[at] === 0) {
            u32[at] = there;
            break;
          }
          end = u32[at]!;
        }
      }
    }
    head[root + BucketsRoot.Buckets] = last;
    if (last === top) this.freePiece(26 - Math.clz32(last));
  }

  private freePiece(number: number): void {
    const at = this.root + BucketsRoot.Pieces + number;
    const piece = this.head[at]!;
    this.head[at] = 0;
    this.allocator.free(piece);
  }

  private clear(): void {
    const n = this.buckets;
    for (let number = n === FIRST ? 0 : 26 - Math.clz32(n - 1); number >= 0; number--) this.freePiece(number);
    this.head[this.root + BucketsRoot.Buckets] = 0;
  }

  /** Every invariant of this file: for tests. Calls `visit` with each thing. */
  check(visit: (thing: number) => void): void {
    const n = this.buckets;
    let things = 0;
    for (let bucket = 0; bucket < n; bucket++)
      for (let thing = this.firstOf(bucket); thing !== 0; ) {
        const { u32 } = this.allocator.regionOf(thing);
        assert(
          this.bucketOf(u32[wordOf(thing) + Thing.Hash]!, n) === bucket,
          `bucket ${bucket} holds its own`,
        );
        assert(++things <= this.things, "no chain runs in a circle");
        visit(thing);
        thing = u32[wordOf(thing) + Thing.Chain]!;
      }
    assert(things === this.things, `things: counted ${things}, kept ${this.things}`);
    assert(n === FIRST || n <= 2 * things, `${n} buckets for ${things} things`);
    for (let number = 0; number < BucketsRoot.Words - BucketsRoot.Pieces; number++) {
      const begins = number === 0 ? 0 : (FIRST >> 1) * 2 ** number;
      const there = this.head[this.root + BucketsRoot.Pieces + number] !== 0;
      assert(there === begins < n, `piece ${number} is there when ${n} buckets need it`);
    }
  }
}
