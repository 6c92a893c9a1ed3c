// resident.ts: what of the process is in memory, as the kernel counts it, and the garbage that may be in it.
//
// The JS engine counts the segments, which it sees through array buffers, as its heap's own. With gigabytes of data it
// would let as much garbage pile up before it collects by itself. The data path makes next to none, but what it does
// make (texts of odd numbers, cold commands) would stay for days: so it is collected once it may have come to something.
// It has to be a whole one that gives memory back: the engine frees what garbage held (texts, above all) as it sweeps, which
// it leaves to an event loop that no worker here returns to. Some 4 ms for what has piled up until then.
// Neighbours: worker.ts calls `collectGarbage` once a second, compressor.ts `collectAll`; server-view.ts prints the size.

import { readFileSync } from "node:fs";

/** Growth of private memory after which a worker collects. */
const GROWTH_BYTES = 4 * 1024 * 1024;

/** Resident bytes, and those of them that are no segment's and no file's. */
export interface Resident {
  readonly bytes: number;
  readonly privateBytes: number;
}

export function resident(): Resident {
  try {
    const [, pages, shared] = readFileSync("/proc/self/statm", "latin1").split(" ");
    return { bytes: Number(pages) * 4096, privateBytes: (Number(pages) - Number(shared)) * 4096 };
  } catch {
    const bytes = process.memoryUsage.rss();
    return { bytes, privateBytes: bytes };
  }
}

let floor = 0;

/** Collects this thread's garbage if the process has grown since its last collection. */
export function collectGarbage(): void {
  const { privateBytes } = resident();
  if (privateBytes < floor) floor = privateBytes;
  if (privateBytes - floor < GROWTH_BYTES) return;
  collectAll();
  floor = resident().privateBytes;
}

/** Collects all garbage of this thread, and gives the memory back. */
export function collectAll(): void {
  Bun.gc(true);
}
