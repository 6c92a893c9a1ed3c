// cover.ts: what to put into a dictionary: those pieces of some values that most of the others contain.
//
// After Liao, Petri, Moffat, Wirth, "Effective construction of relative Lempel-Ziv dictionaries" (WWW 2016), as zstd's
// trainer does it: every run of 8 bytes counts as often as there are values that contain it; the values are cut into
// epochs, each gives in turn the segment whose runs count most, and runs that are covered count no more. What counts most
// comes last in the dictionary, where codecs find it by the shortest way.
// Takes some 60 ms for 512 KiB: in the compressor's thread only. Neighbours: engine/worker/sweeper.ts.

const RUN_BYTES = 8;
const SEGMENT_BYTES = 48;
const HASH_BITS = 18;

/** At most `bytes` bytes of the samples, less where they have less in common. `all`: the samples in one piece, of which
 *  number i ends at `ends[i]`. */
export function chooseContent(all: Uint8Array, ends: readonly number[], bytes: number): Uint8Array {
  const counts = new Uint32Array(1 << HASH_BITS);
  const seenIn = new Int32Array(1 << HASH_BITS).fill(-1);
  const hashes = new Uint32Array(all.length);
  const view = new DataView(all.buffer, all.byteOffset, all.length);
  let start = 0;
  for (const [sample, end] of ends.entries()) {
    for (let at = start; at + RUN_BYTES <= end; at++) {
      const mixed =
        Math.imul(view.getInt32(at, true), -1640531535) ^ Math.imul(view.getInt32(at + 4, true), -2048144777);
      const hash = Math.imul(mixed ^ (mixed >>> 15), -1028477379) >>> (32 - HASH_BITS);
      hashes[at] = hash;
      if (seenIn[hash] === sample) continue;
      seenIn[hash] = sample;
      counts[hash] = counts[hash]! + 1;
    }
    start = end;
  }
  // What one value alone contains helps nobody.
  for (let hash = 0; hash < counts.length; hash++) if (counts[hash] === 1) counts[hash] = 0;

  const content = new Uint8Array(bytes);
  const runs = SEGMENT_BYTES - RUN_BYTES + 1;
  const most = all.length - SEGMENT_BYTES;
  const epochs = Math.max(
    1,
    Math.min(Math.floor(bytes / SEGMENT_BYTES), Math.floor(all.length / SEGMENT_BYTES / 4)),
  );
  const epochBytes = Math.floor(all.length / epochs);
  /** How often each run is in the window. */
  const inWindow = new Uint8Array(1 << HASH_BITS);
  let left = bytes;
  for (let epoch = 0, barren = 0; left > 0 && barren < epochs; epoch = (epoch + 1) % epochs) {
    const from = epoch * epochBytes;
    const to = Math.min(most, from + epochBytes);
    let best = -1;
    let bestScore = 0;
    let score = 0;
    for (let at = from; at < to + runs - 1 && at < all.length; at++) {
      const hash = hashes[at]!;
      inWindow[hash] = inWindow[hash]! + 1;
      if (inWindow[hash] === 1) score += counts[hash]!;
      const first = at - runs + 1;
      if (first < from) continue;
      if (score > bestScore) {
        bestScore = score;
        best = first;
      }
      const leaving = hashes[first]!;
      inWindow[leaving] = inWindow[leaving]! - 1;
      if (inWindow[leaving] === 0) score -= counts[leaving]!;
    }
    for (let at = from; at < to + runs - 1 && at < all.length; at++) inWindow[hashes[at]!] = 0;
    if (best < 0 || bestScore < runs) {
      barren++;
      continue;
    }
    barren = 0;
    const taken = Math.min(SEGMENT_BYTES, left);
    left -= taken;
    content.set(all.subarray(best, best + taken), left);
    for (let at = best; at < best + runs; at++) counts[hashes[at]!] = 0;
  }
  return content.subarray(left);
}
