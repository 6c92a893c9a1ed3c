// register.ts: who asked to hear of a name. A name is a space (0..255) and bytes; each has a list of nodes in the order in
// which they were added, a node being a kind (0..255), and four words that mean something to whoever added it.
//
// Each shard has one for its keys: who watches, tracks or waits for them; the process has one for channels and patterns.
// A register has segments and an allocator of its own, so every worker has a Register object over the same bytes, and
// forgetting the data (FLUSHALL) does not touch it. Handles are u32 numbers, 0 for none.
//
// Superblock, u32 words from Super.Shard on: two roots of Buckets (names, nodes), then Field. Words from
// Super.Shard + RegisterWords.Own on are the owner's.
// Name:  0 hash, 1 chain (Buckets)   2 previous, 3 next name   4 first node   5 nodes   6 bytes   byte 28 space   29 text
// Node:  0 hash, 1 chain (Buckets)   2 name   3 previous, of the first the last   4 next, 0 at the last
//        5..8 a, b, c, d   byte 36 kind
// A node is also found by (name, kind, a), in one step however many its name has.
//
// Invariants: a name has a node, but between `ensure` and `add`; each name and each node is in its table once; the flag
// given to the constructor is set exactly while there are nodes; when the last name goes everything is freed.
// Who writes: whoever holds the lock of the register's owner. Without it `find` may be called and nodes may be followed,
// as many as `nodesOf` says; what they said counts only if the lock's version is unchanged afterwards, and a torn
// read leads into a mapped segment or throws RangeError.
// On the data path: no allocation in the JS sense. An untouched register has one page of memory, and no bytes in use.
// Neighbours: buckets.ts and allocator.ts below; shard.ts and engine/worker/exchange.ts own one each.
import { Allocator, Handle } from "../memory/allocator.ts";
import { assert } from "../memory/assert.ts";
import { hashBytes, hashHigh } from "../memory/hash.ts";
import type { Key } from "../memory/key.ts";
import { copyBytes, equalBytes, type Region } from "../memory/region.ts";
import { type Segments, Super } from "../memory/segments.ts";
import { Buckets, BucketsRoot, wordOf } from "./buckets.ts";

const enum Field {
  /** After the two roots: the name added last. */
  FirstName = 64,
}

/** u32 words of the superblock from Super.Shard on. */
export const enum RegisterWords {
  /** From here on they are the owner's. */
  Own = 128,
}

const enum Name {
  Hash = 0,
  Chain = 1,
  Previous = 2,
  Next = 3,
  FirstNode = 4,
  Nodes = 5,
  Length = 6,
  SpaceByte = 28,
  TextByte = 29,
}

const enum Node {
  Chain = 1,
  Name = 2,
  Previous = 3,
  Next = 4,
  A = 5,
  B = 6,
  C = 7,
  D = 8,
  KindByte = 36,
  Bytes = 37,
}

function byteOf(handle: number): number {
  return (handle & Handle.GranuleMask) << Handle.GranuleShift;
}

/** Names of the same bytes in two spaces are in two buckets. */
function nameHash(space: number, high: number): number {
  return (high ^ Math.imul(space, 0x9e3779b1)) >>> 0;
}

