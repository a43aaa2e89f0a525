/** Listings of commits, kept in the cache where huggingface_hub (since 1.0) keeps them: a commit's never changes. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { replaceFile } from "../replace-file.ts";
import { OBJECT_ID, SHA256 } from "./path.ts";

/** A file of a listing, under huggingface_hub's names. */
export interface TreeEntry {
  readonly size: number;
  /** The git object: the file itself where it is small, a pointer to it where the LFS fields are there. */
  readonly blob_id: string;
  readonly lfs_sha256?: string;
  readonly lfs_size?: number;
  /** Not used here; other tools download by it. */
  readonly xet_hash?: string;
}

const FORMAT_VERSION = 1;

/** The listing kept at `path`, or null: absent, damaged, or of a later format. */
export async function readTree(path: string): Promise<Map<string, TreeEntry> | null> {
  try {
    const { format_version, files } = JSON.parse(await readFile(path, "utf8"));
    const entries = Object.entries(files as Record<string, TreeEntry>);
    return format_version === FORMAT_VERSION && entries.every(([, entry]) => isEntry(entry)) ? new Map(entries) : null;
  } catch {
    return null;
  }
}

function isEntry({ size, blob_id, lfs_sha256, lfs_size }: TreeEntry): boolean {
  const lfs = lfs_sha256 === undefined || (SHA256.test(lfs_sha256) && Number.isSafeInteger(lfs_size));
  return Number.isSafeInteger(size) && OBJECT_ID.test(blob_id) && lfs;
}

/** Keeps a listing. Where that fails, a cache that cannot be written to for example, it is asked for next time. */
export async function writeTree(path: string, tree: ReadonlyMap<string, TreeEntry>): Promise<void> {
  const files = Object.fromEntries([...tree].sort(([a], [b]) => (a < b ? -1 : 1)));
  const text = JSON.stringify({ format_version: FORMAT_VERSION, files }, null, 1);
  await mkdir(dirname(path), { recursive: true }).catch(() => {});
  await replaceFile(path, (temporary) => writeFile(temporary, text)).catch(() => {});
}
