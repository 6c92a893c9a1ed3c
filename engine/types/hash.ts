// hash.ts: a hash: fields, their values and, where a field has one, its deadline.
//
//   Packed           pairs of field and value, in the order in which fields came
//   PackedDeadlines  f64 earliest deadline (Infinity for none), then packed triples of field, value and deadline (0 for
//                    none), by deadline, those without one last, so that what is due stands at the front
//   Pages            a table (table.ts) whose root is the value
//   PagesDeadlines   the same; the root knows its earliest deadline
// A hash goes down this list and never up: to pages past the limits of limits.ts and packed.ts, to a form with deadlines
// when a command is about to give a field one. A field that is due is absent to every reader at once; `count` has it until
// a write meets it or `reap` removes it.
//
// Reaping a table is a pass over its leaves in scan order, a bounded number of elements a call. Meanwhile the root's link
// (PagesRoot.Next, which nobody needs while the record lives) is the scan path to go on from, and its deadline is the
// negative of the earliest one met so far: no greater than any and long due, so the sweep comes back. A pass costs
// O(elements), so one begins only when the earliest field has been due for a while that grows with them.
//
// Invariants: the earliest deadline that the value begins with is that of the first triple, and no later than any field's
// in a table; a change that memory refuses changed nothing but, perhaps, the form.
// On the data path: nothing allocates. Cursor style: find, next and draw leave the field (find does not), its value and
// its deadline as text in the record or in a scratch; every change ends a walk.
// Neighbours: packed.ts, table.ts, holder.ts; engine/commands/hashes.ts and field-deadlines.ts use it, engine/shard reaps.
import { assert } from "../memory/assert.ts";
import { Form, PagesRoot, Type } from "../memory/record.ts";
import { copyBytes, need, Region } from "../memory/region.ts";
import type { Holder } from "./holder.ts";
import { limits } from "./limits.ts";
import { Packed, PackedLimit } from "./packed.ts";
import { TABLE_ROOT_BYTES, Table, TableKind } from "./table.ts";
import { Temporary } from "./temporary.ts";
import { Window } from "./window.ts";

/** In place of a deadline: the one that the field has. */
export const KEEP = -1;

/** putPacked's answer for a hash too large to stay packed. */
const TOO_MANY = -2;

const enum Reap {
  /** Elements that one call looks at. */
  Visits = 65536,
  /** Elements for each millisecond that a pass over them waits. */
  PerMillisecond = 256,
}

const enum Draw {
  /** Draws in a row that may meet a field that is due. */
  Tries = 64,
}

export class Hash {
  private holder!: Holder;
  private nowMs = 0;
  private paged = false;
  /** Whether the form has deadlines. */
  private timed = false;
  /** Entries a field, and bytes before the packed ones. */
  private stride = 2;
  private skip = 0;
  private readonly packed = new Packed();
  private readonly table = new Table(TableKind.Hash);
  /** A value on its way from this record into it, or a packed one that is rewritten. */
  private readonly draft = new Temporary();
  private readonly scratch = this.draft.region;
  /** Digits of a field that is an integer: those of its value are in a scratch of `packed`. */
  private readonly digits = need(Region.private(4096), "the text of numbers");
  private readonly window = new Window(this.scratch);
  private readonly old = new Packed();

  // The current element.
  /** Its field. */
  region: Region = this.scratch;
  start = 0;
  bytes = 0;
  valueRegion: Region = this.scratch;
  valueStart = 0;
  valueBytes = 0;
  /** ms since the epoch, 0 for never. */
  deadlineMs = 0;

  /** Bytes of the value of an empty hash. */
  static readonly initialBytes = PackedLimit.HeaderBytes;

  /** Makes a value of initialBytes in Form.Packed, which `create` left undefined, an empty hash. */
  static clear(holder: Holder): void {
    const { region, valueStart } = holder;
    region.u8[valueStart] = 0;
    region.u8[valueStart + 1] = 0;
  }

