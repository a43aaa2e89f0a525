/** What a GGUF file or a checkpoint directory is, and whether it can be scored with or converted. No weights are read. */
import { withoutClassifier } from "../attach/classifier.ts";
import { readFileHead } from "../attach/scorable.ts";
import { fileTokenizer, refuseTokenizer } from "../attach/tokenizer.ts";
import { abortSignal, checkOptions, checkPath, ofType } from "../check-options.ts";

import { openCheckpoint } from "../checkpoint/open.ts";
import type { Checkpoint, CheckpointTensor } from "../checkpoint/types.ts";
import { fileTypeOf } from "../convert/file-type.ts";
import { type ConvertPlan, configuredClass } from "../convert/plan.ts";
import { type PlanInput, surveyDirectory } from "../convert/run.ts";
import { plannedBytes } from "../convert/size.ts";
import type { ScoreheadError } from "../errors.ts";
import { type Backbone, type GgufContents, readBackbone } from "../gguf/backbone.ts";
import { readGguf } from "../gguf/read.ts";
import type { GgufFile, GgufMetadata } from "../gguf/types.ts";
import { headFromMetadata } from "../head/metadata.ts";
import { type HeadReport, headReport } from "../head/report.ts";
import { validateHead } from "../head/spec.ts";
import { attempt, note, type Problem, plainProblems } from "../problems.ts";
import { findProfile } from "../prompt/profiles.ts";
import type { Profile } from "../prompt/types.ts";
import { openByName, requireReadable } from "../source/hub-checkpoint.ts";
import { readHeader } from "../source/hub-gguf.ts";
import { findSource } from "../source/resolve.ts";
import { lentDirectory } from "../source/tokenizer.ts";
import type { HubModel, SourceOptions } from "../source/types.ts";
import { tokenizerRules } from "../tokens/metadata.ts";
import type { TokenizerRules } from "../tokens/types.ts";

/** For a checkpoint, what it would be converted with. */
export type InspectOptions = Pick<SourceOptions, "tokenizer" | "profile" | "offline" | "onWarning" | "signal">;

export interface TokenizerReport extends Omit<TokenizerRules, "addedTokens"> {
  /** Tokens that are looked for in texts before anything else. */
  readonly addedTokens: readonly string[];
}

export interface InspectReport {
  readonly path: string;
  readonly kind: "gguf" | "checkpoint";
  /** Empty: the file can be scored with, or the checkpoint can be converted. */
  readonly problems: readonly Problem[];
  /** Assumptions made. */
  readonly warnings: readonly string[];
  /** Of a checkpoint: the class that its config or its tensors name. */
  readonly layout: string | null;
  /** Of a GGUF file: the type of most of its matrices, as `--type` calls it. */
  readonly fileType: string | null;
  /** Bytes of all tensors. */
  readonly bytes: number;
  readonly parameters: number;
  readonly tensors: number;
  /** How many tensors there are of each element type. */
  readonly tensorTypes: Readonly<Record<string, number>>;
  /** The files that hold the weights. */
  readonly files: readonly string[];
  readonly backbone: Backbone | null;
  readonly head: HeadReport | null;
  readonly tokenizer: TokenizerReport | null;
}

/**
 * Describes a GGUF file, a checkpoint's directory, or a repository on the hub, of which headers and settings are read.
 *
 * What is wrong with it is part of the report, as far as the rest can still be read.
 *
 * @param source a path, or `owner/name[@revision][:type]`
 * @throws ERR_ARGUMENT, ERR_NOT_FOUND, ERR_IO; ERR_GGUF for a file that is not one; ERR_UNSUPPORTED for a torch file
 *   that is not downloaded; from the hub also ERR_HUB_ACCESS, ERR_NETWORK, ERR_OFFLINE, ERR_HUB
 */
export async function inspect(source: string, options?: InspectOptions): Promise<InspectReport> {
  checkPath(source, "What to inspect");
  const checked = checkOptions<InspectOptions>(options, {
    tokenizer: ofType("string"),
    profile: ofType("string"),
    offline: ofType("boolean"),
    onWarning: ofType("function"),
    signal: abortSignal,
  });
  const found = await findSource(source);
  if (found.kind === "hub") return inspectByName(source, found.model, checked);
  if (found.kind === "directory") return inspectDirectory(source, checked);
  const file = await readGguf(source);
  refuseTokenizer(file, checked.tokenizer);
  return inspectGguf(source, file, await lentDirectory(checked));
}

async function inspectByName(name: string, model: HubModel, options: InspectOptions): Promise<InspectReport> {
  const opened = await openByName(model, options);
  if (!("weights" in opened)) {
    const file = await readHeader(opened, options);
    refuseTokenizer(file, options.tokenizer);
    return inspectGguf(name, file, await lentDirectory(options));
  }
  const { snapshot, tokenizer, files } = opened;
  await requireReadable(opened);
  return inspectCheckpoint(name, { directory: snapshot.directory, tokenizer, profile: options.profile, files });
}

async function inspectDirectory(directory: string, options: InspectOptions): Promise<InspectReport> {
  const tokenizer = await lentDirectory(options);
  return inspectCheckpoint(directory, { directory, tokenizer, profile: options.profile });
}

