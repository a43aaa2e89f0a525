/** `scorehead convert`, `quantize` and `inspect` from end to end. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { convert, inspect as inspectPath } from "../../lib/index.ts";
import { writeFixture } from "../fixtures/checkpoints.ts";
import { rewriteGguf } from "../model/rewrite.ts";
import { runCli, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const beaver = join(folder, "beaver-reward");
const starling = join(folder, "starling");
const starlingBase = join(starling, "base");
const converted = join(folder, "converted.gguf");
const HEADLESS = fileURLToPath(new URL("../../native/vendor/models/ggml-vocab-llama-spm.gguf", import.meta.url));

beforeAll(async () => {
  await writeFixture("beaver-reward", beaver);
  await writeFixture("starling", starling);
  await convert(beaver, converted);
});

/** A new empty folder for outputs, to see whatever is left in it. */
function outputFolder(name: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}

describe("convert", () => {
  test("writes the file and prints what it is", async () => {
    const out = outputFolder("plain");
    const { code, stdout } = await runCli(["convert", beaver, "-o", join(out, "m.gguf")]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^wrote +.*m\.gguf$/m);
    expect(stdout).toMatch(/^profile +beaver-reward \(reward: higher is more helpful\)$/m);
    expect(stdout).toMatch(/^type +f16$/m);
    expect(readdirSync(out)).toEqual(["m.gguf"]);
    expect(readFileSync(join(out, "m.gguf")).equals(readFileSync(converted))).toBe(true);
  });

  test("takes the base model's directory for a checkpoint without a tokenizer, and names it where it is missing", async () => {
    const out = join(outputFolder("starling-out"), "m.gguf");
    const without = await runCli(["convert", starling, "-o", out]);
    expect(without).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("--tokenizer") });
    expect(existsSync(out)).toBe(false);
    const { code, stdout } = await runCli(["convert", starling, "--tokenizer", starlingBase, "-o", out]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^layout +GPTRewardModel$/m) });
  });

  test("a quantised type leaves nothing else behind", async () => {
    const out = outputFolder("quantised");
    const { code } = await runCli(["convert", beaver, "-o", join(out, "m.gguf"), "--type", "q8_0"]);
    expect(code).toBe(0);
    expect(readdirSync(out)).toEqual(["m.gguf"]);
    expect(statSync(join(out, "m.gguf")).size).toBeLessThan(statSync(converted).size);
  });

  test("--dry-run prints tensors, keys and size, and writes nothing", async () => {
    const out = outputFolder("dry");
    const { code, stdout } = await runCli([
      "convert",
      beaver,
      "-o",
      join(out, "m.gguf"),
      "--type",
      "bf16",
      "--dry-run",
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^type +bf16$/m);
    expect(stdout).toMatch(/^ {2}token_embd\.weight +\[256, \d+\] +BF16 +from model\.embed_tokens\.weight \(F16, /m);
    expect(stdout).toMatch(/^ {2}scorehead\.head\.weight +f32\[256\]$/m);
    expect(readdirSync(out)).toEqual([]);
    expect(await runCli(["convert", beaver, "--dry-run"])).toMatchObject({ code: 0 });
  });

  test("a file of the checkpoint is no place for the output", async () => {
    for (const output of [join(beaver, "tokenizer.json"), beaver]) {
      const before = readdirSync(beaver);
      expect(await runCli(["convert", beaver, "-o", output])).toMatchObject({ code: 2, stdout: "" });
      expect(readdirSync(beaver)).toEqual(before);
    }
  });

  test.each([
    ["a missing directory", join(folder, "none"), "ERR_NOT_FOUND"],
    ["a file", HEADLESS, "ERR_CHECKPOINT"],
  ])("%s exits with 1", async (_, path, code) => {
    const result = await runCli(["convert", path, "-o", join(folder, "x.gguf")]);
    expect(result).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining(code) });
  });
});

describe("quantize", () => {
  test("writes a smaller file that keeps its head", async () => {
    const out = join(outputFolder("smaller"), "m.gguf");
    const { code, stdout } = await runCli(["quantize", converted, "-o", out, "--type", "q4_k_m"]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^type +q4_k_m$/m) });
    const inspected = await runCli(["inspect", out, "--json"]);
    expect(inspected.code).toBe(0);
    expect(JSON.parse(inspected.stdout)).toMatchObject({ fileType: "q4_k_m", head: { profile: "beaver-reward" } });
  });

  test("the input itself is no output", async () => {
    expect(await runCli(["quantize", converted, "-o", converted, "--type", "q8_0"])).toMatchObject({ code: 2 });
  });

  test("a quantised file, and one without head, are refused", async () => {
    const small = join(folder, "small.gguf");
    await convert(beaver, small, { type: "q8_0" });
    const [again, headless] = await Promise.all(
      [small, HEADLESS].map((input) => runCli(["quantize", input, "-o", join(folder, "y.gguf"), "--type", "q4_0"])),
    );
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining("ERR_QUANTIZE") });
    expect(headless).toMatchObject({ code: 1, stderr: expect.stringContaining("ERR_NO_HEAD") });
  });
});

