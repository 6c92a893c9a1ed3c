/* program.c: hiredis at its defaults. The lines that it prints are those of ../checks.ts.
 *
 * A check is a function; one that finds something wrong leaves by longjmp. hiredis has no methods of commands: replies
 * are shown as one line of text, which is compared. */
#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pthread.h>

static redisContext *client, *other;
static const char *host, *only;
static int port, scripting;
static jmp_buf failed;
static char why[600], limited[200];

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(why, sizeof why, format, arguments);
  va_end(arguments);
  for (char *at = why; *at != 0; at++)
    if (*at == '\n' || *at == '\r') *at = ' ';
  longjmp(failed, 1);
}

static redisContext *connected(void) {
  redisContext *context = redisConnect(host, port);
  if (context == NULL || context->err != 0) fail("no connection: %s", context == NULL ? "" : context->errstr);
  return context;
}

/* A reply as text: strings as they are, integers, (nil), errors after a minus, arrays in brackets. */
static void show(const redisReply *reply, char *into, size_t room) {
  size_t used = strlen(into);
  if (reply == NULL) {
    snprintf(into + used, room - used, "(no reply)");
  } else if (reply->type == REDIS_REPLY_INTEGER) {
    snprintf(into + used, room - used, "%lld", reply->integer);
  } else if (reply->type == REDIS_REPLY_NIL) {
    snprintf(into + used, room - used, "(nil)");
  } else if (reply->type == REDIS_REPLY_ERROR) {
    snprintf(into + used, room - used, "-%s", reply->str);
  } else if (reply->type == REDIS_REPLY_ARRAY) {
    snprintf(into + used, room - used, "[");
    for (size_t i = 0; i < reply->elements; i++) {
      if (i > 0) snprintf(into + strlen(into), room - strlen(into), " ");
      show(reply->element[i], into, room);
    }
    snprintf(into + strlen(into), room - strlen(into), "]");
  } else {
    snprintf(into + used, room - used, "%s", reply->str);
  }
}

/* Compares a reply, which it frees. A text that ends in `*` is the beginning of what is expected. */
static void expect_reply(redisReply *reply, const char *expected, const char *what) {
  char text[400] = "";
  show(reply, text, sizeof text);
  if (reply != NULL) freeReplyObject(reply);
  size_t length = strlen(expected);
  int same = length > 0 && expected[length - 1] == '*' ? strncmp(text, expected, length - 1) == 0
                                                       : strcmp(text, expected) == 0;
  if (!same) fail("%s: %.200s and not %s", what, text, expected);
}

static void on(redisContext *context, const char *expected, const char *command) {
  expect_reply(redisCommand(context, command), expected, command);
}

static void ask(const char *command, const char *expected) { on(client, expected, command); }

static void next(redisContext *context, const char *expected) {
  void *reply = NULL;
  redisGetReply(context, &reply);
  expect_reply(reply, expected, "next reply");
}

static void nap(int ms) {
  struct timespec span = {ms / 1000, (long)(ms % 1000) * 1000000};
  nanosleep(&span, NULL);
}

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void *send_later(void *command) {
  nap(50);
  freeReplyObject(redisCommand(other, command));
  return NULL;
}

/* A command that blocks, and what wakes it from another connection. */
static void woken(const char *command, const char *waker, const char *expected) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, send_later, (void *)waker) != 0) fail("no thread");
  redisReply *reply = redisCommand(client, command);
  pthread_join(thread, NULL);
  expect_reply(reply, expected, command);
}

static void connects(void) { ask("PING", "PONG"); }

static void expect_handshake(void) {
  redisReply *reply = redisCommand(client, "CLIENT INFO");
  int good = reply != NULL && reply->type == REDIS_REPLY_STRING && strstr(reply->str, " resp=2") != NULL;
  if (reply != NULL) freeReplyObject(reply);
  if (!good) fail("protocol");
}

