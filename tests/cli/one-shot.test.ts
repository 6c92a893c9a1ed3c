// one-shot.test.ts: `ironcache cli` held against redis-cli 7.0.15 on the same server, byte for byte.
//
// Three servers answer: a real redis-server; a scripted one that sends back the bytes it is handed, for the
// replies no server can be talked into; and a port where nobody listens. Most runs of ours are in this
// process, with the streams captured, because a process each would take minutes; a sample goes through the
// real argument parser. A machine without redis-cli and redis-server fails here, and says so: there is
// nothing else to compare with.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RespClient } from "../../cli/client.ts";
import {
  type CliOptions,
  defaultOptions,
  parseUri,
  passwordFromEnvironment,
  runCli,
  splitArguments,
} from "../../cli/one-shot.ts";
import type { OutputMode } from "../../cli/render.ts";
import { type Reply, ReplyDecoder } from "../../protocol/reply-decoder.ts";

interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

const modes: readonly OutputMode[] = ["raw", "standard", "csv", "json", "quoted-json"];
const modeFlag: Readonly<Record<OutputMode, string>> = {
  raw: "--raw",
  standard: "--no-raw",
  csv: "--csv",
  json: "--json",
  "quoted-json": "--quoted-json",
};
const latin1 = (bytes: Uint8Array | ArrayBuffer): string =>
  Buffer.from(bytes as ArrayBuffer).toString("latin1");
const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

const directory = mkdtempSync(join(tmpdir(), "ironcache-cli-"));
const socketPath = join(directory, "redis.sock");
const runner = join(directory, "runner.ts");
let redisCli = "";
let redis: Bun.Subprocess;
let redisPort = 0;
let closedPort = 0;
let control: RespClient;
let scripted: Bun.TCPSocketListener<ReplyDecoder>;

/** A port nobody listens on at this moment. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function needed(program: string): string {
  const path = Bun.which(program);
  if (path === null)
    throw new Error(`${program} is not installed, and these tests compare with it: run ./scripts/test`);
  return path;
}

/** What a client sends, answered: R HEX sends those bytes back, DIE hangs up, HELLO and SELECT are agreed
 *  to. */
function scriptedAnswer(words: readonly string[]): string | null {
  const [name, argument] = words;
  switch (name.toUpperCase()) {
    case "R":
      return Buffer.from(argument, "hex").toString("latin1");
    case "HELLO":
      return "%0\r\n";
    case "SELECT":
      return "+OK\r\n";
    case "DIE":
      return null;
    default:
      return `-ERR unknown '${name}'\r\n`;
  }
}

async function waitForServer(port: number): Promise<RespClient> {
  for (let attempt = 0; ; attempt++) {
    try {
      const client = await RespClient.connect({ hostname: "127.0.0.1", port });
      const reply = await client.send(["PING"]);
      if (reply.type === "simple") return client;
    } catch (error) {
      if (attempt === 500) throw error;
    }
    await Bun.sleep(10);
  }
}

beforeAll(async () => {
  redisCli = needed("redis-cli");
  const version = await run([redisCli, "--version"]);
  // The bytes compared are this version's; another one prints some replies differently.
  expect(version.stdout).toStartWith("redis-cli 7.0.");
  redisPort = await freePort();
  const settings = [
    "--port",
    String(redisPort),
    "--bind",
    "127.0.0.1",
    "--unixsocket",
    socketPath,
    "--save",
    "",
  ];
  redis = Bun.spawn(
    [needed("redis-server"), ...settings, "--enable-debug-command", "yes", "--dir", directory],
    {
      stdout: "ignore",
      stderr: "ignore",
    },
  );
  control = await waitForServer(redisPort);
  scripted = Bun.listen<ReplyDecoder>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = new ReplyDecoder();
      },
      data(socket, chunk) {
        for (const request of socket.data.decode(chunk)) {
          const words =
            "items" in request
              ? request.items.map((item) => ("bytes" in item ? latin1(item.bytes) : ""))
              : [];
          const answer = scriptedAnswer(words);
          if (answer === null) socket.end();
          else socket.write(bytes(answer));
        }
      },
    },
  });
  closedPort = await freePort();
  const root = join(import.meta.dir, "../..");
  writeFileSync(
    runner,
    `import { Command } from ${JSON.stringify(Bun.resolveSync("commander", root))};
import { cliCommand } from ${JSON.stringify(join(root, "cmd/cli.ts"))};
await new Command("ironcache").enablePositionalOptions().addCommand(cliCommand()).parseAsync();
`,
  );
});

