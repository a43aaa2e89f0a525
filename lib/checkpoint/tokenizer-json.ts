/** Reading tokenizer.json, the Hugging Face definition. It is recognised exactly or refused: never a guess. */
import type { AddedToken } from "../tokens/types.ts";
import { readBpeModel } from "./bpe-model.ts";
import { isObject } from "./json.ts";
import { spacePrefixOf, templateOf } from "./text-rules.ts";
import {
  addedKind,
  requireUnicode,
  type TokenizerDefinition,
  type TokenizerFail,
  tokenizerFail,
} from "./tokenizer-definition.ts";
import type { JsonObject } from "./types.ts";

/**
 * The tokenizer that `json`, the content of the tokenizer.json at `path`, defines.
 *
 * @throws ERR_TOKENIZER naming the field that is missing, malformed or unknown
 */
export function parseTokenizerJson(path: string, json: JsonObject): TokenizerDefinition {
  const fail = tokenizerFail(path);
  const model = readBpeModel(json.model, fail);
  const { ids, tokens, scores, kinds } = model;
  const addedTokens = addedTokensOf(json.added_tokens, fail);
  for (const token of addedTokens) {
    const { id, content } = token;
    if (id > tokens.length)
      throw fail(`added_tokens has the id ${id}, but the ids before it end at ${tokens.length - 1}`);
    if ((tokens[id] ?? content) !== content || (ids.get(content) ?? id) !== id)
      throw fail(`added_tokens gives ${JSON.stringify(content)} the id ${id}, which contradicts the vocabulary`);
    tokens[id] = content;
    ids.set(content, id);
    scores[id] = model.mergeScore(content) ?? 0;
    kinds[id] = addedKind(token, id === model.unkId);
  }
  requireUnicode(tokens, fail);
  model.requireAllMergesListed(addedTokens);
  const { prefixId, suffixId } = templateOf(json.post_processor, ids, fail);
  return {
    file: "tokenizer.json",
    tokens,
    scores,
    kinds,
    addedTokens,
    spacePrefix: spacePrefixOf(json.normalizer, json.pre_tokenizer, addedTokens, fail),
    prefixId,
    suffixId,
    roles: { bosId: prefixId, eosId: suffixId, unkId: model.unkId, padId: null },
  };
}

/** By ascending id, so that tokens behind the vocabulary are appended without holes. */
function addedTokensOf(value: unknown, fail: TokenizerFail): AddedToken[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw fail("added_tokens is not an array");
  const tokens = value.map((entry: unknown, index): AddedToken => {
    if (!isObject(entry)) throw fail(`added_tokens[${index}] is not an object`);
    const { id, content, single_word: singleWord, lstrip, rstrip, normalized, special, ...unknown } = entry;
    const [field] = Object.keys(unknown);
    if (field !== undefined) throw fail(`added_tokens[${index}] has the unknown field ${field}`);
    if (!Number.isSafeInteger(id) || (id as number) < 0 || typeof content !== "string" || content === "")
      throw fail(`added_tokens[${index}] has no id or no content`);
    const flags = { special, normalized, lstrip, rstrip, singleWord };
    const [missing] = Object.entries(flags).find(([, flag]) => typeof flag !== "boolean") ?? [];
    if (missing !== undefined) throw fail(`added_tokens[${index}] (${content}) has no boolean ${missing}`);
    return { id, content, ...flags } as AddedToken;
  });
  tokens.sort((a, b) => a.id - b.id);
  const seen = new Set<number | string>();
  for (const { id, content } of tokens) {
    if (seen.has(id) || seen.has(content)) throw fail(`added_tokens has ${JSON.stringify(content)} (${id}) twice`);
    seen.add(id).add(content);
  }
  return tokens;
}
