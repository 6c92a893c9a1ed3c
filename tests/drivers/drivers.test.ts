// drivers.test.ts: one suite over the three drivers, with one worker and with three: the real executable, real sockets,
// and clients that behave badly in every way that is known to break servers.
// What a driver is not to be tried on this system (io_uring denied) is left out and said.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bulk, command, RawSocket, until } from "../support/raw-socket.ts";
import { freePort, infoField, killLeftovers, Server, usableDrivers } from "../support/server.ts";

setDefaultTimeout(60_000);
afterAll(killLeftovers);
const MIB = 1024 * 1024;

/** `bytes` bytes that tell their place and their `seed`, so that a piece lost, doubled or swapped shows. */
function pattern(bytes: number, seed: number): Buffer {
  const value = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i += 4)
    value.writeUInt32LE((Math.imul(i, 0x9e3779b1) ^ (seed * 977)) >>> 0, Math.min(i, bytes - 4));
  return value;
}

async function setValue(socket: RawSocket, key: string, value: Buffer): Promise<void> {
  await socket.send(`*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n`);
  await socket.send(value);
  await socket.send("\r\n");
  await socket.expect("+OK\r\n");
}

async function expectValue(socket: RawSocket, value: Buffer): Promise<void> {
  await socket.expect(`$${value.length}\r\n`);
  expect((await socket.read(value.length)).equals(value)).toBe(true);
  await socket.expect("\r\n");
}

const drivers = await usableDrivers();
const plans = drivers.flatMap((io) => [1, 3].map((workers) => ({ io, workers })));

