// index.ts: the whole command table, family by family. The one place that names all families.

import { atomicCommands } from "./atomics.ts";
import { bitmapCommands } from "./bitmaps.ts";
import { blockingCommands } from "./blocking.ts";
import type { Row } from "./call.ts";
import { clientCommands } from "./clients.ts";
import { connectionCommands } from "./connection.ts";
import { dumpCommands } from "./dump.ts";
import { expiryCommands } from "./expiry.ts";
import { fieldDeadlineCommands } from "./field-deadlines.ts";
import { geoCommands } from "./geo.ts";
import { hashCommands } from "./hashes.ts";
import { hyperloglogCommands } from "./hyperloglog.ts";
import { keyspaceCommands } from "./keyspace.ts";
import { listCommands } from "./lists.ts";
import { memoryCommands } from "./memory.ts";
import { pubsubCommands } from "./pubsub.ts";
import { serverCommands } from "./server-commands.ts";
import { setCommands } from "./sets.ts";
import { sortCommands } from "./sort.ts";
import { sortedSetAlgebraCommands } from "./sorted-set-algebra.ts";
import { sortedSetRangeCommands } from "./sorted-set-ranges.ts";
import { sortedSetCommands } from "./sorted-sets.ts";
import { stringCommands } from "./strings.ts";
import { transactionCommands } from "./transactions.ts";

export const allCommands: readonly Row[] = [
  ...stringCommands,
  ...atomicCommands,
  ...bitmapCommands,
  ...hyperloglogCommands,
  ...hashCommands,
  ...fieldDeadlineCommands,
  ...setCommands,
  ...listCommands,
  ...sortedSetCommands,
  ...sortedSetRangeCommands,
  ...sortedSetAlgebraCommands,
  ...blockingCommands,
  ...geoCommands,
  ...sortCommands,
  ...keyspaceCommands,
  ...dumpCommands,
  ...expiryCommands,
  ...transactionCommands,
  ...pubsubCommands,
  ...connectionCommands,
  ...clientCommands,
  ...serverCommands,
  ...memoryCommands,
];
