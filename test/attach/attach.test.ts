/** Heads for files of other tools: the reference's scores, in a new file, in place and at load; and what is refused. */
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { readGguf } from "../../lib/gguf/read.ts";
import type { GgufValue } from "../../lib/gguf/types.ts";
import { type AttachOptions, attach, inspect, type LoadOptions, quantize, ScoreModel } from "../../lib/index.ts";
import type { CaseName } from "../fixtures/cases.ts";
import { type GoldenResult, loadGolden } from "../fixtures/golden.ts";
import { refused } from "../gguf/support.ts";
import { expectResults, READ_LAST } from "../model/expect-golden.ts";
import { workspace } from "../model/support.ts";
import { foreignFile, headDirectory, headFile, writeFloats } from "./support.ts";

const space = workspace();
const { checkpoint, gguf, path } = space;
const EXACT = { device: "cpu", threads: 1, kv: "f32" } as const;
const F32_BOUND = 2e-5;

const sha = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

/** Results whose text any tokenizer of the family reads alike. */
const plain = (name: CaseName): GoldenResult[] =>
  loadGolden(name).results.filter(({ text }) => typeof text !== "string" || !/^[ ▁]|<(s|\/s|unk|pad)>/.test(text));

async function expectGolden(file: string, results: readonly GoldenResult[], options: LoadOptions = {}): Promise<void> {
  await using model = await ScoreModel.load(file, { ...EXACT, ...options });
  const output = await model.score(
    results.map(({ text }) => text),
    READ_LAST,
  );
  expectResults(output, results, F32_BOUND);
}

describe("a head has the reference's scores on a backbone of another tool", () => {
  it("as a safetensors file, attached to a new file", async () => {
    const [backbone, head, out] = [
      await foreignFile(space, "beaver-cost"),
      await headFile(space, "beaver-cost"),
      path("a.gguf"),
    ];
    const before = sha(backbone);
    const { head: spec, dropped, warnings } = await attach(backbone, out, { head, type: "cost", read: "last-token" });
    expect(spec).toMatchObject({
      profile: "custom",
      type: "cost",
      labels: ["cost"],
      read: "last-token",
      maxLength: 2048,
    });
    expect([dropped, warnings]).toEqual([[], []]);
    expect(sha(backbone)).toBe(before);
    await expectGolden(out, plain("beaver-cost"));
    expect((await inspect(out)).problems).toEqual([]);
  });

  it("used at load, without a file being written", async () => {
    const [file, head] = [await foreignFile(space, "beaver-cost"), await headFile(space, "beaver-cost")];
    const before = [sha(file), readdirSync(path("."))];
    await expectGolden(file, plain("beaver-cost"), { head });
    expect([sha(file), readdirSync(path("."))]).toEqual(before);
  });

  it("with the checkpoint's tokenizer files for every text, special tokens and spaces included", async () => {
    const { results } = loadGolden("beaver-cost");
    const { tokenizerDirectory: tokenizer } = await checkpoint("beaver-cost");
    const [file, head] = [await foreignFile(space, "beaver-cost"), await headFile(space, "beaver-cost")];
    await attach(file, path("b.gguf"), { head, tokenizer });
    await expectGolden(path("b.gguf"), results);
    await expectGolden(file, results, { head, tokenizer });
  });

  it("as a directory that holds the head only, with its profile and normaliser", async () => {
    const head = await headDirectory(space, "beaver-normalized-cost", "beaver-7b-v9-cost");
    const file = await foreignFile(space, "beaver-normalized-cost");
    const { head: spec, warnings } = await attach(file, path("c.gguf"), { head });
    expect(spec).toMatchObject({ profile: "beaver-cost", type: "cost", normalizer: { function: "cost" } });
    expect(warnings).toEqual([]);
    await expectGolden(path("c.gguf"), plain("beaver-normalized-cost"));
    await expectGolden(file, plain("beaver-normalized-cost"), { head });
  });

  it.each(["grm", "inform"] as const)("where it is an MLP: %s", async (name) => {
    const head = await headDirectory(space, name, `${name}-head`);
    await expectGolden(await foreignFile(space, name), plain(name), { head });
    if (name === "inform")
      await expectGolden(await foreignFile(space, name), plain(name), { head: await headFile(space, name) });
  });

  it("where it is gated", async () => {
    const head = await headDirectory(space, "armorm", "armorm-head");
    const file = await foreignFile(space, "armorm");
    await attach(file, path("gated.gguf"), { head });
    await expectGolden(path("gated.gguf"), plain("armorm"));
  });

  it("under any name that is one linear layer's, or none", async () => {
    const file = await foreignFile(space, "beaver-cost");
    for (const prefix of ["my_head.", ""]) {
      const head = await headFile(space, "beaver-cost", (name) => name.replace("score_head.", prefix));
      await expectGolden(file, plain("beaver-cost"), { head });
    }
  });

  it("from a whole checkpoint, whose backbone stays unread", async () => {
    const { directory } = await checkpoint("beaver-reward");
    await expectGolden(await foreignFile(space, "beaver-reward"), plain("beaver-reward"), { head: directory });
  });

  it("on a quantised backbone, whose tensors are copied byte for byte", async () => {
    const file = await foreignFile(space, "beaver-reward", "q4_k_m");
    await attach(file, path("q.gguf"), { head: await headFile(space, "beaver-reward") });
    const [before, after] = [await readGguf(file), await readGguf(path("q.gguf"))];
    const data = ({ path: from, tensors }: typeof before): Buffer =>
      readFileSync(from).subarray(Math.min(...tensors.map(({ offset }) => offset)));
    expect(after.tensors.map(({ name, typeName, dims }) => [name, typeName, dims])).toEqual(
      before.tensors.map(({ name, typeName, dims }) => [name, typeName, dims]),
    );
    expect(data(after).equals(data(before))).toBe(true);
    await using own = await ScoreModel.load(await gguf("beaver-reward", "q4_k_m"), EXACT);
    await using attached = await ScoreModel.load(path("q.gguf"), EXACT);
    const { endScores } = await own.score("A text.");
    expect((await attached.score("A text.")).endScores.data).toEqual(endScores.data);
  });
});

