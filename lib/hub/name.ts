/** `owner/name[@revision][:type]`: how a model on the hub is named. */
import type { HubName } from "./types.ts";

/** The hub's own rule for owners and names: no leading or trailing `-` or `.`, no `--` or `..`, at most 96 characters. */
const PART = "(?![-.])(?!\\S*?(?:--|\\.\\.))[\\w.-]{1,96}(?<![-.])";
const NAME = new RegExp(`^(${PART}/${PART})(?:@([^\\s:@]+))?(?::(\\w+))?$`);

/**
 * The parts of `owner/name[@revision][:type]`, or null where `text` does not have that form.
 * A revision may hold slashes (`refs/pr/1`). The form says nothing about whether such a repository exists, and a
 * relative path can have it too.
 */
export function parseHubName(text: string): HubName | null {
  const match = NAME.exec(text);
  if (!match?.[1]) return null;
  return { repository: match[1], revision: match[2] ?? "main", type: match[3] ?? null };
}
