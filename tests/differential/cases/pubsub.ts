// Publish and subscribe: SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their ends, PUBLISH, SPUBLISH, PUBSUB; who gets which message
// and in what order; what a subscribed connection may say.

import { type Case, type Command, on, type Step, stream } from "../harness.ts";
import { type Bytes, textOf } from "../resp.ts";

/** All bytes there are, twice. */
const binary = new Uint8Array(512).map((_, i) => i & 255);

/** Confirmations of names in no order: the counts tell how many are left. */
const anyName = {
  name: "confirmations in any order",
  differs: (oracle: Bytes, subject: Bytes): string | null =>
    nameless(oracle) === nameless(subject) ? null : "other than by name",
};

function nameless(reply: Bytes): string {
  return textOf(reply).replace(/(subscribe\r\n)\$2\r\n[cp]\d\r\n/, "$1(name)");
}

const answers: Case[] = [
  stream("PUBLISH that nobody hears", "PUBLISH a b", "SPUBLISH a b", ["PUBLISH", "", ""], "publish a b"),
  stream(
    "arity of publish and subscribe",
    "PUBLISH",
    "PUBLISH a",
    "PUBLISH a b c",
    "SPUBLISH a",
    "SPUBLISH a b c",
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "SSUBSCRIBE",
    "PUBSUB",
  ),
  stream("UNSUBSCRIBE of one who never subscribed", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"),
  stream("UNSUBSCRIBE of names never subscribed to", "UNSUBSCRIBE a", "PUNSUBSCRIBE a*", "SUNSUBSCRIBE a"),
  stream(
    "PUBSUB where nobody subscribes",
    "PUBSUB CHANNELS",
    "PUBSUB CHANNELS *",
    "PUBSUB NUMSUB",
    "PUBSUB NUMSUB a b a",
    "PUBSUB NUMPAT",
    "PUBSUB SHARDCHANNELS",
    "PUBSUB SHARDCHANNELS *",
    "PUBSUB SHARDNUMSUB",
    "PUBSUB SHARDNUMSUB a b",
    "pubsub channels",
    "PUBSUB HELP",
  ),
  stream(
    "errors of PUBSUB",
    "PUBSUB CHANNELS a b",
    "PUBSUB ChanNels a b c",
    "PUBSUB SHARDCHANNELS a b",
    "PUBSUB NUMPAT a",
    "PUBSUB HELP a",
    "PUBSUB NOSUCH",
    "PUBSUB NOSUCH a b",
  ),
  stream(
    "keys of commands whose names of channels are none",
    "COMMAND GETKEYS SSUBSCRIBE a b",
    "COMMAND GETKEYS SPUBLISH a b",
    "COMMAND GETKEYS PUBLISH a b",
    "COMMAND GETKEYSANDFLAGS SPUBLISH a b",
  ),
];

/** One who listens and one who speaks. */
const deliveries: Case[] = [
  {
    name: "a message to a channel",
    steps: [
      on("s", "SUBSCRIBE news"),
      on("p", "PUBLISH news hello", "PUBLISH other hello", ["PUBLISH", "news", ""]),
      on("p", ["PUBLISH", "news", binary]),
      on("s", "UNSUBSCRIBE news"),
      on("p", "PUBLISH news again"),
    ],
  },
  {
    name: "a message to several subscribers, in order",
    steps: [
      on("a", "SUBSCRIBE x y"),
      on("b", "SUBSCRIBE y x"),
      on("c", "SUBSCRIBE x"),
      on("p", ...["1", "2", "3", "4", "5"].flatMap((text) => [`PUBLISH x ${text}`, `PUBLISH y ${text}`])),
      on("b", "UNSUBSCRIBE y"),
      on("p", "PUBLISH x 6", "PUBLISH y 7"),
    ],
  },
  {
    name: "subscribing twice counts once",
    steps: [
      on("s", "SUBSCRIBE a a", "SUBSCRIBE a b a", "PSUBSCRIBE a* a*", "SSUBSCRIBE a a b"),
      on(
        "p",
        "PUBLISH a 1",
        "SPUBLISH a 2",
        "PUBSUB NUMSUB a b c",
        "PUBSUB SHARDNUMSUB a b c",
        "PUBSUB NUMPAT",
      ),
      on("s", "UNSUBSCRIBE a a", "PUNSUBSCRIBE a* a*", "SUNSUBSCRIBE a a"),
      on(
        "p",
        "PUBLISH a 1",
        "SPUBLISH a 2",
        "PUBSUB NUMSUB a b c",
        "PUBSUB SHARDNUMSUB a b c",
        "PUBSUB NUMPAT",
      ),
    ],
  },
  {
    name: "counts of channels and patterns are one, of shard channels another",
    steps: [
      on("s", "SUBSCRIBE a", "PSUBSCRIBE b", "SSUBSCRIBE c", "SUBSCRIBE d", "SSUBSCRIBE e", "PSUBSCRIBE f"),
      on(
        "s",
        "UNSUBSCRIBE a",
        "SUNSUBSCRIBE c",
        "PUNSUBSCRIBE b",
        "SUNSUBSCRIBE nosuch",
        "UNSUBSCRIBE nosuch",
      ),
      on("s", "UNSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "SUNSUBSCRIBE"),
      on("s", "PUBSUB NUMPAT", "GET k"),
    ],
  },
  {
    name: "patterns, one a connection",
    steps: [
      on("a", "PSUBSCRIBE h?llo"),
      on("b", "PSUBSCRIBE h*o"),
      on("c", "PSUBSCRIBE h[ae]llo"),
      on("d", "PSUBSCRIBE [^x]*"),
      on("e", "PSUBSCRIBE \\h*"),
      on("f", ["PSUBSCRIBE", ""]),
      on(
        "p",
        ...["hello", "hallo", "hillo", "heo", "xhello", "x", "h"].map((channel) => `PUBLISH ${channel} m`),
        ["PUBLISH", "", "m"],
      ),
    ],
  },
  {
    name: "a pattern and an empty channel",
    steps: [
      on("s", ["PSUBSCRIBE", "*"], ["SUBSCRIBE", ""]),
      on("p", ["PUBLISH", "", "m"], ["PUBSUB", "NUMSUB", ""], "PUBSUB CHANNELS *", "PUBSUB CHANNELS"),
      on("s", ["PSUBSCRIBE", ""], ["PUNSUBSCRIBE", "*"]),
      on("p", ["PUBLISH", "", "m"], "PUBLISH x m"),
    ],
  },
  {
    name: "channel and pattern: both, the channel's message first",
    steps: [
      on("s", "PSUBSCRIBE n*", "SUBSCRIBE news"),
      on("t", "SUBSCRIBE news", "PSUBSCRIBE *s"),
      on("p", "PUBLISH news 1", "PUBLISH none 2", "PUBLISH cars 3"),
    ],
  },
  {
    name: "shard channels are apart",
    steps: [
      on("s", "SSUBSCRIBE a", "SUBSCRIBE a", "PSUBSCRIBE *"),
      on(
        "p",
        "PUBLISH a 1",
        "SPUBLISH a 2",
        "SPUBLISH b 3",
        "PUBSUB SHARDCHANNELS",
        "PUBSUB SHARDNUMSUB a b",
      ),
      on("p", "PUBSUB CHANNELS", "PUBSUB NUMSUB a"),
    ],
  },
  {
    name: "channels know no databases",
    steps: [
      on("s", "SELECT 3", "SUBSCRIBE a"),
      on("p", "SELECT 5", "PUBLISH a 1", "SELECT 0", "PUBLISH a 2"),
    ],
  },
  {
    name: "PUBSUB with subscribers",
    steps: [
      on("s", "SUBSCRIBE a1", "SSUBSCRIBE s1"),
      on("t", "SUBSCRIBE a1", "PSUBSCRIBE a* b*", "SSUBSCRIBE s1"),
      on("u", "PSUBSCRIBE a*", "SUBSCRIBE b1"),
      on("p", "PUBSUB NUMSUB a1 b1 c1 a1", "PUBSUB NUMPAT", "PUBSUB SHARDNUMSUB s1 a1"),
      on(
        "p",
        "PUBSUB CHANNELS a*",
        "PUBSUB CHANNELS [b-c]?",
        "PUBSUB CHANNELS nosuch",
        "PUBSUB SHARDCHANNELS s*",
      ),
      on("t", "PUNSUBSCRIBE a*"),
      on("p", "PUBSUB NUMPAT"),
      { drops: ["u"] },
      on("p", "PUBSUB NUMPAT", "PUBSUB NUMSUB a1 b1", "PUBSUB CHANNELS", "PUBLISH b1 x"),
    ],
  },
  {
    name: "a subscriber that is gone counts no more",
    steps: [
      on("a", "SUBSCRIBE c"),
      on("b", "SUBSCRIBE c"),
      on("p", "PUBLISH c 1"),
      { drops: ["a"] },
      on("p", "PUBLISH c 2", "PUBSUB NUMSUB c"),
      { drops: ["b"] },
      on("p", "PUBLISH c 3", "PUBSUB NUMSUB c", "PUBSUB CHANNELS"),
    ],
  },
  {
    name: "UNSUBSCRIBE without names ends all",
    steps: [
      on("s", "SUBSCRIBE c1 c2 c3", "PSUBSCRIBE p1 p2", "SSUBSCRIBE c1 c2"),
      on("s", "UNSUBSCRIBE"),
      on("p", "PUBLISH c1 1", "SPUBLISH c1 1", "PUBLISH p1 1", "PUBSUB CHANNELS"),
      on("s", "PUNSUBSCRIBE"),
      on("s", "SUNSUBSCRIBE"),
      on("s", "GET k"),
      on("p", "PUBLISH c1 2", "SPUBLISH c1 2", "PUBLISH p1 2", "PUBSUB CHANNELS", "PUBSUB NUMPAT"),
    ],
    normalise: anyName,
  },
  {
    name: "RESET and QUIT end subscriptions",
    steps: [
      on("s", "SUBSCRIBE a", "PSUBSCRIBE *", "SSUBSCRIBE a"),
      on("t", "SUBSCRIBE a"),
      on("p", "PUBLISH a 1"),
      on("s", "RESET", "GET k"),
      on("p", "PUBLISH a 2", "SPUBLISH a 3", "PUBSUB NUMPAT"),
      { ...on("t", "QUIT"), closes: ["t"] },
      on("p", "PUBSUB NUMSUB a"),
    ],
  },
  {
    name: "messages of a size, and many of them",
    steps: [
      on("s", "SUBSCRIBE c"),
      on("p", ["PUBLISH", "c", "x".repeat(100_000)], ["PUBLISH", "c", "y".repeat(3_000_000)]),
      on("p", ...Array.from({ length: 500 }, (_, i) => `PUBLISH c ${i}`)),
    ],
  },
];

/** What may be said while subscribed, and by whom. */
const modes: Case[] = [
  {
    name: "RESP2: what a subscribed connection may not say",
    steps: [
      on(
        "s",
        "SUBSCRIBE a",
        "GET k",
        "get k",
        "PUBLISH a b",
        "CLIENT GETNAME",
        "MULTI",
        "EXEC",
        "HELLO 3",
        "ECHO x",
      ),
      on(
        "s",
        "NOSUCH",
        "GET",
        "PUBSUB NUMPAT",
        "PUBSUB NOSUCH",
        "CONFIG GET maxmemory",
        "SELECT 1",
        "COMMAND COUNT",
      ),
      on(
        "s",
        "UNSUBSCRIBE",
        "GET k",
        "SSUBSCRIBE a",
        "GET k",
        "SUNSUBSCRIBE",
        "GET k",
        "PSUBSCRIBE a",
        "GET k",
      ),
    ],
    protocols: [2],
  },
  {
    name: "RESP3: what a subscribed connection may say",
    steps: [
      on(
        "s",
        "SUBSCRIBE a",
        "SET k v",
        "GET k",
        "MULTI",
        "GET k",
        "EXEC",
        "PUBSUB NUMSUB a",
        "CLIENT GETNAME",
      ),
      on("p", "PUBLISH a 1"),
      on("s", "GET k", "PING", "PING x"),
    ],
    protocols: [3],
  },
  {
    name: "PING while subscribed",
    steps: [
      on("s", "SUBSCRIBE a", "PING", "PING x", ["PING", ""], "PING a b", "UNSUBSCRIBE", "PING", "PING x"),
    ],
  },
  {
    name: "HELLO 3 beforehand and afterwards",
    steps: [
      on("s", "HELLO 3", "SUBSCRIBE a"),
      on("p", "PUBLISH a 1"),
      on("s", "HELLO 2", "GET k"),
      on("p", "PUBLISH a 2"),
      on("s", "PING", "UNSUBSCRIBE a", "GET k"),
    ],
  },
  {
    name: "a publisher that subscribes to its channel: the reply, then the message",
    steps: [
      on("s", "SUBSCRIBE a", "PSUBSCRIBE a*", "PUBLISH a 1", "PUBLISH a 2", "GET k"),
      on("s", "MULTI", "PUBLISH a 3", "GET k", "EXEC", "GET k"),
    ],
    protocols: [3],
    oracle: "8",
  },
  {
    name: "SUBSCRIBE in a transaction",
    steps: [
      on("s", "MULTI", "SUBSCRIBE a", "PSUBSCRIBE *", "EXEC"),
      on("p", "PUBLISH a 1"),
      on("s", "UNSUBSCRIBE a", "PUNSUBSCRIBE *"),
      on("s", "MULTI", "UNSUBSCRIBE", "EXEC"),
    ],
  },
  {
    name: "PUBLISH in a transaction",
    steps: [
      on("s", "SUBSCRIBE a b"),
      on("p", "MULTI", "PUBLISH a 1", "SET k v", "PUBLISH b 2", "SPUBLISH a 3", "EXEC"),
      on("p", "MULTI", "PUBLISH a 4", "DISCARD"),
    ],
  },
];

/** Notifications: `notify-keyspace-events`, and what comes of commands. */
const events = (flags: string, subscriber: Command[], ...steps: Step[]): Case => ({
  name: `notifications ${flags}: ${subscriber.map((words) => words.join(" ")).join("; ")}`,
  steps: [
    { on: "p", commands: [["CONFIG", "SET", "notify-keyspace-events", flags]] },
    { on: "s", commands: subscriber },
    ...steps,
  ],
  config: ["notify-keyspace-events"],
});

const notifications: Case[] = [
  events(
    "KEA",
    [["PSUBSCRIBE", "__key*__:*"]],
    on("p", "SET a 1", "INCR a", "EXPIRE a 100", "DEL a", "RPUSH l 1 2", "LPOP l", "GET nosuch"),
    on(
      "p",
      "SELECT 7",
      "SET b 1",
      "RENAME b c",
      "MOVE c 0",
      "SELECT 11",
      "HSET h f v",
      "SADD s m",
      "ZADD z 1 m",
    ),
    on("p", ["SET", binary, "v"], ["DEL", binary], ["SET", "", "v"]),
    on("p", "MULTI", "SET x 1", "DEL x", "EXEC"),
  ),
  events(
    "K$",
    [["PSUBSCRIBE", "*"]],
    on("p", "SET a 1", "DEL a", "APPEND a b", "SELECT 15", "SET a 1", "LPUSH l 1"),
  ),
  events(
    "Elg",
    [["SUBSCRIBE", "__keyevent@0__:lpush", "__keyevent@0__:del", "__keyevent@15__:lpush"]],
    on("p", "SET a 1", "DEL a", "LPUSH l 1", "LPOP l", "SELECT 15", "LPUSH l 1"),
  ),
  events("A", [["PSUBSCRIBE", "*"]], on("p", "SET a 1", "DEL a")),
  events("KEm", [["PSUBSCRIBE", "*"]], on("p", "GET nosuch", "SET a 1", "HGET nosuch f", "GET a")),
  events("KEn$", [["PSUBSCRIBE", "*"]], on("p", "SET a 1", "SET a 2", "HSET h f v")),
];

/** Confirmations are heard though replies are silenced. Pipelined: nobody answers what is asked in between. */
const silenced: Case[] = [
  {
    ...stream(
      "SUBSCRIBE after CLIENT REPLY OFF",
      "CLIENT REPLY OFF",
      "PING",
      "SUBSCRIBE a b",
      "UNSUBSCRIBE b a",
      "PING",
      "RESET",
      "PING",
    ),
    pipelined: true,
  },
  {
    ...stream(
      "SUBSCRIBE after CLIENT REPLY SKIP",
      "CLIENT REPLY SKIP",
      "PSUBSCRIBE a* b",
      "PUNSUBSCRIBE",
      "PING",
    ),
    pipelined: true,
  },
];

export const pubsubCases: Case[] = [...silenced, ...answers, ...deliveries, ...modes, ...notifications];
