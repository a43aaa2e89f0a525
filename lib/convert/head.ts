/** A head's tensors → a head: whichever of a layout's rules fits them, with its layers, gate and normaliser. */
import { type CheckpointFiles, type CheckpointTensor, DTYPE_BYTES, type JsonObject } from "../checkpoint/types.ts";
import { ScoreheadError } from "../errors.ts";
import { gatedLabels } from "../head/spec.ts";
import type { Gate, HeadSpec, Layer, Network, Normalizer } from "../head/types.ts";
import type { HeadRule, LayersRule } from "./head-rules.ts";
import { headMeaning, type Reading } from "./meaning.ts";
import { missing, requireFloat, requireShape } from "./requirements.ts";
import { readFloats } from "./tensor-data.ts";

/** Where a head's tensors are looked up. */
export interface HeadTensors {
  /** The file or directory, for messages. */
  readonly place: string;
  readonly files: CheckpointFiles;
  get(name: string): CheckpointTensor | undefined;
}

/** The names of safe-rlhf's normaliser buffers. */
export interface NormalizerRule {
  readonly mean: string;
  readonly var: string;
}

/** The largest published layer, 8192 x 8192 of a 70B model's head, is 256 MiB; a GGUF header takes it and no more. */
const MOST_BYTES = 320 * 1024 * 1024;

/**
 * Reads the head that the first fitting one of `rules` describes.
 * @throws ERR_TENSOR where a tensor is missing, or of another shape or type; ERR_CONFIG; ERR_HEAD
 */
export async function readHead(
  rules: readonly HeadRule[],
  normalizer: NormalizerRule | null,
  tensors: HeadTensors,
  config: JsonObject,
  reading: Reading,
): Promise<HeadSpec> {
  const rule = rules.find((candidate) => tensors.get(headTensor(candidate)));
  if (!rule) throw missing([rules.map(headTensor).join(" or ")], tensors.place);
  const network = await readNetwork(rule, tensors, config);
  const { outputs, inputs: hiddenSize } = network.shape;
  if (rule.kind === "gated")
    return {
      ...reading,
      type: "reward",
      labels: gatedLabels(outputs, reading.labels ?? (rule.rewards.length === outputs ? rule.rewards : null)),
      outputs: outputs + 1,
      hiddenSize,
      network: network.layers,
      gate: await readGate(rule, tensors, config, outputs),
      normalizer: null,
    };
  return {
    ...reading,
    ...headMeaning(reading, config, outputs),
    outputs,
    hiddenSize,
    network: network.layers,
    gate: null,
    normalizer: await readNormalizer(normalizer, tensors, config, outputs),
  };
}

/** The tensor whose presence tells that a rule is meant. */
export function headTensor(rule: HeadRule): string {
  const { kind } = rule;
  return tensorName(
    kind === "linear" ? rule.name : kind === "mlp" ? layerName(rule.layers, 0) : rule.regression,
    "weight",
  );
}

/** A layer without a name is a state_dict of its own. */
function tensorName(layer: string, part: "weight" | "bias"): string {
  return layer === "" ? part : `${layer}.${part}`;
}

interface ReadNetwork {
  readonly layers: Network;
  readonly shape: { readonly outputs: number; readonly inputs: number };
}

async function readNetwork(rule: HeadRule, tensors: HeadTensors, config: JsonObject): Promise<ReadNetwork> {
  const layers =
    rule.kind === "mlp"
      ? await readLayers(rule.layers, tensors, config)
      : { layers: [await readLayer(rule.kind === "linear" ? rule.name : rule.regression, tensors)], activation: null };
  const [first, last] = [layers.layers[0], layers.layers.at(-1)] as [Layer, Layer];
  return { layers, shape: { outputs: last.outputs, inputs: first.inputs } };
}

function layerName({ name, step }: LayersRule, layer: number): string {
  return name.replace("{i}", String(layer * step));
}

