import { expect, test } from "bun:test";
import { Allocator } from "../../engine/memory/allocator.ts";
import { Segments } from "../../engine/memory/segments.ts";
import { classOf, Size, slotBytesOf } from "../../engine/memory/size-classes.ts";
import { random } from "../support/random.ts";

test("size classes: the class of every size holds it, and the class below does not", () => {
  for (let bytes = 1; bytes <= Size.MaxSlotBytes; bytes++) {
    const index = classOf(bytes);
    expect(slotBytesOf[index]! >= bytes).toBe(true);
    if (index > 0) expect(slotBytesOf[index - 1]! < bytes).toBe(true);
  }
});

test("allocator: against a shadow map no two slots overlap, nothing leaks, counters equal a walk", () => {
  const next = random("allocator");
  const segments = Segments.create(16 << 20);
  const allocator = new Allocator(segments);
  const live = new Map<number, { bytes: number; stamp: number }>();
  const handles: number[] = [];
  let refused = 0;
  for (let step = 0; step < 200_000; step++) {
    const grow = step % 20_000 < 12_000;
    if (handles.length === 0 || next() < (grow ? 0.6 : 0.4)) {
      const kind = next();
      const bytes =
        kind < 0.8
          ? 1 + Math.floor(next() * 600)
          : kind < 0.98
            ? 1 + Math.floor(next() * 32768)
            : 1 + Math.floor(next() * 400_000);
      const handle = allocator.allocate(bytes);
      if (handle === 0) {
        refused++;
        continue;
      }
      expect(live.has(handle)).toBe(false);
      const { u32 } = allocator.regionOf(handle);
      const at = (handle & 0x07ffffff) * 2;
      const last = at + ((bytes + 3) >> 2) - 1;
      const stamp = step + 1;
      u32[at] = stamp;
      u32[last] = stamp;
      live.set(handle, { bytes, stamp });
      handles.push(handle);
      expect(allocator.slotBytes(handle) >= bytes).toBe(true);
    } else {
      const index = Math.floor(next() * handles.length);
      const handle = handles[index]!;
      handles[index] = handles[handles.length - 1]!;
      handles.pop();
      const { bytes, stamp } = live.get(handle)!;
      const { u32 } = allocator.regionOf(handle);
      const at = (handle & 0x07ffffff) * 2;
      expect(u32[at]).toBe(stamp);
      expect(u32[at + ((bytes + 3) >> 2) - 1]).toBe(stamp);
      allocator.free(handle);
      live.delete(handle);
    }
    if (step % 5_000 === 0) allocator.check();
  }
  allocator.check();
  let sum = 0;
  for (const handle of handles) sum += allocator.slotBytes(handle);
  expect(allocator.liveBytes).toBe(sum);
  for (const handle of handles) allocator.free(handle);
  allocator.check();
  expect(allocator.liveBytes).toBe(0);
  expect(refused).toBe(0);
});

test("allocator: a full address space answers 0, loses nothing, and a free makes room again", () => {
  const segments = Segments.create(1 << 20);
  const allocator = new Allocator(segments);
  const handles: number[] = [];
  for (;;) {
    const handle = allocator.allocate(100_000);
    if (handle === 0) break;
    handles.push(handle);
  }
  expect(handles.length).toBeGreaterThan(200);
  allocator.check();
  allocator.free(handles.pop()!);
  expect(allocator.allocate(100_000)).not.toBe(0);
  allocator.reset();
  allocator.check();
  expect(allocator.committedBytes).toBe(0);
  expect(allocator.allocate(900_000)).not.toBe(0);
});
