/** tokenizer.json: exactly what is recognised, and that everything else is refused by the name of its field. */
import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readTokenizer } from "../../lib/checkpoint/tokenizer.ts";
import {
  BYTE_TOKENS,
  byteLevel,
  METASPACE,
  PREPEND,
  REPLACE,
  sequenceOf,
  jsonToken as special,
} from "../fixtures/tokenizer-json.ts";
import { damaged, refused, surviveDamage, temporaryDirectory } from "../gguf/support.ts";
import { MERGES, TEMPLATES, TOKENS, template, tokenizerJson } from "./tokenizer-support.ts";

const path = temporaryDirectory();
const { BOS, EOS, TEXT } = TEMPLATES;

function read(...parts: Parameters<typeof tokenizerJson>) {
  writeFileSync(path("tokenizer.json"), JSON.stringify(tokenizerJson(...parts)));
  return readTokenizer(path());
}

const refusedAs = (problem: string, ...parts: Parameters<typeof tokenizerJson>) =>
  refused(read(...parts), "ERR_TOKENIZER", problem, path("tokenizer.json"));

const vocab = (...tokens: string[]) => Object.fromEntries(tokens.map((token, id) => [token, id]));
const SPECIALS = tokenizerJson().added_tokens;

describe("the vocabulary", () => {
  it("has texts, kinds and scores by id", async () => {
    const { tokens, kinds, scores, ...rest } = await read();
    expect(tokens).toEqual(TOKENS);
    expect(kinds.slice(0, 4)).toEqual(["unknown", "control", "control", "byte"]);
    expect(kinds.slice(258)).toEqual(["byte", ...Array(7).fill("normal")]);
    expect([...scores.slice(0, 259)]).toEqual(Array(259).fill(0));
    // The merges' products in the order of their ranks; characters, which no merge makes, behind all of them.
    expect([...scores.slice(259, 262)]).toEqual([0, -1, -2]);
    expect([...scores.slice(262)].every((score) => score < -MERGES.length)).toBe(true);
    expect(rest).toEqual({
      merges: [],
      preTokenizer: null,
      file: "tokenizer.json",
      addedTokens: [0, 1, 2].map((id) => ({
        id,
        content: TOKENS[id],
        special: true,
        normalized: false,
        lstrip: false,
        rstrip: false,
        singleWord: false,
      })),
      spacePrefix: "each",
      addBos: true,
      addEos: false,
      bosId: 1,
      eosId: null,
      unkId: 0,
      padId: null,
      chatTemplate: null,
    });
  });

  it("may have merges as pairs, and a token's score is its first merge's", async () => {
    const tokens = [...TOKENS, "abab", "aba", "bab"];
    const merges = ["a b", "ab ab", "a bab", "aba b", "▁ ab", "▁ c", "ab a", "b ab"].map((merge) => merge.split(" "));
    const { scores } = await read({}, { vocab: vocab(...tokens), merges });
    expect(scores[tokens.indexOf("abab")]).toBe(-1);
    expect(scores[tokens.indexOf("bab")]).toBe(-7);
  });

  it("may list its ids in any order", async () => {
    const entries = TOKENS.map((token, id) => [token, id] as const).reverse();
    expect((await read({}, { vocab: Object.fromEntries(entries) })).tokens).toEqual(TOKENS);
  });

  it("may have holes that added tokens fill", async () => {
    const [, , , ...others] = TOKENS;
    const tokens = await read(
      {},
      { vocab: Object.fromEntries(others.map((token, i) => [token, i + 3])), unk_token: null },
    );
    expect(tokens.tokens).toEqual(TOKENS);
  });

  it("goes on with added tokens: control where special, normalized or single words, user otherwise", async () => {
    const first = TOKENS.length;
    const { tokens, kinds, scores, addedTokens } = await read({
      added_tokens: [
        special(first + 2, "<norm>", { special: false, normalized: true }),
        special(first, "<pad>"),
        ...SPECIALS,
        special(first + 1, "<user>", { special: false, lstrip: true, rstrip: true }),
        special(first + 3, "<word>", { special: false, single_word: true }),
      ],
    });
    expect(tokens.slice(first)).toEqual(["<pad>", "<user>", "<norm>", "<word>"]);
    expect(kinds.slice(first)).toEqual(["control", "user", "control", "control"]);
    expect([...scores.slice(first)]).toEqual([0, 0, 0, 0]);
    expect(addedTokens.map(({ id }) => id)).toEqual([0, 1, 2, first, first + 1, first + 2, first + 3]);
    expect(addedTokens[4]).toMatchObject({ special: false, lstrip: true, rstrip: true, singleWord: false });
    expect(addedTokens[6]).toMatchObject({ special: false, normalized: false, singleWord: true });
  });

  it("leaves an added token with a ▁ to the merges, as llama.cpp would find it where the text has spaces", async () => {
    const id = TOKENS.length;
    const { kinds, scores } = await read(
      { added_tokens: [...SPECIALS, special(id, "▁▁", { special: false })] },
      { vocab: vocab(...TOKENS, "▁▁"), merges: [...MERGES, "▁ ▁"] },
    );
    expect([kinds[id], scores[id]]).toEqual(["normal", -3]);
  });

  it.each([
    ["a hole", vocab(...TOKENS, "x"), { x: 999 }, "its ids have a hole: none of its 267 tokens has the id 266"],
    ["a duplicate", vocab(...TOKENS, "x"), { x: 4 }, 'model.vocab gives "x" the id 4, which is no id or another\'s'],
    ["an id that is no number", vocab(...TOKENS, "x"), { x: "266" }, 'model.vocab gives "x" the id "266"'],
    ["a negative id", vocab(...TOKENS, "x"), { x: -1 }, 'model.vocab gives "x" the id -1'],
  ])("has %s", (_what, tokens, change, problem) => refusedAs(problem, {}, { vocab: { ...tokens, ...change } }));

  it("is empty", () => refusedAs("model.vocab is empty", {}, { vocab: {} }));
  it("is a list", () => refusedAs("model.vocab is not an object", {}, { vocab: [] }));
  it("lacks a byte token", () =>
    refusedAs("no token <0x41>", {}, { vocab: vocab(...TOKENS.filter((token) => token !== BYTE_TOKENS[0x41])) }));
  it("lacks its unknown token", () => refusedAs('unk_token "<none>" is not in', {}, { unk_token: "<none>" }));
  it("holds a lone surrogate", () =>
    refusedAs("the token 266 holds a lone surrogate", { added_tokens: [...SPECIALS, special(266, "\ud800")] }));
  it("holds a NUL, where llama.cpp would end the token", () =>
    refusedAs('the token 266, "a\\u0000", holds a NUL', { added_tokens: [...SPECIALS, special(266, "a\0")] }));
  it("may have a token for NUL itself", async () => {
    expect((await read({}, { vocab: vocab(...TOKENS, "\0") })).tokens[266]).toBe("\0");
  });
});

