// sorted-set.ts: the sorted set: members in order of (score, member bytes), with their ranks.
//
// Forms: Packed: pairs of member and score, in order. Pages: a table from members to leaves (table.ts, Kind.Reference: the
//   member's hash and score, not its bytes), then the root of the tree that holds the members in order (score-tree.ts).
//   value = table root (32 bytes), tree root (16 bytes)
// A lookup asks the table in which leaf of the tree and under which score the member is, and looks there: the bytes of a member are kept once,
// and no lookup descends the tree. Leaves have names, so only a leaf that splits or merges changes what the table says.
// Scores are float64, never NaN, and -0 is kept as 0.
// Invariants: table and tree hold the same members, and every reference names the leaf its member is in; a change that memory refuses changed nothing.
// On the data path: nothing allocates in the JS sense. Cursor style: `region`, `start`, `bytes` and `score` are the element
// under the cursor, valid until the next change or move.
// Neighbours: packed.ts, table.ts, score-tree.ts; used by engine/commands.
import { assert } from "../memory/assert.ts";
import { hashBytes, hashHigh, hashLow } from "../memory/hash.ts";
import { Form, Type } from "../memory/record.ts";
import { compareBytes, equalBytes, type Region } from "../memory/region.ts";
import type { Holder } from "./holder.ts";
import { limits } from "./limits.ts";
import { Packed, PackedLimit } from "./packed.ts";
import { ScoreTree } from "./score-tree.ts";
import { TABLE_ROOT_BYTES, Table, TableKind } from "./table.ts";
import { Temporary } from "./temporary.ts";
import { Window } from "./window.ts";

const PAGES_ROOT_BYTES = 48; // TABLE_ROOT_BYTES and ScoreTree.rootBytes

/** Pages that a packed set is moving to. One a worker, used within one call. */
const temporary = new Temporary();
const temporaryTable = new Table(TableKind.Reference);
const temporaryTree = new ScoreTree();

/** A reference that names no leaf. */
const IN_TRANSIT = 0;

/** Adds a member that is known to be absent. False, and nothing changed, when memory is out. */
function insertLarge(
  table: Table,
  tree: ScoreTree,
  score: number,
  region: Region,
  start: number,
  bytes: number,
): boolean {
  if (!tree.insert(score, region, start, bytes)) return false;
  const leaf = tree.leafName;
  follow(table, tree, region, start, bytes);
  table.findCandidate(region, start, bytes); // the hash that insertReference adds under
  if (table.insertReference(leaf, score)) return true;
  tree.remove(score, region, start, bytes);
  follow(table, tree, region, start, bytes);
  return false;
}

/** After a change of the tree: lets the table say where the members are that have another leaf now, but for the member
 *  given (`bytes` -1 for none), whose element is the caller's. */
function follow(table: Table, tree: ScoreTree, region: Region, start: number, bytes: number): void {
  const { movedFrom, movedTo } = tree;
  if (movedTo === 0 || !tree.openLeaf(movedTo)) return;
  do {
    const { memberRegion, memberStart, memberBytes } = tree;
    if (memberBytes === bytes && equalBytes(memberRegion, memberStart, region, start, bytes)) continue;
    let more = table.findCandidate(memberRegion, memberStart, memberBytes);
    while (more && (table.reference !== movedFrom || table.score !== tree.score))
      more = table.nextCandidate();
    if (more) table.setReference(movedTo);
  } while (tree.next() && tree.leafName === movedTo);
}

export class SortedSet {
  private holder!: Holder;
  private large = false;
  private readonly packed = new Packed();
  private readonly window = new Window(this.packed.region);
  private readonly table = new Table(TableKind.Reference);
  private readonly tree = new ScoreTree();
  /** Packed: rank of the element under the cursor. */
  private rank = 0;

  region: Region;
  start = 0;
  bytes = 0;
  score = 0;

  /** Value bytes of an empty set that is packed. */
  static readonly initialBytes = PackedLimit.HeaderBytes;

  constructor() {
    this.region = this.packed.region;
  }

  /** Opens a new record of initialBytes as an empty set. */
  clear(holder: Holder): void {
    this.holder = holder;
    this.large = false;
    this.openPacked();
    this.packed.clear();
  }

