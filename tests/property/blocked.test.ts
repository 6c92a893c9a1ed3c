// blocked.test.ts: many clients that wait for many keys of a real server, of one worker and of four, and are woken at random by
// pushes, ends of time, CLIENT UNBLOCK and their own death. Against a model of what may have happened:
//   each is answered once, and what it was given had been pushed to one of its keys, and was given to nobody else
//   who began to wait for a key earlier is served by it earlier
//   nobody waits for a key that has something
//   nothing pushed is lost but to a client that was cut off while it was being served
// When a client begins to wait is known by generations: one begins when the server counts all of the one before as blocked.
// A key is pushed to by one connection alone, so the order of its elements is known, and when each was pushed within
// the moments at which the command was sent and answered.
//
// IRONCACHE_BLOCKED=<clients> is the long form, with as many keys: 10,000 instead of 500. The CPU time of the server while
// all wait is printed. On Redis itself: see tests/support/redis-as-ironcache.sh.
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { raiseFileLimit } from "../../engine/io/native.ts";
import { ReplyDecoder } from "../../protocol/reply-decoder.ts";
import { Pipeline, textOf } from "../support/pipeline.ts";
import { random } from "../support/random.ts";
import { command, until } from "../support/raw-socket.ts";
import { infoField, killLeftovers, Server } from "../support/server.ts";

const wanted = Number(process.env.IRONCACHE_BLOCKED ?? 500);
const CLIENTS = Math.min(wanted, raiseFileLimit() - 500);
if (CLIENTS < wanted) console.log(`blocked: ${CLIENTS} clients, no more files may be open`);
const KEYS = CLIENTS;
/** Keys from here on are sorted sets, before it lists. */
const FIRST_SORTED = Math.floor(KEYS * 0.7);
const GENERATIONS = 5;
const PUSHERS = 8;
const IDLE_MS = 2_000;

setDefaultTimeout(120_000 + CLIENTS * 60);
afterAll(killLeftovers);

const next = random("blocked");
const below = (bound: number): number => Math.floor(next() * bound);

type Words = readonly string[];
type Answer = string | null | readonly Answer[];

const nameOf = (key: number): string => `key:${key}`;
const keyNamed = (name: Answer | undefined): number => Number(String(name).slice(4));

/** An element, and when it was pushed: within these moments. */
interface Push {
  readonly key: number;
  /** The keys that its transaction pushed to. */
  readonly together: readonly number[];
  readonly sent: number;
  answered: number;
  takers: number;
}

const enum End {
  Waiting = 0,
  Served = 1,
  /** A null or an UNBLOCKED: out of time, or CLIENT UNBLOCK. */
  Released = 2,
  Killed = 3,
}

/** A client that waits once. */
class Waiter {
  private readonly decoder = new ReplyDecoder();
  private readonly answers: Answer[] = [];
  end = End.Waiting;
  keys: readonly number[] = [];
  generation = 0;
  began = 0;
  timeout = 0;
  /** Whether a PING was sent behind the command that waits. */
  private pings = false;
  /** Whether CLIENT UNBLOCK was sent for it, and released it. */
  asked = false;
  unblocked = false;
  given: Push | null = null;
  element = "";
  id = "";
  died = 0;

  constructor(readonly socket: ReturnType<Server["connect"]>) {}

  wait(words: Words, keys: readonly number[], generation: number, timeout: number): void {
    this.keys = keys;
    this.generation = generation;
    this.timeout = timeout;
    this.began = performance.now();
    this.pings = below(4) === 0;
    this.socket.offer(Buffer.from(command(...words) + (this.pings ? command("PING") : "")));
  }

