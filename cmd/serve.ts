// serve.ts: `ironcache serve`: settings from their layers, then workers, then signals. Exit codes: 0 a clean stop, 1 refused
// to start, 2 usage, 6 a second signal, 7 a worker died.
import { existsSync, readFileSync } from "node:fs";
import { Command } from "commander";
import { ConfigError, readFlags, Settings } from "../engine/config/settings.ts";
import { settingRows } from "../engine/config/table.ts";
import { StartError, start } from "../engine/worker/host.ts";
import { logLine } from "../engine/worker/log.ts";
import { version } from "./version.ts";

const enum Exit {
  Refused = 1,
  Usage = 2,
  SecondSignal = 6,
  WorkerDied = 7,
}

const SYSTEM_FILE = "/etc/ironcache/ironcache.toml";

export function serveCommand(): Command {
  return new Command("serve")
    .description("serve the Redis protocol")
    .usage("[--config FILE.toml] [--SETTING VALUE ...]")
    .helpOption("--help")
    .allowUnknownOption()
    .allowExcessArguments()
    .addHelpText("after", () => {
      const lines = settingRows.map((row) => `  --${row.name.padEnd(28)} ${row.help} [${row.default}]`);
      return `\nSettings (also in the file, as IRONCACHE_NAME, and by CONFIG):\n${lines.join("\n")}`;
    })
    .action((_options: unknown, command: Command) => serve(command.args));
}

function refuse(message: string, code: Exit): never {
  process.stderr.write(`ironcache: ${message}\n`);
  process.exit(code);
}

/** Settings from flags, environment and file; the file's path, "" for none. Ends the process on a mistake. */
function readSettings(args: readonly string[]): { settings: Settings; file: string } {
  let flags: ReturnType<typeof readFlags>;
  try {
    flags = readFlags(args);
  } catch (error) {
    if (error instanceof ConfigError) refuse(error.message, Exit.Usage);
    throw error;
  }
  const named = flags.config || process.env.IRONCACHE_CONFIG || "";
  const path = named !== "" ? named : existsSync(SYSTEM_FILE) ? SYSTEM_FILE : "";
  let text = "";
  try {
    if (path !== "") text = readFileSync(path, "utf8");
  } catch (error) {
    refuse(`cannot read ${path}: ${(error as Error).message}`, Exit.Refused);
  }
  try {
    const { settings, warnings } = Settings.load({
      flags: flags.flags,
      environment: process.env,
      readFile: (file: string) => readFileSync(file, "utf8"),
      ...(path === "" ? {} : { file: { path, text } }),
    });
    for (const warning of warnings) logLine("warning", -1, warning);
    return { settings, file: path };
  } catch (error) {
    if (error instanceof ConfigError)
      refuse(
        error.message,
        error.message.startsWith("option --") || error.message.startsWith("unknown option")
          ? Exit.Usage
          : Exit.Refused,
      );
    throw error;
  }
}

async function serve(args: readonly string[]): Promise<void> {
  const before = performance.now();
  // NODE_TLS_REJECT_UNAUTHORIZED=0 disarms certificate checks of the runtime: never serve with it.
  if (process.env.NODE_TLS_REJECT_UNAUTHORIZED === "0")
    refuse("NODE_TLS_REJECT_UNAUTHORIZED=0 disarms certificate checks; unset it", Exit.Refused);
  const { settings, file } = readSettings(args);
  try {
    const server = await start(settings, file, version);
    logLine("notice", -1, `ironcache ${version} is ready`, {
      pid: process.pid,
      workers: server.workers,
      io: server.driver,
      why: server.driverReason,
      listen: server.addresses.join(","),
      maxmemory: settings.get("maxmemory"),
      ms: Math.round(performance.now() - before),
    });
    let signals = 0;
    const onSignal = (signal: string) => {
      signals++;
      if (signals > 1) process.exit(Exit.SecondSignal);
      logLine("notice", -1, "stopping", { signal });
      server.stop();
    };
    process.on("SIGTERM", () => onSignal("SIGTERM"));
    process.on("SIGINT", () => onSignal("SIGINT"));
    const clean = await server.ended;
    process.exit(clean ? 0 : Exit.WorkerDied);
  } catch (error) {
    if (error instanceof StartError) refuse(error.message, Exit.Refused);
    throw error;
  }
}
