# program.rb: redis-rb at its defaults. The lines that it prints are those of ../checks.ts.
#
# Debian's redis-rb has no methods for some newer commands: call() sends them.
require "redis"
require "timeout"

HOST = ENV.fetch("HOST")
PORT = Integer(ENV.fetch("PORT"))
SCRIPTING = ENV["SCRIPTING"] == "yes"
ONLY = ENV["ONLY"]&.split(",")
EVERY_BYTE = ((0..255).to_a.pack("C*") + "\r\n$-1\r\n*0\r\n\0\r\n".b).freeze

# What a check raises that met a limit of the library.
class Limit < StandardError; end

Thread.report_on_exception = false
$stdout.sync = true

def say(line)
  puts line.gsub(/\s+/, " ").strip
end

def check(name, &body)
  return if ONLY && !ONLY.include?(name)

  Timeout.timeout(15, &body)
  say "ok #{name}"
rescue Limit => e
  say "limit #{name}: #{e.message}"
rescue StandardError => e
  say "FAIL #{name}: #{e.class} #{e.message}"
end

def equal(actual, expected, what = "value")
  raise "#{what}: #{actual.inspect[0, 200]} and not #{expected.inspect[0, 200]}" unless actual == expected
end

def that(condition, what)
  raise what unless condition
end

def error_of
  yield
rescue Redis::BaseError => e
  e
else
  raise "no error"
end

def until_true(what)
  1000.times do
    begin
      return if yield
    rescue Redis::BaseConnectionError
      nil
    end
    sleep 0.01
  end
  raise "waited in vain for #{what}"
end

def later
  Thread.new do
    sleep 0.05
    yield
  end
end

def connected
  Redis.new(host: HOST, port: PORT)
end

say "version #{Redis::VERSION}"
client = connected
other = connected

check "connect" do
  equal client.ping, "PONG"
end

expect_handshake = lambda do
  info = client.call("CLIENT", "INFO")
  that info.include?(" resp=2"), "protocol: #{info}"
  that !info.include?(" lib-name=") || info.include?(" lib-name= "), info
end

check("handshake") { expect_handshake.call }

check "strings" do
  equal client.set("s", "one"), "OK"
  equal client.get("s"), "one"
  equal client.set("s", "two", nx: true), false
  equal client.set("s", "two", xx: true, ex: 50, get: true), "one"
  equal client.append("s", "+"), 4
  equal client.getrange("s", 1, -1), "wo+"
  equal client.incrby("s:n", 41), 41
  equal client.incr("s:n"), 42
  equal client.incrbyfloat("s:n", 0.5), 42.5
  equal client.mset("s:a", "1", "s:b", "2"), "OK"
  equal client.mget("s:a", "s:none", "s:b"), ["1", nil, "2"]
  equal client.get("s:none"), nil
end

check "lists" do
  equal client.rpush("l", %w[b c d]), 3
  equal client.lpush("l", "a"), 4
  equal client.lrange("l", 0, -1), %w[a b c d]
  equal client.call("LPOS", "l", "c"), 2
  equal client.lpop("l"), "a"
  equal client.lmove("l", "l:2", "RIGHT", "LEFT"), "d"
  equal client.llen("l"), 2
  equal client.lpop("l:none"), nil
end

check "hashes" do
  equal client.hset("h", "a" => "1", "b" => "two"), 2
  equal client.hget("h", "b"), "two"
  equal client.hget("h", "none"), nil
  equal client.hmget("h", "a", "none"), ["1", nil]
  equal client.hincrby("h", "a", 9), 10
  equal client.hgetall("h"), { "a" => "10", "b" => "two" }
  equal client.hdel("h", "a"), 1
  equal client.hlen("h"), 1
end

check "sets" do
  equal client.sadd("t", %w[a b c]), 3
  equal client.sadd("t:2", %w[b c d]), 3
  equal client.sismember("t", "a"), true
  equal client.smembers("t").sort, %w[a b c]
  equal client.sinter("t", "t:2").sort, %w[b c]
  equal client.srem("t", ["a"]), 1
  equal client.scard("t"), 2
end

check "sorted-sets" do
  equal client.zadd("z", [[1, "a"], [2.5, "b"], ["+inf", "c"]]), 3
  equal client.zscore("z", "b"), 2.5
  equal client.zscore("z", "none"), nil
  equal client.zrank("z", "c"), 2
  equal client.zrange("z", 0, -1, with_scores: true), [["a", 1.0], ["b", 2.5], ["c", Float::INFINITY]]
  equal client.zrangebyscore("z", "(1", "+inf"), %w[b c]
  equal client.zincrby("z", 0.25, "a"), 1.25
  equal client.zpopmin("z"), ["a", 1.25]
  equal client.zpopmin("z:none"), nil
end

