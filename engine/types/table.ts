// table.ts: the hash of a large collection: members of a set, fields and values of a hash, places of a sorted set's
// member. Extendible hashing as the key index uses, but over leaves that hold their elements inline, so an element costs
// its own bytes and five or six more, and a walk reads memory in order.
//
// Root, in the record's value (32 bytes, at any alignment):
//   0 f64 earliest deadline of a field   8 u32 link (PagesRoot.Next)   12 u32 elements
//   16 u32 directory (handle)            20 u32 depth             24 u32 leaves    28 u32 leaves of the full depth
// Directory: 2^depth u32 handles, indexed by the top `depth` bits of the hash's high word.
// Leaf, 256 to 4096 bytes, its slots growing up and its elements down:
//   0 u16 elements  2 u16 heap (offset of the lowest element)  4 u16 dead bytes  6 u16 capacity  8 u8 depth
//   16 u32 a slot: order << 16 | offset. order = top 16 bits of the hash's low word; slots ascend by it.
// Element (Kind.Set, Kind.Hash):
//   u8 length of the member or field, 128 set: external
//   Kind.Hash: u8 length of the value, 128 set: a float64 deadline follows
//   [f64 deadline] bytes of the member or field, bytes of the value
//   external: u32 handle follows instead; there u32 member length, u32 value length, f64 deadline (0 none), bytes
// Element (Kind.Reference): u32 high word of the member's hash, u32 reference: the name of the tree's leaf that holds the
//   member, f64 its score. A match of 48 bits of the hash is a candidate, which that leaf confirms by the score.
// Elements of more than 128 bytes are external, so a leaf holds some 30 or more and the directory stays small.
//
// Scan order is (high, order), which depends on the hash alone: what is present throughout a scan is met, however leaves
// split and merge meanwhile. cursor = path * 2^16 + order, path = 1 << depth | prefix; below 2^39.
// Invariants: slots ascend; used + dead + free = capacity; a leaf of depth d stands in 2^(depth - d) entries in a row;
// an operation that memory refuses changed nothing.
// On the data path: find, insert, remove, walks and draws allocate nothing in the JS sense.
// `find` ends whatever it reads, so it may be called without the lock; walks, scans and draws may not.
// Neighbours: holder.ts; used by hash.ts, set.ts and sorted-set.ts.
import { type Allocator, Handle } from "../memory/allocator.ts";
import { assert } from "../memory/assert.ts";
import { hashBytes, hashHigh, hashLow } from "../memory/hash.ts";
import { Cost, type Mover } from "../memory/mover.ts";
import { copyBytes, equalBytes, need, Region } from "../memory/region.ts";
import type { Holder } from "./holder.ts";

export const enum TableKind {
  Set = 0,
  Hash = 1,
  Reference = 2,
}

const enum RootAt {
  Deadline = 0,
  Next = 8,
  Count = 12,
  Directory = 16,
  Depth = 20,
  Leaves = 24,
  Deepest = 28,
  Bytes = 32,
}

export const TABLE_ROOT_BYTES = 32;

const enum Leaf {
  Count = 0,
  Heap = 2,
  Dead = 4,
  Capacity = 6,
  Depth = 8,
  Slots = 16,
  Least = 256,
  Most = 4096,
  /** Two buddies that fill no more than this together become one. */
  Merge = 2048,
  MostDepth = 22,
  /** A leaf of the largest size is packed only when that many bytes are dead, and else split: packing costs as much. */
  LeastDead = 256,
}

const enum Inline {
  /** Longest element kept in a leaf, lengths included. */
  Bytes = 128,
  Mark = 128,
  /** Element of Kind.Reference. */
  PlaceBytes = 16,
  /** An external element in its leaf. */
  ReferenceBytes = 5,
}

const enum External {
  KeyBytes = 0,
  ValueBytes = 4,
  Deadline = 8,
  Text = 16,
}

/** Where in the scratch an inline value waits: behind a leaf and a member. */
const VALUE_SCRATCH = 6144;

/** The capacity of a leaf that must hold `bytes`: rungs of 64 bytes to 1 KiB, then of 256. */
function rung(bytes: number): number {
  if (bytes <= Leaf.Least) return Leaf.Least;
  return bytes <= 1024 ? (bytes + 63) & ~63 : (bytes + 255) & ~255;
}

export class Table {
  private allocator!: Allocator;
  private root: Region;
  private rootAt = 0;
  // The leaf of the cursor.
  private leaf: Region;
  private leafHandle = 0;
  private leafAt = 0;
  private slot = 0;
  /** Offset of the element of the cursor in `leaf`. */
  private element = 0;
  // The hash that `find` looked for.
  private high = 0;
  private low = 0;
  // A walk: the directory entry of the leaf the cursor is in.
  private entry = 0;
  /** Elements of a leaf that is rebuilt pass through here. */
  private readonly scratch = need(Region.private(8192), "a leaf that is rebuilt");

  /** Which half each element of a leaf that is split goes to, by slot. */
  private readonly sides = new Uint8Array(1024);

  /** Bytes of the element under the cursor: member or field. Valid until the next change. Kind.Reference has none. */
  region: Region;
  start = 0;
  bytes = 0;
  /** Its value, of a hash. */
  valueStart = 0;
  valueBytes = 0;
  /** When the field is due, ms since the epoch, 0 for never. */
  deadlineMs = 0;
  /** Kind.Reference: the reference and the score. */
  reference = 0;
  score = 0;

  constructor(readonly kind: TableKind) {
    this.root = this.scratch;
    this.leaf = this.scratch;
    this.region = this.scratch;
  }

  /** Writes an empty root over the value of a record of at least TABLE_ROOT_BYTES. */
  static clear(holder: Holder): void {
    const { region, valueStart } = holder;
    region.u8.fill(0, valueStart, valueStart + RootAt.Bytes);
    region.view.setFloat64(valueStart + RootAt.Deadline, Number.POSITIVE_INFINITY, true);
  }

  /** Opens the table whose root a record holds. The record must not move while it is open. */
  open(holder: Holder): void {
    this.allocator = holder.allocator;
    this.root = holder.region;
    this.rootAt = holder.valueStart;
  }

  get count(): number {
    return this.root.view.getUint32(this.rootAt + RootAt.Count, true);
  }

  /** No field is due before this; Infinity for none. */
  get earliestMs(): number {
    return this.root.view.getFloat64(this.rootAt + RootAt.Deadline, true);
  }

  set earliestMs(value: number) {
    this.root.view.setFloat64(this.rootAt + RootAt.Deadline, value, true);
  }

  private word(field: RootAt): number {
    return this.root.view.getUint32(this.rootAt + field, true);
  }

  private setWord(field: RootAt, value: number): void {
    this.root.view.setUint32(this.rootAt + field, value, true);
  }

  // Looking up

  /** Finds a member or field; the cursor is at it. What `insert` after a false answer adds is this one. */
  find(region: Region, start: number, bytes: number): boolean {
    hashBytes(region, start, bytes);
    this.high = hashHigh;
    this.low = hashLow;
    return this.toLeaf(hashHigh) && this.findInLeaf(region, start, bytes);
  }

  /** `find` in the leaf of the hash looked for. */
  private findInLeaf(region: Region, start: number, bytes: number): boolean {
    const { leaf, leafAt } = this;
    const { u32 } = leaf;
    const order = this.low >>> 16;
    const count = leaf.u8[leafAt]! | (leaf.u8[leafAt + 1]! << 8);
    const slots = (leafAt + Leaf.Slots) >> 2;
    for (let slot = this.firstSlot(order, count); slot < count; slot++) {
      const word = u32[slots + slot]!;
      if (word >>> 16 !== order) break;
      if (this.matches(leafAt + (word & 0xffff), region, start, bytes)) {
        this.slot = slot;
        this.load(leafAt + (word & 0xffff));
        return true;
      }
    }
    return false;
  }

