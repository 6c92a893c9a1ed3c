// wiretap.ts: stands between a client and a server and keeps what the client sends, and a log of both directions.
// Neighbour: run.ts, whose --log writes the log; scripts/clients-doc.ts takes the first commands of a connection.
import { connect, createServer, type Socket } from "node:net";

/** What is logged of one piece of data, bytes. */
const LOGGED_BYTES = 1000;

export class Wiretap {
  readonly port: number;
  /** One line a piece of data: connection, direction, bytes. */
  log = "";
  /** What each connection's client sent, in the order in which they came. */
  readonly sent: string[] = [];
  private readonly server;
  private readonly sockets = new Set<Socket>();

  private constructor(server: ReturnType<typeof createServer>, port: number) {
    this.server = server;
    this.port = port;
  }

  static async before(port: number): Promise<Wiretap> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port for the wiretap");
    const tap = new Wiretap(server, address.port);
    server.on("connection", (client) => tap.join(client, port));
    return tap;
  }

  private join(client: Socket, port: number): void {
    const number = this.sent.push("") - 1;
    const server = connect(port, "127.0.0.1");
    for (const socket of [client, server]) {
      this.sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {}); // either end may be killed
      socket.on("close", () => {
        this.sockets.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
    client.on("data", (data) => {
      this.sent[number] += data.toString("latin1");
      this.note(`${number} >`, data.toString("latin1"));
    });
    server.on("data", (data) => this.note(`${number} <`, data.toString("latin1")));
    client.pipe(server);
    server.pipe(client);
  }

  private note(way: string, text: string): void {
    const more = text.length > LOGGED_BYTES ? ` ... ${text.length} bytes` : "";
    this.log += `${way} ${JSON.stringify(text.slice(0, LOGGED_BYTES))}${more}\n`;
  }

  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }
}

/** The commands at the beginning of what a client sent. */
export function commandsOf(sent: string): string[][] {
  const commands: string[][] = [];
  let at = 0;
  const line = () => {
    const end = sent.indexOf("\r\n", at);
    const text = end < 0 ? "" : sent.slice(at, end);
    at = end < 0 ? sent.length : end + 2;
    return text;
  };
  while (at < sent.length) {
    const head = line();
    if (!head.startsWith("*")) break;
    const command: string[] = [];
    for (let i = Number(head.slice(1)); i > 0 && at < sent.length; i--) {
      const length = Number(line().slice(1));
      command.push(sent.slice(at, at + length));
      at += length + 2;
    }
    commands.push(command);
  }
  return commands;
}
