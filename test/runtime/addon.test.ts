/**
 * The addon refuses what llama.cpp would abort the process on: each rule of a batch, of a model's options and of
 * handles, as an error with a code.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { addon } from "../../lib/runtime/addon.ts";
import type { ModelHandle, NativeBatch, NativeLayer, OpenModelOptions } from "../../lib/runtime/contract.ts";
import { openRuntime } from "../../lib/runtime/open.ts";
import { Random } from "../fixtures/random.ts";
import { vectorError } from "../model/numbers.ts";
import { workspace } from "../model/support.ts";

const { gguf, path } = workspace();

const HIDDEN = 256;
const LIMITS = { contextTokens: 256, batchTokens: 16, maxOutputs: 4 } as const;
const CLEAR = [0, -1, -1, -1, 0];

/** Of weights 0.1, without bias, changed. */
function layer(
  outputs: number,
  inputs: number,
  changes: Partial<Record<keyof NativeLayer, unknown>> = {},
): NativeLayer {
  const weight = new Float32Array(outputs * inputs).fill(0.1);
  return { outputs, inputs, weight, bias: new Float32Array(0), ...changes } as NativeLayer;
}
const network = (...layers: unknown[]) => ({ layers, activation: "relu" });

let options: OpenModelOptions;
let handle: ModelHandle;
beforeAll(async () => {
  openRuntime();
  options = {
    path: await gguf("beaver-reward"),
    devices: [],
    gpuLayers: -1,
    mainGpu: -1,
    tensorSplit: new Float32Array(0),
    overrideKeys: [],
    overrideValues: new Int32Array(0),
    ...LIMITS,
    threads: 1,
    accel: false,
    kvF32: true,
    head: { layers: [layer(1, HIDDEN)], activation: "relu" },
    gate: { layers: [], activation: "relu" },
  };
  ({ handle } = await addon().openModel(options));
  return () => addon().closeModel(handle);
});

/** A valid batch of `n` tokens of sequence 0 whose last one is scored, changed. */
function batch(n: number, changes: Partial<Record<keyof NativeBatch, unknown>> = {}): NativeBatch {
  const indices = Array.from({ length: n }, (_, i) => i);
  return {
    memory: Int32Array.from(CLEAR),
    tokens: Int32Array.from(indices, (i) => 300 + i),
    positions: Int32Array.from(indices),
    sequences: new Int32Array(n),
    sequenceOffsets: Int32Array.from({ length: n + 1 }, (_, i) => i),
    outputs: Uint8Array.from(indices, (i) => Number(i === n - 1)),
    remember: new Int32Array(0),
    recall: new Int32Array(0),
    ...changes,
  } as NativeBatch;
}

/** The code of what `call` throws or rejects with. */
async function failure(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return "works";
  } catch (error) {
    return (error as { code?: unknown }).code ?? error;
  }
}

const decode = (changed: NativeBatch): Promise<unknown> => failure(() => addon().decode(handle, changed));