  /** Kind.Reference: moves the cursor to the first element that may be the member's, whose hash is taken. */
  findCandidate(region: Region, start: number, bytes: number): boolean {
    hashBytes(region, start, bytes);
    this.high = hashHigh;
    this.low = hashLow;
    if (!this.toLeaf(hashHigh)) return false;
    const { leaf, leafAt } = this;
    this.slot = this.firstSlot(hashLow >>> 16, leaf.u8[leafAt]! | (leaf.u8[leafAt + 1]! << 8)) - 1;
    return this.nextCandidate();
  }

  /** The next one, after the tree has denied the last. */
  nextCandidate(): boolean {
    const { leaf, leafAt, high } = this;
    const order = this.low >>> 16;
    const count = leaf.u8[leafAt]! | (leaf.u8[leafAt + 1]! << 8);
    const slots = (leafAt + Leaf.Slots) >> 2;
    for (let slot = this.slot + 1; slot < count; slot++) {
      const word = leaf.u32[slots + slot]!;
      if (word >>> 16 !== order) return false;
      const at = leafAt + (word & 0xffff);
      if (leaf.view.getInt32(at, true) !== high) continue;
      this.slot = slot;
      this.load(at);
      return true;
    }
    return false;
  }

  /** Sets the leaf for a hash. False in an empty table. */
  private toLeaf(high: number): boolean {
    const directory = this.word(RootAt.Directory);
    if (directory === 0) return false;
    const depth = this.word(RootAt.Depth);
    const entry = depth === 0 ? 0 : high >>> (32 - depth);
    this.enter(this.allocator.regionOf(directory).u32[(directory & Handle.GranuleMask) * 2 + entry]!);
    return true;
  }

  private enter(leaf: number): void {
    this.leafHandle = leaf;
    this.leaf = this.allocator.regionOf(leaf);
    this.leafAt = (leaf & Handle.GranuleMask) << Handle.GranuleShift;
  }

  /** The first slot whose order is not below the given one. Orders are spread evenly, so it is near its share. */
  private firstSlot(order: number, count: number): number {
    const { u32 } = this.leaf;
    const slots = (this.leafAt + Leaf.Slots) >> 2;
    let slot = (order * count) >>> 16;
    while (slot > 0 && u32[slots + slot - 1]! >>> 16 >= order) slot--;
    while (slot < count && u32[slots + slot]! >>> 16 < order) slot++;
    return slot;
  }

  private matches(at: number, region: Region, start: number, bytes: number): boolean {
    const { leaf } = this;
    const head = leaf.u8[at]!;
    if ((head & Inline.Mark) === 0) {
      if (head !== bytes) return false;
      let text = at + 1;
      if (this.kind === TableKind.Hash) text += (leaf.u8[at + 1]! & Inline.Mark) === 0 ? 1 : 9;
      return equalBytes(leaf, text, region, start, bytes);
    }
    const handle = leaf.view.getUint32(at + 1, true);
    const outside = this.allocator.regionOf(handle);
    const from = (handle & Handle.GranuleMask) << Handle.GranuleShift;
    return (
      outside.u32[from >> 2] === bytes && equalBytes(outside, from + External.Text, region, start, bytes)
    );
  }

  /** Reads the element at `at` of the leaf into the cursor. */
  private load(at: number): void {
    const { leaf, kind } = this;
    this.element = at;
    if (kind === TableKind.Reference) {
      this.reference = leaf.view.getUint32(at + 4, true);
      this.score = leaf.view.getFloat64(at + 8, true);
      return;
    }
    const head = leaf.u8[at]!;
    if ((head & Inline.Mark) === 0) {
      this.region = leaf;
      this.bytes = head;
      if (kind === TableKind.Set) {
        this.start = at + 1;
        return;
      }
      const value = leaf.u8[at + 1]!;
      let text = at + 2;
      this.deadlineMs = 0;
      if ((value & Inline.Mark) !== 0) {
        this.deadlineMs = leaf.view.getFloat64(text, true);
        text += 8;
      }
      this.start = text;
      this.valueStart = text + head;
      this.valueBytes = value & 127;
      return;
    }
    const handle = leaf.view.getUint32(at + 1, true);
    const outside = this.allocator.regionOf(handle);
    const from = (handle & Handle.GranuleMask) << Handle.GranuleShift;
    this.region = outside;
    this.bytes = outside.u32[from >> 2]!;
    this.start = from + External.Text;
    this.valueStart = this.start + this.bytes;
    this.valueBytes = outside.u32[(from + External.ValueBytes) >> 2]!;
    this.deadlineMs = outside.f64[(from + External.Deadline) >> 3]!;
  }

  /** Bytes that the element at `at` takes in its leaf. */
  private elementBytes(leaf: Region, at: number): number {
    if (this.kind === TableKind.Reference) return Inline.PlaceBytes;
    const head = leaf.u8[at]!;
    if ((head & Inline.Mark) !== 0) return Inline.ReferenceBytes;
    if (this.kind === TableKind.Set) return 1 + head;
    const value = leaf.u8[at + 1]!;
    return 2 + head + (value & 127) + ((value & Inline.Mark) !== 0 ? 8 : 0);
  }

  // Changing

  /** Adds what `find` just did not find. `deadlineMs` 0 for never. False, and nothing changed, when memory is out. No
   *  text may lie in this table. The cursor is at the new element. */
  insert(
    region: Region,
    start: number,
    bytes: number,
    value: Region,
    valueStart: number,
    valueBytes: number,
    deadlineMs: number,
  ): boolean {
    const inline = this.inlineBytes(bytes, valueBytes, deadlineMs);
    let outside = 0;
    if (inline > Inline.Bytes) {
      outside = this.makeExternal(region, start, bytes, value, valueStart, valueBytes, deadlineMs);
      if (outside === 0) return false;
    }
    const at = this.place(outside === 0 ? inline : Inline.ReferenceBytes);
    if (at < 0) {
      if (outside !== 0) this.allocator.free(outside);
      return false;
    }
    if (outside === 0) this.writeInline(at, region, start, bytes, value, valueStart, valueBytes, deadlineMs);
    else this.writeExternal(at, outside);
    this.load(at);
    if (deadlineMs !== 0 && deadlineMs < this.earliestMs) this.earliestMs = deadlineMs;
    this.setWord(RootAt.Count, this.count + 1);
    return true;
  }

  /** Kind.Reference: adds the member that findCandidate was asked for. */
  insertReference(reference: number, score: number): boolean {
    const at = this.place(Inline.PlaceBytes);
    if (at < 0) return false;
    this.leaf.view.setInt32(at, this.high, true);
    this.leaf.view.setUint32(at + 4, reference, true);
    this.leaf.view.setFloat64(at + 8, score, true);
    this.load(at);
    this.setWord(RootAt.Count, this.count + 1);
    return true;
  }

  /** Kind.Reference: changes the score under the cursor. */
  setScore(score: number): void {
    this.leaf.view.setFloat64(this.element + 8, score, true);
    this.score = score;
  }

  /** Kind.Reference: changes the reference under the cursor. */
  setReference(reference: number): void {
    this.leaf.view.setUint32(this.element + 4, reference, true);
    this.reference = reference;
  }

