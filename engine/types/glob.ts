// glob.ts: Redis's glob patterns over byte ranges: `*`, `?`, `[a-c]`, `[^x]`, `\x`, with stringmatchlen's behaviour on
// malformed patterns (an unclosed class ends with the pattern; a reversed range is turned round; bytes compare signed).
//
// Every element but `*` takes exactly one byte, so only the last `*` met ever needs another try: at most pattern times
// text steps, and no recursion. Redis's own walk gives the same answers; on one point they look odd: an empty text
// matches the empty pattern only, not even `*` (its callers treat a lone `*` as "all", and so do ours).
// On the data path (KEYS, SCAN); allocates nothing but in globText.

const enum Byte {
  Star = 42,
  Dash = 45,
  Question = 63,
  Open = 91,
  Escape = 92,
  Close = 93,
  Caret = 94,
}

/** Where the element of the pattern at `p` ends if it takes `byte`, or -1 if it does not. Never called for `*`. */
function step(pattern: Uint8Array, p: number, end: number, byte: number, nocase: boolean): number {
  let element = pattern[p]!;
  switch (element) {
    case Byte.Question:
      return p + 1;
    case Byte.Open:
      return stepClass(pattern, p + 1, end, byte, nocase);
    case Byte.Escape:
      if (p + 1 < end) element = pattern[++p]!;
      break;
  }
  if (element === byte || (nocase && lower(element) === lower(byte))) return p + 1;
  return -1;
}

/** The same for a class whose `[` has been read. */
function stepClass(pattern: Uint8Array, p: number, end: number, byte: number, nocase: boolean): number {
  const not = p < end && pattern[p] === Byte.Caret;
  if (not) p++;
  let found = false;
  for (; p < end; p++) {
    const element = pattern[p]!;
    if (element === Byte.Escape && p + 1 < end) {
      // After a backslash Redis compares letters as they are, whatever `nocase` says.
      if (pattern[++p] === byte) found = true;
    } else if (element === Byte.Close) {
      return found !== not ? p + 1 : -1;
    } else if (p + 2 < end && pattern[p + 1] === Byte.Dash) {
      if (inRange(element, pattern[p + 2]!, byte, nocase)) found = true;
      p += 2;
    } else if (element === byte || (nocase && lower(element) === lower(byte))) found = true;
  }
  return found !== not ? end : -1;
}

function inRange(first: number, last: number, byte: number, nocase: boolean): boolean {
  let from = (first << 24) >> 24;
  let to = (last << 24) >> 24;
  let value = (byte << 24) >> 24;
  if (from > to) [from, to] = [to, from];
  if (nocase) {
    from = lower(from);
    to = lower(to);
    value = lower(value);
  }
  return value >= from && value <= to;
}

function lower(byte: number): number {
  return byte >= 65 && byte <= 90 ? byte + 32 : byte;
}

/** Whether text[textStart, +textBytes) matches the pattern pattern[patternStart, +patternBytes). With `nocase`, ASCII
 *  letters match in either case. */
export function globMatch(
  pattern: Uint8Array,
  patternStart: number,
  patternBytes: number,
  text: Uint8Array,
  textStart: number,
  textBytes: number,
  nocase = false,
): boolean {
  if (textBytes === 0) return patternBytes === 0;
  const end = patternStart + patternBytes;
  const textEnd = textStart + textBytes;
  let p = patternStart;
  let at = textStart;
  // Where to go on when the elements after the last `*` fail: that element, and the first byte not yet tried.
  let starP = -1;
  let starAt = 0;
  while (at < textEnd) {
    if (p < end) {
      if (pattern[p] === Byte.Star) {
        do p++;
        while (p < end && pattern[p] === Byte.Star);
        if (p === end) return true;
        starP = p;
        starAt = at;
        continue;
      }
      const next = step(pattern, p, end, text[at]!, nocase);
      if (next >= 0) {
        p = next;
        at++;
        continue;
      }
    }
    if (starP < 0) return false;
    p = starP;
    at = ++starAt;
  }
  while (p < end && pattern[p] === Byte.Star) p++;
  return p === end;
}

/** The same for Latin-1 text: settings, command names. */
export function globText(pattern: string, text: string, nocase = false): boolean {
  return globMatch(latin1(pattern), 0, pattern.length, latin1(text), 0, text.length, nocase);
}

function latin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
