/** Which heads are valid, and how outputs are labelled. */
import { describe, expect, it } from "vitest";
import { defaultLabels, gatedLabels, validateHead } from "../../lib/head/spec.ts";
import type { Activation, HeadSpec, Layer } from "../../lib/head/types.ts";
import { gatedSpec, headSpec, layer, linear, mlpSpec } from "./head-spec.ts";

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
    expect(() => validateHead(headSpec({ network: linear(2, [1, 2, 3, 4, 5, 6]), normalizer: null }))).not.toThrow();
    const one = { outputs: 1, network: linear(1, [1, 2, 3]), normalizer: null };
    expect(() => validateHead(headSpec({ ...one, labels: ["cost"] }))).not.toThrow();
    expect(() => validateHead(headSpec({ ...one, type: "attributes", labels: ["toxicity"] }))).not.toThrow();
  });

  const weight = (...values: number[]) => Float32Array.from(values);
  const oneLayer = (changes: Partial<Layer>) => ({
    layers: [{ ...layer(2, [1, 2, 3, 4, 5, 6]), ...changes }],
    activation: null,
  });
  const normalizer = (mean: Float32Array, variance: Float32Array) => ({
    function: "cost" as const,
    mean,
    var: variance,
  });
  const cases: [string, Partial<HeadSpec>][] = [
    ["outputs, not 0", { outputs: 0, labels: [] }],
    ["outputs, not 65537", { outputs: 65537 }],
    ["outputs, not 1.5", { outputs: 1.5 }],
    ["hidden size 0", { hiddenSize: 0 }],
    ["head has 0 layers", { network: { layers: [], activation: null } }],
    ["takes 2 numbers, but 3 come", { network: linear(2, [1, 2, 3, 4]) }],
    ["head has 1 outputs, but 2 are needed", { network: linear(1, [1, 2, 3]) }],
    ["weight has 5 numbers, but 2 x 3 are needed", { network: oneLayer({ weight: weight(1, 2, 3, 4, 5) }) }],
    ['weight of output 1 ("cost_1") is NaN at index 2', { network: linear(2, [1, 2, 3, 4, 5, Number.NaN]) }],
    ['weight of output 0 ("cost_0") is -Infinity at index 1', { network: linear(2, [1, -Infinity, 3, 4, 5, 6]) }],
    ["bias has 1 numbers, but the head has 2", { network: oneLayer({ bias: weight(1) }) }],
    ['bias of output 1 ("cost_1") is NaN', { network: oneLayer({ bias: weight(1, Number.NaN) }) }],
    ["normaliser's mean has 1 numbers", { normalizer: normalizer(weight(0), weight(1, 1)) }],
    ["normaliser's variance has 3 numbers", { normalizer: normalizer(weight(0, 0), weight(1, 1, 1)) }],
    ['mean of output 0 ("cost_0") is Infinity', { normalizer: normalizer(weight(Infinity, 0), weight(1, 1)) }],
    ['variance of output 1 ("cost_1") is -1, below 0', { normalizer: normalizer(weight(0, 0), weight(1, -1)) }],
    ["2 outputs, but 1 labels", { labels: ["cost"] }],
    ['label "x" stands for two outputs', { labels: ["x", "x"] }],
    ["label of output 1 is empty", { labels: ["x", ""] }],
    [
      'output of a cost head is labelled "cost", not "reward"',
      { outputs: 1, labels: ["reward"], network: linear(1, [1, 2, 3]), normalizer: null },
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

describe("an MLP", () => {
  it("is valid where its layers fit each other", () => {
    expect(() => validateHead(mlpSpec())).not.toThrow();
    expect(() => validateHead(mlpSpec({ activation: "tanh" }))).not.toThrow();
  });

  const first = layer(2, [1, 2, 3, 4, 5, 6]);
  it.each<[string, Parameters<typeof mlpSpec>[0]]>([
    ['activation is relu or tanh, not "gelu"', { activation: "gelu" as Activation }],
    ['activation is relu or tanh, not "null"', { activation: null }],
    ["layer 1 takes 3 numbers, but 2 come", { layers: [first, layer(1, [1, 2, 3])] }],
    ["layer 1 has 2 outputs, but 1 are needed", { layers: [first, layer(2, [1, 2, 3, 4])] }],
    ["layer 0 takes 2 numbers, but 3 come", { layers: [layer(2, [1, 2, 3, 4]), layer(1, [1, 2])] }],
    [
      "layer 0's weight of neuron 1 is NaN at index 0",
      { layers: [layer(2, [1, 2, 3, Number.NaN, 5, 6]), layer(1, [1, 2])] },
    ],
    [
      "layer 0's bias of neuron 0 is Infinity",
      { layers: [layer(2, [1, 2, 3, 4, 5, 6], [Infinity, 0]), layer(1, [1, 2])] },
    ],
    ['layer 1\'s weight of output 0 ("reward") is NaN', { layers: [first, layer(1, [Number.NaN, 2])] }],
    ["has 65 layers", { layers: Array.from({ length: 65 }, () => first) }],
  ])("is refused: %s", (message, changes) => {
    expect(() => validateHead(mlpSpec(changes))).toThrow(refusal(message));
  });
});

describe("a gated head", () => {
  it("is valid where its parts fit each other", () => {
    expect(() => validateHead(gatedSpec(), { hiddenSize: 3, vocabularySize: 9 })).not.toThrow();
  });

  it("has its score before what that is mixed from", () => {
    expect(gatedLabels(2, ["x", "y"])).toEqual(["reward", "x", "y"]);
    expect(gatedLabels(3, null)).toEqual(["reward", "attribute_0", "attribute_1", "attribute_2"]);
    expect(() => gatedLabels(3, ["x", "y"])).toThrow(refusal("names 2 outputs"));
  });

  it.each<[string, Parameters<typeof gatedSpec>[0], Parameters<typeof gatedSpec>[1]]>([
    ["temperature is 0", { temperature: 0 }, {}],
    ["temperature is NaN", { temperature: Number.NaN }, {}],
    ["temperature is Infinity", { temperature: Infinity }, {}],
    ["scale is NaN", { scale: Number.NaN }, {}],
    ["transform has 3 numbers, but 2 x 2", { transform: Float32Array.of(1, 2, 3) }, {}],
    ["Number 1 of the reward transform is NaN", { transform: Float32Array.of(1, Number.NaN, 3, 4) }, {}],
    ["pattern (empty)", { pattern: new Int32Array(0) }, {}],
    ["pattern (7, 9) is not of this vocabulary of 9", { pattern: Int32Array.of(7, 9) }, {}],
    ["pattern (-1)", { pattern: Int32Array.of(-1) }, {}],
    [
      "gating network's layer 0 takes 2 numbers",
      { network: { layers: [layer(2, [1, 2, 3, 4]), layer(2, [1, 2, 3, 4])], activation: "relu" } },
      {},
    ],
    ["gating network has 1 outputs, but 2", { network: linear(1, [1, 2, 3]) }, {}],
    ["regression has 2 outputs, but 3", {}, { outputs: 4, labels: ["reward", "a", "b", "c"] }],
    ['of type reward, not "reward" of type cost', {}, { type: "cost" }],
    ['not "a" of type reward', {}, { labels: ["a", "reward", "b"] }],
    ["at least one reward", {}, { outputs: 1, labels: ["reward"] }],
    ["is not normalised", {}, { normalizer: headSpec().normalizer }],
  ])("is refused: %s", (message, gate, changes) => {
    expect(() => validateHead(gatedSpec(gate, changes), { vocabularySize: 9 })).toThrow(refusal(message));
  });
});
