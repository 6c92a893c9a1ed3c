// steady-heap.test.ts: under a steady load of reads and writes, or of messages, the JS heap stays as it is: neither keys nor
// values nor commands leave objects there, however many there are. The real executable; its own figure of its heap.
// 2 million commands on strings and a quarter of that on collections in `bun test`; IRONCACHE_STEADY sets another number.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { bulk, command, type RawSocket, until } from "./support/raw-socket.ts";
import { infoField, killLeftovers, Server, usableDrivers } from "./support/server.ts";

setDefaultTimeout(600_000);
afterAll(killLeftovers);

const COMMANDS = Number(process.env.IRONCACHE_STEADY ?? 2_000_000);
const BATCH = 1000;
/** Commands in a turn of a batch on collections. */
const COLLECTION_COMMANDS = 25;
/** Elements of the large collections: beyond every threshold of the packed forms. */
const PRELOADED = 2000;
/** Some megabytes come once, after 2 million commands as after 10 million; one byte a command would be more than this. */
const GROWTH_BYTES = 2_000_000;

interface Batch {
  readonly bytes: Buffer;
  readonly due: Buffer;
}

/** A batch whose replies are known to the byte: SET, GET, INCR, DEL over many keys and two lengths of value. */
function strings(number: number): Batch {
  let bytes = "";
  let due = "";
  for (let i = 0; i < BATCH / 4; i++) {
    const key = `key:${(number * 7919 + i * 31) % 100_000}`;
    const value = "v".repeat(i % 2 === 0 ? 64 : 64 + (number % 400));
    bytes +=
      command("SET", key, value) +
      command("GET", key) +
      command("INCR", "counter") +
      command("DEL", "counter");
    due += `+OK\r\n${bulk(value)}:1\r\n:1\r\n`;
  }
  return { bytes: Buffer.from(bytes), due: Buffer.from(due) };
}

/** As many on collections, which end as they began: packed ones, and a hash, set, sorted set and list with pages. */
function collections(number: number): Batch {
  let bytes = "";
  let due = "";
  const say = (reply: string, ...words: string[]) => {
    bytes += command(...words);
    due += reply;
  };
  const array = (...texts: string[]) => `*${texts.length}\r\n${texts.map(bulk).join("")}`;
  for (let i = 0; i < BATCH / COLLECTION_COMMANDS; i++) {
    // A small collection of its own for each turn, and one large one for all, which begins with PRELOADED elements.
    const large = i % 2 === 1;
    const key = (kind: string) => (large ? `large:${kind}` : `small:${kind}:${(number * 31 + i) % 10_000}`);
    const member = `member:${number}:${i}`;
    const value = "v".repeat(10 + ((number + i) % 90));
    const count = (elements: number) => `:${elements + (large ? PRELOADED : 0)}\r\n`;
    say(":1\r\n", "HSET", key("hash"), member, value);
    say(bulk(value), "HGET", key("hash"), member);
    say(":0\r\n", "HSET", key("hash"), member, `${value}${value}`);
    say(":1\r\n", "HDEL", key("hash"), member);
    say(":1\r\n", "SADD", key("set"), member);
    say(":1\r\n", "SISMEMBER", key("set"), member);
    say(":1\r\n", "SREM", key("set"), member);
    say(":1\r\n", "SADD", `popped:${i}`, member);
    say(bulk(member), "SPOP", `popped:${i}`);
    say(":1\r\n", "ZADD", key("zset"), "-7", member);
    say(":0\r\n", "ZADD", key("zset"), "-8.5", member);
    say(array(member), "ZRANGE", key("zset"), "0", "0");
    say(":0\r\n", "ZRANK", key("zset"), member);
    say(array(member, "-8.5"), "ZPOPMIN", key("zset"));
    say(count(1), "LPUSH", key("list"), value);
    say(count(2), "LPUSH", key("list"), member);
    say(array(member, value), "LRANGE", key("list"), "0", "1");
    say(bulk(member), "LPOP", key("list"));
    say(bulk(value), "LPOP", key("list"));
    say(count(1), "RPUSH", key("list"), member);
    say(bulk(member), "LINDEX", key("list"), "-1");
    say(bulk(member), "RPOP", key("list"));
    say(":1\r\n", "SADD", `whole:${i}`, `${number + i}`);
    say(bulk(`${number + i}`), "SPOP", `whole:${i}`);
    say(":0\r\n", "EXISTS", `whole:${i}`);
  }
  return { bytes: Buffer.from(bytes), due: Buffer.from(due) };
}

/** Messages to a connection that subscribes to its own channel, and to a pattern: in RESP3 it may publish. */
function messages(number: number): Batch {
  let bytes = "";
  let due = "";
  for (let i = 0; i < BATCH; i++) {
    const text = `${number}:${i}:`.padEnd(16 + ((number * 31 + i) % 200), "m");
    bytes += command("PUBLISH", "own", text);
    due += `:2\r\n>3\r\n${bulk("message")}${bulk("own")}${bulk(text)}`;
    due += `>4\r\n${bulk("pmessage")}${bulk("o?n")}${bulk("own")}${bulk(text)}`;
  }
  return { bytes: Buffer.from(bytes), due: Buffer.from(due) };
}