  /** Kind.Reference: high word of the hash of the element under the cursor, and its order. */
  get elementHigh(): number {
    return this.leaf.view.getInt32(this.element, true);
  }

  get elementOrder(): number {
    return this.leaf.u32[((this.leafAt + Leaf.Slots) >> 2) + this.slot]! >>> 16;
  }

  private inlineBytes(bytes: number, valueBytes: number, deadlineMs: number): number {
    if (this.kind === TableKind.Set) return 1 + bytes;
    return 2 + bytes + valueBytes + (deadlineMs !== 0 ? 8 : 0);
  }

  private writeInline(
    at: number,
    region: Region,
    start: number,
    bytes: number,
    value: Region,
    valueStart: number,
    valueBytes: number,
    deadlineMs: number,
  ): void {
    const { leaf } = this;
    leaf.u8[at] = bytes;
    if (this.kind === TableKind.Set) return copyBytes(leaf, at + 1, region, start, bytes);
    leaf.u8[at + 1] = valueBytes;
    let text = at + 2;
    if (deadlineMs !== 0) {
      leaf.u8[at + 1] = valueBytes | Inline.Mark;
      leaf.view.setFloat64(text, deadlineMs, true);
      text += 8;
    }
    copyBytes(leaf, text, region, start, bytes);
    copyBytes(leaf, text + bytes, value, valueStart, valueBytes);
  }

  private writeExternal(at: number, handle: number): void {
    this.leaf.u8[at] = Inline.Mark;
    this.leaf.view.setUint32(at + 1, handle, true);
  }

  private makeExternal(
    region: Region,
    start: number,
    bytes: number,
    value: Region,
    valueStart: number,
    valueBytes: number,
    deadlineMs: number,
  ): number {
    const handle = this.allocator.allocate(External.Text + bytes + valueBytes);
    if (handle === 0) return 0;
    const outside = this.allocator.regionOf(handle);
    const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
    outside.u32[at >> 2] = bytes;
    outside.u32[(at + External.ValueBytes) >> 2] = valueBytes;
    outside.f64[(at + External.Deadline) >> 3] = deadlineMs;
    copyBytes(outside, at + External.Text, region, start, bytes);
    copyBytes(outside, at + External.Text + bytes, value, valueStart, valueBytes);
    return handle;
  }

  /** Gives the field under the cursor another value and deadline. False, and nothing changed, when memory is out. The
   *  value must not lie in this table. The cursor stays. */
  replace(value: Region, valueStart: number, valueBytes: number, deadlineMs: number): boolean {
    if (!this.rewrite(value, valueStart, valueBytes, deadlineMs)) return false;
    if (deadlineMs !== 0 && deadlineMs < this.earliestMs) this.earliestMs = deadlineMs;
    return true;
  }

  private rewrite(value: Region, valueStart: number, valueBytes: number, deadlineMs: number): boolean {
    const { leaf, element } = this;
    const { bytes } = this;
    const external = (leaf.u8[element]! & Inline.Mark) !== 0;
    if (
      !external &&
      valueBytes === this.valueBytes &&
      (deadlineMs !== 0) === ((leaf.u8[element + 1]! & Inline.Mark) !== 0)
    ) {
      // In place: the common overwrite.
      if (deadlineMs !== 0) leaf.view.setFloat64(element + 2, deadlineMs, true);
      copyBytes(leaf, this.valueStart, value, valueStart, valueBytes);
      this.deadlineMs = deadlineMs;
      return true;
    }
    const inline = this.inlineBytes(bytes, valueBytes, deadlineMs);
    if (inline > Inline.Bytes) {
      const outside = this.makeExternal(
        this.region,
        this.start,
        bytes,
        value,
        valueStart,
        valueBytes,
        deadlineMs,
      );
      if (outside === 0) return false;
      const had = this.elementBytes(leaf, element);
      if (external) this.allocator.free(leaf.view.getUint32(element + 1, true));
      else if (had >= Inline.ReferenceBytes) this.kill(had - Inline.ReferenceBytes);
      else if (!this.reinsert(Inline.ReferenceBytes)) {
        this.allocator.free(outside);
        return false;
      }
      this.writeExternal(this.element, outside);
      this.load(this.element);
      return true;
    }
    // Inline at another length. Its member waits in the scratch.
    const { scratch } = this;
    copyBytes(scratch, Leaf.Most, this.region, this.start, bytes);
    const old = external ? leaf.view.getUint32(element + 1, true) : 0;
    const had = this.elementBytes(leaf, element);
    if (inline <= had) this.kill(had - inline);
    else if (!this.reinsert(inline)) return false;
    this.writeInline(this.element, scratch, Leaf.Most, bytes, value, valueStart, valueBytes, deadlineMs);
    if (old !== 0) this.allocator.free(old);
    this.load(this.element);
    return true;
  }

  /** Gives the field under the cursor another deadline, 0 for none. False, and nothing changed, when memory is out. */
  setDeadline(deadlineMs: number): boolean {
    const { leaf, element, scratch, valueBytes } = this;
    if ((leaf.u8[element]! & Inline.Mark) === 0) {
      copyBytes(scratch, VALUE_SCRATCH, leaf, this.valueStart, valueBytes);
      return this.replace(scratch, VALUE_SCRATCH, valueBytes, deadlineMs);
    }
    const handle = leaf.view.getUint32(element + 1, true);
    const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
    this.allocator.regionOf(handle).f64[(at + External.Deadline) >> 3] = deadlineMs;
    if (deadlineMs !== 0 && deadlineMs < this.earliestMs) this.earliestMs = deadlineMs;
    this.deadlineMs = deadlineMs;
    return true;
  }

  /** Takes `bytes` of the leaf's heap for the element under the cursor, instead of the fewer it had: `element` is where.
   *  False, and nothing changed, when memory is out. */
  private reinsert(bytes: number): boolean {
    const { scratch } = this;
    const member = this.bytes;
    // It may be in an allocation of its own, and longer than an inline one; then it is found by its reference.
    const reference =
      (this.leaf.u8[this.element]! & Inline.Mark) !== 0
        ? this.leaf.view.getUint32(this.element + 1, true)
        : 0;
    if (reference === 0) copyBytes(scratch, Leaf.Most, this.region, this.start, member);
    const room = this.makeRoom(bytes);
    const found =
      reference === 0
        ? this.findInLeaf(scratch, Leaf.Most, member)
        : this.findInLeaf(
            this.allocator.regionOf(reference),
            ((reference & Handle.GranuleMask) << Handle.GranuleShift) + External.Text,
            member,
          );
    assert(found, "an element stays when its leaf makes room");
    if (!room) return false;
    this.dropSlot();
    this.element = this.take(bytes);
    return true;
  }

  /** Counts bytes of the leaf as dead. */
  private kill(bytes: number): void {
    const { view } = this.leaf;
    const at = this.leafAt + Leaf.Dead;
    view.setUint16(at, view.getUint16(at, true) + bytes, true);
    this.allocator.loosen(bytes);
  }

  /** Removes the element under the cursor. */
  remove(): void {
    this.removeQuietly();
    this.tidy();
  }

  /** Removes the element under the cursor and leaves the leaves as they are, so that a walk may go on: `next` moves to the
   *  element that followed. `tidyAll` afterwards gives back what is empty. */
  removeQuietly(): void {
    const { leaf, element } = this;
    if (this.kind !== TableKind.Reference && (leaf.u8[element]! & Inline.Mark) !== 0)
      this.allocator.free(leaf.view.getUint32(element + 1, true));
    this.dropSlot();
    this.slot--;
    this.setWord(RootAt.Count, this.count - 1);
  }

