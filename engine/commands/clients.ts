// clients.ts: CLIENT and MONITOR: what is told of connections, whichever worker owns them, and what is done to them.
//
// What CLIENT LIST shows of a connection is in the control region, written by its worker; of another worker's it may be
// a tick old. Cold. Neighbours: server.ts is the interface to the worker; tracking.ts has the rows of client-side caching.
import { Flag, Scope, Tier } from "../../protocol/command-row.ts";
import {
  clientAttribute,
  Errors,
  noSuchUser,
  subcommandOrArity,
  unknownClientType,
  unrecognizedOption,
} from "../../protocol/errors.ts";
import type { Call, Row } from "./call.ts";
import { integerAt, isDefaultUser, isPrintable } from "./connection.ts";
import { replyHelp } from "./keyspace.ts";
import type { ClientView } from "./server.ts";
import { ReplyMode } from "./session.ts";
import { trackingRows } from "./tracking.ts";

/** CLIENT ID */
function clientId(call: Call): void {
  call.reply.integer(call.session.id);
}

/** CLIENT INFO */
function clientInfo(call: Call): void {
  call.reply.verbatim(clientLine(call.server.view(call.session), Date.now()));
}

/** CLIENT LIST [TYPE type | ID client-id [client-id ...]] */
function clientList(call: Call): void {
  const { reply } = call;
  let clients: ClientView[];
  if (call.argc === 4 && call.is(2, "type")) {
    const type = readType(call, 3);
    if (type === "") return;
    clients = call.server.clients().filter((client) => typeOf(client) === type);
  } else if (call.argc > 3 && call.is(2, "id")) {
    const ids: number[] = [];
    for (let i = 3; i < call.argc; i++) {
      const id = integerAt(call, i);
      if (Number.isNaN(id)) return reply.error(Errors.invalidClientId);
      ids.push(id);
    }
    const byId = new Map(call.server.clients().map((client) => [client.id, client]));
    clients = ids.map((id) => byId.get(id)).filter((client) => client !== undefined);
  } else if (call.argc === 2) {
    clients = call.server.clients();
  } else return reply.error(Errors.syntax);
  const now = Date.now();
  reply.verbatim(clients.map((client) => clientLine(client, now)).join(""));
}

/** The class of a client. */
function typeOf(client: ClientView): string {
  return client.channels + client.patterns + client.shardChannels > 0 ? "pubsub" : "normal";
}

/** The class of clients that argument `i` names, "" when an error was replied. */
function readType(call: Call, i: number): string {
  if (call.is(i, "normal")) return "normal";
  if (call.is(i, "slave") || call.is(i, "replica")) return "replica";
  if (call.is(i, "pubsub")) return "pubsub";
  if (call.is(i, "master")) return "master";
  call.reply.error(unknownClientType(call.text(i)));
  return "";
}

/** What is special about a connection, by Redis's letters in its order. */
function flagsOf(client: ClientView): string {
  let flags = "";
  if (client.monitor) flags += "O";
  if (typeOf(client) === "pubsub") flags += "P";
  if (client.queued >= 0) flags += "x";
  if (client.blocked) flags += "b";
  if (client.tracking) flags += "t";
  if (client.brokenRedirect) flags += "R";
  if (client.broadcast) flags += "B";
  if (client.dirty) flags += "d";
  if (client.address.startsWith("/")) flags += "U";
  if (client.noEvict) flags += "e";
  if (client.noTouch) flags += "T";
  return flags || "N";
}

/** A connection as CLIENT LIST and CLIENT INFO print it. */
function clientLine(client: ClientView, nowMs: number): string {
  const flags = flagsOf(client);
  const seconds = (sinceMs: number) => Math.max(0, Math.floor((nowMs - sinceMs) / 1000));
  const fields: (readonly [string, string | number])[] = [
    ["id", client.id],
    ["addr", client.address],
    ["laddr", client.localAddress],
    ["fd", client.fd],
    ["name", client.name],
    ["age", seconds(client.createdMs)],
    ["idle", seconds(client.lastMs)],
    ["flags", flags],
    ["db", client.db],
    ["sub", client.channels],
    ["psub", client.patterns],
    ["ssub", client.shardChannels],
    ["multi", client.queued],
    ["watch", client.watched],
    ["qbuf", client.queryBytes],
    ["qbuf-free", client.queryFreeBytes],
    ["argv-mem", 0],
    ["multi-mem", client.transactionBytes],
    ["rbs", 0],
    ["rbp", 0],
    ["obl", 0],
    ["oll", 0],
    ["omem", client.outputBytes],
    ["tot-mem", client.queryBytes + client.queryFreeBytes + client.outputBytes + client.transactionBytes],
    ["events", "r"],
    ["cmd", client.lastCommand],
    ["user", "default"],
    ["redir", client.redirect],
    ["resp", client.resp],
    ["lib-name", client.libraryName],
    ["lib-ver", client.libraryVersion],
    ["tot-net-in", client.networkIn],
    ["tot-net-out", client.networkOut],
    ["tot-cmds", client.commands],
    ["io-thread", client.worker],
  ];
  return `${fields.map(([name, value]) => `${name}=${value}`).join(" ")}\n`;
}

