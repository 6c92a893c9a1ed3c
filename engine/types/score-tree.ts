// score-tree.ts: the order-statistic B+tree of a large sorted set: elements (score f64, member bytes) in the order of
// score, then member bytes as memcmp has them, then length. Scores are no NaN, and -0 comes in as 0.
//
// All state is in 16 bytes inside the record's value, the root, at no alignment, and in nodes of the allocator:
//   0 u32 root node, 0 when empty   4 u32 height: 0 empty, 1 the root is a leaf   8 u32 elements   12 u32 names (handle)
// Names: a leaf has a number that stays when it moves, so that a member's place can be kept elsewhere (Table):
//   0 u32 capacity   4 u32 first free name, 0 for none   then u32 a name from 1 on: its leaf, or the next free name * 2 + 1
// Leaf, 512 to 4032 bytes in steps of 256 (4032 and not 4096: eight of them fill a span of 32 KiB):
//   0 u32 previous leaf   4 u32 next leaf (0 none)   8 u16 elements   10 u16 bytes of its entries
//   12 u16 size of the leaf   14 u16 entries whose member lies outside   16 u32 name   20 u32 0
//   24 f64 an element, in order: its score
//   then u16 an element, in order: how far before the leaf's end its entry begins. So an entry keeps its number when
//   the leaf moves to another size. Entries lie at the end of the leaf, in no order and without holes.
// Entry: u8 length and the member (up to 128 bytes); or u8 255, u32 handle, u32 length.
// Inner node, 1248 bytes, up to 62 children, the arrays apart so that a search reads scores in a row:
//   0 u32 children   8 f64[62] score   504 u32[62] child   752 u32[62] elements below   1000 u32[62] leftmost leaf below
// A child's separator is its least element itself: the score, and for ties the first entry of its leftmost leaf. It is
// kept exact: whoever changes a leaf's first entry or handle came down a path and rewrites what stands on it.
//
// Invariants (`check`): all leaves at one depth, none empty; a root that is an inner node has two children or more;
// separators exact, counts sums; leaves linked in order. Sizes: a leaf that is full at the top size splits in halves,
// or one element apart where the insertion is at either end of the whole set, so that ordered insertion fills leaves. A
// leaf under a quarter merges with a neighbour of its parent if both fill three quarters at most, and a leaf used by
// less than half moves to a smaller size. Inner nodes under a third merge likewise; no node borrows from another.
// An insertion allocates all it needs before it changes anything. A removal needs no memory; where a merge finds none
// it is left out.
//
// The object is a cursor that every command opens anew. Insertion and removal end its position: seek again before
// next, previous or the element's fields. Member bytes handed in must not lie in this tree.
// On the data path: no allocation in the JS sense but in `check`. Neighbours: memory/allocator.ts, memory/region.ts.
import { type Allocator, Handle } from "../memory/allocator.ts";
import { assert } from "../memory/assert.ts";
import { Cost, type Mover } from "../memory/mover.ts";
import { compareBytes, copyBytes, type Region } from "../memory/region.ts";

const enum Root {
  Node = 0,
  Height = 4,
  Count = 8,
  Names = 12,
  Bytes = 16,
}

/** Byte offsets in a leaf, and its sizes. */
const enum Leaf {
  Previous = 0,
  Next = 4,
  Count = 8,
  Heap = 10,
  Size = 12,
  Outside = 14,
  Name = 16,
  Scores = 24,
  Slot = 10, // bytes of an element besides its entry
  Smallest = 512,
  Step = 256,
  Largest = 4032,
  Underfull = 1008,
  Merged = 3024,
}

const enum Entry {
  Length = 0,
  Member = 1,
  Handle = 1,
  OutsideLength = 5,
  OutsideBytes = 9,
  MostInline = 128,
  Outside = 255,
}

/** u32 words in an inner node; Scores counts f64. */
const enum Inner {
  Count = 0,
  Scores = 1,
  Children = 126,
  Counts = 188,
  Firsts = 250,
  Fan = 62,
  Underfull = 20,
  Bytes = 1248,
}

/** What a search compares. */
const enum By {
  Element = 0,
  Score = 1,
  Member = 2,
}

/** u32 words of the names. */
const enum Names {
  Capacity = 0,
  Free = 1,
  First = 2,
  /** Names there is room for at first. */
  Least = 14,
}

const enum Edge {
  None = 0,
  Start = 1,
  End = 2,
}

/** Far more than 2^32 elements can need. */
const MOST_LEVELS = 24;

function byteOf(handle: number): number {
  return (handle & Handle.GranuleMask) << Handle.GranuleShift;
}

function wordOf(handle: number): number {
  return (handle & Handle.GranuleMask) << 1;
}

/** The smallest size of a leaf that holds `bytes`. */
function leafSizeFor(bytes: number): number {
  if (bytes <= Leaf.Smallest) return Leaf.Smallest;
  const size = (bytes + Leaf.Step - 1) & -Leaf.Step;
  return Math.min(size, Leaf.Largest);
}

/** Byte offset of entry `index` of the leaf at `leaf`. */
function entryAt(view: DataView, leaf: number, index: number): number {
  const distances = leaf + Leaf.Scores + 8 * view.getUint16(leaf + Leaf.Count, true);
  return leaf + view.getUint16(leaf + Leaf.Size, true) - view.getUint16(distances + 2 * index, true);
}

function scoreAt(view: DataView, leaf: number, index: number): number {
  return view.getFloat64(leaf + Leaf.Scores + 8 * index, true);
}

function entryBytes(view: DataView, entry: number): number {
  const length = view.getUint8(entry + Entry.Length);
  return length === Entry.Outside ? Entry.OutsideBytes : Entry.Member + length;
}

/** Bytes of a leaf that hold something. */
function usedBytes(view: DataView, leaf: number): number {
  const count = view.getUint16(leaf + Leaf.Count, true);
  return Leaf.Scores + Leaf.Slot * count + view.getUint16(leaf + Leaf.Heap, true);
}

function addTo16(view: DataView, at: number, by: number): void {
  view.setUint16(at, view.getUint16(at, true) + by, true);
}

/** Takes slot `slot` out of an inner node. */
function removeSlot(region: Region, word: number, slot: number): void {
  const { u32, f64 } = region;
  const count = u32[word + Inner.Count]! - 1;
  const scores = (word >> 1) + Inner.Scores;
  for (let i = slot; i < count; i++) {
    f64[scores + i] = f64[scores + i + 1]!;
    u32[word + Inner.Children + i] = u32[word + Inner.Children + i + 1]!;
    u32[word + Inner.Counts + i] = u32[word + Inner.Counts + i + 1]!;
    u32[word + Inner.Firsts + i] = u32[word + Inner.Firsts + i + 1]!;
  }
  u32[word + Inner.Count] = count;
}

/** Opens a gap at slot `slot` of an inner node that has room. */
function openSlot(region: Region, word: number, slot: number): void {
  const { u32, f64 } = region;
  const count = u32[word + Inner.Count]!;
  const scores = (word >> 1) + Inner.Scores;
  for (let i = count; i > slot; i--) {
    f64[scores + i] = f64[scores + i - 1]!;
    u32[word + Inner.Children + i] = u32[word + Inner.Children + i - 1]!;
    u32[word + Inner.Counts + i] = u32[word + Inner.Counts + i - 1]!;
    u32[word + Inner.Firsts + i] = u32[word + Inner.Firsts + i - 1]!;
  }
  u32[word + Inner.Count] = count + 1;
}

/** Moves the slots of `source` from `from` on behind those of `target`. */
function moveSlots(target: Region, into: number, source: Region, word: number, from: number): void {
  const count = source.u32[word + Inner.Count]!;
  let at = target.u32[into + Inner.Count]!;
  for (let i = from; i < count; i++, at++) {
    target.f64[(into >> 1) + Inner.Scores + at] = source.f64[(word >> 1) + Inner.Scores + i]!;
    target.u32[into + Inner.Children + at] = source.u32[word + Inner.Children + i]!;
    target.u32[into + Inner.Counts + at] = source.u32[word + Inner.Counts + i]!;
    target.u32[into + Inner.Firsts + at] = source.u32[word + Inner.Firsts + i]!;
  }
  target.u32[into + Inner.Count] = at;
  source.u32[word + Inner.Count] = from;
}

