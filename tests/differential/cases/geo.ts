// Geo: places and scores, distances, and searches of every shape, unit and option, near poles and the date line too.
// Hits without an order come as Redis finds them, area by area, and so do we: replies are compared byte for byte. Where
// COUNT cuts off hits that are equally far away, which of them stay is Redis's luck, so no case has such.

import { randomFrom } from "../generated.ts";
import { type Case, type Command, lines, stream } from "../harness.ts";

const units = ["m", "km", "ft", "mi"];

/** Cities, and places at the ends of the Earth. */
const cities: Command = [
  ..."GEOADD k 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 12.758489 38.788135 edge1".split(" "),
  ..."17.241510 38.788135 edge2 2.352222 48.856614 Paris -0.127758 51.507351 London".split(" "),
  ..."-74.0059413 40.7127837 Manhattan 151.209296 -33.868820 Sydney 0 0 origin".split(" "),
];
const ends: Command = [
  ..."GEOADD k 180 0 east -180 0 west 179.9 0.1 nearly -179.9 -0.1 beyond 0 85.05112878 north".split(" "),
  ..."0 -85.05112878 south 180 85.05112878 ne -180 -85.05112878 sw 90 85 n90 -90 85 n270 45 -85 s45".split(
    " ",
  ),
  ..."90 66.5 arctic 90 80.5 high -90 -66.5 antarctic 0.0001 0.0001 origin -0.0001 -0.0001 minus".split(" "),
];

/** Places spread over a box of so many degrees, in as many commands as it takes. */
function scattered(count: number, lon: number, lat: number, degrees: number, seed: number): Command[] {
  const random = randomFrom(seed);
  return Array.from({ length: Math.ceil(count / 100) }, (_, part) => [
    "GEOADD",
    "k",
    ...Array.from({ length: Math.min(100, count - part * 100) }, (_, i) => [
      String(Math.max(-180, Math.min(180, lon + (random() - 0.5) * degrees))),
      String(Math.max(-85, Math.min(85, lat + (random() - 0.5) * degrees))),
      `p${part * 100 + i}`,
    ]).flat(),
  ]);
}

function on(setup: readonly Command[], name: string, ...commands: (string | Command)[]): Case {
  return { name, commands: [...setup, ...lines(...commands)] };
}

const stored = ["ZRANGE d 0 -1 WITHSCORES", "OBJECT ENCODING d", "TTL d"];

const arguments_: Record<string, string[]> = {
  GEOADD: [
    "",
    "k 1 1",
    "k 1 1 a",
    "k 1 1 a 2",
    "k 1 1 a 2 2",
    "k 1 1 a 2 2 b",
    "k nx 1 1 Paris",
    "k XX 1 1 Paris",
    "k ch 1 1 Paris 2 2 b",
    "k CH NX 1 1 Paris 2 2 b",
    "k xx ch 1 1 Paris 2 2 b",
    "k nx xx 1 1 a",
    "k nx nx nx",
    "k ch ch ch",
    "k gt 1 1 a",
    "k incr 1 1 a",
    "k NX CH 1 1",
    "k x 1 a",
    "k 1 x a",
    "k x x a",
    "k 1 1 a x 1 b",
    "k 1 1 a 1 91 b",
    "k 181 1 a",
    "k -180.0000001 0 a",
    "k 180 85.05112879 a",
    "k inf 1 a",
    "k 1 -inf a",
    "k nan 1 a",
    "k 1e400 1 a",
    "k 1e300 1 a",
    "k -1e22 1e21 a",
    "k 200.0078125 100.0234375 a",
    "k 200.0000005 100.0000015 a",
    "k +1 1e1 a",
    "k 1. .5 a",
    "k 1 1 a 2 2 a",
    "k ch 1 1 a 1 1 a 2 2 a",
    "text 1 1 a",
    "text x 1 a",
    "text xx 1 1 a",
    "none xx 1 1 a",
    "none xx ch 1 1 a",
    "none nx 1 1 a",
  ],
  GEOPOS: ["", "k", "k Paris", "k Paris none London", "k 1", "none", "none a b", "text", "text a"],
  GEOHASH: ["", "k", "k Paris", "k Paris none Sydney origin", "none", "none a b", "text", "text a"],
  GEODIST: [
    "",
    "k Paris",
    "k Paris London",
    "k Paris London M",
    "k Paris London Km",
    "k Paris London FT",
    "k Paris London mi",
    "k Paris London yd",
    "k Paris London km km",
    "k Paris Paris",
    "k Paris none",
    "k none Paris",
    "none a b",
    "none a b yd",
    "none a b km km",
    "text a b",
    "text a b yd",
    "k origin Manhattan km",
    "k Sydney Palermo mi",
  ],
};

