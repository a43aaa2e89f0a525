/** A tokenizer of 300 tokens for tests: its tokenizer.json, its rules, and its sub-word model. */

import type { AddedToken, SubwordModel, TokenizerRules } from "../../lib/tokens/types.ts";
import {
  BYTE_FALLBACK_MODEL,
  BYTE_TOKENS,
  bosTemplate,
  METASPACE,
  PREPEND,
  REPLACE,
} from "../fixtures/tokenizer-json.ts";

const CHARACTERS = ["▁", "a", "b", "c", "d", "<", ">", "/", "s"];
const MERGES: readonly (readonly [string, string])[] = [
  ["▁", "▁"],
  ["▁▁", "▁▁"],
  ["▁", "a"],
  ["a", "b"],
  ["▁a", "b"],
  ["c", "d"],
  ["ab", "cd"],
  ["<", "/"],
  ["▁", "d"],
];
const TEXTS = ["<unk>", "<s>", "</s>", ...BYTE_TOKENS, ...CHARACTERS, ...MERGES.map(([left, right]) => left + right)];
const ID_OF = new Map(TEXTS.map((text, id) => [text, id]));

/** Ids from here on are free for added tokens. */
export const FIRST_ADDED_ID = TEXTS.length;

/** An added token: content, id and the flags that are set. */
export function addedToken(id: number, content: string, ...flags: (keyof AddedToken)[]): AddedToken {
  const token = { id, content, special: false, normalized: false, lstrip: false, rstrip: false, singleWord: false };
  return { ...token, ...Object.fromEntries(flags.map((flag) => [flag, true])) };
}

export const SPECIAL_TOKENS: readonly AddedToken[] = ["<unk>", "<s>", "</s>"].map((text, id) =>
  addedToken(id, text, "special"),
);

/** Rules with BOS 1 and EOS 2, as Llama's. */
export function tinyRules(
  spacePrefix: TokenizerRules["spacePrefix"],
  addedTokens: readonly AddedToken[] = SPECIAL_TOKENS,
): TokenizerRules {
  return {
    vocabularySize: FIRST_ADDED_ID + addedTokens.length,
    addedTokens,
    preTokenizer: null,
    spacePrefix,
    addBos: true,
    addEos: false,
    bosId: 1,
    eosId: 2,
    unkId: 0,
    padId: null,
  };
}

/** The same tokenizer as a parsed tokenizer.json, as transformers writes one for Llama. */
export function tokenizerJson({ spacePrefix, addedTokens }: TokenizerRules): object {
  const normalizers = spacePrefix === "each" ? [PREPEND, REPLACE] : [REPLACE];
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens.map(({ singleWord, ...token }) => ({ ...token, single_word: singleWord })),
    normalizer: spacePrefix === "first" ? null : { type: "Sequence", normalizers },
    pre_tokenizer: spacePrefix === "first" ? METASPACE : null,
    post_processor: bosTemplate({ id: 1, content: "<s>" }),
    decoder: null,
    model: {
      ...BYTE_FALLBACK_MODEL,
      vocab: Object.fromEntries(ID_OF),
      merges: MERGES.map(([left, right]) => `${left} ${right}`),
    },
  };
}

/** Byte-pair merging by rank, then byte fallback; takes a space as ▁, as llama.cpp's SentencePiece tokenizer does. */
function encodePiece(text: string): number[] {
  const symbols = [...text.replaceAll(" ", "▁")];
  for (;;) {
    const ranks = symbols.map((s, i) => MERGES.findIndex(([left, right]) => left === s && right === symbols[i + 1]));
    const best = Math.min(...ranks.filter((rank) => rank >= 0));
    if (!Number.isFinite(best)) break;
    symbols.splice(ranks.indexOf(best), 2, (MERGES[best] as readonly string[]).join(""));
  }
  return symbols.flatMap((s) => ID_OF.get(s) ?? [...Buffer.from(s)].map((byte) => byte + 3));
}

export const subwords: SubwordModel = { split: (text) => [text], encode: encodePiece };

/** Ids as texts, for expectations that a person can read. */
export function textsOf(ids: Int32Array, addedTokens: readonly AddedToken[]): string[] {
  return [...ids].map((id) => addedTokens.find((t) => t.id === id)?.content ?? TEXTS[id] ?? `?${id}`);
}
