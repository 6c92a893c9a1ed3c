// build.ts: makes the one executable.   bun run build [--target=bun-linux-arm64] [--out FILE]
//
// Three entry points go in: cmd/main.ts, which runs, engine/worker/main.ts, which each data worker runs, and
// engine/worker/compressor.ts, which the thread that compresses runs. Inside the
// executable files lie under /$bunfs/root, by their path from the repository root (`root` below) with the ending .js;
// cmd/main.ts alone lies at /$bunfs/root/<name of the executable>. How a Worker is addressed (tried, Bun 1.4.5):
//
//   form                                                   executable   source, cwd = repository   source, other cwd
//   new Worker("./engine/worker/main.ts")                  yes          yes                        no
//   new Worker("/$bunfs/root/engine/worker/main.js")       yes          no                         no
//   new Worker(new URL("../engine/worker/main.ts",         no           yes                        yes
//                      import.meta.url)), in cmd/main.ts
// In the executable import.meta.url is that of the bundle, whatever file the expression was written in. So:
//
//   const built = import.meta.url.startsWith("file:///$bunfs/");
//   new Worker(built ? "/$bunfs/root/engine/worker/main.js" : new URL("./main.ts", import.meta.url).href)
//
// The absolute form is the one to prefer: a relative one that is not embedded is looked for in the working directory.
//
// What an executable obeys besides its arguments: by default `.env` and `bunfig.toml` of its working directory, and the
// latter may name code to run; both are switched off here. No flag switches off the variables BUN_OPTIONS (`--preload`
// runs code before ours) and BUN_BE_BUN: whoever sets those could set LD_PRELOAD; service units unset them.
//
// CHECKED is false, so the bundler drops the O(n) assertions. The build is reproducible: the same sources, Bun and file
// name give the same bytes, which is why a foreign target gets its own folder and not its own name.

import { existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";

/** Targets a release is made for: Bun's names. */
export const releaseTargets = [
  "bun-linux-x64",
  "bun-linux-arm64",
  "bun-linux-x64-musl",
  "bun-linux-arm64-musl",
  "bun-darwin-x64",
  "bun-darwin-arm64",
] as const;

const root = resolve(import.meta.dir, "..");
const entrypoints = ["cmd/main.ts", "engine/worker/main.ts", "engine/worker/compressor.ts"];

/** Where the executable for `target` goes; no target is this machine. */
function outputOf(target: string | undefined): string {
  return target === undefined ? "dist/ironcache" : `dist/${target.replace(/^bun-/, "")}/ironcache`;
}

/** Builds `output`, replacing it in one step, so that a running server keeps the file it was started from. */
async function build(target: string | undefined, output: string): Promise<boolean> {
  const missing = entrypoints.filter((path) => !existsSync(join(root, path)));
  if (missing.length > 0) {
    console.error(`build: no ${missing.join(", no ")}`);
    return false;
  }
  const file = resolve(root, output);
  const staging = join(dirname(file), ".staging", basename(file));
  mkdirSync(dirname(staging), { recursive: true });
  const result = await Bun.build({
    entrypoints: entrypoints.map((path) => join(root, path)),
    root,
    target: "bun",
    minify: true,
    define: { CHECKED: "false" },
    throw: false,
    compile: {
      ...(target === undefined ? {} : { target: target as Bun.Build.CompileTarget }),
      outfile: staging,
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
  });
  for (const log of result.logs) console.error(String(log));
  if (!result.success) return false;
  renameSync(staging, file);
  rmSync(dirname(staging), { recursive: true });
  console.log(`${output}: ${(statSync(file).size / 1e6).toFixed(0)} MB, ${target ?? "this machine"}`);
  return true;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      target: { type: "string", multiple: true },
      out: { type: "string" },
      all: { type: "boolean" },
    },
  });
  const targets = values.all ? [...releaseTargets] : (values.target ?? [undefined]);
  if (values.out !== undefined && targets.length > 1) throw new Error("--out names one file, for one target");
  for (const target of targets) {
    if (!(await build(target, values.out ?? outputOf(target)))) process.exit(1);
  }
}
