/** Where a text's score is read, as the published code of each family finds it. */
import { ScoreheadError } from "../errors.ts";
import { READ_POSITIONS, type ReadPosition } from "./types.ts";

/** The words for a read position. */
export const READ_POSITION_WORDS: readonly string[] = [...READ_POSITIONS, "token:<id>"];

export function isReadPosition(value: unknown): value is ReadPosition {
  return READ_POSITIONS.includes(value as ReadPosition) || (typeof value === "string" && /^token:\d{1,9}$/.test(value));
}

/** The token that a score is read at; null: it is read by another rule. */
export function readToken(read: ReadPosition): number | null {
  return read.startsWith("token:") ? Number(read.slice("token:".length)) : null;
}

/**
 * The index of the token whose hidden state the head reads, for one text without padding.
 *
 * - `last-token`: n - 1, safe-rlhf's last position with mask 1.
 * - `hf`: the rightmost token that is not the pad token; index 0 where all are, as `argmax` over zeros gives
 *   (transformers >= 4.49, `ForSequenceClassification`).
 * - `before-first-pad`: the token before the first pad token, counted modulo n: the last token where there is no pad
 *   token or where the text starts with one (transformers <= 4.48: `(argmax(ids == pad) - 1) % n`).
 * - `token:<id>`: the last token of that id.
 *
 * A pad token that is the EOS too counts as padding wherever it stands, in the text as well: that is what those versions
 * of transformers do.
 *
 * `card` is not an index of the text: the runtime appends a position for it.
 *
 * @param ids the text's tokens, at least one
 * @param read the rule
 * @param padId the pad token of the model's config; null: the last token is read, as transformers does for one text
 * @throws ERR_ARGUMENT where the text does not hold the token to read at
 */
export function readIndex(ids: Int32Array, read: Exclude<ReadPosition, "card">, padId: number | null): number {
  const last = ids.length - 1;
  const token = readToken(read);
  if (token !== null) {
    const index = ids.lastIndexOf(token);
    if (index >= 0) return index;
    throw new ScoreheadError(
      "ERR_ARGUMENT",
      `The score is read at the last token ${token}, and the text has none. Write that token at its end, or pass the ` +
        "text as messages.",
    );
  }
  if (read === "last-token" || padId === null) return last;
  if (read === "hf") {
    const index = ids.findLastIndex((id) => id !== padId);
    return index === -1 ? 0 : index;
  }
  const firstPad = ids.indexOf(padId);
  return firstPad <= 0 ? last : firstPad - 1;
}
