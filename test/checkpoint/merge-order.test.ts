/** Merges that one score a token cannot tell: where llama.cpp would join others first, the tokenizer is refused. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseTokenizerJson } from "../../lib/checkpoint/tokenizer-json.ts";
import { BYTE_FALLBACK_MODEL, BYTE_TOKENS, jsonToken, REPLACE } from "../fixtures/tokenizer-json.ts";

/** A tokenizer of these merges, of their parts and products. */
function parse(...merges: string[]) {
  const pairs = merges.map((merge) => merge.split(" "));
  const tokens = new Set(["<unk>", ...BYTE_TOKENS, ...pairs.flatMap((pair) => [...pair, pair.join("")])]);
  return parseTokenizerJson("tokenizer.json", {
    added_tokens: [jsonToken(0, "<unk>")],
    normalizer: REPLACE,
    pre_tokenizer: null,
    post_processor: null,
    model: { ...BYTE_FALLBACK_MODEL, vocab: Object.fromEntries([...tokens].map((token, id) => [token, id])), merges },
  });
}

const refusedAs = (problem: string, ...merges: string[]) =>
  expect(() => parse(...merges)).toThrow(
    expect.objectContaining({ code: "ERR_TOKENIZER", message: expect.stringContaining(problem) }),
  );

/** Joins the neighbours of the least order, the leftmost first. */
function join(text: string, orderOf: (left: string, right: string) => number | undefined): string[] {
  const parts = [...text];
  for (;;) {
    const orders = parts.slice(1).map((right, i) => orderOf(parts[i] as string, right) ?? Number.POSITIVE_INFINITY);
    const least = Math.min(...orders);
    if (!Number.isFinite(least)) return parts;
    const at = orders.indexOf(least);
    parts.splice(at, 2, `${parts[at]}${parts[at + 1]}`);
  }
}

describe("merges", () => {
  it("may have several for one token, one after the other", () => {
    const { tokens, scores } = parse("a b", "b c", "a bc", "ab c");
    expect([tokens.indexOf("ab"), tokens.indexOf("bc"), tokens.indexOf("abc")].map((id) => scores[id])).toEqual([
      0, -1, -2,
    ]);
  });

  it("of two tokens that are interleaved are refused", () =>
    refusedAs('the merges of "abc" and "cd" are interleaved', "a b", "b c", "a bc", "c d", "ab c"));

  it("of runs may be interleaved where that makes no difference: by the left part, as Gemma's", () => {
    expect(() =>
      parse(
        "aaa a",
        "\n\n\n \n",
        "aa aa",
        "\n\n \n\n",
        "aa a",
        "\n\n \n",
        "a aaa",
        "a aa",
        "a a",
        "\n \n\n\n",
        "\n \n\n",
        "\n \n",
      ),
    ).not.toThrow();
  });

  it("of runs are refused where it does", () =>
    refusedAs(
      'its merges make ["aaaa","a"] of "aaaaa", and llama.cpp would make ["aa","aaa"]',
      ...["a a", "a aa", "aa aa", "aa a", "aaa a", "a aaa"],
    ));

  it("of contiguous tokens merge every text alike, whatever their order", () => {
    const token = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 2, maxLength: 6 });
    const vocabularies = fc.uniqueArray(token, { minLength: 2, maxLength: 8 });
    const texts = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 2, maxLength: 16 });
    const property = fc.property(vocabularies, texts, (made, text) => {
      const known = new Set(["a", "b", ...made]);
      const splits = (token: string) =>
        Array.from({ length: token.length - 1 }, (_, i): [string, string] => [
          token.slice(0, i + 1),
          token.slice(i + 1),
        ]);
      const merges = made.flatMap((token) => splits(token).filter((pair) => pair.every((part) => known.has(part))));
      fc.pre(merges.length > 0);
      const rank = new Map(merges.map((pair, i) => [pair.join(" "), i]));
      const { tokens, scores } = parse(...merges.map((pair) => pair.join(" ")));
      const score = (token: string) => scores[tokens.indexOf(token)] as number;
      const byRank = join(text, (left, right) => rank.get(`${left} ${right}`));
      expect(join(text, (left, right) => (rank.has(`${left} ${right}`) ? 0 - score(left + right) : undefined))).toEqual(
        byRank,
      );
    });
    fc.assert(property, { seed: 20_241_121, numRuns: 1000 });
  });
});
