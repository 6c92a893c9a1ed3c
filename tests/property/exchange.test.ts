// exchange.test.ts: publish and subscribe across workers against a model: any history of subscribing, publishing and
// delivering, by turns in one thread; then threads that do all of it at once.
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { Mode } from "../../engine/commands/session.ts";
import { Key } from "../../engine/memory/key.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Event, Notify } from "../../engine/shard/events.ts";
import { globText } from "../../engine/types/glob.ts";
import type { Client } from "../../engine/worker/client.ts";
import { Desk, deskPlan } from "../support/exchange.ts";
import type { ThreadPlan, ThreadReport } from "../support/exchange-thread.ts";
import { random } from "../support/random.ts";

setDefaultTimeout(60_000);
const next = random("exchange");
const below = (bound: number): number => Math.floor(next() * bound);
const threads: Worker[] = [];
afterEach(() => {
  for (const thread of threads.splice(0)) thread.terminate();
});

const kinds = ["", "s", "p"] as const;
type Kind = (typeof kinds)[number];

/** A connection of the model. What it is subscribed to has a stamp, new with every subscription. */
interface Party {
  readonly client: Client;
  readonly desk: Desk;
  readonly names: Readonly<Record<Kind, Map<string, number>>>;
  expected: string[];
  heard: string[];
}

interface Flying {
  readonly party: Party;
  readonly kind: Kind;
  readonly name: string;
  readonly stamp: number;
  readonly push: string;
}

function bulks(...texts: string[]): string {
  return texts.map((text) => `$${text.length}\r\n${text}\r\n`).join("");
}

/** Where a push comes in its connection's order: by message, the channel's before the patterns'. */
function rank(push: string): number {
  const message = Number(push.split("\r\n").at(-2)!.split("#")[1]);
  return message * 2 + (push.startsWith(">4") ? 1 : 0);
}

