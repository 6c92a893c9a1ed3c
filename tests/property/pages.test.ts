// pages.test.ts: large collections as records of a keyspace: moved, copied, overwritten, removed, expired and flushed,
// with their pages freed in steps, against maps; and packed values that grow and shrink around the record's limits.
import { expect, test } from "bun:test";
import { Key } from "../../engine/memory/key.ts";
import { Encoding, Form, Type } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Clock } from "../../engine/shard/clock.ts";
import { Keyspace } from "../../engine/shard/keyspace.ts";
import { Place } from "../../engine/shard/place.ts";
import type { Shard } from "../../engine/shard/shard.ts";
import { TABLE_ROOT_BYTES, Table, TableKind } from "../../engine/types/table.ts";
import { random } from "../support/random.ts";

/** What a key holds: a string, or a hash or set with pages; a set has no values. */
interface Entry {
  kind: "string" | "hash" | "set";
  text: string;
  fields: Map<string, string>;
  deadlineMs: number;
  fieldMs: number;
}

const DBS = 3;

class Driver {
  readonly clock = new Clock(1_000_000);
  readonly keyspace: Keyspace;
  readonly input = need(Region.private(1 << 20), "test input");
  readonly key = new Key(this.input);
  readonly place: Place;
  readonly fields = new Table(TableKind.Hash);
  readonly members = new Table(TableKind.Set);
  readonly model = Array.from({ length: DBS }, () => new Map<string, Entry>());

  constructor(workers: number, segmentBytes = 64 << 20) {
    this.keyspace = Keyspace.create(workers, segmentBytes, this.clock);
    this.keyspace.lockAll();
    this.place = new Place(this.keyspace.shards[0]!);
  }

  locate(name: string): Shard {
    this.input.u8.set(Buffer.from(name), 0);
    this.key.set(this.input, 0, name.length);
    return this.keyspace.shardOf(this.key.low);
  }

  live(db: number, name: string): Entry | undefined {
    const entry = this.model[db]!.get(name);
    return entry !== undefined && (entry.deadlineMs === 0 || entry.deadlineMs > this.clock.nowMs)
      ? entry
      : undefined;
  }

  setString(db: number, name: string, text: string, deadlineMs: number): void {
    const shard = this.locate(name);
    this.input.u8.set(Buffer.from(text), 4096);
    expect(shard.setString(db, this.key, this.input, 4096, text.length, Encoding.Bytes, deadlineMs)).toBe(
      true,
    );
    this.model[db]!.set(name, { kind: "string", text, fields: new Map(), deadlineMs, fieldMs: 0 });
  }

  /** Adds fields to what is at the key, or makes it anew. False when memory was refused on the way. */
  fill(
    db: number,
    name: string,
    kind: "hash" | "set",
    howMany: number,
    deadlineMs: number,
    fieldMs: number,
  ): boolean {
    const { place, input } = this;
    const shard = this.locate(name);
    const found = place.find(shard, db, this.key);
    expect(found).toBe(this.live(db, name) !== undefined);
    const type = kind === "hash" ? Type.Hash : Type.Set;
    const table = kind === "hash" ? this.fields : this.members;
    if (!found || place.type !== type) {
      const form = fieldMs !== 0 ? Form.PagesDeadlines : Form.Pages;
      if (!place.create(type, form, TABLE_ROOT_BYTES, deadlineMs)) return false;
      Table.clear(place);
      this.model[db]!.set(name, { kind, text: "", fields: new Map(), deadlineMs, fieldMs });
      if (fieldMs !== 0) {
        table.open(place);
        table.earliestMs = fieldMs;
        place.noteDue(fieldMs);
      }
    }
    const { fields } = this.model[db]!.get(name)!;
    table.open(place);
    for (let i = 0; i < howMany; i++) {
      const field = `f${fields.size}`.padEnd(fields.size % 8 === 0 ? 200 : 3, "-");
      const value = kind === "hash" ? `v${howMany + i}` : "";
      input.u8.set(Buffer.from(field), 4096);
      input.u8.set(Buffer.from(value), 8192);
      if (table.find(input, 4096, field.length)) continue;
      if (!table.insert(input, 4096, field.length, input, 8192, value.length, 0)) return false;
      fields.set(field, value);
    }
    return true;
  }

