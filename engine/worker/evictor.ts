// evictor.ts: makes room: how many keys go, when, and from which shard. Which key of a shard goes is engine/shard/eviction.ts.
//
// The ledger says how many bytes are due to go. Most of it goes when a turn begins, some keys at a time, so that room is
// there when commands need it; a command that needs memory lets keys go only when more than SLACK of the ceiling is due by
// then: the more, the more of them. What is due after that goes with later turns: nobody waits for a cliff of evictions.
// Of two shards in turn the one in which more lives gives a key. When no shard has one to give, writes are refused as by
// noeviction while memory is over its ceiling.
// When pages are over the ceiling although little lives in them (values of other sizes came than went), a command that needs
// memory has some cleared (engine/shard/clearing.ts): by moving what lives there while they are little over, by evicting what is
// worth little when they are more, and beyond OVER_MUCH as many as it takes, whatever is evicted for that.
// On the data path: nothing allocates. Eviction does not act within EXEC, and no lock is held when it does.
// Neighbours: worker.ts asks; memory-ledger.ts counts; defragmenter.ts empties spans.
import type { Settings } from "../config/settings.ts";
import { DATABASES } from "../index/key-index.ts";
import { type EvictionRule, evictionRules } from "../shard/eviction.ts";
import type { Keyspace } from "../shard/keyspace.ts";
import type { Shard } from "../shard/shard.ts";
import type { Defragmenter } from "./defragmenter.ts";
import type { MemoryLedger } from "./memory-ledger.ts";

/** Keys that a turn lets go when it begins, some 60 us of work, and those that its commands may let go besides while not
 *  much is due; pages of large collections freed in place of one. */
const TURN_VICTIMS = 128;
const COMMANDS_VICTIMS = 1024;
const RECLAIM_BLOCKS = 64;
/** Keys that go from a shard at once. */
const TOGETHER = 4;
/** Shares of the ceiling that may be due before commands let keys go, too, and before they do so without an end; and how many
 *  keys a command lets go at once by the share that is due. */
const SLACK = 1 / 200;
const MUCH = 0.02;
const SHARES = [0.1, 0.05, 0.02] as const;
const VICTIMS = [4096, 512, 64, 16] as const;
/** While pages are over the ceiling, a command has so many sparsely used spans cleared; keys are evicted for that from a share of
 *  it on, and from another, which is never much exceeded, stretches are cleared, so many. Neither is less than OVER_BYTES a
 *  shard. */
const SPARSE_SPANS = 4;
const OVER = 0.0025;
const OVER_MUCH = 0.01;
const OVER_BYTES = 2 ** 18;
const STRETCHES = 8;
/** After so many in a row that freed nothing, a command has spans emptied by moving instead, for so long. */
const FRUITLESS = 4;
const HURRY_MS = 0.2;
/** Free pages that the system may still back, as a share of the ceiling, beyond which a command gives some back; and how many
 *  at that share, in some 10 us: more when there are more. */
const SPARE = 0.005;
const SPARE_PAGES = 64;
/** Requests count from this share of the ceiling on: before that nothing is paid for eviction. Below a small ceiling they
 *  always do, as it is full before they could tell anything. */
const FOLLOWED_FROM = 0.4;
const SMALL = 256 * 2 ** 20;
/** A shard counts on so many times the keys it has, at most, until memory has been full. */
const GROWTH = 1.25;
const LEAST_KEYS = 1024;
/** Hits seen without the lock that are worth taking it. */
const UNSETTLED = 16;

export class Evictor {
  private rule: EvictionRule = evictionRules.noeviction;
  private limit = 0;
  /** Requests count from the first key on: OBJECT FREQ is to tell of them, or the ceiling is small. */
  private always = false;
  private nextShard = 0;
  private nextSettled = 0;
  private nextCleared = 0;
  /** Spans and stretches in a row that could not be cleared, in this turn. */
  private fruitless = 0;
  /** Keys that the commands of this turn may still let go. */
  private allowance = 0;
  /** Since memory was looked at last no shard had a key to give. */
  private stuck = false;
  /** Clients were paused when the turn began. */
  private paused = false;

  constructor(
    private readonly keyspace: Keyspace,
    private readonly ledger: MemoryLedger,
    private readonly defragmenter: Defragmenter,
    private readonly index: number,
    private readonly workers: number,
  ) {}

  configure(settings: Settings): void {
    this.rule = evictionRules[settings.get("maxmemory-policy") as keyof typeof evictionRules];
    this.limit = settings.number("maxmemory");
    this.always = this.rule.frequency === true || this.limit < SMALL;
    this.ledger.setLimit(this.limit);
    this.stuck = false;
    for (const { eviction } of this.keyspace.shards) eviction.configure(this.rule);
    this.follow();
  }

  /** Once a second: sees to it that requests are counted in this worker's shards, for about as many keys as there will be. */
  follow(): void {
    if (this.rule.core !== "adaptive" || this.limit === 0) return;
    const { shards, liveBytes } = this.keyspace;
    if (!this.always && liveBytes < this.limit * FOLLOWED_FROM) return;
    const growth = Math.min(GROWTH, Math.max(1, this.limit / Math.max(1, liveBytes)));
    for (let i = this.index; i < shards.length; i += this.workers) {
      const shard = shards[i]!;
      shard.lock();
      this.followShard(shard, growth);
      shard.unlock();
    }
  }

