// call.ts: a command being run: its arguments, who asked, where the reply goes, and the keys it names. One Call a worker,
// reused for every command; nothing in it outlives the handler.
//
// The worker has checked name and arity and, for rows of Scope.Keys and Scope.All, holds the locks of the shards in
// question (a row marked optimistic may run without, see CommandRow). Handlers never lock; a handler of Scope.Each, that
// walks shards locks one at a time.
// On the data path: no allocation. `text` and `args` make strings and are for options, names and cold commands.
// Neighbours: engine/shard below; the handlers of this folder; engine/worker/dispatcher.ts makes and runs it.
import type { CommandRow } from "../../protocol/command-row.ts";
import { Errors } from "../../protocol/errors.ts";
import type { LookAhead } from "../index/key-index.ts";
import { Key } from "../memory/key.ts";
import type { Type } from "../memory/record.ts";
import type { Region } from "../memory/region.ts";
import { Event } from "../shard/events.ts";
import type { Keyspace } from "../shard/keyspace.ts";
import { Place } from "../shard/place.ts";
import { Access, samples } from "../shard/samples.ts";
import type { Shard } from "../shard/shard.ts";
import type { Hub } from "./hub.ts";
import type { Reply } from "./reply.ts";
import type { Server } from "./server.ts";
import type { Session } from "./session.ts";

export type Row = CommandRow<Call>;

export class Call {
  argc = 0;
  /** Argument i (0 is the command's name) is bytes [start[i], start[i] + length[i]) of `input`. */
  start: Int32Array = new Int32Array(0);
  length: Int32Array = new Int32Array(0);
  session!: Session;
  row!: Row;
  /** The key looked at last, and its shard. */
  readonly key: Key;
  shard: Shard;
  /** Places of keys that collections live at: one for most commands, `placeAt` for those of several keys. */
  readonly place: Place;
  private readonly places: Place[] = [];
  /** Whether EXEC runs it. */
  inTransaction = false;
  /** Lookups of this worker by commands that read, for INFO. */
  hits = 0;
  misses = 0;

  constructor(
    public input: Region,
    readonly reply: Reply,
    readonly keyspace: Keyspace,
    readonly server: Server,
    readonly hub: Hub,
  ) {
    this.key = new Key(input);
    this.shard = keyspace.shards[0]!;
    this.place = new Place(this.shard);
    this.places.push(this.place);
  }

  /** The place of that number; 0 is `place`. Kept, so that the steady state makes none. */
  placeAt(number: number): Place {
    while (this.places.length <= number) this.places.push(new Place(this.shard));
    return this.places[number]!;
  }

  /** Finds argument `i` at a place for a command that writes. False when it is absent. */
  findPlace(i: number, place: Place): boolean {
    place.find(this.locate(i), this.session.db, this.key);
    return this.touched(place.handle) !== 0;
  }

  /** The same for a command that reads: counted as a hit or a miss; of a string, until the next is read. */
  findPlaceRead(i: number, place: Place): boolean {
    place.read(this.locate(i), this.session.db, this.key);
    return this.touched(this.counted(place.handle)) !== 0;
  }

  /** Finds argument `i`, which must hold a `type`, at a place for a command that writes: 1 when it does, 0 when it is
   *  absent, -1 after replying that it holds another type. */
  openPlace(i: number, type: Type, place: Place): number {
    if (!this.findPlace(i, place)) return 0;
    if (place.type === type) return 1;
    this.reply.error(Errors.wrongType);
    return -1;
  }

  /** openPlace for a command that waits where nothing is there. When it runs for a client that waits already, a key that is
   *  out of its reach or of another type is as good as absent. */
  openAwaited(i: number, type: Type, place: Place): number {
    const { hub } = this;
    if (!hub.serving) return this.openPlace(i, type, place);
    return hub.reachable(this, i) && this.findPlace(i, place) && place.type === type ? 1 : 0;
  }

  /** The same as openPlace for a command that reads: counted as a hit or a miss. */
  openPlaceRead(i: number, type: Type, place: Place): number {
    if (!this.findPlaceRead(i, place)) return 0;
    if (place.type === type) return 1;
    this.reply.error(Errors.wrongType);
    return -1;
  }

  /** Tells of what happened to the key located last: after the change, one call an event, in Redis's order. */
  notify(event: Event): void {
    this.shard.notify(event, this.session.db, this.key);
  }

  get nowMs(): number {
    return this.keyspace.clock.nowMs;
  }

