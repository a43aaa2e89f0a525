/**
 * Files of llama.cpp's converter with the tokenizers that it writes: the ids of published vectors and of an independent
 * library, the reference's scores, and an error for what such a file leaves open.
 */
import { Tokenizer } from "@huggingface/tokenizers";
import { beforeAll, describe, expect, it } from "vitest";
import type { GgufValue } from "../../lib/gguf/types.ts";
import { attach, convert, inspect, type LoadOptions, ScoreModel } from "../../lib/index.ts";
import type { CaseName } from "../fixtures/cases.ts";
import { writeFixture } from "../fixtures/checkpoints.ts";
import { type FamilyFiles, familyFiles } from "../fixtures/families.ts";
import { loadGolden } from "../fixtures/golden.ts";
import { Random } from "../fixtures/random.ts";
import { randomTexts } from "../fixtures/random-text.ts";
import { llama2Json } from "../fixtures/tokenizer.ts";
import { loadVectors, loadVocabulary, type VocabularyName } from "../fixtures/vocabulary.ts";
import { refused } from "../gguf/support.ts";
import { expectResults, READ_LAST } from "../model/expect-golden.ts";
import { rowOf, vectorError } from "../model/numbers.ts";
import { workspace } from "../model/support.ts";
import { bundledKeys, byteLevelKeys, type Keys, writeForeign } from "./foreign-tokenizer.ts";
import { EXACT, expectGolden, f32, headFile, plain } from "./support.ts";

const space = workspace();
const { path } = space;

let made = 0;
const fresh = (ending: string): string => path(`${made++}.${ending}`);
const WIDTH = 32;

/** A small random model of ten outputs whose embedding has that many rows. */
async function modelWith(rows: number, tokenizer: { family?: "llama-3" | "qwen2"; size?: number } = {}) {
  const directory = fresh("checkpoint");
  const size = { hidden: WIDTH, intermediate: 32, layers: 1, heads: 1, kvHeads: 1, vocabulary: rows };
  await writeFixture({ layout: "dpa", size, dtype: "F16", seed: 7, shards: 1, tokenizer }, directory);
  await convert(directory, `${directory}.gguf`, { profile: "dpa", type: "f32" });
  return { directory, file: `${directory}.gguf` };
}

const load = (file: string, options: LoadOptions = {}): Promise<ScoreModel> =>
  ScoreModel.load(file, { ...EXACT, ...options });
const numbers = new Random(9, "classifier").normal(3 * 64, 0, 0.1);
const set = (keys: Keys, key: string, value: GgufValue | null): Keys => {
  const changed = new Map(keys);
  changed.delete(`tokenizer.ggml.${key}`);
  if (value) changed.set(`tokenizer.ggml.${key}`, value);
  return changed;
};
const bool = (value: boolean): GgufValue => ({ type: "bool", value });
const text = (value: string): GgufValue => ({ type: "string", value });

describe("the published vocabularies, as llama.cpp's converter wrote them", () => {
  it.each<[VocabularyName, number[], RegExp]>([
    ["llama-bpe", [128_000], /^$/],
    ["qwen2", [], /^$/],
    ["llama-spm", [1], /^[ ▁]|<(s|\/s|unk)>|^$/],
    ["phi-3", [1], /^[ ▁]|<(s|\/s|unk|\|\w+\|)>|^$/],
  ])("%s gives the published tokenizer's ids", async (name, bos, without) => {
    const keys = await bundledKeys(name);
    const { tokens } = await loadVocabulary(name);
    const { file, directory } = await modelWith(tokens.length);
    const foreign = await writeForeign(file, fresh("gguf"), keys);
    await using model = await load(foreign, { head: directory });
    const cases = loadVectors(name).filter(({ text }) => !without.test(text));
    expect(cases.length).toBeGreaterThan(25);
    for (const { text, ids } of cases)
      expect([...model.tokenize(text)], JSON.stringify(text)).toEqual([...bos, ...ids]);
  });
});

