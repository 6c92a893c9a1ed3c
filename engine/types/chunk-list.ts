// chunk-list.ts: the pages of a large list: a doubly linked chain of chunks, each a slot of the shard's allocator.
//
// Root, in the record's value (40 bytes, at any alignment); PagesRoot.Next is the chunk at which a relocating walk goes on, 0
// for none, and follows it when it moves:
//   16 u32 head (handle)   20 u32 tail   24 u32 chunks   28 u32 elements   32 f64 bytes of all entries as a listpack
// Chunk:
//   0 u32 previous (handle)   4 u32 next   8 u32 bytes of the value, top bit: plain   12 u32 its entries' listpack bytes
//   16 the value: packed elements (packed.ts), or when plain the bytes of one element too long to be packed
// A packed value has at most ChunkSize.Value bytes and, when limits.listSize is positive, so many elements. A full chunk
// fills a slot of 3968 bytes, of which a span wastes 0.1 %.
// Pushing or popping at the front of a chunk moves all of it, which at this size costs less than 50 ns: less than what else
// an operation does, so no chunk keeps room at its front and none is cut for it.
// A chunk grows in place up to its slot, then to a slot an eighth larger; it is trimmed when it is no end any more.
//
// Invariants: links run both ways; no chunk is empty; counts and listpack bytes of the root are the sums of the chunks';
// an operation that memory refuses has changed no element (it may have cut a chunk in two).
// On the data path: nothing allocates in the JS sense. Cursor: an entry of a chunk; past the last element `ended`.
// Neighbours: packed.ts, holder.ts; used by list.ts and pages.ts.
import { type Allocator, Handle } from "../memory/allocator.ts";
import { assert } from "../memory/assert.ts";
import { Cost, type Mover } from "../memory/mover.ts";
import { copyBytes, equalBytes, need, Region } from "../memory/region.ts";
import type { Holder } from "./holder.ts";
import { parseInteger } from "./integer.ts";
import { limits } from "./limits.ts";
import { Packed, PackedLimit } from "./packed.ts";

const enum RootAt {
  Walk = 8,
  Head = 16,
  Tail = 20,
  Chunks = 24,
  Count = 28,
  Listpack = 32,
}

export const LIST_ROOT_BYTES = 40;

const enum ChunkAt {
  Previous = 0,
  Next = 4,
  Bytes = 8,
  Listpack = 12,
  Value = 16,
}

const enum ChunkSize {
  /** Largest packed value: a slot of 3968 bytes with its header. */
  Value = 3952,
  /** Longest text of a packed element: with count, both lengths and descriptor it fills a chunk. */
  Text = 3945,
  /** Room of a new chunk. */
  Least = 48,
}

const PLAIN = 0x80000000;

/** What cursors stand in before they are opened. */
const nothing = need(Region.private(4096), "lists that are not open");

// Sizes as Redis counts them, whose listpack decides what a small list is called.

/** Bytes of a listpack without entries. */
export const LISTPACK_EMPTY = 7;

/** Bytes of an integer as an entry of a listpack. Infinity for an int64 beyond 2^53. */
function integerEntryBytes(value: number): number {
  if (value >= 0 && value <= 127) return 2;
  if (value >= -4096 && value <= 4095) return 3;
  if (value >= -0x8000 && value <= 0x7fff) return 4;
  if (value >= -0x800000 && value <= 0x7fffff) return 5;
  return value >= -0x80000000 && value <= 0x7fffffff ? 6 : 10;
}

/** Bytes of a text as an entry of a listpack: head, text, length of both for who comes from behind. */
function textEntryBytes(bytes: number): number {
  const entry = bytes + (bytes < 64 ? 1 : bytes < 4096 ? 2 : 5);
  return entry + (entry <= 127 ? 1 : entry < 16383 ? 2 : entry < 2097151 ? 3 : entry < 268435455 ? 4 : 5);
}

/** Bytes of an element as an entry of a listpack. */
export function entryBytes(region: Region, start: number, bytes: number): number {
  if (bytes > 0 && bytes <= 20 && region.u8[start]! <= 57) {
    const value = parseInteger(region.u8, start, bytes);
    if (!Number.isNaN(value)) return integerEntryBytes(value);
  }
  return textEntryBytes(bytes);
}

