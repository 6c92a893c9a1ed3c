// deadlines.ts: things that fall due, the earliest first: a binary heap of objects that know their place in it, so that
// one which is done before its time leaves at once. Adding and removing allocate nothing in the steady state.
// On the data path of blocking commands. Neighbours: waiters.ts.
import { assert } from "../memory/assert.ts";

export interface Due {
  /** ms since the epoch; not to change while it is in the heap. */
  dueMs: number;
  /** Its place in the heap, -1 outside. */
  place: number;
}

export class Deadlines<T extends Due> {
  private readonly heap: T[] = [];

  /** When the next one is due, Infinity for never. */
  get nextMs(): number {
    return this.heap.length === 0 ? Number.POSITIVE_INFINITY : this.heap[0]!.dueMs;
  }

  /** The one that is due first, null for none. */
  get first(): T | null {
    return this.heap.length === 0 ? null : this.heap[0]!;
  }

  add(item: T): void {
    assert(item.place < 0, "what is added is not in the heap");
    this.heap.push(item);
    this.raise(item, this.heap.length - 1);
  }

  /** Removes an item, if it is there. */
  remove(item: T): void {
    const { heap } = this;
    const { place } = item;
    if (place < 0) return;
    item.place = -1;
    const last = heap.pop()!;
    if (last === item) return;
    if (place > 0 && heap[(place - 1) >> 1]!.dueMs > last.dueMs) this.raise(last, place);
    else this.lower(last, place);
  }

  /** Puts an item at `place` or above it. */
  private raise(item: T, place: number): void {
    const { heap } = this;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = heap[above]!;
      if (parent.dueMs <= item.dueMs) break;
      heap[place] = parent;
      parent.place = place;
      place = above;
    }
    heap[place] = item;
    item.place = place;
  }

  /** Puts an item at `place` or below it. */
  private lower(item: T, place: number): void {
    const { heap } = this;
    for (;;) {
      let below = place * 2 + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && heap[below + 1]!.dueMs < heap[below]!.dueMs) below++;
      const child = heap[below]!;
      if (child.dueMs >= item.dueMs) break;
      heap[place] = child;
      child.place = place;
      place = below;
    }
    heap[place] = item;
    item.place = place;
  }
}
