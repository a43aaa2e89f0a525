/** What converting a checkpoint will do: every tensor accounted for, every key decided, nothing read but the head. */
import { realpath } from "node:fs/promises";
import { basename, resolve } from "node:path";

import type {
  Checkpoint,
  CheckpointFiles,
  CheckpointTensor,
  CheckpointTokenizer,
  JsonObject,
} from "../checkpoint/types.ts";

import { ScoreheadError } from "../errors.ts";
import { bytesOf } from "../gguf/encode.ts";
import type { GgufValue, WritableType } from "../gguf/types.ts";
import { u32 } from "../gguf/values.ts";
import { headToMetadata } from "../head/metadata.ts";
import { validateHead } from "../head/spec.ts";
import type { HeadSpec } from "../head/types.ts";
import { chooseProfile } from "../prompt/choose.ts";
import { PROFILES } from "../prompt/profiles.ts";
import type { Profile } from "../prompt/types.ts";
import { readConfig } from "./config.ts";

import type { FloatDtype } from "./dtype.ts";
import { FILE_TYPE, needsQuantizer, WRITTEN_TYPES } from "./file-type.ts";
import { readHead } from "./head.ts";
import { LAYOUTS, type Layout, type TensorRule } from "./layouts.ts";
import { readingOf } from "./meaning.ts";
import { byLayer, Q8_BLOCK, QUANTIZATION_VERSION } from "./q8.ts";
import { missing, requireFloat, requireShape } from "./requirements.ts";
import type { OutputType } from "./types.ts";
import { vocabularyKeys } from "./vocabulary.ts";

/** One tensor of the output. */
export interface PlannedTensor {
  readonly name: string;
  /** ggml order. */
  readonly dims: readonly number[];
  readonly type: WritableType;
  /** Bytes in the file that is written first. */
  readonly byteLength: number;
  readonly source: CheckpointTensor & { readonly dtype: FloatDtype };
  /** Heads within whose rows the rotary halves become pairs; null: rows stay. */
  readonly rotaryHeads: number | null;
}

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

/**
 * Plans a conversion.
 * @throws ERR_UNSUPPORTED, ERR_CONFIG, ERR_TENSOR, ERR_HEAD, ERR_TOKENIZER, each naming what stands in the way
 */
export async function planConversion(
  checkpoint: Checkpoint,
  tokenizer: CheckpointTokenizer,
  options: PlanOptions,
): Promise<ConvertPlan> {
  const config = checkpoint.config ?? options.fallbackConfig;
  const { layout, architecture } = findLayout(checkpoint, config);
  if (!config)
    throw new ScoreheadError(
      "ERR_CONFIG",
      `${checkpoint.directory} has no config.json. Name the base model's directory, which has one, with --tokenizer.`,
    );
  const scoreType = typeof config.score_type === "string" ? config.score_type : undefined;
  const origin = sourceOf(checkpoint.directory, config);
  const named = await directoryName(checkpoint.directory);
  const { profile, warnings } = chooseProfile({
    profileName: options.profile,
    repository: origin.repository || named,
    architecture,
    scoreType,
  });
  const finder = new TensorFinder(checkpoint, layout);
  const embedding = finder.backbone("embed_tokens.weight");
  if (!embedding) throw missing(`${layout.prefixes[0]}embed_tokens.weight`, checkpoint.directory);
  const backbone = readConfig(config, layout.backbone.architecture, embedding);
  if (config.vocab_size !== undefined && config.vocab_size !== backbone.sizes.vocabulary)
    throw new ScoreheadError(
      "ERR_TENSOR",
      `${embedding.name} has ${backbone.sizes.vocabulary} rows, and config.json says vocab_size ${config.vocab_size}.`,
    );
  const own = ownType(embedding);
  const type = options.type === "auto" ? OWN_TYPES[own] : options.type;
  const baseType = needsQuantizer(type) ? own : WRITTEN_TYPES[type];
  const tensors = layout.backbone.tensors.flatMap((rule) => planTensors(rule, finder, backbone.sizes, baseType));
  const reading = readingOf(profile, config, backbone.maxLength, origin);
  const head = await readHead(layout.heads, layout.normalizer, finder, config, reading);
  validateHead(head, { hiddenSize: backbone.sizes.hiddenSize, vocabularySize: backbone.sizes.vocabulary });
  const ignored = finder.rest(layout.ignored);
  const fileType: [string, GgufValue] = ["general.file_type", u32(FILE_TYPE[baseType])];
  const isQuantized = baseType === "Q8_0";
  if (isQuantized) tensors.sort(byLayer);
  const metadata = new Map<string, GgufValue>([
    ...backbone.keys,
    ...(isQuantized ? [] : [fileType]),
    ...vocabularyKeys(tokenizer, backbone.sizes.vocabulary, padToken(config, backbone.sizes.vocabulary)),
    ...headToMetadata(head),
    ...(isQuantized ? [["general.quantization_version", u32(QUANTIZATION_VERSION)] as const, fileType] : []),
  ]);
  return {
    ...{ layout: architecture, profile, head, baseType, type, metadata, tensors, ignored },
    warnings: [...warnings, ...lackOfTemplate(profile, tokenizer)],
  };
}

