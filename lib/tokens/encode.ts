/**
 * String to token ids: added tokens, the space prefix, BOS and EOS. The only place that adds special tokens; the
 * sub-word model itself is injected.
 */
import { ScoreheadError } from "../errors.ts";
import { createMatcher, type Matcher, splitOnAddedTokens } from "./added-vocabulary.ts";
import { refuseAmbiguous } from "./derived.ts";
import type { AddedToken, EncodePiece, TokenizerRules } from "./types.ts";

/** SentencePiece's visible space. */
const SPACE_MARK = "▁";

/**
 * Turns a text into token ids exactly as Hugging Face tokenizers does for the same tokenizer.json.
 *
 * 1. Added tokens with `normalized: false` are split off the raw text.
 * 2. Each stretch between them is normalised, and split on the other added tokens, whose contents are normalised alike
 *    (so under space prefix "each" a normalised `</s>` is found as `▁</s>`: at the start of a stretch or after a space).
 * 3. The sub-word model encodes what is left.
 *
 * The space prefix is the normaliser's under "each" (every stretch of step 2 gets one, even after a space) and the
 * pre-tokenizer's under "first" (Metaspace: the part of step 3 at the text's beginning gets one unless it starts with
 * a space). "none" replaces spaces in the normaliser.
 *
 * @param text any well-formed text; special tokens written in it become their ids; empty gives BOS alone
 * @param rules the checkpoint's; the object is taken as immutable, its matchers are built once
 * @param encodePiece the sub-word model; takes spaces as " " or "▁"
 * @param options.appendEos ends the sequence with the EOS id: after a `</s>` written in the text too, but not a
 *   second time where the tokenizer adds one itself
 * @param options.mayHoldEnds the text is a rendered chat template: a BOS that it begins with, and an EOS that it ends
 *   with, are not added by the tokenizer a second time
 * @returns the ids in text order, at least one
 * @throws ERR_TEXT for a lone surrogate; ERR_TOKENIZER where BOS or EOS is to be added and the tokenizer has none, or
 *   where derived rules leave open what the text's ids are;
 *   ERR_ARGUMENT for an empty text where the tokenizer adds nothing
 */
export function encodeText(
  text: string,
  rules: TokenizerRules,
  encodePiece: EncodePiece,
  { appendEos, mayHoldEnds = false }: { readonly appendEos: boolean; readonly mayHoldEnds?: boolean },
): Int32Array {
  checkUnicode(text);
  if (rules.derived) refuseAmbiguous(text, rules);
  const parts: ArrayLike<number>[] = [];
  encodeBody(text, rules, encodePiece, parts);
  const bos = rules.addBos ? required(rules.bosId, "BOS", "add_bos_token") : null;
  if (bos !== null && !(mayHoldEnds && parts.find(({ length }) => length > 0)?.[0] === bos)) parts.unshift([bos]);
  const eos = rules.addEos ? required(rules.eosId, "EOS", "add_eos_token") : null;
  if (eos !== null && !(mayHoldEnds && lastOf(parts) === eos)) parts.push([eos]);
  else if (eos === null && appendEos) parts.push([required(rules.eosId, "EOS", "appendEos")]);
  const ids = concatenate(parts);
  if (ids.length === 0) {
    throw new ScoreheadError(
      "ERR_ARGUMENT",
      "The text is empty and this model's tokenizer adds no BOS token, so there is nothing to score. Pass a text.",
    );
  }
  return ids;
}

/** Steps 1 to 3, appended to `parts`. */
function encodeBody(text: string, rules: TokenizerRules, encodePiece: EncodePiece, parts: ArrayLike<number>[]): void {
  const { raw, normalized } = matchersOf(rules);
  for (const outer of splitOnAddedTokens(text, raw)) {
    if (outer.id !== null) {
      parts.push([outer.id]);
      continue;
    }
    const stretch = normalize(text.slice(outer.start, outer.end), rules);
    for (const inner of splitOnAddedTokens(stretch, normalized)) {
      if (inner.id !== null) {
        parts.push([inner.id]);
        continue;
      }
      const piece = stretch.slice(inner.start, inner.end);
      const opensText = rules.spacePrefix === "first" && outer.start === 0 && inner.start === 0;
      parts.push(encodePiece(opensText && !/^[ ▁]/.test(piece) ? SPACE_MARK + piece : piece));
    }
  }
}

/** The normaliser: `Prepend` and `Replace` under "each", `Replace` under "none", nothing under "first". */
function normalize(text: string, { spacePrefix }: TokenizerRules): string {
  if (spacePrefix === "first") return text;
  const spaced = text.replaceAll(" ", SPACE_MARK);
  return spacePrefix === "each" ? SPACE_MARK + spaced : spaced;
}

interface Matchers {
  readonly raw: Matcher;
  readonly normalized: Matcher;
}

const MATCHERS = new WeakMap<TokenizerRules, Matchers>();

function matchersOf(rules: TokenizerRules): Matchers {
  let matchers = MATCHERS.get(rules);
  if (matchers === undefined) {
    const only = (normalized: boolean): AddedToken[] => rules.addedTokens.filter((t) => t.normalized === normalized);
    matchers = {
      raw: createMatcher(only(false), (content) => content),
      normalized: createMatcher(only(true), (content) => normalize(content, rules)),
    };
    MATCHERS.set(rules, matchers);
  }
  return matchers;
}

function checkUnicode(text: string): void {
  const at = text.search(/\p{Surrogate}/u); // with the u flag only a surrogate without its partner
  if (at >= 0) {
    throw new ScoreheadError(
      "ERR_TEXT",
      `The text has a lone surrogate at index ${at}: it is not Unicode text. Repair it, e.g. with toWellFormed().`,
    );
  }
}

function required(id: number | null, what: "BOS" | "EOS", asker: string): number {
  if (id !== null) return id;
  throw new ScoreheadError(
    "ERR_TOKENIZER",
    `${asker} asks for ${what === "BOS" ? "a BOS token at the start" : "an EOS token at the end"} of the text, but ` +
      `this model's tokenizer has no ${what} token.`,
  );
}

function lastOf(parts: readonly ArrayLike<number>[]): number | undefined {
  const part = parts.findLast(({ length }) => length > 0);
  return part?.[part.length - 1];
}

function concatenate(parts: readonly ArrayLike<number>[]): Int32Array {
  const ids = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    ids.set(part, at);
    at += part.length;
  }
  return ids;
}