  /** Takes what has come. Throws when it is more than an answer, or none to what was asked. */
  look(pushes: ReadonlyMap<string, Push>): void {
    const { socket, answers } = this;
    if (this.end === End.Killed) return;
    if (socket.pump() === 0) {
      if (socket.ended !== "") throw new Error(`the connection ended: ${socket.ended}`);
      return;
    }
    for (const reply of this.decoder.decode(socket.take())) answers.push(textOf(reply) as Answer);
    if (answers.length > (this.pings ? 2 : 1)) throw new Error(`answered twice: ${JSON.stringify(answers)}`);
    if (answers.length === 2 && answers[1] !== "PONG")
      throw new Error(`not behind: ${JSON.stringify(answers)}`);
    if (this.end !== End.Waiting) return;
    const answer = answers[0]!;
    if (answer === null || (typeof answer === "string" && answer.startsWith("-UNBLOCKED"))) {
      this.end = End.Released;
      const waited = performance.now() - this.began;
      if (!this.asked && (this.timeout === 0 || waited < this.timeout * 1000 - 15))
        throw new Error(`released after ${waited} ms, of ${this.timeout} s`);
      return;
    }
    this.end = End.Served;
    const [name, what] = answer as readonly Answer[];
    // [key, element], [key, [element]], [key, member, score], [key, [[member, score]]]
    let element: Answer = what!;
    while (Array.isArray(element)) element = (element as readonly Answer[])[0]!;
    const push = pushes.get(String(element));
    if (push === undefined || push.key !== keyNamed(name) || !this.keys.includes(push.key))
      throw new Error(`waited for ${this.keys.map(nameOf)}, was given ${JSON.stringify(answer)}`);
    push.takers++;
    this.given = push;
    this.element = String(element);
  }

  kill(moment: number): void {
    this.end = End.Killed;
    this.died = moment;
    if (below(2) === 0) this.socket.reset();
    else this.socket.close();
  }
}

/** A command that waits for these keys, which are of one kind. */
function waitingCommand(keys: readonly number[], timeout: number): Words {
  const names = keys.map(nameOf);
  const count = `${names.length}`;
  if (keys[0]! < FIRST_SORTED) {
    const kind = below(4);
    if (kind < 2) return [kind === 0 ? "BLPOP" : "BRPOP", ...names, `${timeout}`];
    return ["BLMPOP", `${timeout}`, count, ...names, kind === 2 ? "LEFT" : "RIGHT"];
  }
  const kind = below(4);
  if (kind < 2) return [kind === 0 ? "BZPOPMIN" : "BZPOPMAX", ...names, `${timeout}`];
  return ["BZMPOP", `${timeout}`, count, ...names, kind === 2 ? "MIN" : "MAX"];
}

/** Some keys of one kind, the first ones more often, so that many wait for those. */
function someKeys(): number[] {
  const sorted = below(10) < 3;
  const first = sorted ? FIRST_SORTED : 0;
  const many = sorted ? KEYS - FIRST_SORTED : FIRST_SORTED;
  return [...new Set(Array.from({ length: 1 + below(5) }, () => first + Math.floor(many * next() ** 2)))];
}

/** A commentator's view of one run: who waits, what was pushed. */
class Scene {
  moment = 0;
  readonly pushes = new Map<string, Push>();
  readonly waiters: Waiter[] = [];
  private open: readonly Waiter[] = [];
  private elements = 0;
  private readonly pushers: Pipeline[];
  readonly probe: Pipeline;

  constructor(readonly server: Server) {
    this.pushers = Array.from({ length: PUSHERS }, () => new Pipeline(server.connect()));
    this.probe = new Pipeline(server.connect());
  }

  look(): void {
    for (const waiter of this.waiters) waiter.look(this.pushes);
    this.open = this.waiters.filter(({ end }) => end === End.Waiting);
  }

  async blocked(): Promise<number> {
    return infoField(this.probe.socket, "clients", "blocked_clients");
  }

  /** Who waited when they were looked at last. */
  waiting(): readonly Waiter[] {
    return this.open;
  }

  /** Waits until server and test agree on who waits. */
  async settle(): Promise<void> {
    await until(
      "server and clients to agree on who waits",
      async () => {
        const blocked = await this.blocked();
        this.look();
        return blocked === this.waiting().length && blocked === (await this.blocked());
      },
      30_000 + CLIENTS * 10,
    );
  }

  private element(key: number, together: readonly number[]): string {
    const element = `e${++this.elements}`;
    const sent = ++this.moment;
    this.pushes.set(element, { key, together, sent, answered: Number.POSITIVE_INFINITY, takers: 0 });
    return element;
  }

  private adding(key: number, element: string): Words {
    if (key >= FIRST_SORTED) return ["ZADD", nameOf(key), `${below(1000)}`, element];
    return [below(2) === 0 ? "RPUSH" : "LPUSH", nameOf(key), element];
  }

