/**
 * The score head as GGUF metadata and back. llama.cpp refuses tensors it does not know but ignores unknown keys, so the
 * head lives in keys under `scorehead.*` and the file stays loadable by every llama.cpp tool.
 */
import { ScoreheadError } from "../errors.ts";
import type { GgufMetadata, GgufValue } from "../gguf/types.ts";
import { validateHead } from "./spec.ts";
import type { HeadSpec, Normalizer, ReadPosition, ScoreType, TruncationSide } from "./types.ts";

/** The version of the keys below. A reader refuses a later one: it may change what a score means. */
export const HEAD_VERSION = 1;

const KEY = {
  version: "scorehead.version",
  profile: "scorehead.profile",
  weight: "scorehead.head.weight",
  dims: "scorehead.head.dims",
  bias: "scorehead.head.bias",
  labels: "scorehead.labels",
  read: "scorehead.read",
  normalizerFunction: "scorehead.normalizer.function",
  normalizerMean: "scorehead.normalizer.mean",
  normalizerVar: "scorehead.normalizer.var",
  type: "scorehead.type",
  maxLength: "scorehead.max_length",
  truncationSide: "scorehead.truncation_side",
  repository: "scorehead.source.repository",
  revision: "scorehead.source.revision",
} as const;

/**
 * The metadata that {@link headFromMetadata} reads back, in a fixed order. `.head.bias` and `.normalizer.*` are there
 * only where the head has them.
 *
 * @throws ERR_HEAD where the head is not valid
 */
export function headToMetadata(spec: HeadSpec): Map<string, GgufValue> {
  validateHead(spec);
  const { bias, normalizer } = spec;
  const metadata = new Map<string, GgufValue>();
  metadata.set(KEY.version, { type: "u32", value: HEAD_VERSION });
  metadata.set(KEY.profile, { type: "string", value: spec.profile });
  metadata.set(KEY.type, { type: "string", value: spec.type });
  metadata.set(KEY.labels, { type: "array", of: "string", value: spec.labels });
  metadata.set(KEY.dims, { type: "array", of: "u32", value: Uint32Array.of(spec.outputs, spec.hiddenSize) });
  metadata.set(KEY.weight, { type: "array", of: "f32", value: spec.weight });
  if (bias !== null) metadata.set(KEY.bias, { type: "array", of: "f32", value: bias });
  if (normalizer !== null) {
    metadata.set(KEY.normalizerFunction, { type: "string", value: normalizer.function });
    metadata.set(KEY.normalizerMean, { type: "array", of: "f32", value: normalizer.mean });
    metadata.set(KEY.normalizerVar, { type: "array", of: "f32", value: normalizer.var });
  }
  metadata.set(KEY.read, { type: "string", value: spec.read });
  metadata.set(KEY.maxLength, { type: "u32", value: spec.maxLength });
  metadata.set(KEY.truncationSide, { type: "string", value: spec.truncationSide });
  metadata.set(KEY.repository, { type: "string", value: spec.source.repository });
  metadata.set(KEY.revision, { type: "string", value: spec.source.revision });
  return metadata;
}

/**
 * Reads and checks the score head of a GGUF file.
 *
 * @throws ERR_NO_HEAD where the file has none; ERR_NEWER_VERSION where a newer scorehead wrote it; ERR_GGUF where a key
 *   is missing or of another type; ERR_HEAD where the numbers or words do not make a valid head
 */
