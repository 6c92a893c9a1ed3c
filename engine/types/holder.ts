// holder.ts: the record of a collection, as its data type sees it: bytes that can be made longer or shorter, and an
// allocator for what does not lie in them. A data type knows nothing of keys, shards and locks.
// Implemented by engine/shard/place.ts. Neighbours: every collection of this folder.
import type { Allocator } from "../memory/allocator.ts";
import type { Region } from "../memory/region.ts";

export interface Holder {
  /** Where everything that belongs to this collection is allocated; handles lead into its regions only. */
  readonly allocator: Allocator;
  /** Region of the record. It and both offsets are to be read again after every resize. */
  readonly region: Region;
  /** Byte offset of the value in `region`, at no alignment. */
  readonly valueStart: number;
  readonly valueBytes: number;
  /** The record's form (Form in forms.ts). */
  readonly form: number;
  setForm(form: number): void;
  /** Makes the value `bytes` long and keeps what fits of it; what is new is undefined. False, and nothing changed, when
   *  memory is out. Making it shorter never fails. */
  resize(bytes: number): boolean;
}
