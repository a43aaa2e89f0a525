import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import type { GgufValue } from "../../lib/gguf/types.ts";
import { type AttachOptions, attach, inspect, ScoreModel } from "../../lib/index.ts";
import { loadGolden } from "../fixtures/golden.ts";
import { refused } from "../gguf/support.ts";
import { workspace } from "../model/support.ts";
import { EXACT, expectGolden, foreignFile, headDirectory, headFile, plain, writeFloats } from "./support.ts";

const space = workspace();
const { checkpoint, gguf, path } = space;

describe("texts that a file leaves open", () => {
  it.each([
    ["a <s> in the middle", '"<s>"'],
    ["an end </s>", '"</s>"'],
    [" a space first", "begins with a space"],
    ["▁ a mark first", "begins with a space"],
  ])("are refused: %s", async (text, what) => {
    const file = await foreignFile(space, "beaver-cost");
    await using model = await ScoreModel.load(file, { ...EXACT, head: await headFile(space, "beaver-cost") });
    await refused(model.score(text), "ERR_TOKENIZER", what, "--tokenizer <dir>");
    expect((await model.score("a text", { appendEos: true })).tokenIds[0]?.at(-1)).toBe(2);
  });

  it("are told by inspect", async () => {
    const file = await foreignFile(space, "beaver-cost");
    expect((await inspect(file)).tokenizer?.derived).toBe(true);
    const { tokenizerDirectory } = await checkpoint("beaver-cost");
    expect((await inspect(file, { tokenizer: tokenizerDirectory })).tokenizer?.derived).toBeUndefined();
    expect((await inspect(file)).problems).toEqual([expect.objectContaining({ code: "ERR_NO_HEAD" })]);
  });
});

