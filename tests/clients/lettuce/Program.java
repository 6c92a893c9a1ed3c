// Program.java: Lettuce at its defaults. The lines that it prints are those of ../checks.ts.
import io.lettuce.core.BitFieldArgs;
import io.lettuce.core.GeoArgs;
import io.lettuce.core.GeoCoordinates;
import io.lettuce.core.GeoSearch;
import io.lettuce.core.GeoWithin;
import io.lettuce.core.KeyValue;
import io.lettuce.core.LMoveArgs;
import io.lettuce.core.Range;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.RedisURI;
import io.lettuce.core.ScanArgs;
import io.lettuce.core.ScanIterator;
import io.lettuce.core.ScoredValue;
import io.lettuce.core.ScriptOutputType;
import io.lettuce.core.SetArgs;
import io.lettuce.core.TrackingArgs;
import io.lettuce.core.TransactionResult;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.codec.ByteArrayCodec;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.output.StatusOutput;
import io.lettuce.core.protocol.CommandArgs;
import io.lettuce.core.protocol.ProtocolKeyword;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import io.lettuce.core.pubsub.StatefulRedisPubSubConnection;
import io.lettuce.core.support.caching.CacheAccessor;
import io.lettuce.core.support.caching.CacheFrontend;
import io.lettuce.core.support.caching.ClientSideCaching;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

public final class Program {
  private static final RedisClient redis = RedisClient.create(RedisURI.create(Checks.HOST, Checks.PORT));
  private static final StatefulRedisConnection<String, String> connection = redis.connect();
  private static final RedisCommands<String, String> client = connection.sync();
  private static final RedisCommands<String, String> other = redis.connect().sync();

  /** A command that the library has no method for. */
  private static String raw(String name, String... arguments) {
    ProtocolKeyword keyword =
        new ProtocolKeyword() {
          @Override
          public byte[] getBytes() {
            return name.getBytes(StandardCharsets.US_ASCII);
          }

          @Override
          public String toString() {
            return name;
          }
        };
    CommandArgs<String, String> args = new CommandArgs<>(StringCodec.UTF8);
    for (String argument : arguments) args.add(argument);
    return client.dispatch(keyword, new StatusOutput<>(StringCodec.UTF8), args);
  }

  /** Hears messages, as `channel:message`. */
  private static final class Listener extends RedisPubSubAdapter<String, String> {
    final LinkedBlockingQueue<String> heard = new LinkedBlockingQueue<>();
    final StatefulRedisPubSubConnection<String, String> connection = redis.connectPubSub();

    Listener() {
      connection.addListener(this);
    }

    @Override
    public void message(String channel, String message) {
      heard.add(channel + ":" + message);
    }

    @Override
    public void message(String pattern, String channel, String message) {
      heard.add(pattern + " " + channel + ":" + message);
    }

    String next() throws InterruptedException {
      return heard.poll(10, TimeUnit.SECONDS);
    }
  }