/** The same of the entry that a packed value has read. Text is an integer there only beyond 2^53. */
export function readEntryBytes(packed: Packed): number {
  if (packed.numeric) return integerEntryBytes(packed.number);
  const { bytes } = packed;
  return bytes < 16 || bytes > 20 ? textEntryBytes(bytes) : entryBytes(packed.region, packed.start, bytes);
}

/** The same of `howMany` entries from the cursor on, which moves past them. */
export function passedEntryBytes(packed: Packed, howMany: number): number {
  let sum = 0;
  for (let i = 0; i < howMany; i++) {
    packed.read();
    sum += readEntryBytes(packed);
    packed.next();
  }
  return sum;
}

/** One chunk as Packed sees it. */
class Chunk implements Holder {
  readonly form = 0;
  handle = 0;
  region: Region;
  valueStart = 0;
  valueBytes = 0;
  at = 0;

  constructor(private readonly list: ChunkList) {
    this.region = list.region;
  }

  open(handle: number): void {
    this.handle = handle;
    this.region = this.allocator.regionOf(handle);
    this.at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
    this.valueStart = this.at + ChunkAt.Value;
    this.valueBytes = this.region.u32[(this.at + ChunkAt.Bytes) >> 2]! & ~PLAIN;
  }

  get allocator(): Allocator {
    return this.list.allocator;
  }

  setForm(): void {
    assert(false, "a chunk has one form");
  }

  resize(bytes: number): boolean {
    const slot = this.allocator.slotBytes(this.handle) - ChunkAt.Value;
    if (bytes <= slot && (bytes >= slot >> 1 || slot <= ChunkSize.Least * 2)) {
      if (bytes < this.valueBytes) this.allocator.loosen(this.valueBytes - bytes);
      this.setBytes(bytes);
      return true;
    }
    let room = bytes;
    if (bytes > slot && bytes < ChunkSize.Value)
      room = Math.min(ChunkSize.Value, bytes + Math.max(ChunkSize.Least, bytes >> 3));
    if (this.move(room, bytes)) return true;
    if (bytes > slot) return false;
    this.setBytes(bytes);
    return true;
  }

  private setBytes(bytes: number): void {
    this.valueBytes = bytes;
    this.region.u32[(this.at + ChunkAt.Bytes) >> 2] = bytes;
  }

  /** Moves the chunk to a slot with room for a value of `room` bytes, of which the first `bytes` count. */
  move(room: number, bytes: number): boolean {
    const { handle, region, at, list } = this;
    const created = this.allocator.allocate(ChunkAt.Value + room);
    if (created === 0) return false;
    const kept = Math.min(bytes, this.valueBytes);
    this.open(created);
    copyBytes(this.region, this.at, region, at, ChunkAt.Value + kept);
    this.setBytes(bytes);
    list.replaced(handle, created);
    return true;
  }
}

export class ChunkList {
  allocator!: Allocator;
  private root: Region;
  private rootAt = 0;
  private readonly packed = new Packed();
  private readonly chunk: Chunk;
  /** Whether the chunk of the cursor is plain. */
  private plain = false;
  /** Whether the cursor is past the last element. */
  ended = true;

  // What read() found.
  region: Region;
  start = 0;
  bytes = 0;

  constructor() {
    this.region = nothing;
    this.root = nothing;
    this.chunk = new Chunk(this);
  }

  /** Writes an empty root over the value of a record of LIST_ROOT_BYTES. */
  static clear(holder: Holder): void {
    const { region, valueStart } = holder;
    region.u8.fill(0, valueStart, valueStart + LIST_ROOT_BYTES);
  }

  /** Opens the list whose root a record holds. The record must not move while it is open. */
  open(holder: Holder): void {
    this.allocator = holder.allocator;
    this.root = holder.region;
    this.rootAt = holder.valueStart;
    this.ended = true;
  }

  get count(): number {
    return this.word(RootAt.Count);
  }

  get chunks(): number {
    return this.word(RootAt.Chunks);
  }

  /** Bytes that a listpack of all elements would have. */
  get listpackBytes(): number {
    return LISTPACK_EMPTY + this.root.view.getFloat64(this.rootAt + RootAt.Listpack, true);
  }

  private word(field: RootAt): number {
    return this.root.view.getUint32(this.rootAt + field, true);
  }

  private setWord(field: RootAt, value: number): void {
    this.root.view.setUint32(this.rootAt + field, value, true);
  }

