/** A loaded model and all that scoring with it needs. */
import { describe } from "../check-options.ts";
import { ScoreheadError } from "../errors.ts";
import { type Backbone, readBackbone } from "../gguf/backbone.ts";
import type { GgufFile } from "../gguf/types.ts";
import { headFromMetadata } from "../head/metadata.ts";
import { defaultLabels, validateHead } from "../head/spec.ts";
import type { HeadSpec, ScoreType } from "../head/types.ts";
import { findProfile, PROFILE_NAMES } from "../prompt/profiles.ts";
import type { Profile } from "../prompt/types.ts";
import type { ModelHandle, NativeAddon } from "../runtime/contract.ts";
import { type DeviceSelection, nativeError, openRuntime, selectDevices } from "../runtime/open.ts";
import { tokenizerRules } from "../tokens/metadata.ts";
import type { TokenizerRules } from "../tokens/types.ts";
import { Collector } from "./collector.ts";
import type { LoadOptions } from "./options.ts";
import { type Decode, Scheduler } from "./scheduler.ts";
import { chooseSizes, type Sizing } from "./sizing.ts";

export interface Engine {
  readonly addon: NativeAddon;
  readonly handle: ModelHandle;
  readonly scheduler: Scheduler;
  readonly collector: Collector;
  readonly spec: HeadSpec;
  /** null: the file names a profile that this version does not know, so it has no template. */
  readonly profile: Profile | null;
  readonly rules: TokenizerRules;
  readonly tokenText: (id: number) => string;
  readonly backbone: Backbone;
  readonly info: ModelInfo;
}

/** Facts about a loaded model. */
export interface ModelInfo {
  /** The GGUF file in use. */
  readonly path: string;
  readonly profile: string;
  readonly type: ScoreType;
  readonly labels: readonly string[];
  readonly architecture: string;
  readonly hiddenSize: number;
  /** The most tokens of a text, by the profile or the checkpoint's config. */
  readonly maxLength: number;
  /** Cells of the KV cache. */
  readonly contextTokens: number;
  /** What it runs on, e.g. `cpu` or `vulkan (llvmpipe)`. */
  readonly device: string;
  readonly threads: number;
}

/** Above the size of any context. */
const NO_CONTEXT = 2 ** 31 - 1;

/** Opens a checked GGUF file. @throws as `ScoreModel.load` */
export async function openEngine(file: GgufFile, options: LoadOptions): Promise<Engine> {
  const own = headFor(file, options.profile);
  const backbone = readBackbone(file);
  const spec = { ...own, maxLength: Math.min(own.maxLength, backbone.contextLength) };
  validateHead(spec, backbone);
  const rules = tokenizerRules(file.metadata);
  const { addon } = openRuntime();
  const selection = selectDevices(options.device ?? "auto");
  const sizing = chooseSizes(backbone, spec.maxLength, selection, options);
  const opened = await openModel(addon, file.path, backbone, spec, selection, sizing, options);
  const collector = new Collector(spec);
  const limits = { ...sizing, contextTokens: opened.contextTokens, sequences: opened.sequences };
  const decode: Decode = (batch) =>
    addon.decode(opened.handle, batch).catch((error: unknown) => {
      throw nativeError(error);
    });
  return {
    addon,
    handle: opened.handle,
    scheduler: new Scheduler(limits, decode, collector),
    collector,
    spec,
    profile: findProfile(spec.profile),
    rules,
    tokenText: tokenTexts(file),
    backbone,
    info: modelInfo(file, spec, backbone, selection, limits),
  };
}

async function openModel(
  addon: NativeAddon,
  path: string,
  { architecture, longRope }: Backbone,
  spec: HeadSpec,
  { devices }: DeviceSelection,
  sizing: Sizing,
  { mainGpu, tensorSplit }: LoadOptions,
) {
  if (mainGpu !== undefined && mainGpu >= devices.length)
    throw new ScoreheadError(
      "ERR_DEVICE",
      `"mainGpu" is ${mainGpu}, and there are ${devices.length} devices, counted from 0.`,
    );
  if (tensorSplit !== undefined && tensorSplit.length !== devices.length)
    throw new ScoreheadError(
      "ERR_DEVICE",
      `"tensorSplit" has ${tensorSplit.length} shares, and there are ${devices.length} devices.`,
    );
  try {
    return await addon.openModel({
      path,
      devices: devices.map(({ name }) => name),
      gpuLayers: sizing.gpuLayers,
      mainGpu: mainGpu ?? -1,
      tensorSplit: Float32Array.from(tensorSplit ?? []),
      // llama.cpp would take the factors for long texts where the context is long, whatever the texts are.
      overrideKeys: longRope ? [`${architecture}.rope.scaling.original_context_length`] : [],
      overrideValues: Int32Array.from(longRope ? [NO_CONTEXT] : []),
      contextTokens: sizing.contextTokens,
      batchTokens: sizing.batchTokens,
      maxOutputs: sizing.maxOutputs,
      threads: sizing.threads,
      kvF32: sizing.kv === "f32",
      headWeight: spec.weight,
      headBias: spec.bias ?? new Float32Array(0),
      headOutputs: spec.outputs,
      headHiddenSize: spec.hiddenSize,
    });
  } catch (error) {
    throw nativeError(error);
  }
}

function modelInfo(
  { path }: GgufFile,
  spec: HeadSpec,
  { architecture }: Backbone,
  { kind, devices }: DeviceSelection,
  { contextTokens, threads }: Sizing,
): ModelInfo {
  const names = devices.map(({ description }) => description).join(", ");
  const { profile, type, labels, hiddenSize, maxLength } = spec;
  const device = names ? `${kind} (${names})` : kind;
  return { path, profile, type, labels, architecture, hiddenSize, maxLength, contextTokens, device, threads };
}

/** The file's head, under another profile where the user says so: its template, type, labels, reading and truncation. */
function headFor(file: GgufFile, profileName: string | undefined): HeadSpec {
  const spec = headFromMetadata(file.metadata);
  if (profileName === undefined) return spec;
  const profile = findProfile(profileName);
  if (!profile)
    throw new ScoreheadError("ERR_ARGUMENT", `There is no profile "${profileName}"; known: ${PROFILE_NAMES}.`);
  return {
    ...spec,
    profile: profile.name,
    type: profile.type,
    labels: defaultLabels(profile.type, spec.outputs, profile.labels),
    read: profile.read,
    maxLength: profile.maxLength === null ? spec.maxLength : Math.min(profile.maxLength, spec.maxLength),
    truncationSide: profile.truncation.side,
  };
}

function tokenTexts({ metadata }: GgufFile): (id: number) => string {
  const tokens = metadata.get("tokenizer.ggml.tokens");
  const texts = tokens?.type === "array" && tokens.of === "string" ? tokens.value : [];
  return (id) => {
    const text = Number.isInteger(id) ? texts[id] : undefined;
    if (text === undefined)
      throw new ScoreheadError("ERR_TOKEN", `There is no token ${describe(id)} in the vocabulary.`);
    return text;
  };
}
