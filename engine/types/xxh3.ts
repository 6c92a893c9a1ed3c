// xxh3.ts: XXH3 with 64 bits and seed 0 (Collet, xxHash 0.8), the hash that DIGEST prints and SET's IFDEQ compares.
//
// A 64-bit number is two 32-bit words, and a result comes back in `xxh3High` and `xxh3Low`, valid until the next call.
// Words are signed between steps and made unsigned (>>> 0) where a carry is read off a sum, which as a double is exact.
// Inputs are of five kinds by length: empty, up to 16 bytes, up to 128, up to 240, and longer ones in stripes of 64
// bytes, 16 to a block, added to eight accumulators that are scrambled after each block.
// On the data path: allocates nothing. Callers: engine/commands. Throws RangeError when the bytes leave their region.
import type { Region } from "../memory/region.ts";

export let xxh3High = 0;
export let xxh3Low = 0;

const secret = new DataView(
  Uint8Array.from(
    (
      "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248e" +
      "e03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8fa763fe39c343ff9dcbbc7c70b4f1d" +
      "8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc" +
      "8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
    ).match(/../g)!,
    (byte) => Number.parseInt(byte, 16),
  ).buffer,
);

/** Bytes of a stripe, and of the secret after which a block ends: (192 - 64) / 8 stripes make a block. */
const STRIPE = 64;
const BLOCK = 1024;
const SCRAMBLE = 128;
const LAST_STRIPE = 121;

/** The prime numbers by their words. */
const PRIME32_1 = 0x9e3779b1;
const PRIME64_1_HIGH = 0x9e3779b1;
const PRIME64_1_LOW = 0x85ebca87;

// Results of the steps below.
let high = 0;
let low = 0;

/** high:low = a * b, all 64 bits of it. */
function multiply32(a: number, b: number): void {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const cross = aHigh * bLow + (Math.imul(aLow, bLow) >>> 16);
  const middle = aLow * bHigh + (cross & 0xffff);
  high = (Math.imul(aHigh, bHigh) + Math.floor(cross / 65536) + Math.floor(middle / 65536)) | 0;
  low = Math.imul(a, b);
}

/** high:low = (aHigh:aLow * bHigh:bLow) mod 2^64. */
function multiply64(aHigh: number, aLow: number, bHigh: number, bLow: number): void {
  multiply32(aLow, bLow);
  high = (high + Math.imul(aHigh, bLow) + Math.imul(aLow, bHigh)) | 0;
}

/** high:low = the two halves of the 128-bit product xored. */
function fold(aHigh: number, aLow: number, bHigh: number, bLow: number): void {
  multiply32(aLow, bLow);
  const lowest = low;
  const second = high >>> 0;
  multiply32(aHigh, bLow);
  const crossHigh = high >>> 0;
  const crossLow = low >>> 0;
  multiply32(aLow, bHigh);
  const otherHigh = high >>> 0;
  const sum = second + crossLow + (low >>> 0);
  multiply32(aHigh, bHigh);
  const upper = (low >>> 0) + crossHigh + otherHigh + Math.floor(sum / 4294967296);
  high = (high + Math.floor(upper / 4294967296)) ^ sum;
  low = lowest ^ upper;
}

/** xxh3 = the finish of everything from 9 bytes on. */
function avalanche(valueHigh: number, valueLow: number): void {
  const mixedLow = valueLow ^ (valueHigh >>> 5);
  multiply64(valueHigh, mixedLow, 0x16566791, 0x9e3779f9);
  xxh3High = high >>> 0;
  xxh3Low = (low ^ high) >>> 0;
}

/** xxh3 = XXH64's finish, for inputs below 4 bytes. */
function avalanche64(valueHigh: number, valueLow: number): void {
  multiply64(valueHigh, valueLow ^ (valueHigh >>> 1), 0xc2b2ae3d, 0x27d4eb4f);
  multiply64(high ^ (high >>> 29), low ^ ((low >>> 29) | (high << 3)), 0x165667b1, 0x9e3779f9);
  xxh3High = high >>> 0;
  xxh3Low = (low ^ high) >>> 0;
}

// The sum that `mix` adds to, and the eight accumulators of long inputs: low word, high word.
let sumHigh = 0;
let sumLow = 0;
const accumulators = new Uint32Array(16);

