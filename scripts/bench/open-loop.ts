// open-loop.ts: the load generator of latency.ts, a process of its own so that it can have a core of its own.
//
//   bun scripts/bench/open-loop.ts PORT CONNECTIONS SECONDS RATE get|set KEYS VALUE_BYTES
//   RATE > 0: open loop. Request i is due at start + i / RATE, whatever became of the requests before it, and its
//     latency runs from when it was DUE to when its whole reply was read. A server, or a generator, that stalls is
//     charged for every request that was due meanwhile: nothing is omitted in step with the stall.
//   RATE = 0: closed loop, one request outstanding per connection: the saturation rate, not pipelined.
// The first `warmUpSeconds` are not recorded. Prints one line of JSON, a Report.
//
// It spins on epoll_wait(0), without allocation in the measured time (sockets.ts). `lag` says how late requests were
// sent: where lag is near the latency, the generator was the bottleneck and not the server.
//
// Requests have one length and so have replies (every key exists, every value has VALUE_BYTES), which makes counting
// replies a division. Request order within a connection is reply order; `due` keeps the times in between.

import { Histogram } from "./histogram.ts";
import { RandomBytes } from "./lib.ts";
import { Outgoing, Sockets } from "./sockets.ts";

export interface Report {
  requests: number;
  perSecond: number;
  p50Us: number;
  p99Us: number;
  p999Us: number;
  p9999Us: number;
  maxUs: number;
  lagP99Us: number;
  lagMaxUs: number;
}

const warmUpSeconds = 2;
const dueSlots = 1 << 15; // outstanding requests per connection
const frameCount = 1 << 14; // prepared requests, random keys

const [port, connectionCount, seconds, rate, , keys, valueBytes] = process.argv.slice(2).map(Number);
const command = process.argv[6];

const frames = new Outgoing(prepareFrames());
const frameBytes = frames.bytes.length / frameCount;
const replyBytes = command === "get" ? `$${valueBytes}\r\n`.length + valueBytes + 2 : 5;
const sockets = new Sockets(port, connectionCount);
const { input } = sockets;

const due = new Float64Array(connectionCount * dueSlots); // ring per connection: the ns each request was due
const sent = new Uint32Array(connectionCount); // requests sent, modulo 2^32, as are those answered
const answered = new Uint32Array(connectionCount);
const partial = new Uint32Array(connectionCount); // bytes received of the reply under way

const latency = new Histogram();
const lag = new Histogram();

function prepareFrames(): string {
  const random = new RandomBytes(7);
  const value = "v".repeat(valueBytes);
  const tail = command === "get" ? "\r\n" : `\r\n$${valueBytes}\r\n${value}\r\n`;
  const head = command === "get" ? "*2\r\n$3\r\nGET\r\n$16\r\nkey:" : "*3\r\n$3\r\nSET\r\n$16\r\nkey:";
  return Array.from({ length: frameCount }, () => {
    return head + `${random.next() % keys}`.padStart(12, "0") + tail;
  }).join("");
}

let nextFrame = 0;

/** Sends one request that was due at `dueNs`. False when the socket takes no more now: try again, the debt stands. */
function sendOne(connection: number, dueNs: number): boolean {
  if ((sent[connection] - answered[connection]) >>> 0 >= dueSlots) return false;
  const took = sockets.send(connection, frames.address + nextFrame * frameBytes, frameBytes);
  if (took < 0) return false;
  if (took !== frameBytes) throw new Error("a request went out in part");
  nextFrame = (nextFrame + 1) & (frameCount - 1);
  due[connection * dueSlots + (sent[connection] & (dueSlots - 1))] = dueNs;
  sent[connection]++;
  return true;
}

/** Reads what has come on a connection and records the replies it completes. Returns how many those were. */
function receive(connection: number, recordFromNs: number): number {
  const got = sockets.receive(connection);
  if (got === 0) return 0;
  if (partial[connection] === 0 && input[0] !== (command === "get" ? 36 : 43)) {
    throw new Error(
      `unexpected reply ${Buffer.from(input.subarray(0, Math.min(got, 60))).toString("latin1")}`,
    );
  }
  const nowNs = Bun.nanoseconds();
  const bytes = partial[connection] + got;
  const replies = Math.floor(bytes / replyBytes);
  partial[connection] = bytes - replies * replyBytes;
  for (let reply = 0; reply < replies; reply++) {
    const dueNs = due[connection * dueSlots + (answered[connection] & (dueSlots - 1))];
    answered[connection]++;
    if (dueNs >= recordFromNs) latency.record((nowNs - dueNs) / 1000);
  }
  return replies;
}

/** Runs until `endNs`; open loop waits for the last replies for a second more. */
function openLoop(startNs: number, recordFromNs: number, endNs: number): void {
  const intervalNs = 1e9 / rate;
  let request = 0;
  let outstanding = 0;
  for (;;) {
    let nowNs = Bun.nanoseconds();
    for (let burst = 0; burst < 64; burst++) {
      const dueNs = startNs + request * intervalNs;
      if (dueNs > nowNs || dueNs >= endNs) break;
      if (!sendOne(request % connectionCount, dueNs)) break;
      if (dueNs >= recordFromNs) lag.record((nowNs - dueNs) / 1000);
      request++;
      outstanding++;
      nowNs = Bun.nanoseconds();
    }
    const ready = sockets.poll();
    for (let index = 0; index < ready; index++) {
      outstanding -= receive(sockets.ready(index), recordFromNs);
    }
    if (nowNs >= endNs && (outstanding === 0 || nowNs >= endNs + 1e9)) break;
  }
  if (outstanding !== 0) throw new Error(`${outstanding} requests unanswered a second after the end`);
}

function closedLoop(recordFromNs: number, endNs: number): void {
  let nowNs = Bun.nanoseconds();
  for (let connection = 0; connection < connectionCount; connection++) sendOne(connection, nowNs);
  while (nowNs < endNs) {
    const ready = sockets.poll();
    nowNs = Bun.nanoseconds();
    for (let index = 0; index < ready; index++) {
      const connection = sockets.ready(index);
      if (receive(connection, recordFromNs) > 0) sendOne(connection, nowNs);
    }
  }
}

if (import.meta.main) {
  const startNs = Bun.nanoseconds() + 1e6;
  const recordFromNs = startNs + warmUpSeconds * 1e9;
  const endNs = recordFromNs + seconds * 1e9;
  if (rate > 0) openLoop(startNs, recordFromNs, endNs);
  else closedLoop(recordFromNs, endNs);
  const report: Report = {
    requests: latency.count,
    perSecond: latency.count / seconds,
    p50Us: latency.percentileUs(50),
    p99Us: latency.percentileUs(99),
    p999Us: latency.percentileUs(99.9),
    p9999Us: latency.percentileUs(99.99),
    maxUs: latency.maxUs,
    lagP99Us: lag.percentileUs(99),
    lagMaxUs: lag.maxUs,
  };
  console.log(JSON.stringify(report));
  process.exit(0);
}
