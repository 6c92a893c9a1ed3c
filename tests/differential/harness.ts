// The runner: an oracle and subjects as child processes, the same request bytes to all at once over raw sockets, replies
// read as raw bytes, and a comparison that is bytewise unless a normaliser or a row of divergences.toml says otherwise.
//
// A stream begins with FLUSHALL on each server and with fresh connections. It is sent in one write (pipelined) in
// RESP2, in RESP3 command by command, and eight at a time when it is long (paced), so all ways of arrival are covered. A
// stream that leaves the connection open ends with an ECHO of a word no server would say by itself: bytes between the last reply and that
// word, or a close before it, are differences too. Afterwards all servers must hold the same data (DEBUG DIGEST), except
// after programs, goldens, divergences and what draws at random.
//
// Neighbours: cases/*.ts are the streams, generated.ts makes more, scenario.ts plays those with several connections,
// differential.test.ts runs them over the matrix.

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { explains, type Protocol } from "./divergences.ts";
import { byName, exact, type Normaliser, transaction } from "./normalise.ts";
import {
  type Bytes,
  bytesOf,
  encodeRequest,
  MalformedReply,
  parseReply,
  replyEnd,
  show,
  showCommand,
  textOf,
} from "./resp.ts";
import { type Heard, playScenario, receives, type Step } from "./scenario.ts";

export type { Protocol } from "./divergences.ts";
export { blocks, on, type Step, wakes } from "./scenario.ts";

/** A string is latin1: one character a byte. */
export type Word = string | Bytes;
export type Command = readonly Word[];

/** A program asks one server by itself (it follows a cursor, or uses an id it was given); its lines are compared. */
export type Program = (server: ProgramServer) => Promise<string[]>;
export interface ProgramServer {
  /** Replies of these commands on the connection of that name, opened on first use, in the case's protocol. */
  ask(on: string, ...commands: Command[]): Promise<Bytes[]>;
  /** Whether the server closes that connection within the time a reply may take. */
  closed(on: string): Promise<boolean>;
}

export interface Case {
  name: string;
  commands?: Command[];
  /** Bytes as they are, one element a write with a pause between; nothing else is sent before the end. */
  raw?: Word[];
  /** Several connections; their replies are numbered by connection, in the order of first mention. */
  steps?: readonly Step[];
  /** Connections of `steps` that answer no PING at times (CLIENT REPLY): read only where a step says `answers`. */
  unmarked?: readonly string[];
  program?: Program;
  /** For every reply, or by its index; else by the command's name. */
  normalise?: Normaliser | Readonly<Record<number, Normaliser>>;
  protocols?: readonly Protocol[];
  /** Which oracle; "7" when left out. */
  oracle?: "7" | "8";
  /** Our answer where the oracle's is another: the whole stream's bytes, or replies by index. Needs `why`. */
  expect?: string | Readonly<Record<number, string>>;
  why?: string;
  /** The oracle is not asked: it would do something else with the stream, or wait for ever. Needs `expect` in full. */
  unasked?: boolean;
  /** How the stream ends: with the ECHO (default), awaiting the server's close, or by half-closing our side. */
  end?: "echo" | "close" | "eof";
  /** One write even in RESP3: for streams where replies and commands do not pair. */
  pipelined?: boolean;
  /** CONFIG parameters to put back afterwards. */
  config?: readonly string[];
  /** Wait until earlier connections are gone before it starts. */
  alone?: boolean;
  /** False where the stream may leave other data on each server. */
  state?: false;
}

/** A case from commands written as text split at spaces; a command with other bytes is an array. */
export function stream(name: string, ...commands: (string | Command)[]): Case {
  return { name, commands: lines(...commands) };
}

/** Commands from text split at single spaces. */
export function lines(...commands: (string | Command)[]): Command[] {
  return commands.map((command) => (typeof command === "string" ? command.split(" ") : command));
}

/** A case whose answer is hand-written. */
export function golden(
  name: string,
  why: string,
  expect: string | Readonly<Record<number, string>>,
  ...commands: (string | Command)[]
): Case {
  return { name, commands: lines(...commands), expect, why };
}