describe.each(plans)("drivers: $io, $workers workers", ({ io, workers }) => {
  let server: Server;
  beforeAll(async () => {
    server = await Server.start({ io, workers });
  });
  afterAll(async () => {
    // Whatever the tests did to it, the server still stops in an orderly way.
    expect(await server.stop()).toBe(0);
    expect(server.log).not.toContain("failed inside");
  });

  test("runs on the driver that was asked for", () => {
    expect(server.log).toContain(`io=${io}`);
  });

  test("commands that come byte by byte are answered", async () => {
    const socket = server.connect();
    const bytes = `${command("SET", "bytewise", "some value")}GET bytewise\r\n${command("PING")}`;
    for (const byte of bytes) {
      await socket.send(byte);
      await Bun.sleep(0);
    }
    await socket.expect(`+OK\r\n${bulk("some value")}+PONG\r\n`);
    socket.close();
  });

  test("a pipeline of 10,000 commands in one write is answered in order", async () => {
    const socket = server.connect();
    let bytes = "";
    let due = "";
    for (let i = 0; i < 10_000; i++) {
      bytes +=
        i % 3 === 0 ? command("INCR", "pipeline") : i % 3 === 1 ? command("ECHO", `e${i}`) : "PING\r\n";
      due += i % 3 === 0 ? `:${i / 3 + 1}\r\n` : i % 3 === 1 ? bulk(`e${i}`) : "+PONG\r\n";
    }
    await socket.send(command("DEL", "pipeline"));
    await socket.reply();
    await socket.send(bytes);
    await socket.expect(due);
    socket.close();
  });

  test.each([64 * 1024 - 1, 64 * 1024, MIB, 70 * MIB])(
    "a value of %d bytes comes back as it was",
    async (bytes) => {
      const socket = server.connect();
      const value = pattern(bytes, bytes);
      await setValue(socket, "large", value);
      await socket.send(command("GET", "large"));
      await expectValue(socket, value);
      expect(await socket.ask("DEL", "large")).toBe(":1");
      socket.close();
    },
  );

  test("pipelined large replies to a slow reader all arrive, in order", async () => {
    const writer = server.connect();
    const values = Array.from({ length: 8 }, (_, i) => pattern(10_000 + i * 60_000, i));
    for (const [i, value] of values.entries()) await setValue(writer, `slow:${i}`, value);
    const slow = RawSocket.open(server.port, { receiveBytes: 4096 });
    let asked = "PING\r\n";
    for (let i = 0; i < 80; i++) asked += command("GET", `slow:${i % 8}`);
    await slow.send(asked, true);
    // Another client notices nothing of it.
    expect(await writer.ask("PING")).toBe("+PONG");
    const due =
      values.reduce((sum, value) => sum + value.length + `$${value.length}\r\n\r\n`.length, 0) * 10 + 7;
    while (slow.received < due && slow.ended === "") if (slow.pump(60_000) === 0) await Bun.sleep(0);
    await slow.expect("+PONG\r\n");
    for (let i = 0; i < 80; i++) await expectValue(slow, values[i % 8]!);
    expect(await slow.ask("PING")).toBe("+PONG");
    slow.close();
    writer.close();
  });

  test("a client that never reads is cut off at its limit, alone, and memory stays bounded", async () => {
    const other = server.connect();
    const value = pattern(200_000, 1);
    await setValue(other, "unread", value);
    expect(await other.ask("CONFIG", "SET", "client-output-buffer-limit", "normal 2mb 0 0")).toBe("+OK");
    const before = server.residentBytes();
    const asked = command("GET", "unread").repeat(500);
    let most = 0;
    for (let round = 0; round < 3; round++) {
      const deaf = RawSocket.open(server.port, { receiveBytes: 4096 });
      for (let i = 0; i < 100 && deaf.ended === ""; i++) {
        if (deaf.offer(Buffer.from(asked)) === 0) await Bun.sleep(1);
        await other.send(command("GET", "unread"));
        await expectValue(other, value);
        most = Math.max(most, server.residentBytes());
      }
      await until("the end of the connection", () => {
        if (deaf.ended === "") deaf.offer(Buffer.from("PING\r\n"));
        return deaf.ended !== "";
      });
      deaf.close();
    }
    expect(most - before).toBeLessThan(150 * MIB);
    expect(await other.ask("CONFIG", "SET", "client-output-buffer-limit", "normal 1gb 0 0")).toBe("+OK");
    await until(
      "the deaf clients to be gone",
      async () => (await infoField(other, "clients", "connected_clients")) === 1,
    );
    expect(await other.ask("DEL", "unread")).toBe(":1");
    other.close();
  });

  test("small replies ahead of large ones in one turn do not lift the limit", async () => {
    const other = server.connect();
    expect(await other.ask("SET", "unread", "x".repeat(60_000))).toBe("+OK");
    expect(await other.ask("CONFIG", "SET", "client-output-buffer-limit", "normal 2mb 0 0")).toBe("+OK");
    const before = server.residentBytes();
    const deaf = RawSocket.open(server.port, { receiveBytes: 4096 });
    expect(await deaf.ask("PING")).toBe("+PONG");
    // Everything lies in the socket before the server looks: several receives in one turn.
    server.child.kill("SIGSTOP");
    deaf.offer(
      Buffer.from(command("SET", "small", "b").repeat(4000) + command("GET", "unread").repeat(10_000)),
    );
    server.child.kill("SIGCONT");
    let most = 0;
    await until("the end of the connection", () => {
      most = Math.max(most, server.residentBytes());
      if (deaf.ended === "") deaf.offer(Buffer.from("PING\r\n"));
      return deaf.ended !== "";
    });
    expect(most - before).toBeLessThan(150 * MIB);
    expect(await other.ask("CONFIG", "SET", "client-output-buffer-limit", "normal 1gb 0 0")).toBe("+OK");
    expect(await other.ask("DEL", "unread", "small")).toMatch(/^:[12]$/);
    deaf.close();
    other.close();
  });

  test("half a command is waited for, and others are served meanwhile", async () => {
    const halves = ["*", "*2\r\n", "*2\r\n$4", "*2\r\n$4\r\nEC", "*2\r\n$4\r\nECHO\r\n$3\r\nab", "PIN"];
    const rests = [
      "1\r\n$4\r\nPING\r\n",
      "$4\r\nECHO\r\n$1\r\nx\r\n",
      "\r\nECHO\r\n$1\r\nx\r\n",
      "HO\r\n$1\r\nx\r\n",
      "c\r\n",
      "G\r\n",
    ];
    const due = ["+PONG\r\n", bulk("x"), bulk("x"), bulk("x"), bulk("abc"), "+PONG\r\n"];
    const sockets = halves.map(() => server.connect());
    for (const [i, socket] of sockets.entries()) await socket.send(halves[i]!);
    const other = server.connect();
    for (let i = 0; i < 20; i++) expect(await other.ask("ECHO", `${i}`)).toBe(`${i}`);
    for (const [i, socket] of sockets.entries()) await socket.send(rests[i]!);
    for (const [i, socket] of sockets.entries()) await socket.expect(due[i]!);
    for (const socket of [...sockets, other]) socket.close();
  });

  test("garbage is answered by an error and the end", async () => {
    for (const [bytes, error] of [
      ["*abc\r\n", "invalid multibulk length"],
      ["*1\r\n$-5\r\n", "invalid bulk length"],
      ["*1\r\nPING\r\n", "expected '$', got 'P'"],
      ['GET "open\r\n', "unbalanced quotes in request"],
      ["x".repeat(70_000), "too big inline request"],
    ] as const) {
      const socket = server.connect();
      await socket.send(`PING\r\n${bytes}`);
      expect(await socket.readToEnd()).toBe(`+PONG\r\n-ERR Protocol error: ${error}\r\n`);
      socket.close();
    }
    const socket = server.connect();
    await socket.send("\r\n\r\n*0\r\n*-1\r\n  \r\nPING\r\n");
    await socket.expect("+PONG\r\n");
    socket.close();
  });

  test("a command larger than the query buffer's limit ends its connection", async () => {
    const other = server.connect();
    expect(await other.ask("CONFIG", "SET", "client-query-buffer-limit", "1mb")).toBe("+OK");
    const greedy = server.connect();
    const filler = Buffer.alloc(64 * 1024, "x");
    await greedy.send("*2\r\n$4\r\nECHO\r\n$9000000\r\n");
    for (let i = 0; i < 140 && greedy.ended === ""; i++) {
      greedy.offer(filler);
      greedy.pump();
      await Bun.sleep(0);
    }
    await until("the end of the connection", () => {
      greedy.pump();
      return greedy.ended !== "";
    });
    expect(greedy.received).toBe(0);
    greedy.close();
    // A whole pipeline may be longer than the limit: only what is not complete counts.
    await other.send(command("ECHO", "y".repeat(1000)).repeat(3000));
    await other.expect(bulk("y".repeat(1000)).repeat(3000));
    expect(await other.ask("CONFIG", "SET", "client-query-buffer-limit", "1gb")).toBe("+OK");
    other.close();
  });

  test("QUIT in the middle of a pipeline: what precedes it is answered, what follows is not run", async () => {
    const socket = server.connect();
    await socket.ask("DEL", "quit");
    await socket.send(`${command("INCR", "quit")}${command("QUIT")}${command("INCR", "quit")}`);
    expect(await socket.readToEnd()).toBe(":1\r\n+OK\r\n");
    socket.close();
    const other = server.connect();
    expect(await other.ask("GET", "quit")).toBe("1");
    other.close();
  });

  test("who sends and at once ends its side is answered first", async () => {
    for (let i = 0; i < 50; i++) {
      const socket = server.connect();
      await socket.send(command("ECHO", `${i}`));
      socket.finish();
      expect(await socket.readToEnd()).toBe(bulk(`${i}`));
      socket.close();
    }
  });

  test("connections reset in the middle of a command leave nothing behind", async () => {
    const other = server.connect();
    await setValue(other, "reset", pattern(500_000, 5));
    const before = server.descriptors();
    for (let i = 0; i < 60; i++) {
      const socket = server.connect();
      if (i % 3 === 0) await socket.send("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100000\r\nabc");
      else if (i % 3 === 1)
        await socket.send(command("GET", "reset").repeat(20)); // replies nobody reads
      else await socket.send("PING\r\n");
      socket.reset();
    }
    await until("all to be gone", async () => (await infoField(other, "clients", "connected_clients")) === 1);
    await until("descriptors to be closed", () => server.descriptors() <= before);
    expect(await other.ask("EXISTS", "a")).toBe(":0");
    other.close();
  });

  test("a connection past maxclients is refused in Redis's words", async () => {
    const first = server.connect();
    await first.ask("PING");
    await until(
      "earlier clients to be gone",
      async () => (await infoField(first, "clients", "connected_clients")) === 1,
    );
    expect(await first.ask("CONFIG", "SET", "maxclients", "3")).toBe("+OK");
    const admitted = [server.connect(), server.connect()];
    for (const socket of admitted) expect(await socket.ask("PING")).toBe("+PONG");
    for (let i = 0; i < 5; i++) {
      const refused = server.connect();
      expect(await refused.readToEnd()).toBe("-ERR max number of clients reached\r\n");
      refused.close();
    }
    admitted.pop()!.close();
    await until("room again", async () => (await infoField(first, "clients", "connected_clients")) === 2);
    const again = server.connect();
    expect(await again.ask("PING")).toBe("+PONG");
    expect(await first.ask("CONFIG", "SET", "maxclients", "10000")).toBe("+OK");
    for (const socket of [first, again, ...admitted]) socket.close();
  });

  test("CLIENT KILL reaches every connection, whichever worker serves it and whoever spoke last there", async () => {
    const sockets = Array.from({ length: 12 }, () => server.connect());
    const ids: string[] = [];
    for (const socket of sockets) ids.push((await socket.ask("CLIENT", "ID"))!.slice(1));
    const killer = sockets[0]!;
    for (let i = 1; i < sockets.length; i++) {
      const victim = sockets[i]!;
      expect(await victim.ask("PING")).toBe("+PONG"); // the last to speak on its worker
      expect(await killer.ask("CLIENT", "KILL", "ID", ids[i]!)).toBe(":1");
      expect(await victim.readToEnd()).toBe("");
      victim.close();
    }
    expect(await killer.ask("PING")).toBe("+PONG");
    killer.close();
  });

  test("CLIENT LIST shows a connection that outlived thousands of others", async () => {
    const others = Array.from({ length: 4500 }, () => server.connect());
    const last = Array.from({ length: 8 * workers }, () => server.connect());
    for (const socket of last) expect(await socket.ask("PING")).toBe("+PONG");
    for (const socket of others) socket.close();
    await until(
      "the others to be gone",
      async () => (await infoField(last[0]!, "clients", "connected_clients")) === last.length,
    );
    const lines = (await last[0]!.ask("CLIENT", "LIST"))!.trim().split("\n");
    expect(lines.length).toBe(last.length);
    for (const socket of last) socket.close();
  });

  test("1,000 connections opened and closed leave no descriptor behind", async () => {
    const probe = server.connect();
    await probe.ask("PING");
    await until(
      "earlier clients to be gone",
      async () => (await infoField(probe, "clients", "connected_clients")) === 1,
    );
    const before = server.descriptors();
    for (let i = 0; i < 1000; i++) {
      const socket = server.connect();
      if (i % 4 !== 0)
        await socket.send(i % 4 === 1 ? "PING\r\n" : i % 4 === 2 ? "*1\r\n$4\r\nPI" : command("QUIT"));
      if (i % 8 === 1) await socket.reply();
      if (i % 16 === 3) socket.reset();
      else socket.close();
    }
    await until("all to be gone", async () => (await infoField(probe, "clients", "connected_clients")) === 1);
    await until("descriptors to be closed", () => server.descriptors() <= before);
    probe.close();
  });
});

