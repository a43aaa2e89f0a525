/** Holding an output against the golden numbers of its texts. */
import { expect } from "vitest";
import type { ScoreModelOutput, ScoreOptions } from "../../lib/index.ts";
import type { GoldenResult } from "../fixtures/golden.ts";
import { rowOf, scoreError, scoreSpreads, vectorError } from "./numbers.ts";

/** Everything that can be compared. */
export const READ_LAST = { perToken: true, hiddenStates: "end", read: "last-token" } as const satisfies ScoreOptions;

/** `bound`: the largest error of a score, relative to the spread of the case's per-token scores. */
export function expectResults(output: ScoreModelOutput, results: readonly GoldenResult[], bound: number): void {
  // A vector's error adds up those of all its numbers, where a score has weights that average them.
  const hiddenBound = 2 * bound;
  const spreads = scoreSpreads({ results });
  for (const [i, golden] of results.entries()) {
    const { lengths } = output;
    expect([...(output.tokenIds[i] ?? [])]).toEqual(golden.tokenIds);
    expect(lengths[i]).toBe(golden.tokenIds.length);
    expect(output.endIndex.data[i]).toBe(golden.endIndex);
    const perToken = scoreError(rowOf(output.scores, i, lengths), golden.scores.flat(), spreads);
    const end = scoreError(rowOf(output.endScores, i), golden.endScores, spreads);
    const hidden = vectorError(rowOf(output.endLastHiddenState, i), golden.endLastHiddenState);
    expect(perToken).toBeLessThan(bound);
    expect(end).toBeLessThan(bound);
    expect(hidden).toBeLessThan(hiddenBound);
  }
}
