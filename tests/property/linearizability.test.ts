// linearizability.test.ts: what eight clients did to sixteen keys of a server with four workers has an order that explains
// every answer: no read is stale, no count is lost, no transaction is seen in part, and none sees another's.
//
// Twelve strings in three groups, and four hashes whose two fields are always written together, which readers must find
// alike (they are read without a lock). Transactions, MGET and MSET take two keys of a group, which lie in any shards; WATCH
// makes a write that happens only where nothing came between. One command or transaction at a time a client; a
// transaction is called when its EXEC is sent, and its commands come in one write or one by one.
// The checker is checked first: against every order of small histories, and on servers of the test's own that err.
//
// IRONCACHE_LINEARIZABILITY=<seeds> is the long form: so many histories of 200,000 operations instead of one of 20,000.
// Neighbours: tests/support/linearizability.ts judges. On Redis itself: see tests/support/redis-as-ironcache.sh.
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { ReplyDecoder } from "../../protocol/reply-decoder.ts";
import {
  ABSENT,
  judge,
  Kind,
  type Operation,
  partsOf,
  type Step,
  verdict,
} from "../support/linearizability.ts";
import { textOf } from "../support/pipeline.ts";
import { anySeed, seeded } from "../support/random.ts";
import { command, PATIENCE_MS, type RawSocket } from "../support/raw-socket.ts";
import { infoField, killLeftovers, Server } from "../support/server.ts";

const LONG = process.env.IRONCACHE_LINEARIZABILITY;
const SEEDS = Number(LONG ?? 1);
const OPERATIONS = LONG === undefined ? 20_000 : 200_000;
const CLIENTS = 8;
const WORKERS = 4;

setDefaultTimeout(120_000);
afterAll(killLeftovers);

// The checker

const read = (register: number, value: number): Step => ({ kind: Kind.Read, register, value });
const write = (register: number, value: number): Step => ({ kind: Kind.Write, register, value });
const count = (register: number, value: number): Step => ({ kind: Kind.Count, register, value });
const remove = (register: number, value: number): Step => ({ kind: Kind.Remove, register, value });
const operation = (client: number, called: number, answered: number, ...steps: Step[]): Operation => ({
  client,
  called,
  answered,
  steps,
});

/** What a step answers, and what it leaves: the plain meaning of a register, a second time. */
function perform(values: number[], { kind, register, value }: Step): number {
  const there = values[register]!;
  if (kind === Kind.Write) values[register] = value;
  if (kind === Kind.Count) values[register] = there < 0 ? 1 : there + 1;
  if (kind === Kind.Remove) values[register] = ABSENT;
  if (kind === Kind.Remove) return there < 0 ? 0 : 1;
  return kind === Kind.Read ? there : values[register]!;
}

/** Whether there is an order: all of them tried. */
function anyOrder(operations: readonly Operation[], values: readonly number[]): boolean {
  if (operations.length === 0) return true;
  return operations.some((first) => {
    if (operations.some((other) => other.answered < first.called)) return false;
    const after = [...values];
    if (first.steps.some((step) => perform(after, step) !== step.value)) return false;
    return anyOrder(
      operations.filter((other) => other !== first),
      after,
    );
  });
}

type Flaw = "none" | "stale" | "lost" | "torn" | "late";

