/** What turning a string into token ids needs to know; the sub-word model itself is injected. */

/** A token matched in the text before the sub-word model sees it, with tokenizer.json's flags. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  /** Matched in the normalised text with its own content normalised too (the Hugging Face rule), else in the raw text. */
  readonly normalized: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly singleWord: boolean;
}

/** The rules around the sub-word model. */
export interface TokenizerRules {
  readonly vocabularySize: number;
  readonly addedTokens: readonly AddedToken[];
  /** The byte-level tokenizer by llama.cpp's name; null for SentencePiece-style ones. */
  readonly preTokenizer: PreTokenizer | null;
  /**
   * Where "▁" is put: before every stretch of text between added tokens ("each": the Prepend normaliser), before the text's
   * beginning only ("first"), or nowhere, as in byte-level tokenizers.
   */
  readonly spacePrefix: "each" | "first" | "none";
  readonly addBos: boolean;
  readonly addEos: boolean;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly unkId: number | null;
  readonly padId: number | null;
  /** The file leaves something open: texts that depend on it are refused. */
  readonly derived?: true;
}

/** llama.cpp's names (`tokenizer.ggml.pre`) of the byte-level tokenizers that are known. */
export type PreTokenizer =
  | "llama-bpe"
  | "dbrx"
  | "qwen2"
  | "deepseek-r1-qwen"
  | "tekken"
  | "gpt-4o"
  | "gpt-2"
  | "olmo"
  | "starcoder"
  | "command-r";

/** What turns text between added tokens, normalised, into ids; no prefix, no special tokens. */
export interface SubwordModel {
  /** Cuts a text into parts that can be encoded one by one; together they are the text. */
  readonly split: (text: string) => Iterable<string>;
  /** The ids of one part. */
  readonly encode: (part: string) => Iterable<number>;
}
