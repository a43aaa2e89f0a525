/** Reading a part of a file without downloading it. */
import { openHub } from "./http.ts";
import { requestBytes } from "./resolve.ts";
import { PassingFailure, retrying } from "./retry.ts";
import type { HubFile, HubOptions, Snapshot } from "./types.ts";

/**
 * `length` bytes of a file from `offset`, as the hub gives them: only a whole file can be verified.
 * @throws ERR_CHECKSUM where the hub says that it is another file now, ERR_NETWORK, ERR_HUB_ACCESS, ERR_NOT_FOUND,
 *   ERR_HUB, ERR_ABORTED
 */
export async function readRange(
  { repository, commit }: Pick<Snapshot, "repository" | "commit">,
  { path, size, etag }: HubFile,
  offset: number,
  length: number,
  options: HubOptions,
): Promise<Uint8Array> {
  const hub = await openHub(options);
  const file = { repository, commit, path, size, etag };
  const attempt = async (): Promise<Uint8Array> => {
    const { host, start, chunks, close } = await requestBytes(hub, file, offset, offset + length);
    const bytes = new Uint8Array(length);
    let at = start;
    try {
      for await (const chunk of chunks()) {
        const wanted = chunk.subarray(Math.max(0, offset - at), Math.max(0, offset + length - at));
        bytes.set(wanted, Math.max(0, at - offset));
        at += chunk.length;
        if (at >= offset + length) return bytes;
      }
    } finally {
      await close();
    }
    throw new PassingFailure(`${host} broke off after ${at - start} of ${length} bytes`);
  };
  return retrying(`read ${path} of ${repository}`, attempt, hub);
}
