/** Finding llama.cpp's libraries: made-up folders with the names that builds have. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { manifest } from "../../lib/runtime/addon.ts";
import {
  backendFile,
  builtRuntimeDirectory,
  GPU_KINDS,
  libraryIn,
  packageNames,
  runtimeFolders,
} from "../../lib/runtime/locate.ts";
import { temporaryDirectory } from "../gguf/support.ts";

const path = temporaryDirectory();

const [prefix, extension] = { win32: ["", "dll"], darwin: ["lib", "dylib"] }[process.platform as string] ?? [
  "lib",
  "so",
];
const fileName = (stem: string): string => `${prefix}${stem}.${extension}`;

function folder(...stems: readonly string[]): string {
  const directory = path("libraries");
  mkdirSync(directory, { recursive: true });
  for (const stem of stems) writeFileSync(join(directory, fileName(stem)), "");
  return directory;
}

describe("libraryIn", () => {
  it.each([
    ["of a plain package", "ggml-base", "ggml.v0.5.0", "llama.v0.5.0"],
    ["of a GPU package", "ggml-base", "ggml.vulkan.v0.5.0", "llama.vulkan.v0.5.0"],
    ["of a build from source", "ggml-base", "ggml", "llama"],
  ])("finds the libraries %s among others", (_, base, ggml, llama) => {
    const directory = folder(base, ggml, llama, "llama-common", "ggml-cpu-x64", "ggml-vulkan", "llama-server", "mtmd");
    expect(libraryIn(directory)).toEqual({
      base: join(directory, fileName(base)),
      ggml: join(directory, fileName(ggml)),
      llama: join(directory, fileName(llama)),
      backendDirectory: directory,
      release: manifest.llamaCpp.release,
    });
  });

  it.each([
    [["ggml-base", "ggml"], "it lacks the llama library"],
    [["llama", "llama-common"], "it lacks the ggml-base, ggml library"],
    [["other"], "it lacks the ggml-base, ggml, llama library"],
  ])("names what %j lacks", (stems, message) => {
    expect(libraryIn(folder(...stems))).toBe(message);
  });

  it("says where there is nothing", () => {
    expect(libraryIn(path("none"))).toBe("the folder is missing or empty");
    mkdirSync(path("empty"));
    expect(libraryIn(path("empty"))).toBe("the folder is missing or empty");
  });
});

it("backendFile finds a GPU backend by its kind", () => {
  const directory = folder("ggml-vulkan", "ggml-base");
  expect(backendFile(directory, "vulkan")).toBe(join(directory, fileName("ggml-vulkan")));
  expect(backendFile(directory, "cuda")).toBeUndefined();
  expect(backendFile(path("none"), "cuda")).toBeUndefined();
});

describe("runtimeFolders", () => {
  const { SCOREHEAD_CACHE: cache, SCOREHEAD_RUNTIME: chosen } = process.env;
  beforeEach(() => {
    process.env.SCOREHEAD_CACHE = path("cache");
    delete process.env.SCOREHEAD_RUNTIME;
  });
  afterEach(() => {
    Object.assign(process.env, { SCOREHEAD_CACHE: cache ?? "", SCOREHEAD_RUNTIME: chosen ?? "" });
  });

  it("begins with what the user built, GPUs first, and ends with the package", () => {
    const folders = runtimeFolders();
    const built = [...GPU_KINDS, "cpu"] as const;
    expect(folders.slice(0, 4).map(({ directory }) => directory)).toEqual(built.map(builtRuntimeDirectory));
    expect(folders[0]?.directory.startsWith(path("cache"))).toBe(true);
    expect(dirname(folders[0]?.directory ?? "")).toContain(manifest.llamaCpp.version);
    const packaged = folders.slice(4);
    expect(packaged.map(({ origin }) => origin)).toEqual(packaged.map(() => packageNames()[0]));
    expect(packaged.map(({ directory }) => typeof libraryIn(directory))).toContain("object");
  });

  it("is SCOREHEAD_RUNTIME alone where that is set", () => {
    process.env.SCOREHEAD_RUNTIME = path("mine");
    expect(runtimeFolders()).toEqual([{ directory: path("mine"), origin: "SCOREHEAD_RUNTIME" }]);
  });
});