test("exchange: every message reaches exactly who subscribed when it was published and still does", () => {
  const workers = 3;
  const plan = deskPlan(workers, 4 << 20);
  const parties = new Map<Client, Party>();
  const desks = Array.from(
    { length: workers },
    (_, i) => new Desk(plan, i, (client, push) => parties.get(client)!.heard.push(push)),
  );
  const flying: Flying[][] = desks.map(() => []);
  const channels = ["", "a", "ab", "abc", "b", "a\r\nb", "\xff\0", "x".repeat(300)];
  const patterns = ["*", "", "a*", "?", "a?", "[ab]", "\\a*", "x*x", "\xff*", "*b"];
  const keys = need(Region.private(4096), "keys");
  const key = new Key(keys);
  let stamps = 0;
  let messages = 0;
  const draw = <T>(from: readonly T[]): T => from[below(from.length)]!;
  const namesOf = (kind: Kind) => (kind === "p" ? patterns : channels);
  const told = ({ names }: Party, kind: Kind) =>
    kind === "s" ? names.s.size : names[""].size + names.p.size;

  /** What the model has fly for a message. Returns to how many. */
  const publish = (kind: "" | "s", channel: string, text: string): number => {
    let count = 0;
    const fly = (party: Party, subscribed: Kind, name: string, push: string) => {
      flying[party.desk.number]!.push({
        party,
        kind: subscribed,
        name,
        stamp: party.names[subscribed].get(name)!,
        push,
      });
      count++;
    };
    for (const party of parties.values())
      if (party.names[kind].has(channel))
        fly(party, kind, channel, `>3\r\n${bulks(`${kind}message`, channel, text)}`);
    if (kind === "")
      for (const party of parties.values())
        for (const pattern of party.names.p.keys())
          if (globText(pattern, channel))
            fly(party, "p", pattern, `>4\r\n${bulks("pmessage", pattern, channel, text)}`);
    return count;
  };

  const drain = (desk: Desk) => {
    desk.drain();
    for (const { party, kind, name, stamp, push } of flying[desk.number]!.splice(0))
      if (party.names[kind].get(name) === stamp) party.expected.push(push);
  };

  const settle = (party: Party) => {
    const ranks = party.heard.map(rank);
    expect(ranks).toEqual(ranks.toSorted((a, b) => a - b));
    expect(party.heard.toSorted()).toEqual(party.expected.toSorted());
    party.heard = [];
    party.expected = [];
  };

  for (let step = 0; step < 8_000; step++) {
    const what = next();
    const all = [...parties.values()];
    if (all.length < 3 || (what < 0.03 && all.length < 40)) {
      const desk = draw(desks);
      const client = desk.connect();
      const names = { "": new Map(), s: new Map(), p: new Map() };
      parties.set(client, { client, desk, names, expected: [], heard: [] });
      continue;
    }
    const party = draw(all);
    const { client, desk, names } = party;
    const kind = draw(kinds);
    if (what < 0.3) {
      const name = draw(namesOf(kind));
      if (!names[kind].has(name)) names[kind].set(name, ++stamps);
      const reply = `*3\r\n${bulks(`${kind}subscribe`, name)}:${told(party, kind)}\r\n`;
      expect(desk.run(client, `${kind}subscribe`, name)).toBe(reply);
    } else if (what < 0.5) {
      const name = draw(namesOf(kind));
      names[kind].delete(name);
      const reply = `*3\r\n${bulks(`${kind}unsubscribe`, name)}:${told(party, kind)}\r\n`;
      expect(desk.run(client, `${kind}unsubscribe`, name)).toBe(reply);
    } else if (what < 0.52) {
      const held = [...names[kind].keys()];
      const count = told(party, kind) - held.length;
      names[kind].clear();
      const reply =
        held.length === 0
          ? `*3\r\n${bulks(`${kind}unsubscribe`)}$-1\r\n:${count}\r\n`
          : held
              .map(
                (name, i) => `*3\r\n${bulks(`${kind}unsubscribe`, name)}:${count + held.length - 1 - i}\r\n`,
              )
              .join("");
      expect(desk.run(client, `${kind}unsubscribe`)).toBe(reply);
    } else if (what < 0.53) {
      drain(desk);
      settle(party);
      desk.exchange.forget(client.session);
      parties.delete(client);
      for (const map of Object.values(names)) map.clear();
    } else if (what < 0.8) {
      const channel = draw(channels);
      const text = `${"m".repeat(below(40))}#${++messages}`;
      const to = kind === "s" ? "s" : "";
      expect(desk.run(client, `${to}publish`, channel, text)).toBe(`:${publish(to, channel, text)}\r\n`);
    } else if (what < 0.85) {
      // The key's name is the message of the second channel; the first one's is the event.
      const name = Buffer.from(`key#${messages + 2}`, "latin1");
      keys.u8.set(name, 5);
      key.set(keys, 5, name.length);
      const flags = draw([Notify.Keyspace, Notify.Keyevent, Notify.Keyspace | Notify.Keyevent]);
      desk.exchange.publishEvent(flags, Event.GeoRadiusStore, 11, key);
      if ((flags & Notify.Keyspace) !== 0)
        publish("", `__keyspace@11__:${name.toString()}`, "georadiusstore");
      if ((flags & Notify.Keyevent) !== 0) publish("", "__keyevent@11__:georadiusstore", name.toString());
      messages += 2;
    } else if (what < 0.95) drain(desk);
    else if (what < 0.97) {
      const count = (of: Kind, name: string) => all.filter((each) => each.names[of].has(name)).length;
      const name = draw(channels);
      expect(desk.run(client, "pubsub", "numsub", name)).toBe(`*2\r\n${bulks(name)}:${count("", name)}\r\n`);
      expect(desk.run(client, "pubsub", "shardnumsub", name)).toBe(
        `*2\r\n${bulks(name)}:${count("s", name)}\r\n`,
      );
      const distinct = (of: Kind) => new Set(all.flatMap((each) => [...each.names[of].keys()]));
      expect(desk.run(client, "pubsub", "numpat")).toBe(`:${distinct("p").size}\r\n`);
      const listed = desk.run(client, "pubsub", "channels", "a*");
      const due = [...distinct("")].filter((each) => globText("a*", each));
      expect(listed.startsWith(`*${due.length}\r\n`)).toBe(true);
      for (const each of due) expect(listed).toContain(bulks(each));
      expect(desk.run(client, "pubsub", "shardchannels").startsWith(`*${distinct("s").size}\r\n`)).toBe(true);
    } else {
      for (const each of desks) drain(each);
      for (const each of parties.values()) settle(each);
      if (step % 5 === 0) for (const each of desks) each.exchange.check();
    }
    const total = names[""].size + names.s.size + names.p.size;
    expect((client.session.mode & Mode.Subscribed) !== 0).toBe(total > 0);
    expect(client.session.subscriptions?.counts ?? [0, 0, 0]).toEqual([
      names[""].size,
      names.s.size,
      names.p.size,
    ]);
  }
  for (const each of desks) drain(each);
  for (const { client, desk } of parties.values()) desk.exchange.forget(client.session);
  for (const { exchange } of desks) {
    exchange.check();
    expect([exchange.count(0), exchange.count(1), exchange.count(2)]).toEqual([0, 0, 0]);
  }
});

