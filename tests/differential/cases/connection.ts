// Connections: PING, ECHO, HELLO, AUTH, RESET, QUIT and CLIENT.

import { type Case, type Command, golden, lines, type ProgramServer, stream } from "../harness.ts";
import { clientLines } from "../normalise.ts";
import { parseReply, textOf } from "../resp.ts";

const handshake: Case[] = [
  stream(
    "PING and ECHO",
    "PING",
    "PING hello",
    "ping",
    "PiNg x",
    ["PING", ""],
    "PING a b",
    "ECHO a",
    ["ECHO", ""],
    "ECHO",
    "ECHO a b",
    ["ECHO", "\x00\r\n\xff"],
    ["PING", "\r\n"],
  ),
  stream(
    "HELLO switches the protocol both ways",
    "HELLO",
    "HELLO 2",
    "GET none",
    "HELLO 3",
    "GET none",
    "HELLO",
    "CONFIG GET nosuch",
    "HELLO 2",
    "CONFIG GET nosuch",
    "hello 3",
  ),
  stream(
    "HELLO with bad versions",
    ...["1", "4", "0", "-1", "x", "3.0", "", "02", "9223372036854775808"].flatMap((version): Command[] => [
      ["HELLO", version],
      ["GET", "none"],
    ]),
  ),
  stream(
    "HELLO options",
    "HELLO 3 SETNAME me",
    "CLIENT GETNAME",
    "HELLO 2 setname other",
    "CLIENT GETNAME",
    ["HELLO", "3", "SETNAME", "a b"],
    "CLIENT GETNAME",
    "HELLO 3 SETNAME",
    "HELLO 3 nosuch",
    "HELLO 3 nosuch x",
    "HELLO 3 AUTH default",
    "HELLO 3 AUTH",
    "HELLO 3 AUTH default x",
    "HELLO 3 AUTH nouser x",
    "HELLO 3 AUTH default x SETNAME again",
    "CLIENT GETNAME",
    "HELLO 3 SETNAME x AUTH nouser y",
    "CLIENT GETNAME",
    "HELLO SETNAME x",
    "HELLO AUTH default x",
    "HELLO 4 SETNAME y",
    ["HELLO", "2", ""],
    ["HELLO", "2", "SETNAME", ""],
    "CLIENT GETNAME",
  ),
  stream(
    "AUTH without a password set",
    "AUTH x",
    "AUTH default x",
    "AUTH default y",
    "AUTH nouser x",
    "AUTH a b c",
    ["AUTH", ""],
    ["AUTH", "", ""],
    "PING",
  ),
  stream(
    "RESET",
    "SELECT 3",
    "CLIENT SETNAME me",
    "SET k v",
    "RESET",
    "CLIENT GETNAME",
    "GET k",
    "SELECT 3",
    "GET k",
    "RESET",
    "GET none",
    "reset",
    "RESET now",
    "HELLO 3",
    "RESET",
    "GET none",
  ),
  { ...stream("RESET ends CLIENT REPLY OFF", "CLIENT REPLY OFF", "PING", "RESET", "PING"), pipelined: true },
  { ...stream("QUIT", "PING", "QUIT", "PING"), pipelined: true },
  { ...stream("QUIT ignores its arguments and its letters", "quit now please", "PING"), pipelined: true },
  { ...stream("QUIT alone", "QUIT"), end: "close" },
];

