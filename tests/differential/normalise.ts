// How two replies are compared when equal bytes are too much to ask. A normaliser answers null when the subject's
// reply is right given the oracle's, else a sentence that says what differs; each is as strict as it can be (kinds and
// containers always count). `byName` gives the normaliser of a command whose reply holds time, addresses or chance;
// everything else is compared byte for byte. Neighbours: harness.ts applies them, resp.ts parses.

import { type Bytes, parseReply, type Reply, replyEnd, show, textOf } from "./resp.ts";

export interface Normaliser {
  name: string;
  /** Null when the subject's reply is right, else what differs. */
  differs(oracle: Bytes, subject: Bytes): string | null;
  /** True when time passing between two replies can make it differ: such a case is tried again before it fails. */
  timed?: boolean;
}

/** "redis" when the subject is redis-server itself: then versions and field lists are the oracle's, not the contract's. */
let subjectKind: "ironcache" | "redis" = "ironcache";
export function setSubjectKind(kind: "ironcache" | "redis"): void {
  subjectKind = kind;
}

/** What we say in INFO and HELLO, whatever version the oracle is. */
export const contractVersion = "7.4.0";

export const exact: Normaliser = {
  name: "bytes",
  differs: (oracle, subject) => (Buffer.compare(oracle, subject) === 0 ? null : "bytes differ"),
};

function byTree(
  name: string,
  differs: (oracle: Reply, subject: Reply) => string | null,
  timed = false,
): Normaliser {
  return {
    name,
    timed,
    differs: (oracle, subject) => {
      const a = parseReply(oracle);
      const b = parseReply(subject);
      if (a.kind === "-" || b.kind === "-" || a.text === "QUEUED") return exact.differs(oracle, subject);
      if (a.kind !== b.kind) return `kind ${a.kind} became ${b.kind}`;
      return differs(a, b);
    },
  };
}

/** EXEC: each element as the reply to its command, or as bytes where the reply has not as many. */
export function transaction(commands: readonly (readonly (string | Bytes)[])[]): Normaliser {
  const normalisers = commands.map(byName);
  return {
    name: "transaction",
    timed: normalisers.some(({ timed }) => timed === true),
    differs: (oracle, subject) => {
      const [left, right] = [oracle, subject].map(elements);
      if (left?.length !== commands.length || right?.length !== commands.length)
        return exact.differs(oracle, subject);
      for (const [i, normaliser] of normalisers.entries()) {
        const why = normaliser.differs(left[i]!, right[i]!);
        if (why !== null) return `element ${i}, ${normaliser.name}: ${why}`;
      }
      return null;
    },
  };
}

/** The elements of an array, each as bytes; null for what is none. */
function elements(reply: Bytes): Bytes[] | null {
  if (reply[0] !== 42 || reply[1] === 45) return null; // "*-1"
  const parts: Bytes[] = [];
  for (let at = reply.indexOf(10) + 1; at < reply.length; ) {
    const end = replyEnd(reply, at, reply.length);
    parts.push(reply.subarray(at, end));
    at = end;
  }
  return parts;
}

/** Top-level elements in any order. */
export const multiset = byTree("multiset", (a, b) => {
  const left = sortedItems(a);
  const right = sortedItems(b);
  return JSON.stringify(left) === JSON.stringify(right) ? null : "elements differ as a multiset";
});

/** Text without the format of a verbatim string, which must be "txt". */
function body(reply: Reply): string {
  if (reply.kind !== "=") return reply.text;
  return reply.text.startsWith("txt:") ? reply.text.slice(4) : `(format ${reply.text.slice(0, 4)})`;
}

/** Only the kind of the reply counts. */
export const kindOnly = byTree("kind only", () => null);

