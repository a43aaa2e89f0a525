/** llama.cpp's own quantiser: which types it is asked for, and its progress, which it only logs; and the way back. */
import { availableParallelism } from "node:os";
import type { QuantizedTensor } from "./contract.ts";
import { subscribeLog } from "./log.ts";
import { nativeError, openRuntime } from "./open.ts";

/** The quantised types on offer, with their llama_ftype. */
export const QUANTIZED_TYPES = { q8_0: 7, q6_k: 18, q5_k_m: 17, q4_k_m: 15, q4_0: 2 } as const;
export type QuantizedType = keyof typeof QUANTIZED_TYPES;

/** A tensor and its `ggml_type`. */
export interface TensorOverride {
  readonly name: string;
  readonly type: number;
}

/**
 * Quantises the matrices of a GGUF file; unknown keys, the score head among them, are kept. Memory use is one slab of
 * a tensor; the input is mapped.
 * @param overrides tensors that get another type than llama.cpp's mix gives them
 * @param onTensor told each tensor's name when its turn comes
 * @throws ERR_QUANTIZE, ERR_RUNTIME
 */
export async function quantizeFile(
  input: string,
  output: string,
  type: QuantizedType,
  overrides: readonly TensorOverride[],
  onTensor: (name: string) => void,
): Promise<void> {
  const { addon } = openRuntime();
  const unsubscribe = subscribeLog((_, text) => {
    const turn = text.match(/^\[ *\d+\/ *\d+\] +(\S+)/);
    if (turn?.[1]) onTensor(turn[1]);
  });
  try {
    await addon.quantize({
      input,
      output,
      fileType: QUANTIZED_TYPES[type],
      tensorPatterns: overrides.map(({ name }) => `^${name.replace(/[^a-z0-9_]/gi, "\\$&")}$`),
      tensorTypes: Int32Array.from(overrides, (override) => override.type),
      threads: availableParallelism(),
    });
  } catch (error) {
    throw nativeError(error);
  } finally {
    unsubscribe();
  }
}

/** A tensor's elements as float32. @throws ERR_UNSUPPORTED for a type that holds no weights; ERR_RUNTIME */
export function dequantizeTensor(tensor: QuantizedTensor): Float32Array {
  const { addon } = openRuntime();
  try {
    return addon.dequantize(tensor);
  } catch (error) {
    throw nativeError(error);
  }
}
