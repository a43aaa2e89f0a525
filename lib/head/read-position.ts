/** Where a text's score is read, as the published code of each family finds it. */
import type { ReadPosition } from "./types.ts";

/**
 * The index of the token whose hidden state the head reads, for one text without padding.
 *
 * - `last-token`: n - 1, safe-rlhf's last position with mask 1.
 * - `hf`: the rightmost token that is not the pad token; index 0 where all are, as `argmax` over zeros gives
 *   (transformers >= 4.49, `ForSequenceClassification`).
 * - `before-first-pad`: the token before the first pad token, counted modulo n: the last token where there is no pad
 *   token or where the text starts with one (transformers <= 4.48: `(argmax(ids == pad) - 1) % n`).
 *
 * `card` is not an index of the text: the runtime appends a position for it.
 *
 * @param ids the text's tokens, at least one
 * @param read the rule
 * @param padId the pad token of the model's config; null: the last token is read, as transformers does for one text
 */
export function readIndex(ids: Int32Array, read: Exclude<ReadPosition, "card">, padId: number | null): number {
  const last = ids.length - 1;
  if (read === "last-token" || padId === null) return last;
  if (read === "hf") {
    const index = ids.findLastIndex((id) => id !== padId);
    return index === -1 ? 0 : index;
  }
  const firstPad = ids.indexOf(padId);
  return firstPad <= 0 ? last : firstPad - 1;
}
