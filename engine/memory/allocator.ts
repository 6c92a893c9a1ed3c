// allocator.ts: hands out slots of the segments of one shard and takes them back.
//
// A handle is a u32: segment number in the top 5 bits, 8-byte granule within it in the other 27. 0 is "none".
// A segment of up to 1 GiB is divided into 4 KiB pages. Small requests come from spans, runs of 1 to 32 pages cut into
// slots of one size class; larger ones are page runs of their own.
//
// Segment:   [superblock, segment 0 only][page map: u32 a page][links: two u32 a page][pages ...]
// Page map entry (who writes: whoever holds the shard's lock, as everything here):
//   bits 0-1   kind: 0 untouched or inside a run, 1 span, 2 free run (first and last page), 3 large run (first page)
//   span:      bits 2-9 class, bits 10-15 pages back to the span's first page, bit 16 the span is leaving
//   free run:  bits 2-20 length in pages, bit 21 the system backs none of its pages
//   large run: bits 2-20 length in pages
// Links: where a free run begins, next and previous run of its bin (global page numbers, 0 none); at its second page, if it
//   has one and some are backed, the first and the end of those that may be. Not in the run, so that all of it can be given
//   back; of the links themselves only what runs begin at is ever touched.
// Span header (16 bytes at its first page), all u32:
//   0 first free slot (handle, 0 none)   1 live slots (low 16) and slots ever handed out (high 16)
//   2 next, 3 previous span of this class with room (global page numbers, 0 none)
// A free slot holds the handle of the next free one in its first word and 0 in the second.
// A leaving span gives no slots any more: what lives in it is moved elsewhere (engine/shard/defrag.ts), and with the last
// slot it becomes a free run. It is on a list of all that leave instead of its class's.
// State words live in the superblock (Alloc), so that any worker holding the lock, or a later process, continues.
//
// Invariants: live + free slots + never handed out = slots of the span; a span with room is on its class's list, or leaving
// and on that list, and a full one is on none; no two free runs touch; usedPages counts pages in spans and large runs,
// backedPages those that the system may back in free runs.
// On the data path: no allocation in the JS sense. Every handle given to `free` must come from `allocate`.
// Neighbours: size-classes.ts; segments.ts gives regions; shard.ts owns one allocator a shard.
import { assert } from "./assert.ts";
import type { Region } from "./region.ts";
import type { Segments } from "./segments.ts";
import {
  classOf,
  lastNearOf,
  Size,
  slotBytesOf,
  spanPagesOf,
  spanSlotsOf,
  spanStartOf,
} from "./size-classes.ts";

export const enum Handle {
  SegmentShift = 27,
  GranuleMask = 0x07ffffff,
  GranuleShift = 3,
}

/** i32 words of the superblock of segment 0 that the allocator owns. */
export const enum Alloc {
  UsedPages = 64,
  LiveGranulesLow = 65, // bytes in live slots and runs / 8, as two words of 30 bits
  LiveGranulesHigh = 66,
  SegmentPages = 67, // bump: pages handed out in the newest segment
  BackedPages = 68,
  LeavingSpans = 69,
  /** f64 index: bytes that live slots have been told to hold less than before, since somebody asked last. */
  LoosenedF64 = 35,
  ClassHeads = 72, // 255 words, then that of the leaving spans
  RunBins = 328, // 32 exact bins (1..32 pages), then 18 by power of two; of runs with backed pages
  ColdBins = 378, // the same of runs without
  End = 428,
  Spans = 1280, // 255 words: spans of each class that do not leave
  SpansEnd = 1535,
}

/** In place of a class: the spans that leave. */
const LEAVING = 255;

const enum Kind {
  None = 0,
  Span = 1,
  Free = 2,
  Large = 3,
}

/** Of a span's page map entry. */
export const enum Span {
  ClassShift = 2,
  ClassMask = 255,
  BackShift = 10,
  BackMask = 63,
  Leaving = 1 << 16,
  /** What tells a leaving span from all else, and how it looks there. */
  LeavingMask = 0x10003,
  IsLeaving = 0x10001,
}

const enum Run {
  ExactBins = 32,
  Bins = 50,
  LengthMask = 0x7ffff,
  Cold = 1 << 21,
  /** Free runs of so many pages go back to the system at once, where nobody comes to do it later. */
  AtOnce = 64,
  /** Giving back anything at all takes as long as so many pages of it. */
  CallPages = 4,
  PageBits = 18, // pages in a segment of 1 GiB
  PageMask = (1 << 18) - 1,
}

