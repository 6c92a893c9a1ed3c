// sets.test.ts: the set commands against JavaScript's sets, in all three forms, with memory that ends anywhere; and
// how even the draws are.
import { expect, test } from "bun:test";
import { expiryCommands } from "../../engine/commands/expiry.ts";
import { keyspaceCommands } from "../../engine/commands/keyspace.ts";
import { setCommands } from "../../engine/commands/sets.ts";
import { stringCommands } from "../../engine/commands/strings.ts";
import { Form, Type } from "../../engine/memory/record.ts";
import { Place } from "../../engine/shard/place.ts";
import { limits } from "../../engine/types/limits.ts";
import { MemberSet } from "../../engine/types/set.ts";
import { Errors } from "../../protocol/errors.ts";
import { Engine } from "../support/engine.ts";
import { random } from "../support/random.ts";

const rows = [...setCommands, ...keyspaceCommands, ...expiryCommands, ...stringCommands];
const OOM = `-${Errors.outOfMemory}\r\n`;
const WRONG = `-${Errors.wrongType}\r\n`;
const usual = { ...limits };

/** The bulk strings of a reply, whatever holds them. */
function bulks(reply: string): string[] {
  const found: string[] = [];
  for (let at = 0; at < reply.length; ) {
    const end = reply.indexOf("\r\n", at);
    const length = Number(reply.slice(at + 1, end));
    at = end + 2;
    if (reply[end - String(length).length - 1] !== "$" || length < 0) continue;
    found.push(reply.slice(at, at + length));
    at += length + 2;
  }
  return found;
}

function sorted(values: Iterable<string>): string[] {
  return [...values].sort();
}

function isInteger(text: string): boolean {
  return /^(0|-?[1-9]\d*)$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);
}

/** The keys with a deadline are in `due`; "text" is a string. */
class Model {
  readonly sets = new Map<string, Set<string>>();
  readonly due = new Set<string>();

  put(key: string, members: Iterable<string>): void {
    const set = new Set(members);
    this.due.delete(key);
    if (set.size > 0) this.sets.set(key, set);
    else this.sets.delete(key);
  }

  get(key: string): Set<string> {
    return this.sets.get(key) ?? new Set();
  }

  tidy(key: string): void {
    if (this.get(key).size > 0) return;
    this.sets.delete(key);
    this.due.delete(key);
  }

  combine(operation: string, keys: readonly string[]): string[] {
    const sets = keys.map((key) => this.get(key));
    if (operation === "sunion") return [...new Set(sets.flatMap((set) => [...set]))];
    const [first, ...rest] = sets;
    const wanted = operation === "sinter";
    return [...first!].filter((member) => rest.every((set) => set.has(member) === wanted));
  }
}

const keys = ["a", "b", "c", "d", "e", "f"];

class Run {
  readonly engine = new Engine(rows, 8 << 20, 16 << 20);
  readonly model = new Model();
  readonly set = new MemberSet();
  readonly place = new Place(this.engine.keyspace.shards[0]!);
  readonly pool: string[] = [];
  /** How often a key was met in each form. */
  readonly forms = [0, 0, 0, 0];
  /** Allocations until memory is out. */
  left = Number.POSITIVE_INFINITY;

  constructor(readonly next: () => number) {
    for (let i = -20; i < 40; i++) this.pool.push(String(i));
    for (const power of [7n, 8n, 15n, 16n, 31n, 32n, 52n, 53n, 54n, 62n, 63n])
      for (let offset = -2n; offset <= 2n; offset++)
        for (const sign of [1n, -1n]) this.pool.push(String(sign * (2n ** power + offset)));
    for (let i = 0; i < 60; i++) this.pool.push(`member:${i}`);
    this.pool.push("", "01", "-0", "+1", "1 ", "9".repeat(20), "\xff\0\r\n");
    for (const length of [63, 64, 65, 126, 127, 128, 199, 200, 5000, 70_000])
      this.pool.push("x".repeat(length));
    this.engine.run("set", "text", "v");
    const { allocator } = this.engine.keyspace.shards[0]!;
    const allocate = allocator.allocate.bind(allocator);
    allocator.allocate = (bytes) => (this.left-- > 0 ? allocate(bytes) : 0);
  }

