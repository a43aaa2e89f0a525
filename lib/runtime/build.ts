/**
 * `scorehead build-runtime`: llama.cpp's libraries, built from the sources inside the pinned npm package into the user's
 * cache, where the loader looks first. Nothing but npm packages is downloaded.
 */
import { copyFile, mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, dirname, extname, join } from "node:path";
import { cacheDirectory } from "../cache-directory.ts";
import { abortSignal, type Check, checkOptions, ofType, oneOf } from "../check-options.ts";
import { ioError, isScoreheadError, ScoreheadError } from "../errors.ts";
import { manifest, packageRoot } from "./addon.ts";
import { builtRuntimeDirectory, GPU_KINDS, type GpuKind, libraryIn } from "./locate.ts";
import { type Requirement, requireTools, runTool, type ToolContext } from "./tools.ts";

export interface BuildRuntimeOptions {
  /** The GPU kind to build a backend for. Default `none`: the CPU alone. */
  readonly gpu?: GpuKind | "none" | undefined;
  /** For this machine's CPU only: builds faster, and the result may not run elsewhere. Default: every CPU generation. */
  readonly native?: boolean | undefined;
  /** Receives each step and the tools' output, line by line. */
  readonly onLine?: ((line: string) => void) | undefined;
  /** Stops the running tool and removes what was made so far. */
  readonly signal?: AbortSignal | undefined;
}

export interface BuiltRuntime {
  /** The folder that now holds the libraries. */
  readonly directory: string;
  /** llama.cpp's version, as the libraries report it. */
  readonly version: string;
  readonly files: readonly string[];
}

/** The words for `gpu`. */
export const BUILD_KINDS: readonly (GpuKind | "none")[] = [...GPU_KINDS, "none"];

const CHECKS: Readonly<Record<keyof BuildRuntimeOptions, Check>> = {
  gpu: oneOf(BUILD_KINDS),
  native: ofType("boolean"),
  onLine: ofType("function"),
  signal: abortSignal,
};

const CMAKE_JS_VERSION = "8.0.0";

/**
 * Builds llama.cpp's libraries and puts them where the loader finds them first. Takes minutes, with CUDA an hour.
 *
 * A runtime that was built before is replaced once the new one has been opened by a process of its own.
 *
 * @throws ERR_ARGUMENT; ERR_BUILD naming a missing program and its remedy, a tarball with another hash than the pinned
 *   one, or the step that failed; ERR_IO; ERR_ABORTED
 */
export async function buildRuntime(options?: BuildRuntimeOptions): Promise<BuiltRuntime> {
  const {
    gpu = "none",
    native = false,
    onLine = () => {},
    signal,
  } = checkOptions<BuildRuntimeOptions>(options, CHECKS);
  checkPlatform(gpu);
  await requireTools(requirements(gpu));
  const context: ToolContext = { onLine, signal };
  const parent = cacheDirectory("build");
  await mkdir(parent, { recursive: true }).catch((error: unknown) => {
    throw ioError("create", parent, error);
  });
  const work = await mkdtemp(join(parent, "work-"));
  try {
    const project = await fetchSources(work, context);
    const cmakeJs = await installCmakeJs(work, context);
    const output = join(work, "out");
    await compile(cmakeJs, project, output, { gpu, native }, context);
    return await install(output, gpu === "none" ? "cpu" : gpu, work, context);
  } catch (error) {
    throw isScoreheadError(error) ? error : ioError("build in", work, error);
  } finally {
    // Retried, because the compilers of an aborted build may still be writing.
    await rm(work, { recursive: true, force: true, maxRetries: 5 });
  }
}

function checkPlatform(gpu: GpuKind | "none"): void {
  const isMac = process.platform === "darwin";
  if ((gpu === "metal" && !isMac) || (gpu === "cuda" && isMac))
    throw new ScoreheadError("ERR_ARGUMENT", `There is no ${gpu} on ${isMac ? "macOS" : "this platform"}.`);
}

