/** Token ids as the caller gives them, checked before anything computes with them. */
import { ScoreheadError } from "../errors.ts";

/**
 * Checks token ids and copies them.
 *
 * @param ids an array or `Int32Array` of ids, at least one; taken as they are, nothing is added
 * @param vocabularySize ids lie in [0, vocabularySize)
 * @returns a copy, so that the caller's array can change afterwards
 * @throws ERR_ARGUMENT for another type or an empty list; ERR_TOKEN for the first id that is not in the vocabulary
 */
export function checkIds(ids: unknown, vocabularySize: number): Int32Array {
  if (!Array.isArray(ids) && !(ids instanceof Int32Array)) {
    throw new ScoreheadError("ERR_ARGUMENT", '"tokenIds" must be an array of integers or an Int32Array.');
  }
  if (ids.length === 0) {
    throw new ScoreheadError("ERR_ARGUMENT", '"tokenIds" is empty: a score needs at least one token.');
  }
  return Int32Array.from(ids as ArrayLike<unknown>, (id, i) => {
    if (Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocabularySize) return id as number;
    throw new ScoreheadError(
      "ERR_TOKEN",
      `tokenIds[${i}] is ${String(id)}; this model's token ids are the integers from 0 to ${vocabularySize - 1}.`,
    );
  });
}
