// exchange.ts: publish and subscribe: who subscribes to which channel or pattern, and the way of a message there.
//
// What all workers share is two registers (engine/index/register.ts), of channels and of patterns, behind one lock, which
// lies within the locks of shards and is never held while an inbox is locked. A name has one node for each worker with
// subscribers to it:  a worker   b number of the list   c subscribers   d how many ever joined the list
// What a worker has to itself is the lists: the connections behind each of its nodes. A list's number is new with every
// list, so a message on its way to one that is gone reaches nobody.
//
// PUBLISH collects the nodes of the channel, without the lock where it can, and of the patterns that match; these it has
// in a copy, read again when the version of the patterns has moved. Then it puts the message, as the RESP3 push it will
// be, into the inbox of each worker, with `d`: who joins the list after the collecting does not get it, so a message
// goes to exactly the subscribers of one moment. One publisher's messages are delivered in order, as inboxes keep theirs.
//
// Words of the channels' superblock from RegisterWords.Own on: Field.
// On the data path: `publish`, `publishEvent` and `deliver` allocate nothing; subscribing and its end may.
// Neighbours: engine/commands/pubsub.ts has the commands; inbox.ts carries; pushes.ts writes; signals.ts has events published.
import type { Call } from "../commands/call.ts";
import { type PubSub, Space, Subscriptions } from "../commands/pubsub.ts";
import { Mode, type Session } from "../commands/session.ts";
import { Register, RegisterWords } from "../index/register.ts";
import { assert } from "../memory/assert.ts";
import { Key } from "../memory/key.ts";
import { lock, readBegin, readValid, unlock } from "../memory/lock.ts";
import { copyBytes, need, Region } from "../memory/region.ts";
import { Segments, Super } from "../memory/segments.ts";
import { type Event, eventName, Notify } from "../shard/events.ts";
import { globMatch } from "../types/glob.ts";
import { writeInteger, writeLatin1 } from "../types/integer.ts";
import type { Client } from "./client.ts";
import { type Mail, Message } from "./inbox.ts";
import type { Pushes } from "./pushes.ts";

/** i32 words. */
const enum Field {
  /** Names that have subscribers, a word a space. */
  Names = 768,
  /** Counts changes to the patterns and their subscribers. */
  PatternVersion = 771,
  /** Bytes of all patterns. */
  PatternBytes = 772,
}

assert(Field.Names === Super.Shard + RegisterWords.Own, "the exchange's words follow the register's");

/** Bytes of all patterns, at most: each worker has a copy. */
const PATTERNS_MOST = 2 ** 28;
/** Bytes of a message beside channel, text and pattern, at most. */
const FRAME_BYTES = 128;
const READ_TRIES = 3;
/** Where publishEvent composes: an event's name, then a channel with the longest key there can be. */
const CHANNEL_AT = 64;
const COMPOSE_BYTES = 2 ** 30;
/** Pages of that beyond this are given back. */
const COMPOSE_KEEP = 65536;

/** What a message of each space begins with. */
const heads = [">3\r\n$7\r\nmessage\r\n", ">3\r\n$8\r\nsmessage\r\n", ">4\r\n$8\r\npmessage\r\n"] as const;

/** What another worker needs to attach. */
export interface ExchangePlan {
  readonly workers: number;
  readonly segmentBytes: number;
  readonly channels: number;
  readonly patterns: number;
}

/** A connection in a list. */
interface Seat {
  readonly list: List;
  readonly client: Client;
  /** Where in the list. */
  index: number;
  /** How many had joined the list, this one included. */
  readonly joined: number;
}

/** The subscribers that this worker has for a name. */
class List {
  readonly seats: Seat[] = [];
  joined = 0;

  constructor(
    readonly number: number,
    readonly space: Space,
    readonly name: string,
    readonly node: number,
  ) {}
}

/** Messages for one list, to be given out together. */
class Messages {
  list = 0;
  joined = 0;
  region: Region | null = null;
  count = 0;
  total = 0;
  starts: Int32Array = new Int32Array(64);
  lengths: Int32Array = new Int32Array(64);

