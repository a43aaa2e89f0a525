/**
 * Tokenizers of files that another tool made. The standard keys do not say all that a text's ids depend on; what they
 * leave open is refused where a text depends on it.
 */
import { ScoreheadError } from "../errors.ts";
import type { GgufMetadata } from "../gguf/types.ts";
import { hasOwnRules, tokenizerRules } from "./metadata.ts";
import type { TokenizerRules } from "./types.ts";

/** Byte-level tokenizers whose published added tokens have no flags: llama.cpp's way of matching them is exact. */
const PLAIN: readonly string[] = ["llama-bpe", "llama3", "llama-v3", "qwen2"];
const NORMAL = 1;

/** Keys that ask for another text than the one that is given, where they are true. */
const TEXT_CHANGES = ["normalizer.lowercase", "normalizer.strip_accents", "remove_extra_whitespaces"].map(
  (name) => `tokenizer.ggml.${name}`,
);
/** The same of byte-level tokenizers, whose published definitions put no space before a text. */
const SPACE_PREFIX = "tokenizer.ggml.add_space_prefix";

/**
 * {@link tokenizerRules}, marked as derived where the file does not hold our own keys and its kind of tokenizer has
 * variants that the standard keys do not tell apart.
 * @throws as tokenizerRules; ERR_TOKENIZER for a vocabulary whose merges have no order, and for texts that are changed
 */
export function fileRules(metadata: GgufMetadata): TokenizerRules {
  const rules = tokenizerRules(metadata);
  if (hasOwnRules(metadata)) return rules;
  refuseTextChanges(metadata, rules);
  if (PLAIN.includes(String(metadata.get("tokenizer.ggml.pre")?.value))) return rules;
  refuseEqualScores(metadata);
  return { ...rules, derived: true };
}

function refuseTextChanges(metadata: GgufMetadata, { preTokenizer }: TokenizerRules): void {
  const keys = preTokenizer === null ? TEXT_CHANGES : [...TEXT_CHANGES, SPACE_PREFIX];
  const odd = keys.find((key) => metadata.get(key)?.value === true);
  if (odd === undefined) return;
  throw new ScoreheadError(
    "ERR_TOKENIZER",
    `The file's tokenizer changes texts in a way that is not known here (${odd}): they would get other ids than the model ` +
      `was trained on. ${REMEDY}`,
  );
}

/**
 * llama.cpp's converter writes one score for all tokens where it has a tokenizer.json alone.
 * @throws ERR_TOKENIZER
 */
export function refuseEqualScores(metadata: GgufMetadata): void {
  const scores = metadata.get("tokenizer.ggml.scores");
  const types = metadata.get("tokenizer.ggml.token_type");
  if (scores?.type !== "array" || scores.of !== "f32" || types?.type !== "array" || types.of !== "i32") return;
  const normal = scores.value.filter((_, id) => types.value[id] === NORMAL);
  if (normal.length < 2 || normal.some((score) => score !== normal[0])) return;
  throw new ScoreheadError(
    "ERR_TOKENIZER",
    `All tokens of the file's vocabulary have the score ${normal[0]}, which says nothing about the order of merges: every ` +
      `text would get other ids than the model was trained on. ${REMEDY}`,
  );
}

/** @throws ERR_TOKENIZER where the ids of a text depend on what derived rules leave open */
export function refuseAmbiguous(text: string, { addedTokens, spacePrefix }: TokenizerRules): void {
  const token = addedTokens.find(({ content }) => content !== "" && text.includes(content));
  const opensWithSpace = spacePrefix !== "none" && /^[ ▁]/.test(text);
  if (!token && !opensWithSpace) return;
  throw new ScoreheadError(
    "ERR_TOKENIZER",
    `The text ${token ? `holds ${JSON.stringify(token.content)}` : "begins with a space"}, and the file, which another ` +
      `tool made, does not say what its tokenizer does with that. ${REMEDY}`,
  );
}

const REMEDY =
  'Name the directory with the checkpoint\'s tokenizer files: --tokenizer <dir> (option "tokenizer"), best with ' +
  "`scorehead attach`, which writes a file that has it all.";
