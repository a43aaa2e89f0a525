/** A checkpoint's config → sizes and GGUF keys. What llama.cpp would compute differently is refused. */
import { ARCHITECTURES } from "../architectures/index.ts";
import type { Architecture, BackboneSizes } from "../architectures/types.ts";
import type { JsonObject } from "../checkpoint/types.ts";
import type { ScoreheadError } from "../errors.ts";
import type { GgufValue } from "../gguf/types.ts";
import { f32, str, u32 } from "../gguf/values.ts";
import { attempt, note } from "../problems.ts";
import { ConfigReader, invalidConfig, unsupported } from "./config-reader.ts";
import { type Rope, readRope } from "./rope.ts";

export interface BackboneConfig {
  readonly architecture: Architecture;
  readonly sizes: BackboneSizes;
  /** The most tokens that are computed as transformers would: positions, capped where llama.cpp differs. */
  readonly maxLength: number;
  /** `<architecture>.*` keys, and `general.architecture`. */
  readonly keys: ReadonlyMap<string, GgufValue>;
  /** Tensors that follow from the config, by name. */
  readonly factors: Rope["factors"];
  /** As {@link Architecture.biases}. */
  readonly biases: readonly string[];
  /** What queries are multiplied by. */
  readonly queryScale: number;
}

/**
 * Reads the config of a backbone. What is wrong beside its sizes is added to the problems, and the rest is still read.
 * @param vocabulary rows of the embedding
 * @param problems gets ERR_CONFIG where a field is missing or absurd, ERR_UNSUPPORTED where llama.cpp computes something
 *   else
 * @throws the same for sizes, without which no tensor can be judged
 */
export function readConfig(
  config: ConfigReader,
  architecture: Architecture,
  vocabulary: number,
  problems: ScoreheadError[],
): BackboneConfig {
  const { graph } = architecture;
  const part = <T>(read: () => T, otherwise: T): T => attempt(problems, read) ?? otherwise;
  for (const difference of whatDiffers(config, architecture)) note(problems, difference);
  const { positions, ...lengths } = readSizes(config, architecture);
  const unscaled: Rope = { rotary: lengths.headSize, maxLength: positions, keys: new Map(), factors: new Map() };
  const rope = part(() => readRope(config, graph, lengths.headSize, positions), unscaled);
  const sizes: BackboneSizes = { ...lengths, rotary: rope.rotary, vocabulary };
  const window = part(() => slidingWindow(config, architecture, sizes.layers), null);
  const capped = graph.window === "none" && window !== null;
  // Longer texts would attend to more than they should.
  const maxLength = capped ? Math.min(rope.maxLength, window) : rope.maxLength;
  const own = {
    ...(graph.window === "none" ? {} : { "attention.sliding_window": window ?? positions }),
    ...part(() => architecture.keys?.(config, sizes) ?? {}, {}),
  };
  const values: [string, GgufValue][] = [
    ["block_count", u32(sizes.layers)],
    ["context_length", u32(maxLength)],
    ["embedding_length", u32(sizes.hiddenSize)],
    ["feed_forward_length", u32(sizes.feedForward)],
    ["attention.head_count", u32(sizes.heads)],
    ["attention.head_count_kv", u32(sizes.kvHeads)],
    ["attention.key_length", u32(sizes.headSize)],
    ["attention.value_length", u32(sizes.headSize)],
    ["attention.layer_norm_rms_epsilon", f32(part(() => config.positive("rms_norm_eps"), Number.NaN))],
    ...rope.keys,
    ["vocab_size", u32(vocabulary)],
    ...Object.entries(own).map(([key, value]): [string, GgufValue] => [
      key,
      graph.keys[key]?.startsWith("u32") ? u32(value) : f32(value),
    ]),
  ];
  return {
    architecture,
    sizes,
    maxLength,
    keys: new Map([
      ["general.architecture", str(graph.name)],
      ...values.map(([key, value]): [string, GgufValue] => [`${graph.name}.${key}`, value]),
    ]),
    factors: rope.factors,
    biases: part(() => biasesOf(config, architecture), []),
    queryScale: part(() => architecture.queryScale?.(config, sizes) ?? 1, 1),
  };
}