  private followShard(shard: Shard, growth: number): void {
    let keys = 0;
    for (let db = 0; db < DATABASES; db++) keys += shard.keys(db);
    shard.eviction.follow(Math.max(LEAST_KEYS, keys * growth));
  }

  /** When a turn begins: lets some of what is due go, unless clients are paused, and counts hits seen without the lock. */
  beginTurn(paused: boolean): void {
    const { ledger } = this;
    this.settle();
    this.paused = paused;
    if (!ledger.near || this.rule.core === "none") return;
    // Memory may fill within less than the second until `follow` is called.
    if (!this.keyspace.shards[this.index]!.eviction.following) this.follow();
    this.stuck = paused;
    this.allowance = COMMANDS_VICTIMS;
    this.fruitless = 0;
    if (!paused && ledger.dueBytes() > 0) this.evict(TURN_VICTIMS);
  }

  /** Whether more is due than the turn that begins now may let go: the next one is not to wait. */
  get busy(): boolean {
    const { ledger } = this;
    return ledger.near && this.rule.core !== "none" && !this.stuck && ledger.dueBytes() > 0;
  }

  /** Before a command that needs memory, while the ledger says it may be full. False: there is none. */
  makeRoom(nowMs: number): boolean {
    const { ledger, limit } = this;
    // A command that is to wait for the end of a pause is not refused for what cannot go before.
    if (this.paused) return true;
    if (this.rule.core === "none") return ledger.overBytes() <= 0;
    const due = ledger.dueBytes();
    const urgent = due - ledger.further;
    if (due > limit * SLACK && !this.stuck && (this.allowance > 0 || urgent > limit * MUCH)) {
      let step = 0;
      while (step < SHARES.length && urgent <= limit * SHARES[step]!) step++;
      this.allowance -= VICTIMS[step]!;
      this.evict(VICTIMS[step]!);
    }
    if (ledger.overBytes() > 0 && !this.stuck) this.clear(nowMs);
    const spare = ledger.spare / (limit * SPARE);
    if (spare > 1) ledger.spare -= this.defragmenter.release(SPARE_PAGES * Math.min(32, spare));
    return !this.stuck || ledger.overBytes() <= 0;
  }

  /** Clears spans of one shard after the other while pages are over the ceiling: the more of them, the less it matters what
   *  is evicted for that. */
  private clear(nowMs: number): void {
    const { shards } = this.keyspace;
    const { ledger, limit } = this;
    const least = OVER_BYTES * shards.length;
    const some = Math.max(limit * OVER, least);
    const much = Math.max(limit * OVER_MUCH, least);
    for (let n = 0; n < SPARSE_SPANS + STRETCHES; n++) {
      const over = ledger.overBytes();
      if (over <= (n < SPARSE_SPANS && this.fruitless < FRUITLESS ? 0 : much)) return;
      this.nextCleared = (this.nextCleared + 1) % shards.length;
      const shard = shards[this.nextCleared]!;
      const { allocator, clearing } = shard;
      shard.lock();
      const { liveBytes, committedBytes } = allocator;
      if (over > much) clearing.clearStretch();
      else clearing.clearSparse(over > some);
      ledger.noteEvicted(liveBytes - allocator.liveBytes);
      const freed = allocator.committedBytes < committedBytes;
      shard.unlock();
      if (freed) this.fruitless = 0;
      else if (++this.fruitless >= FRUITLESS) {
        if (over > much) this.defragmenter.hurry(nowMs, HURRY_MS);
        return;
      }
    }
  }

  /** Lets keys go until nothing is due, and at most so many. */
  private evict(most: number): void {
    const { shards } = this.keyspace;
    const { ledger } = this;
    let left = most;
    for (let idle = 0; left > 0 && idle < shards.length && ledger.dueBytes() > 0; ) {
      const shard = this.choose(idle > 0);
      shard.lock();
      const before = shard.allocator.liveBytes;
      let gone = 0;
      if (shard.reclaimable) {
        shard.reclaimStep(RECLAIM_BLOCKS);
        gone = 1;
      } else {
        if (this.rule.core === "adaptive" && !shard.eviction.following) this.followShard(shard, 1);
        while (gone < TOGETHER && shard.evict()) gone++;
      }
      ledger.noteEvicted(before - shard.allocator.liveBytes);
      shard.unlock();
      left -= gone;
      if (gone > 0) idle = 0;
      else if (++idle === shards.length) this.stuck = true;
    }
  }

  /** The next shard, or of the next two the fuller one. */
  private choose(next: boolean): Shard {
    const { shards } = this.keyspace;
    const { length } = shards;
    const one = shards[this.nextShard % length]!;
    const two = shards[(this.nextShard + 1) % length]!;
    if (next || length === 1) {
      this.nextShard = (this.nextShard + 1) % length;
      return one;
    }
    this.nextShard = (this.nextShard + 2) % length;
    return one.allocator.liveBytes >= two.allocator.liveBytes ? one : two;
  }

  /** Counts the hits that this worker has seen in one of the shards without its lock. */
  private settle(): void {
    const { shards } = this.keyspace;
    if (shards.length === 1) return;
    this.nextSettled = (this.nextSettled + 1) % shards.length;
    const shard = shards[this.nextSettled]!;
    if (shard.eviction.unsettled < UNSETTLED) return;
    shard.lock();
    shard.eviction.settle();
    shard.unlock();
  }
}
