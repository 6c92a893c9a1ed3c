// main.ts: the executable's entry. Each subcommand is loaded only when asked for, so that `cli PING` never loads the engine.
import { Command } from "commander";
import { version } from "./version.ts";

const program = new Command("ironcache")
  .description("A cache that speaks the Redis protocol, keeps the Redis contract and uses every core.")
  .version(`ironcache ${version}`, "-v, --version", "print the version")
  .enablePositionalOptions();

const wanted = process.argv[2] ?? "";
const isServe = wanted === "serve" || (wanted.startsWith("--") && !["--version", "--help"].includes(wanted));
if (isServe || wanted === "help" || wanted === "" || wanted === "--help" || wanted === "-h")
  program.addCommand((await import("./serve.ts")).serveCommand(), { isDefault: isServe });
if (!isServe) program.addCommand((await import("./cli.ts")).cliCommand());

if (process.argv.length <= 2) program.help();
await program.parseAsync();
