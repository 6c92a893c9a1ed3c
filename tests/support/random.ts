// random.ts: a seeded source of chance for tests. The seed is printed, and IRONCACHE_SEED replays it.

/** A seed: IRONCACHE_SEED, or any. */
export function anySeed(): number {
  return Number(process.env.IRONCACHE_SEED ?? Math.floor(Math.random() * 2 ** 31));
}

/** Numbers in [0, 1) from mulberry32, a different stream for each `name`. */
export function random(name: string): () => number {
  const seed = anySeed();
  console.log(`${name}: IRONCACHE_SEED=${seed}`);
  return seeded(seed);
}

/** The numbers of that seed. */
export function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
