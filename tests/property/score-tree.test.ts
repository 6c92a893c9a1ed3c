// score-tree.test.ts: the B+tree of sorted sets against a sorted array, its memory, and what it does without memory.
import { expect, test } from "bun:test";
import { Allocator } from "../../engine/memory/allocator.ts";
import { compareBytes, need, Region } from "../../engine/memory/region.ts";
import { Segments } from "../../engine/memory/segments.ts";
import { ScoreTree } from "../../engine/types/score-tree.ts";
import { random } from "../support/random.ts";

interface Element {
  readonly score: number;
  readonly member: Buffer;
}

function order(a: Element, b: Element): number {
  return a.score - b.score || Buffer.compare(a.member, b.member);
}

/** An allocator that refuses after `left` more allocations. */
class Scarce extends Allocator {
  left = Number.POSITIVE_INFINITY;
  override allocate(bytes: number): number {
    return this.left-- > 0 ? super.allocate(bytes) : 0;
  }
}

function removeRange(tree: ScoreTree, rank: number, howMany: number): void {
  for (let left = Math.min(howMany, tree.count - rank); left > 0; ) left -= tree.removeWithin(rank, left);
}

/** A tree with its model, and the region that members are handed in from. */
class Pair {
  readonly tree = new ScoreTree();
  readonly model: Element[] = [];
  readonly text = need(Region.private(1 << 16), "members");
  readonly root: number;

  /** Roots at odd addresses: the record promises no alignment. */
  constructor(
    readonly allocator: Allocator,
    readonly at = 4099,
  ) {
    this.root = at;
    this.text.u8.fill(0, at, at + ScoreTree.rootBytes);
    this.tree.open(allocator, this.text, at);
  }

  put(member: Buffer): number {
    const start = 8192 + (member.length % 7);
    this.text.u8.set(member, start);
    return start;
  }

