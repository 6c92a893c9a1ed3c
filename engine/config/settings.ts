// settings.ts: the effective value of every setting, and where it came from.
//
// Layers, highest first: runtime (CONFIG SET), flags, environment, file, derived (from the machine), default (the
// table). They stay apart: a value is looked up through them, never merged, so taking one away uncovers the next.
// A Settings is made by `Settings.load` from what was given at start, or by `Settings.from` out of the plain object
// that `state` returns, on another thread. `version` counts changes.
// A mistake in what a person wrote is a ConfigError with the place it is at; CONFIG SET's mistakes are replies.
// Control plane, but `number` and `flag` are a Map lookup. No dependency on the engine. Neighbours: table.ts.
import toml from "toml";
import { Errors, settingRefused, unknownSetting } from "../../protocol/errors.ts";
import {
  nearestName,
  outputClasses,
  type SettingRow,
  type SettingScope,
  settingNames,
  settingRow,
  settingRows,
} from "./table.ts";

/** Layers from the lowest to the highest; the table's defaults lie below them all. */
export const layers = ["derived", "file", "environment", "flags", "runtime"] as const;

export type Layer = (typeof layers)[number];

/** Canonical values by canonical name. */
type Values = Record<string, string>;

/** What another thread needs to have the same settings. Plain JSON. */
export interface SettingsState {
  readonly version: number;
  readonly layers: Readonly<Record<Layer, Readonly<Values>>>;
}

/** A mistake in what somebody wrote for the server to read at start. The message names the place. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** What a start has to go by. */
export interface Sources {
  readonly file?: { readonly path: string; readonly text: string };
  /** All of process.env may be given: only names with our prefix are looked at. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly flags?: readonly (readonly [string, string])[];
  readonly derived?: Readonly<Record<string, string>>;
  /** Reads the file that IRONCACHE_<NAME>_FILE names. */
  readonly readFile?: (path: string) => string;
}

const PREFIX = "IRONCACHE_";
/** Names with our prefix that are no settings. */
const otherVariables = new Set(["CONFIG", "SEED", "HOME", "LOG", "VERSION", "COMMIT"]);

export class Settings {
  version = 0;
  private readonly effective = new Map<string, string>();
  private readonly numbers = new Map<string, number>();

  private constructor(private readonly values: Record<Layer, Values>) {
    this.refresh();
  }

  /** The table's defaults alone. */
  static defaults(): Settings {
    return new Settings({
      derived: plain(),
      file: plain(),
      environment: plain(),
      flags: plain(),
      runtime: plain(),
    });
  }

  /** Reads all sources. Throws ConfigError; `warnings` are lines to log. */
  static load(sources: Sources): { settings: Settings; warnings: string[] } {
    const warnings: string[] = [];
    const settings = Settings.defaults();
    const { values } = settings;
    for (const [name, value] of Object.entries(sources.derived ?? {}))
      readInto(values.derived, need(name), value, "", "derived value");
    if (sources.file !== undefined) readFileLayer(values.file, sources.file.path, sources.file.text);
    if (sources.environment !== undefined)
      readEnvironment(values.environment, sources.environment, sources.readFile, warnings);
    for (const [name, value] of sources.flags ?? []) {
      const row = settingRow(name);
      if (row === undefined) throw new ConfigError(`unknown option --${name}${didYouMean(name, "--")}`);
      readInto(values.flags, row, value, "", `option --${name}`);
    }
    settings.refresh();
    return { settings, warnings };
  }

  /** The settings whose `state` this is. */
  static from(state: SettingsState): Settings {
    const settings = Settings.defaults();
    settings.adopt(state);
    return settings;
  }

  /** Takes over what another thread's settings have become. */
  adopt(state: SettingsState): void {
    for (const layer of layers) {
      const target = this.values[layer];
      for (const name of Object.keys(target)) delete target[name];
      for (const [name, value] of Object.entries(state.layers[layer]))
        if (settingRow(name)?.name === name) target[name] = value;
    }
    this.refresh();
    this.version = state.version;
  }

  state(): SettingsState {
    const copies = layers.map((layer) => [layer, { ...this.values[layer] }]);
    return { version: this.version, layers: Object.fromEntries(copies) };
  }

  private refresh(): void {
    this.effective.clear();
    this.numbers.clear();
    for (const row of settingRows) {
      const value = this.lookUp(row).value;
      for (const name of [row.name, ...row.aliases]) {
        this.effective.set(name, value);
        this.numbers.set(name, numberOf(value));
      }
    }
  }

  private lookUp(row: SettingRow): { value: string; layer: Layer | "default" } {
    for (let i = layers.length - 1; i >= 0; i--) {
      const value = this.values[layers[i]!][row.name];
      if (value === undefined) continue;
      return row.derives && value === "auto" ? this.lookUpDerived(row) : { value, layer: layers[i]! };
    }
    return row.derives ? this.lookUpDerived(row) : { value: row.default, layer: "default" };
  }

  private lookUpDerived(row: SettingRow): { value: string; layer: Layer } {
    return { value: this.values.derived[row.name] ?? "0", layer: "derived" };
  }