afterAll(async () => {
  control?.close();
  scripted?.stop(true);
  redis?.kill();
  await redis?.exited;
  rmSync(directory, { recursive: true, force: true });
});

/** Runs a program with exactly these arguments; `input` is its stdin, nothing when absent. */
async function run(
  command: readonly string[],
  input = "",
  env: Record<string, string> = {},
): Promise<Outcome> {
  const { REDISCLI_AUTH: _, FAKETTY: __, ...inherited } = process.env;
  const child = Bun.spawn([...command], {
    stdin: bytes(input),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...inherited, ...env },
  });
  const [stdout, stderr, code] = await Promise.all([
    child.stdout.bytes(),
    child.stderr.bytes(),
    child.exited,
  ]);
  return { stdout: latin1(stdout), stderr: latin1(stderr), code };
}

/** Ours in this process. `input` is piped stdin. */
async function ours(options: Partial<CliOptions>, words: readonly string[], input = ""): Promise<Outcome> {
  const stdout: Uint8Array[] = [];
  const stderr: Uint8Array[] = [];
  const code = await runCli(
    { ...defaultOptions, ...options },
    words.map((word) => Buffer.from(word)),
    {
      stdinIsTerminal: false,
      stdoutIsTerminal: false,
      write: (chunk) => stdout.push(Buffer.from(chunk)),
      writeError: (chunk) => stderr.push(Buffer.from(chunk as string)),
      async *stdin() {
        // In two pieces, so that a line may lie across both.
        const cut = Math.floor(input.length / 2);
        yield bytes(input.slice(0, cut));
        yield bytes(input.slice(cut));
      },
    },
  );
  return { stdout: latin1(Buffer.concat(stdout)), stderr: latin1(Buffer.concat(stderr)), code };
}

/** Ours as a process of its own, through the argument parser. */
const oursSpawned = (
  args: readonly string[],
  input = "",
  env: Record<string, string> = {},
): Promise<Outcome> => run([process.execPath, runner, "cli", ...args], input, env);

const theirs = (args: readonly string[], input = "", env: Record<string, string> = {}): Promise<Outcome> =>
  run([redisCli, ...args], input, env);

/** Puts the server into the one state every command starts from. */
async function reset(): Promise<void> {
  const replies = await control.pipeline([
    ["FLUSHALL"],
    ["SCRIPT", "FLUSH"],
    ["CONFIG", "RESETSTAT"],
    ["SET", "s", "hello"],
    ["SET", "bin", bytes('a"b\\c\n\r\t\x07\x08\x00\x7f\xff')],
    ["SET", "utf", "caf\u00e9 \u65e5\u672c"],
    ["SET", "n", "41"],
    ["SET", "empty", ""],
    ["RPUSH", "l", ...Array.from({ length: 12 }, (_, i) => `item ${i}`)],
    ["HSET", "h", "f1", "v1", "f 2", 'v"2'],
    ["SADD", "set", "1", "2", "3"],
    ["ZADD", "z", "1", "one", "2.5", "two", "inf", "top"],
    ["GEOADD", "geo", "13.361389", "38.115556", "Palermo"],
    ["XADD", "x", "1-1", "field", "value"],
    ["XADD", "x", "1-2", "a", "1", "b", "2"],
    ["PFADD", "hll", "a", "b"],
  ]);
  expect(replies.filter((reply) => reply.type === "error")).toEqual([]);
}

