/** Trying again what can succeed later: connections that drop, busy servers. */
import { setTimeout as sleep } from "node:timers/promises";
import { checkAborted } from "../abort.ts";
import { ScoreheadError } from "../errors.ts";

/** A failure that may pass. Becomes ERR_NETWORK when it does not. */
export class PassingFailure extends Error {
  /** How long the server asks to wait, in milliseconds. */
  readonly wait: number | null;

  constructor(reason: string, wait: number | null = null, cause?: unknown) {
    super(reason, { cause });
    this.wait = wait;
  }
}

export interface RetryOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Before the second try; doubles from one to the next. */
  readonly firstDelay: number;
  readonly tries: number;
  /** What the job has got so far: tries count from the last time that it had got on. */
  readonly progress?: () => number;
}

const LONGEST_DELAY = 30_000;
/** The hub counts requests in windows of five minutes. */
const LONGEST_ASKED = 600_000;
/** Fewer bytes than this are no progress: a server that gives one a connection is broken. */
const PROGRESS = 1024 * 1024;
/** More tries, and with the doubling pauses four times the patience, for what has begun. */
const MORE_TRIES = 2;

/**
 * The result of `attempt`, tried again after {@link PassingFailure}s, with growing pauses.
 * @param job as in "Cannot …" and "… again"
 * @throws ERR_NETWORK when the tries are used up, ERR_ABORTED, and whatever else `attempt` throws
 */
export async function retrying<Result>(
  job: string,
  attempt: () => Promise<Result>,
  { signal, onWarning, firstDelay, tries, progress = () => 0 }: RetryOptions,
): Promise<Result> {
  let reached = 0;
  for (let failures = 1; ; failures++) {
    checkAborted(signal);
    try {
      return await attempt();
    } catch (error) {
      checkAborted(signal);
      if (!(error instanceof PassingFailure)) throw error;
      if (progress() >= reached + PROGRESS) failures = 1;
      reached = Math.max(reached, progress());
      // Spread, so that what failed together does not come back at the same moment.
      const pause =
        error.wait ?? Math.min(firstDelay * 2 ** (failures - 1), LONGEST_DELAY) * (0.75 + Math.random() / 2);
      if (failures >= tries + (reached > 0 ? MORE_TRIES : 0) || pause > LONGEST_ASKED)
        throw givenUp(job, error, failures);
      if (tries > 1) onWarning?.(`${error.message}; trying to ${job} again in ${Math.ceil(pause / 1000)} s`);
      await sleep(pause, undefined, signal && { signal }).catch(() => checkAborted(signal));
    }
  }
}

function givenUp(job: string, { message, wait, cause }: PassingFailure, failures: number): ScoreheadError {
  const times = failures === 1 ? "" : ` (the last of ${failures} tries)`;
  const later = wait === null ? "later" : `in ${Math.ceil(wait / 60_000)} min`;
  return new ScoreheadError(
    "ERR_NETWORK",
    `Cannot ${job}: ${message}${times}. Check the connection, or try again ${later}; what was downloaded is kept.`,
    cause,
  );
}
