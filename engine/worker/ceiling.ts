// ceiling.ts: how much memory the server may take when nobody says: `maxmemory auto`.
//
//   limit   = the smallest of the machine's memory and every cgroup limit on the way from this process's own group up to
//             the root that is visible here (v2: memory.max and memory.high, v1: memory.limit_in_bytes)
//   ceiling = 70 % of the limit, less 64 MiB a worker for what used_memory does not count (see memory-ledger.ts),
//             and at least 64 MiB
// A limit that cannot be read does not count: in a container that hides all of them it is the machine's memory.
// The control plane reads it again every ten seconds. What it raises it raises at once; what it lowers it lowers by 2 % a
// second, so that what has to go then goes over many turns and not in one.
// Control plane. Neighbours: host.ts runs it; settings.ts keeps the result in its derived layer.
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { Settings } from "../config/settings.ts";
import type { Control } from "./control.ts";
import { logLine } from "./log.ts";

const SHARE = 0.7;
const RESERVE_BYTES = 64 * 2 ** 20;
const FLOOR_BYTES = 64 * 2 ** 20;
const LOWERED = 0.98;
const NEARLY_FULL = 0.85;
const READ_SECONDS = 10;

/** Text of a file, or null when it cannot be read. */
export type ReadFile = (path: string) => string | null;

export interface Limit {
  readonly bytes: number;
  /** The file that says so. */
  readonly from: string;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return null;
  }
}

/** Where the memory limits of this process's groups may be read: folders from its own group up, and the files in each. */
function* groupFiles(read: ReadFile): Generator<string> {
  const groups = new Map<string, string>(); // "" for v2, else "memory": path of the own group
  for (const line of (read("/proc/self/cgroup") ?? "").split("\n")) {
    const [, controllers, path] = /^[0-9]+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined) continue;
    if (controllers === "") groups.set("", path);
    else if (controllers!.split(",").includes("memory")) groups.set("memory", path);
  }
  for (const line of (read("/proc/self/mountinfo") ?? "").split("\n")) {
    const [left = "", right = ""] = line.split(" - ");
    const [, , , root = "", point = ""] = left.split(" ");
    const [type, , options = ""] = right.split(" ");
    const unified = type === "cgroup2";
    if (!unified && !(type === "cgroup" && options.split(",").includes("memory"))) continue;
    const own = groups.get(unified ? "" : "memory");
    if (own === undefined) continue;
    // The path of the group within this mount; a group outside of what is mounted is seen as its root.
    const base = root === "/" ? "" : root;
    let path = own === base || own.startsWith(`${base}/`) ? own.slice(base.length) : "";
    path = path.split("/").includes("..") ? "" : path.replace(/\/+$/, "");
    for (;;) {
      const folder = point.replaceAll("\\040", " ") + path;
      if (unified) {
        yield `${folder}/memory.max`;
        yield `${folder}/memory.high`;
      } else yield `${folder}/memory.limit_in_bytes`;
      if (path === "") break;
      path = path.slice(0, path.lastIndexOf("/"));
    }
  }
}

/** The smallest limit on this process's memory. */
export function readLimit(read: ReadFile = readText): Limit {
  const total = /^MemTotal:\s*([0-9]+) kB/m.exec(read("/proc/meminfo") ?? "");
  let least: Limit = { bytes: total === null ? totalmem() : Number(total[1]) * 1024, from: "the machine" };
  for (const from of groupFiles(read)) {
    const text = (read(from) ?? "").trim();
    const bytes = /^[0-9]+$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY; // "max", or no such file
    if (bytes < least.bytes) least = { bytes, from };
  }
  return least;
}

/** Whether memory in use comes near `maxmemory`, so that bytes are worth hits. */
export function nearlyFull(usedBytes: number, maxmemory: number): boolean {
  return maxmemory > 0 && usedBytes > maxmemory * NEARLY_FULL;
}

/** What `maxmemory auto` is for so many workers under a limit. */
export function ceilingOf(limit: number, workers: number): number {
  return Math.max(FLOOR_BYTES, Math.floor(limit * SHARE) - workers * RESERVE_BYTES);
}

/** The ceiling a second later: `target`, or a step down towards it. */
export function nextCeiling(current: number, target: number): number {
  return Math.max(target, Math.floor(current * LOWERED));
}

/** Keeps the derived value of `maxmemory` what the machine gives. */
export class Ceiling {
  private current: number;
  private target: number;
  private seconds = 0;

  constructor(
    settings: Settings,
    private readonly workers: number,
    private readonly read: ReadFile = readText,
  ) {
    const limit = readLimit(read);
    this.current = ceilingOf(limit.bytes, workers);
    this.target = this.current;
    settings.derive("maxmemory", String(this.current));
    const derived = settings.isDerived("maxmemory");
    logLine("notice", -1, "memory ceiling", {
      maxmemory: settings.get("maxmemory"),
      source: derived ? "auto" : "set",
      ...(derived ? { limit: limit.bytes, from: limit.from } : {}),
      policy: settings.get("maxmemory-policy"),
    });
  }

  /** To be called once a second. Whether the settings have changed. */
  second(control: Control): boolean {
    if (++this.seconds % READ_SECONDS === 0)
      this.target = ceilingOf(readLimit(this.read).bytes, this.workers);
    const next = nextCeiling(this.current, this.target);
    if (next === this.current) return false;
    this.current = next;
    control.changeSettings((text) => {
      const settings = Settings.from(JSON.parse(text));
      settings.derive("maxmemory", String(next));
      return JSON.stringify(settings.state());
    });
    return true;
  }
}
