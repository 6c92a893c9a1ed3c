// evacuation.ts: decides which spans of a shard leave, so that what is left in few slots of many spans comes to lie in
// many slots of few.
//
// A first pass over the page map counts the spans, class by class, by how full they are. Of each class as many may go as
// its free slots, but for a small share, are spans: what lives in those that go fits the free slots of the rest. The few
// spans of a class all go when what lives there fits free slots that are a little larger. Of classes
// with much that is loose (mover.ts) some more may go, full ones too: what lives there fits fewer bytes of other classes,
// so memory grows by less than those take before it shrinks, and they are a few megabytes at a time. A second pass lets
// them leave, the emptiest first. What has changed between the passes only makes the choice worse.
// Both passes go in bounded steps, each a look at the page map's entry and the header of a span.
// What the passes keep is this object's: nothing but the spans' own marks (allocator.ts) outlives it.
// Off the data path. Neighbours: allocator.ts, engine/shard/defrag.ts.
import { Alloc, type Allocator, Span } from "./allocator.ts";
import type { Mover } from "./mover.ts";
import { lastNearOf, Size, spanPagesOf, spanSlotsOf } from "./size-classes.ts";

/** Steps of fullness that are told apart; the last is that of full spans. */
const LEVELS = 33;
/** Spans with room stay for this share of a class's live slots, as a shift: what comes next needs slots too. */
const SPARE_SHIFT = 6;
/** A class is loose when this share of what was seen of it is. */
const LOOSE_SHARE = 1 / 16;
/** Spans of loose classes leave up to this share of the bytes in use at a time, less where memory is nearly out, and this many
 *  bytes at least. */
const LOOSE_BATCH = 1 / 8;
const FRUGAL_BATCH = 1 / 32;
const LEAST_BATCH = 4 << 20;

export class Evacuation {
  /** Spans with room of each class, level by level: how many there are, then how many of them are to leave. */
  private readonly spans = new Int32Array(Size.ClassCount * LEVELS);
  private readonly live = new Float64Array(Size.ClassCount);
  private readonly free = new Float64Array(Size.ClassCount);
  private segment = 0;
  private page = 0;
  private choosing = false;
  /** Memory is nearly out. */
  frugal = false;

  constructor(
    private readonly allocator: Allocator,
    private readonly mover: Mover,
  ) {}

  /** Begins anew with the first pass. */
  begin(): void {
    this.spans.fill(0);
    this.live.fill(0);
    this.free.fill(0);
    this.segment = 0;
    this.page = 0;
    this.choosing = false;
  }

  /** Looks at about `runs` spans and free runs. True when both passes are done. */
  step(runs: number): boolean {
    if (!this.pass(runs)) return false;
    this.segment = 0;
    this.page = 0;
    if (this.choosing) return true;
    this.choosing = true;
    return !this.choose();
  }

  /** Turns counts of spans into how many are to leave. Whether any are. */
  private choose(): boolean {
    const { spans, live, free, mover, allocator } = this;
    const share = this.frugal ? FRUGAL_BATCH : LOOSE_BATCH;
    let batch = Math.max(LEAST_BATCH, allocator.committedBytes * share);
    let any = false;
    for (let index = 0; index < Size.ClassCount; index++) {
      const spare = live[index]! / (1 << SPARE_SHIFT);
      let going = Math.floor((free[index]! - spare) / spanSlotsOf[index]!);
      let count = 0;
      for (let level = 0; level < LEVELS; level++) count += spans[index * LEVELS + level]!;
      if (count > 0 && count < Size.FewSpans && this.fitsNear(index)) going = count;
      if (batch > 0 && mover.loose[index]! > mover.seen[index]! * LOOSE_SHARE) {
        const spanBytes = spanPagesOf[index]! * Size.PageBytes;
        const more = Math.min(count, Math.ceil(batch / spanBytes));
        batch -= more * spanBytes;
        going = Math.max(going, more);
      }
      for (let level = 0; level < LEVELS; level++) {
        const at = index * LEVELS + level;
        spans[at] = Math.max(0, Math.min(spans[at]!, going));
        going -= spans[at]!;
        if (spans[at]! > 0) any = true;
      }
    }
    return any;
  }

  /** Whether what lives in a class fits the free slots of those where it may lie as well; then they are taken. */
  private fitsNear(index: number): boolean {
    const { live, free } = this;
    const last = lastNearOf[index]!;
    let room = 0;
    for (let near = index + 1; near <= last; near++) room += free[near]!;
    let left = live[index]!;
    if (left > room) return false;
    for (let near = index + 1; near <= last; near++) {
      const taken = Math.min(left, free[near]!);
      free[near] = free[near]! - taken;
      left -= taken;
    }
    return true;
  }

  /** Goes on with a pass. True at its end. */
  private pass(runs: number): boolean {
    const { segments } = this.allocator;
    for (; this.segment < segments.count; this.segment++) {
      const { segment } = this;
      const { u32 } = segments.at(segment);
      const map = segments.mapWord(segment);
      const begin = segments.firstPage(segment);
      const end = segment === segments.count - 1 ? segments.at(0).i32[Alloc.SegmentPages]! : segments.pages;
      let page = Math.max(begin, this.page);
      while (page < end) {
        if (runs-- <= 0) {
          this.page = page;
          return false;
        }
        // The map may have changed since the pass was here, by its own doing too: `page` may be anywhere.
        while (page < end && u32[map + page] === 0) page++; // inside a run
        if (page >= end) break;
        const entry = u32[map + page]!;
        if ((entry & 3) === 1) {
          const index = (entry >>> Span.ClassShift) & Span.ClassMask;
          const first = page - ((entry >>> Span.BackShift) & Span.BackMask);
          page = first + spanPagesOf[index]!;
          if ((entry & Span.Leaving) === 0)
            this.look(segment, first, index, u32[(first << 10) + 1]! & 0xffff);
          continue;
        }
        const length = (entry >>> 2) & 0x7ffff;
        // The last page of a free run looks as its first one.
        const last = length > 1 && page - length + 1 >= begin && u32[map + page - length + 1] === entry;
        page += last ? 1 : length;
      }
      this.page = 0;
    }
    return true;
  }

  private look(segment: number, page: number, index: number, live: number): void {
    const { spans } = this;
    const slots = spanSlotsOf[index]!;
    const at = index * LEVELS + Math.floor((live * (LEVELS - 1)) / slots);
    if (!this.choosing) {
      this.live[index] = this.live[index]! + live;
      this.free[index] = this.free[index]! + slots - live;
      spans[at] = spans[at]! + 1;
    } else if (spans[at]! > 0) {
      spans[at] = spans[at]! - 1;
      this.allocator.leave(segment, page);
    }
  }
}
