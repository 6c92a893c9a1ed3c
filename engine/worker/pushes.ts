// pushes.ts: what is sent to a connection that did not ask for it with the command being run: messages, invalidations,
// replies to commands that had to wait. It goes behind everything the connection was sent before, and all of a turn goes
// out together at its end.
//
// Bytes for the connection whose commands are being run go into its replies, between two commands; those for others
// into their backlog (Driver.post). Limits: client-output-buffer-limit, of pubsub for who is subscribed.
// On the data path of publishing: no allocation. Neighbours: worker.ts; exchange.ts, tracker.ts, waiters.ts.

import type { Reply } from "../commands/reply.ts";
import { Mode } from "../commands/session.ts";
import type { Settings } from "../config/settings.ts";
import type { Driver } from "../io/driver.ts";
import { copyBytes, need, Region } from "../memory/region.ts";
import { writeLatin1 } from "../types/integer.ts";
import type { Client } from "./client.ts";

interface Limit {
  /** Bytes; Infinity for none. */
  hard: number;
  soft: number;
  seconds: number;
}

/** Room for a text that is written by hand. */
const TEXT_BYTES = 65536;

export class Pushes {
  /** The connection whose commands are being run, null between them. */
  current: Client | null = null;
  /** Connections that were cut off for what they left unread. */
  disconnections = 0;
  private readonly posted: Client[] = [];
  private readonly text = need(Region.private(TEXT_BYTES), "texts of pushes");
  private readonly normal: Limit = { hard: 0, soft: 0, seconds: 0 };
  private readonly pubsub: Limit = { hard: 0, soft: 0, seconds: 0 };
  private driver: Driver | null = null;

  constructor(private readonly reply: Reply) {}

  attach(driver: Driver): void {
    this.driver = driver;
  }

  limits(settings: Settings): void {
    for (const [limit, name] of [
      [this.normal, "normal"],
      [this.pubsub, "pubsub"],
    ] as const) {
      const { hard, soft, seconds } = settings.outputLimit(name);
      limit.hard = hard === 0 ? Number.POSITIVE_INFINITY : hard;
      limit.soft = soft === 0 ? Number.POSITIVE_INFINITY : soft;
      limit.seconds = seconds;
    }
  }

  /** Sends `bytes` of a region that begin with '>': a push, which in RESP2 is an array. The region's byte may change. */
  push(client: Client, region: Region, start: number, bytes: number): void {
    region.u8[start] = client.session.resp3 ? 62 : 42;
    this.send(client, region, start, bytes);
  }

  /** The same for several of them, whose places are the first `count` of `starts` and `lengths`, at once. `total`: their
   *  bytes. */
  pushAll(
    client: Client,
    region: Region,
    starts: Int32Array,
    lengths: Int32Array,
    count: number,
    total: number,
  ): void {
    const { reply } = this;
    const driver = this.driver!;
    const from = reply.at;
    // Between the commands of others the send region is free, and one send takes all.
    if (this.current !== null || from + total > reply.limit || !driver.follows(client, from)) {
      for (let i = 0; i < count; i++) this.push(client, region, starts[i]!, lengths[i]!);
      return;
    }
    const first = client.session.resp3 ? 62 : 42;
    let at = from;
    for (let i = 0; i < count; i++) {
      const bytes = lengths[i]!;
      copyBytes(reply.region, at, region, starts[i]!, bytes);
      reply.u8[at] = first;
      at += bytes;
    }
    reply.at = driver.transmit(client, from, at);
    reply.begin = reply.at;
    if (client.backlogBytes > 0 && !client.closed) this.checkHard(client);
  }

  /** Sends bytes as they are. */
  send(client: Client, region: Region, start: number, bytes: number): void {
    if (client.closed || client.draining) return;
    if (client === this.current) {
      const { reply } = this;
      if (!reply.room(bytes)) return;
      copyBytes(reply.region, reply.at, region, start, bytes);
      reply.at += bytes;
      return;
    }
    this.driver!.post(client, region, start, bytes);
    if (client.closed) return;
    if (!client.posted) {
      client.posted = true;
      this.posted.push(client);
    }
    this.checkHard(client);
  }

  private checkHard(client: Client): void {
    const limit = (client.session.mode & Mode.Subscribed) !== 0 ? this.pubsub : this.normal;
    if (client.backlogBytes > limit.hard) this.cut(client);
  }

  /** Sends text of one byte a character. Cold. */
  sendText(client: Client, text: string): void {
    for (let at = 0; at < text.length; at += TEXT_BYTES) {
      const piece = text.slice(at, at + TEXT_BYTES);
      writeLatin1(this.text.u8, 0, piece);
      this.send(client, this.text, 0, piece.length);
    }
  }

  private cut(client: Client): void {
    this.disconnections++;
    this.driver!.close(client, true);
  }

  /** The turn ends: what was posted goes out, as far as the sockets take it. */
  flush(): void {
    const { posted } = this;
    for (let i = 0; i < posted.length; i++) {
      const client = posted[i]!;
      client.posted = false;
      if (!client.closed) this.driver!.flush(client);
    }
    posted.length = 0;
  }

  /** Cuts off a connection that has been over its soft limit for too long; asked now and then. */
  checkSoft(client: Client, nowMs: number): void {
    const limit = (client.session.mode & Mode.Subscribed) !== 0 ? this.pubsub : this.normal;
    if (client.backlogBytes <= limit.soft) client.overSinceMs = 0;
    else if (client.overSinceMs === 0) client.overSinceMs = nowMs;
    else if (nowMs - client.overSinceMs > limit.seconds * 1000) this.cut(client);
  }
}
