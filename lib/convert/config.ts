/** A transformers config of the Llama kind → sizes and GGUF keys. What llama.cpp would compute differently is refused. */
import type { CheckpointTensor, JsonObject } from "../checkpoint/types.ts";
import { ScoreheadError } from "../errors.ts";
import type { GgufValue } from "../gguf/types.ts";
import { f32, str, u32 } from "../gguf/values.ts";
import type { BackboneSizes } from "./layouts.ts";

export interface BackboneConfig {
  readonly sizes: BackboneSizes;
  /** The most tokens that are computed as transformers would: positions, capped at a sliding window. */
  readonly maxLength: number;
  /** `<architecture>.*` keys, and `general.architecture`. */
  readonly keys: ReadonlyMap<string, GgufValue>;
}

/**
 * Reads a Llama or Mistral config.
 * @param embedding the checkpoint's embedding, whose rows are the vocabulary
 * @throws ERR_CONFIG where a field is missing or absurd; ERR_UNSUPPORTED where llama.cpp computes something else
 */
export function readConfig(config: JsonObject, architecture: string, embedding: CheckpointTensor): BackboneConfig {
  refuseWhatDiffers(config);
  const hiddenSize = integer(config, "hidden_size");
  const heads = integer(config, "num_attention_heads");
  const kvHeads = integer(config, "num_key_value_heads", heads);
  const headSize = integer(config, "head_dim", hiddenSize / heads);
  if (heads % kvHeads !== 0)
    throw invalid("num_key_value_heads", kvHeads, `a divisor of num_attention_heads, ${heads}`);
  if (headSize % 2 !== 0) throw invalid("head_dim", headSize, "even");
  const sizes: BackboneSizes = {
    hiddenSize,
    feedForward: integer(config, "intermediate_size"),
    layers: integer(config, "num_hidden_layers"),
    heads,
    kvHeads,
    headSize,
    vocabulary: embedding.shape[0] ?? 0,
  };
  const positions = integer(config, "max_position_embeddings");
  const window =
    config.sliding_window == null || config.use_sliding_window === false ? null : integer(config, "sliding_window");
  const key = (name: string): string => `${architecture}.${name}`;
  // llama.cpp has no window here: longer texts would attend to more than they should.
  const maxLength = Math.min(positions, window ?? positions);
  return {
    sizes,
    maxLength,
    keys: new Map<string, GgufValue>([
      ["general.architecture", str(architecture)],
      [key("block_count"), u32(sizes.layers)],
      [key("context_length"), u32(maxLength)],
      [key("embedding_length"), u32(hiddenSize)],
      [key("feed_forward_length"), u32(sizes.feedForward)],
      [key("attention.head_count"), u32(heads)],
      [key("attention.head_count_kv"), u32(kvHeads)],
      [key("attention.key_length"), u32(headSize)],
      [key("attention.value_length"), u32(headSize)],
      [key("attention.layer_norm_rms_epsilon"), f32(positive(config, "rms_norm_eps"))],
      [key("rope.dimension_count"), u32(headSize)],
      [key("rope.freq_base"), f32(ropeTheta(config))],
      [key("vocab_size"), u32(sizes.vocabulary)],
    ]),
  };
}

/** Settings that change the numbers and that this conversion does not carry over. */
function refuseWhatDiffers(config: JsonObject): void {
  const activation = config.hidden_act ?? "silu";
  if (activation !== "silu")
    throw unsupported(`hidden_act is ${JSON.stringify(activation)}, and llama.cpp computes silu`);
  if (config.mlp_bias === true) throw unsupported("mlp_bias is true, and llama.cpp has no biases there");
  const scaling = ropeScaling(config);
  if (scaling !== null) throw unsupported(`the rotary embedding is scaled (${JSON.stringify(scaling)})`);
  if (typeof config.partial_rotary_factor === "number" && config.partial_rotary_factor !== 1)
    throw unsupported(`partial_rotary_factor is ${config.partial_rotary_factor}`);
}

/** transformers >= 5 keeps the rotary settings in `rope_parameters`. */
function ropeParameters(config: JsonObject): JsonObject {
  const parameters = config.rope_parameters;
  return typeof parameters === "object" && parameters !== null ? (parameters as JsonObject) : {};
}

function ropeScaling(config: JsonObject): unknown {
  const scaling = config.rope_scaling ?? ropeParameters(config);
  if (typeof scaling !== "object" || scaling === null) return scaling ?? null;
  const { rope_type, type } = scaling as JsonObject;
  // A factor without a type scales all the same in some versions of transformers.
  const kind = rope_type ?? type ?? ("factor" in scaling ? "unnamed" : "default");
  return kind === "default" ? null : scaling;
}

function ropeTheta(config: JsonObject): number {
  const inParameters = ropeParameters(config).rope_theta;
  if (config.rope_theta !== undefined && inParameters !== undefined && config.rope_theta !== inParameters)
    throw invalid("rope_theta", config.rope_theta, `what rope_parameters say, ${JSON.stringify(inParameters)}`);
  const source = config.rope_theta === undefined ? { ...config, ...ropeParameters(config) } : config;
  return source.rope_theta === undefined ? 10_000 : positive(source, "rope_theta");
}

/** No published size comes near it; a larger one is a damaged config. */
const MOST = 1 << 26;

function integer(config: JsonObject, name: string, fallback?: number): number {
  const value = config[name] ?? fallback;
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > MOST)
    throw invalid(name, value, `an integer from 1 to ${MOST}`);
  return value as number;
}

function positive(config: JsonObject, name: string): number {
  const value = config[name];
  if (typeof value !== "number" || !Number.isFinite(value) || value <= 0)
    throw invalid(name, value, "a positive number");
  return value;
}

function invalid(name: string, value: unknown, expected: string): ScoreheadError {
  const found = value === undefined ? "missing" : JSON.stringify(value);
  return new ScoreheadError(
    "ERR_CONFIG",
    `config.json: ${name} is ${found}; it has to be ${expected}. Take the config of the model that the weights are of.`,
  );
}

function unsupported(reason: string): ScoreheadError {
  return new ScoreheadError(
    "ERR_UNSUPPORTED",
    `This checkpoint cannot be converted: ${reason}. Its scores would be wrong.`,
  );
}
