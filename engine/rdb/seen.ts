// seen.ts: which elements of a payload have come already: an open-addressing table of (hash, place) pairs, 8 bytes a
// slot, at most three quarters full. It grows with the elements that really came, never with what a payload claims.
//
// Hashes are of the process's seed (engine/memory/hash.ts), so nobody can prepare elements that share a chain.
// Cold: RESTORE only. Neighbours: reader.ts, which knows how to compare what lies at two places.

const SMALL_SLOTS = 256;

export class Seen {
  /** hash, place + 1; place + 1 = 0 is an empty slot. */
  private words = new Uint32Array(SMALL_SLOTS * 2);
  private mask = SMALL_SLOTS - 1;
  private used = 0;
  private slot = 0;
  private sought = 0;

  /** Bytes of the table. */
  get bytes(): number {
    return this.words.byteLength;
  }

  /** Forgets all elements, and gives a large table to the collector. */
  clear(): void {
    if (this.words.length > SMALL_SLOTS * 2) {
      this.words = new Uint32Array(SMALL_SLOTS * 2);
      this.mask = SMALL_SLOTS - 1;
    } else if (this.used > 0) this.words.fill(0);
    this.used = 0;
  }

  /** Begins a search for elements of that hash. */
  seek(hash: number): void {
    this.sought = hash >>> 0;
    this.slot = hash & this.mask;
  }

  /** The next place whose element has the hash, -1 when there is none: then add() may follow. */
  next(): number {
    const { words, mask } = this;
    for (;;) {
      const at = this.slot * 2;
      const place = words[at + 1]!;
      if (place === 0) return -1;
      this.slot = (this.slot + 1) & mask;
      if (words[at] === this.sought) return place - 1;
    }
  }

  /** Adds the element of the search that next() ended. False when there is no memory for the table. */
  add(place: number): boolean {
    this.words[this.slot * 2] = this.sought;
    this.words[this.slot * 2 + 1] = place + 1;
    return ++this.used * 4 <= this.mask * 3 || this.grow();
  }

  private grow(): boolean {
    const old = this.words;
    const mask = this.mask * 2 + 1;
    let words: Uint32Array<ArrayBuffer>;
    try {
      words = new Uint32Array((mask + 1) * 2);
    } catch {
      return false; // the system refused
    }
    for (let at = 0; at < old.length; at += 2) {
      if (old[at + 1] === 0) continue;
      let slot = old[at]! & mask;
      while (words[slot * 2 + 1] !== 0) slot = (slot + 1) & mask;
      words[slot * 2] = old[at]!;
      words[slot * 2 + 1] = old[at + 1]!;
    }
    this.words = words;
    this.mask = mask;
    return true;
  }
}
