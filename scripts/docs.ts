// docs.ts: makes docs/commands.md out of the command table.   bun run docs
//
// One row a command and subcommand, group by group. What differs from Redis on purpose comes from the rows of
// tests/differential/divergences.toml, the names that are refused for good from tests/differential/commands.ts, so that
// the page can only say what the suite holds us to. tests/docs.test.ts fails when the file is not what `commandsPage`
// gives. Off the data path.

import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import toml from "toml";
import type { Row } from "../engine/commands/call.ts";
import { allCommands } from "../engine/commands/index.ts";
import { refused } from "../tests/differential/commands.ts";

const root = resolve(import.meta.dir, "..");
export const commandsPagePath = join(root, "docs", "commands.md");

/** Names of Tier, in its order. */
const tiers = ["connection", "core", "collections", "extended"];

/** Headings of the groups, in the order of the page. A group that is missing here comes last, by its own name. */
const headings: Readonly<Record<string, string>> = {
  string: "Strings",
  bitmap: "Bitmaps",
  hyperloglog: "HyperLogLog",
  generic: "Keyspace and expiry",
  list: "Lists",
  hash: "Hashes",
  set: "Sets",
  "sorted-set": "Sorted sets",
  geo: "Geospatial",
  transactions: "Transactions",
  pubsub: "Publish and subscribe",
  connection: "Connection",
  server: "Server",
};

interface Divergence {
  readonly command: string;
  readonly when: string;
  readonly why: string;
}

/** A cell of a table: on one line, no bar in it, and no tag. */
function cell(text: string): string {
  return text.replace(/\s+/g, " ").replaceAll("|", "\\|").replaceAll("<", "&lt;").trim();
}

/** "config|get" as "CONFIG GET". */
function title(row: Row): string {
  return row.name.toUpperCase().replace("|", " ");
}

function line(cells: readonly string[]): string {
  return `| ${cells.map((text) => cell(text) || "-").join(" | ")} |\n`;
}

/** The reasons of the rows that speak of a command. A row of a container belongs to the subcommand its pattern names. */
function deviationsOf(row: Row, divergences: readonly Divergence[]): string {
  const [name, subcommand] = row.name.split("|");
  const named = (divergence: Divergence, sub: string) =>
    new RegExp(`\\b${sub}\\b`, "i").test(divergence.when.split("#")[0]!);
  const reasons = divergences
    .filter(({ command }) => command === name)
    .filter((divergence) =>
      subcommand === undefined
        ? !(row.subcommands ?? []).some((child) => named(divergence, child.name.split("|")[1]!))
        : named(divergence, subcommand),
    )
    .map(({ why }) => why);
  return [...new Set(reasons)].join("; ");
}

/** The text of docs/commands.md. */
export function commandsPage(rows: readonly Row[] = allCommands): string {
  const text = readFileSync(join(root, "tests/differential/divergences.toml"), "utf8");
  const { divergence: divergences = [] } = toml.parse(text) as { divergence?: Divergence[] };
  const groups = [...new Set([...Object.keys(headings), ...rows.map(({ group }) => group)])];
  const count = rows.length;
  const below = rows.reduce((sum, { subcommands = [] }) => sum + subcommands.length, 0);
  let page = `# Commands

${count} commands and ${below} subcommands. Made from the command table by \`bun run docs\`; not written by hand.

Every command answers byte for byte as Redis does (7.0.15, or the newest release for what came later) but for what its
last column says. "Since" is the release of Redis (of Valkey for DELIFEQ) that brought it; of CL.THROTTLE and the names that
begin with IC., which are our own here, it is the release of IronCache. A tier is how much of a server has to be there for
it: connection, core (strings, keys, expiry), collections, extended.
`;
  for (const group of groups) {
    const members = rows.filter((row) => row.group === group).sort((a, b) => (a.name < b.name ? -1 : 1));
    if (members.length === 0) continue;
    page += `\n## ${headings[group] ?? group}\n\n`;
    page +=
      "| command | tier | since | complexity | what it does | differs from Redis |\n|---|---|---|---|---|---|\n";
    for (const row of members.flatMap((member) => [member, ...(member.subcommands ?? [])])) {
      page += line([
        `**${title(row)}** ${row.syntax}`,
        tiers[row.tier] ?? `${row.tier}`,
        row.since,
        row.complexity,
        row.summary,
        deviationsOf(row, divergences),
      ]);
    }
  }
  const atomics = rows.filter((row) => row.replaces !== undefined);
  page += "\n## Instead of a script\n\n";
  page += "There is no Lua here. What scripts are mostly written for is one command:\n\n";
  page += "| command | replaces |\n|---|---|\n";
  for (const row of atomics) page += line([`**${title(row)}** ${row.syntax}`, row.replaces ?? ""]);
  page += "\n## Refused for good\n\n";
  page += "Scripting, functions, modules and streams answer Redis's unknown-command error:\n\n";
  page += `${refused.map((name) => name.toUpperCase()).join(" ")}\n`;
  return page;
}

if (import.meta.main) {
  writeFileSync(commandsPagePath, commandsPage());
  console.log(`docs/commands.md: ${allCommands.length} commands`);
}
