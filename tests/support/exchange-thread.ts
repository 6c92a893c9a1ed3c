// exchange-thread.ts: a worker of the exchange test: publishes numbered messages, subscribes and unsubscribes, delivers. One
// of its connections subscribes to a channel and a pattern before anybody publishes and stays: it must hear every message
// of everybody, once, in order. Others come and go: they must hear of each publisher in order, and nothing twice.
// Neighbours: tests/property/exchange.test.ts starts it.
import type { Client } from "../../engine/worker/client.ts";
import { Desk, type DeskPlan } from "./exchange.ts";

export interface ThreadPlan {
  readonly plan: DeskPlan;
  readonly index: number;
  readonly workers: number;
  readonly messages: number;
  readonly seed: number;
}

export interface ThreadReport {
  readonly published: number;
  readonly heard: number;
  readonly subscribed: number;
  readonly wrong: readonly string[];
}

const PATIENCE_MS = 30_000;

function run({ plan, index, workers, messages, seed }: ThreadPlan): ThreadReport {
  let state = (seed + index * 0x9e3779b1) | 0;
  const below = (bound: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return Math.floor(((state >>> 0) / 2 ** 32) * bound);
  };
  const wrong: string[] = [];
  const complain = (text: string) => {
    if (wrong.length < 5) wrong.push(`worker ${index}: ${text}`);
  };
  /** Last message heard by connection, subscription and publisher. */
  const last = new Map<Client, Map<string, number>>();
  let heard = 0;
  const desk = new Desk(plan, index, (client, push) => {
    const parts = push.split("\r\n");
    const pattern = parts[0] === ">4" ? parts[4]! : "";
    const [text, channel] = [parts.at(-2)!, parts.at(-4)!];
    const [publisher, number, echo] = text.split(":");
    heard++;
    if (echo !== `${"e".repeat(Number(number) % 50)}` || `$${text.length}` !== parts.at(-3))
      complain(`a message came as ${JSON.stringify(push.slice(0, 200))}`);
    const name = `${pattern}|${channel}|${publisher}`;
    const seen = last.get(client)!;
    const before = seen.get(name) ?? 0;
    if (Number(number) <= before) complain(`message ${text} on ${name} after ${before}`);
    seen.set(name, Number(number));
    if (client === stays) counts[pattern === "" ? 0 : 1]!++;
  });
  const counts = [0, 0];
  const connect = () => {
    const client = desk.connect();
    last.set(client, new Map());
    return client;
  };
  const stays = connect();
  const passers = Array.from({ length: 6 }, connect);
  desk.run(stays, "subscribe", "all");
  desk.run(stays, "psubscribe", "a[k-m]l");
  // Everybody is there when the shard channel "ready" has as many subscribers as there are workers.
  desk.run(connect(), "ssubscribe", "ready");
  const deadline = performance.now() + PATIENCE_MS;
  const wait = (what: string, done: () => boolean) => {
    while (!done()) {
      if (performance.now() > deadline) throw new Error(`worker ${index} waits in vain for ${what}`);
      desk.drain();
      Bun.sleepSync(1);
    }
  };
  wait("all to be ready", () =>
    desk.run(stays, "pubsub", "shardnumsub", "ready").endsWith(`:${workers}\r\n`),
  );
  let subscribed = 0;
  const names = ["all", "one", "two", "three"];
  const patterns = ["*", "t*", "a??", "o[mno]e"];
  let number = 0;
  for (let published = 0; published < messages; ) {
    const what = below(10);
    const client = passers[below(passers.length)]!;
    if (what < 5) {
      const channel = below(2) === 0 ? "all" : names[below(names.length)]!;
      number++;
      const echo = "e".repeat(number % 50);
      const reply = Number(desk.run(client, "publish", channel, `${index}:${number}:${echo}`).slice(1, -2));
      const least = channel === "all" ? 2 * workers : 0;
      // The one that stays has a pattern that matches "all" alone; a passer has four channels and four patterns.
      if (!(reply >= least && reply <= least + workers * passers.length * 5))
        complain(`${reply} subscribers of ${channel}`);
      if (channel === "all") published++;
    } else if (what < 7) {
      if (below(2) === 0) desk.run(client, "subscribe", names[below(4)]!);
      else desk.run(client, "psubscribe", patterns[below(4)]!);
      subscribed++;
    } else if (what < 9) {
      if (below(2) === 0) desk.run(client, "unsubscribe", names[below(4)]!);
      else desk.run(client, "punsubscribe", patterns[below(4)]!);
      if (below(20) === 0) {
        desk.exchange.forget(client.session);
        last.get(client)!.clear();
      }
    } else desk.drain();
  }
  wait("all messages", () => counts[0]! >= messages * workers && counts[1]! >= messages * workers);
  if (counts.some((count) => count !== messages * workers))
    complain(`heard ${counts} of ${messages * workers}`);
  for (const client of last.keys()) desk.exchange.forget(client.session);
  desk.exchange.check();
  return { published: messages, heard, subscribed, wrong };
}

declare const self: Worker;
self.onmessage = (event: MessageEvent<ThreadPlan>) => {
  try {
    self.postMessage(run(event.data));
  } catch (error) {
    const wrong = [`the thread ended: ${error instanceof Error ? error.stack : error}`];
    self.postMessage({ published: 0, heard: 0, subscribed: 0, wrong } satisfies ThreadReport);
  }
};
