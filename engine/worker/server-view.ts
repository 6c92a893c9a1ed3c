// server-view.ts: answers what handlers ask about the process, from the control region and the worker's own state.
// Cold. Neighbours: engine/commands/server.ts is the interface, worker.ts owns one.
import { readdirSync, readFileSync } from "node:fs";
import type { Row } from "../commands/call.ts";
import { allCommands } from "../commands/index.ts";
import type { ClientView, Server, Totals } from "../commands/server.ts";
import { Mode, type Session } from "../commands/session.ts";
import { Settings } from "../config/settings.ts";
import { type Curve, Findings } from "../shard/reuse.ts";
import { Entry as ClientEntry, ClientFlag, Figure, Gate, Word } from "./control.ts";
import { resident } from "./resident.ts";
import type { Worker } from "./worker.ts";

export class ServerView implements Server {
  readonly rows = allCommands;
  private readonly byName = new Map<string, Row>();

  private readonly findings: Findings;

  constructor(private readonly owner: Worker) {
    this.findings = new Findings(owner.plan.samples);
    for (const row of allCommands) {
      this.byName.set(row.name, row);
      for (const child of row.subcommands ?? []) this.byName.set(child.name, child);
    }
  }

  row(name: string): Row | undefined {
    return this.byName.get(name);
  }

  get version(): string {
    return this.owner.plan.version;
  }

  get runId(): string {
    return this.owner.plan.runId;
  }

  get startedMs(): number {
    return this.owner.plan.startedMs;
  }

  get port(): number {
    return this.owner.settings.number("port");
  }

  get workers(): number {
    return this.owner.plan.workers;
  }

  get driver(): string {
    return this.owner.plan.driver;
  }

  get driverReason(): string {
    return this.owner.plan.driverReason;
  }

  get executable(): string {
    return process.execPath;
  }

  get configFile(): string {
    return this.owner.plan.configFile;
  }

  get worker(): number {
    return this.owner.plan.index;
  }

  setting(name: string): string | undefined {
    return this.owner.settings.shown(name);
  }

  isDerived(name: string): boolean {
    return this.owner.settings.isDerived(name);
  }

  settingNames(): readonly string[] {
    return this.owner.settings.names();
  }

  setSettings(pairs: readonly (readonly [string, string])[]): string | null {
    let refused: string | null = null;
    this.owner.control.changeSettings((text) => {
      const settings = Settings.from(JSON.parse(text));
      refused = settings.set(pairs);
      return refused === null ? JSON.stringify(settings.state()) : null;
    });
    if (refused === null) this.owner.order();
    return refused;
  }

  resetStatistics(): void {
    this.owner.control.add(Word.StatisticsEpoch, 1);
    for (const shard of this.owner.keyspace.shards) {
      shard.lock();
      shard.clearCounts();
      shard.unlock();
    }
    this.owner.order();
  }

  defragment(): void {
    this.owner.defragmenter.ask(this.owner.clock.nowMs);
  }

  totals(): Totals {
    const { control } = this.owner;
    this.owner.publishFigures();
    return {
      connections: control.word(Word.Clients),
      connectionsReceived: control.sumCounter(Figure.ConnectionsReceived),
      connectionsRejected: control.sumCounter(Figure.ConnectionsRejected),
      commands: control.sumCounter(Figure.Commands),
      networkIn: control.sumCounter(Figure.NetworkIn),
      networkOut: control.sumCounter(Figure.NetworkOut),
      hits: control.sumCounter(Figure.Hits),
      misses: control.sumCounter(Figure.Misses),
      errors: control.sumCounter(Figure.Errors),
      inputDisconnections: control.sum(Figure.InputDisconnections),
      outputDisconnections: control.sum(Figure.OutputDisconnections),
      turns: control.sum(Figure.Turns),
      readRetries: control.sum(Figure.ReadRetries),
      lockWaits: control.sum(Figure.LockWaits),
      clientBytes: control.sum(Figure.BufferBytes),
      heapBytes: control.sum(Figure.HeapBytes),
      collectorSeconds: collectorSeconds(),
      blocked: control.word(Word.Blocked),
      ...this.specialClients(),
      trackedNames: control.word(Word.TrackedNames),
      defragHits: control.sumCounter(Figure.DefragHits),
      defragMisses: control.sumCounter(Figure.DefragMisses),
      defragKeyHits: control.sumCounter(Figure.DefragKeyHits),
      defragKeyMisses: control.sumCounter(Figure.DefragKeyMisses),
      defragPercent: control.sum(Figure.DefragPercent),
      defragMs: control.sumCounter(Figure.DefragMs),
      defragCurrentMs: control.sum(Figure.DefragCurrentMs),
      defragLongestMs: control.most(Figure.DefragLongestMs),
    };
  }