  open(holder: Holder): void {
    this.holder = holder;
    this.large = holder.form === Form.Pages;
    if (this.large) {
      this.table.open(holder);
      this.tree.open(holder.allocator, holder.region, holder.valueStart + TABLE_ROOT_BYTES);
    } else this.openPacked();
  }

  private openPacked(): void {
    this.window.open(this.holder);
    this.packed.open(this.window);
  }

  get count(): number {
    return this.large ? this.tree.count : this.packed.count >> 1;
  }

  /** Finds a member; the cursor is at it. What `insert`, `update` and `remove` then act on is this member, whose bytes they
   *  are given again. */
  find(region: Region, start: number, bytes: number): boolean {
    if (this.large) {
      const { table, tree } = this;
      for (let more = table.findCandidate(region, start, bytes); more; more = table.nextCandidate())
        if (tree.findIn(table.reference, table.score, region, start, bytes)) {
          this.fromTree();
          return true;
        }
      return false;
    }
    const { packed } = this;
    packed.seek(0);
    packed.take(region, start, bytes);
    if (!packed.find(2)) return false;
    this.rank = packed.index >> 1;
    this.fromPacked();
    return true;
  }

  /** Makes ready for up to `howMany` additions: a set that would be large with as many alone is so from the start, as in
   *  Redis. False, and nothing changed, when memory is out. */
  reserve(howMany: number): boolean {
    return this.large || howMany <= limits.sortedSetEntries || this.grow();
  }

  /** Adds a member that `find` has just not found. False, and nothing changed, when memory is out. */
  insert(score: number, region: Region, start: number, bytes: number): boolean {
    if (score === 0) score = 0; // not -0
    if (!this.large) {
      const { packed } = this;
      if (
        (packed.count >> 1) + 1 <= limits.sortedSetEntries &&
        bytes <= limits.sortedSetValueBytes &&
        bytes <= PackedLimit.EntryBytes &&
        packed.count + 2 <= PackedLimit.Entries &&
        packed.packedBytes + bytes <= PackedLimit.Bytes
      )
        return this.insertPacked(score, region, start, bytes);
      if (!this.grow()) return false;
    }
    const { table, tree } = this;
    return insertLarge(table, tree, score, region, start, bytes);
  }

  private insertPacked(score: number, region: Region, start: number, bytes: number): boolean {
    const { packed, window } = this;
    // Room for both first, so that the record moves once and the second insertion cannot fail.
    packed.takeNumber(score);
    const scoreCost = packed.takenCost;
    packed.take(region, start, bytes);
    if (!window.reserve(window.valueBytes + packed.takenCost + scoreCost)) return false;
    packed.open(window);
    this.seekPacked(score, region, start, bytes);
    packed.take(region, start, bytes);
    packed.insert();
    packed.next();
    packed.takeNumber(score);
    packed.insert();
    return true;
  }

  /** Moves the packed cursor to where an element of that score and member belongs. */
  private seekPacked(score: number, region: Region, start: number, bytes: number): void {
    const { packed } = this;
    packed.seek(0);
    while (packed.index < packed.count) {
      packed.read();
      const order = packed.index;
      packed.next();
      const there = packed.readNumber();
      if (
        there > score ||
        (there === score && compareBytes(packed.region, packed.start, packed.bytes, region, start, bytes) > 0)
      ) {
        packed.seek(order);
        return;
      }
      packed.next();
    }
  }

  /** Gives the member that `find` has just found another score. False, and nothing changed, when memory is out. */
  update(score: number, region: Region, start: number, bytes: number): boolean {
    if (score === 0) score = 0;
    const old = this.score;
    if (score === old) return true;
    if (this.large) {
      const { tree, table } = this;
      if (!tree.insert(score, region, start, bytes)) return false;
      // For a moment the tree holds the member twice; its element waits under no leaf until both leaves are settled.
      let leaf = tree.leafName;
      table.setReference(IN_TRANSIT);
      follow(table, tree, region, start, bytes);
      tree.remove(old, region, start, bytes);
      if (tree.movedTo !== 0 && tree.movedFrom === leaf) leaf = tree.movedTo;
      follow(table, tree, region, start, bytes);
      let more = table.findCandidate(region, start, bytes);
      while (more && table.reference !== IN_TRANSIT) more = table.nextCandidate();
      assert(more, "the element waits in the table");
      table.setReference(leaf);
      table.setScore(score);
      return true;
    }
    // Out and in again. The window keeps the room that this leaves, so only a score that takes more bytes may be refused,
    // and the old one comes back then.
    const { packed } = this;
    packed.seek(this.rank * 2);
    packed.remove(2);
    const updated = this.insertPacked(score, region, start, bytes);
    if (!updated) this.insertPacked(old, region, start, bytes);
    this.window.settle();
    packed.open(this.window);
    return updated;
  }

