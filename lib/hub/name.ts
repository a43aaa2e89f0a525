/** `owner/name[@revision][:type]`: how a model on the hub is named. */
import { isPlainPath } from "./path.ts";
import type { HubName } from "./types.ts";

/** The hub's own rule for owners and names: no `-` or `.` at an end, no `--` or `..`, at most 96 characters. */
const PART = "(?![-.])(?![\\w.-]*(?:--|\\.\\.))[\\w.-]{1,96}(?<![-.])";
const NAME = new RegExp(`^(${PART}/${PART})(?:@([^\\s:@]+))?(?::([\\w-]+))?$`);

/**
 * The parts of `owner/name[@revision][:type]`, or null where `text` does not have that form.
 * A revision may hold slashes (`refs/pr/1`). The form says nothing about whether such a repository exists, and a
 * relative path can have it too.
 */
export function parseHubName(text: string): HubName | null {
  const [, repository, revision = "main", type = null] = NAME.exec(text) ?? [];
  // The cache keeps what a revision means in a file of its name.
  return repository !== undefined && isPlainPath(revision) ? { repository, revision, type } : null;
}
