/** The tokenizer keys of GGUF files that llama.cpp's convert_hf_to_gguf.py makes, and files that have them. */
import { fileURLToPath } from "node:url";
import { readGguf } from "../../lib/gguf/read.ts";
import type { GgufValue } from "../../lib/gguf/types.ts";
import type { FamilyFiles } from "../fixtures/families.ts";
import type { JsonToken } from "../fixtures/tokenizer-json.ts";
import type { VocabularyName } from "../fixtures/vocabulary.ts";
import { type Changes, rewriteGguf } from "../model/rewrite.ts";

export type Keys = ReadonlyMap<string, GgufValue>;

const NORMAL = 1;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;

/** The keys of a file that llama.cpp's own converter has made: a published vocabulary. */
export async function bundledKeys(name: VocabularyName): Promise<Keys> {
  const url = new URL(`../../native/vendor/models/ggml-vocab-${name}.gguf`, import.meta.url);
  const { metadata } = await readGguf(fileURLToPath(url));
  return new Map([...metadata].filter(([key]) => key.startsWith("tokenizer.")));
}

/**
 * A byte-level tokenizer's keys, from its files, as that converter writes them.
 * @param pre what it calls the tokenizer
 * @param rows of the embedding: those without a token get one that is unused
 */
export function byteLevelKeys({ json, config }: Pick<FamilyFiles, "json" | "config">, pre: string, rows: number): Keys {
  const {
    model,
    added_tokens: added,
    post_processor: post,
  } = JSON.parse(json) as {
    model: { vocab: Record<string, number>; merges: string[] };
    added_tokens: JsonToken[];
    post_processor: { processors?: { type: string; single?: { SpecialToken?: { id: string } }[] }[] };
  };
  const tokens = Array.from({ length: rows }, (_, id) => `[PAD${id}]`);
  const types = new Int32Array(rows).fill(UNUSED);
  for (const [token, id] of Object.entries(model.vocab)) {
    tokens[id] = token;
    types[id] = NORMAL;
  }
  for (const { id, content, special } of added) {
    tokens[id] = content;
    types[id] = special ? CONTROL : USER_DEFINED;
  }
  const idOf = (name: string): [string, GgufValue][] => {
    const token = added.find(({ content }) => content === config[`${name}_token`]);
    const key = name === "pad" ? "padding" : name;
    return token ? [[`tokenizer.ggml.${key}_token_id`, { type: "u32", value: token.id }]] : [];
  };
  const template = post.processors?.find(({ type }) => type === "TemplateProcessing")?.single;
  const addBos = template?.[0]?.SpecialToken ? true : config.add_bos_token;
  return new Map<string, GgufValue>([
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.pre", { type: "string", value: pre }],
    ["tokenizer.ggml.tokens", { type: "array", of: "string", value: tokens }],
    ["tokenizer.ggml.token_type", { type: "array", of: "i32", value: types }],
    ["tokenizer.ggml.merges", { type: "array", of: "string", value: model.merges }],
    ...["bos", "eos", "pad"].flatMap(idOf),
    ...(typeof addBos === "boolean"
      ? [["tokenizer.ggml.add_bos_token", { type: "bool", value: addBos }] as [string, GgufValue]]
      : []),
    ...(typeof config.chat_template === "string"
      ? [["tokenizer.chat_template", { type: "string", value: config.chat_template }] as [string, GgufValue]]
      : []),
  ]);
}

/** Writes a file's copy with another tool's tokenizer keys, and none of ours. */
export async function writeForeign(
  input: string,
  output: string,
  keys: Keys,
  changes: Pick<Changes, "metadata" | "added"> = {},
): Promise<string> {
  await rewriteGguf(input, output, {
    ...changes,
    metadata: (metadata) => {
      for (const key of [...metadata.keys()]) if (/^(tokenizer|scorehead)\./.test(key)) metadata.delete(key);
      for (const [key, value] of keys) metadata.set(key, value);
      changes.metadata?.(metadata);
    },
  });
  return output;
}
