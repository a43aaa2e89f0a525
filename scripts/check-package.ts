/**
 * `npm run check:package [-- <tarball>]`: the tarball, packed here where none is named, is installed into an empty folder
 * with neither compiler nor devDependencies at hand. It scores a GGUF, with the accelerator where this processor has one,
 * and without it where its library is missing; and the whole install stays small.
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { convert, type DoctorReport } from "../lib/index.ts";
import { LIBRARY_EXTENSION } from "../lib/runtime/locate.ts";
import { openRuntime } from "../lib/runtime/open.ts";
import { writeFixture } from "../test/fixtures/checkpoints.ts";
import { packageRoot } from "./llama-source.mjs";

const MOST_MEGABYTES = 60;
/** beaver-7b-v1.0-cost's card: 28 tokens. */
const CARD_EXAMPLE = ["--prompt", "hello", "--response", "Hello! How can I help you today?"];
const CARD_TOKENS = 28;
/** Between scores with and without the accelerator: llama.cpp's products of F16 weights are off by 1e-4 of their spread. */
const MOST_DIFFERENCE = 2e-3;

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

/** The installed command's answers. `--kv f32`: nothing but products of F16 weights is rounded. */
function installed(app: string, path: string, file: string) {
  const command = join(app, "node_modules", ".bin", "scorehead");
  return {
    score(...options: string[]): number {
      const args = ["score", file, ...CARD_EXAMPLE, "--device", "cpu", "--kv", "f32", "--json", ...options];
      const [line = ""] = run(command, args, app, path).split("\n");
      const { tokenIds, endScores } = JSON.parse(line) as { tokenIds: number[]; endScores: number[] };
      const [score = Number.NaN] = endScores;
      if (tokenIds.length !== CARD_TOKENS || !Number.isFinite(score)) throw new Error(`It scored wrongly: ${line}`);
      return score;
    },
    doctor: (): DoctorReport =>
      JSON.parse(run(command, ["doctor", file, "--device", "cpu", "--json"], app, path)) as DoctorReport,
  };
}

/** The accelerator came with the prebuild, is in use as in this clone, and is not needed. */
function checkAccelerator(library: string, { score, doctor }: ReturnType<typeof installed>): string {
  const { accelerator } = openRuntime();
  const { cpu, model } = doctor();
  if (JSON.stringify(cpu.accelerator) !== JSON.stringify(accelerator))
    throw new Error(`The accelerator is ${JSON.stringify(cpu.accelerator)}, and here ${JSON.stringify(accelerator)}.`);
  if (!accelerator.kernels) return `${score()}, no accelerator here (${accelerator.reason})`;
  if (model?.acceleration.kernels !== accelerator.kernels)
    throw new Error(`The accelerator is not in use: ${model?.acceleration.reason}.`);
  const [plain, accelerated] = [score("--accel", "off"), score()];
  if (!(Math.abs(accelerated - plain) < MOST_DIFFERENCE)) throw new Error(`${accelerated} with it, ${plain} without.`);
  rmSync(library);
  const { reason } = doctor().cpu.accelerator;
  if (!reason.includes(library)) throw new Error(`doctor does not say why there is no accelerator: ${reason}`);
  if (score() !== plain) throw new Error("Where the accelerator is missing, scores are not those of --accel off.");
  return `${accelerated} with ${accelerator.kernels}, ${plain} without`;
}

const work = realpathSync(mkdtempSync(join(tmpdir(), "scorehead-package-")));
try {
  const [, , named] = process.argv;
  if (!named) run("npm", ["pack", "--silent", "--pack-destination", work], packageRoot, process.env.PATH ?? "");
  const tarball = named ? resolve(named) : join(work, readdirSync(work).find((name) => name.endsWith(".tgz")) ?? "");
  const { directory } = await writeFixture("beaver-cost", join(work, "beaver-7b-v1.0-cost"));
  const file = join(work, "cost.gguf");
  await convert(directory, file, { type: "f16" });

  const app = join(work, "app");
  mkdirSync(app);
  writeFileSync(join(app, "package.json"), JSON.stringify({ private: true }));
  const path = bareTools(join(work, "bin"));
  run("npm", ["install", "--omit=dev", "--no-audit", "--no-fund", tarball], app, path);
  const modules = join(app, "node_modules");
  const megabytes = bytesUnder(modules) / 1e6;
  if (megabytes >= MOST_MEGABYTES) throw new Error(`The install takes ${megabytes.toFixed(0)} MB.`);

  const name = `scorehead-accel.${LIBRARY_EXTENSION}`;
  const library = join(modules, "scorehead", "prebuilds", `${process.platform}-${process.arch}`, name);
  const scores = checkAccelerator(library, installed(app, path, file));
  console.log(
    `The tarball (${(statSync(tarball).size / 1e6).toFixed(2)} MB; ${(bytesUnder(join(modules, "scorehead")) / 1e6).toFixed(2)} MB ` +
      `unpacked, ${megabytes.toFixed(0)} MB with its dependencies) installs without a compiler and scores: ${scores}.`,
  );
} finally {
  rmSync(work, { recursive: true, force: true });
}
