// Compiles the addon with node-gyp. Shipped in the package, for machines that no prebuild fits.
// @ts-check
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureHeaders, packageRoot } from "./llama-source.mjs";

const require = createRequire(import.meta.url);
const binary = join(packageRoot, "build", "Release", "scorehead.node");

/** Whether the compiled addon is missing or older than its sources. */
export function addonIsStale() {
  if (!existsSync(binary)) return true;
  const built = statSync(binary).mtimeMs;
  const folders = ["native/core", "native/binding", "native/accel"].map((folder) => join(packageRoot, folder));
  const sources = folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
  return [...sources, join(packageRoot, "binding.gyp")].some((path) => statSync(path).mtimeMs > built);
}

/** Fetches the headers where they are missing and compiles. Extra arguments go to node-gyp, e.g. `--sanitize=address`. */
export function buildAddon(/** @type {readonly string[]} */ ...extra) {
  compile(packageRoot, "rebuild", ...extra);
}

/** Runs commands of node-gyp in a folder with a binding.gyp. @param {string} folder @param {readonly string[]} args */
export function compile(folder, ...args) {
  ensureHeaders();
  const result = spawnSync(process.execPath, [nodeGyp(), "--jobs=max", ...nodedir(), ...args], {
    cwd: folder,
    stdio: ["ignore", process.stderr, process.stderr],
  });
  if (result.status !== 0)
    throw new Error(
      "Compiling the addon failed; node-gyp's words are above. It needs Python 3 and a C++17 compiler " +
        "(Debian: apt install python3 g++ make; macOS: xcode-select --install; Windows: Visual Studio's C++ tools).",
    );
}

/** node-gyp: ours in a clone, else the one inside npm. */
function nodeGyp() {
  try {
    return require.resolve("node-gyp/bin/node-gyp.js");
  } catch {
    const { npm_config_node_gyp: configured, npm_execpath: npm } = process.env;
    const inside = npm && join(dirname(npm), "..", "node_modules", "node-gyp", "bin", "node-gyp.js");
    const found = [configured, inside].find((path) => path && existsSync(path));
    if (found) return found;
    throw new Error(
      "node-gyp cannot be found. Install scorehead with npm, which brings it, or `npm install node-gyp`.",
    );
  }
}

/** The headers that lie beside the running Node, so that nothing is downloaded for them. */
function nodedir() {
  if (process.env.npm_config_nodedir) return [];
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, "include", "node", "node_api.h")) ? [`--nodedir=${prefix}`] : [];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) buildAddon(...process.argv.slice(2));
