import { afterEach, expect, test } from "bun:test";
import { keyspaceCommands } from "../../engine/commands/keyspace.ts";
import { setCommands } from "../../engine/commands/sets.ts";
import { sortedSetAlgebraCommands } from "../../engine/commands/sorted-set-algebra.ts";
import { sortedSetRangeCommands } from "../../engine/commands/sorted-set-ranges.ts";
import { sortedSetCommands } from "../../engine/commands/sorted-sets.ts";
import { stringCommands } from "../../engine/commands/strings.ts";
import { Form } from "../../engine/memory/record.ts";
import { limits } from "../../engine/types/limits.ts";
import { SortedSet } from "../../engine/types/sorted-set.ts";
import { Errors } from "../../protocol/errors.ts";
import { Engine } from "../support/engine.ts";
import { random } from "../support/random.ts";

const rows = [
  ...sortedSetCommands,
  ...sortedSetRangeCommands,
  ...sortedSetAlgebraCommands,
  ...setCommands,
  ...keyspaceCommands,
  ...stringCommands,
];
const defaults = { ...limits };
afterEach(() => {
  Object.assign(limits, defaults);
});

const NIL = "$-1\r\n";
const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
const array = (items: readonly string[]): string => `*${items.length}\r\n${items.join("")}`;
const integer = (value: number): string => `:${value}\r\n`;

/** The scores of these tests have short texts. */
function scoreText(score: number): string {
  if (!Number.isFinite(score)) return score < 0 ? "-inf" : "inf";
  return String(score === 0 ? 0 : score);
}

function parseScore(text: string): number {
  const sign = text.startsWith("-") ? -1 : 1;
  return /^[+-]?inf$/.test(text) ? sign * Number.POSITIVE_INFINITY : Number(text);
}

/** Whether a score or member is inside one bound. */
type Inside = (score: number, member: string) => boolean;

function scoreBound(text: string, lower: boolean): Inside {
  const open = text.startsWith("(");
  const bound = parseScore(open ? text.slice(1) : text);
  return (score) => (lower ? score > bound : score < bound) || (!open && score === bound);
}

function memberBound(text: string, lower: boolean): Inside {
  if (text === "-" || text === "+") return () => (text === "-") === lower;
  const bound = text.slice(1);
  return (_, member) => (lower ? member > bound : member < bound) || (text[0] === "[" && member === bound);
}

type Elements = [string, number][];

/** The commands again, over a Map of Maps, with nothing clever. */
class Model {
  readonly keys = new Map<string, Map<string, number>>();

