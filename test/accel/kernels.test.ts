/**
 * The accelerator's kernels, on every instruction set that this processor has: equal to plain C++ to the last bit, and no less
 * precise than llama.cpp's. The comparing is done by a program of its own (test/accel/native), compiled here.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import type { LibrarySet } from "../../lib/runtime/contract.ts";
import { libraryIn } from "../../lib/runtime/locate.ts";
import { openRuntime } from "../../lib/runtime/open.ts";
import { compile } from "../../scripts/build-addon.mjs";

interface Finding {
  readonly kernels: string;
  readonly type?: string;
  /** Numbers that were equal to those of plain C++. */
  readonly equal?: number;
  /** Error against float64, over llama.cpp's. */
  readonly errorOverStock?: number;
  readonly cache?: string;
  readonly attentionError?: number;
}

const folder = fileURLToPath(new URL(".", import.meta.url));
const TYPES = ["q8_0", "q4_0", "q4_k", "q5_k", "q6_k", "bf16", "f16", "f32"];
/** Its instruction adds up in a way of its own, which plain C++ cannot follow. */
const INEXACT = "avx512-vnni-bf16 bf16";

const { accelerator, directory } = openRuntime();

describe.runIf(accelerator.kernels !== null)("kernels", () => {
  let findings: readonly Finding[] = [];
  beforeAll(() => {
    compile(folder, "configure", "build");
    const { base, ggml, backendDirectory } = libraryIn(directory) as LibrarySet;
    const program = join(folder, "build", "Release", "accel-check");
    const lines = execFileSync(program, [base, ggml, backendDirectory], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    findings = lines
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Finding);
  });

  it("cover every weight type on every instruction set", () => {
    const sets = new Set(findings.map(({ kernels }) => kernels));
    expect(sets).toContain(accelerator.kernels);
    expect(sets).toContain("avx2");
    for (const kernels of sets)
      expect(findings.filter((finding) => finding.kernels === kernels && finding.type).map(({ type }) => type)).toEqual(
        TYPES,
      );
  });

  it("compute what plain C++ does, to the last bit", () => {
    for (const { kernels, type, equal } of findings)
      if (type && `${kernels} ${type}` !== INEXACT)
        expect([kernels, type, equal]).toEqual([kernels, type, expect.any(Number)]);
    const compared = findings.filter(({ kernels, type }) => type && `${kernels} ${type}` !== INEXACT);
    for (const { equal } of compared) expect(equal).toBeGreaterThan(10_000);
  });

  it("are as precise as llama.cpp's", () => {
    // Float32 weights are left to llama.cpp, for this very reason; the kernel serves the F32 cache.
    const compared = findings.filter(({ type }) => type && type !== "f32");
    for (const { errorOverStock } of compared) expect(errorOverStock).toBeLessThan(1.05);
  });

  it("compute attention in float32", () => {
    const attentions = findings.filter(({ cache }) => cache);
    expect(attentions.length).toBeGreaterThan(0);
    for (const { attentionError } of attentions) expect(attentionError).toBeLessThan(1e-5);
  });
});

it("says why there are none, where there are none", () => {
  if (accelerator.kernels === null) expect(accelerator.reason).not.toBe("");
  else expect(accelerator.reason).toBe("");
});
