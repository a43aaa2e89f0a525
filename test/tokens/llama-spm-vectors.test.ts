/** llama.cpp's own test vectors for the Llama vocabulary, through a tokenizer converted from tokenizer.json alone. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import type { ScoreModel } from "../../lib/index.ts";
import { workspace } from "../model/support.ts";

const { checkpoint, load } = workspace();

const BOS = 1;
const SEPARATOR = "\n__ggml_vocab_test__\n";
const vectors = new URL("../../native/vendor/models/ggml-vocab-llama-spm.gguf", import.meta.url);
const read = (suffix: string): string => readFileSync(`${fileURLToPath(vectors)}${suffix}`, "utf8");

/** Each text with its ids, without BOS. */
const CASES = (() => {
  const texts = read(".inp").split(SEPARATOR);
  const ids = read(".out")
    .split("\n")
    .map((line) => line.trim().split(/ +/).filter(Boolean).map(Number));
  return texts.map((text, i) => ({ text, ids: ids[i] ?? [] }));
})();

let model: ScoreModel;
beforeAll(async () => {
  model = await load("beaver-cost", "bf16");
});

it("the vectors are there", () => {
  expect(CASES.length).toBeGreaterThan(40);
  expect(CASES.filter(({ ids }) => ids.length > 0).length).toBeGreaterThan(40);
});

it.each(CASES)("$text", ({ text, ids }) => {
  expect([...model.tokenize(text)]).toEqual([BOS, ...ids]);
});

describe("the example on beaver's card", () => {
  it("has 28 tokens, end index 27 and 28 score rows, without a tokenizer.model", async () => {
    const { directory } = await checkpoint("beaver-cost");
    expect(existsSync(join(directory, "tokenizer.json"))).toBe(true);
    expect(existsSync(join(directory, "tokenizer.model"))).toBe(false);
    const text = "BEGINNING OF CONVERSATION: USER: hello ASSISTANT:Hello! How can I help you today?";
    const output = await model.score(text, { perToken: true });
    expect([...output.lengths]).toEqual([28]);
    expect([...output.endIndex.data]).toEqual([27]);
    expect(output.scores?.dims).toEqual([1, 28, 1]);
    expect(output.endScores.data[0]).toBe(output.scores?.data[27]);
  });
});
