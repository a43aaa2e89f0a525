/** Keys of other converters that ask for nothing that llama.cpp's graph would not do without them. */
import type { GgufValue } from "./types.ts";

const any = (): boolean => true;
const only =
  (...neutral: readonly (number | boolean | string)[]) =>
  ({ value }: GgufValue): boolean =>
    neutral.includes(value as number);

/** By what comes after the architecture's name: the values that change nothing. */
const NEUTRAL: Readonly<Record<string, (value: GgufValue) => boolean>> = {
  "attention.causal": only(true),
  "attention.clamp_kqv": only(0),
  "attention.max_alibi_bias": only(0),
  "attention.sliding_window": only(0),
  attn_logit_softcapping: only(0),
  expert_count: only(0),
  expert_used_count: only(0),
  "rope.scaling.type": only("none"),
  // A factor of 0 stands for none; without a type it would scale.
  "rope.scaling.factor": only(0, 1),
  "rope.scale_linear": only(0, 1),
  // Behind the final norm, where nothing is computed.
  final_logit_softcapping: any,
  logit_scale: any,
  // scorehead takes hidden states before any pooling, and applies the classifier's tensor itself.
  pooling_type: any,
  "classifier.output_labels": any,
  // Words for people.
  "rope.scaling.finetuned": any,
  tensor_data_layout: any,
};

/** Whether a key without its architecture's name may be there with this value. */
export function isNeutral(name: string, value: GgufValue): boolean {
  return Object.hasOwn(NEUTRAL, name) && NEUTRAL[name]?.(value) === true;
}
