// connection.ts: the commands about the connection itself: PING, ECHO, HELLO, AUTH, SELECT, RESET, QUIT and CLIENT.
//
// No password and no users but `default` exist yet: every connection is logged in, AUTH and HELLO AUTH answer what
// Redis does then. What CLIENT LIST shows of a session is published to the other workers after each change.
// The dispatcher drops replies by session.replyMode after the handler has run. All but PING and ECHO is cold.
import { Flag, Scope, Tier } from "../../protocol/command-row.ts";
import {
  clientAttribute,
  Errors,
  helloOption,
  noSuchUser,
  unknownClientType,
  unrecognizedOption,
  wrongArity,
} from "../../protocol/errors.ts";
import { parseInteger } from "../types/integer.ts";
import type { Call, Row } from "./call.ts";
import { readDatabase, replyHelp } from "./keyspace.ts";
import type { ClientView } from "./server.ts";
import { ReplyMode } from "./session.ts";

/** What HELLO and INFO say of the contract, as clients compare it. */
export const CONTRACT_VERSION = "7.4.0";

/** PING [message] */
function ping(call: Call): void {
  const { reply } = call;
  if (call.argc > 2) return reply.error(wrongArity("ping"));
  if (call.argc === 1) return reply.simple("PONG");
  reply.bulk(call.input, call.start[1]!, call.length[1]!);
}

/** ECHO message */
function echo(call: Call): void {
  call.reply.bulk(call.input, call.start[1]!, call.length[1]!);
}

/** HELLO [protover [AUTH username password] [SETNAME clientname]] */
function hello(call: Call): void {
  const { reply, session, server } = call;
  let version = session.resp3 ? 3 : 2;
  if (call.argc > 1) {
    version = integerAt(call, 1);
    if (!Number.isFinite(version)) return reply.error(Errors.protocolNotInteger);
    if (version !== 2 && version !== 3) return reply.error(Errors.noProtocol);
  }
  for (let i = 2; i < call.argc; i++) {
    if (call.is(i, "auth") && i + 2 < call.argc) {
      if (!isDefaultUser(call, i + 1)) return reply.error(Errors.wrongPassword);
      i += 2;
    } else if (call.is(i, "setname") && i + 1 < call.argc) {
      const name = call.text(++i);
      if (!isPrintable(name)) return reply.error(Errors.clientName);
      session.name = name;
    } else return reply.error(helloOption(call.text(i)));
  }
  session.resp3 = version === 3;
  reply.resp3 = session.resp3;
  server.publish(session);
  reply.map(7);
  reply.text("server");
  reply.text("redis");
  reply.text("version");
  reply.text(CONTRACT_VERSION);
  reply.text("proto");
  reply.integer(version);
  reply.text("id");
  reply.integer(session.id);
  reply.text("mode");
  reply.text("standalone");
  reply.text("role");
  reply.text("master");
  reply.text("modules");
  reply.array(0);
}

/** AUTH [username] password */
function auth(call: Call): void {
  const { reply } = call;
  if (call.argc > 3) return reply.error(Errors.syntax);
  if (call.argc === 2) return reply.error(Errors.authWithoutPassword);
  if (!isDefaultUser(call, 1)) return reply.error(Errors.wrongPassword);
  reply.ok();
}

/** Whether argument `i` names the only user, which takes any password. Names of users are told apart by case. */
function isDefaultUser(call: Call, i: number): boolean {
  return call.text(i) === "default";
}

/** SELECT index */
function select(call: Call): void {
  const { session } = call;
  const db = readDatabase(call, 1);
  if (db < 0) return;
  session.db = db;
  call.server.publish(session);
  call.reply.ok();
}

/** RESET */
function reset(call: Call): void {
  const { session, reply } = call;
  session.reset();
  reply.resp3 = false;
  call.server.publish(session);
  reply.simple("RESET");
}

/** QUIT, whatever follows it */
function quit(call: Call): void {
  call.reply.ok();
  call.session.closing = true;
}

/** Whether each byte is one of `!` to `~`: what names and their like may hold. */
function isPrintable(text: string): boolean {
  return /^[!-~]*$/.test(text);
}

/** Argument `i` as a number, NaN when it is no int64, infinite beyond 2^53. */
function integerAt(call: Call, i: number): number {
  return parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
}

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
    clients = type === "normal" ? call.server.clients() : [];
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

