/** Reading tokenizer.json, the Hugging Face definition. It is recognised exactly or refused: never a guess. */
import type { AddedToken } from "../tokens/types.ts";
import { type BpeModel, readBpeModel } from "./bpe-model.ts";
import { isObject } from "./json.ts";
import { mergeScores } from "./merge-order.ts";
import { isByteLevel, preTokenizerOf } from "./pre-tokenizer.ts";
import { spacePrefixOf, templateOf } from "./text-rules.ts";
import {
  addedKind,
  BYTE_TOKENS,
  brief,
  requireByteTokens,
  type TokenizerDefinition,
  type TokenizerFail,
  tokenizerFail,
} from "./tokenizer-definition.ts";
import type { JsonObject, TokenKind } from "./types.ts";

/**
 * The tokenizer that `json`, the content of the tokenizer.json at `path`, defines.
 *
 * @throws ERR_TOKENIZER naming the field that is missing, malformed or unknown
 */
export function parseTokenizerJson(path: string, json: JsonObject): TokenizerDefinition {
  const fail = tokenizerFail(path);
  const addedTokens = addedTokensOf(json.added_tokens, fail);
  const model = readBpeModel(json.model, addedTokens, fail);
  const { tokens, ids, unkId } = model;
  const { prefixId, suffixId } = templateOf(json.post_processor, ids, fail);
  const subwords = model.byteFallback
    ? sentencePieceStyle(json, model, addedTokens, fail)
    : byteLevelStyle(json, model, addedTokens, fail);
  return {
    file: "tokenizer.json",
    tokens,
    ...subwords,
    addedTokens,
    prefixId,
    suffixId,
    roles: { bosId: prefixId, eosId: suffixId, unkId, padId: null },
  };
}

type Subwords = Pick<TokenizerDefinition, "kinds" | "scores" | "merges" | "spacePrefix" | "preTokenizer">;

/** Byte fallback: the whole text is one word, in which spaces are "▁". */
function sentencePieceStyle(
  json: JsonObject,
  model: BpeModel,
  addedTokens: readonly AddedToken[],
  fail: TokenizerFail,
): Subwords {
  if (model.ignoreMerges) throw fail("model.ignore_merges is true beside byte_fallback");
  requireByteTokens(model.ids, fail);
  const kinds = kindsOf(model, addedTokens, new Set(BYTE_TOKENS));
  return {
    kinds,
    scores: mergeScores(model, kinds, addedTokens, fail),
    merges: [],
    spacePrefix: spacePrefixOf(json.normalizer, json.pre_tokenizer, addedTokens, fail),
    preTokenizer: null,
  };
}

/** The text is cut into words, and these are written in GPT-2's characters for bytes. */
function byteLevelStyle(
  json: JsonObject,
  model: BpeModel,
  addedTokens: readonly AddedToken[],
  fail: TokenizerFail,
): Subwords {
  if (!isByteLevel(json.pre_tokenizer))
    throw fail(
      `model.byte_fallback is not true, and there is no ByteLevel step in its pre_tokenizer: ${brief(json.pre_tokenizer)}`,
    );
  // Without one, a byte that the vocabulary lacks is left out.
  if (model.unkId !== null) throw fail("model.unk_token is set in a byte-level vocabulary");
  return {
    kinds: kindsOf(model, addedTokens, new Set()),
    scores: [],
    merges: model.merges.map((pair) => pair.join(" ")),
    spacePrefix: "none",
    preTokenizer: preTokenizerOf(json.normalizer, json.pre_tokenizer, model.ignoreMerges, fail),
  };
}

function kindsOf(
  { tokens, unkId }: BpeModel,
  addedTokens: readonly AddedToken[],
  bytes: ReadonlySet<string>,
): TokenKind[] {
  const added = new Map(addedTokens.map((token) => [token.id, token]));
  return tokens.map((text, id) => {
    const token = added.get(id);
    if (token !== undefined) return addedKind(token, id === unkId);
    if (bytes.has(text)) return "byte";
    return id === unkId ? "unknown" : "normal";
  });
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
