// set.ts: the set: members without an order, in three forms.
//
//   Integers   all are 64-bit integers, ascending (integer-set.ts)
//   Packed     in the order in which they came (packed.ts)
//   Pages      a hash (table.ts, Kind.Set)
// Which form a set has, and when it moves to a larger one, is exactly Redis's (t_set.c of 8.0): by the number and length
// of the members, by the first that is no integer, and by how many a command brings. No set moves back, but for results
// that are stored (`toIntegers`).
// Invariants: members are distinct; an operation that memory refuses changed nothing but, at most, the form.
// On the data path: nothing allocates in the JS sense. Cursor style: region, start and bytes are the member under the
// cursor, valid until the next change or move. While a walk goes on, find and add are for another object.
// Neighbours: integer-set.ts, packed.ts, table.ts, temporary.ts; used by engine/commands.
import { assert } from "../memory/assert.ts";
import { Form, Type } from "../memory/record.ts";
import type { Region } from "../memory/region.ts";
import type { Holder } from "./holder.ts";
import { parseInteger } from "./integer.ts";
import { IntegerSet } from "./integer-set.ts";
import { limits } from "./limits.ts";
import { Packed, PackedLimit } from "./packed.ts";
import { TABLE_ROOT_BYTES, Table, TableKind } from "./table.ts";
import { Temporary } from "./temporary.ts";

/** Leaves that one step frees. */
const STEP = 65536;

/** The form that a set is moving to. One a worker, used within one call. */
const temporary = new Temporary();
const temporaryTable = new Table(TableKind.Set);
const temporaryPacked = new Packed();
const temporaryIntegers = new IntegerSet();

export class MemberSet {
  private holder!: Holder;
  private form: number = Form.Packed;
  private readonly integers = new IntegerSet();
  private readonly packed = new Packed();
  private readonly table = new Table(TableKind.Set);
  /** Integers: the member of a walk or draw. */
  private index = 0;
  /** Packed: whether the cursor of a walk is at the member that was met last, not at the next one. */
  private met = false;
  /** Integers: members that a sweep has kept. */
  private kept = 0;

  region: Region;
  start = 0;
  bytes = 0;

  constructor() {
    this.region = this.packed.region;
  }

  /** The form of a new set that is to get about `members` members, of which this is the first. */
  static formFor(members: number, region: Region, start: number, bytes: number): Form {
    if (members <= limits.setIntegers && !Number.isNaN(parseInteger(region.u8, start, bytes)))
      return Form.Integers;
    return members <= limits.setEntries ? Form.Packed : Form.Pages;
  }

  /** Value bytes of an empty set of that form. */
  static initialBytes(form: number): number {
    if (form === Form.Integers) return IntegerSet.initialBytes;
    return form === Form.Packed ? PackedLimit.HeaderBytes : TABLE_ROOT_BYTES;
  }

  /** Opens a new record of initialBytes of its form as an empty set. */
  clear(holder: Holder): void {
    const { form } = holder;
    this.holder = holder;
    this.form = form;
    if (form === Form.Integers) this.integers.clear(holder);
    else if (form === Form.Packed) {
      this.packed.open(holder);
      this.packed.clear();
    } else {
      Table.clear(holder);
      this.table.open(holder);
    }
  }

  open(holder: Holder): void {
    const { form } = holder;
    this.holder = holder;
    this.form = form;
    if (form === Form.Integers) this.integers.open(holder);
    else if (form === Form.Packed) this.packed.open(holder);
    else this.table.open(holder);
  }

  get count(): number {
    const { form } = this;
    if (form === Form.Integers) return this.integers.count;
    return form === Form.Packed ? this.packed.count : this.table.count;
  }

  /** Whether the members are in pages, so that SSCAN goes page by page. */
  get large(): boolean {
    return this.form === Form.Pages;
  }

  /** Whether all members are kept as integers. */
  get integral(): boolean {
    return this.form === Form.Integers;
  }

