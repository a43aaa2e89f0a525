/** What converting a checkpoint will do: every tensor accounted for, every key decided, nothing read but the head. */
import { realpath } from "node:fs/promises";
import { basename, resolve } from "node:path";
import type { Checkpoint, CheckpointTensor, CheckpointTokenizer, JsonObject } from "../checkpoint/types.ts";
import { ScoreheadError } from "../errors.ts";
import type { GgufValue, WritableType } from "../gguf/types.ts";
import { u32 } from "../gguf/values.ts";
import { headToMetadata } from "../head/metadata.ts";
import { defaultLabels, validateHead } from "../head/spec.ts";
import type { HeadSpec, Normalizer } from "../head/types.ts";
import { attempt, note } from "../problems.ts";
import { chooseProfile } from "../prompt/choose.ts";
import { PROFILES } from "../prompt/profiles.ts";
import type { Profile } from "../prompt/types.ts";
import { readConfig } from "./config.ts";
import { isWithoutEffect } from "./config-keys.ts";
import { ConfigReader } from "./config-reader.ts";
import { LAYOUTS, type Layout, REWARD_MODEL_HEAD } from "./layouts.ts";
import {
  missingTensors,
  type PlannedTensor,
  planBackbone,
  requireFloat,
  requireShape,
  TensorFinder,
} from "./plan-tensors.ts";
import { readFloats } from "./tensor-data.ts";
import { vocabularyKeys } from "./vocabulary.ts";

export interface ConvertPlan {
  readonly layout: string;
  readonly profile: Profile;
  readonly head: HeadSpec;
  /** The type of the matrices in the file that is written first; a quantised type comes after. */
  readonly baseType: WritableType;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly PlannedTensor[];
  /** Checkpoint tensors that scoring does not read. */
  readonly ignored: readonly string[];
  readonly warnings: readonly string[];
}

export interface PlanOptions {
  readonly profile: string | undefined;
  /** null: the checkpoint's own. */
  readonly baseType: WritableType | null;
  /** The config to use where the checkpoint has none. */
  readonly fallbackConfig: JsonObject | null;
}

/** llama_ftype of the unquantised types. */
const FILE_TYPE: Readonly<Record<WritableType, number>> = { F32: 0, F16: 1, BF16: 32 };

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
  if (!config) {
    note(problems, noConfig(checkpoint));
    return { plan: null, layout: found.name, problems };
  }
  const { layout, name } = found;
  const reader = new ConfigReader(config, layout.architecture.defaults);
  const finder = new TensorFinder(checkpoint, layout);
  const origin = sourceOf(checkpoint.directory, config);
  const directory = origin.repository || (await directoryName(checkpoint.directory));
  const chosen = attempt(problems, () => profileFor(options.profile, directory, name, config));
  const embedding = attempt(problems, () => findEmbedding(finder, layout));
  const vocabulary = embedding?.shape[0] ?? 0;
  const backbone = attempt(problems, () => readConfig(reader, layout.architecture, vocabulary));
  if (backbone) attempt(problems, () => refuseUnknownKeys(reader, layout));
  if (embedding) attempt(problems, () => requireVocabulary(embedding, config));
  const baseType = options.baseType ?? (embedding && attempt(problems, () => ownType(embedding)));
  if (!backbone || !embedding || !baseType) return { plan: null, layout: name, problems };

  const tensors = planBackbone(backbone, baseType, finder, problems);
  const head =
    chosen &&
    (await readHead(finder, layout, config, chosen.profile, backbone.maxLength, origin).catch((error) =>
      note(problems, error),
    ));
  if (head) attempt(problems, () => validateHead(head, backbone.sizes));
  const ignored = attempt(problems, () => finder.rest());
  const vocabularyMetadata =
    tokenizer && attempt(problems, () => vocabularyKeys(tokenizer, vocabulary, padToken(config, vocabulary)));
  if (problems.length > 0 || !head || !ignored || !vocabularyMetadata) return { plan: null, layout: name, problems };
  const metadata = new Map<string, GgufValue>([
    ...backbone.keys,
    ["general.file_type", u32(FILE_TYPE[baseType])],
    ...vocabularyMetadata,
    ...headToMetadata(head),
  ]);
  const { profile, warnings } = chosen;
  return {
    plan: { layout: name, profile, head, baseType, metadata, tensors, ignored, warnings },
    layout: name,
    problems,
  };
}

