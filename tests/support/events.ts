// events.ts: what commands tell of keys, ours against redis-server's: a sequence of commands runs on the engine with a
// sink and on an oracle with a subscriber, and after each command both must have told of the same events in the same order
// and touched the same keys (WATCH).
//
// An event is written `name key`, for a key of another database than 0 `name key@db`; Event.Silent is `touch`. A refused
// command adds `error`. A command may be one of these:
//   @wait ms   time passes
//   @sweep     the server removes what is due (one key: the order of several is nobody's)
// and an argument `@dump` is what the last DUMP of the sequence replied.
// Neighbours: engine.ts; tests/differential/harness.ts starts oracles; tests/commands/events*.test.ts have the sequences.
import { afterAll, expect, test } from "bun:test";
import { allCommands } from "../../engine/commands/index.ts";
import type { Key } from "../../engine/memory/key.ts";
import { Attention, Event, eventName } from "../../engine/shard/events.ts";
import type { Shard } from "../../engine/shard/shard.ts";
import { Connection, findOracle, type Server, startOracle } from "../differential/harness.ts";
import { encodeRequest, parseReply, type Reply, textOf } from "../differential/resp.ts";
import { Engine } from "./engine.ts";

export interface Sequence {
  readonly name: string;
  /** Commands as text split at single spaces, or as their arguments. Keys are words of letters and digits. */
  readonly commands: readonly (string | readonly string[])[];
  /** Events of each command, joined with ", ", where no oracle has the commands or its events are not ours. */
  readonly expect?: readonly string[];
  /** Which oracle knows the commands; "7" when left out. */
  readonly oracle?: "7" | "8";
}

/** What one command did. */
interface Told {
  events: string[];
  readonly touched: string[];
}

function words(command: string | readonly string[]): string[] {
  return typeof command === "string" ? command.split(" ") : [...command];
}

function at(name: string, key: string, db: number): string {
  return `${name === "" ? "" : `${name} `}${key}${db === 0 ? "" : `@${db}`}`;
}

function keyText({ region, start, bytes }: Key): string {
  return Buffer.from(region.u8.slice(start, start + bytes)).toString("latin1");
}

/** The payload in a reply to DUMP. */
function payloadOf(reply: string): string {
  return reply.slice(reply.indexOf("\r\n") + 2, -2);
}

/** The key is gone when these are told. */
const gone = new Set([Event.Del, Event.RenameFrom, Event.MoveFrom]);
/** Of these the record may be in any state. */
const unsettled = new Set([Event.New, Event.Expired, Event.KeyMiss]);

/** The engine, with a sink that writes down what it is told and looks whether that is so. */
class Subject {
  private readonly engine: Engine;
  private told: Told = { events: [], touched: [] };

  constructor(workers: number) {
    this.engine = new Engine(allCommands, 1 << 20, 8 << 20, workers);
    const { keyspace, settings } = this.engine;
    settings.set("databases", "16");
    settings.set("hll-sparse-max-bytes", "3000");
    for (const shard of keyspace.shards) {
      shard.sink = { keyEvent: (...event) => this.hear(...event) };
      shard.lock();
      shard.setAttention(Attention.Notifications, true);
      shard.setAttention(Attention.Misses, true);
      shard.unlock();
    }
  }

  private hear(shard: Shard, event: Event, db: number, key: Key): void {
    const text = keyText(key);
    expect(shard.exclusive).toBe(true);
    expect(this.engine.keyspace.shardOf(key.low)).toBe(shard);
    if (!unsettled.has(event) && gone.has(event)) expect(shard.index.find(db, key)).toBe(0);
    const { events, touched } = this.told;
    events.push(at(event === Event.Silent ? "touch" : eventName(event), text, db));
    const where = at("", text, db);
    if (!unsettled.has(event) && !touched.includes(where)) touched.push(where);
  }

