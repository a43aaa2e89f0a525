/** What the hub says of a repository, by @huggingface/hub: the commit of a revision, the files of a commit. */
import type { ListFileEntry } from "@huggingface/hub";
import { ScoreheadError } from "../errors.ts";
import { get } from "./http.ts";
import { OBJECT_ID, refuseLeaving, SHA256 } from "./path.ts";
import { retrying } from "./retry.ts";
import type { TreeEntry } from "./tree.ts";
import type { Hub, Subject } from "./types.ts";

/** More than any listing page has. */
const MOST_BYTES = 64 * 1024 * 1024;
/** Of a thousand files each. */
const MOST_PAGES = 200;

/** Where the hub is asked for nothing, its client need not be loaded. */
const loadClient = () => import("@huggingface/hub");

/**
 * The commit that a revision means now.
 * @throws ERR_NOT_FOUND, ERR_HUB_ACCESS, ERR_NETWORK, ERR_HUB, ERR_ABORTED
 */
export async function askCommit(hub: Hub, repository: string, revision: string): Promise<string> {
  const { modelInfo } = await loadClient();
  const { sha } = await ask(hub, { repository, revision }, (common) =>
    modelInfo({ ...common, name: repository, revision, additionalFields: ["sha"] }),
  );
  if (typeof sha === "string" && OBJECT_ID.test(sha)) return sha;
  throw malformed(hub, `it names no commit for ${repository} at ${revision}`);
}

/**
 * All files of a commit, by path, folders left out.
 * @throws as {@link askCommit}; ERR_HUB too where a name would lead out of the repository
 */
export async function askTree(hub: Hub, repository: string, commit: string): Promise<Map<string, TreeEntry>> {
  const { listFiles } = await loadClient();
  const entries = await ask(hub, { repository, revision: commit }, async (common) => {
    const found: ListFileEntry[] = [];
    const listing = listFiles({ ...common, repo: repository, revision: commit, recursive: true });
    for await (const entry of listing) found.push(entry);
    return found;
  });
  const tree = new Map<string, TreeEntry>();
  for (const entry of entries) if (entry.type === "file") tree.set(entry.path, checkedEntry(hub, entry));
  return tree;
}

function checkedEntry(hub: Hub, { path, size, oid, lfs, xetHash }: ListFileEntry): TreeEntry {
  const isSize = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  const complete = typeof path === "string" && typeof oid === "string" && OBJECT_ID.test(oid) && isSize(size);
  if (!complete || (lfs && !(SHA256.test(lfs.oid) && isSize(lfs.size))))
    throw malformed(hub, `its listing has the entry ${JSON.stringify({ path, size, oid, lfs }).slice(0, 300)}`);
  refuseLeaving(path, `The listing of ${hub.endpoint}`);
  return {
    size,
    blob_id: oid,
    ...(lfs && { lfs_sha256: lfs.oid, lfs_size: lfs.size }),
    ...(xetHash !== undefined && SHA256.test(xetHash) && { xet_hash: xetHash }),
  };
}

interface Common {
  readonly hubUrl: string;
  readonly fetch: typeof fetch;
}

/** Makes @huggingface/hub's requests ours: token, redirects, retries and errors are the same for all. */
async function ask<Result>(hub: Hub, subject: Subject, call: (common: Common) => Promise<Result>): Promise<Result> {
  let pages = 0;
  const ours = async (input: string | URL | Request): Promise<Response> => {
    if (++pages > MOST_PAGES) throw malformed(hub, "its listing does not end");
    const address = input instanceof Request ? input.url : String(input);
    return retrying(`ask ${hub.endpoint} for ${subject.repository}`, () => getWhole(hub, address, subject), hub);
  };
  try {
    return await call({ hubUrl: hub.endpoint, fetch: ours });
  } catch (error) {
    // What is not ours comes from reading an answer of another form than the hub's.
    throw error instanceof ScoreheadError ? error : malformed(hub, (error as Error).message, error);
  }
}

/** An answer with all of its body, so that one that breaks off is asked for again. */
async function getWhole(hub: Hub, address: string, subject: Subject): Promise<Response> {
  const { response, chunks } = await get(hub, address, { accept: "application/json" }, subject);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks()) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) throw malformed(hub, `one has more than ${MOST_BYTES} bytes`);
    parts.push(chunk);
  }
  return new Response(Buffer.concat(parts), { status: response.status, headers: [...response.headers] });
}

function malformed(hub: Hub, problem: string, cause?: unknown): ScoreheadError {
  return new ScoreheadError(
    "ERR_HUB",
    `The answers of ${hub.endpoint} are not the hub's: ${problem}. Check HF_ENDPOINT, and whether a proxy answers in its place.`,
    cause,
  );
}
