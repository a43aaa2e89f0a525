/** Encoding a GGUF v3 header: metadata and tensor descriptions to bytes, the same bytes for the same input. */
import { ScoreheadError } from "../errors.ts";
import { GGML_TYPES, type GgmlType, ggmlTypeNumber } from "./ggml-types.ts";
import { DEFAULT_ALIGNMENT, MAGIC, MAX_DIMS, MAX_TENSOR_NAME_BYTES, padded, VALUE_TYPE } from "./layout.ts";
import type { GgufArray, GgufMetadata, GgufScalar, GgufValue } from "./types.ts";

/** A tensor to be written. */
export interface TensorPlan {
  readonly name: string;
  /** ggml order: `dims[0]` is the row length. */
  readonly dims: readonly number[];
  /** The name of a ggml type. */
  readonly type: string;
}

/** The header's bytes, padded to where the tensor data starts, and each tensor's length in bytes. */
export interface EncodedHeader {
  readonly bytes: Uint8Array;
  readonly tensorBytes: readonly number[];
}

const INTEGER_RANGES = {
  u8: [0, 2 ** 8 - 1],
  i8: [-(2 ** 7), 2 ** 7 - 1],
  u16: [0, 2 ** 16 - 1],
  i16: [-(2 ** 15), 2 ** 15 - 1],
  u32: [0, 2 ** 32 - 1],
  i32: [-(2 ** 31), 2 ** 31 - 1],
} as const;

/** Encodes the header of a version 3 file with the default alignment. ERR_INTERNAL where the plan is not a valid file. */
export function encodeHeader(metadata: GgufMetadata, tensors: readonly TensorPlan[]): EncodedHeader {
  requireDistinctNames(tensors);
  if (metadata.has("general.alignment")) throw broken("general.alignment is the writer's, not the caller's");
  const out = new Encoder();
  out.u32(MAGIC);
  out.u32(3);
  out.u64(BigInt(tensors.length));
  out.u64(BigInt(metadata.size));
  for (const [key, value] of metadata) {
    if (key === "") throw broken("a metadata key is empty");
    out.string(key);
    encodeValue(out, key, value);
  }
  const tensorBytes = tensors.map(bytesOf);
  let offset = 0;
  for (const [index, tensor] of tensors.entries()) {
    out.string(tensor.name);
    out.u32(tensor.dims.length);
    for (const dim of tensor.dims) out.u64(BigInt(dim));
    out.u32(typeOf(tensor));
    out.u64(BigInt(offset));
    offset += padded(tensorBytes[index] ?? 0, DEFAULT_ALIGNMENT);
  }
  out.pad(DEFAULT_ALIGNMENT);
  return { bytes: out.finish(), tensorBytes };
}

function requireDistinctNames(tensors: readonly TensorPlan[]): void {
  const names = new Set<string>();
  for (const { name } of tensors) {
    if (name === "" || Buffer.byteLength(name) > MAX_TENSOR_NAME_BYTES)
      throw broken(`the tensor name "${name}" is not 1 to ${MAX_TENSOR_NAME_BYTES} bytes long`);
    if (names.has(name)) throw broken(`the tensor ${name} is planned twice`);
    names.add(name);
  }
}

/** Bytes of a tensor's data. ERR_INTERNAL where its dimensions are not those of a tensor, or no whole blocks. */
export function bytesOf({ name, dims, type }: TensorPlan): number {
  if (dims.length < 1 || dims.length > MAX_DIMS || dims.some((dim) => !Number.isSafeInteger(dim) || dim < 1))
    throw broken(`the tensor ${name} has the dimensions [${dims.join(", ")}]`);
  const { blockSize, blockBytes } = GGML_TYPES.get(typeOf({ name, type })) as GgmlType;
  if ((dims[0] as number) % blockSize !== 0) throw broken(`the rows of ${name} are no whole blocks of ${type}`);
  return (dims.reduce((product, dim) => product * dim, 1) / blockSize) * blockBytes;
}

function typeOf({ name, type }: Pick<TensorPlan, "name" | "type">): number {
  const number = ggmlTypeNumber(type);
  if (number === null) throw broken(`the tensor ${name} has the unknown type ${type}`);
  return number;
}

function encodeValue(out: Encoder, key: string, entry: GgufValue): void {
  out.u32(VALUE_TYPE[entry.type]);
  if (entry.type === "string") out.string(entry.value);
  else if (entry.type === "array") encodeArray(out, entry);
  else out.raw(scalarBytes(key, entry));
}

function encodeArray(out: Encoder, entry: GgufArray): void {
  out.u32(VALUE_TYPE[entry.of]);
  out.u64(BigInt(entry.value.length));
  if (entry.of === "string") for (const text of entry.value) out.string(text);
  else if (entry.of === "bool") out.raw(Uint8Array.from(entry.value, Number));
  else out.raw(new Uint8Array(entry.value.buffer, entry.value.byteOffset, entry.value.byteLength));
}

function scalarBytes(key: string, entry: Exclude<GgufScalar, { type: "string" }>): Uint8Array {
  switch (entry.type) {
    case "bool":
      return Uint8Array.of(entry.value ? 1 : 0);
    case "u64":
      return new Uint8Array(BigUint64Array.of(entry.value).buffer);
    case "i64":
      return new Uint8Array(BigInt64Array.of(entry.value).buffer);
    case "f32":
      return new Uint8Array(Float32Array.of(entry.value).buffer);
    case "f64":
      return new Uint8Array(Float64Array.of(entry.value).buffer);
    default: {
      const [low, high] = INTEGER_RANGES[entry.type];
      if (!Number.isInteger(entry.value) || entry.value < low || entry.value > high)
        throw broken(`${key} is ${entry.value}, which is not a ${entry.type}`);
      // Two's complement, little-endian: the lowest bytes of the 32-bit pattern are the narrower pattern.
      return new Uint8Array(Int32Array.of(entry.value).buffer, 0, Number(entry.type.slice(1)) / 8);
    }
  }
}

function broken(problem: string): ScoreheadError {
  return new ScoreheadError("ERR_INTERNAL", `Cannot encode a GGUF header: ${problem}. Please report this.`);
}

/** A growing little-endian buffer. */
class Encoder {
  #bytes = Buffer.alloc(64 * 1024);
  #length = 0;

  u32(value: number): void {
    const at = this.#grow(4); // first: growing replaces the buffer
    this.#bytes.writeUInt32LE(value, at);
  }

  u64(value: bigint): void {
    const at = this.#grow(8);
    this.#bytes.writeBigUInt64LE(value, at);
  }

  string(text: string): void {
    const length = Buffer.byteLength(text);
    this.u64(BigInt(length));
    const at = this.#grow(length);
    this.#bytes.write(text, at, "utf8");
  }

  raw(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
  }

  pad(alignment: number): void {
    this.#grow(padded(this.#length, alignment) - this.#length);
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Makes room for `length` zero bytes and returns where they start. */
  #grow(length: number): number {
    const start = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(this.#length, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, start);
      this.#bytes = larger;
    }
    return start;
  }
}
