/**
 * `npm run check:package`: the packed tarball, installed into an empty folder with neither compiler nor
 * devDependencies at hand, scores a GGUF, and the whole install stays small.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { convert } from "../lib/index.ts";
import { writeFixture } from "../test/fixtures/checkpoints.ts";
import { packageRoot } from "./llama-source.mjs";

const MOST_MEGABYTES = 60;
/** beaver-7b-v1.0-cost's card: 28 tokens. */
const CARD_EXAMPLE = ["--prompt", "hello", "--response", "Hello! How can I help you today?"];
const CARD_TOKENS = 28;

/** A PATH with Node, npm and a shell, and nothing that compiles. */
function bareTools(folder: string): string {
  mkdirSync(folder);
  const npm = execFileSync("sh", ["-c", "command -v npm"], { encoding: "utf8" }).trim();
  const shell = execFileSync("sh", ["-c", "command -v sh"], { encoding: "utf8" }).trim();
  const env = execFileSync("sh", ["-c", "command -v env"], { encoding: "utf8" }).trim();
  for (const [name, target] of [
    ["node", process.execPath],
    ["npm", npm],
    ["sh", shell],
    ["env", env],
  ] as const)
    symlinkSync(target, join(folder, name));
  return folder;
}

function run(command: string, args: readonly string[], cwd: string, path: string): string {
  const result = spawnSync(command, args, { cwd, encoding: "utf8", env: { ...process.env, PATH: path } });
  if (result.status !== 0) throw new Error(`${command} ${args.join(" ")} failed:\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

function bytesUnder(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => lstatSync(join(folder, name)))
    .reduce((sum, stats) => sum + (stats.isFile() ? stats.size : 0), 0);
}

const work = mkdtempSync(join(tmpdir(), "scorehead-package-"));
try {
  run("npm", ["pack", "--silent", "--pack-destination", work], packageRoot, process.env.PATH ?? "");
  const tarball = readdirSync(work).find((name) => name.endsWith(".tgz"));
  if (!tarball) throw new Error("npm pack left no tarball.");
  const { directory } = await writeFixture("beaver-cost", join(work, "beaver-7b-v1.0-cost"));
  const file = join(work, "cost.gguf");
  await convert(directory, file);

  const app = join(work, "app");
  mkdirSync(app);
  writeFileSync(join(app, "package.json"), JSON.stringify({ private: true }));
  const path = bareTools(join(work, "bin"));
  run("npm", ["install", "--omit=dev", "--no-audit", "--no-fund", join("..", tarball)], app, path);
  const megabytes = bytesUnder(join(app, "node_modules")) / 1e6;
  if (megabytes >= MOST_MEGABYTES) throw new Error(`The install takes ${megabytes.toFixed(0)} MB.`);

  const command = join(app, "node_modules", ".bin", "scorehead");
  const [line = ""] = run(command, ["score", file, ...CARD_EXAMPLE, "--json"], app, path).split("\n");
  const { tokenIds, endScores } = JSON.parse(line) as { tokenIds: number[]; endScores: number[] };
  if (tokenIds.length !== CARD_TOKENS || !Number.isFinite(endScores[0])) throw new Error(`It scored wrongly: ${line}`);
  console.log(`The packed tarball installs without a compiler (${megabytes.toFixed(0)} MB in all) and scores.`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