  add(start: number, bytes: number): void {
    if (this.count === this.starts.length) {
      this.starts = grown(this.starts, this.count * 2);
      this.lengths = grown(this.lengths, this.count * 2);
    }
    this.starts[this.count] = start;
    this.lengths[this.count++] = bytes;
    this.total += bytes;
  }
}

/** What a session subscribes to, by space and name. */
type Held = BySpace<Map<string, Seat>>;

type BySpace<T> = readonly [T, T, T];

const spaces = [Space.Channel, Space.Shard, Space.Pattern] as const;

/** Nodes that a message goes to, place by place. */
class Targets {
  count = 0;
  workers: Int32Array;
  lists: Int32Array;
  subscribers: Int32Array;
  joined: Int32Array;

  constructor(room: number) {
    this.workers = new Int32Array(room);
    this.lists = new Int32Array(room);
    this.subscribers = new Int32Array(room);
    this.joined = new Int32Array(room);
  }

  reserve(room: number): void {
    if (room <= this.workers.length) return;
    this.workers = grown(this.workers, room);
    this.lists = grown(this.lists, room);
    this.subscribers = grown(this.subscribers, room);
    this.joined = grown(this.joined, room);
  }

  add(register: Register, node: number): void {
    const at = this.count++;
    this.workers[at] = register.a(node);
    this.lists[at] = register.b(node);
    this.subscribers[at] = register.c(node);
    this.joined[at] = register.d(node);
  }
}

function grown(array: Int32Array, room: number): Int32Array {
  const larger = new Int32Array(Math.max(room, array.length * 2));
  larger.set(array);
  return larger;
}

/** The patterns as this worker knows them: texts, and where in `targets` the nodes of each begin. */
class Patterns {
  /** Of PatternVersion; never that of no patterns at all. */
  version = 0;
  count = 0;
  readonly text = need(Region.private(PATTERNS_MOST), "patterns");
  starts = new Int32Array(16);
  lengths = new Int32Array(16);
  /** One more than patterns: the last says where the nodes end. */
  firsts = new Int32Array(16);
  readonly targets = new Targets(16);

  /** Reads all of the register, which is locked. */
  read(register: Register, version: number): void {
    const { targets, text } = this;
    const count = register.names;
    if (count >= this.firsts.length) {
      this.starts = new Int32Array(count * 2);
      this.lengths = new Int32Array(count * 2);
      this.firsts = new Int32Array(count * 2);
    }
    targets.count = 0;
    targets.reserve(register.nodes);
    let i = 0;
    let at = 0;
    for (let name = register.firstName(); name !== 0; name = register.nextName(name), i++) {
      register.open(name);
      copyBytes(text, at, register.region, register.start, register.bytes);
      this.starts[i] = at;
      this.lengths[i] = register.bytes;
      this.firsts[i] = targets.count;
      at += register.bytes;
      for (let node = register.firstNode(name); node !== 0; node = register.nextNode(node))
        targets.add(register, node);
    }
    this.firsts[i] = targets.count;
    this.count = i;
    this.version = version;
  }
}

export class Exchange implements PubSub {
  private readonly superblock: Region;
  private readonly words: Int32Array;
  /** Of channels and shard channels; of patterns. A name's space is its Space. */
  private readonly channels: Register;
  private readonly patterns: Register;
  private readonly alone: boolean;
  private version = 0;
  private readonly lists = new Map<number, List>();
  private readonly named: BySpace<Map<string, List>> = [new Map(), new Map(), new Map()];
  private readonly held = new Map<Session, Held>();
  private lastNumber = 0;
  private readonly copy: Patterns;
  private readonly targets: Targets;
  private readonly key: Key;
  private readonly composed = need(Region.private(COMPOSE_BYTES), "channels of events");

  /** What was delivered and not given out yet. */
  private readonly messages = new Messages();

