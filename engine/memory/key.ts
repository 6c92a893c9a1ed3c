// key.ts: a key on its way to a shard: where its bytes are and their hash. One object is reused for every lookup, so
// what it says is borrowed until the next `set`.
import { hashBytes, hashHigh, hashLow } from "./hash.ts";
import type { Region } from "./region.ts";

export class Key {
  start = 0;
  bytes = 0;
  /** The two words of the hash: `high` walks the directory, `low` gives tag, position and shard. */
  high = 0;
  low = 0;
  /** Where its record probably is in database hintDb (engine/index: LookAhead), handle 0 for no guess. */
  hint = 0;
  hintDb = 0;
  hintWord = 0;
  hintLeaf = 0;
  hintChanges = 0;

  constructor(public region: Region) {}

  set(region: Region, start: number, bytes: number): void {
    this.region = region;
    this.start = start;
    this.bytes = bytes;
    hashBytes(region, start, bytes);
    this.high = hashHigh;
    this.low = hashLow;
    this.hint = 0;
  }

  /** Says what `other` says. */
  copy(other: Key): void {
    this.region = other.region;
    this.start = other.start;
    this.bytes = other.bytes;
    this.high = other.high;
    this.low = other.low;
    this.hint = other.hint;
    this.hintDb = other.hintDb;
    this.hintWord = other.hintWord;
    this.hintLeaf = other.hintLeaf;
    this.hintChanges = other.hintChanges;
  }
}
