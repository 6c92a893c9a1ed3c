// program.ts: ioredis at its defaults, and iovalkey, which came from it and has its interface: libraries.ts puts that
// name into the import. What it prints: ../program.ts.
import Redis, { ReplyError } from "ioredis";
import * as to from "../program.ts";

const { check, equal, that, until, errorOf, host, port } = to;
const isChild = process.env.LIBRARY === "iovalkey";

/** The protocol it speaks, and what it tells the server that it is. */
const [protocol, name] = isChild ? [2, ""] : [3, "ioredis"];

async function connected(): Promise<Redis> {
  const client = new Redis(port, host);
  client.on("error", () => {}); // connections break here on purpose; without a listener it would write of it
  return client;
}

const client = await connected();
const other = await connected();

await check("connect", async () => {
  equal(await client.ping(), "PONG");
});

await check("handshake", async () => {
  to.expectHandshake(`${await client.client("INFO")}`, protocol, name);
});

await check("strings", async () => {
  equal(await client.set("s", "one"), "OK");
  equal(await client.get("s"), "one");
  equal(await client.set("s", "two", "NX"), null);
  equal(await client.set("s", "two", "EX", 50, "XX", "GET"), "one");
  equal(await client.append("s", "+"), 4);
  equal(await client.getrange("s", 1, -1), "wo+");
  equal(await client.incrby("s:n", 41), 41);
  equal(await client.incr("s:n"), 42);
  equal(await client.incrbyfloat("s:n", 0.5), "42.5");
  equal(await client.mset({ "s:a": "1", "s:b": "2" }), "OK");
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
  equal(await client.hmget("h", "a", "none"), ["1", null]);
  equal(await client.hincrby("h", "a", 9), 10);
  equal(await client.hgetall("h"), { a: "10", b: "two" });
  equal(await client.hdel("h", "a"), 1);
  equal(await client.hlen("h"), 1);
});

await check("sets", async () => {
  equal(await client.sadd("t", "a", "b", "c"), 3);
  equal(await client.sadd("t:2", "b", "c", "d"), 3);
  equal(await client.sismember("t", "a"), 1);
  equal((await client.smembers("t")).sort(), ["a", "b", "c"]);
  equal((await client.sinter("t", "t:2")).sort(), ["b", "c"]);
  equal(await client.srem("t", "a"), 1);
  equal(await client.scard("t"), 2);
});

await check("sorted-sets", async () => {
  equal(await client.zadd("z", 1, "a", 2.5, "b", "+inf", "c"), 3);
  equal(await client.zscore("z", "b"), "2.5");
  equal(await client.zscore("z", "none"), null);
  equal(await client.zrank("z", "c"), 2);
  equal((await client.zrange("z", 0, "-1", "WITHSCORES")).flat(), ["a", "1", "b", "2.5", "c", "inf"]);
  equal(await client.zrangebyscore("z", "(1", "+inf"), ["b", "c"]);
  equal(await client.zincrby("z", 0.25, "a"), "1.25");
  equal(await client.zpopmin("z"), ["a", "1.25"]);
  equal(await client.zpopmin("z:none"), []);
});

await check("bitmaps", async () => {
  equal(await client.setbit("b", 7, 1), 0);
  equal(await client.setbit("b", 12, 1), 0);
  equal(await client.getbit("b", 7), 1);
  equal(await client.bitcount("b"), 2);
  equal(await client.bitpos("b", 1), 7);
  equal(await client.bitop("NOT", "b:not", "b"), 2);
  equal(await client.bitcount("b:not"), 14);
});

await check("hyperloglog", async () => {
  equal(await client.pfadd("p", "a", "b", "c"), 1);
  equal(await client.pfadd("p:2", "c", "d"), 1);
  equal(await client.pfcount("p", "p:2"), 4);
  equal(await client.pfmerge("p:3", "p", "p:2"), "OK");
  equal(await client.pfcount("p:3"), 4);
});

