/**
 * How each byte-level tokenizer prepares a text for its merges, under llama.cpp's name for it (`tokenizer.ggml.pre`): the
 * normalised form, the words, and whether a word that is a token is taken whole. The definitions in tokenizer.json that
 * these names stand for are in lib/checkpoint/pre-tokenizer.ts.
 */
import type { PreTokenizer } from "./types.ts";

/** What a name stands for. */
export interface PreTokenizerRules {
  /** Whether texts are brought into Unicode's composed form first. */
  readonly nfc: boolean;
  /** Applied one after the other, each to the parts that the one before left; matches and gaps both become parts. */
  readonly splits: readonly RegExp[];
  /** Whether a word that is a token of the vocabulary becomes it, whatever the merges say. */
  readonly ignoreMerges: boolean;
}

// The published expressions are Oniguruma's, in Unicode mode: \s is White_Space there (JavaScript's has U+FEFF, and not
// U+0085), and (?i:s) matches the long s (U+017F) too, the one letter beside ASCII's that folds to one of these.
const CONTRACTION = "'(?:[sSſtTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])";
const SPACE = String.raw`\p{White_Space}`;
const WHITE = String.raw`${SPACE}*[\r\n]+|${SPACE}+(?!\P{White_Space})|${SPACE}+`;

/** The family that began with cl100k: contractions, words with the character before them, digits, symbols, white space. */
function cl100k(digits: string): RegExp {
  const symbols = String.raw` ?[^${SPACE}\p{L}\p{N}]+[\r\n]*`;
  return new RegExp(String.raw`${CONTRACTION}|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}|${symbols}|${WHITE}`, "gu");
}

/** The family of o200k: words are cut where lower case turns to upper case. */
function o200k(contraction: string, digits: string): RegExp {
  const upper = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`;
  const lower = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`;
  const before = String.raw`[^\r\n\p{L}\p{N}]?`;
  const words = `${before}${upper}*${lower}+${contraction}|${before}${upper}+${lower}*${contraction}`;
  const symbols = String.raw` ?[^${SPACE}\p{L}\p{N}]+[\r\n/]*`;
  return new RegExp(`${words}|${digits}|${symbols}|${WHITE}`, "gu");
}

const GPT2 = new RegExp(
  String.raw`'(?:[stmd]|re|ve|ll)| ?\p{L}+| ?\p{N}+| ?[^${SPACE}\p{L}\p{N}]+|${SPACE}+(?!\P{White_Space})|${SPACE}+`,
  "gu",
);
const LLAMA3 = cl100k(String.raw`\p{N}{1,3}`);
const QWEN2 = cl100k(String.raw`\p{N}`);
const DIGIT = /\p{N}/gu;

export const PRE_TOKENIZERS: Readonly<Record<PreTokenizer, PreTokenizerRules>> = {
  "llama-bpe": { nfc: false, splits: [LLAMA3], ignoreMerges: true },
  dbrx: { nfc: false, splits: [LLAMA3], ignoreMerges: false },
  qwen2: { nfc: true, splits: [QWEN2], ignoreMerges: false },
  "deepseek-r1-qwen": { nfc: false, splits: [QWEN2], ignoreMerges: false },
  tekken: { nfc: false, splits: [o200k("", String.raw`\p{N}`)], ignoreMerges: true },
  "gpt-4o": { nfc: false, splits: [o200k(`(?:${CONTRACTION})?`, String.raw`\p{N}{1,3}`)], ignoreMerges: false },
  "gpt-2": { nfc: false, splits: [GPT2], ignoreMerges: false },
  olmo: { nfc: true, splits: [GPT2], ignoreMerges: false },
  starcoder: { nfc: false, splits: [DIGIT, GPT2], ignoreMerges: false },
  "command-r": { nfc: true, splits: [DIGIT, GPT2], ignoreMerges: false },
};

export function isPreTokenizer(name: string): name is PreTokenizer {
  return Object.hasOwn(PRE_TOKENIZERS, name);
}

/** Cuts a text into the words that the merges work in; together they are the text. */
export function splitWords(text: string, { splits }: PreTokenizerRules): string[] {
  return splits.reduce((parts, pattern) => parts.flatMap((part) => isolate(part, pattern)), [text]);
}

/** The matches of a pattern and what lies between them, in order. */
function isolate(text: string, pattern: RegExp): string[] {
  const parts: string[] = [];
  let done = 0;
  for (const { 0: match, index } of text.matchAll(pattern)) {
    if (done < index) parts.push(text.slice(done, index));
    parts.push(match);
    done = index + match.length;
  }
  if (done < text.length) parts.push(text.slice(done));
  return parts;
}
