// geohash.ts: places on Earth as the 52-bit scores of a sorted set, and which scores a search has to look at.
//
// A score interleaves 26 bits of latitude (even bits) and of longitude (odd bits), each the place's share of -85.05112878
// .. 85.05112878 and -180 .. 180; a place at the upper end of a range has one bit more. It decodes to the centre of its
// cell. A search takes the cell of its centre, large enough that the cell and its eight neighbours cover the shape, and
// leaves out neighbours that the shape cannot reach.
// Every operation is Redis's in its order, so that doubles agree bit for bit; angles go through the system's sin and cos.
// Pure; allocates nothing: a place is left in `longitude` and `latitude`, ranges in `areaLeast` and `areaLimit`, valid
// until the next call. Neighbours: engine/commands has the commands, sorted sets hold the scores.

const LONGITUDE = 180;
const LATITUDE = 85.05112878;
const BITS = 26;
const RADIANS = Math.PI / 180;
const EARTH_METRES = 6372797.560856;
const MERCATOR_METRES = 20037726.37;

/** Whether a place can be had: its latitude is not too near a pole. */
export function isPlace(lon: number, lat: number): boolean {
  return lon >= -LONGITUDE && lon <= LONGITUDE && lat >= -LATITUDE && lat <= LATITUDE;
}

/** Metres in a unit, 0 for one that is none; the name in lower case. */
export function unitMetres(name: string): number {
  switch (name) {
    case "m":
      return 1;
    case "km":
      return 1000;
    case "ft":
      return 0.3048;
    case "mi":
      return 1609.34;
    default:
      return 0;
  }
}

// Scores

/** The low 16 bits of a number, apart: bit i at 2i. */
function spread(bits: number): number {
  bits &= 0xffff;
  bits = (bits | (bits << 8)) & 0x00ff00ff;
  bits = (bits | (bits << 4)) & 0x0f0f0f0f;
  bits = (bits | (bits << 2)) & 0x33333333;
  return (bits | (bits << 1)) & 0x55555555;
}

/** The even bits of a word, together: bit 2i at i. */
function gather(bits: number): number {
  bits &= 0x55555555;
  bits = (bits | (bits >>> 1)) & 0x33333333;
  bits = (bits | (bits >>> 2)) & 0x0f0f0f0f;
  bits = (bits | (bits >>> 4)) & 0x00ff00ff;
  return (bits | (bits >>> 8)) & 0xffff;
}

/** A cell's number among those of its size, as a double: up to 54 bits. */
function interleave(lat: number, lon: number): number {
  const low = (spread(lat) | (spread(lon) << 1)) >>> 0;
  const high = (spread(lat >>> 16) | (spread(lon >>> 16) << 1)) >>> 0;
  return high * 2 ** 32 + low;
}

/** Which of 2^bits parts of -limit .. limit a coordinate lies in. */
function part(value: number, limit: number, bits: number): number {
  return Math.floor(((value + limit) / (limit + limit)) * 2 ** bits);
}

/** The score of a place that isPlace. */
export function encode(lon: number, lat: number): number {
  return interleave(part(lat, LATITUDE, BITS), part(lon, LONGITUDE, BITS));
}

/** The place that `decode` found. */
export let longitude = 0;
export let latitude = 0;

/** Sets `longitude` and `latitude` to the centre of a score's cell. Takes any double, as a sorted set does. */
export function decode(score: number): void {
  // What C makes of it as 64 bits without sign, in two words.
  let bits = Math.trunc(score);
  if (bits >= 2 ** 64) bits = 0;
  else if (bits < -(2 ** 63)) bits = -(2 ** 63);
  const high = Math.floor(bits / 2 ** 32);
  const low = bits - high * 2 ** 32;
  const lat = (gather(low) | (gather(high) << 16)) >>> 0;
  const lon = (gather(low >>> 1) | (gather(high >>> 1) << 16)) >>> 0;
  longitude = centre(lon, LONGITUDE);
  latitude = centre(lat, LATITUDE);
}

function centre(cell: number, limit: number): number {
  const middle = (edge(cell, limit, BITS) + edge((cell + 1) >>> 0, limit, BITS)) / 2;
  return Math.min(limit, Math.max(-limit, middle));
}

/** Where part `cell` of 2^bits begins. */
function edge(cell: number, limit: number, bits: number): number {
  return -limit + (cell / 2 ** bits) * (limit + limit);
}

const alphabet = "0123456789bcdefghjkmnpqrstuvwxyz";

/** Bytes of a geohash string. */
export const GEOHASH_BYTES = 11;

/** Writes the 11 characters of a score's geohash, in which latitudes go to 90, to u8[at ..). The 52 bits fill ten and a
 *  part; the last is always 0. */
export function writeGeohash(u8: Uint8Array, at: number, score: number): void {
  decode(score);
  const lat = part(latitude, 90, BITS);
  const lon = part(longitude, LONGITUDE, BITS);
  const bits = interleave(lat, lon);
  for (let i = 0; i < GEOHASH_BYTES - 1; i++)
    u8[at + i] = alphabet.charCodeAt(Math.floor(bits / 2 ** (47 - i * 5)) % 32);
  u8[at + GEOHASH_BYTES - 1] = alphabet.charCodeAt(0);
}

// Distances

/** Metres between two places (haversine; along a meridian the difference of latitudes). */
export function distance(lon1: number, lat1: number, lon2: number, lat2: number): number {
  const v = Math.sin((lon2 * RADIANS - lon1 * RADIANS) / 2);
  if (v === 0) return latitudeDistance(lat1, lat2);
  const from = lat1 * RADIANS;
  const to = lat2 * RADIANS;
  const u = Math.sin((to - from) / 2);
  const a = u * u + Math.cos(from) * Math.cos(to) * v * v;
  return 2 * EARTH_METRES * Math.asin(Math.sqrt(a));
}