describe("batches", () => {
  it("that keep the rules are computed", async () => {
    expect(await decode(batch(3))).toBe("works");
    const { scores, hidden, nodesAfterNorm } = await addon().decode(
      handle,
      batch(3, { outputs: Uint8Array.of(1, 0, 3) }),
    );
    expect([scores.length, hidden.length, nodesAfterNorm]).toEqual([2, HIDDEN, 0]);
  });

  const ints = (...numbers: readonly number[]): Int32Array => Int32Array.from(numbers);
  it.each<[string, string, NativeBatch]>([
    ["no tokens", "ERR_INTERNAL", batch(0)],
    ["more tokens than a batch takes", "ERR_INTERNAL", batch(LIMITS.batchTokens + 1)],
    ["too few positions", "ERR_INTERNAL", batch(3, { positions: ints(0, 1) })],
    ["too few outputs", "ERR_INTERNAL", batch(3, { outputs: new Uint8Array(2) })],
    ["too few sequence offsets", "ERR_INTERNAL", batch(3, { sequenceOffsets: ints(0, 1, 2) })],
    ["offsets that do not start at 0", "ERR_INTERNAL", batch(3, { sequenceOffsets: ints(1, 1, 2, 3) })],
    ["offsets beyond the sequences", "ERR_INTERNAL", batch(3, { sequenceOffsets: ints(0, 1, 2, 4) })],
    ["offsets that go back", "ERR_INTERNAL", batch(3, { sequenceOffsets: ints(0, 99, 2, 3) })],
    ["a token without a sequence", "ERR_INTERNAL", batch(3, { sequenceOffsets: ints(0, 1, 1, 3) })],
    ["a negative sequence", "ERR_INTERNAL", batch(3, { sequences: ints(0, -1, 0) })],
    ["a sequence beyond 255", "ERR_INTERNAL", batch(3, { sequences: ints(0, 0, 256) })],
    ["a negative token", "ERR_TOKEN", batch(3, { tokens: ints(300, -1, 300) })],
    ["a token beyond the vocabulary", "ERR_TOKEN", batch(3, { tokens: ints(300, 32_001, 300) })],
    ["a negative position", "ERR_INTERNAL", batch(3, { positions: ints(-1, 0, 1) })],
    ["positions with a gap", "ERR_INTERNAL", batch(3, { positions: ints(0, 1, 3) })],
    ["positions that go back", "ERR_INTERNAL", batch(3, { positions: ints(0, 1, 0) })],
    ["an output of no kind", "ERR_INTERNAL", batch(3, { outputs: Uint8Array.of(0, 9, 1) })],
    ["a hidden state without a score", "ERR_INTERNAL", batch(3, { outputs: Uint8Array.of(0, 2, 1) })],
    ["a gate that the head does not have", "ERR_INTERNAL", batch(3, { outputs: Uint8Array.of(0, 5, 1) })],
    ["more outputs than the model was opened for", "ERR_INTERNAL", batch(5, { outputs: new Uint8Array(5).fill(1) })],
    ["half a memory operation", "ERR_INTERNAL", batch(3, { memory: ints(0, -1, -1) })],
    ["a memory operation of no kind", "ERR_INTERNAL", batch(3, { memory: ints(7, 0, 0, 1, 0) })],
    ["removing from a sequence that cannot be", "ERR_INTERNAL", batch(3, { memory: ints(0, 256, -1, -1, 0) })],
    ["removing from sequence -2", "ERR_INTERNAL", batch(3, { memory: ints(0, -2, -1, -1, 0) })],
    ["shifting all sequences at once", "ERR_INTERNAL", batch(3, { memory: ints(1, -1, 0, 3, 1) })],
    ["remembering for a token of another batch", "ERR_INTERNAL", batch(3, { remember: ints(99, 0) })],
    ["recalling for a token of another batch", "ERR_INTERNAL", batch(3, { recall: ints(-1, 0) })],
    ["recalling what was never remembered", "ERR_DECODE", batch(3, { recall: ints(2, 5) })],
    ["no arrays", "ERR_INTERNAL", {} as NativeBatch],
    ["an array of another type", "ERR_INTERNAL", batch(3, { tokens: Float32Array.of(1, 2, 3) })],
    ["a plain array", "ERR_INTERNAL", batch(3, { positions: [0, 1, 2] })],
  ])("with %s are refused with %s, and the next one works", async (_, code, broken) => {
    expect(await decode(broken)).toBe(code);
    expect(await decode(batch(3))).toBe("works");
  });

  it("that the cache has no room for are refused", async () => {
    const at = (start: number): NativeBatch =>
      batch(16, {
        memory: Int32Array.from(start === 0 ? CLEAR : []),
        positions: Int32Array.from({ length: 16 }, (_, i) => start + i),
      });
    for (let start = 0; start < LIMITS.contextTokens; start += 16) expect(await decode(at(start))).toBe("works");
    expect(await decode(at(LIMITS.contextTokens))).toBe("ERR_MEMORY");
    expect(await decode(batch(3))).toBe("works");
  });

  it("are copied: the arrays may be changed at once", async () => {
    const given = batch(3);
    const expected = await addon().decode(handle, batch(3));
    const promise = addon().decode(handle, given);
    given.tokens.fill(-1);
    expect((await promise).scores).toEqual(expected.scores);
  });
});

