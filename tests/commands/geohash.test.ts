// geohash.ts against redis-server: scores, centres, strings, distances and the order in which searches find places.
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  areaLeast,
  areaLimit,
  areas,
  decode,
  distance,
  distanceWithin,
  encode,
  GEOHASH_BYTES,
  isPlace,
  latitude,
  longitude,
  Shape,
  unitMetres,
  writeGeohash,
} from "../../engine/types/geohash.ts";
import { type Server, startOracle } from "../differential/harness.ts";
import { parseReply, type Reply } from "../differential/resp.ts";
import { random } from "../support/random.ts";

let oracle: Server;
beforeAll(async () => {
  oracle = await startOracle("7");
});
afterAll(() => oracle.stop());

async function ask(...command: string[]): Promise<Reply[]> {
  return parseReply(await oracle.ask(...command)).items!;
}

interface Place {
  readonly name: string;
  readonly lon: number;
  readonly lat: number;
  readonly score: number;
}

/** A coordinate as GEOPOS prints it. */
function printed(value: number): string {
  return value.toFixed(17).replace(/\.?0+$/, "");
}

function geohash(score: number): string {
  const u8 = new Uint8Array(GEOHASH_BYTES + 2);
  writeGeohash(u8, 1, score);
  expect([u8[0], u8[GEOHASH_BYTES + 1]]).toEqual([0, 0]);
  return Buffer.from(u8.slice(1, -1)).toString("latin1");
}

const corners = [-180, -90.000001, -1e-7, 0, 1e-9, 45, 179.9999999, 180];
const heights = [-85.05112878, -85.0511287, -66.5, -1e-7, 0, 66, 80.00001, 85.05112878];

/** Places all over, more of them near each other, near the edges and near the poles. */
function places(next: () => number, count: number): Place[] {
  const all: Place[] = [];
  const add = (lon: number, lat: number) => {
    if (isPlace(lon, lat)) all.push({ name: `p${all.length}`, lon, lat, score: encode(lon, lat) });
  };
  for (const lon of corners) for (const lat of heights) add(lon, lat);
  while (all.length < count) {
    const spread = 10 ** (-4 * next());
    const near = all[Math.floor(next() * all.length)]!;
    if (next() < 0.4) add(next() * 360 - 180, next() * 170.1 - 85.05);
    else add(near.lon + (next() - 0.5) * spread, near.lat + (next() - 0.5) * spread);
  }
  return all;
}

test("scores, centres and strings are Redis's", async () => {
  const all = places(random("geohash"), 3_000);
  await oracle.reset(false);
  for (let i = 0; i < all.length; i += 300)
    await oracle.ask(
      "GEOADD",
      "g",
      ...all.slice(i, i + 300).flatMap(({ name, lon, lat }) => [String(lon), String(lat), name]),
    );
  const names = all.map(({ name }) => name);
  const scores = await ask("ZMSCORE", "g", ...names);
  const strings = await ask("GEOHASH", "g", ...names);
  const centres = await ask("GEOPOS", "g", ...names);
  for (const [i, { name, score }] of all.entries()) {
    decode(score);
    expect({ name, score, hash: geohash(score), at: [printed(longitude), printed(latitude)] }).toEqual({
      name,
      score: Number(scores[i]!.text),
      hash: strings[i]!.text!,
      at: centres[i]!.items!.map((item) => item.text!),
    });
  }
});

test("any double is a score", async () => {
  const all = [
    0,
    1,
    -1,
    -5,
    1.5,
    -1.5,
    2 ** 52,
    2 ** 53,
    2 ** 54 + 4,
    2 ** 63,
    -(2 ** 63),
    1e19,
    2 ** 64,
    1e300,
  ];
  all.push(-1e300, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3479099956230698, 1e-300);
  await oracle.reset(false);
  for (const score of all) {
    const text = Number.isFinite(score) ? String(score) : score > 0 ? "inf" : "-inf";
    await oracle.ask("ZADD", "g", text, text);
    const [at] = await ask("GEOPOS", "g", text);
    const [hash] = await ask("GEOHASH", "g", text);
    decode(score);
    expect({ score, hash: geohash(score), at: [printed(longitude), printed(latitude)] }).toEqual({
      score,
      hash: hash!.text!,
      at: at!.items!.map((item) => item.text!),
    });
  }
});