  private read(region: Region, start: number, bytes: number): string {
    return Buffer.from(region.u8.slice(start, start + bytes)).toString("latin1");
  }

  expectKey(db: number, name: string): void {
    const { place } = this;
    const entry = this.live(db, name);
    const found = place.find(this.locate(name), db, this.key);
    expect(found).toBe(entry !== undefined);
    if (entry === undefined) return;
    expect(place.deadlineMs).toBe(entry.deadlineMs);
    if (entry.kind === "string") {
      expect(place.type).toBe(Type.String);
      expect(this.read(place.region, place.valueStart, place.valueBytes)).toBe(entry.text);
      return;
    }
    expect(place.type).toBe(entry.kind === "hash" ? Type.Hash : Type.Set);
    const table = entry.kind === "hash" ? this.fields : this.members;
    table.open(place);
    table.check();
    expect(table.count).toBe(entry.fields.size);
    // No field has a deadline of its own here: a sweep that comes after the one that was announced finds that out.
    if (entry.fieldMs > this.clock.nowMs) expect(table.earliestMs).toBe(entry.fieldMs);
    let met = 0;
    for (table.walk(); table.next(); met++) {
      const value = entry.fields.get(this.read(table.region, table.start, table.bytes));
      if (value === undefined) throw new Error("a field that was not put in");
      if (entry.kind === "hash" && this.read(table.region, table.valueStart, table.valueBytes) !== value)
        throw new Error("a value that was not put in");
    }
    expect(met).toBe(entry.fields.size);
  }

  expectAll(): void {
    this.keyspace.check();
    for (let db = 0; db < DBS; db++) for (const name of this.model[db]!.keys()) this.expectKey(db, name);
  }

  /** RENAME to another name, or MOVE to another database, or both. */
  move(fromDb: number, from: string, toDb: number, to: string): boolean {
    const entry = this.live(fromDb, from);
    const source = this.locate(from);
    const handle = source.find(fromDb, this.key);
    expect(handle !== 0).toBe(entry !== undefined);
    if (entry === undefined || (from === to && fromDb === toDb)) return true;
    const target = this.locate(to);
    if (!target.adopt(toDb, this.key, source, handle, true)) return false;
    this.locate(from).release(fromDb, this.key, source !== target);
    this.model[toDb]!.set(to, entry);
    this.model[fromDb]!.delete(from);
    return true;
  }

  copy(fromDb: number, from: string, toDb: number, to: string): boolean {
    const entry = this.live(fromDb, from);
    const source = this.locate(from);
    const handle = source.find(fromDb, this.key);
    if (entry === undefined || (from === to && fromDb === toDb)) return true;
    if (!this.locate(to).adopt(toDb, this.key, source, handle, false)) return false;
    this.model[toDb]!.set(to, { ...entry, fields: new Map(entry.fields) });
    return true;
  }

  remove(db: number, name: string): void {
    expect(this.locate(name).remove(db, this.key)).toBe(this.live(db, name) !== undefined);
    this.model[db]!.delete(name);
  }

  flush(db: number): void {
    for (const shard of this.keyspace.shards) shard.flush(db);
    this.model[db]!.clear();
  }

  /** Steps until nothing of what was removed is left. */
  reclaim(blocks: number): number {
    let steps = 0;
    for (const shard of this.keyspace.shards)
      for (; shard.reclaimable; steps++) {
        shard.reclaimStep(blocks);
        if (steps > 1e6) throw new Error("reclaiming has no end");
      }
    return steps;
  }

  get liveBytes(): number {
    return this.keyspace.shards.reduce((sum, shard) => sum + shard.allocator.liveBytes, 0);
  }
}

