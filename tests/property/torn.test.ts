// torn.test.ts: commands that may run without the lock of their shard (CommandRow.optimistic) meet bytes of every kind:
// what they answer is thrown away then, but they must come back soon, write nothing, and leave no region.
//
// Every row of that mark runs over strings and collections of every form, in which runs of bytes are overwritten once the
// key has been found, by a worker that does not hold the lock. IRONCACHE_TORN is in how many states (3,000).
import { expect, setDefaultTimeout, test } from "bun:test";
import { Call, type Row } from "../../engine/commands/call.ts";
import { allCommands } from "../../engine/commands/index.ts";
import { Reply } from "../../engine/commands/reply.ts";
import type { Server } from "../../engine/commands/server.ts";
import { Session } from "../../engine/commands/session.ts";
import { Handle } from "../../engine/memory/allocator.ts";
import { Type } from "../../engine/memory/record.ts";
import { copyBytes, equalBytes, need, Region } from "../../engine/memory/region.ts";
import { Clock } from "../../engine/shard/clock.ts";
import { Keyspace } from "../../engine/shard/keyspace.ts";
import type { Shard } from "../../engine/shard/shard.ts";
import { quietHub } from "../support/quiet-host.ts";
import { random } from "../support/random.ts";

setDefaultTimeout(300_000);

const STATES = Number(process.env.IRONCACHE_TORN ?? 3_000);
/** A command is given so long: a whole segment is read in less. */
const SLOW_MS = 1_000;
const IO_BYTES = 4 << 20;

const next = random("torn");
const below = (bound: number): number => Math.floor(next() * bound);

const clock = new Clock(1_700_000_000_000);
const { plan } = Keyspace.create(2, 1 << 20, clock);
// As a worker that is not alone has it.
const keyspace = Keyspace.attach({ ...plan, addresses: plan.addresses.slice(0, 2) }, clock);
const input = need(Region.private(IO_BYTES), "arguments");
const output = need(Region.private(IO_BYTES), "replies");
const rows = new Map<string, Row>();
for (const row of allCommands) for (const each of row.subcommands ?? [row]) rows.set(each.name, each);
const server = { rows: allCommands, setting: () => "536870912" } as unknown as Server; // what these handlers ask for
const call = new Call(input, new Reply(output, IO_BYTES), keyspace, server, quietHub);
call.session = new Session(1, 0, "a", "b", clock.nowMs);
call.start = new Int32Array(2048);
call.length = new Int32Array(2048);

function lay(name: string, words: readonly string[]): Row {
  const row = rows.get(name)!;
  const all = [...name.split("|"), ...words];
  let at = 0;
  call.argc = all.length;
  all.forEach((word, i) => {
    call.start[i] = at;
    call.length[i] = Buffer.from(word, "latin1").copy(input.u8, at);
    at += word.length + 2;
  });
  call.row = row;
  call.located = 0;
  call.reply.at = 0;
  call.reply.overflow = false;
  call.reply.resp3 = next() < 0.5;
  return row;
}

function write(name: string, ...words: string[]): void {
  const row = lay(name, words);
  keyspace.lockAll();
  row.handler!(call);
  keyspace.unlockAll();
  expect(output.u8[0]).not.toBe(45);
}

const range = (count: number, make: (i: number) => string[]): string[] =>
  Array.from({ length: count }, (_, i) => make(i)).flat();
const field = (i: number): string =>
  i % 5 === 0 ? `${i}${"x".repeat(90)}` : i % 3 === 0 ? `${i * 999}` : `f${i}`;
const value = (i: number): string => (i % 3 === 0 ? `${i * 70_000}` : "v".repeat((i * 37) % 300));
const pairs = (count: number): string[] => range(count, (i) => [field(i), value(i)]);
const later = `${clock.nowMs + 1e6}`;