test("distances are Redis's in every unit", async () => {
  const next = random("geohash distances");
  const all = places(next, 500);
  await oracle.reset(false);
  await oracle.ask("GEOADD", "g", ...all.flatMap(({ name, lon, lat }) => [String(lon), String(lat), name]));
  for (let i = 0; i < 1_500; i++) {
    const one = all[Math.floor(next() * all.length)]!;
    const two = next() < 0.1 ? one : all[Math.floor(next() * all.length)]!;
    const unit = ["m", "km", "ft", "mi"][Math.floor(next() * 4)]!;
    decode(one.score);
    const [lon, lat] = [longitude, latitude];
    decode(two.score);
    const metres = distance(lon, lat, longitude, latitude);
    const reply = parseReply(await oracle.ask("GEODIST", "g", one.name, two.name, unit));
    expect({ one, two, unit, far: (metres / unitMetres(unit)).toFixed(4) }).toEqual({
      one,
      two,
      unit,
      far: reply.text!,
    });
  }
  expect(unitMetres("M")).toBe(0);
});

/** What a search finds, in the order in which the ranges of scores come. */
function search(sorted: readonly Place[], shape: Shape): string[] {
  const found: string[] = [];
  const count = areas(shape);
  expect(count).toBeWithin(1, 10);
  for (let i = 0; i < count; i++) {
    const [least, limit] = [areaLeast[i]!, areaLimit[i]!];
    for (const { name, score } of sorted) {
      if (score < least || score >= limit) continue;
      decode(score);
      if (!Number.isNaN(distanceWithin(shape, longitude, latitude))) found.push(name);
    }
  }
  return found;
}

test("searches find what Redis finds, in its order", async () => {
  const next = random("geohash searches");
  const all = places(next, 1_500);
  await oracle.reset(false);
  for (let i = 0; i < all.length; i += 500)
    await oracle.ask(
      "GEOADD",
      "g",
      ...all.slice(i, i + 500).flatMap(({ name, lon, lat }) => [String(lon), String(lat), name]),
    );
  const sorted = [...all].sort((a, b) => a.score - b.score || (a.name < b.name ? -1 : 1));
  const shape = new Shape();
  let most = 0;
  let fewest = 9;
  for (let i = 0; i < 3_000; i++) {
    const near = all[Math.floor(next() * all.length)]!;
    const unit = ["m", "km", "ft", "mi"][Math.floor(next() * 4)]!;
    const size = () => (next() < 0.02 ? 0 : 10 ** (next() * 7.6) / unitMetres(unit));
    [shape.longitude, shape.latitude] = [near.lon, near.lat];
    if (next() < 0.5) {
      shape.longitude = Math.max(-180, Math.min(180, near.lon + next() - 0.5));
      shape.latitude = Math.max(-85, Math.min(85, near.lat + next() - 0.5));
    }
    shape.metres = unitMetres(unit);
    shape.isBox = next() < 0.5;
    shape.radius = size();
    shape.width = size();
    shape.height = next() < 0.5 ? shape.width : size();
    const area = shape.isBox
      ? ["BYBOX", String(shape.width), String(shape.height), unit]
      : ["BYRADIUS", String(shape.radius), unit];
    const from = ["FROMLONLAT", String(shape.longitude), String(shape.latitude)];
    const reply = await ask("GEOSEARCH", "g", ...from, ...area);
    const count = areas(shape);
    most = Math.max(most, count);
    fewest = Math.min(fewest, count);
    expect({ from, area, found: search(sorted, shape) }).toEqual({
      from,
      area,
      found: reply.map((item) => item.text!),
    });
  }
  expect([fewest, most]).toEqual([1, 9]);
});

test("a place too near a pole is none", () => {
  for (const [lon, lat, is] of [
    [180, 85.05112878, true],
    [-180, -85.05112878, true],
    [180.0000001, 0, false],
    [-180.0000001, 0, false],
    [0, 85.05112879, false],
    [0, -85.05112879, false],
    [Number.NaN, 0, false],
  ] as const)
    expect(isPlace(lon, lat)).toBe(is);
});
