/** Looking after the cache of converted models: what is there, removing it, and removing what nothing will use. */
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { checkOptions, checkPath, ofType } from "../check-options.ts";
import { isScoreheadError, ScoreheadError } from "../errors.ts";
import { parseHubName } from "../hub/name.ts";
import { CHECKPOINT_FILES, pathKey } from "./content-key.ts";
import {
  CONVERTER_VERSION,
  type ConvertedEntry,
  type ConvertedRecord,
  diskBytes,
  readEntries,
  readEntry,
  removeEntry,
  withEntry,
  withIdleEntry,
} from "./converted.ts";

/** A converted model in the cache, or a file's copy with its head attached. */
export interface CachedModel {
  /**
   * What it can be loaded by: `owner/name`, with `@revision` where that is not main; of a copy, the file's path; of a
   * directory, its own name.
   */
  readonly name: string;
  /** The hub's commit; null for what was made of a directory or a file. */
  readonly commit: string | null;
  /** The type of its matrices. */
  readonly type: string;
  /** Bytes on disk. */
  readonly bytes: number;
  /** When it was last loaded, or converted. */
  readonly lastUsed: Date;
  readonly path: string;
}

/** Something that was removed from the cache, or would be. */
export interface RemovedModel {
  /** As in {@link CachedModel}; null where the record of it is gone. */
  readonly name: string | null;
  readonly type: string | null;
  /**
   * `asked`: by name; `old`: another version of scorehead converts to another file; `superseded`: the revision that it
   * was got by means another commit now; `changed`: the file or the head that a copy was made of has changed or is
   * gone; `interrupted`: what an ended process has left.
   */
  readonly reason: "asked" | "old" | "superseded" | "changed" | "interrupted";
  readonly bytes: number;
  /** The directory, or where the model stays, the file beside it. */
  readonly path: string;
}

export interface PruneOptions {
  /** Only tell what would be removed. */
  readonly dryRun?: boolean | undefined;
}

/** The converted models in the cache, by name. Downloads are not among them: they are in the hub cache. */
export async function listModels(): Promise<CachedModel[]> {
  const models: CachedModel[] = [];
  for (const { record, path, lastUsed, bytes } of await readEntries()) {
    if (!record || path === null) continue;
    const commit = isOfHub(record) ? record.content : null;
    models.push({ name: nameOf(record), commit, type: record.fileType, bytes, lastUsed, path });
  }
  return models.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.type < b.type ? -1 : 1));
}

/**
 * Removes converted models; one that another process is converting is waited for. Downloads stay in the hub cache.
 * @param name `owner/name`, which means all of its conversions, or with `@revision`, `:type` or both; the own name of a
 *   directory, or of a file that was copied, without its ending; that file's path; or the path of what is in the cache
 * @returns what was removed
 * @throws ERR_NOT_FOUND where nothing has that name, ERR_IO
 */
export async function removeModel(name: string): Promise<RemovedModel[]> {
  checkPath(name, "A converted model");
  const matching = (await readEntries()).filter((entry) => isNamed(entry, name));
  if (matching.length === 0)
    throw new ScoreheadError(
      "ERR_NOT_FOUND",
      `The cache has no converted model ${name}. \`scorehead list\` shows those that it has.`,
    );
  const removed: RemovedModel[] = [];
  for (const entry of matching)
    await withEntry(entry.directory, {}, async () => {
      removed.push(removedFrom(await readEntry(entry.directory), "asked"));
      await removeEntry(entry.directory);
    });
  return removed;
}

/**
 * Removes what nothing will use: conversions of older versions of scorehead, of commits that their revision does not mean
 * any more, copies of files that have changed or are gone, and what interrupted work has left. What a running process works
 * on stays.
 * @returns what was removed, or would be
 * @throws ERR_ARGUMENT, ERR_IO
 */
export async function pruneModels(options?: PruneOptions): Promise<RemovedModel[]> {
  const { dryRun = false } = checkOptions<PruneOptions>(options, { dryRun: ofType("boolean") });
  const removed: RemovedModel[] = [];
  for (const { directory } of await readEntries())
    await withIdleEntry(directory, async () => {
      const entry = await readEntry(directory);
      const reason = await reasonToPrune(entry);
      if (reason) {
        removed.push(removedFrom(entry, reason));
        if (!dryRun) await removeEntry(directory);
        return;
      }
      for (const leftover of entry.leftovers) {
        const path = join(directory, leftover);
        removed.push({ ...removedFrom(entry, "interrupted"), bytes: await diskBytes(path), path });
        if (!dryRun) await rm(path, { recursive: true, force: true });
      }
    });
  return removed;
}

async function reasonToPrune({
  record,
  path,
}: ConvertedEntry): Promise<Exclude<RemovedModel["reason"], "asked"> | null> {
  if (record && record.converter < CONVERTER_VERSION) return "old";
  if (!record || path === null) return "interrupted";
  if (await hasChanged(record)) return "changed";
  return isOfHub(record) && record.revisions.length === 0 ? "superseded" : null;
}

/** Whether a copy's sources have changed or are gone. Those that cannot be read for another reason may come back. */
async function hasChanged({ sources = [] }: ConvertedRecord): Promise<boolean> {
  for (const { path, content } of sources) {
    const now = await pathKey(path, CHECKPOINT_FILES).catch((error: unknown) =>
      isScoreheadError(error, "ERR_NOT_FOUND") ? null : content,
    );
    if (now !== content) return true;
  }
  return false;
}

function removedFrom({ record, bytes, directory }: ConvertedEntry, reason: RemovedModel["reason"]): RemovedModel {
  return { name: record && nameOf(record), type: record?.fileType ?? null, reason, bytes, path: directory };
}

/** The name of a directory or file has no slash. */
function isOfHub({ name }: ConvertedRecord): boolean {
  return name.includes("/");
}

function nameOf(record: ConvertedRecord): string {
  const { name, revisions, content, sources } = record;
  if (sources?.[0]) return sources[0].path;
  if (!isOfHub(record) || revisions.includes("main")) return name;
  return `${name}@${revisions[0] ?? content}`;
}

function isNamed({ record, path }: ConvertedEntry, text: string): boolean {
  if (path !== null && resolve(text) === path) return true;
  if (!record) return false;
  const { name, revisions, content, type, fileType, sources } = record;
  if (sources?.[0]?.path === resolve(text)) return true;
  if (!isOfHub(record)) return name === text;
  const wanted = parseHubName(text);
  if (wanted?.repository !== name) return false;
  const isRevision = !text.includes("@") || [...revisions, content].includes(wanted.revision);
  return isRevision && (wanted.type === null || [type, fileType].includes(wanted.type.toLowerCase()));
}
