// open-loop.ts: the load generator of latency.ts, a process of its own so that it can have a core of its own.
//
//   bun scripts/bench/open-loop.ts PORT CONNECTIONS SECONDS RATE get|set KEYS VALUE_BYTES [BESIDE]
//   RATE > 0: open loop. Request i is due at start + i / RATE, whatever became of the requests before it, and its
//     latency runs from when it was DUE to when its whole reply was read. A server, or a generator, that stalls is
//     charged for every request that was due meanwhile: nothing is omitted in step with the stall.
//   RATE = 0: closed loop, one request outstanding per connection: the saturation rate, not pipelined.
// The first `warmUpSeconds` are not recorded. Prints one line of JSON, a Told.
// BESIDE is JSON, a Beside: what else it does meanwhile, on two more connections, and where each latency is written.
//
// It spins on epoll_wait(0), without allocation in the measured time (sockets.ts). `lag` says how late requests were
// sent: where lag is near the latency, the generator was the bottleneck and not the server.
//
// Requests have one length, and a reply is a value of VALUE_BYTES or null, which the second byte tells. Request order
// within a connection is reply order; `due` keeps the times in between.

import { writeFileSync } from "node:fs";
import { Histogram } from "./histogram.ts";
import { encode, RandomBytes } from "./lib.ts";
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
  /** GETs answered by null, recorded or not. */
  misses: number;
}

/** What is printed. */
export interface Told extends Report {
  /** What `first` and `poll` were answered; when they were sent and answered, ms since recording began. */
  polled: { sentMs: number; ms: number; text: string }[];
}

/** Done by the generator itself and not by whoever started it, so that nobody takes its core from it. */
export interface Beside {
  /** Recording begins at that moment, ms since the epoch, instead of after the warm-up. */
  recordAtMs?: number;
  /** SETs of keys that never were, `new:` and 12 digits, at a steady rate. */
  newPerSecond?: number;
  newBytes?: number;
  /** Commands sent just before recording begins. */
  first?: string[][];
  /** A command sent every so many ms from then on. */
  poll?: string[];
  pollMs?: number;
  /** A file for pairs of Float32: ms since recording began at which a request was due, its latency in us. */
  samples?: string;
}

const warmUpSeconds = 2;
const dueSlots = 1 << 15; // outstanding requests per connection
const frameCount = 1 << 14; // prepared requests, random keys

const [port, connectionCount, seconds, rate, , keys, valueBytes] = process.argv.slice(2).map(Number);
const command = process.argv[6];
const beside = JSON.parse(process.argv[9] ?? "{}") as Beside;

const frames = new Outgoing(prepareFrames());
const frameBytes = frames.bytes.length / frameCount;
const replyBytes = command === "get" ? `$${valueBytes}\r\n`.length + valueBytes + 2 : 5;
const missBytes = 5; // $-1
const newConnection = connectionCount;
const askConnection = connectionCount + 1;
const firstLeadNs = 50e6;
const sockets = new Sockets(port, process.argv[9] === undefined ? connectionCount : connectionCount + 2);
const { input } = sockets;

const due = new Float64Array(connectionCount * dueSlots); // ring per connection: the ns each request was due
const sent = new Uint32Array(connectionCount); // requests sent, modulo 2^32, as are those answered
const answered = new Uint32Array(connectionCount);
const missing = new Int32Array(connectionCount); // bytes of the reply under way; -1: one has come
const samples = new Float32Array(beside.samples === undefined ? 0 : 2 * Math.ceil(rate * seconds + 1));
const polled: Told["polled"] = [];
let sampled = 0;
let misses = 0;

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
  const nowNs = Bun.nanoseconds();
  let replies = 0;
  for (let at = 0; at < got; ) {
    if (missing[connection] === 0) {
      if (input[at] !== (command === "get" ? 36 : 43)) {
        throw new Error(`unexpected reply ${Buffer.from(input.subarray(at, at + 60)).toString("latin1")}`);
      }
      missing[connection] = -1;
      at++;
      continue;
    }
    if (missing[connection] === -1) {
      const miss = input[at] === 45;
      if (miss) misses++;
      missing[connection] = (miss ? missBytes : replyBytes) - 1;
    }
    const taken = Math.min(missing[connection], got - at);
    at += taken;
    missing[connection] -= taken;
    if (missing[connection] > 0) break;
    const dueNs = due[connection * dueSlots + (answered[connection] & (dueSlots - 1))];
    answered[connection]++;
    replies++;
    if (dueNs < recordFromNs) continue;
    const us = (nowNs - dueNs) / 1000;
    latency.record(us);
    if (sampled < samples.length) {
      samples[sampled++] = (dueNs - recordFromNs) / 1e6;
      samples[sampled++] = us;
    }
  }
  return replies;
}

