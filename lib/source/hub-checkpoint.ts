/** A checkpoint on the hub, opened as far as that takes no weights: settings downloaded, headers read by ranges. */
import { mkdir } from "node:fs/promises";
import { ArrivingFiles } from "../convert/arriving-files.ts";
import { baseModel } from "../convert/base-model.ts";
import type { ConvertPlan } from "../convert/plan.ts";
import { checkTokenizer, planDirectory } from "../convert/run.ts";
import type { OutputType } from "../convert/types.ts";
import { ioError, isScoreheadError, ScoreheadError } from "../errors.ts";
import { filePath } from "../hub/cache.ts";
import { pull } from "../hub/pull.ts";
import { readRange } from "../hub/range.ts";
import { findRevision } from "../hub/revision.ts";
import { missingFiles, openSnapshot } from "../hub/snapshot.ts";
import type { HubFile, Snapshot } from "../hub/types.ts";
import { lentDirectory, tokenizerDirectory } from "./tokenizer.ts";
import type { HubModel, SourceOptions } from "./types.ts";

/** A snapshot of a checkpoint, with what is needed to plan and convert it. */
export interface HubCheckpoint {
  readonly snapshot: Snapshot;
  readonly weights: readonly HubFile[];
  /** The directory with tokenizer and config, where they are not the checkpoint's own. */
  readonly tokenizer: string | undefined;
  readonly files: ArrivingFiles;
}

/** Downloads a snapshot's settings and, where it has no tokenizer, those of the base model that its profile names. */
export async function openHubCheckpoint(snapshot: Snapshot, options: SourceOptions): Promise<HubCheckpoint> {
  await pullSettings(snapshot, options);
  const tokenizer = await lentTokenizer(snapshot, options);
  const weights = snapshot.files.filter((file) => file.weights);
  return { snapshot, weights, tokenizer, files: remoteFiles(snapshot, options) };
}

/** The files of a snapshot, those that are not there yet included. */
export function remoteFiles(snapshot: Snapshot, options: SourceOptions): ArrivingFiles {
  const files = snapshot.files.map((file) => {
    const read = (offset: number, length: number) => readRange(snapshot, file, offset, length, options);
    return [filePath(snapshot.directory, file), { ...file, read }] as const;
  });
  return new ArrivingFiles(new Map(files));
}

/** Opens a checkpoint by its name, or gives the snapshot of a repository that has a GGUF file instead. */
export async function openByName(model: HubModel, options: SourceOptions): Promise<HubCheckpoint | Snapshot> {
  const type = model.asked === "auto" ? null : model.asked;
  const snapshot = await openSnapshot(await findRevision(model, options), { ...options, type });
  return snapshot.kind === "gguf" ? snapshot : openHubCheckpoint(snapshot, options);
}

/** @throws ERR_UNSUPPORTED where the weights have to be there before anything is known of them */
export async function requireReadable(checkpoint: HubCheckpoint): Promise<void> {
  if (!(await isReadable(checkpoint))) throw unreadable(checkpoint);
}

export function unreadable({ snapshot }: HubCheckpoint): ScoreheadError {
  return new ScoreheadError(
    "ERR_UNSUPPORTED",
    `The weights of ${snapshot.repository} are a torch file, which tells what it holds only when it is there. ` +
      "Convert it, or score with it, to see.",
  );
}

/** Whether headers can be read. A torch file does not begin with what it holds. */
async function isReadable({ snapshot, weights }: HubCheckpoint): Promise<boolean> {
  return snapshot.kind !== "torch" || (await missingFiles({ ...snapshot, files: weights })).length === 0;
}

/** The plan of a conversion, or null where it takes the weights to make one. */
export async function planBeforeDownload(
  checkpoint: HubCheckpoint,
  type: OutputType,
  { profile }: SourceOptions,
): Promise<ConvertPlan | null> {
  const { snapshot, tokenizer, files } = checkpoint;
  if (await isReadable(checkpoint)) return planDirectory(snapshot.directory, { tokenizer, profile, type, files });
  await checkTokenizer(tokenizer ?? snapshot.directory);
  return null;
}

/** Makes the snapshot's directory, if there are no settings either. Of a part of it, no revision is to be remembered. */
async function pullSettings(snapshot: Snapshot, options: SourceOptions): Promise<void> {
  const files = snapshot.files.filter((file) => !file.weights);
  await mkdir(snapshot.directory, { recursive: true }).catch((error: unknown) => {
    throw ioError("make", snapshot.directory, error);
  });
  await pull({ ...snapshot, revision: snapshot.commit, files }, { ...options, onProgress: undefined });
}

async function lentTokenizer(snapshot: Snapshot, options: SourceOptions): Promise<string | undefined> {
  if (options.tokenizer !== undefined) return lentDirectory(options);
  if (snapshot.files.some(({ path }) => path === "tokenizer.json" || path === "tokenizer.model")) return undefined;
  const base = baseModel(snapshot.repository, options.profile);
  if (base === null) return undefined;
  return tokenizerDirectory(base, options).catch((error: unknown) => {
    if (!isScoreheadError(error)) throw error;
    throw new ScoreheadError(
      error.code,
      `${snapshot.repository} has no tokenizer, and takes that of its base model, ${base}: ${error.message} ` +
        "Or name a directory that has it, or another repository, with --tokenizer.",
      error,
    );
  });
}
