// tracker.ts: client-side caching: which keys tracking clients have read, and who is told when one of them is touched.
//
// Default mode: a key that is read is a name of TRACKED_SPACE in its shard's register, with a node of kind Track for each
// client that has read it; the first touch tells them all and forgets the name. A client that stops tracking, or is gone,
// leaves its nodes behind: the token in its entry of the control region is 0, or another's, then. `tracking-table-max-keys`
// bounds the names; one too many is told as if it had been touched.
// BCAST: nothing is remembered. The keys that a worker's clients write in one pipeline go, as they are, to the workers
// that have such clients, and these tell each of theirs which match, one push a prefix, in byte order.
//
//   MESSAGE          a               b                  c        bytes
//   Invalidated      target's entry  target's id, low   Told     the key
//   RedirectBroken   entry           token of tracking  -        -
//   Written          -               -                  -        keys: entry of who wrote (i32), length (i32), text
//
// Who may change the tables: the worker that holds the shard's lock. On the data path of clients that track: remembering
// and telling allocate nothing; BCAST makes strings on the side that reads them.
// Neighbours: interests.ts; signals.ts tells of touched keys; engine/commands/tracking.ts has the commands.
import type { Call } from "../commands/call.ts";
import { Mode, type Session } from "../commands/session.ts";
import type { TrackingHub } from "../commands/tracking.ts";
import type { Key } from "../memory/key.ts";
import { copyBytes, need, Region } from "../memory/region.ts";
import { Attention } from "../shard/events.ts";
import type { Keyspace } from "../shard/keyspace.ts";
import type { Shard } from "../shard/shard.ts";
import { writeLatin1 } from "../types/integer.ts";
import type { Client } from "./client.ts";
import type { Entry } from "./command-table.ts";
import { Entry as ClientEntry, type Control, Figure, Word } from "./control.ts";
import { type Mail, Message } from "./inbox.ts";
import { Interest, TRACKED_SPACE } from "./interests.ts";
import { KeyWalk } from "./key-walk.ts";
import type { Pushes } from "./pushes.ts";

/** How a target is told: bits. */
const enum Told {
  /** It is not the client that tracks. */
  Redirected = 1,
  /** Of all keys. */
  Everything = 2,
}

const WRITTEN_BYTES = 1 << 20;
/** Names drawn for one that may be forgotten. */
const DRAWS = 16;

function textAt(region: Region, start: number, bytes: number): string {
  return Buffer.from(region.u8.slice(start, start + bytes)).toString("latin1");
}