for (const workers of [1, 2])
  test(`pages: ${workers === 1 ? "one shard" : "eight shards"} agree with maps through every way a record can go`, () => {
    const next = random("pages");
    const d = new Driver(workers);
    const names = Array.from({ length: 30 }, (_, i) => (i % 9 === 0 ? `k${i}`.padEnd(300, "+") : `k${i}`));
    const pick = () => names[Math.floor(next() * names.length)]!;
    const size = () => Math.floor(10 ** (next() * 3.1));
    for (let step = 0; step < 4_000; step++) {
      const db = Math.floor(next() * DBS);
      const name = pick();
      const toDb = next() < 0.6 ? db : Math.floor(next() * DBS);
      const to = toDb !== db && next() < 0.5 ? name : pick();
      const deadlineMs = next() < 0.2 ? d.clock.nowMs + 1 + Math.floor(next() * 3_000) : 0;
      const fieldMs = next() < 0.2 ? d.clock.nowMs + 1 + Math.floor(next() * 2_000) : 0;
      const action = Math.floor(next() * 40);
      if (action < 10) d.fill(db, name, "hash", size(), deadlineMs, fieldMs);
      else if (action < 16) d.fill(db, name, "set", size(), deadlineMs, 0);
      else if (action < 20) d.setString(db, name, "s".repeat(Math.floor(next() * 600)), deadlineMs);
      else if (action < 26) expect(d.move(db, name, toDb, to)).toBe(true);
      else if (action < 31) expect(d.copy(db, name, toDb, to)).toBe(true);
      else if (action < 34) d.remove(db, name);
      else if (action < 35) {
        const entry = d.live(db, name);
        const shard = d.locate(name);
        const handle = shard.find(db, d.key);
        if (entry === undefined) continue;
        expect(shard.setDeadline(db, d.key, handle, deadlineMs)).toBe(true);
        entry.deadlineMs = deadlineMs;
      } else if (action < 36) {
        d.clock.nowMs += Math.floor(next() * 200);
        for (const shard of d.keyspace.shards) shard.expireStep(3);
      } else if (action < 39)
        for (const shard of d.keyspace.shards) shard.reclaimStep(1 + Math.floor(next() * 100));
      else if (next() < 0.02) d.flush(db);
      else if (step % 40 === 0) {
        for (const shard of d.keyspace.shards) shard.flushAll();
        for (const each of d.model) each.clear();
        expect(d.liveBytes).toBe(0);
        if (next() < 0.5) d.reclaim(64);
      } else if (next() < 0.3)
        for (const a of [0, 1]) {
          // SWAPDB, on the way.
          for (const shard of d.keyspace.shards) shard.swap(a, 2);
          [d.model[a], d.model[2]] = [d.model[2]!, d.model[a]!];
        }
      d.expectKey(db, name);
      d.expectKey(toDb, to);
      if (step % 400 === 0) d.expectAll();
      if (step % 1_000 === 0) d.reclaim(7);
    }
    d.expectAll();
    // Removed one by one, until only the empty indexes are left; what they take, a keyspace of strings takes too.
    for (let db = 0; db < DBS; db++) for (const name of [...d.model[db]!.keys()]) d.remove(db, name);
    // A database that was flushed has none until something is stored in it.
    for (let db = 0; db < DBS; db++)
      for (const name of names.slice(0, 3)) {
        d.setString(db, name, "x", 0);
        d.remove(db, name);
      }
    d.reclaim(1);
    d.keyspace.check();
    const indexes = d.liveBytes;
    for (let db = 0; db < DBS; db++) {
      d.fill(db, names[0]!, "hash", 3_000, 0, 0);
      d.fill(db, names[1]!, "set", 3_000, d.clock.nowMs + 10, 0);
      d.fill(db, names[2]!, "hash", 3_000, d.clock.nowMs + 10, 0);
    }
    d.clock.nowMs += 20;
    for (let db = 0; db < DBS; db++) d.setString(db, names[0]!, "x", 0);
    for (let i = 0; i < 200; i++) for (const shard of d.keyspace.shards) shard.expireStep(4);
    expect(d.keyspace.shards.reduce((sum, shard) => sum + shard.deadlines, 0)).toBe(0);
    for (let db = 0; db < DBS; db++) d.remove(db, names[0]!);
    expect(d.reclaim(1)).toBeGreaterThan(30);
    expect(d.liveBytes - indexes).toBeLessThan(1);
    d.keyspace.check();
    for (let db = 0; db < DBS; db++) d.flush(db);
    d.reclaim(1);
    expect(d.liveBytes).toBe(0);
    d.keyspace.check();
  }, 120_000);

