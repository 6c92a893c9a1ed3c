// packed.test.ts: the packed run of elements against an array, in a record that moves with every change of its length.
import { expect, test } from "bun:test";
import { Allocator } from "../../engine/memory/allocator.ts";
import { need, Region } from "../../engine/memory/region.ts";
import { Segments } from "../../engine/memory/segments.ts";
import type { Holder } from "../../engine/types/holder.ts";
import { Packed } from "../../engine/types/packed.ts";
import { random } from "../support/random.ts";

/** Text, or a number that takeNumber was given and that is no safe integer. */
type Entry = string | number;

const POISON = 0xa5;
const SPACE = 1 << 23;

/** A record that lies elsewhere after every resize; where it was is poison, and so is all around it. */
class Moving implements Holder {
  readonly allocator = new Allocator(Segments.create(1 << 20));
  readonly region = need(Region.private(SPACE), "the record");
  valueStart = 4099;
  valueBytes: number;
  form = 0;
  refuses = false;

  constructor(bytes: number) {
    this.region.u8.fill(POISON);
    this.valueBytes = bytes;
  }

  setForm(form: number): void {
    this.form = form;
  }

  resize(bytes: number): boolean {
    if (bytes === this.valueBytes) throw new Error("a resize to the same length");
    if (this.refuses && bytes > this.valueBytes) return false;
    const { u8 } = this.region;
    const { valueStart, valueBytes } = this;
    let to = valueStart < SPACE / 2 ? valueStart + SPACE / 2 : valueStart - SPACE / 2;
    to = to - 2 + ((to * 7 + bytes) % 5);
    u8.copyWithin(to, valueStart, valueStart + Math.min(bytes, valueBytes));
    u8.fill(POISON, valueStart, valueStart + valueBytes);
    this.valueStart = to;
    this.valueBytes = bytes;
    return true;
  }

  /** Nothing was written outside of the value. */
  check(): void {
    const { u8 } = this.region;
    const { valueStart, valueBytes } = this;
    for (let i = 1; i <= 64; i++)
      if (u8[valueStart - i] !== POISON || u8[valueStart + valueBytes + i - 1] !== POISON)
        throw new Error("a write beside the value");
  }
}

const fixed = [
  ...["0", "1", "47", "48", "-1", "127", "128", "-128", "-129", "255", "256", "32767", "32768", "-32768"],
  ...["-32769", "8388607", "8388608", "-8388608", "-8388609", "2147483647", "2147483648", "-2147483648"],
  ...["-2147483649", "140737488355327", "140737488355328", "-140737488355328", "-140737488355329"],
  ...["9007199254740991", "-9007199254740991", "9007199254740992", "-9007199254740992"],
  ...["9223372036854775807", "-9223372036854775808", "18446744073709551616", "99999999999999999999"],
  ...["007", "-0", "00", "", "-", "+1", " 1", "1 ", "1.5", "1e5", "--1", "a", "4294967296", "-4294967296"],
];
const doubles = [
  0.5,
  -0.1,
  1e300,
  5e-324,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  2 ** 53,
  -(2 ** 60),
];

function isInteger(entry: Entry): entry is string {
  return (
    typeof entry === "string" && /^(0|-?[1-9][0-9]{0,15})$/.test(entry) && Number.isSafeInteger(Number(entry))
  );
}

class Pair {
  readonly holder: Moving;
  readonly packed = new Packed();
  readonly text = need(Region.private(1 << 17), "texts");
  readonly model: Entry[] = [];

  constructor(readonly skip: number) {
    this.holder = new Moving(skip + 2);
    this.holder.region.u8.fill(0x11, this.holder.valueStart, this.holder.valueStart + skip);
    this.packed.open(this.holder, skip);
    this.packed.clear();
  }

  take(entry: Entry): void {
    if (typeof entry === "number") return this.packed.takeNumber(entry);
    if (isInteger(entry) && entry.length % 3 === 0) return this.packed.takeInteger(Number(entry));
    if (isInteger(entry) && entry.length % 3 === 1) return this.packed.takeNumber(Number(entry));
    const start = entry.length % 13;
    this.text.u8.set(Buffer.from(entry, "latin1"), start);
    this.packed.take(this.text, start, entry.length);
  }

  expectCurrent(): void {
    const { packed } = this;
    const entry = this.model[packed.index]!;
    packed.read();
    if (typeof entry === "number") {
      if (!packed.numeric || !Object.is(packed.number, entry))
        throw new Error(`${entry} read ${packed.number}`);
      if (!Object.is(packed.readNumber(), entry)) throw new Error("readNumber");
      return;
    }
    const read = Buffer.from(packed.region.u8.slice(packed.start, packed.start + packed.bytes)).toString(
      "latin1",
    );
    if (read !== entry)
      throw new Error(`entry ${packed.index}: ${read.slice(0, 40)}, not ${entry.slice(0, 40)}`);
    if (packed.numeric !== isInteger(entry))
      throw new Error(`${entry.slice(0, 40)} numeric ${packed.numeric}`);
    if (packed.numeric && (packed.number !== Number(entry) || packed.readNumber() !== Number(entry)))
      throw new Error(`${entry} is number ${packed.number}`);
  }

