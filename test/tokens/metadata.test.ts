/** Tokenizer rules in GGUF metadata: our own files, other tools' files, malformed ones. */
import { describe, expect, it } from "vitest";
import type { GgufValue } from "../../lib/gguf/types.ts";
import { rulesToMetadata, tokenizerRules } from "../../lib/tokens/metadata.ts";
import { PRE_TOKENIZERS } from "../../lib/tokens/pre-tokenizer.ts";
import type { PreTokenizer, TokenizerRules } from "../../lib/tokens/types.ts";
import { addedToken } from "./tiny-bpe.ts";

const TOKENS = ["<unk>", "<s>", "</s>", "a", "<pad>"];

function vocabulary(types: readonly number[] = [2, 3, 3, 1, 4]): [string, GgufValue][] {
  return [
    ["tokenizer.ggml.model", { type: "string", value: "llama" }],
    ["tokenizer.ggml.tokens", { type: "array", of: "string", value: TOKENS }],
    ["tokenizer.ggml.scores", { type: "array", of: "f32", value: new Float32Array(TOKENS.length) }],
    ["tokenizer.ggml.token_type", { type: "array", of: "i32", value: Int32Array.from(types) }],
  ];
}

const RULES: TokenizerRules = {
  vocabularySize: 5,
  addedTokens: [
    addedToken(1, "<s>", "special"),
    addedToken(2, "</s>", "special", "normalized"),
    addedToken(4, "<pad>", "lstrip", "rstrip", "singleWord"),
  ],
  preTokenizer: null,
  spacePrefix: "first",
  addBos: true,
  addEos: false,
  bosId: 1,
  eosId: 2,
  unkId: null,
  padId: 4,
};

describe("our own files", () => {
  it("come back as they were written", () => {
    for (const spacePrefix of ["each", "first", "none"] as const) {
      const rules = { ...RULES, spacePrefix, addEos: spacePrefix === "none" };
      expect(tokenizerRules(new Map([...vocabulary(), ...rulesToMetadata(rules)]))).toEqual(rules);
    }
  });

  it("hold these keys", () => {
    expect([...rulesToMetadata(RULES)]).toEqual([
      ["tokenizer.ggml.model", { type: "string", value: "llama" }],
      ["tokenizer.ggml.pre", { type: "string", value: "default" }],
      ["tokenizer.ggml.add_bos_token", { type: "bool", value: true }],
      ["tokenizer.ggml.add_eos_token", { type: "bool", value: false }],
      ["tokenizer.ggml.add_space_prefix", { type: "bool", value: true }],
      ["tokenizer.ggml.bos_token_id", { type: "u32", value: 1 }],
      ["tokenizer.ggml.eos_token_id", { type: "u32", value: 2 }],
      ["tokenizer.ggml.padding_token_id", { type: "u32", value: 4 }],
      [
        "scorehead.tokenizer.added_tokens",
        {
          type: "string",
          value:
            '[{"id":1,"content":"<s>","special":true},{"id":2,"content":"</s>","special":true,"normalized":true},' +
            '{"id":4,"content":"<pad>","lstrip":true,"rstrip":true,"single_word":true}]',
        },
      ],
      ["scorehead.tokenizer.space_prefix", { type: "string", value: "first" }],
    ]);
  });
});

describe("files of other tools", () => {
  it("are read with llama.cpp's defaults", () => {
    expect(tokenizerRules(new Map(vocabulary()))).toEqual({
      vocabularySize: 5,
      addedTokens: [
        addedToken(0, "<unk>", "special"),
        addedToken(1, "<s>", "special"),
        addedToken(2, "</s>", "special"),
        addedToken(4, "<pad>"),
      ],
      preTokenizer: null,
      spacePrefix: "each",
      addBos: true,
      addEos: false,
      bosId: 1,
      eosId: 2,
      unkId: 0,
      padId: null,
    });
  });

  it("are read with their own settings", () => {
    const metadata = new Map<string, GgufValue>([
      ...vocabulary(),
      ["tokenizer.ggml.add_space_prefix", { type: "bool", value: false }],
      ["tokenizer.ggml.add_bos_token", { type: "bool", value: false }],
      ["tokenizer.ggml.add_eos_token", { type: "bool", value: true }],
      ["tokenizer.ggml.eos_token_id", { type: "u32", value: 4 }],
    ]);
    expect(tokenizerRules(metadata)).toMatchObject({ spacePrefix: "none", addBos: false, addEos: true, eosId: 4 });
  });

  it("of another kind of tokenizer are refused by name", () => {
    const metadata = new Map(vocabulary()).set("tokenizer.ggml.model", { type: "string", value: "bert" });
    expect(() => tokenizerRules(metadata)).toThrow(
      expect.objectContaining({ code: "ERR_TOKENIZER", message: expect.stringContaining('"bert"') }),
    );
  });

  it("have no ids that the vocabulary is too small for", () => {
    expect(tokenizerRules(byteLevel("gpt-2"))).toMatchObject({ bosId: null, eosId: null, unkId: null });
  });
});

