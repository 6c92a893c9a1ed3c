// segments.ts: the segments of one shard, as every worker sees them. The worker that holds the shard's lock makes a new
// one and publishes its address in the superblock; the others attach when they first meet a handle into it.
//
// The superblock is the first 8 KiB of segment 0; `Super` below is the one place that gives its offsets.
// Invariants: a published segment stays for the life of the process.
// Neighbours: allocator.ts divides segments into pages; shard.ts owns the rest of the superblock.
import { need, Region } from "./region.ts";
import { Size } from "./size-classes.ts";

/** i32 word numbers of the superblock; f64 fields are given as the f64 index. */
export const enum Super {
  LockVersion = 0,
  LockWaiters = 1,
  SegmentCount = 16,
  SegmentBytes = 17,
  // 64..427: the allocator (Alloc in allocator.ts)
  Addresses = 256, // f64 index: words 512..575
  Shard = 640, // i32 word: the shard's own fields from here on (shard.ts)
  // 1280..1534: the allocator (Alloc in allocator.ts)
  Bytes = 8192,
}

export const enum SegmentLimit {
  Count = 32,
}

export class Segments {
  private readonly regions: Region[] = [];
  /** Pages in each segment. */
  readonly pages: number;

  private constructor(
    first: Region,
    readonly segmentBytes: number,
  ) {
    this.regions.push(first);
    this.pages = segmentBytes / Size.PageBytes;
  }

  /** A shard's first segment, fresh. `segmentBytes`: at most 1 GiB, a multiple of 1 MiB. */
  static create(segmentBytes: number): Segments {
    const first = need(Region.shared(segmentBytes), "a shard's first segment");
    first.i32[Super.SegmentCount] = 1;
    first.i32[Super.SegmentBytes] = segmentBytes;
    first.f64[Super.Addresses] = first.address;
    return new Segments(first, segmentBytes);
  }

  /** The same shard from another worker, by the address `create` left in `at(0).address`. */
  static attach(address: number, segmentBytes: number): Segments {
    return new Segments(Region.attach(address, segmentBytes), segmentBytes);
  }

  get count(): number {
    return this.regions[0]!.i32[Super.SegmentCount]!;
  }

  /** Segment `number`. Throws RangeError when there is none: only a torn read can ask for that. */
  at(number: number): Region {
    const region = this.regions[number];
    return region !== undefined ? region : this.attachUntil(number);
  }

  private attachUntil(number: number): Region {
    if (number >= this.count) throw new RangeError(`no segment ${number}`);
    const addresses = this.regions[0]!.f64;
    for (let next = this.regions.length; next <= number; next++)
      this.regions.push(Region.attach(addresses[Super.Addresses + next]!, this.segmentBytes));
    return this.regions[number]!;
  }

  /** Adds a segment. False when there are 32 or the system refuses. */
  grow(): boolean {
    const count = this.count;
    if (count >= SegmentLimit.Count) return false;
    if (count > this.regions.length) this.attachUntil(count - 1);
    const region = Region.shared(this.segmentBytes);
    if (region === null) return false;
    this.regions.push(region);
    const first = this.regions[0]!;
    first.f64[Super.Addresses + count] = region.address;
    first.i32[Super.SegmentCount] = count + 1;
    return true;
  }

  /** u32 word at which the page map of a segment begins. */
  mapWord(segment: number): number {
    return segment === 0 ? Super.Bytes >> 2 : 0;
  }

  /** u32 word at which the links of a segment's free runs begin: two a page. */
  linkWord(segment: number): number {
    return this.mapWord(segment) + this.pages;
  }

  /** First page after superblock, page map and links. */
  firstPage(segment: number): number {
    const head = (segment === 0 ? Super.Bytes : 0) + this.pages * 12;
    return Math.ceil(head / Size.PageBytes);
  }
}
