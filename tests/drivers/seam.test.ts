// seam.test.ts: what drivers promise a worker beyond what commands alone can show: order of what is transmitted and what
// is posted, slow readers of both, limits, the end, and how soon a deadline or a wake-up is noticed. A driver in a thread
// (tests/support/seam-thread.ts), real sockets.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { libc, newEventFd, ringEventFd } from "../../engine/io/native.ts";
import { listenTcp } from "../../engine/io/socket.ts";
import { probeUring } from "../../engine/worker/drivers.ts";
import { random } from "../support/random.ts";
import { RawSocket, until } from "../support/raw-socket.ts";
import { frameByte, type SeamPlan, type SeamReport } from "../support/seam-thread.ts";
import { freePort } from "../support/server.ts";

setDefaultTimeout(60_000);
const next = random("seam");
const below = (bound: number): number => Math.floor(next() * bound);
const denied = probeUring();
if (denied !== "") console.log(`seam: left out: uring: ${denied}`);
const drivers = ["uring", "epoll", "bun"].filter((io) => io !== "uring" || denied === "");

interface Frame {
  readonly from: number;
  readonly number: number;
  readonly length: number;
}

/** Reads one frame; `empty`: one whose length counts something else than bytes. Throws when its bytes are not its own. */
async function frame(socket: RawSocket, empty = false): Promise<Frame> {
  const head = await socket.read(12);
  const from = head.readUInt32LE(0);
  const number = head.readUInt32LE(4);
  const word = head.readUInt32LE(8);
  const length = empty ? word : word & 0x7fffffff;
  if (!empty) {
    const body = await socket.read(length);
    for (let i = 0; i < length; i += i < 100 || i > length - 100 ? 1 : 53)
      if (body[i] !== frameByte(from, number, i)) throw new Error(`frame ${number} of ${from}: byte ${i}`);
    if (word !== length) await socket.expect("\r\n");
  }
  return { from, number, length };
}

/** Reads `count` frames and checks that each sender's come in the order asked for. Their number a sender. */
async function frames(socket: RawSocket, count: number): Promise<Map<number, number>> {
  const due = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const { from, number } = await frame(socket);
    const before = due.get(from);
    if (before !== undefined && number !== before) throw new Error(`${number} of ${from}, ${before} was due`);
    due.set(from, number + 1);
  }
  return due;
}