const commands: readonly (readonly string[])[] = [
  ["PING"],
  ["ping", "hi there"],
  ["ECHO", 'say "x"'],
  ["GET", "s"],
  ["get", "bin"],
  ["GET", "utf"],
  ["GET", "none"],
  ["GET", "empty"],
  ["GET", "l"],
  ["NOSUCH", "a", "b\nc"],
  ["SET", "s", "x"],
  ["SET", "s", "x", "NX"],
  ["SET", "k", "v", "GET"],
  ["SETRANGE", "s", "10", "z"],
  ["APPEND", "s", "!"],
  ["INCR", "n"],
  ["INCR", "s"],
  ["INCRBYFLOAT", "n", "0.5"],
  ["INCRBY", "n", "9223372036854775807"],
  ["DEL", "s", "n"],
  ["EXISTS", "s", "none"],
  ["TTL", "s"],
  ["TYPE", "z"],
  ["MGET", "s", "none", "l", "bin"],
  ["STRLEN", "utf"],
  ["LRANGE", "l", "0", "-1"],
  ["LRANGE", "none", "0", "-1"],
  ["LPOP", "l"],
  ["LPOP", "l", "2"],
  ["LPOP", "none", "2"],
  ["LMPOP", "1", "l", "LEFT"],
  ["LPOS", "l", "item 3", "COUNT", "0"],
  ["HGETALL", "h"],
  ["HGETALL", "none"],
  ["HGET", "h", "f 2"],
  ["HRANDFIELD", "h", "-0", "WITHVALUES"],
  ["HMGET", "h", "f1", "no"],
  ["SMEMBERS", "set"],
  ["SMEMBERS", "none"],
  ["SISMEMBER", "set", "1"],
  ["SMISMEMBER", "set", "1", "9"],
  ["ZSCORE", "z", "two"],
  ["ZSCORE", "z", "top"],
  ["ZRANGE", "z", "0", "-1", "WITHSCORES"],
  ["ZINCRBY", "z", "0.1", "two"],
  ["ZMSCORE", "z", "one", "none"],
  ["ZPOPMIN", "z"],
  ["ZPOPMAX", "z", "2"],
  ["ZADD", "z", "INCR", "3", "one"],
  ["GEOPOS", "geo", "Palermo", "none"],
  ["GEOSEARCH", "geo", "FROMMEMBER", "Palermo", "BYRADIUS", "1", "km", "ASC", "WITHCOORD", "WITHDIST"],
  ["XRANGE", "x", "-", "+"],
  ["XREAD", "STREAMS", "x", "none", "0", "0"],
  ["XINFO", "STREAM", "x"],
  ["PFCOUNT", "hll"],
  ["CONFIG", "GET", "maxmemory*"],
  ["CONFIG", "GET", "nosuch"],
  ["COMMAND", "INFO", "get", "nosuch"],
  ["COMMAND", "DOCS", "get", "xadd"],
  ["COMMAND", "GETKEYS", "MSET", "a", "1", "b", "2"],
  ["INFO", "keyspace"],
  ["INFO", "nosuch"],
  ["LOLWUT", "VERSION", "9"],
  ["MEMORY", "DOCTOR"],
  ["LATENCY", "DOCTOR"],
  ["CLUSTER", "INFO"],
  ["CLIENT", "TRACKINGINFO"],
  ["CLIENT", "GETNAME"],
  ["ACL", "WHOAMI"],
  ["ACL", "GETUSER", "default"],
  ["DBSIZE"],
  ["FUNCTION", "LIST"],
  ["OBJECT", "ENCODING", "n"],
  ["EVAL", "return {1,'two',{3,false},{err='E x'},{ok='S'}}", "0"],
  ["EVAL", "redis.setresp(3); return redis.call('HGETALL','h')", "0"],
  ["EVAL", "return {double=3.25}", "0"],
  ["EVAL", "return {map={a=1}}", "0"],
  ["EVAL", "return", "0"],
  ["SELECT", "99"],
  ["MULTI"],
  ["EXEC"],
  ["QUIT"],
  ["DEBUG", "PROTOCOL", "string"],
  ["DEBUG", "PROTOCOL", "integer"],
  ["DEBUG", "PROTOCOL", "double"],
  ["DEBUG", "PROTOCOL", "null"],
  ["DEBUG", "PROTOCOL", "array"],
  ["DEBUG", "PROTOCOL", "set"],
  ["DEBUG", "PROTOCOL", "map"],
  ["DEBUG", "PROTOCOL", "verbatim"],
  ["DEBUG", "PROTOCOL", "true"],
  ["DEBUG", "PROTOCOL", "false"],
  ["HELLO", "1"],
  ["RESET"],
  ["", "x"],
];

describe("cli: the same bytes as redis-cli on a real server", () => {
  for (const protocol of [2, 3] as const) {
    for (const mode of modes) {
      test(`${commands.length} commands, ${mode}, RESP${protocol}`, async () => {
        for (const words of commands) {
          await reset();
          const expected = await theirs(["-p", String(redisPort), `-${protocol}`, modeFlag[mode], ...words]);
          await reset();
          const got = await ours(
            { port: redisPort, mode, resp2: protocol === 2, resp3: protocol === 3 },
            words,
          );
          expect({ words, ...got }).toEqual({ words, ...expected });
        }
      });
    }
  }
});