  /** Counts `entries` more elements, of `listpack` bytes, in the open chunk and the root. */
  private account(entries: number, listpack: number): void {
    const { root, rootAt, chunk } = this;
    const word = (chunk.at + ChunkAt.Listpack) >> 2;
    chunk.region.u32[word] = chunk.region.u32[word]! + listpack;
    this.setWord(RootAt.Count, this.word(RootAt.Count) + entries);
    root.view.setFloat64(
      rootAt + RootAt.Listpack,
      root.view.getFloat64(rootAt + RootAt.Listpack, true) + listpack,
      true,
    );
  }

  // Chunks by handle

  private field(handle: number, field: ChunkAt): number {
    const { u32 } = this.allocator.regionOf(handle);
    return u32[(handle & Handle.GranuleMask) * 2 + (field >> 2)]!;
  }

  private setField(handle: number, field: ChunkAt, value: number): void {
    const { u32 } = this.allocator.regionOf(handle);
    u32[(handle & Handle.GranuleMask) * 2 + (field >> 2)] = value;
  }

  private isPlain(handle: number): boolean {
    return (this.field(handle, ChunkAt.Bytes) & PLAIN) !== 0;
  }

  private bytesOf(handle: number): number {
    return this.field(handle, ChunkAt.Bytes) & ~PLAIN;
  }

  private countOf(handle: number): number {
    return this.isPlain(handle) ? 1 : this.field(handle, ChunkAt.Value) & 0xffff;
  }

  private setNext(handle: number, next: number): void {
    if (handle === 0) this.setWord(RootAt.Head, next);
    else this.setField(handle, ChunkAt.Next, next);
  }

  private setPrevious(handle: number, previous: number): void {
    if (handle === 0) this.setWord(RootAt.Tail, previous);
    else this.setField(handle, ChunkAt.Previous, previous);
  }

  /** Makes the neighbours of a chunk lead to it. */
  relink(handle: number): void {
    this.setNext(this.field(handle, ChunkAt.Previous), handle);
    this.setPrevious(this.field(handle, ChunkAt.Next), handle);
  }

  /** Another chunk, a copy, takes the place of one. */
  replaced(handle: number, created: number): void {
    this.relink(created);
    if (this.word(RootAt.Walk) === handle) this.setWord(RootAt.Walk, created);
    this.allocator.free(handle);
  }

  /** A chunk with room for a value of `room` bytes between two others, its value undefined; 0 when memory is out. */
  private link(previous: number, next: number, room: number): number {
    const created = this.allocator.allocate(ChunkAt.Value + room);
    if (created === 0) return 0;
    this.setField(created, ChunkAt.Previous, previous);
    this.setField(created, ChunkAt.Next, next);
    this.setField(created, ChunkAt.Listpack, 0);
    this.relink(created);
    this.setWord(RootAt.Chunks, this.chunks + 1);
    return created;
  }

  private unlink(handle: number): void {
    const previous = this.field(handle, ChunkAt.Previous);
    const next = this.field(handle, ChunkAt.Next);
    this.setNext(previous, next);
    this.setPrevious(next, previous);
    if (this.word(RootAt.Walk) === handle) this.setWord(RootAt.Walk, next);
    this.setWord(RootAt.Chunks, this.chunks - 1);
    this.allocator.free(handle);
  }

  /** Opens a chunk; the cursor is at its first element. */
  private enter(handle: number): void {
    const { chunk } = this;
    chunk.open(handle);
    this.ended = false;
    this.plain = (chunk.region.u32[(chunk.at + ChunkAt.Bytes) >> 2]! & PLAIN) !== 0;
    if (!this.plain) this.packed.open(chunk);
  }

  /** Opens a chunk with the cursor at its last element; past the end for none. */
  private enterLast(handle: number): void {
    if (handle === 0) {
      this.ended = true;
      return;
    }
    this.enter(handle);
    if (!this.plain) this.packed.seek(this.packed.count - 1);
  }

  // Walking

  /** Moves the cursor to element `index` (0..count), from the nearer end. */
  seek(index: number): void {
    const { count } = this;
    if (index >= count) {
      this.ended = true;
      return;
    }
    let handle: number;
    if (index <= count >>> 1) {
      handle = this.word(RootAt.Head);
      for (;;) {
        const here = this.countOf(handle);
        if (index < here) break;
        index -= here;
        handle = this.field(handle, ChunkAt.Next);
      }
    } else {
      handle = this.word(RootAt.Tail);
      let after = count;
      for (;;) {
        after -= this.countOf(handle);
        if (index >= after) break;
        handle = this.field(handle, ChunkAt.Previous);
      }
      index -= after;
    }
    this.enter(handle);
    if (!this.plain) this.packed.seek(index);
  }

