// temporary.ts: the value of a collection that belongs to no key: the result of a command until it is stored, and the pages
// a packed collection moves to before its record becomes their root.
//
// The value lies in a private region, pages lie in the allocator of the shard that will keep them. `put` hands both to a
// record, `drop` frees them; one of the two must follow every `begin`.
// Neighbours: holder.ts, pages.ts; the data types use it to grow, the commands for results.
import type { Allocator } from "../memory/allocator.ts";
import { hasPages, type Type } from "../memory/record.ts";
import { copyBytes, need, Region } from "../memory/region.ts";
import type { Holder } from "./holder.ts";
import { freePages } from "./pages.ts";

/** Room for the largest packed value and some. */
const VALUE_BYTES = 2 * 1024 * 1024;
/** Pages that one step frees. */
const STEP = 65536;

export class Temporary implements Holder {
  allocator!: Allocator;
  readonly region = need(Region.private(VALUE_BYTES), "a collection that is being made");
  readonly valueStart = 0;
  valueBytes = 0;
  form = 0;
  private type = 0;

  /** Begins an undefined value of `bytes` bytes. */
  begin(allocator: Allocator, type: Type, form: number, bytes: number): void {
    this.allocator = allocator;
    this.type = type;
    this.form = form;
    this.valueBytes = bytes;
  }

  setForm(form: number): void {
    this.form = form;
  }

  resize(bytes: number): boolean {
    if (bytes > VALUE_BYTES) return false;
    this.valueBytes = bytes;
    return true;
  }

  /** Makes this the value of a record that stays what it is otherwise, in its allocator. What the record's value was is
   *  overwritten. False, and nothing changed, when memory is out; drop() is then the caller's. */
  put(holder: Holder): boolean {
    if (!holder.resize(this.valueBytes)) return false;
    holder.setForm(this.form);
    copyBytes(holder.region, holder.valueStart, this.region, 0, this.valueBytes);
    return true;
  }

  /** Frees what was made. */
  drop(): void {
    if (hasPages(this.type, this.form)) while (!freePages(this.type, this, STEP));
  }
}
