// tracking.ts: client-side caching: CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO, subcommands of CLIENT.
//
// A tracking connection is told which of the keys it has read have changed (default), or which keys with one of its
// prefixes (BCAST). What is remembered and who is told: engine/worker/tracker.ts. Cold.
import { Flag, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors, prefixOverlaps } from "../../protocol/errors.ts";
import { parseInteger } from "../types/integer.ts";
import type { Call, Row } from "./call.ts";
import { Mode, type Session } from "./session.ts";

/** How a connection tracks. */
export class Tracking {
  /** Id of the connection that invalidations go to, 0 for itself. */
  redirect = 0;
  optIn = false;
  optOut = false;
  noLoop = false;
  /** CLIENT CACHING was just called: the next command is remembered (optIn), or is not (optOut). */
  caching = false;
  /** Prefixes of BCAST, Latin-1, in byte order; the empty one stands for all keys. */
  prefixes: string[] = [];
}

export interface TrackingHub {
  /** Whether there is a connection of that id. */
  exists(id: number): boolean;
  /** The session tracks from now on as its `tracking` says, or goes on with more prefixes. */
  begin(session: Session, broadcast: boolean): void;
  /** It tracks no more. */
  end(session: Session): void;
}

function overlap(a: string, b: string): boolean {
  return a.startsWith(b) || b.startsWith(a);
}

/** The error for prefixes that cannot stand side by side, null when they can. */
function collision(held: readonly string[], given: readonly string[]): string | null {
  for (const [i, prefix] of given.entries()) {
    const old = held.find((each) => overlap(each, prefix));
    if (old !== undefined) return prefixOverlaps(prefix, "an existing", old);
    const other = given.slice(i + 1).find((each) => overlap(each, prefix));
    if (other !== undefined) return prefixOverlaps(prefix, "another provided", other);
  }
  return null;
}

/** CLIENT TRACKING <ON | OFF> [REDIRECT id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP] */
function clientTracking(call: Call): void {
  const { reply, session, hub } = call;
  let redirect = 0;
  let broadcast = false;
  let optIn = false;
  let optOut = false;
  let noLoop = false;
  const prefixes: string[] = [];
  for (let i = 3; i < call.argc; i++) {
    const more = i + 1 < call.argc;
    if (call.is(i, "redirect") && more) {
      if (redirect !== 0) return reply.error(Errors.oneRedirect);
      i++;
      redirect = parseInteger(call.input.u8, call.start[i]!, call.length[i]!);
      if (Number.isNaN(redirect)) return reply.error(Errors.notAnInteger);
      if (!hub.tracking.exists(redirect)) return reply.error(Errors.redirectAbsent);
    } else if (call.is(i, "bcast")) broadcast = true;
    else if (call.is(i, "optin")) optIn = true;
    else if (call.is(i, "optout")) optOut = true;
    else if (call.is(i, "noloop")) noLoop = true;
    else if (call.is(i, "prefix") && more) prefixes.push(call.text(++i));
    else return reply.error(Errors.syntax);
  }
  if (call.is(2, "off")) {
    hub.tracking.end(session);
    return reply.ok();
  }
  if (!call.is(2, "on")) return reply.error(Errors.syntax);
  if (prefixes.length > 0 && !broadcast) return reply.error(Errors.prefixWithoutBroadcast);
  const on = (session.mode & Mode.Tracking) !== 0;
  const held = on ? session.tracking : null;
  if (on && ((session.mode & Mode.Broadcast) !== 0) !== broadcast) return reply.error(Errors.switchBroadcast);
  if (broadcast && (optIn || optOut)) return reply.error(Errors.optionsWithBroadcast);
  if (optIn && optOut) return reply.error(Errors.optInAndOut);
  if (held !== null && ((optIn && held.optOut) || (optOut && held.optIn)))
    return reply.error(Errors.switchOptions);
  if (broadcast) {
    const error = collision(held?.prefixes ?? [], prefixes);
    if (error !== null) return reply.error(error);
    if (prefixes.length === 0) prefixes.push("");
  }
  const tracking = held ?? new Tracking();
  Object.assign(tracking, { redirect, optIn, optOut, noLoop });
  tracking.prefixes = [...new Set([...tracking.prefixes, ...prefixes])].sort();
  session.tracking = tracking;
  hub.tracking.begin(session, broadcast);
  reply.ok();
}

/** CLIENT CACHING <YES | NO> */
function clientCaching(call: Call): void {
  const { reply, session } = call;
  const { tracking } = session;
  if ((session.mode & Mode.Tracking) === 0 || tracking === null)
    return reply.error(Errors.cachingWithoutTracking);
  if (call.is(2, "yes")) {
    if (!tracking.optIn) return reply.error(Errors.cachingYes);
  } else if (call.is(2, "no")) {
    if (!tracking.optOut) return reply.error(Errors.cachingNo);
  } else return reply.error(Errors.syntax);
  tracking.caching = true;
  reply.ok();
}

function redirectOf(session: Session): number {
  return (session.mode & Mode.Tracking) === 0 ? -1 : session.tracking!.redirect;
}

/** CLIENT GETREDIR */
function clientGetredir(call: Call): void {
  call.reply.integer(redirectOf(call.session));
}

/** CLIENT TRACKINGINFO */
function clientTrackinginfo(call: Call): void {
  const { reply, session } = call;
  const { mode } = session;
  const on = (mode & Mode.Tracking) !== 0;
  const tracking = on ? session.tracking : null;
  const flags = [on ? "on" : "off"];
  if (on && (mode & Mode.Broadcast) !== 0) flags.push("bcast");
  if (tracking?.optIn) flags.push("optin");
  if (tracking?.optIn && tracking.caching) flags.push("caching-yes");
  if (tracking?.optOut) flags.push("optout");
  if (tracking?.optOut && tracking.caching) flags.push("caching-no");
  if (tracking?.noLoop) flags.push("noloop");
  if (on && (mode & Mode.BrokenRedirect) !== 0) flags.push("broken_redirect");
  reply.map(3);
  reply.text("flags");
  reply.set(flags.length);
  for (const flag of flags) reply.text(flag);
  reply.text("redirect");
  reply.integer(redirectOf(session));
  reply.text("prefixes");
  const prefixes = tracking?.prefixes ?? [];
  reply.array(prefixes.length);
  for (const prefix of prefixes) reply.text(prefix);
}

const common = {
  keys: [],
  scope: Scope.None,
  tier: Tier.Extended,
  group: "connection",
  flags: Flag.NoScript | Flag.Loading | Flag.Stale,
  acl: ["slow", "connection"],
  complexity: "O(1)",
} as const;

export const trackingRows: readonly Row[] = [
  {
    ...common,
    scope: Scope.Each, // all shards are told whether anybody tracks by prefix
    name: "client|tracking",
    arity: -3,
    since: "6.0.0",
    summary: "Begins or ends to tell this connection which keys it may have cached have changed.",
    syntax:
      "<ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
    handler: clientTracking,
  },
  {
    ...common,
    name: "client|caching",
    arity: 3,
    since: "6.0.0",
    summary: "Says whether the keys of the next command are remembered.",
    syntax: "<YES | NO>",
    handler: clientCaching,
  },
  {
    ...common,
    name: "client|getredir",
    arity: 2,
    since: "6.0.0",
    summary: "Returns whom this connection's invalidations go to.",
    syntax: "",
    handler: clientGetredir,
  },
  {
    ...common,
    name: "client|trackinginfo",
    arity: 2,
    since: "6.2.0",
    summary: "Tells how this connection tracks.",
    syntax: "",
    handler: clientTrackinginfo,
  },
];