const plain: Case[] = Object.entries(arguments_).flatMap(([command, texts]) =>
  texts.map((text) =>
    on(
      [cities, ["SET", "text", "v"]],
      `${command} ${text}`,
      `${command}${text === "" ? "" : " "}${text}`,
      "GEOPOS k Paris a b",
      "ZRANGE k 0 -1 WITHSCORES",
      "EXISTS none",
    ),
  ),
);

const scores: Case[] = [
  stream(
    "scores, positions and hashes of special places",
    cities,
    ends,
    "ZRANGE k 0 -1 WITHSCORES",
    "GEOPOS k Palermo Catania Paris London Manhattan Sydney east west nearly beyond north south ne sw",
    "GEOPOS k n90 n270 s45 arctic high antarctic origin minus",
    "GEOHASH k Palermo Catania Paris London Manhattan Sydney east west nearly beyond north south ne sw",
    "GEOHASH k n90 n270 s45 arctic high antarctic origin minus",
  ),
  ...[1, 2, 3, 4, 5, 6, 7, 8].map((seed) => {
    const members = Array.from({ length: 60 }, (_, i) => `p${i}`).join(" ");
    return on(
      scattered(60, 0, 0, seed < 5 ? 360 : 10 ** (2 - seed / 2), seed),
      `scores, positions and hashes of 60 places, seed ${seed}`,
      "ZRANGE k 0 -1 WITHSCORES",
      `GEOPOS k ${members}`,
      `GEOHASH k ${members}`,
    );
  }),
  ...[1, 2, 3, 4].map((seed) =>
    on(
      scattered(40, 10, 10, 10 ** (3 - seed), seed),
      `distances between 40 places in every unit, seed ${seed}`,
      ...Array.from({ length: 39 }, (_, i) => `GEODIST k p${i} p${i + 1} ${units[i % 4]}`),
    ),
  ),
  stream(
    "distances across the date line and the poles",
    ends,
    ..."east west nearly beyond north south ne sw n90 n270 s45 arctic high antarctic origin minus"
      .split(" ")
      .flatMap((a, i, all) => [
        `GEODIST k ${a} ${all[(i + 1) % all.length]}`,
        `GEODIST k ${a} ${all[(i + 3) % 16]} km`,
      ]),
  ),
  stream(
    "scores that no place has",
    "ZADD k -1 a 0 b 1 c 1.5 d 4503599627370495 e 4503599627370496 f 4503599627370497.5 g 9007199254740992 h",
    "ZADD k 13510798882111488 i 18014398509481984 j 1e18 l",
    "GEOPOS k b c d e f g h i j l",
    "GEOHASH k b c d e f g h i j l",
    "GEODIST k b e",
    "GEOSEARCH k FROMLONLAT 0 0 BYRADIUS 20000 km ASC WITHHASH WITHDIST",
    "GEOSEARCH k FROMMEMBER d BYRADIUS 1 km ASC WITHHASH WITHDIST WITHCOORD",
  ),
  stream(
    "GEOADD keeps a deadline, STORE does not",
    cities,
    "PEXPIREAT k 4102444800000",
    "GEOADD k 1 1 a",
    "PEXPIRETIME k",
    "SET d v PXAT 4102444800000",
    "GEORADIUSBYMEMBER k Paris 500 km STORE d",
    "TTL d",
    "TYPE d",
  ),
];

// Searches

