// crc64.ts: the checksum of a DUMP payload and of an RDB file: CRC-64 of Jones, polynomial 0xad93d23594c935a9 with bits
// reflected, initial value 0, nothing xored at the end. "123456789" gives e9c6d914c4b8d9ca.
//
// Eight bytes a step over two halves of 32 bits: table k holds, for each byte, what it leaves after k more bytes.
// Cold, but O(bytes): no allocation, no BigInt. The result stays in two module variables until the next call.
import type { Region } from "../memory/region.ts";

/** The polynomial, reflected. */
const POLYNOMIAL_HIGH = 0x95ac9329 | 0;
const POLYNOMIAL_LOW = 0xac4bc9b5 | 0;

const tableHigh = new Int32Array(8 * 256);
const tableLow = new Int32Array(8 * 256);

for (let byte = 0; byte < 256; byte++) {
  let high = 0;
  let low = byte;
  for (let bit = 0; bit < 8; bit++) {
    const odd = -(low & 1);
    low = ((low >>> 1) | (high << 31)) ^ (POLYNOMIAL_LOW & odd);
    high = (high >>> 1) ^ (POLYNOMIAL_HIGH & odd);
  }
  tableHigh[byte] = high;
  tableLow[byte] = low;
}
for (let at = 256; at < 8 * 256; at++) {
  const high = tableHigh[at - 256]!;
  const low = tableLow[at - 256]!;
  tableHigh[at] = (high >>> 8) ^ tableHigh[low & 255]!;
  tableLow[at] = ((low >>> 8) | (high << 24)) ^ tableLow[low & 255]!;
}

export let crcHigh = 0;
export let crcLow = 0;

/** The checksum of `bytes` bytes at `start` into crcHigh and crcLow, both signed. The range must lie in the region. */
export function crc64(region: Region, start: number, bytes: number): void {
  const { u8, view } = region;
  let high = 0;
  let low = 0;
  const end = start + bytes;
  let at = start;
  for (; at + 8 <= end; at += 8) {
    const a = low ^ view.getInt32(at, true);
    const b = high ^ view.getInt32(at + 4, true);
    const a0 = 0x700 + (a & 255);
    const a1 = 0x600 + ((a >>> 8) & 255);
    const a2 = 0x500 + ((a >>> 16) & 255);
    const a3 = 0x400 + (a >>> 24);
    const b0 = 0x300 + (b & 255);
    const b1 = 0x200 + ((b >>> 8) & 255);
    const b2 = 0x100 + ((b >>> 16) & 255);
    const b3 = b >>> 24;
    low =
      tableLow[a0]! ^
      tableLow[a1]! ^
      tableLow[a2]! ^
      tableLow[a3]! ^
      tableLow[b0]! ^
      tableLow[b1]! ^
      tableLow[b2]! ^
      tableLow[b3]!;
    high =
      tableHigh[a0]! ^
      tableHigh[a1]! ^
      tableHigh[a2]! ^
      tableHigh[a3]! ^
      tableHigh[b0]! ^
      tableHigh[b1]! ^
      tableHigh[b2]! ^
      tableHigh[b3]!;
  }
  for (; at < end; at++) {
    const index = (low ^ u8[at]!) & 255;
    low = ((low >>> 8) | (high << 24)) ^ tableLow[index]!;
    high = (high >>> 8) ^ tableHigh[index]!;
  }
  crcHigh = high;
  crcLow = low;
}