const tricky: readonly (readonly [name: string, wire: string])[] = [
  ["a simple string of odd bytes", '+a\xff\x01"\r\n'],
  ["an empty error", "-\r\n"],
  ["an error of odd bytes", '-ERR "q" \\ \xe9\x01\r\n'],
  ["a bulk of every byte", `$256\r\n${String.fromCharCode(...Array(256).keys())}\r\n`],
  ["nulls", "*3\r\n$-1\r\n*-1\r\n*0\r\n"],
  ["an error inside an array", "*3\r\n$-1\r\n*0\r\n-ERR in\r\n"],
  ["doubles", "*5\r\n,3.140\r\n,inf\r\n,-inf\r\n,1e5\r\n,-0\r\n"],
  ["booleans and the RESP3 null", "*3\r\n#t\r\n#f\r\n_\r\n"],
  ["verbatim strings", '*2\r\n=8\r\ntxt:a\n"b\r\n=6\r\nmkd:hi\r\n'],
  ["ten items, the last an array", `*10\r\n${":1\r\n".repeat(9)}*2\r\n:1\r\n:2\r\n`],
  ["a set in a set", "~2\r\n$1\r\na\r\n~1\r\n:1\r\n"],
  ["an empty set and an empty map", "*2\r\n~0\r\n%0\r\n"],
  ["a map with a long value", "%2\r\n$1\r\na\r\n:1\r\n+b\r\n*2\r\n:1\r\n%1\r\n$1\r\nx\r\n$1\r\ny\r\n"],
  ["a map in a map", "%1\r\n$1\r\na\r\n%2\r\n$1\r\nk\r\n:1\r\n$1\r\nl\r\n%0\r\n"],
  ["a map with values of one item", "%3\r\n+k\r\n*1\r\n:1\r\n+l\r\n%1\r\n+a\r\n+b\r\n+m\r\n~1\r\n:1\r\n"],
  ["a map of ten", `%10\r\n${"$1\r\na\r\n:1\r\n".repeat(9)}+z\r\n~2\r\n:1\r\n:2\r\n`],
  ["maps in an array", "*2\r\n%1\r\n+a\r\n:1\r\n%2\r\n+a\r\n:1\r\n+b\r\n*3\r\n:1\r\n:2\r\n:3\r\n"],
  ["keys that are no strings", "%4\r\n:1\r\n:1\r\n,1.5\r\n#t\r\n_\r\n_\r\n*2\r\n+k\r\n:2\r\n:3\r\n"],
  ["a key that is a map, one that is an error", '%2\r\n%1\r\n+a\r\n$1\r\n"\r\n:1\r\n-ERR "\r\n:1\r\n'],
  [
    "a map whose values are tall only further in",
    "%2\r\n+k\r\n*1\r\n*2\r\n:1\r\n:2\r\n+l\r\n%1\r\n+a\r\n*2\r\n:1\r\n:2\r\n",
  ],
  ["a map whose value has a tall key", "%1\r\n+k\r\n%1\r\n*2\r\n:1\r\n:2\r\n:1\r\n"],
  ["a text of two lines as a value", "%1\r\n+k\r\n*1\r\n=7\r\ntxt:a\nb\r\n"],
  ["a push as the value of a map", "%1\r\n+k\r\n>2\r\n+a\r\n+b\r\n"],
  ["an error as a value", '%1\r\n+k\r\n-ERR q"\r\n'],
  ["a push before the reply", ">2\r\n+msg\r\n:1\r\n+OK\r\n"],
  ["a push after the reply", "+OK\r\n>2\r\n+msg\r\n:1\r\n"],
  ["an invalidation", '>2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$2\r\nb"\r\n+OK\r\n'],
  ["an invalidation of everything", ">2\r\n$10\r\ninvalidate\r\n_\r\n+OK\r\n"],
  ["an empty push", ">0\r\n+OK\r\n"],
];

