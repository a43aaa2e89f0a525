/** A small tokenizer in every published layout, and ways to change one field of it. */
import { type RawSentencePiece, sentencePieceModel } from "../fixtures/sentencepiece.ts";
import {
  BYTE_FALLBACK_MODEL,
  BYTE_TOKENS,
  PREPEND,
  REPLACE,
  jsonToken as special,
} from "../fixtures/tokenizer-json.ts";

/** `<unk>`, `<s>`, `</s>`, the bytes, then what the merges make, best first, then characters. */
export const PIECES = ["ab", "▁ab", "▁c", "▁", "a", "b", "c"];
export const TOKENS = ["<unk>", "<s>", "</s>", ...BYTE_TOKENS, ...PIECES];
export const MERGES = ["a b", "▁ ab", "▁ c"];

const BOS = { SpecialToken: { id: "<s>", type_id: 0 } };
const EOS = { SpecialToken: { id: "</s>", type_id: 0 } };
const TEXT = { Sequence: { id: "A", type_id: 0 } };

export const template = (...single: unknown[]) => ({
  type: "TemplateProcessing",
  single,
  special_tokens: {
    "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] },
    "</s>": { id: "</s>", ids: [2], tokens: ["</s>"] },
  },
});
export const TEMPLATES = { BOS, EOS, TEXT };

/** A tokenizer.json; `model` and the other arguments replace single fields, `undefined` removes them. */
export function tokenizerJson(fields: Record<string, unknown> = {}, model: Record<string, unknown> = {}) {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
    normalizer: { type: "Sequence", normalizers: [PREPEND, REPLACE] },
    pre_tokenizer: null,
    post_processor: template(BOS, TEXT),
    decoder: null,
    ...fields,
    model: {
      ...BYTE_FALLBACK_MODEL,
      vocab: Object.fromEntries(TOKENS.map((token, id) => [token, id])),
      merges: MERGES,
      ...model,
    },
  };
}

/** Llama's kinds of pieces: scores count down from the first merge. */
export const SP_PIECES: readonly (readonly [string, number, number])[] = TOKENS.map((token, id) => {
  if (id === 0) return [token, 0, 2];
  if (id < 3) return [token, 0, 3];
  return id < 259 ? [token, 0, 6] : [token, 258 - id, 1];
});

/** A tokenizer.model of these pieces where none are given. */
export function sentencePiece(raw: Partial<RawSentencePiece> = {}): Uint8Array {
  return sentencePieceModel({ pieces: SP_PIECES, ...raw });
}
