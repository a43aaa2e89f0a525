/** The options of commands that may get a model from the hub, and what they say of it. */
import type { Command } from "commander";
import type { DownloadPlan, LoadOptions } from "../index.ts";
import { given } from "./arguments.ts";
import { formatBytes } from "./format.ts";

/** As commander reads them. */
export interface HubCommandOptions {
  readonly offline?: true;
  readonly discardDownloads?: true;
}

export function addTokenizerOption(command: Command): void {
  command.option(
    "--tokenizer <source>",
    "the base model's directory, or owner/name on the hub, for a checkpoint without tokenizer or config, or for a .gguf that another tool made",
  );
}

export function addOfflineOption(command: Command): void {
  command.option("--offline", "never use the network: what is not in the caches is an error");
}

export function addHubOptions(command: Command): void {
  addOfflineOption(command);
  command.option(
    "--discard-downloads",
    "remove each weight file that is downloaded as soon as it is converted; default: where the disk does not hold all",
  );
}

/** The options as the API takes them. */
export function hubOptions({
  offline,
  discardDownloads,
}: HubCommandOptions): Pick<LoadOptions, "offline" | "keepDownloads"> {
  return given({ offline, keepDownloads: discardDownloads && false });
}

/** E.g. "owner/name at 1a2b3c4d: 13.5 GB to download, 7.20 GB result, at most 34.2 GB of disk at once". */
export function planSentence({
  repository,
  commit,
  downloadBytes,
  resultBytes,
  peakBytes,
  keepDownloads,
}: DownloadPlan): string {
  const parts = [
    downloadBytes === 0 ? "nothing to download" : `${formatBytes(downloadBytes)} to download`,
    `${formatBytes(resultBytes)} result`,
    `at most ${formatBytes(peakBytes)} of disk at once`,
    ...(keepDownloads ? [] : ["downloads are removed as they are converted"]),
  ];
  return `${repository} at ${commit.slice(0, 8)}: ${parts.join(", ")}`;
}