  /** Takes down what the machine gives for a setting. */
  derive(name: string, value: string): void {
    readInto(this.values.derived, need(name), value, "", "derived value");
    this.version++;
    this.refresh();
  }

  /** Whether a setting has the value that the machine gives. */
  isDerived(name: string): boolean {
    return this.lookUp(need(name)).layer === "derived";
  }

  /** What CONFIG GET prints of a setting; undefined when there is no such setting. */
  shown(name: string): string | undefined {
    const value = this.get(name);
    return value === undefined ? undefined : settingRow(name)!.shown(value);
  }

  /** The value of a setting; undefined when there is no such setting. */
  get(name: string): string | undefined {
    return this.effective.get(name) ?? this.effective.get(settingRow(name)?.name ?? "");
  }

  /** A number of a setting, by its exact name: of bytes, of its unit, 1 and 0 for yes and no; NaN for other text. */
  number(name: string): number {
    const value = this.numbers.get(name);
    if (value === undefined) throw new Error(`no setting has the name ${name}`);
    return value;
  }

  /** Whether a setting is `yes`. */
  flag(name: string): boolean {
    return this.get(name) === "yes";
  }

  /** client-output-buffer-limit of a class: hard and soft bytes, and seconds above soft. 0 for no limit. */
  outputLimit(name: (typeof outputClasses)[number]): { hard: number; soft: number; seconds: number } {
    const words = this.get("client-output-buffer-limit")!.split(" ");
    const at = outputClasses.indexOf(name) * 4;
    return { hard: Number(words[at + 1]), soft: Number(words[at + 2]), seconds: Number(words[at + 3]) };
  }

  /** Names and aliases in table order. */
  names(): readonly string[] {
    return settingNames;
  }

  /** Changes settings at run time: all, or none and the error to reply. */
  set(pairs: readonly (readonly [string, string])[]): string | null {
    const rows: SettingRow[] = [];
    for (const [name] of pairs) {
      const row = settingRow(name);
      if (row === undefined) return unknownSetting(name);
      if (row.scope === "boot") return settingRefused(name, "can't set immutable config");
      if (row.protected) return settingRefused(name, "can't set protected config");
      if (rows.includes(row)) return settingRefused(name, "duplicate parameter");
      rows.push(row);
    }
    const changed: Values = plain();
    for (const [i, row] of rows.entries()) {
      const reading = row.read(pairs[i]![1], this.get(row.name)!);
      if ("error" in reading) return settingRefused(row.name, reading.error);
      changed[row.name] = reading.value;
    }
    Object.assign(this.values.runtime, changed);
    this.version++;
    this.refresh();
    return null;
  }

  /** Takes back what CONFIG SET said of a setting; null, or the error to reply. */
  unset(name: string): string | null {
    const row = settingRow(name);
    if (row === undefined) return Errors.syntax;
    delete this.values.runtime[row.name];
    this.version++;
    this.refresh();
    return null;
  }

  /** Where the value of a setting comes from. */
  explain(
    name: string,
  ): { value: string; layer: Layer | "default"; scope: SettingScope; default: string } | undefined {
    const row = settingRow(name);
    return row === undefined ? undefined : { ...this.lookUp(row), scope: row.scope, default: row.default };
  }
}

/** Splits `--name value` and `--name=value` into pairs for Settings.load. `config` is the path that --config gave, or
 *  "". Throws ConfigError for what is no flag or lacks its value. */
export function readFlags(args: readonly string[]): { flags: [string, string][]; config: string } {
  const flags: [string, string][] = [];
  let config = "";
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (!arg.startsWith("--") || arg.length === 2) throw new ConfigError(`unexpected argument "${arg}"`);
    const equals = arg.indexOf("=");
    const name = equals < 0 ? arg.slice(2) : arg.slice(2, equals);
    if (name !== "config" && settingRow(name) === undefined)
      throw new ConfigError(`unknown option --${name}${didYouMean(name, "--")}`);
    if (equals < 0 && i + 1 === args.length) throw new ConfigError(`option --${name} needs a value`);
    const value = equals < 0 ? args[++i]! : arg.slice(equals + 1);
    if (name === "config") config = value;
    else flags.push([name, value]);
  }
  return { flags, config };
}

/** An object without a prototype, so that no name that somebody writes is more than a name. */
function plain(): Values {
  return Object.create(null) as Values;
}

function need(name: string): SettingRow {
  const row = settingRow(name);
  if (row === undefined) throw new ConfigError(`there is no setting ${name}`);
  return row;
}

function numberOf(value: string): number {
  if (value === "yes") return 1;
  if (value === "no") return 0;
  return value === "" ? Number.NaN : Number(value);
}

function didYouMean(name: string, prefix: string): string {
  const nearest = nearestName(name);
  return nearest === "" ? "" : `: did you mean ${prefix}${nearest}?`;
}

/** Reads one value into a layer. `where` begins the message of a mistake ("" or "file:line: "). */
function readInto(layer: Values, row: SettingRow, value: string, where: string, what: string): void {
  const reading = row.read(value, layer[row.name] ?? row.default);
  if ("error" in reading) throw new ConfigError(`${where}${what}: ${reading.error}, not "${value}"`);
  layer[row.name] = reading.value;
}

