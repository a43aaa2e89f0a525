/** What the cache has of a file that is not complete, and removing one. */
import { rm, stat } from "node:fs/promises";
import { partialPath } from "./blob-writer.ts";
import { blobPath, filePath, isCached, lockPath } from "./cache.ts";
import { withLock } from "./lock.ts";
import type { HubFile, Snapshot } from "./types.ts";

/** Bytes of a file that are still to be downloaded; 0 where the cache has it, be it for another snapshot. */
export async function remainingBytes(
  { repository, directory }: Pick<Snapshot, "repository" | "directory">,
  file: HubFile,
): Promise<number> {
  const { etag, size } = file;
  const blob = blobPath(repository, etag);
  if ((await isCached(filePath(directory, file), size)) || (await isCached(blob, size))) return 0;
  const partial = await stat(partialPath(blob)).catch(() => null);
  return Math.max(0, size - (partial?.size ?? 0));
}

/** Removes a downloaded file of a snapshot from the cache, its blob included. */
export async function discardFile(
  { repository, directory }: Pick<Snapshot, "repository" | "directory">,
  file: HubFile,
): Promise<void> {
  await withLock(lockPath(repository, file.etag), {}, async () => {
    await rm(filePath(directory, file), { force: true });
    await rm(blobPath(repository, file.etag), { force: true });
  });
}
