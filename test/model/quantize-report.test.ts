/** The report on quantised types, against files that are quantised and scored one by one. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  convert,
  type QuantizeReportOptions,
  type QuantizeReportProgress,
  quantize,
  quantizeReport,
  ScoreModel,
} from "../../lib/index.ts";
import { refused } from "../gguf/support.ts";
import { rewriteGguf } from "./rewrite.ts";
import { workspace } from "./support.ts";

const { path, gguf, checkpoint } = workspace();
const WIDE = "beaver-reward";
const ON_CPU = { device: "cpu", threads: 1 } as const;

/** What the report left in the cache. */
const leftovers = (): string[] => (existsSync(path("cache", "reports")) ? readdirSync(path("cache", "reports")) : []);

async function scoresOf(file: string, texts: readonly string[]): Promise<number[]> {
  await using model = await ScoreModel.load(file, ON_CPU);
  return [...(await model.score(texts)).endScores.data];
}

describe("a report", () => {
  const texts = ["one", "two words", "BEGINNING OF CONVERSATION: USER: hello ASSISTANT:Hi!", "four", "five </s>"];

  it("has each type's size and errors, and leaves no file", async () => {
    const source = await gguf(WIDE, "f16");
    const report = await quantizeReport(source, { texts, types: ["q8_0", "q4_0"], ...ON_CPU });
    expect(report).toMatchObject({
      texts: 5,
      labels: ["reward"],
      source: { type: "f16", bytes: statSync(source).size },
    });
    expect(report.source.tokensPerSecond).toBeGreaterThan(0);
    const expected = await scoresOf(source, texts);
    for (const [i, type] of (["q8_0", "q4_0"] as const).entries()) {
      const file = path(`${type}.gguf`);
      await quantize(source, file, { type });
      const found = await scoresOf(file, texts);
      const maxError = Math.max(...found.map((score, j) => Math.abs(score - (expected[j] as number))));
      const spread = Math.max(...expected) - Math.min(...expected);
      const [output] = report.types[i]?.outputs ?? [];
      expect(report.types[i]).toMatchObject({ type, bytes: statSync(file).size });
      expect(output?.label).toBe("reward");
      // The same texts in another batch differ by the F16 cache's rounding.
      expect(Math.abs((output?.maxError ?? 0) - maxError) / spread).toBeLessThan(5e-3);
      expect(output?.spread).toBeCloseTo(spread, 1);
    }
    expect(leftovers()).toEqual([]);
  });

  it("takes types for single tensors, and tells how far it is", async () => {
    const seen: QuantizeReportProgress[] = [];
    const options = {
      texts,
      types: ["q4_0"],
      ...ON_CPU,
      onProgress: (p) => seen.push(p),
    } satisfies QuantizeReportOptions;
    const source = await gguf(WIDE, "f16");
    const [plain] = (await quantizeReport(source, options)).types;
    const [mixed] = (await quantizeReport(source, { ...options, tensorTypes: { ffn_down: "q8_0" } })).types;
    expect(mixed?.bytes).toBeGreaterThan(plain?.bytes ?? 0);
    expect(seen).toContainEqual({ model: "source", stage: "score", done: 5, total: 5 });
    expect(seen).toContainEqual({ model: "q4_0", stage: "score", done: 5, total: 5 });
    expect(seen.some(({ model, stage }) => model === "q4_0" && stage === "quantize")).toBe(true);
  });

  it("takes the built-in texts as they are where the model has no chat template", async () => {
    const { directory } = await checkpoint("qwen2-classifier");
    await convert(directory, path("plain.gguf"), { profile: "custom", type: "f16" });
    const report = await quantizeReport(path("plain.gguf"), { types: ["q8_0"], ...ON_CPU });
    expect(report.texts).toBeGreaterThan(30);
    expect(report.types[0]?.outputs[0]?.spearman).toBeGreaterThan(0.9);
  });

  it("takes them as they are where the profile is not known, whose template may not be meant", async () => {
    await rewriteGguf(await gguf(WIDE, "f16"), path("later.gguf"), {
      metadata: (metadata) => {
        metadata.set("scorehead.profile", { type: "string", value: "of-a-later-version" });
        metadata.set("tokenizer.chat_template", { type: "string", value: "{{ messages }}" });
      },
    });
    const report = await quantizeReport(path("later.gguf"), { types: ["q8_0"], ...ON_CPU });
    expect(report.texts).toBeGreaterThan(30);
  });

  it("has an agreement for each of several outputs, on the built-in texts", async () => {
    const report = await quantizeReport(await gguf("dpa", "bf16"), { types: ["q8_0"], ...ON_CPU });
    expect(report.texts).toBeGreaterThan(30);
    expect(report.types[0]?.outputs.map(({ label }) => label)).toEqual(report.labels);
    expect(report.labels).toHaveLength(10);
    for (const { spearman, pairwiseAgreement } of report.types[0]?.outputs ?? []) {
      expect(spearman).toBeGreaterThan(0.9);
      expect(pairwiseAgreement).toBeGreaterThan(0.9);
    }
  });
});

describe("a report that cannot be made", () => {
  it("says so before it scores anything", async () => {
    const source = await gguf(WIDE, "f16");
    await refused(quantizeReport(await gguf(WIDE, "q8_0")), "ERR_QUANTIZE", "quantised already");
    await refused(quantizeReport(source, { tensorTypes: { nonsense: "f16" } }), "ERR_ARGUMENT", "nonsense");
    await refused(quantizeReport(source, { texts: ["one"] }), "ERR_ARGUMENT", "at least two");
    await refused(quantizeReport(source, { types: [] }), "ERR_ARGUMENT", "types");
    await refused(quantizeReport(source, { types: ["f16" as "q8_0"] }), "ERR_ARGUMENT", "types");
    await refused(quantizeReport(source, { text: [] } as QuantizeReportOptions), "ERR_ARGUMENT", "text");
    await refused(quantizeReport(path("none.gguf")), "ERR_NOT_FOUND");
  });

  it("names the text that cannot be scored", async () => {
    const texts = ["fine", { prompt: "a" } as { prompt: string; response: string }];
    await refused(
      quantizeReport(await gguf(WIDE, "f16"), { texts, ...ON_CPU }),
      "ERR_ARGUMENT",
      "Text 1 of the report",
    );
  });

  it("leaves no file where it is aborted, whatever it is at", async () => {
    const source = await gguf(WIDE, "f16");
    for (const [model, stage] of [
      ["source", "score"],
      ["q4_0", "quantize"],
      ["q4_0", "score"],
    ]) {
      const controller = new AbortController();
      const onProgress = (progress: QuantizeReportProgress): void => {
        if (progress.model === model && progress.stage === stage) controller.abort();
      };
      const options = { texts: ["a", "b"], types: ["q4_0"], ...ON_CPU, onProgress, signal: controller.signal } as const;
      await refused(quantizeReport(source, options), "ERR_ABORTED");
      await expect.poll(leftovers).toEqual([]);
    }
  });
});
