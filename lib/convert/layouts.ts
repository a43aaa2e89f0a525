/**
 * The checkpoint layouts that convert, as data: what a class's score head is called and what stands before its backbone's
 * names. Every architecture comes with transformers' and safe-rlhf's classes; a few classes are one of a kind. Names are
 * matched exactly; a tensor that neither the layout nor the architecture names is an error.
 */
import { ARCHITECTURES } from "../architectures/index.ts";
import { INTERNLM2 } from "../architectures/internlm2.ts";
import { LLAMA } from "../architectures/llama.ts";
import { MISTRAL } from "../architectures/mistral.ts";
import type { Architecture } from "../architectures/types.ts";

export interface Layout {
  /** `architectures[0]` of the configs. */
  readonly classes: readonly string[];
  readonly architecture: Architecture;
  /** What stands before the backbone's tensor names. Several at once are aliases of one storage. */
  readonly prefixes: readonly string[];
  /** `weight [outputs, hidden]`, and `bias [outputs]` where it exists. */
  readonly head: { readonly weight: string; readonly bias: string };
  /** safe-rlhf's normaliser buffers. */
  readonly normalizer: { readonly mean: string; readonly var: string } | null;
  /** Whether the config's `id2label` and `num_labels` are of this head. */
  readonly labelled: boolean;
  /** Config keys of the head and the class, beside those that have no effect. */
  readonly configKeys: readonly string[];
  /** Tensors that scoring does not read, beside the vocabulary matrix and rotary buffers. */
  readonly ignored: readonly RegExp[];
}

const COMMON = { prefixes: ["model."], normalizer: null, labelled: false, configKeys: [], ignored: [] } as const;

function head(name: string): Layout["head"] {
  return { weight: `${name}.weight`, bias: `${name}.bias` };
}

/** transformers' `…ForSequenceClassification`. */
function sequenceClassification(architecture: Architecture): Layout {
  const classes = [`${architecture.className}ForSequenceClassification`];
  return { ...COMMON, classes, architecture, head: head("score"), labelled: true };
}

/** safe-rlhf, safe_rlhf/models/score_model: `LlamaForScore`, earlier `LlamaModelForScore`. */
function score(architecture: Architecture): Layout {
  return {
    ...COMMON,
    classes: [`${architecture.className}ForScore`, `${architecture.className}ModelForScore`],
    architecture,
    head: head("score_head"),
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
    architecture: MISTRAL,
    head: head("score"),
    labelled: true,
  },
  {
    // Starling-RM-7B-alpha, GPTRewardModel on its card: a LlamaForCausalLM kept as `model`, its inner model also as
    // `transformer`. The config, where there is one, is the base model's.
    ...COMMON,
    classes: ["GPTRewardModel", "LlamaForCausalLM"],
    architecture: LLAMA,
    prefixes: ["transformer.", "model.model.", "model."],
    head: head("v_head"),
  },
  // UltraRM-13b, and Eurus-RM-7b's modeling_eurus_rm.py.
  { ...COMMON, classes: ["LlamaRewardModel"], architecture: LLAMA, head: head("regression_head") },
  { ...COMMON, classes: ["EurusRewardModel"], architecture: MISTRAL, head: head("regression_head") },
  {
    // internlm2-*-reward, modeling_internlm2.py: the score is that of the token `reward_token_id`, 92527.
    ...COMMON,
    classes: ["InternLM2ForRewardModel"],
    architecture: INTERNLM2,
    head: head("v_head"),
  },
];

export const LAYOUTS: readonly Layout[] = [
  ...ARCHITECTURES.flatMap((architecture) => [sequenceClassification(architecture), score(architecture)]),
  ...ONE_OF_A_KIND,
];

/** What tells a GPTRewardModel where no config names it. */
export const REWARD_MODEL_HEAD = "v_head.weight";

/** The vocabulary matrix, and rotary frequencies, which old transformers stored: they follow from the config. */
export const NEVER_READ: readonly RegExp[] = [/^(model\.)?(lm_head|output)\.weight$/, /(^|\.)rotary_emb\.inv_freq$/];
