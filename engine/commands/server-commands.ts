// server-commands.ts: the commands about the process: CONFIG, INFO, COMMAND, TIME, SHUTDOWN, DEBUG, LOLWUT.
// All cold. Neighbours: info.ts, introspection.ts and debug.ts hold the longer handlers; server.ts is what they ask.
import { Flag, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors } from "../../protocol/errors.ts";
import { globText } from "../types/glob.ts";
import { parseInteger } from "../types/integer.ts";
import type { Call, Row } from "./call.ts";
import { debug } from "./debug.ts";
import { info } from "./info.ts";
import { commandRow } from "./introspection.ts";
import { replyHelp } from "./keyspace.ts";

/** CONFIG GET parameter [parameter ...]: each setting once, in the order of the table; what was asked by its full name
 *  comes back under the name that the client wrote. */
function configGet(call: Call): void {
  const { reply, server } = call;
  const found = new Map<string, string>();
  for (let i = 2; i < call.argc; i++) {
    const asked = call.text(i);
    if (/[*?[]/.test(asked)) {
      for (const name of server.settingNames())
        if (!found.has(name) && globText(asked, name, true)) found.set(name, name);
      continue;
    }
    const name = asked.toLowerCase().replaceAll("_", "-");
    if (!found.has(name)) found.set(name, asked);
  }
  const names = server.settingNames().filter((name) => found.has(name));
  reply.map(names.length);
  for (const name of names) {
    const value = server.setting(name) ?? "";
    reply.text(found.get(name)!);
    // A value that a client set is bytes; one that a file brought may be any text.
    if (/^[\0-\xff]*$/.test(value)) reply.text(value);
    else reply.utf8(value);
  }
}

/** CONFIG SET parameter value [parameter value ...]: all or none. */
function configSet(call: Call): void {
  const { reply } = call;
  if (call.argc % 2 !== 0) return reply.error(Errors.syntax);
  const pairs: [string, string][] = [];
  for (let i = 2; i < call.argc; i += 2) pairs.push([call.text(i), call.text(i + 1)]);
  const refused = call.server.setSettings(pairs);
  if (refused !== null) return reply.error(refused);
  reply.ok();
}

/** CONFIG RESETSTAT */
function configResetstat(call: Call): void {
  call.server.resetStatistics();
  call.reply.ok();
}

/** CONFIG REWRITE: there is nothing yet that writes the file back. */
function configRewrite(call: Call): void {
  call.reply.error(Errors.noConfigFile);
}

const configHelp = [
  "GET <pattern>",
  "    Return parameters matching the glob-like <pattern> and their values.",
  "SET <directive> <value>",
  "    Set the configuration <directive> to <value>.",
  "RESETSTAT",
  "    Reset statistics reported by the INFO command.",
  "REWRITE",
  "    Rewrite the configuration file.",
];

/** TIME */
function time(call: Call): void {
  const { reply } = call;
  const nowMs = Date.now();
  // The clock tells milliseconds; the rest is what the steady clock says within one.
  const micros = (nowMs % 1000) * 1000 + Math.floor((performance.now() % 1) * 1000);
  reply.array(2);
  reply.text(Math.floor(nowMs / 1000).toString());
  reply.text(micros.toString());
}

/** SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]: no reply when it works, the connection closes. */
function shutdown(call: Call): void {
  const { reply } = call;
  let save = false;
  let noSave = false;
  let force = false;
  let abort = false;
  for (let i = 1; i < call.argc; i++) {
    if (call.is(i, "save")) save = true;
    else if (call.is(i, "nosave")) noSave = true;
    else if (call.is(i, "force")) force = true;
    else if (call.is(i, "abort")) abort = true;
    else if (!call.is(i, "now")) return reply.error(Errors.syntax);
  }
  if ((abort && call.argc > 2) || (save && noSave)) return reply.error(Errors.syntax);
  if (abort) return reply.error(Errors.noShutdown);
  // Nothing can be saved yet: who insists on it must hear so, not lose it.
  if (save && !force) return reply.error(Errors.noSnapshots);
  call.server.shutdown();
}

/** LOLWUT [VERSION version] */
function lolwut(call: Call): void {
  const { reply, input, start, length } = call;
  if (call.argc > 2 && call.is(1, "version")) {
    const version = parseInteger(input.u8, start[2]!, length[2]!);
    if (Number.isNaN(version)) return reply.error(Errors.notAnInteger);
  }
  reply.verbatim(`IronCache ver. ${call.server.version}\n`);
}

const common = { keys: [], scope: Scope.None, tier: Tier.Connection, group: "server" } as const;

const config = {
  ...common,
  scope: Scope.Each,
  tier: Tier.Extended,
  flags: Flag.Admin | Flag.NoScript | Flag.Loading | Flag.Stale,
  acl: ["admin", "slow", "dangerous"],
} as const;

const overSettings = "O(N) where N is the number of settings.";

export const serverCommands: readonly Row[] = [
  commandRow,
  {
    ...common,
    name: "info",
    arity: -1,
    flags: Flag.Loading | Flag.Stale,
    acl: ["slow", "dangerous"],
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Returns figures about the server.",
    syntax: "[section [section ...]]",
    handler: info,
  },
  {
    ...common,
    name: "config",
    tier: Tier.Extended,
    arity: -2,
    flags: 0,
    acl: ["slow"],
    since: "2.0.0",
    complexity: "Depends on subcommand.",
    summary: "Shows and changes settings.",
    syntax: "",
    subcommands: [
      {
        ...config,
        name: "config|get",
        arity: -3,
        since: "2.0.0",
        complexity: overSettings,
        summary: "Returns the values of settings.",
        syntax: "<parameter ...>",
        handler: configGet,
      },
      {
        ...config,
        name: "config|set",
        arity: -4,
        since: "2.0.0",
        complexity: overSettings,
        summary: "Changes settings: all those given, or none.",
        syntax: "<parameter value ...>",
        handler: configSet,
      },
      {
        ...config,
        name: "config|resetstat",
        arity: 2,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Sets the figures of INFO back to zero.",
        syntax: "",
        handler: configResetstat,
      },
      {
        ...config,
        name: "config|rewrite",
        arity: 2,
        since: "2.8.0",
        complexity: "O(1)",
        summary: "Writes the settings back to their file.",
        syntax: "",
        handler: configRewrite,
      },
      {
        ...config,
        name: "config|help",
        arity: 2,
        flags: Flag.Loading | Flag.Stale,
        acl: ["slow"],
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Lists the subcommands.",
        syntax: "",
        handler: (call) => replyHelp(call, "CONFIG", configHelp),
      },
    ],
  },
  {
    ...common,
    name: "time",
    arity: 1,
    flags: Flag.Loading | Flag.Stale | Flag.Fast,
    acl: ["fast"],
    since: "2.6.0",
    complexity: "O(1)",
    summary: "Returns the server's time in seconds and microseconds.",
    syntax: "",
    handler: time,
  },
  {
    ...common,
    tier: Tier.Extended,
    name: "shutdown",
    arity: -1,
    flags: Flag.Admin | Flag.NoScript | Flag.Loading | Flag.Stale | Flag.NoMulti | Flag.AllowBusy,
    acl: ["admin", "slow", "dangerous"],
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Stops the server.",
    syntax: "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
    handler: shutdown,
  },
  {
    ...common,
    scope: Scope.Each,
    tier: Tier.Extended,
    name: "debug",
    arity: -2,
    flags: Flag.Admin | Flag.NoScript | Flag.Loading | Flag.Stale,
    acl: ["admin", "slow", "dangerous"],
    since: "1.0.0",
    complexity: "Depends on subcommand.",
    summary: "Looks inside the server, for tests.",
    syntax: "",
    handler: debug,
  },
  {
    ...common,
    name: "lolwut",
    arity: -1,
    flags: Flag.ReadOnly | Flag.Fast,
    acl: ["read", "fast"],
    since: "5.0.0",
    complexity: "",
    summary: "Says which version this is.",
    syntax: "[VERSION version]",
    handler: lolwut,
  },
];
