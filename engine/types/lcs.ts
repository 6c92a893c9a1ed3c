// lcs.ts: the longest common subsequence of two byte ranges, as LCS wants it: its length, its bytes, and the ranges that
// match, found from the end.
//
// Dynamic programming over prefixes. Lengths keep one row of 4 bytes a column; where the way back is wanted, each cell
// leaves one bit (go up rather than left), so a table that costs Redis 4 bytes a cell costs an eighth of a byte.
// Ties go left, as in Redis: which of several longest subsequences is found is part of the contract.
// Pure, reads its ranges only. Caller: engine/commands/strings.ts. O(a * b) time; allocates.

/** A run of equal bytes: [aStart, aEnd] in the first and [bStart, bEnd] in the second, ends included. */
export interface Match {
  readonly aStart: number;
  readonly aEnd: number;
  readonly bStart: number;
  readonly bEnd: number;
}

export class Lcs {
  /** Bytes of the longest common subsequence. */
  readonly length: number;
  private readonly up: Uint8Array;

  /** Compares a[aStart, aStart + aBytes) and b likewise. Without `trace` only `length` is known. */
  constructor(
    private readonly a: Uint8Array,
    private readonly aStart: number,
    private readonly aBytes: number,
    private readonly b: Uint8Array,
    private readonly bStart: number,
    private readonly bBytes: number,
    trace: boolean,
  ) {
    // Cell (i, j), counted from 0, compares byte i of a with byte j of b.
    const up = new Uint8Array(trace ? Math.ceil((aBytes * bBytes) / 8) : 0);
    const row = new Uint32Array(bBytes + 1);
    let cell = 0;
    for (let i = 0; i < aBytes; i++) {
      const byte = a[aStart + i]!;
      let diagonal = 0;
      let left = 0;
      for (let j = 0; j < bBytes; j++, cell++) {
        const above = row[j + 1]!;
        if (b[bStart + j] === byte) left = diagonal + 1;
        else if (above > left) {
          left = above;
          if (trace) up[cell >>> 3]! |= 1 << (cell & 7);
        }
        diagonal = above;
        row[j + 1] = left;
      }
    }
    this.up = up;
    this.length = row[bBytes]!;
  }

  /** The subsequence's own bytes. Only with `trace`. */
  bytes(): Uint8Array {
    const result = new Uint8Array(this.length);
    let left = this.length;
    this.walk((i) => {
      result[--left] = this.a[this.aStart + i]!;
    });
    return result;
  }

  /** The runs of at least `minBytes` bytes, last first. Only with `trace`. */
  matches(minBytes: number): Match[] {
    const result: Match[] = [];
    let aStart = -1;
    let aEnd = 0;
    let bStart = -1;
    let bEnd = 0;
    const emit = () => {
      if (aStart >= 0 && aEnd - aStart + 1 >= minBytes) result.push({ aStart, aEnd, bStart, bEnd });
    };
    this.walk((i, j) => {
      // A match continues the run when it is next to it in both; otherwise a step aside lay between.
      if (aStart !== i + 1 || bStart !== j + 1) {
        emit();
        aEnd = i;
        bEnd = j;
      }
      aStart = i;
      bStart = j;
    });
    emit();
    return result;
  }

  /** Visits the matching pairs (byte i of a, byte j of b) on the way back, last first. */
  private walk(visit: (i: number, j: number) => void): void {
    const { a, aStart, b, bStart, bBytes, up } = this;
    let i = this.aBytes - 1;
    let j = bBytes - 1;
    while (i >= 0 && j >= 0) {
      const cell = i * bBytes + j;
      if (a[aStart + i] === b[bStart + j]) visit(i--, j--);
      else if (((up[cell >>> 3]! >> (cell & 7)) & 1) === 1) i--;
      else j--;
    }
  }
}