/** Free pages that stay backed whatever happens, and the part of the used ones that stays so besides. */
const KEPT_PAGES = 32;
const KEPT_SHIFT = 6;

function binOf(pages: number): number {
  return pages <= Run.ExactBins ? pages - 1 : Run.ExactBins + (26 - Math.clz32(pages));
}

/** Pages that allocators of this thread have put to use, less those they have taken back. */
export let committedPages = 0;

export class Allocator {
  private readonly head: Int32Array;
  private readonly counts: Float64Array;
  /** Of the run that was unlinked last: the pages the system may back. */
  private backedFrom = 0;
  private backedTo = 0;

  /** With `lazy` free runs stay backed until `giveBack`, else large ones go back to the system at once. */
  constructor(
    readonly segments: Segments,
    private readonly lazy = false,
  ) {
    this.head = segments.at(0).i32;
    this.counts = segments.at(0).f64;
    if (this.head[Alloc.SegmentPages] === 0) this.reset();
  }

  /** Bytes of all pages in use by spans and large runs. */
  get committedBytes(): number {
    return this.head[Alloc.UsedPages]! * Size.PageBytes;
  }

  /** Bytes of all live slots and runs, rounding included. Right without the lock too. */
  get liveBytes(): number {
    const { head } = this;
    for (;;) {
      const high = Atomics.load(head, Alloc.LiveGranulesHigh);
      const low = Atomics.load(head, Alloc.LiveGranulesLow);
      if (high === Atomics.load(head, Alloc.LiveGranulesHigh)) return (high * 0x40000000 + low) * 8;
    }
  }

  /** Free pages that the system may back, in bytes. */
  get backedBytes(): number {
    return this.head[Alloc.BackedPages]! * Size.PageBytes;
  }

  /** Forgets everything allocated. The pages stay with the process until `giveBack`, as the system takes milliseconds for
   *  every 64 MiB of that. O(page map in use): 50 us a GiB. */
  reset(): void {
    const { head, segments } = this;
    const newest = segments.count - 1;
    const mark = Math.max(head[Alloc.SegmentPages]!, segments.firstPage(newest));
    committedPages -= head[Alloc.UsedPages]!;
    head.fill(0, Alloc.UsedPages, Alloc.End);
    head.fill(0, Alloc.Spans, Alloc.SpansEnd);
    head[Alloc.SegmentPages] = mark;
    for (let s = 0; s <= newest; s++) {
      const used = s === newest ? mark : segments.pages;
      const first = segments.firstPage(s);
      const map = segments.mapWord(s);
      segments.at(s).u32.fill(0, map, map + used);
      if (used > first) this.linkRun(s, first, used - first, first, used);
    }
  }

  /** Whether more free pages are backed than may be of use again soon: then giveBack has something to do. */
  get hoards(): boolean {
    const { head } = this;
    return head[Alloc.BackedPages]! > KEPT_PAGES + (head[Alloc.UsedPages]! >>> KEPT_SHIFT);
  }

  /** Gives free pages back to the system, the largest runs first: what takes as long as `pages` of them in one piece. */
  giveBack(pages: number): void {
    const { head, segments } = this;
    for (let bin = Run.Bins - 1; bin >= 0 && pages > 0; ) {
      const page = head[Alloc.RunBins + bin]!;
      if (page === 0) {
        bin--;
        continue;
      }
      const segment = page >>> Run.PageBits;
      const first = page & Run.PageMask;
      const length = this.runLength(page);
      this.unlinkRun(segment, first, length);
      const { backedFrom, backedTo } = this;
      const from = Math.max(backedFrom, backedTo - pages);
      segments.at(segment).release(from * Size.PageBytes, backedTo * Size.PageBytes);
      pages -= backedTo - from + Run.CallPages;
      this.linkRun(segment, first, length, backedFrom, from);
    }
  }

  /** Somebody made a value `bytes` shorter in its slot: room that only a move gives back. */
  loosen(bytes: number): void {
    this.counts[Alloc.LoosenedF64] = this.counts[Alloc.LoosenedF64]! + bytes;
  }

  /** Bytes that `loosen` was told of since `takeLoosened`. */
  get loosened(): number {
    return this.counts[Alloc.LoosenedF64]!;
  }

  takeLoosened(): void {
    this.counts[Alloc.LoosenedF64] = 0;
  }

