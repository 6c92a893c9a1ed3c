// docs.test.ts: docs/commands.md is what the command table says now (`bun run docs` makes it).
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { allCommands } from "../engine/commands/index.ts";
import { commandsPage, commandsPagePath } from "../scripts/docs.ts";

test("docs/commands.md is as the generator makes it", () => {
  expect(readFileSync(commandsPagePath, "utf8")).toBe(commandsPage());
});

test("every command and subcommand has one line, whatever its group", () => {
  const stray = { ...allCommands[0]!, name: "stray", group: "no such group", summary: "a | b\nc" };
  const page = commandsPage([...allCommands, stray]);
  const lines = page.split("## Instead of a script")[0]!.split("\n");
  for (const row of [stray, ...allCommands.flatMap((row) => [row, ...(row.subcommands ?? [])])]) {
    const start = `| **${row.name.toUpperCase().replace("|", " ")}** `;
    const own = lines.filter((line) => line.startsWith(start));
    expect(own).toHaveLength(1);
    expect(own[0]!.replaceAll("\\|", "").split("|")).toHaveLength(8);
  }
  expect(page).toContain("| a \\| b c |");
});

test("deviations stand at their command, and a container's at its subcommand", () => {
  const lines = commandsPage().split("\n");
  const of = (name: string) => lines.find((line) => line.startsWith(`| **${name}** `)) ?? "";
  expect(of("OBJECT REFCOUNT")).toContain("we share nothing");
  expect(of("OBJECT ENCODING")).not.toContain("we share nothing");
  expect(of("SCAN")).toContain("refuse a negative cursor");
});
