/** `scorehead attach`, and `--head` of the commands that score. */
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { foreignFile, headDirectory, headFile } from "../attach/support.ts";
import { loadGolden } from "../fixtures/golden.ts";
import { workspace } from "../model/support.ts";
import { jsonLines, runCli } from "./run.ts";

const space = workspace();
const { path } = space;
const ON_CPU = ["--device", "cpu", "--threads", "1", "--kv", "f32"];

let backbone: string;
let head: string;
beforeAll(async () => {
  backbone = await foreignFile(space, "beaver-reward");
  head = await headFile(space, "beaver-reward");
});

describe("attach", () => {
  test("writes the file, prints what it is, and warns of what it assumed", async () => {
    const out = path("attached.gguf");
    const { code, stdout, stderr } = await runCli(["attach", backbone, "--head", head, "-o", out]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^wrote +.*attached\.gguf$/m);
    expect(stdout).toMatch(/^head +1 x 256, reward, read: hf$/m);
    expect(stderr).toMatch(/^warning: No profile is known/m);
    const inspected = await runCli(["inspect", out]);
    expect(inspected).toMatchObject({ code: 0, stdout: expect.stringContaining("ready to score") });
    expect(inspected.stdout).toMatch(/^tokenizer rules +not all in the file/m);
  });

  test("without -o replaces the file itself", async () => {
    const file = path("own.gguf");
    copyFileSync(backbone, file);
    const said = ["--type", "attributes", "--labels", "kindness", "--read", "last-token"];
    const { code, stdout, stderr } = await runCli(["attach", file, "--head", head, ...said]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^labels +kindness$/m);
    expect(readFileSync(file).length).toBeGreaterThan(readFileSync(backbone).length);
    const scored = await runCli(["score", file, "--text", "hello", "--json", ...ON_CPU]);
    expect(jsonLines(scored.stdout)[0]).toMatchObject({ type: "attributes", labels: ["kindness"] });
  });

  test("wrong usage and failures have their exit codes, and leave nothing", async () => {
    const out = path("never.gguf");
    const wrong: [number, string[]][] = [
      [2, ["attach"]],
      [2, ["attach", backbone, "--head", head, "-o", out, "--type", "price"]],
      [2, ["attach", backbone, "--head", head, "-o", out, "--profile", "none"]],
      [1, ["attach", backbone, "-o", out]],
      [1, ["attach", backbone, "--head", path("none.safetensors"), "-o", out]],
    ];
    for (const [code, args] of wrong) expect((await runCli(args)).code, args.join(" ")).toBe(code);
    expect(existsSync(out)).toBe(false);
  });
});

const scored = (stdout: string) => jsonLines(stdout) as { endScores: number[]; labels: string[] }[];

describe("score and rank --head", () => {
  test("score with it, and write nothing", async () => {
    const before = readFileSync(backbone);
    const [golden] = loadGolden("beaver-reward").results;
    const args = ["score", backbone, "--head", head, "--text", String(golden?.text), "--json", ...ON_CPU];
    const [line] = scored((await runCli(args)).stdout);
    expect(line?.endScores[0]).toBeCloseTo(golden?.endScores[0] as number, 4);
    expect(readFileSync(backbone).equals(before)).toBe(true);
  });

  test("a gated head ranks by its score, and gates by it", async () => {
    const file = await foreignFile(space, "armorm");
    const directory = await headDirectory(space, "armorm", "armorm-head");
    const lines = loadGolden("armorm")
      .results.map(({ text }) => JSON.stringify(text))
      .join("\n");
    const args = ["score", file, "--head", directory, "--input", "-", "--json", "--fail-below", "1000", ...ON_CPU];
    const { code, stdout } = await runCli(args, { input: lines });
    expect(code).toBe(3);
    for (const [i, { endScores }] of loadGolden("armorm").results.entries()) {
      const line = scored(stdout)[i];
      expect(line?.endScores[0]).toBeCloseTo(endScores[0] as number, 3);
      expect(line?.labels[0]).toBe("reward");
    }
  });

  test("rank as the type says", async () => {
    const rank = ["rank", backbone, "--head", head, "--profile", "beaver-reward", "--prompt", "hello"];
    const answers = ["--response", "Hello!", "--response", "Go away.", "--json", ...ON_CPU];
    const reward = await runCli([...rank, ...answers]);
    const cost = await runCli([...rank, "--type", "cost", ...answers]);
    const order = ({ stdout }: { stdout: string }): number[] => {
      const [line] = jsonLines(stdout) as { ranking?: { index: number }[] }[];
      return line?.ranking?.map(({ index }) => index) ?? [];
    };
    expect(order(cost)).toHaveLength(2);
    expect(order(cost)).toEqual(order(reward).reverse());
  });
});