  /** Pushes to keys that have one pusher, in one of several ways, and takes the time. */
  async push(pusher: number, keys: readonly number[]): Promise<void> {
    const client = this.pushers[pusher]!;
    const elements = keys.map((key) => this.element(key, keys));
    const adding = keys.map((key, i) => this.adding(key, elements[i]!));
    let commands: Words[] = adding;
    if (keys.length > 1) commands = [["MULTI"], ...adding, ["EXEC"]];
    else if (keys[0]! < FIRST_SORTED && below(4) === 0) {
      const store = `store:${pusher}`;
      commands = [
        ["RPUSH", store, elements[0]!],
        ["LMOVE", store, nameOf(keys[0]!), "LEFT", "RIGHT"],
      ];
    }
    const answers = (await client.run(commands)).map(textOf) as Answer[];
    if (answers.flat().some((answer) => String(answer).startsWith("-")))
      throw new Error(`a push failed: ${JSON.stringify(answers)}`);
    this.moment++;
    for (const element of elements) this.pushes.get(element)!.answered = this.moment;
  }

  /** Pushes from all pushers at once until `enough`; who still waits is looked at all the time. */
  async pushUntil(enough: () => boolean, meanwhile: () => void = () => {}): Promise<void> {
    let ended = false;
    const work = this.pushers.map(async (_, pusher) => {
      while (!enough()) {
        // A key that somebody still waits for, as far as is known, and now and then any.
        const open = this.waiting();
        const waiter = open[below(open.length)];
        const ownerOf = (key: number): boolean => key % PUSHERS === pusher;
        const candidates = (waiter?.keys ?? []).filter(ownerOf);
        if (below(8) === 0) candidates.push(below(Math.floor(KEYS / PUSHERS)) * PUSHERS + pusher);
        if (candidates.length === 0) await Bun.sleep(0);
        else await this.push(pusher, below(5) === 0 ? candidates : candidates.slice(0, 1));
      }
    });
    const looking = (async () => {
      while (!ended) {
        this.look();
        meanwhile();
        await Bun.sleep(1);
      }
    })();
    await Promise.all([Promise.all(work).finally(() => (ended = true)), looking]);
  }

  /** What lies under the keys. */
  async left(): Promise<Map<number, string[]>> {
    const keys = Array.from({ length: KEYS }, (_, key) => key);
    const answers = await this.probe.run(
      keys.map((key) => [key < FIRST_SORTED ? "LRANGE" : "ZRANGE", nameOf(key), "0", "-1"]),
    );
    return new Map(keys.map((key) => [key, textOf(answers[key]!) as string[]]));
  }

  /** Nobody waits for a key that has something. */
  async checkNobodyForgotten(): Promise<void> {
    await this.settle();
    const left = await this.left();
    for (const { keys, generation } of this.waiting())
      for (const key of keys)
        if (left.get(key)!.length > 0)
          throw new Error(
            `${nameOf(key)} has ${left.get(key)}, and one of generation ${generation} waits for it`,
          );
  }

  /** Who waited longer for a key was served by it, or by another, before: but that who is served for one key of a transaction
   *  is given the first of its own keys that has something, which may be another one of that transaction. */
  checkOrder(): void {
    const byKey = new Map<number, Waiter[]>();
    for (const waiter of this.waiters)
      for (const key of waiter.keys) byKey.set(key, [...(byKey.get(key) ?? []), waiter]);
    for (const waiter of this.waiters) {
      const { given } = waiter;
      if (given === null) continue;
      if (given.together.some((key) => key !== given.key && waiter.keys.includes(key))) continue;
      for (const other of byKey.get(given.key)!) {
        if (other.generation >= waiter.generation || other.end === End.Released || other.end === End.Killed)
          continue;
        if (other.given === null || other.given.sent > given.answered)
          throw new Error(
            `${nameOf(given.key)} served generation ${waiter.generation} with ${waiter.element}, but generation ` +
              `${other.generation} waited for it still, until ${other.element || "now"}`,
          );
      }
    }
  }

