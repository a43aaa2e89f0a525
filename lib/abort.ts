/** What an AbortSignal does to a promise. */
import { setMaxListeners } from "node:events";
import { ScoreheadError } from "./errors.ts";

/** @throws ERR_ABORTED where the signal is aborted */
export function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new ScoreheadError("ERR_ABORTED", "The call was aborted by its signal.", signal.reason);
}

/**
 * The job's result, or ERR_ABORTED as soon as the signal is aborted: the caller stops waiting, whatever the job does.
 */
export async function unlessAborted<Result>(job: Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
  if (!signal) return job;
  let stopListening = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    const stop = (): void => {
      try {
        checkAborted(signal);
      } catch (error) {
        reject(error);
      }
    };
    stop();
    // One signal for hundreds of calls is no leak, whatever Node suspects.
    setMaxListeners(0, signal);
    signal.addEventListener("abort", stop, { once: true });
    stopListening = () => signal.removeEventListener("abort", stop);
  });
  try {
    return await Promise.race([aborted, job]);
  } finally {
    stopListening();
  }
}
