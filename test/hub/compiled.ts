/** The library compiled for processes of its own: one that starts from the sources takes three times as long. */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { packageRoot } from "../../lib/runtime/addon.ts";

export interface CompiledLibrary {
  /** Laid out like an installed package, inside the clone so that its dependencies are found. */
  readonly folder: string;
  /** The compiled `lib`, as an address to import from. */
  readonly address: string;
}

export function compileLibrary(): CompiledLibrary {
  const parent = join(packageRoot, ".work");
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, "compiled-"));
  const compiler = join(packageRoot, "node_modules", "typescript", "bin", "tsc");
  const args = ["-p", join(packageRoot, "tsconfig.build.json"), "--noCheck", "--outDir", join(folder, "dist")];
  const { status, stdout } = spawnSync(process.execPath, [compiler, ...args], { encoding: "utf8" });
  if (status !== 0) throw new Error(`The library does not compile: ${stdout}`);
  copyFileSync(join(packageRoot, "package.json"), join(folder, "package.json"));
  symlinkSync(join(packageRoot, "build"), join(folder, "build"), "junction");
  return { folder, address: pathToFileURL(join(folder, "dist")).href };
}