  of<T>(values: readonly T[]): T {
    return values[Math.floor(this.next() * values.length)]!;
  }

  key(): string {
    return this.next() < 0.03 ? "text" : this.of(keys);
  }

  /** A member, out of a part of the pool that is the key's own more often than not. */
  member(key: string): string {
    const range = 20 + (key.charCodeAt(0) % 5) * 60;
    return this.pool[Math.floor(this.next() ** 2 * Math.min(range, this.pool.length))]!;
  }

  several(key: string): string[] {
    const count = this.next() < 0.1 ? Math.floor(this.next() * 60) : 1 + Math.floor(this.next() * 3);
    return Array.from({ length: Math.max(1, count) }, () => this.member(key));
  }

  sources(): string[] {
    const count = this.next() < 0.1 ? 10 : 1 + Math.floor(this.next() * 4);
    return Array.from({ length: count }, () => this.key());
  }

  /** What the keyspace holds is what the model says. */
  compare(names: readonly string[] = keys): void {
    const { engine, model, set, place } = this;
    for (const name of names) {
      const members = model.get(name);
      expect(sorted(bulks(engine.run("smembers", name)))).toEqual(sorted(members));
      expect(engine.run("scard", name)).toBe(`:${members.size}\r\n`);
      expect(engine.run("exists", name)).toBe(members.size > 0 ? ":1\r\n" : ":0\r\n");
      if (members.size === 0) continue;
      expect(engine.run("pttl", name) !== ":-1\r\n").toBe(model.due.has(name));
      engine.run("scard", name);
      expect(engine.call.findPlace(1, place)).toBe(true);
      set.open(place);
      set.check();
      this.forms[place.form]!++;
      if (place.form === Form.Integers) for (const member of members) expect(isInteger(member)).toBe(true);
    }
  }

