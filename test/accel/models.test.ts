/** Which models are accelerated, that models do not disturb each other, and how many threads they take. */
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { stat } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { beforeAll, describe, expect, it } from "vitest";
import { doctor, type LoadOptions, type OutputType, ScoreModel } from "../../lib/index.ts";
import { chooseAcceleration } from "../../lib/model/acceleration.ts";
import type { NativeDevice } from "../../lib/runtime/contract.ts";
import { type DeviceSelection, openRuntime } from "../../lib/runtime/open.ts";
import { vectorError } from "../model/numbers.ts";
import { workspace } from "../model/support.ts";
import type { Answer, Job } from "./worker.ts";

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
  const startWorker = async (): Promise<Worker> => {
    const worker = new Worker(new URL("worker.mjs", import.meta.url));
    await once(worker, "message");
    return worker;
  };
  const inWorker = async (worker: Worker, job: Job): Promise<Answer> => {
    worker.postMessage(job);
    const [answer] = (await once(worker, "message")) as [Answer];
    return answer;
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
    const found = await Promise.all([1, 2, 3].map(async () => inWorker(await startWorker(), { file, texts: TEXTS })));
    for (const { scores: theirs, accel } of found) {
      expect(theirs).toEqual(expected);
      expect(accel).toMatchObject({ kernels });
    }
  });

  describe.runIf(process.platform === "linux")("take as many threads as were asked for", () => {
    const threads = (): number => readdirSync("/proc/self/task").length;
    /** The most threads that the process has while something is computed, looked at every millisecond. */
    const mostDuring = async (work: () => Promise<unknown>): Promise<number> => {
      let most = threads();
      const timer = setInterval(() => {
        most = Math.max(most, threads());
      }, 1);
      await work().finally(() => clearInterval(timer));
      return most;
    };
    const MANY = Array.from({ length: 16 }, (_, i) => `${i} ${TEXTS[1]}`);
    let file = "";
    beforeAll(async () => {
      file = await gguf("beaver-reward", "q8_0");
      // Node's own threads, and what a first model leaves, are there before anything is counted.
      await Promise.all(Array.from({ length: 8 }, () => stat(file)));
      await (await start("q8_0", {})).close();
    });

    it("in one model", async () => {
      const before = threads();
      await using model = await start("q8_0", { threads: 3 });
      expect((await mostDuring(() => model.score(MANY))) - before).toBe(3);
      expect(model.stats().accel?.products).toBeGreaterThan(0);
    });

    it("in ten models at once, which give them back", async () => {
      const before = threads();
      const models = await Promise.all(Array.from({ length: 10 }, () => start("q8_0", {})));
      const most = await mostDuring(() => Promise.all(models.map((model) => model.score(MANY))));
      await Promise.all(models.map((model) => model.close()));
      expect(most - before).toBe(10);
      expect(threads()).toBe(before);
    });

    it("in ten models, half of them in worker threads", async () => {
      const workers = await Promise.all(Array.from({ length: 5 }, startWorker));
      const before = threads();
      const models = await Promise.all(workers.map(() => start("q8_0", {})));
      const most = await mostDuring(() =>
        Promise.all([
          ...models.map((model) => model.score(MANY)),
          ...workers.map((worker) => inWorker(worker, { file, texts: MANY })),
        ]),
      );
      await Promise.all(models.map((model) => model.close()));
      expect(most - before).toBeLessThanOrEqual(10);
      expect(most - before).toBeGreaterThan(5);
    });
  });
});