  /** Takes the slot of the cursor out; its bytes are dead. */
  private dropSlot(): void {
    const { leaf, leafAt, slot } = this;
    const { u32, view } = leaf;
    this.kill(this.elementBytes(leaf, leafAt + (u32[((leafAt + Leaf.Slots) >> 2) + slot]! & 0xffff)));
    const count = view.getUint16(leafAt + Leaf.Count, true);
    const slots = (leafAt + Leaf.Slots) >> 2;
    u32.copyWithin(slots + slot, slots + slot + 1, slots + count);
    view.setUint16(leafAt + Leaf.Count, count - 1, true);
  }

  /** Room for another element of `bytes` of the hash last looked for: its offset, or -1 when memory is out. */
  private place(bytes: number): number {
    if (this.word(RootAt.Directory) === 0) {
      if (!this.createDirectory()) return -1;
      this.toLeaf(this.high);
    }
    if (!this.makeRoom(bytes)) return -1;
    return this.take(bytes);
  }

  /** Takes `bytes` of the heap of the leaf, which has room, and a slot for them. */
  private take(bytes: number): number {
    const { leaf, leafAt, low } = this;
    const { u32, view } = leaf;
    const count = view.getUint16(leafAt + Leaf.Count, true);
    const slots = (leafAt + Leaf.Slots) >> 2;
    const order = low >>> 16;
    const slot = this.firstSlot(order, count);
    const offset = view.getUint16(leafAt + Leaf.Heap, true) - bytes;
    if (slot < count) u32.copyWithin(slots + slot + 1, slots + slot, slots + count);
    u32[slots + slot] = (order << 16) | offset;
    view.setUint16(leafAt + Leaf.Count, count + 1, true);
    view.setUint16(leafAt + Leaf.Heap, offset, true);
    this.slot = slot;
    return leafAt + offset;
  }

  /** Makes the leaf of the hash last looked for have room for `bytes` and a slot: packs it, makes it larger, or splits
   *  it. The cursor follows its element. False, and nothing changed but places, when memory is out. */
  private makeRoom(bytes: number): boolean {
    for (;;) {
      const { leaf, leafAt } = this;
      const { view } = leaf;
      const count = view.getUint16(leafAt + Leaf.Count, true);
      const heap = view.getUint16(leafAt + Leaf.Heap, true);
      if (heap - (Leaf.Slots + count * 4) >= bytes + 4) return true;
      const capacity = view.getUint16(leafAt + Leaf.Capacity, true);
      const dead = view.getUint16(leafAt + Leaf.Dead, true);
      const used = Leaf.Slots + count * 4 + (capacity - heap) - dead;
      const wanted = used + bytes + 4;
      if (wanted <= Leaf.Most && (capacity < Leaf.Most || dead >= Leaf.LeastDead)) {
        // An eighth more than is needed, so that growing one element at a time copies each a few times only. Where the
        // dead would do, the size stays.
        const grown = wanted <= capacity - (capacity >> 3) ? capacity : rung(wanted + (wanted >> 3));
        if (!this.rebuild(Math.min(Leaf.Most, grown))) return false;
      } else if (!this.split()) return false;
    }
  }

  private createDirectory(): boolean {
    const directory = this.allocator.allocate(16);
    if (directory === 0) return false;
    const leaf = this.newLeaf(Leaf.Least, 0);
    if (leaf === 0) {
      this.allocator.free(directory);
      return false;
    }
    this.allocator.regionOf(directory).u32[(directory & Handle.GranuleMask) * 2] = leaf;
    this.setWord(RootAt.Directory, directory);
    this.setWord(RootAt.Depth, 0);
    this.setWord(RootAt.Leaves, 1);
    this.setWord(RootAt.Deepest, 1);
    return true;
  }

  private newLeaf(capacity: number, depth: number): number {
    const handle = this.allocator.allocate(capacity);
    if (handle === 0) return 0;
    const region = this.allocator.regionOf(handle);
    const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
    region.u32.fill(0, at >> 2, (at + Leaf.Slots) >> 2);
    region.view.setUint16(at + Leaf.Heap, capacity, true);
    region.view.setUint16(at + Leaf.Capacity, capacity, true);
    region.u8[at + Leaf.Depth] = depth;
    return handle;
  }

  /** The prefix of a leaf of that depth: of `this.high`, the hash that every operation on a leaf was asked for. */
  private prefixOf(high: number, depth: number): number {
    return depth === 0 ? 0 : high >>> (32 - depth);
  }

  /** Copies the leaf without what is dead into one of `capacity`, or into itself if it has that already. */
  private rebuild(capacity: number): boolean {
    const { leaf, leafAt, scratch, leafHandle } = this;
    const had = leaf.view.getUint16(leafAt + Leaf.Capacity, true);
    const depth = leaf.u8[leafAt + Leaf.Depth]!;
    if (capacity === had) {
      copyBytes(scratch, 0, leaf, leafAt, had);
      leaf.view.setUint16(leafAt + Leaf.Count, 0, true);
      leaf.view.setUint16(leafAt + Leaf.Heap, had, true);
      leaf.view.setUint16(leafAt + Leaf.Dead, 0, true);
      this.append(scratch, 0, leafHandle, -1);
      return true;
    }
    const created = this.newLeaf(capacity, depth);
    if (created === 0) return false;
    if (capacity > had) this.widen(created, capacity - had);
    else this.append(leaf, leafAt, created, -1);
    this.point(this.prefixOf(this.high, depth), depth, created);
    this.allocator.free(leafHandle);
    this.enter(created);
    return true;
  }

  /** Copies the leaf as it is, the dead too, into an empty one that is `more` bytes larger. */
  private widen(to: number, more: number): void {
    const { leaf, leafAt } = this;
    const target = this.allocator.regionOf(to);
    const targetAt = (to & Handle.GranuleMask) << Handle.GranuleShift;
    const count = leaf.view.getUint16(leafAt + Leaf.Count, true);
    const heap = leaf.view.getUint16(leafAt + Leaf.Heap, true);
    const capacity = leaf.view.getUint16(leafAt + Leaf.Capacity, true);
    const from = (leafAt + Leaf.Slots) >> 2;
    const slots = (targetAt + Leaf.Slots) >> 2;
    const words = leaf.u32;
    for (let slot = 0; slot < count; slot++) target.u32[slots + slot] = words[from + slot]! + more;
    copyBytes(target, targetAt + heap + more, leaf, leafAt + heap, capacity - heap);
    target.view.setUint16(targetAt + Leaf.Count, count, true);
    target.view.setUint16(targetAt + Leaf.Heap, heap + more, true);
    target.view.setUint16(targetAt + Leaf.Dead, leaf.view.getUint16(leafAt + Leaf.Dead, true), true);
  }

  /** Appends the elements of a leaf's bytes to another, all (side -1) or those that `sides` says are for that side of a
   *  split. Slots stay in order. */
  private append(from: Region, fromAt: number, to: number, side: number): void {
    const { sides } = this;
    const target = this.allocator.regionOf(to);
    const targetAt = (to & Handle.GranuleMask) << Handle.GranuleShift;
    const count = from.view.getUint16(fromAt + Leaf.Count, true);
    const slots = (fromAt + Leaf.Slots) >> 2;
    let made = target.view.getUint16(targetAt + Leaf.Count, true);
    let heap = target.view.getUint16(targetAt + Leaf.Heap, true);
    const targetSlots = (targetAt + Leaf.Slots) >> 2;
    for (let slot = 0; slot < count; slot++) {
      const word = from.u32[slots + slot]!;
      const at = fromAt + (word & 0xffff);
      if (side >= 0 && sides[slot] !== side) continue;
      const bytes = this.elementBytes(from, at);
      heap -= bytes;
      copyBytes(target, targetAt + heap, from, at, bytes);
      target.u32[targetSlots + made++] = (word & 0xffff0000) | heap;
    }
    target.view.setUint16(targetAt + Leaf.Count, made, true);
    target.view.setUint16(targetAt + Leaf.Heap, heap, true);
  }

