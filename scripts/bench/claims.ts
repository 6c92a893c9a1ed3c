// claims.ts: docs/claims.toml, the register of every figure we publish. Benchmarks write their own rows by id; rows of
// other ids, and the text above the first row, stay as they are to the byte.
//
// The file is a comment, then rows:  [[claim]]  and  field = value  lines in the order of `fieldOrder`. A row that is
// written again keeps the fields the writer does not know (cited, artifact). `status` is decided here: "proved" when
// the value satisfies `accept`, else "pending", which may not be published as a claim.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import toml from "toml";
import { machine, root, today } from "./lib.ts";

export type FieldValue = string | number | boolean | string[];

/** What a benchmark says; machine, date and status are added. */
export interface Claim {
  id: string;
  text: string;
  value: number;
  unit: string;
  kind: "ours" | "quoted" | "structural";
  command: string;
  runs: number;
  accept: string;
  artifact?: string;
}

const fieldOrder = [
  "id",
  "text",
  "value",
  "unit",
  "kind",
  "source",
  "version",
  "command",
  "runs",
  "machine",
  "artifact",
  "commit",
  "date",
  "accept",
  "status",
  "cited",
];
const header = `# Every figure we publish: what it is, what it was when last measured, and the command that measures it again.
# Written by the benchmarks (--write) and by hand; see scripts/bench/claims.ts for the fields.
`;
export const claimsPath = join(root, "docs", "claims.toml");

/** Whether `value` satisfies `accept`: ">= 1.5", "ratio >= 1.5", "<= 60 s", "== 0", "present". Throws on other text. */
export function accepts(accept: string, value: number): boolean {
  if (accept === "present") return Number.isFinite(value);
  const match = /(>=|<=|==|>|<)\s*(-?\d+(?:\.\d+)?)/.exec(accept);
  if (match === null) throw new Error(`accept names no check: ${accept}`);
  const bound = Number(match[2]);
  switch (match[1]) {
    case ">=":
      return value >= bound;
    case "<=":
      return value <= bound;
    case ">":
      return value > bound;
    case "<":
      return value < bound;
    default:
      return value === bound;
  }
}

/** The text of the register `before` with the rows of `claims` put in place of those of the same id, or at the end. */
export function updated(before: string, claims: readonly Record<string, FieldValue>[]): string {
  const text = before === "" ? header : before;
  const [preamble, ...blocks] = text.split(/^(?=\[\[claim\]\][^\n]*$)/m);
  const rows = blocks.map((block) => ({ block, fields: parseBlock(block) }));
  for (const claim of claims) {
    const row = rows.find(({ fields }) => fields.id === claim.id);
    if (row === undefined) rows.push({ block: render(claim), fields: claim });
    else {
      row.fields = { ...row.fields, ...claim };
      row.block = render(row.fields);
    }
  }
  const body = rows.map(({ block }) => block.trimEnd()).join("\n\n");
  return `${preamble.trimEnd()}\n\n${body}\n`.trimStart();
}

/** Writes the rows to docs/claims.toml. `proof: false` (a quick run, odd settings) leaves them "pending". */
export function writeClaims(claims: readonly Claim[], proof: boolean): void {
  const rows = claims.map((claim) => ({
    ...claim,
    value: Number(claim.value.toPrecision(4)),
    machine: machine(),
    commit: commit(),
    date: today(),
    status: proof && accepts(claim.accept, claim.value) ? "proved" : "pending",
  }));
  const before = existsSync(claimsPath) ? readFileSync(claimsPath, "utf8") : "";
  mkdirSync(dirname(claimsPath), { recursive: true });
  writeFileSync(claimsPath, updated(before, rows));
  for (const { id, value, unit, status } of rows) console.log(`claim ${id}: ${value} ${unit}, ${status}`);
}

function commit(): string {
  const { stdout, exitCode } = Bun.spawnSync(["git", "describe", "--always", "--dirty"], { cwd: root });
  return exitCode === 0 ? stdout.toString().trim() : "unknown";
}

function parseBlock(block: string): Record<string, FieldValue> {
  const parsed = toml.parse(block) as { claim: Record<string, FieldValue>[] };
  return parsed.claim[0];
}

function render(fields: Record<string, FieldValue | undefined>): string {
  const rank = (name: string) => (fieldOrder.includes(name) ? fieldOrder.indexOf(name) : fieldOrder.length);
  const names = Object.keys(fields).sort((a, b) => rank(a) - rank(b));
  const lines = names
    .filter((name) => fields[name] !== undefined)
    .map((name) => `${name} = ${literal(fields[name]!)}`);
  return `[[claim]]\n${lines.join("\n")}\n`;
}

/** JSON's strings and arrays are TOML's. Numbers are finite or not a claim. */
function literal(value: FieldValue): string {
  if (typeof value === "number" && !Number.isFinite(value))
    throw new Error(`a claim is a number, not ${value}`);
  return Array.isArray(value) ? `[${value.map(literal).join(", ")}]` : JSON.stringify(value);
}