/** CLIENT SETNAME connection-name */
function clientSetname(call: Call): void {
  const { reply, session } = call;
  const name = call.text(2);
  if (!isPrintable(name)) return reply.error(Errors.clientName);
  session.name = name;
  call.server.publish(session);
  reply.ok();
}

/** CLIENT GETNAME */
function clientGetname(call: Call): void {
  if (call.session.name === "") return call.reply.nil();
  call.reply.text(call.session.name);
}

/** CLIENT SETINFO <LIB-NAME libname | LIB-VER libver> */
function clientSetinfo(call: Call): void {
  const { reply, session } = call;
  const isName = call.is(2, "lib-name");
  if (!isName && !call.is(2, "lib-ver")) return reply.error(unrecognizedOption(call.text(2)));
  const value = call.text(3);
  if (!isPrintable(value)) return reply.error(clientAttribute(call.text(2)));
  if (isName) session.libraryName = value;
  else session.libraryVersion = value;
  call.server.publish(session);
  reply.ok();
}

/** CLIENT NO-EVICT <ON | OFF> */
function clientNoEvict(call: Call): void {
  const { session } = call;
  if (!onOrOff(call)) return call.reply.error(Errors.syntax);
  session.noEvict = call.is(2, "on");
  call.server.publish(session);
  call.reply.ok();
}

/** CLIENT NO-TOUCH <ON | OFF> */
function clientNoTouch(call: Call): void {
  const { session } = call;
  if (!onOrOff(call)) return call.reply.error(Errors.syntax);
  session.noTouch = call.is(2, "on");
  call.server.publish(session);
  call.reply.ok();
}

function onOrOff(call: Call): boolean {
  return call.is(2, "on") || call.is(2, "off");
}

/** CLIENT REPLY <ON | OFF | SKIP> */
function clientReply(call: Call): void {
  const { session } = call;
  if (call.is(2, "on")) {
    session.replyMode = ReplyMode.On;
    call.reply.ok();
  } else if (call.is(2, "off")) session.replyMode = ReplyMode.Off;
  else if (call.is(2, "skip")) {
    if (session.replyMode !== ReplyMode.Off) session.replyMode = ReplyMode.SkipNext;
  } else call.reply.error(Errors.syntax);
}

/** CLIENT KILL ip:port, or CLIENT KILL filter value [filter value ...] */
function clientKill(call: Call): void {
  const { reply, session, server } = call;
  if (call.argc === 3) {
    const address = call.text(2);
    const client = server.clients().find((each) => each.address === address);
    if (client === undefined || server.kill([client.id], session) === 0)
      return reply.error(Errors.noSuchClient);
    return reply.ok();
  }
  const filters: ((client: ClientView) => boolean)[] = [];
  let skipMe = true;
  for (let i = 2; i < call.argc; i += 2) {
    const more = i + 1 < call.argc;
    if (call.is(i, "id") && more) {
      const id = integerAt(call, i + 1);
      if (!(id >= 1)) return reply.error(Errors.clientIdPositive);
      filters.push((client) => client.id === id);
    } else if (call.is(i, "type") && more) {
      const type = readType(call, i + 1);
      if (type === "") return;
      filters.push((client) => typeOf(client) === type);
    } else if (call.is(i, "addr") && more) {
      const address = call.text(i + 1);
      filters.push((client) => client.address === address);
    } else if (call.is(i, "laddr") && more) {
      const address = call.text(i + 1);
      filters.push((client) => client.localAddress === address);
    } else if (call.is(i, "user") && more) {
      if (!isDefaultUser(call, i + 1)) return reply.error(noSuchUser(call.text(i + 1)));
    } else if (call.is(i, "maxage") && more) {
      const seconds = integerAt(call, i + 1);
      if (Number.isNaN(seconds)) return reply.error(Errors.maxAge);
      if (seconds <= 0) return reply.error(Errors.maxAgePositive);
      const now = Date.now();
      filters.push((client) => Math.floor((now - client.createdMs) / 1000) >= seconds);
    } else if (call.is(i, "skipme") && more) {
      skipMe = call.is(i + 1, "yes");
      if (!skipMe && !call.is(i + 1, "no")) return reply.error(Errors.syntax);
    } else return reply.error(Errors.syntax);
  }
  const ids = server
    .clients()
    .filter((client) => !(skipMe && client.id === session.id) && filters.every((filter) => filter(client)))
    .map((client) => client.id);
  reply.integer(ids.length === 0 ? 0 : server.kill(ids, session));
}

