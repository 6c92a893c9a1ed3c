// program.ts: Bun's own RedisClient at its defaults. What it prints: ../program.ts.
import { RedisClient } from "bun";
import * as to from "../program.ts";

const { check, equal, that, until, errorOf, host, port } = to;
const connected = () => new RedisClient(`redis://${host}:${port}`);
const ask = async (client: RedisClient, command: string): Promise<unknown> => {
  const [name = "", ...args] = command.split(" ");
  return client.send(name, args);
};

to.version(Bun.version);
const client = connected();
const other = connected();

await check("connect", async () => {
  equal(await client.ping(), "PONG");
});

await check("handshake", async () => {
  to.expectHandshake(`${await ask(client, "CLIENT INFO")}`, 3, "");
});

await check("strings", async () => {
  equal(await client.set("s", "one"), "OK");
  equal(await client.get("s"), "one");
  equal(await client.set("s", "two", "NX"), null);
  equal(await client.set("s", "two", "EX", "50", "XX", "GET"), "one");
  equal(await client.append("s", "+"), 4);
  equal(await client.getrange("s", 1, -1), "wo+");
  equal(await client.incrby("s:n", 41), 41);
  equal(await client.incr("s:n"), 42);
  equal(await client.incrbyfloat("s:n", 0.5), "42.5");
  equal(await client.mset("s:a", "1", "s:b", "2"), "OK");
  equal(await client.mget("s:a", "s:none", "s:b"), ["1", null, "2"]);
  equal(await client.get("s:none"), null);
});

await check("lists", async () => {
  equal(await client.rpush("l", "b", "c", "d"), 3);
  equal(await client.lpush("l", "a"), 4);
  equal(await client.lrange("l", 0, -1), ["a", "b", "c", "d"]);
  equal(await client.lpos("l", "c"), 2);
  equal(await client.lpop("l"), "a");
  equal(await client.lmove("l", "l:2", "RIGHT", "LEFT"), "d");
  equal(await client.llen("l"), 2);
  equal(await client.lpop("l:none"), null);
});

await check("hashes", async () => {
  equal(await client.hset("h", { a: "1", b: "two" }), 2);
  equal(await client.hget("h", "b"), "two");
  equal(await client.hget("h", "none"), null);
  equal(await client.hmget("h", ["a", "none"]), ["1", null]);
  equal(await client.hincrby("h", "a", 9), 10);
  equal({ ...(await client.hgetall("h")) }, { a: "10", b: "two" });
  equal(await client.hdel("h", "a"), 1);
  equal(await client.hlen("h"), 1);
});

await check("sets", async () => {
  equal(await client.sadd("t", "a", "b", "c"), 3);
  equal(await client.sadd("t:2", "b", "c", "d"), 3);
  equal(await client.sismember("t", "a"), true);
  equal((await client.smembers("t")).sort(), ["a", "b", "c"]);
  equal((await client.sinter("t", "t:2")).sort(), ["b", "c"]);
  equal(await client.srem("t", "a"), 1);
  equal(await client.scard("t"), 2);
});

await check("sorted-sets", async () => {
  equal(await client.zadd("z", 1, "a", 2.5, "b", "+inf", "c"), 3);
  equal(await client.zscore("z", "b"), 2.5);
  equal(await client.zscore("z", "none"), null);
  equal(await client.zrank("z", "c"), 2);
  const scored: unknown = await client.zrange("z", 0, -1, "WITHSCORES");
  equal(scored, [
    ["a", 1],
    ["b", 2.5],
    ["c", Number.POSITIVE_INFINITY],
  ]);
  equal(await client.zrangebyscore("z", "(1", "+inf"), ["b", "c"]);
  equal(await client.zincrby("z", 0.25, "a"), 1.25);
  equal(await client.zpopmin("z"), ["a", 1.25]);
  equal(await client.zpopmin("z:none"), []);
});

await check("bitmaps", async () => {
  equal(await client.setbit("b", 7, 1), 0);
  equal(await client.setbit("b", 12, 1), 0);
  equal(await client.getbit("b", 7), 1);
  equal(await client.bitcount("b"), 2);
  equal(await ask(client, "BITPOS b 1"), 7);
  equal(await ask(client, "BITOP NOT b:not b"), 2);
  equal(await client.bitcount("b:not"), 14);
});

await check("hyperloglog", async () => {
  equal(await ask(client, "PFADD p a b c"), 1);
  equal(await ask(client, "PFADD p:2 c d"), 1);
  equal(await ask(client, "PFCOUNT p p:2"), 4);
  equal(await ask(client, "PFMERGE p:3 p p:2"), "OK");
  equal(await ask(client, "PFCOUNT p:3"), 4);
});

