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

const MEBIBYTES = 1024 * 1024;

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
  const { reasons, threads, kvBytes } = file.report.model as NonNullable<DoctorReport["model"]>;
  expect(reasons).toEqual([
    "device cpu: no GPU is used",
    `context ${contextTokens} tokens: the model's length, 2048, fits`,
    expect.stringContaining(`KV cache ${Math.round(kvBytes / MEBIBYTES)} MiB in f16, weights `),
    expect.stringMatching(/^micro-batch 128 tokens, at most \d+ outputs: /),
    `threads ${threads}: as many as this process may use`,
  ]);
});

test("tells what other sizes would take", async () => {
  const [small, plain] = await Promise.all([
    doctor([model, "--device", "cpu", "--context", "500", "--kv", "f32"]),
    doctor([model]),
  ]);
  expect(small).toMatchObject({ code: 0, report: { device: "cpu", model: { contextTokens: 512, kv: "f32" } } });
  expect(small.report.model?.reasons).toContain("context 512 tokens: as asked, rounded up to a multiple of 256");
  expect(plain.report.model?.kv).toBe("f16");
});

test("memory that is not there is a finding, with the numbers", async () => {
  // Sixteen million tokens without fused attention: terabytes.
  const { code, stderr, report } = await doctor([model, "--device", "cpu", "--context", "16000000", "--kv", "f32"]);
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /needs \d+ MiB \(weights \d+ MiB, KV cache \d+ MiB, computing \d+ MiB\), and \d+ MiB are free/,
  );
  expect(report).toMatchObject({ problems: [{ code: "ERR_MEMORY" }], model: null });
});

test("a device that is not there is one too, and then nothing is told of the model", async () => {
  const missing = process.platform === "darwin" ? "cuda" : "metal";
  const { code, report } = await doctor([model, "--device", missing]);
  expect(code).toBe(1);
  expect(report).toMatchObject({ problems: [{ code: "ERR_DEVICE" }], device: null, model: null });
});

test("takes a base model's directory for a checkpoint without tokenizer", async () => {
  const starling = await writeFixture("starling", join(folder, "Starling-RM-7B-alpha"));
  const args = ["--tokenizer", starling.tokenizerDirectory as string];
  const [alone, given, inspected, file] = await Promise.all([
    doctor([starling.directory]),
    doctor([starling.directory, ...args]),
    runCli(["inspect", starling.directory, ...args]),
    runCli(["inspect", model, ...args]),
  ]);
  expect(alone).toMatchObject({ code: 1, report: { problems: [{ code: "ERR_TOKENIZER" }] } });
  expect(given).toMatchObject({ code: 0, report: { model: { profile: "starling" } } });
  expect(inspected).toMatchObject({ code: 0, stdout: expect.stringMatching(/^verdict +converts$/m) });
  expect(file).toMatchObject({ code: 2, stderr: expect.stringContaining("Leave it out") });
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
    /^ {2}model llama, profile beaver-cost$/m,
    /^ {2}context \d+ tokens: /m,
  ])
    expect(stdout).toMatch(line);
});