  step(): string[] {
    const { engine, model } = this;
    const key = this.key();
    const wrong = (names: readonly string[]) => names.includes("text");
    const reply = (command: readonly string[], expected: string) => {
      const answer = engine.run(...command);
      if (answer !== expected)
        expect({ command, answer }).toEqual({ command: [...command], answer: expected });
      return [...command];
    };
    const number = (value: number) => `:${value}\r\n`;
    const kind = Math.floor(this.next() * 100);
    if (kind < 25) {
      const members = this.several(key);
      const before = new Set(model.get(key));
      const command = ["sadd", key, ...members];
      const answer = engine.run(...command);
      if (wrong([key])) expect(answer).toBe(WRONG);
      else {
        const after = new Set([...before, ...members]);
        if (answer !== OOM) expect(answer).toBe(number(after.size - before.size));
        // Refused in the middle, it leaves a beginning of what was asked for.
        const kept = answer === OOM ? new Set(bulks(engine.run("smembers", key))) : after;
        for (const member of before) expect(kept.has(member)).toBe(true);
        for (const member of kept) expect(after.has(member)).toBe(true);
        const due = model.due.has(key);
        model.put(key, kept);
        if (due) model.due.add(key);
      }
      return command;
    }
    if (kind < 38) {
      const members = this.several(key);
      const set = model.get(key);
      const removed = new Set(members.filter((member) => set.has(member)));
      const expected = wrong([key]) ? WRONG : number(removed.size);
      for (const member of removed) set.delete(member);
      model.tidy(key);
      return reply(["srem", key, ...members], expected);
    }
    if (kind < 48) {
      const member = this.member(key);
      return reply(
        ["sismember", key, member],
        wrong([key]) ? WRONG : number(model.get(key).has(member) ? 1 : 0),
      );
    }
    if (kind < 50) {
      const members = this.several(key);
      const each = members.map((member) => number(model.get(key).has(member) ? 1 : 0)).join("");
      return reply(["smismember", key, ...members], wrong([key]) ? WRONG : `*${members.length}\r\n${each}`);
    }
    if (kind < 58) {
      const target = this.key();
      const from = model.get(key);
      const member = this.next() < 0.7 && from.size > 0 ? this.of([...from]) : this.member(key);
      const command = ["smove", key, target, member];
      const answer = engine.run(...command);
      if (wrong([key]) || (from.size > 0 && wrong([target]))) expect(answer).toBe(WRONG);
      else if (answer !== OOM) {
        expect(answer).toBe(number(from.has(member) ? 1 : 0));
        if (from.has(member) && key !== target) {
          from.delete(member);
          model.tidy(key);
          const due = model.due.has(target);
          model.put(target, [...model.get(target), member]);
          if (due) model.due.add(target);
        }
      }
      return command;
    }
    if (kind < 68) {
      const count = this.next() < 0.3 ? 1 : Math.floor(this.next() * (model.get(key).size + 3));
      const bare = this.next() < 0.3;
      const command = bare ? ["spop", key] : ["spop", key, String(count)];
      const answer = engine.run(...command);
      if (wrong([key])) {
        expect(answer).toBe(WRONG);
        return command;
      }
      const set = model.get(key);
      const taken = bulks(answer);
      expect(taken.length).toBe(Math.min(set.size, bare ? 1 : count));
      if (bare && set.size === 0) expect(answer).toBe("$-1\r\n");
      for (const member of taken) expect(set.delete(member)).toBe(true);
      model.tidy(key);
      return command;
    }
    if (kind < 74) {
      const set = model.get(key);
      const count = Math.floor((this.next() - 0.4) * 2 * (set.size + 2));
      const command = ["srandmember", key, String(count)];
      const answer = engine.run(...command);
      if (wrong([key])) expect(answer).toBe(WRONG);
      else {
        const drawn = bulks(answer);
        expect(drawn.length).toBe(
          count < 0 && set.size > 0 ? -count : Math.min(Math.max(0, count), set.size),
        );
        for (const member of drawn) expect(set.has(member)).toBe(true);
        if (count > 0) expect(new Set(drawn).size).toBe(drawn.length);
      }
      return command;
    }
    if (kind < 84) {
      const operation = this.of(["sinter", "sunion", "sdiff"]);
      const names = this.sources();
      const command = [operation, ...names];
      const answer = engine.run(...command);
      if (wrong(names)) expect(answer).toBe(WRONG);
      else if (answer !== OOM) {
        const members = model.combine(operation, names);
        expect(answer.slice(0, answer.indexOf("\r"))).toBe(`*${members.length}`);
        expect(sorted(bulks(answer))).toEqual(sorted(members));
      }
      return command;
    }
    if (kind < 94) {
      const operation = this.of(["sinter", "sunion", "sdiff"]);
      const names = this.sources();
      const target = this.of(keys);
      const command = [`${operation}store`, target, ...names];
      const answer = engine.run(...command);
      if (wrong(names)) expect(answer).toBe(WRONG);
      else if (answer !== OOM) {
        const members = model.combine(operation, names);
        expect(answer).toBe(number(members.length));
        model.put(target, members);
      }
      return command;
    }
    if (kind < 96) {
      const names = this.sources();
      const limit = Math.floor(this.next() * 5);
      const size = model.combine("sinter", names).length;
      return reply(
        ["sintercard", String(names.length), ...names, "limit", String(limit)],
        wrong(names) ? WRONG : number(limit === 0 ? size : Math.min(limit, size)),
      );
    }
    if (kind < 98) {
      const members: string[] = [];
      let cursor = "0";
      do {
        const [to, ...page] = bulks(engine.run("sscan", this.of(keys.slice(0, 1)), cursor, "count", "3"));
        members.push(...page);
        cursor = to!;
      } while (cursor !== "0");
      expect(sorted(members)).toEqual(sorted(model.get("a")));
      return ["sscan"];
    }
    if (kind < 99 && !wrong([key])) {
      // It may need memory for a longer record.
      if (engine.run("pexpire", key, "1000000000") === ":1\r\n") model.due.add(key);
      return ["pexpire", key];
    }
    if (!wrong([key])) {
      engine.run("del", key);
      model.put(key, []);
    }
    return ["del", key];
  }
}