  constructor(
    plan: ExchangePlan,
    /** This worker's number. */
    private readonly own: number,
    private readonly mail: Mail,
    private readonly pushes: Pushes,
  ) {
    const channels = Segments.attach(plan.channels, plan.segmentBytes);
    this.superblock = channels.at(0);
    this.words = this.superblock.i32;
    this.channels = new Register(channels);
    this.patterns = new Register(Segments.attach(plan.patterns, plan.segmentBytes));
    this.alone = plan.workers === 1;
    this.targets = new Targets(plan.workers);
    this.copy = new Patterns();
    this.key = new Key(this.composed);
  }

  static create(workers: number, segmentBytes: number): ExchangePlan {
    return {
      workers,
      segmentBytes,
      channels: Segments.create(segmentBytes).at(0).address,
      patterns: Segments.create(segmentBytes).at(0).address,
    };
  }

  private lock(): void {
    if (!this.alone) this.version = lock(this.superblock, Super.LockVersion);
  }

  private unlock(): void {
    if (!this.alone) unlock(this.superblock, Super.LockVersion, this.version);
  }

  private registerOf(space: Space): Register {
    return space === Space.Pattern ? this.patterns : this.channels;
  }

  /** Bytes held from the system for the names of all subscriptions. */
  get usedBytes(): number {
    return this.channels.usedBytes + this.patterns.usedBytes;
  }

  count(space: Space): number {
    return Atomics.load(this.words, Field.Names + space);
  }

  // Subscribing

  subscribe(call: Call, space: Space, i: number): boolean {
    const client = this.pushes.current!;
    const { session } = client;
    // The confirmation before this one may have been the end of the connection, which is forgotten already.
    if (client.closed) return true;
    const name = call.text(i);
    let held = this.held.get(session);
    if (held?.[space].has(name) === true) return true;
    const list = this.named[space].get(name) ?? this.open(call, space, i, name);
    if (list === null) return false;
    if (held === undefined) {
      held = [new Map(), new Map(), new Map()];
      this.held.set(session, held);
    }
    const seat: Seat = { list, client, index: list.seats.length, joined: (list.joined + 1) | 0 };
    list.joined = seat.joined;
    list.seats.push(seat);
    held[space].set(name, seat);
    const register = this.registerOf(space);
    this.lock();
    register.setC(list.node, list.seats.length);
    register.setD(list.node, list.joined);
    if (space === Space.Pattern) this.patternsChanged(0);
    this.unlock();
    this.changed(session, held);
    return true;
  }

  /** A list for a name that this worker has no subscribers for yet; null when memory is out. */
  private open(call: Call, space: Space, i: number, name: string): List | null {
    const { words, key } = this;
    const register = this.registerOf(space);
    const bytes = call.length[i]!;
    let number = this.lastNumber;
    do number = (number + 1) | 0;
    while (this.lists.has(number));
    key.set(call.input, call.start[i]!, bytes);
    this.lock();
    let node = 0;
    if (space !== Space.Pattern || words[Field.PatternBytes]! + bytes <= PATTERNS_MOST) {
      const names = register.names;
      const handle = register.ensure(space, key);
      if (handle !== 0) node = register.add(handle, 0, this.own, number, 0, 0);
      if (register.names > names) {
        words[Field.Names + space] = words[Field.Names + space]! + 1;
        if (space === Space.Pattern) this.patternsChanged(bytes);
      }
    }
    this.unlock();
    if (node === 0) return null;
    this.lastNumber = number;
    const list = new List(number, space, name, node);
    this.lists.set(number, list);
    this.named[space].set(name, list);
    return list;
  }

  unsubscribe(session: Session, space: Space, name: string): void {
    const held = this.held.get(session);
    const seat = held?.[space].get(name);
    if (held === undefined || seat === undefined) return;
    held[space].delete(name);
    this.leave(seat);
    this.changed(session, held);
  }

