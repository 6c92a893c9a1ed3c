// request-mixes.ts: what eviction is judged on: recorded traces, and synthetic mixes, seeded, of any scale.
//
// A recorded trace is little-endian u32 words, one a request, the keys numbered from 0 in order of first appearance;
// gzipped when its name ends in .gz. The mixes are in units of N keys, 12 N requests; capacities are shares of N.
// Off the data path. Neighbours: eviction.ts.

import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { seeded } from "../../tests/support/random.ts";

export interface Requests {
  name: string;
  keys: Uint32Array;
  /** Keys are below this. */
  distinct: number;
  capacities: readonly number[];
  /** Requests before this one are not counted: the cache fills. */
  from: number;
}

/** One trace, at those capacities or at 1, 10 and 30 % of its keys. */
export function readTrace(path: string, capacities: readonly number[] = []): Requests {
  const file = readFileSync(path);
  const bytes = path.endsWith(".gz") ? Bun.gunzipSync(file) : file;
  const keys = new Uint32Array(Math.floor(bytes.length / 4));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let distinct = 0;
  for (let i = 0; i < keys.length; i++) {
    keys[i] = view.getUint32(i * 4, true);
    if (keys[i]! >= distinct) distinct = keys[i]! + 1;
  }
  const shares = [0.01, 0.1, 0.3].map((share) => Math.max(1, Math.floor(distinct * share)));
  return {
    name: basename(path).replace(/\.gz$|\.u32\.gz$|\.u32$/, ""),
    keys,
    distinct,
    capacities: capacities.length > 0 ? capacities : shares,
    from: 0,
  };
}

export function readTraces(folder: string): Requests[] {
  const names = readdirSync(folder).filter((name) => /\.u32(\.gz)?$/.test(name));
  if (names.length === 0) throw new Error(`no *.u32.gz in ${folder}`);
  return names.sort().map((name) => readTrace(join(folder, name)));
}

/** Draws ranks 0 .. n - 1 with frequencies 1 / (rank + 1) ^ skew. */
export function zipf(n: number, skew: number, chance: () => number): () => number {
  const sums = new Float64Array(n);
  let sum = 0;
  for (let i = 0; i < n; i++) {
    sum += (i + 1) ** -skew;
    sums[i] = sum;
  }
  return () => {
    const drawn = chance() * sum;
    let low = 0;
    let high = n - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! > drawn) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}

function shuffled(n: number, chance: () => number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(chance() * (i + 1));
    const kept = order[i]!;
    order[i] = order[j]!;
    order[j] = kept;
  }
  return order;
}

/** The mixes for `n` keys whose name holds `word`. */
export function* mixes(n: number, word = ""): Generator<Requests> {
  const requests = 12 * n;
  const share = (part: number) => Math.max(1, Math.floor(n * part));
  /** `next` gives the key of a request; some mixes count requests in i. */
  function mix(
    name: string,
    shares: readonly number[],
    make: (chance: () => number) => (i: number) => number,
  ): Requests[] {
    if (!name.includes(word)) return [];
    const next = make(seeded(7));
    const keys = new Uint32Array(requests);
    let distinct = 0;
    for (let i = 0; i < requests; i++) {
      keys[i] = next(i);
      if (keys[i]! >= distinct) distinct = keys[i]! + 1;
    }
    return [{ name, keys, distinct, capacities: shares.map(share), from: requests / 4 }];
  }
  const popular = (skew: number, chance: () => number, keys = n) => {
    const draw = zipf(keys, skew, chance);
    const order = shuffled(keys, chance);
    return { draw, order, next: () => order[draw()]! };
  };
  for (const skew of [0.6, 0.7, 0.8, 0.9, 0.99, 1.1, 1.2])
    yield* mix(`Zipf ${skew}`, [0.01, 0.1], (chance) => popular(skew, chance).next);
  yield* mix("Zipf .99, 20 % one-time scans", [0.1], (chance) => {
    const { next } = popular(0.99, chance);
    let fresh = n;
    return (i) => (i % n < 0.8 * n ? next() : fresh++);
  });
  yield* mix("Zipf .99, 30 % the same scan", [0.1], (chance) => {
    const { next } = popular(0.99, chance);
    return (i) => (i % n < 0.7 * n ? next() : n + (i % n));
  });
  yield* mix("loop of 1.2 capacities", [0.1], () => (i) => i % share(0.12));
  yield* mix("half Zipf .99, half a loop", [0.1], (chance) => {
    const { next } = popular(0.99, chance);
    let at = 0;
    return () => (chance() < 0.5 ? next() : n + (at++ % share(0.15)));
  });
  yield* mix("shifting popularity", [0.01, 0.1], (chance) => {
    const { next, order } = popular(0.99, chance);
    return (i) => {
      if (i % share(0.5) === 0)
        for (let swaps = share(0.02); swaps > 0; swaps--) {
          const a = Math.floor(chance() * n * 0.1);
          const b = Math.floor(chance() * n);
          const kept = order[a]!;
          order[a] = order[b]!;
          order[b] = kept;
        }
      return next();
    };
  });
  yield* mix("abrupt changes", [0.1], (chance) => {
    const draw = zipf(n, 0.99, chance);
    let order = shuffled(n, chance);
    return (i) => {
      if (i > 0 && i % (3 * n) === 0) order = shuffled(n, chance);
      return order[draw()]!;
    };
  });
  yield* mix("Zipf .9, 40 % asked for once", [0.1], (chance) => {
    const { next } = popular(0.9, chance);
    let fresh = n;
    return () => (chance() < 0.4 ? fresh++ : next());
  });
  yield* mix("block reads", [0.02, 0.1], (chance) => {
    const { next } = popular(0.9, chance, share(0.25));
    const loops = [share(0.02), share(1 / 12), share(0.25)];
    const bases = [n, n + loops[0]!, n + loops[0]! + loops[1]!];
    const at = [0, 0, 0];
    let fresh = 3 * n;
    let kind = 0; // what the present run is of: 0..2 a loop, 3 a scan, 4 a burst
    let left = 0;
    return () => {
      if (left === 0) {
        const drawn = chance();
        if (drawn < 0.55) return next();
        kind = drawn < 0.85 ? Math.floor((drawn - 0.55) * 10) : drawn < 0.88 ? 3 : 4;
        left = kind < 3 ? 16 : kind === 3 ? 64 : 40;
        if (kind === 4) fresh += 8;
      }
      left--;
      if (kind === 3) return fresh++;
      if (kind === 4) return fresh - 1 - Math.floor(chance() * 8);
      const key = bases[kind]! + at[kind]!;
      at[kind] = (at[kind]! + 1) % loops[kind]!;
      return key;
    };
  });
}
