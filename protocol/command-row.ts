// command-row.ts: what a row of the command table says. Routing, locking, COMMAND and its subcommands, the CLI's
// completion and the documentation all derive from rows; a row sits at the foot of its family's file.
// Names, arities, flags, key positions and categories equal what Redis 7.0 answers to COMMAND INFO.

/** Flags in the order in which COMMAND INFO prints them. */
export const enum Flag {
  Write = 1 << 0,
  ReadOnly = 1 << 1,
  DenyOom = 1 << 2,
  Module = 1 << 3,
  Admin = 1 << 4,
  PubSub = 1 << 5,
  NoScript = 1 << 6,
  Blocking = 1 << 7,
  Loading = 1 << 8,
  Stale = 1 << 9,
  SkipMonitor = 1 << 10,
  SkipSlowlog = 1 << 11,
  Asking = 1 << 12,
  Fast = 1 << 13,
  NoAuth = 1 << 14,
  MayReplicate = 1 << 15,
  NoAsyncLoading = 1 << 16,
  NoMulti = 1 << 17,
  MovableKeys = 1 << 18,
  AllowBusy = 1 << 19,
}

/** Which keys an argument range names and what is done to them (names as in COMMAND INFO's key specifications). */
export interface KeySpec {
  /** First key's argument, 1-based. */
  readonly first: number;
  /** Last key relative to the first; negative counts from the end of the arguments (-1 the last argument). */
  readonly last: number;
  readonly step: number;
  /** e.g. ["RO", "access"], in Redis's order. */
  readonly flags: readonly string[];
  readonly notes?: string;
}

/** Which shards a command needs to itself while it runs. */
export const enum Scope {
  /** None: it touches no keys, or takes shards one at a time itself. */
  None = 0,
  /** Those of its keys. */
  Keys = 1,
  /** All. */
  All = 2,
}

export const enum Tier {
  Connection = 0,
  Core = 1,
  Collections = 2,
  Extended = 3,
}

export interface CommandRow<Call> {
  /** Lower case; a subcommand's is "container|sub". */
  readonly name: string;
  /** Arguments including the name; negative: at least so many. */
  readonly arity: number;
  readonly flags: number;
  readonly keys: readonly KeySpec[];
  readonly scope: Scope;
  /** ACL categories without the @, in the order in which COMMAND INFO prints them. */
  readonly acl: readonly string[];
  readonly tier: Tier;
  /** As in COMMAND DOCS: "string", "generic", "connection", "server". */
  readonly group: string;
  readonly since: string;
  readonly complexity: string;
  readonly summary: string;
  /** Arguments after the name as a person reads them: "key value [NX | XX] [EX seconds]". */
  readonly syntax: string;
  /** The handler only reads and survives torn bytes: it may run without the shard's lock and be repeated. */
  readonly optimistic?: boolean;
  readonly subcommands?: readonly CommandRow<Call>[];
  /** Absent for a container that cannot be called bare. */
  readonly handler?: (call: Call) => void;
}
