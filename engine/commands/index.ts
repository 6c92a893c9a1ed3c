// index.ts: the whole command table, family by family. The one place that names all families.

import type { Row } from "./call.ts";
import { connectionCommands } from "./connection.ts";
import { expiryCommands } from "./expiry.ts";
import { keyspaceCommands } from "./keyspace.ts";
import { serverCommands } from "./server-commands.ts";
import { stringCommands } from "./strings.ts";

export const allCommands: readonly Row[] = [
  ...stringCommands,
  ...keyspaceCommands,
  ...expiryCommands,
  ...connectionCommands,
  ...serverCommands,
];
