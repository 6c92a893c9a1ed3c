// lib.ts: what the benchmarks of whole servers share: subjects, processes pinned to cores, /proc, a loader, statistics.
//
// The server runs on core 0 and the load generator on core 1, so that neither takes the other's time, and the figure of
// a rate is operations per CPU-second OF THE SERVER: requests / (user + system time it used), which a busy neighbour or
// a slow generator changes far less than the rate on the wall. Everything is compared within one run, as ratios.
//
// Off the data path. Used by all benchmarks of whole servers. Linux only (/proc, taskset).
//
// Environment: IRONCACHE_BIN (default dist/ironcache), PEERS_DIR (default tmp/peers, see scripts/peers), BENCH_DIR
// (default tmp/bench: logs and raw figures).

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join, relative, resolve } from "node:path";

export const root = resolve(import.meta.dir, "../..");
export const ironcacheBin = resolve(root, process.env.IRONCACHE_BIN ?? "dist/ironcache");
const peersDir = resolve(root, process.env.PEERS_DIR ?? "tmp/peers");

export const serverCore = 0;
export const loadCore = 1;
const ticksPerSecond = 100; // USER_HZ: what /proc/PID/stat counts in, on every Linux

/** One server under test: its column's name and how it is started on a port. */
export interface Subject {
  name: string;
  command: (port: number) => string[];
  /** Whether it is ours: ratios are ours over the others. */
  ours: boolean;
}

/** A program of the peers' folder, else of the system. Throws, naming the script that installs it. */
export function peerTool(name: string): string {
  const path = join(peersDir, "bin", name);
  if (existsSync(path)) return path;
  throw new Error(`no ${path}: run scripts/peers, or set PEERS_DIR`);
}

/** `ironcache serve` on one driver. The name tells the shard count only where it is not 1. */
export function ironcache(io: "uring" | "epoll" | "bun", shards = 1, extra: string[] = []): Subject {
  const command = (port: number) => [
    ironcacheBin,
    "serve",
    ...["--port", `${port}`, "--shards", `${shards}`, "--io", io, "--maxmemory", "0"],
    ...extra,
  ];
  return { name: shards === 1 ? io : `${io} x${shards}`, command, ours: true };
}

/** redis or valkey as a cache: one I/O thread, no snapshot, no append-only file. */
export function peer(name: "redis" | "valkey"): Subject {
  const options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"];
  const command = (port: number) => [peerTool(`${name}-server`), "--port", `${port}`, ...options];
  return { name, command, ours: false };
}

/**
 * The subjects of a run: ironcache in each shard count on uring and epoll, then the peers, then each `NAME=COMMAND`
 * of `extra` ({port} stands for the port). `only` keeps names that equal or begin with one of its words. An ironcache
 * that is not built is left out with a warning, so that the harness can be tried on the peers alone.
 */
export function subjectsFor(options: {
  shards: number[];
  drivers: ("uring" | "epoll" | "bun")[];
  peers?: ("redis" | "valkey")[];
  extra?: string[];
  only?: string[];
}): Subject[] {
  const subjects: Subject[] = [];
  if (existsSync(ironcacheBin)) {
    for (const shards of options.shards) {
      for (const driver of options.drivers) subjects.push(ironcache(driver, shards));
    }
  } else console.error(`no ${ironcacheBin} (bun run build, or IRONCACHE_BIN): only the peers are measured`);
  for (const name of options.peers ?? (["redis", "valkey"] as const)) subjects.push(peer(name));
  for (const text of options.extra ?? []) {
    const at = text.indexOf("=");
    if (at < 1) throw new Error(`--server takes NAME=COMMAND, not ${text}`);
    const words = text
      .slice(at + 1)
      .split(" ")
      .filter(Boolean);
    subjects.push({
      name: text.slice(0, at),
      command: (port) => words.map((word) => word.replace("{port}", `${port}`)),
      ours: true,
    });
  }
  const only = options.only ?? [];
  const kept = subjects.filter(({ name }) => only.length === 0 || only.some((word) => name.startsWith(word)));
  if (kept.length === 0) throw new Error("no subject to measure");
  return kept;
}

// Processes --------------------------------------------------------------------------------------------------------

/** `command` bound to a core; unchanged where the machine has no such core. taskset execs, so the pid is the server's. */
export function pinned(core: number | null, command: string[]): string[] {
  return core === null || core >= cpus().length ? command : ["taskset", "-c", `${core}`, ...command];
}

