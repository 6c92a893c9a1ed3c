// defrag.ts: gives memory of a shard back while it serves: moves what lives in sparsely used spans together, so that
// the spans become free, and values that have become much shorter than their slots to slots that fit.
//
// A round: choose which spans leave (engine/memory/evacuation.ts); walk the index, leaf by leaf, and move what lies in them:
// the leaf itself, each key's record, each collection's pages (engine/types/pages.ts); once more if much was missed; let
// what has not become empty stay. Every handle is in one place, which the walk passes, so nothing is searched.
// A cycle is a round, and more while spans are sparse or values loose: of these each round moves some.
// A record is read on the way, for only it says whether it has pages and how long it is; that is done some at a time, so
// that the processor fetches them together.
//
// The walk stands at a slot of the leaf of a hash, and within a collection where the mover says. Between two steps anything
// may happen: what the position says is looked up anew, and what is missed so keeps its span until the next cycle.
// State is this object's, one a worker and shard; two workers may run cycles on one shard, one gains nothing by it.
//
// Runs between commands, under the lock: places and cursors of commands are not held then. Readers without the lock and
// guesses of handles find out as with any write (the lock's version, the index's count of changes).
// Off the data path: nothing allocates in the JS sense. Neighbours: shard.ts owns one; engine/worker/defragmenter.ts
// says when.
import { DATABASES } from "../index/key-index.ts";
import { type Allocator, Handle } from "../memory/allocator.ts";
import { Evacuation } from "../memory/evacuation.ts";
import { Cost, Mover } from "../memory/mover.ts";
import { hasPages, recordBytesAt } from "../memory/record.ts";
import { isLoose, Size } from "../memory/size-classes.ts";
import { relocatePages } from "../types/pages.ts";
import { Place } from "./place.ts";
import type { Shard } from "./shard.ts";

const enum Phase {
  Rest = 0,
  Choose = 1,
  Walk = 2,
  Settle = 3,
}

/** Slots whose records are fetched together. */
const TOGETHER = 64;
/** A second walk begins when more than this share of what was to leave is still there. */
const MISSED_SHARE = 1 / 32;
/** What the choice may look at, and how many spans may be let stay, in place of a nanosecond of budget. */
const LOOKS_PER_UNIT = 1 / 100;
const WALKS = 2;
const ROUNDS = 40;
/** After the first round, values of one leaf in so many are looked at for being loose. */
const MEASURED = 4;
/** Another round begins while one has brought memory down by this share. */
const ROUND_GAIN = 1 / 256;

export class Defrag {
  readonly mover: Mover;
  /** Keys of which something was moved, and those that stayed as they were, since the object was made. */
  keysMoved = 0;
  keysStayed = 0;
  private phase = Phase.Rest;
  readonly evacuation: Evacuation;
  private readonly allocator: Allocator;
  private readonly handles = new Uint32Array(TOGETHER);
  private readonly words = new Int32Array(TOGETHER);
  private place: Place | null = null;
  /** How many spans were to leave. */
  private chosen = 0;
  private walks = 0;
  private rounds = 0;
  /** Bytes in use when the round began. */
  private before = 0;
  // Where the walk is.
  private db = 0;
  private position = 0;
  private leaf = 0;
  private slot = 0;
  /** Leaves of the walk so far, and whether values of this one are looked at for being loose. */
  private leaves = 0;
  private measuring = true;

  constructor(private readonly shard: Shard) {
    this.allocator = shard.allocator;
    this.mover = new Mover(shard.allocator);
    this.evacuation = new Evacuation(shard.allocator, this.mover);
  }

  /** Bytes in pages but in no live slot, and bytes that values are thought to be shorter than their slots. */
  get wasteBytes(): number {
    const { allocator } = this;
    return allocator.committedBytes - allocator.liveBytes + allocator.loosened;
  }

  resetFigures(): void {
    this.keysMoved = 0;
    this.keysStayed = 0;
    this.mover.moved = 0;
    this.mover.stayed = 0;
  }

  get running(): boolean {
    return this.phase !== Phase.Rest;
  }

  /** Begins a cycle, from the start if one is on. */
  begin(): void {
    this.rounds = 0;
    this.mover.recount();
    this.beginRound();
  }

  /** Lets the cycle that is on come to its end without moving more: what has not become empty stays. */
  finish(): void {
    if (this.phase === Phase.Rest) return;
    this.phase = Phase.Settle;
    this.rounds = ROUNDS;
  }

  private beginRound(): void {
    this.evacuation.begin();
    this.phase = Phase.Choose;
    this.rounds++;
    this.walks = 0;
    this.before = this.allocator.committedBytes;
  }