await check("geo", async () => {
  equal(await client.geoadd("g", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"), 2);
  equal(await client.geodist("g", "Palermo", "Catania", "KM"), "166.2742");
  const [position] = await client.geopos("g", "Palermo");
  that(Math.abs(Number(position?.[0]) - 13.361389) < 1e-5, `position ${position}`);
  equal(await client.geosearch("g", "FROMLONLAT", 15, 37, "BYRADIUS", 100, "KM"), ["Catania"]);
  equal(await client.geosearch("g", "FROMLONLAT", 15, 37, "BYRADIUS", 200, "KM", "ASC", "WITHDIST"), [
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
  await client.mset(...numbers.flatMap((i) => [`scan:${i}`, i]));
  await client.hset("c:h", ...numbers.flatMap((i) => [i, i]));
  await client.sadd("c:s", ...numbers);
  await client.zadd("c:z", ...numbers.flatMap((i) => [i, i]));
  const keys = new Set<string>();
  for await (const page of client.scanStream({ match: "scan:*", count: 100 }))
    for (const key of page) keys.add(key);
  const members = new Set<string>();
  for await (const page of client.sscanStream("c:s")) for (const member of page) members.add(member);
  const pairs = [new Map<string, string>(), new Map<string, string>()];
  for (const [i, stream] of [client.hscanStream("c:h"), client.zscanStream("c:z")].entries())
    for await (const page of stream)
      for (let at = 0; at < page.length; at += 2) pairs[i]?.set(`${page[at]}`, `${page[at + 1]}`);
  equal([keys.size, members.size], [1000, 1000]);
  for (const found of pairs) equal([...found].filter(([a, b]) => a === b).length, 1000, "pairs");
});

await check("pipeline", async () => {
  await client.set("pipe:text", "x");
  const pipeline = client.pipeline();
  for (let i = 0; i < 1000; i++) pipeline.incr(i === 500 ? "pipe:text" : "pipe:n");
  const replies = (await pipeline.exec()) ?? [];
  that(replies[500]?.[0] instanceof ReplyError, "the error is in its place");
  equal(
    [replies[499], replies[999]],
    [
      [null, 500],
      [null, 999],
    ],
  );
});

await check("transaction", async () => {
  equal(await client.multi().set("m", "1").incr("m").get("m").exec(), [
    [null, "OK"],
    [null, 2],
    [null, "2"],
  ]);
  const [set, failed, after] =
    (await client.multi().set("m", "text").incr("m").set("m:after", "1").exec()) ?? [];
  equal(
    [set, after],
    [
      [null, "OK"],
      [null, "OK"],
    ],
  );
  that(failed?.[0] instanceof ReplyError, "a command fails inside");
  const refused = client.multi().set("m:refused", "1").call("SET", "m:refused");
  that((await errorOf(() => refused.exec())).startsWith("EXECABORT"), "one is refused");
  equal(await client.get("m:refused"), null);
  await client.multi({ pipeline: false });
  equal(`${await client.set("m:refused", "1")}`, "QUEUED");
  equal(await client.discard(), "OK");
  equal(await client.get("m:refused"), null);
});

await check("watch", async () => {
  await client.set("w", "1");
  await client.watch("w");
  await other.set("w", "2");
  equal(await client.multi().set("w", "3").exec(), null, "EXEC after a conflict");
  equal(await client.get("w"), "2");
  await client.watch("w");
  equal(await client.multi().set("w", "3").exec(), [[null, "OK"]]);
  equal(await other.get("w"), "3");
});

await check("pubsub", async () => {
  const subscriber = await connected();
  const heard: string[] = [];
  subscriber.on("message", (channel, message) => heard.push(`${channel}:${message}`));
  equal(await subscriber.subscribe("news", "weather"), 2);
  equal(await client.publish("news", "one"), 1);
  equal(await client.publish("weather", "two"), 1);
  equal(await client.publish("sport", "three"), 0);
  await until("messages", () => heard.length === 2);
  equal(heard, ["news:one", "weather:two"]);
  equal(await subscriber.unsubscribe("news"), 1);
  equal(await client.publish("news", "four"), 0);
  equal(await subscriber.unsubscribe("weather"), 0);
  equal(await subscriber.ping(), "PONG");
  subscriber.disconnect();
});

await check("pubsub-pattern", async () => {
  const subscriber = await connected();
  const heard: string[] = [];
  subscriber.on("pmessage", (pattern, channel, message) => heard.push(`${pattern} ${channel}:${message}`));
  equal(await subscriber.psubscribe("n?ws:*"), 1);
  equal(await client.publish("news:a", "one"), 1);
  equal(await client.publish("nws:a", "two"), 0);
  await until("a message", () => heard.length === 1);
  equal(heard, ["n?ws:* news:a:one"]);
  equal(await subscriber.punsubscribe("n?ws:*"), 0);
  equal(await client.publish("news:a", "three"), 0);
  subscriber.disconnect();
});

await check("blocking", async () => {
  const blocked = await connected();
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
  equal(await least, ["q:z", "m", "1.5"]);
  blocked.disconnect();
});

await check("blocking-timeout", async () => {
  const blocked = await connected();
  const start = performance.now();
  equal(await blocked.blpop("q:none", 0.2), null);
  that(performance.now() - start > 190, "it waits");
  equal(await blocked.ping(), "PONG");
  blocked.disconnect();
});

to.limit("cache", "the library has no client-side cache");
to.limit("cache-invalidation", "the library has no client-side cache");

await check("large-values", async () => {
  const value = to.large();
  equal(await client.set("large", value), "OK");
  that(value.equals((await client.getBuffer("large")) ?? Buffer.alloc(0)), "GET gives what SET took");
  equal(await client.rpush("large:l", value, "end"), 2);
  const [first, last] = await client.lrangeBuffer("large:l", 0, -1);
  that(value.equals(first ?? Buffer.alloc(0)) && last?.toString() === "end", "LRANGE gives what RPUSH took");
  await client.del("large", "large:l");
});

await check("binary", async () => {
  const { everyByte } = to;
  await client.set(everyByte, everyByte);
  that(everyByte.equals((await client.getBuffer(everyByte)) ?? Buffer.alloc(0)), "GET");
  await client.hset("bin", everyByte, everyByte);
  for (const [given] of [await client.hkeysBuffer("bin"), await client.hvalsBuffer("bin")])
    that(everyByte.equals(given ?? Buffer.alloc(0)), "HKEYS and HVALS");
});

await check("errors", async () => {
  await client.set("err", "text");
  const failure = await client.lpush("err", "x").catch((error: unknown) => error);
  that(failure instanceof ReplyError, `a ReplyError, not ${failure}`);
  equal(`${failure}`, "ReplyError: WRONGTYPE Operation against a key holding the wrong kind of value");
  equal(await errorOf(() => client.incr("err")), "ERR value is not an integer or out of range");
  equal(await errorOf(() => client.call("SET", "err", "x", "NX", "XX")), "ERR syntax error");
  equal(await client.get("err"), "text");
});

await check("unsupported", async () => {
  that(
    (await errorOf(() => client.call("NOSUCH", "a"))).startsWith("ERR unknown command 'NOSUCH'"),
    "NOSUCH",
  );
  if (to.scripting) equal(await client.eval("return 1", 0), 1);
  else
    that((await errorOf(() => client.eval("return 1", 0))).startsWith("ERR unknown command 'eval'"), "EVAL");
  equal(await client.ping(), "PONG");
});

const subscriber = await connected();
const heard: string[] = [];
subscriber.on("message", (_, message) => heard.push(message));
await subscriber.subscribe("again");
await check("reconnect", async () => {
  await to.restartServer();
  await until("a working connection", async () => (await client.set("r", "1")) === "OK");
  equal(await client.get("r"), "1");
  to.expectHandshake(`${await client.client("INFO")}`, protocol, name);
});

await check("reconnect-pubsub", async () => {
  await until("a message", async () => {
    await client.publish("again", "hello");
    return heard.includes("hello");
  });
});

to.done();
