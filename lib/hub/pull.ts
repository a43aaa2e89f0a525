/** Downloading a snapshot's files into the hub cache. */
import { mkdir } from "node:fs/promises";
import { ioError } from "../errors.ts";
import { rememberRevision } from "./cache.ts";
import { requireSpace } from "./disk-space.ts";
import { type CachedFile, type CountBytes, getFile } from "./download.ts";
import { hubCache } from "./environment.ts";
import { openHub } from "./http.ts";
import { missingFiles, requireOnline } from "./snapshot.ts";
import { remainingBytes } from "./stored.ts";
import type { DownloadProgress, Hub, HubFile, HubOptions, Snapshot } from "./types.ts";

export interface PullOptions extends HubOptions {
  /** Files at a time; 4 by default. */
  readonly parallel?: number | undefined;
  /** `onFile` removes files and the caller has made sure of the room: what is missing need not fit at once. */
  readonly isPassing?: boolean | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /**
   * Called once a file, when it is there, in the order in which they get ready. What it returns is waited for before the
   * same worker gets another file, so that no more than `parallel` files lie there unused.
   */
  readonly onFile?: ((file: HubFile, cached: CachedFile) => void | Promise<void>) | undefined;
}

/**
 * Downloads what the cache lacks of a snapshot: settings first, then weights, several at a time; resumed where an
 * earlier call stopped, verified before a file gets its name. When all of them are there, the cache remembers which
 * commit the revision meant.
 * @returns the snapshot's directory
 * @throws ERR_DISK_SPACE (before the first byte, where the numbers tell), ERR_CHECKSUM, ERR_NETWORK, ERR_HUB_ACCESS,
 *   ERR_NOT_FOUND, ERR_HUB, ERR_IO, ERR_ABORTED, and what `onFile` throws
 */
export async function pull(snapshot: Snapshot, options: PullOptions = {}): Promise<string> {
  const { parallel = 4, onProgress, onFile } = options;
  const missing = await missingFiles(snapshot);
  requireOnline(snapshot, options, missing);
  if (!options.isPassing) await requireRoom(snapshot, missing);
  const total = missing.reduce((sum, { size }) => sum + size, 0);
  let bytes = 0;
  const count: CountBytes = (more) => {
    bytes += more;
    onProgress?.({ stage: "download", bytes, total });
  };
  // The first failure stops the other downloads.
  const stop = new AbortController();
  const hub = await openHub(options);
  const stoppable: Hub = { ...hub, signal: hub.signal ? AbortSignal.any([hub.signal, stop.signal]) : stop.signal };
  const get = async (file: HubFile): Promise<void> => {
    const cached = await getFile(stoppable, snapshot, file, count);
    await onFile?.(file, cached);
  };
  for (const weights of [false, true]) {
    const files = snapshot.files.filter((file) => file.weights === weights);
    await inParallel(files, parallel, get, stop);
  }
  await rememberRevision(snapshot);
  return snapshot.directory;
}

/** Does `work` for every item, `parallel` at a time. When one fails no further one is begun, and `stop` ends the others. */
async function inParallel<Item>(
  items: readonly Item[],
  parallel: number,
  work: (item: Item) => Promise<void>,
  stop: AbortController,
): Promise<void> {
  const queue = items.values();
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    for (const item of queue)
      try {
        await work(item);
      } catch (error) {
        failures.push(error);
        stop.abort();
        return;
      }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  // The others failed because they were stopped.
  if (failures.length > 0) throw failures[0];
}

/** @throws ERR_DISK_SPACE where what is missing does not fit */
async function requireRoom(snapshot: Snapshot, missing: readonly HubFile[]): Promise<void> {
  const cache = hubCache();
  let bytes = 0;
  for (const file of missing) bytes += await remainingBytes(snapshot, file);
  if (bytes === 0) return;
  await mkdir(cache, { recursive: true }).catch((error: unknown) => {
    throw ioError("make the hub cache", cache, error);
  });
  const remedy = "Free some space, or name a directory on another disk in the variable HF_HOME.";
  await requireSpace(cache, bytes, `download ${snapshot.repository}`, remedy);
}
