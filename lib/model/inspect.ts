/** What a GGUF file or a checkpoint directory is, and whether it can be scored with or converted. No weights are read. */
import { stat } from "node:fs/promises";
import { checkOptions, checkPath, ofType } from "../check-options.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import type { Checkpoint, CheckpointTensor } from "../checkpoint/types.ts";
import type { ConvertPlan } from "../convert/plan.ts";
import { surveyCheckpoint } from "../convert/run.ts";
import { ioError, type ScoreheadError } from "../errors.ts";
import { type Backbone, type GgufContents, readBackbone } from "../gguf/backbone.ts";
import { readGguf } from "../gguf/read.ts";
import type { GgufFile } from "../gguf/types.ts";
import { headFromMetadata } from "../head/metadata.ts";
import { validateHead } from "../head/spec.ts";
import type { HeadSpec } from "../head/types.ts";
import { attempt, note, type Problem, plainProblems } from "../problems.ts";
import { findProfile } from "../prompt/profiles.ts";
import { QUANTIZED_TYPES } from "../runtime/quantize.ts";
import { refuseTokenizer } from "../source/resolve.ts";
import { tokenizerRules } from "../tokens/metadata.ts";
import type { TokenizerRules } from "../tokens/types.ts";

export interface InspectOptions {
  /** For a checkpoint without tokenizer or config of its own: the base model's directory. */
  readonly tokenizer?: string | undefined;
  /** For a checkpoint: the profile to convert with. */
  readonly profile?: string | undefined;
}

/** The head's facts: everything but its numbers. */
export interface HeadReport extends Omit<HeadSpec, "weight" | "bias" | "normalizer"> {
  readonly bias: boolean;
  /** The function of safe-rlhf's normaliser, or null where scores are raw. */
  readonly normalizer: "reward" | "cost" | null;
}

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
 * Describes a GGUF file or a checkpoint directory.
 *
 * What is wrong with it is part of the report, as far as the rest can still be read.
 *
 * @throws ERR_ARGUMENT, ERR_NOT_FOUND, ERR_IO; ERR_GGUF for a file that is not one
 */
export async function inspect(path: string, options?: InspectOptions): Promise<InspectReport> {
  checkPath(path, "What to inspect");
  const checked = checkOptions<InspectOptions>(options, { tokenizer: ofType("string"), profile: ofType("string") });
  const found = await stat(path).catch((error: unknown) => {
    throw ioError("inspect", path, error);
  });
  if (found.isDirectory()) return inspectCheckpoint(path, checked);
  refuseTokenizer(path, checked.tokenizer);
  return inspectGguf(path);
}

async function inspectGguf(path: string): Promise<InspectReport> {
  const file = await readGguf(path);
  const problems: ScoreheadError[] = [];
  const facts = modelFacts(file, problems);
  return {
    path,
    kind: "gguf",
    problems: plainProblems(problems),
    warnings: unknownProfile(facts.head),
    layout: null,
    fileType: fileType(file),
    ...tensorFacts(file.tensors.map(({ dims, byteLength, typeName }) => ({ shape: dims, byteLength, type: typeName }))),
    files: [path],
    ...facts,
  };
}

async function inspectCheckpoint(path: string, options: InspectOptions): Promise<InspectReport> {
  const problems: ScoreheadError[] = [];
  const checkpoint = await openCheckpoint(path).catch((error: unknown) => note(problems, error));
  const survey = await surveyCheckpoint(path, options);
  for (const problem of survey.problems) note(problems, problem);
  const { plan } = survey;
  const stored = checkpoint ? storedTensors(checkpoint) : [];
  const facts = plan
    ? modelFacts(plannedContents(path, plan), problems)
    : { backbone: null, head: null, tokenizer: null };
  return {
    path,
    kind: "checkpoint",
    problems: plainProblems(problems),
    warnings: plan?.warnings ?? [],
    layout: survey.layout ?? configuredClass(checkpoint),
    fileType: null,
    ...tensorFacts(stored.map(({ shape, byteLength, dtype }) => ({ shape, byteLength, type: dtype }))),
    files: [...new Set(stored.map(({ file }) => file))].sort(),
    ...facts,
  };
}

/** The file that a plan will write first, as far as it is known before any weight is read. */
export function plannedContents(path: string, plan: ConvertPlan): GgufContents {
  const tensors = plan.tensors.map(({ name, type, dims, byteLength }) => ({ name, typeName: type, dims, byteLength }));
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

function configuredClass(checkpoint: Checkpoint | null): string | null {
  const named: unknown = Array.isArray(checkpoint?.config?.architectures) ? checkpoint.config.architectures[0] : null;
  return typeof named === "string" ? named : null;
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

function headReport({ weight: _, bias, normalizer, ...facts }: HeadSpec): HeadReport {
  return { ...facts, bias: bias !== null, normalizer: normalizer?.function ?? null };
}

function tokenizerReport({ addedTokens, ...facts }: TokenizerRules): TokenizerReport {
  return { ...facts, addedTokens: addedTokens.map(({ content }) => content) };
}

function unknownProfile(head: HeadReport | null): string[] {
  if (head === null || findProfile(head.profile)) return [];
  return [
    `The profile ${head.profile} is not one that this version knows: only exact texts and token ids can be scored.`,
  ];
}

/** llama_ftype, as `--type` calls it. */
const FILE_TYPES: ReadonlyMap<number, string> = new Map([
  [0, "f32"],
  [1, "f16"],
  [32, "bf16"],
  ...Object.entries(QUANTIZED_TYPES).map(([name, number]): [number, string] => [number, name]),
]);

function fileType({ metadata }: GgufFile): string | null {
  const found = metadata.get("general.file_type");
  return found?.type === "u32" ? (FILE_TYPES.get(found.value) ?? `llama_ftype ${found.value}`) : null;
}