const names: Case[] = [
  stream(
    "CLIENT SETNAME and GETNAME",
    "CLIENT GETNAME",
    "CLIENT SETNAME me",
    "CLIENT GETNAME",
    "client setname Other",
    "CLIENT getname",
    ["CLIENT", "SETNAME", ""],
    "CLIENT GETNAME",
    ...[
      "a b",
      "a\nb",
      "a\r",
      "\x00",
      "\x7f",
      "\xff",
      "~",
      "!",
      " ",
      "a\tb",
      "x".repeat(300),
      "caf\xc3\xa9",
    ].flatMap((name): Command[] => [
      ["CLIENT", "SETNAME", name],
      ["CLIENT", "GETNAME"],
    ]),
  ),
  {
    ...stream(
      "CLIENT SETINFO",
      "CLIENT SETINFO lib-name me",
      "CLIENT INFO",
      "CLIENT SETINFO LIB-VER 1.2.3",
      "CLIENT INFO",
      "CLIENT SETINFO nosuch x",
      "CLIENT SETINFO lib-name",
      "CLIENT SETINFO",
      "CLIENT SETINFO lib-name a b",
      ...["", "a b", "a\nb", "\x7f", "\xff", "~!"].flatMap((name): Command[] => [
        ["CLIENT", "SETINFO", "lib-name", name],
        ["CLIENT", "SETINFO", "lib-ver", name],
        ["CLIENT", "INFO"],
      ]),
    ),
    oracle: "8",
  },
  {
    ...golden(
      "CLIENT SETINFO refuses NUL",
      "8.0 stops at the NUL and accepts; names are printable bytes only, as 7.0 has it for SETNAME",
      {
        0: "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n",
        1: "-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n",
      },
      ["CLIENT", "SETINFO", "lib-name", "\x00"],
      ["CLIENT", "SETINFO", "lib-ver", "\x00x"],
    ),
    oracle: "8",
  },
  {
    ...stream("CLIENT SETINFO survives RESET", "CLIENT SETINFO lib-name me", "RESET", "CLIENT INFO"),
    oracle: "8",
  },
  {
    ...stream(
      "CLIENT NO-TOUCH",
      "CLIENT NO-TOUCH on",
      "CLIENT INFO",
      "CLIENT NO-TOUCH OFF",
      "CLIENT INFO",
      "CLIENT NO-TOUCH nosuch",
      "CLIENT NO-TOUCH",
      "CLIENT NO-TOUCH on off",
      ["CLIENT", "NO-TOUCH", ""],
      "client no-touch ON",
      "RESET",
      "CLIENT INFO",
    ),
    oracle: "8",
  },
  {
    ...stream(
      "CLIENT NO-TOUCH and TOUCH",
      "SET a v",
      "CLIENT NO-TOUCH ON",
      "GET a",
      "TOUCH a",
      "OBJECT IDLETIME a",
      "GET a",
    ),
    oracle: "8",
  },
  stream(
    "CLIENT NO-EVICT",
    "CLIENT NO-EVICT ON",
    "CLIENT INFO",
    "CLIENT NO-EVICT off",
    "CLIENT INFO",
    "CLIENT NO-EVICT nosuch",
    "CLIENT NO-EVICT",
    "CLIENT NO-EVICT on off",
  ),
  { ...stream("RESET clears NO-EVICT", "CLIENT NO-EVICT ON", "RESET", "CLIENT INFO"), oracle: "8" },
  stream(
    "CLIENT with unknown subcommands",
    "CLIENT",
    "CLIENT nosuch",
    "CLIENT nosuch a b",
    "CLIENT SETNAMEX a",
    ["CLIENT", ""],
    ["CLIENT", "a\r\nb"],
    "CLIENT CAPA x",
    "CLIENT IMPORT-SOURCE on",
  ),
  stream("CLIENT HELP", "CLIENT HELP", "client help", "CLIENT HELP x"),
  stream("CLIENT INFO", "CLIENT INFO", "SELECT 7", "CLIENT SETNAME me", "CLIENT INFO", "CLIENT INFO x"),
  stream("CLIENT ID", "CLIENT ID", "CLIENT ID x", "client id"),
];

const replyModes: Case[] = [
  {
    ...stream(
      "CLIENT REPLY OFF and ON",
      "PING",
      "CLIENT REPLY OFF",
      "PING",
      "SET a 1",
      "CLIENT REPLY ON",
      "GET a",
    ),
    pipelined: true,
  },
  {
    ...stream(
      "CLIENT REPLY SKIP",
      "CLIENT REPLY SKIP",
      "PING",
      "PING one",
      "CLIENT REPLY SKIP",
      "SET a 1",
      "GET a",
    ),
    pipelined: true,
  },
  {
    ...stream(
      "CLIENT REPLY SKIP twice, and SKIP in OFF",
      "CLIENT REPLY SKIP",
      "CLIENT REPLY SKIP",
      "PING one",
      "PING two",
      "CLIENT REPLY OFF",
      "CLIENT REPLY SKIP",
      "PING three",
      "PING four",
      "CLIENT REPLY ON",
      "PING five",
    ),
    pipelined: true,
  },
  {
    ...stream(
      "CLIENT REPLY SKIP then an error",
      "CLIENT REPLY SKIP",
      "nosuch",
      "PING one",
      "CLIENT REPLY SKIP",
      "GET",
      "PING two",
      "CLIENT REPLY SKIP",
      "CLIENT REPLY ON",
      "PING three",
    ),
    pipelined: true,
  },
  {
    ...stream(
      "CLIENT REPLY OFF hides errors",
      "CLIENT REPLY OFF",
      "nosuch",
      "GET",
      "CLIENT REPLY nosuch",
      "CLIENT REPLY",
      "CLIENT REPLY ON",
    ),
    pipelined: true,
  },
  {
    ...stream(
      "RESET that CLIENT REPLY SKIP silenced",
      "CLIENT REPLY SKIP",
      "RESET",
      "PING one",
      "CLIENT REPLY SKIP",
      "HELLO 3",
      "PING two",
    ),
    pipelined: true,
  },
  {
    name: "a protocol error after CLIENT REPLY OFF closes without a word",
    raw: ["PING\r\nCLIENT REPLY OFF\r\n*x\r\n"],
    end: "close",
  },
  stream(
    "CLIENT REPLY with bad arguments",
    "CLIENT REPLY nosuch",
    "CLIENT REPLY",
    "CLIENT REPLY ON OFF",
    "CLIENT REPLY on",
    ["CLIENT", "REPLY", ""],
  ),
  {
    ...stream("HELLO in CLIENT REPLY OFF", "CLIENT REPLY OFF", "HELLO 3", "CLIENT REPLY ON", "GET none"),
    pipelined: true,
  },
  { ...stream("QUIT in CLIENT REPLY OFF", "CLIENT REPLY OFF", "QUIT"), pipelined: true, end: "eof" },
];

