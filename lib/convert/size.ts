/** How large the files of a conversion will be, before they are written. */
import { GGML_TYPES, type GgmlType, ggmlTypeNumber } from "../gguf/ggml-types.ts";
import { DEFAULT_ALIGNMENT, padded } from "../gguf/layout.ts";
import { ggufSize } from "../gguf/writer.ts";
import { needsQuantizer, type QuantizerType, WRITTEN_TYPES } from "./file-type.ts";
import type { ConvertPlan } from "./plan.ts";
import type { PlannedTensor } from "./plan-tensors.ts";
import type { OutputType } from "./types.ts";

/** Bytes of the unquantised file, and of the result, which is the same file where nothing is quantised. */
export interface ConversionSize {
  readonly base: number;
  /** Where quantised, an upper bound: which matrices get a larger type depends on their layer. */
  readonly result: number;
}

export function conversionSize({ metadata, tensors, type }: ConvertPlan): ConversionSize {
  const base = ggufSize(metadata, tensors);
  if (!needsQuantizer(type)) return { base, result: base };
  const saved = tensors.map((tensor) => stored(tensor.byteLength) - stored(plannedBytes(tensor, type)));
  return { base, result: base + ADDED_KEYS - saved.reduce((sum, bytes) => sum + bytes, 0) };
}

/**
 * Bounds for weights of which only the files' size is known: two bytes a weight, as published. Where they have four,
 * the result is smaller than that.
 */
export function sizeOfUnknown(weightBytes: number, type: OutputType): ConversionSize {
  const bytes = (each: number): number => Math.ceil((weightBytes / 2) * each) + MOST_KEYS;
  if (type === "auto") return { base: weightBytes + MOST_KEYS, result: weightBytes + MOST_KEYS };
  if (needsQuantizer(type)) return { base: weightBytes + MOST_KEYS, result: bytes(bytesPerWeight(LARGEST[type])) };
  const result = bytes(bytesPerWeight(GGML_TYPES.get(ggmlTypeNumber(WRITTEN_TYPES[type]) as number) as GgmlType));
  return { base: result, result };
}

/** Vocabulary and head, of which a checkpoint's weight files say nothing. */
const MOST_KEYS = 8e6;

const stored = (bytes: number): number => padded(bytes, DEFAULT_ALIGNMENT);

/** The quantiser adds its version, and pads the header anew. */
const ADDED_KEYS = 128;

const type = (number: number): GgmlType => GGML_TYPES.get(number) as GgmlType;
const [F16, Q4_0, Q5_0, Q5_1, Q8_0] = [type(1), type(2), type(6), type(7), type(8)];
const [Q4_K, Q5_K, Q6_K] = [type(12), type(13), type(14)];

/** What llama.cpp makes of most matrices, and of those that it gives more bits. */
const USUAL: Readonly<Record<QuantizerType, GgmlType>> = { q6_k: Q6_K, q5_k_m: Q5_K, q4_k_m: Q4_K, q4_0: Q4_0 };
const LARGEST: Readonly<Record<QuantizerType, GgmlType>> = { q6_k: Q6_K, q5_k_m: Q6_K, q4_k_m: Q6_K, q4_0: Q6_K };
/** The embedding, which takes the place of the missing output matrix, and in the K mixtures these of some layers. */
const LARGER = /^token_embd\.|^blk\.\d+\.(attn_v|ffn_down)\./;
/** What rows that are no multiple of 256 get instead. */
const FALLBACK: ReadonlyMap<GgmlType, GgmlType> = new Map([
  [Q4_K, Q5_0],
  [Q5_K, Q5_1],
  [Q6_K, Q8_0],
]);

/** Bytes of a tensor in the result; where quantised, at most. */
export function plannedBytes({ name, dims, byteLength }: PlannedTensor, to: OutputType): number {
  if (dims.length === 1 || to === "auto" || !needsQuantizer(to)) return byteLength;
  const rowLength = dims[0] ?? 0;
  const wanted = LARGER.test(name) ? LARGEST[to] : USUAL[to];
  const possible = rowLength % wanted.blockSize === 0 ? wanted : (FALLBACK.get(wanted) ?? F16);
  const final = rowLength % possible.blockSize === 0 ? possible : F16;
  return dims.reduce((product, n) => product * n, bytesPerWeight(final));
}

function bytesPerWeight({ blockSize, blockBytes }: GgmlType): number {
  return blockBytes / blockSize;
}
