/** Option values: text to numbers, and the interrupt that stops a job. */
import { InvalidArgumentError } from "commander";

/** A reader of whole numbers from `least` up, which throws commander's error for anything else. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(Number(text)) || Number(text) < least)
      throw new InvalidArgumentError(`It has to be a whole number from ${least} up.`);
    return Number(text);
  };
}

/** @throws commander's error where `text` is not a finite number */
export function finiteNumber(text: string): number {
  if (text.trim() === "" || !Number.isFinite(Number(text)))
    throw new InvalidArgumentError("It has to be a finite number.");
  return Number(text);
}

/** `a,b,…` @throws commander's error where one is not a finite number */
export function finiteNumbers(text: string): number[] {
  return text.split(",").map(finiteNumber);
}

/** `a,b,…` or `name=a,name2=b,…` @throws commander's error where it is neither, or a name comes twice */
export function labelledNumbers(text: string): number[] | Record<string, number> {
  if (!text.includes("=")) return finiteNumbers(text);
  const pairs = text.split(",").map((pair): [string, number] => {
    const at = pair.lastIndexOf("=");
    if (at < 1) throw new InvalidArgumentError("It has to be numbers, or label=number for each.");
    return [pair.slice(0, at).trim(), finiteNumber(pair.slice(at + 1))];
  });
  if (new Set(pairs.map(([name]) => name)).size < pairs.length) throw new InvalidArgumentError("A label comes twice.");
  return Object.fromEntries(pairs);
}

/** For options that may be given several times. */
export function append(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
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

/** For an option of which a second value would silently take the place of the first. */
export const once =
  (name: string) =>
  (value: string, previous: string | undefined): string => {
    if (previous === undefined) return value;
    throw new InvalidArgumentError(`${name} may be given once. For several answers use rank, or --input.`);
  };
