# program.py: redis-py at its defaults. The lines that it prints are those of ../checks.ts.
import os
import sys
import threading
import time

import redis
from redis.cache import CacheConfig

HOST, PORT = os.environ["HOST"], int(os.environ["PORT"])
SCRIPTING = os.environ.get("SCRIPTING") == "yes"
ONLY = os.environ["ONLY"].split(",") if "ONLY" in os.environ else None
EVERY_BYTE = bytes(range(256)) + b"\r\n$-1\r\n*0\r\n\0\r\n"


class Limit(Exception):
    """What a check raises that met a limit of the library."""


def say(line):
    print(" ".join(str(line).split()), flush=True)


def check(name):
    def run(body):
        if ONLY is not None and name not in ONLY:
            return
        try:
            body()
            say(f"ok {name}")
        except Limit as reason:
            say(f"limit {name}: {reason}")
        except Exception as error:
            say(f"FAIL {name}: {type(error).__name__} {error}")

    return run


def equal(actual, expected, what="value"):
    if actual != expected:
        raise AssertionError(f"{what}: {str(actual)[:200]} and not {str(expected)[:200]}")


def that(condition, what):
    if not condition:
        raise AssertionError(what)


def error_of(body):
    try:
        body()
    except redis.RedisError as error:
        return error
    raise AssertionError("no error")


def until(what, condition, patience=10):
    end = time.monotonic() + patience
    last = ""
    while time.monotonic() < end:
        try:
            if condition():
                return
        except redis.RedisError as error:
            last = f", last: {error}"
        time.sleep(0.01)
    raise AssertionError(f"waited in vain for {what}{last}")


def later(body):
    def run():
        time.sleep(0.05)
        body()

    threading.Thread(target=run).start()


def connected(**options):
    return redis.Redis(host=HOST, port=PORT, **options)


say(f"version {redis.__version__}")
client = connected()
other = connected()


@check("connect")
def _():
    equal(client.ping(), True)


def expect_handshake():
    info = client.client_info()
    equal(str(info["resp"]), "3", "protocol")
    if "lib-name" in info:
        equal(info["lib-name"], "redis-py", "lib-name")
        equal(info["lib-ver"], redis.__version__, "lib-ver")


@check("handshake")
def _():
    expect_handshake()


@check("strings")
def _():
    equal(client.set("s", "one"), True)
    equal(client.get("s"), b"one")
    equal(client.set("s", "two", nx=True), None)
    equal(client.set("s", "two", ex=50, xx=True, get=True), b"one")
    equal(client.append("s", "+"), 4)
    equal(client.getrange("s", 1, -1), b"wo+")
    equal(client.incrby("s:n", 41), 41)
    equal(client.incr("s:n"), 42)
    equal(client.incrbyfloat("s:n", 0.5), 42.5)
    equal(client.mset({"s:a": "1", "s:b": "2"}), True)
    equal(client.mget("s:a", "s:none", "s:b"), [b"1", None, b"2"])
    equal(client.get("s:none"), None)


@check("lists")
def _():
    equal(client.rpush("l", "b", "c", "d"), 3)
    equal(client.lpush("l", "a"), 4)
    equal(client.lrange("l", 0, -1), [b"a", b"b", b"c", b"d"])
    equal(client.lpos("l", "c"), 2)
    equal(client.lpop("l"), b"a")
    equal(client.lmove("l", "l:2", "RIGHT", "LEFT"), b"d")
    equal(client.llen("l"), 2)
    equal(client.lpop("l:none"), None)


@check("hashes")
def _():
    equal(client.hset("h", mapping={"a": "1", "b": "two"}), 2)
    equal(client.hget("h", "b"), b"two")
    equal(client.hget("h", "none"), None)
    equal(client.hmget("h", "a", "none"), [b"1", None])
    equal(client.hincrby("h", "a", 9), 10)
    equal(client.hgetall("h"), {b"a": b"10", b"b": b"two"})
    equal(client.hdel("h", "a"), 1)
    equal(client.hlen("h"), 1)


