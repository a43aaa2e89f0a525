/** A blob on its way into the cache: written under another name, hashed as it grows, renamed when it is what it has to be. */
import { createHash, type Hash, randomBytes } from "node:crypto";
import { constants, type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { checkAborted } from "../abort.ts";
import { ioError, ScoreheadError } from "../errors.ts";
import { syncDirectory } from "../replace-file.ts";
import { SHA256 } from "./path.ts";

/** Bytes that are read or written at once. */
const CHUNK_BYTES = 1024 * 1024;
/** Bytes after which the disk is set to work, which else begins with the last of them. */
const SYNC_BYTES = 64 * CHUNK_BYTES;

/** The blob that is wanted. */
export interface WantedBlob {
  /** Its path in the cache. */
  readonly path: string;
  readonly size: number;
  /** What it is named by: a SHA-256, or the id of a git object. */
  readonly etag: string;
}

/** Where a blob's beginning is kept until the rest has arrived. */
export const partialPath = (blob: string): string => `${blob}.incomplete`;

/**
 * Writes one blob. What is hashed is what is on disk: the chunks as they are appended, and the beginning that an earlier
 * process left there. One writer at a time (see lock.ts).
 */
export class BlobWriter {
  readonly #blob: WantedBlob;
  readonly #partial: string;
  #handle: FileHandle;
  #hash: Hash;
  #size = 0;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #syncing: Promise<void> = Promise.resolve();
  #unsynced = 0;

  private constructor(blob: WantedBlob, partial: string, handle: FileHandle) {
    this.#blob = blob;
    this.#partial = partial;
    this.#handle = handle;
    this.#hash = newHash(blob);
  }

  /**
   * @param resumable whether to go on where an earlier process stopped, and to leave the beginning for a later one
   * @throws ERR_IO, ERR_DISK_SPACE, ERR_ABORTED
   */
  static async open(blob: WantedBlob, resumable: boolean, signal: AbortSignal | undefined): Promise<BlobWriter> {
    const partial = partialPath(resumable ? blob.path : `${blob.path}.${randomBytes(4).toString("hex")}`);
    try {
      await mkdir(dirname(partial), { recursive: true });
      const writer = new BlobWriter(blob, partial, await openPartial(partial));
      await writer.#hashBeginning(signal).catch(async (error: unknown) => {
        await writer.close();
        throw error;
      });
      return writer;
    } catch (cause) {
      throw writeError(blob.path, cause);
    }
  }

  /** Bytes that are written or waiting for it. */
  get size(): number {
    return this.#size;
  }

  /** @throws ERR_IO and ERR_DISK_SPACE, of this chunk or an earlier one */
  async append(chunk: Uint8Array): Promise<void> {
    this.#hash.update(chunk);
    this.#size += chunk.length;
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#waitingBytes >= CHUNK_BYTES) await this.#write();
  }

  /** Forgets what there is and begins again. */
  async restart(): Promise<void> {
    await this.close();
    // A new file and not an emptied one: where locks do not hold, the old one may be another process's blob by now.
    await rm(this.#partial, { force: true });
    this.#handle = await openPartial(this.#partial);
    this.#syncing = Promise.resolve();
    this.#hash = newHash(this.#blob);
    this.#size = 0;
  }

  /** Whether what was appended is the blob that was wanted. Once: afterwards comes `commit`, `restart` or `discard`. */
  async verify(): Promise<boolean> {
    await this.#flush();
    return this.#hash.digest("hex") === this.#blob.etag;
  }

  /** Gives the verified blob its name, so that both last through a power cut. */
  async commit(): Promise<void> {
    try {
      // The system tells of a failure once, so none of the earlier ones may be missed.
      await this.#syncing;
      await this.#handle.sync();
      await this.#handle.close();
      await rename(this.#partial, this.#blob.path);
      await syncDirectory(dirname(this.#blob.path));
    } catch (cause) {
      throw writeError(this.#blob.path, cause);
    }
  }

  /** Keeps what there is for a later process. */
  async close(): Promise<void> {
    await this.#flush().finally(async () => {
      // A descriptor that is closed while it is synced may be another file's by then.
      await this.#syncing.catch(() => {});
      await this.#handle.close();
    });
  }

  async discard(): Promise<void> {
    await this.close().catch(() => {});
    await rm(this.#partial, { force: true });
  }

  async #hashBeginning(signal: AbortSignal | undefined): Promise<void> {
    const { size } = await this.#handle.stat();
    if (size > this.#blob.size) return this.restart();
    const buffer = Buffer.allocUnsafe(Math.min(size, CHUNK_BYTES));
    while (this.#size < size) {
      checkAborted(signal);
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, this.#size);
      if (bytesRead === 0) break;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.#size += bytesRead;
    }
  }

  async #flush(): Promise<void> {
    await this.#write();
    await this.#writing;
  }

  /** Starts writing what waits, when what was started before is written: one chunk is written while the next one comes. */
  async #write(): Promise<void> {
    await this.#writing;
    const chunks = this.#waiting;
    const position = this.#size - this.#waitingBytes;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#writing = writeAll(this.#handle, chunks, position).catch((cause: unknown) => {
      throw writeError(this.#blob.path, cause);
    });
    // Who appends or closes next hears of it.
    this.#writing.catch(() => {});
    this.#startSync(chunks.reduce((sum, { length }) => sum + length, 0));
  }

  /** Lets the disk work while the next bytes come. */
  #startSync(bytes: number): void {
    this.#unsynced += bytes;
    if (this.#unsynced < SYNC_BYTES) return;
    this.#unsynced = 0;
    this.#syncing = this.#syncing.then(() => this.#handle.datasync());
    this.#syncing.catch(() => {});
  }
}

const openPartial = (path: string): Promise<FileHandle> => open(path, constants.O_RDWR | constants.O_CREAT);

/** A git object's id covers a header before the content. */
function newHash({ etag, size }: WantedBlob): Hash {
  return SHA256.test(etag) ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
}

async function writeAll(handle: FileHandle, chunks: readonly Uint8Array[], position: number): Promise<void> {
  let left = chunks;
  for (let at = position; left.length > 0; ) {
    const { bytesWritten } = await handle.writev(left, at);
    at += bytesWritten;
    left = after(left, bytesWritten);
  }
}

/** What is left of `chunks` after their first bytes. */
function after(chunks: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let skip = bytes;
  const index = chunks.findIndex((chunk) => {
    if (chunk.length > skip) return true;
    skip -= chunk.length;
    return false;
  });
  const [first, ...others] = index < 0 ? [] : chunks.slice(index);
  return first ? [first.subarray(skip), ...others] : [];
}

function writeError(path: string, cause: unknown): unknown {
  const { code, syscall } = cause as NodeJS.ErrnoException;
  if (cause instanceof ScoreheadError || syscall === undefined) return cause;
  if (code !== "ENOSPC" && code !== "EDQUOT") return ioError("write", path, cause);
  return new ScoreheadError(
    "ERR_DISK_SPACE",
    `The disk is full, or your quota on it: ${path} cannot be written. Free some space, or name a directory on another ` +
      "disk in the variable HF_HOME; what was downloaded is kept.",
    cause,
  );
}
