// probe.ts: whether what lies in memory can be compressed at all, before a thread is started for it that takes some 25 MB.
//
// Some values drawn at random are compressed together, which finds about what a dictionary would. They are read without a lock, and
// may be torn: a few bytes of something else change nothing.
// Control plane. Neighbours: host.ts asks; sweeper.ts then finds out more, for each prefix of keys.
import { Handle } from "../memory/allocator.ts";
import { Encoding, Type, valueBytesAt, valueStartAt } from "../memory/record.ts";
import type { Keyspace } from "../shard/keyspace.ts";
import { DATABASES } from "../shard/shard.ts";

const DRAWS = 2000;
const SAMPLES = 256;
/** Of one value. */
const PIECE_BYTES = 1024;
/** Values that come out no smaller than that together are not looked at more closely. */
const HOPELESS = 0.98;

/** Whether some strings of at least `floor` bytes shrink. False when there are none. */
export function compressible(keyspace: Keyspace, floor: number, chance: () => number): boolean {
  const pieces: Uint8Array[] = [];
  const drawn = new Set<number>(); // one that is there twice would shrink
  for (let draw = 0; draw < DRAWS && pieces.length < SAMPLES; draw++) {
    const shard = keyspace.shards[draw % keyspace.shards.length]!;
    for (let db = 0; db < DATABASES; db++) {
      if (shard.keys(db) === 0) continue;
      try {
        const handle = shard.index.drawSlot(db, chance(), chance());
        const name = handle * keyspace.shards.length + (draw % keyspace.shards.length);
        if (handle === 0 || drawn.has(name)) continue;
        drawn.add(name);
        const region = shard.segments.at(handle >>> Handle.SegmentShift);
        const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
        const kind = region.u8[at]!;
        const bytes = valueBytesAt(region, at);
        if ((kind & 15) !== Type.String || kind >>> 4 === Encoding.Integer || bytes < floor) continue;
        const start = valueStartAt(region, at);
        pieces.push(region.u8.slice(start, start + Math.min(bytes, PIECE_BYTES)));
      } catch {
        // A torn read has led nowhere.
      }
    }
  }
  const all = Buffer.concat(pieces);
  return all.length > 0 && Bun.zstdCompressSync(all, { level: 1 }).length < all.length * HOPELESS;
}
