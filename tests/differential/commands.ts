// What the subject is expected to know today: names, arities and subcommands, and what it must still refuse.
// A family that arrives moves its names from `notYet` to `commands` in the change that adds it; the suite fails when
// COMMAND LIST and this page disagree. Neighbours: cases/server.ts walks it, cases/*.ts take arities from it.

/** Name and arity, as `COMMAND INFO` of the oracle prints it (asserted by cases/server.ts). */
export const commands: Readonly<Record<string, number>> = {
  ping: -1,
  echo: 2,
  hello: -1,
  quit: -1,
  reset: 1,
  select: 2,
  swapdb: 3,
  move: 3,
  auth: -2,
  command: -1,
  client: -2,
  info: -1,
  config: -2,
  dbsize: 1,
  flushdb: -1,
  flushall: -1,
  time: 1,
  debug: -2,
  lolwut: -1,
  shutdown: -1,
  set: -3,
  get: 2,
  getset: 3,
  getdel: 2,
  getex: -2,
  setex: 4,
  psetex: 4,
  setnx: 3,
  append: 3,
  strlen: 2,
  getrange: 4,
  setrange: 4,
  substr: 4,
  incr: 2,
  decr: 2,
  incrby: 3,
  decrby: 3,
  incrbyfloat: 3,
  mget: -2,
  mset: -3,
  msetnx: -3,
  lcs: -3,
  del: -2,
  unlink: -2,
  exists: -2,
  type: 2,
  touch: -2,
  rename: 3,
  renamenx: 3,
  copy: -3,
  randomkey: 1,
  keys: 2,
  scan: -2,
  object: -2,
  expire: -3,
  pexpire: -3,
  expireat: -3,
  pexpireat: -3,
  expiretime: 2,
  pexpiretime: 2,
  ttl: 2,
  pttl: 2,
  persist: 2,
};

/** Subcommands by container, with the oracle's arity (`setinfo` and `no-touch` are 7.2's). */
export const subcommands: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  client: {
    id: 2,
    info: 2,
    list: -2,
    setname: 3,
    getname: 2,
    setinfo: 4,
    "no-evict": 3,
    "no-touch": 3,
    reply: 3,
    kill: -3,
    help: 2,
  },
  command: { count: 2, docs: -2, info: -2, list: -2, getkeys: -3, getkeysandflags: -3, help: 2 },
  config: { get: -3, set: -4, resetstat: 2, rewrite: 2, help: 2 },
  object: { encoding: 3, refcount: 3, idletime: 3, freq: 3, help: 2 },
};

/** Refused for good: scripting, functions, modules, streams (SENTINEL too, which the oracle refuses itself). */
export const refused = words(`
  eval eval_ro evalsha evalsha_ro script function fcall fcall_ro module
  xadd xlen xrange xrevrange xread xdel xtrim xsetid xgroup xreadgroup xack xclaim xautoclaim xpending xinfo`);

/** Refused until their family arrives. */
export const notYet = words(`
  lpush rpush lpushx rpushx lpop rpop llen lrange lindex lset linsert lrem ltrim lpos lmove rpoplpush lmpop
  blpop brpop blmove brpoplpush blmpop sort sort_ro
  hset hmset hsetnx hget hmget hgetall hkeys hvals hdel hlen hexists hstrlen hincrby hincrbyfloat hrandfield hscan
  sadd srem smembers sismember smismember scard spop srandmember smove sinter sunion sdiff sinterstore sunionstore
  sdiffstore sintercard sscan
  zadd zincrby zrem zscore zmscore zcard zrank zrevrank zcount zlexcount zrange zrevrange zrangebyscore
  zrevrangebyscore zrangebylex zrevrangebylex zrangestore zremrangebyrank zremrangebyscore zremrangebylex zpopmin
  zpopmax zmpop zrandmember zunion zinter zdiff zunionstore zinterstore zdiffstore zintercard zscan bzpopmin bzpopmax
  bzmpop
  setbit getbit bitcount bitpos bitop bitfield bitfield_ro pfadd pfcount pfmerge
  geoadd geopos geodist geohash geosearch geosearchstore georadius georadiusbymember
  subscribe unsubscribe psubscribe punsubscribe publish ssubscribe sunsubscribe spublish pubsub
  multi exec discard watch unwatch dump restore`);

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}
