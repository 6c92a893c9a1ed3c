// shard.ts: one part of the keyspace: its segments, allocator, index and deadlines, behind one lock.
//
// All state lives in the segments, the register's in its own, so every worker has a Shard object over the same bytes.
// Whoever holds the lock may call anything; with one worker nobody locks. Without the lock only `find` and the reading
// methods may be called, with `exclusive` false, and what they said counts only if the lock's version is unchanged
// afterwards.
//
// Superblock words from Super.Shard on: 16 roots of 4 words (KeyIndex), then Field.
// Invariants: a key past its deadline is never returned; every record with a deadline is counted in its database and
// known to its leaf; a refused write (false) changed nothing.
// A string may be compressed (engine/compress). `find` makes it plain, in place; `read` puts a plain copy into a scratch
// record and leaves the cursor there; `look` leaves it as it is, for those who do not want the value.
// On the data path: find and the setters allocate nothing. Cursor style: `find` and the setters leave `region` and `at`
// at the record, valid until the next change to this shard.
// Neighbours: engine/index and engine/memory below; engine/commands calls it; engine/worker locks it.
import { Codec, StoredError, StoredLimit } from "../compress/codec.ts";
import { Dictionaries, DictionaryLimit, Of, Row } from "../compress/dictionaries.ts";
import { DATABASES, KeyIndex, POSITIONS, Root } from "../index/key-index.ts";
import { Register } from "../index/register.ts";
import { Allocator, Handle } from "../memory/allocator.ts";
import { assert } from "../memory/assert.ts";
import { Key } from "../memory/key.ts";
import { lock, readBegin, readValid, unlock } from "../memory/lock.ts";
import {
  COMPRESSED,
  deadlineAt,
  dueAt,
  Encoding,
  encodingAt,
  flagsAt,
  flagsFor,
  hasFieldDeadlinesAt,
  hasPagesAt,
  headerBytes,
  keyBytesAt,
  keyStartAt,
  PagesRoot,
  recordBytesAt,
  setDeadlineAt,
  setKindAt,
  setValueBytesAt,
  Type,
  typeAt,
  valueBytesAt,
  valueStartAt,
  writeHeader,
} from "../memory/record.ts";
import { copyBytes, equalBytes, type Region } from "../memory/region.ts";
import { type Segments, Super } from "../memory/segments.ts";
import { Hash } from "../types/hash.ts";
import { clonePages, freePages, pageBytes } from "../types/pages.ts";
import { Clearing, Force } from "./clearing.ts";
import type { Clock } from "./clock.ts";
import { Defrag } from "./defrag.ts";
import { Attention, Event, type EventSink } from "./events.ts";
import { Eviction } from "./eviction.ts";
import { Place } from "./place.ts";
import { Access, samples } from "./samples.ts";

export { DATABASES };

/** i32 words of the superblock, after the roots (640 + 16 * 4) and the index's count of changes. */
const enum Field {
  Expired = 705,
  ExpireCursorDb = 706,
  ExpireCursorEntry = 707,
  /** Handle of the first record whose pages are to be freed. */
  Discarded = 708,
  /** 1 when a field of some hash may have a deadline, 2 when a whole sweep since has met no leaf with one, 0 for none. */
  FieldDeadlines = 709,
  /** Attention bits: why events of keys are told to the sink; 0 for no reason. */
  Attention = 710,
  /** Clients blocked in a move whose source is here and whose destination is in another shard. */
  Movers = 711,
  Evicted = 712,
}
assert(Field.Expired === Super.Shard + DATABASES * Root.Words + 1, "the shard's fields follow its roots");

/** Blocks of a removed collection that are freed at once: a hash of a thousand fields is done with that. */
const RECLAIM_AT_ONCE = 64;

/** What a command that needs a value plain gets when there is no memory for it: nothing was changed. */
export class MemoryError extends Error {}

/** What the index and rounding add to a record, about. */
const ITEM_BYTES = 12;
/** How often the pages of a large collection are measured for a sample, and when they last were. */
const MEASURE_MS = 100;
let measuredMs = 0;

/** The hash whose fields are reaped. */
const hash = new Hash();

export class Shard {
  readonly allocator: Allocator;
  readonly index: KeyIndex;
  readonly defrag: Defrag;
  readonly clearing: Clearing;
  /** Which key goes when memory is full. Follows keys once it is told to. */
  readonly eviction: Eviction;
  /** Who watches, tracks or waits for a key; Attention.Names is set while somebody does. */
  readonly register: Register;
  private readonly superblock: Region;
  private version = 0;
  /** How often `lock` was called by a holder: EXEC holds its shards, and what it runs may lock one of them again. */
  private depth = 0;
  /** A read without the lock has met what only its holder may do something about: it is to be made again with it. Cleared
   *  by who asks. */
  needsLock = false;
  /** Who hears of events; set by the worker. */
  sink: EventSink | null = null;
  /** Whether this worker may change the shard now: it holds the lock, or is the only worker. */
  exclusive: boolean;
  /** The record `find` or a setter ended at: handle, region and byte offset. */
  handle = 0;
  region: Region;
  at = 0;
  /** A record whose pages are freed or made, and one whose pages are copied. */
  private readonly place: Place;
  private readonly source: Place;
  private readonly scratch: number[] = [];
  /** Where this shard counts its compressed values (engine/compress/dictionaries.ts). */
  private readonly figures: Float64Array;
  private readonly row: number;
  /** The key of a record met on a walk. */
  private readonly walkKey: Key;

