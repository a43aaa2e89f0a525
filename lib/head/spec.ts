/** What a valid score head is, and how the outputs of a wide one are called. */
import { ScoreheadError } from "../errors.ts";
import { checkNetwork, firstNonFinite, MAX_OUTPUTS } from "./network.ts";
import { isReadPosition, READ_POSITION_WORDS } from "./read-position.ts";
import {
  type Gate,
  type HeadKind,
  type HeadSpec,
  type LoadedHead,
  type Normalizer,
  SCORE_TYPES,
  type ScoreType,
} from "./types.ts";

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

/** The labels of a gated head: its score, then what it is mixed from. `fixed` as for {@link defaultLabels}. */
export function gatedLabels(attributes: number, fixed: readonly string[] | null): readonly string[] {
  return ["reward", ...defaultLabels("attributes", attributes, fixed)];
}

export function headKind({ network, gate }: Pick<HeadSpec, "network" | "gate">): HeadKind {
  if (gate !== null) return "gated";
  return network.layers.length > 1 ? "mlp" : "linear";
}

/** The head without its weights, once the addon holds them. */
export function loadedHead({ network, gate, ...facts }: HeadSpec): LoadedHead {
  if (gate === null) return { ...facts, kind: headKind({ network, gate }), mixing: null };
  const { network: _, ...mixing } = gate;
  return { ...facts, kind: "gated", mixing };
}

/**
 * Checks that a head is complete, finite and consistent, and that it fits the backbone where that is known.
 *
 * @param spec the head
 * @param backbone `hiddenSize`: the width of the backbone's hidden states; `vocabularySize`: how many tokens it knows
 * @throws ERR_HEAD naming the output and the index of the first thing that is wrong
 */
export function validateHead(
  spec: HeadSpec,
  backbone: { readonly hiddenSize?: number; readonly vocabularySize?: number } = {},
): void {
  const { outputs, hiddenSize } = spec;
  if (!Number.isInteger(outputs) || outputs < 1 || outputs > MAX_OUTPUTS) {
    throw head(`A score head has 1 to ${MAX_OUTPUTS} outputs, not ${outputs}.`);
  }
  if (!Number.isInteger(hiddenSize) || hiddenSize < 1) throw head(`A score head has no hidden size ${hiddenSize}.`);
  if (backbone.hiddenSize !== undefined && backbone.hiddenSize !== hiddenSize) {
    throw head(
      `The score head takes hidden states of ${hiddenSize} numbers, but the backbone's have ${backbone.hiddenSize}. ` +
        "The head and the backbone are not of the same model: convert the checkpoint again, or name the head of this backbone.",
    );
  }
  checkLabels(spec);
  const { network, gate } = spec;
  if (gate === null) checkNetwork(network, "head", hiddenSize, outputs, spec.labels);
  else checkGated(spec, gate, backbone.vocabularySize ?? Number.POSITIVE_INFINITY);
  if (spec.normalizer !== null) checkNormalizer(spec.normalizer, spec);
  checkReading(spec);
}

function checkLabels({ type, labels, outputs }: HeadSpec): void {
  if (!SCORE_TYPES.includes(type)) {
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

function checkGated(
  { network, hiddenSize, outputs, labels, type, normalizer }: HeadSpec,
  gate: Gate,
  vocabularySize: number,
): void {
  const rewards = outputs - 1;
  if (rewards < 1) throw head("A gated head has a score and at least one reward that it is mixed from.");
  if (type !== "reward" || labels[0] !== "reward")
    throw head(
      `A gated head's first output is its score, "reward" of type reward, not "${labels[0]}" of type ${type}.`,
    );
  if (normalizer !== null) throw head("A gated head's score is not normalised.");
  checkNetwork(network, "regression", hiddenSize, rewards, labels.slice(1));
  checkNetwork(gate.network, "gating network", hiddenSize, rewards, labels.slice(1));
  const { temperature, scale, transform, pattern } = gate;
  if (!(temperature > 0) || !Number.isFinite(temperature))
    throw head(`The gating temperature is ${temperature}; it has to be a positive number.`);
  if (!Number.isFinite(scale)) throw head(`The gating scale is ${scale}: the checkpoint is damaged.`);
  if (transform.length !== rewards * rewards)
    throw head(`The reward transform has ${transform.length} numbers, but ${rewards} x ${rewards} are needed.`);
  const i = firstNonFinite(transform);
  if (i >= 0) throw head(`Number ${i} of the reward transform is ${transform[i]}: the checkpoint is damaged.`);
  const odd = pattern.find((id) => id < 0 || id >= vocabularySize);
  if (pattern.length === 0 || odd !== undefined)
    throw head(
      `The gating position's token pattern (${pattern.join(", ") || "empty"}) is not of this vocabulary of ` +
        `${vocabularySize} tokens: no text could be scored.`,
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

function head(message: string): ScoreheadError {
  return new ScoreheadError("ERR_HEAD", message);
}
