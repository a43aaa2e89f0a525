/**
 * The checkpoint layouts that convert, as data: what a class's score head is called and what stands before its backbone's
 * names. Every architecture comes with transformers' and safe-rlhf's classes; a few classes are one of a kind. Names are
 * matched exactly; a tensor that neither the layout nor the architecture names is an error.
 */
import { ARCHITECTURES } from "../architectures/index.ts";
import { INTERNLM2 } from "../architectures/internlm2.ts";
import { LLAMA } from "../architectures/llama.ts";
import { MISTRAL } from "../architectures/mistral.ts";
import { QWEN2 } from "../architectures/qwen2.ts";
import type { Architecture } from "../architectures/types.ts";
import type { NormalizerRule } from "./head.ts";
import { ARMORM_HEAD, GRM_HEADS, type HeadRule, SCORE_MLP } from "./head-rules.ts";

export interface Layout {
  /** `architectures[0]` of the configs. */
  readonly classes: readonly string[];
  /** The backbones that such checkpoints have, by their `model_type`; the first where a config has none. */
  readonly backbones: readonly [Architecture, ...Architecture[]];
  /** What stands before the backbone's tensor names. Several at once are aliases of one storage. */
  readonly prefixes: readonly string[];
  /** The heads that such checkpoints have; the first that is there. */
  readonly heads: readonly HeadRule[];
  /** safe-rlhf's normaliser buffers. */
  readonly normalizer: NormalizerRule | null;
  /** Tensors that tell this layout, where the config is the base model's or absent. */
  readonly toldBy?: readonly string[];
  /** Whether the config's `id2label` and `num_labels` are of this head. */
  readonly labelled: boolean;
  /** Config keys of the head and the class, beside those that have no effect. */
  readonly configKeys: readonly string[];
  /** Tensors that scoring does not read, beside the vocabulary matrix and rotary buffers. */
  readonly ignored: readonly RegExp[];
}

const COMMON = { prefixes: ["model."], normalizer: null, labelled: false, configKeys: [], ignored: [] } as const;

const SCORE: readonly HeadRule[] = [{ kind: "linear", name: "score" }];
const SCORE_HEAD: readonly HeadRule[] = [{ kind: "linear", name: "score_head" }];
const V_HEAD: readonly HeadRule[] = [{ kind: "linear", name: "v_head" }];
const REGRESSION_HEAD: readonly HeadRule[] = [{ kind: "linear", name: "regression_head" }];

/** transformers' `…ForSequenceClassification`. */
function sequenceClassification(architecture: Architecture): Layout {
  const classes = [`${architecture.className}ForSequenceClassification`];
  return { ...COMMON, classes, backbones: [architecture], heads: SCORE, labelled: true };
}

/** safe-rlhf, safe_rlhf/models/score_model: `LlamaForScore`, earlier `LlamaModelForScore`. */
function score(architecture: Architecture): Layout {
  return {
    ...COMMON,
    classes: [`${architecture.className}ForScore`, `${architecture.className}ModelForScore`],
    backbones: [architecture],
    heads: SCORE_HEAD,
    normalizer: { mean: "normalizer.mean", var: "normalizer.var" },
    configKeys: [
      ...["score_type", "score_dim", "score_bias", "bias"],
      ...["do_normalize", "normalizer_type", "momentum", "mean", "var"],
    ],
    ignored: [/^normalizer\.count$/],
  };
}

const ONE_OF_A_KIND: readonly Layout[] = [
  {
    // RewardModel-Mistral-7B-for-DPA-v1, modeling_custom.py.
    ...COMMON,
    classes: ["MistralForAttributePrediction"],
    backbones: [MISTRAL],
    heads: SCORE,
    labelled: true,
  },
  {
    // Starling-RM-7B-alpha, GPTRewardModel on its card: a LlamaForCausalLM kept as `model`, its inner model also as
    // `transformer`. The config, where there is one, is the base model's.
    ...COMMON,
    classes: ["GPTRewardModel", "LlamaForCausalLM"],
    backbones: [LLAMA],
    prefixes: ["transformer.", "model.model.", "model."],
    heads: V_HEAD,
    toldBy: ["v_head.weight"],
  },
  {
    // Ray2333/GRM-*, GRewardModel, which takes any causal model; some configs name the base model's class.
    ...COMMON,
    classes: ["GRewardModel"],
    backbones: ARCHITECTURES,
    heads: GRM_HEADS,
    toldBy: ["v_head.summary.0.weight", "v_head.summary.weight"],
    configKeys: ["vhead_layer_type", "vhead_num_layers", "vhead_num_neurons"],
  },
  {
    // infly/INF-ORM-Llama3.1-70B.
    ...COMMON,
    classes: ["INFORMForSequenceClassification"],
    backbones: [LLAMA],
    heads: [SCORE_MLP],
    labelled: true,
  },
  {
    // RLHFlow/ArmoRM-Llama3-8B-v0.1. Its `num_labels` count the mixed score, and not the rewards.
    ...COMMON,
    classes: ["LlamaForRewardModelWithGating"],
    backbones: [LLAMA],
    heads: [ARMORM_HEAD],
    configKeys: ["gating_temperature", "gating_n_hidden", "gating_hidden_dim", "num_objectives"],
  },
  // Qwen/WorldPM-72B and Qwen2.5-Math-RM-72B, modeling_qwen2_rm.py: one output, whatever the config.
  { ...COMMON, classes: ["Qwen2ForRewardModel"], backbones: [QWEN2], heads: [SCORE_MLP] },
  // UltraRM-13b, and Eurus-RM-7b's modeling_eurus_rm.py.
  { ...COMMON, classes: ["LlamaRewardModel"], backbones: [LLAMA], heads: REGRESSION_HEAD },
  { ...COMMON, classes: ["EurusRewardModel"], backbones: [MISTRAL], heads: REGRESSION_HEAD },
  {
    // internlm2-*-reward, modeling_internlm2.py: the score is that of the token `reward_token_id`, 92527.
    ...COMMON,
    classes: ["InternLM2ForRewardModel"],
    backbones: [INTERNLM2],
    heads: V_HEAD,
  },
];

export const LAYOUTS: readonly Layout[] = [
  ...ARCHITECTURES.flatMap((architecture) => [sequenceClassification(architecture), score(architecture)]),
  ...ONE_OF_A_KIND,
];

/** The vocabulary matrix, and rotary frequencies, which old transformers stored: they follow from the config. */
export const NEVER_READ: readonly RegExp[] = [/^(model\.)?(lm_head|output)\.weight$/, /(^|\.)rotary_emb\.inv_freq$/];
