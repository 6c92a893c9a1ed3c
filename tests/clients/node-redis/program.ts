// program.ts: node-redis (npm `redis`) at its defaults. What it prints: ../program.ts.
import { BasicClientSideCache, createClient, ErrorReply, RESP_TYPES, WatchError } from "redis";
import * as to from "../program.ts";

const { check, equal, that, until, errorOf, host, port } = to;

function connected() {
  const client = createClient({ socket: { host, port } });
  client.on("error", () => {}); // connections break here on purpose; without a listener Node would end the program
  return client.connect();
}

const client = await connected();
const other = await connected();
const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });

await check("connect", async () => {
  equal(await client.ping(), "PONG");
});

await check("handshake", async () => {
  to.expectHandshake(await client.sendCommand<string>(["CLIENT", "INFO"]), 3, "node-redis");
});

await check("strings", async () => {
  equal(await client.set("s", "one"), "OK");
  equal(await client.get("s"), "one");
  equal(await client.set("s", "two", { condition: "NX" }), null);
  equal(
    await client.set("s", "two", { condition: "XX", GET: true, expiration: { type: "EX", value: 50 } }),
    "one",
  );
  equal(await client.append("s", "+"), 4);
  equal(await client.getRange("s", 1, -1), "wo+");
  equal(await client.incrBy("s:n", 41), 41);
  equal(await client.incr("s:n"), 42);
  equal(await client.incrByFloat("s:n", 0.5), "42.5");
  equal(await client.mSet({ "s:a": "1", "s:b": "2" }), "OK");
  equal(await client.mGet(["s:a", "s:none", "s:b"]), ["1", null, "2"]);
  equal(await client.get("s:none"), null);
});

await check("lists", async () => {
  equal(await client.rPush("l", ["b", "c", "d"]), 3);
  equal(await client.lPush("l", "a"), 4);
  equal(await client.lRange("l", 0, -1), ["a", "b", "c", "d"]);
  equal(await client.lPos("l", "c"), 2);
  equal(await client.lPop("l"), "a");
  equal(await client.lMove("l", "l:2", "RIGHT", "LEFT"), "d");
  equal(await client.lLen("l"), 2);
  equal(await client.lPop("l:none"), null);
});

await check("hashes", async () => {
  equal(await client.hSet("h", { a: "1", b: "two" }), 2);
  equal(await client.hGet("h", "b"), "two");
  equal(await client.hGet("h", "none"), null);
  equal(await client.hmGet("h", ["a", "none"]), ["1", null]);
  equal(await client.hIncrBy("h", "a", 9), 10);
  equal({ ...(await client.hGetAll("h")) }, { a: "10", b: "two" });
  equal(await client.hDel("h", "a"), 1);
  equal(await client.hLen("h"), 1);
});

await check("sets", async () => {
  equal(await client.sAdd("t", ["a", "b", "c"]), 3);
  equal(await client.sAdd("t:2", ["b", "c", "d"]), 3);
  equal(await client.sIsMember("t", "a"), 1);
  equal((await client.sMembers("t")).sort(), ["a", "b", "c"]);
  equal((await client.sInter(["t", "t:2"])).sort(), ["b", "c"]);
  equal(await client.sRem("t", "a"), 1);
  equal(await client.sCard("t"), 2);
});

await check("sorted-sets", async () => {
  const scored = [
    { score: 1, value: "a" },
    { score: 2.5, value: "b" },
    { score: Number.POSITIVE_INFINITY, value: "c" },
  ];
  equal(await client.zAdd("z", scored), 3);
  equal(await client.zScore("z", "b"), 2.5);
  equal(await client.zScore("z", "none"), null);
  equal(await client.zRank("z", "c"), 2);
  equal(await client.zRangeWithScores("z", 0, -1), scored);
  equal(await client.zRangeByScore("z", "(1", "+inf"), ["b", "c"]);
  equal(await client.zIncrBy("z", 0.25, "a"), 1.25);
  equal(await client.zPopMin("z"), { score: 1.25, value: "a" });
  equal(await client.zPopMin("z:none"), null);
});