describe("an attached file", () => {
  it("keeps the other tool's keys, and can be quantised and attached again", async () => {
    const file = await foreignFile(space, "beaver-reward");
    const head = await headFile(space, "beaver-reward");
    await attach(file, path("k.gguf"), { head, labels: ["reward"] });
    const [before, after] = [(await readGguf(file)).metadata, (await readGguf(path("k.gguf"))).metadata];
    expect([...after.keys()].filter((key) => !key.startsWith("scorehead."))).toEqual([...before.keys()]);
    await quantize(path("k.gguf"), path("k8.gguf"), { type: "q8_0" });
    const again = await attach(path("k8.gguf"), path("k8b.gguf"), { head, type: "attributes", labels: ["kindness"] });
    expect(again.head.labels).toEqual(["kindness"]);
    await using model = await ScoreModel.load(path("k8b.gguf"), EXACT);
    expect(model.info).toMatchObject({ type: "attributes", labels: ["kindness"], profile: "custom" });
  });

  it("may replace its own backbone, in one step", async () => {
    const file = await foreignFile(space, "beaver-reward");
    const progress: number[] = [];
    const head = await headFile(space, "beaver-reward");
    await attach(file, file, { head, onProgress: ({ bytes, total }) => progress.push(bytes / total) });
    expect(progress.at(-1)).toBe(1);
    await expectGolden(file, plain("beaver-reward"));
  });

  it("is not there, or as it was, where attaching fails or is aborted", async () => {
    const [file, head] = [await foreignFile(space, "beaver-reward"), await headFile(space, "beaver-reward")];
    const folder = path("aborted");
    mkdirSync(folder);
    writeFileSync(join(folder, "old.gguf"), "old");
    const controller = new AbortController();
    const options = { head, signal: controller.signal, onProgress: () => controller.abort() };
    await refused(attach(file, join(folder, "new.gguf"), options), "ERR_ABORTED");
    await refused(attach(file, join(folder, "old.gguf"), { ...options }), "ERR_ABORTED");
    await refused(attach(file, join(folder, "none", "a.gguf"), { head }), "ERR_NOT_FOUND", "none");
    expect(readdirSync(folder)).toEqual(["old.gguf"]);
    expect(readFileSync(join(folder, "old.gguf"), "utf8")).toBe("old");
  });
});