  constructor(
    readonly segments: Segments,
    registerSegments: Segments,
    readonly clock: Clock,
    private readonly alone: boolean,
    /** This thread's, for all its shards. */
    readonly codec = new Codec(Dictionaries.create(1)),
    number = 0,
    chance: () => number = Math.random,
  ) {
    this.superblock = segments.at(0);
    this.figures = codec.dictionaries.region.f64;
    this.row = codec.dictionaries.rowOf(number);
    this.region = this.superblock;
    this.allocator = new Allocator(segments, true);
    this.index = new KeyIndex(this.allocator, this.superblock, Super.Shard);
    this.register = new Register(registerSegments, this.superblock.i32, Field.Attention, Attention.Names);
    this.exclusive = alone;
    this.walkKey = new Key(this.superblock);
    this.place = new Place(this);
    this.source = new Place(this);
    this.defrag = new Defrag(this);
    this.clearing = new Clearing(this);
    this.eviction = new Eviction(this.allocator, this.superblock, this.index, clock, chance);
  }

  // Lock

  lock(): void {
    if (this.alone) return;
    if (this.exclusive) {
      this.depth++;
      return;
    }
    this.version = lock(this.superblock, Super.LockVersion);
    this.exclusive = true;
  }

  unlock(): void {
    if (this.alone) return;
    if (this.depth > 0) {
      this.depth--;
      return;
    }
    this.exclusive = false;
    unlock(this.superblock, Super.LockVersion, this.version);
  }

  /** A version to read under, or -1 while somebody writes. */
  readBegin(): number {
    return readBegin(this.superblock, Super.LockVersion);
  }

  readValid(version: number): boolean {
    return readValid(this.superblock, Super.LockVersion, version);
  }

  // Events

  /** Tells of what happened to a key, after it, under the lock. Costs one load while nobody listens. */
  notify(event: Event, db: number, key: Key): void {
    if (this.superblock.i32[Field.Attention] !== 0) this.sink?.keyEvent(this, event, db, key);
  }

  /** Bits of Attention. */
  get attention(): number {
    return this.superblock.i32[Field.Attention]!;
  }

  /** Sets or clears a bit of Attention, under the lock; Names is the register's own to set. */
  setAttention(bit: Attention, on: boolean): void {
    const { i32 } = this.superblock;
    i32[Field.Attention] = on ? i32[Field.Attention]! | bit : i32[Field.Attention]! & ~bit;
  }

  /** Clients blocked in a move from a key here to one of another shard; changed under the lock. */
  get movers(): number {
    return this.superblock.i32[Field.Movers]!;
  }

  set movers(count: number) {
    this.superblock.i32[Field.Movers] = count;
  }

  // Reading

  /** The handle of a live key's record, 0 when there is none; a string there is plain. Removes the key if it is past its
   *  deadline and this worker may. */
  find(db: number, key: Key): number {
    const handle = this.look(db, key);
    return handle !== 0 && this.region.u8[this.at] === COMPRESSED ? this.thaw(handle, true) : handle;
  }

  /** The same for who only reads one value, and that before the next is looked for: where the string is compressed, the
   *  cursor is at a copy, and the handle may be used for nothing. */
  read(db: number, key: Key): number {
    const handle = this.look(db, key);
    return handle !== 0 && this.region.u8[this.at] === COMPRESSED ? this.thaw(handle, false) : handle;
  }

  /** The same for who does not want the value: a string may be compressed. */
  look(db: number, key: Key): number {
    const handle = this.index.find(db, key);
    if (handle === 0) return 0;
    const region = this.segments.at(handle >>> Handle.SegmentShift);
    const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
    this.handle = handle;
    this.region = region;
    this.at = at;
    const deadline = deadlineAt(region, at);
    if (deadline === 0 || deadline > this.clock.nowMs) return handle;
    if (this.exclusive) this.expireFound(db, handle, key);
    else if (this.superblock.i32[Field.Attention] !== 0) this.needsLock = true; // somebody is to be told
    return 0;
  }

  /** The key that was just found was asked for: it stays longer when memory is full. */
  touch(db: number, key: Key): void {
    this.eviction.hit(db, key, this.exclusive);
  }

  /** Reads a word of each of the first two cache lines of every record in `handles` [from, to) (KeyIndex.guess). */
  touchRecords(handles: Int32Array, from: number, to: number): number {
    let touched = 0;
    for (let i = from; i < to; i++) {
      const handle = handles[i]!;
      const { i32 } = this.segments.at(handle >>> Handle.SegmentShift);
      const word = (handle & Handle.GranuleMask) << 1;
      touched ^= i32[word]! ^ i32[word + 16]!;
    }
    return touched;
  }

  /** Sets `region` and `at` to a handle's record. */
  open(handle: number): void {
    this.handle = handle;
    this.region = this.segments.at(handle >>> Handle.SegmentShift);
    this.at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
  }

  /** The same, for who reads one value before the next: of a compressed string, at a copy. */
  openPlain(handle: number): void {
    this.open(handle);
    if (this.region.u8[this.at] === COMPRESSED) this.copyPlain();
  }

  type(): number {
    return typeAt(this.region, this.at);
  }

  encoding(): number {
    return encodingAt(this.region, this.at);
  }

  /** ms since the epoch, 0 for never. */
  deadline(): number {
    return deadlineAt(this.region, this.at);
  }

  keyStart(): number {
    return keyStartAt(this.region, this.at);
  }

  keyBytes(): number {
    return keyBytesAt(this.region, this.at);
  }

