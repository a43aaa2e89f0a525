/** The element types that files are named by. */
import type { GgufMetadata, WritableType } from "../gguf/types.ts";
import { QUANTIZED_TYPES } from "../runtime/quantize.ts";

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
