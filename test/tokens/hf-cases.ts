/**
 * What Hugging Face tokenizers 0.23.2 (the Rust library, through its Python package) makes of texts with added tokens
 * in them, for the tokenizer of tiny-bpe.ts. Expectations are token texts, without the BOS in front.
 */
import type { AddedToken, TokenizerRules } from "../../lib/tokens/types.ts";
import { addedToken, FIRST_ADDED_ID, SPECIAL_TOKENS } from "./tiny-bpe.ts";

export interface HfCase {
  readonly what: string;
  readonly spacePrefix: TokenizerRules["spacePrefix"];
  readonly added: readonly AddedToken[];
  readonly text: string;
  readonly expected: readonly string[];
}

const X = FIRST_ADDED_ID;
const EOS_NORMALIZED = [...SPECIAL_TOKENS.slice(0, 2), addedToken(2, "</s>", "special", "normalized")];

function withToken(content: string, ...flags: (keyof AddedToken)[]): readonly AddedToken[] {
  return [...SPECIAL_TOKENS, addedToken(X, content, ...flags)];
}

function one(
  what: string,
  spacePrefix: TokenizerRules["spacePrefix"],
  added: readonly AddedToken[],
  text: string,
  /** Token texts, separated by spaces; an array where one of them has a space in it. */
  expected: string | readonly string[],
): HfCase {
  const texts = typeof expected === "string" ? expected.split(" ").filter((part) => part !== "") : expected;
  return { what, spacePrefix, added, text, expected: texts };
}

const PLAIN = SPECIAL_TOKENS;

export const HF_CASES: readonly HfCase[] = [
  one("empty text", "each", PLAIN, "", ""),
  one("each: a prefix at the beginning", "each", PLAIN, "ab", "▁ab"),
  one("each: a prefix before a space too", "each", PLAIN, " ab", "▁▁ ab"),
  one("each: a prefix after every added token", "each", PLAIN, "ab</s>ab", "▁ab </s> ▁ab"),
  one("each: nothing between neighbouring added tokens", "each", PLAIN, "<s></s>a", "<s> </s> ▁a"),
  one("first: a prefix at the beginning only", "first", PLAIN, "ab</s>ab", "▁ab </s> ab"),
  one("first: no prefix after an added token that opens the text", "first", PLAIN, "</s>ab", "</s> ab"),
  one("first: no prefix before a space", "first", PLAIN, " ab", "▁ab"),
  one("first: no prefix before ▁", "first", PLAIN, "▁ab", "▁ab"),
  one("first: a prefix before a line break", "first", PLAIN, "\nab", "▁ <0x0A> ab"),
  one("none: no prefix", "none", PLAIN, "ab</s> ab", "ab </s> ▁ab"),
  one("bytes of characters outside the vocabulary", "none", PLAIN, "é", "<0xC3> <0xA9>"),

  one("normalized under each: matched as ▁</s> at the beginning", "each", EOS_NORMALIZED, "</s>ab", "</s> ab"),
  one("normalized under each: not within a word", "each", EOS_NORMALIZED, "ab</s>", "▁ab </ s >"),
  one("normalized under each: after a space", "each", EOS_NORMALIZED, "ab </s>ab", "▁ab </s> ab"),
  one("normalized under first: matched anywhere", "first", EOS_NORMALIZED, "ab</s>ab", "▁ab </s> ab"),
  one("normalized under first: no prefix behind it", "first", EOS_NORMALIZED, "</s>ab", "</s> ab"),
  one("normalized under none: matched anywhere", "none", EOS_NORMALIZED, "ab</s>ab", "ab </s> ab"),
  one("normalized under none: its spaces match too", "none", withToken("b_c d", "normalized"), "ab_c d", [
    "a",
    "b_c d",
  ]),

  one("the longest of two that start together", "none", withToken("</s>a"), "</s>ab", "</s>a b"),
  one("the leftmost of two that overlap", "none", withToken("b</s"), "ab</s>", "a b</s >"),
  one("raw tokens go before normalized ones", "none", withToken("b</s", "normalized"), "ab</s>", "ab </s>"),

  one("lstrip takes the space before", "first", withToken("<d>", "lstrip"), "ab \n <d> ab", "▁ab <d> ▁ab"),
  one("rstrip takes the space behind", "first", withToken("<d>", "rstrip"), "ab <d> \n ab", "▁ab ▁ <d> ab"),
  one(
    "stripping leaves letters and ZWNBSP",
    "none",
    withToken("<d>", "rstrip"),
    "<d>\ufeffa",
    "<d> <0xEF> <0xBB> <0xBF> a",
  ),
  one("stripping takes U+0085", "none", withToken("<d>", "rstrip"), "<d>\u0085a", "<d> a"),
  one("lstrip leaves the space that rstrip took", "none", withToken("<d>", "lstrip", "rstrip"), "<d> <d>", "<d> <d>"),
  one("a token within stripped space is dropped", "none", withToken("\n", "lstrip", "rstrip"), "a\n\nb", "a \n b"),
  one("lstrip of a normalized token leaves ▁", "none", withToken("<d>", "lstrip", "normalized"), "a <d>", "a ▁ <d>"),

  one("single word: alone", "none", withToken("dc", "singleWord"), "a.dc!", "a <0x2E> dc <0x21>"),
  one("single word: not before a letter", "none", withToken("ba", "singleWord"), "bab", "b ab"),
  one("single word: not behind a digit", "none", withToken("ba", "singleWord"), "1ba", "<0x31> b a"),
  one(
    "single word: not beside a combining accent",
    "none",
    withToken("ba", "singleWord"),
    "ba\u0301",
    "b a <0xCC> <0x81>",
  ),
  one(
    "single word: not behind a letter beyond the BMP",
    "none",
    withToken("ba", "singleWord"),
    "𝒜ba",
    "<0xF0> <0x9D> <0x92> <0x9C> b a",
  ),
  one("single word: beside an emoji", "none", withToken("ba", "singleWord"), "😀ba", "<0xF0> <0x9F> <0x98> <0x80> ba"),
  one(
    "what a refused match covered is not searched again",
    "none",
    withToken("b</s>", "singleWord"),
    "b</s>a",
    "b </ s > a",
  ),
];
