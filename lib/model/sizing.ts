/** What a model gets of the machine: context, micro-batch, threads, GPU layers; each with its reason. */
import { availableParallelism, freemem } from "node:os";
import type { BatchLimits } from "../batch/types.ts";
import { ScoreheadError } from "../errors.ts";
import type { Backbone } from "../gguf/backbone.ts";
import type { DeviceSelection } from "../runtime/open.ts";

/** What the user asked for; undefined: scorehead chooses. */
export interface SizingWishes {
  readonly context?: number | undefined;
  readonly kv?: "f16" | "f32" | undefined;
  readonly threads?: number | undefined;
  readonly gpuLayers?: number | undefined;
}

export interface Sizing extends Omit<BatchLimits, "sequences"> {
  readonly kv: "f16" | "f32";
  readonly threads: number;
  /** Layers on the devices; -1: all. */
  readonly gpuLayers: number;
  readonly weightBytes: number;
  readonly kvBytes: number;
  /** Activations, and the rows of the vocabulary that llama.cpp reserves for outputs. */
  readonly computeBytes: number;
  /** Free where the model goes: the devices' memory, else the host's. */
  readonly freeBytes: number;
  /** For people: one sentence a choice. */
  readonly reasons: readonly string[];
}

/** Every published profile fits this; a machine that cannot hold it cannot hold the model. */
const LEAST_CONTEXT = 2048;
/** llama.cpp rounds the cache up to this many cells. */
const CELL_STEP = 256;
/** Share of the memory left beside the weights that the cache may take by itself. */
const CACHE_SHARE = 0.5;
/** Share of the free memory that is used at all: the rest is for the host, and for what is not counted here. */
const USABLE_SHARE = 0.95;
/**
 * Tokens of a micro-batch. A GPU wants many. A CPU is as busy with 128, and each text then looks at fewer keys of the
 * others that share its micro-batch: independent texts are a third faster than with 512.
 */
const GPU_BATCH = 512;
const CPU_BATCH = 128;
/** Fewer leave a CPU's cores idle between operations. */
const LEAST_BATCH = 32;
/** Without fused attention the scores of all heads over the whole context are held at once, for each token. */
const ATTENTION_BYTES = 512 * 1024 * 1024;
/** llama.cpp reserves a row of the vocabulary for each output, host and device, even where it is never computed. */
const OUTPUT_BYTES = 64 * 1024 * 1024;
/** Vectors of the hidden size a token that a layer's graph holds at once; measured on Llama shapes, rounded up. */
const VECTORS_A_TOKEN = 24;

/**
 * Chooses the sizes for a model.
 * @param maxLength the most tokens of a text
 * @throws ERR_MEMORY with the numbers, and what would fit, where the machine cannot hold the model
 */
export function chooseSizes(
  backbone: Backbone,
  maxLength: number,
  { kind, devices }: DeviceSelection,
  wishes: SizingWishes,
): Sizing {
  const kv = wishes.kv ?? "f16";
  const threads = wishes.threads ?? availableParallelism();
  const onGpu = devices.length > 0;
  const freeBytes = onGpu ? devices.reduce((sum, device) => sum + device.freeBytes, 0) : hostBytes();
  const usable = freeBytes * USABLE_SHARE;
  const weightBytes = backbone.weightBytes + (onGpu ? backbone.extraGpuBytes : 0);
  const cellBytes = backbone.kvElements * (kv === "f32" ? 4 : 2);
  const room = Math.floor((Math.max(0, usable - weightBytes) * CACHE_SHARE) / cellBytes);
  const contextTokens = chooseContext(wishes.context, maxLength, room);
  const kvBytes = contextTokens * cellBytes;
  const fused = onGpu && kv === "f16";
  const mostTokens = onGpu ? GPU_BATCH : CPU_BATCH;
  const batchFor = (tokens: number): number => (fused ? mostTokens : batchThatFits(backbone, tokens, mostTokens));
  const batchTokens = batchFor(contextTokens);
  const maxOutputs = Math.min(batchTokens, Math.max(32, Math.floor(OUTPUT_BYTES / (4 * backbone.vocabularySize))));
  const computeBytes = computeSize(backbone, contextTokens, batchTokens, maxOutputs, fused);
  const gpuLayers = onGpu
    ? (wishes.gpuLayers ?? layersThatFit(backbone, usable - computeBytes, weightBytes + kvBytes))
    : 0;
  const sizes = { contextTokens, batchTokens, maxOutputs, kv, threads, gpuLayers };
  const bytes = { weightBytes, kvBytes, computeBytes, freeBytes };
  const needs = (tokens: number): number =>
    weightBytes + tokens * cellBytes + computeSize(backbone, tokens, batchFor(tokens), maxOutputs, fused);
  if (!onGpu && needs(contextTokens) > usable)
    throw tooLarge(bytes, largestContext(contextTokens, usable, needs), wishes);
  const reasons = [
    `device ${kind}: ${onGpu ? devices.map(({ description }) => description).join(", ") : "no GPU is used"}`,
    `context ${contextTokens} tokens: ${contextReason(wishes.context, maxLength, contextTokens)}`,
    `KV cache ${mebibytes(kvBytes)} in ${kv}, weights ${mebibytes(weightBytes)}, computing about ${mebibytes(computeBytes)}; ${mebibytes(freeBytes)} free`,
    `micro-batch ${batchTokens} tokens, at most ${maxOutputs} outputs: llama.cpp reserves ${backbone.vocabularySize} numbers for each`,
    `threads ${threads}: ${wishes.threads === undefined ? "as many as this process may use" : "as asked"}`,
    ...(onGpu ? [gpuReason(gpuLayers, backbone.layers, wishes.gpuLayers)] : []),
  ];
  return { ...sizes, ...bytes, reasons };
}