await check("geo", async () => {
  equal(await ask(client, "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania"), 2);
  equal(await ask(client, "GEODIST g Palermo Catania km"), "166.2742");
  const position = JSON.stringify(await ask(client, "GEOPOS g Palermo"));
  that(/^\[\[13\.36138\d*,38\.11555\d*\]\]$/.test(position), `position ${position}`);
  equal(await ask(client, "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 100 km"), ["Catania"]);
  equal(await ask(client, "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC WITHDIST"), [
    ["Catania", "56.4413"],
    ["Palermo", "190.4424"],
  ]);
});

await check("expiry", async () => {
  await client.set("e", "v");
  equal(await client.ttl("e"), -1);
  equal(await client.expire("e", 100), 1);
  that([99, 100].includes(await client.ttl("e")), "TTL");
  that((await client.pttl("e")) > 98_000, "PTTL");
  equal(await client.persist("e"), 1);
  equal(await client.ttl("e"), -1);
  equal(await client.ttl("e:none"), -2);
  await client.set("e:px", "v", "PX", 300);
  equal(await client.get("e:px"), "v");
  await to.sleep(320);
  equal(await client.get("e:px"), null);
});

await check("scan", async () => {
  const numbers = Array.from({ length: 1000 }, (_, i) => `${i}`);
  await client.send(
    "MSET",
    numbers.flatMap((i) => [`scan:${i}`, i]),
  );
  await client.hset("c:h", Object.fromEntries(numbers.map((i) => [i, i])));
  await client.sadd("c:s", "0", ...numbers.slice(1));
  await client.zadd("c:z", ...numbers.flatMap((i) => [i, i]));
  /** All that the pages of a scan hold. */
  const all = async (page: (cursor: string) => Promise<[string, string[]]>) => {
    const found: string[] = [];
    let cursor = "0";
    do {
      const [next, items] = await page(cursor);
      found.push(...items);
      cursor = next;
    } while (cursor !== "0");
    return found;
  };
  equal(new Set(await all((at) => client.scan(at, "MATCH", "scan:*", "COUNT", 100))).size, 1000, "keys");
  equal(new Set(await all((at) => client.sscan("c:s", at))).size, 1000, "members");
  for (const found of [
    await all((at) => client.hscan("c:h", at)),
    await all((at) => client.zscan("c:z", at)),
  ])
    equal(new Set(found.filter((item, i) => i % 2 === 0 && item === found[i + 1])).size, 1000, "pairs");
});

await check("pipeline", async () => {
  await client.set("pipe:text", "x");
  const replies = await Promise.allSettled(
    Array.from({ length: 1000 }, (_, i) => client.incr(i === 500 ? "pipe:text" : "pipe:n")),
  );
  that(replies[500]?.status === "rejected", "the error is in its place");
  equal(replies[499], { status: "fulfilled", value: 500 });
  equal(replies[999], { status: "fulfilled", value: 999 });
});

await check("transaction", async () => {
  const transaction = async (...commands: string[]) => {
    equal(await ask(client, "MULTI"), "OK");
    for (const command of commands) equal(await ask(client, command), "QUEUED");
    return ask(client, "EXEC");
  };
  equal(await transaction("SET m 1", "INCR m", "GET m"), ["OK", 2, "2"]);
  const inside = await transaction("SET m text", "INCR m", "SET m:after 1").then(
    (reply) => `${JSON.stringify(reply)} ${Array.isArray(reply) && reply[1] instanceof Error}`,
    (error: unknown) => `${error}`,
  );
  that(/true$|not an integer/.test(inside), `a command fails inside: ${inside}`);
  equal(await client.get("m:after"), "1");
  await ask(client, "MULTI");
  equal(await ask(client, "SET m:refused 1"), "QUEUED");
  that(
    (await errorOf(() => ask(client, "SET m:refused"))).includes("wrong number of arguments"),
    "one is refused",
  );
  that((await errorOf(() => ask(client, "EXEC"))).startsWith("EXECABORT"), "EXECABORT");
  equal(await client.get("m:refused"), null);
  await ask(client, "MULTI");
  equal(await ask(client, "SET m:refused 1"), "QUEUED");
  equal(await ask(client, "DISCARD"), "OK");
  equal(await client.get("m:refused"), null);
});

await check("watch", async () => {
  await client.set("w", "1");
  equal(await ask(client, "WATCH w"), "OK");
  await other.set("w", "2");
  await ask(client, "MULTI");
  await ask(client, "SET w 3");
  equal(await ask(client, "EXEC"), null, "EXEC after a conflict");
  equal(await client.get("w"), "2");
  await ask(client, "WATCH w");
  await ask(client, "MULTI");
  await ask(client, "SET w 3");
  equal(await ask(client, "EXEC"), ["OK"]);
  equal(await other.get("w"), "3");
});