  elements(key: string): Elements {
    return [...(this.keys.get(key) ?? [])].sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1) || 0);
  }

  private drop(key: string, gone: Elements): void {
    const set = this.keys.get(key);
    for (const [member] of gone) set?.delete(member);
    if (set?.size === 0) this.keys.delete(key);
  }

  private put(key: string, elements: Elements): string {
    if (elements.length === 0) this.keys.delete(key);
    else this.keys.set(key, new Map(elements));
    return integer(elements.length);
  }

  private add(key: string, flags: ReadonlySet<string>, pairs: Elements): string {
    const set = this.keys.get(key) ?? new Map<string, number>();
    let added = 0;
    let changed = 0;
    let reply = NIL;
    for (const [member, given] of pairs) {
      const old = set.get(member);
      if (old === undefined ? flags.has("xx") : flags.has("nx")) continue;
      const score = old !== undefined && flags.has("incr") ? old + given : given;
      if (Number.isNaN(score)) return `-${Errors.scoreNotANumber}\r\n`;
      if (old !== undefined && ((flags.has("gt") && score <= old) || (flags.has("lt") && score >= old)))
        continue;
      if (old === undefined) added++;
      else if (old !== score) changed++;
      set.set(member, score);
      reply = bulk(scoreText(score));
    }
    if (set.size > 0) this.keys.set(key, set);
    return flags.has("incr") ? reply : integer(flags.has("ch") ? added + changed : added);
  }

  private between(key: string, by: string, min: string, max: string): Elements {
    const elements = this.elements(key);
    if (by === "rank") {
      const at = (text: string) => (Number(text) < 0 ? elements.length + Number(text) : Number(text));
      return elements.slice(Math.max(0, at(min)), Math.max(0, at(max) + 1));
    }
    const bound = by === "score" ? scoreBound : memberBound;
    const [above, below] = [bound(min, true), bound(max, false)];
    return elements.filter(([member, score]) => above(score, member) && below(score, member));
  }

  private listed(elements: Elements, withScores: boolean): string {
    return array(
      elements.flatMap(([member, score]) =>
        withScores ? [bulk(member), bulk(scoreText(score))] : [bulk(member)],
      ),
    );
  }

  private range(key: string, args: readonly string[]): Elements {
    const [first, second, ...options] = args as [string, string, ...string[]];
    const by = options.includes("byscore") ? "score" : options.includes("bylex") ? "member" : "rank";
    const down = options.includes("rev");
    const swapped = down && by !== "rank";
    let found: Elements;
    if (down && by === "rank") {
      const size = this.elements(key).length;
      const at = (text: string) => (Number(text) < 0 ? size + Number(text) : Number(text));
      found = this.elements(key)
        .reverse()
        .slice(Math.max(0, at(first)), Math.max(0, at(second) + 1));
    } else {
      found = this.between(key, by, swapped ? second : first, swapped ? first : second);
      if (down) found.reverse();
    }
    const limit = options.indexOf("limit");
    if (limit < 0) return found;
    const [offset, count] = [Number(options[limit + 1]), Number(options[limit + 2])];
    if (offset < 0) return [];
    return found.slice(offset, count < 0 ? undefined : offset + count);
  }

  private combine(name: string, args: readonly string[]): Elements {
    const count = Number(args[0]);
    const options = args.slice(count + 1);
    const at = options.indexOf("weights");
    const weights = Array.from({ length: count }, (_, i) => (at < 0 ? 1 : parseScore(options[at + 1 + i]!)));
    const how = options[options.indexOf("aggregate") + 1];
    const sets = args.slice(1, count + 1).map((key, i) => ({ set: this.keys.get(key), weight: weights[i]! }));
    if (name === "zdiff") {
      const first = [...(sets[0]!.set ?? [])];
      return first.filter(([member]) => sets.slice(1).every(({ set }) => !set?.has(member)));
    }
    sets.sort((a, b) => (a.set?.size ?? 0) - (b.set?.size ?? 0));
    const merged = new Map<string, { score: number; of: number }>();
    for (const { set, weight } of sets)
      for (const [member, value] of set ?? []) {
        const there = merged.get(member);
        // In an intersection Redis takes only the first product that is no number as 0.
        const whole = name === "zinter" && there !== undefined;
        const score = Number.isNaN(value * weight) && !whole ? 0 : value * weight;
        if (there === undefined) merged.set(member, { score, of: 1 });
        else {
          there.of++;
          const extreme = options.includes("aggregate") && how !== "sum";
          if (!extreme) there.score = Number.isNaN(there.score + score) ? 0 : there.score + score;
          else if (how === "min" ? score < there.score : score > there.score) there.score = score;
        }
      }
    return [...merged]
      .filter(([, { of }]) => name === "zunion" || of === count)
      .map(([member, { score }]): [string, number] => [member, score]);
  }

  run(args: readonly string[]): string {
    const [name, key, a, b] = args as [string, string, string, string];
    const rest = args.slice(2);
    const set = this.keys.get(key);
    switch (name) {
      case "zadd": {
        const from = rest.findIndex((word) => !["nx", "xx", "gt", "lt", "ch", "incr"].includes(word));
        const pairs: Elements = [];
        for (let i = from; i < rest.length; i += 2) pairs.push([rest[i + 1]!, parseScore(rest[i]!)]);
        return this.add(key, new Set(rest.slice(0, from)), pairs);
      }
      case "zincrby":
        return this.add(key, new Set(["incr"]), [[b, parseScore(a)]]);
      case "zrem": {
        const gone = [...new Set(rest)].filter((member) => set?.has(member));
        this.drop(
          key,
          gone.map((member) => [member, 0]),
        );
        return integer(gone.length);
      }
      case "zcard":
        return integer(set?.size ?? 0);
      case "zmscore":
        return array(rest.map((member) => (set?.has(member) ? bulk(scoreText(set.get(member)!)) : NIL)));
      case "zrank":
      case "zrevrank": {
        const elements = this.elements(key);
        const at = elements.findIndex(([member]) => member === a);
        if (at < 0) return b === undefined ? NIL : "*-1\r\n";
        const rank = integer(name === "zrank" ? at : elements.length - 1 - at);
        return b === undefined ? rank : array([rank, bulk(scoreText(elements[at]![1]))]);
      }
      case "zcount":
        return integer(this.between(key, "score", a, b).length);
      case "zlexcount":
        return integer(this.between(key, "member", a, b).length);
      case "zrange":
        return this.listed(this.range(key, rest), rest.includes("withscores"));
      case "zrangestore":
        return this.put(key, this.range(a, args.slice(3)));
      case "zremrangebyrank":
      case "zremrangebyscore":
      case "zremrangebylex": {
        const by = name === "zremrangebyrank" ? "rank" : name === "zremrangebyscore" ? "score" : "member";
        const gone = this.between(key, by, a, b);
        this.drop(key, gone);
        return integer(gone.length);
      }
      case "zpopmin":
      case "zpopmax": {
        const elements = this.elements(key);
        if (name === "zpopmax") elements.reverse();
        const gone = elements.slice(0, Number(a ?? 1));
        this.drop(key, gone);
        return this.listed(gone, true);
      }
      case "ic.zpopbyscore": {
        const gone = this.between(key, "score", a, b).slice(0, Number(args[5] ?? 1));
        this.drop(key, gone);
        return this.listed(gone, true);
      }
      case "zunionstore":
      case "zinterstore":
      case "zdiffstore":
        return this.put(key, this.combine(name.slice(0, -5), rest));
      case "zintercard": {
        const size = this.combine("zinter", args.slice(1)).length;
        const limit = Number(args.at(-1));
        return integer(args.at(-2) === "limit" && limit > 0 ? Math.min(size, limit) : size);
      }
      default: {
        const found = new Model();
        found.keys.set("result", new Map(this.combine(name, args.slice(1))));
        return this.listed(found.elements("result"), args.includes("withscores"));
      }
    }
  }
}