export class ScoreTree {
  static readonly rootBytes = 16;

  /** Whether the cursor is on an element, which the next four fields describe. */
  valid = false;
  score = 0;
  memberRegion!: Region;
  memberStart = 0;
  memberBytes = 0;

  private allocator!: Allocator;
  private rootRegion!: Region;
  private root = 0;
  // Where the last search ended: leaf, index in it, elements before, and whether an element is equal (By.Element).
  private leaf = 0;
  private index = 0;
  private rank = 0;
  private found = false;
  // What load() read of the leaf: elements, f64 index of the scores, bytes of the distances and of the end.
  private leafRegion!: Region;
  private leafCount = 0;
  private leafScores = 0;
  private leafDistances = 0;
  private leafEnd = 0;
  // The way to that leaf: inner nodes from the root on, and the slot taken in each.
  private height = 0;
  private readonly path = new Uint32Array(MOST_LEVELS);
  private readonly slots = new Uint32Array(MOST_LEVELS);
  /** Inner nodes fetched for a split before anything changes. */
  private readonly spares = new Uint32Array(MOST_LEVELS);
  private spareCount = 0;
  /** The leaf that `clone` made last, and the names that it fills. */
  private cloned = 0;
  private clonedNames = 0;

  /** After insert, remove and removeWithin: members of the leaf named movedTo were in the one named movedFrom before.
   *  0 when no member has another leaf than before. */
  movedFrom = 0;
  movedTo = 0;

  /** Puts the cursor, on no element, to the tree whose root lies at byte `root` of `region`. */
  open(allocator: Allocator, region: Region, root: number): void {
    this.allocator = allocator;
    this.rootRegion = region;
    this.root = root;
    this.memberRegion = region;
    this.valid = false;
  }

  get count(): number {
    return this.rootRegion.view.getUint32(this.root + Root.Count, true);
  }

  // Reading

  /** Name of the leaf under the cursor. */
  get leafName(): number {
    return this.nameOf(this.leaf);
  }

  /** Puts the cursor on an element in the leaf of that name. It knows no rank. */
  findIn(name: number, score: number, region: Region, start: number, bytes: number): boolean {
    this.leaf = this.nameWords()[this.nameWord(name)]!;
    const leafRegion = this.allocator.regionOf(this.leaf);
    const { view, f64 } = leafRegion;
    const leaf = byteOf(this.leaf);
    const scores = (leaf + Leaf.Scores) >> 3;
    let low = 0;
    let high = view.getUint16(leaf + Leaf.Count, true);
    this.valid = false;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const there = f64[scores + middle]!;
      let order = there < score ? -1 : 1;
      if (there === score)
        order = this.compareMember(leafRegion, entryAt(view, leaf, middle), region, start, bytes);
      if (order === 0) {
        this.valid = true;
        this.index = middle;
        this.load();
        return true;
      }
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return false;
  }

  /** Puts the cursor on the first element of the leaf of that name whose score is at least `score`. */
  openLeafAt(name: number, score: number): boolean {
    if (!this.openLeaf(name)) return false;
    const { view, f64 } = this.allocator.regionOf(this.leaf);
    const leaf = byteOf(this.leaf);
    const scores = (leaf + Leaf.Scores) >> 3;
    const count = view.getUint16(leaf + Leaf.Count, true);
    let low = 0;
    for (let high = count; low < high; ) {
      const middle = (low + high) >>> 1;
      if (f64[scores + middle]! < score) low = middle + 1;
      else high = middle;
    }
    this.index = low;
    this.valid = low < count;
    if (this.valid) this.load();
    return this.valid;
  }

  /** Puts the cursor on the first member of the leaf of that name; `next` goes on, out of the leaf too. */
  openLeaf(name: number): boolean {
    this.leaf = this.nameWords()[this.nameWord(name)]!;
    this.index = 0;
    this.valid = this.leaf !== 0;
    if (this.valid) this.load();
    return this.valid;
  }

  // Names

  private nameWords(): Uint32Array {
    return this.allocator.regionOf(this.rootRegion.view.getUint32(this.root + Root.Names, true)).u32;
  }

  private nameWord(name: number): number {
    return wordOf(this.rootRegion.view.getUint32(this.root + Root.Names, true)) + Names.First + name - 1;
  }

  /** A name for a leaf, 0 when memory is out. */
  private takeName(leaf: number): number {
    const { allocator, rootRegion, root } = this;
    let names = rootRegion.view.getUint32(root + Root.Names, true);
    let free = names === 0 ? 0 : allocator.regionOf(names).u32[wordOf(names) + Names.Free]!;
    if (free === 0) {
      // Twice the room.
      const had = names === 0 ? 0 : allocator.regionOf(names).u32[wordOf(names)]!;
      const capacity = had === 0 ? Names.Least : had * 2 + 2;
      const larger = allocator.allocate((capacity + Names.First) * 4);
      if (larger === 0) return 0;
      const { u32 } = allocator.regionOf(larger);
      const word = wordOf(larger);
      if (names !== 0) {
        copyBytes(
          allocator.regionOf(larger),
          byteOf(larger),
          allocator.regionOf(names),
          byteOf(names),
          (had + 2) * 4,
        );
        allocator.free(names);
      }
      for (let name = had + 1; name <= capacity; name++)
        u32[word + Names.First + name - 1] = (name === capacity ? 0 : name + 1) * 2 + 1;
      u32[word] = capacity;
      u32[word + Names.Free] = had + 1;
      rootRegion.view.setUint32(root + Root.Names, larger, true);
      names = larger;
      free = had + 1;
    }
    const { u32 } = allocator.regionOf(names);
    u32[wordOf(names) + Names.Free] = u32[this.nameWord(free)]! >>> 1;
    u32[this.nameWord(free)] = leaf;
    return free;
  }

  private giveName(name: number): void {
    const names = this.rootRegion.view.getUint32(this.root + Root.Names, true);
    const { u32 } = this.allocator.regionOf(names);
    u32[this.nameWord(name)] = u32[wordOf(names) + Names.Free]! * 2 + 1;
    u32[wordOf(names) + Names.Free] = name;
  }

  private freeNames(): void {
    const { view } = this.rootRegion;
    const names = view.getUint32(this.root + Root.Names, true);
    if (names !== 0) this.allocator.free(names);
    view.setUint32(this.root + Root.Names, 0, true);
  }

  private nameOf(leaf: number): number {
    return this.allocator.regionOf(leaf).view.getUint32(byteOf(leaf) + Leaf.Name, true);
  }

  /** Makes a name that of another leaf. */
  private setName(leaf: number, name: number): void {
    this.allocator.regionOf(leaf).view.setUint32(byteOf(leaf) + Leaf.Name, name, true);
    this.nameWords()[this.nameWord(name)] = leaf;
  }

  /** Puts the cursor on exactly this element. */
  find(score: number, region: Region, start: number, bytes: number): boolean {
    this.descend(By.Element, false, score, region, start, bytes);
    this.valid = this.found;
    if (this.found) this.load();
    return this.found;
  }

  /** How many elements are before this one, -1 when it is absent. Leaves the cursor as `find` does. */
  rankOf(score: number, region: Region, start: number, bytes: number): number {
    return this.find(score, region, start, bytes) ? this.rank : -1;
  }

  /** Puts the cursor on the element with `rank` elements before it. */
  seekRank(rank: number): boolean {
    this.valid = rank >= 0 && rank < this.count;
    if (!this.valid) return false;
    this.descendTo(rank);
    this.load();
    return true;
  }

  /** Puts the cursor on the first element whose score is at least `score` (greater when `after`). Its rank. */
  seekScore(score: number, after: boolean): number {
    this.descend(By.Score, after, score, this.rootRegion, 0, 0);
    return this.settle();
  }

