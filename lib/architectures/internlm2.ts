/**
 * InternLM2: Llama's arithmetic under other names, and Q, K and V of each group of heads in one matrix. llama.cpp's own
 * graph of it insists on a vocabulary matrix, which a reward model does not have; Llama's does not.
 */
import { LLAMA_GRAPH } from "./llama.ts";
import { QKVO } from "./parts.ts";
import type { Architecture, BackboneSizes, Part, RowBlock } from "./types.ts";

/**
 * Heads of wqkv, whose rows are a group's query heads, its key head, its value head, and then the next group's.
 * @param wanted whether a head is wanted, by its place in a group of so many queries
 */
function part(wanted: (head: number, queries: number) => boolean): Part {
  const heads = ({ heads, kvHeads }: BackboneSizes): number => heads + 2 * kvHeads;
  return {
    from: "layers.{i}.attention.wqkv",
    rows: (sizes) => heads(sizes) * sizes.headSize,
    blocks: (sizes) => {
      const queries = sizes.heads / sizes.kvHeads;
      return Array.from({ length: heads(sizes) }, (_, head) => head)
        .filter((head) => wanted(head % (queries + 2), queries))
        .map((head): RowBlock => ({ start: head * sizes.headSize, count: sizes.headSize }));
    },
  };
}

export const INTERNLM2: Architecture = {
  className: "InternLM2",
  modelType: "internlm2",
  graph: LLAMA_GRAPH,
  names: {
    token_embd: "tok_embeddings",
    output_norm: "norm",
    "blk.{i}.attn_norm": "layers.{i}.attention_norm",
    "blk.{i}.attn_q": part((head, queries) => head < queries),
    "blk.{i}.attn_k": part((head, queries) => head === queries),
    "blk.{i}.attn_v": part((head, queries) => head === queries + 1),
    "blk.{i}.attn_output": "layers.{i}.attention.wo",
    "blk.{i}.ffn_norm": "layers.{i}.ffn_norm",
    "blk.{i}.ffn_gate": "layers.{i}.feed_forward.w1",
    "blk.{i}.ffn_up": "layers.{i}.feed_forward.w3",
    "blk.{i}.ffn_down": "layers.{i}.feed_forward.w2",
  },
  defaults: { pad_token_id: 0 },
  biases: (config) => (config.flag("bias", true) ? QKVO : []),
};
