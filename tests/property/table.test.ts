// table.test.ts: the hash of large sets, hashes and scores against a Map: edits, walks, draws, scans between changes,
// copies, freeing in steps, memory that is refused, and how many bytes an element costs.
import { expect, test } from "bun:test";
import { Allocator } from "../../engine/memory/allocator.ts";
import { hashBytes, hashLow } from "../../engine/memory/hash.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Segments } from "../../engine/memory/segments.ts";
import type { Holder } from "../../engine/types/holder.ts";
import { TABLE_ROOT_BYTES, Table, TableKind } from "../../engine/types/table.ts";
import { random } from "../support/random.ts";

/** An allocator that refuses after `left` more allocations. */
class Scarce extends Allocator {
  left = Number.POSITIVE_INFINITY;
  override allocate(bytes: number): number {
    return this.left-- > 0 ? super.allocate(bytes) : 0;
  }
}

function scarce(segmentBytes = 64 << 20): Scarce {
  return new Scarce(Segments.create(segmentBytes));
}

/** A record of one table: its root at an odd offset. */
class Root implements Holder {
  readonly region = need(Region.private(4096), "a root");
  readonly valueStart = 1001;
  readonly valueBytes = TABLE_ROOT_BYTES;
  readonly form = 3;

  constructor(readonly allocator: Scarce) {
    this.region.u8.fill(0xa5);
    Table.clear(this);
  }

  setForm(): void {}

  resize(): boolean {
    throw new Error("a root is not resized");
  }
}

interface Value {
  value: string;
  deadlineMs: number;
}

const SPACE = 1 << 21;

/** A table of members or fields with its model. */
class Pair {
  readonly root: Root;
  readonly table: Table;
  readonly model = new Map<string, Value>();
  readonly text = need(Region.private(SPACE), "members and values");
  readonly hash: boolean;

  constructor(
    kind: TableKind,
    readonly allocator = scarce(),
  ) {
    this.hash = kind === TableKind.Hash;
    this.root = new Root(allocator);
    this.table = new Table(kind);
    this.table.open(this.root);
  }

  find(member: string): boolean {
    const start = member.length % 7;
    this.text.u8.set(Buffer.from(member, "latin1"), start);
    const there = this.table.find(this.text, start, member.length);
    expect(there).toBe(this.model.has(member));
    if (there) this.expectCurrent(member);
    return there;
  }

  private put(value: string): number {
    const start = SPACE / 2 + (value.length % 5);
    this.text.u8.set(Buffer.from(value, "latin1"), start);
    return start;
  }

  /** Adds or replaces; false when memory was refused. */
  set(member: string, given: Value): boolean {
    const value = this.hash ? given : { value: "", deadlineMs: 0 };
    const { table, text } = this;
    const at = this.put(value.value);
    const bytes = value.value.length;
    const { count } = table;
    if (this.find(member)) {
      if (!this.hash) return true;
      if (!table.replace(text, at, bytes, value.deadlineMs)) {
        this.expectCurrent(member);
        return false;
      }
    } else {
      const start = member.length % 7;
      if (!table.insert(text, start, member.length, text, at, bytes, value.deadlineMs)) {
        expect(table.count).toBe(count);
        return false;
      }
      expect(table.count).toBe(count + 1);
    }
    this.model.set(member, value);
    this.expectCurrent(member);
    return true;
  }

  remove(member: string): void {
    if (!this.find(member)) return;
    this.table.remove();
    this.model.delete(member);
  }

  member(table = this.table): string {
    const { region, start, bytes } = table;
    return Buffer.from(region.u8.slice(start, start + bytes)).toString("latin1");
  }

  expectCurrent(member: string, table = this.table): void {
    if (this.member(table) !== member)
      throw new Error(`the cursor is at another than ${member.slice(0, 40)}`);
    if (!this.hash) return;
    const { value, deadlineMs } = this.model.get(member)!;
    const read = Buffer.from(
      table.region.u8.slice(table.valueStart, table.valueStart + table.valueBytes),
    ).toString("latin1");
    if (read !== value) throw new Error(`value ${read.slice(0, 40)}, not ${value.slice(0, 40)}`);
    if (table.deadlineMs !== deadlineMs) throw new Error(`deadline ${table.deadlineMs}, not ${deadlineMs}`);
  }

