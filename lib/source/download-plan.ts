/** What a download and conversion will take of the disk, and whether it has that much. */
import { stat, statfs } from "node:fs/promises";
import type { ConversionSize } from "../convert/size.ts";
import { ioError, ScoreheadError } from "../errors.ts";
import type { DownloadPlan } from "./types.ts";

/** Weight files at a time: all that a fast line needs, and fewer where each takes room that is scarce. */
export const PARALLEL = { kept: 4, discarded: 2 } as const;

export interface Needs {
  /** Bytes of each weight file that are still to be downloaded. */
  readonly downloads: readonly number[];
  readonly size: ConversionSize;
  /** Bytes of the file that is written first that an earlier process has written. */
  readonly written: number;
}

/** The most bytes that are added at once: in the hub cache, beside the output, and where both are on one disk. */
export interface Peak {
  readonly downloads: number;
  readonly output: number;
  readonly both: number;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** Downloads, the file that is written first, and where it is another one the result lie side by side in the end. */
export function peakKept({ downloads, size, written }: Needs): Peak {
  const output = size.base - written + quantizedBytes(size);
  return { downloads: sum(downloads), output, both: sum(downloads) + output };
}

/** A weight file goes when its tensors are written: the last ones lie beside the whole file that is written first. */
export function peakDiscarded({ downloads, size, written }: Needs): Peak {
  const largest = [...downloads].sort((a, b) => b - a).slice(0, PARALLEL.discarded);
  const base = size.base - written;
  const output = base + quantizedBytes(size);
  return { downloads: sum(largest), output, both: Math.max(base + sum(largest), output) };
}

/** The result, where it is another file than the one that is written first. */
function quantizedBytes({ base, result }: ConversionSize): number {
  return result === base ? 0 : result;
}

/** Where the bytes go. Both directories exist. */
export interface Places {
  readonly downloads: string;
  readonly output: string;
}

/**
 * Chooses whether downloads are kept, and tells what will be on disk.
 * @param keep as asked; undefined: where everything fits
 * @throws ERR_DISK_SPACE with the numbers, before anything is downloaded
 */
export async function planDownload(
  { repository, commit }: Pick<DownloadPlan, "repository" | "commit">,
  needs: Needs,
  places: Places,
  keep: boolean | undefined,
): Promise<DownloadPlan> {
  const free = await freeBytes(places);
  const [kept, discarded] = [peakKept(needs), peakDiscarded(needs)];
  const choice = [
    { keepDownloads: true, peak: kept },
    { keepDownloads: false, peak: discarded },
  ].find(({ keepDownloads, peak }) => (keep ?? keepDownloads) === keepDownloads && fits(peak, free));
  const downloadBytes = sum(needs.downloads);
  if (choice)
    return {
      repository,
      commit,
      downloadBytes,
      resultBytes: needs.size.result,
      peakBytes: choice.peak.both,
      keepDownloads: choice.keepDownloads,
    };
  const parts = [`${gigabytes(downloadBytes)} to download`, `${gigabytes(needs.size.result)} for the result`];
  if (needs.size.base !== needs.size.result) parts.push(`${gigabytes(needs.size.base)} for the unquantised file`);
  const smaller =
    keep === true && fits(discarded, free)
      ? ` ${gigabytes(discarded.both)} are enough with keepDownloads: false (--discard-downloads).`
      : "";
  throw new ScoreheadError(
    "ERR_DISK_SPACE",
    `${repository} needs ${gigabytes((keep === true ? kept : discarded).both)} of free disk at once (${parts.join(", ")}), ` +
      `and there are ${describeFree(places, free)}.${smaller} Free some space, or name directories on another disk with ` +
      "the variables HF_HOME (downloads) and SCOREHEAD_CACHE (converted models).",
  );
}

interface Free {
  readonly downloads: number;
  readonly output: number;
  readonly isOneDisk: boolean;
}

function fits(peak: Peak, free: Free): boolean {
  if (free.isOneDisk) return peak.both <= free.output;
  return peak.downloads <= free.downloads && peak.output <= free.output;
}

async function freeBytes(places: Places): Promise<Free> {
  const [downloads, output] = await Promise.all([places.downloads, places.output].map(ask));
  if (!downloads || !output) throw new ScoreheadError("ERR_INTERNAL", "Two places were asked for. Please report this.");
  return { downloads: downloads.free, output: output.free, isOneDisk: downloads.device === output.device };
}

async function ask(directory: string): Promise<{ free: number; device: number }> {
  try {
    const [{ bavail, bsize }, { dev }] = await Promise.all([statfs(directory), stat(directory)]);
    return { free: bavail * bsize, device: dev };
  } catch (cause) {
    throw ioError("ask for the free space of", directory, cause);
  }
}

function describeFree(places: Places, free: Free): string {
  const output = `${gigabytes(free.output)} free in ${places.output}`;
  return free.isOneDisk ? output : `${gigabytes(free.downloads)} free in ${places.downloads} and ${output}`;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}
