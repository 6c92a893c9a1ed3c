// reference-caches.ts: caches that eviction is held against, as plain simulations: keys are numbers, all of size 1.
//
//   MIN          Belady's optimum, which may refuse a key
//   LRU          exact
//   Redis LRU    5 samples, a pool of 16, and, kinder than Redis, exact idle times
//   S3-FIFO      Yang et al., SOSP 2023: exact queues, a tenth for the small one
// Off the data path. Neighbours: eviction.ts.
import type { Requests } from "./request-mixes.ts";

/** Hits among the requests from `from` on. */
export type Simulation = (requests: Requests, capacity: number, chance: () => number) => number;

/** Doubly linked lists over key numbers. */
class List {
  size = 0;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;

  constructor(private readonly end: number) {
    this.next = new Int32Array(end + 1);
    this.previous = new Int32Array(end + 1);
    this.next[end] = end;
    this.previous[end] = end;
  }

  push(key: number): void {
    const first = this.next[this.end]!;
    this.next[this.end] = key;
    this.previous[key] = this.end;
    this.next[key] = first;
    this.previous[first] = key;
    this.size++;
  }

  remove(key: number): void {
    const next = this.next[key]!;
    const previous = this.previous[key]!;
    this.next[previous] = next;
    this.previous[next] = previous;
    this.size--;
  }

  pop(): number {
    const last = this.previous[this.end]!;
    this.remove(last);
    return last;
  }
}

export const lru: Simulation = ({ keys, distinct, from }, capacity) => {
  const list = new List(distinct);
  const held = new Uint8Array(distinct);
  let hits = 0;
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    if (held[key] === 1) {
      if (i >= from) hits++;
      list.remove(key);
    } else {
      if (list.size >= capacity) held[list.pop()] = 0;
      held[key] = 1;
    }
    list.push(key);
  }
  return hits;
};

export const redisLru: Simulation = ({ keys, distinct, from }, capacity, chance) => {
  const last = new Int32Array(distinct);
  const place = new Int32Array(distinct).fill(-1);
  const held = new Int32Array(capacity);
  const pool: { key: number; last: number }[] = []; // the least recent at the end
  let size = 0;
  let hits = 0;
  const evict = () => {
    for (;;) {
      for (let i = 0; i < 5; i++) {
        const key = held[Math.floor(chance() * size)]!;
        if (pool.some((entry) => entry.key === key)) continue;
        if (pool.length === 16 && last[key]! >= pool[0]!.last) continue;
        let at = 0;
        while (at < pool.length && pool[at]!.last > last[key]!) at++;
        pool.splice(at, 0, { key, last: last[key]! });
        if (pool.length > 16) pool.shift();
      }
      for (let entry = pool.pop(); entry !== undefined; entry = pool.pop()) {
        const at = place[entry.key]!;
        if (at < 0) continue;
        place[entry.key] = -1;
        held[at] = held[--size]!;
        if (at < size) place[held[at]!] = at;
        return;
      }
    }
  };
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    last[key] = i;
    if (place[key]! >= 0) {
      if (i >= from) hits++;
      continue;
    }
    if (size >= capacity) evict();
    place[key] = size;
    held[size++] = key;
  }
  return hits;
};

export const s3fifo: Simulation = ({ keys, distinct, from }, capacity) => {
  const smallRoom = Math.max(1, Math.floor(capacity / 10));
  const mainRoom = capacity - smallRoom;
  const small = new List(distinct);
  const main = new List(distinct);
  const held = new Uint8Array(distinct);
  const asked = new Uint8Array(distinct);
  const gone = new Int32Array(distinct).fill(-1); // when it left small
  let leavers = 0;
  let hits = 0;
  const evictMain = () => {
    for (;;) {
      const key = main.pop();
      if (asked[key] === 0) {
        held[key] = 0;
        return;
      }
      asked[key] = asked[key]! - 1;
      main.push(key);
    }
  };
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    if (held[key] === 1) {
      if (i >= from) hits++;
      if (asked[key]! < 3) asked[key] = asked[key]! + 1;
      continue;
    }
    while (small.size + main.size >= capacity) {
      if (small.size < smallRoom && main.size > 0) {
        evictMain();
        continue;
      }
      const old = small.pop();
      if (asked[old]! > 1) {
        asked[old] = 0;
        main.push(old);
        while (main.size > mainRoom) evictMain();
      } else {
        held[old] = 0;
        gone[old] = leavers++;
      }
    }
    held[key] = 1;
    asked[key] = 0;
    const known = gone[key]! >= 0 && leavers - gone[key]! <= mainRoom;
    gone[key] = -1;
    (known ? main : small).push(key);
  }
  return hits;
};

export const min: Simulation = ({ keys, distinct, from }, capacity) => {
  const never = keys.length;
  const next = new Int32Array(keys.length);
  const seen = new Int32Array(distinct).fill(never);
  for (let i = keys.length - 1; i >= 0; i--) {
    next[i] = seen[keys[i]!]!;
    seen[keys[i]!] = i;
  }
  // A heap by next use, the furthest first; an entry counts while it says what `due` does.
  const heapDue = new Int32Array(keys.length + 1);
  const heapKey = new Int32Array(keys.length + 1);
  const due = new Int32Array(distinct).fill(-1);
  let heap = 0;
  let size = 0;
  let hits = 0;
  const add = (when: number, key: number) => {
    let at = heap++;
    for (; at > 0; at = (at - 1) >> 1) {
      const above = (at - 1) >> 1;
      if (heapDue[above]! >= when) break;
      heapDue[at] = heapDue[above]!;
      heapKey[at] = heapKey[above]!;
    }
    heapDue[at] = when;
    heapKey[at] = key;
  };
  const drop = () => {
    const when = heapDue[--heap]!;
    const key = heapKey[heap]!;
    let at = 0;
    for (let below = 1; below < heap; below = 2 * at + 1) {
      if (below + 1 < heap && heapDue[below + 1]! > heapDue[below]!) below++;
      if (heapDue[below]! <= when) break;
      heapDue[at] = heapDue[below]!;
      heapKey[at] = heapKey[below]!;
      at = below;
    }
    heapDue[at] = when;
    heapKey[at] = key;
  };
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    if (due[key]! >= 0) {
      if (i >= from) hits++;
      size--;
    }
    due[key] = -1;
    if (next[i] === never) continue;
    if (size >= capacity) {
      while (due[heapKey[0]!] !== heapDue[0]) drop();
      if (heapDue[0]! <= next[i]!) continue;
      due[heapKey[0]!] = -1;
      drop();
      size--;
    }
    due[key] = next[i]!;
    add(next[i]!, key);
    size++;
  }
  return hits;
};