  /** Removes the member that `find` has just found. */
  remove(region: Region, start: number, bytes: number): void {
    if (this.large) {
      this.table.remove();
      this.tree.remove(this.score, region, start, bytes);
      follow(this.table, this.tree, region, 0, -1);
      return;
    }
    this.removePacked(this.rank, 1);
  }

  private removePacked(rank: number, howMany: number): void {
    this.packed.seek(rank * 2);
    this.packed.remove(howMany * 2);
    this.window.settle();
    this.packed.open(this.window);
  }

  /** Removes `howMany` elements from rank `rank` on. */
  removeRange(rank: number, howMany: number): void {
    if (!this.large) {
      this.removePacked(rank, howMany);
      return;
    }
    const { table, tree } = this;
    for (let left = Math.min(howMany, tree.count - rank); left > 0; ) {
      // A leaf at a time, so that between two of them table and tree agree.
      tree.seekRank(rank);
      const leaf = tree.leafName;
      let here = 0;
      do {
        // Two members that share 48 bits of their hash, the leaf and the score have equal elements: either is right.
        let more = table.findCandidate(tree.memberRegion, tree.memberStart, tree.memberBytes);
        while (more && (table.reference !== leaf || table.score !== tree.score)) more = table.nextCandidate();
        assert(more, "a member of the tree is in the table");
        table.remove();
        here++;
      } while (here < left && tree.next() && tree.leafName === leaf);
      tree.removeWithin(rank, here);
      follow(table, tree, table.region, 0, -1);
      left -= here;
    }
  }

  /** Moves a packed set to pages. False, and nothing changed, when memory is out. */
  private grow(): boolean {
    const { holder, packed } = this;
    temporary.begin(holder.allocator, Type.SortedSet, Form.Pages, PAGES_ROOT_BYTES);
    temporary.region.u8.fill(0, 0, PAGES_ROOT_BYTES);
    Table.clear(temporary);
    temporaryTable.open(temporary);
    temporaryTree.open(holder.allocator, temporary.region, TABLE_ROOT_BYTES);
    packed.seek(0);
    let grown = true;
    while (grown && packed.index < packed.count) {
      packed.read();
      packed.next();
      const score = packed.readNumber();
      packed.next();
      grown = insertLarge(temporaryTable, temporaryTree, score, packed.region, packed.start, packed.bytes);
    }
    if (!grown || !temporary.put(holder)) {
      temporary.drop();
      return false;
    }
    this.open(holder);
    return true;
  }

  /** Rank of the member that `find` has just found. */
  rankOf(region: Region, start: number, bytes: number): number {
    return this.large ? this.tree.rankOf(this.score, region, start, bytes) : this.rank;
  }

  // Ranges: a seek, then next() or previous(). Any change ends a walk.

  /** Moves the cursor to an element by rank. False when there is none. */
  seekRank(rank: number): boolean {
    if (rank < 0 || rank >= this.count) return false;
    if (this.large) {
      if (!this.tree.seekRank(rank)) return false;
      this.fromTree();
      return true;
    }
    this.rank = rank;
    this.packed.seek(rank * 2);
    this.fromPacked();
    return true;
  }

  /** Rank of the first element whose score is at least (with `after`: above) `score`; count when there is none. */
  rankOfScore(score: number, after: boolean): number {
    if (this.large) return this.tree.seekScore(score, after);
    const { packed } = this;
    packed.seek(0);
    while (packed.index < packed.count) {
      packed.next();
      const there = packed.readNumber();
      if (after ? there > score : there >= score) return packed.index >> 1;
      packed.next();
    }
    return packed.count >> 1;
  }

