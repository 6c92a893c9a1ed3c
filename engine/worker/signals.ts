// signals.ts: what follows from an event of a key: watchers become dirty, trackers are told, clients that wait are
// remembered to be served, notifications are published. Called under the lock of the key's shard; a shard whose attention
// word is 0 never calls. What is sent goes to inboxes, so nothing here waits for anybody.
// On the data path while somebody listens: no allocation. Neighbours: engine/shard/events.ts, interests.ts.
import { Key } from "../memory/key.ts";
import { Attention, Event, type EventSink, eventClass, Notify } from "../shard/events.ts";
import type { Keyspace } from "../shard/keyspace.ts";
import { DATABASES, type Shard } from "../shard/shard.ts";
import { Entry as ClientEntry, type Control, Word } from "./control.ts";
import type { Exchange } from "./exchange.ts";
import { TRACKED_SPACE, WAITED_SPACE } from "./interests.ts";
import type { Tracker } from "./tracker.ts";
import { brings, type Waiters } from "./waiters.ts";

export class Signals implements EventSink {
  private readonly words: Int32Array;
  private readonly watched: Key;

  constructor(
    private readonly keyspace: Keyspace,
    control: Control,
    private readonly exchange: Exchange,
    private readonly waiters: Waiters,
    private readonly tracker: Tracker,
  ) {
    this.words = control.region.i32;
    this.watched = new Key(control.region);
    for (const shard of keyspace.shards) shard.sink = this;
  }

  keyEvent(shard: Shard, event: Event, db: number, key: Key): void {
    if (!shard.exclusive) return; // a read without the lock, which is made again with it
    const { attention } = shard;
    if (event !== Event.KeyMiss && event !== Event.New) {
      if ((attention & Attention.Names) !== 0) this.touched(shard, event, db, key);
      if ((attention & Attention.Broadcast) !== 0) this.tracker.broadcast(key);
    }
    if ((attention & Attention.Notifications) === 0) return;
    const flags = this.words[Word.Notify]!;
    if ((flags & eventClass(event)) !== 0) this.exchange.publishEvent(flags, event, db, key);
  }

  private touched(shard: Shard, event: Event, db: number, key: Key): void {
    const { register } = shard;
    const watched = register.find(db, key);
    if (watched !== 0)
      for (let node = register.firstNode(watched); node !== 0; node = register.nextNode(node))
        this.dirty(register.a(node));
    if (brings(event)) {
      const waited = register.find(WAITED_SPACE + db, key);
      if (waited !== 0) this.waiters.keyReady(shard, waited);
    }
    const tracked = register.find(TRACKED_SPACE, key);
    if (tracked !== 0) this.tracker.touched(shard, tracked);
  }

  private dirty(entry: number): void {
    this.words[(entry >> 2) + ClientEntry.DirtyI32] = 1;
  }

  /** Every key of the database, -1 for all, is about to be removed: watched keys that are there are touched. */
  flushing(db: number): void {
    for (const shard of this.keyspace.shards) this.touchWatched(shard, db, db);
    this.tracker.flushed();
  }

  /** Two databases are about to change places: watched keys that are in either are touched. */
  swapping(a: number, b: number): void {
    for (const shard of this.keyspace.shards) {
      this.touchWatched(shard, a, b);
      this.touchWatched(shard, b, a);
    }
  }

  /** Touches the watchers of keys of database `db` (-1: all) that are there, or in `other`. */
  private touchWatched(shard: Shard, db: number, other: number): void {
    const { register } = shard;
    for (let name = register.firstName(), next = 0; name !== 0; name = next) {
      next = register.nextName(name);
      register.open(name);
      const { space } = register;
      if (space >= DATABASES || (db >= 0 && space !== db)) continue;
      this.watched.set(register.region, register.start, register.bytes);
      const there =
        shard.look(space, this.watched) !== 0 ||
        (other >= 0 && other !== space && shard.look(other, this.watched) !== 0);
      if (!there) continue;
      for (let node = register.firstNode(name); node !== 0; node = register.nextNode(node))
        this.dirty(register.a(node));
    }
  }

  /** Sets which events are published, flags of Notify, for all workers. */
  notifyOf(flags: number): void {
    const told = (flags & (Notify.Keyspace | Notify.Keyevent)) !== 0 ? flags : 0;
    Atomics.store(this.words, Word.Notify, told);
    this.attend(Attention.Notifications, told !== 0);
    this.attend(Attention.Misses, (told & Notify.KeyMiss) !== 0);
  }

  /** Sets or clears a bit of every shard's attention. */
  attend(bit: Attention, on: boolean): void {
    for (const shard of this.keyspace.shards) {
      shard.lock();
      shard.setAttention(bit, on);
      shard.unlock();
    }
  }
}
