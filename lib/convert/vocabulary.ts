/** A checkpoint's tokenizer → the `tokenizer.*` keys that llama.cpp and scorehead read. */
import type { CheckpointTokenizer, TokenKind } from "../checkpoint/types.ts";
import { ScoreheadError } from "../errors.ts";
import type { GgufValue } from "../gguf/types.ts";
import { f32Array, i32Array, str, strArray } from "../gguf/values.ts";
import { rulesToMetadata } from "../tokens/metadata.ts";

/** llama.cpp's token types. */
const TOKEN_TYPE: Readonly<Record<TokenKind | "unused", number>> = {
  normal: 1,
  unknown: 2,
  control: 3,
  user: 4,
  unused: 5,
  byte: 6,
};

/**
 * @param rows of the embedding: rows beyond the tokenizer's tokens get placeholder tokens that no text produces
 * @param padId the model's: the config's `pad_token_id`, which decides where transformers reads a score
 * @throws ERR_TOKENIZER where the tokenizer has more tokens than the embedding has rows
 */
export function vocabularyKeys(
  tokenizer: CheckpointTokenizer,
  rows: number,
  padId: number | null,
): Map<string, GgufValue> {
  const known = tokenizer.tokens.length;
  if (known > rows)
    throw new ScoreheadError(
      "ERR_TOKENIZER",
      `The tokenizer (${tokenizer.file}) has ${known} tokens and the embedding ${rows} rows: they are of two models. ` +
        "Use the tokenizer that was published with the checkpoint.",
    );
  const unused = Array.from({ length: rows - known }, (_, i) => `[PAD${known + i}]`);
  const { preTokenizer, merges } = tokenizer;
  const types = Int32Array.from({ length: rows }, (_, i) => TOKEN_TYPE[tokenizer.kinds[i] ?? "unused"]);
  const keys = new Map<string, GgufValue>([
    ["tokenizer.ggml.tokens", strArray([...tokenizer.tokens, ...unused])],
    preTokenizer === null
      ? ["tokenizer.ggml.scores", f32Array(scoresOf(tokenizer, rows))]
      : ["tokenizer.ggml.merges", strArray(merges)],
    ["tokenizer.ggml.token_type", i32Array(types)],
    ...rulesToMetadata({ ...tokenizer, padId }),
  ]);
  if (tokenizer.chatTemplate !== null) keys.set("tokenizer.chat_template", str(tokenizer.chatTemplate));
  return keys;
}

function scoresOf({ scores }: CheckpointTokenizer, rows: number): Float32Array {
  const all = new Float32Array(rows);
  all.set(scores);
  return all;
}