  forget(session: Session): void {
    if (session.subscriptions === null) return;
    const held = this.held.get(session);
    if (held === undefined) return;
    for (const seats of held) {
      for (const seat of seats.values()) this.leave(seat);
      seats.clear();
    }
    this.changed(session, held);
  }

  private leave({ list, index }: Seat): void {
    const { words } = this;
    const { seats, space, node } = list;
    const last = seats.pop()!;
    if (index < seats.length) {
      seats[index] = last;
      last.index = index;
    }
    const register = this.registerOf(space);
    this.lock();
    let freed = 0;
    if (seats.length > 0) register.setC(node, seats.length);
    else {
      const names = register.names;
      register.remove(node);
      if (register.names < names) {
        words[Field.Names + space] = words[Field.Names + space]! - 1;
        freed = list.name.length;
      }
    }
    if (space === Space.Pattern) this.patternsChanged(-freed);
    this.unlock();
    if (seats.length > 0) return;
    this.lists.delete(list.number);
    this.named[space].delete(list.name);
  }

  private patternsChanged(bytes: number): void {
    const { words } = this;
    words[Field.PatternBytes] = words[Field.PatternBytes]! + bytes;
    Atomics.add(words, Field.PatternVersion, 1);
  }

  /** Brings what a session shows of its subscriptions up to date. */
  private changed(session: Session, held: Held): void {
    let total = 0;
    session.subscriptions ??= new Subscriptions();
    for (const space of spaces) {
      const { size } = held[space];
      session.subscriptions.counts[space] = size;
      total += size;
    }
    if (total > 0) session.mode |= Mode.Subscribed;
    else {
      session.mode &= ~Mode.Subscribed;
      session.subscriptions = null;
      this.held.delete(session);
    }
  }

  // Asking

  namesOf(session: Session, space: Space): string[] {
    const held = this.held.get(session);
    return held === undefined ? [] : [...held[space].keys()];
  }

  subscribers(call: Call, space: Space, i: number): number {
    const { key, channels } = this;
    key.set(call.input, call.start[i]!, call.length[i]!);
    let sum = 0;
    this.lock();
    const name = channels.find(space, key);
    if (name !== 0)
      for (let node = channels.firstNode(name); node !== 0; node = channels.nextNode(node))
        sum += channels.c(node);
    this.unlock();
    return sum;
  }

  replyNames(call: Call, space: Space, i: number): void {
    const { channels } = this;
    const { reply, input } = call;
    const matches = (name: number): boolean => {
      channels.open(name);
      const { region, start, bytes } = channels;
      if (channels.space !== space) return false;
      return i === 0 || globMatch(input.u8, call.start[i]!, call.length[i]!, region.u8, start, bytes);
    };
    // Sent at once, a name could end the connection, and its subscriptions with it, under the lock.
    reply.direct = false;
    this.lock();
    let count = 0;
    for (let name = channels.firstName(); name !== 0; name = channels.nextName(name))
      if (matches(name)) count++;
    reply.array(count);
    for (let name = channels.firstName(); name !== 0; name = channels.nextName(name))
      if (matches(name)) reply.bulk(channels.region, channels.start, channels.bytes);
    this.unlock();
  }

  // Publishing

  publish(call: Call, space: Space): number {
    const { words } = this;
    if (
      Atomics.load(words, Field.Names + space) === 0 &&
      (space === Space.Shard || Atomics.load(words, Field.Names + Space.Pattern) === 0)
    )
      return 0;
    const { input, start, length } = call;
    this.key.set(input, start[1]!, length[1]!);
    return this.send(space, input, start[2]!, length[2]!);
  }

