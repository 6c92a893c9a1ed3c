// lock.ts: one word that is both the mutual exclusion between the workers that write a shard and the version that
// lets any worker read it without writing anything (a seqlock whose writers exclude each other).
//
//   WORD  FIELD     WHO WRITES IT
//    0    version   whoever moves it from even to odd by compare-and-exchange, until it stores the next even value
//    1    waiters   workers asleep on the version word; counts
//
// Invariants: odd = one worker is inside; even = the shard is consistent and nobody writes; the version only grows
// (modulo 2^32). A reader that sees the same even version before and after saw no write in between.
// A worker that finds the lock taken spins briefly (the holder works for well under a microsecond), then sleeps in
// the kernel, so more workers than cores neither livelock nor starve. On the data path: no allocation.
// Neighbours: engine/shard/shard.ts places the words; engine/worker decides who locks what, in shard order.
import { futexWait, futexWake, isLinux } from "./native.ts";
import { need, Region } from "./region.ts";

const enum Spin {
  Tries = 100,
}

let waits = 0;
/** How often this thread had to sleep for a lock. */
export function lockWaits(): number {
  return waits;
}

let timespec: Region | null = null;
/** Address of a struct timespec of 5 ms: a bound on a sleep whose wake was lost, and the poll off Linux. */
function napAddress(): number {
  if (timespec === null) {
    timespec = need(Region.private(4096), "a lock's timeout");
    timespec.view.setInt32(8, 5_000_000, true);
  }
  return timespec.address;
}

/** Waits until the word is even and makes it odd. Returns the odd value to hand to `unlock`. */
export function lock(region: Region, word: number): number {
  const { i32 } = region;
  for (;;) {
    for (let spin = 0; spin < Spin.Tries; spin++) {
      const version = Atomics.load(i32, word);
      if ((version & 1) === 0 && Atomics.compareExchange(i32, word, version, version + 1) === version)
        return version + 1;
    }
    const version = Atomics.load(i32, word);
    if ((version & 1) === 0) continue;
    waits++;
    Atomics.add(i32, word + 1, 1);
    if (isLinux) futexWait(region.address + word * 4, version, napAddress());
    Atomics.sub(i32, word + 1, 1);
  }
}

/** Makes the word even again and wakes one sleeper if there is any. */
export function unlock(region: Region, word: number, version: number): void {
  Atomics.store(region.i32, word, version + 1);
  if (Atomics.load(region.i32, word + 1) !== 0) futexWake(region.address + word * 4, 1);
}

/** The version to read under, or -1 while a writer is inside (an odd version is never -1: it wraps through 0). */
export function readBegin(region: Region, word: number): number {
  const version = Atomics.load(region.i32, word);
  return (version & 1) === 0 ? version : -1;
}

/** Whether everything read since `readBegin` returned `version` was read from one consistent state. */
export function readValid(region: Region, word: number, version: number): boolean {
  return Atomics.load(region.i32, word) === version;
}
