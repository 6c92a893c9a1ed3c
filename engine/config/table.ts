// table.ts: one row a setting: its name, type, default, range, when it may change, what it is for. The flag parser, the
// TOML reader, CONFIG and the documentation derive from these rows. A setting without a row does not exist.
//
// Values are kept as the text that CONFIG GET prints (memory in bytes, bools as yes and no); `read` makes that text out
// of what a person wrote, or says what is wrong in Redis's words. Pure; control plane only.
// Neighbours: settings.ts layers values; nothing here knows the engine.

/** Where a setting may change: `boot` only before the process serves, `live` at any time. */
export type SettingScope = "boot" | "live";

/** A value in canonical text, or the reason why there is none. */
export type Reading = { readonly value: string } | { readonly error: string };

export interface SettingRow {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly type: string;
  /** In canonical text. */
  readonly default: string;
  readonly scope: SettingScope;
  /** "auto" stands for what the machine gives: the derived layer's value, 0 where there is none. */
  readonly derives: boolean;
  /** CONFIG SET needs leave (enable-protected-configs) that does not exist yet. */
  readonly protected: boolean;
  /** Accepted and echoed only: what it tunes elsewhere does not exist here. */
  readonly inert: boolean;
  readonly help: string;
  /** Milliseconds in the unit of a duration, so that a file may say "5s"; 0 for what is no duration. */
  readonly unitMs: number;
  /** What CONFIG GET prints for a value, where that is not the value. */
  readonly shown: (value: string) => string;
  /** `current` is the value so far: settings of several parts change only the parts named. */
  read(text: string, current: string): Reading;
}

interface Options {
  readonly aliases?: readonly string[];
  readonly scope?: SettingScope;
  readonly derives?: boolean;
  readonly protected?: boolean;
  readonly inert?: boolean;
  readonly unitMs?: number;
  readonly shown?: (value: string) => string;
}

const INT_MAX = 2147483647n;
const LONG_MAX = 9223372036854775807n;

function row(
  name: string,
  type: string,
  initial: string,
  help: string,
  options: Options,
  read: SettingRow["read"],
): SettingRow {
  return {
    name,
    aliases: options.aliases ?? [],
    type,
    default: initial,
    scope: options.scope ?? "live",
    derives: options.derives ?? false,
    protected: options.protected ?? false,
    inert: options.inert ?? false,
    unitMs: options.unitMs ?? 0,
    shown: options.shown ?? ((value) => value),
    help,
    read,
  };
}

function range(value: bigint, min: bigint, max: bigint): Reading {
  if (value < min || value > max) return { error: `argument must be between ${min} and ${max} inclusive` };
  return { value: value.toString() };
}

/** An integer in canonical form, as Redis reads numbers everywhere. */
function integer(
  name: string,
  initial: number,
  min: bigint,
  max: bigint,
  help: string,
  options: Options = {},
): SettingRow {
  return row(name, "integer", String(initial), help, options, (text) =>
    canonicalInteger(text)
      ? range(BigInt(text), min, max)
      : { error: "argument couldn't be parsed into an integer" },
  );
}

function canonicalInteger(text: string): boolean {
  if (!/^(0|-?[1-9][0-9]{0,18})$/.test(text)) return false;
  const value = BigInt(text);
  return value <= LONG_MAX && value >= -LONG_MAX - 1n;
}

const memoryUnits: Readonly<Record<string, bigint>> = {
  "": 1n,
  b: 1n,
  k: 1000n,
  kb: 1024n,
  m: 1000n * 1000n,
  mb: 1024n * 1024n,
  g: 1000n * 1000n * 1000n,
  gb: 1024n * 1024n * 1024n,
};

/** Bytes of a size such as 100mb; null when it is none. As in Redis an empty text is 0, and what passes 64 bits is the
 *  most that 64 bits hold. */
export function parseMemory(text: string): bigint | null {
  const match = /^([0-9]*)([a-z]*)$/.exec(text.toLowerCase());
  const unit = match === null ? undefined : memoryUnits[match[2]!];
  if (match === null || unit === undefined) return null;
  const most = 2n ** 64n - 1n;
  const digits = BigInt(match[1] === "" ? "0" : match[1]!.slice(0, 40));
  const bytes = (digits > most ? most : digits) * unit;
  return bytes > most ? most : bytes;
}

