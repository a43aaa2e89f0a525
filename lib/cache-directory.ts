/** Where scorehead keeps what it can make again: built runtimes and converted models. */
import { join } from "node:path";
import envPaths from "env-paths";

/** A folder of the user's cache directory, or of `SCOREHEAD_CACHE` where that is set. It may not exist yet. */
export function cacheDirectory(...parts: readonly string[]): string {
  return join(process.env.SCOREHEAD_CACHE || envPaths("scorehead", { suffix: "" }).cache, ...parts);
}