  expectEqual(table = this.table): void {
    table.check();
    expect(table.count).toBe(this.model.size);
    const seen = new Set<string>();
    for (table.walk(); table.next(); ) {
      const member = this.member(table);
      if (!this.model.has(member) || seen.has(member)) throw new Error(`met ${member.slice(0, 40)}`);
      seen.add(member);
      this.expectCurrent(member, table);
    }
    expect(seen.size).toBe(this.model.size);
    expect(table.next()).toBe(false);
  }

  free(budget: number): void {
    this.table.open(this.root);
    for (let steps = 0; !this.table.freeStep(budget); steps++) if (steps > 1e6) throw new Error("no end");
    expect(this.allocator.liveBytes).toBe(0);
    this.allocator.check();
  }
}

function memberOf(number: number): string {
  const kind = number % 23;
  if (number === 0) return "";
  if (kind === 1) return `m${number}:`.padEnd(121 + (number % 9), "x");
  if (kind === 2) return `m${number}:`.padEnd(number % 301, "y");
  if (number % 997 === 0) return `m${number}:`.padEnd(5000, "z");
  return `m${number}`;
}

function anyValue(next: () => number): Value {
  const kind = next();
  const bytes =
    kind < 0.6
      ? Math.floor(next() * 30)
      : kind < 0.9
        ? Math.floor(next() * 140)
        : kind < 0.99
          ? Math.floor(next() * 500)
          : Math.floor(next() * 40_000);
  const deadlineMs = next() < 0.3 ? 1_700_000_000_000 + Math.floor(next() * 1e6) : 0;
  return { value: String.fromCharCode(Math.floor(next() * 256)).repeat(bytes), deadlineMs };
}

for (const kind of [TableKind.Set, TableKind.Hash] as const)
  for (const refusing of [false, true])
    test(`table: kind ${kind}${refusing ? ", memory refused now and then," : ""} agrees with a Map`, () => {
      const next = random(`table ${kind}`);
      const pair = new Pair(kind);
      const { table, model, allocator } = pair;
      let refused = 0;
      for (let step = 0; step < 100_000; step++) {
        allocator.left = refusing && next() < 0.3 ? Math.floor(next() * 4) : Number.POSITIVE_INFINITY;
        const phase = step % 50_000;
        const space = phase < 30_000 ? 20_000 : phase < 40_000 ? 2_000 : 100;
        const member = memberOf(Math.floor(next() * space));
        const action = next();
        if (action < (phase < 30_000 ? 0.6 : 0.3)) {
          if (!pair.set(member, anyValue(next))) {
            refused++;
            // The cursor's element is as it was, and so is everything else.
            allocator.left = Number.POSITIVE_INFINITY;
            if (refused % 200 === 0) pair.expectEqual();
          }
        } else if (action < 0.75) pair.remove(member);
        else if (action < 0.8) {
          expect(table.draw(next(), next())).toBe(model.size > 0);
          if (model.size === 0) continue;
          const drawn = pair.member();
          expect(model.has(drawn)).toBe(true);
          pair.expectCurrent(drawn);
          if (next() < 0.5 && kind === TableKind.Hash) {
            const value = anyValue(next);
            const bytes = Buffer.from(value.value, "latin1");
            pair.text.u8.set(bytes, 77);
            if (table.replace(pair.text, 77, bytes.length, value.deadlineMs)) model.set(drawn, value);
            pair.expectCurrent(drawn);
          } else {
            table.remove();
            model.delete(drawn);
          }
        } else if (action < 0.801) {
          // Remove one met on a walk.
          table.walk();
          for (let hops = Math.floor(next() * model.size); hops >= 0 && table.next(); hops--);
          if (model.size === 0) continue;
          const met = pair.member();
          table.adoptCursor();
          table.remove();
          expect(model.delete(met)).toBe(true);
        } else if (action < 0.8013 && phase >= 20_000) {
          // Remove many on a walk.
          const share = next();
          let kept = 0;
          for (table.walk(); table.next(); ) {
            const met = pair.member();
            pair.expectCurrent(met);
            if (next() < share) {
              table.removeQuietly();
              expect(model.delete(met)).toBe(true);
            } else kept++;
          }
          expect(kept).toBe(model.size);
          table.tidyAll();
          pair.expectEqual();
        } else pair.find(member);
        if (step % 2_000 === 0 || (model.size < 50 && step % 50 === 0)) pair.expectEqual();
        if (step % 20_000 === 0) allocator.check();
      }
      allocator.left = Number.POSITIVE_INFINITY;
      pair.expectEqual();
      if (refusing) expect(refused).toBeGreaterThan(100);
      expect(table.memoryBytes()).toBe(allocator.liveBytes);
      pair.free(1);
    }, 120_000);