/** A history of `clients` clients at a server of the test's own, which errs now and then in the way that `flaw` says. */
function simulate(
  chance: () => number,
  flaw: Flaw,
  clients: number,
  registers: number,
  length: number,
): Operation[] {
  const below = (bound: number): number => Math.floor(chance() * bound);
  const values = new Array<number>(registers).fill(ABSENT);
  const before = [...values];
  const history: Operation[] = [];
  const active: ({
    called: number;
    todo: Step[];
    done: Step[];
    err: boolean;
    seen: number[] | null;
  } | null)[] = new Array(clients).fill(null);
  let moment = 0;
  let unique = 0;
  const anyStep = (): Step => {
    const register = below(registers);
    const kind = below(8);
    if (kind < 3) return read(register, 0);
    return kind < 5 ? write(register, ++unique * 1000) : kind < 7 ? count(register, 0) : remove(register, 0);
  };
  // What has taken effect is answered in the end, so that nothing is missing.
  while (history.length < length || active.some((now) => now !== null)) {
    const client = below(clients);
    const now = active[client]!;
    moment++;
    if (now === null) {
      if (history.length >= length) continue;
      const todo = Array.from({ length: below(4) === 0 ? 3 : 1 }, anyStep);
      active[client] = { called: moment, todo, done: [], err: below(20) === 0, seen: null };
    } else if (now.todo.length > 0) {
      const { todo, done } = now;
      const [first] = todo;
      const erring = now.err && flaw !== "none";
      if (erring && flaw === "lost" && first!.kind === Kind.Count && now.seen === null) {
        now.seen = [...values]; // counts up what it saw a while ago
        continue;
      }
      const turn = erring && flaw === "torn" ? 1 : todo.length;
      for (const step of todo.splice(0, turn)) {
        const old = values[step.register]!;
        if (erring && flaw === "stale" && step.kind === Kind.Read) {
          done.push({ ...step, value: before[step.register]! });
          continue;
        }
        if (now.seen !== null && step.kind === Kind.Count) values[step.register] = now.seen[step.register]!;
        const value = perform(values, step);
        if (values[step.register] !== old) before[step.register] = old;
        done.push({ ...step, value });
      }
      // Answered before what it writes takes effect.
      if (erring && flaw === "late" && done[0]!.kind === Kind.Write) {
        values[done[0]!.register] = before[done[0]!.register]!;
        history.push({ client, called: now.called, answered: moment, steps: done });
        active[client] = null;
      }
    } else {
      history.push({ client, called: now.called, answered: moment, steps: now.done });
      active[client] = null;
    }
  }
  return history;
}

describe("linearizability: the checker", () => {
  test("accepts what overlaps and refuses what does not", () => {
    const slow = operation(0, 1, 10, write(0, 5));
    const good = [slow, operation(1, 2, 3, read(0, ABSENT)), operation(1, 4, 5, read(0, 5))];
    expect(judge(good, 1)).toBeNull();
    // New, then old again.
    const back = [slow, operation(1, 2, 3, read(0, 5)), operation(1, 4, 5, read(0, ABSENT))];
    expect(judge(back, 1)?.operation).toEqual(back[2]!);
    // Old after the write was answered.
    const stale = [operation(0, 1, 2, write(0, 5)), operation(1, 3, 4, read(0, ABSENT))];
    expect(verdict(stale, 1)).toContain("[3, 4] client 1: read r0 -> nothing");
    const counts = (...answers: number[]) =>
      answers.map((answer, client) => operation(client, 1 + client, 20 + client, count(0, answer)));
    expect(judge(counts(3, 1, 2, 4), 1)).toBeNull();
    expect(judge(counts(1, 2, 2, 3), 1)).not.toBeNull();
    // A transaction seen in part.
    const both = operation(0, 1, 10, write(0, 7), write(1, 7));
    expect(judge([both, operation(1, 2, 3, read(0, 7), read(1, 7))], 2)).toBeNull();
    expect(judge([both, operation(1, 2, 3, read(0, 7), read(1, ABSENT))], 2)).not.toBeNull();
    expect(
      judge([both, operation(1, 2, 3, read(0, 7)), operation(1, 4, 5, read(1, ABSENT))], 2),
    ).not.toBeNull();
    // Two transactions that each saw the state before the other.
    const skew = [
      operation(0, 1, 10, read(0, ABSENT), write(1, 1)),
      operation(1, 2, 9, read(1, ABSENT), write(0, 2)),
    ];
    expect(judge(skew, 2)).not.toBeNull();
    expect(judge([operation(0, 1, 2, remove(0, 1))], 1)).not.toBeNull();
  });

  test("cuts a history where no operation joins the registers, and names them as they were", () => {
    const history = [
      operation(0, 1, 2, write(3, 8), write(1, 9)),
      operation(0, 3, 4, write(0, 4)),
      operation(0, 5, 6, read(2, 4)),
    ];
    expect(partsOf(history, 4).map(({ registers }) => registers)).toEqual([[0], [1, 3], [2]]);
    expect(verdict(history.slice(0, 2), 4)).toBe("");
    expect(verdict(history, 4)).toContain("read r2 -> 4");
  });

  test("agrees with the trial of every order, on small histories of right and of any answers", () => {
    const seed = anySeed();
    const chance = seeded(seed);
    let accepted = 0;
    for (let round = 0; round < 3000; round++) {
      const history = simulate(chance, "none", 4, 2, 7);
      if (round % 2 === 1) {
        const victim = history[Math.floor(chance() * history.length)]!;
        const steps = victim.steps.map((step) => ({
          ...step,
          value: [ABSENT, 0, 1, 2, 1000, 2000, 1001][Math.floor(chance() * 7)]!,
        }));
        history[history.indexOf(victim)] = { ...victim, steps };
      }
      const expected = anyOrder(history, [ABSENT, ABSENT]);
      if (expected) accepted++;
      if ((judge(history, 2) === null) !== expected)
        throw new Error(`seed ${seed}: the orders say ${expected} of ${JSON.stringify(history)}`);
      expect(verdict(history, 2) === "").toBe(expected);
    }
    expect(accepted).toBeGreaterThan(1500);
    expect(accepted).toBeLessThan(2800);
  });

  test.each(["none", "stale", "lost", "torn", "late"] as const)(
    "a long history of a server whose flaw is: %s",
    (flaw) => {
      const seed = anySeed();
      const history = simulate(seeded(seed), flaw, CLIENTS, 6, 5000);
      const found = verdict(history, 6);
      expect([seed, found === ""]).toEqual([seed, flaw === "none"]);
    },
  );
});

