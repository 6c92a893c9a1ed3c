// inbox-thread.ts: a thread of the inbox test: it posts numbered messages to the others and to itself, takes its own, and
// sleeps when there is nothing to do. What a message says can be computed from who sent it and its number.
// Neighbours: tests/property/inbox.test.ts starts it.
import { libc, outcome, scratch } from "../../engine/io/native.ts";
import type { Region } from "../../engine/memory/region.ts";
import { Mail, type MailPlan } from "../../engine/worker/inbox.ts";

export interface ThreadPlan {
  readonly mail: MailPlan;
  readonly index: number;
  readonly threads: number;
  /** Messages to send; in a rally, rounds. */
  readonly messages: number;
  /** Two threads that answer each other and sleep after every message, instead of all talking at once. */
  readonly rally: boolean;
  readonly seed: number;
}

export interface ThreadReport {
  readonly sent: number;
  readonly taken: number;
  readonly sleeps: number;
  readonly refused: number;
  readonly lost: number;
  readonly largest: number;
  /** Median time of a round of a rally, ms. */
  readonly roundMs: number;
  readonly wrong: readonly string[];
}

const enum Kind {
  Data = 50,
  Done = 51,
}

/** A thread that sleeps so long though something is there was not woken. */
const OVERSLEPT_MS = 10_000;

function mix(a: number, b: number): number {
  let x = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ b;
  x = Math.imul(x ^ (x >>> 16), 0xc2b2ae35);
  return (x ^ (x >>> 13)) >>> 0;
}

/** The length of a message: mostly short, now and then up to 1 MiB. */
function lengthOf(stamp: number): number {
  const size = mix(stamp, 1);
  const kind = stamp % 200;
  if (kind === 0) return size % (1024 * 1024 + 1);
  return kind < 20 ? size % 20_000 : size % 200;
}

function fill(region: Region, at: number, bytes: number, stamp: number): void {
  region.u8.fill(stamp & 255, at, at + bytes);
  if (bytes < 8) return;
  region.view.setUint32(at, stamp, true);
  region.view.setUint32(at + bytes - 4, ~stamp >>> 0, true);
}

function intact(region: Region, at: number, bytes: number, stamp: number): boolean {
  const inner = bytes < 8 ? 0 : 4;
  if (bytes >= 8) {
    if (region.view.getUint32(at, true) !== stamp) return false;
    if (region.view.getUint32(at + bytes - 4, true) !== ~stamp >>> 0) return false;
  }
  for (let i = inner; i < bytes - inner; i += bytes > 1000 ? 61 : 1)
    if (region.u8[at + i] !== (stamp & 255)) return false;
  return true;
}

/** Waits for the thread's eventfd, or where it has none for its bell. Says whether it was rung in time. */
function sleeper(plan: MailPlan, index: number): (limitMs: number) => boolean | Promise<boolean> {
  const fd = plan.wakeFds[index]!;
  if (fd >= 0) {
    const c = libc();
    const epoll = outcome(c.epoll_create1(0));
    const { view, address } = scratch();
    view.setUint32(0, 1, true);
    c.epoll_ctl(epoll, 1, fd, address);
    return (limitMs) => {
      const rung = c.epoll_wait(epoll, address, 1, limitMs) === 1;
      if (rung) c.read(fd, address, 8);
      return rung;
    };
  }
  let rings = 0;
  let heard: (() => void) | null = null;
  const channel = new BroadcastChannel(plan.bells[index]!);
  channel.onmessage = () => {
    rings++;
    heard?.();
  };
  return async (limitMs) => {
    if (rings === 0) {
      let timer: Timer | undefined;
      await new Promise<void>((resolve) => {
        heard = resolve;
        timer = setTimeout(resolve, limitMs);
      });
      clearTimeout(timer);
    }
    const rung = rings > 0;
    rings = 0;
    heard = null;
    return rung;
  };
}