  /** Puts the cursor on the first element whose member is at least these bytes (greater when `after`), whatever its
   *  score: of use where all scores are equal. Its rank. */
  seekMember(region: Region, start: number, bytes: number, after: boolean): number {
    this.descend(By.Member, after, 0, region, start, bytes);
    return this.settle();
  }

  next(): boolean {
    if (!this.valid) return false;
    this.index++;
    if (this.index === this.leafCount) {
      const next = this.leafRegion.view.getUint32(byteOf(this.leaf) + Leaf.Next, true);
      this.valid = next !== 0;
      if (next === 0) return false;
      this.leaf = next;
      this.index = 0;
      this.load();
    } else this.loadHere();
    return true;
  }

  previous(): boolean {
    if (!this.valid) return false;
    if (this.index === 0) {
      const { view } = this.allocator.regionOf(this.leaf);
      const previous = view.getUint32(byteOf(this.leaf) + Leaf.Previous, true);
      this.valid = previous !== 0;
      if (previous === 0) return false;
      this.leaf = previous;
      this.index = this.allocator.regionOf(previous).view.getUint16(byteOf(previous) + Leaf.Count, true);
    }
    this.index--;
    this.load();
    return true;
  }

  /** Reads the element under the cursor, whose leaf has just been come to. */
  private load(): void {
    const region = this.allocator.regionOf(this.leaf);
    const leaf = byteOf(this.leaf);
    const count = region.view.getUint16(leaf + Leaf.Count, true);
    this.leafRegion = region;
    this.leafCount = count;
    this.leafScores = (leaf + Leaf.Scores) >> 3;
    this.leafDistances = leaf + Leaf.Scores + 8 * count;
    this.leafEnd = leaf + region.view.getUint16(leaf + Leaf.Size, true);
    this.loadHere();
  }

  /** Reads the element under the cursor, which has not left its leaf. */
  private loadHere(): void {
    const { leafRegion: region, index } = this;
    const { view } = region;
    const entry = this.leafEnd - view.getUint16(this.leafDistances + 2 * index, true);
    this.score = region.f64[this.leafScores + index]!;
    const length = region.u8[entry]!;
    if (length !== Entry.Outside) {
      this.memberRegion = region;
      this.memberStart = entry + Entry.Member;
      this.memberBytes = length;
      return;
    }
    const handle = view.getUint32(entry + Entry.Handle, true);
    this.memberRegion = this.allocator.regionOf(handle);
    this.memberStart = byteOf(handle);
    this.memberBytes = view.getUint32(entry + Entry.OutsideLength, true);
  }

  /** After a search that may have ended behind the last element of its leaf: goes on to the next. The rank. */
  private settle(): number {
    this.valid = this.leaf !== 0;
    if (!this.valid) return 0;
    const { view } = this.allocator.regionOf(this.leaf);
    const leaf = byteOf(this.leaf);
    if (this.index === view.getUint16(leaf + Leaf.Count, true)) {
      this.leaf = view.getUint32(leaf + Leaf.Next, true);
      this.index = 0;
      this.valid = this.leaf !== 0;
    }
    if (this.valid) this.load();
    return this.rank;
  }

  /** Searches the first element that is not less (with `after`, that is greater) and leaves leaf, index, rank, path. A
   *  search for an element goes down where it is or would be put; the others may end behind a leaf's last entry. */
  private descend(by: By, after: boolean, score: number, region: Region, start: number, bytes: number): void {
    const { allocator, path, slots, rootRegion, root } = this;
    const height = rootRegion.view.getUint32(root + Root.Height, true);
    let node = rootRegion.view.getUint32(root + Root.Node, true);
    let rank = 0;
    this.height = height;
    this.found = false;
    for (let depth = 0; depth < height - 1; depth++) {
      const { i32, u32, f64 } = allocator.regionOf(node);
      const word = wordOf(node);
      const scores = (word >> 1) + Inner.Scores;
      let low = 1; // what is less than all goes into the first child too
      let high = u32[word + Inner.Count]!;
      while (low < high) {
        const middle = (low + high) >>> 1;
        const there = f64[scores + middle]!;
        let order = 0;
        if (by !== By.Member && there !== score) order = there < score ? -1 : 1;
        else if (by !== By.Score) {
          const first = u32[word + Inner.Firsts + middle]!;
          const leaf = allocator.regionOf(first);
          order = this.compareMember(leaf, entryAt(leaf.view, byteOf(first), 0), region, start, bytes);
        }
        if (order < 0 || (order === 0 && (after || by === By.Element))) low = middle + 1;
        else high = middle;
      }
      low--;
      // As i32: sums of u32 would be doubles, and a shard has no room for 2^31 elements.
      const end = word + Inner.Counts + low;
      for (let i = word + Inner.Counts; i < end; i++) rank = (rank + i32[i]!) | 0;
      path[depth] = node;
      slots[depth] = low;
      node = u32[word + Inner.Children + low]!;
    }
    this.leaf = node;
    let low = 0;
    if (node !== 0) {
      const leafRegion = allocator.regionOf(node);
      const { view, f64 } = leafRegion;
      const leaf = byteOf(node);
      const scores = (leaf + Leaf.Scores) >> 3;
      let high = view.getUint16(leaf + Leaf.Count, true);
      while (low < high) {
        const middle = (low + high) >>> 1;
        const there = f64[scores + middle]!;
        let order = 0;
        if (by !== By.Member && there !== score) order = there < score ? -1 : 1;
        else if (by !== By.Score)
          order = this.compareMember(leafRegion, entryAt(view, leaf, middle), region, start, bytes);
        if (order === 0) this.found = true;
        if (order < 0 || (order === 0 && after)) low = middle + 1;
        else high = middle;
      }
    }
    this.index = low;
    this.rank = rank + low;
  }

  /** Order of an entry's member and these bytes. */
  private compareMember(leaf: Region, entry: number, region: Region, start: number, bytes: number): number {
    const length = leaf.view.getUint8(entry + Entry.Length);
    if (length !== Entry.Outside)
      return compareBytes(leaf, entry + Entry.Member, length, region, start, bytes);
    const handle = leaf.view.getUint32(entry + Entry.Handle, true);
    const outside = leaf.view.getUint32(entry + Entry.OutsideLength, true);
    return compareBytes(this.allocator.regionOf(handle), byteOf(handle), outside, region, start, bytes);
  }

  /** Goes down to the element of a rank that exists. */
  private descendTo(rank: number): void {
    const { allocator, path, slots, rootRegion, root } = this;
    const height = rootRegion.view.getUint32(root + Root.Height, true);
    let node = rootRegion.view.getUint32(root + Root.Node, true);
    this.height = height;
    this.rank = rank;
    for (let depth = 0; depth < height - 1; depth++) {
      const { u32 } = allocator.regionOf(node);
      const word = wordOf(node);
      let slot = 0;
      for (; rank >= u32[word + Inner.Counts + slot]!; slot++) rank -= u32[word + Inner.Counts + slot]!;
      path[depth] = node;
      slots[depth] = slot;
      node = u32[word + Inner.Children + slot]!;
    }
    this.leaf = node;
    this.index = rank;
  }

  // Insertion

  /** Adds an element that is known to be absent; leafName is then its leaf's. False, and nothing changed, when memory is
   *  out. */
  insert(score: number, region: Region, start: number, bytes: number): boolean {
    this.valid = false;
    this.movedTo = 0;
    const { allocator } = this;
    const outside = bytes > Entry.MostInline;
    const handle = outside ? allocator.allocate(bytes) : 0;
    if (outside && handle === 0) return false;
    const size = outside ? Entry.OutsideBytes : Entry.Member + bytes;
    this.descend(By.Element, false, score, region, start, bytes);
    if (!this.makeRoom(size, score, region, start, bytes)) {
      if (outside) allocator.free(handle);
      return false;
    }
    const leafRegion = allocator.regionOf(this.leaf);
    const { view } = leafRegion;
    const leaf = byteOf(this.leaf);
    const entry = this.openEntry(leafRegion, leaf, this.index, score, size);
    if (outside) {
      copyBytes(allocator.regionOf(handle), byteOf(handle), region, start, bytes);
      view.setUint8(entry + Entry.Length, Entry.Outside);
      view.setUint32(entry + Entry.Handle, handle, true);
      view.setUint32(entry + Entry.OutsideLength, bytes, true);
      addTo16(view, leaf + Leaf.Outside, 1);
    } else {
      view.setUint8(entry + Entry.Length, bytes);
      copyBytes(leafRegion, entry + Entry.Member, region, start, bytes);
    }
    this.addToCounts(1);
    if (this.index === 0) this.renewFirstScore(score);
    return true;
  }

