// A framing reader for replies: where one RESP2 or RESP3 reply ends, and what tree it is. It shares no code with the
// server on purpose: a test that read replies with the server's own codec could not see that codec's mistakes.
//
// Bytes and strings: throughout this folder a string stands for bytes, one byte a character (latin1), so "\xff\r\n"
// is three bytes. Nothing here is UTF-8. Neighbours: harness.ts reads sockets with it, normalise.ts compares trees.

export type Bytes = Uint8Array;

/** The bytes of a latin1 string. */
export function bytesOf(text: string): Bytes {
  return Buffer.from(text, "latin1");
}

/** The latin1 string of bytes. */
export function textOf(bytes: Bytes): string {
  const buffer = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString("latin1");
}

export class MalformedReply extends Error {}

const CR = 13;
const LF = 10;
const Aggregates = "*~%>|";

/** Index just past the reply that starts at `start`, or -1 while it is incomplete before `end`. Throws MalformedReply.
 *  Every reply of every server passes through here, so it makes no objects. */
export function replyEnd(bytes: Bytes, start: number, end: number): number {
  if (start >= end) return -1;
  const kind = String.fromCharCode(bytes[start]!);
  let lineEnd = start;
  while (lineEnd < end && bytes[lineEnd] !== CR) lineEnd++;
  if (lineEnd + 1 >= end) return -1;
  if (bytes[lineEnd + 1] !== LF) throw new MalformedReply(`CR without LF at byte ${lineEnd}`);
  let at = lineEnd + 2;
  if ("+-:_,#(".includes(kind)) return at;
  const aggregate = Aggregates.includes(kind);
  if (!aggregate && !"$=!".includes(kind)) throw new MalformedReply(`reply type ${JSON.stringify(kind)}`);
  const count = countAt(bytes, start + 1, lineEnd);
  if (!aggregate) {
    if (count < 0) return at;
    if (at + count + 2 > end) return -1;
    if (bytes[at + count] !== CR || bytes[at + count + 1] !== LF)
      throw new MalformedReply(`bulk of ${count} bytes does not end in CRLF`);
    return at + count + 2;
  }
  const elements = kind === "%" || kind === "|" ? count * 2 : count;
  for (let i = 0; i < elements; i++) {
    at = replyEnd(bytes, at, end);
    if (at < 0) return -1;
  }
  // An attribute belongs to the reply behind it.
  return kind === "|" ? replyEnd(bytes, at, end) : at;
}

/** Decimal without a leading zero or a sign, or -1. */
function countAt(bytes: Bytes, start: number, end: number): number {
  let count = 0;
  let right = end > start && (bytes[start] !== 48 || end === start + 1);
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - 48;
    right &&= digit >= 0 && digit <= 9;
    count = count * 10 + digit;
  }
  if (right) return count;
  const digits = textOf(bytes.subarray(start, end));
  if (digits !== "-1") throw new MalformedReply(`length ${JSON.stringify(digits)}`);
  return -1;
}

/** One reply as a tree. `text` of an aggregate is empty; a null has `items` undefined and kind `_`, `$-` or `*-`. */
export interface Reply {
  kind: string;
  text: string;
  items?: Reply[];
}

/** The tree of one complete reply. */
export function parseReply(bytes: Bytes): Reply {
  return parseAt(bytes, { at: 0 });
}

function parseAt(bytes: Bytes, cursor: { at: number }): Reply {
  const start = cursor.at;
  const kind = String.fromCharCode(bytes[start]);
  const lineEnd = bytes.indexOf(CR, start);
  const line = textOf(bytes.subarray(start + 1, lineEnd));
  cursor.at = lineEnd + 2;
  if ("+-:_,#(".includes(kind)) return { kind, text: line };
  const count = Number(line);
  if (count < 0) return { kind: `${kind}-`, text: "" };
  if (!Aggregates.includes(kind)) {
    const text = textOf(bytes.subarray(cursor.at, cursor.at + count));
    cursor.at += count + 2;
    return { kind, text };
  }
  const items: Reply[] = [];
  for (let i = kind === "%" ? count * 2 : count; i > 0; i--) items.push(parseAt(bytes, cursor));
  return { kind, text: "", items };
}

/** A request as an array of bulk strings. */
export function encodeRequest(words: readonly (string | Bytes)[]): Bytes {
  let text = `*${words.length}\r\n`;
  for (const word of words) {
    const one = typeof word === "string" ? word : textOf(word);
    text += `$${one.length}\r\n${one}\r\n`;
  }
  return bytesOf(text);
}

/** Bytes for a person: escaped, and cut in the middle past `most` characters. */
export function show(bytes: Bytes | string, most = 400): string {
  const text = typeof bytes === "string" ? bytes : textOf(bytes);
  const cut = text.length > most;
  const kept = cut ? text.slice(0, most / 2) + text.slice(text.length - most / 4) : text;
  const escaped = kept.replace(/[^ -~]|[\\"]/g, (c) => {
    if (c === "\r") return "\\r";
    if (c === "\n") return "\\n";
    if (c === "\\" || c === '"') return `\\${c}`;
    return `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return cut ? `${escaped} (${text.length} bytes, middle left out)` : escaped;
}

/** A command as redis-cli would take it: words quoted where they need it. */
export function showCommand(words: readonly (string | Bytes)[], most = 120): string {
  return words
    .map((word) => {
      const text = typeof word === "string" ? word : textOf(word);
      return /^[!-~]+$/.test(text) && !/["'\\]/.test(text) && text.length <= most
        ? text
        : `"${show(text, most)}"`;
    })
    .join(" ");
}
