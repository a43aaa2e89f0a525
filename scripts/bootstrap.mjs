// Brings a clone to where tests, demo and build can run: dependencies, headers, addon. Quick when all is there.
// @ts-check
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { addonIsStale, buildAddon } from "./build-addon.mjs";
import { ensureHeaders, packageRoot } from "./llama-source.mjs";

const lock = join(packageRoot, "package-lock.json");
const installed = join(packageRoot, "node_modules", ".package-lock.json");

try {
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs) {
    const npm = process.env.npm_execpath;
    const [command, args] = npm?.endsWith(".js") ? [process.execPath, [npm, "ci"]] : ["npm", ["ci"]];
    const result = spawnSync(command, args, { cwd: packageRoot, stdio: ["ignore", process.stderr, process.stderr] });
    if (result.status !== 0) throw new Error("`npm ci` failed; its words are above.");
  }
  ensureHeaders();
  if (addonIsStale()) buildAddon();
} catch (error) {
  console.error(`scorehead: ${/** @type {Error} */ (error).message}`);
  process.exitCode = 1;
}