/** The id of a connection. */
async function idOf(server: ProgramServer, on: string): Promise<string> {
  const [reply] = await server.ask(on, ["CLIENT", "ID"]);
  return parseReply(reply).text;
}

/** A field of CLIENT INFO. */
async function fieldOf(server: ProgramServer, on: string, field: string): Promise<string> {
  const [reply] = await server.ask(on, ["CLIENT", "INFO"]);
  return parseReply(reply).text.match(new RegExp(`(?:^| )${field}=([^ \n]*)`))?.[1] ?? "";
}

/** Names in the lines of a CLIENT LIST reply, sorted; an error as it is. */
function namesIn(reply: Uint8Array): string {
  const { text, kind } = parseReply(reply);
  if (kind === "-") return textOf(reply);
  return [...text.matchAll(/ name=([^ ]*)/g)]
    .map((match) => match[1])
    .sort()
    .join(" ");
}

const said = (replies: Uint8Array[]): string[] => replies.map(textOf);

async function three(server: ProgramServer): Promise<void> {
  for (const name of ["one", "two", "three"]) await server.ask(name, ["CLIENT", "SETNAME", name]);
}

const lists: Case[] = [
  {
    ...stream("CLIENT LIST of oneself", "CLIENT SETNAME me", "CLIENT LIST", "client list"),
    alone: true,
    normalise: { 1: clientLines, 2: clientLines },
  },
  {
    ...stream(
      "CLIENT LIST with filters",
      "CLIENT LIST TYPE normal",
      "CLIENT LIST TYPE replica",
      "CLIENT LIST TYPE slave",
      "CLIENT LIST TYPE master",
      "CLIENT LIST TYPE pubsub",
      "CLIENT LIST TYPE nosuch",
      "CLIENT LIST ID 999999",
      "CLIENT LIST ID 999998 999999",
      "CLIENT LIST ID 999999 TYPE normal",
      "CLIENT LIST type NORMAL",
    ),
    alone: true,
  },
  stream(
    "CLIENT LIST with bad filters",
    "CLIENT LIST nosuch",
    "CLIENT LIST TYPE",
    "CLIENT LIST ID",
    "CLIENT LIST ID x",
    "CLIENT LIST ID 0",
    "CLIENT LIST ID -1",
    "CLIENT LIST ID 999999 x",
    "CLIENT LIST TYPE nosuch",
    "CLIENT LIST nosuch x",
  ),
  {
    name: "CLIENT LIST ID names connections",
    program: async (server) => {
      await three(server);
      const ids = await Promise.all(["one", "two", "three"].map((on) => idOf(server, on)));
      const [all, two, dup] = await server.ask(
        "one",
        ["CLIENT", "LIST", "ID", ...ids],
        ["CLIENT", "LIST", "ID", ids[1]],
        ["CLIENT", "LIST", "ID", ids[0], ids[0], "999999"],
      );
      return [
        namesIn(all),
        namesIn(two),
        namesIn(dup),
        String(new Set(ids).size),
        String(Number(ids[0]) < Number(ids[1]) && Number(ids[1]) < Number(ids[2])),
      ];
    },
  },
  {
    name: "CLIENT LIST shows what each connection does",
    alone: true,
    program: async (server) => {
      await three(server);
      await server.ask("two", ["SELECT", "9"]);
      await server.ask("three", ["HELLO", "2"], ["GET", "x"]);
      const [all] = await server.ask("one", ["CLIENT", "LIST"]);
      return parseReply(all)
        .text.split("\n")
        .filter((line) => / name=(one|two|three) /.test(line))
        .map((line) => [...line.matchAll(/ (?:name|flags|db|cmd|user|resp|sub|psub|multi)=[^ ]*/g)].join(" "))
        .sort();
    },
  },
];

