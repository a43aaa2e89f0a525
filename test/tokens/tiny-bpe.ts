/** A tokenizer of 300 tokens for tests: its tokenizer.json, its rules, and its sub-word model. */
import type { AddedToken, EncodePiece, TokenizerRules } from "../../lib/tokens/types.ts";

const BYTES = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`);
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
const TEXTS = ["<unk>", "<s>", "</s>", ...BYTES, ...CHARACTERS, ...MERGES.map(([left, right]) => left + right)];
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
  const prepend = { type: "Prepend", prepend: "▁" };
  const replace = { type: "Replace", pattern: { String: " " }, content: "▁" };
  const normalizers = spacePrefix === "each" ? [prepend, replace] : [replace];
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens.map(({ singleWord, ...token }) => ({ ...token, single_word: singleWord })),
    normalizer: spacePrefix === "first" ? null : { type: "Sequence", normalizers },
    pre_tokenizer:
      spacePrefix === "first" ? { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: false } : null,
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: null,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: "<unk>",
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(ID_OF),
      merges: MERGES.map(([left, right]) => `${left} ${right}`),
    },
  };
}

/** Byte-pair merging by rank, then byte fallback; takes a space as ▁, as llama.cpp's SentencePiece tokenizer does. */
export const encodePiece: EncodePiece = (text) => {
  const symbols = [...text.replaceAll(" ", "▁")];
  for (;;) {
    const ranks = symbols.map((s, i) => MERGES.findIndex(([left, right]) => left === s && right === symbols[i + 1]));
    const best = Math.min(...ranks.filter((rank) => rank >= 0));
    if (!Number.isFinite(best)) break;
    symbols.splice(ranks.indexOf(best), 2, (MERGES[best] as readonly string[]).join(""));
  }
  return Int32Array.from(symbols.flatMap((s) => ID_OF.get(s) ?? [...Buffer.from(s)].map((byte) => byte + 3)));
};

/** Ids as texts, for expectations that a person can read. */
export function textsOf(ids: Int32Array, addedTokens: readonly AddedToken[]): string[] {
  return [...ids].map((id) => addedTokens.find((t) => t.id === id)?.content ?? TEXTS[id] ?? `?${id}`);
}
