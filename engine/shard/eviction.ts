// eviction.ts: which key of a shard goes when memory is full, behind Redis's policy names.
//
// The names that end in lru and lfu share one adaptive policy. A key enters a small window; what has not been asked for
// when it leaves that goes at once, what is asked for often enough enters the main part, and there the key goes that was
// asked for least, long ago. How large the window is, and how fast past requests are forgotten, is learned all the time.
//   Main      n and the epoch of the last access: n is the logarithm of a count that halves every 16 capacities of accesses
//             (LRFU: Lee et al., IEEE Trans. Comput. 2001). Weakest is the least n / 2 - age / reach.
//   Admission a key that leaves the window takes the place of the weakest of main if its own count, of what ghosts know and
//             of its time in the window, is nearly twice as high (TinyLFU: Einziger, Friedman, Manes, ACM TOS 2017). Of
//             equals the older stays: that is what keeps a part of a loop.
//   Window    its share climbs the hill of hits: up for a key that comes back soon after the window let it go, down for a
//             hit on the weakest part of main (Cliffhanger: Cidon et al., NSDI 2016), each only while the sums of both
//             differ clearly.
//   Reach     of three, the one whose weakest fifth of main had the fewest hits, counted for each pair of n and age (hits
//             by class and age as in EVA and LHD: Beckmann, Sanchez, HPCA 2017; Beckmann, Chen, Cidon, NSDI 2018).
// Nothing is linked: a hand walks over the states of all slots (KeyIndex) for the window, and one for main, and what it
// meets among the oldest 1/32 of the window, or the weakest of main, is chosen; counts of all states say which those are.
// Two hands, as what was stored together becomes main together: one hand would cross one part to reach the other.
//
// State of a slot, one byte:
//   0          not followed
//   1..126     window: 1 + 2 * stamp + hit; stamp modulo 63, 32 a capacity of insertions; hit: asked for again since
//   128..255   main: 128 + n * 16 + epoch; n 0..7, in halves of a logarithm to 2; epoch modulo 16, each two capacities of
//              accesses
// Clocks wait for the hand, which makes what is too old for its byte a little younger, so that no age wraps.
// A hit in the present stamp or epoch changes nothing; and bursts count once.
//
// Block (one allocation, its handle in the superblock's word Super.Bytes / 4 - 1): numbers, counts, marks, then
//   rejects u32 a cell    who left the window for good of late, of a share of keys: 12 bits of hash, 20 of the sequence
//   repeats u16 a cell    evicted with n > 0: 9 bits of hash, n, epoch; in pairs
//   singles u8 a cell     evicted with n = 0: 8 bits of hash
// Memory: a state a slot (1.3 to 1.5 bytes a key), ghosts 0.56 bytes a key, and at most 10 KiB a shard.
//
// Size: what counts is hits for bytes (GreedyDual-Size: Cao, Irani, USITS 1997; with frequency: Cherkasova, HPL-98-69). Where
// sizes differ, half the size is worth 0.7 doublings of the count: to a key that wants into main, and of main's weaker half
// those go that are worth least so, about: a threshold rises with each key that main's hand passes over and falls with each that
// goes. 0.7, and not 1, leaves as many bytes to be hit as LRU does. A larger window costs main more keys than it gains then.
// The caller asks for victims until there is room.
// Who writes: whoever holds the shard's lock. A hit without it goes into a list of this worker's, and is counted with the
// next insertion or victim; when the list is full it is lost.
// On the data path: nothing allocates, but that volatile-ttl looks through a leaf now and then where few
// keys have a deadline. Chance comes from outside.
// Neighbours: engine/index; whoever sees hits, insertions and full memory calls it: see EvictionPolicy.
import { DATABASES, type KeyIndex, type StateKeeper } from "../index/key-index.ts";
import { type Allocator, Handle } from "../memory/allocator.ts";
import { assert } from "../memory/assert.ts";
import { Key } from "../memory/key.ts";
import type { Mover } from "../memory/mover.ts";
import { deadlineAt, hasPagesAt, keyBytesAt, keyStartAt, recordBytesAt } from "../memory/record.ts";
import type { Region } from "../memory/region.ts";
import { Super } from "../memory/segments.ts";
import type { Clock } from "./clock.ts";

export type EvictionCore = "none" | "adaptive" | "random" | "ttl";

export interface EvictionRule {
  readonly core: EvictionCore;
  /** Only keys with a deadline may go. */
  readonly volatile: boolean;
  /** By how often they are asked for: OBJECT tells of that and not of how long they were not. */
  readonly frequency?: boolean;
}

/** Redis's names of policies. */
export const evictionRules = {
  noeviction: { core: "none", volatile: false },
  "allkeys-lru": { core: "adaptive", volatile: false },
  "allkeys-lfu": { core: "adaptive", volatile: false, frequency: true },
  "allkeys-random": { core: "random", volatile: false },
  "volatile-lru": { core: "adaptive", volatile: true },
  "volatile-lfu": { core: "adaptive", volatile: true, frequency: true },
  "volatile-random": { core: "random", volatile: true },
  "volatile-ttl": { core: "ttl", volatile: true },
} as const satisfies Readonly<Record<string, EvictionRule>>;

export interface EvictionPolicy {
  /** A key was found (`find`, not yet followed by anything else of the index). Without the lock (`exclusive` false) too. */
  hit(db: number, key: Key, exclusive: boolean): void;
  /** A key was put into the index (`insert`, not yet followed by anything else of it). What the index found is kept. */
  inserted(db: number, key: Key): void;
  /** A key got its first deadline, and is what the index has found. */
  deadlineGiven(db: number, key: Key): void;
  /** Handle of the record to remove, its key in `victimKey` and `victimDb`, and what the index has found; 0 when nothing
   *  may go. */
  victim(): number;
  /** The same of one key, which is what the index has found: its handle, or 0 when it may not go, or is worth much more than
   *  those that go now and not `anyway` to go. */
  victimAt(db: number, handle: number, anyway: boolean): number;
  readonly victimKey: Key;
  readonly victimDb: number;
  /** Bytes held beside states. */
  readonly heldBytes: number;
}

const enum State {
  Main = 128,
  Stamps = 63,
  Epochs = 16,
  /** Ages from which on the hand makes a state younger. There is no older stamp than the last, as clocks wait, and those
   *  that would be are the next to come. */
  OldStamp = 45,
  OldestStamp = 60,
  OldEpoch = 15,
}

const enum Mark {
  Window = 1,
  Main = 2,
  Old = 4,
}

/** f64 of the block. */
const enum F {
  Tick = 0,
  Epoch = 1,
  /** Keys the window may hold. */
  Quota = 2,
  /** Sums of what speaks for a larger and a smaller window. */
  Up = 3,
  Down = 4,
  Capacity = 5,
  /** What a hit on the weakest part counts: less than 1 when more keys than SEGMENT are as weak. */
  LowShare = 6,
  /** Rank below which `victim` takes keys of main. */
  Weakest = 7,
  Accesses = 8,
  /** Of the slots at which main's hand stops. */
  MainBytes = 9,
  /** Sum of Hits. */
  AllHits = 10,
  /** Of the window's hand and of main's. */
  HandPosition = 11,
  /** Of the records at which the window's hand stops. */
  WindowBytes = 13,
  /** Of their sizes, in doublings: how far they lie from the mean, in the mean. */
  Spread = 14,
  /** Where sizes differ: what a key of main is worth for its bytes and goes. */
  Threshold = 15,
  /** Hits on and presence of each class (n * 16 + age), fading. */
  Hits = 16,
  Held = 144,
  /** When each stamp and epoch began, ms. */
  TickStart = 272,
  EpochStart = 336,
  End = 352,
}