// The server

/** Registers 0 to 11 are strings, in groups of four that transactions keep to; 12 to 15 are hashes. */
const STRINGS = 12;
const REGISTERS = 16;
const GROUP = 4;

type Words = readonly string[];
type Answer = ReturnType<typeof textOf>;
/** What a client does until its next choice: yields what it sends at once, is given the answers. */
type Script = Generator<readonly Words[], void, readonly Answer[]>;

interface Counts {
  transactions: number;
  aborted: number;
}

class Player {
  private readonly decoder = new ReplyDecoder();
  private answers: Answer[] = [];
  private awaited = 0;
  script: Script | null = null;
  called = 0;

  constructor(
    readonly socket: RawSocket,
    readonly number: number,
  ) {}

  send(commands: readonly Words[]): void {
    this.awaited = commands.length;
    this.answers = [];
    const bytes = Buffer.from(commands.map((words) => command(...words)).join(""), "latin1");
    if (this.socket.offer(bytes) !== bytes.length) throw new Error("the socket takes no more");
  }

  /** All answers to what was sent last, null until they are there. */
  receive(): readonly Answer[] | null {
    if (this.socket.pump() > 0)
      for (const reply of this.decoder.decode(this.socket.take())) this.answers.push(textOf(reply));
    else if (this.socket.ended !== "") throw new Error(`the connection ended: ${this.socket.ended}`);
    return this.answers.length < this.awaited ? null : this.answers;
  }
}

const numberOf = (answer: Answer): number => {
  if (answer === null) return ABSENT;
  if (typeof answer !== "string" || !/^\d+$/.test(answer))
    throw new Error(`no number: ${JSON.stringify(answer)}`);
  return Number(answer);
};