  /** Moves the cursor on. It must be at an element. */
  advance(): void {
    if (!this.plain) {
      const { packed } = this;
      packed.next();
      if (packed.index < packed.count) return;
    }
    this.enterNext();
  }

  private enterNext(): void {
    const next = this.field(this.chunk.handle, ChunkAt.Next);
    if (next === 0) this.ended = true;
    else this.enter(next);
  }

  /** Moves the cursor back: past the last element to the last, and from the first past the last. */
  retreat(): void {
    if (this.ended) this.enterLast(this.word(RootAt.Tail));
    else if (!this.plain && this.packed.index > 0) this.packed.seek(this.packed.index - 1);
    else this.enterLast(this.field(this.chunk.handle, ChunkAt.Previous));
  }

  /** Reads the element under the cursor into region, start and bytes; false past the last. */
  read(): boolean {
    if (this.ended) return false;
    const { packed, chunk } = this;
    if (this.plain) {
      this.region = chunk.region;
      this.start = chunk.valueStart;
      this.bytes = chunk.valueBytes;
      return true;
    }
    packed.read();
    this.region = packed.region;
    this.start = packed.start;
    this.bytes = packed.bytes;
    return true;
  }

  /** Moves the cursor on to the first element from it on that equals the given text. False, and past the last, when
   *  there is none. */
  find(region: Region, start: number, bytes: number): boolean {
    const { packed } = this;
    const packable = bytes <= ChunkSize.Text;
    if (packable) packed.take(region, start, bytes);
    for (; !this.ended; this.enterNext()) {
      if (!this.plain) {
        if (packable && packed.find(1)) return true;
      } else if (
        this.chunk.valueBytes === bytes &&
        equalBytes(this.chunk.region, this.chunk.valueStart, region, start, bytes)
      )
        return true;
    }
    return false;
  }

  // Adding

  /** How many elements a chunk may have. */
  private get mostEntries(): number {
    const { listSize } = limits;
    return listSize < 0 ? PackedLimit.Entries : Math.min(PackedLimit.Entries, Math.max(1, listSize));
  }

  /** Adds an element at an end. False when memory is out. The cursor is undefined afterwards. The text must not lie in this
   *  list. */
  push(atTail: boolean, region: Region, start: number, bytes: number): boolean {
    const { packed } = this;
    const end = this.word(atTail ? RootAt.Tail : RootAt.Head);
    const listpack = entryBytes(region, start, bytes);
    if (end !== 0 && bytes <= ChunkSize.Text) {
      this.enter(end);
      if (!this.plain) {
        packed.take(region, start, bytes);
        if (packed.packedBytes + packed.takenCost <= ChunkSize.Value && packed.count < this.mostEntries) {
          if (atTail) packed.seek(packed.count);
          if (!packed.insert()) return false;
          this.account(1, listpack);
          return true;
        }
      }
    }
    const created = this.begin(atTail ? end : 0, atTail ? 0 : end, region, start, bytes);
    if (created === 0) return false;
    if (end !== 0) this.trim(end);
    return true;
  }

  /** A chunk of one element between two others, which is then open. Its handle, 0 when memory is out. */
  private begin(previous: number, next: number, region: Region, start: number, bytes: number): number {
    const { packed } = this;
    const plain = bytes > ChunkSize.Text;
    const room = plain ? bytes : Math.max(ChunkSize.Least, bytes + PackedLimit.HeaderBytes + 5);
    const created = this.word(RootAt.Count) === 0xffffffff ? 0 : this.link(previous, next, room);
    if (created === 0) return 0;
    this.setField(created, ChunkAt.Bytes, plain ? (bytes | PLAIN) >>> 0 : PackedLimit.HeaderBytes);
    if (!plain) this.setField(created, ChunkAt.Value, 0);
    this.enter(created);
    if (plain) copyBytes(this.chunk.region, this.chunk.valueStart, region, start, bytes);
    else {
      packed.take(region, start, bytes);
      const added = packed.insert();
      assert(added, "a new chunk has room for its element");
    }
    this.account(1, entryBytes(region, start, bytes));
    return created;
  }

