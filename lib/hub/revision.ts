/** Which commit a revision means: asked of the hub, or remembered by the cache. */
import { isScoreheadError, ScoreheadError } from "../errors.ts";
import { askCommit } from "./api.ts";
import { rememberedCommit } from "./cache.ts";
import { hubCache, isOffline } from "./environment.ts";
import { openHub } from "./http.ts";
import { OBJECT_ID } from "./path.ts";
import type { HubName, HubOptions, Revision } from "./types.ts";

/**
 * The commit that a name means now. Where the network is forbidden, or the hub cannot be reached, it is the one that the
 * cache remembers, and everything else about it comes from the cache too.
 * @throws ERR_NOT_FOUND (repository or revision), ERR_HUB_ACCESS, ERR_HUB, ERR_NETWORK (and the cache does not know it),
 *   ERR_OFFLINE (network forbidden, and the cache does not know it), ERR_ABORTED
 */
export async function findRevision(name: Omit<HubName, "type">, options: HubOptions = {}): Promise<Revision> {
  const { repository, revision } = name;
  const offline = options.offline ?? isOffline();
  if (OBJECT_ID.test(revision)) return { repository, revision, commit: revision, online: !offline };
  const remembered = await rememberedCommit(repository, revision);
  const cached = remembered && { repository, revision, commit: remembered, online: false };
  if (offline) {
    if (cached) return cached;
    throw new ScoreheadError(
      "ERR_OFFLINE",
      `${repository} at ${revision} is not in the hub cache (${hubCache()}), and the network is forbidden (--offline or HF_HUB_OFFLINE). Run once without that.`,
    );
  }
  const hub = await openHub(options);
  try {
    // With something to fall back on, nobody has to wait for a hub that does not answer.
    const commit = await askCommit(cached ? { ...hub, tries: 1 } : hub, repository, revision);
    return { repository, revision, commit, online: true };
  } catch (error) {
    if (!cached || !isScoreheadError(error, "ERR_NETWORK")) throw error;
    options.onWarning?.(`${error.message} Using what the cache remembers of ${repository}: commit ${cached.commit}`);
    return cached;
  }
}
