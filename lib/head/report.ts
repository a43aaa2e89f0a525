/** A head's facts without its numbers, for reports. */
import { headKind } from "./spec.ts";
import type { HeadFacts, HeadKind, HeadSpec } from "./types.ts";

/** The head's facts: everything but its numbers. */
export interface HeadReport extends Omit<HeadFacts, "normalizer"> {
  readonly kind: HeadKind;
  /** Outputs of each layer of the network; of a gated head, of the one that gives its rewards. */
  readonly layers: readonly number[];
  /** Whether the last layer has one. */
  readonly bias: boolean;
  /** The function of safe-rlhf's normaliser, or null where scores are raw. */
  readonly normalizer: "reward" | "cost" | null;
}

export function headReport({ network, gate, normalizer, ...facts }: HeadSpec): HeadReport {
  return {
    ...facts,
    kind: headKind({ network, gate }),
    layers: network.layers.map(({ outputs }) => outputs),
    bias: network.layers.at(-1)?.bias != null,
    normalizer: normalizer?.function ?? null,
  };
}