  /** Gives back the room at the end of a chunk that was the first or last one until now. */
  private trim(handle: number): void {
    const { chunk } = this;
    chunk.open(handle);
    const slot = this.allocator.slotBytes(handle);
    const bytes = chunk.valueBytes;
    if (!this.isPlain(handle) && slot - ChunkAt.Value - bytes > slot >> 6) chunk.move(bytes, bytes);
  }

  /** Makes one chunk of two neighbours when it has at most so many bytes and entries. Its handle, else 0. */
  private join(left: number, right: number, mostBytes: number, mostEntries: number): number {
    if (this.isPlain(left) || this.isPlain(right)) return 0;
    const leftCount = this.countOf(left);
    const rightCount = this.countOf(right);
    const leftBytes = this.bytesOf(left);
    const rightBytes = this.bytesOf(right);
    const bytes = leftBytes + rightBytes - PackedLimit.HeaderBytes;
    if (bytes > mostBytes || leftCount + rightCount > mostEntries) return 0;
    const created = this.link(this.field(left, ChunkAt.Previous), left, bytes);
    if (created === 0) return 0;
    this.setField(created, ChunkAt.Bytes, bytes);
    this.setField(
      created,
      ChunkAt.Listpack,
      this.field(left, ChunkAt.Listpack) + this.field(right, ChunkAt.Listpack),
    );
    // Packed: count, data, descriptors from the last entry's to the first's.
    const region = this.allocator.regionOf(created);
    const value = ((created & Handle.GranuleMask) << Handle.GranuleShift) + ChunkAt.Value;
    const count = leftCount + rightCount;
    region.u8[value] = count & 255;
    region.u8[value + 1] = count >>> 8;
    let at = value + PackedLimit.HeaderBytes;
    const leftData = leftBytes - PackedLimit.HeaderBytes - leftCount;
    const rightData = rightBytes - PackedLimit.HeaderBytes - rightCount;
    at = this.copyPart(region, at, left, PackedLimit.HeaderBytes, leftData);
    at = this.copyPart(region, at, right, PackedLimit.HeaderBytes, rightData);
    at = this.copyPart(region, at, right, PackedLimit.HeaderBytes + rightData, rightCount);
    this.copyPart(region, at, left, PackedLimit.HeaderBytes + leftData, leftCount);
    this.unlink(left);
    this.unlink(right);
    return created;
  }

  /** Copies a part of a chunk's value and returns the offset behind the copy. */
  private copyPart(region: Region, at: number, source: number, offset: number, bytes: number): number {
    const from = ((source & Handle.GranuleMask) << Handle.GranuleShift) + ChunkAt.Value + offset;
    copyBytes(region, at, this.allocator.regionOf(source), from, bytes);
    return at + bytes;
  }

  /** Cuts the open packed chunk before entry `index`, which is neither the first nor past the last; its first part stays
   *  open. False when memory is out. */
  private cut(index: number): boolean {
    const { packed, chunk } = this;
    const left = chunk.handle;
    const { count } = packed;
    const bytes = chunk.valueBytes;
    const right = this.link(left, this.field(left, ChunkAt.Next), bytes);
    if (right === 0) return false;
    this.setField(right, ChunkAt.Bytes, bytes);
    const region = this.allocator.regionOf(right);
    this.copyPart(
      region,
      ((right & Handle.GranuleMask) << Handle.GranuleShift) + ChunkAt.Value,
      left,
      0,
      bytes,
    );
    const listpack = this.field(left, ChunkAt.Listpack);
    packed.seek(0);
    const first = passedEntryBytes(packed, index);
    this.setField(left, ChunkAt.Listpack, first);
    this.setField(right, ChunkAt.Listpack, listpack - first);
    packed.remove(count - index);
    const kept = chunk.handle;
    this.enter(right);
    packed.remove(index);
    this.enter(kept);
    return true;
  }

  /** Adds an element before the one under the cursor. False when memory is out. The cursor is undefined afterwards. The
   *  text must not lie in this list. */
  insert(region: Region, start: number, bytes: number): boolean {
    if (this.ended) return this.push(true, region, start, bytes);
    const { packed, chunk } = this;
    if (bytes <= ChunkSize.Text && !this.plain) {
      packed.take(region, start, bytes);
      if (packed.packedBytes + packed.takenCost <= ChunkSize.Value && packed.count < this.mostEntries) {
        if (!packed.insert()) return false;
        this.account(1, entryBytes(region, start, bytes));
        return true;
      }
    }
    let previous = this.field(chunk.handle, ChunkAt.Previous);
    let next = chunk.handle;
    if (!this.plain && packed.index > 0) {
      if (!this.cut(packed.index)) return false;
      previous = chunk.handle;
      next = this.field(previous, ChunkAt.Next);
    }
    const created = this.begin(previous, next, region, start, bytes);
    if (created === 0) return false;
    const { mostEntries } = this;
    if (previous !== 0 && this.join(previous, created, ChunkSize.Value, mostEntries) !== 0) return true;
    this.join(created, next, ChunkSize.Value, mostEntries);
    return true;
  }

