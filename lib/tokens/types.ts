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
  /**
   * Where "▁" is put: before every stretch of text between added tokens ("each": the Prepend normaliser), before the text's
   * beginning only ("first"), or nowhere.
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

/** The sub-word model: a stretch of text, taken as it is, to ids; no prefix, no special tokens. */
export type EncodePiece = (text: string) => Int32Array;
