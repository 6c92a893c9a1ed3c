// seam-thread.ts: a thread with a driver and, instead of a worker, something that does to the driver what its clients say:
// for what of the seam no command of the server reaches alone.
//
// A client sends lines. What it gets back are frames: u32 number of the connection that asked for it, u32 how many it had
// asked for this receiver before, u32 length, then so many bytes that follow from these; in both halves of `with` the
// top bit of the length is set, and CRLF follows the frame.
//   id                     transmits an empty frame: tells the client its number
//   transmit BYTES         transmits a frame of that many bytes to who asks
//   with BYTES             the same by transmitWith
//   post TARGET BYTES      posts a frame to a connection
//   limit BYTES            ends a connection whose backlog is longer after a post
//   deadline MS            posts an empty frame when that time is over; its length says how long it took, microseconds
//   spin TURNS             posts an empty frame after so many turns, between which nobody is to sleep
//   rung                   posts an empty frame at the next turn
//   close                  ends the connection after what was sent
//   stop                   ends the thread
// Neighbours: tests/drivers/seam.test.ts.
import { BufferPool } from "../../engine/io/buffer-pool.ts";
import { BunDriver } from "../../engine/io/bun.ts";
import { Connection } from "../../engine/io/connection.ts";
import type { Driver, DriverOptions, Events } from "../../engine/io/driver.ts";
import { EpollDriver } from "../../engine/io/epoll.ts";
import { ringEventFd } from "../../engine/io/native.ts";
import { UringDriver } from "../../engine/io/uring.ts";
import { need, Region } from "../../engine/memory/region.ts";

export interface SeamPlan {
  readonly io: string;
  readonly listener: number;
  readonly port: number;
  readonly wakeFd: number;
  readonly bell: string;
}

export interface SeamReport {
  readonly turns: number;
  readonly ends: number;
  readonly wrong: readonly string[];
}

/** The byte of a frame at a place. */
export function frameByte(from: number, number: number, at: number): number {
  return (Math.imul(at, 0x9e3779b1) ^ (from * 31 + number * 977)) & 255;
}

class Peer extends Connection {
  id = 0;
  line = "";
  limit = Number.POSITIVE_INFINITY;
  readonly asked = new Map<Peer, number>();
}

const REGION_BYTES = 64 << 20;
const IDLE_MS = 1000;

class Seam implements Events {
  private readonly send = need(Region.private(REGION_BYTES), "a send region");
  private readonly source = need(Region.private(REGION_BYTES), "what is posted");
  private readonly driver: Driver;
  private readonly peers: Peer[] = [];
  private readonly posted = new Set<Peer>();
  private readonly wrong: string[] = [];
  private at = 0;
  private turns = 0;
  private ends = 0;
  private inTurn = false;
  private stopping = false;
  private deadlines: { peer: Peer; setMs: number; ms: number }[] = [];
  private spinner: Peer | null = null;
  private spins = 0;
  private bellRinger: Peer | null = null;

  constructor(
    private readonly plan: SeamPlan,
    private readonly ended: (report: SeamReport) => void,
  ) {
    const options: DriverOptions = {
      events: this,
      send: this.send,
      pool: new BufferPool(),
      listeners: plan.listener < 0 ? [] : [plan.listener],
      refusal: "",
      wakeFd: plan.wakeFd,
      keepaliveSeconds: 0,
    };
    const address = { hostname: "127.0.0.1", port: plan.port };
    this.driver =
      plan.io === "uring"
        ? new UringDriver(options, 1)
        : plan.io === "epoll"
          ? new EpollDriver(options, 1)
          : new BunDriver(options, [address], plan.bell, () => this.finish());
  }

  run(started: () => void): void {
    if (this.plan.io !== "bun") started();
    this.driver.run();
    if (this.plan.io === "bun") started();
    else this.finish();
  }

  private finish(): void {
    this.ended({ turns: this.turns, ends: this.ends, wrong: this.wrong });
  }