  /** Publishes an event of a key, on the channels that `flags` (Notify) ask for. */
  publishEvent(flags: number, event: Event, db: number, key: Key): void {
    const { words, composed } = this;
    if (words[Field.Names + Space.Channel] === 0 && words[Field.Names + Space.Pattern] === 0) return;
    const { u8 } = composed;
    const nameBytes = writeLatin1(u8, 0, eventName(event));
    if ((flags & Notify.Keyspace) !== 0) {
      const at = this.composePrefix("__keyspace@", db);
      copyBytes(composed, at, key.region, key.start, key.bytes);
      this.key.set(composed, CHANNEL_AT, at - CHANNEL_AT + key.bytes);
      this.send(Space.Channel, composed, 0, nameBytes);
      if (at + key.bytes > COMPOSE_KEEP) composed.release(COMPOSE_KEEP, at + key.bytes);
    }
    if ((flags & Notify.Keyevent) !== 0) {
      const at = this.composePrefix("__keyevent@", db);
      u8.copyWithin(at, 0, nameBytes);
      this.key.set(composed, CHANNEL_AT, at - CHANNEL_AT + nameBytes);
      this.send(Space.Channel, key.region, key.start, key.bytes);
    }
  }

  /** Writes what a channel of events begins with; where it goes on. */
  private composePrefix(begin: string, db: number): number {
    const { u8 } = this.composed;
    let at = CHANNEL_AT + writeLatin1(u8, CHANNEL_AT, begin);
    at += writeInteger(u8, at, db);
    return at + writeLatin1(u8, at, "__:");
  }

  /** Sends a message to the channel that is `key`. Returns to how many it goes. */
  private send(space: Space, region: Region, start: number, bytes: number): number {
    const { targets, key } = this;
    this.collect(space);
    let sum = 0;
    for (let i = 0; i < targets.count; i++) {
      sum += targets.subscribers[i]!;
      this.post(space, targets, i, -1, region, start, bytes);
    }
    if (space === Space.Shard || Atomics.load(this.words, Field.Names + Space.Pattern) === 0) return sum;
    const patterns = this.currentPatterns();
    const { text, starts, lengths, firsts } = patterns;
    for (let p = 0; p < patterns.count; p++) {
      if (!globMatch(text.u8, starts[p]!, lengths[p]!, key.region.u8, key.start, key.bytes)) continue;
      const end = firsts[p + 1]!;
      for (let i = firsts[p]!; i < end; i++) {
        sum += patterns.targets.subscribers[i]!;
        this.post(Space.Pattern, patterns.targets, i, p, region, start, bytes);
      }
    }
    return sum;
  }

  /** Sets `targets` to the nodes of the channel that is `key`. */
  private collect(space: Space): void {
    const { superblock } = this;
    if (!this.alone) {
      for (let tries = 0; tries < READ_TRIES; tries++) {
        const version = readBegin(superblock, Super.LockVersion);
        if (version === -1) continue;
        try {
          this.readTargets(space);
          if (readValid(superblock, Super.LockVersion, version)) return;
        } catch {
          // A torn read led nowhere.
        }
      }
    }
    this.lock();
    this.readTargets(space);
    this.unlock();
  }

  private readTargets(space: Space): void {
    const { channels, targets, key } = this;
    targets.count = 0;
    const name = channels.find(space, key);
    if (name === 0) return;
    // No more than workers, whatever a torn read says.
    let node = channels.firstNode(name);
    for (let left = targets.workers.length; node !== 0 && left > 0; left--) {
      targets.add(channels, node);
      node = channels.nextNode(node);
    }
  }

  private currentPatterns(): Patterns {
    const { copy, words } = this;
    if (Atomics.load(words, Field.PatternVersion) !== copy.version) {
      this.lock();
      copy.read(this.patterns, words[Field.PatternVersion]!);
      this.unlock();
    }
    return copy;
  }

  /** Puts a message for the subscribers of node `i` into their worker's inbox; `pattern` -1 for none. */
  private post(
    space: Space,
    targets: Targets,
    i: number,
    pattern: number,
    region: Region,
    start: number,
    bytes: number,
  ): void {
    const { mail, key, copy } = this;
    const room = FRAME_BYTES + (pattern < 0 ? 0 : copy.lengths[pattern]!) + key.bytes + bytes;
    const { workers, lists, joined } = targets;
    const begin = mail.begin(workers[i]!, Message.Published, lists[i]!, joined[i]!, 0, room);
    if (begin < 0) return;
    const { target } = mail;
    let at = begin + writeLatin1(target.u8, begin, heads[space]);
    if (pattern >= 0) at = bulk(target, at, copy.text, copy.starts[pattern]!, copy.lengths[pattern]!);
    at = bulk(target, at, key.region, key.start, key.bytes);
    at = bulk(target, at, region, start, bytes);
    mail.commit(at - begin);
  }