/** Integers equal within `tolerance`; -1 and -2 must be exact. */
export function within(tolerance: number): Normaliser {
  return byTree(
    `within ${tolerance}`,
    (a, b) => {
      const left = BigInt(a.text);
      const right = BigInt(b.text);
      if (left < 0n || right < 0n) return left === right ? null : "answers differ";
      const gap = left > right ? left - right : right - left;
      return gap <= BigInt(tolerance) ? null : `${gap} apart, ${tolerance} allowed`;
    },
    true,
  );
}

/** A bulk that is one of these. The oracle's must be too. */
export function oneOf(...choices: string[]): Normaliser {
  return byTree("one of", (a, b) => {
    if (!choices.includes(a.text)) return `the oracle's ${show(a.text)} is not among the choices`;
    return choices.includes(b.text) ? null : `${show(b.text)} is not among the choices`;
  });
}

/** An integer of at least `least` on both sides. */
export function integerFrom(least: number): Normaliser {
  return byTree(`integer from ${least}`, (a, b) => {
    if (a.kind !== ":") return `kind ${a.kind} is not an integer`;
    return Number(b.text) >= least ? null : `${b.text} is below ${least}`;
  });
}

/** TIME: two decimal strings, the same second or so, microseconds below a million. */
const time = byTree(
  "time",
  (a, b) => {
    const [seconds, micros] = b.items ?? [];
    if (b.items?.length !== 2 || seconds.kind !== "$" || micros.kind !== "$") return "not two bulks";
    if (!/^(0|[1-9][0-9]*)$/.test(micros.text) || Number(micros.text) > 999_999)
      return `microseconds ${micros.text}`;
    const gap = Math.abs(Number(seconds.text) - Number(a.items![0].text));
    return gap <= 2 ? null : `${gap} seconds apart`;
  },
  true,
);

/** HELLO: the same keys in the same order, equal values but for version and id. */
const hello = byTree("hello", (a, b) => {
  const left = a.items ?? [];
  const right = b.items ?? [];
  if (left.length !== right.length) return `${left.length} elements became ${right.length}`;
  for (let i = 0; i < left.length; i += 2) {
    if (canonical(left[i]) !== canonical(right[i]))
      return `key ${show(left[i].text)} became ${show(right[i].text)}`;
    const value = right[i + 1];
    if (left[i].text === "version") {
      const due = subjectKind === "redis" ? left[i + 1].text : contractVersion;
      if (value.kind !== "$" || value.text !== due) return `version ${show(value.text)} instead of ${due}`;
    } else if (left[i].text === "id") {
      if (value.kind !== ":" || Number(value.text) < 1) return `id ${show(value.text)}`;
    } else if (canonical(left[i + 1]) !== canonical(value)) return `value of ${left[i].text} differs`;
  }
  return null;
});

/** The first line of a HELP answer exactly, then at least one pair of lines, all simple strings. */
export const help = byTree("help", (a, b) => {
  const lines = b.items ?? [];
  if (lines.some((line) => line.kind !== "+")) return "a line is not a simple string";
  if (lines.length < 5) return "too few lines";
  if (lines[0].text !== a.items![0].text) return `first line is ${show(lines[0].text)}`;
  const tail = lines.slice(-2).map((line) => line.text);
  return /^HELP, {4}Prints? this help\.$/.test(tail.join()) ? null : "the last two lines are not HELP's";
});

/** CLIENT LIST fields in the contract's order. */
const clientFields =
  `id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem
  multi-mem rbs rbp obl oll omem tot-mem events cmd user redir resp lib-name lib-ver tot-net-in tot-net-out tot-cmds
  io-thread`.split(/\s+/);
/** Fields whose value is memory, time or an address: only its shape counts. */
const shapedFields = new Set(
  `id addr laddr fd age idle qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll omem tot-mem events tot-net-in
  tot-net-out tot-cmds io-thread`.split(/\s+/),
);

/** CLIENT LIST and CLIENT INFO: names in order; values of the fields the oracle has too; the rest by shape. Lines in
 *  any order. */
