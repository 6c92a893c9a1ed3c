// sorted-set-type.test.ts: the sorted set over its record against a sorted array: both forms, the table that knows the
// leaves, scans between changes. The commands are tested in sorted-sets.test.ts.
import { expect, test } from "bun:test";
import { Allocator } from "../../engine/memory/allocator.ts";
import { Form, Type } from "../../engine/memory/record.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Segments } from "../../engine/memory/segments.ts";
import { freePages } from "../../engine/types/pages.ts";
import { SortedSet } from "../../engine/types/sorted-set.ts";
import { Temporary } from "../../engine/types/temporary.ts";
import { random } from "../support/random.ts";

interface Element {
  score: number;
  readonly member: string;
}

const compare = (a: Element, b: Element) =>
  a.score - b.score || (a.member < b.member ? -1 : a.member > b.member ? 1 : 0);

class Scarce extends Allocator {
  refuse = 0;
  draw: () => number = () => 1;
  override allocate(bytes: number): number {
    return this.draw() < this.refuse ? 0 : super.allocate(bytes);
  }
}

for (const refusing of [false, true])
  test(`sorted set: both forms agree with a sorted array${refusing ? ", memory refused now and then" : ""}`, () => {
    const next = random("sorted set type");
    const allocator = new Scarce(Segments.create(64 << 20));
    allocator.draw = next;
    const record = new Temporary();
    record.begin(allocator, Type.SortedSet, Form.Packed, SortedSet.initialBytes);
    const set = new SortedSet();
    set.clear(record);
    const model = new Map<string, Element>();
    const text = need(Region.private(1 << 16), "members");
    const put = (member: string) => {
      text.u8.set(Buffer.from(member, "latin1"), 100);
      return member.length;
    };
    const textOf = () =>
      Buffer.from(set.region.u8.slice(set.start, set.start + set.bytes)).toString("latin1");
    let stable: Set<string> | null = null;
    let cursor = 0;
    const met = new Map<string, number>();
    const scores = next() < 0.5 ? 5 : 1e6;
    for (let turn = 0; turn < 40_000; turn++) {
      allocator.refuse = refusing && next() < 0.2 ? 0.5 : 0;
      const members = [...(turn % 97 === 0 ? model.keys() : [])];
      const member =
        members.length > 0 && next() < 0.5
          ? members[Math.floor(next() * members.length)]!
          : `m${Math.floor(next() * 4000)}${next() < 0.02 ? "x".repeat(200) : ""}`;
      const bytes = put(member);
      const there = set.find(text, 100, bytes);
      expect(there).toBe(model.has(member));
      const score = Math.floor((next() - 0.5) * scores) / (next() < 0.2 ? 7 : 1);
      const growing = turn % 16_000 < 10_000;
      if (!there) {
        if (next() < (growing ? 0.8 : 0.2) && set.insert(score, text, 100, bytes))
          model.set(member, { score, member });
      } else {
        expect(set.score).toBe(model.get(member)!.score);
        if (next() < 0.5) {
          if (set.update(score, text, 100, bytes)) model.get(member)!.score = score + 0;
        } else if (next() < (growing ? 0.3 : 0.9) && !stable?.has(member)) {
          set.remove(text, 100, bytes);
          model.delete(member);
        }
      }
      allocator.refuse = 0;
      expect(set.count).toBe(model.size);
      if (turn % 1000 === 999 && stable === null) {
        const sorted = [...model.values()].sort(compare);
        const rank = Math.floor(next() * sorted.length);
        const howMany = Math.min(30, sorted.length - rank);
        set.removeRange(rank, howMany);
        for (const each of sorted.splice(rank, howMany)) model.delete(each.member);
      }
      if (turn % 500 === 0 || turn < 200) {
        set.check();
        const sorted = [...model.values()].sort(compare);
        let rank = 0;
        for (let more = set.seekRank(0); more; more = set.next(), rank++) {
          expect(textOf()).toBe(sorted[rank]!.member);
          expect(set.score).toBe(sorted[rank]!.score);
        }
        expect(rank).toBe(sorted.length);
        if (sorted.length > 0) {
          const chosen = Math.floor(next() * sorted.length);
          const { member: wanted, score: at } = sorted[chosen]!;
          const length = put(wanted);
          expect(set.find(text, 100, length)).toBe(true);
          expect(set.rankOf(text, 100, length)).toBe(chosen);
          expect(set.rankOfScore(at, false)).toBe(sorted.findIndex((each) => each.score >= at));
          const above = sorted.findIndex((each) => each.score > at);
          expect(set.rankOfScore(at, true)).toBe(above < 0 ? sorted.length : above);
        }
      }
      // A scan that other changes go on beside.
      if (turn % 50 === 0) {
        if (cursor === 0) {
          if (stable !== null) for (const each of stable) expect(met.get(each) ?? 0).toBeGreaterThan(0);
          stable = new Set([...model.keys()].filter(() => next() < 0.3));
          met.clear();
        }
        set.scanPage(cursor, 1 + Math.floor(next() * 40));
        cursor = set.scanCursor;
        while (set.scanNext()) {
          expect(model.get(textOf())?.score).toBe(set.score);
          met.set(textOf(), (met.get(textOf()) ?? 0) + 1);
        }
      }
    }
    set.check();
    while (record.form >= Form.Pages && !freePages(Type.SortedSet, record, 50));
    expect(allocator.liveBytes).toBe(0);
  });
