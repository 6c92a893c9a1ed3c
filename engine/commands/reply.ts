// reply.ts: the reply writer of the server: ReplyWriter over a worker's send region, and bulk strings straight out of
// any region. On the data path; allocates nothing. Neighbours: protocol/reply-writer.ts.

import { ReplyWriter } from "../../protocol/reply-writer.ts";
import { copyBytes, type Region } from "../memory/region.ts";

export class Reply extends ReplyWriter {
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
    copyBytes(this.region, at, source, start, bytes);
    this.endBulk(at + bytes);
  }
}
