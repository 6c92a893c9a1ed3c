// pubsub.ts: messages delivered a CPU-second of the server.   bun run bench:pubsub [options]
//
// PUBLISH of 64 bytes, one at a time and sixteen in a pipeline,
//   to 1 subscriber      16 publishers, each with a channel and a subscriber of its own
//   to 100 subscribers   4 publishers on one channel that all hundred subscribers have
// Every message is awaited at every subscriber, which only reads. All threads of a server are bound to one core; ours has
// four workers. Driven by closed-loop.ts, in the turns that rates.ts describes.
//
//   --rounds N       3                     --shards 4            ours
//   --only uring,redis                     names or their beginnings
//   --cpu N          1.0, CPU seconds aimed at per measurement
//   --server NAME=COMMAND, repeatable      --quick   1 round, a tenth of the messages: to see that it works
//   --write          puts the figures into docs/claims.toml
// Neighbours: closed-loop.ts generates, rates.ts and lib.ts below it, claims.ts for --write.

import { parseArgs } from "node:util";
import { writeClaims } from "./claims.ts";
import { type Batch, generate } from "./closed-loop.ts";
import {
  commandLine,
  encode,
  machine,
  numbers,
  RandomBytes,
  type Server,
  saveRaw,
  subjectsFor,
  versionOf,
} from "./lib.ts";
import { cpuOf, Rates, type Sample, sampleOf, slugOf } from "./rates.ts";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    shards: { type: "string", default: "4" },
    only: { type: "string" },
    cpu: { type: "string", default: "1.0" },
    server: { type: "string", multiple: true },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});

const messageBytes = 64;
const rounds = options.quick ? 1 : Number(options.rounds);
const cpuTarget = Number(options.cpu) * (options.quick ? 0.1 : 1);
const message = new RandomBytes(5).text(messageBytes);

interface Cell {
  /** Of each message. */
  subscribers: number;
  publishers: number;
  pipeline: number;
}

const cells: Cell[] = [
  { subscribers: 1, publishers: 16 },
  { subscribers: 100, publishers: 4 },
].flatMap((shape) => [1, 16].map((pipeline) => ({ ...shape, pipeline })));
const cellName = ({ subscribers, pipeline }: Cell) => `to ${subscribers}, P ${pipeline}`;

const subjects = subjectsFor({
  shards: numbers(options.shards),
  drivers: ["uring", "epoll"],
  extra: options.server,
  only: options.only?.split(","),
});
const rates = new Rates(subjects, cellName);

const bulk = (text: string) => `$${text.length}\r\n${text}\r\n`;
const pushOf = (...words: string[]) => `*${words.length}\r\n${words.map(bulk).join("")}`;

/** Publishes `publishes` messages in a cell's way and waits for them at every subscriber. */
async function drive(server: Server, cell: Cell, publishes: number): Promise<void> {
  const { subscribers, publishers, pipeline } = cell;
  const channels = subscribers === 1 ? publishers : 1;
  const names = Array.from({ length: channels }, (_, i) => `channel:${10 + i}`);
  const batches: Batch[] = names.map((name) => ({
    request: encode(["PUBLISH", name, message]).repeat(pipeline),
    reply: `:${subscribers}\r\n`.repeat(pipeline),
    delivers: pushOf("message", name, message).length * pipeline * subscribers,
  }));
  const receivers: Batch[] = Array.from({ length: subscribers * channels }, (_, i) => {
    const name = names[i % channels];
    return {
      request: encode(["SUBSCRIBE", name]),
      reply: `*3\r\n${bulk("subscribe")}${bulk(name)}:1\r\n`,
    };
  });
  await generate(server, {
    connections: publishers,
    count: Math.ceil(publishes / pipeline),
    batches,
    receivers,
  });
}

/** A guess of what one PUBLISH costs, seconds. */
function guess({ subscribers, pipeline }: Cell): number {
  return (1 + 6 / pipeline + 2 * subscribers) * 1e-6;
}

/** Operations are messages delivered. */
async function measure(server: Server, cell: Cell): Promise<Sample> {
  const warmUp = Math.ceil(cpuTarget / 5 / guess(cell));
  const cost = Math.max(await cpuOf(server, () => drive(server, cell, warmUp)), 0.01) / warmUp;
  const batches = Math.ceil(Math.min(cpuTarget / cost, 20 * warmUp) / cell.pipeline);
  const publishes = batches * cell.pipeline;
  return sampleOf(server, publishes * cell.subscribers, () => drive(server, cell, publishes));
}

async function prepare(server: Server): Promise<void> {
  for (const cell of cells) await drive(server, cell, (options.quick ? 10_000 : 150_000) / cell.subscribers);
}

const began = performance.now();
console.log(
  `${machine()}\nserver on core 0, load on core 1, ${rounds} round(s); messages of ${messageBytes} bytes, ` +
    "delivered to all their subscribers",
);
for (const subject of subjects) console.log(`${subject.name}: ${versionOf(subject)}`);
for (let turn = 1; turn <= rounds; turn++) {
  console.error(`round ${turn} of ${rounds}`);
  await rates.round(cells, prepare, measure);
}
rates.print(cells);
const artifact = saveRaw("pubsub", rates.raw());
console.log(`raw figures in ${artifact}; ${((performance.now() - began) / 1000).toFixed(0)} s`);

if (options.write) {
  if (!subjects.some((subject) => subject.ours)) throw new Error("no server of ours: nothing to claim");
  const common = {
    command: commandLine("bun run bench:pubsub"),
    runs: rounds,
    unit: "ratio",
    kind: "ours" as const,
    accept: ">= 1",
  };
  const claims = rates.pairs.flatMap(([name, other]) =>
    cells.map((cell) => ({
      ...common,
      id: `pubsub-${cell.subscribers}-p${cell.pipeline}-${slugOf(name, other)}`,
      text: `PUBLISH of ${messageBytes} bytes ${cellName(cell)}: messages delivered per CPU-second of the server, ironcache on ${name} over ${other}.`,
      value: rates.ratio(cell, name, other),
    })),
  );
  writeClaims(claims, !options.quick && rounds >= 3);
}
process.exit(0);