function memory(
  name: string,
  initial: bigint,
  min: bigint,
  max: bigint,
  help: string,
  options: Options = {},
): SettingRow {
  return row(name, "memory", initial.toString(), help, options, (text) => readMemory(text, min, max));
}

function readMemory(text: string, min: bigint, max: bigint): Reading {
  const bytes = parseMemory(text);
  return bytes === null ? { error: "argument must be a memory value" } : range(bytes, min, max);
}

function bool(name: string, initial: boolean, help: string, options: Options = {}): SettingRow {
  return row(name, "bool", initial ? "yes" : "no", help, options, readBool);
}

function readBool(text: string): Reading {
  const value = text.toLowerCase();
  return value === "yes" || value === "no" ? { value } : { error: "argument must be 'yes' or 'no'" };
}

/** A bool that can only be off: what it would turn on does not exist here, and saying yes must not look like it did. */
function onlyOff(name: string, reason: string, help: string, options: Options = {}): SettingRow {
  return row(name, "bool", "no", help, options, (text) => {
    const reading = readBool(text);
    return "value" in reading && reading.value === "yes" ? { error: reason } : reading;
  });
}

function choice(
  name: string,
  values: readonly string[],
  initial: string,
  help: string,
  options: Options = {},
): SettingRow {
  return row(name, `one of ${values.join(", ")}`, initial, help, options, (text) => {
    const value = text.toLowerCase();
    if (values.includes(value)) return { value };
    return { error: `argument(s) must be one of the following: ${values.join(", ")}` };
  });
}

function text(name: string, initial: string, help: string, options: Options = {}): SettingRow {
  return row(name, "string", initial, help, options, (value) =>
    /[\0\r\n]/.test(value) ? { error: "argument must not hold control characters" } : { value },
  );
}

const policies = [
  "volatile-lru",
  "volatile-lfu",
  "volatile-random",
  "volatile-ttl",
  "allkeys-lru",
  "allkeys-lfu",
  "allkeys-random",
  "noeviction",
];

function readPolicy(text: string): Reading {
  const value = text.toLowerCase();
  if (!policies.includes(value))
    return { error: `argument(s) must be one of the following: ${policies.join(", ")}` };
  return { value };
}

function readRules(text: string): Reading {
  const words = text.split(/\s+/).filter((word) => word !== "");
  const whole =
    words.length % 2 === 0 && words.every((word, i) => i % 2 === 0 || /^(zstd|lz4|none)$/.test(word));
  return whole
    ? { value: words.join(" ") }
    : { error: "argument must be prefixes, each with zstd, lz4 or none" };
}

function readWorkers(text: string): Reading {
  const value = text.toLowerCase();
  if (value === "auto") return { value };
  if (!/^[0-9]{1,3}$/.test(value) || Number(value) < 1 || Number(value) > 64)
    return { error: "argument must be auto or a number between 1 and 64" };
  return { value: String(Number(value)) };
}

function readOctal(text: string): Reading {
  if (!/^[0-7]{1,4}$/.test(text) || Number.parseInt(text, 8) > 0o777)
    return { error: "argument must be between 0 and 777 in octal" };
  return { value: Number.parseInt(text, 8).toString(8) };
}

function readSave(text: string): Reading {
  const words = text.split(" ").filter((word) => word !== "");
  if (words.length === 0) return { value: "" };
  if (words.length % 2 !== 0 || !words.every((word) => /^[0-9]{1,9}$/.test(word)))
    return { error: "Invalid save parameters" };
  return { error: 'this version writes no snapshots: only "" can be set' };
}

/** The classes of client-output-buffer-limit in the order in which it is printed. */
export const outputClasses = ["normal", "slave", "pubsub"] as const;

const wrongLimits = "Wrong number of arguments in buffer limit configuration.";
const wrongClass = "Invalid client class specified in buffer limit configuration.";
const wrongLimit = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";

