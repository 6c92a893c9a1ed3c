import { expect, test } from "bun:test";
import { globText } from "../../engine/types/glob.ts";
import { random } from "../support/random.ts";

/** Redis's stringmatchlen as it is written there: recursive, exponential but for its one rule, signed bytes. */
function reference(pattern: string, text: string, nocase: boolean, state = { skip: false }): boolean {
  const signed = (code: number) => (code << 24) >> 24;
  const code = (at: number) => (at < pattern.length ? signed(pattern.charCodeAt(at)) : 0);
  const lower = (value: number) => (value >= 65 && value <= 90 ? value + 32 : value);
  const same = (a: number, b: number) => (nocase ? lower(a) === lower(b) : a === b);
  let p = 0;
  let s = 0;
  while (p < pattern.length && s < text.length) {
    const byte = signed(text.charCodeAt(s));
    const char = pattern[p]!;
    if (char === "*") {
      while (pattern[p + 1] === "*") p++;
      if (p === pattern.length - 1) return true;
      for (; s < text.length; s++) {
        if (reference(pattern.slice(p + 1), text.slice(s), nocase, state)) return true;
        if (state.skip) return false;
      }
      state.skip = true;
      return false;
    }
    if (char === "?") s++;
    else if (char === "[") {
      p++;
      const not = pattern[p] === "^";
      if (not) p++;
      let match = false;
      for (; ; p++) {
        if (pattern.length - p >= 2 && pattern[p] === "\\") {
          p++;
          if (code(p) === byte) match = true;
        } else if (pattern[p] === "]") break;
        else if (p >= pattern.length) {
          p--;
          break;
        } else if (pattern.length - p >= 3 && pattern[p + 1] === "-") {
          let [from, to] = [code(p), code(p + 2)];
          let value = byte;
          if (from > to) [from, to] = [to, from];
          if (nocase) [from, to, value] = [lower(from), lower(to), lower(value)];
          p += 2;
          if (value >= from && value <= to) match = true;
        } else if (same(code(p), byte)) match = true;
      }
      if (match === not) return false;
      s++;
    } else {
      if (char === "\\" && pattern.length - p >= 2) p++;
      if (!same(code(p), byte)) return false;
      s++;
    }
    p++;
    if (s === text.length) {
      while (pattern[p] === "*") p++;
      break;
    }
  }
  return p === pattern.length && s === text.length;
}

const cases: [string, string, boolean][] = [
  ["*", "anything", true],
  ["*", "", false],
  ["", "", true],
  ["h?llo", "hello", true],
  ["h[ae]llo", "hallo", true],
  ["h[^e]llo", "hello", false],
  ["h[x-a]llo", "hmllo", true],
  ["a\\*c", "a*c", true],
  ["a\\*c", "abc", false],
  ["a[", "ab", false],
  ["a[^", "ab", true],
  ["a[b", "ab", true],
  ["a\\", "a\\", true],
  ["[--/]", ".", true],
  ["*a*b*c", "xxaxxbxxc", true],
  ["**", "a", true],
  ["\xff*", "\xffx", true],
  ["[\x01-\xff]", "\x00", true],
  ["[\x01-\xff]", "\x05", false],
];

test("glob: what matches and what does not", () => {
  for (const [pattern, text, matches] of cases)
    expect([pattern, text, globText(pattern, text)]).toEqual([pattern, text, matches]);
  expect(globText("GET*", "getset", true)).toBe(true);
  expect(globText("GET*", "getset")).toBe(false);
});

test("glob: agrees with a transcription of stringmatchlen on any pattern and text", () => {
  const next = random("glob");
  const letters = "aabbcAB-]^[\\*?*\x00\xff\x80".split("");
  const word = (limit: number) =>
    Array.from(
      { length: Math.floor(next() * limit) },
      () => letters[Math.floor(next() * letters.length)],
    ).join("");
  let matched = 0;
  for (let i = 0; i < 200_000; i++) {
    const pattern = word(9);
    const text = word(7);
    const nocase = next() < 0.3;
    const due = reference(pattern, text, nocase);
    if (due) matched++;
    if (globText(pattern, text, nocase) !== due)
      expect([pattern, text, nocase, !due]).toEqual([pattern, text, nocase, due]);
  }
  expect(matched).toBeGreaterThan(1000);
});

test("glob: a pattern of many stars takes no exponential time", () => {
  const started = performance.now();
  expect(globText(`${"a*".repeat(60)}b`, "a".repeat(50_000))).toBe(false);
  expect(performance.now() - started).toBeLessThan(5000);
});
