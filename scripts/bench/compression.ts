// compression.ts: what compressing cold values gives and costs, on this machine.   bun run bench:compression [--server]
//
// In one process, over the engine's own classes: for each corpus the ratio of raw to stored bytes, dictionaries counted as
// stored; what the allocator holds before and after; and a read of a plain value against one of a compressed value that
// stays so. Corpora: sessions and products as applications write them, with random identifiers, and package.json of the
// packages installed here. With --server (IRONCACHE_BIN or dist/ironcache): the slowest GETs while dictionaries are made.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Of } from "../../engine/compress/dictionaries.ts";
import { Key } from "../../engine/memory/key.ts";
import { Encoding } from "../../engine/memory/record.ts";
import { copyBytes, need, Region } from "../../engine/memory/region.ts";
import { Clock } from "../../engine/shard/clock.ts";
import { Keyspace } from "../../engine/shard/keyspace.ts";
import { Swaps } from "../../engine/worker/swaps.ts";
import { Sweeper, Swept } from "../../engine/worker/sweeper.ts";
import { command, type RawSocket } from "../../tests/support/raw-socket.ts";
import { Server } from "../../tests/support/server.ts";

const { values: options } = parseArgs({ options: { server: { type: "boolean", default: false } } });

const hex = (digits: number) =>
  Buffer.from(crypto.getRandomValues(new Uint8Array(digits / 2))).toString("hex");
const below = (most: number) => Math.floor(Math.random() * most);
const pick = (words: readonly string[]) => words[below(words.length)]!;

function session(): string {
  return JSON.stringify({
    id: hex(16),
    user: below(1e7),
    email: `${pick(["anna", "ben", "carla", "dmitri", "eve"])}.${below(1e4)}@example.com`,
    role: pick(["admin", "member", "guest"]),
    created: 1_700_000_000_000 + below(1e10),
    address: `10.${below(256)}.${below(256)}.${below(256)}`,
  });
}

function product(): string {
  return JSON.stringify({
    sku: `${pick(["CH", "TB", "LM", "SF"])}-${below(1e5)}`,
    name: `${pick(["Oak", "Steel", "Linen", "Walnut"])} ${pick(["chair", "table", "lamp", "sofa"])}`,
    price: below(1e5) / 100,
    currency: "EUR",
    stock: below(500),
    tags: [pick(["new", "sale", "classic"]), pick(["indoor", "outdoor"])],
  });
}

function packages(): string[] {
  const found: string[] = [];
  const visit = (folder: string, depth: number): void => {
    if (!existsSync(folder)) return;
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (!entry.isDirectory() || depth > 4) continue;
      const file = join(folder, entry.name, "package.json");
      if (existsSync(file)) found.push(JSON.stringify(JSON.parse(readFileSync(file, "utf8"))));
      visit(join(folder, entry.name), depth + 1);
    }
  };
  for (const folder of ["node_modules", "/usr/share/nodejs", "/usr/lib/node_modules"]) visit(folder, 0);
  return [...new Set(found)];
}

const io = need(Region.private(1 << 20), "keys and values");
const out = need(Region.private(1 << 20), "replies");
const encoder = new TextEncoder();

