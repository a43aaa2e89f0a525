/** Finding llama.cpp builds on disk: the user's own, and the @node-llama-cpp packages beside us. */
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { cacheDirectory } from "../cache-directory.ts";
import { manifest } from "./addon.ts";
import type { LibrarySet } from "./contract.ts";

export type GpuKind = "cuda" | "metal" | "vulkan";
/** In order of preference. */
export const GPU_KINDS: readonly GpuKind[] = ["cuda", "metal", "vulkan"];

/** A folder that should hold llama.cpp's libraries, and why it is looked at. */
export interface RuntimeFolder {
  readonly directory: string;
  readonly origin: string;
}

interface PlatformPackages {
  /** The package with the CPU build (on macOS, Metal is part of it). */
  readonly plain: string;
  readonly gpu: Partial<Record<GpuKind, readonly string[]>>;
}

const PACKAGES: Readonly<Record<string, PlatformPackages>> = {
  "linux-x64": {
    plain: "linux-x64",
    gpu: { cuda: ["linux-x64-cuda", "linux-x64-cuda-ext"], vulkan: ["linux-x64-vulkan"] },
  },
  "linux-arm64": { plain: "linux-arm64", gpu: {} },
  "linux-arm": { plain: "linux-armv7l", gpu: {} },
  "darwin-arm64": { plain: "mac-arm64-metal", gpu: {} },
  "darwin-x64": { plain: "mac-x64", gpu: {} },
  "win32-x64": {
    plain: "win-x64",
    gpu: { cuda: ["win-x64-cuda", "win-x64-cuda-ext"], vulkan: ["win-x64-vulkan"] },
  },
  "win32-arm64": { plain: "win-arm64", gpu: {} },
};

const platform = PACKAGES[`${process.platform}-${process.arch}`];

/** The npm packages for this platform: the plain one, or those of a GPU kind; empty where there are none. */
export function packageNames(gpu?: GpuKind): readonly string[] {
  if (!platform) return [];
  const names = gpu ? (platform.gpu[gpu] ?? []) : [platform.plain];
  return names.map((name) => `@node-llama-cpp/${name}`);
}

/** The folder of a runtime built with `scorehead build-runtime`. */
export function builtRuntimeDirectory(kind: GpuKind | "cpu"): string {
  return cacheDirectory("runtime", manifest.llamaCpp.version, `${process.platform}-${process.arch}`, kind);
}

/** Folders to open the libraries from, best first. */
export function runtimeFolders(): RuntimeFolder[] {
  const folders: RuntimeFolder[] = [];
  const chosen = process.env.SCOREHEAD_RUNTIME;
  // Somebody who names a folder wants that one or an error.
  if (chosen) return [{ directory: chosen, origin: "SCOREHEAD_RUNTIME" }];
  for (const kind of [...GPU_KINDS, "cpu"] as const)
    folders.push({
      directory: builtRuntimeDirectory(kind),
      origin: `built with \`scorehead build-runtime\` (${kind})`,
    });
  for (const name of packageNames()) {
    const found = packageFolders(name);
    // Named even where it is not installed, so that the list of what was tried is whole.
    folders.push(...(found.length > 0 ? found : [{ directory: name, origin: "npm package" }]));
  }
  return folders;
}

/** Folders that may hold a GPU backend of one kind. */
export function gpuFolders(kind: GpuKind): RuntimeFolder[] {
  return packageNames(kind).flatMap(packageFolders);
}

/** `bins/<variant>` of an installed package, seen from here, from node-llama-cpp or from the app's entry script. */
function packageFolders(name: string): RuntimeFolder[] {
  const bases = [import.meta.url];
  if (process.argv[1]) bases.push(join(dirname(process.argv[1]), "noop.js"));
  const nested = resolveFrom(import.meta.url, "node-llama-cpp");
  if (nested) bases.push(nested);
  for (const base of bases) {
    const entry = resolveFrom(base, name);
    if (!entry) continue;
    // Native code inside an Electron archive is unpacked beside it.
    const root = dirname(dirname(entry)).replace(/app\.asar(?=[\\/])/, "app.asar.unpacked");
    const directories = listDirectory(join(root, "bins")).map((variant) => join(root, "bins", variant));
    return directories.map((directory) => ({ directory, origin: name }));
  }
  return [];
}

function resolveFrom(base: string, name: string): string | undefined {
  try {
    return createRequire(base).resolve(name);
  } catch {
    return undefined;
  }
}

function listDirectory(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

/** How shared libraries end here. */
export const LIBRARY_EXTENSION = process.platform === "win32" ? "dll" : process.platform === "darwin" ? "dylib" : "so";
const PREFIX = process.platform === "win32" ? "" : "lib";

/**
 * The libraries of a folder. File names carry the variant and the release (`libllama.vulkan.v0.5.0.so`), or neither
 * where the user built them.
 * @returns the set, or a string that says which library is missing
 */
export function libraryIn(directory: string): LibrarySet | string {
  const files = listDirectory(directory);
  if (files.length === 0) return "the folder is missing or empty";
  const find = (stem: string): string | undefined =>
    files.find((file) =>
      new RegExp(`^${PREFIX}${stem}(\\.(?:[a-z]+\\.)?v\\d[\\d.]*)?\\.${LIBRARY_EXTENSION}$`).test(file),
    );
  const base = find("ggml-base");
  const ggml = find("ggml");
  const llama = find("llama");
  if (!base || !ggml || !llama) {
    const missing = [!base && "ggml-base", !ggml && "ggml", !llama && "llama"].filter(Boolean).join(", ");
    return `it lacks the ${missing} library`;
  }
  return {
    base: join(directory, base),
    ggml: join(directory, ggml),
    llama: join(directory, llama),
    backendDirectory: directory,
    release: manifest.llamaCpp.release,
  };
}

/** The path of a GPU backend in a folder, e.g. `libggml-vulkan.so`. */
export function backendFile(directory: string, kind: GpuKind): string | undefined {
  const name = `${PREFIX}ggml-${kind}.${LIBRARY_EXTENSION}`;
  return listDirectory(directory).includes(name) ? join(directory, name) : undefined;
}
