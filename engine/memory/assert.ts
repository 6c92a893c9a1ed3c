/** Throws when `condition` is false. For bugs only: what a client, file or kernel can cause is a value or a reply. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
