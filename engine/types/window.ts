// window.ts: a packed value while it is edited.
// Neighbours: packed.ts edits it; hash.ts and sorted-set.ts open it over their record.
import type { Allocator } from "../memory/allocator.ts";
import type { Region } from "../memory/region.ts";
import type { Holder } from "./holder.ts";

/** The value that packed elements are edited in: as long as the edits say, in a record that is made longer when they need
 *  it, or all at once before them, and shorter only when they are done. So several edits move a record once, and what was
 *  reserved for cannot fail in the middle. */
export class Window implements Holder {
  private holder!: Holder;
  region: Region;
  valueStart = 0;
  valueBytes = 0;
  /** Bytes of the record's value. */
  private room = 0;

  constructor(region: Region) {
    this.region = region;
  }

  open(holder: Holder): void {
    this.holder = holder;
    this.follow();
    this.valueBytes = this.room;
  }

  private follow(): void {
    const { holder } = this;
    this.region = holder.region;
    this.valueStart = holder.valueStart;
    this.room = holder.valueBytes;
  }

  get allocator(): Allocator {
    return this.holder.allocator;
  }

  get form(): number {
    return this.holder.form;
  }

  setForm(form: number): void {
    this.holder.setForm(form);
  }

  resize(bytes: number): boolean {
    if (!this.reserve(bytes)) return false;
    this.valueBytes = bytes;
    return true;
  }

  /** Makes the record long enough for a value of `bytes`. What is open here is to be opened again. */
  reserve(bytes: number): boolean {
    if (bytes <= this.room) return true;
    if (!this.holder.resize(bytes)) return false;
    this.follow();
    return true;
  }

  /** Gives back what the edits left. */
  settle(): void {
    if (this.room === this.valueBytes) return;
    this.holder.resize(this.valueBytes);
    this.follow();
  }
}
