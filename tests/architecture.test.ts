// architecture.test.ts: which folder may import which, who may hold raw addresses, who may ask for the time and for
// chance. The tables below are the rule; a new arrow is a change to a table, to be argued for.
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative, resolve } from "node:path";

const root = resolve(import.meta.dir, "..");

/** What the files of a folder may import, besides their own folder, of ours. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  "engine/memory": [],
  "engine/index": ["engine/memory"],
  "engine/compress": ["engine/memory"],
  "engine/types": ["engine/memory", "engine/index"],
  "engine/rdb": ["engine/memory", "engine/types"],
  "engine/shard": ["engine/memory", "engine/index", "engine/types", "engine/compress"],
  "engine/io": ["engine/memory"],
  "engine/config": ["protocol"], // the error texts of CONFIG SET
  "engine/commands": [
    ...["protocol", "engine/memory", "engine/index", "engine/types", "engine/shard"],
    "engine/rdb", // DUMP and RESTORE
    "engine/compress", // figures in INFO
  ],
  "engine/worker": [
    ...["protocol", "engine/memory", "engine/index", "engine/types", "engine/shard", "engine/commands"],
    ...["engine/io", "engine/config", "engine/compress"],
  ],
  cli: ["protocol", "engine/io"],
  cmd: ["protocol", "cli", "engine/config", "engine/worker"],
};

/** Modules that not everybody may use, and who may. */
const reserved: Readonly<Record<string, readonly string[]>> = {
  "bun:ffi": ["engine/memory/", "engine/io/", "engine/compress/zstd.ts"],
  "bun:jsc": ["engine/worker/worker.ts"],
  "node:worker_threads": ["engine/worker/host.ts", "engine/worker/main.ts", "engine/worker/compressor.ts"],
  "node:child_process": [],
};

/** Where chance and time come in. Everywhere else they are arguments: the clock of a turn, a function that draws. */
const impure: Readonly<Record<string, readonly string[]>> = {
  "Math.random": [
    "engine/shard/shard.ts",
    "engine/commands/keyspace.ts", // RANDOMKEY
    "engine/commands/hyperloglog.ts", // PFSELFTEST
    "engine/commands/sorted-sets.ts", // ZRANDMEMBER
    "engine/commands/hashes.ts", // HRANDFIELD
    "engine/commands/sets.ts", // SPOP, SRANDMEMBER
    "engine/worker/tracker.ts", // which tracked name is forgotten
    "engine/worker/host.ts", // which values are tried for compression
  ],
  "Date.now": [
    "engine/shard/clock.ts",
    "engine/worker/worker.ts", // once a turn
    "engine/worker/host.ts", // the start
    "engine/commands/clients.ts", // ages in CLIENT LIST
    "engine/commands/info.ts", // uptime
    "engine/commands/server-commands.ts", // TIME
  ],
  "new Date": ["engine/worker/log.ts"],
  "performance.now": [
    "engine/commands/server-commands.ts",
    "engine/worker/monitors.ts", // MONITOR's lines
    "engine/worker/compressor.ts", // its share of the time
    "engine/worker/defragmenter.ts", // the length of its steps
    "cmd/serve.ts",
    "cli/one-shot.ts",
  ],
  "Bun.nanoseconds": [],
};

interface Source {
  readonly path: string;
  readonly text: string;
}

const transpiler = new Bun.Transpiler({ loader: "ts" });

