// index-leaves.test.ts: the index's leaves under keys whose hashes are not spread evenly, as eviction and deletions leave them.
import { expect, test } from "bun:test";
import { Key } from "../../engine/memory/key.ts";
import { Encoding } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Segments } from "../../engine/memory/segments.ts";
import { Clock } from "../../engine/shard/clock.ts";
import { Shard } from "../../engine/shard/shard.ts";

test("index: leaves whose keys nearly all share a half of their hashes join and split", () => {
  const shard = new Shard(Segments.create(64 << 20), Segments.create(1 << 20), new Clock(1), true);
  const input = need(Region.private(4096), "keys");
  const key = new Key(input);
  const stored = new Set<number>();
  const at = (name: number): Key => {
    input.u32[0] = name;
    key.set(input, 0, 4);
    return key;
  };
  let name = 0;
  const fill = (keys: number, wanted: (high: number) => boolean): void => {
    while (stored.size < keys) {
      if (!wanted(at(++name).high >>> 0)) continue;
      expect(shard.setString(0, key, input, 64, 8, Encoding.Bytes, 0)).toBe(true);
      stored.add(name);
    }
  };
  for (let bit = 20; bit < 32; bit++) {
    const half = (high: number): boolean => ((high >>> bit) & 1) === 1;
    fill(20_000, () => true);
    for (const each of stored)
      if (!half(at(each).high >>> 0)) {
        shard.remove(0, key);
        stored.delete(each);
      }
    fill(8_000, half);
    shard.defrag.begin();
    while (shard.defrag.step(1e6));
    fill(24_000, half);
    fill(24_100, () => true);
    shard.check();
    for (const each of stored) expect(shard.find(0, at(each))).not.toBe(0);
  }
});
