// request-encoder.ts: a command as the bytes a server reads, `*N\r\n$len\r\narg\r\n...`.
//
// The form is always an array of bulk strings, never an inline command, so an argument may hold any byte.
// A string argument travels as UTF-8; a Uint8Array travels as it is.
// Not on the server's data path: the CLI, the tests and the bench's control connection build requests here.
// Neighbours: reply-decoder.ts reads what comes back.

export type CommandArgument = string | Uint8Array;

const CR = 13;
const LF = 10;
const utf8 = new TextEncoder();

/** One command, in a fresh array the caller owns. A command of no arguments is the caller's bug. */
export function encodeCommand(args: readonly CommandArgument[]): Uint8Array {
  return encodeCommands([args]);
}

/** Several commands back to back in one fresh array, for a pipeline. */
export function encodeCommands(commands: readonly (readonly CommandArgument[])[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let totalBytes = 0;
  const add = (part: Uint8Array): void => {
    parts.push(part);
    totalBytes += part.length;
  };
  for (const args of commands) {
    if (args.length === 0) throw new RangeError("a command has at least a name");
    add(utf8.encode(`*${args.length}\r\n`));
    for (const argument of args) {
      const bytes = typeof argument === "string" ? utf8.encode(argument) : argument;
      add(utf8.encode(`$${bytes.length}\r\n`));
      add(bytes);
      add(Uint8Array.of(CR, LF));
    }
  }
  const out = new Uint8Array(totalBytes);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