function latitudeDistance(lat1: number, lat2: number): number {
  return EARTH_METRES * Math.abs(lat2 * RADIANS - lat1 * RADIANS);
}

// Searches

/** What is searched: a circle or a box around a place. Lengths are in a unit of `metres` metres. */
export class Shape {
  longitude = 0;
  latitude = 0;
  metres = 1;
  isBox = false;
  /** Of a circle. */
  radius = 0;
  /** Of a box. */
  width = 0;
  height = 0;
}

/** Metres from the shape's centre to a place, NaN when the place lies outside. */
export function distanceWithin(shape: Shape, lon: number, lat: number): number {
  if (shape.isBox) {
    // The cheaper test first. Width is measured at the place's own latitude.
    if (latitudeDistance(lat, shape.latitude) > (shape.height * shape.metres) / 2) return Number.NaN;
    if (distance(lon, lat, shape.longitude, lat) > (shape.width * shape.metres) / 2) return Number.NaN;
    return distance(shape.longitude, shape.latitude, lon, lat);
  }
  const metres = distance(shape.longitude, shape.latitude, lon, lat);
  return metres > shape.radius * shape.metres ? Number.NaN : metres;
}

/** The ranges that `areas` found: scores from areaLeast[i] on and below areaLimit[i]. */
export const areaLeast = new Float64Array(9);
export const areaLimit = new Float64Array(9);

/** Longitude and latitude steps from the centre's cell, in the order in which Redis visits cells: itself, north, south,
 *  east, west, north-east, north-west, south-east, south-west. */
const eastward = [0, 0, 0, 1, -1, 1, -1, 1, -1];
const northward = [0, 1, -1, 0, 0, 1, 1, -1, -1];

/** How many bits a coordinate has in cells so large that nine of them cover that many metres around a latitude. */
function bitsFor(metres: number, lat: number): number {
  if (metres === 0) return BITS;
  let bits = 1;
  for (let range = metres; range < MERCATOR_METRES; range *= 2) bits++;
  bits -= 2;
  // Cells are narrower towards the poles.
  if (lat > 66 || lat < -66) bits--;
  if (lat > 80 || lat < -80) bits--;
  return Math.min(BITS, Math.max(1, bits));
}

/** A neighbour's part: round the Earth, and over the pole as well, as the bits have it. */
function moved(cell: number, by: number, bits: number): number {
  return by === 0 ? cell : (cell + by + 2 ** bits) % 2 ** bits;
}

/** Fills areaLeast and areaLimit with the ranges of scores that hold every place within the shape, in Redis's order, and
 *  returns how many there are: 1 to 9. For a shape as wide as the Earth a range may come twice. */
export function areas(shape: Shape): number {
  const { isBox, latitude: lat, longitude: lon, metres } = shape;
  const up = metres * (isBox ? shape.height / 2 : shape.radius);
  const aside = metres * (isBox ? shape.width / 2 : shape.radius);

  // The box around the shape; the side nearer to the pole is the wider one in degrees.
  const latDelta = up / EARTH_METRES / RADIANS;
  const widest = lat < 0 ? lat - latDelta : lat + latDelta;
  const lonDelta = aside / EARTH_METRES / Math.cos(widest * RADIANS) / RADIANS;
  const west = lon - lonDelta;
  const east = lon + lonDelta;
  const south = lat - latDelta;
  const north = lat + latDelta;

  const reach = isBox
    ? Math.sqrt((shape.width / 2) * (shape.width / 2) + (shape.height / 2) * (shape.height / 2))
    : shape.radius;
  let bits = bitsFor(reach * metres, lat);
  let x = part(lon, LONGITUDE, bits);
  let y = part(lat, LATITUDE, bits);
  // Near its cell's edge a shape may reach beyond the neighbour: then cells of twice the size.
  const short =
    edge(moved(y, 1, bits) + 1, LATITUDE, bits) < north ||
    edge(moved(y, -1, bits), LATITUDE, bits) > south ||
    edge(moved(x, 1, bits) + 1, LONGITUDE, bits) < east ||
    edge(moved(x, -1, bits), LONGITUDE, bits) > west;
  if (bits > 1 && short) {
    bits--;
    x = part(lon, LONGITUDE, bits);
    y = part(lat, LATITUDE, bits);
  }

  const careful = bits >= 2;
  const noSouth = careful && edge(y, LATITUDE, bits) < south;
  const noNorth = careful && edge(y + 1, LATITUDE, bits) > north;
  const noWest = careful && edge(x, LONGITUDE, bits) < west;
  const noEast = careful && edge(x + 1, LONGITUDE, bits) > east;
  const scale = 2 ** (2 * (BITS - bits));
  let count = 0;
  let last = -1;
  for (let i = 0; i < 9; i++) {
    const eastBy = eastward[i]!;
    const northBy = northward[i]!;
    if ((noSouth && northBy < 0) || (noNorth && northBy > 0)) continue;
    if ((noWest && eastBy < 0) || (noEast && eastBy > 0)) continue;
    const cell = interleave(moved(y, northBy, bits), moved(x, eastBy, bits));
    // The same neighbour on both sides comes once; the centre's own cell is not compared.
    if (last === cell) continue;
    areaLeast[count] = cell * scale;
    areaLimit[count] = (cell + 1) * scale;
    count++;
    if (i > 0) last = cell;
  }
  return count;
}