export const clientLines = byTree("client lines", (a, b) => {
  if (body(a) === "" || body(b) === "") return body(a) === body(b) ? null : "one side lists nobody";
  const left = body(a).split("\n");
  const right = body(b).split("\n");
  if (left.length !== right.length) return `${left.length - 1} lines became ${right.length - 1}`;
  if (right[right.length - 1] !== "") return "the last line does not end in LF";
  const seen: string[][] = [];
  const due: string[][] = [];
  for (let i = 0; i + 1 < left.length; i++) {
    const ours = fieldsOf(right[i]);
    const names = subjectKind === "redis" ? [...fieldsOf(left[i]).keys()] : clientFields;
    if ([...ours.keys()].join() !== names.join()) return `fields ${[...ours.keys()].join(" ")}`;
    for (const [name, value] of ours)
      if (!clientShape(name).test(value)) return `field ${name}=${show(value)} has the wrong shape`;
    const common = [...fieldsOf(left[i]).keys()].filter((name) => ours.has(name) && !shapedFields.has(name));
    seen.push(common.map((name) => `${name}=${ours.get(name)}`));
    due.push(common.map((name) => `${name}=${fieldsOf(left[i]).get(name)}`));
  }
  const gap = due.map((line) => line.join(" ")).sort();
  const got = seen.map((line) => line.join(" ")).sort();
  for (let i = 0; i < gap.length; i++)
    if (gap[i] !== got[i]) return `"${show(gap[i])}" became "${show(got[i])}"`;
  return null;
});

function clientShape(name: string): RegExp {
  if (name === "addr" || name === "laddr") return /^127\.0\.0\.1:[0-9]+$/;
  if (name === "events") return /^[rw]*$/;
  if (name === "fd") return /^-?[0-9]+$/;
  return shapedFields.has(name) ? /^[0-9]+$/ : /^/;
}

function fieldsOf(line: string): Map<string, string> {
  return new Map(
    line.split(" ").map((field) => [field.slice(0, field.indexOf("=")), field.slice(field.indexOf("=") + 1)]),
  );
}

/** INFO fields that exporters and people read, by section; the subject must have each, as the oracle's kind of value. */
const infoFields: Record<string, string> = {
  Server: `redis_version redis_mode os arch_bits monotonic_clock multiplexing_api process_id process_supervised run_id
    tcp_port server_time_usec uptime_in_seconds uptime_in_days hz executable config_file io_threads_active`,
  Clients: `connected_clients cluster_connections maxclients client_recent_max_input_buffer
    client_recent_max_output_buffer blocked_clients tracking_clients clients_in_timeout_table`,
  Memory: `used_memory used_memory_human used_memory_rss used_memory_peak used_memory_peak_perc used_memory_overhead
    used_memory_startup used_memory_dataset used_memory_dataset_perc total_system_memory maxmemory maxmemory_policy
    allocator_allocated allocator_active allocator_resident mem_fragmentation_ratio mem_fragmentation_bytes
    allocator_frag_ratio mem_clients_normal mem_clients_slaves mem_replication_backlog mem_aof_buffer
    mem_not_counted_for_evict mem_allocator lazyfree_pending_objects lazyfreed_objects`,
  Persistence: `loading async_loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time
    rdb_last_bgsave_status rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec rdb_saves rdb_last_cow_size
    rdb_last_load_keys_loaded rdb_last_load_keys_expired aof_enabled aof_rewrite_in_progress`,
  Stats: `total_connections_received total_commands_processed instantaneous_ops_per_sec total_net_input_bytes
    total_net_output_bytes instantaneous_input_kbps instantaneous_output_kbps rejected_connections sync_full
    sync_partial_ok sync_partial_err expired_keys expired_stale_perc evicted_keys evicted_clients keyspace_hits
    keyspace_misses pubsub_channels pubsub_patterns latest_fork_usec total_forks tracking_total_keys
    tracking_total_items tracking_total_prefixes unexpected_error_replies total_error_replies total_reads_processed
    total_writes_processed`,
  Replication: "role connected_slaves master_failover_state master_replid master_repl_offset",
  CPU: "used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children",
  Cluster: "cluster_enabled",
};