  /** The region a handle points into. Undefined for a handle no allocator made: the caller decides who may ask. */
  regionOf(handle: number): Region {
    return this.segments.at(handle >>> Handle.SegmentShift);
  }

  /** Reads what `free` of some slots will read: first the slots, in few instructions each, so that the processor has many of
   *  these reads in flight. The result means nothing. */
  touch(handles: Uint32Array, count: number): number {
    const { segments } = this;
    let touched = 0;
    for (let i = 0; i < count; i++) {
      const handle = handles[i]!;
      touched ^= segments.at(handle >>> Handle.SegmentShift).u32[(handle & Handle.GranuleMask) << 1]!;
    }
    for (let i = 0; i < count; i++) {
      const segment = handles[i]! >>> Handle.SegmentShift;
      const page = (handles[i]! & Handle.GranuleMask) >>> 9;
      const { u32 } = segments.at(segment);
      const entry = u32[segments.mapWord(segment) + page]!;
      const back = (entry & 3) === Kind.Span ? (entry >>> Span.BackShift) & Span.BackMask : 0;
      touched ^= u32[(page - back) << (Size.PageShift - 2)]!;
    }
    return touched;
  }

  /** Bytes a slot or run can hold: at least what was asked for. */
  slotBytes(handle: number): number {
    const segment = handle >>> Handle.SegmentShift;
    const page = (handle & Handle.GranuleMask) >>> 9;
    const entry = this.segments.at(segment).u32[this.segments.mapWord(segment) + page]!;
    if ((entry & 3) === Kind.Span) return slotBytesOf[(entry >>> 2) & 255]!;
    assert((entry & 3) === Kind.Large, "a handle whose size is asked is allocated");
    return ((entry >>> 2) & Run.LengthMask) * Size.PageBytes;
  }

  /** A handle to at least `bytes` bytes, or 0 when there is no memory. Contents are whatever was there. */
  allocate(bytes: number): number {
    if (bytes > Size.MaxSlotBytes) return this.allocateLarge(bytes);
    const { head, segments } = this;
    let index = classOf(bytes);
    let page = head[Alloc.ClassHeads + index]!;
    if (page === 0) {
      index = this.makeRoom(index);
      if (index < 0) return 0;
      page = head[Alloc.ClassHeads + index]!;
    }
    const segment = page >>> Run.PageBits;
    const { u32 } = segments.at(segment);
    const span = (page & Run.PageMask) << (Size.PageShift - 2);
    let handle = u32[span]!;
    let counts = u32[span + 1]! + 1;
    if (handle !== 0) {
      const granule = handle & Handle.GranuleMask;
      u32[span] = u32[granule * 2]!;
    } else {
      const handedOut = counts >>> 16;
      const slot = (span << 2) + spanStartOf[index]! + handedOut * slotBytesOf[index]!;
      handle = ((segment << Handle.SegmentShift) | (slot >>> Handle.GranuleShift)) >>> 0;
      counts += 0x10000;
    }
    u32[span + 1] = counts;
    if ((counts & 0xffff) === spanSlotsOf[index]!) this.unlinkSpan(index, page);
    this.addLive(slotBytesOf[index]! >>> 3);
    return handle;
  }

  /** Whether `allocate` has a free slot for so many bytes, and would take no page for them. */
  hasSlot(bytes: number): boolean {
    return bytes <= Size.MaxSlotBytes && this.head[Alloc.ClassHeads + classOf(bytes)] !== 0;
  }

  /** Takes back what `allocate` gave. */
  free(handle: number): void {
    const { segments, head } = this;
    const segment = handle >>> Handle.SegmentShift;
    const region = segments.at(segment);
    const { u32 } = region;
    const granule = handle & Handle.GranuleMask;
    const page = granule >>> 9;
    const entry = u32[segments.mapWord(segment) + page]!;
    if ((entry & 3) === Kind.Large) {
      const pages = (entry >>> 2) & Run.LengthMask;
      this.addLive(-(pages << 9));
      this.releaseRun(segment, page, pages);
      return;
    }
    assert((entry & 3) === Kind.Span, "a handle to free is allocated"); // a text with numbers would be made at each call
    const index = (entry >>> Span.ClassShift) & Span.ClassMask;
    const first = page - ((entry >>> Span.BackShift) & Span.BackMask);
    const span = first << (Size.PageShift - 2);
    if (CHECKED) this.checkSlot(handle, index, span);
    u32[granule * 2] = u32[span]!;
    u32[granule * 2 + 1] = 0;
    u32[span] = handle;
    const counts = u32[span + 1]! - 1;
    u32[span + 1] = counts;
    this.addLive(-(slotBytesOf[index]! >>> 3));
    const live = counts & 0xffff;
    const global = (segment << Run.PageBits) | first;
    if ((entry & Span.Leaving) !== 0) {
      if (live === 0) this.dropSpan(LEAVING, index, global);
      return;
    }
    if (live === spanSlotsOf[index]! - 1) this.linkSpan(index, global);
    // An empty span goes back unless it is the only one with room: the next allocation would fetch it again.
    if (live === 0 && (head[Alloc.ClassHeads + index] !== global || u32[span + 2] !== 0))
      this.dropSpan(index, index, global);
  }

