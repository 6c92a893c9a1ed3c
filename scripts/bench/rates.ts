// rates.ts: what the benchmarks of rates share: the turns of the servers, the samples by cell, the tables of ratios.
//
// Each round starts every server afresh; then cell by cell the servers take turns, A B C, those not being measured
// stopped (SIGSTOP), so that a change of the machine's mood meets all of them. A cell is the median over the rounds; a
// ratio is ours over a peer's; cells below 1.00 are marked.
// Neighbours: throughput.ts and collections.ts measure, lib.ts below it.

import type { Claim } from "./claims.ts";
import { cpuSeconds, geometricMean, median, type Server, type Subject, short, start, table } from "./lib.ts";

/** One measurement: operations per CPU-second of the server, and a second on the wall. */
export interface Sample {
  perCpuSecond: number;
  perSecond: number;
}

/** CPU seconds that a server spends while `work` runs. */
export async function cpuOf(server: Server, work: () => Promise<void>): Promise<number> {
  const before = cpuSeconds(server.pid);
  await work();
  return cpuSeconds(server.pid) - before;
}

/** Runs `requests` requests, sent by `work`, and takes the time. */
export async function sampleOf(server: Server, requests: number, work: () => Promise<void>): Promise<Sample> {
  const began = performance.now();
  const cpu = await cpuOf(server, work);
  return {
    perCpuSecond: requests / Math.max(cpu, 0.01), // the clock's step
    perSecond: requests / ((performance.now() - began) / 1000),
  };
}

/** The samples of a run, by cell and subject. */
export class Rates<Cell> {
  /** Names of subjects of which the first is held against the second: ours against each peer. */
  readonly pairs: readonly (readonly [string, string])[];
  private readonly samples = new Map<string, Sample[]>();

  constructor(
    private readonly subjects: readonly Subject[],
    private readonly nameOf: (cell: Cell) => string,
  ) {
    const ours = subjects.filter((subject) => subject.ours).map(({ name }) => name);
    const peers = subjects.filter((subject) => !subject.ours).map(({ name }) => name);
    // Without a server of ours the peers are held against each other, so that the harness itself can be tried.
    this.pairs =
      ours.length > 0
        ? ours.flatMap((name) => peers.map((other) => [name, other] as const))
        : peers.slice(1).map((other) => [peers[0], other] as const);
  }

  /** One round: `prepare` each server, then `measure` each cell on each, all but one stopped, then `finish` each. */
  async round(
    cells: readonly Cell[],
    prepare: (server: Server) => Promise<void>,
    measure: (server: Server, cell: Cell) => Promise<Sample>,
    finish: (server: Server) => Promise<void> = async () => {},
  ): Promise<void> {
    const servers: Server[] = [];
    try {
      for (const subject of this.subjects) {
        const server = await start(subject);
        servers.push(server);
        await prepare(server);
        process.kill(server.pid, "SIGSTOP");
      }
      for (const cell of cells) {
        for (const server of servers) {
          process.kill(server.pid, "SIGCONT");
          const sample = await measure(server, cell);
          process.kill(server.pid, "SIGSTOP");
          const key = this.key(cell, server.subject.name);
          this.samples.set(key, [...(this.samples.get(key) ?? []), sample]);
          console.error(
            `  ${key}: ${short(sample.perCpuSecond)} per CPU-second, ${short(sample.perSecond)}/s`,
          );
        }
      }
      for (const server of servers) {
        process.kill(server.pid, "SIGCONT");
        await finish(server);
      }
    } finally {
      for (const server of servers) await server.stop();
    }
  }

  ratio(cell: Cell, name: string, other: string): number {
    return this.medianOf(cell, name) / this.medianOf(cell, other);
  }

  /** Geometric mean of the ratios of some cells. */
  meanOf(cells: readonly Cell[], name: string, other: string): number {
    return geometricMean(cells.map((cell) => this.ratio(cell, name, other)));
  }