/** CLIENT PAUSE timeout [WRITE | ALL] */
function clientPause(call: Call): void {
  const { reply } = call;
  const timeout = integerAt(call, 2);
  const writes = call.argc === 4 && call.is(3, "write");
  if (call.argc > 4) return reply.error(subcommandOrArity(call.text(1), "CLIENT"));
  if (call.argc === 4 && !writes && !call.is(3, "all")) return reply.error(Errors.pauseMode);
  if (!Number.isFinite(timeout)) return reply.error(Errors.timeoutNotAnInteger);
  if (timeout < 0) return reply.error(Errors.timeoutNegative);
  call.server.pause(call.nowMs + timeout, !writes);
  reply.ok();
}

/** CLIENT UNPAUSE */
function clientUnpause(call: Call): void {
  call.server.unpause();
  call.reply.ok();
}

/** CLIENT UNBLOCK client-id [TIMEOUT | ERROR] */
function clientUnblock(call: Call): void {
  const { reply } = call;
  const failed = call.argc === 4 && call.is(3, "error");
  if (call.argc > 4) return reply.error(subcommandOrArity(call.text(1), "CLIENT"));
  if (call.argc === 4 && !failed && !call.is(3, "timeout")) return reply.error(Errors.unblockReason);
  const id = integerAt(call, 2);
  if (!Number.isFinite(id)) return reply.error(Errors.notAnInteger);
  reply.integer(call.server.unblock(id, failed) ? 1 : 0);
}

/** MONITOR */
function monitor(call: Call): void {
  call.server.monitor(call.session);
  call.reply.ok();
}

const clientHelp = [
  "CACHING (YES|NO)",
  "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
  "GETREDIR",
  "    Return the client ID we are redirecting to when tracking is enabled.",
  "GETNAME",
  "    Return the name of the current connection.",
  "ID",
  "    Return the ID of the current connection.",
  "INFO",
  "    Return information about the current client connection.",
  "KILL <ip:port>",
  "    Kill connection made from <ip:port>.",
  "KILL <option> <value> [<option> <value> [...]]",
  "    Kill connections. Options are:",
  "    * ADDR (<ip:port>|<unixsocket>:0)",
  "      Kill connections made from the specified address",
  "    * LADDR (<ip:port>|<unixsocket>:0)",
  "      Kill connections made to specified local address",
  "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
  "      Kill connections by type.",
  "    * USER <username>",
  "      Kill connections authenticated by <username>.",
  "    * SKIPME (YES|NO)",
  "      Skip killing current connection (default: yes).",
  "    * ID <client-id>",
  "      Kill connections by client id.",
  "    * MAXAGE <maxage>",
  "      Kill connections older than the specified age.",
  "LIST [options ...]",
  "    Return information about client connections. Options:",
  "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
  "      Return clients of specified type.",
  "    * ID <client-id> [<client-id> ...]",
  "      Return the clients of these IDs.",
  "UNPAUSE",
  "    Stop the current client pause, resuming traffic.",
  "PAUSE <timeout> [WRITE|ALL]",
  "    Suspend all, or just write, clients for <timeout> milliseconds.",
  "REPLY (ON|OFF|SKIP)",
  "    Control the replies sent to the current connection.",
  "SETNAME <name>",
  "    Assign the name <name> to the current connection.",
  "SETINFO <option> <value>",
  "    Set client meta attr. Options are:",
  "    * LIB-NAME: the client lib name.",
  "    * LIB-VER: the client lib version.",
  "UNBLOCK <clientid> [TIMEOUT|ERROR]",
  "    Unblock the specified blocked client.",
  "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
  "         [OPTIN] [OPTOUT] [NOLOOP]",
  "    Control server assisted client side caching.",
  "TRACKINGINFO",
  "    Report tracking status for the current connection.",
  "NO-EVICT (ON|OFF)",
  "    Protect current client connection from eviction.",
  "NO-TOUCH (ON|OFF)",
  "    Will not touch LRU/LFU stats when this mode is on.",
];

const common = { keys: [], scope: Scope.None, tier: Tier.Connection, group: "connection" } as const;

const clientSub = {
  ...common,
  flags: Flag.NoScript | Flag.Loading | Flag.Stale,
  acl: ["slow", "connection"],
  complexity: "O(1)",
} as const;

