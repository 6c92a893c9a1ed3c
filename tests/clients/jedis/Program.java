// Program.java: Jedis at its defaults. The lines that it prints are those of ../checks.ts.
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import redis.clients.jedis.AbstractTransaction;
import redis.clients.jedis.GeoCoordinate;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Protocol;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.Response;
import redis.clients.jedis.args.BitOP;
import redis.clients.jedis.args.GeoUnit;
import redis.clients.jedis.args.ListDirection;
import redis.clients.jedis.commands.ProtocolCommand;
import redis.clients.jedis.csc.CacheConfig;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.params.GeoSearchParam;
import redis.clients.jedis.params.ScanParams;
import redis.clients.jedis.params.SetParams;
import redis.clients.jedis.resps.GeoRadiusResponse;
import redis.clients.jedis.resps.ScanResult;
import redis.clients.jedis.resps.Tuple;
import redis.clients.jedis.util.KeyValue;

public final class Program {
  private static final RedisClient client = connected();
  private static final RedisClient other = connected();

  private static RedisClient connected() {
    return RedisClient.create(Checks.HOST, Checks.PORT);
  }

  /** A command that the library has no name for. */
  private static ProtocolCommand named(String name) {
    return () -> name.getBytes(StandardCharsets.US_ASCII);
  }

  private static String clientInfo() {
    Object reply = client.sendCommand(Protocol.Command.CLIENT, "INFO");
    return reply instanceof byte[] bytes ? new String(bytes, StandardCharsets.US_ASCII) : String.valueOf(reply);
  }

  /** Hears messages on a thread of its own, as `channel:message`. */
  private static final class Listener extends JedisPubSub {
    final LinkedBlockingQueue<String> heard = new LinkedBlockingQueue<>();

    @Override
    public void onMessage(String channel, String message) {
      heard.add(channel + ":" + message);
    }

    @Override
    public void onPMessage(String pattern, String channel, String message) {
      heard.add(pattern + " " + channel + ":" + message);
    }

    String next() throws InterruptedException {
      return heard.poll(10, TimeUnit.SECONDS);
    }

    Thread on(String... channels) throws InterruptedException {
      Thread thread = Checks.thread(() -> client.subscribe(this, channels));
      Checks.until("the subscription", () -> getSubscribedChannels() == channels.length);
      return thread;
    }
  }

  private static RedisClient caching() throws Checks.Limit {
    if (client.info("server").matches("(?s).*redis_version:([0-6]\\.|7\\.[0-3]\\.).*"))
      throw new Checks.Limit("the library wants a server of version 7.4 or newer for it");
    RedisClient.Builder builder = RedisClient.builder();
    builder.hostAndPort(Checks.HOST, Checks.PORT).cacheConfig(CacheConfig.builder().build());
    return builder.build();
  }

