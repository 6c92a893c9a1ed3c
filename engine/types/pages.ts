// pages.ts: what can be done with the pages of a large collection without knowing its type: freeing them a few at a time,
// copying them to another record, moving them together, measuring them. The one place that knows which structures stand behind which type.
//
//   hash, set    a table whose root is the value
//   sorted set   a table of the leaves that members are in, then the root of the tree
//   list         the root of its chunks
// Neighbours: table.ts, score-tree.ts, chunk-list.ts; engine/shard calls it.
import type { Mover } from "../memory/mover.ts";
import { Type } from "../memory/record.ts";
import { ChunkList } from "./chunk-list.ts";
import type { Holder } from "./holder.ts";
import { ScoreTree } from "./score-tree.ts";
import { TABLE_ROOT_BYTES, Table, TableKind } from "./table.ts";

const fields = new Table(TableKind.Hash);
const members = new Table(TableKind.Set);
const places = new Table(TableKind.Reference);
const tree = new ScoreTree();
const chunks = new ChunkList();

function tableOf(type: number): Table {
  return type === Type.Hash ? fields : type === Type.Set ? members : places;
}

/** Frees about `budget` blocks of a collection that nobody reads any more. True when only the record is left. */
export function freePages(type: number, holder: Holder, budget: number): boolean {
  if (type === Type.List) {
    chunks.open(holder);
    return chunks.freeStep(budget);
  }
  const table = tableOf(type);
  table.open(holder);
  if (!table.freeStep(budget)) return false;
  if (type !== Type.SortedSet) return true;
  openTree(holder);
  return tree.freeStep(budget);
}

/** Copies the pages of `from` under the root of `to`, whose value has the same length. False, and nothing of it left,
 *  when memory is out there; `to` then holds an empty root. */
export function clonePages(type: number, from: Holder, to: Holder): boolean {
  if (type === Type.List) {
    chunks.open(from);
    return chunks.cloneTo(to);
  }
  const table = tableOf(type);
  table.open(from);
  if (type !== Type.SortedSet) return table.cloneTo(to);
  const root = to.valueStart + TABLE_ROOT_BYTES;
  to.region.u8.fill(0, root, root + ScoreTree.rootBytes);
  if (!table.cloneTo(to)) return false;
  openTree(from);
  if (tree.clone(to.allocator, to.region, root)) return true;
  freePages(type, to, Number.POSITIVE_INFINITY);
  return false;
}

/** Goes on with a walk that moves pages out of leaving spans. True at its end; false when the step is over. Where it goes on
 *  may be of another collection, of another type even, that was there before. */
export function relocatePages(type: number, holder: Holder, mover: Mover): boolean {
  if (type === Type.List) {
    chunks.open(holder);
    return chunks.relocate(mover);
  }
  const inTree = type === Type.SortedSet && mover.part === 1;
  if (!inTree) {
    const table = tableOf(type);
    table.open(holder);
    if (!table.relocate(mover)) return false;
    if (type !== Type.SortedSet) return true;
    mover.rewind();
    mover.part = 1;
  }
  openTree(holder);
  return tree.relocate(mover);
}

function openTree(holder: Holder): void {
  tree.open(holder.allocator, holder.region, holder.valueStart + TABLE_ROOT_BYTES);
}

/** Bytes of all pages. O(pages). */
export function pageBytes(type: number, holder: Holder): number {
  if (type === Type.List) {
    chunks.open(holder);
    return chunks.memoryBytes();
  }
  const table = tableOf(type);
  table.open(holder);
  const bytes = table.memoryBytes();
  if (type !== Type.SortedSet) return bytes;
  openTree(holder);
  return bytes + tree.memoryBytes();
}