  /** The table, then which cells are below 1.00 and which is the least of each pair. */
  print(cells: readonly Cell[]): void {
    const { pairs, subjects } = this;
    const marked = (ratio: number) => `${ratio < 1 ? "! " : ""}${ratio.toFixed(2)}`;
    const header = [
      "operations per CPU-second",
      ...subjects.map(({ name }) => name),
      ...pairs.map(([name, other]) => `${name} / ${other}`),
      "spread",
    ];
    const rows = cells.map((cell) => [
      this.nameOf(cell),
      ...subjects.map(({ name }) => short(this.medianOf(cell, name))),
      ...pairs.map(([name, other]) => marked(this.ratio(cell, name, other))),
      `${(100 * Math.max(...subjects.map(({ name }) => this.spreadOf(cell, name)))).toFixed(0)} %`,
    ]);
    rows.push([
      "geometric mean",
      ...subjects.map(({ name }) => short(geometricMean(cells.map((cell) => this.medianOf(cell, name))))),
      ...pairs.map(([name, other]) => marked(this.meanOf(cells, name, other))),
      "",
    ]);
    console.log(`\n${table(header, rows)}`);
    for (const [name, other] of pairs) {
      const least = this.leastOf(cells, name, other);
      console.log(`least of ${name} / ${other}: ${least.ratio.toFixed(2)}, ${this.nameOf(least.cell)}`);
    }
    const below = pairs.flatMap(([name, other]) =>
      cells
        .filter((cell) => this.ratio(cell, name, other) < 1)
        .map((cell) => `${this.nameOf(cell)}, ${name} / ${other}`),
    );
    console.log(below.length === 0 ? "no cell below 1.00" : `below 1.00 (!): ${below.join("; ")}`);
  }

  /** The cell in which a pair's ratio is least. */
  leastOf(cells: readonly Cell[], name: string, other: string): { cell: Cell; ratio: number } {
    return cells
      .map((cell) => ({ cell, ratio: this.ratio(cell, name, other) }))
      .reduce((least, one) => (one.ratio < least.ratio ? one : least));
  }

  /** One claim a pair and cell, `rate-<id of the cell>-<pair>`. */
  claims(
    cells: readonly Cell[],
    idOf: (cell: Cell) => string,
    common: Pick<Claim, "command" | "runs">,
  ): Claim[] {
    return this.pairs.flatMap(([name, other]) =>
      cells.map((cell) => ({
        ...common,
        kind: "ours" as const,
        unit: "ratio",
        id: `rate-${idOf(cell)}-${slugOf(name, other)}`,
        text: `${this.nameOf(cell)}: ${whatOf(name, other)}.`,
        value: this.ratio(cell, name, other),
        accept: ">= 1",
      })),
    );
  }

  /** The samples as JSON. */
  raw(): Record<string, Sample[]> {
    return Object.fromEntries(this.samples);
  }

  private key(cell: Cell, name: string): string {
    return `${this.nameOf(cell)} | ${name}`;
  }

  private perCpuSecond(cell: Cell, name: string): number[] {
    return (this.samples.get(this.key(cell, name)) ?? []).map(({ perCpuSecond }) => perCpuSecond);
  }

  /** Operations per CPU-second of a subject in a cell, the median of the rounds. */
  medianOf(cell: Cell, name: string): number {
    return median(this.perCpuSecond(cell, name));
  }

  /** How far the rounds of a cell lie apart: (max - min) / median. */
  private spreadOf(cell: Cell, name: string): number {
    const all = this.perCpuSecond(cell, name);
    return (Math.max(...all) - Math.min(...all)) / median(all);
  }
}

/** A pair in a claim's id. */
export function slugOf(name: string, other: string): string {
  return `${name}-${other}`.replaceAll(" ", "-");
}

/** What a ratio of a pair is, for a claim's text. */
export function whatOf(name: string, other: string): string {
  return `operations per CPU-second of the server, ironcache on ${name} over ${other}`;
}