const ownSections = new Set(["Compression", "IronCache"]);

/** INFO: the oracle's sections in the oracle's order (two more may follow), the fields above, kinds of values; the
 *  lines of Keyspace and Errorstats, and keys and calls of Commandstats, exactly. */
export const info = byTree("info", (a, b) => {
  const left = sectionsOf(body(a));
  const right = sectionsOf(body(b));
  if (subjectKind === "redis") right.delete("Threads");
  const ours = [...right.keys()].filter((name) => left.has(name));
  if (ours.join() !== [...left.keys()].join()) return `sections ${[...right.keys()].join(" ")}`;
  const extra = [...right.keys()].filter((name) => !left.has(name) && !ownSections.has(name));
  if (extra.length > 0) return `sections nobody asked for: ${extra.join(" ")}`;
  for (const [section, theirs] of left) {
    const fields = right.get(section)!;
    if (section === "Keyspace" || section === "Errorstats" || section === "Commandstats") {
      const due = [...theirs].map(([name, value]) => `${name}:${stableStats(value)}`);
      for (const line of due) {
        const name = line.slice(0, line.indexOf(":"));
        const got = `${name}:${stableStats(fields.get(name) ?? "")}`;
        if (got !== line) return `${section}: ${line} became ${got}`;
      }
      continue;
    }
    for (const name of (infoFields[section] ?? "").split(/\s+/)) {
      const value = fields.get(name);
      const due = theirs.get(name);
      if (due === undefined) continue;
      if (value === undefined) return `${section} has no ${name}`;
      if (name === "redis_version" && subjectKind !== "redis") {
        if (value !== contractVersion) return `redis_version ${value}`;
      } else if (infoShape(value) !== infoShape(due)) return `${name}: ${due} became ${value}`;
    }
  }
  return null;
});

function stableStats(value: string): string {
  return value.replace(/usec=\d+|usec_per_call=[\d.]+|avg_ttl=\d+|,subexpiry=\d+/g, "");
}

function infoShape(value: string): string {
  if (/^-?[0-9]+$/.test(value)) return "integer";
  if (/^-?[0-9]+\.[0-9]+$/.test(value)) return "decimal";
  if (/^-?[0-9.]+%$/.test(value)) return "percentage";
  if (/^[0-9.]+[BKMGT]$/.test(value)) return "human";
  if (/^[0-9a-f]{40}$/.test(value)) return "run id";
  return "text";
}

function sectionsOf(text: string): Map<string, Map<string, string>> {
  const sections = new Map<string, Map<string, string>>();
  let current = new Map<string, string>();
  for (const line of text.split("\r\n")) {
    if (line.startsWith("# ")) {
      current = new Map();
      sections.set(line.slice(2), current);
    } else if (line !== "") current.set(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1));
  }
  return sections;
}

/** COMMAND INFO of commands both sides know: everything but tips, sets in any order, subcommands that both have. */
export const commandInfo = byTree("command info", (a, b) => {
  const left = a.items ?? [];
  const right = b.items ?? [];
  if (left.length !== right.length) return `${left.length} entries became ${right.length}`;
  for (let i = 0; i < left.length; i++) {
    const why = commandEntryDiffers(left[i], right[i]);
    if (why !== null) return why;
  }
  return null;
});

const entryParts = "name arity flags first last step categories tips keyspecs subcommands".split(" ");

