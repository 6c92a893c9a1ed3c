// lz4.ts: blocks of LZ4, read and written here, with a dictionary before the data. No frame: lengths are kept beside it.
//
//   block     sequences: token (literals << 4 | match - 4), more literal length where 15, literals, offset u16 (1..65535,
//             little endian, back from here; past the block's begin it is in the dictionary, whose end is at 0), more
//             match length where 15. The last sequence ends with its literals.
// `lz4Decompress` takes bytes from anywhere: what is no block of exactly the expected length is false, and nothing is
// ever read or written outside the ranges given.
// Compression is greedy with one look ahead, over chains of earlier places with equal first four bytes.
// On the data path: lz4Decompress, which allocates nothing. Neighbours: codec.ts chooses it.
import { copyBytes, type Region } from "../memory/region.ts";

const MIN_MATCH = 4;
/** The last bytes of a block are literals. */
const TAIL_LITERALS = 5;
const MOST_OFFSET = 65535;
const HASH_BITS = 13;
const HASH_SHIFT = 32 - HASH_BITS;
/** Earlier places that are tried for each position. */
const TRIES = 12;

function hashAt(view: DataView, at: number): number {
  return Math.imul(view.getInt32(at, true), -1640531535) >>> HASH_SHIFT;
}

/** Writes blocks; keeps the places of the dictionary it was given last. One a thread. */
export class Lz4Encoder {
  /** Positions are counted from the dictionary's begin, 1 on; the data follow it. */
  private readonly heads = new Int32Array(1 << HASH_BITS);
  private readonly dictionaryHeads = new Int32Array(1 << HASH_BITS);
  private chains = new Int32Array(1 << 16);
  /** Dictionary and data in one piece. */
  private text: Region;
  private dictionaryBytes = 0;

  constructor(text: Region) {
    this.text = text;
  }

  /** Makes `bytes` bytes the dictionary of what is compressed from now on; 0 for none. */
  setDictionary(source: Region, start: number, bytes: number): void {
    this.dictionaryBytes = bytes;
    copyBytes(this.text, 0, source, start, bytes);
    const { dictionaryHeads } = this;
    dictionaryHeads.fill(0);
    this.reserve(bytes);
    for (let at = 0; at + MIN_MATCH <= bytes; at++) {
      const hash = hashAt(this.text.view, at);
      this.chains[at] = dictionaryHeads[hash]!;
      dictionaryHeads[hash] = at + 1;
    }
  }

  private reserve(bytes: number): void {
    if (this.chains.length >= bytes) return;
    const larger = new Int32Array(bytes * 2);
    larger.set(this.chains);
    this.chains = larger;
  }

  /** Writes a block of at most `room` bytes; returns its bytes, 0 when it would be longer. */
  compress(
    source: Region,
    start: number,
    bytes: number,
    target: Region,
    targetStart: number,
    room: number,
  ): number {
    const { text, dictionaryBytes, heads } = this;
    const end = dictionaryBytes + bytes;
    if (end + 8 > text.bytes) return 0;
    copyBytes(text, dictionaryBytes, source, start, bytes);
    this.reserve(end);
    const { chains } = this;
    heads.set(this.dictionaryHeads);
    const out = target.u8;
    const limit = targetStart + room;
    let to = targetStart;
    let anchor = dictionaryBytes;
    let at = dictionaryBytes;
    const lastMatch = end - TAIL_LITERALS - MIN_MATCH;
    // Places before the data whose four bytes reach into them.
    for (let before = Math.max(0, at - MIN_MATCH + 1); before < at && before <= lastMatch; before++)
      this.remember(before);
    while (at <= lastMatch) {
      let bytesFound = this.search(at, end, 0);
      let found = this.found;
      if (bytesFound === 0) {
        this.remember(at++);
        continue;
      }
      // A longer match may begin one byte later.
      this.remember(at);
      if (at + 1 <= lastMatch) {
        const later = this.search(at + 1, end, bytesFound + 1);
        if (later > bytesFound) {
          at++;
          bytesFound = later;
          found = this.found;
          this.remember(at);
        }
      }
      while (at > anchor && found > 0 && text.u8[at - 1] === text.u8[found - 1]) {
        at--;
        found--;
        bytesFound++;
      }
      const literals = at - anchor;
      if (to + literals + (literals >> 8) + (bytesFound >> 8) + 12 > limit) return 0;
      to = writeLengths(out, to, literals, bytesFound - MIN_MATCH);
      copyBytes(target, to, text, anchor, literals);
      to += literals;
      const offset = at - found;
      out[to++] = offset & 255;
      out[to++] = offset >> 8;
      to = writeRest(out, to, bytesFound - MIN_MATCH);
      const next = at + bytesFound;
      for (let place = at; place < next && place <= lastMatch; place++)
        if (chains[place] === 0 || place > at + 1) this.remember(place);
      at = next;
      anchor = next;
    }
    const literals = end - anchor;
    if (to + literals + (literals >> 8) + 3 > limit) return 0;
    to = writeLengths(out, to, literals, 0);
    copyBytes(target, to, text, anchor, literals);
    return to + literals - targetStart;
  }