/** Memory that this process may still take, within the limits of a container. */
function hostBytes(): number {
  return process.availableMemory?.() ?? freemem();
}

/** The user's wish; else the model's full length where memory allows, and never less than 2048 tokens. */
function chooseContext(wish: number | undefined, maxLength: number, room: number): number {
  const tokens = wish ?? Math.max(LEAST_CONTEXT, Math.min(maxLength, room));
  // Two cells more: the card reading adds a placeholder and the token that is read.
  return Math.ceil((tokens + 2) / CELL_STEP) * CELL_STEP;
}

function contextReason(wish: number | undefined, maxLength: number, chosen: number): string {
  if (wish !== undefined) return `as asked, rounded up to a multiple of ${CELL_STEP}`;
  return chosen >= maxLength
    ? `the model's length, ${maxLength}, fits`
    : `the model's length is ${maxLength}; this is what memory allows`;
}

/** A micro-batch whose attention scores stay within bounds; a multiple of 32. */
function batchThatFits({ heads }: Backbone, context: number, most: number): number {
  const fits = Math.floor(ATTENTION_BYTES / (heads * context * 4) / LEAST_BATCH) * LEAST_BATCH;
  return Math.max(LEAST_BATCH, Math.min(most, fits));
}

function computeSize(
  { hiddenSize, heads, vocabularySize }: Backbone,
  context: number,
  batch: number,
  outputs: number,
  fused: boolean,
): number {
  const activations = batch * hiddenSize * 4 * VECTORS_A_TOKEN;
  const attention = batch * context * 4 * (fused ? 1 : heads);
  return activations + attention + 2 * outputs * vocabularySize * 4;
}

/** -1 where all layers fit, else how many do. */
function layersThatFit({ layers }: Backbone, bytes: number, needed: number): number {
  // The output matrix counts as one layer more.
  return needed <= bytes ? -1 : Math.max(0, Math.floor(bytes / (needed / (layers + 1))));
}

function gpuReason(chosen: number, layers: number, wish: number | undefined): string {
  if (wish !== undefined) return `GPU layers ${wish === -1 ? "all" : wish}: as asked`;
  return chosen === -1 ? `GPU layers all: they fit` : `GPU layers ${chosen} of ${layers}: more do not fit`;
}

/** The most cells that fit, below `tokens`; 0 where not even the smallest cache does. */
function largestContext(tokens: number, usable: number, needs: (tokens: number) => number): number {
  let [fits, tooMany] = [0, Math.ceil(tokens / CELL_STEP)];
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >> 1;
    if (needs(middle * CELL_STEP) <= usable) fits = middle;
    else tooMany = middle;
  }
  return fits * CELL_STEP;
}

function tooLarge(
  {
    weightBytes,
    kvBytes,
    computeBytes,
    freeBytes,
  }: Pick<Sizing, "weightBytes" | "kvBytes" | "computeBytes" | "freeBytes">,
  largest: number,
  { context }: SizingWishes,
): ScoreheadError {
  const fits = largest - 2;
  const remedy =
    largest > 0
      ? `A context of ${fits} tokens would fit: pass \`context: ${fits}\`${context === undefined ? " and keep texts shorter" : ""}.`
      : "Even a short context does not fit: use a smaller weight type (`scorehead quantize --type q4_k_m`), or a larger machine.";
  return new ScoreheadError(
    "ERR_MEMORY",
    `The model needs ${mebibytes(weightBytes + kvBytes + computeBytes)} (weights ${mebibytes(weightBytes)}, KV cache ` +
      `${mebibytes(kvBytes)}, computing ${mebibytes(computeBytes)}), and ${mebibytes(freeBytes)} are free. ${remedy}`,
  );
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