/** `command` ahead of what else wants its core, so that a neighbour's time slice is less often a tail; root only. A
 *  session of its own, because the kernel shares a core out by session first (autogroup) and by nice within one. */
export function urgent(command: string[]): string[] {
  if (process.getuid?.() !== 0) return command;
  const script = '[ -w /proc/self/autogroup ] && echo -20 >/proc/self/autogroup; exec nice -n -20 "$@"';
  return ["setsid", "sh", "-c", script, "sh", ...command];
}

/** A port nobody listens on now. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

export interface Server {
  subject: Subject;
  port: number;
  pid: number;
  /** SIGKILL, and the end awaited. */
  stop: () => Promise<void>;
}

const running = new Set<Bun.Subprocess>();
let ending = false;

/** From the first server on, no end of this process leaves one behind. */
function endThemWithUs(): void {
  if (ending) return;
  ending = true;
  process.on("exit", () => {
    for (const child of running) child.kill(9);
  });
  process.on("SIGINT", () => process.exit(130));
  process.on("SIGTERM", () => process.exit(143));
}

/** Starts a subject on a free port, bound to `core` (null: unbound), and waits until it answers PING. `wrap` may put a
 *  program that execs in front of the command, as `urgent` does. */
export async function start(
  subject: Subject,
  core: number | null = serverCore,
  wrap: (command: string[]) => string[] = (command) => command,
): Promise<Server> {
  const port = freePort();
  const log = join(scratch(), `${subject.name.replaceAll(" ", "-")}-${port}.log`);
  const child = Bun.spawn(wrap(pinned(core, subject.command(port))), {
    cwd: scratch(),
    stdin: "ignore",
    stdout: Bun.file(log),
    stderr: Bun.file(log),
  });
  endThemWithUs();
  running.add(child);
  const end = async () => {
    child.kill(9);
    await child.exited;
    running.delete(child);
  };
  const stop = async () => {
    await end();
    rmSync(log, { force: true });
  };
  const deadline = performance.now() + 20_000;
  while (!(await answersPing(port))) {
    if (child.exitCode !== null || child.signalCode !== null || performance.now() > deadline) {
      await end(); // its log stays
      throw new Error(`${subject.name} did not become ready\n${readFileSync(log, "utf8").slice(-2000)}`);
    }
    await Bun.sleep(20);
  }
  return { subject, port, pid: child.pid, stop };
}

async function answersPing(port: number): Promise<boolean> {
  try {
    const connection = await Resp.connect(port);
    const reply = await connection.call("PING");
    connection.close();
    return reply === "PONG";
  } catch {
    return false;
  }
}

/** Folder for logs and raw results, not tracked. */
export function scratch(): string {
  const folder = resolve(root, process.env.BENCH_DIR ?? "tmp/bench");
  mkdirSync(folder, { recursive: true });
  return folder;
}

// /proc ------------------------------------------------------------------------------------------------------------

/** CPU seconds, user and system, of all threads of a process since it began, those that ended included. Steps of 10 ms. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // from field 3, state: the name may hold blanks
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Resident bytes of a process: VmRSS, anonymous, file and shared pages. */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  if (match === null) throw new Error(`no VmRSS for ${pid}`);
  return Number(match[1]) * 1024;
}

export function threadCount(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).length;
}

// A client ---------------------------------------------------------------------------------------------------------

type Reply = string | number | null;

/** A RESP2 connection for set-up and questions: one command at a time, or a stream of commands whose replies are one
 *  line each. */
export class Resp {
  private pending = Buffer.alloc(0);
  private wake: (() => void) | null = null;
  private ended: Error | null = null;
  private writable: (() => void) | null = null;
  private socket!: Bun.Socket;

