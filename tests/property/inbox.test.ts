// inbox.test.ts: threads that post numbered messages to each other (tests/support/inbox-thread.ts): the order of each
// producer holds, nothing is lost, doubled or damaged, a sleeper is woken; and what an inbox refuses and gives back.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { libc, newEventFd, scratch } from "../../engine/io/native.ts";
import { Mail, Message } from "../../engine/worker/inbox.ts";
import type { ThreadPlan, ThreadReport } from "../support/inbox-thread.ts";
import { random } from "../support/random.ts";

setDefaultTimeout(60_000);
const next = random("inbox");
const below = (bound: number): number => Math.floor(next() * bound);
const workers: Worker[] = [];
const fds: number[] = [];
afterEach(() => {
  for (const worker of workers.splice(0)) worker.terminate();
  for (const fd of fds.splice(0)) libc().close(fd);
});

interface Shape {
  readonly threads: number;
  readonly messages: number;
  readonly bells: boolean;
  readonly rally?: boolean;
  readonly capBytes?: number;
}

async function run({ threads, messages, bells, rally = false, capBytes }: Shape): Promise<ThreadReport[]> {
  const wakeFds = Array.from({ length: threads }, () => (bells ? -1 : newEventFd()));
  fds.push(...wakeFds.filter((fd) => fd >= 0));
  const mail = Mail.create(threads, wakeFds, capBytes);
  const seed = below(2 ** 31);
  return Promise.all(
    Array.from({ length: threads }, (_, index) => {
      const worker = new Worker(new URL("../support/inbox-thread.ts", import.meta.url).href);
      workers.push(worker);
      worker.postMessage({ mail, index, threads, messages, rally, seed } satisfies ThreadPlan);
      return new Promise<ThreadReport>((resolve, reject) => {
        worker.onmessage = (event: MessageEvent<ThreadReport>) => resolve(event.data);
        worker.onerror = (event) => reject(new Error(event.message));
      });
    }),
  );
}

const total = (reports: readonly ThreadReport[], what: "sent" | "taken" | "sleeps" | "refused" | "lost") =>
  reports.reduce((sum, report) => sum + report[what], 0);

describe.each([
  { bells: false, how: "eventfds" },
  { bells: true, how: "bells" },
])("inbox: woken by $how", ({ bells }) => {
  test("everything arrives once, in the order of its producer, undamaged", async () => {
    const reports = await run({ threads: 4, messages: bells ? 10_000 : 30_000, bells });
    expect(reports.flatMap(({ wrong }) => wrong)).toEqual([]);
    expect(total(reports, "taken")).toBe(total(reports, "sent"));
    expect(total(reports, "sent")).toBe(4 * (bells ? 10_000 : 30_000) + 16);
    expect(total(reports, "sleeps")).toBeGreaterThan(0);
    expect(Math.max(...reports.map(({ largest }) => largest))).toBeGreaterThan(500_000);
  });

  test("what a full inbox refuses is counted, and what it takes arrives", async () => {
    const reports = await run({ threads: 4, messages: 4000, bells, capBytes: 100_000 });
    expect(reports.flatMap(({ wrong }) => wrong)).toEqual([]);
    expect(total(reports, "taken")).toBe(total(reports, "sent"));
    expect(total(reports, "refused")).toBeGreaterThan(0);
    // The last to be refused may have been told of after their thread had ended.
    expect(total(reports, "lost")).toBeLessThanOrEqual(total(reports, "refused"));
    expect(total(reports, "lost")).toBeGreaterThan(0);
  });

  test("two that sleep after every message are woken every time", async () => {
    const reports = await run({ threads: 2, messages: bells ? 3000 : 30_000, bells, rally: true });
    expect(reports.flatMap(({ wrong }) => wrong)).toEqual([]);
    expect(total(reports, "sleeps")).toBeGreaterThan(1000);
    console.log(
      `inbox: a round by ${bells ? "bells" : "eventfds"} takes ${reports[0]!.roundMs.toFixed(3)} ms`,
    );
    expect(reports[0]!.roundMs).toBeLessThan(20);
  });
});