/** The sizes, and how many positions there are. */
function readSizes(
  config: ConfigReader,
  { graph }: Architecture,
): Omit<BackboneSizes, "rotary" | "vocabulary"> & { readonly positions: number } {
  const hiddenSize = config.integer("hidden_size");
  const heads = config.integer("num_attention_heads");
  const kvHeads = config.integer("num_key_value_heads", heads);
  const headSize = config.integer("head_dim", hiddenSize / heads);
  if (heads % kvHeads !== 0)
    throw invalidConfig("num_key_value_heads", kvHeads, `a divisor of num_attention_heads, ${heads}`);
  if (headSize % 2 !== 0) throw invalidConfig("head_dim", headSize, "even");
  if (!graph.anyHeadSize && heads * headSize !== hiddenSize)
    throw unsupported(
      `${heads} heads of ${headSize} do not make up the hidden size, ${hiddenSize}, as llama.cpp's graph ${graph.name} assumes`,
    );
  return {
    hiddenSize,
    feedForward: config.integer("intermediate_size"),
    layers: config.integer("num_hidden_layers"),
    heads,
    kvHeads,
    headSize,
    positions: config.integer("max_position_embeddings"),
  };
}

function biasesOf(config: ConfigReader, { biases, graph }: Architecture): readonly string[] {
  const wanted = biases(config);
  const missing = wanted.find((name) => !graph.tensors.some((tensor) => tensor.name === `${name}.bias`));
  if (missing === undefined) return wanted;
  throw unsupported(
    `the config asks for biases of the attention, and llama.cpp's graph ${graph.name} has none of ${missing}`,
  );
}

/** Settings that change the numbers and that this conversion does not carry over. */
function* whatDiffers(
  config: ConfigReader,
  { activationKey = "hidden_act", graph }: Architecture,
): Generator<ScoreheadError> {
  const activation = config.value(activationKey) ?? graph.activations[0];
  if (!graph.activations.includes(activation as string))
    yield unsupported(
      `${activationKey} is ${JSON.stringify(activation)}, and llama.cpp computes ${graph.activations[0]}`,
    );
  if (config.value("mlp_bias") === true) yield unsupported("mlp_bias is true, and the conversion has no biases there");
  for (const flag of ["is_encoder_decoder", "add_cross_attention", "use_bidirectional_attention"])
    if (config.value(flag) === true) yield unsupported(`${flag} is true`);
}

/**
 * The architecture that a config beside a GGUF file names; where that is none that is known, one of the file's graph, as
 * what else the config says still holds.
 * @param graph one of an architecture, by its name
 */
export function architectureOf(config: JsonObject, graph: string): Architecture {
  const named = ARCHITECTURES.find(({ modelType }) => modelType === config.model_type);
  return named ?? (ARCHITECTURES.find((architecture) => architecture.graph.name === graph) as Architecture);
}

/** The sliding window that a config by itself tells for so many layers; null: none. @throws as {@link readConfig} */
export function configuredWindow(config: JsonObject, architecture: Architecture, layers: number): number | null {
  return slidingWindow(new ConfigReader(config, architecture.defaults), architecture, layers);
}

/** How many tokens a layer with a window looks back, itself included; null where none has a window. */
function slidingWindow(config: ConfigReader, { graph, defaults }: Architecture, layers: number): number | null {
  const inUse = config.value("use_sliding_window") !== false;
  const firstLayer = config.value("max_window_layers") ?? 0;
  const given = config.value("sliding_window") ?? null;
  const kinds = layerKinds(config, layers);
  const isAlternating = graph.window === "alternating";
  if (isAlternating && kinds?.some((isSliding, i) => isSliding !== (i % 2 === 0)))
    throw unsupported("layer_types are not what llama.cpp computes, windows in every other layer");
  // Qwen's classes alone have a switch and layers without a window; others have it, whatever such keys say.
  const isOptional = !isAlternating && "use_sliding_window" in defaults;
  const hasWindow = kinds ? kinds.includes(true) : !(Number(firstLayer) >= layers);
  return given === null || (isOptional && !(inUse && hasWindow)) ? null : config.integer("sliding_window");
}

/** Whether each layer has a sliding window, where the config lists that. */
function layerKinds(config: ConfigReader, layers: number): readonly boolean[] | null {
  const kinds = config.value("layer_types") ?? null;
  if (kinds === null) return null;
  const known = (kind: unknown): boolean => kind === "full_attention" || kind === "sliding_attention";
  if (!Array.isArray(kinds) || kinds.length !== layers || !kinds.every(known))
    throw unsupported(
      `layer_types is ${JSON.stringify(kinds)}, not ${layers} times full_attention or sliding_attention`,
    );
  return kinds.map((kind) => kind === "sliding_attention");
}