check "bitmaps" do
  equal client.setbit("b", 7, 1), 0
  equal client.setbit("b", 12, 1), 0
  equal client.getbit("b", 7), 1
  equal client.bitcount("b"), 2
  equal client.bitpos("b", 1), 7
  equal client.bitop("NOT", "b:not", "b"), 2
  equal client.bitcount("b:not"), 14
end

check "hyperloglog" do
  equal client.pfadd("p", %w[a b c]), true
  equal client.pfadd("p:2", %w[c d]), true
  equal client.pfcount("p", "p:2"), 4
  equal client.pfmerge("p:3", "p", "p:2"), true
  equal client.pfcount("p:3"), 4
end

check "geo" do
  equal client.geoadd("g", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"), 2
  equal client.geodist("g", "Palermo", "Catania", "km"), "166.2742"
  ((longitude,)) = client.geopos("g", "Palermo")
  that (Float(longitude) - 13.361389).abs < 1e-5, "position #{longitude}"
  near = %w[GEOSEARCH g FROMLONLAT 15 37 BYRADIUS]
  equal client.call(*near, "100", "km"), ["Catania"]
  equal client.call(*near, "200", "km", "ASC", "WITHDIST"), [["Catania", "56.4413"], ["Palermo", "190.4424"]]
end

check "expiry" do
  client.set("e", "v")
  equal client.ttl("e"), -1
  equal client.expire("e", 100), true
  that [99, 100].include?(client.ttl("e")), "TTL"
  that client.pttl("e") > 98_000, "PTTL"
  equal client.persist("e"), true
  equal client.ttl("e"), -1
  equal client.ttl("e:none"), -2
  client.set("e:px", "v", px: 300)
  equal client.get("e:px"), "v"
  sleep 0.32
  equal client.get("e:px"), nil
end

check "scan" do
  numbers = (0...1000).map(&:to_s)
  client.mapped_mset(numbers.to_h { |i| ["scan:#{i}", i] })
  client.mapped_hmset("c:h", numbers.to_h { |i| [i, i] })
  client.sadd("c:s", numbers)
  client.zadd("c:z", numbers.map { |i| [i.to_i, i] })
  equal client.scan_each(match: "scan:*", count: 100).to_a.uniq.size, 1000, "keys"
  equal client.hscan_each("c:h").select { |field, value| field == value }.uniq.size, 1000, "fields"
  equal client.sscan_each("c:s").to_a.uniq.size, 1000, "members"
  equal client.zscan_each("c:z").select { |member, score| member.to_f == score }.uniq.size, 1000, "scores"
end

check "pipeline" do
  client.set("pipe:text", "x")
  replies = client.pipelined { |pipeline| 1000.times { pipeline.incr("pipe:n") } }
  equal replies, (1..1000).to_a
  error = error_of do
    client.pipelined { |pipeline| 1000.times { |i| pipeline.incr(i == 500 ? "pipe:text" : "pipe:m") } }
  end
  that error.message.include?("not an integer"), "the error: #{error}"
  equal client.get("pipe:m"), "999"
end

check "transaction" do
  replies = client.multi do |transaction|
    transaction.set("m", "1")
    transaction.incr("m")
    transaction.get("m")
  end
  equal replies, ["OK", 2, "2"]
  error = error_of do
    client.multi do |transaction|
      transaction.set("m", "text")
      transaction.incr("m")
      transaction.set("m:after", "1")
    end
  end
  that error.message.include?("not an integer"), "a command fails inside: #{error}"
  equal client.get("m:after"), "1"
  error = error_of do
    client.multi do |transaction|
      transaction.set("m:refused", "1")
      transaction.call(%w[SET m:refused])
    end
  end
  that error.message.match?(/wrong number|EXECABORT/), "one is refused: #{error}"
  equal client.get("m:refused"), nil
  equal client.call("MULTI"), "OK"
  equal client.call("SET", "m:refused", "1"), "QUEUED"
  equal client.call("DISCARD"), "OK"
  equal client.get("m:refused"), nil
end

check "watch" do
  client.set("w", "1")
  conflict = client.watch("w") do
    other.set("w", "2")
    client.multi { |transaction| transaction.set("w", "3") }
  end
  equal conflict, nil, "EXEC after a conflict"
  equal client.get("w"), "2"
  equal(client.watch("w") { client.multi { |transaction| transaction.set("w", "3") } }, ["OK"])
  equal other.get("w"), "3"
end

# A subscriber on a thread of its own: what it hears is in the queue. It leaves a channel on which it hears `leave`.
def listen(subscriber, queue, *channels)
  Thread.new do
    subscriber.subscribe(*channels) do |on|
      on.subscribe { |channel, _| queue << "subscribed #{channel}" }
      on.message do |channel, message|
        queue << "#{channel}:#{message}"
        subscriber.unsubscribe(channel) if message == "leave"
      end
      on.unsubscribe { |channel, _| queue << "unsubscribed #{channel}" }
    end
  end
end

check "pubsub" do
  subscriber = connected
  queue = Queue.new
  thread = listen(subscriber, queue, "news", "weather")
  equal [queue.pop, queue.pop], ["subscribed news", "subscribed weather"]
  equal client.publish("news", "one"), 1
  equal client.publish("weather", "two"), 1
  equal client.publish("sport", "three"), 0
  equal [queue.pop, queue.pop], ["news:one", "weather:two"]
  equal client.publish("news", "leave"), 1
  equal [queue.pop, queue.pop], ["news:leave", "unsubscribed news"]
  equal client.publish("news", "four"), 0
  equal client.publish("weather", "leave"), 1
  equal [queue.pop, queue.pop], ["weather:leave", "unsubscribed weather"]
  thread.join(5)
  equal subscriber.ping, "PONG"
end

check "pubsub-pattern" do
  subscriber = connected
  queue = Queue.new
  thread = Thread.new do
    subscriber.psubscribe("n?ws:*") do |on|
      on.psubscribe { |pattern, _| queue << "subscribed #{pattern}" }
      on.pmessage do |pattern, channel, message|
        queue << "#{pattern} #{channel}:#{message}"
        subscriber.punsubscribe(pattern)
      end
    end
  end
  equal queue.pop, "subscribed n?ws:*"
  equal client.publish("news:a", "one"), 1
  equal client.publish("nws:a", "two"), 0
  equal queue.pop, "n?ws:* news:a:one"
  thread.join(5)
  equal client.publish("news:a", "three"), 0
end

check "blocking" do
  later { other.rpush("q:2", %w[a b]) }
  equal client.blpop("q", "q:2", timeout: 10), ["q:2", "a"]
  later { other.rpush("q:3", "c") }
  equal client.blmove("q:3", "q:4", "LEFT", "RIGHT", timeout: 10), "c"
  later { other.zadd("q:z", 1.5, "m") }
  equal client.bzpopmin("q:z", timeout: 10), ["q:z", "m", 1.5]
end

check "blocking-timeout" do
  start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  equal client.blpop("q:none", timeout: 0.2), nil
  that Process.clock_gettime(Process::CLOCK_MONOTONIC) - start > 0.19, "it waits"
  equal client.ping, "PONG"
end

%w[cache cache-invalidation].each do |name|
  check(name) { raise Limit, "the library has no client-side cache" }
end

check "large-values" do
  value = Random.bytes(10_000_000)
  equal client.set("large", value), "OK"
  that client.get("large").b == value, "GET gives what SET took"
  equal client.rpush("large:l", [value, "end"]), 2
  that client.lrange("large:l", 0, -1).map(&:b) == [value, "end"], "LRANGE gives what RPUSH took"
  client.del("large", "large:l")
end

check "binary" do
  client.set(EVERY_BYTE, EVERY_BYTE)
  that client.get(EVERY_BYTE).b == EVERY_BYTE, "GET"
  client.hset("bin", EVERY_BYTE, EVERY_BYTE)
  that client.hgetall("bin").to_a.flatten.map(&:b) == [EVERY_BYTE, EVERY_BYTE], "HGETALL"
end

check "errors" do
  client.set("err", "text")
  error = error_of { client.lpush("err", "x") }
  that error.is_a?(Redis::CommandError), "a CommandError, not #{error.class}"
  equal error.message, "WRONGTYPE Operation against a key holding the wrong kind of value"
  equal error_of { client.incr("err") }.message, "ERR value is not an integer or out of range"
  equal error_of { client.call("SET", "err", "x", "NX", "XX") }.message, "ERR syntax error"
  equal client.get("err"), "text"
end

check "unsupported" do
  that error_of { client.call("NOSUCH", "a") }.message.start_with?("ERR unknown command 'NOSUCH'"), "NOSUCH"
  if SCRIPTING
    equal client.eval("return 1"), 1
  else
    that error_of { client.eval("return 1") }.message.start_with?("ERR unknown command 'eval'"), "EVAL"
  end
  equal client.ping, "PONG"
end

queue = Queue.new
thread = nil
check "reconnect" do
  thread = listen(connected, queue, "again")
  equal queue.pop, "subscribed again"
  say "restart"
  $stdin.gets
  until_true("a working connection") { client.set("r", "1") == "OK" }
  equal client.get("r"), "1"
  expect_handshake.call
end

check "reconnect-pubsub" do
  error = error_of { thread.join(5) }
  that error.is_a?(Redis::BaseConnectionError), "subscribe ends with the connection: #{error}"
  listen(connected, queue, "again")
  equal queue.pop, "subscribed again"
  equal client.publish("again", "hello"), 1
  equal queue.pop, "again:hello"
  raise Limit, "subscribe raises when the connection is lost; the application has to call it again"
end
