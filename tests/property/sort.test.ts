// sort.test.ts: SORT against JavaScript's sort over a model of the keyspace, with collections in both forms and memory that
// ends anywhere; and the ordering below it, where pairs are few, many, limited, equal.
import { expect, test } from "bun:test";
import { hashCommands } from "../../engine/commands/hashes.ts";
import { keyspaceCommands } from "../../engine/commands/keyspace.ts";
import { listCommands } from "../../engine/commands/lists.ts";
import { setCommands } from "../../engine/commands/sets.ts";
import { sortCommands } from "../../engine/commands/sort.ts";
import { sortedSetCommands } from "../../engine/commands/sorted-sets.ts";
import { stringCommands } from "../../engine/commands/strings.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { limits } from "../../engine/types/limits.ts";
import { Ordering, Texts } from "../../engine/types/ordering.ts";
import { Errors } from "../../protocol/errors.ts";
import { Engine } from "../support/engine.ts";
import { random } from "../support/random.ts";

const rows = [
  ...sortCommands,
  ...listCommands,
  ...setCommands,
  ...sortedSetCommands,
  ...hashCommands,
  ...stringCommands,
  ...keyspaceCommands,
];
const OOM = `-${Errors.outOfMemory}\r\n`;
const usual = { ...limits };

function bulk(value: string | undefined): string {
  return value === undefined ? "$-1\r\n" : `$${value.length}\r\n${value}\r\n`;
}