describe.each(plans)("drivers: the end, $io, $workers workers", ({ io, workers }) => {
  test("SIGTERM: what was sent before is answered, then the connection ends, exit code 0", async () => {
    const server = await Server.start({ io, workers });
    const sockets = Array.from({ length: 6 }, () => server.connect());
    for (const socket of sockets) await socket.ask("PING");
    const count = 5000;
    for (const [i, socket] of sockets.entries())
      socket.offer(Buffer.from(command("INCR", `end:${i}`).repeat(count)));
    server.child.kill("SIGTERM");
    const due = Array.from({ length: count }, (_, i) => `:${i + 1}\r\n`).join("");
    for (const socket of sockets) {
      expect(await socket.readToEnd()).toBe(due);
      expect(socket.ended).toBe("end");
      socket.close();
    }
    expect(await server.child.exited).toBe(0);
  });

  test("SIGTERM: a reader with megabytes to come gets them all", async () => {
    const server = await Server.start({ io, workers });
    const value = pattern(6 * MIB, 3);
    const socket = RawSocket.open(server.port, { receiveBytes: 8192 });
    await setValue(socket, "late", value);
    await socket.send(command("GET", "late"), true);
    await until("the reply to begin", () => socket.pump(100) > 0);
    server.child.kill("SIGTERM");
    await expectValue(socket, value);
    expect(await socket.readToEnd()).toBe("");
    expect(await server.child.exited).toBe(0);
    socket.close();
  });

  test("SIGTERM: who never reads does not hold the process, and a second signal ends it at once", async () => {
    for (const signals of [1, 2]) {
      const server = await Server.start({ io, workers });
      const socket = RawSocket.open(server.port, { receiveBytes: 4096 });
      await setValue(socket, "deaf", pattern(20 * MIB, 3));
      await socket.send(command("GET", "deaf"), true);
      await until("the reply to begin", () => socket.pump(100) > 0);
      server.child.kill("SIGTERM");
      await until("the stop to be noticed", () => server.log.includes("stopping"));
      if (signals === 2) server.child.kill("SIGTERM");
      expect(await server.child.exited).toBe(signals === 2 ? 6 : 0);
      socket.close();
    }
  });

  test("SHUTDOWN ends the process with exit code 0", async () => {
    const server = await Server.start({ io, workers });
    const socket = server.connect();
    const other = server.connect();
    await other.ask("PING");
    await socket.send(command("SHUTDOWN"));
    expect(await socket.readToEnd()).toBe("");
    expect(await other.readToEnd()).toBe("");
    expect(await server.child.exited).toBe(0);
  });

  test("a port that is taken is refused with exit code 1 and its name", async () => {
    const server = await Server.start({ io, workers });
    const stranger = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    for (const port of [server.port, stranger.port]) {
      const second = Server.spawn({ io, workers, port });
      const timer = setTimeout(() => second.child.kill("SIGKILL"), 5000);
      expect(await second.child.exited).toBe(1);
      clearTimeout(timer);
      await until("the log", () =>
        second.log.includes(`cannot listen on 127.0.0.1:${port}: address already in use`),
      );
    }
    stranger.stop(true);
    const socket = server.connect();
    expect(await socket.ask("PING")).toBe("+PONG");
    socket.close();
    expect(await server.stop()).toBe(0);
  });

  test("a Unix socket serves beside TCP, and its file goes with the server", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ironcache-"));
    const path = join(folder, "socket");
    const server = await Server.start({ io, workers, args: ["--unixsocket", path] });
    const sockets = Array.from({ length: 6 }, () => RawSocket.open(path));
    const value = pattern(3 * MIB, 9);
    for (const socket of sockets) {
      await setValue(socket, "unix", value);
      await socket.send(command("GET", "unix"));
      await expectValue(socket, value);
    }
    const tcp = server.connect();
    expect(await tcp.ask("STRLEN", "unix")).toBe(`:${value.length}`);
    expect(await server.stop()).toBe(0);
    expect(existsSync(path)).toBe(false);
    for (const socket of [...sockets, tcp]) socket.close();
    rmSync(folder, { recursive: true });
  });

  test("maxclients raised above what the server was started with is kept without harm", async () => {
    const server = await Server.start({ io, workers, args: ["--maxclients", "2"] });
    const first = server.connect();
    expect(await first.ask("CONFIG", "SET", "maxclients", "100000")).toBe("+OK");
    const sockets = Array.from({ length: 300 }, () => server.connect());
    const answers = new Set<string | null>();
    for (const socket of sockets) answers.add(await socket.ask("PING"));
    answers.delete("+PONG");
    answers.delete("-ERR max number of clients reached");
    expect([...answers]).toEqual([]);
    expect(await first.ask("PING")).toBe("+PONG");
    for (const socket of [first, ...sockets]) socket.close();
    expect(await server.stop()).toBe(0);
  });
});

