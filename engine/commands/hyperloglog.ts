// hyperloglog.ts: the commands on HyperLogLog strings.
//
// Such a string is an ordinary string record, marked Encoding.Edited by whatever writes or may write it. A dense one is
// changed where it lies; a sparse one is changed in a copy and stored once, so a refusal for want of memory changes
// nothing. An element that meets a corrupt string ends PFADD with an error; those before it stay added, as in Redis.
// Ours: a sparse string too long to be valid is corrupt to every command (Redis's PFADD still changes some of them).
// On the data path, but for PFDEBUG and PFSELFTEST; allocates nothing but for estimates beyond 2^53.
// Neighbours: engine/types/hyperloglog.ts knows the bytes; the dispatcher runs the rows below.
import { Flag, type KeySpec, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors, pfdebugSubcommand, testFailed } from "../../protocol/errors.ts";
import { Encoding, Type } from "../memory/record.ts";
import { copyBytes } from "../memory/region.ts";
import { Event } from "../shard/events.ts";
import {
  countSketch,
  describeRuns,
  eachRegister,
  isDense,
  isSketch,
  isStale,
  Layout,
  locate,
  makeStale,
  Raised,
  Registers,
  raiseDense,
  rank,
  register,
  rememberCount,
  rememberedCount,
  selfTest,
  Work,
} from "../types/hyperloglog.ts";
import type { Call, Row } from "./call.ts";

const work = new Work();
const registers = new Registers();

/** Whether the record at the cursor is one of ours; replies if not. */
function checkSketch(call: Call): boolean {
  const { reply, shard } = call;
  if (shard.type() !== Type.String) {
    reply.error(Errors.wrongType);
    return false;
  }
  if (isSketch(shard.region, shard.valueStart(), shard.valueBytes())) return true;
  reply.error(Errors.notHyperLogLog);
  return false;
}

/** Loads the record at the cursor into `work`, or replies that it is corrupt. */
function loadWork(call: Call): boolean {
  const { shard } = call;
  if (work.load(shard.region, shard.valueStart(), shard.valueBytes())) return true;
  call.reply.error(Errors.corruptHyperLogLog);
  return false;
}

/** Stores `work` under the current key, whose record at the cursor is `handle` (0: absent). False when memory is out. */
function storeWork(call: Call, handle: number): boolean {
  const { key, session, shard } = call;
  if (handle === 0) return shard.setString(session.db, key, work.region, 0, work.bytes, Encoding.Edited, 0);
  if (
    shard.valueBytes() !== work.bytes &&
    !shard.resizeValue(session.db, key, handle, work.bytes, !work.dense)
  )
    return false;
  copyBytes(shard.region, shard.valueStart(), work.region, 0, work.bytes);
  shard.setEncoding(Encoding.Edited);
  return true;
}

function mostSparseBytes(call: Call): number {
  return Number(call.server.setting("hll-sparse-max-bytes"));
}

/** An estimate, which may leave the safe integers. */
function replyCount(call: Call, count: number): void {
  if (Number.isSafeInteger(count)) call.reply.integer(count);
  else call.reply.bigInteger(BigInt(count));
}

/** PFADD key [element ...] */
function pfadd(call: Call): void {
  const { argc, input, reply } = call;
  const handle = call.find(1);
  const { shard } = call;
  if (handle === 0) work.create();
  else {
    if (!checkSketch(call)) return;
    if (isDense(shard.region, shard.valueStart())) return addDense(call);
    if (!loadWork(call)) return;
  }

  const most = mostSparseBytes(call);
  let changed = handle === 0;
  let raised = Raised.No;
  for (let i = 2; i < argc && raised !== Raised.Corrupt; i++) {
    locate(input, call.start[i]!, call.length[i]!);
    raised = work.raise(register, rank, most, false);
    if (raised === Raised.Yes) changed = true;
  }
  if (changed) {
    if (raised !== Raised.Corrupt) makeStale(work.region, 0);
    if (!storeWork(call, handle)) return reply.error(Errors.outOfMemory);
  } else shard.setEncoding(Encoding.Edited);
  if (raised === Raised.Corrupt) return reply.error(Errors.corruptHyperLogLog);
  replyAdded(call, changed);
}

