// Our server against redis-server, reply by reply: every case x protocol, on all cells of the matrix (shards x driver) side
// by side, each a server of its own, against one oracle.
//
//   IRONCACHE_BIN        the executable under test (dist/ironcache)
//   DIFFERENTIAL_MATRIX  cells, "1:uring,4:epoll" (all of {1, 4} x {uring, epoll, bun})
//   DIFFERENTIAL_SUBJECT "redis": redis-server itself is the subject, to check the cases
//   DIFFERENTIAL_SEED    seed of the generated streams (printed at the start)
//   DIFFERENTIAL_STREAMS how many of them per protocol (20)
//   REDIS8_BIN           redis-server 8, for cases that 7.0 is too old for
//
// An oracle that is not installed fails the cases that need it; nothing is skipped.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { atomicCases } from "./cases/atomics.ts";
import { bitmapCases } from "./cases/bitmaps.ts";
import { blockingCases } from "./cases/blocking.ts";
import { clientCases } from "./cases/clients.ts";
import { connectionCases } from "./cases/connection.ts";
import { dumpCases, exchange } from "./cases/dump.ts";
import { expiryCases } from "./cases/expiry.ts";
import { fieldDeadlineCases } from "./cases/field-deadlines.ts";
import { geoCases } from "./cases/geo.ts";
import { hashCases } from "./cases/hashes.ts";
import { hyperloglogCases } from "./cases/hyperloglog.ts";
import { keyspaceCases } from "./cases/keyspace.ts";
import { listCases } from "./cases/lists.ts";
import { memoryCases } from "./cases/memory.ts";
import { pubsubCases } from "./cases/pubsub.ts";
import { serverCases } from "./cases/server.ts";
import { setCases } from "./cases/sets.ts";
import { sortCases } from "./cases/sort.ts";
import { sortedSetCases } from "./cases/sorted-sets.ts";
import { stringCases } from "./cases/strings.ts";
import { trackingCases } from "./cases/tracking.ts";
import { transactionCases } from "./cases/transactions.ts";
import { wireCases } from "./cases/wire.ts";
import { commands, fieldCommands, ours } from "./commands.ts";
import { unusedRows } from "./divergences.ts";
import { runGenerated } from "./generated.ts";
import {
  type Case,
  type Protocol,
  report,
  runCase,
  type Server,
  startOracle,
  startSubject,
  unknownCommand,
} from "./harness.ts";
import { setSubjectKind } from "./normalise.ts";
import { parseReply, textOf } from "./resp.ts";

const isRedis = process.env.DIFFERENTIAL_SUBJECT === "redis";
const binary = process.env.IRONCACHE_BIN || "dist/ironcache";
const matrix = isRedis
  ? ["redis"]
  : (process.env.DIFFERENTIAL_MATRIX || "1:uring,1:epoll,1:bun,4:uring,4:epoll,4:bun")
      .split(",")
      .map((cell) => cell.trim());
const seed = Number(process.env.DIFFERENTIAL_SEED || Math.floor(Math.random() * 1e9));
const streams = Number(process.env.DIFFERENTIAL_STREAMS || 20);
setSubjectKind(isRedis ? "redis" : "ironcache");

const families: Record<string, Case[]> = {
  strings: stringCases,
  atomics: atomicCases,
  bitmaps: bitmapCases,
  hyperloglog: hyperloglogCases,
  lists: listCases,
  hashes: hashCases,
  "field deadlines": fieldDeadlineCases,
  sets: setCases,
  "sorted-sets": sortedSetCases,
  geo: geoCases,
  sort: sortCases,
  keyspace: keyspaceCases,
  dump: dumpCases,
  memory: memoryCases,
  expiry: expiryCases,
  connection: connectionCases,
  server: serverCases,
  transactions: transactionCases,
  blocking: blockingCases,
  pubsub: pubsubCases,
  tracking: trackingCases,
  clients: clientCases,
  wire: wireCases,
};

/** Tests made and tests that ran: rows of divergences.toml can be called unused only after a whole run. */
let made = 0;
let ran = 0;

console.log(
  `differential: DIFFERENTIAL_SEED=${seed}, cells ${matrix.join(" ")}, ${Object.values(families).flat().length} cases`,
);

