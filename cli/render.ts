// render.ts: one reply as the bytes redis-cli 7.0.15 prints for it, in each of its output forms.
//
//   MODE         WHO ASKS FOR IT                          FORM
//   standard     stdout is a terminal, or --no-raw        1) "a"   2~ (integer) 5   3# "k" => "v"
//   raw          stdout is not a terminal, or --raw       bytes, one item a line, a blank line after an error
//   csv          --csv                                    "a",5,NULL: nesting is flattened
//   json         --json                                   a value a line; an error is error:"...", not JSON
//   quoted-json  --quoted-json                            as json, escapes of standard, backslashes twice
//
// The oddities are redis-cli's own and scripts rely on them: they are kept, and the tests compare byte for
// byte. Text is built as a string of code units 0..255, one a byte (latin1), so no byte of a value is ever
// changed. Pure: writes nothing, knows no connection. Imports only protocol/. Neighbours: one-shot.ts
// prints the result.

import type { Reply, ReplyPair } from "../protocol/reply-decoder.ts";

export type OutputMode = "standard" | "raw" | "csv" | "json" | "quoted-json";

export interface RenderOptions {
  readonly mode: OutputMode;
  /** -d: between the items of an aggregate in raw. */
  readonly itemDelimiter: string;
  /** -D: after a reply in raw. */
  readonly replyDelimiter: string;
}

export const defaultDelimiters = { itemDelimiter: "\n", replyDelimiter: "\n" } as const;

/** What is printed for `reply`, its line end included. */
export function renderReply(reply: Reply, options: RenderOptions): Uint8Array {
  return Buffer.from(renderLatin1(reply, options), "latin1");
}

/** What is printed for the reply to a command whose text is meant for reading: raw in every mode, no line
 *  end. */
export function renderPlain(reply: Reply, options: RenderOptions): Uint8Array {
  return Buffer.from(raw(reply, latin1OfText(options.itemDelimiter)), "latin1");
}

/** What is printed for an unasked push: client-side caching's invalidations have a form of their own. */
export function renderPush(reply: Reply, options: RenderOptions): Uint8Array {
  if (options.mode !== "standard" || reply.type !== "push") return renderReply(reply, options);
  const [kind, keys] = reply.items;
  if (reply.items.length !== 2 || kind.type !== "bulk" || keys.type !== "array")
    return renderReply(reply, options);
  if (latin1(kind.bytes) !== "invalidate") return renderReply(reply, options);
  const names = keys.items.map((key) => `'${"bytes" in key ? latin1(key.bytes) : ""}'`);
  return Buffer.from(`-> invalidate: ${names.join(", ")}\n`, "latin1");
}

function renderLatin1(reply: Reply, options: RenderOptions): string {
  switch (options.mode) {
    case "standard":
      return standard(reply, "");
    case "raw":
      return raw(reply, latin1OfText(options.itemDelimiter)) + latin1OfText(options.replyDelimiter);
    case "csv":
      return `${csv(reply)}\n`;
    case "json":
      return `${json(reply, jsonString)}\n`;
    case "quoted-json":
      return `${json(reply, quotedJsonString)}\n`;
  }
}

/** Ends with a line end, always. `prefix` is what every line after the first starts with. */
function standard(reply: Reply, prefix: string): string {
  switch (reply.type) {
    case "error":
      return `(error) ${latin1(reply.bytes)}\n`;
    case "simple":
    case "verbatim":
      return `${latin1(reply.bytes)}\n`;
    case "bulk":
      return `${quoted(latin1(reply.bytes))}\n`;
    case "integer":
      return `(integer) ${reply.value}\n`;
    case "double":
      return `(double) ${reply.text}\n`;
    case "big-number":
      return `${reply.text}\n`;
    case "boolean":
      return reply.value ? "(true)\n" : "(false)\n";
    case "null":
      return "(nil)\n";
    case "map":
      return standardMap(reply.pairs, prefix);
    case "array":
    case "set":
    case "push":
      return standardItems(reply.type, reply.items, prefix);
  }
}

function standardItems(type: "array" | "set" | "push", items: readonly Reply[], prefix: string): string {
  if (items.length === 0) return `(empty ${type})\n`;
  const width = String(items.length).length;
  const inner = prefix + " ".repeat(width + 2);
  const mark = type === "set" ? "~" : ")";
  let out = "";
  items.forEach((item, i) => {
    out += `${i === 0 ? "" : prefix}${String(i + 1).padStart(width)}${mark} ${standard(item, inner)}`;
  });
  return out;
}