describe.each(drivers.map((io) => ({ io })))("seam: $io", ({ io }) => {
  const port = freePort();
  const wakeFd = io === "bun" ? -1 : newEventFd();
  const bell = `seam ${process.pid} ${port}`;
  const channel = new BroadcastChannel(bell);
  let thread: Worker;
  let report: Promise<SeamReport>;

  const wake = (): void => {
    if (io === "bun") channel.postMessage(0);
    else ringEventFd(wakeFd);
  };

  async function connect(receiveBytes?: number): Promise<{ socket: RawSocket; id: number }> {
    const socket = RawSocket.open(port, receiveBytes === undefined ? {} : { receiveBytes });
    await socket.send("id\n");
    return { socket, id: (await frame(socket)).from };
  }

  beforeAll(async () => {
    thread = new Worker(new URL("../support/seam-thread.ts", import.meta.url).href);
    const listener = io === "bun" ? -1 : listenTcp("127.0.0.1", port, 100);
    thread.postMessage({ io, listener, port, wakeFd, bell } satisfies SeamPlan);
    const { promise: started, resolve: start, reject } = Promise.withResolvers<void>();
    const { promise, resolve: finish } = Promise.withResolvers<SeamReport>();
    report = promise;
    thread.onmessage = (event: MessageEvent<SeamReport | "started">) => {
      if (event.data === "started") start();
      else finish(event.data);
    };
    thread.onerror = (event) => reject(new Error(event.message));
    await started;
  });

  afterAll(async () => {
    const { socket } = await connect();
    await socket.send("stop\n");
    const { turns, ends, wrong } = await report;
    expect(wrong).toEqual([]);
    expect(turns - ends).toBeLessThanOrEqual(1);
    expect(turns).toBeGreaterThan(10);
    socket.close();
    thread.terminate();
    channel.close();
    if (wakeFd >= 0) libc().close(wakeFd);
  });

  test("transmitted and posted bytes arrive in the order of the calls", async () => {
    const { socket, id } = await connect();
    const words = ["transmit", `post ${id}`, "with"];
    const bytes = () => (next() < 0.1 ? below(200_000) : below(300));
    for (let round = 0; round < 60; round++) {
      const orders = Array.from({ length: 1 + below(12) }, () => `${words[below(3)]} ${bytes()}\n`);
      await socket.send(orders.join(""));
      expect([...(await frames(socket, orders.length)).keys()]).toEqual([id]);
    }
    // Every order of three: a post between two replies that were to be one send, a post first, a post last.
    for (const first of words)
      for (const second of words)
        for (const third of words) {
          await socket.send(`${first} 10\n${second} 70000\n${third} 10\n`);
          await frames(socket, 3);
        }
    socket.close();
  });

  test("a slow reader gets everything others and it itself asked for, in order", async () => {
    const slow = await connect(4096);
    const others = [await connect(), await connect(), await connect()];
    const rounds = 40;
    let asked = 0;
    for (let round = 0; round < rounds; round++) {
      await slow.socket.send(`transmit 60000\npost ${slow.id} 3000\nwith 20000\n`, true);
      for (const { socket } of others) {
        await socket.send(`post ${slow.id} ${30_000 + below(30_000)}\ntransmit 5\npost ${slow.id} 10\n`);
        await frame(socket);
      }
      asked += 3 + 2 * others.length;
    }
    const counts = await frames(slow.socket, asked);
    expect(counts.get(slow.id)).toBe(3 * rounds + 1);
    for (const { id } of others) expect(counts.get(id)).toBe(2 * rounds);
    await slow.socket.send(`transmit 1\npost ${slow.id} 1\n`);
    await frames(slow.socket, 2);
    for (const { socket } of [slow, ...others]) socket.close();
  });

  test("a deaf reader of posts is cut off at its limit, alone; those who post go on", async () => {
    const deaf = await connect(4096);
    const writer = await connect();
    await deaf.socket.send("limit 2000000\ntransmit 1\n");
    await frame(deaf.socket);
    for (let i = 0; i < 200; i++) {
      await writer.socket.send(`post ${deaf.id} 100000\ntransmit 8\n`);
      await frame(writer.socket);
    }
    await until("the end of the deaf", () => {
      deaf.socket.pump();
      return deaf.socket.ended !== "";
    });
    expect(deaf.socket.received).toBeLessThan(12_000_000);
    // To one that is gone.
    await writer.socket.send(`post ${deaf.id} 100\ntransmit 8\n`);
    await frame(writer.socket);
    for (const { socket } of [deaf, writer]) socket.close();
  });

  test.each([10, 3_000_000])("what was posted goes out before an orderly end: %d bytes", async (bytes) => {
    for (let i = 0; i < 5; i++) {
      const { socket, id } = await connect();
      await socket.send(`transmit 7\npost ${id} ${bytes}\ntransmit 7\nclose\npost ${id} 9\n`);
      await frames(socket, 3);
      expect(await socket.readToEnd()).toBe("");
      socket.close();
    }
  });

  test("who ends its side at once gets replies that wait behind something posted", async () => {
    for (let i = 0; i < 30; i++) {
      const { socket, id } = await connect();
      await socket.send(`transmit 7\npost ${id} 5000\ntransmit 7\n`);
      socket.finish();
      await frames(socket, 3);
      expect(await socket.readToEnd()).toBe("");
      socket.close();
    }
  });

  test("posts to more connections in a turn than a submission holds", async () => {
    const many = [];
    for (let i = 0; i < 1200; i++) many.push(await connect(4096));
    const { socket, id } = await connect();
    const orders = many.map((each) => `post ${each.id} 9000\n`);
    for (const each of many) each.socket.offer(Buffer.from("transmit 3000\n"));
    await socket.send(`${orders.join("")}${orders.join("")}transmit 1\n`);
    await frame(socket);
    for (const each of many) {
      const counts = await frames(each.socket, 3);
      expect([counts.get(each.id), counts.size]).toEqual([2, 2]);
      expect(counts.has(id)).toBe(true);
      each.socket.close();
    }
    socket.close();
  });

  test("deadlines of 10 ms are met", async () => {
    const { socket } = await connect();
    const took: number[] = [];
    for (let i = 0; i < 25; i++) {
      await Bun.sleep(below(20));
      await socket.send("deadline 10\n");
      took.push((await frame(socket, true)).length / 1000);
    }
    took.sort((x, y) => x - y);
    console.log(`seam: ${io}: a deadline of 10 ms took ${took[12]} ms, at most ${took[24]}`);
    expect(took[0]).toBeGreaterThanOrEqual(10);
    expect(took[6]).toBeLessThan(20); // a busy system makes some late
    socket.close();
  });

  test("a wait of 0 ms is none, and others are served between", async () => {
    const { socket } = await connect();
    const other = await connect();
    await socket.send("spin 2000\n");
    for (let i = 0; i < 5; i++) {
      await other.socket.send("transmit 3\n");
      await frame(other.socket);
    }
    await frame(socket, true);
    for (const each of [socket, other.socket]) each.close();
  });

  test("who is woken runs a turn at once", async () => {
    const { socket } = await connect();
    const took: number[] = [];
    for (let i = 0; i < 25; i++) {
      await socket.send("rung\n");
      await Bun.sleep(below(10));
      const before = performance.now();
      wake();
      await frame(socket, true);
      took.push(performance.now() - before);
    }
    took.sort((x, y) => x - y);
    console.log(`seam: ${io}: woken within ${took[12]!.toFixed(2)} ms`);
    expect(took[12]).toBeLessThan(15);
    socket.close();
  });
});
