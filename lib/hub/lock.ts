/** One process works, the others wait: locks that end with the process that holds them. */
import { ScoreheadError } from "../errors.ts";
import type { HubOptions } from "./types.ts";

/**
 * Runs `job` while holding the lock file at `path`, which is made where it is missing and stays there.
 * Waits while another process, or another call of this one, holds it; `onWarning` hears of that.
 * @throws ERR_IO, ERR_ABORTED, and what `job` throws
 */
export async function withLock<Result>(
  _path: string,
  _options: Pick<HubOptions, "signal" | "onWarning">,
  _job: () => Promise<Result>,
): Promise<Result> {
  throw new ScoreheadError("ERR_INTERNAL", "not written yet");
}