/** What `messages` takes as given. */
async function subscribe(socket: RawSocket): Promise<void> {
  await socket.send(command("HELLO", "3") + command("SUBSCRIBE", "own") + command("PSUBSCRIBE", "o?n"));
  let heard = "";
  await until("the confirmations", () => {
    socket.pump();
    heard += socket.take().toString("latin1");
    return heard.endsWith(`${bulk("o?n")}:2\r\n`);
  });
}

/** What `collections` takes as given: PRELOADED elements in each large collection. */
async function preload(socket: RawSocket): Promise<void> {
  for (let i = 0; i < PRELOADED; i++) {
    await socket.ask("HSET", "large:hash", `field:${i}`, `value:${i}`);
    await socket.ask("SADD", "large:set", `element:${i}`);
    await socket.ask("ZADD", "large:zset", `${i}`, `element:${i}`);
    await socket.ask("RPUSH", "large:list", `element:${i}`.padEnd(64));
  }
}

async function load(socket: RawSocket, commands: number, batch: (number: number) => Batch): Promise<void> {
  const batches = Array.from({ length: 50 }, (_, i) => batch(i));
  for (let done = 0; done < commands; done += BATCH) {
    const { bytes, due } = batches[(done / BATCH) % batches.length]!;
    await socket.send(bytes);
    const got = await socket.read(due.length);
    if (got.equals(due)) continue;
    const at = got.findIndex((byte, i) => byte !== due[i]);
    throw new Error(
      `a reply is wrong, from here on: ${got.toString("latin1", Math.max(0, at - 40), at + 80)}`,
    );
  }
}

/** The heap once two looks at it, with rest in between, agree: garbage of the start is gone by then. */
async function settledHeap(socket: RawSocket): Promise<number> {
  let last = 0;
  await until("the heap to settle", async () => {
    const heap = await infoField(socket, "memory", "used_memory_js_heap");
    const settled = Math.abs(heap - last) < 200_000;
    last = heap;
    if (!settled) await Bun.sleep(1100); // a look itself makes garbage; other workers publish once a second
    return settled;
  });
  return last;
}

const loads = {
  strings: { batch: strings, commands: COMMANDS },
  collections: { batch: collections, commands: COMMANDS / 4 },
  messages: { batch: messages, commands: COMMANDS / 4 },
};
const runs = (await usableDrivers()).flatMap((io) =>
  (["strings", "collections", "messages"] as const).map((kind) => ({ io, kind })),
);

test.each(runs)(
  "steady load of $kind, $io: the JS heap does not grow with the commands",
  async ({ io, kind }) => {
    const server = await Server.start({ io });
    const socket = server.connect();
    const figures = server.connect();
    const { batch, commands } = loads[kind];
    if (kind === "messages") await subscribe(socket);
    else await preload(socket);
    await load(socket, 400_000, batch); // the compiler has seen it all by then
    const before = await settledHeap(figures);
    const collected = await infoField(figures, "ironcache", "gc_seconds");
    await load(socket, commands, batch);
    const middle = await settledHeap(figures);
    await load(socket, commands, batch);
    const after = await settledHeap(figures);
    const spent = (await infoField(figures, "ironcache", "gc_seconds")) - collected;
    console.log(
      `steady heap, ${kind}, ${io}: ${(before / 1e6).toFixed(2)} MB, ${(middle / 1e6).toFixed(2)} MB after ${commands} ` +
        `commands, ${(after / 1e6).toFixed(2)} MB after twice as many, collector ${spent.toFixed(2)} s`,
    );
    // The bun driver makes views and promises as it goes; they are collected, not kept.
    // What commands leave grows with each half of them; what the compiler leaves comes once, in either.
    const growth = Math.min(middle - before, after - middle);
    expect(growth).toBeLessThan(io === "bun" ? 4 * GROWTH_BYTES : GROWTH_BYTES);
    for (const each of [socket, figures]) each.close();
    expect(await server.stop()).toBe(0);
  },
);

test("what INFO leaves behind is given back to the system, however often it is asked for", async () => {
  const server = await Server.start({ workers: 1 });
  const socket = server.connect();
  const lines = (await socket.ask("INFO", "everything"))!.length;
  expect(lines).toBeGreaterThan(1000);
  // Each leaves some 35 KB of texts: 140 MB in all.
  for (let i = 0; i < 4_000; i++) await socket.ask("INFO");
  const before = server.residentBytes();
  await until("memory to come down", () => server.residentBytes() < 180 * 2 ** 20);
  console.log(`steady heap: resident after 4,000 INFO: ${before}, then ${server.residentBytes()} bytes`);
  expect(await server.stop()).toBe(0);
});
