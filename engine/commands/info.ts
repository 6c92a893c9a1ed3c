// info.ts: INFO's text: sections in Redis's order under Redis's field names, so that exporters parse it unchanged.
// A field whose thing does not exist here is zero, never absent. Cold; reads figures that workers publish.
// Neighbours: server-commands.ts has the row; engine/worker answers Server.
import { arch, release, totalmem, type } from "node:os";
import { type Dictionaries, DictionaryLimit, Figure, Of, Row, State } from "../compress/dictionaries.ts";
import { DATABASES } from "../shard/shard.ts";
import type { Call } from "./call.ts";
import { CONTRACT_VERSION } from "./connection.ts";
import { Space } from "./pubsub.ts";
import type { Server } from "./server.ts";

type Field = readonly [string, string | number];

const sections: Readonly<Record<string, (call: Call) => Field[]>> = {
  Server: serverFields,
  Clients: clientFields,
  Memory: memoryFields,
  Persistence: persistenceFields,
  Stats: statsFields,
  Replication: replicationFields,
  CPU: cpuFields,
  Modules: () => [],
  Commandstats: commandFields,
  Errorstats: errorFields,
  Latencystats: () => [],
  Cluster: () => [["cluster_enabled", 0]],
  Keyspace: keyspaceFields,
  Compression: compressionFields,
  IronCache: ownFields,
};

/** Sections that only `all`, `everything` and their own names bring. */
const onRequest = new Set(["Commandstats", "Latencystats"]);

/** INFO [section [section ...]] */
export function info(call: Call): void {
  const wanted = new Set<string>();
  for (let i = 1; i < call.argc; i++) wanted.add(call.text(i).toLowerCase());
  const everything = wanted.has("all") || wanted.has("everything");
  const usual = everything || wanted.size === 0 || wanted.has("default");
  const parts: string[] = [];
  for (const [name, fields] of Object.entries(sections)) {
    // `all` leaves out what modules have to say, as in Redis; there are none, but the heading tells them apart.
    const asked = wanted.has(name.toLowerCase()) || (usual && (everything || !onRequest.has(name)));
    if (!asked) continue;
    const lines = fields(call).map(([field, value]) => `${field}:${value}\r\n`);
    parts.push(`# ${name}\r\n${lines.join("")}`);
  }
  call.reply.verbatim(parts.join("\r\n"));
}

function serverFields({ server }: Call): Field[] {
  const nowMs = Date.now();
  const seconds = Math.max(0, Math.floor((nowMs - server.startedMs) / 1000));
  const machine = arch() === "x64" ? "x86_64" : arch() === "arm64" ? "aarch64" : arch();
  return [
    ["redis_version", CONTRACT_VERSION],
    ["ironcache_version", server.version],
    ["server_name", "ironcache"],
    ["redis_mode", "standalone"],
    ["os", `${type()} ${release()} ${machine}`],
    ["arch_bits", 64],
    ["monotonic_clock", "POSIX clock_gettime"],
    ["multiplexing_api", server.driver],
    ["process_id", process.pid],
    ["process_supervised", "no"],
    ["run_id", server.runId],
    ["tcp_port", server.port],
    ["server_time_usec", nowMs * 1000],
    ["uptime_in_seconds", seconds],
    ["uptime_in_days", Math.floor(seconds / 86400)],
    ["hz", server.setting("hz") ?? 10],
    ["configured_hz", server.setting("hz") ?? 10],
    ["lru_clock", Math.floor(nowMs / 1000) % (1 << 24)],
    ["executable", server.executable],
    ["config_file", server.configFile],
    ["io_threads_active", server.workers > 1 ? 1 : 0],
  ];
}

function clientFields({ server }: Call): Field[] {
  const totals = server.totals();
  return [
    ["connected_clients", totals.connections],
    ["cluster_connections", 0],
    ["maxclients", server.setting("maxclients") ?? 0],
    ["client_recent_max_input_buffer", 0],
    ["client_recent_max_output_buffer", 0],
    ["blocked_clients", totals.blocked],
    ["tracking_clients", totals.trackingClients],
    ["pubsub_clients", totals.subscribedClients],
    ["watching_clients", totals.watchingClients],
    ["clients_in_timeout_table", 0],
    ["total_watched_keys", totals.watchedKeys],
    ["total_blocking_keys", 0],
  ];
}