  /** The high word of an element's hash. */
  private highOf(leaf: Region, at: number): number {
    if (this.kind === TableKind.Reference) return leaf.view.getInt32(at, true);
    const head = leaf.u8[at]!;
    if ((head & Inline.Mark) === 0) {
      let text = at + 1;
      if (this.kind === TableKind.Hash) text += (leaf.u8[at + 1]! & Inline.Mark) === 0 ? 1 : 9;
      hashBytes(leaf, text, head);
    } else {
      const handle = leaf.view.getUint32(at + 1, true);
      const from = (handle & Handle.GranuleMask) << Handle.GranuleShift;
      const outside = this.allocator.regionOf(handle);
      hashBytes(outside, from + External.Text, outside.u32[from >> 2]!);
    }
    return hashHigh;
  }

  private split(): boolean {
    const { leaf, leafAt, leafHandle, high } = this;
    const depth = leaf.u8[leafAt + Leaf.Depth]!;
    if (depth >= Leaf.MostDepth) return false;
    const { sides } = this;
    const count = leaf.view.getUint16(leafAt + Leaf.Count, true);
    const slots = (leafAt + Leaf.Slots) >> 2;
    let left = Leaf.Slots;
    let right = Leaf.Slots;
    for (let slot = 0; slot < count; slot++) {
      const at = leafAt + (leaf.u32[slots + slot]! & 0xffff);
      const bytes = 4 + this.elementBytes(leaf, at);
      const side = (this.highOf(leaf, at) >>> (31 - depth)) & 1;
      sides[slot] = side;
      if (side === 0) left += bytes;
      else right += bytes;
    }
    const low = this.newLeaf(Math.min(Leaf.Most, rung(left + (left >> 3))), depth + 1);
    const upper = low === 0 ? 0 : this.newLeaf(Math.min(Leaf.Most, rung(right + (right >> 3))), depth + 1);
    if (upper === 0 || (depth === this.word(RootAt.Depth) && !this.doubleDirectory())) {
      if (low !== 0) this.allocator.free(low);
      if (upper !== 0) this.allocator.free(upper);
      return false;
    }
    this.append(leaf, leafAt, low, 0);
    this.append(leaf, leafAt, upper, 1);
    const prefix = this.prefixOf(high, depth);
    this.point(prefix << 1, depth + 1, low);
    this.point((prefix << 1) | 1, depth + 1, upper);
    this.allocator.free(leafHandle);
    this.setWord(RootAt.Leaves, this.word(RootAt.Leaves) + 1);
    if (depth + 1 === this.word(RootAt.Depth)) this.setWord(RootAt.Deepest, this.word(RootAt.Deepest) + 2);
    this.enter(((high >>> (31 - depth)) & 1) === 0 ? low : upper);
    return true;
  }

  private doubleDirectory(): boolean {
    const { allocator } = this;
    const depth = this.word(RootAt.Depth);
    const larger = allocator.allocate(Math.max(16, 8 << depth));
    if (larger === 0) return false;
    const old = this.word(RootAt.Directory);
    const from = allocator.regionOf(old).u32;
    const to = allocator.regionOf(larger).u32;
    const source = (old & Handle.GranuleMask) * 2;
    const target = (larger & Handle.GranuleMask) * 2;
    for (let i = (1 << depth) - 1; i >= 0; i--) {
      to[target + 2 * i] = from[source + i]!;
      to[target + 2 * i + 1] = from[source + i]!;
    }
    this.setWord(RootAt.Directory, larger);
    this.setWord(RootAt.Depth, depth + 1);
    this.setWord(RootAt.Deepest, 0);
    allocator.free(old);
    return true;
  }

  private point(prefix: number, depth: number, leaf: number): void {
    const directory = this.word(RootAt.Directory);
    const spread = this.word(RootAt.Depth) - depth;
    const start = (directory & Handle.GranuleMask) * 2 + (prefix << spread);
    this.allocator.regionOf(directory).u32.fill(leaf, start, start + (1 << spread));
  }

  /** After a removal: a leaf much too large is made smaller, and joined with its buddy when both are nearly empty. */
  private tidy(): void {
    const capacity = this.leaf.view.getUint16(this.leafAt + Leaf.Capacity, true);
    const used = this.usedBytes(capacity);
    if (used * 2 > capacity) return;
    if (used <= Leaf.Merge / 2 && this.merge(used)) return this.tidy();
    if (capacity > Leaf.Least) this.rebuild(rung(used + (used >> 3)));
  }

  /** Bytes of the leaf, which has that capacity, that hold something. */
  private usedBytes(capacity: number): number {
    const { leaf, leafAt } = this;
    const { view } = leaf;
    return (
      Leaf.Slots +
      view.getUint16(leafAt + Leaf.Count, true) * 4 +
      (capacity - view.getUint16(leafAt + Leaf.Heap, true)) -
      view.getUint16(leafAt + Leaf.Dead, true)
    );
  }

  /** Tidies every leaf, after a walk that removed quietly. */
  tidyAll(): void {
    if (this.word(RootAt.Directory) === 0) return;
    for (let entry = 0; entry < 1 << this.word(RootAt.Depth); ) {
      this.enterEntry(entry);
      this.high = this.prefixHigh(entry);
      this.tidy();
      // Leaves may have joined and the directory shrunk: on from the end of the leaf that holds this hash now.
      const depth = this.word(RootAt.Depth);
      const now = this.prefixOf(this.high, depth);
      this.enterEntry(now);
      const span = 1 << (depth - this.leaf.u8[this.leafAt + Leaf.Depth]!);
      entry = (now & ~(span - 1)) + span;
    }
  }

  /** A hash that leads to a directory entry. */
  private prefixHigh(entry: number): number {
    const depth = this.word(RootAt.Depth);
    return depth === 0 ? 0 : entry << (32 - depth);
  }

  /** Joins the leaf with its buddy if both fit one. */
  private merge(used: number): boolean {
    const { leaf, leafAt, leafHandle, allocator } = this;
    const depth = leaf.u8[leafAt + Leaf.Depth]!;
    if (depth === 0) return false;
    const prefix = this.prefixOf(this.high, depth);
    const directory = this.word(RootAt.Directory);
    const fullDepth = this.word(RootAt.Depth);
    const entry = (prefix ^ 1) << (fullDepth - depth);
    const buddy = allocator.regionOf(directory).u32[(directory & Handle.GranuleMask) * 2 + entry]!;
    const other = allocator.regionOf(buddy);
    const otherAt = (buddy & Handle.GranuleMask) << Handle.GranuleShift;
    if (other.u8[otherAt + Leaf.Depth] !== depth) return false;
    const { view } = other;
    const otherUsed =
      view.getUint16(otherAt + Leaf.Count, true) * 4 +
      (view.getUint16(otherAt + Leaf.Capacity, true) - view.getUint16(otherAt + Leaf.Heap, true)) -
      view.getUint16(otherAt + Leaf.Dead, true);
    if (used + otherUsed > Leaf.Merge) return false;
    const created = this.newLeaf(rung(used + otherUsed), depth - 1);
    if (created === 0) return false;
    this.zip(leaf, leafAt, other, otherAt, created);
    this.point(prefix >>> 1, depth - 1, created);
    allocator.free(leafHandle);
    allocator.free(buddy);
    this.setWord(RootAt.Leaves, this.word(RootAt.Leaves) - 1);
    if (depth === fullDepth) {
      this.setWord(RootAt.Deepest, this.word(RootAt.Deepest) - 2);
      if (this.word(RootAt.Deepest) === 0) this.halveDirectory();
    }
    this.enter(created);
    return true;
  }