static void strings(void) {
  ask("SET s one", "OK");
  ask("GET s", "one");
  ask("SET s two NX", "(nil)");
  ask("SET s two XX EX 50 GET", "one");
  ask("APPEND s +", "4");
  ask("GETRANGE s 1 -1", "wo+");
  ask("INCRBY s:n 41", "41");
  ask("INCR s:n", "42");
  ask("INCRBYFLOAT s:n 0.5", "42.5");
  ask("MSET s:a 1 s:b 2", "OK");
  ask("MGET s:a s:none s:b", "[1 (nil) 2]");
  ask("GET s:none", "(nil)");
}

static void lists(void) {
  ask("RPUSH l b c d", "3");
  ask("LPUSH l a", "4");
  ask("LRANGE l 0 -1", "[a b c d]");
  ask("LPOS l c", "2");
  ask("LPOP l", "a");
  ask("LMOVE l l:2 RIGHT LEFT", "d");
  ask("LLEN l", "2");
  ask("LPOP l:none", "(nil)");
}

static void hashes(void) {
  ask("HSET h a 1 b two", "2");
  ask("HGET h b", "two");
  ask("HGET h none", "(nil)");
  ask("HMGET h a none", "[1 (nil)]");
  ask("HINCRBY h a 9", "10");
  ask("HGETALL h", "[a 10 b two]");
  ask("HDEL h a", "1");
  ask("HLEN h", "1");
}

static void sets(void) {
  ask("SADD t 1 2 3", "3");
  ask("SADD t:2 2 3 4", "3");
  ask("SISMEMBER t 1", "1");
  ask("SMEMBERS t", "[1 2 3]"); /* integers are kept sorted */
  ask("SINTER t t:2", "[2 3]");
  ask("SREM t 1", "1");
  ask("SCARD t", "2");
}

static void sorted_sets(void) {
  ask("ZADD z 1 a 2.5 b inf c", "3");
  ask("ZSCORE z b", "2.5");
  ask("ZSCORE z none", "(nil)");
  ask("ZRANK z c", "2");
  ask("ZRANGE z 0 -1 WITHSCORES", "[a 1 b 2.5 c inf]");
  ask("ZRANGEBYSCORE z (1 +inf", "[b c]");
  ask("ZINCRBY z 0.25 a", "1.25");
  ask("ZPOPMIN z", "[a 1.25]");
  ask("ZPOPMIN z:none", "[]");
}

static void bitmaps(void) {
  ask("SETBIT b 7 1", "0");
  ask("SETBIT b 12 1", "0");
  ask("GETBIT b 7", "1");
  ask("BITCOUNT b", "2");
  ask("BITPOS b 1", "7");
  ask("BITOP NOT b:not b", "2");
  ask("BITCOUNT b:not", "14");
}

static void hyperloglog(void) {
  ask("PFADD p a b c", "1");
  ask("PFADD p:2 c d", "1");
  ask("PFCOUNT p p:2", "4");
  ask("PFMERGE p:3 p p:2", "OK");
  ask("PFCOUNT p:3", "4");
}

static void geo(void) {
  ask("GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", "2");
  ask("GEODIST g Palermo Catania km", "166.2742");
  ask("GEOPOS g Palermo", "[[13.36138*");
  ask("GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 100 km", "[Catania]");
  ask("GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC WITHDIST", "[[Catania 56.4413] [Palermo 190.4424]]");
}

static void expiry(void) {
  ask("SET e v", "OK");
  ask("TTL e", "-1");
  ask("EXPIRE e 100", "1");
  redisReply *left = redisCommand(client, "PTTL e");
  long long ms = left->integer;
  freeReplyObject(left);
  if (ms < 98000 || ms > 100000) fail("PTTL: %lld", ms);
  ask("PERSIST e", "1");
  ask("TTL e", "-1");
  ask("TTL e:none", "-2");
  ask("SET e:px v PX 300", "OK");
  ask("GET e:px", "v");
  nap(320);
  ask("GET e:px", "(nil)");
}