test("exchange: a subscription that finds no memory is refused and leaves nothing", () => {
  const plan = deskPlan(1, 1 << 20);
  const heard: string[] = [];
  const desk = new Desk(plan, 0, (_, push) => heard.push(push));
  const client = desk.connect();
  const held: string[] = [];
  for (;;) {
    const name = `${held.length}${"x".repeat(200_000)}`;
    if (desk.run(client, "subscribe", name).startsWith("-OOM")) break;
    held.push(name);
  }
  expect(held.length).toBeGreaterThan(100);
  desk.exchange.check();
  expect(client.session.subscriptions!.counts[0]).toBe(held.length);
  expect(desk.run(client, "publish", held[7]!, "still")).toBe(":1\r\n");
  desk.drain();
  expect(heard).toEqual([`>3\r\n${bulks("message", held[7]!, "still")}`]);
  desk.exchange.forget(client.session);
  desk.exchange.check();
  expect(desk.run(client, "subscribe", `${"y".repeat(200_000)}`).startsWith("*3")).toBe(true);
});

test("exchange: a connection that ended in the middle of its command is subscribed to nothing any more", () => {
  const desk = new Desk(deskPlan(1, 1 << 20), 0, () => {});
  const client = desk.connect();
  desk.run(client, "subscribe", "early");
  client.closed = true;
  desk.exchange.forget(client.session);
  desk.run(client, "subscribe", "late", "later");
  desk.exchange.check();
  expect(desk.exchange.count(0)).toBe(0);
  expect(client.session.mode & Mode.Subscribed).toBe(0);
});

test("exchange: threads that subscribe, publish and deliver at once lose and invent nothing", async () => {
  const workers = 4;
  const plan = deskPlan(workers, 4 << 20);
  const seed = below(2 ** 31);
  const reports = await Promise.all(
    Array.from({ length: workers }, (_, index) => {
      const thread = new Worker(new URL("../support/exchange-thread.ts", import.meta.url).href);
      threads.push(thread);
      thread.postMessage({ plan, index, workers, messages: 2_000, seed } satisfies ThreadPlan);
      return new Promise<ThreadReport>((resolve, reject) => {
        thread.onmessage = (event: MessageEvent<ThreadReport>) => resolve(event.data);
        thread.onerror = (event) => reject(new Error(event.message));
      });
    }),
  );
  expect(reports.flatMap(({ wrong }) => wrong)).toEqual([]);
  const sum = (what: "published" | "heard" | "subscribed") =>
    reports.reduce((total, report) => total + report[what], 0);
  console.log(
    `exchange: ${sum("published")} messages, ${sum("heard")} deliveries, ${sum("subscribed")} subscriptions`,
  );
  expect(sum("published")).toBe(workers * 2_000);
  expect(sum("subscribed")).toBeGreaterThan(workers * 500);
});