  /** Whether the set has this member; what `remove` then removes is it. Its text is not read: the caller has it. */
  find(region: Region, start: number, bytes: number): boolean {
    const { form } = this;
    if (form === Form.Pages) return this.table.find(region, start, bytes);
    if (form === Form.Integers) {
      const { integers } = this;
      if (!integers.take(region, start, bytes) || !integers.find()) return false;
      this.index = integers.index;
      return true;
    }
    const { packed } = this;
    packed.seek(0);
    packed.take(region, start, bytes);
    return packed.find(1);
  }

  /** Adds a member: 1 when it is new, 0 when it was there, -1 when memory is out. The text must not lie in this set. */
  add(region: Region, start: number, bytes: number): number {
    if (this.form === Form.Integers) {
      const { integers } = this;
      if (integers.take(region, start, bytes)) {
        if (integers.find()) return 0;
        if (integers.count < limits.setIntegers && integers.takenBytes <= PackedLimit.Bytes)
          return integers.insert() ? 1 : -1;
        if (!this.toPages()) return -1;
      } else if (
        fitsPacked(integers.count, 0, bytes) &&
        integers.longestBytes() <= limits.setValueBytes &&
        integers.count * 9 <= PackedLimit.Bytes
      ) {
        if (!this.toPacked()) return -1;
      } else if (!this.toPages()) return -1;
    }
    if (this.form === Form.Packed) {
      const { packed } = this;
      packed.seek(0);
      packed.take(region, start, bytes);
      if (packed.find(1)) return 0;
      if (fitsPacked(packed.count, packed.packedBytes, bytes)) return packed.insert() ? 1 : -1;
      if (!this.toPages()) return -1;
    }
    const { table } = this;
    if (table.find(region, start, bytes)) return 0;
    return table.insert(region, start, bytes, region, start, 0, 0) ? 1 : -1;
  }

  /** Removes the member that find, draw or a walk led to. Ends a walk. */
  remove(): void {
    const { form } = this;
    if (form === Form.Pages) this.table.remove();
    else if (form === Form.Packed) this.packed.remove(1);
    else this.integers.remove(this.index);
  }

  /** Moves the set to pages now if it is to get so many members that it would have to. False when memory is out. */
  reserve(members: number): boolean {
    const { form } = this;
    const most =
      form === Form.Integers
        ? limits.setIntegers
        : form === Form.Packed
          ? limits.setEntries
          : Number.POSITIVE_INFINITY;
    return members <= most || this.toPages();
  }

  // Walking

  /** Begins a walk of all members: `next` moves to the first. */
  walk(): void {
    const { form } = this;
    if (form === Form.Pages) this.table.walk();
    else if (form === Form.Packed) {
      this.packed.seek(0);
      this.met = false;
    } else this.index = -1;
  }

  /** Moves to the next member. False at the end. */
  next(): boolean {
    const { form } = this;
    if (form === Form.Pages) {
      if (!this.table.next()) return false;
      this.fromTable();
      return true;
    }
    if (form === Form.Integers) {
      if (this.index + 1 >= this.integers.count) return false;
      this.fromIntegers(this.index + 1);
      return true;
    }
    const { packed } = this;
    if (this.met) packed.next();
    if (packed.index >= packed.count) return false;
    this.fromPacked();
    return true;
  }

  /** Moves to a member at random; `chance1` and `chance2` are in [0, 1). The set must not be empty. */
  draw(chance1: number, chance2: number): void {
    const { form } = this;
    if (form === Form.Pages) {
      this.table.draw(chance1, chance2);
      this.fromTable();
    } else if (form === Form.Packed) {
      this.packed.seek(Math.floor(chance1 * this.packed.count));
      this.fromPacked();
    } else this.fromIntegers(Math.floor(chance1 * this.integers.count));
  }

  private fromTable(): void {
    const { table } = this;
    this.region = table.region;
    this.start = table.start;
    this.bytes = table.bytes;
  }

  private fromPacked(): void {
    const { packed } = this;
    packed.read();
    this.met = true;
    this.region = packed.region;
    this.start = packed.start;
    this.bytes = packed.bytes;
  }

