/** Downloading a snapshot's files into the hub cache. */
import { ScoreheadError } from "../errors.ts";
import type { DownloadProgress, HubFile, HubOptions, Snapshot } from "./types.ts";

export interface PullOptions extends HubOptions {
  /** Which of the snapshot's files; all by default. */
  readonly files?: readonly HubFile[] | undefined;
  /** Files at a time; 4 by default. */
  readonly parallel?: number | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Called once a file, when it is there under its final name, in the order in which they become ready; what it returns is waited for. */
  readonly onFile?: ((file: HubFile, path: string) => void | Promise<void>) | undefined;
}

/**
 * Downloads what the cache lacks of a snapshot: settings first, then weights, several at a time; resumed where an
 * earlier call stopped, verified before a file gets its name. When all of the snapshot's files are there, the cache
 * remembers which commit the revision meant.
 * @returns the snapshot's directory
 * @throws ERR_DISK_SPACE (before the first byte, where the numbers tell), ERR_CHECKSUM, ERR_NETWORK, ERR_HUB_ACCESS,
 *   ERR_NOT_FOUND, ERR_OFFLINE, ERR_IO, ERR_ABORTED, and what `onFile` throws
 */
export async function pull(_snapshot: Snapshot, _options: PullOptions): Promise<string> {
  throw new ScoreheadError("ERR_INTERNAL", "not written yet");
}

/** The commit of the snapshot's revision, written where offline calls and other tools look for it. */
export async function rememberRevision(_revision: Pick<Snapshot, "repository" | "revision" | "commit">): Promise<void> {
  throw new ScoreheadError("ERR_INTERNAL", "not written yet");
}
