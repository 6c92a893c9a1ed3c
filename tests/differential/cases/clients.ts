// CLIENT PAUSE, UNPAUSE, KILL and LIST by type, MONITOR, RESET, and notifications of events as subscribers get them.

import { type Case, on, type Step, stream } from "../harness.ts";

const script = (name: string, ...steps: Step[]): Case => ({ name, steps });

const pauses: Case[] = [
  stream(
    "errors of CLIENT PAUSE",
    "CLIENT PAUSE",
    "CLIENT PAUSE x",
    "CLIENT PAUSE -1",
    "CLIENT PAUSE 1.5",
    "CLIENT PAUSE 0 NOSUCH",
    "CLIENT PAUSE 0 ALL x",
    "CLIENT PAUSE 0",
    "CLIENT UNPAUSE",
    "CLIENT UNPAUSE x",
  ),
  script(
    "WRITE lets reads go on",
    on("c", "SET k 1"),
    on("p", "CLIENT PAUSE 100000 WRITE"),
    on("c", "GET k", "MGET k j", "EXISTS k", "PING", "TTL k", "DBSIZE"),
    on("p", "CLIENT UNPAUSE"),
    on("c", "SET k 2", "GET k"),
  ),
  script(
    "commands that wait run in their order, none is lost",
    on("p", "CLIENT PAUSE 80 WRITE"),
    on("c", "GET k", "INCR k", "INCR k", "GET k", "PING"),
    on("p", "GET k"),
  ),
  script(
    "ALL holds everybody for its time",
    on("p", "CLIENT PAUSE 60 ALL"),
    on("p", "PING"),
    on("c", "INCR k"),
  ),
  script(
    "a transaction of reads is not held",
    on("p", "CLIENT PAUSE 100000 WRITE"),
    on("c", "MULTI", "GET k", "EXEC"),
    on("p", "CLIENT UNPAUSE"),
  ),
  script(
    "a transaction of writes is held",
    on("c", "MULTI"),
    on("p", "CLIENT PAUSE 60 WRITE"),
    on("c", "INCR k", "EXEC"),
  ),
  script(
    "PUBLISH is held",
    on("p", "CLIENT PAUSE 60 WRITE"),
    on("c", "PUBLISH a b", "SPUBLISH a b", "PFCOUNT k"),
  ),
  script(
    "what arrives inline and waits",
    on("p", "CLIENT PAUSE 60 WRITE"),
    on("c", ["SET", "k", 'quo"ted \\x41'], "GET k"),
  ),
];

const kinds: Case[] = [
  script(
    "CLIENT KILL TYPE pubsub",
    on("s", "SUBSCRIBE a"),
    on("n", "PING"),
    { ...on("k", "CLIENT KILL TYPE pubsub"), closes: ["s"] },
    on("n", "PING"),
  ),
  script(
    "CLIENT LIST of subscribers and others",
    on("s", "SUBSCRIBE a b", "PSUBSCRIBE c*"),
    on("h", "SSUBSCRIBE x"),
    on("m", "MULTI", "GET a"),
    on("w", "WATCH a b"),
    on("t", "CLIENT TRACKING ON NOLOOP"),
    on("b", "CLIENT TRACKING ON BCAST PREFIX a"),
    on("l", "CLIENT LIST TYPE pubsub", "CLIENT LIST TYPE normal"),
    on("l", "CLIENT LIST ID {id:m} {id:t} {id:b}"),
  ),
];

const watchers: Case[] = [
  {
    name: "MONITOR",
    steps: [
      on("m", "MONITOR"),
      on(
        "c",
        "SET k v",
        ["SET", 'a"b\\', "x\r\n\t\x07\x08\x00\xff"],
        "get k",
        "SELECT 3",
        "GET k",
        "NOSUCH",
        "GET",
        "SET k v XX NX",
      ),
      on("c", "MULTI", "SET a 1", "GET a", "EXEC", "MULTI", "SET a 1", "DISCARD", "WATCH a", "UNWATCH"),
      on("c", "CONFIG GET maxmemory", "CLIENT GETNAME", "ECHO hello"),
      on("c", "LPUSH l 1", "BLPOP l 0", "PUBLISH ch x", "DEBUG SLEEP 0"),
      on("c", "RPUSH queue a", "RENAME queue other"),
    ],
  },
  script(
    "MONITOR of a blocked command and who wakes it",
    on("m", "MONITOR"),
    {
      ...on("b", "BLPOP q 0"),
      blocks: ["b"],
    },
    { ...on("c", "RPUSH q 1"), wakes: ["b"] },
  ),
  script(
    "RESET ends MONITOR",
    on("m", "MONITOR"),
    on("c", "SET a 1"),
    on("m", "RESET"),
    on("c", "SET a 2"),
    on("m", "PING"),
  ),
];

const resets: Case[] = [
  script(
    "RESET in a transaction, with watches, subscriptions and a name",
    on(
      "c",
      "CLIENT SETNAME x",
      "SELECT 4",
      "WATCH a",
      "MULTI",
      "SET a 1",
      "RESET",
      "CLIENT GETNAME",
      "GET a",
      "EXEC",
    ),
    on("c", "HELLO 3", "SUBSCRIBE a", "PSUBSCRIBE b*", "RESET", "PING", "PUBLISH a x", "PUBSUB NUMPAT"),
  ),
];

const letters: readonly string[] = ["KEA", "Kg$", "Elh", "KEx", "Km", "KEn", "g$", "K", "KEAmn", "Es", "Kz"];

const notified: Case[] = [
  ...letters.map(
    (flags): Case => ({
      name: `notify-keyspace-events ${flags}`,
      config: ["notify-keyspace-events"],
      steps: [
        on("c", `CONFIG SET notify-keyspace-events ${flags}`, "CONFIG GET notify-keyspace-events"),
        on("s", "PSUBSCRIBE __key*"),
        on(
          "c",
          "SET k 1 EX 100",
          "GET k",
          "GET none",
          "LPUSH l a b",
          "LPOP l 2",
          "HSET h f v",
          "SADD s m",
          "ZADD z 1 m",
        ),
        on("c", "DEL k h s z", "MULTI", "SET x 1", "INCR x", "EXEC", "SELECT 3", "SET y 1", "MOVE y 0"),
        on("c", "SET p 1 PX 1", "DEBUG SLEEP 0.01", "GET p", "RENAME y z", "FLUSHALL"),
      ],
    }),
  ),
  stream(
    "errors of notify-keyspace-events",
    "CONFIG SET notify-keyspace-events q",
    "CONFIG SET notify-keyspace-events KEAq",
    "CONFIG GET notify-keyspace-events",
  ),
  {
    name: "how notify-keyspace-events is printed",
    config: ["notify-keyspace-events"],
    commands: ["KA", "AK", "g$lshzxetd", "Kxeg", "nm", "AnmKE", "lllK", ""].flatMap((flags) => [
      ["CONFIG", "SET", "notify-keyspace-events", flags],
      ["CONFIG", "GET", "notify-keyspace-events"],
    ]),
  },
  {
    name: "events of one who is subscribed itself",
    config: ["notify-keyspace-events"],
    protocols: [3],
    oracle: "8",
    steps: [
      on("c", "CONFIG SET notify-keyspace-events KEA", "SUBSCRIBE __keyspace@0__:k"),
      on("c", "SET k 1", "INCR k", "MULTI", "INCR k", "DEL k", "EXEC"),
    ],
  },
];

export const clientCases: Case[] = [...pauses, ...kinds, ...watchers, ...resets, ...notified];
