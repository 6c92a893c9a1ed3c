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

/** What every key specification says: what is done to its keys, in COMMAND INFO's words. */
interface KeyUse {
  /** e.g. ["RO", "access"], in Redis's order. */
  readonly flags: readonly string[];
  readonly notes?: string;
}

/** Keys at known places: `{ first: 1, last: -1, step: 1 }`. */
export interface RangeKeys extends KeyUse {
  readonly find?: undefined;
  readonly numkeys?: undefined;
  /** First key's argument, 1-based. */
  readonly first: number;
  /** Last key relative to the first; negative counts from the end of the arguments (-1 the last argument). */
  readonly last: number;
  readonly step: number;
}

/** Keys whose number is an argument: of `ZUNION numkeys key ...` it is `{ numkeys: 1, first: 2, step: 1 }`. Locking
 *  takes them as far as there are arguments when the number is none or too large: the handler refuses it then. */
export interface CountedKeys extends KeyUse {
  readonly find?: undefined;
  /** Argument that says how many keys there are. */
  readonly numkeys: number;
  /** First key's argument. */
  readonly first: number;
  readonly step: number;
}

/** Keys after a word that may stand anywhere: GEORADIUS's STORE. Only in rows of Scope.All. */
export interface KeywordKeys extends KeyUse {
  readonly find: "keyword";
  /** The word, in upper case. */
  readonly keyword: string;
  /** Argument from which on it is looked for. */
  readonly first: number;
  /** As in a range whose first key is the argument after the word. */
  readonly last: number;
  readonly step: number;
}

/** Keys that no specification can find: SORT's patterns. Only in rows of Scope.All. */
export interface UnknownKeys extends KeyUse {
  readonly find: "unknown";
  /** The word, in upper case, whose last appearance stands before the key: SORT's STORE. COMMAND GETKEYS knows it,
   *  COMMAND INFO does not tell. */
  readonly keyword?: string;
}

/** Where keys stand among the arguments. Several specifications of Scope.Keys are either ranges side by side, which
 *  are locked as one (RENAME, COPY), or one key and counted ones behind it (ZUNIONSTORE). */
export type KeySpec = RangeKeys | CountedKeys | KeywordKeys | UnknownKeys;

/** Which shards a command needs to itself while it runs. */
export const enum Scope {
  /** None: it touches no keys. */
  None = 0,
  /** Those of its keys. */
  Keys = 1,
  /** All. */
  All = 2,
  /** One after the other: it locks them itself. Within a transaction it is given all. */
  Each = 3,
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
  /** The script or dance of several commands that people write for lack of this one, as a sentence. */
  readonly replaces?: string;
  /** Arguments after the name as a person reads them: "key value [NX | XX] [EX seconds]". */
  readonly syntax: string;
  /** The handler only reads and survives torn bytes: it may run without the shard's lock and be repeated. */
  readonly optimistic?: boolean;
  /** Of a row of Scope.All: whether this call touches no keys but those in its ranges, so that their shards are enough. */
  readonly keysOnly?: (call: Call) => boolean;
  readonly subcommands?: readonly CommandRow<Call>[];
  /** Absent for a container that cannot be called bare. */
  readonly handler?: (call: Call) => void;
}
