/** Qwen2 and Qwen2.5: biases on Q, K and V. */
import { attention, ENDS, GATED_FEED_FORWARD, NAMES, norm, OUTPUT, QKV } from "./parts.ts";
import type { Architecture, Graph } from "./types.ts";

const QWEN2_GRAPH: Graph = {
  name: "qwen2",
  tensors: [
    ...ENDS,
    OUTPUT,
    norm("blk.{i}.attn_norm"),
    ...attention(false, false),
    norm("blk.{i}.ffn_norm"),
    ...GATED_FEED_FORWARD,
  ],
  keys: {},
  activations: ["silu", "swish"],
  ropeScaling: ["linear", "dynamic", "yarn"],
  anyHeadSize: false,
  partialRotary: false,
  window: "none",
};

export const QWEN2: Architecture = {
  className: "Qwen2",
  modelType: "qwen2",
  graph: QWEN2_GRAPH,
  names: NAMES,
  defaults: { num_key_value_heads: 32, use_sliding_window: false, sliding_window: 4096, max_window_layers: 28 },
  biases: () => QKV,
};