function standardMap(pairs: readonly ReplyPair[], prefix: string): string {
  if (pairs.length === 0) return "(empty hash)\n";
  const width = String(pairs.length).length;
  const inner = prefix + " ".repeat(width + 2);
  let out = "";
  pairs.forEach(([key, value], i) => {
    const keyText = standard(key, inner).slice(0, -1);
    // A value of several lines starts on one of its own, under the key; a value of one stays beside it.
    const gap = isTall(value) ? `\n${inner}` : "";
    out += `${i === 0 ? "" : prefix}${String(i + 1).padStart(width)}# ${keyText} => ${gap}${standard(value, inner)}`;
  });
  return out;
}

/** Whether `reply` takes several lines by its structure; line ends inside a text do not count, nor does a
 *  key. */
function isTall(reply: Reply): boolean {
  const values =
    reply.type === "map" ? reply.pairs.map(([, value]) => value) : "items" in reply ? reply.items : [];
  return values.length > 1 || (values.length === 1 && isTall(values[0]));
}

function raw(reply: Reply, delimiter: string): string {
  switch (reply.type) {
    case "error":
      return `${latin1(reply.bytes)}\n`;
    case "simple":
    case "verbatim":
    case "bulk":
      return latin1(reply.bytes);
    case "integer":
      return String(reply.value);
    case "double":
    case "big-number":
      return reply.text;
    case "boolean":
      return reply.value ? "(true)" : "(false)";
    case "null":
      return "";
    case "map":
      return reply.pairs
        .map(([key, value]) => `${raw(key, delimiter)} ${raw(value, delimiter)}`)
        .join(delimiter);
    case "array":
    case "set":
    case "push":
      return reply.items.map((item) => raw(item, delimiter)).join(delimiter);
  }
}

function csv(reply: Reply): string {
  switch (reply.type) {
    case "error":
      return `ERROR,${quoted(latin1(reply.bytes))}`;
    case "simple":
    case "verbatim":
    case "bulk":
      return quoted(latin1(reply.bytes));
    case "integer":
      return String(reply.value);
    case "double":
    case "big-number":
      return reply.text;
    case "boolean":
      return String(reply.value);
    case "null":
      return "NULL";
    case "map":
      return reply.pairs.map(([key, value]) => `${csv(key)},${csv(value)}`).join(",");
    case "array":
    case "set":
    case "push":
      return reply.items.map(csv).join(",");
  }
}

function json(reply: Reply, string: (text: string) => string): string {
  switch (reply.type) {
    case "error":
      return `error:${string(latin1(reply.bytes))}`;
    case "simple":
    case "verbatim":
    case "bulk":
      return string(latin1(reply.bytes));
    case "integer":
      return String(reply.value);
    case "double":
    case "big-number":
      return reply.text;
    case "boolean":
      return String(reply.value);
    case "null":
      return "null";
    case "map":
      return `{${reply.pairs.map(([key, value]) => `${jsonKey(key, string)}:${json(value, string)}`).join(",")}}`;
    case "array":
    case "set":
    case "push":
      return `[${reply.items.map((item) => json(item, string)).join(",")}]`;
  }
}

/** A key that is no string is its JSON between quotes, unescaped, and so is not always JSON. */
function jsonKey(key: Reply, string: (text: string) => string): string {
  const text = json(key, string);
  return "bytes" in key ? text : `"${text}"`;
}

/** A value between double quotes, every byte that is not printable ASCII escaped. */
function quoted(text: string): string {
  let out = '"';
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 34 || code === 92) out += `\\${text[i]}`;
    else if (code >= 32 && code < 127) out += text[i];
    else out += quotedEscapes[code] ?? `\\x${code.toString(16).padStart(2, "0")}`;
  }
  return `${out}"`;
}

const quotedEscapes: Readonly<Record<number, string>> = {
  7: "\\a",
  8: "\\b",
  9: "\\t",
  10: "\\n",
  13: "\\r",
};

/** Bytes above 127 pass as they are, UTF-8 or not: so does redis-cli. */
function jsonString(text: string): string {
  let out = '"';
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 34 || code === 92) out += `\\${text[i]}`;
    else if (code >= 32) out += text[i];
    else out += jsonEscapes[code] ?? `\\u${code.toString(16).padStart(4, "0")}`;
  }
  return `${out}"`;
}

const jsonEscapes: Readonly<Record<number, string>> = {
  8: "\\b",
  9: "\\t",
  10: "\\n",
  12: "\\f",
  13: "\\r",
};

/** The escapes of the standard form with each backslash doubled. A double quote comes out as `\\"`:
 *  redis-cli's slip. */
function quotedJsonString(text: string): string {
  return quoted(text).replaceAll("\\", "\\\\");
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

function latin1OfText(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