const centres = ["FROMMEMBER Palermo", "FROMLONLAT 15 37", "FROMLONLAT 0 50"];
const shapes = [
  "BYRADIUS 200 km",
  "BYRADIUS 1500 KM",
  "BYRADIUS 100000 m",
  "BYRADIUS 0 m",
  "BYRADIUS 0.5 mi",
  "BYRADIUS 500000 ft",
  "BYRADIUS 10000 km",
  "BYBOX 400 400 km",
  "BYBOX 100 3000 mi",
  "BYBOX 3000 100 Mi",
  "BYBOX 0 0 m",
  "BYBOX 400000 0 m",
  "BYBOX 1300000 1300000 ft",
];
const replies = [
  "",
  "WITHDIST",
  "WITHCOORD",
  "WITHHASH",
  "WITHDIST WITHHASH",
  "withcoord withdist",
  "WITHHASH WITHCOORD",
  "WITHCOORD WITHDIST WITHHASH",
];
const orders = [
  "",
  "ASC",
  "DESC",
  "ASC DESC",
  "desc asc",
  "COUNT 3",
  "COUNT 3 ASC",
  "DESC COUNT 3",
  "COUNT 100",
];

const searches: Case[] = [
  ...centres.flatMap((centre) =>
    shapes.map((shape) =>
      on(
        [cities],
        `GEOSEARCH ${centre} ${shape} with every reply and order`,
        ...replies.map((reply) => `GEOSEARCH k ${centre} ${shape} ASC ${reply}`.trimEnd()),
        ...orders.map((order) => `GEOSEARCH k ${shape} ${centre} WITHDIST ${order}`.trimEnd()),
      ),
    ),
  ),
  ...replies.map((reply) =>
    on(
      [cities],
      `GEORADIUS and its kin with ${reply || "nothing"}`,
      ...orders.flatMap((order) =>
        [
          `GEORADIUS k 15 37 2000 km ${reply} ${order}`,
          `GEORADIUS_RO k 15 37 2000 km ${order} ${reply}`,
          `GEORADIUSBYMEMBER k Paris 2000 km ${reply} ${order}`,
          `GEORADIUSBYMEMBER_RO k Paris 2000 km ${order} ${reply}`,
        ].map((text) => text.replace(/ +/g, " ").trimEnd()),
      ),
    ),
  ),
];

/** Centres, and radii in km that have been seen to choose every kind of area around them. */
const around = [
  "0 0",
  "0.0001 0.0001",
  "180 0",
  "-180 0",
  "179.95 10",
  "-179.95 -10",
  "0 85.05112878",
  "90 85",
  "-90 80.5",
  "10 66.5",
  "100 -67",
  "0 -85.05112878",
  "180 85.05112878",
  "-180 -85.05112878",
  "45 45",
];
const radii = [0.001, 0.05, 1, 15, 80, 300, 700, 1500, 3000];

