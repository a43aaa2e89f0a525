/**
 * Tokenizer rules as GGUF metadata and back. llama.cpp's keys hold what it knows; two keys of ours hold the rest: the
 * added tokens' flags and the kind of space prefix.
 */
import { ScoreheadError } from "../errors.ts";
import type { GgufMetadata, GgufValue } from "../gguf/types.ts";
import { isPreTokenizer, PRE_TOKENIZERS } from "./pre-tokenizer.ts";
import type { AddedToken, PreTokenizer, TokenizerRules } from "./types.ts";

const KEY = {
  model: "tokenizer.ggml.model",
  pre: "tokenizer.ggml.pre",
  tokens: "tokenizer.ggml.tokens",
  scores: "tokenizer.ggml.scores",
  merges: "tokenizer.ggml.merges",
  tokenType: "tokenizer.ggml.token_type",
  addBos: "tokenizer.ggml.add_bos_token",
  addEos: "tokenizer.ggml.add_eos_token",
  addSpacePrefix: "tokenizer.ggml.add_space_prefix",
  bosId: "tokenizer.ggml.bos_token_id",
  eosId: "tokenizer.ggml.eos_token_id",
  unkId: "tokenizer.ggml.unknown_token_id",
  padId: "tokenizer.ggml.padding_token_id",
  addedTokens: "scorehead.tokenizer.added_tokens",
  spacePrefix: "scorehead.tokenizer.space_prefix",
} as const;

const ID_KEYS = ["bosId", "eosId", "unkId", "padId"] as const;

/** Token types of GGUF's `tokenizer.ggml.token_type`: the three that llama.cpp looks for in a text. */
const TOKEN_TYPE = { unknown: 2, control: 3, userDefined: 4 } as const;

/** The value of `tokenizer.ggml.model` for each style. */
const MODEL = { sentencePiece: "llama", byteLevel: "gpt2" } as const;

/**
 * llama.cpp's defaults (llama-vocab.cpp), for files that leave the keys out. Its ids for byte-level tokenizers are left
 * out: they are those of one vocabulary, in which other models have any other token.
 */
const DEFAULTS = {
  sentencePiece: { bosId: 1, eosId: 2, unkId: 0, padId: null, addBos: true },
  byteLevel: { bosId: null, eosId: null, unkId: null, padId: null, addBos: false },
} as const;
/** Byte-level tokenizers that get a BOS by default there. */
const WITH_BOS: readonly PreTokenizer[] = ["llama-bpe", "tekken"];

/** Names of llama.cpp's for definitions that are here under another one. */
const ALIASES: ReadonlyMap<string, PreTokenizer> = new Map([
  ["llama3", "llama-bpe"],
  ["llama-v3", "llama-bpe"],
  ["smaug-bpe", "dbrx"],
  ["refact", "starcoder"],
  ["smollm", "starcoder"],
]);

/** An added token's flags under tokenizer.json's names; a flag that is false is left out. */
const FLAGS = [
  ["special", "special"],
  ["normalized", "normalized"],
  ["lstrip", "lstrip"],
  ["rstrip", "rstrip"],
  ["single_word", "singleWord"],
] as const;

const SPACE_PREFIXES: readonly string[] = ["each", "first", "none"] satisfies TokenizerRules["spacePrefix"][];

/**
 * The metadata that {@link tokenizerRules} reads back, in a fixed order, except the vocabulary itself
 * (`tokenizer.ggml.tokens`, `scores` or `merges`, `token_type`), which the converter writes. An absent id has no key.
 */
export function rulesToMetadata(rules: Omit<TokenizerRules, "vocabularySize">): Map<string, GgufValue> {
  const { preTokenizer } = rules;
  const metadata = new Map<string, GgufValue>([
    [KEY.model, { type: "string", value: preTokenizer === null ? MODEL.sentencePiece : MODEL.byteLevel }],
    [KEY.pre, { type: "string", value: preTokenizer ?? "default" }],
    [KEY.addBos, { type: "bool", value: rules.addBos }],
    [KEY.addEos, { type: "bool", value: rules.addEos }],
    // llama.cpp knows no "first"; it puts the prefix where our "each" does.
    [KEY.addSpacePrefix, { type: "bool", value: rules.spacePrefix !== "none" }],
  ]);
  for (const name of ID_KEYS) {
    const id = rules[name];
    if (id !== null) metadata.set(KEY[name], { type: "u32", value: id });
  }
  metadata.set(KEY.addedTokens, { type: "string", value: JSON.stringify(rules.addedTokens.map(packToken)) });
  metadata.set(KEY.spacePrefix, { type: "string", value: rules.spacePrefix });
  return metadata;
}

