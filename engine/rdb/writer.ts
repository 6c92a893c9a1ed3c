// writer.ts: a value in Redis's RDB format, appended piece by piece to a region that grows: the payload of DUMP.
//
//   writer.begin(RdbType.Hash); writer.length(fields); writer.string(...) twice a field; writer.finish(Version.Plain);
//   if (!writer.full) reply.bulk(writer.region, 0, writer.at);
//   writer.forget();
// The plain types (0, 1, 2, 4, 5, and 24 for hashes whose fields have deadlines), which every Redis reads and puts
// into the form it prefers. Integers of 32 bits are coded as such; nothing is compressed.
// Cold, O(bytes). Allocates when the region grows. Neighbours: format.ts; reader.ts reads the same.
import { copyBytes, need, Region } from "../memory/region.ts";
import { parseInteger } from "../types/integer.ts";
import { crc64, crcHigh, crcLow } from "./crc64.ts";
import { Coded, FOOTER_BYTES, type RdbType, type Version } from "./format.ts";

const FIRST_BYTES = 64 * 1024;
/** Longest decimal text of an int32. */
const INT32_DIGITS = 11;

export class ValueWriter {
  region: Region;
  /** Bytes written. */
  at = 0;
  /** Something did not fit `limit` or memory; the payload is of no use. */
  full = false;

  /** A payload, footer included, never passes `limit` bytes. */
  constructor(private readonly limit: number) {
    this.region = need(Region.private(FIRST_BYTES), "payloads of DUMP");
  }

  begin(type: RdbType): void {
    this.at = 0;
    this.full = false;
    if (this.room(1)) this.region.u8[this.at++] = type;
  }

  /** A length or count below 2^53. */
  length(value: number): void {
    if (!this.room(9)) return;
    const { at } = this;
    const { u8, view } = this.region;
    if (value < 0x40) {
      u8[at] = value;
      this.at = at + 1;
    } else if (value < 0x4000) {
      view.setUint16(at, 0x4000 | value, false);
      this.at = at + 2;
    } else if (value <= 0xffffffff) {
      u8[at] = 0x80;
      view.setUint32(at + 1, value, false);
      this.at = at + 5;
    } else {
      u8[at] = 0x81;
      view.setUint32(at + 1, Math.floor(value / 0x100000000), false);
      view.setUint32(at + 5, value >>> 0, false);
      this.at = at + 9;
    }
  }

  /** A string: any text. Throws RangeError when it leaves its region. */
  string(source: Region, start: number, bytes: number): void {
    if (bytes > 0 && bytes <= INT32_DIGITS) {
      const value = parseInteger(source.u8, start, bytes);
      if (value >= -0x80000000 && value <= 0x7fffffff) return this.integer(value);
    }
    this.length(bytes);
    if (!this.room(bytes)) return;
    copyBytes(this.region, this.at, source, start, bytes);
    this.at += bytes;
  }

  /** A string that is the decimal text of an int32. */
  private integer(value: number): void {
    if (!this.room(5)) return;
    const { at } = this;
    const { u8, view } = this.region;
    if (value >= -0x80 && value <= 0x7f) {
      u8[at] = Coded.Int8;
      view.setInt8(at + 1, value);
      this.at = at + 2;
    } else if (value >= -0x8000 && value <= 0x7fff) {
      u8[at] = Coded.Int16;
      view.setInt16(at + 1, value, true);
      this.at = at + 3;
    } else {
      u8[at] = Coded.Int32;
      view.setInt32(at + 1, value, true);
      this.at = at + 5;
    }
  }

  /** A score. */
  double(value: number): void {
    if (!this.room(8)) return;
    this.region.view.setFloat64(this.at, value, true);
    this.at += 8;
  }

  /** ms since the epoch, in 8 bytes. */
  millis(value: number): void {
    if (!this.room(8)) return;
    this.region.view.setUint32(this.at, value >>> 0, true);
    this.region.view.setUint32(this.at + 4, Math.floor(value / 0x100000000), true);
    this.at += 8;
  }

  /** The footer. Now [0, at) of `region` is the payload, unless `full`. */
  finish(version: Version): void {
    if (!this.room(FOOTER_BYTES)) return;
    const { view } = this.region;
    view.setUint16(this.at, version, true);
    crc64(this.region, 0, this.at + 2);
    view.setInt32(this.at + 2, crcLow, true);
    view.setInt32(this.at + 6, crcHigh, true);
    this.at += FOOTER_BYTES;
  }

  /** Gives the memory of a large payload back to the system. */
  forget(): void {
    this.at = 0;
    if (this.region.bytes > FIRST_BYTES) this.region.release(FIRST_BYTES, this.region.bytes);
  }

  /** Whether `bytes` more fit, growing the region if need be. */
  private room(bytes: number): boolean {
    const needed = this.at + bytes;
    if (this.full || needed > this.limit) return this.refuse();
    if (needed <= this.region.bytes) return true;
    let size = this.region.bytes;
    while (size < needed) size *= 2;
    const larger = Region.private(size);
    if (larger === null) return this.refuse();
    copyBytes(larger, 0, this.region, 0, this.at);
    this.region.release(0, this.region.bytes);
    this.region = larger;
    return true;
  }

  private refuse(): false {
    this.full = true;
    return false;
  }
}
