/** Mistral: Llama's arithmetic, with a sliding window that llama.cpp's graph does not have. */
import { LLAMA_GRAPH } from "./llama.ts";
import { NAMES } from "./parts.ts";
import type { Architecture } from "./types.ts";

export const MISTRAL: Architecture = {
  className: "Mistral",
  modelType: "mistral",
  graph: LLAMA_GRAPH,
  names: NAMES,
  defaults: { num_key_value_heads: 8, sliding_window: 4096 },
  biases: () => [],
};