  public static void main(String[] arguments) {
    Checks.version(RedisClient.class);

    Checks.check("connect", () -> Checks.equal(client.ping(), "PONG"));

    Checks.check("handshake", () -> Checks.expectHandshake(clientInfo(), "jedis"));

    Checks.check(
        "strings",
        () -> {
          Checks.equal(client.set("s", "one"), "OK");
          Checks.equal(client.get("s"), "one");
          Checks.equal(client.set("s", "two", SetParams.setParams().nx()), null);
          Checks.equal(client.setGet("s", "two", SetParams.setParams().xx().ex(50)), "one");
          Checks.equal(client.append("s", "+"), 4L);
          Checks.equal(client.getrange("s", 1, -1), "wo+");
          Checks.equal(client.incrBy("s:n", 41), 41L);
          Checks.equal(client.incr("s:n"), 42L);
          Checks.equal(client.incrByFloat("s:n", 0.5), 42.5);
          Checks.equal(client.mset("s:a", "1", "s:b", "2"), "OK");
          Checks.equal(client.mget("s:a", "s:none", "s:b"), Arrays.asList("1", null, "2"));
          Checks.equal(client.get("s:none"), null);
        });

    Checks.check(
        "lists",
        () -> {
          Checks.equal(client.rpush("l", "b", "c", "d"), 3L);
          Checks.equal(client.lpush("l", "a"), 4L);
          Checks.equal(client.lrange("l", 0, -1), List.of("a", "b", "c", "d"));
          Checks.equal(client.lpos("l", "c"), 2L);
          Checks.equal(client.lpop("l"), "a");
          Checks.equal(client.lmove("l", "l:2", ListDirection.RIGHT, ListDirection.LEFT), "d");
          Checks.equal(client.llen("l"), 2L);
          Checks.equal(client.lpop("l:none"), null);
        });

    Checks.check(
        "hashes",
        () -> {
          Checks.equal(client.hset("h", Map.of("a", "1", "b", "two")), 2L);
          Checks.equal(client.hget("h", "b"), "two");
          Checks.equal(client.hget("h", "none"), null);
          Checks.equal(client.hmget("h", "a", "none"), Arrays.asList("1", null));
          Checks.equal(client.hincrBy("h", "a", 9), 10L);
          Checks.equal(client.hgetAll("h"), Map.of("a", "10", "b", "two"));
          Checks.equal(client.hdel("h", "a"), 1L);
          Checks.equal(client.hlen("h"), 1L);
        });

    Checks.check(
        "sets",
        () -> {
          Checks.equal(client.sadd("t", "a", "b", "c"), 3L);
          Checks.equal(client.sadd("t:2", "b", "c", "d"), 3L);
          Checks.equal(client.sismember("t", "a"), true);
          Checks.equal(client.smembers("t"), Set.of("a", "b", "c"));
          Checks.equal(client.sinter("t", "t:2"), Set.of("b", "c"));
          Checks.equal(client.srem("t", "a"), 1L);
          Checks.equal(client.scard("t"), 2L);
        });

    Checks.check(
        "sorted-sets",
        () -> {
          Checks.equal(client.zadd("z", Map.of("a", 1.0, "b", 2.5, "c", Double.POSITIVE_INFINITY)), 3L);
          Checks.equal(client.zscore("z", "b"), 2.5);
          Checks.equal(client.zscore("z", "none"), null);
          Checks.equal(client.zrank("z", "c"), 2L);
          Checks.equal(
              client.zrangeWithScores("z", 0, -1),
              List.of(new Tuple("a", 1.0), new Tuple("b", 2.5), new Tuple("c", Double.POSITIVE_INFINITY)));
          Checks.equal(client.zrangeByScore("z", "(1", "+inf"), List.of("b", "c"));
          Checks.equal(client.zincrby("z", 0.25, "a"), 1.25);
          Checks.equal(client.zpopmin("z"), new Tuple("a", 1.25));
          Checks.equal(client.zpopmin("z:none"), null);
        });

    Checks.check(
        "bitmaps",
        () -> {
          Checks.equal(client.setbit("b", 7, true), false);
          Checks.equal(client.setbit("b", 12, true), false);
          Checks.equal(client.getbit("b", 7), true);
          Checks.equal(client.bitcount("b"), 2L);
          Checks.equal(client.bitpos("b", true), 7L);
          Checks.equal(client.bitop(BitOP.NOT, "b:not", "b"), 2L);
          Checks.equal(client.bitcount("b:not"), 14L);
        });

    Checks.check(
        "hyperloglog",
        () -> {
          Checks.equal(client.pfadd("p", "a", "b", "c"), 1L);
          Checks.equal(client.pfadd("p:2", "c", "d"), 1L);
          Checks.equal(client.pfcount("p", "p:2"), 4L);
          Checks.equal(client.pfmerge("p:3", "p", "p:2"), "OK");
          Checks.equal(client.pfcount("p:3"), 4L);
        });

    Checks.check(
        "geo",
        () -> {
          GeoCoordinate palermo = new GeoCoordinate(13.361389, 38.115556);
          GeoCoordinate catania = new GeoCoordinate(15.087269, 37.502669);
          Checks.equal(client.geoadd("g", Map.of("Palermo", palermo, "Catania", catania)), 2L);
          Checks.equal(client.geodist("g", "Palermo", "Catania", GeoUnit.KM), 166.2742);
          GeoCoordinate position = client.geopos("g", "Palermo").get(0);
          Checks.that(Math.abs(position.getLongitude() - 13.361389) < 1e-5, "position " + position);
          GeoCoordinate here = new GeoCoordinate(15, 37);
          List<GeoRadiusResponse> near = client.geosearch("g", here, 100, GeoUnit.KM);
          Checks.equal(near.stream().map(GeoRadiusResponse::getMemberByString).toList(), List.of("Catania"));
          List<GeoRadiusResponse> far =
              client.geosearch(
                  "g", new GeoSearchParam().fromLonLat(here).byRadius(200, GeoUnit.KM).asc().withDist());
          Checks.equal(
              far.stream().map(each -> each.getMemberByString() + " " + each.getDistance()).toList(),
              List.of("Catania 56.4413", "Palermo 190.4424"));
        });

    Checks.check(
        "expiry",
        () -> {
          client.set("e", "v");
          Checks.equal(client.ttl("e"), -1L);
          Checks.equal(client.expire("e", 100), 1L);
          Checks.that(client.ttl("e") >= 99, "TTL");
          Checks.that(client.pttl("e") > 98_000, "PTTL");
          Checks.equal(client.persist("e"), 1L);
          Checks.equal(client.ttl("e"), -1L);
          Checks.equal(client.ttl("e:none"), -2L);
          client.psetex("e:px", 300, "v");
          Checks.equal(client.get("e:px"), "v");
          Thread.sleep(320);
          Checks.equal(client.get("e:px"), null);
        });

    Checks.check("scan", Program::scan);

    Checks.check(
        "pipeline",
        () -> {
          client.set("pipe:text", "x");
          List<Response<Long>> replies = new ArrayList<>();
          try (Pipeline pipeline = client.pipelined()) {
            for (int i = 0; i < 1000; i++) replies.add(pipeline.incr(i == 500 ? "pipe:text" : "pipe:n"));
            pipeline.sync();
          }
          Checks.fails("not an integer", () -> replies.get(500).get());
          Checks.equal(replies.get(499).get(), 500L);
          Checks.equal(replies.get(999).get(), 999L);
        });

    Checks.check("transaction", Program::transaction);

    Checks.check(
        "watch",
        () -> {
          client.set("w", "1");
          try (AbstractTransaction transaction = client.transaction(false)) {
            transaction.watch("w");
            other.set("w", "2");
            transaction.multi();
            transaction.set("w", "3");
            Checks.equal(transaction.exec(), null);
          }
          Checks.equal(client.get("w"), "2");
          try (AbstractTransaction transaction = client.transaction(false)) {
            transaction.watch("w");
            transaction.multi();
            transaction.set("w", "3");
            Checks.equal(transaction.exec(), List.of("OK"));
          }
          Checks.equal(other.get("w"), "3");
        });

    Checks.check(
        "pubsub",
        () -> {
          Listener listener = new Listener();
          Thread thread = listener.on("news", "weather");
          Checks.equal(client.publish("news", "one"), 1L);
          Checks.equal(client.publish("weather", "two"), 1L);
          Checks.equal(client.publish("sport", "three"), 0L);
          Checks.equal(listener.next(), "news:one");
          Checks.equal(listener.next(), "weather:two");
          listener.unsubscribe("news");
          Checks.until("the end of one", () -> listener.getSubscribedChannels() == 1);
          Checks.equal(client.publish("news", "four"), 0L);
          listener.unsubscribe();
          thread.join(5000);
          Checks.that(!thread.isAlive(), "subscribe() returns after the last channel");
        });

    Checks.check(
        "pubsub-pattern",
        () -> {
          Listener listener = new Listener();
          Thread thread = Checks.thread(() -> client.psubscribe(listener, "n?ws:*"));
          Checks.until("the subscription", () -> listener.getSubscribedChannels() == 1);
          Checks.equal(client.publish("news:a", "one"), 1L);
          Checks.equal(client.publish("nws:a", "two"), 0L);
          Checks.equal(listener.next(), "n?ws:* news:a:one");
          listener.punsubscribe("n?ws:*");
          thread.join(5000);
          Checks.equal(client.publish("news:a", "three"), 0L);
        });

    Checks.check(
        "blocking",
        () -> {
          Checks.later(() -> other.rpush("q:2", "a", "b"));
          Checks.equal(client.blpop(10.0, "q", "q:2"), new KeyValue<>("q:2", "a"));
          Checks.later(() -> other.rpush("q:3", "c"));
          Checks.equal(client.blmove("q:3", "q:4", ListDirection.LEFT, ListDirection.RIGHT, 10.0), "c");
          Checks.later(() -> other.zadd("q:z", 1.5, "m"));
          Checks.equal(client.bzpopmin(10.0, "q:z"), new KeyValue<>("q:z", new Tuple("m", 1.5)));
        });

    Checks.check(
        "blocking-timeout",
        () -> {
          long begin = System.nanoTime();
          Checks.equal(client.blpop(0.2, "q:none"), null);
          Checks.that(System.nanoTime() - begin > 190_000_000, "it waits");
          Checks.equal(client.ping(), "PONG");
        });

    Checks.check(
        "cache",
        () -> {
          try (RedisClient cached = caching()) {
            client.set("cc", "1");
            Checks.equal(cached.get("cc"), "1");
            Checks.equal(cached.get("cc"), "1");
            Checks.equal(cached.getCache().getStats().getHitCount(), 1L);
            Checks.equal(cached.getCache().getStats().getMissCount(), 1L);
          }
        });

    Checks.check(
        "cache-invalidation",
        () -> {
          try (RedisClient cached = caching()) {
            client.mset("cc:1", "1", "cc:2", "1", "cc:3", "1");
            client.psetex("cc:4", 600, "1");
            for (String key : List.of("cc:1", "cc:2", "cc:3", "cc:4")) Checks.equal(cached.get(key), "1");
            Checks.equal(cached.getCache().getSize(), 4);
            client.set("cc:1", "2");
            Checks.until("the written value", () -> "2".equals(cached.get("cc:1")));
            client.del("cc:2");
            Checks.until("the deletion", () -> cached.get("cc:2") == null);
            Checks.until("the expiry", () -> cached.get("cc:4") == null);
            long misses = cached.getCache().getStats().getMissCount();
            Checks.equal(cached.get("cc:3"), "1");
            Checks.equal(cached.getCache().getStats().getMissCount(), misses);
            client.flushDB();
            Checks.until("the flush", () -> cached.get("cc:3") == null);
          }
        });

    Checks.check(
        "large-values",
        () -> {
          byte[] value = Checks.large();
          byte[] key = "large".getBytes();
          Checks.equal(client.set(key, value), "OK");
          Checks.that(Arrays.equals(client.get(key), value), "GET gives what SET took");
          byte[] list = "large:l".getBytes();
          Checks.equal(client.rpush(list, value, "end".getBytes()), 2L);
          Checks.that(Arrays.equals(client.lrange(list, 0, -1).get(0), value), "LRANGE gives what RPUSH took");
          client.del("large", "large:l");
        });

    Checks.check(
        "binary",
        () -> {
          byte[] every = Checks.everyByte();
          client.set(every, every);
          Checks.equal(client.get(every), every);
          byte[] key = "bin".getBytes();
          client.hset(key, every, every);
          Map.Entry<byte[], byte[]> entry = client.hgetAll(key).entrySet().iterator().next();
          Checks.equal(entry.getKey(), every);
          Checks.equal(entry.getValue(), every);
        });

    Checks.check(
        "errors",
        () -> {
          client.set("err", "text");
          Exception error = Checks.fails("WRONGTYPE Operation against a key", () -> client.lpush("err", "x"));
          Checks.that(error instanceof JedisDataException, "a JedisDataException, not " + error);
          Checks.fails("ERR value is not an integer or out of range", () -> client.incr("err"));
          Checks.fails(
              "ERR syntax error", () -> client.sendCommand(Protocol.Command.SET, "err", "x", "NX", "XX"));
          Checks.equal(client.get("err"), "text");
        });

    Checks.check(
        "unsupported",
        () -> {
          Checks.fails("ERR unknown command 'NOSUCH'", () -> client.sendCommand(named("NOSUCH"), "a"));
          if (Checks.SCRIPTING) Checks.equal(client.eval("return 1"), 1L);
          else Checks.fails("ERR unknown command 'EVAL'", () -> client.eval("return 1"));
          Checks.equal(client.ping(), "PONG");
        });

    Listener listener = new Listener();
    Thread[] thread = new Thread[1];
    Checks.check(
        "reconnect",
        () -> {
          thread[0] = listener.on("again");
          Checks.restartServer();
          Checks.until("a working connection", () -> "OK".equals(client.set("r", "1")));
          Checks.equal(client.get("r"), "1");
          Checks.expectHandshake(clientInfo(), "jedis");
        });

    Checks.check(
        "reconnect-pubsub",
        () -> {
          thread[0].join(5000);
          Checks.that(!thread[0].isAlive(), "subscribe() ends with the connection");
          Listener again = new Listener();
          again.on("again");
          Checks.equal(client.publish("again", "hello"), 1L);
          Checks.equal(again.next(), "again:hello");
          throw new Checks.Limit("subscribe() throws when the connection is lost; the application has to call it again");
        });

    Runtime.getRuntime().halt(0);
  }

