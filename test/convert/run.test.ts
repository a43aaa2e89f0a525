/** Converting and quantising whole checkpoints: the same bytes every time, one step from old file to new, heads kept. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, cpSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { readGguf } from "../../lib/gguf/read.ts";
import { convert, type OutputType, type Progress, planCheckpoint, quantize, ScoreModel } from "../../lib/index.ts";
import { addon } from "../../lib/runtime/addon.ts";
import { refused } from "../gguf/support.ts";
import { rewriteGguf } from "../model/rewrite.ts";
import { workspace } from "../model/support.ts";

const { checkpoint, gguf, path } = workspace();

const SMALL = "beaver-old-tokenizer";
/** Rows of 256: every quantised type fits. */
const WIDE = "beaver-reward";

const sha = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

let folder: string;
let count = 0;
beforeEach(() => {
  folder = path(`out-${count++}`);
  mkdirSync(folder);
});
const files = (): string[] => readdirSync(folder).sort();

describe("the same input gives the same bytes", () => {
  const { cwd } = process;
  const home = cwd.call(process);
  afterEach(() => process.chdir(home));

  it.each(["auto", "f16", "q8_0", "q4_0"] as const)(
    "as %s, from another working directory and under another name",
    async (type) => {
      const { directory } = await checkpoint(WIDE);
      await convert(directory, join(folder, "first.gguf"), { type });
      process.chdir(folder);
      await convert(directory, "second.gguf", { type });
      expect(sha(join(folder, "second.gguf"))).toBe(sha(join(folder, "first.gguf")));
      process.chdir(directory);
      await convert(".", join(folder, "third.gguf"), { type, profile: "beaver-reward" });
      expect(sha(join(folder, "third.gguf"))).toBe(sha(join(folder, "first.gguf")));
      expect(files()).toEqual(["first.gguf", "second.gguf", "third.gguf"]);
    },
  );

  it("auto is the checkpoint's own type", async () => {
    expect(sha(await gguf(WIDE, "auto"))).toBe(sha(await gguf(WIDE, "f16")));
    expect(sha(await gguf(SMALL, "auto"))).toBe(sha(await gguf(SMALL, "f32")));
  });

  it("planning writes nothing and says the same", async () => {
    const { directory } = await checkpoint(WIDE);
    const plan = await planCheckpoint(directory);
    const done = await convert(directory, join(folder, "a.gguf"));
    expect(plan).toEqual(done);
    expect(files()).toEqual(["a.gguf"]);
  });
});

describe("progress", () => {
  it("goes up to the end, byte by byte, and then tensor by tensor", async () => {
    const { directory } = await checkpoint(WIDE);
    const seen: Progress[] = [];
    const onProgress = (progress: Progress): void => {
      seen.push(progress);
    };
    await convert(directory, join(folder, "a.gguf"), { type: "q4_0", onProgress });
    const written = seen.filter(({ stage }) => stage === "convert");
    expect(written.at(-1)?.bytes).toBe(written.at(-1)?.total);
    expect(written.map(({ bytes }) => bytes)).toEqual(written.map(({ bytes }) => bytes).sort((a, b) => a - b));
    const quantized = seen.filter(({ stage }) => stage === "quantize").map(({ bytes }) => bytes);
    expect(quantized).toEqual([...quantized].sort((a, b) => a - b));
    expect(quantized[0]).toBe(0);
    expect(new Set(quantized).size).toBeGreaterThan(10);
    const { tensors } = await readGguf(await gguf(WIDE, "f16"));
    expect(seen.at(-1)).toEqual({
      stage: "quantize",
      bytes: quantized.at(-1),
      total: tensors.reduce((sum, { byteLength }) => sum + byteLength, 0),
    });
    expect(seen.at(-1)?.bytes).toBe(seen.at(-1)?.total);
    const stages = seen.map(({ stage }) => stage);
    expect(stages.lastIndexOf("convert")).toBeLessThan(stages.indexOf("quantize") >>> 0);
  });
});

