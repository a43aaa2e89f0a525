/** What this machine offers and what scorehead would use: libraries, devices, memory, versions. */
import { stat } from "node:fs/promises";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { basename } from "node:path";
import { cacheDirectory } from "../cache-directory.ts";
import { checkPath } from "../check-options.ts";
import { planCheckpoint } from "../convert/run.ts";
import { ioError, isScoreheadError, type ScoreheadError } from "../errors.ts";
import { type GgufContents, readBackbone } from "../gguf/backbone.ts";
import { readGguf } from "../gguf/read.ts";
import { headFromMetadata } from "../head/metadata.ts";
import { attempt, note, type Problem, plainProblems } from "../problems.ts";
import { addon, manifest } from "../runtime/addon.ts";
import type { NativeDevice } from "../runtime/contract.ts";
import { GPU_KINDS, gpuFolders, packageNames } from "../runtime/locate.ts";
import {
  type Attempt,
  type DeviceSelection,
  openRuntime,
  type Runtime,
  runtimeAttempts,
  selectDevices,
} from "../runtime/open.ts";
import { refuseTokenizer } from "../source/resolve.ts";
import { plannedContents } from "./inspect.ts";
import { checkDoctorOptions, type DoctorOptions } from "./options.ts";
import { chooseSizes, type Sizing } from "./sizing.ts";

export interface DoctorReport {
  /** Empty: scoring works here, and with the model, if one was named. */
  readonly problems: readonly Problem[];
  readonly versions: {
    readonly scorehead: string;
    readonly node: string;
    /** What the open libraries report; null where none could be opened. */
    readonly llamaCpp: string | null;
    /** The release that the addon was built for. */
    readonly llamaCppExpected: string;
  };
  readonly platform: string;
  readonly addonLoaded: boolean;
  /** The libraries in use. */
  readonly runtime: { readonly directory: string; readonly origin: string } | null;
  /** Every folder that was tried, with what came of it, and the GPU packages that are not there. */
  readonly attempts: readonly Attempt[];
  readonly devices: readonly NativeDevice[];
  /** What the `device` that was asked for, by default "auto", means here; null where there is none. */
  readonly device: string | null;
  readonly cpu: {
    readonly model: string;
    /** Instruction sets that llama.cpp uses. */
    readonly features: readonly string[];
    /** The file name of the CPU backend that it chose; null where it is not to be told. */
    readonly library: string | null;
    /** Computing threads by default. */
    readonly threads: number;
  };
  readonly memory: { readonly freeBytes: number; readonly totalBytes: number };
  readonly cacheDirectory: string;
  readonly model: DoctorModel | null;
}

/** What loading a model would use, with the reasons. */
export interface DoctorModel extends Sizing {
  readonly path: string;
  readonly architecture: string;
  readonly profile: string;
}

/**
 * Looks at this machine, and at what a model would use on it. Opens the libraries, but loads no model.
 *
 * Whatever does not work is part of the report: a missing runtime does not throw.
 *
 * @param path a .gguf or a checkpoint's directory (then as converted to its own type); default: none
 * @param options what the model would be loaded with
 * @throws ERR_ARGUMENT
 */
export async function doctor(path?: string, options?: DoctorOptions): Promise<DoctorReport> {
  if (path !== undefined) checkPath(path, "The model");
  const checked = checkDoctorOptions(options);
  const problems: ScoreheadError[] = [];
  const native = attempt(problems, addon);
  const runtime = native && attempt(problems, openRuntime);
  const selection = runtime && attempt(problems, () => selectDevices(checked.device ?? "auto"));
  // Without libraries the CPU is what can be told of; without the device that was asked for, nothing is.
  const device = runtime ? selection : CPU;
  const model =
    path === undefined || device === null
      ? null
      : await modelUse(path, device, checked).catch((error: unknown) => {
          if (isScoreheadError(error, "ERR_ARGUMENT")) throw error;
          return note(problems, error);
        });
  return {
    problems: plainProblems(problems),
    versions: {
      scorehead: manifest.version,
      node: process.versions.node,
      llamaCpp: runtime?.version ?? null,
      llamaCppExpected: manifest.llamaCpp.release,
    },
    platform: `${process.platform}-${process.arch}`,
    addonLoaded: native !== null,
    runtime: runtime && { directory: runtime.directory, origin: runtime.origin },
    attempts: [...runtimeAttempts(), ...missingPackages()],
    devices: runtime?.addon.devices() ?? [],
    device: selection && deviceName(selection),
    cpu: {
      model: cpus()[0]?.model ?? "unknown",
      features: runtime?.addon.cpuFeatures() ?? [],
      library: runtime && cpuLibrary(runtime),
      threads: availableParallelism(),
    },
    memory: { freeBytes: freemem(), totalBytes: totalmem() },
    cacheDirectory: cacheDirectory(),
    model,
  };
}

/** GPU packages that are made for this platform and are not installed. */
function missingPackages(): Attempt[] {
  return GPU_KINDS.filter((kind) => gpuFolders(kind).length === 0).flatMap((kind) =>
    packageNames(kind).map((path) => ({ path, origin: kind, outcome: "it is not installed" })),
  );
}

function deviceName({ kind, devices }: DeviceSelection): string {
  return devices.length === 0 ? kind : `${kind} (${devices.map(({ description }) => description).join(", ")})`;
}

/** llama.cpp does not tell which of its CPU backends it chose, but the process's list of open libraries does. */
function cpuLibrary({ directory }: Runtime): string | null {
  const { report } = process;
  // Naming the peers of open connections can take seconds and is of no use here.
  if (report) Object.assign(report, { excludeNetwork: true });
  const { sharedObjects = [] } = (report?.getReport() ?? {}) as { sharedObjects?: readonly string[] };
  const found = sharedObjects.find((path) => path.startsWith(directory) && /ggml-cpu/.test(basename(path)));
  return found === undefined ? null : basename(found);
}

const CPU: DeviceSelection = { kind: "cpu", devices: [] };

async function modelUse(path: string, device: DeviceSelection, options: DoctorOptions): Promise<DoctorModel> {
  const contents = await contentsOf(path, options);
  const { maxLength, profile } = headFromMetadata(contents.metadata);
  const backbone = readBackbone(contents);
  return { path, architecture: backbone.architecture, profile, ...chooseSizes(backbone, maxLength, device, options) };
}

async function contentsOf(path: string, { tokenizer }: DoctorOptions): Promise<GgufContents> {
  const found = await stat(path).catch((error: unknown) => {
    throw ioError("open", path, error);
  });
  if (found.isDirectory()) return plannedContents(path, await planCheckpoint(path, { tokenizer }));
  refuseTokenizer(path, tokenizer);
  return readGguf(path);
}