  /** Merges the slots of two leaves by order into an empty one. */
  private zip(a: Region, aAt: number, b: Region, bAt: number, to: number): void {
    const target = this.allocator.regionOf(to);
    const targetAt = (to & Handle.GranuleMask) << Handle.GranuleShift;
    const aCount = a.view.getUint16(aAt + Leaf.Count, true);
    const bCount = b.view.getUint16(bAt + Leaf.Count, true);
    let heap = target.view.getUint16(targetAt + Leaf.Heap, true);
    let i = 0;
    let j = 0;
    for (let made = 0; i < aCount || j < bCount; made++) {
      const left = i < aCount ? a.u32[((aAt + Leaf.Slots) >> 2) + i]! : 0;
      const right = j < bCount ? b.u32[((bAt + Leaf.Slots) >> 2) + j]! : 0;
      const first = j === bCount || (i < aCount && left >>> 16 <= right >>> 16);
      const word = first ? left : right;
      const source = first ? a : b;
      const at = (first ? aAt : bAt) + (word & 0xffff);
      if (first) i++;
      else j++;
      const bytes = this.elementBytes(source, at);
      heap -= bytes;
      copyBytes(target, targetAt + heap, source, at, bytes);
      target.u32[((targetAt + Leaf.Slots) >> 2) + made] = (word & 0xffff0000) | heap;
    }
    target.view.setUint16(targetAt + Leaf.Count, aCount + bCount, true);
    target.view.setUint16(targetAt + Leaf.Heap, heap, true);
  }

  /** No leaf is as deep as the directory: every second entry goes, as often as that holds. */
  private halveDirectory(): void {
    const { allocator } = this;
    while (this.word(RootAt.Deepest) === 0 && this.word(RootAt.Depth) > 0) {
      const depth = this.word(RootAt.Depth) - 1;
      const smaller = allocator.allocate(Math.max(16, 4 << depth));
      if (smaller === 0) return; // larger than needed, and right
      const old = this.word(RootAt.Directory);
      const from = allocator.regionOf(old).u32;
      const to = allocator.regionOf(smaller).u32;
      const source = (old & Handle.GranuleMask) * 2;
      const target = (smaller & Handle.GranuleMask) * 2;
      let deepest = 0;
      for (let i = 0; i < 1 << depth; i++) {
        const leaf = from[source + 2 * i]!;
        to[target + i] = leaf;
        const at = (leaf & Handle.GranuleMask) << Handle.GranuleShift;
        if (allocator.regionOf(leaf).u8[at + Leaf.Depth] === depth) deepest++;
      }
      this.setWord(RootAt.Directory, smaller);
      this.setWord(RootAt.Depth, depth);
      this.setWord(RootAt.Deepest, deepest);
      allocator.free(old);
    }
  }

  // Walking

  /** Begins a walk of all elements: `next` moves to the first. Changes end a walk, but for removeQuietly. */
  walk(): void {
    this.entry = 0;
    this.slot = -1;
    const directory = this.word(RootAt.Directory);
    if (directory !== 0) this.enterEntry(0);
  }

  private enterEntry(entry: number): void {
    const directory = this.word(RootAt.Directory);
    this.entry = entry;
    this.enter(this.allocator.regionOf(directory).u32[(directory & Handle.GranuleMask) * 2 + entry]!);
    this.slot = -1;
  }

  /** Moves to the next element of the walk. False at the end. */
  next(): boolean {
    const depth = this.word(RootAt.Depth);
    if (this.word(RootAt.Directory) === 0) return false;
    for (;;) {
      const { leaf, leafAt } = this;
      if (++this.slot < leaf.view.getUint16(leafAt + Leaf.Count, true)) {
        this.load(leafAt + (leaf.u32[((leafAt + Leaf.Slots) >> 2) + this.slot]! & 0xffff));
        return true;
      }
      const entry = this.entry + (1 << (depth - leaf.u8[leafAt + Leaf.Depth]!));
      if (entry >= 1 << depth) {
        this.slot--;
        return false;
      }
      this.enterEntry(entry);
    }
  }

  /** Draws an element at random: a hash, the leaf it falls into, an element of that. False in an empty table.
   *  `chance1` and `chance2` are in [0, 1). */
  draw(chance1: number, chance2: number): boolean {
    if (this.count === 0) return false;
    const size = 1 << this.word(RootAt.Depth);
    let entry = Math.floor(chance1 * size);
    for (;;) {
      this.enterEntry(entry);
      const { leaf, leafAt } = this;
      const count = leaf.view.getUint16(leafAt + Leaf.Count, true);
      if (count > 0) {
        this.slot = Math.floor(chance2 * count);
        const at = leafAt + (leaf.u32[((leafAt + Leaf.Slots) >> 2) + this.slot]! & 0xffff);
        this.load(at);
        // What a removal of it needs to know.
        this.high = this.highOf(leaf, at);
        this.low = leaf.u32[((leafAt + Leaf.Slots) >> 2) + this.slot]! & 0xffff0000;
        return true;
      }
      entry = (entry + 1) % size;
    }
  }

  /** Makes `remove` and `replace` right for an element that a walk and not `find` led to. */
  adoptCursor(): void {
    const { leaf, leafAt } = this;
    const word = leaf.u32[((leafAt + Leaf.Slots) >> 2) + this.slot]!;
    this.high = this.highOf(leaf, leafAt + (word & 0xffff));
    this.low = word & 0xffff0000;
  }

  // Scanning. A page is begun with scanPage(cursor); scanNext() moves through elements in order; when enough have been
  // met, scanCursor is where the next page begins: it is 0 at the end.

  private scanPath = 1;
  private scanOrder = 0;
  /** Entries of the directory that lie under the path: [scanEntry, scanEnd). */
  private scanEntry = 0;
  private scanEnd = 0;
  private scanUntil = 0;

  /** Where the page after the last scanPage begins; 0 when the scan is done. */
  scanCursor = 0;

  /** Begins the page at `cursor`: all elements under its path with orders in a window of about `wanted` elements. False
   *  when the table is empty or the cursor is none of ours; scanCursor is then 0. Elements come by scanNext(). */
  scanPage(cursor: number, wanted: number): boolean {
    this.scanCursor = 0;
    if (this.word(RootAt.Directory) === 0) return false;
    const depth = this.word(RootAt.Depth);
    let path = Math.floor(cursor / 65536);
    if (path >= 2 ** (Leaf.MostDepth + 1)) return false;
    const from = cursor % 65536;
    if (path === 0) path = this.pathOf(0);
    const pathDepth = 31 - Math.clz32(path);
    const prefix = path - (1 << pathDepth);
    this.scanPath = path;
    this.scanOrder = from;
    this.scanEntry = pathDepth <= depth ? prefix << (depth - pathDepth) : prefix >>> (pathDepth - depth);
    this.scanEnd = pathDepth <= depth ? (prefix + 1) << (depth - pathDepth) : this.scanEntry + 1;
    // The window's end, by the first leaf: the order of the element `wanted` further on, whole orders at a time.
    this.enterEntry(this.scanEntry);
    const { leaf, leafAt } = this;
    const count = leaf.view.getUint16(leafAt + Leaf.Count, true);
    const slots = (leafAt + Leaf.Slots) >> 2;
    const last = this.firstSlot(from, count) + wanted - 1;
    this.scanUntil = last + 1 >= count ? 65536 : (leaf.u32[slots + last]! >>> 16) + 1;
    if (this.scanUntil < 65536) this.scanCursor = path * 65536 + this.scanUntil;
    else {
      const next = path + 1;
      this.scanCursor =
        next === 2 << pathDepth ? 0 : this.pathOf((next - (1 << pathDepth)) * 2 ** (32 - pathDepth)) * 65536;
    }
    this.enterEntry(this.scanEntry);
    this.slot = this.firstSlot(from, count) - 1;
    return true;
  }

