/** What the graphs of llama.cpp and the checkpoints of transformers have in common. */
import type { BackboneSizes, GraphTensor } from "./types.ts";

type Extent = (sizes: BackboneSizes) => number;

export const hidden: Extent = (s) => s.hiddenSize;
export const queries: Extent = (s) => s.heads * s.headSize;
export const keys: Extent = (s) => s.kvHeads * s.headSize;
export const feedForward: Extent = (s) => s.feedForward;
const vocabulary: Extent = (s) => s.vocabulary;

/** A matrix `[rows, columns]`. */
export function matrix(name: string, rows: Extent, columns: Extent): GraphTensor {
  return { name: `${name}.weight`, shape: (s) => [rows(s), columns(s)] };
}

/** A norm's gain. */
export function norm(name: string, width: Extent = hidden): GraphTensor {
  return { name: `${name}.weight`, shape: (s) => [width(s)] };
}

function bias(name: string, rows: Extent): GraphTensor {
  return { name: `${name}.bias`, shape: (s) => [rows(s)], optional: true };
}

/** What every graph has around its layers. */
export const ENDS: readonly GraphTensor[] = [matrix("token_embd", vocabulary, hidden), norm("output_norm")];

/** The vocabulary matrix, which scoring never multiplies with. */
export const OUTPUT: GraphTensor = { ...matrix("output", vocabulary, hidden), optional: true };

/**
 * Q, K, V and the output projection.
 * @param pairs whether the graph rotates neighbouring rows
 * @param outputBias whether the graph takes a bias of the output projection
 */
export function attention(pairs: boolean, outputBias: boolean): readonly GraphTensor[] {
  const rotated = (tensor: GraphTensor, heads: "heads" | "kvHeads"): GraphTensor =>
    pairs ? { ...tensor, rotary: heads } : tensor;
  return [
    rotated(matrix("blk.{i}.attn_q", queries, hidden), "heads"),
    rotated(matrix("blk.{i}.attn_k", keys, hidden), "kvHeads"),
    matrix("blk.{i}.attn_v", keys, hidden),
    matrix("blk.{i}.attn_output", hidden, queries),
    rotated(bias("blk.{i}.attn_q", queries), "heads"),
    rotated(bias("blk.{i}.attn_k", keys), "kvHeads"),
    bias("blk.{i}.attn_v", keys),
    ...(outputBias ? [bias("blk.{i}.attn_output", hidden)] : []),
  ];
}

/** down(activation(gate(x)) * up(x)). */
export const GATED_FEED_FORWARD: readonly GraphTensor[] = [
  matrix("blk.{i}.ffn_gate", feedForward, hidden),
  matrix("blk.{i}.ffn_up", feedForward, hidden),
  matrix("blk.{i}.ffn_down", hidden, feedForward),
];

const factors = (name: string): GraphTensor => ({
  name: `${name}.weight`,
  shape: (s) => [s.rotary / 2],
  optional: true,
});
/** What each rotary frequency is divided by: llama3. */
export const ROPE_FREQS: GraphTensor = factors("rope_freqs");
/** The same for longrope, for short and for long contexts. */
export const ROPE_FACTORS: readonly GraphTensor[] = [factors("rope_factors_short"), factors("rope_factors_long")];

/** transformers' usual names. */
export const NAMES = {
  token_embd: "embed_tokens",
  output_norm: "norm",
  "blk.{i}.attn_norm": "layers.{i}.input_layernorm",
  "blk.{i}.attn_q": "layers.{i}.self_attn.q_proj",
  "blk.{i}.attn_k": "layers.{i}.self_attn.k_proj",
  "blk.{i}.attn_v": "layers.{i}.self_attn.v_proj",
  "blk.{i}.attn_output": "layers.{i}.self_attn.o_proj",
  "blk.{i}.ffn_norm": "layers.{i}.post_attention_layernorm",
  "blk.{i}.ffn_gate": "layers.{i}.mlp.gate_proj",
  "blk.{i}.ffn_up": "layers.{i}.mlp.up_proj",
  "blk.{i}.ffn_down": "layers.{i}.mlp.down_proj",
} as const;

/** The matrices that have a bias where a config says `attention_bias`. */
export const QKV: readonly string[] = ["blk.{i}.attn_q", "blk.{i}.attn_k", "blk.{i}.attn_v"];
export const QKVO: readonly string[] = [...QKV, "blk.{i}.attn_output"];
