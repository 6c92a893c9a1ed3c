// geo.ts: the geo commands: sorted sets whose scores are places (engine/types/geohash.ts).
//
// A search walks the ranges of scores that cover its shape and notes of each hit its distance and its rank; members are
// looked up by rank when the reply or the result is written, so none is copied. Distances print with four decimals,
// coordinates as "%.17f" without trailing zeros, as in Redis 7.0 (8.0 prints the shortest digits).
// A shape as wide as the Earth can meet a member twice, and it is replied twice, as in Redis; stored it is once.
// On the data path: GEOADD, GEODIST and searches allocate nothing in the steady state; coordinates and geohashes that are
// printed make a string each. What a search notes is kept up to a bound (engine/types/ordering.ts).
// Neighbours: sorted-sets.ts (GEOADD is ZADD's body, results are stored as its are); the dispatcher has locked the shards
// of all keys, for those that STORE names of all shards.
import { Flag, type KeySpec, Scope, Tier } from "../../protocol/command-row.ts";
import { Errors, geosearchNeedsOne, invalidPlace } from "../../protocol/errors.ts";
import { need, Region } from "../memory/region.ts";
import { Event } from "../shard/events.ts";
import { parseDouble } from "../types/double.ts";
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
} from "../types/geohash.ts";
import { parseInteger, writeInteger } from "../types/integer.ts";
import { Ordering } from "../types/ordering.ts";
import type { Call, Row } from "./call.ts";
import {
  Option as AddOption,
  addScored,
  beginResult,
  openRead,
  refuseResult,
  result,
  scoresFor,
  sorted,
  storeResult,
} from "./sorted-sets.ts";

/** Text that is replied: a distance, a geohash. */
const text = need(Region.private(4096), "the text of distances");

// Numbers

/** `value` as C's "%.*f" prints it. Cold: makes strings. */
function fixed(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  if (Math.abs(value) >= 1e21) return `${BigInt(value)}.${"0".repeat(decimals)}`;
  // Halfway between two texts C takes the even one, JavaScript the larger. Then one more decimal says all of it.
  if (Number.isInteger(value * 2 ** (decimals + 1))) {
    const exact = value.toFixed(decimals + 1);
    if (/[02468]\.?5$/.test(exact)) return exact.slice(0, -1);
  }
  return value.toFixed(decimals);
}

/** Replies with a coordinate. */
function replyCoordinate(call: Call, value: number): void {
  call.reply.doubleText(fixed(value, 17).replace(/\.?0+$/, ""));
}

/** Replies with a place, decoded last. */
function replyPlace(call: Call): void {
  const lon = longitude;
  const lat = latitude;
  call.reply.array(2);
  replyCoordinate(call, lon);
  replyCoordinate(call, lat);
}

/** Replies with a distance: a bulk string in RESP3 as well. */
function replyDistance(call: Call, value: number): void {
  const scaled = value * 1e4;
  const below = Math.floor(scaled);
  // Too near to the middle to tell from a product that was rounded itself.
  if (scaled > 1e12 || Math.abs(scaled - below - 0.5) < 1e-3) {
    call.reply.text(fixed(value, 4));
    return;
  }
  const rounded = scaled - below < 0.5 ? below : below + 1;
  const whole = Math.floor(rounded / 1e4);
  const { u8 } = text;
  const point = writeInteger(u8, 0, whole);
  // Five digits, of which the first becomes the point.
  writeInteger(u8, point, 1e4 + rounded - whole * 1e4);
  u8[point] = 46;
  call.reply.bulk(text, 0, point + 5);
}

// Arguments

function numberAt(call: Call, i: number): number {
  return parseDouble(call.input.u8, call.start[i]!, call.length[i]!);
}

/** Where the arguments that `readPlace` found last are. */
let readLongitude = 0;
let readLatitude = 0;

/** Reads arguments `i` and `i + 1`. False after replying that they are no place. */
function readPlace(call: Call, i: number): boolean {
  const { reply } = call;
  const lon = numberAt(call, i);
  const lat = Number.isNaN(lon) ? lon : numberAt(call, i + 1);
  if (Number.isNaN(lat)) {
    reply.error(Errors.notAFloat);
    return false;
  }
  if (!isPlace(lon, lat)) {
    reply.error(invalidPlace(fixed(lon, 6), fixed(lat, 6)));
    return false;
  }
  readLongitude = lon;
  readLatitude = lat;
  return true;
}

const units: readonly string[] = ["m", "km", "ft", "mi"];

