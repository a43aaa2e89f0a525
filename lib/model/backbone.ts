/** What a GGUF file says about its backbone, and the KV cache that this machine has room for. */
import { freemem } from "node:os";
import { ScoreheadError } from "../errors.ts";
import type { GgufFile, GgufMetadata } from "../gguf/types.ts";
import type { NativeDevice } from "../runtime/contract.ts";

export interface Backbone {
  readonly architecture: string;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  /** The most positions that the model was made for. */
  readonly contextLength: number;
  /** Elements of K and V together, a token, over all layers. */
  readonly kvElements: number;
  readonly weightBytes: number;
}

/** @throws ERR_GGUF where a key is missing or absurd */
export function readBackbone({ path, metadata, tensors }: GgufFile): Backbone {
  const architecture = metadata.get("general.architecture");
  if (architecture?.type !== "string") throw new ScoreheadError("ERR_GGUF", `${path} does not name its architecture.`);
  const number = (key: string, fallback?: number): number =>
    positive(path, metadata, `${architecture.value}.${key}`, fallback);
  const layers = number("block_count");
  const hiddenSize = number("embedding_length");
  const heads = number("attention.head_count");
  const kvHeads = number("attention.head_count_kv", heads);
  const keyLength = number("attention.key_length", Math.floor(hiddenSize / heads));
  const valueLength = number("attention.value_length", keyLength);
  const tokens = metadata.get("tokenizer.ggml.tokens");
  return {
    architecture: architecture.value,
    layers,
    hiddenSize,
    vocabularySize: tokens?.type === "array" ? tokens.value.length : 0,
    contextLength: number("context_length"),
    kvElements: layers * kvHeads * (keyLength + valueLength),
    weightBytes: tensors.reduce((sum, { byteLength }) => sum + byteLength, 0),
  };
}

function positive(path: string, metadata: GgufMetadata, key: string, fallback?: number): number {
  const found = metadata.get(key);
  if (!found && fallback !== undefined) return fallback;
  if (!found || typeof found.value !== "number" || !(found.value >= 1) || found.value > 2 ** 31)
    throw new ScoreheadError("ERR_GGUF", `${path}: ${key} is ${found ? "not a positive number" : "missing"}.`);
  return found.value;
}

/** Every published profile fits this; a machine that cannot hold it cannot hold the model. */
const LEAST_CONTEXT = 2048;
/** llama.cpp rounds the cache up to this many cells. */
const CELL_STEP = 256;
/** Share of the memory left beside the weights that the cache may take; the rest is for activations and the host. */
const CACHE_SHARE = 0.5;

/**
 * The KV cache's size in tokens: what the user asks for, else the model's full length where memory allows, and never
 * less than 2048.
 */
export function contextTokens(
  backbone: Backbone,
  wanted: { readonly context: number | undefined; readonly maxLength: number; readonly kv: "f16" | "f32" },
  devices: readonly NativeDevice[],
): number {
  // Two cells more: the card reading adds a placeholder and the token that is read.
  if (wanted.context !== undefined) return roundUp(wanted.context + 2);
  const bytes = backbone.kvElements * (wanted.kv === "f32" ? 4 : 2);
  const free = devices.length > 0 ? devices.reduce((sum, { freeBytes }) => sum + freeBytes, 0) : freemem();
  const room = Math.floor((Math.max(0, free - backbone.weightBytes) * CACHE_SHARE) / bytes);
  return roundUp(Math.max(LEAST_CONTEXT, Math.min(wanted.maxLength, room)) + 2);
}

function roundUp(tokens: number): number {
  return Math.ceil(tokens / CELL_STEP) * CELL_STEP;
}

/** The most tokens of one micro-batch: llama.cpp's own default, large enough to keep a CPU or GPU busy. */
export const BATCH_TOKENS = 512;
/** llama.cpp reserves a row of the vocabulary for each output, host and device, even where it is never computed. */
const OUTPUT_BYTES = 64 * 1024 * 1024;

/** The most outputs of one micro-batch. */
export function maxOutputs({ vocabularySize }: Backbone): number {
  return Math.max(32, Math.min(BATCH_TOKENS, Math.floor(OUTPUT_BYTES / (4 * vocabularySize))));
}