function commandEntryDiffers(oracle: Reply, subject: Reply): string | null {
  if (oracle.items === undefined || subject.items === undefined)
    return canonical(oracle) === canonical(subject) ? null : "null against an entry";
  const name = oracle.items[0].text;
  if (subject.items.length !== oracle.items.length) return `${name}: ${subject.items.length} parts`;
  for (let part = 0; part < oracle.items.length; part++) {
    const due = oracle.items[part];
    const got = subject.items[part];
    if (entryParts[part] === "tips") {
      if (due.kind !== got.kind) return `${name}: tips are ${got.kind}`;
    } else if (entryParts[part] === "subcommands") {
      if (due.kind !== got.kind) return `${name}: subcommands are ${got.kind}`;
      for (const entry of due.items ?? []) {
        const mine = got.items!.find((other) => other.items![0].text === entry.items![0].text);
        const why = mine === undefined ? null : commandEntryDiffers(entry, mine);
        if (why !== null) return why;
      }
    } else if (unordered(due) !== unordered(got))
      return `${name}: ${entryParts[part]}: ${tree(due)} became ${tree(got)}`;
  }
  return null;
}

/** COMMAND DOCS: container kinds, the command's name, and the keys every entry must have. Prose is ours. */
export const commandDocs = byTree("command docs", (a, b) => {
  const left = a.items ?? [];
  const right = b.items ?? [];
  if (left.length !== right.length) return `${left.length} elements became ${right.length}`;
  for (let i = 0; i < left.length; i += 2) {
    if (canonical(left[i]) !== canonical(right[i])) return `name ${show(right[i].text)}`;
    const entry = right[i + 1];
    if (entry.kind !== left[i + 1].kind) return `entry is ${entry.kind}`;
    for (const key of ["summary", "since", "group"]) {
      const at = entry.items!.findIndex((item, index) => index % 2 === 0 && item.text === key);
      if (at < 0) return `no ${key}`;
      if (entry.items![at + 1].kind !== "$") return `${key} is ${entry.items![at + 1].kind}`;
    }
  }
  return null;
});

/** Elements, and the flags inside each, in any order (GETKEYSANDFLAGS). */
export const flagsUnordered = byTree("flags in any order", (a, b) =>
  unordered(a) === unordered(b) ? null : `${tree(a)} became ${tree(b)}`,
);

/** Every aggregate sorted: order of flags, categories and specs means nothing. Maps keep their pairs. */
function unordered(reply: Reply): string {
  if (reply.items === undefined) return canonical(reply);
  let parts = reply.items.map(unordered);
  if (reply.kind === "%")
    parts = parts.flatMap((_, i) => (i % 2 === 0 ? [`${parts[i]}=${parts[i + 1]}`] : []));
  return `${reply.kind}[${parts.sort().join(",")}]`;
}

/** A string that is equal exactly for equal replies. */
export function canonical(reply: Reply): string {
  return reply.items === undefined
    ? `${reply.kind}${reply.text}`
    : `${reply.kind}[${reply.items.map((item) => JSON.stringify(canonical(item))).join(",")}]`;
}

/** A tree for a person. */
export function tree(reply: Reply): string {
  return reply.items === undefined
    ? `${reply.kind}${show(reply.text, 80)}`
    : `${reply.kind}[${reply.items.map(tree).join(" ")}]`;
}

/** Milliseconds two servers may differ by on a deadline set by the same stream. */
const deadlineSlackMs = 50;

/** Elements at random: as many of them, or as null. */
export const sample = byTree("sample", (a, b) =>
  a.items?.length === b.items?.length ? null : `${a.items?.length} elements became ${b.items?.length}`,
);

/** A page of a scan: the same cursor, elements in any order. */
export const scanPage = byTree("scan page", (a, b) => {
  const [left, right] = [a, b].map((page) => [page.items![0]!.text, ...sortedItems(page.items![1]!)]);
  return JSON.stringify(left) === JSON.stringify(right) ? null : "cursor or elements differ";
});

function sortedItems(reply: Reply): string[] {
  return (reply.items ?? []).map(canonical).sort();
}

/** HGETALL: the same pairs in any order. */
export const pairs = byTree("pairs", (a, b) => {
  const [left, right] = [a, b].map(({ items = [] }) =>
    items.flatMap((item, i) => (i % 2 === 0 ? [canonical(item) + canonical(items[i + 1]!)] : [])).sort(),
  );
  return JSON.stringify(left) === JSON.stringify(right) ? null : "pairs differ";
});

