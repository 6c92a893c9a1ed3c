// allocator.ts: hands out slots of the segments of one shard and takes them back.
//
// A handle is a u32: segment number in the top 5 bits, 8-byte granule within it in the other 27. 0 is "none".
// A segment of up to 1 GiB is divided into 4 KiB pages. Small requests come from spans, runs of 1 to 32 pages cut into
// slots of one size class; larger ones are page runs of their own.
//
// Segment:   [superblock, segment 0 only][page map: u32 a page][pages ...]
// Page map entry (who writes: whoever holds the shard's lock, as everything here):
//   bits 0-1   kind: 0 untouched or inside a run, 1 span, 2 free run (first and last page), 3 large run (first page)
//   span:      bits 2-9 class, bits 10-15 pages back to the span's first page
//   free run:  bits 2-20 length in pages, bit 21 its pages were given back to the system
//   large run: bits 2-20 length in pages
// Span header (16 bytes at its first page), all u32:
//   0 first free slot (handle, 0 none)   1 live slots (low 16) and slots ever handed out (high 16)
//   2 next, 3 previous span of this class with room (global page numbers, 0 none)
// A free slot holds the handle of the next free one in its first word and 0 in the second.
// A free run holds next and previous run of its bin in the first 8 bytes of its first page.
// State words live in the superblock (Alloc), so that any worker holding the lock, or a later process, continues.
//
// Invariants: live + free slots + never handed out = slots of the span; a span with room is on its class's list and a
// full one is not; no two free runs touch; usedPages counts pages in spans and large runs.
// On the data path: no allocation in the JS sense. Every handle given to `free` must come from `allocate`.
// Neighbours: size-classes.ts; segments.ts gives regions; shard.ts owns one allocator a shard.
import { assert } from "./assert.ts";
import type { Region } from "./region.ts";
import type { Segments } from "./segments.ts";
import { classOf, Size, slotBytesOf, spanPagesOf, spanSlotsOf, spanStartOf } from "./size-classes.ts";

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
  ClassHeads = 72, // 255 words
  RunBins = 328, // 32 exact bins (1..32 pages), then 18 by power of two
  /** A word a segment: free pages below this one may still be backed by the system; 0 for none. */
  Backed = 384,
  End = 416,
}

const enum Kind {
  None = 0,
  Span = 1,
  Free = 2,
  Large = 3,
}

const enum Run {
  ExactBins = 32,
  Bins = 50,
  LengthMask = 0x7ffff,
  Released = 1 << 21,
  PageBits = 18, // pages in a segment of 1 GiB
  PageMask = (1 << 18) - 1,
}

function binOf(pages: number): number {
  return pages <= Run.ExactBins ? pages - 1 : Run.ExactBins + (26 - Math.clz32(pages));
}

export class Allocator {
  private readonly head: Int32Array;
  /** Pages that this object's `free` has given back to the system so far: what takes the time in freeing much. */
  givenBack = 0;

  constructor(private readonly segments: Segments) {
    this.head = segments.at(0).i32;
    if (this.head[Alloc.SegmentPages] === 0) this.reset();
  }

  /** Bytes of all pages in use by spans and large runs. */
  get committedBytes(): number {
    return this.head[Alloc.UsedPages]! * Size.PageBytes;
  }

  /** Bytes of all live slots and runs, rounding included. */
  get liveBytes(): number {
    return (this.head[Alloc.LiveGranulesHigh]! * 0x40000000 + this.head[Alloc.LiveGranulesLow]!) * 8;
  }

  /** Forgets everything allocated. The pages stay with the process until `releaseStep` gives them back, as the system
   *  takes milliseconds for every 64 MiB of that. O(page map in use): 50 us a GiB. */
  reset(): void {
    const { head, segments } = this;
    const newest = segments.count - 1;
    for (let s = 0; s <= newest; s++) {
      const used = s === newest ? head[Alloc.SegmentPages]! : segments.pages;
      const first = segments.firstPage(s);
      if (used > first) segments.at(s).u32.fill(0, segments.mapWord(s), segments.mapWord(s) + used);
      head[Alloc.Backed + s] = Math.max(used, head[Alloc.Backed + s]!);
    }
    head.fill(0, Alloc.UsedPages, Alloc.Backed);
    for (let s = 0; s < newest; s++) {
      // Older segments become one free run each; the newest goes on by its bump mark.
      const first = segments.firstPage(s);
      this.linkRun(s, first, segments.pages - first, Run.Released);
    }
    head[Alloc.SegmentPages] = segments.firstPage(newest);
  }