  static async connect(port: number): Promise<Resp> {
    const self = new Resp();
    self.socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data(_socket, chunk) {
          self.pending =
            self.pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([self.pending, chunk]);
          self.wake?.();
        },
        drain() {
          self.writable?.();
        },
        close() {
          self.fail(new Error("the server closed the connection"));
        },
        error(_socket, error) {
          self.fail(error);
        },
      },
    });
    return self;
  }

  private fail(error: Error): void {
    this.ended ??= error;
    this.wake?.();
    this.writable?.();
  }

  close(): void {
    this.socket.end();
  }

  /** Sends one command and gives its reply. Error replies are thrown; arrays are not for this client. */
  async call(...words: string[]): Promise<Reply> {
    await this.write(Buffer.from(encode(words)));
    for (;;) {
      const reply = this.takeReply();
      if (reply !== undefined) return reply;
      await this.moreBytes();
    }
  }

  /** Sends one command and reads its reply, of any shape, away. Gives the first line or bulk string in it. */
  async discard(...words: string[]): Promise<string> {
    await this.write(Buffer.from(encode(words)));
    let first: string | undefined;
    for (let values = 1; values > 0; values--) {
      let end = this.pending.indexOf("\r\n");
      for (; end < 0; end = this.pending.indexOf("\r\n")) await this.moreBytes();
      const line = this.pending.toString("latin1", 1, end);
      const kind = this.pending[0];
      this.pending = this.pending.subarray(end + 2);
      if (kind === 45) throw new Error(line); // '-'
      if (kind === 42)
        values += Math.max(0, Number(line)); // '*'
      else if (kind !== 36 || Number(line) < 0) first ??= line;
      else {
        const bytes = Number(line); // '$'
        while (this.pending.length < bytes + 2) await this.moreBytes();
        first ??= this.pending.toString("latin1", 0, bytes);
        this.pending = this.pending.subarray(bytes + 2);
      }
    }
    return first ?? "";
  }

  /** Sends `bytes`, which hold `commands` commands that answer a line each (a status, a number, null), and waits for
   *  all the answers. Throws on an error among them. */
  async sendAll(bytes: Uint8Array, commands: number): Promise<void> {
    await this.write(bytes);
    for (let missing = commands; missing > 0; missing--) {
      let end = this.pending.indexOf(10);
      for (; end < 0; end = this.pending.indexOf(10)) await this.moreBytes();
      if (this.pending[0] === 45) throw new Error(this.pending.toString("latin1", 0, end)); // '-'
      this.pending = this.pending.subarray(end + 1);
    }
    if (this.pending.length > 0) throw new Error("the server answered more than a line a command");
  }

  private async write(bytes: Uint8Array): Promise<void> {
    let sent = 0;
    while (sent < bytes.length) {
      if (this.ended !== null) throw this.ended;
      const took = this.socket.write(bytes, sent, bytes.length - sent);
      if (took < 0) throw new Error("the connection is closed");
      sent += took;
      if (sent < bytes.length && this.ended === null) {
        await new Promise<void>((done) => {
          this.writable = done;
        });
        this.writable = null;
      }
    }
  }

  private async moreBytes(): Promise<void> {
    const had = this.pending.length;
    while (this.pending.length === had) {
      if (this.ended !== null) throw this.ended;
      await new Promise<void>((done) => {
        this.wake = done;
      });
      this.wake = null;
    }
  }

  /** The first whole reply received and not yet taken, undefined when there is none. */
  private takeReply(): Reply | undefined {
    const end = this.pending.indexOf("\r\n");
    if (end < 0) return undefined;
    const line = this.pending.toString("latin1", 1, end);
    let next = end + 2;
    let reply: Reply = line;
    switch (this.pending[0]) {
      case 43: // '+'
        break;
      case 58: // ':'
        reply = Number(line);
        break;
      case 45: // '-'
        this.pending = this.pending.subarray(next);
        throw new Error(line);
      case 36: {
        // '$'
        const bytes = Number(line);
        if (bytes < 0) reply = null;
        else {
          if (this.pending.length < next + bytes + 2) return undefined;
          reply = this.pending.toString("latin1", next, next + bytes);
          next += bytes + 2;
        }
        break;
      }
      default:
        throw new Error(`unexpected reply ${this.pending.toString("latin1", 0, 40)}`);
    }
    this.pending = this.pending.subarray(next);
    return reply;
  }
}

/** A command as an array of bulk strings. */
export function encode(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;
}

/** The fields of INFO, all sections. */
export async function info(port: number): Promise<Map<string, string>> {
  const connection = await Resp.connect(port);
  const fields = new Map<string, string>();
  for (const section of ["default", "everything", "ironcache"]) {
    const text = await connection.call("INFO", section).catch(() => null); // a section a server does not know
    for (const line of typeof text === "string" ? text.split("\r\n") : []) {
      const at = line.indexOf(":");
      if (at > 0 && !line.startsWith("#")) fields.set(line.slice(0, at), line.slice(at + 1));
    }
  }
  connection.close();
  return fields;
}

/**
 * Loads `count` keys of 16 bytes, `<prefix>` then 12 digits, with values of `valueBytes` random bytes from a fixed seed,
 * and checks DBSIZE. redis-benchmark draws its keys as `key:` and 12 digits below -r, so prefix "key:" makes every GET hit.
 */