  /** Every element is with one client or under its key; those lost were on their way to a client that died. */
  async checkElements(): Promise<number> {
    const left = await this.left();
    for (const [key, elements] of left)
      for (const element of elements) {
        const push = this.pushes.get(element)!;
        expect(push.key).toBe(key);
        push.takers++;
      }
    const missing = new Map<number, number>();
    for (const [element, { key, takers }] of this.pushes) {
      if (takers > 1) throw new Error(`${element} of ${nameOf(key)} was given ${takers} times`);
      if (takers === 0) missing.set(key, (missing.get(key) ?? 0) + 1);
    }
    // Each death excuses one element, of a key the client waited for.
    let lost = 0;
    for (const [key, count] of missing) {
      lost += count;
      const dead = this.waiters.filter(({ end, keys }) => end === End.Killed && keys.includes(key)).length;
      if (count > dead) throw new Error(`${count} elements of ${nameOf(key)} are lost, ${dead} clients died`);
    }
    return lost;
  }

  close(): void {
    for (const { socket, end } of this.waiters) if (end !== End.Killed) socket.close();
    for (const { socket } of [...this.pushers, this.probe]) socket.close();
  }
}

describe.each([1, 4])("blocked: %d workers", (workers) => {
  async function start(): Promise<Server> {
    return Server.start({ workers, args: ["--maxclients", `${CLIENTS + 300}`] });
  }

  async function stop(server: Server): Promise<void> {
    expect(await server.stop()).toBe(0);
    expect(server.log).not.toContain("failed inside");
  }

  test(`${CLIENTS} clients wait for ${KEYS} keys: each is served once, in order, none is forgotten`, async () => {
    const server = await start();
    const scene = new Scene(server);
    const { waiters, probe } = scene;
    for (let i = 0; i < CLIENTS; i++) {
      const waiter = new Waiter(server.connect());
      waiter.id = (await waiter.socket.ask("CLIENT", "ID"))!.slice(1);
      const generation = Math.floor((i * GENERATIONS) / CLIENTS);
      if (generation !== waiters.at(-1)?.generation) await scene.settle();
      const keys = someKeys();
      // Some run out of time while the others are served.
      const timeout = i % 10 === 7 ? 0.5 + (IDLE_MS / 1000 + 1) * next() : 0;
      waiter.wait(waitingCommand(keys, timeout), keys, generation, timeout);
      waiters.push(waiter);
    }
    await scene.settle();

    const cpu = server.cpuSeconds();
    await Bun.sleep(IDLE_MS);
    const share = (server.cpuSeconds() - cpu) / (IDLE_MS / 1000);
    console.log(
      `blocked: ${workers} workers, ${await scene.blocked()} wait, the server uses ${(share * 100).toFixed(1)} % of a core`,
    );
    expect(share).toBeLessThan(0.6);

    // The dead leave every queue: once they are gone nothing is given to them.
    for (const waiter of scene.waiting()) if (below(10) === 0) waiter.kill(++scene.moment);
    await scene.settle();
    const third = scene.waiting().length / 3;
    await scene.pushUntil(() => scene.waiting().length <= 2 * third);
    await scene.checkNobodyForgotten();
    expect(await scene.checkElements()).toBe(0);
    for (const push of scene.pushes.values()) push.takers = 0;
    for (const { given } of waiters) if (given !== null) given.takers++;

    // Deaths and releases in the middle of it.
    const asked: [Waiter, Promise<Answer>][] = [];
    const unblocker = new Pipeline(server.connect());
    let busy: Promise<unknown> = Promise.resolve();
    const release = (waiter: Waiter): void => {
      const words = ["CLIENT", "UNBLOCK", waiter.id, ...(below(2) === 0 ? ["ERROR"] : [])];
      const answer = busy.then(async () => textOf((await unblocker.run([words]))[0]!) as Answer);
      busy = answer;
      waiter.asked = true;
      asked.push([waiter, answer]);
    };
    await scene.pushUntil(
      () => scene.waiting().length <= third,
      () => {
        for (let few = 0; few < 1 + CLIENTS / 500; few++) {
          const open = scene.waiting();
          const waiter = open[below(open.length)];
          if (waiter?.end !== End.Waiting || below(4) > 0) continue;
          if (below(2) === 0) waiter.kill(++scene.moment);
          else release(waiter);
        }
      },
    );
    for (const [waiter, answer] of asked) {
      const told = await answer;
      scene.look();
      waiter.unblocked ||= told === "1";
    }
    await scene.checkNobodyForgotten();
    for (const { unblocked, end, timeout } of waiters) {
      if (unblocked) expect([End.Released, End.Killed]).toContain(end);
      if (end === End.Released && timeout === 0) expect(unblocked).toBe(true);
    }

    await scene.pushUntil(() => scene.waiting().length === 0);
    await scene.settle();
    await Bun.sleep(50);
    scene.look();
    scene.checkOrder();
    const lost = await scene.checkElements();
    const ended = (end: End): number => waiters.filter((waiter) => waiter.end === end).length;
    console.log(
      `blocked: ${workers} workers, ${scene.pushes.size} pushed, ${ended(End.Served)} served, ` +
        `${ended(End.Released)} released, ${ended(End.Killed)} killed, ${lost} lost with them`,
    );
    expect(ended(End.Waiting)).toBe(0);
    expect(ended(End.Released)).toBeGreaterThan(CLIENTS / 50);
    expect(ended(End.Killed)).toBeGreaterThan(CLIENTS / 20);
    expect(ended(End.Served)).toBeGreaterThan(CLIENTS / 3);
    for (const waiter of waiters)
      if (waiter.end !== End.Killed) expect(await waiter.socket.ask("ECHO", waiter.id)).toBe(waiter.id);
    unblocker.socket.close();
    await until(
      "the dead to be gone",
      async () =>
        (await infoField(probe.socket, "clients", "connected_clients")) ===
        CLIENTS - ended(End.Killed) + PUSHERS + 1,
    );
    scene.close();
    await stop(server);
  });

  test("pushes to all its keys, CLIENT UNBLOCK and the end of its time meet: a client is answered once", async () => {
    const server = await start();
    const [probe, ...others] = Array.from({ length: 6 }, () => new Pipeline(server.connect()));
    const clients = Array.from({ length: 24 }, () => new Pipeline(server.connect()));
    const ids: string[] = [];
    for (const { socket } of clients) ids.push((await socket.ask("CLIENT", "ID"))!.slice(1));
    const outcomes = { served: 0, released: 0 };
    for (let round = 0; round < 60; round++) {
      const keysOf = clients.map((_, i) => Array.from({ length: 8 }, (_, k) => `r${round}:${i}:${k}`));
      // A third of them run out of time about now.
      const waiting = clients.map((client, i) => {
        const timeout = i % 3 === 0 ? `${0.02 + below(20) / 1000}` : "0";
        return client.run([["BLPOP", ...keysOf[i]!, timeout]]);
      });
      await until(
        "all to wait",
        async () =>
          (await infoField(probe!.socket, "clients", "blocked_clients")) >= (clients.length * 2) / 3,
      );
      const work: string[][][] = others.map(() => []);
      for (const [i, keys] of keysOf.entries()) {
        for (const key of keys) work[below(others.length)]!.push(["RPUSH", key, `in ${key}`]);
        if (i % 3 === 1) work[below(others.length)]!.push(["CLIENT", "UNBLOCK", ids[i]!]);
      }
      for (const commands of work) commands.sort(() => next() - 0.5);
      const unblocked = new Map<string, Answer>();
      await Promise.all(
        others.map(async (other, i) => {
          if (work[i]!.length === 0) return;
          const answers = await other.run(work[i]!);
          for (const [n, words] of work[i]!.entries())
            if (words[0] === "CLIENT") unblocked.set(words[2]!, textOf(answers[n]!) as Answer);
        }),
      );
      for (const [i, answer] of waiting.entries()) {
        const got = textOf((await answer)[0]!);
        const left = (await probe!.run(keysOf[i]!.map((key) => ["LRANGE", key, "0", "-1"]))).flatMap(textOf);
        if (got === null) {
          outcomes.released++;
          expect(left).toEqual(keysOf[i]!.map((key) => `in ${key}`));
          if (i % 3 === 1) expect(unblocked.get(ids[i]!)).toBe("1");
          expect(i % 3).not.toBe(2);
        } else {
          outcomes.served++;
          const [key, element] = got as string[];
          expect(element).toBe(`in ${key}`);
          expect(left).toEqual(keysOf[i]!.filter((each) => each !== key).map((each) => `in ${each}`));
          if (i % 3 === 1) expect(unblocked.get(ids[i]!)).toBe("0");
        }
      }
    }
    console.log(`blocked: ${workers} workers, ${outcomes.served} served, ${outcomes.released} released`);
    expect(outcomes.served).toBeGreaterThan(400);
    expect(outcomes.released).toBeGreaterThan(20);
    for (const client of [...clients, ...others, probe!]) {
      expect(await client.socket.ask("ECHO", "once")).toBe("once");
      client.socket.close();
    }
    await stop(server);
  });

  test("a push at the moment that a client's time ends: it is given the element, or the element stays", async () => {
    const server = await start();
    const pusher = new Pipeline(server.connect());
    const clients = Array.from({ length: 64 }, () => new Pipeline(server.connect()));
    const timeoutMs = 40;
    const aroundMs = 8;
    let served = 0;
    let released = 0;
    for (let round = 0; round < 30; round++) {
      const keys = clients.map((_, i) => `at:${round}:${i}`);
      const began = performance.now();
      const waiting = clients.map((client, i) => client.run([["BLPOP", keys[i]!, `${timeoutMs / 1000}`]]));
      // One push at a time, spread over the moments before and after the end.
      const order = keys.map((_, i) => i).sort(() => next() - 0.5);
      for (const [n, i] of order.entries()) {
        const at = began + timeoutMs - aroundMs + (n / keys.length) * 2.5 * aroundMs;
        while (performance.now() < at) await Bun.sleep(0);
        pusher.socket.offer(Buffer.from(command("RPUSH", keys[i]!, `in ${keys[i]}`)));
      }
      const answers = (await Promise.all(waiting)).map(([answer]) => textOf(answer!));
      for (const _ of keys) expect(await pusher.socket.reply()).toBe(":1");
      const left = (await pusher.run(keys.map((key) => ["LRANGE", key, "0", "-1"]))).map(textOf);
      for (const [i, answer] of answers.entries()) {
        if (answer === null) released++;
        else served++;
        const element = `in ${keys[i]}`;
        expect([answer, left[i]]).toEqual(answer === null ? [null, [element]] : [[keys[i]!, element], []]);
      }
    }
    console.log(
      `blocked: ${workers} workers, at the end of their time ${served} served, ${released} released`,
    );
    expect(served).toBeGreaterThan(100);
    expect(released).toBeGreaterThan(100);
    for (const client of [...clients, pusher]) {
      expect(await client.socket.ask("ECHO", "once")).toBe("once");
      client.socket.close();
    }
    await stop(server);
  });

  test("moves that wake each other, in a chain over all shards, in a ring and on the spot", async () => {
    const server = await start();
    const probe = new Pipeline(server.connect());
    const links = 100;
    const clients = Array.from({ length: links }, () => new Pipeline(server.connect()));
    const blocked = (count: number) =>
      until(
        `${count} to wait`,
        async () => (await infoField(probe.socket, "clients", "blocked_clients")) === count,
      );
    const move = (from: string, to: string) => ["BLMOVE", from, to, "LEFT", "RIGHT", "0"];
    // They begin to wait in any order.
    for (const [from, to] of [
      [(i: number) => `chain:${i}`, (i: number) => `chain:${i + 1}`],
      [(i: number) => `ring:${i}`, (i: number) => `ring:${(i + 1) % links}`],
      [() => "spot", () => "spot"],
    ] as const) {
      const order = clients.map((_, i) => i).sort(() => next() - 0.5);
      const waiting = order.map((i) => clients[i]!.run([move(from(i), to(i))]));
      await blocked(links);
      expect(await probe.socket.ask("RPUSH", from(0), "token")).toBe(":1");
      for (const each of waiting) expect((await each).map(textOf)).toEqual(["token"]);
      const [answer] = await probe.run([["LRANGE", to(links - 1), "0", "-1"]]);
      expect(textOf(answer!)).toEqual(["token"]);
      expect(await probe.socket.ask("DBSIZE")).toBe(":1");
      expect(await probe.socket.ask("FLUSHALL")).toBe("+OK");
      await blocked(0);
    }
    for (const { socket } of [...clients, probe]) socket.close();
    await stop(server);
  });
});
