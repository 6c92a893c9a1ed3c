// ceiling.test.ts: what `maxmemory auto` makes of the limits of machines and containers, with their files made up.
import { describe, expect, test } from "bun:test";
import { Settings } from "../../engine/config/settings.ts";
import { ceilingOf, nextCeiling, readLimit } from "../../engine/worker/ceiling.ts";

const MiB = 2 ** 20;
const meminfo = { "/proc/meminfo": "MemTotal:       8388608 kB\nMemFree: 1 kB\n" };
const unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

function limit(files: Readonly<Record<string, string>>): [number, string] {
  const { bytes, from } = readLimit((path) => ({ ...meminfo, ...files })[path] ?? null);
  return [bytes / MiB, from];
}

describe("the limit", () => {
  test("without groups it is the machine's memory", () => {
    expect(limit({})).toEqual([8192, "the machine"]);
    expect(limit({ "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": unified })).toEqual([
      8192,
      "the machine",
    ]);
  });

  test("v2: the least of the own group and those above it", () => {
    const files = {
      "/proc/self/cgroup": "0::/a/b\n",
      "/proc/self/mountinfo": unified,
      "/sys/fs/cgroup/a/b/memory.max": `${1024 * MiB}\n`,
      "/sys/fs/cgroup/a/memory.max": "max\n",
    };
    expect(limit(files)).toEqual([1024, "/sys/fs/cgroup/a/b/memory.max"]);
    expect(limit({ ...files, "/sys/fs/cgroup/a/memory.max": `${512 * MiB}\n` })).toEqual([
      512,
      "/sys/fs/cgroup/a/memory.max",
    ]);
    expect(limit({ ...files, "/sys/fs/cgroup/a/b/memory.high": `${256 * MiB}\n` })).toEqual([
      256,
      "/sys/fs/cgroup/a/b/memory.high",
    ]);
    expect(limit({ ...files, "/sys/fs/cgroup/a/c/memory.max": "1\n" })[0]).toBe(1024);
  });

  test("v2 in a container that sees its own group as the root, and one that sees it by its full path", () => {
    const own = { "/sys/fs/cgroup/memory.max": `${300 * MiB}\n` };
    expect(limit({ ...own, "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": unified })[0]).toBe(300);
    const bound = unified.replace(" / /sys", " /docker/x /sys");
    const full = { ...own, "/proc/self/mountinfo": bound };
    expect(limit({ ...full, "/proc/self/cgroup": "0::/docker/x\n" })[0]).toBe(300);
    const below = { "/sys/fs/cgroup/y/memory.max": `${200 * MiB}\n` };
    expect(limit({ ...full, ...below, "/proc/self/cgroup": "0::/docker/x/y\n" })[0]).toBe(200);
    // Elsewhere, or outside: what is mounted is all that can be seen.
    expect(limit({ ...full, "/proc/self/cgroup": "0::/docker/xy\n" })[0]).toBe(300);
    expect(limit({ ...full, "/proc/self/cgroup": "0::/../other\n" })[0]).toBe(300);
  });

  test("v1, beside a v2 without memory", () => {
    const files = {
      "/proc/self/cgroup": "4:cpu,memory:/jobs/1\n1:name=systemd:/\n0::/\n",
      "/proc/self/mountinfo":
        "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n" +
        "32 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    };
    expect(limit(files)[0]).toBe(8192);
    const path = "/sys/fs/cgroup/memory/jobs/1/memory.limit_in_bytes";
    expect(limit({ ...files, [path]: `${2048 * MiB}\n` })).toEqual([2048, path]);
  });
});

test("the ceiling is 70 % less 64 MiB a worker, and at least 64 MiB", () => {
  expect(ceilingOf(8192 * MiB, 4)).toBe(Math.floor(8192 * MiB * 0.7) - 256 * MiB);
  expect(ceilingOf(256 * MiB, 4)).toBe(64 * MiB);
});

test("it rises at once and falls by 2 % at a time", () => {
  expect(nextCeiling(100, 1000)).toBe(1000);
  expect(nextCeiling(1000, 100)).toBe(980);
  expect(nextCeiling(1000, 990)).toBe(990);
  let steps = 0;
  for (let at = 2 ** 34; at > 2 ** 33; at = nextCeiling(at, 2 ** 33)) steps++;
  expect(steps).toBe(35);
});

test("settings: auto stands for what the machine gives, in whatever layer it is said", () => {
  const { settings } = Settings.load({
    flags: [["maxmemory", "AUTO"]],
    environment: { IRONCACHE_MAXMEMORY: "3gb" },
  });
  expect(settings.get("maxmemory")).toBe("0");
  settings.derive("maxmemory", "1000");
  expect([settings.get("maxmemory"), settings.isDerived("maxmemory")]).toEqual(["1000", true]);
  expect(settings.set([["maxmemory", "2kb"]])).toBeNull();
  settings.derive("maxmemory", "3000");
  expect([settings.number("maxmemory"), settings.isDerived("maxmemory")]).toEqual([2048, false]);
  expect(settings.set([["maxmemory", "auto"]])).toBeNull();
  const other = Settings.from(JSON.parse(JSON.stringify(settings.state())));
  expect([other.number("maxmemory"), other.isDerived("maxmemory")]).toEqual([3000, true]);
  expect(other.set([["maxmemory", "0"]])).toBeNull();
  expect([other.number("maxmemory"), other.isDerived("maxmemory")]).toEqual([0, false]);
});
