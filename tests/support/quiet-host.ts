// quiet-host.ts: the surroundings of a dispatcher when nobody watches, waits, subscribes or monitors: for tests and
// benchmarks that run commands without a worker. Nothing in here is ever to be called but what asks whether.
import type { Call } from "../../engine/commands/call.ts";
import type { Hub } from "../../engine/commands/hub.ts";
import type { Keyspace } from "../../engine/shard/keyspace.ts";
import type { DispatchHost } from "../../engine/worker/dispatcher.ts";
import { Locks } from "../../engine/worker/locks.ts";

function unexpected(): never {
  throw new Error("nothing special about this connection was expected");
}

export const quietHub: Hub = {
  get pubsub(): never {
    return unexpected();
  },
  get tracking(): never {
    return unexpected();
  },
  exec: unexpected,
  watch: unexpected,
  unwatch: unexpected,
  discard: unexpected,
  reset: unexpected,
  flushing() {},
  swapping() {},
  swapped() {},
  block: unexpected,
  reachable: (call: Call, i: number) => call.locate(i).exclusive,
  serving: false,
};

/** What a dispatcher asks for beside the commands themselves. */
export function quietHost(
  keyspace: Keyspace,
  call: Call,
): Omit<DispatchHost, "failed" | "countError" | "handOver" | "crossProtocol" | "memoryFull" | "makeRoom"> {
  return {
    words: new Int32Array(64),
    locks: new Locks(keyspace, call),
    waiters: { ready: 0, serve: unexpected },
    queue: unexpected,
    queueNeedsMemory: () => false,
    abandon: unexpected,
    tracked: unexpected,
    trackedDone: unexpected,
    monitored: unexpected,
    drainMail: unexpected,
  };
}