describe("cli: the same bytes as redis-cli for replies a server seldom sends", () => {
  for (const [name, wire] of tricky) {
    test(name, async () => {
      const words = ["R", Buffer.from(wire, "latin1").toString("hex")];
      for (const mode of modes) {
        for (const showPushes of [true, false]) {
          const flags = ["-3", modeFlag[mode], "--show-pushes", showPushes ? "yes" : "no"];
          const expected = await theirs(["-p", String(scripted.port), ...flags, ...words]);
          const got = await ours({ port: scripted.port, mode, resp3: true, showPushes }, words);
          expect({ mode, showPushes, ...got }).toEqual({ mode, showPushes, ...expected });
        }
      }
    });
  }

  for (const wire of [
    "+a\rb\r\n",
    "-a\nb\r\n",
    "xyz\r\n",
    "\x01\r\n",
    ":abc\r\n",
    "$5x\r\n",
    "$-2\r\n",
    "*x\r\n",
    "*-2\r\n",
    "#x\r\n",
    "_x\r\n",
    "(x\r\n",
  ]) {
    test(`the protocol error for ${JSON.stringify(wire)}`, async () => {
      const words = ["R", Buffer.from(wire, "latin1").toString("hex")];
      const expected = await theirs(["-3", "-p", String(scripted.port), ...words]);
      expect(expected.code).toBe(1);
      expect(await ours({ port: scripted.port, resp3: true }, words)).toEqual(expected);
    });
  }

  test("big numbers, attributes, bulk errors and nan are printed, where redis-cli gives up", async () => {
    const printed = async (wire: string, mode: OutputMode): Promise<string> =>
      (await ours({ port: scripted.port, resp3: true, mode }, ["R", Buffer.from(wire).toString("hex")]))
        .stdout;
    for (const [wire, standard, json] of [
      ["(12345678901234567890\r\n", "12345678901234567890\n", "12345678901234567890\n"],
      ["|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n", '"x"\n', '"x"\n'],
      ["!5\r\nERR x\r\n", "(error) ERR x\n", 'error:"ERR x"\n'],
      [",nan\r\n", "(double) nan\n", "nan\n"],
    ]) {
      expect(
        (await theirs(["-3", "-p", String(scripted.port), "R", Buffer.from(wire).toString("hex")])).code,
      ).toBe(1);
      expect([await printed(wire, "standard"), await printed(wire, "json")]).toEqual([standard, json]);
    }
  });
});

