/** Small valid heads for tests, with any field replaced. */
import type { Gate, HeadSpec, Layer, Network } from "../../lib/head/types.ts";

export function layer(outputs: number, weight: readonly number[], bias: readonly number[] | null = null): Layer {
  const numbers = Float32Array.from(weight);
  return { outputs, inputs: numbers.length / outputs, weight: numbers, bias: bias && Float32Array.from(bias) };
}

/** A network of one layer. */
export function linear(outputs: number, weight: readonly number[], bias: readonly number[] | null = null): Network {
  return { layers: [layer(outputs, weight, bias)], activation: null };
}

/** A 2-wide cost head on hidden states of 3 numbers, with bias and normaliser. */
export function headSpec(changes: Partial<HeadSpec> = {}): HeadSpec {
  return {
    profile: "beaver-cost",
    type: "cost",
    labels: ["cost_0", "cost_1"],
    outputs: 2,
    hiddenSize: 3,
    network: linear(2, [1, 2, 3, 4, 5, 6], [0.5, -0.5]),
    gate: null,
    normalizer: { function: "cost", mean: Float32Array.of(-1.125, 0.5), var: Float32Array.of(8.875, 0.25) },
    read: "last-token",
    maxLength: 2048,
    truncationSide: "left",
    source: { repository: "PKU-Alignment/beaver-7b-v1.0-cost", revision: "0a1b2c" },
    ...changes,
  };
}

/** One reward of hidden states of 3 numbers through 2 neurons. */
export function mlpSpec(network: Partial<Network> = {}): HeadSpec {
  const layers = [layer(2, [1, 2, 3, 4, 5, 6], [0.5, -0.5]), layer(1, [0.1, -0.1], [3])];
  return headSpec({
    type: "reward",
    labels: ["reward"],
    outputs: 1,
    normalizer: null,
    network: { layers, activation: "relu", ...network },
  });
}

/** A score mixed from two rewards of hidden states of 3 numbers. */
export function gatedSpec(gate: Partial<Gate> = {}, changes: Partial<HeadSpec> = {}): HeadSpec {
  const gating = [layer(2, [1, 0, 0, 0, 1, 0], [0, 0]), layer(2, [2, 0, 0, 2], [1, -1])];
  return headSpec({
    type: "reward",
    labels: ["reward", "a", "b"],
    outputs: 3,
    normalizer: null,
    network: linear(2, [1, 2, 3, 4, 5, 6]),
    gate: {
      network: { layers: gating, activation: "relu" },
      temperature: 2,
      scale: 1.5,
      transform: Float32Array.of(1, -0.5, 0, 1),
      pattern: Int32Array.of(7, 8),
      ...gate,
    },
    ...changes,
  });
}
