/** Opening the runtime: the libraries once for the process, GPU backends as they are asked for, and the devices. */
import { readFileSync } from "node:fs";
import { type ErrorCode, isScoreheadError, ScoreheadError } from "../errors.ts";
import { type Accelerator, loadAccelerator } from "./accelerator.ts";
import { addon, manifest } from "./addon.ts";
import type { LibrarySet, NativeAddon, NativeDevice } from "./contract.ts";
import {
  backendFile,
  GPU_KINDS,
  type GpuKind,
  gpuFolders,
  libraryIn,
  packageNames,
  type RuntimeFolder,
  runtimeFolders,
} from "./locate.ts";

/** The word for `device`. `auto`: the first GPU kind that opens and has a device, else the CPU. */
export type DeviceChoice = "auto" | "cpu" | GpuKind;
export const DEVICE_CHOICES: readonly DeviceChoice[] = ["auto", "cpu", "cuda", "vulkan", "metal"];

/** A place that was tried, and what came of it. */
export interface Attempt {
  readonly path: string;
  readonly origin: string;
  /** "opened", or why not. */
  readonly outcome: string;
}

export interface Runtime {
  readonly addon: NativeAddon;
  readonly version: string;
  readonly directory: string;
  readonly origin: string;
  readonly accelerator: Accelerator;
}

/** What a model runs on. */
export interface DeviceSelection {
  readonly kind: "cpu" | GpuKind;
  /** Empty: the CPU alone. */
  readonly devices: readonly NativeDevice[];
}

const BACKEND_NAMES: Readonly<Record<GpuKind, RegExp>> = { cuda: /^cuda/i, vulkan: /^vulkan/i, metal: /^(metal|mtl)/i };

let runtime: Runtime | undefined;
const attempts: Attempt[] = [];

/** Everything that was tried in this process so far. */
export function runtimeAttempts(): readonly Attempt[] {
  return attempts;
}

/**
 * Opens the libraries, or returns what is open.
 * @throws ERR_RUNTIME with each path tried, why it failed and the remedy; ERR_RUNTIME_VERSION; ERR_RUNTIME_CONFLICT
 */
export function openRuntime(): Runtime {
  if (runtime) return runtime;
  const native = addon();
  attempts.length = 0;
  let failure: ScoreheadError | undefined;
  for (const folder of runtimeFolders()) {
    const libraries = libraryIn(folder.directory);
    if (typeof libraries === "string") {
      attempts.push({ path: folder.directory, origin: folder.origin, outcome: libraries });
      continue;
    }
    try {
      const version = openLibraries(native, libraries);
      attempts.push({ path: folder.directory, origin: folder.origin, outcome: "opened" });
      const accelerator = loadAccelerator(native);
      runtime = { addon: native, version, directory: folder.directory, origin: folder.origin, accelerator };
      return runtime;
    } catch (error) {
      // Libraries that were opened and refused stay mapped and conflict with the next folder's; they are the reason then.
      if (!failure && isScoreheadError(error, "ERR_RUNTIME_CONFLICT")) throw error;
      if (isScoreheadError(error)) failure ??= error;
      attempts.push({ path: folder.directory, origin: folder.origin, outcome: (error as Error).message });
    }
  }
  const tried = attempts.map(({ path, origin, outcome }) => `\n  ${path} (${origin}): ${outcome}`).join("");
  throw new ScoreheadError(
    failure?.code ?? "ERR_RUNTIME",
    `No usable llama.cpp libraries. Tried:${tried || " nothing"}\n${remedy()}`,
  );
}

function remedy(): string {
  const [plain] = packageNames();
  const install = plain ? `Install them with \`npm install ${plain}@${manifest.llamaCpp.version}\`, or build` : "Build";
  return `${install} them with \`scorehead build-runtime\`.`;
}

function openLibraries(native: NativeAddon, libraries: LibrarySet): string {
  try {
    return native.openLibraries(libraries);
  } catch (error) {
    throw nativeError(error);
  }
}

/** An error of the addon as a {@link ScoreheadError}. */
export function nativeError(error: unknown): Error {
  const { code, message } = error as { code?: ErrorCode; message: string };
  if (error instanceof ScoreheadError || code === undefined) return error as Error;
  return new ScoreheadError(code, message, error);
}

/**
 * Finds the devices that `choice` means, loading GPU backends as needed.
 * @throws ERR_DEVICE where a GPU was asked for by name and there is none
 */
export function selectDevices(choice: DeviceChoice): DeviceSelection {
  const { addon: native } = openRuntime();
  if (choice === "cpu") return { kind: "cpu", devices: [] };
  for (const kind of choice === "auto" ? GPU_KINDS : [choice]) {
    const devices = gpuDevices(native, kind);
    if (devices.length > 0) return { kind, devices };
  }
  if (choice === "auto") return { kind: "cpu", devices: [] };
  const tried = attempts.filter(({ origin }) => origin.includes(choice));
  const reasons = tried.map(({ path, outcome }) => `\n  ${path}: ${outcome}`).join("");
  const names = packageNames(choice).map((name) => `${name}@${manifest.llamaCpp.version}`);
  const install = names[0]
    ? `Install its libraries with \`npm install ${names[0]}\`, or build them`
    : "Build its libraries";
  throw new ScoreheadError(
    "ERR_DEVICE",
    `There is no ${choice} device here.${reasons}\n${install} with \`scorehead build-runtime --gpu ${choice}\`; ` +
      'check that the GPU\'s driver is installed. `device: "cpu"` needs none.',
  );
}

function gpuDevices(native: NativeAddon, kind: GpuKind): NativeDevice[] {
  const present = (): NativeDevice[] =>
    native.devices().filter(({ backend, kind: type }) => type !== "cpu" && BACKEND_NAMES[kind].test(backend));
  if (present().length > 0) return present();
  for (const folder of gpuFolders(kind)) {
    const outcome = attachBackend(native, folder, kind);
    if (!attempts.some(({ path }) => path === folder.directory))
      attempts.push({ path: folder.directory, origin: folder.origin, outcome });
    if (outcome === "opened") break;
  }
  return present();
}

/**
 * Loads a GPU backend into the open libraries. Its own copies of llama.cpp and ggml stay unopened, so that kinds can
 * be tried one after the other: two sets of libraries in one process break each other. That is sound only where both
 * were built from the same ggml-base, byte for byte.
 */
function attachBackend(native: NativeAddon, folder: RuntimeFolder, kind: GpuKind): string {
  const file = backendFile(folder.directory, kind);
  if (!file) return `it holds no ${kind} backend`;
  const theirs = libraryIn(folder.directory);
  const ours = libraryIn((runtime as Runtime).directory);
  if (typeof theirs === "string" || typeof ours === "string") return "its libraries are incomplete";
  if (!readFileSync(theirs.base).equals(readFileSync(ours.base)))
    return `its ggml-base differs from the one in use (${ours.base}); install the same version of both`;
  const { devices, reason } = native.loadBackend(file);
  return devices > 0 ? "opened" : reason;
}
