// monitors.ts: MONITOR: every command that runs anywhere is shown, as a line, to the clients that asked for it.
//
// A line goes to the inbox of each worker that has such clients; while there are any the gate is closed a little
// (Gate.Monitored), so that every command is looked at. Cold: a line is a string.
// Neighbours: dispatcher.ts tells of commands; worker.ts delivers.
import type { Call } from "../commands/call.ts";
import { Mode } from "../commands/session.ts";
import type { Region } from "../memory/region.ts";
import { writeLatin1 } from "../types/integer.ts";
import type { Client } from "./client.ts";
import { type Control, Gate, Word } from "./control.ts";
import { type Mail, Message } from "./inbox.ts";
import type { Pushes } from "./pushes.ts";

const escapes: Readonly<Record<number, string>> = {
  7: "\\a",
  8: "\\b",
  9: "\\t",
  10: "\\n",
  13: "\\r",
  34: '\\"',
  92: "\\\\",
};

/** Argument `i` in quotes, what cannot be printed escaped as Redis does. */
function quoted(call: Call, i: number): string {
  const { u8 } = call.input;
  const end = call.start[i]! + call.length[i]!;
  let text = '"';
  for (let at = call.start[i]!; at < end; at++) {
    const byte = u8[at]!;
    const escaped = escapes[byte];
    if (escaped !== undefined) text += escaped;
    else if (byte >= 32 && byte < 127) text += String.fromCharCode(byte);
    else text += `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return `${text}"`;
}

export class Monitors {
  private readonly clients = new Set<Client>();

  constructor(
    private readonly control: Control,
    private readonly mail: Mail,
    private readonly pushes: Pushes,
    private readonly worker: number,
  ) {}

  add(client: Client): void {
    if (this.clients.has(client)) return;
    client.session.mode |= Mode.Monitor;
    this.clients.add(client);
    this.control.add(Word.Monitors + this.worker, 1);
    this.control.setGate(Gate.Monitored);
  }

  remove(client: Client): void {
    if (!this.clients.delete(client)) return;
    client.session.mode &= ~Mode.Monitor;
    this.control.add(Word.Monitors + this.worker, -1);
    for (let worker = 0; worker < this.control.plan.workers; worker++)
      if (this.control.word(Word.Monitors + worker) > 0) return;
    this.control.clearGate(Gate.Monitored);
  }

  /** Shows the command in the call, which has run. */
  tell(client: Client, call: Call): void {
    const micros = Math.floor((performance.timeOrigin + performance.now()) * 1000);
    const { session } = client;
    const address = session.address.startsWith("/")
      ? `unix:${session.address.replace(/:0$/, "")}`
      : session.address;
    let line = `+${Math.floor(micros / 1e6)}.${String(micros % 1e6).padStart(6, "0")} [${session.db} ${address}]`;
    for (let i = 0; i < call.argc; i++) line += ` ${quoted(call, i)}`;
    line += "\r\n";
    for (let worker = 0; worker < this.control.plan.workers; worker++) {
      if (this.control.word(Word.Monitors + worker) === 0) continue;
      const at = this.mail.begin(worker, Message.Monitored, 0, 0, 0, line.length);
      if (at < 0) continue; // full: that worker cuts off who has lost it
      writeLatin1(this.mail.target.u8, at, line);
      this.mail.commit(line.length);
    }
  }

  /** A line has come for this worker's monitors. */
  deliver(region: Region, start: number, bytes: number): void {
    for (const client of this.clients) this.pushes.send(client, region, start, bytes);
  }
}
