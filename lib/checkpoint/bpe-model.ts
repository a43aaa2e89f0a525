/** The `model` of a tokenizer.json: a byte-fallback BPE whose merges llama.cpp's SentencePiece tokenizer can reproduce. */
import type { AddedToken } from "../tokens/types.ts";
import { isObject } from "./json.ts";
import { BYTE_TOKENS, requireByteTokens, type TokenizerFail } from "./tokenizer-definition.ts";
import type { TokenKind } from "./types.ts";

/** A float32 score holds a rank exactly up to here. */
const MAX_MERGES = 2 ** 24;

/** Vocabulary and merges, by id. */
export interface BpeModel {
  readonly ids: Map<string, number>;
  readonly tokens: string[];
  readonly scores: number[];
  readonly kinds: TokenKind[];
  readonly unkId: number | null;
  /** -(rank of the first merge that produces `token`); null where none does. */
  readonly mergeScore: (token: string) => number | null;
  /** Throws where llama.cpp would merge two pieces that the merges do not list. */
  readonly requireAllMergesListed: (addedTokens: readonly AddedToken[]) => void;
}

/** What the merges say about one token that they produce. */
interface Product {
  /** Index of its first merge. */
  readonly rank: number;
  /** The lengths of its left parts, in UTF-16 units. */
  readonly splits: Set<number>;
}

/** Reads the `model` field. */
export function readBpeModel(model: unknown, fail: TokenizerFail): BpeModel {
  if (!isObject(model)) throw fail("it has no model");
  requireKnownFields(model, fail);
  const ids = vocabularyOf(model.vocab, fail);
  const tokens = [...ids.keys()];
  requireByteTokens(ids, fail);
  const products = productsOf(model.merges, ids, fail);
  const unkId = typeof model.unk_token === "string" ? (ids.get(model.unk_token) ?? null) : null;
  if (typeof model.unk_token === "string" && unkId === null)
    throw fail(`model.unk_token ${JSON.stringify(model.unk_token)} is not in the vocabulary`);
  const bytes = new Set(BYTE_TOKENS);
  const kinds = tokens.map((token, id): TokenKind => {
    if (bytes.has(token)) return "byte";
    return id === unkId ? "unknown" : "normal";
  });
  // SentencePiece merges the pair whose product scores highest, BPE the pair that comes first in the list.
  const mergeScore = (token: string) => {
    const product = products.get(token);
    return product === undefined ? null : 0 - product.rank;
  };
  // A normal token that no merge produces is a character or unreachable. llama.cpp looks at the score of a joined pair
  // only, so this one is never looked at; last place would be harmless even if it were.
  const last = 0 - MAX_MERGES;
  const scores = tokens.map((token, id) => mergeScore(token) ?? (kinds[id] === "normal" ? last : 0));
  const requireAllMergesListed = (added: readonly AddedToken[]) => requireListed(tokens, ids, products, added, fail);
  return { ids, tokens, scores, kinds, unkId, mergeScore, requireAllMergesListed };
}

function requireKnownFields(model: Readonly<Record<string, unknown>>, fail: TokenizerFail): void {
  const { type, vocab: _vocab, merges: _merges, unk_token: _unk, fuse_unk: _fuse, byte_fallback, ...others } = model;
  if (type !== "BPE") throw fail(`model.type is ${JSON.stringify(type)}, not "BPE"`);
  if (byte_fallback !== true)
    throw fail(`model.byte_fallback is ${JSON.stringify(byte_fallback)}, not true (a byte-level BPE?)`);
  // dropout, continuing_subword_prefix, end_of_word_suffix, ignore_merges and whatever is still to come.
  for (const [field, value] of Object.entries(others))
    if (value !== null && value !== false && value !== "")
      throw fail(`model.${field} is set (${JSON.stringify(value)})`);
}

/** Token to id, in the order of ids. */
function vocabularyOf(vocab: unknown, fail: TokenizerFail): Map<string, number> {
  if (!isObject(vocab)) throw fail("model.vocab is not an object");
  const entries = Object.entries(vocab).sort(([, a], [, b]) => (a as number) - (b as number));
  if (entries.length === 0) throw fail("model.vocab is empty");
  for (const [expected, [token, id]] of entries.entries())
    if (id !== expected)
      throw fail(
        `model.vocab has a hole or a duplicate at id ${expected} (${JSON.stringify(token)} has ${JSON.stringify(id)})`,
      );
  return new Map(entries as [string, number][]);
}

/** The tokens that the merges produce. */
function productsOf(merges: unknown, ids: ReadonlyMap<string, number>, fail: TokenizerFail): Map<string, Product> {
  if (!Array.isArray(merges) || merges.length === 0) throw fail("it has no merges");
  if (merges.length > MAX_MERGES) throw fail(`it has ${merges.length} merges, more than ${MAX_MERGES}`);
  const products = new Map<string, Product>();
  for (const [rank, merge] of merges.entries()) {
    const [left, right] = pairOf(merge, rank, fail);
    const token = left + right;
    for (const part of [left, right, token])
      if (!ids.has(part))
        throw fail(`merge ${rank} needs the token ${JSON.stringify(part)}, which is not in the vocabulary`);
    const product = products.get(token) ?? { rank, splits: new Set<number>() };
    product.splits.add(left.length);
    products.set(token, product);
  }
  return products;
}

/** A merge is `"a b"` in older files and `["a", "b"]` since tokenizers 0.20. */
function pairOf(merge: unknown, rank: number, fail: TokenizerFail): readonly [string, string] {
  const parts: unknown[] = typeof merge === "string" ? merge.split(" ") : Array.isArray(merge) ? merge : [];
  const [left, right, ...more] = parts;
  if (typeof left !== "string" || typeof right !== "string" || left === "" || right === "" || more.length > 0)
    throw fail(`merge ${rank} is ${JSON.stringify(merge)}, not two tokens`);
  return [left, right];
}

/**
 * llama.cpp merges any two neighbours whose joined text is a token; BPE only the pairs in its list. They agree exactly
 * where the list has every such pair, as it has when it was derived from a SentencePiece model.
 */
function requireListed(
  tokens: readonly string[],
  ids: ReadonlyMap<string, number>,
  products: ReadonlyMap<string, Product>,
  addedTokens: readonly AddedToken[],
  fail: TokenizerFail,
): void {
  // These are cut out of the text before the merging begins, wherever they occur.
  const cutOut = new Set(addedTokens.filter((t) => !t.normalized && !t.singleWord).map(({ content }) => content));
  const isPiece = (text: string) => ids.has(text) || [...text].length === 1;
  for (const token of tokens) {
    if (cutOut.has(token)) continue;
    const splits = products.get(token)?.splits;
    let left = "";
    for (const character of token) {
      const right = token.slice(left.length);
      if (left !== "" && splits?.has(left.length) !== true && isPiece(left) && isPiece(right))
        throw fail(
          `the token ${JSON.stringify(token)} has no merge of ${JSON.stringify(left)} and ${JSON.stringify(right)}, which llama.cpp would merge`,
        );
      left += character;
    }
  }
}