  /** First position in the model that is not less. */
  position(element: Element): number {
    let low = 0;
    let high = this.model.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (order(this.model[middle]!, element) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  has(element: Element): boolean {
    const there = this.model[this.position(element)];
    return there !== undefined && order(there, element) === 0;
  }

  insert(element: Element): boolean {
    const { score, member } = element;
    if (!this.tree.insert(score, this.text, this.put(member), member.length)) return false;
    this.model.splice(this.position(element), 0, element);
    return true;
  }

  remove(element: Element): boolean {
    const { score, member } = element;
    const there = this.tree.remove(score, this.text, this.put(member), member.length);
    expect(there).toBe(this.has(element));
    if (there) this.model.splice(this.position(element), 1);
    return there;
  }

  current(tree = this.tree): Element {
    const { score, memberRegion, memberStart, memberBytes } = tree;
    return {
      score,
      member: Buffer.from(memberRegion.u8.slice(memberStart, memberStart + memberBytes)),
    };
  }

  /** The cursor is on the model's element of this rank, or on none behind the last. */
  expectAt(rank: number): void {
    expect(this.tree.valid).toBe(rank < this.model.length);
    if (this.tree.valid) expect(order(this.current(), this.model[rank]!)).toBe(0);
  }

  expectEqual(tree = this.tree): void {
    tree.check();
    expect(tree.count).toBe(this.model.length);
    let rank = 0;
    for (let on = tree.seekRank(0); on; on = tree.next()) {
      if (order(this.current(tree), this.model[rank]!) !== 0) throw new Error(`element ${rank} differs`);
      rank++;
    }
    expect(rank).toBe(this.model.length);
    for (let on = tree.seekRank(rank - 1); on; on = tree.previous()) {
      rank--;
      if (order(this.current(tree), this.model[rank]!) !== 0) throw new Error(`element ${rank} differs`);
    }
    expect(rank).toBe(0);
  }

  probe(next: () => number, element: Element): void {
    const { tree, text, model } = this;
    const { score, member } = element;
    const start = this.put(member);
    const position = this.position(element);
    const there = this.has(element);
    expect(tree.find(score, text, start, member.length)).toBe(there);
    if (there) this.expectAt(position);
    expect(tree.rankOf(score, text, start, member.length)).toBe(there ? position : -1);
    const from = this.position({ score, member: Buffer.alloc(0) });
    expect(tree.seekScore(score, false)).toBe(from);
    this.expectAt(from);
    if (tree.previous()) this.expectAt(from - 1);
    else expect(from === 0 || from === model.length).toBe(true);
    let behind = from;
    while (behind < model.length && model[behind]!.score === score) behind++;
    expect(tree.seekScore(score, true)).toBe(behind);
    this.expectAt(behind);
    if (tree.next()) this.expectAt(behind + 1);
    const rank = Math.floor(next() * (model.length + 2)) - 1;
    expect(tree.seekRank(rank)).toBe(rank >= 0 && rank < model.length);
    if (tree.valid) this.expectAt(rank);
    for (let i = 1; i < 40 && tree.valid; i++) if (tree.next()) this.expectAt(rank + i);
  }
}

function maker(next: () => number, scores: number, long: number): () => Element {
  const below = (n: number) => Math.floor(next() * n);
  return () => {
    const kind = next();
    const bytes = kind < long / 20 ? 5000 : kind < long ? below(301) : below(24);
    const member = Buffer.alloc(bytes, 97);
    // Members that differ late, early and in length only.
    for (let i = Math.max(0, bytes - 3); i < bytes; i++) member[i] = below(256);
    if (bytes > 0 && next() < 0.5) member[0] = below(256);
    const score = below(scores) - (scores >> 1);
    return { score: next() < 0.02 ? (next() < 0.5 ? -Infinity : Infinity) : score / 4 + 0, member };
  };
}

test("compareBytes: memcmp, then the shorter first", () => {
  const next = random("compareBytes");
  const region = need(Region.private(8192), "members");
  for (let step = 0; step < 20_000; step++) {
    const a = Buffer.alloc(Math.floor(next() * 150), 7);
    const b = Buffer.alloc(Math.floor(next() * 150), 7);
    if (a.length > 0 && next() < 0.7) a[Math.floor(next() * a.length)] = Math.floor(next() * 256);
    region.u8.set(a, 3);
    region.u8.set(b, 1002);
    const found = compareBytes(region, 3, a.length, region, 1002, b.length);
    expect(Math.sign(found)).toBe(Buffer.compare(a, b));
  }
  expect(() => compareBytes(region, 8190, 3, region, 0, 3)).toThrow(RangeError);
  expect(() => compareBytes(region, 0, 3, region, 8190, 3)).toThrow(RangeError);
});

for (const [name, scores, long] of [
  ["many scores", 100_000, 0.1],
  ["few scores, long members", 5, 0.6],
] as const)
  test(`score tree: 50,000 operations against a sorted array, ${name}`, () => {
    const next = random(`score tree, ${name}`);
    const allocator = new Allocator(Segments.create(64 << 20));
    const pair = new Pair(allocator);
    const make = maker(next, scores, long);
    let most = 0;
    for (let step = 0; step < 50_000; step++) {
      const grow = step % 10_000 < 6_500;
      const kind = next();
      const element =
        pair.model.length > 0 && kind < 0.5 ? pair.model[Math.floor(next() * pair.model.length)]! : make();
      if (step % 20 === 0) pair.probe(next, element);
      if (step % 1_500 === 1_499) {
        const rank = Math.floor(next() * pair.model.length);
        const howMany = Math.floor(next() * next() * (grow ? 300 : 2000));
        removeRange(pair.tree, rank, howMany);
        pair.model.splice(rank, howMany);
        pair.tree.check();
      }
      if (next() < (grow ? 0.95 : 0.4)) {
        const fresh = make();
        if (!pair.has(fresh)) expect(pair.insert(fresh)).toBe(true);
      } else pair.remove(element);
      most = Math.max(most, pair.model.length);
      if (step < 300 || step % 250 === 0) pair.tree.check();
      if (step % 2_500 === 0) {
        pair.expectEqual();
        allocator.check();
        expect(pair.tree.memoryBytes()).toBe(allocator.liveBytes);
      }
    }
    expect(most).toBeGreaterThan(3_000);
    pair.expectEqual();
    while (pair.model.length > 0) {
      pair.remove(pair.model[Math.floor(next() * pair.model.length)]!);
      if (pair.model.length % 100 === 0) pair.tree.check();
    }
    pair.expectEqual();
    expect(pair.text.u8.slice(pair.root, pair.root + 16).every((byte) => byte === 0)).toBe(true);
    expect(allocator.liveBytes).toBe(0);
    allocator.check();
  });

test("score tree: equal scores by member", () => {
  const next = random("score tree, members");
  const pair = new Pair(new Allocator(Segments.create(64 << 20)));
  const make = maker(next, 1, 0.3);
  for (let step = 0; step < 6_000; step++) {
    const element = { score: 0, member: make().member };
    if (!pair.has(element)) pair.insert(element);
  }
  pair.expectEqual();
  for (let step = 0; step < 3_000; step++) {
    const element =
      next() < 0.5
        ? pair.model[Math.floor(next() * pair.model.length)]!
        : { score: 0, member: make().member };
    const from = pair.position(element);
    const start = pair.put(element.member);
    expect(pair.tree.seekMember(pair.text, start, element.member.length, false)).toBe(from);
    pair.expectAt(from);
    const behind = from + (pair.has(element) ? 1 : 0);
    expect(pair.tree.seekMember(pair.text, start, element.member.length, true)).toBe(behind);
    pair.expectAt(behind);
  }
});

test("score tree: an empty tree, and the first and the last element", () => {
  const allocator = new Allocator(Segments.create(1 << 20));
  const pair = new Pair(allocator);
  const { tree, text } = pair;
  expect(tree.find(1, text, 0, 0)).toBe(false);
  expect(tree.rankOf(1, text, 0, 3)).toBe(-1);
  expect(tree.remove(1, text, 0, 3)).toBe(false);
  expect(tree.seekRank(0)).toBe(false);
  expect(tree.seekScore(-Infinity, false)).toBe(0);
  expect(tree.seekMember(text, 0, 0, false)).toBe(0);
  expect(tree.valid || tree.next() || tree.previous()).toBe(false);
  removeRange(tree, 0, 10);
  expect(tree.freeStep(1)).toBe(true);
  expect(tree.memoryBytes()).toBe(0);
  tree.check();
  expect(pair.insert({ score: Infinity, member: Buffer.alloc(0) })).toBe(true);
  expect(tree.memoryBytes()).toBe(512 + 64); // a leaf and the names
  expect(tree.find(Infinity, text, 0, 0)).toBe(true);
  expect(tree.memberBytes).toBe(0);
  expect(tree.next()).toBe(false);
  expect(tree.seekRank(0) && tree.previous()).toBe(false);
  tree.check();
  removeRange(tree, 0, 1);
  expect(allocator.liveBytes).toBe(0);
});

test("score tree: ordered insertion fills its leaves, four levels, ranges empty it again", () => {
  const next = random("score tree, ordered");
  const allocator = new Allocator(Segments.create(64 << 20));
  for (const step of [1, -1]) {
    const pair = new Pair(allocator);
    const { tree, text } = pair;
    const bytes = 128;
    const total = 130_000; // 28 a leaf
    text.u8.fill(97, 8192, 8192 + bytes);
    for (let i = 0; i < total; i++) {
      text.view.setUint32(8192, i);
      if (!tree.insert(step * i + 0, text, 8192, bytes)) throw new Error("memory");
    }
    tree.check();
    expect(text.view.getUint32(pair.root + 4, true)).toBe(4);
    expect(tree.memoryBytes() / total).toBeLessThan((8 + 1 + bytes + 2) * 1.1);
    for (let i = 0; i < 1000; i++) {
      const rank = Math.floor(next() * total);
      expect(tree.seekRank(rank)).toBe(true);
      expect(tree.score).toBe(step > 0 ? rank : rank - total + 1);
      expect(tree.seekScore(tree.score, true)).toBe(rank + 1);
    }
    while (tree.count > 0) {
      const count = tree.count;
      const rank = Math.floor(next() * count);
      const howMany = Math.floor(next() * 9_000);
      const kept = tree.seekRank(rank + howMany) ? tree.score : 0;
      removeRange(tree, rank, howMany);
      expect(tree.count).toBe(count - Math.min(howMany, count - rank));
      if (rank + howMany < count) expect(tree.seekRank(rank) && tree.score === kept).toBe(true);
      tree.check();
    }
    expect(allocator.liveBytes).toBe(0);
    allocator.check();
  }
});

test("score tree: removing most elements gives the memory back", () => {
  const next = random("score tree, thinned");
  const allocator = new Allocator(Segments.create(64 << 20));
  const pair = new Pair(allocator);
  const { tree, text } = pair;
  for (let i = 0; i < 50_000; i++) {
    text.view.setUint32(8192, i);
    tree.insert(i, text, 8192, 16);
  }
  const full = tree.memoryBytes();
  while (tree.count > 1_000) removeRange(tree, Math.floor(next() * tree.count), 1);
  tree.check();
  expect(text.view.getUint32(pair.root + 4, true)).toBe(2);
  expect(tree.memoryBytes() / full).toBeLessThan(0.06);
  expect(allocator.liveBytes).toBe(tree.memoryBytes());
});

test("score tree: a clone is equal and apart, one that finds no memory leaves nothing", () => {
  const next = random("score tree, clone");
  const pair = new Pair(new Allocator(Segments.create(64 << 20)));
  const make = maker(next, 50, 0.4);
  const target = new Scarce(Segments.create(64 << 20));
  const copy = new ScoreTree();
  expect(pair.tree.clone(target, pair.text, 101)).toBe(true);
  copy.open(target, pair.text, 101);
  expect(copy.count).toBe(0);
  while (pair.model.length < 4_000) {
    const element = make();
    if (!pair.has(element)) pair.insert(element);
  }
  let refused = 0;
  for (let left = 0; ; left += left < 20 ? 1 : 97) {
    target.left = left;
    if (pair.tree.clone(target, pair.text, 101)) break;
    refused++;
    expect(copy.count).toBe(0);
    expect(target.liveBytes).toBe(0);
  }
  expect(refused).toBeGreaterThan(20);
  target.check();
  pair.expectEqual(copy);
  expect(target.liveBytes).toBe(copy.memoryBytes());
  target.left = Number.POSITIVE_INFINITY;
  removeRange(copy, 100, 2_000);
  copy.check();
  pair.expectEqual();

  // And into its own allocator.
  const { allocator } = pair;
  const before = allocator.liveBytes;
  expect(pair.tree.clone(allocator, pair.text, 203)).toBe(true);
  copy.open(allocator, pair.text, 203);
  pair.expectEqual(copy);
  while (!copy.freeStep(1_000));
  expect(allocator.liveBytes).toBe(before);
  pair.expectEqual();
});

for (const budget of [1, 2, 7, 1000])
  test(`score tree: freed in steps of ${budget}`, () => {
    const next = random(`score tree, steps of ${budget}`);
    const allocator = new Allocator(Segments.create(64 << 20));
    const other = allocator.allocate(100);
    const before = allocator.liveBytes;
    const pair = new Pair(allocator);
    const make = maker(next, 1000, 0.3);
    for (let i = 0; i < 5_000; i++) {
      const element = make();
      if (!pair.has(element)) pair.insert(element);
    }
    let steps = 0;
    let live = allocator.liveBytes;
    for (;;) {
      // Another cursor each time, as another worker would.
      const tree = new ScoreTree();
      tree.open(allocator, pair.text, pair.root);
      steps++;
      if (tree.freeStep(budget)) break;
      expect(allocator.liveBytes).toBeLessThan(live);
      live = allocator.liveBytes;
    }
    expect(steps).toBeGreaterThan(500 / budget);
    expect(allocator.liveBytes).toBe(before);
    pair.model.length = 0;
    pair.expectEqual();
    expect(pair.insert(make())).toBe(true);
    pair.tree.check();
    allocator.free(other);
    allocator.check();
  });

test("score tree: without memory an insertion changes nothing and a removal goes on", () => {
  const next = random("score tree, scarce");
  const allocator = new Scarce(Segments.create(64 << 20));
  const pair = new Pair(allocator);
  const make = maker(next, 300, 0.7);
  let refused = 0;
  let twice = 0;
  for (let step = 0; step < 12_000; step++) {
    const element = make();
    if (pair.has(element)) continue;
    for (let left = 0; ; left++) {
      const live = allocator.liveBytes;
      allocator.left = left;
      if (pair.insert(element)) break;
      refused++;
      if (left > 1) twice++;
      expect(allocator.liveBytes).toBe(live);
      expect(pair.tree.count).toBe(pair.model.length);
      if (refused % 10 === 0 || left > 1) pair.tree.check();
    }
    if (step % 1_000 === 0) pair.expectEqual();
  }
  expect(refused).toBeGreaterThan(1_000);
  expect(twice).toBeGreaterThan(20);
  pair.expectEqual();
  allocator.left = 0;
  while (pair.model.length > 0) {
    allocator.left = next() < 0.5 ? 0 : 1;
    pair.remove(pair.model[Math.floor(next() * pair.model.length)]!);
    if (pair.model.length % 50 === 0) pair.tree.check();
  }
  expect(allocator.liveBytes).toBe(0);
  allocator.check();
});

test("score tree: a full allocator of small segments", () => {
  const next = random("score tree, full");
  const allocator = new Allocator(Segments.create(1 << 20));
  const pair = new Pair(allocator);
  const filler: number[] = [];
  for (const bytes of [40_000, 4096])
    for (let handle = allocator.allocate(bytes); handle !== 0; handle = allocator.allocate(bytes))
      filler.push(handle);
  const make = maker(next, 100, 0.2);
  let refused = 0;
  for (let step = 0; step < 6_000; step++) {
    const element = make();
    if (pair.has(element)) continue;
    if (!pair.insert(element)) {
      refused++;
      pair.tree.check();
      if (next() < 0.3) allocator.free(filler.splice(Math.floor(next() * filler.length), 1)[0]!);
      if (next() < 0.2 && pair.model.length > 0) {
        const rank = Math.floor(next() * pair.model.length);
        removeRange(pair.tree, rank, 5);
        pair.model.splice(rank, 5);
        pair.tree.check();
      }
    }
  }
  expect(refused).toBeGreaterThan(20);
  expect(pair.model.length).toBeGreaterThan(500);
  pair.expectEqual();
  while (!pair.tree.freeStep(3));
  for (const handle of filler) allocator.free(handle);
  expect(allocator.liveBytes).toBe(0);
  allocator.check();
});

test("score tree: bytes an element", () => {
  const next = random("score tree, bytes");
  const allocator = new Allocator(Segments.create(64 << 20));
  const pair = new Pair(allocator);
  const { tree, text } = pair;
  for (let i = 0; i < 100_000; i++) {
    for (let word = 0; word < 16; word += 4) text.view.setUint32(8192 + word, next() * 2 ** 32);
    tree.insert(next(), text, 8192, 16);
  }
  tree.check();
  const bytes = tree.memoryBytes() / 100_000;
  const committed = allocator.committedBytes / 100_000;
  console.log(`score tree: ${bytes.toFixed(2)} bytes an element of 16, ${committed.toFixed(2)} in pages`);
  expect(bytes).toBeLessThan(27 / 0.9);
});

test("score tree: a member is found in the leaf that insertions and removals said it moved to", () => {
  const next = random("score tree, names");
  const allocator = new Allocator(Segments.create(16 << 20));
  const pair = new Pair(allocator);
  const { tree, model, text } = pair;
  const leafOf = new Map<string, number>();
  const follow = () => {
    if (tree.movedTo === 0) return;
    const { movedFrom, movedTo } = tree;
    tree.openLeaf(movedTo);
    do {
      const start = tree.memberStart;
      const member = Buffer.from(tree.memberRegion.u8.slice(start, start + tree.memberBytes)).toString(
        "latin1",
      );
      if (leafOf.get(member) === movedFrom) leafOf.set(member, movedTo);
    } while (tree.next() && tree.leafName === movedTo);
  };
  for (let turn = 0; turn < 30_000; turn++) {
    const growing = turn % 12_000 < 7_000;
    if (next() < (growing ? 0.7 : 0.25) || model.length === 0) {
      const member = Buffer.from(`m${Math.floor(next() * 1e9)}`.padEnd(next() < 0.02 ? 200 : 8, "x"));
      if (leafOf.has(member.toString("latin1"))) continue;
      expect(pair.insert({ score: Math.floor(next() * 50), member })).toBe(true);
      const name = tree.leafName;
      follow();
      leafOf.set(member.toString("latin1"), name);
    } else if (next() < 0.9) {
      const rank = Math.floor(next() * model.length);
      const element = model[rank]!;
      const start = pair.put(element.member);
      model.splice(rank, 1);
      expect(tree.remove(element.score, text, start, element.member.length)).toBe(true);
      leafOf.delete(element.member.toString("latin1"));
      follow();
    } else {
      const rank = Math.floor(next() * model.length);
      for (let left = Math.min(40, model.length - rank); left > 0; ) {
        const removed = tree.removeWithin(rank, left);
        for (const { member } of model.splice(rank, removed)) leafOf.delete(member.toString("latin1"));
        follow();
        left -= removed;
      }
    }
    if (model.length === 0) continue;
    const { member, score } = model[Math.floor(next() * model.length)]!;
    const start = pair.put(member);
    expect(tree.findIn(leafOf.get(member.toString("latin1"))!, score, text, start, member.length)).toBe(true);
    expect(tree.score).toBe(score);
  }
  tree.check();
  for (const { member, score } of model) {
    expect(
      tree.findIn(leafOf.get(member.toString("latin1"))!, score, text, pair.put(member), member.length),
    ).toBe(true);
    expect(tree.score).toBe(score);
  }
});