describe("cli: options, through the argument parser", () => {
  /** Both programs with the same arguments; the exit code, stdout and stderr must agree. */
  const same = (name: string, args: () => string[], input = "", env: Record<string, string> = {}): void => {
    test(name, async () => {
      await reset();
      const expected = await theirs(args(), input, env);
      await reset();
      expect(await oursSpawned(args(), input, env)).toEqual(expected);
    });
  };
  const onRedis =
    (...args: string[]) =>
    () => ["-p", String(redisPort), ...args];
  const onScripted =
    (...args: string[]) =>
    () => ["-p", String(scripted.port), ...args];

  same("connection refused, exit 1", () => ["-p", String(closedPort), "PING"]);
  same(
    "connection refused to lines of input: said at once and for each line, exit 0",
    () => ["-p", String(closedPort)],
    "PING\nPING\n",
  );
  same("no such unix socket", () => ["-s", join(directory, "none"), "PING"]);
  same("no such host", () => ["-h", "no-such-host.invalid", "-p", "1", "PING"]);
  same("a unix socket", () => ["-s", socketPath, "GET", "s"]);
  same("the server hangs up", onScripted("DIE"));
  same("dashes after the command are the server's", onRedis("-h", "127.0.0.1", "LRANGE", "l", "-3", "-1"));
  same("options after the command are the server's", onRedis("ECHO", "--csv"));
  same("the last of two output options counts", onRedis("--csv", "--no-raw", "GET", "s"));
  same("json speaks RESP3", onRedis("--json", "HGETALL", "h"));
  same("json speaks RESP2 when told", onRedis("--json", "-2", "HGETALL", "h"));
  same("an error reply, exit 0", onRedis("NOSUCH"));
  same("-e: an error reply goes to stderr, exit 1", onRedis("-e", "NOSUCH"));
  same("-e with -r: the first error ends the run", onRedis("-e", "-r", "3", "--no-raw", "NOSUCH"));
  same("-e: success, exit 0", onRedis("-e", "PING"));
  same("-n", onRedis("-n", "3", "EVAL", "return redis.call('DBSIZE')", "0"));
  same("-n out of range is said and the command runs", onRedis("-n", "99", "PING"));
  same("-n negative", onRedis("-n", "-3", "PING"));
  same("-r", onRedis("-r", "3", "INCR", "n"));
  same("-r 0", onRedis("-r", "0", "INCR", "n"));
  same("-r with -i", onRedis("-r", "2", "-i", "0.01", "INCR", "n"));
  same("-d and -D", onRedis("-r", "2", "-d", "<>", "-D", "|", "LRANGE", "l", "0", "2"));
  same("-x", onRedis("-x", "ECHO"), "line\nline \xff\n");
  same("-X", onRedis("-X", "TAG", "MSET", "a", "TAG", "b", "2"), "value");
  same("-X without its tag", onRedis("-X", "TAG", "PING"), "value");
  same("--quoted-input", onRedis("--quoted-input", "ECHO", '"a\\x00b\\n"'));
  same("--quoted-input, unbalanced", onRedis("--quoted-input", "ECHO", '"a'));
  same("--show-pushes with a wrong value", onRedis("--show-pushes", "x", "PING"));
  same("-a on a server without a password: warned, said, run", onRedis("-a", "secret", "PING"));
  same(
    "-a, --user and --no-auth-warning",
    onRedis("--user", "nobody", "--pass", "secret", "--no-auth-warning", "PING"),
  );
  same("REDISCLI_AUTH", onRedis("PING"), "", { REDISCLI_AUTH: "secret" });
  same("-u with a database", () => ["-u", `redis://127.0.0.1:${redisPort}/4`, "DBSIZE"]);
  same("-u with a login", () => ["-u", `redis://us%20er:p%40ss@127.0.0.1:${redisPort}`, "PING"]);
  same("a reply as on a terminal", onRedis("XRANGE", "x", "-", "+"), "", { FAKETTY: "1" });
  same("SUBSCRIBE refused", onRedis("--no-raw", "SUBSCRIBE"));

  test("a real terminal: both programs print the formatted form, pushes included", async () => {
    const script = needed("script");
    const push = Buffer.from(">1\r\n+hey\r\n*2\r\n$1\r\na\r\n:1\r\n").toString("hex");
    const rest = `-3 -p ${scripted.port} R ${push}`;
    const expected = await run([script, "-qec", `${redisCli} ${rest}`, "/dev/null"]);
    expect(expected.stdout).toContain('1) "a"');
    expect(await run([script, "-qec", `${process.execPath} ${runner} cli ${rest}`, "/dev/null"])).toEqual(
      expected,
    );
  });

  test("no command and a terminal on stdin: says that there is no prompt yet, exit 2", async () => {
    const script = needed("script");
    const { stdout, code } = await run([script, "-qec", `${process.execPath} ${runner} cli`, "/dev/null"]);
    expect(stdout).toContain("An interactive prompt is not there yet");
    expect(code).toBe(2);
  });

  test("what makes no sense is a usage error, exit 2", async () => {
    for (const [args, message] of [
      [["--bogus", "PING"], "--bogus"],
      [["-p"], "-p"],
      [["-2", "-3", "PING"], "Options -2 and -3 are mutually exclusive.\n"],
      [["-x", "-X", "t", "PING"], "Options -x and -X are mutually exclusive.\n"],
      [["-u", "http://x", "PING"], "Invalid URI scheme\n"],
      [["-u", "rediss://x", "PING"], "rediss:// needs TLS"],
      [["-p", "70000", "PING"], "Invalid server port.\n"],
    ] as const) {
      const { stdout, stderr, code } = await oursSpawned(args);
      expect(stderr).toContain(message);
      expect({ args, stdout, code }).toEqual({ args, stdout: "", code: 2 });
    }
  });

  test("an argument that is not UTF-8 reaches the server as it was given", async () => {
    const command = (program: string) =>
      `printf '%s' "$(${program} -p ${redisPort} ECHO "$(printf 'a\\377b')")"`;
    const expected = await run(["/bin/sh", "-c", command(redisCli)]);
    expect(expected.stdout).toBe("a\xffb");
    expect(await run(["/bin/sh", "-c", command(`${process.execPath} ${runner} cli`)])).toEqual(expected);
  });

  test("a reader that goes away ends the run quietly with 0", async () => {
    const program = `${process.execPath} ${runner} cli -p ${redisPort}`;
    const command = `{ ${program} -r 100000 PING; echo "exit $?" >&2; } | head -n 1`;
    expect(await run(["/bin/sh", "-c", command])).toEqual({ stdout: "PONG\n", stderr: "exit 0\n", code: 0 });
  });
});