  public static void main(String[] arguments) {
    Checks.version(RedisClient.class);

    Checks.check("connect", () -> Checks.equal(client.ping(), "PONG"));

    Checks.check("handshake", () -> Checks.expectHandshake(client.clientInfo(), "Lettuce"));

    Checks.check(
        "strings",
        () -> {
          Checks.equal(client.set("s", "one"), "OK");
          Checks.equal(client.get("s"), "one");
          Checks.equal(client.set("s", "two", SetArgs.Builder.nx()), null);
          Checks.equal(client.setGet("s", "two", SetArgs.Builder.xx().ex(50)), "one");
          Checks.equal(client.append("s", "+"), 4L);
          Checks.equal(client.getrange("s", 1, -1), "wo+");
          Checks.equal(client.incrby("s:n", 41), 41L);
          Checks.equal(client.incr("s:n"), 42L);
          Checks.equal(client.incrbyfloat("s:n", 0.5), 42.5);
          Checks.equal(client.mset(Map.of("s:a", "1", "s:b", "2")), "OK");
          Checks.equal(
              client.mget("s:a", "s:none", "s:b"),
              List.of(KeyValue.just("s:a", "1"), KeyValue.empty("s:none"), KeyValue.just("s:b", "2")));
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
          Checks.equal(client.lmove("l", "l:2", LMoveArgs.Builder.rightLeft()), "d");
          Checks.equal(client.llen("l"), 2L);
          Checks.equal(client.lpop("l:none"), null);
        });

    Checks.check(
        "hashes",
        () -> {
          Checks.equal(client.hset("h", Map.of("a", "1", "b", "two")), 2L);
          Checks.equal(client.hget("h", "b"), "two");
          Checks.equal(client.hget("h", "none"), null);
          Checks.equal(client.hmget("h", "a", "none"), List.of(KeyValue.just("a", "1"), KeyValue.empty("none")));
          Checks.equal(client.hincrby("h", "a", 9), 10L);
          Checks.equal(client.hgetall("h"), Map.of("a", "10", "b", "two"));
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
          List<ScoredValue<String>> scored =
              List.of(
                  ScoredValue.just(1, "a"),
                  ScoredValue.just(2.5, "b"),
                  ScoredValue.just(Double.POSITIVE_INFINITY, "c"));
          Checks.equal(client.zadd("z", scored.get(0), scored.get(1), scored.get(2)), 3L);
          Checks.equal(client.zscore("z", "b"), 2.5);
          Checks.equal(client.zscore("z", "none"), null);
          Checks.equal(client.zrank("z", "c"), 2L);
          Checks.equal(client.zrangeWithScores("z", 0, -1), scored);
          Range<Double> above =
              Range.from(Range.Boundary.excluding(1.0), Range.Boundary.including(Double.POSITIVE_INFINITY));
          Checks.equal(client.zrangebyscore("z", above), List.of("b", "c"));
          Checks.equal(client.zincrby("z", 0.25, "a"), 1.25);
          Checks.equal(client.zpopmin("z"), ScoredValue.just(1.25, "a"));
          Checks.that(!client.zpopmin("z:none").hasValue(), "ZPOPMIN of a missing key");
        });

    Checks.check(
        "bitmaps",
        () -> {
          Checks.equal(client.setbit("b", 7, 1), 0L);
          Checks.equal(client.setbit("b", 12, 1), 0L);
          Checks.equal(client.getbit("b", 7), 1L);
          Checks.equal(client.bitcount("b"), 2L);
          Checks.equal(client.bitpos("b", true), 7L);
          Checks.equal(client.bitopNot("b:not", "b"), 2L);
          Checks.equal(client.bitcount("b:not"), 14L);
          Checks.equal(client.bitfield("b", BitFieldArgs.Builder.get(BitFieldArgs.unsigned(8), 0)), List.of(1L));
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
          Checks.equal(client.geoadd("g", 13.361389, 38.115556, "Palermo"), 1L);
          Checks.equal(client.geoadd("g", 15.087269, 37.502669, "Catania"), 1L);
          Checks.equal(client.geodist("g", "Palermo", "Catania", GeoArgs.Unit.km), 166.2742);
          GeoCoordinates position = client.geopos("g", "Palermo").get(0);
          Checks.that(Math.abs(position.getX().doubleValue() - 13.361389) < 1e-5, "position " + position);
          GeoSearch.GeoRef<String> here = GeoSearch.fromCoordinates(15, 37);
          Checks.equal(
              client.geosearch("g", here, GeoSearch.byRadius(100, GeoArgs.Unit.km)), Set.of("Catania"));
          List<GeoWithin<String>> far =
              client.geosearch(
                  "g", here, GeoSearch.byRadius(200, GeoArgs.Unit.km), new GeoArgs().withDistance().asc());
          Checks.equal(
              far.stream().map(each -> each.getMember() + " " + each.getDistance()).toList(),
              List.of("Catania 56.4413", "Palermo 190.4424"));
        });

    Checks.check(
        "expiry",
        () -> {
          client.set("e", "v");
          Checks.equal(client.ttl("e"), -1L);
          Checks.equal(client.expire("e", 100), true);
          Checks.that(client.ttl("e") >= 99, "TTL");
          Checks.that(client.pttl("e") > 98_000, "PTTL");
          Checks.equal(client.persist("e"), true);
          Checks.equal(client.ttl("e"), -1L);
          Checks.equal(client.ttl("e:none"), -2L);
          client.set("e:px", "v", SetArgs.Builder.px(300));
          Checks.equal(client.get("e:px"), "v");
          Thread.sleep(320);
          Checks.equal(client.get("e:px"), null);
        });

    Checks.check("scan", Program::scan);

    Checks.check(
        "pipeline",
        () -> {
          client.set("pipe:text", "x");
          List<RedisFuture<Long>> replies = new ArrayList<>();
          connection.setAutoFlushCommands(false);
          for (int i = 0; i < 1000; i++)
            replies.add(connection.async().incr(i == 500 ? "pipe:text" : "pipe:n"));
          connection.flushCommands();
          connection.setAutoFlushCommands(true);
          Checks.fails("not an integer", () -> replies.get(500).get(10, TimeUnit.SECONDS));
          Checks.equal(replies.get(499).get(10, TimeUnit.SECONDS), 500L);
          Checks.equal(replies.get(999).get(10, TimeUnit.SECONDS), 999L);
        });

    Checks.check("transaction", Program::transaction);

    Checks.check(
        "watch",
        () -> {
          client.set("w", "1");
          Checks.equal(client.watch("w"), "OK");
          other.set("w", "2");
          client.multi();
          client.set("w", "3");
          Checks.that(client.exec().wasDiscarded(), "EXEC after a conflict");
          Checks.equal(client.get("w"), "2");
          client.watch("w");
          client.multi();
          client.set("w", "3");
          TransactionResult result = client.exec();
          Checks.that(!result.wasDiscarded() && result.get(0).equals("OK"), "EXEC without a conflict");
          Checks.equal(other.get("w"), "3");
        });

    Checks.check(
        "pubsub",
        () -> {
          Listener listener = new Listener();
          listener.connection.sync().subscribe("news", "weather");
          Checks.equal(client.publish("news", "one"), 1L);
          Checks.equal(client.publish("weather", "two"), 1L);
          Checks.equal(client.publish("sport", "three"), 0L);
          Checks.equal(listener.next(), "news:one");
          Checks.equal(listener.next(), "weather:two");
          listener.connection.sync().unsubscribe("news");
          Checks.equal(client.publish("news", "four"), 0L);
          Checks.equal(listener.connection.sync().ping(), "PONG");
          listener.connection.close();
        });

    Checks.check(
        "pubsub-pattern",
        () -> {
          Listener listener = new Listener();
          listener.connection.sync().psubscribe("n?ws:*");
          Checks.equal(client.publish("news:a", "one"), 1L);
          Checks.equal(client.publish("nws:a", "two"), 0L);
          Checks.equal(listener.next(), "n?ws:* news:a:one");
          listener.connection.sync().punsubscribe("n?ws:*");
          Checks.equal(client.publish("news:a", "three"), 0L);
          listener.connection.close();
        });

    Checks.check(
        "blocking",
        () -> {
          Checks.later(() -> other.rpush("q:2", "a", "b"));
          Checks.equal(client.blpop(10, "q", "q:2"), KeyValue.just("q:2", "a"));
          Checks.later(() -> other.rpush("q:3", "c"));
          Checks.equal(client.blmove("q:3", "q:4", LMoveArgs.Builder.leftRight(), 10), "c");
          Checks.later(() -> other.zadd("q:z", 1.5, "m"));
          Checks.equal(client.bzpopmin(10, "q:z"), KeyValue.just("q:z", ScoredValue.just(1.5, "m")));
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
          try (StatefulRedisConnection<String, String> tracked = redis.connect()) {
            Map<String, String> local = new ConcurrentHashMap<>();
            CacheFrontend<String, String> cached =
                ClientSideCaching.enable(CacheAccessor.forMap(local), tracked, TrackingArgs.Builder.enabled());
            client.set("cc", "1");
            Checks.equal(cached.get("cc"), "1");
            Checks.equal(local, Map.of("cc", "1"));
            local.put("cc", "from the cache");
            Checks.equal(cached.get("cc"), "from the cache");
          }
        });

    Checks.check("cache-invalidation", Program::invalidation);

    Checks.check(
        "large-values",
        () -> {
          try (StatefulRedisConnection<byte[], byte[]> bytes = redis.connect(ByteArrayCodec.INSTANCE)) {
            byte[] value = Checks.large();
            byte[] key = "large".getBytes();
            Checks.equal(bytes.sync().set(key, value), "OK");
            Checks.that(Arrays.equals(bytes.sync().get(key), value), "GET gives what SET took");
            byte[] list = "large:l".getBytes();
            Checks.equal(bytes.sync().rpush(list, value, "end".getBytes()), 2L);
            Checks.that(Arrays.equals(bytes.sync().lrange(list, 0, -1).get(0), value), "LRANGE");
            client.del("large", "large:l");
          }
        });

    Checks.check(
        "binary",
        () -> {
          try (StatefulRedisConnection<byte[], byte[]> bytes = redis.connect(ByteArrayCodec.INSTANCE)) {
            byte[] every = Checks.everyByte();
            bytes.sync().set(every, every);
            Checks.equal(bytes.sync().get(every), every);
            byte[] key = "bin".getBytes();
            bytes.sync().hset(key, every, every);
            Map.Entry<byte[], byte[]> entry = bytes.sync().hgetall(key).entrySet().iterator().next();
            Checks.equal(entry.getKey(), every);
            Checks.equal(entry.getValue(), every);
          }
        });

    Checks.check(
        "errors",
        () -> {
          client.set("err", "text");
          Exception error = Checks.fails("WRONGTYPE Operation against a key", () -> client.lpush("err", "x"));
          Checks.that(error instanceof RedisCommandExecutionException, "of its class, not " + error);
          Checks.fails("ERR value is not an integer or out of range", () -> client.incr("err"));
          Checks.fails("ERR syntax error", () -> raw("SET", "err", "x", "NX", "XX"));
          Checks.equal(client.get("err"), "text");
        });

    Checks.check(
        "unsupported",
        () -> {
          Checks.fails("ERR unknown command 'NOSUCH'", () -> raw("NOSUCH", "a"));
          if (Checks.SCRIPTING) Checks.equal(client.eval("return 1", ScriptOutputType.INTEGER), 1L);
          else Checks.fails("ERR unknown command 'EVAL'", () -> client.eval("return 1", ScriptOutputType.INTEGER));
          Checks.equal(client.ping(), "PONG");
        });

    Listener listener = new Listener();
    Checks.check(
        "reconnect",
        () -> {
          listener.connection.sync().subscribe("again");
          Checks.restartServer();
          Checks.until("a working connection", () -> "OK".equals(client.set("r", "1")));
          Checks.equal(client.get("r"), "1");
          Checks.expectHandshake(client.clientInfo(), "Lettuce");
        });

    Checks.check(
        "reconnect-pubsub",
        () ->
            Checks.until(
                "a message",
                () -> {
                  other.publish("again", "hello");
                  return "again:hello".equals(listener.heard.poll());
                }));

    Runtime.getRuntime().halt(0);
  }

