// linearizability.ts: was there an order of these operations, each at one moment between its call and its answer, in which
// every answer is right? Histories of registers that are read, written, counted up and removed, alone or several at once.
//
// The algorithm is just-in-time linearization as a search over a graph of configurations: Gavin Lowe, "Testing for
// linearizability", Concurrency and Computation: Practice and Experience 29 (4), 2017, which builds on J. M. Wing and
// C. Gong, "Testing and verifying concurrent objects", Journal of Parallel and Distributed Computing 17, 1993. That a history
// may be cut by object and the pieces judged alone is the locality of Herlihy and Wing, 1990; remembering where the search has
// been is Lowe's, and what made Porcupine (Anish Athalye, 2017) fast.
//
//   configuration   what the registers hold, and which of the operations under way have taken effect already
// A call adds its operation to those under way. An answer keeps the configurations in which the operation has taken
// effect, and those that come of the others when some of the operations under way, this one last, take effect in some
// order: nothing takes effect before an answer makes it necessary. When none is left, no order explains the history. The
// work is linear in the length of the history, times what the clients can do at once.
// One thing more: an operation that changes nothing takes effect as soon as its answer fits. Waiting gains it nothing, so
// configurations that differ only in that are one.
// Values that are written are unique, or nearly: then few orders fit, and a stale value is known for what it is.
// Neighbours: tests/property/linearizability.test.ts records histories and checks this checker.

/** What a register holds that is not there. Values are other numbers, from 0 on. */
export const ABSENT = -1;

export const enum Kind {
  /** Answers `value`. */
  Read = 0,
  /** Makes it `value`. */
  Write = 1,
  /** Counts up by one, an absent one from 0; answers `value`. */
  Count = 2,
  /** Makes it absent; answers `value`: 1 when it was there, else 0. */
  Remove = 3,
}

export interface Step {
  readonly kind: Kind;
  readonly register: number;
  readonly value: number;
}

/** What takes effect at one moment: a command, or a whole transaction. */
export interface Operation {
  readonly client: number;
  /** Moments of the call and of the answer, all of a history different. */
  readonly called: number;
  readonly answered: number;
  readonly steps: readonly Step[];
}

/** Why a history has no order: the answer that none explains, what the registers may have held then, and the operations
 *  that were under way. */
export interface Violation {
  readonly operation: Operation;
  readonly possible: readonly (readonly number[])[];
  readonly underWay: readonly Operation[];
}

/** More configurations than this mean that the history is not one to be judged in this way. */
const MOST_CONFIGURATIONS = 200_000;

interface Configuration {
  /** Bit i: the operation under way of client i has taken effect. */
  readonly effective: number;
  readonly values: readonly number[];
}

/** What the registers hold after an operation, `values` itself when nothing changed, or null when its answer does not fit. */
function applied(operation: Operation, values: readonly number[]): readonly number[] | null {
  let after = values;
  const set = (register: number, value: number): void => {
    if (after[register] === value) return;
    const changed = [...after];
    changed[register] = value;
    after = changed;
  };
  for (const { kind, register, value } of operation.steps) {
    const there = after[register]!;
    if (kind === Kind.Read) {
      if (there !== value) return null;
    } else if (kind === Kind.Write) set(register, value);
    else if (kind === Kind.Count) {
      if (value !== (there === ABSENT ? 1 : there + 1)) return null;
      set(register, value);
    } else {
      if (value !== (there === ABSENT ? 0 : 1)) return null;
      set(register, ABSENT);
    }
  }
  return after;
}

/** Whether an operation changes nothing wherever its answer fits. */
function isPure(operation: Operation): boolean {
  return operation.steps.every(
    ({ kind, value }) => kind === Kind.Read || (kind === Kind.Remove && value === 0),
  );
}

/** Configurations, each once. */
class Configurations {
  readonly all: Configuration[] = [];
  private readonly known = new Set<string>();

  add(one: Configuration): void {
    const name = `${one.effective}:${one.values.join()}`;
    if (this.known.has(name)) return;
    this.known.add(name);
    this.all.push(one);
    if (this.all.length > MOST_CONFIGURATIONS) throw new Error("too many orders to follow");
  }
}

