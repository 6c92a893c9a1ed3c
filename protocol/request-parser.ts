// request-parser.ts: requests as they arrive: arrays of bulk strings and inline lines (the Redis protocol
// specification, "Sending commands to a Redis server" and "Inline commands").
//
// Incremental: `parse` stops at any byte and continues from there when more have come, never reading a byte twice but
// for an unfinished length line. Arguments come back as ranges of the caller's buffer; nothing is copied, no string is
// made. An inline line with quotes is unescaped in place, which only ever shortens it.
// Invariants: start[i] + length[i] <= end for every i < argc; the arrays grow with arguments that arrived, never with a
// count that was announced. Limits and error texts are those of Redis.
// On the data path of the server; pure, allocates only when a command has more arguments than any before it.

export const enum Parsed {
  /** More bytes are needed. */
  Incomplete = -1,
  /** The stream broke a rule: `error` says which, and nothing after it can be understood. */
  Failed = -2,
}

const enum Byte {
  Lf = 10,
  Cr = 13,
  Quote = 34,
  Dollar = 36,
  Apostrophe = 39,
  Star = 42,
  Minus = 45,
  Zero = 48,
  Backslash = 92,
}

const LINE_LIMIT = 64 * 1024;
const NOT_A_NUMBER = -0x80000000;

/** What separates words: C's isspace. */
function isSpace(byte: number): boolean {
  return byte === 32 || (byte >= 9 && byte <= 13);
}

