// interests.ts: what the nodes of a shard's register say: who wants to hear of a key and why. A name's space is the key's
// database; keys tracked for client-side caching stand in a space of their own, as tracking knows no databases, and those
// that are waited for in one beside each database's, so that however many wait, a change passes none of them.
// `a` is always the byte offset of the client's entry in the control region.
//
//   KIND    b                       c                      d
//   Watch   -                       -                      -
//   Track   token of the client     -                      -
//   Wait    token of the waiting    record of the command  type waited for, shard of the record << 8
//
// Neighbours: engine/index/register.ts; transactions.ts, waiters.ts, tracker.ts write them, signals.ts reads them.

export const enum Interest {
  Watch = 1,
  Track = 2,
  Wait = 3,
}

/** The space of tracked keys, whichever database they are in. */
export const TRACKED_SPACE = 255;

/** The space of keys of database 0 that are waited for; the other databases' follow. */
export const WAITED_SPACE = 128;

/** Why a client that waited goes on: the third word of Message.Unblocked. */
export const enum Unblock {
  /** It was served: its reply comes along. */
  Served = 0,
  /** CLIENT UNBLOCK, as if its time were over. */
  TimedOut = 1,
  /** CLIENT UNBLOCK, with an error. */
  Failed = 2,
}