test("table: grows to 50,000 elements and back to none, and gives the memory back on the way", () => {
  const next = random("table growth");
  for (const kind of [TableKind.Set, TableKind.Hash] as const) {
    const pair = new Pair(kind);
    const members: string[] = [];
    for (let i = 0; i < 50_000; i++) {
      const member = memberOf(i);
      if (member.length > 1000) continue;
      members.push(member);
      pair.set(member, { value: "v".repeat(i % 40), deadlineMs: 0 });
    }
    pair.expectEqual();
    const peak = pair.allocator.liveBytes;
    for (let i = members.length - 1; i > 0; i--) {
      const j = Math.floor(next() * (i + 1));
      [members[i], members[j]] = [members[j]!, members[i]!];
    }
    for (let i = 0; i < members.length; i++) {
      pair.remove(members[i]!);
      if (i % 5_000 === 0) pair.expectEqual();
    }
    expect(pair.table.count).toBe(0);
    pair.expectEqual();
    console.log(`kind ${kind}: peak ${peak} bytes, ${pair.allocator.liveBytes} when empty`);
    expect(pair.allocator.liveBytes).toBeLessThan(2_000);
    // The same once more without walks between: quietly, then tidied.
    for (let i = 0; i < 20_000; i++) pair.set(memberOf(i), { value: "w", deadlineMs: 0 });
    for (pair.table.walk(); pair.table.next(); ) pair.table.removeQuietly();
    pair.model.clear();
    pair.table.tidyAll();
    pair.expectEqual();
    expect(pair.allocator.liveBytes).toBeLessThan(2_000);
    pair.free(1000);
  }
}, 120_000);

/** A whole scan; `between` changes the table after each page. How often each element was met. */
function scan(pair: Pair, wanted: () => number, between: (page: number) => void): Map<string, number> {
  const { table } = pair;
  const seen = new Map<string, number>();
  let cursor = 0;
  let page = 0;
  do {
    const count = wanted();
    table.scanPage(cursor, count);
    while (table.scanNext()) {
      const member = pair.member();
      pair.expectCurrent(member);
      seen.set(member, (seen.get(member) ?? 0) + 1);
    }
    cursor = table.scanCursor;
    expect(cursor).toBeLessThan(2 ** 39);
    between(page++);
    if (page > 1e6) throw new Error("a scan without end");
  } while (cursor !== 0);
  return seen;
}

test("table: a scan at rest meets every element once, whatever COUNT", () => {
  for (const size of [0, 1, 5, 31, 200, 3_000]) {
    const pair = new Pair(TableKind.Set);
    for (let i = 0; i < size; i++) pair.set(memberOf(i), { value: "", deadlineMs: 0 });
    for (let wanted = 1; wanted <= 1000; wanted += size > 500 && wanted > 20 ? 7 : 1) {
      let pages = 0;
      const seen = scan(
        pair,
        () => wanted,
        () => pages++,
      );
      expect(seen.size).toBe(size);
      for (const times of seen.values()) if (times !== 1) throw new Error("met twice");
      if (wanted === 1 && size > 0) expect(pages).toBeGreaterThan(size / 2);
    }
    pair.free(3);
  }
}, 120_000);

test("table: an element present throughout a scan is met exactly once while leaves split and join", () => {
  const next = random("table scan");
  let met = 0;
  for (let round = 0; round < 120; round++) {
    const pair = new Pair(round % 2 === 0 ? TableKind.Set : TableKind.Hash);
    const { model } = pair;
    const stable = new Set<string>();
    const steady = Math.floor(10 ** (1 + next() * 2.3));
    for (let i = 0; i < steady; i++) {
      pair.set(`stable${i}`, { value: "s", deadlineMs: 0 });
      stable.add(`stable${i}`);
    }
    const pool = Math.floor(10 ** (1 + next() * 3));
    let phase = next();
    const wanted = 1 + Math.floor(next() ** 3 * 200);
    const burst = Math.max(20, Math.floor((pool * wanted) / steady));
    // Begin full, empty or in between; then fill and empty by turns.
    for (let i = 0; i < pool * phase; i++) pair.set(`churn${i}`, { value: "c".repeat(20), deadlineMs: 0 });
    const shape = new Set<number>();
    const seen = scan(
      pair,
      () => (next() < 0.5 ? wanted : 1 + Math.floor(next() * 100)),
      () => {
        phase = next() < 0.1 ? next() : phase;
        for (let i = 0; i < Math.min(burst, 2_000); i++) {
          const member = `churn${Math.floor(next() * pool)}`;
          if (next() < phase) pair.set(member, { value: "c".repeat(20), deadlineMs: 0 });
          else pair.remove(member);
        }
        shape.add(model.size);
      },
    );
    for (const member of stable) {
      const times = seen.get(member) ?? 0;
      if (times !== 1) throw new Error(`${member} was met ${times} times in round ${round}`);
      met++;
    }
    pair.expectEqual();
    pair.free(100);
  }
  expect(met).toBeGreaterThan(1_000);
}, 120_000);