/* How many different numbers below 1,000 the pages of a scan hold. `step` is 2 where each is followed by itself. */
static int scanned(const char *format, size_t step) {
  char seen[1000] = {0};
  char cursor[32] = "0";
  int count = 0;
  do {
    redisReply *reply = redisCommand(client, format, cursor);
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) fail("no page: %s", format);
    snprintf(cursor, sizeof cursor, "%s", reply->element[0]->str);
    redisReply *items = reply->element[1];
    for (size_t i = 0; i + step <= items->elements; i += step) {
      const char *text = items->element[i]->str;
      int number = atoi(strncmp(text, "scan:", 5) == 0 ? text + 5 : text);
      if (step == 2 && strcmp(text, items->element[i + 1]->str) != 0) fail("a pair is torn");
      if (number >= 0 && number < 1000 && !seen[number]) {
        seen[number] = 1;
        count++;
      }
    }
    freeReplyObject(reply);
  } while (strcmp(cursor, "0") != 0);
  return count;
}

static void scan(void) {
  for (int i = 0; i < 1000; i++) {
    redisAppendCommand(client, "SET scan:%d %d", i, i);
    redisAppendCommand(client, "HSET c:h %d %d", i, i);
    redisAppendCommand(client, "SADD c:s %d", i);
    redisAppendCommand(client, "ZADD c:z %d %d", i, i);
  }
  for (int i = 0; i < 1000; i++) {
    next(client, "OK");
    for (int j = 0; j < 3; j++) next(client, "1");
  }
  if (scanned("SCAN %s MATCH scan:* COUNT 100", 1) != 1000) fail("keys");
  if (scanned("HSCAN c:h %s", 2) != 1000) fail("fields");
  if (scanned("SSCAN c:s %s", 1) != 1000) fail("members");
  if (scanned("ZSCAN c:z %s", 2) != 1000) fail("scores");
}

static void pipeline(void) {
  ask("SET pipe:text x", "OK");
  for (int i = 0; i < 1000; i++) redisAppendCommand(client, i == 500 ? "INCR pipe:text" : "INCR pipe:n");
  for (int i = 0; i < 1000; i++) {
    char expected[16];
    snprintf(expected, sizeof expected, "%d", i < 500 ? i + 1 : i);
    next(client, i == 500 ? "-ERR value is not an integer or out of range" : expected);
  }
}

static void transaction(void) {
  ask("MULTI", "OK");
  ask("SET m 1", "QUEUED");
  ask("INCR m", "QUEUED");
  ask("GET m", "QUEUED");
  ask("EXEC", "[OK 2 2]");
  ask("MULTI", "OK");
  ask("SET m text", "QUEUED");
  ask("INCR m", "QUEUED");
  ask("SET m:after 1", "QUEUED");
  ask("EXEC", "[OK -ERR value is not an integer or out of range OK]");
  ask("MULTI", "OK");
  ask("SET m:refused 1", "QUEUED");
  ask("SET m:refused", "-ERR wrong number of arguments*");
  ask("EXEC", "-EXECABORT*");
  ask("GET m:refused", "(nil)");
  ask("MULTI", "OK");
  ask("SET m:refused 1", "QUEUED");
  ask("DISCARD", "OK");
  ask("GET m:refused", "(nil)");
}

static void watch(void) {
  ask("SET w 1", "OK");
  ask("WATCH w", "OK");
  on(other, "OK", "SET w 2");
  ask("MULTI", "OK");
  ask("SET w 3", "QUEUED");
  ask("EXEC", "(nil)");
  ask("GET w", "2");
  ask("WATCH w", "OK");
  ask("MULTI", "OK");
  ask("SET w 3", "QUEUED");
  ask("EXEC", "[OK]");
  on(other, "3", "GET w");
}

