// bench.ts: a micro-benchmark, declared beside the code it measures.
//
//   // table.bench.ts, beside table.ts
//   bench({ name: "table find, hits", smoke: { keys: 100 }, full: [{ keys: 10_000 }, { keys: 4_000_000 }],
//           run: ({ keys }) => ({ ops: keys, checksum: findAll(filled(keys), keys) }) });
//
// `bun test` runs `smoke`, so that no benchmark rots; `bun run bench find` runs `full`, several sizes when it is an
// array (one in cache, one out of it), best of five. `checksum` is made of what was computed, so that neither engine
// nor colleague drops the work, and must be the same in every run of one size: a bench is seeded.
// The whole of `run` is timed, unless it says `seconds` itself, leaving its preparation out.

export interface BenchResult {
  /** Operations done; what the time is divided by. */
  ops: number;
  checksum: number;
  /** Seconds that count, where not all of `run` does. */
  seconds?: number;
}

export interface Bench<Size> {
  name: string;
  smoke: Size;
  full: Size | readonly Size[];
  run: (size: Size) => BenchResult;
}

export interface Measured {
  name: string;
  size: string;
  ops: number;
  bestSeconds: number;
  checksum: number;
}

/** A declared benchmark, its size types closed over. */
export interface Registered {
  name: string;
  /** One run of the smoke size. */
  smoke: () => BenchResult;
  /** Best of `runs` of each full size. Throws when a checksum differs between runs. */
  full: (runs: number) => Measured[];
}

const registry: Registered[] = [];

/** Declares a benchmark. Called at the top level of a *.bench.ts. */
export function bench<Size>(declared: Bench<Size>): void {
  const { name, smoke, full, run } = declared;
  if (registry.some((other) => other.name === name)) throw new Error(`two benchmarks are named "${name}"`);
  const sizes = (Array.isArray(full) ? full : [full]) as readonly Size[];
  registry.push({
    name,
    smoke: () => checkedRun(name, () => run(smoke)),
    full: (runs) => sizes.map((size) => bestOf(name, runs, size, run)),
  });
}

/** What has been declared so far, in order. */
export function registered(): readonly Registered[] {
  return registry;
}

function bestOf<Size>(name: string, runs: number, size: Size, run: (size: Size) => BenchResult): Measured {
  let best: Measured | null = null;
  for (let turn = 0; turn < runs; turn++) {
    const began = Bun.nanoseconds();
    const { ops, checksum, seconds } = checkedRun(name, () => run(size));
    const took = seconds ?? (Bun.nanoseconds() - began) / 1e9;
    if (best !== null && best.checksum !== checksum) {
      throw new Error(`${name}: checksum ${checksum} after ${best.checksum}, at the same size`);
    }
    if (best === null || took < best.bestSeconds) {
      best = { name, size: describe(size), ops, bestSeconds: took, checksum };
    }
  }
  return best!;
}

function checkedRun(name: string, run: () => BenchResult): BenchResult {
  const result = run();
  if (!(result.ops > 0) || !Number.isFinite(result.checksum)) {
    throw new Error(`${name}: ${result.ops} operations, checksum ${result.checksum}`);
  }
  return result;
}

/** {"keys":100} as "keys 100". */
function describe(size: unknown): string {
  if (typeof size !== "object" || size === null) return String(size);
  return Object.entries(size)
    .map(([field, value]) => `${field} ${value}`)
    .join(", ");
}