/** Metres in the unit that argument `i` names; 0 after replying that it names none. */
function readUnit(call: Call, i: number): number {
  for (const unit of units) if (call.is(i, unit)) return unitMetres(unit);
  call.reply.error(Errors.unit);
  return 0;
}

/** Finds argument `i` in `sorted` and decodes its place. */
function placeOf(call: Call, i: number): boolean {
  if (!sorted.find(call.input, call.start[i]!, call.length[i]!)) return false;
  decode(sorted.score);
  return true;
}

// One place

/** GEOADD key [NX|XX] [CH] longitude latitude member [longitude latitude member ...] */
function geoadd(call: Call): void {
  const { argc, reply } = call;
  let options = 0;
  let from = 2;
  for (; from < argc; from++) {
    if (call.is(from, "nx")) options |= AddOption.Nx;
    else if (call.is(from, "xx")) options |= AddOption.Xx;
    else if (call.is(from, "ch")) options |= AddOption.Ch;
    else break;
  }
  const count = (argc - from) / 3;
  const both = AddOption.Nx | AddOption.Xx;
  if (count === 0 || !Number.isInteger(count) || (options & both) === both) return reply.error(Errors.syntax);
  const scores = scoresFor(count);
  for (let i = 0; i < count; i++) {
    if (!readPlace(call, from + i * 3)) return;
    scores[i] = encode(readLongitude, readLatitude);
  }
  addScored(call, options, from + 2, 3, count);
}

/** GEOPOS key [member ...] */
function geopos(call: Call): void {
  const { argc, reply } = call;
  const opened = openRead(call);
  if (opened === -1) return;
  reply.array(argc - 2);
  for (let i = 2; i < argc; i++) {
    if (opened === 1 && placeOf(call, i)) replyPlace(call);
    else reply.nilArray();
  }
}

/** GEODIST key member1 member2 [unit] */
function geodist(call: Call): void {
  const { argc, reply } = call;
  let metres = 1;
  if (argc === 5) {
    metres = readUnit(call, 4);
    if (metres === 0) return;
  } else if (argc > 5) return reply.error(Errors.syntax);
  const opened = openRead(call);
  if (opened === -1) return;
  if (opened === 0 || !placeOf(call, 2)) return reply.nil();
  const lon = longitude;
  const lat = latitude;
  if (!placeOf(call, 3)) return reply.nil();
  replyDistance(call, distance(lon, lat, longitude, latitude) / metres);
}

/** GEOHASH key [member ...] */
function geohash(call: Call): void {
  const { argc, reply } = call;
  const opened = openRead(call);
  if (opened === -1) return;
  reply.array(argc - 2);
  for (let i = 2; i < argc; i++) {
    if (opened === 1 && sorted.find(call.input, call.start[i]!, call.length[i]!)) {
      writeGeohash(text.u8, 0, sorted.score);
      reply.bulk(text, 0, GEOHASH_BYTES);
    } else reply.nil();
  }
}

// Searches

const shape = new Shape();

/** Distances in metres, negative when the farthest come first, and ranks. */
const hits = new Ordering();

const enum Order {
  None = 0,
  Nearest = 1,
  Farthest = -1,
}

/** What the arguments of a search ask for. */
const search = {
  order: Order.None as Order,
  /** Most hits, 0 for all. */
  count: 0,
  any: false,
  withDistance: false,
  withHash: false,
  withPlace: false,
  /** Argument that names the key to store under, 0 for none. */
  store: 0,
  storeDistances: false,
  /** GEOSEARCH: whether centre and shape have been told. */
  fromMember: false,
  fromPlace: false,
  byRadius: false,
  byBox: false,
};

const enum From {
  /** GEORADIUS */
  Place = 0,
  /** GEORADIUSBYMEMBER */
  Member = 1,
  /** GEOSEARCH */
  Options = 2,
}

/** Reads the place in arguments `i` and `i + 1` as the centre. False after an error. */
function readCentre(call: Call, i: number): boolean {
  if (!readPlace(call, i)) return false;
  shape.longitude = readLongitude;
  shape.latitude = readLatitude;
  return true;
}

/** Takes the place of the member in argument `i` as the centre. False after an error. */
function readMember(call: Call, i: number): boolean {
  if (!placeOf(call, i)) {
    call.reply.error(Errors.noGeoMember);
    return false;
  }
  shape.longitude = longitude;
  shape.latitude = latitude;
  return true;
}

