// one-shot.ts: `ironcache cli` without a prompt: one command from the arguments, or one a line from stdin.
//
// What is printed, where, and in which order is redis-cli 7.0.15's, byte for byte (render.ts has the forms).
// Exit codes:
//   0  done, also when the server answered an error
//   1  -e and an error reply; no connection, or lost; a reply that is none
//   2  the options make no sense together, or there is neither a command nor piped input
// Invariants:
//   - A command's arguments are sent as the bytes that were given; nothing after the command's name is an
//     option.
//   - Error texts about the connection go to stderr, replies to stdout, except the reply that -e turns into
//     exit 1.
//   - A push is printed before the reply it preceded on the wire, never later and never earlier.
// Neighbours: cmd/cli.ts parses the options, client.ts holds the connection, render.ts makes the text.

import { readFileSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { MalformedReply, type Reply } from "../protocol/reply-decoder.ts";
import { ConnectFailed, RespClient, type Target } from "./client.ts";
import {
  defaultDelimiters,
  type OutputMode,
  type RenderOptions,
  renderPlain,
  renderPush,
  renderReply,
} from "./render.ts";

export interface CliOptions {
  readonly hostname: string;
  readonly port: number;
  /** Overrides hostname and port. */
  readonly socketPath?: string;
  readonly user?: string;
  readonly password?: string;
  /** Whether the password stood on the command line, where other users of the machine can read it. */
  readonly passwordOnCommandLine?: boolean;
  readonly warnAboutPassword: boolean;
  readonly db: number;
  readonly resp2: boolean;
  readonly resp3: boolean;
  /** Negative: for ever. */
  readonly repeat: number;
  readonly intervalSeconds: number;
  readonly exitOnError: boolean;
  /** Absent: standard on a terminal, raw elsewhere. */
  readonly mode?: OutputMode;
  readonly itemDelimiter: string;
  readonly replyDelimiter: string;
  readonly stdinLastArgument: boolean;
  /** The argument that stdin's bytes stand in for. */
  readonly stdinTag?: string;
  readonly quotedInput: boolean;
  /** Absent: on a terminal only. */
  readonly showPushes?: boolean;
  readonly connectTimeoutSeconds?: number;
}

export const defaultOptions: CliOptions = {
  hostname: "127.0.0.1",
  port: 6379,
  warnAboutPassword: true,
  db: 0,
  resp2: false,
  resp3: false,
  repeat: 1,
  intervalSeconds: 0,
  exitOnError: false,
  ...defaultDelimiters,
  stdinLastArgument: false,
  quotedInput: false,
};

/** The process around the run: what a test may replace. */
export interface CliSurroundings {
  readonly stdinIsTerminal: boolean;
  readonly stdoutIsTerminal: boolean;
  write(bytes: Uint8Array): void;
  writeError(text: string | Uint8Array): void;
  stdin(): AsyncIterable<Uint8Array>;
}

export const enum Exit {
  Done = 0,
  Failed = 1,
  Usage = 2,
}

/** Unwinds the run to runCli, which answers `code`. Nothing is left to print. */
class Finish extends Error {
  constructor(readonly code: Exit) {
    super(`exit ${code}`);
  }
}

/** Runs `words` as one command, or stdin's lines when there are none. Answers the exit code. */
export async function runCli(
  options: CliOptions,
  words: readonly Uint8Array[],
  around: CliSurroundings = processSurroundings(),
): Promise<number> {
  try {
    refuseContradictions(options);
    if (options.warnAboutPassword && options.passwordOnCommandLine) {
      around.writeError(
        "Warning: Using a password with '-a' or '-u' option on the command line interface may not be safe.\n",
      );
    }
    if (words.length > 0) return await new Session(options, around, false).runOnce(words);
    if (!around.stdinIsTerminal) return await new Session(options, around, true).runLines();
    throw new UsageError(
      "An interactive prompt is not there yet: give a command, or pipe commands in, one a line.",
    );
  } catch (error) {
    if (error instanceof Finish) return error.code;
    if (error instanceof UsageError) {
      around.writeError(`${error.message}\n`);
      return Exit.Usage;
    }
    throw error;
  }
}

/** What the user asked for cannot be done; the message goes to stderr, the exit code is 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

function refuseContradictions(options: CliOptions): void {
  if (options.resp2 && options.resp3) throw new UsageError("Options -2 and -3 are mutually exclusive.");
  if (options.stdinLastArgument && options.stdinTag !== undefined) {
    throw new UsageError("Options -x and -X are mutually exclusive.");
  }
  if (options.port < 0 || options.port > 65535) throw new UsageError("Invalid server port.");
}

class Session {
  readonly #options: CliOptions;
  readonly #around: CliSurroundings;
  /** Lines from stdin: a lost connection is opened again and a failed line does not end the run. */
  readonly #lineMode: boolean;
  readonly #render: RenderOptions;
  readonly #showPushes: boolean;
  #target: Target;
  #db: number;
  #client: RespClient | null = null;
  /** Pushes that came since the last reply; they are printed ahead of the next one. */
  #pushes: Reply[] = [];
  #sawError = false;

  constructor(options: CliOptions, around: CliSurroundings, lineMode: boolean) {
    this.#options = options;
    this.#around = around;
    this.#lineMode = lineMode;
    this.#render = {
      mode: options.mode ?? (around.stdoutIsTerminal ? "standard" : "raw"),
      itemDelimiter: options.itemDelimiter,
      replyDelimiter: options.replyDelimiter,
    };
    this.#showPushes = options.showPushes ?? around.stdoutIsTerminal;
    this.#target =
      options.socketPath === undefined
        ? { hostname: options.hostname, port: options.port }
        : { socketPath: options.socketPath };
    this.#db = options.db;
  }

  async runOnce(words: readonly Uint8Array[]): Promise<number> {
    const args = await this.#withStdin(this.#options.quotedInput ? this.#unquoted(words) : words);
    const done = await this.#issue(args, this.#options.repeat);
    this.#client?.close();
    return done ? Exit.Done : Exit.Failed;
  }

  async runLines(): Promise<number> {
    await this.#connect();
    for await (const line of linesOf(this.#around.stdin())) {
      if (line.length === 0) continue;
      if (await this.#runLine(line)) break;
    }
    this.#client?.close();
    return this.#options.exitOnError && this.#sawError ? Exit.Failed : Exit.Done;
  }

  /** Runs one line of input; true when it asks to end the run. */
  async #runLine(line: string): Promise<boolean> {
    const split = splitArguments(line);
    if (split === null) return this.#print("Invalid argument(s)\n");
    if (split.length === 0) return false;
    let repeat = 1;
    if (split.length > 1 && /^\s*[+-]?\d+$/.test(split[0])) {
      repeat = Number(split[0]);
      if (repeat <= 0 || repeat > Number.MAX_SAFE_INTEGER) {
        return this.#print("Invalid redis-cli repeat command option value.\n");
      }
      split.shift();
    }
    const name = split[0].toLowerCase();
    if (name === "quit" || name === "exit") return true;
    if (name[0] === ":") return this.#setPreference(split);
    if (name === "restart") return this.#print("Use 'restart' only in Lua debugging mode.\n");
    if (name === "clear" && split.length === 1) return this.#print("\x1b[H\x1b[2J");
    if (name === "connect" && split.length === 3) {
      this.#target = { hostname: split[1], port: Number.parseInt(split[2], 10) & 0xffff };
      await this.#connect();
      return false;
    }
    const startedMs = performance.now();
    await this.#issue(
      split.map((argument) => Buffer.from(argument, "latin1")),
      repeat,
    );
    const tookMs = performance.now() - startedMs;
    if (tookMs >= 500 && this.#render.mode === "standard") this.#print(`(${(tookMs / 1000).toFixed(2)}s)\n`);
    return false;
  }

  /** Hints are the prompt's; the words are accepted so that a script written for a prompt runs. */
  #setPreference(words: readonly string[]): boolean {
    if (words[0].toLowerCase() !== ":set" || words.length < 2) {
      return this.#print(`unknown redis-cli internal command '${words[0]}'\n`);
    }
    if (["hints", "nohints"].includes(words[1].toLowerCase())) return false;
    return this.#print(`unknown redis-cli preference '${words[1]}'\n`);
  }

  /** Prints text of code units 0..255 and answers false: the run goes on. */
  #print(text: string): false {
    this.#around.write(Buffer.from(text, "latin1"));
    return false;
  }

  #unquoted(words: readonly Uint8Array[]): Uint8Array[] {
    return words.map((word) => {
      const parts = splitArguments(Buffer.from(word).toString("latin1"));
      if (parts === null || parts.length !== 1) {
        this.#print("Invalid quoted string\n");
        throw new Finish(Exit.Failed);
      }
      return Buffer.from(parts[0], "latin1");
    });
  }

  async #withStdin(words: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const { stdinLastArgument, stdinTag } = this.#options;
    if (stdinLastArgument) return [...words, await this.#allOfStdin()];
    if (stdinTag === undefined) return words;
    const tag = Buffer.from(stdinTag);
    const at = words.findIndex((word) => tag.equals(word));
    if (at < 0) {
      this.#around.writeError("Using -X option but stdin tag not match.\n");
      throw new Finish(Exit.Failed);
    }
    return words.with(at, await this.#allOfStdin());
  }

  async #allOfStdin(): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#around.stdin()) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** Opens the connection and logs in. A failure is printed; then there may be no client, or one not set
   *  up. */
  async #connect(): Promise<void> {
    this.#client?.close();
    this.#client = null;
    this.#pushes = [];
    const { user, password, resp2, resp3, connectTimeoutSeconds } = this.#options;
    try {
      const client = await RespClient.connect(this.#target, {
        connectTimeoutMs: connectTimeoutSeconds === undefined ? undefined : connectTimeoutSeconds * 1000,
      });
      client.onPush = (reply) => this.#pushes.push(reply);
      this.#client = client;
    } catch (error) {
      if (!(error instanceof ConnectFailed)) throw error;
      const where =
        "socketPath" in this.#target
          ? this.#target.socketPath
          : `${this.#target.hostname}:${this.#target.port}`;
      this.#around.writeError(`Could not connect to Redis at ${where}: ${error.message}\n`);
      return;
    }
    const json = this.#render.mode === "json" || this.#render.mode === "quoted-json";
    // Each step presumes the one before; redis-cli, too, goes on to the command when one fails.
    if (password !== undefined) {
      const login = user === undefined ? ["AUTH", password] : ["AUTH", user, password];
      if (!(await this.#setUp(login, "AUTH failed"))) return;
    }
    if (!(await this.#select())) return;
    if (resp3 || (json && !resp2)) await this.#setUp(["HELLO", "3"], "HELLO 3 failed");
  }

  #select(): Promise<boolean> {
    if (this.#db === 0) return Promise.resolve(true);
    return this.#setUp(["SELECT", String(this.#db)], `SELECT ${this.#db} failed`);
  }

  async #setUp(args: readonly string[], complaint: string): Promise<boolean> {
    try {
      const reply = await this.#client!.send(args);
      if (reply.type !== "error") return true;
      this.#around.writeError(Buffer.concat([Buffer.from(`${complaint}: `), reply.bytes, Buffer.from("\n")]));
    } catch {
      // The connection ended: the command itself meets the same end and says so.
    }
    return false;
  }

  /** Runs a command `repeat` times. False when it could not be sent even over a fresh connection. */
  async #issue(args: readonly Uint8Array[], repeat: number): Promise<boolean> {
    const words = args.map((argument) => Buffer.from(argument).toString("latin1").toLowerCase());
    if (words[0] === "help" || words[0] === "?") {
      this.#around.write(Buffer.from(helpText));
      return true;
    }
    let isFresh = false;
    while (true) {
      if (this.#client === null) {
        if (isFresh) return false;
        isFresh = true;
        await this.#connect();
        if (this.#client === null) return false;
      }
      try {
        await this.#repeat(args, words, repeat);
        return true;
      } catch (error) {
        if (error instanceof Finish) throw error;
        // SHUTDOWN is answered by the end of the connection.
        if (words[0] === "shutdown" && !(error instanceof MalformedReply)) return true;
        this.#client?.close();
        this.#client = null;
        if (this.#lineMode && !isFresh && !(error instanceof MalformedReply)) continue;
        this.#around.writeError(`Error: ${(error as Error).message}\n`);
        if (!this.#lineMode || error instanceof MalformedReply) throw new Finish(Exit.Failed);
        return false;
      }
    }
  }

  async #repeat(args: readonly Uint8Array[], words: readonly string[], repeat: number): Promise<void> {
    for (let left = repeat; left !== 0; ) {
      if (left > 0) left--;
      if (streamCommands.has(words[0])) await this.#stream(args, words[0]);
      else if (unsubscribeCommands.has(words[0])) this.#show(await this.#firstAnswer(args), words);
      else await this.#exchange(args, words);
      if (left !== 0 && this.#options.intervalSeconds > 0)
        await Bun.sleep(this.#options.intervalSeconds * 1000);
    }
  }

  /** One command, its reply printed the moment it is read, so that no push that follows gets ahead of it. */
  #exchange(args: readonly Uint8Array[], words: readonly string[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client!.request(
        args,
        (reply) => {
          try {
            for (const push of this.#pushes.splice(0)) {
              if (this.#showPushes) this.#around.write(renderPush(push, this.#render));
            }
            this.#show(reply, words);
            if (words[0] === "select" && words.length === 2 && reply.type !== "error") {
              this.#db = Number.parseInt(words[1], 10) || 0;
            }
            resolve();
          } catch (error) {
            reject(error);
          }
        },
        reject,
      );
    });
  }

  #show(reply: Reply, words: readonly string[]): void {
    if (reply.type === "error") {
      this.#sawError = true;
      if (this.#options.exitOnError && !this.#lineMode) {
        this.#around.writeError(Buffer.concat([reply.bytes, Buffer.from("\n")]));
        throw new Finish(Exit.Failed);
      }
    }
    this.#around.write(
      isForReading(words) ? renderPlain(reply, this.#render) : renderReply(reply, this.#render),
    );
  }

  /** Prints what comes back until the connection ends, which is an error, or the server refuses the
   *  command. */
  async #stream(args: readonly Uint8Array[], name: string): Promise<void> {
    if (name !== "monitor" && this.#render.mode !== "raw") {
      this.#print("Reading messages... (press Ctrl-C to quit)\n");
    }
    const client = this.#client!;
    const refused = new Promise<void>((resolve, reject) => {
      client.onPush = (reply) => {
        try {
          this.#show(reply, [name]);
        } catch (error) {
          reject(error);
        }
        if (reply.type === "error") resolve();
      };
    });
    client.post(args);
    const reason = await Promise.race([refused, client.whenEnded]);
    client.onPush = (reply) => this.#pushes.push(reply);
    if (reason instanceof Error) throw reason;
  }

  /** The first thing that comes back: UNSUBSCRIBE is answered by a reply in RESP2 and by a push in RESP3. */
  async #firstAnswer(args: readonly Uint8Array[]): Promise<Reply> {
    const client = this.#client!;
    const answered = new Promise<Reply>((resolve) => {
      client.onPush = (reply) => {
        client.onPush = (later) => this.#pushes.push(later);
        resolve(reply);
      };
    });
    client.post(args);
    const answer = await Promise.race([answered, client.whenEnded]);
    if (answer instanceof Error) throw answer;
    return answer;
  }
}