  valueStart(): number {
    return valueStartAt(this.region, this.at);
  }

  valueBytes(): number {
    return valueBytesAt(this.region, this.at);
  }

  /** Length and mark of the string at the cursor, compressed or not. */
  stringBytes(): number {
    return this.region.u8[this.at] === COMPRESSED ? this.openStored().rawBytes : this.valueBytes();
  }

  stringEncoding(): Encoding {
    if (this.region.u8[this.at] !== COMPRESSED) return this.encoding();
    return this.openStored().edited ? Encoding.Edited : Encoding.Bytes;
  }

  keys(db: number): number {
    return this.index.keys(db);
  }

  /** Bytes this shard holds from the system for its data and its register. */
  get usedBytes(): number {
    return this.allocator.committedBytes + this.register.usedBytes;
  }

  get expiredKeys(): number {
    return this.superblock.i32[Field.Expired]!;
  }

  get evictedKeys(): number {
    return this.superblock.i32[Field.Evicted]!;
  }

  /** Begins to count expired and evicted keys anew. */
  clearCounts(): void {
    this.superblock.i32[Field.Expired] = 0;
    this.superblock.i32[Field.Evicted] = 0;
  }

  // Writing

  /** Stores a string, whatever was at the key before. `deadlineMs` 0 for never. False when memory is out. The value
   *  may lie anywhere but in this shard's own record of the key. */
  setString(
    db: number,
    key: Key,
    source: Region,
    start: number,
    bytes: number,
    encoding: Encoding,
    deadlineMs: number,
  ): boolean {
    const handle = this.index.find(db, key);
    const value = this.make(db, key, handle, Type.String | (encoding << 4), bytes, deadlineMs, bytes);
    if (value < 0) return false;
    copyBytes(this.region, value, source, start, bytes);
    return true;
  }

  /** Puts a record with an undefined value of `bytes` bytes under the key, whatever was there; the cursor is at it. False,
   *  and what was there still is, when memory is out. */
  create(db: number, key: Key, kind: number, bytes: number, deadlineMs: number): boolean {
    return this.make(db, key, this.index.find(db, key), kind, bytes, deadlineMs, bytes) >= 0;
  }

  /** Makes the value at a live `handle` (from `find`, the cursor at it) `bytes` long, keeping what fits of it and its
   *  deadline. With `spare`, a record that must move gets room to grow further. False when memory is out, which it never is
   *  for fewer bytes; the cursor follows the record. */
  resizeValue(db: number, key: Key, handle: number, bytes: number, spare: boolean): boolean {
    const { region, at } = this;
    const kept = Math.min(valueBytesAt(region, at), bytes);
    const flags = flagsAt(region, at);
    const deadlineMs = deadlineAt(region, at);
    const keyBytes = keyBytesAt(region, at);
    const total = headerBytes(flags) + keyBytes + bytes;
    const slot = this.allocator.slotBytes(handle);
    // In place, unless most of the slot would be left empty. A shorter value may keep the width of its length.
    if (total <= slot && total >= slot >> 1 && flagsFor(keyBytes, bytes, deadlineMs) === flags) {
      const had = valueBytesAt(region, at);
      if (bytes < had) this.allocator.loosen(had - bytes);
      setValueBytesAt(region, at, bytes);
      return true;
    }
    const from = valueStartAt(region, at);
    const kind = region.u8[at]!;
    // Strings that are appended to grow by large steps; packed collections stay dense.
    const share = (kind & 15) === Type.String ? Math.min(bytes >> 2, 1 << 20) : bytes >> 4;
    const created = this.allocator.allocate(
      headerBytes(flagsFor(keyBytes, bytes, deadlineMs)) + keyBytes + bytes + (spare ? share : 0),
    );
    if (created === 0) {
      if (kept < bytes) return false;
      setValueBytesAt(region, at, bytes);
      return true;
    }
    this.open(created);
    const value = writeHeader(
      this.region,
      this.at,
      kind,
      key.region,
      key.start,
      key.bytes,
      bytes,
      deadlineMs,
    );
    copyBytes(this.region, value, region, from, kept);
    this.index.find(db, key);
    this.index.replaceFound(created);
    this.allocator.free(handle);
    return true;
  }

  /** Gives the string at the cursor another encoding mark. */
  setEncoding(encoding: Encoding): void {
    setKindAt(this.region, this.at, typeAt(this.region, this.at), encoding);
  }

  /** Changes when the live record at `handle` (from `find` or `look`) is due; 0 for never. False when memory is out. */
  setDeadline(db: number, key: Key, handle: number, deadlineMs: number): boolean {
    const { region, at } = this;
    const old = deadlineAt(region, at);
    if (old === 0 && deadlineMs === 0) return true;
    if (old !== 0 && deadlineMs !== 0) {
      setDeadlineAt(region, at, deadlineMs);
      this.index.noteDeadline(deadlineMs);
      return true;
    }
    const bytes = valueBytesAt(region, at);
    const from = valueStartAt(region, at);
    const kind = region.u8[at]!;
    const flags = flagsFor(key.bytes, bytes, deadlineMs);
    const created = this.allocator.allocate(headerBytes(flags) + key.bytes + bytes);
    if (created === 0) return false;
    this.open(created);
    const value = writeHeader(
      this.region,
      this.at,
      kind,
      key.region,
      key.start,
      key.bytes,
      bytes,
      deadlineMs,
    );
    copyBytes(this.region, value, region, from, bytes);
    this.index.find(db, key);
    this.index.replaceFound(created);
    this.index.addDeadlines(db, deadlineMs !== 0 ? 1 : -1);
    if (deadlineMs !== 0) {
      this.index.noteDeadline(deadlineMs);
      this.eviction.deadlineGiven(db, key);
    }
    this.allocator.free(handle);
    return true;
  }

