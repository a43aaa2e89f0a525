/** Cutting token ids to a length. */
import { ScoreheadError } from "../errors.ts";

export interface Truncation {
  /** The most tokens to keep, an integer of at least 1. */
  readonly maxLength: number;
  /** The end to cut. */
  readonly side: "left" | "right";
  /** The BOS id that stays at the start when the left end is cut; null: nothing stays. */
  readonly keepBos: number | null;
}

/**
 * Cuts a sequence to `maxLength` tokens, as Hugging Face does with `truncation=True`: "left" keeps a leading BOS and the
 * last tokens, "right" the first ones.
 *
 * @returns the ids that are kept (the same array where nothing is cut) and how many were dropped
 * @throws ERR_ARGUMENT where `maxLength` is not a positive integer
 */
export function truncateIds(
  ids: Int32Array,
  { maxLength, side, keepBos }: Truncation,
): { readonly ids: Int32Array; readonly dropped: number } {
  if (!Number.isInteger(maxLength) || maxLength < 1) {
    throw new ScoreheadError("ERR_ARGUMENT", `"maxLength" must be a positive integer, not ${String(maxLength)}.`);
  }
  const dropped = ids.length - maxLength;
  if (dropped <= 0) return { ids, dropped: 0 };
  if (side === "right") return { ids: ids.slice(0, maxLength), dropped };
  const kept = ids.slice(dropped);
  if (keepBos !== null && ids[0] === keepBos) kept[0] = keepBos; // in the place of one more token of the text
  return { ids: kept, dropped };
}