function array(values: readonly (string | undefined)[]): string {
  return `*${values.length}\r\n${values.map(bulk).join("")}`;
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

class Run {
  readonly engine = new Engine(rows, 8 << 20, 16 << 20);
  readonly lists = new Map<string, string[]>();
  readonly sets = new Map<string, Set<string>>();
  readonly sorted = new Map<string, Map<string, number>>();
  readonly strings = new Map<string, string>();
  readonly fields = new Map<string, string>();
  /** Allocations until memory is out. */
  left = Number.POSITIVE_INFINITY;
  refused = 0;

  constructor(readonly next: () => number) {
    const { allocator } = this.engine.keyspace.shards[0]!;
    const allocate = allocator.allocate.bind(allocator);
    allocator.allocate = (bytes) => (this.left-- > 0 ? allocate(bytes) : 0);
  }

  of<T>(values: readonly T[]): T {
    return values[Math.floor(this.next() * values.length)]!;
  }

  below(most: number): number {
    return Math.floor(this.next() * most);
  }

  number(): string {
    return this.of([
      String(this.below(100) - 50),
      String(this.below(2 ** 31) * 2 ** 20),
      String(this.below(80) / 8),
    ]);
  }

  word(): string {
    const long = "the same beginning of ".repeat(this.below(8));
    return this.of([`w${this.below(40)}`, `${long}${this.below(9)}`, "", "\xff\0\r\n", `\0${this.below(3)}`]);
  }

  /** Elements of a source, in the order in which they are met; undefined when there is none. */
  elements(key: string): string[] | undefined {
    const set = this.sets.get(key);
    if (set !== undefined) return [...set];
    const scores = this.sorted.get(key);
    if (scores === undefined) return this.lists.get(key);
    return [...scores].sort(([a, x], [b, y]) => x - y || byBytes(a, b)).map(([member]) => member);
  }

  ask(...args: string[]): string {
    return this.engine.run(...args);
  }

  /** Makes all keys anew. */
  fill(): void {
    this.ask("flushall");
    for (const map of [this.lists, this.sets, this.sorted, this.strings, this.fields]) map.clear();
    for (const [name, make] of [
      ["n", () => this.number()],
      ["w", () => this.word()],
    ] as const) {
      const count = this.of([1, 3, 10, 100, 700, name === "n" ? 6000 : 200]);
      const values = Array.from({ length: count }, make);
      this.lists.set(`list:${name}`, values);
      this.ask("rpush", `list:${name}`, ...values);
      this.sets.set(`set:${name}`, new Set(values));
      this.ask("sadd", `set:${name}`, ...values);
      const scores = new Map(values.map((value) => [value, this.below(20)]));
      this.sorted.set(`zset:${name}`, scores);
      this.ask("zadd", `zset:${name}`, ...[...scores].flatMap(([member, score]) => [String(score), member]));
      for (const value of values) {
        if (this.next() < 0.7) this.set(`k_${value}`, this.number());
        if (this.next() < 0.7) this.set(`t_${value}`, this.word());
        if (this.next() < 0.5) this.setField(`h_${value}`, "n", this.number());
        if (this.next() < 0.5) this.setField(`h_${value}`, "t", this.word());
      }
    }
  }

  set(key: string, value: string): void {
    this.strings.set(key, value);
    this.ask("set", key, value);
  }

  setField(key: string, field: string, value: string): void {
    this.fields.set(`${key}->${field}`, value);
    this.ask("hset", key, field, value);
  }

  lookUp(pattern: string, element: string): string | undefined {
    if (pattern === "#") return element;
    if (!pattern.includes("*")) return undefined;
    const name = pattern.replace("*", () => element);
    return pattern.includes("->") ? this.fields.get(name) : this.strings.get(name);
  }

  /** What SORT should make of a source. */
  expected(key: string, options: { alpha: boolean; descending: boolean; by: string }): string[] {
    const met = this.elements(key) ?? [];
    const sign = options.descending ? -1 : 1;
    const { by } = options;
    if (by !== "" && !by.includes("*")) return options.descending ? met.toReversed() : met;
    const weighed = met.map((element) => ({
      element,
      weight: by === "" ? element : this.lookUp(by, element),
    }));
    const order = (a: (typeof weighed)[0], b: (typeof weighed)[0]): number => {
      if (!options.alpha)
        return Number(a.weight ?? 0) - Number(b.weight ?? 0) || byBytes(a.element, b.element);
      if (a.weight === undefined || b.weight === undefined)
        return (a.weight === undefined ? 0 : 1) - (b.weight === undefined ? 0 : 1);
      return byBytes(a.weight, b.weight);
    };
    return weighed.sort((a, b) => sign * order(a, b)).map(({ element }) => element);
  }

  step(): void {
    const words = this.next() < 0.4;
    const kind = this.of(["list", "set", "zset", "none"]);
    const key = `${kind}:${words ? "w" : "n"}`;
    // What a set is met in, and so where its equal texts stay, is not told.
    const by = this.of(
      kind === "set" ? ["", "k_*", "h_*->n"] : ["", "", "k_*", "h_*->n", "t_*", "h_*->t", "*", "nosort"],
    );
    const textual = by === "t_*" || by === "h_*->t";
    const alpha = textual || ((words || this.next() < 0.3) && (by === "" || by === "*"));
    const descending = this.next() < 0.4;
    const gets = Array.from({ length: this.of([0, 0, 1, 3]) }, () =>
      this.of(["#", "k_*", "t_*", "h_*->n", "h_*->t", "x", "none_*"]),
    );
    let values = this.expected(key, { alpha, descending, by });
    const args = ["sort", key];
    if (by !== "") args.push("by", by);
    if (alpha) args.push("alpha");
    args.push(descending ? "desc" : "asc");
    if (this.next() < 0.5) {
      const from = this.below(this.next() < 0.5 ? 10 : values.length + 3);
      const count = this.next() < 0.2 ? -1 : this.below(this.next() < 0.5 ? 10 : 3000);
      args.push("limit", String(from), String(count));
      values = values.slice(from, count < 0 ? undefined : from + count);
    }
    for (const get of gets) args.push("get", get);
    const due =
      gets.length === 0 ? values : values.flatMap((value) => gets.map((get) => this.lookUp(get, value)));
    if (this.next() < 0.6) {
      expect(this.ask(...args)).toBe(array(due));
      return;
    }
    const before = this.ask("lrange", "stored", "0", "-1");
    if (this.next() < 0.3) this.left = this.below(12);
    const reply = this.ask(...args, "store", "stored");
    const ended = this.left < 0;
    this.left = Number.POSITIVE_INFINITY;
    const there = this.ask("lrange", "stored", "0", "-1");
    if (reply === OOM) {
      expect(ended).toBe(true);
      expect(there).toBe(before);
      this.refused++;
      return;
    }
    expect(reply).toBe(`:${due.length}\r\n`);
    expect(there).toBe(array(due.map((value) => value ?? "")));
  }
}

for (const [name, changed] of [
  ["usual limits", {}],
  ["everything large", { listSize: 1, setIntegers: 0, setEntries: 0, sortedSetEntries: 0, hashEntries: 0 }],
  ["everything small", { listSize: -5, setIntegers: 9000, setEntries: 9000, sortedSetEntries: 9000 }],
] as const)
  test(`SORT does what a model does, ${name}`, () => {
    Object.assign(limits, usual, changed);
    try {
      const run = new Run(random(`sort, ${name}`));
      for (let round = 0; round < 25; round++) {
        run.fill();
        for (let i = 0; i < 80; i++) run.step();
        run.engine.keyspace.check();
      }
      expect(run.refused).toBeGreaterThan(0);
    } finally {
      Object.assign(limits, usual);
    }
  }, 300_000);

test("an ordering sorts numbers, in any number and any range", () => {
  const next = random("ordering");
  const ordering = new Ordering();
  for (let round = 0; round < 120; round++) {
    const count = Math.floor(10 ** (next() * 4.7));
    const wanted = next() < 0.5 ? Number.POSITIVE_INFINITY : 1 + Math.floor(next() * count);
    const range = 10 ** (next() * 20 - 3);
    const whole = next() < 0.5;
    const keys = Array.from({ length: count }, () => {
      if (next() < 0.01) return next() < 0.5 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
      const key = (next() - 0.5) * range;
      return whole ? Math.round(key) : key;
    });
    ordering.begin(wanted, null, 0, false);
    for (let i = 0; i < count; i++) ordering.add(keys[i]!, i);
    ordering.sort();
    const due = keys
      .map((_, i) => i)
      .sort((a, b) => (keys[a] === keys[b] ? a - b : keys[a]! < keys[b]! ? -1 : 1));
    const most = Math.min(wanted, count);
    expect(ordering.count).toBeGreaterThanOrEqual(most);
    expect([...ordering.numbers.subarray(0, most)]).toEqual(due.slice(0, most));
    expect([...ordering.keys.subarray(0, most)]).toEqual(due.slice(0, most).map((i) => keys[i]! + 0));
    ordering.clear();
  }
});

test("an ordering puts equal numbers in the order of their texts", () => {
  const next = random("ordering of texts");
  const ordering = new Ordering();
  const texts = new Texts();
  const apart = need(Region.private(65536), "texts of the test");
  const shared = need(Region.shared(65536), "texts of the test");
  for (let round = 0; round < 60; round++) {
    const count = Math.floor(10 ** (next() * 4.3));
    const wanted = next() < 0.5 ? Number.POSITIVE_INFINITY : 1 + Math.floor(next() * count);
    const descending = next() < 0.5;
    const different = 1 + Math.floor(next() * 5);
    const keys: number[] = [];
    const made: string[] = [];
    let at = 0;
    texts.clear();
    ordering.begin(wanted, texts, 0, descending);
    for (let i = 0; i < count; i++) {
      const length = Math.floor(next() * 12);
      const text = Array.from({ length }, () => String.fromCharCode(Math.floor(next() * 2) * 255)).join("");
      made.push(text);
      keys.push(Math.floor(next() * different));
      // In a segment it stays, elsewhere the next is put in its place.
      const inSegment = next() < 0.5 && at + length <= 65536;
      const region = inSegment ? shared : apart;
      region.u8.set(Buffer.from(text, "latin1"), inSegment ? at : 0);
      expect(texts.add(region, inSegment ? at : 0, length)).toBe(true);
      if (inSegment) at += length;
      ordering.add(keys[i]!, i);
    }
    ordering.sort();
    const due = keys
      .map((_, i) => i)
      .sort((a, b) => keys[a]! - keys[b]! || (descending ? -1 : 1) * byBytes(made[a]!, made[b]!) || a - b);
    const most = Math.min(wanted, count);
    expect([...ordering.numbers.subarray(0, most)]).toEqual(due.slice(0, most));
    ordering.clear();
  }
});

test("texts beyond one piece are kept, and given back", () => {
  const texts = new Texts();
  const one = need(Region.private(1 << 20), "a text of the test");
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 40; i++) {
      one.u8.fill(i);
      one.u8[0] = 255 - i;
      expect(texts.add(one, 0, 1_000_000)).toBe(true);
    }
    for (let i = 0; i < 40; i++) {
      texts.take(i);
      expect(texts.bytes).toBe(1_000_000);
      expect(texts.region.u8[texts.start]).toBe(255 - i);
      expect(texts.region.u8[texts.start + 999_999]).toBe(i);
    }
    expect(texts.compare(0, 1)).toBeGreaterThan(0);
    texts.clear();
  }
});