function readOutputLimits(text: string, current: string): Reading {
  const words = text.split(" ").filter((word) => word !== "");
  if (words.length % 4 !== 0) return { error: wrongLimits };
  const limits = new Map<string, string>();
  const old = current.split(" ");
  for (let i = 0; i + 3 < old.length; i += 4) limits.set(old[i]!, old.slice(i + 1, i + 4).join(" "));
  for (let i = 0; i < words.length; i += 4) {
    const word = words[i]!.toLowerCase();
    const name = word === "replica" ? "slave" : word;
    if (!(outputClasses as readonly string[]).includes(name)) return { error: wrongClass };
    const hard = parseMemory(words[i + 1]!);
    const soft = parseMemory(words[i + 2]!);
    if (hard === null || soft === null || !/^[0-9]{1,10}$/.test(words[i + 3]!)) return { error: wrongLimit };
    limits.set(name, `${hard} ${soft} ${Number(words[i + 3])}`);
  }
  return { value: outputClasses.map((name) => `${name} ${limits.get(name) ?? "0 0 0"}`).join(" ") };
}

/** Letters of notify-keyspace-events in the order in which Redis prints them; A stands for all up to the d. */
const notifyLetters = "g$lshzxetdn";

function readNotify(text: string): Reading {
  if (/[^Ag$lshzxeKEtmdn]/.test(text))
    return { error: "Invalid event class character. Use 'Ag$lshzxeKEtmdn'." };
  const has = (letter: string) => text.includes(letter) || (text.includes("A") && !"nKEm".includes(letter));
  const all = [...notifyLetters].every((letter) => letter === "n" || has(letter));
  const classes = all ? `A${has("n") ? "n" : ""}` : [...notifyLetters].filter(has).join("");
  return { value: classes + [..."KEm"].filter(has).join("") };
}

const MB = 1024n * 1024n;
const inert: Options = { inert: true };

