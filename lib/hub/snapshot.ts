/** Which files of a commit are needed: chosen from its listing, or from what the cache has of it. */
import { readFile } from "node:fs/promises";
import { ioError, isScoreheadError, ScoreheadError } from "../errors.ts";
import { askTree } from "./api.ts";
import { cachedFiles, filePath, isCached, snapshotPath, treePath } from "./cache.ts";
import { getFile, type SnapshotPlace } from "./download.ts";
import { hubCache, isOffline } from "./environment.ts";
import { openHub } from "./http.ts";
import { chooseFiles, type Listing, type Wanted } from "./select.ts";
import { readTree, type TreeEntry, writeTree } from "./tree.ts";
import type { HubFile, HubOptions, Revision, Snapshot } from "./types.ts";

export interface SnapshotOptions extends HubOptions, Wanted {}

/**
 * The files of a commit that are needed: config, tokenizer, and either weights (safetensors, else torch) or, where the
 * repository has none, one GGUF file. Downloads nothing but the index of shards. Without network, the files are
 * those that the cache has, and all of them have to be there.
 * @throws ERR_CHECKPOINT (no weights, or several that could be meant), ERR_HUB (a listing that names files outside the
 *   repository), ERR_NOT_FOUND, ERR_HUB_ACCESS, ERR_NETWORK, ERR_OFFLINE, ERR_ABORTED, and for the index what
 *   downloading throws
 */
export async function openSnapshot(revision: Revision, options: SnapshotOptions = {}): Promise<Snapshot> {
  const { repository, commit } = revision;
  const place = { ...revision, directory: snapshotPath(repository, commit) };
  const readIndex = async (file: HubFile): Promise<string> => {
    const path = await indexPath(place, file, options);
    return readFile(path, "utf8").catch((error: unknown) => {
      throw ioError("read", path, error);
    });
  };
  const { files, isWhole } = await list(revision, options);
  const chosen = await chooseFiles(files, `${repository} (commit ${commit})`, options, readIndex).catch(
    (error: unknown) => {
      // What the cache does not have may well be in the repository.
      const lacking = !isWhole && isScoreheadError(error, "ERR_CHECKPOINT");
      throw lacking ? notCached(revision, options, error.message) : error;
    },
  );
  const snapshot = { ...place, ...chosen };
  if (!revision.online) requireOnline(snapshot, options, await missingFiles(snapshot));
  return snapshot;
}

/** The files of a snapshot that the cache lacks. */
export async function missingFiles({ directory, files }: Pick<Snapshot, "directory" | "files">): Promise<HubFile[]> {
  const cached = await Promise.all(files.map((file) => isCached(filePath(directory, file), file.size)));
  return files.filter((_, index) => !cached[index]);
}

/** @throws ERR_OFFLINE or ERR_NETWORK where files are missing that the hub cannot be asked for */
export function requireOnline(revision: Revision, options: HubOptions, missing: readonly HubFile[]): void {
  if (revision.online || missing.length === 0) return;
  throw notCached(revision, options, `It lacks ${missing.map(({ path }) => path).join(", ")}.`);
}

function notCached({ repository, commit }: Revision, { offline }: HubOptions, problem: string): ScoreheadError {
  const forbidden = offline ?? isOffline();
  const reason = forbidden ? "the network is forbidden (--offline or HF_HUB_OFFLINE)" : "the hub cannot be reached";
  const remedy = forbidden ? "Run once without that." : "Check the connection.";
  return new ScoreheadError(
    forbidden ? "ERR_OFFLINE" : "ERR_NETWORK",
    `The hub cache (${hubCache()}) does not have all of ${repository} (commit ${commit}), and ${reason}. ${problem} ${remedy}`,
  );
}

async function indexPath(place: SnapshotPlace & Revision, file: HubFile, options: HubOptions): Promise<string> {
  const missing = await missingFiles({ ...place, files: [file] });
  if (missing.length === 0) return filePath(place.directory, file);
  requireOnline(place, options, missing);
  return (await getFile(await openHub(options), place, file, () => {})).path;
}

/** The listing of a commit, which never changes: kept from an earlier time, asked for, or else what the cache has. */
async function list(
  revision: Revision,
  options: SnapshotOptions,
): Promise<{ readonly files: Listing; readonly isWhole: boolean }> {
  const { repository, commit, online } = revision;
  const path = treePath(repository, commit);
  const kept = await readTree(path);
  if (kept) return { files: fromTree(kept), isWhole: true };
  // Other tools may have filled the cache without keeping the listing.
  const cached = await cachedFiles(repository, commit);
  const files: Listing = new Map([...cached].map(([name, size]) => [name, { size, etag: "" }]));
  if (!online && files.size === 0) throw notCached(revision, options, "It has nothing of it.");
  if (!online) return { files, isWhole: false };
  const hub = await openHub(options);
  try {
    const tree = await askTree(files.size > 0 ? { ...hub, tries: 1 } : hub, repository, commit);
    await writeTree(path, tree);
    return { files: fromTree(tree), isWhole: true };
  } catch (error) {
    if (files.size === 0 || !isScoreheadError(error, "ERR_NETWORK")) throw error;
    options.onWarning?.(`${error.message} Using what the cache has of ${repository}`);
    return { files, isWhole: false };
  }
}

function fromTree(tree: ReadonlyMap<string, TreeEntry>): Listing {
  const entries = [...tree].map(([path, entry]) => {
    const { size, blob_id, lfs_size = size, lfs_sha256 = blob_id } = entry;
    return [path, { size: lfs_size, etag: lfs_sha256 }] as const;
  });
  return new Map(entries);
}
