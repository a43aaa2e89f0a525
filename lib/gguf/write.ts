/** Writing a whole GGUF file: the header, then each tensor's data as it streams in, under a temporary name until complete. */
import { replaceFile } from "../replace-file.ts";
import type { TensorPlan } from "./encode.ts";
import type { GgufMetadata } from "./types.ts";
import { GgufWriter, type WriteOptions } from "./writer.ts";

export type { TensorPlan } from "./encode.ts";

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
  await replaceFile(path, async (temporary) => {
    const writer = await GgufWriter.create(temporary, metadata, tensors, options);
    try {
      for (const index of tensors.keys()) await writer.write(index, data(index));
    } finally {
      await writer.close();
    }
  });
}
