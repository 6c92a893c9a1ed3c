// client.ts: one connection to a server that speaks RESP, over TCP or a unix socket.
//
//   connecting -> open -> ended      connect() answers an open client or throws ConnectFailed; ended is final
//
// Invariants:
//   - Replies are given out in the order of the requests, each to exactly one request, synchronously while
//     their bytes are read: a callback sees every push that came before its reply and none that came after.
//   - Once ended, every request still waiting fails with the reason, and so does every later one.
//   - Bytes the kernel did not take wait here, in order, until it takes more.
// A push never answers a request. Neither does a reply no request waits for (MONITOR's lines, the messages of
// SUBSCRIBE in RESP2): both go to onPush.
// Callers: the CLI and the tests, any program that talks to a server. Not on the server's data path.
// Neighbours: protocol/request-encoder.ts and protocol/reply-decoder.ts below, one-shot.ts above.

import type { Socket } from "bun";
import { type DecoderLimits, type Reply, ReplyDecoder } from "../protocol/reply-decoder.ts";
import { type CommandArgument, encodeCommand, encodeCommands } from "../protocol/request-encoder.ts";

export type Target = { readonly hostname: string; readonly port: number } | { readonly socketPath: string };

export interface ClientOptions {
  /** How long the connection may take to open; without it, as long as the kernel tries. */
  readonly connectTimeoutMs?: number;
  /** Called with each push, and with each reply nobody asked for. */
  readonly onPush?: (reply: Reply) => void;
  readonly limits?: Partial<DecoderLimits>;
}

/** No connection came about. The message is the system's own words: "Connection refused". */
export class ConnectFailed extends Error {
  override name = "ConnectFailed";
}

/** The connection is gone: closed by the server, reset, or closed here. */
export class ConnectionLost extends Error {
  override name = "ConnectionLost";
}

interface Waiter {
  readonly onReply: (reply: Reply) => void;
  readonly onFail: (reason: Error) => void;
}

/** The C library's words, which redis-cli prints, for the codes the runtime gives. */
const systemWords: Readonly<Record<string, string>> = {
  EACCES: "Permission denied",
  ECONNREFUSED: "Connection refused",
  ECONNRESET: "Connection reset by peer",
  EHOSTUNREACH: "No route to host",
  ENETUNREACH: "Network is unreachable",
  ENOENT: "No such file or directory",
  ENOTFOUND: "Name or service not known",
  ENOTSOCK: "Socket operation on non-socket",
  EPIPE: "Broken pipe",
  ETIMEDOUT: "Connection timed out",
};

export class RespClient {
  /** May be changed at any time; it holds from the next reply on. */
  onPush: ((reply: Reply) => void) | undefined;
  readonly #decoder: ReplyDecoder;
  readonly #waiters: Waiter[] = [];
  /** #waiters[#served..] still wait. Kept as an index so that a long pipeline is not shifted reply by
   *  reply. */
  #served = 0;
  #unsent: Uint8Array[] = [];
  #socket: Socket | null = null;
  #ended: Error | null = null;
  #onEnd: (reason: Error) => void = () => {};
  /** Resolves with the reason once the connection has ended; never rejects. */
  readonly whenEnded: Promise<Error>;

  private constructor(options: ClientOptions) {
    this.onPush = options.onPush;
    this.#decoder = new ReplyDecoder(options.limits);
    this.whenEnded = new Promise((resolve) => {
      this.#onEnd = resolve;
    });
  }

  /** An open connection to `target`. Throws ConnectFailed. */
  static async connect(target: Target, options: ClientOptions = {}): Promise<RespClient> {
    const client = new RespClient(options);
    const handlers = {
      data: (_: Socket, chunk: Uint8Array) => client.#receive(chunk),
      drain: () => client.#flush(),
      end: () => client.#end(new ConnectionLost("Server closed the connection")),
      close: (_: Socket, error?: Error) =>
        client.#end(new ConnectionLost(error ? wordsFor(error) : "Server closed the connection")),
      error: (_: Socket, error: Error) => client.#end(new ConnectionLost(wordsFor(error))),
      // The promise below is rejected with the same error.
      connectError: () => {},
    };
    const opening =
      "socketPath" in target
        ? Bun.connect({ unix: target.socketPath, socket: handlers })
        : Bun.connect({ hostname: target.hostname, port: target.port, socket: handlers });
    try {
      client.#socket = await withinTime(opening, options.connectTimeoutMs);
    } catch (error) {
      throw error instanceof ConnectFailed ? error : new ConnectFailed(wordsFor(error as Error));
    }
    return client;
  }