describe("inspect", () => {
  const inspect = async (path: string, ...options: readonly string[]) => {
    const { code, stdout, stderr } = await runCli(["inspect", path, "--json", ...options]);
    return { code, stderr, report: JSON.parse(stdout) as Record<string, unknown> };
  };

  test("a GGUF file: types, backbone, head, tokenizer", async () => {
    const { code, report } = await inspect(converted);
    expect(code).toBe(0);
    expect(report).toMatchObject({
      kind: "gguf",
      problems: [],
      fileType: "f16",
      tensorTypes: { F16: 15, F32: 5 },
      backbone: { architecture: "llama", layers: 2, hiddenSize: 256 },
      head: {
        profile: "beaver-reward",
        type: "reward",
        labels: ["reward"],
        outputs: 1,
        hiddenSize: 256,
        bias: false,
        normalizer: null,
        read: "last-token",
        truncationSide: "left",
      },
      tokenizer: { bosId: 1, eosId: 2, addBos: true, addEos: false },
    });
    const { stdout } = await runCli(["inspect", converted]);
    expect(stdout).toMatch(/^head +1 x 256, reward$/m);
    expect(stdout).toMatch(/^verdict +ready to score$/m);
  });

  test("a checkpoint: its files, its types and that it converts", async () => {
    const { code, report } = await inspect(beaver);
    expect(code).toBe(0);
    expect(report).toMatchObject({ kind: "checkpoint", problems: [], layout: "LlamaForScore" });
    expect(Object.keys(report.tensorTypes as object)).toEqual(["F16"]);
    expect((await runCli(["inspect", beaver])).stdout).toMatch(/^verdict +converts$/m);
  });

  test("a checkpoint that does not convert: what is known, the reason, and 1", async () => {
    const broken = outputFolder("broken-beaver-reward");
    for (const name of readdirSync(beaver)) copyFileSync(join(beaver, name), join(broken, name));
    rmSync(join(broken, "tokenizer.json"));
    const { code, stderr, report } = await inspect(broken);
    expect(code).toBe(1);
    expect(stderr).toContain("It cannot be converted: ");
    expect(report).toMatchObject({
      layout: "LlamaForScore",
      tensorTypes: { F16: expect.any(Number) },
      problems: [{ code: "ERR_TOKENIZER" }],
      head: null,
    });
  });

  test("a checkpoint with several faults: tensor, tokenizer and config keys, each by its name", async () => {
    const broken = outputFolder("broken-granite");
    await writeFixture("granite-classifier", broken);
    const config = JSON.parse(readFileSync(join(broken, "config.json"), "utf8")) as Record<string, unknown>;
    const changed = { ...config, num_hidden_layers: 4, attention_bias: true, router_scale: 0.5 };
    writeFileSync(join(broken, "config.json"), JSON.stringify(changed));
    writeFileSync(join(broken, "tokenizer.json"), "{}");
    const { code, stderr, report } = await inspect(broken, "--profile", "beaver-reward");
    expect(code).toBe(1);
    expect(report.layout).toBe("GraniteForSequenceClassification");
    const codes = (report.problems as { code: string }[]).map((problem) => problem.code);
    expect(codes).toEqual(["ERR_TOKENIZER", "ERR_UNSUPPORTED", "ERR_TENSOR", "ERR_TENSOR"]);
    expect(stderr).toContain("router_scale");
    expect(stderr).toContain("lacks the 9 tensors layers.3.input_layernorm.weight");
    expect(stderr).toContain("lacks the 16 tensors layers.0.self_attn.q_proj.bias");
  });

  test("a checkpoint of a relative converts with a profile", async () => {
    const directory = outputFolder("gemma");
    await writeFixture("gemma2-classifier", directory);
    const { code, report } = await inspect(directory, "--profile", "beaver-reward");
    expect({ code, problems: report.problems }).toEqual({ code: 0, problems: [] });
    expect(report).toMatchObject({ backbone: { architecture: "gemma2", window: 48, contextLength: 8192 } });
    const args = ["-o", join(directory, "m.gguf"), "--profile", "beaver-reward", "--dry-run"];
    const { stdout } = await runCli(["convert", directory, ...args]);
    expect(stdout).toMatch(/^ +output_norm\.weight .* from model\.norm\.weight \(F32, .*\), plus 1$/m);
    expect(stdout).toMatch(
      /^ +blk\.0\.attn_q\.weight .* from model\.layers\.0\.self_attn\.q_proj\.weight .*, times 1\.15\d+$/m,
    );
  });

  test("a GGUF file that llama.cpp would refuse is not ready", async () => {
    const broken = join(folder, "no-norm.gguf");
    await rewriteGguf(converted, broken, {
      tensors: (tensors) => tensors.filter(({ name }) => name !== "blk.1.attn_norm.weight"),
    });
    const { code, report } = await inspect(broken);
    expect(code).toBe(1);
    expect(report.problems).toEqual([
      { code: "ERR_GGUF", message: expect.stringContaining("blk.1.attn_norm.weight is missing") },
    ]);
  });

  test("the function takes the base model's directory and a profile, as convert does", async () => {
    const report = await inspectPath(starling, { tokenizer: starlingBase });
    expect(report).toMatchObject({
      problems: [],
      layout: "GPTRewardModel",
      head: { profile: "starling", read: "card" },
    });
    // The same storage under two names is counted once.
    expect(report.parameters).toBe((await inspectPath(starling)).parameters);
    const other = await inspectPath(beaver, { profile: "beaver-cost" });
    expect(other).toMatchObject({ problems: [], head: { profile: "beaver-cost", type: "cost" } });
    await expect(inspectPath(beaver, { tokeniser: starlingBase } as object)).rejects.toMatchObject({
      code: "ERR_ARGUMENT",
    });
  });

  test("a GGUF file without head cannot be scored with", async () => {
    const { code, report } = await inspect(HEADLESS);
    expect(code).toBe(1);
    expect(report.problems).toContainEqual({ code: "ERR_NO_HEAD", message: expect.any(String) });
  });

  test("what is no model at all is an error", async () => {
    const [missing, other] = await Promise.all([
      runCli(["inspect", join(folder, "none.gguf")]),
      runCli(["inspect", fileURLToPath(import.meta.url), "--json"]),
    ]);
    expect(missing).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("ERR_NOT_FOUND") });
    expect(other).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("ERR_GGUF") });
  });
});