  /** Byte offset of `size` fresh bytes at the front of a leaf's entries, which become entry `index`. */
  private openEntry(region: Region, leaf: number, index: number, score: number, size: number): number {
    const { view } = region;
    const count = view.getUint16(leaf + Leaf.Count, true);
    const heap = view.getUint16(leaf + Leaf.Heap, true) + size;
    const at = leaf + Leaf.Scores + 8 * index;
    const distances = leaf + Leaf.Scores + 8 * count;
    // From behind: distances behind the new one, those before it, scores behind it.
    copyBytes(region, distances + 10 + 2 * index, region, distances + 2 * index, 2 * (count - index));
    copyBytes(region, distances + 8, region, distances, 2 * index);
    copyBytes(region, at + 8, region, at, 8 * (count - index));
    view.setFloat64(at, score, true);
    view.setUint16(distances + 8 + 2 * index, heap, true);
    view.setUint16(leaf + Leaf.Heap, heap, true);
    view.setUint16(leaf + Leaf.Count, count + 1, true);
    return leaf + view.getUint16(leaf + Leaf.Size, true) - heap;
  }

  /** Sees to `size` bytes and an index of room in the leaf that the search ended in, or in the one that the element
   *  belongs to after a split. False, and nothing changed, when memory is out. */
  private makeRoom(size: number, score: number, region: Region, start: number, bytes: number): boolean {
    if (this.leaf === 0) {
      const leaf = this.newNamedLeaf(leafSizeFor(Leaf.Scores + Leaf.Slot + size));
      if (leaf === 0) return false;
      const { view } = this.rootRegion;
      view.setUint32(this.root + Root.Node, leaf, true);
      view.setUint32(this.root + Root.Height, 1, true);
      this.leaf = leaf;
      this.height = 1;
      return true;
    }
    const { view } = this.allocator.regionOf(this.leaf);
    const leaf = byteOf(this.leaf);
    const need = usedBytes(view, leaf) + Leaf.Slot + size;
    if (need <= view.getUint16(leaf + Leaf.Size, true)) return true;
    if (need <= Leaf.Largest) return this.resizeLeaf(leafSizeFor(need));
    if (!this.splitLeaf(Leaf.Slot + size)) return false;
    this.descend(By.Element, false, score, region, start, bytes);
    return true;
  }

  /** An empty leaf with a name of its own, or 0. */
  private newNamedLeaf(size: number): number {
    const leaf = this.newLeaf(size);
    if (leaf === 0) return 0;
    const name = this.takeName(leaf);
    if (name === 0) {
      this.allocator.free(leaf);
      return 0;
    }
    this.setName(leaf, name);
    return leaf;
  }

  private freeNamedLeaf(leaf: number): void {
    this.giveName(this.nameOf(leaf));
    this.allocator.free(leaf);
  }

  /** An empty leaf without neighbours and name, or 0. */
  private newLeaf(size: number): number {
    const handle = this.allocator.allocate(size);
    if (handle === 0) return 0;
    const { view } = this.allocator.regionOf(handle);
    const leaf = byteOf(handle);
    view.setUint32(leaf + Leaf.Previous, 0, true);
    view.setUint32(leaf + Leaf.Next, 0, true);
    view.setUint32(leaf + Leaf.Count, 0, true); // and Heap
    view.setUint32(leaf + Leaf.Size, size, true); // and Outside
    view.setUint32(leaf + Leaf.Name, 0, true);
    view.setUint32(leaf + Leaf.Name + 4, 0, true);
    return handle;
  }

  /** Moves the leaf at the end of the path to another size that holds it. */
  private resizeLeaf(size: number): boolean {
    const { allocator } = this;
    const from = this.leaf;
    const to = this.newLeaf(size);
    if (to === 0) return false;
    const source = allocator.regionOf(from);
    const target = allocator.regionOf(to);
    const leaf = byteOf(from);
    const into = byteOf(to);
    const heap = source.view.getUint16(leaf + Leaf.Heap, true);
    const end = leaf + source.view.getUint16(leaf + Leaf.Size, true);
    copyBytes(target, into, source, leaf, usedBytes(source.view, leaf) - heap);
    target.view.setUint16(into + Leaf.Size, size, true);
    copyBytes(target, into + size - heap, source, end - heap, heap);
    this.linkLeaf(to, source.view.getUint32(leaf, true), source.view.getUint32(leaf + Leaf.Next, true));
    this.setName(to, this.nameOf(from));
    allocator.free(from);
    this.leaf = to;
    this.replaceChild(to);
    return true;
  }

  /** Puts a leaf between two others, 0 for none. */
  private linkLeaf(leaf: number, previous: number, next: number): void {
    if (leaf !== 0) {
      const { u32 } = this.allocator.regionOf(leaf);
      u32[wordOf(leaf)] = previous;
      u32[wordOf(leaf) + 1] = next;
    }
    if (previous !== 0)
      this.allocator.regionOf(previous).u32[wordOf(previous) + 1] = leaf !== 0 ? leaf : next;
    if (next !== 0) this.allocator.regionOf(next).u32[wordOf(next)] = leaf !== 0 ? leaf : previous;
  }

  /** Divides the leaf at the end of the path; either part has `room` bytes left. The path is stale afterwards. */
  private splitLeaf(room: number): boolean {
    const { allocator } = this;
    const old = this.leaf;
    const region = allocator.regionOf(old);
    const { view } = region;
    const leaf = byteOf(old);
    const count = view.getUint16(leaf + Leaf.Count, true);
    const previous = view.getUint32(leaf + Leaf.Previous, true);
    const next = view.getUint32(leaf + Leaf.Next, true);
    let edge: Edge = Edge.None;
    if (next === 0 && this.index === count) edge = Edge.End;
    else if (previous === 0 && this.index === 0) edge = Edge.Start;

    // Entries before `cut` go left. At an edge the larger part stays where it is.
    let cut = edge === Edge.End ? count - 1 : 1;
    let before = Leaf.Slot + entryBytes(view, entryAt(view, leaf, edge === Edge.End ? cut : 0));
    const used = usedBytes(view, leaf) - Leaf.Scores;
    if (edge === Edge.None)
      for (; before < used >>> 1; cut++) before += Leaf.Slot + entryBytes(view, entryAt(view, leaf, cut));
    const fresh = this.newLeaf(leafSizeFor(Leaf.Scores + before + room));
    if (fresh === 0) return false;
    let other = old;
    if (edge === Edge.None) other = this.newLeaf(leafSizeFor(Leaf.Scores + used - before + room));
    const name = other !== 0 && this.fetchSpares() ? this.takeSpareName(fresh) : 0;
    if (name === 0) {
      allocator.free(fresh);
      if (other !== old && other !== 0) allocator.free(other);
      return false;
    }
    this.setName(fresh, name);
    this.movedFrom = this.nameOf(old);
    this.movedTo = name;

    if (edge === Edge.End) {
      this.appendEntries(fresh, old, cut, count);
      this.cutEntry(region, leaf, cut);
      this.linkLeaf(fresh, old, 0);
      this.addChild(old, fresh, edge);
    } else {
      this.appendEntries(fresh, old, 0, cut);
      if (edge === Edge.Start) {
        this.cutEntry(region, leaf, 0);
        this.linkLeaf(fresh, 0, old);
      } else {
        this.appendEntries(other, old, cut, count);
        this.linkLeaf(fresh, previous, other);
        this.linkLeaf(other, fresh, next);
        this.setName(other, this.nameOf(old));
        allocator.free(old);
      }
      this.addChild(fresh, other, edge);
    }
    return true;
  }