const keys = ["a", "b", "c", "d", "e"];
const set = new SortedSet();

/** Checks every structure of the keys there are, and that they hold what the model says. */
function compare(engine: Engine, model: Model): void {
  for (const key of keys) {
    const size = engine.run("zcard", key);
    expect(size).toBe(integer(model.keys.get(key)?.size ?? 0));
    expect(engine.run("exists", key)).toBe(integer(model.keys.has(key) ? 1 : 0));
    expect(engine.run("zrange", key, "0", "-1", "withscores")).toBe(
      model.run(["zrange", key, "0", "-1", "withscores"]),
    );
    if (!model.keys.has(key)) continue;
    set.open(engine.call.place);
    set.check();
  }
  engine.keyspace.check();
}

/** Random commands whose members are taken of `pool`. */
function commands(next: () => number, pool: readonly string[], bulky: number): string[] {
  const of = <T>(choices: readonly T[]): T => choices[Math.floor(next() * choices.length)]!;
  const chance = (part: number) => next() < part;
  const score = () =>
    chance(0.03) ? of(["inf", "-inf"]) : String(Math.floor(next() * 60 - 20) / (chance(0.3) ? 2 : 1));
  const rank = () => String(Math.floor(next() * 40 - 20) * (chance(0.2) ? 20 : 1));
  const scoreEnd = () => (chance(0.1) ? of(["-inf", "+inf"]) : (chance(0.3) ? "(" : "") + score());
  const limit = () => (chance(0.5) ? [] : ["limit", of(["0", "1", "3", "-1"]), of(["0", "1", "5", "-1"])]);
  const some = (most: number) => Array.from({ length: 1 + Math.floor(next() * most) }, () => of(pool));
  const [key, other] = [of(keys), of(keys)];
  const sources = () => {
    const names = Array.from({ length: of([1, 2, 2, 3]) }, () => of(keys));
    return [String(names.length), ...names];
  };
  const scoring = (count: number) => [
    ...(chance(0.4)
      ? ["weights", ...Array.from({ length: count }, () => of(["1", "2", "-1", "0", "inf"]))]
      : []),
    ...(chance(0.4) ? ["aggregate", of(["sum", "min", "max"])] : []),
  ];
  const range = () => {
    const rev = chance(0.5) ? ["rev"] : [];
    if (chance(0.5)) return [rank(), rank(), ...rev];
    return [scoreEnd(), scoreEnd(), "byscore", ...rev, ...limit()];
  };
  const pairs = (count: number) => Array.from({ length: count }, () => [score(), of(pool)]).flat();
  const make = of<() => string[]>([
    () => ["zadd", key, ...pairs(bulky)],
    () => ["zadd", key, ...pairs(1)],
    () => ["zadd", key, ...pairs(1)],
    () => ["zadd", key, ...pairs(3)],
    () => ["zadd", key, of(["nx", "xx", "gt", "lt", "ch"]), ...pairs(of([1, 4]))],
    () => ["zadd", key, "xx", of(["gt", "lt"]), "ch", ...pairs(3)],
    () => ["zadd", key, "incr", ...(chance(0.5) ? [of(["nx", "xx", "gt", "lt"])] : []), ...pairs(1)],
    () => ["zincrby", key, score(), of(pool)],
    () => ["zrem", key, ...some(3)],
    () => ["zrem", key, ...some(bulky)],
    () => ["zmscore", key, ...some(4)],
    () => [of(["zrank", "zrevrank"]), key, of(pool), ...(chance(0.5) ? ["withscore"] : [])],
    () => ["zcount", key, scoreEnd(), scoreEnd()],
    () => ["zrange", key, ...range(), ...(chance(0.5) ? ["withscores"] : [])],
    () => ["zrange", key, ...range(), ...(chance(0.5) ? ["withscores"] : [])],
    () => ["zrangestore", key, other, ...range()],
    () => ["zremrangebyrank", key, rank(), String(-1 - Math.floor(next() * 30))],
    () => ["zremrangebyscore", key, scoreEnd(), scoreEnd()],
    () => [of(["zpopmin", "zpopmax"]), key, ...(chance(0.5) ? [of(["0", "1", "2", "7", "90"])] : [])],
    () => [
      "ic.zpopbyscore",
      key,
      scoreEnd(),
      scoreEnd(),
      ...(chance(0.5) ? ["limit", of(["0", "2", "9"])] : []),
    ],
    () => {
      const from = sources();
      return [of(["zunion", "zinter"]), ...from, ...scoring(from.length - 1), "withscores"];
    },
    () => {
      const from = sources();
      return [of(["zunionstore", "zinterstore"]), key, ...from, ...scoring(from.length - 1)];
    },
    () => ["zdiff", ...sources(), "withscores"],
    () => ["zdiffstore", key, ...sources()],
    () => ["zintercard", ...sources(), ...(chance(0.5) ? ["limit", of(["0", "1", "5"])] : [])],
  ]);
  return make();
}

