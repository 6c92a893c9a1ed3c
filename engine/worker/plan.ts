// plan.ts: what the control plane hands to each worker at its start, as plain data.
import type { BunAddress } from "../io/bun.ts";
import type { KeyspacePlan } from "../shard/keyspace.ts";
import type { SamplesPlan } from "../shard/samples.ts";
import type { ControlPlan } from "./control.ts";
import type { ExchangePlan } from "./exchange.ts";
import type { MailPlan } from "./inbox.ts";
import type { SwapsPlan } from "./swaps.ts";

export interface WorkerPlan {
  readonly index: number;
  readonly workers: number;
  readonly keyspace: KeyspacePlan;
  readonly control: ControlPlan;
  readonly mail: MailPlan;
  readonly exchange: ExchangePlan;
  readonly swaps: SwapsPlan;
  readonly samples: SamplesPlan;
  readonly hashSeed: readonly [number, number];
  readonly driver: "uring" | "epoll" | "bun";
  readonly driverReason: string;
  /** Bound sockets for the blocking drivers; the first `tcpListeners` are TCP. */
  readonly listeners: readonly number[];
  readonly tcpListeners: number;
  /** Where the `bun` driver listens. */
  readonly addresses: readonly BunAddress[];
  readonly wakeFd: number;
  /** CPU to be tied to, -1 for none. */
  readonly cpu: number;
  readonly runId: string;
  readonly startedMs: number;
  readonly configFile: string;
  readonly version: string;
}

/** The same for the thread that compresses. */
export type CompressorPlan = Pick<WorkerPlan, "keyspace" | "control" | "swaps" | "hashSeed">;
