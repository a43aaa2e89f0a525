/** Getting one file of a snapshot: from the cache, or over any number of connections, into it. */
import { isScoreheadError } from "../errors.ts";
import { BlobWriter } from "./blob-writer.ts";
import { blobPath, filePath, isCached, lockPath, placeInSnapshot } from "./cache.ts";
import { withLock } from "./lock.ts";
import { checksumError, type RemoteFile, requestBytes } from "./resolve.ts";
import { PassingFailure, retrying } from "./retry.ts";
import type { Hub, HubFile, Snapshot } from "./types.ts";

/** Told how many bytes more are there; fewer, where a file is begun anew. */
export type CountBytes = (more: number) => void;

/** The place of the file that is wanted. */
export type SnapshotPlace = Pick<Snapshot, "repository" | "commit" | "directory">;

/** One file being downloaded. */
interface Download {
  readonly hub: Hub;
  readonly file: RemoteFile;
  readonly writer: BlobWriter;
  readonly count: CountBytes;
}

/** What arrived is whole and wrong. */
class Mismatch extends Error {}

/** A file that is in the cache. */
export interface CachedFile {
  readonly path: string;
  /** Whether it was downloaded now, and by this process. */
  readonly isNew: boolean;
}

/**
 * A file of the cache, downloaded where the cache lacks it.
 * @throws ERR_CHECKSUM, ERR_NETWORK, ERR_HUB_ACCESS, ERR_NOT_FOUND, ERR_HUB, ERR_DISK_SPACE, ERR_IO, ERR_ABORTED
 */
export async function getFile(
  hub: Hub,
  snapshot: SnapshotPlace,
  file: HubFile,
  count: CountBytes,
): Promise<CachedFile> {
  const { repository, commit, directory } = snapshot;
  const { path, size, etag } = file;
  const target = filePath(directory, file);
  if (await isCached(target, size)) return { path: target, isNew: false };
  const onWait = (): void => hub.onWarning?.(`Another process is downloading ${path} of ${repository}: waiting for it`);
  const isNew = await withLock(lockPath(repository, etag), { signal: hub.signal, onWait }, async (exclusive) => {
    if (await isCached(target, size)) {
      count(size);
      return false;
    }
    const blob = blobPath(repository, etag);
    const fresh = !(await isCached(blob, size));
    if (fresh) await downloadBlob(hub, { repository, commit, path, size, etag }, blob, exclusive, count);
    else count(size);
    await placeInSnapshot(blob, target, fresh);
    return fresh;
  });
  return { path: target, isNew };
}

async function downloadBlob(
  hub: Hub,
  file: RemoteFile,
  blob: string,
  exclusive: boolean,
  count: CountBytes,
): Promise<void> {
  const writer = await BlobWriter.open({ path: blob, size: file.size, etag: file.etag }, exclusive, hub.signal);
  try {
    count(writer.size);
    await fill({ hub, file, writer, count });
    await writer.commit();
  } catch (error) {
    const keep = exclusive && !isScoreheadError(error, "ERR_CHECKSUM");
    // Writing may be what failed.
    await (keep ? writer.close() : writer.discard()).catch(() => {});
    throw error;
  }
}

/** Downloads until what is there is what is wanted. */
async function fill(download: Download): Promise<void> {
  const { hub, file, writer } = download;
  const name = `${file.path} of ${file.repository}`;
  const receiveRest = async (): Promise<void> => {
    const progress = (): number => writer.size;
    if (writer.size < file.size) await retrying(`download ${name}`, () => receive(download), { ...hub, progress });
    if (!(await writer.verify())) throw new Mismatch("it is not what its hash says");
  };
  try {
    await receiveRest();
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    // Once may be the line's fault, or what an earlier process left behind.
    hub.onWarning?.(`${name} is damaged, ${error.message}: downloading it anew`);
    await restart(download);
    await receiveRest().catch((again: unknown) => {
      throw again instanceof Mismatch ? checksumError(hub, file, again.message) : again;
    });
  }
}

async function restart({ writer, count }: Download): Promise<void> {
  count(-writer.size);
  await writer.restart();
}

/** Receives what is missing, over one connection. */
async function receive(download: Download): Promise<void> {
  const { hub, file, writer, count } = download;
  const { host, start, chunks, close } = await requestBytes(hub, file, writer.size);
  try {
    if (start !== writer.size) await restart(download);
    for await (const chunk of chunks()) {
      if (writer.size + chunk.length > file.size) throw new Mismatch(`it has more than its ${file.size} bytes`);
      await writer.append(chunk);
      count(chunk.length);
    }
  } finally {
    await close();
  }
  if (writer.size < file.size) throw new PassingFailure(`${host} broke off after ${writer.size} of ${file.size} bytes`);
}
