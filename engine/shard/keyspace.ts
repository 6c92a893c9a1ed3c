// keyspace.ts: all shards of the process, and which one a key belongs to. Shards outnumber workers four to one (one
// worker has one), so that two workers seldom want the same lock.
// Neighbours: shard.ts; used by engine/commands and engine/worker.
import { need, type Region } from "../memory/region.ts";
import { Segments } from "../memory/segments.ts";
import type { Clock } from "./clock.ts";
import { Shard } from "./shard.ts";

export const SHARDS_PER_WORKER = 4;

/** What another worker needs to attach to the same keyspace. */
export interface KeyspacePlan {
  readonly segmentBytes: number;
  readonly addresses: readonly number[];
}

export function shardCountFor(workers: number): number {
  return workers === 1 ? 1 : workers * SHARDS_PER_WORKER;
}

export class Keyspace {
  private constructor(
    readonly shards: readonly Shard[],
    readonly plan: KeyspacePlan,
    readonly clock: Clock,
  ) {}

  static create(workers: number, segmentBytes: number, clock: Clock): Keyspace {
    const segments = Array.from({ length: shardCountFor(workers) }, () => Segments.create(segmentBytes));
    const addresses = segments.map((each) => need(each.at(0) as Region | null, "a shard").address);
    return new Keyspace(
      segments.map((each) => new Shard(each, clock, workers === 1)),
      { segmentBytes, addresses },
      clock,
    );
  }

  static attach(plan: KeyspacePlan, clock: Clock): Keyspace {
    const alone = plan.addresses.length === 1;
    return new Keyspace(
      plan.addresses.map((address) => new Shard(Segments.attach(address, plan.segmentBytes), clock, alone)),
      plan,
      clock,
    );
  }

  /** The shard of a key by the low word of its hash: bits 20-31, which neither tag nor position use. */
  shardOf(low: number): Shard {
    const { shards } = this;
    return shards.length === 1 ? shards[0]! : shards[((low >>> 20) * shards.length) >>> 12]!;
  }

  /** Number of the shard of a key. */
  numberOf(low: number): number {
    return ((low >>> 20) * this.shards.length) >>> 12;
  }

  lockAll(): void {
    for (const shard of this.shards) shard.lock();
  }

  unlockAll(): void {
    for (const shard of this.shards) shard.unlock();
  }

  keys(db: number): number {
    let sum = 0;
    for (const shard of this.shards) sum += shard.keys(db);
    return sum;
  }

  deadlines(db: number): number {
    let sum = 0;
    for (const shard of this.shards) sum += shard.index.deadlines(db);
    return sum;
  }

  /** Bytes all shards hold from the system for data. */
  get usedBytes(): number {
    let sum = 0;
    for (const shard of this.shards) sum += shard.usedBytes;
    return sum;
  }

  /** Every invariant of every shard: for tests. */
  check(): void {
    for (const shard of this.shards) shard.check();
  }
}