@check("sets")
def _():
    equal(client.sadd("t", "a", "b", "c"), 3)
    equal(client.sadd("t:2", "b", "c", "d"), 3)
    equal(client.sismember("t", "a"), 1)
    equal(client.smembers("t"), {b"a", b"b", b"c"})
    equal(client.sinter("t", "t:2"), {b"b", b"c"})
    equal(client.srem("t", "a"), 1)
    equal(client.scard("t"), 2)


@check("sorted-sets")
def _():
    equal(client.zadd("z", {"a": 1, "b": 2.5, "c": float("inf")}), 3)
    equal(client.zscore("z", "b"), 2.5)
    equal(client.zscore("z", "none"), None)
    equal(client.zrank("z", "c"), 2)
    pairs = [tuple(pair) for pair in client.zrange("z", 0, -1, withscores=True)]
    equal(pairs, [(b"a", 1.0), (b"b", 2.5), (b"c", float("inf"))])
    equal(client.zrangebyscore("z", "(1", "+inf"), [b"b", b"c"])
    equal(client.zincrby("z", 0.25, "a"), 1.25)
    equal([tuple(pair) for pair in client.zpopmin("z")], [(b"a", 1.25)])
    equal(client.zpopmin("z:none"), [])


@check("bitmaps")
def _():
    equal(client.setbit("b", 7, 1), 0)
    equal(client.setbit("b", 12, 1), 0)
    equal(client.getbit("b", 7), 1)
    equal(client.bitcount("b"), 2)
    equal(client.bitpos("b", 1), 7)
    equal(client.bitop("NOT", "b:not", "b"), 2)
    equal(client.bitcount("b:not"), 14)


@check("hyperloglog")
def _():
    equal(client.pfadd("p", "a", "b", "c"), 1)
    equal(client.pfadd("p:2", "c", "d"), 1)
    equal(client.pfcount("p", "p:2"), 4)
    equal(client.pfmerge("p:3", "p", "p:2"), True)
    equal(client.pfcount("p:3"), 4)


