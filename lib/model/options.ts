/** The options of the public API and their checks: nothing of the wrong type gets past this file. */
import { ScoreheadError } from "../errors.ts";
import { READ_POSITIONS, type ReadPosition, type TruncationSide } from "../head/types.ts";
import type { ConversationInput } from "../prompt/types.ts";
import { DEVICE_CHOICES, type DeviceChoice } from "../runtime/open.ts";

/** One text to score: the exact string, a conversation for the profile's template, or token ids taken as given. */
export type ScoreInput = string | ConversationInput | { readonly tokenIds: readonly number[] | Int32Array };

/** Receives llama.cpp's log. */
export type LogListener = (level: "debug" | "info" | "warn" | "error", text: string) => void;

export interface LoadOptions {
  /** Default `auto`: CUDA, then Metal, then Vulkan, then the CPU. */
  readonly device?: DeviceChoice | undefined;
  /** Computing threads, 1 to 512; default: as many as the process may use. */
  readonly threads?: number | undefined;
  /** Precision of the KV cache. `f16` (default): relative error about 1e-3; `f32`: exact attention, about 1e-6, slower. */
  readonly kv?: "f16" | "f32" | undefined;
  /** Tokens that the KV cache holds; default: the model's full length where memory allows, and at least 2048. */
  readonly context?: number | undefined;
  /** Profile to use instead of the file's own. */
  readonly profile?: string | undefined;
  /** For a checkpoint directory without tokenizer or config of its own (Starling): the base model's directory. */
  readonly tokenizer?: string | undefined;
  readonly onLog?: LogListener | undefined;
  /** Receives warnings, e.g. an assumption made while converting a checkpoint directory. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

export interface ScoreOptions {
  /** Also return every token's score. Default false. */
  readonly perToken?: boolean | undefined;
  /** Also return hidden states after the final norm: at the read position, or of all tokens. */
  readonly hiddenStates?: "end" | "all" | undefined;
  /** Cut texts to this many tokens; for the card reading also where it reads. */
  readonly maxLength?: number | undefined;
  /** The end to cut; default: the profile's. */
  readonly truncate?: TruncationSide | undefined;
  /** Where to read the score; default: the profile's. */
  readonly read?: ReadPosition | undefined;
  /** Append the EOS token, except to `tokenIds`. Default false. */
  readonly appendEos?: boolean | undefined;
  /** Stops the call between two micro-batches. */
  readonly signal?: AbortSignal | undefined;
}

type Check = (value: unknown) => string | null;

const oneOf =
  (values: readonly string[]): Check =>
  (value) =>
    values.includes(value as string) ? null : `one of ${values.map((v) => `"${v}"`).join(", ")}`;
const integer =
  (from: number, to: number): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= from && (value as number) <= to
      ? null
      : `an integer from ${from} to ${to}`;
const ofType =
  (type: "boolean" | "string" | "function"): Check =>
  (value) =>
    typeof value === type ? null : `a ${type}`;
const signal: Check = (value) => (value instanceof AbortSignal ? null : "an AbortSignal");

/** No published model is longer; a larger number is a mistake, and llama.cpp would try to allocate for it. */
const MOST_TOKENS = 1 << 24;

const LOAD_CHECKS: Readonly<Record<keyof LoadOptions, Check>> = {
  device: oneOf(DEVICE_CHOICES),
  threads: integer(1, 512),
  kv: oneOf(["f16", "f32"]),
  context: integer(1, MOST_TOKENS),
  profile: ofType("string"),
  tokenizer: ofType("string"),
  onLog: ofType("function"),
  onWarning: ofType("function"),
};

const SCORE_CHECKS: Readonly<Record<keyof ScoreOptions, Check>> = {
  perToken: ofType("boolean"),
  hiddenStates: oneOf(["end", "all"]),
  maxLength: integer(1, MOST_TOKENS),
  truncate: oneOf(["left", "right"]),
  read: oneOf(READ_POSITIONS),
  appendEos: ofType("boolean"),
  signal,
};

/** @throws ERR_ARGUMENT naming the option, what it has to be and what it was */
export function checkLoadOptions(options: unknown): LoadOptions {
  return checkOptions(options, LOAD_CHECKS) as LoadOptions;
}

/** @throws ERR_ARGUMENT naming the option, what it has to be and what it was */
export function checkScoreOptions(options: unknown): ScoreOptions {
  return checkOptions(options, SCORE_CHECKS) as ScoreOptions;
}

function checkOptions(options: unknown, checks: Readonly<Record<string, Check>>): object {
  if (options === undefined) return {};
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw new ScoreheadError("ERR_ARGUMENT", `The options have to be an object, not ${describe(options)}.`);
  for (const [name, value] of Object.entries(options)) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
    if (!check)
      throw new ScoreheadError(
        "ERR_ARGUMENT",
        `There is no option "${name}"; known: ${Object.keys(checks).join(", ")}.`,
      );
    const expected = value === undefined ? null : check(value);
    if (expected) throw new ScoreheadError("ERR_ARGUMENT", `"${name}" has to be ${expected}, not ${describe(value)}.`);
  }
  return options;
}

/** A wrong value for an error message: its text where that is short and plain, else its type. */
export function describe(value: unknown): string {
  if (value === null || value === undefined || typeof value === "number" || typeof value === "boolean")
    return String(value);
  if (typeof value === "string") return value.length <= 40 ? JSON.stringify(value) : "a longer string";
  return Array.isArray(value) ? "an array" : `a value of type ${typeof value}`;
}
