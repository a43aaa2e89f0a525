/** What a GGUF file says about its backbone. */
import { ScoreheadError } from "../errors.ts";
import type { GgufFile, GgufMetadata, GgufTensor } from "../gguf/types.ts";

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