/**
 * Reads the rules of a GGUF file's tokenizer.
 *
 * Where our own keys are absent (a file of another tool), they are derived as llama.cpp tokenizes: control, unknown and
 * user-defined tokens are matched in the raw text, `add_space_prefix` (default true) stands for "each", and absent ids
 * and BOS/EOS settings take llama.cpp's defaults. A byte-level tokenizer is always the published one that its name stands
 * for.
 *
 * @throws ERR_GGUF where a key is missing, of another type, or holds something malformed; ERR_TOKENIZER for a tokenizer
 *   of another kind, or a byte-level one of an unknown name
 */
export function tokenizerRules(metadata: GgufMetadata): TokenizerRules {
  const preTokenizer = preTokenizerOf(metadata);
  const tokens = vocabulary(metadata, preTokenizer);
  const types = tokenTypes(metadata, tokens.length);
  const ownTokens = scalar(metadata, KEY.addedTokens, "string");
  const own = ownTokens !== null;
  const defaults = preTokenizer === null ? DEFAULTS.sentencePiece : DEFAULTS.byteLevel;
  const id = (name: (typeof ID_KEYS)[number]) => tokenId(metadata, name, tokens.length, own ? null : defaults[name]);
  return {
    vocabularySize: tokens.length,
    addedTokens: own ? unpackTokens(ownTokens, tokens.length) : tokensByType(types, tokens),
    preTokenizer,
    spacePrefix: preTokenizer === null ? spacePrefix(metadata) : "none",
    addBos: scalar(metadata, KEY.addBos, "bool") ?? (defaults.addBos || WITH_BOS.some((name) => name === preTokenizer)),
    addEos: scalar(metadata, KEY.addEos, "bool") ?? false,
    bosId: id("bosId"),
    eosId: id("eosId"),
    unkId: id("unkId"),
    padId: id("padId"),
  };
}

/** Whether a file says itself how its added tokens are matched and where its space prefix goes. */
export function hasOwnRules(metadata: GgufMetadata): boolean {
  return metadata.has(KEY.addedTokens);
}

/** The byte-level tokenizer's name; null for SentencePiece's style. */
function preTokenizerOf(metadata: GgufMetadata): PreTokenizer | null {
  const model = scalar(metadata, KEY.model, "string");
  if (model === null) throw malformed(KEY.model, "is missing: the file has no tokenizer");
  if (model === MODEL.sentencePiece) return null;
  if (model !== MODEL.byteLevel)
    throw new ScoreheadError(
      "ERR_TOKENIZER",
      `The file's tokenizer is of kind "${model}"; SentencePiece-style ones ("${MODEL.sentencePiece}") and byte-level ones ("${MODEL.byteLevel}") are supported.`,
    );
  const pre = scalar(metadata, KEY.pre, "string") ?? "default";
  const name = ALIASES.get(pre) ?? pre;
  if (isPreTokenizer(name)) return name;
  const known = [...Object.keys(PRE_TOKENIZERS), ...ALIASES.keys()].join(", ");
  throw new ScoreheadError(
    "ERR_TOKENIZER",
    `The file's byte-level tokenizer ("${MODEL.byteLevel}") has the pre-tokenizer "${pre}" (${KEY.pre}), which is not known; these are: ${known}.`,
  );
}

function vocabulary(metadata: GgufMetadata, preTokenizer: PreTokenizer | null): readonly string[] {
  const tokens = tokensOf(metadata);
  const scores = metadata.get(KEY.scores);
  if (preTokenizer !== null) mergesOf(metadata);
  // Without them llama.cpp takes every score for 0 and merges in the wrong order.
  else if (scores?.type !== "array" || scores.of !== "f32" || scores.value.length !== tokens.length)
    throw malformed(KEY.scores, `must be an array of ${tokens.length} f32, one a token`);
  return tokens;
}

/** The texts of a vocabulary by id. */
export function tokensOf(metadata: GgufMetadata): readonly string[] {
  return strings(metadata, KEY.tokens);
}

/** The merges of a byte-level vocabulary, best first. */
export function mergesOf(metadata: GgufMetadata): readonly string[] {
  return strings(metadata, KEY.merges);
}

function strings(metadata: GgufMetadata, key: string): readonly string[] {
  const found = metadata.get(key);
  if (found?.type !== "array" || found.of !== "string") throw malformed(key, "must be an array of strings");
  return found.value;
}