function measure(name: string, corpus: readonly string[], codec: 0 | 1 | 2): void {
  const keyspace = Keyspace.create(1, 1 << 30, new Clock());
  const shard = keyspace.shards[0]!;
  const swaps = Swaps.create(1);
  let nowMs = 0;
  const sweeper = new Sweeper(keyspace, swaps, () => nowMs + performance.now());
  sweeper.options = { codec, floor: 96, ageMs: 1e9, always: false, rules: new Map() };
  const key = new Key(io);
  const keyOf = (i: number) => {
    const bytes = encoder.encodeInto(`${name}:${i}`, io.u8).written;
    key.set(io, 0, bytes);
  };
  for (const [i, value] of corpus.entries()) {
    keyOf(i);
    const bytes = encoder.encodeInto(value, io.u8.subarray(4096)).written;
    shard.setString(0, key, io, 4096, bytes, Encoding.Bytes, 0);
  }
  const before = shard.allocator.liveBytes;
  const readAll = () => {
    const rounds = Math.max(1, Math.floor(400_000 / corpus.length));
    const begun = performance.now();
    for (let round = 0; round < rounds; round++)
      for (let i = 0; i < corpus.length; i++) {
        key.set(io, i * 32, lengths[i]!);
        if (shard.read(0, key) !== 0) copyBytes(out, 0, shard.region, shard.valueStart(), shard.valueBytes());
        // So that the next round is not the second read of the pass, which makes a value plain.
        if (i === 0) dictionaries.pass = (dictionaries.pass + 1) & 0x3fffffff;
      }
    return ((performance.now() - begun) * 1e6) / rounds / corpus.length;
  };
  const { dictionaries } = keyspace.codec;
  const lengths = corpus.map((_, i) => encoder.encodeInto(`${name}:${i}`, io.u8.subarray(i * 32)).written);
  readAll();
  const plainNs = readAll();
  let busyMs = 0;
  for (let pass = 0; pass < 3; pass++) {
    nowMs += 2e9;
    const begun = performance.now();
    for (let swept = Swept.More; swept !== Swept.Rest; ) {
      swept = sweeper.step(50);
      swaps.apply(0, keyspace, 1e9, 1e9);
    }
    busyMs += performance.now() - begun;
  }
  readAll();
  const packedNs = readAll();
  const number = Array.from({ length: 512 }, (_, i) => i).find((i) => dictionaries.state(i) !== 0) ?? 0;
  const raw = dictionaries.sumOfAll(Of.RawBytes);
  const stored = dictionaries.sumOfAll(Of.StoredBytes) + dictionaries.usedBytes;
  const after = shard.allocator.liveBytes + dictionaries.usedBytes;
  console.log(
    `${name.padEnd(9)} ${["auto", "zstd", "lz4"][codec]!.padEnd(5)} ${corpus.length} values of ` +
      `${Math.round(corpus.reduce((sum, value) => sum + value.length, 0) / corpus.length)} B, ` +
      `compressed ${dictionaries.sumOfAll(Of.Values)} with ${dictionaries.codec(number) === 1 ? "zstd" : "lz4"}, ratio ` +
      `${(raw / stored).toFixed(2)}, live bytes ${((after / before) * 100).toFixed(0)} %, read ${plainNs.toFixed(0)} ns plain ` +
      `${packedNs.toFixed(0)} ns compressed, ${((busyMs * 1000) / corpus.length).toFixed(1)} us a value in the background`,
  );
}

const corpora: [string, string[]][] = [
  ["session", Array.from({ length: 20_000 }, session)],
  ["product", Array.from({ length: 20_000 }, product)],
  ["package", packages()],
];
for (const [name, corpus] of corpora) for (const codec of [0, 1, 2] as const) measure(name, corpus, codec);

const SESSIONS = 100_000;

/** Microseconds of GETs one after the other, sorted. */
async function latencies(socket: RawSocket, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const begun = performance.now();
    await socket.ask("GET", `session:${below(SESSIONS)}`);
    times.push((performance.now() - begun) * 1000);
  }
  return times.sort((a, b) => a - b);
}

if (options.server)
  for (const mode of ["off", "on"]) {
    const server = await Server.start({ args: ["--compression", mode, "--compression-age", "1"] });
    const socket = server.connect();
    for (let i = 0; i < SESSIONS; i += 100) {
      const batch = Array.from({ length: 100 }, (_, k) => command("SET", `session:${i + k}`, session()));
      await socket.send(batch.join(""));
      await socket.expect("+OK\r\n".repeat(100));
    }
    const times = await latencies(socket, 60_000);
    const at = (share: number) => times[Math.floor(times.length * share)]!.toFixed(0);
    console.log(
      `server, compression ${mode}: GET p50 ${at(0.5)} us, p99 ${at(0.99)} us, p99.9 ${at(0.999)} us`,
    );
    console.log(((await socket.ask("INFO", "compression")) ?? "").replaceAll("\r\n", " "));
    socket.close();
    await server.stop();
  }
