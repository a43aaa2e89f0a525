/** What a model gets of the machine, and what is said where that is not enough. */
import { totalmem } from "node:os";
import { describe, expect, it } from "vitest";
import type { Backbone } from "../../lib/gguf/backbone.ts";
import { ScoreheadError } from "../../lib/index.ts";
import { chooseSizes } from "../../lib/model/sizing.ts";
import type { NativeDevice } from "../../lib/runtime/contract.ts";
import type { DeviceSelection } from "../../lib/runtime/open.ts";

const GIB = 2 ** 30;
const CPU: DeviceSelection = { kind: "cpu", devices: [] };

/** Llama-2-7B as q8_0. */
const LLAMA_7B: Backbone = {
  architecture: "llama",
  layers: 32,
  hiddenSize: 4096,
  vocabularySize: 32_000,
  contextLength: 4096,
  heads: 32,
  kvElements: 32 * 32 * 256,
  window: null,
  longRope: false,
  weightBytes: 7 * GIB,
  extraGpuBytes: 0.13 * GIB,
};
const SMALL: Backbone = { ...LLAMA_7B, layers: 2, kvElements: 2 * 4 * 32, weightBytes: 4e6, hiddenSize: 64, heads: 4 };

function gpu(freeGib: number): DeviceSelection {
  const device = { name: "GPU0", description: "a GPU", backend: "CUDA", kind: "gpu" } as const;
  const bytes = { freeBytes: freeGib * GIB, totalBytes: freeGib * GIB };
  return { kind: "cuda", devices: [{ ...device, ...bytes } satisfies NativeDevice] };
}

describe("context", () => {
  it("is the model's length, with room for a card reading, in steps of 256", () => {
    expect(chooseSizes(SMALL, 2048, CPU, {}).contextTokens).toBe(2304);
    expect(chooseSizes(SMALL, 300, CPU, {}).contextTokens).toBe(2304); // never less than 2048
  });

  it("is what was asked for", () => expect(chooseSizes(SMALL, 2048, CPU, { context: 500 }).contextTokens).toBe(512));

  it("is what a GPU has room for", () => {
    // 8 GiB: the weights and the embedding again leave 0.47 GiB, half of it for a cache of 0.5 MiB a token.
    expect(chooseSizes(LLAMA_7B, 32_768, gpu(8), {}).contextTokens).toBe(2304);
    expect(chooseSizes(LLAMA_7B, 4096, gpu(24), {}).contextTokens).toBe(4352);
  });

  it("takes twice the bytes in f32", () => {
    const [half, full] = (["f16", "f32"] as const).map((kv) => chooseSizes(SMALL, 2048, CPU, { kv }).kvBytes);
    expect(full).toBe(2 * (half as number));
  });
});

describe("GPU layers", () => {
  it("are all where they fit, and fewer where they do not", () => {
    expect(chooseSizes(LLAMA_7B, 2048, gpu(24), {}).gpuLayers).toBe(-1);
    const { gpuLayers } = chooseSizes(LLAMA_7B, 2048, gpu(5), {});
    expect(gpuLayers).toBeGreaterThan(10);
    expect(gpuLayers).toBeLessThan(24);
    expect(chooseSizes(LLAMA_7B, 2048, CPU, {}).gpuLayers).toBe(0);
  });

  it("are as asked", () => expect(chooseSizes(LLAMA_7B, 2048, gpu(5), { gpuLayers: 3 }).gpuLayers).toBe(3));
});

it("bounds the outputs of a micro-batch by the vocabulary", () => {
  expect(chooseSizes(SMALL, 2048, CPU, {}).maxOutputs).toBe(128);
  expect(chooseSizes(SMALL, 2048, gpu(24), {}).maxOutputs).toBe(512);
  expect(chooseSizes({ ...SMALL, vocabularySize: 151_936 }, 2048, CPU, {}).maxOutputs).toBe(110);
});

describe("a machine that is too small", () => {
  const error = (backbone: Backbone, context?: number): ScoreheadError => {
    try {
      chooseSizes(backbone, 2048, CPU, { context });
    } catch (caught) {
      if (caught instanceof ScoreheadError) return caught;
    }
    throw new Error("It was found large enough.");
  };

  it("is told with the numbers, and a smaller type where no context fits", () => {
    const { code, message } = error({ ...LLAMA_7B, weightBytes: 2 * totalmem() });
    expect(code).toBe("ERR_MEMORY");
    expect(message).toMatch(
      /needs \d+ MiB \(weights \d+ MiB, KV cache \d+ MiB, computing \d+ MiB\), and \d+ MiB are free/,
    );
    expect(message).toContain("q4_k_m");
  });

  it("is told the context that would fit, and it does", () => {
    const { message } = error({ ...LLAMA_7B, weightBytes: 1e6 }, 10_000_000);
    const fits = Number(message.match(/A context of (\d+) tokens would fit/)?.[1]);
    expect(fits).toBeGreaterThan(1000);
    expect(
      chooseSizes({ ...LLAMA_7B, weightBytes: 1e6 }, 2048, CPU, { context: fits - 256 }).contextTokens,
    ).toBeGreaterThan(0);
  });
});

it("keeps the attention scores of a long context within bounds", () => {
  const { batchTokens, computeBytes } = chooseSizes({ ...SMALL, heads: 32 }, 32_768, CPU, {});
  expect(batchTokens).toBe(96);
  expect(computeBytes).toBeLessThan(0.7 * GIB);
});

it("gives a reason for every choice", () => {
  const { reasons } = chooseSizes(LLAMA_7B, 2048, gpu(24), { threads: 3 });
  for (const word of ["device", "context", "KV cache", "micro-batch", "threads 3: as asked", "GPU layers all"])
    expect(reasons.join("\n")).toContain(word);
});
