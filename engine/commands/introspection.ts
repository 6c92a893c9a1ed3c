// introspection.ts: COMMAND and its subcommands: what the command table says of itself.
//
// Shapes are those of Redis 7.0: flags, categories, tips and key specifications are sets, a specification is a map,
// subcommands are an array, but for an empty set where there are none. Order within them is the rows'. All of it is cold.
// Neighbours: syntax.ts reads the arguments out of a row's text; server-commands.ts has the row.
import { Flag, type KeySpec, type RangeKeys, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors } from "../../protocol/errors.ts";
import { globText } from "../types/glob.ts";
import { parseInteger } from "../types/integer.ts";
import type { Call, Row } from "./call.ts";
import { replyHelp } from "./keyspace.ts";
import type { Reply } from "./reply.ts";
import { type Argument, parseSyntax } from "./syntax.ts";

/** Names of the bits of Flag, lowest first. */
const flagNames = [
  "write",
  "readonly",
  "denyoom",
  "module",
  "admin",
  "pubsub",
  "noscript",
  "blocking",
  "loading",
  "stale",
  "skip_monitor",
  "skip_slowlog",
  "asking",
  "fast",
  "no_auth",
  "may_replicate",
  "no_async_loading",
  "no_multi",
  "movablekeys",
  "allow_busy",
];

const summed = ["request_policy:multi_shard", "response_policy:agg_sum"];
const anyOutput = ["nondeterministic_output"];
const anyOrder = ["nondeterministic_output_order"];
const everywhere = ["request_policy:all_shards", "response_policy:all_succeeded"];
const allNodes = ["request_policy:all_nodes", "response_policy:all_succeeded"];

/** What COMMAND INFO hints to proxies and clients of a cluster. */
const tips: Readonly<Record<string, readonly string[]>> = {
  del: summed,
  unlink: summed,
  exists: summed,
  touch: summed,
  mget: ["request_policy:multi_shard"],
  mset: ["request_policy:multi_shard", "response_policy:all_succeeded"],
  msetex: ["request_policy:multi_shard", "response_policy:all_succeeded"],
  msetnx: ["request_policy:multi_shard", "response_policy:agg_min"],
  randomkey: ["request_policy:all_shards", ...anyOutput],
  keys: ["request_policy:all_shards", ...anyOrder],
  scan: [...anyOutput, "request_policy:special"],
  dbsize: ["request_policy:all_shards", "response_policy:agg_sum"],
  flushdb: everywhere,
  flushall: everywhere,
  ping: everywhere,
  ttl: anyOutput,
  pttl: anyOutput,
  time: anyOutput,
  info: [...anyOutput, "request_policy:all_shards", "response_policy:special"],
  command: anyOrder,
  "command|docs": anyOrder,
  "command|info": anyOrder,
  "command|list": anyOrder,
  "object|freq": anyOutput,
  "object|idletime": anyOutput,
  "object|encoding": anyOutput,
  "object|refcount": anyOutput,
  "client|list": anyOutput,
  "client|info": anyOutput,
  "client|setinfo": allNodes,
  "config|set": allNodes,
};

/** COMMAND */
function command(call: Call): void {
  const { rows } = call.server;
  call.reply.array(rows.length);
  for (const row of rows) replyRow(call.reply, row);
}

/** COMMAND COUNT */
function commandCount(call: Call): void {
  call.reply.integer(call.server.rows.length);
}

/** COMMAND INFO [command-name ...] */
function commandInfo(call: Call): void {
  const { reply, server } = call;
  if (call.argc === 2) return command(call);
  reply.array(call.argc - 2);
  for (let i = 2; i < call.argc; i++) {
    const row = server.row(call.text(i).toLowerCase());
    if (row === undefined) reply.nil();
    else replyRow(reply, row);
  }
}

/** A row as COMMAND INFO shows it. */
function replyRow(reply: Reply, row: Row): void {
  const { first, last, step } = keyRange(row);
  reply.array(10);
  reply.text(row.name);
  reply.integer(row.arity);
  simpleSet(
    reply,
    flagNames.filter((_, bit) => (row.flags & (1 << bit)) !== 0),
  );
  reply.integer(first);
  reply.integer(last);
  reply.integer(step);
  simpleSet(
    reply,
    row.acl.map((category) => `@${category}`),
  );
  const hints = tips[row.name] ?? [];
  reply.set(hints.length);
  for (const hint of hints) reply.text(hint);
  reply.set(row.keys.length);
  for (const spec of row.keys) replyKeySpec(reply, spec);
  const subcommands = row.subcommands ?? [];
  if (subcommands.length === 0) reply.set(0);
  else reply.array(subcommands.length);
  for (const each of subcommands) replyRow(reply, each);
}