/** Integers each equal within `tolerance`; negative ones must be exact. */
function eachWithin(tolerance: number): Normaliser {
  return byTree(
    `each within ${tolerance}`,
    (a, b) => {
      const [left, right] = [a, b].map(({ items = [] }) => items.map((item) => Number(item.text)));
      if (left!.length !== right!.length) return `${left!.length} elements became ${right!.length}`;
      const at = left!.findIndex(
        (value, i) => Math.abs(value - right![i]!) > (value < 0 || right![i]! < 0 ? 0 : tolerance),
      );
      return at < 0 ? null : `element ${at}: ${left![at]} became ${right![at]}`;
    },
    true,
  );
}

/** MEMORY USAGE: some bytes on both sides, or null. */
const bytesOrNull = byTree("bytes or null", (a, b) =>
  a.kind !== ":" || Number(b.text) > 0 ? null : `${b.text} bytes`,
);

/** MEMORY STATS: the same names in the same order, values of the same kind. */
const memoryStats = byTree("names and kinds", (a, b) => {
  const [left, right] = [a, b].map(namesAndKinds);
  return left === right ? null : `${left} became ${right}`;
});

function namesAndKinds({ items = [] }: Reply): string {
  return items
    .map((item, i) => (i % 2 === 0 ? item.text : item.items ? `{${namesAndKinds(item)}}` : item.kind))
    .join(" ");
}

/** Text for people: of the same kind, and some. */
const prose = byTree("prose", (_, b) => (body(b).length > 0 ? null : "no text"));

/** A line of names and numbers: the numbers are each server's own. */
const shaped = byTree("shape of a line", (a, b) => {
  const [left, right] = [a, b].map(({ text }) => text.replace(/0x[0-9a-f]+|[0-9]+(\.[0-9]+)?/g, "#"));
  return left === right ? null : `${left} became ${right}`;
});

const named: Record<string, Normaliser> = {
  hgetall: pairs,
  hkeys: multiset,
  hvals: multiset,
  hrandfield: sample,
  hscan: scanPage,
  httl: eachWithin(1),
  hexpiretime: eachWithin(1),
  hpttl: eachWithin(deadlineSlackMs),
  hpexpiretime: eachWithin(deadlineSlackMs),
  ttl: within(1),
  expiretime: within(1),
  pttl: within(deadlineSlackMs),
  pexpiretime: within(deadlineSlackMs),
  time,
  hello,
  info,
  keys: multiset,
  randomkey: kindOnly,
  smembers: multiset,
  sinter: multiset,
  sunion: multiset,
  sdiff: multiset,
  spop: sample,
  srandmember: sample,
  sscan: scanPage,
  zrandmember: sample,
  zscan: scanPage,
  "client id": integerFrom(1),
  "client info": clientLines,
  "client list": clientLines,
  "command info": commandInfo,
  "command docs": commandDocs,
  "command list": multiset,
  "command getkeysandflags": flagsUnordered,
  "object idletime": within(2),
  "memory usage": bytesOrNull,
  "memory stats": memoryStats,
  "memory doctor": prose,
  "memory malloc-stats": prose,
  "memory help": help,
  "debug htstats": prose,
  "debug htstats-key": prose,
  "debug sdslen": shaped,
  "debug object": shaped,
  "client help": help,
  "config help": help,
  "command help": help,
  "object help": help,
  "debug help": help,
};

/** The normaliser a command's reply needs by its name alone. */
export function byName(command: readonly (string | Bytes)[]): Normaliser {
  const [first, second] = command.slice(0, 2).map((word) => (typeof word === "string" ? word : textOf(word)));
  return named[`${first} ${second}`.toLowerCase()] ?? named[`${first}`.toLowerCase()] ?? exact;
}
