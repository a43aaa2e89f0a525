/** Which files of a commit are needed: from the hub's listing, or from what the cache has. */
import { ScoreheadError } from "../errors.ts";
import type { HubOptions, Revision, Snapshot } from "./types.ts";

export interface SnapshotOptions extends HubOptions {
  /** `tokenizer`: config and tokenizer only, of a base model. Default `model`. */
  readonly files?: "model" | "tokenizer" | undefined;
  /** A word by which one of several GGUF files is chosen, e.g. `q8_0`. */
  readonly type?: string | null | undefined;
}

/**
 * The files of a commit that are needed: config, tokenizer, and either one GGUF file or safetensors or torch weights.
 * Downloads nothing but a shard index. Without network the files are those that the cache has.
 * @throws ERR_CHECKPOINT (no weights, or several that could be meant), ERR_HUB (a listing that names files outside the
 *   repository), ERR_HUB_ACCESS, ERR_NETWORK, ERR_OFFLINE (not all of it is cached), ERR_ABORTED
 */
export async function openSnapshot(_revision: Revision, _options: SnapshotOptions): Promise<Snapshot> {
  throw new ScoreheadError("ERR_INTERNAL", "not written yet");
}