function requirements(gpu: GpuKind | "none"): Requirement[] {
  const needed: Requirement[] = [
    { names: ["npm"], purpose: "to download the sources", remedy: "it comes with Node.js, https://nodejs.org" },
    { names: ["tar"], purpose: "to unpack them", remedy: "install tar; Windows 10 and later have it" },
    { names: ["git"], purpose: "to unpack the sources' git bundle", remedy: "install git, https://git-scm.com" },
    {
      names: ["cmake"],
      purpose: "to build",
      remedy: "install CMake 3.19 or later, https://cmake.org or your package manager",
    },
  ];
  if (process.platform !== "win32")
    needed.push(
      {
        names: ["g++", "clang++"],
        purpose: "to compile",
        remedy:
          process.platform === "darwin"
            ? "run `xcode-select --install`"
            : "install a C++ compiler, e.g. `apt install g++`",
      },
      { names: ["make", "ninja"], purpose: "to build", remedy: "install make, e.g. `apt install make`" },
    );
  if (gpu === "vulkan")
    needed.push({
      names: ["glslc"],
      purpose: "to compile Vulkan shaders",
      remedy: "install the Vulkan SDK, https://vulkan.lunarg.com",
    });
  // CUDACXX is CMake's own variable for a compiler that is not on the PATH.
  if (gpu === "cuda" && !process.env.CUDACXX)
    needed.push({
      names: ["nvcc"],
      purpose: "to compile CUDA code",
      remedy: "install the CUDA toolkit, https://developer.nvidia.com/cuda-toolkit, or name its nvcc in CUDACXX",
    });
  return needed;
}

/** Checks the pinned release out of its npm package, hash and all, and makes a CMake project around it. */
async function fetchSources(work: string, context: ToolContext): Promise<string> {
  const { package: name, version } = manifest.llamaCpp;
  context.onLine(`Downloading ${name}@${version}, which contains llama.cpp's sources`);
  const project = join(work, "project");
  const sources = join(project, "llama.cpp");
  await mkdir(sources, { recursive: true });
  // A script of its own, because the install step needs the same before there is any JavaScript in dist/.
  await runNode([join(packageRoot, "scripts", "llama-source.mjs"), sources], work, {}, context);
  await writeFile(join(project, "CMakeLists.txt"), CMAKE_PROJECT);
  // cmake-js downloads Node's headers unless the project says that it is built against Node-API, whose headers
  // cmake-js carries. The libraries use neither, so that the claim costs nothing and saves the download.
  await writeFile(join(project, "package.json"), JSON.stringify({ private: true, binary: { napi_versions: [8] } }));
  return project;
}

/** Plain file names without versions, which the loader looks for, and libraries that find each other beside themselves. */
const CMAKE_PROJECT = `cmake_minimum_required(VERSION 3.19)
project(scorehead-runtime C CXX)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_PLATFORM_NO_VERSIONED_SONAME ON)
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
if (APPLE)
  set(CMAKE_INSTALL_RPATH "@loader_path")
else()
  set(CMAKE_INSTALL_RPATH "$ORIGIN")
endif()
add_subdirectory(llama.cpp)
`;

async function installCmakeJs(work: string, context: ToolContext): Promise<string> {
  context.onLine(`Installing cmake-js ${CMAKE_JS_VERSION}`);
  const tools = join(work, "tools");
  await mkdir(tools);
  await writeFile(join(tools, "package.json"), JSON.stringify({ private: true }));
  const args = [
    "install",
    "--loglevel=error",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    `cmake-js@${CMAKE_JS_VERSION}`,
  ];
  await runTool("npm", args, { ...context, cwd: tools });
  return join(tools, "node_modules", "cmake-js", "bin", "cmake-js");
}