/** i32 of the block, behind its f64. */
const enum I {
  Window = 704,
  Main = 705,
  Tick = 706,
  Epoch = 707,
  /** Of the window's hand and of main's. */
  HandDb = 708,
  /** Stamps since a hand was at the beginning. */
  Ticks = 710,
  /** A hand was at the beginning in this epoch. */
  Round = 711,
  /** Insertions until `tune`, victims until `mark`. */
  UntilTune = 712,
  UntilMark = 713,
  Reach = 714,
  Sequence = 715,
  /** Keys in whose low hash word these bits are 0 are followed in rejects. */
  Sampled = 716,
  Singles = 717,
  Repeats = 718,
  Rejects = 719,
  /** Something was evicted. */
  Full = 720,
  Recount = 721,
  Bytes = 722,
  /** Of the window's hand and of main's. */
  HandSlot = 723,
  /** Slots that each hand skips after a key it stopped at. */
  Skip = 725,
  /** Keys of main that were too old for their byte when marks were made. */
  OldMain = 727,
  Stamps = 736,
  Classes = 800,
  End = 928,
}

/** Bytes of the block. */
const enum B {
  Marks = 3712,
  Low = 3968,
  Tables = 4096,
}
assert(I.Window === F.End * 2 && B.Marks === I.End * 4, "the block's parts follow each other");

const CLASSES = 128;
/** Stamps in a capacity of insertions; capacities of accesses in an epoch. */
const STAMPS = 32;
const EPOCH = 2;
/** Capacities of accesses in which a count halves, and in which the sums for and against the window do. */
const HALF_LIFE = 16;
const SUMS_HALF_LIFE = 16;
const FIRST_QUOTA = 0.05;
const LEAST_QUOTA = 1 / 32;
const MOST_QUOTA = 0.95;
const MARGIN = 0.9;
/** Parts of the capacity that are compared to move the window. */
const SEGMENT = 0.15;
const CLEARLY = 1.5;
const NOISE = 4;
const REACHES = [4, 8, 16];
/** The part of main by whose hits a reach is judged, what a better one must undercut, hits that are none, and what counts
 *  a capacity of insertions later. */
const JUDGED = 0.2;
const UNDERCUT = 0.9;
const FEW_HITS = 16;
const KEPT = 0.6;
const KEPT_WHILE_FEW = 0.95;
const ENOUGH_HITS = 500;
const TUNES = 32;
const SINGLES_SHARE = 0.5;
const REPEATS_SHARE = 0.03;
const LEAST_SINGLES = 1024;
const LEAST_REPEATS = 512;
const MOST_REJECTS = 1024;
const PENDING = 64;
/** Keys that go from a window that is too large to main in one call. */
const PROMOTIONS = 64;
const UNKNOWN_AGE = 8;
/** In doublings of its count: how much more than the weakest a key of main is worth that is rather moved than let go. */
const WORTH_MARGIN = 1;
/** What half the size is worth, in doublings of a key's count; a collection with pages is as one of so many times the mean
 *  size. From which spread on sizes count at all, and from which on as much as they can. */
const SIZE_WEIGHT = 0.7;
const LARGE = 16;
const LEAST_SPREAD = 0.1;
const MOST_SPREAD = 0.8;
/** One size in so many counts in their mean, odd so that both hands' do, and what it weighs. */
const SIZES_LEARNED = 7;
const MEAN_WEIGHT = 1 / 32;
/** Where sizes differ most: the part of main of which keys go, the keys passed over for each that goes, in the mean and at
 *  most, how fast the threshold follows that, and the share of those passed over that are looked at for having pages. */
const SIZED_PART = 0.5;
const SIZED_PASSES = 8;
const MOST_PASSED = 64;
const THRESHOLD_STEP = 0.02;
const LOOKED_AT = 1 / 2;
/** The part of main of which keys go where they do not. */
const PART = 1 / 32;
/** Slots there are for each of the 1/32 of the keys that go until marks are made anew, about. */
const SLOTS_A_VICTIM = 40;
/** Stops of a hand that are found together, and in how many more leaves than the first one has. */
const STOPS = 16;
const STOP_LEAVES = 16;
const END = 2 ** 32;
/** Bits of four states that are main's. */
const ALL_MAIN = 0x80808080 | 0;
/** Keys due soonest that are kept, and keys drawn for each victim, as in Redis; how many are looked at for them; leaves of
 *  which the one that is due first is read when few keys have a deadline. */
const DUE_KEPT = 16;
const DUE_DRAWN = 5;
const DUE_LOOKS = 16;
const LEAVES = 16;
/** Slots drawn for a key at random before it is walked to. */
const DRAWS = 200;
const NEW_FREQUENCY = 5;

/** By class: n in halves after a hit. */
const GROWN = new Float64Array(CLASSES);
/** By reach and class: its rank; and the classes by rank. */
const RANKS = REACHES.map(() => new Float64Array(CLASSES));
const ORDERS = RANKS.map((ranks, i) => {
  for (let n = 0; n < 8; n++)
    for (let age = 0; age < State.Epochs; age++) {
      GROWN[n * 16 + age] = 2 * Math.log2(1 + 2 ** (n / 2 - (age * EPOCH) / HALF_LIFE));
      ranks[n * 16 + age] = n / 2 - (age * EPOCH) / REACHES[i]!;
    }
  return Uint8Array.from({ length: CLASSES }, (_, index) => index).sort((a, b) => ranks[a]! - ranks[b]!);
});

/** Slots to skip after a victim when `marked` keys are marked of which `some` are to go, and more than twice as many would
 *  go on the way once around: so that those that go come from leaves everywhere, and not all from a few. */
function skipOf(marked: number, some: number): number {
  return marked <= 2 * some ? 0 : Math.floor((SLOTS_A_VICTIM / 2) * (1 - (2 * some) / marked));
}

/** Where a hand stops next: found together, so that the processor fetches the records together, and looked at anew then. */
class Stops {
  next = 0;
  count = 0;
  readonly db = new Int32Array(STOPS);
  readonly position = new Float64Array(STOPS);
  readonly leaf = new Uint32Array(STOPS);
  readonly slot = new Int32Array(STOPS);
  readonly handle = new Uint32Array(STOPS);
  /** Of what was read: nobody may leave the reading out. */
  touched = 0;
}

export class Eviction implements EvictionPolicy, StateKeeper {
  readonly victimKey: Key;
  victimDb = 0;
  private rule: EvictionRule = evictionRules.noeviction;
  /** Whether requests count: states are kept by who evicts by them. */
  private adaptive = false;
  private readonly word: number;
  /** The block as it was last opened. */
  private block = 0;
  private region: Region;
  private f = 0; // f64 index
  private i = 0; // i32 index
  private b = 0; // byte
  /** Where the hand stopped, and what is there. */
  private seenDb = 0;
  /** Stops of the hands until a size counts. */
  private untilLearned = 0;
  private seenHandle = 0;
  /** Accesses not yet told to the clock; hits seen without the lock: database, hash, handle. */
  private accesses = 0;
  private pending = 0;
  private readonly noted = new Int32Array(PENDING * 4);
  /** Keys that are due soonest, of those drawn so far: database, hash, handle; and when. */
  private dueCount = 0;
  private readonly due = new Int32Array(DUE_KEPT * 4);
  private readonly dueAt = new Float64Array(DUE_KEPT);
  private readonly windowStops = new Stops();
  private readonly mainStops = new Stops();

  constructor(
    private readonly allocator: Allocator,
    private readonly superblock: Region,
    private readonly index: KeyIndex,
    private readonly clock: Clock,
    private readonly chance: () => number,
  ) {
    this.word = (Super.Bytes >> 2) - 1;
    this.region = superblock;
    this.victimKey = new Key(superblock);
    index.keeper = this;
  }

  // Setting up