  private static void scan() {
    Map<String, String> keys = new HashMap<>();
    Map<String, String> fields = new HashMap<>();
    List<ScoredValue<String>> scores = new ArrayList<>();
    for (int i = 0; i < 1000; i++) {
      keys.put("scan:" + i, "" + i);
      fields.put("" + i, "" + i);
      scores.add(ScoredValue.just(i, "" + i));
    }
    client.mset(keys);
    client.hset("c:h", fields);
    client.sadd("c:s", fields.keySet().toArray(String[]::new));
    for (ScoredValue<String> score : scores) connection.async().zadd("c:z", score);
    Set<String> found = new HashSet<>();
    ScanIterator.scan(client, ScanArgs.Builder.limit(100).match("scan:*")).forEachRemaining(found::add);
    Checks.equal(found, keys.keySet());
    Map<String, String> foundFields = new HashMap<>();
    ScanIterator.hscan(client, "c:h").forEachRemaining(each -> foundFields.put(each.getKey(), each.getValue()));
    Checks.equal(foundFields, fields);
    Set<String> members = new HashSet<>();
    ScanIterator.sscan(client, "c:s").forEachRemaining(members::add);
    Checks.equal(members, fields.keySet());
    Set<ScoredValue<String>> foundScores = new HashSet<>();
    ScanIterator.zscan(client, "c:z").forEachRemaining(foundScores::add);
    Checks.equal(foundScores, new HashSet<>(scores));
  }

