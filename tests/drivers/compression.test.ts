// compression.test.ts: the real executable with the compressor at work all the time: connections that each write and read
// keys of their own get what they wrote, with one worker, which has no locks, and with two.
import { afterAll, expect, test } from "bun:test";
import { random } from "../support/random.ts";
import type { RawSocket } from "../support/raw-socket.ts";
import { infoField, killLeftovers, Server } from "../support/server.ts";

afterAll(killLeftovers);

const CONNECTIONS = 4;
const KEYS = 60;
const MS = 6_000;

/** One connection's share: random commands on its own keys, held against a Map. Returns how many. */
async function play(socket: RawSocket, name: string, next: () => number): Promise<number> {
  const model = new Map<string, string>();
  const below = (most: number) => Math.floor(next() * most);
  const key = () => `${name}:${below(KEYS)}`;
  const value = () =>
    `{"id":${below(1e9)},"user":"${name}","roles":["reader","writer"],"note":"${"left ".repeat(below(60))}"}`;
  const end = performance.now() + MS;
  let commands = 0;
  for (; performance.now() < end; commands++) {
    const one = key();
    const old = model.get(one);
    const kind = below(10);
    let answer: string | null;
    let expected: string | null = old ?? null;
    if (kind < 5) answer = await socket.ask("GET", one);
    else if (kind < 7) {
      const text = value();
      model.set(one, text);
      answer = await socket.ask("SET", one, text, "GET");
    } else if (kind === 7) {
      model.set(one, `${old ?? ""}, and more`);
      answer = await socket.ask("APPEND", one, ", and more");
      expected = `${model.get(one)!.length}`;
    } else if (kind === 8) {
      const other = key();
      answer = await socket.ask("COPY", one, other, "REPLACE");
      expected =
        one === other ? "-ERR source and destination objects are the same" : old === undefined ? "0" : "1";
      if (old !== undefined) model.set(other, old);
    } else {
      answer = await socket.ask("STRLEN", one);
      expected = `${old?.length ?? 0}`;
    }
    if (answer?.replace(/^:/, "") !== expected && !(answer === null && expected === null))
      expect({ kind, one, answer }).toEqual({ kind, one, answer: expected });
    // Lets values lie for a moment.
    if (next() < 0.05) await Bun.sleep(5);
  }
  return commands;
}

for (const workers of [1, 2])
  test(`what is written is read, while everything is compressed again and again, ${workers} workers`, async () => {
    const next = random(`compression, ${workers} workers`);
    const args = ["--compression", "on", "--compression-age", "0", "--compression-floor", "16"];
    const server = await Server.start({ workers, args });
    const sockets = Array.from({ length: CONNECTIONS }, () => server.connect());
    const counts = await Promise.all(sockets.map((socket, i) => play(socket, `c${i}`, next)));
    const socket = sockets[0]!;
    const swaps = await infoField(socket, "compression", "compression_swaps");
    const thaws = await infoField(socket, "compression", "compression_thaws");
    console.log(
      `${workers} workers: ${counts.join(" ")} commands, ${swaps} values compressed, ${thaws} made plain`,
    );
    expect(swaps).toBeGreaterThan(200);
    expect(thaws).toBeGreaterThan(20);
    for (const each of sockets) each.close();
    expect(server.log).not.toContain("a command failed inside");
    expect(await server.stop()).toBe(0);
  }, 60_000);
