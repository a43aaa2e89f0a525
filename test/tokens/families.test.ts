/**
 * Each family's tokenizer through our own converter: llama.cpp's test vectors for the published vocabularies, and random
 * texts against an independent library.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { beforeAll, describe, expect, it } from "vitest";
import { readTokenizer } from "../../lib/checkpoint/tokenizer.ts";
import { convert, ScoreModel } from "../../lib/index.ts";
import { writeFixture } from "../fixtures/checkpoints.ts";
import { type Family, type FamilyFiles, familyFiles } from "../fixtures/families.ts";
import { randomTexts } from "../fixtures/random-text.ts";
import { longResponse } from "../fixtures/texts.ts";
import { llama2Json, writeTokenizer } from "../fixtures/tokenizer.ts";
import { loadVectors, loadVocabulary } from "../fixtures/vocabulary.ts";
import { workspace } from "../model/support.ts";
import { byteLevelEncoder, tokenizerMetadata } from "./support.ts";

const { path } = workspace();

type Encode = (text: string) => number[];

/** A small random model with the tokenizer of a family, converted and loaded. */
async function modelOf(family: Family | "llama-2", rows: number, size?: number): Promise<ScoreModel> {
  const directory = path(`${family} ${size ?? ""}`);
  await writeFixture(
    {
      layout: "dpa",
      size: { hidden: 32, intermediate: 32, layers: 1, heads: 1, kvHeads: 1, vocabulary: rows },
      dtype: "F16",
      seed: 1,
      shards: 1,
      tokenizer: family === "llama-2" ? {} : { family, ...(size === undefined ? {} : { size }) },
    },
    directory,
  );
  await convert(directory, `${directory}.gguf`, { profile: "dpa" });
  return ScoreModel.load(`${directory}.gguf`, { device: "cpu", threads: 1 });
}

/** Of `count` random texts and two long ones, those that two encoders make different ids of. */
function differing(
  json: string,
  config: FamilyFiles["config"],
  encode: Encode,
  without: readonly string[] = [],
  count = 20_000,
) {
  const parsed = JSON.parse(json);
  const reference = new Tokenizer(parsed, config);
  const specials: string[] = parsed.added_tokens.map(({ content }: { content: string }) => content);
  const texts = randomTexts(count, 20_241_120, specials, without);
  return [...texts, texts.slice(0, 1000).join(""), longResponse(20_000)].filter(
    (text) => `${encode(text)}` !== `${reference.encode(text).ids}`,
  );
}

describe.each([
  { family: "llama-2", vectors: "llama-spm", bos: [1], without: [] },
  // The library trims white space behind a token by JavaScript's idea of it.
  { family: "phi-3", vectors: "phi-3", bos: [], without: ["\ufeff", "\u0085"] },
  { family: "gemma-2", vectors: null, bos: [2], without: [] },
  { family: "internlm2", vectors: null, bos: [1], without: [] },
] as const)("$family", ({ family, vectors, bos, without }) => {
  let files: Pick<FamilyFiles, "json" | "config" | "size">;
  let encode: Encode;
  beforeAll(async () => {
    files =
      family === "llama-2"
        ? { json: llama2Json(await loadVocabulary(), {}), config: {}, size: 32_000 }
        : await familyFiles(family);
    const model = await modelOf(family, files.size);
    encode = (text) => [...model.tokenize(text)];
    return () => model.close();
  });

  if (vectors !== null)
    it("meets the published tokenizer's vectors", () => {
      const cases = loadVectors(vectors).filter(({ text }) => text !== "");
      expect(cases.length).toBeGreaterThan(40);
      for (const { text, ids } of cases) expect(encode(text), JSON.stringify(text)).toEqual([...bos, ...ids]);
    });

  it("agrees with @huggingface/tokenizers on 20,000 random texts", () => {
    expect(differing(files.json, files.config, encode, without).slice(0, 5)).toEqual([]);
  });
});

it("InternLM2's tokenizer is the same by tokenizer.model and by the tokenizer.json that is made of it", async () => {
  const { json, config } = await familyFiles("internlm2");
  const directories = [path("internlm2 model"), path("internlm2 json")] as const;
  for (const directory of directories) mkdirSync(directory);
  await writeTokenizer(directories[0], { family: "internlm2" });
  writeFileSync(join(directories[1], "tokenizer.json"), json);
  writeFileSync(join(directories[1], "tokenizer_config.json"), JSON.stringify(config));
  const [model, made] = await Promise.all(directories.map((directory) => readTokenizer(directory)));
  expect(made).toEqual({ ...model, file: "tokenizer.json", scores: made?.scores });
});

describe.each([
  { family: "llama-3", vectors: "llama-bpe", bos: [128_000] },
  { family: "qwen2", vectors: "qwen2", bos: [] },
] as const)("$family", ({ family, vectors, bos }) => {
  let files: FamilyFiles;
  let encode: Encode;
  beforeAll(async () => {
    files = await familyFiles(family);
    mkdirSync(path("files", family), { recursive: true });
    await writeTokenizer(path("files", family), { family });
    encode = byteLevelEncoder(await tokenizerMetadata(path("files", family)));
  });

  it("meets the published tokenizer's vectors", () => {
    const cases = loadVectors(vectors).filter(({ text }) => text !== "");
    expect(cases.length).toBeGreaterThan(40);
    for (const { text, ids } of cases) expect(encode(text), JSON.stringify(text)).toEqual([...bos, ...ids]);
  });

  it("agrees with @huggingface/tokenizers on 20,000 random texts", () => {
    expect(differing(files.json, files.config, encode).slice(0, 5)).toEqual([]);
  });

  it("is the same in a model file that llama.cpp loads", async () => {
    const small = await familyFiles(family, 2000);
    const model = await modelOf(family, small.size, 2000);
    const encodeSmall: Encode = (text) => [...model.tokenize(text)];
    expect(differing(small.json, small.config, encodeSmall, [], 2000).slice(0, 5)).toEqual([]);
    await model.close();
  });
});
