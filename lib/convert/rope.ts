/** The rotary embedding of a config → GGUF keys and frequency factors. */
import type { Graph } from "../architectures/types.ts";
import type { JsonObject } from "../checkpoint/types.ts";
import type { GgufValue } from "../gguf/types.ts";
import { f32, str, u32 } from "../gguf/values.ts";
import { ConfigReader, invalidConfig, unsupported } from "./config-reader.ts";

export interface Rope {
  /** Elements of a head that are rotated. */
  readonly rotary: number;
  /** The most tokens that llama.cpp rotates as transformers does. */
  readonly maxLength: number;
  /** `rope.*`, without the architecture's name. */
  readonly keys: ReadonlyMap<string, GgufValue>;
  /** What frequencies are divided by, by the name of the graph's tensor. */
  readonly factors: ReadonlyMap<string, Float32Array>;
}

/** What a kind of scaling adds. */
type Scaling = Partial<Pick<Rope, "maxLength" | "factors">> & { readonly keys?: Readonly<Record<string, GgufValue>> };

/** What the kinds of scaling compute with. */
interface Given {
  readonly parameters: ConfigReader;
  readonly theta: number;
  readonly rotary: number;
  readonly positions: number;
  /** The positions that the model was first trained for. */
  readonly original: number;
}

/** Reads `rope_theta` and `rope_scaling`, or transformers 5's `rope_parameters`, in all their spellings. */
export function readRope(config: ConfigReader, graph: Graph, headSize: number, positions: number): Rope {
  // Read before anything is refused, else a survey would take them for keys that nobody knows.
  const outer = SHARED.map((key) => config.value(key) ?? undefined);
  const { parameters, name } = scalingParameters(config);
  const [theta = 10_000, partial = 1, original = positions] = SHARED.map((key, i) =>
    agreeing(key, outer[i], parameters.value(key) ?? undefined, name),
  );
  if (typeof theta !== "number" || !Number.isFinite(theta) || theta <= 0)
    throw invalidConfig("rope_theta", theta, "a positive number");
  const rotary = Math.floor(headSize * Number(partial));
  if (rotary !== headSize && !(graph.partialRotary && rotary > 0 && rotary < headSize && rotary % 2 === 0))
    throw unsupported(`partial_rotary_factor is ${JSON.stringify(partial)}`);
  if (!Number.isInteger(original) || (original as number) < 1)
    throw invalidConfig("original_max_position_embeddings", original, "a positive integer");
  const given = { parameters, theta, rotary, positions, original: original as number };
  const scaling = readScaling(given, graph);
  const unknown = parameters.unread();
  if (unknown.length > 0) throw unsupported(`${name} has ${unknown.join(", ")}, which scorehead does not know`);
  return {
    rotary,
    maxLength: Math.min(positions, scaling.maxLength ?? positions),
    keys: new Map<string, GgufValue>([
      ["rope.dimension_count", u32(rotary)],
      ["rope.freq_base", f32(theta)],
      ...Object.entries(scaling.keys ?? {}).map(([key, value]) => [`rope.scaling.${key}`, value] as const),
    ]),
    factors: scaling.factors ?? new Map(),
  };
}

function scalingParameters(config: ConfigReader): { readonly parameters: ConfigReader; readonly name: string } {
  const [old, current] = [config.value("rope_scaling") ?? null, config.value("rope_parameters") ?? null];
  const name = old === null ? "rope_parameters" : "rope_scaling";
  const given = old ?? current ?? {};
  if (typeof given !== "object" || Array.isArray(given)) throw invalidConfig(name, given, "an object or null");
  if (old !== null && current !== null && JSON.stringify(old) !== JSON.stringify(current))
    throw invalidConfig("rope_scaling", old, `what rope_parameters says, ${JSON.stringify(current)}`);
  return { parameters: new ConfigReader(given as JsonObject), name };
}

/** Settings that stand beside the parameters, among them, or, with one value, in both places. */
const SHARED = ["rope_theta", "partial_rotary_factor", "original_max_position_embeddings"] as const;

function agreeing(key: string, outer: unknown, inner: unknown, name: string): unknown {
  if (outer !== undefined && inner !== undefined && outer !== inner)
    throw invalidConfig(key, outer, `what ${name} says, ${JSON.stringify(inner)}`);
  return outer ?? inner;
}

const SCALINGS: Readonly<Record<Graph["ropeScaling"][number], (given: Given) => Scaling>> = {
  linear,
  dynamic,
  yarn,
  llama3,
  longrope,
};

