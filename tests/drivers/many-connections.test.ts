// many-connections.test.ts: ten thousand connections at once, a thousand of which die in the middle of a command, on the
// drivers that are made for it. The process of the test holds as many sockets as the server.
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { raiseFileLimit } from "../../engine/io/native.ts";
import { bulk, command, RawSocket, until } from "../support/raw-socket.ts";
import { infoField, killLeftovers, Server, usableDrivers } from "../support/server.ts";

setDefaultTimeout(120_000);
afterAll(killLeftovers);

const CONNECTIONS = 10_000;
const KILLED = 1_000;

const files = raiseFileLimit();
const enough = files >= CONNECTIONS + 500;
if (!enough) console.log(`many connections: left out, the hard limit of open files is ${files}`);
const drivers = (await usableDrivers()).filter((io) => io !== "bun");
const plans = drivers.flatMap((io) => [1, 2].map((workers) => ({ io, workers })));

describe.skipIf(!enough).each(plans)("many connections: $io, $workers workers", ({ io, workers }) => {
  test("10,000 open, 1,000 die in the middle of a command, the rest are served, nothing is left behind", async () => {
    const server = await Server.start({ io, workers, args: ["--maxclients", `${CONNECTIONS + 100}`] });
    const probe = server.connect();
    await probe.ask("PING");
    const before = server.descriptors();
    const clients = () => infoField(probe, "clients", "connected_clients");

    const sockets: RawSocket[] = [];
    for (let i = 0; i < CONNECTIONS; i++) sockets.push(RawSocket.open(server.port, { receiveBytes: 4096 }));
    // All at once: every one has sent before the first reply is read.
    for (const [i, socket] of sockets.entries())
      socket.offer(Buffer.from(command("SET", `many:${i}`, `value ${i}`)));
    for (const socket of sockets) await socket.expect("+OK\r\n");
    expect(await clients()).toBe(CONNECTIONS + 1);
    expect(server.descriptors()).toBe(before + CONNECTIONS);
    expect(await probe.ask("DBSIZE")).toBe(`:${CONNECTIONS}`);

    const half = Buffer.from(command("SET", "never", "x".repeat(5000)).slice(0, 2000));
    const victims = sockets.filter((_, i) => i % (CONNECTIONS / KILLED) === 3);
    const rest = sockets.filter((_, i) => i % (CONNECTIONS / KILLED) !== 3);
    for (const [i, socket] of victims.entries()) {
      socket.offer(half);
      if (i % 2 === 0) socket.reset();
      else socket.close();
    }
    for (const [i, socket] of rest.entries()) socket.offer(Buffer.from(command("ECHO", `still ${i}`)));
    for (const [i, socket] of rest.entries()) await socket.expect(bulk(`still ${i}`));
    await until("the dead to be noticed", async () => (await clients()) === CONNECTIONS - KILLED + 1);
    await until(
      "their descriptors to be closed",
      () => server.descriptors() === before + CONNECTIONS - KILLED,
    );
    expect(await probe.ask("EXISTS", "never")).toBe(":0");

    // Replies that no socket takes whole, to thousands at once: what is left over is sent later, in order.
    const value = Array.from({ length: 6000 }, (_, i) => String.fromCharCode(97 + (i % 23))).join("");
    expect(await probe.ask("SET", "shared", value)).toBe("+OK");
    const asked = Buffer.from(command("GET", "shared") + command("ECHO", "between"));
    for (let i = 0; i < 4; i++) for (const socket of rest) socket.offer(asked);
    expect(await probe.ask("PING")).toBe("+PONG");
    for (const socket of rest) await socket.expect((bulk(value) + bulk("between")).repeat(4));

    for (const socket of rest) socket.close();
    await until("all to be gone", async () => (await clients()) === 1);
    await until("all descriptors to be closed", () => server.descriptors() <= before);
    probe.close();
    expect(await server.stop()).toBe(0);
    expect(server.log).not.toContain("failed inside");
  });
});
