// mover.ts: what moves blocks out of leaving spans, and how much of that a step may still do. One a shard; every structure
// that holds handles has a `relocate` that takes it.
//
// A step is bounded by work, counted in about nanoseconds (Cost, measured on x86-64), and not by a clock. A walk through a large collection that ends early leaves where it was in `part`, `at`, `block` and
// `slot`, which mean something to the collection only and may be of another time: they are checked like a stranger's.
//
// What has become shorter than its slot by an eighth or more is loose. It moves to a slot that fits only when its span leaves:
// moved one by one, values would leave holes in all of them, and memory would grow before it shrinks. So a walk counts, by
// class, what is loose in spans that stay, and evacuation.ts lets some of these leave the next time.
// Off the data path: runs between commands, under the lock, and allocates nothing in the JS sense.
// Neighbours: allocator.ts; engine/index, engine/types and engine/shard/defrag.ts use it.
import { type Allocator, Handle } from "./allocator.ts";
import { copyBytes } from "./region.ts";
import { classOf, isLoose, Size, slotBytesOf } from "./size-classes.ts";

/** About nanoseconds. */
export const enum Cost {
  /** A handle that is held against the page map. */
  Look = 10,
  /** A block or record of which a word is read. */
  Touch = 40,
  /** A key or element that is hashed, and put somewhere else. */
  Place = 150,
  /** A block that is moved, besides its bytes. */
  Move = 600,
  /** Bytes that are copied in a nanosecond, as a shift. */
  BytesShift = 2,
}

export class Mover {
  /** What the step may still do. */
  budget = 0;
  /** Blocks moved, and those looked at that stayed. */
  moved = 0;
  stayed = 0;

  // Where a walk through a collection goes on.
  part = 0;
  at = 0;
  block = 0;
  slot = 0;

  /** By class: bytes that blocks which stayed could be shorter, and bytes of all blocks that were looked at, since `recount`. */
  readonly loose = new Float64Array(Size.ClassCount);
  readonly seen = new Float64Array(Size.ClassCount);

  constructor(readonly allocator: Allocator) {}

  /** Begins to count anew what is loose. */
  recount(): void {
    this.loose.fill(0);
    this.seen.fill(0);
  }

  /** Whether a block in a slot of `slot` bytes, of which it needs `bytes`, is to be moved. */
  displaced(handle: number, slot: number, bytes: number): boolean {
    if (slot <= Size.MaxSlotBytes) {
      const index = classOf(slot);
      this.seen[index] = this.seen[index]! + slot;
      const tight = slotBytesOf[classOf(bytes)]!;
      if (isLoose(slot, tight)) this.loose[index] = this.loose[index]! + slot - tight;
    }
    return this.leaving(handle);
  }

  /** The next walk begins at the beginning. */
  rewind(): void {
    this.part = 0;
    this.at = 0;
    this.block = 0;
    this.slot = 0;
  }

  /** Whether a block is to be moved. */
  leaving(handle: number): boolean {
    this.budget -= Cost.Look;
    if (this.allocator.leaving(handle)) return true;
    this.stayed++;
    return false;
  }

  /** Counts a block of `bytes` bytes that was moved. */
  count(bytes: number): void {
    this.moved++;
    this.budget -= Cost.Move + (bytes >> Cost.BytesShift);
  }

  /** A copy of a block that is leaving, 0 when it is not or memory is out. The old one is the caller's to free, once nothing
   *  leads to it. */
  copy(handle: number, bytes: number): number {
    return this.leaving(handle) ? this.copyAnyway(handle, bytes) : 0;
  }

  /** A copy of any block, 0 when memory is out. */
  copyAnyway(handle: number, bytes: number): number {
    const { allocator } = this;
    const created = allocator.allocate(bytes);
    if (created === 0) return 0;
    copyBytes(
      allocator.regionOf(created),
      (created & Handle.GranuleMask) << Handle.GranuleShift,
      allocator.regionOf(handle),
      (handle & Handle.GranuleMask) << Handle.GranuleShift,
      bytes,
    );
    this.count(bytes);
    return created;
  }
}
