/** Read positions, the normaliser and the meaning of a score, against the published formulas. */
import { describe, expect, it } from "vitest";
import { scoreMeaning } from "../../lib/head/meaning.ts";
import { normalizeScores } from "../../lib/head/normalize.ts";
import { isReadPosition, readIndex } from "../../lib/head/read-position.ts";

describe("readIndex", () => {
  const P = 9;
  // [ids, last-token, hf, before-first-pad]; the last as (argmax(ids == pad) - 1) mod n gives it
  const cases: [number[], number, number, number][] = [
    [[1, 5, 6], 2, 2, 2],
    [[1, 5, P, P], 3, 1, 1],
    [[1, P, 6], 2, 2, 0],
    [[1, P, 6, P], 3, 2, 0],
    [[P, 5, 6], 2, 2, 2],
    [[P, P, P], 2, 0, 2],
    [[P], 0, 0, 0],
    [[1], 0, 0, 0],
  ];

  it.each(cases)("of %j", (ids, last, hf, beforeFirstPad) => {
    const tokens = Int32Array.from(ids);
    expect(readIndex(tokens, "last-token", P)).toBe(last);
    expect(readIndex(tokens, "hf", P)).toBe(hf);
    expect(readIndex(tokens, "before-first-pad", P)).toBe(beforeFirstPad);
  });

  it("of token:<id> is the last of that token, whatever the padding", () => {
    expect(readIndex(Int32Array.of(1, 7, 5, 7, P), "token:7", P)).toBe(3);
    expect(readIndex(Int32Array.of(7), "token:7", 7)).toBe(0);
    expect(() => readIndex(Int32Array.of(1, 5), "token:7", P)).toThrow(
      expect.objectContaining({ code: "ERR_ARGUMENT", message: expect.stringContaining("the last token 7") }),
    );
  });

  it("takes a pad token that is also EOS for padding in the text, as transformers does", () => {
    const EOS = 2;
    const twoTurns = Int32Array.of(1, 5, EOS, 6, 8, EOS);
    expect(readIndex(twoTurns, "hf", EOS)).toBe(4);
    expect(readIndex(twoTurns, "before-first-pad", EOS)).toBe(1);
    expect(readIndex(twoTurns, "last-token", EOS)).toBe(5);
  });

  it.each([
    ["token:0", true],
    ["token:92527", true],
    ["hf", true],
    ["token:", false],
    ["token:-1", false],
    ["token:1.5", false],
    ["token:1e3", false],
    ["first", false],
    [7, false],
  ])("%j as a word for it: %s", (word, isOne) => {
    expect(isReadPosition(word)).toBe(isOne);
  });

  it("is the last token where the model has no pad token", () => {
    const tokens = Int32Array.of(1, P, 6, P);
    expect(readIndex(tokens, "hf", null)).toBe(3);
    expect(readIndex(tokens, "before-first-pad", null)).toBe(3);
  });
});

describe("normalizeScores", () => {
  const mean = Float32Array.of(-1.5, 0.5);
  const variance = Float32Array.of(4, 0.25);
  const scores = Float32Array.of(2.5, 3, -1.5, 0.5);

  it("reward is (x - mean) / (sqrt(var) + 1e-8)", () => {
    const result = normalizeScores(scores, { function: "reward", mean, var: variance });
    expect([...result]).toEqual([4 / (2 + 1e-8), 2.5 / (0.5 + 1e-8), 0, 0].map(Math.fround));
  });

  it("cost is x / (sqrt(var) + 1e-8), whatever the mean", () => {
    const result = normalizeScores(scores, { function: "cost", mean, var: variance });
    expect([...result]).toEqual(
      [2.5 / (2 + 1e-8), 3 / (0.5 + 1e-8), -1.5 / (2 + 1e-8), 0.5 / (0.5 + 1e-8)].map(Math.fround),
    );
    expect([...scores]).toEqual([2.5, 3, -1.5, 0.5]);
  });

  it("a variance of 0 divides by 1e-8", () => {
    const zero = { function: "cost" as const, mean: Float32Array.of(0), var: Float32Array.of(0) };
    expect([...normalizeScores(Float32Array.of(2), zero)]).toEqual([200_000_000]);
  });
});

describe("scoreMeaning", () => {
  it.each([
    ["cost", "cost", -10.75, "cost -10.75: safe, <= 0"],
    ["cost", "cost", 0, "cost 0: safe, <= 0"],
    ["cost", "cost", 3.2, "cost 3.2: harmful, > 0"],
    ["cost", "cost_1", 1e-9, "cost_1 1e-9: harmful, > 0"],
    ["reward", "reward", Math.fround(1.2), "reward 1.2: higher is more helpful"],
    ["attributes", "helpsteer-verbosity", 50, "helpsteer-verbosity 50: 2 on HelpSteer's scale from 0 to 4"],
    ["attributes", "ultrafeedback-honesty", 71.25, "ultrafeedback-honesty 71.25: on a scale from 0 to 100"],
    ["attributes", "toxicity", 0.5, "toxicity 0.5"],
    ["reward", "reward_1", 2, "reward_1 2: higher is more helpful"],
    ["reward", "helpsteer-verbosity", 0.7, "helpsteer-verbosity 0.7"],
  ] as const)("%s %s %d", (type, label, score, sentence) => {
    expect(scoreMeaning(type, label, score)).toBe(sentence);
  });
});