const streamCommands: ReadonlySet<string> = new Set(["monitor", "subscribe", "psubscribe", "ssubscribe"]);
const unsubscribeCommands: ReadonlySet<string> = new Set(["unsubscribe", "punsubscribe", "sunsubscribe"]);

/** Whether the reply is a text made for people, which every mode prints as it is. */
function isForReading(words: readonly string[]): boolean {
  const [name, sub] = words;
  const count = words.length;
  switch (name) {
    case "info":
    case "lolwut":
      return true;
    case "debug":
      return sub === "htstats" || sub === "htstats-key";
    case "memory":
      return sub === "malloc-stats" || sub === "doctor";
    case "cluster":
      return count === 2 && (sub === "nodes" || sub === "info");
    case "client":
      return sub === "list" || sub === "info";
    case "latency":
      return (count === 3 && sub === "graph") || (count === 2 && sub === "doctor");
    case "proxy":
      return sub === "info";
    default:
      return false;
  }
}

const helpText = `ironcache cli
To run a command, give it as arguments:
      ironcache cli GET mykey
To run several, pipe them in, one a line:
      printf 'SET a 1\\nGET a\\n' | ironcache cli
To see the options:
      ironcache cli --help
To ask the server about a command:
      ironcache cli COMMAND DOCS get
`;

