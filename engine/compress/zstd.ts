// zstd.ts: the system's libzstd, through bun:ffi, where there is one: values as frames without magic number, content
// size of more than a byte or two, checksum and dictionary number, with raw content as dictionary.
//
// Addresses are of mapped memory only: the caller has checked that the ranges lie in their regions. libzstd itself takes
// bytes from anywhere: what is no frame is an error, and it writes no further than it is told.
// On the data path: decompress, which allocates nothing. The third place that holds raw addresses, besides engine/memory
// and engine/io. Neighbours: codec.ts is the only caller.
import { dlopen, FFIType } from "bun:ffi";

const { ptr, i32, u64, i64_fast: long } = FFIType;

const names =
  process.platform === "darwin"
    ? ["libzstd.1.dylib", "/opt/homebrew/lib/libzstd.1.dylib", "/usr/local/lib/libzstd.1.dylib"]
    : ["libzstd.so.1"];

const table = {
  ZSTD_versionNumber: { args: [], returns: FFIType.u32 },
  ZSTD_createCCtx: { args: [], returns: ptr },
  ZSTD_createDCtx: { args: [], returns: ptr },
  ZSTD_createCDict: { args: [ptr, u64, i32], returns: ptr },
  ZSTD_freeCDict: { args: [ptr], returns: u64 },
  ZSTD_createDDict_byReference: { args: [ptr, u64], returns: ptr },
  ZSTD_freeDDict: { args: [ptr], returns: u64 },
  ZSTD_CCtx_setParameter: { args: [ptr, i32, i32], returns: long },
  ZSTD_DCtx_setParameter: { args: [ptr, i32, i32], returns: long },
  ZSTD_CCtx_reset: { args: [ptr, i32], returns: long },
  ZSTD_CCtx_refCDict: { args: [ptr, ptr], returns: long },
  ZSTD_compress2: { args: [ptr, ptr, u64, ptr, u64], returns: long },
  ZSTD_decompress_usingDDict: { args: [ptr, ptr, u64, ptr, u64, ptr], returns: long },
} as const;

type Call = (...args: (number | null)[]) => number;
type Library = Record<keyof typeof table, Call>;

const enum Parameter {
  CompressionLevel = 100,
  ContentSize = 200,
  Checksum = 201,
  DictionaryId = 202,
  /** ZSTD_c_format and ZSTD_d_format; 1 is a frame without its magic number. */
  CompressFormat = 10,
  DecompressFormat = 1000,
}

/** From 1.5.0 on the parameters above are what they are here. */
const LEAST_VERSION = 10500;

function open(): { library: Library | null; reason: string } {
  let reason = "";
  for (const name of names) {
    try {
      const library = dlopen(name, table).symbols as unknown as Library;
      const version = library.ZSTD_versionNumber();
      if (version >= LEAST_VERSION) {
        const shown = `${Math.floor(version / 10000)}.${Math.floor(version / 100) % 100}.${version % 100}`;
        return { library, reason: `${name} ${shown}` };
      }
      reason = `${name} is too old`;
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    }
  }
  return { library: null, reason };
}

const { library, reason } = open();

/** Whether there is a library, and its name and version or why there is none. */
export const zstdAvailable = library !== null;
export const zstdReason = reason;

let compressor = 0;
let decompressor = 0;

/** A dictionary to compress with, made of `bytes` bytes at an address; 0 where memory is out. */
export function makeCompressDictionary(address: number, bytes: number, level: number): number {
  return library!.ZSTD_createCDict(address, bytes, level);
}

export function freeCompressDictionary(dictionary: number): void {
  library!.ZSTD_freeCDict(dictionary);
}

/** A dictionary to decompress with, over bytes that stay where they are; 0 where memory is out. */
export function makeDecompressDictionary(address: number, bytes: number): number {
  return library!.ZSTD_createDDict_byReference(address, bytes);
}

export function freeDecompressDictionary(dictionary: number): void {
  library!.ZSTD_freeDDict(dictionary);
}

/** Bytes of the frame; 0 when it does not fit. `dictionary` 0 for none: then `level` counts. */
export function zstdCompress(
  source: number,
  bytes: number,
  target: number,
  room: number,
  dictionary: number,
  level: number,
): number {
  const zstd = library!;
  if (compressor === 0) {
    compressor = zstd.ZSTD_createCCtx();
    if (compressor === 0) return 0;
    zstd.ZSTD_CCtx_setParameter(compressor, Parameter.ContentSize, 1);
    zstd.ZSTD_CCtx_setParameter(compressor, Parameter.Checksum, 0);
    zstd.ZSTD_CCtx_setParameter(compressor, Parameter.DictionaryId, 0);
    zstd.ZSTD_CCtx_setParameter(compressor, Parameter.CompressFormat, 1);
  }
  // What did not fit has left it in the middle of a frame, where it would keep its dictionary.
  zstd.ZSTD_CCtx_reset(compressor, 1);
  zstd.ZSTD_CCtx_setParameter(compressor, Parameter.CompressionLevel, level);
  zstd.ZSTD_CCtx_refCDict(compressor, dictionary === 0 ? null : dictionary);
  const written = zstd.ZSTD_compress2(compressor, target, room, source, bytes);
  return written > 0 && written <= room ? written : 0; // an error is a negative number
}

/** Whether a frame gives exactly `rawBytes` bytes. */
export function zstdDecompress(
  source: number,
  bytes: number,
  target: number,
  rawBytes: number,
  dictionary: number,
): boolean {
  const zstd = library!;
  if (decompressor === 0) {
    decompressor = zstd.ZSTD_createDCtx();
    if (decompressor === 0) return false;
    zstd.ZSTD_DCtx_setParameter(decompressor, Parameter.DecompressFormat, 1);
  }
  const written = zstd.ZSTD_decompress_usingDDict(
    decompressor,
    target,
    rawBytes,
    source,
    bytes,
    dictionary === 0 ? null : dictionary,
  );
  return written === rawBytes;
}
