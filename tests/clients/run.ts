// run.ts: runs a client library's program against a server and reads its lines.
//
//   bun tests/clients/run.ts [--server PATH] [--workers N] [--io DRIVER] [--only CHECK,...] [--log FILE]
//                            [LIBRARY ...]
//
// runs them one after the other: against our own executable, or against the Redis-compatible server PATH. FILE receives
// the bytes of all connections.
// clients.test.ts and scripts/clients-doc.ts take `run` from here. The program may ask for its server's death (see
// program.ts), so each has a server of its own.
import { appendFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { freePort, Server } from "../support/server.ts";
import { type Check, checkNames, checks } from "./checks.ts";
import { type Library, libraries, prepare, reasonToSkip, root, versionOf } from "./libraries.ts";
import { Wiretap } from "./wiretap.ts";

/** A server that can be killed and started again on its port. */
export interface Subject {
  readonly port: number;
  /** Whether it runs scripts. */
  readonly scripting: boolean;
  start(): Promise<void>;
  kill(): Promise<void>;
}

export interface Outcome {
  readonly verdict: "ok" | "limit" | "FAIL";
  readonly reason: string;
}

export interface Result {
  readonly library: Library;
  readonly version: string;
  readonly outcomes: ReadonlyMap<Check, Outcome>;
  /** Lines that are none of ours, and standard error. */
  readonly noise: string;
  readonly seconds: number;
}

/** How long a program may take. Each of its checks has its own, shorter patience. */
const PROGRAM_MS = 50_000;

/** How long a killed server stays away, so that clients meet a refused connection. */
const ABSENCE_MS = 150;

export function ownServer(workers: number, io = "auto"): Subject {
  const port = freePort();
  let server: Server | undefined;
  return {
    port,
    scripting: false,
    async start() {
      server = await Server.start({ port, workers, io });
    },
    async kill() {
      server?.child.kill("SIGKILL");
      await server?.child.exited;
    },
  };
}

/** A redis-server or valkey-server. */
export function otherServer(path: string): Subject {
  const port = freePort();
  let child: Bun.Subprocess | undefined;
  const answers = async () => {
    try {
      const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
      socket.end();
      return true;
    } catch {
      return false;
    }
  };
  return {
    port,
    scripting: true,
    async start() {
      child = Bun.spawn([path, "--port", `${port}`, "--save", "", "--appendonly", "no"], {
        stdio: ["ignore", "ignore", "ignore"],
      });
      for (let i = 0; !(await answers()); i++) {
        if (i > 500 || child.exitCode !== null) throw new Error(`${path} did not start`);
        await Bun.sleep(10);
      }
    },
    async kill() {
      child?.kill("SIGKILL");
      await child?.exited;
    },
  };
}

/**
 * One library's program against one server, which is started before and killed after. `port` is where the program
 * connects to if not to the server itself.
 */
export async function run(
  library: Library,
  subject: Subject,
  only: readonly string[] = [],
  port = subject.port,
): Promise<Result> {
  await prepare(library);
  await subject.start();
  const begin = performance.now();
  const outcomes = new Map<Check, Outcome>();
  let version = versionOf(library);
  let noise = "";
  const program = Bun.spawn([...library.command], {
    cwd: root,
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    env: {
      PATH: process.env.PATH ?? "",
      HOME: process.env.HOME ?? "",
      HOST: "127.0.0.1",
      PORT: `${port}`,
      LIBRARY: library.id,
      SCRIPTING: subject.scripting ? "yes" : "no",
      ...(only.length > 0 ? { ONLY: only.join(",") } : {}),
    },
  });
  const timer = setTimeout(() => program.kill("SIGKILL"), PROGRAM_MS);
  const take = async (line: string) => {
    const [word = "", name = "", reason = ""] = /^(\S+) ?([^ :]*)(?:: (.*))?$/.exec(line)?.slice(1) ?? [];
    if (line === "restart") {
      await subject.kill();
      await Bun.sleep(ABSENCE_MS);
      await subject.start();
      program.stdin.write("done\n");
      program.stdin.flush();
    } else if (word === "version") version = line.slice("version ".length);
    else if ((word === "ok" || word === "limit" || word === "FAIL") && name in checks)
      outcomes.set(name as Check, { verdict: word, reason });
    else noise += `${line}\n`;
  };
  const read = async () => {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of program.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) await take(line);
    }
    if (rest !== "") await take(rest);
  };
  const errors = new Response(program.stderr).text();
  // A child of the program's may outlive it and hold its pipes open.
  const gone = program.exited.then(() => Bun.sleep(1000));
  try {
    await Promise.race([read(), gone]);
    const code = await program.exited;
    if (code !== 0)
      noise += `exit status ${code}${program.signalCode === null ? "" : `, ${program.signalCode}`}\n`;
  } finally {
    clearTimeout(timer);
    program.kill("SIGKILL");
    await subject.kill();
  }
  for (const name of checkNames)
    if (!outcomes.has(name) && (only.length === 0 || only.includes(name)))
      outcomes.set(name, { verdict: "FAIL", reason: "the program said nothing of it" });
  noise += await Promise.race([errors, gone.then(() => "")]);
  return { library, version, outcomes, noise: noise.trim(), seconds: (performance.now() - begin) / 1000 };
}

/** A result's lines, failures with what the program wrote besides. */
export function report(result: Result): string {
  const lines = [...result.outcomes].map(
    ([name, { verdict, reason }]) => `${verdict} ${name}${reason === "" ? "" : `: ${reason}`}`,
  );
  const failed = [...result.outcomes.values()].some(({ verdict }) => verdict === "FAIL");
  if (failed && result.noise !== "") lines.push(result.noise);
  return lines.join("\n");
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    args: Bun.argv.slice(2),
    options: {
      server: { type: "string" },
      workers: { type: "string" },
      io: { type: "string" },
      only: { type: "string" },
      log: { type: "string" },
    },
    allowPositionals: true,
  });
  let failures = 0;
  for (const library of libraries) {
    if (positionals.length > 0 && !positionals.includes(library.id)) continue;
    const skip = reasonToSkip(library);
    if (skip !== "") {
      console.log(`== ${library.id}: skipped, ${skip}`);
      continue;
    }
    const subject =
      values.server === undefined
        ? ownServer(Number(values.workers ?? 1), values.io)
        : otherServer(values.server);
    const tap = values.log === undefined ? undefined : await Wiretap.before(subject.port);
    const result = await run(library, subject, values.only?.split(","), tap?.port);
    if (tap !== undefined && values.log !== undefined) {
      appendFileSync(values.log, `== ${library.id}\n${tap.log}`);
      tap.close();
    }
    console.log(`== ${library.id} ${result.version}, ${result.seconds.toFixed(1)} s`);
    console.log(report(result));
    for (const { verdict } of result.outcomes.values()) if (verdict === "FAIL") failures++;
  }
  console.log(`${failures} failures`);
  process.exit(failures === 0 ? 0 : 1);
}
