// keyspace.ts: all shards of the process, and which one a key belongs to. Shards outnumber workers four to one (one
// worker has one), so that two workers seldom want the same lock.
// Neighbours: shard.ts; used by engine/commands and engine/worker.
import { Codec } from "../compress/codec.ts";
import { Dictionaries, type DictionariesPlan } from "../compress/dictionaries.ts";
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
  readonly dictionaries: DictionariesPlan;
}

export function shardCountFor(workers: number): number {
  return workers === 1 ? 1 : workers * SHARDS_PER_WORKER;
}

export class Keyspace {
  readonly shards: readonly Shard[];
  /** Of this thread, for all shards. */
  readonly codec: Codec;

  private constructor(
    segments: readonly Segments[],
    registers: readonly Segments[],
    readonly plan: KeyspacePlan,
    readonly clock: Clock,
  ) {
    const alone = segments.length === 1;
    const codec = new Codec(Dictionaries.attach(plan.dictionaries));
    this.codec = codec;
    this.shards = segments.map((each, i) => new Shard(each, registers[i]!, clock, alone, codec, i));
  }

  static create(workers: number, segmentBytes: number, clock: Clock): Keyspace {
    const make = () => Array.from({ length: shardCountFor(workers) }, () => Segments.create(segmentBytes));
    const addressOf = (segments: Segments) => segments.at(0).address;
    const segments = make();
    const registers = make();
    const addresses = segments.map(addressOf);
    const dictionaries = Dictionaries.create(segments.length).plan;
    const plan = { segmentBytes, addresses, registers: registers.map(addressOf), dictionaries };
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

  /** Bytes all shards hold from the system for data, and what reading compressed values takes. */
  get usedBytes(): number {
    let sum = this.codec.dictionaries.usedBytes;
    for (const shard of this.shards) sum += shard.usedBytes;
    return sum;
  }

  /** Bytes of all live slots: what would be left of usedBytes without free ones. Right without a lock. */
  get liveBytes(): number {
    let sum = 0;
    for (const shard of this.shards) sum += shard.allocator.liveBytes;
    return sum;
  }

  /** Bytes of the pages that live slots and the free ones among them take. */
  get committedBytes(): number {
    let sum = 0;
    for (const shard of this.shards) sum += shard.allocator.committedBytes;
    return sum;
  }

  /** Bytes of free pages that the system may back. */
  get backedBytes(): number {
    let sum = 0;
    for (const shard of this.shards) sum += shard.allocator.backedBytes;
    return sum;
  }

  /** Every invariant of every shard: for tests. */
  check(): void {
    for (const shard of this.shards) shard.check();
  }
}
