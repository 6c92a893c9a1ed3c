// cli.ts: the `cli` subcommand: its options, redis-cli's letters, turned into what cli/one-shot.ts runs.
//
// Options end at the first word that is none: everything from there on is the server's, dashes included. -h
// is the host, so help is --help alone. Thin: parses and calls, prints nothing but usage. Neighbours:
// main.ts adds it.

import { Command, Option } from "commander";
import {
  argumentBytes,
  type CliOptions,
  defaultOptions,
  Exit,
  parseUri,
  passwordFromEnvironment,
  runCli,
  UsageError,
} from "../cli/one-shot.ts";
import type { OutputMode } from "../cli/render.ts";

type Changes = { -readonly [K in keyof CliOptions]?: CliOptions[K] };

/** The subcommand, to be added to a program that has enablePositionalOptions(). Its action ends the
 *  process. */
export function cliCommand(): Command {
  const command = new Command("cli");
  // In the order given: of two options that say the same thing the later one counts, as in redis-cli.
  const changes: Changes = {};

  /** An option whose value, or whose presence, goes straight into `changes`. */
  const option = (flags: string, description: string, apply: (value: string) => void): void => {
    const parsed = new Option(flags, description);
    command.addOption(parsed);
    command.on(`option:${parsed.name()}`, (value: string) => apply(value));
  };
  const mode = (name: OutputMode) => () => {
    changes.mode = name;
  };
  const password = (value: string): void => {
    changes.password = value;
    changes.passwordOnCommandLine = true;
  };

  command
    .description("Run one command, or the lines of standard input, on a server and print the replies.")
    .argument("[command...]", "the command and its arguments, sent as they are")
    .helpOption("--help", "show this help")
    .passThroughOptions();
  option("-h <host>", "server host (127.0.0.1)", (value) => {
    changes.hostname = value;
  });
  option("-p <port>", "server port (6379)", (value) => {
    changes.port = leadingInteger(value);
  });
  option("-s <socket>", "unix socket, instead of host and port", (value) => {
    changes.socketPath = value;
  });
  option("-u <uri>", "redis://[user[:password]@]host[:port][/db], valkey:// or unix://", (value) => {
    Object.assign(
      changes,
      orUsage(() => parseUri(value)),
    );
  });
  option("-n <db>", "database number", (value) => {
    changes.db = leadingInteger(value);
  });
  option("-2", "speak RESP2", () => {
    changes.resp2 = true;
  });
  option("-3", "speak RESP3", () => {
    changes.resp3 = true;
  });
  option("-a <password>", "password; the variable REDISCLI_AUTH is safer", password);
  option("--pass <password>", "as -a", password);
  option("--user <name>", "user name for AUTH; needs a password", (value) => {
    changes.user = value;
  });
  option("--no-auth-warning", "do not warn about a password on the command line", () => {
    changes.warnAboutPassword = false;
  });
  option("-r <count>", "run the command this often; -1 is for ever", (value) => {
    changes.repeat = leadingInteger(value);
  });
  option("-i <seconds>", "with -r, wait this long in between; may be a fraction", (value) => {
    changes.intervalSeconds = Number.parseFloat(value) || 0;
  });
  option("-t <seconds>", "give up connecting after this long; may be a fraction", (value) => {
    changes.connectTimeoutSeconds = Number.parseFloat(value) || undefined;
  });
  option("-e", "exit with 1 when the server answers an error", () => {
    changes.exitOnError = true;
  });
  option("-x", "read the last argument from standard input", () => {
    changes.stdinLastArgument = true;
  });
  option("-X <tag>", "read the argument that equals tag from standard input", (value) => {
    changes.stdinTag = value;
  });
  option("-d <delimiter>", "between the items of a reply in raw output (line end)", (value) => {
    changes.itemDelimiter = value;
  });
  option("-D <delimiter>", "after each reply in raw output (line end)", (value) => {
    changes.replyDelimiter = value;
  });
  option("--raw", "print raw replies (the default when not on a terminal)", mode("raw"));
  option("--no-raw", "print formatted replies (the default on a terminal)", mode("standard"));
  option("--csv", "print CSV", mode("csv"));
  option("--json", "print JSON, in RESP3 unless -2 is given", mode("json"));
  option("--quoted-json", "as --json, with strings in printable ASCII", mode("quoted-json"));
  option("--quoted-input", "take each argument as a quoted string", () => {
    changes.quotedInput = true;
  });
  option("--show-pushes <yn>", "print RESP3 pushes (yes on a terminal)", (value) => {
    const first = value[0]?.toLowerCase();
    if (first === "y" || first === "n") changes.showPushes = first === "y";
    else process.stderr.write(`Unknown --show-pushes value '${value}' (valid: '[y]es', '[n]o')\n`);
  });

  command.exitOverride((error) => process.exit(error.exitCode === 0 ? Exit.Done : Exit.Usage));
  command.action(async (words: string[]) => {
    const options = orUsage(() => ({
      ...defaultOptions,
      ...changes,
      password: changes.password ?? passwordFromEnvironment(process.env),
    }));
    process.exit(await runCli(options, argumentBytes(words)));
  });
  return command;
}

/** The integer a text begins with, 0 without one: what atoi() makes of it, and so redis-cli. */
function leadingInteger(text: string): number {
  return Number.parseInt(text, 10) || 0;
}

function orUsage<T>(compute: () => T): T {
  try {
    return compute();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(Exit.Usage);
  }
}
