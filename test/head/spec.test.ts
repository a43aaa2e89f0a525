/** Which heads are valid, and how outputs are labelled. */
import { describe, expect, it } from "vitest";
import { defaultLabels, validateHead } from "../../lib/head/spec.ts";
import type { HeadSpec } from "../../lib/head/types.ts";
import { headSpec } from "./head-spec.ts";

function refusal(message: string): unknown {
  return expect.objectContaining({ code: "ERR_HEAD", message: expect.stringContaining(message) });
}

describe("defaultLabels", () => {
  it.each([
    ["reward", 1, ["reward"]],
    ["cost", 1, ["cost"]],
    ["attributes", 1, ["attribute"]],
    ["cost", 3, ["cost_0", "cost_1", "cost_2"]],
    ["attributes", 2, ["attribute_0", "attribute_1"]],
  ] as const)("of %s with %d outputs", (type, outputs, labels) => {
    expect(defaultLabels(type, outputs, null)).toEqual(labels);
  });

  it("are the profile's where it has as many", () => {
    expect(defaultLabels("attributes", 2, ["x", "y"])).toEqual(["x", "y"]);
    expect(() => defaultLabels("attributes", 3, ["x", "y"])).toThrow(
      refusal("names 2 outputs (x, y), but the checkpoint's head has 3"),
    );
  });
});

describe("validateHead", () => {
  it("takes valid heads", () => {
    expect(() => validateHead(headSpec(), { hiddenSize: 3 })).not.toThrow();
    expect(() => validateHead(headSpec({ bias: null, normalizer: null }))).not.toThrow();
    const one = { outputs: 1, weight: Float32Array.of(1, 2, 3), bias: null, normalizer: null };
    expect(() => validateHead(headSpec({ ...one, labels: ["cost"] }))).not.toThrow();
    expect(() => validateHead(headSpec({ ...one, type: "attributes", labels: ["toxicity"] }))).not.toThrow();
  });

  const weight = (...values: number[]) => Float32Array.from(values);
  const normalizer = (mean: Float32Array, variance: Float32Array) => ({
    function: "cost" as const,
    mean,
    var: variance,
  });
  const cases: [string, Partial<HeadSpec>][] = [
    ["outputs, not 0", { outputs: 0, labels: [], weight: weight() }],
    ["outputs, not 65537", { outputs: 65537 }],
    ["outputs, not 1.5", { outputs: 1.5 }],
    ["hidden size 0", { hiddenSize: 0, weight: weight() }],
    ["weight has 5 numbers, but 2 x 3 are needed", { weight: weight(1, 2, 3, 4, 5) }],
    ['weight of output 1 ("cost_1") is NaN at index 2', { weight: weight(1, 2, 3, 4, 5, Number.NaN) }],
    ['weight of output 0 ("cost_0") is -Infinity at index 1', { weight: weight(1, -Infinity, 3, 4, 5, 6) }],
    ["bias has 1 numbers, but the head has 2", { bias: weight(1) }],
    ['bias of output 1 ("cost_1") is NaN', { bias: weight(1, Number.NaN) }],
    ["normaliser's mean has 1 numbers", { normalizer: normalizer(weight(0), weight(1, 1)) }],
    ["normaliser's variance has 3 numbers", { normalizer: normalizer(weight(0, 0), weight(1, 1, 1)) }],
    ['mean of output 0 ("cost_0") is Infinity', { normalizer: normalizer(weight(Infinity, 0), weight(1, 1)) }],
    ['variance of output 1 ("cost_1") is -1, below 0', { normalizer: normalizer(weight(0, 0), weight(1, -1)) }],
    ["2 outputs, but 1 labels", { labels: ["cost"] }],
    ['label "x" stands for two outputs', { labels: ["x", "x"] }],
    ["label of output 1 is empty", { labels: ["x", ""] }],
    [
      'output of a cost head is labelled "cost", not "reward"',
      { outputs: 1, labels: ["reward"], weight: weight(1, 2, 3), bias: null, normalizer: null },
    ],
    ["type is reward, cost or attributes", { type: "price" as HeadSpec["type"] }],
    ['not "first-token"', { read: "first-token" as HeadSpec["read"] }],
    ["left or right", { truncationSide: "middle" as HeadSpec["truncationSide"] }],
    ["maximal length", { maxLength: 0 }],
    ["maximal length", { maxLength: 2 ** 31 }],
  ];

  it.each(cases)("refuses: %s", (message, changes) => {
    expect(() => validateHead(headSpec(changes))).toThrow(refusal(message));
  });

  it("refuses a normaliser of an unknown function", () => {
    const odd = { ...normalizer(weight(0, 0), weight(1, 1)), function: "price" as "cost" };
    expect(() => validateHead(headSpec({ normalizer: odd }))).toThrow(refusal('"price"'));
  });

  it("refuses a backbone of another hidden size, with both numbers", () => {
    expect(() => validateHead(headSpec(), { hiddenSize: 4096 })).toThrow(
      refusal("hidden states of 3 numbers, but the backbone's have 4096"),
    );
  });

  it("takes a variance of 0, which the published normaliser allows", () => {
    expect(() => validateHead(headSpec({ normalizer: normalizer(weight(0, 0), weight(0, 1)) }))).not.toThrow();
  });
});
