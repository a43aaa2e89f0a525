/** Agreement of two sets of scores, against scipy 1.17 (spearmanr, kendalltau) and pairs counted by hand. */
import { describe, expect, it } from "vitest";
import { compareScores } from "../../lib/head/agreement.ts";

describe("compareScores", () => {
  it.each([
    {
      source: [1, 2, 3, 4, 5],
      other: [1, 3, 2, 4, 5.5],
      expected: { maxError: 1, meanError: 0.5, spread: 4, spearman: 0.9, kendall: 0.8, pairwiseAgreement: 0.9 },
    },
    {
      source: [1, 2, 3, 4],
      other: [8, 6, 4, 2],
      expected: { maxError: 7, meanError: 3.5, spread: 3, spearman: -1, kendall: -1, pairwiseAgreement: 0 },
    },
    {
      // Ties on both sides: 17 pairs differ in the source, of which 11 keep their order and 4 became equal.
      source: [1, 2, 2, 3, 3, 3, 7],
      other: [2, 1, 2, 2, 5, 4, 4],
      expected: {
        maxError: 3,
        meanError: 9 / 7,
        spread: 6,
        spearman: 0.6666666666666665,
        kendall: 0.5294117647058824,
        pairwiseAgreement: 13 / 17,
      },
    },
    {
      source: [-3.5, 0.25, 1e-3, -7, 12, 12],
      other: [-3.25, 0.5, 0.25, -6, 11, 13],
      expected: {
        maxError: 1,
        meanError: 3.749 / 6,
        spread: 19,
        spearman: 0.9856107606091624,
        kendall: 0.9660917830792959,
        pairwiseAgreement: 1,
      },
    },
  ])("of $source and $other", ({ source, other, expected }) => {
    const found = compareScores(source, other);
    for (const [name, value] of Object.entries(expected))
      expect(found[name as keyof typeof found], name).toBeCloseTo(value, 12);
  });

  it("of scores with themselves is perfect", () => {
    const scores = Float32Array.of(0.1, -2, 7, 3);
    expect(compareScores(scores, scores)).toEqual({
      maxError: 0,
      meanError: 0,
      spread: 9,
      spearman: 1,
      kendall: 1,
      pairwiseAgreement: 1,
    });
  });

  it.each([
    ["one text", [1], [2]],
    ["the same score everywhere", [1, 1, 1], [1, 2, 3]],
  ])("of %s has no order to keep", (_, source, other) => {
    expect(compareScores(source, other)).toMatchObject({
      spread: 0,
      spearman: null,
      kendall: null,
      pairwiseAgreement: null,
    });
  });

  it("of scores that became one and the same", () => {
    expect(compareScores([1, 2, 3], [5, 5, 5])).toMatchObject({
      spearman: null,
      kendall: null,
      pairwiseAgreement: 0.5,
    });
  });
});