  usedBytes(): number {
    return this.owner.ledger.look();
  }

  memoryCurve(): Curve {
    const { keyspace, ledger } = this.owner;
    return this.findings.read(keyspace.liveBytes, ledger.near);
  }

  residentBytes(): number {
    return resident().bytes;
  }

  peakBytes(): number {
    const used = this.usedBytes();
    return Math.max(used, this.owner.control.word(Word.PeakPages) * 4096);
  }

  commandCalls(): ReadonlyMap<string, { calls: number; failed: number; rejected: number }> {
    this.owner.publishFigures();
    const counts = new Map<string, { calls: number; failed: number; rejected: number }>();
    for (const entry of this.owner.entries) {
      const at = Figure.Calls + entry.index * 3;
      const calls = this.owner.control.sumCounter(at);
      const failed = this.owner.control.sumCounter(at + 1);
      const rejected = this.owner.control.sumCounter(at + 2);
      if (calls + rejected > 0) counts.set(entry.row.name, { calls, failed, rejected });
    }
    return counts;
  }

  errorCounts(): ReadonlyMap<string, number> {
    this.owner.publishFigures();
    return this.owner.control.readErrors();
  }

  clients(): ClientView[] {
    const { control, plan } = this.owner;
    for (const client of this.owner.clients) this.owner.publishNumbers(client);
    const views: ClientView[] = [];
    for (let worker = 0; worker < plan.workers; worker++)
      for (let index = 0; index < this.entriesUsed(worker); index++) {
        const entry = control.entryOf(worker, index);
        if (this.isLive(entry)) views.push(this.viewOf(worker, entry));
      }
    return views.sort((a, b) => a.id - b.id);
  }

  /** How many clients do what few do. */
  private specialClients() {
    let trackingClients = 0;
    let subscribedClients = 0;
    let watchingClients = 0;
    let watchedKeys = 0;
    for (const client of this.clients()) {
      if (client.tracking) trackingClients++;
      if (client.channels + client.patterns + client.shardChannels > 0) subscribedClients++;
      if (client.watched > 0) watchingClients++;
      watchedKeys += client.watched;
    }
    return { trackingClients, subscribedClients, watchingClients, watchedKeys };
  }

  /** Entries of a worker that are or were in use; those beyond were never touched. */
  private entriesUsed(worker: number): number {
    const { control } = this.owner;
    return control.region.f64[control.pageOf(worker) + Figure.Entries]!;
  }

  /** Whether a connection has this entry and is not to be closed: who was killed is gone for every observer, though its
   *  worker may get to it only in its next turn. */
  private isLive(entry: number): boolean {
    const { i32, f64 } = this.owner.control.region;
    const word = entry >> 2;
    const id = f64[(entry >> 3) + ClientEntry.IdF64];
    return i32[word + ClientEntry.StateI32] === 1 && i32[word + ClientEntry.KillI32] !== id;
  }

  view(session: Session): ClientView {
    const client = this.owner.clientOf(session)!;
    this.owner.publishNumbers(client);
    return this.viewOf(this.owner.plan.index, client.entry);
  }