/** Has the clients do `length` operations and returns what they saw. Throws when an answer is impossible by itself. */
async function record(
  sockets: readonly RawSocket[],
  chance: () => number,
  length: number,
  prefix: string,
  counts: Counts,
): Promise<Operation[]> {
  const below = (bound: number): number => Math.floor(chance() * bound);
  const history: Operation[] = [];
  let moment = 0;
  let unique = 0;
  const fresh = (): number => ++unique * 1000;
  const keyOf = (register: number): string => `${prefix}:${register}`;
  const players = sockets.map((socket, number) => new Player(socket, number));
  const done = (player: Player, ...steps: Step[]): void => {
    history.push({ client: player.number, called: player.called, answered: moment, steps });
  };

  /** One command on a string, and what its answer says. */
  const onString = (register: number): [Words, (answer: Answer) => Step[]] => {
    const key = keyOf(register);
    const kind = below(16);
    if (kind < 6) return [["GET", key], (answer) => [read(register, numberOf(answer))]];
    const value = fresh();
    if (kind < 9) return [["SET", key, `${value}`], () => [write(register, value)]];
    if (kind < 10)
      return [
        ["SET", key, `${value}`, "GET"],
        (answer) => [read(register, numberOf(answer)), write(register, value)],
      ];
    if (kind < 14) return [["INCR", key], (answer) => [count(register, numberOf(answer))]];
    return [["DEL", key], (answer) => [remove(register, numberOf(answer))]];
  };

  function* single(player: Player): Script {
    const [words, steps] = onString(below(STRINGS));
    const [answer] = yield [words];
    done(player, ...steps(answer!));
  }

  function* onHash(player: Player): Script {
    const register = STRINGS + below(REGISTERS - STRINGS);
    const key = keyOf(register);
    const kind = below(8);
    if (kind < 2) {
      const value = fresh();
      yield [["HSET", key, "one", `${value}`, "two", `${value}`]];
      done(player, write(register, value));
    } else if (kind === 2) {
      const [answer] = yield [["DEL", key]];
      done(player, remove(register, numberOf(answer!)));
    } else if (kind < 5) {
      const [answer] = yield [["HGET", key, kind === 3 ? "one" : "two"]];
      done(player, read(register, numberOf(answer!)));
    } else {
      const all = kind === 5;
      const [answer] = yield [all ? ["HGETALL", key] : ["HMGET", key, "one", "two"]];
      const values = (answer as (string | null)[]).filter((_, i) => !all || i % 2 === 1);
      if (values[0] !== values[1]) throw new Error(`one of ${values} is of another time`);
      done(player, read(register, numberOf(values[0] ?? null)));
    }
  }

  /** Two registers of one group. */
  const two = (): [number, number] => {
    const group = below(STRINGS / GROUP) * GROUP;
    const first = below(GROUP);
    return [group + first, group + ((first + 1 + below(GROUP - 1)) % GROUP)];
  };

  function* several(player: Player): Script {
    const [a, b] = two();
    if (below(2) === 0) {
      const [answer] = yield [["MGET", keyOf(a), keyOf(b)]];
      const [atA, atB] = answer as (string | null)[];
      done(player, read(a, numberOf(atA!)), read(b, numberOf(atB!)));
      return;
    }
    const values = [fresh(), fresh()] as const;
    yield [["MSET", keyOf(a), `${values[0]}`, keyOf(b), `${values[1]}`]];
    done(player, write(a, values[0]), write(b, values[1]));
  }

  function* transaction(player: Player): Script {
    const [a, b] = two();
    const parts = Array.from({ length: 2 + below(3) }, (_, i) =>
      onString(i === 0 ? a : i === 1 ? b : below(2) === 0 ? a : b),
    );
    const queued = [["MULTI"], ...parts.map(([words]) => words)];
    let answers: readonly Answer[];
    if (below(2) === 0) answers = yield [...queued, ["EXEC"]];
    else {
      for (const words of queued) yield [words];
      answers = yield [["EXEC"]];
    }
    const results = answers.at(-1)!;
    if (!Array.isArray(results) || results.length !== parts.length)
      throw new Error(`EXEC answered ${JSON.stringify(answers)}`);
    counts.transactions++;
    done(player, ...parts.flatMap(([, steps], i) => steps(results[i]!)));
  }

  /** A write that happens only where nothing came between. */
  function* watched(player: Player): Script {
    const [a, b] = two();
    yield [["WATCH", keyOf(a), keyOf(b)]];
    const [first] = yield [["GET", keyOf(a)]];
    const seenA = numberOf(first!);
    done(player, read(a, seenA));
    const [second] = yield [["GET", keyOf(b)]];
    const seenB = numberOf(second!);
    done(player, read(b, seenB));
    const value = fresh();
    yield [["MULTI"], ["SET", keyOf(a), `${value}`], ["INCR", keyOf(b)]];
    const [results] = yield [["EXEC"]];
    if (results === null) {
      counts.aborted++;
      return;
    }
    counts.transactions++;
    const counted = numberOf((results as string[])[1]!);
    done(player, read(a, seenA), read(b, seenB), write(a, value), count(b, counted));
  }

  const choose = (player: Player): Script => {
    const kind = below(20);
    if (kind < 10) return single(player);
    if (kind < 13) return onHash(player);
    if (kind < 15) return several(player);
    return kind < 19 ? transaction(player) : watched(player);
  };

  let progress = performance.now();
  for (let turn = 0; ; turn++) {
    // What has come is looked at before anything is sent: so an answer seems later than it was by as little as can be.
    const answered = players.map((player) => (player.script === null ? null : player.receive()));
    let moved = false;
    for (const [i, player] of players.entries()) {
      const answers = answered[i]!;
      if (answers === null) continue;
      moved = true;
      moment++;
      const step = player.script!.next(answers);
      if (step.done === true) player.script = null;
      else {
        player.called = ++moment;
        player.send(step.value);
      }
    }
    for (const player of players) {
      if (player.script !== null || history.length >= length || below(4) === 0) continue;
      moved = true;
      player.script = choose(player);
      const first = player.script.next([]);
      player.called = ++moment;
      if (first.done !== true) player.send(first.value);
    }
    if (history.length >= length && players.every(({ script }) => script === null)) return history;
    if (moved) progress = performance.now();
    else if (performance.now() - progress > PATIENCE_MS) throw new Error("an operation has no answer");
    if (turn % 256 === 0) await Bun.sleep(0);
  }
}

