// list.ts: the value of a list: packed into the record while small, a root of chunks (chunk-list.ts) when large.
//
// Form.Packed: u24 bytes that a listpack of the elements would have, then the packed elements (packed.ts). Redis decides by
// those bytes what a small list is, so they are counted and not estimated. Form.Pages: the root of a ChunkList.
// A list becomes large as Redis's does, before elements are added: by its listpack bytes, the bytes that come and
// limits.listSize; and beforehand where Packed ends. It becomes small again when all of it is half that limit.
// Redis looks at this when one node is left, of up to the limit: when the front of a list is removed it may come to it
// later than we do. With a limit that counts elements our chunks are as its nodes, and one must be left here too.
//
// A reusable cursor; on the data path: nothing allocates, but a list that changes its form is written anew, O(its size),
// which happens once in as many changes as half the limit has bytes.
// Neighbours: chunk-list.ts, packed.ts, temporary.ts, holder.ts; engine/commands/lists.ts.
import { assert } from "../memory/assert.ts";
import { Form, Type } from "../memory/record.ts";
import { need, Region } from "../memory/region.ts";
import {
  ChunkList,
  entryBytes,
  LIST_ROOT_BYTES,
  LISTPACK_EMPTY,
  passedEntryBytes,
  readEntryBytes,
} from "./chunk-list.ts";
import type { Holder } from "./holder.ts";
import { parseInteger } from "./integer.ts";
import { limits } from "./limits.ts";
import { Packed, PackedLimit } from "./packed.ts";
import { Temporary } from "./temporary.ts";

/** Bytes before the packed elements. */
const SKIP = 3;
const nothing = need(Region.private(4096), "lists that are not open");
/** A list on its way from one form to the other. */
const made = new Temporary();
const madePacked = new Packed();
const madeChunks = new ChunkList();

/** Listpack bytes that a small list may have, also when its count decides. */
function mostBytes(): number {
  const { listSize } = limits;
  return listSize >= 0 ? 8192 : listSize <= -5 ? 65536 : 2048 << -listSize;
}

/** Elements that a small list may have. */
function mostElements(): number {
  const { listSize } = limits;
  return listSize < 0 ? Number.POSITIVE_INFINITY : Math.max(1, listSize);
}

/** What an element counts for when Redis asks whether there is room for it after a move: integers nothing. */
export function movedBytes(region: Region, start: number, bytes: number): number {
  return bytes <= 20 && !Number.isNaN(parseInteger(region.u8, start, bytes)) ? 0 : bytes;
}

export class List {
  /** Value bytes of an empty packed list. */
  static readonly initialBytes = 5;

  /** The element that next() or previous() came to: its bytes, valid until the next change. */
  region: Region = nothing;
  start = 0;
  bytes = 0;

  private holder!: Holder;
  private large = false;
  private readonly packed = new Packed();
  private readonly chunks = new ChunkList();
  /** The cursor stands at an element that next() or previous() has not come to yet. */
  private fresh = false;

  /** Makes a value of `initialBytes` that `create` left undefined an empty list. */
  static clear(holder: Holder): void {
    const { region, valueStart } = holder;
    region.u8.fill(0, valueStart, valueStart + List.initialBytes);
    region.u8[valueStart] = LISTPACK_EMPTY;
  }

  /** Opens the list at a holder. walk() or seek() puts the cursor somewhere. */
  open(holder: Holder): void {
    this.holder = holder;
    this.large = holder.form >= Form.Pages;
    if (this.large) this.chunks.open(holder);
    else this.packed.open(holder, SKIP);
    this.fresh = true;
  }

  get count(): number {
    return this.large ? this.chunks.count : this.packed.count;
  }

  /** Bytes that a listpack of all elements would have. */
  get listpackBytes(): number {
    if (this.large) return this.chunks.listpackBytes;
    const { region, valueStart } = this.holder;
    const { u8 } = region;
    return u8[valueStart]! | (u8[valueStart + 1]! << 8) | (u8[valueStart + 2]! << 16);
  }

