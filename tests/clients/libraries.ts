// libraries.ts: the client libraries, how each one's program is started, and whether it can be on this machine.
//
// scripts/clients installs what is not in package.json, under tmp/clients-NAME, and builds what has to be built. It
// leaves tmp/clients-NAME/skipped, with the reason, where it could not. The programs in TypeScript are bundled here.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

export const root = resolve(import.meta.dir, "../..");

export interface Library {
  /** The folder under tests/clients. */
  readonly id: string;
  /** As people call it. */
  readonly title: string;
  readonly language: string;
  /** The command line. Paths are relative to the repository. */
  readonly command: readonly string[];
  /** The program that scripts/clients makes of the folder's sources, if it has to. */
  readonly built?: string;
  /** For what comes from Debian's packages: its version is that of the system. */
  readonly debian?: true;
  /** For a package of npm: its name. */
  readonly npm?: string;
  /** For a package of npm: the library, an ancestor of it, whose program it runs with its own name in the imports. */
  readonly like?: string;
}

const java = (id: string, title: string): Library => ({
  id,
  title,
  language: "Java",
  command: [
    ...["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"], // a short program's JVM
    ...["-cp", `tmp/clients-${id}/classes:tmp/clients-${id}/jars/*`, "Program"],
  ],
  built: `tmp/clients-${id}/classes/Program.class`,
});

const node = (id: string, npm: string, like?: string): Library => ({
  id,
  title: id,
  language: "Node.js",
  command: ["node", `tmp/clients-${id}/program.mjs`],
  npm,
  ...(like === undefined ? {} : { like }),
});

export const libraries: readonly Library[] = [
  node("node-redis", "redis"),
  node("ioredis", "ioredis"),
  node("iovalkey", "iovalkey", "ioredis"),
  {
    id: "bun",
    title: "Bun's RedisClient",
    language: "Bun",
    command: [process.execPath, "tests/clients/bun/program.ts"],
  },
  {
    id: "redis-py",
    title: "redis-py",
    language: "Python",
    command: ["tmp/clients-redis-py/bin/python", "tests/clients/redis-py/program.py"],
  },
  {
    id: "go-redis",
    title: "go-redis",
    language: "Go",
    command: ["tmp/clients-go-redis/program"],
    built: "tmp/clients-go-redis/program",
  },
  java("jedis", "Jedis"),
  java("lettuce", "Lettuce"),
  {
    id: "hiredis",
    title: "hiredis",
    language: "C",
    debian: true,
    command: ["tmp/clients-hiredis/program"],
    built: "tmp/clients-hiredis/program",
  },
  {
    id: "phpredis",
    title: "phpredis",
    language: "PHP",
    debian: true,
    command: ["php", "tests/clients/phpredis/program.php"],
  },
  {
    id: "redis-rb",
    title: "redis-rb",
    language: "Ruby",
    debian: true,
    command: ["ruby", "tests/clients/redis-rb/program.rb"],
  },
];

const manifestOf = (npm: string) => join(root, "node_modules", npm, "package.json");

/** Why a library's program cannot run here: "" when it can. */
export function reasonToSkip({ id, npm }: Library): string {
  if (npm !== undefined) return existsSync(manifestOf(npm)) ? "" : `${npm} is not in node_modules`;
  if (id === "bun") return "";
  const folder = join(root, "tmp", `clients-${id}`);
  const skipped = join(folder, "skipped");
  if (existsSync(skipped)) return readFileSync(skipped, "utf8").trim();
  return existsSync(join(folder, "installed")) ? "" : "scripts/clients has not been run";
}

/** The version of a package of npm. Other programs print theirs. */
export function versionOf({ npm }: Library): string {
  if (npm === undefined) return "";
  const { version } = JSON.parse(readFileSync(manifestOf(npm), "utf8")) as { version: string };
  return version;
}

/** Makes the program to run, or makes sure that it was made of the sources that lie here now. */
export async function prepare(library: Library): Promise<void> {
  if (library.npm !== undefined) await bundle(library);
  if (library.built === undefined) return;
  const built = statSync(join(root, library.built)).mtimeMs;
  const folder = join(root, "tests/clients", library.id);
  for (const name of readdirSync(folder))
    if (statSync(join(folder, name)).mtimeMs > built)
      throw new Error(
        `tests/clients/${library.id}/${name} is newer than ${library.built}: run scripts/clients`,
      );
}

/** Makes the JavaScript that Node runs. */
async function bundle({ id, npm, like }: Library): Promise<void> {
  const outdir = join(root, "tmp", `clients-${id}`);
  mkdirSync(outdir, { recursive: true });
  const result = await Bun.build({
    entrypoints: [join(root, "tests/clients", like ?? id, "program.ts")],
    outdir,
    naming: "program.mjs",
    target: "node",
    packages: "external",
    plugins: [
      {
        name: "another package's program",
        setup(build) {
          if (like === undefined || npm === undefined) return;
          build.onResolve({ filter: new RegExp(`^${like}$`) }, () => ({ path: npm, external: true }));
        },
      },
    ],
  });
  if (!result.success) throw new Error(result.logs.join("\n"));
}