  /** Makes a large run as short as `bytes` allow. */
  shorten(handle: number, bytes: number): void {
    const { segments } = this;
    const segment = handle >>> Handle.SegmentShift;
    const page = (handle & Handle.GranuleMask) >>> 9;
    const map = segments.mapWord(segment) + page;
    const { u32 } = segments.at(segment);
    assert((u32[map]! & 3) === Kind.Large, "a run that is made shorter is a large one");
    const had = (u32[map]! >>> 2) & Run.LengthMask;
    const pages = Math.ceil(bytes / Size.PageBytes);
    if (pages >= had || pages === 0) return;
    u32[map] = Kind.Large | (pages << 2);
    this.addLive((pages - had) << 9);
    this.releaseRun(segment, page + pages, had - pages);
  }

  /** An empty span of a class, on its list or that of the leaving, becomes a free run. */
  private dropSpan(list: number, index: number, page: number): void {
    const { head } = this;
    this.unlinkSpan(list, page);
    if (list === LEAVING) head[Alloc.LeavingSpans] = head[Alloc.LeavingSpans]! - 1;
    else head[Alloc.Spans + index] = head[Alloc.Spans + index]! - 1;
    this.releaseRun(page >>> Run.PageBits, page & Run.PageMask, spanPagesOf[index]!);
  }

  /** Makes free runs of the empty spans that `free` has kept, one a class at most. O(classes). */
  dropEmpty(): void {
    const { head, segments } = this;
    for (let index = 0; index < LEAVING; index++) {
      const page = head[Alloc.ClassHeads + index]!;
      if (page === 0) continue;
      const { u32 } = segments.at(page >>> Run.PageBits);
      if ((u32[((page & Run.PageMask) << 10) + 1]! & 0xffff) === 0) this.dropSpan(index, index, page);
    }
  }

  // Leaving

  /** Whether what a handle leads to is in a span that is to become empty. */
  leaving(handle: number): boolean {
    const segment = handle >>> Handle.SegmentShift;
    const entry =
      this.segments.at(segment).u32[this.segments.mapWord(segment) + ((handle & Handle.GranuleMask) >>> 9)]!;
    return (entry & Span.LeavingMask) === Span.IsLeaving;
  }

  /** How many spans are to become empty. */
  get leavingSpans(): number {
    return this.head[Alloc.LeavingSpans]!;
  }

  /** Lets the span that begins at `first`, which is not leaving, leave. */
  leave(segment: number, first: number): void {
    const { head, segments } = this;
    const { u32 } = segments.at(segment);
    const map = segments.mapWord(segment) + first;
    const index = (u32[map]! >>> Span.ClassShift) & Span.ClassMask;
    const page = (segment << Run.PageBits) | first;
    const live = u32[(first << 10) + 1]! & 0xffff;
    if (live === 0) return this.dropSpan(index, index, page);
    if (live < spanSlotsOf[index]!) this.unlinkSpan(index, page);
    for (let i = 0; i < spanPagesOf[index]!; i++) u32[map + i] = u32[map + i]! | Span.Leaving;
    this.linkSpan(LEAVING, page);
    head[Alloc.LeavingSpans] = head[Alloc.LeavingSpans]! + 1;
    head[Alloc.Spans + index] = head[Alloc.Spans + index]! - 1;
  }

  /** Lets up to `most` of the leaving spans stay after all. False when there are more. */
  stay(most: number): boolean {
    const { head } = this;
    for (; most > 0; most--) {
      const page = head[Alloc.ClassHeads + LEAVING]!;
      if (page === 0) return true;
      this.stayAt(page >>> Run.PageBits, page & Run.PageMask);
    }
    return head[Alloc.ClassHeads + LEAVING] === 0;
  }

