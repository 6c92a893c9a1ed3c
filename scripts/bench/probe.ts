// probe.ts: one client that sends GET after GET, one at a time, and says how long the answers took: a thread of its own,
// with what starts and asks it. What it sees while another client runs a long command is what that command does to others.
//
// It waits in recv, so that it leaves the core to whoever loads and asks meanwhile, and runs at nice -20 where that is
// allowed, so that those do not keep it waiting. Requests go round `keys`; a reply is a string of below 4 KB, or null.
// The two threads share one buffer: word 0 is the phase; from byte 8 on float64: answers, p50, p99.9 and longest in us, then
// the number of the connection's worker.
// Neighbours: large-values.ts uses it, histogram.ts counts. Linux only.

import { dlopen, FFIType, type Pointer, ptr } from "bun:ffi";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { Histogram } from "./histogram.ts";
import { encode } from "./lib.ts";

/** What was seen in one recorded time. */
export interface Seen {
  answers: number;
  p50Us: number;
  p999Us: number;
  longestUs: number;
}

/** What the probe does. It sets Resting itself, once the figures of a recorded time are written. */
const Phase = { Starting: 0, Resting: 1, Warming: 2, Recording: 3, Telling: 4, Ending: 5, Failed: 6 };
const figures = 5;
const warmMs = 300;

interface Plan {
  shared: SharedArrayBuffer;
  port: number;
  keys: readonly string[];
  notOn: number | null;
}

/** A running probe. */
export class Probe {
  private readonly phase: Int32Array;
  private readonly told: Float64Array;

  private constructor(
    private readonly thread: Worker,
    shared: SharedArrayBuffer,
  ) {
    this.phase = new Int32Array(shared, 0, 1);
    this.told = new Float64Array(shared, 8, figures);
  }

  /** Connects to a server. `notOn`: the connection must belong to another worker than this one of ours. */
  static async start(port: number, keys: readonly string[], notOn: number | null = null): Promise<Probe> {
    const shared = new SharedArrayBuffer(8 + 8 * figures);
    const plan: Plan = { shared, port, keys, notOn };
    const probe = new Probe(new Worker(new URL("./probe.ts", import.meta.url), { workerData: plan }), shared);
    await probe.until(Phase.Resting);
    return probe;
  }

  /** Records what the client sees from before `work` until `tailMs` after it. */
  async during(tailMs: number, work: () => Promise<unknown>): Promise<Seen> {
    this.become(Phase.Warming);
    await Bun.sleep(warmMs);
    this.become(Phase.Recording);
    await work();
    await Bun.sleep(tailMs);
    this.become(Phase.Telling);
    await this.until(Phase.Resting);
    const [answers, p50Us, p999Us, longestUs] = this.told;
    return { answers, p50Us, p999Us, longestUs };
  }

  async stop(): Promise<void> {
    this.become(Phase.Ending);
    await this.thread.terminate();
  }

  private become(phase: number): void {
    Atomics.store(this.phase, 0, phase);
    Atomics.notify(this.phase, 0);
  }

  private async until(phase: number): Promise<void> {
    for (;;) {
      const now = Atomics.load(this.phase, 0);
      if (now === phase) return;
      if (now === Phase.Failed) throw new Error("the probe lost its connection, or got none");
      await Bun.sleep(2);
    }
  }
}

// The thread --------------------------------------------------------------------------------------------------------

function run({ shared, port, keys, notOn }: Plan): void {
  const libc = dlopen("libc.so.6", {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
    setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
    send: { args: ["i32", "ptr", "usize", "i32"], returns: FFIType.i64_fast },
    recv: { args: ["i32", "ptr", "usize", "i32"], returns: FFIType.i64_fast },
    close: { args: ["i32"], returns: "i32" },
    setpriority: { args: ["i32", "u32", "i32"], returns: "i32" },
  }).symbols;
  const phase = new Int32Array(shared, 0, 1);
  const told = new Float64Array(shared, 8, figures);
  const input = new Uint8Array(new ArrayBuffer(1 << 16));
  const inputAt = Number(ptr(input));
  libc.setpriority(0, 0, -20); // of this thread; refused unless root, which is as well

  const requests = keys.map((key) => Buffer.from(encode(["GET", key]), "latin1"));
  const fail = (): never => {
    Atomics.store(phase, 0, Phase.Failed);
    throw new Error("the probe has no connection");
  };
  /** Sends, and reads until the reply, a line or a bulk string, is whole. Gives its bytes. */
  const ask = (fd: number, request: Uint8Array): number => {
    if (Number(libc.send(fd, ptr(request), request.length, 0x4000)) !== request.length) fail();
    let missing = Number.POSITIVE_INFINITY;
    let have = 0;
    while (have < missing) {
      const got = Number(libc.recv(fd, (inputAt + have) as Pointer, input.length - have, 0));
      if (got <= 0) fail();
      have += got;
      const line = input.indexOf(10);
      if (line < 0 || line >= have) continue;
      let bytes = 0;
      const bulk = input[0] === 36 && input[1] !== 45; // '$', not "$-1"
      for (let at = 1; bulk && at < line - 1; at++) bytes = bytes * 10 + input[at] - 48;
      missing = bulk ? line + 1 + bytes + 2 : line + 1;
    }
    return have;
  };
  const open = (): number => {
    const fd = libc.socket(2, 1, 0);
    const address = new Uint8Array(new ArrayBuffer(16));
    address.set([2, 0, port >> 8, port & 255, 127, 0, 0, 1]); // sockaddr_in
    if (fd < 0 || libc.connect(fd, ptr(address), 16) !== 0) fail();
    const one = new Int32Array(new ArrayBuffer(4)).fill(1);
    libc.setsockopt(fd, 6, 1, ptr(one), 4); // TCP_NODELAY
    return fd;
  };
  let fd = open();
  for (let tries = 0; notOn !== null; tries++) {
    const bytes = ask(fd, Buffer.from(encode(["CLIENT", "INFO"]), "latin1"));
    const text = Buffer.from(input.subarray(0, bytes)).toString("latin1");
    told[4] = Number(/\bio-thread=(\d+)/.exec(text)?.[1] ?? Number.NaN);
    if (told[4] !== notOn) break;
    libc.close(fd);
    if (tries > 200) fail();
    fd = open();
  }

  const latency = new Histogram();
  let next = 0;
  Atomics.store(phase, 0, Phase.Resting);
  for (;;) {
    const now = Atomics.load(phase, 0);
    if (now === Phase.Ending) break;
    if (now === Phase.Resting) {
      Atomics.wait(phase, 0, Phase.Resting);
      continue;
    }
    if (now === Phase.Telling) {
      told.set([latency.count, latency.percentileUs(50), latency.percentileUs(99.9), latency.maxUs]);
      latency.clear();
      Atomics.store(phase, 0, Phase.Resting);
      continue;
    }
    const began = Bun.nanoseconds();
    ask(fd, requests[next]!);
    // One that began in the recorded time counts, however long it took.
    if (now === Phase.Recording) latency.record((Bun.nanoseconds() - began) / 1000);
    next = next + 1 === requests.length ? 0 : next + 1;
  }
  libc.close(fd);
}

if (!isMainThread) run(workerData as Plan);
