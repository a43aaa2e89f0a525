/** Exit codes and how a failure is told: on stderr, with its code. */
import { isScoreheadError } from "../index.ts";

/** 0 is success. Ctrl-C and a closed pipe end as shells know it, with 128 + the signal's number. */
export const EXIT = { failed: 1, usage: 2, gate: 3, brokenPipe: 141 } as const;

/** Wrong usage: an option that is missing, superfluous or contradicts another. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Writes a line for people. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Tells an error and returns the exit code that it means. */
export function reportFailure(error: unknown): number {
  if (error instanceof UsageError) {
    say(`error: ${error.message}`);
    return EXIT.usage;
  }
  if (isScoreheadError(error)) {
    say(`error: ${error.message} (${error.code})`);
    return error.code === "ERR_ARGUMENT" ? EXIT.usage : EXIT.failed;
  }
  say(`error: ${error instanceof Error ? error.stack : String(error)}`);
  return EXIT.failed;
}