describe("refused:", () => {
  const WIDTH = 256;
  const HEAD = { "score.weight": [[1, WIDTH], Array(WIDTH).fill(0.1)] } as const;
  const heads = (tensors: Record<string, readonly [readonly number[], readonly number[]]>): string =>
    writeFloats(path(`${Math.random()}.safetensors`), tensors as Parameters<typeof writeFloats>[1]);
  const cases: [string, () => Promise<AttachOptions> | AttachOptions, Parameters<typeof refused>[1], string][] = [
    ["a head that is not there", () => ({ head: path("none.safetensors") }), "ERR_NOT_FOUND", "none.safetensors"],
    ["no head at all", () => ({}), "ERR_NO_HEAD", "--head"],
    ["a file of another kind", () => ({ head: join(dirname(path("x")), "not.txt") }), "ERR_SAFETENSORS", "not.txt"],
    [
      "a head of another width",
      () => ({ head: heads({ "score.weight": [[1, 8], Array(8).fill(1)] }) }),
      "ERR_HEAD",
      "8 numbers",
    ],
    [
      "a head that is no number",
      () => ({
        head: heads({
          "score.weight": [
            [1, WIDTH],
            [Number.NaN, ...Array(WIDTH - 1).fill(1)],
          ],
        }),
      }),
      "ERR_HEAD",
      "NaN at index 0",
    ],
    ["nothing that could be a head", () => ({ head: heads({ bias: [[1], [1]] }) }), "ERR_TENSOR", "score_head.weight"],
    [
      "two layers that no head has",
      () => ({ head: heads({ "a.weight": [[1, WIDTH], Array(WIDTH).fill(1)], "b.weight": [[1, 1], [1]] }) }),
      "ERR_TENSOR",
      "lacks",
    ],
    ["a tensor beside the head", () => ({ head: heads({ ...HEAD, scale: [[1], [2]] }) }), "ERR_TENSOR", "scale"],
    [
      "a normaliser of which nothing says whether it is used",
      () => ({ head: heads({ ...HEAD, "normalizer.mean": [[1], [1]], "normalizer.var": [[1], [1]] }) }),
      "ERR_CONFIG",
      "config.json",
    ],
    [
      "a GRM whose last layer is missing",
      () => ({
        head: heads({
          "v_head.summary.0.weight": [[4, WIDTH], Array(4 * WIDTH).fill(1)],
          "v_head.summary.0.bias": [[4], [1, 1, 1, 1]],
        }),
      }),
      "ERR_TENSOR",
      "v_head.summary.2.weight",
    ],
    ["labels that are not as many", () => ({ head: heads(HEAD), labels: ["a", "b"] }), "ERR_HEAD", "2 outputs"],
    [
      "a label of a reward",
      () => ({ head: heads(HEAD), labels: ["kindness"] }),
      "ERR_HEAD",
      '"reward", not "kindness"',
    ],
    ["a profile that is none", () => ({ head: heads(HEAD), profile: "beavers" }), "ERR_ARGUMENT", "beavers"],
    ["a type that is none", () => ({ head: heads(HEAD), type: "price" as "cost" }), "ERR_ARGUMENT", "type"],
    [
      "labels that are no list",
      () => ({ head: heads(HEAD), labels: "a" as unknown as string[] }),
      "ERR_ARGUMENT",
      "labels",
    ],
    ["an option that is none", () => ({ haed: "x" }) as AttachOptions, "ERR_ARGUMENT", "haed"],
    [
      "a tokenizer that is not there",
      () => ({ head: heads(HEAD), tokenizer: path("none") }),
      "ERR_TOKENIZER",
      "no tokenizer",
    ],
  ];
  it.each(cases)("%s", async (_, options, code, part) => {
    writeFileSync(path("not.txt"), "not a head");
    const file = await foreignFile(space, "beaver-reward");
    await refused(attach(file, path("refused.gguf"), await options()), code, part);
  });

  it.each([
    ["more layers", { num_hidden_layers: 32 }, ["num_hidden_layers 32", "has 2"]],
    ["another architecture", { model_type: "qwen2" }, ['model_type "qwen2"', "llama"]],
  ])("a head of a model with %s", async (_, other, parts) => {
    const head = await headDirectory(space, "beaver-reward", "other-head");
    const config = join(head, "config.json");
    writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, "utf8")), ...other }));
    const file = await foreignFile(space, "beaver-reward");
    await refused(attach(file, path("x.gguf"), { head }), "ERR_HEAD", ...parts);
  });

  it("what a file's own head says already", async () => {
    const file = await gguf("beaver-reward");
    await refused(attach(file, path("x.gguf")), "ERR_ARGUMENT", "carries a score head already");
    await refused(ScoreModel.load(file, { ...EXACT, labels: ["a"] }), "ERR_ARGUMENT", "labels");
    await refused(ScoreModel.load(file, { ...EXACT, type: "cost" }), "ERR_ARGUMENT", "type");
  });

  it("a backbone without a head, at load, with what to do", async () => {
    const load = ScoreModel.load(await foreignFile(space, "beaver-reward"), EXACT);
    await refused(load, "ERR_NO_HEAD", "scorehead convert", "--head", "scorehead attach");
  });
});