  /** Tells the sweep that something of the live record of the key, itself or a field, is due at `deadlineMs`. */
  noteDue(db: number, key: Key, deadlineMs: number): void {
    this.superblock.i32[Field.FieldDeadlines] = 1;
    this.index.find(db, key);
    this.index.noteDeadline(deadlineMs);
  }

  /** Removes a key that is there, past its deadline or not. */
  removeHandle(db: number, key: Key): void {
    const handle = this.index.find(db, key);
    assert(handle !== 0, "the key is there");
    this.open(handle);
    this.removeFound(db, handle);
  }

  /** Removes the key that memory is best freed of, and tells of it. False when none may go. */
  evict(): boolean {
    const handle = this.eviction.victim();
    if (handle !== 0) this.letGo(handle);
    return handle !== 0;
  }

  /** Takes the record that the index has found from where it lies. It moves, where that takes no page, and may be evicted as
   *  `force` says. False when it stays, as what has pages does. */
  dislodge(db: number, handle: number, force: Force): boolean {
    const { allocator, eviction } = this;
    const region = allocator.regionOf(handle);
    const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
    if (hasPagesAt(region, at)) return false;
    let victim = force === Force.Shed ? eviction.victimAt(db, handle, false) : 0;
    if (victim === 0) {
      const bytes = recordBytesAt(region, at);
      const created = allocator.hasSlot(bytes) ? this.defrag.mover.copyAnyway(handle, bytes) : 0;
      if (created !== 0) {
        this.index.replaceFound(created);
        allocator.free(handle);
        return true;
      }
      if (force !== Force.Move) victim = eviction.victimAt(db, handle, force === Force.Shed);
    }
    if (victim !== 0) this.letGo(victim);
    return victim !== 0;
  }

  /** Removes the victim, which is what the index has found. */
  private letGo(handle: number): void {
    const { victimDb, victimKey } = this.eviction;
    const { i32 } = this.superblock;
    i32[Field.Evicted] = i32[Field.Evicted]! + 1;
    if (i32[Field.Attention] !== 0) {
      this.notify(Event.Evicted, victimDb, victimKey); // its key lies in the record that goes
      this.index.find(victimDb, victimKey);
    }
    this.open(handle);
    this.removeFound(victimDb, handle);
  }

  /** Removes a live key. False when there is none. */
  remove(db: number, key: Key): boolean {
    const handle = this.look(db, key);
    if (handle === 0) return false;
    this.noteRemoved(db, key);
    this.removeFound(db, handle);
    return true;
  }

  /** Copies the live record of `handle` in `source`, this shard or another, under `key`, replacing what is there. With
   *  `move`, the record is on its way: within one shard its pages then go along instead of being copied, and `release` is
   *  to follow. What is due under `key` must have been looked for before, or it goes without a word. False when memory is
   *  out. */
  adopt(db: number, key: Key, source: Shard, handle: number, move: boolean): boolean {
    source.open(handle);
    const { region: from, at } = source;
    const bytes = valueBytesAt(from, at);
    const kind = from.u8[at]!;
    const pages = hasPagesAt(from, at);
    const deadlineMs = deadlineAt(from, at);
    // The key's own deadline is noted where the record is made.
    const due = hasFieldDeadlinesAt(from, at) ? dueAt(from, at) : 0;
    const there = this.index.find(db, key);
    if (pages && !(move && source === this)) {
      // Pages first: under a record of this key that does not replace what is there before all of it could be copied.
      return this.adoptPages(db, key, source, handle, kind, bytes, deadlineMs, due);
    }
    if (kind === COMPRESSED && key.bytes > StoredLimit.KeyBytes)
      return this.adoptPlain(db, key, source, handle, deadlineMs);
    const value = this.make(db, key, there, kind, bytes, deadlineMs, bytes);
    if (value < 0) return false;
    copyBytes(this.region, value, from, valueStartAt(from, at), bytes);
    if (kind === COMPRESSED) this.countStored(1);
    if (due !== 0) this.noteDue(db, key, due);
    return true;
  }

  /** adopt for a compressed string that is to have a key too long for one: it becomes plain. */
  private adoptPlain(db: number, key: Key, source: Shard, handle: number, deadlineMs: number): boolean {
    const bytes = source.stringBytes();
    const encoding = source.stringEncoding();
    const there = this.index.find(db, key);
    const value = this.make(db, key, there, Type.String | (encoding << 4), bytes, deadlineMs, bytes);
    if (value < 0) return false;
    const { region, at } = this;
    source.open(handle);
    source.openStored().decompress(region, value);
    this.region = region;
    this.at = at;
    return true;
  }

  private adoptPages(
    db: number,
    key: Key,
    source: Shard,
    handle: number,
    kind: number,
    bytes: number,
    deadlineMs: number,
    due: number,
  ): boolean {
    const { allocator } = this;
    const flags = flagsFor(key.bytes, bytes, deadlineMs);
    const created = allocator.allocate(headerBytes(flags) + key.bytes + bytes);
    if (created === 0) return false;
    this.open(created);
    writeHeader(this.region, this.at, kind, key.region, key.start, key.bytes, bytes, deadlineMs);
    const from = this.source;
    from.openHandle(source, handle);
    const to = this.place;
    to.openHandle(this, created);
    if (!clonePages(kind & 15, from, to) || !this.install(db, key, created)) {
      to.openHandle(this, created);
      while (!freePages(kind & 15, to, 1 << 20));
      allocator.free(created);
      return false;
    }
    if (deadlineMs !== 0) {
      this.index.addDeadlines(db, 1);
      this.index.find(db, key);
      this.index.noteDeadline(deadlineMs);
    }
    if (due !== 0) this.noteDue(db, key, due);
    this.open(created);
    return true;
  }

