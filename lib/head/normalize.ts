/** safe-rlhf's score normaliser. */
import type { Normalizer } from "./types.ts";

/** Keeps a variance of 0 from dividing by 0, as in safe-rlhf's `Normalizer`. */
const EPSILON = 1e-8;

/**
 * Normalises scores: `reward` is (x - mean) / (sqrt(var) + 1e-8), `cost` is x / (sqrt(var) + 1e-8), so that 0 stays the
 * border between safe and harmful. Computed in float64 and rounded once.
 *
 * @param scores row-major `[rows, D]`, raw
 * @param normalizer `mean` and `var` of D numbers each
 * @returns a new array of the same shape
 * @source safe_rlhf/models/normalizer.py, `RewardNormalizeFunction` and `CostNormalizeFunction` of safe-rlhf
 */
export function normalizeScores(scores: Float32Array, normalizer: Normalizer): Float32Array {
  const outputs = normalizer.var.length;
  const shift = normalizer.function === "reward" ? Float64Array.from(normalizer.mean) : new Float64Array(outputs);
  const scale = Float64Array.from(normalizer.var, (v) => Math.sqrt(v) + EPSILON);
  return scores.map((score, i) => (score - (shift[i % outputs] as number)) / (scale[i % outputs] as number));
}
