/** Writing a GGUF file: the header, then each tensor's data as it streams in, under a temporary name until complete. */
import { type FileHandle, open } from "node:fs/promises";
import { ScoreheadError } from "../errors.ts";
import { replaceFile } from "../replace-file.ts";
import { encodeHeader, type TensorPlan } from "./encode.ts";
import { DEFAULT_ALIGNMENT, padded } from "./layout.ts";
import type { GgufMetadata } from "./types.ts";

export type { TensorPlan } from "./encode.ts";

export interface WriteOptions {
  /** Called after each chunk with the bytes written so far and the size that the file will have. */
  readonly onProgress?: (bytesWritten: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Writes a GGUF v3 file, or replaces one, atomically: `path` is complete or untouched.
 *
 * The bytes depend on the arguments alone. Memory use is the header plus one chunk.
 *
 * @param path the file to create or replace; its directory must exist
 * @param metadata in the order to be written; without `general.alignment`, which is always the default 32
 * @param tensors in the order to be written
 * @param data the little-endian bytes of a tensor by its index, exactly as many as its dims and type say. Asked for
 *   one tensor at a time, in order
 * @throws ERR_IO with a remedy (disk full, not writable), ERR_NOT_FOUND (no such directory), ERR_ABORTED, ERR_INTERNAL
 *   where the arguments are not a valid file or `data` has another length; errors of `data` pass through
 */
export async function writeGguf(
  path: string,
  metadata: GgufMetadata,
  tensors: readonly TensorPlan[],
  data: (tensorIndex: number) => AsyncIterable<Uint8Array>,
  options: WriteOptions = {},
): Promise<void> {
  const header = encodeHeader(metadata, tensors);
  const total = header.tensorBytes.reduce((sum, bytes) => sum + padded(bytes, DEFAULT_ALIGNMENT), header.bytes.length);
  await replaceFile(path, async (temporary) => {
    const handle = await open(temporary, "wx");
    try {
      const file = new ProgressFile(handle, path, total, options);
      await file.append(header.bytes);
      for (const [index, tensor] of tensors.entries())
        await appendTensor(file, tensor.name, header.tensorBytes[index] ?? 0, data(index));
    } finally {
      await handle.close();
    }
  });
}

async function appendTensor(
  file: ProgressFile,
  name: string,
  expected: number,
  data: AsyncIterable<Uint8Array>,
): Promise<void> {
  let received = 0;
  for await (const chunk of data) {
    received += chunk.byteLength;
    if (received > expected) throw wrongLength(name, "more than", expected);
    await file.append(chunk);
  }
  if (received < expected) throw wrongLength(name, `${received} instead of`, expected);
  const padding = padded(expected, DEFAULT_ALIGNMENT) - expected;
  if (padding > 0) await file.append(new Uint8Array(padding));
}

function wrongLength(name: string, relation: string, expected: number): ScoreheadError {
  return new ScoreheadError(
    "ERR_INTERNAL",
    `The data of ${name} has ${relation} the ${expected} bytes that its header says. Please report this.`,
  );
}

/** Appends to a file, counting; stops when aborted. */
class ProgressFile {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #total: number;
  readonly #options: WriteOptions;
  #written = 0;

  constructor(handle: FileHandle, path: string, total: number, options: WriteOptions) {
    this.#handle = handle;
    this.#path = path;
    this.#total = total;
    this.#options = options;
  }

  async append(bytes: Uint8Array): Promise<void> {
    if (this.#options.signal?.aborted)
      throw new ScoreheadError("ERR_ABORTED", `Writing ${this.#path} was aborted.`, this.#options.signal.reason);
    // One write may take less than it is given, for instance just before the disk is full.
    for (let done = 0; done < bytes.byteLength; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.byteLength - done);
      done += bytesWritten;
    }
    this.#written += bytes.byteLength;
    this.#options.onProgress?.(this.#written, this.#total);
  }
}
