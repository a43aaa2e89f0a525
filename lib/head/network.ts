/** What valid layers are: sizes that fit each other, finite numbers, a known activation. */
import { ScoreheadError } from "../errors.ts";
import { ACTIVATIONS, type Layer, type Network } from "./types.ts";

/** Far above any published head (19 outputs, 8192 neurons), far below what a corrupt file can ask for. */
export const MAX_OUTPUTS = 65_536;
/** Published heads have up to four. */
export const MAX_LAYERS = 64;

/**
 * Checks that a network leads from `inputs` numbers to `outputs`.
 *
 * @param what the network's name in messages
 * @param labels of the outputs, to name one whose weights are wrong
 * @throws ERR_HEAD naming the layer, and the output and index of the first number that is wrong
 */
export function checkNetwork(
  { layers, activation }: Network,
  what: string,
  inputs: number,
  outputs: number,
  labels: readonly string[],
): void {
  if (layers.length < 1 || layers.length > MAX_LAYERS)
    throw head(`The ${what} has ${layers.length} layers; 1 to ${MAX_LAYERS} can be.`);
  if (layers.length > 1 && !ACTIVATIONS.includes(activation as (typeof ACTIVATIONS)[number]))
    throw head(`The ${what}'s activation is ${ACTIVATIONS.join(" or ")}, not "${String(activation)}".`);
  let width = inputs;
  for (const [i, layer] of layers.entries()) {
    const isLast = i === layers.length - 1;
    const name = layers.length === 1 ? what : `${what}'s layer ${i}`;
    if (layer.inputs !== width)
      throw head(`The ${name} takes ${layer.inputs} numbers, but ${width} come out of what is before it.`);
    if (isLast && layer.outputs !== outputs)
      throw head(`The ${name} has ${layer.outputs} outputs, but ${outputs} are needed.`);
    checkLayer(layer, name, (output) => (isLast ? `output ${output} ("${labels[output]}")` : `neuron ${output}`));
    width = layer.outputs;
  }
}

function checkLayer({ outputs, inputs, weight, bias }: Layer, name: string, nameOf: (row: number) => string): void {
  if (!Number.isInteger(outputs) || outputs < 1 || outputs > MAX_OUTPUTS)
    throw head(`The ${name} has ${outputs} outputs; 1 to ${MAX_OUTPUTS} can be.`);
  if (weight.length !== outputs * inputs)
    throw head(`The ${name}'s weight has ${weight.length} numbers, but ${outputs} x ${inputs} are needed.`);
  if (bias !== null && bias.length !== outputs)
    throw head(`The ${name}'s bias has ${bias.length} numbers, but the ${name} has ${outputs} outputs.`);
  const i = firstNonFinite(weight);
  if (i >= 0)
    throw head(
      `The ${name}'s weight of ${nameOf(Math.floor(i / inputs))} is ${weight[i]} at index ${i % inputs}: the checkpoint ` +
        "is damaged.",
    );
  const b = bias === null ? -1 : firstNonFinite(bias);
  if (b >= 0) throw head(`The ${name}'s bias of ${nameOf(b)} is ${bias?.[b]}: the checkpoint is damaged.`);
}

/** The index of the first NaN or infinity, or -1. A plain loop: an MLP of a large model has 67 million weights. */
export function firstNonFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}

function head(message: string): ScoreheadError {
  return new ScoreheadError("ERR_HEAD", message);
}
