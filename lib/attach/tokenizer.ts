/** The tokenizer of a file that gets a head: its own rules, or those of the checkpoint's tokenizer files. */
import { readTokenizer } from "../checkpoint/tokenizer.ts";
import type { CheckpointTokenizer } from "../checkpoint/types.ts";
import { vocabularyKeys } from "../convert/vocabulary.ts";
import { ScoreheadError } from "../errors.ts";
import type { GgufFile, GgufMetadata, GgufValue } from "../gguf/types.ts";
import { u32 } from "../gguf/values.ts";
import { fileRules, refuseEqualScores } from "../tokens/derived.ts";
import { hasOwnRules, tokenizerRules } from "../tokens/metadata.ts";
import type { TokenizerRules } from "../tokens/types.ts";

const TOKENS = "tokenizer.ggml.tokens";
const PAD = "tokenizer.ggml.padding_token_id";
const USER_DEFINED = 4;

export interface FileTokenizer {
  readonly rules: TokenizerRules;
  /** The file's keys, with those of the tokenizer files in their place. */
  readonly metadata: GgufMetadata;
  /** What a file that is written gets instead of its own keys; null: the key goes. */
  readonly keys: ReadonlyMap<string, GgufValue | null>;
}

/**
 * @param directory with the checkpoint's tokenizer files, for a file that another tool made
 * @param padId the model's, by the checkpoint's config, which decides where transformers reads a score; undefined: not known
 * @throws ERR_ARGUMENT where a directory is given for a file that needs none; ERR_TOKENIZER where the two are not of one
 *   model, or the file's vocabulary is unusable; what reading a tokenizer throws
 */
export async function fileTokenizer(
  file: GgufFile,
  directory: string | undefined,
  padId: number | null | undefined,
): Promise<FileTokenizer> {
  if (directory === undefined) {
    const rules = fileRules(file.metadata);
    const { metadata } = file;
    if (padId === undefined) return { rules, metadata, keys: new Map() };
    return { rules: { ...rules, padId }, metadata, keys: new Map([[PAD, padId === null ? null : u32(padId)]]) };
  }
  refuseTokenizer(file, directory);
  const tokenizer = await readTokenizer(directory);
  const tokens = tokensOf(file);
  requireSameTokens(file.path, tokens, tokenizer);
  const keys = vocabularyKeys(tokenizer, tokens.length, padId === undefined ? tokenizer.padId : padId);
  return { rules: tokenizerRules(keys), metadata: new Map([...file.metadata, ...keys]), keys };
}

/** @throws ERR_ARGUMENT where `tokenizer` is given for a file that says itself how it tokenizes */
export function refuseTokenizer(
  { path, metadata }: Pick<GgufFile, "path" | "metadata">,
  tokenizer: string | undefined,
): void {
  if (tokenizer === undefined || !hasOwnRules(metadata)) return;
  throw new ScoreheadError(
    "ERR_ARGUMENT",
    `"tokenizer" is for a checkpoint's directory, and ${path} is a file, which has its tokenizer inside. Leave it out.`,
  );
}

/**
 * Checks that llama.cpp, which tokenizes by the file's own vocabulary, does with it what rules from elsewhere expect.
 * @throws ERR_TOKENIZER
 */
export function requireUsableInPlace(
  { path, metadata }: GgufFile,
  { addedTokens, preTokenizer }: TokenizerRules,
): void {
  // Of byte-level vocabularies nothing is left to llama.cpp.
  if (preTokenizer !== null) return;
  refuseEqualScores(metadata);
  const types = metadata.get("tokenizer.ggml.token_type");
  const tokens = metadata.get(TOKENS);
  if (types?.type !== "array" || types.of !== "i32" || tokens?.type !== "array" || tokens.of !== "string") return;
  const matched = new Set(addedTokens.filter((token) => !token.normalized && !token.singleWord).map(({ id }) => id));
  const odd = types.value.findIndex((type, id) => type === USER_DEFINED && !matched.has(id));
  if (odd < 0) return;
  throw new ScoreheadError(
    "ERR_TOKENIZER",
    `llama.cpp finds the token ${odd}, ${JSON.stringify(tokens.value[odd])}, of ${path} wherever it stands in a text, and ` +
      "the checkpoint's tokenizer does not. Write a file with the checkpoint's vocabulary: `scorehead attach`.",
  );
}

function tokensOf({ path, metadata }: GgufFile): readonly string[] {
  const tokens = metadata.get(TOKENS);
  if (tokens?.type === "array" && tokens.of === "string") return tokens.value;
  throw new ScoreheadError("ERR_GGUF", `${path} has no vocabulary (${TOKENS}).`);
}

/** llama.cpp's converter writes the spaces of added tokens as they are. */
function requireSameTokens(path: string, tokens: readonly string[], tokenizer: CheckpointTokenizer): void {
  const spaced = (text: string | undefined): string | undefined => text?.replaceAll("▁", " ");
  const odd = tokenizer.tokens.findIndex((token, id) => spaced(token) !== spaced(tokens[id]));
  if (odd < 0) return;
  throw new ScoreheadError(
    "ERR_TOKENIZER",
    `The token ${odd} is ${JSON.stringify(tokens[odd]) ?? "missing"} in ${path} and ${JSON.stringify(tokenizer.tokens[odd])} ` +
      `in the tokenizer's ${tokenizer.file}: they are of two models.`,
  );
}