  /** The same by member, in a set whose scores are all equal. */
  rankOfMember(region: Region, start: number, bytes: number, after: boolean): number {
    if (this.large) return this.tree.seekMember(region, start, bytes, after);
    const { packed } = this;
    packed.seek(0);
    while (packed.index < packed.count) {
      packed.read();
      const order = compareBytes(packed.region, packed.start, packed.bytes, region, start, bytes);
      if (order > 0 || (order === 0 && !after)) return packed.index >> 1;
      packed.next();
      packed.next();
    }
    return packed.count >> 1;
  }

  /** Moves to the element of the next rank. False at the end. */
  next(): boolean {
    if (this.large) {
      if (!this.tree.next()) return false;
      this.fromTree();
      return true;
    }
    if (this.rank + 1 >= this.packed.count >> 1) return false;
    this.rank++;
    this.packed.next(); // from the score
    this.fromPacked();
    return true;
  }

  /** Moves to the element of the rank before. False at the beginning. */
  previous(): boolean {
    if (this.large) {
      if (!this.tree.previous()) return false;
      this.fromTree();
      return true;
    }
    return this.seekRank(this.rank - 1);
  }

  private fromTree(): void {
    const { tree } = this;
    this.region = tree.memberRegion;
    this.start = tree.memberStart;
    this.bytes = tree.memberBytes;
    this.score = tree.score;
  }

  /** Reads member and score at the packed cursor, which is then at the score. */
  private fromPacked(): void {
    const { packed } = this;
    packed.read();
    this.region = packed.region;
    this.start = packed.start;
    this.bytes = packed.bytes;
    packed.next();
    this.score = packed.readNumber();
  }

  // Scanning, as table.ts does; a packed set is one page.

  /** Where the next page begins; 0 at the end. */
  scanCursor = 0;
  private scanned = false;
  private lastHigh = 0;
  private lastOrder = 0;
  private lastScore = 0;
  /** How many elements before this one in the page have its hash, leaf and score. */
  private alike = 0;
  private lastReference = 0;

  /** Begins the page at `cursor`, of about `wanted` elements; they come by scanNext(). */
  scanPage(cursor: number, wanted: number): void {
    this.scanned = false;
    this.scanCursor = 0;
    this.lastReference = 0;
    if (!this.large) return;
    this.scanned = !this.table.scanPage(cursor, wanted);
    this.scanCursor = this.table.scanCursor;
  }

  /** Moves to the next element of the page. False at its end. */
  scanNext(): boolean {
    if (this.scanned) return false;
    if (!this.large) {
      // The first call moves to the first element.
      const more = this.lastReference === 0 ? this.seekRank(0) : this.next();
      this.lastReference = 1;
      return more;
    }
    const { table, tree } = this;
    if (!table.scanNext()) return false;
    const { reference, elementHigh: high, elementOrder: order } = table;
    const same =
      reference === this.lastReference &&
      high === this.lastHigh &&
      order === this.lastOrder &&
      table.score === this.lastScore;
    this.alike = same ? this.alike + 1 : 0;
    this.lastReference = reference;
    this.lastHigh = high;
    this.lastOrder = order;
    this.lastScore = table.score;
    let skip = this.alike;
    if (tree.openLeafAt(reference, table.score))
      do {
        hashBytes(tree.memberRegion, tree.memberStart, tree.memberBytes);
        if (tree.score === table.score && hashHigh === high && hashLow >>> 16 === order && skip-- === 0) {
          this.fromTree();
          return true;
        }
      } while (tree.next() && tree.leafName === reference);
    assert(false, "an element's leaf holds its member");
    return false;
  }

  /** Every invariant: for tests. */
  check(): void {
    if (!this.large) {
      this.packed.check();
      assert(this.packed.count % 2 === 0, "members have scores");
    } else {
      this.table.check();
      this.tree.check();
      assert(this.table.count === this.tree.count, "table and tree hold as many");
      for (let more = this.tree.seekRank(0); more; more = this.tree.next()) {
        const leaf = this.tree.leafName;
        const { memberRegion, memberStart, memberBytes } = this.tree;
        let there = this.table.findCandidate(memberRegion, memberStart, memberBytes);
        while (there && (this.table.reference !== leaf || this.table.score !== this.tree.score))
          there = this.table.nextCandidate();
        assert(there, "the table knows a member's leaf and score");
      }
    }
    let before = Number.NEGATIVE_INFINITY;
    for (let more = this.seekRank(0); more; more = this.next()) {
      assert(this.score >= before, "scores ascend");
      before = this.score;
    }
  }
}
