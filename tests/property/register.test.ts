// register.test.ts: names and nodes against a model of maps and arrays, in random order, through two objects over the same
// bytes; growth and shrinking by single buckets; memory that runs out; everything freed with the last node.
import { expect, setDefaultTimeout, test } from "bun:test";
import { Buckets } from "../../engine/index/buckets.ts";
import { Register } from "../../engine/index/register.ts";
import { Allocator } from "../../engine/memory/allocator.ts";
import { Key } from "../../engine/memory/key.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Segments } from "../../engine/memory/segments.ts";
import { random } from "../support/random.ts";

setDefaultTimeout(60_000);

interface ModelNode {
  handle: number;
  kind: number;
  words: [number, number, number, number];
}

const FLAG = 4;

class Pair {
  readonly input = need(Region.private(1 << 21), "test input");
  readonly key = new Key(this.input);
  readonly flags = new Int32Array([0, 0x51, 0]);
  readonly segments: Segments;
  readonly one: Register;
  /** What another worker would have. */
  readonly other: Register;
  readonly model = new Map<string, ModelNode[]>();

  constructor(segmentBytes: number) {
    this.segments = Segments.create(segmentBytes);
    this.one = new Register(this.segments, this.flags, 1, FLAG);
    const { address } = this.segments.at(0);
    this.other = new Register(Segments.attach(address, segmentBytes), this.flags, 1, FLAG);
  }

  at(text: string): Key {
    const bytes = Buffer.from(text, "latin1");
    this.input.u8.set(bytes, 7);
    this.key.set(this.input, 7, bytes.length);
    return this.key;
  }

  /** Names of the model: the space's code and the text. */
  nameOf(register: Register, name: number): string {
    register.open(name);
    const { region, start, bytes } = register;
    return (
      String.fromCharCode(register.space) +
      Buffer.from(region.u8.slice(start, start + bytes)).toString("latin1")
    );
  }

  find(register: Register, name: string): number {
    return register.find(name.charCodeAt(0), this.at(name.slice(1)));
  }

  add(register: Register, name: string, kind: number, words: [number, number, number, number]): number {
    const handle = register.ensure(name.charCodeAt(0), this.at(name.slice(1)));
    const node = handle === 0 ? 0 : register.add(handle, kind, ...words);
    if (node === 0) return 0;
    const nodes = this.model.get(name);
    const made: ModelNode = { handle: node, kind, words };
    if (nodes === undefined) this.model.set(name, [made]);
    else nodes.push(made);
    return node;
  }

  remove(register: Register, name: string, index: number): void {
    const nodes = this.model.get(name)!;
    register.remove(nodes[index]!.handle);
    nodes.splice(index, 1);
    if (nodes.length === 0) this.model.delete(name);
  }

  compareName(register: Register, name: string): void {
    const handle = this.find(register, name);
    const nodes = this.model.get(name);
    expect(handle !== 0).toBe(nodes !== undefined);
    if (nodes === undefined) return;
    expect(this.nameOf(register, handle)).toBe(name);
    expect(register.nodesOf(handle)).toBe(nodes.length);
    const found: ModelNode[] = [];
    for (let node = register.firstNode(handle); node !== 0; node = register.nextNode(node)) {
      const words: ModelNode["words"] = [
        register.a(node),
        register.b(node),
        register.c(node),
        register.d(node),
      ];
      found.push({ handle: node, kind: register.kindOf(node), words });
      if (register.nameOf(node) !== handle || found.length > nodes.length) break;
    }
    expect(found).toEqual(nodes);
  }

  compare(register: Register): void {
    register.check();
    let nodes = 0;
    for (const [name, list] of this.model) {
      this.compareName(register, name);
      nodes += list.length;
    }
    expect(register.names).toBe(this.model.size);
    expect(register.nodes).toBe(nodes);
    expect(this.flags[1]).toBe(nodes > 0 ? 0x51 | FLAG : 0x51);
    const walked = new Set<string>();
    for (let name = register.firstName(); name !== 0; name = register.nextName(name))
      walked.add(this.nameOf(register, name));
    expect(walked).toEqual(new Set(this.model.keys()));
  }
}

/** Some text for every number: short and long, with bytes of all values, empty for 0. */
function textOf(number: number): string {
  if (number === 0) return "";
  const base = `n${number}\r\n\0\xff`;
  return number % 97 === 0 ? base.repeat(100) : number % 3 === 0 ? base.slice(0, 3) : base;
}

test("register: against a model, through two objects over the same bytes", () => {
  const next = random("register");
  const pair = new Pair(16 << 20);
  const spaces = [0, 1, 15, 255];
  const draw = (below: number) => Math.floor(next() * below);
  for (let step = 0; step < 20_000; step++) {
    const register = next() < 0.5 ? pair.one : pair.other;
    // Few names with many nodes and many with few, growing and shrinking by turns, to nothing at times.
    const number = next() < 0.3 ? draw(4) : draw(3000);
    const name = String.fromCharCode(spaces[draw(4)]!) + textOf(number);
    const nodes = pair.model.get(name);
    const growing = step % 5_000 < 3_000;
    if (next() < (growing ? 0.8 : 0.2)) {
      const kind = draw(3);
      const a = draw(2000) - 1000;
      const handle = pair.find(register, name);
      const there = nodes?.find((each) => each.kind === kind && each.words[0] === a);
      expect(handle === 0 ? 0 : register.findNode(handle, kind, a)).toBe(there?.handle ?? 0);
      if (there === undefined)
        expect(pair.add(register, name, kind, [a, draw(2 ** 31), -draw(2 ** 31), step])).not.toBe(0);
      else {
        there.words[1] = step;
        there.words[2] = -step;
        there.words[3] = 2 ** 31 - 1 - step;
        register.setB(there.handle, there.words[1]);
        register.setC(there.handle, there.words[2]);
        register.setD(there.handle, there.words[3]);
      }
    } else if (nodes !== undefined) pair.remove(register, name, draw(nodes.length));
    else if (pair.model.size > 0 && !growing) {
      const drawn = pair.nameOf(register, register.drawName(next()));
      expect(pair.model.has(drawn)).toBe(true);
      for (let left = pair.model.get(drawn)!.length; left > 0; left--)
        pair.remove(register, drawn, draw(left));
    }
    pair.compareName(register, name);
    if (step % 2_500 === 0) pair.compare(register);
  }
  pair.compare(pair.one);
  for (const name of [...pair.model.keys()])
    while (pair.model.has(name)) pair.remove(pair.other, name, draw(pair.model.get(name)!.length));
  pair.compare(pair.one);
  expect(pair.one.allocator.liveBytes).toBe(0);
});

