// pipeline.ts: commands out in one write, decoded replies back, on a raw socket; many pipelines run side by side in one
// test. Neighbours: raw-socket.ts moves the bytes, protocol/reply-decoder.ts reads them.
import { type Reply, ReplyDecoder } from "../../protocol/reply-decoder.ts";
import { command, PATIENCE_MS, type RawSocket } from "./raw-socket.ts";

export class Pipeline {
  private readonly decoder = new ReplyDecoder();

  constructor(readonly socket: RawSocket) {}

  /** Sends `commands` (Latin-1 words) and returns their replies. Throws when they do not come in time. */
  async run(commands: readonly (readonly string[])[]): Promise<Reply[]> {
    const { socket, decoder } = this;
    await socket.send(commands.map((words) => command(...words)).join(""));
    const replies: Reply[] = [];
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      if (socket.pump() > 0) replies.push(...decoder.decode(socket.take()));
      if (replies.length >= commands.length) return replies;
      if (socket.ended !== "" || performance.now() > deadline)
        throw new Error(`${replies.length} of ${commands.length} replies, then ${socket.ended || "nothing"}`);
      await Bun.sleep(0);
    }
  }
}

/** A reply as Latin-1 text: null for a null, errors with their minus, aggregates as lists. */
export function textOf(reply: Reply): string | null | (string | null)[] {
  switch (reply.type) {
    case "bulk":
    case "simple":
      return Buffer.from(reply.bytes).toString("latin1");
    case "error":
      return `-${Buffer.from(reply.bytes).toString("latin1")}`;
    case "integer":
      return `${reply.value}`;
    case "null":
      return null;
    case "array":
      return reply.items.map((item) => textOf(item) as string | null);
    default:
      throw new Error(`no text for ${reply.type}`);
  }
}