const wide: Case[] = [
  ...around.map((centre) =>
    on(
      [ends, ...scattered(300, 0, 0, 360, 7)],
      `searches around ${centre}, in the order of areas`,
      ...radii.flatMap((km) => [
        `GEOSEARCH k FROMLONLAT ${centre} BYRADIUS ${km} km`,
        `GEOSEARCH k FROMLONLAT ${centre} BYBOX ${km * 2} ${km} km WITHDIST`,
        `GEOSEARCH k FROMLONLAT ${centre} BYBOX ${km / 2} ${km * 3} km DESC`,
        `GEORADIUS k ${centre} ${km} mi WITHDIST ASC`,
      ]),
    ),
  ),
  ...around.map((centre) =>
    on(
      [ends, ...scattered(60, 0, 0, 360, 8)],
      `shapes as wide as the Earth around ${centre}`,
      ...["5000 km", "8000 km", "12000 km", "20000 km", "30000 km", "1e9 km", "inf m", "1e300 km"].map(
        (radius) => `GEOSEARCH k FROMLONLAT ${centre} BYRADIUS ${radius}`,
      ),
      ...["9000 9000", "20000 100", "100 20000", "40000 40000", "inf 1", "1 inf", "inf inf"].map(
        (box) => `GEOSEARCH k FROMLONLAT ${centre} BYBOX ${box} km`,
      ),
    ),
  ),
  ...[1, 2, 3, 4, 5, 6].map((seed) => {
    const random = randomFrom(seed * 77);
    const degrees = [360, 90, 20, 3, 0.3, 0.01][seed - 1]!;
    const queries = Array.from({ length: 60 }, () => {
      const lon = Math.max(-180, Math.min(180, 12 + (random() - 0.5) * degrees)).toFixed(5);
      const lat = Math.max(-85, Math.min(85, 40 + (random() - 0.5) * degrees)).toFixed(5);
      const km = (random() * degrees * 50).toFixed(4);
      const shape =
        random() < 0.5 ? `BYRADIUS ${km}` : `BYBOX ${km} ${(Number(km) * random() * 2).toFixed(4)}`;
      const order = ["", " ASC", " DESC", " COUNT 5", " COUNT 40 DESC"][Math.floor(random() * 5)]!;
      return `GEOSEARCH k FROMLONLAT ${lon} ${lat} ${shape} km WITHDIST${order}`;
    });
    return on(
      scattered(seed % 2 === 0 ? 100 : 900, 12, 40, degrees, seed),
      `random searches, seed ${seed}`,
      ...queries,
    );
  }),
  ...[50, 2000].map((count) =>
    on(
      scattered(count, 50, 20, 8, 3),
      `ANY and COUNT among ${count} places`,
      ...[1, 2, 3, 10, 49, 50, 51, 500, 5000].flatMap((most) => [
        `GEOSEARCH k FROMLONLAT 50 20 BYRADIUS 500 km COUNT ${most} ANY`,
        `GEOSEARCH k FROMLONLAT 50 20 BYRADIUS 500 km ANY COUNT ${most} ASC`,
        `GEOSEARCH k FROMLONLAT 50 20 BYBOX 500 600 km ANY COUNT ${most} DESC WITHDIST`,
        `GEOSEARCH k FROMLONLAT 50 20 BYRADIUS 500 km COUNT ${most} WITHDIST`,
        `GEOSEARCH k FROMLONLAT 50 20 BYRADIUS 500 km DESC COUNT ${most} WITHHASH`,
        `GEORADIUS k 50 20 200 km COUNT ${most} ANY WITHDIST`,
      ]),
    ),
  ),
];

// Errors