/** Stdin's lines as latin1 text without their line ends; a last line without one counts. */
async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest: string[] = [];
  for await (const chunk of chunks) {
    const pieces = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString("latin1").split("\n");
    for (const piece of pieces.slice(0, -1)) {
      yield rest.join("") + piece;
      rest = [];
    }
    rest.push(pieces.at(-1)!);
  }
  const last = rest.join("");
  if (last !== "") yield last;
}

const escapedCharacters: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };

/** A line's words, quotes and escapes undone as the server's own inline reader does; null when a quote is
 *  open or has something other than a space after it. Text in and out is of code units 0..255. */
export function splitArguments(line: string): string[] | null {
  const words: string[] = [];
  let at = 0;
  while (true) {
    while (at < line.length && isSpace(line[at])) at++;
    if (at >= line.length) return words;
    let word = "";
    let quote = "";
    for (; at < line.length || quote !== ""; at++) {
      const char = line[at];
      if (quote !== "") {
        if (char === undefined) return null;
        if (char === quote) {
          if (at + 1 < line.length && !isSpace(line[at + 1])) return null;
          quote = "";
          at++;
          break;
        }
        const next = line[at + 1];
        if (quote === '"' && char === "\\" && /^x[0-9a-fA-F]{2}$/.test(line.slice(at + 1, at + 4))) {
          word += String.fromCharCode(Number.parseInt(line.slice(at + 2, at + 4), 16));
          at += 3;
        } else if (quote === '"' && char === "\\" && next !== undefined) {
          word += escapedCharacters[next] ?? next;
          at++;
        } else if (quote === "'" && char === "\\" && next === "'") {
          word += "'";
          at++;
        } else word += char;
      } else if (isSpace(char) || char === "\0") break;
      else if (char === '"' || char === "'") quote = char;
      else word += char;
    }
    words.push(word);
    // A zero byte ends the line, as it does for every reader written in C.
    if (line[at] === "\0") return words;
  }
}

