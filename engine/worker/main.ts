// main.ts: where a worker thread begins. The plan comes with the thread; the loop is called from here and not from a
// callback, which the compiler rewards.
import { workerData } from "node:worker_threads";
import type { WorkerPlan } from "./plan.ts";
import { Worker } from "./worker.ts";

new Worker(workerData as WorkerPlan).run();