  // Receiving

  /** Gives a message to the subscribers of a list here: those that had joined when it was published. Messages for one list
   *  that come one after the other go to each subscriber together: with `settle`, which has to follow before the bytes of the
   *  last one end. */
  deliver(number: number, joined: number, region: Region, start: number, bytes: number): void {
    const { messages } = this;
    if (messages.count > 0 && (messages.list !== number || messages.joined !== joined)) this.settle();
    messages.list = number;
    messages.joined = joined;
    messages.region = region;
    messages.add(start, bytes);
  }

  /** Gives out what `deliver` holds. */
  settle(): void {
    const { messages, pushes } = this;
    const { count, total, joined, region, starts, lengths } = messages;
    if (count === 0) return;
    messages.count = 0;
    messages.total = 0;
    const list = this.lists.get(messages.list);
    if (list === undefined || region === null) return;
    const { seats } = list;
    // From the end: one that is cut off for it leaves its seat to the last, which has had the messages.
    for (let i = seats.length - 1; i >= 0; i--) {
      const seat = seats[i]!;
      if (((joined - seat.joined) | 0) >= 0)
        pushes.pushAll(seat.client, region, starts, lengths, count, total);
    }
  }

  /** Whether `settle` has something to do. */
  get holds(): boolean {
    return this.messages.count > 0;
  }

  /** Every invariant of what is shared, and of this worker's lists: for tests. */
  check(): void {
    this.lock();
    const names = [0, 0, 0];
    let patternBytes = 0;
    for (const register of [this.channels, this.patterns]) {
      register.check();
      for (let name = register.firstName(); name !== 0; name = register.nextName(name)) {
        register.open(name);
        names[register.space]!++;
        if (register.space === Space.Pattern) patternBytes += register.bytes;
        for (let node = register.firstNode(name); node !== 0; node = register.nextNode(node)) {
          if (register.a(node) !== this.own) continue;
          const list = this.lists.get(register.b(node));
          assert(list !== undefined && list.node === node, "a node of this worker has its list");
          assert(list.seats.length === register.c(node), "a node counts its subscribers");
          assert(list.joined === register.d(node), "a node counts who joined");
        }
      }
    }
    for (const space of spaces)
      assert(names[space] === this.count(space), `names of space ${space} are counted`);
    assert(patternBytes === this.words[Field.PatternBytes], "the bytes of patterns are counted");
    this.unlock();
    let seats = 0;
    for (const list of this.lists.values()) {
      assert(
        this.named[list.space].get(list.name) === list && list.seats.length > 0,
        "a list is found by its name",
      );
      for (const [i, seat] of list.seats.entries()) {
        assert(seat.index === i && seat.list === list, "a seat knows its place");
        assert(
          this.held.get(seat.client.session)?.[list.space].get(list.name) === seat,
          "a session holds its seat",
        );
        seats++;
      }
    }
    for (const held of this.held.values()) for (const space of spaces) seats -= held[space].size;
    assert(seats === 0, "sessions hold what lists have");
  }
}

/** Writes a bulk string; where it ends. */
function bulk(target: Region, at: number, source: Region, start: number, bytes: number): number {
  const { u8 } = target;
  u8[at++] = 36; // $
  at += writeInteger(u8, at, bytes);
  u8[at] = 13;
  u8[at + 1] = 10;
  copyBytes(target, at + 2, source, start, bytes);
  at += 2 + bytes;
  u8[at] = 13;
  u8[at + 1] = 10;
  return at + 2;
}
