/** What the place of a checkpoint's directory tells: its name, and the repository and commit that it is from. */
import { realpath } from "node:fs/promises";
import { basename, resolve } from "node:path";
import type { JsonObject } from "../checkpoint/types.ts";
import { PROFILES } from "../prompt/profiles.ts";

export interface Origin {
  /** The repository, or the path whose last part may name a profile. */
  readonly name: string;
  /** `owner/name`, or "" where it is not known; the same of the commit. */
  readonly repository: string;
  readonly revision: string;
}

/**
 * Repository and revision where the directory is part of a hub cache; the repository where the config names it. A
 * directory goes by its path and by what that is without links: "." has a name, and a link's own name may say nothing.
 */
export async function originOf(directory: string, config: JsonObject): Promise<Origin> {
  const absolute = resolve(directory);
  // What was read elsewhere, a listing of a repository say, needs no directory.
  const places = [absolute, await realpath(absolute).catch(() => absolute)] as const;
  const source = sourceOf(places, config);
  return { name: source.repository || tellingName(places), ...source };
}

function tellingName([absolute, real]: readonly [string, string]): string {
  const isTelling = PROFILES.some(({ repositories }) => repositories.some((name) => name.test(basename(absolute))));
  return isTelling ? absolute : real;
}

function sourceOf(places: readonly string[], config: JsonObject): Omit<Origin, "name"> {
  for (const place of places) {
    const [, owner, name, revision] = place.match(/models--([^/\\]+?)--([^/\\]+)[/\\]snapshots[/\\]([^/\\]+)/) ?? [];
    if (revision !== undefined) return { repository: `${owner}/${name}`, revision };
  }
  const named = config._name_or_path;
  const isRepository =
    typeof named === "string" &&
    /^[\w.-]+\/[\w.-]+$/.test(named) &&
    places.some((place) => basename(place) === basename(named));
  return { repository: isRepository ? named : "", revision: "" };
}
