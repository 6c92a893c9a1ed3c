// memory.ts: MEMORY: what a key takes, and what the process holds.
//
// A key's bytes are exact and nothing is sampled: the slot of its record, its place in the index, and the pages of a
// large collection. STATS has the fields of Redis 7.0, zero where the thing does not exist here.
// Cold; USAGE costs O(pages) of the value. STATS, MALLOC-STATS and PURGE take one shard's lock at a time (Scope.Each).
// Neighbours: info.ts shows the same figures; engine/types/pages.ts measures.
import { Flag, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors } from "../../protocol/errors.ts";
import { hasPages } from "../memory/record.ts";
import type { Place } from "../shard/place.ts";
import { DATABASES, type Shard } from "../shard/shard.ts";
import { parseInteger } from "../types/integer.ts";
import { pageBytes } from "../types/pages.ts";
import type { Call, Row } from "./call.ts";
import { replyHelp } from "./keyspace.ts";

/** What the index holds for a key, about. */
const INDEX_BYTES = 8;

/** Blocks freed under one taking of a shard's lock, and how often PURGE takes it. */
const PURGE_BLOCKS = 4096;
const PURGE_STEPS = 4096;
/** Pages that PURGE gives back to the system before it replies, and at a time: some 10 ms. */
const PURGE_PAGES = 8192;
const PURGE_PAGES_STEP = 256;

/** Below this DOCTOR draws no conclusions. */
const LITTLE_BYTES = 5 << 20;

/** Bytes that the key at a place takes, with all that belongs to it. */
function keyBytes(place: Place): number {
  const pages = hasPages(place.type, place.form) ? pageBytes(place.type, place) : 0;
  return place.allocator.slotBytes(place.handle) + INDEX_BYTES + pages;
}

/** MEMORY USAGE key [SAMPLES count] */
function usage(call: Call): void {
  const { reply, input, start, length, place } = call;
  for (let i = 3; i < call.argc; i += 2) {
    if (!call.is(i, "samples") || i + 1 >= call.argc) return reply.error(Errors.syntax);
    const samples = parseInteger(input.u8, start[i + 1]!, length[i + 1]!);
    if (Number.isNaN(samples)) return reply.error(Errors.notAnInteger);
    if (samples < 0) return reply.error(Errors.syntax);
  }
  if (!place.look(call.locate(2), call.session.db, call.key)) return reply.nil();
  reply.integer(keyBytes(place));
}

/** Sums what `measure` says of every shard, each under its lock. */
function sum(call: Call, measure: (shard: Shard) => number): number {
  let all = 0;
  for (const shard of call.keyspace.shards) {
    shard.lock();
    try {
      all += measure(shard);
    } finally {
      shard.unlock();
    }
  }
  return all;
}

/** Bytes of the index's leaves of a database. */
function leafBytes(shard: Shard, db: number): number {
  const { index, allocator } = shard;
  let bytes = 0;
  for (let entry = 0; entry < index.directorySize(db); entry += index.leafSpan(db, entry))
    bytes += allocator.slotBytes(index.leafAt(db, entry));
  return bytes;
}

/** Fields of MEMORY STATS by kind: integers, floats, and maps. */
type Fields = readonly (
  | readonly [string, number]
  | readonly [string, { float: number }]
  | readonly [string, Fields]
)[];

function replyFields(call: Call, fields: Fields): void {
  const { reply } = call;
  reply.map(fields.length);
  for (const [name, value] of fields) {
    reply.text(name);
    if (typeof value === "number") reply.integer(value);
    else if ("float" in value) reply.double(value.float);
    else replyFields(call, value);
  }
}

function share(part: number, whole: number): { float: number } {
  return { float: whole === 0 ? 0 : part / whole };
}

