/** The options of the public API and their checks: nothing of the wrong type gets past this file. */
import { HEAD_CHECKS } from "../attach/attach.ts";
import { abortSignal, type Check, checkOptions, integer, ofType, oneOf } from "../check-options.ts";
import type { ScoreheadError } from "../errors.ts";
import type { ReadPosition, ScoreType, TruncationSide } from "../head/types.ts";
import type { ConversationInput, Message } from "../prompt/types.ts";
import { DEVICE_CHOICES, type DeviceChoice } from "../runtime/open.ts";
import { SOURCE_CHECKS } from "../source/convert.ts";
import type { SourceOptions } from "../source/types.ts";
import { ACCEL_CHOICES, type AccelChoice } from "./acceleration.ts";
import type { Weights } from "./rank.ts";

/** One text to score: the exact string, a conversation for the profile's template, or token ids taken as given. */
export type ScoreInput = string | ConversationInput | { readonly tokenIds: readonly number[] | Int32Array };

/**
 * An input of a stream. An error in the place of an input, such as that of a line that could not be read, comes back in
 * its place.
 */
export type StreamInput = ScoreInput | ScoreheadError;

/** A prompt, or messages that end with a user turn, and the answers to rank; or an error, which comes back. */
export type RankInput =
  | { readonly prompt: string; readonly responses: readonly string[] }
  | { readonly messages: readonly Message[]; readonly responses: readonly string[] }
  | ScoreheadError;

/** Receives llama.cpp's log. */
export type LogListener = (level: "debug" | "info" | "warn" | "error", text: string) => void;

export interface LoadOptions extends SourceOptions {
  /** Default `auto`: CUDA, then Metal, then Vulkan, then the CPU. */
  readonly device?: DeviceChoice | undefined;
  /** Computing threads, 1 to 512; default: as many as the process may use. */
  readonly threads?: number | undefined;
  /** Precision of the KV cache. `f16` (default): relative error about 1e-3; `f32`: exact attention, about 1e-6, slower. */
  readonly kv?: "f16" | "f32" | undefined;
  /**
   * `auto` (default): compute with scorehead's own kernels where they help, which is on CPUs with AVX2 or better; `off`: with
   * llama.cpp's alone.
   */
  readonly accel?: AccelChoice | undefined;
  /** Tokens that the KV cache holds; default: the model's full length where memory allows, and at least 2048. */
  readonly context?: number | undefined;
  /** Layers to keep on the GPU, -1 for all; default: as many as fit its memory. */
  readonly gpuLayers?: number | undefined;
  /** Use this one of several GPUs, counted from 0; default: all of them, by layers. */
  readonly mainGpu?: number | undefined;
  /** Shares of the model for each of several GPUs, e.g. [3, 1]; default: by their free memory. */
  readonly tensorSplit?: readonly number[] | undefined;
  /** For a .gguf: a head to score with, as a safetensors file or a directory that holds it; the file stays as it is. */
  readonly head?: string | undefined;
  /** Of such a head, or of a file's own classifier: what its scores mean. Default: as the profile or the outputs say. */
  readonly type?: ScoreType | undefined;
  /** Likewise: the outputs' names. */
  readonly labels?: readonly string[] | undefined;
  readonly onLog?: LogListener | undefined;
}

/** What {@link LoadOptions} of the same names would do. */
export type DoctorOptions = Pick<
  LoadOptions,
  "device" | "kv" | "context" | "accel" | "tokenizer" | "offline" | "onWarning" | "signal"
>;

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
  /** Called when texts are done; `done` of `total`. */
  readonly onProgress?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined;
}

export interface RankOptions extends Omit<ScoreOptions, "perToken" | "hiddenStates"> {
  /** How several outputs count: a weight each in order, or by label (others count 0). */
  readonly weights?: Weights | undefined;
}

/** How many inputs a stream has is not known before its end, so there is no progress to tell. */
export type StreamOptions = Omit<ScoreOptions, "onProgress">;
export type RankStreamOptions = Omit<RankOptions, "onProgress">;

/** No published model is longer; a larger number is a mistake, and llama.cpp would try to allocate for it. */
const MOST_TOKENS = 1 << 24;

const shares: Check = (value) => {
  const fits = Array.isArray(value) && value.length > 0 && value.every((share) => Number.isFinite(share) && share >= 0);
  return fits && value.some((share) => share > 0) ? null : "an array of shares, at least one above 0";
};

const LOAD_CHECKS: Readonly<Record<keyof LoadOptions, Check>> = {
  device: oneOf(DEVICE_CHOICES),
  threads: integer(1, 512),
  kv: oneOf(["f16", "f32"]),
  accel: oneOf(ACCEL_CHOICES),
  context: integer(1, MOST_TOKENS),
  gpuLayers: integer(-1, 10_000),
  mainGpu: integer(0, 255),
  tensorSplit: shares,
  head: HEAD_CHECKS.head,
  type: HEAD_CHECKS.type,
  labels: HEAD_CHECKS.labels,
  onLog: ofType("function"),
  ...SOURCE_CHECKS,
};

const DOCTOR_CHECKS: Readonly<Record<keyof DoctorOptions, Check>> = {
  device: LOAD_CHECKS.device,
  kv: LOAD_CHECKS.kv,
  accel: LOAD_CHECKS.accel,
  context: LOAD_CHECKS.context,
  tokenizer: LOAD_CHECKS.tokenizer,
  offline: LOAD_CHECKS.offline,
  onWarning: LOAD_CHECKS.onWarning,
  signal: LOAD_CHECKS.signal,
};

const SCORE_CHECKS: Readonly<Record<keyof ScoreOptions, Check>> = {
  perToken: ofType("boolean"),
  hiddenStates: oneOf(["end", "all"]),
  maxLength: integer(1, MOST_TOKENS),
  truncate: oneOf(["left", "right"]),
  read: HEAD_CHECKS.read,
  appendEos: ofType("boolean"),
  signal: abortSignal,
  onProgress: ofType("function"),
};

const { onProgress, ...STREAM_CHECKS } = SCORE_CHECKS;
const { perToken: _, hiddenStates: __, ...RANK_STREAM_CHECKS } = { ...STREAM_CHECKS, weights: () => null };

/** @throws ERR_ARGUMENT */
export function checkLoadOptions(options: unknown): LoadOptions {
  return checkOptions<LoadOptions>(options, LOAD_CHECKS);
}

/** @throws ERR_ARGUMENT */
export function checkScoreOptions(options: unknown): ScoreOptions {
  return checkOptions<ScoreOptions>(options, SCORE_CHECKS);
}

/** `weights` are checked against the model's labels. @throws ERR_ARGUMENT */
export function checkRankOptions(options: unknown): RankOptions {
  return checkOptions<RankOptions>(options, { ...RANK_STREAM_CHECKS, onProgress });
}

/** @throws ERR_ARGUMENT */
export function checkStreamOptions(options: unknown): StreamOptions {
  return checkOptions<StreamOptions>(options, STREAM_CHECKS);
}

/** `weights` are checked against the model's labels. @throws ERR_ARGUMENT */
export function checkRankStreamOptions(options: unknown): RankStreamOptions {
  return checkOptions<RankStreamOptions>(options, RANK_STREAM_CHECKS);
}

/** @throws ERR_ARGUMENT */
export function checkDoctorOptions(options: unknown): DoctorOptions {
  return checkOptions<DoctorOptions>(options, DOCTOR_CHECKS);
}