describe("inbox: alone", () => {
  /** Two workers, of which the first is awake. */
  function two(capBytes?: number): { first: Mail; second: Mail; fd: number } {
    const wakeFds = [newEventFd(), newEventFd()];
    fds.push(...wakeFds);
    const plan = Mail.create(2, wakeFds, capBytes);
    const first = Mail.attach(plan, 0);
    first.rouse();
    return { first, second: Mail.attach(plan, 1), fd: wakeFds[0]! };
  }

  function post(mail: Mail, worker: number, bytes: number, mark = 0): boolean {
    const at = mail.begin(worker, Message.Published, mark, 0, 0, bytes);
    if (at < 0) return false;
    mail.target.u8.fill(mark & 255, at, at + bytes);
    mail.commit(bytes);
    return true;
  }

  const rung = (fd: number): boolean => libc().read(fd, scratch().address, 8) === 8;

  test("rings once for a sleeper, never for who is awake", () => {
    const { first, second, fd } = two();
    expect(post(second, 0, 10)).toBe(true);
    expect(rung(fd)).toBe(false);
    expect(first.pending).toBe(true);
    expect(first.drowse()).toBe(false);
    expect(post(second, 0, 10)).toBe(true);
    expect(rung(fd)).toBe(false);
    expect([first.take(), first.take(), first.take()]).toEqual([true, true, false]);
    expect(first.pending).toBe(false);
    expect(first.drowse()).toBe(true);
    expect(post(second, 0, 10)).toBe(true);
    expect(rung(fd)).toBe(true);
    expect(post(first, 0, 10)).toBe(true);
    expect(rung(fd)).toBe(false);
    first.rouse();
    expect([first.take(), first.take(), first.take()]).toEqual([true, true, false]);
    expect(first.drowse()).toBe(true);
    first.rouse();
    expect(post(second, 0, 10)).toBe(true);
    expect(rung(fd)).toBe(false);
  });

  test("its fields and bytes stand until the next take, whatever is posted meanwhile", () => {
    const { first, second } = two();
    const at = second.begin(0, Message.Invalidated, -1, 2 ** 31 - 1, -(2 ** 31), 100);
    second.target.u8.fill(7, at, at + 100);
    second.commit(33);
    expect(first.take()).toBe(true);
    for (let i = 0; i < 100; i++) expect(post(i % 2 === 0 ? first : second, 0, 50, 9)).toBe(true);
    const { kind, a, b, c, region, start, bytes } = first;
    expect([kind, a, b, c, bytes]).toEqual([Message.Invalidated, -1, 2 ** 31 - 1, -(2 ** 31), 33]);
    expect([...region.u8.subarray(start, start + bytes)]).toEqual(new Array(33).fill(7));
    let taken = 0;
    while (first.take()) {
      expect(first.a).toBe(9);
      taken++;
    }
    expect(taken).toBe(100);
  });

  test("takes what the cap allows, one message of any size when it is empty, and counts the rest", () => {
    const { first, second, fd } = two(1000);
    let room = 0;
    while (post(second, 0, 76)) room++;
    expect(room).toBe(9); // 24 + 76 bytes, padded to 104
    expect([post(second, 0, 500), post(second, 0, 2000)]).toEqual([false, false]);
    expect(first.takeLost()).toBe(3);
    expect(first.takeLost()).toBe(0);
    for (let i = 0; i < 9; i++) expect(first.take()).toBe(true);
    expect(first.take()).toBe(false);
    for (const bytes of [2 ** 30, 2 ** 30 - 8, -1, Number.NaN]) {
      expect(first.drowse()).toBe(true);
      expect(second.begin(0, Message.Published, 0, 0, 0, bytes)).toBe(-1);
      expect(rung(fd)).toBe(true); // it has missed something
      expect(first.drowse()).toBe(false);
      expect(first.takeLost()).toBe(1);
    }
    expect(post(second, 0, 5_000_000, 3)).toBe(true);
    expect(post(second, 0, 1)).toBe(false);
    expect(first.take()).toBe(true);
    expect(first.bytes).toBe(5_000_000);
    expect(first.takeLost()).toBe(1);
  });

  test("more bytes than there was room for are an error, and the inbox goes on", () => {
    const { first, second } = two();
    for (const bytes of [11, -1, Number.NaN]) {
      expect(second.begin(0, Message.Published, 0, 0, 0, 10)).toBeGreaterThan(0);
      expect(() => second.commit(bytes)).toThrow(RangeError);
      expect(first.take()).toBe(false);
    }
    expect(post(first, 0, 10, 4)).toBe(true);
    expect([first.take(), first.a, first.take()]).toEqual([true, 4, false]);
  });

  test("memory of a flood goes back to the system", () => {
    const shared = () => Number(readFileSync("/proc/self/statm", "latin1").split(" ")[2]) * 4096;
    const { first, second } = two();
    const before = shared();
    for (let i = 0; i < 200; i++) expect(post(second, 0, 1_000_000, i)).toBe(true);
    expect(shared() - before).toBeGreaterThan(190_000_000);
    for (let i = 0; i < 200; i++) {
      expect([first.take(), first.a, first.bytes]).toEqual([true, i, 1_000_000]);
      expect(first.region.u8[first.start + 999_999]).toBe(i & 255);
    }
    expect(first.take()).toBe(false);
    expect(shared() - before).toBeLessThan(4_000_000);
  });
});
