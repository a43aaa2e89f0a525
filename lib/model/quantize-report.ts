/** What quantising costs a model, measured: the same texts scored with the source and with each type. */
import { randomBytes } from "node:crypto";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { makeCacheDirectory } from "../cache-directory.ts";
import { abortSignal, type Check, checkOptions, checkPath, integer, listOf, ofType, oneOf } from "../check-options.ts";
import { fileTypeOf } from "../convert/file-type.ts";
import { quantize, readQuantizable } from "../convert/quantize.ts";
import { overrideTensors, type TensorTypes, tensorTypesCheck } from "../convert/tensor-types.ts";
import type { ConvertProgress } from "../convert/types.ts";
import { ScoreheadError } from "../errors.ts";
import { type Agreement, compareScores } from "../head/agreement.ts";
import { DEVICE_CHOICES } from "../runtime/open.ts";
import { QUANTIZED_TYPES, type QuantizedType } from "../runtime/quantize.ts";
import type { LoadOptions, ScoreInput } from "./options.ts";
import { reportTexts } from "./report-texts.ts";
import { ScoreModel } from "./score-model.ts";

/** Where the report is: bytes of the tensors that are quantised, or texts. `model` is `source` or the type in work. */
export interface QuantizeReportProgress {
  readonly model: "source" | QuantizedType;
  readonly stage: "quantize" | "score";
  readonly done: number;
  readonly total: number;
}

export interface QuantizeReportOptions extends Pick<LoadOptions, "device" | "kv" | "context" | "threads" | "signal"> {
  /** At least two; default: a small set of questions with answers good and bad. */
  readonly texts?: readonly ScoreInput[] | undefined;
  /** Default: all. */
  readonly types?: readonly QuantizedType[] | undefined;
  /** Types for single tensors, under every type; as for `quantize`. */
  readonly tensorTypes?: TensorTypes | undefined;
  readonly onProgress?: ((progress: QuantizeReportProgress) => void) | undefined;
}

/** A file's size and speed. */
export interface MeasuredFile {
  readonly type: string;
  readonly bytes: number;
  /** Of the tokens that had to be computed; shared prefixes are computed once. */
  readonly tokensPerSecond: number;
}

export interface QuantizedReport extends MeasuredFile {
  /** One an output, in the order of `labels`, of the end scores. */
  readonly outputs: readonly (Agreement & { readonly label: string })[];
}

export interface QuantizeReport {
  /** How many texts were scored. */
  readonly texts: number;
  readonly labels: readonly string[];
  readonly source: MeasuredFile;
  readonly types: readonly QuantizedReport[];
}

const CHECKS: Readonly<Record<keyof QuantizeReportOptions, Check>> = {
  texts: listOf(() => null, 2, "an array of at least two texts"),
  types: listOf(oneOf(Object.keys(QUANTIZED_TYPES)), 1, `an array of ${Object.keys(QUANTIZED_TYPES).join(", ")}`),
  tensorTypes: tensorTypesCheck,
  device: oneOf(DEVICE_CHOICES),
  kv: oneOf(["f16", "f32"]),
  context: integer(1, 1 << 24),
  threads: integer(1, 512),
  onProgress: ofType("function"),
  signal: abortSignal,
};

/**
 * Scores texts with an unquantised file and with each quantised type of it, and tells how well they agree, their sizes
 * and speeds. The quantised files are written one at a time into the cache directory, and removed.
 *
 * @param input a .gguf of type f32, f16 or bf16
 * @returns the types in the order asked for
 * @throws what `quantize`, `ScoreModel.load` and `score` throw, for the first text that cannot be scored too; ERR_ABORTED
 */
export async function quantizeReport(input: string, options?: QuantizeReportOptions): Promise<QuantizeReport> {
  const checked = checkOptions<QuantizeReportOptions>(options, CHECKS);
  checkPath(input, "The file to quantise");
  const { types = Object.keys(QUANTIZED_TYPES) as QuantizedType[], tensorTypes, signal } = checked;
  // What stands in the way is said before the first hour of scoring.
  const file = await readQuantizable(input);
  overrideTensors(file, tensorTypes ?? {});
  const { texts = reportTexts(file.metadata) } = checked;
  const job = { ...checked, texts: [...texts] };
  const source = await measure(input, "source", job);
  const reports: QuantizedReport[] = [];
  for (const type of new Set(types)) {
    const path = join(
      await makeCacheDirectory("reports"),
      `${process.pid}.${randomBytes(6).toString("hex")}.${type}.gguf`,
    );
    try {
      const onProgress = ({ bytes, total }: ConvertProgress): void =>
        checked.onProgress?.({ model: type, stage: "quantize", done: bytes, total });
      await quantize(input, path, { type, tensorTypes, onProgress, signal });
      const measured = await measure(path, type, job);
      reports.push({ type, ...measured.file, outputs: compareOutputs(source, measured) });
    } finally {
      await rm(path, { force: true });
    }
  }
  return {
    texts: texts.length,
    labels: source.labels,
    source: { type: fileTypeOf(file.metadata) ?? "unknown", ...source.file },
    types: reports,
  };
}

interface Measured {
  readonly file: Omit<MeasuredFile, "type">;
  readonly labels: readonly string[];
  /** `[texts, labels]` */
  readonly scores: Float32Array;
}

async function measure(
  path: string,
  name: "source" | QuantizedType,
  { texts, device, kv, context, threads, signal, onProgress }: QuantizeReportOptions & { texts: readonly ScoreInput[] },
): Promise<Measured> {
  await using model = await ScoreModel.load(path, { device, kv, context, threads, signal });
  // The first text brings the weights into memory, which is not what is measured.
  await model.score(texts[0] as ScoreInput, { signal });
  const before = model.stats();
  const { labels } = model.info;
  const scores = new Float32Array(texts.length * labels.length);
  for await (const { index, error, ...output } of model.scoreStream(texts, { signal })) {
    if (error) throw new ScoreheadError(error.code, `Text ${index} of the report: ${error.message}`, error);
    if ("endScores" in output) scores.set(output.endScores.data, index * labels.length);
    onProgress?.({ model: name, stage: "score", done: index + 1, total: texts.length });
  }
  const after = model.stats();
  const seconds = (after.milliseconds - before.milliseconds) / 1000;
  const tokensPerSecond = seconds > 0 ? (after.tokensComputed - before.tokensComputed) / seconds : 0;
  return { file: { bytes: (await stat(path)).size, tokensPerSecond }, labels, scores };
}

function compareOutputs(source: Measured, quantized: Measured): QuantizedReport["outputs"] {
  const { labels } = source;
  return labels.map((label, output) => {
    const column = ({ scores }: Measured): Float32Array => scores.filter((_, i) => i % labels.length === output);
    return { label, ...compareScores(column(source), column(quantized)) };
  });
}
