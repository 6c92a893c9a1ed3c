// key-walk.ts: which arguments of a command are keys, one after the other, by its row's specifications. One a worker and
// purpose, begun anew for every command.
//
// Of a number of keys that is none, or more than there are arguments, all there can be are walked: the handler refuses it.
// On the data path: no allocation. Neighbours: command-table.ts; locks.ts and tracking.ts walk.
import type { Call } from "../commands/call.ts";
import { parseInteger } from "../types/integer.ts";
import type { Entry } from "./command-table.ts";

export class KeyWalk {
  private at = 0;
  private end = 0;
  private step = 1;
  /** A key that stands before the counted ones. */
  private before = 0;

  /** The keys of the command in `call`. */
  begin(entry: Entry, call: Call): void {
    const { firstKey } = entry;
    const { argc } = call;
    this.before = 0;
    this.step = entry.keyStep;
    this.at = firstKey;
    if (firstKey === 0) {
      this.end = 0;
      return;
    }
    if (entry.keyCount === 0) {
      this.end = Math.min(argc, 1 + (entry.lastKey < 0 ? argc + entry.lastKey : entry.lastKey));
      return;
    }
    const count = parseInteger(call.input.u8, call.start[entry.keyCount]!, call.length[entry.keyCount]!);
    const told = entry.countedKey + count * entry.keyStep;
    this.end = count >= 0 && told < argc ? told : argc;
    if (firstKey < entry.countedKey) this.before = firstKey;
    this.at = entry.countedKey;
  }

  /** The next argument that is a key, 0 when there are no more. */
  next(): number {
    const { before, at } = this;
    if (before !== 0) {
      this.before = 0;
      return before;
    }
    if (at >= this.end) return 0;
    this.at = at + this.step;
    return at;
  }
}
