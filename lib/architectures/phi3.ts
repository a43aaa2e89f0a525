/** Phi-3 and Phi-4-mini: Q, K and V in one matrix, gate and up in another; the graph takes them so. */
import { ENDS, feedForward, hidden, keys, matrix, norm, OUTPUT, queries, ROPE_FACTORS } from "./parts.ts";
import type { Architecture, Graph } from "./types.ts";

const PHI3_GRAPH: Graph = {
  name: "phi3",
  tensors: [
    ...ENDS,
    OUTPUT,
    norm("blk.{i}.attn_norm"),
    matrix("blk.{i}.attn_qkv", (s) => queries(s) + 2 * keys(s), hidden),
    matrix("blk.{i}.attn_output", hidden, queries),
    norm("blk.{i}.ffn_norm"),
    matrix("blk.{i}.ffn_up", (s) => 2 * feedForward(s), hidden),
    matrix("blk.{i}.ffn_down", hidden, feedForward),
    ...ROPE_FACTORS,
  ],
  // llama.cpp reads it and does nothing about it.
  keys: { "attention.sliding_window": "u32?" },
  activations: ["silu", "swish"],
  ropeScaling: ["longrope"],
  anyHeadSize: false,
  partialRotary: true,
  window: "none",
};

export const PHI3: Architecture = {
  className: "Phi3",
  modelType: "phi3",
  graph: PHI3_GRAPH,
  names: {
    token_embd: "embed_tokens",
    output_norm: "norm",
    "blk.{i}.attn_norm": "layers.{i}.input_layernorm",
    "blk.{i}.attn_qkv": "layers.{i}.self_attn.qkv_proj",
    "blk.{i}.attn_output": "layers.{i}.self_attn.o_proj",
    "blk.{i}.ffn_norm": "layers.{i}.post_attention_layernorm",
    "blk.{i}.ffn_up": "layers.{i}.mlp.gate_up_proj",
    "blk.{i}.ffn_down": "layers.{i}.mlp.down_proj",
  },
  defaults: { pad_token_id: 32_000 },
  biases: () => [],
};