describe("merges", () => {
  it.each([[[]], [undefined], [null], ["a b"]])("are %j", (merges) => refusedAs("it has no merges", {}, { merges }));
  it.each([["ab"], ["a b c"], [" b"], [["a"]], [["a", "b", "c"]], [["a", ""]], [7]])("have the malformed %j", (merge) =>
    refusedAs(`merge 3 is ${JSON.stringify(merge)}, not two tokens`, {}, { merges: [...MERGES, merge] }),
  );
  it.each([
    ["x b", "x"],
    ["a x", "x"],
    ["b a", "ba"],
  ])("%s needs a token that is not there", (merge, token) =>
    refusedAs(`merge 3 needs the token "${token}"`, {}, { merges: [...MERGES, merge] }),
  );
  it("have one twice", () => refusedAs('merge 3, ["a","b"], is listed twice', {}, { merges: [...MERGES, ["a", "b"]] }));
  it("leave out a pair that llama.cpp would merge", () =>
    refusedAs('"▁c" has no merge of "▁" and "c"', {}, { merges: ["a b", "▁ ab"] }));
  it("list one pair of a token and leave out another", () =>
    refusedAs(
      '"cab" has no merge of "c" and "ab"',
      {},
      {
        vocab: vocab(...TOKENS, "ca", "cab"),
        merges: [...MERGES, "c a", "ca b"],
      },
    ));
  it("leave out a pair with a character outside the vocabulary, which llama.cpp would merge too", () =>
    refusedAs('"é▁" has no merge of "é" and "▁"', {}, { vocab: vocab(...TOKENS, "é▁") }));
  it("may leave out a pair that added tokens take first, unless they are normalized", async () => {
    const joined = { ...special(266, "ca"), special: false };
    await expect(read({ added_tokens: [...SPECIALS, joined] })).resolves.toBeDefined();
    await refusedAs('"ca" has no merge', { added_tokens: [...SPECIALS, { ...joined, normalized: true }] });
    const spaces = { ...special(266, "▁▁"), special: false };
    await refusedAs('"▁▁" has no merge', { added_tokens: [...SPECIALS, spaces] });
  });
});

