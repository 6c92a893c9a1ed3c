// exchange.ts: a worker of the exchange without a network: its exchange and inbox, commands through the engine's handlers,
// and connections that write down what they are pushed. Several share one plan, in one thread or many.
import { pubsubCommands } from "../../engine/commands/pubsub.ts";
import { Reply } from "../../engine/commands/reply.ts";
import { Session } from "../../engine/commands/session.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Client } from "../../engine/worker/client.ts";
import { Exchange, type ExchangePlan } from "../../engine/worker/exchange.ts";
import { Mail, type MailPlan, Message } from "../../engine/worker/inbox.ts";
import { Pushes } from "../../engine/worker/pushes.ts";
import { Engine } from "./engine.ts";

export interface DeskPlan {
  readonly exchange: ExchangePlan;
  readonly mail: MailPlan;
}

export function deskPlan(workers: number, segmentBytes: number): DeskPlan {
  const wakeFds = Array.from({ length: workers }, () => -1);
  return { exchange: Exchange.create(workers, segmentBytes), mail: Mail.create(workers, wakeFds) };
}

/** A push as text: Latin-1, from its first byte on. */
type Hear = (client: Client, push: string) => void;

class Heard extends Pushes {
  constructor(private readonly hear: Hear) {
    super(new Reply(need(Region.private(4096), "no replies"), 4096));
  }

  override push(client: Client, region: Region, start: number, bytes: number): void {
    this.hear(client, Buffer.from(region.u8.slice(start, start + bytes)).toString("latin1"));
  }

  override pushAll(
    client: Client,
    region: Region,
    starts: Int32Array,
    lengths: Int32Array,
    count: number,
  ): void {
    for (let i = 0; i < count; i++) this.push(client, region, starts[i]!, lengths[i]!);
  }
}

export class Desk {
  readonly exchange: Exchange;
  private readonly mail: Mail;
  private readonly pushes: Pushes;
  private readonly engine = new Engine(pubsubCommands, 8 << 20, 1 << 20);
  private lastId = 0;

  constructor(
    plan: DeskPlan,
    readonly number: number,
    hear: Hear,
  ) {
    this.mail = Mail.attach(plan.mail, number);
    this.pushes = new Heard(hear);
    this.exchange = new Exchange(plan.exchange, number, this.mail, this.pushes);
    const { call } = this.engine;
    Object.assign(call.hub, { pubsub: this.exchange });
    Object.assign(call.server, { publish: () => {} });
  }

  connect(): Client {
    return new Client(-1, new Session(++this.lastId * 1000 + this.number, 0, "", "", 0));
  }

  /** What a command of a connection is answered. */
  run(client: Client, ...args: readonly string[]): string {
    this.pushes.current = client;
    this.engine.call.session = client.session;
    const reply = this.engine.run(...args);
    this.pushes.current = null;
    return reply;
  }

  /** Delivers what has come; how many messages it was. */
  drain(): number {
    const { mail } = this;
    let taken = 0;
    for (;;) {
      if (mail.atEnd && this.exchange.holds) this.exchange.settle();
      if (!mail.take()) break;
      if (mail.kind !== Message.Published) throw new Error(`message of kind ${mail.kind}`);
      this.exchange.deliver(mail.a, mail.b, mail.region, mail.start, mail.bytes);
      taken++;
    }
    if (mail.takeLost() > 0) throw new Error("messages were lost");
    return taken;
  }
}
