// native.ts: the C library's memory calls, reached through bun:ffi. One of the two places that hold raw addresses
// (the other is engine/io/native.ts). Addresses are plain numbers: user space is below 2^47, exact in a double.
// Callers: region.ts and lock.ts only.
import { dlopen, FFIType, ptr as pointerTo } from "bun:ffi";

export const isLinux = process.platform === "linux";

/** The C library's file name on this system: glibc, musl, or macOS. */
export function libcName(): string[] {
  if (process.platform === "darwin") return ["libSystem.B.dylib"];
  const arch = process.arch === "arm64" ? "aarch64" : "x86_64";
  return ["libc.so.6", `libc.musl-${arch}.so.1`, "libc.so"];
}

/** What a C function takes and gives. Addresses and sizes travel as numbers, null is the null pointer. */
export type Signature = { args: FFIType[]; returns: FFIType };
export type Native = (...args: (number | null)[]) => number;

/** Opens the first C library of `libcName()` that has every symbol of `table`. Throws what the last one said. */
export function openLibc<Name extends string>(table: Record<Name, Signature>): Record<Name, Native> {
  let last: unknown;
  for (const name of libcName()) {
    try {
      return dlopen(name, table).symbols as unknown as Record<Name, Native>;
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

const { ptr, i32, u32, u64: usize, i64_fast: long, void: nothing } = FFIType;

const libc = openLibc({
  mmap: { args: [ptr, usize, i32, i32, i32, long], returns: ptr },
  madvise: { args: [ptr, usize, i32], returns: i32 },
  ftruncate: { args: [i32, long], returns: i32 },
  memmove: { args: [ptr, ptr, usize], returns: nothing },
  memcmp: { args: [ptr, ptr, usize], returns: i32 },
  memset: { args: [ptr, i32, usize], returns: nothing },
});

const linux = isLinux
  ? openLibc({
      memfd_create: { args: [ptr, u32], returns: i32 },
      syscall: { args: [long, ptr, long, long, ptr, long, long], returns: long },
    })
  : null;

const enum Mapping {
  ReadWrite = 3,
  Shared = 1,
  Private = 2,
}
const mapAnonymous = isLinux ? 0x20 : 0x1000;
const mapNoReserve = isLinux ? 0x4000 : 0x40;
const adviseRemove = isLinux ? 9 : 5; // MADV_REMOVE; macOS: MADV_FREE
const adviseDontNeed = 4;
const futexCall = process.arch === "arm64" ? 98 : 202;

export const { memmove, memcmp, memset } = libc;

/** mmap's answer as an address, 0 for MAP_FAILED. */
function mapped(address: number | null): number {
  return address === null || address <= 0 || address >= 2 ** 47 ? 0 : address;
}

/** Address of `bytes` fresh zeroed bytes that only this process sees, 0 when the kernel refuses. */
export function mapPrivate(bytes: number): number {
  const flags = Mapping.Private | mapAnonymous | mapNoReserve;
  return mapped(libc.mmap(null, bytes, Mapping.ReadWrite, flags, -1, 0));
}

const fdName = new Uint8Array(new ArrayBuffer(64)); // an explicit buffer: its address does not move
fdName.set(new TextEncoder().encode("ironcache"));

/** Address of `bytes` fresh zeroed bytes backed by a memfd (anonymous shared pages where there is none), or 0. */
export function mapShared(bytes: number): number {
  let fd = -1;
  if (linux !== null) {
    fd = linux.memfd_create(pointerTo(fdName), 1 /* MFD_CLOEXEC */);
    if (fd >= 0 && libc.ftruncate(fd, bytes) !== 0) return 0;
  }
  const flags = Mapping.Shared | mapNoReserve | (fd < 0 ? mapAnonymous : 0);
  return mapped(libc.mmap(null, bytes, Mapping.ReadWrite, flags, fd, 0));
}

/** Gives whole pages of a shared mapping back to the system; they read as zero afterwards. */
export function releaseShared(address: number, bytes: number): void {
  libc.madvise(address, bytes, adviseRemove);
}

/** Gives whole pages of a private mapping back to the system; they read as zero afterwards. */
export function releasePrivate(address: number, bytes: number): void {
  libc.madvise(address, bytes, adviseDontNeed);
}

/** Sleeps until woken or `timeoutAddress` (a struct timespec) has passed, if the word still holds `expected`. */
export function futexWait(wordAddress: number, expected: number, timeoutAddress: number): void {
  if (linux !== null) linux.syscall(futexCall, wordAddress, 0, expected, timeoutAddress, 0, 0);
}

/** Wakes up to `count` sleepers on the word. */
export function futexWake(wordAddress: number, count: number): void {
  if (linux !== null) linux.syscall(futexCall, wordAddress, 1, count, null, 0, 0);
}
