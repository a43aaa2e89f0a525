/** What a GGUF file says about its backbone, checked before llama.cpp sees it. */
import { ScoreheadError } from "../errors.ts";
import { isNeutral } from "./neutral-keys.ts";
import type { GgufFile, GgufMetadata, GgufTensor, GgufValue } from "./types.ts";

export interface Backbone {
  readonly architecture: string;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  /** The most positions that the model was made for. */
  readonly contextLength: number;
  readonly heads: number;
  /** Elements of K and V together, a token, over all layers. */
  readonly kvElements: number;
  readonly weightBytes: number;
  /** Bytes that llama.cpp adds on a GPU: the embedding again, as output matrix, where the file has none. */
  readonly extraGpuBytes: number;
}

/** What a GGUF file holds, or what a planned one will. */
export type GgufContents = Pick<GgufFile, "path" | "metadata"> & {
  readonly tensors: readonly Pick<GgufTensor, "name" | "byteLength" | "typeName" | "dims">[];
};

/** @throws ERR_GGUF where a key is missing or absurd */
export function readBackbone({ path, metadata, tensors }: GgufContents): Backbone {
  const architecture = metadata.get("general.architecture");
  if (architecture?.type !== "string") throw new ScoreheadError("ERR_GGUF", `${path} does not name its architecture.`);
  const number = (key: string, fallback?: number): number =>
    positive(path, metadata, `${architecture.value}.${key}`, fallback);
  refuseWhatDiffers(path, architecture.value, metadata, tensors);
  const layers = number("block_count");
  if (layers > MOST_LAYERS)
    throw new ScoreheadError(
      "ERR_GGUF",
      `${path} has ${layers} layers, and llama.cpp computes at most ${MOST_LAYERS}.`,
    );
  for (const key of ["attention.layer_norm_rms_epsilon", "rope.freq_base"])
    requireUsable(path, metadata, `${architecture.value}.${key}`);
  const hiddenSize = number("embedding_length");
  const heads = number("attention.head_count");
  const kvHeads = number("attention.head_count_kv", heads);
  const keyLength = number("attention.key_length", Math.floor(hiddenSize / heads));
  const valueLength = number("attention.value_length", keyLength);
  const tokens = metadata.get("tokenizer.ggml.tokens");
  const bytesOf = (name: string): number => tensors.find((tensor) => tensor.name === name)?.byteLength ?? 0;
  return {
    architecture: architecture.value,
    layers,
    hiddenSize,
    vocabularySize: tokens?.type === "array" ? tokens.value.length : 0,
    contextLength: number("context_length"),
    heads,
    kvElements: layers * kvHeads * (keyLength + valueLength),
    weightBytes: tensors.reduce((sum, { byteLength }) => sum + byteLength, 0),
    extraGpuBytes: bytesOf("output.weight") > 0 ? 0 : bytesOf("token_embd.weight"),
  };
}

/**
 * What the converter writes of a backbone. llama.cpp aborts the process on others, or computes something else, unless
 * their values are neutral.
 */
const KEYS: readonly string[] = [
  ...["block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size"],
  ...["attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length"],
  ...["attention.layer_norm_rms_epsilon", "rope.dimension_count", "rope.freq_base"],
];
/** Types that no weight is multiplied in: llama.cpp crashes on them. */
const NO_WEIGHTS: readonly string[] = ["I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K"];

function refuseWhatDiffers(
  path: string,
  architecture: string,
  metadata: GgufMetadata,
  tensors: GgufContents["tensors"],
): void {
  if (architecture !== "llama")
    throw new ScoreheadError("ERR_UNSUPPORTED", `${path}: the architecture ${architecture} is not supported.`);
  const changes = ([name, value]: [string, GgufValue]): boolean =>
    name.startsWith("llama.") && !KEYS.includes(name.slice(6)) && !isNeutral(name.slice(6), value);
  const odd = [...metadata].find(changes);
  if (odd)
    throw new ScoreheadError(
      "ERR_UNSUPPORTED",
      `${path} has the key ${odd[0]} (${brief(odd[1])}), and what it asks for is not supported: scores would be wrong. ` +
        "Convert the checkpoint again.",
    );
  refuseOtherFiles(path, metadata);
  for (const { name, dims, typeName } of tensors) {
    const isVector = dims.slice(1).every((n) => n === 1);
    if (isVector ? typeName !== "F32" : NO_WEIGHTS.includes(typeName))
      throw new ScoreheadError(
        "ERR_GGUF",
        `${path}: ${name} is of type ${typeName}, which llama.cpp cannot compute with.`,
      );
  }
}

/** Files of other tools that are no whole model. */
function refuseOtherFiles(path: string, metadata: GgufMetadata): void {
  const type = metadata.get("general.type")?.value ?? "model";
  if (type !== "model")
    throw new ScoreheadError("ERR_UNSUPPORTED", `${path} is no model; its general.type is ${type}.`);
  const parts = metadata.get("split.count")?.value ?? 1;
  if (typeof parts === "number" && parts <= 1) return;
  throw new ScoreheadError(
    "ERR_UNSUPPORTED",
    `${path} is one of ${parts} parts of a model. Join them first: llama-gguf-split --merge <first part> <file.gguf>.`,
  );
}

function brief({ value }: GgufValue): string {
  return typeof value === "object" ? "an array" : String(value);
}

/** llama.cpp's LLAMA_MAX_LAYERS; it aborts the process above that. */
const MOST_LAYERS = 512;

/** llama.cpp aborts the process on some of these numbers and computes nonsense with the others. */
function requireUsable(path: string, metadata: GgufMetadata, key: string): void {
  const found = metadata.get(key);
  if (found && !(typeof found.value === "number" && found.value > 0 && Number.isFinite(found.value)))
    throw new ScoreheadError("ERR_GGUF", `${path}: ${key} is not a positive number.`);
}

function positive(path: string, metadata: GgufMetadata, key: string, fallback?: number): number {
  const found = metadata.get(key);
  if (!found && fallback !== undefined) return fallback;
  if (!found || typeof found.value !== "number" || !(found.value >= 1) || found.value > 2 ** 31)
    throw new ScoreheadError("ERR_GGUF", `${path}: ${key} is ${found ? "not a positive number" : "missing"}.`);
  return found.value;
}