function findLayout(checkpoint: Checkpoint, config: JsonObject | null): { layout: Layout; name: string } {
  const named: unknown = Array.isArray(config?.architectures) ? config.architectures[0] : undefined;
  const byName = LAYOUTS.find(({ classes }) => classes.includes(named as string));
  // A GPTRewardModel's config is its base model's, or absent; its head tells it.
  const byHead = checkpoint.tensors.has(REWARD_MODEL_HEAD)
    ? LAYOUTS.find(({ classes }) => classes.includes("GPTRewardModel"))
    : undefined;
  if (byHead && (!byName || byName === byHead)) return { layout: byHead, name: "GPTRewardModel" };
  if (byName) return { layout: byName, name: named as string };
  const known = LAYOUTS.flatMap(({ classes }) => classes[0] ?? []).join(", ");
  throw new ScoreheadError(
    "ERR_UNSUPPORTED",
    `${checkpoint.directory}: ${named ? `the architecture ${named} is not supported` : "no architecture is named in a config.json"}. Supported: ${known}.`,
  );
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

function findEmbedding(finder: TensorFinder, { architecture, prefixes }: Layout): CheckpointTensor {
  const name = `${architecture.names.token_embd}.weight`;
  const embedding = finder.backbone(name);
  if (!embedding) throw missingTensors([`${prefixes[0]}${name}`], finder.checkpoint);
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
function refuseUnknownKeys(config: ConfigReader, { configKeys }: Layout): void {
  const known = (key: string): boolean => isWithoutEffect(key, config.value(key)) || configKeys.includes(key);
  const unknown = config.unread().filter((key) => !known(key));
  if (unknown.length === 0) return;
  throw new ScoreheadError(
    "ERR_UNSUPPORTED",
    `config.json has ${unknown.map((key) => `${key}: ${JSON.stringify(config.value(key))}`).join(", ")}, which scorehead ` +
      "does not know: it may change what the model computes. If it does not, take it out of config.json.",
  );
}

/** null: the model has none, and transformers then reads the last token. -1 is how some configs write that. */
function padToken(config: JsonObject, vocabulary: number): number | null {
  const id = config.pad_token_id ?? -1;
  if (Number.isInteger(id) && (id as number) >= -1 && (id as number) < vocabulary)
    return id === -1 ? null : (id as number);
  throw new ScoreheadError(
    "ERR_CONFIG",
    `config.json: pad_token_id is ${JSON.stringify(id)}, and the vocabulary has ${vocabulary} tokens.`,
  );
}

/** The path whose last part may name a profile: "." has a name, and a link whose own name says nothing has a target. */
async function directoryName(directory: string): Promise<string> {
  const absolute = resolve(directory);
  const isTelling = PROFILES.some(({ repositories }) => repositories.some((name) => name.test(basename(absolute))));
  return isTelling ? absolute : realpath(absolute);
}

/** Repository and revision where the directory is part of a hub cache; the repository where the config names it. */
function sourceOf(directory: string, config: JsonObject): { repository: string; revision: string } {
  const cached = directory.match(/models--([^/\\]+?)--([^/\\]+)[/\\]snapshots[/\\]([^/\\]+)/);
  if (cached) return { repository: `${cached[1]}/${cached[2]}`, revision: cached[3] as string };
  const named = config._name_or_path;
  const isRepository =
    typeof named === "string" && /^[\w.-]+\/[\w.-]+$/.test(named) && basename(directory) === basename(named);
  return { repository: isRepository ? named : "", revision: "" };
}

function ownType(embedding: CheckpointTensor): WritableType {
  const { dtype } = requireFloat(embedding);
  return dtype === "F64" ? "F32" : dtype;
}

async function readHead(
  finder: TensorFinder,
  layout: Layout,
  config: JsonObject,
  profile: Profile,
  longest: number,
  source: HeadSpec["source"],
): Promise<HeadSpec> {
  const weight = finder.get(layout.head.weight);
  if (!weight) throw missingTensors([layout.head.weight], finder.checkpoint);
  requireShape(weight, [null, null]);
  const [outputs, hiddenSize] = weight.shape as [number, number];
  const bias = finder.get(layout.head.bias);
  if (bias) requireShape(bias, [outputs]);
  return {
    profile: profile.name,
    type: profile.type,
    labels: defaultLabels(profile.type, outputs, profile.labels ?? configLabels(layout, config, outputs)),
    weight: await readFloats(requireFloat(weight)),
    outputs,
    hiddenSize,
    bias: bias ? await readFloats(requireFloat(bias)) : null,
    normalizer: await readNormalizer(finder, layout, config, outputs),
    read: profile.read,
    maxLength: Math.min(profile.maxLength ?? longest, longest),
    truncationSide: profile.truncation.side,
    source,
  };
}

/**
 * What the config calls several outputs; null where it has no names but transformers' own, LABEL_0, LABEL_1, ….
 * @throws ERR_HEAD where the config counts other outputs than the head has
 */
function configLabels(layout: Layout, config: JsonObject, outputs: number): readonly string[] | null {
  const names = layout.labelled && config.id2label ? Object.values(config.id2label) : null;
  const counted = layout.labelled ? (names?.length ?? config.num_labels) : config.score_dim;
  if (typeof counted === "number" && counted !== outputs)
    throw new ScoreheadError(
      "ERR_HEAD",
      `config.json counts ${counted} outputs, and ${layout.head.weight} has ${outputs}. Take the config of the model that the weights are of.`,
    );
  if (outputs === 1 || names === null || names.every((name, i) => name === `LABEL_${i}`)) return null;
  return names.map(String);
}

/** Only where the config says `do_normalize`; the buffers of the checkpoint go before the config's numbers. */
async function readNormalizer(
  finder: TensorFinder,
  layout: Layout,
  config: JsonObject,
  outputs: number,
): Promise<Normalizer | null> {
  const mean = layout.normalizer && finder.get(layout.normalizer.mean);
  const variance = layout.normalizer && finder.get(layout.normalizer.var);
  if (!layout.normalizer || config.do_normalize !== true) return null;
  const kind = config.score_type;
  if (kind !== "reward" && kind !== "cost")
    throw new ScoreheadError(
      "ERR_CONFIG",
      `config.json: do_normalize is true, and score_type is ${JSON.stringify(kind)} instead of "reward" or "cost".`,
    );
  const values = async (tensor: CheckpointTensor | null | undefined, name: "mean" | "var"): Promise<Float32Array> => {
    if (!tensor) return configNumbers(config, name, outputs);
    requireShape(tensor, [outputs]);
    return readFloats(requireFloat(tensor));
  };
  return { function: kind, mean: await values(mean, "mean"), var: await values(variance, "var") };
}

function configNumbers(config: JsonObject, name: "mean" | "var", outputs: number): Float32Array {
  const value = config[name];
  const numbers = Array.isArray(value) ? value : typeof value === "number" ? [value] : [];
  if (numbers.length === outputs && numbers.every((n) => typeof n === "number"))
    return Float32Array.from(numbers as number[]);
  throw new ScoreheadError(
    "ERR_CONFIG",
    `do_normalize is true, and neither the tensor normalizer.${name} nor config.json's "${name}" gives ${outputs} numbers.`,
  );
}