static void pubsub(void) {
  redisContext *subscriber = connected();
  on(subscriber, "[subscribe news 1]", "SUBSCRIBE news weather");
  next(subscriber, "[subscribe weather 2]");
  ask("PUBLISH news one", "1");
  ask("PUBLISH weather two", "1");
  ask("PUBLISH sport three", "0");
  next(subscriber, "[message news one]");
  next(subscriber, "[message weather two]");
  on(subscriber, "[unsubscribe news 1]", "UNSUBSCRIBE news");
  ask("PUBLISH news four", "0");
  on(subscriber, "[pong ]", "PING");
  on(subscriber, "[unsubscribe weather 0]", "UNSUBSCRIBE");
  on(subscriber, "PONG", "PING");
  redisFree(subscriber);
}

static void pubsub_pattern(void) {
  redisContext *subscriber = connected();
  on(subscriber, "[psubscribe n?ws:* 1]", "PSUBSCRIBE n?ws:*");
  ask("PUBLISH news:a one", "1");
  ask("PUBLISH nws:a two", "0");
  next(subscriber, "[pmessage n?ws:* news:a one]");
  on(subscriber, "[punsubscribe n?ws:* 0]", "PUNSUBSCRIBE n?ws:*");
  ask("PUBLISH news:a three", "0");
  redisFree(subscriber);
}

static void blocking(void) {
  woken("BLPOP q q:2 10", "RPUSH q:2 a b", "[q:2 a]");
  woken("BLMOVE q:3 q:4 LEFT RIGHT 10", "RPUSH q:3 c", "c");
  woken("BZPOPMIN q:z 10", "ZADD q:z 1.5 m", "[q:z m 1.5]");
}

static void blocking_timeout(void) {
  double begin = now();
  ask("BLPOP q:none 0.2", "(nil)");
  if (now() - begin < 0.19) fail("it does not wait");
  ask("PING", "PONG");
}

static void no_cache(void) { snprintf(limited, sizeof limited, "the library has no client-side cache"); }

static void large_values(void) {
  static const size_t length = 10000000;
  char *value = malloc(length);
  unsigned state = 12345;
  for (size_t i = 0; i < length; i++) value[i] = (char)((state = state * 1103515245 + 12345) >> 24);
  expect_reply(redisCommand(client, "SET large %b", value, length), "OK", "SET");
  redisReply *reply = redisCommand(client, "GET large");
  int same = reply != NULL && (size_t)reply->len == length && memcmp(reply->str, value, length) == 0;
  freeReplyObject(reply);
  if (!same) fail("GET does not give what SET took");
  expect_reply(redisCommand(client, "RPUSH large:l %b end", value, length), "2", "RPUSH");
  reply = redisCommand(client, "LRANGE large:l 0 -1");
  same = reply != NULL && reply->elements == 2 && (size_t)reply->element[0]->len == length &&
         memcmp(reply->element[0]->str, value, length) == 0;
  freeReplyObject(reply);
  if (!same) fail("LRANGE does not give what RPUSH took");
  ask("DEL large large:l", "2");
  free(value);
}

static void binary(void) {
  static const char tail[] = "\r\n$-1\r\n*0\r\n\0\r\n";
  char every[256 + sizeof tail - 1];
  for (int i = 0; i < 256; i++) every[i] = (char)i;
  memcpy(every + 256, tail, sizeof tail - 1);
  expect_reply(redisCommand(client, "SET %b %b", every, sizeof every, every, sizeof every), "OK", "SET");
  redisReply *reply = redisCommand(client, "GET %b", every, sizeof every);
  if (reply == NULL || (size_t)reply->len != sizeof every || memcmp(reply->str, every, sizeof every) != 0)
    fail("GET does not give what SET took");
  freeReplyObject(reply);
  expect_reply(redisCommand(client, "HSET bin %b %b", every, sizeof every, every, sizeof every), "1", "HSET");
  reply = redisCommand(client, "HGETALL bin");
  for (size_t i = 0; i < 2; i++)
    if (reply == NULL || reply->elements != 2 || (size_t)reply->element[i]->len != sizeof every ||
        memcmp(reply->element[i]->str, every, sizeof every) != 0)
      fail("HGETALL does not give what HSET took");
  freeReplyObject(reply);
}

