/** A GGUF file with all that scoring needs: its own head, its classifier, or one that is attached, and its tokenizer. */
import { join } from "node:path";
import { readJsonIfPresent } from "../checkpoint/json.ts";
import type { JsonObject } from "../checkpoint/types.ts";
import { architectureOf, configuredWindow } from "../convert/config.ts";
import { type Reading, readingOf } from "../convert/meaning.ts";
import { padToken } from "../convert/plan.ts";
import { isScoreheadError, ScoreheadError } from "../errors.ts";
import { type Backbone, readBackbone } from "../gguf/backbone.ts";
import type { GgufFile } from "../gguf/types.ts";
import { headFromMetadata, requireHead } from "../head/metadata.ts";
import { validateHead } from "../head/spec.ts";
import type { HeadSpec, ReadPosition, ScoreType } from "../head/types.ts";
import { chooseProfile, type ProfileChoice } from "../prompt/choose.ts";
import { hasClassifier, readClassifier, withoutClassifier } from "./classifier.ts";
import { HeadSource } from "./head-source.ts";
import { type FileTokenizer, fileTokenizer } from "./tokenizer.ts";

/** A head that is attached to a file, and what is known about it. */
export interface HeadOptions {
  /** A safetensors file, or a checkpoint's directory that holds the head; default: the file's own, or its classifier. */
  readonly head?: string | undefined;
  /** Directory with the checkpoint's tokenizer files, for a file of another tool that leaves its rules open. */
  readonly tokenizer?: string | undefined;
  /** Profile of the head; default: by its directory's name or its config. */
  readonly profile?: string | undefined;
  /** What its scores mean; default: the profile's, else a reward, or attributes where there are several outputs. */
  readonly type?: ScoreType | undefined;
  /** The outputs' names; default: the profile's, the file's, or after the type. */
  readonly labels?: readonly string[] | undefined;
  /** Where its scores are read; default: the profile's, else `hf`. */
  readonly read?: ReadPosition | undefined;
}

export interface Scorable {
  readonly file: GgufFile;
  readonly backbone: Backbone;
  readonly head: HeadSpec;
  /** Whether the head came from elsewhere than the file's own keys. */
  readonly isAttached: boolean;
  readonly tokenizer: FileTokenizer;
  /** Assumptions made. */
  readonly warnings: readonly string[];
}

/**
 * Puts a file's backbone, head and tokenizer together, checked against each other.
 * @throws ERR_ARGUMENT, ERR_NO_HEAD, ERR_NEWER_VERSION, ERR_HEAD, ERR_GGUF, ERR_UNSUPPORTED, ERR_TOKENIZER, and what
 *   reading a head throws
 */
export async function openScorable(file: GgufFile, options: HeadOptions): Promise<Scorable> {
  const source = options.head === undefined ? null : await HeadSource.open(options.head);
  // That there is no head goes before all that the backbone may be.
  if (source === null && !hasClassifier(file)) requireHead(file.metadata);
  const backbone = withinWindow(readBackbone(withoutClassifier(file)), source?.config ?? {});
  const { head, isAttached, warnings } = source
    ? await readAttached(source, backbone, options)
    : await readFileHead(file, backbone, options);
  validateHead(head, backbone);
  const config = source?.config ?? (await tokenizerConfig(options.tokenizer));
  const padId = config
    ? padToken(config, architectureOf(config, backbone.architecture), backbone.vocabularySize)
    : undefined;
  const tokenizer = await fileTokenizer(file, options.tokenizer, padId);
  return { file, backbone, head, isAttached, tokenizer, warnings };
}

type FoundHead = Pick<Scorable, "head" | "isAttached" | "warnings">;

async function readAttached(source: HeadSource, backbone: Backbone, options: HeadOptions): Promise<FoundHead> {
  if (source.config) requireSameModel(source.config, source.place, backbone);
  const { reading, warnings } = readingFor(source, backbone.contextLength, options);
  return { head: await source.read(reading), isAttached: true, warnings };
}

/**
 * The head that a file holds itself, in its keys or as a classifier.
 * @param backbone null where it cannot be read
 */