const wrong = [
  "GEOSEARCH k",
  "GEOSEARCH k FROMMEMBER Paris BYRADIUS 1",
  "GEOSEARCH k FROMMEMBER Paris BYRADIUS 1 km km",
  "GEOSEARCH k FROMMEMBER nobody BYRADIUS 1 km",
  "GEOSEARCH k FROMMEMBER nobody FROMLONLAT x y z",
  "GEOSEARCH none FROMMEMBER nobody BYRADIUS 1 km",
  "GEOSEARCH none FROMMEMBER nobody BYRADIUS x km",
  "GEOSEARCH none FROMMEMBER nobody BYRADIUS 1 yd",
  "GEOSEARCH none FROMLONLAT 181 0 BYRADIUS 1 km",
  "GEOSEARCH none ASC ASC ASC ASC ASC",
  "GEOSEARCH none FROMLONLAT 1 1 BYRADIUS 1 km WITHDIST",
  "GEOSEARCH text FROMMEMBER nobody BYRADIUS 1 km",
  "GEOSEARCH text ASC ASC ASC ASC nonsense",
  "GEOSEARCH k ASC ASC ASC ASC ASC",
  "geoSearch k FROMLONLAT 1 1 ASC ASC ASC",
  "GEOSEARCH k BYRADIUS 1 km ASC ASC ASC",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 km BYBOX 1 1 km",
  "GEOSEARCH k FROMLONLAT 1 1 BYBOX 1 1 km BYRADIUS 1 km",
  "GEOSEARCH k FROMLONLAT 1 1 FROMMEMBER Paris BYRADIUS 1 km",
  "GEOSEARCH k FROMMEMBER Paris FROMLONLAT 1 1 BYRADIUS 1 km",
  "GEOSEARCH k FROMMEMBER Paris FROMMEMBER London BYRADIUS 1 m BYRADIUS 100 km",
  "GEOSEARCH k FROMLONLAT 2 48 FROMLONLAT 0 51 BYBOX 1 1 m BYBOX 200 200 km",
  "GEOSEARCH k FROMLONLAT 1 BYRADIUS 1 km ASC",
  "GEOSEARCH k FROMLONLAT x 1 BYRADIUS 1 km",
  "GEOSEARCH k FROMLONLAT 1 x BYRADIUS 1 km",
  "GEOSEARCH k FROMLONLAT 1 -86 BYRADIUS 1 km",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS -1 km",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS -0 km",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS -1 yd",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS x yd",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS nan km",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 yd COUNT 0",
  "GEOSEARCH k FROMLONLAT 1 1 BYBOX -1 1 km",
  "GEOSEARCH k FROMLONLAT 1 1 BYBOX 1 -1 km",
  "GEOSEARCH k FROMLONLAT 1 1 BYBOX -1 x km",
  "GEOSEARCH k FROMLONLAT 1 1 BYBOX x -1 km",
  "GEOSEARCH k FROMLONLAT 1 1 BYBOX x x yd",
  "GEOSEARCH k FROMLONLAT 1 1 BYBOX 1 1 yd",
  "GEOSEARCH k FROMLONLAT 1 1 BYBOX 1 1",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 km COUNT",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 km COUNT 0",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 km COUNT -1",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 km COUNT x",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 km COUNT 1.5",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 km COUNT 9223372036854775807",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 km COUNT -9223372036854775808",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 km COUNT 9223372036854775808",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 km ANY",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 km STORE d",
  "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 1 km STOREDIST",
  "GEOSEARCHSTORE d k FROMLONLAT 1 1 BYRADIUS 1 km STORE d",
  "GEOSEARCHSTORE d k FROMLONLAT 1 1 BYRADIUS 1 km STOREDIST d",
  "GEOSEARCHSTORE d k FROMLONLAT 1 1 BYRADIUS 1 km WITHDIST",
  "GEOSEARCHSTORE d k FROMLONLAT 1 1 BYRADIUS 1 km WITHCOORD ANY",
  "GEOSEARCHSTORE d k WITHHASH FROMLONLAT 1 1 ASC ASC ASC",
  "geosearchSTORE d k FROMLONLAT 1 1 ASC ASC ASC ASC",
  "GEOSEARCHSTORE d text FROMLONLAT 1 1 BYRADIUS 1 km",
  "GEOSEARCHSTORE d k FROMMEMBER nobody BYRADIUS 1 km",
  "GEOSEARCHSTORE d k FROMMEMBER Paris BYRADIUS 1",
  "GEORADIUS k 1 1 1",
  "GEORADIUS k 1 1 1 yd",
  "GEORADIUS k 1 1 x km",
  "GEORADIUS k 1 1 -1 km",
  "GEORADIUS k 181 1 1 km",
  "GEORADIUS k x 1 1 km",
  "GEORADIUS none 1 1 x km",
  "GEORADIUS none 1 1 1 yd",
  "GEORADIUS none 1 1 1 km",
  "GEORADIUS none 1 1 1 km nonsense",
  "GEORADIUS text 1 1 1 km",
  "GEORADIUS text x 1 1 km",
  "GEORADIUS k 1 1 1 km FROMMEMBER Paris",
  "GEORADIUS k 1 1 1 km BYRADIUS 1 km",
  "GEORADIUS k 1 1 1 km STORE",
  "GEORADIUS k 1 1 1 km STOREDIST",
  "GEORADIUS k 1 1 1 km STORE d WITHDIST",
  "GEORADIUS k 1 1 1 km WITHHASH STOREDIST d",
  "GEORADIUS k 1 1 1 km ANY STORE d WITHCOORD",
  "GEORADIUS k 1 1 1 km ANY",
  "GEORADIUS_RO k 1 1 1 km STORE d",
  "GEORADIUS_RO k 1 1 1 km STOREDIST d",
  "GEORADIUSBYMEMBER k Paris 1",
  "GEORADIUSBYMEMBER k Paris 1 yd",
  "GEORADIUSBYMEMBER k Paris x km",
  "GEORADIUSBYMEMBER k nobody x yd",
  "GEORADIUSBYMEMBER none nobody x yd",
  "GEORADIUSBYMEMBER none nobody x yd nonsense",
  "GEORADIUSBYMEMBER none nobody x yd ANY",
  "GEORADIUSBYMEMBER none nobody x yd STORE d",
  "GEORADIUSBYMEMBER text nobody x yd",
  "GEORADIUSBYMEMBER_RO k Paris 1 km STORE d",
];

