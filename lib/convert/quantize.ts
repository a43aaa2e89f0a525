/** Quantising GGUF files that carry a head. */
import { rm } from "node:fs/promises";
import { checkAborted, unlessAborted } from "../abort.ts";
import { abortSignal, type Check, checkOptions, checkPath, ofType, oneOf } from "../check-options.ts";
import { ScoreheadError } from "../errors.ts";
import { readGguf } from "../gguf/read.ts";
import type { GgufFile } from "../gguf/types.ts";
import { replaceFile } from "../replace-file.ts";
import { QUANTIZED_TYPES, type QuantizedType, quantizeFile, type TensorOverride } from "../runtime/quantize.ts";
import { checkModel } from "./check-model.ts";
import { overrideTensors, type TensorTypes, tensorTypesCheck } from "./tensor-types.ts";
import type { JobOptions } from "./types.ts";

/** How {@link quantize} works. */
export interface QuantizeOptions extends JobOptions {
  readonly type: QuantizedType;
  /**
   * Other types for single tensors than llama.cpp's mix gives them, e.g. `{ attn_v: "q8_0", "blk.0": "f16" }`. The mix
   * counts the layers of a kind that are left to it, so naming some of them may move its larger types to others.
   */
  readonly tensorTypes?: TensorTypes | undefined;
}

const QUANTIZE_CHECKS: Readonly<Record<keyof QuantizeOptions, Check>> = {
  type: oneOf(Object.keys(QUANTIZED_TYPES)),
  tensorTypes: tensorTypesCheck,
  onProgress: ofType("function"),
  signal: abortSignal,
};

/**
 * Quantises a GGUF file that carries a score head; the head stays in float32.
 * @throws ERR_ARGUMENT, ERR_GGUF, ERR_NO_HEAD, ERR_QUANTIZE (e.g. where the input is quantised already), ERR_NOT_FOUND, ERR_IO,
 *   ERR_ABORTED
 */
export async function quantize(input: string, output: string, options: QuantizeOptions): Promise<void> {
  const checked = checkOptions<QuantizeOptions>(options, QUANTIZE_CHECKS);
  const { type } = checked;
  if (type === undefined)
    throw new ScoreheadError("ERR_ARGUMENT", `"type" is missing; it has to be ${QUANTIZE_CHECKS.type(undefined)}.`);
  checkPath(input, "The file to quantise");
  checkPath(output, "The output");
  const file = await readQuantizable(input);
  const overrides = overrideTensors(file, checked.tensorTypes ?? {});
  await replaceFile(output, (temporary) => quantizeTo(temporary, file, type, overrides, checked));
}

/**
 * Opens a file that can be quantised.
 * @throws ERR_GGUF, ERR_NO_HEAD, ERR_NOT_FOUND, ERR_IO; ERR_QUANTIZE where it is quantised already
 */
export async function readQuantizable(path: string): Promise<GgufFile> {
  const file = await readGguf(path);
  checkModel(file);
  const quantized = file.tensors.find(({ typeName }) => !["F32", "F16", "BF16"].includes(typeName));
  if (!quantized) return file;
  throw new ScoreheadError(
    "ERR_QUANTIZE",
    `${path} is quantised already (${quantized.name} is ${quantized.typeName}); doing it twice adds up the errors. ` +
      "Start from the f32, f16 or bf16 file.",
  );
}

/** What quantising has to know of its input. */
export interface QuantizeInput {
  readonly path: string;
  readonly tensors: readonly { readonly name: string; readonly byteLength: number }[];
}

/**
 * Quantises a file to the new file `output`.
 * @param overrides tensors that get another type than llama.cpp's mix gives them
 */
export async function quantizeTo(
  output: string,
  { path, tensors }: QuantizeInput,
  type: QuantizedType,
  overrides: readonly TensorOverride[],
  { onProgress, signal }: JobOptions,
): Promise<void> {
  checkAborted(signal);
  const waiting = new Map(tensors.map(({ name, byteLength }) => [name, byteLength]));
  const total = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let bytes = 0;
  const report = (): void => onProgress?.({ stage: "quantize", bytes, total });
  // llama.cpp tells of a tensor when it begins it: those before are done.
  const onTensor = (name: string): void => {
    report();
    bytes += waiting.get(name) ?? 0;
    waiting.delete(name);
  };
  const job = quantizeFile(path, output, type, overrides, onTensor);
  // llama.cpp's quantiser cannot be stopped: an aborted call stops waiting for it. It may create its file after that.
  const tidy = () => (signal?.aborted ? rm(output, { force: true }).catch(() => {}) : undefined);
  job.then(tidy, tidy);
  await unlessAborted(job, signal);
  bytes = total;
  report();
}
