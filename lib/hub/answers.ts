/** What the hub's answers mean: which failures pass, and the words for those that do not. */
import type { Headers, Response } from "undici";
import { ScoreheadError } from "../errors.ts";
import { PassingFailure } from "./retry.ts";
import type { Hub, Subject } from "./types.ts";

const BUSY: ReadonlySet<number> = new Set([408, 425, 429]);

/**
 * An answer that is no success as an error.
 * @param ours whether it is the hub's own answer, and not that of the place that it sent us to for the bytes
 */
export function statusError(response: Response, ours: boolean, hub: Hub, subject: Subject): Error {
  const { status, headers, url } = response;
  const { host } = new URL(url);
  const wait = retryAfter(headers);
  if (status >= 500 || BUSY.has(status)) return new PassingFailure(`${host} answers ${status}`, wait);
  // The address of the bytes is signed for a time; the hub gives a fresh one.
  if (!ours) return new PassingFailure(`${host} answers ${status}`, null);
  const said = printable(headers.get("x-error-message") ?? "");
  const code = headers.get("x-error-code");
  if (status === 404) return notFound(code, hub, subject);
  if (status === 401 || status === 403) return accessDenied(code, said, hub, subject);
  return new ScoreheadError(
    "ERR_HUB",
    `${hub.endpoint} answers ${status} for ${named(subject)}${said && `: ${said}`}.`,
  );
}

function notFound(code: string | null, hub: Hub, { repository, revision, path }: Subject): ScoreheadError {
  const missing =
    code === "EntryNotFound" || (code === null && path !== undefined)
      ? `${repository} has no file ${path} at the revision ${revision}`
      : code === "RevisionNotFound"
        ? `${repository} has no revision ${revision}: name a branch, tag or commit that is listed at ${hub.endpoint}/${repository}/tree/main`
        : `There is no model repository ${repository} at ${hub.endpoint}: check the spelling`;
  return new ScoreheadError("ERR_NOT_FOUND", `${missing}.`);
}

function accessDenied(code: string | null, said: string, hub: Hub, subject: Subject): ScoreheadError {
  const page = `${hub.endpoint}/${subject.repository}`;
  const give = `make a token at ${hub.endpoint}/settings/tokens and give it in the variable HF_TOKEN or with \`hf auth login\``;
  const sent = hub.token !== null;
  const refuse = (reason: string): ScoreheadError =>
    new ScoreheadError("ERR_HUB_ACCESS", `${reason}${said && ` (${hub.endpoint} says: ${said})`}.`);
  if (code === "GatedRepo")
    return refuse(
      sent
        ? `${subject.repository} is gated, and your token's user is not let in. Accept its terms at ${page}, wait where they have to approve it, and check that the token may read gated repositories`
        : `${subject.repository} is gated. Accept its terms at ${page}, then ${give}`,
    );
  if (/invalid credentials/i.test(said)) return refuse(`The hub does not know your token. To replace it, ${give}`);
  if (!sent)
    return refuse(
      `${subject.repository} does not exist, is private or is gated. Check the spelling; if you may have it, accept its terms at ${page} where it has some, and ${give}`,
    );
  return refuse(
    `Your token does not give access to ${subject.repository}. Check the spelling, that the token's user can open ${page} and has accepted its terms, and that the token may read it. To give another one, ${give}`,
  );
}

/** Milliseconds that the server asks to wait: `Retry-After` in seconds or as a date, or the reset of `RateLimit`. */
function retryAfter(headers: Headers): number | null {
  const after = headers.get("retry-after");
  if (after !== null) {
    const wait = /^\s*\d+\s*$/.test(after) ? Number(after) * 1000 : Date.parse(after) - Date.now();
    if (Number.isFinite(wait)) return Math.max(0, wait);
  }
  const [, reset] = /\br=0\b.*?\bt=(\d+)/.exec(headers.get("ratelimit") ?? "") ?? [];
  return reset === undefined ? null : Number(reset) * 1000;
}

/** The subject in a sentence. */
export function named({ repository, revision, path }: Subject): string {
  return `${path === undefined ? "" : `${path} of `}${repository} at ${revision}`;
}

/** What a server says, without what a terminal would take as commands. */
export function printable(text: string): string {
  return text
    .replace(/[\p{C}\s]+/gu, " ")
    .trim()
    .slice(0, 300);
}
