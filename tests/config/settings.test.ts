import { expect, test } from "bun:test";
import { ConfigError, readFlags, Settings } from "../../engine/config/settings.ts";
import { settingNames, settingRow, settingRows } from "../../engine/config/table.ts";
import { random } from "../support/random.ts";

const file = (text: string) => ({ path: "/etc/ironcache.toml", text });

/** The message of the ConfigError that loading this file ends in. */
function mistake(text: string): string {
  try {
    Settings.load({ file: file(text) });
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return "";
}

test("settings: every row has help, a name of its own, and a default that reads back as itself", () => {
  expect(new Set(settingNames).size).toBe(settingNames.length);
  for (const row of settingRows) {
    expect(row.help.length).toBeGreaterThan(0);
    expect(row.read(row.default, row.default)).toEqual({ value: row.default });
  }
});

test("settings: a higher layer hides a lower one, and taking it away uncovers it", () => {
  const { settings, warnings } = Settings.load({
    derived: { maxmemory: "1gb" },
    file: file('maxmemory = "2gb"\ntimeout = 5'),
    environment: { IRONCACHE_MAXMEMORY: "3gb", HOME: "/" },
    flags: [["maxmemory", "4gb"]],
  });
  expect(warnings).toEqual([]);
  expect(settings.explain("maxmemory")).toMatchObject({
    value: String(4 * 2 ** 30),
    layer: "flags",
    default: "auto",
  });
  expect(settings.set([["maxmemory", "100k"]])).toBeNull();
  expect(settings.explain("maxmemory")).toMatchObject({ value: "100000", layer: "runtime" });
  expect(settings.number("maxmemory")).toBe(100_000);
  expect(settings.explain("timeout")).toMatchObject({ value: "5", layer: "file" });
  expect(settings.explain("port")).toMatchObject({ value: "6379", layer: "default", scope: "boot" });
  expect(settings.unset("maxmemory")).toBeNull();
  expect(settings.get("maxmemory")).toBe(String(4 * 2 ** 30));
});

test("settings: CONFIG SET changes all or nothing, in Redis's words", () => {
  const settings = Settings.defaults();
  const failed = (name: string, reason: string) =>
    `ERR CONFIG SET failed (possibly related to argument '${name}') - ${reason}`;
  const unknown = (name: string) => `ERR Unknown option or number of arguments for CONFIG SET - '${name}'`;
  const rows: [[string, string][], string | null][] = [
    [
      [
        ["timeout", "7"],
        ["maxmemory", "x"],
      ],
      failed("maxmemory", "argument must be a memory value"),
    ],
    [[["timeout", "-1"]], failed("timeout", "argument must be between 0 and 2147483647 inclusive")],
    [[["timeout", "1.5"]], failed("timeout", "argument couldn't be parsed into an integer")],
    [[["timeout", "05"]], failed("timeout", "argument couldn't be parsed into an integer")],
    [
      [
        ["timeout", "1"],
        ["TIMEOUT", "2"],
      ],
      failed("TIMEOUT", "duplicate parameter"),
    ],
    [
      [
        ["DATABASES", "2"],
        ["nosuch", "1"],
      ],
      failed("DATABASES", "can't set immutable config"),
    ],
    [
      [
        ["nosuch", "1"],
        ["databases", "2"],
      ],
      unknown("nosuch"),
    ],
    [[["dir", "/"]], failed("dir", "can't set protected config")],
    [[["appendonly", "maybe"]], failed("appendonly", "argument must be 'yes' or 'no'")],
    [[["save", "abc"]], failed("save", "Invalid save parameters")],
    [
      [["proto-max-bulk-len", "1"]],
      failed("proto-max-bulk-len", "argument must be between 1048576 and 9223372036854775807 inclusive"),
    ],
    [
      [["loglevel", "x"]],
      failed(
        "loglevel",
        "argument(s) must be one of the following: debug, verbose, notice, warning, nothing",
      ),
    ],
    [
      [["client-output-buffer-limit", "x"]],
      failed("client-output-buffer-limit", "Wrong number of arguments in buffer limit configuration."),
    ],
    [
      [["client-output-buffer-limit", "nosuch 1 2 3"]],
      failed("client-output-buffer-limit", "Invalid client class specified in buffer limit configuration."),
    ],
  ];
  for (const [pairs, error] of rows) expect(settings.set(pairs)).toBe(error);
  expect(settings.get("timeout")).toBe("0");
  expect(settings.version).toBe(0);
  expect(
    settings.set([
      ["hz", "0"],
      ["maxmemory_samples", "9"],
    ]),
  ).toBeNull();
  expect([settings.get("hz"), settings.get("maxmemory-samples")]).toEqual(["1", "9"]);
});

test("settings: sizes are read as Redis reads them", () => {
  const settings = Settings.defaults();
  const sizes = {
    "0": "0",
    "": "0",
    "1k": "1000",
    "1KB": "1024",
    "2Mb": "2097152",
    "500000b": "500000",
    "1g": "1000000000",
  };
  for (const [text, bytes] of Object.entries(sizes)) {
    expect(settings.set([["maxmemory", text]])).toBeNull();
    expect(settings.get("maxmemory")).toBe(bytes);
  }
  for (const text of ["x", "-1", "1.5gb", "1tb", "100 mb", "1%"])
    expect(settings.set([["maxmemory", text]])).toContain("argument must be a memory value");
  expect(settings.set([["maxmemory", "18446744073709551616"]])).toBeNull();
  expect(settings.get("maxmemory")).toBe("18446744073709551615");
});

test("settings: limits of one class leave the others as they were", () => {
  const settings = Settings.defaults();
  expect(settings.set([["client-output-buffer-limit", "replica 1kb 10 5"]])).toBeNull();
  expect(settings.get("client-output-buffer-limit")).toBe(
    "normal 1073741824 0 0 slave 1024 10 5 pubsub 33554432 8388608 60",
  );
  expect(settings.outputLimit("slave")).toEqual({ hard: 1024, soft: 10, seconds: 5 });
});

test("settings: a file's mistakes name the file, the line and the nearest name", () => {
  expect(mistake("timeout = 1\nmaxmemroy = 5")).toBe(
    '/etc/ironcache.toml:2: unknown setting "maxmemroy": did you mean maxmemory?',
  );
  expect(mistake('timeout = "soon"')).toContain(
    '/etc/ironcache.toml:1: "timeout": argument couldn\'t be parsed',
  );
  expect(mistake("timeout = 1\ntimeout =")).toMatch(/^\/etc\/ironcache.toml:2:/);
  expect(mistake("[maxmemory]\nx = 1")).toContain("must be a text, a number");
  expect(mistake("maxmemory_policy = 'noeviction'\nmaxmemory-policy = 'noeviction'")).toContain(
    "are the same setting",
  );
  expect(mistake("__proto__ = 1\nconstructor = 2")).toContain('unknown setting "__proto__"');
});

test("settings: a file may use TOML's own types, durations and underscores", () => {
  const { settings } = Settings.load({
    file: file(
      'bind = ["127.0.0.1", "-::1"]\nactiverehashing = false\ntcp_keepalive = "5m"\nmaxclients = 5_000\nshards = 3',
    ),
  });
  expect(
    ["bind", "activerehashing", "tcp-keepalive", "maxclients", "workers"].map((name) => settings.get(name)),
  ).toEqual(["127.0.0.1 -::1", "no", "300", "5000", "3"]);
  expect(settings.get("shards")).toBe("3");
});

test("settings: an unknown variable is a warning, a bad value an error, a _FILE is read", () => {
  const environment = { IRONCACHE_MAXMEMROY: "1", IRONCACHE_UNIXSOCKET_FILE: "/run/name" };
  const { settings, warnings } = Settings.load({ environment, readFile: () => "/run/sock\n" });
  expect(warnings).toEqual(["unknown variable IRONCACHE_MAXMEMROY: did you mean IRONCACHE_MAXMEMORY?"]);
  expect(settings.get("unixsocket")).toBe("/run/sock");
  expect(() => Settings.load({ environment: { IRONCACHE_PORT: "x" } })).toThrow(ConfigError);
});

test("settings: flags come as two words or as one", () => {
  expect(readFlags(["--port", "1", "--maxmemory=2gb", "--config", "/x"])).toEqual({
    flags: [
      ["port", "1"],
      ["maxmemory", "2gb"],
    ],
    config: "/x",
  });
  expect(() => readFlags(["--prot", "1"])).toThrow("unknown option --prot: did you mean --port?");
  expect(() => readFlags(["--port"])).toThrow("needs a value");
  expect(() => readFlags(["port"])).toThrow("unexpected argument");
});

test("settings: another thread has the same settings from plain JSON", () => {
  const { settings } = Settings.load({ file: file("timeout = 9"), flags: [["port", "0"]] });
  settings.set([["maxclients", "77"]]);
  const other = Settings.from(JSON.parse(JSON.stringify(settings.state())));
  for (const name of settings.names()) expect(other.explain(name)).toEqual(settings.explain(name));
  expect(other.version).toBe(settings.version);
  settings.unset("maxclients");
  other.adopt(settings.state());
  expect(other.number("maxclients")).toBe(10000);
});

test("settings: mutated TOML is read or refused, and nothing else ever happens", () => {
  const next = random("toml");
  const settingsOnly =
    'bind = ["127.0.0.1", "-::1"]\nport = 6379 # the usual\nmaxmemory = "100mb"\ntimeout = 0x10\nsave = ""\n' +
    "activerehashing = true\n";
  const seed =
    settingsOnly +
    "[table]\nx = { y = 1979-05-27T07:32:00Z, z = 1.5e3 }\n[[array]]\n'quoted key' = '''\ntext'''\n";
  const pieces = [
    "=",
    "[",
    "]",
    '"',
    "'",
    "\n",
    "#",
    "{",
    "}",
    ".",
    "__proto__",
    "-",
    "0x",
    "\0",
    "\\u0041",
    "nan",
    ",",
    "\ufffd",
  ];
  let read = 0;
  for (let round = 0; round < 20_000; round++) {
    let text = next() < 0.5 ? settingsOnly : seed;
    for (let edits = Math.floor(next() * 6); edits > 0; edits--) {
      const at = Math.floor(next() * text.length);
      const kind = next();
      if (kind < 0.4) text = text.slice(0, at) + pieces[Math.floor(next() * pieces.length)] + text.slice(at);
      else if (kind < 0.7) text = text.slice(0, at) + text.slice(at + 1 + Math.floor(next() * 8));
      else text = text.slice(0, at) + text.slice(Math.floor(next() * text.length));
    }
    try {
      const { settings } = Settings.load({ file: file(text.slice(0, 2000)) });
      read++;
      for (const name of settings.names()) {
        const value = settings.get(name)!;
        expect(settingRow(name)!.read(value, value)).toEqual({ value });
      }
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      expect(error.message).toStartWith("/etc/ironcache.toml:");
    }
  }
  expect(read).toBeGreaterThan(100);
});