  /** Everything, forwards by next and at random by seek. */
  expectEqual(next: () => number): void {
    const { packed, model, holder, skip } = this;
    packed.check();
    holder.check();
    expect(packed.count).toBe(model.length);
    expect(packed.packedBytes).toBe(holder.valueBytes - skip);
    for (let i = 0; i < skip; i++) expect(holder.region.u8[holder.valueStart + i]).toBe(0x11);
    packed.seek(0);
    for (let i = 0; i < model.length; i++) {
      expect(packed.index).toBe(i);
      this.expectCurrent();
      packed.next();
    }
    for (let i = 0; i < 20 && model.length > 0; i++) {
      packed.seek(Math.floor(next() * model.length));
      this.expectCurrent();
    }
    packed.seek(model.length);
    expect(packed.index).toBe(model.length);
  }
}

function anyEntry(next: () => number): Entry {
  const kind = next();
  if (kind < 0.35) return fixed[Math.floor(next() * fixed.length)]!;
  if (kind < 0.45) return String(Math.floor((next() - 0.5) * 2 ** Math.floor(1 + next() * 53)));
  if (kind < 0.5) return doubles[Math.floor(next() * doubles.length)]!;
  const letter = String.fromCharCode(Math.floor(next() * 256));
  if (kind < 0.9) return letter.repeat(1 + Math.floor(next() * 20));
  if (kind < 0.98)
    return letter.repeat([1, 126, 127, 128, 198, 199, 200, 201, 255, 256, 300][Math.floor(next() * 11)]!);
  return letter.repeat(kind < 0.998 ? 1000 : 65535);
}

test("packed: agrees with an array after any history of edits, lookups and refusals", () => {
  const next = random("packed");
  for (let round = 0; round < 40; round++) {
    const pair = new Pair([0, 8, 3][round % 3]!);
    const { packed, model, holder } = pair;
    const most = [3, 12, 60, 300][round % 4]!;
    for (let step = 0; step < 1_500; step++) {
      const entry = anyEntry(next);
      const kind = next();
      holder.refuses = next() < 0.05;
      const grow = model.length < most && step % 600 < 400;
      if (kind < (grow ? 0.5 : 0.2)) {
        pair.take(entry);
        const index = next() < 0.3 ? model.length : Math.floor(next() * (model.length + 1));
        packed.seek(index);
        const { takenCost, packedBytes } = packed;
        if (packed.insert()) {
          expect(packed.packedBytes).toBe(packedBytes + takenCost);
          model.splice(index, 0, entry);
          expect(packed.index).toBe(index);
          pair.expectCurrent();
        } else {
          expect(holder.refuses).toBe(true);
          expect(packed.index).toBe(index);
        }
      } else if (kind < 0.65) {
        if (model.length === 0) continue;
        const index = Math.floor(next() * model.length);
        pair.take(entry);
        packed.seek(index);
        if (packed.replace()) model[index] = entry;
        else expect(holder.refuses).toBe(true);
        expect(packed.index).toBe(index);
        pair.expectCurrent();
      } else if (kind < 0.8) {
        const index = Math.floor(next() * (model.length + 1));
        const howMany = Math.min(model.length - index, next() < 0.8 ? 1 : Math.floor(next() * 6));
        if (howMany === 0) continue;
        packed.seek(index);
        packed.remove(howMany);
        model.splice(index, howMany);
        expect(packed.index).toBe(index);
        if (index < model.length) pair.expectCurrent();
      } else {
        const looked = next() < 0.7 && model.length > 0 ? model[Math.floor(next() * model.length)]! : entry;
        const by = 1 + Math.floor(next() * 3);
        const from = Math.floor(next() * (model.length + 1));
        pair.take(looked);
        packed.seek(from);
        let wanted = -1;
        for (let i = from; i < model.length && wanted < 0; i += by) if (model[i] === looked) wanted = i;
        expect(packed.find(by)).toBe(wanted >= 0);
        expect(packed.index).toBe(wanted >= 0 ? wanted : model.length);
        if (wanted >= 0) pair.expectCurrent();
      }
      if (step % 10 === 0) pair.expectEqual(next);
    }
    holder.refuses = false;
    pair.expectEqual(next);
    if (model.length > 0) {
      packed.seek(0);
      packed.remove(model.length);
      model.length = 0;
    }
    pair.expectEqual(next);
    expect(holder.valueBytes).toBe(pair.skip + 2);
  }
}, 120_000);

test("packed: holds 65,535 entries, and every integer boundary at its smallest", () => {
  const pair = new Pair(0);
  const { packed, holder } = pair;
  let before = 2;
  const sizes: readonly (readonly [string, number])[] = [
    ["0", 1],
    ["47", 1],
    ["48", 2],
    ["-128", 2],
    ["128", 3],
    ["-32769", 4],
    ["8388608", 5],
    ["2147483648", 7],
    ["-140737488355329", 8],
    ["007", 4],
    ["", 1],
    ["x".repeat(199), 200],
    ["x".repeat(200), 205],
  ];
  for (const [text, bytes] of sizes) {
    pair.take(text);
    packed.seek(packed.count);
    expect(packed.insert()).toBe(true);
    expect(packed.packedBytes - before).toBe(bytes);
    before = packed.packedBytes;
    pair.model.push(text);
  }
  pair.expectEqual(() => 0.5);
  const texts = sizes.length;
  packed.seek(0);
  packed.remove(texts);
  packed.takeInteger(7);
  for (let i = 0; i < 65_535; i++) {
    if (!packed.insert()) throw new Error("refused");
  }
  expect(packed.count).toBe(65_535);
  expect(holder.valueBytes).toBe(2 + 65_535);
  packed.check();
  expect(() => packed.insert()).toThrow();
}, 120_000);
