// Scenarios: steps over several connections to one server, some of them blocked or receiving what they did not ask for.
// What each connection receives is kept byte for byte and in order, to be compared with what another server sent.
//
// The order of steps is the order of events, so no step begins before the server is through with the one before:
// - A connection that must be blocked now (`blocks`) is asked for on the control connection until CLIENT LIST says so.
// - Where pushes can come (somebody subscribes, tracks or monitors), each connection that may speak is sent a PING with a
//   word of its own after every step. What comes before its answer was sent because of the step; the answer is left out.
// - Else, and inside MULTI, replies are counted: one a command.
// - A blocked connection is read when a step says that it is answered (`wakes`, `answers`). Had anything come before, it
//   would stand in the wrong place of that connection's bytes. Who is blocked at the end must still be.
//
// Addresses and ids are each server's own: "{id:c}" and "{addr:c}" in a command are those of connection `c`, and what
// MONITOR, CLIENT ID, GETREDIR and TRACKINGINFO say of a known one is kept as its name. Lines of MONITOR have no time, and
// none is kept of what the harness itself sent. All connections are opened before the first step, by first mention.
//
// Neighbours: harness.ts plays a scenario on each server and compares; resp.ts reads replies.

import type { Command, Connection } from "./harness.ts";
import {
  type Bytes,
  bytesOf,
  encodeRequest,
  MalformedReply,
  parseReply,
  show,
  showCommand,
  textOf,
} from "./resp.ts";

/** One turn: who sends what, and what the others get because of it. */
export interface Step {
  /** Who sends, all at once. A step without it waits, or drops. */
  on?: string;
  commands?: readonly Command[];
  /** Before anything else. */
  waitMs?: number;
  /** We close these; the step goes on when the server has noticed. */
  drops?: readonly string[];
  /** Blocked when the step ends. */
  blocks?: readonly string[];
  /** Blocked until now: now they get answers to all they have sent. */
  wakes?: readonly string[];
  /** Not free to speak before or afterwards (blocked, or the case's `unmarked`): that many answers in between. */
  answers?: Readonly<Record<string, number>>;
  /** Closed by the server after this step. */
  closes?: readonly string[];
}

/** What a connection received: an answer, or a push. */
export interface Heard {
  bytes: Bytes;
  /** What it answers; empty for a push. */
  command: Command;
  place: string;
}

export interface Played {
  /** By connection; the last of each says how it ended. */
  heard: Heard[];
  /** Why the scenario could not go on, or "". */
  stuck: string;
}

/** What a scenario needs of the server it runs on. */
export interface Stage {
  open(): Promise<Connection>;
  /** A reply on the control connection. */
  ask(...command: string[]): Promise<Bytes>;
}

/** A step from commands written as text split at spaces. */
export function on(name: string, ...commands: (string | Command)[]): Step {
  return {
    on: name,
    commands: commands.map((words) => (typeof words === "string" ? words.split(" ") : words)),
  };
}

/** A step after which the sender is blocked. */
export function blocks(name: string, ...commands: (string | Command)[]): Step {
  return { ...on(name, ...commands), blocks: [name] };
}

/** The step, and who is answered because of it: names with spaces between. */
export function wakes(names: string, step: Step): Step {
  return { ...step, wakes: names.split(" ") };
}

/** Whether these commands can make anybody a receiver of what was not asked for. */
export function receives(commands: readonly Command[]): boolean {
  return commands.some((command) => {
    const [name, second] = words(command);
    return subscribing.test(name) || name === "monitor" || (name === "client" && second === "tracking");
  });
}

const subscribing = /^[ps]?(un)?subscribe$/;

function words(command: Command): [string, string] {
  const [first = "", second = ""] = command.map((word) => (typeof word === "string" ? word : textOf(word)));
  return [first.toLowerCase(), second.toLowerCase()];
}

/** A reply that nobody asked for: a push of RESP3, its form in RESP2, a line of MONITOR. */
function isPush(reply: Bytes): boolean {
  if (reply[0] === 62) return true; // ">"
  const text = textOf(reply.subarray(0, 64));
  return /^\*[34]\r\n\$\d+\r\n([ps]?message|[ps]?(un)?subscribe)\r\n/.test(text) || monitored.test(text);
}

const monitored = /^\+[0-9]+\.[0-9]+ \[[0-9]+ (\S+)\]/;

class Stuck extends Error {}

/** A connection of the scenario. */
class Party {
  readonly heard: Heard[] = [];
  readonly pending: Command[] = [];
  blocked = false;
  multi = false;
  gone = false;
  id = "";

  constructor(
    readonly name: string,
    readonly connection: Connection,
  ) {}