describe("an existing file", () => {
  const old = "the old file";
  const existing = (): string => {
    writeFileSync(join(folder, "a.gguf"), old);
    return join(folder, "a.gguf");
  };
  const expectOld = (): void => {
    expect(files()).toEqual(["a.gguf"]);
    expect(readFileSync(join(folder, "a.gguf"), "utf8")).toBe(old);
  };

  it.each(["f32", "q8_0", "q4_0"] as const)("is replaced (%s)", async (type) => {
    const { directory } = await checkpoint(WIDE);
    await convert(directory, existing(), { type });
    expect((await readGguf(join(folder, "a.gguf"))).metadata.has("scorehead.head.weight")).toBe(true);
    expect(files()).toEqual(["a.gguf"]);
  });

  it.each<OutputType>(["f32", "q8_0", "q4_0"])(
    "is untouched where the checkpoint shrinks while it is read (%s)",
    async (type) => {
      const { directory } = await checkpoint(SMALL);
      const copy = join(path(), `shrinking-${type}-reward-beaver`);
      cpSync(directory, copy, { recursive: true });
      const shard = join(copy, "model-00002-of-00002.safetensors");
      let shrunk = false;
      const onProgress = (): void => {
        if (!shrunk) truncateSync(shard, 5000);
        shrunk = true;
      };
      const options = { type, onProgress, profile: "beaver-reward" } as const;
      await refused(convert(copy, existing(), options), "ERR_CHECKPOINT", shard, "Download it again");
      expectOld();
    },
  );

  it("is untouched where a number does not fit the type", async () => {
    const { directory } = await checkpoint(SMALL);
    const copy = path("too-large-beaver-reward");
    cpSync(directory, copy, { recursive: true });
    // The last four bytes are a float32 of some tensor: 1e30 is no half.
    const shard = join(copy, "model-00001-of-00002.safetensors");
    truncateSync(shard, readFileSync(shard).length - 4);
    appendFileSync(shard, Buffer.from(Float32Array.of(1e30).buffer));
    await refused(convert(copy, existing(), { type: "f16" }), "ERR_TENSOR", "F16", "bf16 or f32");
    expectOld();
    await convert(copy, existing(), { type: "bf16" });
  });

  it.each<OutputType>(["bf16", "q8_0", "q4_0"])("is untouched by an abort in the middle (%s)", async (type) => {
    const { directory } = await checkpoint(WIDE);
    const controller = new AbortController();
    const onProgress = ({ bytes, total }: Progress): void => {
      if (bytes > total / 4) controller.abort();
    };
    const { signal } = controller;
    await refused(convert(directory, existing(), { type, onProgress, signal }), "ERR_ABORTED");
    expectOld();
  });

  it("is untouched by an abort before the start", async () => {
    const signal = AbortSignal.abort();
    const source = await gguf(WIDE, "f16");
    await refused(quantize(source, existing(), { type: "q4_0", signal }), "ERR_ABORTED");
    expectOld();
    const { directory } = await checkpoint(WIDE);
    await refused(convert(directory, existing(), { signal }), "ERR_ABORTED");
    expectOld();
  });

  it("is untouched by an abort while it is quantised, which the caller need not wait for", async () => {
    const controller = new AbortController();
    const job = quantize(await gguf(WIDE, "f16"), existing(), { type: "q4_k_m", signal: controller.signal });
    setTimeout(() => controller.abort(), 5);
    await refused(job, "ERR_ABORTED");
    await vi.waitFor(expectOld);
  });

  it("is untouched where the quantiser makes its file only after the abort", async () => {
    const source = await gguf(WIDE, "f16");
    const controller = new AbortController();
    let ended = false;
    const late = vi.spyOn(addon(), "quantize").mockImplementation(async ({ output }) => {
      controller.abort();
      await new Promise((resolve) => setTimeout(resolve, 50));
      writeFileSync(output, "late");
      ended = true;
    });
    await refused(quantize(source, existing(), { type: "q8_0", signal: controller.signal }), "ERR_ABORTED");
    expect(ended).toBe(false);
    await vi.waitFor(() => expect(ended).toBe(true));
    late.mockRestore();
    await vi.waitFor(expectOld);
  });

  it("is untouched where the input is no model", async () => {
    await refused(quantize(import.meta.filename, existing(), { type: "q8_0" }), "ERR_GGUF");
    expectOld();
  });
});