function simpleSet(reply: Reply, words: readonly string[]): void {
  reply.set(words.length);
  for (const word of words) reply.simple(word);
}

/** The specifications as one range from first to last key, as clients knew it before specifications: of those that
 *  are ranges and side by side, unless there is only one. */
function keyRange(row: Row): { first: number; last: number; step: number } {
  const [only] = row.keys;
  if (row.keys.length === 1 && only !== undefined && isRange(only)) return absolute(only);
  let range = { first: 0, last: 0, step: 0 };
  for (const spec of row.keys) {
    if (!isRange(spec) || spec.step !== 1 || (range.last !== 0 && range.last !== spec.first - 1)) continue;
    const { first, last } = absolute(spec);
    range = { first: range.first === 0 ? first : range.first, last, step: 1 };
  }
  return range;
}

function isRange(spec: KeySpec): spec is RangeKeys {
  return spec.find === undefined && spec.numkeys === undefined;
}

function absolute({ first, last, step }: RangeKeys): { first: number; last: number; step: number } {
  return { first, last: last < 0 ? last : first + last, step };
}

function replyKeySpec(reply: Reply, spec: KeySpec): void {
  reply.map(spec.notes === undefined ? 3 : 4);
  if (spec.notes !== undefined) {
    reply.text("notes");
    reply.text(spec.notes);
  }
  reply.text("flags");
  simpleSet(reply, spec.flags);
  if (spec.find === "unknown") {
    replyStep(reply, "begin_search", "unknown", []);
    replyStep(reply, "find_keys", "unknown", []);
  } else if (spec.find === undefined && spec.numkeys !== undefined) {
    replyStep(reply, "begin_search", "index", [["index", spec.numkeys]]);
    replyStep(reply, "find_keys", "keynum", [
      ["keynumidx", 0],
      ["firstkey", spec.first - spec.numkeys],
      ["keystep", spec.step],
    ]);
  } else {
    if (spec.find === undefined) replyStep(reply, "begin_search", "index", [["index", spec.first]]);
    else
      replyStep(reply, "begin_search", "keyword", [
        ["keyword", spec.keyword],
        ["startfrom", spec.first],
      ]);
    replyStep(reply, "find_keys", "range", [
      ["lastkey", spec.last],
      ["keystep", spec.step],
      ["limit", 0],
    ]);
  }
}

/** One of the two steps of a key specification. */
function replyStep(
  reply: Reply,
  step: string,
  type: string,
  spec: readonly (readonly [string, string | number])[],
): void {
  reply.text(step);
  reply.map(2);
  reply.text("type");
  reply.text(type);
  reply.text("spec");
  reply.map(spec.length);
  for (const [name, value] of spec) {
    reply.text(name);
    if (typeof value === "string") reply.text(value);
    else reply.integer(value);
  }
}

/** COMMAND DOCS [command-name ...] */
function commandDocs(call: Call): void {
  const { reply, server } = call;
  const found: Row[] = [];
  if (call.argc === 2) found.push(...server.rows);
  for (let i = 2; i < call.argc; i++) {
    const row = server.row(call.text(i).toLowerCase());
    if (row !== undefined) found.push(row);
  }
  reply.map(found.length);
  for (const row of found) replyDocs(reply, row);
}

/** A row's name and what COMMAND DOCS says of it. */
function replyDocs(reply: Reply, row: Row): void {
  const texts = (
    [
      ["summary", row.summary],
      ["since", row.since],
      ["group", row.group],
      ["complexity", row.complexity],
    ] as const
  ).filter(([, text]) => text !== "");
  const args = parseSyntax(row.syntax);
  const subcommands = row.subcommands ?? [];
  reply.text(row.name);
  reply.map(texts.length + (args.length > 0 ? 1 : 0) + (subcommands.length > 0 ? 1 : 0));
  for (const [name, text] of texts) {
    reply.text(name);
    reply.utf8(text);
  }
  if (args.length > 0) {
    reply.text("arguments");
    replyArguments(reply, args, { row, keys: 0 });
  }
  if (subcommands.length > 0) {
    reply.text("subcommands");
    reply.map(subcommands.length);
    for (const each of subcommands) replyDocs(reply, each);
  }
}