  /** Lets the span that begins at `first` stay after all, if there still is one that leaves. */
  stayAt(segment: number, first: number): void {
    const { head, segments } = this;
    const { u32 } = segments.at(segment);
    const map = segments.mapWord(segment) + first;
    if ((u32[map]! & Span.LeavingMask) !== Span.IsLeaving) return;
    const index = (u32[map]! >>> Span.ClassShift) & Span.ClassMask;
    const page = (segment << Run.PageBits) | first;
    this.unlinkSpan(LEAVING, page);
    for (let i = 0; i < spanPagesOf[index]!; i++) u32[map + i] = u32[map + i]! & ~Span.Leaving;
    const live = u32[(first << 10) + 1]! & 0xffff;
    if (live < spanSlotsOf[index]!) this.linkSpan(index, page);
    head[Alloc.LeavingSpans] = head[Alloc.LeavingSpans]! - 1;
    head[Alloc.Spans + index] = head[Alloc.Spans + index]! + 1;
  }

  private addUsed(pages: number): void {
    const { head } = this;
    head[Alloc.UsedPages] = head[Alloc.UsedPages]! + pages;
    committedPages += pages;
  }

  private addLive(granules: number): void {
    const { head } = this;
    const low = head[Alloc.LiveGranulesLow]! + granules;
    head[Alloc.LiveGranulesLow] = low & 0x3fffffff;
    head[Alloc.LiveGranulesHigh] = head[Alloc.LiveGranulesHigh]! + (low >> 30);
  }

  private checkSlot(handle: number, index: number, span: number): void {
    const { u32 } = this.regionOf(handle);
    const offset = ((handle & Handle.GranuleMask) << 3) - (span << 2) - spanStartOf[index]!;
    assert(offset >= 0 && offset % slotBytesOf[index]! === 0, `handle ${handle} is the start of a slot`);
    assert(offset / slotBytesOf[index]! < u32[span + 1]! >>> 16, `handle ${handle} was handed out`);
    assert((u32[span + 1]! & 0xffff) > 0, `span of ${handle} has live slots`);
    // The second word of a free slot is 0 and its first a handle of the same span: look for this one on the list.
    let free = u32[span]!;
    for (let steps = 0; free !== 0 && steps < 64; steps++) {
      assert(free !== handle, `handle ${handle} is not freed twice`);
      free = u32[(free & Handle.GranuleMask) * 2]!;
    }
  }

  /** The class, or one a little larger, which has a free slot now; -1 when there is no memory. Where nothing is left, any that
   *  is larger. */
  private makeRoom(index: number): number {
    const { head } = this;
    if (head[Alloc.Spans + index]! < Size.FewSpans) {
      const last = lastNearOf[index]!;
      for (let near = index + 1; near <= last; near++) if (head[Alloc.ClassHeads + near] !== 0) return near;
    }
    if (this.newSpan(index)) return index;
    // The free slots of what leaves, and those of any larger class, are better than none.
    while (!this.stay(1024));
    for (let larger = index; larger < Size.ClassCount; larger++)
      if (head[Alloc.ClassHeads + larger] !== 0) return larger;
    return -1;
  }

  private newSpan(index: number): boolean {
    const { head } = this;
    const pages = spanPagesOf[index]!;
    const page = this.takeRun(pages);
    if (page < 0) return false;
    const segment = page >>> Run.PageBits;
    const first = page & Run.PageMask;
    const { u32 } = this.segments.at(segment);
    const map = this.segments.mapWord(segment) + first;
    for (let i = 0; i < pages; i++) u32[map + i] = Kind.Span | (index << 2) | (i << 10);
    const span = first << (Size.PageShift - 2);
    u32[span] = 0;
    u32[span + 1] = 0;
    this.linkSpan(index, page);
    head[Alloc.Spans + index] = head[Alloc.Spans + index]! + 1;
    return true;
  }

  private linkSpan(index: number, page: number): void {
    const { head } = this;
    const next = head[Alloc.ClassHeads + index]!;
    const { u32 } = this.segments.at(page >>> Run.PageBits);
    const span = (page & Run.PageMask) << (Size.PageShift - 2);
    u32[span + 2] = next;
    u32[span + 3] = 0;
    if (next !== 0) this.pageWords(next)[((next & Run.PageMask) << 10) + 3] = page;
    head[Alloc.ClassHeads + index] = page;
  }

