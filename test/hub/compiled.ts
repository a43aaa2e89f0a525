/** The library compiled for processes of its own: one that starts from the sources takes three times as long. */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import ts from "typescript";
import { packageRoot } from "../../lib/runtime/addon.ts";

export interface CompiledLibrary {
  /** Laid out like an installed package, inside the clone so that its dependencies are found. */
  readonly folder: string;
  /** The compiled `lib`, as an address to import from. */
  readonly address: string;
}

const COMPILER_OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  verbatimModuleSyntax: true,
  rewriteRelativeImportExtensions: true,
};

export function compileLibrary(): CompiledLibrary {
  const parent = join(packageRoot, ".work");
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, "compiled-"));
  const sources = join(packageRoot, "lib");
  for (const name of readdirSync(sources, { recursive: true, encoding: "utf8" }).filter((file) => /\.ts$/.test(file))) {
    const target = join(folder, "dist", name.replace(/\.ts$/, ".js"));
    mkdirSync(dirname(target), { recursive: true });
    const source = readFileSync(join(sources, name), "utf8");
    writeFileSync(target, ts.transpileModule(source, { compilerOptions: COMPILER_OPTIONS }).outputText);
  }
  copyFileSync(join(packageRoot, "package.json"), join(folder, "package.json"));
  symlinkSync(join(packageRoot, "build"), join(folder, "build"), "junction");
  return { folder, address: pathToFileURL(join(folder, "dist")).href };
}
