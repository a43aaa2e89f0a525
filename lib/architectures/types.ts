/**
 * What an architecture is, as data: the graph that llama.cpp computes it with, and how checkpoints name and configure it.
 * The converter writes by it, and files are checked against it before llama.cpp opens them.
 */
import type { ConfigReader } from "../convert/config-reader.ts";

export interface BackboneSizes {
  readonly hiddenSize: number;
  readonly feedForward: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  /** Elements of a head that are rotated. */
  readonly rotary: number;
  /** Rows of the embedding. */
  readonly vocabulary: number;
}

/** A tensor that a graph of llama.cpp takes. */
export interface GraphTensor {
  /** `{i}` is the layer. */
  readonly name: string;
  /** In torch order. */
  readonly shape: (sizes: BackboneSizes) => readonly number[];
  readonly optional?: true;
  /**
   * The graph rotates neighbouring rows, within so many heads; transformers rotates a head's first half with its second.
   * Where it is not given, the graph does as transformers does.
   */
  readonly rotary?: "heads" | "kvHeads";
}

export type RopeScaling = "linear" | "dynamic" | "yarn" | "llama3" | "longrope";

/** One of llama.cpp's graphs: what a file has to hold for it, and what it computes. */
export interface Graph {
  /** `general.architecture`. */
  readonly name: string;
  readonly tensors: readonly GraphTensor[];
  /** Keys `<name>.*` beside those that every graph has; `?`: the graph computes without it. */
  readonly keys: Readonly<Record<string, "u32" | "f32" | "u32?" | "f32?">>;
  /** As transformers calls it, with its aliases. */
  readonly activations: readonly string[];
  readonly ropeScaling: readonly RopeScaling[];
  /** Whether heads may be of any size; else they make up the hidden size. */
  readonly anyHeadSize: boolean;
  /** Whether a head may be rotated in part. */
  readonly partialRotary: boolean;
  /**
   * A sliding window: `alternating`, the graph applies it in every other layer, the first one included; `none`, the graph
   * has none, and texts have to stay within it.
   */
  readonly window: "alternating" | "none";
}

/** Rows [start, start + count) of a checkpoint's tensor. */
export interface RowBlock {
  readonly start: number;
  readonly count: number;
}

/** Part of a checkpoint's tensor: it holds several of the graph's. */
export interface Part {
  readonly from: string;
  /** Rows of the whole. */
  readonly rows: (sizes: BackboneSizes) => number;
  /** The rows of this part, in order: one block a head. */
  readonly blocks: (sizes: BackboneSizes) => readonly RowBlock[];
}

/** A backbone as checkpoints have it. */
export interface Architecture {
  /** What its classes begin with: `Llama` for `LlamaForSequenceClassification`. */
  readonly className: string;
  /** `model_type` of its configs. */
  readonly modelType: string;
  readonly graph: Graph;
  /** By the graph's name, without `.weight` or `.bias`: the checkpoint's, after its prefix. */
  readonly names: Readonly<Record<string, string | Part>>;
  /** What its configuration class assumes where a config does not say. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /** The config key of the activation; default `hidden_act`. */
  readonly activationKey?: string;
  /** The graph's names, as in {@link names}, of the matrices that have a bias. */
  readonly biases: (config: ConfigReader) => readonly string[];
  /** Added to the weights of norms. */
  readonly normOffset?: number;
  /** Queries are multiplied by it: what the graph's own attention scale lacks. */
  readonly queryScale?: (config: ConfigReader, sizes: BackboneSizes) => number;
  /** Values of the graph's own {@link Graph.keys}. */
  readonly keys?: (config: ConfigReader, sizes: BackboneSizes) => Readonly<Record<string, number>>;
}
