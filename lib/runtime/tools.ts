/** Running the programs that a build needs: a missing one is named with its remedy, output is passed on by the line. */
import { type ChildProcess, spawn } from "node:child_process";
import { stat } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { checkAborted } from "../abort.ts";
import { ScoreheadError } from "../errors.ts";

export interface ToolContext {
  readonly onLine: (line: string) => void;
  readonly signal: AbortSignal | undefined;
}

export interface ToolRun extends ToolContext {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** As many lines of output as an error repeats: the reason of a failed build stands near its end. */
const TAIL_LINES = 20;

/**
 * Runs a program to its end.
 * @returns the last lines of its output
 * @throws ERR_BUILD where it cannot be started or fails, with the end of its output; ERR_ABORTED
 */
export async function runTool(command: string, args: readonly string[], run: ToolRun): Promise<string[]> {
  const child = start(command, args, run);
  const tail: string[] = [];
  const keep = (line: string): void => {
    run.onLine(line);
    tail.push(line);
    if (tail.length > TAIL_LINES) tail.shift();
  };
  for (const stream of [child.stdout, child.stderr])
    if (stream) createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on("line", keep);
  const outcome = await finished(child);
  if (outcome === null) return tail;
  checkAborted(run.signal);
  const text = [command, ...args].join(" ");
  throw new ScoreheadError("ERR_BUILD", `\`${text}\` ${outcome}. Its last lines:\n${tail.join("\n")}`);
}

function start(command: string, args: readonly string[], { cwd, env, signal }: ToolRun): ChildProcess {
  return spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    // npm is a .cmd file on Windows, which only a shell starts; no argument of a .cmd here needs quoting.
    shell: process.platform === "win32" && command === "npm",
    ...(signal && { signal }),
  });
}

/** null, or what went wrong as the end of a sentence. */
function finished(child: ChildProcess): Promise<string | null> {
  return new Promise((resolve) => {
    child.on("error", (error) => {
      // An aborted child has a pid and is on its way out: it ends with "close".
      if (child.pid === undefined) resolve(`cannot be started: ${error.message}`);
    });
    child.on("close", (code, signal) => resolve(code === 0 ? null : `failed with ${signal ?? `exit code ${code}`}`));
  });
}

/** A program that a build needs: any one of `names`, found on the PATH. */
export interface Requirement {
  readonly names: readonly string[];
  readonly purpose: string;
  readonly remedy: string;
}

/** @throws ERR_BUILD naming every program that is missing, what it is for and how to get it */
export async function requireTools(requirements: readonly Requirement[]): Promise<void> {
  const missing: string[] = [];
  for (const { names, purpose, remedy } of requirements) {
    const found = await Promise.all(names.map(findProgram));
    if (found.every((path) => path === null)) missing.push(`\n  ${names.join(" or ")} (${purpose}): ${remedy}`);
  }
  if (missing.length > 0)
    throw new ScoreheadError("ERR_BUILD", `Programs that the build needs are not on the PATH:${missing.join("")}`);
}

/** The path of a program on the PATH, or null. */
async function findProgram(name: string): Promise<string | null> {
  const extensions = process.platform === "win32" ? [".exe", ".cmd", ".bat"] : [""];
  for (const directory of (process.env.PATH ?? "").split(delimiter).filter((part) => part !== ""))
    for (const extension of extensions) {
      const path = join(directory, name + extension);
      const found = await stat(path).catch(() => null);
      if (found?.isFile()) return path;
    }
  return null;
}