  private unlinkSpan(index: number, page: number): void {
    const { u32 } = this.segments.at(page >>> Run.PageBits);
    const span = (page & Run.PageMask) << (Size.PageShift - 2);
    const next = u32[span + 2]!;
    const previous = u32[span + 3]!;
    if (previous === 0) this.head[Alloc.ClassHeads + index] = next;
    else this.pageWords(previous)[((previous & Run.PageMask) << 10) + 2] = next;
    if (next !== 0) this.pageWords(next)[((next & Run.PageMask) << 10) + 3] = previous;
  }

  private pageWords(page: number): Uint32Array {
    return this.segments.at(page >>> Run.PageBits).u32;
  }

  private allocateLarge(bytes: number): number {
    const pages = Math.ceil(bytes / Size.PageBytes);
    const page = this.takeRun(pages);
    if (page < 0) return 0;
    const segment = page >>> Run.PageBits;
    const first = page & Run.PageMask;
    this.segments.at(segment).u32[this.segments.mapWord(segment) + first] = Kind.Large | (pages << 2);
    this.addLive(pages << 9);
    return ((segment << Handle.SegmentShift) | (first << 9)) >>> 0;
  }

  /** A global page number of `pages` free pages in a row, or -1. */
  private takeRun(pages: number): number {
    const page = this.findRun(pages);
    return page >= 0 || !this.freeEmptySpans() ? page : this.findRun(pages);
  }

  /** Takes back the empty span that a class may keep for its next allocation, if it is not far down the list. Whether
   *  there was any. */
  private freeEmptySpans(): boolean {
    const { head } = this;
    let freed = false;
    for (let index = 0; index < Size.ClassCount; index++) {
      let page = head[Alloc.ClassHeads + index]!;
      for (let steps = 0; page !== 0 && steps < 64; steps++) {
        const words = this.pageWords(page);
        const span = (page & Run.PageMask) << 10;
        const next = words[span + 2]!;
        if ((words[span + 1]! & 0xffff) === 0) {
          this.dropSpan(index, index, page);
          freed = true;
        }
        page = next;
      }
    }
    return freed;
  }

  private findRun(pages: number): number {
    const { head } = this;
    for (let bin = binOf(pages); bin < Run.Bins; bin++) {
      // What is backed first: a page that comes anew from the system costs some microseconds.
      let best = this.fit(head[Alloc.RunBins + bin]!, pages, bin);
      if (best === 0) best = this.fit(head[Alloc.ColdBins + bin]!, pages, bin);
      if (best !== 0) {
        this.splitRun(best, pages);
        this.addUsed(pages);
        return best;
      }
    }
    return this.bump(pages);
  }

  /** Of the runs of a bin the first that fits exactly, or the tightest fit of those at the front; 0 for none. */
  private fit(page: number, pages: number, bin: number): number {
    let best = 0;
    let bestPages = 0x7fffffff;
    // An exact bin fits at its head; a wide one is searched a little.
    for (let steps = 0; page !== 0 && steps < 64; steps++) {
      const length = this.runLength(page);
      if (length >= pages && length < bestPages) {
        best = page;
        bestPages = length;
        if (length === pages || bin < Run.ExactBins) break;
      }
      page = this.pageWords(page)[this.linkWord(page)]!;
    }
    return best;
  }

  private bump(pages: number): number {
    const { head, segments } = this;
    let segment = segments.count - 1;
    let at = head[Alloc.SegmentPages]!;
    if (at + pages > segments.pages) {
      if (segments.firstPage(segments.count) + pages > segments.pages) return -1;
      if (!segments.grow()) return -1;
      // What was left of the old segment stays usable, together with a free run that it touches.
      const left = segments.pages - at;
      if (left > 0) {
        this.addUsed(left);
        this.releaseRun(segment, at, left);
      }
      segment++;
      at = segments.firstPage(segment);
    }
    head[Alloc.SegmentPages] = at + pages;
    this.addUsed(pages);
    return (segment << Run.PageBits) | at;
  }

  private runLength(page: number): number {
    const segment = page >>> Run.PageBits;
    const entry = this.pageWords(page)[this.segments.mapWord(segment) + (page & Run.PageMask)]!;
    return (entry >>> 2) & Run.LengthMask;
  }

