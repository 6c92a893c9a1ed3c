// syntax.ts: a row's syntax text as the tree of arguments that COMMAND DOCS shows.
//
//   sequence     = item ...                a word in lower case is a value, one in upper case a token
//   item         = "[" alternatives "]"    optional
//                | "<" alternatives ">"    one of
//                | TOKEN value ...         a value (or a block of them) announced by a token; alone a pure token
//   alternatives = sequence | sequence
//   "..." after the last item of a group repeats the group; "key [key ...]" is one repeated `key`.
// Cold: parsed at each call. Neighbours: introspection.ts prints the tree; the rows hold the texts.

export interface Argument {
  readonly name: string;
  readonly type: string;
  readonly token: string;
  readonly optional: boolean;
  readonly multiple: boolean;
  /** Parts of a block or a choice. */
  readonly parts: readonly Argument[];
}

const words = /\.\.\.|[[\]<>|]|[^\s[\]<>|]+/g;

const keyNames = /^(key[0-9]*|newkey|source|destination)$/;
const integerNames =
  /^(seconds|milliseconds|increment|decrement|count|offset|start|end|cursor|db|destination-db|index[0-9]*|protover|client-id|maxage|len|min-match-len|numkeys)$/;

/** The arguments of a syntax text, in order. */
export function parseSyntax(syntax: string): readonly Argument[] {
  return new Parser(syntax.match(words) ?? []).sequence().items;
}

interface Sequence {
  readonly items: readonly Argument[];
  /** It ended in "...". */
  readonly repeated: boolean;
}

class Parser {
  private at = 0;

  constructor(private readonly tokens: readonly string[]) {}

  /** Items up to `|`, a closing bracket or the end. */
  sequence(): Sequence {
    const items: Argument[] = [];
    let repeated = false;
    for (;;) {
      const word = this.tokens[this.at];
      if (word === undefined || word === "|" || word === "]" || word === ">") break;
      if (word === "...") {
        this.at++;
        repeated = true;
      } else addItem(items, this.item());
    }
    return { items, repeated };
  }

  private item(): Argument {
    const word = this.tokens[this.at++]!;
    if (word === "[") return { ...this.group("]"), optional: true };
    if (word === "<") return this.group(">");
    if (!isToken(word)) return value(word);
    if (this.tokens[this.at] === "<") {
      this.at++;
      return { ...this.group(">"), name: word.toLowerCase(), token: word };
    }
    const values: Argument[] = [];
    for (; isValue(this.tokens[this.at]); this.at++) values.push(value(this.tokens[this.at]!));
    if (values.length === 0)
      return { ...value(word), name: word.toLowerCase(), type: "pure-token", token: word };
    if (values.length === 1) return { ...values[0]!, token: word };
    return { ...block(values), name: word.toLowerCase(), token: word };
  }

  /** What stands between two brackets, the opening one read. */
  private group(close: string): Argument {
    const choices: Argument[] = [];
    let repeated = false;
    for (;;) {
      const sequence = this.sequence();
      if (sequence.items.length > 0) choices.push(block(sequence.items));
      repeated ||= sequence.repeated;
      const word = this.tokens[this.at++];
      if (word === undefined || word === close) break;
    }
    const only = choices.length === 1 ? choices[0]! : oneOf(choices);
    return { ...only, multiple: only.multiple || repeated };
  }
}

/** Appends an item; one that only says that those before it may be repeated makes them a repeated one instead. */
function addItem(items: Argument[], item: Argument): void {
  const parts = item.type === "block" && item.token === "" ? item.parts : [item];
  const before = items.slice(-parts.length);
  const repeats =
    item.optional &&
    item.multiple &&
    before.length === parts.length &&
    before.every((each, i) => each.name === parts[i]!.name && !each.optional);
  if (!repeats) {
    items.push(item);
    return;
  }
  items.length -= parts.length;
  items.push({ ...block(before), multiple: true });
}

function isToken(word: string): boolean {
  return /^[A-Z][A-Z0-9-]*$/.test(word);
}

function isValue(word: string | undefined): boolean {
  return word !== undefined && /^[a-z]/.test(word);
}

function value(name: string): Argument {
  return { name, type: typeOf(name), token: "", optional: false, multiple: false, parts: [] };
}

function typeOf(name: string): string {
  if (keyNames.test(name)) return "key";
  if (name.startsWith("unix-time")) return "unix-time";
  if (integerNames.test(name)) return "integer";
  return name === "pattern" ? "pattern" : "string";
}

/** Items as one argument: the item itself when it is alone. */
function block(items: readonly Argument[]): Argument {
  if (items.length === 1) return items[0]!;
  const name = items.map((item) => item.name).join("-");
  return { ...value(name.length <= 40 ? name : "arguments"), type: "block", parts: items };
}

function oneOf(choices: readonly Argument[]): Argument {
  const name = choices.map((choice) => choice.name).join("-or-");
  return { ...value(name.length <= 40 ? name : "option"), type: "oneof", parts: choices };
}
