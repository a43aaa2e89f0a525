/** What converting a checkpoint will do: every tensor accounted for, every key decided, nothing read but the head. */
import type { Architecture } from "../architectures/types.ts";
import type { Checkpoint, CheckpointTensor, CheckpointTokenizer, JsonObject } from "../checkpoint/types.ts";
import { ScoreheadError } from "../errors.ts";
import type { GgufValue, WritableType } from "../gguf/types.ts";
import { u32 } from "../gguf/values.ts";
import { headToMetadata } from "../head/metadata.ts";
import { validateHead } from "../head/spec.ts";
import type { HeadSpec } from "../head/types.ts";
import { attempt, note } from "../problems.ts";
import { chooseProfile } from "../prompt/choose.ts";
import type { Profile } from "../prompt/types.ts";
import { readConfig } from "./config.ts";
import { isWithoutEffect } from "./config-keys.ts";
import { ConfigReader, unsupported } from "./config-reader.ts";
import { FILE_TYPE, needsQuantizer, WRITTEN_TYPES } from "./file-type.ts";
import { headTensor, readHead } from "./head.ts";
import { LAYOUTS, type Layout } from "./layouts.ts";
import { type Reading, readingOf } from "./meaning.ts";
import { originOf } from "./origin.ts";
import { type PlannedTensor, planBackbone, TensorFinder } from "./plan-tensors.ts";
import { byLayer, QUANTIZATION_VERSION } from "./q8.ts";
import { missing, requireFloat, requireShape } from "./requirements.ts";
import type { OutputType } from "./types.ts";
import { vocabularyKeys } from "./vocabulary.ts";

export interface ConvertPlan {
  readonly layout: string;
  readonly profile: Profile;
  readonly head: HeadSpec;
  /** The type of the matrices in the file that is written first. */
  readonly baseType: WritableType;
  /** The type of the matrices in the result, as `--type` calls it: where it is another one, the file is quantised. */
  readonly type: Exclude<OutputType, "auto">;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly PlannedTensor[];
  /** Checkpoint tensors that scoring does not read. */
  readonly ignored: readonly string[];
  readonly warnings: readonly string[];
}

export interface PlanOptions {
  readonly profile: string | undefined;
  readonly type: OutputType;
  /** The config to use where the checkpoint has none. */
  readonly fallbackConfig: JsonObject | null;
}

/** What `auto` means for each type that weights come in. */
const OWN_TYPES = { F32: "f32", F16: "f16", BF16: "bf16" } as const;
/** A plan, or what stands in the way of one. */
export interface ConvertSurvey {
  /** null where there are problems. */
  readonly plan: ConvertPlan | null;
  /** The class, where it is one that converts. */
  readonly layout: string | null;
  readonly problems: readonly ScoreheadError[];
}

/**
 * Plans a conversion as far as it goes, and names all that stands in its way.
 * @param tokenizer null: it cannot be read, which is a problem of its own
 * @returns problems of ERR_UNSUPPORTED, ERR_CONFIG, ERR_TENSOR, ERR_HEAD, ERR_TOKENIZER, ERR_ARGUMENT, the first one
 *   being what a conversion is refused with
 */