  /** Makes a whole record the key's, in place of what is there. False, and nothing changed, when memory is out. */
  private install(db: number, key: Key, created: number): boolean {
    const there = this.index.find(db, key);
    if ((key.high & 0xffff) < samples.below) this.noteFound(Access.Write, db, key, created);
    if (there === 0) {
      if (!this.index.insert(db, key, created)) return false;
      this.eviction.inserted(db, key);
      this.notify(Event.New, db, key);
      return true;
    }
    this.open(there);
    if (this.deadline() !== 0) this.index.addDeadlines(db, -1);
    this.index.replaceFound(created);
    this.discard(there);
    return true;
  }

  /** Removes the record of a key whose value `adopt` has moved. Its pages, if it has any and they moved within this
   *  shard, are another record's now. */
  release(db: number, key: Key, pagesToo: boolean): void {
    this.noteRemoved(db, key);
    const handle = this.index.find(db, key);
    this.open(handle);
    if (this.deadline() !== 0) this.index.addDeadlines(db, -1);
    this.index.removeFound(db);
    if (pagesToo) this.discard(handle);
    else {
      if (this.region.u8[this.at] === COMPRESSED) this.countStored(-1);
      this.allocator.free(handle);
    }
  }

  // Compressed strings

  /** Puts the stored form of a string (`source` from `storedStart` on) in its place, if its record is still the one at
   *  `handle` and it is still what the form was made of (`source` from `rawStart` on). Whether it was. */
  compress(
    db: number,
    key: Key,
    handle: number,
    source: Region,
    rawStart: number,
    rawBytes: number,
    storedStart: number,
    storedBytes: number,
  ): boolean {
    const swapped = this.swapIn(db, key, handle, source, rawStart, rawBytes, storedStart, storedBytes);
    this.count(swapped ? Row.Swapped : Row.Rejected, 1);
    return swapped;
  }

  private swapIn(
    db: number,
    key: Key,
    handle: number,
    source: Region,
    rawStart: number,
    rawBytes: number,
    storedStart: number,
    storedBytes: number,
  ): boolean {
    if (this.index.find(db, key) !== handle) return false;
    this.open(handle);
    const { region, at } = this;
    const edited = region.u8[at] === (Type.String | (Encoding.Edited << 4));
    if (!edited && region.u8[at] !== (Type.String | (Encoding.Bytes << 4))) return false;
    if (valueBytesAt(region, at) !== rawBytes) return false;
    if (!equalBytes(region, valueStartAt(region, at), source, rawStart, rawBytes)) return false;
    const { codec } = this;
    codec.open(source, storedStart, storedBytes);
    if (codec.edited !== edited || codec.rawBytes !== rawBytes) return false;
    const deadlineMs = deadlineAt(region, at);
    const flags = flagsFor(key.bytes, storedBytes, deadlineMs);
    const created = this.allocator.allocate(headerBytes(flags) + key.bytes + storedBytes);
    if (created === 0) return false;
    this.open(created);
    const value = writeHeader(
      this.region,
      this.at,
      COMPRESSED,
      key.region,
      key.start,
      key.bytes,
      storedBytes,
      deadlineMs,
    );
    copyBytes(this.region, value, source, storedStart, storedBytes);
    this.index.replaceFound(created);
    this.allocator.free(handle);
    this.countStored(1);
    return true;
  }

  /** Makes the compressed string at the cursor, which `look` just found, readable: in its place when it is to stay so
   *  (`kept`) or was read before in this pass, else in the scratch record. Its handle. Without the lock it is not read at
   *  all: 0, and `needsLock`. */
  private thaw(handle: number, kept: boolean): number {
    const { codec, region, at, allocator } = this;
    if (!this.exclusive) {
      this.needsLock = true;
      return 0;
    }
    this.openStored();
    const { rawBytes, edited } = codec;
    const kind = Type.String | ((edited ? Encoding.Edited : Encoding.Bytes) << 4);
    const keyBytes = keyBytesAt(region, at);
    const keyStart = keyStartAt(region, at);
    const deadlineMs = deadlineAt(region, at);
    this.count(Row.Decompressed, 1);
    const stays = kept || codec.touch();
    const total = headerBytes(flagsFor(keyBytes, rawBytes, deadlineMs)) + keyBytes + rawBytes;
    const created = stays ? allocator.allocate(total) : 0;
    if (created === 0) {
      if (kept) throw new MemoryError("no memory for a value that was compressed");
      this.copyPlain();
      return handle;
    }
    this.open(created);
    const value = writeHeader(this.region, this.at, kind, region, keyStart, keyBytes, rawBytes, deadlineMs);
    try {
      codec.decompress(this.region, value);
    } catch (error) {
      allocator.free(created);
      throw error;
    }
    this.index.replaceFound(created);
    this.open(handle);
    this.countStored(-1);
    allocator.free(handle);
    this.open(created);
    this.count(Row.Thawed, 1);
    return created;
  }

