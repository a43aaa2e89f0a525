/** What tokenizer.json and tokenizer.model have in common once read, before the settings beside them are applied. */
import { ScoreheadError } from "../errors.ts";
import type { AddedToken, PreTokenizer } from "../tokens/types.ts";
import { isObject } from "./json.ts";
import type { CheckpointTokenizer, TokenKind } from "./types.ts";

/** The four tokens with a role, as ids; null where the tokenizer has none. */
export interface RoleIds {
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly unkId: number | null;
  readonly padId: number | null;
}

/** A tokenizer by its own file. The tokens' order is their ids'. */
export interface TokenizerDefinition {
  readonly file: CheckpointTokenizer["file"];
  readonly tokens: string[];
  /** By id as far as there are any, as {@link CheckpointTokenizer.scores}. */
  readonly scores: readonly number[];
  readonly merges: readonly string[];
  readonly kinds: TokenKind[];
  readonly addedTokens: AddedToken[];
  readonly spacePrefix: CheckpointTokenizer["spacePrefix"];
  readonly preTokenizer: PreTokenizer | null;
  /** The ids that the file itself puts before and after a text; null where it puts none. */
  readonly prefixId: number | null;
  readonly suffixId: number | null;
  /** The roles as far as the file itself gives them. */
  readonly roles: RoleIds;
}

/** Makes the error for a problem with one file; the problem is a clause without a full stop. */
export type TokenizerFail = (problem: string, cause?: unknown) => ScoreheadError;

/** ERR_TOKENIZER for the file at `path`. */
export function tokenizerFail(path: string): TokenizerFail {
  return (problem, cause) =>
    new ScoreheadError(
      "ERR_TOKENIZER",
      `${path} is not a tokenizer that scorehead can reproduce: ${problem}. It reads SentencePiece-style BPE with byte fallback and the byte-level BPE of the README's list; name another directory with \`--tokenizer <dir>\` if the checkpoint has its tokenizer elsewhere.`,
      cause,
    );
}

/** What an added token is to llama.cpp; `isUnknown` for the unknown token. */
export function addedKind({ content, special, normalized, singleWord }: AddedToken, isUnknown: boolean): TokenKind {
  if (isUnknown) return "unknown";
  // llama.cpp matches user-defined tokens in the raw text, wherever it tokenizes. But a normalised token is looked for in
  // the normalised text, and a single-word one not within a word; so both are control tokens, which llama.cpp leaves
  // alone unless told to parse them.
  if (special || normalized || singleWord) return "control";
  // Likewise one with a "▁", which llama.cpp would find where a space was. Merges may produce it, as any sub-word.
  return content.includes("▁") ? "normal" : "user";
}

/** The texts of the 256 byte tokens, in order. */
export const BYTE_TOKENS: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
);

/** Throws where one of the byte tokens is missing: without it some characters would have no tokens. */
export function requireByteTokens(ids: ReadonlyMap<string, number>, fail: TokenizerFail): void {
  const missing = BYTE_TOKENS.find((token) => !ids.has(token));
  if (missing !== undefined) throw fail(`it has byte fallback, but no token ${missing}`);
}

/** Throws where a token is not well-formed Unicode, or would not come back from llama.cpp, which ends texts at a NUL. */
export function requireUnicode(tokens: readonly string[], fail: TokenizerFail): void {
  for (const [id, token] of tokens.entries()) {
    // With the u flag, only a surrogate without its partner matches.
    if (/\p{Surrogate}/u.test(token)) throw fail(`the token ${id} holds a lone surrogate`);
    // InternLM2 has a token for the character itself.
    if (token.includes("\0") && token !== "\0") throw fail(`the token ${id}, ${JSON.stringify(token)}, holds a NUL`);
  }
}

/** A step of a tokenizer.json's pipeline as the list of its own steps; none where it is null. */
export function stepsOf(step: unknown, field: "normalizers" | "pretokenizers" | "processors"): readonly unknown[] {
  if (step === null || step === undefined) return [];
  if (isObject(step) && step.type === "Sequence" && Array.isArray(step[field])) return step[field];
  return [step];
}

/** A field's JSON, short enough for a message. */
export function brief(value: unknown): string {
  const json = JSON.stringify(value) ?? "nothing";
  return json.length <= 400 ? json : `${json.slice(0, 400)}…`;
}