/** MEMORY STATS */
function stats(call: Call): void {
  const { server, keyspace } = call;
  const used = server.usedBytes();
  const peak = Math.max(used, server.peakBytes());
  const resident = server.residentBytes();
  const { clientBytes } = server.totals();
  const live = keyspace.liveBytes;
  const committed = keyspace.committedBytes;
  const pages = committed + keyspace.backedBytes;
  const databases: [string, Fields][] = [];
  let keys = 0;
  let indexBytes = 0;
  for (let db = 0; db < DATABASES; db++) {
    const count = keyspace.keys(db);
    if (count === 0) continue;
    const bytes = sum(call, (shard) => leafBytes(shard, db));
    keys += count;
    indexBytes += bytes;
    databases.push([
      `db.${db}`,
      [
        ["overhead.hashtable.main", bytes],
        ["overhead.hashtable.expires", 0],
        ["overhead.hashtable.slot-to-keys", 0],
      ],
    ]);
  }
  const dataset = Math.max(0, live - indexBytes);
  replyFields(call, [
    ["peak.allocated", peak],
    ["total.allocated", used],
    ["startup.allocated", 0],
    ["replication.backlog", 0],
    ["clients.slaves", 0],
    ["clients.normal", clientBytes],
    ["cluster.links", 0],
    ["aof.buffer", 0],
    ["lua.caches", 0],
    ["functions.caches", 0],
    ...databases,
    ["overhead.total", Math.max(0, used - dataset)],
    ["keys.count", keys],
    ["keys.bytes-per-key", keys === 0 ? 0 : Math.floor(live / keys)],
    ["dataset.bytes", dataset],
    ["dataset.percentage", share(dataset * 100, used)],
    ["peak.percentage", share(used * 100, peak)],
    ["allocator.allocated", live],
    ["allocator.active", committed],
    ["allocator.resident", pages],
    ["allocator-fragmentation.ratio", share(committed, live)],
    ["allocator-fragmentation.bytes", committed - live],
    ["allocator-rss.ratio", share(pages, committed)],
    ["allocator-rss.bytes", pages - committed],
    ["rss-overhead.ratio", share(resident, pages)],
    ["rss-overhead.bytes", resident - pages],
    ["fragmentation", share(resident, used)],
    ["fragmentation.bytes", resident - used],
  ]);
}

/** MEMORY DOCTOR */
function doctor(call: Call): void {
  const { reply, server, keyspace } = call;
  const live = keyspace.liveBytes;
  const committed = keyspace.committedBytes;
  if (committed < LITTLE_BYTES)
    return reply.verbatim("Hardly any memory is in use: there is nothing to say about it.\n");
  const used = server.usedBytes();
  const found: string[] = [];
  if (server.peakBytes() > used * 1.5)
    found.push("* The peak was more than one and a half times of what is in use now.");
  if (committed > live * 1.4)
    found.push(
      `* High fragmentation: ${((committed / live - 1) * 100).toFixed(0)} % beside what lives is free slots, as values ` +
        "have gone or changed their size.\n  " +
        (server.setting("activedefrag") === "yes"
          ? "Values are being moved together, and what is free then goes back to the system."
          : "CONFIG SET activedefrag yes moves values together and gives back what is free then."),
    );
  if (server.totals().clientBytes > used * 0.25)
    found.push("* Clients' buffers take more than a quarter: slow readers, or large pipelines.");
  if (found.length === 0) return reply.verbatim("Nothing is wrong with the memory in use.\n");
  reply.verbatim(`What may be worth a look:\n\n${found.join("\n")}\n`);
}

/** Sizes of memory that CURVE tells of by itself, as multiples of the present one. */
const CURVE_SIZES = [0.25, 0.35, 0.5, 0.71, 1, 1.41, 2, 2.83, 4];

/** MEMORY CURVE [bytes ...]: the hit ratio to be expected at each size of memory; nothing before enough was sampled. */
function curve(call: Call): void {
  const { reply, server, input, start, length } = call;
  const used = server.usedBytes();
  const sizes = call.argc > 2 ? [] : CURVE_SIZES.map((share) => Math.round(share * used));
  for (let i = 2; i < call.argc; i++) {
    const bytes = parseInteger(input.u8, start[i]!, length[i]!);
    if (Number.isNaN(bytes)) return reply.error(Errors.notAnInteger);
    if (bytes <= 0) return reply.error(Errors.notPositive);
    sizes.push(bytes);
  }
  const found = server.memoryCurve();
  if (!found.known) return reply.array(0);
  reply.array(sizes.length);
  for (const bytes of sizes) {
    reply.array(2);
    reply.integer(bytes);
    // What buffers, free slots and registers take is taken to grow with the rest.
    reply.double(Math.round(found.at((bytes / used) * found.presentBytes) * 10_000) / 10_000);
  }
}

