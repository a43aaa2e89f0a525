/**
 * String to token ids: added tokens, normalisation, the space prefix, BOS and EOS. The only place that adds special
 * tokens; the sub-word model itself is injected.
 */
import { ScoreheadError } from "../errors.ts";
import { createMatcher, type Matcher, splitOnAddedTokens } from "./added-vocabulary.ts";
import { refuseAmbiguous } from "./derived.ts";
import { PRE_TOKENIZERS } from "./pre-tokenizer.ts";
import type { AddedToken, SubwordModel, TokenizerRules } from "./types.ts";

/** SentencePiece's visible space. */
const SPACE_MARK = "▁";

export interface EncodeOptions {
  readonly appendEos: boolean;
  readonly mayHoldEnds?: boolean;
}

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
 * a space). "none" replaces spaces in the normaliser. A byte-level tokenizer's normaliser is NFC, or nothing.
 *
 * @param text any well-formed text; special tokens written in it become their ids; empty gives BOS alone
 * @param rules the checkpoint's; the object is taken as immutable, its matchers are built once
 * @param model a SentencePiece-style one takes spaces as " " or "▁"
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
  model: SubwordModel,
  options: EncodeOptions,
): Int32Array {
  const steps = encodeSteps(text, rules, model, options);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** {@link encodeText} in steps of at most a few milliseconds, for callers that have to pause in a long text. */
export function* encodeSteps(
  text: string,
  rules: TokenizerRules,
  model: SubwordModel,
  { appendEos, mayHoldEnds = false }: EncodeOptions,
): Generator<undefined, Int32Array> {
  checkUnicode(text);
  if (rules.derived) refuseAmbiguous(text, rules);
  const body = yield* bodyIds(text, rules, model);
  const bos = rules.addBos ? required(rules.bosId, "BOS", "add_bos_token") : null;
  const eos = rules.addEos ? required(rules.eosId, "EOS", "add_eos_token") : null;
  const opening = bos !== null && !(mayHoldEnds && body[0] === bos) ? [bos] : [];
  const closing = eos !== null && !(mayHoldEnds && body.at(-1) === eos) ? [eos] : [];
  if (eos === null && appendEos) closing.push(required(rules.eosId, "EOS", "appendEos"));
  const ids = [...opening, ...body, ...closing];
  if (ids.length === 0) {
    throw new ScoreheadError(
      "ERR_ARGUMENT",
      "The text is empty and this model's tokenizer adds no BOS token, so there is nothing to score. Pass a text.",
    );
  }
  return Int32Array.from(ids);
}

/** Steps 1 to 3. */
function* bodyIds(text: string, rules: TokenizerRules, model: SubwordModel): Generator<undefined, number[]> {
  const ids: number[] = [];
  for (const part of splitText(text, rules)) {
    if (typeof part === "number") ids.push(part);
    else
      for (const piece of model.split(part)) {
        for (const id of model.encode(piece)) ids.push(id);
        yield;
      }
  }
  return ids;
}

/** Steps 1 and 2: the ids of added tokens, and texts for the sub-word model. */
function* splitText(text: string, rules: TokenizerRules): Generator<number | string> {
  const { raw, normalized } = matchersOf(rules);
  for (const outer of splitOnAddedTokens(text, raw)) {
    if (outer.id !== null) {
      yield outer.id;
      continue;
    }
    const stretch = normalize(text.slice(outer.start, outer.end), rules);
    for (const inner of splitOnAddedTokens(stretch, normalized)) {
      if (inner.id !== null) {
        yield inner.id;
        continue;
      }
      const piece = stretch.slice(inner.start, inner.end);
      const opensText = rules.spacePrefix === "first" && outer.start === 0 && inner.start === 0;
      yield opensText && !/^[ ▁]/.test(piece) ? SPACE_MARK + piece : piece;
    }
  }
}

/** The normaliser: `Prepend` and `Replace` under "each", `Replace` under "none", nothing under "first". */
function normalize(text: string, { preTokenizer, spacePrefix }: TokenizerRules): string {
  if (preTokenizer !== null) return PRE_TOKENIZERS[preTokenizer].nfc ? text.normalize("NFC") : text;
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
