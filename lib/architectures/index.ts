/** Every architecture, and llama.cpp's graphs of them. */
import { GEMMA2 } from "./gemma2.ts";
import { GRANITE } from "./granite.ts";
import { INTERNLM2 } from "./internlm2.ts";
import { LLAMA } from "./llama.ts";
import { MISTRAL } from "./mistral.ts";
import { PHI3 } from "./phi3.ts";
import { QWEN2 } from "./qwen2.ts";
import { QWEN3 } from "./qwen3.ts";
import type { Architecture, Graph } from "./types.ts";

export const ARCHITECTURES: readonly [Architecture, ...Architecture[]] = [
  LLAMA,
  MISTRAL,
  QWEN2,
  QWEN3,
  GEMMA2,
  PHI3,
  INTERNLM2,
  GRANITE,
];

/** By `general.architecture`. */
export const GRAPHS: ReadonlyMap<string, Graph> = new Map(ARCHITECTURES.map(({ graph }) => [graph.name, graph]));