  /** The path that begins at the hash `high` (0 .. 2^32 - 1): that of its leaf, or of the part of it from there on, when
   *  it has joined its buddy, whose elements have been met. */
  private pathOf(high: number): number {
    const depth = this.word(RootAt.Depth);
    this.enterEntry(depth === 0 ? 0 : high >>> (32 - depth));
    const leafDepth = this.leaf.u8[this.leafAt + Leaf.Depth]!;
    const pathDepth = high === 0 ? leafDepth : Math.max(leafDepth, Math.clz32(high & -high) + 1);
    return pathDepth === 0 ? 1 : (1 << pathDepth) | (high >>> (32 - pathDepth));
  }

  /** Moves to the next element of the page. False at its end. */
  scanNext(): boolean {
    const depth = this.word(RootAt.Depth);
    const pathDepth = 31 - Math.clz32(this.scanPath);
    for (;;) {
      const { leaf, leafAt } = this;
      const count = leaf.view.getUint16(leafAt + Leaf.Count, true);
      while (++this.slot < count) {
        const word = leaf.u32[((leafAt + Leaf.Slots) >> 2) + this.slot]!;
        if (word >>> 16 >= this.scanUntil) break;
        const at = leafAt + (word & 0xffff);
        // A leaf that joined its buddy since the path was made holds elements of both.
        if (
          leaf.u8[leafAt + Leaf.Depth]! < pathDepth &&
          ((1 << pathDepth) | (this.highOf(leaf, at) >>> (32 - pathDepth))) !== this.scanPath
        )
          continue;
        this.load(at);
        return true;
      }
      const entry = this.entry + (1 << (depth - leaf.u8[leafAt + Leaf.Depth]!));
      if (entry >= this.scanEnd) return false;
      this.enterEntry(entry);
      this.slot = this.firstSlot(this.scanOrder, this.leaf.view.getUint16(this.leafAt, true)) - 1;
    }
  }

  // The whole

  /** Goes on with a walk that moves blocks out of leaving spans, and packs leaves there that have become loose. True at its
   *  end; false when the step is over. The mover's `at` is a hash, from 0 to 2^32, and `slot` one of leaf `block`. */
  relocate(mover: Mover): boolean {
    const old = this.word(RootAt.Directory);
    if (old === 0) return true;
    if (mover.at === 0) {
      const created = mover.copy(old, Math.max(16, 4 << this.word(RootAt.Depth)));
      if (created !== 0) {
        this.setWord(RootAt.Directory, created);
        this.allocator.free(old);
      }
    }
    const depth = this.word(RootAt.Depth);
    while (mover.at < 2 ** 32) {
      if (mover.budget <= 0) return false;
      this.enterEntry(depth === 0 ? 0 : mover.at >>> (32 - depth));
      this.high = this.prefixHigh(this.entry);
      const leafDepth = this.leaf.u8[this.leafAt + Leaf.Depth]!;
      if (!this.relocateElements(mover)) return false;
      this.relocateLeaf(mover, leafDepth);
      mover.at = (this.prefixOf(this.high, leafDepth) + 1) * 2 ** (32 - leafDepth);
      mover.slot = 0;
    }
    return true;
  }

  /** Moves what the leaf has outside. False when the step is over. */
  private relocateElements(mover: Mover): boolean {
    if (this.kind === TableKind.Reference) return true;
    const { leaf, leafAt, leafHandle, allocator } = this;
    const count = leaf.view.getUint16(leafAt + Leaf.Count, true);
    const slots = (leafAt + Leaf.Slots) >> 2;
    if (mover.block !== leafHandle) mover.slot = 0;
    mover.block = leafHandle;
    mover.budget -= Cost.Touch + count;
    for (; mover.slot < count; mover.slot++) {
      const element = leafAt + (leaf.u32[slots + mover.slot]! & 0xffff);
      if ((leaf.u8[element]! & Inline.Mark) === 0) continue;
      if (mover.budget <= 0) return false;
      const old = leaf.view.getUint32(element + 1, true);
      if (!mover.leaving(old)) continue;
      const outside = allocator.regionOf(old);
      const at = (old & Handle.GranuleMask) << Handle.GranuleShift;
      const bytes = outside.u32[at >> 2]! + outside.u32[(at + External.ValueBytes) >> 2]!;
      const created = mover.copyAnyway(old, External.Text + bytes);
      if (created === 0) continue;
      leaf.view.setUint32(element + 1, created, true);
      allocator.free(old);
    }
    return true;
  }

  private relocateLeaf(mover: Mover, depth: number): void {
    const { leaf, leafAt, leafHandle } = this;
    mover.budget -= Cost.Touch;
    const capacity = leaf.view.getUint16(leafAt + Leaf.Capacity, true);
    const used = this.usedBytes(capacity);
    let tight = rung(used + (used >> 3));
    if (tight > capacity - (capacity >> 2)) tight = capacity;
    if (!mover.displaced(leafHandle, this.allocator.slotBytes(leafHandle), tight)) return;
    if (tight < capacity) {
      if (this.rebuild(tight)) mover.count(tight * 4); // an element at a time
      return;
    }
    const created = mover.copyAnyway(leafHandle, capacity);
    if (created === 0) return;
    this.point(this.prefixOf(this.high, depth), depth, created);
    this.allocator.free(leafHandle);
  }

  /** Copies the table opened here into another record, whose value is at least a root. False, and everything taken for it
   *  given back, when memory is out there. */
  cloneTo(target: Holder): boolean {
    const { allocator } = target;
    const { view } = target.region;
    const at = target.valueStart;
    Table.clear(target);
    view.setFloat64(at + RootAt.Deadline, this.earliestMs, true);
    view.setUint32(at + RootAt.Next, this.word(RootAt.Next), true); // how far a hash has been reaped
    const old = this.word(RootAt.Directory);
    if (old === 0) return true;
    const depth = this.word(RootAt.Depth);
    const directory = allocator.allocate(Math.max(16, 4 << depth));
    if (directory === 0) return false;
    const entries = allocator.regionOf(directory).u32;
    const first = (directory & Handle.GranuleMask) * 2;
    entries.fill(0, first, first + (1 << depth));
    view.setUint32(at + RootAt.Directory, directory, true);
    view.setUint32(at + RootAt.Depth, depth, true);
    for (const field of [RootAt.Count, RootAt.Leaves, RootAt.Deepest])
      view.setUint32(at + field, this.word(field), true);
    for (let entry = 0; entry < 1 << depth; ) {
      this.enterEntry(entry);
      const span = 1 << (depth - this.leaf.u8[this.leafAt + Leaf.Depth]!);
      const leaf = this.cloneLeaf(allocator);
      if (leaf === 0) {
        this.open(target);
        while (!this.freeStep(1 << 20));
        return false;
      }
      entries.fill(leaf, first + entry, first + entry + span);
      entry += span;
    }
    return true;
  }

