// buffer-pool.ts: regions of a power of two for requests that arrive in pieces and replies that their reader does not
// take at once. Kept for reuse and never unmapped; what is large gives its pages back when it is returned.
// One a worker. Not on the path of a connection whose requests arrive whole and whose reader keeps up.
import { Region } from "../memory/region.ts";

const SMALLEST_SHIFT = 12;
const LARGEST_SHIFT = 30;
/** Returned regions keep their pages for the next taker up to this many bytes in all; beyond it they give them back. */
const KEEP_BYTES = 16 * 1024 * 1024;
/** And up to this share of the memory that there may be: they count in it, and no key is to go for them. */
const KEEP_SHARE = 1 / 64;

export class BufferPool {
  private readonly free: Region[][] = Array.from({ length: LARGEST_SHIFT + 1 }, () => []);
  /** Regions whose pages were given back, taken only when none with pages is left. */
  private readonly bare: Region[][] = Array.from({ length: LARGEST_SHIFT + 1 }, () => []);
  private keptBytes = 0;
  private mostKept = KEEP_BYTES;
  /** Bytes of regions that are out. */
  usedBytes = 0;

  /** Bytes of regions that are out, or kept with their pages for the next taker. */
  get heldBytes(): number {
    return this.usedBytes + this.keptBytes;
  }

  /** A region of at least `bytes`, or null when that is over 1 GiB or the system refuses. */
  take(bytes: number): Region | null {
    if (bytes > 2 ** LARGEST_SHIFT) return null;
    const shift = Math.max(SMALLEST_SHIFT, 32 - Math.clz32(bytes - 1));
    const kept = this.free[shift]!.pop();
    if (kept !== undefined) this.keptBytes -= kept.bytes;
    const region = kept ?? this.bare[shift]!.pop() ?? Region.private(2 ** shift);
    if (region !== null) this.usedBytes += region.bytes;
    return region;
  }

  give(region: Region): void {
    this.usedBytes -= region.bytes;
    const shift = 31 - Math.clz32(region.bytes);
    if (this.keptBytes + region.bytes <= this.mostKept) {
      this.keptBytes += region.bytes;
      this.free[shift]!.push(region);
    } else this.strip(region, shift);
  }

  /** Gives a region's pages back to the system, and keeps its addresses. */
  private strip(region: Region, shift: number): void {
    region.release(0, region.bytes);
    this.bare[shift]!.push(region);
  }

  /** Keeps no more than befits a ceiling of so many bytes, 0 for none. */
  setLimit(bytes: number): void {
    this.mostKept = bytes === 0 ? KEEP_BYTES : Math.min(KEEP_BYTES, bytes * KEEP_SHARE);
    for (let shift = LARGEST_SHIFT; shift >= SMALLEST_SHIFT; shift--)
      while (this.keptBytes > this.mostKept && this.free[shift]!.length > 0) {
        const region = this.free[shift]!.pop()!;
        this.keptBytes -= region.bytes;
        this.strip(region, shift);
      }
  }
}