const short = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? String(i * 37) : `m${i}`));
const many = Array.from({ length: 900 }, (_, i) =>
  i % 4 === 0 ? String(i * 7919) : `member:${i}:${"x".repeat(i % 50)}`,
);
const long = [
  ...short.slice(0, 20),
  ...Array.from({ length: 30 }, (_, i) => `${i}:${"L".repeat(100 + i * 11)}`),
];

for (const [name, pool, bulky, entries, count] of [
  ["as the settings are", short, 5, 128, 25_000],
  ["always in pages", short, 5, 0, 25_000],
  ["going over to pages at eight", short, 3, 8, 25_000],
  ["of hundreds of members", many, 60, 128, 20_000],
  ["with long members", long, 4, 128, 15_000],
] as const)
  test(`sorted sets ${name}: ${count} commands do what the model does`, () => {
    const next = random(`sorted sets ${name}`);
    const engine = new Engine(rows);
    const model = new Model();
    limits.sortedSetEntries = entries;
    for (let step = 0; step < count; step++) {
      const args = commands(next, pool, bulky);
      const expected = model.run(args);
      const got = engine.run(...args);
      if (got !== expected) throw new Error(`step ${step}: ${args.join(" ")}\n got ${got}\n due ${expected}`);
      if (step % 500 === 0) compare(engine, model);
    }
    compare(engine, model);
    expect(engine.run("del", ...keys)).toBe(integer(model.keys.size));
    engine.keyspace.check();
  }, 120_000);

