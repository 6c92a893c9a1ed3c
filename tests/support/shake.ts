// shake.ts: lets spans leave at random, whether that makes sense or not, so that a defragmenting walk has much to move
// (engine/shard/defrag.ts).
import { Span } from "../../engine/memory/allocator.ts";
import type { Shard } from "../../engine/shard/shard.ts";

/** Lets a share of the spans leave, full ones too. Under the lock. */
export function shake({ allocator, segments }: Shard, share: number, next: () => number): void {
  for (let s = 0; s < segments.count; s++) {
    const { u32 } = segments.at(s);
    const map = segments.mapWord(s);
    for (let page = segments.firstPage(s); page < segments.pages; page++) {
      const entry = u32[map + page]!;
      const first = (entry & 3) === 1 && ((entry >>> Span.BackShift) & Span.BackMask) === 0;
      if (first && (entry & Span.Leaving) === 0 && next() < share) allocator.leave(s, page);
    }
  }
}