describe.each(drivers.map((io) => ({ io })))("drivers: rest, $io", ({ io }) => {
  test("eight idle workers need next to no CPU", async () => {
    const server = await Server.start({ io, workers: 8 });
    const socket = server.connect();
    await socket.ask("PING");
    await Bun.sleep(1000); // the start's own work is over
    const before = server.cpuSeconds();
    await Bun.sleep(3000); // what is measured is three seconds of nothing
    const share = (server.cpuSeconds() - before) / 3;
    console.log(`idle, ${io}, 8 workers: ${(share * 100).toFixed(2)} % of a core`);
    // A worker of the bun driver has an event loop that looks around; beside a busy neighbour that doubles.
    expect(share).toBeLessThan(io === "bun" ? 0.1 : 0.05);
    socket.close();
    expect(await server.stop()).toBe(0);
  });

  test.skipIf(io === "bun")(
    "accepts again when there are descriptors again, however busy it is",
    async () => {
      const server = await Server.start({ io, files: 200 });
      const busy = server.connect();
      expect(await busy.ask("PING")).toBe("+PONG");
      const sockets = Array.from({ length: 300 }, () => server.connect());
      for (const socket of sockets) await socket.send("PING\r\n");
      // Those that are answered make room for the others.
      let open = sockets;
      let most = 0;
      for (let round = 0; open.length > 0; round++) {
        if (round > 2000) throw new Error(`${open.length} were never accepted`);
        expect(await busy.ask("PING")).toBe("+PONG");
        const answered = open.filter((socket) => socket.pump() > 0);
        for (const socket of answered) {
          await socket.expect("+PONG\r\n");
          socket.close();
        }
        open = open.filter((socket) => !answered.includes(socket));
        most = Math.max(most, answered.length);
        await Bun.sleep(1);
      }
      expect(most).toBeLessThan(200);
      busy.close();
      expect(await server.stop()).toBe(0);
    },
  );

  test("a port number out of the air is free again after the server's end", async () => {
    const port = freePort();
    for (let i = 0; i < 2; i++) {
      const server = await Server.start({ io, port });
      const socket = server.connect();
      expect(await socket.ask("PING")).toBe("+PONG");
      expect(await server.stop()).toBe(0);
      socket.close();
    }
  });
});
