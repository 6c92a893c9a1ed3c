// command-table.ts: the rows of all families, found by the bytes of a name. Made once a worker.
// On the data path: `find` makes no string. Neighbours: protocol/command-row.ts, dispatcher.ts.

import { Scope } from "../../protocol/command-row.ts";
import type { Row } from "../commands/call.ts";
import { assert } from "../memory/assert.ts";

/** What runs at once between MULTI and EXEC. */
const immediate = new Set(["exec", "discard", "multi", "watch", "quit", "reset"]);

/** What a RESP2 connection may send while it is subscribed. */
const whileSubscribed = new Set([
  "subscribe",
  "unsubscribe",
  "psubscribe",
  "punsubscribe",
  "ssubscribe",
  "sunsubscribe",
  "ping",
  "quit",
  "reset",
]);

/** A row as the dispatcher wants it: plain fields, nothing optional. */
export class Entry {
  readonly name: Uint8Array;
  readonly arity: number;
  readonly flags: number;
  readonly scope: Scope;
  /** Whether the dispatcher locks shards for it. */
  readonly locks: boolean;
  readonly optimistic: boolean;
  /** Whether it has one key, at one place. */
  readonly oneKey: boolean;
  readonly isExec: boolean;
  /** Runs between MULTI and EXEC instead of being queued. */
  readonly immediate: boolean;
  /** May be sent by a RESP2 connection that is subscribed. */
  readonly whileSubscribed: boolean;
  readonly handler: Row["handler"];
  readonly keysOnly: Row["keysOnly"];
  /** Key range: first argument, last (negative from the end), step; first 0: none. */
  readonly firstKey: number;
  readonly lastKey: number;
  readonly keyStep: number;
  /** Argument that tells how many keys there are from `countedKey` on, in steps of `keyStep`; 0: the range tells. Then
   *  `firstKey` may be one that stands before them, and the range reaches to the last argument. */
  readonly keyCount: number;
  readonly countedKey: number;
  /** Subcommands by name, or null. */
  readonly children: CommandTable | null;

  constructor(
    readonly row: Row,
    /** Number of the row among all rows and subrows. */
    readonly index: number,
    children: CommandTable | null,
  ) {
    const bar = row.name.indexOf("|");
    this.name = new TextEncoder().encode(bar < 0 ? row.name : row.name.slice(bar + 1));
    this.arity = row.arity;
    this.flags = row.flags;
    this.scope = row.scope;
    this.locks = row.scope === Scope.Keys || row.scope === Scope.All;
    this.optimistic = row.optimistic === true;
    this.handler = row.handler;
    this.keysOnly = row.keysOnly;
    const specs = row.keys.filter((spec) => spec.find === undefined);
    assert(
      row.scope !== Scope.Keys || specs.length === row.keys.length,
      `keys that locking cannot find: ${row.name}`,
    );
    const first = specs[0];
    const last = specs.at(-1);
    this.firstKey = first === undefined ? 0 : first.first;
    this.keyStep = last === undefined ? 1 : last.step;
    this.keyCount = last?.numkeys ?? 0;
    this.countedKey = last?.numkeys === undefined ? 0 : last.first;
    // Several ranges (RENAME, COPY): from the first's first key to the last's last one.
    if (last === undefined) this.lastKey = 0;
    else if (last.numkeys !== undefined) this.lastKey = -1;
    else this.lastKey = last.last < 0 ? last.last : last.first + last.last;
    this.oneKey = this.keyCount === 0 && this.lastKey >= 0 && this.lastKey <= this.firstKey;
    this.isExec = row.name === "exec";
    this.immediate = immediate.has(row.name);
    this.whileSubscribed = whileSubscribed.has(row.name);
    this.children = children;
  }
}

export class CommandTable {
  private readonly slots: (Entry | null)[];
  private readonly mask: number;

  private constructor(entries: readonly Entry[]) {
    let size = 8;
    while (size < entries.length * 4) size *= 2;
    this.mask = size - 1;
    this.slots = new Array<Entry | null>(size).fill(null);
    for (const entry of entries) {
      let slot = this.hash(entry.name, 0, entry.name.length) & this.mask;
      while (this.slots[slot] !== null) {
        assert(this.slots[slot]!.row.name !== entry.row.name, `one row a command: ${entry.row.name}`);
        slot = (slot + 1) & this.mask;
      }
      this.slots[slot] = entry;
    }
  }

  /** The table of `rows`; `all` receives every entry, subcommands included, by its index. */
  static of(rows: readonly Row[], all: Entry[]): CommandTable {
    const entries = rows.map((row) => {
      const children = row.subcommands === undefined ? null : CommandTable.of(row.subcommands, all);
      const entry = new Entry(row, all.length, children);
      all.push(entry);
      return entry;
    });
    return new CommandTable(entries);
  }

  private hash(u8: Uint8Array, start: number, bytes: number): number {
    let hash = bytes;
    for (let i = 0; i < bytes; i++) hash = Math.imul(hash ^ (u8[start + i]! | 32), 0x01000193);
    return hash ^ (hash >>> 15);
  }

  /** The entry of a name in any case, or null. */
  find(u8: Uint8Array, start: number, bytes: number): Entry | null {
    if (bytes > 32) return null;
    const { slots, mask } = this;
    for (let slot = this.hash(u8, start, bytes) & mask; ; slot = (slot + 1) & mask) {
      const entry = slots[slot]!;
      if (entry === null) return null;
      if (entry.name.length === bytes && this.same(entry.name, u8, start)) return entry;
    }
  }

  private same(name: Uint8Array, u8: Uint8Array, start: number): boolean {
    for (let i = 0; i < name.length; i++) {
      let byte = u8[start + i]!;
      if (byte >= 65 && byte <= 90) byte |= 32;
      if (byte !== name[i]) return false;
    }
    return true;
  }
}
