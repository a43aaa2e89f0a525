/** What a program may do to a model besides closing it, each in a process of its own: exit, throw, end a worker. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { workspace } from "./support.ts";

const { gguf, path } = workspace();

const SCENARIOS = fileURLToPath(new URL("lifecycle/scenarios.ts", import.meta.url));

interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(scenario: string): Promise<Ending> {
  const file = await gguf("beaver-reward", "f16"); // computed by the accelerator, where there is one
  const child = spawn(process.execPath, ["--expose-gc", "--import", "tsx", SCENARIOS, scenario, file], {
    env: { ...process.env, SCOREHEAD_CACHE: path("cache") },
    timeout: 50_000,
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => {
    output.stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    output.stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, ...output }));
  });
}

/** A crash shows as a signal; `stderr` is in the comparison so that it is seen. */
async function expectEnding(scenario: string, code: number, stdout: string): Promise<void> {
  expect(await run(scenario)).toEqual({ code, signal: null, stdout, stderr: "" });
}

describe("the process", () => {
  it("is not kept alive by an open model", () => expectEnding("idle at the end", 0, ""));
  it("is kept alive by an open promise", () => expectEnding("scores to the end", 0, "scored 1\n"));
  it("exits with a model open", () => expectEnding("exit with a model open", 3, ""));
  it("exits while a model is loaded", () => expectEnding("exit while loading", 3, ""));
  it("exits while a batch is computed, which ends first", () => expectEnding("exit while scoring", 3, "freed"));
  it("exits while a file is quantised", () => expectEnding("exit while quantising", 3, ""));
  it("exits while a worker computes", () => expectEnding("exit while a worker scores", 3, ""));
  it("fails of its own error while a batch is computed", async () => {
    const { code, signal, stderr } = await run("throw while scoring");
    expect({ code, signal }).toEqual({ code: 1, signal: null });
    expect(stderr).toContain("the program's own mistake");
  });
  it("goes on after a load that failed", () => expectEnding("a load that fails", 0, "alive\n"));
  it("goes on after models were collected without close", () => expectEnding("collected without close", 0, "alive\n"));
  it("hears of a log listener's error", () => expectEnding("a listener that throws", 0, "alive\n"));
});

describe("a worker thread", () => {
  it("terminated in the middle of a batch leaves the main thread scoring", () =>
    expectEnding("worker terminated while scoring", 0, "alive true\n"));
  it("terminated at any moment leaves the process alive", () =>
    expectEnding("workers terminated at any moment of scoring", 0, "alive\n"));
  it("that exits while it scores leaves the process alive", () =>
    expectEnding("workers that exit while they score", 0, "0\n0\n0\n0\n"));
  it("terminated while it loads leaves the main thread scoring", () =>
    expectEnding("worker terminated while loading", 0, "alive\n"));
  it("ends with a model open", async () => {
    const { code, signal, stdout } = await run("worker ends with a model open");
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    expect(stdout).toMatch(/^-?[\d.]+ 0\nalive\n$/);
  });
  it("has a model of its own, beside others'", () =>
    expectEnding("a model in each of several workers", 0, "true 0,0,0\n"));
});
