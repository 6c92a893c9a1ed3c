// blocking-model.ts: lists, sorted sets and clients that wait for them, as plainly as can be: what each command replies, who
// is served by it, with what and in which order. Redis 7.2's rules: waiters of a key in the order in which they came, a
// command that is served runs afresh over its keys, keys of another type are passed over, and what becomes ready on
// the way is served last.
// Neighbours: tests/property/waiters.test.ts holds the engine against it.

type Value =
  | { readonly kind: "list"; items: string[] }
  | { readonly kind: "zset"; items: [number, string][] }
  | { readonly kind: "string" };

export type Words = readonly string[];

export const wrongType = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
const array = (...items: string[]): string => `*${items.length}\r\n${items.join("")}`;
const integer = (value: number): string => `:${value}\r\n`;
const double = (value: number, resp3: boolean): string => (resp3 ? `,${value}\r\n` : bulk(`${value}`));

interface Waiter {
  readonly who: number;
  readonly db: number;
  readonly resp3: boolean;
  readonly words: Words;
}

export class Model {
  /** Replies to those who were served since this was last emptied, by who waited. */
  readonly served = new Map<number, string>();
  private readonly databases = [new Map<string, Value>(), new Map<string, Value>()];
  private waiters: Waiter[] = [];
  /** Databases and keys that may have something for somebody. */
  private ready: [number, string][] = [];

  /** What a command replies; null: `who` waits. */
  run(who: number, db: number, resp3: boolean, words: Words): string | null {
    const reply = this.plain(db, words) ?? this.pop(db, resp3, words, false);
    if (reply === null) this.waiters.push({ who, db, resp3, words });
    return reply;
  }

  /** The same within a transaction, where nobody waits. */
  runQueued(db: number, resp3: boolean, words: Words): string {
    const reply = this.plain(db, words) ?? this.pop(db, resp3, words, false);
    return reply ?? Model.inVain(resp3, words);
  }

  /** What a command in a transaction replies that would have to wait. */
  private static inVain(resp3: boolean, words: Words): string {
    if (words[0] === "WAIT") return integer(0);
    if (resp3) return "_\r\n";
    return words[0] === "BLMOVE" ? "$-1\r\n" : "*-1\r\n";
  }

  /** The command or transaction is done: who waits for what it made ready is served. */
  serve(): void {
    for (let next = this.ready.shift(); next !== undefined; next = this.ready.shift()) {
      const [db, key] = next;
      for (const waiter of [...this.waiters]) {
        if (waiter.db !== db || !keysOf(waiter.words).includes(key)) continue;
        const value = this.databases[db]!.get(key);
        if (value === undefined) break;
        if (value.kind !== kindOf(waiter.words)) continue;
        this.waiters = this.waiters.filter((each) => each !== waiter);
        const reply = this.pop(db, waiter.resp3, waiter.words, true);
        if (reply === null) throw new Error("a ready key serves");
        this.served.set(waiter.who, reply);
      }
    }
  }

  waits(who: number): boolean {
    return this.waiters.some((waiter) => waiter.who === who);
  }

  /** Somebody waits no more. Whether they did. */
  forget(who: number): boolean {
    const before = this.waiters.length;
    this.waiters = this.waiters.filter((waiter) => waiter.who !== who);
    return this.waiters.length < before;
  }

  /** Whether it does not matter in which order the waited keys of two databases are looked at. */
  get swappable(): boolean {
    return this.waiters.every(({ words }) => words[0] !== "BLMOVE" && new Set(keysOf(words)).size <= 1);
  }

  private put(db: number, key: string, value: Value): void {
    this.databases[db]!.set(key, value);
    this.tell(db, key);
  }

  private tell(db: number, key: string): void {
    if (!this.ready.some((each) => each[0] === db && each[1] === key)) this.ready.push([db, key]);
  }

