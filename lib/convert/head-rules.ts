/** The published heads as data: what kind each is and how its tensors are called. */
import type { JsonObject } from "../checkpoint/types.ts";
import type { Activation } from "../head/types.ts";

/** Linear layers under one name each: `<name>.weight [outputs, inputs]` and `<name>.bias [outputs]`. */
export interface LayersRule {
  /** `{i}` is a layer's index. */
  readonly name: string;
  /** 2 where the activations between the layers are counted too, as torch's Sequential does. */
  readonly step: 1 | 2;
  /** How many there are; nothing in the tensors tells that the last one is missing. */
  readonly count: (config: JsonObject) => number;
  readonly activation: Activation;
}

export type HeadRule =
  /** The bias is there or not. */
  | { readonly kind: "linear"; readonly name: string }
  /** Each layer has a bias. */
  | { readonly kind: "mlp"; readonly layers: LayersRule }
  | {
      readonly kind: "gated";
      /** The linear layer that gives the rewards. */
      readonly regression: string;
      readonly gating: LayersRule;
      /** One number. */
      readonly scale: string;
      readonly temperature: (config: JsonObject) => number;
      /** `[K, K]`. */
      readonly transform: string;
      /** See `Mixing.pattern`. */
      readonly pattern: readonly number[];
      /** The names of the K rewards. */
      readonly rewards: readonly string[];
    };

/** What the names of a head's tensors begin with. */
export function headPrefixes(rule: HeadRule): readonly string[] {
  const ofLayers = ({ name }: LayersRule): string => name.replace(/\.\{i\}$/, "");
  if (rule.kind === "linear") return [rule.name];
  if (rule.kind === "mlp") return [ofLayers(rule.layers)];
  return [rule.regression, ofLayers(rule.gating), rule.scale, rule.transform];
}

/** A number of the config, where it is one. The head's own checks refuse the absurd. */
const number = (config: JsonObject, name: string, fallback: number): number =>
  typeof config[name] === "number" ? config[name] : fallback;

/** INF-ORM, WorldPM, Qwen2.5-Math-RM: `Sequential(Linear, ReLU, Linear)`, whatever the config. */
export const SCORE_MLP: HeadRule = {
  kind: "mlp",
  layers: { name: "score.{i}", step: 2, count: () => 2, activation: "relu" },
};

/** GRM's ValueHead: `vhead_layer_type` is mlp or linear; dropout before it does nothing at inference. */
export const GRM_HEADS: readonly HeadRule[] = [
  {
    kind: "mlp",
    layers: {
      name: "v_head.summary.{i}",
      step: 2,
      count: (config) => number(config, "vhead_num_layers", 1) + 1,
      activation: "relu",
    },
  },
  { kind: "linear", name: "v_head.summary" },
];

/** RLHFlow/ArmoRM-Llama3-8B-v0.1, modeling_custom.py and its card. */
export const ARMORM_HEAD: HeadRule = {
  kind: "gated",
  regression: "regression_layer",
  gating: {
    name: "gating.layers.{i}",
    step: 1,
    count: (config) => number(config, "gating_n_hidden", 3) + 1,
    activation: "relu",
  },
  scale: "gating.logit_scale",
  temperature: (config) => number(config, "gating_temperature", 10),
  transform: "reward_transform_matrix",
  // <|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n
  pattern: [128_009, 128_006, 78_191, 128_007, 271],
  rewards: [
    ...["helpsteer-helpfulness", "helpsteer-correctness", "helpsteer-coherence", "helpsteer-complexity"],
    ...["helpsteer-verbosity", "ultrafeedback-overall_score", "ultrafeedback-instruction_following"],
    ...["ultrafeedback-truthfulness", "ultrafeedback-honesty", "ultrafeedback-helpfulness", "beavertails-is_safe"],
    ...["prometheus-score", "argilla-overall_quality", "argilla-judge_lm", "code-complexity", "code-style"],
    ...["code-explanation", "code-instruction-following", "code-readability"],
  ],
};
