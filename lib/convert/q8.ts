/** The type q8_0, written as llama.cpp's own quantiser writes it: blocks of 32 numbers that share a scale. */
import { ScoreheadError } from "../errors.ts";
import { f32ToF16 } from "./half.ts";

export const Q8_BLOCK = 32;
/** GGML_QNT_VERSION: of all quantised types at once. */
export const QUANTIZATION_VERSION = 2;
/** A scale of two bytes, and a byte a number. */
const BLOCK_BYTES = 34;

/**
 * Quantises whole blocks.
 * @param name of the tensor, for the error
 * @throws ERR_TENSOR where a number is not finite, or too large for the scale
 */
export function quantizeQ8(numbers: Float32Array, name: string): Uint8Array {
  const blocks = numbers.length / Q8_BLOCK;
  const out = new Uint8Array(blocks * BLOCK_BYTES);
  const signed = new Int8Array(out.buffer);
  for (let block = 0; block < blocks; block++) {
    const at = block * Q8_BLOCK;
    const to = block * BLOCK_BYTES;
    let largest = 0;
    for (let i = at; i < at + Q8_BLOCK; i++) {
      const size = Math.abs(numbers[i] as number);
      if (size <= largest) continue;
      // Nothing is larger than a NaN: it would be forgotten.
      if (Number.isNaN(size)) throw tooLarge(name);
      largest = size;
    }
    // In float32 at every step, as ggml's quantize_row_q8_0_ref computes it.
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const half = f32ToF16(scale);
    if ((half & 0x7c00) === 0x7c00) throw tooLarge(name);
    out[to] = half & 0xff;
    out[to + 1] = half >>> 8;
    for (let i = 0; i < Q8_BLOCK; i++) {
      const scaled = Math.fround((numbers[at + i] as number) * inverse);
      // roundf: halves away from zero.
      signed[to + 2 + i] = scaled < 0 ? -Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5);
    }
  }
  return out;
}

function tooLarge(name: string): ScoreheadError {
  return new ScoreheadError(
    "ERR_TENSOR",
    `${name} holds a number that is not finite or too large for q8_0 (8 million). Convert with --type bf16 or f32.`,
  );
}

/**
 * llama.cpp's order of tensors, by layer and then by name: with it, and its order of keys, the file is byte for byte what
 * its quantiser makes of an unquantised one.
 */
export function byLayer(a: { readonly name: string }, b: { readonly name: string }): number {
  return layerOf(a.name) - layerOf(b.name) || (a.name < b.name ? -1 : 1);
}

function layerOf(name: string): number {
  return Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? -1);
}