  private fromIntegers(index: number): void {
    const { integers } = this;
    this.index = index;
    integers.read(index);
    this.region = integers.region;
    this.start = 0;
    this.bytes = integers.bytes;
  }

  // A sweep is a walk that removes: sweep(); then for every next() one keepMember() or dropMember(); endSweep().

  sweep(): void {
    this.walk();
    this.kept = 0;
  }

  keepMember(): void {
    if (this.form === Form.Integers) this.integers.keep(this.index, this.kept++);
  }

  dropMember(): void {
    if (this.form === Form.Pages) this.table.removeQuietly();
    else if (this.form === Form.Packed) {
      this.packed.remove(1);
      this.met = false;
    }
  }

  /** Ends a sweep, which must have met every member. */
  endSweep(): void {
    if (this.form === Form.Pages) this.table.tidyAll();
    else if (this.form === Form.Integers) this.integers.keepOnly(this.kept);
  }

  // Scanning a large set, as Table does.

  scanPage(cursor: number, wanted: number): boolean {
    return this.table.scanPage(cursor, wanted);
  }

  scanNext(): boolean {
    if (!this.table.scanNext()) return false;
    this.fromTable();
    return true;
  }

  get scanCursor(): number {
    return this.table.scanCursor;
  }

  // Moving to another form

  private toPages(): boolean {
    const { holder } = this;
    temporary.begin(holder.allocator, Type.Set, Form.Pages, TABLE_ROOT_BYTES);
    Table.clear(temporary);
    temporaryTable.open(temporary);
    this.walk();
    while (this.next()) {
      temporaryTable.find(this.region, this.start, this.bytes);
      if (!temporaryTable.insert(this.region, this.start, this.bytes, this.region, this.start, 0, 0)) {
        temporary.drop();
        return false;
      }
    }
    return this.become();
  }

  /** Integers to Packed. */
  private toPacked(): boolean {
    temporary.begin(this.holder.allocator, Type.Set, Form.Packed, PackedLimit.HeaderBytes);
    temporaryPacked.open(temporary);
    temporaryPacked.clear();
    this.walk();
    while (this.next()) {
      temporaryPacked.seek(temporaryPacked.count);
      temporaryPacked.take(this.region, this.start, this.bytes);
      const inserted = temporaryPacked.insert();
      assert(inserted, "the temporary has room for a packed value");
    }
    return this.become();
  }

  /** A result that is to be stored, whose members are all integers: makes it Integers if they are few enough. Its record
   *  must be one that always has room (Temporary). */
  toIntegers(): void {
    const { form, holder, table } = this;
    if (form === Form.Integers || this.count > limits.setIntegers) return;
    if (IntegerSet.initialBytes + this.count * 8 > PackedLimit.Bytes) return;
    temporary.begin(holder.allocator, Type.Set, Form.Integers, IntegerSet.initialBytes);
    temporaryIntegers.clear(temporary);
    this.walk();
    while (this.next()) {
      const integer = temporaryIntegers.take(this.region, this.start, this.bytes);
      assert(integer && !temporaryIntegers.find(), "members are distinct integers");
      temporaryIntegers.insert();
    }
    if (form === Form.Pages) while (!table.freeStep(STEP));
    const put = this.become();
    assert(put, "a temporary always has room");
  }

  private become(): boolean {
    const { holder } = this;
    if (!temporary.put(holder)) {
      temporary.drop();
      return false;
    }
    this.open(holder);
    return true;
  }

  /** Every invariant: for tests. */
  check(): void {
    const { form } = this;
    if (form === Form.Integers) this.integers.check();
    else if (form === Form.Packed) this.packed.check();
    else this.table.check();
  }
}

/** Whether a packed set of that many members may get another of `bytes` bytes. */
function fitsPacked(count: number, packedBytes: number, bytes: number): boolean {
  return (
    count < limits.setEntries &&
    bytes <= limits.setValueBytes &&
    bytes <= PackedLimit.EntryBytes &&
    count < PackedLimit.Entries &&
    packedBytes + bytes <= PackedLimit.Bytes
  );
}
