// closed-loop.ts: a load generator for what redis-benchmark cannot send: batches of any commands, transactions among them,
// and messages to subscribers. A process of its own, so that it can have a core of its own.
//
//   bun scripts/bench/closed-loop.ts < plan     the plan, a Plan as JSON; ends when all is done, or fails
// Each connection sends a batch in one piece, waits for all of its replies and sends the next; connection c begins at
// batch c of the plan and goes on in steps of the connections. Replies are checked to the byte in the first batches of
// each connection, then counted: an error among them has another length, and ends in waiting in vain, which fails.
// Receivers say something once, then only receive: what the batches deliver to them is counted as bytes.
// Neighbours: transactions.ts and pubsub.ts write plans through `generate`; sockets.ts talks to the kernel.

import { join } from "node:path";
import { loadCore, pinned, type Server } from "./lib.ts";
import { Outgoing, Sockets } from "./sockets.ts";

export interface Batch {
  /** Commands, and their replies to the byte. */
  request: string;
  reply: string;
  /** Bytes that receivers are sent because of it, all together. */
  delivers?: number;
}

export interface Plan {
  port: number;
  connections: number;
  /** How many batches are sent, from `batches`, again from the beginning after the last. */
  count: number;
  batches: readonly Batch[];
  /** Connections that receive: what each says first, and what it is answered. */
  receivers?: readonly Batch[];
}

const checkedBatches = 3; // a connection
const patienceMs = 10_000;

/** Runs the generator on the load core against a server. Throws when it fails. */
export async function generate(server: Server, plan: Omit<Plan, "port">): Promise<void> {
  const child = Bun.spawn(pinned(loadCore, [process.execPath, join(import.meta.dir, "closed-loop.ts")]), {
    stdin: new Blob([JSON.stringify({ ...plan, port: server.port } satisfies Plan)]),
    stdout: "ignore",
    stderr: "pipe",
  });
  const errors = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(`generator against ${server.subject.name}: ${errors}`);
}

/** Throws unless `got` begins as `expected` does, as far as both go. */
function check(got: string, expected: string): void {
  const bytes = Math.min(got.length, expected.length);
  if (got.slice(0, bytes) === expected.slice(0, bytes)) return;
  const show = (text: string) => JSON.stringify(text.slice(0, 300));
  throw new Error(`replied ${show(got)}, not ${show(expected)}`);
}

function run({ port, connections, count, batches, receivers = [] }: Plan): void {
  const sockets = new Sockets(port, connections + receivers.length);
  const { input } = sockets;
  const requests = new Outgoing(batches.map(({ request }) => request).join(""));
  const lengths = Uint32Array.from(batches, ({ request }) => request.length);
  const starts = new Uint32Array(batches.length);
  for (let i = 1; i < batches.length; i++) starts[i] = starts[i - 1] + lengths[i - 1];
  const replies = Uint32Array.from(batches, ({ reply }) => reply.length);
  const delivers = Float64Array.from(batches, ({ delivers = 0 }) => delivers);

  let lastMs = performance.now();
  const wait = (what: string): number => {
    const ready = sockets.poll();
    if (ready > 0) lastMs = performance.now();
    else if (performance.now() - lastMs > patienceMs) throw new Error(`waited in vain for ${what}`);
    return ready;
  };

  // Receivers first.
  for (const [i, { request, reply }] of receivers.entries()) {
    const words = new Outgoing(request);
    sockets.send(connections + i, words.address, request.length);
    let got = "";
    while (got.length < reply.length) {
      wait("a receiver's reply");
      got += Buffer.from(input.subarray(0, sockets.receive(connections + i))).toString("latin1");
      check(got, reply);
    }
  }

  const batchOf = new Uint32Array(connections); // the batch under way
  const missing = new Float64Array(connections); // bytes of its reply not yet received
  const unsent = new Uint32Array(connections); // bytes of it not yet sent
  const done = new Uint32Array(connections);
  const heads = new Array<string>(connections).fill(""); // replies so far, while they are checked
  let sent = 0;
  let answered = 0;
  let owed = 0; // bytes that receivers have not yet received

  const push = (connection: number): void => {
    const batch = batchOf[connection];
    const from = starts[batch] + lengths[batch] - unsent[connection];
    const took = sockets.send(connection, requests.address + from, unsent[connection]);
    if (took > 0) unsent[connection] -= took;
  };
  const begin = (connection: number, batch: number): void => {
    batchOf[connection] = batch;
    missing[connection] = replies[batch];
    unsent[connection] = lengths[batch];
    owed += delivers[batch];
    sent++;
    push(connection);
  };

  for (let connection = 0; connection < connections && sent < count; connection++)
    begin(connection, connection % batches.length);
  while (answered < count || owed > 0) {
    const ready = wait(`${count - answered} batches' replies and ${owed} bytes of messages`);
    for (let place = 0; place < ready; place++) {
      const index = sockets.ready(place);
      const got = sockets.receive(index);
      if (index >= connections) {
        owed -= got;
        continue;
      }
      missing[index] -= got;
      if (done[index] < checkedBatches) {
        heads[index] += Buffer.from(input.subarray(0, got)).toString("latin1");
        check(heads[index], batches[batchOf[index]].reply);
      }
      if (missing[index] < 0) throw new Error("more was replied than asked for");
      if (missing[index] > 0) continue;
      heads[index] = "";
      done[index]++;
      answered++;
      if (sent < count) begin(index, (batchOf[index] + connections) % batches.length);
    }
    for (let connection = 0; connection < connections; connection++)
      if (unsent[connection] > 0) push(connection);
  }
  if (owed < 0) throw new Error("more was delivered than published");
}

if (import.meta.main) {
  run((await Bun.stdin.json()) as Plan);
  process.exit(0);
}
