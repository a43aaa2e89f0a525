/**
 * The cache of converted models, and of copies with a head attached: a directory each, which holds the file, a record of
 * what it is made of, and a lock. Whoever holds the lock owns everything else in the directory, so that what a killed
 * process left can be told from work.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { cacheDirectory, makeCacheDirectory } from "../cache-directory.ts";
import type { OutputType } from "../convert/types.ts";
import { ioError, isScoreheadError } from "../errors.ts";
import { type LockOptions, withLock } from "../hub/lock.ts";
import type { Revision } from "../hub/types.ts";
import { replaceFile } from "../replace-file.ts";

/** Goes up when the same checkpoint, or file and head, gives another file: those of older versions are not reused then. */
export const CONVERTER_VERSION = 2;

/** All that a converted file depends on. */
export interface Ingredients {
  readonly converter: number;
  /** `owner/name`, a directory's own name, or a file's without its ending. */
  readonly name: string;
  /** The hub's commit, or a hash of what is in the directory, or of what a copy is made of. */
  readonly content: string;
  readonly type: OutputType;
  /** Of a directory the one that was chosen; else as asked for, "" for the one that fits. */
  readonly profile: string;
  /** What it is, where it is not the checkpoint's own or its profile's; else "". */
  readonly tokenizer: string;
}

/** What the cache remembers of a conversion, from its beginning on. */
export interface ConvertedRecord extends Ingredients {
  /** Name of the model's file, which is there when the conversion is complete. */
  readonly file: string;
  /** The type of its matrices, where `type` is `auto`. */
  readonly fileType: string;
  /** Of a model from the hub: the revisions that were asked for and mean this commit. */
  readonly revisions: readonly string[];
  /** Of a copy of a GGUF file: that file, then its head where one was named, each with a hash of its content. */
  readonly sources?: readonly { readonly path: string; readonly content: string }[];
}

/** A directory of the cache. */
export interface ConvertedEntry {
  readonly directory: string;
  /** Null where it is missing or damaged. */
  readonly record: ConvertedRecord | null;
  /** The model, or null where the conversion is not complete. */
  readonly path: string | null;
  /** When the model was last loaded or converted. */
  readonly lastUsed: Date;
  readonly bytes: number;
  /** Names of files that are neither model nor record nor lock. */
  readonly leftovers: readonly string[];
}

const RECORD = "record.json";
const LOCK = "lock";
const DIRECTORY_NAME = /\.[0-9a-f]{16}$/;

/** The directory of a conversion. It may not exist yet. */
export function entryDirectory(ingredients: Ingredients): string {
  const { converter, name, content, type, profile, tokenizer } = ingredients;
  const text = JSON.stringify([converter, name, content, type, profile, tokenizer]);
  const key = createHash("sha256").update(text).digest("hex").slice(0, 16);
  return cacheDirectory("converted", `${name.replace("/", "--")}.${key}`);
}

/** {@link withLock} of a conversion's directory, which is made where it is missing. */
export async function withEntry<Result>(
  directory: string,
  options: LockOptions,
  job: (exclusive: boolean) => Promise<Result>,
): Promise<Result> {
  await makeCacheDirectory("converted", basename(directory));
  return withLock(join(directory, LOCK), options, job);
}

/** Runs `job` if nobody holds the lock, and no process can hold it unseen; else gives null. */
export async function withIdleEntry<Result>(directory: string, job: () => Promise<Result>): Promise<Result | null> {
  const busy = new AbortController();
  const options = { signal: busy.signal, onWait: () => busy.abort() };
  try {
    return await withLock(join(directory, LOCK), options, async (exclusive) => (exclusive ? await job() : null));
  } catch (error) {
    if (busy.signal.aborted && isScoreheadError(error, "ERR_ABORTED")) return null;
    throw error;
  }
}