  private addListpack(bytes: number): void {
    const sum = this.listpackBytes + bytes;
    const { region, valueStart } = this.holder;
    region.u8[valueStart] = sum;
    region.u8[valueStart + 1] = sum >>> 8;
    region.u8[valueStart + 2] = sum >>> 16;
  }

  // Walking

  /** Puts the cursor before the first element, for next(). */
  walk(): void {
    this.seek(0);
  }

  /** Puts the cursor at element `index` (0..count), to which next() or previous() then comes first. */
  seek(index: number): void {
    if (this.large) this.chunks.seek(index);
    else this.packed.seek(Math.min(index, this.packed.count));
    this.fresh = true;
  }

  /** Moves on to the following element and reads it. False, and the cursor past the last, when there is none. */
  next(): boolean {
    if (this.fresh) this.fresh = false;
    else if (this.large) this.chunks.advance();
    else this.packed.next();
    return this.read();
  }

  /** Moves to the element before and reads it. The caller counts: before the first there is nothing. */
  previous(): boolean {
    if (this.fresh) this.fresh = false;
    else if (this.large) this.chunks.retreat();
    else this.packed.seek(this.packed.index - 1);
    return this.read();
  }

  private read(): boolean {
    const from = this.large ? this.chunks : this.packed;
    if (this.large) {
      if (!this.chunks.read()) return false;
    } else {
      if (this.packed.index >= this.packed.count) return false;
      this.packed.read();
    }
    this.region = from.region;
    this.start = from.start;
    this.bytes = from.bytes;
    return true;
  }

  /** Moves on to the next element that equals a text, from the cursor on if it is fresh. False, and past the last, when
   *  there is none. */
  find(region: Region, start: number, bytes: number): boolean {
    if (!this.fresh) {
      if (this.large) this.chunks.advance();
      else this.packed.next();
    }
    this.fresh = false;
    if (this.large) return this.chunks.find(region, start, bytes);
    if (bytes > PackedLimit.EntryBytes) return false;
    this.packed.take(region, start, bytes);
    return this.packed.find(1);
  }

  // Changing. No text given here may lie in this list.

  /** Makes the list large if it will be with `count` more elements of `bytes` bytes together, or so Redis reckons. False,
   *  and nothing changed, when memory is out. The cursor is undefined afterwards. */
  expect(bytes: number, count: number): boolean {
    if (this.large) return true;
    const fits = this.listpackBytes + bytes <= mostBytes() && this.packed.count + count <= mostElements();
    return fits || this.toPages();
  }

  /** Whether Packed takes another element; else the list must be large, whatever its limit. */
  private takes(bytes: number): boolean {
    const { packed } = this;
    return (
      bytes <= PackedLimit.EntryBytes &&
      packed.count < PackedLimit.Entries &&
      packed.packedBytes + bytes + 5 <= PackedLimit.Bytes
    );
  }

  /** Adds an element at an end. False, and nothing changed, when memory is out. The cursor is undefined afterwards. */
  push(atTail: boolean, region: Region, start: number, bytes: number): boolean {
    if (!this.large) {
      if (this.takes(bytes)) {
        const { packed } = this;
        packed.take(region, start, bytes);
        packed.seek(atTail ? packed.count : 0);
        if (!packed.insert()) return false;
        this.addListpack(entryBytes(region, start, bytes));
        return true;
      }
      if (!this.toPages()) return false;
    }
    return this.chunks.push(atTail, region, start, bytes);
  }

  /** Adds an element before element `index`, 0..count. False, and nothing changed, when memory is out. The cursor is
   *  undefined afterwards. */
  insert(index: number, region: Region, start: number, bytes: number): boolean {
    if (!this.large) {
      if (this.takes(bytes)) {
        const { packed } = this;
        packed.take(region, start, bytes);
        packed.seek(index);
        if (!packed.insert()) return false;
        this.addListpack(entryBytes(region, start, bytes));
        return true;
      }
      if (!this.toPages()) return false;
    }
    this.chunks.seek(index);
    return this.chunks.insert(region, start, bytes);
  }

