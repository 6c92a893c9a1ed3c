// host.ts: the control plane's part of serving: makes what workers share, binds, chooses the driver, starts one worker a
// core, waits for the end. Runs on the main thread's event loop; never on the path of a command.
// Neighbours: cmd/serve.ts calls it; worker.ts is what it starts.
import { existsSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { Worker as Thread } from "node:worker_threads";
import { Settings } from "../config/settings.ts";
import type { BunAddress } from "../io/bun.ts";
import { allowedCpus, newEventFd, raiseFileLimit, ringEventFd } from "../io/native.ts";
import { listenTcp, listenUnix, probeTcp } from "../io/socket.ts";
import { seedHash } from "../memory/hash.ts";
import { isLinux } from "../memory/native.ts";
import { Clock } from "../shard/clock.ts";
import { Keyspace } from "../shard/keyspace.ts";
import { Reuse } from "../shard/reuse.ts";
import { SampleReader } from "../shard/samples.ts";
import { Ceiling, nearlyFull } from "./ceiling.ts";
import { Control, Word } from "./control.ts";
import { probeEpoll, probeUring } from "./drivers.ts";
import { Exchange } from "./exchange.ts";
import { Mail } from "./inbox.ts";
import { logLine, setLogLevel } from "./log.ts";
import type { CompressorPlan, WorkerPlan } from "./plan.ts";
import { compressible } from "./probe.ts";
import { Swaps } from "./swaps.ts";

const SEGMENT_BYTES = 2 ** 30;
const POLL_MS = 200;
/** Data from which on `compression auto` is worth a thread, of some 25 MB; and while memory is nearly full. How long after
 *  nothing in it could be compressed that is looked at again. */
const COMPRESS_FROM_BYTES = 2 ** 30;
const COMPRESS_FULL_FROM_BYTES = 64 * 2 ** 20;
const PROBE_MS = 30_000;
/** How often samples of accesses are read, and how many at a time: some 5 ms of work. */
const SAMPLES_MS = 250;
const SAMPLES_MOST = 20_000;

/** A refusal to start: its message is for the operator. */
export class StartError extends Error {}

export interface Started {
  readonly workers: number;
  readonly driver: string;
  readonly driverReason: string;
  readonly addresses: readonly string[];
  /** Begins an orderly stop. */
  stop(): void;
  /** Resolves when all workers have ended: true when they did so by themselves. */
  readonly ended: Promise<boolean>;
}

/** Where the code of a thread begins. In the executable a relative path would be looked up in the working directory; see
 *  scripts/build.ts. */
function entryOf(name: string): string | URL {
  const built = import.meta.url.startsWith("file:///$bunfs/");
  return built ? `/$bunfs/root/engine/worker/${name}.js` : new URL(`./${name}.ts`, import.meta.url);
}

function chooseDriver(wanted: string): { driver: WorkerPlan["driver"]; reason: string } {
  if (wanted === "bun") return { driver: "bun", reason: "asked for" };
  if (!isLinux) {
    if (wanted !== "auto") throw new StartError(`--io ${wanted} needs Linux`);
    return { driver: "bun", reason: `${process.platform} has neither io_uring nor epoll` };
  }
  const uring = wanted === "epoll" ? "not asked" : probeUring();
  if (uring === "" && wanted !== "epoll")
    return { driver: "uring", reason: wanted === "auto" ? "the kernel offers io_uring" : "asked for" };
  if (wanted === "uring") throw new StartError(`--io uring: ${uring}`);
  const epoll = probeEpoll();
  if (epoll === "")
    return {
      driver: "epoll",
      reason: wanted === "epoll" ? "asked for" : `io_uring is not to be had: ${uring}`,
    };
  if (wanted === "epoll") throw new StartError(`--io epoll: ${epoll}`);
  return { driver: "bun", reason: `io_uring: ${uring}; epoll: ${epoll}` };
}

/** Removes a Unix socket's file if nobody listens on it; throws StartError if somebody does. */
async function clearUnixSocket(path: string): Promise<void> {
  if (!existsSync(path)) return;
  const alive = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
  if (alive) throw new StartError(`unix socket ${path}: another server listens there`);
  unlinkSync(path);
}

const errnoNames: Record<number, string> = {
  1: "not permitted",
  2: "no such folder",
  13: "permission denied",
  22: "not an IP address",
  36: "the path is too long",
  97: "address family not supported",
  98: "address already in use",
  99: "address not available",
};

function refuse(what: string, errno: number): never {
  throw new StartError(`cannot listen on ${what}: ${errnoNames[-errno] ?? `errno ${-errno}`}`);
}

export async function start(settings: Settings, configFile: string, version: string): Promise<Started> {
  setLogLevel(settings.get("loglevel") ?? "notice");
  const cpus = allowedCpus();
  const asked = settings.get("workers") ?? "auto";
  const workers =
    asked === "auto" ? Math.max(1, cpus.length || navigator.hardwareConcurrency) : Number(asked);
  const { driver, reason } = chooseDriver(settings.get("io-driver") ?? "auto");
  const maxClients = settings.number("maxclients");
  const files = raiseFileLimit();
  if (files < maxClients + 32 * workers + 64)
    logLine("warning", -1, "the limit of open files is below maxclients", { files, maxclients: maxClients });

  const binds = (settings.get("bind") ?? "127.0.0.1").split(/\s+/).filter((each) => each !== "");
  const port = settings.number("port");
  const backlog = settings.number("tcp-backlog");
  const unixPath = settings.get("unixsocket") ?? "";
  const shown: string[] = [];
  const perWorker: number[][] = Array.from({ length: workers }, () => []);
  let tcpListeners = 0;
  const addresses: BunAddress[] = [];
  if (port !== 0)
    for (const entry of binds) {
      const optional = entry.startsWith("-");
      const host = optional ? entry.slice(1) : entry;
      const free = isLinux ? probeTcp(host, port) : 0;
      if (free < 0) {
        if (optional && free !== -98) continue;
        refuse(`${host}:${port}`, free);
      }
      if (driver === "bun") addresses.push({ hostname: host === "*" ? "0.0.0.0" : host, port });
      else {
        const first = listenTcp(host, port, backlog);
        if (first < 0) {
          if (optional) continue;
          refuse(`${host}:${port}`, first);
        }
        perWorker[0]!.push(first);
        for (let worker = 1; worker < workers; worker++)
          perWorker[worker]!.push(listenTcp(host, port, backlog));
        tcpListeners++;
      }
      shown.push(`${host}:${port}`);
    }
  if (unixPath !== "") {
    await clearUnixSocket(unixPath);
    if (driver === "bun") addresses.push({ unix: unixPath });
    else {
      const fd = listenUnix(unixPath, Number.parseInt(settings.get("unixsocketperm") ?? "0", 8), backlog);
      if (fd < 0) refuse(`unix socket ${unixPath}`, fd);
      for (const listeners of perWorker) listeners.push(fd);
    }
    shown.push(unixPath);
  }
  if (shown.length === 0) throw new StartError("nothing to listen on: port is 0 and no unixsocket is set");

  const seed = crypto.getRandomValues(new Int32Array(2));
  seedHash(seed[0]!, seed[1]!);
  const keyspace = Keyspace.create(workers, SEGMENT_BYTES, new Clock());
  // Room for maxclients to be raised while serving, within 2 GiB of (untouched) entries for all workers.
  const entries = Math.min(Math.max(maxClients, 10_000), files, 2 ** 21 / workers - 1024);
  const control = Control.create(workers, Math.floor(entries));
  const ceiling = new Ceiling(settings, workers);
  const samples = SampleReader.create(workers);
  const reuse = new Reuse(samples);
  reuse.on = settings.flag("memory-curve");
  control.changeSettings(() => JSON.stringify(settings.state()));
  const wakeFds: number[] = [];
  for (let worker = 0; worker < workers; worker++) {
    const fd = driver === "bun" ? -1 : newEventFd();
    wakeFds.push(fd);
    control.setWord(Word.WakeFds + worker, fd);
  }
  const mail = Mail.create(workers, wakeFds);
  const exchange = Exchange.create(workers, SEGMENT_BYTES);
  const runId = Buffer.from(crypto.getRandomValues(new Uint8Array(20))).toString("hex");
  const swaps = Swaps.create(workers).plan;
  let failed: unknown = null;
  const threads = perWorker.map((listeners, index) => {
    const plan: WorkerPlan = {
      index,
      workers,
      keyspace: keyspace.plan,
      control: control.plan,
      mail,
      exchange,
      swaps,
      samples: samples.plan,
      hashSeed: [seed[0]!, seed[1]!],
      driver,
      driverReason: reason,
      listeners,
      tcpListeners,
      // A Unix socket has one listener: the first worker's.
      addresses: addresses.filter((address) => address.unix === undefined || index === 0),
      wakeFd: wakeFds[index]!,
      cpu: workers > 1 && cpus.length >= workers ? cpus[index]! : -1,
      runId,
      startedMs: Date.now(),
      configFile,
      version,
    };
    const thread = new Thread(entryOf("main"), { workerData: plan });
    thread.on("error", (error) => {
      failed ??= error;
    });
    return thread;
  });

  const wake = () => {
    control.add(Word.Orders, 1);
    for (const fd of wakeFds) if (fd >= 0) ringEventFd(fd);
  };
  const until = async (condition: () => boolean) => {
    while (!condition()) await Bun.sleep(1);
  };
  await until(() => failed !== null || control.word(Word.Started) === workers);
  if (failed !== null) throw new StartError(`a worker did not start: ${String(failed)}`);

  const compressors: Thread[] = [];
  let nextProbeMs = 0;
  const compress = () => {
    const settings = Settings.from(JSON.parse(control.readSettings()));
    const mode = settings.get("compression");
    const { usedBytes } = keyspace;
    const from = nearlyFull(usedBytes, settings.number("maxmemory"))
      ? COMPRESS_FULL_FROM_BYTES
      : COMPRESS_FROM_BYTES;
    if (mode === "off" || (mode === "auto" && usedBytes < from)) return;
    if (mode === "always" && workers === 1) return; // the worker itself does
    if (mode === "auto") {
      if (Date.now() < nextProbeMs) return;
      nextProbeMs = Date.now() + PROBE_MS;
      if (!compressible(keyspace, settings.number("compression-floor"), Math.random)) return;
    }
    const plan: CompressorPlan = {
      keyspace: keyspace.plan,
      control: control.plan,
      swaps,
      hashSeed: [seed[0]!, seed[1]!],
    };
    const thread = new Thread(entryOf("compressor"), { workerData: plan });
    compressors.push(thread);
    thread.on("error", (error) => logLine("warning", -1, "compression has ended", { error: String(error) }));
  };
  const everySecond = setInterval(() => {
    if (compressors.length === 0) compress();
    if (ceiling.second(control)) wake();
  }, 1000);
  let settingsVersion = control.word(Word.SettingsVersion);
  const sampling = setInterval(() => {
    if (control.word(Word.SettingsVersion) !== settingsVersion) {
      settingsVersion = control.word(Word.SettingsVersion);
      reuse.on = Settings.from(JSON.parse(control.readSettings())).flag("memory-curve");
    }
    reuse.tick(SAMPLES_MOST, keyspace.liveBytes, Date.now());
  }, SAMPLES_MS);

  const ended = (async () => {
    // Workers never return to an event loop of their own, so the end is a word to look at, not a message.
    while (control.word(Word.Ended) < workers && failed === null) await Bun.sleep(POLL_MS);
    clearInterval(everySecond);
    clearInterval(sampling);
    if (failed !== null) logLine("warning", -1, "a worker died", { error: String(failed) });
    if (unixPath !== "" && existsSync(unixPath)) unlinkSync(unixPath);
    for (const thread of [...threads, ...compressors]) thread.unref();
    return failed === null;
  })();
  return {
    workers,
    driver,
    driverReason: reason,
    addresses: shown,
    stop() {
      control.setWord(Word.Stop, 1);
      wake();
    },
    ended,
  };
}