  /** Does about `budget` nanoseconds' work. False when the cycle is over. */
  step(budget: number): boolean {
    const { mover, allocator } = this;
    const looks = Math.ceil(budget * LOOKS_PER_UNIT);
    if (this.phase === Phase.Choose) {
      if (!this.evacuation.step(looks)) return true;
      this.chosen = allocator.leavingSpans;
      // The first walk is worth it in any case: nobody knows yet what is loose.
      if (this.chosen > 0 || this.rounds === 1) this.startWalk();
      else this.phase = Phase.Settle;
    } else if (this.phase === Phase.Walk) {
      mover.budget = budget;
      if (!this.walk()) return true;
      if (this.walks < WALKS && allocator.leavingSpans > this.chosen * MISSED_SHARE) this.startWalk();
      else this.phase = Phase.Settle;
    } else if (this.phase === Phase.Settle) {
      if (!allocator.stay(looks)) return true;
      // The first walk has seen what is loose, and only the second round may do something about it.
      const gained = allocator.committedBytes < this.before * (1 - ROUND_GAIN);
      if (this.rounds < ROUNDS && (gained || this.rounds === 1)) this.beginRound();
      else this.phase = Phase.Rest;
    }
    return this.phase !== Phase.Rest;
  }

  private startWalk(): void {
    this.allocator.takeLoosened();
    this.mover.recount();
    this.walks++;
    this.phase = Phase.Walk;
    this.db = 0;
    this.position = 0;
    this.leaf = 0;
    this.slot = 0;
    this.mover.rewind();
    this.shard.eviction.relocate(this.mover);
  }

  /** Goes on with the walk. True at its end. */
  private walk(): boolean {
    const { shard, mover } = this;
    const { index } = shard;
    while (mover.budget > 0) {
      const { db, position } = this;
      if (position >= 2 ** 32 || index.directorySize(db) === 0) {
        if (db + 1 === DATABASES) return true;
        this.db = db + 1;
        this.position = 0;
        this.leaf = 0;
        continue;
      }
      if (this.leaf === 0) {
        if (position === 0) index.relocateDirectory(db, mover);
        index.relocateLeaf(db, position, mover);
        this.measuring = this.rounds === 1 || this.leaves++ % MEASURED === 0;
      }
      const leaf = index.leafOn(db, position);
      if (leaf !== this.leaf) {
        this.leaf = leaf;
        this.slot = 0;
        mover.rewind();
      }
      if (!this.walkLeaf(leaf)) return false;
      this.position = index.endOf(leaf);
      this.leaf = 0;
    }
    return false;
  }

  /** Goes on in a leaf. False when the step is over before its end. */
  private walkLeaf(leaf: number): boolean {
    const { shard, mover, handles, words, allocator } = this;
    const { index } = shard;
    const slots = index.slotsOf(leaf);
    while (this.slot < slots) {
      if (mover.budget <= 0) return false;
      const from = this.slot;
      const count = Math.min(TOGETHER, slots - from);
      index.readSlots(leaf, from, count, handles);
      for (let i = 0; i < count; i++) {
        const handle = handles[i]!;
        if (handle !== 0) words[i] = allocator.regionOf(handle).i32[(handle & Handle.GranuleMask) << 1]!;
      }
      let i = 0;
      do {
        const handle = handles[i]!;
        this.slot = from + i++;
        if (handle === 0) continue;
        mover.budget -= Cost.Touch;
        const kind = words[this.slot - from]! & 255;
        const before = mover.moved;
        if (!hasPages(kind & 15, kind >>> 4)) {
          this.moveRecord(leaf, handle);
        } else if (!this.moveCollection(leaf, handle, kind & 15)) return false;
        if (mover.moved !== before) this.keysMoved++;
        else this.keysStayed++;
      } while (i < count && mover.budget > 0);
      this.slot = from + i;
    }
    return true;
  }

  /** Moves a record if its span is leaving. */
  private moveRecord(leaf: number, handle: number): void {
    const { mover, allocator, shard } = this;
    if (!this.measuring && !mover.leaving(handle)) return;
    const region = allocator.regionOf(handle);
    const bytes = recordBytesAt(region, (handle & Handle.GranuleMask) << Handle.GranuleShift);
    const slot = allocator.slotBytes(handle);
    if (slot > Size.MaxSlotBytes) {
      // A run of pages gives its last ones back where it lies.
      if (isLoose(slot, bytes)) allocator.shorten(handle, bytes);
      mover.stayed++;
      return;
    }
    if (!mover.displaced(handle, slot, bytes)) return;
    const created = mover.copyAnyway(handle, bytes);
    if (created === 0) return;
    shard.index.replaceAt(leaf, this.slot, created);
    allocator.free(handle);
  }

  /** Goes on with a collection's pages, then its record. False when the step is over. */
  private moveCollection(leaf: number, handle: number, type: number): boolean {
    const { mover, shard } = this;
    this.place ??= new Place(shard);
    this.place.openHandle(shard, handle);
    if (!relocatePages(type, this.place, mover)) return false;
    mover.rewind();
    this.moveRecord(leaf, handle);
    return true;
  }
}
