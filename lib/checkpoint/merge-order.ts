/**
 * Merges as SentencePiece's scores. Byte-pair encoding joins the pair that comes first in its list, and only listed
 * ones; llama.cpp's SentencePiece tokenizer joins any neighbours that make a token, the best-scoring token first and of
 * one token the leftmost. Both give the same tokens where the list was derived from a SentencePiece model, as those of
 * published checkpoints are; anything else is refused.
 */
import type { AddedToken } from "../tokens/types.ts";
import type { BpeModel, Merge } from "./bpe-model.ts";
import { MAX_MERGES } from "./bpe-model.ts";
import type { TokenizerFail } from "./tokenizer-definition.ts";
import type { TokenKind } from "./types.ts";

/** What the merges say about one token that they produce. */
interface Product {
  readonly token: string;
  /** Index of its first merge. */
  readonly first: number;
  /** Index of its last one. */
  last: number;
  /** The rank of each split, by its left part's length in UTF-16 units. */
  readonly ranks: Map<number, number>;
}

/**
 * The score of each token: -(rank of the first merge that produces it).
 *
 * @throws where llama.cpp would join other pairs, or in another order
 */
export function mergeScores(
  { tokens, ids, merges }: BpeModel,
  kinds: readonly TokenKind[],
  addedTokens: readonly AddedToken[],
  fail: TokenizerFail,
): number[] {
  const products = productsOf(merges);
  requireListed(tokens, ids, products, addedTokens, fail);
  requireSameOrder([...products.values()], products, fail);
  // A normal token that no merge produces is a character or unreachable. llama.cpp looks at the score of a joined pair
  // only, so this one is never looked at; last place would be harmless even if it were.
  return tokens.map((token, id) => 0 - (products.get(token)?.first ?? (kinds[id] === "normal" ? MAX_MERGES : 0)));
}

function productsOf(merges: readonly Merge[]): Map<string, Product> {
  const products = new Map<string, Product>();
  for (const [rank, [left, right]] of merges.entries()) {
    const token = left + right;
    const product = products.get(token) ?? { token, first: rank, last: rank, ranks: new Map<number, number>() };
    product.last = rank;
    product.ranks.set(left.length, rank);
    products.set(token, product);
  }
  return products;
}

/** Throws where two neighbours would make a token without a merge that says so. */
function requireListed(
  tokens: readonly string[],
  ids: ReadonlyMap<string, number>,
  products: ReadonlyMap<string, Product>,
  addedTokens: readonly AddedToken[],
  fail: TokenizerFail,
): void {
  // These are cut out of the text before the merging begins, wherever they occur. One with a "▁" is not: it is looked for
  // before spaces turn into "▁".
  const isCutOut = (token: AddedToken) => !token.normalized && !token.singleWord && !token.content.includes("▁");
  const cutOut = new Set(addedTokens.filter(isCutOut).map(({ content }) => content));
  const isPiece = (text: string) => ids.has(text) || [...text].length === 1;
  for (const token of tokens) {
    if (cutOut.has(token)) continue;
    const ranks = products.get(token)?.ranks;
    let left = "";
    for (const character of token) {
      const right = token.slice(left.length);
      if (left !== "" && ranks?.has(left.length) !== true && isPiece(left) && isPiece(right))
        throw fail(
          `the token ${JSON.stringify(token)} has no merge of ${JSON.stringify(left)} and ${JSON.stringify(right)}, which llama.cpp would merge`,
        );
      left += character;
    }
  }
}

/**
 * Throws where one score a token cannot tell the order of the merges: those of two tokens are interleaved. Published files
 * have that among the runs of a character ("▁▁", "▁▁▁", …; Llama's share one score, Gemma's are listed by their left
 * parts); there, both algorithms are run on such runs to see that it makes no difference.
 */
function requireSameOrder(
  inOrder: readonly Product[],
  products: ReadonlyMap<string, Product>,
  fail: TokenizerFail,
): void {
  const runs = new Map<string, number>();
  let open: Product | undefined;
  for (const product of inOrder) {
    if (open !== undefined && product.first < open.last)
      for (const { token } of [open, product]) {
        const [character = "", ...others] = new Set(token);
        if (others.length > 0)
          throw fail(
            `the merges of ${JSON.stringify(open.token)} and ${JSON.stringify(product.token)} are interleaved, which llama.cpp's order by token cannot follow`,
          );
        runs.set(character, Math.max(runs.get(character) ?? 0, token.length / character.length));
      }
    if (open === undefined || product.last > open.last) open = product;
  }
  for (const text of runTexts(runs)) requireSameTokens(text, products, fail);
}

/** Runs of each character, up to more than two of the longest that is a token, alone and before those of another. */
function* runTexts(longest: ReadonlyMap<string, number>): Generator<string> {
  for (const [character, length] of longest)
    for (let count = 2; count <= 2 * length + 2; count++) yield character.repeat(count);
  for (const [first, length] of longest)
    for (const second of longest.keys())
      if (first !== second) for (let count = 1; count <= length; count++) yield first.repeat(count) + second.repeat(3);
}

function requireSameTokens(text: string, products: ReadonlyMap<string, Product>, fail: TokenizerFail): void {
  const byRank = merged(text, (left, token) => products.get(token)?.ranks.get(left.length));
  const byScore = merged(text, (_, token) => products.get(token)?.first);
  if (byRank.join(" ") !== byScore.join(" "))
    throw fail(
      `its merges make ${JSON.stringify(byRank)} of ${JSON.stringify(text)}, and llama.cpp would make ${JSON.stringify(byScore)}`,
    );
}

/** Joins neighbours of the least order, the leftmost first, until none has one. */
function merged(text: string, orderOf: (left: string, token: string) => number | undefined): string[] {
  const parts = [...text];
  for (;;) {
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i + 1 < parts.length; i++) {
      const left = parts[i] as string;
      const order = orderOf(left, left + parts[i + 1]) ?? Number.POSITIVE_INFINITY;
      if (order < least) [best, least] = [i, order];
    }
    if (best < 0) return parts;
    parts.splice(best, 2, `${parts[best]}${parts[best + 1]}`);
  }
}
