// place.ts: one key and its record, held across several changes: the Holder of a collection's data type, and what a
// command that works on several keys at once keeps of each. A record moves only by its own changes, which go through
// here, so a place stays right while others of the same shard are written; it is void once its key is removed otherwise.
// On the data path: nothing allocates. Neighbours: shard.ts; engine/types/holder.ts; engine/commands opens places.
import type { Allocator } from "../memory/allocator.ts";
import { Key } from "../memory/key.ts";
import {
  deadlineAt,
  encodingAt,
  setKindAt,
  type Type,
  typeAt,
  valueBytesAt,
  valueStartAt,
} from "../memory/record.ts";
import type { Region } from "../memory/region.ts";
import type { Holder } from "../types/holder.ts";
import type { Event } from "./events.ts";
import type { Shard } from "./shard.ts";

/** A collection's value from this size on gets room to spare when it grows. */
const SPARE_FROM = 4096;

export class Place implements Holder {
  db = 0;
  readonly key: Key;
  /** Handle of the record, 0 when there is none. */
  handle = 0;
  // Of the record: plain fields, as the data types read them with every element.
  region: Region;
  valueStart = 0;
  valueBytes = 0;
  form = 0;
  private at = 0;

  constructor(public shard: Shard) {
    this.region = shard.region;
    this.key = new Key(shard.region);
  }

  /** Finds the live record of a key of `shard`. */
  find(shard: Shard, db: number, key: Key): boolean {
    this.begin(shard, db, key);
    return this.found(shard.find(db, key));
  }

  /** The same for who only reads, one string at a time (Shard.read). */
  read(shard: Shard, db: number, key: Key): boolean {
    this.begin(shard, db, key);
    return this.found(shard.read(db, key));
  }

  /** The same for who does not want a string's value (Shard.look). */
  look(shard: Shard, db: number, key: Key): boolean {
    this.begin(shard, db, key);
    return this.found(shard.look(db, key));
  }

  private begin(shard: Shard, db: number, key: Key): void {
    this.shard = shard;
    this.db = db;
    this.key.copy(key);
  }

  private found(handle: number): boolean {
    if (handle === 0) this.handle = 0;
    else this.follow();
    return handle !== 0;
  }

  /** Stands for a record met on a walk: it may be read, one string at a time, and its pages changed, but not resized. */
  openHandle(shard: Shard, handle: number): void {
    this.shard = shard;
    shard.openPlain(handle);
    this.follow();
  }

  get allocator(): Allocator {
    return this.shard.allocator;
  }

  get type(): number {
    return typeAt(this.region, this.at);
  }

  setForm(form: number): void {
    this.form = form;
    setKindAt(this.region, this.at, typeAt(this.region, this.at), form);
  }

  /** ms since the epoch, 0 for never. */
  get deadlineMs(): number {
    return deadlineAt(this.region, this.at);
  }

  /** Puts a record with an undefined value of `bytes` bytes under the key, whatever was there. False when memory is out:
   *  then what was there still is. */
  create(type: Type, form: number, bytes: number, deadlineMs = 0): boolean {
    if (!this.shard.create(this.db, this.key, type | (form << 4), bytes, deadlineMs)) return false;
    this.follow();
    return true;
  }

  resize(bytes: number): boolean {
    const { shard } = this;
    shard.open(this.handle);
    const spare = bytes >= SPARE_FROM && bytes > this.valueBytes;
    if (!shard.resizeValue(this.db, this.key, this.handle, bytes, spare)) return false;
    this.follow();
    return true;
  }

  /** Tells the shard's sweep that something of the record is due at `deadlineMs`. */
  noteDue(deadlineMs: number): void {
    this.shard.noteDue(this.db, this.key, deadlineMs);
  }

  /** Tells of what happened to the key: after the change, one call an event, in Redis's order. */
  notify(event: Event): void {
    this.shard.notify(event, this.db, this.key);
  }

  /** Removes the key. */
  remove(): void {
    this.shard.noteRemoved(this.db, this.key);
    this.shard.removeHandle(this.db, this.key);
    this.handle = 0;
  }

  private follow(): void {
    const { region, at, handle } = this.shard;
    this.handle = handle;
    this.region = region;
    this.at = at;
    this.valueStart = valueStartAt(region, at);
    this.valueBytes = valueBytesAt(region, at);
    this.form = encodingAt(region, at);
  }
}
