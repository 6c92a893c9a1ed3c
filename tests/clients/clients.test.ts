// clients.test.ts: client libraries at their defaults against the executable, one worker and four. Each library's
// program does what checks.ts lists; docs/clients.md says the same of it (`bun run docs:clients` makes that page).
//
// scripts/clients installs the libraries that are not of npm. One that is not on this machine is skipped by name.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { killLeftovers } from "../support/server.ts";
import { checkNames } from "./checks.ts";
import { type Library, libraries, reasonToSkip } from "./libraries.ts";
import { clientsPagePath, columnOf, limitLines } from "./page.ts";
import { ownServer, type Result, report, run } from "./run.ts";

/** How long a test may wait for its program, which may have to wait for its turn. */
const PATIENCE_MS = 60_000;

/** Programs at a time: most of them wait most of the time. */
const AT_A_TIME = 3;
const here = libraries.filter((library) => reasonToSkip(library) === "");
const results = new Map<string, Promise<Result>>();
const nameOf = ({ title }: Library, workers: number) =>
  `${title}, ${workers} worker${workers > 1 ? "s" : ""}`;

beforeAll(() => {
  const waiting: (() => Promise<unknown>)[] = [];
  for (const workers of [1, 4])
    for (const library of here) {
      const { promise, resolve, reject } = Promise.withResolvers<Result>();
      promise.catch(() => {}); // its test says so
      results.set(nameOf(library, workers), promise);
      waiting.push(() => run(library, ownServer(workers)).then(resolve, reject));
    }
  const serve = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await next();
  };
  for (let i = 0; i < AT_A_TIME; i++) void serve();
});

afterAll(killLeftovers);

describe("client libraries", () => {
  const page = readFileSync(clientsPagePath, "utf8");

  for (const workers of [1, 4])
    for (const library of here)
      test(
        nameOf(library, workers),
        async () => {
          const result = await results.get(nameOf(library, workers))!;
          const failed = [...result.outcomes.values()].filter(({ verdict }) => verdict === "FAIL");
          if (failed.length > 0) throw new Error(`${library.title} ${result.version}\n${report(result)}`);
          expect([...result.outcomes.keys()].toSorted()).toEqual(checkNames.toSorted());
          const column = columnOf(page, library);
          if (library.debian && column.get("version") !== result.version) {
            console.log(
              `docs/clients.md is of ${library.title} ${column.get("version")}, not ${result.version}`,
            );
            return;
          }
          expect(result.version).toBe(column.get("version") ?? "");
          for (const [name, { verdict }] of result.outcomes)
            expect(`${name} ${column.get(name)}`).toBe(`${name} ${verdict === "ok" ? "yes" : verdict}`);
          const limits = page.split("\n").filter((line) => line.startsWith(`- **${library.title}**, `));
          expect(limits).toEqual(limitLines(result));
        },
        PATIENCE_MS,
      );

  for (const library of libraries) {
    const reason = reasonToSkip(library);
    if (reason === "") continue;
    console.log(`left out: ${library.title}: ${reason}`);
    test.skip(`${library.title}: ${reason}`, () => {});
  }
});