const settings: readonly Partial<typeof limits>[] = [
  {},
  { setIntegers: 12, setEntries: 8 },
  { setIntegers: 0, setEntries: 0 },
  { setIntegers: 4, setEntries: 100_000, setValueBytes: 100_000 },
  { setIntegers: 30, setEntries: 40, setValueBytes: 3 },
];

for (const [number, some] of settings.entries())
  test(`sets: commands against a model, with the limits ${JSON.stringify(some)}`, () => {
    Object.assign(limits, usual, some);
    try {
      const run = new Run(random(`sets ${number}`));
      for (let step = 0; step < 25_000; step++) {
        const command = run.step();
        const touched = command.slice(1).filter((word) => keys.includes(word));
        if (step % 7 === 0) run.compare(touched);
        if (step % 2_000 === 0) {
          run.compare();
          run.engine.keyspace.check();
        }
      }
      run.compare();
      expect(run.forms[Form.Pages]).toBeGreaterThan(100);
      for (const key of [...keys, "text"]) run.engine.run("del", key);
      const shard = run.engine.keyspace.shards[0]!;
      while (shard.reclaimable) shard.reclaimStep(1 << 20);
      run.engine.keyspace.check();
    } finally {
      Object.assign(limits, usual);
    }
  }, 120_000);

test("sets: memory that ends anywhere changes nothing, and loses nothing", () => {
  Object.assign(limits, usual, { setIntegers: 12, setEntries: 8 });
  try {
    const run = new Run(random("sets without memory"));
    let refused = 0;
    for (let step = 0; step < 20_000; step++) {
      run.left = run.next() < 0.5 ? Math.floor(run.next() * 6) : Number.POSITIVE_INFINITY;
      run.step();
      if (run.left < 0) refused++;
      run.left = Number.POSITIVE_INFINITY;
      if (step % 3 === 0) run.compare();
    }
    expect(refused).toBeGreaterThan(300);
    run.engine.keyspace.check();
    const shard = run.engine.keyspace.shards[0]!;
    for (const key of [...keys, "text"]) run.engine.run("del", key);
    while (shard.reclaimable) shard.reclaimStep(1 << 20);
    const { liveBytes } = shard.allocator;
    // What is left is the index's own: a second time round it is no more.
    for (const key of keys) run.engine.run("sadd", key, ...Array.from({ length: 500 }, (_, i) => `m${i}`));
    run.engine.run("sunionstore", "a", ...keys);
    for (const key of keys) run.engine.run("del", key);
    while (shard.reclaimable) shard.reclaimStep(1 << 20);
    expect(shard.allocator.liveBytes).toBe(liveBytes);
  } finally {
    Object.assign(limits, usual);
  }
}, 120_000);

test("sets: what is present throughout a scan is met, while the set moves from form to form", () => {
  const next = random("sets scanned");
  for (let round = 0; round < 40; round++) {
    const engine = new Engine(rows, 8 << 20, 16 << 20);
    const stay = Array.from({ length: 1 + Math.floor(next() * 300) }, (_, i) => String(i));
    engine.run("sadd", "s", ...stay);
    const met = new Set<string>();
    let cursor = "0";
    do {
      const [to, ...members] = bulks(engine.run("sscan", "s", cursor, "count", "7"));
      for (const member of members) met.add(member);
      cursor = to!;
      const passing = Array.from({ length: Math.floor(next() * 400) }, (_, i) => `p${round}:${i}`);
      if (passing.length > 0) engine.run(next() < 0.5 ? "sadd" : "srem", "s", ...passing);
    } while (cursor !== "0");
    for (const member of stay) expect(met.has(member)).toBe(true);
  }
});

