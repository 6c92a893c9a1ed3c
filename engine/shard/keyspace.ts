// keyspace.ts: all shards of the process, and which one a key belongs to. Shards outnumber workers four to one (one
// worker has one), so that two workers seldom want the same lock.
// Neighbours: shard.ts; used by engine/commands and engine/worker.
import { Segments } from "../memory/segments.ts";
import type { Clock } from "./clock.ts";
import { Shard } from "./shard.ts";

export const SHARDS_PER_WORKER = 4;

/** What another worker needs to attach to the same keyspace. */
export interface KeyspacePlan {
  readonly segmentBytes: number;
  readonly addresses: readonly number[];
  /** Of the shards' registers. */
  readonly registers: readonly number[];
}

export function shardCountFor(workers: number): number {
  return workers === 1 ? 1 : workers * SHARDS_PER_WORKER;
}

export class Keyspace {
  readonly shards: readonly Shard[];

  private constructor(
    segments: readonly Segments[],
    registers: readonly Segments[],
    readonly plan: KeyspacePlan,
    readonly clock: Clock,
  ) {
    const alone = segments.length === 1;
    this.shards = segments.map((each, i) => new Shard(each, registers[i]!, clock, alone));
  }

  static create(workers: number, segmentBytes: number, clock: Clock): Keyspace {
    const make = () => Array.from({ length: shardCountFor(workers) }, () => Segments.create(segmentBytes));
    const addressOf = (segments: Segments) => segments.at(0).address;
    const segments = make();
    const registers = make();
    const addresses = segments.map(addressOf);
    const plan = { segmentBytes, addresses, registers: registers.map(addressOf) };
    return new Keyspace(segments, registers, plan, clock);
  }

  static attach(plan: KeyspacePlan, clock: Clock): Keyspace {
    const attach = (address: number) => Segments.attach(address, plan.segmentBytes);
    return new Keyspace(plan.addresses.map(attach), plan.registers.map(attach), plan, clock);
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
