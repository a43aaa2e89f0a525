/** A tokenizer's files through the converter into GGUF metadata, and the metadata as a function from text to ids. */
import { readTokenizer } from "../../lib/checkpoint/tokenizer.ts";
import { vocabularyKeys } from "../../lib/convert/vocabulary.ts";
import type { GgufMetadata } from "../../lib/gguf/types.ts";
import { encodeText } from "../../lib/tokens/encode.ts";
import { tokenizerRules } from "../../lib/tokens/metadata.ts";
import { subwordModel } from "../../lib/tokens/subword-model.ts";

/** What the tokenizer in a directory becomes in a GGUF file. */
export async function tokenizerMetadata(directory: string): Promise<GgufMetadata> {
  const tokenizer = await readTokenizer(directory);
  return vocabularyKeys(tokenizer, tokenizer.tokens.length, null);
}

/** Text to ids by a file's metadata alone; byte-level tokenizers, which need no llama.cpp. */
export function byteLevelEncoder(metadata: GgufMetadata): (text: string) => number[] {
  const rules = tokenizerRules(metadata);
  const subwords = subwordModel(metadata, rules, () => {
    throw new Error("llama.cpp is asked.");
  });
  return (text) => [...encodeText(text, rules, subwords, { appendEos: false })];
}
