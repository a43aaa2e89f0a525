/** Option values: text to numbers, and the interrupt that stops a job. */
import { InvalidArgumentError } from "commander";

/** @throws commander's error where `text` is not a whole number from 1 up */
export function positiveInteger(text: string): number {
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(Number(text)) || Number(text) === 0)
    throw new InvalidArgumentError("It has to be a whole number from 1 up.");
  return Number(text);
}

/** @throws commander's error where `text` is not a finite number */
export function finiteNumber(text: string): number {
  if (text.trim() === "" || !Number.isFinite(Number(text)))
    throw new InvalidArgumentError("It has to be a finite number.");
  return Number(text);
}

/** The same object without the entries that are undefined: options that were not given are not passed on. */
export function given<T extends object>(options: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}

/**
 * Runs a job that Ctrl-C aborts, so that it removes its temporary files; then the process ends as interrupted ones do.
 * A second Ctrl-C ends it at once.
 */
export async function interruptible<T>(job: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const onInterrupt = (): void => controller.abort();
  process.once("SIGINT", onInterrupt);
  try {
    return await job(controller.signal);
  } catch (error) {
    // By the signal itself: process.exit would wait for native work that cannot be stopped.
    if (controller.signal.aborted) process.kill(process.pid, "SIGINT");
    throw error;
  } finally {
    process.removeListener("SIGINT", onInterrupt);
  }
}