export async function surveyConversion(
  checkpoint: Checkpoint,
  tokenizer: CheckpointTokenizer | null,
  options: PlanOptions,
): Promise<ConvertSurvey> {
  const problems: ScoreheadError[] = [];
  const config = checkpoint.config ?? options.fallbackConfig;
  const found = attempt(problems, () => findLayout(checkpoint, config));
  if (!found) return { plan: null, layout: null, problems };
  const { layout, name } = found;
  if (!config) {
    note(problems, noConfig(checkpoint));
    return { plan: null, layout: name, problems };
  }
  const architecture = attempt(problems, () => backboneOf(layout, config));
  if (!architecture) return { plan: null, layout: name, problems };
  const reader = new ConfigReader(config, architecture.defaults);
  const finder = new TensorFinder(checkpoint, layout);
  const { name: directory, ...origin } = await originOf(checkpoint.directory, config);
  const chosen = attempt(problems, () => profileFor(options.profile, directory, name, config));
  const embedding = attempt(problems, () => findEmbedding(finder, architecture, layout));
  const vocabulary = embedding?.shape[0] ?? 0;
  const backbone = attempt(problems, () => readConfig(reader, architecture, vocabulary, problems));
  if (backbone) attempt(problems, () => refuseUnknownKeys(reader, architecture, layout));
  if (embedding) attempt(problems, () => requireVocabulary(embedding, config));
  const own = embedding && attempt(problems, () => ownType(embedding));
  if (!backbone || !embedding || !own) return { plan: null, layout: name, problems };

  const type = options.type === "auto" ? OWN_TYPES[own] : options.type;
  const baseType = needsQuantizer(type) ? own : WRITTEN_TYPES[type];
  const tensors = planBackbone(backbone, baseType, finder, problems);
  const reading = chosen && readingOf(chosen.profile, config, backbone.maxLength, origin);
  const head =
    reading && (await layoutHead(layout, finder, config, reading).catch((error: unknown) => note(problems, error)));
  if (head)
    attempt(problems, () => validateHead(head, { hiddenSize: backbone.sizes.hiddenSize, vocabularySize: vocabulary }));
  const ignored = attempt(problems, () => finder.rest(head !== null));
  const vocabularyMetadata =
    tokenizer &&
    attempt(problems, () => vocabularyKeys(tokenizer, vocabulary, padToken(config, architecture, vocabulary)));
  if (problems.length > 0 || !head || !ignored || !vocabularyMetadata) return { plan: null, layout: name, problems };
  const fileType: [string, GgufValue] = ["general.file_type", u32(FILE_TYPE[baseType])];
  const isQuantized = baseType === "Q8_0";
  if (isQuantized) tensors.sort(byLayer);
  const metadata = new Map<string, GgufValue>([
    ...backbone.keys,
    ...(isQuantized ? [] : [fileType]),
    ...vocabularyMetadata,
    ...headToMetadata(head),
    ...(isQuantized ? [["general.quantization_version", u32(QUANTIZATION_VERSION)] as const, fileType] : []),
  ]);
  const { profile } = chosen;
  const warnings = [...chosen.warnings, ...lackOfTemplate(profile, tokenizer)];
  const plan = { layout: name, profile, head, baseType, type, metadata, tensors, ignored, warnings };
  return { plan, layout: name, problems };
}

function lackOfTemplate({ name, template }: Profile, { chatTemplate }: CheckpointTokenizer): string[] {
  if (template.kind === "card" || chatTemplate !== null) return [];
  return [
    `The checkpoint has no chat template, by which profile ${name} renders conversations: only exact texts and token ` +
      "ids can be scored.",
  ];
}

/** A layout and the class that it goes by. */
export interface FoundLayout {
  readonly layout: Layout;
  readonly name: string;
}

function findLayout(checkpoint: Checkpoint, config: JsonObject | null): FoundLayout {
  const found = layoutOf(checkpoint.tensors, config);
  if (found) return found;
  const named = configuredClass(config);
  const known = LAYOUTS.flatMap(({ classes }) => classes[0] ?? []).join(", ");
  throw new ScoreheadError(
    "ERR_UNSUPPORTED",
    `${checkpoint.directory}: ${named ? `the architecture ${named} is not supported` : "no architecture is named in a config.json"}. Supported: ${known}.`,
  );
}

/**
 * The layout of the class that the config names, or, where that is a class without such a head, the one that tensors
 * tell; null where neither is known.
 */
export function layoutOf(tensors: Checkpoint["tensors"], config: JsonObject | null): FoundLayout | null {
  const name = configuredClass(config);
  const named = LAYOUTS.find(({ classes }) => classes.some((known) => known === name));
  const told = LAYOUTS.find(({ toldBy }) => toldBy?.some((tensor) => tensors.has(tensor)));
  const hasHead = named?.heads.some((rule) => tensors.has(headTensor(rule)));
  if (told && (!hasHead || named === told)) return { layout: told, name: told.classes[0] as string };
  return named && name ? { layout: named, name } : null;
}

export function configuredClass(config: JsonObject | null): string | null {
  const named: unknown = Array.isArray(config?.architectures) ? config.architectures[0] : null;
  return typeof named === "string" ? named : null;
}

/** @throws ERR_UNSUPPORTED where the config names a backbone that the layout does not have */
function backboneOf({ backbones, classes }: Layout, { model_type }: JsonObject): Architecture {
  const named = model_type ?? backbones[0].modelType;
  const found = backbones.find(({ modelType }) => modelType === named);
  if (found) return found;
  const known = backbones.map(({ modelType }) => JSON.stringify(modelType)).join(", ");
  throw unsupported(`model_type is ${JSON.stringify(named)}, and ${classes[0]} converts with ${known}`);
}