export async function loadKeys(
  port: number,
  count: number,
  valueBytes: number,
  prefix = "key:",
): Promise<void> {
  if (prefix.length !== 4) throw new Error("keys are 16 bytes: a prefix of 4");
  const connection = await Resp.connect(port);
  const before = Number(await connection.call("DBSIZE"));
  const head = `*3\r\n$3\r\nSET\r\n$16\r\n${prefix}`;
  const middle = `\r\n$${valueBytes}\r\n`;
  const frameBytes = head.length + 12 + middle.length + valueBytes + 2;
  const batch = Math.max(1, Math.min(1000, Math.floor(1_000_000 / frameBytes)));
  const bytes = Buffer.alloc(batch * frameBytes);
  const valueAt = head.length + 12 + middle.length;
  for (let index = 0; index < batch; index++) {
    bytes.write(head, index * frameBytes, "latin1");
    bytes.write(middle, index * frameBytes + head.length + 12, "latin1");
    bytes.write("\r\n", (index + 1) * frameBytes - 2, "latin1");
  }
  const random = new RandomBytes(1 + valueBytes);
  for (let first = 0; first < count; first += batch) {
    const commands = Math.min(batch, count - first);
    for (let index = 0; index < commands; index++) {
      const at = index * frameBytes;
      for (let digit = 11, rest = first + index; digit >= 0; digit--, rest = Math.floor(rest / 10)) {
        bytes[at + head.length + digit] = 48 + (rest % 10);
      }
      random.fill(bytes, at + valueAt, at + valueAt + valueBytes);
    }
    await connection.sendAll(bytes.subarray(0, commands * frameBytes), commands);
  }
  const after = Number(await connection.call("DBSIZE"));
  connection.close();
  if (after - before !== count) throw new Error(`loaded ${count} keys, DBSIZE grew by ${after - before}`);
}

/** Collections of one kind, for `fill`. */
export interface Filling {
  /** HSET, RPUSH, LPUSH, SADD or ZADD. */
  command: keyof typeof cardinality;
  keys: number;
  /** Name of the key of that number. */
  key: (number: number) => string;
  /** Elements of each key. */
  elements: number;
  /** Words of an element in the command's order: field and value, score and member, or a member alone. Latin-1. */
  words: (key: number, index: number) => readonly string[];
}

/** The command that tells how many elements one command's collection has. */
export const cardinality = {
  HSET: "HLEN",
  RPUSH: "LLEN",
  LPUSH: "LLEN",
  SADD: "SCARD",
  ZADD: "ZCARD",
} as const;
const elementsPerCommand = 100;
const fillBytes = 1 << 18;

/** Makes collections or adds to them, `elementsPerCommand` elements a command, and checks how the first and the last grew.
 *  Gives the bytes of all words, keys included: the payload. */
export async function fill(port: number, filling: Filling): Promise<number> {
  const { command, keys, key, elements, words } = filling;
  const connection = await Resp.connect(port);
  const sizes = async () => [
    Number(await connection.call(cardinality[command], key(0))),
    Number(await connection.call(cardinality[command], key(keys - 1))),
  ];
  const before = await sizes();
  let payload = 0;
  let batch = "";
  let commands = 0;
  const flush = async () => {
    await connection.sendAll(Buffer.from(batch, "latin1"), commands);
    batch = "";
    commands = 0;
  };
  for (let number = 0; number < keys; number++) {
    const name = key(number);
    payload += name.length;
    for (let first = 0; first < elements; first += elementsPerCommand) {
      const end = Math.min(elements, first + elementsPerCommand);
      let text = "";
      let count = 2;
      for (let index = first; index < end; index++) {
        for (const word of words(number, index)) {
          text += `$${word.length}\r\n${word}\r\n`;
          payload += word.length;
          count++;
        }
      }
      batch += `*${count}\r\n$${command.length}\r\n${command}\r\n$${name.length}\r\n${name}\r\n${text}`;
      commands++;
      if (batch.length >= fillBytes) await flush();
    }
  }
  await flush();
  const grown = (await sizes()).map((size, i) => size - before[i]);
  if (grown.some((growth) => growth !== elements)) {
    throw new Error(`${key(0)} and ${key(keys - 1)} grew by ${grown.join(" and ")}, not by ${elements}`);
  }
  connection.close();
  return payload;
}

