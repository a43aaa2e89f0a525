/** Attaching a head to a GGUF file that has none: the public function, and the copy that it writes. */
import { checkAborted } from "../abort.ts";
import { abortSignal, type Check, checkOptions, checkPath, listOf, ofType, oneOf } from "../check-options.ts";
import type { JobOptions } from "../convert/types.ts";
import { ScoreheadError } from "../errors.ts";
import { readGguf } from "../gguf/read.ts";
import { tensorData } from "../gguf/read-data.ts";
import type { GgufTensor, GgufValue } from "../gguf/types.ts";
import { u32 } from "../gguf/values.ts";
import { writeGguf } from "../gguf/write.ts";
import { headToMetadata } from "../head/metadata.ts";
import { isReadPosition, READ_POSITION_WORDS } from "../head/read-position.ts";
import { type HeadSpec, SCORE_TYPES } from "../head/types.ts";
import { classifierKeys, isClassifierTensor } from "./classifier.ts";
import { type HeadOptions, openScorable, type Scorable } from "./scorable.ts";

/** How {@link attach} works. */
export interface AttachOptions extends HeadOptions, JobOptions {}

/** What was attached. */
export interface AttachResult {
  readonly head: HeadSpec;
  /** Tensors that the written file does not have: those of a classifier, which the head replaces. */
  readonly dropped: readonly string[];
  /** Assumptions made. */
  readonly warnings: readonly string[];
}

/** The checks of {@link HeadOptions}, for every function that takes them. */
export const HEAD_CHECKS: Readonly<Record<keyof HeadOptions, Check>> = {
  head: ofType("string"),
  tokenizer: ofType("string"),
  profile: ofType("string"),
  type: oneOf(SCORE_TYPES),
  labels: listOf(ofType("string")),
  read: (value) => (isReadPosition(value) ? null : oneOf(READ_POSITION_WORDS)(value)),
};

const ATTACH_CHECKS: Readonly<Record<keyof AttachOptions, Check>> = {
  ...HEAD_CHECKS,
  onProgress: ofType("function"),
  signal: abortSignal,
};

/**
 * Writes a GGUF file with a score head: a copy of any model's, its tensors as they are, with the head in its keys.
 *
 * Whether the head was trained on this backbone cannot be seen but by its sizes; a head on another one gives numbers that
 * mean nothing. A head that the file carries as `cls.output.weight` becomes keys, and those tensors go, because llama.cpp
 * refuses them for most architectures. The output appears under its name only when it is complete, and may be the input.
 *
 * @param backbone the .gguf of the model
 * @param output the .gguf to write
 * @param options the head, and what is known about it, see {@link HeadOptions}
 * @throws ERR_ARGUMENT, ERR_NOT_FOUND, ERR_GGUF, ERR_NO_HEAD, ERR_HEAD, ERR_TENSOR, ERR_SAFETENSORS, ERR_CHECKPOINT,
 *   ERR_CONFIG, ERR_TOKENIZER, ERR_UNSUPPORTED, ERR_IO, ERR_ABORTED
 */
export async function attach(backbone: string, output: string, options?: AttachOptions): Promise<AttachResult> {
  const checked = checkOptions<AttachOptions>(options, ATTACH_CHECKS);
  checkPath(backbone, "The model's file");
  checkPath(output, "The output");
  const { onProgress, signal } = checked;
  const scorable = await openScorable(await readGguf(backbone), checked);
  if (!scorable.isAttached && checked.tokenizer === undefined)
    throw new ScoreheadError(
      "ERR_ARGUMENT",
      `${backbone} carries a score head already, and "head" names no other one: there is nothing to attach.`,
    );
  checkAborted(signal);
  const { file, head, warnings } = scorable;
  const kept = file.tensors.filter((tensor) => !isClassifierTensor(tensor));
  await writeGguf(
    output,
    attachedMetadata(scorable),
    kept.map(({ name, dims, typeName }) => ({ name, dims, type: typeName })),
    (index) => tensorData(file, kept[index] as GgufTensor),
    {
      onProgress: (bytes, total) => onProgress?.({ stage: "convert", bytes, total }),
      ...(signal && { signal }),
    },
  );
  const dropped = file.tensors.filter(isClassifierTensor).map(({ name }) => name);
  return { head, dropped, warnings };
}

/** The file's keys in their order, with the tokenizer's changed, and the head's at the end. */
function attachedMetadata({ file, backbone, head, tokenizer }: Scorable): Map<string, GgufValue> {
  const metadata = new Map(file.metadata);
  metadata.set(`${backbone.architecture}.context_length`, u32(backbone.contextLength));
  // The writer aligns as it always does.
  for (const key of ["general.alignment", ...classifierKeys(file)]) metadata.delete(key);
  const isHead = (key: string): boolean => key.startsWith("scorehead.") && !key.startsWith("scorehead.tokenizer.");
  for (const key of [...metadata.keys()].filter(isHead)) metadata.delete(key);
  for (const [key, value] of tokenizer.keys) {
    if (value === null) metadata.delete(key);
    else metadata.set(key, value);
  }
  return new Map([...metadata, ...headToMetadata(head)]);
}