/** The reply to a command nobody knows (section 3 of the contract; checked against the oracle by cases/wire.ts). */
export function unknownCommand(command: Command): string {
  const words = command.map((word) => (typeof word === "string" ? word : textOf(word)));
  let list = "";
  for (const word of words.slice(1)) {
    if (list.length >= 128) break;
    list += `'${word.slice(0, 128 - list.length)}' `;
  }
  const text = `ERR unknown command '${words[0].slice(0, 128)}', with args beginning with: ${list}`;
  return `-${text.replace(/[\r\n]/g, " ")}\r\n`;
}

const replyTimeoutMs = 10_000;

/** One socket and the bytes it has received and not yet handed out as replies. */
export class Connection {
  closed = false;
  private held: Buffer = Buffer.alloc(0);
  private wake: (() => void) | null = null;

  private constructor(private readonly socket: Socket) {
    socket.on("data", (chunk: Buffer) => {
      this.held = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk]);
      this.notify();
    });
    const close = () => {
      this.closed = true;
      this.notify();
    };
    socket.on("end", close);
    socket.on("close", close);
    socket.on("error", close);
  }

  /** Our end, as CLIENT LIST names it. */
  get address(): string {
    return `127.0.0.1:${this.socket.localPort}`;
  }

  static open(port: number): Promise<Connection> {
    return new Promise((done, fail) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
      const connection = new Connection(socket);
      socket.once("connect", () => done(connection));
      socket.once("error", fail);
    });
  }

  send(bytes: Bytes): void {
    if (!this.closed && bytes.length > 0) this.socket.write(bytes);
  }

  halfClose(): void {
    this.socket.end();
  }

  close(): void {
    this.socket.destroy();
  }

  /** The next whole reply, or why there is none. */
  async reply(timeoutMs = replyTimeoutMs): Promise<Bytes | "closed" | "timeout"> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const end = replyEnd(this.held, 0, this.held.length);
      if (end > 0) {
        const reply = this.held.subarray(0, end);
        this.held = this.held.subarray(end);
        return reply;
      }
      if (this.closed) return "closed";
      if (!(await this.changed(deadline))) return "timeout";
    }
  }

  /** Bytes received and not handed out. */
  rest(): Bytes {
    return this.held;
  }

  /** Waits for the close; false when it does not come in time. */
  async awaitClose(timeoutMs = replyTimeoutMs): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!this.closed) if (!(await this.changed(deadline))) return false;
    return true;
  }

  private notify(): void {
    const wake = this.wake;
    this.wake = null;
    wake?.();
  }

  /** Until something arrives; false at the deadline. */
  private changed(deadline: number): Promise<boolean> {
    const left = deadline - performance.now();
    if (left <= 0) return Promise.resolve(false);
    return new Promise((done) => {
      const timer = setTimeout(() => {
        this.wake = null;
        done(false);
      }, left);
      this.wake = () => {
        clearTimeout(timer);
        done(true);
      };
    });
  }
}

/** A server as a child process, with one control connection for FLUSHALL and settings. */
export class Server {
  /** The last stream may have left somebody blocked or subscribed, whose end the server has yet to notice. */
  lingers = false;

  private constructor(
    readonly name: string,
    readonly port: number,
    private readonly child: Bun.Subprocess,
    private readonly control: Connection,
    private readonly dir: string,
  ) {}

  /** Starts `argv` with `--port <free>` put at `{port}` and waits until it answers PING. */
  static async start(name: string, argv: readonly string[]): Promise<Server> {
    const port = await freePort();
    const dir = mkdtempSync(join(tmpdir(), "differential-"));
    const logPath = join(dir, "log");
    const child = Bun.spawn({
      cmd: argv.map((word) => (word === "{port}" ? String(port) : word)),
      cwd: dir,
      stdin: "ignore",
      stdout: Bun.file(logPath),
      stderr: Bun.file(join(dir, "errors")),
    });
    const startMs = performance.now();
    for (;;) {
      const control = await Connection.open(port).catch(() => null);
      if (control !== null) {
        control.send(bytesOf("PING\r\n"));
        const answer = await control.reply(1_000);
        if (answer instanceof Uint8Array && textOf(answer) === "+PONG\r\n")
          return new Server(name, port, child, control, dir);
        control.close();
      }
      if (child.exitCode !== null || performance.now() - startMs > 20_000) {
        child.kill();
        const said = (await Bun.file(logPath).text()) + (await Bun.file(join(dir, "errors")).text());
        throw new Error(
          `${name} did not answer on port ${port} (${argv.join(" ")}), exit code ${child.exitCode}: ${said}`,
        );
      }
      await Bun.sleep(20);
    }
  }