  run(sequence: Sequence): Told[] {
    const { engine } = this;
    const { keyspace, session } = engine;
    keyspace.lockAll();
    for (const shard of keyspace.shards) shard.flushAll();
    keyspace.unlockAll();
    session.db = 0;
    let payload = "";
    return sequence.commands.map((command) => {
      const args = words(command).map((word) => (word === "@dump" ? payload : word));
      this.told = { events: [], touched: [] };
      const name = args[0]!.toLowerCase();
      if (name === "@wait") engine.clock.nowMs += Number(args[1]);
      else if (name === "@sweep") this.sweep();
      else if (name === "select") session.db = Number(args[1]);
      else {
        const reply = engine.run(...args);
        if (reply.startsWith("-")) this.told.events.push("error");
        if (name === "dump") payload = payloadOf(reply);
      }
      this.told.touched.sort();
      return this.told;
    });
  }

  private sweep(): void {
    const { keyspace } = this.engine;
    keyspace.lockAll();
    for (const shard of keyspace.shards) while (shard.expireStep(1000) > 0);
    keyspace.unlockAll();
  }

  check(): void {
    this.engine.keyspace.check();
  }
}

async function ask(connection: Connection, ...command: string[]): Promise<Reply> {
  connection.send(encodeRequest(command));
  return next(connection);
}

async function next(connection: Connection): Promise<Reply> {
  const reply = await connection.reply();
  if (typeof reply === "string") throw new Error(`the oracle: ${reply}`);
  return parseReply(reply);
}

const FENCE = "fence";

/** A connection that tells whether a key was touched while a command ran. */
interface Watcher {
  readonly where: string;
  readonly key: string;
  readonly connection: Connection;
}

/** A real server, a connection that runs commands and one that hears of events. */
class Oracle {
  private constructor(
    private readonly server: Server,
    private readonly runner: Connection,
    private readonly listener: Connection,
  ) {}

  static async start(which: "7" | "8"): Promise<Oracle> {
    const server = await startOracle(which);
    const runner = await Connection.open(server.port);
    const listener = await Connection.open(server.port);
    await server.ask("CONFIG", "SET", "notify-keyspace-events", "EAmn");
    await server.ask("DEBUG", "SET-ACTIVE-EXPIRE", "0");
    await ask(listener, "PSUBSCRIBE", "__keyevent@*");
    await ask(listener, "SUBSCRIBE", FENCE);
    return new Oracle(server, runner, listener);
  }

  async run(sequence: Sequence): Promise<Told[]> {
    const { runner, server } = this;
    await server.ask("FLUSHALL");
    await ask(runner, "SELECT", "0");
    const watchers = await this.watchers(sequence);
    const all: Told[] = [];
    let payload = "";
    for (const command of sequence.commands) {
      const args = words(command).map((word) => (word === "@dump" ? payload : word));
      const name = args[0]!.toLowerCase();
      let refused = false;
      // What merely comes to be due is no event of a command.
      if (name !== "@wait")
        await Promise.all(watchers.map(({ connection, key }) => ask(connection, "WATCH", key)));
      if (name === "@wait") await Bun.sleep(Number(args[1]) + 5);
      else if (name === "@sweep") await this.sweep();
      else {
        runner.send(encodeRequest(args));
        const reply = await runner.reply();
        if (typeof reply === "string") throw new Error(`the oracle: ${reply}`);
        refused = textOf(reply).startsWith("-");
        if (name === "dump") payload = payloadOf(textOf(reply));
      }
      const events = await this.heard();
      if (refused) events.push("error");
      all.push({ events, touched: await touchedOf(watchers) });
    }
    for (const { connection } of watchers) connection.close();
    return all;
  }

  /** One for every word that may be a key, in each database the sequence speaks of. */
  private async watchers(sequence: Sequence): Promise<Watcher[]> {
    const all = sequence.commands.map(words);
    const keys = new Set(
      all.flatMap((args) => args.slice(1)).filter((word) => /^[a-z][a-z0-9:]{0,7}$/.test(word)),
    );
    const several = all.some(([name, , , option]) => /^(select|move)$/i.test(name!) || option === "DB");
    const watchers: Watcher[] = [];
    for (const db of several ? [0, 1] : [0]) {
      for (const key of keys) {
        const connection = await Connection.open(this.server.port);
        await ask(connection, "SELECT", `${db}`);
        watchers.push({ where: at("", key, db), key, connection });
      }
    }
    return watchers;
  }

