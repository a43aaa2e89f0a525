/** What a valid score head is, and how the outputs of a wide one are called. */
import { ScoreheadError } from "../errors.ts";
import { isReadPosition, READ_POSITION_WORDS } from "./read-position.ts";
import type { HeadSpec, Normalizer, ScoreType } from "./types.ts";

/** Far above any published head (19 outputs), far below what a corrupt file can ask for. */
const MAX_OUTPUTS = 65_536;

/** llama.cpp's positions are 32-bit integers. */
const MAX_LENGTH = 2 ** 31 - 1;

/**
 * The labels of a head's outputs: the profile's own, else the type for one output ("reward", "cost", "attribute") and
 * the type with a number for several ("reward_0", "reward_1", …).
 *
 * @param type what a score means
 * @param outputs how many outputs the head has
 * @param fixed the profile's labels, or null where it has none
 * @throws ERR_HEAD where the profile's labels are not as many as the outputs
 */
export function defaultLabels(type: ScoreType, outputs: number, fixed: readonly string[] | null): readonly string[] {
  if (fixed !== null) {
    if (fixed.length === outputs) return fixed;
    throw head(
      `The profile names ${fixed.length} outputs (${fixed.join(", ")}), but the checkpoint's head has ${outputs}. ` +
        "Choose the profile that fits the checkpoint.",
    );
  }
  const word = type === "attributes" ? "attribute" : type;
  return outputs === 1 ? [word] : Array.from({ length: outputs }, (_, i) => `${word}_${i}`);
}

/**
 * Checks that a head is complete, finite and consistent, and that it fits the backbone where that is known.
 *
 * @param spec the head; `weight` is row-major `[outputs, hiddenSize]`
 * @param backbone `hiddenSize`: the width of the backbone's hidden states
 * @throws ERR_HEAD naming the output and the index of the first thing that is wrong
 */
export function validateHead(spec: HeadSpec, backbone: { readonly hiddenSize?: number } = {}): void {
  const { outputs, hiddenSize } = spec;
  if (!Number.isInteger(outputs) || outputs < 1 || outputs > MAX_OUTPUTS) {
    throw head(`A score head has 1 to ${MAX_OUTPUTS} outputs, not ${outputs}.`);
  }
  if (!Number.isInteger(hiddenSize) || hiddenSize < 1) throw head(`A score head has no hidden size ${hiddenSize}.`);
  if (backbone.hiddenSize !== undefined && backbone.hiddenSize !== hiddenSize) {
    throw head(
      `The score head takes hidden states of ${hiddenSize} numbers, but the backbone's have ${backbone.hiddenSize}. ` +
        "The head and the backbone are not of the same model; convert the checkpoint again.",
    );
  }
  checkLabels(spec);
  checkWeight(spec);
  if (spec.bias !== null) checkVector(spec.bias, "bias", spec);
  if (spec.normalizer !== null) checkNormalizer(spec.normalizer, spec);
  checkReading(spec);
}

function checkLabels({ type, labels, outputs }: HeadSpec): void {
  if (type !== "reward" && type !== "cost" && type !== "attributes") {
    throw head(`A score's type is reward, cost or attributes, not "${String(type)}".`);
  }
  if (labels.length !== outputs) throw head(`The head has ${outputs} outputs, but ${labels.length} labels.`);
  const seen = new Set<string>();
  for (const [i, label] of labels.entries()) {
    if (label === "") throw head(`The label of output ${i} is empty.`);
    if (seen.has(label)) throw head(`The label "${label}" stands for two outputs of the head.`);
    seen.add(label);
  }
  if (outputs === 1 && type !== "attributes" && labels[0] !== type) {
    throw head(`The one output of a ${type} head is labelled "${type}", not "${labels[0]}".`);
  }
}

function checkWeight({ weight, outputs, hiddenSize, labels }: HeadSpec): void {
  if (weight.length !== outputs * hiddenSize) {
    throw head(`The head's weight has ${weight.length} numbers, but ${outputs} x ${hiddenSize} are needed.`);
  }
  const i = firstNonFinite(weight);
  if (i < 0) return;
  const output = Math.floor(i / hiddenSize);
  throw head(
    `The weight of output ${output} ("${labels[output]}") is ${weight[i]} at index ${i % hiddenSize}: ` +
      "the checkpoint is damaged.",
  );
}

/** One finite number an output. */
function checkVector(values: Float32Array, what: string, { outputs, labels }: HeadSpec): void {
  if (values.length !== outputs) {
    throw head(`The head's ${what} has ${values.length} numbers, but the head has ${outputs} outputs.`);
  }
  const i = firstNonFinite(values);
  if (i >= 0) {
    throw head(`The ${what} of output ${i} ("${labels[i]}") is ${values[i]}: the checkpoint is damaged.`);
  }
}

function checkNormalizer(normalizer: Normalizer, spec: HeadSpec): void {
  if (normalizer.function !== "reward" && normalizer.function !== "cost") {
    throw head(`A normaliser's function is reward or cost, not "${String(normalizer.function)}".`);
  }
  checkVector(normalizer.mean, "normaliser's mean", spec);
  checkVector(normalizer.var, "normaliser's variance", spec);
  const i = normalizer.var.findIndex((v) => v < 0);
  if (i >= 0) {
    throw head(`The normaliser's variance of output ${i} ("${spec.labels[i]}") is ${normalizer.var[i]}, below 0.`);
  }
}

function checkReading({ read, maxLength, truncationSide }: HeadSpec): void {
  if (!isReadPosition(read)) {
    throw head(`A score is read at ${READ_POSITION_WORDS.join(", ")}, not "${String(read)}".`);
  }
  if (!Number.isInteger(maxLength) || maxLength < 1 || maxLength > MAX_LENGTH) {
    throw head(`The head's maximal length must be an integer from 1 to ${MAX_LENGTH}, not ${maxLength}.`);
  }
  if (truncationSide !== "left" && truncationSide !== "right") {
    throw head(`The truncation side is left or right, not "${String(truncationSide)}".`);
  }
}

function firstNonFinite(values: Float32Array): number {
  return values.findIndex((value) => !Number.isFinite(value));
}

function head(message: string): ScoreheadError {
  return new ScoreheadError("ERR_HEAD", message);
}
