// main.go: go-redis at its defaults. The lines that it prints are those of ../checks.ts.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

var (
	ctx       = context.Background()
	address   = os.Getenv("HOST") + ":" + os.Getenv("PORT")
	scripting = os.Getenv("SCRIPTING") == "yes"
	only      = os.Getenv("ONLY")
)

func say(format string, values ...any) {
	fmt.Println(strings.Join(strings.Fields(fmt.Sprintf(format, values...)), " "))
}

// check runs one check: a body that panics has failed.
func check(name string, body func()) {
	if only != "" && !slices.Contains(strings.Split(only, ","), name) {
		return
	}
	defer func() {
		if reason := recover(); reason != nil {
			say("FAIL %s: %v", name, reason)
		} else {
			say("ok %s", name)
		}
	}()
	body()
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func done(err error) {
	if err != nil {
		panic(err)
	}
}

func equal[T any](actual, expected T) {
	if !reflect.DeepEqual(actual, expected) {
		panic(fmt.Sprintf("%.200v and not %.200v", actual, expected))
	}
}

func that(condition bool, format string, values ...any) {
	if !condition {
		panic(fmt.Sprintf(format, values...))
	}
}

// isNil says that the reply was a null.
func isNil(err error) { that(errors.Is(err, redis.Nil), "%v and not redis.Nil", err) }

// fails says that the error has the text.
func fails(err error, text string) {
	that(err != nil && strings.Contains(err.Error(), text), "%v and not %s", err, text)
}

func until(what string, condition func() bool) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if condition() {
			return
		}
	}
	panic("waited in vain for " + what)
}

func later(body func()) {
	time.AfterFunc(50*time.Millisecond, body)
}

func connected() *redis.Client { return redis.NewClient(&redis.Options{Addr: address}) }

func everyByte() string {
	var bytes []byte
	for i := range 256 {
		bytes = append(bytes, byte(i))
	}
	return string(bytes) + "\r\n$-1\r\n*0\r\n\x00\r\n"
}

func expectHandshake(client *redis.Client) {
	info := must(client.ClientInfo(ctx).Result())
	equal(info.Resp, 3)
	if text := must(client.Do(ctx, "CLIENT", "INFO").Text()); strings.Contains(text, "lib-name=") {
		that(strings.HasPrefix(info.LibName, "go-redis"), "lib-name is %s", info.LibName)
		equal(info.LibVer, redis.Version())
	}
}

func receive(subscriber *redis.PubSub) any {
	return must(subscriber.ReceiveTimeout(ctx, 10*time.Second))
}

func cachedClient() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: address, ClientSideCacheConfig: &redis.ClientSideCacheConfig{}})
}