describe("another model", () => {
  it.each(["Unigram", "WordPiece", "WordLevel", undefined])("of type %s", (type) =>
    refusedAs(`model.type is ${JSON.stringify(type)}, not "BPE"`, {}, { type }),
  );
  it.each([false, undefined])("with byte_fallback %s and without bytes", (byte_fallback) =>
    refusedAs("model.byte_fallback is not true, and there is no ByteLevel step", {}, { byte_fallback }),
  );
  it.each(["byte_fallback", "ignore_merges"])("whose %s is text", (field) =>
    refusedAs(`model.${field} is "true"`, {}, { [field]: "true" }),
  );
  it("with byte fallback and ignore_merges", () =>
    refusedAs("model.ignore_merges is true beside byte_fallback", {}, { ignore_merges: true }));
  it.each([
    ["dropout", 0.1],
    ["continuing_subword_prefix", "##"],
    ["end_of_word_suffix", "</w>"],
    ["something_new", 1],
  ])("with %s", (field, value) =>
    refusedAs(`model.${field} is set (${JSON.stringify(value)})`, {}, { [field]: value }),
  );
  it("that is missing", async () => {
    writeFileSync(path("tokenizer.json"), "{}");
    await refused(readTokenizer(path()), "ERR_TOKENIZER", "it has no model", "--tokenizer <dir>");
  });
  it("that is not JSON", async () => {
    writeFileSync(path("tokenizer.json"), "{");
    await refused(readTokenizer(path()), "ERR_TOKENIZER", path("tokenizer.json"), "it is not JSON");
  });
});

describe("the space prefix", () => {
  const sequence = (...normalizers: unknown[]) => ({ type: "Sequence", normalizers });
  const split = { type: "Split", pattern: { String: " " }, behavior: "MergedWithPrevious", invert: false };

  it.each([
    ["each", "Prepend and Replace", { normalizer: sequence(PREPEND, REPLACE), pre_tokenizer: null }],
    ["none", "Replace", { normalizer: REPLACE, pre_tokenizer: null }],
    ["none", "Replace in a sequence", { normalizer: sequence(REPLACE), pre_tokenizer: null }],
    ["none", "Replace, then Gemma's split on spaces", { normalizer: REPLACE, pre_tokenizer: split }],
    ["first", "Metaspace first", { normalizer: null, pre_tokenizer: METASPACE }],
    [
      "first",
      "Metaspace first, older",
      { normalizer: null, pre_tokenizer: { ...METASPACE, add_prefix_space: true, str_rep: "▁" } },
    ],
    ["none", "Metaspace never", { normalizer: null, pre_tokenizer: { ...METASPACE, prepend_scheme: "never" } }],
    [
      "none",
      "Metaspace without prefix, older",
      {
        normalizer: null,
        pre_tokenizer: { type: "Metaspace", replacement: "▁", add_prefix_space: false, split: false },
      },
    ],
  ])("%s: %s", async (prefix, _what, fields) => {
    expect((await read(fields)).spacePrefix).toBe(prefix);
  });

  it.each([
    ["nothing", null],
    ["Prepend alone", PREPEND],
    ["the other order", sequence(REPLACE, PREPEND)],
    ["another prefix", sequence({ ...PREPEND, prepend: "_" }, REPLACE)],
    ["another replacement", sequence(PREPEND, { ...REPLACE, content: "_" })],
    ["a regular expression", sequence(PREPEND, { ...REPLACE, pattern: { Regex: " " } })],
    ["NFKC", { type: "NFKC" }],
    ["a third step", sequence({ type: "NFC" }, PREPEND, REPLACE)],
    ["an unknown field", { ...REPLACE, more: 1 }],
  ])("unknown: the normalizer is %s", (_what, normalizer) => refusedAs("normalizer is unknown", { normalizer }));

  it.each([
    ["ByteLevel", { type: "ByteLevel", add_prefix_space: false }],
    ["a sequence", { type: "Sequence", pretokenizers: [METASPACE] }],
    ["another replacement", { ...METASPACE, replacement: "_" }],
    ["an unknown field", { ...METASPACE, more: 1 }],
    ["text", "Metaspace"],
  ])("unknown: the pre-tokenizer is %s", (_what, pre_tokenizer) =>
    refusedAs("pre_tokenizer is unknown", { normalizer: null, pre_tokenizer }),
  );

  it.each([true, undefined])("unknown: Metaspace that splits (%s)", (split) =>
    refusedAs("pre_tokenizer.split is true", { normalizer: null, pre_tokenizer: { ...METASPACE, split } }),
  );
  it.each(["always", undefined])("not reproduced: Metaspace %s, which is not the same as Prepend", (prepend_scheme) =>
    refusedAs('prepend_scheme is "always"', { normalizer: null, pre_tokenizer: { ...METASPACE, prepend_scheme } }),
  );
  it("contradicts itself", () =>
    refusedAs("contradicts prepend_scheme", {
      normalizer: null,
      pre_tokenizer: { ...METASPACE, add_prefix_space: false },
    }));
  it("set twice", () => refusedAs("normalizer and pre_tokenizer are both set", { pre_tokenizer: METASPACE }));
  it("never, with normalized tokens, which would be looked for in another text", () =>
    refusedAs('beside the normalized token "<n>"', {
      normalizer: null,
      pre_tokenizer: { ...METASPACE, prepend_scheme: "never" },
      added_tokens: [...SPECIALS, special(266, "<n>", { normalized: true })],
    }));
});