  /** Moves the cursor from a compressed string to a plain copy of its record. */
  private copyPlain(): void {
    const { region, at } = this;
    const { scratch, rawBytes, edited } = this.openStored();
    const kind = Type.String | ((edited ? Encoding.Edited : Encoding.Bytes) << 4);
    const keyBytes = keyBytesAt(region, at);
    if (keyBytes > StoredLimit.KeyBytes) throw new StoredError("the key is too long");
    const deadlineMs = deadlineAt(region, at);
    const value = writeHeader(
      scratch,
      0,
      kind,
      region,
      keyStartAt(region, at),
      keyBytes,
      rawBytes,
      deadlineMs,
    );
    this.codec.decompress(scratch, value);
    this.region = scratch;
    this.at = 0;
  }

  /** The codec, opened at the compressed string at the cursor. */
  private openStored(): Codec {
    const { codec, region, at } = this;
    codec.open(region, valueStartAt(region, at), valueBytesAt(region, at));
    return codec;
  }

  /** Counts the compressed string at the cursor in (1) or out (-1). */
  private countStored(change: number): void {
    const { rawBytes, dictionary } = this.openStored();
    const figure = Row.First + dictionary * Of.Width;
    this.count(figure + Of.Values, change);
    this.count(figure + Of.RawBytes, change * rawBytes);
    this.count(figure + Of.StoredBytes, change * valueBytesAt(this.region, this.at));
  }

  private count(figure: number, change: number): void {
    const { figures, row } = this;
    figures[row + figure] = figures[row + figure]! + change;
  }

  // Freeing

  /** Frees a record that nothing leads to any more. The pages of a large one are freed in steps: some now, the rest by
   *  reclaimStep. */
  private discard(handle: number): void {
    this.open(handle);
    if (!hasPagesAt(this.region, this.at)) {
      if (this.region.u8[this.at] === COMPRESSED) this.countStored(-1);
      this.allocator.free(handle);
      return;
    }
    const { i32 } = this.superblock;
    this.region.view.setInt32(this.valueStart() + PagesRoot.Next, i32[Field.Discarded]!, true);
    i32[Field.Discarded] = handle | 0;
    this.reclaimStep(RECLAIM_AT_ONCE);
  }

  /** Whether there is work for reclaimStep. */
  get reclaimable(): boolean {
    return this.superblock.i32[Field.Discarded] !== 0;
  }

  /** Frees about `blocks` pages of removed collections. */
  reclaimStep(blocks: number): void {
    const { i32 } = this.superblock;
    const handle = i32[Field.Discarded]! >>> 0;
    if (handle === 0) return;
    const place = this.place;
    const { region, at, handle: kept } = this;
    place.openHandle(this, handle);
    const done = freePages(place.type, place, blocks);
    if (done) {
      i32[Field.Discarded] = place.region.view.getInt32(place.valueStart + PagesRoot.Next, true);
      this.allocator.free(handle);
    }
    this.handle = kept;
    this.region = region;
    this.at = at;
  }

  /** Room for a record of the key in place of `handle` (0: none), cursor set. The offset of its value, or -1. */
  private make(
    db: number,
    key: Key,
    handle: number,
    kind: number,
    valueBytes: number,
    deadlineMs: number,
    room: number,
  ): number {
    const { allocator, index } = this;
    const flags = flagsFor(key.bytes, valueBytes, deadlineMs);
    const total = headerBytes(flags) + key.bytes + room;
    if ((key.high & 0xffff) < samples.below) this.note(Access.Write, db, key, total);
    if (handle !== 0) {
      const slot = allocator.slotBytes(handle);
      this.open(handle);
      const { region, at } = this;
      const old = deadlineAt(region, at);
      const had = old !== 0;
      if (total <= slot && total >= slot >> 1 && !hasPagesAt(region, at)) {
        // In place: the common overwrite.
        if (region.u8[at] === COMPRESSED) this.countStored(-1);
        const before = recordBytesAt(region, at);
        if (total < before) allocator.loosen(before - total);
        if (had !== (deadlineMs !== 0)) index.addDeadlines(db, had ? -1 : 1);
        if (deadlineMs !== 0) index.noteDeadline(deadlineMs);
        this.overwritten(db, key, !had && deadlineMs !== 0);
        if (had) this.notifyReplaced(db, key, old);
        if (region.u8[at + 1] === flags) {
          region.u8[at] = kind;
          setValueBytesAt(region, at, valueBytes);
          if (deadlineMs !== 0) setDeadlineAt(region, at, deadlineMs);
          return at + headerBytes(flags) + key.bytes;
        }
        return writeHeader(region, at, kind, key.region, key.start, key.bytes, valueBytes, deadlineMs);
      }
      const created = allocator.allocate(total);
      if (created === 0) return -1;
      index.replaceFound(created);
      this.overwritten(db, key, !had && deadlineMs !== 0);
      this.discard(handle);
      this.open(created);
      if (had !== (deadlineMs !== 0)) index.addDeadlines(db, had ? -1 : 1);
      if (had) this.notifyReplaced(db, key, old);
    } else {
      const created = allocator.allocate(total);
      if (created === 0) return -1;
      this.open(created);
      // The index reads the key's bytes only when it compares, so the record may be written after.
      if (!index.insert(db, key, created)) {
        allocator.free(created);
        return -1;
      }
      this.eviction.inserted(db, key);
      this.notify(Event.New, db, key);
      if (deadlineMs !== 0) index.addDeadlines(db, 1);
    }
    if (deadlineMs !== 0) index.noteDeadline(deadlineMs);
    return writeHeader(this.region, this.at, kind, key.region, key.start, key.bytes, valueBytes, deadlineMs);
  }