test("sets: operations on sets of thousands", () => {
  const engine = new Engine(rows, 8 << 20, 16 << 20);
  const next = random("large sets");
  for (let round = 0; round < 5; round++) {
    const sets = [0, 1, 2].map(() => {
      const from = Math.floor(next() * 4_000);
      return Array.from({ length: 3_000 + Math.floor(next() * 3_000) }, (_, i) => `member:${from + i}`);
    });
    engine.run("del", "0", "1", "2", "d");
    for (const [key, members] of sets.entries()) engine.run("sadd", String(key), ...members);
    const model = new Model();
    for (const [key, members] of sets.entries()) model.put(String(key), members);
    for (const operation of ["sinter", "sunion", "sdiff"]) {
      const expected = sorted(model.combine(operation, ["0", "1", "2"]));
      expect(sorted(bulks(engine.run(operation, "0", "1", "2")))).toEqual(expected);
      expect(engine.run(`${operation}store`, "d", "0", "1", "2")).toBe(`:${expected.length}\r\n`);
      expect(sorted(bulks(engine.run("smembers", "d")))).toEqual(expected);
    }
    engine.run("sunionstore", "d", "0", "1");
    const left = new Set(model.combine("sunion", ["0", "1"]));
    while (left.size > 0) {
      const taken = bulks(engine.run("spop", "d", String(1 + Math.floor(next() * left.size * 1.1))));
      for (const member of taken) expect(left.delete(member)).toBe(true);
      expect(sorted(bulks(engine.run("smembers", "d")))).toEqual(sorted(left));
    }
    engine.keyspace.check();
  }
});

test("sets: draws are even, in every form", () => {
  const engine = new Engine(rows);
  const drawn = (key: string, ...command: string[]) => {
    const times = new Map<string, number>();
    for (let round = 0; round < 400; round++)
      for (const member of bulks(engine.run("srandmember", key, ...command)))
        times.set(member, (times.get(member) ?? 0) + 1);
    return times;
  };
  const forms: [string, string[]][] = [
    ["integers", Array.from({ length: 100 }, (_, i) => String(i))],
    ["packed", Array.from({ length: 100 }, (_, i) => `m${i}`)],
    ["pages", Array.from({ length: 200 }, (_, i) => `m${i}`)],
  ];
  for (const [key, members] of forms) {
    engine.run("sadd", key, ...members);
    for (const count of [10, 50, 90, -50]) {
      const times = drawn(key, String(count));
      const share = (400 * Math.abs(count)) / members.length;
      expect([...times.values()].reduce((a, b) => a + b)).toBe(400 * Math.abs(count));
      // The draw from pages is even over hashes and not quite over members.
      const most = key === "pages" && (count === 50 || count < 0 || count === 10) ? 3 : 1;
      for (const member of members)
        expect(Math.abs((times.get(member) ?? 0) - share)).toBeLessThan((7 * Math.sqrt(share) + 3) * most);
    }
  }
});

test("sets: a pop of nearly all leaves a small set, with its deadline", () => {
  const engine = new Engine(rows);
  const members = Array.from({ length: 5_000 }, (_, i) => `m${i}`);
  engine.run("sadd", "s", ...members);
  engine.run("pexpire", "s", "5000");
  const taken = bulks(engine.run("spop", "s", "4990"));
  expect(new Set(taken).size).toBe(4990);
  expect(engine.run("pttl", "s")).toBe(":5000\r\n");
  expect(sorted([...taken, ...bulks(engine.run("smembers", "s"))])).toEqual(sorted(members));
  const place = new Place(engine.keyspace.shards[0]!);
  engine.run("scard", "s");
  expect(engine.call.findPlace(1, place)).toBe(true);
  expect(place.type).toBe(Type.Set);
  expect(place.form).toBe(Form.Packed);
  engine.keyspace.check();
});