const clientAdmin = {
  ...clientSub,
  flags: Flag.Admin | Flag.NoScript | Flag.Loading | Flag.Stale,
  acl: ["admin", "slow", "dangerous", "connection"],
} as const;

const clientRows: readonly Row[] = [
  {
    ...clientSub,
    name: "client|id",
    arity: 2,
    since: "5.0.0",
    summary: "Returns the number of this connection.",
    syntax: "",
    handler: clientId,
  },
  {
    ...clientSub,
    name: "client|info",
    arity: 2,
    since: "6.2.0",
    summary: "Returns what CLIENT LIST says of this connection.",
    syntax: "",
    handler: clientInfo,
  },
  {
    ...clientAdmin,
    name: "client|list",
    arity: -2,
    since: "2.4.0",
    complexity: "O(N) where N is the number of connections.",
    summary: "Lists the open connections.",
    syntax: "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
    handler: clientList,
  },
  {
    ...clientSub,
    name: "client|setname",
    arity: 3,
    since: "2.6.9",
    summary: "Names this connection.",
    syntax: "connection-name",
    handler: clientSetname,
  },
  {
    ...clientSub,
    name: "client|getname",
    arity: 2,
    since: "2.6.9",
    summary: "Returns the name of this connection.",
    syntax: "",
    handler: clientGetname,
  },
  {
    ...clientSub,
    name: "client|setinfo",
    arity: 4,
    since: "7.2.0",
    summary: "Notes which client library this connection uses.",
    syntax: "<LIB-NAME libname | LIB-VER libver>",
    handler: clientSetinfo,
  },
  {
    ...clientAdmin,
    name: "client|no-evict",
    arity: 3,
    since: "7.0.0",
    summary: "Exempts this connection from being closed for memory.",
    syntax: "<ON | OFF>",
    handler: clientNoEvict,
  },
  {
    ...clientSub,
    name: "client|no-touch",
    arity: 3,
    since: "7.2.0",
    summary: "Lets this connection read without marking keys as used.",
    syntax: "<ON | OFF>",
    handler: clientNoTouch,
  },
  {
    ...clientSub,
    name: "client|reply",
    arity: 3,
    since: "3.2.0",
    summary: "Says whether this connection wants replies.",
    syntax: "<ON | OFF | SKIP>",
    handler: clientReply,
  },
  {
    ...clientAdmin,
    name: "client|kill",
    arity: -3,
    since: "2.4.0",
    complexity: "O(N) where N is the number of connections.",
    summary: "Closes connections.",
    syntax:
      "<ip:port | [ID client-id] [TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [USER username] [ADDR ip:port] [LADDR ip:port] [SKIPME <YES | NO>] [MAXAGE maxage]>",
    handler: clientKill,
  },
  {
    ...clientSub,
    name: "client|help",
    arity: 2,
    flags: Flag.Loading | Flag.Stale,
    since: "5.0.0",
    summary: "Lists the subcommands.",
    syntax: "",
    handler: (call) => replyHelp(call, "CLIENT", clientHelp),
  },
  {
    ...clientAdmin,
    name: "client|pause",
    arity: -3,
    since: "3.0.0",
    summary: "Holds the commands of all connections, or their writes, for a while.",
    syntax: "timeout [WRITE | ALL]",
    handler: clientPause,
  },
  {
    ...clientAdmin,
    name: "client|unpause",
    arity: 2,
    since: "6.2.0",
    summary: "Ends a pause.",
    syntax: "",
    handler: clientUnpause,
  },
  {
    ...clientAdmin,
    name: "client|unblock",
    arity: -3,
    since: "5.0.0",
    summary: "Ends a connection's wait in a blocking command.",
    syntax: "client-id [TIMEOUT | ERROR]",
    handler: clientUnblock,
  },
  ...trackingRows,
];

export const clientCommands: readonly Row[] = [
  {
    ...common,
    name: "client",
    arity: -2,
    flags: 0,
    acl: ["slow"],
    since: "2.4.0",
    complexity: "Depends on subcommand.",
    summary: "Tells about connections and steers them.",
    syntax: "",
    subcommands: clientRows,
  },
  {
    ...common,
    name: "monitor",
    arity: 1,
    flags: Flag.Admin | Flag.NoScript | Flag.Loading | Flag.Stale,
    acl: ["admin", "slow", "dangerous"],
    tier: Tier.Extended,
    group: "server",
    since: "1.0.0",
    complexity: "O(1), and O(N) for every command after it, N being the number of monitors.",
    summary: "Shows this connection every command that is run.",
    syntax: "",
    handler: monitor,
  },
];