function spacePrefix(metadata: GgufMetadata): TokenizerRules["spacePrefix"] {
  const own = scalar(metadata, KEY.spacePrefix, "string");
  if (own === null) return (scalar(metadata, KEY.addSpacePrefix, "bool") ?? true) ? "each" : "none";
  if (!SPACE_PREFIXES.includes(own)) {
    throw malformed(KEY.spacePrefix, `is "${own}"; it must be one of ${SPACE_PREFIXES.join(", ")}`);
  }
  return own as TokenizerRules["spacePrefix"];
}

function tokenId(
  metadata: GgufMetadata,
  name: (typeof ID_KEYS)[number],
  size: number,
  fallback: number | null,
): number | null {
  const id = scalar(metadata, KEY[name], "u32");
  if (id === null) return fallback !== null && fallback < size ? fallback : null;
  if (id >= size) throw malformed(KEY[name], `is ${id}, outside the vocabulary of ${size} tokens`);
  return id;
}

function tokenTypes(metadata: GgufMetadata, size: number): Int32Array | null {
  const found = metadata.get(KEY.tokenType);
  if (found === undefined) return null;
  if (found.type === "array" && found.of === "i32" && found.value.length === size) return found.value;
  throw malformed(KEY.tokenType, `must be an i32 array of ${size} types, one for each token`);
}

/** llama.cpp's special tokens (`cache_special_tokens`): matched in the raw text, without any stripping. */
function tokensByType(types: Int32Array | null, tokens: readonly string[]): AddedToken[] {
  const wanted: readonly number[] = Object.values(TOKEN_TYPE);
  return tokens.flatMap((content, id) => {
    const type = types?.[id] ?? 0;
    if (!wanted.includes(type) || content === "") return [];
    const special = type !== TOKEN_TYPE.userDefined;
    return [{ id, content, special, normalized: false, lstrip: false, rstrip: false, singleWord: false }];
  });
}

function packToken(token: AddedToken): Record<string, unknown> {
  const set = FLAGS.filter(([, name]) => token[name]).map(([key]) => [key, true]);
  return { id: token.id, content: token.content, ...Object.fromEntries(set) };
}

function unpackTokens(json: string, size: number): AddedToken[] {
  let entries: unknown;
  try {
    entries = JSON.parse(json);
  } catch (cause) {
    throw malformed(KEY.addedTokens, "is not JSON", cause);
  }
  if (!Array.isArray(entries)) throw malformed(KEY.addedTokens, "must be a JSON array");
  const seen = new Set<string>();
  return entries.map((entry: unknown, i) => {
    const token = unpackToken(entry, `has an entry ${i}`, size);
    if (seen.has(token.content)) throw malformed(KEY.addedTokens, `has ${JSON.stringify(token.content)} twice`);
    seen.add(token.content);
    return token;
  });
}

function unpackToken(entry: unknown, where: string, size: number): AddedToken {
  if (typeof entry !== "object" || entry === null) throw malformed(KEY.addedTokens, `${where} that is not an object`);
  const { id, content, ...flags } = entry as Record<string, unknown>;
  if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= size) {
    throw malformed(KEY.addedTokens, `${where} whose id is not in the vocabulary of ${size} tokens`);
  }
  if (typeof content !== "string" || content === "") throw malformed(KEY.addedTokens, `${where} without content`);
  for (const [key, value] of Object.entries(flags)) {
    // A flag that is not known changes the ids in a way that cannot be followed.
    if (!FLAGS.some(([known]) => known === key)) throw malformed(KEY.addedTokens, `${where} with a flag "${key}"`);
    if (typeof value !== "boolean") throw malformed(KEY.addedTokens, `${where} whose "${key}" is not a boolean`);
  }
  const {
    special = false,
    normalized = false,
    lstrip = false,
    rstrip = false,
    single_word = false,
  } = flags as Record<string, boolean>;
  return { id: id as number, content, special, normalized, lstrip, rstrip, singleWord: single_word };
}

interface ScalarValue {
  bool: boolean;
  string: string;
  u32: number;
}

/** The value of a scalar key; null where it is absent. */
function scalar<T extends keyof ScalarValue>(metadata: GgufMetadata, key: string, type: T): ScalarValue[T] | null {
  const found = metadata.get(key);
  if (found === undefined) return null;
  if (found.type !== type) throw malformed(key, `is of type ${found.type} instead of ${type}`);
  return found.value as ScalarValue[T];
}

function malformed(key: string, what: string, cause?: unknown): ScoreheadError {
  return new ScoreheadError("ERR_GGUF", `The GGUF key ${key} ${what}. Convert the checkpoint again.`, cause);
}
