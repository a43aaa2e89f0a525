/** What a GGUF file says about its backbone, checked before llama.cpp sees it. */
import { GRAPHS } from "../architectures/index.ts";
import type { BackboneSizes, Graph } from "../architectures/types.ts";
import { ScoreheadError } from "../errors.ts";
import { checkTensors } from "./check-tensors.ts";
import { GRAPH_KEYS, requireKeyTypes } from "./key-types.ts";
import { isNeutral } from "./neutral-keys.ts";
import type { GgufFile, GgufMetadata, GgufTensor, GgufValue } from "./types.ts";

export interface Backbone {
  readonly architecture: string;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  /** The most tokens that the model was made for and that llama.cpp computes as it was made. */
  readonly contextLength: number;
  readonly heads: number;
  /** Elements of K and V together, a token, over all layers. */
  readonly kvElements: number;
  /** How many tokens every other layer looks back; null: all layers see all. */
  readonly window: number | null;
  /** Whether rotary factors follow the length: texts stay within the original one, so the short ones are right. */
  readonly longRope: boolean;
  readonly weightBytes: number;
  /** Bytes that llama.cpp adds on a GPU: the embedding again, as output matrix, where the file has none. */
  readonly extraGpuBytes: number;
}

/** What a GGUF file holds, or what a planned one will. */
export type GgufContents = Pick<GgufFile, "path" | "metadata"> & {
  readonly tensors: readonly Pick<GgufTensor, "name" | "byteLength" | "typeName" | "dims">[];
};

/**
 * Reads and checks the backbone: architecture, keys, and that every tensor is there in its shape and no other.
 * @throws ERR_GGUF where a key or tensor is missing or absurd; ERR_UNSUPPORTED where the file asks for something else
 *   than scorehead knows to be right
 */