/** The finalizer of MurmurHash3 over what makes a node. */
function nodeHash(name: number, kind: number, a: number): number {
  let hash = name ^ Math.imul(a ^ Math.imul(kind, 0x27d4eb2f), 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

export class Register {
  /** Also for what nodes refer to: the arguments of a blocked command, say. */
  readonly allocator: Allocator;
  private readonly nameTable: Buckets;
  private readonly nodeTable: Buckets;
  private readonly head: Uint32Array;
  /** The name that `open` was called with; valid until it is removed. */
  space = 0;
  region: Region;
  start = 0;
  bytes = 0;

  /** Over segments made or attached to by the caller. `flags[flagWord]`, if given, has the bit `flag` while there is a node. */
  constructor(
    segments: Segments,
    private readonly flags: Int32Array | null = null,
    private readonly flagWord = 0,
    private readonly flag = 0,
  ) {
    const superblock = segments.at(0);
    this.region = superblock;
    this.head = superblock.u32;
    this.allocator = new Allocator(segments);
    this.nameTable = new Buckets(this.allocator, this.head, Super.Shard);
    this.nodeTable = new Buckets(this.allocator, this.head, Super.Shard + BucketsRoot.Words);
  }

  /** How many names there are. */
  get names(): number {
    return this.nameTable.things;
  }

  /** How many nodes there are, of all names. */
  get nodes(): number {
    return this.nodeTable.things;
  }

  /** Bytes this register holds from the system for its names and nodes. */
  get usedBytes(): number {
    return this.allocator.committedBytes;
  }

  // Names

  /** A name, 0 when nobody asked for it. */
  find(space: number, key: Key): number {
    return this.names === 0 ? 0 : this.findHashed(space, key, nameHash(space, key.high));
  }

  private findHashed(space: number, key: Key, hash: number): number {
    const { allocator } = this;
    let steps = this.names;
    for (let name = this.nameTable.first(hash); name !== 0 && steps > 0; steps--) {
      const region = allocator.regionOf(name);
      const { u32 } = region;
      const word = wordOf(name);
      if (u32[word] === hash && u32[word + Name.Length] === key.bytes) {
        const at = byteOf(name);
        if (
          region.u8[at + Name.SpaceByte] === space &&
          equalBytes(region, at + Name.TextByte, key.region, key.start, key.bytes)
        )
          return name;
      }
      name = u32[word + Name.Chain]!;
    }
    return 0;
  }

  /** A name, made if need be: then the caller adds a node to it next. 0 when memory is out. */
  ensure(space: number, key: Key): number {
    const hash = nameHash(space, key.high);
    const found = this.findHashed(space, key, hash);
    if (found !== 0) return found;
    const { allocator, head } = this;
    const name = allocator.allocate(Name.TextByte + key.bytes);
    if (name === 0) return 0;
    const region = allocator.regionOf(name);
    const { u32 } = region;
    const word = wordOf(name);
    const at = byteOf(name);
    u32[word + Name.FirstNode] = 0;
    u32[word + Name.Nodes] = 0;
    u32[word + Name.Length] = key.bytes;
    region.u8[at + Name.SpaceByte] = space;
    copyBytes(region, at + Name.TextByte, key.region, key.start, key.bytes);
    if (!this.nameTable.insert(hash, name)) {
      allocator.free(name);
      return 0;
    }
    const next = head[Super.Shard + Field.FirstName]!;
    u32[word + Name.Previous] = 0;
    u32[word + Name.Next] = next;
    if (next !== 0) allocator.regionOf(next).u32[wordOf(next) + Name.Previous] = name;
    head[Super.Shard + Field.FirstName] = name;
    return name;
  }

  private removeName(name: number): void {
    const { allocator, head } = this;
    const { u32 } = allocator.regionOf(name);
    const word = wordOf(name);
    const previous = u32[word + Name.Previous]!;
    const next = u32[word + Name.Next]!;
    if (previous === 0) head[Super.Shard + Field.FirstName] = next;
    else allocator.regionOf(previous).u32[wordOf(previous) + Name.Next] = next;
    if (next !== 0) allocator.regionOf(next).u32[wordOf(next) + Name.Previous] = previous;
    this.nameTable.remove(name);
    allocator.free(name);
  }

  /** Sets `space`, `region`, `start` and `bytes` to what a name is. */
  open(name: number): void {
    const region = this.allocator.regionOf(name);
    const at = byteOf(name);
    this.region = region;
    this.space = region.u8[at + Name.SpaceByte]!;
    this.start = at + Name.TextByte;
    this.bytes = region.u32[wordOf(name) + Name.Length]!;
  }

  /** How many nodes a name has. */
  nodesOf(name: number): number {
    return this.allocator.regionOf(name).u32[wordOf(name) + Name.Nodes]!;
  }

  /** A walk over all names, the one added last first. A name may be removed once the next one was asked for; one that is
   *  added on the way is not met. */
  firstName(): number {
    return this.head[Super.Shard + Field.FirstName]!;
  }

  nextName(name: number): number {
    return this.allocator.regionOf(name).u32[wordOf(name) + Name.Next]!;
  }

  /** A name drawn at random, 0 when there is none. `chance`: a number in [0, 1). */
  drawName(chance: number): number {
    const { nameTable } = this;
    const n = nameTable.buckets;
    let bucket = Math.floor(chance * n);
    for (let steps = 0; steps < n; steps++) {
      const name = nameTable.firstOf(bucket);
      if (name !== 0) return name;
      if (++bucket === n) bucket = 0;
    }
    return 0;
  }

  // Nodes

  /** Adds a node at the end of a name's list. 0 when memory is out: a name that has no other is gone then. Nobody looks
   *  whether there is one of this kind and `a`; `findNode` does. */
  add(name: number, kind: number, a: number, b: number, c: number, d: number): number {
    const { allocator } = this;
    const node = allocator.allocate(Node.Bytes);
    if (node === 0 || !this.nodeTable.insert(nodeHash(name, kind, a), node)) {
      if (node !== 0) allocator.free(node);
      if (this.nodesOf(name) === 0) this.removeName(name);
      return 0;
    }
    const region = allocator.regionOf(node);
    const { u32 } = region;
    const word = wordOf(node);
    u32[word + Node.Name] = name;
    u32[word + Node.A] = a;
    u32[word + Node.B] = b;
    u32[word + Node.C] = c;
    u32[word + Node.D] = d;
    u32[word + Node.Next] = 0;
    region.u8[byteOf(node) + Node.KindByte] = kind;
    const names = allocator.regionOf(name).u32;
    const nameWord = wordOf(name);
    const first = names[nameWord + Name.FirstNode]!;
    if (first === 0) {
      names[nameWord + Name.FirstNode] = node;
      u32[word + Node.Previous] = node;
    } else {
      const firsts = allocator.regionOf(first).u32;
      const firstWord = wordOf(first);
      const last = firsts[firstWord + Node.Previous]!;
      firsts[firstWord + Node.Previous] = node;
      u32[word + Node.Previous] = last;
      allocator.regionOf(last).u32[wordOf(last) + Node.Next] = node;
    }
    names[nameWord + Name.Nodes] = names[nameWord + Name.Nodes]! + 1;
    const { flags, flagWord } = this;
    if (flags !== null) flags[flagWord] = flags[flagWord]! | this.flag;
    return node;
  }

  /** A name's node of that kind and `a`, 0 for none. */
  findNode(name: number, kind: number, a: number): number {
    const { allocator } = this;
    const hash = nodeHash(name, kind, a);
    a >>>= 0;
    let steps = this.nodes;
    for (let node = this.nodeTable.first(hash); node !== 0 && steps > 0; steps--) {
      const region = allocator.regionOf(node);
      const { u32 } = region;
      const word = wordOf(node);
      if (
        u32[word] === hash &&
        u32[word + Node.Name] === name &&
        u32[word + Node.A] === a &&
        region.u8[byteOf(node) + Node.KindByte] === kind
      )
        return node;
      node = u32[word + Node.Chain]!;
    }
    return 0;
  }

  /** Takes a node from its name, and the name away with its last one. */
  remove(node: number): void {
    const { allocator } = this;
    const { u32 } = allocator.regionOf(node);
    const word = wordOf(node);
    const name = u32[word + Node.Name]!;
    const previous = u32[word + Node.Previous]!;
    const next = u32[word + Node.Next]!;
    const names = allocator.regionOf(name).u32;
    const nameWord = wordOf(name);
    const left = names[nameWord + Name.Nodes]! - 1;
    this.nodeTable.remove(node);
    if (left === 0) this.removeName(name);
    else {
      names[nameWord + Name.Nodes] = left;
      const first = names[nameWord + Name.FirstNode]!;
      // Who comes after learns who was before; after the last one comes the first, which names the last.
      const after = next === 0 ? first : next;
      allocator.regionOf(after).u32[wordOf(after) + Node.Previous] = previous;
      if (node === first) names[nameWord + Name.FirstNode] = next;
      else allocator.regionOf(previous).u32[wordOf(previous) + Node.Next] = next;
    }
    allocator.free(node);
    const { flags, flagWord } = this;
    if (flags !== null && this.nodes === 0) flags[flagWord] = flags[flagWord]! & ~this.flag;
  }

  /** The first node of a name. */
  firstNode(name: number): number {
    return this.allocator.regionOf(name).u32[wordOf(name) + Name.FirstNode]!;
  }

  /** The node after this one in its name's list, 0 at the end. */
  nextNode(node: number): number {
    return this.allocator.regionOf(node).u32[wordOf(node) + Node.Next]!;
  }

  nameOf(node: number): number {
    return this.allocator.regionOf(node).u32[wordOf(node) + Node.Name]!;
  }

  kindOf(node: number): number {
    return this.allocator.regionOf(node).u8[byteOf(node) + Node.KindByte]!;
  }

  /** The words of a node, signed. */
  a(node: number): number {
    return this.allocator.regionOf(node).i32[wordOf(node) + Node.A]!;
  }

  b(node: number): number {
    return this.allocator.regionOf(node).i32[wordOf(node) + Node.B]!;
  }

  c(node: number): number {
    return this.allocator.regionOf(node).i32[wordOf(node) + Node.C]!;
  }

  d(node: number): number {
    return this.allocator.regionOf(node).i32[wordOf(node) + Node.D]!;
  }

  /** The words that may change: a node is found by its `a`. */
  setB(node: number, value: number): void {
    this.allocator.regionOf(node).i32[wordOf(node) + Node.B] = value;
  }

  setC(node: number, value: number): void {
    this.allocator.regionOf(node).i32[wordOf(node) + Node.C] = value;
  }

  setD(node: number, value: number): void {
    this.allocator.regionOf(node).i32[wordOf(node) + Node.D] = value;
  }

  /** Every invariant of this file and of what is below, O(memory): for tests. */
  check(): void {
    const { allocator, nameTable, nodeTable, head } = this;
    allocator.check();
    let nodes = 0;
    nameTable.check((name) => {
      this.open(name);
      hashBytes(this.region, this.start, this.bytes);
      const { u32 } = allocator.regionOf(name);
      const word = wordOf(name);
      assert(u32[word] === nameHash(this.space, hashHigh), "a name has its hash");
      let count = 0;
      let last = 0;
      for (let node = this.firstNode(name); node !== 0; node = this.nextNode(node)) {
        assert(this.nameOf(node) === name, "a node knows its name");
        if (last !== 0)
          assert(allocator.regionOf(node).u32[wordOf(node) + Node.Previous] === last, "back links");
        assert(++count <= this.nodesOf(name), "no list runs in a circle");
        assert(
          this.findNode(name, this.kindOf(node), this.a(node)) !== 0,
          "a node is found by its kind and a",
        );
        last = node;
      }
      assert(count > 0 && count === this.nodesOf(name), "a name has as many nodes as it says, and one");
      const first = this.firstNode(name);
      assert(
        allocator.regionOf(first).u32[wordOf(first) + Node.Previous] === last,
        "the first names the last",
      );
      nodes += count;
    });
    nodeTable.check((node) => {
      const hash = allocator.regionOf(node).u32[wordOf(node)]!;
      assert(hash === nodeHash(this.nameOf(node), this.kindOf(node), this.a(node)), "a node has its hash");
    });
    assert(nodes === this.nodes, `nodes: counted ${nodes}, kept ${this.nodes}`);
    let names = 0;
    let before = 0;
    for (let name = this.firstName(); name !== 0; name = this.nextName(name)) {
      assert(
        allocator.regionOf(name).u32[wordOf(name) + Name.Previous] === before,
        "names know who was before",
      );
      assert(++names <= this.names, "the names run in no circle");
      before = name;
    }
    assert(names === this.names, `names: counted ${names}, kept ${this.names}`);
    assert((head[Super.Shard + Field.FirstName] === 0) === (names === 0), "no names, no first");
    if (this.flags !== null)
      assert(
        ((this.flags[this.flagWord]! & this.flag) !== 0) === nodes > 0,
        "the flag says whether there are nodes",
      );
  }
}
