/** Converting a checkpoint's directory: plan, assemble, and where asked for quantise, to one file. */
import { rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { checkPath } from "../check-options.ts";
import { readJsonIfPresent } from "../checkpoint/json.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { readTokenizer } from "../checkpoint/tokenizer.ts";
import type { CheckpointFiles } from "../checkpoint/types.ts";
import { ioError, ScoreheadError } from "../errors.ts";
import { note } from "../problems.ts";
import { replaceFile } from "../replace-file.ts";
import { Assembly } from "./assembly.ts";
import { needsQuantizer } from "./file-type.ts";
import { type ConvertPlan, type ConvertSurvey, surveyConversion } from "./plan.ts";
import { filesOf } from "./plan-tensors.ts";
import { quantizeTo } from "./quantize.ts";
import type { JobOptions, OutputType } from "./types.ts";

/** What of a checkpoint is converted, and to what. */
export interface PlanInput {
  /** Directory of the base model, for a checkpoint without its own tokenizer or config. */
  readonly tokenizer?: string | undefined;
  /** Profile to use instead of the one found by name or architecture. */
  readonly profile?: string | undefined;
  readonly type: OutputType;
  /** Where the weights are, if not in the directory. */
  readonly files?: CheckpointFiles | undefined;
}

/**
 * Plans the conversion of a checkpoint's directory: reads settings and headers, writes nothing.
 * @throws ERR_CHECKPOINT, ERR_CONFIG, ERR_SAFETENSORS, ERR_ZIP, ERR_PICKLE, ERR_TOKENIZER, ERR_TENSOR, ERR_HEAD,
 *   ERR_UNSUPPORTED, ERR_NOT_FOUND, ERR_IO
 */
export async function planDirectory(directory: string, input: PlanInput): Promise<ConvertPlan> {
  const { plan, problems } = await surveyDirectory(directory, input);
  if (plan) return plan;
  throw problems[0];
}

/**
 * Plans a conversion as far as it goes, and names all that stands in its way.
 * @throws ERR_ARGUMENT, ERR_NOT_FOUND, ERR_IO where a directory cannot be opened
 */
export async function surveyDirectory(directory: string, input: PlanInput): Promise<ConvertSurvey> {
  const { tokenizer: tokenizerDirectory = directory, profile, type, files } = input;
  await requireDirectory(directory);
  await requireDirectory(tokenizerDirectory);
  const problems: ScoreheadError[] = [];
  const noted = (error: unknown): null => note(problems, error);
  const checkpoint = await openCheckpoint(directory, files).catch(noted);
  const fallbackConfig = await readJsonIfPresent(join(tokenizerDirectory, "config.json"), "ERR_CONFIG").catch(noted);
  const tokenizer = await readTokenizer(tokenizerDirectory).catch(noted);
  if (!checkpoint) return { plan: null, layout: null, problems };
  const survey = await surveyConversion(checkpoint, tokenizer, { profile, type, fallbackConfig });
  for (const problem of survey.problems) note(problems, problem);
  return { ...survey, plan: problems.length > 0 ? null : survey.plan, problems };
}

/** @throws ERR_TOKENIZER where a directory has no tokenizer that converts, and its kin */
export async function checkTokenizer(directory: string): Promise<void> {
  await readTokenizer(directory);
}

/** How the unquantised file is made, where it is not just of files that are all there. */
export interface AssemblyWork {
  /** Adds the weight files, each as soon as it can be read. */
  readonly fill: (assembly: Assembly) => Promise<void>;
  /** Gives an assembly elsewhere than beside the output. Its file stays where anything fails. */
  readonly begin?: (() => Promise<Assembly>) | undefined;
}

/**
 * Does what a plan says. The output appears under its name only when it is complete, replacing a file that was there; a
 * type that takes llama.cpp's quantiser first writes an unquantised file beside it and removes it afterwards.
 */
export function convertPlan(
  plan: ConvertPlan,
  output: string,
  options: JobOptions,
  { fill, begin }: AssemblyWork = { fill: addAll(plan) },
): Promise<void> {
  return replaceFile(output, async (temporary) => {
    const own = temporary.replace(/tmp$/, "base.tmp");
    try {
      const assembly = await (begin?.() ?? Assembly.create(plan, own, options));
      try {
        await fill(assembly);
        assembly.requireComplete();
        await assembly.sync();
      } finally {
        await assembly.close();
      }
      const { type, tensors } = plan;
      if (needsQuantizer(type)) await quantizeTo(temporary, { path: assembly.path, tensors }, type, [], options);
      else await rename(assembly.path, temporary);
    } finally {
      await rm(own, { force: true });
    }
  });
}

function addAll({ tensors }: ConvertPlan): AssemblyWork["fill"] {
  return async (assembly) => {
    for (const file of filesOf(tensors)) await assembly.add(file);
  };
}

async function requireDirectory(path: unknown): Promise<void> {
  checkPath(path, "A checkpoint's directory");
  const found = await stat(path).catch((error: unknown) => {
    throw ioError("open the checkpoint", path, error);
  });
  if (!found.isDirectory())
    throw new ScoreheadError("ERR_CHECKPOINT", `${path} is a file; name the checkpoint's directory.`);
}
