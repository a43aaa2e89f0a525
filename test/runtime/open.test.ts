/** Opening the libraries: what is tried, what is preferred, and what the error says where nothing works. */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import type { Accelerator } from "../../lib/runtime/accelerator.ts";
import { addonPath, manifest } from "../../lib/runtime/addon.ts";
import type { LibrarySet } from "../../lib/runtime/contract.ts";
import {
  builtRuntimeDirectory,
  LIBRARY_EXTENSION,
  libraryIn,
  packageNames,
  runtimeFolders,
} from "../../lib/runtime/locate.ts";
import { type Attempt, selectDevices } from "../../lib/runtime/open.ts";
import { temporaryDirectory } from "../gguf/support.ts";

const path = temporaryDirectory();

interface Outcome {
  readonly name?: string;
  readonly code?: string;
  readonly message?: string;
  readonly version?: string;
  readonly directory?: string;
  readonly origin?: string;
  readonly accelerator?: Accelerator;
}
interface Report {
  readonly first: Outcome;
  readonly second: Outcome;
  readonly attempts: readonly Attempt[];
}

const SCRIPT = fileURLToPath(new URL("open-runtime.ts", import.meta.url));

function run(env: NodeJS.ProcessEnv, ...args: readonly string[]): Report {
  const clean = { ...process.env, SCOREHEAD_CACHE: path("cache"), SCOREHEAD_RUNTIME: "", ...env };
  const options = { env: clean, encoding: "utf8" } as const;
  const { stdout, stderr, signal } = spawnSync(process.execPath, ["--import", "tsx", SCRIPT, ...args], options);
  if (signal !== null || stdout === "") throw new Error(`The child ended by ${signal}: ${stderr}`);
  return JSON.parse(stdout) as Report;
}

/** The package's libraries. */
let real: LibrarySet;
beforeAll(() => {
  const found = runtimeFolders()
    .map(({ directory }) => libraryIn(directory))
    .find((set) => typeof set === "object");
  if (!found) throw new Error("The tests need the @node-llama-cpp package of this platform.");
  real = found;
});

/** A folder with copies of the real libraries; those in `broken` are text instead. */
function copyLibraries(directory: string, broken: readonly (keyof LibrarySet)[] = []): void {
  mkdirSync(directory, { recursive: true });
  const spoilt = broken.map((name) => basename(real[name]));
  for (const name of readdirSync(real.backendDirectory).filter((file) => /\.(so|dll|dylib|node)$/.test(file)))
    if (spoilt.includes(name)) writeFileSync(join(directory, name), "not a library");
    else copyFileSync(join(real.backendDirectory, name), join(directory, name));
}

describe("opens", () => {
  it("the package's libraries, once", () => {
    const { first, second } = run({});
    expect(first).toMatchObject({ directory: real.backendDirectory, origin: packageNames()[0] });
    expect(first.version?.startsWith(manifest.llamaCpp.release)).toBe(true);
    expect(second).toEqual(first);
  });

  it("what the user built instead, where there is such a build", () => {
    process.env.SCOREHEAD_CACHE = path("cache");
    copyLibraries(builtRuntimeDirectory("cpu"));
    const { first } = run({});
    expect(first).toMatchObject({ directory: builtRuntimeDirectory("cpu"), origin: expect.stringContaining("built") });
  });

  it("the package's libraries where the user's build is no library, and says so", () => {
    process.env.SCOREHEAD_CACHE = path("cache");
    copyLibraries(builtRuntimeDirectory("cpu"), ["base", "ggml", "llama"]);
    const { first, attempts } = run({});
    expect(first).toMatchObject({ directory: real.backendDirectory });
    const tried = attempts.find(({ path }) => path === builtRuntimeDirectory("cpu"));
    expect(tried?.outcome).toContain("Cannot open");
  });
});

