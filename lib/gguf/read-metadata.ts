/** Reading the key-value part of a GGUF header. */
import type { HeaderCursor } from "./cursor.ts";
import { ggufError, type NumericType, TYPED_ARRAYS, VALUE_TYPE } from "./layout.ts";
import type { GgufArray, GgufMetadata, GgufScalar, GgufValue } from "./types.ts";

/** Published files have some 30 to 60 keys. */
const MAX_KEYS = 65_536;

/** The largest vocabularies have 262 k tokens and 580 k merges. A JavaScript string costs far more than its 8 bytes here. */
const MAX_STRINGS = 4 * 1024 * 1024;

/** Key length, one character, value type, one byte of value. */
const MIN_KEY_BYTES = 8 + 1 + 4 + 1;

/** A length, even of an empty string. */
const MIN_STRING_BYTES = 8;

type ValueType = GgufScalar["type"] | "array";

const TYPE_NAMES: ReadonlyMap<number, ValueType> = new Map(
  Object.entries(VALUE_TYPE).map(([name, number]) => [number, name as ValueType]),
);

/** Reads `count` keys with their values; `count` is unchecked. */
export async function readMetadata(cursor: HeaderCursor, count: number): Promise<GgufMetadata> {
  if (count > MAX_KEYS) throw ggufError(cursor.path, `it claims ${count} metadata keys, more than ${MAX_KEYS}`);
  cursor.requireRoom(count, MIN_KEY_BYTES, "the metadata");
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = await cursor.name(`metadata key ${i}`);
    if (metadata.has(key)) throw ggufError(cursor.path, `the key ${key} appears twice`);
    metadata.set(key, await readValue(cursor, `the value of ${key}`));
  }
  return metadata;
}

async function readValue(cursor: HeaderCursor, what: string): Promise<GgufValue> {
  const type = await readType(cursor, what);
  if (type === "string") return { type, value: await cursor.string(what) };
  if (type === "bool") return { type, value: await readBool(cursor, what) };
  if (type === "array") return readArray(cursor, what);
  const [value] = await readNumbers(cursor, type, 1, what);
  return { type, value } as GgufScalar;
}

async function readType(cursor: HeaderCursor, what: string): Promise<ValueType> {
  const number = await cursor.u32(what);
  const name = TYPE_NAMES.get(number);
  if (name === undefined) throw ggufError(cursor.path, `${what} has type ${number}, which does not exist`);
  return name;
}

async function readArray(cursor: HeaderCursor, what: string): Promise<GgufArray> {
  const of = await readType(cursor, what);
  const length = await cursor.u64(what);
  // llama.cpp refuses nested arrays too; allowing them would make the nesting depth one more thing to bound.
  if (of === "array") throw ggufError(cursor.path, `${what} is an array of arrays`);
  if (of === "string") return { type: "array", of, value: await readStrings(cursor, length, what) };
  if (of === "bool") return { type: "array", of, value: await readBools(cursor, length, what) };
  return { type: "array", of, value: await readNumbers(cursor, of, length, what) } as GgufArray;
}

async function readStrings(cursor: HeaderCursor, length: number, what: string): Promise<string[]> {
  if (length > MAX_STRINGS) throw ggufError(cursor.path, `${what} claims ${length} strings, more than ${MAX_STRINGS}`);
  cursor.requireRoom(length, MIN_STRING_BYTES, what);
  const strings: string[] = [];
  for (let i = 0; i < length; i++) strings.push(await cursor.string(what));
  return strings;
}

async function readBools(cursor: HeaderCursor, length: number, what: string): Promise<boolean[]> {
  if (length > MAX_STRINGS) throw ggufError(cursor.path, `${what} claims ${length} booleans, more than ${MAX_STRINGS}`);
  cursor.requireRoom(length, 1, what);
  const bools: boolean[] = [];
  for (let i = 0; i < length; i++) bools.push(await readBool(cursor, what));
  return bools;
}

async function readBool(cursor: HeaderCursor, what: string): Promise<boolean> {
  const byte = await cursor.u8(what);
  if (byte > 1) throw ggufError(cursor.path, `${what} is a boolean stored as ${byte}`);
  return byte === 1;
}

/** The bytes as they are: every platform that llama.cpp's packages exist for is little-endian. */
async function readNumbers(cursor: HeaderCursor, type: NumericType, length: number, what: string) {
  const Numbers = TYPED_ARRAYS[type];
  cursor.requireRoom(length, Numbers.BYTES_PER_ELEMENT, what);
  const numbers = new Numbers(length);
  new Uint8Array(numbers.buffer).set(await cursor.bytes(numbers.byteLength, what));
  return numbers;
}