  /** Commands that never wait; undefined for others. */
  private plain(db: number, words: Words): string | undefined {
    const data = this.databases[db]!;
    const [name, key = "", ...rest] = words;
    const value = data.get(key);
    switch (name) {
      case "SET":
        data.set(key, { kind: "string" });
        return "+OK\r\n";
      case "DEL":
        return integer(data.delete(key) ? 1 : 0);
      case "LPUSH":
      case "RPUSH": {
        if (value !== undefined && value.kind !== "list") return wrongType;
        const items = value?.items ?? [];
        if (name === "RPUSH") items.push(...rest);
        else items.unshift(...rest.toReversed());
        this.put(db, key, { kind: "list", items });
        return integer(items.length);
      }
      case "ZADD": {
        if (value !== undefined && value.kind !== "zset") return wrongType;
        const items = value?.items ?? [];
        const before = items.length;
        const score = Number(rest[0]);
        const old = items.find((item) => item[1] === rest[1]!);
        if (old !== undefined && old[0] === score) return integer(0);
        const kept = items.filter((item) => item !== old);
        kept.push([score, rest[1]!]);
        kept.sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1));
        this.put(db, key, { kind: "zset", items: kept });
        return integer(kept.length - before);
      }
      case "RENAME": {
        if (value === undefined) return "-ERR no such key\r\n";
        if (rest[0] === key) return "+OK\r\n";
        data.delete(key);
        this.put(db, rest[0]!, value);
        return "+OK\r\n";
      }
      case "MOVE": {
        const to = Number(rest[0]);
        if (to === db) return "-ERR source and destination objects are the same\r\n";
        if (value === undefined || this.databases[to]!.has(key)) return integer(0);
        data.delete(key);
        this.put(to, key, value);
        return integer(1);
      }
      case "SWAPDB": {
        const [first, second] = this.databases;
        this.databases.splice(0, 2, second!, first!);
        for (const { db: of, words: waiting } of this.waiters)
          for (const each of keysOf(waiting)) this.tell(of, each);
        return "+OK\r\n";
      }
      default:
        return undefined;
    }
  }

  /** Commands that may wait; null when they have to. When `serving`, keys of another type are passed over. */
  private pop(db: number, resp3: boolean, words: Words, serving: boolean): string | null {
    const data = this.databases[db]!;
    const [name] = words;
    const kind = kindOf(words);
    for (const key of keysOf(words)) {
      const value = data.get(key);
      if (value === undefined) continue;
      if (value.kind !== kind) {
        if (serving) continue;
        return wrongType;
      }
      if (name === "BLMOVE") return this.move(db, words, value.items as string[]);
      if (value.kind === "list") {
        const several = name === "BLMPOP";
        const taken = take(
          value.items,
          name === "BRPOP" || words.at(-3) === "RIGHT",
          several ? countOf(words) : 1,
        );
        if (value.items.length === 0) data.delete(key);
        return array(bulk(key), several ? array(...taken.map(bulk)) : bulk(taken[0]!));
      }
      if (value.kind !== "zset") throw new Error("strings are of no use here");
      const several = name === "BZMPOP";
      const taken = take(
        value.items,
        name === "BZPOPMAX" || words.at(-3) === "MAX",
        several ? countOf(words) : 1,
      );
      if (value.items.length === 0) data.delete(key);
      const text = ([score, member]: [number, string]) => [bulk(member), double(score, resp3)];
      if (!several) return array(bulk(key), ...text(taken[0]!));
      return array(bulk(key), array(...taken.map((item) => array(...text(item)))));
    }
    return null;
  }

  private move(db: number, words: Words, items: string[]): string {
    const data = this.databases[db]!;
    const [, source = "", destination = "", from, to] = words;
    const there = data.get(destination);
    if (there !== undefined && there.kind !== "list") return wrongType;
    const [item = ""] = take(items, from === "RIGHT", 1);
    const target = there?.items ?? [];
    if (to === "RIGHT") target.push(item);
    else target.unshift(item);
    this.put(db, destination, { kind: "list", items: target });
    if (items.length === 0 && source !== destination) data.delete(source);
    return bulk(item);
  }
}

/** The keys that a waiting command looks at. */
function keysOf(words: Words): readonly string[] {
  switch (words[0]) {
    case "WAIT":
      return [];
    case "BLMOVE":
      return words.slice(1, 2);
    case "BLMPOP":
    case "BZMPOP":
      return words.slice(3, 3 + Number(words[2]));
    default:
      return words.slice(1, -1);
  }
}

function kindOf(words: Words): "list" | "zset" {
  return words[0]!.startsWith("BZ") ? "zset" : "list";
}

function countOf(words: Words): number {
  return Number(words.at(-1));
}

function take<Item>(items: Item[], fromEnd: boolean, count: number): Item[] {
  const most = Math.min(count, items.length);
  return fromEnd ? items.splice(items.length - most).toReversed() : items.splice(0, most);
}
