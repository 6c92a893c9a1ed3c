// micro.ts: runs the micro-benchmarks that lie beside the sources.   bun run bench [WORD] [--runs 5]
//
// WORD keeps the benchmarks whose name or file holds it. Each file runs in a process of its own: what one benchmark
// taught the JIT must not decide the figure of the next.
// Neighbours: bench.ts declares; tests/bench-smoke.test.ts runs the same files in their smallest size.

import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { type Measured, registered } from "./bench.ts";
import { root, table } from "./lib.ts";

/** Every *.bench.ts of the source folders, absolute, sorted. */
export function benchFiles(): string[] {
  const glob = new Bun.Glob("{cmd,protocol,engine,cli,scripts}/**/*.bench.ts");
  return [...glob.scanSync({ cwd: root })].sort().map((path) => join(root, path));
}

/** Runs the benchmarks of one file in this process and prints what they measured as a line of JSON. */
async function runFile(file: string, word: string, runs: number): Promise<void> {
  await import(file);
  const chosen = registered().filter(({ name }) => name.includes(word) || file.includes(word));
  console.log(JSON.stringify(chosen.flatMap(({ full }) => full(runs))));
}

async function runAll(word: string, runs: number): Promise<boolean> {
  const rows: string[][] = [];
  let failed = false;
  for (const file of benchFiles()) {
    const command = [process.execPath, import.meta.path, "--file", file, "--runs", `${runs}`, word];
    const child = Bun.spawn(command, { cwd: root, stdout: "pipe", stderr: "inherit" });
    const output = await new Response(child.stdout).text();
    if ((await child.exited) !== 0) {
      console.error(`${relative(root, file)} failed`);
      failed = true;
      continue;
    }
    const measured = JSON.parse(output.trim().split("\n").at(-1) ?? "[]") as Measured[];
    for (const { name, size, ops, bestSeconds, checksum } of measured) {
      const rate = ops / bestSeconds / 1e6;
      rows.push([name, size, ((bestSeconds * 1e9) / ops).toFixed(1), rate.toFixed(2), `${checksum}`]);
      console.error(`  ${name}, ${size}`);
    }
  }
  if (rows.length === 0) console.error(word === "" ? "no *.bench.ts found" : `no benchmark holds "${word}"`);
  else console.log(table(["benchmark", "size", "ns/op", "M op/s", "checksum"], rows));
  return !failed && rows.length > 0;
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { file: { type: "string" }, runs: { type: "string", default: "5" } },
  });
  const word = positionals[0] ?? "";
  if (values.file !== undefined) await runFile(values.file, word, Number(values.runs));
  else if (!(await runAll(word, Number(values.runs)))) process.exit(1);
}
