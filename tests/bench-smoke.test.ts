// bench-smoke.test.ts: every micro-benchmark still runs, so do the benchmarks of whole servers on collections, tiny ones,
// and the benchmarks' own arithmetic is right. The servers are our executable and the redis-server of the system.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import toml from "toml";
import { bench, registered } from "../scripts/bench/bench.ts";
import { accepts, updated } from "../scripts/bench/claims.ts";
import { Histogram } from "../scripts/bench/histogram.ts";
import { geometricMean, median, RandomBytes, root } from "../scripts/bench/lib.ts";
import { benchFiles } from "../scripts/bench/micro.ts";

setDefaultTimeout(300_000);

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

describe("bench: a whole server and collections", () => {
  const folder = mkdtempSync(join(tmpdir(), "bench-smoke-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "bin"));
  symlinkSync(Bun.which("redis-server") ?? "", join(folder, "bin", "redis-server"));
  // That of the system may be too old to know --seed.
  const load = `#!/bin/sh\nexec ${Bun.which("redis-benchmark")} $(echo "$@" | sed "s/--seed 1//")\n`;
  writeFileSync(join(folder, "bin", "redis-benchmark"), load, { mode: 0o755 });

  /** Runs a benchmark and gives the first cells of the table rows that it prints. */
  async function run(script: string, ...words: string[]): Promise<string[]> {
    const child = Bun.spawn([process.execPath, join(root, "scripts/bench", script), ...words], {
      env: { ...process.env, PEERS_DIR: folder, BENCH_DIR: folder },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (child.exitCode !== 0) throw new Error(`${script} ended with ${child.exitCode}\n${output}${errors}`);
    expect(output).not.toContain("NaN");
    return [...output.matchAll(/^\| ([^|]*?) *\|/gm)].map(([, cell]) => cell);
  }

  test("collections.ts: all tests against both, in two pipelines", async () => {
    const rows = await run("collections.ts", "--quick", "--only", "epoll,redis", "--cpu", "0.1");
    expect(rows).toHaveLength(1 + 15 * 2 + 1);
    expect(rows).toContain("ZPOPMIN, P 16");
    expect(rows.at(-1)).toBe("geometric mean");
  });

  test("throughput.ts: HGET too, and what two workers make of one core", async () => {
    const words = ["--quick", "--only", "epoll,redis", "--shards", "1,2", "--tests", "get,hget"];
    const rows = await run("throughput.ts", ...words, "--pipelines", "16", "--cpu", "0.1");
    expect(rows).toHaveLength(1 + 2 + 1 + 1 + 2);
    expect(rows.at(-1)).toBe("HGET 64 B, P 16");
  });

  test("transactions.ts: alone and among others, against both", async () => {
    const rows = await run("transactions.ts", "--quick", "--only", "epoll,redis", "--cpu", "0.1");
    expect(rows).toHaveLength(1 + 6 + 1 + 1 + 2);
    expect(rows).toContain("transactions, P 16");
    expect(rows.at(-1)).toBe("SET and 1 % transactions");
  });

  test("pubsub.ts: to one and to a hundred, against both", async () => {
    const rows = await run("pubsub.ts", "--quick", "--only", "epoll,redis", "--cpu", "0.1");
    expect(rows).toEqual(expect.arrayContaining(["to 1, P 16", "to 100, P 1", "geometric mean"]));
  });

  test("memory.ts --collections: all shapes, small and large", async () => {
    const words = ["--collections", "--quick", "--payload", "2000000", "--only", "epoll", "--epoll"];
    const rows = await run("memory.ts", ...words);
    expect(rows).toHaveLength(3 + 3 * 16 + 1);
    expect(rows.filter((row) => row.startsWith("sorted set, 10000, large"))).toHaveLength(3);
  });

  test("large-values.ts: all that is done, against both and with two workers", async () => {
    const words = [
      "--quick",
      "--only",
      "epoll,redis",
      "--fields",
      "1000000",
      "--gigabytes",
      "1",
      "--tail",
      "0.5",
    ];
    const rows = await run("large-values.ts", ...words);
    const alone = ["nothing", "UNLINK of the hash", "expiry of the hash", "SORT", "FLUSHALL"];
    for (const what of alone) {
      expect(rows).toContain(`epoll, ${what}`);
      expect(rows).toContain(`redis, ${what}`);
    }
    expect(rows).toContain("epoll x2, SUNION, key of another shard");
    expect(rows).toHaveLength(1 + 2 * 10 + 2 * 4);
  });

  test("defrag.ts: a scenario, and the steps alone", async () => {
    const rows = await run("defrag.ts", "--quick", "--only", "one", "--io", "epoll");
    expect(rows).toEqual(["scenario, MiB", "one large set"]);
    const steps = ["first cycle", "giving pages back", "second cycle", "giving pages back"];
    expect(await run("defrag.ts", "--quick", "--steps")).toEqual(["steps of", ...steps]);
  });

  test("latency-while.ts: everything that goes on in the background, against both", async () => {
    const rows = await run("latency-while.ts", "--quick", "--io", "epoll");
    const both = ["nothing", "evicting", "expiring"].flatMap((what) => [`epoll, ${what}`, `redis, ${what}`]);
    expect(rows).toEqual(["server, meanwhile", ...both, "epoll, defrag", "epoll, training"]);
  });

  test("json-cache.ts: without and with compression, against redis", async () => {
    const rows = await run("json-cache.ts", "--quick", "--io", "epoll");
    expect(rows).toEqual(["server", "redis", "compression off", "compression auto"]);
  });

  test("heap.ts --collections: the marks", async () => {
    const rows = await run("heap.ts", "--collections", "--elements", "40000", "--io", "epoll");
    expect(rows).toEqual(["stored", "started", "warm, empty", "40000 elements", "emptied"]);
  });

  test("cache.ts: hits, rate and flood, against both", async () => {
    const rows = await run("cache.ts", "--quick", "--io", "epoll");
    const servers = ["server", "epoll", "redis"];
    expect(rows.slice(0, 9)).toEqual([
      ...servers,
      "operation",
      "SET of new keys, P 16",
      ...servers,
      "values",
    ]);
    expect(rows).toHaveLength(9 + 8);
  });
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

  test("random text has the length asked for, and no two are alike", () => {
    const random = new RandomBytes(1);
    const texts = Array.from({ length: 1000 }, (_, i) => random.text(16 + (i % 50)));
    expect(new Set(texts).size).toBe(1000);
    expect(texts.every((text, i) => text.length === 16 + (i % 50) && /^[a-z0-9]+$/.test(text))).toBe(true);
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
        histogram.clear();
        expect([histogram.count, histogram.maxUs, histogram.percentileUs(percent)]).toEqual([0, 0, 0]);
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
