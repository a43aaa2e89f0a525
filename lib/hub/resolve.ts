/** The bytes of a commit's file, from any of them on: the hub's resolve route. */
import { ScoreheadError } from "../errors.ts";
import { get } from "./http.ts";
import { SHA256 } from "./path.ts";
import { PassingFailure } from "./retry.ts";
import type { Hub, HubFile, Snapshot } from "./types.ts";

/** A file and the commit that it belongs to. */
export interface RemoteFile extends Pick<Snapshot, "repository" | "commit">, Pick<HubFile, "path" | "size" | "etag"> {}

export interface RemoteBytes {
  /** Who sends them. */
  readonly host: string;
  /** Where they begin: at 0 where the range was ignored. */
  readonly start: number;
  readonly chunks: () => AsyncGenerator<Uint8Array>;
  /** Ends the connection, unless all has been read. */
  readonly close: () => Promise<void>;
}

/**
 * Asks for a file's bytes from `from` to before `to`.
 * @throws PassingFailure (another range is given, too), ERR_CHECKSUM where the hub says that it is another file now, and
 *   what {@link get} throws
 */
export async function requestBytes(hub: Hub, file: RemoteFile, from: number, to = file.size): Promise<RemoteBytes> {
  const { repository, commit, path } = file;
  const address = `${hub.endpoint}/${repository}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
  const isWhole = from === 0 && to === file.size;
  const headers: Record<string, string> = isWhole ? {} : { range: `bytes=${from}-${to - 1}` };
  const subject = { repository, revision: commit, path };
  const { response, chunks } = await get(hub, address, headers, subject, (answer) => refuseChange(hub, file, answer));
  const close = async (): Promise<void> => {
    // A stream that has failed cannot be cancelled, and need not be.
    await response.body?.cancel().catch(() => {});
  };
  try {
    if (response.status === 416) throw checksumError(hub, file, `it ends before byte ${from} now`);
    const { host } = new URL(response.url);
    const start = startOf(response);
    if (start !== 0 && start !== from) throw new PassingFailure(`${host} does not give the bytes that were asked for`);
    return { host, start, chunks, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The first byte that an answer gives; NaN where it gives none. */
function startOf({ status, headers }: Response): number {
  if (status === 200) return 0;
  return Number(/^bytes (\d+)-/.exec(headers.get("content-range") ?? "")?.[1] ?? Number.NaN);
}

/** A commit's files never change; where the hub says that one did, it is not the hub's. */
function refuseChange(hub: Hub, file: RemoteFile, headers: Headers): void {
  const commit = headers.get("x-repo-commit");
  if (commit !== null && commit !== file.commit) throw checksumError(hub, file, `it is of commit ${commit} now`);
  const etag = headers.get("x-linked-etag")?.replace(/^W\//, "").replaceAll('"', "");
  if (etag !== undefined && SHA256.test(file.etag) && etag !== file.etag)
    throw checksumError(hub, file, `its hash is ${etag} now`);
}

export function checksumError(hub: Hub, file: RemoteFile, problem: string): ScoreheadError {
  const { path, repository, commit, size, etag } = file;
  return new ScoreheadError(
    "ERR_CHECKSUM",
    `${path} of ${repository} is not the file that the hub lists (commit ${commit}, ${size} bytes, hash ${etag}): ${problem}. ` +
      `Nothing of it is kept. Try again; if it stays, ${hub.endpoint} or a proxy on the way gives wrong bytes.`,
  );
}