async function compile(
  cmakeJs: string,
  project: string,
  output: string,
  { gpu, native }: { readonly gpu: GpuKind | "none"; readonly native: boolean },
  context: ToolContext,
): Promise<void> {
  // llama.cpp knows the CPU generations of these two; and its CPU backend is either native or loaded at run time.
  const variants = !native && (process.arch === "x64" || process.arch === "arm64");
  const onOff = (on: boolean): string => (on ? "ON" : "OFF");
  const definitions: Record<string, string> = {
    BUILD_SHARED_LIBS: "ON",
    GGML_BACKEND_DL: onOff(variants),
    GGML_CPU_ALL_VARIANTS: onOff(variants),
    GGML_NATIVE: onOff(!variants),
    GGML_CUDA: onOff(gpu === "cuda"),
    GGML_VULKAN: onOff(gpu === "vulkan"),
    GGML_METAL: onOff(gpu === "metal"),
    LLAMA_BUILD_COMMON: "OFF",
    LLAMA_BUILD_TESTS: "OFF",
    LLAMA_BUILD_EXAMPLES: "OFF",
    LLAMA_BUILD_TOOLS: "OFF",
    LLAMA_BUILD_SERVER: "OFF",
    // cmake-js would link the static runtime into each DLL, and memory crosses from one to the other.
    ...(process.platform === "win32" && { CMAKE_MSVC_RUNTIME_LIBRARY: "MultiThreadedDLL" }),
  };
  const args = [
    cmakeJs,
    "build",
    ...["--directory", project, "--out", output],
    ...["--config", "Release", "--parallel", String(availableParallelism())],
    ...Object.entries(definitions).map(([key, value]) => `--CD${key}=${value}`),
  ];
  context.onLine(
    `Compiling llama.cpp (${gpu === "none" ? "CPU" : gpu}${variants ? ", every CPU generation" : ", this CPU"})`,
  );
  await runNode(args, project, {}, context);
}

/** llama.cpp's own libraries; backends are modules, which end in .so on macOS too. */
const LIBRARY = /^(?:lib)?(?:llama|ggml(?:-[\w-]+)?)\.(?:so|dylib|dll)$/;

/** Moves the libraries to their place, after a process has opened them. */
async function install(
  output: string,
  kind: GpuKind | "cpu",
  work: string,
  context: ToolContext,
): Promise<BuiltRuntime> {
  const directory = builtRuntimeDirectory(kind);
  const staged = join(work, "staged");
  await mkdir(staged);
  for (const path of await filesUnder(output))
    if (LIBRARY.test(basename(path))) await copyFile(path, join(staged, basename(path)));
  const found = libraryIn(staged);
  if (typeof found === "string") throw new ScoreheadError("ERR_BUILD", `The build left no usable libraries: ${found}.`);
  context.onLine("Opening the libraries");
  const version = await openElsewhere(staged, context);
  await mkdir(dirname(directory), { recursive: true });
  await rm(directory, { recursive: true, force: true }).catch((error: unknown) => {
    throw new ScoreheadError(
      "ERR_BUILD",
      `The runtime at ${directory} cannot be replaced: ${(error as Error).message}. End the processes that use it.`,
      error,
    );
  });
  await rename(staged, directory);
  return { directory, version, files: (await readdir(directory)).sort() };
}

/** Every file; a link counts as what it leads to, so that the copy stands alone. */
async function filesUnder(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true });
  const paths = entries.map((entry) => join(directory, entry));
  const stats = await Promise.all(paths.map((path) => stat(path).catch(() => null)));
  return paths.filter((_, i) => stats[i]?.isFile());
}

/** In a process of its own, because libraries stay open until their process ends. Returns their version. */
async function openElsewhere(directory: string, context: ToolContext): Promise<string> {
  // Our own extension: .ts in a clone, .js in the package.
  const module = new URL(`./open${extname(import.meta.url)}`, import.meta.url).href;
  const script =
    `import { openRuntime } from ${JSON.stringify(module)};\n` +
    `const { version, addon } = openRuntime();\n` +
    `if (addon.devices().length === 0) throw new Error("they offer no device, not even the CPU");\n` +
    `console.log(version);`;
  // A clone runs the TypeScript as it is, with a loader among the arguments.
  const loader = module.endsWith(".ts") ? process.execArgv : [];
  const args = [...loader, "--input-type=module", "--eval", script];
  const lines = await runNode(args, directory, { SCOREHEAD_RUNTIME: directory }, context);
  return lines.at(-1) ?? "";
}

function runNode(
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>>,
  context: ToolContext,
): Promise<string[]> {
  // In an Electron app the executable is Electron's, which this variable makes a Node.
  return runTool(process.execPath, args, { ...context, cwd, env: { ...env, ELECTRON_RUN_AS_NODE: "1" } });
}
