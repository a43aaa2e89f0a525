/** What the functions that write GGUF files take and tell. */
import type { QuantizedType } from "../runtime/quantize.ts";

/** The element type of a file's matrices; `auto` keeps the checkpoint's own. */
export type OutputType = "auto" | "f32" | "f16" | "bf16" | QuantizedType;

/** How far a job is, in bytes: `convert` of the file that is written first, `quantize` of those of its tensors. */
export interface ConvertProgress {
  readonly stage: "convert" | "quantize";
  readonly bytes: number;
  readonly total: number;
}

/** What every job that writes a file takes. */
export interface JobOptions {
  readonly onProgress?: ((progress: ConvertProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}
