/**
 * The layers of a network as GGUF metadata and back.
 *
 * A weight matrix is an array of strings, one a row, each the base64 of its little-endian elements: BF16 where that loses
 * nothing, else F32. llama.cpp prints every number of a numeric array into a string when it opens a file (28 s for the
 * 8192 x 8192 of a 70B model's head, against 1.7 s), and tools that make an object of each run out of memory.
 */
import type { GgufMetadata, GgufValue } from "../gguf/types.ts";
import { array, malformed, required, scalar } from "./keys.ts";
import { MAX_LAYERS } from "./network.ts";
import type { Activation, Layer, Network } from "./types.ts";

/** Bytes of an element by the name of its type. */
const ELEMENT_BYTES: Readonly<Record<string, number>> = { BF16: 2, F32: 4 };

const layerKey = (prefix: string, layer: number, part: "dims" | "dtype" | "weight" | "bias"): string =>
  `${prefix}.layer.${layer}.${part}`;

/** The keys that {@link networkFromMetadata} reads back, under `prefix`, in a fixed order. */
export function networkToMetadata(prefix: string, { layers, activation }: Network): [string, GgufValue][] {
  const keys: [string, GgufValue][] = [[`${prefix}.layer_count`, { type: "u32", value: layers.length }]];
  if (activation !== null) keys.push([`${prefix}.activation`, { type: "string", value: activation }]);
  for (const [i, { outputs, inputs, weight, bias }] of layers.entries()) {
    const dtype = fitsBf16(weight) ? "BF16" : "F32";
    keys.push(
      [layerKey(prefix, i, "dims"), { type: "array", of: "u32", value: Uint32Array.of(outputs, inputs) }],
      [layerKey(prefix, i, "dtype"), { type: "string", value: dtype }],
      [layerKey(prefix, i, "weight"), { type: "array", of: "string", value: encodeRows(weight, inputs, dtype) }],
    );
    if (bias !== null) keys.push([layerKey(prefix, i, "bias"), { type: "array", of: "f32", value: bias }]);
  }
  return keys;
}

/** @throws ERR_GGUF where a key is missing, of another type or size */
export function networkFromMetadata(metadata: GgufMetadata, prefix: string): Network {
  const countKey = `${prefix}.layer_count`;
  const count = required(countKey, scalar(metadata, countKey, "u32"));
  if (count < 1 || count > MAX_LAYERS) throw malformed(countKey, `is ${count}, not 1 to ${MAX_LAYERS}`);
  return {
    layers: Array.from({ length: count }, (_, i) => readLayer(metadata, prefix, i)),
    // Every other word is refused by validateHead.
    activation: scalar(metadata, `${prefix}.activation`, "string") as Activation | null,
  };
}

function readLayer(metadata: GgufMetadata, prefix: string, layer: number): Layer {
  const [dimsKey, dtypeKey, weightKey, biasKey] = (["dims", "dtype", "weight", "bias"] as const).map((part) =>
    layerKey(prefix, layer, part),
  ) as [string, string, string, string];
  const dims = required(dimsKey, array(metadata, dimsKey, "u32"));
  const [outputs, inputs] = dims;
  if (dims.length !== 2 || !outputs || !inputs) throw malformed(dimsKey, "is not [outputs, inputs]");
  const dtype = required(dtypeKey, scalar(metadata, dtypeKey, "string"));
  const rows = required(weightKey, array(metadata, weightKey, "string"));
  if (rows.length !== outputs) throw malformed(weightKey, `has ${rows.length} rows instead of ${outputs}`);
  return {
    outputs,
    inputs,
    weight: decodeRows(rows, inputs, dtype, weightKey),
    bias: array(metadata, biasKey, "f32"),
  };
}

/** Whether each number has the sixteen bits of a bfloat16 and no more. */
function fitsBf16(weight: Float32Array): boolean {
  const bits = new Uint32Array(weight.buffer, weight.byteOffset, weight.length);
  for (let i = 0; i < bits.length; i++) if (((bits[i] as number) & 0xffff) !== 0) return false;
  return true;
}

function encodeRows(weight: Float32Array, inputs: number, dtype: "BF16" | "F32"): string[] {
  return Array.from({ length: weight.length / inputs }, (_, row) => {
    const numbers = weight.slice(row * inputs, (row + 1) * inputs);
    const packed = dtype === "F32" ? numbers : Uint16Array.from(new Uint32Array(numbers.buffer), (bits) => bits >>> 16);
    return Buffer.from(packed.buffer).toString("base64");
  });
}

function decodeRows(rows: readonly string[], inputs: number, dtype: string, key: string): Float32Array {
  const elementBytes = ELEMENT_BYTES[dtype];
  if (elementBytes === undefined) throw malformed(key, `is of the element type "${dtype}", not BF16 or F32`);
  const rowBytes = inputs * elementBytes;
  const rowCharacters = Math.ceil(rowBytes / 3) * 4;
  const odd = rows.findIndex((row) => row.length !== rowCharacters);
  // Before memory is taken for what the sizes claim.
  if (odd >= 0)
    throw malformed(
      key,
      `has ${rows[odd]?.length} characters in row ${odd} instead of the ${rowCharacters} of ${inputs} numbers`,
    );
  const bits = new Uint32Array(rows.length * inputs);
  for (const [i, row] of rows.entries()) {
    const bytes = Uint8Array.from(Buffer.from(row, "base64"));
    // Characters that are no base64 are left out by the decoder.
    if (bytes.length !== rowBytes) throw malformed(key, `is not base64 of ${inputs} numbers in row ${i}`);
    if (elementBytes === 4) bits.set(new Uint32Array(bytes.buffer), i * inputs);
    else
      bits.set(
        Uint32Array.from(new Uint16Array(bytes.buffer), (half) => half << 16),
        i * inputs,
      );
  }
  return new Float32Array(bits.buffer);
}