test("table: a cursor that no scan gave ends or pages without harm", () => {
  const next = random("table cursors");
  const pair = new Pair(TableKind.Set);
  for (let i = 0; i < 3_000; i++) pair.set(memberOf(i), { value: "", deadlineMs: 0 });
  const odd = [2 ** 39 - 1, 2 ** 39, 2 ** 40, 2 ** 53, 2 ** 64, 65535, 65536, 65537, 131071, 5];
  for (let i = 0; i < 5_000; i++) {
    const cursor = odd[i] ?? Math.floor(2 ** (next() * 66));
    pair.table.scanPage(cursor, 1 + Math.floor(next() * 50));
    for (let n = 0; pair.table.scanNext(); n++) {
      if (!pair.model.has(pair.member()) || n > 5_000) throw new Error(`cursor ${cursor}`);
    }
  }
  pair.expectEqual();
});

test("table: a copy is whole, or all of it given back", () => {
  const next = random("table copy");
  for (const kind of [TableKind.Set, TableKind.Hash] as const)
    for (const size of [0, 1, 40, 700, 6_000]) {
      const pair = new Pair(kind);
      for (let i = 0; i < size; i++) pair.set(memberOf(i), anyValue(next));
      const there = scarce();
      const copy = new Root(there);
      const before = pair.allocator.liveBytes;
      let refused = 0;
      for (let tries = 0; tries < 30; tries++) {
        there.left = Math.floor(next() * (3 + size / 20));
        pair.table.open(pair.root);
        if (pair.table.cloneTo(copy)) {
          pair.table.open(copy);
          while (!pair.table.freeStep(7));
        } else refused++;
        expect(there.liveBytes).toBe(0);
        there.check();
        expect(pair.allocator.liveBytes).toBe(before);
      }
      if (size > 0) expect(refused).toBeGreaterThan(0);
      there.left = Number.POSITIVE_INFINITY;
      pair.table.open(pair.root);
      expect(pair.table.cloneTo(copy)).toBe(true);
      const other = new Table(kind);
      other.open(copy);
      pair.table.open(pair.root);
      pair.expectEqual(other);
      pair.expectEqual();
      expect(other.memoryBytes()).toBe(there.liveBytes);
      // They share nothing: the original goes, the copy stays.
      const { model } = pair;
      pair.free(5);
      pair.expectEqual(other);
      expect(model.size).toBe(other.count);
      while (!other.freeStep(1));
      expect(there.liveBytes).toBe(0);
    }
}, 120_000);

// Scores

/** A table of scores, and a Map from member to all scores put in for it: more than one stands for members whose hashes
 *  agree, as candidates do. */
class Scores {
  readonly allocator = scarce();
  readonly root = new Root(this.allocator);
  readonly table = new Table(TableKind.Reference);
  readonly model = new Map<string, number[]>();
  readonly text = need(Region.private(4096), "members");

  constructor() {
    this.table.open(this.root);
  }

  first(member: string): boolean {
    this.text.u8.set(Buffer.from(member, "latin1"), 3);
    return this.table.findCandidate(this.text, 3, member.length);
  }

  scoresOf(member: string): number[] {
    const found: number[] = [];
    for (let there = this.first(member); there; there = this.table.nextCandidate())
      found.push(this.table.reference);
    return found.sort((a, b) => a - b);
  }

  expectEqual(): void {
    const { table, model } = this;
    table.check();
    let count = 0;
    for (const [member, scores] of model) {
      count += scores.length;
      expect(this.scoresOf(member)).toEqual([...scores].sort((a, b) => a - b));
    }
    expect(table.count).toBe(count);
    let walked = 0;
    let sum = 0;
    for (table.walk(); table.next(); walked++) sum += table.reference;
    expect(walked).toBe(count);
    expect(sum).toBe([...model.values()].flat().reduce((a, b) => a + b, 0));
  }
}

