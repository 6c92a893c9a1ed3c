// server.ts: the real executable as a child process, on a free port, and what /proc says of it. Linux only.
// IRONCACHE_BIN names the executable; dist/ironcache is the one that `bun run build` makes.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { RawSocket, until } from "./raw-socket.ts";

export const executable = resolve(import.meta.dir, "../..", process.env.IRONCACHE_BIN ?? "dist/ironcache");

/** How a server says that the system, not a mistake of ours, keeps it from a driver. */
const denied = /--io \w+: /;

/** A port that was free a moment ago. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

export interface ServerOptions {
  readonly io?: string;
  readonly workers?: number;
  readonly port?: number;
  readonly args?: readonly string[];
  /** The limit of open files it is started with. */
  readonly files?: number;
}

const running = new Set<Bun.Subprocess>();

/** Kills the servers that tests which failed left behind. For a file's last afterAll. */
export function killLeftovers(): void {
  for (const child of running) child.kill("SIGKILL");
}

export class Server {
  /** Standard error so far. */
  log = "";

  private constructor(
    readonly child: Bun.Subprocess<"ignore", "ignore", "pipe">,
    readonly port: number,
  ) {
    void this.follow();
  }

  private async follow(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.child.stderr) this.log += decoder.decode(chunk, { stream: true });
  }

  /** Starts without waiting for anything. */
  static spawn(options: ServerOptions = {}): Server {
    if (!existsSync(executable))
      throw new Error(`no ${executable}: run \`bun run build\` or set IRONCACHE_BIN`);
    const { io = "auto", workers = 1, port = freePort(), args = [], files } = options;
    const limited = files === undefined ? [] : ["prlimit", `--nofile=${files}`];
    const child = Bun.spawn(
      [...limited, executable, "serve", "--port", `${port}`, "--shards", `${workers}`, "--io", io, ...args],
      { stdin: "ignore", stdout: "ignore", stderr: "pipe", env: { PATH: process.env.PATH ?? "" } },
    );
    running.add(child);
    void child.exited.then(() => running.delete(child));
    return new Server(child, port);
  }

  /** A server that takes connections. Throws with its log when it does not start. */
  static async start(options: ServerOptions = {}): Promise<Server> {
    const server = Server.spawn(options);
    await until("the server's start", () => {
      if (server.child.exitCode !== null) throw new Error(`the server did not start: ${server.log}`);
      return server.log.includes(" is ready");
    });
    return server;
  }

  get pid(): number {
    return this.child.pid;
  }

  connect(): RawSocket {
    return RawSocket.open(this.port);
  }

  /** Open descriptors of the process. */
  descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Resident memory, bytes. */
  residentBytes(): number {
    return Number(readFileSync(`/proc/${this.pid}/statm`, "latin1").split(" ")[1]) * 4096;
  }

  /** CPU time of all threads, seconds. */
  cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  /** Stops it in an orderly way; the exit code. A server that does not obey is killed, and 137 returned. */
  async stop(): Promise<number> {
    this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), 10_000);
    await this.child.exited;
    clearTimeout(timer);
    return this.child.exitCode ?? 137;
  }
}

/** A field of INFO, as a number. */
export async function infoField(socket: RawSocket, section: string, field: string): Promise<number> {
  const text = (await socket.ask("INFO", section)) ?? "";
  const match = new RegExp(`^${field}:(.*)\r$`, "m").exec(text);
  if (match === null) throw new Error(`INFO ${section} has no ${field}`);
  return Number(match[1]);
}

/** The drivers that start on this system; why one does not (io_uring may be denied) is printed. */
export async function usableDrivers(): Promise<string[]> {
  const usable: string[] = [];
  for (const io of ["uring", "epoll", "bun"]) {
    try {
      await (await Server.start({ io })).stop();
      usable.push(io);
    } catch (error) {
      if (!denied.test(String(error))) throw error;
      console.log(`left out: ${error}`);
    }
  }
  return usable;
}
