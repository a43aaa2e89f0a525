/** Texts for llama.cpp's SentencePiece tokenizer in parts: where they are cut, and what becomes of a NUL. */
import { describe, expect, it } from "vitest";
import type { GgufMetadata, GgufValue } from "../../lib/gguf/types.ts";
import { subwordModel } from "../../lib/tokens/subword-model.ts";
import { tinyRules } from "./tiny-bpe.ts";

function modelOf(tokens: readonly string[]) {
  const metadata: GgufMetadata = new Map<string, GgufValue>([
    ["tokenizer.ggml.tokens", { type: "array", of: "string", value: tokens }],
  ]);
  const asked: string[] = [];
  const model = subwordModel(metadata, tinyRules("none"), (text) => {
    asked.push(text);
    return Int32Array.of(100 + text.length);
  });
  const encode = (text: string) => [...model.split(text)].flatMap((part) => [...model.encode(part)]);
  return { split: (text: string) => [...model.split(text)], encode, asked };
}

const WORD = "▁ab";

describe("a long text", () => {
  const { split } = modelOf(["▁", "a", "b", "▁a", "▁ab", "é", "😀b"]);

  it("is cut before characters that follow their left neighbour in no token", () => {
    const text = WORD.repeat(4000);
    const parts = split(text);
    expect(parts.length).toBe(3);
    expect(parts.join("")).toBe(text);
    expect(parts.every((part) => part.startsWith(WORD) && part.endsWith(WORD))).toBe(true);
  });

  it("is cut alike where spaces are not written as ▁ yet", () => {
    expect(split(" ab".repeat(4000)).map((part) => part.length)).toEqual(
      split(WORD.repeat(4000)).map(({ length }) => length),
    );
  });

  it("is cut between characters that are in no token of several", () => {
    expect(split("é".repeat(10_000)).map((part) => part.length)).toEqual([4096, 4096, 1808]);
  });

  it("is whole where every pair of characters may join, and no character is cut in two", () => {
    expect(modelOf(["aa"]).split("a".repeat(9000))).toHaveLength(1);
    expect(split("x😀b".repeat(3000)).every((part) => part.startsWith("x"))).toBe(true);
  });

  it("is whole up to a length that is no trouble", () => expect(split("é".repeat(4096))).toHaveLength(1));
});

describe("a NUL", () => {
  it("has the id of its own token, which llama.cpp cannot find", () => {
    const { encode, asked } = modelOf(["<unk>", "\0", "a"]);
    expect(encode("a\0\0b\0")).toEqual([101, 1, 1, 101, 1]);
    expect(asked).toEqual(["a", "b"]);
    expect(encode("\0")).toEqual([1]);
  });

  it("is left to llama.cpp where the vocabulary has none", () => {
    const { encode, asked } = modelOf(["<unk>", "a"]);
    expect(encode("a\0b")).toEqual([103]);
    expect(asked).toEqual(["a\0b"]);
  });
});
