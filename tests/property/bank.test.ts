// bank.test.ts: transactions on a real server of one worker and of four. Money goes between a hundred accounts, which lie in
// all shards, by WATCH, GET, MULTI, SET, EXEC and by MULTI, DECRBY, INCRBY, EXEC, while clients are cut off at any
// byte of what they send. Whoever sums all accounts, by MGET or in a transaction, finds what there was at the beginning.
// Compare-and-set by WATCH loses no update, transactions in opposite orders of keys end, and a client that is gone leaves
// nothing: no lock, no half of a transaction, no connection.
//
// IRONCACHE_BANK=<times> multiplies the work: at 100, a million compare-and-set loops on each number of workers.
// Neighbours: linearizability.test.ts judges single answers. On Redis itself: see tests/support/redis-as-ironcache.sh.
import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Pipeline, textOf } from "../support/pipeline.ts";
import { random } from "../support/random.ts";
import { command, until } from "../support/raw-socket.ts";
import { infoField, killLeftovers, Server } from "../support/server.ts";

const TIMES = Number(process.env.IRONCACHE_BANK ?? 1);
const TRANSFERS = 10_000 * TIMES;
const LOOPS = 10_000 * TIMES;
const ACCOUNTS = 100;
const EACH = 1_000;
const TOTAL = ACCOUNTS * EACH;

setDefaultTimeout(120_000 * TIMES);
afterAll(killLeftovers);

const next = random("bank");
const below = (bound: number): number => Math.floor(next() * bound);
const account = (i: number): string => `account:${i}`;
const accounts = Array.from({ length: ACCOUNTS }, (_, i) => account(i));

type Words = readonly string[];
type Answer = ReturnType<typeof textOf>;

