/** A small tokenizer in every published layout, and ways to change one field of it. */
import { PbfWriter } from "pbf";

export const BYTES = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
);

/** `<unk>`, `<s>`, `</s>`, the bytes, then what the merges make, best first, then characters. */
export const PIECES = ["ab", "▁ab", "▁c", "▁", "a", "b", "c"];
export const TOKENS = ["<unk>", "<s>", "</s>", ...BYTES, ...PIECES];
export const MERGES = ["a b", "▁ ab", "▁ c"];

export const REPLACE = { type: "Replace", pattern: { String: " " }, content: "▁" };
export const PREPEND = { type: "Prepend", prepend: "▁" };
export const METASPACE = { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: false };

export const special = (id: number, content: string, flags: Record<string, unknown> = {}) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
  ...flags,
});

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
      type: "BPE",
      dropout: null,
      unk_token: "<unk>",
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(TOKENS.map((token, id) => [token, id])),
      merges: MERGES,
      ...model,
    },
  };
}

/** What a tokenizer.model says besides its pieces. */
export interface RawSentencePiece {
  readonly modelType?: number;
  readonly byteFallback?: boolean;
  readonly charsmap?: Uint8Array;
  readonly addDummyPrefix?: boolean;
  readonly removeExtraWhitespaces?: boolean;
  readonly escapeWhitespaces?: boolean;
  readonly whitespaceAsSuffix?: boolean;
  readonly padId?: number;
  readonly pieces?: readonly (readonly [text: string, score: number, type: number])[];
}

/** Llama's kinds of pieces: scores count down from the first merge. */
export const SP_PIECES: readonly (readonly [string, number, number])[] = TOKENS.map((token, id) => {
  if (id === 0) return [token, 0, 2];
  if (id < 3) return [token, 0, 3];
  return id < 259 ? [token, 0, 6] : [token, 258 - id, 1];
});

/** A tokenizer.model as SentencePiece writes it; Llama's settings where nothing else is said. */
export function sentencePiece(raw: RawSentencePiece = {}): Uint8Array {
  const model = new PbfWriter();
  for (const [text, score, type] of raw.pieces ?? SP_PIECES)
    model.writeMessage(
      1,
      (_, pbf) => {
        pbf.writeStringField(1, text);
        pbf.writeFloatField(2, score);
        if (type !== 1) pbf.writeVarintField(3, type);
      },
      null,
    );
  model.writeMessage(
    2,
    (_, pbf) => {
      pbf.writeStringField(2, "tokenizer");
      pbf.writeVarintField(3, raw.modelType ?? 2);
      pbf.writeFloatField(10, 0.99995);
      pbf.writeBooleanField(24, raw.whitespaceAsSuffix ?? false);
      pbf.writeBooleanField(35, raw.byteFallback ?? true);
      pbf.writeVarintField(40, 0);
      pbf.writeVarintField(41, 1);
      pbf.writeVarintField(42, 2);
      pbf.writeVarintField(43, raw.padId ?? -1);
    },
    null,
  );
  model.writeMessage(
    3,
    (_, pbf) => {
      pbf.writeStringField(1, "identity");
      pbf.writeBytesField(2, raw.charsmap ?? new Uint8Array());
      pbf.writeBooleanField(3, raw.addDummyPrefix ?? true);
      pbf.writeBooleanField(4, raw.removeExtraWhitespaces ?? false);
      pbf.writeBooleanField(5, raw.escapeWhitespaces ?? true);
    },
    null,
  );
  return model.finish();
}
