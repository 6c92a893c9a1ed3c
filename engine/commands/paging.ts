// paging.ts: what SCAN, HSCAN, SSCAN and ZSCAN share: the cursor, the options, the page.
// Neighbours: keyspace.ts and the files of the collections.
import { Errors } from "../../protocol/errors.ts";
import type { Region } from "../memory/region.ts";
import { globMatch } from "../types/glob.ts";
import { parseInteger } from "../types/integer.ts";
import type { Call } from "./call.ts";
import type { Reply } from "./reply.ts";

/** COUNT is a hint, and this is the most of it that one call honours. */
const COUNT_MOST = 65536;

/** Argument `i` as a cursor: any unsigned 64-bit number, Infinity beyond those we give out, -1 when it is none. */
export function readCursor(call: Call, i: number): number {
  const value = parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
  if (value >= 0 && value <= Number.MAX_SAFE_INTEGER) return value; // every cursor that we give out
  const text = call.text(i);
  if (text === "") return 0;
  if (!/^\+?[0-9]+$/.test(text)) return -1;
  const cursor = BigInt(text.replace(/^\+/, ""));
  if (cursor > 2n ** 64n - 1n) return -1;
  return cursor > Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : Number(cursor);
}

/** Whether argument `i` is the pattern that takes everything, the empty text too. */
export function isStar(call: Call, i: number): boolean {
  return call.length[i] === 1 && call.input.u8[call.start[i]!] === 42;
}

/** The options of a scan, as `read` found them last. */
export const page = {
  /** Elements that a page should have, before the pattern takes some out. */
  wanted: 10,
  /** Argument that holds the pattern, 0 when everything is taken. */
  pattern: 0,
  /** Argument that holds the name of a type, 0 for none. SCAN only. */
  type: 0,
  /** Whether the bare word was given: NOVALUES, NOSCORES. */
  bare: false,
};

/** Reads COUNT, MATCH, TYPE (if `typed`) and the word `bare` ("" for none) from argument `from` on into `page`. False after
 *  replying with an error. */
export function readPageOptions(call: Call, from: number, typed: boolean, bare: string): boolean {
  const { reply } = call;
  reply.direct = false; // finishPage moves what was replied
  page.wanted = 10;
  page.pattern = 0;
  page.type = 0;
  page.bare = false;
  for (let i = from; i < call.argc; i++) {
    if (bare !== "" && call.is(i, bare)) {
      page.bare = true;
      continue;
    }
    const last = i + 1 === call.argc;
    if (!last && call.is(i, "count")) {
      const wanted = parseInteger(call.input.u8, call.start[++i]!, call.length[i]!);
      if (Number.isNaN(wanted)) {
        reply.error(Errors.notAnInteger);
        return false;
      }
      if (wanted < 1) {
        reply.error(Errors.syntax);
        return false;
      }
      page.wanted = Math.min(wanted, COUNT_MOST);
    } else if (!last && call.is(i, "match")) page.pattern = isStar(call, ++i) ? 0 : i;
    else if (!last && typed && call.is(i, "type")) page.type = ++i;
    else {
      reply.error(Errors.syntax);
      return false;
    }
  }
  return true;
}

/** Whether the pattern of `page` takes these bytes. */
export function pageTakes(call: Call, region: Region, start: number, bytes: number): boolean {
  const { pattern } = page;
  return (
    pattern === 0 ||
    globMatch(call.input.u8, call.start[pattern]!, call.length[pattern]!, region.u8, start, bytes)
  );
}

/** Ends a page whose `count` elements have been replied since `from`, before their number was known: puts the header of
 *  the reply, the next cursor and that of the elements in front of them. */
export function finishPage(call: Call, from: number, next: number, count: number): void {
  const { reply } = call;
  const body = reply.at;
  reply.array(2);
  reply.text(next.toString());
  reply.array(count);
  moveToFront(reply, from, body);
}

const header = new Uint8Array(64);

/** Moves what was written from `body` on, at most 64 bytes, in front of what was written from `from` on. All of that must
 *  still be there: `reply.direct` was false. */
export function moveToFront(reply: Reply, from: number, body: number): void {
  const { u8, at } = reply;
  if (reply.overflow || body === from) return;
  const bytes = at - body;
  for (let i = 0; i < bytes; i++) header[i] = u8[body + i]!;
  u8.copyWithin(from + bytes, from, body);
  for (let i = 0; i < bytes; i++) u8[from + i] = header[i]!;
}