  send(commands: readonly Command[]): void {
    for (const command of commands) {
      const [name] = words(command);
      if (name === "multi") this.multi = true;
      if (name === "exec" || name === "discard" || name === "reset") this.multi = false;
    }
    this.pending.push(...commands);
    this.connection.send(Buffer.concat(commands.map((command) => encodeRequest(command))));
  }

  /** The command that a reply answers. Those that confirm by pushes have none, unless they were refused or queued. */
  answered(reply: Bytes): Command {
    const queued = textOf(reply) === "+QUEUED\r\n";
    while (this.pending.length > 0) {
      const command = this.pending.shift()!;
      if (reply[0] === 45 || queued || !subscribing.test(words(command)[0])) return command; // "-"
    }
    return [];
  }
}

let marks = 0;

/** Plays the steps. Nothing is compared here. */
export async function playScenario(
  steps: readonly Step[],
  stage: Stage,
  unmarked: readonly string[],
  patienceMs = 10_000,
): Promise<Played> {
  const parties = new Map<string, Party>();
  const marking = receives(steps.flatMap((step) => step.commands ?? []));
  const played: Played = { heard: [], stuck: "" };
  let place = "";

  const party = (name: string): Party => parties.get(name) ?? fail(`nobody is called ${name}`);
  const fail = (why: string): never => {
    throw new Stuck(`${place}: ${why}`);
  };

  /** Keeps a reply of that connection; whether it is an answer. */
  const keep = (to: Party, reply: Bytes): boolean => {
    const push = isPush(reply);
    const command = push ? [] : to.answered(reply);
    const bytes = named(reply, command, parties);
    if (bytes !== null) to.heard.push({ bytes, command, place: `${place}, on ${to.name}` });
    return !push;
  };

  const next = async (from: Party, for_: string): Promise<Bytes> => {
    const reply = await from.connection.reply(patienceMs);
    if (reply === "timeout") return fail(`${from.name} gets no ${for_}`);
    if (reply === "closed") return fail(`${from.name} is closed and gets no ${for_}`);
    return reply;
  };

  /** Reads one answer, and the pushes before it. */
  const readAnswer = async (from: Party): Promise<void> => {
    while (!keep(from, await next(from, `answer to ${showCommand(from.pending[0] ?? [])}`)));
  };

  const mark = (to: Party): string => {
    const word = `quiet:${++marks}`;
    to.connection.send(encodeRequest(["PING", word]));
    return word;
  };

  /** Reads up to the answer to a mark. */
  const readToMark = async (from: Party, word: string): Promise<void> => {
    const bulk = `$${word.length}\r\n${word}\r\n`;
    for (;;) {
      const reply = await next(from, `answer to ${showCommand(from.pending[0] ?? ["PING"])}`);
      const text = textOf(reply);
      if (text === bulk || text === `*2\r\n$4\r\npong\r\n${bulk}`) break;
      keep(from, reply);
    }
    from.pending.length = 0;
  };

  const markable = (one: Party): boolean =>
    !one.blocked && !one.multi && !one.gone && !unmarked.includes(one.name);

  /** Reads all that these connections were sent, and where pushes can come, that every other one was. */
  const settle = async (answering: readonly Party[]): Promise<void> => {
    for (const one of answering)
      if (marking && markable(one)) await readToMark(one, mark(one));
      else if (!unmarked.includes(one.name)) while (one.pending.length > 0) await readAnswer(one);
    if (marking) await quieten([...parties.values()].filter((one) => !answering.includes(one)));
  };

  const quieten = async (who: readonly Party[]): Promise<void> => {
    const marked = who.filter(markable).map((one) => [one, mark(one)] as const);
    for (const [one, word] of marked) await readToMark(one, word);
  };

  /** Asks for a connection's line in CLIENT LIST until it is as it should be. */
  const awaitLine = async (one: Party, right: (line: string) => boolean, what: string): Promise<void> => {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const list = textOf(await stage.ask("CLIENT", "LIST", "ID", one.id));
      if (right(list.includes("addr=") ? list : "")) return;
      if (performance.now() > deadline) fail(`${one.name} is not ${what}`);
      await Bun.sleep(1);
    }
  };

  const take = async (step: Step): Promise<void> => {
    if (step.waitMs !== undefined) await Bun.sleep(step.waitMs);
    for (const name of step.drops ?? []) {
      const one = party(name);
      one.connection.close();
      one.gone = true;
      await awaitLine(one, (line) => line === "", "gone");
    }
    const answering: Party[] = [];
    if (step.on !== undefined) {
      const sender = party(step.on);
      sender.send((step.commands ?? []).map((command) => filledIn(command, party)));
      if (!sender.blocked) answering.push(sender);
    }
    for (const name of step.wakes ?? []) {
      const one = party(name);
      one.blocked = false;
      answering.push(one);
    }
    const apart = [...(step.blocks ?? []), ...(step.closes ?? [])];
    const now = new Set(answering.filter((one) => !apart.includes(one.name)));
    for (const name of step.blocks ?? []) party(name).blocked = true;
    for (const name of step.closes ?? []) party(name).gone = true;
    for (const [name, count] of Object.entries(step.answers ?? {}))
      for (let i = 0; i < count; i++) await readAnswer(party(name));
    for (const name of step.closes ?? []) await readToClose(party(name));
    await settle([...now]);
    for (const name of step.blocks ?? [])
      await awaitLine(party(name), (line) => / flags=\S*b/.test(line), "blocked");
  };

  const readToClose = async (one: Party): Promise<void> => {
    for (;;) {
      const reply = await one.connection.reply(patienceMs);
      if (reply === "closed") return;
      if (reply === "timeout") return fail(`${one.name} is not closed`);
      keep(one, reply);
    }
  };

  try {
    for (const name of mentioned(steps)) parties.set(name, new Party(name, await stage.open()));
    for (const one of parties.values()) {
      one.connection.send(encodeRequest(["CLIENT", "ID"]));
      one.id = parseReply(await next(one, "id")).text;
    }
    for (const [i, step] of steps.entries()) {
      const said = (step.commands ?? []).map((command) => showCommand(command)).join("; ");
      place = `step ${i + 1}${said === "" ? "" : ` (${step.on}: ${show(said, 120)})`}`;
      await take(step);
    }
    place = "the end";
    await quieten([...parties.values()]);
    for (const one of parties.values())
      if (one.blocked && !one.gone && !unmarked.includes(one.name))
        await awaitLine(one, (line) => / flags=\S*b/.test(line), "blocked any more");
  } catch (error) {
    if (!(error instanceof Stuck || error instanceof MalformedReply)) throw error;
    played.stuck = error.message;
  } finally {
    for (const one of parties.values()) one.connection.close();
  }
  for (const one of parties.values()) {
    for (
      let left = await one.connection.reply(0);
      typeof left !== "string";
      left = await one.connection.reply(0)
    )
      keep(one, left);
    const end = one.gone ? "gone" : one.blocked ? "blocked" : one.connection.closed ? "closed" : "open";
    played.heard.push(...one.heard, {
      bytes: bytesOf(`(${one.name}: ${end}, left "${textOf(one.connection.rest())}")`),
      command: [],
      place: "the end",
    });
  }
  return played;
}

