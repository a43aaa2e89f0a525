/** The public way to convert: a checkpoint's directory, or a repository on the hub by name, to a file. */
import { resolve } from "node:path";
import { abortSignal, type Check, checkOptions, checkPath, ofType, oneOf } from "../check-options.ts";
import { OUTPUT_TYPES } from "../convert/file-type.ts";
import type { ConvertPlan } from "../convert/plan.ts";
import { convertPlan, planDirectory } from "../convert/run.ts";
import type { OutputType } from "../convert/types.ts";
import { ScoreheadError } from "../errors.ts";
import { type HubCheckpoint, openByName, planBeforeDownload, unreadable } from "./hub-checkpoint.ts";
import { convertHub, estimate, missingBytes } from "./hub-convert.ts";
import { HUB_TYPE } from "./hub-name.ts";
import { withOutput } from "./output.ts";
import { findSource } from "./resolve.ts";
import { lentDirectory } from "./tokenizer.ts";
import type { HubModel, SourceOptions } from "./types.ts";

export interface ConvertOptions extends SourceOptions {
  /** Default: `auto` for a directory; for a repository what its name says, else `q8_0`. */
  readonly type?: OutputType | undefined;
}

export const SOURCE_CHECKS: Readonly<Record<keyof SourceOptions, Check>> = {
  tokenizer: ofType("string"),
  profile: ofType("string"),
  offline: ofType("boolean"),
  keepDownloads: ofType("boolean"),
  onWarning: ofType("function"),
  onPlan: ofType("function"),
  onProgress: ofType("function"),
  signal: abortSignal,
};

const CONVERT_CHECKS: Readonly<Record<keyof ConvertOptions, Check>> = { ...SOURCE_CHECKS, type: oneOf(OUTPUT_TYPES) };

/**
 * Plans the conversion of a checkpoint: downloads no weights, writes nothing.
 * @param source the checkpoint's directory, or `owner/name[@revision][:type]` on the hub, whose settings are downloaded
 * @throws what {@link convert} throws before it writes; ERR_UNSUPPORTED for a torch file that is not downloaded
 */
export async function planCheckpoint(source: string, options?: ConvertOptions): Promise<ConvertPlan> {
  const checked = checkOptions<ConvertOptions>(options, CONVERT_CHECKS);
  checkPath(source, "A checkpoint");
  const found = await findSource(source);
  if (found.kind !== "hub") return planLocal(found.path, checked);
  const type = hubType(found.model, checked);
  const checkpoint = await openConvertible(found.model, checked);
  const downloads = await missingBytes(checkpoint, checkpoint.weights);
  const plan = await planBeforeDownload(checkpoint, type, checked);
  const keep = checked.keepDownloads;
  checked.onPlan?.(await estimate(checkpoint, { plan, type, downloads, directory: process.cwd(), keep, written: 0 }));
  if (plan) return plan;
  throw unreadable(checkpoint);
}

/**
 * Converts a published checkpoint to one GGUF file: backbone, tokenizer and score head.
 *
 * Memory use stays far below 1 GiB whatever the checkpoint's size. The same input gives the same bytes. The output
 * appears under its name only when it is complete, replacing a file that was there; a quantised type first writes the
 * unquantised file beside it and removes it afterwards.
 *
 * From the hub, what the hub cache lacks is downloaded and converted as it arrives. Where the disk does not hold
 * everything at once, or with `keepDownloads: false`, weight files that this call has downloaded are removed as soon as
 * they are converted; when it is interrupted then, the same call goes on where it stopped.
 *
 * @param source the checkpoint's directory, or `owner/name[@revision][:type]` on the hub
 * @param output the .gguf to write
 * @returns what was done, `warnings` included
 * @throws ERR_CHECKPOINT, ERR_CONFIG, ERR_SAFETENSORS, ERR_ZIP, ERR_PICKLE, ERR_TOKENIZER, ERR_TENSOR, ERR_HEAD,
 *   ERR_UNSUPPORTED, ERR_NOT_FOUND, ERR_IO, ERR_QUANTIZE, ERR_ABORTED; from the hub also ERR_HUB_ACCESS, ERR_NETWORK,
 *   ERR_OFFLINE, ERR_HUB, ERR_CHECKSUM, ERR_DISK_SPACE
 */
export async function convert(source: string, output: string, options?: ConvertOptions): Promise<ConvertPlan> {
  const checked = checkOptions<ConvertOptions>(options, CONVERT_CHECKS);
  checkPath(source, "A checkpoint");
  checkPath(output, "The output");
  const found = await findSource(source);
  if (found.kind === "hub") {
    const { model } = found;
    const type = hubType(model, checked);
    return withOutput(resolve(output), checked, async (work) =>
      convertHub(await openConvertible(model, checked), type, work, checked, async () => {}),
    );
  }
  const plan = await planLocal(found.path, checked);
  await convertPlan(plan, output, checked);
  return plan;
}

async function planLocal(directory: string, options: ConvertOptions): Promise<ConvertPlan> {
  const { type = "auto", profile } = options;
  const tokenizer = await lentDirectory(options);
  return planDirectory(directory, { tokenizer, profile, type });
}

/** @throws ERR_ARGUMENT where the name and the option say different types */
function hubType({ repository, asked }: HubModel, { type }: ConvertOptions): OutputType {
  if (asked === null || type === undefined || asked === type) return asked ?? type ?? HUB_TYPE;
  throw new ScoreheadError(
    "ERR_ARGUMENT",
    `${repository}:${asked} names the type ${asked}, and the option "type" is ${type}. Leave one of them out.`,
  );
}

async function openConvertible(model: HubModel, options: ConvertOptions): Promise<HubCheckpoint> {
  const opened = await openByName(model, options);
  if ("weights" in opened) return opened;
  const names = opened.files.map(({ path }) => path).join(", ");
  throw new ScoreheadError(
    "ERR_CHECKPOINT",
    `${model.repository} has no checkpoint to convert, but a GGUF file (${names}): score with it by its name.`,
  );
}
