// memory-ledger.ts: the bytes that the process holds for what its clients gave it, and how far they are from `maxmemory`.
// INFO's used_memory and the check before a command that needs memory ask here and nowhere else.
//
// used_memory counts, all off the JS heap:
//   shards     pages in use by spans and runs: records, collections, the index, free slots among them; the registers of
//              who watches, tracks or waits
//   exchange   the register of channels and patterns
//   buffers    unread requests, unsent replies, queued transactions and waiting commands of the clients of all workers,
//              and what the buffer pools keep for the next
//   inboxes    messages between workers that are not taken yet
// It does not count the process floor: code, stacks, the JS heaps (INFO: used_memory_js_heap), each worker's fixed
// buffers, page maps (0.1 % of the data) and pages on their way back to the system. `maxmemory auto` leaves 64 MiB a
// worker for that.
//
// `look` adds everything up, from words that all workers share: some loads a shard. It is done once a millisecond, and each
// turn while memory is nearly full. In between, `overBytes` adds what this thread itself has taken since: a few
// operations on own fields. What other workers take within one of this worker's turns is seen with the next one.
//
// Where keys may be evicted, so many go that what lives stays 1 % below `maxmemory`: the free slots among it are where new
// values go, without new pages. When values come in other sizes than those that went, new pages are needed all the same: then
// what lives is brought further down, by six times what pages are over 99 % of the ceiling, so that spans become sparse, and
// evictor.ts has some cleared. That part can wait. Each worker lets its share of keys go, or all when much is over.
// On the data path: no allocation. Neighbours: worker.ts owns one; server-view.ts asks.
import type { BufferPool } from "../io/buffer-pool.ts";
import { committedPages } from "../memory/allocator.ts";
import { Size } from "../memory/size-classes.ts";
import type { Keyspace } from "../shard/keyspace.ts";
import { type Control, Figure, Word } from "./control.ts";
import type { Exchange } from "./exchange.ts";
import type { Mail } from "./inbox.ts";

/** Memory counts as nearly full from so far below the ceiling, or from 1/8 of it, whichever is less. */
const NEAR_BYTES = 64 * 2 ** 20;

/** What lives while keys are evicted, as a share of the ceiling; and how far it is brought down below that. */
const FULL = 0.99;
const FURTHER = 0.2;
const FURTHER_BY = 6;
/** What pages in use may take before what lives is brought down, as a share of the ceiling. */
const PAGES = 0.99;
/** Beyond this share of the ceiling, what is to go is not shared out among workers. */
const MUCH = 1 / 64;

export class MemoryLedger {
  /** Memory was full, or nearly, when the turn began: overBytes is to be asked. */
  near = false;
  private limit = 0;
  private lookedMs = 0;
  /** Bytes in use when they were last added up, with what this thread held then. */
  private known = 0;
  private pages = 0;
  private pooled = 0;
  /** What was to be evicted then, by this worker. */
  private due = 0;
  /** Bytes of what is due that are for more room among what lives, and can wait. */
  further = 0;
  /** Bytes this worker has evicted since. */
  private evicted = 0;
  /** Bytes of free pages that the system may back, less those given back since. */
  spare = 0;

  constructor(
    private readonly keyspace: Keyspace,
    private readonly exchange: Exchange,
    private readonly control: Control,
    private readonly mail: Mail,
    private readonly pool: BufferPool,
    /** f64 index of the worker's page of figures. */
    private readonly page: number,
    private readonly workers: number,
  ) {}

  /** Sets `maxmemory`, 0 for no limit. */
  setLimit(bytes: number): void {
    this.limit = bytes;
    this.pool.setLimit(bytes / this.workers);
    this.lookedMs = 0;
    this.near = bytes > 0 && this.look() > this.nearFrom;
  }

  private get nearFrom(): number {
    return this.limit - Math.min(NEAR_BYTES, this.limit / 8);
  }

  /** Bytes in use now. O(shards + workers). */
  look(): number {
    const { control, keyspace, exchange, mail, pool, page } = this;
    const { f64 } = control.region;
    this.pages = committedPages;
    this.pooled = pool.heldBytes;
    // Other workers' buffers as of the end of their last turn, one's own as they are.
    f64[page + Figure.BufferBytes] = pool.usedBytes;
    f64[page + Figure.SpareBytes] = pool.heldBytes - pool.usedBytes;
    this.known =
      keyspace.usedBytes +
      exchange.usedBytes +
      control.sum(Figure.BufferBytes) +
      control.sum(Figure.SpareBytes) +
      mail.pendingBytes;
    const pages = Math.ceil(this.known / Size.PageBytes);
    if (pages > control.word(Word.PeakPages)) control.setWord(Word.PeakPages, pages);
    const { limit } = this;
    const live = this.known - keyspace.committedBytes + keyspace.liveBytes;
    this.further = Math.min(Math.max(0, this.known - limit * PAGES) * FURTHER_BY, limit * FURTHER);
    const due = live - (limit * FULL - this.further);
    this.due = due > limit * MUCH ? due : due / this.workers;
    this.evicted = 0;
    this.spare = keyspace.backedBytes;
    return this.known;
  }

  /** To be called when a turn begins. */
  beginTurn(nowMs: number): void {
    if (this.limit === 0 || (nowMs === this.lookedMs && !this.near)) return;
    this.lookedMs = nowMs;
    this.near = this.look() > this.nearFrom;
  }

  /** Bytes in use beyond `maxmemory`, 0 or less while there is room. */
  overBytes(): number {
    return this.limit === 0 ? 0 : this.known + this.grown - this.limit;
  }

  /** Bytes this thread has taken since memory was looked at. */
  private get grown(): number {
    return (committedPages - this.pages) * Size.PageBytes + this.pool.heldBytes - this.pooled;
  }

  /** Bytes that this worker is to evict before more is stored, 0 or less for none. Pages that were taken are no measure of
   *  it for long: what goes does not give them back, and nothing would be left in the end. */
  dueBytes(): number {
    if (this.limit === 0) return 0;
    if (this.grown > this.limit * MUCH) this.look();
    return this.due + this.grown - this.evicted;
  }

  /** So many bytes of live values are gone. */
  noteEvicted(bytes: number): void {
    this.evicted += bytes;
  }
}
