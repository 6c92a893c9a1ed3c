// steady-heap.test.ts: under a steady load of reads and writes the JS heap stays as it is: neither keys nor values nor
// commands leave objects there, however many there are. The real executable; its own figure of its heap.
// 2 million commands in `bun test`; IRONCACHE_STEADY sets another number.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { bulk, command, type RawSocket, until } from "./support/raw-socket.ts";
import { infoField, killLeftovers, Server, usableDrivers } from "./support/server.ts";

setDefaultTimeout(600_000);
afterAll(killLeftovers);

const COMMANDS = Number(process.env.IRONCACHE_STEADY ?? 2_000_000);
const BATCH = 1000;
/** A megabyte comes once, after 2 million commands as after 10 million; one byte a command would be more than this. */
const GROWTH_BYTES = 2_000_000;

/** A batch whose replies are known to the byte: SET, GET, INCR, DEL over many keys and two lengths of value. */
function batch(number: number): { bytes: Buffer; due: Buffer } {
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

async function load(socket: RawSocket, commands: number): Promise<void> {
  const batches = Array.from({ length: 50 }, (_, i) => batch(i));
  for (let done = 0; done < commands; done += BATCH) {
    const { bytes, due } = batches[(done / BATCH) % batches.length]!;
    await socket.send(bytes);
    if (!(await socket.read(due.length)).equals(due)) throw new Error("a reply is wrong");
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

test.each(await usableDrivers())(
  "steady load, %s: the JS heap does not grow with the commands",
  async (io) => {
    const server = await Server.start({ io });
    const socket = server.connect();
    await load(socket, 400_000); // the compiler has seen it all by then
    const before = await settledHeap(socket);
    const collected = await infoField(socket, "ironcache", "gc_seconds");
    await load(socket, COMMANDS);
    const after = await settledHeap(socket);
    const spent = (await infoField(socket, "ironcache", "gc_seconds")) - collected;
    console.log(
      `steady heap, ${io}: ${(before / 1e6).toFixed(2)} MB, ${(after / 1e6).toFixed(2)} MB after ${COMMANDS} commands, ` +
        `collector ${spent.toFixed(2)} s`,
    );
    // The bun driver makes views and promises as it goes; they are collected, not kept.
    expect(after - before).toBeLessThan(io === "bun" ? 4 * GROWTH_BYTES : GROWTH_BYTES);
    socket.close();
    expect(await server.stop()).toBe(0);
  },
);
