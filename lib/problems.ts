/** Errors that are gathered instead of thrown, so that a report can name all that stands in the way. */
import { ScoreheadError } from "./errors.ts";

/** Something that stands in the way, as reports have it. */
export type Problem = Pick<ScoreheadError, "code" | "message">;

/** Adds an error to the problems, once. Only errors of this package are findings; others are bugs and go on. */
export function note(problems: ScoreheadError[], error: unknown): null {
  if (!(error instanceof ScoreheadError)) throw error;
  if (!problems.some(({ code, message }) => code === error.code && message === error.message)) problems.push(error);
  return null;
}

/** What `read` returns, or null with its error among the problems. */
export function attempt<T>(problems: ScoreheadError[], read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    return note(problems, error);
  }
}

/** For reports: errors without their stacks. */
export function plainProblems(problems: readonly ScoreheadError[]): readonly Problem[] {
  return problems.map(({ code, message }) => ({ code, message }));
}