await check("bitmaps", async () => {
  equal(await client.setBit("b", 7, 1), 0);
  equal(await client.setBit("b", 12, 1), 0);
  equal(await client.getBit("b", 7), 1);
  equal(await client.bitCount("b"), 2);
  equal(await client.bitPos("b", 1), 7);
  equal(await client.bitOp("NOT", "b:not", "b"), 2);
  equal(await client.bitCount("b:not"), 14);
});

await check("hyperloglog", async () => {
  equal(await client.pfAdd("p", ["a", "b", "c"]), 1);
  equal(await client.pfAdd("p:2", ["c", "d"]), 1);
  equal(await client.pfCount(["p", "p:2"]), 4);
  equal(await client.pfMerge("p:3", ["p", "p:2"]), "OK");
  equal(await client.pfCount("p:3"), 4);
});

await check("geo", async () => {
  const palermo = { longitude: 13.361389, latitude: 38.115556, member: "Palermo" };
  const catania = { longitude: 15.087269, latitude: 37.502669, member: "Catania" };
  equal(await client.geoAdd("g", [palermo, catania]), 2);
  equal(await client.geoDist("g", "Palermo", "Catania", "km"), 166.2742);
  const [position] = await client.geoPos("g", "Palermo");
  that(Math.abs(Number(position?.longitude) - 13.361389) < 1e-5, `position ${JSON.stringify(position)}`);
  equal(await client.geoSearch("g", { longitude: 15, latitude: 37 }, { radius: 100, unit: "km" }), [
    "Catania",
  ]);
  const far = await client.geoSearchWith("g", { longitude: 15, latitude: 37 }, { radius: 200, unit: "km" }, [
    "WITHDIST",
  ]);
  equal(far.map(({ member, distance }) => [member, Number(distance)]).sort(), [
    ["Catania", 56.4413],
    ["Palermo", 190.4424],
  ]);
});

await check("expiry", async () => {
  await client.set("e", "v");
  equal(await client.ttl("e"), -1);
  equal(await client.expire("e", 100), 1);
  that([99, 100].includes(await client.ttl("e")), "TTL");
  that((await client.pTTL("e")) > 98_000, "PTTL");
  equal(await client.persist("e"), 1);
  equal(await client.ttl("e"), -1);
  equal(await client.ttl("e:none"), -2);
  await client.set("e:px", "v", { expiration: { type: "PX", value: 300 } });
  equal(await client.get("e:px"), "v");
  await to.sleep(320);
  equal(await client.get("e:px"), null);
});

await check("scan", async () => {
  const numbers = Array.from({ length: 1000 }, (_, i) => `${i}`);
  await client.mSet(numbers.map((i): [string, string] => [`scan:${i}`, i]));
  await client.hSet("c:h", Object.fromEntries(numbers.map((i) => [i, i])));
  await client.sAdd("c:s", numbers);
  await client.zAdd(
    "c:z",
    numbers.map((i) => ({ score: Number(i), value: i })),
  );
  const found = { keys: new Set<string>(), fields: new Set<string>(), members: new Set<string>() };
  for await (const keys of client.scanIterator({ MATCH: "scan:*", COUNT: 100 }))
    for (const key of keys) found.keys.add(key);
  for await (const entries of client.hScanIterator("c:h"))
    for (const { field } of entries) found.fields.add(field);
  for await (const members of client.sScanIterator("c:s"))
    for (const member of members) found.members.add(member);
  const ranked = new Set<string>();
  for await (const members of client.zScanIterator("c:z"))
    for (const { value, score } of members) if (value === `${score}`) ranked.add(value);
  equal([found.keys.size, found.fields.size, found.members.size, ranked.size], [1000, 1000, 1000, 1000]);
});

await check("pipeline", async () => {
  await client.set("pipe:text", "x");
  const replies = await Promise.allSettled(
    Array.from({ length: 1000 }, (_, i) => (i === 500 ? client.incr("pipe:text") : client.incr("pipe:n"))),
  );
  that(replies[500]?.status === "rejected", "the error is in its place");
  equal(replies[499], { status: "fulfilled", value: 500 });
  equal(replies[999], { status: "fulfilled", value: 999 });
  const batch = client.multi();
  for (let i = 0; i < 1000; i++) batch.incr("pipe:m");
  const batched = await batch.execAsPipeline();
  equal(
    batched,
    Array.from({ length: 1000 }, (_, i) => i + 1),
  );
});