/** MEMORY MALLOC-STATS */
function mallocStats(call: Call): void {
  const { shards } = call.keyspace;
  const lines = ["shard segments committed live"];
  sum(call, (shard) => {
    const { allocator, segments } = shard;
    return lines.push(
      `${shards.indexOf(shard)} ${segments.count} ${allocator.committedBytes} ${allocator.liveBytes}`,
    );
  });
  call.reply.verbatim(`${lines.join("\n")}\n`);
}

/** MEMORY PURGE: frees what waits to be freed, gives free pages back to the system, and begins to move values together, in
 *  the background and whatever activedefrag says. */
function purge(call: Call): void {
  const { keyspace, server } = call;
  let pages = PURGE_PAGES;
  for (const shard of keyspace.shards) {
    for (let step = 0; step < PURGE_STEPS && shard.reclaimable; step++) {
      shard.lock();
      try {
        shard.reclaimStep(PURGE_BLOCKS);
      } finally {
        shard.unlock();
      }
    }
    for (; pages > 0 && shard.allocator.backedBytes > 0; pages -= PURGE_PAGES_STEP) {
      shard.lock();
      shard.allocator.giveBack(PURGE_PAGES_STEP);
      shard.unlock();
    }
  }
  server.defragment();
  call.reply.ok();
}

const memoryHelp = [
  "CURVE [<bytes> ...]",
  "    Return the hit ratio to be expected at these sizes of memory.",
  "DOCTOR",
  "    Return memory problems reports.",
  "MALLOC-STATS",
  "    Return internal statistics report from the memory allocator.",
  "PURGE",
  "    Attempt to purge dirty pages for reclamation by the allocator.",
  "STATS",
  "    Return information about the memory usage of the server.",
  "USAGE <key> [SAMPLES <count>]",
  "    Return memory in bytes used by <key> and its value. Nothing is sampled:",
  "    the option is accepted without effect.",
];

const common = {
  arity: 2,
  flags: 0,
  keys: [],
  scope: Scope.Each,
  acl: ["slow"],
  tier: Tier.Extended,
  group: "server",
  since: "4.0.0",
  complexity: "O(1)",
  syntax: "",
} as const;

export const memoryCommands: readonly Row[] = [
  {
    ...common,
    name: "memory",
    arity: -2,
    complexity: "Depends on subcommand.",
    summary: "Tells what takes memory.",
    subcommands: [
      {
        ...common,
        name: "memory|curve",
        arity: -2,
        complexity: "O(N) where N is the number of sizes.",
        summary: "Estimates the hit ratio at other sizes of memory.",
        syntax: "[bytes [bytes ...]]",
        handler: curve,
      },
      {
        ...common,
        name: "memory|doctor",
        summary: "Says in words what is odd about the memory in use.",
        handler: doctor,
      },
      {
        ...common,
        name: "memory|help",
        flags: Flag.Loading | Flag.Stale,
        summary: "Lists the subcommands.",
        handler: (call) => replyHelp(call, "MEMORY", memoryHelp),
      },
      {
        ...common,
        name: "memory|malloc-stats",
        summary: "Returns the allocator's figures, shard by shard.",
        handler: mallocStats,
      },
      {
        ...common,
        name: "memory|purge",
        complexity:
          "O(N) where N is the number of pages that wait to be freed; more follows in the background.",
        summary: "Gives unused memory back to the system.",
        handler: purge,
      },
      {
        ...common,
        name: "memory|stats",
        complexity: "O(N) where N is the size of the index.",
        summary: "Returns figures about memory.",
        handler: stats,
      },
      {
        ...common,
        name: "memory|usage",
        arity: -3,
        flags: Flag.ReadOnly,
        keys: [{ first: 2, last: 0, step: 1, flags: ["RO"] }],
        scope: Scope.Keys,
        acl: ["read", "slow"],
        complexity: "O(N) where N is the number of pages of a large collection.",
        summary: "Returns the bytes that a key and its value take.",
        syntax: "key [SAMPLES count]",
        handler: usage,
      },
    ],
  },
];
