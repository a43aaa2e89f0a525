/**
 * `npm run accuracy`: the errors of each weight type against the float64 reference (test/golden), as the README's
 * table. An error is the largest difference of a case's per-token scores, relative to their spread.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert, type OutputType, ScoreModel } from "../lib/index.ts";
import { type CaseName, fixtureCase } from "../test/fixtures/cases.ts";
import { writeFixture } from "../test/fixtures/checkpoints.ts";
import { loadGolden } from "../test/fixtures/golden.ts";

const ROWS: readonly { type: OutputType; kv: "f16" | "f32" }[] = [
  { type: "f32", kv: "f32" },
  { type: "f32", kv: "f16" },
  { type: "bf16", kv: "f16" },
  { type: "f16", kv: "f16" },
  { type: "q8_0", kv: "f16" },
  { type: "q6_k", kv: "f16" },
  { type: "q5_k_m", kv: "f16" },
  { type: "q4_k_m", kv: "f16" },
  { type: "q4_0", kv: "f16" },
];
/** An F32, an F16 and a BF16 checkpoint; `beaver-reward` is wide enough for the k-quants' blocks of 256. */
const CASES: readonly CaseName[] = ["beaver-normalized-cost", "beaver-reward", "dpa"];

async function errorOf(name: CaseName, file: string, kv: "f16" | "f32"): Promise<number> {
  const golden = loadGolden(name);
  await using model = await ScoreModel.load(file, { device: "cpu", kv });
  let largest = 0;
  for (const { text, scores } of golden.results) {
    const output = await model.score(text, { perToken: true });
    const expected = scores.flat();
    const spread = Math.max(...expected) - Math.min(...expected);
    if (spread === 0) continue; // an empty text has one score and no spread
    const difference = Math.max(
      ...expected.map((value, i) => Math.abs(value - (output.scores?.data[i] ?? Number.NaN))),
    );
    largest = Math.max(largest, difference / spread);
  }
  return largest;
}

const folder = await mkdtemp(join(tmpdir(), "scorehead-accuracy-"));
try {
  console.log(`| weights | KV cache | ${CASES.join(" | ")} |\n|---|---|${CASES.map(() => "---").join("|")}|`);
  for (const { type, kv } of ROWS) {
    const errors: string[] = [];
    for (const name of CASES) {
      const { directory } = await writeFixture(name, join(folder, name));
      const file = join(folder, `${name}.${type}.gguf`);
      await convert(directory, file, { type, profile: fixtureCase(name).profile });
      errors.push((await errorOf(name, file, kv)).toExponential(1));
      await rm(file);
    }
    console.log(`| ${type} | ${kv} | ${errors.join(" | ")} |`);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
