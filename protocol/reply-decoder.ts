// reply-decoder.ts: server replies, RESP2 and RESP3, out of a stream of byte chunks.
//
//   FIRST BYTE  REPLY              FIRST BYTE  REPLY
//    +          simple              ,          double
//    -          error               (          big-number
//    :          integer             #          boolean
//    $          bulk, or null       _          null
//    =          verbatim            !          error that may hold line ends
//    *          array, or null      ~          set
//    %          map                 >          push
//    |          attribute: no reply of its own, it is hung on the reply that follows
//
// Invariants:
//   - Where the stream is cut makes no difference: next() answers the same values for any split of the bytes.
//   - A reply owns its bytes: nothing in it points into the decoder's buffer or into a fed chunk.
//   - Each byte is looked at a bounded number of times, and a reply holds memory in proportion to the bytes
//     that arrived, never to a count or a length that was only announced.
//   - After one MalformedReply every later call throws the same one: the place in the stream is lost.
// Callers: the CLI, the bench's control connection, the tests. Not on the server's data path, so a value may
// be an object. Imports nothing. Neighbours: request-encoder.ts writes what is answered here.

/** Key and value, in the order the server sent them. A key may be any reply and may come twice. */
export type ReplyPair = readonly [key: Reply, value: Reply];

interface Attributed {
  /** The attribute that preceded this reply, if one did. */
  readonly attributes?: readonly ReplyPair[];
}

export type Reply = Attributed &
  (
    | { readonly type: "simple"; readonly bytes: Uint8Array }
    | { readonly type: "error"; readonly bytes: Uint8Array }
    | { readonly type: "bulk"; readonly bytes: Uint8Array }
    | { readonly type: "verbatim"; readonly format: string; readonly bytes: Uint8Array }
    | { readonly type: "integer"; readonly value: bigint }
    /** `text` is the number as the server wrote it: 3.140 and 1e5 do not survive a float. */
    | { readonly type: "double"; readonly value: number; readonly text: string }
    | { readonly type: "big-number"; readonly value: bigint; readonly text: string }
    | { readonly type: "boolean"; readonly value: boolean }
    /** `form` tells `$-1`, `*-1` and `_` apart; most callers need not care. */
    | { readonly type: "null"; readonly form: "bulk" | "array" | "resp3" }
    | { readonly type: "array" | "set" | "push"; readonly items: readonly Reply[] }
    | { readonly type: "map"; readonly pairs: readonly ReplyPair[] }
  );

export interface DecoderLimits {
  /** Longest bulk, verbatim or bulk error. 512 MiB is the server's own proto-max-bulk-len. */
  readonly bulkBytes: number;
  /** Longest simple string, error line or big number. */
  readonly lineBytes: number;
  /** Most items an aggregate may announce; a map counts its keys and its values. */
  readonly items: number;
  /** Deepest nesting; an array of scalars is 1. */
  readonly depth: number;
}

export const defaultLimits: DecoderLimits = {
  bulkBytes: 512 * 1024 * 1024,
  lineBytes: 64 * 1024 * 1024,
  items: 2 ** 31 - 1,
  depth: 1024,
};

/** The bytes are no reply, or are one past a limit. The stream cannot be read further. */
export class MalformedReply extends Error {
  override name = "MalformedReply";
}

const CR = 13;
const LF = 10;
const MINUS = 45;
/** A length or an integer: sign, nineteen digits and some room. A longer one is refused unread. */
const NUMBER_BYTES_MAX = 32;
/** A double as any server prints it; the longest %.17Lf of a long double stays under this. */
const DOUBLE_BYTES_MAX = 8192;
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const FIRST_BUFFER_BYTES = 4096;
/** A buffer grown past this for one big reply is given back once it is empty. */
const KEPT_BUFFER_BYTES = 1024 * 1024;
const DOUBLE_PATTERN = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

type AggregateType = "array" | "set" | "push" | "map" | "attribute";

/** An aggregate of which `missing` items, at least one, are still to come. */
interface Frame {
  readonly type: AggregateType;
  readonly items: Reply[];
  missing: number;
  /** What preceded the aggregate itself. */
  readonly ownAttributes: ReplyPair[] | undefined;
}

const aggregateOf: Readonly<Record<string, AggregateType>> = {
  "*": "array",
  "~": "set",
  ">": "push",
  "%": "map",
  "|": "attribute",
};

