/** Which commit a revision means: asked of the hub, or remembered by the cache. */
import { ScoreheadError } from "../errors.ts";
import type { HubName, HubOptions, Revision } from "./types.ts";

/**
 * The commit that a name means now; without network, the one that the cache remembers.
 * @throws ERR_NOT_FOUND (repository or revision), ERR_HUB_ACCESS, ERR_NETWORK, ERR_OFFLINE (network forbidden, and the
 *   cache does not know it), ERR_ABORTED
 */
export async function findRevision(_name: HubName, _options: HubOptions): Promise<Revision> {
  throw new ScoreheadError("ERR_INTERNAL", "not written yet");
}