/** Names of connections, by first mention. */
function mentioned(steps: readonly Step[]): Set<string> {
  const names = new Set<string>();
  for (const step of steps) {
    if (step.on !== undefined) names.add(step.on);
    for (const command of step.commands ?? [])
      for (const word of command)
        if (typeof word === "string") for (const [, name] of word.matchAll(placeholders)) names.add(name!);
  }
  return names;
}

const placeholders = /\{(?:id|addr):(\w+)\}/g;

/** A command with ids and addresses in place of placeholders. */
function filledIn(command: Command, party: (name: string) => Party): Command {
  return command.map((word) =>
    typeof word === "string"
      ? word.replace(placeholders, (whole, name: string) =>
          whole.startsWith("{id") ? party(name).id : party(name).connection.address,
        )
      : word,
  );
}

/** A reply with names for what is this server's own; null for a line of MONITOR that no step caused. */
function named(reply: Bytes, command: Command, parties: ReadonlyMap<string, Party>): Bytes | null {
  const text = textOf(reply);
  const line = monitored.exec(text);
  if (line !== null) {
    const from = [...parties.values()].find((one) => one.connection.address === line[1]);
    if (from === undefined || /\] "PING" "quiet:\d+"\r\n$/.test(text)) return null;
    const plain = text.replace(/^\+\S+/, "+(time)");
    return bytesOf(
      [...parties.values()].reduce((all, one) => all.replaceAll(one.connection.address, one.name), plain),
    );
  }
  const [first, second] = words(command);
  const own = first === "client" && ["id", "getredir", "trackinginfo"].includes(second);
  if (!own && !text.includes("tracking-redir-broken")) return reply;
  return bytesOf(
    text.replace(/:(\d+)\r\n/g, (whole, id: string) => {
      const one = [...parties.values()].find((party) => party.id === id);
      return one === undefined ? whole : `:{id:${one.name}}\r\n`;
    }),
  );
}
