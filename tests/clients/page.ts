// page.ts: docs/clients.md, made of what the programs said. scripts/clients-doc.ts writes it, clients.test.ts compares.
import { join } from "node:path";
import { type Check, checkNames, checks } from "./checks.ts";
import { type Library, root } from "./libraries.ts";
import type { Result } from "./run.ts";

export const clientsPagePath = join(root, "docs", "clients.md");

/** What a library says on a new connection before the application's first command. */
export interface Greeting {
  readonly library: Library;
  readonly commands: readonly string[];
}

const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;

/** The checks that a library met a limit of its own in, a line each. */
export function limitLines({ library, outcomes }: Result): string[] {
  return [...outcomes]
    .filter(([, { verdict }]) => verdict === "limit")
    .map(([name, { reason }]) => `- **${library.title}**, ${name}: ${reason}.`);
}

/** The page. `results` are of one run of every library. */
export function clientsPage(results: readonly Result[], greetings: readonly Greeting[]): string {
  const cell = (result: Result, name: Check) => {
    const { verdict } = result.outcomes.get(name) ?? { verdict: "FAIL" };
    return verdict === "ok" ? "yes" : verdict;
  };
  const titles = results.map(({ library }) => library.title);
  const lines = [
    "# Client libraries",
    "",
    "What client libraries do against IronCache, each at its defaults: host and port, nothing else. Made from the output",
    "of the programs in `tests/clients` by `bun run docs:clients`; not written by hand. The tests run the programs with",
    "one worker and with four, and compare what they say with this page.",
    "",
    "`yes`: everything the check asks for works. `limit`: the library cannot do it, or not without help, whatever the",
    "server; the reasons are below the table.",
    "",
    row(["", ...titles]),
    row(["---", ...titles.map(() => "---")]),
    row(["language", ...results.map(({ library }) => library.language)]),
    row(["version", ...results.map(({ version }) => version)]),
    ...checkNames.map((name) => row([name, ...results.map((result) => cell(result, name))])),
    "",
    "## Limits",
    "",
    ...results.flatMap(limitLines),
    "",
    "## What is checked",
    "",
    ...checkNames.map((name) => `- **${name}**: ${checks[name]}.`),
    "",
    "## What they say on a new connection",
    "",
    "Before the application's first command. An error reply to what a server does not know (`CLIENT",
    "MAINT_NOTIFICATIONS`) is taken well by all that send it.",
    "",
    ...greetings.map(
      ({ library, commands }) =>
        `- **${library.title}**: ${commands.map((command) => `\`${command}\``).join(", ") || "nothing"}`,
    ),
    "",
  ];
  return lines.join("\n");
}

/** The cells of a library's column in a page, by the names of their rows. */
export function columnOf(page: string, library: Library): Map<string, string> {
  const rows = page
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .map((line) => line.slice(2, -2).split(" | "));
  const at = rows[0]?.indexOf(library.title) ?? -1;
  if (at < 0) throw new Error(`docs/clients.md has no column of ${library.title}`);
  return new Map(rows.map((cells) => [cells[0] ?? "", cells[at] ?? ""]));
}