async function readLayers(rule: LayersRule, tensors: HeadTensors, config: JsonObject): Promise<Network> {
  const count = rule.count(config);
  const layers: Layer[] = [];
  for (let i = 0; i < count; i++) {
    const name = layerName(rule, i);
    const layer = await readLayer(name, tensors);
    if (layer.bias === null) throw missing([tensorName(name, "bias")], tensors.place);
    layers.push(layer);
  }
  return { layers, activation: rule.activation };
}

async function readLayer(name: string, tensors: HeadTensors): Promise<Layer> {
  const weight = tensors.get(tensorName(name, "weight"));
  if (!weight) throw missing([tensorName(name, "weight")], tensors.place);
  requireShape(weight, [null, null]);
  const [outputs, inputs] = weight.shape as [number, number];
  const bias = tensors.get(tensorName(name, "bias"));
  if (bias) requireShape(bias, [outputs]);
  return {
    outputs,
    inputs,
    weight: await floats(weight, tensors.files),
    bias: bias ? await floats(bias, tensors.files) : null,
  };
}

async function readGate(
  rule: Extract<HeadRule, { kind: "gated" }>,
  tensors: HeadTensors,
  config: JsonObject,
  rewards: number,
): Promise<Gate> {
  const get = async (name: string, shape: readonly number[]): Promise<Float32Array> => {
    const tensor = tensors.get(name);
    if (!tensor) throw missing([name], tensors.place);
    requireShape(tensor, shape);
    return floats(tensor, tensors.files);
  };
  const [scale = Number.NaN] = await get(rule.scale, [1]);
  return {
    network: await readLayers(rule.gating, tensors, config),
    temperature: rule.temperature(config),
    scale,
    transform: await get(rule.transform, [rewards, rewards]),
    pattern: Int32Array.from(rule.pattern),
  };
}

function floats(tensor: CheckpointTensor, files: CheckpointFiles): Promise<Float32Array> {
  const float = requireFloat(tensor);
  const bytes = (tensor.byteLength / DTYPE_BYTES[tensor.dtype]) * DTYPE_BYTES.F32;
  if (bytes > MOST_BYTES)
    throw new ScoreheadError(
      "ERR_HEAD",
      `${tensor.name} of the head has the shape [${tensor.shape.join(", ")}], ${bytes} bytes in float32; at most ` +
        `${MOST_BYTES} can be.`,
    );
  return readFloats(float, files);
}

/** Only where the config says `do_normalize`; the buffers of the checkpoint go before the config's numbers. */
async function readNormalizer(
  rule: NormalizerRule | null,
  tensors: HeadTensors,
  config: JsonObject,
  outputs: number,
): Promise<Normalizer | null> {
  const mean = rule && tensors.get(rule.mean);
  const variance = rule && tensors.get(rule.var);
  if (!rule || config.do_normalize !== true) return null;
  const kind = config.score_type;
  if (kind !== "reward" && kind !== "cost")
    throw new ScoreheadError(
      "ERR_CONFIG",
      `config.json: do_normalize is true, and score_type is ${JSON.stringify(kind)} instead of "reward" or "cost".`,
    );
  const values = async (tensor: CheckpointTensor | null | undefined, name: "mean" | "var"): Promise<Float32Array> => {
    if (!tensor) return configNumbers(config, name, outputs);
    requireShape(tensor, [outputs]);
    return floats(tensor, tensors.files);
  };
  return { function: kind, mean: await values(mean, "mean"), var: await values(variance, "var") };
}

function configNumbers(config: JsonObject, name: "mean" | "var", outputs: number): Float32Array {
  const value = config[name];
  const numbers = Array.isArray(value) ? value : typeof value === "number" ? [value] : [];
  if (numbers.length === outputs && numbers.every((n) => typeof n === "number"))
    return Float32Array.from(numbers as number[]);
  throw new ScoreheadError(
    "ERR_CONFIG",
    `do_normalize is true, and neither the tensor normalizer.${name} nor config.json's "${name}" gives ${outputs} numbers.`,
  );
}
