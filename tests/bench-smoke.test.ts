// bench-smoke.test.ts: every micro-benchmark still runs, and the benchmarks' own arithmetic is right.

import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import toml from "toml";
import { bench, registered } from "../scripts/bench/bench.ts";
import { accepts, updated } from "../scripts/bench/claims.ts";
import { Histogram } from "../scripts/bench/histogram.ts";
import { geometricMean, median } from "../scripts/bench/lib.ts";
import { benchFiles } from "../scripts/bench/micro.ts";

for (const file of benchFiles()) await import(file);

describe("bench: every micro-benchmark runs in its smoke size", () => {
  for (const { name, smoke } of [...registered()]) {
    test(name, () => {
      const first = smoke();
      expect(first.ops).toBeGreaterThan(0);
      expect(smoke().checksum).toBe(first.checksum);
    });
  }
});

describe("bench: the harness", () => {
  test("refuses a name twice and a checksum that changes", () => {
    let calls = 0;
    const declared = {
      name: "bench-smoke's own",
      smoke: 1,
      full: [1, 2],
      run: (ops: number) => ({ ops, checksum: calls++ }),
    };
    bench(declared);
    expect(() => bench(declared)).toThrow("two benchmarks");
    const mine = registered().at(-1)!;
    expect(mine.full(1).map(({ ops }) => ops)).toEqual([1, 2]);
    expect(() => mine.full(2)).toThrow("checksum");
  });

  test("median and geometric mean", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(geometricMean([0.5, 2])).toBeCloseTo(1);
  });

  test("a percentile lies within a hundredth above the exact one of any latencies", () => {
    const latencies = fc.array(fc.integer({ min: 0, max: 100_000_000 }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(latencies, fc.constantFrom(1, 50, 90, 99, 99.9, 100), (values, percent) => {
        const histogram = new Histogram();
        for (const us of values) histogram.record(us);
        const sorted = [...values].sort((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil((percent / 100) * values.length)) - 1];
        const told = histogram.percentileUs(percent);
        expect(told).toBeGreaterThanOrEqual(exact);
        expect(told).toBeLessThanOrEqual(exact * 1.01);
        expect(histogram.maxUs).toBe(sorted.at(-1)!);
      }),
    );
  });
});

describe("claims", () => {
  const row = { id: "a", text: 'says "a"', value: 1.5, unit: "ratio", status: "proved" };

  test("accept texts", () => {
    expect(accepts("ratio >= 1.3", 1.3)).toBe(true);
    expect(accepts(">= 1.3", 1.29)).toBe(false);
    expect(accepts("<= 60 s", 60)).toBe(true);
    expect(accepts("< 1", 1)).toBe(false);
    expect(accepts("== 0", 0)).toBe(true);
    expect(accepts("present", 7)).toBe(true);
    expect(() => accepts("fast", 1)).toThrow("fast");
  });

  test("a row is put in place by id; others and the comment stay to the byte, unknown fields are kept", () => {
    const other = '[[claim]]\nid   =  "b" # odd spacing, by hand\nvalue = 2';
    const before = `# a comment\n\n[[claim]]\nid = "a"\nvalue = 1\ncited = ["README.md"]\n\n${other}\n`;
    const after = updated(before, [row, { ...row, id: "c" }]);
    expect(after.startsWith("# a comment\n\n[[claim]]\n")).toBe(true);
    expect(after).toContain(other);
    const { claim } = toml.parse(after) as { claim: Record<string, unknown>[] };
    expect(claim.map(({ id }) => id)).toEqual(["a", "b", "c"]);
    expect(claim[0]).toEqual({ ...row, cited: ["README.md"] });
    expect(updated(after, [row, { ...row, id: "c" }])).toBe(after);
  });

  test("an empty register gets its comment and the rows", () => {
    const { claim } = toml.parse(updated("", [row])) as { claim: Record<string, unknown>[] };
    expect(claim).toEqual([row]);
  });
});