describe("handles", () => {
  const native = addon();
  const calls: readonly [string, (given: ModelHandle) => unknown][] = [
    ["decode", (given) => native.decode(given, batch(3))],
    ["tokenize", (given) => native.tokenize(given, "a")],
    ["closeModel", (given) => native.closeModel(given)],
  ];
  const foreign: readonly [string, unknown][] = [
    ["an empty object", {}],
    ["nothing", undefined],
    ["null", null],
    ["a number", 1],
    ["a function", () => {}],
    ["an object that inherits from a handle", null],
  ];

  it.each(calls)("%s refuses everything else", async (_, call) => {
    for (const [what, value] of foreign) {
      const given = what.includes("inherits") ? Object.create(handle) : value;
      expect(await failure(() => call(given as ModelHandle)), what).toBe("ERR_INTERNAL");
    }
  });

  it.each(calls)("%s refuses a closed model", async (_, call) => {
    const opened = await native.openModel(options);
    await native.closeModel(opened.handle);
    expect(await failure(() => call(opened.handle))).toBe("ERR_CLOSED");
  });

  it("closing waits for the batches asked for before", async () => {
    const opened = await native.openModel(options);
    const outcomes = [1, 2, 3].map(() => failure(() => native.decode(opened.handle, batch(16))));
    const closed = native.closeModel(opened.handle);
    const late = failure(() => native.decode(opened.handle, batch(3)));
    expect(await Promise.all(outcomes)).toEqual(["works", "works", "works"]);
    await closed;
    expect(await late).toBe("ERR_CLOSED");
  });
});

describe("models are not opened with", () => {
  it.each<[string, string, Partial<Record<keyof OpenModelOptions, unknown>>]>([
    ["a head of another width than the backbone", "ERR_HEAD", { head: network(layer(1, 64)) }],
    ["no head", "ERR_INTERNAL", { head: undefined }],
    ["a head without layers", "ERR_INTERNAL", { head: network() }],
    ["layers that are no objects", "ERR_INTERNAL", { head: network(1) }],
    ["an unknown activation", "ERR_INTERNAL", { head: { layers: [layer(1, HIDDEN)], activation: "gelu" } }],
    [
      "a weight that does not fit its size",
      "ERR_INTERNAL",
      { head: network(layer(1, HIDDEN, { weight: new Float32Array(7) })) },
    ],
    ["a bias of another size", "ERR_INTERNAL", { head: network(layer(1, HIDDEN, { bias: new Float32Array(2) })) }],
    ["a layer without outputs", "ERR_INTERNAL", { head: network(layer(0, HIDDEN)) }],
    ["layers that do not fit each other", "ERR_INTERNAL", { head: network(layer(8, HIDDEN), layer(1, 9)) }],
    ["a gate of another width than the head", "ERR_INTERNAL", { gate: network(layer(3, 64)) }],
    ["no threads", "ERR_INTERNAL", { threads: 0 }],
    ["a context of nothing", "ERR_INTERNAL", { contextTokens: 0 }],
    ["a negative batch", "ERR_INTERNAL", { batchTokens: -1 }],
    ["half an output", "ERR_INTERNAL", { maxOutputs: 0.5 }],
    ["a number beyond 32 bits", "ERR_INTERNAL", { contextTokens: 2 ** 32 }],
    ["NaN", "ERR_INTERNAL", { threads: Number.NaN }],
    ["a device that is not there", "ERR_DEVICE", { devices: ["CUDA7"] }],
    ["devices that are no strings", "ERR_INTERNAL", { devices: [1] }],
    ["a path that is no string", "ERR_INTERNAL", { path: null }],
  ])("%s: %s", async (_, code, changes) => {
    const changed = { ...options, ...changes } as OpenModelOptions;
    expect(await failure(() => addon().openModel(changed))).toBe(code);
  });

  it("a file that is not there", async () => {
    expect(await failure(() => addon().openModel({ ...options, path: path("none.gguf") }))).toBe("ERR_LOAD");
  });
});