const kills: Case[] = [
  stream(
    "CLIENT KILL with bad arguments",
    "CLIENT KILL",
    "CLIENT KILL 1.2.3.4:5",
    "CLIENT KILL nosuch",
    "CLIENT KILL ID",
    "CLIENT KILL ID x",
    "CLIENT KILL ID 0",
    "CLIENT KILL ID -1",
    "CLIENT KILL ID 999999",
    "CLIENT KILL TYPE nosuch",
    "CLIENT KILL USER nosuch",
    "CLIENT KILL SKIPME maybe",
    "CLIENT KILL nosuch x",
    "CLIENT KILL ID 999999 TYPE",
    "CLIENT KILL ADDR 1.2.3.4:5",
    "CLIENT KILL LADDR 1.2.3.4:5",
    "CLIENT KILL TYPE replica",
    "CLIENT KILL TYPE pubsub",
    "CLIENT KILL TYPE master",
    "CLIENT KILL ID 1.0",
    "CLIENT KILL ID 999999 SKIPME no",
    "CLIENT KILL ADDR 1.2.3.4:5 ID 999999 TYPE normal USER default SKIPME yes",
    ["CLIENT", "KILL", ""],
  ),
  {
    ...stream(
      "CLIENT KILL MAXAGE with bad arguments",
      "CLIENT KILL MAXAGE x",
      "CLIENT KILL MAXAGE 999999",
      "CLIENT KILL MAXAGE -1",
      "CLIENT KILL MAXAGE 0",
    ),
    oracle: "8",
  },
  {
    name: "CLIENT KILL ID of another",
    program: async (server) => {
      await three(server);
      const id = await idOf(server, "two");
      return [
        ...said(await server.ask("one", ["CLIENT", "KILL", "ID", id], ["CLIENT", "KILL", "ID", id])),
        String(await server.closed("two")),
        ...said(await server.ask("three", ["PING"])),
      ];
    },
  },
  {
    name: "CLIENT KILL of oneself by ID, with and without SKIPME",
    program: async (server) => {
      const id = await idOf(server, "one");
      const lines = said(
        await server.ask(
          "one",
          ["CLIENT", "KILL", "ID", id],
          ["CLIENT", "KILL", "ID", id, "SKIPME", "yes"],
          ["CLIENT", "KILL", "ID", id, "SKIPME", "no"],
        ),
      );
      return [...lines, String(await server.closed("one"))];
    },
  },
  {
    name: "CLIENT KILL addr, the old form",
    program: async (server) => {
      await three(server);
      const addr = await fieldOf(server, "two", "addr");
      const own = await fieldOf(server, "one", "addr");
      const first = said(await server.ask("one", ["CLIENT", "KILL", addr], ["CLIENT", "KILL", addr]));
      const second = said(await server.ask("one", ["CLIENT", "KILL", own]));
      return [...first, String(await server.closed("two")), ...second, String(await server.closed("one"))];
    },
  },
  {
    name: "CLIENT KILL ADDR and a pair of filters",
    program: async (server) => {
      await three(server);
      const addr = await fieldOf(server, "two", "addr");
      const id = await idOf(server, "three");
      const replies = said(
        await server.ask(
          "one",
          ["CLIENT", "KILL", "ADDR", addr, "ID", id],
          ["CLIENT", "KILL", "addr", addr, "type", "normal"],
          ["CLIENT", "KILL", "ID", id, "USER", "default"],
        ),
      );
      return [...replies, String(await server.closed("two")), String(await server.closed("three"))];
    },
  },
  {
    name: "CLIENT KILL LADDR that is not ours closes nobody",
    program: async (server) => {
      await three(server);
      return said(
        await server.ask(
          "one",
          ["CLIENT", "KILL", "LADDR", "127.0.0.1:1"],
          ["CLIENT", "KILL", "USER", "nosuch"],
          ["PING"],
        ),
      );
    },
  },
  {
    name: "a killed connection's pipeline stops",
    program: async (server) => {
      const id = await idOf(server, "one");
      const replies = said(
        await server.ask(
          "one",
          ["SET", "a", "1"],
          ["CLIENT", "KILL", "ID", id, "SKIPME", "no"],
          ["SET", "a", "2"],
        ),
      );
      return [...replies, ...said(await server.ask("two", ["GET", "a"]))];
    },
  },
  {
    name: "many connections, each answered",
    steps: [
      ...Array.from({ length: 40 }, (_, i) => ({
        on: `c${i}`,
        commands: lines(`CLIENT SETNAME c${i}`, `SELECT ${i % 16}`, `SET k v${i}`),
      })),
      ...Array.from({ length: 40 }, (_, i) => ({
        on: `c${i}`,
        commands: lines("CLIENT GETNAME", "GET k", "INCR n"),
      })),
    ],
  },
];

export const connectionCases: Case[] = [...handshake, ...names, ...replyModes, ...lists, ...kills];
