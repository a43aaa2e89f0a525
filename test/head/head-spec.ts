/** A small valid head for tests, with any field replaced. */
import type { HeadSpec } from "../../lib/head/types.ts";

/** A 2-wide cost head on hidden states of 3 numbers, with bias and normaliser. */
export function headSpec(changes: Partial<HeadSpec> = {}): HeadSpec {
  return {
    profile: "beaver-cost",
    type: "cost",
    labels: ["cost_0", "cost_1"],
    weight: Float32Array.of(1, 2, 3, 4, 5, 6),
    outputs: 2,
    hiddenSize: 3,
    bias: Float32Array.of(0.5, -0.5),
    normalizer: { function: "cost", mean: Float32Array.of(-1.125, 0.5), var: Float32Array.of(8.875, 0.25) },
    read: "last-token",
    maxLength: 2048,
    truncationSide: "left",
    source: { repository: "PKU-Alignment/beaver-7b-v1.0-cost", revision: "0a1b2c" },
    ...changes,
  };
}
