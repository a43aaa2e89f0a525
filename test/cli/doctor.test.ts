/** `scorehead doctor`: what works, and what does not. */
import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { convert, type DoctorReport } from "../../lib/index.ts";
import { writeFixture } from "../fixtures/checkpoints.ts";
import { runCli, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const cache = join(folder, "cache");
const directory = join(folder, "beaver-cost");
const model = join(folder, "m.gguf");

beforeAll(async () => {
  await writeFixture("beaver-cost", directory);
  await convert(directory, model);
});

async function doctor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { code, stdout, stderr } = await runCli(["doctor", "--json", ...args], {
    env: { SCOREHEAD_CACHE: cache, ...env },
  });
  return { code, stderr, report: JSON.parse(stdout) as DoctorReport };
}

test("shows versions, libraries, devices and the folders that were tried", async () => {
  const { code, stderr, report } = await doctor([]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(report).toMatchObject({
    problems: [],
    versions: { node: process.versions.node },
    platform: `${process.platform}-${process.arch}`,
    addonLoaded: true,
    cpu: { threads: availableParallelism() },
    cacheDirectory: cache,
    model: null,
  });
  expect(report.versions.llamaCpp).toContain(report.versions.llamaCppExpected);
  expect(report.devices.map(({ kind }) => kind)).toContain("cpu");
  expect(report.cpu.features.length).toBeGreaterThan(0);
  expect(report.attempts).toContainEqual({
    path: report.runtime?.directory,
    origin: report.runtime?.origin,
    outcome: "opened",
  });
  expect(report.attempts).toContainEqual({
    path: expect.stringContaining(cache),
    origin: "built with `scorehead build-runtime` (cpu)",
    outcome: "the folder is missing or empty",
  });
});

test.runIf(process.platform === "linux")("names the CPU library that llama.cpp chose", async () => {
  expect((await doctor([])).report.cpu.library).toMatch(/^libggml-cpu.*\.so$/);
});

test("shows what a file would use, and a directory once it is converted", async () => {
  const [file, checkpoint] = await Promise.all([doctor([model]), doctor([directory])]);
  expect(file.code).toBe(0);
  // 3 layers, K and V of 64 numbers, 2 bytes each.
  const { contextTokens } = file.report.model as NonNullable<DoctorReport["model"]>;
  expect(contextTokens).toBeGreaterThanOrEqual(2048);
  expect(file.report.model).toMatchObject({
    architecture: "llama",
    profile: "beaver-cost",
    kvBytes: contextTokens * 3 * 2 * 64 * 2,
  });
  expect(checkpoint.report.model).toMatchObject({ weightBytes: file.report.model?.weightBytes, contextTokens });
});

test("a missing runtime is a finding: exit code 1, with what was tried", async () => {
  const empty = join(folder, "empty");
  mkdirSync(empty);
  const { code, stderr, report } = await doctor([], { SCOREHEAD_RUNTIME: empty });
  expect(code).toBe(1);
  expect(stderr).toContain("No usable llama.cpp libraries");
  expect(report).toMatchObject({
    problems: [{ code: "ERR_RUNTIME" }],
    addonLoaded: true,
    runtime: null,
    devices: [],
    device: null,
    versions: { llamaCpp: null },
  });
  expect(report.attempts).toContainEqual({
    path: empty,
    origin: "SCOREHEAD_RUNTIME",
    outcome: "the folder is missing or empty",
  });
});

test("a model that is none is a finding too", async () => {
  const { code, report } = await doctor([join(folder, "none.gguf")]);
  expect(code).toBe(1);
  expect(report).toMatchObject({ problems: [{ code: "ERR_NOT_FOUND" }], addonLoaded: true, model: null });
});

test("people get the same as lines", async () => {
  const { code, stdout } = await runCli(["doctor", model], { env: { SCOREHEAD_CACHE: cache } });
  expect(code).toBe(0);
  for (const line of [
    /^scorehead +\d/m,
    /^libraries +\S/m,
    /^devices:\n {2}\S/m,
    /^tried:\n {2}\S/m,
    /^ {2}kv cache +\d+ tokens, /m,
  ])
    expect(stdout).toMatch(line);
});