export function readBackbone({ path, metadata, tensors }: GgufContents): Backbone {
  const architecture = metadata.get("general.architecture");
  if (architecture?.type !== "string") throw new ScoreheadError("ERR_GGUF", `${path} does not name its architecture.`);
  const graph = GRAPHS.get(architecture.value);
  if (!graph)
    throw new ScoreheadError(
      "ERR_UNSUPPORTED",
      `${path}: the architecture ${architecture.value} is not supported. Supported: ${[...GRAPHS.keys()].join(", ")}.`,
    );
  refuseOtherFiles(path, metadata);
  requireKeyTypes(path, metadata, graph);
  const keys = new Keys(path, metadata, graph);
  keys.check();
  const sizes = readSizes(keys, tensors);
  const longRope = readRope(keys, tensors);
  checkTensors(path, graph, sizes, tensors);
  const bytesOf = (name: string): number => tensors.find((tensor) => tensor.name === name)?.byteLength ?? 0;
  const { layers, hiddenSize, heads, kvHeads, headSize, vocabulary } = sizes;
  return {
    architecture: graph.name,
    layers,
    hiddenSize,
    vocabularySize: vocabulary,
    contextLength: contextLength(keys, longRope),
    heads,
    kvElements: layers * kvHeads * 2 * headSize,
    window: graph.window === "none" ? null : keys.integer("attention.sliding_window"),
    longRope,
    weightBytes: tensors.reduce((sum, { byteLength }) => sum + byteLength, 0),
    extraGpuBytes: bytesOf("output.weight") > 0 ? 0 : bytesOf("token_embd.weight"),
  };
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

function readSizes(keys: Keys, tensors: GgufContents["tensors"]): BackboneSizes {
  const layers = keys.integer("block_count");
  if (layers > MOST_LAYERS)
    throw keys.error("block_count", `${layers}, and llama.cpp computes at most ${MOST_LAYERS} layers`);
  keys.number("attention.layer_norm_rms_epsilon");
  const hiddenSize = keys.integer("embedding_length");
  const heads = keys.integer("attention.head_count");
  const kvHeads = keys.integer("attention.head_count_kv", heads);
  const headSize = keys.integer("attention.key_length", Math.floor(hiddenSize / heads));
  const rotary = keys.integer("rope.dimension_count", headSize);
  // llama.cpp asserts most of this, and so ends the process.
  if (heads % kvHeads !== 0) throw keys.error("attention.head_count_kv", `no divisor of the ${heads} heads`);
  if (keys.integer("attention.value_length", headSize) !== headSize)
    throw keys.error("attention.value_length", `not the length of keys, ${headSize}`);
  if (!keys.graph.anyHeadSize && heads * headSize !== hiddenSize)
    throw keys.error("attention.key_length", `${headSize}, and ${heads} heads have to make up ${hiddenSize}`);
  if (rotary % 2 !== 0 || rotary > headSize || (rotary < headSize && !keys.graph.partialRotary))
    throw keys.error("rope.dimension_count", `${rotary}, and a head has ${headSize} elements`);
  return {
    hiddenSize,
    feedForward: keys.integer("feed_forward_length"),
    layers,
    heads,
    kvHeads,
    headSize,
    rotary,
    vocabulary: keys.vocabulary(tensors),
  };
}

/** Checks what the rotary embedding is scaled by. Returns whether its factors follow the length. */
function readRope(keys: Keys, tensors: GgufContents["tensors"]): boolean {
  const { graph } = keys;
  keys.number("rope.freq_base", 10_000);
  keys.number("rope.scaling.attn_factor", 1);
  const factor = keys.number("rope.scaling.factor", 1);
  const isScaled = factor !== 1;
  const hasFactor = keys.has("rope.scaling.factor");
  const has = (name: string): boolean => tensors.some((tensor) => tensor.name === `${name}.weight`);
  const [short, long] = [has("rope_factors_short"), has("rope_factors_long")];
  const kind = keys.text("rope.scaling.type") ?? (short ? "longrope" : "none");
  // On every other word llama.cpp ends the process.
  const complete: Readonly<Record<string, boolean>> = {
    none: !isScaled && !short && !long,
    linear: hasFactor && !short && !long,
    yarn: hasFactor && !short && !long,
    longrope: !isScaled && short && long,
  };
  const isKnown = kind === "none" || graph.ropeScaling.some((scaling) => scaling === kind);
  if (isKnown && complete[kind]) return kind === "longrope";
  throw new ScoreheadError(
    "ERR_UNSUPPORTED",
    `${keys.path}: ${graph.name}.rope.scaling.type is ${kind}, and its factor (${factor}) or tensors are not what that needs: ` +
      "scores would be wrong.",
  );
}

/** Longer texts would see other factors, or more than a window that llama.cpp's graph does not have. */
function contextLength(keys: Keys, longRope: boolean): number {
  const positions = keys.integer("context_length");
  const original = longRope ? keys.integer("rope.scaling.original_context_length", positions) : positions;
  const ignoresWindow = keys.graph.window === "none" && keys.has("attention.sliding_window");
  return Math.min(positions, original, ignoresWindow ? keys.integer("attention.sliding_window") : positions);
}

/** The keys of a file's architecture. */
class Keys {
  readonly path: string;
  readonly graph: Graph;
  readonly #metadata: GgufMetadata;

  constructor(path: string, metadata: GgufMetadata, graph: Graph) {
    this.path = path;
    this.graph = graph;
    this.#metadata = metadata;
  }

  /** Refuses keys that the graph does not have, or not as scorehead knows them, and misses those that it needs. */
  check(): void {
    const prefix = `${this.graph.name}.`;
    const isKnown = (name: string, value: GgufValue): boolean =>
      Object.hasOwn(GRAPH_KEYS, name) || Object.hasOwn(this.graph.keys, name) || isNeutral(name, value);
    const odd = [...this.#metadata].find(
      ([name, value]) => name.startsWith(prefix) && !isKnown(name.slice(prefix.length), value),
    );
    if (odd)
      throw new ScoreheadError(
        "ERR_UNSUPPORTED",
        `${this.path} has the key ${odd[0]} (${brief(odd[1])}), and what it asks for is not supported: scores would be wrong. ` +
          "Convert the checkpoint again.",
      );
    for (const [name, kind] of Object.entries(this.graph.keys))
      if (this.has(name) || !kind.endsWith("?")) this.number(name);
  }

  has(name: string): boolean {
    return this.#get(name) !== undefined;
  }

  /** undefined also for a value that changes nothing, unless the graph cannot do without. */
  #get(name: string): GgufValue | undefined {
    const found = this.#metadata.get(`${this.graph.name}.${name}`);
    const isNeeded = this.graph.keys[name]?.endsWith("?") === false;
    return found && !isNeeded && isNeutral(name, found) ? undefined : found;
  }

  /** @throws ERR_GGUF where it is missing and there is no fallback, or not a positive number */
  number(name: string, fallback?: number): number {
    const found = this.#get(name);
    const value = found ? found.value : fallback;
    if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
    throw this.error(name, found ? "not a positive number" : "missing");
  }

  integer(name: string, fallback?: number): number {
    const value = this.number(name, fallback);
    if (Number.isInteger(value) && value <= 2 ** 31) return value;
    throw this.error(name, "not a positive integer");
  }

  text(name: string): string | null {
    const found = this.#metadata.get(`${this.graph.name}.${name}`);
    if (found && found.type !== "string") throw this.error(name, "not a text");
    return found ? found.value : null;
  }

  /** As many tokens as there are; where the file lists none, rows of the embedding. */
  vocabulary(tensors: GgufContents["tensors"]): number {
    const tokens = this.#metadata.get("tokenizer.ggml.tokens");
    if (tokens?.type === "array") return tokens.value.length;
    return tensors.find(({ name }) => name === "token_embd.weight")?.dims[1] ?? 0;
  }

  error(name: string, what: string): ScoreheadError {
    return new ScoreheadError("ERR_GGUF", `${this.path}: ${this.graph.name}.${name} is ${what}.`);
  }
}