function byteLevel(pre: string | null): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>([
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.tokens", { type: "array", of: "string", value: TOKENS }],
    ["tokenizer.ggml.merges", { type: "array", of: "string", value: ["a a"] }],
  ]);
  return pre === null ? metadata : metadata.set("tokenizer.ggml.pre", { type: "string", value: pre });
}

describe("byte-level tokenizers", () => {
  it("come back as they were written", () => {
    for (const preTokenizer of Object.keys(PRE_TOKENIZERS) as PreTokenizer[]) {
      const rules: TokenizerRules = { ...RULES, preTokenizer, spacePrefix: "none" };
      expect(tokenizerRules(new Map([...byteLevel(null), ...rulesToMetadata(rules)]))).toEqual(rules);
    }
  });

  it.each([
    ["llama-bpe", "llama-bpe", true],
    ["llama3", "llama-bpe", true],
    ["smaug-bpe", "dbrx", false],
    ["refact", "starcoder", false],
    ["qwen2", "qwen2", false],
    ["tekken", "tekken", true],
  ])("of other tools have llama.cpp's names and defaults: %s", (pre, preTokenizer, addBos) => {
    expect(tokenizerRules(byteLevel(pre))).toMatchObject({ preTokenizer, addBos, addEos: false, spacePrefix: "none" });
  });

  it.each(["default", "falcon", "toString", null])("of the unknown name %s are refused", (pre) => {
    expect(() => tokenizerRules(byteLevel(pre))).toThrow(
      expect.objectContaining({ code: "ERR_TOKENIZER", message: expect.stringContaining(`"${pre ?? "default"}"`) }),
    );
  });

  it("need their merges", () => {
    const metadata = byteLevel("qwen2");
    metadata.delete("tokenizer.ggml.merges");
    expect(() => tokenizerRules(metadata)).toThrow(
      expect.objectContaining({ code: "ERR_GGUF", message: expect.stringContaining("tokenizer.ggml.merges") }),
    );
  });
});

describe("malformed files", () => {
  const own = (json: string): [string, GgufValue] => [
    "scorehead.tokenizer.added_tokens",
    { type: "string", value: json },
  ];
  const cases: [string, [string, GgufValue | undefined]][] = [
    ["no model", ["tokenizer.ggml.model", undefined]],
    ["no tokens", ["tokenizer.ggml.tokens", undefined]],
    ["tokens that are no strings", ["tokenizer.ggml.tokens", { type: "array", of: "u8", value: Uint8Array.of(1) }]],
    ["no scores, which decide the order of merges", ["tokenizer.ggml.scores", undefined]],
    ["too few scores", ["tokenizer.ggml.scores", { type: "array", of: "f32", value: new Float32Array(4) }]],
    ["too few types", ["tokenizer.ggml.token_type", { type: "array", of: "i32", value: Int32Array.of(1) }]],
    ["types of another type", ["tokenizer.ggml.token_type", { type: "string", value: "" }]],
    ["add_bos as a number", ["tokenizer.ggml.add_bos_token", { type: "u8", value: 1 }]],
    ["an id outside the vocabulary", ["tokenizer.ggml.bos_token_id", { type: "u32", value: 5 }]],
    ["an id of another type", ["tokenizer.ggml.eos_token_id", { type: "i32", value: 2 }]],
    ["an unknown space prefix", ["scorehead.tokenizer.space_prefix", { type: "string", value: "always" }]],
    ["added tokens that are not JSON", own("[")],
    ["added tokens that are no array", own("{}")],
    ["an added token that is null", own("[null]")],
    ["an added token outside the vocabulary", own('[{"id":5,"content":"x"}]')],
    ["an added token without id", own('[{"content":"x"}]')],
    ["an added token without content", own('[{"id":1,"content":""}]')],
    ["an unknown flag", own('[{"id":1,"content":"x","bold":true}]')],
    ["a flag that is no boolean", own('[{"id":1,"content":"x","lstrip":1}]')],
    ["a content twice", own('[{"id":1,"content":"x"},{"id":2,"content":"x"}]')],
  ];

  it.each(cases)("are refused: %s", (_, [key, value]) => {
    const metadata = new Map(vocabulary());
    if (value === undefined) metadata.delete(key);
    else metadata.set(key, value);
    expect(() => tokenizerRules(metadata)).toThrow(
      expect.objectContaining({ code: "ERR_GGUF", message: expect.stringContaining(key) }),
    );
  });
});
