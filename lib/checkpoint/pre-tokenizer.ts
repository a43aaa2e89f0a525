/**
 * The byte-level tokenizers that are known, each by its definition in tokenizer.json: normaliser, pre-tokenizer and
 * `ignore_merges` together. A definition is recognised exactly; what a name does is in lib/tokens/pre-tokenizer.ts.
 */
import { isDeepStrictEqual } from "node:util";
import type { PreTokenizer } from "../tokens/types.ts";
import { isObject } from "./json.ts";
import { brief, stepsOf, type TokenizerFail } from "./tokenizer-definition.ts";

/** A tokenizer's preparation of texts, in a form that can be compared. */
interface Definition {
  readonly normalizer: "NFC" | null;
  /** Regular expressions of `Split`, and the names of other steps. */
  readonly steps: readonly string[];
  readonly ignoreMerges: boolean;
}

/** Splits by a regular expression of its own and only then turns to bytes, as `Split` and `ByteLevel` do together. */
const BYTES = "ByteLevel";
/** Splits by GPT-2's expression too. */
const GPT2_BYTES = "ByteLevel with use_regex";
const DIGITS = "Digits";

const CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const WHITE = String.raw`\s*[\r\n]+|\s+(?!\S)|\s+`;
const cl100k = (digits: string): string =>
  String.raw`${CONTRACTION}|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|${WHITE}`;
const LLAMA3 = cl100k(String.raw`\p{N}{1,3}`);
const QWEN2 = cl100k(String.raw`\p{N}`);
const o200k = (contraction: string, digits: string): string => {
  const upper = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`;
  const lower = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`;
  const before = String.raw`[^\r\n\p{L}\p{N}]?`;
  const words = `${before}${upper}*${lower}+${contraction}|${before}${upper}+${lower}*${contraction}`;
  return String.raw`${words}|${digits}| ?[^\s\p{L}\p{N}]+[\r\n/]*|${WHITE}`;
};

/** Under llama.cpp's names. Where it has several for one definition, the first model's. */
const KNOWN: Readonly<Record<PreTokenizer, Definition>> = {
  // Llama 3
  "llama-bpe": { normalizer: null, steps: [LLAMA3, BYTES], ignoreMerges: true },
  // OLMo 2, Phi-4
  dbrx: { normalizer: null, steps: [LLAMA3, BYTES], ignoreMerges: false },
  // Qwen 1.5, 2, 2.5 and 3
  qwen2: { normalizer: "NFC", steps: [QWEN2, BYTES], ignoreMerges: false },
  "deepseek-r1-qwen": { normalizer: null, steps: [QWEN2, BYTES], ignoreMerges: false },
  // Mistral Nemo
  tekken: { normalizer: null, steps: [o200k("", String.raw`\p{N}`), BYTES], ignoreMerges: true },
  "gpt-4o": {
    normalizer: null,
    steps: [o200k(`${CONTRACTION}?`, String.raw`\p{N}{1,3}`), BYTES],
    ignoreMerges: false,
  },
  "gpt-2": { normalizer: null, steps: [GPT2_BYTES], ignoreMerges: false },
  olmo: { normalizer: "NFC", steps: [GPT2_BYTES], ignoreMerges: false },
  // Granite 3, StarCoder 2, SmolLM
  starcoder: { normalizer: null, steps: [DIGITS, GPT2_BYTES], ignoreMerges: false },
  "command-r": { normalizer: "NFC", steps: [DIGITS, GPT2_BYTES], ignoreMerges: false },
};

/** Whether a tokenizer.json's pre-tokenizer turns text to bytes. */
export function isByteLevel(preTokenizer: unknown): boolean {
  return stepsOf(preTokenizer, "pretokenizers").some((step) => isObject(step) && step.type === "ByteLevel");
}

/** The name of a byte-level tokenizer. @throws naming what is unknown about it */
export function preTokenizerOf(
  normalizer: unknown,
  preTokenizer: unknown,
  ignoreMerges: boolean,
  fail: TokenizerFail,
): PreTokenizer {
  const normalizers = stepsOf(normalizer, "normalizers");
  const isNfc = isDeepStrictEqual(normalizers, [{ type: "NFC" }]);
  if (!isNfc && normalizers.length > 0) throw fail(`normalizer is unknown: ${brief(normalizer)}`);
  const steps = stepsOf(preTokenizer, "pretokenizers").map((step) => {
    const known = stepOf(step);
    if (known === null) throw fail(`pre_tokenizer has an unknown step: ${brief(step)}`);
    return known;
  });
  const names = Object.keys(KNOWN) as PreTokenizer[];
  const sameSteps = names.filter((name) => isDeepStrictEqual(KNOWN[name].steps, steps));
  if (sameSteps.length === 0) throw fail(`pre_tokenizer is unknown: ${brief(preTokenizer)}`);
  const found = { normalizer: isNfc ? "NFC" : null, ignoreMerges };
  const name = sameSteps.find((known) => {
    const { steps: _, ...rest } = KNOWN[known];
    return isDeepStrictEqual(rest, found);
  });
  if (name === undefined)
    throw fail(
      `its pre_tokenizer is that of ${sameSteps.join(", ")}, but not together with the normalizer ${found.normalizer} and model.ignore_merges ${ignoreMerges}`,
    );
  return name;
}

/** A pre-tokenizer's step in comparable form; null for one that is not understood. */
function stepOf(step: unknown): string | null {
  if (!isObject(step)) return null;
  const { type, ...fields } = step;
  if (type === "Digits" && isDeepStrictEqual(fields, { individual_digits: true })) return DIGITS;
  if (type === "ByteLevel") {
    // Offsets are nothing to ids.
    const { trim_offsets: _, use_regex: useRegex = true, ...rest } = fields;
    if (!isDeepStrictEqual(rest, { add_prefix_space: false }) || typeof useRegex !== "boolean") return null;
    return useRegex ? GPT2_BYTES : BYTES;
  }
  if (type === "Split") {
    const { pattern, ...rest } = fields;
    const isIsolated = isDeepStrictEqual(rest, { behavior: "Isolated", invert: false });
    // Keeps the matches alone, which is the same for expressions that match everything, as the known ones do.
    const isKept = isDeepStrictEqual(rest, { behavior: "Removed", invert: true });
    if (!isObject(pattern) || typeof pattern.Regex !== "string" || !(isIsolated || isKept)) return null;
    return pattern.Regex;
  }
  return null;
}