  get isOpen(): boolean {
    return this.#ended === null;
  }

  /** Sends a command; `onReply` or `onFail` is called once, never before this returns. */
  request(
    args: readonly CommandArgument[],
    onReply: (reply: Reply) => void,
    onFail: (reason: Error) => void,
  ): void {
    if (this.#ended !== null) {
      const reason = this.#ended;
      queueMicrotask(() => onFail(reason));
      return;
    }
    this.#waiters.push({ onReply, onFail });
    this.#write(encodeCommand(args));
  }

  /** The reply to a command; an error reply is a reply. Rejects with ConnectionLost or MalformedReply. */
  send(args: readonly CommandArgument[]): Promise<Reply> {
    return new Promise((resolve, reject) => this.request(args, resolve, reject));
  }

  /** The replies to `commands`, in their order, for one write and no waiting in between. */
  pipeline(commands: readonly (readonly CommandArgument[])[]): Promise<Reply[]> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const replies = commands.map(
      () =>
        new Promise<Reply>((onReply, onFail) => {
          this.#waiters.push({ onReply, onFail });
        }),
    );
    if (commands.length > 0) this.#write(encodeCommands(commands));
    return Promise.all(replies);
  }

  /** Sends a command that is answered by a stream (SUBSCRIBE, MONITOR): all that comes back goes to
   *  onPush. */
  post(args: readonly CommandArgument[]): void {
    if (this.#ended === null) this.#write(encodeCommand(args));
  }

  /** Ends the connection; requests still waiting fail. */
  close(): void {
    this.#end(new ConnectionLost("Connection closed by this client"));
  }

  #write(bytes: Uint8Array): void {
    this.#unsent.push(bytes);
    if (this.#unsent.length === 1) this.#flush();
  }

  #flush(): void {
    while (this.#unsent.length > 0 && this.#socket !== null && this.#ended === null) {
      const bytes = this.#unsent[0];
      const written = Math.max(0, this.#socket.write(bytes));
      if (written < bytes.length) {
        this.#unsent[0] = bytes.subarray(written);
        return;
      }
      this.#unsent.shift();
    }
  }

  #receive(chunk: Uint8Array): void {
    this.#decoder.feed(chunk);
    try {
      // A callback may close the client: the rest of the chunk is then nobody's.
      while (this.#ended === null) {
        const reply = this.#decoder.next();
        if (reply === undefined) return;
        if (reply.type === "push" || this.#served === this.#waiters.length) this.onPush?.(reply);
        else this.#nextWaiter().onReply(reply);
      }
    } catch (error) {
      this.#end(error as Error);
    }
  }

  #nextWaiter(): Waiter {
    const waiter = this.#waiters[this.#served++];
    if (this.#served === this.#waiters.length) {
      this.#waiters.length = 0;
      this.#served = 0;
    }
    return waiter;
  }

  #end(reason: Error): void {
    if (this.#ended !== null) return;
    this.#ended = reason;
    this.#unsent = [];
    this.#socket?.end();
    while (this.#served < this.#waiters.length) this.#nextWaiter().onFail(reason);
    this.#onEnd(reason);
  }
}

/** `opening`'s socket, or ConnectFailed once `timeoutMs` have gone by; a socket that opens later is
 *  closed. */
async function withinTime(opening: Promise<Socket>, timeoutMs: number | undefined): Promise<Socket> {
  if (timeoutMs === undefined) return opening;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ConnectFailed(systemWords.ETIMEDOUT)), timeoutMs);
  });
  try {
    return await Promise.race([opening, late]);
  } catch (error) {
    opening.then(
      (socket) => socket.end(),
      () => {},
    );
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function wordsFor(error: Error & { code?: string }): string {
  return systemWords[error.code ?? ""] ?? error.message;
}