describe("what is not known of a head", () => {
  it("is assumed with a warning that says how to say it", async () => {
    const [file, head] = [await foreignFile(space, "beaver-reward"), await headFile(space, "dpa")];
    const wide = writeFloats(path("wide.safetensors"), { "score.weight": [[2, 256], Array(512).fill(0.5)] });
    const { head: spec, warnings } = await attach(file, path("w.gguf"), { head: wide });
    expect(spec).toMatchObject({ type: "attributes", labels: ["attribute_0", "attribute_1"], read: "hf" });
    expect(warnings).toEqual([expect.stringMatching(/assumed: .*\(type\); .*\(read hf\)/)]);
    expect((await attach(file, path("w.gguf"), { head: wide, type: "cost" })).warnings[0]).not.toContain("(type)");
    const told: string[] = [];
    const onWarning = (message: string): void => void told.push(message);
    await using model = await ScoreModel.load(file, { ...EXACT, head: wide, labels: ["x", "y"], onWarning });
    expect(model.info.labels).toEqual(["x", "y"]);
    expect(told).toHaveLength(1);
    await refused(attach(file, path("w.gguf"), { head }), "ERR_HEAD", "64 numbers", "256");
  });

  it("is taken from a profile that is named", async () => {
    const [file, head] = [await foreignFile(space, "dpa"), await headFile(space, "dpa")];
    const { head: spec, warnings } = await attach(file, path("dpa-attached.gguf"), { head, profile: "dpa" });
    expect(spec).toMatchObject({ profile: "dpa", type: "attributes", read: "hf" });
    expect([spec.labels[0], warnings]).toEqual(["helpsteer-helpfulness", []]);
    await using model = await ScoreModel.load(file, { ...EXACT, head, profile: "dpa" });
    expect((await model.score({ prompt: "a", response: "b" })).endScores.dims).toEqual([1, 10]);
  });

  it("decides where padding is read by the config beside the head", async () => {
    const file = await foreignFile(space, "beaver-reward");
    const read = async (pad: unknown): Promise<unknown> => {
      const head = await headDirectory(space, "beaver-reward", "padded-head");
      const config = join(head, "config.json");
      writeFileSync(
        config,
        JSON.stringify({ ...JSON.parse(readFileSync(config, "utf8")), architectures: undefined, pad_token_id: pad }),
      );
      await attach(file, path("pad.gguf"), { head });
      const ids = { tokenIds: [1, 300, 5] };
      await using attached = await ScoreModel.load(path("pad.gguf"), EXACT);
      await using loaded = await ScoreModel.load(file, { ...EXACT, head });
      const [a, b] = [await attached.score(ids), await loaded.score(ids)];
      expect(a.endIndex.data).toEqual(b.endIndex.data);
      return a.endIndex.data[0];
    };
    expect(await read(5)).toBe(1);
    expect(await read(null)).toBe(2);
    expect(await read(7)).toBe(2);
  });
});

it("a sliding window that only the head's config tells limits the texts", async () => {
  const file = await foreignFile(space, "dpa");
  const head = await headDirectory(space, "dpa", "windowed");
  const config = join(head, "config.json");
  writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, "utf8")), sliding_window: 20 }));
  await attach(file, path("windowed.gguf"), { head });
  for (const [model, options] of [
    [path("windowed.gguf"), {}],
    [file, { head }],
  ] as const) {
    await using loaded = await ScoreModel.load(model, { ...EXACT, ...options });
    const long = { tokenIds: Array.from({ length: 21 }, (_, i) => 300 + i) };
    await refused(loaded.score(long), "ERR_INPUT_TOO_LONG", "21 tokens", "takes 20");
    await refused(loaded.score(long, { maxLength: 21 }), "ERR_ARGUMENT", "20");
    expect((await loaded.score(long, { maxLength: 20 })).lengths[0]).toBe(20);
  }
});

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

  it("a head of a model with more layers", async () => {
    const head = await headDirectory(space, "beaver-reward", "other-head");
    const config = join(head, "config.json");
    writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, "utf8")), num_hidden_layers: 32 }));
    await refused(
      attach(await foreignFile(space, "beaver-reward"), path("x.gguf"), { head }),
      "ERR_HEAD",
      "num_hidden_layers 32",
      "has 2",
    );
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
