// reply-writer.ts: replies as bytes, RESP2 or RESP3 by `resp3`, appended to a buffer that the owner lends for a turn.
//
// Invariant: `at` never passes `limit`. What does not fit sets `overflow` and writes nothing more, so that a reply too
// large for its connection's limit ends that connection and not the process.
// On the data path: no allocation, no string but an error's own text. Bulk strings out of a segment are written by the
// engine's subclass (engine/commands/reply.ts), which knows regions.

const enum Byte {
  Cr = 13,
  Lf = 10,
  Zero = 48,
}

export class ReplyWriter {
  at = 0;
  limit: number;
  overflow = false;
  /** Protocol of the connection being answered. */
  resp3 = false;

  constructor(
    public u8: Uint8Array,
    limit = u8.length,
  ) {
    this.limit = limit;
  }

  /** Whether `bytes` more fit; marks the overflow if not. */
  room(bytes: number): boolean {
    if (this.at + bytes <= this.limit) return true;
    this.overflow = true;
    return false;
  }

  private crlf(at: number): void {
    this.u8[at] = Byte.Cr;
    this.u8[at + 1] = Byte.Lf;
    this.at = at + 2;
  }

  /** Writes a safe integer's decimal digits at `at` and returns the position after them. Throws RangeError for a number
   *  of more digits than there is room for, or no number: what a torn read says of a deadline. */
  protected digits(value: number, at: number): number {
    const { u8 } = this;
    if (value < 0) {
      u8[at++] = 45;
      value = -value;
    }
    if (value < 10) {
      u8[at] = Byte.Zero + value;
      return at + 1;
    }
    if (value < 100) {
      const tens = (value * 205) >> 11; // value / 10 for value < 100
      u8[at] = Byte.Zero + tens;
      u8[at + 1] = Byte.Zero + value - tens * 10;
      return at + 2;
    }
    if (!(value < 1e19)) throw new RangeError("no integer to reply with");
    let count = 3;
    for (let bound = 1000; bound <= value; bound *= 10) count++;
    let rest = value;
    if (value <= 0x7fffffff) {
      let small = value | 0;
      for (let i = at + count - 1; i >= at; i--) {
        const next = (small / 10) | 0;
        u8[i] = Byte.Zero + small - next * 10;
        small = next;
      }
      return at + count;
    }
    for (let i = at + count - 1; i >= at; i--) {
      const next = Math.floor(rest / 10);
      u8[i] = Byte.Zero + (rest - next * 10);
      rest = next;
    }
    return at + count;
  }

  /** A one-byte mark, a number, CRLF: integers, lengths, counts. */
  protected header(mark: number, value: number): void {
    if (!this.room(24)) return;
    this.u8[this.at] = mark;
    this.crlf(this.digits(value, this.at + 1));
  }

  integer(value: number): void {
    this.header(58, value);
  }

  /** An integer of 64 bits. */
  bigInteger(value: bigint): void {
    this.line(58, value.toString());
  }

  ok(): void {
    if (!this.room(5)) return;
    const { u8, at } = this;
    u8[at] = 43;
    u8[at + 1] = 79;
    u8[at + 2] = 75;
    this.crlf(at + 3);
  }

  /** Null where a bulk string was due. */
  nil(): void {
    if (!this.room(5)) return;
    const { u8, at } = this;
    if (this.resp3) {
      u8[at] = 95;
      this.crlf(at + 1);
      return;
    }
    u8[at] = 36;
    u8[at + 1] = 45;
    u8[at + 2] = 49;
    this.crlf(at + 3);
  }

  /** Null where an array was due. */
  nilArray(): void {
    if (!this.room(5)) return;
    if (this.resp3) {
      this.nil();
      return;
    }
    const { u8, at } = this;
    u8[at] = 42;
    u8[at + 1] = 45;
    u8[at + 2] = 49;
    this.crlf(at + 3);
  }

  /** Mark, Latin-1 text, CRLF: CR and LF inside become spaces. */
  private line(mark: number, text: string): void {
    const bytes = text.length;
    if (!this.room(bytes + 3)) return;
    const { u8, at } = this;
    u8[at] = mark;
    for (let i = 0; i < bytes; i++) {
      const code = text.charCodeAt(i);
      u8[at + 1 + i] = code === 13 || code === 10 ? 32 : code;
    }
    this.crlf(at + 1 + bytes);
  }

  /** A simple string; Latin-1, so that bytes quoted from a client come back as they were. */
  simple(text: string): void {
    this.line(43, text);
  }

  /** An error from the catalogue, code word first. */
  error(text: string): void {
    this.line(45, text);
  }

  /** A bulk string of Latin-1 text. */
  text(text: string): void {
    const bytes = text.length;
    this.header(36, bytes);
    if (!this.room(bytes + 2)) return;
    const { u8, at } = this;
    for (let i = 0; i < bytes; i++) u8[at + i] = text.charCodeAt(i);
    this.crlf(at + bytes);
  }

  /** A bulk string of text in UTF-8. */
  utf8(text: string): void {
    this.bytes(new TextEncoder().encode(text));
  }

  /** A bulk string of bytes. */
  bytes(value: Uint8Array): void {
    this.header(36, value.length);
    if (!this.room(value.length + 2)) return;
    this.u8.set(value, this.at);
    this.crlf(this.at + value.length);
  }

  /** Text for people: `txt` verbatim in RESP3, bulk in RESP2. */
  verbatim(text: string): void {
    const value = new TextEncoder().encode(text);
    if (!this.resp3) {
      this.bytes(value);
      return;
    }
    this.header(61, value.length + 4);
    if (!this.room(value.length + 6)) return;
    this.u8.set([116, 120, 116, 58], this.at);
    this.u8.set(value, this.at + 4);
    this.crlf(this.at + 4 + value.length);
  }

  array(count: number): void {
    this.header(42, count);
  }

  /** Header of a map of `pairs` pairs: a flat array in RESP2. */
  map(pairs: number): void {
    if (this.resp3) this.header(37, pairs);
    else this.header(42, pairs * 2);
  }

  set(count: number): void {
    this.header(this.resp3 ? 126 : 42, count);
  }

  push(count: number): void {
    this.header(this.resp3 ? 62 : 42, count);
  }

  /** Ends a bulk string whose header and bytes have been written up to `at`. */
  protected endBulk(at: number): void {
    this.crlf(at);
  }
}