  /** The argument that the dispatcher has located already, 0 for none. */
  located = 0;

  /** `locate` for the dispatcher: the handler's first `locate` of the same argument costs nothing. */
  locateFor(i: number): Shard {
    if (i === this.located) return this.shard;
    const shard = this.locate(i);
    this.located = i;
    return shard;
  }

  /** `locate` for an argument that place `at` of a look-ahead tells of. */
  adopt(i: number, ahead: LookAhead, at: number): void {
    const { key } = this;
    const low = ahead.lows[at]!;
    key.region = this.input;
    key.start = this.start[i]!;
    key.bytes = this.length[i]!;
    key.high = ahead.highs[at]!;
    key.low = low;
    key.hint = ahead.handles[at]! >>> 0;
    key.hintDb = ahead.db;
    key.hintWord = ahead.words[at]!;
    key.hintLeaf = ahead.leaves[at]! >>> 0;
    key.hintChanges = ahead.changes[at]!;
    this.shard = this.keyspace.shardOf(low);
    this.located = i;
  }

  /** Makes argument `i` the current key and its shard the current shard. */
  locate(i: number): Shard {
    if (i === this.located) return this.shard;
    this.located = 0;
    const { key } = this;
    key.set(this.input, this.start[i]!, this.length[i]!);
    this.shard = this.keyspace.shardOf(key.low);
    return this.shard;
  }

  /** Locates argument `i` and finds its live record in the session's database: a handle (shard cursor set), or 0. */
  find(i: number): number {
    return this.touched(this.locate(i).find(this.session.db, this.key));
  }

  /** The same for a command that does not want a string's value (Shard.look), nor asks for the key by that. */
  look(i: number): number {
    return this.locate(i).look(this.session.db, this.key);
  }

  /** `find` for a command that reads: counted as a hit or a miss. The record is read before the next is looked for, and
   *  nothing is done with it (Shard.read). */
  findRead(i: number): number {
    return this.touched(this.counted(this.locate(i).read(this.session.db, this.key)));
  }

  /** The same for one that holds several records at a time, or changes them after all. */
  findHeld(i: number): number {
    return this.counted(this.find(i));
  }

  /** The same for one that does not want a string's value, nor asks for the key by that. */
  lookRead(i: number): number {
    return this.counted(this.look(i));
  }

  /** The same for one that asks for the key. `always`: also of a client that is not to touch keys. */
  touchRead(i: number, always = false): number {
    return this.touched(this.lookRead(i), always);
  }

  /** What was found last was asked for: eviction hears of it. */
  private touched(handle: number, always = false): number {
    if (handle !== 0 && (always || !this.session.noTouch)) this.shard.touch(this.session.db, this.key);
    return handle;
  }

  private counted(handle: number): number {
    if (handle === 0) this.missed();
    else this.hits++;
    if ((this.key.high & 0xffff) < samples.below) this.sampled(handle);
    return handle;
  }

  private sampled(handle: number): void {
    const { shard, key } = this;
    if (handle === 0) shard.noteMiss(this.session.db, key);
    else shard.noteHere(Access.Hit, this.session.db, key);
  }

  /** A command that reads did not find the key located last. */
  private missed(): void {
    this.misses++;
    this.notify(Event.KeyMiss);
  }

  /** Argument `i` as Latin-1 text: every byte a character, so that it can be quoted back unchanged. */
  text(i: number): string {
    const { u8 } = this.input;
    const start = this.start[i]!;
    const bytes = this.length[i]!;
    // Of a long one, joining would cost more than its bytes do.
    if (bytes > 64) return Buffer.from(u8.buffer, start, bytes).toString("latin1");
    let text = "";
    for (let at = start; at < start + bytes; at++) text += String.fromCharCode(u8[at]!);
    return text;
  }

  /** Argument `i` as UTF-8 text. */
  utf8(i: number): string {
    const start = this.start[i]!;
    return new TextDecoder().decode(this.input.u8.slice(start, start + this.length[i]!));
  }

  /** Whether argument `i` is `word`, given in lower case, in any case. */
  is(i: number, word: string): boolean {
    const bytes = this.length[i]!;
    if (bytes !== word.length) return false;
    const { u8 } = this.input;
    const start = this.start[i]!;
    for (let at = 0; at < bytes; at++) {
      let byte = u8[start + at]!;
      if (byte >= 65 && byte <= 90) byte |= 32;
      if (byte !== word.charCodeAt(at)) return false;
    }
    return true;
  }
}
