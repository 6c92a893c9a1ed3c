import { expect, test } from "bun:test";
import { expiryCommands } from "../../engine/commands/expiry.ts";
import { keyspaceCommands } from "../../engine/commands/keyspace.ts";
import { stringCommands } from "../../engine/commands/strings.ts";
import { Engine } from "../support/engine.ts";
import { random } from "../support/random.ts";

const rows = [...keyspaceCommands, ...expiryCommands, ...stringCommands];

interface Entry {
  value: string;
  deadline: number;
}

/** The keyspace as maps, one a database, with a clock of its own. */
class Model {
  nowMs = 0;
  db = 0;
  readonly databases = Array.from({ length: 16 }, () => new Map<string, Entry>());

  live(key: string, db = this.db): Entry | undefined {
    const entry = this.databases[db]!.get(key);
    return entry !== undefined && (entry.deadline === 0 || entry.deadline > this.nowMs) ? entry : undefined;
  }

  names(db = this.db): string[] {
    return [...this.databases[db]!.keys()].filter((key) => this.live(key, db) !== undefined).sort();
  }

  remove(key: string): number {
    const had = this.live(key) !== undefined;
    this.databases[this.db]!.delete(key);
    return had ? 1 : 0;
  }

  rename(key: string, to: string, onlyNew: boolean): string {
    const entry = this.live(key);
    if (entry === undefined) return "-ERR no such key\r\n";
    if (key === to) return onlyNew ? ":0\r\n" : "+OK\r\n";
    if (onlyNew && this.live(to) !== undefined) return ":0\r\n";
    this.databases[this.db]!.set(to, entry).delete(key);
    return onlyNew ? ":1\r\n" : "+OK\r\n";
  }

  copy(key: string, to: string, db: number, replace: boolean): string {
    const entry = this.live(key);
    if (key === to && db === this.db) return "-ERR source and destination objects are the same\r\n";
    if (entry === undefined || (!replace && this.live(to, db) !== undefined)) return ":0\r\n";
    this.databases[db]!.set(to, { ...entry });
    return ":1\r\n";
  }

  move(key: string, db: number): string {
    const entry = this.live(key);
    if (db === this.db) return "-ERR source and destination objects are the same\r\n";
    if (entry === undefined || this.live(key, db) !== undefined) return ":0\r\n";
    this.databases[db]!.set(key, entry);
    this.databases[this.db]!.delete(key);
    return ":1\r\n";
  }

  expire(key: string, deadline: number, condition: string): number {
    const entry = this.live(key);
    if (entry === undefined) return 0;
    const old = entry.deadline === 0 ? Number.POSITIVE_INFINITY : entry.deadline;
    if (condition === "NX" && entry.deadline !== 0) return 0;
    if (condition === "XX" && entry.deadline === 0) return 0;
    if (condition === "GT" && !(deadline > old)) return 0;
    if (condition === "LT" && !(deadline < old)) return 0;
    if (deadline <= this.nowMs) this.databases[this.db]!.delete(key);
    else entry.deadline = deadline;
    return 1;
  }
}

/** The bulk strings of an array of them (keys here hold no CR LF). */
function bulks(reply: string): string[] {
  const lines = reply.split("\r\n");
  const items: string[] = [];
  for (let i = 1; i < lines.length - 1; i += 2) items.push(lines[i + 1]!);
  return items;
}

/** All keys that a SCAN to its end yields, repeats included. */
function scanAll(engine: Engine, ...options: string[]): string[] {
  const seen: string[] = [];
  let cursor = "0";
  for (let pages = 0; pages < 100_000; pages++) {
    const reply = engine.run("SCAN", cursor, ...options);
    const match = /^\*2\r\n\$[0-9]+\r\n([0-9]+)\r\n(.*)$/s.exec(reply)!;
    cursor = match[1]!;
    expect(Number(cursor)).toBeLessThan(2 ** 53);
    seen.push(...bulks(match[2]!));
    if (cursor === "0") return seen;
  }
  throw new Error("the cursor never came back to 0");
}

