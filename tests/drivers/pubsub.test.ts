// pubsub.test.ts: publish and subscribe through real sockets, over the three drivers, with one worker and with four: who
// hears what in which order under load, and what becomes of subscribers who do not read or who go away.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { bulk, command, RawSocket, until } from "../support/raw-socket.ts";
import { infoField, killLeftovers, Server, usableDrivers } from "../support/server.ts";

setDefaultTimeout(120_000);
afterAll(killLeftovers);

const drivers = await usableDrivers();
const plans = drivers.flatMap((io) => [1, 4].map((workers) => ({ io, workers })));

function message(channel: string, text: string): string {
  return `*3\r\n${bulk("message")}${bulk(channel)}${bulk(text)}`;
}

async function subscribed(server: Server, ...channels: string[]): Promise<RawSocket> {
  const socket = server.connect();
  await socket.send(command("SUBSCRIBE", ...channels));
  for (const [i, channel] of channels.entries())
    await socket.expect(`*3\r\n${bulk("subscribe")}${bulk(channel)}:${i + 1}\r\n`);
  return socket;
}

/** The text of message `number` of a publisher: of any length, telling where it is from. */
function textOf(publisher: number, number: number): string {
  return `${publisher}:${number}:${"t".repeat((number * 7919) % 300)}`;
}

describe.each(plans)("pubsub: $io, $workers workers", ({ io, workers }) => {
  let server: Server;
  beforeAll(async () => {
    server = await Server.start({ io, workers });
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
    expect(server.log).not.toContain("failed inside");
  });

  test("pipelining publishers: every subscriber hears all of each, in order, and each is told how many", async () => {
    const publishers = 4;
    const messages = 3_000;
    const subscribers = await Promise.all(
      Array.from({ length: 12 }, () => subscribed(server, "news", "more")),
    );
    const senders = Array.from({ length: publishers }, () => server.connect());
    let bytes = 0;
    const channelOf = (number: number) => (number % 3 === 0 ? "more" : "news");
    for (let publisher = 0; publisher < publishers; publisher++)
      for (let number = 0; number < messages; number++)
        bytes += message(channelOf(number), textOf(publisher, number)).length;
    const speak = senders.map(async (socket, publisher) => {
      for (let number = 0; number < messages; number += 100) {
        let batch = "";
        for (let i = number; i < number + 100; i++)
          batch += command("PUBLISH", channelOf(i), textOf(publisher, i));
        await socket.send(batch);
        await socket.expect(":12\r\n".repeat(100));
      }
    });
    const listen = subscribers.map(async (socket) => {
      const next = new Array<number>(publishers).fill(0);
      const heard = (await socket.read(bytes)).toString("latin1");
      for (let at = 0; at < heard.length; ) {
        // "*3", "$7", "message", "$4", channel, length, text
        const textAt = heard.indexOf("\r\n", at + 27) + 2;
        const publisher = Number(heard[textAt]);
        const due = message(channelOf(next[publisher]!), textOf(publisher, next[publisher]!));
        if (!heard.startsWith(due, at))
          throw new Error(`${JSON.stringify(due)} was due, not ${JSON.stringify(heard.slice(at, at + 200))}`);
        next[publisher]!++;
        at += due.length;
      }
      expect(next).toEqual(new Array(publishers).fill(messages));
    });
    await Promise.all([...speak, ...listen]);
    for (const socket of [...subscribers, ...senders]) socket.close();
  });

  test("a subscriber that does not read is cut off at its limit, others hear on", async () => {
    const asker = server.connect();
    await asker.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 4mb 0 0");
    const connected = () => infoField(asker, "clients", "connected_clients");
    await until("those of the tests before to be gone", async () => (await connected()) === 1);
    const deaf = RawSocket.open(server.port, { receiveBytes: 4096 });
    await deaf.send(command("SUBSCRIBE", "flood"));
    await deaf.expect(`*3\r\n${bulk("subscribe")}${bulk("flood")}:1\r\n`);
    const hears = await subscribed(server, "flood");
    const text = "f".repeat(100_000);
    let sent = 0;
    for (; sent < 1_000; sent++) {
      const reply = await asker.ask("PUBLISH", "flood", text);
      await hears.expect(message("flood", text));
      if (reply === ":1") break;
      expect(reply).toBe(":2");
    }
    // 4 MiB, what two kernels buffer, and no more than that.
    expect(sent).toBeGreaterThan(30);
    expect(sent).toBeLessThan(300);
    await until("the deaf one to be gone", async () => (await connected()) === 2);
    await until("the figure that tells of it", async () => {
      return (await infoField(asker, "stats", "client_output_buffer_limit_disconnections")) > 0;
    });
    expect(await asker.ask("PUBLISH", "flood", "on")).toBe(":1");
    await hears.expect(message("flood", "on"));
    await asker.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 33554432 8388608 60");
    for (const socket of [asker, deaf, hears]) socket.close();
  });

  test("subscribers come and go while messages fly: those that stay miss nothing, and in the end nobody is left", async () => {
    const asker = server.connect();
    const stays = await subscribed(server, "busy");
    let going = true;
    const come = async () => {
      while (going) {
        const socket = await subscribed(server, "busy", "quiet");
        await socket.send(command("PSUBSCRIBE", "b*", "?usy"));
        socket.pump();
        if (Math.random() < 0.5) await socket.send(command("UNSUBSCRIBE"));
        if (Math.random() < 0.5) socket.reset();
        else socket.close();
      }
    };
    const coming = [come(), come(), come()];
    for (let i = 0; i < 2_000; i++) {
      const count = Number((await asker.ask("PUBLISH", "busy", `${i}`))!.slice(1));
      expect(count).toBeGreaterThan(0);
      await stays.expect(message("busy", `${i}`));
    }
    going = false;
    await Promise.all(coming);
    await until("all but one to be gone", async () => (await asker.ask("PUBLISH", "busy", "?")) === ":1");
    expect(await asker.ask("PUBSUB", "NUMPAT")).toBe(":0");
    expect(await infoField(asker, "stats", "pubsub_channels")).toBe(1);
    asker.close();
    stays.close();
  });

  test("a message of 20 MB arrives whole", async () => {
    const asker = server.connect();
    const hears = await Promise.all(Array.from({ length: 3 }, () => subscribed(server, "large")));
    const text = Array.from({ length: 2_000_000 }, (_, i) => `${i % 10}`.repeat(10)).join("");
    await asker.send(command("PUBLISH", "large", text));
    await asker.expect(":3\r\n");
    for (const socket of hears) await socket.expect(message("large", text));
    for (const socket of [asker, ...hears]) socket.close();
  });

  test("notifications of one worker's commands reach another's subscribers", async () => {
    const asker = server.connect();
    await asker.ask("CONFIG", "SET", "notify-keyspace-events", "KEA");
    const hears = await Promise.all(
      Array.from({ length: 6 }, () => subscribed(server, "__keyspace@0__:k", "__keyevent@0__:del")),
    );
    for (let i = 0; i < 200; i++) {
      expect(await asker.ask("SET", "k", `${i}`)).toBe("+OK");
      expect(await asker.ask("DEL", "k")).toBe(":1");
    }
    const due =
      message("__keyspace@0__:k", "set") +
      message("__keyspace@0__:k", "del") +
      message("__keyevent@0__:del", "k");
    for (const socket of hears) await socket.expect(due.repeat(200));
    await asker.ask("CONFIG", "SET", "notify-keyspace-events", "");
    for (const socket of [asker, ...hears]) socket.close();
  });
});
