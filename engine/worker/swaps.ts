// swaps.ts: finished work of the compressor on its way to the workers, who put it in place: a ring a worker.
//
// The compressor holds no lock: a thread that shares its core with a worker would sooner or later be stopped while it holds
// one. It appends what it made of a value, with the bytes it was made of, and the worker whose turn it is puts it in place if
// the key still has them (Shard.compress). So a write at any moment wins, and a torn read is noticed. A worker also says to
// which retired dictionaries nothing refers any more.
//
// Ring (bytes)          WHO WRITES IT
//      0  u32 head      the compressor: bytes ever appended, modulo 2^32, in steps of 8
//     64  u32 tail      the worker: bytes ever taken
//   4096  data          entries in one piece; one of 0 bytes sends the reader to the begin
// Entry, u32 each: bytes of it, shard | database << 16, handle, bytes of key, raw value, stored value; then these three.
// The worker's part is on the path of a turn: one load while nothing has come, else at most `most` values.
// Neighbours: sweeper.ts appends; worker.ts applies.
import { DictionaryLimit, Of, State } from "../compress/dictionaries.ts";
import { Key } from "../memory/key.ts";
import { copyBytes, need, Region } from "../memory/region.ts";
import type { Keyspace } from "../shard/keyspace.ts";

const DATA_AT = 4096;
const DATA_BYTES = 2 ** 19;
const RING_BYTES = DATA_AT + DATA_BYTES;
const TAIL_WORD = 16;
const ENTRY_BYTES = 24;

/** What another thread needs to attach. */
export interface SwapsPlan {
  readonly address: number;
  readonly bytes: number;
  readonly workers: number;
}

export class Swaps {
  private readonly key: Key;

  private constructor(
    private readonly region: Region,
    readonly plan: SwapsPlan,
  ) {
    this.key = new Key(region);
  }

  static create(workers: number): Swaps {
    const bytes = workers * RING_BYTES;
    const region = need(Region.shared(bytes), "the compressor's rings");
    return new Swaps(region, { address: region.address, bytes, workers });
  }

  static attach(plan: SwapsPlan): Swaps {
    return new Swaps(Region.attach(plan.address, plan.bytes), plan);
  }

  private used(worker: number): number {
    const word = (worker * RING_BYTES) >> 2;
    const { i32 } = this.region;
    return (Atomics.load(i32, word) - Atomics.load(i32, word + TAIL_WORD)) >>> 0;
  }

  /** Whether something has come for a worker. */
  pending(worker: number): boolean {
    return this.used(worker) !== 0;
  }

  /** Whether all that was appended has been taken. */
  get idle(): boolean {
    for (let worker = 0; worker < this.plan.workers; worker++) if (this.pending(worker)) return false;
    return true;
  }

  /** Appends for a worker what was made of a value of one of its shards. All three lie in `source`. False when the ring is
   *  full. */
  append(
    worker: number,
    shard: number,
    db: number,
    handle: number,
    source: Region,
    keyStart: number,
    keyBytes: number,
    rawStart: number,
    rawBytes: number,
    storedStart: number,
    storedBytes: number,
  ): boolean {
    const { region } = this;
    const ring = worker * RING_BYTES;
    const bytes = (ENTRY_BYTES + keyBytes + rawBytes + storedBytes + 7) & ~7;
    const head = Atomics.load(region.i32, ring >> 2);
    const at = (head >>> 0) % DATA_BYTES;
    const skipped = at + bytes > DATA_BYTES ? DATA_BYTES - at : 0;
    if (this.used(worker) + skipped + bytes > DATA_BYTES - 8) return false;
    const { u32 } = region;
    if (skipped > 0) u32[(ring + DATA_AT + at) >> 2] = 0;
    const entry = ring + DATA_AT + (skipped > 0 ? 0 : at);
    const word = entry >> 2;
    u32[word] = bytes;
    u32[word + 1] = shard | (db << 16);
    u32[word + 2] = handle;
    u32[word + 3] = keyBytes;
    u32[word + 4] = rawBytes;
    u32[word + 5] = storedBytes;
    copyBytes(region, entry + ENTRY_BYTES, source, keyStart, keyBytes);
    copyBytes(region, entry + ENTRY_BYTES + keyBytes, source, rawStart, rawBytes);
    copyBytes(region, entry + ENTRY_BYTES + keyBytes + rawBytes, source, storedStart, storedBytes);
    Atomics.store(region.i32, ring >> 2, (head + skipped + bytes) | 0);
    return true;
  }

  /** Puts in place up to `most` values of up to some `mostBytes` bytes that have come for a worker, under their shards'
   *  locks. */
  apply(worker: number, keyspace: Keyspace, most: number, mostBytes: number): void {
    const { region, key } = this;
    const ring = worker * RING_BYTES;
    const tailWord = (ring >> 2) + TAIL_WORD;
    let bytesLeft = mostBytes;
    for (let left = most; left > 0 && bytesLeft > 0 && this.pending(worker); left--) {
      const tail = Atomics.load(region.i32, tailWord);
      const at = (tail >>> 0) % DATA_BYTES;
      const entry = ring + DATA_AT + at;
      const word = entry >> 2;
      const { u32 } = region;
      const bytes = u32[word]!;
      if (bytes === 0) {
        Atomics.store(region.i32, tailWord, (tail + DATA_BYTES - at) | 0);
        continue;
      }
      const shard = keyspace.shards[u32[word + 1]! & 0xffff]!;
      const keyBytes = u32[word + 3]!;
      const rawBytes = u32[word + 4]!;
      const raw = entry + ENTRY_BYTES + keyBytes;
      key.set(region, entry + ENTRY_BYTES, keyBytes);
      shard.lock();
      try {
        shard.compress(
          u32[word + 1]! >>> 16,
          key,
          u32[word + 2]!,
          region,
          raw,
          rawBytes,
          raw + rawBytes,
          u32[word + 5]!,
        );
      } finally {
        shard.unlock();
        Atomics.store(region.i32, tailWord, (tail + bytes) | 0);
      }
      bytesLeft -= bytes;
    }
  }

  /** Looks for retired dictionaries to which nothing refers any more, and says so. Once a second, by one worker. */
  releaseRetired(keyspace: Keyspace): void {
    const { dictionaries } = keyspace.codec;
    if (dictionaries.live === 0) return;
    for (let number = 1; number < DictionaryLimit.Count; number++) {
      if (dictionaries.state(number) !== State.Retired || dictionaries.sumOf(number, Of.Values) !== 0)
        continue;
      // Again with all locks, as a value may have been on its way from one shard to another; and with nothing in the rings,
      // as what was made before it was retired may be there.
      keyspace.lockAll();
      if (this.idle && dictionaries.sumOf(number, Of.Values) === 0) dictionaries.release(number);
      keyspace.unlockAll();
    }
  }
}
