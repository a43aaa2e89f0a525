/** Byte-level tokenizers in tokenizer.json: each published definition by its name, and anything else refused. */
import { describe, expect, it } from "vitest";
import { parseTokenizerJson } from "../../lib/checkpoint/tokenizer-json.ts";
import { byteLevel, jsonToken, sequenceOf, splitOn } from "../fixtures/tokenizer-json.ts";

const FLAGS = { add_prefix_space: false, trim_offsets: true };
const BYTES = byteLevel({ ...FLAGS, use_regex: false });
const GPT2 = byteLevel({ ...FLAGS, use_regex: true });
const NFC = { type: "NFC" };
const DIGITS = { type: "Digits", individual_digits: true };

// As the published files have them, character by character.
const LLAMA3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const QWEN2 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const TEKKEN =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const GPT4O =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const split = (...steps: unknown[]) => sequenceOf("pretokenizers", ...steps);

function parse(fields: Record<string, unknown>, model: Record<string, unknown> = {}) {
  return parseTokenizerJson("tokenizer.json", {
    version: "1.0",
    added_tokens: [jsonToken(3, "<|end|>"), jsonToken(4, "<tool>", { special: false })],
    normalizer: null,
    pre_tokenizer: split(splitOn(QWEN2), BYTES),
    post_processor: null,
    decoder: null,
    ...fields,
    model: {
      type: "BPE",
      unk_token: null,
      byte_fallback: false,
      vocab: { a: 0, b: 1, ab: 2 },
      merges: ["a b"],
      ...model,
    },
  });
}

const refusedAs = (problem: string, ...parts: Parameters<typeof parse>) =>
  expect(() => parse(...parts)).toThrow(
    expect.objectContaining({ code: "ERR_TOKENIZER", message: expect.stringContaining(problem) }),
  );

describe("a byte-level tokenizer", () => {
  it.each([
    ["llama-bpe", null, split(splitOn(LLAMA3), BYTES), true],
    ["dbrx", null, split(splitOn(LLAMA3), BYTES), false],
    ["dbrx", null, split({ ...splitOn(LLAMA3), behavior: "Removed", invert: true }, BYTES), false],
    ["qwen2", NFC, split(splitOn(QWEN2), BYTES), false],
    ["qwen2", sequenceOf("normalizers", NFC), split(splitOn(QWEN2), { ...BYTES, trim_offsets: false }), undefined],
    ["deepseek-r1-qwen", sequenceOf("normalizers"), split(splitOn(QWEN2), BYTES), false],
    ["tekken", null, split(splitOn(TEKKEN), BYTES), true],
    ["gpt-4o", null, split(splitOn(GPT4O), BYTES), false],
    ["gpt-2", null, GPT2, false],
    ["gpt-2", null, { type: "ByteLevel", add_prefix_space: false, trim_offsets: true }, false],
    ["olmo", NFC, GPT2, false],
    ["starcoder", null, split(DIGITS, GPT2), false],
    ["command-r", NFC, split(DIGITS, GPT2), false],
  ])("is %s by its definition", (name, normalizer, pre_tokenizer, ignore_merges) => {
    expect(parse({ normalizer, pre_tokenizer }, { ignore_merges })).toMatchObject({
      preTokenizer: name,
      spacePrefix: "none",
    });
  });

  it("has tokens, merges and kinds, and no scores", () => {
    expect(parse({}, { merges: [["a", "b"]] })).toMatchObject({
      tokens: ["a", "b", "ab", "<|end|>", "<tool>"],
      merges: ["a b"],
      kinds: ["normal", "normal", "normal", "control", "user"],
      scores: [],
    });
  });

  it.each([
    ["another expression", { pre_tokenizer: split(splitOn("\\s+"), BYTES) }, "pre_tokenizer is unknown"],
    ["another order", { pre_tokenizer: split(BYTES, splitOn(QWEN2)) }, "pre_tokenizer is unknown"],
    ["one more step", { pre_tokenizer: split(DIGITS, splitOn(QWEN2), BYTES) }, "pre_tokenizer is unknown"],
    ["a step of another type", { pre_tokenizer: split({ type: "Punctuation" }, BYTES) }, '{"type":"Punctuation"}'],
    [
      "another behaviour",
      { pre_tokenizer: split({ ...splitOn(QWEN2), behavior: "MergedWithNext" }, BYTES) },
      "unknown step",
    ],
    [
      "text instead of an expression",
      { pre_tokenizer: split({ ...splitOn(""), pattern: { String: " " } }, BYTES) },
      "step",
    ],
    ["digits together", { pre_tokenizer: split({ ...DIGITS, individual_digits: false }, GPT2) }, "unknown step"],
    ["a space prefix", { pre_tokenizer: { ...GPT2, add_prefix_space: true } }, "pre_tokenizer has an unknown step"],
    ["an unknown field", { pre_tokenizer: { ...GPT2, more: 1 } }, "pre_tokenizer has an unknown step"],
    ["another normaliser", { normalizer: { type: "NFKC" } }, 'normalizer is unknown: {"type":"NFKC"}'],
    [
      "a combination that no model has",
      { normalizer: NFC, pre_tokenizer: split(splitOn(LLAMA3), BYTES) },
      "its pre_tokenizer is that of llama-bpe, dbrx, but not together with the normalizer NFC and model.ignore_merges false",
    ],
  ])("is refused with %s", (_what, fields, problem) => refusedAs(problem, fields));

  it("is refused with an unknown token, which bytes that are missing would become", () =>
    refusedAs("model.unk_token is set", {}, { unk_token: "a" }));
});
