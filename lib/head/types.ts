/** The score head as data: what is applied to the final hidden state, where it is read, and what the numbers mean. */

/** What a score means. `reward`: higher is better. `cost`: above 0 is harmful. `attributes`: one rating an output. */
export type ScoreType = "reward" | "cost" | "attributes";
export const SCORE_TYPES: readonly ScoreType[] = ["reward", "cost", "attributes"];

/**
 * Where a text's score is read.
 * - `last-token`: the last token.
 * - `card`: as Starling-RM-7B-alpha's card computes it: an `<unk>` at position maxLength-1 whose own key is masked.
 * - `hf`: the rightmost token that is not the pad token (transformers >= 4.49).
 * - `before-first-pad`: the token before the first pad token (transformers <= 4.48).
 * - `token:<id>`: the last token of that id (InternLM2's reward token).
 */
export type ReadPosition = "last-token" | "card" | "hf" | "before-first-pad" | `token:${number}`;
export const READ_POSITIONS: readonly ReadPosition[] = ["last-token", "card", "hf", "before-first-pad"];

export type TruncationSide = "left" | "right";

/** safe-rlhf's normaliser: `reward` is (x - mean) / (sqrt(var) + 1e-8), `cost` is x / (sqrt(var) + 1e-8). */
export interface Normalizer {
  readonly function: "reward" | "cost";
  /** One an output. */
  readonly mean: Float32Array;
  /** One an output, each >= 0. */
  readonly var: Float32Array;
}

/** A linear layer: `weight · x + bias`. */
export interface Layer {
  readonly outputs: number;
  readonly inputs: number;
  /** Row-major `[outputs, inputs]`. */
  readonly weight: Float32Array;
  /** One an output, or null. */
  readonly bias: Float32Array | null;
}

/** What is applied between two layers of an MLP. */
export type Activation = "relu" | "tanh";
export const ACTIVATIONS: readonly Activation[] = ["relu", "tanh"];

/** Linear layers one after the other: one layer is a linear head, several are an MLP. */
export interface Network {
  readonly layers: readonly Layer[];
  /** Between each two layers; null where there is one layer. */
  readonly activation: Activation | null;
}

/**
 * How a text's rewards become its score (ArmoRM): `sum_k g_k · (rewards · transform)_k`, with
 * `g = softmax(gating / temperature) · scale`.
 */
export interface Mixing {
  readonly temperature: number;
  readonly scale: number;
  /** Row-major `[K, K]`, of K rewards. */
  readonly transform: Float32Array;
  /** The token ids at whose last occurrence, at its first token, the gating network reads its hidden state. */
  readonly pattern: Int32Array;
}

export interface Gate extends Mixing {
  /** Hidden state → K numbers. */
  readonly network: Network;
}

/** `linear` and `mlp`: the network's outputs are the scores. `gated`: they are mixed to one score, which goes first. */
export type HeadKind = "linear" | "mlp" | "gated";

/** What the numbers are and mean, without the weights that make them. */
export interface HeadFacts {
  /** The profile it was converted with; `custom` where none matched. */
  readonly profile: string;
  readonly type: ScoreType;
  /** One an output. */
  readonly labels: readonly string[];
  /** Scores of a text: the network's outputs, and with a gate the mixed score before them. */
  readonly outputs: number;
  readonly hiddenSize: number;
  readonly normalizer: Normalizer | null;
  readonly read: ReadPosition;
  /** The most tokens a text may have. */
  readonly maxLength: number;
  readonly truncationSide: TruncationSide;
  /** Where the checkpoint came from, as far as known; empty strings where not. */
  readonly source: { readonly repository: string; readonly revision: string };
}

/** `score = network(hidden)`, mixed where there is a gate, then normalised where there is a normaliser. */
export interface HeadSpec extends HeadFacts {
  readonly network: Network;
  readonly gate: Gate | null;
}

/** A head whose weights the addon holds. */
export interface LoadedHead extends HeadFacts {
  readonly kind: HeadKind;
  readonly mixing: Mixing | null;
}
