/** Granite 3: Llama with four multipliers: of the embedding, the attention, what each half of a layer adds, and the logits. */
import { attention, ENDS, GATED_FEED_FORWARD, NAMES, norm, OUTPUT, QKVO, ROPE_FACTORS, ROPE_FREQS } from "./parts.ts";
import type { Architecture, Graph } from "./types.ts";

const GRANITE_GRAPH: Graph = {
  name: "granite",
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
  keys: { embedding_scale: "f32", residual_scale: "f32", logit_scale: "f32", "attention.scale": "f32" },
  activations: ["silu", "swish"],
  ropeScaling: ["linear", "dynamic", "yarn", "llama3", "longrope"],
  anyHeadSize: true,
  partialRotary: false,
  window: "none",
};

export const GRANITE: Architecture = {
  className: "Granite",
  modelType: "granite",
  graph: GRANITE_GRAPH,
  names: NAMES,
  defaults: { embedding_multiplier: 1, attention_multiplier: 1, residual_multiplier: 1, logits_scaling: 1 },
  biases: (config) => (config.flag("attention_bias", false) ? QKVO : []),
  keys: (config) => ({
    embedding_scale: config.positive("embedding_multiplier"),
    residual_scale: config.positive("residual_multiplier"),
    // Behind the hidden state, but the graph insists on it.
    logit_scale: config.positive("logits_scaling"),
    "attention.scale": config.positive("attention_multiplier"),
  }),
};