  private static void transaction() throws Exception {
    client.multi();
    client.set("m", "1");
    client.incr("m");
    client.get("m");
    Checks.equal(client.exec().stream().toList(), List.of("OK", 2L, "2"));
    client.multi();
    client.set("m", "text");
    client.incr("m");
    client.set("m:after", "1");
    Object failed = client.exec().get(1);
    Checks.that(failed instanceof RedisCommandExecutionException, "a command fails inside: " + failed);
    Checks.equal(client.get("m:after"), "1");
    client.multi();
    client.set("m:refused", "1");
    raw("SET", "m:refused");
    Checks.fails("EXECABORT", client::exec);
    Checks.equal(client.get("m:refused"), null);
    client.multi();
    client.set("m:refused", "1");
    Checks.equal(client.discard(), "OK");
    Checks.equal(client.get("m:refused"), null);
  }

  private static void invalidation() throws Exception {
    try (StatefulRedisConnection<String, String> tracked = redis.connect()) {
      Map<String, String> local = new ConcurrentHashMap<>();
      CacheFrontend<String, String> cached =
          ClientSideCaching.enable(CacheAccessor.forMap(local), tracked, TrackingArgs.Builder.enabled());
      client.mset(Map.of("cc:1", "1", "cc:2", "1", "cc:3", "1"));
      client.set("cc:4", "1", SetArgs.Builder.px(600));
      for (String key : List.of("cc:1", "cc:2", "cc:3", "cc:4")) Checks.equal(cached.get(key), "1");
      Checks.equal(local.size(), 4);
      client.set("cc:1", "2");
      Checks.until("the written value", () -> "2".equals(cached.get("cc:1")));
      client.del("cc:2");
      Checks.until("the deletion", () -> cached.get("cc:2") == null);
      Checks.until("the expiry", () -> cached.get("cc:4") == null);
      Checks.equal(local.get("cc:3"), "1");
      client.flushdb();
      Thread.sleep(300);
      if (cached.get("cc:3") != null)
        throw new Checks.Limit("it drops nothing when FLUSHDB or FLUSHALL invalidates all; single keys it does");
    }
  }
}