test("sorted sets: ranges of members, in both forms", () => {
  const next = random("ranges of members");
  for (const entries of [128, 0]) {
    const engine = new Engine(rows);
    const model = new Model();
    limits.sortedSetEntries = entries;
    const pool = ["", "a", "aa", "ab", "b", "ba", "\xff", "\x00", "1", "10", "2", "c".repeat(80)];
    const end = () => {
      const member = pool[Math.floor(next() * pool.length)]!;
      return next() < 0.2 ? (next() < 0.5 ? "-" : "+") : (next() < 0.5 ? "[" : "(") + member;
    };
    const make: (() => string[])[] = [
      () => ["zadd", "a", "1", pool[Math.floor(next() * pool.length)]!],
      () => ["zadd", "a", "1", pool[Math.floor(next() * pool.length)]!],
      () => ["zlexcount", "a", end(), end()],
      () => ["zrange", "a", end(), end(), "bylex", "limit", "1", "3"],
      () => ["zrange", "a", end(), end(), "bylex", "rev"],
      () => ["zrangestore", "b", "a", end(), end(), "bylex", "rev"],
      () => (next() < 0.2 ? ["zremrangebylex", "a", end(), end()] : ["zcard", "a"]),
    ];
    for (let step = 0; step < 5_000; step++) {
      const args = make[Math.floor(next() * make.length)]!();
      expect([args, engine.run(...args)]).toEqual([args, model.run(args)]);
    }
    compare(engine, model);
  }
});

test("sorted sets: draws are members, and those of a positive count are distinct", () => {
  for (const [entries, size] of [
    [128, 100],
    [0, 100],
    [128, 5_000],
  ] as const) {
    limits.sortedSetEntries = entries;
    const engine = new Engine(rows);
    for (let i = 0; i < size; i++) engine.run("zadd", "z", String(i), `m${i}`);
    const parse = (reply: string) => [...reply.matchAll(/m(\d+)\r\n\$\d+\r\n(\d+)\r\n/g)];
    const seen = new Set<string>();
    for (const count of [1, 2, 10, 40, 99, 100, 101, 1000, 4999, 5000, 6000]) {
      const drawn = parse(engine.run("zrandmember", "z", String(count), "withscores"));
      expect(drawn.length).toBe(Math.min(count, size));
      expect(new Set(drawn.map(([, member]) => member)).size).toBe(drawn.length);
      for (const [, member, score] of drawn) expect(member).toBe(score!);
      const repeated = parse(engine.run("zrandmember", "z", String(-count), "withscores"));
      expect(repeated.length).toBe(count);
      for (const [, member, score] of repeated) {
        expect(member).toBe(score!);
        seen.add(member!);
      }
    }
    expect(seen.size).toBeGreaterThan(size * 0.9); // thousands of draws miss few
    engine.keyspace.check();
  }
});

