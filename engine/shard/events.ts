// events.ts: what can happen to a key, by Redis's names for it, and the classes of `notify-keyspace-events`.
//
// A handler tells its shard of every change (Shard.notify), after it and under the lock, in the order in which Redis
// raises its keyspace events. From that one call come keyspace notifications, dirty WATCHes, invalidations of tracked
// keys and keys ready for blocked clients: a key is touched exactly when an event other than KeyMiss and New names it.
// Neighbours: shard.ts raises the first test; engine/worker/signals.ts is the sink behind it.
import type { Key } from "../memory/key.ts";
import type { Shard } from "./shard.ts";

export const enum Event {
  /** Touched without a word: PFCOUNT that stores its count. */
  Silent = 0,
  Set = 1,
  SetRange = 2,
  SetBit = 3,
  Append = 4,
  IncrBy = 5,
  IncrByFloat = 6,
  PfAdd = 7,
  Del = 8,
  Expire = 9,
  Persist = 10,
  RenameFrom = 11,
  RenameTo = 12,
  CopyTo = 13,
  MoveFrom = 14,
  MoveTo = 15,
  Restore = 16,
  LPush = 17,
  RPush = 18,
  LPop = 19,
  RPop = 20,
  LInsert = 21,
  LSet = 22,
  LRem = 23,
  LTrim = 24,
  SortStore = 25,
  HSet = 26,
  HIncrBy = 27,
  HIncrByFloat = 28,
  HDel = 29,
  HExpire = 30,
  HPersist = 31,
  HExpired = 32,
  SAdd = 33,
  SRem = 34,
  SPop = 35,
  SInterStore = 36,
  SUnionStore = 37,
  SDiffStore = 38,
  ZAdd = 39,
  ZIncr = 40,
  ZRem = 41,
  ZPopMin = 42,
  ZPopMax = 43,
  ZRemRangeByRank = 44,
  ZRemRangeByScore = 45,
  ZRemRangeByLex = 46,
  ZUnionStore = 47,
  ZInterStore = 48,
  ZDiffStore = 49,
  ZRangeStore = 50,
  GeoSearchStore = 51,
  GeoRadiusStore = 52,
  Expired = 53,
  Evicted = 54,
  KeyMiss = 55,
  New = 56,
}

/** Bits of `notify-keyspace-events`, one a letter. */
export const enum Notify {
  Keyspace = 1 << 0, // K
  Keyevent = 1 << 1, // E
  Generic = 1 << 2, // g
  String = 1 << 3, // $
  List = 1 << 4, // l
  Set = 1 << 5, // s
  Hash = 1 << 6, // h
  SortedSet = 1 << 7, // z
  Expired = 1 << 8, // x
  Evicted = 1 << 9, // e
  Stream = 1 << 10, // t
  Module = 1 << 11, // d
  KeyMiss = 1 << 12, // m
  New = 1 << 13, // n
  /** A: all but m and n. */
  All = 0xffc,
}

const letters = "KEg$lshzxetdmn";

/** The bits of `notify-keyspace-events` as CONFIG GET prints it. */
export function notifyFlags(text: string): number {
  let flags = 0;
  for (const letter of text) flags |= letter === "A" ? Notify.All : 1 << letters.indexOf(letter);
  return flags;
}

/** Class and name of every event, by its number. */
const catalogue: readonly (readonly [number, string])[] = [
  [0, ""],
  [Notify.String, "set"],
  [Notify.String, "setrange"],
  [Notify.String, "setbit"],
  [Notify.String, "append"],
  [Notify.String, "incrby"],
  [Notify.String, "incrbyfloat"],
  [Notify.String, "pfadd"],
  [Notify.Generic, "del"],
  [Notify.Generic, "expire"],
  [Notify.Generic, "persist"],
  [Notify.Generic, "rename_from"],
  [Notify.Generic, "rename_to"],
  [Notify.Generic, "copy_to"],
  [Notify.Generic, "move_from"],
  [Notify.Generic, "move_to"],
  [Notify.Generic, "restore"],
  [Notify.List, "lpush"],
  [Notify.List, "rpush"],
  [Notify.List, "lpop"],
  [Notify.List, "rpop"],
  [Notify.List, "linsert"],
  [Notify.List, "lset"],
  [Notify.List, "lrem"],
  [Notify.List, "ltrim"],
  [Notify.List, "sortstore"],
  [Notify.Hash, "hset"],
  [Notify.Hash, "hincrby"],
  [Notify.Hash, "hincrbyfloat"],
  [Notify.Hash, "hdel"],
  [Notify.Hash, "hexpire"],
  [Notify.Hash, "hpersist"],
  [Notify.Hash, "hexpired"],
  [Notify.Set, "sadd"],
  [Notify.Set, "srem"],
  [Notify.Set, "spop"],
  [Notify.Set, "sinterstore"],
  [Notify.Set, "sunionstore"],
  [Notify.Set, "sdiffstore"],
  [Notify.SortedSet, "zadd"],
  [Notify.SortedSet, "zincr"],
  [Notify.SortedSet, "zrem"],
  [Notify.SortedSet, "zpopmin"],
  [Notify.SortedSet, "zpopmax"],
  [Notify.SortedSet, "zremrangebyrank"],
  [Notify.SortedSet, "zremrangebyscore"],
  [Notify.SortedSet, "zremrangebylex"],
  [Notify.SortedSet, "zunionstore"],
  [Notify.SortedSet, "zinterstore"],
  [Notify.SortedSet, "zdiffstore"],
  [Notify.SortedSet, "zrangestore"],
  [Notify.SortedSet, "geosearchstore"],
  [Notify.SortedSet, "georadiusstore"],
  [Notify.Expired, "expired"],
  [Notify.Evicted, "evicted"],
  [Notify.KeyMiss, "keymiss"],
  [Notify.New, "new"],
];

/** The Notify class of an event. */
export function eventClass(event: Event): number {
  return catalogue[event]![0];
}

/** The name of an event as notifications carry it. */
export function eventName(event: Event): string {
  return catalogue[event]![1];
}

/** Reasons for which a shard tells its sink of events: bits of its attention word. */
export const enum Attention {
  /** Some name is in the shard's register: watched, tracked or waited for. */
  Names = 1,
  /** Notifications are on. */
  Notifications = 2,
  /** Some client tracks by prefixes. */
  Broadcast = 4,
  /** Notifications of misses are on (beside Notifications). */
  Misses = 8,
}

/** Who hears of events: the worker. */
export interface EventSink {
  /** Something happened to `key`; the shard is locked. For New and Expired the record may be half made or gone. */
  keyEvent(shard: Shard, event: Event, db: number, key: Key): void;
}
