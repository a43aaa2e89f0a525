/** The sub-word model of a GGUF file: llama.cpp's for the SentencePiece style, our own for byte-level vocabularies. */
import type { GgufMetadata } from "../gguf/types.ts";
import { bytePairModel } from "./byte-pair.ts";
import { mergesOf, tokensOf } from "./metadata.ts";
import { PRE_TOKENIZERS } from "./pre-tokenizer.ts";
import type { SubwordModel, TokenizerRules } from "./types.ts";

/** Texts up to this length are given to llama.cpp whole, longer ones in parts of about as much. */
const PART_LENGTH = 4096;

/**
 * @param encode llama.cpp's SentencePiece tokenizer over the file's vocabulary: a text, taken as it is, to ids
 * @throws ERR_TOKENIZER where a byte-level vocabulary is malformed
 */
export function subwordModel(
  metadata: GgufMetadata,
  { preTokenizer }: TokenizerRules,
  encode: (text: string) => Int32Array,
): SubwordModel {
  const tokens = tokensOf(metadata);
  if (preTokenizer === null) return sentencePieceModel(tokens, encode);
  return bytePairModel({ tokens, merges: mergesOf(metadata) }, PRE_TOKENIZERS[preTokenizer]);
}

/**
 * llama.cpp's model in parts: its time and memory for one text grow with the square of the characters that are written in
 * bytes (a megabyte of line breaks takes Llama's vocabulary two minutes), and a part is what can be waited for.
 */
function sentencePieceModel(tokens: readonly string[], encode: (text: string) => Int32Array): SubwordModel {
  // llama.cpp reads token texts up to a NUL, and so cannot find the one that InternLM2 has for that character.
  const nul = tokens.indexOf("\0");
  let neighbours: ReadonlySet<number> | undefined;
  const cut = (text: string): Iterable<string> => {
    if (text.length <= PART_LENGTH) return [text];
    neighbours ??= neighboursIn(tokens);
    return cutWhereNothingJoins(text, neighbours);
  };
  if (nul < 0) return { split: cut, encode };
  return {
    split: (text) => text.split(/(\0)/).flatMap((part) => (part === "" ? [] : [...cut(part)])),
    encode: (part) => (part === "\0" ? [nul] : encode(part)),
  };
}

/** Cuts a text between characters that stand side by side in no token, so that no merge reaches across. */
function* cutWhereNothingJoins(text: string, neighbours: ReadonlySet<number>): Generator<string> {
  let start = 0;
  let before = -1;
  for (let at = 0; at < text.length; ) {
    const point = text.codePointAt(at) as number;
    if (at - start >= PART_LENGTH && !neighbours.has(pairKey(before, point))) {
      yield text.slice(start, at);
      start = at;
    }
    before = point;
    at += point > 0xffff ? 2 : 1;
  }
  yield text.slice(start);
}

/** The pairs of characters that stand side by side in tokens. */
function neighboursIn(tokens: readonly string[]): Set<number> {
  const pairs = new Set<number>();
  for (const token of tokens) {
    let before = -1;
    for (const character of token) {
      const point = character.codePointAt(0) as number;
      if (before >= 0) pairs.add(pairKey(before, point));
      before = point;
    }
  }
  return pairs;
}

/** One number for two code points. llama.cpp writes spaces as "▁" before it looks for tokens. */
function pairKey(before: number, point: number): number {
  const escaped = (code: number): number => (code === 0x20 ? 0x2581 : code);
  return escaped(before) * 0x110000 + escaped(point);
}