  /** Opens the hash of a record. Fields due at `nowMs` are absent. */
  open(holder: Holder, nowMs: number): void {
    this.holder = holder;
    this.nowMs = nowMs;
    this.adoptForm();
  }

  private adoptForm(): void {
    const { form } = this.holder;
    this.paged = form >= Form.Pages;
    this.timed = form === Form.PackedDeadlines || form === Form.PagesDeadlines;
    if (this.paged) {
      this.table.open(this.holder);
      return;
    }
    this.stride = this.timed ? 3 : 2;
    this.skip = this.timed ? 8 : 0;
    this.window.open(this.holder);
    this.packed.open(this.window, this.skip);
  }

  /** Fields, with those that are due and not yet reaped. */
  get count(): number {
    return this.paged ? this.table.count : this.packed.count / this.stride;
  }

  /** Whether something may be due. */
  private get anyDue(): boolean {
    return this.timed && this.earliestMs <= this.nowMs;
  }

  private get earliestMs(): number {
    const { window } = this;
    return this.paged ? this.table.earliestMs : window.region.view.getFloat64(window.valueStart, true);
  }

  private isDue(deadlineMs: number): boolean {
    return deadlineMs !== 0 && deadlineMs <= this.nowMs;
  }

  /** Fields that are not due. O(1) where nothing is, else O(fields). */
  live(): number {
    if (!this.anyDue) return this.count;
    if (!this.paged) return this.count - this.duePrefix(this.count);
    let live = 0;
    this.table.walk();
    while (this.table.next()) if (!this.isDue(this.table.deadlineMs)) live++;
    return live;
  }

  /** Packed: how many fields at the front, at most `most`, are due. Moves the cursor. */
  private duePrefix(most: number): number {
    if (!this.anyDue) return 0;
    const { packed, count } = this;
    const until = Math.min(most, count);
    let due = 0;
    for (; due < until; due++) {
      packed.seek(due * 3 + 2);
      if (!this.isDue(packed.readNumber())) break;
    }
    return due;
  }

  // Reading

  /** Finds a field that is not due; its value and deadline are the current ones. */
  find(region: Region, start: number, bytes: number): boolean {
    if (!this.locate(region, start, bytes) || this.isDue(this.deadlineMs)) return false;
    if (this.paged) this.loadValue();
    else this.readValue();
    return true;
  }

  /** Finds a field, due or not: the cursor of the table or the packed entries is at it, and deadlineMs is its. */
  private locate(region: Region, start: number, bytes: number): boolean {
    this.deadlineMs = 0;
    if (this.paged) {
      const { table } = this;
      if (!table.find(region, start, bytes)) return false;
      this.deadlineMs = table.deadlineMs;
      return true;
    }
    const { packed } = this;
    if (bytes > PackedLimit.EntryBytes) {
      packed.seek(packed.count);
      return false;
    }
    packed.seek(0);
    packed.take(region, start, bytes);
    if (!packed.find(this.stride)) return false;
    if (this.timed) {
      const { index } = packed;
      packed.seek(index + 2);
      this.deadlineMs = packed.readNumber();
      packed.seek(index);
    }
    return true;
  }

  /** Packed: reads the value behind the field under the cursor. */
  private readValue(): void {
    const { packed } = this;
    packed.next();
    packed.read();
    this.valueRegion = packed.region;
    this.valueStart = packed.start;
    this.valueBytes = packed.bytes;
  }

  private loadValue(): void {
    const { table } = this;
    this.valueRegion = table.region;
    this.valueStart = table.valueStart;
    this.valueBytes = table.valueBytes;
  }

  private load(): void {
    const { table } = this;
    this.region = table.region;
    this.start = table.start;
    this.bytes = table.bytes;
    this.deadlineMs = table.deadlineMs;
    this.loadValue();
  }

  /** Begins a walk over the fields that are not due: `next` moves to the first. */
  walk(): void {
    if (this.paged) this.table.walk();
    else this.packed.seek(this.duePrefix(this.count) * this.stride);
  }

