/** Checking what callers pass: the one way in which wrong types and unknown options are refused. */
import { ScoreheadError } from "./errors.ts";

/** What a value has to be, where it is something else; else null. */
export type Check = (value: unknown) => string | null;

export const oneOf =
  (values: readonly string[]): Check =>
  (value) =>
    values.includes(value as string) ? null : `one of ${values.map((v) => `"${v}"`).join(", ")}`;

export const integer =
  (from: number, to: number): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= from && (value as number) <= to
      ? null
      : `an integer from ${from} to ${to}`;

export const ofType =
  (type: "boolean" | "string" | "function"): Check =>
  (value) =>
    typeof value === type ? null : `a ${type}`;

/** An array of at least so many, each passing `check`. */
export const listOf =
  (check: Check, least = 1, what = `an array of which each is ${check(undefined)}`): Check =>
  (value) =>
    Array.isArray(value) && value.length >= least && value.every((item) => check(item) === null) ? null : what;

export const abortSignal: Check = (value) => (value instanceof AbortSignal ? null : "an AbortSignal");

/**
 * Checks an options object; an option that is undefined is absent.
 * @returns a copy, so that the caller's object can change afterwards
 * @throws ERR_ARGUMENT naming the option, what it has to be and what it was; an unknown option is a typo
 */
export function checkOptions<Options extends object>(
  options: unknown,
  checks: Readonly<Record<keyof Options, Check>>,
): Options {
  if (options === undefined) return {} as Options;
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw new ScoreheadError("ERR_ARGUMENT", `The options have to be an object, not ${describe(options)}.`);
  const copy: Record<string, unknown> = { ...options };
  for (const [name, value] of Object.entries(copy)) {
    const check = Object.hasOwn(checks, name) ? checks[name as keyof Options] : undefined;
    if (!check)
      throw new ScoreheadError(
        "ERR_ARGUMENT",
        `There is no option "${name}"; known: ${Object.keys(checks).join(", ")}.`,
      );
    const expected = value === undefined ? null : check(value);
    if (expected) throw new ScoreheadError("ERR_ARGUMENT", `"${name}" has to be ${expected}, not ${describe(value)}.`);
  }
  return copy as Options;
}

/** @throws ERR_ARGUMENT where `path` is no path; `what` begins the message, e.g. "The output" */
export function checkPath(path: unknown, what: string): asserts path is string {
  if (typeof path === "string" && path !== "" && !path.includes("\0")) return;
  throw new ScoreheadError("ERR_ARGUMENT", `${what} has to be named by a path, not ${describe(path)}.`);
}

/** A wrong value for an error message: its text where that is short and plain, else its type. */
export function describe(value: unknown): string {
  if (value === null || value === undefined || typeof value === "number" || typeof value === "boolean")
    return String(value);
  if (typeof value === "string") return value.length <= 40 ? JSON.stringify(value) : "a longer string";
  return Array.isArray(value) ? "an array" : `a value of type ${typeof value}`;
}