/** Judges operations of up to 31 clients on registers 0 to `registers` - 1, absent at first. Null when there is an order. */
export function judge(operations: readonly Operation[], registers: number): Violation | null {
  const events = operations.flatMap((operation) => [
    { at: operation.called, operation, call: true },
    { at: operation.answered, operation, call: false },
  ]);
  events.sort((a, b) => a.at - b.at);
  const underWay: Operation[] = [];
  const pureBits = new Map<Operation, boolean>(operations.map((operation) => [operation, isPure(operation)]));

  /** With every operation that changes nothing in effect whose answer fits. */
  const settled = (effective: number, values: readonly number[]): Configuration => {
    for (const operation of underWay)
      if (pureBits.get(operation)! && (effective & (1 << operation.client)) === 0)
        if (applied(operation, values) !== null) effective |= 1 << operation.client;
    return { effective, values };
  };

  let configurations: readonly Configuration[] = [
    { effective: 0, values: new Array<number>(registers).fill(ABSENT) },
  ];
  for (const { operation, call } of events) {
    if (call) {
      if (underWay.some(({ client }) => client === operation.client))
        throw new Error(`client ${operation.client} called before it was answered`);
      underWay.push(operation);
      if (pureBits.get(operation)!)
        configurations = configurations.map(({ effective, values }) => settled(effective, values));
      continue;
    }
    const own = 1 << operation.client;
    const met = new Configurations();
    const after = new Configurations();
    for (const configuration of configurations) met.add(configuration);
    for (let i = 0; i < met.all.length; i++) {
      const { effective, values } = met.all[i]!;
      if ((effective & own) !== 0) {
        after.add({ effective: effective & ~own, values });
        continue;
      }
      for (const other of underWay) {
        const bit = 1 << other.client;
        if ((effective & bit) !== 0) continue;
        const changed = applied(other, values);
        if (changed !== null) met.add(settled(effective | bit, changed));
      }
    }
    if (after.all.length === 0)
      return { operation, possible: configurations.map(({ values }) => values), underWay };
    configurations = after.all;
    underWay.splice(underWay.indexOf(operation), 1);
  }
  return null;
}

/** A part of a history that can be judged alone, its registers numbered anew. */
export interface Part {
  /** The registers' numbers in the whole history. */
  readonly registers: readonly number[];
  readonly operations: readonly Operation[];
}

/** Cuts a history into parts that share no register: those that one operation names belong together. */
export function partsOf(operations: readonly Operation[], registers: number): Part[] {
  const parent = Array.from({ length: registers }, (_, i) => i);
  const root = (register: number): number => {
    while (parent[register] !== register) register = parent[register]!;
    return register;
  };
  for (const { steps } of operations)
    for (const { register } of steps) parent[root(register)] = root(steps[0]!.register);
  const parts = new Map<number, { registers: number[]; operations: Operation[] }>();
  const placeOf = new Array<number>(registers);
  for (let register = 0; register < registers; register++) {
    const part = parts.get(root(register)) ?? { registers: [], operations: [] };
    parts.set(root(register), part);
    placeOf[register] = part.registers.push(register) - 1;
  }
  for (const operation of operations) {
    const [first] = operation.steps;
    if (first === undefined) continue; // it read and wrote nothing
    const steps = operation.steps.map((step) => ({ ...step, register: placeOf[step.register]! }));
    parts.get(root(first.register))!.operations.push({ ...operation, steps });
  }
  return [...parts.values()];
}

/** Judges a whole history: "" when there is an order, else what is wrong, for a person to read. */
export function verdict(operations: readonly Operation[], registers: number): string {
  for (const part of partsOf(operations, registers)) {
    const violation = judge(part.operations, part.registers.length);
    if (violation !== null) return describe(part, violation);
  }
  return "";
}

/** How many operations before the one that fits nowhere are shown. */
const SHOWN = 24;

function describe({ registers, operations }: Part, { operation, possible, underWay }: Violation): string {
  const nameOf = (place: number): string => `r${registers[place]}`;
  const shown = (value: number): string => (value === ABSENT ? "nothing" : `${value}`);
  const stepOf = ({ kind, register, value }: Step): string => {
    const name = nameOf(register);
    if (kind === Kind.Read) return `read ${name} -> ${shown(value)}`;
    if (kind === Kind.Write) return `write ${name} = ${value}`;
    return kind === Kind.Count ? `count ${name} -> ${value}` : `remove ${name} -> ${value}`;
  };
  const line = (one: Operation): string =>
    `  [${one.called}, ${one.answered}] client ${one.client}: ${one.steps.map(stepOf).join("; ")}`;
  const touched = new Set(operation.steps.map(({ register }) => register));
  const before = operations
    .filter(
      (one) => one.answered <= operation.answered && one.steps.some(({ register }) => touched.has(register)),
    )
    .sort((a, b) => a.answered - b.answered)
    .slice(-SHOWN);
  const states = possible
    .slice(0, 5)
    .map(
      (values) =>
        `  ${[...touched].map((place) => `${nameOf(place)} = ${shown(values[place]!)}`).join(", ")}`,
    );
  return [
    "no order explains the answer of",
    line(operation),
    "before it, what it names may have held",
    ...new Set(states),
    "under way with it",
    ...underWay.filter((one) => one !== operation).map(line),
    "the operations on the same registers that were answered last",
    ...before.map(line),
  ].join("\n");
}
