/** Which models are accelerated, that models do not disturb each other, and how many threads they take. */
import { readdirSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { doctor, type LoadOptions, type OutputType, ScoreModel } from "../../lib/index.ts";
import { chooseAcceleration } from "../../lib/model/acceleration.ts";
import type { NativeDevice } from "../../lib/runtime/contract.ts";
import { type DeviceSelection, openRuntime } from "../../lib/runtime/open.ts";
import { vectorError } from "../model/numbers.ts";
import { workspace } from "../model/support.ts";

const { gguf, load } = workspace();
const { accelerator } = openRuntime();
const { kernels } = accelerator;

const CPU: DeviceSelection = { kind: "cpu", devices: [] };
const TENSOR = { name: "blk.0.attn_q.weight", dims: [256, 256], byteLength: 1, typeName: "Q8_0" };

describe("accel is chosen", () => {
  const found = { kernels: "avx2", reason: "" };

  it("where there are kernels, for the CPU and for types that they multiply", () => {
    expect(chooseAcceleration("auto", CPU, found, [TENSOR]).kernels).toBe("avx2");
    expect(chooseAcceleration(undefined, CPU, found, [TENSOR]).kernels).toBe("avx2");
  });

  it("nowhere else, with the reason", () => {
    const device = {
      name: "GPU0",
      description: "",
      backend: "CUDA",
      kind: "gpu",
      freeBytes: 1,
      totalBytes: 1,
    } as const;
    const gpu: DeviceSelection = { kind: "cuda", devices: [device satisfies NativeDevice] };
    const other = { ...TENSOR, typeName: "IQ4_NL" };
    const embedding = { ...TENSOR, name: "token_embd.weight" };
    const norm = { ...TENSOR, dims: [256], typeName: "F32" };
    expect(chooseAcceleration("off", CPU, found, [TENSOR])).toEqual({ kernels: null, reason: "as asked" });
    expect(chooseAcceleration("auto", gpu, found, [TENSOR]).reason).toContain("CPU");
    expect(chooseAcceleration("auto", CPU, { kernels: null, reason: "none" }, [TENSOR]).reason).toBe("none");
    expect(chooseAcceleration("auto", CPU, found, [other, embedding, norm]).kernels).toBeNull();
  });
});

it("says why there are no kernels, where there are none", () =>
  expect(kernels === null).toBe(accelerator.reason !== ""));

it("doctor tells of the kernels and of a model's use of them", async () => {
  const [on, off] = await Promise.all([
    doctor(await gguf("beaver-reward", "q8_0"), { device: "cpu" }),
    doctor(await gguf("beaver-reward", "q8_0"), { device: "cpu", accel: "off" }),
  ]);
  expect(on.cpu.accelerator).toEqual(accelerator);
  expect(on.model?.acceleration.kernels).toBe(kernels);
  expect(off.model?.acceleration).toEqual({ kernels: null, reason: "as asked" });
});

describe.runIf(kernels !== null)("models", () => {
  const TEXTS = ["hello", "Texts of some length, so that there is something to multiply. ".repeat(4)];
  const scores = async (model: ScoreModel): Promise<number[]> => {
    const output = await model.score(TEXTS, { perToken: true });
    return [...(output.scores?.data ?? [])];
  };
  const start = async (type: OutputType, options: LoadOptions): Promise<ScoreModel> =>
    ScoreModel.load(await gguf("beaver-reward", type), { device: "cpu", threads: 1, ...options });

  it("with and without the accelerator are side by side in a process", async () => {
    const on = await load("beaver-reward", "q8_0", { kv: "f32" });
    const off = await load("beaver-reward", "q8_0", { kv: "f32", accel: "off" });
    const again = await load("beaver-reward", "q8_0", { kv: "f32" });
    const [first, plain, second] = await Promise.all([on, off, again].map(scores));
    expect(first).toEqual(second);
    expect(first).not.toEqual(plain);
    expect(vectorError(first ?? [], plain ?? [])).toBeLessThan(2e-2);
    expect(on.stats().accel).toMatchObject({ kernels, products: expect.any(Number) });
    expect(off.stats().accel).toBeNull();
  });

  it.each(["q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0", "bf16", "f16"] as const)(
    "of %s weights are accelerated",
    async (type) => {
      const model = await load("beaver-reward", type);
      await scores(model);
      const { products = 0, attentions = 0 } = model.stats().accel ?? {};
      // Two layers of seven products and one attention; the last layer's may have nothing to do.
      expect(products).toBeGreaterThanOrEqual(7);
      expect(attentions).toBeGreaterThanOrEqual(1);
    },
  );

  it("of F32 weights are left to llama.cpp", async () => {
    const model = await load("beaver-reward", "f32");
    await scores(model);
    expect(model.stats().accel).toBeNull();
  });

  it("ten of them, loaded and computing at once, compute what each does alone", async () => {
    const types: readonly OutputType[] = ["q8_0", "f16", "q4_k_m", "bf16", "q4_0"];
    const alone = new Map<OutputType, number[]>();
    for (const type of types) {
      await using model = await start(type, {});
      alone.set(type, await scores(model));
    }
    const models = await Promise.all([...types, ...types].map((type) => start(type, {})));
    try {
      const together = await Promise.all(models.map(scores));
      for (const [i, found] of together.entries()) expect(found).toEqual(alone.get(types[i % 5] as OutputType));
    } finally {
      await Promise.all(models.map((model) => model.close()));
    }
  });

  it("in worker threads, beside the main thread's", async () => {
    const file = await gguf("beaver-reward", "q8_0");
    const expected = await scores(await load("beaver-reward", "q8_0"));
    const found = [1, 2, 3].map(
      () =>
        new Promise((resolve, reject) => {
          const worker = new Worker(new URL("worker.mjs", import.meta.url), { workerData: { file, texts: TEXTS } });
          worker.once("message", resolve);
          worker.once("error", reject);
        }),
    );
    for (const { scores: theirs, accel } of (await Promise.all(found)) as { scores: number[]; accel: unknown }[]) {
      expect(theirs).toEqual(expected);
      expect(accel).toMatchObject({ kernels });
    }
  });

  it.runIf(process.platform === "linux")("take no more threads than were asked for", async () => {
    const threads = (): number => readdirSync("/proc/self/task").length;
    const model = await load("beaver-reward", "q8_0", { threads: 3 });
    await model.score("once");
    const before = threads();
    let most = 0;
    const timer = setInterval(() => {
      most = Math.max(most, threads());
    }, 1);
    await model.score(Array.from({ length: 40 }, (_, i) => `${i} ${TEXTS[1]}`));
    clearInterval(timer);
    // The model's own thread, which waits before as well, is one of the three.
    expect(most).toBeLessThanOrEqual(before + 2);
    expect(most).toBeGreaterThan(0);
  });
});