describe.each([
  { family: "llama-3", pre: "llama-bpe" },
  { family: "qwen2", pre: "qwen2" },
] as const)("a byte-level file: $family", ({ family, pre }) => {
  const SIZE = 2000;
  let files: FamilyFiles;
  let converted: string;
  let directory: string;
  let keys: Keys;
  let foreign: string;
  beforeAll(async () => {
    files = await familyFiles(family, SIZE);
    ({ directory, file: converted } = await modelWith(files.size + 25, { family, size: SIZE }));
    keys = byteLevelKeys(files, pre, files.size + 25);
    foreign = await writeForeign(converted, fresh("gguf"), keys);
  });

  it("gives the independent library's ids, special tokens included", async () => {
    const parsed = JSON.parse(files.json);
    const reference = new Tokenizer(parsed, files.config);
    const specials = parsed.added_tokens.map(({ content }: { content: string }) => content);
    await using model = await load(foreign, { head: directory });
    const odd = randomTexts(3000, 31, [...specials, `[PAD${files.size}]`]).filter(
      (text) => `${model.tokenize(text)}` !== `${reference.encode(text).ids}`,
    );
    expect(odd.slice(0, 5)).toEqual([]);
  });

  it("has the scores of the converted checkpoint: in place, with its tokenizer's files, and attached", async () => {
    await attach(foreign, path("attached.gguf"), { head: directory, profile: "dpa" });
    const inputs = [
      "A text of 1234 words: naïve, 日本語.",
      "<|im_end|><|eot_id|> x\n\n y",
      { prompt: "a", response: "b c" },
    ];
    await using own = await load(converted);
    const expected = await own.score(inputs, READ_LAST);
    for (const [file, options] of [
      [foreign, { head: directory, profile: "dpa" }],
      [foreign, { head: directory, profile: "dpa", tokenizer: directory }],
      [path("attached.gguf"), {}],
    ] as const) {
      await using model = await load(file, options);
      const output = await model.score(inputs, READ_LAST);
      expect(output.tokenIds).toEqual(expected.tokenIds);
      expect(output.endScores).toEqual(expected.endScores);
      expect(output.scores).toEqual(expected.scores);
    }
  });

  it.each<[string, (keys: Keys) => Keys, string]>([
    ["no name", (keys) => set(keys, "pre", null), '"default"'],
    ["a name that is not known", (keys) => set(keys, "pre", text("mystery-bpe")), '"mystery-bpe"'],
    ["no merges", (keys) => set(keys, "merges", null), "tokenizer.ggml.merges"],
    [
      "texts in lower case",
      (keys) => set(keys, "normalizer.lowercase", bool(true)),
      "tokenizer.ggml.normalizer.lowercase",
    ],
    [
      "a space before each text",
      (keys) => set(keys, "add_space_prefix", bool(true)),
      "tokenizer.ggml.add_space_prefix",
    ],
  ])("is refused with %s", async (_, change, part) => {
    const file = await writeForeign(converted, fresh("gguf"), change(keys));
    const code = part === "tokenizer.ggml.merges" ? "ERR_GGUF" : "ERR_TOKENIZER";
    await refused(load(file, { head: directory }), code, part);
    await refused(attach(file, fresh("gguf"), { head: directory }), code, part);
    expect((await inspect(file)).problems).toContainEqual(
      expect.objectContaining({ code, message: expect.stringContaining(part) }),
    );
  });

  it("does not guess a BOS that it does not name", async () => {
    const nameless = set(set(keys, "bos_token_id", null), "add_bos_token", bool(true));
    await using model = await load(await writeForeign(converted, fresh("gguf"), nameless), { head: directory });
    await refused(model.score("a"), "ERR_TOKENIZER", "BOS");
  });
});

