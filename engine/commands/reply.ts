// reply.ts: the reply writer of the server: ReplyWriter over a worker's send region, and bulk strings straight out of
// any region. On the data path; allocates nothing. Neighbours: protocol/reply-writer.ts.

import { ReplyWriter } from "../../protocol/reply-writer.ts";
import { copyBytes, type Region } from "../memory/region.ts";

/** Takes a large bulk string straight from where it lies, CRLF included, behind everything written so far. */
export interface DirectSink {
  sendDirect(source: Region, start: number, bytes: number): void;
}

/** Bulk strings from this size on are sent from the segment that holds them, without a copy of ours. */
const DIRECT_BYTES = 32 * 1024;

export class Reply extends ReplyWriter {
  /** Where the replies not yet handed to the driver begin. */
  begin = 0;
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

  /** A bulk string of `bytes` bytes of `source`. Throws RangeError when they leave it (a torn read). */
  bulk(source: Region, start: number, bytes: number): void {
    if (!this.room(bytes + 32)) return;
    this.header(36, bytes);
    const { at } = this;
    if (bytes >= DIRECT_BYTES && this.direct && this.sink !== null) {
      this.sink.sendDirect(source, start, bytes);
      return;
    }
    copyBytes(this.region, at, source, start, bytes);
    this.endBulk(at + bytes);
  }
}
