// format.ts: the numbers of Redis's RDB format that reader and writer share, and the footer of a DUMP payload.
//
//   DUMP payload:  [u8 type][value][u16 version][u64 CRC-64 of everything before it]      all little endian
//   length:  00xxxxxx 6 bits | 01xxxxxx + 1 byte, 14 bits | 0x80 + u32 | 0x81 + u64       big endian
//   string:  a length and so many bytes
//            | 0xC0 + i8 | 0xC1 + i16 | 0xC2 + i32, little endian: the decimal text of it
//            | 0xC3, two lengths (compressed, plain), LZF
// Cold: DUMP and RESTORE. Neighbours: reader.ts, writer.ts, crc64.ts.
import type { Region } from "../memory/region.ts";
import { crc64, crcHigh, crcLow } from "./crc64.ts";

/** The type byte. What is missing here (modules, streams) is refused. */
export const enum RdbType {
  String = 0,
  List = 1,
  Set = 2,
  /** Scores as text. */
  SortedSetText = 3,
  Hash = 4,
  /** Scores as float64. */
  SortedSet = 5,
  HashZipmap = 9,
  ListZiplist = 10,
  SetIntset = 11,
  SortedSetZiplist = 12,
  HashZiplist = 13,
  /** Nodes that are ziplists. */
  Quicklist = 14,
  HashListpack = 16,
  SortedSetListpack = 17,
  /** Nodes, each with its container: 1 one plain element, 2 a listpack. */
  Quicklist2 = 18,
  SetListpack = 20,
  /** Deadline (absolute, as a length, 0 for none), field, value. Of release candidates. */
  HashDeadlinesEarly = 22,
  /** Listpack of field, value, deadline. Of release candidates. */
  HashListpackDeadlinesEarly = 23,
  /** The earliest deadline m in 8 bytes, then t, field, value: m + t - 1, or none when t is 0. */
  HashDeadlines = 24,
  /** The earliest deadline in 8 bytes, then a listpack of field, value, deadline. */
  HashListpackDeadlines = 25,
}

export const enum Version {
  /** What Redis 5 and everything after it reads. */
  Plain = 9,
  /** Redis 7.4: hashes whose fields have deadlines. */
  FieldDeadlines = 12,
  Newest = 12,
}

/** First byte of a string that is not a length and bytes. */
export const enum Coded {
  Int8 = 0xc0,
  Int16 = 0xc1,
  Int32 = 0xc2,
  Lzf = 0xc3,
}

export const FOOTER_BYTES = 10;

/** Largest deadline a field may have, as in Redis: 2^48 - 1 ms. */
export const MAX_FIELD_DEADLINE = 0xffffffffffff;

/** How many of `bytes` bytes at `start` come before the footer; -1 when the version or the checksum is not right. */
export function checkFooter(region: Region, start: number, bytes: number): number {
  if (bytes < FOOTER_BYTES || start < 0 || start + bytes > region.bytes) return -1;
  const { view } = region;
  const footer = start + bytes - FOOTER_BYTES;
  if (view.getUint16(footer, true) > Version.Newest) return -1;
  crc64(region, start, bytes - 8);
  if (view.getInt32(footer + 2, true) !== crcLow || view.getInt32(footer + 6, true) !== crcHigh) return -1;
  return bytes - FOOTER_BYTES;
}
