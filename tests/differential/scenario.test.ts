// That the scenarios of this folder can fail: what a server sends too much, too little, too late or in another order is
// kept and told. A server made here answers as it is told to; nothing of ours and no oracle takes part.

import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Socket, TCPSocketListener } from "bun";
import { Connection } from "./harness.ts";
import { bytesOf, textOf } from "./resp.ts";
import { blocks, on, type Played, playScenario, type Step, wakes } from "./scenario.ts";

interface Peer {
  id: number;
  blocked: boolean;
  held: string;
}

/** "PUSH name" has the server send a message to everybody, "SERVE" an answer to everybody who is blocked. */
let listener: TCPSocketListener<Peer>;
const peers = new Set<Socket<Peer>>();
let ids = 0;

function answer(to: Socket<Peer>, words: string[]): void {
  const [name, first = ""] = words;
  const say = (text: string) => to.write(bytesOf(text));
  if (name === "CLIENT" && first === "ID") say(`:${to.data.id}\r\n`);
  else if (name === "CLIENT") {
    const one = [...peers].find((peer) => String(peer.data.id) === words[3]);
    const line = one === undefined ? "" : `id=${words[3]} addr=x flags=${one.data.blocked ? "b" : "N"}\n`;
    say(`$${line.length}\r\n${line}\r\n`);
  } else if (name === "PING") say(`$${first.length}\r\n${first}\r\n`);
  else if (name === "WAITFOR") to.data.blocked = true;
  else if (name === "PUSH") {
    for (const peer of peers) peer.write(bytesOf(`*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n${first}\r\n`));
    say("+OK\r\n");
  } else if (name === "SERVE") {
    say("+OK\r\n");
    for (const peer of peers)
      if (peer.data.blocked) {
        peer.data.blocked = false;
        peer.write(bytesOf("+served\r\n"));
      }
  } else if (name === "TWICE") say("+one\r\n+two\r\n");
  else if (name === "LEAVE") to.end();
  else if (name !== "NOTHING") say("+OK\r\n");
}

beforeAll(() => {
  listener = Bun.listen<Peer>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { id: ++ids, blocked: false, held: "" };
        peers.add(socket);
      },
      close(socket) {
        peers.delete(socket);
      },
      data(socket, bytes) {
        socket.data.held += textOf(bytes);
        for (;;) {
          const parts = socket.data.held.split("\r\n");
          const count = Number(parts[0]?.slice(1));
          if (parts.length < 2 * count + 2) return;
          socket.data.held = parts.slice(2 * count + 1).join("\r\n");
          answer(
            socket,
            Array.from({ length: count }, (_, i) => parts[2 * i + 2]!),
          );
        }
      },
    },
  });
});

afterAll(() => listener.stop(true));

async function played(...steps: Step[]): Promise<Played> {
  const control = await Connection.open(listener.port);
  const ask = async (...words: string[]) => {
    control.send(
      bytesOf(`*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`),
    );
    const reply = await control.reply();
    if (typeof reply === "string") throw new Error(reply);
    return reply;
  };
  const stage = { open: () => Connection.open(listener.port), ask };
  const result = await playScenario(steps, stage, [], 200);
  control.close();
  return result;
}

const heard = ({ heard: all }: Played): string[] => all.map(({ bytes }) => textOf(bytes));

test("replies and pushes are kept by connection, in order, with the step that caused them", async () => {
  const result = await played(
    on("a", "MONITOR"),
    on("b", "PUSH x", "SET"),
    on("a", "GET"),
    on("b", "PUSH y"),
  );
  const message = (text: string) => `*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n${text}\r\n`;
  expect(heard(result)).toEqual([
    ...["+OK\r\n", message("x"), "+OK\r\n", message("y"), '(a: open, left "")'],
    ...[message("x"), "+OK\r\n", "+OK\r\n", message("y"), "+OK\r\n", '(b: open, left "")'],
  ]);
  expect(result.heard[1]!.place).toStartWith("step 2 ");
  expect(result.stuck).toBe("");
});

test("who is blocked is waited for, and read when it is answered", async () => {
  const result = await played(blocks("a", "WAITFOR"), wakes("a", on("b", "SERVE")), on("a", "SET"));
  expect(result.stuck).toBe("");
  expect(heard(result)).toEqual([
    "+served\r\n",
    "+OK\r\n",
    '(a: open, left "")',
    "+OK\r\n",
    '(b: open, left "")',
  ]);
});

test("what the server did not say is told", async () => {
  const endings = [
    await played(blocks("a", "SET")),
    await played(blocks("a", "WAITFOR"), wakes("a", on("b", "SET"))),
    await played(blocks("a", "WAITFOR"), on("b", "SERVE")),
    await played(on("a", "NOTHING")),
    await played(on("a", "MONITOR"), on("b", "NOTHING")),
    await played(on("a", "SET"), { ...on("b", "SET"), closes: ["a"] }),
    await played(on("a", "SET"), on("b", "LEAVE")),
  ].map(({ stuck }) => stuck.replace(/^.*: /, ""));
  expect(endings).toEqual([
    "a is not blocked",
    "a gets no answer to WAITFOR",
    "a is not blocked any more",
    "a gets no answer to NOTHING",
    "",
    "a is not closed",
    "b is closed and gets no answer to LEAVE",
  ]);
});

test("what the server said too much is kept", async () => {
  expect(heard(await played(on("a", "TWICE"), on("b", "SET")))).toContain("+two\r\n");
  expect(
    heard(await played(on("a", "SET"), on("b", "PUSH x"))).filter((text) => text.includes("message")),
  ).toHaveLength(2);
});