export class ReplyDecoder {
  readonly #limits: DecoderLimits;
  #buffer = new Uint8Array(FIRST_BUFFER_BYTES);
  /** Unread bytes are #buffer[#start, #end). */
  #start = 0;
  #end = 0;
  /** No line end begins in #buffer[#start, #scanned): a line fed bytewise is not searched again and again. */
  #scanned = 0;
  readonly #frames: Frame[] = [];
  /** Attributes read and not yet hung on a reply. */
  #attributes: ReplyPair[] | undefined;
  #failure: MalformedReply | null = null;

  constructor(limits: Partial<DecoderLimits> = {}) {
    this.#limits = { ...defaultLimits, ...limits };
  }

  /** Bytes held that belong to no finished reply; aggregates begun count only what is not yet parsed. */
  get pendingBytes(): number {
    return this.#end - this.#start;
  }

  /** Whether the stream stands between two replies: closing here loses nothing. */
  get idle(): boolean {
    return this.pendingBytes === 0 && this.#frames.length === 0 && this.#attributes === undefined;
  }

  /** Appends a copy of `chunk`; the caller may reuse it. */
  feed(chunk: Uint8Array): void {
    if (this.#end + chunk.length > this.#buffer.length) this.#makeRoom(chunk.length);
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** The next whole reply, or undefined until more is fed. Throws MalformedReply. */
  next(): Reply | undefined {
    if (this.#failure !== null) throw this.#failure;
    try {
      const reply = this.#read();
      if (reply === undefined) this.#releaseBigBuffer();
      return reply;
    } catch (error) {
      if (error instanceof MalformedReply) this.#failure = error;
      throw error;
    }
  }

  /** Feeds `chunk` and returns every reply it completed, oldest first. Throws MalformedReply. */
  decode(chunk: Uint8Array): Reply[] {
    this.feed(chunk);
    const replies: Reply[] = [];
    for (let reply = this.next(); reply !== undefined; reply = this.next()) replies.push(reply);
    return replies;
  }

  #read(): Reply | undefined {
    while (true) {
      const value = this.#readItem();
      if (value === "more") return undefined;
      if (value === "opened") continue;
      const done = this.#complete(value);
      if (done !== undefined) return done;
    }
  }

  /** Consumes one scalar, or the header of one aggregate ("opened"), or nothing at all ("more"). */
  #readItem(): Reply | "opened" | "more" {
    if (this.#start === this.#end) return "more";
    const mark = String.fromCharCode(this.#buffer[this.#start]);
    switch (mark) {
      case "+":
      case "-": {
        const end = this.#lineEnd(this.#limits.lineBytes);
        if (end < 0) return "more";
        const bytes = this.#buffer.slice(this.#start + 1, end);
        // A line end in part would let a value forge the start of a reply for a laxer reader.
        if (bytes.includes(CR) || bytes.includes(LF)) throw new MalformedReply("Bad simple string value");
        this.#consumeLine(end);
        return { type: mark === "+" ? "simple" : "error", bytes };
      }
      case "$":
      case "=":
      case "!":
        return this.#readBulk(mark);
      case "*":
      case "~":
      case ">":
      case "%":
      case "|":
        return this.#openAggregate(mark);
      case ":": {
        const text = this.#numberLine(NUMBER_BYTES_MAX);
        if (text === undefined) return "more";
        return { type: "integer", value: parseInt64(text) };
      }
      case ",": {
        const text = this.#numberLine(DOUBLE_BYTES_MAX);
        if (text === undefined) return "more";
        return { type: "double", value: parseDouble(text), text };
      }
      case "(": {
        const text = this.#numberLine(this.#limits.lineBytes);
        if (text === undefined) return "more";
        if (!/^[+-]?\d+$/.test(text)) throw new MalformedReply("Bad bignum value");
        return { type: "big-number", value: BigInt(text.replace(/^\+/, "")), text };
      }
      case "#": {
        const text = this.#numberLine(NUMBER_BYTES_MAX);
        if (text === undefined) return "more";
        if (!/^[tfTF]$/.test(text)) throw new MalformedReply("Bad bool value");
        return { type: "boolean", value: text === "t" || text === "T" };
      }
      case "_": {
        const text = this.#numberLine(NUMBER_BYTES_MAX);
        if (text === undefined) return "more";
        if (text !== "") throw new MalformedReply("Bad nil value");
        return { type: "null", form: "resp3" };
      }
      default:
        throw new MalformedReply(
          `Protocol error, got ${printable(this.#buffer[this.#start])} as reply type byte`,
        );
    }
  }

  #readBulk(mark: "$" | "=" | "!"): Reply | "more" {
    const headerEnd = this.#lineEnd(NUMBER_BYTES_MAX);
    if (headerEnd < 0) return "more";
    const length = this.#announced(headerEnd, "bulk string length", this.#limits.bulkBytes);
    if (length < 0) {
      if (mark !== "$") throw new MalformedReply("Bulk string length out of range");
      this.#consumeLine(headerEnd);
      return { type: "null", form: "bulk" };
    }
    const from = headerEnd + 2;
    const to = from + length;
    // The header stays unread until its bytes are here: reading it again costs less than one more state.
    if (this.#end < to + 2) return "more";
    if (this.#buffer[to] !== CR || this.#buffer[to + 1] !== LF) {
      throw new MalformedReply("Bad bulk string, no line end after its last byte");
    }
    const bytes = this.#buffer.slice(from, to);
    this.#consumeLine(to);
    if (mark === "$") return { type: "bulk", bytes };
    if (mark === "!") return { type: "error", bytes };
    if (length < 4 || bytes[3] !== 58) {
      throw new MalformedReply("Verbatim string 4 bytes of content type are missing or incorrectly encoded.");
    }
    return { type: "verbatim", format: latin1(bytes.subarray(0, 3)), bytes: bytes.slice(4) };
  }

  #openAggregate(mark: string): Reply | "opened" | "more" {
    const headerEnd = this.#lineEnd(NUMBER_BYTES_MAX);
    if (headerEnd < 0) return "more";
    const type = aggregateOf[mark];
    const paired = type === "map" || type === "attribute";
    const announced = this.#announced(headerEnd, "multi-bulk length", this.#limits.items / (paired ? 2 : 1));
    this.#consumeLine(headerEnd);
    if (announced < 0) {
      if (type !== "array") throw new MalformedReply("Multi-bulk length out of range");
      return { type: "null", form: "array" };
    }
    const missing = paired ? announced * 2 : announced;
    if (missing === 0) {
      if (type !== "attribute") return built(type, []);
      this.#attributes ??= [];
      return "opened";
    }
    if (this.#frames.length >= this.#limits.depth) {
      throw new MalformedReply(`Reply nested deeper than ${this.#limits.depth}`);
    }
    this.#frames.push({ type, items: [], missing, ownAttributes: this.#attributes });
    this.#attributes = undefined;
    return "opened";
  }

  /** Gives `value` to the aggregate it belongs to; the reply that is whole by that, if one is. */
  #complete(value: Reply): Reply | undefined {
    let done = attributed(value, this.#attributes);
    this.#attributes = undefined;
    while (true) {
      const frame = this.#frames.at(-1);
      if (frame === undefined) return done;
      frame.items.push(done);
      if (--frame.missing > 0) return undefined;
      this.#frames.pop();
      if (frame.type === "attribute") {
        // It fills no place in the aggregate around it: that one still waits for the reply it describes.
        const attributes = frame.ownAttributes ?? [];
        for (const pair of pairsOf(frame.items)) attributes.push(pair);
        this.#attributes = attributes;
        return undefined;
      }
      done = attributed(built(frame.type, frame.items), frame.ownAttributes);
    }
  }

  /** Index of the CR that ends the line at #start, or -1 when it has not come. Throws past `maxBytes`. */
  #lineEnd(maxBytes: number): number {
    const unread = this.#buffer.subarray(0, this.#end);
    const from = Math.max(this.#scanned, this.#start + 1);
    for (let at = unread.indexOf(CR, from); at >= 0; at = unread.indexOf(CR, at + 1)) {
      if (unread[at + 1] !== LF) continue;
      if (at - this.#start - 1 > maxBytes) throw new MalformedReply(`Line longer than ${maxBytes} bytes`);
      return at;
    }
    if (this.#end - this.#start - 2 > maxBytes)
      throw new MalformedReply(`Line longer than ${maxBytes} bytes`);
    // A CR as the last byte may still turn out to begin the line end.
    this.#scanned = Math.max(this.#start, this.#end - 1);
    return -1;
  }

  #consumeLine(end: number): void {
    this.#start = end + 2;
    this.#scanned = this.#start;
  }

  /** The text of a short line after its first byte, consumed, or undefined until it is whole. */
  #numberLine(maxBytes: number): string | undefined {
    const end = this.#lineEnd(maxBytes);
    if (end < 0) return undefined;
    const text = latin1(this.#buffer.subarray(this.#start + 1, end));
    this.#consumeLine(end);
    return text;
  }

  /** The length or count in the header that ends at `headerEnd`, -1 for null. Throws when it is neither. */
  #announced(headerEnd: number, what: string, max: number): number {
    const buffer = this.#buffer;
    const negative = buffer[this.#start + 1] === MINUS;
    const from = this.#start + (negative ? 2 : 1);
    if (headerEnd === from) throw new MalformedReply(`Bad ${what}`);
    let value = 0;
    for (let at = from; at < headerEnd; at++) {
      const digit = buffer[at] - 48;
      if (digit < 0 || digit > 9) throw new MalformedReply(`Bad ${what}`);
      value = value * 10 + digit;
    }
    if (negative && value === 1) return -1;
    if (negative || value > max)
      throw new MalformedReply(`${what[0].toUpperCase()}${what.slice(1)} out of range`);
    return value;
  }

  /** Slides the unread bytes to the front, into a buffer twice the size when that is not room enough. */
  #makeRoom(bytes: number): void {
    const pending = this.#end - this.#start;
    const needed = pending + bytes;
    // Sliding a nearly full buffer for every small chunk would cost its length each time: half must come
    // free.
    const roomy = needed <= this.#buffer.length && pending <= this.#buffer.length / 2;
    if (roomy) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
    } else {
      const bigger = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
      bigger.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = bigger;
    }
    this.#scanned = Math.max(0, this.#scanned - this.#start);
    this.#start = 0;
    this.#end = pending;
  }

  #releaseBigBuffer(): void {
    if (this.#start !== this.#end) return;
    if (this.#buffer.length > KEPT_BUFFER_BYTES) this.#buffer = new Uint8Array(FIRST_BUFFER_BYTES);
    this.#start = 0;
    this.#end = 0;
    this.#scanned = 0;
  }
}

/** The bytes of a reply that is a string of some kind or an error, as UTF-8 text; null for every other. */
export function textOf(reply: Reply): string | null {
  return "bytes" in reply ? new TextDecoder().decode(reply.bytes) : null;
}

function built(type: Exclude<AggregateType, "attribute">, items: Reply[]): Reply {
  return type === "map" ? { type, pairs: pairsOf(items) } : { type, items };
}

function pairsOf(items: readonly Reply[]): ReplyPair[] {
  const pairs: ReplyPair[] = [];
  for (let i = 0; i + 1 < items.length; i += 2) pairs.push([items[i], items[i + 1]]);
  return pairs;
}

function attributed(reply: Reply, attributes: readonly ReplyPair[] | undefined): Reply {
  return attributes === undefined ? reply : { ...reply, attributes };
}

function parseInt64(text: string): bigint {
  if (!/^[+-]?\d+$/.test(text)) throw new MalformedReply("Bad integer value");
  const value = BigInt(text.replace(/^\+/, ""));
  if (value < INT64_MIN || value > INT64_MAX) throw new MalformedReply("Bad integer value");
  return value;
}

function parseDouble(text: string): number {
  if (DOUBLE_PATTERN.test(text)) return Number(text);
  switch (text.toLowerCase()) {
    case "inf":
    case "+inf":
      return Number.POSITIVE_INFINITY;
    case "-inf":
      return Number.NEGATIVE_INFINITY;
    // Not in the protocol's text, yet servers print what the C library gives them.
    case "nan":
    case "-nan":
      return Number.NaN;
    default:
      throw new MalformedReply("Bad double value");
  }
}

/** A byte as redis-cli names it in its protocol error: quoted, and escaped when it does not print. */
function printable(byte: number): string {
  const escapes: Readonly<Record<number, string>> = { 7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 13: "\\r" };
  if (byte === 34 || byte === 92) return `"\\${String.fromCharCode(byte)}"`;
  if (escapes[byte] !== undefined) return `"${escapes[byte]}"`;
  if (byte >= 32 && byte < 127) return `"${String.fromCharCode(byte)}"`;
  return `"\\x${byte.toString(16).padStart(2, "0")}"`;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
