/** Opening checkpoint files and reading exact byte ranges of them. */
import { open, readdir, stat } from "node:fs/promises";
import { ioError, ScoreheadError } from "../errors.ts";
import type { ByteReader, CheckpointFiles } from "./types.ts";

/** The files of this machine. */
export const LOCAL_FILES: CheckpointFiles = { list, identity, open: withFile };

async function list(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOTDIR")
      throw new ScoreheadError("ERR_CHECKPOINT", `${directory} is a file. Name the checkpoint's directory.`, cause);
    throw ioError("read", directory, cause);
  }
}

async function identity(path: string): Promise<string | null> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw ioError("read", path, cause);
  }
}

/** Runs `use` with the file open and its size known, closes it, and turns system errors into ERR_NOT_FOUND or ERR_IO. */
async function withFile<T>(path: string, use: (reader: ByteReader, size: number) => Promise<T>): Promise<T> {
  try {
    const handle = await open(path, "r");
    try {
      const { size } = await handle.stat();
      return await use(handle, size);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    // What is neither ours nor the operating system's is a bug, and must not be dressed up as a read error.
    if (cause instanceof ScoreheadError || !("syscall" in (cause as object))) throw cause;
    throw ioError("read", path, cause);
  }
}

/** Exactly `length` bytes from `offset`; ERR_CHECKPOINT where the file has become shorter since it was checked. */
export async function readExactly(reader: ByteReader, path: string, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  for (let filled = 0; filled < length; ) {
    const { bytesRead } = await reader.read(buffer, filled, length - filled, offset + filled);
    if (bytesRead === 0)
      throw new ScoreheadError(
        "ERR_CHECKPOINT",
        `${path} ends at byte ${offset + filled}, inside the range ${offset}..${offset + length}: it has changed since it was opened. Download it again.`,
      );
    filled += bytesRead;
  }
  return buffer;
}

/** The first line of the stand-in that a clone without Git LFS leaves in place of a large file. */
const LFS_POINTER = "version https://git-lfs";

/** Throws ERR_CHECKPOINT with the remedy where `head`, a file's first bytes, belong to a Git LFS pointer. */
export function refuseLfsPointer(path: string, head: Buffer): void {
  if (head.length === 0 || !LFS_POINTER.startsWith(head.toString("latin1", 0, LFS_POINTER.length))) return;
  throw new ScoreheadError(
    "ERR_CHECKPOINT",
    `${path} is a Git LFS pointer, not the file itself. Run \`git lfs pull\` in its repository.`,
  );
}