function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`;
}

export class Tracker implements TrackingHub {
  /** tracking-table-max-keys; Infinity for no bound. */
  mostNames = Number.POSITIVE_INFINITY;
  private readonly words: Int32Array;
  private readonly walk = new KeyWalk();
  /** Clients of this worker that track by prefix. */
  private readonly broadcasting = new Set<Client>();
  /** What was written since the last message Written. */
  private readonly written = need(Region.private(WRITTEN_BYTES), "keys for tracking clients");
  private writtenBytes = 0;

  constructor(
    private readonly call: Call,
    private readonly keyspace: Keyspace,
    private readonly control: Control,
    private readonly mail: Mail,
    private readonly pushes: Pushes,
    /** The client of this worker whose entry is at that offset. */
    private readonly clientAt: (entry: number) => Client | null,
  ) {
    this.words = control.region.i32;
  }

  // Modes

  exists(id: number): boolean {
    return this.control.findClient(id) !== 0;
  }

  begin(session: Session, broadcast: boolean): void {
    const client = this.pushes.current!;
    const word = client.entry >> 2;
    session.mode = (session.mode | Mode.Tracking) & ~Mode.BrokenRedirect;
    const { redirect } = session.tracking!;
    this.words[word + ClientEntry.RedirectI32] = redirect;
    this.words[word + ClientEntry.RedirectEntryI32] = redirect === 0 ? 0 : this.control.findClient(redirect);
    // The same after OFF: what was read before, and not touched since, is still told of, as in Redis.
    if (client.trackingToken === 0) client.trackingToken = this.control.token();
    Atomics.store(this.words, word + ClientEntry.TrackingI32, client.trackingToken);
    if (!broadcast || (session.mode & Mode.Broadcast) !== 0) return;
    session.mode |= Mode.Broadcast;
    this.broadcasting.add(client);
    this.control.add(Word.Broadcasters + this.mail.own, 1);
    this.attendBroadcast();
  }

  end(_session: Session): void {
    this.forget(this.pushes.current!);
  }

  /** A client tracks no more. */
  forget(client: Client): void {
    const { session } = client;
    if ((session.mode & Mode.Tracking) === 0) return;
    Atomics.store(this.words, (client.entry >> 2) + ClientEntry.TrackingI32, 0);
    session.mode &= ~(Mode.Tracking | Mode.Broadcast | Mode.BrokenRedirect);
    session.tracking = null;
    if (!this.broadcasting.delete(client)) return;
    this.control.add(Word.Broadcasters + this.mail.own, -1);
    this.attendBroadcast();
  }

  /** Shards tell of every touched key while anybody tracks by prefix. */
  private attendBroadcast(): void {
    for (const shard of this.keyspace.shards) {
      shard.lock();
      let on = false;
      for (let worker = 0; worker < this.control.plan.workers; worker++)
        on ||= this.control.word(Word.Broadcasters + worker) > 0;
      shard.setAttention(Attention.Broadcast, on);
      shard.unlock();
    }
  }

  // Remembering

  /** The command in the call is about to read: its keys are remembered; their shards are locked. */
  read(client: Client, entry: Entry): void {
    const tracking = client.session.tracking!;
    if ((client.session.mode & Mode.Broadcast) !== 0) return;
    if ((tracking.optIn && !tracking.caching) || (tracking.optOut && tracking.caching)) return;
    const { call, walk } = this;
    const token = this.words[(client.entry >> 2) + ClientEntry.TrackingI32]!;
    walk.begin(entry, call);
    for (let i = walk.next(); i !== 0; i = walk.next()) {
      const shard = call.locate(i);
      const { register } = shard;
      const there = register.find(TRACKED_SPACE, call.key);
      const name = there !== 0 ? there : register.ensure(TRACKED_SPACE, call.key);
      if (name === 0) continue; // no memory: this key cannot be cached
      const node = register.findNode(name, Interest.Track, client.entry);
      if (node !== 0) register.setB(node, token);
      else if (register.add(name, Interest.Track, client.entry, token, 0, 0) !== 0 && there === 0)
        this.control.add(Word.TrackedNames, 1);
      if (this.control.word(Word.TrackedNames) > this.mostNames) this.forgetSome(shard);
    }
    call.located = 0;
  }

  /** A command of a tracking client is done. */
  done(client: Client, entry: Entry): void {
    const { tracking, mode } = client.session;
    if (tracking === null || !tracking.caching || (mode & Mode.Multi) !== 0) return;
    if (!entry.row.name.startsWith("client")) tracking.caching = false;
  }

  /** Forgets names of a shard, telling who has read them, while there are too many. */
  private forgetSome(shard: Shard): void {
    const { register } = shard;
    for (let i = 0; i < DRAWS && this.control.word(Word.TrackedNames) > this.mostNames; i++) {
      const name = register.drawName(Math.random());
      if (name === 0) return;
      register.open(name);
      if (register.space === TRACKED_SPACE) this.touched(shard, name);
    }
  }

  /** Forgets a name and its nodes. */
  private drop(shard: Shard, name: number): void {
    const { register } = shard;
    for (let node = register.firstNode(name), next = 0; node !== 0; node = next) {
      next = register.nextNode(node);
      register.remove(node); // the name goes with the last
    }
    this.control.add(Word.TrackedNames, -1);
  }

  // Telling

  /** The key of a tracked name was touched, under the lock of its shard. */
  touched(shard: Shard, name: number): void {
    const { register } = shard;
    const { current } = this.pushes;
    register.open(name);
    const { region, start, bytes } = register;
    for (let node = register.firstNode(name); node !== 0; node = register.nextNode(node)) {
      const entry = register.a(node);
      if (this.words[(entry >> 2) + ClientEntry.TrackingI32] !== register.b(node)) continue;
      if (current !== null && current.entry === entry && current.session.tracking?.noLoop === true) continue;
      this.tell(entry, region, start, bytes, 0);
    }
    this.drop(shard, name);
  }

  /** Tells a tracking client, or whom it redirects to, of a key. */
  private tell(entry: number, region: Region, start: number, bytes: number, told: number): void {
    const { control, mail, words } = this;
    const word = entry >> 2;
    const redirect = words[word + ClientEntry.RedirectI32]!;
    let target = entry;
    if (redirect !== 0) {
      target = words[word + ClientEntry.RedirectEntryI32]!;
      if (!control.isClient(target, redirect)) {
        const token = words[word + ClientEntry.TrackingI32]!;
        if (mail.begin(control.workerOf(entry), Message.RedirectBroken, entry, token, 0, 0) >= 0)
          mail.commit(0);
        return;
      }
      told |= Told.Redirected;
    }
    const id = control.idOf(target) | 0;
    const at = mail.begin(control.workerOf(target), Message.Invalidated, target, id, told, bytes);
    if (at < 0) return; // full: that worker cuts off who may have lost it
    copyBytes(mail.target, at, region, start, bytes);
    mail.commit(bytes);
  }

  /** All keys of a database are about to be removed: everybody is told, and nothing is remembered. All shards are locked. */
  flushed(): void {
    const { control } = this;
    for (let worker = 0; worker < control.plan.workers; worker++) {
      const used = control.region.f64[control.pageOf(worker) + Figure.Entries]!;
      for (let index = 0; index < used; index++) {
        const entry = control.entryOf(worker, index);
        if (this.words[(entry >> 2) + ClientEntry.TrackingI32] !== 0)
          this.tell(entry, this.written, 0, 0, Told.Everything);
      }
    }
    for (const shard of this.keyspace.shards) {
      const { register } = shard;
      for (let name = register.firstName(), next = 0; name !== 0; name = next) {
        next = register.nextName(name);
        register.open(name);
        if (register.space === TRACKED_SPACE) this.drop(shard, name);
      }
    }
  }

  /** A key was touched, and somebody tracks by prefix. */
  broadcast(key: Key): void {
    const bytes = 8 + ((key.bytes + 3) & ~3);
    if (bytes > WRITTEN_BYTES) return; // no prefix is worth a key of a megabyte
    if (this.writtenBytes + bytes > WRITTEN_BYTES) this.sendWritten();
    const { written, pushes } = this;
    const at = this.writtenBytes;
    written.i32[at >> 2] = pushes.current === null ? 0 : pushes.current.entry;
    written.i32[(at >> 2) + 1] = key.bytes;
    copyBytes(written, at + 8, key.region, key.start, key.bytes);
    this.writtenBytes = at + bytes;
  }

  /** Sends what was written to the workers that have clients to be told. */
  sendWritten(): void {
    const { writtenBytes, mail, control } = this;
    if (writtenBytes === 0) return;
    this.writtenBytes = 0;
    for (let worker = 0; worker < control.plan.workers; worker++) {
      if (control.word(Word.Broadcasters + worker) === 0) continue;
      const at = mail.begin(worker, Message.Written, 0, 0, 0, writtenBytes);
      if (at < 0) continue;
      copyBytes(mail.target, at, this.written, 0, writtenBytes);
      mail.commit(writtenBytes);
    }
  }

  // Being told

  /** A message of the inbox that is about tracking. */
  received(
    kind: number,
    a: number,
    b: number,
    c: number,
    region: Region,
    start: number,
    bytes: number,
  ): void {
    if (kind === Message.Invalidated) {
      const client = this.clientAt(a);
      if (client === null || (client.session.id | 0) !== b) return;
      const keys = (c & Told.Everything) !== 0 ? null : [textAt(region, start, bytes)];
      this.push(client, keys, (c & Told.Redirected) !== 0);
    } else if (kind === Message.RedirectBroken) {
      const client = this.clientAt(a);
      if (client === null || this.words[(a >> 2) + ClientEntry.TrackingI32] !== b) return;
      this.broken(client);
    } else if (kind === Message.Written) this.tellPrefixes(region, start, bytes);
  }

  private broken(client: Client): void {
    const { session } = client;
    session.mode |= Mode.BrokenRedirect;
    if (session.resp3)
      this.pushes.sendText(
        client,
        `>2\r\n${bulk("tracking-redir-broken")}:${session.tracking!.redirect}\r\n`,
      );
  }

  /** Tells a client of keys, null for all. */
  private push(client: Client, keys: readonly string[] | null, redirected: boolean): void {
    const { session } = client;
    let text: string;
    if (session.resp3) text = `>2\r\n${bulk("invalidate")}`;
    else if (redirected && (session.mode & Mode.Subscribed) !== 0)
      text = `*3\r\n${bulk("message")}${bulk("__redis__:invalidate")}`;
    else return; // RESP2 has no words for it
    if (keys === null) text += session.resp3 ? "_\r\n" : "$-1\r\n";
    else {
      text += `*${keys.length}\r\n`;
      for (const key of keys) text += bulk(key);
    }
    this.pushes.sendText(client, text);
  }

  /** Keys were written: clients that track by prefix are told of those that match. */
  private tellPrefixes(region: Region, start: number, bytes: number): void {
    const keys = new Map<string, number>();
    for (let at = start; at < start + bytes; ) {
      const writer = region.i32[at >> 2]!;
      const length = region.i32[(at >> 2) + 1]!;
      const key = textAt(region, at + 8, length);
      if (!keys.has(key)) keys.set(key, writer);
      at += 8 + ((length + 3) & ~3);
    }
    const sorted = [...keys].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    for (const client of this.broadcasting) {
      const { prefixes, noLoop, redirect } = client.session.tracking!;
      for (const prefix of prefixes) {
        const told = sorted.filter(
          ([key, writer]) => key.startsWith(prefix) && !(noLoop && writer === client.entry),
        );
        if (told.length === 0) continue;
        const names = told.map(([key]) => key);
        if (redirect === 0) this.push(client, names, false);
        else this.redirect(client, redirect, names);
      }
    }
  }

  /** The same for a client whose invalidations go to another, one key a push. */
  private redirect(client: Client, redirect: number, keys: readonly string[]): void {
    const target = this.words[(client.entry >> 2) + ClientEntry.RedirectEntryI32]!;
    if (!this.control.isClient(target, redirect)) return this.broken(client);
    if (this.control.workerOf(target) === this.mail.own) {
      const local = this.clientAt(target);
      if (local !== null) this.push(local, keys, true);
      return;
    }
    for (const key of keys) {
      const worker = this.control.workerOf(target);
      const at = this.mail.begin(
        worker,
        Message.Invalidated,
        target,
        redirect | 0,
        Told.Redirected,
        key.length,
      );
      if (at < 0) continue;
      writeLatin1(this.mail.target.u8, at, key);
      this.mail.commit(key.length);
    }
  }
}