  /** Copies entries [from, to) of a leaf behind those of another that has the room. */
  private appendEntries(target: number, source: number, from: number, to: number): void {
    const { allocator } = this;
    const out = allocator.regionOf(target);
    const region = allocator.regionOf(source);
    const { view } = region;
    const leaf = byteOf(source);
    const into = byteOf(target);
    let count = out.view.getUint16(into + Leaf.Count, true);
    for (let i = from; i < to; i++) {
      const entry = entryAt(view, leaf, i);
      const size = entryBytes(view, entry);
      const copy = this.openEntry(out, into, count++, scoreAt(view, leaf, i), size);
      copyBytes(out, copy, region, entry, size);
      if (view.getUint8(entry + Entry.Length) === Entry.Outside) addTo16(out.view, into + Leaf.Outside, 1);
    }
  }

  /** Closes the gap that entry `index` leaves; what lies outside is the caller's. */
  private cutEntry(region: Region, leaf: number, index: number): void {
    const { view } = region;
    const count = view.getUint16(leaf + Leaf.Count, true) - 1;
    const heap = view.getUint16(leaf + Leaf.Heap, true);
    const front = leaf + view.getUint16(leaf + Leaf.Size, true) - heap;
    const at = leaf + Leaf.Scores + 8 * index;
    const distances = leaf + Leaf.Scores + 8 * count;
    const distance = view.getUint16(distances + 8 + 2 * index, true);
    const entry = front + heap - distance;
    const size = entryBytes(view, entry);
    if (view.getUint8(entry + Entry.Length) === Entry.Outside) addTo16(view, leaf + Leaf.Outside, -1);
    copyBytes(region, at, region, at + 8, 8 * (count - index));
    copyBytes(region, distances, region, distances + 8, 2 * index);
    copyBytes(region, distances + 2 * index, region, distances + 10 + 2 * index, 2 * (count - index));
    copyBytes(region, front + size, region, front, entry - front);
    const end = distances + 2 * count;
    for (let i = distances; i < end; i += 2) {
      const other = view.getUint16(i, true);
      if (other > distance) view.setUint16(i, other - size, true);
    }
    view.setUint16(leaf + Leaf.Count, count, true);
    view.setUint16(leaf + Leaf.Heap, heap - size, true);
    this.allocator.loosen(size + Leaf.Slot);
  }

  /** Fetches an inner node for each full one from the end of the path up, and one for a new root above full ones. */
  private fetchSpares(): boolean {
    const { allocator, path, spares } = this;
    let depth = this.height - 2;
    for (let n = 0; ; n++, depth--) {
      this.spareCount = n;
      if (depth >= 0 && allocator.regionOf(path[depth]!).u32[wordOf(path[depth]!)]! < Inner.Fan) return true;
      const spare = this.height < MOST_LEVELS ? allocator.allocate(Inner.Bytes) : 0;
      if (spare === 0) {
        while (n > 0) allocator.free(spares[--n]!);
        return false;
      }
      allocator.regionOf(spare).u32[wordOf(spare)] = 0;
      spares[n] = spare;
      this.spareCount = n + 1;
      if (depth < 0) return true;
    }
  }

  /** A name, or 0 after giving the spares back. Last of all that a split fetches: what more room for names took stays. */
  private takeSpareName(leaf: number): number {
    const name = this.takeName(leaf);
    if (name === 0) for (let n = 0; n < this.spareCount; n++) this.allocator.free(this.spares[n]!);
    return name;
  }

  /** Puts `left` in the place of the path's leaf and `right` behind it, with the spares for full nodes on the way. */
  private addChild(left: number, right: number, edge: Edge): void {
    const { path, slots, spares } = this;
    let spare = 0;
    let depth = this.height - 2;
    let leaves = true;
    for (; depth >= 0; depth--) {
      const node = path[depth]!;
      this.describe(node, slots[depth]!, left, leaves);
      if (right !== 0) {
        const full = this.allocator.regionOf(node).u32[wordOf(node)]! === Inner.Fan;
        const beside = full ? spares[spare++]! : 0;
        this.addSlot(node, slots[depth]! + 1, right, leaves, beside, edge);
        right = beside;
      }
      left = node;
      leaves = false;
    }
    if (right === 0) return;
    const top = spares[spare]!;
    this.allocator.regionOf(top).u32[wordOf(top)] = 2;
    this.describe(top, 0, left, leaves);
    this.describe(top, 1, right, leaves);
    const { view } = this.rootRegion;
    view.setUint32(this.root + Root.Node, top, true);
    view.setUint32(this.root + Root.Height, this.height + 1, true);
  }

  /** Makes `child` slot `slot` of a node, which, being full, gives its right part to the empty node `beside`. */
  private addSlot(
    node: number,
    slot: number,
    child: number,
    leaves: boolean,
    beside: number,
    edge: Edge,
  ): void {
    const region = this.allocator.regionOf(node);
    if (beside !== 0) {
      // Of the Fan + 1 children, how many stay.
      const stay = edge === Edge.End ? Inner.Fan : edge === Edge.Start ? 1 : (Inner.Fan + 1) >> 1;
      const right = this.allocator.regionOf(beside);
      moveSlots(right, wordOf(beside), region, wordOf(node), slot < stay ? stay - 1 : stay);
      if (slot >= stay) {
        openSlot(right, wordOf(beside), slot - stay);
        this.describe(beside, slot - stay, child, leaves);
        return;
      }
    }
    openSlot(region, wordOf(node), slot);
    this.describe(node, slot, child, leaves);
  }

  // What inner nodes know of their children

  /** Writes all that slot `slot` of `node` says of `child`. */
  private describe(node: number, slot: number, child: number, leaf: boolean): void {
    const target = this.allocator.regionOf(node);
    const source = this.allocator.regionOf(child);
    const into = wordOf(node);
    let count = 0;
    let score = 0;
    let first = child;
    if (leaf) {
      count = source.view.getUint16(byteOf(child) + Leaf.Count, true);
      score = scoreAt(source.view, byteOf(child), 0);
    } else {
      const word = wordOf(child);
      const end = word + Inner.Counts + source.u32[word + Inner.Count]!;
      for (let i = word + Inner.Counts; i < end; i++) count += source.u32[i]!;
      score = source.f64[(word >> 1) + Inner.Scores]!;
      first = source.u32[word + Inner.Firsts]!;
    }
    target.f64[(into >> 1) + Inner.Scores + slot] = score;
    target.u32[into + Inner.Children + slot] = child;
    target.u32[into + Inner.Counts + slot] = count;
    target.u32[into + Inner.Firsts + slot] = first;
  }

  /** Writes anew what the nodes above path[depth] say of what is on the path. */
  private describeAbove(depth: number): void {
    for (let d = depth - 1; d >= 0; d--)
      this.describe(this.path[d]!, this.slots[d]!, this.path[d + 1]!, false);
  }

  /** Puts another leaf, not empty, in the place of the path's. */
  private replaceChild(leaf: number): void {
    const bottom = this.height - 2;
    if (bottom < 0) this.rootRegion.view.setUint32(this.root + Root.Node, leaf, true);
    else {
      this.describe(this.path[bottom]!, this.slots[bottom]!, leaf, true);
      this.describeAbove(bottom);
    }
  }

  private addToCounts(by: number): void {
    const { allocator, path, slots } = this;
    for (let depth = this.height - 2; depth >= 0; depth--) {
      const { u32 } = allocator.regionOf(path[depth]!);
      const at = wordOf(path[depth]!) + Inner.Counts + slots[depth]!;
      u32[at] = u32[at]! + by;
    }
    this.setCount(this.count + by);
  }

