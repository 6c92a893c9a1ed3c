// size-classes.ts: which slot sizes exist and how many pages a span of each takes. A pure table, made once at load.
//
// 255 classes: step 8 from 16 to 512 bytes, then 32 classes an octave up to 32 KiB. Rounding wastes 4 bytes on average
// below 512 and at most 3 % above. A span is the smallest of 4, 8, 12, 16, 32, 64, 128 KiB that wastes at most 1.5 % of
// its tail and holds 8 slots (4 above 8 KiB). What is larger than 32 KiB is a run of whole pages.
// Neighbours: allocator.ts.
import { assert } from "./assert.ts";

export const enum Size {
  PageBytes = 4096,
  PageShift = 12,
  SpanHeaderBytes = 16,
  CacheLineBytes = 64,
  MaxSlotBytes = 32768,
  ClassCount = 255,
  /** A class with fewer spans fills free slots of the next larger ones rather than take a span: where little lives in many
   *  sizes, spans of which a few slots are used would be most of it. */
  FewSpans = 4,
}

/** Bytes of a slot of each class. */
export const slotBytesOf = new Int32Array(Size.ClassCount);
/** Pages of a span of each class. */
export const spanPagesOf = new Int32Array(Size.ClassCount);
/** Slots of a span of each class. */
export const spanSlotsOf = new Int32Array(Size.ClassCount);
/** Bytes before the first slot of a span: its header, rounded to a cache line where slots are whole lines. */
export const spanStartOf = new Int32Array(Size.ClassCount);
/** The last class whose slots are so little larger that what lies there is not loose (`isLoose`). */
export const lastNearOf = new Int32Array(Size.ClassCount);

const SMALL_CLASSES = 63; // 16, 24, ..., 512

/** The smallest class that holds `bytes` (1..32768). */
export function classOf(bytes: number): number {
  if (bytes <= 512) return bytes <= 16 ? 0 : (bytes - 9) >> 3;
  const octave = 22 - Math.clz32(bytes - 1); // 513..1024 is 0
  return SMALL_CLASSES + (octave << 5) + (((bytes - 1) >> (octave + 4)) & 31);
}

/** Whether what needs `bytes` wastes so much of a slot of `slot` bytes that it is worth a move. */
export function isLoose(slot: number, bytes: number): boolean {
  return bytes <= slot - (slot >> 3);
}

for (let index = 0; index < Size.ClassCount; index++) {
  let bytes: number;
  if (index < SMALL_CLASSES) bytes = 16 + index * 8;
  else {
    const octave = (index - SMALL_CLASSES) >> 5;
    const step = 16 << octave;
    bytes = (512 << octave) + (((index - SMALL_CLASSES) & 31) + 1) * step;
  }
  slotBytesOf[index] = bytes;
  const start = bytes % Size.CacheLineBytes === 0 ? Size.CacheLineBytes : Size.SpanHeaderBytes;
  spanStartOf[index] = start;
  const most = bytes > 8192 ? 4 : 8;
  for (const pages of [1, 2, 3, 4, 8, 16, 32]) {
    const room = pages * Size.PageBytes - start;
    const slots = Math.floor(room / bytes);
    const waste = room - slots * bytes;
    spanPagesOf[index] = pages;
    spanSlotsOf[index] = slots;
    if (slots >= most && waste <= pages * Size.PageBytes * 0.015) break;
  }
}
assert(slotBytesOf[Size.ClassCount - 1] === Size.MaxSlotBytes, "the last class is the largest slot");
for (let index = 0, near = 0; index < Size.ClassCount; index++) {
  while (near + 1 < Size.ClassCount && !isLoose(slotBytesOf[near + 1]!, slotBytesOf[index]!)) near++;
  lastNearOf[index] = near;
}
