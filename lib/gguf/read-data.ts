/** The bytes of a tensor in a GGUF file whose header has been read. */
import { type FileHandle, open } from "node:fs/promises";
import { ioError } from "../errors.ts";
import { ggufError } from "./layout.ts";
import type { GgufFile, GgufTensor } from "./types.ts";

/** Large enough for full disk speed. */
const CHUNK_BYTES = 8 * 1024 * 1024;

/**
 * A tensor's bytes in order; the file is open until the last of them is taken, or the caller stops.
 * @throws ERR_GGUF where the file became shorter, ERR_NOT_FOUND, ERR_IO
 */
export async function* tensorData(
  { path }: Pick<GgufFile, "path">,
  { name, offset, byteLength }: GgufTensor,
): AsyncGenerator<Uint8Array> {
  const handle = await opened(path);
  try {
    for (let done = 0; done < byteLength; ) {
      const wanted = Math.min(CHUNK_BYTES, byteLength - done);
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(wanted), 0, wanted, offset + done);
      if (bytesRead === 0) throw ggufError(path, `the file became shorter while ${name} was read`);
      done += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } catch (error) {
    throw (error as NodeJS.ErrnoException).syscall === undefined ? error : ioError("read", path, error);
  } finally {
    await handle.close();
  }
}

async function opened(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (error) {
    throw ioError("read", path, error);
  }
}