/** Members of which many agree in the order bits of their hash. */
function crowded(howMany: number): string[] {
  const text = need(Region.private(4096), "a member");
  const groups = new Map<number, string[]>();
  for (let i = 0; ; i++) {
    const member = `c${i}`;
    text.u8.set(Buffer.from(member), 0);
    hashBytes(text, 0, member.length);
    const order = hashLow >>> 16;
    if (order >= 64) continue;
    let group = groups.get(order);
    if (group === undefined) {
      group = [];
      groups.set(order, group);
    }
    group.push(member);
    if (group.length >= howMany) return [...groups.values()].flat();
  }
}

for (const refusing of [false, true])
  test(`table: scores${refusing ? ", memory refused now and then," : ""} agree with a Map`, () => {
    const next = random("table scores");
    const pair = new Scores();
    const { table, model, allocator } = pair;
    const same = crowded(40);
    let score = 0;
    let refused = 0;
    for (let step = 0; step < 100_000; step++) {
      allocator.left = refusing && next() < 0.3 ? Math.floor(next() * 3) : Number.POSITIVE_INFINITY;
      const space = step % 50_000 < 30_000 ? 10_000 : 60;
      const member =
        next() < 0.3 ? same[Math.floor(next() * same.length)]! : `m${Math.floor(next() * space)}`;
      const scores = model.get(member) ?? [];
      const action = next();
      if (action < (step % 50_000 < 30_000 ? 0.5 : 0.3)) {
        // A second element with the same hash now and then: another member whose 48 bits agree.
        if (scores.length > 0 && next() < 0.9) continue;
        for (let there = pair.first(member); there; there = table.nextCandidate());
        if (table.insertReference(++score, -score)) {
          expect(table.reference).toBe(score);
          expect(table.score).toBe(-score);
          model.set(member, [...scores, score]);
        } else refused++;
      } else if (scores.length > 0) {
        const chosen = scores[Math.floor(next() * scores.length)]!;
        let there = pair.first(member);
        while (there && table.reference !== chosen) there = table.nextCandidate();
        expect(there).toBe(true);
        if (action < 0.6) {
          table.setReference(++score);
          model.set(
            member,
            scores.map((each) => (each === chosen ? score : each)),
          );
        } else {
          table.remove();
          if (scores.length === 1) model.delete(member);
          else
            model.set(
              member,
              scores.filter((each) => each !== chosen),
            );
        }
      } else expect(pair.first(member)).toBe(false);
      if (step % 5_000 === 0) pair.expectEqual();
    }
    allocator.left = Number.POSITIVE_INFINITY;
    pair.expectEqual();
    if (refusing) expect(refused).toBeGreaterThan(30);
    const there = scarce();
    const copy = new Root(there);
    expect(table.cloneTo(copy)).toBe(true);
    table.open(copy);
    pair.expectEqual();
    while (!table.freeStep(1));
    expect(there.liveBytes).toBe(0);
    table.open(pair.root);
    // Removed on a walk, all but a few.
    let kept = 0;
    for (table.walk(); table.next(); ) {
      if (next() < 0.99) table.removeQuietly();
      else kept++;
    }
    table.tidyAll();
    table.check();
    expect(table.count).toBe(kept);
    while (!table.freeStep(1));
    expect(allocator.liveBytes).toBe(0);
    allocator.check();
  }, 120_000);

test("table: bytes of an element", () => {
  const report = (
    name: string,
    kind: TableKind,
    members: number,
    text: (i: number) => string,
    value: string,
  ) => {
    const allocator = scarce();
    const TABLES = 20;
    for (let t = 0; t < TABLES; t++) {
      const pair = new Pair(kind, allocator);
      for (let i = 0; i < members; i++) pair.set(text(i * 7919 + t), { value, deadlineMs: 0 });
    }
    const committed = allocator.committedBytes / (TABLES * members);
    const live = allocator.liveBytes / (TABLES * members);
    console.log(`${name}: ${committed.toFixed(2)} bytes an element committed, ${live.toFixed(2)} live`);
    return committed;
  };
  const sixteen = (i: number) => String(i).padStart(16, "m");
  const ten = (i: number) => String(i).padStart(10, "f");
  expect(report("10,000 members of 16", TableKind.Set, 10_000, sixteen, "")).toBeLessThan(16 + 14);
  expect(report("10,000 fields of 10 + 10", TableKind.Hash, 10_000, ten, "v".repeat(10))).toBeLessThan(
    20 + 16,
  );
  report("1,000 members of 16", TableKind.Set, 1_000, sixteen, "");
  report("1,000 fields of 10 + 10", TableKind.Hash, 1_000, ten, "v".repeat(10));
});