/** What a conversion's directory holds. */
export async function readEntry(directory: string): Promise<ConvertedEntry> {
  const record = await readRecord(directory);
  const path = record && join(directory, record.file);
  const [files, model, recorded] = await Promise.all([
    readdir(directory).catch(() => []),
    path === null ? null : stat(path).catch(() => null),
    stat(join(directory, record ? RECORD : ".")).catch(() => null),
  ]);
  const sizes = await Promise.all(files.map((name) => diskBytes(join(directory, name))));
  return {
    directory,
    record,
    path: model?.isFile() ? path : null,
    lastUsed: recorded?.mtime ?? new Date(0),
    bytes: sizes.reduce((sum, size) => sum + size, 0),
    leftovers: files.filter((name) => ![LOCK, RECORD, record?.file].includes(name)),
  };
}

/** All of them. */
export async function readEntries(): Promise<ConvertedEntry[]> {
  const folder = cacheDirectory("converted");
  const names = await readdir(folder).catch(() => []);
  return Promise.all(
    names
      .filter((name) => DIRECTORY_NAME.test(name))
      .sort()
      .map((name) => readEntry(join(folder, name))),
  );
}

/** Writes the record; the lock is held. */
export async function writeRecord(directory: string, record: ConvertedRecord): Promise<void> {
  const text = `${JSON.stringify(record, null, 2)}\n`;
  await replaceFile(join(directory, RECORD), (temporary) => writeFile(temporary, text));
}

/**
 * Notes that a model is used now and, of the hub's, by which revision: a branch means one commit at a time. Where the
 * cache cannot be written to, the model is used all the same.
 * @param revision null where it is not known what it means now
 */
export async function noteUse({ directory, record }: ConvertedEntry, revision: Revision | null): Promise<void> {
  const now = new Date();
  await utimes(join(directory, RECORD), now, now).catch(() => {});
  if (!record || !revision) return;
  const { revision: name, online } = revision;
  if (!record.revisions.includes(name)) await rewrite(directory, (revisions) => [...revisions, name]);
  if (!online) return;
  for (const other of await readEntries()) {
    const isOlder = other.record?.name === record.name && other.record.content !== record.content;
    if (isOlder && other.record?.revisions.includes(name))
      await rewrite(other.directory, (revisions) => revisions.filter((other) => other !== name));
  }
}

/** Changes the revisions of a record, unless somebody works on it; its time stays. */
async function rewrite(directory: string, change: (revisions: readonly string[]) => string[]): Promise<void> {
  const job = async (): Promise<void> => {
    const { record, lastUsed } = await readEntry(directory);
    if (!record) return;
    await writeRecord(directory, { ...record, revisions: change(record.revisions) });
    await utimes(join(directory, RECORD), lastUsed, lastUsed);
  };
  await withIdleEntry(directory, job).catch(() => {});
}

/** Removes what an ended process left, but for the names in `keep`; the lock is held. */
export async function removeLeftovers(directory: string, keep: readonly string[]): Promise<void> {
  for (const name of await readdir(directory))
    if (![LOCK, RECORD, ...keep].includes(name)) await rm(join(directory, name), { recursive: true, force: true });
}

/**
 * Removes a conversion; the lock is held. The record goes first: what is left then counts as interrupted.
 * @throws ERR_IO, on Windows for example where the model is loaded
 */
export async function removeEntry(directory: string): Promise<void> {
  try {
    await rm(join(directory, RECORD), { force: true });
    await rm(directory, { recursive: true, force: true });
  } catch (cause) {
    throw ioError("remove", directory, cause);
  }
}

async function readRecord(directory: string): Promise<ConvertedRecord | null> {
  try {
    const record = JSON.parse(await readFile(join(directory, RECORD), "utf8")) as ConvertedRecord;
    const texts = [record.name, record.content, record.type, record.profile, record.tokenizer, record.fileType];
    const isPlain = typeof record.file === "string" && record.file !== "" && basename(record.file) === record.file;
    const isWhole = texts.every((text) => typeof text === "string") && Array.isArray(record.revisions);
    const { sources = [] } = record;
    const isKnown = sources.every(({ path, content }) => typeof path === "string" && typeof content === "string");
    return isPlain && isWhole && isKnown && Number.isInteger(record.converter) ? record : null;
  } catch {
    return null;
  }
}

/** What a file takes on disk: one that is being written has holes. */
export async function diskBytes(path: string): Promise<number> {
  const found = await stat(path).catch(() => null);
  return found === null ? 0 : Math.min(found.size, found.blocks * 512);
}
