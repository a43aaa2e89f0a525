/** Errors that become part of a report instead of ending it. */
import { type ErrorCode, ScoreheadError } from "../errors.ts";

/** Something that stands in the way. */
export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
}

/** Adds an error to the problems, once. Only errors of this package are findings; others are bugs and go on. */
export function note(problems: Problem[], error: unknown): null {
  if (!(error instanceof ScoreheadError)) throw error;
  if (!problems.some(({ code, message }) => code === error.code && message === error.message))
    problems.push({ code: error.code, message: error.message });
  return null;
}

/** What `read` returns, or null with its error among the problems. */
export function attempt<T>(problems: Problem[], read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    return note(problems, error);
  }
}