  private setCount(count: number): void {
    this.rootRegion.view.setUint32(this.root + Root.Count, count, true);
  }

  /** The path's leaf begins with an element of this score now. */
  private renewFirstScore(score: number): void {
    const { allocator, path, slots } = this;
    for (let depth = this.height - 2; depth >= 0; depth--) {
      const slot = slots[depth]!;
      allocator.regionOf(path[depth]!).f64[(wordOf(path[depth]!) >> 1) + Inner.Scores + slot] = score;
      if (slot !== 0) return;
    }
  }

  // Removal

  /** Removes an element. False when it is absent. */
  remove(score: number, region: Region, start: number, bytes: number): boolean {
    this.valid = false;
    this.movedTo = 0;
    this.descend(By.Element, false, score, region, start, bytes);
    if (!this.found) return false;
    this.removeEntries(this.index, 1);
    return true;
  }

  /** Removes elements from the one of rank `rank` on: up to `howMany`, and only such as lie in its leaf. How many. */
  removeWithin(rank: number, howMany: number): number {
    this.valid = false;
    this.movedTo = 0;
    this.descendTo(rank);
    const { view } = this.allocator.regionOf(this.leaf);
    const here = view.getUint16(byteOf(this.leaf) + Leaf.Count, true) - this.index;
    const removed = Math.min(howMany, here);
    this.removeEntries(this.index, removed);
    return removed;
  }

  /** Removes entries [from, from + howMany) of the path's leaf. The path is stale afterwards. */
  private removeEntries(from: number, howMany: number): void {
    const { allocator } = this;
    const region = allocator.regionOf(this.leaf);
    const { view } = region;
    const leaf = byteOf(this.leaf);
    if (view.getUint16(leaf + Leaf.Outside, true) > 0)
      for (let i = from; i < from + howMany; i++) {
        const entry = entryAt(view, leaf, i);
        if (view.getUint8(entry + Entry.Length) === Entry.Outside)
          allocator.free(view.getUint32(entry + Entry.Handle, true));
      }
    if (howMany === view.getUint16(leaf + Leaf.Count, true)) {
      this.setCount(this.count - howMany);
      this.linkLeaf(0, view.getUint32(leaf, true), view.getUint32(leaf + Leaf.Next, true));
      this.freeNamedLeaf(this.leaf);
      this.dropSlot();
      return;
    }
    for (let i = from + howMany - 1; i >= from; i--) this.cutEntry(region, leaf, i);
    this.addToCounts(-howMany);
    if (from === 0) this.renewFirstScore(scoreAt(view, leaf, 0));
    const used = usedBytes(view, leaf);
    const size = view.getUint16(leaf + Leaf.Size, true);
    if (used < Leaf.Underfull && this.height > 1 && this.mergeLeaf(used)) return;
    if (used < size >>> 1 && leafSizeFor(used) < size) this.resizeLeaf(leafSizeFor(used));
  }

  /** Merges the path's leaf with a neighbour below the same parent, if both are small and memory can be had. */
  private mergeLeaf(used: number): boolean {
    const { allocator, slots } = this;
    const bottom = this.height - 2;
    const node = this.path[bottom]!;
    const slot = slots[bottom]!;
    const { u32 } = allocator.regionOf(node);
    const word = wordOf(node);
    // Tried first with the one before, then with the one behind.
    for (let i = slot - 1; i <= slot; i++) {
      if (i < 0 || i + 1 >= u32[word + Inner.Count]!) continue;
      const left = u32[word + Inner.Children + i]!;
      const right = u32[word + Inner.Children + i + 1]!;
      const leftRegion = allocator.regionOf(left);
      const rightRegion = allocator.regionOf(right);
      const other =
        i < slot ? usedBytes(leftRegion.view, byteOf(left)) : usedBytes(rightRegion.view, byteOf(right));
      const both = used + other - Leaf.Scores;
      if (both > Leaf.Merged) continue;
      const merged = this.newLeaf(leafSizeFor(both));
      if (merged === 0) return false;
      this.appendEntries(merged, left, 0, leftRegion.view.getUint16(byteOf(left) + Leaf.Count, true));
      this.appendEntries(merged, right, 0, rightRegion.view.getUint16(byteOf(right) + Leaf.Count, true));
      this.linkLeaf(merged, leftRegion.u32[wordOf(left)]!, rightRegion.u32[wordOf(right) + 1]!);
      this.movedFrom = this.nameOf(right);
      this.movedTo = this.nameOf(left);
      this.setName(merged, this.movedTo);
      this.giveName(this.movedFrom);
      allocator.free(left);
      allocator.free(right);
      this.describe(node, i, merged, true);
      slots[bottom] = i + 1;
      this.dropSlot();
      return true;
    }
    return false;
  }

  /** Takes the slot of the path's leaf, which is gone, out of its parent, and inner nodes that this leaves empty or
   *  small out of theirs. */
  private dropSlot(): void {
    const { allocator, path, slots } = this;
    let depth = this.height - 2;
    for (; depth >= 0; depth--) {
      const region = allocator.regionOf(path[depth]!);
      if (region.u32[wordOf(path[depth]!)]! > 1) {
        removeSlot(region, wordOf(path[depth]!), slots[depth]!);
        break;
      }
      allocator.free(path[depth]!);
    }
    if (depth < 0) {
      this.setRoot(0, 0);
      this.freeNames();
      return;
    }
    for (; depth > 0; depth--) if (!this.mergeInner(depth)) break;
    this.describeAbove(depth);
    // A root of one child is none.
    let root = path[0]!;
    let height = this.height;
    while (height > 1) {
      const { u32 } = allocator.regionOf(root);
      if (u32[wordOf(root)]! > 1) break;
      const child = u32[wordOf(root) + Inner.Children]!;
      allocator.free(root);
      root = child;
      height--;
    }
    this.setRoot(root, height);
  }

  private setRoot(node: number, height: number): void {
    const { view } = this.rootRegion;
    view.setUint32(this.root + Root.Node, node, true);
    view.setUint32(this.root + Root.Height, height, true);
  }

  /** Merges path[depth], if it is small, with a neighbour below the same parent. */
  private mergeInner(depth: number): boolean {
    const { allocator, path, slots } = this;
    const own = allocator.regionOf(path[depth]!).u32[wordOf(path[depth]!)]!;
    if (own >= Inner.Underfull) return false;
    const parent = allocator.regionOf(path[depth - 1]!);
    const word = wordOf(path[depth - 1]!);
    const slot = slots[depth - 1]!;
    for (let i = slot - 1; i <= slot; i++) {
      if (i < 0 || i + 1 >= parent.u32[word + Inner.Count]!) continue;
      const left = parent.u32[word + Inner.Children + i]!;
      const right = parent.u32[word + Inner.Children + i + 1]!;
      const leftRegion = allocator.regionOf(left);
      const rightRegion = allocator.regionOf(right);
      if (leftRegion.u32[wordOf(left)]! + rightRegion.u32[wordOf(right)]! > Inner.Fan) continue;
      moveSlots(leftRegion, wordOf(left), rightRegion, wordOf(right), 0);
      allocator.free(right);
      removeSlot(parent, word, i + 1);
      path[depth] = left;
      slots[depth - 1] = i;
      this.describe(path[depth - 1]!, i, left, false);
      return true;
    }
    return false;
  }

  // Relocating

  /** Goes on with a walk that moves nodes out of leaving spans, leaves that have become loose to a size that fits. True at
   *  its end; false when the step is over. The mover's `at` is a rank, and `slot` an entry of leaf `block`. */
  relocate(mover: Mover): boolean {
    this.valid = false;
    const { allocator, root } = this;
    const { view } = this.rootRegion;
    const names = view.getUint32(root + Root.Names, true);
    if (names === 0) return true;
    if (mover.at === 0) {
      const room = allocator.regionOf(names).u32[wordOf(names) + Names.Capacity]!;
      const created = mover.copy(names, (room + Names.First) * 4);
      if (created !== 0) {
        view.setUint32(root + Root.Names, created, true);
        allocator.free(names);
      }
    }
    while (mover.at < this.count) {
      if (mover.budget <= 0) return false;
      mover.budget -= Cost.Place;
      this.descendTo(mover.at);
      this.relocatePath(mover);
      const leaf = allocator.regionOf(this.leaf).view;
      const count = leaf.getUint16(byteOf(this.leaf) + Leaf.Count, true);
      if (!this.relocateMembers(mover, leaf, count)) return false;
      this.relocateLeaf(mover);
      mover.at += count - this.index;
      mover.slot = 0;
    }
    return true;
  }

