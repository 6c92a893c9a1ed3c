// native.ts: the C library's socket, epoll and io_uring calls. The second of the two places that hold raw addresses
// (the first is engine/memory/native.ts). Where a call can fail, the wrapper answers -errno, so that no caller looks at
// a variable that the next call overwrites. Linux only; elsewhere the `bun` driver needs none of this.
import { FFIType, type Pointer, read as peek } from "bun:ffi";
import { isLinux, openLibc } from "../memory/native.ts";
import { need, Region } from "../memory/region.ts";

const { ptr, i32, u32, u64: usize, i64_fast: long } = FFIType;

function open() {
  return openLibc({
    socket: { args: [i32, i32, i32], returns: i32 },
    setsockopt: { args: [i32, i32, i32, ptr, u32], returns: i32 },
    bind: { args: [i32, ptr, u32], returns: i32 },
    listen: { args: [i32, i32], returns: i32 },
    getpeername: { args: [i32, ptr, ptr], returns: i32 },
    getsockname: { args: [i32, ptr, ptr], returns: i32 },
    shutdown: { args: [i32, i32], returns: i32 },
    accept4: { args: [i32, ptr, ptr, i32], returns: i32 },
    epoll_create1: { args: [i32], returns: i32 },
    epoll_ctl: { args: [i32, i32, i32, ptr], returns: i32 },
    epoll_wait: { args: [i32, ptr, i32, i32], returns: i32 },
    eventfd: { args: [u32, i32], returns: i32 },
    read: { args: [i32, ptr, usize], returns: long },
    write: { args: [i32, ptr, usize], returns: long },
    recv: { args: [i32, ptr, usize, i32], returns: long },
    send: { args: [i32, ptr, usize, i32], returns: long },
    sendmsg: { args: [i32, ptr, i32], returns: long },
    close: { args: [i32], returns: i32 },
    fcntl: { args: [i32, i32, i32], returns: i32 },
    chmod: { args: [ptr, u32], returns: i32 },
    sched_setaffinity: { args: [i32, usize, ptr], returns: i32 },
    sched_getaffinity: { args: [i32, usize, ptr], returns: i32 },
    mmap: { args: [ptr, usize, i32, i32, i32, long], returns: ptr },
    getrlimit: { args: [i32, ptr], returns: i32 },
    setrlimit: { args: [i32, ptr], returns: i32 },
    setpriority: { args: [i32, i32, i32], returns: i32 },
    syscall: { args: [long, long, long, long, long, long, long], returns: long },
    __errno_location: { args: [], returns: ptr },
  });
}

let opened: ReturnType<typeof open> | null = null;
/** The calls, opened at first use. */
export function libc(): ReturnType<typeof open> {
  if (!isLinux) throw new Error("system calls are used on Linux only");
  opened ??= open();
  return opened;
}

let errnoAt = 0;
/** The result of a call, or -errno where the call said -1. To be asked at once after it. */
export function outcome(result: number): number {
  if (result !== -1) return result;
  // The address differs from thread to thread and stays for a thread's life; each worker loads this module itself.
  if (errnoAt === 0) errnoAt = libc().__errno_location();
  return -peek.i32(errnoAt as Pointer, 0);
}

export const enum Errno {
  Intr = 4,
  Again = 11,
  Busy = 16,
  Inval = 22,
  NoBufs = 105,
  ConnReset = 104,
  Time = 62,
  Canceled = 125,
}

let scratchRegion: Region | null = null;
/** 4 KiB for the structures that calls take by address. Valid until the next call that uses it. */
export function scratch(): Region {
  scratchRegion ??= need(Region.private(8192), "system call arguments");
  return scratchRegion;
}

/** CPUs this process may run on. */
export function allowedCpus(): number[] {
  if (!isLinux) return [];
  const mask = scratch();
  mask.u8.fill(0, 0, 128);
  const bytes = outcome(libc().sched_getaffinity(0, 128, mask.address));
  const cpus: number[] = [];
  if (bytes < 0) return cpus;
  for (let cpu = 0; cpu < 1024; cpu++) if ((mask.u8[cpu >> 3]! >> (cpu & 7)) & 1) cpus.push(cpu);
  return cpus;
}

/** Ties the calling thread to one CPU. False when the system refuses. */
export function pinThread(cpu: number): boolean {
  const mask = scratch();
  mask.u8.fill(0, 0, 128);
  mask.u8[cpu >> 3] = 1 << (cpu & 7);
  return libc().sched_setaffinity(0, 128, mask.address) === 0;
}

/** Lets every other thread run before the calling one. */
export function lowerPriority(): void {
  if (isLinux) libc().setpriority(0, 0, 19); // of this thread, to the kernel
}

/** Raises the soft limit of open files to the hard one and returns it, or what it is where that fails. */
export function raiseFileLimit(): number {
  if (!isLinux) return 1024;
  const limit = scratch();
  if (libc().getrlimit(7, limit.address) !== 0) return 1024;
  const soft = Number(limit.view.getBigUint64(0, true));
  const hard = limit.view.getBigUint64(8, true);
  limit.view.setBigUint64(0, hard, true);
  if (libc().setrlimit(7, limit.address) !== 0) return soft;
  return Number(hard);
}

/** A new eventfd, or -errno. */
export function newEventFd(): number {
  return outcome(libc().eventfd(0, 0x80800 /* NONBLOCK | CLOEXEC */));
}

let oneAddress = 0;
/** Makes whoever waits on an eventfd run a turn. */
export function ringEventFd(fd: number): void {
  if (oneAddress === 0) {
    const one = need(Region.private(4096), "a wake-up");
    one.i32[0] = 1;
    oneAddress = one.address;
  }
  libc().write(fd, oneAddress, 8);
}
