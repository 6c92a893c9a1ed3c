// pubsub.ts: publish and subscribe: SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and what ends them, PUBLISH, SPUBLISH, PUBSUB.
//
// Names are of three spaces: channels, shard channels, patterns over channels. Who subscribes to what is known to the
// exchange (PubSub below, engine/worker/exchange.ts); a session has only the counts. Confirmations are pushes: one for
// each name, written like replies, so a subscriber has them in the order of its commands.
// On the data path: PUBLISH and SPUBLISH allocate nothing. The others make the names they are about as strings.
import { Flag, type KeySpec, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors, subcommandOrArity } from "../../protocol/errors.ts";
import type { Call, Row } from "./call.ts";
import { replyHelp } from "./keyspace.ts";
import type { Session } from "./session.ts";

/** What a name is the name of. */
export const enum Space {
  Channel = 0,
  Shard = 1,
  Pattern = 2,
}

/** To how many names of each space a session subscribes. */
export class Subscriptions {
  readonly counts: [number, number, number] = [0, 0, 0];
}

/** Who subscribes to what, in all workers. Names are Latin-1 text: a character a byte. */
export interface PubSub {
  /** Subscribes the session of the call to argument `i`. False when memory is out. */
  subscribe(call: Call, space: Space, i: number): boolean;
  unsubscribe(session: Session, space: Space, name: string): void;
  /** Ends all subscriptions of a session. */
  forget(session: Session): void;
  /** The names of a space that a session subscribes to. */
  namesOf(session: Session, space: Space): string[];
  /** Sends argument 2 to the subscribers of argument 1, and of the patterns that match a channel. Returns how many these
   *  are. */
  publish(call: Call, space: Space): number;
  /** How many names of a space have subscribers. */
  count(space: Space): number;
  /** How many sessions subscribe to argument `i`. */
  subscribers(call: Call, space: Space, i: number): number;
  /** Replies with the names of a space that have subscribers and match argument `i`; 0 for all. */
  replyNames(call: Call, space: Space, i: number): void;
}

/** What confirms a subscription of each space, and its end. */
const begun = ["subscribe", "ssubscribe", "psubscribe"] as const;
const ended = ["unsubscribe", "sunsubscribe", "punsubscribe"] as const;

function countOf(session: Session, space: Space): number {
  return session.subscriptions === null ? 0 : session.subscriptions.counts[space];
}

/** What a confirmation counts: channels and patterns together, shard channels by themselves. */
function toldCount(session: Session, space: Space): number {
  if (space === Space.Shard) return countOf(session, space);
  return countOf(session, Space.Channel) + countOf(session, Space.Pattern);
}

/** SUBSCRIBE channel [channel ...], SSUBSCRIBE shardchannel [shardchannel ...], PSUBSCRIBE pattern [pattern ...] */
function subscribe(call: Call, space: Space): void {
  const { reply, session } = call;
  const from = reply.at;
  for (let i = 1; i < call.argc; i++) {
    if (!call.hub.pubsub.subscribe(call, space, i)) {
      reply.error(Errors.outOfMemory);
      break;
    }
    reply.push(3);
    reply.text(begun[space]);
    reply.bulk(call.input, call.start[i]!, call.length[i]!);
    reply.integer(toldCount(session, space));
  }
  reply.keep(from);
  call.server.publish(session);
}

/** UNSUBSCRIBE [channel [channel ...]], SUNSUBSCRIBE [...], PUNSUBSCRIBE [...]: without names, from all. */
function unsubscribe(call: Call, space: Space): void {
  const { reply, session } = call;
  const { pubsub } = call.hub;
  const from = reply.at;
  const names = pubsub.namesOf(session, space);
  if (call.argc > 1) {
    names.length = 0;
    for (let i = 1; i < call.argc; i++) names.push(call.text(i));
  }
  for (const name of names) {
    pubsub.unsubscribe(session, space, name);
    reply.push(3);
    reply.text(ended[space]);
    reply.text(name);
    reply.integer(toldCount(session, space));
  }
  if (names.length === 0) {
    reply.push(3);
    reply.text(ended[space]);
    reply.nil();
    reply.integer(toldCount(session, space));
  }
  reply.keep(from);
  call.server.publish(session);
}

/** PUBLISH channel message, SPUBLISH shardchannel message */
function publish(call: Call, space: Space): void {
  call.reply.integer(call.hub.pubsub.publish(call, space));
}

/** PUBSUB CHANNELS [pattern], PUBSUB SHARDCHANNELS [pattern] */
function channels(call: Call, space: Space): void {
  if (call.argc > 3) return call.reply.error(subcommandOrArity(call.text(1), "PUBSUB"));
  call.hub.pubsub.replyNames(call, space, call.argc === 3 ? 2 : 0);
}

/** PUBSUB NUMSUB [channel [channel ...]], PUBSUB SHARDNUMSUB [shardchannel [shardchannel ...]] */
function numsub(call: Call, space: Space): void {
  const { reply } = call;
  reply.array((call.argc - 2) * 2);
  for (let i = 2; i < call.argc; i++) {
    reply.bulk(call.input, call.start[i]!, call.length[i]!);
    reply.integer(call.hub.pubsub.subscribers(call, space, i));
  }
}

/** PUBSUB NUMPAT */
function numpat(call: Call): void {
  call.reply.integer(call.hub.pubsub.count(Space.Pattern));
}

const pubsubHelp = [
  "CHANNELS [<pattern>]",
  "    Return the currently active channels matching a <pattern> (default: '*').",
  "NUMPAT",
  "    Return number of subscriptions to patterns.",
  "NUMSUB [<channel> ...]",
  "    Return the number of subscribers for the specified channels, excluding",
  "    pattern subscriptions(default: no channels).",
  "SHARDCHANNELS [<pattern>]",
  "    Return the currently active shard level channels matching a <pattern> (default: '*').",
  "SHARDNUMSUB [<shardchannel> ...]",
  "    Return the number of subscribers for the specified shard level channel(s)",
];