describe.each([1, 4])("bank: %d workers", (workers) => {
  let server: Server;
  /** Connections that the test has open. */
  const open = new Set<Pipeline>();

  beforeEach(async () => {
    server = await Server.start({ workers });
  });

  afterEach(async () => {
    // Nobody is left behind: neither those who were cut off nor anything that waits for them.
    const probe = connect();
    await until(
      "the connections that were cut off to be gone",
      async () => (await infoField(probe.socket, "clients", "connected_clients")) === open.size,
    );
    expect(await infoField(probe.socket, "clients", "blocked_clients")).toBe(0);
    for (const each of open) expect(await each.socket.ask("PING")).toBe("+PONG");
    for (const each of open) each.socket.close();
    open.clear();
    expect(await server.stop()).toBe(0);
    expect(server.log).not.toContain("failed inside");
  });

  function connect(): Pipeline {
    const pipeline = new Pipeline(server.connect());
    open.add(pipeline);
    return pipeline;
  }

  async function ask(client: Pipeline, ...commands: Words[]): Promise<Answer[]> {
    return (await client.run(commands)).map(textOf);
  }

  /** Sends so much of the commands as chance says, and ends the connection one way or the other. */
  function cutOff(client: Pipeline, commands: readonly Words[]): void {
    const bytes = Buffer.from(commands.map((words) => command(...words)).join(""));
    client.socket.offer(below(3) === 0 ? bytes : bytes.subarray(0, below(bytes.length)));
    open.delete(client);
    if (below(2) === 0) client.socket.reset();
    else client.socket.close();
  }

  function sumOf(answer: Answer | undefined): number {
    if (!Array.isArray(answer) || answer.length !== ACCOUNTS) throw new Error(`no balances: ${answer}`);
    return answer.reduce((sum, balance) => sum + Number(balance), 0);
  }

  test("the sum of all accounts is always the same, whoever is cut off", async () => {
    const [first] = await ask(connect(), ["MSET", ...accounts.flatMap((name) => [name, `${EACH}`])]);
    expect(first).toBe("OK");
    let transfers = 0;
    let aborted = 0;
    let cut = 0;
    let sums = 0;
    let ended = false;
    const running = (): boolean => transfers < TRANSFERS;

    /** Reads two balances, then writes both unless one changed meanwhile. */
    const teller = async (): Promise<void> => {
      let client = connect();
      while (running()) {
        // A few accounts are in everybody's way.
        const from = account(below(below(2) === 0 ? 8 : ACCOUNTS));
        const to = account(below(below(2) === 0 ? 8 : ACCOUNTS));
        const doomed = below(25) === 0 ? below(3) : -1;
        const lost = (commands: Words[]): void => {
          cutOff(client, commands);
          cut++;
          client = connect();
        };
        const reads = [
          ["GET", from],
          ["GET", to],
        ];
        if (doomed === 0) {
          lost([["WATCH", from, to], ...reads]);
          continue;
        }
        expect(await ask(client, ["WATCH", from, to])).toEqual(["OK"]);
        const [has, had] = (await ask(client, ...reads)).map(Number);
        const amount = 1 + below(50);
        if (has! < amount || from === to) {
          await ask(client, ["UNWATCH"]);
          transfers++;
          continue;
        }
        const writes = [["MULTI"], ["SET", from, `${has! - amount}`], ["SET", to, `${had! + amount}`]];
        if (doomed === 1) {
          lost(writes);
          continue;
        }
        if (doomed === 2) {
          await ask(client, ...writes);
          lost([["EXEC"]]);
          continue;
        }
        const answers =
          below(2) === 0 ? await ask(client, ...writes, ["EXEC"]) : await inPieces(client, writes);
        const result = answers.at(-1);
        if (result === null) aborted++;
        else expect(result).toEqual(["OK", "OK"]);
        transfers++;
      }
    };

    const inPieces = async (client: Pipeline, commands: Words[]): Promise<Answer[]> => {
      for (const words of commands) await ask(client, words);
      return ask(client, ["EXEC"]);
    };

    /** Many transfers at once, which need not know a balance. */
    const bulk = async (): Promise<void> => {
      let client = connect();
      while (running()) {
        const many = Array.from({ length: 1 + below(8) }, () => {
          const amount = `${1 + below(9)}`;
          const moves = [
            ["DECRBY", account(below(ACCOUNTS)), amount],
            ["INCRBY", account(below(ACCOUNTS)), amount],
          ];
          return [["MULTI"], ...(below(2) === 0 ? moves : moves.reverse()), ["EXEC"]];
        });
        if (below(20) === 0) {
          cutOff(client, many.flat());
          cut++;
          client = connect();
          continue;
        }
        const answers = await ask(client, ...many.flat());
        for (let i = 3; i < answers.length; i += 4) expect(answers[i]).toHaveLength(2);
        transfers += many.length;
      }
    };

    const auditor = async (): Promise<void> => {
      const client = connect();
      const gets = accounts.map((name) => ["GET", name]);
      const shapes: Words[][] = [
        [["MGET", ...accounts]],
        [["MULTI"], ...gets, ["EXEC"]],
        [["MULTI"], ...[...gets].reverse(), ["EXEC"]],
      ];
      while (!ended) {
        const shape = below(4);
        if (shape < 3) expect(sumOf((await ask(client, ...shapes[shape]!)).at(-1))).toBe(TOTAL);
        else {
          const answers = await ask(client, ["MULTI"], ["MGET", ...accounts], ["EXEC"]);
          expect(sumOf((answers.at(-1) as unknown as Answer[])[0])).toBe(TOTAL);
        }
        sums++;
      }
    };

    const tellers = Promise.all([...Array.from({ length: 6 }, teller), bulk(), bulk()]);
    await Promise.all([tellers.finally(() => (ended = true)), auditor(), auditor(), auditor()]);
    console.log(
      `bank: ${workers} workers, ${transfers} transfers, ${aborted} aborted, ${cut} cut off, ${sums} sums`,
    );
    expect(sumOf((await ask(connect(), ["MGET", ...accounts]))[0])).toBe(TOTAL);
    expect(aborted).toBeGreaterThan(0);
    expect(cut).toBeGreaterThan(20);
    expect(sums).toBeGreaterThan(50);
  });

  test("compare-and-set loops by WATCH lose no update", async () => {
    const names = ["left", "right", "other"];
    let updates = 0;
    let aborted = 0;
    const loop = async (): Promise<void> => {
      const client = connect();
      while (updates < LOOPS) {
        updates++;
        for (;;) {
          // left and right change together, other by itself.
          const both = below(2) === 0;
          const keys = both ? (below(2) === 0 ? ["left", "right"] : ["right", "left"]) : ["other"];
          const [watched, seen] = await ask(client, ["WATCH", ...keys], ["MGET", ...keys]);
          expect(watched).toBe("OK");
          if (both) expect(seen![0]).toBe(seen![1]!);
          const sets = keys.map((key, i) => ["SET", key, `${Number(seen![i] ?? 0) + 1}`]);
          const result = (await ask(client, ["MULTI"], ...sets, ["EXEC"])).at(-1);
          if (result !== null) break;
          aborted++;
        }
      }
    };
    await Promise.all(Array.from({ length: 8 }, loop));
    const values = (await ask(connect(), ["MGET", ...names]))[0] as string[];
    console.log(`bank: ${workers} workers, ${updates} updates, ${aborted} aborted: ${values}`);
    expect(values[0]).toBe(values[1]!);
    expect(Number(values[0]) + Number(values[2])).toBe(updates);
    expect(aborted).toBeGreaterThan(0);
  });

  test("transactions that name the same keys in opposite orders end", async () => {
    const all = Array.from({ length: 10 }, connect);
    await Promise.all(
      all.map(async (client, i) => {
        for (let round = 0; round < 40; round++) {
          const chosen = Array.from({ length: 12 }, () => account(below(ACCOUNTS))).sort();
          if (i % 2 === 0) chosen.reverse();
          const work = chosen.map((key) => (below(3) === 0 ? ["GET", key] : ["INCR", key]));
          const other = [["DBSIZE"], ["KEYS", "no*"], ["DEL", ...chosen], ["MGET", ...chosen]][below(4)]!;
          const queued = [...work, other];
          const answers = await ask(client, ["WATCH", ...chosen], ["UNWATCH"], ["MULTI"], ...queued, [
            "EXEC",
          ]);
          expect(answers.at(-1)).toHaveLength(queued.length);
        }
      }),
    );
  });

  test("what was queued by a client that is gone never happens, what it watched binds nobody", async () => {
    const client = connect();
    for (let round = 0; round < 100; round++) {
      const ghost = connect();
      await ask(ghost, ["WATCH", "kept"], ["MULTI"], ["SET", "ghost", `${round}`], ["SET", "kept", "taken"]);
      cutOff(ghost, [["INCR", "ghost"]]);
      const answers = await ask(client, ["WATCH", "kept"], ["MULTI"], ["SET", "kept", `${round}`], ["EXEC"]);
      expect(answers.at(-1)).toEqual(["OK"]);
    }
    expect(await ask(client, ["EXISTS", "ghost"], ["GET", "kept"])).toEqual(["0", "99"]);
  });
});