test("keyspace: agrees with maps after any history of naming, copying, expiring and waiting", () => {
  const next = random("keyspace");
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!;
  const engine = new Engine(rows);
  const model = new Model();
  model.nowMs = engine.clock.nowMs;
  const names = Array.from({ length: 24 }, (_, i) => (i % 7 === 0 ? `k${i}`.padEnd(300, "+") : `k${i}`));
  const ask = (...args: string[]) => engine.run(...args);
  for (let step = 0; step < 60_000; step++) {
    const key = pick(names);
    const other = pick(names);
    const db = Math.floor(next() * 3);
    switch (Math.floor(next() * 20)) {
      case 0:
      case 1:
      case 2: {
        const value = pick(["", "1", "x".repeat(44), "y".repeat(45), "z".repeat(Math.floor(next() * 3000))]);
        const ms = next() < 0.5 ? 0 : 1 + Math.floor(next() * 500);
        ask("SET", key, value, ...(ms === 0 ? [] : ["PX", String(ms)]));
        model.databases[model.db]!.set(key, { value, deadline: ms === 0 ? 0 : model.nowMs + ms });
        break;
      }
      case 3:
        expect(ask(pick(["DEL", "UNLINK"]), key, other, key)).toBe(
          `:${model.remove(key) + model.remove(other)}\r\n`,
        );
        break;
      case 4: {
        const count = [key, other, key].filter((each) => model.live(each) !== undefined).length;
        expect(ask(pick(["EXISTS", "TOUCH"]), key, other, key)).toBe(`:${count}\r\n`);
        break;
      }
      case 5:
        expect(ask("RENAME", key, other)).toBe(model.rename(key, other, false));
        break;
      case 6:
        expect(ask("RENAMENX", key, other)).toBe(model.rename(key, other, true));
        break;
      case 7: {
        const replace = next() < 0.5;
        const reply = ask("COPY", key, other, "DB", String(db), ...(replace ? ["REPLACE"] : []));
        expect(reply).toBe(model.copy(key, other, db, replace));
        break;
      }
      case 8:
        expect(ask("MOVE", key, String(db))).toBe(model.move(key, db));
        break;
      case 9:
      case 10: {
        const condition = pick(["", "NX", "XX", "GT", "LT"]);
        const at = model.nowMs + Math.floor(next() * 900) - 100;
        const reply = ask("PEXPIREAT", key, String(at), ...(condition === "" ? [] : [condition]));
        expect(reply).toBe(`:${model.expire(key, at, condition)}\r\n`);
        break;
      }
      case 11: {
        const entry = model.live(key);
        expect(ask("PERSIST", key)).toBe(entry !== undefined && entry.deadline !== 0 ? ":1\r\n" : ":0\r\n");
        if (entry !== undefined) entry.deadline = 0;
        break;
      }
      case 12: {
        const entry = model.live(key);
        const left = entry === undefined ? -2 : entry.deadline === 0 ? -1 : entry.deadline - model.nowMs;
        expect(ask("PTTL", key)).toBe(`:${left}\r\n`);
        expect(ask("TTL", key)).toBe(`:${left < 0 ? left : Math.floor((left + 500) / 1000)}\r\n`);
        const at = entry === undefined ? -2 : entry.deadline === 0 ? -1 : entry.deadline;
        expect(ask("PEXPIRETIME", key)).toBe(`:${at}\r\n`);
        expect(ask("TYPE", key)).toBe(entry === undefined ? "+none\r\n" : "+string\r\n");
        break;
      }
      case 13:
        engine.clock.nowMs += Math.floor(next() * 120);
        model.nowMs = engine.clock.nowMs;
        break;
      case 14:
        engine.session.db = model.db = db;
        break;
      case 15: {
        const entry = model.live(key);
        const due = entry === undefined ? "$-1\r\n" : `$${entry.value.length}\r\n${entry.value}\r\n`;
        expect(ask("GET", key)).toBe(due);
        break;
      }
      case 16:
        if (next() < 0.3) {
          expect(ask("SWAPDB", "0", String(db))).toBe("+OK\r\n");
          const zero = model.databases[0]!;
          model.databases[0] = model.databases[db]!;
          model.databases[db] = zero;
        }
        break;
      case 17:
        if (next() < 0.05) {
          ask("FLUSHDB");
          model.databases[model.db]!.clear();
        }
        break;
      case 18: {
        const reply = ask("RANDOMKEY");
        if (model.names().length === 0) expect(reply).toBe("$-1\r\n");
        else expect(model.names()).toContain(reply.split("\r\n")[1]!);
        break;
      }
      default:
        expect(bulks(ask("KEYS", "*")).sort()).toEqual(model.names());
        expect([...new Set(scanAll(engine, "COUNT", "5"))].sort()).toEqual(model.names());
        expect(bulks(ask("KEYS", "k1?*")).sort()).toEqual(model.names().filter((name) => /^k1./.test(name)));
    }
  }
  engine.keyspace.check();
  ask("FLUSHALL");
  expect(ask("DBSIZE")).toBe(":0\r\n");
  engine.keyspace.check();
});