func main() {
	logging.Disable() // connections break here on purpose
	say("version %s", redis.Version())
	client, other := connected(), connected()

	check("connect", func() {
		equal(must(client.Ping(ctx).Result()), "PONG")
	})

	check("handshake", func() {
		expectHandshake(client)
	})

	check("strings", func() {
		equal(must(client.Set(ctx, "s", "one", 0).Result()), "OK")
		equal(must(client.Get(ctx, "s").Result()), "one")
		isNil(client.SetArgs(ctx, "s", "two", redis.SetArgs{Mode: "NX"}).Err())
		with := redis.SetArgs{Mode: "XX", TTL: 50 * time.Second, Get: true}
		equal(must(client.SetArgs(ctx, "s", "two", with).Result()), "one")
		equal(must(client.Append(ctx, "s", "+").Result()), 4)
		equal(must(client.GetRange(ctx, "s", 1, -1).Result()), "wo+")
		equal(must(client.IncrBy(ctx, "s:n", 41).Result()), 41)
		equal(must(client.Incr(ctx, "s:n").Result()), 42)
		equal(must(client.IncrByFloat(ctx, "s:n", 0.5).Result()), 42.5)
		equal(must(client.MSet(ctx, "s:a", "1", "s:b", "2").Result()), "OK")
		equal(must(client.MGet(ctx, "s:a", "s:none", "s:b").Result()), []any{"1", nil, "2"})
		isNil(client.Get(ctx, "s:none").Err())
	})

	check("lists", func() {
		equal(must(client.RPush(ctx, "l", "b", "c", "d").Result()), 3)
		equal(must(client.LPush(ctx, "l", "a").Result()), 4)
		equal(must(client.LRange(ctx, "l", 0, -1).Result()), []string{"a", "b", "c", "d"})
		equal(must(client.LPos(ctx, "l", "c", redis.LPosArgs{}).Result()), 2)
		equal(must(client.LPop(ctx, "l").Result()), "a")
		equal(must(client.LMove(ctx, "l", "l:2", "RIGHT", "LEFT").Result()), "d")
		equal(must(client.LLen(ctx, "l").Result()), 2)
		isNil(client.LPop(ctx, "l:none").Err())
	})

	check("hashes", func() {
		equal(must(client.HSet(ctx, "h", "a", "1", "b", "two").Result()), 2)
		equal(must(client.HGet(ctx, "h", "b").Result()), "two")
		isNil(client.HGet(ctx, "h", "none").Err())
		equal(must(client.HMGet(ctx, "h", "a", "none").Result()), []any{"1", nil})
		equal(must(client.HIncrBy(ctx, "h", "a", 9).Result()), 10)
		equal(must(client.HGetAll(ctx, "h").Result()), map[string]string{"a": "10", "b": "two"})
		equal(must(client.HDel(ctx, "h", "a").Result()), 1)
		equal(must(client.HLen(ctx, "h").Result()), 1)
	})

	check("sets", func() {
		equal(must(client.SAdd(ctx, "t", "a", "b", "c").Result()), 3)
		equal(must(client.SAdd(ctx, "t:2", "b", "c", "d").Result()), 3)
		equal(must(client.SIsMember(ctx, "t", "a").Result()), true)
		members := must(client.SMembers(ctx, "t").Result())
		slices.Sort(members)
		equal(members, []string{"a", "b", "c"})
		equal(must(client.SMembersMap(ctx, "t:2").Result()), map[string]struct{}{"b": {}, "c": {}, "d": {}})
		both := must(client.SInter(ctx, "t", "t:2").Result())
		slices.Sort(both)
		equal(both, []string{"b", "c"})
		equal(must(client.SRem(ctx, "t", "a").Result()), 1)
		equal(must(client.SCard(ctx, "t").Result()), 2)
	})

	check("sorted-sets", func() {
		scored := []redis.Z{{Score: 1, Member: "a"}, {Score: 2.5, Member: "b"}, {Score: math.Inf(1), Member: "c"}}
		equal(must(client.ZAdd(ctx, "z", scored...).Result()), 3)
		equal(must(client.ZScore(ctx, "z", "b").Result()), 2.5)
		isNil(client.ZScore(ctx, "z", "none").Err())
		equal(must(client.ZRank(ctx, "z", "c").Result()), 2)
		equal(must(client.ZRangeWithScores(ctx, "z", 0, -1).Result()), scored)
		by := &redis.ZRangeBy{Min: "(1", Max: "+inf"}
		equal(must(client.ZRangeByScore(ctx, "z", by).Result()), []string{"b", "c"})
		equal(must(client.ZIncrBy(ctx, "z", 0.25, "a").Result()), 1.25)
		equal(must(client.ZPopMin(ctx, "z").Result()), []redis.Z{{Score: 1.25, Member: "a"}})
		equal(len(must(client.ZPopMin(ctx, "z:none").Result())), 0)
	})

	check("bitmaps", func() {
		equal(must(client.SetBit(ctx, "b", 7, 1).Result()), 0)
		equal(must(client.SetBit(ctx, "b", 12, 1).Result()), 0)
		equal(must(client.GetBit(ctx, "b", 7).Result()), 1)
		equal(must(client.BitCount(ctx, "b", nil).Result()), 2)
		equal(must(client.BitPos(ctx, "b", 1).Result()), 7)
		equal(must(client.BitOpNot(ctx, "b:not", "b").Result()), 2)
		equal(must(client.BitCount(ctx, "b:not", nil).Result()), 14)
	})

	check("hyperloglog", func() {
		equal(must(client.PFAdd(ctx, "p", "a", "b", "c").Result()), 1)
		equal(must(client.PFAdd(ctx, "p:2", "c", "d").Result()), 1)
		equal(must(client.PFCount(ctx, "p", "p:2").Result()), 4)
		equal(must(client.PFMerge(ctx, "p:3", "p", "p:2").Result()), "OK")
		equal(must(client.PFCount(ctx, "p:3").Result()), 4)
	})

	check("geo", func() {
		palermo := &redis.GeoLocation{Longitude: 13.361389, Latitude: 38.115556, Name: "Palermo"}
		catania := &redis.GeoLocation{Longitude: 15.087269, Latitude: 37.502669, Name: "Catania"}
		equal(must(client.GeoAdd(ctx, "g", palermo, catania).Result()), 2)
		equal(must(client.GeoDist(ctx, "g", "Palermo", "Catania", "km").Result()), 166.2742)
		position := must(client.GeoPos(ctx, "g", "Palermo").Result())[0]
		that(math.Abs(position.Longitude-13.361389) < 1e-5, "position %v", position)
		near := redis.GeoSearchQuery{Longitude: 15, Latitude: 37, Radius: 100, RadiusUnit: "km"}
		equal(must(client.GeoSearch(ctx, "g", &near).Result()), []string{"Catania"})
		near.Radius, near.Sort = 200, "ASC"
		far := must(client.GeoSearchLocation(ctx, "g",
			&redis.GeoSearchLocationQuery{GeoSearchQuery: near, WithDist: true}).Result())
		equal(far, []redis.GeoLocation{{Name: "Catania", Dist: 56.4413}, {Name: "Palermo", Dist: 190.4424}})
	})

	check("expiry", func() {
		done(client.Set(ctx, "e", "v", 0).Err())
		equal(must(client.TTL(ctx, "e").Result()), -1)
		equal(must(client.Expire(ctx, "e", 100*time.Second).Result()), true)
		that(must(client.TTL(ctx, "e").Result()) >= 99*time.Second, "TTL")
		that(must(client.PTTL(ctx, "e").Result()) > 98*time.Second, "PTTL")
		equal(must(client.Persist(ctx, "e").Result()), true)
		equal(must(client.TTL(ctx, "e").Result()), -1)
		equal(must(client.TTL(ctx, "e:none").Result()), -2)
		done(client.Set(ctx, "e:px", "v", 300*time.Millisecond).Err())
		equal(must(client.Get(ctx, "e:px").Result()), "v")
		time.Sleep(320 * time.Millisecond)
		isNil(client.Get(ctx, "e:px").Err())
	})

	check("scan", func() {
		var keys, pairs, members []any
		var zs []redis.Z
		for i := range 1000 {
			keys = append(keys, fmt.Sprintf("scan:%d", i), i)
			pairs = append(pairs, i, i)
			members = append(members, i)
			zs = append(zs, redis.Z{Score: float64(i), Member: i})
		}
		done(client.MSet(ctx, keys...).Err())
		done(client.HSet(ctx, "c:h", pairs...).Err())
		done(client.SAdd(ctx, "c:s", members...).Err())
		done(client.ZAdd(ctx, "c:z", zs...).Err())
		count := func(iterator *redis.ScanIterator, paired bool) int {
			found := map[string]bool{}
			for iterator.Next(ctx) {
				item := iterator.Val()
				if paired {
					that(iterator.Next(ctx), "a pair")
					equal(iterator.Val(), item)
				}
				found[item] = true
			}
			done(iterator.Err())
			return len(found)
		}
		equal(count(client.Scan(ctx, 0, "scan:*", 100).Iterator(), false), 1000)
		equal(count(client.HScan(ctx, "c:h", 0, "", 0).Iterator(), true), 1000)
		equal(count(client.SScan(ctx, "c:s", 0, "", 0).Iterator(), false), 1000)
		equal(count(client.ZScan(ctx, "c:z", 0, "", 0).Iterator(), true), 1000)
	})

	check("pipeline", func() {
		done(client.Set(ctx, "pipe:text", "x", 0).Err())
		pipeline := client.Pipeline()
		var replies []*redis.IntCmd
		for i := range 1000 {
			if i == 500 {
				replies = append(replies, pipeline.Incr(ctx, "pipe:text"))
			} else {
				replies = append(replies, pipeline.Incr(ctx, "pipe:n"))
			}
		}
		_, err := pipeline.Exec(ctx)
		fails(err, "not an integer")
		fails(replies[500].Err(), "not an integer")
		equal(must(replies[499].Result()), 500)
		equal(must(replies[999].Result()), 999)
	})

	check("transaction", func() {
		var incr *redis.IntCmd
		var get *redis.StringCmd
		must(client.TxPipelined(ctx, func(tx redis.Pipeliner) error {
			tx.Set(ctx, "m", "1", 0)
			incr, get = tx.Incr(ctx, "m"), tx.Get(ctx, "m")
			return nil
		}))
		equal(must(incr.Result()), 2)
		equal(must(get.Result()), "2")
		_, err := client.TxPipelined(ctx, func(tx redis.Pipeliner) error {
			tx.Set(ctx, "m", "text", 0)
			incr = tx.Incr(ctx, "m")
			tx.Set(ctx, "m:after", "1", 0)
			return nil
		})
		fails(err, "not an integer")
		fails(incr.Err(), "not an integer")
		equal(must(client.Get(ctx, "m:after").Result()), "1")
		_, err = client.TxPipelined(ctx, func(tx redis.Pipeliner) error {
			tx.Set(ctx, "m:refused", "1", 0)
			tx.Do(ctx, "SET", "m:refused")
			return nil
		})
		fails(err, "EXECABORT")
		isNil(client.Get(ctx, "m:refused").Err())
		conn := client.Conn()
		defer conn.Close()
		equal(must(conn.Do(ctx, "MULTI").Text()), "OK")
		equal(must(conn.Do(ctx, "SET", "m:refused", "1").Text()), "QUEUED")
		equal(must(conn.Do(ctx, "DISCARD").Text()), "OK")
		isNil(client.Get(ctx, "m:refused").Err())
	})

	check("watch", func() {
		done(client.Set(ctx, "w", "1", 0).Err())
		set := func(tx *redis.Tx) error {
			_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
				return pipe.Set(ctx, "w", "3", 0).Err()
			})
			return err
		}
		err := client.Watch(ctx, func(tx *redis.Tx) error {
			done(other.Set(ctx, "w", "2", 0).Err())
			return set(tx)
		}, "w")
		that(errors.Is(err, redis.TxFailedErr), "%v and not a conflict", err)
		equal(must(client.Get(ctx, "w").Result()), "2")
		done(client.Watch(ctx, set, "w"))
		equal(must(other.Get(ctx, "w").Result()), "3")
	})

	check("pubsub", func() {
		subscriber := client.Subscribe(ctx, "news", "weather")
		defer subscriber.Close()
		receive(subscriber)
		receive(subscriber)
		equal(must(client.Publish(ctx, "news", "one").Result()), 1)
		equal(must(client.Publish(ctx, "weather", "two").Result()), 1)
		equal(must(client.Publish(ctx, "sport", "three").Result()), 0)
		equal(receive(subscriber), any(&redis.Message{Channel: "news", Payload: "one"}))
		equal(receive(subscriber), any(&redis.Message{Channel: "weather", Payload: "two"}))
		done(subscriber.Unsubscribe(ctx, "news"))
		equal(receive(subscriber), any(&redis.Subscription{Kind: "unsubscribe", Channel: "news", Count: 1}))
		equal(must(client.Publish(ctx, "news", "four").Result()), 0)
		done(subscriber.Ping(ctx, "hello"))
		equal(receive(subscriber), any(&redis.Pong{Payload: "hello"}))
	})

	check("pubsub-pattern", func() {
		subscriber := client.PSubscribe(ctx, "n?ws:*")
		defer subscriber.Close()
		receive(subscriber)
		equal(must(client.Publish(ctx, "news:a", "one").Result()), 1)
		equal(must(client.Publish(ctx, "nws:a", "two").Result()), 0)
		equal(receive(subscriber), any(&redis.Message{Channel: "news:a", Pattern: "n?ws:*", Payload: "one"}))
		done(subscriber.PUnsubscribe(ctx, "n?ws:*"))
		receive(subscriber)
		equal(must(client.Publish(ctx, "news:a", "three").Result()), 0)
	})

	check("blocking", func() {
		later(func() { other.RPush(ctx, "q:2", "a", "b") })
		equal(must(client.BLPop(ctx, 10*time.Second, "q", "q:2").Result()), []string{"q:2", "a"})
		later(func() { other.RPush(ctx, "q:3", "c") })
		equal(must(client.BLMove(ctx, "q:3", "q:4", "LEFT", "RIGHT", 10*time.Second).Result()), "c")
		later(func() { other.ZAdd(ctx, "q:z", redis.Z{Score: 1.5, Member: "m"}) })
		least := must(client.BZPopMin(ctx, 10*time.Second, "q:z").Result())
		equal(*least, redis.ZWithKey{Key: "q:z", Z: redis.Z{Score: 1.5, Member: "m"}})
	})

	check("blocking-timeout", func() {
		begin := time.Now()
		isNil(client.BLPop(ctx, time.Second, "q:none").Err()) // whole seconds only
		that(time.Since(begin) > 990*time.Millisecond, "it waits")
		equal(must(client.Ping(ctx).Result()), "PONG")
	})

	check("cache", func() {
		cached := cachedClient()
		defer cached.Close()
		done(client.Set(ctx, "cc", "1", 0).Err())
		equal(must(cached.Get(ctx, "cc").Result()), "1")
		equal(must(cached.Get(ctx, "cc").Result()), "1")
		stats := cached.CSCStats()
		equal([]int{int(stats.Hits), int(stats.Misses)}, []int{1, 1})
	})

	check("cache-invalidation", func() {
		cached := cachedClient()
		defer cached.Close()
		done(client.MSet(ctx, "cc:1", "1", "cc:2", "1", "cc:3", "1").Err())
		done(client.Set(ctx, "cc:4", "1", 600*time.Millisecond).Err())
		for _, key := range []string{"cc:1", "cc:2", "cc:3", "cc:4"} {
			equal(must(cached.Get(ctx, key).Result()), "1")
		}
		equal(cached.CSCStats().Entries, 4)
		gone := func(key string) func() bool {
			return func() bool { return errors.Is(cached.Get(ctx, key).Err(), redis.Nil) }
		}
		done(client.Set(ctx, "cc:1", "2", 0).Err())
		until("the written value", func() bool { return cached.Get(ctx, "cc:1").Val() == "2" })
		done(client.Del(ctx, "cc:2").Err())
		until("the deletion", gone("cc:2"))
		until("the expiry", gone("cc:4"))
		misses := cached.CSCStats().Misses
		equal(must(cached.Get(ctx, "cc:3").Result()), "1")
		equal(cached.CSCStats().Misses, misses)
		done(client.FlushDB(ctx).Err())
		until("the flush", gone("cc:3"))
	})

	check("large-values", func() {
		bytes := make([]byte, 10_000_000)
		rand.New(rand.NewSource(1)).Read(bytes)
		value := string(bytes)
		done(client.Set(ctx, "large", value, 0).Err())
		that(must(client.Get(ctx, "large").Result()) == value, "GET gives what SET took")
		done(client.RPush(ctx, "large:l", value, "end").Err())
		list := must(client.LRange(ctx, "large:l", 0, -1).Result())
		that(len(list) == 2 && list[0] == value && list[1] == "end", "LRANGE gives what RPUSH took")
		done(client.Del(ctx, "large", "large:l").Err())
	})

	check("binary", func() {
		every := everyByte()
		done(client.Set(ctx, every, every, 0).Err())
		equal(must(client.Get(ctx, every).Result()), every)
		done(client.HSet(ctx, "bin", every, every).Err())
		equal(must(client.HGetAll(ctx, "bin").Result()), map[string]string{every: every})
	})

	check("errors", func() {
		done(client.Set(ctx, "err", "text", 0).Err())
		err := client.LPush(ctx, "err", "x").Err()
		var reply redis.Error
		that(errors.As(err, &reply), "%v is not a redis.Error", err)
		equal(err.Error(), "WRONGTYPE Operation against a key holding the wrong kind of value")
		equal(client.Incr(ctx, "err").Err().Error(), "ERR value is not an integer or out of range")
		equal(client.Do(ctx, "SET", "err", "x", "NX", "XX").Err().Error(), "ERR syntax error")
		equal(must(client.Get(ctx, "err").Result()), "text")
	})

	check("unsupported", func() {
		fails(client.Do(ctx, "NOSUCH", "a").Err(), "ERR unknown command 'NOSUCH'")
		script := client.Eval(ctx, "return 1", nil)
		if scripting {
			equal(must(script.Int()), 1)
		} else {
			fails(script.Err(), "ERR unknown command 'eval'")
		}
		equal(must(client.Ping(ctx).Result()), "PONG")
	})

	subscriber := client.Subscribe(ctx, "again")
	heard := subscriber.Channel()

	check("reconnect", func() {
		say("restart")
		bufio.NewReader(os.Stdin).ReadString('\n')
		until("a working connection", func() bool { return client.Set(ctx, "r", "1", 0).Err() == nil })
		equal(must(client.Get(ctx, "r").Result()), "1")
		expectHandshake(client)
	})

	check("reconnect-pubsub", func() {
		until("a message", func() bool {
			other.Publish(ctx, "again", "hello")
			select {
			case message := <-heard:
				return message.Payload == "hello"
			default:
				return false
			}
		})
	})
}