export async function readFileHead(
  file: GgufFile,
  backbone: Backbone | null,
  options: HeadOptions,
): Promise<FoundHead> {
  if (file.metadata.has("scorehead.version") || !hasClassifier(file)) {
    refuseReading(options);
    return { head: headFromMetadata(file.metadata), isAttached: false, warnings: [] };
  }
  const { reading, warnings } = readingFor(null, backbone?.contextLength ?? 1, options);
  return { head: await readClassifier(file, reading), isAttached: true, warnings };
}

/** A file's own head says what it means; only its profile can be another one. */
function refuseReading({ type, labels, read }: HeadOptions): void {
  const given = Object.entries({ type, labels, read }).find(([, value]) => value !== undefined);
  if (!given) return;
  throw new ScoreheadError(
    "ERR_ARGUMENT",
    `"${given[0]}" is for a head that is attached, and none is named ("head"): the file's own says it itself.`,
  );
}

async function tokenizerConfig(directory: string | undefined): Promise<JsonObject | null> {
  return directory === undefined ? null : readJsonIfPresent(join(directory, "config.json"), "ERR_CONFIG");
}

/** What both a config and a GGUF file say about a backbone. */
const SIZES: readonly (readonly [key: string, size: keyof Backbone])[] = [
  ["hidden_size", "hiddenSize"],
  ["num_hidden_layers", "layers"],
  ["num_attention_heads", "heads"],
];

/** A head of another model of the same width would give numbers too. */
function requireSameModel(config: JsonObject, place: string, backbone: Backbone): void {
  const { graph } = architectureOf(config, backbone.architecture);
  const said = SIZES.map(([key, size]) => [key, config[key], backbone[size]] as const);
  const odd =
    graph.name === backbone.architecture
      ? said.find(([, value, own]) => typeof value === "number" && value !== own)
      : (["model_type", config.model_type, backbone.architecture] as const);
  if (!odd) return;
  throw new ScoreheadError(
    "ERR_HEAD",
    `${place}: config.json says ${odd[0]} ${JSON.stringify(odd[1])}, and the backbone has ${odd[2]}. The head is of ` +
      "another model.",
  );
}

/** A window that the file does not tell: beyond it, texts would attend to more than in the model that was trained. */
function withinWindow(backbone: Backbone, config: JsonObject): Backbone {
  // The graph applies its window itself.
  if (backbone.window !== null) return backbone;
  const { architecture, layers, contextLength } = backbone;
  const window = configuredWindow(config, architectureOf(config, architecture), layers) ?? contextLength;
  return { ...backbone, contextLength: Math.min(contextLength, window) };
}

/** How an attached head is read: as the user says, else by its profile, else as transformers' classifiers are. */
function readingFor(
  source: HeadSource | null,
  contextLength: number,
  { profile, type, labels, read }: HeadOptions,
): { reading: Reading; warnings: readonly string[] } {
  const origin = { repository: "", revision: "" };
  const chosen = profileFor(source, profile);
  const base: Reading = chosen
    ? readingOf(chosen.profile, source?.config ?? {}, contextLength, origin)
    : { ...CUSTOM, maxLength: contextLength, source: origin };
  const reading = { ...base, type: type ?? base.type, labels: labels ?? base.labels, read: read ?? base.read };
  if (chosen) return { reading, warnings: chosen.warnings };
  const assumed = [
    ...(type === undefined ? ["one output is a reward, several are attributes (type)"] : []),
    ...(read === undefined ? [`scores are read at the last token that is no padding (read ${CUSTOM.read})`] : []),
  ];
  if (assumed.length === 0) return { reading, warnings: [] };
  return {
    reading,
    warnings: [`No profile is known for the head, so this is assumed: ${assumed.join("; ")}. Name them, or a profile.`],
  };
}

/** A head of no known family: read as transformers reads its classifiers. */
const CUSTOM = { profile: "custom", type: null, labels: null, read: "hf", truncationSide: "left" } as const;

function profileFor(source: HeadSource | null, profileName: string | undefined): ProfileChoice | null {
  const { config, architecture, name } = source ?? {};
  try {
    return chooseProfile({
      profileName,
      repository: name,
      architecture: architecture ?? undefined,
      scoreType: config?.score_type,
    });
  } catch (error) {
    if (profileName === undefined && isScoreheadError(error, "ERR_UNSUPPORTED")) return null;
    throw error;
  }
}