  turn(): boolean {
    if (this.inTurn) this.wrong.push("a turn within a turn");
    if (this.stopping) return false;
    this.inTurn = true;
    this.turns++;
    this.at = 0;
    const now = performance.now();
    for (const { peer, setMs } of this.deadlines.filter((each) => now >= each.setMs + each.ms)) {
      this.deadlines = this.deadlines.filter((each) => each.peer !== peer);
      this.postFrame(peer, peer, 0, Math.floor((now - setMs) * 1000));
    }
    if (this.spinner !== null && this.spins-- === 0) {
      this.postFrame(this.spinner, this.spinner, 0, 0);
      this.spinner = null;
    }
    if (this.bellRinger !== null) {
      this.postFrame(this.bellRinger, this.bellRinger, 0, 0);
      this.bellRinger = null;
    }
    return true;
  }

  endTurn(): void {
    if (!this.inTurn) this.wrong.push("an end without a turn");
    for (const peer of this.posted) this.driver.flush(peer);
    this.posted.clear();
    this.ends++;
    this.inTurn = false;
  }

  sleepMs(): number {
    if (this.stopping || this.spinner !== null) return 0;
    const now = performance.now();
    return this.deadlines.reduce(
      (least, { setMs, ms }) => Math.max(0, Math.min(least, Math.ceil(setMs + ms - now))),
      IDLE_MS,
    );
  }

  accepted(fd: number): Connection {
    const peer = new Peer(fd);
    peer.id = this.peers.length;
    this.peers.push(peer);
    return peer;
  }

  closed(connection: Connection): void {
    this.posted.delete(connection as Peer);
  }

  received(connection: Connection, region: Region, start: number, end: number): void {
    if (!this.inTurn) this.wrong.push("received outside of a turn");
    const peer = connection as Peer;
    const lines = (peer.line + Buffer.from(region.u8.subarray(start, end)).toString("latin1")).split("\n");
    peer.line = lines.pop()!;
    for (const line of lines) if (!peer.closed) this.obey(peer, line.split(" "));
  }

  private obey(peer: Peer, [word, first, second]: string[]): void {
    if (word === "id") this.transmitFrame(peer, 0);
    else if (word === "transmit") this.transmitFrame(peer, Number(first));
    else if (word === "with") this.transmitWithFrame(peer, Number(first));
    else if (word === "post")
      this.postFrame(peer, this.peers[Number(first)]!, Number(second), Number(second));
    else if (word === "limit") peer.limit = Number(first);
    else if (word === "deadline") {
      this.deadlines.push({ peer, setMs: performance.now(), ms: Number(first) });
    } else if (word === "spin") {
      this.spinner = peer;
      this.spins = Number(first);
    } else if (word === "rung") this.bellRinger = peer;
    else if (word === "close") {
      this.posted.delete(peer); // an end needs no flush
      this.driver.close(peer, false);
    } else if (word === "stop") {
      this.stopping = true;
      if (this.plan.wakeFd >= 0) ringEventFd(this.plan.wakeFd);
    } else this.wrong.push(`no such order: ${word}`);
  }

  private write(region: Region, at: number, from: Peer, to: Peer, bytes: number, length: number): number {
    const number = from.asked.get(to) ?? 0;
    from.asked.set(to, number + 1);
    region.view.setUint32(at, from.id, true);
    region.view.setUint32(at + 4, number, true);
    region.view.setUint32(at + 8, length >>> 0, true);
    for (let i = 0; i < bytes; i++) region.u8[at + 12 + i] = frameByte(from.id, number, i);
    return at + 12 + bytes;
  }

  private transmitFrame(peer: Peer, bytes: number): void {
    const end = this.write(this.send, this.at, peer, peer, bytes, bytes);
    this.at = this.driver.transmit(peer, this.at, end);
  }

  private transmitWithFrame(peer: Peer, bytes: number): void {
    const end = this.write(this.source, 0, peer, peer, bytes, bytes | 0x80000000);
    const head = Math.min(12 + (bytes >> 1), end);
    this.send.u8.set(this.source.u8.subarray(0, head), this.at);
    this.driver.transmitWith(peer, this.at, this.at + head, this.source, head, end - head);
  }

  private postFrame(from: Peer, to: Peer, bytes: number, length: number): void {
    const end = this.write(this.source, 0, from, to, bytes, length);
    this.driver.post(to, this.source, 0, end);
    if (!to.draining) this.posted.add(to);
    if (to.backlogBytes > to.limit) this.driver.close(to, true);
  }
}

declare const self: Worker;
if (!Bun.isMainThread)
  self.onmessage = (event: MessageEvent<SeamPlan>) => {
    new Seam(event.data, (report) => postMessage(report)).run(() => postMessage("started"));
  };