static void errors(void) {
  ask("SET err text", "OK");
  ask("LPUSH err x", "-WRONGTYPE Operation against a key holding the wrong kind of value");
  ask("INCR err", "-ERR value is not an integer or out of range");
  ask("SET err x NX XX", "-ERR syntax error");
  ask("GET err", "text");
}

static void unsupported(void) {
  ask("NOSUCH a", "-ERR unknown command 'NOSUCH'*");
  redisReply *reply = redisCommand(client, "EVAL %s 0", "return 1");
  expect_reply(reply, scripting ? "1" : "-ERR unknown command 'EVAL'*", "EVAL");
  ask("PING", "PONG");
}

static redisContext *subscriber;

/* Connects a context again, until it works. */
static void again(redisContext *context) {
  for (int i = 0; i < 1000; i++) {
    if (redisReconnect(context) == REDIS_OK) return;
    nap(10);
  }
  fail("redisReconnect: %s", context->errstr);
}

static void reconnect(void) {
  char line[16];
  printf("restart\n");
  fflush(stdout);
  if (fgets(line, sizeof line, stdin) == NULL) fail("no restart");
  redisReply *reply = redisCommand(client, "SET r 1");
  if (reply != NULL) fail("it connects by itself: the limit below is none any more");
  again(client);
  again(other);
  ask("SET r 1", "OK");
  ask("GET r", "1");
  expect_handshake();
  snprintf(limited, sizeof limited, "the application has to call redisReconnect(); the context works on after it");
}

static void reconnect_pubsub(void) {
  again(subscriber);
  on(subscriber, "[subscribe again 1]", "SUBSCRIBE again");
  ask("PUBLISH again hello", "1");
  next(subscriber, "[message again hello]");
  snprintf(limited, sizeof limited, "the application has to call redisReconnect() and subscribe again");
}

static void check(const char *name, void (*body)(void)) {
  if (only != NULL) {
    const char *at = strstr(only, name);
    size_t length = strlen(name);
    while (at != NULL && ((at != only && at[-1] != ',') || (at[length] != ',' && at[length] != 0)))
      at = strstr(at + 1, name);
    if (at == NULL) return;
  }
  limited[0] = 0;
  if (setjmp(failed) != 0)
    printf("FAIL %s: %s\n", name, why);
  else {
    body();
    if (limited[0] == 0)
      printf("ok %s\n", name);
    else
      printf("limit %s: %s\n", name, limited);
  }
  fflush(stdout);
}

static void connect_all(void) {
  client = connected();
  other = connected();
  subscriber = connected();
  on(subscriber, "[subscribe again 1]", "SUBSCRIBE again");
}

int main(void) {
  host = getenv("HOST");
  port = atoi(getenv("PORT"));
  only = getenv("ONLY");
  scripting = getenv("SCRIPTING") != NULL && strcmp(getenv("SCRIPTING"), "yes") == 0;
  printf("version %d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
  if (setjmp(failed) != 0) {
    printf("FAIL connect: %s\n", why);
    return 1;
  }
  connect_all();
  check("connect", connects);
  check("handshake", expect_handshake);
  check("strings", strings);
  check("lists", lists);
  check("hashes", hashes);
  check("sets", sets);
  check("sorted-sets", sorted_sets);
  check("bitmaps", bitmaps);
  check("hyperloglog", hyperloglog);
  check("geo", geo);
  check("expiry", expiry);
  check("scan", scan);
  check("pipeline", pipeline);
  check("transaction", transaction);
  check("watch", watch);
  check("pubsub", pubsub);
  check("pubsub-pattern", pubsub_pattern);
  check("blocking", blocking);
  check("blocking-timeout", blocking_timeout);
  check("cache", no_cache);
  check("cache-invalidation", no_cache);
  check("large-values", large_values);
  check("binary", binary);
  check("errors", errors);
  check("unsupported", unsupported);
  check("reconnect", reconnect);
  check("reconnect-pubsub", reconnect_pubsub);
  return 0;
}
