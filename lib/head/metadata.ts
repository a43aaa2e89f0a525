/**
 * The score head as GGUF metadata and back. llama.cpp refuses tensors it does not know but ignores unknown keys, so the
 * head lives in keys under `scorehead.*` and the file stays loadable by every llama.cpp tool.
 */
import { ScoreheadError } from "../errors.ts";
import type { GgufMetadata, GgufValue } from "../gguf/types.ts";
import { array, malformed, required, scalar, text } from "./keys.ts";
import { networkFromMetadata, networkToMetadata } from "./network-keys.ts";
import { headKind, validateHead } from "./spec.ts";
import type {
  Gate,
  HeadKind,
  HeadSpec,
  Network,
  Normalizer,
  ReadPosition,
  ScoreType,
  TruncationSide,
} from "./types.ts";

/**
 * The version of the keys below that each kind of head came with: a file is of the oldest version that can read it. A
 * later one is refused, as it may change what a score means.
 */
const VERSION_OF: Readonly<Record<HeadKind, number>> = { linear: 1, mlp: 2, gated: 2 };

const KEY = {
  version: "scorehead.version",
  profile: "scorehead.profile",
  kind: "scorehead.head.kind",
  dims: "scorehead.head.dims",
  weight: "scorehead.head.weight",
  bias: "scorehead.head.bias",
  gatingTemperature: "scorehead.head.gating.temperature",
  gatingScale: "scorehead.head.gating.scale",
  gatingPattern: "scorehead.head.gating.pattern",
  rewardTransform: "scorehead.head.reward_transform",
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

/** What the layers' keys begin with. A gated head's network is the regression that gives its rewards. */
const NETWORK = "scorehead.head";
const GATING = "scorehead.head.gating";

/**
 * The metadata that {@link headFromMetadata} reads back, in a fixed order. `.head.bias` and `.normalizer.*` are there
 * only where the head has them; `.head.kind` only where it is not linear.
 *
 * @throws ERR_HEAD where the head is not valid
 */
export function headToMetadata(spec: HeadSpec): Map<string, GgufValue> {
  validateHead(spec);
  const { normalizer } = spec;
  const metadata = new Map<string, GgufValue>();
  metadata.set(KEY.version, { type: "u32", value: VERSION_OF[headKind(spec)] });
  metadata.set(KEY.profile, { type: "string", value: spec.profile });
  metadata.set(KEY.type, { type: "string", value: spec.type });
  metadata.set(KEY.labels, { type: "array", of: "string", value: spec.labels });
  metadata.set(KEY.dims, { type: "array", of: "u32", value: Uint32Array.of(spec.outputs, spec.hiddenSize) });
  for (const [key, value] of weightsToMetadata(spec)) metadata.set(key, value);
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

function weightsToMetadata(spec: HeadSpec): [string, GgufValue][] {
  const { network, gate } = spec;
  const kind = headKind(spec);
  if (kind === "linear") return linearToMetadata(network);
  const keys: [string, GgufValue][] = [
    [KEY.kind, { type: "string", value: kind }],
    ...networkToMetadata(NETWORK, network),
  ];
  if (gate === null) return keys;
  return [
    ...keys,
    ...networkToMetadata(GATING, gate.network),
    [KEY.gatingTemperature, { type: "f32", value: gate.temperature }],
    [KEY.gatingScale, { type: "f32", value: gate.scale }],
    [KEY.gatingPattern, { type: "array", of: "i32", value: gate.pattern }],
    [KEY.rewardTransform, { type: "array", of: "f32", value: gate.transform }],
  ];
}

function linearToMetadata({ layers }: Network): [string, GgufValue][] {
  return layers.flatMap(({ weight, bias }): [string, GgufValue][] => [
    [KEY.weight, { type: "array", of: "f32", value: weight }],
    ...(bias === null ? [] : [[KEY.bias, { type: "array", of: "f32", value: bias }] as [string, GgufValue]]),
  ]);
}

/**
 * Reads and checks the score head of a GGUF file.
 *
 * @throws ERR_NO_HEAD where the file has none; ERR_NEWER_VERSION where a newer scorehead wrote it; ERR_GGUF where a key
 *   is missing or of another type; ERR_HEAD where the numbers or words do not make a valid head
 */
export function headFromMetadata(metadata: GgufMetadata): HeadSpec {
  requireHead(metadata);
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
    outputs,
    hiddenSize,
    ...weightsFromMetadata(metadata, outputs, hiddenSize),
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

function weightsFromMetadata(
  metadata: GgufMetadata,
  outputs: number,
  hiddenSize: number,
): Pick<HeadSpec, "network" | "gate"> {
  const kind = kindOf(metadata);
  if (kind === "mlp") return { network: networkFromMetadata(metadata, NETWORK), gate: null };
  if (kind === "gated") return { network: networkFromMetadata(metadata, NETWORK), gate: gateFrom(metadata) };
  if (kind !== "linear") throw malformed(KEY.kind, `is "${kind}", which this scorehead does not know`);
  const weight = required(KEY.weight, array(metadata, KEY.weight, "f32"));
  const bias = array(metadata, KEY.bias, "f32");
  return { network: { layers: [{ outputs, inputs: hiddenSize, weight, bias }], activation: null }, gate: null };
}

function gateFrom(metadata: GgufMetadata): Gate {
  const { gatingTemperature, gatingScale, gatingPattern, rewardTransform } = KEY;
  return {
    network: networkFromMetadata(metadata, GATING),
    temperature: required(gatingTemperature, scalar(metadata, gatingTemperature, "f32")),
    scale: required(gatingScale, scalar(metadata, gatingScale, "f32")),
    transform: required(rewardTransform, array(metadata, rewardTransform, "f32")),
    pattern: required(gatingPattern, array(metadata, gatingPattern, "i32")),
  };
}

function kindOf(metadata: GgufMetadata): string {
  return scalar(metadata, KEY.kind, "string") ?? "linear";
}

/** @throws ERR_NO_HEAD, ERR_NEWER_VERSION */
export function requireHead(metadata: GgufMetadata): void {
  const version = scalar(metadata, KEY.version, "u32");
  const known = VERSION_OF[kindOf(metadata) as HeadKind] ?? Math.max(...Object.values(VERSION_OF));
  if (version !== null && version > known) {
    throw new ScoreheadError(
      "ERR_NEWER_VERSION",
      `The file's score head is of version ${version}; this scorehead reads version ${known} of such a head. ` +
        "Upgrade it: npm install scorehead@latest.",
    );
  }
  if (version === 0) throw malformed(KEY.version, "is 0, which no version is");
  if (version === null || !(metadata.has(KEY.weight) || metadata.has(KEY.kind))) {
    const missing = version === null ? KEY.version : KEY.weight;
    throw new ScoreheadError(
      "ERR_NO_HEAD",
      `The file carries no score head (it has no key ${missing}). Convert the model's checkpoint with ` +
        "`scorehead convert <checkpoint-dir> -o <file.gguf>`, or give this file a head with `--head` (option `head`) or " +
        "`scorehead attach`; other tools leave the head out.",
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