/** The history with one read answered by a value that had been overwritten before: at a read somewhere in its middle. */
function withStaleRead(history: readonly Operation[]): Operation[] {
  const ordered = [...history].sort((a, b) => a.called - b.called);
  const writtenTo = ({ steps }: Operation): Step | undefined =>
    steps.length === 1 && steps[0]!.kind === Kind.Write ? steps[0] : undefined;
  for (const late of ordered.slice(ordered.length >> 1)) {
    const [step] = late.steps;
    if (late.steps.length !== 1 || step!.kind !== Kind.Read) continue;
    const writes = ordered.filter(
      (one) => writtenTo(one)?.register === step!.register && one.answered < late.called,
    );
    const second = writes.at(-1);
    const first = writes.findLast((one) => second !== undefined && one.answered < second.called);
    if (first === undefined) continue;
    const stale = { ...late, steps: [read(step!.register, writtenTo(first)!.value)] };
    return ordered.map((one) => (one === late ? stale : one));
  }
  throw new Error("no read to falsify");
}

describe("linearizability: the server", () => {
  test(
    `${SEEDS} histories of ${OPERATIONS} operations, ${CLIENTS} clients, ${WORKERS} workers`,
    async () => {
      const server = await Server.start({ workers: WORKERS });
      const sockets = Array.from({ length: CLIENTS }, () => server.connect());
      const base = anySeed();
      const counts: Counts = { transactions: 0, aborted: 0 };
      for (let seed = base; seed < base + SEEDS; seed++) {
        const again = `IRONCACHE_SEED=${seed}`;
        try {
          const began = performance.now();
          const history = await record(sockets, seeded(seed), OPERATIONS, `lin${seed % 97}`, counts);
          const recorded = performance.now();
          const found = verdict(history, REGISTERS);
          const judged = performance.now();
          console.log(
            `linearizability: ${again}, ${history.length} operations in ${(recorded - began).toFixed(0)} ms, ` +
              `judged in ${(judged - recorded).toFixed(0)} ms`,
          );
          if (found !== "") throw new Error(found);
          expect(verdict(withStaleRead(history), REGISTERS)).toContain("no order explains");
          expect(await sockets[0]!.ask("FLUSHALL")).toBe("+OK");
        } catch (error) {
          throw new Error(`${again}: ${(error as Error).message}`, { cause: error });
        }
      }
      const told = async (field: string) => await infoField(sockets[0]!, "ironcache", field).catch(() => "?");
      console.log(
        `linearizability: ${counts.transactions} transactions, ${counts.aborted} aborted, ` +
          `${await told("seqlock_retries")} reads repeated, ${await told("lock_waits")} waits for a lock`,
      );
      expect(counts.transactions).toBeGreaterThan((SEEDS * OPERATIONS) / 10);
      expect(counts.aborted).toBeGreaterThan(0);
      for (const socket of sockets) socket.close();
      expect(await server.stop()).toBe(0);
      expect(server.log).not.toContain("failed inside");
    },
    60_000 + SEEDS * OPERATIONS,
  );
});
