/** The rules around the model in a tokenizer.json: where "▁" goes, and what is put around a text. */
import { isDeepStrictEqual } from "node:util";
import type { AddedToken } from "../tokens/types.ts";
import { isObject } from "./json.ts";
import { brief, stepsOf, type TokenizerFail } from "./tokenizer-definition.ts";
import type { CheckpointTokenizer } from "./types.ts";

const PREPEND = { type: "Prepend", prepend: "▁" };
const REPLACE = { type: "Replace", pattern: { String: " " }, content: "▁" };

/** Gemma's: it splits on spaces, of which its normaliser has left none. */
const SPLIT_ON_SPACE = { type: "Split", pattern: { String: " " }, behavior: "MergedWithPrevious", invert: false };

/**
 * Where the space prefix goes.
 *
 * - Normaliser `Prepend` then `Replace`: "each". A stretch that begins with a space gets one more.
 * - Normaliser `Replace` alone: "none".
 * - Pre-tokenizer `Metaspace` without splitting: "first" or "none" by its `prepend_scheme`. Its "always" is refused: it
 *   leaves out the prefix before a stretch that begins with a space, so it is not "each".
 */
export function spacePrefixOf(
  normalizer: unknown,
  preTokenizer: unknown,
  addedTokens: readonly AddedToken[],
  fail: TokenizerFail,
): CheckpointTokenizer["spacePrefix"] {
  const steps = stepsOf(normalizer, "normalizers");
  const replaces = isDeepStrictEqual(steps, [REPLACE]);
  if (isNone(preTokenizer) || (replaces && isDeepStrictEqual(preTokenizer, SPLIT_ON_SPACE))) {
    if (replaces) return "none";
    if (isDeepStrictEqual(steps, [PREPEND, REPLACE])) return "each";
    throw fail(`normalizer is unknown: ${brief(normalizer)}`);
  }
  if (steps.length > 0)
    throw fail(`normalizer and pre_tokenizer are both set: ${brief(normalizer)}, ${brief(preTokenizer)}`);
  return metaspacePrefix(preTokenizer, addedTokens, fail);
}

function isNone(value: unknown): boolean {
  return value === null || value === undefined;
}

function metaspacePrefix(
  preTokenizer: unknown,
  addedTokens: readonly AddedToken[],
  fail: TokenizerFail,
): CheckpointTokenizer["spacePrefix"] {
  const unknown = fail(`pre_tokenizer is unknown: ${brief(preTokenizer)}`);
  if (!isObject(preTokenizer)) throw unknown;
  // str_rep repeats the replacement in older files.
  const { type, replacement, prepend_scheme, add_prefix_space, split, str_rep = replacement, ...others } = preTokenizer;
  if (type !== "Metaspace" || replacement !== "▁" || str_rep !== "▁" || Object.keys(others).length > 0) throw unknown;
  // Splitting before every "▁" keeps merges within words, which SentencePiece's do not respect.
  if (split !== false) throw fail(`pre_tokenizer.split is ${JSON.stringify(split ?? true)}, not false`);
  const scheme = prepend_scheme ?? (add_prefix_space === false ? "never" : "always");
  if (add_prefix_space === (scheme === "never"))
    throw fail("pre_tokenizer.add_prefix_space contradicts prepend_scheme");
  if (scheme === "first") return "first";
  if (scheme !== "never") throw fail(`pre_tokenizer.prepend_scheme is ${JSON.stringify(scheme)}`);
  // "none" replaces spaces before normalised tokens are looked for, Metaspace after.
  const normalized = addedTokens.find((token) => token.normalized);
  if (normalized !== undefined)
    throw fail(
      `pre_tokenizer.prepend_scheme is "never" beside the normalized token ${JSON.stringify(normalized.content)}`,
    );
  return "none";
}

/** The ids that the post-processor puts before and after a single text. */
export function templateOf(
  postProcessor: unknown,
  ids: ReadonlyMap<string, number>,
  fail: TokenizerFail,
): { prefixId: number | null; suffixId: number | null } {
  // ByteLevel changes offsets, not ids.
  const isForIds = (step: unknown) => !isObject(step) || step.type !== "ByteLevel";
  const [template, ...more] = stepsOf(postProcessor, "processors").filter(isForIds);
  if (template === undefined) return { prefixId: null, suffixId: null };
  if (
    !isObject(template) ||
    template.type !== "TemplateProcessing" ||
    !Array.isArray(template.single) ||
    more.length > 0
  )
    throw fail(`post_processor is unknown: ${brief(postProcessor)}`);
  const { single, special_tokens: specialTokens } = template;
  const at = single.findIndex((item) => isObject(item) && isObject(item.Sequence) && item.Sequence.id === "A");
  if (at < 0 || at > 1 || single.length > at + 2)
    throw fail(`post_processor.single is not a text with at most one token on each side: ${brief(single)}`);
  const idOf = (item: unknown): number | null => {
    if (item === undefined) return null;
    const name = isObject(item) && isObject(item.SpecialToken) ? item.SpecialToken.id : undefined;
    const entry = isObject(specialTokens) && typeof name === "string" ? specialTokens[name] : undefined;
    if (!isObject(entry) || typeof name !== "string")
      throw fail(`post_processor.single has an unknown item: ${brief(item)}`);
    const id = ids.get(name);
    if (id === undefined || !isDeepStrictEqual(entry.ids, [id]))
      throw fail(`post_processor.special_tokens[${JSON.stringify(name)}] contradicts the vocabulary: ${brief(entry)}`);
    return id;
  };
  return { prefixId: idOf(at === 1 ? single[0] : undefined), suffixId: idOf(single[at + 1]) };
}
