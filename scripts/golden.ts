/**
 * Regenerates test/golden: writes every fixture to a temporary directory and runs scripts/reference.py over it.
 *
 * usage: npx tsx scripts/golden.ts [case ...]
 *
 * Needed after a change to the fixtures or their texts, never to make a failing test pass. Not run in CI: it needs
 * `python3` with numpy and torch (Debian: python3-torch), or another interpreter named by the variable PYTHON.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CASE_NAMES, type CaseName, fixtureCase, MAX_LENGTHS } from "../test/fixtures/cases.ts";
import { writeFixture } from "../test/fixtures/checkpoints.ts";
import { goldenPath } from "../test/fixtures/golden.ts";

const REFERENCE = fileURLToPath(new URL("reference.py", import.meta.url));

function parseNames(words: readonly string[]): readonly CaseName[] {
  const names = CASE_NAMES.filter((name) => words.includes(name));
  if (names.length < words.length) throw new Error(`usage: golden.ts [${CASE_NAMES.join(" | ")}] ...`);
  return words.length === 0 ? CASE_NAMES : names;
}

async function regenerate(name: CaseName, workDirectory: string): Promise<void> {
  const { directory, tokenizerDirectory } = await writeFixture(name, join(workDirectory, name));
  const texts = join(workDirectory, `${name}.texts.json`);
  writeFileSync(texts, JSON.stringify(fixtureCase(name).texts));
  const out = fileURLToPath(goldenPath(name));
  const files = [directory, "--tokenizer", tokenizerDirectory, "--texts", texts, "--out", out];
  const python = process.env.PYTHON ?? "python3";
  execFileSync(python, [REFERENCE, ...files, "--max-lengths", MAX_LENGTHS.join(",")], { stdio: "inherit" });
  console.error(`${name}: ${out}`);
}

const workDirectory = mkdtempSync(join(tmpdir(), "scorehead-golden-"));
try {
  for (const name of parseNames(process.argv.slice(2))) await regenerate(name, workDirectory);
} finally {
  rmSync(workDirectory, { recursive: true });
}
