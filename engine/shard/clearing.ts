// clearing.ts: frees pages of a shard at once, when new values need some that those which went do not leave: clears a span that
// is sparsely used by moving what lives there to free slots, or, where that is not enough, pages that follow each other, which
// values of any size fit, by evicting what is worth little there. As memcached moves slabs between its classes.
//
// A hand goes over the page map. What a slot holds does not say what it is: it is a key's record if what would be its key leads,
// through the index, to this very slot. What is no record (leaves, elements of large collections), or may not go, keeps its span.
// A cycle of defrag.ts moves those, too, and costs no key, yet frees nothing before a walk over all keys has ended.
//
// Runs between commands, under the lock, at most STRETCH pages' worth of keys a step. Where the hand stands is this object's; the
// page map may have changed since, and is read like a stranger's.
// Off the data path unless pages are over the ceiling; nothing allocates in the JS sense. Neighbours: shard.ts owns one;
// engine/worker/evictor.ts says when.
import { DATABASES } from "../index/key-index.ts";
import { Alloc, Handle, Span } from "../memory/allocator.ts";
import { Key } from "../memory/key.ts";
import { headerBytes, keyBytesAt, RecordFlag, Type, typeAt } from "../memory/record.ts";
import { Size, slotBytesOf, spanPagesOf, spanSlotsOf, spanStartOf } from "../memory/size-classes.ts";
import type { Shard } from "./shard.ts";

/** A span is sparsely used when no more than this share of its slots lives, which follows what is there: it rises with each that
 *  the hand passes over and falls with each that is cleared, so that about one in PASSES is. */
const STEP = 1 / 512;
const PASSES = 16;
/** Pages of a stretch. */
const STRETCH = 16;
/** Spans and runs that are looked at for one to clear. */
const LOOKS = 128;

/** What becomes of a record that is to leave. */
export const enum Force {
  /** It moves or stays. */
  Move = 0,
  /** It moves, or is evicted if it is worth little. */
  Evict = 1,
  /** It is evicted if it is worth little, moves else, and is evicted if it cannot. */
  Shed = 2,
}

export class Clearing {
  private segment = 0;
  private page = 0;
  private sparse = 1;
  private force = Force.Move;
  private readonly key: Key;

  constructor(private readonly shard: Shard) {
    this.key = new Key(shard.segments.at(0));
  }

  /** Clears the next span that is sparsely used, if there is one before long. */
  clearSparse(evicting: boolean): void {
    this.force = evicting ? Force.Evict : Force.Move;
    this.clearNext(false);
  }

  /** Clears the next spans, of STRETCH pages. */
  clearStretch(): void {
    this.force = Force.Shed;
    for (let pages = 0; pages < STRETCH; ) {
      const cleared = this.clearNext(true);
      if (cleared === 0) return;
      pages += cleared;
    }
  }

  /** Clears the next span, or the next that is sparsely used. How many pages it has; 0 when none was found. */
  private clearNext(any: boolean): number {
    const { segments } = this.shard;
    for (let looks = LOOKS; looks > 0; looks--) {
      if (this.segment >= segments.count) this.segment = 0;
      const { segment } = this;
      const { u32 } = segments.at(segment);
      const map = segments.mapWord(segment);
      const end = segment === segments.count - 1 ? segments.at(0).i32[Alloc.SegmentPages]! : segments.pages;
      let page = Math.max(segments.firstPage(segment), this.page);
      while (page < end && u32[map + page] === 0) page++; // inside a run
      if (page >= end) {
        this.segment++;
        this.page = 0;
        continue;
      }
      const entry = u32[map + page]!;
      if ((entry & 3) !== 1) {
        // A run; the last page of a free one, where the hand may stand now, looks as its first.
        this.page = page + 1;
        continue;
      }
      const index = (entry >>> Span.ClassShift) & Span.ClassMask;
      const pages = spanPagesOf[index]!;
      const first = page - ((entry >>> Span.BackShift) & Span.BackMask);
      this.page = first + pages;
      // What others want to be empty is about to become it.
      if ((entry & Span.Leaving) !== 0) continue;
      const share = (u32[(first << 10) + 1]! & 0xffff) / spanSlotsOf[index]!;
      if (!any && share > this.sparse) {
        this.sparse += STEP;
        continue;
      }
      if (!any) this.sparse = Math.max(0, this.sparse - STEP * PASSES);
      this.clearSpan(segment, first, index);
      return pages;
    }
    return 0;
  }

  private clearSpan(segment: number, first: number, index: number): void {
    const { segments, allocator } = this.shard;
    allocator.leave(segment, first);
    const { u32 } = segments.at(segment);
    const slot = slotBytesOf[index]!;
    let at = (first << Size.PageShift) + spanStartOf[index]!;
    for (let n = u32[(first << 10) + 1]! >>> 16; n > 0; n--, at += slot) {
      const handle = ((segment << Handle.SegmentShift) | (at >>> Handle.GranuleShift)) >>> 0;
      // Where the first of them cannot move, the others cannot either.
      if (!this.clear(handle, slot) && this.force === Force.Move) break;
    }
    allocator.stayAt(segment, first);
  }

  /** Removes or moves the record in a slot, if it is one. False when it stays. */
  private clear(handle: number, slot: number): boolean {
    const { shard, key } = this;
    const { index, allocator } = shard;
    const region = allocator.regionOf(handle);
    const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
    const flags = region.u8[at + 1]!;
    if (flags > RecordFlag.Deadline + RecordFlag.Wide + RecordFlag.LongKey || typeAt(region, at) > Type.Hash)
      return true;
    const bytes = keyBytesAt(region, at);
    const start = headerBytes(flags);
    if (start + bytes > slot) return true;
    key.set(region, at + start, bytes);
    for (let db = 0; db < DATABASES; db++)
      if (index.keys(db) > 0 && index.findRecord(db, key.high, key.low, handle))
        return shard.dislodge(db, handle, this.force);
    return true;
  }
}