test("sorted sets: a scan in pages meets what is there throughout, whatever comes and goes", () => {
  const next = random("scans of sorted sets");
  const engine = new Engine(rows);
  for (let i = 0; i < 2_000; i++) engine.run("zadd", "z", String(i % 7), `stays ${i}`);
  for (let round = 0; round < 20; round++) {
    const met = new Set<string>();
    let cursor = "0";
    do {
      const reply = engine.run("zscan", "z", cursor, "count", String(1 + Math.floor(next() * 200)));
      cursor = reply.split("\r\n")[2]!;
      for (const [, member] of reply.matchAll(/(stays \d+)\r\n/g)) met.add(member!);
      for (let i = 0; i < 50; i++) {
        const number = Math.floor(next() * 3_000);
        if (next() < 0.5) engine.run("zadd", "z", String(number), `goes ${number}`);
        else engine.run("zrem", "z", `goes ${number}`);
        engine.run("zincrby", "z", "1", `stays ${Math.floor(next() * 2_000)}`);
      }
    } while (cursor !== "0");
    expect(met.size).toBe(2_000);
  }
  engine.keyspace.check();
});

test("sorted sets: sets count as of score 1, a destination may be a source, and other types are refused", () => {
  const engine = new Engine(rows);
  for (const entries of [128, 0]) {
    limits.sortedSetEntries = entries;
    engine.run("del", "z", "s", "t", "d");
    engine.run("zadd", "z", "2", "a", "3", "5");
    engine.run("sadd", "s", "5", "7");
    engine.run("set", "t", "text");
    const [a, five, seven] = [bulk("a"), bulk("5"), bulk("7")];
    expect(engine.run("zunion", "2", "z", "s", "withscores")).toBe(
      array([seven, bulk("1"), a, bulk("2"), five, bulk("4")]),
    );
    expect(engine.run("zinter", "2", "s", "z", "weights", "10", "1", "withscores")).toBe(
      array([five, bulk("13")]),
    );
    expect(engine.run("zdiff", "2", "s", "z")).toBe(array([seven]));
    expect(engine.run("zunion", "3", "z", "t", "s")).toBe(`-${Errors.wrongType}\r\n`);
    expect(engine.run("zunionstore", "s", "2", "z", "s")).toBe(integer(3));
    expect(engine.run("type", "s")).toBe("+zset\r\n");
    expect(engine.run("zunionstore", "t", "1", "z")).toBe(integer(2));
    expect(engine.run("zinterstore", "z", "2", "z", "none")).toBe(integer(0));
    expect(engine.run("exists", "z")).toBe(integer(0));
    engine.keyspace.check();
  }
});

test("sorted sets: what memory refuses changed nothing, or for ZADD no more than it had done", () => {
  const engine = new Engine(rows, 8 << 20, 1 << 20);
  const refusal = `-${Errors.outOfMemory}\r\n`;
  const member = (i: number) => `${i}:${"m".repeat(2000)}`;
  let size = 0;
  for (; ; size++) {
    const reply = engine.run("zadd", size % 2 === 0 ? "a" : "b", String(size), member(size));
    if (reply === refusal) break;
    expect(reply).toBe(integer(1));
  }
  const half = integer(Math.ceil(size / 2));
  expect(size).toBeGreaterThan(5_000);
  expect(engine.run("zadd", "new", "1", "x".repeat(900_000))).toBe(refusal);
  expect(engine.run("exists", "new")).toBe(integer(0));
  expect(engine.run("zunionstore", "a", "2", "a", "b")).toBe(refusal);
  expect(engine.run("zrangestore", "b", "a", "0", "-1")).toBe(refusal);
  expect(engine.run("zunionstore", "d", "2", "a", "b")).toBe(refusal);
  expect(engine.run("zunion", "2", "a", "b")).toBe(refusal);
  expect(engine.run("exists", "d")).toBe(integer(0));
  expect(engine.run("zcard", "a")).toBe(half);
  engine.keyspace.check();
  set.open(engine.call.place);
  expect(engine.call.place.form).toBe(Form.Pages);
  set.check();
  expect(engine.run("zpopmin", "a", "2").startsWith(`*4\r\n${bulk(member(0))}`)).toBe(true);
  expect(engine.run("zremrangebyrank", "a", "0", "999")).toBe(integer(1000));
  expect(engine.run("zadd", "new", "1", member(0))).toBe(integer(1));
  expect(engine.run("del", "a", "b", "new")).toBe(integer(3));
  engine.keyspace.check();
});