async function start(given: ThreadPlan): Promise<ThreadReport> {
  const { index, threads, messages, seed, rally } = given;
  const mail = Mail.attach(given.mail, index);
  mail.rouse();
  const wait = sleeper(given.mail, index);
  const wrong: string[] = [];
  const due = new Array<number>(threads).fill(0);
  const numbers = new Array<number>(threads).fill(0);
  const rounds: number[] = [];
  let sent = 0;
  let taken = 0;
  let sleeps = 0;
  let refused = 0;
  let lost = 0;
  let largest = 0;
  let done = 0;

  const post = (target: number, kind: Kind): boolean => {
    const number = numbers[target]!;
    const stamp = mix(seed ^ (index * 64 + target), number);
    const bytes = kind === Kind.Done ? 0 : lengthOf(stamp);
    const at = mail.begin(target, kind, index, number, stamp, bytes + (stamp % 3) * 100);
    if (at < 0) {
      refused++;
      return false;
    }
    fill(mail.target, at, bytes, stamp);
    mail.commit(bytes);
    numbers[target] = number + 1;
    sent++;
    return true;
  };

  const drain = (): void => {
    for (;;) {
      const { pending } = mail;
      if (!mail.take()) {
        if (pending) wrong.push(`${index}: pending, and nothing to take`);
        break;
      }
      const { kind, a: from, b: number, c, region, start: at, bytes } = mail;
      const stamp = mix(seed ^ (from * 64 + index), due[from] ?? -1);
      if (number !== due[from]) wrong.push(`${index}: ${number} of ${from} came, ${due[from]} was due`);
      else if (c >>> 0 !== stamp || bytes !== (kind === Kind.Done ? 0 : lengthOf(stamp)))
        wrong.push(`${index}: message ${number} of ${from} is another, of ${bytes} bytes`);
      else if (!intact(region, at, bytes, stamp)) wrong.push(`${index}: ${number} of ${from} is damaged`);
      due[from] = number + 1;
      largest = Math.max(largest, bytes);
      taken++;
      if (kind === Kind.Done) done++;
      if (rally && kind === Kind.Data && number < messages) post(1 - index, Kind.Data);
      if (wrong.length > 10) return;
    }
    lost += mail.takeLost();
  };

  /** For as long as it takes, or only a moment when this thread has more to send. */
  const sleep = async (awaited: boolean): Promise<void> => {
    if (!mail.drowse()) return;
    sleeps++;
    const woken = await wait(awaited ? OVERSLEPT_MS : 1);
    if (awaited && !woken) wrong.push(`${index}: nobody woke it; pending: ${mail.pending}`);
    mail.rouse();
  };

  if (rally) {
    if (index === 0) post(1, Kind.Data);
    while (due[1 - index]! < messages && wrong.length === 0) {
      const before = performance.now();
      await sleep(true);
      drain();
      rounds.push(performance.now() - before);
    }
  } else {
    let left = messages;
    let told = 0;
    while ((left > 0 || told < threads || done < threads) && wrong.length === 0) {
      const batch = 1 + (mix(seed, left + index) % 40);
      for (let i = 0; i < batch && left > 0 && post(mix(seed + index, left) % threads, Kind.Data); i++)
        left--;
      while (left === 0 && told < threads && post(told, Kind.Done)) told++;
      drain();
      const finished = told === threads;
      if (finished ? done < threads : mix(seed, left) % 8 === 0) await sleep(finished);
    }
  }
  rounds.sort((x, y) => x - y);
  const roundMs = rounds[rounds.length >> 1] ?? 0;
  return { sent, taken, sleeps, refused, lost, largest, roundMs, wrong };
}

declare const self: Worker;
if (!Bun.isMainThread)
  self.onmessage = async (event: MessageEvent<ThreadPlan>) => {
    try {
      postMessage(await start(event.data));
    } catch (error) {
      const wrong = [`the thread ended: ${(error as Error).stack}`];
      const none = { sent: 0, taken: 0, sleeps: 0, refused: 0, lost: 0, largest: 0, roundMs: 0 };
      postMessage({ ...none, wrong } satisfies ThreadReport);
    }
  };