export function headFromMetadata(metadata: GgufMetadata): HeadSpec {
  checkVersion(metadata);
  const dims = required(KEY.dims, array(metadata, KEY.dims, "u32"));
  const [outputs, hiddenSize] = dims;
  if (dims.length !== 2 || outputs === undefined || hiddenSize === undefined) {
    throw new ScoreheadError("ERR_HEAD", `${KEY.dims} has ${dims.length} numbers instead of [outputs, hidden size].`);
  }
  const spec: HeadSpec = {
    profile: text(metadata, KEY.profile),
    // The three casts are checked by validateHead, which refuses every other word.
    type: text(metadata, KEY.type) as ScoreType,
    labels: required(KEY.labels, array(metadata, KEY.labels, "string")),
    weight: required(KEY.weight, array(metadata, KEY.weight, "f32")),
    outputs,
    hiddenSize,
    bias: array(metadata, KEY.bias, "f32"),
    normalizer: normalizerFrom(metadata),
    read: text(metadata, KEY.read) as ReadPosition,
    maxLength: required(KEY.maxLength, scalar(metadata, KEY.maxLength, "u32")),
    truncationSide: text(metadata, KEY.truncationSide) as TruncationSide,
    source: {
      repository: scalar(metadata, KEY.repository, "string") ?? "",
      revision: scalar(metadata, KEY.revision, "string") ?? "",
    },
  };
  validateHead(spec);
  return spec;
}

function checkVersion(metadata: GgufMetadata): void {
  const version = scalar(metadata, KEY.version, "u32");
  if (version !== null && version > HEAD_VERSION) {
    throw new ScoreheadError(
      "ERR_NEWER_VERSION",
      `The file's score head is of version ${version}; this scorehead reads version ${HEAD_VERSION}. ` +
        "Upgrade it: npm install scorehead@latest.",
    );
  }
  if (version === 0) throw malformed(KEY.version, "is 0, which no version is");
  if (version === null || !metadata.has(KEY.weight)) {
    const missing = version === null ? KEY.version : KEY.weight;
    throw new ScoreheadError(
      "ERR_NO_HEAD",
      `The file carries no score head (it has no key ${missing}). Convert the model's checkpoint with ` +
        "`scorehead convert <checkpoint-dir> -o <file.gguf>`; other tools leave the head out.",
    );
  }
}

function normalizerFrom(metadata: GgufMetadata): Normalizer | null {
  const { normalizerFunction, normalizerMean, normalizerVar } = KEY;
  if (![normalizerFunction, normalizerMean, normalizerVar].some((key) => metadata.has(key))) return null;
  return {
    // validateHead refuses every other word.
    function: text(metadata, normalizerFunction) as Normalizer["function"],
    mean: required(normalizerMean, array(metadata, normalizerMean, "f32")),
    var: required(normalizerVar, array(metadata, normalizerVar, "f32")),
  };
}

interface ScalarValue {
  string: string;
  u32: number;
}

interface ArrayValue {
  string: readonly string[];
  u32: Uint32Array;
  f32: Float32Array;
}

/** The value of a scalar key; null where it is absent. */
function scalar<T extends keyof ScalarValue>(metadata: GgufMetadata, key: string, type: T): ScalarValue[T] | null {
  const found = metadata.get(key);
  if (found === undefined) return null;
  if (found.type !== type) throw malformed(key, `is of type ${found.type} instead of ${type}`);
  return found.value as ScalarValue[T];
}

/** The value of an array key; null where it is absent. */
function array<T extends keyof ArrayValue>(metadata: GgufMetadata, key: string, of: T): ArrayValue[T] | null {
  const found = metadata.get(key);
  if (found === undefined) return null;
  if (found.type !== "array") throw malformed(key, `is of type ${found.type} instead of an array of ${of}`);
  if (found.of !== of) throw malformed(key, `is an array of ${found.of} instead of ${of}`);
  return found.value as ArrayValue[T];
}

function text(metadata: GgufMetadata, key: string): string {
  return required(key, scalar(metadata, key, "string"));
}

function required<T>(key: string, value: T | null): T {
  if (value === null) throw malformed(key, "is missing");
  return value;
}

function malformed(key: string, what: string): ScoreheadError {
  return new ScoreheadError("ERR_GGUF", `The GGUF key ${key} ${what}. Convert the checkpoint again.`);
}
