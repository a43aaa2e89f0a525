/** Converting and quantising: the public functions that write GGUF files. */
import { randomBytes } from "node:crypto";
import { rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { checkAborted, unlessAborted } from "../abort.ts";
import { abortSignal, type Check, checkOptions, checkPath, ofType, oneOf } from "../check-options.ts";
import { readJsonIfPresent } from "../checkpoint/json.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { readTokenizer } from "../checkpoint/tokenizer.ts";
import { ioError, ScoreheadError } from "../errors.ts";
import { replaceFile } from "../gguf/atomic.ts";
import { readBackbone } from "../gguf/backbone.ts";
import { readGguf } from "../gguf/read.ts";
import type { WritableType } from "../gguf/types.ts";
import { writeGguf } from "../gguf/write.ts";
import { headFromMetadata } from "../head/metadata.ts";
import { note } from "../problems.ts";
import { isQuantizedType, QUANTIZED_TYPES, type QuantizedType, quantizeFile } from "../runtime/quantize.ts";
import { type ConvertPlan, type ConvertSurvey, surveyConversion } from "./plan.ts";
import { tensorBytes } from "./tensor-data.ts";

const BASE_TYPES: Readonly<Record<"f32" | "f16" | "bf16", WritableType>> = { f32: "F32", f16: "F16", bf16: "BF16" };

/** `auto` keeps the checkpoint's own type. */
export type OutputType = "auto" | keyof typeof BASE_TYPES | QuantizedType;
export const OUTPUT_TYPES: readonly OutputType[] = [
  "auto",
  ...(Object.keys(BASE_TYPES) as (keyof typeof BASE_TYPES)[]),
  ...(Object.keys(QUANTIZED_TYPES) as QuantizedType[]),
];

/** How far a job is. `write` counts bytes of the file, `quantize` tensors. */
export interface ConvertProgress {
  readonly stage: "write" | "quantize";
  readonly done: number;
  readonly total: number;
}

export interface ConvertOptions {
  /** Directory of the base model, for a checkpoint without its own tokenizer or config. */
  readonly tokenizer?: string | undefined;
  /** Profile to use instead of the one found by name or architecture. */
  readonly profile?: string | undefined;
  /** Default `auto`. */
  readonly type?: OutputType | undefined;
  readonly onProgress?: ((progress: ConvertProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How {@link quantize} works. */
export interface QuantizeOptions extends Pick<ConvertOptions, "onProgress" | "signal"> {
  readonly type: QuantizedType;
}

const CONVERT_CHECKS: Readonly<Record<keyof ConvertOptions, Check>> = {
  tokenizer: ofType("string"),
  profile: ofType("string"),
  type: oneOf(OUTPUT_TYPES),
  onProgress: ofType("function"),
  signal: abortSignal,
};

const QUANTIZE_CHECKS: Readonly<Record<keyof QuantizeOptions, Check>> = {
  type: oneOf(Object.keys(QUANTIZED_TYPES)),
  onProgress: ofType("function"),
  signal: abortSignal,
};

/**
 * Plans the conversion of a checkpoint directory without writing anything.
 * @throws what {@link convert} throws before it writes
 */
export async function planCheckpoint(directory: string, options?: ConvertOptions): Promise<ConvertPlan> {
  const { plan, problems } = await surveyCheckpoint(directory, options);
  if (plan) return plan;
  throw problems[0];
}

/**
 * Plans a conversion as far as it goes, and names all that stands in its way.
 * @throws ERR_ARGUMENT, ERR_NOT_FOUND, ERR_IO where a directory cannot be opened
 */
export async function surveyCheckpoint(directory: string, options?: ConvertOptions): Promise<ConvertSurvey> {
  const { tokenizer: base, profile, type = "auto" } = checkOptions<ConvertOptions>(options, CONVERT_CHECKS);
  await requireDirectory(directory);
  if (base !== undefined) await requireDirectory(base);
  const problems: ScoreheadError[] = [];
  const noted = (error: unknown): null => note(problems, error);
  const checkpoint = await openCheckpoint(directory).catch(noted);
  const fallbackConfig = await readJsonIfPresent(join(base ?? directory, "config.json"), "ERR_CONFIG").catch(noted);
  const tokenizer = await readTokenizer(base ?? directory).catch(noted);
  if (!checkpoint) return { plan: null, layout: null, problems };
  const baseType = type in BASE_TYPES ? BASE_TYPES[type as keyof typeof BASE_TYPES] : null;
  const survey = await surveyConversion(checkpoint, tokenizer, { profile, baseType, fallbackConfig });
  for (const problem of survey.problems) note(problems, problem);
  return { ...survey, plan: problems.length > 0 ? null : survey.plan, problems };
}

/**
 * Converts a published checkpoint's directory to one GGUF file: backbone, tokenizer and score head.
 *
 * Memory use stays far below 1 GiB whatever the checkpoint's size. The same input gives the same bytes. The output
 * appears under its name only when it is complete, replacing a file that was there; a quantised type first writes the
 * unquantised file beside it and removes it afterwards.
 *
 * @param directory the checkpoint
 * @param output the .gguf to write
 * @returns what was done, `warnings` included
 * @throws ERR_CHECKPOINT, ERR_CONFIG, ERR_SAFETENSORS, ERR_ZIP, ERR_PICKLE, ERR_TOKENIZER, ERR_TENSOR, ERR_HEAD,
 *   ERR_UNSUPPORTED, ERR_NOT_FOUND, ERR_IO, ERR_QUANTIZE, ERR_ABORTED
 */
export async function convert(directory: string, output: string, options?: ConvertOptions): Promise<ConvertPlan> {
  const checked = checkOptions<ConvertOptions>(options, CONVERT_CHECKS);
  checkPath(output, "The output");
  const plan = await planCheckpoint(directory, checked);
  const { type } = checked;
  if (!isQuantizedType(type)) {
    await writePlan(plan, output, checked);
    return plan;
  }
  const target = resolve(output);
  const base = join(dirname(target), `.${basename(target)}.${process.pid}.${randomBytes(6).toString("hex")}.base.tmp`);
  try {
    await writePlan(plan, base, checked);
    await quantizeTo(base, target, type, checked);
  } finally {
    await rm(base, { force: true });
  }
  return plan;
}

/**
 * Quantises a GGUF file that carries a score head; the head stays in float32.
 * @throws ERR_GGUF, ERR_NO_HEAD, ERR_QUANTIZE (e.g. where the input is quantised already), ERR_NOT_FOUND, ERR_IO,
 *   ERR_ABORTED
 */
export async function quantize(input: string, output: string, options: QuantizeOptions): Promise<void> {
  const checked = checkOptions<QuantizeOptions>(options, QUANTIZE_CHECKS);
  if (checked.type === undefined)
    throw new ScoreheadError("ERR_ARGUMENT", `"type" is missing; it has to be ${QUANTIZE_CHECKS.type(undefined)}.`);
  checkPath(input, "The file to quantise");
  checkPath(output, "The output");
  const file = await readGguf(input);
  headFromMetadata(file.metadata);
  readBackbone(file);
  const quantized = file.tensors.find(({ typeName }) => !["F32", "F16", "BF16"].includes(typeName));
  if (quantized)
    throw new ScoreheadError(
      "ERR_QUANTIZE",
      `${input} is quantised already (${quantized.name} is ${quantized.typeName}); doing it twice adds up the errors. ` +
        "Start from the f32, f16 or bf16 file.",
    );
  await quantizeTo(input, output, checked.type, checked);
}

function writePlan(plan: ConvertPlan, path: string, { onProgress, signal }: ConvertOptions): Promise<void> {
  return writeGguf(
    path,
    plan.metadata,
    plan.tensors,
    (index) => tensorBytes(plan.tensors[index] as ConvertPlan["tensors"][0]),
    {
      onProgress: (done, total) => onProgress?.({ stage: "write", done, total }),
      ...(signal && { signal }),
    },
  );
}

function quantizeTo(
  input: string,
  output: string,
  type: QuantizedType,
  { onProgress, signal }: Pick<ConvertOptions, "onProgress" | "signal">,
): Promise<void> {
  const report = (done: number, total: number): void => onProgress?.({ stage: "quantize", done, total });
  return replaceFile(output, async (temporary) => {
    checkAborted(signal);
    const job = quantizeFile(input, temporary, type, report);
    // llama.cpp's quantiser cannot be stopped: an aborted call stops waiting for it. It may create its file after that.
    const tidy = () => (signal?.aborted ? rm(temporary, { force: true }).catch(() => {}) : undefined);
    job.then(tidy, tidy);
    await unlessAborted(job, signal);
  });
}

async function requireDirectory(path: unknown): Promise<void> {
  checkPath(path, "A checkpoint's directory");
  const found = await stat(path).catch((error: unknown) => {
    throw ioError("open the checkpoint", path, error);
  });
  if (!found.isDirectory())
    throw new ScoreheadError("ERR_CHECKPOINT", `${path} is a file; name the checkpoint's directory.`);
}