await check("transaction", async () => {
  equal(await client.multi().set("m", "1").incr("m").get("m").exec(), ["OK", 2, "2"]);
  const failing = client.multi().set("m", "text").incr("m").set("m:after", "1");
  that((await errorOf(() => failing.exec())).includes("1 commands failed"), "a command fails inside");
  equal(await client.get("m:after"), "1");
  const refused = client.multi().set("m:refused", "1").addCommand(["SET", "m:refused"]);
  that((await errorOf(() => refused.exec())).includes("wrong number of arguments"), "one is refused");
  equal(await client.get("m:refused"), null);
  equal(await client.sendCommand(["MULTI"]), "OK");
  equal(await client.sendCommand(["SET", "m:refused", "1"]), "QUEUED");
  equal(await client.sendCommand(["DISCARD"]), "OK");
  equal(await client.get("m:refused"), null);
});

await check("watch", async () => {
  await client.set("w", "1");
  await client.watch("w");
  await other.set("w", "2");
  let conflict: unknown;
  await client
    .multi()
    .set("w", "3")
    .exec()
    .catch((error: unknown) => {
      conflict = error;
    });
  that(conflict instanceof WatchError, `a conflict is a WatchError, not ${conflict}`);
  equal(await client.get("w"), "2");
  await client.watch("w");
  equal(await client.multi().set("w", "3").exec(), ["OK"]);
  equal(await other.get("w"), "3");
});

await check("pubsub", async () => {
  const subscriber = await connected();
  const heard: string[] = [];
  await subscriber.subscribe(["news", "weather"], (message, channel) => heard.push(`${channel}:${message}`));
  equal(await client.publish("news", "one"), 1);
  equal(await client.publish("weather", "two"), 1);
  equal(await client.publish("sport", "three"), 0);
  await until("messages", () => heard.length === 2);
  equal(heard, ["news:one", "weather:two"]);
  await subscriber.unsubscribe("news");
  equal(await client.publish("news", "four"), 0);
  await subscriber.unsubscribe();
  equal(await subscriber.ping(), "PONG");
  subscriber.destroy();
});

await check("pubsub-pattern", async () => {
  const subscriber = await connected();
  const heard: string[] = [];
  await subscriber.pSubscribe("n?ws:*", (message, channel) => heard.push(`${channel}:${message}`));
  equal(await client.publish("news:a", "one"), 1);
  equal(await client.publish("nws:a", "two"), 0);
  await until("a message", () => heard.length === 1);
  equal(heard, ["news:a:one"]);
  await subscriber.pUnsubscribe("n?ws:*");
  equal(await client.publish("news:a", "three"), 0);
  subscriber.destroy();
});

await check("blocking", async () => {
  const blocked = await connected();
  const popped = blocked.blPop(["q", "q:2"], 10);
  await to.sleep(50);
  equal(await client.rPush("q:2", ["a", "b"]), 2);
  equal(await popped, { key: "q:2", element: "a" });
  const moved = blocked.blMove("q:3", "q:4", "LEFT", "RIGHT", 10);
  await to.sleep(50);
  await client.rPush("q:3", "c");
  equal(await moved, "c");
  const least = blocked.bzPopMin("q:z", 10);
  await to.sleep(50);
  await client.zAdd("q:z", { score: 1.5, value: "m" });
  equal(await least, { key: "q:z", value: "m", score: 1.5 });
  blocked.destroy();
});

await check("blocking-timeout", async () => {
  const blocked = await connected();
  const start = performance.now();
  equal(await blocked.blPop("q:none", 0.2), null);
  that(performance.now() - start > 190, "it waits");
  equal(await blocked.ping(), "PONG");
  blocked.destroy();
});