  /** Word of a run's links. */
  private linkWord(page: number): number {
    return this.segments.linkWord(page >>> Run.PageBits) + (page & Run.PageMask) * 2;
  }

  /** Takes the first pages of a free run. */
  private splitRun(page: number, pages: number): void {
    const segment = page >>> Run.PageBits;
    const first = page & Run.PageMask;
    const length = this.runLength(page);
    this.unlinkRun(segment, first, length);
    if (length > pages)
      this.linkRun(
        segment,
        first + pages,
        length - pages,
        Math.max(this.backedFrom, first + pages),
        this.backedTo,
      );
  }

  /** Makes pages that were in use a free run, together with those that it touches. */
  private releaseRun(segment: number, first: number, pages: number): void {
    const { segments } = this;
    this.addUsed(-pages);
    const { u32 } = segments.at(segment);
    const map = segments.mapWord(segment);
    u32.fill(0, map + first, map + first + pages);
    let from = first;
    let to = first + pages;
    if (first > segments.firstPage(segment)) {
      const before = u32[map + first - 1]!;
      if ((before & 3) === Kind.Free) {
        const length = (before >>> 2) & Run.LengthMask;
        this.unlinkRun(segment, first - length, length);
        if (this.backedTo > this.backedFrom) from = this.backedFrom;
        first -= length;
        pages += length;
      }
    }
    if (first + pages < segments.pages) {
      const after = u32[map + first + pages]!;
      if ((after & 3) === Kind.Free) {
        const length = (after >>> 2) & Run.LengthMask;
        this.unlinkRun(segment, first + pages, length);
        if (this.backedTo > this.backedFrom) to = this.backedTo;
        pages += length;
      }
    }
    if (!this.lazy && pages >= Run.AtOnce) {
      segments.at(segment).release(from * Size.PageBytes, to * Size.PageBytes);
      to = from;
    }
    this.linkRun(segment, first, pages, from, to);
  }

  /** Makes pages a free run of which the system may back [from, to). */
  private linkRun(segment: number, first: number, pages: number, from: number, to: number): void {
    const { head, segments } = this;
    const { u32 } = segments.at(segment);
    const map = segments.mapWord(segment);
    const cold = to <= from;
    const entry = Kind.Free | (pages << 2) | (cold ? Run.Cold : 0);
    u32[map + first] = entry;
    u32[map + first + pages - 1] = entry;
    const page = (segment << Run.PageBits) | first;
    const links = this.linkWord(page);
    const bin = (cold ? Alloc.ColdBins : Alloc.RunBins) + binOf(pages);
    const next = head[bin]!;
    u32[links] = next;
    u32[links + 1] = 0;
    if (next !== 0) this.pageWords(next)[this.linkWord(next) + 1] = page;
    head[bin] = page;
    if (cold) return;
    head[Alloc.BackedPages] = head[Alloc.BackedPages]! + to - from;
    if (pages === 1) return;
    u32[links + 2] = from;
    u32[links + 3] = to;
  }

  /** Takes a free run out of its bin; backedFrom and backedTo are its. */
  private unlinkRun(segment: number, first: number, pages: number): void {
    const { head, segments } = this;
    const { u32 } = segments.at(segment);
    const map = segments.mapWord(segment);
    const cold = (u32[map + first]! & Run.Cold) !== 0;
    u32[map + first] = 0;
    u32[map + first + pages - 1] = 0;
    const links = this.linkWord((segment << Run.PageBits) | first);
    const next = u32[links]!;
    const previous = u32[links + 1]!;
    if (previous === 0) head[(cold ? Alloc.ColdBins : Alloc.RunBins) + binOf(pages)] = next;
    else this.pageWords(previous)[this.linkWord(previous)] = next;
    if (next !== 0) this.pageWords(next)[this.linkWord(next) + 1] = previous;
    this.backedFrom = first;
    this.backedTo = first;
    if (cold) return;
    this.backedFrom = pages === 1 ? first : u32[links + 2]!;
    this.backedTo = pages === 1 ? first + 1 : u32[links + 3]!;
    head[Alloc.BackedPages] = head[Alloc.BackedPages]! - (this.backedTo - this.backedFrom);
  }