const errors: Case[] = [
  ...wrong.map((text) =>
    on(
      [cities, ["SET", "text", "v"], ["GEOADD", "d", "1", "1", "old"]],
      text,
      text,
      "ZRANGE d 0 -1 WITHSCORES",
    ),
  ),
];

// Storing. Distances as scores are printed by 7.0 with 17 digits and by us with the fewest: they are compared through the
// digest of what the case leaves.

const storing: Case[] = [
  ...["", "ASC", "DESC", "COUNT 2", "COUNT 2 DESC", "ANY COUNT 2", "COUNT 100"].map((order) =>
    on(
      [cities],
      `stored with ${order || "no order"}`,
      ...[
        `GEOSEARCHSTORE d k FROMMEMBER Paris BYRADIUS 2000 km ${order}`,
        `GEOSEARCHSTORE e1 k FROMMEMBER Paris BYRADIUS 2000 km STOREDIST ${order}`,
        `GEOSEARCHSTORE e2 k FROMLONLAT 15 37 BYBOX 600 700 mi ${order} storedist`,
        `GEORADIUS k 15 37 400 km ${order} STORE d`,
        `GEORADIUS k 15 37 400000 m STOREDIST e3 ${order}`,
        `GEORADIUSBYMEMBER k Catania 400 mi ${order} storedist e4`,
        `GEORADIUSBYMEMBER k Catania 400 ft STORE d ${order}`,
      ].flatMap((text) => [text.trimEnd(), ...stored]),
      ...["e1", "e2", "e3", "e4"].map((key) => `ZRANGE ${key} 0 -1`),
    ),
  ),
  stream(
    "the last of STORE and STOREDIST counts",
    cities,
    "GEORADIUS k 15 37 400 km STORE d STOREDIST e",
    "GEORADIUS k 15 37 400 km STOREDIST e STORE d",
    "ZRANGE d 0 -1 WITHSCORES",
    "ZRANGE e 0 -1",
    "EXISTS d e",
  ),
  ...["GEOSEARCHSTORE d k FROMLONLAT -100 -60 BYRADIUS 1 km", "GEORADIUS k -100 -60 1 km STORE d"].map(
    (text) => stream(`nothing stored: ${text}`, cities, "SET d v", text, "EXISTS d", text, "EXISTS d"),
  ),
  ...[
    "GEOSEARCHSTORE d none FROMLONLAT -100 -60 BYRADIUS 1 km",
    "GEORADIUS none 1 1 1 km STOREDIST d",
    "GEORADIUSBYMEMBER none x 1 km STORE d",
  ].map((text) => stream(`nothing to search: ${text}`, "SADD d a", text, "EXISTS d", text, "DBSIZE")),
  stream(
    "stored over the source",
    cities,
    "GEOSEARCHSTORE k k FROMMEMBER Paris BYRADIUS 2000 km",
    "ZRANGE k 0 -1 WITHSCORES",
    "GEORADIUSBYMEMBER k Paris 1000 km STOREDIST k",
    "ZRANGE k 0 -1",
    "COPY k copied",
    "GEORADIUS k -100 -60 1 m STORE k",
    "EXISTS k",
  ),
  ...["SET d v", "RPUSH d a b", "SADD d a b", "HSET d a b"].map((old) =>
    stream(`stored over ${old}`, cities, old, "GEORADIUS k 15 37 400 km STORE d", "TYPE d", ...stored),
  ),
  ...[5, 100, 129, 700].map((count) =>
    on(
      scattered(count, 10, 10, 4, count),
      `${count} hits stored: their form`,
      "GEOSEARCHSTORE d k FROMLONLAT 10 10 BYRADIUS 5000 km",
      "OBJECT ENCODING d",
      "ZCARD d",
      "ZRANGE d 0 -1 WITHSCORES",
      "GEOSEARCHSTORE d k FROMLONLAT 10 10 BYRADIUS 100 km STOREDIST",
      "OBJECT ENCODING d",
      "ZRANGE d 0 -1",
    ),
  ),
  stream(
    "a long member stored",
    ["GEOADD", "k", "1", "1", "m".repeat(65), "1.1", "1", "short"],
    "OBJECT ENCODING k",
    "GEORADIUS k 1.1 1 1 km STORE d",
    "OBJECT ENCODING d",
    "GEORADIUS k 1.1 1 1000 km STORE d",
    "OBJECT ENCODING d",
    "GEOSEARCH k FROMMEMBER short BYRADIUS 1000 km DESC WITHDIST",
  ),
];