function memoryFields({ server, keyspace }: Call): Field[] {
  const totals = server.totals();
  const used = server.usedBytes();
  const resident = server.residentBytes();
  const peak = Math.max(used, server.peakBytes());
  const data = keyspace.usedBytes;
  const live = keyspace.liveBytes;
  const active = keyspace.committedBytes;
  const pages = active + keyspace.backedBytes;
  const overhead = Math.max(0, used - data);
  const limit = Number(server.setting("maxmemory") ?? 0);
  return [
    ["used_memory", used],
    ["used_memory_human", human(used)],
    ["used_memory_rss", resident],
    ["used_memory_rss_human", human(resident)],
    ["used_memory_peak", peak],
    ["used_memory_peak_human", human(peak)],
    ["used_memory_peak_perc", percent(used, peak)],
    ["used_memory_overhead", overhead],
    ["used_memory_startup", 0],
    ["used_memory_dataset", data],
    ["used_memory_dataset_perc", percent(data, used)],
    ["allocator_allocated", live],
    ["allocator_active", active],
    ["allocator_resident", pages],
    ["total_system_memory", totalmem()],
    ["total_system_memory_human", human(totalmem())],
    ["maxmemory", limit],
    ["maxmemory_human", human(limit)],
    ["maxmemory_source", server.isDerived("maxmemory") ? "auto" : "set"],
    ["maxmemory_policy", server.setting("maxmemory-policy") ?? "noeviction"],
    ["allocator_frag_ratio", ratio(active, live)],
    ["allocator_frag_bytes", active - live],
    ["allocator_rss_ratio", ratio(pages, active)],
    ["allocator_rss_bytes", pages - active],
    ["rss_overhead_ratio", ratio(resident, pages)],
    ["rss_overhead_bytes", resident - pages],
    ["mem_fragmentation_ratio", ratio(resident, used)],
    ["mem_fragmentation_bytes", resident - used],
    ["mem_not_counted_for_evict", 0],
    ["mem_replication_backlog", 0],
    ["mem_total_replication_buffers", 0],
    ["mem_clients_slaves", 0],
    ["mem_clients_normal", totals.clientBytes],
    ["mem_cluster_links", 0],
    ["mem_aof_buffer", 0],
    ["mem_allocator", "ironcache-segments"],
    ["active_defrag_running", Math.round(totals.defragPercent)],
    ["lazyfree_pending_objects", 0],
    ["lazyfreed_objects", 0],
    ["used_memory_js_heap", totals.heapBytes],
  ];
}