describe("differential", () => {
  const oracles: Partial<Record<"7" | "8", Server>> = {};
  const subjects: Record<"7" | "8", Server[]> = { "7": [], "8": [] };
  const missing: Error[] = [];

  beforeAll(async () => {
    const starting = (which: "7" | "8") =>
      startOracle(which).then(
        (server) => {
          oracles[which] = server;
        },
        (error: Error) => missing.push(error),
      );
    const starts = isRedis
      ? [startOracle("7"), startOracle("8")]
      : matrix.map((cell) => startSubject(binary, Number(cell.split(":")[0]), cell.split(":")[1]!));
    const [started] = await Promise.all([Promise.allSettled(starts), starting("7"), starting("8")]);
    for (const [i, one] of started.entries()) {
      if (one.status === "rejected") missing.push(one.reason as Error);
      else if (isRedis) subjects[i === 0 ? "7" : "8"] = [one.value];
      else for (const which of ["7", "8"] as const) subjects[which].push(one.value);
    }
  });

  afterAll(() => {
    for (const server of new Set([...Object.values(oracles), ...subjects["7"], ...subjects["8"]]))
      server.stop();
  });

  /** The oracle and the subjects for a case; throws what kept one of them from starting. */
  const cast = (which: "7" | "8"): [Server, Server[]] => {
    for (const error of missing) throw error;
    return [oracles[which]!, subjects[which]];
  };

  const add = (name: string, body: () => Promise<void>) => {
    made++;
    test(name, async () => {
      await body();
      ran++;
      // A test that times out would have its runner kill the servers: every wait inside is shorter.
    }, 300_000);
  };

  for (const [family, cases] of Object.entries(families))
    for (const one of cases)
      for (const protocol of one.protocols ?? ([2, 3] as Protocol[]))
        add(`${family}: ${one.name} [RESP${protocol}]`, async () => {
          const [oracle, those] = cast(one.oracle ?? "7");
          const why = report(those, await runCase(one, protocol, oracle, those, isRedis));
          if (why !== null) throw new Error(`RESP${protocol}, ${family}: ${one.name}\n${why}`);
        });

  for (const protocol of [2, 3] as Protocol[])
    for (let number = 0; number < streams; number++)
      add(`generated: stream ${number} [RESP${protocol}]`, async () => {
        const why = await runGenerated(seed, number, 200, protocol, ...cast("7"));
        if (why !== null) throw new Error(`RESP${protocol}, ${why}`);
      });

  for (const which of ["7", "8"] as const)
    add(`dump: what each server dumps the other takes as the same, Redis ${which}`, async () => {
      expect(await exchange(...cast(which), which)).toEqual([]);
    });

  add("the list of commands has the oracle's arities", async () => {
    const [oracle] = cast("7");
    const entries = parseReply(await oracle.ask("COMMAND", "INFO", ...Object.keys(commands))).items!;
    const arities = entries.map((entry) => [entry.items![0].text, Number(entry.items![1].text)]);
    expect(Object.fromEntries(arities)).toEqual({ ...commands });
  });

  if (!isRedis)
    add("COMMAND lists the names of commands.ts and no other", async () => {
      const [, those] = cast("7");
      const expected = Object.keys({ ...commands, ...fieldCommands, ...ours }).sort();
      for (const subject of those) {
        const list = parseReply(await subject.ask("COMMAND", "LIST")).items!.map((item) => item.text);
        expect(list.filter((name) => !name.includes("|")).sort()).toEqual(expected);
      }
    });

  add("the text for unknown commands is the oracle's", async () => {
    const [oracle] = cast("7");
    for (const length of [0, 1, 60, 120, 124, 125, 126, 127, 128, 129, 300])
      for (const words of [
        ["nosuch", "a".repeat(length), "b"],
        ["n".repeat(length + 1), "a"],
        ["nosuch", "a", "b".repeat(length), "c\r\nd"],
      ])
        expect(textOf(await oracle.ask(...words))).toBe(unknownCommand(words));
  });
});

test("differential: every row of divergences.toml explains something", () => {
  if (ran < made)
    return console.log(
      `differential: ${made - ran} of ${made} tests failed or were left out, rows not judged`,
    );
  expect(unusedRows(isRedis)).toEqual([]);
});