const members: Case[] = [
  {
    name: "members of any bytes",
    commands: [
      [
        "GEOADD",
        "k",
        "1",
        "1",
        "\x00\r\n\xff",
        "1.01",
        "1",
        "",
        "1.02",
        "1",
        "12345",
        "1.03",
        "1",
        "-7",
        "1.04",
        "1",
        "x".repeat(5000),
      ],
      ...lines(
        "GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 100 km DESC WITHDIST",
        "GEOSEARCH k FROMMEMBER 12345 BYRADIUS 2 km ASC",
        "GEOSEARCHSTORE d k FROMMEMBER -7 BYRADIUS 100 km ASC COUNT 3",
        "ZRANGE d 0 -1",
      ),
      ["GEOPOS", "k", "\x00\r\n\xff", "", "12345"],
      ["GEOHASH", "k", "", "x".repeat(5000)],
      ["GEODIST", "k", "", "\x00\r\n\xff", "ft"],
    ],
  },
  stream(
    "places in a set of other scores, and of other types",
    "ZADD k 1 a 2 b 3 c",
    "GEOADD k 13 38 a",
    "GEOADD k nx 13 38 b",
    "ZRANGE k 0 -1 WITHSCORES",
    "GEORADIUS k 13 38 1 km WITHHASH",
    "ZREM k a",
    "GEORADIUS k 13 38 1 km",
    "LPUSH l a",
    "GEOADD l 1 1 a",
    "GEOPOS l a",
    "GEOHASH l a",
    "GEODIST l a b",
    "GEOSEARCH l FROMLONLAT 1 1 BYRADIUS 1 km",
    "GEOSEARCHSTORE d l FROMLONLAT 1 1 BYRADIUS 1 km",
    "GEORADIUS l 1 1 1 km STORE d",
    "GEORADIUSBYMEMBER l a 1 km",
  ),
];

const keys: Case[] = [
  ...[
    "GEORADIUS k 1 1 1 km",
    "GEORADIUS k 1 1 1 km STORE d",
    "GEORADIUS k 1 1 1 km ASC STOREDIST d",
    "GEORADIUSBYMEMBER k a 1 km STOREDIST d",
    "GEORADIUSBYMEMBER k a 1 km COUNT 1 STORE d ASC",
    "GEORADIUS_RO k 1 1 1 km",
    "GEORADIUSBYMEMBER_RO k a 1 km",
    "GEOSEARCHSTORE d k FROMMEMBER a BYRADIUS 1 km",
    "GEOSEARCH k FROMMEMBER a BYRADIUS 1 km",
    "GEOADD k 1 1 a",
    "GEOPOS k a",
  ].map((text) => stream(`COMMAND GETKEYS ${text}`, `COMMAND GETKEYS ${text}`)),
];

export const geoCases: Case[] = [
  ...plain,
  ...scores,
  ...searches,
  ...wide,
  ...errors,
  ...storing,
  ...members,
  ...keys,
];