describe("a backbone is refused", () => {
  const set = (key: string, value: GgufValue) => ({
    metadata: (all: Map<string, GgufValue>) => void all.set(key, value),
  });
  const cases: [string, ReturnType<typeof set>, Parameters<typeof refused>[1], string][] = [
    [
      "that is part of a split",
      set("split.count", { type: "u16", value: 3 }),
      "ERR_UNSUPPORTED",
      "llama-gguf-split --merge",
    ],
    ["that is an adapter", set("general.type", { type: "string", value: "adapter" }), "ERR_UNSUPPORTED", "adapter"],
    [
      "that scales positions",
      set("llama.rope.scaling.factor", { type: "f32", value: 4 }),
      "ERR_UNSUPPORTED",
      "factor (4)",
    ],
    [
      "that is not causal",
      set("llama.attention.causal", { type: "bool", value: false }),
      "ERR_UNSUPPORTED",
      "causal (false)",
    ],
    ["with experts", set("llama.expert_count", { type: "u32", value: 8 }), "ERR_UNSUPPORTED", "expert_count (8)"],
    ["with a key that nobody knows", set("llama.wings", { type: "u32", value: 0 }), "ERR_UNSUPPORTED", "llama.wings"],
    [
      "whose merges have no order",
      set("tokenizer.ggml.scores", { type: "array", of: "f32", value: new Float32Array(32_001).fill(-1000) }),
      "ERR_TOKENIZER",
      "-1000",
    ],
  ];
  it.each(cases)("%s", async (_, changes, code, part) => {
    const file = await foreignFile(space, "beaver-reward", "f32", changes);
    const head = await headFile(space, "beaver-reward");
    await refused(attach(file, path("y.gguf"), { head }), code, part);
    await refused(ScoreModel.load(file, { ...EXACT, head }), code, part);
  });

  it.each<[string, GgufValue]>([
    ["attention.causal", { type: "bool", value: true }],
    ["attention.sliding_window", { type: "u32", value: 0 }],
    ["rope.scaling.factor", { type: "f32", value: 1 }],
    ["rope.scaling.finetuned", { type: "bool", value: false }],
    ["pooling_type", { type: "u32", value: 4 }],
    ["tensor_data_layout", { type: "string", value: "Meta AI original pth" }],
    ["final_logit_softcapping", { type: "f32", value: 30 }],
  ])("not for what asks for nothing: %s", async (key, value) => {
    const file = await foreignFile(space, "beaver-reward", "f32", set(`llama.${key}`, value));
    await expectGolden(file, plain("beaver-reward"), { head: await headFile(space, "beaver-reward") });
  });

  it("whose scores have no order not, where the checkpoint's tokenizer takes their place", async () => {
    const same = set("tokenizer.ggml.scores", {
      type: "array",
      of: "f32",
      value: new Float32Array(32_001).fill(-1000),
    });
    const file = await foreignFile(space, "beaver-reward", "f32", same);
    const { tokenizerDirectory: tokenizer } = await checkpoint("beaver-reward");
    const head = await headFile(space, "beaver-reward");
    await attach(file, path("z.gguf"), { head, tokenizer });
    await expectGolden(path("z.gguf"), loadGolden("beaver-reward").results);
    await refused(ScoreModel.load(file, { ...EXACT, head, tokenizer }), "ERR_TOKENIZER", "scorehead attach");
  });
});

describe("a tokenizer's files are refused", () => {
  it("where their tokens are another model's", async () => {
    const { tokenizerDirectory } = await checkpoint("beaver-reward");
    const folder = path("other-tokenizer");
    mkdirSync(folder);
    for (const name of ["tokenizer_config.json", "special_tokens_map.json", "config.json"])
      copyFileSync(join(tokenizerDirectory, name), join(folder, name));
    const json = readFileSync(join(tokenizerDirectory, "tokenizer.json"), "utf8");
    writeFileSync(
      join(folder, "tokenizer.json"),
      json.replaceAll('"▁hello"', '"▁hallO"').replaceAll("▁hell o", "▁hallO x"),
    );
    const head = await headFile(space, "beaver-reward");
    const file = await foreignFile(space, "beaver-reward");
    await refused(attach(file, path("t.gguf"), { head, tokenizer: folder }), "ERR_TOKENIZER");
  });

  it("for a file that has its tokenizer inside", async () => {
    const { tokenizerDirectory: tokenizer } = await checkpoint("beaver-reward");
    const options = { head: await headFile(space, "beaver-reward"), tokenizer };
    const file = await gguf("beaver-reward");
    await refused(attach(file, path("t.gguf"), options), "ERR_ARGUMENT", "Leave it out");
    await refused(ScoreModel.load(file, { ...EXACT, ...options }), "ERR_ARGUMENT", "Leave it out");
  });

  it("where llama.cpp would match tokens in texts that they do not", async () => {
    const { tokenizerDirectory: tokenizer } = await checkpoint("beaver-reward");
    const file = await foreignFile(space, "beaver-reward", "f32", {
      metadata: (metadata) => {
        const types = metadata.get("tokenizer.ggml.token_type");
        if (types?.type === "array" && types.of === "i32") types.value[500] = 4;
      },
    });
    const options = { head: await headFile(space, "beaver-reward"), tokenizer };
    await refused(ScoreModel.load(file, { ...EXACT, ...options }), "ERR_TOKENIZER", "token 500");
    await attach(file, path("u.gguf"), options);
    await expectGolden(path("u.gguf"), loadGolden("beaver-reward").results);
  });
});
