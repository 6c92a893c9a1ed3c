import { expect, test } from "bun:test";
import { Key } from "../../engine/memory/key.ts";
import { Encoding } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Segments } from "../../engine/memory/segments.ts";
import { Clock } from "../../engine/shard/clock.ts";
import { Shard } from "../../engine/shard/shard.ts";
import { random } from "../support/random.ts";

const text = new TextEncoder();

class Driver {
  readonly clock = new Clock(1_000_000);
  readonly shard = new Shard(Segments.create(64 << 20), Segments.create(1 << 20), this.clock, true);
  readonly input = need(Region.private(1 << 20), "test input");
  readonly key = new Key(this.input);

  at(key: string): Key {
    const bytes = text.encode(key);
    this.input.u8.set(bytes, 0);
    this.key.set(this.input, 0, bytes.length);
    return this.key;
  }

  set(db: number, key: string, value: string, deadlineMs: number): boolean {
    const bytes = text.encode(value);
    this.input.u8.set(bytes, 1 << 17);
    return this.shard.setString(
      db,
      this.at(key),
      this.input,
      1 << 17,
      bytes.length,
      Encoding.Bytes,
      deadlineMs,
    );
  }

  get(db: number, key: string): string | undefined {
    const { shard } = this;
    if (shard.find(db, this.at(key)) === 0) return undefined;
    const start = shard.valueStart();
    return new TextDecoder().decode(shard.region.u8.slice(start, start + shard.valueBytes()));
  }
}

test("shard: agrees with a Map after any history of set, delete, edit, deadline and waiting", () => {
  const next = random("shard");
  const d = new Driver();
  const model = new Map<string, { value: string; deadline: number }>();
  const live = (key: string) => {
    const entry = model.get(key);
    return entry !== undefined && (entry.deadline === 0 || entry.deadline > d.clock.nowMs)
      ? entry
      : undefined;
  };
  for (let step = 0; step < 150_000; step++) {
    const space = step % 50_000 < 25_000 ? 20_000 : 300;
    const number = Math.floor(next() * space);
    const name = number % 97 === 0 ? `key:${number}`.padEnd(300, "x") : `key:${number}`;
    const key = `${number % 3}|${name}`;
    const db = number % 3;
    const kind = next();
    if (kind < 0.4) {
      const size = next() < 0.95 ? Math.floor(next() * 300) : Math.floor(next() * 50_000);
      const value = String.fromCharCode(97 + (step % 26)).repeat(size);
      const deadline = next() < 0.3 ? d.clock.nowMs + Math.floor(next() * 2_000) : 0;
      expect(d.set(db, name, value, deadline)).toBe(true);
      model.set(key, { value, deadline });
    } else if (kind < 0.5) {
      expect(d.shard.remove(db, d.at(name))).toBe(live(key) !== undefined);
      model.delete(key);
    } else if (kind < 0.6) {
      const handle = d.shard.find(db, d.at(name));
      const entry = live(key);
      expect(handle !== 0).toBe(entry !== undefined);
      if (entry !== undefined) {
        const bytes = Math.floor(next() * 600);
        expect(d.shard.resizeValue(db, d.key, handle, bytes, next() < 0.5)).toBe(true);
        const start = d.shard.valueStart();
        if (bytes > entry.value.length)
          d.shard.region.u8.fill(122, start + entry.value.length, start + bytes);
        entry.value = entry.value.slice(0, bytes).padEnd(bytes, "z");
      }
    } else if (kind < 0.7) {
      const handle = d.shard.find(db, d.at(name));
      const entry = live(key);
      if (entry !== undefined) {
        const deadline = next() < 0.3 ? 0 : d.clock.nowMs + 1 + Math.floor(next() * 3_000);
        expect(d.shard.setDeadline(db, d.key, handle, deadline)).toBe(true);
        entry.deadline = deadline;
      }
    } else if (kind < 0.72) {
      d.clock.nowMs += Math.floor(next() * 100);
      d.shard.expireStep(3);
    } else expect(d.get(db, name)).toBe(live(key)?.value);
    if (step % 10_000 === 0) d.shard.check();
  }
  d.shard.check();
  d.clock.nowMs += 10_000;
  for (let i = 0; i < 2_000; i++) d.shard.expireStep(4);
  expect(d.shard.deadlines).toBe(0);
  for (let db = 0; db < 3; db++) {
    const names = [...model].filter(([key]) => Number(key[0]) === db && live(key) !== undefined);
    expect(d.shard.keys(db)).toBe(names.length);
    const handles: number[] = [];
    d.shard.collect(db, handles);
    expect(handles.length).toBe(names.length);
  }
  d.shard.flush(1);
  expect(d.shard.keys(1)).toBe(0);
  d.shard.check();
  d.shard.flushAll();
  d.shard.check();
  expect(d.shard.usedBytes).toBe(0);
});

test("shard: a scan returns every key present throughout, once, while others come and go", () => {
  const next = random("scan");
  const d = new Driver();
  const stable = new Set<string>();
  for (let i = 0; i < 3_000; i++) {
    d.set(0, `stable:${i}`, "v", 0);
    stable.add(`stable:${i}`);
  }
  const seen = new Map<string, number>();
  const handles: number[] = [];
  let path = 0;
  let position = 0;
  let churn = 0;
  do {
    handles.length = 0;
    position = d.shard.scan(0, path, position, handles);
    path = d.shard.scanPath;
    for (const handle of handles) {
      d.shard.open(handle);
      const start = d.shard.keyStart();
      const key = new TextDecoder().decode(d.shard.region.u8.slice(start, start + d.shard.keyBytes()));
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
    for (let i = 0; i < 40; i++) d.set(0, `churn:${churn++}`, "v", 0);
    for (let i = 0; i < 10; i++) d.shard.remove(0, d.at(`churn:${Math.floor(next() * churn)}`));
  } while (path !== 0);
  for (const key of stable) expect(seen.get(key)).toBe(1);
  expect(churn).toBeGreaterThan(2_000);
  d.shard.check();
});

test("shard: when memory is out a write answers false and everything stored stays readable", () => {
  const clock = new Clock(1);
  const d = new Driver();
  const small = new Shard(Segments.create(1 << 20), Segments.create(1 << 20), clock, true);
  Object.assign(d, { shard: small });
  let stored = 0;
  while (stored < 100_000 && d.set(0, `key:${stored}`, "v".repeat(30_000), 0)) stored++;
  expect(stored).toBeGreaterThan(500);
  expect(stored).toBeLessThan(100_000);
  expect(d.set(0, "key:0", "w".repeat(200_000), 0)).toBe(false);
  for (let i = 0; i < stored; i++) expect(d.get(0, `key:${i}`)).toBe("v".repeat(30_000));
  small.check();
});