  private remember(at: number): void {
    const hash = hashAt(this.text.view, at);
    if (this.heads[hash] === at + 1) return;
    this.chains[at] = this.heads[hash]!;
    this.heads[hash] = at + 1;
  }

  private found = 0;

  /** The longest match of what is at `at` of at least `least` bytes; leaves its place in `found`. 0 for none. */
  private search(at: number, end: number, least: number): number {
    const { text, chains } = this;
    const { u8, view } = text;
    const first = view.getInt32(at, true);
    let best = Math.max(least, MIN_MATCH) - 1;
    const begun = best;
    let candidate = this.heads[hashAt(view, at)]! - 1;
    const most = end - TAIL_LITERALS - at;
    for (let tries = 0; tries < TRIES && candidate >= 0 && at - candidate <= MOST_OFFSET; tries++) {
      if (
        candidate < at &&
        u8[candidate + best] === u8[at + best] &&
        view.getInt32(candidate, true) === first
      ) {
        let bytes = MIN_MATCH;
        while (bytes < most && u8[candidate + bytes] === u8[at + bytes]) bytes++;
        if (bytes > best) {
          best = bytes;
          this.found = candidate;
          if (bytes === most) break;
        }
      }
      candidate = chains[candidate]! - 1;
    }
    return best > begun ? best : 0;
  }
}

/** Writes the token and what of the literals' length is left. */
function writeLengths(out: Uint8Array, to: number, literals: number, match: number): number {
  out[to++] = (Math.min(literals, 15) << 4) | Math.min(match, 15);
  return writeRest(out, to, literals);
}

function writeRest(out: Uint8Array, to: number, length: number): number {
  if (length < 15) return to;
  let rest = length - 15;
  for (; rest >= 255; rest -= 255) out[to++] = 255;
  out[to++] = rest;
  return to;
}

/** Reads a block of `bytes` bytes that must give exactly `rawBytes`; whether it did. */
export function lz4Decompress(
  source: Region,
  start: number,
  bytes: number,
  target: Region,
  targetStart: number,
  rawBytes: number,
  dictionary: Region,
  dictionaryStart: number,
  dictionaryBytes: number,
): boolean {
  const input = source.u8;
  const out = target.u8;
  const words = dictionary.u8;
  if (!(start >= 0 && bytes >= 1 && start + bytes <= source.bytes)) return false;
  if (!(targetStart >= 0 && rawBytes >= 0 && targetStart + rawBytes <= target.bytes)) return false;
  let at = start;
  const end = start + bytes;
  let to = targetStart;
  const toEnd = targetStart + rawBytes;
  const dictionaryEnd = dictionaryStart + dictionaryBytes;
  while (at < end) {
    const token = input[at++]!;
    let literals = token >> 4;
    if (literals === 15) {
      let more: number;
      do {
        if (at >= end) return false;
        more = input[at++]!;
        literals += more;
      } while (more === 255);
    }
    if (at + literals > end || to + literals > toEnd) return false;
    if (literals > 32) copyBytes(target, to, source, at, literals);
    else for (let i = 0; i < literals; i++) out[to + i] = input[at + i]!;
    at += literals;
    to += literals;
    if (at === end) return to === toEnd && (token & 15) === 0;
    if (at + 2 > end) return false;
    const offset = input[at]! | (input[at + 1]! << 8);
    at += 2;
    let match = token & 15;
    if (match === 15) {
      let more: number;
      do {
        if (at >= end) return false;
        more = input[at++]!;
        match += more;
      } while (more === 255);
    }
    match += MIN_MATCH;
    const back = offset - (to - targetStart); // bytes of it before the data
    if (offset === 0 || back > dictionaryBytes || to + match > toEnd) return false;
    let copied = 0;
    if (back > 0) {
      const from = dictionaryEnd - back;
      const inside = Math.min(back, match);
      if (inside > 32) copyBytes(target, to, dictionary, from, inside);
      else for (let i = 0; i < inside; i++) out[to + i] = words[from + i]!;
      copied = inside;
    }
    // Byte by byte: source and target may overlap, which repeats.
    for (; copied < match; copied++) out[to + copied] = out[to + copied - offset]!;
    to += match;
  }
  return false;
}