/** `seen` counts the key arguments met so far: the n-th belongs to the n-th key specification. */
function replyArguments(reply: Reply, args: readonly Argument[], seen: { row: Row; keys: number }): void {
  reply.array(args.length);
  for (const arg of args) {
    const spec = arg.type === "key" ? Math.min(seen.keys++, seen.row.keys.length - 1) : -1;
    const flags: string[] = [];
    if (arg.optional) flags.push("optional");
    if (arg.multiple) flags.push("multiple");
    reply.map(
      2 +
        (spec >= 0 ? 1 : 0) +
        (arg.token === "" ? 0 : 1) +
        (flags.length > 0 ? 1 : 0) +
        (arg.parts.length > 0 ? 1 : 0),
    );
    reply.text("name");
    reply.text(arg.name);
    reply.text("type");
    reply.text(arg.type === "key" && spec < 0 ? "string" : arg.type);
    if (spec >= 0) {
      reply.text("key_spec_index");
      reply.integer(spec);
    }
    if (arg.token !== "") {
      reply.text("token");
      reply.text(arg.token);
    }
    if (flags.length > 0) {
      reply.text("flags");
      simpleSet(reply, flags);
    }
    if (arg.parts.length > 0) {
      reply.text("arguments");
      replyArguments(reply, arg.parts, seen);
    }
  }
}

/** COMMAND LIST [FILTERBY <MODULE name | ACLCAT category | PATTERN pattern>] */
function commandList(call: Call): void {
  const { reply, server } = call;
  let takes: (row: Row) => boolean = () => true;
  if (call.argc === 5 && call.is(2, "filterby")) {
    const wanted = call.text(4);
    if (call.is(3, "module")) takes = () => false;
    else if (call.is(3, "aclcat")) takes = (row) => row.acl.includes(wanted.toLowerCase());
    else if (call.is(3, "pattern")) takes = (row) => globText(wanted, row.name, true);
    else return reply.error(Errors.syntax);
  } else if (call.argc !== 2) return reply.error(Errors.syntax);
  const names = server.rows
    .flatMap((row) => [row, ...(row.subcommands ?? [])])
    .filter(takes)
    .map((row) => row.name);
  reply.array(names.length);
  for (const name of names) reply.text(name);
}

/** A key that a command given as arguments names: which argument, and what is done to it. */
interface NamedKey {
  readonly argument: number;
  readonly flags: readonly string[];
}

/** The keys of the command in arguments 2 and on; null when an error was replied. */
function namedKeys(call: Call): NamedKey[] | null {
  const { reply, server } = call;
  const name = call.text(2).toLowerCase();
  let row = name.includes("|") ? undefined : server.row(name);
  if (row?.subcommands !== undefined && call.argc > 3) {
    const sub = server.row(`${name}|${call.text(3).toLowerCase()}`);
    row = row.handler === undefined || sub !== undefined ? sub : row;
  }
  if (row === undefined) {
    reply.error(Errors.invalidCommand);
    return null;
  }
  const specs = row.keys.filter((spec) => !spec.flags.includes("not_key"));
  if (specs.length === 0) {
    reply.error(Errors.noKeyArguments);
    return null;
  }
  const argc = call.argc - 2;
  if (row.arity > 0 ? argc !== row.arity : argc < -row.arity) {
    reply.error(Errors.keyArguments);
    return null;
  }
  const keys: NamedKey[] = [];
  for (const spec of specs) {
    const flags = row.name === "set" ? flagsOfSet(call) : spec.flags;
    const range = argumentsOf(call, spec, argc);
    if (range === undefined) continue;
    const { first, last, step } = range;
    if (last < first || last >= argc) {
      reply.error(Errors.invalidArguments);
      return null;
    }
    for (let i = first; i <= last; i += step) keys.push({ argument: i + 2, flags });
  }
  return keys;
}

/** The arguments that a specification names in a command of `argc` arguments, whose name is argument 2 of the call; a
 *  range that cannot be when the number of keys is none. Undefined when it names none. */
function argumentsOf(
  call: Call,
  spec: KeySpec,
  argc: number,
): { first: number; last: number; step: number } | undefined {
  if (spec.find !== undefined) {
    if (spec.keyword === undefined) return undefined;
    const word = spec.keyword.toLowerCase();
    let at = 0;
    for (let i = spec.find === "keyword" ? spec.first : 2; i + 1 < argc; i++) {
      if (call.is(i + 2, word) && (at === 0 || spec.find === "unknown")) at = i + 1;
      // SORT's options, whose arguments may be the word too.
      else if (spec.find !== "unknown") continue;
      else if (call.is(i + 2, "limit")) i += 2;
      else if (call.is(i + 2, "by") || call.is(i + 2, "get")) i++;
    }
    if (at === 0) return undefined;
    return absoluteIn(argc, at, spec.find === "keyword" ? spec.last : 0, 1);
  }
  if (spec.numkeys === undefined) return absoluteIn(argc, spec.first, spec.last, spec.step);
  const count = parseInteger(call.input.u8, call.start[spec.numkeys + 2]!, call.length[spec.numkeys + 2]!);
  const last = count > 0 ? spec.first + (count - 1) * spec.step : 0;
  return { first: spec.first, last, step: spec.step };
}