/** Reads radius and unit from argument `i` on. False after an error. */
function readRadius(call: Call, i: number): boolean {
  const { reply } = call;
  const radius = numberAt(call, i);
  if (!(radius >= 0)) {
    reply.error(Number.isNaN(radius) ? Errors.radius : Errors.radiusNegative);
    return false;
  }
  shape.isBox = false;
  shape.radius = radius;
  shape.metres = readUnit(call, i + 1);
  return shape.metres !== 0;
}

/** Reads width, height and unit from argument `i` on. False after an error. */
function readBox(call: Call, i: number): boolean {
  const { reply } = call;
  const width = numberAt(call, i);
  const height = numberAt(call, i + 1);
  if (!(width >= 0 && height >= 0)) {
    const wrong = Number.isNaN(width)
      ? Errors.boxWidth
      : Number.isNaN(height)
        ? Errors.boxHeight
        : Errors.boxNegative;
    reply.error(wrong);
    return false;
  }
  shape.isBox = true;
  shape.width = width;
  shape.height = height;
  shape.metres = readUnit(call, i + 2);
  return shape.metres !== 0;
}

/** Reads the options from argument `first` on into `search` and `shape`; the source is in `sorted` when it is `there`. False
 *  after an error. */
function readOptions(call: Call, first: number, from: From, mayStore: boolean, there: boolean): boolean {
  const { argc, reply } = call;
  const bySearch = from === From.Options;
  for (let i = first; i < argc; i++) {
    const left = argc - i - 1;
    if (call.is(i, "withdist")) search.withDistance = true;
    else if (call.is(i, "withhash")) search.withHash = true;
    else if (call.is(i, "withcoord")) search.withPlace = true;
    else if (call.is(i, "any")) search.any = true;
    else if (call.is(i, "asc")) search.order = Order.Nearest;
    else if (call.is(i, "desc")) search.order = Order.Farthest;
    else if (left >= 1 && call.is(i, "count")) {
      const count = parseInteger(call.input.u8, call.start[++i]!, call.length[i]!);
      if (!(count > 0)) {
        reply.error(Number.isNaN(count) ? Errors.notAnInteger : Errors.geoCount);
        return false;
      }
      search.count = count;
    } else if (left >= 1 && mayStore && !bySearch && call.is(i, "store")) {
      search.store = ++i;
      search.storeDistances = false;
    } else if (left >= 1 && mayStore && !bySearch && call.is(i, "storedist")) {
      search.store = ++i;
      search.storeDistances = true;
    } else if (mayStore && bySearch && call.is(i, "storedist")) search.storeDistances = true;
    else if (bySearch && left >= 1 && !search.fromPlace && call.is(i, "frommember")) {
      if (there && !readMember(call, i + 1)) return false;
      search.fromMember = true;
      i++;
    } else if (bySearch && left >= 2 && !search.fromMember && call.is(i, "fromlonlat")) {
      if (!readCentre(call, i + 1)) return false;
      search.fromPlace = true;
      i += 2;
    } else if (bySearch && left >= 2 && !search.byBox && call.is(i, "byradius")) {
      if (!readRadius(call, i + 1)) return false;
      search.byRadius = true;
      i += 2;
    } else if (bySearch && left >= 3 && !search.byRadius && call.is(i, "bybox")) {
      if (!readBox(call, i + 1)) return false;
      search.byBox = true;
      i += 3;
    } else {
      reply.error(Errors.syntax);
      return false;
    }
  }
  return true;
}

/** What is wrong with the options together, "" for nothing. */
function conflict(call: Call, from: From): string {
  const replied = search.withDistance || search.withHash || search.withPlace;
  if (search.store !== 0 && replied)
    return from === From.Options ? Errors.geosearchStore : Errors.georadiusStore;
  if (from === From.Options) {
    if (!search.fromMember && !search.fromPlace)
      return geosearchNeedsOne("FROMMEMBER or FROMLONLAT", call.text(0));
    if (!search.byRadius && !search.byBox) return geosearchNeedsOne("BYRADIUS and BYBOX", call.text(0));
  }
  return search.any && search.count === 0 ? Errors.geoAny : "";
}

