// limits.ts: up to which size collections stay packed, as the settings of these names say. One object a worker, set when
// settings change; a collection looks when it is written, so a change acts with the next write, as in Redis.
// Neighbours: the collections of this folder read it, engine/worker sets it.

export const limits = {
  /** hash-max-listpack-entries and -value (bytes). */
  hashEntries: 512,
  hashValueBytes: 64,
  /** set-max-intset-entries, set-max-listpack-entries and -value. */
  setIntegers: 512,
  setEntries: 128,
  setValueBytes: 64,
  /** zset-max-listpack-entries and -value. */
  sortedSetEntries: 128,
  sortedSetValueBytes: 64,
  /** list-max-listpack-size: entries when positive, -1 to -5 for 4 to 64 KiB. */
  listSize: -2,
};