  /** Moves to the next field of the walk. False at the end. */
  next(): boolean {
    return this.paged ? this.nextLive(false) : this.nextPacked();
  }

  /** Moves to the next field of a table that is not due, of the page or of the walk. */
  private nextLive(paging: boolean): boolean {
    const { table } = this;
    while (paging ? table.scanNext() : table.next())
      if (!this.isDue(table.deadlineMs)) {
        this.load();
        return true;
      }
    return false;
  }

  private nextPacked(): boolean {
    const { packed } = this;
    if (packed.index >= packed.count) return false;
    packed.read();
    this.start = packed.start;
    this.bytes = packed.bytes;
    if (packed.numeric) {
      copyBytes(this.digits, 0, packed.region, packed.start, packed.bytes);
      this.region = this.digits;
      this.start = 0;
    } else this.region = packed.region;
    this.readValue();
    packed.next();
    this.deadlineMs = 0;
    if (this.timed) {
      this.deadlineMs = packed.readNumber();
      packed.next();
    }
    return true;
  }

  /** Where the page after this one begins; 0 when the scan is done. */
  get scanCursor(): number {
    return this.paged ? this.table.scanCursor : 0;
  }

  /** Begins the page of a scan at `cursor`, of about `wanted` fields, or of all that are packed. */
  scan(cursor: number, wanted: number): boolean {
    if (this.paged) return this.table.scanPage(cursor, wanted);
    this.walk();
    return true;
  }

  /** Moves to the next field of the page. False at its end. */
  scanNext(): boolean {
    return this.paged ? this.nextLive(true) : this.nextPacked();
  }

  /** Moves to a field at random. False when there is none that is not due. `chance` gives numbers in [0, 1). */
  draw(chance: () => number): boolean {
    const { packed, table } = this;
    if (!this.paged) {
      const due = this.duePrefix(this.count);
      if (due === this.count) return false;
      packed.seek((due + Math.floor(chance() * (this.count - due))) * this.stride);
      return this.nextPacked();
    }
    for (let tries = 0; tries < Draw.Tries; tries++) {
      if (!table.draw(chance(), chance())) return false;
      if (this.isDue(table.deadlineMs)) continue;
      this.load();
      return true;
    }
    // Nearly all are due: a place in a walk.
    const live = this.live();
    if (live === 0) return false;
    this.walk();
    for (let skip = Math.floor(chance() * live); skip >= 0; skip--) this.next();
    return true;
  }

  /** Whether drawing is cheap compared with a walk: not where elements are packed. */
  get drawsCheaply(): boolean {
    return this.paged;
  }

  /** A number of the current element that no other has, until the next change. Only in tables. */
  get identity(): number {
    return this.region.address + this.start;
  }

  // Writing. No text that is given may lie in this record.

  /** Gives a field a value and a deadline: 0 for none, KEEP for the one it has. 1 when the field is new, 0 when it was there,
   *  -1 when memory is out. The holder's `noteDue` is the caller's to call. */
  put(
    region: Region,
    start: number,
    bytes: number,
    value: Region,
    valueStart: number,
    valueBytes: number,
    deadlineMs: number,
  ): number {
    if (deadlineMs > 0 && !this.makeTimed()) return -1;
    if (!this.paged) {
      const most = Math.min(limits.hashValueBytes, PackedLimit.EntryBytes);
      if (bytes <= most && valueBytes <= most) {
        const put = this.putPacked(region, start, bytes, value, valueStart, valueBytes, deadlineMs);
        if (put !== TOO_MANY) return put;
      }
      if (!this.makePaged()) return -1;
    }
    const { table } = this;
    const there = this.locate(region, start, bytes);
    const due = this.isDue(this.deadlineMs);
    const kept = deadlineMs !== KEEP ? deadlineMs : due ? 0 : this.deadlineMs;
    const done = there
      ? table.replace(value, valueStart, valueBytes, kept)
      : table.insert(region, start, bytes, value, valueStart, valueBytes, kept);
    if (!done) return -1;
    this.lowerEarliest(kept);
    return there && !due ? 0 : 1;
  }

