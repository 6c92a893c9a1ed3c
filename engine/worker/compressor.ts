// compressor.ts: the thread that compresses what has grown cold. It holds no lock, waits for nobody and works for a share
// of its time only, at the lowest priority: what it finds is put in place by the workers (swaps.ts).
// Started by host.ts once there is something to compress; ends with the workers. Neighbours: sweeper.ts does the work.
import { workerData } from "node:worker_threads";
import { zstdAvailable, zstdReason } from "../compress/codec.ts";
import { Settings } from "../config/settings.ts";
import { lowerPriority, ringEventFd } from "../io/native.ts";
import { seedHash } from "../memory/hash.ts";
import { Clock } from "../shard/clock.ts";
import { Keyspace } from "../shard/keyspace.ts";
import { nearlyFull } from "./ceiling.ts";
import { Control, Word } from "./control.ts";
import { logLine } from "./log.ts";
import type { CompressorPlan } from "./plan.ts";
import { collectAll } from "./resident.ts";
import { Swaps } from "./swaps.ts";
import { Sweeper, Swept, sweepOptions } from "./sweeper.ts";

/** How long it works at a time, and how long it sleeps with nothing to do. */
const STEP_MS = 2;
const IDLE_MS = 500;

/** Share of a core, by the setting `compression`; of `auto` while memory is nearly full, when bytes are worth hits. */
const shares: Readonly<Record<string, number>> = { auto: 0.05, on: 0.5, always: 1 };
const FULL_SHARE = 0.5;
/** Values are cold after no longer than this then: what was not compressed when it is evicted has had nothing of it. */
const FULL_AGE_MS = 1000;

const plan = workerData as CompressorPlan;
seedHash(plan.hashSeed[0], plan.hashSeed[1]);
lowerPriority();
const control = Control.attach(plan.control);
const keyspace = Keyspace.attach(plan.keyspace, new Clock());
const swaps = Swaps.attach(plan.swaps);
const sweeper = new Sweeper(keyspace, swaps, () => performance.now());
const { dictionaries } = keyspace.codec;

function wakeWorkers(): void {
  for (let worker = 0; worker < plan.swaps.workers; worker++) {
    const fd = control.word(Word.WakeFds + worker);
    if (fd > 0 && swaps.pending(worker)) ringEventFd(fd);
  }
}

let settingsVersion = -1;
/** Dictionaries made when garbage was last collected. */
let collectedAt = 0;
let mode = "off";
let ceiling = 0;
let ageMs = 0;

function readSettings(): void {
  if (control.word(Word.SettingsVersion) === settingsVersion) return;
  settingsVersion = control.word(Word.SettingsVersion);
  const settings = Settings.from(JSON.parse(control.readSettings()));
  mode = settings.get("compression")!;
  ceiling = settings.number("maxmemory");
  sweeper.options = sweepOptions(settings);
  ageMs = sweeper.options.ageMs;
  const wanted = settings.get("compression-codec")!;
  dictionaries.codecText =
    wanted === "lz4" ? "lz4" : zstdAvailable ? `${wanted} (${zstdReason})` : `lz4 (no zstd: ${zstdReason})`;
}

readSettings();
logLine("notice", -1, "compression of cold values begins", { codec: dictionaries.codecText });
while (control.word(Word.Stop) === 0) {
  readSettings();
  const full = nearlyFull(keyspace.usedBytes, ceiling);
  const share = full && mode === "auto" ? FULL_SHARE : shares[mode];
  if (share === undefined) {
    await Bun.sleep(IDLE_MS);
    continue;
  }
  sweeper.options.ageMs = full ? Math.min(FULL_AGE_MS, ageMs) : ageMs;
  const begun = performance.now();
  const swept = sweeper.step(STEP_MS);
  const busyMs = performance.now() - begun;
  if (swept !== Swept.More) wakeWorkers();
  // What training leaves behind is large and old by the time it is garbage: a collection of young objects would not find it.
  if (dictionaries.made !== collectedAt) {
    collectedAt = dictionaries.made;
    collectAll();
  }
  const pauseMs = Math.max(1, busyMs / share - busyMs);
  await Bun.sleep(swept === Swept.Rest && sweeper.options.ageMs > 0 ? Math.max(IDLE_MS, pauseMs) : pauseMs);
}