describe("heads", () => {
  const WIDE = 4096;
  const numbers = (count: number, stream: string): Float32Array => new Random(9, stream).normal(count, 0, 0.05);
  const first = layer(WIDE, HIDDEN, { weight: numbers(WIDE * HIDDEN, "first"), bias: numbers(WIDE, "bias") });
  const last = layer(3, WIDE, { weight: numbers(3 * WIDE, "last") });
  const all = batch(16, { outputs: new Uint8Array(16).fill(7) });

  const dot = (weight: Float32Array, row: number, x: ArrayLike<number>): number => {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += (weight[row * x.length + i] as number) * (x[i] as number);
    return sum;
  };
  const expected = (hidden: Float32Array, activate: (x: number) => number): number[] => {
    const neurons = Array.from(first.bias, (bias, row) => activate(dot(first.weight, row, hidden) + bias));
    return [0, 1, 2].map((row) => dot(last.weight, row, neurons));
  };

  it("of several layers are what float64 makes of the hidden states, with any number of threads", async () => {
    const mlp = { ...network(first, last) } as OpenModelOptions["head"];
    const limits = { maxOutputs: 16, head: mlp, gate: { ...mlp, activation: "tanh" as const } };
    const results = [];
    for (const threads of [1, 3]) {
      const opened = await addon().openModel({ ...options, ...limits, threads });
      results.push(await addon().decode(opened.handle, all));
      await addon().closeModel(opened.handle);
    }
    for (const { scores, gates, hidden, nonFinite } of results) {
      expect([scores.length, gates.length, hidden.length, nonFinite]).toEqual([48, 48, 16 * HIDDEN, -1]);
      for (const token of [0, 15]) {
        const state = hidden.subarray(token * HIDDEN, (token + 1) * HIDDEN);
        const part = (all: Float32Array): Float32Array => all.subarray(3 * token, 3 * token + 3);
        expect(
          vectorError(
            part(scores),
            expected(state, (x) => Math.max(x, 0)),
          ),
        ).toBeLessThan(1e-5);
        expect(vectorError(part(gates), expected(state, Math.tanh))).toBeLessThan(1e-5);
      }
    }
    expect(results[1]?.hidden).toEqual(results[0]?.hidden);
    expect(results[1]?.scores).toEqual(results[0]?.scores);
  });

  it("say which output has numbers that are none, and give no others", async () => {
    const weight = numbers(HIDDEN, "huge").map((x) => x * 1e38);
    const opened = await addon().openModel({
      ...options,
      head: network(layer(1, HIDDEN, { weight, bias: Float32Array.of(3e38) })) as OpenModelOptions["head"],
    });
    const result = await addon().decode(opened.handle, batch(3, { outputs: Uint8Array.of(1, 0, 3) }));
    await addon().closeModel(opened.handle);
    expect(result).toMatchObject({ nonFinite: 0, scores: new Float32Array(0), hidden: new Float32Array(0) });
  });
});

describe("a tensor's elements", () => {
  it("are read by ggml, and refused where the bytes do not fit", async () => {
    const tensor = { type: 8, bytes: new Uint8Array(34), elements: 32 };
    tensor.bytes.set([0, 0x3c, 5, 0xff]); // scale 1; 5, -1, 0, …
    expect([...addon().dequantize(tensor)].slice(0, 3)).toEqual([5, -1, 0]);
    for (const wrong of [
      { elements: 33 },
      { elements: 64 },
      { type: 999 },
      { type: -1 },
      { type: 4 },
      { bytes: new Uint8Array(0) },
    ])
      expect(await failure(() => addon().dequantize({ ...tensor, ...wrong })), JSON.stringify(wrong)).toBe(
        "ERR_INTERNAL",
      );
    expect(await failure(() => addon().dequantize({ type: 24, bytes: new Uint8Array(4), elements: 4 }))).toBe(
      "ERR_UNSUPPORTED",
    );
  });
});

describe("the rest of the border", () => {
  it("names CPU devices and features", () => {
    expect(addon().devices()).toContainEqual(expect.objectContaining({ kind: "cpu" }));
    expect(addon().cpuFeatures().length).toBeGreaterThan(0);
  });

  it("refuses arguments of another type", async () => {
    const native = addon() as unknown as Record<string, (...values: unknown[]) => unknown>;
    for (const [name, ...values] of [
      ["openLibraries"],
      ["openLibraries", { base: 1 }],
      ["loadBackend", 5],
      ["openModel", null],
      ["tokenize", handle],
      ["tokenize", handle, 1],
      ["quantize"],
      ["quantize", { input: "a", output: "b", fileType: "q8_0", threads: 1 }],
    ] as [string, ...unknown[]][])
      expect(await failure(() => native[name]?.(...values)), name).toBe("ERR_INTERNAL");
  });

  it("says why a backend cannot be loaded", () => {
    const { devices, reason } = addon().loadBackend(path("libggml-cuda.so"));
    expect(devices).toBe(0);
    expect(reason).not.toBe("");
  });

  it("refuses a second set of libraries", async () => {
    const base = path("other", "libggml-base.so");
    const set = { base, ggml: base, llama: base, backendDirectory: path("other"), release: "0.5.0" };
    expect(await failure(() => addon().openLibraries(set))).toBe("ERR_RUNTIME_CONFLICT");
  });
});