  /** A key has got another value; it is the one that the index has found. `due`: and its first deadline. */
  private overwritten(db: number, key: Key, due: boolean): void {
    this.eviction.hit(db, key, true);
    if (due) this.eviction.deadlineGiven(db, key);
  }

  private removeFound(db: number, handle: number): void {
    if (deadlineAt(this.region, this.at) !== 0) this.index.addDeadlines(db, -1);
    this.index.removeFound(db);
    this.discard(handle);
  }

  /** `key` may lie in the record that goes: then it is kept as long as the sink needs it. */
  private expireFound(db: number, handle: number, key: Key): void {
    this.notifyExpired(db, key);
    this.removeFound(db, handle);
  }

  private notifyExpired(db: number, key: Key): void {
    this.superblock.i32[Field.Expired] = this.superblock.i32[Field.Expired]! + 1;
    this.noteRemoved(db, key);
    this.notify(Event.Expired, db, key);
  }

  /** Another record took the place of one that was due at `deadlineMs`: if it is past, the key had expired and is new. */
  private notifyReplaced(db: number, key: Key, deadlineMs: number): void {
    if (deadlineMs === 0 || deadlineMs > this.clock.nowMs) return;
    this.notifyExpired(db, key);
    this.notify(Event.New, db, key);
  }

  // Samples of accesses (samples.ts)

  private note(access: Access, db: number, key: Key, bytes: number): void {
    samples.note(access, db, key.high, key.low, bytes === 0 ? 0 : bytes + ITEM_BYTES, this.clock.nowMs);
  }

  /** Notes an access to a sampled key whose record is `handle`. */
  private noteFound(access: Access, db: number, key: Key, handle: number): void {
    this.open(handle);
    this.noteHere(access, db, key);
  }

  /** Notes an access to a sampled key whose record the cursor is at. Of a large collection the pages are measured now and
   *  then; in between, its bytes are not known. */
  noteHere(access: Access, db: number, key: Key): void {
    const { region, at, clock } = this;
    let bytes = recordBytesAt(region, at);
    if (hasPagesAt(region, at)) {
      if (!this.exclusive || clock.nowMs - measuredMs < MEASURE_MS) bytes = 0;
      else {
        measuredMs = clock.nowMs;
        const { place, handle } = this;
        place.openHandle(this, handle);
        bytes += pageBytes(place.type, place);
        this.region = region;
        this.at = at;
        this.handle = handle;
      }
    }
    this.note(access, db, key, bytes);
  }

  /** Notes that a sampled key was looked for in vain. */
  noteMiss(db: number, key: Key): void {
    this.note(Access.Miss, db, key, 0);
  }

  /** A client removed the key, or it fell due; not: it had to make room. */
  noteRemoved(db: number, key: Key): void {
    if ((key.high & 0xffff) < samples.below) this.note(Access.Remove, db, key, 0);
  }

  private noteFlushed(db: number): void {
    if (samples.below !== 0) samples.note(Access.Flush, db, 0, 0, 0, this.clock.nowMs);
  }

  /** Exchanges two databases. */
  swap(a: number, b: number): void {
    this.index.swap(a, b);
  }

  /** Empties a database. O(its keys), or O(pages) when no other database holds any. */
  flush(db: number): void {
    let others = 0;
    for (let other = 0; other < DATABASES; other++) if (other !== db) others += this.index.keys(other);
    if (others === 0) {
      this.flushAll();
      return;
    }
    const { scratch, index, allocator } = this;
    this.noteFlushed(db);
    for (let entry = 0; entry < index.directorySize(db); ) {
      const leaf = index.leafAt(db, entry);
      entry += index.leafSpan(db, entry);
      scratch.length = 0;
      index.collectLeaf(leaf, scratch);
      for (const handle of scratch) this.discard(handle);
      allocator.free(leaf);
    }
    index.freeDirectory(db);
    index.forget(db);
  }

  /** Empties every database. O(pages in use). */
  flushAll(): void {
    let used = 0;
    for (let db = 0; db < DATABASES; db++) {
      const entries = this.index.directorySize(db);
      used += entries;
      if (entries > 0) this.noteFlushed(db);
      this.index.forget(db);
    }
    if (used === 0 && this.superblock.i32[Field.Discarded] === 0) return;
    this.superblock.i32[Field.Discarded] = 0;
    this.superblock.i32[Field.FieldDeadlines] = 0;
    const { row } = this;
    this.figures.fill(0, row + Row.First, row + Row.First + DictionaryLimit.Count * Of.Width);
    this.allocator.reset();
    this.eviction.reset();
  }

  // Walking

  /** Appends the handles of all live keys of a database. */
  collect(db: number, into: number[]): void {
    const { index } = this;
    for (let entry = 0; entry < index.directorySize(db); entry += index.leafSpan(db, entry))
      index.collectLeaf(index.leafAt(db, entry), into);
    this.keepLive(into, 0);
  }

  private keepLive(into: number[], from: number): void {
    let kept = from;
    for (let i = from; i < into.length; i++) {
      const handle = into[i]!;
      this.open(handle);
      const deadline = this.deadline();
      if (deadline === 0 || deadline > this.clock.nowMs) into[kept++] = handle;
    }
    into.length = kept;
  }

