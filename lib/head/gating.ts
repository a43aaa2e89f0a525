/** A gated head's arithmetic: where a text's rewards get their weights from, and how they become its score. */
import { ScoreheadError } from "../errors.ts";
import type { Mixing } from "./types.ts";

/**
 * The position that the gating network reads: the first token of the pattern's last occurrence, which is the end of the
 * last prompt in the conversation.
 *
 * @param ids the text's tokens
 * @param pattern see {@link Mixing}
 * @throws ERR_TEMPLATE where the text has no such place, so that its rewards have no weights
 * @source `find_token_for_gating` of RLHFlow/ArmoRM-Llama3-8B-v0.1 (modeling_custom.py)
 */
export function gatingIndex(ids: Int32Array, pattern: Int32Array): number {
  for (let start = ids.length - pattern.length; start >= 0; start--)
    if (pattern.every((id, i) => ids[start + i] === id)) return start;
  throw new ScoreheadError(
    "ERR_TEMPLATE",
    `The text's ${ids.length} tokens do not hold ${pattern.join(", ")}, the tokens between a prompt and its answer, where ` +
      "this model decides how its rewards count. Score a conversation in the model's own template, and do not cut its " +
      "last prompt off.",
  );
}

/**
 * Scores of one text: the mixed score, then its rewards, for each row. Computed in float64 and rounded once.
 *
 * @param rewards row-major `[rows, K]`
 * @param gating the gating network's K outputs at the text's gating position
 * @returns row-major `[rows, 1 + K]`
 * @source `LlamaForRewardModelWithGating.forward` and `GatingNetwork.forward` of RLHFlow/ArmoRM-Llama3-8B-v0.1
 */
export function mixRewards(rewards: Float32Array, gating: Float32Array, mixing: Mixing): Float32Array {
  const width = gating.length;
  const weights = rewardWeights(gating, mixing);
  const scores = new Float32Array((rewards.length / width) * (width + 1));
  for (let from = 0, to = 0; from < rewards.length; from += width, to += width + 1) {
    const row = rewards.subarray(from, from + width);
    scores[to] = row.reduce((sum, reward, k) => sum + reward * (weights[k] as number), 0);
    scores.set(row, to + 1);
  }
  return scores;
}

/** What each reward counts: `transform · softmax(gating / temperature) · scale`. */
function rewardWeights(gating: Float32Array, { temperature, scale, transform }: Mixing): Float64Array {
  const width = gating.length;
  const most = Math.max(...gating);
  const shares = Float64Array.from(gating, (logit) => Math.exp((logit - most) / temperature));
  const total = shares.reduce((a, b) => a + b, 0);
  return Float64Array.from({ length: width }, (_, k) =>
    shares.reduce((sum, share, j) => sum + (share / total) * scale * (transform[k * width + j] as number), 0),
  );
}