  /** What may go, and by which rule. Keys are followed from `follow` on. */
  configure(rule: EvictionRule): void {
    this.rule = rule;
    this.adaptive = rule.core === "adaptive";
  }

  /** Begins to follow keys, or goes on with another capacity: about how many keys there will be when memory is full. Once
   *  there are victims it is counted. False when there is no memory for it. */
  follow(capacity: number): boolean {
    const keys = Math.max(1, Math.ceil(capacity));
    if (!this.open()) return this.create(keys);
    if (this.region.i32[this.i + I.Full] === 0) this.resize(keys);
    return true;
  }

  /** Whether keys are followed. */
  get following(): boolean {
    return this.superblock.i32[this.word] !== 0;
  }

  /** To be called when the allocator was reset: everything followed is gone. */
  reset(): void {
    this.superblock.i32[this.word] = 0;
    this.block = 0;
    this.pending = 0;
    this.dueCount = 0;
  }

  get heldBytes(): number {
    return this.open() ? this.region.i32[this.i + I.Bytes]! : 0;
  }

  /** Bytes of the states of all slots. O(leaves). */
  get stateBytes(): number {
    const { index } = this;
    let bytes = 0;
    for (let db = 0; db < DATABASES; db++)
      for (let position = 0; position < END && index.directorySize(db) > 0; ) {
        const leaf = index.leafOn(db, position);
        if (index.statesAt(leaf) !== 0) bytes += index.slotsOf(leaf);
        position = index.endOf(leaf);
      }
    return bytes;
  }

  private open(): boolean {
    const handle = this.superblock.u32[this.word]!;
    if (handle === this.block) return handle !== 0;
    this.block = handle;
    if (handle === 0) return false;
    const granule = handle & Handle.GranuleMask;
    this.region = this.allocator.regionOf(handle);
    this.f = granule;
    this.i = granule * 2;
    this.b = granule << Handle.GranuleShift;
    return true;
  }

  private create(capacity: number): boolean {
    const singles = Math.max(LEAST_SINGLES, Math.ceil(capacity * SINGLES_SHARE));
    const repeats = Math.max(LEAST_REPEATS, Math.ceil(capacity * REPEATS_SHARE)) & ~1;
    const segment = capacity * SEGMENT;
    const rejects = Math.min(MOST_REJECTS, 2 ** Math.ceil(Math.log2(Math.max(16, segment) * 4)));
    const bytes = B.Tables + rejects * 4 + repeats * 2 + singles;
    const handle = this.allocator.allocate(bytes);
    if (handle === 0) return false;
    this.superblock.u32[this.word] = handle;
    this.open();
    const { f64, i32, u8 } = this.region;
    const { f, i } = this;
    u8.fill(0, this.b, this.b + bytes);
    f64[f + F.Capacity] = capacity;
    f64[f + F.Quota] = Math.max(1, capacity * FIRST_QUOTA);
    f64[f + F.LowShare] = 1;
    f64.fill(this.clock.nowMs, f + F.TickStart, f + F.End);
    i32[i + I.Reach] = REACHES.length - 1;
    // A quarter full at most, or one reject takes the place of another that still counts.
    i32[i + I.Sampled] = 2 ** Math.max(0, Math.ceil(Math.log2(segment / (rejects / 4)))) - 1;
    i32[i + I.Singles] = singles;
    i32[i + I.Repeats] = repeats;
    i32[i + I.Rejects] = rejects;
    i32[i + I.Bytes] = bytes;
    return true;
  }

  /** Makes tables for another capacity when they have become much too large or small. */
  private resize(capacity: number): void {
    const { f64 } = this.region;
    const old = f64[this.f + F.Capacity]!;
    f64[this.f + F.Capacity] = capacity;
    f64[this.f + F.Quota] = Math.max(1, (f64[this.f + F.Quota]! * capacity) / old);
    const ghosts = this.region.i32[this.i + I.Singles]! / SINGLES_SHARE;
    if (capacity <= ghosts * 1.25 && (capacity >= ghosts * 0.6 || ghosts <= LEAST_SINGLES / SINGLES_SHARE))
      return;
    const from = this.region;
    const { block, f, i, singlesAt, repeatsAt } = this;
    const singles = from.i32[i + I.Singles]!;
    const repeats = from.i32[i + I.Repeats]!;
    if (!this.create(capacity)) return;
    const to = this.region;
    const sizes = [I.Sampled, I.Singles, I.Repeats, I.Rejects, I.Bytes].map((word) => to.i32[this.i + word]!);
    for (let n = 0; n < F.End; n++) to.f64[this.f + n] = from.f64[f + n]!;
    for (let n = I.Window; n < I.End; n++) to.i32[this.i + n] = from.i32[i + n]!;
    for (let n = 0; n < B.Tables - B.Marks; n++)
      to.u8[this.b + B.Marks + n] = from.u8[(f << Handle.GranuleShift) + B.Marks + n]!;
    const [sampled, newSingles, newRepeats, rejects, bytes] = sizes;
    to.i32[this.i + I.Sampled] = sampled!;
    to.i32[this.i + I.Singles] = newSingles!;
    to.i32[this.i + I.Repeats] = newRepeats!;
    to.i32[this.i + I.Rejects] = rejects!;
    to.i32[this.i + I.Bytes] = bytes!;
    // A cell's place is a share of the table: what was in the same share before is, nearly always, the same keys'.
    for (let n = 0; n < newSingles!; n++)
      to.u8[this.singlesAt + n] = from.u8[singlesAt + Math.floor((n * singles) / newSingles!)]!;
    for (let n = 0; n < newRepeats!; n += 2) {
      const source = repeatsAt + Math.floor((n * repeats) / newRepeats! / 2) * 4;
      to.i32[(this.repeatsAt + n * 2) >> 2] = from.i32[source >> 2]!;
    }
    this.allocator.free(block);
  }

  /** Moves the block if its span is leaving. */
  relocate(mover: Mover): void {
    if (!this.open()) return;
    const { block } = this;
    const created = mover.copy(block, this.heldBytes);
    if (created === 0) return;
    this.superblock.u32[this.word] = created;
    this.allocator.free(block);
  }

  // Byte offsets of the tables.

  private get rejectsAt(): number {
    return this.b + B.Tables;
  }

  private get repeatsAt(): number {
    return this.rejectsAt + this.region.i32[this.i + I.Rejects]! * 4;
  }

  private get singlesAt(): number {
    return this.repeatsAt + this.region.i32[this.i + I.Repeats]! * 2;
  }

  // States

  private count(state: number, change: number): void {
    const { i32 } = this.region;
    const { i } = this;
    const main = state >= State.Main;
    const total = i + (main ? I.Main : I.Window);
    const part = i + (main ? I.Classes + state - State.Main : I.Stamps + ((state - 1) >> 1));
    i32[total] = i32[total]! + change;
    i32[part] = i32[part]! + change;
  }

  /** Gives what was found another state, or none. */
  private setFound(state: number): void {
    const { index } = this;
    const old = index.foundState;
    if (old > 0) this.count(old, -1);
    index.foundState = state;
    if (state !== 0) this.count(state, 1);
  }

  private mainState(n: number): number {
    const whole = Math.floor(n);
    const rounded = whole + (n > whole && this.chance() < n - whole ? 1 : 0);
    return State.Main + Math.min(7, rounded) * 16 + this.region.i32[this.i + I.Epoch]!;
  }

  private ageOf(state: number): number {
    return (this.region.i32[this.i + I.Epoch]! - state) & 15;
  }

  stateGone(state: number): void {
    if (this.open()) this.count(state, -1);
  }

  statesForgotten(): void {
    if (this.open()) this.region.i32[this.i + I.Recount] = 1;
  }