function isSpace(char: string): boolean {
  return char === " " || (char >= "\t" && char <= "\r");
}

/** What a `-u` address says. `redis://[user[:password]@]host[:port][/db]`, `valkey://` the same, or
 *  `unix://[user[:password]@]/path`. Throws UsageError. */
export function parseUri(uri: string): Partial<CliOptions> {
  const scheme = /^([a-z]+):\/\//i.exec(uri)?.[1].toLowerCase();
  if (scheme === "rediss" || scheme === "valkeys") {
    throw new UsageError(`${scheme}:// needs TLS, which this client does not speak yet.`);
  }
  if (scheme !== "redis" && scheme !== "valkey" && scheme !== "unix")
    throw new UsageError("Invalid URI scheme");
  let rest = uri.slice(scheme.length + 3);
  const found: { -readonly [K in keyof CliOptions]?: CliOptions[K] } = {};
  const at = rest.indexOf("@");
  if (at >= 0) {
    const [first, ...more] = rest.slice(0, at).split(":");
    // One word alone is the password. An empty user is the default one, not one whose name is empty.
    if (more.length > 0 && first !== "") found.user = percentDecoded(first);
    found.password = percentDecoded(more.length > 0 ? more.join(":") : first);
    found.passwordOnCommandLine = true;
    rest = rest.slice(at + 1);
  }
  if (scheme === "unix") return { ...found, socketPath: rest };
  const parts = /^(\[[^\]]*\]|[^:/]*)(?::(\d*))?(?:\/(.*))?$/.exec(rest);
  if (parts === null) throw new UsageError("Invalid URI");
  const [, host, port, db] = parts;
  if (host !== "") found.hostname = host.replace(/^\[(.*)\]$/, "$1");
  if (port) found.port = Number(port);
  if (db) found.db = Number.parseInt(db, 10) || 0;
  return found;
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UsageError("Incomplete URI encoding");
  }
}