async function caching() {
  const cache = new BasicClientSideCache();
  const cached = createClient({ socket: { host, port }, clientSideCache: cache });
  cached.on("error", () => {});
  await cached.connect();
  return { cache, cached };
}

await check("cache", async () => {
  const { cache, cached } = await caching();
  await client.set("cc", "1");
  equal(await cached.get("cc"), "1");
  equal(await cached.get("cc"), "1");
  equal([cache.stats().hitCount, cache.stats().missCount], [1, 1], "hits and misses");
  cached.destroy();
});

await check("cache-invalidation", async () => {
  const { cache, cached } = await caching();
  await client.mSet({ "cc:1": "1", "cc:2": "1", "cc:3": "1" });
  await client.set("cc:4", "1", { expiration: { type: "PX", value: 600 } });
  for (const key of ["cc:1", "cc:2", "cc:3", "cc:4"]) equal(await cached.get(key), "1");
  equal(cache.size(), 4);
  await client.set("cc:1", "2");
  await until("the written value", async () => (await cached.get("cc:1")) === "2");
  await client.del("cc:2");
  await until("the deletion", async () => (await cached.get("cc:2")) === null);
  await until("the expiry", async () => (await cached.get("cc:4")) === null);
  const misses = cache.stats().missCount;
  equal(await cached.get("cc:3"), "1");
  equal(cache.stats().missCount, misses, "what nobody touched stays cached: misses");
  await client.flushDb();
  await until("the flush", async () => (await cached.get("cc:3")) === null);
  cached.destroy();
});

await check("large-values", async () => {
  const value = to.large();
  equal(await client.set("large", value), "OK");
  that(value.equals((await bytes.get("large")) ?? Buffer.alloc(0)), "GET gives what SET took");
  equal(await client.rPush("large:l", [value, "end"]), 2);
  const [first, last] = await bytes.lRange("large:l", 0, -1);
  that(value.equals(first ?? Buffer.alloc(0)) && last?.toString() === "end", "LRANGE gives what RPUSH took");
  await client.del(["large", "large:l"]);
});

await check("binary", async () => {
  const { everyByte } = to;
  await client.set(everyByte, everyByte);
  that(everyByte.equals((await bytes.get(everyByte)) ?? Buffer.alloc(0)), "GET");
  await client.hSet("bin", everyByte, everyByte);
  for (const [given] of [await bytes.hKeys("bin"), await bytes.hVals("bin")])
    that(everyByte.equals(given ?? Buffer.alloc(0)), "HKEYS and HVALS");
});

await check("errors", async () => {
  await client.set("err", "text");
  const failure = await client.lPush("err", "x").catch((error: unknown) => error);
  that(failure instanceof ErrorReply, `an ErrorReply, not ${failure}`);
  equal(`${failure}`, "Error: WRONGTYPE Operation against a key holding the wrong kind of value");
  equal(await errorOf(() => client.incr("err")), "ERR value is not an integer or out of range");
  equal(await errorOf(() => client.sendCommand(["SET", "err", "x", "NX", "XX"])), "ERR syntax error");
  equal(await client.get("err"), "text");
});

await check("unsupported", async () => {
  that(
    (await errorOf(() => client.sendCommand(["NOSUCH", "a"]))).startsWith("ERR unknown command 'NOSUCH'"),
    "NOSUCH",
  );
  if (to.scripting) equal(await client.eval("return 1"), 1);
  else that((await errorOf(() => client.eval("return 1"))).startsWith("ERR unknown command 'EVAL'"), "EVAL");
  equal(await client.ping(), "PONG");
});

const subscriber = await connected();
const heard: string[] = [];
await subscriber.subscribe("again", (message) => heard.push(message));
await check("reconnect", async () => {
  await to.restartServer();
  await until("a working connection", async () => (await client.set("r", "1")) === "OK");
  equal(await client.get("r"), "1");
  to.expectHandshake(await client.sendCommand<string>(["CLIENT", "INFO"]), 3, "node-redis");
});

await check("reconnect-pubsub", async () => {
  await until("a message", async () => {
    await client.publish("again", "hello");
    return heard.includes("hello");
  });
});

to.done();