  private static void scan() {
    List<String> keys = new ArrayList<>();
    Map<String, String> fields = new HashMap<>();
    Map<String, Double> scores = new HashMap<>();
    for (int i = 0; i < 1000; i++) {
      keys.add("scan:" + i);
      keys.add("" + i);
      fields.put("" + i, "" + i);
      scores.put("" + i, (double) i);
    }
    client.mset(keys.toArray(String[]::new));
    client.hset("c:h", fields);
    client.sadd("c:s", fields.keySet().toArray(String[]::new));
    client.zadd("c:z", scores);
    Set<String> found = new HashSet<>();
    var iteration = client.scanIteration(100, "scan:*");
    while (!iteration.isIterationCompleted()) found.addAll(iteration.nextBatchList());
    Checks.equal(found.size(), 1000);
    ScanParams pages = new ScanParams().count(100);
    Map<String, String> foundFields = new HashMap<>();
    String cursor = ScanParams.SCAN_POINTER_START;
    do {
      ScanResult<Map.Entry<String, String>> page = client.hscan("c:h", cursor, pages);
      page.getResult().forEach(entry -> foundFields.put(entry.getKey(), entry.getValue()));
      cursor = page.getCursor();
    } while (!cursor.equals("0"));
    Checks.equal(foundFields, fields);
    Set<String> members = new HashSet<>();
    do {
      ScanResult<String> page = client.sscan("c:s", cursor, pages);
      members.addAll(page.getResult());
      cursor = page.getCursor();
    } while (!cursor.equals("0"));
    Checks.equal(members, fields.keySet());
    Map<String, Double> foundScores = new HashMap<>();
    do {
      ScanResult<Tuple> page = client.zscan("c:z", cursor, pages);
      page.getResult().forEach(tuple -> foundScores.put(tuple.getElement(), tuple.getScore()));
      cursor = page.getCursor();
    } while (!cursor.equals("0"));
    Checks.equal(foundScores, scores);
  }

  private static void transaction() {
    try (AbstractTransaction transaction = client.multi()) {
      transaction.set("m", "1");
      transaction.incr("m");
      transaction.get("m");
      Checks.equal(transaction.exec(), List.of("OK", 2L, "2"));
    }
    try (AbstractTransaction transaction = client.multi()) {
      transaction.set("m", "text");
      Response<Long> failing = transaction.incr("m");
      transaction.set("m:after", "1");
      Checks.that(transaction.exec().get(1) instanceof JedisDataException, "a command fails inside");
      Checks.fails("not an integer", failing::get);
    }
    Checks.equal(client.get("m:after"), "1");
    try (AbstractTransaction transaction = client.multi()) {
      transaction.set("m:refused", "1");
      transaction.sendCommand(Protocol.Command.SET, "m:refused");
      Checks.fails("EXECABORT", transaction::exec);
    }
    Checks.equal(client.get("m:refused"), null);
    try (AbstractTransaction transaction = client.multi()) {
      transaction.set("m:refused", "1");
      Checks.equal(transaction.discard(), "OK");
    }
    Checks.equal(client.get("m:refused"), null);
  }
}
