/** Byte-level tokenizers: words as the Rust library cuts them, merges, and the vectors of vocabularies beside the families. */
import { describe, expect, it } from "vitest";
import type { GgufValue } from "../../lib/gguf/types.ts";
import { bytePairModel } from "../../lib/tokens/byte-pair.ts";
import { PRE_TOKENIZERS, splitWords } from "../../lib/tokens/pre-tokenizer.ts";
import { loadVectors, loadVocabulary } from "../fixtures/vocabulary.ts";
import { byteLevelEncoder } from "./support.ts";
import { WORDS } from "./word-cases.ts";

const text = (value: string): GgufValue => ({ type: "string", value });
const texts = (value: readonly string[]): GgufValue => ({ type: "array", of: "string", value });

describe.each(Object.keys(WORDS) as (keyof typeof WORDS)[])("words of %s", (name) => {
  it.each(WORDS[name])("%j", (words) => {
    expect(splitWords(words.replaceAll("|", ""), PRE_TOKENIZERS[name])).toEqual(words.split("|"));
  });
});

it.each(["gpt-2", "starcoder"] as const)("%s meets the published tokenizer's vectors", async (name) => {
  const { tokens, merges } = await loadVocabulary(name);
  const encode = byteLevelEncoder(
    new Map([
      ["tokenizer.ggml.model", text("gpt2")],
      ["tokenizer.ggml.pre", text(name)],
      ["tokenizer.ggml.tokens", texts(tokens)],
      ["tokenizer.ggml.merges", texts(merges)],
    ]),
  );
  const cases = loadVectors(name).filter(({ text }) => text !== "");
  expect(cases.length).toBeGreaterThan(40);
  for (const { text, ids } of cases) expect(encode(text), JSON.stringify(text)).toEqual(ids);
});

describe("merges", () => {
  const tokens = ["a", "b", "c", "ab", "bc", "abc", "aa", "Ġ", "aaaa"];
  const merges = ["a b", "b c", "ab c", "a a", "aa aa"];
  const model = bytePairModel({ tokens, merges }, PRE_TOKENIZERS["gpt-2"]);
  const encode = (text: string) =>
    [...model.split(text)].map((word) => [...model.encode(word)].map((id) => tokens[id]));

  it("join the best pair first, and of one pair the leftmost", () => {
    expect(encode("abc")).toEqual([["abc"]]);
    expect(encode("bcbab aaab")).toEqual([
      ["bc", "b", "ab"],
      ["Ġ", "aa", "ab"],
    ]);
    expect(encode("aaaaa")).toEqual([["aaaa", "a"]]);
  });

  it("leave out bytes without a token", () => expect(encode("aébx")).toEqual([["ab"]]));

  it("give the same for a word that was met before", () =>
    expect([encode("abcab"), encode("abcab")][1]).toEqual([["abc", "ab"]]));

  it("take time that grows with a word's length, not its square", () => {
    const long = "a".repeat(400_003);
    const ids = [...model.encode(long)];
    expect(ids).toHaveLength(100_002);
    expect(ids.slice(-2).map((id) => tokens[id])).toEqual(["aa", "a"]);
  });

  it("are passed over where the word is a token, for tokenizers that ignore merges then", () => {
    const whole = bytePairModel({ tokens: [...tokens, "cab"], merges }, PRE_TOKENIZERS["llama-bpe"]);
    expect([...whole.encode("cab")]).toEqual([9]);
    expect([...model.encode("cab")]).toEqual([2, 3]);
  });

  it.each([
    [["a c"], 'the merge 0, "a c", of tokens that are not there'],
    [["ab"], 'the merge 0, "ab", of tokens'],
    [["a b", "a b"], 'the merge "a b" twice'],
  ])("%j are malformed", (malformed, problem) => {
    expect(() => bytePairModel({ tokens, merges: malformed }, PRE_TOKENIZERS["gpt-2"])).toThrow(
      expect.objectContaining({ code: "ERR_TOKENIZER", message: expect.stringContaining(problem) }),
    );
  });
});