/** Shard channels stand where keys would, and are none. */
const notKeys = (last: number): readonly KeySpec[] => [{ first: 1, last, step: 1, flags: ["not_key"] }];

const common = { keys: [], scope: Scope.None, tier: Tier.Core, group: "pubsub" } as const;

const subscribing = {
  ...common,
  arity: -2,
  flags: Flag.PubSub | Flag.NoScript | Flag.Loading | Flag.Stale,
  acl: ["pubsub", "slow"],
  complexity: "O(N) where N is the number of names.",
} as const;

const publishing = {
  ...common,
  arity: 3,
  flags: Flag.PubSub | Flag.Loading | Flag.Stale | Flag.Fast,
  acl: ["pubsub", "fast"],
} as const;

const asking = {
  ...common,
  arity: -2,
  flags: Flag.PubSub | Flag.Loading | Flag.Stale,
  acl: ["pubsub", "slow"],
} as const;

export const pubsubCommands: readonly Row[] = [
  {
    ...subscribing,
    name: "subscribe",
    since: "2.0.0",
    summary: "Asks for the messages of channels.",
    syntax: "channel [channel ...]",
    handler: (call) => subscribe(call, Space.Channel),
  },
  {
    ...subscribing,
    name: "unsubscribe",
    arity: -1,
    since: "2.0.0",
    summary: "Ends subscriptions to channels, to all if none is named.",
    syntax: "[channel [channel ...]]",
    handler: (call) => unsubscribe(call, Space.Channel),
  },
  {
    ...subscribing,
    name: "psubscribe",
    since: "2.0.0",
    summary: "Asks for the messages of all channels that match patterns.",
    syntax: "pattern [pattern ...]",
    handler: (call) => subscribe(call, Space.Pattern),
  },
  {
    ...subscribing,
    name: "punsubscribe",
    arity: -1,
    since: "2.0.0",
    summary: "Ends subscriptions to patterns, to all if none is named.",
    syntax: "[pattern [pattern ...]]",
    handler: (call) => unsubscribe(call, Space.Pattern),
  },
  {
    ...subscribing,
    name: "ssubscribe",
    keys: notKeys(-1),
    since: "7.0.0",
    summary: "Asks for the messages of shard channels.",
    syntax: "shardchannel [shardchannel ...]",
    handler: (call) => subscribe(call, Space.Shard),
  },
  {
    ...subscribing,
    name: "sunsubscribe",
    arity: -1,
    keys: notKeys(-1),
    since: "7.0.0",
    summary: "Ends subscriptions to shard channels, to all if none is named.",
    syntax: "[shardchannel [shardchannel ...]]",
    handler: (call) => unsubscribe(call, Space.Shard),
  },
  {
    ...publishing,
    name: "publish",
    since: "2.0.0",
    complexity:
      "O(N+M) where N is the number of subscribers and M that of patterns, whoever subscribes to them.",
    summary: "Sends a message to whoever subscribes to a channel.",
    syntax: "channel message",
    handler: (call) => publish(call, Space.Channel),
  },
  {
    ...publishing,
    name: "spublish",
    keys: notKeys(0),
    since: "7.0.0",
    complexity: "O(N) where N is the number of subscribers.",
    summary: "Sends a message to whoever subscribes to a shard channel.",
    syntax: "shardchannel message",
    handler: (call) => publish(call, Space.Shard),
  },
  {
    ...asking,
    name: "pubsub",
    flags: 0,
    acl: ["slow"],
    since: "2.8.0",
    complexity: "Depends on subcommand.",
    summary: "Tells who subscribes to what.",
    syntax: "",
    subcommands: [
      {
        ...asking,
        name: "pubsub|channels",
        since: "2.8.0",
        complexity: "O(N) where N is the number of names that have subscribers.",
        summary: "Lists the channels that have subscribers.",
        syntax: "[pattern]",
        handler: (call) => channels(call, Space.Channel),
      },
      {
        ...asking,
        name: "pubsub|help",
        arity: 2,
        flags: Flag.Loading | Flag.Stale,
        acl: ["slow"],
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Lists the subcommands.",
        syntax: "",
        handler: (call) => replyHelp(call, "PUBSUB", pubsubHelp),
      },
      {
        ...asking,
        name: "pubsub|numpat",
        arity: 2,
        since: "2.8.0",
        complexity: "O(1)",
        summary: "Counts the patterns that have subscribers.",
        syntax: "",
        handler: numpat,
      },
      {
        ...asking,
        name: "pubsub|numsub",
        since: "2.8.0",
        complexity: "O(N) where N is the number of channels asked for.",
        summary: "Counts the subscribers of channels, without those of patterns.",
        syntax: "[channel [channel ...]]",
        handler: (call) => numsub(call, Space.Channel),
      },
      {
        ...asking,
        name: "pubsub|shardchannels",
        since: "7.0.0",
        complexity: "O(N) where N is the number of names that have subscribers.",
        summary: "Lists the shard channels that have subscribers.",
        syntax: "[pattern]",
        handler: (call) => channels(call, Space.Shard),
      },
      {
        ...asking,
        name: "pubsub|shardnumsub",
        since: "7.0.0",
        complexity: "O(N) where N is the number of shard channels asked for.",
        summary: "Counts the subscribers of shard channels.",
        syntax: "[shardchannel [shardchannel ...]]",
        handler: (call) => numsub(call, Space.Shard),
      },
    ],
  },
];
