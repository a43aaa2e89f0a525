/** The `model` of a tokenizer.json: vocabulary and merges of a byte-pair encoding, before anything is made of them. */
import type { AddedToken } from "../tokens/types.ts";
import { isObject } from "./json.ts";
import { requireUnicode, type TokenizerFail } from "./tokenizer-definition.ts";

/** A float32 score holds a rank exactly up to here. */
export const MAX_MERGES = 2 ** 24;

/** Two tokens that are joined. */
export type Merge = readonly [left: string, right: string];

export interface BpeModel {
  /** Token texts by id, those of added tokens behind the vocabulary or in its holes included. */
  readonly tokens: string[];
  readonly ids: ReadonlyMap<string, number>;
  /** Best first; each of tokens that are there. */
  readonly merges: readonly Merge[];
  readonly unkId: number | null;
  readonly byteFallback: boolean;
  readonly ignoreMerges: boolean;
}

/** Reads the `model` field; `addedTokens` are the file's own. */
export function readBpeModel(model: unknown, addedTokens: readonly AddedToken[], fail: TokenizerFail): BpeModel {
  if (!isObject(model)) throw fail("it has no model");
  requireKnownFields(model, fail);
  const vocabulary = vocabularyOf(model.vocab, fail);
  const { byte_fallback: byteFallback, ignore_merges: ignoreMerges, unk_token: unkToken } = model;
  const unkId = typeof unkToken === "string" ? (vocabulary.get(unkToken) ?? null) : null;
  if (typeof unkToken === "string" && unkId === null)
    throw fail(`model.unk_token ${JSON.stringify(unkToken)} is not in the vocabulary`);
  const merges = mergesOf(model.merges, vocabulary, fail);
  return {
    ...withAddedTokens(vocabulary, addedTokens, fail),
    merges,
    unkId,
    byteFallback: byteFallback === true,
    ignoreMerges: ignoreMerges === true,
  };
}

function requireKnownFields(model: Readonly<Record<string, unknown>>, fail: TokenizerFail): void {
  const { type, vocab: _vocab, merges: _merges, unk_token: _unk, fuse_unk: _fuse, ...others } = model;
  if (type !== "BPE") throw fail(`model.type is ${JSON.stringify(type)}, not "BPE"`);
  const { byte_fallback, ignore_merges, ...unknown } = others;
  for (const [field, flag] of Object.entries({ byte_fallback, ignore_merges }))
    if (flag !== undefined && flag !== null && typeof flag !== "boolean")
      throw fail(`model.${field} is ${JSON.stringify(flag)}`);
  // dropout, continuing_subword_prefix, end_of_word_suffix and whatever is still to come.
  for (const [field, value] of Object.entries(unknown))
    if (value !== null && value !== false && value !== "")
      throw fail(`model.${field} is set (${JSON.stringify(value)})`);
}

/** Token to id. */
function vocabularyOf(vocab: unknown, fail: TokenizerFail): Map<string, number> {
  if (!isObject(vocab)) throw fail("model.vocab is not an object");
  const ids = new Map(Object.entries(vocab) as [string, number][]);
  if (ids.size === 0) throw fail("model.vocab is empty");
  const seen = new Set<number>();
  for (const [token, id] of ids) {
    if (!Number.isSafeInteger(id) || id < 0 || seen.has(id))
      throw fail(
        `model.vocab gives ${JSON.stringify(token)} the id ${JSON.stringify(id)}, which is no id or another's`,
      );
    seen.add(id);
  }
  return ids;
}

/** The vocabulary by id. Added tokens may stand in it, in its holes and behind it. */
function withAddedTokens(
  vocabulary: ReadonlyMap<string, number>,
  addedTokens: readonly AddedToken[],
  fail: TokenizerFail,
): Pick<BpeModel, "tokens" | "ids"> {
  const ids = new Map(vocabulary);
  const texts = new Map([...vocabulary].map(([token, id]) => [id, token]));
  for (const { id, content } of addedTokens) {
    if ((texts.get(id) ?? content) !== content || (ids.get(content) ?? id) !== id)
      throw fail(`added_tokens gives ${JSON.stringify(content)} the id ${id}, which contradicts the vocabulary`);
    ids.set(content, id);
    texts.set(id, content);
  }
  const tokens = Array.from({ length: texts.size }, (_, id) => {
    const token = texts.get(id);
    if (token === undefined) throw fail(`its ids have a hole: none of its ${texts.size} tokens has the id ${id}`);
    return token;
  });
  requireUnicode(tokens, fail);
  return { tokens, ids };
}

function mergesOf(merges: unknown, ids: ReadonlyMap<string, number>, fail: TokenizerFail): Merge[] {
  if (!Array.isArray(merges) || merges.length === 0) throw fail("it has no merges");
  if (merges.length > MAX_MERGES) throw fail(`it has ${merges.length} merges, more than ${MAX_MERGES}`);
  const seen = new Set<string>();
  return merges.map((merge: unknown, rank): Merge => {
    const pair = pairOf(merge, rank, fail);
    const [left, right] = pair;
    for (const part of [left, right, left + right])
      if (!ids.has(part))
        throw fail(`merge ${rank} needs the token ${JSON.stringify(part)}, which is not in the vocabulary`);
    const key = `${left.length} ${left}${right}`;
    if (seen.has(key)) throw fail(`merge ${rank}, ${JSON.stringify(pair)}, is listed twice`);
    seen.add(key);
    return pair;
  });
}

/** A merge is `"a b"` in older files and `["a", "b"]` since tokenizers 0.20. */
function pairOf(merge: unknown, rank: number, fail: TokenizerFail): Merge {
  const parts: unknown[] = typeof merge === "string" ? merge.split(" ") : Array.isArray(merge) ? merge : [];
  const [left, right, ...more] = parts;
  if (typeof left !== "string" || typeof right !== "string" || left === "" || right === "" || more.length > 0)
    throw fail(`merge ${rank} is ${JSON.stringify(merge)}, not two tokens`);
  return [left, right];
}