/** Tells whether PFADD changed the string. */
function replyAdded(call: Call, changed: boolean): void {
  if (changed) call.notify(Event.PfAdd);
  call.reply.integer(changed ? 1 : 0);
}

/** PFADD on the dense string at the cursor. */
function addDense(call: Call): void {
  const { argc, input, shard } = call;
  const { region } = shard;
  const start = shard.valueStart();
  let changed = false;
  for (let i = 2; i < argc; i++) {
    locate(input, call.start[i]!, call.length[i]!);
    if (raiseDense(region, start, register, rank)) changed = true;
  }
  if (changed) makeStale(region, start);
  shard.setEncoding(Encoding.Edited);
  replyAdded(call, changed);
}

/** PFCOUNT key [key ...]. Of one key, the estimate is remembered in the string. */
function pfcount(call: Call): void {
  const { argc, reply } = call;
  if (argc > 2) {
    if (mergeKeys(call) >= 0) replyCount(call, registers.count());
    return;
  }
  if (call.findHeld(1) === 0) return reply.integer(0);
  if (!checkSketch(call)) return;
  const { shard } = call;
  shard.setEncoding(Encoding.Edited);
  const { region } = shard;
  const start = shard.valueStart();
  if (!isStale(region, start)) return replyRemembered(call);
  const count = countSketch(region, start, shard.valueBytes());
  if (Number.isNaN(count)) return reply.error(Errors.corruptHyperLogLog);
  rememberCount(region, start, count);
  call.notify(Event.Silent);
  replyCount(call, count);
}

function replyRemembered(call: Call): void {
  const { region } = call.shard;
  const start = call.shard.valueStart();
  const count = rememberedCount(region, start);
  if (Number.isSafeInteger(count)) call.reply.integer(count);
  else call.reply.bigInteger(region.view.getBigUint64(start + Layout.Count, true));
}

/** Merges the strings at all key arguments into `registers`. Whether one was dense, as 0 or 1; -1 after replying what is
 *  wrong. */
function mergeKeys(call: Call): number {
  registers.clear();
  let dense = 0;
  for (let i = 1; i < call.argc; i++) {
    if (call.findHeld(i) === 0) continue;
    if (!checkSketch(call)) return -1;
    const { shard } = call;
    const start = shard.valueStart();
    if (isDense(shard.region, start)) dense = 1;
    if (!registers.merge(shard.region, start, shard.valueBytes())) {
      call.reply.error(Errors.corruptHyperLogLog);
      return -1;
    }
  }
  return dense;
}

/** PFMERGE destination [key ...] */
function pfmerge(call: Call): void {
  const { reply } = call;
  const dense = mergeKeys(call);
  if (dense < 0) return;
  const handle = call.find(1);
  if (handle === 0) work.create();
  else if (!loadWork(call)) return;
  if (dense === 1) work.pack(registers);
  else {
    const most = mostSparseBytes(call);
    const { values } = registers;
    for (let i = 0; i < values.length && !work.dense; i++)
      if (values[i] !== 0) work.raise(i, values[i]!, most, true);
    // Grown dense on the way: the destination was merged too, so the registers are all there is.
    if (work.dense) work.pack(registers);
  }
  makeStale(work.region, 0);
  if (!storeWork(call, handle)) return reply.error(Errors.outOfMemory);
  call.notify(Event.PfAdd);
  reply.ok();
}

/** PFDEBUG GETREG|DECODE|ENCODING|TODENSE key */
function pfdebug(call: Call): void {
  const { reply } = call;
  const handle = call.find(2);
  if (handle === 0) return reply.error(Errors.specifiedKeyMissing);
  if (!checkSketch(call)) return;
  const { shard } = call;
  shard.setEncoding(Encoding.Edited);
  const dense = isDense(shard.region, shard.valueStart());
  if (call.is(1, "getreg")) {
    if (!dense && !convert(call, handle)) return;
    reply.array(registers.values.length);
    eachRegister(shard.region, shard.valueStart(), (value) => reply.integer(value));
  } else if (call.is(1, "decode")) {
    if (dense) return reply.error(Errors.notSparse);
    if (!loadWork(call)) return;
    reply.text(describeRuns(work.region, 0, work.bytes));
  } else if (call.is(1, "encoding")) reply.simple(dense ? "dense" : "sparse");
  else if (call.is(1, "todense")) {
    if (!dense && !convert(call, handle)) return;
    reply.integer(dense ? 0 : 1);
  } else reply.error(pfdebugSubcommand(call.text(1)));
}