describe("cli: lines from stdin", () => {
  const inputs: readonly (readonly [name: string, input: string])[] = [
    ["replies and errors in turn", 'PING\nNOSUCH\nset a "b c"\nget a'],
    ["blank lines, spaces, a stray CR", "\n  \n PING \r\n\nPING\n"],
    ["an open quote", '"a\nPING\n'],
    ["a quote with something after it", "ECHO \"a\"b\nECHO 'a'b\n"],
    ["quotes and escapes", `ECHO "a\\x41\\n\\t\\"\\q"\nECHO 'it\\'s \\n'\nECHO ""\nECHO a"b c"\n`],
    ["bytes above 127", "ECHO caf\xe9\n"],
    ["a count before the command", "3 INCR n\n0 PING\n-1 PING\n+2 PING\n2\n"],
    ["quit, and nothing after it", "PING\nquit\nPING\n"],
    ["exit in capitals", "EXIT now\nPING\n"],
    ["a database selected", "SELECT 3\nDBSIZE\nSELECT 99\n"],
    ["a transaction", "MULTI\nINCR n\nGET s\nEXEC\n"],
    ["preferences", ":set hints\n:set bar\n:foo\nPING\n"],
    ["words only a prompt has a use for", "restart\nclear\nPING\n"],
  ];
  for (const [name, input] of inputs) {
    test(name, async () => {
      for (const mode of ["raw", "standard", "json"] as const) {
        await reset();
        const expected = await theirs(["-p", String(redisPort), modeFlag[mode]], input);
        await reset();
        expect({ mode, ...(await ours({ port: redisPort, mode }, [], input)) }).toEqual({
          mode,
          ...expected,
        });
      }
    });
  }

  test("a server that keeps hanging up is tried twice a line; a reply that is none ends the run", async () => {
    const hex = (wire: string) => Buffer.from(wire).toString("hex");
    const input = `R ${hex("+one\r\n")}\nDIE\nR ${hex("+two\r\n")}\nR ${hex("xyz\r\n")}\nR ${hex("+three\r\n")}\n`;
    const expected = await theirs(["-p", String(scripted.port)], input);
    expect(expected).toEqual({
      stdout: "one\ntwo\n",
      stderr: 'Error: Server closed the connection\nError: Protocol error, got "x" as reply type byte\n',
      code: 1,
    });
    expect(await ours({ port: scripted.port }, [], input)).toEqual(expected);
  });

  test("a command slower than half a second is followed by its time in the formatted form", async () => {
    const { stdout } = await ours({ port: redisPort, mode: "standard" }, [], "DEBUG SLEEP 0.55\nPING\n");
    expect(stdout).toMatch(/^OK\n\(0\.[5-9]\ds\)\nPONG\n$/);
  });

  test("-e: errors are printed as without it, and the run ends with 1 after the last line", async () => {
    const options = { port: redisPort, exitOnError: true };
    const { stdout, code } = await ours(options, [], "NOSUCH\nPING\n");
    expect({ stdout: stdout.endsWith("\n\nPONG\n"), code }).toEqual({ stdout: true, code: 1 });
    expect((await ours(options, [], "PING\n")).code).toBe(0);
  });
});

