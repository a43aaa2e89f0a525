/** Rows to compute, the limits they are computed under, and where each output of a micro-batch belongs. */
import type { NativeBatch } from "../runtime/contract.ts";

/** One text of a call. */
export interface Row {
  readonly tokens: Int32Array;
  /** Index of the token whose score is the text's; `card`: see {@link CardRead}. */
  readonly read: number | CardRead;
  /** Whether every token's score is wanted. */
  readonly perToken: boolean;
  /** Which hidden states are wanted. */
  readonly hidden: "none" | "end" | "all";
}

/** Starling's card reading: the score is that of a `token` at `position` that sees all the text, and not itself. */
export interface CardRead {
  readonly token: number;
  readonly position: number;
}

export interface BatchLimits {
  /** Cells of the KV cache. */
  readonly contextTokens: number;
  /** The most tokens of a micro-batch. */
  readonly batchTokens: number;
  /** The most outputs of a micro-batch. */
  readonly maxOutputs: number;
}

/** Where one output of a micro-batch goes. */
export interface Delivery {
  readonly row: number;
  /** The token's index in its row; -1: the read position outside the text (card). */
  readonly token: number;
  readonly hidden: boolean;
}

/** A micro-batch and its deliveries, one an output, in token order. */
export interface PlannedBatch {
  readonly native: NativeBatch;
  readonly deliveries: readonly Delivery[];
}
