// memory-ledger.test.ts: what is in use, added up anew, against what a thread says between two looks of what it took itself.
import { expect, test } from "bun:test";
import { Reply } from "../../engine/commands/reply.ts";
import { BufferPool } from "../../engine/io/buffer-pool.ts";
import { Key } from "../../engine/memory/key.ts";
import { Encoding } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Clock } from "../../engine/shard/clock.ts";
import { Keyspace } from "../../engine/shard/keyspace.ts";
import { Control, Figure } from "../../engine/worker/control.ts";
import { Exchange } from "../../engine/worker/exchange.ts";
import { Mail, Message } from "../../engine/worker/inbox.ts";
import { MemoryLedger } from "../../engine/worker/memory-ledger.ts";
import { Pushes } from "../../engine/worker/pushes.ts";
import { random } from "../support/random.ts";

const MiB = 2 ** 20;

function make(workers: number) {
  const keyspace = Keyspace.create(workers, 64 * MiB, new Clock(1));
  const control = Control.create(workers, 16);
  const mail = Mail.attach(Mail.create(workers, new Array<number>(workers).fill(-1)), 0);
  const pushes = new Pushes(new Reply(need(Region.private(4096), "replies"), 4096));
  const exchange = new Exchange(Exchange.create(workers, 64 * MiB), 0, mail, pushes);
  const pool = new BufferPool();
  const ledger = new MemoryLedger(keyspace, exchange, control, mail, pool, control.pageOf(0), workers);
  return { keyspace, control, mail, pool, ledger };
}

test("between two looks the ledger follows what its thread takes and gives back", () => {
  const chance = random("ledger");
  const { keyspace, pool, ledger } = make(2);
  ledger.setLimit(MiB);
  const text = need(Region.private(MiB), "a key");
  const key = new Key(text);
  const held: Region[] = [];
  let over = 0;
  for (let step = 0; step < 3000; step++) {
    text.view.setInt32(0, Math.floor(chance() * 1000), true);
    key.set(text, 0, 4);
    const shard = keyspace.shardOf(key.low);
    shard.lock();
    if (chance() < 0.3) shard.remove(0, key);
    else shard.setString(0, key, text, 0, Math.floor(chance() * 20_000), Encoding.Bytes, 0);
    shard.unlock();
    if (chance() < 0.1) held.push(pool.take(5000)!);
    if (chance() < 0.1 && held.length > 0) pool.give(held.pop()!);
    if (chance() < 0.001) {
      keyspace.lockAll();
      for (const each of keyspace.shards) each.flushAll();
      keyspace.unlockAll();
    }
    const told = ledger.overBytes();
    if (chance() < 0.2) expect(told).toBe(ledger.look() - MiB);
    if (told > 0) over++;
  }
  expect(over).toBeGreaterThan(100);
  ledger.setLimit(0);
  expect(ledger.overBytes()).toBe(0);
});

test("buffers kept for the next taker are a small share of the ceiling", () => {
  const { pool, ledger } = make(2);
  const give = (regions: Region[]) => {
    for (const region of regions) pool.give(region);
  };
  const taken = (count: number) => Array.from({ length: count }, () => pool.take(64 * 1024)!);
  const [first, out] = [taken(20), pool.take(MiB)!];
  give(first);
  expect([pool.usedBytes, pool.heldBytes]).toEqual([MiB, MiB + 20 * 64 * 1024]);
  ledger.setLimit(64 * MiB); // half a mebibyte a worker
  expect([pool.usedBytes, pool.heldBytes]).toEqual([MiB, MiB + 8 * 64 * 1024]);
  const again = taken(20);
  expect(pool.heldBytes).toBe(pool.usedBytes);
  give([out, ...again]);
  expect([pool.usedBytes, pool.heldBytes]).toEqual([0, 8 * 64 * 1024]);
  ledger.setLimit(0);
  give(taken(20));
  expect(pool.heldBytes).toBe(20 * 64 * 1024);
});

test("other workers' buffers, messages that wait, and the turns in which to ask", () => {
  const { control, mail, pool, ledger } = make(2);
  const before = ledger.look();
  control.region.f64[control.pageOf(1) + Figure.BufferBytes] = 10 * MiB;
  const region = pool.take(MiB)!;
  const at = mail.begin(1, Message.Published, 0, 0, 0, 1000);
  expect(at).toBeGreaterThanOrEqual(0);
  mail.commit(1000);
  expect(ledger.look() - before).toBe(11 * MiB + 1024);
  pool.give(region); // kept, with its pages
  expect(ledger.look() - before).toBe(11 * MiB + 1024);
  ledger.setLimit(200 * MiB);
  ledger.beginTurn(1);
  expect(ledger.near).toBe(false);
  control.region.f64[control.pageOf(1) + Figure.BufferBytes] = 190 * MiB;
  ledger.beginTurn(1); // not again within the millisecond
  expect(ledger.near).toBe(false);
  ledger.beginTurn(2);
  expect([ledger.near, ledger.overBytes() < 0]).toEqual([true, true]);
  control.region.f64[control.pageOf(1) + Figure.BufferBytes] = 290 * MiB;
  ledger.beginTurn(2);
  expect(ledger.overBytes()).toBe(before + 91 * MiB + 1024);
});