const newFrame = new Outgoing(
  encode(["SET", "new:000000000000", new RandomBytes(9).text(beside.newBytes ?? 1)]),
);
const newDigitsAt = Buffer.from(newFrame.bytes).indexOf("new:") + 4;
// Counted from the microsecond, so that another run does not meet this one's keys.
let newNumber = Math.floor((performance.timeOrigin * 1000) % 1e11);
let newSent = 0;
const first = new Outgoing((beside.first ?? []).map(encode).join("") || "\r\n");
const poll = new Outgoing(encode(beside.poll ?? ["PING"]));
let firstSent = beside.first === undefined;
let polls = 0;
let askedNs = 0;

/** Sends what is due of the rest. */
function sendBeside(nowNs: number, startNs: number, recordFromNs: number): void {
  const { newPerSecond = 0, pollMs = 0 } = beside;
  while (newSent < ((nowNs - startNs) / 1e9) * newPerSecond) {
    for (let digit = 11, rest = newNumber; digit >= 0; digit--, rest = Math.floor(rest / 10))
      newFrame.bytes[newDigitsAt + digit] = 48 + (rest % 10);
    const { address, bytes } = newFrame;
    const took = sockets.send(newConnection, address, bytes.length);
    if (took < 0) break;
    if (took !== bytes.length) throw new Error("a SET went out in part");
    newNumber++;
    newSent++;
  }
  if (!firstSent && nowNs >= recordFromNs - firstLeadNs) {
    firstSent = true;
    askedNs = nowNs;
    sockets.send(askConnection, first.address, first.bytes.length);
  } else if (pollMs > 0 && nowNs - recordFromNs >= polls * pollMs * 1e6) {
    polls++;
    askedNs = nowNs;
    sockets.send(askConnection, poll.address, poll.bytes.length);
  }
}

/** Reads replies to the rest. */
function receiveBeside(connection: number, recordFromNs: number): void {
  const got = sockets.receive(connection);
  if (got === 0) return;
  if (input[0] === 45) throw new Error(Buffer.from(input.subarray(0, got)).toString("latin1"));
  if (connection === newConnection) return;
  const text = Buffer.from(input.subarray(0, got)).toString("latin1");
  const [sentMs, ms] = [askedNs, Bun.nanoseconds()].map((ns) => (ns - recordFromNs) / 1e6) as [
    number,
    number,
  ];
  polled.push({ sentMs, ms, text });
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
    if (nowNs < endNs) sendBeside(nowNs, startNs, recordFromNs);
    const ready = sockets.poll();
    for (let index = 0; index < ready; index++) {
      const connection = sockets.ready(index);
      if (connection >= connectionCount) receiveBeside(connection, recordFromNs);
      else outstanding -= receive(connection, recordFromNs);
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
  const recordFromNs =
    beside.recordAtMs === undefined
      ? startNs + warmUpSeconds * 1e9
      : Bun.nanoseconds() + (beside.recordAtMs - Date.now()) * 1e6;
  const endNs = recordFromNs + seconds * 1e9;
  if (rate > 0) openLoop(startNs, recordFromNs, endNs);
  else closedLoop(recordFromNs, endNs);
  const report: Told = {
    requests: latency.count,
    perSecond: latency.count / seconds,
    p50Us: latency.percentileUs(50),
    p99Us: latency.percentileUs(99),
    p999Us: latency.percentileUs(99.9),
    p9999Us: latency.percentileUs(99.99),
    maxUs: latency.maxUs,
    lagP99Us: lag.percentileUs(99),
    lagMaxUs: lag.maxUs,
    misses,
    polled,
  };
  if (beside.samples !== undefined) writeFileSync(beside.samples, samples.subarray(0, sampled));
  console.log(JSON.stringify(report));
  process.exit(0);
}