function readScaling(given: Given, graph: Graph): Scaling {
  const { parameters } = given;
  const alias = parameters.value("type");
  const kind = parameters.value("rope_type") ?? alias;
  if (kind !== (alias ?? kind)) throw invalidConfig("rope_type", kind, `what type says, ${JSON.stringify(alias)}`);
  if (kind === "default" || (kind === undefined && parameters.value("factor") === undefined)) return {};
  // Phi-3's first configs call longrope so.
  const found = graph.ropeScaling.find((known) => known === (kind === "su" ? "longrope" : kind));
  if (found) return SCALINGS[found](given);
  throw unsupported(
    `the rotary embedding is scaled by ${JSON.stringify(kind ?? "a factor without a type")}, and llama.cpp's graph ` +
      `${graph.name} computes ${graph.ropeScaling.join(", ")}`,
  );
}

/** Positions divided by a factor. */
function linear({ parameters }: Given): Scaling {
  return { keys: { type: str("linear"), factor: f32(parameters.positive("factor")) } };
}

/** A base that grows with the text beyond the model's positions, which llama.cpp does not have; within them, nothing. */
function dynamic({ parameters, original }: Given): Scaling {
  parameters.positive("factor");
  return { maxLength: original };
}

/**
 * YaRN (arXiv:2309.00071), as transformers 5 reads it: `factor` counts. Versions 4.50 to 4.56 took the ratio of
 * max_position_embeddings to the original length instead.
 */
function yarn({ parameters, positions, original }: Given): Scaling {
  const factor = parameters.positive("factor", positions / original);
  if (factor < 1) throw unsupported(`YaRN's factor is ${factor}, below 1`);
  for (const [key, standard] of [
    ["beta_fast", 32],
    ["beta_slow", 1],
  ] as const)
    if (parameters.positive(key, standard) !== standard)
      throw unsupported(`YaRN's ${key} is not ${standard}, which is what llama.cpp computes with`);
  if (!parameters.flag("truncate", true)) throw unsupported("YaRN's truncate is false, and llama.cpp truncates");
  const magnitude = (scale: number, by = 1): number => (scale <= 1 ? 1 : 0.1 * by * Math.log(scale) + 1);
  const [mscale, mscaleAll] = [parameters.value("mscale"), parameters.value("mscale_all_dim")];
  const computed =
    mscale && mscaleAll ? magnitude(factor, Number(mscale)) / magnitude(factor, Number(mscaleAll)) : magnitude(factor);
  // llama.cpp multiplies by the standard magnitude itself.
  const rest = parameters.positive("attention_factor", computed) / magnitude(factor);
  return {
    keys: {
      type: str("yarn"),
      factor: f32(factor),
      original_context_length: u32(original),
      ...(rest === 1 ? {} : { attn_factor: f32(rest) }),
    },
  };
}

/** Llama 3.1's: low frequencies are divided by the factor, high ones are kept, and those between go over smoothly. */
function llama3({ parameters, theta, rotary, original }: Given): Scaling {
  const factor = parameters.positive("factor");
  const [low, high] = [parameters.positive("low_freq_factor"), parameters.positive("high_freq_factor")];
  if (high <= low) throw invalidConfig("high_freq_factor", high, `above low_freq_factor, ${low}`);
  const factors = Float32Array.from({ length: rotary / 2 }, (_, i) => {
    const turns = (original * theta ** ((-2 * i) / rotary)) / (2 * Math.PI);
    const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return 1 / ((1 - kept) / factor + kept);
  });
  return { factors: new Map([["rope_freqs.weight", factors]]) };
}

/**
 * LongRoPE (arXiv:2402.13753). Texts beyond the original length take other factors; llama.cpp goes by the context's
 * length, not by the text's, so texts stay within the original length.
 */
function longrope({ parameters, rotary, positions, original }: Given): Scaling {
  const ratio = positions / original;
  const factor = parameters.positive("factor", ratio);
  if (factor !== ratio)
    throw invalidConfig("factor", factor, `the ratio of max_position_embeddings to the original length, ${ratio}`);
  const computed = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
  const lists = ["short", "long"] as const;
  return {
    maxLength: original,
    keys: {
      type: str("longrope"),
      original_context_length: u32(original),
      attn_factor: f32(parameters.positive("attention_factor", computed)),
    },
    factors: new Map(
      lists.map((list) => [
        `rope_factors_${list}.weight`,
        Float32Array.from(parameters.numbers(`${list}_factor`, rotary / 2)),
      ]),
    ),
  };
}
