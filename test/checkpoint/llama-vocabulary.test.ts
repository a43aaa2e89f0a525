/** The true Llama vocabulary in Hugging Face's layout: the scores rebuilt from its merges merge as the merges do. */
import { readFileSync } from "node:fs";
import { Tokenizer } from "@huggingface/tokenizers";
import { describe, expect, it } from "vitest";
import { readTokenizer } from "../../lib/checkpoint/tokenizer.ts";
import type { CheckpointTokenizer } from "../../lib/checkpoint/types.ts";
import { writeTokenizer } from "../fixtures/tokenizer.ts";
import { loadVocabulary } from "../fixtures/vocabulary.ts";
import { temporaryDirectory } from "../gguf/support.ts";

const path = temporaryDirectory();

/** SentencePiece's algorithm: the best-scoring pair of neighbours is joined, leftmost first, until none is a token. */
function encode(text: string, { tokens, scores }: CheckpointTokenizer): number[] {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const pieces = [...text];
  for (;;) {
    let best = -1;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (let i = 0; i + 1 < pieces.length; i++) {
      const id = ids.get(`${pieces[i]}${pieces[i + 1]}`);
      if (id === undefined || (scores[id] ?? 0) <= bestScore) continue;
      best = i;
      bestScore = scores[id] ?? 0;
    }
    if (best < 0) return pieces.flatMap((piece) => ids.get(piece) ?? [...Buffer.from(piece)].map((byte) => 3 + byte));
    pieces.splice(best, 2, `${pieces[best]}${pieces[best + 1]}`);
  }
}

const TEXTS = [
  "BEGINNING OF CONVERSATION: USER: hello ASSISTANT:Hello! How can I help you today?",
  "def f(x):\n    return  x  # naïve 😀 日本語 ﷽",
  ...Array.from({ length: 40 }, (_, spaces) => `a${" ".repeat(spaces)}b`),
  "----------------------------------------------------------------",
  "</s><s>[INST] Straße \t\t \u00a0 ░▒▓ the theatre thereof [/INST]",
];

describe.each([{ pad: true }, { mergesAsPairs: true }])("written with %j", (options) => {
  it("gives the vocabulary's tokens and kinds, and scores in its order", async () => {
    await writeTokenizer(path(), options);
    const tokenizer = await readTokenizer(path());
    const { tokens, scores, normal } = await loadVocabulary();
    expect(tokenizer.tokens.slice(0, tokens.length)).toEqual(tokens);
    expect(tokenizer.kinds.slice(0, 4)).toEqual(["unknown", "control", "control", "byte"]);
    expect(tokenizer.kinds.slice(3, 259).every((kind) => kind === "byte")).toBe(true);
    expect(tokenizer.kinds.slice(259, tokens.length).every((kind, i) => (kind === "normal") === normal[259 + i])).toBe(
      true,
    );
    expect(tokenizer.scores.slice(0, 259).every((score) => score === 0)).toBe(true);
    // Those that merges make: all but the characters. The model gives its white space tokens one score between them.
    const made = tokens.flatMap((token, id) => (normal[id] && [...token].length > 1 ? [id] : []));
    const byOwn = [...made].sort((a, b) => (tokenizer.scores[b] ?? 0) - (tokenizer.scores[a] ?? 0));
    const own = byOwn.map((id) => scores[id] ?? 0);
    expect(own.every((score, i) => i === 0 || score <= (own[i - 1] ?? 0))).toBe(true);
    expect(tokenizer).toMatchObject({
      file: "tokenizer.json",
      spacePrefix: "each",
      addBos: true,
      addEos: false,
      bosId: 1,
      eosId: 2,
      unkId: 0,
      padId: options.pad ? 32_000 : null,
    });
    expect(tokenizer.tokens).toHaveLength(options.pad ? 32_001 : 32_000);
  });
});

it("merges every text as the merges themselves do", async () => {
  await writeTokenizer(path());
  const tokenizer = await readTokenizer(path());
  const json = JSON.parse(readFileSync(path("tokenizer.json"), "utf8"));
  // Without added tokens and prefix, what is left is the sub-word model.
  const reference = new Tokenizer({ ...json, added_tokens: [], normalizer: null, post_processor: null }, {});
  for (const text of TEXTS.map((text) => text.replaceAll(" ", "▁")))
    expect(encode(text, tokenizer), JSON.stringify(text)).toEqual(reference.encode(text).ids);
});