  private viewOf(worker: number, entry: number): ClientView {
    const { control } = this.owner;
    const { i32, f64 } = control.region;
    const word = entry >> 2;
    const number = entry >> 3;
    const flags = i32[word + ClientEntry.FlagsI32]!;
    const mode = flags >> ClientFlag.ModeShift;
    const last = i32[word + ClientEntry.LastRowI32]!;
    return {
      id: f64[number + ClientEntry.IdF64]!,
      address: control.readText(entry + ClientEntry.AddressText),
      localAddress: control.readText(entry + ClientEntry.LocalText),
      fd: i32[word + ClientEntry.FdI32]!,
      name: control.readText(entry + ClientEntry.NameText),
      createdMs: f64[number + ClientEntry.CreatedF64]!,
      lastMs: f64[number + ClientEntry.LastF64]!,
      db: i32[word + ClientEntry.DbI32]!,
      resp: (flags & ClientFlag.Resp3) !== 0 ? 3 : 2,
      lastCommand: last < 0 ? "NULL" : this.owner.entries[last]!.row.name,
      libraryName: control.readText(entry + ClientEntry.LibraryText),
      libraryVersion: control.readText(entry + ClientEntry.VersionText),
      noEvict: (flags & ClientFlag.NoEvict) !== 0,
      noTouch: (flags & ClientFlag.NoTouch) !== 0,
      monitor: (mode & Mode.Monitor) !== 0,
      blocked: i32[word + ClientEntry.BlockedI32] !== 0,
      tracking: (mode & Mode.Tracking) !== 0,
      brokenRedirect: (mode & Mode.BrokenRedirect) !== 0,
      broadcast: (mode & Mode.Broadcast) !== 0,
      dirty: i32[word + ClientEntry.DirtyI32] !== 0,
      channels: i32[word + ClientEntry.ChannelsI32]!,
      patterns: i32[word + ClientEntry.PatternsI32]!,
      shardChannels: i32[word + ClientEntry.ShardChannelsI32]!,
      queued: i32[word + ClientEntry.QueuedI32]!,
      watched: i32[word + ClientEntry.WatchedI32]!,
      transactionBytes: i32[word + ClientEntry.TransactionBytesI32]!,
      redirect: (mode & Mode.Tracking) === 0 ? -1 : i32[word + ClientEntry.RedirectI32]!,
      queryBytes: i32[word + ClientEntry.QueryI32]!,
      queryFreeBytes: i32[word + ClientEntry.QueryFreeI32]!,
      outputBytes: i32[word + ClientEntry.OutputI32]!,
      networkIn: f64[number + ClientEntry.InF64]!,
      networkOut: f64[number + ClientEntry.OutF64]!,
      commands: f64[number + ClientEntry.CommandsF64]!,
      worker,
    };
  }

  publish(session: Session): void {
    const client = this.owner.clientOf(session);
    if (client !== undefined) this.owner.publishTexts(client);
  }

  kill(ids: readonly number[], self: Session): number {
    const { control, plan, waiters } = this.owner;
    const wanted = new Set(ids);
    let found = 0;
    let others = false;
    for (let worker = 0; worker < plan.workers; worker++)
      for (let index = 0; index < this.entriesUsed(worker); index++) {
        const entry = control.entryOf(worker, index);
        if (!this.isLive(entry)) continue;
        const id = control.region.f64[(entry >> 3) + ClientEntry.IdF64]!;
        if (!wanted.has(id)) continue;
        found++;
        if (id === self.id) self.closing = true;
        else {
          Atomics.store(control.region.i32, (entry >> 2) + ClientEntry.KillI32, id);
          waiters.revoke(entry, id); // nobody serves it any more
          others = true;
        }
      }
    if (others) this.owner.order();
    return found;
  }

  unblock(id: number, failed: boolean): boolean {
    const entry = this.owner.control.findClient(id);
    return entry !== 0 && this.isLive(entry) && this.owner.waiters.unblock(entry, id, failed);
  }

  pause(untilMs: number, all: boolean): void {
    const { control } = this.owner;
    control.pausedUntilMs = untilMs;
    if (!all) control.clearGate(Gate.PausedAll);
    control.setGate(all ? Gate.Paused | Gate.PausedAll : Gate.Paused);
    this.owner.order();
  }

  unpause(): void {
    this.owner.control.clearGate(Gate.Paused | Gate.PausedAll);
    this.owner.order();
  }

  monitor(session: Session): void {
    this.owner.monitors.add(this.owner.clientOf(session)!);
  }

  shutdown(): void {
    this.owner.control.setWord(Word.Stop, 1);
    this.owner.order();
  }

  sleep(seconds: number): void {
    this.owner.stall(seconds);
  }

  setActiveExpire(on: boolean): void {
    this.owner.control.setWord(Word.ActiveExpireOff, on ? 0 : 1);
  }

  debugAllowed(session: Session): boolean {
    const mode = this.owner.settings.get("enable-debug-command");
    return mode === "yes" || (mode === "local" && /^(127\.|\[::1\]|\/|:0$)/.test(session.address));
  }
}

/** CPU time of the engine's collector threads, by their names in /proc. 0 where there is no /proc. */
function collectorSeconds(): number {
  let ticks = 0;
  try {
    for (const task of readdirSync("/proc/self/task")) {
      const stat = readFileSync(`/proc/self/task/${task}/stat`, "latin1");
      const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
      if (!/^(Heap|GC|JSC Heap|HeapHelper)/i.test(name)) continue;
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
    }
  } catch {
    return 0;
  }
  return ticks / 100;
}