  /** Puts a text in place of element `index`. False when memory is out. The text must not lie in this list. */
  replace(index: number, region: Region, start: number, bytes: number): boolean {
    const { packed } = this;
    this.seek(index);
    if (!this.plain && bytes <= ChunkSize.Text) {
      packed.read();
      const had = readEntryBytes(packed);
      // What a number took is not known, but a byte of it is sure.
      const gone = packed.numeric ? 1 : packed.bytes + 1;
      packed.take(region, start, bytes);
      if (packed.packedBytes - gone + packed.takenCost <= ChunkSize.Value) {
        if (!packed.replace()) return false;
        this.account(0, entryBytes(region, start, bytes) - had);
        return true;
      }
    }
    if (!this.insert(region, start, bytes)) return false;
    this.seek(index + 1);
    this.remove(1);
    return true;
  }

  // Removing

  /** Removes `howMany` elements from the cursor on, which stays on what follows them. Whole chunks go unread. */
  remove(howMany: number): void {
    const { packed, chunk } = this;
    while (howMany > 0 && !this.ended) {
      const { handle } = chunk;
      const count = this.plain ? 1 : packed.count;
      const index = this.plain ? 0 : packed.index;
      const here = Math.min(howMany, count - index);
      howMany -= here;
      if (here === count) {
        const next = this.field(handle, ChunkAt.Next);
        this.account(-count, -this.field(handle, ChunkAt.Listpack));
        this.unlink(handle);
        if (next === 0) this.ended = true;
        else this.enter(next);
        continue;
      }
      const gone = passedEntryBytes(packed, here);
      packed.seek(index);
      packed.remove(here);
      this.account(-here, -gone);
      if (packed.index === packed.count) this.enterNext();
    }
  }

  /** Joins the chunk of the cursor with a neighbour when they are at most half a chunk together. The cursor stays. With a
   *  limit that counts elements, chunks stay as they are: as Redis's nodes. */
  tidy(): void {
    const { packed, chunk } = this;
    if (this.ended || this.plain || limits.listSize >= 0) return;
    const { index } = packed;
    const half = PackedLimit.Entries >> 1;
    const previous = this.field(chunk.handle, ChunkAt.Previous);
    const next = this.field(chunk.handle, ChunkAt.Next);
    let before = 0;
    let joined = 0;
    if (previous !== 0) {
      before = this.countOf(previous);
      joined = this.join(previous, chunk.handle, ChunkSize.Value >> 1, half);
    }
    if (joined === 0 && next !== 0) {
      before = 0;
      joined = this.join(chunk.handle, next, ChunkSize.Value >> 1, half);
    }
    if (joined === 0) return;
    this.enter(joined);
    packed.seek(before + index);
  }

  // The whole

  /** Handle of the first chunk, 0 for none. */
  get first(): number {
    return this.word(RootAt.Head);
  }

  /** Frees up to `budget` chunks from one on, which nothing leads to any more. The first that is left, 0 for none. */
  freeFrom(handle: number, budget = Number.POSITIVE_INFINITY): number {
    for (; handle !== 0 && budget > 0; budget--) {
      const next = this.field(handle, ChunkAt.Next);
      this.allocator.free(handle);
      handle = next;
    }
    return handle;
  }

  /** Frees up to `budget` chunks of a list that nobody reads any more. True when none is left. */
  freeStep(budget: number): boolean {
    const left = this.freeFrom(this.first, budget);
    this.setWord(RootAt.Head, left);
    return left === 0;
  }

