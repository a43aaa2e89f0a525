/** Streaming a tensor's bytes out of its checkpoint file. */
import { ScoreheadError } from "../errors.ts";
import { LOCAL_FILES, readExactly } from "./files.ts";
import type { CheckpointFiles, CheckpointTensor } from "./types.ts";

/** Large enough for sequential speed, small enough to be nothing beside a model. */
const DEFAULT_CHUNK_BYTES = 4 * 1024 * 1024;

/** The largest element, so that no element is split between chunks. */
const ELEMENT_BYTES = 8;

export interface ReadTensorOptions {
  /** Bytes a chunk, a multiple of 8; default 4 MiB. */
  readonly chunkBytes?: number;
}

/**
 * The tensor's bytes in order, as little-endian elements of its dtype; no element is split between chunks.
 *
 * At most one chunk is in memory unless the consumer keeps them; each chunk is a buffer of its own.
 *
 * @throws ERR_CHECKPOINT where the file has become shorter since it was opened, ERR_NOT_FOUND, ERR_IO
 */
export async function* readTensor(
  tensor: CheckpointTensor,
  { chunkBytes = DEFAULT_CHUNK_BYTES }: ReadTensorOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  if (chunkBytes < ELEMENT_BYTES || chunkBytes % ELEMENT_BYTES !== 0)
    throw new ScoreheadError("ERR_INTERNAL", `chunkBytes is ${chunkBytes}, not a multiple of ${ELEMENT_BYTES}.`);
  for (let offset = 0; offset < tensor.byteLength; offset += chunkBytes)
    yield await readRange(tensor, offset, Math.min(chunkBytes, tensor.byteLength - offset));
}

/**
 * `length` bytes of the tensor from byte `offset` on.
 *
 * @throws ERR_INTERNAL where the range is not inside the tensor, otherwise as {@link readTensor}
 */
export async function readRange(
  tensor: CheckpointTensor,
  offset: number,
  length: number,
  files: CheckpointFiles = LOCAL_FILES,
): Promise<Uint8Array> {
  if (offset < 0 || length < 0 || offset + length > tensor.byteLength)
    throw new ScoreheadError(
      "ERR_INTERNAL",
      `Bytes ${offset}..${offset + length} of ${tensor.name} were asked for, which has ${tensor.byteLength}. Please report this.`,
    );
  return files.open(tensor.file, (reader) => readExactly(reader, tensor.file, tensor.offset + offset, length));
}
