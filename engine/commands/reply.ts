// reply.ts: the reply writer of the server: ReplyWriter over a worker's send region, and bulk strings straight out of
// any region. On the data path; allocates nothing. Neighbours: protocol/reply-writer.ts.

import { ReplyWriter } from "../../protocol/reply-writer.ts";
import { copyBytes, type Region } from "../memory/region.ts";
import { DOUBLE_TEXT_BYTES, writeDouble } from "../types/double.ts";
import { writeLatin1 } from "../types/integer.ts";

/** Takes a large bulk string straight from where it lies, CRLF included, behind everything written so far. */
export interface DirectSink {
  sendDirect(source: Region, start: number, bytes: number): void;
}

/** Bulk strings from this size on are sent from the segment that holds them, without a copy of ours. */
const DIRECT_BYTES = 32 * 1024;

export class Reply extends ReplyWriter {
  /** Where the replies not yet handed to the driver begin. */
  begin = 0;
  /** While a command runs whose reply will be dropped (CLIENT REPLY): what is before this is not dropped; else -1. */
  kept = -1;
  /** Whether bulk strings may be sent straight from their segment now: nobody else can change it, and what has been
   *  written will not be taken back. */
  direct = false;
  sink: DirectSink | null = null;

  constructor(
    readonly region: Region,
    limit: number,
  ) {
    super(region.u8, limit);
  }

  /** What was written from `from` on is heard even if the command is silent. */
  keep(from: number): void {
    if (this.kept < 0) return;
    const bytes = this.at - from;
    this.u8.copyWithin(this.kept, from, this.at);
    this.kept += bytes;
    this.at = Math.max(this.kept, from);
  }

  /** A bulk string of `bytes` bytes of `source`. Throws RangeError when they leave it (a torn read). */
  bulk(source: Region, start: number, bytes: number): void {
    if (!this.room(bytes + 32)) return;
    if (bytes < 100 && bytes >= 0) {
      // Short, as elements of collections are: header, text and end without a call for each.
      const { u8 } = this;
      let { at } = this;
      u8[at++] = 36;
      if (bytes >= 10) {
        const tens = (bytes * 205) >> 11; // bytes / 10 below 1029
        u8[at++] = 48 + tens;
        u8[at++] = 48 + bytes - tens * 10;
      } else u8[at++] = 48 + bytes;
      u8[at] = 13;
      u8[at + 1] = 10;
      at += 2;
      if (bytes <= 16 && start >= 0 && start + 16 <= source.bytes) {
        // By words, the last one past the end of the text: what follows it is written next.
        const from = source.view;
        const to = this.region.view;
        for (let i = 0; i < bytes; i += 4) to.setInt32(at + i, from.getInt32(start + i, true), true);
      } else copyBytes(this.region, at, source, start, bytes);
      at += bytes;
      u8[at] = 13;
      u8[at + 1] = 10;
      this.at = at + 2;
      return;
    }
    this.header(36, bytes);
    const { at } = this;
    if (bytes >= DIRECT_BYTES && this.direct && source.shared && this.sink !== null) {
      this.sink.sendDirect(source, start, bytes);
      return;
    }
    copyBytes(this.region, at, source, start, bytes);
    this.endBulk(at + bytes);
  }

  /** A score or another float64: a double in RESP3, a bulk string in RESP2. */
  double(value: number): void {
    if (!this.room(DOUBLE_TEXT_BYTES + 8)) return;
    const { u8, at } = this;
    if (this.resp3) {
      u8[at] = 44;
      this.endBulk(at + 1 + writeDouble(u8, at + 1, value));
      return;
    }
    // The text where it belongs behind a length of one digit, one further when that was two.
    const bytes = writeDouble(u8, at + 4, value);
    if (bytes >= 10) u8.copyWithin(at + 5, at + 4, at + 4 + bytes);
    this.header(36, bytes);
    this.endBulk(this.at + bytes);
  }

  /** A number that is text already, as a double: INCREX's, of more digits than a float64 has. */
  doubleText(text: string): void {
    if (!this.resp3) {
      this.text(text);
      return;
    }
    if (!this.room(text.length + 3)) return;
    this.u8[this.at] = 44;
    this.endBulk(this.at + 1 + writeLatin1(this.u8, this.at + 1, text));
  }
}
