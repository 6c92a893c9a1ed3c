// locks.ts: the shards that a command, or a transaction, has to itself while it runs: marked first, then locked each once
// and in ascending order, so that no two workers ever wait for each other.
//
// A shard in which some client is blocked in a move to another shard makes its writers lock all shards: whoever pushes
// serves that client at once, and needs the destination for it.
// On the data path of commands of several keys: no allocation. Neighbours: dispatcher.ts, transactions.ts.
import { Flag, Scope } from "../../protocol/command-row.ts";
import type { Call } from "../commands/call.ts";
import type { Keyspace } from "../shard/keyspace.ts";
import type { Entry } from "./command-table.ts";
import { KeyWalk } from "./key-walk.ts";

export class Locks {
  private readonly marks: Uint8Array;
  private readonly walk = new KeyWalk();
  private all = false;
  private writes = false;

  constructor(
    private readonly keyspace: Keyspace,
    private readonly call: Call,
  ) {
    this.marks = new Uint8Array(keyspace.shards.length);
  }

  /** Marks the shards of the command in `call`. `within` a transaction, what else would lock shards one at a time is
   *  given all. */
  mark(entry: Entry, within: boolean): void {
    if ((entry.flags & Flag.Write) !== 0) this.writes = true;
    if (!entry.locks) {
      // What administers may lock any shard: it sets what all are to tell, or ends connections that wait and watch.
      if (within && (entry.scope === Scope.Each || (entry.flags & Flag.Admin) !== 0)) this.all = true;
      return;
    }
    const { call, keyspace, marks, walk } = this;
    if (entry.scope === Scope.All && (entry.keysOnly === undefined || !entry.keysOnly(call))) {
      this.all = true;
      return;
    }
    walk.begin(entry, call);
    for (let i = walk.next(); i !== 0; i = walk.next()) {
      call.locate(i);
      marks[keyspace.numberOf(call.key.low)] = 1;
    }
  }

  markShard(number: number): void {
    this.marks[number] = 1;
  }

  markAll(): void {
    this.all = true;
  }

  /** Locks what is marked. */
  lock(): void {
    const { marks } = this;
    const { shards } = this.keyspace;
    if (!this.all) {
      let movers = 0;
      for (let i = 0; i < shards.length; i++)
        if (marks[i] === 1) {
          const shard = shards[i]!;
          shard.lock();
          movers |= shard.movers;
        }
      if (movers === 0 || !this.writes) return;
      for (let i = 0; i < shards.length; i++) if (marks[i] === 1) shards[i]!.unlock();
      this.all = true;
    }
    this.keyspace.lockAll();
  }

  /** Unlocks, and forgets the marks. */
  unlock(): void {
    const { marks } = this;
    if (this.all) {
      this.keyspace.unlockAll();
      marks.fill(0);
    } else {
      const { shards } = this.keyspace;
      for (let i = 0; i < shards.length; i++)
        if (marks[i] === 1) {
          shards[i]!.unlock();
          marks[i] = 0;
        }
    }
    this.all = false;
    this.writes = false;
  }
}