  /** Moves the inner nodes of the path. */
  private relocatePath(mover: Mover): void {
    const { allocator, path, slots } = this;
    for (let depth = 0; depth < this.height - 1; depth++) {
      const old = path[depth]!;
      const created = mover.copy(old, Inner.Bytes);
      if (created === 0) continue;
      if (depth === 0) this.setRoot(created, this.height);
      else {
        const above = path[depth - 1]!;
        allocator.regionOf(above).u32[wordOf(above) + Inner.Children + slots[depth - 1]!] = created;
      }
      allocator.free(old);
      path[depth] = created;
    }
  }

  /** Moves the members that lie outside of the path's leaf. False when the step is over. */
  private relocateMembers(mover: Mover, view: DataView, count: number): boolean {
    const leaf = byteOf(this.leaf);
    if (view.getUint16(leaf + Leaf.Outside, true) === 0) return true;
    if (mover.block !== this.leaf) mover.slot = 0;
    mover.block = this.leaf;
    mover.budget -= count;
    for (; mover.slot < count; mover.slot++) {
      const entry = entryAt(view, leaf, mover.slot);
      if (view.getUint8(entry + Entry.Length) !== Entry.Outside) continue;
      if (mover.budget <= 0) return false;
      const old = view.getUint32(entry + Entry.Handle, true);
      const created = mover.copy(old, view.getUint32(entry + Entry.OutsideLength, true));
      if (created === 0) continue;
      view.setUint32(entry + Entry.Handle, created, true);
      this.allocator.free(old);
    }
    return true;
  }

  private relocateLeaf(mover: Mover): void {
    const { view } = this.allocator.regionOf(this.leaf);
    const leaf = byteOf(this.leaf);
    mover.budget -= Cost.Touch;
    const size = view.getUint16(leaf + Leaf.Size, true);
    let tight = leafSizeFor(usedBytes(view, leaf));
    if (tight > size - (size >> 2)) tight = size;
    if (!mover.displaced(this.leaf, this.allocator.slotBytes(this.leaf), tight)) return;
    if (this.resizeLeaf(tight)) mover.count(tight);
  }

  // The whole tree

  /** Copies the tree, page by page, into another allocator (or the same) and a root there, whose bytes are written at
   *  the end. False, and nothing left allocated, when memory is out. */
  clone(target: Allocator, targetRegion: Region, targetRoot: number): boolean {
    const { view } = this.rootRegion;
    const root = view.getUint32(this.root + Root.Node, true);
    const height = view.getUint32(this.root + Root.Height, true);
    this.cloned = 0;
    let names = view.getUint32(this.root + Root.Names, true);
    if (names !== 0) {
      const from = this.allocator.regionOf(names);
      const bytes = (from.u32[wordOf(names)]! + Names.First) * 4;
      this.clonedNames = target.allocate(bytes);
      if (this.clonedNames === 0) return false;
      copyBytes(target.regionOf(this.clonedNames), byteOf(this.clonedNames), from, byteOf(names), bytes);
      names = this.clonedNames;
    }
    const copy = root === 0 ? 0 : this.cloneNode(target, root, height);
    if (copy === 0 && root !== 0) {
      target.free(names);
      return false;
    }
    targetRegion.view.setUint32(targetRoot + Root.Node, copy, true);
    targetRegion.view.setUint32(targetRoot + Root.Height, height, true);
    targetRegion.view.setUint32(targetRoot + Root.Count, this.count, true);
    targetRegion.view.setUint32(targetRoot + Root.Names, names, true);
    return true;
  }

  private cloneNode(target: Allocator, node: number, level: number): number {
    if (level === 1) return this.cloneLeaf(target, node);
    const copy = target.allocate(Inner.Bytes);
    if (copy === 0) return 0;
    const from = this.allocator.regionOf(node);
    const to = target.regionOf(copy);
    const into = wordOf(copy);
    copyBytes(to, byteOf(copy), from, byteOf(node), Inner.Bytes);
    const count = to.u32[into + Inner.Count]!;
    for (let i = 0; i < count; i++) {
      const child = this.cloneNode(target, from.u32[wordOf(node) + Inner.Children + i]!, level - 1);
      if (child === 0) {
        to.u32[into + Inner.Count] = i;
        freeNode(target, copy, level);
        return 0;
      }
      to.u32[into + Inner.Children + i] = child;
      to.u32[into + Inner.Firsts + i] =
        level === 2 ? child : target.regionOf(child).u32[wordOf(child) + Inner.Firsts]!;
    }
    return copy;
  }

  private cloneLeaf(target: Allocator, node: number): number {
    const { allocator } = this;
    const from = allocator.regionOf(node);
    const size = from.view.getUint16(byteOf(node) + Leaf.Size, true);
    const copy = target.allocate(size);
    if (copy === 0) return 0;
    const to = target.regionOf(copy);
    const leaf = byteOf(copy);
    copyBytes(to, leaf, from, byteOf(node), size);
    if (to.view.getUint16(leaf + Leaf.Outside, true) > 0) {
      const count = to.view.getUint16(leaf + Leaf.Count, true);
      for (let i = 0; i < count; i++) {
        const entry = entryAt(to.view, leaf, i);
        if (to.view.getUint8(entry + Entry.Length) !== Entry.Outside) continue;
        const bytes = to.view.getUint32(entry + Entry.OutsideLength, true);
        const member = target.allocate(bytes);
        if (member === 0) {
          // What is not copied yet is not the copy's to free.
          for (let j = i; j < count; j++) to.view.setUint8(entryAt(to.view, leaf, j) + Entry.Length, 0);
          freeNode(target, copy, 1);
          return 0;
        }
        const old = to.view.getUint32(entry + Entry.Handle, true);
        copyBytes(target.regionOf(member), byteOf(member), allocator.regionOf(old), byteOf(old), bytes);
        to.view.setUint32(entry + Entry.Handle, member, true);
      }
    }
    const name = to.view.getUint32(leaf + Leaf.Name, true);
    target.regionOf(this.clonedNames).u32[wordOf(this.clonedNames) + Names.First + name - 1] = copy;
    to.u32[wordOf(copy)] = this.cloned;
    to.u32[wordOf(copy) + 1] = 0;
    if (this.cloned !== 0) target.regionOf(this.cloned).u32[wordOf(this.cloned) + 1] = copy;
    this.cloned = copy;
    return copy;
  }

  /** Frees up to about `budget` (at least 1) nodes and members outside, from the end backwards, and goes on there the
   *  next time. True when nothing is left and the root is that of an empty tree. In between, the tree can be neither
   *  read nor changed. */
  freeStep(budget: number): boolean {
    this.valid = false;
    const { allocator, path } = this;
    const { view: root } = this.rootRegion;
    const height = root.getUint32(this.root + Root.Height, true);
    let node = root.getUint32(this.root + Root.Node, true);
    while (node !== 0) {
      for (let depth = 0; depth < height - 1; depth++) {
        path[depth] = node;
        const { u32 } = allocator.regionOf(node);
        node = u32[wordOf(node) + Inner.Children + u32[wordOf(node)]! - 1]!;
      }
      const { view } = allocator.regionOf(node);
      const leaf = byteOf(node);
      for (let i = 0; view.getUint16(leaf + Leaf.Outside, true) > 0; i++) {
        const entry = entryAt(view, leaf, i);
        if (view.getUint8(entry + Entry.Length) !== Entry.Outside) continue;
        if (budget-- <= 0) return false;
        allocator.free(view.getUint32(entry + Entry.Handle, true));
        view.setUint8(entry + Entry.Length, 0); // passed over the next time
        addTo16(view, leaf + Leaf.Outside, -1);
      }
      if (budget-- <= 0) return false;
      allocator.free(node);
      let depth = height - 2;
      for (; depth >= 0; depth--) {
        const { u32 } = allocator.regionOf(path[depth]!);
        const count = u32[wordOf(path[depth]!)]! - 1;
        u32[wordOf(path[depth]!)] = count;
        if (count > 0) break;
        allocator.free(path[depth]!);
        budget--;
      }
      node = depth < 0 ? 0 : path[0]!;
    }
    this.setRoot(0, 0);
    this.setCount(0);
    this.freeNames();
    return true;
  }