/** Every search. `store` is GEOSEARCHSTORE's destination, 0 elsewhere; `mayStore` whether options may name one. */
function searchPlaces(call: Call, from: From, store: number, mayStore: boolean): void {
  const { reply } = call;
  search.order = Order.None;
  search.count = 0;
  search.any = false;
  search.withDistance = false;
  search.withHash = false;
  search.withPlace = false;
  search.store = store;
  search.storeDistances = false;
  search.fromMember = false;
  search.fromPlace = false;
  search.byRadius = false;
  search.byBox = false;

  const source = store + 1;
  const opened = openRead(call, source);
  if (opened === -1) return;
  const there = opened === 1;
  let first = source + 1;
  if (from === From.Place) {
    if (!readCentre(call, 2) || !readRadius(call, 4)) return;
    first = 6;
  } else if (from === From.Member) {
    if (there && (!readMember(call, 2) || !readRadius(call, 3))) return;
    first = 5;
  }
  if (!readOptions(call, first, from, mayStore, there)) return;
  const wrong = conflict(call, from);
  if (wrong !== "") return reply.error(wrong);

  // The nearest, when a number of hits is asked for and not just any.
  if (search.count > 0 && search.order === Order.None && !search.any) search.order = Order.Nearest;
  const wanted = search.count > 0 ? search.count : Number.POSITIVE_INFINITY;
  hits.begin(wanted, null, 0, false);
  if (there) collect();
  if (search.order !== Order.None) hits.sort();
  const count = Math.min(wanted, hits.count);
  if (search.store === 0) replyHits(call, count);
  else storeHits(call, count, from === From.Options ? Event.GeoSearchStore : Event.GeoRadiusStore);
  hits.clear();
}

/** Notes every place of `sorted` within the shape, with ANY as many as were asked for. */
function collect(): void {
  const most = search.any ? search.count : Number.POSITIVE_INFINITY;
  const sign = search.order === Order.Farthest ? -1 : 1;
  const count = areas(shape);
  for (let i = 0; i < count; i++) {
    const limit = areaLimit[i]!;
    let rank = sorted.rankOfScore(areaLeast[i]!, false);
    for (let more = sorted.seekRank(rank); more && sorted.score < limit; more = sorted.next()) {
      decode(sorted.score);
      const metres = distanceWithin(shape, longitude, latitude);
      if (!Number.isNaN(metres)) {
        hits.add(metres * sign, rank);
        if (hits.count >= most) return;
      }
      rank++;
    }
  }
}

/** Moves the cursor of `sorted` from the hit before, at rank `before`, to hit `i` and returns its rank. */
function toHit(i: number, before: number): number {
  const rank = hits.numbers[i]!;
  if (rank === before + 1 && before >= 0) sorted.next();
  else sorted.seekRank(rank);
  return rank;
}

/** Distance of hit `i` in the unit of the search. */
function hitDistance(i: number): number {
  return Math.abs(hits.keys[i]!) / shape.metres;
}

function replyHits(call: Call, count: number): void {
  const { reply } = call;
  const { withDistance, withHash, withPlace } = search;
  const parts = 1 + (withDistance ? 1 : 0) + (withHash ? 1 : 0) + (withPlace ? 1 : 0);
  reply.array(count);
  let rank = -1;
  for (let i = 0; i < count; i++) {
    rank = toHit(i, rank);
    if (parts > 1) reply.array(parts);
    reply.bulk(sorted.region, sorted.start, sorted.bytes);
    if (withDistance) replyDistance(call, hitDistance(i));
    if (withHash) reply.integer(Math.trunc(sorted.score));
    if (withPlace) {
      decode(sorted.score);
      replyPlace(call);
    }
  }
}

/** Stores the first `count` hits, with their scores or their distances, which is `event`, and replies how many they are. */
function storeHits(call: Call, count: number, event: Event): void {
  beginResult(call.locate(search.store).allocator);
  let rank = -1;
  for (let i = 0; i < count; i++) {
    rank = toHit(i, rank);
    const { region, start, bytes } = sorted;
    const score = search.storeDistances ? hitDistance(i) : sorted.score;
    if (!result.find(region, start, bytes) && !result.insert(score, region, start, bytes)) {
      refuseResult(call);
      return;
    }
  }
  storeResult(call, search.store, call.placeAt(1), event);
}

// Rows

const read: readonly KeySpec[] = [{ first: 1, last: 0, step: 1, flags: ["RO", "access"] }];

/** A source, and the destinations that two words announce from argument `first` on. */
function announced(first: number): readonly KeySpec[] {
  const target = { find: "keyword", first, last: 0, step: 1, flags: ["OW", "update"] } as const;
  return [...read, { ...target, keyword: "STORE" }, { ...target, keyword: "STOREDIST" }];
}

