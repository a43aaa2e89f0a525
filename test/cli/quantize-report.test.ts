/** `scorehead quantize` with --report and --tensor-type from end to end. */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { convert } from "../../lib/index.ts";
import { writeFixture } from "../fixtures/checkpoints.ts";
import { runCli, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const model = join(folder, "m.gguf");
const texts = join(folder, "texts.jsonl");
const env = { SCOREHEAD_CACHE: join(folder, "cache") };

const quantize = (...args: string[]) => runCli(["quantize", ...args], { env });
const report = (...args: string[]) => quantize(...args, "--device", "cpu", "--threads", "1");

beforeAll(async () => {
  await writeFixture("beaver-reward", join(folder, "beaver-reward"));
  await convert(join(folder, "beaver-reward"), model);
  const lines = [{ text: "one" }, { prompt: "hello", response: "Hi!" }, { tokenIds: [1, 22172] }];
  writeFileSync(texts, lines.map((line) => `${JSON.stringify(line)}\n`).join("\n"));
});

describe("--report", () => {
  test("prints a row a type beside the source's", async () => {
    const { code, stdout } = await report("--report", texts, model, "--types", "q8_0,q4_k_m");
    expect(code).toBe(0);
    const rows = stdout.split("\n").map((line) => line.split(/ {2,}/));
    expect(rows[0]).toEqual([
      "type",
      "size",
      "tokens/s",
      "max error",
      "mean error",
      "Spearman",
      "Kendall",
      "pairs agree",
    ]);
    expect(rows.slice(1, 4).map(([type]) => type)).toEqual(["f16", "q8_0", "q4_k_m"]);
    expect(rows[2]?.slice(3)).toEqual([
      expect.stringMatching(/^[\d.]+ %$/),
      expect.stringMatching(/^[\d.]+ %$/),
      "1.000",
      "1.000",
      "100 %",
    ]);
    expect(stdout).toContain("3 texts. Errors are parts of the spread of the source's scores (");
    expect(readdirSync(join(folder, "cache", "reports"))).toEqual([]);
  });

  test("--json prints the report as one object", async () => {
    const { code, stdout } = await report(model, "--report", texts, "--types", "q8_0", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      texts: 3,
      labels: ["reward"],
      source: { type: "f16" },
      types: [{ type: "q8_0", outputs: [{ label: "reward", spearman: 1, kendall: 1, pairwiseAgreement: 1 }] }],
    });
  });

  test("has texts of its own", async () => {
    const { code, stdout } = await report(model, "--types", "q8_0", "--report", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout).texts).toBeGreaterThan(20);
  });

  test("stops at a line that is none", async () => {
    const bad = join(folder, "bad.jsonl");
    writeFileSync(bad, '{"text":"a"}\n{"txt":"b"}\n');
    expect(await report(model, "--report", bad)).toMatchObject({ code: 2, stderr: expect.stringContaining("Line 2") });
  });
});

describe("--tensor-type", () => {
  test("is told to the quantiser", async () => {
    const out = join(folder, "mixed.gguf");
    const { code } = await quantize(model, "-o", out, "--type", "q4_0", "--tensor-type", "attn_v=q8_0");
    expect(code).toBe(0);
    const { stdout } = await runCli(["inspect", out, "--json"]);
    const types = (JSON.parse(stdout) as { tensorTypes: Record<string, number> }).tensorTypes;
    expect(types.Q8_0).toBe(2);
  });

  test.each([
    ["without a type", ["--tensor-type", "attn_v"], "<name>=<type>"],
    ["of an unknown type", ["--tensor-type", "attn_v=q3_k"], "q8_0"],
    ["twice", ["--tensor-type", "attn_v=q8_0", "--tensor-type", "attn_v=f16"], "twice"],
    ["of no tensor", ["--tensor-type", "nonsense=q8_0"], "nonsense"],
  ])("%s is wrong usage", async (_, args, part) => {
    const result = await quantize(model, "-o", join(folder, "x.gguf"), "--type", "q8_0", ...args);
    expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining(part) });
  });
});

describe("options that do not go together", () => {
  test.each([
    [["--report", texts, "-o", "x.gguf"], "--report writes no file"],
    [["--report", texts, "--type", "q8_0"], "--report writes no file"],
    [["--report", texts, "--types", "q8_0,f16"], "Allowed choices are q8_0"],
    [["-o", "x.gguf", "--type", "q8_0", "--json"], "--json goes with --report"],
    [["-o", "x.gguf", "--type", "q8_0", "--threads", "1"], "--threads goes with --report"],
    [[], "needs -o <file> and --type"],
  ])("%j", async (args, part) => {
    expect(await quantize(model, ...args)).toMatchObject({ code: 2, stderr: expect.stringContaining(part) });
  });
});
