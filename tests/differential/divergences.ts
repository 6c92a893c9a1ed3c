// The rows of divergences.toml: the only way a reply may differ from the oracle's without failing. Each row names the
// command, a pattern on its text, what the oracle answers, what we answer, and why. A row that explained nothing in a
// whole run is an error: either we changed, or the case that showed it is gone.
// Neighbours: harness.ts asks `explains`, differential.test.ts asks `unusedRows` at the end.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import toml from "toml";
import { type Bytes, showCommand, textOf } from "./resp.ts";

export type Protocol = 2 | 3;

interface Row {
  command: string;
  when: RegExp;
  protocol?: Protocol;
  oracle: RegExp;
  ours: RegExp;
  why: string;
  /** It explained a difference. */
  used: boolean;
  /** The oracle gave the answer it names (all that can be seen when the subject is redis-server itself). */
  seen: boolean;
}

const rows: Row[] = read();

function read(): Row[] {
  const text = readFileSync(join(import.meta.dir, "divergences.toml"), "utf8");
  const parsed = toml.parse(text) as { divergence?: Record<string, unknown>[] };
  return (parsed.divergence ?? []).map((row, i) => {
    const need = (key: string): string => {
      const value = row[key];
      if (typeof value !== "string" || value === "")
        throw new Error(`divergences.toml: row ${i + 1} has no ${key}`);
      return value;
    };
    const protocol = row.protocol as Protocol | undefined;
    const bytes = (key: string) => new RegExp(`^(?:${need(key)})$`, "s");
    return {
      command: need("command").toLowerCase(),
      when: new RegExp(need("when"), "i"),
      protocol,
      oracle: bytes("oracle"),
      ours: bytes("ours"),
      why: need("why"),
      used: false,
      seen: false,
    };
  });
}

/** Whether a row allows this pair of replies; marks the row. `same` says that the replies agree anyway. */
export function explains(
  caseName: string,
  command: readonly (string | Bytes)[],
  protocol: Protocol,
  oracle: Bytes | undefined,
  ours: Bytes | undefined,
  same: boolean,
): boolean {
  if (command.length === 0 || oracle === undefined || ours === undefined || rows.length === 0) return false;
  const first = typeof command[0] === "string" ? command[0] : textOf(command[0]);
  const name = first.toLowerCase();
  let text = "";
  for (const row of rows) {
    if (row.command !== name || (row.protocol ?? protocol) !== protocol) continue;
    text ||= `${showCommand(command)} # ${caseName}`;
    if (!row.when.test(text) || !row.oracle.test(textOf(oracle))) continue;
    row.seen = true;
    if (same || !row.ours.test(textOf(ours))) continue;
    row.used = true;
    return true;
  }
  return false;
}

/** A line for each row that explained nothing (or, with redis-server as subject, that the oracle never showed). */
export function unusedRows(isRedis: boolean): string[] {
  return rows
    .filter((row) => !(isRedis ? row.seen : row.used))
    .map((row) => `${row.command} when ${row.when.source}: ${row.why}`);
}
