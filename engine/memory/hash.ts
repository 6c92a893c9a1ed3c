// hash.ts: the keyed hash of a key, HalfSipHash-1-3 with a 64-bit result (Aumasson, Bernstein: SipHash; the 32-bit
// variant of its reference code, one round a word and three at the end). Seeded at random per process, so that
// nobody can prepare keys that collide. On the data path: no allocation; the two words come back in `hashHigh` and
// `hashLow`, valid until the next call.
import type { Region } from "./region.ts";

let seed0 = 0;
let seed1 = 0;
export let hashHigh = 0;
export let hashLow = 0;

/** Sets the seed of this thread. Every thread that shares a keyspace must use the same. */
export function seedHash(a: number, b: number): void {
  seed0 = a | 0;
  seed1 = b | 0;
}

/** Hashes `bytes` bytes at `start` into hashHigh and hashLow (both signed 32-bit). */
export function hashBytes(region: Region, start: number, bytes: number): void {
  const { view, u8 } = region;
  let v0 = seed0;
  let v1 = seed1 ^ 0xee;
  let v2 = 0x6c796765 ^ seed0;
  let v3 = 0x74656462 ^ seed1;
  const whole = start + (bytes & ~3);
  for (let at = start; at < whole; at += 4) {
    const m = view.getInt32(at, true);
    v3 ^= m;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= m;
  }
  let m = bytes << 24;
  const rest = bytes & 3;
  if (rest > 0) {
    m |= u8[whole]!;
    if (rest > 1) m |= u8[whole + 1]! << 8;
    if (rest > 2) m |= u8[whole + 2]! << 16;
  }
  v3 ^= m;
  for (let round = 0; round < 4; round++) {
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    if (round === 0) {
      v0 ^= m; // the last word's own round is done: enter finalization
      v2 ^= 0xee;
    }
  }
  hashHigh = v1 ^ v3;
  hashLow = v0 ^ v2;
}
