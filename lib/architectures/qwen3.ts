/** Qwen3: norms on the heads of Q and K. */
import { attention, ENDS, GATED_FEED_FORWARD, NAMES, norm, OUTPUT, QKVO } from "./parts.ts";
import type { Architecture, BackboneSizes, Graph } from "./types.ts";

const headSize = (sizes: BackboneSizes): number => sizes.headSize;

const QWEN3_GRAPH: Graph = {
  name: "qwen3",
  tensors: [
    ...ENDS,
    OUTPUT,
    norm("blk.{i}.attn_norm"),
    ...attention(false, false),
    norm("blk.{i}.attn_q_norm", headSize),
    norm("blk.{i}.attn_k_norm", headSize),
    norm("blk.{i}.ffn_norm"),
    ...GATED_FEED_FORWARD,
  ],
  keys: {},
  activations: ["silu", "swish"],
  ropeScaling: ["linear", "dynamic", "yarn"],
  anyHeadSize: true,
  partialRotary: false,
  window: "none",
};

export const QWEN3: Architecture = {
  className: "Qwen3",
  modelType: "qwen3",
  graph: QWEN3_GRAPH,
  names: {
    ...NAMES,
    "blk.{i}.attn_q_norm": "layers.{i}.self_attn.q_norm",
    "blk.{i}.attn_k_norm": "layers.{i}.self_attn.k_norm",
  },
  defaults: {
    head_dim: 128,
    num_key_value_heads: 32,
    use_sliding_window: false,
    sliding_window: 4096,
    max_window_layers: 28,
  },
  biases: (config) => (config.flag("attention_bias", false) ? QKVO : []),
};
