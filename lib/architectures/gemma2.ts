/**
 * Gemma 2: norms around both halves of a layer, whose gain is 1 + weight; a scaled embedding; soft-capped attention
 * logits; a sliding window in every other layer. The cap on the final logits is behind the hidden state.
 */
import { attention, ENDS, GATED_FEED_FORWARD, NAMES, norm } from "./parts.ts";
import type { Architecture, BackboneSizes, Graph } from "./types.ts";

const GEMMA2_GRAPH: Graph = {
  name: "gemma2",
  tensors: [
    ...ENDS,
    norm("blk.{i}.attn_norm"),
    ...attention(false, false),
    norm("blk.{i}.post_attention_norm"),
    norm("blk.{i}.ffn_norm"),
    ...GATED_FEED_FORWARD,
    norm("blk.{i}.post_ffw_norm"),
  ],
  keys: { "attention.sliding_window": "u32", attn_logit_softcapping: "f32", final_logit_softcapping: "f32?" },
  activations: ["gelu_pytorch_tanh"],
  ropeScaling: ["linear", "dynamic", "yarn"],
  anyHeadSize: true,
  partialRotary: false,
  window: "alternating",
};

/** The graph divides by the root of the head size, or, in the one model of 46 layers, of another number. */
function graphScalar({ layers, hiddenSize, heads, headSize }: BackboneSizes): number {
  return layers === 46 ? Math.floor(hiddenSize / heads) : headSize;
}

export const GEMMA2: Architecture = {
  className: "Gemma2",
  modelType: "gemma2",
  graph: GEMMA2_GRAPH,
  names: {
    ...NAMES,
    "blk.{i}.post_attention_norm": "layers.{i}.post_attention_layernorm",
    "blk.{i}.ffn_norm": "layers.{i}.pre_feedforward_layernorm",
    "blk.{i}.post_ffw_norm": "layers.{i}.post_feedforward_layernorm",
  },
  defaults: {
    pad_token_id: 0,
    head_dim: 256,
    num_key_value_heads: 4,
    hidden_activation: "gelu_pytorch_tanh",
    query_pre_attn_scalar: 256,
    sliding_window: 4096,
    attn_logit_softcapping: 50,
  },
  activationKey: "hidden_activation",
  biases: () => [],
  normOffset: 1,
  queryScale: (config, sizes) => Math.sqrt(graphScalar(sizes) / config.positive("query_pre_attn_scalar")),
  keys: (config) => ({ attn_logit_softcapping: config.positive("attn_logit_softcapping") }),
};
