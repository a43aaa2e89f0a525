// Checks what has to agree and is written in several places: the pinned runtime version, the lockfile's addresses, and
// the length of files.
// @ts-check
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "./llama-source.mjs";

/** A file that outgrows this is usually two rooms. */
const MOST_LINES = 420;

const problems = [];
const read = (/** @type {string} */ name) => readFileSync(join(packageRoot, name), "utf8");
const manifest = JSON.parse(read("package.json"));

for (const [name, version] of Object.entries(manifest.optionalDependencies))
  if (version !== manifest.llamaCpp.version)
    problems.push(`${name} is pinned to ${version}, and llamaCpp.version is ${manifest.llamaCpp.version}`);

for (const kind of ["dependencies", "devDependencies", "optionalDependencies"])
  for (const [name, version] of Object.entries(manifest[kind]))
    if (!/^\d+\.\d+\.\d+$/.test(/** @type {string} */ (version))) problems.push(`${name} is not pinned to one version`);

if (/"resolved"/.test(read("package-lock.json"))) problems.push("package-lock.json names registry addresses");

for (const folder of ["lib", "native", "scripts", "test"])
  for (const file of readdirSync(join(packageRoot, folder), { recursive: true, encoding: "utf8" })) {
    if (!/\.(ts|mjs|cc|h|py)$/.test(file) || /^vendor|node_modules/.test(file)) continue;
    const lines = read(join(folder, file)).split("\n").length;
    if (lines > MOST_LINES) problems.push(`${folder}/${file} has ${lines} lines`);
  }

if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exitCode = 1;
}
