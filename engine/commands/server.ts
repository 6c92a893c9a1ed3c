// server.ts: what handlers may ask of the process around them. Implemented by engine/worker; everything here is cold.
import type { Curve } from "../shard/reuse.ts";
import type { Row } from "./call.ts";
import type { Session } from "./session.ts";

/** One connection as CLIENT LIST shows it, whichever worker owns it. */
export interface ClientView {
  readonly id: number;
  readonly address: string;
  readonly localAddress: string;
  readonly fd: number;
  readonly name: string;
  readonly createdMs: number;
  readonly lastMs: number;
  readonly db: number;
  readonly resp: number;
  readonly lastCommand: string;
  readonly libraryName: string;
  readonly libraryVersion: string;
  readonly noEvict: boolean;
  readonly noTouch: boolean;
  readonly monitor: boolean;
  readonly blocked: boolean;
  readonly tracking: boolean;
  readonly brokenRedirect: boolean;
  readonly broadcast: boolean;
  /** A key it watches was touched. */
  readonly dirty: boolean;
  readonly channels: number;
  readonly patterns: number;
  readonly shardChannels: number;
  /** Commands queued since MULTI, -1 outside. */
  readonly queued: number;
  readonly watched: number;
  readonly transactionBytes: number;
  /** Whom its invalidations go to: an id, 0 itself, -1 it does not track. */
  readonly redirect: number;
  readonly queryBytes: number;
  readonly queryFreeBytes: number;
  readonly outputBytes: number;
  readonly networkIn: number;
  readonly networkOut: number;
  readonly commands: number;
  readonly worker: number;
}

/** Figures of the process for INFO, summed over workers. */
export interface Totals {
  readonly connections: number;
  readonly connectionsReceived: number;
  readonly connectionsRejected: number;
  readonly commands: number;
  readonly networkIn: number;
  readonly networkOut: number;
  readonly hits: number;
  readonly misses: number;
  readonly errors: number;
  readonly inputDisconnections: number;
  readonly outputDisconnections: number;
  readonly turns: number;
  readonly readRetries: number;
  readonly lockWaits: number;
  readonly clientBytes: number;
  readonly heapBytes: number;
  readonly collectorSeconds: number;
  /** Clients in a blocking command. */
  readonly blocked: number;
  /** Clients that track, subscribe, watch, and keys that are watched, as of each worker's last tick. */
  readonly trackingClients: number;
  readonly subscribedClients: number;
  readonly watchingClients: number;
  readonly watchedKeys: number;
  /** Names remembered for client-side caching. */
  readonly trackedNames: number;
  /** Of moving values together: blocks moved and looked at, keys moved and looked at, percent of a core that is spent on it
   *  now, ms that all cycles took and the one that is on, and the longest steps of all workers. */
  readonly defragHits: number;
  readonly defragMisses: number;
  readonly defragKeyHits: number;
  readonly defragKeyMisses: number;
  readonly defragPercent: number;
  readonly defragMs: number;
  readonly defragCurrentMs: number;
  readonly defragLongestMs: number;
}

export interface Server {
  readonly rows: readonly Row[];
  /** The row of a command or "container|sub", lower case. */
  row(name: string): Row | undefined;
  readonly version: string;
  readonly runId: string;
  readonly startedMs: number;
  readonly port: number;
  readonly workers: number;
  readonly driver: string;
  readonly driverReason: string;
  readonly executable: string;
  readonly configFile: string;
  /** Index of the worker that runs the call. */
  readonly worker: number;

  /** Effective value of a setting as CONFIG GET prints it. */
  setting(name: string): string | undefined;
  /** Whether a setting has the value that the machine gives, as nobody set another. */
  isDerived(name: string): boolean;
  /** The names of all settings, in table order. */
  settingNames(): readonly string[];
  /** Applies all or none; null, or the error to reply. */
  setSettings(pairs: readonly (readonly [string, string])[]): string | null;
  resetStatistics(): void;
  /** Begins to move the values of all shards together, whatever the settings say. */
  defragment(): void;

  totals(): Totals;
  /** Bytes the process holds for data, clients and itself, and the resident size. */
  usedBytes(): number;
  residentBytes(): number;
  /** What other sizes of memory would do, by the samples so far. */
  memoryCurve(): Curve;
  peakBytes(): number;
  /** Calls of each command so far: full name to count, and microseconds where known. */
  commandCalls(): ReadonlyMap<string, { calls: number; failed: number; rejected: number }>;
  errorCounts(): ReadonlyMap<string, number>;

  clients(): ClientView[];
  view(session: Session): ClientView;
  /** Tells other workers what changed in a session that CLIENT LIST shows. */
  publish(session: Session): void;
  /** Closes connections by id; the number that were found. The caller's own closes after its reply. */
  kill(ids: readonly number[], self: Session): number;

  /** Ends a client's wait in a blocking command, as if its time were over or with an error. False when it is not waiting. */
  unblock(id: number, failed: boolean): boolean;
  /** Holds the writes, or all commands, of all connections until that time, ms since the epoch. */
  pause(untilMs: number, all: boolean): void;
  unpause(): void;
  /** Shows the session every command that is run from now on. */
  monitor(session: Session): void;

  /** Begins an orderly stop of the process. */
  shutdown(): void;
  /** Stops every worker for so many seconds. */
  sleep(seconds: number): void;
  setActiveExpire(on: boolean): void;
  /** Whether DEBUG may be used by this session. */
  debugAllowed(session: Session): boolean;
}