const keys = [
  "string",
  "compressed",
  "number",
  "due",
  "hash",
  "timed",
  "pages",
  "timed pages",
  "integers",
  "wide",
  "packed set",
  "paged set",
  "sorted",
  "paged sorted",
  "list",
  "paged list",
];
write("set", "string", "some text ".repeat(50));
write("set", "number", "123456");
const text = "some text that is said again, ".repeat(40);
write("set", "compressed", text);
{
  input.u8.set(Buffer.from(text), 40_000);
  const stored = keyspace.codec.compress(2, 0, false, input, 40_000, text.length, input, 50_000, text.length);
  lay("get", ["compressed"]);
  const shard = call.locate(1);
  shard.lock();
  expect(shard.compress(0, call.key, call.find(1), input, 40_000, text.length, 50_000, stored)).toBe(true);
  shard.unlock();
}
write("set", "due", "soon", "PXAT", later);
write("hset", "hash", ...pairs(30).map((word) => word.slice(0, 60)));
write("hset", "timed", ...pairs(30).map((word) => word.slice(0, 60)));
write("hpexpireat", "timed", later, "FIELDS", "3", "f1", "f2", "f4");
write("hset", "pages", ...pairs(600));
write("hset", "timed pages", ...pairs(600));
write("hpexpireat", "timed pages", later, "FIELDS", "3", "f1", "f2", field(5));
write("sadd", "integers", ...range(100, (i) => [`${i * 7}`]));
write("sadd", "wide", ...range(100, (i) => [`${i * 7}`, `${9007199254740993000n + BigInt(i)}`]));
write("sadd", "packed set", ...range(60, (i) => [field(i).slice(0, 60)]));
write("sadd", "paged set", ...range(600, (i) => [field(i)]));
write("zadd", "sorted", ...range(60, (i) => [`${i / 3}`, field(i).slice(0, 60)]));
write("zadd", "paged sorted", ...range(600, (i) => [`${i / 3}`, field(i)]));
write("rpush", "list", ...range(60, (i) => [field(i).slice(0, 60)]));
write("rpush", "paged list", ...range(600, (i) => [field(i)]));

/** Arguments after the key, by the name of a row that has more than the key. */
const anyField = (): string => (next() < 0.5 ? field(below(40)).slice(0, 60) : field(below(600)));
const several = (): string[] => Array.from({ length: 1 + below(6) }, anyField);
const named = (): string[] => {
  const fields = several();
  return ["FIELDS", `${fields.length}`, ...fields];
};
const extra: Record<string, () => string[]> = {
  getrange: () => [`${below(500) - 250}`, `${below(500) - 250}`],
  substr: () => ["0", "-1"],
  getbit: () => [`${below(5000)}`],
  bitcount: () => (next() < 0.5 ? [] : [`${below(500) - 250}`, `${below(5000) - 250}`, "BIT"]),
  bitpos: () => [`${below(2)}`],
  bitfield_ro: () => ["GET", "u8", "7", "GET", "i64", `${below(3000)}`, "GET", "i33", "100"],
  hget: () => [anyField()],
  hmget: several,
  hexists: () => [anyField()],
  hstrlen: () => [anyField()],
  httl: named,
  hpttl: named,
  hexpiretime: named,
  hpexpiretime: named,
  sismember: () => [next() < 0.5 ? `${below(100) * 7}` : anyField()],
  smismember: () => [...several(), `${below(100) * 7}`, `${9007199254740993000n + BigInt(below(99))}`],
  zscore: () => [anyField()],
  zmscore: several,
  zrank: () => [anyField()],
  zrevrank: () => [anyField()],
};
/** Groups of rows that read a type. */
const groups: Record<number, readonly string[]> = {
  [Type.String]: ["string", "bitmap"],
  [Type.Hash]: ["hash"],
  [Type.Set]: ["set"],
  [Type.SortedSet]: ["sorted-set", "geo"],
  [Type.List]: ["list"],
};
const optimistic = [...rows.values()].filter((row) => row.optimistic === true);

test("torn: the test knows the arguments of every row that is marked", () => {
  for (const row of optimistic) {
    const words = ["key", ...(extra[row.name]?.() ?? [])];
    const argc = row.name.split("|").length + words.length;
    expect([row.name, row.arity < 0 ? argc >= -row.arity : argc === row.arity]).toEqual([row.name, true]);
  }
  expect(optimistic.length).toBeGreaterThan(20);
});

test("torn: no range is copied or compared that is none, and no number is replied that is none", () => {
  for (const [start, bytes] of [
    [Number.NaN, 100],
    [-100, 100],
    [0, Number.NaN],
    [input.bytes - 99, 100],
  ] as const) {
    expect(equalBytes(input, start, output, 0, bytes)).toBe(false);
    expect(equalBytes(output, 0, input, start, bytes)).toBe(false);
    expect(() => copyBytes(output, 0, input, start, bytes)).toThrow(RangeError);
    expect(() => copyBytes(output, start, input, 0, bytes)).toThrow(RangeError);
  }
  for (const number of [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 1e300])
    expect(() => call.reply.integer(number)).toThrow(RangeError);
});

