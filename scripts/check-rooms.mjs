// Checks that the imports under lib/ follow the table of rooms: each room imports only the rooms below it.
// Type-only imports, and the leaf files types.ts and contract.ts, are free: they bring in no code of another room.
// @ts-check
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { packageRoot } from "./llama-source.mjs";

const ALL = null;
/** @type {Readonly<Record<string, readonly string[] | null>>} */
const MAY_IMPORT = {
  prompt: [],
  tokens: [],
  batch: [],
  head: [],
  architectures: [],
  gguf: ["architectures"],
  checkpoint: [],
  runtime: [],
  convert: ["architectures", "checkpoint", "gguf", "head", "prompt", "tokens", "runtime"],
  attach: ["checkpoint", "gguf", "head", "prompt", "tokens", "convert", "runtime"],
  hub: ["runtime"],
  source: ["hub", "convert", "attach", "gguf"],
  model: ["prompt", "tokens", "batch", "head", "gguf", "checkpoint", "convert", "attach", "runtime", "source"],
  cli: ["index.ts"],
  "index.ts": ALL,
};
/** Leaves beside the rooms that every room but the CLI may use. */
const LEAVES = [
  "errors.ts",
  "abort.ts",
  "cache-directory.ts",
  "check-options.ts",
  "checkpoint-files.ts",
  "problems.ts",
  "replace-file.ts",
];
const LEAF_FILES = /(^|\/)(types|contract)\.ts$/;

const lib = join(packageRoot, "lib");
const broken = [];
for (const file of readdirSync(lib, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"))) {
  const room = roomOf(file);
  if (LEAVES.includes(room)) continue;
  const allowed = MAY_IMPORT[room];
  if (allowed === undefined) broken.push(`lib/${file}: there is no room ${room} in the table`);
  for (const target of importsOf(file)) {
    const other = roomOf(target);
    const free = other === room || (room !== "cli" && (LEAVES.includes(other) || LEAF_FILES.test(target)));
    if (!free && allowed && !allowed.includes(other))
      broken.push(`lib/${file} imports ${target}: ${room} may not import ${other}`);
  }
}
if (broken.length > 0) {
  console.error(broken.join("\n"));
  process.exitCode = 1;
}

/** @param {string} file relative to lib */
function roomOf(file) {
  return file.split(/[\\/]/)[0] ?? file;
}

/** The files of lib that a file imports for more than types. @param {string} file */
function importsOf(file) {
  const text = readFileSync(join(lib, file), "utf8");
  const found = [];
  for (const [, clause, from] of text.matchAll(/^(?:import|export)\s+([^"';]*?)\s*from\s+"(\.[^"]+)"/gms)) {
    const names = clause
      ?.match(/^\{([^}]*)\}$/)?.[1]
      ?.split(",")
      .map((name) => name.trim())
      .filter(Boolean);
    const typesOnly = clause?.startsWith("type ") || names?.every((name) => name.startsWith("type "));
    if (!typesOnly) found.push(relative(lib, resolve(lib, dirname(file), from ?? "")).replaceAll("\\", "/"));
  }
  return found;
}