  private async sweep(): Promise<void> {
    await this.server.ask("DEBUG", "SET-ACTIVE-EXPIRE", "1");
    await Bun.sleep(250);
    await this.server.ask("DEBUG", "SET-ACTIVE-EXPIRE", "0");
  }

  /** Events since the last fence. */
  private async heard(): Promise<string[]> {
    await this.server.ask("PUBLISH", FENCE, "");
    const events: string[] = [];
    for (;;) {
      const { items = [] } = await next(this.listener);
      if (items[0]!.text === "message") return events;
      const channel = /^__keyevent@(\d+)__:(.*)$/.exec(items[2]!.text)!;
      events.push(at(channel[2]!, items[3]!.text, Number(channel[1])));
    }
  }

  stop(): void {
    this.runner.close();
    this.listener.close();
    this.server.stop();
  }
}

/** The keys that were touched since their WATCH, which ends. */
async function touchedOf(watchers: readonly Watcher[]): Promise<string[]> {
  const touched: string[] = [];
  await Promise.all(
    watchers.map(async ({ where, connection }) => {
      await ask(connection, "MULTI");
      if ((await ask(connection, "EXEC")).items === undefined) touched.push(where);
    }),
  );
  return touched.sort();
}

function isWait(command: string | readonly string[]): boolean {
  return words(command)[0] === "@wait";
}

/** One line a command, for people. */
function lines(sequence: Sequence, told: readonly Told[], withTouched: boolean): string[] {
  return sequence.commands.map((command, i) => {
    const { events, touched } = told[i]!;
    const text = words(command).join(" ");
    return `${text}: ${events.join(", ")}${withTouched ? ` | touched ${touched.join(" ")}` : ""}`;
  });
}

/** Makes a test of each sequence, over one shard and over several. */
export function testEvents(family: string, sequences: readonly Sequence[]): void {
  const subjects = [1, 2].map((workers) => new Subject(workers));
  const oracles = new Map<string, Promise<Oracle>>();
  afterAll(async () => {
    for (const oracle of oracles.values()) (await oracle).stop();
    for (const subject of subjects) subject.check();
  });

  for (const sequence of sequences) {
    const { commands, expect: expected, oracle: which = "7" } = sequence;
    const found = findOracle(which);
    const missing = expected === undefined && "missing" in found ? found.missing : null;
    if (missing !== null) console.log(`left out: events, ${family}: ${sequence.name}: ${missing}`);
    test.skipIf(missing !== null)(`events, ${family}: ${sequence.name}`, async () => {
      if (expected !== undefined) {
        expect(expected.length).toBe(commands.length);
        const due = lines(
          sequence,
          expected.map((text) => ({ events: text === "" ? [] : text.split(", "), touched: [] })),
          false,
        );
        for (const subject of subjects) expect(lines(sequence, subject.run(sequence), false)).toEqual(due);
        return;
      }
      const oracle = oracles.get(which) ?? Oracle.start(which);
      oracles.set(which, oracle);
      let due: string[] | null = null;
      // The oracle's time is real: on a busy machine a key may be due before the wait for it.
      let attempts = commands.some(isWait) ? 3 : 1;
      for (const subject of subjects) {
        const told = subject.run(sequence);
        for (const each of told) each.events = each.events.filter((event) => !event.startsWith("touch "));
        const got = lines(sequence, told, true);
        due ??= lines(sequence, await (await oracle).run(sequence), true);
        while (!Bun.deepEquals(got, due) && --attempts > 0)
          due = lines(sequence, await (await oracle).run(sequence), true);
        expect(got).toEqual(due);
      }
    });
  }
}