function human(bytes: number): string {
  if (bytes < 1024) return `${bytes}B`;
  const units = ["K", "M", "G", "T"];
  let value = bytes / 1024;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${value.toFixed(2)}${units[unit]}`;
}

function percent(part: number, whole: number): string {
  return `${(whole === 0 ? 0 : (part / whole) * 100).toFixed(2)}%`;
}

function ratio(part: number, whole: number): string {
  return (whole === 0 ? 0 : part / whole).toFixed(2);
}

function persistenceFields({ server }: Call): Field[] {
  return [
    ["loading", 0],
    ["async_loading", 0],
    ["rdb_changes_since_last_save", 0],
    ["rdb_bgsave_in_progress", 0],
    ["rdb_last_save_time", Math.floor(server.startedMs / 1000)],
    ["rdb_last_bgsave_status", "ok"],
    ["rdb_last_bgsave_time_sec", -1],
    ["rdb_current_bgsave_time_sec", -1],
    ["rdb_saves", 0],
    ["rdb_last_cow_size", 0],
    ["rdb_last_load_keys_expired", 0],
    ["rdb_last_load_keys_loaded", 0],
    ["aof_enabled", 0],
    ["aof_rewrite_in_progress", 0],
    ["aof_rewrite_scheduled", 0],
    ["aof_last_rewrite_time_sec", -1],
    ["aof_current_rewrite_time_sec", -1],
    ["aof_last_bgrewrite_status", "ok"],
    ["aof_rewrites", 0],
    ["aof_last_write_status", "ok"],
    ["aof_last_cow_size", 0],
  ];
}

function statsFields({ server, keyspace, hub }: Call): Field[] {
  const { pubsub } = hub;
  const totals = server.totals();
  let expired = 0;
  let evicted = 0;
  for (const shard of keyspace.shards) {
    expired += shard.expiredKeys;
    evicted += shard.evictedKeys;
  }
  return [
    ["total_connections_received", totals.connectionsReceived],
    ["total_commands_processed", totals.commands],
    ["instantaneous_ops_per_sec", 0],
    ["total_net_input_bytes", totals.networkIn],
    ["total_net_output_bytes", totals.networkOut],
    ["instantaneous_input_kbps", "0.00"],
    ["instantaneous_output_kbps", "0.00"],
    ["rejected_connections", totals.connectionsRejected],
    ["sync_full", 0],
    ["sync_partial_ok", 0],
    ["sync_partial_err", 0],
    ["expired_keys", expired],
    ["expired_stale_perc", "0.00"],
    ["evicted_keys", evicted],
    ["evicted_clients", 0],
    ["keyspace_hits", totals.hits],
    ["keyspace_misses", totals.misses],
    ["pubsub_channels", pubsub.count(Space.Channel)],
    ["pubsub_patterns", pubsub.count(Space.Pattern)],
    ["pubsubshard_channels", pubsub.count(Space.Shard)],
    ["latest_fork_usec", 0],
    ["total_forks", 0],
    ["active_defrag_hits", totals.defragHits],
    ["active_defrag_misses", totals.defragMisses],
    ["active_defrag_key_hits", totals.defragKeyHits],
    ["active_defrag_key_misses", totals.defragKeyMisses],
    ["total_active_defrag_time", totals.defragMs],
    ["current_active_defrag_time", totals.defragCurrentMs],
    ["tracking_total_keys", totals.trackedNames],
    ["tracking_total_items", 0],
    ["tracking_total_prefixes", 0],
    ["unexpected_error_replies", 0],
    ["total_error_replies", totals.errors],
    ["total_reads_processed", totals.turns],
    ["total_writes_processed", totals.turns],
    ["acl_access_denied_auth", 0],
    ["acl_access_denied_cmd", 0],
    ["acl_access_denied_key", 0],
    ["acl_access_denied_channel", 0],
    ["client_query_buffer_limit_disconnections", totals.inputDisconnections],
    ["client_output_buffer_limit_disconnections", totals.outputDisconnections],
    ["eventloop_cycles", totals.turns],
    ["eventloop_duration_sum", 0],
  ];
}

function replicationFields({ server }: Call): Field[] {
  return [
    ["role", "master"],
    ["connected_slaves", 0],
    ["master_failover_state", "no-failover"],
    ["master_replid", server.runId],
    ["master_replid2", "0".repeat(40)],
    ["master_repl_offset", 0],
    ["second_repl_offset", -1],
    ["repl_backlog_active", 0],
    ["repl_backlog_size", 0],
    ["repl_backlog_first_byte_offset", 0],
    ["repl_backlog_histlen", 0],
  ];
}

function cpuFields(): Field[] {
  const { system, user } = process.cpuUsage();
  return [
    ["used_cpu_sys", (system / 1e6).toFixed(6)],
    ["used_cpu_user", (user / 1e6).toFixed(6)],
    ["used_cpu_sys_children", "0.000000"],
    ["used_cpu_user_children", "0.000000"],
  ];
}

function commandFields({ server }: Call): Field[] {
  const fields: Field[] = [];
  for (const [name, { calls, failed, rejected }] of server.commandCalls())
    if (calls + failed + rejected > 0)
      fields.push([
        `cmdstat_${name}`,
        `calls=${calls},usec=0,usec_per_call=0.00,rejected_calls=${rejected},failed_calls=${failed}`,
      ]);
  return fields;
}

function errorFields({ server }: Call): Field[] {
  return [...server.errorCounts()].map(([code, count]): Field => [`errorstat_${code}`, `count=${count}`]);
}

function keyspaceFields({ keyspace }: Call): Field[] {
  const fields: Field[] = [];
  for (let db = 0; db < DATABASES; db++) {
    const keys = keyspace.keys(db);
    if (keys === 0) continue;
    fields.push([`db${db}`, `keys=${keys},expires=${keyspace.deadlines(db)},avg_ttl=0,subexpiry=0`]);
  }
  return fields;
}

/** What memory buys, in points: hundredths of all lookups. */
function curveFields(server: Server): Field[] {
  const curve = server.memoryCurve();
  const now = curve.at(curve.presentBytes);
  const twice = (curve.at(curve.presentBytes * 2) - now) * 100;
  const half = (now - curve.at(curve.presentBytes / 2)) * 100;
  const points = (value: number) => (curve.known && !Number.isNaN(value) ? value : 0).toFixed(2);
  const gapKnown = curve.known && !Number.isNaN(curve.gap);
  return [
    [
      "memory_curve",
      !curve.known
        ? "too few reads were sampled yet"
        : !curve.full
          ? `memory is not full, half of it would give ${half.toFixed(1)} points fewer hits`
          : `twice the memory would give ${twice.toFixed(1)} points more hits, half of what there is ${half.toFixed(1)} fewer`,
    ],
    ["memory_curve_sampled_keys", curve.keys],
    ["memory_curve_sample_percent", (curve.rate * 100).toFixed(4)],
    ["memory_curve_hit_percent", points(now * 100)],
    ["memory_curve_2x_hit_points", points(twice)],
    ["memory_curve_half_hit_points", points(-half)],
    ["memory_curve_lru_factor", curve.factor.toFixed(2)],
    ["belady_gap", points(curve.gap * 100)],
    ["belady_gap_ci", points(curve.gapInterval * 100)],
    ["belady_reliable", gapKnown && curve.gapReliable ? "yes" : "no"],
  ];
}

/** Values, raw and stored bytes of what `sum` counts, and their ratio. */
function storedFields(
  sum: (figure: Of) => number,
): [values: number, raw: number, stored: number, ratio: string] {
  const raw = sum(Of.RawBytes);
  const stored = sum(Of.StoredBytes);
  return [sum(Of.Values), raw, stored, ratio(raw, stored)];
}

/** What is compressed, and what that costs. The time of reading is that of the proofs, as no command reads a clock. */
function compressionFields({ server, keyspace }: Call): Field[] {
  const { dictionaries } = keyspace.codec;
  const [values, raw, stored, rate] = storedFields((figure) => dictionaries.sumOfAll(figure));
  const read = dictionaries.sum(Row.Decompressed);
  const proven = dictionaries.figure(Figure.Proven);
  const perRead = proven === 0 ? 0 : dictionaries.figure(Figure.ProveSeconds) / proven;
  return [
    ["compression_mode", server.setting("compression") ?? "off"],
    ["compression_codec", dictionaries.codecText || "none yet"],
    ["compression_values", values],
    ["compression_raw_bytes", raw],
    ["compression_stored_bytes", stored],
    ["compression_ratio", rate],
    ["compression_passes", dictionaries.pass],
    ["compression_compress_calls", dictionaries.figure(Figure.Compressed)],
    ["compression_compress_usec", Math.round(dictionaries.figure(Figure.CompressSeconds) * 1e6)],
    ["compression_refused", dictionaries.figure(Figure.Refused)],
    ["compression_train_usec", Math.round(dictionaries.figure(Figure.TrainSeconds) * 1e6)],
    ["compression_decompress_calls", read],
    ["compression_decompress_usec", Math.round(read * perRead * 1e6)],
    ["compression_thaws", dictionaries.sum(Row.Thawed)],
    ["compression_swaps", dictionaries.sum(Row.Swapped)],
    ["compression_rejected_swaps", dictionaries.sum(Row.Rejected)],
    ["compression_dictionaries", dictionaries.live],
    ["compression_dictionaries_made", dictionaries.made],
    ["compression_dictionary_bytes", dictionaries.usedBytes],
    ...dictionaryFields(dictionaries),
  ];
}

function dictionaryFields(dictionaries: Dictionaries): Field[] {
  const fields: Field[] = [];
  for (let number = 1; number < DictionaryLimit.Count; number++) {
    if (dictionaries.state(number) === State.Free) continue;
    const [values, raw, stored, rate] = storedFields((figure) => dictionaries.sumOf(number, figure));
    const prefix = dictionaries.prefix(number).replace(/[^!-+\--~]/g, "?");
    const codec = dictionaries.codec(number) === 1 ? "zstd" : "lz4";
    fields.push([
      `compression_dictionary_${number}`,
      `prefix=${prefix},version=${dictionaries.version(number)},codec=${codec},bytes=${dictionaries.bytes(number)},` +
        `values=${values},raw=${raw},stored=${stored},ratio=${rate}`,
    ]);
  }
  return fields;
}

function ownFields({ server, keyspace }: Call): Field[] {
  const totals = server.totals();
  let segments = 0;
  for (const shard of keyspace.shards) segments += shard.segments.count;
  return [
    ["driver", server.driver],
    ["driver_reason", server.driverReason],
    ["workers", server.workers],
    ["shards", keyspace.shards.length],
    ["segment_count", segments],
    ["seqlock_retries", totals.readRetries],
    ["lock_waits", totals.lockWaits],
    ["turns", totals.turns],
    ["gc_seconds", totals.collectorSeconds.toFixed(6)],
    ["defrag_longest_step_ms", totals.defragLongestMs.toFixed(3)],
    ...curveFields(server),
  ];
}