test("register: untouched it has no bytes in use; an only name is drawn and walked; the empty register has none", () => {
  const pair = new Pair(1 << 20);
  expect(pair.one.usedBytes).toBe(0);
  expect([pair.one.firstName(), pair.one.drawName(0.5), pair.find(pair.one, "\0x")]).toEqual([0, 0, 0]);
  pair.add(pair.one, "\x01only", 7, [1, 2, 3, 4]);
  for (const chance of [0, 0.5, 0.999])
    expect(pair.one.drawName(chance)).toBe(pair.find(pair.other, "\x01only"));
  expect(pair.find(pair.one, "\0only")).toBe(0);
  pair.remove(pair.one, "\x01only", 0);
  expect([pair.one.firstName(), pair.one.drawName(0.5), pair.one.allocator.liveBytes]).toEqual([0, 0, 0]);
});

test("register: a walk may remove the name it is at, once it has asked for the next", () => {
  const next = random("register walk");
  const pair = new Pair(4 << 20);
  for (let i = 0; i < 5_000; i++) pair.add(pair.one, `\0${i}`, 1, [i, 0, 0, 0]);
  let met = 0;
  for (let name = pair.one.firstName(); name !== 0; ) {
    const after = pair.one.nextName(name);
    met++;
    if (next() < 0.9) pair.remove(pair.one, pair.nameOf(pair.one, name), 0);
    name = after;
  }
  expect(met).toBe(5_000);
  pair.compare(pair.one);
  expect(pair.model.size).toBeLessThan(800);
  // Every name that is left is drawn by some chance.
  const drawn = new Set<string>();
  for (let i = 0; i < 4_000; i++) drawn.add(pair.nameOf(pair.one, pair.one.drawName(i / 4_000)));
  expect(drawn.size).toBeGreaterThan(pair.model.size * 0.4);
});

test("register: when memory is out an addition answers 0, leaves no empty name, and what is there stays", () => {
  const pair = new Pair(1 << 20); // 32 segments of 1 MiB at most
  let stored = 0;
  while (
    stored < 1_000_000 &&
    pair.add(pair.one, `\0${stored}${"x".repeat(4000)}`, 1, [stored, 0, 0, 0]) !== 0
  )
    stored++;
  expect(stored).toBeGreaterThan(5_000);
  pair.compare(pair.one);
  pair.key.set(pair.input, 0, pair.input.bytes - 8); // larger than a segment
  expect(pair.one.ensure(0, pair.key)).toBe(0);
  // Nodes of a name that is there, until they do not fit either, and then of one that is not.
  const first = `\0${0}${"x".repeat(4000)}`;
  let more = 0;
  while (more < 1_000_000 && pair.add(pair.one, first, 2, [more, 0, 0, 0]) !== 0) more++;
  expect(more).toBeLessThan(1_000_000);
  while (pair.add(pair.one, `\x02${"y".repeat(more % 64)}`, 1, [more++, 0, 0, 0]) !== 0);
  pair.compare(pair.other);
  for (const name of [...pair.model.keys()])
    for (let left = pair.model.get(name)!.length; left > 0; left--) pair.remove(pair.one, name, left - 1);
  pair.compare(pair.one);
  expect(pair.one.allocator.liveBytes).toBe(0);
});

test("buckets: the table grows by one bucket at a time and shrinks by at most two, to 300,000 things and back", () => {
  const segments = Segments.create(64 << 20);
  const allocator = new Allocator(segments);
  const table = new Buckets(allocator, segments.at(0).u32, 700);
  const things = new Uint32Array(300_000);
  let most = 0;
  let least = 0;
  let slowest = 0;
  const timed = (work: () => boolean) => {
    const buckets = table.buckets;
    const before = performance.now();
    if (!work()) throw new Error("memory is out");
    slowest = Math.max(slowest, performance.now() - before);
    most = Math.max(most, table.buckets - Math.max(buckets, 64));
    if (table.things > 0) least = Math.min(least, table.buckets - buckets);
  };
  for (let i = 0; i < things.length; i++) {
    things[i] = allocator.allocate(16);
    timed(() => table.insert(Math.imul(i, 0x9e3779b1) >>> 0, things[i]!));
  }
  expect(table.buckets).toBe(things.length);
  table.check(() => {});
  for (let i = 0; i < things.length; i++) {
    if (i % 50_000 === 1) table.check(() => {});
    const thing = things[(i * 7919) % things.length]!;
    timed(() => {
      table.remove(thing);
      return true;
    });
    allocator.free(thing);
  }
  expect([most, least, table.things, table.buckets, allocator.liveBytes]).toEqual([1, -2, 0, 0, 0]);
  console.log(
    `buckets: the slowest insertion or removal took ${slowest.toFixed(2)} ms, the collector's pauses included`,
  );
});