  /** While a reaping pass is on, the root's deadline is the negative of the earliest so far. */
  private lowerEarliest(deadlineMs: number): void {
    const { table } = this;
    if (deadlineMs !== 0 && table.earliestMs < 0 && deadlineMs < -table.earliestMs)
      table.earliestMs = -deadlineMs;
  }

  /** put in the packed forms; TOO_MANY when the hash must go to pages first. */
  private putPacked(
    region: Region,
    start: number,
    bytes: number,
    value: Region,
    valueStart: number,
    valueBytes: number,
    deadlineMs: number,
  ): number {
    const { packed } = this;
    const there = this.locate(region, start, bytes);
    const had = this.deadlineMs;
    const due = this.isDue(had);
    const fields = this.count + (there ? 0 : 1);
    if (fields > limits.hashEntries || !this.fits(bytes + valueBytes, fields)) return TOO_MANY;
    const kept = deadlineMs !== KEEP ? deadlineMs : due ? 0 : had;
    if (there && kept === had && deadlineMs <= 0) {
      packed.next();
      packed.take(value, valueStart, valueBytes);
      if (!packed.replace()) return -1;
      this.settle();
      return 0;
    }
    if (!this.place(there, region, start, bytes, value, valueStart, valueBytes, kept)) return -1;
    return there && !due ? 0 : 1;
  }

  /** Whether packed entries may grow by one field of so much text. */
  private fits(textBytes: number, fields: number): boolean {
    // Besides the text: two lengths on either side, three descriptors, a deadline.
    return (
      this.packed.packedBytes + textBytes + 20 <= PackedLimit.Bytes &&
      fields * this.stride <= PackedLimit.Entries
    );
  }

  /** Packed: puts a field where its deadline belongs, in place of the one under the cursor if it is `there`. False when
   *  memory is out. */
  private place(
    there: boolean,
    region: Region,
    start: number,
    bytes: number,
    value: Region,
    valueStart: number,
    valueBytes: number,
    deadlineMs: number,
  ): boolean {
    const { packed, window, stride, timed } = this;
    const { index } = packed;
    packed.take(region, start, bytes);
    let cost = packed.takenCost;
    packed.take(value, valueStart, valueBytes);
    cost += packed.takenCost;
    if (timed) {
      packed.takeInteger(deadlineMs);
      cost += packed.takenCost;
    }
    // All that can fail, first. What goes away comes after what is new has room.
    if (!window.reserve(window.valueBytes + cost)) {
      this.settle();
      return false;
    }
    packed.open(window, this.skip);
    if (there) {
      packed.seek(index);
      packed.remove(stride);
    }
    this.seekPlace(deadlineMs);
    packed.take(region, start, bytes);
    packed.insert();
    packed.next();
    packed.take(value, valueStart, valueBytes);
    packed.insert();
    if (timed) {
      packed.next();
      packed.takeInteger(deadlineMs);
      packed.insert();
    }
    this.settle();
    return true;
  }

  /** Packed: moves the cursor to where a field of that deadline is put: before those that are due no earlier. */
  private seekPlace(deadlineMs: number): void {
    const { packed } = this;
    if (deadlineMs !== 0)
      for (let i = 0; i < packed.count; i += 3) {
        packed.seek(i + 2);
        const other = packed.readNumber();
        if (other !== 0 && other < deadlineMs) continue;
        packed.seek(i);
        return;
      }
    packed.seek(packed.count);
  }

  /** Packed: ends an edit. */
  private settle(): void {
    const { packed, window } = this;
    window.settle();
    packed.open(window, this.skip);
    if (!this.timed) return;
    let earliestMs = 0;
    if (packed.count > 0) {
      packed.seek(2);
      earliestMs = packed.readNumber();
    }
    this.writeEarliest(earliestMs === 0 ? Number.POSITIVE_INFINITY : earliestMs);
  }