/** Modules that a file names in import, export ... from and import(), types included. */
function importsOf({ text }: Source): string[] {
  const names = transpiler.scanImports(text).map(({ path }) => path);
  for (const [, name] of text.matchAll(/(?:^|\n)(?:import|export)\s(?:[^;"']*?\sfrom\s)?["']([^"']+)["']/g))
    names.push(name!);
  return [...new Set(names)];
}

/** The folder of the table that a path lies in, "" for none. */
function folderOf(path: string): string {
  const parts = path.split("/");
  return parts[0] === "engine"
    ? parts.length > 2
      ? `engine/${parts[1]}`
      : "engine"
    : parts.length > 1
      ? parts[0]!
      : "";
}

/** Every breach of the tables by `sources`, each a line that names file and rule. */
function breaches(sources: readonly Source[]): string[] {
  const found: string[] = [];
  for (const source of sources) {
    const { path } = source;
    const folder = folderOf(path);
    const allowed = arrows[folder];
    if (allowed === undefined) found.push(`${path}: its folder has no row`);
    for (const name of importsOf(source)) {
      const holders = reserved[name];
      if (holders !== undefined && !holders.some((holder) => path.startsWith(holder)))
        found.push(`${path}: imports ${name}`);
      if (!name.startsWith(".")) continue;
      const target = normalize(join(dirname(path), name));
      const there = folderOf(target);
      if (there === "" && target === "package.json" && folder === "cmd") continue; // the version
      if (there !== folder && !allowed?.includes(there)) found.push(`${path}: imports ${target}`);
    }
    const code = codeOf(source.text);
    for (const [word, files] of Object.entries(impure))
      if (code.includes(word) && !files.includes(path)) found.push(`${path}: uses ${word}`);
  }
  return found;
}

/** Source without whole-line comments. */
function codeOf(text: string): string {
  return text.replace(/^\s*(\/\/|\/?\*).*$/gm, "");
}

const sources: Source[] = ["protocol", "engine", "cli", "cmd"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !/\.(bench|d)\.ts$/.test(name))
    .map((name) => {
      const file = join(root, folder, name);
      return { path: relative(root, file), text: readFileSync(file, "utf8") };
    }),
);

describe("architecture", () => {
  test("arrows point one way, addresses and clocks stay where they belong", () => {
    expect(sources.length).toBeGreaterThan(50);
    expect(breaches(sources)).toEqual([]);
  });

  test("the tables name nothing that does not exist", () => {
    const paths = new Set(sources.map(({ path }) => path));
    const folders = new Set(sources.map(({ path }) => folderOf(path)));
    for (const [folder, allowed] of Object.entries(arrows))
      for (const name of [folder, ...allowed]) expect(folders).toContain(name);
    for (const [word, files] of Object.entries(impure))
      for (const file of files) {
        expect(paths).toContain(file);
        expect(codeOf(sources.find(({ path }) => path === file)!.text)).toContain(word);
      }
  });

  test("no import runs in a circle between folders", () => {
    const visit = (folder: string, above: readonly string[]): void => {
      expect(above).not.toContain(folder);
      for (const below of arrows[folder]!) visit(below, [...above, folder]);
    };
    for (const folder of Object.keys(arrows)) visit(folder, []);
  });

  test("a breach of each kind is noticed", () => {
    const breach = (path: string, text: string) => breaches([{ path, text }]);
    expect(breach("engine/memory/a.ts", 'import { x } from "../shard/shard.ts";\nx();')).toHaveLength(1);
    expect(breach("engine/types/a.ts", 'import type { X } from "../commands/call.ts";')).toHaveLength(1);
    expect(breach("engine/io/a.ts", 'export { x } from "../commands/call.ts";')).toHaveLength(1);
    expect(breach("protocol/a.ts", 'const x = await import("../engine/memory/hash.ts");')).toHaveLength(1);
    expect(
      breach("engine/io/a.ts", 'import {\n  type A,\n  b,\n} from "../worker/plan.ts";\nb();'),
    ).toHaveLength(1);
    expect(breach("engine/worker/a.ts", 'import { ptr } from "bun:ffi";\nptr();')).toHaveLength(1);
    expect(breach("engine/types/a.ts", "export const now = Date.now();")).toHaveLength(1);
    expect(breach("engine/shard/a.ts", "export const draw = Math.random;")).toHaveLength(1);
    expect(breach("engine/new/a.ts", "export {};")).toHaveLength(1);
    expect(
      breach(
        "engine/io/a.ts",
        '// Date.now and "../worker/plan.ts"\nimport { x } from "../memory/hash.ts";\nx();',
      ),
    ).toEqual([]);
  });
});