function noConfig({ directory }: Checkpoint): ScoreheadError {
  return new ScoreheadError(
    "ERR_CONFIG",
    `${directory} has no config.json. Name the base model's directory, which has one, with --tokenizer.`,
  );
}

function profileFor(
  profileName: string | undefined,
  repository: string,
  architecture: string,
  config: JsonObject,
): ReturnType<typeof chooseProfile> {
  const scoreType = typeof config.score_type === "string" ? config.score_type : undefined;
  return chooseProfile({ profileName, repository, architecture, scoreType });
}

function findEmbedding(finder: TensorFinder, { names }: Architecture, { prefixes }: Layout): CheckpointTensor {
  const name = `${names.token_embd}.weight`;
  const embedding = finder.backbone(name);
  if (!embedding) throw missing([`${prefixes[0]}${name}`], finder.place);
  requireShape(embedding, [null, null]);
  return embedding;
}

function requireVocabulary({ name, shape }: CheckpointTensor, { vocab_size }: JsonObject): void {
  if (vocab_size === undefined || vocab_size === shape[0]) return;
  throw new ScoreheadError(
    "ERR_TENSOR",
    `${name} has ${shape[0]} rows, and config.json says vocab_size ${vocab_size}.`,
  );
}

/** A setting that nobody has read may change what the model computes. */
function refuseUnknownKeys(config: ConfigReader, { defaults }: Architecture, { configKeys }: Layout): void {
  // What is behind a setting that is wrong has not been read.
  const own = [...configKeys, ...Object.keys(defaults)];
  const unknown = config.unread().filter((key) => !isWithoutEffect(key, config.value(key)) && !own.includes(key));
  if (unknown.length === 0) return;
  throw new ScoreheadError(
    "ERR_UNSUPPORTED",
    `config.json has ${unknown.map((key) => `${key}: ${JSON.stringify(config.value(key))}`).join(", ")}, which scorehead ` +
      "does not know: it may change what the model computes. If it does not, take it out of config.json.",
  );
}

async function layoutHead(
  layout: Layout,
  finder: TensorFinder,
  config: JsonObject,
  reading: Reading,
): Promise<HeadSpec> {
  const head = await readHead(layout.heads, layout.normalizer, finder, config, reading);
  requireCounted(layout, finder, config, head);
  return head;
}

/** @throws ERR_HEAD where the config counts other outputs than the head has */
function requireCounted(layout: Layout, finder: TensorFinder, config: JsonObject, { network }: HeadSpec): void {
  const outputs = network.layers.at(-1)?.outputs;
  const { id2label, num_labels, score_dim } = config;
  const named = typeof id2label === "object" && id2label !== null ? Object.keys(id2label).length : num_labels;
  const counted = layout.labelled ? named : score_dim;
  if (typeof counted !== "number" || counted === outputs) return;
  const name = layout.heads.map(headTensor).find((tensor) => finder.get(tensor));
  throw new ScoreheadError(
    "ERR_HEAD",
    `config.json counts ${counted} outputs, and the head of ${name} has ${outputs}. Take the config of the model that the weights are of.`,
  );
}

/**
 * null: the model has none, and transformers then reads the last token. -1 is how some configs write that. A config that
 * does not say has the one of its class, unless that is no token of this vocabulary.
 */
export function padToken(config: JsonObject, { defaults }: Architecture, vocabulary: number): number | null {
  const assumed = defaults.pad_token_id;
  const byClass = typeof assumed === "number" && assumed < vocabulary ? assumed : -1;
  const id = config.pad_token_id === undefined ? byClass : (config.pad_token_id ?? -1);
  if (Number.isInteger(id) && (id as number) >= -1 && (id as number) < vocabulary)
    return id === -1 ? null : (id as number);
  throw new ScoreheadError(
    "ERR_CONFIG",
    `config.json: pad_token_id is ${JSON.stringify(id)}, and the vocabulary has ${vocabulary} tokens.`,
  );
}

function ownType(embedding: CheckpointTensor): keyof typeof OWN_TYPES {
  const { dtype } = requireFloat(embedding);
  return dtype === "F64" ? "F32" : dtype;
}