/** The class of clients that argument `i` names, "" when an error was replied. All of ours are normal. */
function readType(call: Call, i: number): string {
  if (call.is(i, "normal")) return "normal";
  if (call.is(i, "slave") || call.is(i, "replica")) return "replica";
  if (call.is(i, "pubsub")) return "pubsub";
  if (call.is(i, "master")) return "master";
  call.reply.error(unknownClientType(call.text(i)));
  return "";
}

/** A connection as CLIENT LIST and CLIENT INFO print it. */
function clientLine(client: ClientView, nowMs: number): string {
  const unix = client.address.startsWith("/") ? "U" : "";
  const flags = `${unix}${client.noEvict ? "e" : ""}${client.noTouch ? "T" : ""}` || "N";
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
    ["sub", 0],
    ["psub", 0],
    ["ssub", 0],
    ["multi", -1],
    ["watch", 0],
    ["qbuf", client.queryBytes],
    ["qbuf-free", client.queryFreeBytes],
    ["argv-mem", 0],
    ["multi-mem", 0],
    ["rbs", 0],
    ["rbp", 0],
    ["obl", 0],
    ["oll", 0],
    ["omem", client.outputBytes],
    ["tot-mem", client.queryBytes + client.queryFreeBytes + client.outputBytes],
    ["events", "r"],
    ["cmd", client.lastCommand],
    ["user", "default"],
    ["redir", -1],
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
      filters.push(() => type === "normal");
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

const clientHelp = [
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
  "REPLY (ON|OFF|SKIP)",
  "    Control the replies sent to the current connection.",
  "SETNAME <name>",
  "    Assign the name <name> to the current connection.",
  "SETINFO <option> <value>",
  "    Set client meta attr. Options are:",
  "    * LIB-NAME: the client lib name.",
  "    * LIB-VER: the client lib version.",
  "NO-EVICT (ON|OFF)",
  "    Protect current client connection from eviction.",
  "NO-TOUCH (ON|OFF)",
  "    Will not touch LRU/LFU stats when this mode is on.",
];

const common = { keys: [], scope: Scope.None, tier: Tier.Connection, group: "connection" } as const;

const early = Flag.NoScript | Flag.Loading | Flag.Stale | Flag.Fast | Flag.NoAuth | Flag.AllowBusy;

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
];

export const connectionCommands: readonly Row[] = [
  {
    ...common,
    name: "ping",
    arity: -1,
    flags: Flag.Fast,
    acl: ["fast", "connection"],
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Answers PONG, or the message given.",
    syntax: "[message]",
    handler: ping,
  },
  {
    ...common,
    name: "echo",
    arity: 2,
    flags: Flag.Loading | Flag.Stale | Flag.Fast,
    acl: ["fast", "connection"],
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Returns its argument.",
    syntax: "message",
    handler: echo,
  },
  {
    ...common,
    name: "hello",
    arity: -1,
    flags: early,
    acl: ["fast", "connection"],
    since: "6.0.0",
    complexity: "O(1)",
    summary: "Greets the server and chooses the protocol.",
    syntax: "[protover [AUTH username password] [SETNAME clientname]]",
    handler: hello,
  },
  {
    ...common,
    name: "auth",
    arity: -2,
    flags: early,
    acl: ["fast", "connection"],
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Logs the connection in.",
    syntax: "[username] password",
    handler: auth,
  },
  {
    ...common,
    name: "select",
    arity: 2,
    flags: Flag.Loading | Flag.Stale | Flag.Fast,
    acl: ["fast", "connection"],
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Chooses the database of this connection.",
    syntax: "index",
    handler: select,
  },
  {
    ...common,
    name: "reset",
    arity: 1,
    flags: early,
    acl: ["fast", "connection"],
    since: "6.2.0",
    complexity: "O(1)",
    summary: "Puts the connection back as it was when it opened.",
    syntax: "",
    handler: reset,
  },
  {
    ...common,
    name: "quit",
    arity: -1,
    flags: early,
    acl: ["fast", "connection"],
    since: "1.0.0",
    complexity: "O(1)",
    summary: "Closes the connection after its replies.",
    syntax: "",
    handler: quit,
  },
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
];