/** Makes the sparse string at the cursor dense. False after replying why not. */
function convert(call: Call, handle: number): boolean {
  if (!loadWork(call)) return false;
  if (!work.toDense()) call.reply.error(Errors.corruptHyperLogLog);
  else if (!storeWork(call, handle)) call.reply.error(Errors.outOfMemory);
  else return true;
  return false;
}

/** PFSELFTEST. With 100,000 elements where Redis takes ten million, so that it does not hold up its worker. */
function pfselftest(call: Call): void {
  const wrong = selfTest(100_000, Math.random);
  if (wrong === null) call.reply.ok();
  else call.reply.error(testFailed(wrong));
}

// Rows

const family = { scope: Scope.Keys, tier: Tier.Extended, group: "hyperloglog" };
const debugAcl = ["hyperloglog", "admin", "slow", "dangerous"];

function key(first: number, last: number, flags: readonly string[], notes?: string): KeySpec {
  return notes === undefined ? { first, last, step: 1, flags } : { first, last, step: 1, flags, notes };
}

export const hyperloglogCommands: readonly Row[] = [
  {
    ...family,
    name: "pfadd",
    arity: -2,
    flags: Flag.Write | Flag.DenyOom | Flag.Fast,
    keys: [key(1, 0, ["RW", "insert"])],
    acl: ["write", "hyperloglog", "fast"],
    since: "2.8.9",
    complexity: "O(1) for each element; O(M) in the bytes of a small, sparse string",
    summary: "Adds elements to a HyperLogLog.",
    syntax: "key [element ...]",
    handler: pfadd,
  },
  {
    ...family,
    name: "pfcount",
    arity: -2,
    flags: Flag.ReadOnly,
    keys: [
      key(
        1,
        -1,
        ["RW", "access"],
        "RW because it may change the internal representation of the key, and propagate to replicas",
      ),
    ],
    acl: ["read", "hyperloglog", "slow"],
    since: "2.8.9",
    complexity:
      "O(1) where the estimate is remembered, else O(N) in the number of keys, 16384 registers each",
    summary: "Estimates how many different elements were added to one or more HyperLogLogs.",
    syntax: "key [key ...]",
    handler: pfcount,
  },
  {
    ...family,
    name: "pfmerge",
    arity: -2,
    flags: Flag.Write | Flag.DenyOom,
    keys: [key(1, 0, ["RW", "access", "insert"]), key(2, -1, ["RO", "access"])],
    acl: ["write", "hyperloglog", "slow"],
    since: "2.8.9",
    complexity: "O(N) in the number of keys, 16384 registers each",
    summary: "Merges HyperLogLogs into one.",
    syntax: "destination [key ...]",
    handler: pfmerge,
  },
  {
    ...family,
    name: "pfdebug",
    arity: 3,
    flags: Flag.Write | Flag.DenyOom | Flag.Admin,
    keys: [key(2, 0, ["RW", "access"])],
    acl: ["write", ...debugAcl],
    since: "2.8.9",
    complexity: "O(N) in the 16384 registers",
    summary: "Shows or changes how a HyperLogLog is stored.",
    syntax: "subcommand key",
    handler: pfdebug,
  },
  {
    ...family,
    name: "pfselftest",
    arity: 1,
    flags: Flag.Admin,
    keys: [],
    scope: Scope.None,
    acl: debugAcl,
    since: "2.8.9",
    complexity: "O(1), some milliseconds",
    summary: "Tests the arithmetic of HyperLogLogs.",
    syntax: "",
    handler: pfselftest,
  },
];
