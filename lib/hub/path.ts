/** Names that come from the network and become names on disk: files inside a repository, revisions, object ids. */
import { ScoreheadError } from "../errors.ts";

/** What the cache names commits and small files by. */
export const OBJECT_ID = /^[0-9a-f]{40}$/;
/** What the cache names large files by. */
export const SHA256 = /^[0-9a-f]{64}$/;

/** Names that Windows gives to devices, whatever follows the first dot. */
const DEVICE = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)/i;

/** Whether `path`, read by the rules of any system, may lead out of the directory that it is relative to. */
function leaves(path: string): boolean {
  return /^[/\\]|^[a-z]:|\0/i.test(path) || path.split(/[/\\]/).includes("..");
}

/**
 * Whether `path` names the same file inside its directory on every system: parts between single slashes, without `.`,
 * `..`, backslashes, colons (drives, streams), control characters, devices, and the dots and spaces that Windows drops.
 */
export function isPlainPath(path: string): boolean {
  return path.length <= 1024 && path.split("/").every(isPlainName);
}

function isPlainName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
  return /^[^\\:\u0000-\u001f\u007f]+$/.test(name) && !/[. ]$/.test(name) && !DEVICE.test(name);
}

/** @throws ERR_HUB where a file's name in what `source` says would lead out of the repository */
export function refuseLeaving(path: string, source: string): void {
  if (leaves(path)) throw unsafe(path, source);
}

/** @throws ERR_HUB where a file that is going to be written has a name that is unsafe on some system */
export function requirePlainPath(path: string, source: string): void {
  if (!isPlainPath(path)) throw unsafe(path, source);
}

function unsafe(path: string, source: string): ScoreheadError {
  const name = JSON.stringify(path.length <= 100 ? path : `${path.slice(0, 100)}…`);
  return new ScoreheadError(
    "ERR_HUB",
    `${source} names the file ${name}, which is not a plain path inside the repository. Do not use this repository.`,
  );
}