  private writeEarliest(earliestMs: number): void {
    const { window } = this;
    window.region.view.setFloat64(window.valueStart, earliestMs, true);
  }

  /** Gives the field that `find` has just found another deadline, 0 for none. False when memory is out. */
  expire(region: Region, start: number, bytes: number, deadlineMs: number): boolean {
    const { table, scratch } = this;
    if (deadlineMs > 0 && !this.timed) {
      if (!this.makeTimed()) return false;
      this.find(region, start, bytes);
    }
    if (!this.paged && !this.fits(0, this.count)) {
      if (!this.makePaged()) return false;
      this.find(region, start, bytes);
    }
    const { valueBytes } = this;
    if (!this.paged) {
      copyBytes(scratch, 0, this.valueRegion, this.valueStart, valueBytes);
      this.locate(region, start, bytes);
      return this.place(true, region, start, bytes, scratch, 0, valueBytes, deadlineMs);
    }
    if (!table.setDeadline(deadlineMs)) return false;
    this.lowerEarliest(deadlineMs);
    return true;
  }

  /** Removes a field. Whether it was there and not due. */
  remove(region: Region, start: number, bytes: number): boolean {
    if (!this.locate(region, start, bytes)) return false;
    const live = !this.isDue(this.deadlineMs);
    if (this.paged) this.table.remove();
    else {
      this.packed.remove(this.stride);
      this.settle();
    }
    return live;
  }

  // Forms

  /** Goes to a form with deadlines. False when memory is out. */
  makeTimed(): boolean {
    if (this.timed) return true;
    if (!this.paged && !this.makePackedTimed() && !this.paged) return false;
    this.holder.setForm(this.paged ? Form.PagesDeadlines : Form.PackedDeadlines);
    this.adoptForm();
    return true;
  }

  /** Rewrites pairs as triples. False when that fails, or when the fields went to pages instead. */
  private makePackedTimed(): boolean {
    const { packed, window, draft, old } = this;
    const { count } = packed;
    const bytes = packed.packedBytes;
    const most = bytes + count / 2 + 8;
    if (most > PackedLimit.Bytes || (count / 2) * 3 > PackedLimit.Entries) {
      this.makePaged();
      return false;
    }
    if (!window.reserve(most)) return false;
    copyBytes(this.scratch, 0, window.region, window.valueStart, bytes);
    draft.begin(window.allocator, Type.Hash, Form.Packed, bytes);
    old.open(draft);
    window.valueBytes = 8 + PackedLimit.HeaderBytes;
    this.writeEarliest(Number.POSITIVE_INFINITY);
    packed.open(window, 8);
    packed.clear();
    for (let i = 0; i < count; i++) {
      old.read();
      packed.seek(packed.count);
      if (old.numeric) packed.takeInteger(old.number);
      else packed.take(old.region, old.start, old.bytes);
      packed.insert();
      if ((i & 1) === 1) {
        packed.next();
        packed.takeInteger(0);
        packed.insert();
      }
      old.next();
    }
    window.settle();
    return true;
  }

  /** Before `fields` fields are put, some perhaps twice: goes to pages if they alone are more than may be packed. False
   *  when memory is out. */
  makeReadyFor(fields: number): boolean {
    return this.paged || fields <= limits.hashEntries || this.makePaged();
  }

  /** Moves packed fields to pages. False, and nothing changed, when memory is out. */
  private makePaged(): boolean {
    const { holder, packed, table, window, draft } = this;
    // The record first: growing is what can fail.
    if (!window.reserve(TABLE_ROOT_BYTES)) return false;
    packed.open(window, this.skip);
    draft.begin(holder.allocator, Type.Hash, Form.Pages, TABLE_ROOT_BYTES);
    Table.clear(draft);
    table.open(draft);
    packed.seek(0);
    while (this.nextPacked()) {
      const { region, start, bytes } = this;
      table.find(region, start, bytes);
      if (
        table.insert(
          region,
          start,
          bytes,
          this.valueRegion,
          this.valueStart,
          this.valueBytes,
          this.deadlineMs,
        )
      )
        continue;
      while (!table.freeStep(1 << 20));
      this.settle();
      return false;
    }
    window.valueBytes = TABLE_ROOT_BYTES;
    window.settle();
    copyBytes(window.region, window.valueStart, this.scratch, 0, TABLE_ROOT_BYTES);
    holder.setForm(this.timed ? Form.PagesDeadlines : Form.Pages);
    this.adoptForm();
    return true;
  }