/** The password the environment holds, if any; the file form keeps it out of `ps` and of the environment. */
export function passwordFromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const direct = env.REDISCLI_AUTH ?? env.VALKEYCLI_AUTH ?? env.IRONCACHE_AUTH;
  if (direct !== undefined) return direct;
  if (env.IRONCACHE_AUTH_FILE === undefined) return undefined;
  try {
    return readFileSync(env.IRONCACHE_AUTH_FILE, "utf8").replace(/\r?\n$/, "");
  } catch (error) {
    throw new UsageError(`IRONCACHE_AUTH_FILE cannot be read: ${(error as Error).message}`);
  }
}

/** `texts` as the bytes the shell passed. The runtime decodes arguments as UTF-8, which loses bytes that
 *  are not: then the kernel's own copy is asked, of which `texts` are the last. */
export function argumentBytes(texts: readonly string[]): Uint8Array[] {
  if (process.platform === "linux" && texts.some((text) => text.includes("\ufffd"))) {
    const all = readFileSync("/proc/self/cmdline").toString("latin1").split("\0").slice(0, -1);
    return all.slice(all.length - texts.length).map((text) => Buffer.from(text, "latin1"));
  }
  return texts.map((text) => Buffer.from(text, "utf8"));
}

export function processSurroundings(): CliSurroundings {
  return {
    stdinIsTerminal: isatty(0),
    // The variable is redis-cli's own, for tests that have no terminal.
    stdoutIsTerminal: isatty(1) || process.env.FAKETTY !== undefined,
    write: (bytes) => writeFully(1, bytes),
    writeError: (text) => writeFully(2, typeof text === "string" ? Buffer.from(text) : text),
    stdin: () => Bun.stdin.stream(),
  };
}

/** Blocks until every byte is out. A reader that went away (`| head`) ends the process quietly. */
function writeFully(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "EPIPE") process.exit(Exit.Done);
      if (code !== "EAGAIN" && code !== "EINTR") throw error;
      // The pipe is full and does not block: its reader needs the core for a moment.
      Bun.sleepSync(1);
    }
  }
}