describe("where nothing works, the error names", () => {
  it("each path, why it failed and the remedy", () => {
    mkdirSync(path("empty"));
    const { first, second } = run({ SCOREHEAD_RUNTIME: path("empty") });
    expect(first).toMatchObject({ name: "ScoreheadError", code: "ERR_RUNTIME" });
    for (const part of [path("empty"), "SCOREHEAD_RUNTIME", "missing or empty", "npm install", "build-runtime"])
      expect(first.message).toContain(part);
    // The second attempt does not add to the first one's list.
    expect(second).toEqual(first);
  });

  it("libraries that cannot be opened, with the system's reason", () => {
    copyLibraries(path("broken"), ["base", "ggml", "llama"]);
    const { first } = run({ SCOREHEAD_RUNTIME: path("broken") });
    expect(first).toMatchObject({ code: "ERR_RUNTIME" });
    expect(first.message).toContain(join(path("broken"), basename(real.base)));
  });

  it("the first failure where its half-opened libraries block the next folder's", () => {
    process.env.SCOREHEAD_CACHE = path("cache");
    copyLibraries(builtRuntimeDirectory("cpu"), ["llama"]);
    const { first } = run({});
    expect(first).toMatchObject({ code: "ERR_RUNTIME" });
    for (const part of [builtRuntimeDirectory("cpu"), "Cannot open", real.backendDirectory])
      expect(first.message).toContain(part);
  });

  it("a copy that something else has loaded, and ours", () => {
    copyLibraries(path("foreign"));
    // node-llama-cpp's own addon, which is linked against the libraries beside it.
    const addon = join(path("foreign"), "llama-addon.node");
    const foreign = join(path("foreign"), basename(real.base));
    const { first } = run({}, "--load", addon);
    expect(first).toMatchObject({ name: "ScoreheadError", code: "ERR_RUNTIME_CONFLICT" });
    for (const part of [foreign, real.base, "SCOREHEAD_RUNTIME"]) expect(first.message).toContain(part);
    // The remedy that it names works.
    expect(run({ SCOREHEAD_RUNTIME: path("foreign") }, "--load", addon).first).toMatchObject({
      directory: path("foreign"),
    });
  });

  it("the version found and the one needed", () => {
    const { first } = run({}, "--release", "9.9.9");
    expect(first).toMatchObject({ code: "ERR_RUNTIME_VERSION" });
    for (const part of [real.llama, manifest.llamaCpp.release, "9.9.9", "Install"])
      expect(first.message).toContain(part);
  });
});

describe("devices", () => {
  it("cpu needs none", () => {
    expect(selectDevices("cpu")).toEqual({ kind: "cpu", devices: [] });
  });

  it.each(["cuda", "vulkan"] as const)("a missing %s is an error with its remedy", (kind) => {
    expect(() => selectDevices(kind)).toThrow(
      expect.objectContaining({
        code: "ERR_DEVICE",
        message: expect.stringMatching(new RegExp(`no ${kind} device[^]*--gpu ${kind}[^]*device: "cpu"`)),
      }),
    );
  });
});

describe.runIf(`${process.platform}-${process.arch}` === "linux-x64")("the accelerator", () => {
  const NAME = `scorehead-accel.${LIBRARY_EXTENSION}`;
  /** Opens the runtime from a package whose prebuild is the addon and, as `write` puts it there, the accelerator. */
  const inPackage = (name: string, write: (library: string) => void): [found: Accelerator, library: string] => {
    const root = path(name);
    const prebuild = join(root, "prebuilds", `${process.platform}-${process.arch}`);
    mkdirSync(prebuild, { recursive: true });
    copyFileSync(addonPath(), join(prebuild, "scorehead.node"));
    write(join(prebuild, NAME));
    const { accelerator } = run({ SCOREHEAD_PREBUILD: root }).first;
    return [accelerator as Accelerator, join(prebuild, NAME)];
  };
  const compiled = join(dirname(addonPath()), NAME);

  it("is taken from beside the addon", () => {
    const [found] = inPackage("whole", (library) => copyFileSync(compiled, library));
    expect(found).toEqual(run({}).first.accelerator);
    expect(found.reason).not.toContain(NAME);
  });

  it("may be missing; the reason names its file", () => {
    const [found, library] = inPackage("without", () => undefined);
    expect(found).toEqual({ kernels: null, reason: `there is no ${library}; install scorehead again` });
  });

  it("may be broken; the reason is the loader's", () => {
    const [found, library] = inPackage("broken", (file) => writeFileSync(file, "not a library"));
    expect(found).toEqual({ kernels: null, reason: expect.stringContaining(library) });
  });
});
