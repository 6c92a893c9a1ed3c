// engine.ts: the engine without a network: commands as strings in, replies as Latin-1 text out, with a clock that the
// test moves. One session, and one shard unless more workers are named; then commands run under all locks. The server
// around it knows only its settings and its rows.
import type { Row } from "../../engine/commands/call.ts";
import { Call } from "../../engine/commands/call.ts";
import type { Hub } from "../../engine/commands/hub.ts";
import { Reply } from "../../engine/commands/reply.ts";
import type { Server } from "../../engine/commands/server.ts";
import { Session } from "../../engine/commands/session.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Clock } from "../../engine/shard/clock.ts";
import { Keyspace } from "../../engine/shard/keyspace.ts";
import { unknownCommand, wrongArity } from "../../protocol/errors.ts";

export class Engine {
  readonly clock = new Clock(1_700_000_000_000);
  readonly session: Session;
  readonly keyspace: Keyspace;
  readonly settings = new Map<string, string>([["proto-max-bulk-len", "536870912"]]);
  readonly call: Call;
  private readonly rows: ReadonlyMap<string, Row>;
  private readonly input: Region;
  private readonly output: Region;

  /** Room for `ioBytes` of arguments and of reply; memory of at most 32 segments. */
  constructor(rows: readonly Row[], ioBytes = 8 << 20, segmentBytes = 64 << 20, workers = 1) {
    this.rows = new Map(rows.map((row) => [row.name, row]));
    this.input = need(Region.private(ioBytes), "arguments");
    this.output = need(Region.private(ioBytes), "replies");
    this.keyspace = Keyspace.create(workers, segmentBytes, this.clock);
    this.session = new Session(1, 0, "127.0.0.1:1", "127.0.0.1:2", this.clock.nowMs);
    const server = {
      rows,
      row: (name: string) => this.rows.get(name),
      setting: (name: string) => this.settings.get(name),
      settingNames: () => [...this.settings.keys()],
      debugAllowed: () => true,
    } as unknown as Server; // what handlers of the keyspace ask for
    const hub = {
      flushing: () => {},
      swapping: () => {},
      swapped: () => {},
      block: () => {},
      reachable: (call: Call, i: number) => call.locate(i) !== null,
      serving: false,
    } as unknown as Hub; // nobody watches, waits or is pushed to
    this.call = new Call(this.input, new Reply(this.output, ioBytes), this.keyspace, server, hub);
    this.call.session = this.session;
  }

  /** Runs one command whose arguments are Latin-1 text; the bytes of its reply as Latin-1 text. */
  run(...args: readonly string[]): string {
    const { call, input, keyspace } = this;
    const { reply } = call;
    reply.at = 0;
    reply.overflow = false;
    reply.resp3 = this.session.resp3;
    const row = this.row(args);
    if (row === undefined) reply.error(unknownCommand(args[0]!, args.slice(1)));
    else if (row.arity >= 0 ? args.length !== row.arity : args.length < -row.arity)
      reply.error(wrongArity(row.name));
    else {
      this.lay(args, input);
      call.row = row;
      keyspace.lockAll();
      row.handler!(call);
      keyspace.unlockAll();
    }
    if (reply.overflow) throw new Error("the reply does not fit the test's output region");
    return Buffer.from(this.output.u8.slice(0, reply.at)).toString("latin1");
  }

  private row([name, subcommand = ""]: readonly string[]): Row | undefined {
    const row = this.rows.get(name!.toLowerCase());
    const full = `${row?.name}|${subcommand.toLowerCase()}`;
    return row?.subcommands?.find((each) => each.name === full) ?? row;
  }

  /** Puts the arguments where a parser would have left them. */
  private lay(args: readonly string[], input: Region): void {
    const { call } = this;
    call.argc = args.length;
    if (call.start.length < args.length) {
      call.start = new Int32Array(args.length);
      call.length = new Int32Array(args.length);
    }
    let at = 0;
    for (let i = 0; i < args.length; i++) {
      const bytes = Buffer.from(args[i]!, "latin1");
      input.u8.set(bytes, at);
      call.start[i] = at;
      call.length[i] = bytes.length;
      at += bytes.length + 2;
    }
  }
}
