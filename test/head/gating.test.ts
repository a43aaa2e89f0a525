/** A gated head's arithmetic, against the published formulas written out. */
import { describe, expect, it } from "vitest";
import { gatingIndex, mixRewards } from "../../lib/head/gating.ts";

describe("gatingIndex", () => {
  const pattern = Int32Array.of(7, 8, 7);
  it.each([
    [[7, 8, 7], 0],
    [[1, 7, 8, 7, 2], 1],
    [[1, 7, 8, 7, 8, 7, 2], 3],
    [[7, 8, 7, 7, 8], 0],
  ])("of %j is the last occurrence's first token", (ids, index) => {
    expect(gatingIndex(Int32Array.from(ids), pattern)).toBe(index);
  });

  it.each([[[]], [[7, 8]], [[7, 8, 6]], [[8, 7, 8]]])("refuses %j, which has none", (ids) => {
    expect(() => gatingIndex(Int32Array.from(ids), pattern)).toThrow(
      expect.objectContaining({ code: "ERR_TEMPLATE", message: expect.stringContaining("7, 8, 7") }),
    );
  });
});

describe("mixRewards", () => {
  const transform = Float32Array.of(1, -0.5, 0.25, 2);
  const mixing = { temperature: 2, scale: 1.5, transform, pattern: Int32Array.of(1) };

  it("is sum(softmax(gating / temperature) * scale * (rewards @ transform)), then the rewards", () => {
    const [g0, g1] = [Math.exp(0.5 / 2), Math.exp(-1 / 2)];
    const score = (a: number, b: number): number =>
      (1.5 * (g0 * (a * 1 + b * 0.25) + g1 * (a * -0.5 + b * 2))) / (g0 + g1);
    const scores = mixRewards(Float32Array.of(3, -4, 0.5, 10), Float32Array.of(0.5, -1), mixing);
    expect(scores).toHaveLength(6);
    expect(scores[0]).toBeCloseTo(score(3, -4), 6);
    expect(scores[3]).toBeCloseTo(score(0.5, 10), 5);
    expect([...scores].filter((_, i) => i % 3 !== 0)).toEqual([3, -4, 0.5, 10]);
  });

  it("does not overflow for large gating outputs", () => {
    const scores = mixRewards(Float32Array.of(3, -4), Float32Array.of(1e30, -1e30), mixing);
    expect(scores[0]).toBeCloseTo(1.5 * (3 * 1 - 4 * 0.25), 6);
  });

  it("gives no number where a gate is none", () => {
    expect(mixRewards(Float32Array.of(3, -4), Float32Array.of(Number.NaN, 1), mixing)[0]).toBeNaN();
  });
});
