// program.ts: what the programs in TypeScript share: their lines on standard output, their patience, the restart of the
// server. Runs under Node and under Bun.
//
// A program asks for a restart by the line `restart`; run.ts kills the server, starts it again on the same port and
// answers with a line on standard input. ONLY (names, separated by commas) leaves the other checks out.
import { isDeepStrictEqual } from "node:util";
import type { Check } from "./checks.ts";

export const host = process.env.HOST ?? "127.0.0.1";
export const port = Number(process.env.PORT);

/** Whether the server runs scripts: if not, EVAL has to be an error. */
export const scripting = process.env.SCRIPTING === "yes";

const only = process.env.ONLY?.split(",");
const PATIENCE_MS = 15_000;

function print(line: string): void {
  process.stdout.write(`${line.replace(/\s+/g, " ").trim()}\n`);
}

export function version(text: string): void {
  print(`version ${text}`);
}

/** Fails, naming `what`, when the two differ. */
export function equal(actual: unknown, expected: unknown, what = "value"): void {
  if (!isDeepStrictEqual(actual, expected))
    throw new Error(`${what}: ${show(actual)} and not ${show(expected)}`);
}

export function that(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}

/** The message of the error that `body` fails with. */
export async function errorOf(body: () => Promise<unknown>): Promise<string> {
  try {
    await body();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error("no error");
}

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Waits until `condition` holds; what it throws counts as no. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS - 1000;
  let last = "";
  while (performance.now() < end) {
    try {
      if (await condition()) return;
    } catch (error) {
      last = `, last: ${error}`;
    }
    await sleep(10);
  }
  throw new Error(`waited in vain for ${what}${last}`);
}

/** What a check throws that met a limit of the library. */
export class Limit extends Error {}

/** One check: the line it deserves. */
export async function check(name: Check, body: () => Promise<void>): Promise<void> {
  if (only !== undefined && !only.includes(name)) return;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  });
  try {
    await Promise.race([body(), patience]);
    print(`ok ${name}`);
  } catch (error) {
    const word = error instanceof Limit ? "limit" : "FAIL";
    print(`${word} ${name}: ${error instanceof Error ? error.message : error}`);
  }
  clearTimeout(timer);
}

export function limit(name: Check, reason: string): void {
  if (only === undefined || only.includes(name)) print(`limit ${name}: ${reason}`);
}

/** Has the server killed and started again. */
export async function restartServer(): Promise<void> {
  print("restart");
  await new Promise<void>((resolve) => process.stdin.once("data", () => resolve()));
  process.stdin.pause();
}

/** Every byte value, and the ones that matter to the protocol next to each other. */
export const everyByte = Buffer.concat([
  Buffer.from(Array.from({ length: 256 }, (_, i) => i)),
  Buffer.from("\r\n$-1\r\n*0\r\n\0\r\n", "latin1"),
]);

/** 10 MB without a period that a buffer's size could hide behind. */
export function large(): Buffer {
  const bytes = Buffer.alloc(10_000_000);
  let state = 12345;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** The fields of CLIENT INFO. */
export function clientInfo(text: string): Map<string, string> {
  return new Map(
    text
      .trim()
      .split(" ")
      .map((field) => {
        const at = field.indexOf("=");
        return [field.slice(0, at), field.slice(at + 1)];
      }),
  );
}

/** What CLIENT INFO must say. Servers before 7.2 know no names of libraries. */
export function expectHandshake(text: string, protocol: number, library: string): void {
  const info = clientInfo(text);
  equal(info.get("resp"), `${protocol}`, "protocol");
  if (!info.has("lib-name")) return;
  that((info.get("lib-name") ?? "").startsWith(library), `lib-name is ${info.get("lib-name")}`);
  if (library !== "") that(/\d/.test(info.get("lib-ver") ?? ""), `lib-ver is ${info.get("lib-ver")}`);
}

/** Ends the program, connections open or not. */
export function done(): never {
  process.exit(0);
}