  /** Gives up to `pages` pages that `reset` left back to the system. True when there are none left. */
  releaseStep(pages: number): boolean {
    const { head, segments } = this;
    const newest = segments.count - 1;
    for (let s = 0; s <= newest; s++) {
      const top = head[Alloc.Backed + s]!;
      if (top === 0) continue;
      // What is free at the end of a segment: all from the bump mark on, or the run that ends it.
      let free = head[Alloc.SegmentPages]!;
      if (s < newest) {
        const entry = segments.at(s).u32[segments.mapWord(s) + segments.pages - 1]!;
        const length = (entry & 3) === Kind.Free ? (entry >>> 2) & Run.LengthMask : 0;
        free = segments.pages - length + 1; // the run's first page holds its links
      }
      const from = Math.max(free, top - pages);
      if (from < top) segments.at(s).release(from * Size.PageBytes, top * Size.PageBytes);
      head[Alloc.Backed + s] = from > free && from < top ? from : 0;
      return false;
    }
    return true;
  }

  /** Whether releaseStep has something to do. */
  get releasable(): boolean {
    const { head, segments } = this;
    for (let s = 0; s < segments.count; s++) if (head[Alloc.Backed + s] !== 0) return true;
    return false;
  }

  /** The region a handle points into. Undefined for a handle no allocator made: the caller decides who may ask. */
  regionOf(handle: number): Region {
    return this.segments.at(handle >>> Handle.SegmentShift);
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
    const index = classOf(bytes);
    const { head, segments } = this;
    let page = head[Alloc.ClassHeads + index]!;
    if (page === 0) {
      page = this.newSpan(index);
      if (page === 0) return 0;
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
    const index = (entry >>> 2) & 255;
    const first = page - (entry >>> 10);
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
    if (live === spanSlotsOf[index]! - 1) this.linkSpan(index, global);
    // An empty span goes back unless it is the only one with room: the next allocation would fetch it again.
    if (live === 0 && (head[Alloc.ClassHeads + index] !== global || u32[span + 2] !== 0)) {
      this.unlinkSpan(index, global);
      this.releaseRun(segment, first, spanPagesOf[index]!);
    }
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

  private newSpan(index: number): number {
    const pages = spanPagesOf[index]!;
    const page = this.takeRun(pages);
    if (page < 0) return 0;
    const segment = page >>> Run.PageBits;
    const first = page & Run.PageMask;
    const { u32 } = this.segments.at(segment);
    const map = this.segments.mapWord(segment) + first;
    for (let i = 0; i < pages; i++) u32[map + i] = Kind.Span | (index << 2) | (i << 10);
    const span = first << (Size.PageShift - 2);
    u32[span] = 0;
    u32[span + 1] = 0;
    this.linkSpan(index, page);
    return page;
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
          this.unlinkSpan(index, page);
          this.releaseRun(page >>> Run.PageBits, page & Run.PageMask, spanPagesOf[index]!);
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
      let page = head[Alloc.RunBins + bin]!;
      let best = 0;
      let bestPages = 0x7fffffff;
      // An exact bin fits at its head; a wide one is searched a little for the tightest fit.
      for (let steps = 0; page !== 0 && steps < 64; steps++) {
        const length = this.runLength(page);
        if (length >= pages && length < bestPages) {
          best = page;
          bestPages = length;
          if (length === pages || bin < Run.ExactBins) break;
        }
        page = this.pageWords(page)[(page & Run.PageMask) << 10]!;
      }
      if (best !== 0) {
        this.splitRun(best, bestPages, pages);
        head[Alloc.UsedPages] = head[Alloc.UsedPages]! + pages;
        return best;
      }
    }
    return this.bump(pages);
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
        head[Alloc.UsedPages] = head[Alloc.UsedPages]! + left;
        this.releaseRun(segment, at, left);
      }
      segment++;
      at = segments.firstPage(segment);
    }
    head[Alloc.SegmentPages] = at + pages;
    head[Alloc.UsedPages] = head[Alloc.UsedPages]! + pages;
    return (segment << Run.PageBits) | at;
  }

  private runLength(page: number): number {
    const segment = page >>> Run.PageBits;
    const entry = this.pageWords(page)[this.segments.mapWord(segment) + (page & Run.PageMask)]!;
    return (entry >>> 2) & Run.LengthMask;
  }

  private splitRun(page: number, length: number, pages: number): void {
    const segment = page >>> Run.PageBits;
    const first = page & Run.PageMask;
    const { u32 } = this.segments.at(segment);
    const map = this.segments.mapWord(segment);
    const released = u32[map + first]! & Run.Released;
    this.unlinkRun(segment, first, length);
    if (length > pages) this.linkRun(segment, first + pages, length - pages, released);
  }

  private releaseRun(segment: number, first: number, pages: number): void {
    const { segments, head } = this;
    head[Alloc.UsedPages] = head[Alloc.UsedPages]! - pages;
    const { u32 } = segments.at(segment);
    const map = segments.mapWord(segment);
    u32.fill(0, map + first, map + first + pages);
    // What of the merged run the system still backs: the new pages, and neighbours that were not given back yet. The first
    // page of a run is kept, for it holds the links.
    let from = first + 1;
    let to = first + pages;
    let released = 0;
    if (first > segments.firstPage(segment)) {
      const before = u32[map + first - 1]!;
      if ((before & 3) === Kind.Free) {
        const length = (before >>> 2) & Run.LengthMask;
        this.unlinkRun(segment, first - length, length);
        from = (before & Run.Released) !== 0 ? first : first - length + 1;
        first -= length;
        pages += length;
      }
    }
    if (first + pages < segments.pages) {
      const after = u32[map + first + pages]!;
      if ((after & 3) === Kind.Free) {
        const length = (after >>> 2) & Run.LengthMask;
        this.unlinkRun(segment, first + pages, length);
        to += (after & Run.Released) !== 0 ? 1 : length;
        pages += length;
      }
    }
    if (pages >= 64) {
      // A large hole goes back to the system at once.
      segments.at(segment).release(from * Size.PageBytes, to * Size.PageBytes);
      this.givenBack += to - from;
      released = Run.Released;
    }
    this.linkRun(segment, first, pages, released);
  }

  private linkRun(segment: number, first: number, pages: number, released: number): void {
    const { head, segments } = this;
    const { u32 } = segments.at(segment);
    const map = segments.mapWord(segment);
    const entry = Kind.Free | (pages << 2) | released;
    u32[map + first] = entry;
    u32[map + first + pages - 1] = entry;
    const page = (segment << Run.PageBits) | first;
    const bin = binOf(pages);
    const next = head[Alloc.RunBins + bin]!;
    u32[first << 10] = next;
    u32[(first << 10) + 1] = 0;
    if (next !== 0) this.pageWords(next)[((next & Run.PageMask) << 10) + 1] = page;
    head[Alloc.RunBins + bin] = page;
  }

  private unlinkRun(segment: number, first: number, pages: number): void {
    const { head, segments } = this;
    const { u32 } = segments.at(segment);
    const map = segments.mapWord(segment);
    u32[map + first] = 0;
    u32[map + first + pages - 1] = 0;
    const next = u32[first << 10]!;
    const previous = u32[(first << 10) + 1]!;
    if (previous === 0) head[Alloc.RunBins + binOf(pages)] = next;
    else this.pageWords(previous)[(previous & Run.PageMask) << 10] = next;
    if (next !== 0) this.pageWords(next)[((next & Run.PageMask) << 10) + 1] = previous;
  }

  /** Every invariant of this file, re-derived by walking all pages: O(memory), for tests. */
  check(): void {
    const { head, segments } = this;
    let used = 0;
    let live = 0;
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
          assert((counts & 0xffff) + free === counts >>> 16, `span ${page}: live + free = handed out`);
          assert(counts >>> 16 <= spanSlotsOf[index]!, `span ${page}: no slot beyond the last`);
          live += (counts & 0xffff) * slotBytesOf[index]!;
        } else if (kind === Kind.Large) live += length * Size.PageBytes;
        else assert(!previousFree, `free runs at ${page} do not touch`);
        if (kind !== Kind.Free) used += length;
        previousFree = kind === Kind.Free;
        page += length;
      }
    }
    assert(used === head[Alloc.UsedPages]!, `used pages: counted ${used}, kept ${head[Alloc.UsedPages]}`);
    assert(live === this.liveBytes, `live bytes: counted ${live}, kept ${this.liveBytes}`);
  }
}
