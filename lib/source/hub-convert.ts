/** Converting a hub checkpoint while it is downloaded, with or without keeping the downloads. */
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { Assembly } from "../convert/assembly.ts";
import type { ConvertPlan } from "../convert/plan.ts";
import { type AssemblyWork, convertPlan, planDirectory } from "../convert/run.ts";
import { conversionSize, sizeOfUnknown } from "../convert/size.ts";
import type { OutputType } from "../convert/types.ts";
import { filePath, rememberRevision } from "../hub/cache.ts";
import { type PullOptions, pull } from "../hub/pull.ts";
import { discardFile, remainingBytes } from "../hub/stored.ts";
import type { HubFile } from "../hub/types.ts";
import { PARALLEL, planDownload } from "./download-plan.ts";
import { type HubCheckpoint, planBeforeDownload } from "./hub-checkpoint.ts";
import { Journal } from "./journal.ts";
import type { Workplace } from "./ready.ts";
import type { DownloadPlan, SourceOptions } from "./types.ts";

/** A conversion of which nothing is downloaded yet. */
interface Job {
  readonly checkpoint: HubCheckpoint;
  readonly type: OutputType;
  readonly work: Workplace;
  readonly options: SourceOptions;
  /** Null where the weights have to be there first. */
  readonly early: ConvertPlan | null;
  readonly journal: Journal;
  /** What an earlier process has begun. */
  readonly resumed: Assembly | null;
  /** The weight files whose tensors are not in that. */
  readonly files: readonly HubFile[];
  readonly discard: boolean;
}

/**
 * Downloads what is missing of a checkpoint and converts it.
 *
 * The plan is made first, of headers that are read by ranges, so that what cannot be converted is not downloaded; torch
 * files have to be there before. Where downloads are not kept, each weight file that this conversion has downloaded is
 * removed as soon as its tensors are written.
 *
 * @param onPlanned called before the output is begun
 * @throws ERR_DISK_SPACE before weights are downloaded, and what downloading and converting throw
 */
export async function convertHub(
  checkpoint: HubCheckpoint,
  type: OutputType,
  work: Workplace,
  options: SourceOptions,
  onPlanned: (plan: ConvertPlan) => Promise<void>,
): Promise<ConvertPlan> {
  const job = await prepare(checkpoint, type, work, options);
  const { journal, early, resumed, discard } = job;
  try {
    const plan = early ?? (await planOfWeights(job));
    await onPlanned(plan);
    const begin = resumed
      ? async () => resumed
      : discard
        ? () => Assembly.create(plan, work.partial, options)
        : undefined;
    await convertPlan(plan, work.output, options, { fill: fillWith(job), begin });
    await journal.remove();
    await rememberRevision(checkpoint.snapshot);
    return plan;
  } catch (error) {
    await resumed?.close();
    await journal.abandon();
    throw error;
  }
}

async function prepare(
  checkpoint: HubCheckpoint,
  type: OutputType,
  work: Workplace,
  options: SourceOptions,
): Promise<Job> {
  const { weights } = checkpoint;
  const early = await planBeforeDownload(checkpoint, type, options);
  const journal = await Journal.open(work.exclusive ? work.partial : null);
  const resumed = early && (await resume(early, journal, checkpoint, work, options));
  try {
    if (!resumed) await journal.restart();
    const files = weights.filter(({ path }) => !journal.done.includes(path));
    const downloads = await missingBytes(checkpoint, files);
    const written = resumed ? (await stat(work.partial)).blocks * 512 : 0;
    const keep = work.exclusive ? options.keepDownloads : true;
    const needs = { plan: early, type, downloads, directory: dirname(work.output), keep, written };
    const plan = await estimate(checkpoint, needs);
    options.onPlan?.(plan);
    return { checkpoint, type, work, options, early, journal, resumed, files, discard: !plan.keepDownloads };
  } catch (error) {
    await resumed?.close();
    throw error;
  }
}

/** What downloading and converting is estimated from. */
interface Known {
  /** Null where it takes the weights to make one. */
  readonly plan: ConvertPlan | null;
  readonly type: OutputType;
  /** Bytes that are missing of each file whose tensors are not written. */
  readonly downloads: readonly number[];
  /** Where the output will be. */
  readonly directory: string;
  readonly keep: boolean | undefined;
  /** Bytes that an earlier process has written. */
  readonly written: number;
}

/** What downloading and converting will take. @throws ERR_DISK_SPACE */
export function estimate(
  { snapshot, weights }: HubCheckpoint,
  { plan, type, downloads, directory, keep, written }: Known,
): Promise<DownloadPlan> {
  const weightBytes = weights.reduce((sum, { size }) => sum + size, 0);
  const size = plan ? conversionSize(plan) : sizeOfUnknown(weightBytes, type);
  const places = { downloads: snapshot.directory, output: directory };
  return planDownload(snapshot, { downloads, size, written }, places, keep);
}

/** How many bytes of each file are not there yet. */
export function missingBytes({ snapshot }: HubCheckpoint, files: readonly HubFile[]): Promise<number[]> {
  return Promise.all(files.map((file) => remainingBytes(snapshot, file)));
}

function resume(
  plan: ConvertPlan,
  journal: Journal,
  { snapshot }: HubCheckpoint,
  { partial }: Workplace,
  options: SourceOptions,
): Promise<Assembly | null> | null {
  if (journal.done.length === 0) return null;
  const done = journal.done.map((path) => filePath(snapshot.directory, { path }));
  return Assembly.resume(plan, partial, done, options);
}

/** The plan of files that do not begin with what they hold: all of them are downloaded. */
async function planOfWeights(job: Job): Promise<ConvertPlan> {
  const { checkpoint, type, options, discard, journal } = job;
  await pullWeights(job, async ({ path }, { isNew }) => {
    if (discard && isNew) await journal.claim(path);
  });
  const { snapshot, tokenizer } = checkpoint;
  return planDirectory(snapshot.directory, { tokenizer, profile: options.profile, type });
}

/** Adds each weight file when it is there, and discards it where it is to be. */
function fillWith(job: Job): AssemblyWork["fill"] {
  const { checkpoint, journal, discard } = job;
  return (assembly) =>
    pullWeights(job, async (file, { path, isNew }) => {
      if (discard && isNew) await journal.claim(file.path);
      await checkpoint.files.requireSame(path);
      await assembly.add(path);
      if (!discard || !journal.isOurs(file.path)) return;
      await assembly.sync();
      await journal.finish(file.path);
      await discardFile(checkpoint.snapshot, file);
    });
}

/** Without a revision to remember: that is done when the model is there. */
async function pullWeights({ checkpoint, files, discard, options }: Job, onFile: PullOptions["onFile"]): Promise<void> {
  const { snapshot } = checkpoint;
  const parallel = discard ? PARALLEL.discarded : PARALLEL.kept;
  await pull({ ...snapshot, revision: snapshot.commit, files }, { ...options, onFile, parallel, isPassing: discard });
}