test("keyspace: a scan meets every key that stays, each once while nothing changes", () => {
  const next = random("scan");
  const engine = new Engine(rows);
  const stay = Array.from({ length: 20_000 }, (_, i) => `stay:${i}`);
  for (const name of stay) engine.run("SET", name, "v");
  for (const count of ["1", "10", "1000", "9223372036854775807"]) {
    const seen = scanAll(engine, "COUNT", count);
    expect(seen.length).toBe(stay.length);
    expect(new Set(seen).size).toBe(stay.length);
  }
  expect(scanAll(engine, "MATCH", "stay:1999?").sort()).toEqual(stay.slice(19_990).sort());
  expect(scanAll(engine, "TYPE", "list", "COUNT", "1000")).toEqual([]);
  // While the table doubles and keys go, those that stay are all met.
  const seen = new Set<string>();
  let cursor = "0";
  let turn = 0;
  do {
    const match = /^\*2\r\n\$[0-9]+\r\n([0-9]+)\r\n(.*)$/s.exec(engine.run("SCAN", cursor, "COUNT", "50"))!;
    cursor = match[1]!;
    for (const name of bulks(match[2]!)) seen.add(name);
    for (let i = 0; i < 200; i++) engine.run("SET", `go:${turn}:${i}`, "v");
    for (let i = 0; i < 100; i++) engine.run("DEL", `go:${Math.floor(next() * turn)}:${i}`);
    turn++;
  } while (cursor !== "0" && turn < 5000);
  expect(cursor).toBe("0");
  expect(stay.filter((name) => !seen.has(name))).toEqual([]);
});

test("keyspace: any cursor is answered, and ends", () => {
  const next = random("cursor");
  const engine = new Engine(rows);
  for (let i = 0; i < 500; i++) engine.run("SET", `key:${i}`, "v");
  for (let i = 0; i < 3000; i++) {
    const cursor = BigInt(Math.floor(next() * 2 ** 32)) * BigInt(Math.floor(next() * 2 ** (i % 33)));
    let page = engine.run("SCAN", cursor.toString());
    for (let pages = 0; !page.startsWith("*2\r\n$1\r\n0\r\n"); pages++) {
      expect(pages).toBeLessThan(1000);
      page = engine.run("SCAN", page.split("\r\n")[2]!);
    }
  }
  expect(engine.run("SCAN", "-1")).toBe("-ERR invalid cursor\r\n");
  expect(engine.run("SCAN", "18446744073709551616")).toBe("-ERR invalid cursor\r\n");
  expect(engine.run("SCAN", "0", "TYPE", "nosuch")).toBe("-ERR unknown type name 'nosuch'\r\n");
});
