/** The element types that files are named by. */
import type { GgufMetadata, WritableType } from "../gguf/types.ts";
import { QUANTIZED_TYPES, type QuantizedType } from "../runtime/quantize.ts";
import type { OutputType } from "./types.ts";

/** What `--type` calls the types that are written as they are. */
export const BASE_TYPES = { f32: "F32", f16: "F16", bf16: "BF16" } as const satisfies Record<string, WritableType>;
export const UNQUANTIZED = { F32: "f32", F16: "f16", BF16: "bf16" } as const satisfies Record<WritableType, string>;

export const OUTPUT_TYPES: readonly OutputType[] = [
  "auto",
  ...(Object.keys(BASE_TYPES) as (keyof typeof BASE_TYPES)[]),
  ...(Object.keys(QUANTIZED_TYPES) as QuantizedType[]),
];

/** llama_ftype of the unquantised types. */
export const FILE_TYPE: Readonly<Record<WritableType, number>> = { F32: 0, F16: 1, BF16: 32 };

const NAMES: ReadonlyMap<number, string> = new Map([
  ...Object.entries(FILE_TYPE).map(([name, number]): [number, string] => [number, name.toLowerCase()]),
  ...Object.entries(QUANTIZED_TYPES).map(([name, number]): [number, string] => [number, name]),
]);

/** The type of most of a file's matrices, as `--type` calls it; null where the file does not say. */
export function fileTypeOf(metadata: GgufMetadata): string | null {
  const found = metadata.get("general.file_type");
  return found?.type === "u32" ? (NAMES.get(found.value) ?? `llama_ftype ${found.value}`) : null;
}