await check("pubsub", async () => {
  const subscriber = connected();
  const heard: string[] = [];
  const listen = (message: string, channel: string) => heard.push(`${channel}:${message}`);
  await subscriber.subscribe("news", listen);
  await subscriber.subscribe("weather", listen);
  equal(await client.publish("news", "one"), 1);
  equal(await client.publish("weather", "two"), 1);
  equal(await client.publish("sport", "three"), 0);
  await until("messages", () => heard.length === 2);
  equal(heard, ["news:one", "weather:two"]);
  await subscriber.unsubscribe("news");
  equal(await client.publish("news", "four"), 0);
  await subscriber.unsubscribe("weather");
  equal(await subscriber.ping(), "PONG");
  subscriber.close();
});

to.limit("pubsub-pattern", "the library takes no listener for a pattern");

await check("blocking", async () => {
  const blocked = connected();
  const popped = blocked.blpop("q", "q:2", 10);
  await to.sleep(50);
  equal(await client.rpush("q:2", "a", "b"), 2);
  equal(await popped, ["q:2", "a"]);
  const moved = blocked.blmove("q:3", "q:4", "LEFT", "RIGHT", 10);
  await to.sleep(50);
  await client.rpush("q:3", "c");
  equal(await moved, "c");
  const least = blocked.bzpopmin("q:z", 10);
  await to.sleep(50);
  await client.zadd("q:z", 1.5, "m");
  equal(await least, ["q:z", "m", 1.5]);
  blocked.close();
});

await check("blocking-timeout", async () => {
  const blocked = connected();
  await blocked.connect();
  const start = performance.now();
  equal(await blocked.blpop("q:none", 0.2), null);
  that(performance.now() - start > 190, "it waits");
  equal(await blocked.ping(), "PONG");
  blocked.close();
});

to.limit("cache", "the library has no client-side cache");
to.limit("cache-invalidation", "the library has no client-side cache");

await check("large-values", async () => {
  const value = to.large();
  equal(await client.set("large", value), "OK");
  that(value.equals((await client.getBuffer("large")) ?? Buffer.alloc(0)), "GET gives what SET took");
  const text = value.toString("latin1").replace(/[^a-z]/g, "-");
  equal(await client.rpush("large:l", text, "end"), 2);
  const [first, last] = await client.lrange("large:l", 0, -1);
  that(text === first && last === "end", "LRANGE gives what RPUSH took");
  await client.del("large", "large:l");
});

await check("binary", async () => {
  const { everyByte } = to;
  await client.set(everyByte, everyByte);
  that(everyByte.equals((await client.getBuffer(everyByte)) ?? Buffer.alloc(0)), "GET");
  throw new to.Limit("keys and values of GET and SET are safe; all other replies are decoded as UTF-8");
});

await check("errors", async () => {
  await client.set("err", "text");
  const failure: unknown = await client.lpush("err", "x").catch((error: unknown) => error);
  if (!(failure instanceof Error)) throw new Error(`an Error, not ${failure}`);
  equal(failure.message, "WRONGTYPE Operation against a key holding the wrong kind of value");
  equal(await errorOf(() => client.incr("err")), "ERR value is not an integer or out of range");
  equal(await errorOf(() => ask(client, "SET err x NX XX")), "ERR syntax error");
  equal(await client.get("err"), "text");
});

await check("unsupported", async () => {
  that((await errorOf(() => ask(client, "NOSUCH a"))).startsWith("ERR unknown command 'NOSUCH'"), "NOSUCH");
  const script = () => client.send("EVAL", ["return 1", "0"]);
  if (to.scripting) equal(await script(), 1);
  else that((await errorOf(script)).startsWith("ERR unknown command 'EVAL'"), "EVAL");
  equal(await client.ping(), "PONG");
});

const subscriber = connected();
const heard: string[] = [];
await subscriber.subscribe("again", (message) => heard.push(message));
await check("reconnect", async () => {
  await to.restartServer();
  await until("a working connection", async () => (await client.set("r", "1")) === "OK");
  equal(await client.get("r"), "1");
  to.expectHandshake(`${await ask(client, "CLIENT INFO")}`, 3, "");
});

await check("reconnect-pubsub", async () => {
  const hears = async () => {
    await client.publish("again", "hello");
    await to.sleep(100);
    return heard.includes("hello");
  };
  await until("the subscriber's connection", async () => subscriber.connected);
  if (await hears()) return;
  await subscriber.subscribe("again", (message) => heard.push(message));
  await until("a message", hears);
  throw new to.Limit("it connects again by itself; the application has to subscribe again");
});

to.done();