  // Reaping

  /** Removes up to about `most` fields that are due and says how many. The earliest deadline is right when all have been
   *  met. An empty hash is the caller's to remove. */
  reap(most: number): number {
    if (!this.timed || most <= 0) return 0;
    if (this.paged) return this.reapPages(most);
    const due = this.duePrefix(most);
    if (due === 0) return 0;
    this.packed.seek(0);
    this.packed.remove(due * 3);
    this.settle();
    return due;
  }

  private reapPages(most: number): number {
    const { table, holder } = this;
    let path = this.passPath;
    if (path === 0 && this.nowMs < table.earliestMs + table.count / Reap.PerMillisecond) return 0;
    let earliestMs = path === 0 ? Number.POSITIVE_INFINITY : -table.earliestMs;
    let visited = 0;
    let removed = 0;
    do {
      // The elements of one leaf, or of what it has been split into since.
      let due = 0;
      const some = table.scanPage(path * 65536, 65536);
      const next = table.scanCursor / 65536;
      while (some && table.scanNext()) {
        visited++;
        const { deadlineMs } = table;
        if (this.isDue(deadlineMs)) due++;
        else if (deadlineMs !== 0 && deadlineMs < earliestMs) earliestMs = deadlineMs;
      }
      if (due > 0) {
        removed += due;
        table.scanPage(path * 65536, 65536);
        while (due > 0 && table.scanNext()) {
          if (!this.isDue(table.deadlineMs)) continue;
          if (--due > 0) table.removeQuietly();
          else {
            table.adoptCursor();
            table.remove(); // and its leaf is made smaller
          }
        }
      }
      path = next;
    } while (path !== 0 && removed < most && visited < Reap.Visits);
    table.earliestMs = path === 0 ? earliestMs : -earliestMs;
    holder.region.view.setUint32(holder.valueStart + PagesRoot.Next, path, true);
    return removed;
  }

  /** The scan path at which a reaping pass goes on, 0 for none under way. */
  private get passPath(): number {
    const { holder } = this;
    return holder.region.view.getUint32(holder.valueStart + PagesRoot.Next, true);
  }

  /** Every invariant of this file, and of what it stands on: for tests. */
  check(): void {
    const { packed, table, timed } = this;
    const { form } = this.holder;
    assert(this.paged === form >= Form.Pages, "the form is the record's");
    if (this.paged) {
      assert(this.holder.valueBytes === TABLE_ROOT_BYTES, "a root and nothing else");
      table.check();
      table.walk();
      const earliestMs = Math.abs(table.earliestMs);
      while (table.next()) {
        assert(timed || table.deadlineMs === 0, "deadlines need a form with them");
        if (this.passPath === 0 && table.deadlineMs !== 0)
          assert(table.deadlineMs >= earliestMs, "the root's deadline is no later than a field's");
      }
      return;
    }
    assert(this.holder.valueBytes === this.window.valueBytes, "the record is as long as its entries");
    packed.check();
    assert(packed.count % this.stride === 0, "fields are whole");
    let before = 0;
    let first = Number.POSITIVE_INFINITY;
    for (let i = 0; timed && i < packed.count; i += 3) {
      packed.seek(i + 2);
      const deadlineMs = packed.readNumber() || Number.POSITIVE_INFINITY;
      assert(deadlineMs >= before, "fields are in the order of their deadlines");
      if (i === 0) first = deadlineMs;
      before = deadlineMs;
    }
    if (timed) assert(this.earliestMs === first, "the value begins with its earliest deadline");
  }
}
