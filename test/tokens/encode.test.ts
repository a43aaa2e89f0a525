/** encodeText against the two Hugging Face libraries, and what it adds around a text. */
import { Tokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeText } from "../../lib/tokens/encode.ts";
import type { TokenizerRules } from "../../lib/tokens/types.ts";
import { HF_CASES } from "./hf-cases.ts";
import { addedToken, FIRST_ADDED_ID, SPECIAL_TOKENS, subwords, textsOf, tinyRules, tokenizerJson } from "./tiny-bpe.ts";

const AS_IS = { appendEos: false };
const PLAIN = tinyRules("each");

function encode(text: string, rules: TokenizerRules = PLAIN, appendEos = false): number[] {
  return [...encodeText(text, rules, subwords, { appendEos })];
}

describe("texts as Hugging Face tokenizers (Rust) splits them", () => {
  it.each(HF_CASES)("$what", ({ spacePrefix, added, text, expected }) => {
    const ids = encodeText(text, tinyRules(spacePrefix, added), subwords, AS_IS);
    expect(textsOf(ids, added)).toEqual(["<s>", ...expected]);
  });
});

/**
 * The JavaScript library leaves the Rust one's rules in five places, which are kept out of these texts: it ignores
 * single_word, trims by JavaScript's idea of white space, searches normalised tokens in the raw text where there is no
 * normaliser, takes what is left of a stretch for an added token if it equals its content, and under "first" prefixes
 * every part of the first section.
 */
describe("random texts as @huggingface/tokenizers encodes them", () => {
  const atoms = ["a", "b", "ab", "cd", " ", "  ", "\n", "\t", "</s>", "<s>", "<unk>", "<d>", "<", "é", "😀", "▁", "s>"];
  const texts = fc.array(fc.constantFrom(...atoms), { maxLength: 16 }).map((parts) => parts.join(""));
  const modes = ["each", "first", "none"] as const;
  const combinations = modes.flatMap((spacePrefix) =>
    [0, 1, 2, 3, 4, 5, 6, 7]
      .map((bits) => (["lstrip", "rstrip", "normalized"] as const).filter((_, i) => bits & (1 << i)))
      .filter((flags) => spacePrefix !== "first" || !flags.includes("normalized"))
      .map((flags) => ({ spacePrefix, flags, name: flags.join(" ") || "no flags" })),
  );

  it.each(combinations)("$spacePrefix, $name", ({ spacePrefix, flags }) => {
    const rules = tinyRules(spacePrefix, [...SPECIAL_TOKENS, addedToken(FIRST_ADDED_ID, "<d>", "special", ...flags)]);
    const reference = new Tokenizer(tokenizerJson(rules), {});
    const property = fc.property(texts, (text) => {
      fc.pre(!flags.includes("normalized") || !text.includes("<d><d>"));
      expect(encode(text, rules)).toEqual(reference.encode(text).ids);
    });
    fc.assert(property, { seed: 20240607, numRuns: 300 });
  });
});

describe("what is put around a text", () => {
  it("is BOS alone for an empty text", () => {
    expect(encode("")).toEqual([1]);
    expect(encode("", PLAIN, true)).toEqual([1, 2]);
  });

  it("follows add_bos_token and add_eos_token", () => {
    const [a] = encode("a", { ...PLAIN, addBos: false });
    expect(encode("a", { ...PLAIN, addBos: false })).toEqual([a]);
    expect(encode("a", { ...PLAIN, addEos: true })).toEqual([1, a, 2]);
  });

  it("appends one EOS behind an EOS written in the text, but not behind the tokenizer's own", () => {
    const [, a] = encode("a");
    expect(encode("a</s>", PLAIN, true)).toEqual([1, a, 2, 2]);
    expect(encode("a", { ...PLAIN, addEos: true }, true)).toEqual([1, a, 2]);
  });

  it("puts BOS before a text that writes one itself, as the tokenizer does", () => {
    expect(encode("<s>").slice(0, 2)).toEqual([1, 1]);
  });

  it("adds no end a second time to a rendered chat template", () => {
    const render = (text: string, rules: TokenizerRules, appendEos = false): number[] => [
      ...encodeText(text, rules, subwords, { appendEos, mayHoldEnds: true }),
    ];
    const both = { ...PLAIN, addEos: true };
    const [, a] = encode("a");
    expect(render("<s>a</s>", both)).toEqual([1, a, 2]);
    expect(render("a", both)).toEqual([1, a, 2]);
    expect(render("<s>", PLAIN)).toEqual([1]);
    expect(render("", PLAIN)).toEqual([1]);
    expect(render("a", { ...PLAIN, addBos: false })).toEqual([a]);
    expect(render("<s>a</s>", PLAIN, true)).toEqual([1, a, 2, 2]); // asked for, as in a text
    expect(render("<s><s>a", PLAIN)).toEqual([1, 1, a]); // the template's own
  });

  it("refuses to add tokens that the tokenizer does not have", () => {
    const code = "ERR_TOKENIZER";
    expect(() => encode("a", { ...PLAIN, bosId: null })).toThrow(expect.objectContaining({ code }));
    expect(() => encode("a", { ...PLAIN, eosId: null }, true)).toThrow(expect.objectContaining({ code }));
  });

  it("refuses an empty text where the tokenizer adds nothing", () => {
    expect(() => encode("", { ...PLAIN, addBos: false })).toThrow(expect.objectContaining({ code: "ERR_ARGUMENT" }));
  });

  it.each([
    ["a high surrogate", "ab\ud83d", 2],
    ["a low surrogate", "\ude00ab", 0],
    ["a pair in the wrong order", "a\ude00\ud83d", 1],
  ])("refuses %s, with its index", (_, text, index) => {
    expect(() => encode(text)).toThrow(
      expect.objectContaining({ code: "ERR_TEXT", message: expect.stringContaining(`index ${index}:`) }),
    );
  });
});
