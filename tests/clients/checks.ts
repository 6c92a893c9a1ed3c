// checks.ts: what every client library is asked to do, in the order in which its program does it.
//
// A program prints one line a check: `ok NAME`, `FAIL NAME: reason`, or `limit NAME: reason` where the library itself
// cannot do it (or not without help that the reason names) whatever the server. run.ts reads the lines; a check that a
// program does not mention has failed.

/** Name and meaning, the rows of docs/clients.md. */
export const checks = {
  connect: "connects with host and port only, PING",
  handshake:
    "speaks the protocol version it prefers; the server knows the name and version that it gives, if any",
  strings: "SET with options, GET, APPEND, GETRANGE, INCR, INCRBYFLOAT, MSET, MGET, a missing key",
  lists: "RPUSH, LPUSH, LRANGE, LPOP, LLEN, LMOVE, LPOS",
  hashes: "HSET, HGET, HMGET, HGETALL, HINCRBY, HDEL",
  sets: "SADD, SREM, SISMEMBER, SMEMBERS, SINTER, SCARD",
  "sorted-sets": "ZADD, ZSCORE, ZINCRBY, ZRANK, ZRANGE with scores, by score, ZPOPMIN, infinite scores",
  bitmaps: "SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP",
  hyperloglog: "PFADD, PFCOUNT, PFMERGE",
  geo: "GEOADD, GEOPOS, GEODIST, GEOSEARCH",
  expiry: "EXPIRE, TTL, PTTL, PERSIST, a key that is gone in time",
  scan: "iteration with SCAN MATCH, HSCAN, SSCAN, ZSCAN over collections of 1,000",
  pipeline: "1,000 commands in one pipeline, replies in order, an error in the middle",
  transaction: "MULTI, EXEC, a command that fails inside, one that is refused while queued, DISCARD",
  watch: "WATCH: a conflict aborts EXEC, without one it runs",
  pubsub: "SUBSCRIBE, PUBLISH from another connection, UNSUBSCRIBE",
  "pubsub-pattern": "PSUBSCRIBE, PUBLISH from another connection, PUNSUBSCRIBE",
  blocking: "BLPOP, BLMOVE and BZPOPMIN woken by another connection",
  "blocking-timeout": "BLPOP that nobody wakes ends after its timeout",
  cache: "client-side caching: the second read does not reach the server",
  "cache-invalidation": "a cached value goes when another connection writes, deletes, expires or flushes it",
  "large-values": "a value of 10 MB, alone and in a list, there and back",
  binary: "every byte value in keys, fields and values",
  errors: "WRONGTYPE, a value that is no integer, a syntax error arrive as the library's errors",
  unsupported: "a command the server does not know (EVAL among them) is an error; the connection stays good",
  reconnect: "the server is killed and starts again on its port: the same client object works on",
  "reconnect-pubsub": "the same for a subscriber: it hears messages again",
} as const;

export type Check = keyof typeof checks;

export const checkNames = Object.keys(checks) as Check[];
