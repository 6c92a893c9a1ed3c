// dispatcher.bench.ts: parse, route, execute and reply without a socket: what of a command is ours and not the kernel's.
import { encodeCommands } from "../../protocol/request-encoder.ts";
import { bench } from "../../scripts/bench/bench.ts";
import { quietHost, quietHub } from "../../tests/support/quiet-host.ts";
import { Call } from "../commands/call.ts";
import { allCommands } from "../commands/index.ts";
import { Reply } from "../commands/reply.ts";
import type { Server } from "../commands/server.ts";
import { Session } from "../commands/session.ts";
import { need, Region } from "../memory/region.ts";
import { Clock } from "../shard/clock.ts";
import { evictionRules } from "../shard/eviction.ts";
import { Keyspace } from "../shard/keyspace.ts";
import { Client } from "./client.ts";
import { CommandTable, type Entry } from "./command-table.ts";
import { Dispatcher } from "./dispatcher.ts";

function measure(
  make: (key: string) => string[],
  keys: number,
  rounds: number,
  workers = 1,
  followed = false,
) {
  const send = need(Region.private(1 << 26), "bench");
  const input = need(Region.private(1 << 26), "bench");
  const keyspace = Keyspace.create(workers, 1 << 28, new Clock());
  if (followed)
    for (const { eviction } of keyspace.shards) {
      eviction.configure(evictionRules["allkeys-lru"]);
      eviction.follow(keys);
    }
  const reply = new Reply(send, send.bytes);
  const entries: Entry[] = [];
  const table = CommandTable.of(allCommands, entries);
  const call = new Call(input, reply, keyspace, {} as Server, quietHub);
  const host = {
    ...quietHost(keyspace, call),
    memoryFull: false,
    makeRoom: () => true,
    failed(_: Entry, error: unknown) {
      throw error;
    },
    countError() {},
    crossProtocol() {},
    handOver() {
      reply.at = 0;
      reply.begin = 0;
    },
  };
  const dispatcher = new Dispatcher(call, table, keyspace, host, entries.length);
  const client = new Client(1, new Session(1, 1, "", "", 0));
  const run = (commands: string[][]) => {
    const bytes = encodeCommands(commands);
    input.u8.set(bytes, 0);
    return bytes.length;
  };
  const keyOf = (i: number) => `key:${String(i).padStart(12, "0")}`;
  const once = (end: number) => {
    reply.at = 0;
    dispatcher.run(client, null, input, 0, end);
  };
  once(run(Array.from({ length: keys }, (_, i) => ["SET", keyOf(i), "x".repeat(64)])));
  const order = Array.from({ length: keys }, (_, i) => (i * 7919) % keys);
  const end = run(order.map((i) => make(keyOf(i))));
  once(end);
  const before = Bun.nanoseconds();
  for (let round = 0; round < rounds; round++) once(end);
  return { ops: rounds * keys, checksum: reply.at, seconds: (Bun.nanoseconds() - before) / 1e9 };
}

const smoke = { keys: 100, rounds: 2 };
const full = { keys: 100_000, rounds: 20 };
const value = "y".repeat(64);

bench({
  name: "dispatch GET",
  smoke,
  full,
  run: ({ keys, rounds }) => measure((key) => ["GET", key], keys, rounds),
});
bench({
  name: "dispatch SET",
  smoke,
  full,
  run: ({ keys, rounds }) => measure((key) => ["SET", key, value], keys, rounds),
});
bench({
  name: "dispatch GET two workers",
  smoke,
  full,
  run: ({ keys, rounds }) => measure((key) => ["GET", key], keys, rounds, 2),
});
bench({
  name: "dispatch SET two workers",
  smoke,
  full,
  run: ({ keys, rounds }) => measure((key) => ["SET", key, value], keys, rounds, 2),
});

// With maxmemory set: requests count.
for (const workers of [1, 2]) {
  const where = workers === 1 ? "followed" : "followed, two workers";
  bench({
    name: `dispatch GET ${where}`,
    smoke,
    full,
    run: ({ keys, rounds }) => measure((key) => ["GET", key], keys, rounds, workers, true),
  });
  bench({
    name: `dispatch SET ${where}`,
    smoke,
    full,
    run: ({ keys, rounds }) => measure((key) => ["SET", key, value], keys, rounds, workers, true),
  });
}
