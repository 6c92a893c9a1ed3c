// probe.test.ts: what can be compressed is told from what cannot, whatever else lies beside it.
import { expect, test } from "bun:test";
import { Key } from "../../engine/memory/key.ts";
import { Encoding } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Clock } from "../../engine/shard/clock.ts";
import { Keyspace } from "../../engine/shard/keyspace.ts";
import { compressible } from "../../engine/worker/probe.ts";
import { random } from "../support/random.ts";

const FLOOR = 96;

test("whether anything in memory can be compressed", () => {
  const chance = random("probe");
  const region = need(Region.private(8192), "a key and a value");
  const key = new Key(region);
  let keys = 0;
  /** Adds `count` strings made by `value` to a database. */
  const add = (
    keyspace: Keyspace,
    db: number,
    count: number,
    value: () => Uint8Array,
    encoding = Encoding.Bytes,
  ) => {
    for (let i = 0; i < count; i++) {
      const bytes = value();
      region.view.setInt32(0, keys++, true);
      region.u8.set(bytes, 16);
      key.set(region, 0, 4);
      const shard = keyspace.shardOf(key.low);
      shard.lock();
      expect(shard.setString(db, key, region, 16, bytes.length, encoding, 0)).toBe(true);
      shard.unlock();
    }
  };
  const noise = (bytes: number) => () => Uint8Array.from({ length: bytes }, () => Math.floor(chance() * 256));
  const text = () =>
    new TextEncoder().encode(
      JSON.stringify({
        name: `item ${keys}`,
        price: chance(),
        tags: ["one", "two"],
        stock: keys % 7,
        note: "as ever",
      }),
    );
  for (const workers of [1, 2]) {
    const make = () => Keyspace.create(workers, 64 << 20, new Clock(1));
    const keyspace = make();
    expect(compressible(keyspace, FLOOR, chance)).toBe(false); // empty
    add(keyspace, 0, 2000, noise(300));
    add(keyspace, 3, 500, noise(6000));
    add(keyspace, 0, 500, () => new TextEncoder().encode("1234567890123"), Encoding.Integer);
    add(keyspace, 0, 500, () => new TextEncoder().encode("short and simple"));
    expect(compressible(keyspace, FLOOR, chance)).toBe(false);
    add(keyspace, 3, 6000, text);
    expect(compressible(keyspace, FLOOR, chance)).toBe(true);
    const few = make();
    add(few, 15, 1, text);
    expect(compressible(few, 1000, chance)).toBe(false);
  }
});