function addToSum(addHigh: number, addLow: number): void {
  const total = (sumLow >>> 0) + (addLow >>> 0);
  sumHigh = (sumHigh + addHigh + (total > 0xffffffff ? 1 : 0)) | 0;
  sumLow = total | 0;
}

/** Adds 16 bytes at `at`, keyed by the secret from `key` on. */
function mix(view: DataView, at: number, key: number): void {
  fold(
    view.getInt32(at + 4, true) ^ secret.getInt32(key + 4, true),
    view.getInt32(at, true) ^ secret.getInt32(key, true),
    view.getInt32(at + 12, true) ^ secret.getInt32(key + 12, true),
    view.getInt32(at + 8, true) ^ secret.getInt32(key + 8, true),
  );
  addToSum(high, low);
}

/** Hashes `bytes` bytes at `start` into xxh3High and xxh3Low, both unsigned. */
export function xxh3(region: Region, start: number, bytes: number): void {
  if (start < 0 || bytes < 0 || start + bytes > region.bytes)
    throw new RangeError("what is hashed leaves its region");
  const { view } = region;
  if (bytes > 240) return hashLong(view, start, bytes);
  if (bytes > 16) return hashMiddle(view, start, bytes);
  if (bytes > 8) return hash9to16(view, start, bytes);
  if (bytes >= 4) return hash4to8(view, start, bytes);
  if (bytes > 0) {
    const { u8 } = region;
    const word =
      (u8[start]! << 16) | (u8[start + (bytes >> 1)]! << 24) | u8[start + bytes - 1]! | (bytes << 8);
    return avalanche64(0, word ^ secret.getInt32(0, true) ^ secret.getInt32(4, true));
  }
  avalanche64(
    secret.getInt32(60, true) ^ secret.getInt32(68, true),
    secret.getInt32(56, true) ^ secret.getInt32(64, true),
  );
}

function hash4to8(view: DataView, start: number, bytes: number): void {
  const keyHigh = view.getInt32(start, true) ^ secret.getInt32(12, true) ^ secret.getInt32(20, true);
  const keyLow =
    view.getInt32(start + bytes - 4, true) ^ secret.getInt32(8, true) ^ secret.getInt32(16, true);
  // key ^ (key <<< 49) ^ (key <<< 24)
  const wordHigh = keyHigh ^ ((keyLow << 17) | (keyHigh >>> 15)) ^ ((keyHigh << 24) | (keyLow >>> 8));
  const wordLow = keyLow ^ ((keyHigh << 17) | (keyLow >>> 15)) ^ ((keyLow << 24) | (keyHigh >>> 8));
  multiply64(wordHigh, wordLow, 0x9fb21c65, 0x1e98df25);
  // ^= (word >>> 35) + bytes
  multiply64(high, low ^ ((high >>> 3) + bytes), 0x9fb21c65, 0x1e98df25);
  xxh3High = (high ^ (high >>> 28)) >>> 0;
  xxh3Low = (low ^ ((low >>> 28) | (high << 4))) >>> 0;
}

function hash9to16(view: DataView, start: number, bytes: number): void {
  const end = start + bytes - 8;
  const aLow = view.getInt32(start, true) ^ secret.getInt32(24, true) ^ secret.getInt32(32, true);
  const aHigh = view.getInt32(start + 4, true) ^ secret.getInt32(28, true) ^ secret.getInt32(36, true);
  const bLow = view.getInt32(end, true) ^ secret.getInt32(40, true) ^ secret.getInt32(48, true);
  const bHigh = view.getInt32(end + 4, true) ^ secret.getInt32(44, true) ^ secret.getInt32(52, true);
  sumHigh = 0;
  sumLow = bytes;
  addToSum(swapped(aLow), swapped(aHigh));
  addToSum(bHigh, bLow);
  fold(aHigh, aLow, bHigh, bLow);
  addToSum(high, low);
  avalanche(sumHigh, sumLow);
}

