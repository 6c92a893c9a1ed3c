// Our server against redis-server, reply by reply: every case x protocol x cell of the matrix (shards x driver).
//
//   IRONCACHE_BIN        the executable under test (dist/ironcache)
//   DIFFERENTIAL_MATRIX  cells, "1:uring,4:epoll" (all of {1, 4} x {uring, epoll, bun})
//   DIFFERENTIAL_SUBJECT "redis": redis-server itself is the subject, to check the cases
//   DIFFERENTIAL_SEED    seed of the generated streams (printed at the start)
//   DIFFERENTIAL_STREAMS how many of them per protocol and cell (20)
//   REDIS8_BIN           redis-server 8, for cases that 7.0 is too old for
//
// An oracle that is not installed fails the cases that need it; nothing is skipped.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { atomicCases } from "./cases/atomics.ts";
import { bitmapCases } from "./cases/bitmaps.ts";
import { blockingCases } from "./cases/blocking.ts";
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
import { transactionCases } from "./cases/transactions.ts";
import { wireCases } from "./cases/wire.ts";
import { commands, fieldCommands, ours } from "./commands.ts";
import { unusedRows } from "./divergences.ts";
import { runGenerated } from "./generated.ts";
import {
  type Case,
  type Protocol,
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
  wire: wireCases,
};

/** Tests made and tests that ran: rows of divergences.toml can be called unused only after a whole run. */
let made = 0;
let ran = 0;

console.log(
  `differential: DIFFERENTIAL_SEED=${seed}, cells ${matrix.join(" ")}, ${Object.values(families).flat().length} cases`,
);

for (const cell of matrix) {
  describe(`differential ${cell}`, () => {
    const servers: Partial<Record<"7" | "8" | "subject" | "subject8", Server>> = {};
    const missing: Partial<Record<"7" | "8" | "subject", Error>> = {};

    beforeAll(async () => {
      const start = async (which: "7" | "8" | "subject", starting: Promise<Server>) => {
        try {
          servers[which] = await starting;
        } catch (error) {
          missing[which] = error as Error;
        }
      };
      const [shards, driver] = cell.split(":");
      await Promise.all([
        start("7", startOracle("7")),
        start("8", startOracle("8")),
        start("subject", isRedis ? startOracle("7") : startSubject(binary, Number(shards), driver)),
      ]);
      if (isRedis && servers["8"] !== undefined) servers.subject8 = await startOracle("8");
    });

    afterAll(() => {
      for (const server of Object.values(servers)) server.stop();
    });

    /** The pair for a case; throws what kept one of them from starting. */
    const pair = (which: "7" | "8"): [Server, Server] => {
      for (const need of [which, "subject"] as const) if (missing[need] !== undefined) throw missing[need];
      return [servers[which]!, (isRedis && which === "8" ? servers.subject8 : servers.subject)!];
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
            const [oracle, subject] = pair(one.oracle ?? "7");
            const why = await runCase(one, protocol, oracle, subject, isRedis);
            if (why !== null) throw new Error(`${cell}, RESP${protocol}, ${family}: ${one.name}\n${why}`);
          });

    for (const protocol of [2, 3] as Protocol[])
      for (let number = 0; number < streams; number++)
        add(`generated: stream ${number} [RESP${protocol}]`, async () => {
          const why = await runGenerated(seed, number, 200, protocol, ...pair("7"));
          if (why !== null) throw new Error(`${cell}, RESP${protocol}, ${why}`);
        });

    for (const which of ["7", "8"] as const)
      add(`dump: what each server dumps the other takes as the same, Redis ${which}`, async () => {
        expect(await exchange(...pair(which), which)).toEqual([]);
      });

    add("the list of commands has the oracle's arities", async () => {
      const [oracle] = pair("7");
      const entries = parseReply(await oracle.ask("COMMAND", "INFO", ...Object.keys(commands))).items!;
      const arities = entries.map((entry) => [entry.items![0].text, Number(entry.items![1].text)]);
      expect(Object.fromEntries(arities)).toEqual({ ...commands });
    });

    if (!isRedis)
      add("COMMAND lists the names of commands.ts and no other", async () => {
        const [, subject] = pair("7");
        const list = parseReply(await subject.ask("COMMAND", "LIST")).items!.map((item) => item.text);
        const expected = Object.keys({ ...commands, ...fieldCommands, ...ours }).sort();
        expect(list.filter((name) => !name.includes("|")).sort()).toEqual(expected);
      });

    add("the text for unknown commands is the oracle's", async () => {
      const [oracle] = pair("7");
      for (const length of [0, 1, 60, 120, 124, 125, 126, 127, 128, 129, 300])
        for (const words of [
          ["nosuch", "a".repeat(length), "b"],
          ["n".repeat(length + 1), "a"],
          ["nosuch", "a", "b".repeat(length), "c\r\nd"],
        ])
          expect(textOf(await oracle.ask(...words))).toBe(unknownCommand(words));
    });
  });
}

test("differential: every row of divergences.toml explains something", () => {
  if (ran < made)
    return console.log(
      `differential: ${made - ran} of ${made} tests failed or were left out, rows not judged`,
    );
  expect(unusedRows(isRedis)).toEqual([]);
});