describe("the post-processor", () => {
  it.each([
    ["nothing", null, false, false],
    ["the text alone", template(TEXT), false, false],
    ["BOS", template(BOS, TEXT), true, false],
    ["EOS", template(TEXT, EOS), false, true],
    ["both", template(BOS, TEXT, EOS), true, true],
  ])("adds %s", async (_what, post_processor, addBos, addEos) => {
    expect(await read({ post_processor })).toMatchObject({ addBos, addEos });
  });

  it.each([
    ["two tokens before the text", template(BOS, BOS, TEXT)],
    ["two tokens after the text", template(TEXT, EOS, EOS)],
    ["no text", template(BOS)],
    ["another text", template(BOS, { Sequence: { id: "B", type_id: 0 } })],
  ])("has %s", (_what, post_processor) =>
    refusedAs("not a text with at most one token on each side", { post_processor }),
  );
  it("has a token that is not described", () =>
    refusedAs("has an unknown item", { post_processor: template({ SpecialToken: { id: "<x>", type_id: 0 } }, TEXT) }));
  it("has a token of another id", () =>
    refusedAs("contradicts the vocabulary", {
      post_processor: { ...template(BOS, TEXT), special_tokens: { "<s>": { id: "<s>", ids: [5], tokens: ["<s>"] } } },
    }));
  it.each(["RobertaProcessing", "Sequence"])("is a %s", (type) =>
    refusedAs("post_processor is unknown", { post_processor: { type } }),
  );
  it("may be in a sequence with ByteLevel, which concerns offsets", async () => {
    const bytes = byteLevel({ add_prefix_space: true, trim_offsets: false, use_regex: true });
    const both = sequenceOf("processors", bytes, template(BOS, TEXT));
    expect(await read({ post_processor: both })).toMatchObject({ addBos: true });
    expect(await read({ post_processor: bytes })).toMatchObject({ addBos: false });
    const twice = sequenceOf("processors", template(BOS, TEXT), template(BOS, TEXT));
    await refusedAs("post_processor is unknown", { post_processor: twice });
  });
});

describe("added tokens", () => {
  it.each([
    ["a hole before them", special(270, "<x>"), "its ids have a hole: none of its 267 tokens has the id 266"],
    ["another token's id", special(265, "<x>"), '"<x>" the id 265, which contradicts the vocabulary'],
    ["another id for a token", special(266, "<s>"), 'has "<s>" (266) twice'],
    ["another id for a piece", special(266, "ab"), '"ab" the id 266, which contradicts the vocabulary'],
    ["an id twice", special(2, "</s>"), 'has "</s>" (2) twice'],
    ["no content", special(266, ""), "added_tokens[3] has no id or no content"],
    ["no id", special(-1, "<x>"), "added_tokens[3] has no id or no content"],
    ["no flag", special(266, "<x>", { lstrip: undefined }), "has no boolean lstrip"],
    ["a flag that is no boolean", special(266, "<x>", { normalized: 1 }), "has no boolean normalized"],
    ["an unknown flag", special(266, "<x>", { upper: true }), "has the unknown field upper"],
    ["text instead", "<x>", "added_tokens[3] is not an object"],
  ])("have %s", (_what, token, problem) => refusedAs(problem, { added_tokens: [...SPECIALS, token] }));
  it("are no list", () => refusedAs("added_tokens is not an array", { added_tokens: {} }));
});

it("survives damaged files", async () => {
  const bytes = Buffer.from(JSON.stringify(tokenizerJson()));
  const refusals = await surviveDamage(path("tokenizer.json"), damaged(bytes, 7, 300), () => readTokenizer(path()));
  expect(refusals).toBeGreaterThan(100);
  expect(refusals).toBeLessThan(300);
});