function absoluteIn(argc: number, first: number, last: number, step: number) {
  return { first, last: last < 0 ? argc + last : first + last, step };
}

/** SET reads its key only when asked for the old value. */
function flagsOfSet(call: Call): readonly string[] {
  for (let i = 5; i < call.argc; i++) if (call.is(i, "get")) return ["RW", "access", "update"];
  return ["OW", "update"];
}

/** COMMAND GETKEYS command [arg ...] */
function commandGetkeys(call: Call): void {
  const { reply } = call;
  const keys = namedKeys(call);
  if (keys === null) return;
  reply.array(keys.length);
  for (const { argument } of keys) reply.bulk(call.input, call.start[argument]!, call.length[argument]!);
}

/** COMMAND GETKEYSANDFLAGS command [arg ...] */
function commandGetkeysandflags(call: Call): void {
  const { reply } = call;
  const keys = namedKeys(call);
  if (keys === null) return;
  reply.array(keys.length);
  for (const { argument, flags } of keys) {
    reply.array(2);
    reply.bulk(call.input, call.start[argument]!, call.length[argument]!);
    simpleSet(reply, flags);
  }
}

const help = [
  "(no subcommand)",
  "    Return details about all commands.",
  "COUNT",
  "    Return the total number of commands in this server.",
  "LIST [FILTERBY <MODULE|ACLCAT|PATTERN> <filter>]",
  "    Return a list of all commands in this server.",
  "INFO [<command-name> ...]",
  "    Return details about multiple commands.",
  "    If no command names are given, details for all commands are returned.",
  "DOCS [<command-name> ...]",
  "    Return documentation details about multiple commands.",
  "    If no command names are given, documentation details for all",
  "    commands are returned.",
  "GETKEYS <full-command>",
  "    Return the keys from a full command.",
  "GETKEYSANDFLAGS <full-command>",
  "    Return the keys and the access flags from a full command.",
];

const common = {
  keys: [],
  scope: Scope.None,
  tier: Tier.Connection,
  group: "server",
  flags: Flag.Loading | Flag.Stale,
  acl: ["slow", "connection"],
} as const;

const overCommands = "O(N) where N is the number of commands asked for.";

export const commandRow: Row = {
  ...common,
  name: "command",
  arity: -1,
  since: "2.8.13",
  complexity: "O(N) where N is the number of commands.",
  summary: "Returns what is known of every command.",
  syntax: "",
  handler: command,
  subcommands: [
    {
      ...common,
      name: "command|count",
      arity: 2,
      since: "2.8.13",
      complexity: "O(1)",
      summary: "Returns the number of commands.",
      syntax: "",
      handler: commandCount,
    },
    {
      ...common,
      name: "command|docs",
      arity: -2,
      since: "7.0.0",
      complexity: overCommands,
      summary: "Returns descriptions of commands for people.",
      syntax: "[command-name ...]",
      handler: commandDocs,
    },
    {
      ...common,
      name: "command|info",
      arity: -2,
      since: "2.8.13",
      complexity: overCommands,
      summary: "Returns descriptions of commands for programs.",
      syntax: "[command-name ...]",
      handler: commandInfo,
    },
    {
      ...common,
      name: "command|list",
      arity: -2,
      since: "7.0.0",
      complexity: "O(N) where N is the number of commands.",
      summary: "Returns the names of the commands.",
      syntax: "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
      handler: commandList,
    },
    {
      ...common,
      name: "command|getkeys",
      arity: -3,
      since: "2.8.13",
      complexity: "O(N) where N is the number of arguments.",
      summary: "Returns the keys that a command would use.",
      syntax: "command [arg ...]",
      handler: commandGetkeys,
    },
    {
      ...common,
      name: "command|getkeysandflags",
      arity: -3,
      since: "7.0.0",
      complexity: "O(N) where N is the number of arguments.",
      summary: "Returns the keys that a command would use, and how.",
      syntax: "command [arg ...]",
      handler: commandGetkeysandflags,
    },
    {
      ...common,
      name: "command|help",
      arity: 2,
      since: "5.0.0",
      complexity: "O(1)",
      summary: "Lists the subcommands.",
      syntax: "",
      handler: (call) => replyHelp(call, "COMMAND", help),
    },
  ],
};
