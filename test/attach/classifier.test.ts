/** GGUF files with a classifier of llama.cpp's: read as a head, raw, in every type that ggml stores it in. */
import { readdirSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { opensWithClassifier } from "../../lib/attach/classifier.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../lib/convert/half.ts";
import { readGguf } from "../../lib/gguf/read.ts";
import type { GgufFile, GgufValue } from "../../lib/gguf/types.ts";
import type { TensorPlan } from "../../lib/gguf/write.ts";
import { attach, doctor, inspect, type LoadOptions, ScoreModel } from "../../lib/index.ts";
import { loadGolden } from "../fixtures/golden.ts";
import { Random } from "../fixtures/random.ts";
import { refused } from "../gguf/support.ts";
import { expectResults, READ_LAST } from "../model/expect-golden.ts";
import { rowOf, vectorError } from "../model/numbers.ts";
import { workspace } from "../model/support.ts";
import { f32, foreignFile, headTensors } from "./support.ts";

const space = workspace();
const { path } = space;
const EXACT = { device: "cpu", threads: 1, kv: "f32" } as const;

type Added = TensorPlan & { readonly bytes: Uint8Array };
const tensor = (name: string, dims: number[], bytes: Uint8Array, type = "F32"): Added => ({ name, dims, type, bytes });
const labels = (...value: string[]): GgufValue => ({ type: "array", of: "string", value });

const withClassifier = (
  name: "dpa" | "beaver-reward",
  added: Added[],
  keys: Record<string, GgufValue> = {},
): Promise<string> =>
  foreignFile(space, name, "f32", {
    added,
    metadata: (metadata) => {
      metadata.set("llama.pooling_type", { type: "u32", value: 4 });
      for (const [key, value] of Object.entries(keys)) metadata.set(`llama.${key}`, value);
    },
  });

const load = (file: string, options: LoadOptions = {}): Promise<ScoreModel> =>
  ScoreModel.load(file, { ...EXACT, ...options });

describe("a classifier of ten outputs", () => {
  const { results } = loadGolden("dpa");
  const NAMES = Array.from({ length: 10 }, (_, i) => `rating ${i}`);
  let file: string;
  beforeAll(async () => {
    const [head] = await headTensors(space, "dpa");
    const bytes = Buffer.concat([...(head?.chunks() ?? [])]);
    file = await withClassifier("dpa", [tensor("cls.output.weight", [64, 10], bytes, "BF16")], {
      "classifier.output_labels": labels(...NAMES),
    });
  });

  it("has the reference's scores, raw, under the file's labels, by way of a copy in the cache", async () => {
    const told: string[] = [];
    const onWarning = (message: string): void => void told.push(message);
    await using model = await load(file, { onWarning });
    expect(model.info).toMatchObject({ type: "attributes", labels: NAMES });
    expectResults(
      await model.score(
        results.map(({ text }) => text),
        READ_LAST,
      ),
      results,
      2e-5,
    );
    expect(told.join()).toContain(model.info.path);
    const copies = (): string[] => readdirSync(path("cache", "converted"));
    expect(copies()).toHaveLength(1);
    await using again = await load(file);
    expect(again.info.path).toBe(model.info.path);
    await using other = await load(file, { labels: NAMES.map((name) => `my ${name}`) });
    expect(other.info.labels[0]).toBe("my rating 0");
    expect(copies()).toHaveLength(2);
  });

  it("attached, is a file without those tensors and keys, which llama.cpp opens", async () => {
    const { dropped, head } = await attach(file, path("ten.gguf"), { read: "last-token", profile: "dpa" });
    expect([dropped, head.labels[1]]).toEqual([["cls.output.weight"], "helpsteer-correctness"]);
    const { metadata, tensors } = await readGguf(path("ten.gguf"));
    expect(tensors.filter(({ name }) => name.startsWith("cls."))).toEqual([]);
    expect([metadata.has("llama.pooling_type"), metadata.has("llama.classifier.output_labels")]).toEqual([
      false,
      false,
    ]);
    await using model = await load(path("ten.gguf"));
    expectResults(
      await model.score(
        results.map(({ text }) => text),
        READ_LAST,
      ),
      results,
      2e-5,
    );
  });

  it("is told by inspect and doctor", async () => {
    const { head, problems, backbone } = await inspect(file);
    expect(problems).toEqual([]);
    expect(head).toMatchObject({ kind: "linear", outputs: 10, labels: NAMES, read: "hf" });
    expect(backbone?.hiddenSize).toBe(64);
    expect((await doctor(file, { device: "cpu" })).problems).toEqual([]);
  });
});

describe("the numbers are those that ggml stores", () => {
  const WIDTH = 256;
  const OUTPUTS = 3;
  const numbers = new Random(5, "classifier").normal(WIDTH * OUTPUTS, 0, 0.1);
  const halves = (to: (value: number) => number): Uint8Array => new Uint8Array(Uint16Array.from(numbers, to).buffer);

  /** Blocks of 32: a half as scale, then a signed byte each. */
  function q8(): { bytes: Uint8Array; values: number[] } {
    const bytes = Buffer.alloc((numbers.length / 32) * 34);
    const values: number[] = [];
    for (let block = 0; block < numbers.length / 32; block++) {
      const part = numbers.subarray(32 * block, 32 * block + 32);
      const scale = f32ToF16(Math.max(...part.map(Math.abs)) / 127);
      bytes.writeUInt16LE(scale, 34 * block);
      for (const [i, value] of part.entries()) {
        const step = Math.round(value / f16ToF32(scale));
        bytes.writeInt8(Math.max(-127, Math.min(127, step)), 34 * block + 2 + i);
        values.push(Math.max(-127, Math.min(127, step)) * f16ToF32(scale));
      }
    }
    return { bytes, values };
  }

  const cases: [string, () => { bytes: Uint8Array; values: ArrayLike<number> }][] = [
    ["F32", () => ({ bytes: f32(...numbers), values: numbers })],
    ["F16", () => ({ bytes: halves(f32ToF16), values: numbers.map((value) => f16ToF32(f32ToF16(value))) })],
    ["BF16", () => ({ bytes: halves(f32ToBf16), values: numbers.map((value) => bf16ToF32(f32ToBf16(value))) })],
    ["Q8_0", q8],
  ];
  it.each(cases)("%s, with a bias", async (type, make) => {
    const { bytes, values } = make();
    const file = await withClassifier("beaver-reward", [
      tensor("cls.output.weight", [WIDTH, OUTPUTS], bytes, type),
      tensor("cls.output.bias", [OUTPUTS], f32(0.5, -0.25, 4)),
    ]);
    await using model = await load(file);
    const { endScores, endLastHiddenState } = await model.score("A text.", { hiddenStates: "end" });
    const hidden = rowOf(endLastHiddenState, 0);
    const expected = [0.5, -0.25, 4].map((bias, row) =>
      hidden.reduce((sum, x, i) => sum + x * (values[row * WIDTH + i] as number), bias),
    );
    expect(vectorError(endScores.data, expected)).toBeLessThan(1e-5);
  });

  it("a layer before it has tanh behind it, as in llama.cpp's graph", async () => {
    const dense = new Random(6, "dense").normal(WIDTH * WIDTH, 0, 0.1);
    const out = numbers.subarray(0, WIDTH);
    const file = await withClassifier("beaver-reward", [
      tensor("cls.weight", [WIDTH, WIDTH], f32(...dense)),
      tensor("cls.output.weight", [WIDTH], f32(...out)),
    ]);
    await using model = await load(file);
    expect(model.info).toMatchObject({ kind: "mlp", type: "reward", labels: ["reward"] });
    const { endScores, endLastHiddenState } = await model.score("A text.", { hiddenStates: "end" });
    const hidden = rowOf(endLastHiddenState, 0);
    const neuron = (row: number): number =>
      Math.tanh(hidden.reduce((sum, x, i) => sum + x * (dense[row * WIDTH + i] as number), 0));
    const expected = out.reduce((sum, weight, row) => sum + weight * neuron(row), 0);
    expect(endScores.data[0]).toBeCloseTo(expected, 4);
  });

  it("a reward's one output is called so, whatever the file calls it", async () => {
    const keys = { "classifier.output_labels": labels("LABEL_0") };
    const file = await withClassifier(
      "beaver-reward",
      [tensor("cls.output.weight", [WIDTH, 1], f32(...numbers.subarray(0, WIDTH)))],
      keys,
    );
    await using model = await load(file, { type: "cost" });
    expect(model.info).toMatchObject({ type: "cost", labels: ["cost"] });
  });

  const weight = tensor("cls.output.weight", [WIDTH], f32(...numbers.subarray(0, WIDTH)));
  it.each<[string, Added[], Parameters<typeof refused>[1], string]>([
    [
      "a norm that it does not know",
      [weight, tensor("cls.norm.weight", [WIDTH], f32(...numbers.subarray(0, WIDTH)))],
      "ERR_UNSUPPORTED",
      "cls.norm.weight",
    ],
    [
      "another width than the backbone",
      [tensor("cls.output.weight", [8], f32(1, 2, 3, 4, 5, 6, 7, 8))],
      "ERR_HEAD",
      "8 numbers",
    ],
    [
      "a NaN",
      [tensor("cls.output.weight", [WIDTH], f32(Number.NaN, ...numbers.subarray(1, WIDTH)))],
      "ERR_HEAD",
      "NaN",
    ],
    ["a bias of another size", [weight, tensor("cls.output.bias", [2], f32(1, 2))], "ERR_HEAD", "bias"],
    ["no output layer", [tensor("cls.weight", [WIDTH], f32(...numbers.subarray(0, WIDTH)))], "ERR_NO_HEAD", "--head"],
    ["integers", [tensor("cls.output.weight", [WIDTH], new Uint8Array(WIDTH), "I8")], "ERR_UNSUPPORTED", "i8"],
  ])("is refused with %s", async (_, added, code, part) => {
    const file = await withClassifier("beaver-reward", added);
    await refused(load(file), code, part);
    await refused(attach(file, path("no.gguf")), code, part);
  });

  it("a head that is named goes before it", async () => {
    const file = await withClassifier("beaver-reward", [weight]);
    const { directory } = await space.checkpoint("beaver-reward");
    await using model = await load(file, { head: directory });
    const { results } = loadGolden("beaver-reward");
    expectResults(
      await model.score(
        results.map(({ text }) => text),
        READ_LAST,
      ),
      results,
      2e-5,
    );
    expect(readFileSync(file).includes("cls.output.weight")).toBe(true);
  });
});

describe("llama.cpp opens a classifier", () => {
  const file = (architecture: string, names: string[], rows: number, outputs: number): GgufFile => ({
    path: "a.gguf",
    size: 0,
    version: 3,
    alignment: 32,
    metadata: new Map<string, GgufValue>([
      ["general.architecture", { type: "string", value: architecture }],
      ...(outputs > 0
        ? [[`${architecture}.classifier.output_labels`, labels(...Array(outputs).fill("x"))] as [string, GgufValue]]
        : []),
    ]),
    tensors: names.map((name) => ({
      name,
      dims: [8, rows],
      type: 0,
      typeName: "F32",
      offset: 0,
      byteLength: 32 * rows,
    })),
  });

  it.each<[boolean, string, string[], number, number]>([
    [true, "llama", ["output_norm.weight"], 1, 0],
    [false, "llama", ["cls.output.weight"], 1, 0],
    [true, "qwen3", ["cls.output.weight"], 1, 0],
    [true, "qwen3", ["cls.output.weight"], 2, 2],
    [false, "qwen3", ["cls.output.weight"], 2, 0],
    [false, "qwen3", ["cls.output.weight"], 2, 3],
    [false, "qwen3", ["cls.output.weight", "cls.output.bias"], 1, 1],
    [false, "qwen3", ["cls.weight"], 1, 1],
  ])("%s: %s with %j of %d rows and %d labels", (opens, architecture, names, rows, outputs) => {
    expect(opensWithClassifier(file(architecture, names, rows, outputs))).toBe(opens);
  });
});
