/** The files of a checkpoint that is being downloaded: from the disk where they have arrived, else by ranges. */
import { basename } from "node:path";
import { LOCAL_FILES, readExactly } from "../checkpoint/files.ts";
import type { ByteReader, CheckpointFiles } from "../checkpoint/types.ts";
import { ScoreheadError } from "../errors.ts";

/** A file as far as it is known before it is downloaded. */
export interface RemoteFile {
  readonly size: number;
  /** The same for the same content. */
  readonly etag: string;
  /** Bytes that are not verified. @throws ERR_NETWORK and the like */
  readonly read: (offset: number, length: number) => Promise<Uint8Array>;
}

/** One request takes a whole header of a shard, or the beginning of a GGUF file's. */
const BLOCK_BYTES = 256 * 1024;

interface Block {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * What is read of a file before it arrives has not been verified, and the plan is made of it: it is remembered, and
 * {@link requireSame} holds it against the file.
 */
export class ArrivingFiles implements CheckpointFiles {
  readonly #files: ReadonlyMap<string, RemoteFile>;
  readonly #blocks = new Map<string, Block[]>();

  /** @param files by the path that each will have */
  constructor(files: ReadonlyMap<string, RemoteFile>) {
    this.#files = files;
  }

  async list(): Promise<readonly string[]> {
    return [...this.#files.keys()].map((path) => basename(path));
  }

  async identity(path: string): Promise<string | null> {
    return (await LOCAL_FILES.identity(path)) ?? this.#files.get(path)?.etag ?? null;
  }

  async open<Result>(path: string, use: (reader: ByteReader, size: number) => Promise<Result>): Promise<Result> {
    const file = this.#files.get(path);
    if (!file || (await LOCAL_FILES.identity(path)) !== null) return LOCAL_FILES.open(path, use);
    const read: ByteReader["read"] = async (buffer, at, length, position) => {
      const { offset, bytes } = await this.#block(path, file, position, length);
      const found = bytes.subarray(position - offset, position - offset + length);
      buffer.set(found, at);
      return { bytesRead: found.length };
    };
    return use({ read }, file.size);
  }

  /** @throws ERR_CHECKSUM where the file at `path`, which is verified, differs from what was read of it before */
  async requireSame(path: string): Promise<void> {
    const blocks = this.#blocks.get(path) ?? [];
    const isSame = await LOCAL_FILES.open(path, async (reader) => {
      for (const { offset, bytes } of blocks)
        if (!(await readExactly(reader, path, offset, bytes.length)).equals(bytes)) return false;
      return true;
    });
    if (isSame) return;
    throw new ScoreheadError(
      "ERR_CHECKSUM",
      `${path} is not what the hub gave of it before the download: a part of that was damaged on its way. Try again.`,
    );
  }

  async #block(path: string, file: RemoteFile, position: number, length: number): Promise<Block> {
    const blocks = this.#blocks.get(path) ?? [];
    this.#blocks.set(path, blocks);
    const end = Math.min(position + length, file.size);
    const known = blocks.find(({ offset, bytes }) => offset <= position && end <= offset + bytes.length);
    if (known) return known;
    const wanted = Math.min(Math.max(length, BLOCK_BYTES), file.size - position);
    const block = { offset: position, bytes: wanted > 0 ? await file.read(position, wanted) : new Uint8Array() };
    blocks.push(block);
    return block;
  }
}