/** What ends a word without quotes: not vertical tab and form feed, which stay in it. */
function endsWord(byte: number): boolean {
  return byte === 32 || byte === 9 || byte === 10 || byte === 13;
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** What a backslash makes of the byte behind it: \n \r \t \b \a as in C, anything else itself. */
function unescaped(byte: number): number {
  switch (byte) {
    case 110:
      return 10;
    case 114:
      return 13;
    case 116:
      return 9;
    case 98:
      return 8;
    case 97:
      return 7;
    default:
      return byte;
  }
}

export class RequestParser {
  /** Argument i is bytes [start[i], start[i] + length[i]). */
  start = new Int32Array(16);
  length = new Int32Array(16);
  argc = 0;
  /** Whether the command came as an inline line, which may have been unescaped in place: it cannot be read again. */
  inline = false;
  /** Text of the protocol error, without "-ERR " and CRLF. */
  error = "";
  /** First byte not yet understood. */
  at = 0;
  /** Largest bulk string, bytes. */
  maxBulkBytes = 512 * 1024 * 1024;
  /** Longest inline line, bytes. */
  maxInlineBytes = LINE_LIMIT;
  /** Most arguments of one command. */
  maxArguments = 1024 * 1024;
  private remaining = 0; // arguments still to come of the array being read; 0 between commands
  private pending = -1; // bytes of the bulk string whose length line has been read, or -1

  /** Begins a fresh command at `at`. */
  begin(at: number): void {
    this.at = at;
    this.argc = 0;
    this.remaining = 0;
    this.pending = -1;
  }

  /** Whether a command is half read. */
  get inside(): boolean {
    return this.remaining > 0;
  }

  /** Bytes from `at` that must have arrived before parsing on can succeed: 1 when nothing is known. */
  get wanted(): number {
    return this.pending >= 0 ? this.pending + 2 : 1;
  }

  /** The buffer's bytes moved by `delta`: what was found so far moves with them. */
  shift(delta: number): void {
    this.at += delta;
    for (let i = 0; i < this.argc; i++) this.start[i] = this.start[i]! + delta;
  }

  /** Reads on from `at` up to `end`. Returns the position after the command, with argc > 0 if there is one to run and
   *  0 for an empty one to be ignored; or Parsed.Incomplete, or Parsed.Failed. */
  parse(u8: Uint8Array, end: number): number {
    let at = this.at;
    if (this.remaining === 0) {
      this.argc = 0;
      this.inline = false;
      if (at >= end) return Parsed.Incomplete;
      if (u8[at] !== Byte.Star) {
        this.inline = true;
        return this.parseInline(u8, end);
      }
      // The common case: one or two digits and a complete line.
      const digit = u8[at + 1]! - Byte.Zero;
      if (at + 4 <= end && digit > 0 && digit <= 9 && u8[at + 2] === Byte.Cr) {
        this.remaining = digit;
        at += 4;
      } else {
        const cr = this.findCr(u8, at, end);
        if (cr < 0) {
          if (end - at > LINE_LIMIT) return this.fail("too big mbulk count string");
          return Parsed.Incomplete;
        }
        const count = this.number(u8, at + 1, cr);
        if (count === NOT_A_NUMBER || count > this.maxArguments) return this.fail("invalid multibulk length");
        at = cr + 2;
        this.at = at;
        if (count <= 0) return at;
        this.remaining = count;
      }
    }
    let { argc, remaining, pending } = this;
    let { start, length } = this;
    while (remaining > 0) {
      if (pending < 0) {
        if (at >= end) break;
        const digit = u8[at + 1]! - Byte.Zero;
        if (at + 4 <= end && u8[at] === Byte.Dollar && digit >= 0 && digit <= 9 && u8[at + 2] === Byte.Cr) {
          pending = digit;
          at += 4;
        } else {
          const cr = this.findCr(u8, at, end);
          if (cr < 0) {
            if (end - at > LINE_LIMIT) return this.fail("too big bulk count string");
            break;
          }
          if (u8[at] !== Byte.Dollar) return this.fail(`expected '$', got '${String.fromCharCode(u8[at]!)}'`);
          const bytes = this.number(u8, at + 1, cr);
          if (bytes < 0 || bytes > this.maxBulkBytes) return this.fail("invalid bulk length");
          pending = bytes;
          at = cr + 2;
        }
      }
      if (end - at < pending + 2) break;
      if (argc === start.length) {
        this.grow();
        ({ start, length } = this);
      }
      start[argc] = at;
      length[argc] = pending;
      argc++;
      at += pending + 2;
      pending = -1;
      remaining--;
    }
    this.at = at;
    this.argc = argc;
    this.remaining = remaining;
    this.pending = pending;
    return remaining > 0 ? Parsed.Incomplete : at;
  }

  private fail(text: string): Parsed {
    this.error = `Protocol error: ${text}`;
    return Parsed.Failed;
  }

  private grow(): void {
    const start = new Int32Array(this.start.length * 2);
    start.set(this.start);
    this.start = start;
    const length = new Int32Array(this.length.length * 2);
    length.set(this.length);
    this.length = length;
  }

  /** Position of the CR that ends the line at `at`, with the byte after it present; -1 when it has not come. */
  private findCr(u8: Uint8Array, at: number, end: number): number {
    // A line that long is refused once a byte more is there, so the answer does not depend on how the bytes are cut.
    const stop = Math.min(end - 1, at + LINE_LIMIT);
    for (let i = at; i < stop; i++) if (u8[i] === Byte.Cr) return i;
    return -1;
  }

  /** The canonical decimal integer in [from, to), or NOT_A_NUMBER; magnitudes past 2^31 - 1 read as that. */
  private number(u8: Uint8Array, from: number, to: number): number {
    const negative = u8[from] === Byte.Minus;
    const first = negative ? from + 1 : from;
    const digits = to - first;
    if (digits <= 0 || digits > 19) return NOT_A_NUMBER;
    if (u8[first] === Byte.Zero && (digits > 1 || negative)) return NOT_A_NUMBER;
    let value = 0;
    for (let i = first; i < to; i++) {
      const digit = u8[i]! - Byte.Zero;
      if (digit < 0 || digit > 9) return NOT_A_NUMBER;
      value = value * 10 + digit;
    }
    if (digits === 19 && this.beyondInt64(u8, first)) return NOT_A_NUMBER;
    value = Math.min(value, 0x7fffffff);
    return negative ? -value : value;
  }

  /** Whether nineteen digits are more than 2^63, the magnitude of the least int64. Positive ones above the greatest are
   *  past every limit anyway. */
  private beyondInt64(u8: Uint8Array, first: number): boolean {
    const limit = "9223372036854775808";
    for (let i = 0; i < limit.length; i++) {
      const difference = u8[first + i]! - limit.charCodeAt(i);
      if (difference !== 0) return difference > 0;
    }
    return false;
  }

  private parseInline(u8: Uint8Array, end: number): number {
    const from = this.at;
    const stop = Math.min(end, from + this.maxInlineBytes + 1);
    let lf = from;
    while (lf < stop && u8[lf] !== Byte.Lf) lf++;
    if (lf === stop)
      return end - from > this.maxInlineBytes ? this.fail("too big inline request") : Parsed.Incomplete;
    const lineEnd = lf > from && u8[lf - 1] === Byte.Cr ? lf - 1 : lf;
    if (!this.splitLine(u8, from, lineEnd)) return this.fail("unbalanced quotes in request");
    this.at = lf + 1;
    return lf + 1;
  }

  /** Cuts [from, to) into words, unescaping in place. False when quotes do not close or are followed by a word. */
  private splitLine(u8: Uint8Array, from: number, to: number): boolean {
    let at = from;
    this.argc = 0;
    for (;;) {
      while (at < to && isSpace(u8[at]!)) at++;
      if (at >= to) return true;
      if (this.argc === this.start.length) this.grow();
      const begin = at;
      let write = at;
      let quote = 0;
      for (;;) {
        const byte = at < to ? u8[at]! : 0;
        if (quote !== 0) {
          if (at >= to) return false;
          if (byte === quote) {
            at++;
            if (at < to && !isSpace(u8[at]!)) return false;
            break;
          }
          if (quote === Byte.Quote && byte === Byte.Backslash && at + 1 < to) {
            const next = u8[at + 1]!;
            if (next === 120 && at + 3 < to && hexDigit(u8[at + 2]!) >= 0 && hexDigit(u8[at + 3]!) >= 0) {
              u8[write++] = hexDigit(u8[at + 2]!) * 16 + hexDigit(u8[at + 3]!);
              at += 4;
              continue;
            }
            u8[write++] = unescaped(next);
            at += 2;
            continue;
          }
          if (
            quote === Byte.Apostrophe &&
            byte === Byte.Backslash &&
            u8[at + 1] === Byte.Apostrophe &&
            at + 1 < to
          ) {
            u8[write++] = Byte.Apostrophe;
            at += 2;
            continue;
          }
        } else {
          if (at >= to || endsWord(byte)) break;
          if (byte === Byte.Quote || byte === Byte.Apostrophe) {
            quote = byte;
            at++;
            continue;
          }
        }
        u8[write++] = byte;
        at++;
      }
      this.start[this.argc] = begin;
      this.length[this.argc] = write - begin;
      this.argc++;
    }
  }
}
