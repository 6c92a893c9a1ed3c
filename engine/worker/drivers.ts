// drivers.ts: which driver this system allows, found out by trying. "" means it works, else why not.
import { readFileSync } from "node:fs";
import { BufferPool } from "../io/buffer-pool.ts";
import type { DriverOptions, Events } from "../io/driver.ts";
import { libc, newEventFd, outcome } from "../io/native.ts";
import { UringDriver } from "../io/uring.ts";
import { need, Region } from "../memory/region.ts";

const nobody: Events = {
  turn: () => false,
  sleepMs: () => 1000,
  accepted: () => null,
  received: () => {},
  endTurn: () => {},
  closed: () => {},
};

/** Sets up a ring as a worker would, with everything it needs, and lets go of it. */
export function probeUring(): string {
  try {
    if (readFileSync("/proc/sys/kernel/io_uring_disabled", "latin1").trim() === "2")
      return "kernel.io_uring_disabled is 2";
  } catch {
    // Older kernels have no such switch.
  }
  const wakeFd = newEventFd();
  const options: DriverOptions = {
    events: nobody,
    send: need(Region.private(4096), "a probe"),
    pool: new BufferPool(),
    listeners: [],
    refusal: "",
    wakeFd,
    keepaliveSeconds: 0,
  };
  try {
    new UringDriver(options, 0).dispose();
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    libc().close(wakeFd);
  }
}

export function probeEpoll(): string {
  const fd = outcome(libc().epoll_create1(0x80000));
  if (fd < 0) return `epoll_create1: errno ${-fd}`;
  libc().close(fd);
  return "";
}
