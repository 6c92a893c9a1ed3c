// histogram.ts: counts of latencies in buckets whose width grows with the value, below 1 % of it everywhere.
//
// Values are whole ticks of 0.1 us, below 2^31 (214 s). Value v falls into group e = max(0, floor(log2 v) - 7), where
// buckets are 2^e ticks wide: index = e * 128 + (v >> e). Group 0 is exact. The idea is HdrHistogram's.

const groupBits = 7;
const groupSize = 1 << groupBits;
const ticksPerUs = 10;
const maxTicks = 2 ** 31 - 1;

export class Histogram {
  private readonly counts = new Uint32Array((31 - groupBits + 1) * groupSize + groupSize);
  count = 0;
  /** Exact, in microseconds. */
  maxUs = 0;

  record(us: number): void {
    const ticks = Math.max(0, Math.min(maxTicks, Math.round(us * ticksPerUs)));
    const group = Math.max(0, 31 - Math.clz32(ticks) - groupBits);
    this.counts[group * groupSize + (ticks >>> group)]++;
    this.count++;
    if (us > this.maxUs) this.maxUs = us;
  }

  clear(): void {
    this.counts.fill(0);
    this.count = 0;
    this.maxUs = 0;
  }

  /** Upper edge, in microseconds, of the bucket that holds the value at `percent`; 0 when nothing was recorded. */
  percentileUs(percent: number): number {
    const rank = Math.max(1, Math.ceil((percent / 100) * this.count));
    for (let index = 0, seen = 0; index < this.counts.length; index++) {
      seen += this.counts[index];
      if (seen < rank) continue;
      const group = Math.max(0, (index >>> groupBits) - 1);
      const lower = (index - group * groupSize) * 2 ** group;
      return Math.min(this.maxUs, (lower + 2 ** group - 1) / ticksPerUs);
    }
    return 0;
  }
}