/** Runs the peers' redis-benchmark on the load core until it ends. Throws on an error that a server answered. */
export async function redisBenchmark(server: Server, words: readonly string[]): Promise<void> {
  const load = Bun.spawn(
    pinned(loadCore, [peerTool("redis-benchmark"), "-p", `${server.port}`, "-q", "--seed", "1", ...words]),
    { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const [output, errors, status] = await Promise.all([
    new Response(load.stdout).text(),
    new Response(load.stderr).text(),
    load.exited,
  ]);
  if (status !== 0 || /error/i.test(output + errors)) {
    throw new Error(`redis-benchmark ${words.join(" ")} against ${server.subject.name}: ${output}${errors}`);
  }
}

/** Has a server run 300,000 commands that store nothing, in batches of 1,000 as `loadKeys` sends them: what it sets aside once, for
 *  its buffers and its compiler, is then there before anything is measured. */
export async function warmUp(port: number, batches = 300): Promise<void> {
  const connection = await Resp.connect(port);
  const batch = 1000;
  const frame = (index: number) => `*2\r\n$3\r\nGET\r\n$500\r\n${String(index).padStart(500, "0")}\r\n`;
  const bytes = Buffer.from(Array.from({ length: batch }, (_, index) => frame(index)).join(""), "latin1");
  for (let round = 0; round < batches; round++) await connection.sendAll(bytes, batch);
  connection.close();
}

/** xorshift32 as bytes: incompressible for our purpose, the same in every run. */
export class RandomBytes {
  private state: number;

  constructor(seed: number) {
    this.state = (seed * 0x9e3779b1) | 1;
  }

  next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x >>> 0;
  }

  /** So many letters and digits. */
  text(bytes: number): string {
    let text = "";
    while (text.length < bytes) text += (this.next() + 2 ** 32).toString(36).slice(1);
    return text.slice(0, bytes);
  }

  fill(bytes: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; at += 4) {
      const word = this.next();
      for (let byte = 0; byte < 4 && at + byte < end; byte++) bytes[at + byte] = word >>> (8 * byte);
    }
  }
}

// Statistics and output --------------------------------------------------------------------------------------------

/** The middle value, the mean of the two middle ones of an even count; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** 1234567 as "1.23 M". */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  return value >= 1e4 ? `${(value / 1e3).toFixed(0)} k` : value.toFixed(value < 100 ? 2 : 0);
}

/** A Markdown table: the first column to the left, the others to the right. */
export function table(header: string[], rows: string[][]): string {
  const widths = header.map((_, column) =>
    Math.max(...[header, ...rows].map((row) => row[column].length), 3),
  );
  const line = (row: string[]) =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join(" | ")} |`;
  const rule = `|${widths.map((width, column) => (column === 0 ? `${"-".repeat(width + 2)}` : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [line(header), rule, ...rows.map(line)].join("\n");
}

/** What a figure was taken on. */
export function machine(): string {
  const all = cpus();
  const gib = Math.round(totalmem() / 2 ** 30);
  return `${all.length} x ${all[0]?.model.trim() ?? "unknown"}, ${gib} GiB, Linux ${release()}, Bun ${Bun.version}`;
}

/** This run as a line for a shell: `program`, then the arguments given, quoted where they hold blanks. */
export function commandLine(program: string): string {
  const words = process.argv.slice(2).map((word) => (/^[\w.,:/=-]+$/.test(word) ? word : `'${word}'`));
  return [program, ...words].join(" ");
}

/** The date of today, as the claims register writes it. */
export function today(): string {
  return new Date().toISOString().slice(0, 10);
}

/** First line of a server's --version, "-" when it will not say. */
export function versionOf(subject: Subject): string {
  const [program] = subject.command(0);
  const { stdout } = Bun.spawnSync([program, "--version"], { stderr: "ignore" });
  return stdout.toString().split("\n")[0].trim() || "-";
}

/** Writes the raw figures of a run under tmp/bench and gives the path relative to the repository. */
export function saveRaw(name: string, data: unknown): string {
  const path = join(scratch(), `${name}-${new Date().toISOString().replace(/[:.]/g, "-")}.json`);
  writeFileSync(
    path,
    `${JSON.stringify({ machine: machine(), argv: process.argv.slice(2), data }, null, 1)}\n`,
  );
  return relative(root, path);
}

/** "1,2,4" as numbers. Throws on anything else. */
export function numbers(text: string): number[] {
  const values = text.split(",").map(Number);
  if (values.some((value) => !Number.isInteger(value) || value < 1))
    throw new Error(`not a list of counts: ${text}`);
  return values;
}
