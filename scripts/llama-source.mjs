// The pinned llama.cpp release, taken from the git bundle inside the node-llama-cpp tarball. Shipped in the package:
// the install step needs its headers, and `scorehead build-runtime` all of it.
// @ts-check
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const packageRoot = dirname(dirname(fileURLToPath(import.meta.url)));
/** @type {{ llamaCpp: { package: string, version: string, integrity: string, release: string } }} */
const { llamaCpp } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8"));

/** What compiling the addon takes from the release. */
const HEADER_PATHS = [
  ...["include", "ggml/include", "LICENSE"],
  // For the accelerator: the interface of backends, and the layouts of the weight types.
  ...["ggml/src/ggml-backend-impl.h", "ggml/src/ggml-common.h"],
];
/** What the tests take: chat templates, and vocabularies with test vectors. */
const TEST_PATHS = [
  "models/templates",
  ...["llama-spm", "phi-3", "llama-bpe", "qwen2", "gpt-2", "starcoder"].map(
    (name) => `models/ggml-vocab-${name}.gguf*`,
  ),
];
const vendor = join(packageRoot, "native", "vendor");
const stamp = join(vendor, ".version");

/** Puts the release's headers, and in a clone its test vocabularies, into native/vendor, once for each pinned version. */
export function ensureHeaders() {
  const paths = existsSync(join(packageRoot, "test")) ? [...HEADER_PATHS, ...TEST_PATHS] : HEADER_PATHS;
  const wanted = `${llamaCpp.version} ${paths.join(" ")}`;
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  rmSync(vendor, { recursive: true, force: true });
  mkdirSync(vendor, { recursive: true });
  checkOutRelease(vendor, paths);
  writeFileSync(stamp, wanted);
}

/**
 * Checks the release out into a folder.
 * @param {string} destination an existing folder
 * @param {readonly string[]} paths what of it; ["."] is everything
 */
export function checkOutRelease(destination, paths) {
  const work = mkdtempSync(join(tmpdir(), "scorehead-llama-"));
  try {
    run(
      "npm",
      ["pack", "--prefer-offline", "--pack-destination", work, `${llamaCpp.package}@${llamaCpp.version}`],
      work,
    );
    const tarball = join(work, /** @type {string} */ (readdirSync(work).find((name) => name.endsWith(".tgz"))));
    verify(tarball);
    const bundle = "package/llama/gitRelease.bundle";
    run("tar", ["-xzf", tarball, "-C", work, bundle], work);
    const repository = join(work, "repository");
    run("git", ["clone", "--quiet", "--bare", join(work, bundle), repository], work);
    run(
      "git",
      [`--git-dir=${repository}`, `--work-tree=${destination}`, "checkout", "--quiet", "HEAD", "--", ...paths],
      work,
    );
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** @param {string} tarball */
function verify(tarball) {
  const [algorithm = "", expected] = llamaCpp.integrity.split(/-(.*)/s);
  const found = createHash(algorithm).update(readFileSync(tarball)).digest("base64");
  if (found !== expected)
    throw new Error(
      `The tarball of ${llamaCpp.package}@${llamaCpp.version} is not the one that scorehead was made with: its hash is ` +
        `${algorithm}-${found}, and ${llamaCpp.integrity} was expected. Check which registry npm uses.`,
    );
}

const REMEDIES = {
  git: "Install git.",
  tar: "Install tar.",
  npm: "Install npm, which comes with Node.js.",
};

/**
 * Runs a tool to its end. Throws an error that names it where it is missing, and shows its words where it fails.
 * @param {keyof typeof REMEDIES} tool
 * @param {readonly string[]} args
 * @param {string} cwd
 */
function run(tool, args, cwd) {
  // Under npm, its own script runs with the same Node: no shell, no npm.cmd.
  const npm = process.env.npm_execpath;
  const script = tool === "npm" && npm?.endsWith(".js") ? [npm] : [];
  const result = spawnSync(script.length > 0 ? process.execPath : tool, [...script, ...args], {
    cwd,
    encoding: "utf8",
    // npm passes `--dry-run` and the like on to nested calls through the environment.
    env: { ...process.env, npm_config_dry_run: "false", npm_config_json: "false" },
  });
  if (result.error) throw new Error(`${tool} cannot be run (${result.error.message}). ${REMEDIES[tool]}`);
  if (result.status !== 0)
    throw new Error(`\`${tool} ${args.join(" ")}\` failed with exit code ${result.status}:\n${result.stderr}`);
}

// `node scripts/llama-source.mjs FOLDER` checks everything out into an existing folder.
const [, script, destination] = process.argv;
if (script === fileURLToPath(import.meta.url) && destination !== undefined)
  try {
    checkOutRelease(destination, ["."]);
  } catch (error) {
    console.error(/** @type {Error} */ (error).message);
    process.exitCode = 1;
  }
