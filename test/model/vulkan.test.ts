/**
 * The GPU path without a GPU: the scoring tests on the Vulkan backend over Mesa's software driver, where it and
 * @node-llama-cpp's Vulkan package are installed (scripts/ci-vulkan.sh). The log says whether they ran.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isScoreheadError, type ScoreModel } from "../../lib/index.ts";
import { selectDevices } from "../../lib/runtime/open.ts";
import type { CaseName } from "../fixtures/cases.ts";
import { loadGolden } from "../fixtures/golden.ts";
import { expectResults, READ_LAST } from "./expect-golden.ts";
import { scoreError, scoreSpreads } from "./numbers.ts";
import { workspace } from "./support.ts";

/** llama.cpp's Vulkan backend computes matrix products in F16 inside: 1e-3, measured. */
const BOUND = 1e-2;
/** Short texts only: the software driver does a thousandth of a GPU's work a second. */
const MOST_TOKENS = 130;

/** null, or why there is no Vulkan device. A software driver counts only where it is named. */
function missingVulkan(): string | null {
  process.env.GGML_VK_VISIBLE_DEVICES ??= "0";
  try {
    selectDevices("vulkan");
    return null;
  } catch (error) {
    if (isScoreheadError(error, "ERR_DEVICE")) return error.message;
    throw error;
  }
}

const missing = missingVulkan();
const device = missing === null ? selectDevices("vulkan").devices[0]?.description : undefined;
console.log(device ? `Vulkan tests run on ${device}.` : `Vulkan tests do NOT run: ${missing}`);

const { load } = workspace();

describe
  .skipIf(missing !== null)
  .each([
    "beaver-cost",
    "beaver-reward",
    "starling",
    "dpa",
    "gemma2-classifier",
    "qwen3-score",
  ] as const satisfies CaseName[])("%s on Vulkan", (name) => {
  const golden = loadGolden(name);
  const results = golden.results.filter(({ tokenIds }) => tokenIds.length <= MOST_TOKENS);
  const texts = results.map(({ text }) => text);
  let model: ScoreModel;
  beforeAll(async () => {
    model = await load(name, "f32", { device: "vulkan" });
  });
  afterAll(() => model?.close());

  it("runs there", () => expect(model.info.device).toContain("vulkan"));

  it("has the reference's scores, together and one by one", async () => {
    expectResults(await model.score(texts, READ_LAST), results, BOUND);
    for (const result of results.slice(0, 2)) expectResults(await model.score(result.text, READ_LAST), [result], BOUND);
  });

  it("reads as on the card", async () => {
    const spreads = scoreSpreads({ results });
    for (const { text, card } of results)
      for (const { maxLength, endIndex, endScores } of card) {
        const output = await model.score(text, { maxLength, read: "card" });
        expect(output.endIndex.data[0]).toBe(endIndex);
        expect(scoreError(output.endScores.data, endScores, spreads)).toBeLessThan(BOUND);
      }
  });
});