  /** Adds an element before or after the one that find() came to. False, and nothing changed, when memory is out. */
  insertHere(after: boolean, region: Region, start: number, bytes: number): boolean {
    if (!this.large) return this.insert(this.packed.index + (after ? 1 : 0), region, start, bytes);
    if (after) this.chunks.advance();
    return this.chunks.insert(region, start, bytes);
  }

  /** Puts a text in place of element `index`. False, and nothing changed, when memory is out. */
  replace(index: number, region: Region, start: number, bytes: number): boolean {
    if (!this.large && !this.takes(bytes) && !this.toPages()) return false;
    if (this.large) return this.chunks.replace(index, region, start, bytes);
    const { packed } = this;
    packed.seek(index);
    packed.read();
    const had = readEntryBytes(packed);
    packed.take(region, start, bytes);
    if (!packed.replace()) return false;
    this.addListpack(entryBytes(region, start, bytes) - had);
    return true;
  }

  /** Removes `howMany` elements from the cursor on, which is then fresh on what follows them. */
  remove(howMany: number): void {
    this.fresh = true;
    if (this.large) {
      this.chunks.remove(howMany);
      return;
    }
    const { packed } = this;
    const { index } = packed;
    const gone = passedEntryBytes(packed, howMany);
    packed.seek(index);
    packed.remove(howMany);
    this.addListpack(-gone);
  }

  /** Removes the element that find(), next() or previous() came to. next() and find() go on with what follows it, or, when
   *  `backwards`, previous() with what was before it. */
  removeHere(backwards: boolean): void {
    this.remove(1);
    if (this.large) this.chunks.tidy();
    this.fresh = !backwards;
  }

  /** After elements were removed: makes the list small again if it is half the limit, and if there is memory. */
  shrunk(): void {
    if (!this.large) return;
    const { chunks } = this;
    const small =
      limits.listSize < 0
        ? chunks.listpackBytes <= mostBytes() >> 1
        : chunks.chunks === 1 && chunks.count <= mostElements() >> 1 && chunks.listpackBytes <= mostBytes();
    if (small) this.toPacked();
  }

  // Changing form

  private toPages(): boolean {
    const { holder, packed } = this;
    made.begin(holder.allocator, Type.List, Form.Pages, LIST_ROOT_BYTES);
    ChunkList.clear(made);
    madeChunks.open(made);
    packed.seek(0);
    for (let i = packed.count; i > 0; i--) {
      packed.read();
      if (!madeChunks.push(true, packed.region, packed.start, packed.bytes)) {
        made.drop();
        return false;
      }
      packed.next();
    }
    if (!made.put(holder)) {
      made.drop();
      return false;
    }
    this.open(holder);
    return true;
  }

  private toPacked(): void {
    const { holder, chunks } = this;
    made.begin(holder.allocator, Type.List, Form.Packed, List.initialBytes);
    List.clear(made);
    madePacked.open(made, SKIP);
    chunks.seek(0);
    for (; chunks.read(); chunks.advance()) {
      madePacked.take(chunks.region, chunks.start, chunks.bytes);
      madePacked.seek(madePacked.count);
      const added = madePacked.insert();
      assert(added, "a packed list has room for half a small list");
    }
    const listpack = chunks.listpackBytes - LISTPACK_EMPTY;
    const first = chunks.first;
    if (!made.put(holder)) return;
    chunks.freeFrom(first);
    this.open(holder);
    this.addListpack(listpack);
  }

  /** Every invariant: for tests. */
  check(): void {
    if (this.large) {
      this.chunks.check();
      return;
    }
    const { packed } = this;
    packed.check();
    packed.seek(0);
    assert(
      LISTPACK_EMPTY + passedEntryBytes(packed, packed.count) === this.listpackBytes,
      "a list knows its listpack bytes",
    );
  }
}