  /** Bytes of the slots of all nodes and members outside. */
  memoryBytes(): number {
    const { view } = this.rootRegion;
    const root = view.getUint32(this.root + Root.Node, true);
    const names = view.getUint32(this.root + Root.Names, true);
    const bytes = names === 0 ? 0 : this.allocator.slotBytes(names);
    return root === 0 ? bytes : bytes + this.nodeBytes(root, view.getUint32(this.root + Root.Height, true));
  }

  private nodeBytes(node: number, level: number): number {
    const { allocator } = this;
    const { u32, view } = allocator.regionOf(node);
    let sum = allocator.slotBytes(node);
    if (level > 1) {
      const children = wordOf(node) + Inner.Children;
      const count = u32[wordOf(node)]!;
      for (let i = 0; i < count; i++) sum += this.nodeBytes(u32[children + i]!, level - 1);
      return sum;
    }
    const leaf = byteOf(node);
    let outside = view.getUint16(leaf + Leaf.Outside, true);
    for (let i = 0; outside > 0; i++) {
      const entry = entryAt(view, leaf, i);
      if (view.getUint8(entry + Entry.Length) !== Entry.Outside) continue;
      sum += allocator.slotBytes(view.getUint32(entry + Entry.Handle, true));
      outside--;
    }
    return sum;
  }

  /** Every invariant of this file, by a walk over all of the tree: for tests. */
  check(): void {
    const { view } = this.rootRegion;
    const root = view.getUint32(this.root + Root.Node, true);
    const height = view.getUint32(this.root + Root.Height, true);
    assert((root === 0) === (height === 0), "a tree of no height has no node");
    assert(height < MOST_LEVELS, "the path holds the height");
    const leaves: number[] = [];
    const count = root === 0 ? 0 : this.checkNode(root, height, leaves);
    assert(count === this.count, `elements: counted ${count}, kept ${this.count}`);
    if (height > 1) assert(this.allocator.regionOf(root).u32[wordOf(root)]! > 1, "the root has two children");
    let previous = 0;
    for (const [i, leaf] of leaves.entries()) {
      const { u32 } = this.allocator.regionOf(leaf);
      assert(u32[wordOf(leaf)] === previous, `leaf ${i} knows the one before`);
      assert(u32[wordOf(leaf) + 1] === (leaves[i + 1] ?? 0), `leaf ${i} knows the one behind`);
      previous = leaf;
      assert(this.nameWords()[this.nameWord(this.nameOf(leaf))] === leaf, `leaf ${i} has its name`);
    }
    let seen = 0;
    let score = 0;
    let region = this.rootRegion;
    let start = 0;
    let bytes = 0;
    for (let on = this.seekRank(0); on; on = this.next()) {
      assert(!Number.isNaN(this.score) && !Object.is(this.score, -0), `score ${seen} is a number and not -0`);
      if (seen > 0) {
        assert(score <= this.score, `score ${seen} is in order`);
        const order = compareBytes(
          region,
          start,
          bytes,
          this.memberRegion,
          this.memberStart,
          this.memberBytes,
        );
        assert(score < this.score || order < 0, `member ${seen} is in order`);
      }
      ({ score, memberRegion: region, memberStart: start, memberBytes: bytes } = this);
      seen++;
    }
    assert(seen === count, `elements: walked ${seen}, counted ${count}`);
    this.valid = false;
  }

  /** Elements below a node; adds its leaves to `leaves`. */
  private checkNode(node: number, level: number, leaves: number[]): number {
    const { allocator } = this;
    const { u32, f64, view } = allocator.regionOf(node);
    if (level === 1) {
      leaves.push(node);
      this.checkLeaf(node);
      return view.getUint16(byteOf(node) + Leaf.Count, true);
    }
    const word = wordOf(node);
    const children = u32[word + Inner.Count]!;
    assert(children >= 1 && children <= Inner.Fan, `node ${node} has 1 to ${Inner.Fan} children`);
    let sum = 0;
    for (let i = 0; i < children; i++) {
      const at = leaves.length;
      const count = this.checkNode(u32[word + Inner.Children + i]!, level - 1, leaves);
      assert(count === u32[word + Inner.Counts + i]!, `node ${node}: elements below child ${i}`);
      const first = u32[word + Inner.Firsts + i]!;
      assert(first === leaves[at], `node ${node}: leftmost leaf below child ${i}`);
      const leaf = allocator.regionOf(first).view;
      const score = scoreAt(leaf, byteOf(first), 0);
      assert(score === f64[(word >> 1) + Inner.Scores + i]!, `node ${node}: score of child ${i}`);
      sum += count;
    }
    return sum;
  }

  private checkLeaf(node: number): void {
    const { view } = this.allocator.regionOf(node);
    const leaf = byteOf(node);
    const size = view.getUint16(leaf + Leaf.Size, true);
    const count = view.getUint16(leaf + Leaf.Count, true);
    const heap = view.getUint16(leaf + Leaf.Heap, true);
    assert(size === leafSizeFor(size), `leaf ${node} has a size of the ladder`);
    assert(this.allocator.slotBytes(node) >= size, `leaf ${node} lies in its slot`);
    assert(count > 0, `leaf ${node} is not empty`);
    assert(usedBytes(view, leaf) <= size, `leaf ${node} holds its entries`);
    const distances: number[] = [];
    for (let i = 0; i < count; i++) distances.push(leaf + size - entryAt(view, leaf, i));
    distances.sort((a, b) => a - b);
    let end = 0;
    let outside = 0;
    for (const distance of distances) {
      const entry = leaf + size - distance;
      end += entryBytes(view, entry);
      assert(end === distance, `leaf ${node}: no hole and no overlap at ${distance}`);
      const length = view.getUint8(entry + Entry.Length);
      if (length === Entry.Outside) {
        outside++;
        const bytes = view.getUint32(entry + Entry.OutsideLength, true);
        assert(bytes > Entry.MostInline, `leaf ${node}: only long members lie outside`);
        const slot = this.allocator.slotBytes(view.getUint32(entry + Entry.Handle, true));
        assert(slot >= bytes, `leaf ${node}: a member outside lies in its slot`);
      } else assert(length <= Entry.MostInline, `leaf ${node}: length of a member inside`);
    }
    assert(end === heap, `leaf ${node}: bytes of entries`);
    assert(outside === view.getUint16(leaf + Leaf.Outside, true), `leaf ${node}: members outside`);
  }
}

/** Frees a node and all that is below it. */
function freeNode(allocator: Allocator, node: number, level: number): void {
  const { u32, view } = allocator.regionOf(node);
  if (level > 1) {
    const children = wordOf(node) + Inner.Children;
    const count = u32[wordOf(node)]!;
    for (let i = 0; i < count; i++) freeNode(allocator, u32[children + i]!, level - 1);
  } else if (view.getUint16(byteOf(node) + Leaf.Outside, true) > 0) {
    const count = view.getUint16(byteOf(node) + Leaf.Count, true);
    for (let i = 0; i < count; i++) {
      const entry = entryAt(view, byteOf(node), i);
      if (view.getUint8(entry + Entry.Length) === Entry.Outside)
        allocator.free(view.getUint32(entry + Entry.Handle, true));
    }
  }
  allocator.free(node);
}