const family = { scope: Scope.Keys, tier: Tier.Extended, group: "geo", since: "3.2.0" } as const;
const reading = { ...family, flags: Flag.ReadOnly, keys: read, acl: ["read", "geo", "slow"] } as const;
const writing = { ...family, flags: Flag.Write | Flag.DenyOom, acl: ["write", "geo", "slow"] } as const;
/** Whose destination may be anywhere among the arguments. */
const announcing = {
  ...writing,
  flags: Flag.Write | Flag.DenyOom | Flag.MovableKeys,
  scope: Scope.All,
} as const;
const perArea = "O(N+log(M)) in the members around the place that are looked at and all members";
const unitSyntax = "<m | km | ft | mi>";
const replySyntax = "[ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]";
const centreSyntax = "<FROMMEMBER member | FROMLONLAT longitude latitude>";
const shapeSyntax = `<BYRADIUS radius ${unitSyntax} | BYBOX width height ${unitSyntax}>`;
const storeSyntax = "[STORE key | STOREDIST key]";

export const geoCommands: readonly Row[] = [
  {
    ...writing,
    name: "geoadd",
    arity: -5,
    keys: [{ first: 1, last: 0, step: 1, flags: ["RW", "update"] }],
    complexity: "O(log(N)) for each member given",
    summary: "Adds places to a sorted set, which is created if it is not there, or moves them.",
    syntax: "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
    handler: geoadd,
  },
  {
    ...reading,
    name: "geopos",
    arity: -2,
    complexity: "O(1) for each member asked for",
    summary: "Returns longitude and latitude of members.",
    syntax: "key [member ...]",
    handler: geopos,
  },
  {
    ...reading,
    name: "geodist",
    arity: -4,
    complexity: "O(1)",
    summary: "Returns the distance between two members.",
    syntax: "key member1 member2 [m | km | ft | mi]",
    handler: geodist,
  },
  {
    ...reading,
    name: "geohash",
    arity: -2,
    complexity: "O(1) for each member asked for",
    summary: "Returns members' places as geohash strings.",
    syntax: "key [member ...]",
    handler: geohash,
  },
  {
    ...reading,
    name: "geosearch",
    arity: -7,
    since: "6.2.0",
    complexity: perArea,
    summary: "Returns the members within a circle or a box.",
    syntax: `key ${centreSyntax} ${shapeSyntax} ${replySyntax}`,
    handler: (call) => searchPlaces(call, From.Options, 0, false),
  },
  {
    ...writing,
    name: "geosearchstore",
    arity: -8,
    keys: [
      { first: 1, last: 0, step: 1, flags: ["OW", "update"] },
      { first: 2, last: 0, step: 1, flags: ["RO", "access"] },
    ],
    since: "6.2.0",
    complexity: perArea,
    summary: "Stores the members within a circle or a box, with their places or their distances.",
    syntax: `destination source ${centreSyntax} ${shapeSyntax} [ASC | DESC] [COUNT count [ANY]] [STOREDIST]`,
    handler: (call) => searchPlaces(call, From.Options, 1, true),
  },
  {
    ...announcing,
    name: "georadius",
    arity: -6,
    keys: announced(6),
    complexity: perArea,
    summary: "Returns or stores the members within a circle around a place.",
    syntax: `key longitude latitude radius ${unitSyntax} ${replySyntax} ${storeSyntax}`,
    handler: (call) => searchPlaces(call, From.Place, 0, true),
  },
  {
    ...announcing,
    name: "georadiusbymember",
    arity: -5,
    keys: announced(5),
    complexity: perArea,
    summary: "Returns or stores the members within a circle around a member.",
    syntax: `key member radius ${unitSyntax} ${replySyntax} ${storeSyntax}`,
    handler: (call) => searchPlaces(call, From.Member, 0, true),
  },
  {
    ...reading,
    name: "georadius_ro",
    arity: -6,
    since: "3.2.10",
    complexity: perArea,
    summary: "Returns the members within a circle around a place.",
    syntax: `key longitude latitude radius ${unitSyntax} ${replySyntax}`,
    handler: (call) => searchPlaces(call, From.Place, 0, false),
  },
  {
    ...reading,
    name: "georadiusbymember_ro",
    arity: -5,
    since: "3.2.10",
    complexity: perArea,
    summary: "Returns the members within a circle around a member.",
    syntax: `key member radius ${unitSyntax} ${replySyntax}`,
    handler: (call) => searchPlaces(call, From.Member, 0, false),
  },
];