test("pages: a flush of one database of several discards the pages of all its collections", () => {
  for (const workers of [1, 2]) {
    const d = new Driver(workers);
    d.setString(1, "stays", "here", 0);
    for (let i = 0; i < 40; i++) d.fill(0, `h${i}`, i % 2 === 0 ? "hash" : "set", 2_000, 0, 0);
    d.fill(1, "large", "hash", 5_000, 0, 0);
    d.flush(0);
    d.expectAll();
    expect(d.reclaim(1)).toBeGreaterThan(40);
    d.expectAll();
    const kept = d.liveBytes;
    for (let i = 0; i < 40; i++) d.fill(0, `h${i}`, "hash", 2_000, 0, 0);
    d.flush(0);
    d.reclaim(1000);
    expect(d.liveBytes).toBe(kept);
    d.expectAll();
  }
});

test("pages: a copy or move that memory refuses leaves both keys as they were", () => {
  const next = random("pages refused");
  for (const workers of [1, 2]) {
    const d = new Driver(workers, 1 << 20);
    d.fill(0, "source", "hash", 3_000, d.clock.nowMs + 50_000, d.clock.nowMs + 40_000);
    d.fill(0, "target", "set", 100, 0, 0);
    // Strings until nothing fits, the last of them small; then each large one removed makes room for more of the copy.
    let fillers = 0;
    const put = (bytes: number) => {
      const shard = d.locate(`filler${fillers++}`);
      return shard.setString(1, d.key, d.input, 4096, bytes, Encoding.Bytes, 0);
    };
    const homes = new Set([d.locate("target"), d.locate("fresh"), d.locate("elsewhere")]);
    for (const bytes of [20_000, 3_000, 400, 40])
      for (let misses = 0; misses < 128 * workers; ) if (!put(bytes)) misses++;
    const liveAt = () => [...homes].map((shard) => shard.allocator.liveBytes);
    let refused = 0;
    let passed = 0;
    for (let i = 0; i < fillers && passed < 3; i++) {
      for (const to of ["target", "fresh", "elsewhere"]) {
        const before = liveAt();
        if (d.copy(0, "source", 0, to)) {
          passed++;
          d.expectAll();
        } else {
          refused++;
          expect(liveAt()).toEqual(before);
        }
      }
      if (i % 5 === 0) d.expectAll();
      d.locate(`filler${i}`).remove(1, d.key);
    }
    expect(refused).toBeGreaterThan(0);
    expect(passed).toBeGreaterThan(0);
    d.expectAll();
    d.flush(1);
    d.reclaim(100);
    expect(d.move(0, "source", Math.floor(next() * 2), "moved")).toBe(true);
    d.expectAll();
    for (let db = 0; db < DBS; db++) d.flush(db);
    d.reclaim(10);
    expect(d.liveBytes).toBe(0);
  }
}, 120_000);