  /** Counts all states anew. O(slots). */
  private recount(): void {
    const { index, allocator } = this;
    const { i32 } = this.region;
    const { i } = this;
    i32.fill(0, i + I.Stamps, i + I.End);
    i32[i + I.Window] = 0;
    i32[i + I.Main] = 0;
    i32[i + I.Recount] = 0;
    i32[i + I.UntilMark] = 0;
    for (let db = 0; db < DATABASES; db++)
      for (let position = 0; position < END && index.directorySize(db) > 0; ) {
        const leaf = index.leafOn(db, position);
        const at = index.statesAt(leaf);
        const { u8 } = allocator.regionOf(leaf);
        const slots = index.slotsOf(leaf);
        for (let slot = 0; at !== 0 && slot < slots; slot++)
          if (u8[at + slot] !== 0) this.count(u8[at + slot]!, 1);
        position = index.endOf(leaf);
      }
  }

  /** Gives a leaf states, and its keys that of one long not asked for. False when memory is out. */
  private adopt(db: number, position: number): boolean {
    const { index } = this;
    if (!index.addStates(db, position)) return false;
    const leaf = index.leafOn(db, position);
    const epoch = (this.region.i32[this.i + I.Epoch]! - UNKNOWN_AGE) & 15;
    const slots = index.slotsOf(leaf);
    for (let slot = 0; slot < slots; slot++)
      if (index.findSlot(leaf, slot) !== 0 && index.foundState === 0) this.setFound(State.Main + epoch);
    return true;
  }

  // What happens to keys

  hit(db: number, key: Key, exclusive: boolean): void {
    if (!this.adaptive || !this.open()) return;
    this.accesses++;
    const { index } = this;
    const at = index.foundStateAt;
    if (at === 0) return;
    const state = index.foundRegion.u8[at]!;
    const { i32 } = this.region;
    if (state >= State.Main) {
      if ((state & 15) === i32[this.i + I.Epoch]) return;
    } else if (state === 0 || (state - 1) >> 1 === i32[this.i + I.Tick]) return;
    if (exclusive) {
      this.touch(state);
      return;
    }
    if (this.pending === PENDING) return;
    const { noted } = this;
    const entry = this.pending++ << 2;
    noted[entry] = db;
    noted[entry + 1] = key.high;
    noted[entry + 2] = key.low;
    noted[entry + 3] = index.foundRegion.i32[index.foundWord]!;
  }

  /** Counts a hit on what was found, which has that state. */
  private touch(state: number): void {
    const { f64, i32, u8 } = this.region;
    const { f, i } = this;
    if (state < State.Main) {
      this.setFound(2 + 2 * i32[i + I.Tick]!);
      return;
    }
    const kind = (state & 0x70) | this.ageOf(state);
    f64[f + F.Hits + kind] = f64[f + F.Hits + kind]! + 1;
    f64[f + F.AllHits] = f64[f + F.AllHits]! + 1;
    if (u8[this.b + B.Low + kind] !== 0) this.vote(-f64[f + F.LowShare]! * this.windowCost);
    this.setFound(this.mainState(GROWN[kind]!));
  }

  /** Something speaks for a larger window, or, negative, for a smaller one. */
  private vote(weight: number): void {
    const { f64 } = this.region;
    const { f } = this;
    const mine = f + (weight > 0 ? F.Up : F.Down);
    const other = f64[f + (weight > 0 ? F.Down : F.Up)]!;
    f64[mine] = f64[mine]! + Math.abs(weight);
    if (f64[mine]! <= CLEARLY * other + NOISE) return;
    const capacity = f64[f + F.Capacity]!;
    const most = MOST_QUOTA * capacity;
    f64[f + F.Quota] = Math.max(1, LEAST_QUOTA * capacity, Math.min(most, f64[f + F.Quota]! + weight));
  }

  /** How many hits were seen without the lock and not counted yet. */
  get unsettled(): number {
    return this.pending;
  }

  /** Counts the hits seen without the lock. What the index found is another then. */
  settle(): void {
    const { index, noted } = this;
    if (!this.open()) {
      this.pending = 0;
      return;
    }
    for (let n = 0; n < this.pending; n++) {
      const entry = n << 2;
      if (!index.findRecord(noted[entry]!, noted[entry + 1]!, noted[entry + 2]!, noted[entry + 3]! >>> 0))
        continue;
      const state = index.foundState;
      const { i32 } = this.region;
      const now = state >= State.Main ? i32[this.i + I.Epoch] : i32[this.i + I.Tick];
      if (state > 0 && (state >= State.Main ? state & 15 : (state - 1) >> 1) !== now) this.touch(state);
    }
    this.pending = 0;
  }

  /** A key has got its first deadline, and is what the index has found: it may go now where only such keys may. */
  deadlineGiven(db: number, key: Key): void {
    if (this.rule.volatile && this.index.foundState <= 0) this.inserted(db, key);
  }

  inserted(db: number, key: Key): void {
    if (!this.adaptive || !this.open()) return;
    const { index } = this;
    const { f64, i32 } = this.region;
    const { f, i } = this;
    const handle = index.foundRegion.u32[index.foundWord]!;
    const capacity = f64[f + F.Capacity]!;
    if (i32[i + I.Recount] !== 0) this.recount();
    this.tick(capacity);
    this.regret(key.high, key.low);
    if (i32[i + I.UntilTune]!-- <= 0) this.tune();
    if (this.pending > 0) {
      this.settle();
      index.findRecord(db, key.high, key.low, handle);
    }
    if (index.foundState < 0) {
      const adopted = this.adopt(db, key.high >>> 0);
      index.findRecord(db, key.high, key.low, handle);
      if (!adopted) return;
    }
    this.setFound(1 + 2 * this.region.i32[this.i + I.Tick]!);
  }

  /** Moves the clocks on by an insertion and the accesses since the last. */
  private tick(capacity: number): void {
    const { f64, i32 } = this.region;
    const { f, i } = this;
    const now = this.clock.nowMs;
    const before = f64[f + F.Tick]!;
    let tick = before + STAMPS / capacity;
    if (Math.floor(tick) !== Math.floor(before)) {
      // The hand has to have been round, or a stamp would come to mean two times. At first, nothing is old.
      if (i32[i + I.Ticks]! >= (i32[i + I.Full] === 0 ? State.OldStamp : 16)) tick = before;
      else {
        const steps = Math.min(16, Math.floor(tick) - Math.floor(before));
        i32[i + I.Ticks] = i32[i + I.Ticks]! + steps;
        for (let n = 0; n < steps; n++) {
          const next = i32[i + I.Tick]! + 1;
          i32[i + I.Tick] = next === State.Stamps ? 0 : next;
          f64[f + F.TickStart + i32[i + I.Tick]!] = now;
        }
        tick = Math.floor(before) + steps + tick - Math.floor(tick);
      }
    }
    f64[f + F.Tick] = tick;
    const accesses = this.accesses + 1;
    this.accesses = 0;
    f64[f + F.Accesses] = f64[f + F.Accesses]! + accesses;
    const old = f64[f + F.Epoch]!;
    const epoch = old + accesses / (EPOCH * capacity);
    if (Math.floor(epoch) === Math.floor(old)) f64[f + F.Epoch] = epoch;
    else if (i32[i + I.Round] !== 0) {
      f64[f + F.Epoch] = Math.floor(old) + 1;
      i32[i + I.Round] = 0;
      i32[i + I.Epoch] = (i32[i + I.Epoch]! + 1) & 15;
      i32[i + I.UntilMark] = 0;
      f64[f + F.EpochStart + i32[i + I.Epoch]!] = now;
      this.ageRepeats();
    }
  }

