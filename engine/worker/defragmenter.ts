// defragmenter.ts: when a worker works on the memory of its shards: when it begins to move values together, at which pace it
// does so, and when it gives free pages back to the system. What a step does is in engine/shard/defrag.ts.
//
// A shard's waste is what its pages hold beside live slots, and what values are shorter than their slots. A cycle begins
// when it is more than active-defrag-threshold-lower percent of what lives there, once a second the shard with most of it,
// one at a time; while too many pages are in use, for little waste, and commands that need memory make steps, too. Shards that
// grow fast are left alone: they fill their own holes. After a cycle that gave little back the shard waits, each time longer,
// unless as much waste again has come since.
// Steps: each may take STEP_MS. What a unit of a step's budget takes on this machine is measured and remembered, so that
// the first steps, which the compiler has not seen yet, are short, and the later ones as long as they should be.
// Pace: steps follow each other so that they take a share of a core: active-defrag-cycle-min percent at the lower threshold,
// -max at the upper one, and -max while few commands come or memory is nearly full. Waste up to active-defrag-ignore-bytes is
// worked on at the least pace otherwise. There is one step a millisecond at most. Giving pages back goes at that pace.
// Steps come between turns, so a command waits for one at most, and shards are unlocked between two.
// Off the data path. Neighbours: worker.ts owns one and asks when the next step is due.
import type { Settings } from "../config/settings.ts";
import type { Shard } from "../shard/shard.ts";
import { Figure } from "./control.ts";

const STEP_MS = 0.2;
/** Milliseconds that a unit of budget, meant as a nanosecond, is taken to need at first; how fast that follows what is
 *  measured, and by how much one measurement may lie above: beyond, something else had the core. */
const FIRST_RATE = 2e-5;
const RATE_WEIGHT = 1 / 8;
const RATE_JUMP = 3;
/** Least and most budget of a step. */
const LEAST_BUDGET = 5_000;
const MOST_BUDGET = 400_000;
/** Commands a millisecond of a worker that has time to spare. */
const FEW_COMMANDS = 10;
/** A cycle at this pace has a step each turn. */
const FULL_PACE = 100;
/** Pages given back to the system in a step. */
const GIVE_BACK_PAGES = 160;
/** Less waste than this is not worth a cycle. */
const LEAST_BYTES = 1 << 20;
/** Growth of a shard within a second that puts a cycle off. */
const GROWTH = 1.02;
/** What a cycle must give back, as a share of what lives, or the shard waits; how long, at first and at last. */
const GAIN = 0.02;
const WAIT_MS = 10_000;
const LONGEST_WAIT_MS = 640_000;
/** Waste, as a share of what lives, that is worth a cycle while too many pages are in use. */
const OVER_SHARE = 0.02;

class Watch {
  lastLive = 0;
  /** No cycle begins before. */
  quietUntilMs = 0;
  waitMs = WAIT_MS;
  committedBefore = 0;
  /** Waste that the last cycle left. */
  left = 0;

  constructor(readonly shard: Shard) {}
}

export class Defragmenter {
  /** When the next step is due, ms since the epoch; Infinity while there is nothing to do. */
  nextMs = Number.POSITIVE_INFINITY;
  /** Percent of a core that the cycle which is on takes, about, and would take if many commands came; 0 for none. */
  private percent = 0;
  private pace = 0;
  /** For how long cycles have been on, ms. */
  private totalMs = 0;
  private readonly watches: readonly Watch[];
  /** The shard that a cycle is on in. */
  private current: Watch | null = null;
  private sinceMs = 0;
  /** Shards of which a whole cycle was asked for, one by one, others' too. */
  private readonly asked: Watch[] = [];
  private asking = false;
  private rate = FIRST_RATE;
  /** How long the longest step took, ms. */
  private longestMs = 0;
  /** The last step gave pages back. */
  private giving = false;
  /** When the last step was made, and how many commands this worker had run then. */
  private lastMs = 0;
  private commands = 0;
  /** The shard that `release` was last asked for. */
  private released = 0;
  private enabled = true;
  private ignoreBytes = 0;
  private lower = 0;
  private upper = 0;
  private least = 0;
  private most = 0;