describe("quantising", () => {
  const heads = async (file: string) => {
    const { metadata } = await readGguf(file);
    return [...metadata].filter(([key]) => key.startsWith("scorehead.") || key.startsWith("tokenizer."));
  };

  it.each(["q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0"] as const)(
    "to %s keeps head and tokenizer bit by bit",
    async (type) => {
      const file = join(folder, "a.gguf");
      await quantize(await gguf(WIDE, "f16"), file, { type });
      expect(await heads(file)).toEqual(await heads(await gguf(WIDE, "f16")));
      const { tensors } = await readGguf(file);
      const matrices = tensors.filter(({ dims }) => dims.length === 2).map(({ typeName }) => typeName);
      expect(matrices.every((name) => name.startsWith("Q"))).toBe(true);
      await using model = await ScoreModel.load(file, { device: "cpu", threads: 1 });
      expect((await model.score("hello")).endScores.data[0]).toBeTypeOf("number");
      // From the checkpoint in one go, it is the same file.
      const { directory } = await checkpoint(WIDE);
      await convert(directory, join(folder, "b.gguf"), { type });
      expect(sha(join(folder, "b.gguf"))).toBe(sha(file));
    },
  );

  it.each([
    ["beaver-cost", "BF16"],
    ["beaver-normalized-cost", "F32"],
    // Rows of 48, which are no whole blocks: F16.
    ["starling-plain", "BF16, odd rows"],
  ] as const)("q8_0, which takes no quantiser, is byte for byte what that makes of %s (%s)", async (name, _) => {
    const file = join(folder, "a.gguf");
    await quantize(await gguf(name, "auto"), file, { type: "q8_0" });
    expect(sha(await gguf(name, "q8_0"))).toBe(sha(file));
  });

  it("q8_0 is what the quantiser makes of numbers at the edges, too", async () => {
    const { directory } = await checkpoint(SMALL);
    const copy = path("edges-beaver-reward");
    cpSync(directory, copy, { recursive: true });
    const shard = join(copy, "model-00001-of-00002.safetensors");
    const bytes = readFileSync(shard);
    const rows = 32 * 4;
    const blocks = [
      Array.from({ length: 32 }, () => 0),
      Array.from({ length: 32 }, (_, i) => (i % 2 === 0 ? 0 : -0)),
      // Halves once they are scaled, of both signs.
      Array.from({ length: 32 }, (_, i) => (i === 0 ? 127 : (i - 16) / 2)),
      Array.from({ length: 32 }, (_, i) => (i === 5 ? -127 : i + 0.5)),
      // Scales that are no normal half, no half at all, no normal number; and the largest.
      Array.from({ length: 32 }, (_, i) => (i - 16) * 1e-6),
      Array.from({ length: 32 }, (_, i) => (i - 16) * 1e-9),
      Array.from({ length: 32 }, (_, i) => (i - 16) * 1e-41),
      Array.from({ length: 32 }, (_, i) => (i - 16) * 500_000),
      Array.from({ length: 32 }, (_, i) => Math.sin(i) * 3),
    ];
    for (const [row, block] of blocks.entries())
      for (const [i, number] of block.entries()) bytes.writeFloatLE(number, bytes.length - (row + 1) * rows + 4 * i);
    writeFileSync(shard, bytes);
    const [direct, base, file] = ["direct.gguf", "base.gguf", "quantised.gguf"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    await convert(copy, direct, { type: "q8_0" });
    await convert(copy, base, { type: "f32" });
    await quantize(base, file, { type: "q8_0" });
    expect(sha(direct)).toBe(sha(file));
    for (const number of [Number.NaN, Number.POSITIVE_INFINITY, -9e6]) {
      bytes.writeFloatLE(number, bytes.length - 4);
      writeFileSync(shard, bytes);
      await refused(convert(copy, join(folder, "b.gguf"), { type: "q8_0" }), "ERR_TENSOR", "q8_0", "bf16 or f32");
    }
    expect(files()).toEqual(["base.gguf", "direct.gguf", "quantised.gguf"]);
  });

  it("twice is refused, by the tensor that shows it", async () => {
    const file = await gguf(WIDE, "q8_0");
    await refused(
      quantize(file, join(folder, "a.gguf"), { type: "q4_0" }),
      "ERR_QUANTIZE",
      "Q8_0",
      "quantised already",
    );
    expect(files()).toEqual([]);
  });

  it("a file without a head is refused", async () => {
    const file = join(folder, "bare.gguf");
    await rewriteGguf(await gguf(SMALL), file, {
      metadata: (metadata) => {
        for (const key of [...metadata.keys()]) if (key.startsWith("scorehead.head")) metadata.delete(key);
      },
    });
    await refused(quantize(file, join(folder, "a.gguf"), { type: "q8_0" }), "ERR_NO_HEAD", "scorehead convert");
  });

  it("may replace its own input", async () => {
    const file = join(folder, "a.gguf");
    cpSync(await gguf(WIDE, "f16"), file);
    await quantize(file, file, { type: "q8_0" });
    expect(sha(file)).toBe(sha(await gguf(WIDE, "q8_0")));
    expect(files()).toEqual(["a.gguf"]);
  });
});

describe("a converted file", () => {
  it("is read by llama.cpp, keys of ours included", async () => {
    const lines: string[] = [];
    const onLog = (_: string, text: string): void => {
      lines.push(text);
    };
    const model = await ScoreModel.load(await gguf(WIDE, "q8_0"), { device: "cpu", threads: 1, onLog });
    await model.close();
    const log = lines.join("");
    for (const key of ["scorehead.version", "scorehead.head.weight", "scorehead.labels", "scorehead.read"])
      expect(log).toContain(key);
    expect(log).toMatch(/scorehead\.head\.weight\s+arr\[f32,256\]/);
  });

  it("takes the type of the tensors that are needed only", async () => {
    const { tensors } = await readGguf(await gguf("starling", "f16"));
    expect(tensors.map(({ name }) => name)).not.toContain("output.weight");
    expect(tensors).toHaveLength(2 + 3 * 9);
  });
});

it("memory stays bounded however large the checkpoint is", () => {
  const script = fileURLToPath(new URL("convert-large.ts", import.meta.url));
  const peak = (layers: number): number => {
    const options = { encoding: "utf8", env: { ...process.env, SCOREHEAD_CACHE: path("cache") } } as const;
    const args = ["--import", "tsx", script, join(folder, `large-${layers}`), String(layers)];
    const { stdout, stderr, status } = spawnSync(process.execPath, args, options);
    if (status !== 0) throw new Error(stderr);
    return Number(stdout);
  };
  const MIB = 2 ** 20;
  const [small, large] = [peak(1), peak(5)];
  // 190 MiB more of weights; nothing of that size may be kept.
  expect(large - small).toBeLessThan(64 * MIB);
  expect(large).toBeLessThan(700 * MIB);
});