  /** A live key's handle drawn at random (cursor set), 0 when there is none. `chance` gives numbers in [0, 1). */
  draw(db: number, chance: () => number): number {
    if (this.keys(db) === 0) return 0;
    for (let tries = 0; tries < 10_000; tries++) {
      const handle = this.index.drawSlot(db, chance(), chance());
      if (handle === 0) continue;
      this.open(handle);
      const deadline = this.deadline();
      if (deadline === 0 || deadline > this.clock.nowMs) return handle;
    }
    const all: number[] = [];
    this.collect(db, all);
    if (all.length === 0) return 0;
    const handle = all[Math.floor(chance() * all.length)]!;
    this.open(handle);
    return handle;
  }

  /** Continues a scan of this shard: `path` 0 begins it. Appends live handles, returns the next position and leaves the
   *  next path in `scanPath`, 0 when the shard is done. */
  scan(db: number, path: number, position: number, into: number[]): number {
    const { index } = this;
    const from = into.length;
    if (path === 0) path = index.pathFrom(db, 0);
    let next = index.scanStep(db, path, position, into);
    this.keepLive(into, from);
    if (next >= POSITIONS) {
      next = 0;
      path = index.nextPath(db, path);
    }
    this.scanPath = path;
    return next;
  }

  scanPath = 0;

  // Expiry

  /** Reclaims keys past their deadline: looks at up to `leaves` leaves from where the last call stopped, and stops after
   *  the leaf with which it has removed `most`. Returns how many it removed: at most `most` and a leaf's 756. */
  expireStep(leaves: number, most = Number.POSITIVE_INFINITY): number {
    const { index, superblock, scratch, clock } = this;
    let db = superblock.i32[Field.ExpireCursorDb]!;
    let entry = superblock.i32[Field.ExpireCursorEntry]!;
    const firstDb = db;
    const firstEntry = entry;
    let turned = false;
    let removed = 0;
    for (let steps = 0; steps < leaves && removed < most; steps++) {
      let skipped = 0;
      while (
        (index.deadlines(db) === 0 && superblock.i32[Field.FieldDeadlines] === 0) ||
        entry >= index.directorySize(db)
      ) {
        db = (db + 1) % DATABASES;
        entry = 0;
        if (db === 0) turned = true;
        if (db === 0 && superblock.i32[Field.FieldDeadlines] !== 0)
          superblock.i32[Field.FieldDeadlines] = superblock.i32[Field.FieldDeadlines] === 1 ? 2 : 0;
        if (++skipped > DATABASES) break;
      }
      if (skipped > DATABASES) break;
      // Once around: what is still due waits for the next step.
      if (turned && (db > firstDb || (db === firstDb && entry >= firstEntry))) break;
      // The directory may have doubled meanwhile: any entry leads to a leaf, and its first one is not needed.
      const leaf = index.leafAt(db, entry);
      const due = index.leafDeadline(leaf);
      if (due !== Number.POSITIVE_INFINITY && superblock.i32[Field.FieldDeadlines] !== 0)
        superblock.i32[Field.FieldDeadlines] = 1;
      if (due <= clock.nowMs) {
        scratch.length = 0;
        index.collectLeaf(leaf, scratch);
        for (const handle of scratch) {
          this.open(handle);
          const deadline = this.deadline();
          if (deadline === 0 || deadline > clock.nowMs) {
            if (hasFieldDeadlinesAt(this.region, this.at)) removed += this.reapFields(db, most - removed);
            continue;
          }
          this.walkKey.set(this.region, this.keyStart(), this.keyBytes());
          if (index.find(db, this.walkKey) === handle) {
            this.expireFound(db, handle, this.walkKey);
            removed++;
          }
        }
        index.refreshLeafDeadline(leaf);
      }
      entry += Math.max(1, index.leafSpan(db, entry) - (entry % index.leafSpan(db, entry)));
    }
    superblock.i32[Field.ExpireCursorDb] = db;
    superblock.i32[Field.ExpireCursorEntry] = entry;
    return removed;
  }

  /** Removes up to about `most` fields past their deadline from the hash at the cursor, and the hash with its last one.
   *  Returns how many. */
  private reapFields(db: number, most: number): number {
    const { walkKey, place } = this;
    walkKey.set(this.region, this.keyStart(), this.keyBytes());
    if (!place.find(this, db, walkKey)) return 0;
    hash.open(place, this.clock.nowMs);
    const removed = hash.reap(most);
    if (removed === 0) return 0;
    // The record may have moved, and the key with it.
    this.open(place.handle);
    walkKey.set(this.region, this.keyStart(), this.keyBytes());
    this.notify(Event.HExpired, db, walkKey);
    if (hash.count === 0) {
      const handle = this.index.find(db, walkKey);
      this.open(handle);
      if (this.deadline() !== 0) this.index.addDeadlines(db, -1);
      this.index.removeFound(db);
      // The key lies in the record: it is told before that goes.
      this.notify(Event.Del, db, walkKey);
      this.discard(handle);
    }
    return removed;
  }

  /** Whether anything here may come due, a key or a field. */
  get mayExpire(): boolean {
    return this.superblock.i32[Field.FieldDeadlines] !== 0 || this.deadlines > 0;
  }

  /** How many keys of all databases have a deadline. */
  get deadlines(): number {
    let sum = 0;
    for (let db = 0; db < DATABASES; db++) sum += this.index.deadlines(db);
    return sum;
  }

  /** Every invariant of every layer, O(memory): for tests. */
  check(): void {
    this.allocator.check();
    this.register.check();
    this.eviction.check();
    for (let db = 0; db < DATABASES; db++) this.index.check(db);
  }
}