  constructor(
    private readonly shards: readonly Shard[],
    index: number,
    workers: number,
  ) {
    this.watches = shards.filter((_, i) => i % workers === index).map((shard) => new Watch(shard));
  }

  configure(settings: Settings): void {
    this.enabled = settings.get("activedefrag") === "yes";
    this.ignoreBytes = settings.number("active-defrag-ignore-bytes");
    this.lower = settings.number("active-defrag-threshold-lower");
    this.upper = settings.number("active-defrag-threshold-upper");
    this.least = settings.number("active-defrag-cycle-min");
    this.most = Math.max(this.least, settings.number("active-defrag-cycle-max"));
  }

  /** Writes this worker's figures into its page. */
  publish(f64: Float64Array, page: number, nowMs: number): void {
    let hits = 0;
    let misses = 0;
    let keyHits = 0;
    let keyMisses = 0;
    for (const { defrag } of this.shards) {
      hits += defrag.mover.moved;
      misses += defrag.mover.stayed;
      keyHits += defrag.keysMoved;
      keyMisses += defrag.keysStayed;
    }
    const currentMs = this.current === null ? 0 : nowMs - this.sinceMs;
    f64[page + Figure.DefragHits] = hits;
    f64[page + Figure.DefragMisses] = misses;
    f64[page + Figure.DefragKeyHits] = keyHits;
    f64[page + Figure.DefragKeyMisses] = keyMisses;
    f64[page + Figure.DefragPercent] = this.percent;
    f64[page + Figure.DefragMs] = this.totalMs + currentMs;
    f64[page + Figure.DefragCurrentMs] = currentMs;
    f64[page + Figure.DefragLongestMs] = this.longestMs;
  }

  resetFigures(): void {
    for (const { defrag } of this.shards) defrag.resetFigures();
    this.totalMs = 0;
    this.longestMs = 0;
  }

  /** Asks for a cycle in every shard, whatever its waste, with a step each turn. */
  ask(nowMs: number): void {
    this.asked.length = 0;
    for (const shard of this.shards) this.asked.push(new Watch(shard));
    if (!this.asking && this.current !== null) this.end(nowMs);
    if (this.current === null) this.next(nowMs);
  }

  /** Makes a step of about `ms` at once, of the shard with most waste if none is on: pages are needed. */
  hurry(nowMs: number, ms: number): void {
    if (this.current === null) {
      let worst: Watch | null = null;
      let most = LEAST_BYTES;
      for (const watch of this.watches) {
        const waste = watch.shard.defrag.wasteBytes;
        if (waste < most) continue;
        worst = watch;
        most = waste;
      }
      if (worst === null || !this.enabled) return;
      this.begin(worst, nowMs, true);
    }
    this.move(this.current!, nowMs, true, ms);
  }

  /** Gives free pages of some shard back at once: about `pages` of them. How many bytes. */
  release(pages: number): number {
    const { shards } = this;
    this.released = (this.released + 1) % shards.length;
    const shard = shards[this.released]!;
    const { allocator } = shard;
    shard.lock();
    const before = allocator.backedBytes;
    allocator.giveBack(pages);
    const bytes = before - allocator.backedBytes;
    shard.unlock();
    return bytes;
  }

  /** Once a tick: whether there are pages to give back. */
  look(nowMs: number): void {
    if (this.nextMs === Number.POSITIVE_INFINITY && this.hoarder !== undefined) this.nextMs = nowMs;
  }

  /** Once a second: whether a cycle is to begin. `full`: memory is nearly out; `over`: more pages are in use than may be. */
  consider(nowMs: number, full: boolean, over: boolean): void {
    let worst: Watch | null = null;
    let worstShare = over ? OVER_SHARE : full ? this.lower / 200 : this.lower / 100;
    for (const watch of this.watches) {
      const { defrag, allocator } = watch.shard;
      if (over) {
        watch.shard.lock();
        allocator.dropEmpty();
        watch.shard.unlock();
      }
      const live = allocator.liveBytes;
      const growing = live > watch.lastLive * GROWTH;
      watch.lastLive = live;
      const waste = defrag.wasteBytes;
      if (waste < LEAST_BYTES || (growing && !full)) continue;
      const share = waste / Math.max(1, live);
      if (share <= worstShare) continue;
      const fresh = (waste - watch.left) / Math.max(1, live);
      if (!over && nowMs < watch.quietUntilMs && fresh <= this.lower / 100) continue;
      worst = watch;
      worstShare = share;
    }
    const { current } = this;
    if (current === null) {
      if (worst !== null && this.enabled) this.begin(worst, nowMs, false);
    } else if (!this.asking) {
      this.pace = this.paceFor(current, full);
      current.shard.defrag.evacuation.frugal = full;
      if (!this.enabled) current.shard.defrag.finish();
    }
  }

