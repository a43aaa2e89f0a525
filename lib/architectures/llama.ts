/** Llama, and llama.cpp's graph of it, which computes several other architectures as well. */
import { attention, ENDS, GATED_FEED_FORWARD, NAMES, norm, OUTPUT, QKVO, ROPE_FACTORS, ROPE_FREQS } from "./parts.ts";
import type { Architecture, Graph } from "./types.ts";

export const LLAMA_GRAPH: Graph = {
  name: "llama",
  tensors: [
    ...ENDS,
    OUTPUT,
    norm("blk.{i}.attn_norm"),
    ...attention(true, true),
    norm("blk.{i}.ffn_norm"),
    ...GATED_FEED_FORWARD,
    ROPE_FREQS,
    ...ROPE_FACTORS,
  ],
  keys: {},
  activations: ["silu", "swish"],
  ropeScaling: ["linear", "dynamic", "yarn", "llama3", "longrope"],
  anyHeadSize: true,
  partialRotary: false,
  window: "none",
};

export const LLAMA: Architecture = {
  className: "Llama",
  modelType: "llama",
  graph: LLAMA_GRAPH,
  names: NAMES,
  defaults: {},
  biases: (config) => (config.flag("attention_bias", false) ? QKVO : []),
};