  /** Every invariant of this file, re-derived by walking all pages: O(memory), for tests. */
  check(): void {
    const { head, segments } = this;
    let used = 0;
    let live = 0;
    let backed = 0;
    let leaving = 0;
    const withRoom = new Int32Array(LEAVING + 1);
    const ofClass = new Int32Array(Size.ClassCount);
    for (let s = 0; s < segments.count; s++) {
      const { u32 } = segments.at(s);
      const map = segments.mapWord(s);
      const end = s === segments.count - 1 ? head[Alloc.SegmentPages]! : segments.pages;
      let previousFree = false;
      for (let page = segments.firstPage(s); page < end; ) {
        const entry = u32[map + page]!;
        const kind = entry & 3;
        assert(kind !== Kind.None, `page ${page} of segment ${s} belongs to something`);
        const index = (entry >>> 2) & 255;
        const length = kind === Kind.Span ? spanPagesOf[index]! : (entry >>> 2) & Run.LengthMask;
        if (kind === Kind.Span) {
          const span = page << 10;
          const counts = u32[span + 1]!;
          let free = 0;
          for (let h = u32[span]!; h !== 0; h = u32[(h & Handle.GranuleMask) * 2]!) {
            assert(h >>> Handle.SegmentShift === s, "a free slot stays in its segment");
            assert((h & Handle.GranuleMask) >>> 9 < page + length, "a free slot stays in its span");
            free++;
          }
          const spanLive = counts & 0xffff;
          assert(spanLive + free === counts >>> 16, `span ${page}: live + free = handed out`);
          assert(counts >>> 16 <= spanSlotsOf[index]!, `span ${page}: no slot beyond the last`);
          live += spanLive * slotBytesOf[index]!;
          const leaves = entry & Span.Leaving;
          if (leaves !== 0) {
            assert(spanLive > 0, `span ${page} has something to move`);
            leaving++;
          }
          for (let i = 0; i < length; i++)
            assert(
              u32[map + page + i] === (Kind.Span | (index << 2) | (i << Span.BackShift) | leaves),
              `page ${page + i} is the span's`,
            );
          if (leaves === 0) ofClass[index] = ofClass[index]! + 1;
          const list = leaves === 0 ? index : LEAVING;
          if (leaves !== 0 || spanLive < spanSlotsOf[index]!) withRoom[list] = withRoom[list]! + 1;
        } else if (kind === Kind.Large) live += length * Size.PageBytes;
        else {
          assert(!previousFree, `free runs at ${page} do not touch`);
          assert(u32[map + page + length - 1] === entry, `free run ${page} ends as it begins`);
          const links = segments.linkWord(s) + page * 2;
          const cold = (entry & Run.Cold) !== 0;
          const from = cold || length === 1 ? page : u32[links + 2]!;
          const to = cold ? page : length === 1 ? page + 1 : u32[links + 3]!;
          assert(page <= from && to <= page + length, `what is backed of free run ${page} is its`);
          assert(cold || from < to, `free run ${page} is cold when nothing is backed`);
          backed += to - from;
        }
        if (kind !== Kind.Free) used += length;
        previousFree = kind === Kind.Free;
        page += length;
      }
    }
    for (let list = 0; list <= LEAVING; list++) {
      let before = 0;
      let spans = 0;
      for (let page = head[Alloc.ClassHeads + list]!; page !== 0; spans++) {
        const words = this.pageWords(page);
        const entry = words[segments.mapWord(page >>> Run.PageBits) + (page & Run.PageMask)]!;
        const leaves = (entry & Span.LeavingMask) === Span.IsLeaving;
        assert(
          list === LEAVING ? leaves : (entry & 0x3ff) === (Kind.Span | (list << 2)) && !leaves,
          "a list has its own",
        );
        const span = (page & Run.PageMask) << 10;
        assert(words[span + 3] === before, `span ${page} knows the one before`);
        before = page;
        page = words[span + 2]!;
      }
      assert(spans === withRoom[list], `list ${list}: ${spans} spans of ${withRoom[list]} with room`);
    }
    for (let index = 0; index < Size.ClassCount; index++)
      assert(ofClass[index] === head[Alloc.Spans + index], `class ${index}: ${ofClass[index]} spans`);
    assert(used === head[Alloc.UsedPages]!, `used pages: counted ${used}, kept ${head[Alloc.UsedPages]}`);
    assert(backed === head[Alloc.BackedPages]!, `backed: counted ${backed}, kept ${head[Alloc.BackedPages]}`);
    assert(leaving === head[Alloc.LeavingSpans]!, `leaving: counted ${leaving}`);
    assert(live === this.liveBytes, `live bytes: counted ${live}, kept ${this.liveBytes}`);
  }
}