async function inspectGguf(path: string, file: GgufFile, tokenizer: string | undefined): Promise<InspectReport> {
  const problems: ScoreheadError[] = [];
  const facts = await fileFacts(file, tokenizer, problems);
  return {
    path,
    kind: "gguf",
    problems: plainProblems(problems),
    warnings: profileWarnings(facts.head, file),
    layout: null,
    fileType: fileTypeOf(file.metadata),
    ...tensorFacts(file.tensors.map(({ dims, byteLength, typeName }) => ({ shape: dims, byteLength, type: typeName }))),
    files: [path],
    ...facts,
  };
}

/** What of a checkpoint is described. */
interface Inspected extends Omit<PlanInput, "type"> {
  readonly directory: string;
}

async function inspectCheckpoint(path: string, { directory, ...input }: Inspected): Promise<InspectReport> {
  const problems: ScoreheadError[] = [];
  const checkpoint = await openCheckpoint(directory, input.files).catch((error: unknown) => note(problems, error));
  const { plan, layout, problems: found } = await surveyDirectory(directory, { ...input, type: "auto" });
  for (const problem of found) note(problems, problem);
  const stored = checkpoint ? storedTensors(checkpoint) : [];
  const facts = plan
    ? modelFacts(plannedContents(path, plan), problems)
    : { backbone: null, head: null, tokenizer: null };
  return {
    path,
    kind: "checkpoint",
    problems: plainProblems(problems),
    warnings: plan?.warnings ?? [],
    layout: layout ?? configuredClass(checkpoint?.config ?? null),
    fileType: null,
    ...tensorFacts(stored.map(({ shape, byteLength, dtype }) => ({ shape, byteLength, type: dtype }))),
    files: [...new Set(stored.map(({ file }) => file))].sort(),
    ...facts,
  };
}

/** The file that a plan will make, as far as it is known before any weight is read. */
export function plannedContents(path: string, plan: ConvertPlan): GgufContents {
  const tensors = plan.tensors.map((tensor) => {
    const { name, type: typeName, dims } = tensor;
    return { name, typeName, dims, byteLength: plannedBytes(tensor, plan.type) };
  });
  return { path, metadata: plan.metadata, tensors };
}

function count(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** Each storage once: a torch file may name one several times. */
function storedTensors({ tensors }: Checkpoint): CheckpointTensor[] {
  const byPlace = new Map([...tensors.values()].map((tensor) => [`${tensor.file}:${tensor.offset}`, tensor]));
  return [...byPlace.values()];
}

interface TensorFacts {
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly type: string;
}

function tensorFacts(
  tensors: readonly TensorFacts[],
): Pick<InspectReport, "bytes" | "parameters" | "tensors" | "tensorTypes"> {
  const tensorTypes: Record<string, number> = {};
  for (const { type } of tensors) tensorTypes[type] = (tensorTypes[type] ?? 0) + 1;
  return {
    bytes: tensors.reduce((sum, { byteLength }) => sum + byteLength, 0),
    parameters: tensors.reduce((sum, { shape }) => sum + count(shape), 0),
    tensors: tensors.length,
    tensorTypes,
  };
}

/** As far as each can be read. */
async function fileFacts(
  file: GgufFile,
  tokenizer: string | undefined,
  problems: ScoreheadError[],
): Promise<Pick<InspectReport, "backbone" | "head" | "tokenizer">> {
  const noted = (error: unknown): null => note(problems, error);
  const backbone = attempt(problems, () => readBackbone(withoutClassifier(file)));
  const head = await readFileHead(file, backbone, {}).catch(noted);
  const found = await fileTokenizer(file, tokenizer, undefined).catch(noted);
  if (head && backbone) attempt(problems, () => validateHead(head.head, backbone));
  return {
    backbone,
    head: head && headReport(head.head),
    tokenizer: found && tokenizerReport(found.rules),
  };
}

function modelFacts(
  contents: GgufContents,
  problems: ScoreheadError[],
): Pick<InspectReport, "backbone" | "head" | "tokenizer"> {
  const backbone = attempt(problems, () => readBackbone(contents));
  const head = attempt(problems, () => headFromMetadata(contents.metadata));
  const rules = attempt(problems, () => tokenizerRules(contents.metadata));
  if (head && backbone) attempt(problems, () => validateHead(head, backbone));
  return { backbone, head: head && headReport(head), tokenizer: rules && tokenizerReport(rules) };
}

function tokenizerReport({ addedTokens, ...facts }: TokenizerRules): TokenizerReport {
  return { ...facts, addedTokens: addedTokens.map(({ content }) => content) };
}

/** Whether a file with such a profile renders conversations: by its card's template, or by its own. */
export function rendersConversations(profile: Profile | null, metadata: GgufMetadata): boolean {
  return profile !== null && (profile.template.kind === "card" || metadata.has("tokenizer.chat_template"));
}

/** Where conversations cannot be scored. */
function profileWarnings(head: HeadReport | null, { metadata }: GgufFile): string[] {
  if (head === null) return [];
  const profile = findProfile(head.profile);
  const only = "only exact texts and token ids can be scored.";
  if (!profile) return [`The profile ${head.profile} is not one that this version knows: ${only}`];
  if (rendersConversations(profile, metadata)) return [];
  return [`The file has no chat template, by which profile ${profile.name} renders conversations: ${only}`];
}
