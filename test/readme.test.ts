/** The README's TypeScript examples run as they stand, on fixtures of the names that they use, on disk and on a test hub. */
import { execFile } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { convert } from "../lib/index.ts";
import { writeFloats } from "./attach/support.ts";
import { writeFixture } from "./fixtures/checkpoints.ts";
import { TestHub } from "./hub/server.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const examples = [...readme.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code]) => code as string);
const index = new URL("../lib/index.ts", import.meta.url).href;
const tsx = import.meta.resolve("tsx");

const folder = mkdtempSync(join(tmpdir(), "scorehead-readme-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start();
  return () => hub.close();
});
beforeAll(async () => {
  for (const [name, fixture] of [
    ["beaver-7b-v1.0-cost", "beaver-cost"],
    ["RewardModel-Mistral-7B-for-DPA-v1", "dpa"],
  ] as const)
    await writeFixture(fixture, join(folder, name));
  await hub.commitDirectory("PKU-Alignment/beaver-7b-v1.0-cost", join(folder, "beaver-7b-v1.0-cost"));
  await convert(join(folder, "beaver-7b-v1.0-cost"), join(folder, "beaver-7b-v1.0-cost.q8_0.gguf"), { type: "q8_0" });
  await convert(join(folder, "RewardModel-Mistral-7B-for-DPA-v1"), join(folder, "dpa-7b.q8_0.gguf"), { type: "q8_0" });
  copyFileSync(join(folder, "dpa-7b.q8_0.gguf"), join(folder, "mistral-7b.q8_0.gguf"));
  writeFloats(join(folder, "head.safetensors"), { "score.weight": [[1, 64], Array(64).fill(0.1)] });
});

describe("the README's examples", () => {
  it("are there", () => expect(examples.length).toBeGreaterThan(3));

  it.each(examples.map((code, i) => [i + 1, code] as const))("example %i runs", async (number, code) => {
    const file = join(folder, `example-${number}.mts`);
    writeFileSync(file, code.replaceAll('"scorehead"', JSON.stringify(index)));
    const env = {
      ...process.env,
      HF_ENDPOINT: hub.endpoint,
      HF_HOME: join(folder, "hf"),
      SCOREHEAD_CACHE: join(folder, "cache"),
    };
    const { stderr } = await promisify(execFile)(process.execPath, ["--import", tsx, file], { cwd: folder, env });
    expect(stderr).not.toMatch(/error/i);
  });
});