  /** Learns from what the last insertions and hits were. */
  private tune(): void {
    const { f64, i32, u8 } = this.region;
    const { f, i } = this;
    // The key that is being inserted has no state yet.
    if (i32[i + I.Full] !== 0) this.resize(i32[i + I.Window]! + i32[i + I.Main]! + 1);
    if (f !== this.f) {
      this.tune();
      return;
    }
    const capacity = f64[f + F.Capacity]!;
    const period = Math.max(16, Math.floor(capacity / TUNES));
    i32[i + I.UntilTune] = period;
    const fade = (f64[f + F.AllHits]! > ENOUGH_HITS ? KEPT : KEPT_WHILE_FEW) ** (period / capacity);
    const sumsFade = 0.5 ** (f64[f + F.Accesses]! / (SUMS_HALF_LIFE * capacity));
    f64[f + F.Accesses] = 0;
    f64[f + F.Up] = f64[f + F.Up]! * sumsFade;
    f64[f + F.Down] = f64[f + F.Down]! * sumsFade;
    const epoch = i32[i + I.Epoch]!;
    let held = 0;
    f64[f + F.AllHits] = f64[f + F.AllHits]! * fade;
    for (let kind = 0; kind < CLASSES; kind++) {
      const keys = i32[i + I.Classes + (kind & 0x70) + ((epoch - kind) & 15)]!;
      f64[f + F.Held + kind] = (f64[f + F.Held + kind]! + keys) * fade;
      f64[f + F.Hits + kind] = f64[f + F.Hits + kind]! * fade;
      held += f64[f + F.Held + kind]!;
    }
    if (held > 0) i32[i + I.Reach] = this.bestReach(held * JUDGED);
    const order = ORDERS[i32[i + I.Reach]!]!;
    const wanted = Math.max(1, capacity * SEGMENT);
    u8.fill(0, this.b + B.Low, this.b + B.Low + CLASSES);
    let low = 0;
    for (let n = 0; n < CLASSES && low < wanted; n++) {
      const kind = order[n]!;
      u8[this.b + B.Low + kind] = 1;
      low += i32[i + I.Classes + (kind & 0x70) + ((epoch - kind) & 15)]!;
    }
    f64[f + F.LowShare] = wanted / Math.max(low, wanted / 4);
  }

  private bestReach(judged: number): number {
    const present = this.region.i32[this.i + I.Reach]!;
    let best = present;
    let least = this.hitsBelow(present, judged);
    for (let reach = 0; reach < REACHES.length; reach++) {
      if (reach === present) continue;
      const hits = this.hitsBelow(reach, judged);
      // Of equals the longest.
      if (hits + FEW_HITS >= (least + FEW_HITS) * UNDERCUT && (reach < best || hits > least)) continue;
      best = reach;
      least = hits;
    }
    return best;
  }

  /** Hits on the part of main that a reach would have let go first. */
  private hitsBelow(reach: number, judged: number): number {
    const { f64 } = this.region;
    const order = ORDERS[reach]!;
    let hits = 0;
    for (let n = 0; n < CLASSES && judged > 0; n++) {
      const held = f64[this.f + F.Held + order[n]!]!;
      if (held <= 0) continue;
      hits += f64[this.f + F.Hits + order[n]!]! * Math.min(1, judged / held);
      judged -= held;
    }
    return hits;
  }

  // Ghosts

  /** A key that comes back soon after the window let it go speaks for a larger window. */
  private regret(high: number, low: number): void {
    const { i32, u32, f64 } = this.region;
    const { i } = this;
    const sampled = i32[i + I.Sampled]!;
    if (((low >>> 8) & sampled) !== 0) return;
    const cell = this.rejectCell(high);
    const entry = u32[cell]!;
    if (entry === 0 || entry >>> 20 !== (low & 0xfff)) return;
    const age = (i32[i + I.Sequence]! - entry) & 0xfffff;
    if (age * (sampled + 1) >= Math.max(1, f64[this.f + F.Capacity]! * SEGMENT)) return;
    u32[cell] = 0;
    this.vote(sampled + 1);
  }

  private rejectCell(high: number): number {
    const cells = this.region.i32[this.i + I.Rejects]!;
    return (this.rejectsAt >> 2) + (Math.imul(high, 0x9e3779b1) >>> (Math.clz32(cells) + 1));
  }

  private reject(high: number, low: number): void {
    const { i32, u32 } = this.region;
    if (((low >>> 8) & i32[this.i + I.Sampled]!) !== 0) return;
    const sequence = (i32[this.i + I.Sequence]! + 1) & 0xfffff;
    i32[this.i + I.Sequence] = sequence;
    u32[this.rejectCell(high)] = ((low & 0xfff) << 20) | sequence;
  }

  /** Byte offset of the cell of singles, and of the pair of repeats, for a hash. */
  private singleAt(high: number): number {
    return this.singlesAt + Math.floor(((high >>> 0) * this.region.i32[this.i + I.Singles]!) / END);
  }

  private repeatAt(high: number): number {
    const pairs = this.region.i32[this.i + I.Repeats]! >> 1;
    return this.repeatsAt + Math.floor(((high >>> 0) * pairs) / END) * 4;
  }

  /** Keeps what was known of a key that goes: n, and how many epochs ago it was last asked for. */
  private remember(high: number, low: number, n: number, age: number): void {
    const { u8, u32, i32 } = this.region;
    if (n === 0) {
      u8[this.singleAt(high)] = low & 255 || 1;
      return;
    }
    const at = this.repeatAt(high) >> 2;
    const epoch = i32[this.i + I.Epoch]!;
    const cell = (((low >>> 8) & 511) << 7) | (n << 4) | ((epoch - age) & 15);
    const pair = u32[at]!;
    const first = pair & 0xffff;
    const second = pair >>> 16;
    const mine = cell >>> 7;
    const inFirst =
      first >>> 7 === mine || (second >>> 7 !== mine && this.repeatRank(first) <= this.repeatRank(second));
    u32[at] = inFirst ? (second << 16) | cell : (cell << 16) | first;
  }

  private repeatRank(cell: number): number {
    if (cell === 0) return Number.NEGATIVE_INFINITY;
    return RANKS[REACHES.length - 1]![(cell & 0x70) | this.ageOf(cell)]!;
  }

  /** n of a key that the window lets go, of what is remembered: before anything is added for its time in the window. */
  private recall(high: number, low: number): number {
    const { u8, u32, i32 } = this.region;
    const pair = u32[this.repeatAt(high) >> 2]!;
    const mine = (low >>> 8) & 511;
    const found = (pair & 0xffff) >>> 7 === mine ? pair & 0xffff : pair >>> 23 === mine ? pair >>> 16 : 0;
    if (found !== 0) return GROWN[(found & 0x70) | ((i32[this.i + I.Epoch]! - found) & 15)]!;
    return u8[this.singleAt(high)] === (low & 255 || 1) ? GROWN[0]! : 0;
  }

  /** A new epoch: what was of 16 ago is of 15 ago from now on. */
  private ageRepeats(): void {
    const { i32 } = this.region;
    const epoch = i32[this.i + I.Epoch]!;
    const older = (epoch + 1) & 15;
    const first = this.repeatsAt >> 2;
    const end = first + (i32[this.i + I.Repeats]! >> 1);
    for (let at = first; at < end; at++) {
      const pair = i32[at]!;
      if ((pair & 15) === epoch) i32[at] = (i32[at]! & ~15) | older;
      if (((pair >>> 16) & 15) === epoch) i32[at] = (i32[at]! & ~0xf0000) | (older << 16);
    }
  }

  // Victims

  victim(): number {
    switch (this.rule.core) {
      case "adaptive":
        return this.leastUsed();
      case "random":
        return this.anyone();
      case "ttl":
        return this.soonestDue();
      case "none":
        return 0;
    }
  }

