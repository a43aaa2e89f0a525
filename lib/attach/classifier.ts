/** The classifier that llama.cpp's converter writes as tensors (`cls.*`), read as a head: raw outputs, no softmax. */
import type { Reading } from "../convert/meaning.ts";
import { ScoreheadError } from "../errors.ts";
import { tensorData } from "../gguf/read-data.ts";
import type { GgufFile, GgufTensor } from "../gguf/types.ts";
import { defaultLabels } from "../head/spec.ts";
import type { HeadSpec, Layer, Network } from "../head/types.ts";
import { scoreType } from "../prompt/profiles.ts";
import { dequantizeTensor } from "../runtime/quantize.ts";

const PREFIX = "cls.";
/** One row an output. */
const OUTPUT = "cls.output";
/** A layer before it, with tanh after it; llama.cpp's `build_pooling`. */
const DENSE = "cls";

/** The architectures whose graph in llama.cpp v0.5.0 takes `cls.output.weight`; it refuses the others' files. */
const LOADED_FOR: readonly string[] = ["qwen3"];

export function isClassifierTensor({ name }: Pick<GgufTensor, "name">): boolean {
  return name.startsWith(PREFIX);
}

export function hasClassifier({ tensors }: GgufFile): boolean {
  return tensors.some(({ name }) => name === `${OUTPUT}.weight`);
}

/** The file as it would be without its classifier, which no graph computes. */
export function withoutClassifier(file: GgufFile): GgufFile {
  return { ...file, tensors: file.tensors.filter((tensor) => !isClassifierTensor(tensor)) };
}

/** Whether llama.cpp opens the file as it is: with the classifier's tensors counted, and of the shape it expects. */
export function opensWithClassifier(file: GgufFile): boolean {
  const tensors = file.tensors.filter(isClassifierTensor);
  if (tensors.length === 0) return true;
  const isOutput = tensors.length === 1 && tensors[0]?.name === `${OUTPUT}.weight`;
  const rows = tensors[0]?.dims[1] ?? 1;
  return isOutput && LOADED_FOR.includes(architecture(file)) && rows === Math.max(1, outputLabels(file).length);
}

/** The keys that go with the classifier's tensors. */
export function classifierKeys(file: GgufFile): string[] {
  return [labelsKey(file), `${architecture(file)}.pooling_type`];
}

function architecture({ metadata }: GgufFile): string {
  return String(metadata.get("general.architecture")?.value);
}

function labelsKey(file: GgufFile): string {
  return `${architecture(file)}.classifier.output_labels`;
}

/** The outputs' names; none where the file has none. */
function outputLabels(file: GgufFile): readonly string[] {
  const found = file.metadata.get(labelsKey(file));
  return found?.type === "array" && found.of === "string" ? found.value : [];
}

/**
 * Reads the classifier as a head, with the file's own labels unless `reading` has others.
 * @throws ERR_GGUF, ERR_IO; ERR_UNSUPPORTED for one that is more than llama.cpp's graph computes
 */
export async function readClassifier(file: GgufFile, reading: Reading): Promise<HeadSpec> {
  const network = await readNetwork(file);
  const last = network.layers.at(-1) as Layer;
  const { outputs } = last;
  const type = scoreType(reading, outputs);
  const own = outputLabels(file);
  // The one output of a reward or cost model is called after its type, whatever its class was called.
  const labels = reading.labels ?? (outputs > 1 && own.length === outputs ? own : null);
  return {
    ...reading,
    type,
    labels: defaultLabels(type, outputs, labels),
    outputs,
    hiddenSize: network.layers[0]?.inputs ?? 0,
    network,
    gate: null,
    normalizer: null,
  };
}

async function readNetwork(file: GgufFile): Promise<Network> {
  const known = [OUTPUT, DENSE].flatMap((name) => [`${name}.weight`, `${name}.bias`]);
  const odd = file.tensors.find((tensor) => isClassifierTensor(tensor) && !known.includes(tensor.name));
  if (odd)
    throw new ScoreheadError(
      "ERR_UNSUPPORTED",
      `${file.path} has the tensor ${odd.name}, which its classifier would compute something else with. Name the head ` +
        "from the checkpoint with `--head` instead.",
    );
  const output = await readLayer(file, OUTPUT);
  if (!file.tensors.some(({ name }) => name === `${DENSE}.weight`)) return { layers: [output], activation: null };
  return { layers: [await readLayer(file, DENSE), output], activation: "tanh" };
}

async function readLayer(file: GgufFile, name: string): Promise<Layer> {
  const find = (part: string): GgufTensor | undefined =>
    file.tensors.find((tensor) => tensor.name === `${name}.${part}`);
  const weight = find("weight");
  const bias = find("bias");
  if (!weight) throw new ScoreheadError("ERR_GGUF", `${file.path} lacks the tensor ${name}.weight.`);
  const [inputs = 0, outputs = 1] = weight.dims;
  return { outputs, inputs, weight: await floats(file, weight), bias: bias ? await floats(file, bias) : null };
}

async function floats(file: GgufFile, tensor: GgufTensor): Promise<Float32Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of tensorData(file, tensor)) chunks.push(chunk);
  const elements = tensor.dims.reduce((product, n) => product * n, 1);
  return dequantizeTensor({ type: tensor.type, bytes: Buffer.concat(chunks), elements });
}