/** Every setting, in the order in which CONFIG GET prints them. */
export const settingRows: readonly SettingRow[] = [
  // Sockets
  text("bind", "127.0.0.1 -::1", "Addresses to listen on; one after a minus may be missing.", {
    scope: "boot",
  }),
  integer("port", 6379, 0n, 65535n, "TCP port to listen on, 0 for none.", { scope: "boot" }),
  text("unixsocket", "", "Path of a Unix socket to listen on.", { scope: "boot" }),
  row(
    "unixsocketperm",
    "octal",
    "700",
    "Permissions of the Unix socket, in octal.",
    { scope: "boot" },
    readOctal,
  ),
  integer("tcp-backlog", 511, 0n, INT_MAX, "Connections the kernel may hold before they are accepted.", {
    scope: "boot",
  }),
  integer("tcp-keepalive", 300, 0n, INT_MAX, "Seconds of silence before a peer is probed, 0 for never.", {
    unitMs: 1000,
  }),
  integer("timeout", 0, 0n, INT_MAX, "Seconds after which an idle connection is closed, 0 for never.", {
    unitMs: 1000,
  }),
  integer("maxclients", 10000, 1n, 4294967295n, "Most connections at a time."),
  // Engine
  row(
    "workers",
    "auto or integer",
    "auto",
    "Worker threads; auto is one for each core.",
    { scope: "boot", aliases: ["shards"] },
    readWorkers,
  ),
  choice("io-driver", ["auto", "uring", "epoll", "bun"], "auto", "How sockets are driven.", {
    scope: "boot",
    aliases: ["io"],
  }),
  integer("databases", 16, 1n, 16n, "Databases that SELECT knows.", { scope: "boot" }),
  // Memory
  row(
    "maxmemory",
    "memory or auto",
    "auto",
    "Memory above which keys are evicted, or writes refused: auto, a size, or 0 for no limit.",
    { derives: true },
    (text) => (text.toLowerCase() === "auto" ? { value: "auto" } : readMemory(text, 0n, 2n ** 64n - 1n)),
  ),
  row(
    "maxmemory-policy",
    "policy",
    "allkeys-lru",
    "Which keys go when memory is full; noeviction: none, and writes are refused.",
    {},
    readPolicy,
  ),
  bool("activedefrag", true, "Whether values are moved together so that memory can be given back."),
  memory(
    "active-defrag-ignore-bytes",
    100n * MB,
    1n,
    LONG_MAX,
    "Bytes of waste in a shard up to which the least effort is enough.",
  ),
  integer(
    "active-defrag-threshold-lower",
    10,
    0n,
    1000n,
    "Percent of waste, beside what lives, from which values are moved together.",
  ),
  integer(
    "active-defrag-threshold-upper",
    100,
    0n,
    1000n,
    "Percent of waste from which that is done with the most effort.",
  ),
  integer("active-defrag-cycle-min", 1, 1n, 99n, "Least effort: percent of a core."),
  integer(
    "active-defrag-cycle-max",
    25,
    1n,
    99n,
    "Most effort: percent of a core. An idle server takes it in any case.",
  ),
  integer(
    "active-defrag-max-scan-fields",
    1000,
    1n,
    LONG_MAX,
    "No effect: collections of any size are walked in steps.",
    inert,
  ),
  choice(
    "compression",
    ["auto", "on", "off", "always"],
    "auto",
    "Whether strings that have grown cold are compressed: auto takes 5 % of a core, half while memory is nearly full, on always half; always is for tests.",
  ),
  choice(
    "compression-codec",
    ["auto", "zstd", "lz4"],
    "auto",
    "How: auto takes for each prefix of keys what does better; zstd needs the system's libzstd.",
  ),
  row(
    "compression-rule",
    "rules",
    "",
    "Prefixes of keys (up to the first colon), each with zstd, lz4 or none.",
    {},
    readRules,
  ),
  integer("compression-floor", 96, 1n, 65536n, "Shortest string that is compressed, in bytes."),
  integer(
    "compression-age",
    600,
    0n,
    INT_MAX,
    "For how long a string lies untouched before it is compressed, in seconds; 1 at most while memory is nearly full.",
    { unitMs: 1000 },
  ),
  bool("memory-curve", true, "Whether reads are sampled to tell what other sizes of memory would do."),
  // Protocol
  memory("proto-max-bulk-len", 512n * MB, MB, LONG_MAX, "Longest string, in a request and as a value."),
  integer("proto-max-multibulk", 1048576, 1n, INT_MAX, "Most arguments of a command."),
  memory("proto-max-inline", 65536n, 1024n, INT_MAX, "Longest inline command."),
  memory(
    "client-query-buffer-limit",
    1024n * MB,
    MB,
    LONG_MAX,
    "Most bytes of a connection's unread commands.",
  ),
  row(
    "client-output-buffer-limit",
    "limits",
    "normal 1073741824 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
    "Per class of clients: hard limit, soft limit and its seconds for unsent replies.",
    {},
    readOutputLimits,
  ),
  // Events
  row(
    "notify-keyspace-events",
    "letters",
    "",
    "Which events of keys are published, and on which channels.",
    // As in Redis, which does not say whether events of new keys are among all.
    { shown: (value) => value.replace("An", "A") },
    readNotify,
  ),
  integer(
    "tracking-table-max-keys",
    1_000_000,
    0n,
    LONG_MAX,
    "Most keys remembered for client-side caching, 0 for all.",
  ),
  // Data types
  memory(
    "hll-sparse-max-bytes",
    3000n,
    0n,
    LONG_MAX,
    "Longest sparse HyperLogLog; one that would grow longer becomes dense.",
  ),
  // Persistence
  row("save", "save points", "", "When to write snapshots; none are written now.", {}, readSave),
  onlyOff("appendonly", "this version keeps no log of writes", "Whether writes are logged; they are not."),
  text("dir", ".", "Directory of data files.", { protected: true }),
  // Observation and administration
  choice(
    "loglevel",
    ["debug", "verbose", "notice", "warning", "nothing"],
    "notice",
    "Least level that is logged.",
  ),
  text("logfile", "", "File to log to; empty is standard error.", { scope: "boot" }),
  choice("enable-debug-command", ["no", "yes", "local"], "no", "Who may use DEBUG.", { scope: "boot" }),
  // Refused when turned on: nothing here does what they promise.
  onlyOff(
    "daemonize",
    "use a supervisor: this server does not fork",
    "Whether to run in the background; not.",
    {
      scope: "boot",
    },
  ),
  onlyOff(
    "syslog-enabled",
    "this version does not write to syslog",
    "Whether to log to syslog; it does not.",
    {
      scope: "boot",
    },
  ),
  onlyOff(
    "aof-timestamp-enabled",
    "this version keeps no log of writes",
    "Whether the log of writes has times; no.",
  ),
  // Accepted and echoed, without effect.
  integer("maxmemory-samples", 5, 1n, INT_MAX, "No effect: nothing is sampled.", inert),
  integer("lfu-log-factor", 10, 0n, INT_MAX, "No effect: how requests count is learned.", inert),
  integer("lfu-decay-time", 1, 0n, INT_MAX, "No effect: how fast requests are forgotten is learned.", inert),
  integer("maxmemory-eviction-tenacity", 10, 0n, 100n, "No effect.", inert),
  integer("hash-max-listpack-entries", 512, 0n, LONG_MAX, "Fields up to which a hash stays packed.", {
    aliases: ["hash-max-ziplist-entries"],
  }),
  memory(
    "hash-max-listpack-value",
    64n,
    0n,
    LONG_MAX,
    "Bytes of a field or value up to which a hash stays packed.",
    {
      aliases: ["hash-max-ziplist-value"],
    },
  ),
  integer(
    "list-max-listpack-size",
    -2,
    -INT_MAX - 1n,
    INT_MAX,
    "Size up to which a list stays in one piece: -1 to -5 for 4 to 64 KiB, else elements.",
    {
      aliases: ["list-max-ziplist-size"],
    },
  ),
  integer(
    "list-compress-depth",
    0,
    0n,
    INT_MAX,
    "No effect: lists are kept packed and not compressed.",
    inert,
  ),
  integer(
    "set-max-intset-entries",
    512,
    0n,
    LONG_MAX,
    "Members up to which a set of integers stays a sorted array.",
  ),
  integer("set-max-listpack-entries", 128, 0n, LONG_MAX, "Members up to which a set stays packed."),
  memory("set-max-listpack-value", 64n, 0n, LONG_MAX, "Bytes of a member up to which a set stays packed."),
  integer("zset-max-listpack-entries", 128, 0n, LONG_MAX, "Members up to which a sorted set stays packed.", {
    aliases: ["zset-max-ziplist-entries"],
  }),
  memory(
    "zset-max-listpack-value",
    64n,
    0n,
    LONG_MAX,
    "Bytes of a member up to which a sorted set stays packed.",
    {
      aliases: ["zset-max-ziplist-value"],
    },
  ),
  choice(
    "sanitize-dump-payload",
    ["no", "yes", "clients"],
    "no",
    "No effect: payloads are always checked in full.",
    inert,
  ),
  bool("activerehashing", true, "No effect: tables grow in place.", inert),
  row("hz", "integer", "10", "No effect: nothing runs by ticks.", inert, (value) => {
    if (!canonicalInteger(value)) return { error: "argument couldn't be parsed into an integer" };
    const reading = range(BigInt(value), 0n, INT_MAX);
    if ("error" in reading) return reading;
    return { value: String(Math.max(1, Math.min(500, Number(value)))) };
  }),
  bool("dynamic-hz", true, "No effect.", inert),
  bool("lazyfree-lazy-eviction", false, "No effect: freeing costs the same either way.", inert),
  bool("lazyfree-lazy-expire", false, "No effect: freeing costs the same either way.", inert),
  bool("lazyfree-lazy-server-del", false, "No effect: freeing costs the same either way.", inert),
  bool("lazyfree-lazy-user-del", false, "No effect: freeing costs the same either way.", inert),
  bool("lazyfree-lazy-user-flush", false, "No effect: freeing costs the same either way.", inert),
  bool("jemalloc-bg-thread", true, "No effect: another allocator's thread.", inert),
  bool("disable-thp", true, "No effect.", { inert: true, scope: "boot" }),
  bool("rdb-save-incremental-fsync", true, "No effect.", inert),
  bool("crash-log-enabled", true, "No effect.", inert),
  bool("crash-memcheck-enabled", true, "No effect.", inert),
];

const byName = new Map<string, SettingRow>();
for (const each of settingRows) for (const name of [each.name, ...each.aliases]) byName.set(name, each);

/** The row of a name or alias in any case, with underscores or hyphens. */
export function settingRow(name: string): SettingRow | undefined {
  return byName.get(name.toLowerCase().replaceAll("_", "-"));
}

/** Names and aliases in table order. */
export const settingNames: readonly string[] = settingRows.flatMap((each) => [each.name, ...each.aliases]);

/** The name that looks most like an unknown one, "" when none does. */
export function nearestName(name: string): string {
  const wanted = name.toLowerCase().replaceAll("_", "-").slice(0, 64);
  let nearest = "";
  let least = Math.max(2, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of settingNames) {
    const distance = editDistance(wanted, candidate);
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

/** Insertions, deletions and replacements between two words (Wagner and Fischer). */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++)
      current.push(
        Math.min(previous[j]! + 1, current[j - 1]! + 1, previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)),
      );
    previous = current;
  }
  return previous[b.length]!;
}