  victimAt(db: number, handle: number, anyway: boolean): number {
    if (this.rule.core === "none" || !this.openVictim(handle)) return 0;
    this.victimDb = db;
    const state = this.adaptive && this.open() ? this.index.foundState : 0;
    if (state <= 0) return anyway || this.rule.core === "random" ? handle : 0;
    if (!anyway && this.worthAt(state)) return 0;
    const { high, low } = this.victimKey;
    if (state < State.Main) this.remember(high, low, 0, 0);
    else this.remember(high, low, (state >> 4) & 7, this.ageOf(state));
    return handle;
  }

  /** Whether a key of that state is worth much more than those that go now. */
  private worthAt(state: number): boolean {
    const { f64, i32 } = this.region;
    const { f, i } = this;
    if (i32[i + I.Full] === 0) return true;
    if (state < State.Main) return (state & 1) === 0;
    const kind = (state & 0x70) | this.ageOf(state);
    return RANKS[i32[i + I.Reach]!]![kind]! > f64[f + F.Weakest]! + WORTH_MARGIN;
  }

  private leastUsed(): number {
    if (!this.open()) return this.anyone();
    const { index } = this;
    const { f64, i32 } = this.region;
    const { f, i } = this;
    if (i32[i + I.Recount] !== 0) this.recount();
    if (this.pending > 0) this.settle();
    i32[i + I.Full] = 1;
    if (i32[i + I.UntilMark]!-- <= 0) this.mark();
    let promotions = PROMOTIONS;
    // Each turn ends with a victim, or has followed one key less, or promotes: of which there are few.
    for (;;) {
      const window = i32[i + I.Window]!;
      const main = i32[i + I.Main]!;
      if (window + main === 0) return this.anyone();
      const quota = Math.max(1, Math.floor(f64[f + F.Quota]!));
      if (window > quota && promotions-- > 0) {
        if (!this.seek(Mark.Window)) return this.anyone();
        this.setFound(this.mainState((index.foundState & 1) === 0 ? GROWN[0]! : 0));
        continue;
      }
      if (main > 0 && window < quota) {
        const found = this.seekWeakest();
        if (found < 0) return this.anyone();
        if (found > 0) return this.letGo();
        continue;
      }
      if (!this.seek(Mark.Window)) return this.anyone();
      if (!this.mayGo()) continue;
      const size = this.relativeSize();
      const sized = this.sizesCount;
      const worth = sized > 0 ? -SIZE_WEIGHT * Math.log2(size) : 0;
      const least = f64[f + (sized > 0 ? F.Threshold : F.Weakest)]!;
      const { high, low } = this.victimKey;
      let n = this.recall(high, low);
      if ((index.foundState & 1) === 0) n = 2 * Math.log2(1 + 2 ** (n / 2));
      const state = this.mainState(n);
      if (main > 0 && n / 2 + worth > least + MARGIN) {
        this.setFound(state);
        const found = this.seekWeakest();
        if (found < 0) return this.anyone();
        if (found > 0) return this.letGo();
        continue;
      }
      // To have kept it would have cost as many others as it is larger.
      if (sized === 0 || size <= 1 || this.chance() * size < 1) this.reject(high, low);
      this.remember(high, low, (state >> 4) & 7, 0);
      this.victimDb = this.seenDb;
      return this.seenHandle;
    }
  }

  /** Moves main's hand to the next key that goes: where sizes differ, one that is worth little for its bytes.
   *  1; 0 when there is one less that is followed, -1 when there is none. */
  private seekWeakest(): number {
    const { f64 } = this.region;
    const threshold = this.f + F.Threshold;
    const sized = this.sizesCount;
    for (let passed = 0; ; passed++) {
      if (!this.seek(Mark.Main)) return -1;
      const bytes = this.allocator.slotBytes(this.seenHandle);
      this.learnSize(F.MainBytes, bytes);
      if (sized > 0 && passed < MOST_PASSED && this.worthMore(bytes)) {
        f64[threshold] = f64[threshold]! + THRESHOLD_STEP;
        continue;
      }
      f64[threshold] = f64[threshold]! - THRESHOLD_STEP * SIZED_PASSES * sized;
      return this.mayGo() ? 1 : 0;
    }
  }

  /** How much sizes count: 0 where all values are about as large, up to 1. */
  private get sizesCount(): number {
    const spread = this.region.f64[this.f + F.Spread]!;
    return Math.max(0, Math.min(1, (spread - LEAST_SPREAD) / (MOST_SPREAD - LEAST_SPREAD)));
  }

  /** Keys of main that go for one more in the window, whose keys are of all sizes. */
  private get windowCost(): number {
    const { f64 } = this.region;
    const main = f64[this.f + F.MainBytes]!;
    return this.sizesCount > 0 && main > 0 ? Math.max(1, f64[this.f + F.WindowBytes]! / main) : 1;
  }

  /** Whether the key of main at which the hand stopped, in a slot of `bytes`, is worth more for them than those that go. */
  private worthMore(bytes: number): boolean {
    const { region, f, allocator, seenHandle } = this;
    const { f64, i32 } = region;
    const state = this.index.foundState;
    const rank = RANKS[i32[this.i + I.Reach]!]![(state & 0x70) | this.ageOf(state)]!;
    const mean = f64[f + F.WindowBytes]! || f64[f + F.MainBytes]!;
    const threshold = f64[f + F.Threshold]!;
    if (rank - SIZE_WEIGHT * Math.log2(bytes / mean) <= threshold) return false;
    // The slot is known without a look at the record, but not whether something large hangs on it.
    if (rank - SIZE_WEIGHT * Math.log2(LARGE) > threshold || this.chance() > LOOKED_AT) return true;
    return !hasPagesAt(
      allocator.regionOf(seenHandle),
      (seenHandle & Handle.GranuleMask) << Handle.GranuleShift,
    );
  }

  /** Bytes of the record at which the window's hand stopped, relative to what they are in the mean. */
  private relativeSize(): number {
    const region = this.allocator.regionOf(this.seenHandle);
    const at = (this.seenHandle & Handle.GranuleMask) << Handle.GranuleShift;
    return hasPagesAt(region, at) ? LARGE : this.learnSize(F.WindowBytes, recordBytesAt(region, at));
  }

  /** Counts a size in the mean of a part and in the spread; relative to that mean. */
  private learnSize(part: F.WindowBytes | F.MainBytes, bytes: number): number {
    const { f64 } = this.region;
    const { f } = this;
    const before = f64[f + part]!;
    if (--this.untilLearned > 0 && before !== 0) return bytes / before;
    this.untilLearned = SIZES_LEARNED;
    const mean = before === 0 ? bytes : before + (bytes - before) * MEAN_WEIGHT;
    f64[f + part] = mean;
    const spread = f64[f + F.Spread]!;
    f64[f + F.Spread] = spread + (Math.abs(Math.log2(bytes / mean)) - spread) * MEAN_WEIGHT;
    return bytes / mean;
  }

  /** The key of main at which the hand stopped is the victim. */
  private letGo(): number {
    const state = this.index.foundState;
    this.remember(this.victimKey.high, this.victimKey.low, (state >> 4) & 7, this.ageOf(state));
    this.victimDb = this.seenDb;
    return this.seenHandle;
  }

  /** Sets victimKey to the key at which the hand stopped. False when it may not go: it is not followed then. */
  private mayGo(): boolean {
    if (this.openVictim(this.seenHandle)) return true;
    this.setFound(0);
    return false;
  }

  /** Sets victimKey to a record's key. False when the record may not go. */
  private openVictim(handle: number): boolean {
    const region = this.allocator.regionOf(handle);
    const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
    if (this.rule.volatile && deadlineAt(region, at) === 0) return false;
    this.victimKey.set(region, keyStartAt(region, at), keyBytesAt(region, at));
    return true;
  }

