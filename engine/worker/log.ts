// log.ts: lines for the operator, on standard error: time, level, worker, message, fields. Never a key or a value.

const order = ["debug", "verbose", "notice", "warning", "nothing"];
let least = 2;

export type Level = "debug" | "verbose" | "notice" | "warning";

export function setLogLevel(level: string): void {
  const index = order.indexOf(level);
  if (index >= 0) least = index;
}

/** Writes a line. `worker` -1 is the control plane. */
export function logLine(
  level: Level,
  worker: number,
  message: string,
  fields: Record<string, unknown> = {},
): void {
  if (order.indexOf(level) < least) return;
  const who = worker < 0 ? "main" : `w${worker}`;
  let line = `${new Date().toISOString()} ${level} [${who}] ${message}`;
  for (const [name, value] of Object.entries(fields)) {
    const text = String(value);
    line += ` ${name}=${/[\s"=]/.test(text) ? JSON.stringify(text) : text}`;
  }
  process.stderr.write(`${line}\n`);
}