describe("the reference's scores on a byte-level file", () => {
  /** A case's weights under a byte-level vocabulary of as many tokens as the embedding has rows. */
  async function foreignCase(name: CaseName, pre: "llama-bpe" | "qwen2", changes?: Parameters<typeof writeForeign>[3]) {
    const files = await familyFiles(pre === "qwen2" ? "qwen2" : "llama-3", 3000);
    const rows = name === "qwen2-classifier" ? 32_064 : 32_000;
    return writeForeign(await space.gguf(name), fresh("gguf"), byteLevelKeys(files, pre, rows), changes);
  }
  const inputs = (name: CaseName) => loadGolden(name).results.map(({ tokenIds }) => ({ tokenIds }));

  it.each([
    ["llama-classifier", "llama-bpe"],
    ["qwen2-classifier", "qwen2"],
    ["qwen3-score", "qwen2"],
  ] as const)("%s with a head that is named", async (name, pre) => {
    const { directory } = await space.checkpoint(name);
    const foreign = await foreignCase(name, pre);
    await attach(foreign, path("golden.gguf"), { head: directory });
    for (const [file, options] of [
      [foreign, { head: directory }],
      [path("golden.gguf"), {}],
    ] as const) {
      await using model = await load(file, options);
      expectResults(await model.score(inputs(name), READ_LAST), loadGolden(name).results, 2e-5);
    }
  });

  it.each([
    ["qwen2-classifier", "qwen2", 3],
    ["qwen3-score", "qwen2", 1],
    ["llama-classifier", "llama-bpe", 3],
  ] as const)("%s with a classifier in it, raw", async (name, pre, outputs) => {
    const width = 64;
    const foreign = await foreignCase(name, pre, {
      added: [
        {
          name: "cls.output.weight",
          dims: [width, outputs],
          type: "F32",
          bytes: f32(...numbers.subarray(0, width * outputs)),
        },
      ],
      metadata: (metadata) => {
        const value = Array.from({ length: outputs }, (_, i) => `LABEL_${i}`);
        const architecture = String(metadata.get("general.architecture")?.value);
        metadata.set(`${architecture}.classifier.output_labels`, { type: "array", of: "string", value });
        metadata.set(`${architecture}.pooling_type`, { type: "u32", value: 4 });
      },
    });
    await using model = await load(foreign);
    expect(model.info.labels).toHaveLength(outputs);
    const output = await model.score(inputs(name), READ_LAST);
    for (const [i, { endLastHiddenState: hidden }] of loadGolden(name).results.entries()) {
      expect(vectorError(rowOf(output.endLastHiddenState, i), hidden)).toBeLessThan(4e-5);
      const expected = Array.from({ length: outputs }, (_, row) =>
        hidden.reduce((sum, x, column) => sum + x * (numbers[row * width + column] as number), 0),
      );
      expect(vectorError(rowOf(output.endScores, i), expected)).toBeLessThan(4e-5);
    }
  });
});

describe("a SentencePiece file", () => {
  let keys: Keys;
  beforeAll(async () => {
    keys = await bundledKeys("llama-spm");
  });
  const foreign = async (name: CaseName, keys: Keys) => writeForeign(await space.gguf(name), fresh("gguf"), keys);

  it.each<[string, (keys: Keys) => Keys]>([
    ["as it was made", (keys) => keys],
    ["with its space prefix said", (keys) => set(keys, "add_space_prefix", bool(true))],
    ["with BOS left to the default", (keys) => set(keys, "add_bos_token", null)],
  ])("has the reference's scores for texts %s", async (_, change) => {
    const file = await foreign("dpa", change(keys));
    await expectGolden(file, plain("dpa"), { head: await headFile(space, "dpa") });
  });

  it("without a space prefix, or without BOS, gives the independent library's ids", async () => {
    const parsed = JSON.parse(llama2Json(await loadVocabulary(), {}));
    const [, replace] = parsed.normalizer.normalizers;
    const reference = new Tokenizer({ ...parsed, normalizer: replace, post_processor: null }, {});
    const texts = randomTexts(2000, 32, [" "]).filter((text) => !/<(s|\/s|unk)>/.test(text));
    const bare = set(set(keys, "add_space_prefix", bool(false)), "add_bos_token", bool(false));
    await using model = await load(await foreign("dpa", bare), { head: await headFile(space, "dpa") });
    const odd = texts.filter((text) => text !== "" && `${model.tokenize(text)}` !== `${reference.encode(text).ids}`);
    expect(odd.slice(0, 5)).toEqual([]);
    await refused(model.score("a <s> b"), "ERR_TOKENIZER", '"<s>"');
  });

  it("without scores is refused", async () => {
    const file = await foreign("dpa", set(keys, "scores", null));
    await refused(load(file, { head: await headFile(space, "dpa") }), "ERR_GGUF", "tokenizer.ggml.scores");
  });
});
