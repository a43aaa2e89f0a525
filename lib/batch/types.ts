/** Rows to compute, the limits they are computed under, and where each output of a micro-batch belongs. */
import type { NativeBatch } from "../runtime/contract.ts";

/** One text of a call. */
export interface Row {
  readonly tokens: Int32Array;
  /** Index of the token whose score is the text's; `card`: see {@link CardRead}. */
  readonly read: number | CardRead;
  /** Index of the token that the gating network reads; null: there is none. */
  readonly gate: number | null;
  /** Whether every token's score is wanted. */
  readonly perToken: boolean;
  /** Which hidden states are wanted. */
  readonly hidden: "none" | "end" | "all";
  /** Whether it stays in the prefix cache when it is done: what comes next may begin like it. */
  readonly keep: boolean;
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
  /** Sequences that the KV cache tells apart. */
  readonly sequences: number;
}

/** Where an output of a micro-batch goes. */
export interface Delivery {
  readonly row: Row;
  /** The token's index in its row; {@link OUTSIDE_TEXT}: the read position outside the text (card). */
  readonly token: number;
  readonly hidden: boolean;
  readonly gate: boolean;
}

/** The token index that stands for a read position outside the text. */
export const OUTSIDE_TEXT = -1;

/** Outputs of a row that another row's tokens have computed already: those of its first `count` tokens. */
export interface SharedOutputs {
  readonly from: Row;
  readonly to: Row;
  readonly count: number;
}

/** A micro-batch, and what to do with what it computes. */
export interface PlannedBatch {
  /** null: nothing has to be computed, the rows finish with what is there. */
  readonly native: NativeBatch | null;
  /** One list an output, in token order: a token that rows share is delivered to each. */
  readonly deliveries: readonly (readonly Delivery[])[];
  /** To be copied after the deliveries, in order. */
  readonly shared: readonly SharedOutputs[];
  /** Rows that have all their outputs after this batch. */
  readonly finished: readonly Row[];
}
