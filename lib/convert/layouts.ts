/**
 * The checkpoint layouts that convert, as data: which architectures use one, how its tensors are called and what
 * becomes of each. Names are matched exactly; a tensor that no line here names is an error.
 */
import type { NormalizerRule } from "./head.ts";
import { ARMORM_HEAD, GRM_HEADS, type HeadRule, SCORE_MLP } from "./head-rules.ts";

/** How a backbone tensor is laid out in the file. */
export interface TensorRule {
  /** Name in the checkpoint after its prefix; `{i}` is the layer. */
  readonly from: string;
  /** llama.cpp's name. */
  readonly to: string;
  /** Shape in torch order, in terms of the config. */
  readonly shape: (sizes: BackboneSizes) => readonly number[];
  /** Rows are reordered from transformers' rotary halves to llama.cpp's rotary pairs, within so many heads. */
  readonly rotary?: "heads" | "kvHeads";
  readonly optional?: true;
}

export interface BackboneSizes {
  readonly hiddenSize: number;
  readonly feedForward: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  /** Rows of the embedding. */
  readonly vocabulary: number;
}

export interface BackboneRules {
  /** llama.cpp's name for it. */
  readonly architecture: string;
  readonly tensors: readonly TensorRule[];
}

export interface Layout {
  /** `architectures[0]` of the configs. */
  readonly architectures: readonly string[];
  readonly backbone: BackboneRules;
  /** What stands before the backbone's tensor names. Several at once are aliases of one storage. */
  readonly prefixes: readonly string[];
  /** The heads that such checkpoints have; the first that is there. */
  readonly heads: readonly HeadRule[];
  readonly normalizer: NormalizerRule | null;
  /** Tensors that tell this layout, where the config is the base model's or absent. */
  readonly toldBy?: readonly string[];
  /** Tensors that scoring does not read. */
  readonly ignored: readonly RegExp[];
}

const q = ({ heads, headSize }: BackboneSizes): number => heads * headSize;
const kv = ({ kvHeads, headSize }: BackboneSizes): number => kvHeads * headSize;

/** Llama, and Mistral, which differs only in its config. */
const LLAMA: BackboneRules = {
  architecture: "llama",
  tensors: [
    { from: "embed_tokens.weight", to: "token_embd.weight", shape: (s) => [s.vocabulary, s.hiddenSize] },
    { from: "norm.weight", to: "output_norm.weight", shape: (s) => [s.hiddenSize] },
    { from: "layers.{i}.input_layernorm.weight", to: "blk.{i}.attn_norm.weight", shape: (s) => [s.hiddenSize] },
    {
      from: "layers.{i}.self_attn.q_proj.weight",
      to: "blk.{i}.attn_q.weight",
      shape: (s) => [q(s), s.hiddenSize],
      rotary: "heads",
    },
    {
      from: "layers.{i}.self_attn.k_proj.weight",
      to: "blk.{i}.attn_k.weight",
      shape: (s) => [kv(s), s.hiddenSize],
      rotary: "kvHeads",
    },
    { from: "layers.{i}.self_attn.v_proj.weight", to: "blk.{i}.attn_v.weight", shape: (s) => [kv(s), s.hiddenSize] },
    {
      from: "layers.{i}.self_attn.o_proj.weight",
      to: "blk.{i}.attn_output.weight",
      shape: (s) => [s.hiddenSize, q(s)],
    },
    {
      from: "layers.{i}.self_attn.q_proj.bias",
      to: "blk.{i}.attn_q.bias",
      shape: (s) => [q(s)],
      rotary: "heads",
      optional: true,
    },
    {
      from: "layers.{i}.self_attn.k_proj.bias",
      to: "blk.{i}.attn_k.bias",
      shape: (s) => [kv(s)],
      rotary: "kvHeads",
      optional: true,
    },
    { from: "layers.{i}.self_attn.v_proj.bias", to: "blk.{i}.attn_v.bias", shape: (s) => [kv(s)], optional: true },
    {
      from: "layers.{i}.self_attn.o_proj.bias",
      to: "blk.{i}.attn_output.bias",
      shape: (s) => [s.hiddenSize],
      optional: true,
    },
    { from: "layers.{i}.post_attention_layernorm.weight", to: "blk.{i}.ffn_norm.weight", shape: (s) => [s.hiddenSize] },
    {
      from: "layers.{i}.mlp.gate_proj.weight",
      to: "blk.{i}.ffn_gate.weight",
      shape: (s) => [s.feedForward, s.hiddenSize],
    },
    { from: "layers.{i}.mlp.up_proj.weight", to: "blk.{i}.ffn_up.weight", shape: (s) => [s.feedForward, s.hiddenSize] },
    {
      from: "layers.{i}.mlp.down_proj.weight",
      to: "blk.{i}.ffn_down.weight",
      shape: (s) => [s.hiddenSize, s.feedForward],
    },
  ],
};

/** Rotary frequencies, which old transformers stored; they follow from the config. */
const ROTARY_BUFFERS = /(^|\.)rotary_emb\.inv_freq$/;

export const LAYOUTS: readonly Layout[] = [
  {
    // safe-rlhf, safe_rlhf/models/score_model: LlamaForScore, earlier LlamaModelForScore.
    architectures: ["LlamaForScore", "LlamaModelForScore"],
    backbone: LLAMA,
    prefixes: ["model."],
    heads: [{ kind: "linear", name: "score_head" }],
    normalizer: { mean: "normalizer.mean", var: "normalizer.var" },
    ignored: [/^normalizer\.count$/, ROTARY_BUFFERS],
  },
  {
    // RewardModel-Mistral-7B-for-DPA-v1, modeling_custom.py.
    architectures: ["MistralForAttributePrediction"],
    backbone: LLAMA,
    prefixes: ["model."],
    heads: [{ kind: "linear", name: "score" }],
    normalizer: null,
    ignored: [ROTARY_BUFFERS],
  },
  {
    // Starling-RM-7B-alpha, GPTRewardModel on its card: a LlamaForCausalLM kept as `model`, its inner model also as
    // `transformer`. The config, where there is one, is the base model's.
    architectures: ["GPTRewardModel", "LlamaForCausalLM"],
    backbone: LLAMA,
    prefixes: ["transformer.", "model.model.", "model."],
    heads: [{ kind: "linear", name: "v_head" }],
    toldBy: ["v_head.weight"],
    normalizer: null,
    ignored: [/^(model\.)?lm_head\.weight$/, ROTARY_BUFFERS],
  },
  {
    // Ray2333/GRM-*, class GRewardModel; some configs name the base model's class.
    architectures: ["GRewardModel"],
    backbone: LLAMA,
    prefixes: ["model."],
    heads: GRM_HEADS,
    toldBy: ["v_head.summary.0.weight", "v_head.summary.weight"],
    normalizer: null,
    ignored: [/^lm_head\.weight$/, ROTARY_BUFFERS],
  },
  {
    // infly/INF-ORM-Llama3.1-70B.
    architectures: ["INFORMForSequenceClassification"],
    backbone: LLAMA,
    prefixes: ["model."],
    heads: [SCORE_MLP],
    normalizer: null,
    ignored: [ROTARY_BUFFERS],
  },
  {
    // RLHFlow/ArmoRM-Llama3-8B-v0.1.
    architectures: ["LlamaForRewardModelWithGating"],
    backbone: LLAMA,
    prefixes: ["model."],
    heads: [ARMORM_HEAD],
    normalizer: null,
    ignored: [ROTARY_BUFFERS],
  },
];
