/** The element types that files are named by. */
import type { GgufMetadata, WritableType } from "../gguf/types.ts";
import { QUANTIZED_TYPES, type QuantizedType } from "../runtime/quantize.ts";
import type { OutputType } from "./types.ts";

/** The types that are written straight from the checkpoint's, by what `--type` calls them. */
export const WRITTEN_TYPES = { f32: "F32", f16: "F16", bf16: "BF16", q8_0: "Q8_0" } as const satisfies Record<
  string,
  WritableType
>;

/** The types that llama.cpp's quantiser makes of an unquantised file. */
export type QuantizerType = Exclude<QuantizedType, keyof typeof WRITTEN_TYPES>;

/** Whether the quantiser has to make the type of an unquantised file. */
export function needsQuantizer(type: Exclude<OutputType, "auto">): type is QuantizerType {
  return !Object.hasOwn(WRITTEN_TYPES, type);
}

export const OUTPUT_TYPES: readonly OutputType[] = [
  "auto",
  "f32",
  "f16",
  "bf16",
  ...(Object.keys(QUANTIZED_TYPES) as QuantizedType[]),
];

/** llama_ftype of the types that are written. */
export const FILE_TYPE: Readonly<Record<WritableType, number>> = { F32: 0, F16: 1, BF16: 32, Q8_0: 7 };

const NAMES: ReadonlyMap<number, string> = new Map([
  ...Object.entries(FILE_TYPE).map(([name, number]): [number, string] => [number, name.toLowerCase()]),
  ...Object.entries(QUANTIZED_TYPES).map(([name, number]): [number, string] => [number, name]),
]);

/** The type of most of a file's matrices, as `--type` calls it; null where the file does not say. */
export function fileTypeOf(metadata: GgufMetadata): string | null {
  const found = metadata.get("general.file_type");
  return found?.type === "u32" ? (NAMES.get(found.value) ?? `llama_ftype ${found.value}`) : null;
}