function lackOfTemplate({ name, template }: Profile, { chatTemplate }: CheckpointTokenizer): string[] {
  if (template.kind === "card" || chatTemplate !== null) return [];
  return [
    `The checkpoint has no chat template, by which profile ${name} renders conversations: only exact texts and token ` +
      "ids can be scored.",
  ];
}

function findLayout(checkpoint: Checkpoint, config: JsonObject | null): { layout: Layout; architecture: string } {
  const found = layoutOf(checkpoint.tensors, config);
  if (found) return found;
  const named = configuredClass(config);
  const known = LAYOUTS.flatMap(({ architectures }) => architectures).join(", ");
  throw new ScoreheadError(
    "ERR_UNSUPPORTED",
    `${checkpoint.directory}: ${named ? `the architecture ${named} is not supported` : "no architecture is named in a config.json"}. Supported: ${known}.`,
  );
}

/** The layout that tensors tell, or else the config; null where neither names one that is known. */
export function layoutOf(
  tensors: Checkpoint["tensors"],
  config: JsonObject | null,
): { layout: Layout; architecture: string } | null {
  const told = LAYOUTS.find(({ toldBy }) => toldBy?.some((name) => tensors.has(name)));
  const architecture = told?.architectures[0] ?? configuredClass(config);
  const layout = LAYOUTS.find(({ architectures }) => architectures.some((name) => name === architecture));
  return layout && architecture ? { layout, architecture } : null;
}

function configuredClass(config: JsonObject | null): string | undefined {
  const named: unknown = Array.isArray(config?.architectures) ? config.architectures[0] : undefined;
  return typeof named === "string" ? named : undefined;
}

/** null: the model has none, and transformers then reads the last token. -1 is how some configs write that. */
export function padToken(config: JsonObject, vocabulary: number): number | null {
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

/** Finds tensors by name and remembers which nobody asked for. */
class TensorFinder {
  readonly checkpoint: Checkpoint;
  readonly #layout: Layout;
  readonly #used = new Set<string>();

  get place(): string {
    return this.checkpoint.directory;
  }

  get files(): CheckpointFiles {
    return this.checkpoint.files;
  }

  constructor(checkpoint: Checkpoint, layout: Layout) {
    this.checkpoint = checkpoint;
    this.#layout = layout;
  }

  get(name: string): CheckpointTensor | undefined {
    this.#used.add(name);
    return this.checkpoint.tensors.get(name);
  }

  /** A backbone tensor under any of the layout's prefixes; several have to be one and the same storage. */
  backbone(name: string): CheckpointTensor | undefined {
    const found = this.#layout.prefixes
      .map((prefix) => this.get(prefix + name))
      .filter((tensor) => tensor !== undefined);
    const [first] = found;
    for (const other of found)
      if (
        first &&
        (other.file !== first.file || other.offset !== first.offset || other.byteLength !== first.byteLength)
      )
        throw new ScoreheadError(
          "ERR_TENSOR",
          `${first.name} and ${other.name} should be the same tensor, and are two different ones: it is unclear which is meant.`,
        );
    return first;
  }

  /** The names nobody asked for. @throws ERR_TENSOR where one of them is not among `ignored` */
  rest(ignored: readonly RegExp[]): string[] {
    const names = [...this.checkpoint.tensors.keys()].filter((name) => !this.#used.has(name));
    const unmapped = names.filter((name) => !ignored.some((pattern) => pattern.test(name)));
    if (unmapped.length === 0) return names;
    const more = unmapped.length > 5 ? ` and ${unmapped.length - 5} more` : "";
    throw new ScoreheadError(
      "ERR_TENSOR",
      `${this.checkpoint.directory} holds tensors that this layout does not have: ${unmapped.slice(0, 5).join(", ")}${more}. ` +
        "The model computes something that the conversion would lose.",
    );
  }
}

function planTensors(
  rule: TensorRule,
  finder: TensorFinder,
  sizes: Parameters<TensorRule["shape"]>[0],
  baseType: WritableType,
): PlannedTensor[] {
  const layers = rule.from.includes("{i}") ? Array.from({ length: sizes.layers }, (_, i) => String(i)) : [""];
  const planned: PlannedTensor[] = [];
  for (const layer of layers) {
    const from = rule.from.replace("{i}", layer);
    const source = finder.backbone(from);
    if (!source && rule.optional) continue;
    if (!source) throw missing(from, finder.place);
    const shape = rule.shape(sizes);
    requireShape(source, shape);
    // llama.cpp wants vectors in F32: they are small, and norms and biases are computed so. Rows that are no whole
    // blocks stay F16, as llama.cpp's quantiser leaves them.
    const isWhole = baseType !== "Q8_0" || (shape.at(-1) ?? 0) % Q8_BLOCK === 0;
    const type = shape.length === 1 ? "F32" : isWhole ? baseType : "F16";
    const tensor = { name: rule.to.replace("{i}", layer), dims: [...shape].reverse(), type };
    planned.push({
      ...tensor,
      byteLength: bytesOf(tensor),
      source: requireFloat(source),
      rotaryHeads: rule.rotary ? sizes[rule.rotary] : null,
    });
  }
  return planned;
}

function ownType(embedding: CheckpointTensor): keyof typeof OWN_TYPES {
  const { dtype } = requireFloat(embedding);
  return dtype === "F64" ? "F32" : dtype;
}