  private cloneLeaf(allocator: Allocator): number {
    const { leaf, leafAt } = this;
    const capacity = leaf.view.getUint16(leafAt + Leaf.Capacity, true);
    const handle = allocator.allocate(capacity);
    if (handle === 0) return 0;
    const region = allocator.regionOf(handle);
    const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
    copyBytes(region, at, leaf, leafAt, capacity);
    if (this.kind === TableKind.Reference) return handle;
    const count = leaf.view.getUint16(leafAt + Leaf.Count, true);
    for (let slot = 0; slot < count; slot++) {
      const element = at + (region.u32[((at + Leaf.Slots) >> 2) + slot]! & 0xffff);
      if ((region.u8[element]! & Inline.Mark) === 0) continue;
      const old = region.view.getUint32(element + 1, true);
      const from = this.allocator.regionOf(old);
      const fromAt = (old & Handle.GranuleMask) << Handle.GranuleShift;
      const bytes = External.Text + from.u32[fromAt >> 2]! + from.u32[(fromAt + External.ValueBytes) >> 2]!;
      const copy = allocator.allocate(bytes);
      if (copy === 0) {
        this.freeLeaf(allocator, handle, slot);
        return 0;
      }
      copyBytes(
        allocator.regionOf(copy),
        (copy & Handle.GranuleMask) << Handle.GranuleShift,
        from,
        fromAt,
        bytes,
      );
      region.view.setUint32(element + 1, copy, true);
    }
    return handle;
  }

  /** Frees a leaf and what its first `slots` elements have outside. Returns how many blocks that were. */
  private freeLeaf(allocator: Allocator, handle: number, slots: number): number {
    const region = allocator.regionOf(handle);
    const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
    let freed = 1;
    if (this.kind !== TableKind.Reference)
      for (let slot = 0; slot < slots; slot++) {
        const element = at + (region.u32[((at + Leaf.Slots) >> 2) + slot]! & 0xffff);
        if ((region.u8[element]! & Inline.Mark) === 0) continue;
        allocator.free(region.view.getUint32(element + 1, true));
        freed++;
      }
    allocator.free(handle);
    return freed;
  }

  /** Frees about `budget` blocks of a table that nobody reads any more. True when nothing is left but the root. Where it
   *  stopped is kept in the root. */
  freeStep(budget: number): boolean {
    const { allocator } = this;
    const directory = this.word(RootAt.Directory);
    if (directory === 0) return true;
    const entries = allocator.regionOf(directory).u32;
    const first = (directory & Handle.GranuleMask) * 2;
    const size = 1 << this.word(RootAt.Depth);
    // Count is where the walk stands from now on.
    let entry = this.word(RootAt.Deepest) === 0xffffffff ? this.word(RootAt.Count) : 0;
    this.setWord(RootAt.Deepest, 0xffffffff);
    while (entry < size && budget > 0) {
      const leaf = entries[first + entry]!;
      if (leaf === 0) {
        entry++; // a clone that memory ended early
        continue;
      }
      const region = allocator.regionOf(leaf);
      const at = (leaf & Handle.GranuleMask) << Handle.GranuleShift;
      const span = 1 << (this.word(RootAt.Depth) - region.u8[at + Leaf.Depth]!);
      budget -= this.freeLeaf(allocator, leaf, region.view.getUint16(at + Leaf.Count, true));
      entry += span;
    }
    this.setWord(RootAt.Count, entry);
    if (entry < size) return false;
    allocator.free(directory);
    this.setWord(RootAt.Directory, 0);
    this.setWord(RootAt.Count, 0);
    return true;
  }

  /** Bytes of all blocks of the table. O(leaves), and O(elements) where some are external. */
  memoryBytes(): number {
    const directory = this.word(RootAt.Directory);
    if (directory === 0) return 0;
    const depth = this.word(RootAt.Depth);
    let bytes = this.allocator.slotBytes(directory);
    for (let entry = 0; entry < 1 << depth; ) {
      this.enterEntry(entry);
      const { leaf, leafAt } = this;
      bytes += this.allocator.slotBytes(this.leafHandle);
      const count = leaf.view.getUint16(leafAt + Leaf.Count, true);
      if (this.kind !== TableKind.Reference)
        for (let slot = 0; slot < count; slot++) {
          const element = leafAt + (leaf.u32[((leafAt + Leaf.Slots) >> 2) + slot]! & 0xffff);
          if ((leaf.u8[element]! & Inline.Mark) !== 0)
            bytes += this.allocator.slotBytes(leaf.view.getUint32(element + 1, true));
        }
      entry += 1 << (depth - leaf.u8[leafAt + Leaf.Depth]!);
    }
    return bytes;
  }

  /** Every invariant of this file: for tests. */
  check(): void {
    if (this.word(RootAt.Directory) === 0) return assert(this.count === 0, "no directory, no elements");
    const depth = this.word(RootAt.Depth);
    let elements = 0;
    let leaves = 0;
    let deepest = 0;
    for (let entry = 0; entry < 1 << depth; ) {
      this.enterEntry(entry);
      const { leaf, leafAt } = this;
      const { view, u32 } = leaf;
      const leafDepth = leaf.u8[leafAt + Leaf.Depth]!;
      const count = view.getUint16(leafAt + Leaf.Count, true);
      const capacity = view.getUint16(leafAt + Leaf.Capacity, true);
      const heap = view.getUint16(leafAt + Leaf.Heap, true);
      assert(this.allocator.slotBytes(this.leafHandle) >= capacity, "a leaf has its capacity");
      assert(Leaf.Slots + count * 4 <= heap && heap <= capacity, "slots and heap do not meet");
      let used = 0;
      let before = -1;
      for (let slot = 0; slot < count; slot++) {
        const word = u32[((leafAt + Leaf.Slots) >> 2) + slot]!;
        assert(word >>> 16 >= before, "slots ascend");
        before = word >>> 16;
        const at = leafAt + (word & 0xffff);
        assert((word & 0xffff) >= heap, "elements lie in the heap");
        used += this.elementBytes(leaf, at);
        const high = this.highOf(leaf, at);
        if (this.kind !== TableKind.Reference)
          assert(hashLow >>> 16 === before, "the order is the element's");
        assert(
          this.prefixOf(high, leafDepth) === entry >>> (depth - leafDepth),
          "the element belongs in its leaf",
        );
        if (this.kind === TableKind.Hash) {
          this.load(at);
          assert(
            this.deadlineMs === 0 || this.deadlineMs >= this.earliestMs,
            "the root knows its earliest deadline",
          );
        }
      }
      assert(used + view.getUint16(leafAt + Leaf.Dead, true) === capacity - heap, "what is not used is dead");
      const span = 1 << (depth - leafDepth);
      for (let i = 1; i < span; i++) {
        const directory = this.word(RootAt.Directory);
        const there =
          this.allocator.regionOf(directory).u32[(directory & Handle.GranuleMask) * 2 + entry + i];
        assert(there === this.leafHandle, "a leaf stands in all of its entries");
      }
      if (leafDepth === depth) deepest++;
      leaves++;
      elements += count;
      entry += span;
    }
    assert(elements === this.count, `elements: counted ${elements}, kept ${this.count}`);
    assert(leaves === this.word(RootAt.Leaves), "leaves are counted");
    assert(deepest === this.word(RootAt.Deepest), "the deepest leaves are counted");
  }
}
