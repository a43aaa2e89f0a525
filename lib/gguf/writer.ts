/** A GGUF file that takes its tensors in any order: the header first, then each tensor at its place. */
import { type FileHandle, open, stat } from "node:fs/promises";
import { ScoreheadError } from "../errors.ts";
import { encodeHeader, type TensorPlan } from "./encode.ts";
import { DEFAULT_ALIGNMENT, padded } from "./layout.ts";
import type { GgufMetadata } from "./types.ts";

export interface WriteOptions {
  /** Called after each chunk with the bytes written so far and the size that the file will have. */
  readonly onProgress?: ((bytesWritten: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Where a tensor's data goes. */
interface Place {
  readonly name: string;
  readonly offset: number;
  readonly byteLength: number;
}

/** What the file will be: its header, the places of its tensors, and its size. */
interface Blueprint {
  readonly header: Uint8Array;
  readonly places: readonly Place[];
  readonly size: number;
}

/** Writes one file; every tensor has to be written once. Close it, also after an error. */
export class GgufWriter {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #blueprint: Blueprint;
  readonly #options: WriteOptions;
  #written: number;

  private constructor(handle: FileHandle, path: string, blueprint: Blueprint, options: WriteOptions) {
    this.#handle = handle;
    this.#path = path;
    this.#blueprint = blueprint;
    this.#options = options;
    this.#written = blueprint.header.length;
  }

  /**
   * Creates the file at `path`, which must not exist, with its header.
   * @param path for the file, and `name` for people
   * @throws ERR_INTERNAL where the arguments are not a valid file, and system errors
   */
  static async create(
    path: string,
    metadata: GgufMetadata,
    tensors: readonly TensorPlan[],
    options: WriteOptions,
  ): Promise<GgufWriter> {
    const blueprint = drawUp(metadata, tensors);
    const handle = await open(path, "wx+");
    try {
      const writer = new GgufWriter(handle, path, blueprint, options);
      await handle.truncate(blueprint.size);
      await writer.#put(blueprint.header, 0);
      writer.#report();
      return writer;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Goes on with a file that {@link create} made of the same arguments, or gives null where `path` is no such file. */
  static async reopen(
    path: string,
    metadata: GgufMetadata,
    tensors: readonly TensorPlan[],
    options: WriteOptions,
  ): Promise<GgufWriter | null> {
    const blueprint = drawUp(metadata, tensors);
    if ((await stat(path).catch(() => null))?.size !== blueprint.size) return null;
    const handle = await open(path, "r+");
    const found = Buffer.alloc(blueprint.header.length);
    const { bytesRead } = await handle.read(found, 0, found.length, 0);
    if (bytesRead === found.length && found.equals(blueprint.header))
      return new GgufWriter(handle, path, blueprint, options);
    await handle.close();
    return null;
  }

  /**
   * Writes a tensor.
   * @param index among the tensors that the file was created with
   * @param data its little-endian bytes, exactly as many as its dims and type say
   * @throws ERR_ABORTED, ERR_INTERNAL where `data` has another length, system errors, and what `data` throws
   */
  async write(index: number, data: AsyncIterable<Uint8Array>): Promise<void> {
    const { name, offset, byteLength } = this.#place(index);
    let received = 0;
    for await (const chunk of data) {
      this.#checkAborted();
      if (received + chunk.byteLength > byteLength) throw wrongLength(name, "more than", byteLength);
      await this.#put(chunk, offset + received);
      received += chunk.byteLength;
      this.#written += chunk.byteLength;
      this.#report();
    }
    if (received < byteLength) throw wrongLength(name, `${received} instead of`, byteLength);
    this.#written += padding(byteLength);
    this.#report();
  }

  /** Counts a tensor that an earlier writer of the same file has written. */
  skip(index: number): void {
    const { byteLength } = this.#place(index);
    this.#written += byteLength + padding(byteLength);
    this.#report();
  }

  /** Resolves when what is written would survive a power cut. */
  sync(): Promise<void> {
    return this.#handle.sync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  #place(index: number): Place {
    const place = this.#blueprint.places[index];
    if (place) return place;
    throw new ScoreheadError("ERR_INTERNAL", `There is no tensor ${index} in ${this.#path}. Please report this.`);
  }

  #checkAborted(): void {
    const { signal } = this.#options;
    if (signal?.aborted) throw new ScoreheadError("ERR_ABORTED", `Writing ${this.#path} was aborted.`, signal.reason);
  }

  /** One write may take less than it is given, for instance just before the disk is full. */
  async #put(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.byteLength; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.byteLength - done, position + done);
      done += bytesWritten;
    }
  }

  #report(): void {
    this.#options.onProgress?.(this.#written, this.#blueprint.size);
  }
}

/** The size of the file that these arguments make. */
export function ggufSize(metadata: GgufMetadata, tensors: readonly TensorPlan[]): number {
  return drawUp(metadata, tensors).size;
}

function drawUp(metadata: GgufMetadata, tensors: readonly TensorPlan[]): Blueprint {
  const { bytes: header, tensorBytes } = encodeHeader(metadata, tensors);
  let size = header.length;
  const places = tensors.map(({ name }, index) => {
    const byteLength = tensorBytes[index] ?? 0;
    const offset = size;
    size += byteLength + padding(byteLength);
    return { name, offset, byteLength };
  });
  return { header, places, size };
}

/** Between the end of a tensor's data and the next one's; the file is made of zeros, so it need not be written. */
function padding(byteLength: number): number {
  return padded(byteLength, DEFAULT_ALIGNMENT) - byteLength;
}

function wrongLength(name: string, relation: string, expected: number): ScoreheadError {
  return new ScoreheadError(
    "ERR_INTERNAL",
    `The data of ${name} has ${relation} the ${expected} bytes that its header says. Please report this.`,
  );
}