@check("geo")
def _():
    equal(client.geoadd("g", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")), 2)
    equal(client.geodist("g", "Palermo", "Catania", unit="km"), 166.2742)
    [(longitude, latitude)] = client.geopos("g", "Palermo")
    that(abs(longitude - 13.361389) < 1e-5 and abs(latitude - 38.115556) < 1e-5, "position")
    equal(client.geosearch("g", longitude=15, latitude=37, radius=100, unit="km"), [b"Catania"])
    far = client.geosearch("g", longitude=15, latitude=37, radius=200, unit="km", sort="ASC", withdist=True)
    equal([tuple(pair) for pair in far], [(b"Catania", 56.4413), (b"Palermo", 190.4424)])


@check("expiry")
def _():
    client.set("e", "v")
    equal(client.ttl("e"), -1)
    equal(client.expire("e", 100), True)
    that(client.ttl("e") in (99, 100), "TTL")
    that(client.pttl("e") > 98_000, "PTTL")
    equal(client.persist("e"), True)
    equal(client.ttl("e"), -1)
    equal(client.ttl("e:none"), -2)
    client.set("e:px", "v", px=300)
    equal(client.get("e:px"), b"v")
    time.sleep(0.32)
    equal(client.get("e:px"), None)


@check("scan")
def _():
    numbers = [str(i) for i in range(1000)]
    client.mset({f"scan:{i}": i for i in numbers})
    client.hset("c:h", mapping={i: i for i in numbers})
    client.sadd("c:s", *numbers)
    client.zadd("c:z", {i: int(i) for i in numbers})
    equal(len(set(client.scan_iter(match="scan:*", count=100))), 1000, "keys")
    equal(sum(field == value for field, value in dict(client.hscan_iter("c:h")).items()), 1000, "fields")
    equal(len(set(client.sscan_iter("c:s"))), 1000, "members")
    equal(sum(float(member) == score for member, score in dict(client.zscan_iter("c:z")).items()), 1000, "scores")


@check("pipeline")
def _():
    client.set("pipe:text", "x")
    pipeline = client.pipeline(transaction=False)
    for i in range(1000):
        pipeline.incr("pipe:text" if i == 500 else "pipe:n")
    replies = pipeline.execute(raise_on_error=False)
    that(isinstance(replies[500], redis.ResponseError), "the error is in its place")
    equal([replies[499], replies[999]], [500, 999])


@check("transaction")
def _():
    equal(client.pipeline().set("m", "1").incr("m").get("m").execute(), [True, 2, b"2"])
    replies = client.pipeline().set("m", "text").incr("m").set("m:after", "1").execute(raise_on_error=False)
    that(isinstance(replies[1], redis.ResponseError), "a command fails inside")
    equal([replies[0], replies[2]], [True, True])
    error = error_of(lambda: client.pipeline().set("m:refused", "1").execute_command("SET", "m:refused").execute())
    that("wrong number of arguments" in str(error), f"one is refused: {error}")
    equal(client.get("m:refused"), None)
    with client.client() as single:  # on one connection
        single.execute_command("MULTI")
        equal(single.execute_command("APPEND", "m:refused", "1"), b"QUEUED")
        equal(single.execute_command("DISCARD"), b"OK")
    equal(client.get("m:refused"), None)


@check("watch")
def _():
    client.set("w", "1")
    with client.pipeline() as pipeline:
        pipeline.watch("w")
        other.set("w", "2")
        pipeline.multi()
        pipeline.set("w", "3")
        that(isinstance(error_of(pipeline.execute), redis.WatchError), "a conflict is a WatchError")
        equal(client.get("w"), b"2")
        pipeline.watch("w")
        pipeline.multi()
        pipeline.set("w", "3")
        equal(pipeline.execute(), [True])
    equal(other.get("w"), b"3")


def message_of(subscriber, kind):
    """The next message of a kind."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        message = subscriber.get_message(timeout=1)
        if message is not None and message["type"] == kind:
            return message
    raise AssertionError(f"waited in vain for a {kind}")


@check("pubsub")
def _():
    with client.pubsub() as subscriber:
        subscriber.subscribe("news", "weather")
        message_of(subscriber, "subscribe"), message_of(subscriber, "subscribe")
        equal(client.publish("news", "one"), 1)
        equal(client.publish("weather", "two"), 1)
        equal(client.publish("sport", "three"), 0)
        heard = [message_of(subscriber, "message") for _ in range(2)]
        equal([(each["channel"], each["data"]) for each in heard], [(b"news", b"one"), (b"weather", b"two")])
        subscriber.unsubscribe("news")
        message_of(subscriber, "unsubscribe")
        equal(client.publish("news", "four"), 0)
        subscriber.ping()
        message_of(subscriber, "pong")
        subscriber.unsubscribe()
        message_of(subscriber, "unsubscribe")


@check("pubsub-pattern")
def _():
    with client.pubsub() as subscriber:
        subscriber.psubscribe("n?ws:*")
        message_of(subscriber, "psubscribe")
        equal(client.publish("news:a", "one"), 1)
        equal(client.publish("nws:a", "two"), 0)
        heard = message_of(subscriber, "pmessage")
        equal((heard["pattern"], heard["channel"], heard["data"]), (b"n?ws:*", b"news:a", b"one"))
        subscriber.punsubscribe("n?ws:*")
        message_of(subscriber, "punsubscribe")
        equal(client.publish("news:a", "three"), 0)


@check("blocking")
def _():
    later(lambda: other.rpush("q:2", "a", "b"))
    equal(list(client.blpop(["q", "q:2"], 4)), [b"q:2", b"a"])
    later(lambda: other.rpush("q:3", "c"))
    equal(client.blmove("q:3", "q:4", 4, "LEFT", "RIGHT"), b"c")
    later(lambda: other.zadd("q:z", {"m": 1.5}))
    equal(list(client.bzpopmin("q:z", 4)), [b"q:z", b"m", 1.5])


@check("blocking-timeout")
def _():
    start = time.monotonic()
    equal(client.blpop("q:none", 0.2), None)
    that(time.monotonic() - start > 0.19, "it waits")
    equal(client.ping(), True)


def caching():
    cached = connected(cache_config=CacheConfig())
    try:
        cached.ping()
    except redis.ConnectionError as error:
        if "is supported by Redis 7.4 or later" not in str(error):
            raise
        raise Limit("the library wants a server of version 7.4 or newer for it") from None
    return cached


@check("cache")
def _():
    with caching() as cached:
        client.set("cc", "1")
        equal(cached.get("cc"), b"1")
        [entry] = cached.get_cache().collection.values()
        equal(entry.cache_value, b"1")
        entry.cache_value = b"from the cache"
        equal(cached.get("cc"), b"from the cache")


@check("cache-invalidation")
def _():
    with caching() as cached:
        client.mset({"cc:1": "1", "cc:2": "1", "cc:3": "1"})
        client.set("cc:4", "1", px=600)
        for key in ("cc:1", "cc:2", "cc:3", "cc:4"):
            equal(cached.get(key), b"1")
        equal(cached.get_cache().size, 4)
        client.set("cc:1", "2")
        until("the written value", lambda: cached.get("cc:1") == b"2")
        client.delete("cc:2")
        until("the deletion", lambda: cached.get("cc:2") is None)
        until("the expiry", lambda: cached.get("cc:4") is None)
        left = [entry for entry in cached.get_cache().collection.values() if entry.cache_key.redis_keys == ("cc:3",)]
        equal(len(left), 1, "what nobody touched stays cached")
        client.flushdb()
        until("the flush", lambda: cached.get("cc:3") is None)


@check("large-values")
def _():
    value = os.urandom(10_000_000)
    equal(client.set("large", value), True)
    that(client.get("large") == value, "GET gives what SET took")
    equal(client.rpush("large:l", value, "end"), 2)
    that(client.lrange("large:l", 0, -1) == [value, b"end"], "LRANGE gives what RPUSH took")
    client.delete("large", "large:l")


@check("binary")
def _():
    client.set(EVERY_BYTE, EVERY_BYTE)
    equal(client.get(EVERY_BYTE), EVERY_BYTE)
    client.hset("bin", EVERY_BYTE, EVERY_BYTE)
    equal(client.hgetall("bin"), {EVERY_BYTE: EVERY_BYTE})


@check("errors")
def _():
    client.set("err", "text")
    error = error_of(lambda: client.lpush("err", "x"))
    that(isinstance(error, redis.ResponseError), "a ResponseError")
    equal(str(error), "WRONGTYPE Operation against a key holding the wrong kind of value")
    equal(str(error_of(lambda: client.incr("err"))), "value is not an integer or out of range")
    equal(str(error_of(lambda: client.execute_command("SET", "err", "x", "NX", "XX"))), "syntax error")
    equal(client.get("err"), b"text")


@check("unsupported")
def _():
    that("unknown command 'NOSUCH'" in str(error_of(lambda: client.execute_command("NOSUCH", "a"))), "NOSUCH")
    if SCRIPTING:
        equal(client.eval("return 1", 0), 1)
    else:
        that("unknown command 'EVAL'" in str(error_of(lambda: client.eval("return 1", 0))), "EVAL")
    equal(client.ping(), True)


def restart():
    say("restart")
    sys.stdin.readline()


subscriber = client.pubsub()
subscriber.subscribe("again")
subscriber.get_message(timeout=1)


@check("reconnect")
def _():
    restart()
    until("a working connection", lambda: client.set("r", "1"))
    equal(client.get("r"), b"1")
    expect_handshake()


@check("reconnect-pubsub")
def _():
    def hears():
        other.publish("again", "hello")
        message = subscriber.get_message(timeout=0.1)
        return message is not None and message["type"] == "message"

    until("a message", hears)


os._exit(0)