function readEnvironment(
  layer: Values,
  environment: Readonly<Record<string, string | undefined>>,
  readFile: Sources["readFile"],
  warnings: string[],
): void {
  for (const variable of Object.keys(environment).sort()) {
    const value = environment[variable];
    if (!variable.startsWith(PREFIX) || value === undefined) continue;
    const rest = variable.slice(PREFIX.length);
    if (otherVariables.has(rest)) continue;
    const row = settingRow(rest);
    if (row !== undefined) {
      readInto(layer, row, value, "", variable);
      continue;
    }
    const fromFile = rest.endsWith("_FILE") ? settingRow(rest.slice(0, -5)) : undefined;
    if (fromFile === undefined) {
      const nearest = nearestName(rest);
      const hint =
        nearest === "" ? "" : `: did you mean ${PREFIX}${nearest.toUpperCase().replaceAll("-", "_")}?`;
      warnings.push(`unknown variable ${variable}${hint}`);
      continue;
    }
    if (readFile === undefined) throw new ConfigError(`${variable}: files cannot be read here`);
    let text: string;
    try {
      text = readFile(value);
    } catch (error) {
      throw new ConfigError(`${variable}: ${error instanceof Error ? error.message : String(error)}`);
    }
    readInto(layer, fromFile, text.replace(/\r?\n$/, ""), "", variable);
  }
}

/** Reads a TOML file into a layer. Throws ConfigError with file and line. */
function readFileLayer(layer: Values, path: string, source: string): void {
  let parsed: unknown;
  try {
    parsed = toml.parse(source);
  } catch (error) {
    throw malformed(path, source, error);
  }
  if (typeof parsed !== "object" || parsed === null) return;
  const seen = new Map<SettingRow, string>();
  for (const key of Object.keys(parsed)) {
    const where = `${path}:${lineOf(source, key)}: `;
    const row = settingRow(key);
    if (row === undefined) throw new ConfigError(`${where}unknown setting "${key}"${didYouMean(key, "")}`);
    const other = seen.get(row);
    if (other !== undefined) throw new ConfigError(`${where}"${key}" and "${other}" are the same setting`);
    seen.set(row, key);
    const value = textOf((parsed as Record<string, unknown>)[key], row);
    if (value === null)
      throw new ConfigError(`${where}"${key}" must be a text, a number, a bool or a list of them`);
    readInto(layer, row, value, where, `"${key}"`);
  }
}

/** A TOML value as the text of a setting; null for what is none. */
function textOf(value: unknown, row: SettingRow): string | null {
  if (typeof value === "string") return duration(value, row.unitMs);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number" || typeof value === "bigint") {
    // A permission is written in octal digits, whether quoted or not.
    return String(value);
  }
  if (!Array.isArray(value)) return null;
  const words = value.map((each: unknown) => (Array.isArray(each) ? null : textOf(each, row)));
  return words.includes(null) ? null : words.join(" ");
}

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** "5s" as a count of the setting's unit, where it is a whole one; other text unchanged. */
function duration(text: string, unitMs: number): string {
  const match = unitMs === 0 ? null : /^([0-9]{1,12})(ms|s|m|h|d)$/.exec(text);
  if (match === null) return text;
  const count = (Number(match[1]) * durationUnits[match[2]!]!) / unitMs;
  return Number.isInteger(count) ? String(count) : text;
}

/** The line on which a top-level key stands, 1 when it cannot be told. */
function lineOf(source: string, key: string): number {
  const spelled = [key, `"${key}"`, `'${key}'`, JSON.stringify(key)];
  const lines = source.split("\n");
  const index = lines.findIndex((line) => {
    const left = line.trim().replace(/^\[+\s*/, "");
    return spelled.some((word) => left.startsWith(word) && /^\s*[=.\]]/.test(left.slice(word.length)));
  });
  return index < 0 ? 1 : index + 1;
}

/** A syntax error in our own words, with the line it is in and a caret below its column. */
function malformed(path: string, source: string, error: unknown): ConfigError {
  const { line, column } = placeOf(error);
  const text = (source.split("\n")[line - 1] ?? "").replace(/\r$/, "");
  const caret = `${" ".repeat(Math.max(0, column - 1))}^`;
  return new ConfigError(`${path}:${line}:${column}: not TOML from here on\n  ${text}\n  ${caret}`);
}

/** Where the parser stopped, 1-based. A syntax error says so in `location`: its own `line` and `column` are those of the
 *  statement that threw it. Mistakes found after parsing have only the latter two, and mean the file by them. */
function placeOf(error: unknown): { line: number; column: number } {
  const fields = (typeof error === "object" && error !== null ? error : {}) as Record<string, unknown>;
  const location = fields.location as { start?: { line?: unknown; column?: unknown } } | undefined;
  const { line, column } = location?.start ?? fields;
  return typeof line === "number" && typeof column === "number" ? { line, column } : { line: 1, column: 1 };
}
