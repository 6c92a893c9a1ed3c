// digest.ts: DEBUG DIGEST and DIGEST-VALUE: what a value is, whatever form it is kept in, as 40 hexadecimal digits that
// equal Redis's of the same data, so that two servers can be compared.
//
// d begins as 20 zero bytes. xor(d, p) is d xor SHA1(p) and takes parts in any order, mix(d, p) is SHA1(xor(d, p)) and
// takes them in theirs.
//   value    mix the type as 4 bytes, highest first (string 0, list 1, set 2, zset 3, hash 4), then
//            string: mix its bytes; list: mix each element; set: xor each member;
//            zset, hash: for each e = mix(mix(0, member or field), score or value), xor e;
//            a field with a deadline xors "!!hexpire!!" to its e, a key with one "!!expire!!" to the value
//   dataset  mix the number of each database that has keys; xor mix(0, key) with its value mixed on, for each key
// Scores are the text that "%.17g" gives, as in Redis 7.0; newer ones write the shortest, equal where 17 digits are not
// needed. Deadlines count by being there. Of a hash, fields that are due do not count.
// Cold; allocates. Neighbours: debug.ts has the subcommands; dump.ts walks values the same way.
import { createHash } from "node:crypto";
import { Type } from "../memory/record.ts";
import type { Region } from "../memory/region.ts";
import { Place } from "../shard/place.ts";
import { DATABASES } from "../shard/shard.ts";
import { DOUBLE_TEXT_BYTES, writeDouble17 } from "../types/double.ts";
import { Hash } from "../types/hash.ts";
import { List } from "../types/list.ts";
import { MemberSet } from "../types/set.ts";
import { SortedSet } from "../types/sorted-set.ts";
import type { Call } from "./call.ts";

const DIGEST_BYTES = 20;

const list = new List();
const members = new MemberSet();
const sortedSet = new SortedSet();
const hash = new Hash();

function sha1(bytes: Uint8Array): Uint8Array {
  return createHash("sha1").update(bytes).digest();
}

function xorPart(digest: Uint8Array, part: Uint8Array): void {
  const bits = sha1(part);
  for (let i = 0; i < DIGEST_BYTES; i++) digest[i] = digest[i]! ^ bits[i]!;
}

function mixPart(digest: Uint8Array, part: Uint8Array): void {
  xorPart(digest, part);
  digest.set(sha1(digest));
}

/** The bytes of a text, as a view that holds until they change. */
function bytesOf(region: Region, start: number, bytes: number): Uint8Array {
  return region.u8.subarray(start, start + bytes);
}

/** A number as 4 bytes, the highest first. */
function word(value: number): Uint8Array {
  return new Uint8Array([value >>> 24, value >>> 16, value >>> 8, value]);
}

const keyDeadline = new TextEncoder().encode("!!expire!!");
const fieldDeadline = new TextEncoder().encode("!!hexpire!!");
const scoreText = new Uint8Array(DOUBLE_TEXT_BYTES);

/** Mixes the value at a place into a digest. */
function mixValue(place: Place, nowMs: number, digest: Uint8Array): void {
  switch (place.type) {
    case Type.String:
      mixPart(digest, word(0));
      mixPart(digest, bytesOf(place.region, place.valueStart, place.valueBytes));
      break;
    case Type.List:
      mixPart(digest, word(1));
      list.open(place);
      for (list.walk(); list.next(); ) mixPart(digest, bytesOf(list.region, list.start, list.bytes));
      break;
    case Type.Set:
      mixPart(digest, word(2));
      members.open(place);
      for (members.walk(); members.next(); )
        xorPart(digest, bytesOf(members.region, members.start, members.bytes));
      break;
    case Type.SortedSet:
      mixPart(digest, word(3));
      sortedSet.open(place);
      for (let more = sortedSet.seekRank(0); more; more = sortedSet.next()) {
        const element = new Uint8Array(DIGEST_BYTES);
        mixPart(element, bytesOf(sortedSet.region, sortedSet.start, sortedSet.bytes));
        mixPart(element, scoreText.subarray(0, writeDouble17(scoreText, 0, sortedSet.score)));
        xorPart(digest, element);
      }
      break;
    case Type.Hash:
      mixPart(digest, word(4));
      hash.open(place, nowMs);
      for (hash.walk(); hash.next(); ) {
        const element = new Uint8Array(DIGEST_BYTES);
        mixPart(element, bytesOf(hash.region, hash.start, hash.bytes));
        mixPart(element, bytesOf(hash.valueRegion, hash.valueStart, hash.valueBytes));
        if (hash.deadlineMs !== 0) xorPart(element, fieldDeadline);
        xorPart(digest, element);
      }
  }
  if (place.deadlineMs !== 0) xorPart(digest, keyDeadline);
}

function hex(digest: Uint8Array): string {
  return Buffer.from(digest).toString("hex");
}

/** DEBUG DIGEST */
export function digest(call: Call): void {
  const { keyspace, nowMs } = call;
  const all = new Uint8Array(DIGEST_BYTES);
  const place = new Place(call.shard);
  for (let db = 0; db < DATABASES; db++) {
    if (keyspace.keys(db) === 0) continue;
    mixPart(all, word(db));
    for (const shard of keyspace.shards) {
      shard.lock();
      try {
        const handles: number[] = [];
        shard.collect(db, handles);
        for (const handle of handles) {
          place.openHandle(shard, handle);
          const key = new Uint8Array(DIGEST_BYTES);
          mixPart(key, bytesOf(shard.region, shard.keyStart(), shard.keyBytes()));
          mixValue(place, nowMs, key);
          xorPart(all, key);
        }
      } finally {
        shard.unlock();
      }
    }
  }
  call.reply.simple(hex(all));
}

/** DEBUG DIGEST-VALUE key [key ...]: 20 zero bytes for a key that is not there. */
export function digestValue(call: Call): void {
  const { reply, place, nowMs } = call;
  reply.array(call.argc - 2);
  for (let i = 2; i < call.argc; i++) {
    const value = new Uint8Array(DIGEST_BYTES);
    const shard = call.locate(i);
    shard.lock();
    try {
      if (call.findPlace(i, place)) mixValue(place, nowMs, value);
    } finally {
      shard.unlock();
    }
    reply.simple(hex(value));
  }
}
