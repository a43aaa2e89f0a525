/** The score head as data: what is applied to the final hidden state, where it is read, and what the numbers mean. */

/** What a score means. `reward`: higher is better. `cost`: above 0 is harmful. `attributes`: one rating an output. */
export type ScoreType = "reward" | "cost" | "attributes";

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

/** `score = weight · hidden + bias`, then the normaliser where there is one. */
export interface HeadSpec {
  /** The profile it was converted with; `custom` where none matched. */
  readonly profile: string;
  readonly type: ScoreType;
  /** One an output. */
  readonly labels: readonly string[];
  /** Row-major `[outputs, hiddenSize]`. */
  readonly weight: Float32Array;
  readonly outputs: number;
  readonly hiddenSize: number;
  /** One an output, or null. */
  readonly bias: Float32Array | null;
  readonly normalizer: Normalizer | null;
  readonly read: ReadPosition;
  /** The most tokens a text may have. */
  readonly maxLength: number;
  readonly truncationSide: TruncationSide;
  /** Where the checkpoint came from, as far as known; empty strings where not. */
  readonly source: { readonly repository: string; readonly revision: string };
}
