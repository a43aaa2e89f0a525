/**
 * The hub cache that all tools share, as huggingface_hub lays it out: blobs by their etag, a snapshot a commit with
 * links to them, and what each revision meant when it was last asked for.
 *
 *     models--owner--name/blobs/<etag>
 *                         snapshots/<commit>/<path> -> ../../blobs/<etag>
 *                         refs/<revision>            the commit
 *                         trees/<commit>.json        the listing
 *     .locks/models--owner--name/<etag>.lock
 */
import { randomBytes } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { ioError } from "../errors.ts";
import { replaceFile } from "../replace-file.ts";
import { hubCache, symlinksDisabled } from "./environment.ts";
import { OBJECT_ID } from "./path.ts";
import type { HubFile, Revision } from "./types.ts";

const folderName = (repository: string): string => `models--${repository.replaceAll("/", "--")}`;
const inFolder = (repository: string, ...parts: readonly string[]): string =>
  join(hubCache(), folderName(repository), ...parts);

export const blobPath = (repository: string, etag: string): string => inFolder(repository, "blobs", etag);
export const lockPath = (repository: string, etag: string): string =>
  join(hubCache(), ".locks", folderName(repository), `${etag}.lock`);
export const snapshotPath = (repository: string, commit: string): string => inFolder(repository, "snapshots", commit);
export const treePath = (repository: string, commit: string): string => inFolder(repository, "trees", `${commit}.json`);
const refPath = (repository: string, revision: string): string => inFolder(repository, "refs", revision);

/** The commit that a revision meant when it was last remembered, or null. */
export async function rememberedCommit(repository: string, revision: string): Promise<string | null> {
  const text = await readFile(refPath(repository, revision), "utf8").catch(() => "");
  return OBJECT_ID.test(text.trim()) ? text.trim() : null;
}

/**
 * Remembers what a revision means, for calls without network and for other tools. Call it when what is needed of the
 * commit is there: until then, the commit that was remembered before is the one to use.
 *
 * Where the cache cannot be written to, nothing is remembered.
 */
export async function rememberRevision({ repository, revision, commit }: Omit<Revision, "online">): Promise<void> {
  if (revision === commit || (await rememberedCommit(repository, revision)) === commit) return;
  const path = refPath(repository, revision);
  await mkdir(dirname(path), { recursive: true }).catch(() => {});
  await replaceFile(path, (temporary) => writeFile(temporary, commit)).catch(() => {});
}

/** Whether the file at `path`, a link's target for a link, is there and has `size` bytes. */
export async function isCached(path: string, size: number): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() === true && found.size === size;
}

/**
 * Puts the blob of a file into a snapshot: as a link, or where links cannot be made (Windows without developer mode) as
 * the file itself.
 * @param fresh whether no other snapshot can hold the blob yet, so that it may be moved
 * @throws ERR_IO
 */
export async function placeInSnapshot(blob: string, target: string, fresh: boolean): Promise<void> {
  const temporary = join(dirname(target), `.${randomBytes(6).toString("hex")}.tmp`);
  try {
    await mkdir(dirname(target), { recursive: true });
    const isLinked = await linked(relative(dirname(target), blob), temporary);
    if (!isLinked && !fresh) await copyFile(blob, temporary);
    await rename(!isLinked && fresh ? blob : temporary, target);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw ioError("write", target, cause);
  }
}

async function linked(to: string, path: string): Promise<boolean> {
  if (symlinksDisabled()) return false;
  try {
    await symlink(to, path);
    return true;
  } catch (cause) {
    if (["EPERM", "ENOSYS", "ENOTSUP", "EINVAL"].includes((cause as NodeJS.ErrnoException).code ?? "")) return false;
    throw cause;
  }
}

/** The files that a snapshot has, with their sizes: what is known where no listing was kept. */
export async function cachedFiles(repository: string, commit: string): Promise<Map<string, number>> {
  const directory = snapshotPath(repository, commit);
  const names = await readdir(directory, { recursive: true }).catch(() => []);
  const found = new Map<string, number>();
  for (const name of names) {
    const file = await stat(join(directory, name)).catch(() => null);
    if (file?.isFile()) found.set(name.replaceAll("\\", "/"), file.size);
  }
  return found;
}

/** Where a snapshot's file is. */
export const filePath = (directory: string, { path }: Pick<HubFile, "path">): string =>
  join(directory, ...path.split("/"));
