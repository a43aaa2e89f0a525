/** The files beside a tokenizer: roles, added tokens, BOS and EOS, chat templates; and tokenizer.model as a fallback. */
import { rmSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { readTokenizer } from "../../lib/checkpoint/tokenizer.ts";
import type { RawSentencePiece } from "../fixtures/sentencepiece.ts";
import { REPLACE, jsonToken as special } from "../fixtures/tokenizer-json.ts";
import { damaged, refused, surviveDamage, temporaryDirectory } from "../gguf/support.ts";
import { SP_PIECES, sentencePiece, TEMPLATES, TOKENS, template, tokenizerJson } from "./tokenizer-support.ts";

const path = temporaryDirectory();
const { BOS, EOS, TEXT } = TEMPLATES;
const NEXT = TOKENS.length;

const write = (name: string, value: unknown) => writeFileSync(path(name), JSON.stringify(value));
const read = () => readTokenizer(path());
const refusedAs = (...parts: string[]) => refused(read(), "ERR_TOKENIZER", ...parts);

beforeEach(() => write("tokenizer.json", tokenizerJson()));

describe("the roles", () => {
  it("come from tokenizer_config.json, special_tokens_map.json, config.json, then the tokenizer", async () => {
    expect(await read()).toMatchObject({ bosId: 1, eosId: null, unkId: 0, padId: null });
    write("config.json", { bos_token_id: 2, eos_token_id: 2, pad_token_id: -1 });
    write("tokenizer_config.json", { tokenizer_class: "LlamaTokenizer", add_bos_token: true });
    expect(await read()).toMatchObject({ bosId: 2, eosId: 2, padId: null });
    write("special_tokens_map.json", { eos_token: { content: "<s>", lstrip: false }, pad_token: "<unk>" });
    expect(await read()).toMatchObject({ bosId: 2, eosId: 1, padId: 0 });
    write("tokenizer_config.json", {
      eos_token: "</s>",
      bos_token: { __type: "AddedToken", content: "<s>" },
      pad_token: null,
    });
    expect(await read()).toMatchObject({ bosId: 1, eosId: 2, unkId: 0, padId: 0 });
  });

  it("name a token that is not there", async () => {
    write("tokenizer_config.json", { pad_token: "<pad>" });
    await refusedAs('its pad_token "<pad>" is not in the vocabulary');
  });

  it("have an id that is not there", async () => {
    write("config.json", { eos_token_id: 400 });
    await refusedAs("config.json's eos_token_id 400 is not in the vocabulary of 266 tokens");
  });

  it("are missing where tokenizer_config.json has null, whatever config.json says", async () => {
    write("tokenizer.json", tokenizerJson({ post_processor: null }));
    write("config.json", { bos_token_id: 1, eos_token_id: 2 });
    write("tokenizer_config.json", { bos_token: null, add_bos_token: false });
    expect(await read()).toMatchObject({ bosId: null, eosId: 2, addBos: false });
  });

  it("leave a list of EOS ids, which is for generating, alone", async () => {
    write("config.json", { eos_token_id: [1, 2] });
    expect(await read()).toMatchObject({ eosId: null });
  });

  it("need a well-formed config.json", async () => {
    writeFileSync(path("config.json"), "{");
    await refused(read(), "ERR_CONFIG", path("config.json"));
    rmSync(path("config.json"));
    writeFileSync(path("tokenizer_config.json"), "[]");
    await refusedAs(path("tokenizer_config.json"), "not an object");
  });
});

describe("added tokens outside tokenizer.json", () => {
  it("come from added_tokens.json, special where a role names them", async () => {
    write("added_tokens.json", { "<pad>": NEXT, "<sep>": NEXT + 1, "<extra>": NEXT + 2, "<s>": 1 });
    write("special_tokens_map.json", { pad_token: "<pad>", additional_special_tokens: ["<sep>"] });
    const { tokens, kinds, scores, addedTokens, padId } = await read();
    expect(tokens.slice(NEXT)).toEqual(["<pad>", "<sep>", "<extra>"]);
    expect(kinds.slice(NEXT)).toEqual(["control", "control", "control"]);
    expect(scores).toHaveLength(NEXT + 3);
    expect(addedTokens.slice(3).map(({ special, normalized }) => ({ special, normalized }))).toEqual([
      { special: true, normalized: false },
      { special: true, normalized: false },
      { special: false, normalized: true },
    ]);
    expect(padId).toBe(NEXT);
  });

  it("come from added_tokens_decoder with their flags; those of tokenizer.json stand", async () => {
    const flags = { lstrip: true, normalized: false, rstrip: false, single_word: false, special: false };
    write("tokenizer_config.json", {
      added_tokens_decoder: {
        1: { content: "<s>", ...flags },
        262: { content: "▁", ...flags },
        [NEXT]: { content: "<x>", ...flags },
      },
    });
    const { tokens, kinds, addedTokens } = await read();
    expect(tokens[NEXT]).toBe("<x>");
    expect([kinds[1], kinds[262], kinds[NEXT]]).toEqual(["control", "normal", "user"]);
    expect(addedTokens.map(({ id }) => id)).toEqual([0, 1, 2, 262, NEXT]);
    expect(addedTokens[1]).toMatchObject({ special: true, lstrip: false });
    expect(addedTokens[4]).toMatchObject({ special: false, lstrip: true, normalized: false });
  });

  it("come from the names of special tokens, where the vocabulary has them", async () => {
    write("tokenizer_config.json", {
      eos_token: "ab",
      additional_special_tokens: ["▁c", "<none>"],
      unk_token: "<unk>",
    });
    const { kinds, addedTokens } = await read();
    expect(addedTokens.map(({ id, special, normalized }) => [id, special, normalized])).toEqual([
      [0, true, false],
      [1, true, false],
      [2, true, false],
      [259, true, false],
      [261, true, false],
    ]);
    expect([kinds[259], kinds[261]]).toEqual(["control", "control"]);
  });

  it.each([
    [{ "<x>": NEXT + 1 }, "<x> is added with the id 267, but the ids before it end at 265"],
    [{ "<x>": 5 }, "<x> is added with the id 5, which contradicts the vocabulary"],
    [{ ab: NEXT }, "ab is added with the id 266, which contradicts the vocabulary"],
    [{ "<x>": NEXT, "<y>": NEXT }, "is added with the id 266, which contradicts"],
    [{ "<x>": "266" }, '<x> is added with the id "266"'],
    [{ "<x>": -1 }, "<x> is added with the id -1"],
  ])("contradict the vocabulary: %j", async (added, problem) => {
    write("added_tokens.json", added);
    await refusedAs(problem, path("tokenizer.json"));
  });

  it.each([[[]], [{ 266: "<x>" }], [{ 266: {} }], [{ x: { content: "<x>" } }]])(
    "are malformed: %j",
    async (decoder) => {
      write("tokenizer_config.json", { added_tokens_decoder: decoder });
      await refusedAs(path("tokenizer.json"));
    },
  );
});

describe("BOS and EOS", () => {
  it.each(["LlamaTokenizer", "LlamaTokenizerFast", "GemmaTokenizer", "InternLM2Tokenizer"])(
    "are the settings of a %s",
    async (name) => {
      write("config.json", { eos_token_id: 2 });
      write("tokenizer_config.json", { tokenizer_class: name, add_bos_token: false, add_eos_token: true });
      expect(await read()).toMatchObject({ addBos: false, addEos: true });
    },
  );

  it("are the post-processor's for other classes, and where the settings say nothing", async () => {
    write("tokenizer.json", tokenizerJson({ post_processor: template(TEXT, EOS) }));
    write("tokenizer_config.json", {
      tokenizer_class: "PreTrainedTokenizerFast",
      add_bos_token: true,
      add_eos_token: false,
    });
    expect(await read()).toMatchObject({ addBos: false, addEos: true });
    write("tokenizer_config.json", { tokenizer_class: "LlamaTokenizer", add_bos_token: null });
    expect(await read()).toMatchObject({ addBos: false, addEos: true });
  });

  it("are another token than the post-processor's", async () => {
    write("tokenizer_config.json", { bos_token: "</s>" });
    await refusedAs("it puts the token 1 before a text, but its BOS is 2");
    write("tokenizer.json", tokenizerJson({ post_processor: template(BOS, TEXT, EOS) }));
    write("tokenizer_config.json", { eos_token: "<s>" });
    await refusedAs("it puts the token 2 after a text, but its EOS is 1");
  });

  it("are to be added, but there is none", async () => {
    write("tokenizer_config.json", { tokenizer_class: "LlamaTokenizer", add_eos_token: true });
    await refusedAs("its EOS is missing");
  });
});

describe("the chat template", () => {
  it("is tokenizer_config.json's, and chat_template.jinja comes before it", async () => {
    expect((await read()).chatTemplate).toBeNull();
    write("tokenizer_config.json", {
      chat_template: [
        { name: "tools", template: "t" },
        { name: "default", template: "d" },
      ],
    });
    expect((await read()).chatTemplate).toBe("d");
    write("tokenizer_config.json", { chat_template: "{{ bos_token }}" });
    expect((await read()).chatTemplate).toBe("{{ bos_token }}");
    writeFileSync(path("chat_template.jinja"), "{# file #}");
    expect((await read()).chatTemplate).toBe("{# file #}");
  });
});

it("names the remedy where there is no tokenizer", async () => {
  rmSync(path("tokenizer.json"));
  await refusedAs(path(), "no tokenizer", "tokenizer.json, tokenizer.model", "--tokenizer <dir>");
});

describe("tokenizer.model", () => {
  const writeModel = (raw?: Partial<RawSentencePiece>) => {
    rmSync(path("tokenizer.json"), { force: true });
    writeFileSync(path("tokenizer.model"), sentencePiece(raw));
  };

  it("is not read beside a tokenizer.json", async () => {
    writeFileSync(path("tokenizer.model"), "not a model");
    expect((await read()).file).toBe("tokenizer.json");
  });

  it("gives the same tokenizer, with its own scores", async () => {
    const json = await read();
    writeModel();
    const model = await read();
    expect(model).toEqual({ ...json, file: "tokenizer.model", scores: model.scores, eosId: 2 });
    expect([...model.scores.slice(257, 262)]).toEqual([0, 0, -1, -2, -3]);
  });

  it("is completed by the files beside it", async () => {
    writeModel({ pieces: [...SP_PIECES, ["<user>", 0, 4]], padId: 2 });
    write("added_tokens.json", { "<pad>": NEXT + 1 });
    write("special_tokens_map.json", { pad_token: "<pad>" });
    write("tokenizer_config.json", { tokenizer_class: "LlamaTokenizer", add_bos_token: false, add_eos_token: true });
    const { tokens, kinds, addedTokens, ...rest } = await read();
    expect(tokens.slice(NEXT)).toEqual(["<user>", "<pad>"]);
    expect(kinds.slice(NEXT)).toEqual(["user", "control"]);
    expect(addedTokens.map(({ id, special }) => [id, special])).toEqual([
      [0, true],
      [1, true],
      [2, true],
      [NEXT, false],
      [NEXT + 1, true],
    ]);
    expect(rest).toMatchObject({ addBos: false, addEos: true, bosId: 1, eosId: 2, unkId: 0, padId: NEXT + 1 });
  });

  it("has free pieces that InternLM2's settings give other names", async () => {
    const settings = {
      tokenizer_class: "InternLM2Tokenizer",
      added_tokens_decoder: {
        [NEXT + 1]: { content: "<|im_end|>", lstrip: false, normalized: false, rstrip: false, special: true },
      },
    };
    writeModel({ pieces: [...SP_PIECES, ["[UNUSED_TOKEN_1]", 0, 4], ["[UNUSED_TOKEN_2]", 0, 4]] });
    write("tokenizer_config.json", settings);
    const { tokens, kinds, addedTokens } = await read();
    expect(tokens.slice(NEXT)).toEqual(["[UNUSED_TOKEN_1]", "<|im_end|>"]);
    expect(kinds.slice(NEXT)).toEqual(["normal", "control"]);
    expect(addedTokens.map(({ id }) => id)).toEqual([0, 1, 2, NEXT + 1]);
    write("tokenizer_config.json", { ...settings, tokenizer_class: "LlamaTokenizer" });
    await refusedAs(`<|im_end|> is added with the id ${NEXT + 1}, which contradicts the vocabulary`);
  });

  it.each([
    ["each", true, {}],
    ["each", true, { legacy: true }],
    ["first", true, { legacy: false }],
    ["none", true, { add_prefix_space: false }],
    ["none", false, {}],
  ])("has the space prefix %s with add_dummy_prefix %s and %j", async (prefix, addDummyPrefix, config) => {
    writeModel({ addDummyPrefix });
    write("tokenizer_config.json", config);
    expect((await read()).spacePrefix).toBe(prefix);
  });

  it.each([
    ["a Unigram model", { modelType: 1 }, "its model type is UNIGRAM, not BPE"],
    ["a model of words", { modelType: 3 }, "its model type is WORD, not BPE"],
    ["no byte fallback", { byteFallback: false }, "it has no byte fallback"],
    ["a character map", { charsmap: Uint8Array.of(1) }, "it has a character map"],
    ["squeezed white space", { removeExtraWhitespaces: true }, "it removes extra white space"],
    ["plain spaces", { escapeWhitespaces: false }, "it does not write spaces as ▁"],
    ["white space at the end", { whitespaceAsSuffix: true }, "white space at the end of words"],
    ["a piece twice", { pieces: [...SP_PIECES, ["ab", 0, 1] as const] }, 'it has the piece "ab" twice'],
    ["an unused piece", { pieces: [...SP_PIECES, ["x", 0, 5] as const] }, 'its piece "x" has the type 5'],
    ["a symbol for spaces", { pieces: [...SP_PIECES, ["▁▁", 0, 4] as const] }, 'has the user-defined symbol "▁▁"'],
    ["no byte tokens", { pieces: [["a", 0, 1] as const] }, "no token <0x00>"],
    ["no pieces", { pieces: [] }, "it has no pieces"],
  ] satisfies [string, Partial<RawSentencePiece>, string][])("is refused with %s", async (_what, raw, problem) => {
    writeModel(raw);
    await refusedAs(problem, path("tokenizer.model"));
  });

  it("is refused where it is cut short or no protobuf", async () => {
    rmSync(path("tokenizer.json"));
    const bytes = sentencePiece();
    writeFileSync(path("tokenizer.model"), bytes.subarray(0, -3));
    await refusedAs("it is not a SentencePiece model");
    // A piece of three bytes whose text claims five.
    writeFileSync(path("tokenizer.model"), Buffer.concat([Buffer.of(0x0a, 3, 0x0a, 5, 0x61), bytes]));
    await refusedAs("it is not a SentencePiece model", "a field ends at byte 9 instead of 5");
    writeFileSync(path("tokenizer.model"), "hello");
    await refusedAs("it is not a SentencePiece model");
    writeFileSync(path("tokenizer.model"), "");
    await refusedAs(path("tokenizer.model"));
  });

  it("survives damage", async () => {
    rmSync(path("tokenizer.json"));
    const files = damaged(Buffer.from(sentencePiece()), 9, 300);
    const refusals = await surviveDamage(path("tokenizer.model"), files, read);
    expect(refusals).toBeGreaterThan(100);
    expect(refusals).toBeLessThan(300);
  });
});

describe("a space prefix that tokenizer_config.json has in its own way", () => {
  const gpt2 = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const byteLevel = { vocab: { a: 0, b: 1, ab: 2 }, merges: ["a b"], byte_fallback: false, unk_token: null };
  const json = {
    each: tokenizerJson(),
    none: tokenizerJson({ normalizer: REPLACE }),
    "byte-level": tokenizerJson(
      { added_tokens: [], normalizer: null, pre_tokenizer: gpt2, post_processor: null },
      byteLevel,
    ),
  };
  const cases: [keyof typeof json, string, boolean, boolean][] = [
    ["each", "LlamaTokenizer", true, true],
    ["each", "LlamaTokenizerFast", false, false],
    ["none", "LlamaTokenizer", true, false],
    ["none", "LlamaTokenizer", false, true],
    ["none", "GemmaTokenizer", true, true],
    ["byte-level", "GPT2Tokenizer", false, true],
    ["byte-level", "GPT2Tokenizer", true, false],
  ];
  it.each(cases)("%s, %s, %s: taken %s", async (kind, name, adds, isTaken) => {
    write("tokenizer.json", json[kind]);
    write("tokenizer_config.json", { tokenizer_class: name, add_prefix_space: adds });
    if (isTaken) expect((await read()).spacePrefix).toBe(kind === "each" ? "each" : "none");
    else await refusedAs(`add_prefix_space is ${adds}`);
  });
});

it("keeps flags of special tokens that are normalized, as in the first Llama exports", async () => {
  const normalized = [0, 1, 2].map((id) => special(id, TOKENS[id] ?? "", { normalized: true }));
  write("tokenizer.json", tokenizerJson({ added_tokens: normalized }));
  const { kinds, addedTokens } = await read();
  expect(kinds.slice(0, 3)).toEqual(["unknown", "control", "control"]);
  expect(addedTokens.every((token) => token.normalized)).toBe(true);
});
