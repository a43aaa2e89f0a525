/** Where scorehead keeps what it can make again: built runtimes and converted models. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import envPaths from "env-paths";
import { ScoreheadError } from "./errors.ts";

/** A folder of the user's cache directory, or of `SCOREHEAD_CACHE` where that is set. It may not exist yet. */
export function cacheDirectory(...parts: readonly string[]): string {
  return join(process.env.SCOREHEAD_CACHE || envPaths("scorehead", { suffix: "" }).cache, ...parts);
}

/** A folder of the cache, made where it is missing. @throws ERR_IO with the remedy */
export async function makeCacheDirectory(...parts: readonly string[]): Promise<string> {
  const directory = cacheDirectory(...parts);
  try {
    await mkdir(directory, { recursive: true });
  } catch (cause) {
    const reason = `Cannot make the cache directory ${directory}: ${(cause as Error).message}.`;
    throw new ScoreheadError("ERR_IO", `${reason} Name another one with the variable SCOREHEAD_CACHE.`, cause);
  }
  return directory;
}