/** A word with its bytes the other way round. */
function swapped(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

/** 17 to 240 bytes. */
function hashMiddle(view: DataView, start: number, bytes: number): void {
  const end = start + bytes;
  multiply64(0, bytes, PRIME64_1_HIGH, PRIME64_1_LOW);
  sumHigh = high;
  sumLow = low;
  if (bytes <= 128) {
    // From both ends inwards.
    for (let i = (bytes - 1) >> 5; i >= 0; i--) {
      mix(view, start + i * 16, i * 32);
      mix(view, end - (i + 1) * 16, i * 32 + 16);
    }
  } else {
    for (let i = 0; i < 8; i++) mix(view, start + i * 16, i * 16);
    avalanche(sumHigh, sumLow);
    sumHigh = xxh3High | 0;
    sumLow = xxh3Low | 0;
    const rounds = bytes >> 4;
    for (let i = 8; i < rounds; i++) mix(view, start + i * 16, (i - 8) * 16 + 3);
    mix(view, end - 16, 119);
  }
  avalanche(sumHigh, sumLow);
}

/** Adds the 64 bytes at `at` to the accumulators, keyed by the secret from `key` on. */
function accumulate(view: DataView, at: number, key: number): void {
  for (let i = 0; i < 16; i += 2) {
    const dataLow = view.getUint32(at + i * 4, true);
    const dataHigh = view.getInt32(at + i * 4 + 4, true);
    // The data itself goes to the neighbour, the product of the keyed words here.
    const neighbour = i ^ 2;
    const total = accumulators[neighbour]! + dataLow;
    accumulators[neighbour] = total;
    accumulators[neighbour + 1] = accumulators[neighbour + 1]! + dataHigh + (total > 0xffffffff ? 1 : 0);
    multiply32(
      dataLow ^ secret.getInt32(key + i * 4, true),
      dataHigh ^ secret.getInt32(key + i * 4 + 4, true),
    );
    const own = accumulators[i]! + (low >>> 0);
    accumulators[i] = own;
    accumulators[i + 1] = accumulators[i + 1]! + high + (own > 0xffffffff ? 1 : 0);
  }
}

function scramble(): void {
  for (let i = 0; i < 16; i += 2) {
    const wordHigh = accumulators[i + 1]!;
    const wordLow = accumulators[i]! ^ (wordHigh >>> 15) ^ secret.getInt32(SCRAMBLE + i * 4, true);
    multiply64(wordHigh ^ secret.getInt32(SCRAMBLE + i * 4 + 4, true), wordLow, 0, PRIME32_1);
    accumulators[i] = low;
    accumulators[i + 1] = high;
  }
}

/** The accumulators' first values: primes, low word then high word. */
const beginnings = [
  0xc2b2ae3d, 0, 0x85ebca87, 0x9e3779b1, 0x27d4eb4f, 0xc2b2ae3d, 0x9e3779f9, 0x165667b1, 0xc2b2ae63,
  0x85ebca77, 0x85ebca77, 0, 0x165667c5, 0x27d4eb2f, 0x9e3779b1, 0,
];

function hashLong(view: DataView, start: number, bytes: number): void {
  for (let i = 0; i < 16; i++) accumulators[i] = beginnings[i]!;
  // The last stripe, which ends with the input, is added apart with a key of its own, so it is never in a block.
  const blocks = Math.floor((bytes - 1) / BLOCK);
  let at = start;
  for (let block = 0; block < blocks; block++) {
    for (let i = 0; i < BLOCK / STRIPE; i++, at += STRIPE) accumulate(view, at, i * 8);
    scramble();
  }
  const stripes = ((bytes - 1 - blocks * BLOCK) / STRIPE) | 0;
  for (let i = 0; i < stripes; i++, at += STRIPE) accumulate(view, at, i * 8);
  accumulate(view, start + bytes - STRIPE, LAST_STRIPE);

  multiply64(0, bytes, PRIME64_1_HIGH, PRIME64_1_LOW);
  sumHigh = high;
  sumLow = low;
  for (let i = 0; i < 16; i += 4) {
    const key = 11 + i * 4;
    fold(
      accumulators[i + 1]! ^ secret.getInt32(key + 4, true),
      accumulators[i]! ^ secret.getInt32(key, true),
      accumulators[i + 3]! ^ secret.getInt32(key + 12, true),
      accumulators[i + 2]! ^ secret.getInt32(key + 8, true),
    );
    addToSum(high, low);
  }
  avalanche(sumHigh, sumLow);
}