  /** Percent of a core. */
  private paceFor({ shard }: Watch, full: boolean): number {
    if (full) return this.most;
    const waste = shard.defrag.wasteBytes;
    if (waste < this.ignoreBytes) return this.least;
    const percent = (waste / Math.max(1, shard.allocator.liveBytes)) * 100;
    const part = (percent - this.lower) / Math.max(1, this.upper - this.lower);
    return this.least + Math.min(1, Math.max(0, part)) * (this.most - this.least);
  }

  private begin(watch: Watch, nowMs: number, asked: boolean): void {
    watch.committedBefore = watch.shard.allocator.committedBytes;
    watch.shard.defrag.begin();
    this.current = watch;
    this.asking = asked;
    this.sinceMs = nowMs;
    this.pace = asked ? FULL_PACE : this.least;
    this.percent = this.pace;
    this.nextMs = nowMs;
  }

  private end(nowMs: number): void {
    const watch = this.current!;
    const { allocator } = watch.shard;
    this.totalMs += nowMs - this.sinceMs;
    this.current = null;
    this.percent = 0;
    watch.left = watch.shard.defrag.wasteBytes;
    const gain = watch.committedBefore - allocator.committedBytes;
    const much = gain > allocator.liveBytes * GAIN;
    watch.quietUntilMs = nowMs + (much ? 0 : watch.waitMs);
    watch.waitMs = much ? WAIT_MS : Math.min(LONGEST_WAIT_MS, watch.waitMs * 2);
  }

  /** Goes on with what was asked for, if there is more of it. */
  private next(nowMs: number): void {
    const watch = this.asked.pop();
    if (watch !== undefined) this.begin(watch, nowMs, true);
    else this.asking = false;
  }

  /** The first shard with more free pages than may be of use. */
  private get hoarder(): Shard | undefined {
    for (const { shard } of this.watches) if (shard.allocator.hoards) return shard;
    return undefined;
  }

  /** Makes a step, which is due: of what is on, and of giving pages back, in turn. `commands`: how many this worker has
   *  run. */
  step(nowMs: number, commands: number): void {
    const idle = commands - this.commands <= FEW_COMMANDS * (nowMs - this.lastMs);
    this.lastMs = nowMs;
    this.commands = commands;
    const { current, hoarder } = this;
    this.giving = hoarder !== undefined && (current === null || !this.giving);
    if (hoarder !== undefined && this.giving) {
      hoarder.lock();
      hoarder.allocator.giveBack(GIVE_BACK_PAGES);
      hoarder.unlock();
      this.nextMs = nowMs + 1;
    } else if (current !== null) this.move(current, nowMs, idle, STEP_MS);
    else this.nextMs = Number.POSITIVE_INFINITY;
  }

  private move({ shard }: Watch, nowMs: number, idle: boolean, ms: number): void {
    const budget = Math.min(MOST_BUDGET, Math.max(LEAST_BUDGET, ms / this.rate));
    shard.lock();
    const begun = performance.now();
    const more = shard.defrag.step(budget);
    const took = performance.now() - begun;
    shard.unlock();
    this.longestMs = Math.max(this.longestMs, took);
    if (!more) {
      this.end(nowMs);
      this.next(nowMs);
    } else this.rate += (Math.min(took / budget, this.rate * RATE_JUMP) - this.rate) * RATE_WEIGHT;
    const percent = Math.max(1, this.pace, idle ? this.most : 0);
    if (this.current !== null) this.percent = percent;
    this.nextMs = nowMs + (percent >= FULL_PACE ? 0 : (ms * 100) / percent);
  }
}
