// connection.ts: the commands about the connection itself: PING, ECHO, HELLO, AUTH, SELECT, RESET and QUIT.
//
// No password and no users but `default` exist yet: every connection is logged in, AUTH and HELLO AUTH answer what
// Redis does then. What CLIENT LIST shows of a session is published to the other workers after each change.
// The dispatcher drops replies by session.replyMode after the handler has run. All but PING and ECHO is cold.
import { Flag, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors, helloOption, wrongArity } from "../../protocol/errors.ts";
import { parseInteger } from "../types/integer.ts";
import type { Call, Row } from "./call.ts";
import { readDatabase } from "./keyspace.ts";
import { Mode } from "./session.ts";

/** What HELLO and INFO say of the contract, as clients compare it. */
export const CONTRACT_VERSION = "7.4.0";

/** PING [message] */
function ping(call: Call): void {
  const { reply } = call;
  if (call.argc > 2) return reply.error(wrongArity("ping"));
  if (!reply.resp3 && (call.session.mode & Mode.Subscribed) !== 0) {
    // Told from messages by its form.
    reply.array(2);
    reply.text("pong");
    if (call.argc === 1) return reply.text("");
  }
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
export function isDefaultUser(call: Call, i: number): boolean {
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
  call.hub.reset(session);
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
export function isPrintable(text: string): boolean {
  return /^[!-~]*$/.test(text);
}

/** Argument `i` as a number, NaN when it is no int64, infinite beyond 2^53. */
export function integerAt(call: Call, i: number): number {
  return parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
}

const common = { keys: [], scope: Scope.None, tier: Tier.Connection, group: "connection" } as const;

const early = Flag.NoScript | Flag.Loading | Flag.Stale | Flag.Fast | Flag.NoAuth | Flag.AllowBusy;

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
];
