/** Whether a disk has the room that a job needs. */
import { statfs } from "node:fs/promises";
import { ioError, ScoreheadError } from "../errors.ts";

/**
 * @param directory an existing directory on the disk
 * @param bytes what will be written there
 * @param purpose ends the sentence "… bytes are needed to …", e.g. "download owner/name"
 * @param remedy what to do about it, as a sentence
 * @throws ERR_DISK_SPACE with the numbers
 */
export async function requireSpace(directory: string, bytes: number, purpose: string, remedy: string): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(directory).catch((error: unknown) => {
    throw ioError("ask for the free space of", directory, error);
  });
  const free = bavail * bsize;
  // Some network and user-space file systems do not know their size.
  if (free >= bytes || blocks === 0) return;
  const gigabytes = (count: number): string => `${(count / 1e9).toFixed(2)} GB`;
  throw new ScoreheadError(
    "ERR_DISK_SPACE",
    `${gigabytes(bytes)} are needed to ${purpose}, and ${directory} has ${gigabytes(free)} free. ${remedy}`,
  );
}
