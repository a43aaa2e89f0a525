/** A loaded model and all that scoring with it needs. */
import type { Scorable } from "../attach/scorable.ts";
import { describe } from "../check-options.ts";
import { ScoreheadError } from "../errors.ts";
import type { Backbone } from "../gguf/backbone.ts";
import type { GgufFile } from "../gguf/types.ts";
import { readToken } from "../head/read-position.ts";
import { defaultLabels, loadedHead } from "../head/spec.ts";
import type { HeadKind, HeadSpec, LoadedHead, Network, ScoreType } from "../head/types.ts";
import { ChatTemplate } from "../prompt/chat-template.ts";
import { findProfile, PROFILE_NAMES, scoreType } from "../prompt/profiles.ts";
import type { Profile } from "../prompt/types.ts";
import type { ModelHandle, NativeAddon, NativeNetwork } from "../runtime/contract.ts";
import { type DeviceSelection, nativeError, openRuntime, selectDevices } from "../runtime/open.ts";
import { subwordModel } from "../tokens/subword-model.ts";
import type { SubwordModel, TokenizerRules } from "../tokens/types.ts";
import { type Acceleration, chooseAcceleration } from "./acceleration.ts";
import { Collector } from "./collector.ts";
import type { LoadOptions } from "./options.ts";
import { type Decode, Scheduler } from "./scheduler.ts";
import { chooseSizes, type Sizing } from "./sizing.ts";

export interface Engine {
  readonly addon: NativeAddon;
  readonly handle: ModelHandle;
  readonly scheduler: Scheduler;
  readonly collector: Collector;
  readonly spec: LoadedHead;
  /** null: the file names a profile that this version does not know, so it has no template. */
  readonly profile: Profile | null;
  /** null: the file has none. */
  readonly chatTemplate: ChatTemplate | null;
  readonly rules: TokenizerRules;
  readonly subwords: SubwordModel;
  readonly tokenText: (id: number) => string;
  readonly backbone: Backbone;
  /** What scorehead's own kernels have computed. */
  readonly accel: () => AccelStats | null;
  readonly info: ModelInfo;
}

export interface AccelStats {
  /** The kernels in use, e.g. "avx512-vnni". */
  readonly kernels: string;
  /** Products with weight matrices, and attentions, one a layer and micro-batch. */
  readonly products: number;
  readonly attentions: number;
}

/** Facts about a loaded model. */
export interface ModelInfo {
  /** The GGUF file in use. */
  readonly path: string;
  readonly profile: string;
  readonly type: ScoreType;
  /** `gated`: the first output is the score, and the others are the rewards that it is mixed from. */
  readonly kind: HeadKind;
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

/** Opens a checked GGUF file with its head. @throws as `ScoreModel.load` */
export async function openEngine(scorable: Scorable, options: LoadOptions): Promise<Engine> {
  const { file, backbone, tokenizer } = scorable;
  const { rules } = tokenizer;
  const head = headFor(scorable, options.profile);
  checkReadToken(head, rules);
  const spec = loadedHead(head);
  const { addon, accelerator } = openRuntime();
  const selection = selectDevices(options.device ?? "auto");
  const acceleration = chooseAcceleration(options.accel, selection, accelerator, file.tensors);
  const sizing = chooseSizes(backbone, spec.maxLength, selection, options);
  const opened = await openModel(addon, file.path, backbone, head, selection, sizing, acceleration, options);
  const collector = new Collector(spec);
  const limits = { ...sizing, contextTokens: opened.contextTokens, sequences: opened.sequences };
  const work = { products: 0, attentions: 0 };
  const decode: Decode = async (batch) => {
    const result = await addon.decode(opened.handle, batch).catch((error: unknown) => {
      throw nativeError(error);
    });
    work.products += result.products;
    work.attentions += result.attentions;
    return result;
  };
  return {
    addon,
    handle: opened.handle,
    scheduler: new Scheduler(limits, decode, collector),
    collector,
    spec,
    profile: findProfile(spec.profile),
    chatTemplate: chatTemplate(file),
    rules,
    subwords: subwordModel(tokenizer.metadata, rules, (piece) => {
      try {
        return addon.tokenize(opened.handle, piece);
      } catch (error) {
        throw nativeError(error);
      }
    }),
    tokenText: tokenTexts(file),
    backbone,
    accel: () => (acceleration.kernels === null ? null : { kernels: acceleration.kernels, ...work }),
    info: modelInfo(file, spec, backbone, selection, limits),
  };
}

async function openModel(
  addon: NativeAddon,
  path: string,
  { architecture, longRope }: Backbone,
  head: HeadSpec,
  { devices }: DeviceSelection,
  sizing: Sizing,
  { kernels }: Acceleration,
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
      accel: kernels !== null,
      kvF32: sizing.kv === "f32",
      head: nativeNetwork(head.network),
      gate: nativeNetwork(head.gate?.network ?? null),
    });
  } catch (error) {
    throw nativeError(error);
  }
}

/** A network as the addon takes it; null: without layers. */
export function nativeNetwork(network: Network | null): NativeNetwork {
  const layers = network?.layers.map((layer) => ({ ...layer, bias: layer.bias ?? new Float32Array(0) })) ?? [];
  return { layers, activation: network?.activation ?? "relu" };
}

function modelInfo(
  { path }: GgufFile,
  spec: LoadedHead,
  { architecture }: Backbone,
  selection: DeviceSelection,
  { contextTokens, threads }: Sizing,
): ModelInfo {
  const names = selection.devices.map(({ description }) => description).join(", ");
  const { profile, type, kind, labels, hiddenSize, maxLength } = spec;
  const device = names ? `${selection.kind} (${names})` : selection.kind;
  return { path, profile, type, kind, labels, architecture, hiddenSize, maxLength, contextTokens, device, threads };
}

/**
 * The file's head, under another profile where the user says so: its template, type, labels, reading and truncation. A
 * head that is attached was read under that profile.
 */
function headFor({ head, backbone, isAttached }: Scorable, profileName: string | undefined): HeadSpec {
  const spec = { ...head, maxLength: Math.min(head.maxLength, backbone.contextLength) };
  if (profileName === undefined || isAttached) return spec;
  const profile = findProfile(profileName);
  if (!profile)
    throw new ScoreheadError("ERR_ARGUMENT", `There is no profile "${profileName}"; known: ${PROFILE_NAMES}.`);
  const type = scoreType(profile, spec.outputs);
  const keepsLabels = type === spec.type && profile.labels === null;
  const labels = (): readonly string[] => defaultLabels(type, spec.outputs, profile.labels);
  return {
    ...spec,
    profile: profile.name,
    // What a gated head's outputs are follows from its gate.
    ...(spec.gate === null && { type, labels: keepsLabels ? spec.labels : labels() }),
    read: profile.read,
    maxLength: profile.maxLength === null ? spec.maxLength : Math.min(profile.maxLength, spec.maxLength),
    truncationSide: profile.truncation.side,
  };
}

function checkReadToken({ read }: HeadSpec, { vocabularySize }: TokenizerRules): void {
  const token = readToken(read);
  if (token === null || token < vocabularySize) return;
  throw new ScoreheadError(
    "ERR_HEAD",
    `The score is read at token ${token}, and the vocabulary has ${vocabularySize} tokens. Choose another profile.`,
  );
}

function chatTemplate({ metadata }: GgufFile): ChatTemplate | null {
  const source = metadata.get("tokenizer.chat_template");
  return source?.type === "string" ? new ChatTemplate(source.value) : null;
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