  /** Marks the states that are to go next: the oldest of the window, the weakest of main. */
  private mark(): void {
    const { f64, i32, u8 } = this.region;
    const { f, i } = this;
    const marks = this.b + B.Marks;
    const some = Math.floor(f64[f + F.Capacity]! / 32);
    i32[i + I.UntilMark] = some;
    u8.fill(0, marks, marks + 256);
    const extra = i32[i + I.Window]! - Math.floor(f64[f + F.Quota]!);
    let marked = 0;
    let wanted = Math.max(1, some, extra >> 1);
    for (let age = State.Stamps - 1; age >= 0; age--) {
      const stamp = (i32[i + I.Tick]! - age + State.Stamps) % State.Stamps;
      const old = age >= State.OldStamp && age <= State.OldestStamp;
      const mark = (wanted > 0 ? Mark.Window : 0) | (old ? Mark.Old : 0);
      u8[marks + 1 + 2 * stamp] = mark;
      u8[marks + 2 + 2 * stamp] = mark;
      if (wanted <= 0) continue;
      marked += i32[i + I.Stamps + stamp]!;
      wanted -= i32[i + I.Stamps + stamp]!;
    }
    i32[i + I.Skip] = extra > some ? 0 : skipOf(marked, some);
    marked = 0;
    let oldMain = 0;
    const sized = this.sizesCount;
    wanted = Math.max(1, Math.min(some, i32[i + I.Main]! * PART), i32[i + I.Main]! * SIZED_PART * sized);
    const epoch = i32[i + I.Epoch]!;
    const order = ORDERS[i32[i + I.Reach]!]!;
    for (let n = 0; n < CLASSES; n++) {
      const kind = order[n]!;
      const state = State.Main + (kind & 0x70) + ((epoch - kind) & 15);
      const old = (kind & 15) === State.OldEpoch ? Mark.Old : 0;
      u8[marks + state] = (wanted > 0 ? Mark.Main : 0) | old;
      if (old !== 0) oldMain += i32[i + I.Classes + state - State.Main]!;
      if (wanted <= 0) continue;
      f64[f + F.Weakest] = RANKS[i32[i + I.Reach]!]![kind]!;
      marked += i32[i + I.Classes + state - State.Main]!;
      wanted -= i32[i + I.Classes + state - State.Main]!;
    }
    i32[i + I.OldMain] = oldMain;
    i32[i + I.Skip + 1] = skipOf(marked / (1 + SIZED_PASSES * sized), some);
    if (sized === 0) f64[f + F.Threshold] = f64[f + F.Weakest]!;
  }

  /** Moves the hand of the window or of main to the next key with that mark. False when there is none. */
  private seek(mark: Mark): boolean {
    if (this.walk(mark)) return true;
    this.mark();
    if (this.walk(mark)) return true;
    this.recount();
    this.mark();
    return this.walk(mark);
  }

  private walk(mark: Mark): boolean {
    const { index, allocator } = this;
    const { u8 } = this.region;
    const marks = this.b + B.Marks;
    const stops = mark === Mark.Window ? this.windowStops : this.mainStops;
    do {
      while (stops.next < stops.count) {
        const n = stops.next++;
        const leaf = stops.leaf[n]!;
        const slot = stops.slot[n]!;
        // Anything may have happened since it was found.
        if (index.leafOn(stops.db[n]!, stops.position[n]!) !== leaf || slot >= index.slotsOf(leaf)) continue;
        const at = index.statesAt(leaf);
        if (at === 0 || (u8[marks + allocator.regionOf(leaf).u8[at + slot]!]! & mark) === 0) continue;
        this.seenHandle = index.findSlot(leaf, slot);
        this.seenDb = stops.db[n]!;
        return true;
      }
    } while (this.lookAhead(mark, stops));
    return false;
  }

  /** Finds where a hand stops next, and moves it behind that. False when there is nowhere. */
  private lookAhead(mark: Mark, stops: Stops): boolean {
    const { index, allocator } = this;
    const { f64, i32, u8 } = this.region;
    const { f, i } = this;
    const marks = this.b + B.Marks;
    const hand = mark === Mark.Window ? 0 : 1;
    const skip = i32[i + I.Skip + hand]! + 1;
    let db = i32[i + I.HandDb + hand]!;
    let position = f64[f + F.HandPosition + hand]!;
    let slot = i32[i + I.HandSlot + hand]!;
    const quick = mark === Mark.Window && i32[i + I.OldMain] === 0;
    let count = 0;
    let looks = STOP_LEAVES;
    for (let rounds = 0; rounds < 2 && count < STOPS && looks > 0; ) {
      let leaf = index.leafOn(db, position);
      if (leaf !== 0) {
        let at = index.statesAt(leaf);
        if (at === 0 && this.adopt(db, position)) {
          leaf = index.leafOn(db, position);
          at = index.statesAt(leaf);
        }
        const slots = at === 0 ? 0 : index.slotsOf(leaf);
        const { u8: states, i32: words } = allocator.regionOf(leaf);
        while (slot < slots && count < STOPS) {
          // The window is a small part of all: four states of main at a time, unless one may have to be made younger.
          if (quick && (slot & 3) === 0) {
            while (slot < slots && (words[(at + slot) >> 2]! & ALL_MAIN) === ALL_MAIN) slot += 4;
            if (slot >= slots) break;
          }
          const found = u8[marks + states[at + slot]!]!;
          if ((found & Mark.Old) !== 0) this.makeYounger(states, at + slot);
          if ((found & mark) === 0) {
            slot++;
            continue;
          }
          stops.db[count] = db;
          stops.position[count] = position;
          stops.leaf[count] = leaf;
          stops.slot[count++] = slot;
          slot += skip;
        }
        if (count === STOPS) break;
        if (count > 0) looks--;
        position = index.endOf(leaf);
      } else position = END;
      slot = 0;
      if (position < END) continue;
      position = 0;
      if (++db < DATABASES) continue;
      db = 0;
      rounds++;
      i32[i + I.Ticks] = 0;
      i32[i + I.Round] = 1;
    }
    i32[i + I.HandDb + hand] = db;
    f64[f + F.HandPosition + hand] = position;
    i32[i + I.HandSlot + hand] = slot;
    stops.next = 0;
    stops.count = count;
    for (let n = 0; n < count; n++) stops.handle[n] = index.findSlot(stops.leaf[n]!, stops.slot[n]!);
    stops.touched = allocator.touch(stops.handle, count);
    return count > 0;
  }

  private makeYounger(states: Uint8Array, at: number): void {
    const state = states[at]!;
    const { i32 } = this.region;
    this.count(state, -1);
    if (state >= State.Main)
      states[at] = (state & 0xf0) | ((i32[this.i + I.Epoch]! - State.OldEpoch + 1) & 15);
    else {
      const stamp = (i32[this.i + I.Tick]! - State.OldStamp + 1 + State.Stamps) % State.Stamps;
      states[at] = 1 + 2 * stamp + ((state - 1) & 1);
    }
    this.count(states[at]!, 1);
  }

  /** Keys of a database that may go. */
  private eligible(db: number): number {
    return this.rule.volatile ? this.index.deadlines(db) : this.index.keys(db);
  }

  /** A database, drawn by its keys that may go. -1 when there are none. */
  private drawDatabase(): number {
    let sum = 0;
    for (let db = 0; db < DATABASES; db++) sum += this.eligible(db);
    if (sum === 0) return -1;
    let drawn = Math.floor(this.chance() * sum);
    for (let db = 0; ; db++) {
      drawn -= this.eligible(db);
      if (drawn < 0) return db;
    }
  }

