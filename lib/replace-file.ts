/** Replacing a file in one step: readers see the old file or the complete new one, never a part. */
import { randomBytes } from "node:crypto";
import { open, readlink, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { ScoreheadError } from "./errors.ts";

/** What to do about the errors that people meet; the others speak for themselves. */
const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: "The disk is full: free some space or name a file on another disk.",
  EDQUOT: "The disk quota is used up: free some space or name a file on another disk.",
  EFBIG: "The file system does not take files this large: name a file on another disk.",
  EACCES: "The directory is not writable: name a file elsewhere.",
  EPERM: "The directory is not writable, or another program holds the file: close it or name a file elsewhere.",
  EROFS: "The file system is read-only: name a file elsewhere.",
};

/** What /dev/stdout is a link to, and that itself. */
const DESCRIPTOR = /^\/(proc\/|dev\/(fd\/|std))/;

/**
 * Replaces the file at `path` by what `produce` writes under a temporary name in the same directory.
 *
 * The temporary file is synced, renamed, and its directory synced, so that a crash or power cut leaves the old file or
 * the new one. When anything fails the temporary file is removed and `path` is untouched.
 *
 * @param path the file to create or replace; its directory must exist
 * @param produce writes the whole file under the name it is given, and has closed it when its promise settles
 * @throws ERR_NOT_FOUND without the directory, ERR_IO with a remedy, and whatever ScoreheadError `produce` throws
 */
export async function replaceFile(path: string, produce: (temporaryPath: string) => Promise<void>): Promise<void> {
  const target = resolve(path);
  const directory = dirname(target);
  await requireReplaceable(target);
  const temporary = join(directory, `.${basename(target)}.${process.pid}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    await produce(temporary);
    await sync(temporary, "r+");
    await rename(temporary, target);
    await syncDirectory(directory);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw writeError(target, cause);
  }
}

/**
 * Checks a place for a file before the work, not after it: the work may be 13 GB.
 * @throws ERR_NOT_FOUND without the directory, ERR_IO where something else than a file is there
 */
export async function requireReplaceable(target: string): Promise<void> {
  const directory = dirname(target);
  const [parent, existing] = await Promise.all([
    stat(directory).catch(() => undefined),
    stat(target).catch(() => undefined),
  ]);
  if (!parent?.isDirectory())
    throw new ScoreheadError("ERR_NOT_FOUND", `Cannot write ${target}: the directory ${directory} does not exist.`);
  if (existing?.isDirectory())
    throw new ScoreheadError("ERR_IO", `Cannot write ${target}: it is a directory. Name a file.`);
  // A rename would put a file in the place of a device or pipe, or of a link to one that is redirected to a file.
  const link = await readlink(target).catch(() => "");
  const isDescriptor = [target, resolve(directory, link)].some((name) => DESCRIPTOR.test(name));
  if ((existing && !existing.isFile()) || isDescriptor)
    throw new ScoreheadError("ERR_IO", `Cannot write ${target}: it is not a regular file. Name a file.`);
}

/** Makes what was created or renamed in a directory last through a power cut. */
export async function syncDirectory(directory: string): Promise<void> {
  // Windows has no handle to a directory that could be synced; NTFS journals the rename.
  if (process.platform === "win32") return;
  try {
    await sync(directory, "r");
  } catch (cause) {
    // Some network file systems cannot sync a directory. The file itself is in place.
    if (!["EINVAL", "ENOTSUP"].includes((cause as NodeJS.ErrnoException).code ?? "")) throw cause;
  }
}

async function sync(path: string, flags: "r" | "r+"): Promise<void> {
  const handle = await open(path, flags);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A failed system call as ERR_IO; anything else is not about the file and passes through. */
function writeError(path: string, cause: unknown): unknown {
  const { code, message, syscall } = cause as NodeJS.ErrnoException;
  if (cause instanceof ScoreheadError || code === undefined || syscall === undefined) return cause;
  const remedy = REMEDIES[code];
  return new ScoreheadError("ERR_IO", `Cannot write ${path}: ${message}.${remedy ? ` ${remedy}` : ""}`, cause);
}
