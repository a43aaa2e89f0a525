/** Assembling rows to ScoreModelOutput: shapes, padding, and what is refused. */
import { describe, expect, it } from "vitest";
import { assembleOutput, type ScoredRow } from "../../lib/head/output.ts";

const SPEC = { type: "attributes" as const, labels: ["x", "y"], outputs: 2, hiddenSize: 3 };

const short: ScoredRow = {
  tokenIds: Int32Array.of(1),
  endIndex: 0,
  endScores: Float32Array.of(1, 2),
  scores: Float32Array.of(1, 2),
  endHidden: Float32Array.of(7, 8, 9),
  hidden: Float32Array.of(7, 8, 9),
  truncated: 0,
};
const long: ScoredRow = {
  tokenIds: Int32Array.of(1, 5),
  endIndex: 1,
  endScores: Float32Array.of(5, 6),
  scores: Float32Array.of(3, 4, 5, 6),
  endHidden: Float32Array.of(4, 5, 6),
  hidden: Float32Array.of(1, 2, 3, 4, 5, 6),
  truncated: 11,
};

describe("assembleOutput", () => {
  it("pads to the longest text with zeros, in input order", () => {
    expect(assembleOutput([short, long, short], SPEC)).toEqual({
      type: "attributes",
      labels: ["x", "y"],
      endScores: { data: Float32Array.of(1, 2, 5, 6, 1, 2), dims: [3, 2] },
      endIndex: { data: Int32Array.of(0, 1, 0), dims: [3] },
      scores: { data: Float32Array.of(1, 2, 0, 0, 3, 4, 5, 6, 1, 2, 0, 0), dims: [3, 2, 2] },
      endLastHiddenState: { data: Float32Array.of(7, 8, 9, 4, 5, 6, 7, 8, 9), dims: [3, 3] },
      lastHiddenState: {
        data: Float32Array.of(7, 8, 9, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0),
        dims: [3, 2, 3],
      },
      tokenIds: [Int32Array.of(1), Int32Array.of(1, 5), Int32Array.of(1)],
      lengths: Int32Array.of(1, 2, 1),
      truncated: Int32Array.of(0, 11, 0),
    });
  });

  it("has only what was asked for", () => {
    const { tokenIds, endIndex, endScores, truncated } = short;
    const output = assembleOutput([{ tokenIds, endIndex, endScores, truncated }], SPEC);
    expect(Object.keys(output).sort()).toEqual(
      ["endIndex", "endScores", "labels", "lengths", "tokenIds", "truncated", "type"].sort(),
    );
  });

  it("keeps an end index beyond the text, as the card reading gives it", () => {
    const output = assembleOutput([{ ...short, endIndex: 2047, endScores: Float32Array.of(-3, -4) }], SPEC);
    expect(output.endIndex.data).toEqual(Int32Array.of(2047));
    expect(output.endScores.data).toEqual(Float32Array.of(-3, -4));
    expect(output.scores?.data).toEqual(Float32Array.of(1, 2));
  });

  it("of an empty batch has no rows", () => {
    expect(assembleOutput([], SPEC)).toMatchObject({
      endScores: { dims: [0, 2] },
      endIndex: { dims: [0] },
      tokenIds: [],
      lengths: new Int32Array(0),
    });
  });

  const { NaN: nan, POSITIVE_INFINITY: infinity } = Number;
  it.each<[Partial<ScoredRow>, string]>([
    [{ endScores: Float32Array.of(1, nan) }, "Text 1: number 1 of the score at the read position is NaN"],
    [{ scores: Float32Array.of(1, 2, infinity, 4) }, "Text 1: number 0 of the per-token score of token 1 is Infinity"],
  ])("refuses numbers that are not finite: %j", (changes, message) => {
    expect(() => assembleOutput([short, { ...long, ...changes }], SPEC)).toThrow(
      expect.objectContaining({ code: "ERR_NON_FINITE", message: expect.stringContaining(message) }),
    );
  });

  it.each<[string, ScoredRow]>([
    ["too few scores", { ...long, endScores: Float32Array.of(1) }],
    ["per-token scores of another length", { ...long, scores: Float32Array.of(1, 2) }],
    ["a hidden state of another size", { ...long, endHidden: Float32Array.of(1, 2) }],
    [
      "no per-token scores beside a row that has them",
      { tokenIds: long.tokenIds, endIndex: 1, endScores: long.endScores, truncated: 0 },
    ],
  ])("takes as a bug: %s", (_, row) => {
    expect(() => assembleOutput([short, row], SPEC)).toThrow(expect.objectContaining({ code: "ERR_INTERNAL" }));
  });

  it("says that a tensor does not fit into memory", () => {
    const huge = { ...SPEC, hiddenSize: 2 ** 53 };
    expect(() => assembleOutput([short], huge)).toThrow(
      expect.objectContaining({ code: "ERR_MEMORY", message: expect.stringContaining("[1, 9007199254740992]") }),
    );
  });
});