interface Tear {
  readonly at: number;
  readonly after: Uint8Array;
}

/** A run of bytes as text, free slots or other structures might have it. */
function tearAt(u8: Uint8Array, at: number, bytes: number): Tear {
  const end = Math.min(at + bytes, u8.length);
  const before = u8.slice(at, end);
  const kind = below(8);
  const from = below(u8.length - before.length);
  const after = before.map((byte, i) => {
    if (kind === 0) return below(256);
    if (kind === 1) return 255;
    if (kind === 2) return 48 + below(10);
    if (kind === 3) return [0, 0, 0, 0, 0, 0, 0xf0, 0x7f][(at + i) & 7]!;
    if (kind === 4) return 0;
    if (kind === 5) return 200 + below(8);
    if (kind === 6) return byte ^ (1 << below(8));
    return u8[from + i]!;
  });
  return { at, after };
}

function tears(shard: Shard, u8: Uint8Array): Tear[] {
  const value = shard.valueStart();
  const valueBytes = shard.valueBytes();
  const made: Tear[] = [];
  for (let cuts = 1 + below(3); cuts > 0; cuts--) {
    const kind = below(5);
    if (kind === 0) made.push(tearAt(u8, shard.at + 1, 3));
    else if (kind === 1) made.push(tearAt(u8, shard.at, 16));
    else if (kind === 2) made.push(tearAt(u8, value + below(Math.min(valueBytes, 40)), 1 + below(16)));
    else if (kind === 3) made.push(tearAt(u8, value + below(valueBytes), 1 + below(valueBytes)));
    else
      for (let pages = below(200); pages > 0; pages--)
        made.push(tearAt(u8, 16_384 + below(u8.length - 16_384), 1 + below(64)));
  }
  return made;
}

/** What happens once a key has been found: its record may be given away before it is read on. */
let whenFound = (): void => {};
for (const shard of keyspace.shards) {
  const look = shard.look.bind(shard);
  shard.look = (db, key) => {
    const handle = look(db, key);
    whenFound();
    return handle;
  };
}

test("torn: commands without the lock end, write nothing and reach no further than their shard", () => {
  let commands = 0;
  let threw = 0;
  let slowest = 0;
  let slow = "";
  for (let state = 0; state < STATES; state++) {
    const key = keys[below(keys.length)]!;
    lay("get", [key]);
    const shard = call.locate(1);
    const handle = call.look(1);
    expect(handle).not.toBe(0);
    const { u8 } = shard.segments.at(handle >>> Handle.SegmentShift);
    const type = shard.type();
    const torn = tears(shard, u8);
    const whole = u8.slice();
    for (const { at, after } of torn) u8.set(after, at);
    const expected = u8.slice();
    u8.set(whole);
    let applied = false;
    whenFound = () => {
      if (!applied) for (const { at, after } of torn) u8.set(after, at);
      applied = true;
    };
    for (const row of optimistic) {
      // Those of other types end before they read much.
      if (next() < 0.8 && row.group !== "generic" && !groups[type]!.includes(row.group)) continue;
      lay(row.name, [key, ...(extra[row.name]?.() ?? [])]);
      const begun = performance.now();
      try {
        row.handler!(call);
      } catch {
        threw++;
      }
      const ms = performance.now() - begun;
      commands++;
      if (ms > slowest) {
        slowest = ms;
        slow = `${row.name} ${key}`;
      }
      expect(call.reply.at).toBeLessThanOrEqual(IO_BYTES);
      if (Buffer.compare(u8, applied ? expected : whole) !== 0)
        throw new Error(`${row.name} wrote to ${key}`);
      u8.set(whole);
      applied = false;
    }
    whenFound = () => {};
  }
  console.log(`torn: ${commands} commands, ${threw} threw, the slowest ${slowest.toFixed(1)} ms: ${slow}`);
  expect(threw).toBeGreaterThan(0);
  expect(slowest).toBeLessThan(SLOW_MS);
  keyspace.lockAll();
  keyspace.check();
  keyspace.unlockAll();
});