test("pages: the sweep knows when a field is due, through copies, renames and other databases", () => {
  const d = new Driver(2);
  const dueMs = d.clock.nowMs + 5_000;
  const earliest = () => {
    let least = Number.POSITIVE_INFINITY;
    for (const shard of d.keyspace.shards)
      for (let db = 0; db < DBS; db++)
        for (let entry = 0; entry < shard.index.directorySize(db); entry += shard.index.leafSpan(db, entry))
          least = Math.min(least, shard.index.leafDeadline(shard.index.leafAt(db, entry)));
    return least;
  };
  const sweeps = () => {
    for (let i = 0; i < 300; i++) for (const shard of d.keyspace.shards) shard.expireStep(4);
  };
  d.fill(0, "h", "hash", 100, 0, dueMs);
  expect(earliest()).toBe(dueMs);
  sweeps();
  expect(d.locate("h").mayExpire).toBe(true);
  for (let i = 0; i < 20; i++) {
    expect(d.move(0, i === 0 ? "h" : `h${i - 1}`, 0, `h${i}`)).toBe(true);
    expect(d.locate(`h${i}`).mayExpire).toBe(true);
    sweeps();
    expect(d.locate(`h${i}`).mayExpire).toBe(true);
  }
  expect(d.copy(0, "h19", 2, "copied")).toBe(true);
  d.remove(0, "h19");
  sweeps();
  expect(d.locate("copied").mayExpire).toBe(true);
  expect(earliest()).toBeLessThanOrEqual(dueMs);
  d.remove(2, "copied");
  d.clock.nowMs = dueMs + 1;
  sweeps();
  expect(earliest()).toBe(Number.POSITIVE_INFINITY);
  expect(d.keyspace.shards.some((shard) => shard.mayExpire)).toBe(false);
});

test("pages: a packed value keeps its content at every length, deadline or not", () => {
  const next = random("pages resize");
  for (const keyBytes of [1, 30, 254, 255, 256, 400])
    for (const deadline of [false, true]) {
      const d = new Driver(1);
      const { place } = d;
      const name = "k".repeat(keyBytes);
      const shard = d.locate(name);
      const deadlineMs = deadline ? d.clock.nowMs + 1_000 : 0;
      expect(place.find(shard, 0, d.key)).toBe(false);
      expect(place.create(Type.Hash, Form.Packed, 2, deadlineMs)).toBe(true);
      place.region.u8.fill(7, place.valueStart, place.valueStart + 2);
      let content: number[] = [7, 7];
      let moved = 0;
      for (let step = 0; step < 3_000; step++) {
        const near = [255, 256, 120, 128, 60, 1000, 30][step % 7]!;
        const bytes =
          next() < 0.3
            ? Math.max(2, content.length + Math.floor(next() * 9) - 4)
            : next() < 0.5
              ? Math.max(2, near + Math.floor(next() * 7) - 3)
              : 2 + Math.floor(next() * 1_500);
        const { handle } = place;
        expect(place.resize(bytes)).toBe(true);
        if (place.handle !== handle) moved++;
        const { region, valueStart } = place;
        expect(place.valueBytes).toBe(bytes);
        for (let i = content.length; i < bytes; i++) region.u8[valueStart + i] = (step + i) & 255;
        content = [
          ...content.slice(0, bytes),
          ...Array.from(
            { length: Math.max(0, bytes - content.length) },
            (_, i) => (step + content.length + i) & 255,
          ),
        ];
        if (
          Buffer.compare(
            Buffer.from(region.u8.slice(valueStart, valueStart + bytes)),
            Buffer.from(content),
          ) !== 0
        )
          throw new Error(`content changed at ${bytes} bytes`);
        expect(place.deadlineMs).toBe(deadlineMs);
        expect(place.type).toBe(Type.Hash);
        const at = place.handle;
        expect(place.find(shard, 0, d.key)).toBe(true);
        expect(place.handle).toBe(at);
        // A record never takes more than twice its bytes, but for the smallest slots.
        const total = 20 + keyBytes + bytes;
        expect(shard.allocator.slotBytes(at)).toBeLessThanOrEqual(Math.max(64, 2 * total + total / 8));
        if (step % 500 === 0) d.keyspace.check();
      }
      expect(moved).toBeGreaterThan(100);
      place.remove();
      expect(place.find(shard, 0, d.key)).toBe(false);
      d.keyspace.check();
    }
}, 120_000);