  /** A key drawn at random. */
  private anyone(): number {
    const { index, chance } = this;
    const db = this.drawDatabase();
    if (db < 0) return 0;
    for (let n = 0; n < DRAWS; n++) {
      const handle = index.drawSlot(db, chance(), chance());
      if (handle === 0 || !this.openVictim(handle)) continue;
      this.victimDb = db;
      index.find(db, this.victimKey);
      return handle;
    }
    // Few may go: the first from somewhere on.
    let position = Math.floor(chance() * END);
    for (let round = 0; round < 2; ) {
      const leaf = index.leafOn(db, position);
      if (!this.rule.volatile || index.leafDeadline(leaf) !== Number.POSITIVE_INFINITY) {
        const slots = index.slotsOf(leaf);
        const first = Math.floor(chance() * slots);
        for (let n = 0; n < slots; n++) {
          const handle = index.findSlot(leaf, (first + n) % slots);
          if (handle === 0 || !this.openVictim(handle)) continue;
          this.victimDb = db;
          return handle;
        }
      }
      position = index.endOf(leaf);
      if (position < END) continue;
      position = 0;
      round++;
    }
    return 0;
  }

  /** A key that is due soon: of some drawn now, and the best of those drawn before. */
  private soonestDue(): number {
    const { index, chance, due, allocator } = this;
    const db = this.drawDatabase();
    if (db < 0) return 0;
    if (index.deadlines(db) * DUE_LOOKS >= index.keys(db) * DUE_DRAWN)
      this.readDue(db, index.leafOn(db, Math.floor(chance() * END)), DUE_DRAWN, DUE_LOOKS);
    else if (this.dueCount === 0) {
      // Few keys have a deadline: the first of the leaf where something is due first.
      const leaf = this.drawLeaf(db);
      const found = this.readDue(db, leaf, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
      this.forgetDue(Math.max(0, this.dueCount - 1 - (found >> 2)));
    }
    while (this.dueCount > 0) {
      const entry = --this.dueCount << 2;
      const handle = due[entry + 3]! >>> 0;
      if (!index.findRecord(due[entry]!, due[entry + 1]!, due[entry + 2]!, handle)) continue;
      const at = (handle & Handle.GranuleMask) << Handle.GranuleShift;
      if (deadlineAt(allocator.regionOf(handle), at) !== this.dueAt[this.dueCount]) continue;
      this.openVictim(handle);
      this.victimDb = due[entry]!;
      return handle;
    }
    return this.anyone();
  }

  /** Of some leaves drawn at random the one where something is due first. */
  private drawLeaf(db: number): number {
    const { index, chance } = this;
    for (let tries = 0; ; tries++) {
      let first = 0;
      let earliest = Number.POSITIVE_INFINITY;
      let second = Number.POSITIVE_INFINITY;
      for (let n = 0; n < LEAVES; n++) {
        const leaf = index.leafOn(db, Math.floor(chance() * END));
        const deadline = index.leafDeadline(leaf);
        if (first === 0 || deadline < earliest) {
          second = earliest;
          earliest = deadline;
          first = leaf;
        } else if (deadline < second && leaf !== first) second = deadline;
      }
      // What a leaf knows may be of a key that has gone.
      index.refreshLeafDeadline(first);
      if (tries === 3 || index.leafDeadline(first) <= second) return first;
    }
  }

  /** Adds to the keys due soonest up to `wanted` of a leaf that may go, from some slot on, looking at up to `looks`. How
   *  many there were. */
  private readDue(db: number, leaf: number, wanted: number, looks: number): number {
    const { index, allocator, dueAt } = this;
    if (index.leafDeadline(leaf) === Number.POSITIVE_INFINITY) return 0;
    const slots = index.slotsOf(leaf);
    const first = Math.floor(this.chance() * slots);
    let found = 0;
    for (let n = 0; n < slots && found < wanted && looks > 0; n++) {
      const handle = index.findSlot(leaf, (first + n) % slots);
      if (handle === 0) continue;
      looks--;
      const region = allocator.regionOf(handle);
      const deadline = deadlineAt(region, (handle & Handle.GranuleMask) << Handle.GranuleShift);
      if (deadline === 0) continue;
      found++;
      if (this.dueCount === DUE_KEPT && deadline >= dueAt[0]!) continue;
      this.openVictim(handle);
      this.keepDue(db, handle, deadline);
    }
    return found;
  }

  /** Keeps victimKey's record among those due soonest, of which the soonest is the last. */
  private keepDue(db: number, handle: number, deadline: number): void {
    const { due, dueAt, victimKey } = this;
    for (let n = 0; n < this.dueCount; n++) if (due[(n << 2) + 3] === (handle | 0)) return;
    if (this.dueCount === DUE_KEPT) this.forgetDue(1);
    let at = this.dueCount++;
    for (; at > 0 && dueAt[at - 1]! < deadline; at--) {
      dueAt[at] = dueAt[at - 1]!;
      for (let n = 0; n < 4; n++) due[(at << 2) + n] = due[(at << 2) + n - 4]!;
    }
    dueAt[at] = deadline;
    due[at << 2] = db;
    due[(at << 2) + 1] = victimKey.high;
    due[(at << 2) + 2] = victimKey.low;
    due[(at << 2) + 3] = handle | 0;
  }

  /** Forgets so many of those kept, the last to be due. */
  private forgetDue(count: number): void {
    const { due, dueAt } = this;
    this.dueCount -= count;
    for (let n = 0; n < this.dueCount; n++) dueAt[n] = dueAt[n + count]!;
    for (let n = 0; n < this.dueCount << 2; n++) due[n] = due[n + (count << 2)]!;
  }

  // What OBJECT tells of a key that was just found

  /** Whether it tells of `frequency`, and not of `idleMs`. */
  get byFrequency(): boolean {
    return this.rule.frequency === true;
  }

  /** Milliseconds for which it was surely not asked for. */
  get idleMs(): number {
    const state = this.open() ? this.index.foundState : 0;
    if (state <= 0) return 0;
    const { f64, i32 } = this.region;
    const { f, i } = this;
    const now = this.clock.nowMs;
    if (state < State.Main) {
      const stamp = (state - 1) >> 1;
      if (stamp === i32[i + I.Tick]) return 0;
      return Math.max(0, now - f64[f + F.TickStart + ((stamp + 1) % State.Stamps)]!);
    }
    if (this.ageOf(state) === 0) return 0;
    return Math.max(0, now - f64[f + F.EpochStart + ((state + 1) & 15)]!);
  }

  /** About Redis's counter: 5 for a new key, more for one that is asked for often, less for one that no longer is. */
  get frequency(): number {
    const state = this.open() ? this.index.foundState : 0;
    if (state <= 0) return NEW_FREQUENCY;
    const n = state < State.Main ? ((state & 1) === 0 ? 2 : 0) : (state >> 4) & 7;
    const age = state < State.Main ? 0 : this.ageOf(state);
    return Math.round(NEW_FREQUENCY * 2 ** (n / 2 - (age * EPOCH) / HALF_LIFE));
  }

  /** Every invariant of this file, O(slots): for tests. */
  check(): void {
    if (!this.open()) return;
    const { i32, f64 } = this.region;
    const { i } = this;
    if (i32[i + I.Recount] !== 0) this.recount();
    const before = i32.slice(i + I.Stamps, i + I.End);
    const window = i32[i + I.Window]!;
    const main = i32[i + I.Main]!;
    this.recount();
    for (let n = 0; n < before.length; n++)
      assert(before[n] === i32[i + I.Stamps + n], `count ${n}: kept ${before[n]}`);
    assert(window === i32[i + I.Window] && main === i32[i + I.Main], `kept ${window} and ${main}`);
    const quota = f64[this.f + F.Quota]!;
    assert(quota >= 1 && quota <= Math.max(1, f64[this.f + F.Capacity]!), `a window of ${quota}`);
  }
}