  /** Copies all chunks under the root of `to`. False, and `to` an empty root, when memory is out there. */
  cloneTo(to: Holder): boolean {
    const { allocator } = to;
    const { region, valueStart } = to;
    copyBytes(region, valueStart, this.root, this.rootAt, LIST_ROOT_BYTES);
    region.view.setUint32(valueStart + RootAt.Walk, 0, true);
    let last = 0;
    let first = 0;
    for (let handle = this.word(RootAt.Head); handle !== 0; handle = this.field(handle, ChunkAt.Next)) {
      const bytes = ChunkAt.Value + this.bytesOf(handle);
      const created = allocator.allocate(bytes);
      if (created === 0) {
        for (let made = last; made !== 0; ) {
          const before = allocator.regionOf(made).u32[(made & Handle.GranuleMask) * 2]!;
          allocator.free(made);
          made = before;
        }
        ChunkList.clear(to);
        return false;
      }
      const at = (created & Handle.GranuleMask) << Handle.GranuleShift;
      const into = allocator.regionOf(created);
      const from = (handle & Handle.GranuleMask) << Handle.GranuleShift;
      copyBytes(into, at, this.allocator.regionOf(handle), from, bytes);
      into.u32[at >> 2] = last;
      into.u32[(at + ChunkAt.Next) >> 2] = 0;
      if (last === 0) first = created;
      else allocator.regionOf(last).u32[(last & Handle.GranuleMask) * 2 + 1] = created;
      last = created;
    }
    region.view.setUint32(valueStart + RootAt.Head, first, true);
    region.view.setUint32(valueStart + RootAt.Tail, last, true);
    return true;
  }

  /** Goes on with a walk that moves chunks out of leaving spans, those that have become loose to slots that fit. True at its
   *  end; false when the step is over. */
  relocate(mover: Mover): boolean {
    if (mover.at === 0) {
      mover.at = 1;
      this.setWord(RootAt.Walk, this.first);
    }
    for (;;) {
      const handle = this.word(RootAt.Walk);
      if (handle === 0) return true;
      if (mover.budget <= 0) return false;
      mover.budget -= Cost.Touch;
      const next = this.field(handle, ChunkAt.Next);
      const bytes = ChunkAt.Value + this.bytesOf(handle);
      const slot = this.allocator.slotBytes(handle);
      // The chunks at both ends keep the room they grow into.
      const inner = next !== 0 && this.field(handle, ChunkAt.Previous) !== 0;
      if (mover.displaced(handle, slot, inner ? bytes : slot)) {
        const created = mover.copyAnyway(handle, inner ? bytes : slot);
        if (created !== 0) this.replaced(handle, created);
      }
      this.setWord(RootAt.Walk, next);
    }
  }

  /** Bytes of all chunks. O(chunks). */
  memoryBytes(): number {
    let bytes = 0;
    for (let handle = this.word(RootAt.Head); handle !== 0; handle = this.field(handle, ChunkAt.Next))
      bytes += this.allocator.slotBytes(handle);
    return bytes;
  }

  /** Every invariant: for tests. */
  check(): void {
    const { packed, chunk } = this;
    let previous = 0;
    let chunks = 0;
    let count = 0;
    let listpack = 0;
    const walk = this.word(RootAt.Walk);
    let walked = false;
    for (let handle = this.word(RootAt.Head); handle !== 0; handle = this.field(handle, ChunkAt.Next)) {
      if (handle === walk) walked = true;
      assert(this.field(handle, ChunkAt.Previous) === previous, "links run both ways");
      const slot = this.allocator.slotBytes(handle);
      assert(ChunkAt.Value + this.bytesOf(handle) <= slot, "a chunk's value lies in its slot");
      this.enter(handle);
      let here = 0;
      if (this.plain) {
        assert(chunk.valueBytes > ChunkSize.Text, "a plain element is too long to be packed");
        here = entryBytes(chunk.region, chunk.valueStart, chunk.valueBytes);
      } else {
        packed.check();
        assert(packed.count > 0, "no chunk is empty");
        assert(packed.packedBytes <= ChunkSize.Value, "a chunk's value is not too large");
        here = passedEntryBytes(packed, packed.count);
      }
      assert(here === this.field(handle, ChunkAt.Listpack), "a chunk knows its listpack bytes");
      chunks++;
      count += this.countOf(handle);
      listpack += here;
      previous = handle;
    }
    assert(walk === 0 || walked, "a walk goes on at a chunk of the list");
    assert(previous === this.word(RootAt.Tail), "the last chunk is the tail");
    assert(chunks === this.chunks, "chunks are counted");
    assert(count === this.count, "elements are counted");
    assert(listpack + LISTPACK_EMPTY === this.listpackBytes, "listpack bytes are counted");
    this.ended = true;
  }
}