describe("cli: streams", () => {
  for (const [flags, command] of [
    [["--no-raw"], "SUBSCRIBE"],
    [["-3", "--csv"], "PSUBSCRIBE"],
    [["--json"], "SUBSCRIBE"],
    [["--raw"], "PSUBSCRIBE"],
  ] as const) {
    test(`${command} ${flags.join(" ")} prints what is published, as redis-cli does`, async () => {
      const streamed = async (program: readonly string[]): Promise<string> => {
        const args = [...program, "-p", String(redisPort), ...flags, command, "news"];
        const child = Bun.spawn(args, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
        const inquiry = command === "SUBSCRIBE" ? ["PUBSUB", "NUMSUB", "news"] : ["PUBSUB", "NUMPAT"];
        const watchers = (reply: Reply): bigint => {
          const last = reply.type === "array" ? reply.items[1] : reply;
          return last.type === "integer" ? last.value : 0n;
        };
        while (watchers(await control.send(inquiry)) === 0n) await Bun.sleep(5);
        await control.send(["PUBLISH", "news", 'a "message"']);
        await control.send(["PUBLISH", "news", "last"]);
        let text = "";
        for await (const chunk of child.stdout) {
          text += latin1(chunk);
          if (/last"?\]?\n$/.test(text)) break;
        }
        child.kill();
        await child.exited;
        while (watchers(await control.send(inquiry)) !== 0n) await Bun.sleep(5);
        return text;
      };
      expect(await streamed([process.execPath, runner, "cli"])).toBe(await streamed([redisCli]));
    });
  }

  test("UNSUBSCRIBE in RESP3, on which redis-cli waits for ever, prints its push", async () => {
    const { stdout, code } = await ours({ port: redisPort, mode: "standard", resp3: true }, [
      "UNSUBSCRIBE",
      "a",
    ]);
    expect({ stdout, code }).toEqual({ stdout: '1) "unsubscribe"\n2) "a"\n3) (integer) 0\n', code: 0 });
  });
});

describe("cli: pieces", () => {
  test("split: what an inline command is made of", () => {
    expect(splitArguments("  a  b\tc ")).toEqual(["a", "b", "c"]);
    expect(splitArguments("\"\\x41\\xzz\\n\" '\\n'")).toEqual(["Axzz\n", "\\n"]);
    expect(splitArguments('"open')).toBeNull();
    expect(splitArguments('"a"b')).toBeNull();
    expect(splitArguments("")).toEqual([]);
  });

  test("uri: each part, and none", () => {
    expect(parseUri("redis://")).toEqual({});
    expect(parseUri("VALKEY://h:1/2")).toEqual({ hostname: "h", port: 1, db: 2 });
    expect(parseUri("redis://[::1]:7/")).toEqual({ hostname: "::1", port: 7 });
    expect(parseUri("redis://pw@h")).toEqual({ hostname: "h", password: "pw", passwordOnCommandLine: true });
    expect(parseUri("redis://:p%40@h")).toEqual({
      hostname: "h",
      password: "p@",
      passwordOnCommandLine: true,
    });
    expect(parseUri("unix:///run/x.sock")).toEqual({ socketPath: "/run/x.sock" });
    expect(() => parseUri("redis://%zz@h")).toThrow("Incomplete URI encoding");
  });

  test("the password comes from the first variable that is set, or from a file", () => {
    const path = join(directory, "password");
    writeFileSync(path, "from file\n");
    expect(passwordFromEnvironment({})).toBeUndefined();
    expect(passwordFromEnvironment({ IRONCACHE_AUTH: "c", VALKEYCLI_AUTH: "b", REDISCLI_AUTH: "a" })).toBe(
      "a",
    );
    expect(passwordFromEnvironment({ IRONCACHE_AUTH_FILE: path })).toBe("from file");
    expect(() => passwordFromEnvironment({ IRONCACHE_AUTH_FILE: `${path}x` })).toThrow("cannot be read");
  });

  test("client: a pipeline larger than the socket's buffers is answered in order", async () => {
    const big = "x".repeat(100_000);
    const replies = await control.pipeline(Array.from({ length: 200 }, (_, i) => ["ECHO", `${i}${big}`]));
    expect(replies.map((reply) => ("bytes" in reply ? reply.bytes.length : 0))).toEqual(
      Array.from({ length: 200 }, (_, i) => String(i).length + big.length),
    );
  });

  test("client: a connection that opens too late is a timeout", async () => {
    const port = await freePort();
    const args = [
      "--port",
      String(port),
      "--bind",
      "127.0.0.1",
      "--tcp-backlog",
      "1",
      "--save",
      "",
      "--dir",
      directory,
    ];
    const stopped = Bun.spawn([needed("redis-server"), ...args], { stdout: "ignore", stderr: "ignore" });
    try {
      (await waitForServer(port)).close();
      // It accepts no more, and once the few places in its queue are taken the kernel leaves the rest
      // unanswered.
      stopped.kill("SIGSTOP");
      const target = { hostname: "127.0.0.1", port };
      const attempts = Array.from({ length: 8 }, () => RespClient.connect(target, { connectTimeoutMs: 150 }));
      const refused: string[] = [];
      for (const attempt of await Promise.allSettled(attempts)) {
        if (attempt.status === "fulfilled") attempt.value.close();
        else refused.push(attempt.reason.message);
      }
      expect(new Set(refused)).toEqual(new Set(["Connection timed out"]));
    } finally {
      stopped.kill("SIGKILL");
      await stopped.exited;
    }
  });

  test("client: waiting requests fail when the server hangs up, and so do later ones", async () => {
    const client = await RespClient.connect({ hostname: "127.0.0.1", port: scripted.port });
    const waiting = client.send(["DIE"]);
    await expect(waiting).rejects.toThrow("Server closed the connection");
    expect((await client.whenEnded).message).toBe("Server closed the connection");
    expect(client.isOpen).toBe(false);
    await expect(client.send(["PING"])).rejects.toThrow("Server closed the connection");
    await expect(client.pipeline([["PING"]])).rejects.toThrow("Server closed the connection");
  });
});
