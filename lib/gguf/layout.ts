/** What reader and writer share of the file layout: magic, value type numbers, limits, and the error they throw. */
import { ScoreheadError } from "../errors.ts";
import type { GgufArray, GgufScalar } from "./types.ts";

/** "GGUF" as a little-endian u32. */
export const MAGIC = 0x46554747;

/** Tensor data starts at multiples of this where `general.alignment` does not say otherwise. */
export const DEFAULT_ALIGNMENT = 32;

/** ggml's GGML_MAX_DIMS: tensors have at most four axes. */
export const MAX_DIMS = 4;

/** ggml's GGML_MAX_NAME is 64 with the terminating zero. */
export const MAX_TENSOR_NAME_BYTES = 63;

/** The GGUF specification's own limit for keys. */
export const MAX_KEY_BYTES = 65_535;

/** The number of each value type in the file. */
export const VALUE_TYPE = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const satisfies Record<GgufScalar["type"] | "array", number>;

/** Element types whose arrays are typed arrays. */
export type NumericType = Exclude<GgufArray["of"], "bool" | "string">;

export const TYPED_ARRAYS = {
  u8: Uint8Array,
  i8: Int8Array,
  u16: Uint16Array,
  i16: Int16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f32: Float32Array,
  f64: Float64Array,
  u64: BigUint64Array,
  i64: BigInt64Array,
} as const satisfies Record<NumericType, unknown>;

/** `bytes` rounded up to a multiple of `alignment`. Division, not bit masks: sizes go beyond 32 bits. */
export function padded(bytes: number, alignment: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

/** ERR_GGUF for the file at `path`; `problem` is a clause without a full stop. */
export function ggufError(path: string, problem: string): ScoreheadError {
  return new ScoreheadError("ERR_GGUF", `${path} is not a usable GGUF file: ${problem}. Download or convert it again.`);
}
