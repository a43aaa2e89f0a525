/** What a checkpoint's directory, or a file, contains, as one hash. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { checkAborted } from "../abort.ts";
import { cacheDirectory, makeCacheDirectory } from "../cache-directory.ts";
import { ioError } from "../errors.ts";
import { withLock } from "../hub/lock.ts";
import { replaceFile } from "../replace-file.ts";

/** The files that converting may read: of a checkpoint, and of a base model that lends its tokenizer and config. */
export const CHECKPOINT_FILES = /\.(json|safetensors|bin|pt|pth|model|jinja)$/;
export const TOKENIZER_FILES = /\.(json|model|jinja)$/;

/** The hashes of files, in the cache directory. */
const MEMORY = "hashes.json";

/**
 * A hash over the names and contents of a directory's files of the names in `relevant`. Each file's own hash is remembered
 * under its path, size, modification time and inode, so that 13 GB are read only when they have changed.
 * @throws ERR_NOT_FOUND, ERR_IO, ERR_ABORTED
 */
export async function contentKey(
  directory: string,
  relevant: RegExp,
  signal: AbortSignal | undefined,
): Promise<string> {
  const memory = await readMemory();
  const total = createHash("sha256");
  let changed = false;
  const names = await readdir(directory).catch((error: unknown) => {
    throw ioError("list", directory, error);
  });
  for (const name of names.filter((name) => relevant.test(name)).sort()) {
    const path = resolve(directory, name);
    const { size, mtimeNs, ino } = await stat(path, { bigint: true }).catch((error: unknown) => {
      throw ioError("read", path, error);
    });
    const identity = [path, size, mtimeNs, ino].join("|");
    const hash = memory.get(identity) ?? (await hashFile(path, signal));
    if (!memory.has(identity)) changed = true;
    memory.set(identity, hash);
    total.update(`${name}|${hash}\n`);
  }
  if (changed) await remember(memory, signal);
  return total.digest("hex");
}

/** The content of a file, or of a directory's files of the names in `relevant`. @throws as {@link contentKey} */
export async function pathKey(path: string, relevant: RegExp, signal?: AbortSignal): Promise<string> {
  const found = await stat(path).catch((error: unknown) => {
    throw ioError("open", path, error);
  });
  if (found.isDirectory()) return contentKey(path, relevant, signal);
  const name = basename(path).replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return contentKey(dirname(path), new RegExp(`^${name}$`), signal);
}

/** Adds to what other processes have remembered meanwhile. */
async function remember(hashes: ReadonlyMap<string, string>, signal: AbortSignal | undefined): Promise<void> {
  await withLock(cacheDirectory("hashes.lock"), { signal }, async (exclusive) => {
    // What a process has left that ended here.
    for (const name of exclusive ? await readdir(cacheDirectory()) : [])
      if (name.startsWith(`.${MEMORY}.`)) await rm(cacheDirectory(name), { force: true });
    const text = JSON.stringify(Object.fromEntries([...(await readMemory()), ...hashes]));
    await replaceFile(memoryPath(), (temporary) => writeFile(temporary, text));
  });
}

async function hashFile(path: string, signal: AbortSignal | undefined): Promise<string> {
  checkAborted(signal);
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash, signal ? { signal } : {});
  } catch (error) {
    checkAborted(signal);
    throw ioError("read", path, error);
  }
  return hash.digest("hex");
}

function memoryPath(): string {
  return cacheDirectory(MEMORY);
}

async function readMemory(): Promise<Map<string, string>> {
  await makeCacheDirectory();
  try {
    const entries = Object.entries(JSON.parse(await readFile(memoryPath(), "utf8")) as object);
    return new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
  } catch {
    return new Map(); // absent or damaged: the hashes are computed again
  }
}