  /** A reply on the control connection. */
  async ask(...command: Word[]): Promise<Bytes> {
    this.control.send(encodeRequest(command));
    const reply = await this.control.reply();
    if (typeof reply === "string")
      throw new Error(`${this.name}: ${showCommand(command)}: ${reply} on control`);
    return reply;
  }

  /** Empties it; with `alone`, or after somebody who lingers, waits until the control connection is the only one. */
  async reset(alone: boolean): Promise<void> {
    await this.ask("FLUSHALL");
    alone ||= this.lingers;
    this.lingers = false;
    for (let tries = 0; alone && tries < 200; tries++) {
      const list = textOf(await this.ask("CLIENT", "LIST"));
      if (list.split("\n").filter((line) => line.includes("addr=")).length <= 1) return;
      await Bun.sleep(5);
    }
  }

  stop(): void {
    this.control.close();
    this.child.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const handedOut = new Set<number>();

/** A port that nobody listens on, and that no other server being started was given. */
async function freePort(): Promise<number> {
  for (;;) {
    const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const { port } = listener;
    listener.stop(true);
    if (!handedOut.has(port)) {
      handedOut.add(port);
      return port;
    }
  }
}

/** Where the oracles are; a sentence that says how to get one that is missing. */
export function findOracle(which: "7" | "8"): { path: string } | { missing: string } {
  const root = resolve(import.meta.dir, "../..");
  if (which === "7") {
    const path = Bun.which("redis-server") ?? "/usr/bin/redis-server";
    return existsSync(path)
      ? { path }
      : { missing: "no redis-server 7.0 on PATH: run ./scripts/test, which installs what the suites need" };
  }
  const places = [
    process.env.REDIS8_BIN,
    join(resolve(root, process.env.PEERS_DIR ?? "tmp/peers"), "bin/redis-server"),
  ];
  const path = places.find((place) => place !== undefined && place !== "" && existsSync(place));
  if (path !== undefined) return { path };
  return {
    missing: "no redis-server 8 (REDIS8_BIN, PEERS_DIR, tmp/peers): run ./scripts/peers to install it",
  };
}

/** Starts an oracle. Throws with instructions when it is not installed. */
export async function startOracle(which: "7" | "8"): Promise<Server> {
  const found = findOracle(which);
  if ("missing" in found) throw new Error(found.missing);
  const options = ["--save", "", "--enable-debug-command", "yes", "--loglevel", "warning"];
  return Server.start(`redis ${which}`, [found.path, "--port", "{port}", ...options]);
}

/** Starts the server under test with that many shards on that driver. */
export async function startSubject(binary: string, shards: number, driver: string): Promise<Server> {
  const path = resolve(import.meta.dir, "../..", binary);
  if (!existsSync(path))
    throw new Error(`no ${path}: build it with \`bun run build\` or name one in IRONCACHE_BIN`);
  const place = ["--shards", String(shards), "--io", driver];
  return Server.start(`${shards}:${driver}`, [
    path,
    "serve",
    "--port",
    "{port}",
    ...place,
    "--maxmemory", // Redis's defaults
    "0",
    "--maxmemory-policy",
    "noeviction",
    "--enable-debug-command",
    "yes",
  ]);
}

/** What one server made of a stream. */
interface Outcome {
  replies: Bytes[];
  /** "open" after the ECHO, "closed", "timeout", or what was malformed. */
  ended: string;
  rest: Bytes;
  /** Lines of a program. */
  notes: string[];
  /** Of a scenario: what each reply answers, and where. */
  heard?: Heard[];
}

/** Runs a case on the oracle and on every subject side by side; for each subject what differs, or null. Timed
 *  normalisers get three attempts. */
export async function runCase(
  test: Case,
  protocol: Protocol,
  oracle: Server,
  subjects: readonly Server[],
  isRedis = false,
): Promise<(string | null)[]> {
  const texts: (string | null)[] = subjects.map(() => null);
  let left = subjects.map((subject, at) => ({ subject, at }));
  for (let attempt = 1; left.length > 0; attempt++) {
    const servers = left.map(({ subject }) => subject);
    const verdicts = await attemptCase(test, protocol, oracle, servers, isRedis);
    for (const [i, { at }] of left.entries()) texts[at] = verdicts[i]!.text;
    left = left.filter((_, i) => verdicts[i]!.text !== null && verdicts[i]!.timed && attempt < 3);
  }
  return texts;
}

/** What differs at which of the servers, or null; the same is said once. */
export function report(subjects: readonly Server[], texts: readonly (string | null)[]): string | null {
  const names = new Map<string, string[]>();
  for (const [i, text] of texts.entries())
    if (text !== null) names.set(text, [...(names.get(text) ?? []), subjects[i]!.name]);
  return names.size === 0 ? null : [...names].map(([text, at]) => `${at.join(", ")}: ${text}`).join("\n");
}

interface Verdict {
  text: string | null;
  timed: boolean;
  /** A row of divergences.toml explained a reply to a command that may write. */
  diverged?: boolean;
}

async function attemptCase(
  test: Case,
  protocol: Protocol,
  oracle: Server,
  subjects: readonly Server[],
  isRedis: boolean,
): Promise<Verdict[]> {
  if (test.unasked === true && isRedis) return subjects.map(() => pass);
  const [due, ...outcomes] = await Promise.all(
    [oracle, ...subjects].map(async (server): Promise<Outcome | Error> => {
      try {
        return await perform(test, protocol, server, server === oracle && test.unasked === true);
      } catch (error) {
        if (server === oracle || !(error instanceof Error)) throw error;
        return error; // the other subjects are judged all the same
      }
    }),
  );
  const verdicts = outcomes.map((outcome) =>
    outcome instanceof Error
      ? fail(String(outcome))
      : compare(test, protocol, due as Outcome, outcome, isRedis),
  );
  if (
    test.state === false ||
    test.program !== undefined ||
    test.expect !== undefined ||
    asked(test).some(drawsAtRandom)
  )
    return verdicts;
  const alike = subjects.filter((_, i) => verdicts[i]!.text === null && verdicts[i]!.diverged !== true);
  const differences = await statesDiffer(oracle, alike, test.oracle === "8");
  return verdicts.map((verdict, i) => {
    const difference = differences.get(subjects[i]!);
    return difference === undefined ? verdict : { text: difference, timed: true };
  });
}

/** Plays a case on an empty server, and puts its settings back. */
async function perform(test: Case, protocol: Protocol, server: Server, silent: boolean): Promise<Outcome> {
  await server.reset(test.alone === true);
  if (silent) return unasked();
  const kept = await saved(server, test.config);
  try {
    return await play(test, protocol, server);
  } finally {
    await putBack(server, kept);
  }
}

function asked(test: Case): Command[] {
  return test.commands ?? test.steps?.flatMap((step) => step.commands ?? []) ?? [];
}

function nameOf(command: Command): string {
  const [first = ""] = command;
  return (typeof first === "string" ? first : textOf(first)).toLowerCase();
}

function drawsAtRandom(command: Command): boolean {
  return nameOf(command) === "spop";
}

/** How the data of servers differs from the oracle's, key by key, where it does. The oracle counts what is due until it has
 *  reaped it, so it gets some time for that. */
async function statesDiffer(
  oracle: Server,
  subjects: readonly Server[],
  newer: boolean,
): Promise<Map<Server, string>> {
  const found = new Map<Server, string>();
  let left = subjects;
  for (let attempt = 1; left.length > 0; attempt++) {
    const [due, ...got] = await Promise.all([oracle, ...left].map((server) => server.ask("DEBUG", "DIGEST")));
    left = left.filter((_, i) => textOf(due!) !== textOf(got[i]!));
    if (left.length === 0) break;
    const [theirs, ...each] = await Promise.all([oracle, ...left].map((server) => digests(server, newer)));
    const lines = each.map((ours) =>
      [...new Set([...theirs!.keys(), ...ours.keys()])]
        .filter((name) => theirs!.get(name) !== ours.get(name))
        .slice(0, 10)
        .map((name) => `state: key ${name}: oracle ${seen(theirs!.get(name))}, ours ${seen(ours.get(name))}`),
    );
    if (attempt === 3) for (const [i, server] of left.entries()) found.set(server, lines[i]!.join("\n"));
    left = left.filter((_, i) => attempt < 3 && lines[i]!.length > 0);
    if (left.length > 0) await Bun.sleep(150);
  }
  for (const [server, text] of found) if (text === "") found.delete(server);
  return found;
}

function seen(digest: string | undefined): string {
  return digest === undefined ? "none" : show(digest, 500);
}

/** The digest of every live key, by database and name. Of a sorted set its elements when the oracle is a newer one, whose
 *  digests have scores as other text than 7.0's and ours. */
async function digests(server: Server, newer: boolean): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const keyspace = textOf(await server.ask("INFO", "keyspace"));
  for (const [, db] of keyspace.matchAll(/^db(\d+):/gm)) {
    await server.ask("SELECT", db);
    const keys = (parseReply(await server.ask("KEYS", "*")).items ?? []).map(({ text }) => text);
    if (keys.length === 0) continue;
    const values = parseReply(await server.ask("DEBUG", "DIGEST-VALUE", ...keys)).items ?? [];
    for (const [i, key] of keys.entries()) {
      const scored = newer && textOf(await server.ask("TYPE", key)) === "+zset\r\n";
      const value = scored
        ? textOf(await server.ask("ZRANGE", key, "0", "-1", "WITHSCORES"))
        : values[i].text;
      found.set(`${db} ${show(key, 60)}`, value);
    }
  }
  await server.ask("SELECT", "0");
  return found;
}

async function saved(server: Server, names: readonly string[] = []): Promise<[string, string][]> {
  const values: [string, string][] = [];
  for (const name of names) {
    const [, , , , value] = textOf(await server.ask("CONFIG", "GET", name)).split("\r\n");
    if (value !== undefined) values.push([name, value]);
  }
  return values;
}

async function putBack(server: Server, values: [string, string][]): Promise<void> {
  for (const [name, value] of values) await server.ask("CONFIG", "SET", name, value);
}

async function openFor(protocol: Protocol, server: Server): Promise<Connection> {
  const connection = await Connection.open(server.port);
  if (protocol === 3) {
    connection.send(encodeRequest(["HELLO", "3"]));
    await connection.reply();
  }
  return connection;
}

/** In place of what an oracle that is not asked would have said. */
function unasked(): Outcome {
  return { replies: [], ended: "open", rest: new Uint8Array(), notes: [] };
}

let echoes = 0;

/** Sends a case's stream to one server and collects what comes back. */
async function play(test: Case, protocol: Protocol, server: Server): Promise<Outcome> {
  const outcome: Outcome = { replies: [], ended: "", rest: new Uint8Array(), notes: [] };
  if (test.program !== undefined) {
    outcome.notes = await runProgram(test.program, protocol, server);
    return outcome;
  }
  server.lingers = receives(asked(test)) || test.steps?.some((step) => step.blocks !== undefined) === true;
  if (test.steps !== undefined) {
    const stage = {
      open: () => openFor(protocol, server),
      ask: (...words: string[]) => server.ask(...words),
    };
    const { heard, stuck } = await playScenario(test.steps, stage, test.unmarked ?? []);
    return { ...outcome, replies: heard.map(({ bytes }) => bytes), ended: stuck || "open", heard };
  }
  const connection = await openFor(protocol, server);
  try {
    if (test.raw !== undefined) await playRaw(test, connection, outcome);
    else if (protocol === 2 || test.pipelined === true) await playPipelined(test, connection, outcome);
    else await playPaced(test, connection, outcome);
  } catch (error) {
    if (!(error instanceof MalformedReply)) throw error;
    outcome.ended = `malformed reply: ${error.message}`;
  }
  outcome.rest = connection.rest();
  connection.close();
  return outcome;
}

async function playRaw(test: Case, connection: Connection, outcome: Outcome): Promise<void> {
  for (const [i, chunk] of test.raw!.entries()) {
    if (i > 0) await Bun.sleep(1);
    connection.send(typeof chunk === "string" ? bytesOf(chunk) : chunk);
  }
  await collect(test, connection, outcome, new Uint8Array());
}

async function playPipelined(test: Case, connection: Connection, outcome: Outcome): Promise<void> {
  await collect(
    test,
    connection,
    outcome,
    Buffer.concat(test.commands!.map((words) => encodeRequest(words))),
  );
}

async function playPaced(test: Case, connection: Connection, outcome: Outcome): Promise<void> {
  const commands = test.commands!;
  for (let at = 0, next: number; at < commands.length; at = next) {
    next = at + (at < 32 ? 1 : 8);
    const group = commands.slice(at, next);
    connection.send(Buffer.concat(group.map((words) => encodeRequest(words))));
    for (const command of group) {
      const reply = await connection.reply();
      if (typeof reply === "string") {
        outcome.ended = reply === "timeout" ? `no reply to ${showCommand(command)}` : "closed";
        return;
      }
      outcome.replies.push(reply);
    }
  }
  await collect(test, connection, outcome, new Uint8Array());
}

/** Sends `bytes` and the stream's end, then reads replies up to that end. */
async function collect(test: Case, connection: Connection, outcome: Outcome, bytes: Bytes): Promise<void> {
  const last = `end of stream ${++echoes}`;
  const lastReply = `$${last.length}\r\n${last}\r\n`;
  const byEcho = test.end === undefined || test.end === "echo";
  connection.send(byEcho ? Buffer.concat([bytes, encodeRequest(["ECHO", last])]) : bytes);
  if (test.end === "eof") connection.halfClose();
  for (;;) {
    const reply = await connection.reply();
    if (typeof reply === "string") {
      outcome.ended = reply;
      return;
    }
    if (byEcho && reply.length === lastReply.length && textOf(reply) === lastReply) {
      outcome.ended = "open";
      return;
    }
    outcome.replies.push(reply);
  }
}

async function runProgram(program: Program, protocol: Protocol, server: Server): Promise<string[]> {
  const connections = new Map<string, Connection>();
  const find = async (on: string): Promise<Connection> => {
    const connection = connections.get(on) ?? (await openFor(protocol, server));
    connections.set(on, connection);
    return connection;
  };
  try {
    return await program({
      ask: async (on, ...commands) => {
        const connection = await find(on);
        connection.send(Buffer.concat(commands.map((words) => encodeRequest(words))));
        const replies: Bytes[] = [];
        for (let i = 0; i < commands.length; i++) {
          const reply = await connection.reply();
          replies.push(typeof reply === "string" ? bytesOf(`+(${reply})\r\n`) : reply);
        }
        return replies;
      },
      closed: async (on) => (await find(on)).awaitClose(2_000),
    });
  } finally {
    for (const connection of connections.values()) connection.close();
  }
}

/** Compares two outcomes reply by reply; the first difference decides. */
function compare(
  test: Case,
  protocol: Protocol,
  oracle: Outcome,
  subject: Outcome,
  isRedis: boolean,
): Verdict {
  const commands = asked(test);
  let diverged = false;
  if (test.expect !== undefined && test.why === undefined) return fail(`${test.name}: a golden needs a why`);
  if (typeof test.expect === "string") {
    const due = test.expect;
    const theirs = joined(oracle);
    if (theirs === due) return fail("the oracle already gives this golden's bytes: make it an ordinary case");
    if (isRedis) return pass;
    const ours = joined(subject);
    return ours === due ? pass : fail(`golden ${show(due)}\n     ours ${show(ours)}\n    (${test.why})`);
  }
  if (test.steps !== undefined && oracle.ended !== subject.ended)
    return fail(`the oracle ends "${oracle.ended}", ours "${subject.ended}"`);
  const expected = test.unasked === true ? Object.keys(test.expect ?? {}).length : 0;
  const count = Math.max(oracle.replies.length, subject.replies.length, expected);
  for (let i = 0; i < count; i++) {
    const a = oracle.replies[i];
    const b = subject.replies[i];
    const command = oracle.heard?.[i]?.command ?? commands[i] ?? [];
    const due = test.expect?.[i];
    if (due !== undefined || test.unasked === true) {
      if (due === undefined) return fail(`reply ${i}: ${showReply(b)} was not expected`);
      if (a !== undefined && textOf(a) === due)
        return fail(`reply ${i}: the oracle already gives ${show(due)}`);
      if (!isRedis && (b === undefined || textOf(b) !== due))
        return fail(
          `reply ${i} to ${showCommand(command)}\n   golden ${show(due)}\n     ours ${showReply(b)}`,
        );
      continue;
    }
    const normaliser =
      test.normalise === undefined && nameOf(command) === "exec"
        ? transaction(queuedBefore(i, oracle, commands))
        : normaliserOf(test, i, command);
    const why = a === undefined || b === undefined ? "one side has no such reply" : normaliser.differs(a, b);
    if (explains(test.name, command, protocol, a, b, why === null)) {
      diverged ||= !onlyReads.has(nameOf(command));
      continue;
    }
    if (why === null) continue;
    const place = `reply ${i} to ${showCommand(command)}${oracle.heard === undefined ? "" : ` in ${oracle.heard[i]?.place}`}`;
    return {
      text: `${place}\n   oracle ${showReply(a)}\n     ours ${showReply(b)}\n  (${normaliser.name}: ${why})`,
      timed: normaliser.timed === true,
    };
  }
  if (oracle.ended !== subject.ended)
    return fail(`the oracle's connection ends "${oracle.ended}", ours "${subject.ended}"`);
  if (oracle.ended === "timeout" || (test.steps !== undefined && oracle.ended !== "open"))
    return fail(`both sides end "${oracle.ended}": the case is wrong`);
  if (textOf(oracle.rest) !== textOf(subject.rest))
    return fail(`bytes after the last reply: oracle ${show(oracle.rest)}, ours ${show(subject.rest)}`);
  for (let i = 0; i < Math.max(oracle.notes.length, subject.notes.length); i++)
    if (oracle.notes[i] !== subject.notes[i])
      return fail(
        `line ${i}\n   oracle ${show(oracle.notes[i] ?? "")}\n     ours ${show(subject.notes[i] ?? "")}`,
      );
  return diverged ? { ...pass, diverged } : pass;
}

/** The commands that reply `i`, of an EXEC, has elements for. */
function queuedBefore(i: number, outcome: Outcome, commands: readonly Command[]): Command[] {
  const queued: Command[] = [];
  for (let at = i - 1; at >= 0; at--) {
    const command = outcome.heard?.[at]?.command ?? commands[at] ?? [];
    const reply = textOf(outcome.replies[at]!);
    if (reply === "+QUEUED\r\n") queued.unshift(command);
    else if (nameOf(command) === "multi" && reply === "+OK\r\n") break;
  }
  return queued;
}

/** Of the commands that divergences.toml names, those that leave the data alone. */
const onlyReads = new Set(["object", "scan", "ttl", "pttl", "expiretime", "pexpiretime", "debug"]);

const pass: Verdict = { text: null, timed: false };

function fail(text: string): Verdict {
  return { text, timed: false };
}

function joined(outcome: Outcome): string {
  return outcome.replies.map(textOf).join("") + (outcome.ended === "open" ? "" : `(${outcome.ended})`);
}

function showReply(reply: Bytes | undefined): string {
  return reply === undefined ? "(none)" : show(reply);
}

function normaliserOf(test: Case, index: number, command: Command): Normaliser {
  if (test.normalise !== undefined) {
    if ("differs" in test.normalise) return test.normalise as Normaliser;
    const own = (test.normalise as Record<number, Normaliser>)[index];
    if (own !== undefined) return own;
  }
  return command.length === 0 ? exact : byName(command);
}
